"""What names a training run, and where its files lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from siwcc.io.errors import InputError

STATE_NAME = ".state.pt"
# In place of the test fold: the run trains on all of them, and is tested on none.
NO_FOLD = 0
_RUN_PATH = re.compile(r"(?:^|/)([^/]+)/([^/]+)/([^/]+)/(?:fold([1-9]\d*)|all)/seed(\d+)/[^/]+$")


class RunKey(NamedTuple):
    """What names a run; test folds count from 1, and `NO_FOLD` is none: trained on all of them."""

    task: str
    encoding: str
    variant: str
    fold: int
    seed: int


def run_key_of(path: Path) -> RunKey:
    """The run that a file belongs to: .../<task>/<encoding>/<variant>/fold<k>/seed<s>/<file>, or all/ for fold<k>/.

    Raises:
        InputError: the path is not of this form.
    """
    match = _RUN_PATH.search(path.as_posix())
    if match is None:
        raise InputError(path, "does not lie in <task>/<encoding>/<variant>/fold<k>/seed<s>/ or .../all/seed<s>/")
    task, encoding, variant, fold, seed = match.groups()
    return RunKey(task, encoding, variant, NO_FOLD if fold is None else int(fold), int(seed))


def run_place(key: RunKey) -> str:
    """The end of the path of a run's folder, the inverse of `run_key_of`."""
    fold = "all" if key.fold == NO_FOLD else f"fold{key.fold}"
    return f"{key.task}/{key.encoding}/{key.variant}/{fold}/seed{key.seed}"


def remove_states(folders: Iterable[Path]) -> None:
    """Remove what complete runs were kept to be repeated from, see `siwcc.training.run.train_run`."""
    for folder in folders:
        (folder / STATE_NAME).unlink(missing_ok=True)
