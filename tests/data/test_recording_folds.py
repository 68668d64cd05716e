"""Folds of whole recordings: subjects stay together, and onsets are spread evenly."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.recording_folds import SHORTEST_S, Subject, deal_out, read_recording_folds, write_recording_folds
from siwcc.evaluation.baselines.onset_detectors.windows import WINDOW_S
from siwcc.io.errors import InputError


def make_record(name: str, group: str, onsets: int) -> RhythmRecord:
    """One with an episode of 2 s every 10 s."""
    changes = [sample for onset in range(onsets) for sample in (500 + 500 * onset, 600 + 500 * onset)]
    return RhythmRecord(
        name=name,
        group=group,
        rate_hz=50.0,
        signal_mv=np.zeros((1, 500 * (onsets + 2)), dtype=np.float32),
        changes=np.array(changes, dtype=np.int64),
        labels=("VT", "N") * onsets,
        event_labels=("VT",),
    )


def subjects(*entries: tuple[str, int, str]) -> dict[str, Subject]:
    return {name: Subject(onsets, frozenset(labels.split())) for name, onsets, labels in entries}


def test_the_rarest_rhythm_is_dealt_out_first():
    # VF: a to 1, b to 2. VT: c, most onsets, to 3, which has no subject; then d and e to 1 and 2 by onsets.
    given = subjects(("a", 9, "VF"), ("b", 2, "VF VT"), ("c", 8, "VT"), ("d", 7, "VT"), ("e", 1, "VT"), ("f", 0, ""))
    assert deal_out(given, 3) == {"a": 1, "b": 2, "c": 3, "d": 1, "e": 2, "f": 3}


def test_no_fold_has_more_subjects_than_an_even_part():
    given = subjects(*((name, 1, "VT") for name in "abcde"), *((name, 0, "") for name in "fg"))
    assert Counter(deal_out(given, 3).values()) == {1: 2, 2: 2, 3: 3}


def test_records_of_a_subject_are_in_one_fold_and_each_data_set_is_dealt_out_on_its_own(tmp_path):
    first = [make_record("1", "s", 2), make_record("2", "s", 3), make_record("3", "3", 4), make_record("4", "4", 1)]
    second = [make_record("5", "5", 1), make_record("6", "6", 9)]
    write_recording_folds({"x": first, "y": second}, 2, tmp_path / "folds.csv")
    assert read_recording_folds(tmp_path / "folds.csv") == {"1": 1, "2": 1, "3": 2, "4": 2, "5": 2, "6": 1}
    assert read_recording_folds(tmp_path / "folds.csv", "y") == {"5": 2, "6": 1}
    text = (tmp_path / "folds.csv").read_text()
    assert text.splitlines()[:3] == ["dataset,record,group,onsets,fold", "x,1,s,2,1", "x,2,s,3,1"]


def test_a_record_that_is_too_short_to_train_on_is_named(tmp_path):
    records = [make_record(name, name, 2) for name in "abc"]
    short = replace(records[1], signal_mv=records[1].signal_mv[:, :199])
    with refused("record b of x", "3.98"):
        write_recording_folds({"x": [records[0], short, records[2]]}, 2, tmp_path / "folds.csv")
    assert not (tmp_path / "folds.csv").exists()
    assert short.rate_hz * SHORTEST_S == 200
    assert SHORTEST_S >= WINDOW_S


def test_many_subjects_fill_the_folds_evenly():
    rng = np.random.default_rng(3)
    labels = ["VT", "VF", "VT VF", ""]
    given = subjects(*((f"{i:02}", int(rng.integers(0, 40)), labels[rng.integers(4)]) for i in range(50)))
    fold_of = deal_out(given, 5)
    assert set(Counter(fold_of.values()).values()) == {10}
    for label in ("VT", "VF"):
        having = Counter(fold_of[name] for name, subject in given.items() if label in subject.labels)
        assert max(having.values()) - min(having.values()) <= 1


def test_a_damaged_fold_is_refused(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("dataset,record,group,onsets,fold\nx,1,1,2,1\nx,2,2,2,two\n")
    with refused(path, "3"):
        read_recording_folds(path)


def test_too_few_subjects_with_an_onset_are_refused(tmp_path):
    records = [make_record("1", "1", 2), make_record("2", "2", 0), make_record("3", "3", 0)]
    with pytest.raises(InputError):
        write_recording_folds({"x": records}, 2, tmp_path / "folds.csv")
    assert not (tmp_path / "folds.csv").exists()
