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
    """The middle of the window, half of the spec's `output_scale`, or of the image or volume, half of its `extent`.

    Args:
        inputs: The rows of all folds.
        train: Not used.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, outputs), in the task's unit.
    """
    spec = inputs.spec
    middle = np.array(spec.extent if len(spec.extent) > 1 else (spec.output_scale,)) / 2
    return np.tile(middle, (len(test), len(spec.points)))
