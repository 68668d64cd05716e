"""Per-epoch logs of a training: those of this project, and those that other programs write.

A foreign log is a CSV table of Lightning, Weights & Biases, TensorBoard or Keras, say. Rows of one epoch are merged
where their cells do not overlap. A column that could be meant is never chosen or averaged silently.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siwcc.io.checksums import checked_text
from siwcc.io.errors import InputError

EPOCH = "epoch"
_STEPS = ("step", "_step", "global_step", "trainer/global_step")
"""What other programs call the axis of a log without epochs."""
_MISSING = ("", "na")
"""Keras writes NA for a metric that an epoch does not have."""
_RANGE = ("__min", "__max")
"""Suffixes of the columns in which W&B exports the smallest and largest value of several runs."""
_LOWEST_R2, _HIGHEST_R2 = -1e6, 1.0 + 1e-6
_LARGEST_EPOCH = 2.0**53
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Log:
    """Learning curves of one run, sorted by epoch.

    Attributes:
        path: Where they were read.
        epochs: float64 (epochs,), strictly increasing.
        train_r2, test_r2: float64 (epochs,); of several outputs of the task the mean. NaN where the log has no value.
        outputs: How many columns `test_r2` is the mean of.
        axis: Name of the column with the epochs: `epoch`, or a step where a foreign log has no epochs.
    """

    path: Path
    epochs: np.ndarray
    train_r2: np.ndarray
    test_r2: np.ndarray
    outputs: int
    axis: str = EPOCH


class LogColumns(NamedTuple):
    """Which columns hold the R2, as the user gives them; several are averaged. None: found by name."""

    train: Sequence[str] | None = None
    test: Sequence[str] | None = None


BY_NAME = LogColumns()


def read_log(path: Path, foreign: bool = False, chosen: LogColumns = BY_NAME) -> Log:
    """Read the per-epoch log of one run, whoever wrote it.

    A log of ours must be the one that the `manifest.json` beside it lists; its outputs (`_x`, `_y`) are averaged.

    Needs the columns `epoch` (or a step), `train_r2*` and `test_r2*`. Commas, semicolons or tabs, any line ends, a
    byte order mark, other columns, blank lines and any order of the epochs are accepted. Rows of one epoch are merged
    where one has a value and the others have none. An epoch without a value is NaN; a row without any is left out.

    Args:
        path: The log.
        foreign: It may lie beside some other program's `manifest.json`, or away from its run's place. Its values must
            be possible ones of R2.
        chosen: Columns that the user named. With a test column alone, a log without training R2 is accepted.

    Raises:
        InputError: not readable as UTF-8, a column is missing or is there twice, several columns could be meant, a
            row of another length, something that is no number, an epoch with two values, no epoch at all.
    """
    header, records = _read_records(path, checked_text(path, foreign))
    axis = _axis_column(path, header)
    test = _r2_columns(path, header, "test", chosen.test)
    train = _r2_columns(path, header, "train", chosen.train, optional=chosen.test is not None)
    epochs = _merged(path, header, records, axis, sorted({*train, *test}), foreign)
    if not epochs:
        raise InputError(path, "has no epochs with values below its header")
    ordered = [epochs[at] for at in sorted(epochs)]
    train_r2, test_r2 = (np.array([_mean_of(cells, columns) for cells in ordered]) for columns in (train, test))
    named = EPOCH if header[axis].lower() == EPOCH else header[axis]
    return Log(path, np.array(sorted(epochs)), train_r2, test_r2, outputs=len(test), axis=named)


def _mean_of(cells: dict[int, float], columns: Sequence[int]) -> float:
    values = [cells.get(column, math.nan) for column in columns]
    return float(np.mean(values)) if values else math.nan


def _read_records(path: Path, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names, and (line number, cells) of every line that is not blank."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    # Names in quotes may hold commas of their own.
    outside_quotes = re.sub(r'"[^"]*"', "", head)
    delimiter = max(",;\t", key=outside_quotes.count)
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=True)
    try:
        records = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise InputError(path, f"line {reader.line_num} is not CSV ({error})") from error
    if not records:
        raise InputError(path, "is empty")
    return [name.strip() for name in records[0][1]], records[1:]


# ------------------------------------------------------------------- columns


def _axis_column(path: Path, header: Sequence[str]) -> int:
    """The column of the epochs or, where there is none, of the steps."""
    lower = [name.lower() for name in header]
    named = [i for i, name in enumerate(lower) if name == EPOCH] or [
        i for i, name in enumerate(lower) if name in _STEPS
    ]
    if not named:
        raise _lacks(path, header, EPOCH, "a log needs epoch (or step), train_r2 and test_r2")
    if len(named) > 1:
        raise _ambiguous(path, header, named, EPOCH, "keep one of them")
    return named[0]


def _r2_columns(
    path: Path, header: Sequence[str], part: str, names: Sequence[str] | None, optional: bool = False
) -> list[int]:
    """The columns of one curve: those that the user named, those of a log of ours, or the only candidate."""
    option = f"--{part}-column"
    if names is not None:
        return [_named_column(path, header, name, option) for name in names]
    prefix = f"{part}_r2"
    ours = _outputs_of_ours(header)
    if ours:
        return [header.index(f"{prefix}{output}") for output in ours]
    found = _without_companions(header, [i for i, name in enumerate(header) if _plain(name).startswith(prefix)])
    if not found and not optional:
        raise _lacks(path, header, prefix, f"a log needs epoch, train_r2 and test_r2, or {option} NAME")
    if len(found) > 1:
        raise _ambiguous(path, header, found, prefix, f"choose with {option}; several names are averaged")
    return found


def _outputs_of_ours(header: Sequence[str]) -> list[str]:
    """Suffixes of the outputs in a log that this project wrote; none for any other log."""
    outputs = [name.removeprefix("train_r2") for name in header if name.startswith("train_r2")]
    names = [f"{metric}{output}" for metric in ("train_r2", "test_r2", "test_mae") for output in outputs]
    return outputs if list(header) == [EPOCH, *names] and len(set(names)) == len(names) else []


def _plain(name: str) -> str:
    """A column's name in lower case, without the run before it: W&B exports `<run> - <metric>`."""
    return name.lower().rsplit(" - ", 1)[-1]


