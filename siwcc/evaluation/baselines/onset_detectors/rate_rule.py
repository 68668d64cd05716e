"""The usual definition of a ventricular tachycardia without the shape of its beats: three or more fast beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from wfdb.processing import xqrs_detect

from siwcc.data.episodes import Candidate
from siwcc.evaluation.baselines.onset_detectors.tuning import choose_settings
from siwcc.evaluation.baselines.onset_detectors.windows import FLOOR_MV, filter_leads

if TYPE_CHECKING:
    from siwcc.data.datasets.interface import RhythmRecord
    from siwcc.data.episodes import Reference

FEWEST_BEATS = 3
_LEAST_PER_MIN = (120.0, 150.0, 180.0)
_WEIGHTS = (0.0, 0.25, 0.5, 1.0)
_GAPS_S = (0.0, 3.0)
# Beats of the fastest flutter.
_FASTEST_PER_MIN = 300.0
# A run of so many beats gives 63 % of what the number of beats can add to the score.
_BEATS = 20.0
# wfdb's detector learns from the first beats.
_SHORTEST_S = 10.0


@dataclass(frozen=True)
class RateRule:
    """What is learned.

    Attributes:
        least_per_min: Beats after a shorter interval than this rate's are fast.
        rate_weight: In [0, 1], of the mean rate in the score; the rest is the number of beats.
        merge_s: Runs closer than this are one.
    """

    least_per_min: float
    rate_weight: float
    merge_s: float


def fit(references: Sequence[Reference], beats_s: Mapping[str, np.ndarray]) -> RateRule:
    """Choose the rate, the weight in the score and the merged gap by the training records."""
    grid = [RateRule(*values) for values in product(_LEAST_PER_MIN, _WEIGHTS, _GAPS_S)]
    return choose_settings(grid, references, lambda rule, name: fast_runs(beats_s[name], rule))


def detect(beats_s: np.ndarray, fitted: RateRule) -> list[Candidate]:
    """Runs of at least three fast beats."""
    return fast_runs(beats_s, fitted)


def describe(record: RhythmRecord) -> np.ndarray:
    """Beats of the first lead that is not flat, by `wfdb.processing.xqrs_detect`; float64 (beats,), s, ascending."""
    leads = filter_leads(record) if record.duration_s >= _SHORTEST_S else np.empty((0, 0))
    for lead in leads:
        if lead.std() > FLOOR_MV:
            beats = xqrs_detect(lead.astype(np.float64), record.rate_hz, verbose=False)
            return np.unique(np.asarray(beats, dtype=np.float64)) / record.rate_hz
    return np.empty(0)


def fast_runs(beats_s: np.ndarray, rule: RateRule) -> list[Candidate]:
    """Runs of fast beats, in the order of time.

    A beat is fast if it follows the one before it within 60 s / `least_per_min`. The score is the weighted mean of two
    numbers in [0, 1]: the mean rate, from `least_per_min` to 300 per minute, and 1 - exp(-n / 20) of n beats. Merged
    runs have the sum of the beats and the highest of the mean rates.

    Args:
        beats_s: (beats,) ascending, s.
        rule: The rule.

    Returns:
        From the first fast beat to the last.
    """
    fast = np.concatenate([[False], np.diff(beats_s) < 60 / rule.least_per_min, [False]]).astype(np.int8)
    firsts, lasts = (np.flatnonzero(np.diff(fast) == sign).tolist() for sign in (1, -1))
    runs: list[tuple[float, float, int, float]] = []
    for first, last in zip(firsts, lasts, strict=True):
        beats = last - first
        if beats < FEWEST_BEATS:
            continue
        onset_s, end_s = float(beats_s[first + 1]), float(beats_s[last])
        per_min = 60 * beats / float(beats_s[last] - beats_s[first])
        if runs and onset_s - runs[-1][1] < rule.merge_s:
            onset_s, _, beats_before, per_min_before = runs.pop()
            beats, per_min = beats + beats_before, max(per_min, per_min_before)
        runs.append((onset_s, end_s, beats, per_min))
    return [Candidate(onset_s, end_s, _score(beats, per_min, rule)) for onset_s, end_s, beats, per_min in runs]


def _score(beats: int, per_min: float, rule: RateRule) -> float:
    rate = (per_min - rule.least_per_min) / (_FASTEST_PER_MIN - rule.least_per_min)
    many = -np.expm1(-beats / _BEATS)
    return float(rule.rate_weight * np.clip(rate, 0.0, 1.0) + (1 - rule.rate_weight) * many)
