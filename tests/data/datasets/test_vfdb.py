"""Windows cut from small WFDB records, from damaged ones, and from the real database."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import wfdb
from refusals import refused
from tolerances import FLOAT32, assert_same

from siwcc.config import VfdbSection
from siwcc.data.datasets import vfdb
from siwcc.data.datasets import wfdb as wfdb_reader
from siwcc.data.datasets.download import read_checksums
from siwcc.data.datasets.interface import Excluded, Sample
from siwcc.io.errors import InputError

SECTION = VfdbSection(format="vfdb")
WITH_SVTA = VfdbSection(format="vfdb", event_labels=(*SECTION.event_labels, "SVTA"))
GAIN = 200


def ramp(samples: int) -> np.ndarray:
    """Digital values that tell sample and lead apart; all valid in format 212."""
    time = np.arange(samples)
    return np.stack([time % 1999 - 999, 500 - time % 997], axis=1)


def write_record(
    folder: Path,
    name: str,
    digital: np.ndarray,
    events: list[tuple[int, str]],
    rate_hz: float = 250,
    format_code: str = "212",
    annotation_rate_hz: float | None = None,
) -> None:
    leads = digital.shape[1]
    record = wfdb.Record(
        record_name=name,
        n_sig=leads,
        fs=rate_hz,
        sig_len=len(digital),
        d_signal=digital,
        fmt=[format_code] * leads,
        adc_gain=[float(GAIN)] * leads,
        baseline=[0] * leads,
        units=["mV"] * leads,
        adc_res=[12] * leads,
        adc_zero=[0] * leads,
        init_value=[int(v) for v in digital[0]],
        checksum=[int(v) for v in digital.sum(axis=0) % 65536],
        block_size=[0] * leads,
        sig_name=[f"lead{k}" for k in range(leads)],
        file_name=[f"{name}.dat"] * leads,
    )
    record.wrsamp(write_dir=str(folder))
    edit_header(folder / f"{name}.hea", *[(f"lead{k}", "ECG") for k in range(leads)])
    write_annotations(folder, name, events, annotation_rate_hz)


def write_annotations(folder: Path, name: str, events: list[tuple[int, str]], rate_hz: float | None = None) -> None:
    samples = np.array([sample for sample, _ in events])
    notes = [note for _, note in events]
    symbols = ["+" if note.startswith("(") else '"' for note in notes]
    wfdb.wrann(name, "atr", samples, symbol=symbols, aux_note=notes, fs=rate_hz, write_dir=str(folder))


def edit_header(path: Path, *replacements: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def read(folder: Path, section: VfdbSection = SECTION) -> list[Sample | Excluded]:
    return list(vfdb.iter_samples(section, folder))


def only_sample(folder: Path, section: VfdbSection = SECTION) -> Sample:
    (sample,) = read(folder, section)
    assert isinstance(sample, Sample)
    return sample


def millivolts(digital: np.ndarray) -> np.ndarray:
    return (digital.T / GAIN).astype(np.float32)


def test_a_centred_window_is_ten_seconds_to_either_side(tmp_path: Path) -> None:
    digital = ramp(20_000)
    write_record(tmp_path, "a1", digital, [(10, "(N\0"), (7300, "(VFL\0")])
    sample = only_sample(tmp_path)
    assert (sample.sample_id, sample.group, sample.label) == ("a1_0007300", "a1", "VFL")
    np.testing.assert_array_equal(sample.signal, millivolts(digital[4800:9800]))
    assert sample.signal.dtype == np.float32
    assert sample.target.dtype == np.float64
    assert sample.target.tolist() == [10.0]
    assert sample.extras["record"] == "a1"
    assert sample.extras["event_sample"] == 7300
    assert sample.extras["window_start"] == 4800
    np.testing.assert_array_equal(sample.extras["context"], millivolts(digital[2300:12300]))
    assert sample.extras["context"].dtype == np.float32
    assert sample.extras["context_valid"].dtype == np.bool_
    assert sample.extras["context_valid"].all()


def test_a_close_event_starts_its_window_at_the_event_before(tmp_path: Path) -> None:
    digital = ramp(30_000)
    # Gaps: 2,499 (one sample below ten seconds), then 2,500 (exactly ten seconds: centred).
    write_record(tmp_path, "a1", digital, [(10_000, "(VT\0"), (12_499, "(VF\0"), (14_999, "(VT\0")])
    samples = read(tmp_path)
    assert [sample.sample_id for sample in samples] == ["a1_0010000", "a1_0012499", "a1_0014999"]
    assert [sample.extras["window_start"] for sample in samples] == [7500, 10_000, 12_499]
    assert [sample.target[0] for sample in samples] == [10.0, 2499 / 250, 10.0]
    np.testing.assert_array_equal(samples[1].signal, millivolts(digital[10_000:15_000]))


def test_previous_event_is_the_counted_one_before_in_the_record(tmp_path: Path) -> None:
    # At 9,000 two at once; SVTA does not count; 19,000 has invalid samples around it and counts all the same.
    notes = [(7000, "(VT\0"), (9000, "(VF\0"), (9000, "(VT\0"), (9500, "(SVTA\0"), (19_000, "(VT\0"), (28_000, "(VT\0")]
    digital = ramp(40_000)
    digital[17_000, 0] = -2048
    write_record(tmp_path, "a1", digital, notes)
    write_record(tmp_path, "a2", ramp(20_000), [(7000, "(VT\0")])
    found = {
        item.sample_id: int(item.extras["previous_event"]) if isinstance(item, Sample) else item.reason
        for item in read(tmp_path)
    }
    assert found == {
        "a1_0007000": -1,
        "a1_0009000": 7000,
        "a1_0009000_2": "a further event (VT) at one sample",
        "a1_0019000": "1 of 5000 samples in the window are invalid",
        "a1_0028000": 19_000,
        "a2_0007000": -1,
    }


def test_an_event_at_the_records_first_sample_is_a_previous_event(tmp_path: Path) -> None:
    write_record(tmp_path, "a1", ramp(20_000), [(0, "(VT\0"), (1000, "(VF\0")])
    first, second = read(tmp_path)
    assert (first.extras["previous_event"], second.extras["previous_event"]) == (-1, 0)
    assert second.extras["window_start"] == 0
    assert second.extras["previous_event"].dtype == np.int64


def test_only_the_immediately_previous_counted_event_matters(tmp_path: Path) -> None:
    notes = [(10_000, "(VT\0"), (11_000, "(N\0"), (12_000, "(SVTA\0"), (13_000, "(VT\0"), (14_000, "(VF\0")]
    write_record(tmp_path, "a1", ramp(30_000), notes)
    starts = {sample.sample_id: int(sample.extras["window_start"]) for sample in read(tmp_path)}
    # 13,000 is 3,000 samples after the VT; SVTA does not count. 14,000 starts at 13,000, not at 12,000.
    assert starts == {"a1_0010000": 7500, "a1_0013000": 10_500, "a1_0014000": 13_000}
    starts = {sample.sample_id: int(sample.extras["window_start"]) for sample in read(tmp_path, WITH_SVTA)}
    assert starts == {"a1_0010000": 7500, "a1_0012000": 10_000, "a1_0013000": 12_000, "a1_0014000": 13_000}


def test_near_the_start_the_window_is_short_and_padded_at_its_end(tmp_path: Path) -> None:
    digital = ramp(20_000)
    write_record(tmp_path, "a1", digital, [(38, "(VT\0")])
    sample = only_sample(tmp_path)
    assert sample.extras["window_start"] == 0
    assert sample.target.tolist() == [38 / 250]
    np.testing.assert_array_equal(sample.signal[:, :2538], millivolts(digital[:2538]))
    assert not sample.signal[:, 2538:].any()
    # The context's sample 5000 is the event: 4,962 samples lie before the record.
    valid = sample.extras["context_valid"]
    assert not valid[:4962].any()
    assert valid[4962:].all()
    np.testing.assert_array_equal(sample.extras["context"][:, 4962:], millivolts(digital[:5038]))
    assert not sample.extras["context"][:, :4962].any()


def test_near_the_end_the_window_is_padded_with_zeros(tmp_path: Path) -> None:
    digital = ramp(20_000)
    write_record(tmp_path, "a1", digital, [(18_900, "(VT\0"), (19_000, "(VF\0")])
    first, second = read(tmp_path)
    assert (first.extras["window_start"], second.extras["window_start"]) == (16_400, 18_900)
    np.testing.assert_array_equal(first.signal[:, :3600], millivolts(digital[16_400:]))
    assert not first.signal[:, 3600:].any()
    np.testing.assert_array_equal(second.signal[:, :1100], millivolts(digital[18_900:]))
    assert not second.signal[:, 1100:].any()
    assert second.target.tolist() == [100 / 250]
    assert second.extras["context_valid"].tolist() == [True] * 6000 + [False] * 4000


def test_an_event_close_after_one_near_the_start_has_a_whole_window(tmp_path: Path) -> None:
    digital = ramp(20_000)
    write_record(tmp_path, "a1", digital, [(38, "(VT\0"), (1038, "(VF\0")])
    second = read(tmp_path)[1]
    assert second.extras["window_start"] == 38
    np.testing.assert_array_equal(second.signal, millivolts(digital[38:5038]))


@pytest.mark.parametrize(
    ("note", "counts"),
    [
        ("(VF\0", True),
        ("(VF", True),
        ("(VF \0\0", True),
        ("(VFIB\0", True),
        ("(SVTA\0", False),
        ("(VFX\0", False),
        ("(vf\0", False),
        ("VF\0", False),
    ],
)
def test_labels_match_exactly_and_only_on_rhythm_annotations(tmp_path: Path, note: str, counts: bool) -> None:
    # The note without a bracket is written with another annotation code (a comment).
    write_record(tmp_path, "a1", ramp(12_000), [(6000, note)])
    assert len(read(tmp_path)) == counts


def test_events_at_one_sample_count_once(tmp_path: Path) -> None:
    write_record(tmp_path, "a1", ramp(20_000), [(6000, "(VT\0"), (6000, "(VF\0"), (6000, "(VFL\0"), (7000, "(VF\0")])
    first, second, third, last = read(tmp_path)
    assert (first.sample_id, first.label) == ("a1_0006000", "VT")
    assert second == Excluded("a1_0006000_2", "a further event (VF) at one sample")
    assert third == Excluded("a1_0006000_3", "a further event (VFL) at one sample")
    assert last.extras["window_start"] == 6000


def test_samples_of_all_records_are_sorted_as_strings(tmp_path: Path) -> None:
    # `4_1` before `41` in a file listing, after it by id; ids of `4` and `4_1` interleave.
    for name in ("41", "4", "4_1", "quiet"):
        events = [] if name == "quiet" else [(6000, "(VT\0"), (12_000, "(VF\0")]
        write_record(tmp_path, name, ramp(14_000), [(1, "(N\0"), *events])
    ids = [sample.sample_id for sample in read(tmp_path)]
    assert ids == sorted(ids)
    assert ids == ["41_0006000", "41_0012000", "4_0006000", "4_0012000", "4_1_0006000", "4_1_0012000"]


def test_another_window_length_follows_the_section(tmp_path: Path) -> None:
    digital = ramp(10_000)
    write_record(tmp_path, "a1", digital, [(5000, "(VT\0"), (5499, "(VF\0")])
    first, second = read(tmp_path, VfdbSection(format="vfdb", window_s=4))
    np.testing.assert_array_equal(first.signal, millivolts(digital[4500:5500]))
    assert (first.target[0], second.target[0]) == (2.0, 499 / 250)
    assert second.extras["context"].shape == (2, 2000)


def test_invalid_samples_exclude_their_windows_only(tmp_path: Path) -> None:
    digital = ramp(40_000)
    digital[9_000:9_003, 1] = -2048  # format 212's mark of an invalid sample
    digital[9_002:9_005, 0] = -2048
    write_record(tmp_path, "a1", digital, [(8000, "(VT\0"), (13_000, "(VF\0"), (30_000, "(VT\0")])
    first, second, third = read(tmp_path)
    assert first == Excluded("a1_0008000", "5 of 5000 samples in the window are invalid")
    # The second window starts at 10,500; its context, from 8,000, holds the invalid samples 1,000 ... 1,004.
    assert isinstance(second, Sample)
    assert np.flatnonzero(~second.extras["context_valid"]).tolist() == [1000, 1001, 1002, 1003, 1004]
    assert not second.extras["context"][:, 1000:1005].any()
    assert isinstance(third, Sample)


def test_an_annotation_past_the_end_is_excluded(tmp_path: Path) -> None:
    write_record(tmp_path, "a1", ramp(12_000), [(6000, "(VT\0"), (11_999, "(VF\0"), (12_000, "(VFL\0")])
    kept, last, past = read(tmp_path)
    assert isinstance(kept, Sample)
    assert last.target.tolist() == [10.0]
    reason = "the annotation at sample 12000 lies past the record's end (12000 samples)"
    assert past == Excluded("a1_0012000", reason)


@pytest.mark.numeric
def test_another_rate_is_resampled_with_one_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rate_hz, samples = 360, 360 * 60
    time_s = np.arange(samples) / rate_hz
    tones = np.stack([800 * np.sin(2 * np.pi * 3 * time_s), 300 + 500 * np.cos(2 * np.pi * 7 * time_s)], axis=1)
    for name in ("a1", "a2"):
        write_record(tmp_path, name, np.round(tones).astype(int), [(10_800, "(VT\0"), (12_960, "(VF\0")], rate_hz)
    with caplog.at_level(logging.WARNING):
        samples_read = read(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 2 records are not sampled at 250 Hz and are resampled (first: a1, 360 Hz)"
    ]
    # 10,800 and 12,960 samples at 360 Hz are 30 s and 36 s: samples 7,500 and 9,000 at 250 Hz.
    assert [sample.sample_id for sample in samples_read[:2]] == ["a1_0007500", "a1_0009000"]
    assert samples_read[1].target.tolist() == [6.0]
    window_s = 20 + np.arange(5000) / 250
    expected = np.stack([4 * np.sin(2 * np.pi * 3 * window_s), 1.5 + 2.5 * np.cos(2 * np.pi * 7 * window_s)])
    # Rounding to 1/200 mV, and the resampling filter's ripple of 0.3 %.
    np.testing.assert_allclose(samples_read[0].signal, expected, atol=0.015)


@pytest.mark.numeric
def test_resampling_keeps_invalid_samples_local_and_the_ends_level(tmp_path: Path) -> None:
    digital = np.full((500 * 60, 2), 600)
    digital[20_000] = -2048
    write_record(tmp_path, "a1", digital, [(5001, "(VT\0"), (20_000, "(VF\0"), (29_999, "(VT\0")], rate_hz=500)
    first, second, third = read(tmp_path)
    # 2500.5 rounds to the even neighbour; the last sample of 30,000 stays inside 15,000.
    assert first.sample_id == "a1_0002500"
    assert third.sample_id == "a1_0014999"
    # The ripple of the resampling filter, 0.3 %.
    np.testing.assert_allclose(first.signal[:, :5000], 3.0, atol=0.01)
    np.testing.assert_allclose(third.signal[:, :2501], 3.0, atol=0.01)
    assert isinstance(second, Excluded)
    assert second.reason.endswith("of 5000 samples in the window are invalid")


def test_the_annotations_own_time_resolution_is_honoured(tmp_path: Path) -> None:
    digital = ramp(20_000)
    write_record(tmp_path, "a1", digital, [(8000, "(VT\0")], annotation_rate_hz=500)
    sample = only_sample(tmp_path)
    assert sample.sample_id == "a1_0004000"
    np.testing.assert_array_equal(sample.signal, millivolts(digital[1500:6500]))


def test_a_rate_beyond_reason_is_an_error(tmp_path: Path) -> None:
    write_record(tmp_path, "a1", ramp(20_000), [(8000, "(VT\0")], rate_hz=2)
    with refused(tmp_path / "a1.hea", "2 Hz", remedy=None):
        read(tmp_path)


def test_the_first_two_of_three_leads_are_read(tmp_path: Path) -> None:
    digital = np.concatenate([ramp(12_000), ramp(12_000)[:, :1] // 2], axis=1)
    write_record(tmp_path, "a1", digital, [(6000, "(VT\0")])
    np.testing.assert_array_equal(only_sample(tmp_path).signal, millivolts(digital[3500:8500, :2]))


@pytest.mark.numeric
def test_microvolts_become_millivolts(tmp_path: Path) -> None:
    digital = ramp(12_000)
    write_record(tmp_path, "a1", digital, [(6000, "(VT\0")])
    edit_header(tmp_path / "a1.hea", ("/mV", "/uV"))
    expected = digital[3500:8500].T / GAIN / 1000
    assert_same(only_sample(tmp_path).signal, expected, FLOAT32)


@pytest.mark.parametrize("format_code", ["16", "80", "24", "32"])
def test_other_signal_formats(tmp_path: Path, format_code: str) -> None:
    digital = np.clip(ramp(12_000), -120, 120)
    write_record(tmp_path, "a1", digital, [(6000, "(VT\0")], format_code=format_code)
    np.testing.assert_array_equal(only_sample(tmp_path).signal, millivolts(digital[3500:8500]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sound records in a folder with a blank, a quote and an umlaut in its name."""
    folder = tmp_path / "-mein 'schöner' satz"
    folder.mkdir()
    write_record(folder, "a1", ramp(12_000), [(6000, "(VT\0")])
    write_record(folder, "a2", ramp(12_000), [(1, "(N\0"), (7000, "(VF\0")])
    return folder


