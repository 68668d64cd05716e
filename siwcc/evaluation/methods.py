"""What networks and baselines answered, read back with all that is known of each sample."""

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
        told: float64 (rows, points), how much says that a point is visible, 0 ... 1; None where nothing tells.
        confidence: float64 (rows,), 0 ... 1, of several points that of the first; None where the answers have none.
    """

    sample_id: np.ndarray
    copy: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    suffixes: tuple[str, ...] = ()
    told: np.ndarray | None = None
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
            told=None if self.told is None else self.told[:, [number]],
            confidence=self.confidence if number == 0 else None,
        )

    def error(self) -> np.ndarray:
        """Distance of each answer from its target, float64 (rows,): Euclidean for a point in an image.

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
        told, sure = (None if values is None else values[rows] for values in (self.told, self.confidence))
        return Predictions(*parts, self.suffixes, told, sure)


def join(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all parts, in their order; without confidence unless each has it."""
    names = ("sample_id", "copy", "target", "prediction")
    told, sure = (
        [values for part in parts if (values := getattr(part, name)) is not None] for name in ("told", "confidence")
    )
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Predictions(
        **joined,
        suffixes=parts[0].suffixes,
        told=np.concatenate(told) if len(told) == len(parts) else None,
        confidence=np.concatenate(sure) if len(sure) == len(parts) else None,
    )


def read_predictions(path: Path) -> Predictions:
    """Read a `predictions.csv` of a network or a baseline.

    Raises:
        InputError: unreadable, not what its manifest lists, no row, targets without predictions, something
            that is no number (of several points an empty target is none that is visible), a confidence outside
            0 ... 1, or a row that stands there twice.
    """
    rows = read_csv(path, ("sample_id", "copy"))
    if not rows:
        raise InputError(path, "has no rows", _REMEDY)
    suffixes = [name.removeprefix("target") for name in rows[0] if name.startswith("target")]
    absent = [f"prediction{suffix}" for suffix in suffixes if f"prediction{suffix}" not in rows[0]]
    if absent or not suffixes:
        raise InputError(path, f"lacks the column {absent[0] if absent else 'target'}", _REMEDY)
    points = points_of(suffixes)
    told = [f"visible_{name}" for name in points if f"visible_{name}" in rows[0]]
    first = next(iter(points))
    sure = f"confidence_{first}" if first else "confidence"
    try:
        read = _number_or_hidden if len(points) > 1 else float
        target = np.array([[read(row[f"target{suffix}"]) for suffix in suffixes] for row in rows])
        prediction = np.array([[float(row[f"prediction{suffix}"]) for suffix in suffixes] for row in rows])
        visible = np.array([[float(row[name]) for name in told] for row in rows])
        copy = np.array([int(row["copy"]) for row in rows], dtype=np.int64)
        confidence = np.array([float(row[sure]) for row in rows]) if sure in rows[0] else None
    except (ValueError, OverflowError) as error:
        raise InputError(path, f"holds something that is no number ({error})", _REMEDY) from error
    if len({(row["sample_id"], row["copy"]) for row in rows}) < len(rows):
        raise InputError(path, "answers twice for one copy of a sample", _REMEDY)
    if confidence is not None and not ((confidence >= 0) & (confidence <= 1)).all():
        raise InputError(path, "holds a confidence that is not between 0 and 1", _REMEDY)
    if len(points) > 1:
        _check_several(path, points, target, prediction, visible)
    elif np.isnan(target).any():
        raise InputError(path, "has a target that is no number", _REMEDY)
    sample_id = np.array([row["sample_id"] for row in rows], dtype=object)
    return Predictions(sample_id, copy, target, prediction, tuple(suffixes), visible if told else None, confidence)


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
        raise InputError(path, "tells of some points whether they are visible, and not of all", _REMEDY)
    if not ((visible >= 0) & (visible <= 1)).all():
        raise InputError(path, "has a share of visibility that is not between 0 and 1", _REMEDY)


class Answerer(NamedTuple):
    """Who answered: a network, or a baseline, whose `variant` is empty. Baselines sort before networks."""

    task: str
    variant: str
    name: str


@dataclass(frozen=True)
class Answers:
    """What one answerer said to one test fold.

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
    """

    place: Mapping[str, int]
    fold: np.ndarray
    group: np.ndarray
    label: np.ndarray
    gap_s: np.ndarray


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
    )


def read_answers(
    run_paths: Iterable[Path], baseline_paths: Iterable[Path], strata: Mapping[str, Strata]
) -> Iterator[tuple[Answerer, list[Answers]]]:
    """Every answerer with its answers by fold and seed, one at a time, so that few are in memory.

    Args:
        run_paths: `predictions.csv` of runs.
        baseline_paths: `<task>/baselines/<name>/predictions.csv`.
        strata: Of every task.

    Yields:
        By task; baselines first, then networks by variant and encoding.

    Raises:
        InputError: a file is damaged, or answers for a sample that is not in its fold.
    """
    files: dict[Answerer, list[Path]] = {}
    for path in baseline_paths:
        files.setdefault(Answerer(path.parents[2].name, "", path.parent.name), []).append(path)
    for path in run_paths:
        key = run_key_of(path)
        files.setdefault(Answerer(key.task, key.variant, key.encoding), []).append(path)
    for answerer in sorted(files):
        read = _read_run if answerer.variant else _read_baseline
        answers = [part for path in files[answerer] for part in read(path, strata[answerer.task])]
        yield answerer, sorted(answers, key=lambda part: (part.fold, -1 if part.seed is None else part.seed))


def _read_run(path: Path, strata: Strata) -> list[Answers]:
    key = run_key_of(path)
    predictions = read_predictions(path)
    sample = _places(path, predictions, strata)
    elsewhere = np.flatnonzero(strata.fold[sample] != key.fold)
    if len(elsewhere):
        row = elsewhere[0]
        problem = f"answers for {predictions.sample_id[row]}, which is in fold {strata.fold[sample[row]]}"
        raise InputError(path, problem, _REMEDY)
    return [Answers(path, key.fold, key.seed, predictions, sample)]


def _read_baseline(path: Path, strata: Strata) -> list[Answers]:
    predictions = read_predictions(path)
    sample = _places(path, predictions, strata)
    folds = strata.fold[sample]
    return [
        Answers(path, int(fold), None, predictions.select(folds == fold), sample[folds == fold])
        for fold in np.unique(folds)
    ]


def _places(path: Path, predictions: Predictions, strata: Strata) -> np.ndarray:
    places = [strata.place.get(sample_id, -1) for sample_id in predictions.sample_id]
    if -1 in places:
        unknown = predictions.sample_id[places.index(-1)]
        raise InputError(path, f"answers for {unknown}, which is in no fold", _REMEDY)
    return np.array(places)


def views_of(answers: Answers, strata: Strata, isolated_s: float | None) -> dict[View, np.ndarray]:
    """Masks of the rows that each view looks at; views without rows are left out.

    Args:
        answers: Of one fold.
        strata: Of the task.
        isolated_s: Gap to the event before from which on an event is isolated; None: no such view.
    """
    augmented = answers.predictions.copy > 0
    subsets = {ALL: np.ones(len(augmented), dtype=bool)}
    if isolated_s is not None:
        subsets[ISOLATED] = strata.gap_s[answers.sample] >= isolated_s
    views = {
        View(inputs, subset): rows & mask
        for inputs, rows in ((AUGMENTED, augmented), (UNAUGMENTED, ~augmented))
        for subset, mask in subsets.items()
    }
    return {view: mask for view, mask in views.items() if mask.any()}
