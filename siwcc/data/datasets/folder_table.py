"""The table of a `format: folder` set: what is where in which file (docs/how-to/own-data.md)."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from siwcc.config import FolderSection, Kind
from siwcc.io.errors import InputError
from siwcc.io.foreign import composed, find_file, is_there, other_case
from siwcc.io.foreign_table import check_columns, read_foreign_table
from siwcc.io.spelling import did_you_mean

PLACE_COLUMNS: dict[Kind, tuple[str, ...]] = {"signal": ("time_s",), "image": ("x", "y"), "volume": ("x", "y", "z")}
"""Where a single point is: seconds from the recording's first sample, pixels or voxels."""
OPTIONAL_COLUMNS = ("group", "class", "sample_id")
UNLABELLED = "all"
"""The class of samples that are given none."""

# `times` is like `time_s`; `file;x;y` and `patient` are like nothing.
_ALIKE = 0.7

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        number: Its number, counted as a spreadsheet does: 2 for the first after the header.
        file: As it is there, parts separated by `/`; a WFDB record without an extension.
        place: Seconds, or x and y (and z) in pixels (voxels) of each point, NaN where one of several is missing.
        group, label: The file's name and `UNLABELLED` where the table says nothing.
        sample_id: Empty where the table says nothing.
    """

    number: int
    file: str
    place: tuple[float, ...]
    group: str
    label: str
    sample_id: str

    @property
    def name(self) -> str:
        """The file without its extension."""
        return str(PurePosixPath(self.file).with_suffix(""))


class Table:
    """The table of a set, and where the files that it lists are."""

    def __init__(self, section: FolderSection, folder: Path) -> None:
        """Read and check it.

        Raises:
            InputError: no such table, a column that is missing or misspelt, a row that is not complete, a path
                that leaves the folder, or an id that is there twice. One line, with the row.
        """
        self.folder = folder
        self.path = find_file(folder, section.table)
        self._root = folder.resolve()
        if self.path.is_file() and not self._is_inside(self.path):
            raise InputError(self.path, "is a link that leads out of the folder", "put the table itself there")
        self._section = section
        self._optional = tuple(self._called(name) for name in OPTIONAL_COLUMNS)
        columns = _place_columns(section)
        needed = (self._called("file"), *columns)
        table = read_foreign_table(self.path, (*needed, *self._optional))
        self._check_names(table.names, needed)
        check_columns(table, (*needed, *(name for name in self._optional if name not in OPTIONAL_COLUMNS)))
        table = table.with_points(columns)
        self.rows = [self._row(number, line, columns) for number, line in table.rows]
        if not self.rows:
            raise InputError(self.path, "has no rows", "give a row for each event or image")
        self.refuse_twice([row.sample_id for row in self.rows], "the sample_id")

    def problem(self, row: Row | int, text: str, remedy: str = "") -> InputError:
        """The exception that names a row."""
        number = row if isinstance(row, int) else row.number
        return InputError(self.path, f"row {number}: {text}", remedy)

    def refuse_twice(self, names: Sequence[str], what: str, remedy: str = "give each another one") -> None:
        """Refuse a name that two rows have.

        Args:
            names: One a row, in the order of `rows`; an empty one is none.
            what: What it is.
            remedy: The way out.

        Raises:
            InputError: names both rows.
        """
        first: dict[str, int] = {}
        for row, name in zip(self.rows, names, strict=True):
            if name and name in first:
                raise self.problem(row, f"{what} {name!r} is in row {first[name]}, too", remedy)
            first[name] = row.number

    def by_file(self) -> dict[str, list[Row]]:
        """The rows of each file."""
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.file, []).append(row)
        return rows

    def find(self, row: Row, file: str) -> Path:
        """A file below the folder that a row asks for.

        Raises:
            InputError: it does not exist, or is a link that leads out of the folder.
        """
        path = find_file(self.folder / self._section.files_in, file)
        if not (is_there(path) and path.is_file()):
            other = other_case(path)
            remedy = f"upper and lower case count: there is {other}" if other else ""
            remedy = remedy or f"paths are relative to {self.folder / self._section.files_in}"
            raise self.problem(row, f"{file} does not exist", remedy)
        if not self._is_inside(path):
            raise self.problem(row, f"{file} is a link that leads out of the folder", "put the file itself there")
        return path

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root)

    def _check_names(self, header: Sequence[str], needed: Sequence[str]) -> None:
        known = (*needed, *self._optional)
        unknown = [name for name in header if name not in known]
        for name in unknown:
            meant = did_you_mean(name, [column for column in known if column not in header], _ALIKE)
            if meant:
                remedy = f"known: {', '.join(known)}"
                raise InputError(self.path, f"has the column {name!r}; {meant}", remedy)
        if unknown and set(needed) <= set(header):
            _logger.info("%s: columns that are not used: %s", self.path, ", ".join(unknown))

    def _called(self, name: str) -> str:
        """What the table calls a column."""
        return dict(self._section.columns).get(name, name)  # type: ignore[call-overload, no-any-return]

    def _row(self, number: int, line: dict[str, str], columns: Sequence[str]) -> Row:
        called = {name: self._called(name) for name in ("file", *OPTIONAL_COLUMNS)} | {name: name for name in columns}
        # In one Unicode normal form: a patient that is written in two ways is one group.
        cells = {name: composed(line.get(column, "")) for name, column in called.items()}
        for name, value in cells.items():
            if not value.isprintable():
                raise self.problem(number, f"{name} holds characters that cannot be printed: {value!r}")
        file = self._listed_file(number, cells["file"])
        if self._section.kind == "signal" and file.lower().endswith(".hea"):
            file = file[: -len(".hea")]
        place = self._place(number, {name: cells[name] for name in columns})
        return Row(number, file, place, cells["group"] or file, cells["class"] or UNLABELLED, cells["sample_id"])

    def _listed_file(self, number: int, text: str) -> str:
        # As Windows writes it, unless a file here is really called so.
        is_windows = "\\" in text and not is_there(find_file(self.folder, text))
        path = PurePosixPath(text.replace("\\", "/") if is_windows else text)
        if not path.name:
            raise self.problem(number, "file is empty")
        if path.is_absolute() or PureWindowsPath(text).drive or ".." in path.parts:
            remedy = f"name files below {self.folder}, with / between folders"
            raise self.problem(number, f"file {text!r} is no path below the folder", remedy)
        return str(path)

    def _place(self, number: int, cells: dict[str, str]) -> tuple[float, ...]:
        """The numbers of a single point, or of each point the centroid of its columns, NaN where a cell is empty."""
        points = self._section.points_from
        if not points:
            return tuple(self._number(number, name, text) for name, text in cells.items())
        missing = len(points) > 1
        values = {
            name: math.nan if missing and not text else self._number(number, name, text) for name, text in cells.items()
        }
        return tuple(
            math.fsum(values[f"{axis}{ending}"] for ending in endings) / len(endings)
            for _, *endings in points
            for axis in PLACE_COLUMNS[self._section.kind]
        )

    def _number(self, number: int, name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.problem(number, f"{name} is {text!r}", "give a number with a decimal point")
        return value


def _place_columns(section: FolderSection) -> tuple[str, ...]:
    """The columns that say where the points are."""
    endings = dict.fromkeys(ending for _, *endings in section.points_from for ending in endings)
    if not endings:
        return PLACE_COLUMNS[section.kind]
    return tuple(f"{axis}{ending}" for ending in endings for axis in PLACE_COLUMNS[section.kind])
