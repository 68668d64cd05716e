"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from refusals import refused

from siwcc.io import locks
from siwcc.io.errors import InputError
from siwcc.io.files import atomic_path, digest_of, read_csv, sha256_of, write_bytes, write_csv, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_with_its_folders_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "Überschrift\nzwei\n")
    assert path.read_bytes() == b"\xc3\x9cberschrift\nzwei\n"
    assert names(path.parent) == ["c.txt"]


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(previous)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_until_the_end_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_one_line_about_the_file_that_was_wanted(tmp_path: Path) -> None:
    def fill_disk() -> None:
        with atomic_path(tmp_path / "file"):
            raise OSError(28, "No space left on device")

    with refused(tmp_path / "file", "No space left on device"):
        fill_disk()
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("")
    with refused(tmp_path / "folder" / "file"):
        write_text(tmp_path / "folder" / "file", "x")


def test_an_unreadable_source_is_not_blamed_on_the_file_being_written(tmp_path: Path) -> None:
    source, wanted = tmp_path / "source" / "record.dat", tmp_path / "out" / "file"

    def copy() -> None:
        with atomic_path(wanted) as temporary:
            temporary.write_bytes(source.read_bytes())

    with pytest.raises(InputError) as caught:
        copy()
    assert str(caught.value) == f"{source}: cannot be read (No such file or directory)"
    assert names(wanted.parent) == []


# ------------------------------------------------------------ kills and writers


WRITER = """
import sys
from pathlib import Path
from siwcc.io.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("a longer text, cut")
    print(temporary.name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of writing `tmp_path / "file"`."""
    command = [sys.executable, "-c", WRITER, tmp_path / "file"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == ".file.part\n"
        yield process
        process.kill()


def test_what_a_killed_writer_left_is_taken_over_by_the_next_one(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    writer.kill()
    writer.wait()
    assert names(tmp_path) == [".file.part"]
    with atomic_path(tmp_path / "file") as temporary:
        assert temporary.read_bytes() == b""
        temporary.write_text("short")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "short"


def test_a_file_has_one_writer_at_a_time(
    tmp_path: Path, writer: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(locks, "_LOCK_WAIT_S", 0.2)
        with pytest.raises(InputError) as caught:
            write_text(tmp_path / "file", "mine")
    assert str(caught.value) == f"{tmp_path}/file: another process is writing it; wait for it, or end it"
    # What is being written has not been touched, and another file may be written all the same.
    assert (tmp_path / ".file.part").read_text() == "a longer text, cut"
    write_text(tmp_path / "other", "mine")
    # Who waits long enough comes after it, not into it.
    monkeypatch.setattr(locks, "_LOCK_WAIT_S", 600)
    finish = threading.Timer(0.2, writer.stdin.close)  # type: ignore[union-attr]
    finish.start()
    write_text(tmp_path / "file", "mine")
    assert writer.wait() == 0
    assert (tmp_path / "file").read_text() == "mine"
    assert names(tmp_path) == ["file", "other"]


def test_a_file_system_without_locks_is_written_to_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    write_text(tmp_path / "file", "x")
    assert names(tmp_path) == ["file"]


def test_a_link_under_the_name_of_a_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".file.part").symlink_to(tmp_path / "precious")
    with refused(tmp_path / "file"):
        write_text(tmp_path / "file", "x")
    assert (tmp_path / "precious").read_text() == "mine"


# ----------------------------------------------------------------------- CSV


def test_a_csv_has_plain_line_ends_and_quotes_only_where_needed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, ["sample_id", "reason"], [("a", "x, y"), ("b", 'say "z"'), (3, 0.5)])
    assert path.read_bytes() == b'sample_id,reason\na,"x, y"\nb,"say ""z"""\n3,0.5\n'
    assert read_csv(path, ["reason"]) == [
        {"sample_id": "a", "reason": "x, y"},
        {"sample_id": "b", "reason": 'say "z"'},
        {"sample_id": "3", "reason": "0.5"},
    ]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", ["a, b"]),
        (b"a,c\n1,2\n", ["b", "a, c"]),
        (b"a,b\n1,2\n3\n", ["line 3", "2 fields"]),
        (b"a,b\n1,2,3\n", ["line 2", "2 fields"]),
        (b"a,b\n\xff\xfe,2\n", ["UTF-8"]),
        (b"a,b\n" + b"1" * 200_000 + b",2\n", ["CSV"]),
    ],
)
def test_a_damaged_csv_is_one_line(tmp_path: Path, content: bytes, found: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with refused(path, *found, remedy=None):
        read_csv(path, ["a", "b"])


def test_a_missing_csv_is_one_line(tmp_path: Path) -> None:
    with refused(tmp_path / "absent.csv", remedy=None):
        read_csv(tmp_path / "absent.csv", ["a"])


# ------------------------------------------------------------------- digests


def test_sha256_is_that_of_the_bytes_beyond_one_block(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_digest_of_parts_depends_on_names_and_values_and_not_on_order() -> None:
    expected = hashlib.sha256(b"a\x001\x00b\x002\x00").hexdigest()
    assert digest_of({"b": "2", "a": "1"}) == digest_of({"a": "1", "b": "2"}) == expected
    assert len({digest_of(parts) for parts in ({"a": "12"}, {"a": "1", "b": "2"}, {"a1": "2"}, {"a": "21"})}) == 4


# -------------------------------------------------------------------- errors


def test_an_input_error_is_one_line_with_place_problem_and_remedy() -> None:
    error = InputError(Path("data") / "x.csv", "line 3\n  is\tbad", "mend it")
    assert str(error) == "data/x.csv: line 3 is bad; mend it"
    assert (error.where, error.remedy) == ("data/x.csv", "mend it")
    assert str(InputError("config: folds", "too many")) == "config: folds: too many"


def test_a_header_of_very_many_columns_is_refused_and_does_not_take_for_ever(tmp_path: Path) -> None:
    # Compared with one another these would be 10^11 pairs.
    path = tmp_path / "wide.csv"
    path.write_text("sample_id" + "," * 300_000 + "\n")
    with refused(path, "column", remedy=None):
        read_csv(path, ("sample_id",))
