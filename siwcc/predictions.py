"""`predictions.csv`: what a network or a baseline answered, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siwcc.augment import Inputs


def prediction_columns(outputs: Sequence[str], points: int = 0) -> list[str]:
    """Columns of the file: sample_id, variant, target..., prediction..., confidence...

    Args:
        outputs: Suffixes of the targets.
        points: For how many points there is a confidence: 0, 1 (`confidence`) or more (`confidence_1` ...).
    """
    sure = ["confidence"] if points == 1 else [f"confidence_{number}" for number in range(1, points + 1)]
    answers = [f"{name}{suffix}" for name in ("target", "prediction") for suffix in outputs]
    return ["sample_id", "variant", *answers, *sure]


def prediction_rows(inputs: Inputs, prediction: np.ndarray, confidence: np.ndarray | None = None) -> list[list[object]]:
    """One row for each row of `inputs`, with six decimals.

    Args:
        inputs: Test rows with their targets.
        prediction: float (rows, outputs), seconds or pixels.
        confidence: float (rows, points), 0 ... 1; None for answers without one.
    """
    sure = np.empty((len(prediction), 0)) if confidence is None else confidence
    return [
        [sample_id, int(variant), *(f"{value:.6f}" for value in (*target, *answer, *certain))]
        for sample_id, variant, target, answer, certain in zip(
            inputs.sample_id, inputs.variant, inputs.target, prediction, sure, strict=True
        )
    ]
