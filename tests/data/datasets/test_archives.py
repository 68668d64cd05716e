from __future__ import annotations

import errno
import io
import os
from pathlib import Path, PurePosixPath

import numpy as np
import py7zr
import pytest
from refusals import refused

from siwcc.data.datasets.archives import extract_archive
from siwcc.io.errors import InputError

MEMBERS = {
    "im_A/001.bmp": b"slide image" * 50,
    "im_A/CROPPED/001_01.bmp": bytes(range(256)) * 20,
    "im_A/CROPPED/001_01_nuc.dat": b"1,2\n3,4\n",
    "im_A/notes.txt": b"",
}
EXPECTED = {"CROPPED/001_01.bmp": bytes(range(256)) * 20, "CROPPED/001_01_nuc.dat": b"1,2\n3,4\n"}
LIMIT_BYTES = 1_000_000


def place(member: PurePosixPath) -> PurePosixPath | None:
    return PurePosixPath("CROPPED", member.name) if member.parent.name == "CROPPED" else None


def write_archive(path: Path, members: dict[str, bytes], password: str | None = None) -> Path:
    with py7zr.SevenZipFile(path, "w", password=password) as archive:
        for name, content in members.items():
            # The public writestr refuses the names that these tests need.
            archive._writef(io.BytesIO(content), name)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def archive(tmp_path) -> Path:
    return write_archive(tmp_path / "im_A.7z", MEMBERS)


def assert_refused(archive: Path, tmp_path: Path, found: str, max_bytes: int = LIMIT_BYTES) -> None:
    before = set(tmp_path.rglob("*"))
    with refused(archive, found):
        extract_archive(archive, tmp_path / "im_A", place, max_bytes)
    assert set(tmp_path.rglob("*")) == before


def test_the_wanted_members_are_unpacked_and_nothing_else(archive, tmp_path):
    assert extract_archive(archive, tmp_path / "im_A", place, LIMIT_BYTES) == 2
    assert tree(tmp_path / "im_A") == EXPECTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["im_A", "im_A.7z"]


def test_several_compressed_blocks_are_unpacked(tmp_path):
    path = write_archive(tmp_path / "im_A.7z", {"CROPPED/a.bmp": b"a" * 1000})
    with py7zr.SevenZipFile(path, "a") as archive:
        archive.writestr(b"b" * 1000, "CROPPED/b.bmp")
    assert extract_archive(path, tmp_path / "im_A", place, LIMIT_BYTES) == 2
    assert tree(tmp_path / "im_A") == {"CROPPED/a.bmp": b"a" * 1000, "CROPPED/b.bmp": b"b" * 1000}


def test_a_leftover_of_a_killed_run_does_not_get_in(archive, tmp_path):
    stale = tmp_path / ".im_A.part" / "kept" / "CROPPED"
    stale.mkdir(parents=True)
    (stale / "999_99.bmp").write_bytes(b"half a file")
    extract_archive(archive, tmp_path / "im_A", place, LIMIT_BYTES)
    assert tree(tmp_path / "im_A") == EXPECTED


def test_permissions_of_the_archive_are_not_taken_over(tmp_path):
    source = tmp_path / "source.bmp"
    source.write_bytes(b"x")
    source.chmod(0o4711)
    with py7zr.SevenZipFile(tmp_path / "im_A.7z", "w") as archive:
        archive.write(source, "CROPPED/a.bmp")
    extract_archive(tmp_path / "im_A.7z", tmp_path / "im_A", place, LIMIT_BYTES)
    assert (tmp_path / "im_A/CROPPED/a.bmp").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize(
    "name", ["../evil.bmp", "CROPPED/../../evil.bmp", "/CROPPED/evil.bmp", "..\\evil.bmp", "C:\\CROPPED\\evil.bmp"]
)
def test_a_path_out_of_the_folder_refuses_the_archive(tmp_path, name):
    path = write_archive(tmp_path / "im_A.7z", MEMBERS | {name: b"evil"})
    assert_refused(path, tmp_path, "would be written outside its folder")


@pytest.mark.parametrize("target", ["/etc", "..", "CROPPED"])
def test_a_link_refuses_the_archive(tmp_path, target):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "CROPPED").mkdir()
    (inside / "link").symlink_to(target)
    with py7zr.SevenZipFile(tmp_path / "im_A.7z", "w") as archive:
        archive.write(inside / "link", "link")
        archive.writestr(b"x", "link/CROPPED/a.bmp")
    assert_refused(tmp_path / "im_A.7z", tmp_path, "link or a special file")


def test_more_than_the_limit_refuses_the_archive_wanted_or_not(tmp_path):
    for name in ("CROPPED/a.bmp", "slide.bmp"):
        path = write_archive(tmp_path / "im_A.7z", MEMBERS | {name: bytes(2_000_000)})
        assert path.stat().st_size < 10_000
        assert_refused(path, tmp_path, "would unpack to 20")
    total = sum(map(len, (MEMBERS | {"slide.bmp": bytes(2_000_000)}).values()))
    assert extract_archive(path, tmp_path / "im_A", place, total) == 2


def test_two_members_for_one_place_refuse_the_archive(tmp_path):
    path = write_archive(tmp_path / "im_A.7z", {"a/CROPPED/001_01.bmp": b"1", "b/CROPPED/001_01.BMP": b"2"})
    assert_refused(path, tmp_path, "two members for CROPPED/001_01.BMP")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
        (b"\n <HTML>", "web page"),
        (b"PK\x03\x04" + bytes(40), "not a .7z archive"),
        (b"", "0 bytes"),
        (b"7z\xbc\xaf\x27\x1c", "cannot be unpacked"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path, content, problem):
    (tmp_path / "im_A.7z").write_bytes(content)
    assert_refused(tmp_path / "im_A.7z", tmp_path, problem)


def test_a_missing_archive_is_named(tmp_path):
    assert_refused(tmp_path / "im_A.7z", tmp_path, "No such file")


def test_an_archive_without_wanted_members_is_refused(tmp_path):
    path = write_archive(tmp_path / "im_A.7z", {"readme.txt": b"hello"})
    assert_refused(path, tmp_path, "none of the files that are needed")


def test_an_encrypted_archive_is_refused(tmp_path):
    path = write_archive(tmp_path / "im_A.7z", MEMBERS, password="secret")
    assert_refused(path, tmp_path, "is encrypted")


def test_a_cut_archive_is_refused_wherever_it_is_cut(archive, tmp_path):
    whole = archive.read_bytes()
    for length in range(7, len(whole), 61):
        archive.write_bytes(whole[:length])
        assert_refused(archive, tmp_path, "cannot be unpacked")


def test_a_damaged_archive_is_refused_or_unpacks_the_same_bytes(archive, tmp_path):
    whole = archive.read_bytes()
    rng = np.random.default_rng(8)
    refused = 0
    for number in range(50):
        mutated = bytearray(whole)
        mutated[rng.integers(6, len(whole))] ^= 1 << rng.integers(0, 8)
        archive.write_bytes(mutated)
        folder = tmp_path / f"im_{number}"
        try:
            extract_archive(archive, folder, place, LIMIT_BYTES)
        except InputError:
            refused += 1
            assert not folder.exists()
        else:
            assert tree(folder) == EXPECTED
    assert refused > 30


def test_a_full_disk_blames_the_folder_and_leaves_nothing(archive, tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with refused(tmp_path / "im_A", "No space left"):
        extract_archive(archive, tmp_path / "im_A", place, LIMIT_BYTES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["im_A.7z"]
