"""Change points of a recording's features, as in the baseline of the windows, and which of them are onsets.

Not every change is an onset: a logistic regression on the features before and after it gives the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from ruptures import KernelCPD
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from siwcc.data.episodes import Candidate
from siwcc.evaluation.baselines.onset_detectors.tuning import choose_settings
from siwcc.evaluation.baselines.onset_detectors.windows import FEATURES, STEP_S, WINDOW_S, window_features

if TYPE_CHECKING:
    from siwcc.data.datasets.interface import RhythmRecord
    from siwcc.data.episodes import Reference

_NAMES = ("log_amplitude", "log_slope", "crossing_hz", "near_baseline", "concentration")
_COLUMNS = [FEATURES.index(name) for name in _NAMES]
_PENALTIES = (1.0, 2.0, 4.0)
_COMPARED_S = (4.0, 10.0)
# Of the windows, which overlap, as many as one is long.
_SHORTEST_SEGMENT = round(WINDOW_S / STEP_S)
# A spread of 0 comes from recordings without any change.
_LEAST_SPREAD = 0.02
# A change point this close to an onset is that onset.
_MATCHED_S = 2.5
_INVERSE_PENALTY = 0.1


@dataclass(frozen=True)
class ChangePoints:
    """What is learned; every value can be written as JSON.

    Attributes:
        spread: Standard deviation within a record of each of the features.
        penalty: Of one more change point, in units of the kernel's cost.
        compared_s: Only so much on either side of a change point is described.
        weights: Of the columns of `_describe`, with the constant last; none: all scores are 0.5.
    """

    spread: tuple[float, ...]
    penalty: float
    compared_s: float
    weights: tuple[float, ...] = ()


def fit(references: Sequence[Reference], descriptions: Mapping[str, np.ndarray]) -> ChangePoints:
    """The features' spread, the regression, and the penalty and the compared length chosen, on the training records."""
    features = {reference.record: descriptions[reference.record] for reference in references}
    variances = [of.var(axis=1).mean(axis=0) for of in features.values() if of.shape[1]]
    spread = np.maximum(np.sqrt(np.mean(variances, axis=0)), _LEAST_SPREAD) if variances else np.ones(len(_NAMES))
    scaled = {name: of / spread for name, of in features.items()}
    grid = []
    points = {}
    for penalty in _PENALTIES:
        points[penalty] = {name: find_changes(of, penalty) for name, of in scaled.items()}
        for compared_s in _COMPARED_S:
            weights = _learn_weights(references, scaled, points[penalty], compared_s)
            grid.append(ChangePoints(tuple(spread.tolist()), penalty, compared_s, weights))
    return choose_settings(
        grid, references, lambda fitted, name: score_changes(scaled[name], points[fitted.penalty][name], fitted)
    )


def detect(features: np.ndarray, fitted: ChangePoints) -> list[Candidate]:
    """Change points with the probability that each is the onset of a malignant rhythm."""
    scaled = features / np.array(fitted.spread)
    return score_changes(scaled, find_changes(scaled, fitted.penalty), fitted)


def describe(record: RhythmRecord) -> np.ndarray:
    """Five features of each window less their medians in the record, float64 (leads, windows, 5)."""
    features = window_features(record)[..., _COLUMNS]
    return features - np.median(features, axis=1, keepdims=True) if features.shape[1] else features


def find_changes(scaled: np.ndarray, penalty: float) -> list[int]:
    """The first window of each segment but the first.

    The exact search of `ruptures.KernelCPD` with a Gaussian kernel, as in `siwcc.evaluation.baselines.change_point`,
    here with any number of changes.

    Args:
        scaled: (leads, windows, features) with a spread of about 1.
        penalty: Of a change.
    """
    leads, windows, columns = scaled.shape
    if windows < 2 * _SHORTEST_SEGMENT:
        return []
    signal = scaled.transpose(1, 0, 2).reshape(windows, leads * columns)
    detector = KernelCPD(kernel="rbf", min_size=_SHORTEST_SEGMENT, params={"gamma": 1 / (2 * signal.shape[1])})
    return [int(place) for place in detector.fit(signal).predict(pen=penalty)[:-1]]


def score_changes(scaled: np.ndarray, changes: Sequence[int], fitted: ChangePoints) -> list[Candidate]:
    """A candidate from each change to the next, with the regression's probability as the score.

    Args:
        scaled: (leads, windows, features).
        changes: The first window of each segment but the first.
        fitted: Weights, and how much of the segments is compared.
    """
    if not changes:
        return []
    columns = _describe(scaled, changes, fitted.compared_s)
    weights = np.array(fitted.weights or (0.0,) * (columns.shape[1] + 1))
    scores = expit(columns @ weights[:-1] + weights[-1]).tolist()
    times_s = [_time_s(place) for place in (*changes, scaled.shape[1])]
    return [Candidate(onset_s, end_s, score) for (onset_s, end_s), score in zip(pairwise(times_s), scores, strict=True)]


def _time_s(change: int) -> float:
    """A change is between the centres of two windows."""
    return WINDOW_S / 2 + STEP_S * (change - 0.5)


def _describe(scaled: np.ndarray, changes: Sequence[int], compared_s: float) -> np.ndarray:
    """Features before and after each change, and the strength of the change, float64 (changes, columns)."""
    longest = max(round(compared_s / STEP_S), 1)
    rows = []
    for (start, change), (_, stop) in pairwise(pairwise([0, *changes, scaled.shape[1]])):
        before = scaled[:, max(start, change - longest) : change].mean(axis=1)
        after = scaled[:, change : min(stop, change + longest)].mean(axis=1)
        strength = -np.expm1(-((after - before) ** 2).mean() / 2)
        rows.append([*before.mean(axis=0), *after.mean(axis=0), strength])
    return np.array(rows)


def _learn_weights(
    references: Sequence[Reference],
    scaled: Mapping[str, np.ndarray],
    points: Mapping[str, list[int]],
    compared_s: float,
) -> tuple[float, ...]:
    """Weights of a logistic regression, onset or not; none if all changes are of one kind."""
    rows, labels = [], []
    for reference in references:
        changes = points[reference.record]
        if changes:
            onsets_s = np.array([onset.onset_s for onset in reference.onsets("episodes")])
            times_s = np.array([_time_s(change) for change in changes])
            rows.append(_describe(scaled[reference.record], changes, compared_s))
            labels.append((np.abs(times_s[:, np.newaxis] - onsets_s) <= _MATCHED_S).any(axis=1))
    if not labels or len(np.unique(np.concatenate(labels))) < 2:
        return ()
    regression = LogisticRegression(C=_INVERSE_PENALTY, class_weight="balanced", max_iter=1000)
    regression.fit(np.concatenate(rows), np.concatenate(labels))
    return (*regression.coef_[0].tolist(), float(regression.intercept_[0]))
