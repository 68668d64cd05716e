"""Networks to be given away: those of every fold and of all, or one line."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest
import torch
from made_models import settings_for, write_detector, write_model
from made_study import write_mapped_study
from places import load_program

import siwcc
from siwcc.evaluation.onset_settings import read_onset_settings, write_onset_settings
from siwcc.evaluation.onset_tables import OnsetLine, RateLine, RecordLine, write_onset_table
from siwcc.inference.model_folder import ship, ship_detectors
from siwcc.io.errors import InputError
from siwcc.io.tables import read_lines
from siwcc.training.checkpoint import read_model

SCRIPT = Path(__file__).resolve().parent.parent / "workflow" / "ship_models.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_program(SCRIPT)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """An arm of two folds, and the network of both."""
    study = write_mapped_study(tmp_path_factory.mktemp("trained"), "ecg")
    arm = study.folder / "ecg" / "coord" / "heatmap"
    settings, section = study.config.task("ecg"), study.config.dataset_of("ecg")
    write_model(arm / "all" / "seed42" / "model.pt", settings=settings, section=section, encoding="coord", seed=9)
    return arm


@pytest.fixture
def arm(trained: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    task = tmp_path / "made" / "ecg"
    task.mkdir(parents=True)
    for name in ("folds.csv", "folds.manifest.json", "strata.csv", "strata.manifest.json"):
        if (trained.parents[1] / name).is_file():
            shutil.copy(trained.parents[1] / name, task)
    return Path(shutil.copytree(trained, task / "coord" / "heatmap"))


def refusal(script: ModuleType, arm: Path, out: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        script.ship(arm, out)
    return caught.value


def test_every_network_is_shipped_with_how_it_was_measured(script: ModuleType, arm: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    # Of an earlier time: taken over.
    (out / "fold1.pt").write_bytes(b"old")
    written = ship(arm, out)
    assert [path.name for path in written] == [
        *("all.pt", "fold1.pt", "fold2.pt", "errors.csv", "errors_by_stratum.csv", "calibration.json"),
    ]
    for name in ("all", "fold1", "fold2"):
        assert (out / f"{name}.pt").read_bytes() == (arm / name / "seed42" / "model.pt").read_bytes()


def test_small_networks_take_half_of_the_room_and_are_rounded(script: ModuleType, arm: Path, tmp_path: Path) -> None:
    assert script.main([str(arm), str(tmp_path / "out")]) == 0
    for name in ("all", "fold1", "fold2"):
        path, source = tmp_path / "out" / f"{name}.pt", arm / name / "seed42" / "model.pt"
        assert path.stat().st_size < 0.65 * source.stat().st_size
        small, whole = read_model(path), read_model(source)
        assert small.spec == whole.spec
        assert small.metadata == whole.metadata.model_copy(update={"weights_sha256": small.metadata.weights_sha256})
        kept, weights = small.network.state_dict(), whole.network.state_dict()
        assert {value.dtype for value in kept.values()} == {value.dtype for value in weights.values()}
        for key, value in weights.items():
            # Half of the 2^-10 between two numbers of 11 bits; below 6e-5 they lie 6e-8 apart.
            torch.testing.assert_close(kept[key], value, rtol=2**-11 if value.dim() > 1 else 0, atol=3e-8)


def test_the_network_of_all_folds_may_be_left_out(arm: Path, tmp_path: Path) -> None:
    """As `siwcc train` does, which trains none; one that exists is not copied."""
    for _ in range(2):
        written = ship(arm, tmp_path / "out", with_all=False)
        assert [path.name for path in written][:2] == ["fold1.pt", "fold2.pt"]
        assert not (tmp_path / "out" / "all.pt").exists()
        shutil.rmtree(arm / "all", ignore_errors=True)


@pytest.mark.parametrize("folder", ["fold2", "all"])
def test_a_network_that_is_missing_is_named(script: ModuleType, arm: Path, tmp_path: Path, folder: str) -> None:
    (arm / folder / "seed42" / "model.pt").unlink()
    error = refusal(script, arm, tmp_path / "out")
    assert error.where == str(arm)
    assert f"{folder}/seed<s>/model.pt" in error.problem
    assert "make models" in error.remedy
    assert not (tmp_path / "out").exists()


def test_networks_without_predictions_or_of_other_folds_or_seeds_are_refused(
    script: ModuleType, arm: Path, tmp_path: Path
) -> None:
    predictions = arm / "fold2" / "seed42" / "predictions.csv"
    predictions.rename(predictions.with_name("elsewhere.csv"))
    assert refusal(script, arm, tmp_path / "out").where == str(predictions)
    predictions.with_name("elsewhere.csv").rename(predictions)
    shutil.copytree(arm / "fold1", arm / "fold3")
    error = refusal(script, arm, tmp_path / "out")
    assert error.where == str(arm)
    assert "fold3" in error.problem
    (arm / "fold3").rename(arm / "kept")
    shutil.move(arm / "kept" / "seed42", arm / "fold1" / "seed43")
    error = refusal(script, arm, tmp_path / "out")
    assert error.where == str(arm)
    assert "seeds" in error.problem


def test_what_would_be_taken_for_one_of_them_is_refused(script: ModuleType, arm: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "fold3.pt").touch()
    assert refusal(script, arm, out).where == str(out / "fold3.pt")
    assert [path.name for path in out.iterdir()] == ["fold3.pt"]


@pytest.fixture
def onsets(tmp_path: Path) -> Path:
    """Two detectors of a study with their settings and tables."""
    folder = tmp_path / "study" / "onsets"
    paths = [write_detector(folder / f"fold{fold}" / "seed42" / "model.pt", fold, fold=fold) for fold in (1, 2)]
    write_onset_settings(folder / "onsets.json", settings_for(paths))
    stats = tmp_path / "study" / "stats"
    stats.mkdir()
    kinds = {"onsets": OnsetLine, "onsets_by_record": RecordLine, "onset_rates": RateLine}
    for name, kind in kinds.items():
        values = {field.name: {"int": 1, "float": 0.5, "str": "x"}[str(field.type)] for field in fields(kind)}
        write_onset_table(stats / f"{name}.csv", kind, [kind(**{**values, "method": m}) for m in ("network", "rule")])
    return folder


def test_detectors_are_shipped_with_their_settings(script: ModuleType, onsets: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "onsets"
    assert script.main([str(onsets), str(out)]) == 0
    expected = {"fold1.pt", "fold2.pt", "onsets.json", "onsets.csv", "onsets_by_record.csv", "onset_rates.csv"}
    names = {path.name for path in out.iterdir() if not path.name.endswith(".manifest.json")}
    assert names == expected
    assert [line.method for line in read_lines(out / "onsets.csv", OnsetLine)] == ["network"]
    assert (out / "fold2.pt").read_bytes() == (onsets / "fold2" / "seed42" / "model.pt").read_bytes()
    detector = siwcc.load_detector(out)
    assert len(detector.models) == 2
    assert detector.settings == read_onset_settings(onsets / "onsets.json")


def test_detectors_of_other_settings_are_not_shipped(onsets: Path, tmp_path: Path) -> None:
    write_detector(onsets / "fold2" / "seed42" / "model.pt", 9, fold=2)
    with pytest.raises(InputError) as refused:
        ship_detectors(onsets, tmp_path / "out")
    assert refused.value.where == str(onsets / "onsets.json")
    assert not (tmp_path / "out").exists()
