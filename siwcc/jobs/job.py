"""How a job of the workflow behaves: its log, its errors, its end when its parent is gone."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.io.errors import InputError, unwritable

if TYPE_CHECKING:
    import psutil

OWNER = "SIWCC_OWNER"
"""Environment variable with the number of the process that started a job, set by rules/common.smk."""
OBJECTS_BETWEEN_SEARCHES = 50_000
"""How many new objects Python waits for before it searches for garbage, instead of 700."""
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
    # Imports make hundreds of thousands of objects, which stay.
    gc.set_threshold(OBJECTS_BETWEEN_SEARCHES)
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
