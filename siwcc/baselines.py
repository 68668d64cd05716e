"""Answers that see no network, in the files of the same form as the networks' predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from siwcc.augment import Inputs, augment_module
from siwcc.errors import InputError
from siwcc.files import write_csv
from siwcc.predictions import prediction_columns, prediction_rows

Baseline = Callable[[Inputs, Inputs], np.ndarray]


def training_mean(train: Inputs, test: Inputs) -> np.ndarray:
    """The mean target of the training folds, for every test row: R2 just below 0.

    Args:
        train: Rows of the training folds, augmented variants only.
        test: Rows of the test fold.

    Returns:
        float64 (test rows, outputs), in the task's unit.
    """
    mean = train.target.astype(np.float64).mean(axis=0)
    return np.broadcast_to(mean, (len(test.target), len(mean)))


BASELINES: dict[str, Baseline] = {"training_mean": training_mean}


def write_baseline(name: str, task: str, fold_paths: Sequence[Path], samples_path: Path, path: Path) -> None:
    """Write a baseline's answers for every fold as a test fold, in the order of the folds.

    Args:
        name: Name in `BASELINES`.
        task: The task of the folds.
        fold_paths: `fold1.h5` ... in order.
        samples_path: The samples file that they were made from.
        path: The `predictions.csv` to write.

    Raises:
        InputError: no baseline of this name.
    """
    if name not in BASELINES:
        raise InputError(path, f"there is no baseline {name!r}", f"known: {', '.join(sorted(BASELINES))}")
    augment = augment_module(task)
    rows: list[list[object]] = []
    for test_path in fold_paths:
        others = [other for other in fold_paths if other != test_path]
        train = augment.open_inputs(others, samples_path, augmented_only=True)
        test = augment.open_inputs([test_path], samples_path, augmented_only=False)
        rows += prediction_rows(test, BASELINES[name](train, test))
        outputs = test.spec.outputs
    write_csv(path, prediction_columns(outputs), rows)
