"""Recordings as CSV: one line per sample, one column per lead, written by any program."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from siwcc.data.datasets.csv_layout import NUMBERS, Layout, layout_of, problem_of
from siwcc.data.datasets.csv_times import (
    TIME_COLUMN,
    clock_seconds,
    is_counter_name,
    is_time_name,
    number_seconds,
    rate_of,
    unit_in_name,
)
from siwcc.io.errors import InputError
from siwcc.io.foreign import read_foreign_text

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
MAX_BYTES = 1 << 29

_MILLIVOLTS = {"uv": 1e-3, "μv": 1e-3, "microvolt": 1e-3, "mv": 1.0, "millivolt": 1.0, "v": 1e3, "volt": 1e3}
# More than a converter of 24 bits gives; time stamps of computers are larger.
_MOST_MV = 1e8
# Of a short recording; a table with more columns than this and than rows is transposed.
_MOST_COLUMNS = 100


@dataclass(frozen=True)
class CsvSignal:
    """A CSV as it was read.

    Attributes:
        path: The file.
        values: float64 (samples, columns); NaN where a value is missing, and in columns of dates or clocks.
        leads: Places of the columns that are leads.
        names: Of the columns; empty where the file has none.
        units: Of the columns, as they are given; empty where there is none.
        rate_hz: As given, or that of its times; None where there is neither.
    """

    path: Path
    values: np.ndarray
    leads: tuple[int, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float | None

    def name(self, lead: int) -> str:
        """What the file calls a lead; empty where it has no names."""
        return self.names[self.leads[lead]] if self.names else ""

    def signal_mv(self, chosen: Sequence[int], lead_remedy: str) -> np.ndarray:
        """Some of the leads.

        Args:
            chosen: Their indices, from 0; columns of times and counters are no leads.
            lead_remedy: The way out when there are too few leads.

        Returns:
            float64 (leads, samples), mV where the file gives a unit of voltage, or else as in the file.

        Raises:
            InputError: too few leads, or one that looks like a time.
        """
        if len(self.leads) <= max(chosen):
            problem = f"has {len(self.leads)} lead(s), and {max(chosen) + 1} are needed"
            raise InputError(self.path, problem, lead_remedy)
        columns = [self.leads[lead] for lead in chosen]
        for column in columns:
            self._refuse_time(column)
        signal = np.ascontiguousarray(self.values[:, columns].T)
        for row, column in enumerate(columns):
            scale = _MILLIVOLTS.get(_spelling(self.units[column]), 1.0)
            if scale != 1.0:
                signal[row] *= scale
        return signal

    def _refuse_time(self, column: int) -> None:
        name = repr(self.names[column]) if self.names else f"column {column + 1}"
        values = self.values[:, column]
        valid = values[~np.isnan(values)]
        if valid.size and np.abs(valid).max() > _MOST_MV:
            problem = f"{name} has values up to {np.abs(valid).max():g}: it looks like a time, not like a lead"
        elif len(valid) > 2 and np.all(np.diff(valid) >= 0) and valid[0] < np.median(valid) < valid[-1]:
            problem = f"{name} only grows: it looks like a time, not like a lead"
        else:
            return
        raise InputError(self.path, problem, f"name it {TIME_COLUMN} in the first line, or take the column out")


def read_csv_signal(path: Path, rate_hz: float | None) -> CsvSignal:
    """Read a recording.

    The first line may name the columns, and a second one give their units. Columns of times are no leads: they must
    be regular, and give the rate where it is not given. One named `time_s` begins at 0.

    Args:
        path: The CSV: comma, semicolon or tab; decimal points, or commas where they separate nothing; a value that
            is missing is `nan`.
        rate_hz: Lines per second; None: as the times give it.

    Raises:
        InputError: no such CSV, no lead, a line that is not of numbers, times with gaps or of another rate.
    """
    layout = layout_of(path, read_foreign_text(path, MAX_BYTES))
    values = _parse(path, layout)
    names = layout.names or ("",) * layout.columns
    units = tuple(layout.units[place] if layout.units else unit_in_name(name) for place, name in enumerate(names))
    numeric = [place for place in range(layout.columns) if layout.kinds[place] == "number"]
    times = [
        place
        for place, name in enumerate(names)
        if layout.kinds[place] == "clock" or (place in numeric and is_time_name(name))
    ]
    counters = [place for place in numeric if layout.names and _counts(path, names[place], values[:, place])]
    leads = tuple(place for place in numeric if place not in (*times, *counters))
    rate_hz = _rate(path, layout, values, times, units, rate_hz)
    if not leads:
        named = ", ".join(names[place] for place in times) or "times"
        raise InputError(path, f"has no lead beside {named}", "add a column for each lead")
    return CsvSignal(path, values, leads, layout.names, units, rate_hz)


def _counts(path: Path, name: str, values: np.ndarray) -> bool:
    """Whether a column numbers samples or packets: by its name, or one without a name that grows by 1."""
    steps = np.diff(values)
    by_one = len(values) > 1 and bool(np.all(steps == 1))
    if is_counter_name(name) and not by_one and len(values) > 2 and np.all(steps > 0):
        line = int(np.flatnonzero(steps != steps[0])[0]) + 1 if np.any(steps != steps[0]) else 1
        problem = f"{name!r} jumps by {steps[line - 1]:g} at sample {line}"
        raise InputError(path, problem, "cut the recording where samples are missing, or take the column out")
    return is_counter_name(name) or (not name and by_one)


def _parse(path: Path, layout: Layout) -> np.ndarray:
    # Every column, so that a line of another length is found; clocks and dates become NaN.
    others: dict[int | str, Callable[[str], float]] = {
        place: _nothing for place, kind in enumerate(layout.kinds) if kind != "number"
    }
    try:
        read: np.ndarray = np.loadtxt(
            StringIO(layout.body),
            delimiter=layout.delimiter,
            ndmin=2,
            comments=None,
            dtype=np.float64,
            # Looking for quotes takes time.
            quotechar='"' if '"' in layout.body else None,
            converters=others or None,
        )
    except ValueError as error:
        problem = problem_of(layout) or f"is no table of numbers ({error})"
        raise InputError(path, problem, NUMBERS) from error
    if read.shape != (layout.body.count("\n") + 1, layout.columns):
        raise InputError(path, problem_of(layout) or "is no table of numbers", NUMBERS)
    if read.shape[1] > max(_MOST_COLUMNS, len(read)):
        problem = f"has {len(read)} rows and {read.shape[1]} columns"
        raise InputError(path, problem, "give one row per sample and one column per lead; is it transposed?")
    infinite = np.flatnonzero(np.isinf(read).any(axis=1))
    if infinite.size:
        raise InputError(path, f"line {layout.first + int(infinite[0]) + 1} has a value that is infinite", NUMBERS)
    return read


def _nothing(cell: str) -> float:
    return np.nan


def _rate(
    path: Path, layout: Layout, values: np.ndarray, times: Sequence[int], units: Sequence[str], rate_hz: float | None
) -> float | None:
    """The rate of the finest of the columns of times."""
    found: list[tuple[int, str, np.ndarray]] = []
    for place in times:
        name = layout.names[place] if layout.names else f"column {place + 1}"
        if layout.kinds[place] == "clock":
            time_s = clock_seconds(path, _cells(path, layout, place), layout.first)
        else:
            time_s = number_seconds(path, name, values[:, place], units[place], rate_hz)
        found.append((len(np.unique(time_s)), name, time_s))
    if not found:
        return rate_hz
    _, name, time_s = max(found, key=lambda one: one[0])
    return rate_of(path, name, time_s, rate_hz, layout.first)


def _cells(path: Path, layout: Layout, column: int) -> list[str]:
    try:
        return [row[column] for row in csv.reader(StringIO(layout.body), delimiter=layout.delimiter)]
    except csv.Error as error:
        raise InputError(path, f"cannot be read as a CSV ({error})", NUMBERS) from error


def _spelling(unit: str) -> str:
    return unicodedata.normalize("NFKC", unit).strip("[]()' ").casefold()
