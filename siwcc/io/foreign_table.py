"""Tables of other programs as rows of cells: comma, semicolon or tab, decimal commas, comments and empty lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from siwcc.io.errors import InputError
from siwcc.io.foreign import read_foreign_text

_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
_MOST_SHOWN = 200


@dataclass(frozen=True)
class ForeignTable:
    """A table as it was read.

    Attributes:
        path: The file.
        delimiter: Between its columns.
        names: Of its columns, without the spaces around them.
        rows: (number, cells by name), numbered as a spreadsheet does; cells without the spaces around them.
    """

    path: Path
    delimiter: str
    names: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def with_points(self, columns: Sequence[str]) -> ForeignTable:
        """The table with decimal points in columns of numbers, where commas separate no columns.

        Raises:
            InputError: some numbers have points and others commas, which may be thousands.
        """
        cells = [(number, name, row[name]) for number, row in self.rows for name in columns if name in row]
        commas = [(number, name, cell) for number, name, cell in cells if "," in cell]
        if self.delimiter == "," or not commas:
            return self
        if any("." in cell for _, _, cell in cells):
            number, name, cell = commas[0]
            problem = f"row {number}: {name} is {cell!r}, and other numbers have decimal points"
            raise InputError(self.path, problem, "write all numbers with decimal points, without thousands separators")
        rows = tuple(
            (number, {name: cell.replace(",", ".") if name in columns else cell for name, cell in row.items()})
            for number, row in self.rows
        )
        return ForeignTable(self.path, self.delimiter, self.names, rows)


def read_foreign_table(path: Path, needed: Sequence[str]) -> ForeignTable:
    """Read a table whose first line names the columns.

    Lines that are empty or begin with `#` are passed over, and a delimiter at the end of all lines.

    Args:
        path: The file, text of any program, see `siwcc.io.foreign`.
        needed: Names of columns that are used: the delimiter is the one with which there are most of them.

    Raises:
        InputError: no text, no table, a column twice or missing, or a row of another length.
    """
    lines = read_foreign_text(path).split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
    named = _SEPARATOR_LINE.fullmatch(lines[first].strip())
    first += named is not None
    delimiter = named[1] if named else _delimiter(lines[first : first + 1], needed)
    try:
        records = list(_records("\n".join(lines[first:]), delimiter, first))
    except csv.Error as error:
        raise InputError(path, f"cannot be read as a CSV ({error})", "save it again as a CSV") from error
    names = _names(records[0][1] if records else [], needed)
    _check_names(path, names)
    rows = tuple((number, _row(path, number, cells, names)) for number, cells in records[1:])
    return ForeignTable(path, delimiter, names, rows)


def check_columns(table: ForeignTable, needed: Sequence[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        InputError: names the missing columns and those that were found.
    """
    missing = [column for column in needed if column not in table.names]
    if missing:
        found = ", ".join(table.names)[:_MOST_SHOWN] or "none"
        problem = f"lacks the column(s) {', '.join(missing)}; found {found}"
        raise InputError(table.path, problem, "name the columns in the first line")


def _delimiter(lines: Sequence[str], needed: Sequence[str]) -> str:
    line = lines[0] if lines else ""
    known = {each: len(set(needed) & set(_cells(line, each))) for each in _DELIMITERS}
    best = max(known.values())
    counts = {each: line.count(each) for each in _DELIMITERS if known[each] == best}
    return max(counts, key=lambda each: counts[each])


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []


def _records(text: str, delimiter: str, before: int) -> Iterator[tuple[int, list[str]]]:
    """(number of the row, cells) of rows that are not empty; a spreadsheet counts one row for a cell of two lines."""
    reader = csv.reader(StringIO(text), delimiter=delimiter, skipinitialspace=delimiter != "\t")
    for number, cells in enumerate(reader, start=before + 1):
        cells = [cell.strip() for cell in cells]
        if any(cells) and not (cells[0].startswith("#") and not any(cells[1:])):
            yield number, cells


def _names(cells: list[str], needed: Sequence[str]) -> tuple[str, ...]:
    """The names without an empty one at the end; `X` is `x` where there is no `x`."""
    given = cells[:-1] if len(cells) > 1 and not cells[-1] else cells
    absent = {name for name in needed if name not in given}
    return tuple(name.casefold() if name.casefold() in absent else name for name in given)


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise InputError(
            path, f"has the column {twice[:_MOST_SHOWN] or 'without a name'} twice", "give each another name"
        )


def _row(path: Path, number: int, cells: list[str], names: Sequence[str]) -> dict[str, str]:
    if len(cells) == len(names) + 1 and not cells[-1]:
        cells = cells[:-1]
    if len(cells) != len(names):
        problem = f"line {number} does not have {len(names)} fields, but {len(cells)}"
        raise InputError(path, problem, "quote cells that contain the delimiter, and leave no cell out")
    return dict(zip(names, cells, strict=True))
