"""How far answers are from the truth, in seconds or pixels, and how that is summed up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from siwcc.errors import InputError
from siwcc.files import read_csv, write_csv
from siwcc.folds import read_folds_csv
from siwcc.runs import RunKey, run_key_of
from siwcc.scores import r2_scores

AUGMENTED, UNAUGMENTED = "augmented", "unaugmented"


@dataclass(frozen=True)
class Predictions:
    """Rows of one or more `predictions.csv`.

    Attributes:
        sample_id: (rows,) strings.
        variant: (rows,) int; 0 is the sample itself.
        target, prediction: float64 (rows, outputs), seconds or pixels.
    """

    sample_id: np.ndarray
    variant: np.ndarray
    target: np.ndarray
    prediction: np.ndarray

    def error(self) -> np.ndarray:
        """Distance of each answer from its target, float64 (rows,): Euclidean for a point in an image."""
        return np.asarray(np.sqrt(((self.prediction - self.target) ** 2).sum(axis=1)))

    def select(self, rows: np.ndarray) -> Predictions:
        """Some rows, by number or by mask."""
        return Predictions(self.sample_id[rows], self.variant[rows], self.target[rows], self.prediction[rows])


def join(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all parts, in their order."""
    names = ("sample_id", "variant", "target", "prediction")
    return Predictions(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Accuracy:
    """One line of `stats/errors.csv`; the attributes are its columns, in this order.

    Attributes:
        task: Its name.
        answer: The encoding, or the baseline's name.
        variant: Of the network; empty for a baseline.
        inputs: `augmented` copies, or `unaugmented` samples.
        folds, rows: What was summed up, over all folds and seeds.
        median, p90, mean: Of the absolute error (points: Euclidean distance), in `unit`.
        r2: Mean over folds (and seeds) of the mean over outputs; NaN where a target does not vary.
        unit: `s` or `px`.
    """

    task: str
    answer: str
    variant: str
    inputs: str
    folds: int
    rows: int
    median: float
    p90: float
    mean: float
    r2: float
    unit: str


COLUMNS = tuple(field.name for field in fields(Accuracy))


def read_predictions(path: Path) -> Predictions:
    """Read a `predictions.csv` of a network or a baseline.

    Raises:
        InputError: unreadable, no row, targets without predictions, or something that is no number.
    """
    rows = read_csv(path, ("sample_id", "variant"))
    if not rows:
        raise InputError(path, "has no rows", "delete it and run again")
    suffixes = [name.removeprefix("target") for name in rows[0] if name.startswith("target")]
    absent = [f"prediction{suffix}" for suffix in suffixes if f"prediction{suffix}" not in rows[0]]
    if absent or not suffixes:
        raise InputError(path, f"lacks the column {absent[0] if absent else 'target'}", "delete it and run again")
    try:
        values = {
            name: np.array([[float(row[f"{name}{suffix}"]) for suffix in suffixes] for row in rows])
            for name in ("target", "prediction")
        }
        variant = np.array([int(row["variant"]) for row in rows])
    except ValueError as error:
        raise InputError(path, f"holds something that is no number ({error})", "delete it and run again") from error
    return Predictions(np.array([row["sample_id"] for row in rows], dtype=object), variant, **values)


def measure(label: tuple[str, str, str], unit: str, folds: Mapping[int, Sequence[Predictions]]) -> list[Accuracy]:
    """Errors of one arm or baseline, for the augmented copies and for the samples themselves.

    Args:
        label: Task, answer, variant.
        unit: `s` or `px`.
        folds: The answers of each fold, one entry a seed.
    """
    lines = []
    for inputs in (AUGMENTED, UNAUGMENTED):
        parts = [_of_kind(part, inputs) for seeds in folds.values() for part in seeds]
        parts = [part for part in parts if len(part.variant)]
        if not parts:
            continue
        error = np.concatenate([part.error() for part in parts])
        scores = [float(np.mean(r2_scores(part.target, part.prediction))) for part in parts]
        median, p90 = np.percentile(error, [50, 90]).tolist()
        lines.append(
            Accuracy(*label, inputs, len(folds), len(error), median, p90, float(error.mean()), _mean(scores), unit)
        )
    return lines


def _of_kind(predictions: Predictions, inputs: str) -> Predictions:
    return predictions.select((predictions.variant > 0) == (inputs == AUGMENTED))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def measure_study(
    run_paths: Iterable[Path], baseline_paths: Iterable[Path], folds_paths: Iterable[Path], units: Mapping[str, str]
) -> list[Accuracy]:
    """Errors of every arm and baseline whose predictions are given.

    Args:
        run_paths: `predictions.csv` of runs.
        baseline_paths: `<task>/baselines/<name>/predictions.csv`.
        folds_paths: `<task>/folds.csv` of every task.
        units: Unit of each task.

    Returns:
        Lines by task; baselines first, then networks by variant and encoding.
    """
    fold_of = {
        path.parent.name: {sample: fold for fold, ids in read_folds_csv(path).items() for sample in ids}
        for path in folds_paths
    }
    lines: dict[tuple[str, str, str], list[Accuracy]] = {}
    for path in baseline_paths:
        label = (path.parents[2].name, "", path.parent.name)
        folds = _by_fold(path, fold_of[label[0]])
        lines[label] = measure((label[0], label[2], ""), units[label[0]], folds)
    runs: dict[tuple[str, str, str], dict[RunKey, Path]] = {}
    for path in run_paths:
        key = run_key_of(path)
        runs.setdefault((key.task, key.variant, key.encoding), {})[key] = path
    for (task, variant, encoding), paths in runs.items():
        folds = {}
        for key in sorted(paths):
            folds.setdefault(key.fold, []).append(read_predictions(paths[key]))
        lines[task, variant, encoding] = measure((task, encoding, variant), units[task], folds)
    return [line for label in sorted(lines) for line in lines[label]]


def _by_fold(path: Path, fold_of: Mapping[str, int]) -> dict[int, list[Predictions]]:
    predictions = read_predictions(path)
    unknown = [sample for sample in predictions.sample_id if sample not in fold_of]
    if unknown:
        raise InputError(path, f"answers for {unknown[0]}, which is in no fold", "delete it and run again")
    folds = np.array([fold_of[sample] for sample in predictions.sample_id])
    return {int(fold): [predictions.select(folds == fold)] for fold in np.unique(folds)}


def write_errors(path: Path, lines: Sequence[Accuracy]) -> None:
    """Write `stats/errors.csv` in one step, numbers in full precision."""
    rows = [[repr(value) if isinstance(value, float) else value for value in astuple(line)] for line in lines]
    write_csv(path, COLUMNS, rows)
