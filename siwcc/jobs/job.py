"""How a job of the workflow behaves: its log, its errors, its end when its parent is gone."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.io.errors import InputError
from siwcc.io.files import try_lock, unwritable, wait_until

# It comes with the study; a lock on a folder does without.
if TYPE_CHECKING:
    import psutil

OWNER = "SIWCC_OWNER"
"""Environment variable with the number of the process that started a job, set by rules/common.smk."""
_WATCH_EVERY_S = 0.5


@contextmanager
def job(log_path: str | Path, parent: str = "snakemake") -> Iterator[None]:
    """Run a job's body with its messages in `log_path` and its errors as one line.

    Args:
        log_path: Messages of level INFO and above go here, with tracebacks of unforeseen errors.
        parent: The job ends itself when an ancestor process that runs this program ends, so that
            after a hard kill nothing goes on writing beside the new run.
    """
    # First of all: the log may be another job's by now.
    end_with_parents(parent)
    try:
        _log_to(Path(log_path))
        yield
    except InputError as error:
        _fail(str(error))
    except Exception as error:
        logging.getLogger(__name__).info("%s", traceback.format_exc())
        _fail(f"unforeseen {type(error).__name__}: {error} (details: {log_path})")
    finally:
        # The process ends with its job, and Python searches all objects for garbage once more
        # before it goes: a fifth of a second for what torch alone has made.
        gc.freeze()


def _fail(line: str) -> None:
    logging.getLogger(__name__).critical("error: %s", line)
    raise SystemExit(1)


def _log_to(log_path: Path) -> None:
    root = logging.getLogger("siwcc")
    root.setLevel(logging.INFO)
    root.propagate = False
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    to_terminal.setLevel(logging.WARNING)
    root.handlers = [to_terminal]
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        to_file = _LogFile(log_path)
    except OSError as error:
        raise unwritable(log_path, error) from error
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers = [to_file, to_terminal]


class _LogFile(logging.FileHandler):
    """A log that ends its job when it cannot be written, where Python would print a traceback and go on."""

    def __init__(self, path: Path) -> None:
        # A file's name may hold bytes that are no text.
        super().__init__(path, mode="w", encoding="utf-8", errors="backslashreplace")
        self._path = path

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Stop logging, and raise the reason as bad input."""
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        logging.getLogger("siwcc").removeHandler(self)
        # What could not be written is still waiting, and would be tried, and complained about, at the end.
        with suppress(OSError):
            self.close()
        raise unwritable(self._path, error) from error


def end_with_parents(named: str) -> None:
    """End this process at once when an ancestor ends that runs the program or module `named`, or one in between.

    It also ends now if it has been an orphan from the start: its owner, whose number the environment may give,
    was killed while Python was starting.
    """
    import psutil

    ancestors = psutil.Process().parents()
    owner = os.environ.get(OWNER)
    if owner and int(owner) not in [ancestor.pid for ancestor in ancestors]:
        print(f"error: process {owner}, which started this job, has ended", file=sys.stderr)
        raise SystemExit(1)
    named_ones = [number for number, ancestor in enumerate(ancestors) if _has_name(ancestor, named)]
    if named_ones:
        threading.Thread(target=_watch, args=(ancestors[: named_ones[-1] + 1],), daemon=True).start()


def _has_name(process: psutil.Process, named: str) -> bool:
    import psutil

    try:
        # As in `snakemake ...`, `python bin/snakemake ...` and `python -m snakemake ...`. A shell that
        # only started it, or whose command line mentions it, may end without meaning the job.
        return any(Path(word).name == named for word in process.cmdline()[:4])
    except psutil.Error:
        return False


def _watch(watched: list[psutil.Process]) -> None:
    while all(_is_alive(process) for process in watched):
        time.sleep(_WATCH_EVERY_S)
    os._exit(1)


def _is_alive(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
        # NFS locks only what is open for writing, which a folder cannot be: a file beside it stands in.
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
