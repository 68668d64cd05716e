"""What a CSV of any program looks like: delimiter, decimal sign, names, units, and where its numbers begin."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from siwcc.io.errors import InputError

NUMBERS = "give numbers with decimal points, separated by commas, and nan where one is missing"
SEMICOLONS = "where commas are decimal signs, separate the columns by semicolons or tabs"

_DELIMITERS = ("\t", ";", ",")
_PROBED_LINES = 50
_MOST_SHOWN = 60
_NUMBER = re.compile(
    r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE
)
CLOCK = re.compile(
    r"\[?(?P<before>[\w./-]*\d[T ]\s*)?(?:(?P<h>\d{1,6}):)?(?P<m>\d{1,4}):(?P<s>\d{1,2})(?:[.,](?P<fraction>\d+))?"
    r"(?P<after>(?:\s*[AaPp]\.?[Mm]\.?)?(?:Z|[+-]\d\d:?\d\d)?(?:\s+[\w./-]+)?)\]?",
    re.ASCII,
)
DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}", re.ASCII)
_UNITS = re.compile(
    r"[\[(]?(?:[munµμ]?v|[mnuµμ]?s|sec(?:onds)?|msec|hz|adu?|a\.?u\.?|digits?|-"
    r"|(?:hh:)?mm:ss(?:\.m+)?(?:[ ,]*dd/mm/yyyy)?)?[\])]?",
    re.IGNORECASE,
)
_SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
# One decimal comma makes two columns: the digits behind it may begin with a zero, which no whole number does.
_SPLIT_DECIMALS = re.compile(r"(?:^|,)[-+]?0\d+(?=,|$)", re.MULTILINE)
_QUOTED_DECIMAL = re.compile(r'"([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)"')


@dataclass(frozen=True)
class Layout:
    """How the lines of a CSV are to be read.

    Attributes:
        delimiter: Between the columns.
        columns: How many there are.
        names: Of the columns; empty where the file has none.
        units: Of the columns, from a line below the names; empty where there is none.
        first: Lines before the first one of numbers.
        body: The lines of numbers, with decimal points, without delimiters at their ends.
        kinds: Of each column, `number`, `clock` or `date`.
    """

    delimiter: str
    columns: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    first: int
    body: str
    kinds: tuple[str, ...]


def layout_of(path: Path, text: str) -> Layout:
    r"""How a CSV is to be read.

    Args:
        path: For messages.
        text: Its content, with `\n` at the ends of lines.

    Raises:
        InputError: no numbers, or another count of names than of columns.
    """
    text = _without_empty_end(text)
    comments, lines = _first_lines(text)
    delimiter, lines = _delimiter(lines)
    rows = [(number, end, _fields(line, delimiter)) for number, end, line in lines]
    has_names = bool(rows) and _is_header(rows)
    names = rows.pop(0)[2] if has_names else []
    units = rows.pop(0)[2] if has_names and rows and all(map(_UNITS.fullmatch, rows[0][2])) else []
    if not rows:
        raise InputError(path, "contains no samples", NUMBERS)
    first, start, fields = rows[0]
    body, is_trimmed = _trimmed(text[start:], delimiter)
    fields = fields[:-1] if is_trimmed else fields
    if not has_names and len(fields) > 1:
        names = _names_in_comment(comments, delimiter, len(fields))
    names, units = (_without_end(cells, len(fields)) for cells in (names, units))
    for cells, what in ((names, "name"), (units, "unit")):
        if cells and len(cells) != len(fields):
            problem = f"has {len(cells)} {what}(s) above {len(fields)} column(s) of numbers"
            is_split = delimiter == "," and "." not in body
            raise InputError(path, problem, SEMICOLONS if is_split else "name each column, and have no line above that")
    kinds = tuple("clock" if CLOCK.fullmatch(one) else "date" if DATE.fullmatch(one) else "number" for one in fields)
    layout = Layout(delimiter, len(fields), tuple(names), tuple(units), first, body, kinds)
    return _with_points(path, layout)


def problem_of(layout: Layout) -> str:
    """What is wrong with the first line that is none of numbers, or not as long as the others."""
    for number, line in enumerate(layout.body.split("\n"), start=layout.first + 1):
        fields = _fields(line, layout.delimiter)
        if not line.strip():
            return f"line {number} is empty"
        cells = [field for field, kind in zip(fields, layout.kinds, strict=False) if kind == "number"]
        if not all(map(_NUMBER.fullmatch, cells)) or any("," in cell for cell in cells):
            return f"line {number} is not of numbers: {line[:_MOST_SHOWN]!r}"
        if len(fields) != layout.columns:
            return f"line {number} has {len(fields)} column(s), the first one {layout.columns}"
    return ""


def _first_lines(text: str) -> tuple[list[str], list[tuple[int, int, str]]]:
    """Comments before the first line, and (lines before it, characters before it, text) of the first lines."""
    comments: list[str] = []
    found: list[tuple[int, int, str]] = []
    start = number = 0
    while start <= len(text) and len(found) < _PROBED_LINES:
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        if not found and line.lstrip().startswith(("#", "%")):
            comments.append(line)
        elif found or line.strip():
            found.append((number, start, line))
        start, number = end + 1, number + 1
    return comments, found


def _names_in_comment(comments: Sequence[str], delimiter: str, columns: int) -> list[str]:
    """The names of columns in the last comment, as numpy writes them; empty where it has none."""
    names = _fields(comments[-1].lstrip("#% \t"), delimiter) if comments else []
    return names if len(names) == columns and not any(map(_is_value, names)) else []


def _delimiter(lines: list[tuple[int, int, str]]) -> tuple[str, list[tuple[int, int, str]]]:
    """The delimiter, and the lines without one that is only there to name it."""
    named = _SEPARATOR_LINE.fullmatch(lines[0][2].strip()) if lines else None
    if named is not None:
        return named[1], lines[1:]
    # The others have it in most lines; what has commas besides has them as decimal signs.
    counts = {each: sum(each in line for _, _, line in lines) for each in _DELIMITERS}
    return next((each for each, count in counts.items() if 2 * count > len(lines)), ","), lines


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=delimiter != "\t"), [""])
    except csv.Error:
        cells = line.split(delimiter)
    return [cell.strip().strip("'\"").strip() for cell in cells]


def _is_header(rows: Sequence[tuple[int, int, list[str]]]) -> bool:
    fields = rows[0][2]
    given = [field for field in fields if field]
    if not all(map(_is_value, given)):
        # A fraction is no name: among names it is a damaged line of numbers.
        return not any(_NUMBER.fullmatch(field) and ("." in field or "," in field) for field in given)
    # pandas numbers columns that have no names.
    numbered = len(fields) > 1 and given == [str(number) for number in range(len(given))]
    return numbered and not any(all(cell.isdigit() for cell in row[2]) for row in rows[1:])


def _is_value(field: str) -> bool:
    return any(pattern.fullmatch(field) for pattern in (_NUMBER, CLOCK, DATE))


def _without_end(cells: Sequence[str], columns: int) -> list[str]:
    """Names without the empty one behind a delimiter at the line's end."""
    return list(cells[:-1] if len(cells) == columns + 1 and not cells[-1] else cells)


