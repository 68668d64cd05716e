"""Detectors of malignant rhythms in whole recordings, without a network.

A detector is a module with `fit(records) -> fitted` and `detect(record, fitted) -> list[Candidate]`. It learns from the
records of other subjects only, each record is read once, and equal records give equal results.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from siwcc.data.datasets.interface import RhythmRecord
    from siwcc.data.episodes import Candidate

DETECTORS = ("rate_rule", "spectral", "change_point", "window_classifier")
"""Names of the modules next to this one, in the order of tables."""

logger = logging.getLogger(__name__)


class Detector(Protocol):
    """What the module of a detector offers."""

    def fit(self, records: Iterable[RhythmRecord]) -> Any:
        """What is learned from the training records; read once, one record in memory at a time."""
        ...

    def detect(self, record: RhythmRecord, fitted: Any) -> list[Candidate]:
        """Candidates in a record, in the order of their onsets."""
        ...


def load_detector(name: str) -> Detector:
    """The module of a detector in `DETECTORS`; it is imported now."""
    if name not in DETECTORS:
        raise ValueError(f"there is no detector {name!r}; known: {', '.join(DETECTORS)}")
    return cast("Detector", import_module(f"siwcc.evaluation.baselines.onset_detectors.{name}"))


def write_detector_candidates(
    name: str,
    records: Sequence[RhythmRecord],
    of_folds: Sequence[RhythmRecord],
    fold_of: Mapping[str, int],
    is_external: bool,
    path: Path,
) -> None:
    """Write what a detector finds in each record after it was fitted on the other folds.

    Args:
        name: Of the detector.
        records: Of one data set.
        of_folds: All records that have a fold.
        fold_of: By record.
        is_external: Whether the data set has no folds: then the detector is fitted on all of them.
        path: The CSV of candidates to write.
    """
    from siwcc.evaluation.onset_tables import write_candidates

    detector = load_detector(name)
    found: dict[str, list[Candidate]] = {}
    for fold in [None] if is_external else sorted(set(fold_of.values())):
        fitted = detector.fit([record for record in of_folds if fold is None or fold_of[record.name] != fold])
        for record in records:
            if fold is None or fold_of[record.name] == fold:
                found[record.name] = detector.detect(record, fitted)
                logger.info("record %s, %d candidates", record.name, len(found[record.name]))
    write_candidates(path, found)
