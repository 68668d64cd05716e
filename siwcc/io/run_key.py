"""What names a training run, and where its files lie below the folder of its study.

All other paths of a study are in `siwcc.io.study_layout`. This part is a module of its own because training imports it:
a new figure or table must not train networks again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from siwcc.io.checksums import MANIFEST
from siwcc.io.errors import InputError

LOG = "log.csv"
MODEL = "model.pt"
PREDICTIONS = "predictions.csv"
RUN_FILES = (LOG, MODEL, PREDICTIONS, MANIFEST)
"""Names of the final files of a run; without a test fold there are no predictions."""
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
    return f"{key.task}/{key.encoding}/{key.variant}/{fold_name(key.fold)}/seed{key.seed}"


def fold_name(fold: int) -> str:
    """The name of a test fold in paths, `fold<k>`; `all` for `NO_FOLD`."""
    return "all" if fold == NO_FOLD else f"fold{fold}"


def remove_states(folders: Iterable[Path]) -> None:
    """Remove what complete runs were kept to be repeated from, see `siwcc.training.run.train_run`."""
    for folder in folders:
        (folder / STATE_NAME).unlink(missing_ok=True)
