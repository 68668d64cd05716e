"""Baselines with one prediction for every row."""

from __future__ import annotations

import numpy as np

from siwcc.data.augment.interface import Inputs


def training_mean(inputs: Inputs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The mean target of the training rows: R2 just below 0.

    Args:
        inputs: The rows of all folds.
        train: Numbers of the training rows, augmented copies only.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, outputs), in the task's unit.
    """
    mean = inputs.target[train].astype(np.float64).mean(axis=0)
    return np.broadcast_to(mean, (len(test), len(mean)))


def centre(inputs: Inputs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The middle of the window or of the image, half of the spec's `output_scale`.

    Args:
        inputs: The rows of all folds.
        train: Not used.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, outputs), in the task's unit.
    """
    return np.full((len(test), len(inputs.spec.outputs)), inputs.spec.output_scale / 2)
