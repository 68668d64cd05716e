"""Baselines that know what the protocol gives away, and see no signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression

if TYPE_CHECKING:
    from siwcc.data.augment.signal import SignalInputs


def zero_padding(inputs: SignalInputs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """What the lengths of the padding at both ends of the window tell, by gradient boosting.

    Without any padding in the training rows it predicts their mean.

    Args:
        inputs: The rows of all folds.
        train: Numbers of the training rows, augmented copies only.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, 1), seconds.
    """
    # Early stopping would set rows aside by chance, and copies of one window on both sides.
    model = HistGradientBoostingRegressor(early_stopping=False, random_state=0)
    model.fit(inputs.edge_s[train], inputs.target[train, 0].astype(np.float64))
    return np.asarray(model.predict(inputs.edge_s[test]))[:, np.newaxis]


def gap_oracle(inputs: SignalInputs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The best non-decreasing prediction from the time since the previous counted event alone.

    Both protocols make the mean target grow with the gap g: with `rewindow` it is min(g, window) / 2,
    with `zero_fill` min(g, window / 2). Isotonic regression on min(g, window) learns either.

    Args:
        inputs: The rows of all folds.
        train: Numbers of the training rows, augmented copies only.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, 1), seconds.
    """
    gap_s = np.minimum(inputs.gap_s, inputs.spec.output_scale)
    model = IsotonicRegression(out_of_bounds="clip")
    model.fit(gap_s[train], inputs.target[train, 0].astype(np.float64))
    return np.asarray(model.predict(gap_s[test]))[:, np.newaxis]
