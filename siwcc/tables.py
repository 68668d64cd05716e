"""CSV files whose lines are the objects of one dataclass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from siwcc.files import csv_text, write_table


def columns_of(kind: type[Any]) -> tuple[str, ...]:
    """The attributes of a dataclass, in their order."""
    return tuple(field.name for field in fields(kind))


def six_decimals(value: float | None) -> float | None:
    """A number rounded as the tables of answers have it; None where there is none, which JSON cannot hold."""
    # + 0.0 turns -0.0 into 0.0.
    return None if value is None or not math.isfinite(value) else round(value, 6) + 0.0


def write_lines(path: Path, columns: Sequence[str], lines: Sequence[Any]) -> None:
    """Write objects of a dataclass as a CSV in one step, with its manifest beside it.

    Numbers stand in full precision (`repr`), one that could not be computed is `nan`, what does
    not apply (None) is empty.

    Args:
        path: The CSV to write.
        columns: Attributes to write, see `columns_of`; they head an empty table, too.
        lines: Objects that have these attributes.
    """
    write_table(path, csv_text(columns, ([_cell(getattr(line, name)) for name in columns] for line in lines)))


def _cell(value: object) -> object:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else value
