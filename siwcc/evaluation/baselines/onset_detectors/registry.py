"""Detectors of malignant rhythms in whole recordings, without a network.

A detector is a module with `fit(records) -> fitted` and `detect(record, fitted) -> list[Candidate]`. It learns from the
records of other subjects only, each record is read once, and equal records give equal results.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from siwcc.data.datasets.interface import RhythmRecord
    from siwcc.data.episodes import Candidate

DETECTORS = ("rate_rule", "spectral", "change_point", "window_classifier")
"""Names of the modules next to this one, in the order of tables."""


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
