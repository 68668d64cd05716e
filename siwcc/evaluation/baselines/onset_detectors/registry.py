"""Detectors of malignant rhythms in whole recordings, without a network.

A detector is a module with `describe(record) -> description`, `fit(references, descriptions) -> fitted` and
`detect(description, fitted) -> list[Candidate]`. It learns from the records of other subjects only, each record is
described once for all folds, and equal records give equal results.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from siwcc.data.datasets.interface import RhythmRecord
    from siwcc.data.episodes import Candidate, Reference

DETECTORS = ("rate_rule", "spectral", "change_point", "window_classifier")
"""Names of the modules next to this one, in the order of tables."""

logger = logging.getLogger(__name__)


class Detector(Protocol):
    """What the module of a detector offers."""

    def describe(self, record: RhythmRecord) -> Any:
        """What the detector uses of a record; the same whatever it is fitted on."""
        ...

    def fit(self, references: Sequence[Reference], descriptions: Mapping[str, Any]) -> Any:
        """What is learned from the training records, and from no other that is described."""
        ...

    def detect(self, description: Any, fitted: Any) -> list[Candidate]:
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
    from siwcc.data.episodes import reference_of
    from siwcc.evaluation.onset_tables import write_candidates

    detector = load_detector(name)
    learned = _describe(detector, of_folds)
    described = _describe(detector, records) if is_external else learned
    references = [reference_of(record) for record in of_folds]
    found: dict[str, list[Candidate]] = {}
    for fold in [None] if is_external else sorted(set(fold_of.values())):
        others = [reference for reference in references if fold is None or fold_of[reference.record] != fold]
        fitted = detector.fit(others, learned)
        for record in records:
            if fold is None or fold_of[record.name] == fold:
                found[record.name] = detector.detect(described[record.name], fitted)
                logger.info("record %s, %d candidates", record.name, len(found[record.name]))
    write_candidates(path, found)


def _describe(detector: Detector, records: Sequence[RhythmRecord]) -> dict[str, Any]:
    """The description of each record, by its name."""
    described = {}
    for number, record in enumerate(records, start=1):
        described[record.name] = detector.describe(record)
        logger.info("%d of %d: record %s is described", number, len(records), record.name)
    return described