def assert_refused(folder: Path, file: str, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(folder)
    line = str(caught.value)
    assert line.startswith(f"{folder / file}: ")
    assert "\n" not in line
    for word in words:
        assert word in line


def test_the_sound_folder_reads(folder: Path) -> None:
    assert [sample.sample_id for sample in read(folder)] == ["a1_0006000", "a2_0007000"]


def test_raw_files_are_what_is_read_and_nothing_else(folder: Path) -> None:
    for extra in ("RECORDS", "SHA256SUMS.txt", "a3.dat", "._a1.hea"):
        (folder / extra).write_bytes(b"x")
    names = ["a1.atr", "a1.dat", "a1.hea", "a2.atr", "a2.dat", "a2.hea"]
    assert vfdb.raw_files(SECTION, folder) == [folder / name for name in names]
    assert len(read(folder)) == 2


def test_an_empty_folder(tmp_path: Path) -> None:
    for call in (partial(vfdb.raw_files, SECTION), read):
        with refused(tmp_path):
            call(tmp_path)


@pytest.mark.parametrize("suffix", ["atr", "dat"])
def test_a_missing_file(folder: Path, suffix: str) -> None:
    (folder / f"a2.{suffix}").unlink()
    assert_refused(folder, f"a2.{suffix}", "does not exist, but a2.hea needs it")
    with refused(folder / f"a2.{suffix}", "a2.hea", remedy=None):
        vfdb.raw_files(SECTION, folder)


def test_a_truncated_signal_file(folder: Path) -> None:
    path = folder / "a2.dat"
    path.write_bytes(path.read_bytes()[:20_000])
    # 12,000 samples of two leads, 1.5 bytes each.
    assert_refused(folder, "a2.dat", "has 20000 bytes where a2.hea promises 36000", "12000 samples of 2 leads")


@pytest.mark.parametrize("promised", [11_999, 12_001, 10**15])
def test_a_header_that_promises_other_sample_counts(folder: Path, promised: int) -> None:
    edit_header(folder / "a1.hea", (" 12000", f" {promised}"))
    assert_refused(folder, "a1.dat", "has 36000 bytes", f"for {promised} samples")


def test_a_changed_signal_fails_its_checksum(folder: Path) -> None:
    path = folder / "a1.dat"
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    assert_refused(folder, "a1.dat", "lead 1 does not match its checksum in a1.hea")


def test_swapped_signals_fail_their_checksum(folder: Path) -> None:
    write_record(folder, "a2", ramp(12_000)[::-1] + 1, [(7000, "(VF\0")])
    first, second = folder / "a1.dat", folder / "a2.dat"
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert_refused(folder, "a1.dat", "does not match its checksum")


def test_one_lead_is_not_enough(folder: Path) -> None:
    write_record(folder, "a2", ramp(12_000)[:, :1], [(6000, "(VT\0")])
    assert_refused(folder, "a2.hea", "has 1 lead(s), and 2 are needed")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a1 2 250", "a2 2 250", "describes the record 'a2'"),
        ("a1 2 250", "a1 3 250", "promises 3 leads and describes 2"),
        ("a1 2 250", "a1/2 2 250", "WFDB header"),
        ("a1 2 250 ", "a1 2 0 ", "gives 0 Hz as the sampling rate"),
        ("a1 2 250", "?", "is no readable WFDB header"),
        ("a1.dat 212", "a1.dat 213", "lead 1: the signal format '213' is not supported"),
        ("/mV", "/bpm", "lead 1: the unit 'bpm'"),
        ("200.0(0)/mV", "1e999(0)/mV", "the gain is inf"),
        ("12 0 -999", "12 0 ?", "'?' is no whole number"),
        ("a1.dat", "~", "lead 1: it has no signal file"),
    ],
)
def test_a_damaged_header(folder: Path, old: str, new: str, words: str) -> None:
    edit_header(folder / "a1.hea", (old, new))
    assert_refused(folder, "a1.hea", words)


