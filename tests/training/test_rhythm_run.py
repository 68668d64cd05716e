"""One training of the onsets stage: which records it sees, what its file holds, and that it repeats to the byte."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from refusals import refused

from siwcc.config import OnsetCurve, OnsetTraining, parse_dataset
from siwcc.data.datasets.interface import Beats, RhythmRecord
from siwcc.evaluation.rhythm_rises import RiseSettings
from siwcc.training import rhythm_run
from siwcc.training.rhythm_checkpoint import read_rhythm_model
from siwcc.training.rhythm_run import recipe_of, train_fold
from siwcc.training.rhythm_windows import RhythmRecipe

SMALL = OnsetTraining(batches=2, batch_size=2, width=4, dilations=(1, 2), window_s=10.0)


def record(name: str, group: str) -> RhythmRecord:
    rng = np.random.default_rng(len(name) + ord(name[0]))
    signal = rng.normal(size=(2, 60 * 50)).astype(np.float32)
    changes = np.array([0, 1000, 2000], dtype=np.int64)
    return RhythmRecord(name, group, 50.0, signal, changes, ("N", "VT", "N"), ("VT",))


@pytest.fixture
def study(tmp_path):
    sections = {
        "x": parse_dataset({"format": "vfdb", "synthetic": {"samples": 1}}),
        "y": parse_dataset({"format": "wfdb", "event_labels": ["VT"], "synthetic": {"samples": 1}}),
    }
    records = {"x": [record("a", "a"), record("b", "s")], "y": [record("c", "s"), record("d", "d")]}
    return records, sections, {"a": 1, "b": 2, "c": 2, "d": 3}


def test_the_records_of_the_fold_are_left_out(study, tmp_path, monkeypatch):
    seen = []
    train = rhythm_run.train_rhythm_network
    monkeypatch.setattr(
        rhythm_run, "train_rhythm_network", lambda records, *more: seen.extend(records) or train(records, *more)
    )
    train_fold(*study, 2, 7, SMALL, tmp_path / "model.pt")
    assert [each.name for each in seen] == ["a", "d"]
    metadata = read_rhythm_model(tmp_path / "model.pt").metadata
    assert (metadata.fold, metadata.seed, metadata.training_groups) == (2, 7, ("a", "d"))
    assert (metadata.leads, metadata.event_labels, sorted(metadata.datasets)) == ((0, 1), ("VT",), ["x", "y"])


def test_a_training_repeats_to_the_byte_and_another_seed_differs(study, tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        train_fold(*study, 1, seed, SMALL, tmp_path / name)
    content = {name: (tmp_path / name).read_bytes() for name in ("one", "again", "other")}
    assert content["one"] == content["again"] != content["other"]


@pytest.mark.parametrize(
    "training",
    [
        {"scale_window_s": 1000.0},
        {"dilations": (4096,)},
        {"stem_kernels": (), "stem_strides": ()},
        {"window_s": 0.05},
    ],
)
def test_a_training_whose_network_could_not_be_read_is_not_begun(study, tmp_path, training):
    with refused("config: onsets.training", remedy=None):
        train_fold(*study, 1, 0, OnsetTraining(**training), tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_outputs_for_beats_need_annotated_beats(study, tmp_path):
    by_dataset, sections, fold_of = study
    training = SMALL.model_copy(update={"beat_sigma_s": 0.1})
    with refused("config: onsets.training.beat_sigma_s"):
        train_fold(by_dataset, sections, fold_of, 1, 0, training, tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()
    # One record with beats is enough, of another fold.
    beats = Beats(np.array([100, 140]), np.array([False, True]))
    by_dataset["y"][1] = replace(by_dataset["y"][1], beats=beats)
    with refused("config: onsets.training.beat_sigma_s"):
        train_fold(by_dataset, sections, fold_of, 3, 0, training, tmp_path / "model.pt")
    train_fold(by_dataset, sections, fold_of, 1, 0, training, tmp_path / "model.pt")
    assert read_rhythm_model(tmp_path / "model.pt").network.outputs == 4


def test_the_config_has_every_number_of_a_training_with_its_default():
    assert recipe_of(OnsetTraining()) == RhythmRecipe()
    assert set(OnsetTraining.model_fields) == {field.name for field in fields(RhythmRecipe)}


def test_the_config_has_every_setting_of_a_curve_with_its_default():
    assert RiseSettings(**OnsetCurve().model_dump()) == RiseSettings()
