"""Which of several points there are in a row.

A target is NaN exactly where its point is not visible: in a row of its own, all axes of it together.
"""

from __future__ import annotations

import numpy as np


def visible_points(target: np.ndarray, points: int) -> np.ndarray:
    """Which points are there, bool (rows, points).

    Args:
        target: (rows, outputs), NaN where a point is not visible.
        points: How many there are; each has as many outputs.
    """
    return np.asarray(np.isfinite(target.reshape(len(target), points, -1)).all(axis=2))


def hide(target: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The targets, NaN where a point is not visible, float64 (rows, outputs).

    Args:
        target: float64 (rows, outputs).
        visible: bool (rows, points).
    """
    return np.where(np.repeat(visible, target.shape[1] // visible.shape[1], axis=1), target, np.nan)