def test_a_header_that_points_elsewhere(folder: Path) -> None:
    (folder.parent / "a1.dat").write_bytes((folder / "a1.dat").read_bytes())
    edit_header(folder / "a1.hea", ("a1.dat", "../a1.dat"))
    assert_refused(folder, "a1.hea", "lead 1", "'../a1.dat'")


def test_an_empty_header_and_a_binary_one(folder: Path) -> None:
    for content, words in ((b"", "WFDB header"), (bytes(range(256)) * 4, "is no text")):
        (folder / "a1.hea").write_bytes(content)
        assert_refused(folder, "a1.hea", words)


def test_a_cut_annotation_file(folder: Path) -> None:
    path = folder / "a1.atr"
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        assert_refused(folder, "a1.atr")


def test_annotations_out_of_order(folder: Path) -> None:
    # Two SKIPs (code 59, then a 32-bit step with its high half first): 100 forward, 50 back.
    rhythm = bytes([0, 28 << 2])
    forward, back = (bytes([0, 59 << 2, *step]) for step in ((0, 0, 100, 0), (255, 255, 206, 255)))
    (folder / "a1.atr").write_bytes(forward + rhythm + back + rhythm + b"\0\0")
    assert_refused(folder, "a1.atr", "not in the order of time")


@pytest.mark.parametrize(
    "notes",
    [
        ["## something else"],
        ["## time resolution: fast"],
        ["## time"],
        ["## time resolution: 250", "## time resolution: 250"],
        ["## end of definitions"],
        ["## annotation type definitions\0", "## end of definitions"],
    ],
)
def test_a_definition_that_would_hang_the_reader(folder: Path, notes: list[str]) -> None:
    write_annotations(folder, "a1", [*((0, note) for note in notes), (6000, "(VT\0")])
    assert_refused(folder, "a1.atr", "definition that WFDB does not know")


