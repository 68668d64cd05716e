"""Whole recordings: what is written is read, names of two sets are kept apart, and a WFDB folder gives its changes."""

from dataclasses import replace

import numpy as np
import pytest
import wfdb
from refusals import refused

from siwcc.config import parse_dataset
from siwcc.data.datasets.interface import Beats, RhythmRecord, reader_for
from siwcc.data.recordings import read_recordings, write_recordings
from siwcc.io.errors import InputError


def make_record(name: str, samples: int, group: str = "", changes=((3, "N"), (40, "VT"), (95, "N"))) -> RhythmRecord:
    signal = np.arange(2 * samples, dtype=np.float32).reshape(2, samples)
    signal[1, 5] = np.nan
    return RhythmRecord(
        name=name,
        group=group or name,
        rate_hz=50.0,
        signal_mv=signal,
        changes=np.array([sample for sample, _ in changes], dtype=np.int64),
        labels=tuple(label for _, label in changes),
        event_labels=("VT",),
    )


def same(found: RhythmRecord, expected: RhythmRecord) -> bool:
    arrays = np.array_equal(found.signal_mv, expected.signal_mv, equal_nan=True) and np.array_equal(
        found.changes, expected.changes
    )
    beats = [None if record.beats is None else [part.tolist() for part in record.beats] for record in (found, expected)]
    assert beats[0] == beats[1]
    return arrays and (found.name, found.group, found.labels, found.rate_hz, found.event_labels) == (
        expected.name,
        expected.group,
        expected.labels,
        expected.rate_hz,
        expected.event_labels,
    )


@pytest.mark.parametrize("samples", [100, 101, 149, 150])
def test_what_is_written_is_read(tmp_path, samples):
    beats = Beats(np.array([0, 49, 50, 98]), np.array([True, False, True, True]))
    records = [make_record("a", samples, "s1"), make_record("b", 120, "s1", changes=()), make_record("c", samples)]
    records[2] = replace(records[2], beats=beats)
    write_recordings(tmp_path / "x.h5", records, {"dataset": "x"})
    found = read_recordings([tmp_path / "x.h5"])["x"]
    assert len(found) == 3
    assert all(map(same, found, records))
    assert found[0].duration_s == samples / 50


def test_the_same_bytes_twice(tmp_path):
    for name in ("x", "y"):
        write_recordings(tmp_path / f"{name}.h5", [make_record("a", 130)], {"dataset": "x"})
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "y.h5").read_bytes()


def test_of_two_changes_at_one_sample_the_last_counts(tmp_path):
    write_recordings(tmp_path / "x.h5", [make_record("a", 60, changes=((7, "VT"), (7, "N")))], {"dataset": "x"})
    (found,) = read_recordings([tmp_path / "x.h5"])["x"]
    assert (found.changes.tolist(), found.labels) == ([7], ("N",))


def test_records_and_subjects_of_two_sets_are_kept_apart(tmp_path):
    write_recordings(tmp_path / "x.h5", [make_record("1", 60), make_record("2", 60, "s")], {"dataset": "x"})
    write_recordings(tmp_path / "y.h5", [make_record("1", 60), make_record("3", 60, "s")], {"dataset": "y"})
    found = read_recordings([tmp_path / "x.h5", tmp_path / "y.h5"])
    assert {name: [record.name for record in records] for name, records in found.items()} == {
        "x": ["x.1", "x.2"],
        "y": ["y.1", "y.3"],
    }
    assert [record.group for records in found.values() for record in records] == ["x.1", "x.s", "y.1", "y.s"]


def test_a_subject_with_a_record_of_two_sets_stays_one(tmp_path):
    records = [make_record("1", 60, "1"), make_record("2", 60, "1"), make_record("4", 60)]
    write_recordings(tmp_path / "x.h5", records, {"dataset": "x"})
    write_recordings(tmp_path / "y.h5", [make_record("2", 60), make_record("3", 60)], {"dataset": "y"})
    found = read_recordings([tmp_path / "x.h5", tmp_path / "y.h5"])
    assert {name: [(record.name, record.group) for record in records] for name, records in found.items()} == {
        "x": [("x.1", "x.1"), ("x.2", "x.1"), ("4", "4")],
        "y": [("y.2", "y.2"), ("3", "3")],
    }


def test_a_file_of_another_data_set_than_its_name_is_refused(tmp_path):
    write_recordings(tmp_path / "y.h5", [make_record("1", 60)], {"dataset": "x"})
    with pytest.raises(InputError) as caught:
        read_recordings([tmp_path / "y.h5"])
    assert caught.value.where == str(tmp_path / "y.h5")


def test_a_file_without_records_is_not_written(tmp_path):
    with pytest.raises(InputError):
        write_recordings(tmp_path / "x.h5", [], {"dataset": "x"})
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_without_other_time_than_malignant_is_refused(tmp_path):
    malignant = [make_record(name, 60, changes=((0, "VT"),)) for name in "ab"]
    with refused("datasets.x"):
        write_recordings(tmp_path / "x.h5", malignant, {"dataset": "x"})
    assert list(tmp_path.iterdir()) == []
    # One sample of another rhythm is enough.
    write_recordings(tmp_path / "x.h5", [malignant[0], make_record("b", 60, changes=((1, "VT"),))], {"dataset": "x"})
    assert [record.name for record in read_recordings([tmp_path / "x.h5"])["x"]] == ["a", "b"]


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    write_recordings(path, [make_record("a", 60)], {"dataset": "x"})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_recordings([path])
    assert refused.value.where == str(path)


def test_a_wfdb_folder_gives_every_change_in_samples_at_the_rate_asked_for(tmp_path):
    signal = np.random.default_rng(1).normal(size=(3600, 2))
    common = {"fs": 360, "units": ["mV"] * 2, "sig_name": ["I", "II"], "fmt": ["16"] * 2, "write_dir": str(tmp_path)}
    wfdb.wrsamp("r1", p_signal=signal, **common)
    # A mark of the signal's quality is no beat, and a beat past the end is none of the record.
    samples = np.array([36, 72, 144, 180, 216, 1800, 1836, 2160, 3600])
    symbols = ["+", "N", "~", "F", "V", "+", "!", "+", "V"]
    notes = ["(N", "", "", "", "", "(VT", "", "(N", ""]
    wfdb.wrann("r1", "atr", samples, symbol=symbols, aux_note=notes, write_dir=str(tmp_path))
    values = {"format": "wfdb", "path": str(tmp_path), "event_labels": ["VT"], "subjects": {"r1": "s1"}}
    section = parse_dataset(values)
    (record,) = reader_for("wfdb").iter_recordings(section, tmp_path)
    assert (record.name, record.group, record.rate_hz) == ("r1", "s1", 250.0)
    assert record.signal_mv.shape == (2, 2500)
    assert record.changes.tolist() == [25, 1250, 1500]
    assert record.labels == ("N", "VT", "N")
    assert record.beats is not None
    assert record.beats.sample.tolist() == [50, 125, 150, 1275]
    assert record.beats.ventricular.tolist() == [False, False, True, True]
    wfdb.wrann("r1", "atr", samples[:1], symbol=symbols[:1], aux_note=notes[:1], write_dir=str(tmp_path))
    (record,) = reader_for("wfdb").iter_recordings(section, tmp_path)
    assert record.beats is None
