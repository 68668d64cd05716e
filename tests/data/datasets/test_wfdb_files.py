"""WFDB records as they are published: written by wfdb or by the format's description, read to the digit."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import wfdb
from refusals import refused

from siwcc.config import VfdbSection
from siwcc.data.datasets import vfdb
from siwcc.data.datasets.wfdb_annotations import read_annotations
from siwcc.data.datasets.wfdb_files import Needs, WfdbRecord, decode_mv, note_unchecked, read_header

REPAIR, LEADS = "mend it", "choose other leads"
# 11 samples: neither two nor three to a block.
DIGITS = np.array([5, -3, 100, 0, 99, -100, 7, 8, 9, -1, 2])


def checksum(values: np.ndarray) -> int:
    total = int(np.sum(values)) % 65536
    return total - 65536 if total >= 32768 else total


def open_record(folder: Path, name: str, *leads: int) -> WfdbRecord:
    return read_header(folder, name, Needs(leads or (0,), REPAIR, LEADS))


def read(folder: Path, name: str, *leads: int) -> np.ndarray:
    record = open_record(folder, name, *leads)
    return record.recording(record.rate_hz).read_mv()


def write_plain(folder: Path, header: str, name: str = "r", file: str = "r.dat", offset: int = 0) -> None:
    """The digits in format 16, under a header in which `{sum}` is their checksum."""
    (folder / file).write_bytes(b"\7" * offset + DIGITS.astype("<i2").tobytes())
    (folder / f"{name}.hea").write_text(header.replace("{sum}", str(checksum(DIGITS))), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("r", "r 1 300 11\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11 2014-05-08 05:05:15 \nr.dat 16 100/mV 16 0 5 {sum} 0 ECG \n"),
        ("r", "r 1 300 11 05:05:15 08/05/2014\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11 2006\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11 1/1/06 24:00:00\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11 05-May-2020 09:49:17\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r.mat 1 300 11\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "set/part/r 1 300 11\nset/part/r.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "set\\r.hea 1 300 11\nset\\r.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("100", "mitdb/100 1 300 11\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r.1", "r.1 1 300 11\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300/300(0) 11\n\n# a comment\nr.dat\t16\t100(0)/mV\t16 0 5 {sum} 0\tECG lead II\n"),
        ("r", "r 1 3e2 11\r\nr.dat 16 1e2 16 0 5 {sum}\r\n"),
        ("r", "\ufeffr 1 300.0 11\nr.dat 16x1:0+0 100/mV 16 0 5 {sum} 0 Ableitung für µV 5\n"),
        ("r", "r 1 300\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 0 05:05:15\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 2014-05-08 05:05:15\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11\nr.dat 16 100/mV 16 0 5 0 0 ECG\n"),
        ("r", "r 1 300 11\nr.dat 16 100/mV\n"),
        ("r", "r 1 300 11\nr.dat 16 100/mV 16 0 ECG\n"),
        ("r", "r 1 300 11\nr.dat 16 0.1/µV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11\nr.dat 16 0.1/μV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11\nr.dat 16 0.1/uV 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11\nr.dat 16 100000/V 16 0 5 {sum} 0 ECG\n"),
        ("r", "r 1 300 11\nr.dat 16 100(0.0)/MV 16 7 5 {sum} 0 ECG\n"),
    ],
)
def test_a_header_as_published(tmp_path: Path, name: str, header: str) -> None:
    write_plain(tmp_path, header, name)
    np.testing.assert_allclose(read(tmp_path, name), [DIGITS / 100], rtol=1e-12)
    assert open_record(tmp_path, name).rate_hz == 300


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_the_sign_for_micro_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    write_plain(tmp_path, "")
    (tmp_path / "r.hea").write_text(f"r 1 300 11\nr.dat 16 0.1/µV 16 0 5 {checksum(DIGITS)} 0 ECG\n", encoding=encoding)
    np.testing.assert_allclose(read(tmp_path, "r"), [DIGITS / 100], rtol=1e-12)


def test_samples_after_the_head_of_another_format(tmp_path: Path) -> None:
    # A MATLAB 4 file: 24 bytes before the samples.
    for length in (" 11", ""):
        write_plain(tmp_path, f"r 1 300{length}\nr.mat 16+24 100/mV 16 0 5 {{sum}} 0 I\n", file="r.mat", offset=24)
        np.testing.assert_array_equal(read(tmp_path, "r"), [DIGITS / 100])


def test_volts_that_are_no_ecg_are_refused(tmp_path: Path) -> None:
    # As a program writes it that drops the sign for micro.
    write_plain(tmp_path, "r 1 300 11\nr.dat 16 1/V 16 0 5 {sum} 0 ECG\n")
    with refused(tmp_path / "r.hea", "lead 1", "100 V", "µV"):
        read(tmp_path, "r")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("r 1 300 11 \nr.dat 16 100/mV 16 0 5 7 0 ECG\n", ["lead 1", "checksum"]),
        ("r 1 300\nr.dat 16 100/mV 16 0 5 7 0 ECG\n", ["lead 1", "checksum"]),
        ("r 1 300 12\nr.dat 16 100/mV 16 0 5 0 0 ECG\n", ["22 bytes", "24"]),
        ("r 1 300\nr.dat 16x2 100/mV 16 0 5 0 0 ECG\n", ["22 bytes"]),
    ],
)
def test_a_signal_that_is_not_the_headers(tmp_path: Path, header: str, found: list[str]) -> None:
    write_plain(tmp_path, header)
    with refused(tmp_path / "r.dat", *found, remedy=REPAIR):
        read(tmp_path, "r")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("q 1 300 11\nr.dat 16\n", ["'q'"]),
        ("q/r2 1 300 11\nr.dat 16\n", ["'q/r2'"]),
        ("r one 300 11\nr.dat 16\n", ["'one'"]),
        ("r 1 fast 11\nr.dat 16\n", ["'fast'"]),
        ("r 1 1e999 11\nr.dat 16\n", ["inf Hz"]),
        ("r 1 0 11\nr.dat 16\n", ["0 Hz"]),
        ("r 1 300 11\nr.dat\n", ["format", "r.dat"]),
        ("r 1 300 11\nr.dat 16x 100\n", ["'16x'"]),
        ("r 1 300 11\nr.dat 16 ten/mV\n", ["'ten/mV'"]),
        ("r 1 300 11\nr.dat 16 100/mV 16 x 5 1 0 ECG\n", ["'x'"]),
        ("r 1 300 11\nr.dat 16 1e999/mV\n", ["lead 1", "gain"]),
        ("r 1 300 11\n/etc/r.dat 16 100/mV\n", ["lead 1", "'/etc/r.dat'"]),
        ("r 1 300 11\n..\\r.dat 16 100/mV\n", ["lead 1", "r.dat"]),
        ("r 2 300 11\nr.dat 16 100/mV\n", ["2 leads", "1"]),
        ("r/2 1 300 11\nr.dat 11\n", ["2 segments", "1"]),
        ("r/0 1 300 11\n", ["0 segments"]),
        ("r/-1 1 300 11\n", ["-1 segments"]),
        ("r/1 1 300 11\nr 11\n", ["'r'"]),
        ("r/1 1 300 11\nsub/s 11\n", ["'sub/s'"]),
        ("r/1 1 300 99999999999\n~ 99999999999\n", []),
    ],
)
def test_a_header_that_is_none(tmp_path: Path, header: str, found: list[str]) -> None:
    write_plain(tmp_path, header)
    with refused(tmp_path / "r.hea", *found):
        open_record(tmp_path, "r")


def test_one_line_says_what_was_not_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_plain(tmp_path, "r 1 300 11\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n")
    write_plain(tmp_path, "q 1 300\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\n", "q")
    write_plain(tmp_path, "p 2 300 11\nr.dat 16 100/mV 16 0 5 0 0 ECG\nz.dat 16 1/mmHg 16 0 0 0 0 ABP\n", "p")
    # Their true sum is 0.
    (tmp_path / "o.dat").write_bytes(np.array([-1, 1], dtype="<i2").tobytes())
    (tmp_path / "o.hea").write_text("o 1 300 2\no.dat 16 100/mV 16 0 -1 0 0 ECG\n")
    records = {name: open_record(tmp_path, name) for name in "orqp"}
    note_unchecked(record for name, record in records.items() if name != "q")
    for record in records.values():
        record.recording(300).read_mv()
    note_unchecked([records["o"], records["r"]])
    assert caplog.records == []
    with caplog.at_level(logging.WARNING):
        note_unchecked(records.values())
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(tmp_path / "q.hea") in line
    assert "1 more" in line
    assert "length" in line
    assert "checksum" in line


@pytest.mark.parametrize("code", ["16", "24", "32", "80", "212", "508", "516", "524"])
@pytest.mark.parametrize("with_length", [True, False])
def test_every_signal_format_that_wfdb_writes(tmp_path: Path, code: str, with_length: bool) -> None:
    digital = np.stack([DIGITS, DIGITS[::-1] // 2, np.arange(11) * 3], axis=1)
    arguments = {"units": ["mV"] * 3, "sig_name": list("abc"), "fmt": [code] * 3, "adc_gain": [100.0] * 3}
    wfdb.wrsamp("r", fs=250, d_signal=digital, baseline=[3] * 3, write_dir=str(tmp_path), **arguments)
    if not with_length:
        header = (tmp_path / "r.hea").read_text()
        (tmp_path / "r.hea").write_text(header.replace("r 3 250 11", "r 3 250"))
    np.testing.assert_array_equal(read(tmp_path, "r", 2, 0), (digital[:, [2, 0]].T - 3) / 100)


@pytest.mark.parametrize("code", ["16", "212"])
def test_frames_from_the_middle_of_a_block(tmp_path: Path, code: str) -> None:
    lowest = {"16": -32768, "212": -2048}[code]
    digital = np.stack([DIGITS, np.where(DIGITS == 0, lowest, DIGITS * 20), -DIGITS], axis=1)
    arguments = {"units": ["mV"] * 3, "sig_name": list("abc"), "fmt": [code] * 3, "adc_gain": [100.0] * 3}
    wfdb.wrsamp("r", fs=250, d_signal=digital, baseline=[0] * 3, write_dir=str(tmp_path), **arguments)
    record = open_record(tmp_path, "r", 0, 1, 2)
    for start, stop in ((0, 11), (1, 11), (3, 8), (4, 5)):
        signals, sums = decode_mv(record, record.files[0], start, stop)
        part = digital[start:stop]
        expected = np.where(part == lowest, np.nan, part / 100)
        np.testing.assert_array_equal(np.stack([signals[lead] for lead in range(3)], axis=1), expected)
        assert [sums[lead] for lead in range(3)] == part.sum(axis=0).tolist()


def in_words(samples: np.ndarray, code: str) -> bytes:
    """Ten bits per sample, three samples in two words of 16 bits (310) or one of 32 (311), by signal(5)."""
    first, second, third = (samples.astype(np.int64) & 1023).reshape(-1, 3).T
    if code == "311":
        return (first | second << 10 | third << 20).astype("<u4").tobytes()
    words = np.stack([first << 1 | (third & 31) << 11, second << 1 | third >> 5 << 11], axis=1)
    return words.astype("<u2").tobytes()


@pytest.mark.parametrize("code", ["8", "61", "160", "310", "311"])
@pytest.mark.parametrize("with_length", [True, False])
def test_every_other_signal_format_by_its_description(tmp_path: Path, code: str, with_length: bool) -> None:
    digital = np.stack([DIGITS // 2, DIGITS[::-1] // 2, np.arange(11) * 3], axis=1)
    content = {
        "8": np.diff(digital, axis=0, prepend=digital[:1]).astype("<i1").tobytes(),
        "61": digital.astype(">i2").tobytes(),
        "160": (digital + 32768).astype("<u2").tobytes(),
    }.get(code) or in_words(digital.ravel(), code)
    (tmp_path / "r.dat").write_bytes(content)
    lines = [f"r.dat {code} 100(3)/mV 12 0 {lead[0]} {checksum(lead)} 0 x\n" for lead in digital.T]
    (tmp_path / "r.hea").write_text(f"r 3 250{' 11' * with_length}\n{''.join(lines)}")
    np.testing.assert_array_equal(read(tmp_path, "r", 2, 0), (digital[:, [2, 0]].T - 3) / 100)


def test_a_flac_file_that_is_cut_or_of_another_length(tmp_path: Path) -> None:
    digital = np.random.default_rng(1).integers(-500, 500, (5000, 2))
    wfdb.wrsamp("r", 250, ["mV"] * 2, ["a", "b"], d_signal=digital, fmt=["516"] * 2, adc_gain=[200.0] * 2,
                baseline=[0] * 2, write_dir=str(tmp_path))  # fmt: skip
    np.testing.assert_array_equal(read(tmp_path, "r", 1), [digital[:, 1] / 200])
    path = tmp_path / "r.dat"
    sound = path.read_bytes()
    path.write_bytes(sound[:6000])
    with refused(tmp_path / "r.hea", remedy=REPAIR):
        read(tmp_path, "r", 1)
    soundfile.write(str(path), digital[:4000].astype(np.int16), 250, format="FLAC")
    with refused(path, "4000", "5000", remedy=REPAIR):
        open_record(tmp_path, "r", 1)
    path.write_bytes(b"no FLAC" * 100)
    with refused(path, remedy=REPAIR):
        open_record(tmp_path, "r", 1)


def write_rates(folder: Path) -> None:
    """An ECG once per frame, a pulse wave four times, an ECG twice, in one file."""
    wfdb.Record(
        record_name="r", n_sig=3, fs=250, sig_len=11, samps_per_frame=[1, 4, 2],
        e_d_signal=[DIGITS, np.repeat(DIGITS, 4) + 1, np.repeat(DIGITS, 2)],
        fmt=["16"] * 3, adc_gain=[100.0] * 3, baseline=[0] * 3, units=["mV", "NU", "mV"],
        adc_res=[16] * 3, adc_zero=[0] * 3, init_value=[5, 6, 5],
        checksum=[checksum(DIGITS), checksum(np.repeat(DIGITS, 4) + 1), checksum(np.repeat(DIGITS, 2))],
        block_size=[0] * 3, sig_name=["ECG", "PLETH", "ECG2"], file_name=["r.dat"] * 3,
    ).wrsamp(write_dir=str(folder), expanded=True)  # fmt: skip


def test_only_the_leads_that_are_asked_for_count(tmp_path: Path) -> None:
    write_rates(tmp_path)
    np.testing.assert_array_equal(read(tmp_path, "r"), [DIGITS / 100])
    np.testing.assert_array_equal(read(tmp_path, "r", 2), [np.repeat(DIGITS, 2) / 100])
    assert [open_record(tmp_path, "r", lead).rate_hz for lead in (0, 2)] == [250, 500]
    with refused(tmp_path / "r.hea", "lead 2", "'NU'", remedy=LEADS):
        open_record(tmp_path, "r", 0, 1)
    (tmp_path / "r.dat").rename(tmp_path / "e.dat")
    header = (tmp_path / "r.hea").read_text().replace("r.dat", "e.dat").replace("r 3", "r 5")
    (tmp_path / "r.hea").write_text(f"{header}absent.dat 99\nother.dat 16:7 1/mmHg\n")
    np.testing.assert_array_equal(read(tmp_path, "r"), [DIGITS / 100])
    assert open_record(tmp_path, "r").file_names == ["e.dat", "r.hea"]
    with refused(tmp_path / "r.hea", "lead 4", "'99'"):
        open_record(tmp_path, "r", 3)


@pytest.mark.numeric
def test_leads_of_two_rates_come_at_the_faster_one(tmp_path: Path) -> None:
    time_s = np.arange(2000) / 250
    slow, fast = (
        np.rint(10_000 * np.sin(2 * np.pi * 2 * time)).astype(int) for time in (time_s, np.arange(4000) / 500)
    )
    (tmp_path / "s.dat").write_bytes(slow.astype("<i2").tobytes())
    (tmp_path / "f.dat").write_bytes(fast.astype("<i2").tobytes())
    (tmp_path / "r.hea").write_text("r 2 250 2000\ns.dat 16 10000\nf.dat 16x2 10000\n")
    record = open_record(tmp_path, "r", 0, 1)
    read_mv = record.recording(500).read_mv()
    assert (record.rate_hz, read_mv.shape) == (500, (2, 4000))
    # The ripple of the resampling filter, 0.3 %.
    np.testing.assert_allclose(read_mv[0, 200:-200], read_mv[1, 200:-200], atol=0.01)


def test_interleaved_files_keep_their_leads(tmp_path: Path) -> None:
    for file, leads in (("a.dat", [DIGITS, DIGITS + 2]), ("b.dat", [DIGITS + 1, DIGITS + 3])):
        (tmp_path / file).write_bytes(np.stack(leads, axis=1).astype("<i2").tobytes())
    lines = "".join(f"{file}.dat 16 1/mV 16 0 0 0 0 ECG\n" for file in "abab")
    (tmp_path / "r.hea").write_text(f"r 4 250 11\n{lines}")
    np.testing.assert_array_equal(read(tmp_path, "r", 3, 0, 2), [DIGITS + 3, DIGITS, DIGITS + 2])


def test_a_lead_with_a_skew_is_put_in_its_place(tmp_path: Path) -> None:
    write_plain(tmp_path, "r 2 300 11\nr.dat 16 100/mV 16 0 5 {sum} 0 ECG\nz.dat 16:9 1/mmHg\n")
    np.testing.assert_array_equal(read(tmp_path, "r"), [DIGITS / 100])
    for skew in (3, 11, 500):
        write_plain(tmp_path, f"r 1 300 11\nr.dat 16:{skew} 100/mV 16 0 5 {{sum}} 0 ECG\n")
        expected = [*DIGITS[skew:] / 100, *[np.nan] * min(skew, 11)]
        np.testing.assert_array_equal(read(tmp_path, "r"), [expected])


def write_segment(folder: Path, name: str, leads: dict[str, np.ndarray], rate_hz: int = 250) -> None:
    digital = np.stack(list(leads.values()), axis=1)
    wfdb.wrsamp(name, rate_hz, ["mV"] * len(leads), list(leads), d_signal=digital, fmt=["16"] * len(leads),
                adc_gain=[100.0] * len(leads), baseline=[0] * len(leads), write_dir=str(folder))  # fmt: skip


def test_segments_follow_each_other(tmp_path: Path) -> None:
    write_segment(tmp_path, "s1", {"II": DIGITS, "V": DIGITS + 1})
    write_segment(tmp_path, "s2", {"II": DIGITS[:4], "V": DIGITS[:4] + 1})
    (tmp_path / "r.hea").write_text("r/4 2 250 22\ns1 11\n~ 3\ns2 4\ns2 4\n")
    gap = [np.nan] * 3
    expected = [[*(DIGITS + step), *gap, *(DIGITS[:4] + step), *(DIGITS[:4] + step)] for step in (1, 0)]
    np.testing.assert_array_equal(read(tmp_path, "r", 1, 0), np.array(expected) / 100)
    record = open_record(tmp_path, "r", 0)
    assert record.file_names == ["r.hea", "s1.dat", "s1.hea", "s2.dat", "s2.hea"]
    assert [lead.name for lead in record.chosen] == ["II"]
    (tmp_path / "r.hea").write_text("r/2 2 250 15\ns1 11\ns2 5\n")
    with refused(tmp_path / "r.hea", "15", "16"):
        open_record(tmp_path, "r")
    (tmp_path / "r.hea").write_text("r/2 2 250\ns1 11\ns2 5\n")
    with refused(tmp_path / "r.hea", "5", "s2", "4"):
        open_record(tmp_path, "r")
    write_segment(tmp_path, "s2", {"II": DIGITS[:5], "V": DIGITS[:5]}, 500)
    with refused(tmp_path / "r.hea", "250 Hz", "s2", "500 Hz"):
        open_record(tmp_path, "r")
    (tmp_path / "s1.dat").write_bytes(b"\1" * 44)
    (tmp_path / "r.hea").write_text("r/1 2 250\ns1 11\n")
    with refused(tmp_path / "s1.dat", "checksum"):
        read(tmp_path, "r", 0)


def test_segments_of_a_layout_have_some_of_its_leads(tmp_path: Path) -> None:
    write_segment(tmp_path, "s1", {"V": DIGITS})
    write_segment(tmp_path, "s2", {"ABP": DIGITS[:4]})
    write_segment(tmp_path, "s3", {"ABP": DIGITS[:2], "V": DIGITS[:2] + 5, "II": DIGITS[:2] + 6})
    lines = "".join(f"~ 0 100/mV 16 0 0 0 0 {name}\n" for name in ("II", "V", "ABP"))
    (tmp_path / "layout.hea").write_text(f"layout 3 250 0\n{lines}")
    (tmp_path / "r.hea").write_text("r/5 3 250 18\nlayout 0\ns1 11\n~ 1\ns2 4\ns3 2\n")
    nan = np.nan
    expected = [[*DIGITS, *[nan] * 5, 10, 2], [*[nan] * 16, 11, 3]]
    np.testing.assert_array_equal(read(tmp_path, "r", 1, 0), np.array(expected) / 100)
    assert open_record(tmp_path, "r", 1).file_names == ["layout.hea", "r.hea", "s1.dat", "s1.hea", "s3.dat", "s3.hea"]
    other = wfdb.rdrecord(str(tmp_path / "r"), channels=[1]).p_signal[:, 0]
    np.testing.assert_array_equal(read(tmp_path, "r", 1)[0], other)


def test_annotations_count_in_the_headers_rate_whatever_its_date(tmp_path: Path) -> None:
    write_plain(tmp_path, "r.mat 1 500 11 2014-05-08 05:05:15\nr.dat 16 100/mV 16 0 5 0 0 ECG\n")
    wfdb.wrann("r", "atr", np.array([250, 1000]), symbol=["+", "+"], aux_note=["(N", "(VT"], write_dir=str(tmp_path))
    assert read_annotations(open_record(tmp_path, "r")).changes == [(0.5, "N"), (2, "VT")]


def test_a_folder_of_published_headers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    digital = np.arange(12_000).astype("<i2") % 1000
    for name in ("a", "b"):
        (tmp_path / f"{name}.dat").write_bytes(np.stack([digital, digital + 1], axis=1).tobytes())
        lines = f"{name}.dat 16 0.2/µV 12 0 0 0 0 I\n" * 2
        (tmp_path / f"{name}.hea").write_text(f"set/{name} 2 250 12000 2006\n{lines}", encoding="latin-1")
        wfdb.wrann(name, "atr", np.array([6000]), symbol=["+"], aux_note=["(VT"], write_dir=str(tmp_path))
    with caplog.at_level(logging.WARNING):
        one, other = vfdb.iter_samples(VfdbSection(format="vfdb"), tmp_path)
    np.testing.assert_allclose(one.signal[1], (digital[3500:8500] + 1) / 200, rtol=1e-6)
    assert (one.sample_id, other.sample_id) == ("a_0006000", "b_0006000")
    assert len(caplog.records) == 1


def test_leads_of_one_name_and_equal_lines_are_told_apart(tmp_path: Path) -> None:
    digital = np.stack([DIGITS, DIGITS[::-1]], axis=1)
    (tmp_path / "r.dat").write_bytes(digital.astype("<i2").tobytes())
    (tmp_path / "r.hea").write_text("r 2 250 11\n" + f"r.dat 16 100/mV 16 0 0 {checksum(DIGITS)} 0 ECG\n" * 2)
    np.testing.assert_array_equal(read(tmp_path, "r", 1, 0), digital.T[::-1] / 100)
