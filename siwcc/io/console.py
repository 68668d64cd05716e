"""What a command says beside its data, all of it on standard error: notes, log lines, bars for long work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Verbosity = Literal["quiet", "normal", "verbose"]
Item = TypeVar("Item")


@dataclass
class _State:
    """Of this process.

    Attributes:
        verbosity: None outside of a command: who calls from Python gets notes and no bars.
        bar: The one that is shown.
    """

    verbosity: Verbosity | None = None
    bar: Progress | None = None


_state = _State()


@contextmanager
def verbosity(verbosity: Verbosity) -> Iterator[None]:
    """Set how much a command says; at the end, however it comes, a bar that is still shown is removed.

    Args:
        verbosity: `quiet`: warnings and errors; `normal`: notes and bars, too; `verbose`: log lines in place of bars.
    """
    root = logging.getLogger("siwcc")
    handler, level = logging.StreamHandler(sys.stderr), root.level
    handler.setFormatter(logging.Formatter("%(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO if verbosity == "verbose" else logging.WARNING)
    _state.verbosity = verbosity
    try:
        yield
    finally:
        _remove_bar()
        _state.verbosity = None
        root.setLevel(level)
        root.removeHandler(handler)


def note(line: str) -> None:
    """Say what may be good to know, unless the command is to be quiet."""
    if _state.verbosity != "quiet":
        print(line, file=sys.stderr)


def warn(line: str) -> None:
    """Say what must be known, however quiet the command is to be."""
    print(f"warning: {line}", file=sys.stderr)


def tracked(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items, one after the other, with a bar that counts them where `shows_bars`.

    Args:
        items: What is worked on.
        what: Stands before the bar.
    """
    with progress_bar(shows_bars()) as bar:
        if bar is None:
            yield from items
            return
        task = bar.add_task(what, total=len(items))
        for item in items:
            yield item
            bar.advance(task)


@contextmanager
def progress_bar(shown: bool, unit: Literal["items", "bytes"] = "items") -> Iterator[Progress | None]:
    """A bar on standard error, removed at the end. The one progress bar of the package.

    Args:
        shown: Whether it is wanted; None is yielded if not, if the terminal cannot draw it, or within another bar.
        unit: What is counted: items with the elapsed time, or bytes with the rate.
    """
    if not shown or _state.bar is not None:
        yield None
        return
    # Only here: it takes a tenth of a second to import.
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        yield None
        return
    amounts: tuple[progress.ProgressColumn, ...] = (progress.MofNCompleteColumn(), progress.TimeElapsedColumn())
    if unit == "bytes":
        amounts = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), *amounts)
    _state.bar = progress.Progress(*columns, console=console, transient=True)
    _state.bar.start()
    try:
        yield _state.bar
    finally:
        _remove_bar()


def shows_bars() -> bool:
    """Whether a command is running that is neither quiet nor verbose, and a terminal shows its standard error."""
    return _state.verbosity == "normal" and sys.stderr.isatty()


def _remove_bar() -> None:
    bar, _state.bar = _state.bar, None
    if bar is not None:
        bar.stop()
