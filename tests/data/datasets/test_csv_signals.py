"""CSV recordings of other programs: written by pandas, numpy or by hand, and read to the last digit."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from siwcc.data.datasets.csv_signals import CsvSignal, read_csv_signal

SAMPLES, RATE_HZ = 2000, 250
TIME_S = np.arange(SAMPLES) / RATE_HZ
LEFT = np.round(np.sin(np.arange(SAMPLES) / 11) * 0.8 - 0.05, 3)
RIGHT = np.round(0.5 * LEFT[::-1] - 0.1, 3)
STAMPS = pd.date_range("2023-01-29T23:59:58", periods=SAMPLES, freq="4ms")
CLOCK = STAMPS.strftime("%H:%M:%S.%f")
# 73 samples with one time stamp, as wireless sensors send them.
PACKET = np.arange(SAMPLES) // 73


def text_of(columns: Sequence[Sequence[object]], names: str = "", delimiter: str = ",", decimal: str = ".") -> str:
    cells = ([str(one).replace(".", decimal) if isinstance(one, float) else str(one) for one in col] for col in columns)
    lines = [delimiter.join(row) for row in zip(*cells, strict=True)]
    return "".join(f"{line}\n" for line in ([names] if names else []) + lines)


def read(path: Path, content: str | bytes, rate_hz: float | None = RATE_HZ) -> CsvSignal:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv_signal(path, rate_hz)


def assert_both(found: CsvSignal, rate_hz: float = RATE_HZ) -> None:
    assert found.rate_hz == rate_hz
    assert len(found.leads) == 2
    np.testing.assert_allclose(found.signal_mv((0, 1), "x"), [LEFT, RIGHT], rtol=0, atol=1e-12)


both = (LEFT.tolist(), RIGHT.tolist())


@pytest.mark.parametrize(
    "content",
    [
        text_of(both),
        text_of(both, "I,II"),
        text_of(both, " I , II ", delimiter=", "),
        text_of(both, "I;II", ";"),
        text_of(both, "I;II", ";", ","),
        text_of(both, "", ";", ","),
        text_of(both, "I\tII", "\t", ","),
        text_of(both, "I\tII", "\t"),
        "sep=;\n" + text_of(both, "I;II", ";", ","),
        "\ufeff" + text_of(both, "I,II").replace("\n", "\r\n"),
        text_of(both, "I,II").replace("\n", "\r"),
        text_of(both, "I;II;", ";", ",").replace("\n", ";\n").replace(";;", ";"),
        text_of(both, "I;II", ";") + ";\n;\n\n",
        "# by hand\n%\n\n" + text_of(both, "I,II"),
        text_of(both, "# I,II"),
        text_of(both, '"I ""left""",\'II\''),
        "I,II\n" + "".join(f'"{a}","{b}"\n'.replace(".", ",") for a, b in zip(LEFT, RIGHT, strict=True)),
        text_of(both, "I,II\nmV,mV"),
        text_of((1000 * LEFT, 1000 * RIGHT), "I [µV],II_uV"),
        text_of((1000 * LEFT, 1000 * RIGHT), "I (left) [uV] (raw),II / µV"),
        text_of((1000 * LEFT, RIGHT), "I,II\n(uV),(mV)"),
        text_of((LEFT / 1000, RIGHT), "I [V],II"),
        text_of((range(SAMPLES), *both), "sample,I,II"),
        text_of((np.arange(SAMPLES) + 7, *both), ",I,II"),
        text_of((PACKET, *both), "packet,I,II"),
        pd.DataFrame({"I": LEFT, "II": RIGHT}).to_csv(),
        pd.DataFrame({"I": LEFT, "II": RIGHT}).to_csv(index=False, quoting=csv.QUOTE_ALL),
        pd.DataFrame(np.stack([LEFT, RIGHT], axis=1)).to_csv(),
        pd.DataFrame(np.stack([LEFT, RIGHT], axis=1)).to_csv(index=False),
    ],
)
def test_one_recording_in_many_spellings(tmp_path: Path, content: str) -> None:
    assert_both(read(tmp_path / "a.csv", content))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    found = read(tmp_path / "a.csv", text_of(both, "Größe I,II °").encode(encoding))
    assert_both(found)
    assert [found.name(lead) for lead in (0, 1)] == ["Größe I", "II °"]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        (TIME_S, "time_s"),
        (TIME_S, "Time [s]"),
        (TIME_S, "t (sec)"),
        (1000 * TIME_S, "t/ms"),
        (TIME_S, "Elapsed time"),
        ([f"{time:.2f}" for time in TIME_S], "time_s"),
        ([f"{time // 0.01 / 100:.2f}" for time in TIME_S + 1e-9], "time"),
        (range(0, 4 * SAMPLES, 4), "t_ms"),
        (range(0, 4 * SAMPLES, 4), "time"),
        (range(0, 4000 * SAMPLES, 4000), "Zeit"),
        (range(0, 4000 * SAMPLES, 4000), "t [µs]"),
        (1675000000000 + 4 * np.arange(SAMPLES), "timestamp"),
        (1675000000000000000 + 4_000_000 * np.arange(SAMPLES), "timestamp [ns]"),
        ([f"{1675000000 + time:.3f}" for time in TIME_S], "epoch"),
        ([stamp.isoformat() for stamp in STAMPS], "when"),
        ([f"{stamp.isoformat()}Z" for stamp in STAMPS], "when"),
        ([f"{stamp.isoformat()}+01:00" for stamp in STAMPS], "when"),
        (STAMPS.strftime("%d.%m.%Y %H:%M:%S,%f").map(lambda cell: f'"{cell}"'), "Zeit"),
        (STAMPS.strftime("%m/%d/%Y %I:%M:%S.%f %p"), "when"),
        (STAMPS.strftime("%d-%b-%Y %H:%M:%S.%f"), "when"),
        (STAMPS.strftime("%H:%M:%S.%f"), "when"),
        (STAMPS.strftime("'[%H:%M:%S.%f %d/%m/%Y]'"), "'Time and date'"),
        ([f"0:{ms // 1000:02d}.{ms % 1000:03d}" for ms in range(0, 4 * SAMPLES, 4)], "'Elapsed time'"),
        (STAMPS.strftime("%H:%M:%S"), "clock"),
        ((STAMPS + pd.Timedelta(0.6, "s")).strftime("%H:%M:%S"), "clock"),
        (1675000000000 + 292 * PACKET, "timestamp_ms"),
        ([STAMPS[start].isoformat() for start in 73 * PACKET], "Phone timestamp"),
    ],
)
def test_times_are_no_lead_and_give_the_rate(tmp_path: Path, column: Sequence[object], name: str) -> None:
    content = text_of((column, *both), f"{name},I,II")
    assert_both(read(tmp_path / "a.csv", content, None))
    assert_both(read(tmp_path / "a.csv", content))
    with refused(tmp_path / "a.csv", "200 Hz"):
        read(tmp_path / "a.csv", content, 200)


