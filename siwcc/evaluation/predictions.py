"""`predictions.csv`: what a network or a baseline answered, beside the truth.

A target that is not visible is an empty cell. An answer is a number all the same, the best place there is: whether the
point is there at all is what `visible_<point>` says, where a network tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siwcc.data.augment.interface import Inputs
from siwcc.data.points import points_of


def prediction_columns(outputs: Sequence[str], points: int = 0, told: int = 0) -> list[str]:
    """Columns of the file: sample_id, copy, target..., prediction..., confidence..., visible...

    Args:
        outputs: Suffixes of the targets.
        points: For how many points there is a confidence: none, or all.
        told: For how many it is told whether they are visible: none, or all.
    """
    answers = [f"{name}{suffix}" for name in ("target", "prediction") for suffix in outputs]
    names = [f"_{name}" if name else "" for name in points_of(outputs)]
    sure = [f"confidence{name}" for name in names[:points]]
    return ["sample_id", "copy", *answers, *sure, *(f"visible{name}" for name in names[:told])]


def prediction_rows(
    inputs: Inputs, prediction: np.ndarray, confidence: np.ndarray | None = None, visible: np.ndarray | None = None
) -> list[list[object]]:
    """One row for each row of `inputs`, with six decimals.

    Args:
        inputs: Test rows with their targets.
        prediction: float (rows, outputs), seconds or pixels.
        confidence: float (rows, points), 0 ... 1; None for answers without one.
        visible: float (rows, points), 0 ... 1; None for answers that do not tell.
    """
    nothing = np.empty((len(prediction), 0))
    sure, told = (nothing if values is None else values for values in (confidence, visible))
    return [
        [sample_id, int(copy), *map(_cell, target), *(f"{value:.6f}" for value in (*answer, *certain, *seen))]
        for sample_id, copy, target, answer, certain, seen in zip(
            inputs.sample_id, inputs.copy, inputs.target, prediction, sure, told, strict=True
        )
    ]


def _cell(target: float) -> str:
    return "" if np.isnan(target) else f"{target:.6f}"
