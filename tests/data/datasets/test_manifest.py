"""The list of raw files, and that a user's folder is only ever read."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from refusals import refused

from siwcc.config import HerlevSection, Synthetic, VfdbSection
from siwcc.data.datasets import vfdb
from siwcc.data.datasets.manifest import check_manifest, provide_raw, raw_folder
from siwcc.data.datasets.synthetic.write import write_synthetic
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv

COLUMNS = ["file", "bytes", "sha256"]


@pytest.fixture(scope="module")
def three_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "mine"
    write_synthetic("signal", folder, 3, 3)
    return folder


@pytest.fixture
def records(three_records: Path, tmp_path: Path) -> Path:
    """A folder with two records, for one test."""
    copy = tmp_path / "mine"
    copy.mkdir()
    for path in three_records.glob("demo0[12].*"):
        shutil.copy(path, copy)
    return copy


def section(**values: object) -> VfdbSection:
    return VfdbSection.model_validate({"format": "vfdb", **values})


def state_of(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything that could be disturbed: contents, times to the nanosecond, modes, names."""
    state: dict[str, tuple[object, ...]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        state[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ino, status.st_nlink, content)
    return state


def test_a_folder_given_by_the_user_is_only_read(records: Path, tmp_path: Path) -> None:
    (records / "notes.txt").write_text("mine")
    for path in records.iterdir():
        path.chmod(0o440)
        os.utime(path, ns=(10**18, 10**18))
    records.chmod(0o550)
    before = state_of(records)
    out = tmp_path / "data" / "raw"
    try:
        for _ in range(2):
            provide_raw("mine", section(path=records), out, out / "mine.manifest.csv")
        check_manifest("mine", section(), records, out / "mine.manifest.csv")
        assert state_of(records) == before
    finally:
        records.chmod(0o750)
    assert [path.name for path in out.iterdir()] == ["mine.manifest.csv"]


def test_the_manifest_lists_names_sizes_and_sums_of_the_files_of_the_set(records: Path, tmp_path: Path) -> None:
    (records / "notes.txt").write_text("mine")
    provide_raw("mine", section(path=records), tmp_path, tmp_path / "m.csv")
    rows = read_csv(tmp_path / "m.csv", COLUMNS)
    assert [row["file"] for row in rows] == sorted(
        path.name for path in records.iterdir() if path.suffix in (".hea", ".dat", ".atr")
    )
    for row in rows:
        content = (records / row["file"]).read_bytes()
        assert row["bytes"] == str(len(content))
        assert row["sha256"] == hashlib.sha256(content).hexdigest()


def test_where_the_raw_files_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert raw_folder("vfdb", section(), Path("data/raw")) == Path("data/raw/vfdb")
    assert raw_folder("vfdb", section(path="there"), Path("data/raw")) == Path("there")
    assert raw_folder("vfdb", section(path="~/there"), Path("data/raw")) == tmp_path / "there"


def test_a_path_is_never_downloaded_to_and_synthetic_files_are_never_downloaded(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(vfdb, "download", lambda *arguments: asked.append(arguments))
    provide_raw("a", section(path=records), tmp_path, tmp_path / "a.csv")
    provide_raw("b", section(synthetic=Synthetic(samples=1)), tmp_path, tmp_path / "b.csv")
    assert asked == []
    assert len(read_csv(tmp_path / "b.csv", COLUMNS)) == 3
    with refused(tmp_path / "c"):
        provide_raw("c", section(), tmp_path, tmp_path / "c.csv")
    assert [folder for _, folder in asked] == [tmp_path / "c"]


def test_synthetic_files_are_written_again_and_never_mixed_with_others(tmp_path: Path) -> None:
    provide_raw("b", section(synthetic=Synthetic(samples=2)), tmp_path, tmp_path / "b.csv")
    first = {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    provide_raw("b", section(synthetic=Synthetic(samples=2)), tmp_path, tmp_path / "b.csv")
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == first
    with pytest.raises(InputError) as caught:
        provide_raw("b", section(synthetic=Synthetic(samples=1)), tmp_path, tmp_path / "b.csv")
    assert str(caught.value) == (
        f"{tmp_path / 'b'}: holds demo02.atr, which is none of the synthetic files; "
        "delete the folder, or give datasets.b another name"
    )
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "b.csv"]


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_path_that_is_no_folder(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    if kind == "file":
        path.write_text("")
    with refused(path, remedy="datasets.mine.path"):
        provide_raw("mine", section(path=path), tmp_path, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "is listed for mine but does not exist"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 202175 bytes, its manifest says 202176"),
        (lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]), "changed since its manifest was written"),
    ],
)
def test_a_file_that_is_not_as_listed(records: Path, tmp_path: Path, damage, said: str) -> None:
    manifest = tmp_path / "m.csv"
    provide_raw("mine", section(path=records), tmp_path, manifest)
    victim = records / "demo01.dat"
    size = victim.stat().st_size
    damage(victim)
    said = said.replace("202175", str(size - 1)).replace("202176", str(size))
    with pytest.raises(InputError) as caught:
        check_manifest("mine", section(), records, manifest)
    remedy = f"restore it, or delete {manifest} to take the files as they are now"
    assert str(caught.value) == f"{victim}: {said}; {remedy}"


