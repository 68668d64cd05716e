"""Scores of predictions."""

from __future__ import annotations

import numpy as np


def r2_scores(target: np.ndarray, prediction: np.ndarray) -> list[float]:
    """Coefficient of determination of each output, in float64; NaN where the target is constant.

    Args:
        target: (rows, outputs), seconds or pixels; NaN where a point is not visible, and then the row does not count
            for that output.
        prediction: The same shape.
    """
    target = target.astype(np.float64)
    if np.isnan(target).any():
        return [_r2_of_visible(*column) for column in zip(target.T, prediction.T, strict=True)]
    residual = ((target - prediction) ** 2).sum(axis=0)
    total = ((target - target.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(total > 0, 1.0 - residual / total, np.nan)
    return [float(score) for score in scores]


def _r2_of_visible(target: np.ndarray, prediction: np.ndarray) -> float:
    rows = ~np.isnan(target)
    return r2_scores(target[rows, np.newaxis], prediction[rows, np.newaxis])[0] if rows.any() else float("nan")


def mean_errors(target: np.ndarray, prediction: np.ndarray) -> list[float]:
    """Mean absolute error of each output, in float64; NaN for one that is never visible.

    Args:
        target: (rows, outputs), seconds or pixels; NaN where a point is not visible, and then the row does not count
            for that output.
        prediction: The same shape.
    """
    error = np.abs(prediction.astype(np.float64) - target)
    if not np.isnan(error).any():
        return [float(mean) for mean in error.mean(axis=0)]
    known = [column[~np.isnan(column)] for column in error.T]
    return [float(column.mean()) if len(column) else float("nan") for column in known]


def balanced_accuracy(visible: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of the fraction of visible points that are predicted visible, and of the others that are not.

    Args:
        visible: bool (rows,), whether the point is visible.
        predicted: bool (rows,), whether each is predicted to be visible.

    Returns:
        0 ... 1, 0.5 for a prediction that does not depend on the row; NaN where all rows are of one kind.
    """
    if visible.all() or not visible.any():
        return float("nan")
    return float((np.mean(predicted[visible]) + np.mean(~predicted[~visible])) / 2)
