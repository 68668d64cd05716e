"""Text and file names of other programs."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from refusals import refused

from siwcc.io.foreign import composed, find_file, is_there, other_case, read_foreign_text
from siwcc.io.foreign_table import check_columns, read_foreign_table

TEXT = "Müller µV °\nzwei\n"
NFC, NFD = (unicodedata.normalize(form, "Müller_ñ") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_in_any_encoding_and_with_any_line_end(tmp_path: Path, encoding: str, end: str) -> None:
    # Letters beyond the first 256 would make UTF-16 without a mark unrecognisable.
    (tmp_path / "a").write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_foreign_text(tmp_path / "a") == TEXT


@pytest.mark.parametrize("content", [b"\x81\x8d", b"a\0b", "ü".encode()[:1], b"\xff\xfea", b"\0\0\xfe\xff\0"])
def test_what_is_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with refused(tmp_path / "a", remedy="UTF-8"):
        read_foreign_text(tmp_path / "a")


def test_a_file_under_its_name_in_another_normal_form(tmp_path: Path) -> None:
    assert NFC != NFD
    (tmp_path / NFD).mkdir()
    (tmp_path / NFD / f"{NFC}.png").touch()
    assert find_file(tmp_path, f"{NFC}/{NFD}.png") == tmp_path / NFD / f"{NFC}.png"
    assert find_file(tmp_path, f"{NFC}/a.png") == tmp_path / NFC / "a.png"
    (tmp_path / NFC).mkdir()
    (tmp_path / NFC / f"{NFC}.png").touch()
    assert find_file(tmp_path, f"{NFC}/{NFC}.png") == tmp_path / NFC / f"{NFC}.png"
    assert composed(NFD) == NFC


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    assert not is_there(tmp_path / ("ü" * 300))
    assert not is_there(tmp_path / "a\0")
    assert find_file(tmp_path, "ü" * 300) == tmp_path / ("ü" * 300)
    assert other_case(tmp_path / "absent" / "a") == ""
    (tmp_path / "Cell.PNG").touch()
    assert other_case(tmp_path / "cell.png") == "Cell.PNG"


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("file,x,y\na b,1.5,2\nc,3,4.25\n", ","),
        ("file, x, y\na b, 1.5, 2\nc, 3, 4.25\n", ","),
        ("\ufefffile ;x; y\r\na b;1,5;2\r\nc;3;4,25\r\n", ";"),
        ("file\tx\ty\ra b\t1,5\t2\rc\t3\t4,25\r", "\t"),
        ("sep=;\nfile;x;y\na b;1,5;2\nc;3;4,25\n", ";"),
        ("# note, of 2; parts\n\nfile;x;y\n\na b;1,5;2\n# between\n;;\nc;3;4,25\n;;\n", ";"),
        ("file,x,y,\na b,1.5,2,\nc,3,4.25,\n", ","),
        ("file;x;y\na b;1,5;2;\nc;3;4,25;\n", ";"),
        ("File,X,Y\na b,1.5,2\nc,3,4.25\n", ","),
        ('"file","x","y"\n"a b","1.5","2"\n"c", "3", "4.25"\n', ","),
    ],
)
def test_one_table_in_many_spellings(tmp_path: Path, content: str, delimiter: str) -> None:
    (tmp_path / "t.csv").write_text(content, newline="")
    table = read_foreign_table(tmp_path / "t.csv", ("file", "x", "y")).with_points(("x", "y"))
    assert (table.delimiter, table.names) == (delimiter, ("file", "x", "y"))
    rows = [row for _, row in table.rows]
    assert rows == [{"file": "a b", "x": "1.5", "y": "2"}, {"file": "c", "x": "3", "y": "4.25"}]


def test_rows_are_numbered_as_a_spreadsheet_does(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('# note\nfile,x\na,1\n\n"b\nc",2\nd,3\n')
    table = read_foreign_table(tmp_path / "t.csv", ("file", "x"))
    assert [(number, row["file"]) for number, row in table.rows] == [(3, "a"), (5, "b\nc"), (6, "d")]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", ["x", "none"]),
        ("file;y\na;1\n", ["x", "file, y"]),
        ("file,x,x\na,1,2\n", ["column x"]),
        ("file,x\na,1\nb\n", ["line 3", "2", "1"]),
        ("file,x\na,1\nb,1,2\n", ["line 3", "2", "3"]),
        ("file;x\na;1,5\nb;2.5\n", ["row 2", "x", "'1,5'"]),
        ("file;x\na;1.234,5\n", ["row 2", "x", "'1.234,5'"]),
        ('file,x\n"a,1\n' + "b" * 200_000 + "\n", []),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, content: str, found: list[str]) -> None:
    (tmp_path / "t.csv").write_text(content)
    with refused(tmp_path / "t.csv", *found):
        table = read_foreign_table(tmp_path / "t.csv", ("file", "x"))
        check_columns(table, ("file", "x"))
        table.with_points(("x",))
