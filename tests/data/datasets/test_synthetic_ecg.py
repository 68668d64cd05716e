"""The synthetic recordings: their bytes, their annotations, and whether the rhythms are what they claim."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import wfdb
from refusals import refused
from scipy.signal import find_peaks, welch

from siwcc.data.datasets.synthetic.ecg import (
    Beat,
    Segment,
    Train,
    add_train,
    ectopic_rhythm,
    make_patient,
    make_record,
    plan_segments,
    sinus_rhythm,
    write_ecg_records,
)
from siwcc.io.errors import InputError

RATE_HZ = 250
RECORDS = 12
SEED = 42
EVENTS = {"VF", "VFIB", "VFL", "VT", "ASYS", "HGEA"}
OTHERS = {"N", "NSR", "SBR", "BI", "B", "NOD", "PM", "VER", "AFIB", "SVTA", "NOISE"}


@dataclass(frozen=True)
class Read:
    """A record as wfdb reads it back."""

    name: str
    path: str
    header: wfdb.Record
    signal_mv: np.ndarray
    label: list[str]
    sample: list[int]

    @property
    def events(self) -> list[int]:
        return [sample for label, sample in zip(self.label, self.sample, strict=True) if label in EVENTS]

    def segments(self, label: str) -> list[np.ndarray]:
        ends = [*self.sample[1:], len(self.signal_mv)]
        return [
            self.signal_mv[start:stop]
            for each, start, stop in zip(self.label, self.sample, ends, strict=True)
            if each == label
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "demo_ecg"
    write_ecg_records(folder, RECORDS, SEED)
    return folder


@pytest.fixture(scope="module")
def records(folder) -> list[Read]:
    def read(path: Path) -> Read:
        stem = str(path.with_suffix(""))
        notes = wfdb.rdann(stem, "atr")
        labels = [note.strip("(\0") for note in notes.aux_note]
        return Read(path.stem, stem, wfdb.rdheader(stem), wfdb.rdrecord(stem).p_signal, labels, notes.sample.tolist())

    return [read(path) for path in sorted(folder.glob("*.hea"))]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def decode_212(raw: bytes) -> np.ndarray:
    """Format 212 by its definition: two 12-bit two's complement numbers in three bytes; (samples, 2)."""
    triples = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 3).astype(int)
    first = triples[:, 0] + ((triples[:, 1] & 0x0F) << 8)
    second = triples[:, 2] + ((triples[:, 1] >> 4) << 8)
    digits = np.stack([first, second], axis=1)
    return np.where(digits > 2047, digits - 4096, digits)


def dominant_hz(signal_mv: np.ndarray) -> float:
    """The highest peak above 1 Hz of both leads' power, in steps of 1/8 Hz."""
    length = min(1000, len(signal_mv))
    frequency_hz, power = welch(signal_mv, RATE_HZ, axis=0, nperseg=length, nfft=2000)
    total = power.sum(axis=1) * (frequency_hz > 1)
    return float(frequency_hz[total.argmax()])


def test_another_seed_gives_other_signals_and_annotations(folder, tmp_path):
    write_ecg_records(tmp_path, 1, SEED + 1)
    for name, content in contents(tmp_path).items():
        assert content != (folder / name).read_bytes(), name


def test_a_record_has_the_same_bytes_again_in_a_set_of_any_size(folder, tmp_path):
    write_ecg_records(tmp_path, 2, SEED)
    written = contents(tmp_path)
    assert len(written) == 6
    assert all(content == (folder / name).read_bytes() for name, content in written.items())


def test_records_past_the_twelfth_are_other_patients():
    (first, first_mv), (later, later_mv) = make_record(0, SEED), make_record(12, SEED)
    assert [each.label for each in first] == [each.label for each in later]
    assert [each.stop for each in first] != [each.stop for each in later]
    assert not np.array_equal(first_mv[:1000], later_mv[:1000])


def test_the_folder_holds_three_files_a_record_and_nothing_else(folder):
    expected = {f"demo{number:02d}.{end}" for number in range(1, 13) for end in ("hea", "dat", "atr")}
    assert {path.name for path in folder.iterdir()} == expected


def test_an_existing_folder_keeps_its_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "demo01.dat").write_bytes(b"old")
    write_ecg_records(tmp_path, 1, SEED)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len((tmp_path / "demo01.dat").read_bytes()) > 100_000