def test_proper_definitions_are_read_over(folder: Path) -> None:
    notes = ["## time resolution: 250", "## annotation type definitions", "42 z own", "## end of definitions"]
    write_annotations(folder, "a1", [*((0, note) for note in notes), (6000, "(VT\0")])
    assert [sample.sample_id for sample in read(folder)] == ["a1_0006000", "a2_0007000"]


def test_damage_at_random_ends_in_a_result_or_one_line(folder: Path) -> None:
    rng = np.random.default_rng(7)
    sound = {name: (folder / name).read_bytes() for name in ("a1.hea", "a1.atr", "a1.dat")}
    refused = Counter[str]()
    for number in range(45):
        name = sorted(sound)[number % 3]
        content = bytearray(sound[name])
        for place in rng.integers(0, len(content), size=3):
            content[place] = rng.integers(0, 256)
        (folder / name).write_bytes(content)
        try:
            items = read(folder)
        except InputError:
            refused[name] += 1
        else:
            assert all(np.isfinite(item.signal).all() for item in items if isinstance(item, Sample))
        (folder / name).write_bytes(sound[name])
    # The checksum is a sum of 16 bits: three changed bytes rarely leave it as it was, and none of these do.
    assert refused["a1.dat"] == 15


def test_the_checksums_name_the_66_files() -> None:
    sums = vfdb.published_sums(SECTION)
    records = {name.partition(".")[0] for name in sums}
    assert len(records) == 22
    assert set(sums) == {f"{record}.{suffix}" for record in records for suffix in ("hea", "dat", "atr")}


