"""From a baseline's curve of the probability of a malignant rhythm to candidates: one level, and merging.

The networks have a curve of onsets, too, see `siwcc.evaluation.rhythm_rises`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siwcc.data.episodes import Candidate


@dataclass(frozen=True)
class CurveSettings:
    """How a curve becomes candidates; every value can be written as JSON.

    Attributes:
        level: An episode lasts as long as the curve is at least this value; in (0, 1].
        merge_s: Episodes are one if the gap between them is shorter than this, s.
        score_s: Length of the running mean whose largest value is the score, s; 0 for the curve itself.
    """

    level: float
    merge_s: float = 0.0
    score_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.level <= 1:
            raise ValueError(f"level must be in (0, 1], not {self.level}")
        if not all(value >= 0 for value in (self.merge_s, self.score_s)):
            raise ValueError("merge_s and score_s must be at least 0")


def find_candidates(curve: np.ndarray, step_s: float, settings: CurveSettings, first_s: float = 0.0) -> list[Candidate]:
    """The episodes of a curve, in the order of their onsets.

    An episode is a longest run of steps of at least `level`; episodes that are close are merged. Onset and end are
    interpolated between the steps on either side of the crossing; a run at an end of the curve begins or ends with it.

    Args:
        curve: (steps,) in [0, 1]; NaN counts as 0.
        step_s: Time from one step to the next, s.
        settings: Level and times.
        first_s: Time of the first step, s.

    Returns:
        Candidates; `score` is the largest value, at a step of the episode, of the mean over `score_s` seconds centred
        there (steps outside the episode included, those outside the curve not). A short episode has a lower score.
    """
    values = np.nan_to_num(np.asarray(curve, dtype=np.float64), nan=0.0)
    found = []
    for start, stop in _merge(_runs(values, settings.level), values, step_s, settings):
        begin, end = _rise(values, start, settings.level), _fall(values, stop - 1, settings.level)
        score = _score(values, start, stop, round(settings.score_s / step_s))
        found.append(Candidate(first_s + begin * step_s, first_s + end * step_s, score))
    return found


def _runs(values: np.ndarray, level: float) -> list[tuple[int, int]]:
    """First step and the step after the last of each run of at least `level`."""
    above = np.concatenate([[False], values >= level, [False]]).astype(np.int8)
    starts, stops = (np.flatnonzero(np.diff(above) == sign) for sign in (1, -1))
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _merge(
    runs: list[tuple[int, int]], values: np.ndarray, step_s: float, settings: CurveSettings
) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in runs:
        if merged:
            gap = _rise(values, start, settings.level) - _fall(values, merged[-1][1] - 1, settings.level)
            if gap * step_s < settings.merge_s:
                merged[-1] = (merged[-1][0], stop)
                continue
        merged.append((start, stop))
    return merged


def _rise(values: np.ndarray, step: int, level: float) -> float:
    """Where, in steps, the curve reaches `level` on its way to `step`, the first that is at least `level`."""
    if step == 0:
        return 0.0
    before, after = values[step - 1], values[step]
    return float(step - (after - level) / (after - before))


def _fall(values: np.ndarray, step: int, level: float) -> float:
    """Where, in steps, the curve falls below `level` after `step`, the last that is at least `level`."""
    if step == len(values) - 1:
        return float(step)
    before, after = values[step], values[step + 1]
    return float(step + (before - level) / (before - after))


def _score(values: np.ndarray, start: int, stop: int, width: int) -> float:
    """The largest mean over `width` steps (one more if even) around a step from `start` up to `stop`."""
    half = width // 2
    first, last = max(start - half, 0), min(stop + half, len(values))
    total = np.concatenate([[0.0], np.cumsum(values[first:last])])
    steps = np.arange(start, stop)
    low, high = np.maximum(steps - half, 0) - first, np.minimum(steps + half + 1, len(values)) - first
    return float(np.clip(((total[high] - total[low]) / (high - low)).max(), 0.0, 1.0))
