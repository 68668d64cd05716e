"""How good answers are."""

from __future__ import annotations

import numpy as np


def r2_scores(target: np.ndarray, prediction: np.ndarray) -> list[float]:
    """Coefficient of determination of each output, in float64; NaN where the target is constant.

    Args:
        target: (rows, outputs), seconds or pixels.
        prediction: The same shape.
    """
    target = target.astype(np.float64)
    residual = ((target - prediction) ** 2).sum(axis=0)
    total = ((target - target.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(total > 0, 1.0 - residual / total, np.nan)
    return [float(score) for score in scores]
