"""Locks between processes: one mechanism, the kernel's, on a file or a folder. A lock ends with its process."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from siwcc.io.errors import InputError, unwritable

# A process whose owner was killed ends within a second, on a busy machine within a few.
_LOCK_WAIT_S = 15.0
_LOCK_EVERY_S = 0.1
# Lustre mounted without `flock`, NFS without its lock service.
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)

logger = logging.getLogger(__name__)


def try_lock(handle: int, alone: bool = True) -> bool:
    """Lock an open file or folder for this process; the lock goes with the process, however it ends.

    Args:
        handle: Its descriptor. On a file system without locks nothing is done.
        alone: Not together with others.

    Returns:
        False while others are in the way, and then nothing is held.
    """
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        logger.warning("a file system has no locks (%s): nothing keeps two processes apart there", error.strerror)
    return True


def wait_until(is_held: Callable[[], bool], where: Path, problem: str, wait_s: float | None = None) -> None:
    """Wait for a lock.

    Args:
        is_held: Tries to get it.
        where: What to name, and `problem` what to say of it, when it stays locked.
        problem: See `where`.
        wait_s: Seconds; None: as long as a dying job needs to end.

    Raises:
        InputError: another process has held it for longer.
    """
    give_up_at = time.monotonic() + (_LOCK_WAIT_S if wait_s is None else wait_s)
    told = False
    while not is_held():
        if time.monotonic() > give_up_at:
            raise InputError(where, problem, "wait for it, or end it")
        if not told:
            logger.info("%s: %s, waiting for it", where, problem)
            told = True
        time.sleep(_LOCK_EVERY_S)


@contextmanager
def locked_folder(
    folder: Path, problem: str = "another process is training this run", wait_s: float | None = None
) -> Iterator[None]:
    """Hold a folder for this process alone; the lock goes with the process, however it ends.

    Args:
        folder: Made when missing; nothing is put into it.
        problem: What to say of it while another process holds it.
        wait_s: Seconds to wait for another holder; None: as long as a dying job needs to end.

    Raises:
        InputError: another process has held it for too long (`problem`), or it cannot be made.
    """
    claim = FolderClaim(folder)
    try:
        wait_until(partial(claim.try_to_hold, alone=True), folder, problem, wait_s)
        yield
    finally:
        claim.close()


def make_own_folder(folder: Path) -> bool:
    """Make a folder for this user alone where there is none; whether it is this user's, and no link."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


class FolderClaim:
    """A claim to a folder, together with others or alone; it goes with the process, however that ends.

    Raises:
        InputError: the folder is not there and cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise unwritable(folder, error) from error

    def try_to_hold(self, alone: bool) -> bool:
        """Claim the folder, or change what is claimed; False when others are in the way, and then nothing is held."""
        try:
            return try_lock(self._handle, alone)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        # NFS locks only what is open for writing, which a folder cannot be: a file next to it is locked instead.
        self.close()
        self._handle = os.open(self._folder.with_name(f".{self._folder.name}.lock"), os.O_RDWR | os.O_CREAT)
        return try_lock(self._handle, alone)

    def close(self) -> None:
        """Give the folder up."""
        os.close(self._handle)


@cache
def claim_to(folder: Path) -> FolderClaim:
    """The claim that this process has to a folder until it ends: a second one would be in the way of the first."""
    return FolderClaim(folder)
