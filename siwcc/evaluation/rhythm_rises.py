"""Onsets where the probability of a malignant rhythm rises or a run begins, by the curves of the networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siwcc.data.episodes import Candidate
from siwcc.evaluation.beat_runs import Runs, find_runs, local_maxima


@dataclass(frozen=True)
class RiseSettings:
    """How onsets are found in the curves of the networks; JSON holds it as `asdict` gives it.

    Attributes:
        rise_s: The rise of the rhythm's probability at a moment is its mean over this time after the moment, less that
            over as much time before it; not below 0.
        gap_s: Time to either side of the moment that does not count, as the probability changes there.
        onset_weight: The score is `onset ** onset_weight * rise ** (1 - onset_weight)`, a weighted geometric mean.
            Where there are curves of beats, it is the probability of this or of a run of ventricular beats in a rhythm
            that is not malignant, as if they were independent.
        apart_s: A candidate has the largest score within this time to either side.
        least_score: Candidates with a lower score are left out.
        end_level: The episode ends where the rhythm's probability, after its largest value within `rise_s`, first falls
            below this; not before the end of a run that begins it.
    """

    rise_s: float = 3.0
    gap_s: float = 0.3
    onset_weight: float = 0.3
    apart_s: float = 2.0
    least_score: float = 0.02
    end_level: float = 0.3


def score_curve(curves: np.ndarray, step_s: float, settings: RiseSettings, runs: Runs | None = None) -> np.ndarray:
    """How much a malignant rhythm begins at every step, (2, steps) -> (steps,), 0 to 1; `runs`: where beats are."""
    rhythm, onset = curves
    steps, gap = max(1, round(settings.rise_s / step_s)), round(settings.gap_s / step_s)
    reach = steps + gap
    padded = np.pad(rhythm, reach, mode="edge")
    total = np.concatenate([[0.0], np.cumsum(padded)])
    # Of `steps` values from each on.
    mean = (total[steps:] - total[:-steps]) / steps
    # Sums of rounded values may leave the range by a rounding.
    before, after = np.clip([mean[: len(rhythm)], mean[reach + gap :][: len(rhythm)]], 0.0, 1.0)
    rise = np.clip(after - before, 0.0, 1.0)
    score = onset**settings.onset_weight * rise ** (1 - settings.onset_weight)
    if runs is not None:
        # A run begins nothing where the rhythm is malignant already.
        score = 1.0 - (1.0 - score) * (1.0 - runs.score * (1.0 - before))
    return np.asarray(score)


def find_rises(curves: np.ndarray, step_s: float, settings: RiseSettings) -> list[Candidate]:
    """Onsets of malignant rhythms, in the order of time, at maxima of the score.

    Args:
        curves: (2, steps) of `rhythm_curves`, or (4, steps) with those of beats; step i is at `i * step_s`.
        step_s: Time from one step to the next, s.
        settings: How the score is computed.

    Returns:
        Candidates; of equal scores within `apart_s` the first one.

    Raises:
        ValueError: another number of curves.
    """
    if len(curves) not in (2, 4):
        raise ValueError(f"two or four curves are needed, got {len(curves)}")
    if not curves.shape[1]:
        return []
    runs = find_runs(curves[2:], step_s) if len(curves) == 4 else None
    score = score_curve(curves[:2], step_s, settings, runs)
    below = np.flatnonzero(curves[0] < settings.end_level)
    candidates = []
    for step in local_maxima(score, round(settings.apart_s / step_s), settings.least_score):
        end = _end(curves[0], below, step, step_s, settings)
        if runs is not None:
            end = max(end, int(runs.end[step]))
        candidates.append(Candidate(step * step_s, end * step_s, float(score[step])))
    return candidates


def _end(rhythm: np.ndarray, below: np.ndarray, onset: int, step_s: float, settings: RiseSettings) -> int:
    """The first step after an episode; `below` are the steps at which the rhythm is below `end_level`."""
    first = min(len(rhythm) - 1, onset + round(settings.gap_s / step_s))
    # It may rise to the level a little later than at the onset.
    inside = rhythm[first : first + round(settings.rise_s / step_s) + 1]
    first += int(inside.argmax())
    place = int(np.searchsorted(below, first))
    return int(below[place]) if place < len(below) else len(rhythm)
