"""`siwcc inspect`: what it says of a file is what the file holds."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from made_models import METADATA, network, settings_for, write_detector, written
from made_study import EPOCHS, copied_study, shared_study

from siwcc.cli.inspect import contents_json, format_contents, inspect_file
from siwcc.cli.main import main
from siwcc.data.curves import Curves, write_curves
from siwcc.data.datasets.interface import Beats, RhythmRecord
from siwcc.data.recordings import write_recordings
from siwcc.evaluation.onset_settings import write_onset_settings
from siwcc.io.errors import InputError
from siwcc.io.shards import read_shard, shard_writer
from siwcc.report.figures.inspection import plot_content
from siwcc.report.study import Study
from siwcc.training.checkpoint import model_bytes


@pytest.fixture
def ecg(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return shared_study(tmp_path_factory, "ecg")


@pytest.fixture
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return shared_study(tmp_path_factory, "nuclei")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return written(tmp_path)


def run_of(study: Study) -> Path:
    return study.run_folder(next(iter(study.runs())))


def test_samples(ecg: Study) -> None:
    path = ecg.samples_path("ecg")
    content = inspect_file(path)
    with h5py.File(path) as handle:
        samples, target_s = len(handle["target"]), handle["target"][:, 0]
        records = {name.split("_")[0] for name in handle["sample_id"].asstr()[:]}
        labels = handle["class"].asstr()[:].tolist()
        digest = handle.attrs["digest"]
    assert content.kind == "samples"
    facts = content.facts
    assert (facts["bytes"], facts["samples"], facts["groups"]) == (path.stat().st_size, samples, len(records))
    assert facts["classes"] == {label: labels.count(label) for label in set(labels)}
    assert (facts["signal_unit"], facts["rate_hz"], facts["digest"]) == ("mV", 250.0, digest)
    # Facts are rounded to six digits.
    assert facts["target_s"]["highest"] == pytest.approx(target_s.max(), rel=1e-6)
    assert facts["protocol"]["window_s"] == 20.0


def test_a_fold(ecg: Study, nuclei: Study) -> None:
    content = inspect_file(ecg.fold_paths("ecg")[0])
    with h5py.File(content.path) as handle:
        copies = handle["copy"][:]
    samples = int((copies == 0).sum())
    assert content.kind == "fold"
    # Two augmented copies and the sample itself.
    assert (content.facts["rows"], content.facts["augmented_rows"]) == (3 * samples, 2 * samples)
    assert (content.facts["samples"], content.facts["shape"]) == (samples, [2, 500])
    of_images = inspect_file(nuclei.fold_paths("nuclei")[0]).facts
    assert of_images["shape"] == [3, 64, 64]
    assert {"target_x_px", "target_y_px"} <= set(of_images)


def test_a_model(model: Path) -> None:
    content = inspect_file(model)
    assert content.kind == "model"
    facts = content.facts
    # 16, 32, 64, 128 channels with kernels of 3 over 3 channels, biases, two of batch normalisation each;
    # a pool of 128 x 3 positions without a bias; 128 weights and a bias.
    blocks = sum(3 * a * b + 3 * b for a, b in ((3, 16), (16, 32), (32, 64), (64, 128)))
    assert facts["parameters"] == blocks + 128 * 3 + 129
    assert (facts["network"], facts["encoding"], facts["test_fold"]) == ("nimesha, full", "weighted", 2)
    assert facts["training_groups"] == {"number": 2, "names": ["r1", "r2"]}
    assert (facts["input_shape"], facts["outputs"]) == ([2, 48], ["prediction_s"])


def test_files_of_the_onsets_stage(tmp_path: Path) -> None:
    signal = np.zeros((2, 7200), dtype=np.float32)
    changes = np.array([0, 1000, 1500], dtype=np.int64)
    beats = Beats(np.array([3, 5, 8]), np.array([False, True, False]))
    record = RhythmRecord("a", "s", 2.0, signal, changes, ("N", "VT", "N"), ("VT",), beats)
    write_recordings(tmp_path / "x.h5", [record], {"dataset": "x"})
    facts = inspect_file(tmp_path / "x.h5").facts
    assert (facts["records"], facts["hours"], facts["onsets"], facts["malignant_hours"]) == (1, 1.0, 1, 0.069444)
    assert facts["rhythm_changes"] == {"N": 2, "VT": 1}
    assert (facts["beats"], facts["ventricular_beats"]) == (3, 1)
    write_curves(tmp_path / "c.h5", Curves(0.5, {"a": np.array([0.25, 0.75], dtype=np.float32)}))
    assert inspect_file(tmp_path / "c.h5").facts["mean_probability"] == 0.5
    detector = write_detector(tmp_path / "d.pt", fold=3, training_groups=["b", "c"])
    content = inspect_file(detector)
    assert (content.kind, content.facts["test_fold"], content.facts["training_groups"]["number"]) == ("detector", 3, 2)
    write_onset_settings(tmp_path / "onsets.json", settings_for([detector], threshold=0.25))
    content = inspect_file(tmp_path / "onsets.json")
    assert (content.kind, content.facts["threshold"]) == ("onset settings", 0.25)


def test_a_model_of_every_fold_says_so(tmp_path: Path) -> None:
    path = tmp_path / "all.pt"
    groups = [f"r{number}" for number in range(11)]
    metadata = {**METADATA, "run": {**METADATA["run"], "fold": 0}, "training_groups": groups}
    path.write_bytes(model_bytes(metadata, network().state_dict()))
    facts = inspect_file(path).facts
    assert facts["test_fold"] == "none, trained on every fold"
    assert facts["training_groups"] == {"number": 11, "names": [*groups[:8], "and 3 more"]}


def test_a_log_and_predictions(ecg: Study) -> None:
    folder = run_of(ecg)
    log = inspect_file(folder / "log.csv")
    rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()[1:]]
    assert (log.kind, log.facts["epochs"]) == ("log", EPOCHS)
    assert log.facts["test_r2_at_the_end"] == pytest.approx(float(rows[-1][2]), rel=1e-6)
    predictions = inspect_file(folder / "predictions.csv")
    assert predictions.kind == "predictions"
    # Row number n of the file is off by 0.1 n; every third row, from the first on, is a sample itself.
    count = predictions.facts["rows"]
    off = 0.1 * np.arange(count)
    assert predictions.facts["samples_themselves"]["median_error"] == pytest.approx(np.median(off[::3]), rel=1e-5)
    rest = np.delete(off, np.arange(0, count, 3))
    assert predictions.facts["augmented"]["error_of_90_percent"] == pytest.approx(np.quantile(rest, 0.9), rel=1e-5)


def test_a_log_with_scores_of_the_last_epoch_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,train_r2,test_r2,test_mae\n1,0.25,,\n2,0.5,0.375,1.0\n")
    facts = inspect_file(path).facts
    assert (facts["epochs"], facts["test_r2_at_the_end"]) == (2, 0.375)
    assert facts["test_r2_highest"] == {"epoch": 2, "test_r2": 0.375}
    assert main(["inspect", str(path), "--plot", str(tmp_path / "log.png")]) == 0
    assert main(["compare", "--control", str(path), "--study", str(path)]) == 0
    assert capsys.readouterr().err.count("error") == 0


def test_a_log_without_a_test_fold(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,train_r2\n1,0.25\n2,0.5\n")
    facts = inspect_file(path).facts
    assert (facts["epochs"], facts["at_the_end"]) == (2, {"train_r2": 0.5})


def test_a_log_of_another_program_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "metrics.csv"
    for cell in ("NA", ""):
        path.write_text(f"epoch,loss\n0,0.5\n1,{cell}\n")
        content = inspect_file(path)
        assert (content.kind, content.facts["rows"], content.facts["columns"]) == ("table", 2, ["epoch", "loss"])
    # Of ours an empty R2 is none, and further columns are passed over.
    path.write_text("epoch,train_r2,comment\n1,0.25,\n2,,slow\n")
    assert inspect_file(path).facts["at_the_end"] == {"train_r2": None}
    path.write_text("epoch,train_r2\n1,0.25\n2,NA\n")
    assert main(["inspect", str(path)]) == 1
    assert re.match(rf"siwcc: {re.escape(str(path))}: train_r2 .*'NA'.*\n$", capsys.readouterr().err)


def test_a_name_that_is_no_text_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    try:
        path.write_text("a,b\n1,2\n")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.startswith(rf"{tmp_path}/caf\udce9.csv: table")
    assert main(["inspect", str(path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["file"] == str(path)


def test_other_tables_configs_and_manifests(ecg: Study, tmp_path: Path) -> None:
    study = copied_study(ecg, tmp_path)
    table = inspect_file(study.folder / "ecg" / "folds.csv")
    assert (table.kind, table.facts["columns"]) == ("table", ["sample_id", "group", "fold"])
    config = inspect_file(study.folder / "config.json")
    assert (config.kind, config.facts["folds"]) == ("config", 2)
    folder = run_of(study)
    assert inspect_file(folder / "manifest.json").facts["outputs"] == {
        "log.csv": "as written",
        "predictions.csv": "as written",
    }
    (folder / "log.csv").unlink()
    with (folder / "predictions.csv").open("a") as handle:
        handle.write("\n")
    assert inspect_file(folder / "manifest.json").facts["outputs"] == {
        "log.csv": "missing",
        "predictions.csv": "not what was written",
    }


def test_shown_to_people_and_to_programs(model: Path) -> None:
    content = inspect_file(model)
    lines = format_contents([content]).splitlines()
    assert lines[0] == f"{model}: model"
    assert ["encoding", "weighted"] in [line.split() for line in lines]
    assert json.loads(contents_json([content, content]))[1]["training_groups"]["names"] == ["r1", "r2"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", ""),
        ("absent.h5", None),
        ("fold1.h5", "no HDF5"),
        ("model.pt", "no model"),
        ("config.json", "{}"),
    ],
)
def test_other_files_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert main(["inspect", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith(f"siwcc: {path}: ")


def test_figures(ecg: Study, nuclei: Study, model: Path, tmp_path: Path) -> None:
    files = [
        (ecg.samples_path("ecg"), "samples"),
        (nuclei.samples_path("nuclei"), "samples"),
        (ecg.fold_paths("ecg")[0], "fold"),
        (nuclei.fold_paths("nuclei")[0], "fold"),
        (model, "model"),
        (run_of(ecg) / "log.csv", "log"),
        (run_of(nuclei) / "predictions.csv", "predictions"),
    ]
    for number, (path, kind) in enumerate(files):
        figure = tmp_path / f"{number}.png"
        plot_content(path, kind, figure)
        assert cv2.imread(str(figure)).std() > 5
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    plot_content(model, "model", first)
    plot_content(model, "model", second)
    assert first.read_bytes() == second.read_bytes()
    assert b"<svg" in first.read_bytes()


def test_a_fold_of_few_rows_is_drawn(ecg: Study, tmp_path: Path) -> None:
    fold = read_shard(ecg.fold_paths("ecg")[0], "fold")
    path = tmp_path / "fold1.h5"
    attributes = {name: value for name, value in fold.attributes.items() if name not in ("schema_version", "kind")}
    del attributes["digest"]
    with shard_writer(path, "fold", attributes) as writer:
        writer.extend({name: values[:2] for name, values in fold.arrays.items()})
    figure = tmp_path / "a.png"
    plot_content(path, "fold", figure)
    assert cv2.imread(str(figure)).std() > 5


def test_what_cannot_be_drawn_leaves_no_figure(ecg: Study, model: Path, tmp_path: Path) -> None:
    for path, kind, name in (
        (ecg.folder / "config.json", "config", "a.png"),
        (model, "model", "a.gif"),
    ):
        with pytest.raises(InputError):
            plot_content(path, kind, tmp_path / name)
        assert not (tmp_path / name).exists()
