"""Recordings as CSV: one row per sample, one column per lead."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np

from siwcc.io.checksums import read_text
from siwcc.io.errors import InputError

TIME_COLUMN = "time_s"
MAX_BYTES = 1 << 29

_NUMBERS = "give numbers with decimal points, separated by commas, and nan where one is missing"
_MOST_SHOWN = 60


def read_csv_signal(path: Path, leads: Sequence[int], rate_hz: float, lead_remedy: str) -> np.ndarray:
    """The leads of a recording.

    The first line may name the columns. A column named `time_s` is no lead: it must say that sample k was taken
    at k / `rate_hz`, within half a sample.

    Args:
        path: The CSV; a value that is missing is written `nan`.
        leads: Numbers of the columns, from 0, `time_s` not counted.
        rate_hz: Lines a second.
        lead_remedy: The way out when there are too few leads.

    Returns:
        float64 (leads, samples), in the file's unit.

    Raises:
        InputError: no such CSV, no or too few leads, times of another rate, or a lead that looks like a time.
    """
    text = read_text(path, MAX_BYTES).rstrip().replace("\r\n", "\n")
    names = _column_names(text.partition("\n")[0])
    values = _parse(path, text, 0 if names is None else 1)
    columns = list(range(values.shape[1]))
    if names is not None and TIME_COLUMN in names:
        place = names.index(TIME_COLUMN)
        columns.remove(place)
        _check_time(path, values[:, place], rate_hz)
    if not columns:
        raise InputError(path, f"has no lead beside {TIME_COLUMN}", "give one column per lead, in mV")
    if len(columns) <= max(leads):
        raise InputError(path, f"has {len(columns)} lead(s), and {max(leads) + 1} are needed", lead_remedy)
    chosen = [columns[lead] for lead in leads]
    for column in chosen:
        _refuse_time(path, values[:, column], f"column {column + 1}" if names is None else repr(names[column]))
    return np.ascontiguousarray(values[:, chosen].T)


def _column_names(line: str) -> list[str] | None:
    """The names in the first line; None where it holds numbers."""
    fields = [field.strip().strip('"') for field in line.split(",")]
    return None if _all_numbers(fields) else fields


def _all_numbers(fields: Sequence[str]) -> bool:
    try:
        np.array(fields, dtype=np.float64)
    except ValueError:
        return False
    return True


def _parse(path: Path, text: str, first: int) -> np.ndarray:
    samples = text.count("\n") + 1 - first
    if not text or samples < 1:
        raise InputError(path, "holds no samples", _NUMBERS)
    try:
        values = np.loadtxt(StringIO(text), delimiter=",", skiprows=first, ndmin=2, comments=None, dtype=np.float64)
    except ValueError as error:
        raise InputError(path, _problem_of(text, first) or f"is no table of numbers ({error})", _NUMBERS) from error
    if len(values) != samples:
        raise InputError(path, _problem_of(text, first), _NUMBERS)
    return values


def _problem_of(text: str, first: int) -> str:
    """What is wrong with the first line that is none of numbers, or not as long as the others."""
    lines = text.split("\n")
    width = lines[first].count(",") + 1
    for number, line in enumerate(lines[first:], start=first + 1):
        fields = line.split(",")
        if not line.strip():
            return f"line {number} is empty"
        if not _all_numbers(fields):
            return f"line {number} is not of numbers: {line[:_MOST_SHOWN]!r}"
        if len(fields) != width:
            return f"line {number} has {len(fields)} column(s), the first one {width}"
    return ""


def _check_time(path: Path, time_s: np.ndarray, rate_hz: float) -> None:
    off = np.abs(time_s * rate_hz - np.arange(len(time_s)))
    wrong = np.flatnonzero(~(off <= 0.5))
    if wrong.size:
        sample = int(wrong[0])
        problem = (
            f"{TIME_COLUMN} is {time_s[sample]:g} at sample {sample}, where {rate_hz:g} Hz gives {sample / rate_hz:g}"
        )
        raise InputError(
            path, problem, "times are to start at 0, without gaps; check the sampling rate (--rate, csv_rate_hz)"
        )


def _refuse_time(path: Path, values: np.ndarray, name: str) -> None:
    if len(values) > 2 and np.all(np.diff(values) > 0):
        remedy = f"name it {TIME_COLUMN} in the first line, or take the column out"
        raise InputError(path, f"{name} only grows: it looks like a time, not like a lead", remedy)
