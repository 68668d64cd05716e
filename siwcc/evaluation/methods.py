"""What networks and baselines predicted, read back with all that is known of each sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siwcc.data.folds import read_strata_csv
from siwcc.data.points import points_of
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv
from siwcc.io.run_key import run_key_of

AUGMENTED, UNAUGMENTED = "augmented", "unaugmented"
ALL, ISOLATED = "all", "isolated"

_REMEDY = "delete it and run again"


@dataclass(frozen=True)
class Predictions:
    """Rows of one or more `predictions.csv`.

    Attributes:
        sample_id: (rows,) strings.
        copy: (rows,) int; 0 is the original sample.
        target, prediction: float64 (rows, outputs), seconds or pixels; a target of several points is NaN where its
            point is not visible.
        suffixes: Of the outputs; empty for those of a single point.
        visibility: float64 (rows, points), probability that a point is visible; None where it is not predicted.
        confidence: float64 (rows,), 0 ... 1, of several points that of the first; None where the predictions have none.
    """

    sample_id: np.ndarray
    copy: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    suffixes: tuple[str, ...] = ()
    visibility: np.ndarray | None = None
    confidence: np.ndarray | None = None

    @property
    def points(self) -> dict[str, list[int]]:
        """Which outputs each point has, by its name; a single point's name is empty."""
        return points_of(self.suffixes) if self.suffixes else {"": list(range(self.target.shape[1]))}

    def of_point(self, name: str) -> Predictions:
        """The same rows with one of the points alone; only the first has a confidence."""
        number, outputs = list(self.points).index(name), self.points[name]
        return replace(
            self,
            target=self.target[:, outputs],
            prediction=self.prediction[:, outputs],
            suffixes=(),
            visibility=None if self.visibility is None else self.visibility[:, [number]],
            confidence=self.confidence if number == 0 else None,
        )

    def error(self) -> np.ndarray:
        """Distance of each prediction from its target, float64 (rows,): Euclidean for a point in an image.

        Of several points it is that of the first, which the task is named after; NaN where that is not visible.
        """
        outputs = next(iter(self.points.values()))
        return np.asarray(np.sqrt(((self.prediction[:, outputs] - self.target[:, outputs]) ** 2).sum(axis=1)))

    def visible(self) -> np.ndarray:
        """Whether the point, of several the first, has a target, bool (rows,)."""
        outputs = next(iter(self.points.values()))
        return np.asarray(~np.isnan(self.target[:, outputs]).any(axis=1))

    def select(self, rows: np.ndarray) -> Predictions:
        """Some rows, by number or by mask."""
        parts = (self.sample_id[rows], self.copy[rows], self.target[rows], self.prediction[rows])
        visibility, confidence = (
            None if values is None else values[rows] for values in (self.visibility, self.confidence)
        )
        return Predictions(*parts, self.suffixes, visibility, confidence)


