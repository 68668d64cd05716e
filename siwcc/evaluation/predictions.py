"""`predictions.csv`: what a network or a baseline predicted, with the target.

A target that is not visible is an empty cell. Its prediction is still a number. Networks that predict
whether a point is visible have a column `visible_<point>`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siwcc.data.augment.interface import Inputs
from siwcc.data.points import points_of


def prediction_columns(outputs: Sequence[str], points: int = 0, visibility: int = 0) -> list[str]:
    """Columns of the file: sample_id, copy, target..., prediction..., confidence..., visible...

    Args:
        outputs: Suffixes of the targets.
        points: For how many points there is a confidence: none, or all.
        visibility: For how many it is predicted whether they are visible: none, or all.
    """
    values = [f"{name}{suffix}" for name in ("target", "prediction") for suffix in outputs]
    names = [f"_{name}" if name else "" for name in points_of(outputs)]
    confidence = [f"confidence{name}" for name in names[:points]]
    return ["sample_id", "copy", *values, *confidence, *(f"visible{name}" for name in names[:visibility])]


def prediction_rows(
    inputs: Inputs, prediction: np.ndarray, confidence: np.ndarray | None = None, visible: np.ndarray | None = None
) -> list[list[object]]:
    """One row for each row of `inputs`, with six decimals.

    Args:
        inputs: Test rows with their targets.
        prediction: float (rows, outputs), seconds or pixels.
        confidence: float (rows, points), 0 ... 1; None for predictions without one.
        visible: float (rows, points), 0 ... 1; None for methods that do not predict it.
    """
    nothing = np.empty((len(prediction), 0))
    confidences, visibilities = (nothing if values is None else values for values in (confidence, visible))
    return [
        [sample_id, int(copy), *map(_cell, target), *(f"{value:.6f}" for value in (*predicted, *sure, *seen))]
        for sample_id, copy, target, predicted, sure, seen in zip(
            inputs.sample_id, inputs.copy, inputs.target, prediction, confidences, visibilities, strict=True
        )
    ]


def _cell(target: float) -> str:
    return "" if np.isnan(target) else f"{target:.6f}"
