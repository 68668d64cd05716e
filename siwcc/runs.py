"""What names a training run, and where its files lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from siwcc.errors import InputError

STATE_NAME = ".state.pt"
_RUN_PATH = re.compile(r"(?:^|/)([^/]+)/([^/]+)/([^/]+)/fold(\d+)/seed(\d+)/[^/]+$")


class RunKey(NamedTuple):
    """What names a run; folds count from 1."""

    task: str
    encoding: str
    variant: str
    fold: int
    seed: int


def run_key_of(path: Path) -> RunKey:
    """The run that a file belongs to: .../<task>/<encoding>/<variant>/fold<k>/seed<s>/<file>.

    Raises:
        InputError: the path is not of this form.
    """
    match = _RUN_PATH.search(path.as_posix())
    if match is None:
        raise InputError(path, "does not lie in <task>/<encoding>/<variant>/fold<k>/seed<s>/")
    task, encoding, variant, fold, seed = match.groups()
    return RunKey(task, encoding, variant, int(fold), int(seed))


def run_place(key: RunKey) -> str:
    """The end of the path of a run's folder, the inverse of `run_key_of`."""
    return f"{key.task}/{key.encoding}/{key.variant}/fold{key.fold}/seed{key.seed}"


def remove_states(folders: Iterable[Path]) -> None:
    """Remove what complete runs were kept to be repeated from, see `siwcc.training.train_run`."""
    for folder in folders:
        (folder / STATE_NAME).unlink(missing_ok=True)