def _without_empty_end(text: str) -> str:
    """The text without the lines of delimiters alone that spreadsheets end with."""
    end = len(text)
    while (start := text.rfind("\n", 0, end)) >= 0 and not text[start:end].strip(";,\t\n "):
        end = start
    return text[:end]


def _trimmed(body: str, delimiter: str) -> tuple[str, bool]:
    """The lines without the delimiter that all of them may end with."""
    ends = body.count(f"{delimiter}\n") + body.endswith(delimiter)
    if ends <= body.count("\n"):
        return body, False
    return body.replace(f"{delimiter}\n", "\n").removesuffix(delimiter), True


def _with_points(path: Path, layout: Layout) -> Layout:
    """The layout with a body whose numbers have decimal points."""
    body = layout.body
    if layout.delimiter == ",":
        if '"' in body:
            body = _QUOTED_DECIMAL.sub(r"\1.\2", body)
        elif "." not in body and (_SPLIT_DECIMALS.search(body) or _has_split_sign(body)):
            raise InputError(path, "has columns that look like the two sides of decimal commas", SEMICOLONS)
    elif "," in body and ("." not in body or _has_decimal_commas(path, layout)):
        body = body.replace(",", ".")
    return replace(layout, body=body)


def _has_split_sign(body: str) -> bool:
    """Whether there is a -0, and no negative number behind the first of two columns: `-0,5`."""
    rows = [line.split(",") for line in body.split("\n", 1000)[:1000]]
    if any(len(row) != 2 for row in rows):
        return False
    return any(row[0].strip() == "-0" for row in rows) and not any(row[1].lstrip().startswith("-") for row in rows)


def _has_decimal_commas(path: Path, layout: Layout) -> bool:
    """Whether the numbers have decimal commas where the points may be those of times; both in numbers is refused."""
    points = commas = 0
    numbers = [place for place, kind in enumerate(layout.kinds) if kind == "number"]
    for number, line in enumerate(layout.body.split("\n"), start=layout.first + 1):
        cells = line.split(layout.delimiter)
        numeric = "".join(cells[place] for place in numbers if place < len(cells))
        commas, points = commas or "," in numeric, points or "." in numeric
        if commas and points:
            problem = f"line {number} has another decimal sign than the lines before, or thousands: {line[:60]!r}"
            raise InputError(path, problem, NUMBERS)
    return bool(commas)
