"""What the networks of a study find in whole recordings: candidates and curves of one data set."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from siwcc.data.curves import Curves, write_curves
from siwcc.data.datasets.interface import RhythmRecord
from siwcc.evaluation.onset_tables import write_candidates
from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises
from siwcc.inference.rhythm_curve import model_signal, rhythm_curves
from siwcc.training.rhythm_checkpoint import RhythmModel, read_rhythm_model

logger = logging.getLogger(__name__)


def write_network_candidates(
    records: Sequence[RhythmRecord],
    fold_of: Mapping[str, int],
    model_paths: Sequence[Path],
    settings: RiseSettings,
    candidates_path: Path,
    curves_path: Path,
) -> None:
    """Apply to each record the networks that have not seen its fold; to a record in no fold all of them.

    Args:
        records: Of one data set.
        fold_of: By record; empty for an external data set.
        model_paths: Networks of every fold and seed; the curve is the mean of those that are applied.
        settings: From the curve to candidates.
        candidates_path: The CSV to write.
        curves_path: The curves to write.

    Raises:
        InputError: a model that is missing or damaged.
    """
    # The bytes depend on it.
    torch.set_num_threads(1)
    models = [read_rhythm_model(path) for path in model_paths]
    recipe = models[0].recipe
    curves, found = {}, {}
    for number, record in enumerate(records, start=1):
        networks = [model.network for model in _unseen(models, fold_of.get(record.name))]
        both = rhythm_curves(networks, model_signal(record.signal_mv, record.rate_hz, recipe))
        curves[record.name], found[record.name] = both[0], find_rises(both, recipe.step_s, settings)
        logger.info("%d of %d: record %s, %d candidates", number, len(records), record.name, len(found[record.name]))
    write_candidates(candidates_path, found)
    write_curves(curves_path, Curves(recipe.step_s, curves))


def _unseen(models: Sequence[RhythmModel], fold: int | None) -> list[RhythmModel]:
    return [model for model in models if fold in (None, model.metadata.fold)]
