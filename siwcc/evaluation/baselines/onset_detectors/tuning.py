"""Settings of a detector by what it finds in the training records: the measure of the study, on a small grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from siwcc.data.episodes import Candidate, Reference
from siwcc.evaluation.baselines.onset_detectors.curves import CurveSettings
from siwcc.evaluation.onset_froc import sweep_thresholds
from siwcc.evaluation.onsets import Detections
from siwcc.evaluation.rhythm_rises import RiseSettings

Settings = TypeVar("Settings")

FALSE_ALARMS_PER_H = (1.0, 2.0, 5.0, 10.0)
"""Where the sensitivity is read off; its mean over them is what the settings are chosen by."""

_GAPS_S = (1.0, 3.0)
_SCORE_S = 2.0


def mean_sensitivity(references: Sequence[Reference], candidates: Mapping[str, Sequence[Candidate]]) -> float:
    """Mean over `FALSE_ALARMS_PER_H` of the sensitivity within 2.5 s; 0 if the records have no onset.

    Args:
        references: Records of different names.
        candidates: By record.
    """
    froc = sweep_thresholds(Detections("", "", tuple(references), candidates))
    found = froc.found.sum(axis=1)
    most = [int(found[froc.level_at(limit)]) for limit in FALSE_ALARMS_PER_H]
    return sum(most) / len(most) / max(int(froc.onsets.sum()), 1)


def choose_settings(
    grid: Iterable[Settings], references: Sequence[Reference], detect: Callable[[Settings, str], Sequence[Candidate]]
) -> Settings:
    """The first of the settings with the highest `mean_sensitivity`.

    Args:
        grid: At least one.
        references: The training records.
        detect: The candidates that settings give in the record of a name.
    """
    return max(
        grid,
        key=lambda settings: mean_sensitivity(
            references, {reference.record: detect(settings, reference.record) for reference in references}
        ),
    )


def curve_grid(levels: Sequence[float]) -> list[CurveSettings]:
    """Settings of a curve to choose from: few, as a finer choice on few subjects did not carry over to others.

    Args:
        levels: Of the curve, in (0, 1].
    """
    return [CurveSettings(level, merge_s, _SCORE_S) for level in levels for merge_s in _GAPS_S]


def rise_grid() -> list[RiseSettings]:
    """Settings of a curve without a curve of onsets: an onset is where it rises, as for the networks."""
    return [
        RiseSettings(rise_s=rise_s, gap_s=0.5, onset_weight=0.0, apart_s=apart_s)
        for rise_s in (3.0, 6.0)
        for apart_s in (2.0, 4.0)
    ]


def is_near_change(reference: Reference, time_s: np.ndarray, within_s: float) -> np.ndarray:
    """Whether each time is closer than `within_s` to the onset or the end of an episode, bool (times,)."""
    near = np.zeros(time_s.shape, dtype=bool)
    for episode in reference.episodes:
        for change_s in (episode.onset_s, episode.end_s):
            near |= np.abs(time_s - change_s) < within_s
    return near
