"""CSV files whose lines are the objects of one dataclass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from siwcc.io.errors import InputError
from siwcc.io.files import csv_text, read_csv, write_table

Kind = TypeVar("Kind")


def columns_of(kind: type[Any]) -> tuple[str, ...]:
    """The attributes of a dataclass, in their order."""
    return tuple(field.name for field in fields(kind))


def six_decimals(value: float | None) -> float | None:
    """A number rounded as in the tables of predictions; None where there is none, which JSON cannot hold."""
    # + 0.0 turns -0.0 into 0.0.
    return None if value is None or not math.isfinite(value) else round(value, 6) + 0.0


def write_lines(path: Path, columns: Sequence[str], lines: Sequence[Any]) -> None:
    """Write objects of a dataclass as a CSV in one step, with its manifest beside it.

    Numbers are in full precision (`repr`), one that could not be computed is `nan`, what does
    not apply (None) is empty.

    Args:
        path: The CSV to write.
        columns: Attributes to write, see `columns_of`; they head an empty table, too.
        lines: Objects that have these attributes.
    """
    write_table(path, csv_text(columns, (cells_of(line, columns) for line in lines)))


def cells_of(line: Any, columns: Sequence[str]) -> list[object]:
    """What `write_lines` writes of one object."""
    return [_cell(getattr(line, name)) for name in columns]


def read_lines(path: Path, kind: type[Kind]) -> list[Kind]:
    """Read what `write_lines` wrote, all columns of a dataclass of texts, whole numbers and numbers.

    Raises:
        InputError: a column is missing, or a cell is no number where one must be.
    """
    parse = {"int": int, "float": float, "str": str}
    kinds = {name: parse[str(kind.__annotations__[name])] for name in columns_of(kind)}
    try:
        return [kind(**{name: kinds[name](row[name]) for name in kinds}) for row in read_csv(path, list(kinds))]
    except ValueError as error:
        raise InputError(path, f"holds something that is no number ({error})", "delete it and run again") from error


def _cell(value: object) -> object:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else value


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as text in columns, without line ends.

    Args:
        lines: All of one length, the head among them.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