def _without_companions(header: Sequence[str], columns: Sequence[int]) -> list[int]:
    """Columns that are curves of their own.

    Left out are the range of a curve, and the values of single steps where there is also their mean over an epoch.
    """
    names = {header[i].lower() for i in columns}
    kept = []
    for i in columns:
        name = header[i].lower()
        by_step = name.endswith("_step") and f"{name.removesuffix('_step')}_epoch" in names
        if not by_step and not name.endswith(_RANGE):
            kept.append(i)
    return kept


def _named_column(path: Path, header: Sequence[str], name: str, option: str) -> int:
    """The column that the user named: as it is written, whatever the case, or without its run."""
    wanted = name.strip()
    for spelled in (str, str.lower, _plain):
        found = [
            i for i, column in enumerate(header) if spelled(column) == (wanted if spelled is str else wanted.lower())
        ]
        if len(found) > 1:
            raise _ambiguous(path, header, found, wanted, f"give {option} the whole name of one, and no name twice")
        if found:
            return found[0]
    raise _lacks(path, header, wanted, f"give {option} one of these")


def _lacks(path: Path, header: Sequence[str], name: str, remedy: str) -> InputError:
    return InputError(path, f"lacks the column {name}; found {', '.join(header)}", remedy)


def _ambiguous(path: Path, header: Sequence[str], columns: Iterable[int], name: str, remedy: str) -> InputError:
    return InputError(path, f"has several columns for {name}: {', '.join(header[i] for i in columns)}", remedy)


# --------------------------------------------------------------------- values


def _merged(
    path: Path,
    header: Sequence[str],
    records: Sequence[tuple[int, list[str]]],
    axis: int,
    columns: Sequence[int],
    foreign: bool,
) -> dict[float, dict[int, float]]:
    """Values by epoch and column. A row that has none in these columns, because it holds others, is left out."""
    epochs: dict[float, dict[int, float]] = {}
    for line, cells in records:
        if len(cells) != len(header):
            raise InputError(path, f"line {line} has {len(cells)} fields, the header {len(header)}")
        filled = [i for i in columns if cells[i].strip().lower() not in _MISSING]
        if not filled:
            continue
        at = parse_number(path, line, header[axis], cells[axis])
        if not abs(at) <= _LARGEST_EPOCH:
            raise InputError(path, f"line {line}: {header[axis]} is {cells[axis]!r}, not a number of an epoch")
        merged = epochs.setdefault(at, {})
        for i in filled:
            if i in merged:
                repeated = f"line {line} repeats epoch {at:g}: {header[i]} has a value already"
                raise InputError(path, repeated, "keep one value an epoch, or choose another column")
            merged[i] = (
                _parse_r2(path, line, header[i], cells[i]) if foreign else parse_number(path, line, header[i], cells[i])
            )
    return epochs


def _parse_r2(path: Path, line: int, column: str, cell: str) -> float:
    """A possible value of R2."""
    value = parse_number(path, line, column, cell)
    if not _LOWEST_R2 <= value <= _HIGHEST_R2:
        problem = f"line {line}: {column} is {cell.strip()!r}, not an R2 (a finite number of at most 1)"
        raise InputError(path, problem, "leave the cell empty if there is no value, or choose a column that holds R2")
    return value


def parse_number(path: Path, line: int, column: str, cell: str) -> float:
    """A cell of a CSV as a number.

    Raises:
        InputError: it is none, or it is empty.
    """
    if _NUMBER.fullmatch(cell.strip()) is None:
        raise InputError(path, f"line {line}: {column} is {cell!r}, not a number", "write decimals with a point")
    return float(cell)