def test_download_needs_an_address(tmp_path: Path) -> None:
    section = VfdbSection(format="vfdb", url=None)
    with refused("config: datasets.mine.url", remedy="datasets.mine.path"):
        vfdb.download(section, tmp_path / "mine")


def test_a_missing_list_of_checksums_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wfdb_reader, "CHECKSUMS", tmp_path)
    with refused(tmp_path / "vfdb.sha256", remedy=None):
        vfdb.download(SECTION, tmp_path / "vfdb")


COUNTS_WITH_SVTA = (
    "418:60 419:33 420:3 421:50 422:5 423:2 424:5 425:1 426:10 427:2 428:3 429:5 430:23 602:5 605:1 607:7"
    " 609:6 610:12 611:2 612:1 614:1 615:5"
)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> list[Sample]:
    return read(shared_data / "vfdb")


@pytest.fixture(scope="module")
def real_with_svta(shared_data: Path) -> list[Sample]:
    return read(shared_data / "vfdb", WITH_SVTA)


def starts_at_another_event(sample: Sample, samples: list[Sample]) -> bool:
    events = {(other.group, int(other.extras["event_sample"])) for other in samples}
    return sample.target[0] < 10 and (sample.group, int(sample.extras["window_start"])) in events


def test_the_real_events_with_six_labels(real: list[Sample]) -> None:
    assert all(isinstance(sample, Sample) for sample in real)
    assert Counter(sample.label for sample in real) == {
        "VFL": 98,
        "VT": 93,
        "HGEA": 19,
        "ASYS": 13,
        "VF": 9,
        "VFIB": 4,
    }
    assert sum(sample.target[0] == 10 for sample in real) == 134
    assert sum(starts_at_another_event(sample, real) for sample in real) == 102


