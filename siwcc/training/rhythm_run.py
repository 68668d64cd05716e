"""One training of the stage that looks for onsets: records of all folds but one in, a file with a network out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

import siwcc
from siwcc.config import OnsetTraining, RecordsDataset
from siwcc.data.datasets.interface import RhythmRecord
from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes
from siwcc.io.lead_numbers import lead_indices
from siwcc.training.rhythm import train_rhythm_network
from siwcc.training.rhythm_checkpoint import recipe_problem, rhythm_model_bytes
from siwcc.training.rhythm_windows import RhythmRecipe

_LINES = 20

logger = logging.getLogger(__name__)


def recipe_of(training: OnsetTraining) -> RhythmRecipe:
    """The section of the config as the training takes it."""
    return RhythmRecipe.from_json(training.model_dump(mode="json"))


def _check_beats(records: Sequence[RhythmRecord], fold: int) -> None:
    kinds = {kind for record in records if record.beats is not None for kind in np.unique(record.beats.ventricular)}
    if len(kinds) < 2:
        problem = f"needs annotated beats, ventricular and other ones, in records outside fold {fold}"
        raise InputError("config: onsets.training.beat_sigma_s", problem, "set it to 0, or add a data set with beats")


def train_fold(
    by_dataset: Mapping[str, Sequence[RhythmRecord]],
    sections: Mapping[str, RecordsDataset],
    fold_of: Mapping[str, int],
    fold: int,
    seed: int,
    training: OnsetTraining,
    path: Path,
) -> None:
    """Train a network and write it.

    Args:
        by_dataset: Records of each data set.
        sections: Entries of the config of these data sets.
        fold_of: By record.
        fold: Its records are left out.
        seed: Of everything that is drawn.
        training: Every number of the training.
        path: The model to write.

    Raises:
        InputError: no network of this training could be used, or beats are asked for and none is annotated.
    """
    recipe, leads = recipe_of(training), lead_indices(next(iter(sections.values())).leads)
    if problem := recipe_problem(recipe, len(leads)):
        raise InputError("config: onsets.training", f"makes no network that can be used: {problem}")
    # The bytes depend on it.
    torch.set_num_threads(1)
    seen = [record for records in by_dataset.values() for record in records if fold_of[record.name] != fold]
    if recipe.beat_sigma_s:
        _check_beats(seen, fold)
    started_at = time.monotonic()

    def tell(number: int, of_all: int, loss: float) -> None:
        if number * _LINES // of_all > (number - 1) * _LINES // of_all:
            logger.info("batch %d of %d, loss %.4f, %.0f s", number, of_all, loss, time.monotonic() - started_at)

    network = train_rhythm_network(seen, recipe, seed, tell)
    metadata = {
        "recipe": recipe.to_json(),
        "leads": list(leads),
        "event_labels": sorted({label for record in seen for label in record.event_labels}),
        "datasets": {name: section.protocol() for name, section in sections.items()},
        "training_groups": sorted({record.group for record in seen}),
        "fold": fold,
        "seed": seed,
        "versions": {"siwcc": siwcc.__version__, "torch": torch.__version__},
    }
    write_bytes(path, rhythm_model_bytes(metadata, network.state_dict()))