REFUSED = os.strerror(errno.EACCES)


def refuse(monkeypatch: pytest.MonkeyPatch, method: str, victim: Path) -> None:
    """As for somebody who may not read `victim`; root, who may run the tests, may."""
    permitted = getattr(Path, method)

    def checked(path: Path, *arguments: object) -> object:
        if path == victim:
            raise PermissionError(errno.EACCES, REFUSED, str(path))
        return permitted(path, *arguments)

    monkeypatch.setattr(Path, method, checked)


@pytest.mark.parametrize(("method", "name"), [("open", "demo01.dat"), ("stat", "demo01.dat"), ("iterdir", "")])
def test_what_cannot_be_read_is_one_line(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, name: str
) -> None:
    arguments = ("mine", section(path=records), tmp_path / "raw", tmp_path / "m.csv")
    provide_raw(*arguments)
    refuse(monkeypatch, method, records / name)
    remedy = "make it readable, or give datasets.mine.path a folder without it"
    for call in (lambda: provide_raw(*arguments), lambda: check_manifest("mine", section(), records, arguments[-1])):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == f"{records / name}: cannot be read ({REFUSED}); {remedy}"


def test_a_folder_of_images_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("normal/a.BMP", "normal/a-d.bmp", "lost+found/b.BMP"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    images = HerlevSection.model_validate({"format": "herlev", "path": tmp_path})
    refuse(monkeypatch, "iterdir", tmp_path / "lost+found")
    with pytest.raises(InputError) as caught:
        provide_raw("mine", images, tmp_path, tmp_path / "m.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'lost+found'}: cannot be read ({REFUSED}); make it readable")
    assert not (tmp_path / "m.csv").exists()


def named_in_latin_1(folder: Path, ending: str) -> Path:
    path = folder / (os.fsdecode(b"caf\xe9") + ending)
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    return path


def test_a_name_that_is_no_text_is_refused(records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for ending in (".bmp", "-d.bmp"):
        named_in_latin_1(folder, ending)
    images = HerlevSection.model_validate({"format": "herlev", "path": folder})
    with pytest.raises(InputError) as caught:
        provide_raw("mine", images, tmp_path, tmp_path / "m.csv")
    assert str(caught.value) == rf"{folder}/caf\xe9-d.bmp: has a name that is no text in UTF-8; rename it"
    # Of a record the header says another name, which is no reason to fetch it again.
    header = named_in_latin_1(records, ".hea")
    header.write_bytes((records / "demo01.hea").read_bytes())
    with pytest.raises(InputError) as caught:
        provide_raw("mine", section(path=records), tmp_path, tmp_path / "m.csv")
    assert str(caught.value) == rf"{records}/caf\xe9.hea: has a name that is no text in UTF-8; rename it"
    # What is no part of the set may have any name.
    header.rename(header.with_suffix(".txt"))
    provide_raw("mine", section(path=records), tmp_path, tmp_path / "m.csv")


def test_a_record_that_came_in_later(records: Path, three_records: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    provide_raw("mine", section(path=records), tmp_path, manifest)
    (records / "notes.txt").write_text("of no concern")
    check_manifest("mine", section(), records, manifest)
    for path in three_records.glob("demo03.*"):
        shutil.copy(path, records)
    with refused(records / "demo03.atr", remedy=str(manifest)):
        check_manifest("mine", section(), records, manifest)


def test_a_copy_that_is_not_the_published_set_is_said_so(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(records.iterdir())}
    monkeypatch.setattr(vfdb, "published_sums", lambda section: sums)
    arguments = ("mine", section(path=records), tmp_path / "raw", tmp_path / "mine.csv")
    provide_raw(*arguments)
    assert caplog.messages == []
    monkeypatch.setattr(vfdb, "published_sums", lambda section: sums | {"demo02.atr": "0" * 64, "demo03.dat": "1" * 64})
    provide_raw(*arguments)
    assert caplog.messages == [
        "mine: 1 file(s) differ from the published set, demo02.atr first",
        "mine: 1 file(s) of the published set are missing, demo03.dat first",
    ]
    monkeypatch.setattr(vfdb, "published_sums", lambda section: {"418.atr": "0" * 64})
    caplog.clear()
    provide_raw(*arguments)
    assert caplog.messages == []


def test_what_a_kill_left_of_making_up_a_set_is_cleared_away(tmp_path: Path) -> None:
    synthetic = section(synthetic=Synthetic(samples=1, seed=1))
    program = (
        "import os, signal; from siwcc.data.datasets import manifest; from siwcc.config import Synthetic, VfdbSection\n"
        "from pathlib import Path\n"
        "manifest._move_files = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"section = VfdbSection.model_validate({synthetic.model_dump(mode='json')!r})\n"
        f"manifest.provide_raw('set', section, Path({str(tmp_path)!r}), Path({str(tmp_path / 'm.csv')!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == [".set.part", "set"]
    assert list((tmp_path / "set").iterdir()) == []
    provide_raw("set", synthetic, tmp_path, tmp_path / "m.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv", "set"]
    check_manifest("set", section(), tmp_path / "set", tmp_path / "m.csv")


def test_two_at_one_folder_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Unpacking an archive, say, begins by clearing away what another process has half unpacked."""
    happened: list[str] = []
    may_end, folder = threading.Event(), tmp_path / "raw" / "mine"

    def download(section: VfdbSection, into: Path) -> None:
        happened.append("begins")
        if len(happened) == 1:
            assert may_end.wait(600)
        write_synthetic("signal", into, 1, 3)
        happened.append("ends")

    monkeypatch.setattr(vfdb, "download", download)
    arguments = ("mine", section(), tmp_path / "raw", tmp_path / "mine.csv")
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(2) as pool:
        both = [pool.submit(provide_raw, *arguments) for _ in range(2)]
        waits = f"{folder}: another process is making or fetching its files, waiting for it"
        give_up_at = time.monotonic() + 600
        while waits not in caplog.messages:
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        assert happened == ["begins"]
        may_end.set()
        for each in both:
            each.result()
    assert happened == ["begins", "ends"] * 2
    check_manifest("mine", section(), folder, tmp_path / "mine.csv")


def test_synthetic_files_replace_others_of_their_names_in_one_step(tmp_path: Path) -> None:
    synthetic = section(synthetic={"samples": 1, "seed": 3})
    folder = tmp_path / "mine"
    provide_raw("mine", synthetic, tmp_path, tmp_path / "m.csv")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    # As a job that was killed leaves it; and somebody may be reading a record just now.
    (tmp_path / ".mine.part").mkdir()
    (tmp_path / ".mine.part" / "demo07.dat").write_bytes(b"half")
    (folder / "demo01.dat").write_bytes(b"other")
    with (folder / "demo01.dat").open("rb") as reading:
        provide_raw("mine", synthetic, tmp_path, tmp_path / "m.csv")
        assert reading.read() == b"other"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv", "mine"]


def test_no_room_for_synthetic_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if target.parent.name == "mine":
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return replace(path, target)

    synthetic = section(synthetic={"samples": 1, "seed": 3})
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError) as caught:
        provide_raw("mine", synthetic, tmp_path, tmp_path / "m.csv")
    said = f"{tmp_path / 'mine'}: cannot be written (Disk quota exceeded); make room or choose another folder"
    assert str(caught.value).startswith(said)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
