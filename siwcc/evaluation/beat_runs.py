"""Runs of ventricular beats, by the curves of the networks: three or more in a row begin an episode.

Beats are the maxima of the sum of both curves. The fraction of the ventricular curve in it is the probability that a
beat is ventricular.

The numbers below are part of every score: with others, the thresholds and calibrations of trained detectors are wrong.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

# Fewest beats of a run.
_BEATS = 3
_APART_S = 0.2
_LONGEST_INTERVAL_S = 1.3
# A maximum with a smaller sum of both curves is not a beat.
_LEAST_SUM = 0.25
# The curves are summed over this time to either side of a beat.
_AROUND_S = 0.08
# From this probability on a beat belongs to the run before it.
_LEAST_PROBABILITY = 0.5


class Runs(NamedTuple):
    """Runs of ventricular beats.

    Attributes:
        score: float64 (steps,), probability that a run begins with the beat here; 0 between beats.
        end: int64 (steps,), the step after the last beat of the run; 0 where no run begins.
    """

    score: np.ndarray
    end: np.ndarray


def find_runs(curves: np.ndarray, step_s: float) -> Runs:
    """The probability that a run of ventricular beats begins, at every beat.

    It is the product of the probabilities that the beat and the two after it are ventricular, and that the one before
    it, if it is near, is not; 0 where two of the three are far apart.

    Args:
        curves: (2, steps), probabilities of a ventricular and of another beat.
        step_s: Time from one step to the next, s.
    """
    runs = Runs(np.zeros(curves.shape[1]), np.zeros(curves.shape[1], dtype=np.int64))
    apart = max(1, math.ceil(_APART_S / step_s) - 1)
    beats = np.array(local_maxima(curves.sum(axis=0), apart, _LEAST_SUM), dtype=np.int64)
    if len(beats) < _BEATS:
        return runs
    ventricular, other = _sums_around(curves, beats, max(1, round(_AROUND_S / step_s)))
    probability = ventricular / (ventricular + other)
    is_near = np.diff(beats) * step_s <= _LONGEST_INTERVAL_S
    triples = np.lib.stride_tricks.sliding_window_view(probability, _BEATS)
    in_a_row = triples.prod(axis=1) * np.lib.stride_tricks.sliding_window_view(is_near, _BEATS - 1).all(axis=1)
    first = beats[: len(triples)]
    before = np.concatenate([[0.0], probability[:-_BEATS] * is_near[: len(triples) - 1]])
    runs.score[first] = in_a_row * (1.0 - before)
    is_run = (in_a_row > 0) & (triples.min(axis=1) >= _LEAST_PROBABILITY)
    last = _last_beats(is_near & (probability[1:] >= _LEAST_PROBABILITY))[: len(triples)]
    runs.end[first] = np.where(is_run, beats[last] + 1, 0)
    return runs


def _sums_around(curves: np.ndarray, beats: np.ndarray, steps: int) -> np.ndarray:
    """Sums of the curves over so many steps to either side of each beat, (2, beats)."""
    padded = np.pad(curves, ((0, 0), (steps, steps)))
    return np.asarray(padded[:, beats[:, np.newaxis] + np.arange(2 * steps + 1)].sum(axis=2))


def _last_beats(next_belongs: np.ndarray) -> np.ndarray:
    """For each beat the last one of an unbroken row; whether the next one belongs to it, bool (beats - 1,)."""
    last = np.arange(len(next_belongs) + 1)
    for beat in np.flatnonzero(next_belongs)[::-1].tolist():
        last[beat] = last[beat + 1]
    return last


def local_maxima(values: np.ndarray, apart: int, least: float) -> list[int]:
    """Steps with the largest value within `apart` steps to either side, not below `least`; the first of equal ones."""
    if not len(values):
        return []
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, apart, mode="edge"), 2 * apart + 1)
    highest = windows.max(axis=1)
    found: list[int] = []
    for step in np.flatnonzero((values == highest) & (values >= least)).tolist():
        if not found or step - found[-1] > apart:
            found.append(step)
    return found