def test_times_in_any_column_and_beside_a_date(tmp_path: Path) -> None:
    date, clock = STAMPS.strftime("%d/%m/%Y"), STAMPS.strftime("%H:%M:%S.%f")
    assert_both(read(tmp_path / "a.csv", text_of((LEFT, date, RIGHT, clock), "I,Date,II,Time"), None))
    assert_both(read(tmp_path / "a.csv", text_of((clock, *both)), None))
    frame = pd.DataFrame({"Zeit": TIME_S, "I": LEFT, "II": RIGHT})
    assert_both(read(tmp_path / "a.csv", frame.to_csv(sep=";", decimal=",", index=False), None))
    assert_both(read(tmp_path / "a.csv", frame.set_index(STAMPS).drop(columns="Zeit").to_csv(), None))
    np.savetxt(tmp_path / "a.csv", frame, fmt="%.3f", delimiter=",", header="time_s,I,II")
    assert_both(read_csv_signal(tmp_path / "a.csv", None))


def test_the_finest_of_several_times_gives_the_rate(tmp_path: Path) -> None:
    phone = [STAMPS[start].isoformat() for start in 73 * PACKET]
    columns = (phone, 599616000000000000 + 4_000_000 * np.arange(SAMPLES), 4.0 * np.arange(SAMPLES), 1000 * LEFT)
    names = "Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]"
    found = read(tmp_path / "a.csv", text_of(columns, names, ";"), None)
    assert (found.rate_hz, found.name(0)) == (250, "ecg [uV]")
    np.testing.assert_allclose(found.signal_mv((0,), "x"), [LEFT], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rate_hz", [128, 130, 257, 360, 512, 999, 1000])
@pytest.mark.parametrize("decimals", [2, 3, 6])
def test_rounded_times_have_a_round_rate(tmp_path: Path, rate_hz: int, decimals: int) -> None:
    times = [f"{sample / rate_hz:.{decimals}f}" for sample in range(SAMPLES)]
    assert_both(read(tmp_path / "a.csv", text_of((times, *both), "time_s,I,II"), None), rate_hz)


def test_the_rate_of_times_that_are_not_exact(tmp_path: Path) -> None:
    noise_s = np.random.default_rng(2).uniform(-0.0015, 0.0015, SAMPLES)
    content = text_of(([f"{1675000000 + time:.6f}" for time in TIME_S + noise_s], *both), "timestamp,I,II")
    assert_both(read(tmp_path / "a.csv", content))
    assert read(tmp_path / "a.csv", content, None).rate_hz == pytest.approx(250, rel=1e-3)


@pytest.mark.parametrize(
    ("columns", "names", "found"),
    [
        ((TIME_S + 0.5 * (TIME_S > 4), *both), "time_s,I,II", ["line 1003", "time_s", "gap", "0.504"]),
        ((TIME_S + 0.012 * (TIME_S > 4), *both), "time,I,II", ["line 1003", "gap", "0.016"]),
        ((1675000000000 + 292 * (PACKET + (PACKET > 9)), *both), "stamp_ms;timestamp_ms,I,II", []),
        ((292 * (PACKET + (PACKET > 9)), *both), "timestamp_ms,I,II", ["line 732", "gap", "0.584"]),
        ((np.where(np.arange(SAMPLES) == 900, 0, TIME_S), *both), "time_s,I,II", ["line 902", "time_s"]),
        ((TIME_S + 7, *both), "time_s,I,II", ["time_s", "7", "sample 0"]),
        ((np.cumsum(np.random.default_rng(1).uniform(0.001, 0.007, SAMPLES)), *both), "t,I,II", ["t is"]),
        ((np.zeros(SAMPLES), *both), "time,I,II", ["time"]),
        ((["nan", *TIME_S[1:]], *both), "time_s,I,II", ["time_s"]),
        (([*CLOCK[:-1], "later"], *both), "when,I,II", ["line 2001", "'later'"]),
        ((np.where(TIME_S > 4, "2023-01-31T", "2023-01-29T") + CLOCK, *both), "t,I,II", ["line 1003", "days"]),
        ((np.arange(SAMPLES) + 5 * (TIME_S > 4), *both), "sample,I,II", ["'sample'", "6", "1001"]),
    ],
)  # fmt: skip
def test_times_with_gaps_or_irregular_ones(
    tmp_path: Path, columns: Sequence[Sequence[object]], names: str, found: list[str]
) -> None:
    for rate_hz in (None, RATE_HZ):
        with refused(tmp_path / "a.csv", *found):
            read(tmp_path / "a.csv", text_of(columns, names), rate_hz)


@pytest.mark.parametrize(
    ("column", "names", "found"),
    [
        (1675000000000 + 292 * PACKET, "", ["column 1"]),
        (292 * PACKET, "ticks,I,II", ["'ticks'"]),
        (TIME_S, "seconds,I,II", ["'seconds'"]),
        # Not in order, but too large for a lead.
        (1675000000 + np.sin(TIME_S), "stamp,I,II", ["'stamp'", "1.675e+09"]),
    ],
)
def test_what_looks_like_a_time_is_never_a_lead(
    tmp_path: Path, column: Sequence[object], names: str, found: list[str]
) -> None:
    recording = read(tmp_path / "a.csv", text_of((column, *both), names))
    with refused(tmp_path / "a.csv", *found, remedy="time_s"):
        recording.signal_mv((0,), "x")
    np.testing.assert_array_equal(recording.signal_mv((2,), "x"), [RIGHT])


def test_a_lead_may_be_flat_or_have_two_values(tmp_path: Path) -> None:
    step = (TIME_S > 4).astype(float)
    found = read(tmp_path / "a.csv", text_of((0 * TIME_S, step), "flat,step"))
    np.testing.assert_array_equal(found.signal_mv((0, 1), "x"), [0 * TIME_S, step])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (text_of((LEFT,), "I", decimal=","), ["1 name", "2 column"]),
        (text_of(both, "I,II", decimal=","), ["2 name", "4 column"]),
        (text_of((LEFT.tolist(),), decimal=","), ["decimal commas"]),
        (text_of((np.round(LEFT, 1).tolist(),), decimal=","), ["decimal commas"]),
        (text_of(both, "I,II,V"), ["3 name", "2 column"]),
        (text_of(both, "Holter export"), ["1 name", "2 column"]),
        (text_of(both, "I,II\nmV"), ["1 unit", "2 column"]),
        ("I,II\n1,2\n\n3,4\n", ["line 3"]),
        ("I,II\n1,2\n3,\n", ["line 3", "'3,'"]),
        ("I,II\n1,2\n3\n", ["line 3", "1 column"]),
        ("I,II\n1,2\n3,4,5\n", ["line 3", "3 column"]),
        ("I,II\n1,2\n3,inf\n", ["line 3"]),
        ("I,II\n1,2\n3,-1e999\n", ["line 3"]),
        ('I,II\n"1,234.5",2\n3,4\n', ["line 2"]),
        ("I;II\n1.234,5;2,0\n3,1;4,1\n", ["line 2", "decimal sign"]),
        ("I;II\n1.5;2.0\n3,1;4,1\n", ["line 3", "decimal sign"]),
        ("I;II\n1.5;2.0\n1 234.5;4.1\n", ["line 3"]),
        ("I;II\n1.5;2.0\n1'234.5;4.1\n", ["line 3"]),
        ("I,II\n1_000,2\n3,4\n", ["line 2"]),
        ("I,II\n٣,2\n3,4\n", ["line 2"]),
        ("0.1  0.2\n0.3  0.4\n", ["line 2"]),
        ("0.1,O.2\n0.3,0.4\n", ["line 1", "O.2"]),
        ("# only\n% comments\n", []),
        ("time_s\n0\n0.1\n", ["time_s"]),
        ("time,I\n0,1\n0,2\n", ["time"]),
        ("sep=;\n", []),
        ("I,II\n1,2\n\0,3\n", []),
    ],
)
def test_what_is_no_recording_is_refused_by_its_line(tmp_path: Path, content: str, found: list[str]) -> None:
    with refused(tmp_path / "a.csv", *found):
        read(tmp_path / "a.csv", content).signal_mv((0, 1), "choose")


@pytest.mark.parametrize(("rows", "columns", "expected"), [(2, 101, False), (101, 101, True), (2, 100, True)])
def test_a_table_with_more_columns_than_rows_is_transposed(
    tmp_path: Path, rows: int, columns: int, expected: bool
) -> None:
    path = tmp_path / "a.csv"
    np.savetxt(path, np.random.default_rng(1).normal(size=(rows, columns)), delimiter=",", fmt="%.3f")
    if expected:
        assert read_csv_signal(path, 100.0).values.shape == (rows, columns)
        return
    with refused(path, "2 rows", "101 columns"):
        read_csv_signal(path, 100.0)


def test_missing_values_are_nan(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "I;II\n0,5;nan\nNaN;1,5\n", 100)
    np.testing.assert_array_equal(found.signal_mv((0, 1), "x"), [[0.5, np.nan], [np.nan, 1.5]])