@pytest.mark.slow
def test_the_real_events_with_svta(real_with_svta: list[Sample]) -> None:
    counts = Counter(sample.group for sample in real_with_svta)
    assert " ".join(f"{record}:{counts[record]}" for record in sorted(counts)) == COUNTS_WITH_SVTA
    shifted = [starts_at_another_event(sample, real_with_svta) for sample in real_with_svta]
    assert (shifted.count(False), shifted.count(True)) == (137, 105)


@pytest.mark.slow
def test_dropping_svta_moves_one_kept_window(real: list[Sample], real_with_svta: list[Sample]) -> None:
    before = {sample.sample_id: int(sample.extras["window_start"]) for sample in real_with_svta}
    after = {sample.sample_id: int(sample.extras["window_start"]) for sample in real}
    moved = {name: (before[name], start) for name, start in after.items() if before[name] != start}
    assert moved == {"426_0444269": (442_538, 441_769)}


@pytest.mark.slow
def test_one_real_window_is_padded(real: list[Sample], real_with_svta: list[Sample]) -> None:
    def padded(samples: list[Sample]) -> list[str]:
        return [sample.sample_id for sample in samples if not sample.signal[:, -1000:].any()]

    assert padded(real) == []
    assert padded(real_with_svta) == ["611_0000038"]