def join(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all parts, in their order; without confidence unless each has it."""
    names = ("sample_id", "copy", "target", "prediction")
    visibility, confidence = (
        [values for part in parts if (values := getattr(part, name)) is not None]
        for name in ("visibility", "confidence")
    )
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Predictions(
        **joined,
        suffixes=parts[0].suffixes,
        visibility=np.concatenate(visibility) if len(visibility) == len(parts) else None,
        confidence=np.concatenate(confidence) if len(confidence) == len(parts) else None,
    )


def read_predictions(path: Path) -> Predictions:
    """Read a `predictions.csv` of a network or a baseline.

    Raises:
        InputError: unreadable, not what its manifest lists, no row, targets without predictions, something
            that is no number (of several points an empty target is none that is visible), a confidence outside
            0 ... 1, or a row that is there twice.
    """
    return predictions_of(path, read_csv(path, ("sample_id", "copy")))


def predictions_of(path: Path, rows: Sequence[Mapping[str, str]]) -> Predictions:
    """Some rows of a file of predictions.

    Args:
        path: The file, for messages.
        rows: By column, of one method.

    Raises:
        InputError: as `read_predictions`.
    """
    if not rows:
        raise InputError(path, "has no rows", _REMEDY)
    suffixes = [name.removeprefix("target") for name in rows[0] if name.startswith("target")]
    absent = [f"prediction{suffix}" for suffix in suffixes if f"prediction{suffix}" not in rows[0]]
    if absent or not suffixes:
        raise InputError(path, f"lacks the column {absent[0] if absent else 'target'}", _REMEDY)
    points = points_of(suffixes)
    visible_columns = [f"visible_{name}" for name in points if f"visible_{name}" in rows[0]]
    first = next(iter(points))
    confidence_column = f"confidence_{first}" if first else "confidence"
    try:
        read = _number_or_hidden if len(points) > 1 else float
        target = np.array([[read(row[f"target{suffix}"]) for suffix in suffixes] for row in rows])
        prediction = np.array([[float(row[f"prediction{suffix}"]) for suffix in suffixes] for row in rows])
        visible = np.array([[float(row[name]) for name in visible_columns] for row in rows])
        copy = np.array([int(row["copy"]) for row in rows], dtype=np.int64)
        confidence = np.array([float(row[confidence_column]) for row in rows]) if confidence_column in rows[0] else None
    except (ValueError, OverflowError) as error:
        raise InputError(path, f"holds something that is no number ({error})", _REMEDY) from error
    if len({(row["sample_id"], row["copy"]) for row in rows}) < len(rows):
        raise InputError(path, "has two predictions for one copy of a sample", _REMEDY)
    if confidence is not None and not ((confidence >= 0) & (confidence <= 1)).all():
        raise InputError(path, "holds a confidence that is not between 0 and 1", _REMEDY)
    if len(points) > 1:
        _check_several(path, points, target, prediction, visible)
    elif np.isnan(target).any():
        raise InputError(path, "has a target that is no number", _REMEDY)
    sample_id = np.array([row["sample_id"] for row in rows], dtype=object)
    return Predictions(
        sample_id, copy, target, prediction, tuple(suffixes), visible if visible_columns else None, confidence
    )


def _number_or_hidden(text: str) -> float:
    """A number; NaN for the empty cell of a target that is not visible, and for nothing else."""
    if text and not math.isfinite(float(text)):
        raise ValueError(f"{text!r} is not finite")
    return float(text) if text else math.nan


def _check_several(
    path: Path, points: Mapping[str, Sequence[int]], target: np.ndarray, prediction: np.ndarray, visible: np.ndarray
) -> None:
    hidden = np.isnan(target)
    for name, outputs in points.items():
        if (hidden[:, outputs].any(axis=1) != hidden[:, outputs].all(axis=1)).any():
            raise InputError(path, f"has a target of {name} with one coordinate and without the other", _REMEDY)
    if not np.isfinite(prediction).all():
        raise InputError(path, "has a prediction that is not finite", _REMEDY)
    if visible.shape[1] not in (0, len(points)):
        raise InputError(path, "says for some points whether they are visible, but not for all", _REMEDY)
    if not ((visible >= 0) & (visible <= 1)).all():
        raise InputError(path, "has a visibility that is not between 0 and 1", _REMEDY)


class Method(NamedTuple):
    """A network, or a baseline, whose `variant` is empty. Baselines sort before networks."""

    task: str
    variant: str
    name: str


@dataclass(frozen=True)
class FoldPredictions:
    """The predictions of one method for one test fold.

    Attributes:
        path: The file.
        fold: From 1.
        seed: Of the training; None for a baseline.
        predictions: The rows.
        sample: int64 (rows,): which entry of the task's `Strata` each row is of.
    """

    path: Path
    fold: int
    seed: int | None
    predictions: Predictions
    sample: np.ndarray


@dataclass(frozen=True)
class Strata:
    """What is known of the samples of a task, from `strata.csv`; arrays have one entry a sample.

    Attributes:
        place: Entry of each sample id.
        fold: (samples,) int64, from 1.
        group: (samples,) strings: record or slide image.
        label: (samples,) strings: rhythm label or cell type.
        gap_s: (samples,) float64, seconds since the event before; infinite if there is none, NaN
            where samples are no events.
        dataset: (samples,) strings; empty where the task has a single data set.
    """

    place: Mapping[str, int]
    fold: np.ndarray
    group: np.ndarray
    label: np.ndarray
    gap_s: np.ndarray
    dataset: np.ndarray


class View(NamedTuple):
    """Which rows are looked at.

    Attributes:
        inputs: `augmented` copies, or `unaugmented` samples.
        subset: `all`, or `isolated` events alone.
    """

    inputs: str
    subset: str


VIEWS = tuple(View(inputs, subset) for inputs in (AUGMENTED, UNAUGMENTED) for subset in (ALL, ISOLATED))


def read_strata(path: Path) -> Strata:
    """Read a `strata.csv`.

    Raises:
        InputError: the file is missing or damaged.
    """
    lines = read_strata_csv(path)
    return Strata(
        place={line.sample_id: row for row, line in enumerate(lines)},
        fold=np.array([line.fold for line in lines]),
        group=np.array([line.group for line in lines], dtype=object),
        label=np.array([line.label for line in lines], dtype=object),
        gap_s=np.array([np.nan if line.gap_s is None else line.gap_s for line in lines]),
        dataset=np.array([line.dataset for line in lines], dtype=object),
    )


def read_methods(
    run_paths: Iterable[Path], baseline_paths: Iterable[Path], strata: Mapping[str, Strata]
) -> Iterator[tuple[Method, list[FoldPredictions]]]:
    """Every method with its predictions by fold and seed, one at a time, so that few are in memory.

    Args:
        run_paths: `predictions.csv` of runs.
        baseline_paths: `<task>/baselines/<name>/predictions.csv`.
        strata: Of every task.

    Yields:
        By task; baselines first, then networks by variant and encoding.

    Raises:
        InputError: a file is damaged, or has predictions for a sample that is not in its fold.
    """
    files: dict[Method, list[Path]] = {}
    for path in baseline_paths:
        files.setdefault(Method(path.parents[2].name, "", path.parent.name), []).append(path)
    for path in run_paths:
        key = run_key_of(path)
        files.setdefault(Method(key.task, key.variant, key.encoding), []).append(path)
    for method in sorted(files):
        read = _read_run if method.variant else _read_baseline
        parts = [part for path in files[method] for part in read(path, strata[method.task])]
        yield method, sorted(parts, key=lambda part: (part.fold, -1 if part.seed is None else part.seed))


def _read_run(path: Path, strata: Strata) -> list[FoldPredictions]:
    key = run_key_of(path)
    predictions = read_predictions(path)
    sample = _places(path, predictions, strata)
    elsewhere = np.flatnonzero(strata.fold[sample] != key.fold)
    if len(elsewhere):
        row = elsewhere[0]
        problem = f"has predictions for {predictions.sample_id[row]}, which is in fold {strata.fold[sample[row]]}"
        raise InputError(path, problem, _REMEDY)
    return [FoldPredictions(path, key.fold, key.seed, predictions, sample)]


def _read_baseline(path: Path, strata: Strata) -> list[FoldPredictions]:
    predictions = read_predictions(path)
    sample = _places(path, predictions, strata)
    folds = strata.fold[sample]
    return [
        FoldPredictions(path, int(fold), None, predictions.select(folds == fold), sample[folds == fold])
        for fold in np.unique(folds)
    ]


def _places(path: Path, predictions: Predictions, strata: Strata) -> np.ndarray:
    places = [strata.place.get(sample_id, -1) for sample_id in predictions.sample_id]
    if -1 in places:
        unknown = predictions.sample_id[places.index(-1)]
        raise InputError(path, f"has predictions for {unknown}, which is in no fold", _REMEDY)
    return np.array(places)


def views_of(part: FoldPredictions, strata: Strata, isolated_s: float | None) -> dict[View, np.ndarray]:
    """Masks of the rows that each view looks at; views without rows are left out.

    Args:
        part: Predictions for one fold.
        strata: Of the task.
        isolated_s: Gap to the event before from which on an event is isolated; None: no such view.
    """
    augmented = part.predictions.copy > 0
    subsets = {ALL: np.ones(len(augmented), dtype=bool)}
    if isolated_s is not None:
        subsets[ISOLATED] = strata.gap_s[part.sample] >= isolated_s
    views = {
        View(inputs, subset): rows & mask
        for inputs, rows in ((AUGMENTED, augmented), (UNAUGMENTED, ~augmented))
        for subset, mask in subsets.items()
    }
    return {view: mask for view, mask in views.items() if mask.any()}