def test_headers_look_like_those_of_vfdb(folder, records):
    for record in records:
        lines = (folder / f"{record.name}.hea").read_text().splitlines()
        # Name, signals, rate, samples - and no time or date behind them.
        assert lines[0].split() == [record.name, "2", "250", str(len(record.signal_mv))]
        assert len(lines) == 3
        assert [line.split()[-1] for line in lines[1:]] == ["ECG", "ECG"]
        assert record.header.fmt == ["212", "212"]
        assert record.header.adc_gain == [200.0, 200.0]
        assert record.header.baseline == [0, 0]
        assert record.header.units == ["mV", "mV"]
        assert 180 - 1 <= len(record.signal_mv) / RATE_HZ <= 360


def test_checksums_and_first_values_match_the_stored_samples(folder, records):
    for record in records:
        digits = decode_212((folder / f"{record.name}.dat").read_bytes())
        assert record.header.checksum == [int(total) % 65536 for total in digits.sum(axis=0)]
        assert record.header.checksum == wfdb.rdrecord(record.path, physical=False).calc_checksum()
        assert record.header.init_value == digits[0].tolist()
        np.testing.assert_array_equal(record.signal_mv, digits / 200)


def test_aux_notes_end_in_nul_as_in_vfdb(folder, records):
    for record in records:
        notes = wfdb.rdann(record.path, "atr")
        assert notes.aux_note == [f"({label}\0" for label in record.label]
        assert set(notes.symbol) == {"+"}
        assert set(notes.chan) == set(notes.num) == set(notes.subtype) == {0}
        assert record.sample[0] == 20
        assert record.sample == sorted(set(record.sample))
        assert record.sample[-1] < len(record.signal_mv)
        # "N", the NUL and the byte that makes the length even, at the file's end or before another note.
        raw = (folder / f"{record.name}.atr").read_bytes()
        assert raw.count(b"(N\0") == record.label.count("N")
        assert raw.endswith(b"\0\0")


def test_there_are_enough_events_unevenly_spread(records):
    counts = Counter(label for record in records for label in record.label if label in EVENTS)
    assert set(counts) == EVENTS
    assert min(counts.values()) >= 2
    assert sum(counts.values()) >= 48
    per_record = [len(record.events) for record in records]
    assert min(per_record) == 0
    assert max(per_record) >= 10
    assert per_record.count(1) >= 1


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 42, 4_000_000_000))])
def test_every_awkward_case_is_there(seed):
    plans = [make_record(index, seed)[0] for index in range(RECORDS)]
    ends = [plan[-1].stop for plan in plans]
    events = [[each.start for each in plan if each.label in EVENTS] for plan in plans]
    gaps = np.concatenate([np.diff(starts) for starts in events if starts])
    assert (gaps < 2500).sum() >= 6, "events less than 10 s after another one"
    assert (gaps > 5000).sum() >= 20, "isolated events"
    assert any(0 < start < 2500 for starts in events for start in starts), "window cut by the record's start"
    assert any(end - 2500 < start for starts, end in zip(events, ends, strict=True) for start in starts), (
        "padded window"
    )
    assert [] in events, "a record without events"
    assert {each.label for plan in plans for each in plan} == EVENTS | OTHERS


def test_the_record_without_events_still_has_rhythm_changes(records):
    without = [record for record in records if not record.events]
    assert len(without) == 1
    assert {"AFIB", "NOISE", "SVTA"} == set(without[0].label)


def test_signals_are_believable_millivolts(records):
    for record in records:
        signal_mv = record.signal_mv
        assert np.isfinite(signal_mv).all()
        assert np.abs(signal_mv).max() < 8
        assert np.abs(np.median(signal_mv, axis=0)).max() < 0.5
        spread_mv = np.percentile(signal_mv, 99.5, axis=0) - np.percentile(signal_mv, 0.5, axis=0)
        assert (spread_mv > 0.4).all()
        assert (spread_mv < 6).all()


def test_the_two_leads_differ(records):
    for record in records:
        first, second = record.signal_mv.T
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.98, record.name


def test_patients_differ(records):
    beats = [np.abs(record.signal_mv[:5000]).std(axis=0) for record in records]
    assert len({tuple(np.round(beat, 3)) for beat in beats}) == RECORDS


@pytest.mark.parametrize(
    ("label", "low_hz", "high_hz"),
    [("VT", 2.25, 3.75), ("VFL", 3.9, 5.1), ("VF", 3.75, 7.0), ("VFIB", 3.75, 7.0)],
)
def test_dominant_frequency_of_a_rhythm(records, label, low_hz, high_hz):
    found = [dominant_hz(segment) for record in records for segment in record.segments(label)]
    assert len(found) >= 2
    assert all(low_hz <= frequency_hz <= high_hz for frequency_hz in found), np.round(found, 2)


