"""From a curve of the probability of a malignant rhythm to candidates: hysteresis, merging, least duration.

One function for all methods that have such a curve, networks and baselines, so that they differ in the curve only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from siwcc.evaluation.episodes import Candidate

OnsetAt = Literal["enter", "leave"]


@dataclass(frozen=True)
class CurveSettings:
    """How a curve becomes candidates; every value can be written as JSON.

    Attributes:
        enter: An episode reaches at least this value; in (0, 1].
        leave: An episode lasts as long as the curve is at least this value; in (0, enter].
        least_s: Shortest time from the first crossing of `leave` to the last, s.
        merge_s: Episodes are one if the gap between them is shorter than this, s.
        refractory_s: Of two candidates whose onsets are closer than this, the one with the higher score is kept, s.
        score_s: Length of the running mean whose largest value is the score, s; 0 for the curve itself.
        onset_at: The level whose first crossing in the episode is the onset.
    """

    enter: float = 0.5
    leave: float = 0.3
    least_s: float = 1.0
    merge_s: float = 3.0
    refractory_s: float = 0.0
    score_s: float = 1.0
    onset_at: OnsetAt = "leave"

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter <= 1:
            raise ValueError(f"levels must be 0 < leave <= enter <= 1, not {self.leave}, {self.enter}")
        if not all(value >= 0 for value in (self.least_s, self.merge_s, self.refractory_s, self.score_s)):
            raise ValueError("least_s, merge_s, refractory_s and score_s must be at least 0")
        if self.onset_at not in get_args(OnsetAt):
            raise ValueError(f"onset_at must be one of {get_args(OnsetAt)}, not {self.onset_at!r}")


def find_candidates(curve: np.ndarray, step_s: float, settings: CurveSettings, first_s: float = 0.0) -> list[Candidate]:
    """The episodes of a curve, in the order of their onsets.

    An episode is a longest run of steps of at least `leave` that reaches `enter`. Then, in this order: episodes
    that are close are merged, short ones are left out, and the refractory time is applied. Onset and end are
    interpolated between the steps on either side of the crossing; a run at an end of the curve begins or ends with it.

    Args:
        curve: (steps,) in [0, 1]; NaN counts as 0.
        step_s: Time from one step to the next, s.
        settings: Levels and durations.
        first_s: Time of the first step, s.

    Returns:
        Candidates; `score` is the largest value, at a step of the episode, of the mean over `score_s` seconds centred
        there (steps outside the episode included, those outside the curve not). A short episode has a lower score.
    """
    values = np.nan_to_num(np.asarray(curve, dtype=np.float64), nan=0.0)
    runs = _merge(_runs(values, settings), values, step_s, settings)
    found = []
    for start, stop in runs:
        begin, end = _rise(values, start, settings.leave), _fall(values, stop - 1, settings.leave)
        if (end - begin) * step_s < settings.least_s:
            continue
        if settings.onset_at == "enter":
            reached = start + int(np.argmax(values[start:stop] >= settings.enter))
            begin = _rise(values, reached, settings.enter)
        score = _score(values, start, stop, round(settings.score_s / step_s))
        found.append(Candidate(first_s + begin * step_s, first_s + end * step_s, score))
    return keep_strongest(found, settings.refractory_s)


def keep_strongest(candidates: list[Candidate], refractory_s: float) -> list[Candidate]:
    """Leave out each candidate whose onset is closer than `refractory_s` to that of a kept one with a higher score.

    Candidates are kept in the order of their scores, the earlier one first of equal scores. So a higher threshold on
    the score never brings a candidate back.

    Args:
        candidates: In any order.
        refractory_s: At least 0, s.

    Returns:
        In the order of the onsets.
    """
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda one: (-one.score, one.onset_s)):
        if all(abs(candidate.onset_s - other.onset_s) >= refractory_s for other in kept):
            kept.append(candidate)
    return sorted(kept)


def _runs(values: np.ndarray, settings: CurveSettings) -> list[tuple[int, int]]:
    """First step and the step after the last of each run above `leave` that reaches `enter`."""
    above = np.concatenate([[False], values >= settings.leave, [False]]).astype(np.int8)
    starts, stops = (np.flatnonzero(np.diff(above) == sign) for sign in (1, -1))
    pairs = zip(starts.tolist(), stops.tolist(), strict=True)
    return [(start, stop) for start, stop in pairs if values[start:stop].max() >= settings.enter]


def _merge(
    runs: list[tuple[int, int]], values: np.ndarray, step_s: float, settings: CurveSettings
) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in runs:
        if merged:
            gap = _rise(values, start, settings.leave) - _fall(values, merged[-1][1] - 1, settings.leave)
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