def test_real_windows_equal_a_plain_decoding(real: list[Sample], shared_data: Path) -> None:
    """Format 212 by its description: two 12-bit numbers in three bytes, two's complement; 200 units a mV."""
    for sample in (real[0], real[100], real[-1]):
        content = np.fromfile(shared_data / "vfdb" / f"{sample.group}.dat", dtype=np.uint8).astype(int).reshape(-1, 3)
        leads = np.stack([content[:, 0] + 256 * (content[:, 1] % 16), content[:, 2] + 256 * (content[:, 1] // 16)])
        leads[leads >= 2048] -= 4096
        start = int(sample.extras["window_start"])
        np.testing.assert_array_equal(sample.signal, (leads[:, start : start + 5000] / 200).astype(np.float32))


def test_the_real_files_have_the_kept_checksums(shared_data: Path) -> None:
    kept = vfdb.published_sums(SECTION)
    assert kept == read_checksums(shared_data / "vfdb" / "SHA256SUMS.txt")
    assert sorted(kept) == [path.name for path in vfdb.raw_files(SECTION, shared_data / "vfdb")]


def test_an_event_ends_at_the_next_rhythm_that_is_no_event(tmp_path: Path) -> None:
    # VF does not end VT; noise does; nothing ends the last; an end past the record's end is none.
    rhythms = [(10, "(N\0"), (4000, "(VT\0"), (5000, "(VF\0"), (6000, "(NOISE\0"), (6100, "(N\0"), (14_000, "(VFL\0")]
    write_record(tmp_path, "a1", ramp(20_000), rhythms)
    write_record(tmp_path, "a2", ramp(20_000), [(14_000, "(VFL\0"), (20_500, "(N\0")])
    section = VfdbSection(format="vfdb", points=("onset", "end"))
    assert {sample.sample_id: int(sample.extras["end_sample"]) for sample in read(tmp_path, section)} == {
        "a1_0004000": 6000,
        "a1_0005000": 6000,
        "a1_0014000": -1,
        "a2_0014000": -1,
    }
    assert all("end_sample" not in sample.extras for sample in read(tmp_path))


def test_an_end_is_resampled_with_its_record(tmp_path: Path) -> None:
    write_record(tmp_path, "a1", ramp(10_000), [(4000, "(VT\0"), (4600, "(N\0")], rate_hz=125)
    sample = only_sample(tmp_path, VfdbSection(format="vfdb", points=("onset", "end")))
    assert (sample.extras["event_sample"], sample.extras["end_sample"]) == (8000, 9200)
