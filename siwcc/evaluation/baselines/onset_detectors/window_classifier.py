"""Trees that classify sliding windows as malignant or not: the strongest baseline.

Each window is described by the features of its leads, by how they differ from the record's median, and by those of
the windows 2 and 4 s before and after it. How the curve of the probability becomes candidates is chosen on records
that the trees did not learn from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import GroupKFold

from siwcc.data.episodes import is_malignant
from siwcc.evaluation.baselines.onset_detectors.curves import CurveSettings, find_candidates
from siwcc.evaluation.baselines.onset_detectors.tuning import (
    choose_settings,
    curve_grid,
    is_near_change,
    rise_grid,
)
from siwcc.evaluation.baselines.onset_detectors.windows import (
    FEATURES,
    FLOOR_MV,
    STEP_S,
    WINDOW_S,
    smooth,
    window_features,
    window_times,
)
from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises

if TYPE_CHECKING:
    from siwcc.data.datasets.interface import RhythmRecord
    from siwcc.data.episodes import Candidate, Reference

_CONTEXT_S = (-4.0, -2.0, 2.0, 4.0)
_TREES = 150
_FEWEST_WINDOWS_OF_A_LEAF = 10
_FRACTION_OF_COLUMNS = 0.15
_SEED = 42
# Windows every 0.5 s are nearly the same: every fourth is learned from.
_LEARNED_EVERY = 4
# Half of a record's weight is on the windows near its changes, where the onset is decided.
_NEAR_S = 10.0
_FOLDS = 6
_LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7)
_SMOOTHED_WINDOWS = 5
# A recorder's noise is above: less is no recording of a heart, whatever its rhythm.
_LEAST_MV = 0.001
# Column of the lead with the largest amplitude.
_LARGEST_LOG_AMPLITUDE = 2 * len(FEATURES) + FEATURES.index("log_amplitude")


@dataclass(frozen=True)
class WindowClassifier:
    """What is learned.

    Attributes:
        trees: Of them the mean is the probability of a malignant rhythm in a window.
        curve: From its running median to candidates.
    """

    trees: ExtraTreesClassifier
    curve: CurveSettings | RiseSettings


@dataclass(frozen=True)
class _Learned:
    """The windows of one record that the trees learn from."""

    columns: np.ndarray
    malignant: np.ndarray
    weight: np.ndarray


def fit(references: Sequence[Reference], descriptions: Mapping[str, np.ndarray]) -> WindowClassifier:
    """Learn the trees from all records, and choose the levels by trees that learned from other subjects.

    Args:
        references: With malignant and other rhythms. Of a single subject the trees learn from it, too.
        descriptions: By record, see `describe`.
    """
    columns = {reference.record: descriptions[reference.record].astype(np.float32) for reference in references}
    learned = [_learned(reference, columns[reference.record]) for reference in references]
    groups = [reference.group for reference in references]
    curves: dict[str, np.ndarray] = {}
    for train, test in _folds(groups):
        trees = _fit_trees([learned[place] for place in train])
        for place in test:
            name = references[place].record
            curves[name] = _probability(trees, columns[name])
    grid: list[CurveSettings | RiseSettings] = [*curve_grid(_LEVELS), *rise_grid()]
    curve = choose_settings(grid, references, lambda settings, name: _candidates(curves[name], settings))
    return WindowClassifier(_fit_trees(learned), curve)


def _folds(groups: Sequence[str]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Places of the records to learn from, and of those to predict."""
    every, subjects = np.arange(len(groups)), len(set(groups))
    return GroupKFold(min(_FOLDS, subjects)).split(groups, groups=groups) if subjects > 1 else [(every, every)]


def detect(columns: np.ndarray, fitted: WindowClassifier) -> list[Candidate]:
    """Candidates whose score is the largest running mean of the probability."""
    return _candidates(_probability(fitted.trees, columns), fitted.curve)


def describe(record: RhythmRecord) -> np.ndarray:
    """What a window is classified by, the same whatever the order of the leads and their number.

    Returns:
        float64 (windows, columns): the mean, least and largest of the leads' features, the mean less its median in
        the record, and the means of the windows at `_CONTEXT_S` (of the first or last window beyond the ends).
    """
    features = window_features(record)
    if not features.shape[1]:
        return np.empty((0, (4 + len(_CONTEXT_S)) * features.shape[2]))
    mean = features.mean(axis=0)
    places = np.arange(len(mean))
    around = [mean[np.clip(places + round(shift_s / STEP_S), 0, len(mean) - 1)] for shift_s in _CONTEXT_S]
    usual = np.median(mean, axis=0)
    return np.concatenate([mean, features.min(axis=0), features.max(axis=0), mean - usual, *around], axis=1)


def _learned(reference: Reference, columns: np.ndarray) -> _Learned:
    """Every fourth window; the weights of a record come to 1, half of it near changes if it has any."""
    chosen = slice(None, None, _LEARNED_EVERY)
    time_s = window_times(len(columns))[chosen]
    near = is_near_change(reference, time_s, _NEAR_S)
    parts = [part for part in (near, ~near) if part.any()]
    weight = np.zeros(len(time_s))
    for part in parts:
        weight[part] = 1 / len(parts) / np.count_nonzero(part)
    return _Learned(columns[chosen], is_malignant(reference, time_s), weight)


def _fit_trees(learned: Sequence[_Learned]) -> ExtraTreesClassifier:
    trees = ExtraTreesClassifier(
        _TREES,
        min_samples_leaf=_FEWEST_WINDOWS_OF_A_LEAF,
        max_features=_FRACTION_OF_COLUMNS,
        random_state=_SEED,
        n_jobs=1,
    )
    columns, malignant, weight = (
        np.concatenate([getattr(one, name) for one in learned]) for name in ("columns", "malignant", "weight")
    )
    return trees.fit(columns, malignant, sample_weight=weight)


def _probability(trees: ExtraTreesClassifier, columns: np.ndarray) -> np.ndarray:
    """Of a malignant rhythm in each window, (windows,); 0 without a signal, or if the trees learned from none."""
    classes = trees.classes_.tolist()
    if not len(columns) or True not in classes:
        return np.zeros(len(columns))
    amplitude_mv = np.exp(columns[:, _LARGEST_LOG_AMPLITUDE]) - FLOOR_MV
    probability = trees.predict_proba(columns)[:, classes.index(True)]
    return np.where(amplitude_mv > _LEAST_MV, probability, 0.0)


def _candidates(probability: np.ndarray, settings: CurveSettings | RiseSettings) -> list[Candidate]:
    curve, first_s = smooth(probability, _SMOOTHED_WINDOWS), WINDOW_S / 2
    if isinstance(settings, CurveSettings):
        return find_candidates(curve, STEP_S, settings, first_s)
    found = find_rises(np.stack([curve, np.ones(len(curve))]), STEP_S, settings)
    return [one._replace(onset_s=one.onset_s + first_s, end_s=one.end_s + first_s) for one in found]