def test_asystole_is_nearly_flat(records):
    for record in records:
        for segment in record.segments("ASYS"):
            # Above the wander and below the muscle noise, where every beat would show.
            after_last_wave = segment[RATE_HZ:]
            frequency_hz, power = welch(after_last_wave, RATE_HZ, axis=0, nperseg=1000)
            band = (frequency_hz >= 1) & (frequency_hz <= 10)
            assert np.sqrt(power[band].sum(axis=0) * 0.25).max() < 0.04


def test_sinus_beats_come_at_a_resting_rate_with_variability():
    patient = make_patient("normal", np.random.default_rng(3))
    segment = Segment("N", 0, 120 * RATE_HZ)
    beats, _ = sinus_rhythm(patient, segment, np.random.default_rng(4), ectopic=lambda number: number < 0)
    signal_mv = np.zeros((segment.stop, 2))
    add_train(signal_mv, beats)
    lead_mv = np.abs(signal_mv[:, 0])
    peaks, _ = find_peaks(lead_mv, height=0.6 * lead_mv.max(), distance=75)
    assert len(peaks) == len(beats.time_s)
    cycle_s = np.diff(peaks) / RATE_HZ
    assert 0.9 < cycle_s.mean() / patient.cycle_s < 1.1
    assert 0.01 < cycle_s.std() / cycle_s.mean() < 0.08
    # An arrhythmia breaks in 0.40 to 0.52 s after the last beat.
    assert 0.40 <= 120 - beats.time_s.max() <= 0.52


def test_supraventricular_tachycardia_repeats_at_its_rate(records):
    segments = [segment for record in records for segment in record.segments("SVTA")]
    assert len(segments) == 2
    for segment in segments:
        lead_mv = np.diff(segment[:, 0])
        lags = np.arange(60, 151)
        likeness = [np.corrcoef(lead_mv[:-lag], lead_mv[lag:])[0, 1] for lag in lags]
        # Cycles of 0.37 s, 162 beats a minute.
        assert 0.36 <= lags[int(np.argmax(likeness))] / RATE_HZ <= 0.38


def half_height_s(beat: Beat) -> float:
    """Time that the length of the two-lead vector of a single beat spends above half its highest value."""
    signal_mv = np.zeros((RATE_HZ * 2, 2))
    add_train(signal_mv, Train(beat, np.array([1.0]), np.array([1.0])))
    length_mv = np.hypot(*signal_mv.T)
    return float((length_mv > length_mv.max() / 2).mean() * 2)


def test_high_grade_ectopy_is_salvos_of_wide_beats_among_narrow_ones():
    patient = make_patient("normal", np.random.default_rng(3))
    assert half_height_s(patient.sinus) < 0.04
    assert all(half_height_s(beat) > 0.07 for beat in (*patient.ectopics, patient.tachycardia))
    segment = Segment("HGEA", 1000, 1000 + 60 * RATE_HZ)
    sinus, *ectopic = ectopic_rhythm(patient, segment, np.random.default_rng(4))
    wide_s = np.concatenate([train.time_s for train in ectopic])
    assert wide_s.min() == pytest.approx(4.05), "the rhythm starts with an ectopic beat at its annotation"
    assert 0.4 < wide_s.size / (wide_s.size + sinus.time_s.size) < 0.8
    kinds = np.concatenate([np.zeros(sinus.time_s.size, int), np.ones(wide_s.size, int)])
    ordered = kinds[np.argsort(np.concatenate([sinus.time_s, wide_s]))]
    salvos = [len(run) for run in "".join(map(str, ordered)).split("0") if run]
    assert set(salvos) == {1, 2, 3, 4}


def test_the_rhythm_change_is_visible_at_the_models_rate(records):
    for record in records:
        for label, start in zip(record.label, record.sample, strict=True):
            if label not in {"VFL", "VF", "VFIB"} or start < 1500 or start + 1000 > len(record.signal_mv):
                continue
            before, after = (record.signal_mv[at : at + 1000 : 10] for at in (start - 1000, start))
            frequency_hz, power = welch(np.stack([before, after]), 25, axis=1, nperseg=50)
            band = (frequency_hz > 3.5) & (frequency_hz < 7.5)
            quiet, loud = power[:, band].sum(axis=(1, 2))
            previous = record.label[record.sample.index(start) - 1]
            assert loud > (3 if previous in {"N", "NSR", "BI"} else 0.5) * quiet, (record.name, label, start)


