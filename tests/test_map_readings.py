"""Maps of a finished study, averaged, read otherwise, or cut off at the gap."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_models import write_model
from made_study import write_mapped_study
from tolerances import FLOAT32, assert_same

from benchmarks import map_readings
from siwcc.data.augment.interface import augment_module
from siwcc.evaluation.methods import read_predictions
from siwcc.inference.predictor import load_models
from siwcc.io.files import read_csv

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two folds; each network once more with other weights as seed 43."""
    study = write_mapped_study(tmp_path_factory.mktemp("mapped"), "ecg")
    for key in study.runs():
        other = study.run_folder(key._replace(seed=43)) / "model.pt"
        write_model(
            other,
            settings=study.config.task("ecg"),
            section=study.config.dataset_of("ecg"),
            encoding="coord",
            seed=10 + key.fold,
        )
    return study


def run(study, out: Path, monkeypatch, *options: str) -> Path:
    """The command; the folder that it wrote to."""
    words = [str(study.folder), str(study.samples_path("ecg")), "--encoding", "coord", "--out", str(out), *options]
    monkeypatch.setattr(sys, "argv", ["map_readings", *words])
    map_readings.main()
    return out


def test_one_seed_read_as_it_was_trained_is_the_studys_own_answer(study, tmp_path, monkeypatch):
    out = run(study, tmp_path / "out", monkeypatch)
    for key in study.runs():
        place = "/".join(study.run_folder(key).parts[-4:]) + "/predictions.csv"
        assert (out / "ecg" / place).read_bytes() == (study.folder / "ecg" / place).read_bytes()
    own = [line for line in read_csv(out / "errors.csv", ("variant", "subset", "rows")) if line["variant"] == "heatmap"]
    assert {line["rows"] for line in own if line["subset"] == "all"} == {"19", "38"}
    against = {(line["family"], line["control"]) for line in read_csv(out / "records.csv", ("family", "control"))}
    assert ("baseline", "training_mean") in against
    assert {line["kind"] for line in read_csv(out / "calibration_scores.csv", ("kind",))} >= {"raw"}


def test_two_seeds_answer_as_predict_does_with_both(study, tmp_path, monkeypatch):
    out = run(study, tmp_path / "out", monkeypatch, "--seeds", "42", "43")
    key = study.runs()[0]
    found = read_predictions(out / "ecg/coord/heatmap/fold1/seed42/predictions.csv")
    inputs = augment_module("ecg").open_inputs([study.fold_paths("ecg")[0]], study.samples_path("ecg"), False)
    predictor = load_models([study.run_folder(key._replace(seed=seed)) / "model.pt" for seed in (42, 43)])
    signal = inputs.batch(np.arange(len(inputs.target)), "coord")
    together = predictor._answers([signal, signal]).together
    # In batches of another size; of a window of 20 s.
    assert_same(found.prediction, together, FLOAT32, scale=20)
    single = read_predictions(study.run_folder(key) / "predictions.csv")
    assert np.abs(found.prediction - single.prediction).max() > 0.1


def test_told_the_gap_nothing_is_answered_after_it(study, tmp_path, monkeypatch):
    # Windows of 20 s whose event may be the first of the record: made-up gaps cut into all of them.
    gap_s = 3.0
    opened = augment_module("ecg").open_inputs

    def with_gaps(*arguments, **options):
        inputs = opened(*arguments, **options)
        inputs.gap_s = np.full(len(inputs.target), gap_s)
        return inputs

    monkeypatch.setattr(augment_module("ecg"), "open_inputs", with_gaps)
    out = run(study, tmp_path / "out", monkeypatch, "--told-gap", "--readout", "median")
    told = np.concatenate([read_predictions(path).prediction for path in sorted(out.rglob("predictions.csv"))])
    assert len(told) == 57
    assert told.max() <= gap_s + 0.16
    untold = run(study, tmp_path / "untold", monkeypatch, "--readout", "median")
    assert max(read_predictions(path).prediction.max() for path in untold.rglob("predictions.csv")) > gap_s + 0.16
    assert not list(out.glob("ecg/coord/heatmap/*"))


def test_a_map_cut_off_by_hand():
    share = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().view(1, 1, 1, 4).repeat(3, 1, 1, 1)
    cut = map_readings.cut_off(share, 0.16, np.array([0.0, 0.2, math.inf])).exp()
    expected = [[1.0, 0.0, 0.0, 0.0], [1 / 3, 2 / 3, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]]
    assert_same(cut[:, 0, 0], expected, FLOAT32)


def test_images_have_no_gap(study, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(study, tmp_path, monkeypatch, "--task", "nuclei", "--told-gap")
    assert stopped.value.code == 2
    assert "images have no gap" in capsys.readouterr().err
