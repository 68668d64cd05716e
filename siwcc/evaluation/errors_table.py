"""How far predictions are from the truth, in seconds or pixels, and how that is summed up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siwcc.data.points import VISIBLE_FROM
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.methods import (
    VIEWS,
    FoldPredictions,
    Method,
    Predictions,
    Strata,
    View,
    join,
    read_methods,
    read_strata,
    views_of,
)
from siwcc.evaluation.metrics import balanced_accuracy, r2_scores
from siwcc.io.tables import columns_of, write_lines


@dataclass(frozen=True)
class Accuracy:
    """One line of `stats/errors.csv` or `stats/errors_by_stratum.csv`; the attributes are the columns.

    Attributes:
        task: Its name.
        method: The encoding, or the baseline's name.
        variant: Of the network; empty for a baseline.
        inputs: `augmented` copies, or `unaugmented` original samples (copy 0).
        subset: `all`, or the `isolated` events: none before them within the window's length.
        stratum_by: `group` (record, slide image) or `class` (rhythm label, cell type), and of several data sets
            `dataset`; empty, and no column, in `errors.csv`.
        stratum: Name of the group or class; empty, and no column, in `errors.csv`.
        samples, folds, seeds, rows: What was summed up; a baseline has 0 seeds.
        median, p90, mean: Of the absolute error (points: Euclidean distance), in `unit`.
        r2: Mean over folds, seeds and outputs; NaN where a target does not vary. Of a stratum: its rows
            of all folds together, mean over seeds and outputs.
        within_fine, within_coarse: Fraction of the rows whose error is at most the limit.
        limit_fine, limit_coarse: The two limits, in `unit`.
        unit: `s` or `px`.
        point: Which of several points; empty, and no column, where all tasks have one.
        hidden: Rows that the view has besides, in which the point is not visible; a column with `point`.
        visibility_accuracy: Balanced accuracy of predicting whether it is visible
            (`siwcc.evaluation.metrics.balanced_accuracy`); NaN where the method does not predict it, or all rows are of
            one kind; a column with `point`.
    """

    task: str
    method: str
    variant: str
    inputs: str
    subset: str
    stratum_by: str
    stratum: str
    samples: int
    folds: int
    seeds: int
    rows: int
    median: float
    p90: float
    mean: float
    r2: float
    within_fine: float
    within_coarse: float
    limit_fine: float
    limit_coarse: float
    unit: str
    point: str = ""
    hidden: int = 0
    visibility_accuracy: float = math.nan


POINT_COLUMNS = ("point", "hidden", "visibility_accuracy")
STRATUM_COLUMNS = tuple(name for name in columns_of(Accuracy) if name not in POINT_COLUMNS)
COLUMNS = tuple(name for name in STRATUM_COLUMNS if not name.startswith("stratum"))


class Errors(NamedTuple):
    """The lines of both files."""

    overall: list[Accuracy]
    by_stratum: list[Accuracy]


class _Seen(NamedTuple):
    """The rows of one fold and seed that a view looks at."""

    fold: int
    seed: int | None
    predictions: Predictions
    sample: np.ndarray


def measure(method: Method, parts: Sequence[FoldPredictions], strata: Strata, limits: ErrorLimits) -> Errors:
    """Errors of one arm or baseline, for augmented copies and samples, all events and isolated ones.

    Several points are measured one after the other, each in the rows in which it is visible.

    Args:
        method: The network or baseline.
        parts: Its predictions for every fold and seed.
        strata: Of the task.
        limits: Of the task.
    """
    errors = Errors([], [])
    views = _views(parts, strata, limits.isolated_s)
    for point in dict.fromkeys(name for part in parts for name in part.predictions.points):
        for view, everything in views.items():
            seen = [part._replace(predictions=part.predictions.of_point(point)) for part in everything]
            of_each = [part.predictions for part in seen]
            errors.overall.extend(_summed_up(method, view, point, ("", ""), seen, of_each, limits))
            for by, labels in _strata_of(strata):
                for name, chosen in _split(seen, labels):
                    of_seed = _joined_by_seed(chosen)
                    errors.by_stratum.extend(_summed_up(method, view, point, (by, name), chosen, of_seed, limits))
    return errors


def _strata_of(strata: Strata) -> Iterator[tuple[str, np.ndarray]]:
    """What errors are split by, with the label of each sample."""
    yield from (("group", strata.group), ("class", strata.label))
    if strata.dataset.any():
        yield "dataset", strata.dataset


def _views(parts: Sequence[FoldPredictions], strata: Strata, isolated_s: float | None) -> dict[View, list[_Seen]]:
    seen: dict[View, list[_Seen]] = {view: [] for view in VIEWS}
    for part in parts:
        for view, mask in views_of(part, strata, isolated_s).items():
            seen[view].append(_Seen(part.fold, part.seed, part.predictions.select(mask), part.sample[mask]))
    return {view: parts for view, parts in seen.items() if parts}


def _split(seen: Sequence[_Seen], labels: np.ndarray) -> list[tuple[str, list[_Seen]]]:
    """The rows of each label that occurs, by label."""
    names, codes = np.unique(labels, return_inverse=True)
    parts: dict[int, list[_Seen]] = {}
    for fold, seed, predictions, sample in seen:
        code = codes[sample]
        for found in np.unique(code).tolist():
            rows = code == found
            parts.setdefault(found, []).append(_Seen(fold, seed, predictions.select(rows), sample[rows]))
    return [(str(names[code]), parts[code]) for code in sorted(parts)]


def _joined_by_seed(seen: Sequence[_Seen]) -> list[Predictions]:
    parts: dict[int | None, list[Predictions]] = {}
    for part in seen:
        parts.setdefault(part.seed, []).append(part.predictions)
    return [join(of_seed) for of_seed in parts.values()]


def _summed_up(
    method: Method,
    view: View,
    point: str,
    stratum: tuple[str, str],
    seen: Sequence[_Seen],
    scored: Sequence[Predictions],
    limits: ErrorLimits,
) -> Iterator[Accuracy]:
    """One line, none where the point is never visible.

    R2 is the mean over `scored`, which are the rows of `seen` in larger parts or the same.
    """
    every_error = np.concatenate([part.predictions.error() for part in seen])
    visible = np.concatenate([part.predictions.visible() for part in seen])
    error = every_error[visible]
    if not len(error):
        return
    scores = [float(np.mean(r2_scores(part.target, part.prediction))) for part in scored]
    median, p90 = np.percentile(error, [50, 90]).tolist()
    yield Accuracy(
        task=method.task,
        method=method.name,
        variant=method.variant,
        inputs=view.inputs,
        subset=view.subset,
        stratum_by=stratum[0],
        stratum=stratum[1],
        samples=len(np.unique(np.concatenate([part.sample for part in seen])[visible])),
        folds=len({part.fold for part in seen}),
        seeds=len({part.seed for part in seen} - {None}),
        rows=len(error),
        median=median,
        p90=p90,
        mean=float(error.mean()),
        r2=math.fsum(scores) / len(scores),
        within_fine=float(np.mean(error <= limits.fine)),
        within_coarse=float(np.mean(error <= limits.coarse)),
        limit_fine=limits.fine,
        limit_coarse=limits.coarse,
        unit=limits.unit,
        point=point,
        hidden=len(every_error) - len(error),
        visibility_accuracy=_visibility_accuracy(seen, visible),
    )


def _visibility_accuracy(seen: Sequence[_Seen], visible: np.ndarray) -> float:
    known = [part.predictions.visibility for part in seen if part.predictions.visibility is not None]
    if len(known) < len(seen):
        return math.nan
    return balanced_accuracy(visible, np.concatenate(known)[:, 0] >= VISIBLE_FROM)


def measure_study(
    run_paths: Iterable[Path],
    baseline_paths: Iterable[Path],
    strata_paths: Iterable[Path],
    limits: Mapping[str, ErrorLimits],
) -> Errors:
    """Errors of every arm and baseline whose predictions are given.

    Args:
        run_paths: `predictions.csv` of runs.
        baseline_paths: `<task>/baselines/<name>/predictions.csv`.
        strata_paths: `<task>/strata.csv` of every task.
        limits: Of each task.

    Returns:
        Lines by task; baselines first, then networks by variant and encoding.

    Raises:
        InputError: a file is damaged, or has predictions for a sample that is not in its fold.
    """
    strata = {path.parent.name: read_strata(path) for path in strata_paths}
    errors = Errors([], [])
    for method, parts in read_methods(run_paths, baseline_paths, strata):
        found = measure(method, parts, strata[method.task], limits[method.task])
        errors.overall.extend(found.overall)
        errors.by_stratum.extend(found.by_stratum)
    return errors


def write_errors(path: Path, lines: Sequence[Accuracy]) -> None:
    """Write `stats/errors.csv` in one step, numbers in full precision."""
    write_lines(path, _with_points(COLUMNS, lines), lines)


def write_errors_by_stratum(path: Path, lines: Sequence[Accuracy]) -> None:
    """Write `stats/errors_by_stratum.csv` in one step, numbers in full precision."""
    write_lines(path, _with_points(STRATUM_COLUMNS, lines), lines)


def _with_points(columns: tuple[str, ...], lines: Sequence[Accuracy]) -> tuple[str, ...]:
    return columns + POINT_COLUMNS if any(line.point for line in lines) else columns
