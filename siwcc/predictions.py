"""`predictions.csv`: what a network or a baseline answered, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siwcc.augment import Inputs


def prediction_columns(outputs: Sequence[str]) -> list[str]:
    """Columns for these output suffixes: sample_id, variant, target..., prediction..."""
    return ["sample_id", "variant", *(f"{name}{suffix}" for name in ("target", "prediction") for suffix in outputs)]


def prediction_rows(inputs: Inputs, prediction: np.ndarray) -> list[list[object]]:
    """One row for each row of `inputs`, with six decimals.

    Args:
        inputs: Test rows with their targets.
        prediction: float (rows, outputs), seconds or pixels.
    """
    return [
        [sample_id, int(variant), *(f"{value:.6f}" for value in (*target, *answer))]
        for sample_id, variant, target, answer in zip(
            inputs.sample_id, inputs.variant, inputs.target, prediction, strict=True
        )
    ]