def test_plan_words_become_segments_without_gaps():
    segments = plan_segments("N32 VFL6 HGEA18", np.random.default_rng(0))
    assert [each.label for each in segments] == ["N", "VFL", "HGEA"]
    assert [each.previous for each in segments] == ["", "N", "VFL"]
    assert segments[0].start == 0
    assert [each.start for each in segments[1:]] == [each.stop for each in segments[:-1]]
    for segment, nominal_s in zip(segments, (32, 6, 18), strict=True):
        assert 0.9 * nominal_s * 250 - 1 <= segment.stop - segment.start <= 1.1 * nominal_s * 250 + 1


@pytest.mark.numeric
def test_a_beat_is_a_sum_of_skewed_gaussians():
    beat = Beat(
        np.array([0.0, 0.3]), np.array([0.02, 0.04]), np.array([0.01, 0.08]), np.array([[1.0, -0.5], [0.2, 0.4]])
    )
    signal_mv = np.zeros((250, 2))
    add_train(signal_mv, Train(beat, np.array([0.4]), np.array([2.0]), recovery=0.5))
    # The R wave keeps its place and width; the T wave (centre above 0.1 s) moves to 0.15 s, half as wide.
    for sample in range(250):
        since_r_s, since_t_s = sample / 250 - 0.4, sample / 250 - 0.55
        r = np.exp(-0.5 * (since_r_s / (0.02 if since_r_s < 0 else 0.01)) ** 2)
        t = np.exp(-0.5 * (since_t_s / (0.02 if since_t_s < 0 else 0.04)) ** 2)
        # Waves are cut off at four standard deviations of their wider half, where 0.0003 of them is left.
        np.testing.assert_allclose(signal_mv[sample], [2 * r + 0.4 * t, -r + 0.8 * t], atol=8e-4)
    assert signal_mv[100].tolist() == pytest.approx([2.0, -1.0], abs=1e-3)


@pytest.mark.numeric
def test_the_r_wave_of_a_normal_beat_is_positive_in_the_first_lead():
    """It points to 50 degrees, and that lead to 0 ... 60: they differ by less than 90 degrees."""
    for seed in range(30):
        sinus = make_patient("normal", np.random.default_rng(seed)).sinus
        (r_wave,) = sinus.height_mv[sinus.centre_s == 0]
        assert r_wave[0] > 0


def test_beats_beyond_the_ends_are_dropped():
    beat = Beat(np.array([0.0]), np.array([0.02]), np.array([0.02]), np.array([[1.0, 1.0]]))
    signal_mv = np.zeros((100, 2))
    add_train(signal_mv, Train(beat, np.array([0.0, 0.4, 9.0]), np.ones(3)))
    assert signal_mv[0, 0] == 1.0
    # The beat at sample 100 shows with its first half only: sample 95 lies one deviation before it.
    assert signal_mv[95, 1] == pytest.approx(np.exp(-0.5))
    assert signal_mv[40:75].max() < 1e-3


@pytest.mark.parametrize(("records", "seed", "found"), [(0, 1, "0"), (1, -3, "-3")])
def test_numbers_out_of_range_are_input_errors(tmp_path, records, seed, found):
    with refused(tmp_path / "new", found):
        write_ecg_records(tmp_path / "new", records, seed)
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_folders_place_is_an_input_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with refused(tmp_path / "taken"):
        write_ecg_records(tmp_path / "taken", 1, SEED)


def test_no_room_while_wfdb_writes_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(name: str, *, write_dir: str, **rest: object) -> None:
        (Path(write_dir) / f"{name}.dat").write_bytes(b"half")
        # numpy's words, without a number of the system's.
        raise OSError("202176 requested and 126976 written")

    monkeypatch.setattr(wfdb, "wrsamp", write_half)
    with pytest.raises(InputError) as caught:
        write_ecg_records(tmp_path / "made", 1, 0)
    said = "cannot be written (202176 requested and 126976 written); make room or choose another folder"
    assert str(caught.value).startswith(f"{tmp_path / 'made'}: {said}")
    assert list((tmp_path / "made").iterdir()) == []


def test_records_need_no_room_but_where_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The system's folder for temporary files is often a small one in memory.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))
    write_ecg_records(tmp_path / "made", 1, 0)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["demo01.atr", "demo01.dat", "demo01.hea"]
