"""Locks on files and folders: one holder at a time, shared claims, and file systems without locks."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import HANGS_S
from refusals import refused

from siwcc.io import locks
from siwcc.io.locks import FolderClaim, claim_to, locked_folder


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LOCK_WAIT_S", 0.1)
    with locked_folder(tmp_path / "run"):
        with refused(tmp_path / "run", "another process"), locked_folder(tmp_path / "run"):
            pass
        with locked_folder(tmp_path / "other"):
            pass
    with locked_folder(tmp_path / "run"):
        assert list((tmp_path / "run").iterdir()) == []


def test_on_nfs_a_file_beside_the_folder_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux gives EBADF there for an exclusive lock of a handle that is not open for writing."""
    locked = fcntl.flock

    def flock_of_nfs(handle: int, operation: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        locked(handle, operation)

    monkeypatch.setattr(locks.fcntl, "flock", flock_of_nfs)
    test_a_folder_is_held_by_one_at_a_time(tmp_path, monkeypatch)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "other", ".run.lock", ".other.lock"}


def test_a_dying_holder_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LOCK_WAIT_S", HANGS_S)
    program = (
        "import sys, time; from pathlib import Path; from siwcc.io.locks import locked_folder\n"
        "with locked_folder(Path(sys.argv[1])): print('held', flush=True); time.sleep(1)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with locked_folder(tmp_path):
        assert holder.wait() == 0


def test_claims_are_shared_or_alone(tmp_path: Path) -> None:
    first, second = FolderClaim(tmp_path), FolderClaim(tmp_path)
    assert first.try_to_hold(alone=False)
    assert second.try_to_hold(alone=False)
    assert not second.try_to_hold(alone=True)
    first.close()
    assert second.try_to_hold(alone=True)
    third = FolderClaim(tmp_path)
    assert not third.try_to_hold(alone=False)
    # Whoever is through with changing lets the readers in.
    assert second.try_to_hold(alone=False)
    assert third.try_to_hold(alone=False)
    assert list(tmp_path.iterdir()) == []


def test_a_process_has_one_claim_to_a_folder(tmp_path: Path) -> None:
    assert claim_to(tmp_path) is claim_to(tmp_path)
    assert claim_to(tmp_path).try_to_hold(alone=True)
    assert claim_to(tmp_path).try_to_hold(alone=True)


def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with locked_folder(tmp_path), locked_folder(tmp_path):
        assert FolderClaim(tmp_path).try_to_hold(alone=True)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with refused(tmp_path / "file" / "run", "Not a directory"), locked_folder(tmp_path / "file" / "run"):
        pass
