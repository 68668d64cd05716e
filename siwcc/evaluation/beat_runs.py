"""Runs of ventricular beats, by the curves of the networks: three or more in a row begin an episode.

Beats are the peaks of the sum of both curves; the share of the first one is the probability that a beat is ventricular.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BEATS = 3
"""The fewest that are a run."""

# Beats are at least so far apart, s, and those of a run at most so far.
_APART_S, _LONGEST_S = 0.2, 1.3
# Smaller sums of both curves are no beat.
_LEAST = 0.25
# The curves are summed over this time to either side of a beat.
_AROUND_S = 0.08
_VENTRICULAR = 0.5


class Runs(NamedTuple):
    """Runs of ventricular beats at every step.

    Attributes:
        score: float64 (steps,), 0 to 1: that a run begins here, 0 between beats.
        last: int64 (steps,), the step of its last beat; 0 between beats.
    """

    score: np.ndarray
    last: np.ndarray


def find_runs(curves: np.ndarray, step_s: float) -> Runs:
    """How much a run of ventricular beats begins at every beat.

    The score is the product of the probabilities that the beat and the two after it are ventricular and that the one
    before it is not; 0 where two of the three beats are far apart.

    Args:
        curves: (2, steps), probabilities of a ventricular and of another beat.
        step_s: Time from one step to the next, s.
    """
    steps = curves.shape[1]
    runs = Runs(np.zeros(steps), np.zeros(steps, dtype=np.int64))
    beats = np.array(find_peaks(curves.sum(axis=0), max(1, round(_APART_S / step_s)), _LEAST), dtype=np.int64)
    if len(beats) < BEATS:
        return runs
    ventricular, other = _around(curves, max(1, round(_AROUND_S / step_s)))[:, beats]
    share = ventricular / (ventricular + other)
    follows = np.diff(beats) * step_s <= _LONGEST_S
    in_a_row = np.lib.stride_tricks.sliding_window_view(share, BEATS).prod(axis=1)
    in_a_row *= np.lib.stride_tricks.sliding_window_view(follows, BEATS - 1).all(axis=1)
    first = beats[: len(in_a_row)]
    runs.score[first] = in_a_row * np.concatenate([[1.0], 1.0 - share[: len(in_a_row) - 1]])
    runs.last[first] = beats[_last_beats(share, follows)][: len(in_a_row)]
    return runs


def _around(curves: np.ndarray, steps: int) -> np.ndarray:
    """Sums over so many steps to either side."""
    padded = np.pad(curves, ((0, 0), (steps, steps)))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * steps + 1, axis=1).sum(axis=2))


def _last_beats(share: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Of each beat the last one up to which all after it are ventricular, and at least two."""
    last = np.arange(len(share))
    goes_on = follows & (share[1:] >= _VENTRICULAR)
    for beat in range(len(share) - 2, -1, -1):
        if goes_on[beat]:
            last[beat] = last[beat + 1]
    return np.minimum(np.maximum(last, np.arange(len(share)) + BEATS - 1), len(share) - 1)


def find_peaks(score: np.ndarray, apart: int, least: float) -> list[int]:
    """Steps with the largest value within `apart` steps to either side, not below `least`; the first of equal ones."""
    if not len(score):
        return []
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(score, apart, mode="edge"), 2 * apart + 1)
    highest = windows.max(axis=1)
    found: list[int] = []
    for step in np.flatnonzero((score == highest) & (score >= least)).tolist():
        if not found or step - found[-1] > apart:
            found.append(step)
    return found
