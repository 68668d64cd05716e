"""Predictions without a network, in files of the same form as the networks' predictions.

A baseline is a function `(inputs, train, test) -> predictions`: the rows of all folds, the numbers of
the training rows and of the test rows, and float64 (test rows, outputs) in the task's unit.
The Snakefile reads this module in every job, so it imports what a baseline needs when it predicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from siwcc.io.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from siwcc.config import Kind
    from siwcc.data.augment.interface import Inputs
    from siwcc.io.joined_samples import SamplesPath

    Baseline = Callable[[Inputs, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Entry:
    """Where a baseline is defined and for which kinds of tasks it predicts.

    Attributes:
        module: The module of `siwcc.evaluation.baselines.registry` that holds the function of the baseline's name.
        kinds: Kinds of tasks that it applies to; None for every kind.
        learns: Whether it predicts from the training rows.
        most_points: Tasks of more points have no such baseline: it predicts the same for each of them.
        kind: What it predicts from: `input`, the signal or image, or nothing at all; `padding`, the zero padding that
            the augmentation leaves; `oracle`, what no method has when it is used.
    """

    module: str
    kinds: tuple[Kind, ...] | None = None
    kind: Literal["input", "padding", "oracle"] = "input"
    learns: bool = False
    most_points: float = math.inf


_FEW = 2
BASELINES: dict[str, Entry] = {
    "training_mean": Entry("constant", learns=True),
    "centre": Entry("constant"),
    "intensity_centroid": Entry("intensity", most_points=_FEW),
    "inverted_centroid": Entry("intensity", most_points=_FEW),
    "zero_padding": Entry("leaks", ("signal",), "padding", learns=True),
    "gap_oracle": Entry("leaks", ("signal",), "oracle", learns=True),
    "change_point": Entry("change_point", ("signal",)),
    "otsu_centroid": Entry("intensity", ("image",), most_points=_FEW),
}


def baselines_of(kind: Kind, points: int = 1) -> list[str]:
    """Names of the baselines that apply to tasks of a kind with so many points, in the order of `BASELINES`."""
    return [
        name
        for name, entry in BASELINES.items()
        if (entry.kinds is None or kind in entry.kinds) and points <= entry.most_points
    ]


def unlearned_baselines_of(kind: Kind, points: int = 1) -> list[str]:
    """Those that need no training rows, and so predict any data set."""
    return [name for name in baselines_of(kind, points) if not BASELINES[name].learns]


def baseline_kind(name: str) -> str:
    """The `kind` of a baseline's entry; `input` for one that has no entry any more."""
    return BASELINES[name].kind if name in BASELINES else "input"


def load_baseline(name: str) -> Baseline:
    """The function of a baseline in `BASELINES`; its module is imported now."""
    return cast("Baseline", getattr(import_module(f"siwcc.evaluation.baselines.{BASELINES[name].module}"), name))


def write_baseline(name: str, task: str, fold_paths: Sequence[Path], samples_path: SamplesPath, path: Path) -> None:
    """Write a baseline's predictions for every fold as a test fold, in the order of the folds.

    It learns from the augmented copies of the other folds and predicts every copy of its own. Several points are
    learned and predicted one by one, each from the rows in which it is visible; none is predicted to be absent.

    Args:
        name: Name in `BASELINES`.
        task: The task of the folds.
        fold_paths: `fold1.h5` ... in order.
        samples_path: The samples file that they were made from.
        path: The `predictions.csv` to write.

    Raises:
        InputError: no baseline of this name for this task.
    """
    import numpy as np

    from siwcc.data.augment.interface import module_of_fold, of_point
    from siwcc.data.points import visible_points
    from siwcc.evaluation.predictions import prediction_columns, prediction_rows
    from siwcc.io.checksums import MANIFEST
    from siwcc.io.files import sha256_of, write_csv, write_manifest

    inputs = module_of_fold(fold_paths[0]).open_inputs(fold_paths, samples_path, augmented_only=False)
    known = baselines_of(inputs.spec.kind, len(inputs.spec.points))
    if name not in known:
        raise InputError(path, f"there is no baseline {name!r} for the task {task!r}", f"known: {', '.join(known)}")
    baseline = load_baseline(name)
    fold_of_row = _fold_of_row(fold_paths)
    predictions = np.empty(inputs.target.shape, dtype=np.float64)
    for point, outputs in inputs.spec.points.items():
        one = of_point(inputs, point)
        visible = visible_points(one.target, 1)[:, 0]
        for fold in range(len(fold_paths)):
            train = np.flatnonzero((fold_of_row != fold) & (inputs.copy > 0) & visible)
            test = np.flatnonzero(fold_of_row == fold)
            if not len(train):
                raise InputError(fold_paths[fold], f"has no training row in which {point} is visible", "leave it out")
            predictions[test[:, np.newaxis], outputs] = baseline(one, train, test)
    write_csv(path, prediction_columns(inputs.spec.outputs), prediction_rows(inputs, predictions))
    sums = {fold_path.name: sha256_of(fold_path) for fold_path in fold_paths}
    write_manifest(path.with_name(MANIFEST), f"{task}/baselines/{name}", (path,), inputs=sums)


def write_external_baseline(name: str, inputs: Inputs, path: Path) -> None:
    """Write the predictions of a baseline that learns nothing for a data set that is in no fold.

    Args:
        name: Of `unlearned_baselines_of`.
        inputs: The original samples.
        path: The `predictions.csv` to write.
    """
    import numpy as np

    from siwcc.data.augment.interface import of_point
    from siwcc.evaluation.external_table import OfNetwork, write_external_predictions

    baseline = load_baseline(name)
    every_row, none = np.arange(len(inputs.target)), np.empty(0, dtype=np.int64)
    predictions = np.empty(inputs.target.shape, dtype=np.float64)
    for point, outputs in inputs.spec.points.items():
        predictions[:, outputs] = baseline(of_point(inputs, point), none, every_row)
    write_external_predictions(path, inputs, [OfNetwork("", "", predictions)])


def _fold_of_row(fold_paths: Sequence[Path]) -> np.ndarray:
    """Index into `fold_paths` of every row: rows are in the order of the files, see `Inputs`."""
    import numpy as np

    from siwcc.io.shards import read_shard

    rows = [len(read_shard(path, "fold", names=("copy",)).arrays["copy"]) for path in fold_paths]
    return np.repeat(np.arange(len(rows)), rows)
