from __future__ import annotations

import math
from dataclasses import dataclass

from siwcc.io import tables


@dataclass(frozen=True)
class Line:
    name: str
    count: int
    value: float
    adjusted: float | None


def test_numbers_come_back_as_they_were_and_nothing_is_empty(tmp_path):
    lines = [Line("a, b", 3, 0.1 + 0.2, None), Line("", 0, math.nan, 1e-300)]
    tables.write_lines(tmp_path / "t.csv", tables.columns_of(Line), lines)
    assert (tmp_path / "t.csv").read_text() == (
        'name,count,value,adjusted\n"a, b",3,0.30000000000000004,\n,0,nan,1e-300\n'
    )


def test_some_columns_and_no_lines(tmp_path):
    tables.write_lines(tmp_path / "t.csv", ("value", "name"), [Line("a", 1, 2.0, None)])
    assert (tmp_path / "t.csv").read_text() == "value,name\n2.0,a\n"
    tables.write_lines(tmp_path / "t.csv", tables.columns_of(Line), [])
    assert (tmp_path / "t.csv").read_text() == "name,count,value,adjusted\n"


def test_columns_are_as_wide_as_their_longest_cell():
    assert tables.aligned([["a", "head"], ["longer", ""], ["b", "x"]]) == ["a       head", "longer", "b       x"]
