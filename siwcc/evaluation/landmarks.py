"""Tasks of many points that look alike, such as vertebrae: how far off they are, and which are taken for another.

Each point of each row in which it is visible counts once, whether or not it is predicted to be absent. Errors are
Euclidean distances. A prediction is confused if it is nearer to another visible point of the same row than to its own.
Intervals are 95 % percentile bootstraps over groups (`siwcc.evaluation.bootstrap`), the same draws for every method.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from siwcc.data.points import VISIBLE_FROM
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.bootstrap import (
    Interval,
    drawn_means,
    drawn_percentiles,
    interval_columns,
    interval_of,
    times_drawn,
)
from siwcc.evaluation.methods import (
    ALL,
    AUGMENTED,
    UNAUGMENTED,
    FoldPredictions,
    Method,
    Predictions,
    Strata,
    View,
    read_methods,
    read_strata,
    views_of,
)
from siwcc.evaluation.record_tests import (
    PRIMARY,
    PRIMARY_VIEW,
    RecordSums,
    RecordTest,
    Runs,
    compare_pair,
    pair_up,
    pairs_of,
    sums_of_records,
    with_holm,
)
from siwcc.io.tables import columns_of, write_lines

ERROR, CONFUSED = "mean", "confused"
"""What is tested over records: columns of `LandmarkErrors`."""
_FRACTION = "fraction"
_VIEWS = (View(AUGMENTED, ALL), View(UNAUGMENTED, ALL))
_PERCENTILES = {"median": 0.5, "p90": 0.9}


@dataclass(frozen=True)
class LandmarkErrors:
    """One line of `stats/landmarks.csv` or `stats/landmarks_by_point.csv`; the attributes are the columns.

    The ends of intervals, `*_low` and `*_high`, are NaN with one group.

    Attributes:
        task, method, variant, inputs: As in `errors.csv`.
        seeds, samples, groups: What was summed up; a baseline has 0 seeds.
        points: Predictions of a visible point: points times rows times seeds.
        mean, median, p90: Of the error, in `unit`.
        mean_percent, median_percent: The same in % of `frame`.
        within_fine, within_coarse: Fraction of the predictions whose error is at most the limit.
        confused: Fraction that is nearer to another visible point of the same image than to its own.
        off_by_one: Fraction that is confused and nearest to the previous or the next point.
        detected: Fraction of the visible points that are predicted visible; NaN if the method does not predict it.
        limit_fine, limit_coarse, frame: The two limits and the height of the image, in `unit`.
        unit: `px`; `s` of a signal, whose frame is the window.
        point, number: Which point, and its place from 1; no columns in `landmarks.csv`.
    """

    task: str
    method: str
    variant: str
    inputs: str
    seeds: int
    samples: int
    groups: int
    points: int
    mean: float
    mean_low: float
    mean_high: float
    median: float
    median_low: float
    median_high: float
    p90: float
    p90_low: float
    p90_high: float
    mean_percent: float
    mean_percent_low: float
    mean_percent_high: float
    median_percent: float
    median_percent_low: float
    median_percent_high: float
    within_fine: float
    within_fine_low: float
    within_fine_high: float
    within_coarse: float
    within_coarse_low: float
    within_coarse_high: float
    confused: float
    confused_low: float
    confused_high: float
    off_by_one: float
    off_by_one_low: float
    off_by_one_high: float
    detected: float
    detected_low: float
    detected_high: float
    limit_fine: float
    limit_coarse: float
    frame: float
    unit: str
    point: str = ""
    number: int = 0


_COLUMNS = tuple(name for name in columns_of(LandmarkErrors) if name not in ("point", "number"))


@dataclass(frozen=True)
class LandmarkTest(RecordTest):
    """One line of `stats/landmark_tests.csv`: the columns of `records.csv`, of all points of a record together.

    `p_holm` is adjusted over the primary rows of one metric.

    Attributes:
        metric: `mean`, the error in `unit`, or `confused`, the fraction of confused predictions.
    """

    metric: str


class Landmarks(NamedTuple):
    """The lines of the three files."""

    overall: list[LandmarkErrors]
    by_point: list[LandmarkErrors]
    tests: list[LandmarkTest]


class Matches(NamedTuple):
    """Where predictions are, (rows, points) each.

    Attributes:
        visible: bool.
        error: float64, distance to the point itself; NaN where it is not visible.
        confused: bool, whether another visible point of the row is nearer; False where it is not visible.
        off_by_one: bool, whether that is the previous or the next point.
        detected: bool, whether it is predicted to be visible; None where that is not predicted.
    """

    visible: np.ndarray
    error: np.ndarray
    confused: np.ndarray
    off_by_one: np.ndarray
    detected: np.ndarray | None


def match_points(predictions: Predictions) -> Matches:
    """Compare each prediction with all visible points of its row.

    Args:
        predictions: Of two points or more.
    """
    outputs = list(predictions.points.values())
    target, predicted = predictions.target[:, outputs], predictions.prediction[:, outputs]
    visible = ~np.isnan(target).any(axis=2)
    error, nearest, beside = (np.empty(visible.shape) for _ in range(3))
    for number in range(len(outputs)):
        distance = np.sqrt(((predicted[:, [number]] - target) ** 2).sum(axis=2))
        error[:, number] = distance[:, number]
        distance = np.where(visible, distance, np.inf)
        others = [other for other in range(len(outputs)) if other != number]
        nearest[:, number] = distance[:, others].min(axis=1)
        beside[:, number] = distance[:, [other for other in others if abs(other - number) == 1]].min(axis=1)
    # A comparison with NaN is False.
    confused = nearest < error
    detected = None if predictions.visibility is None else predictions.visibility >= VISIBLE_FROM
    return Matches(visible, error, confused, confused & (beside == nearest), detected)


# ------------------------------------------------------------------- summed up


class _Matched(NamedTuple):
    """Predictions of one fold and seed, with the rows of each view."""

    part: FoldPredictions
    matches: Matches
    views: Mapping[View, np.ndarray]


class _Flat(NamedTuple):
    """Predictions of visible points, one entry each; `values` are the measures that are means, (entries, measures)."""

    sample: np.ndarray
    number: np.ndarray
    error: np.ndarray
    values: np.ndarray

    def select(self, entries: np.ndarray) -> _Flat:
        return _Flat(*(values[entries] for values in self))


_MEANS = ("mean", "within_fine", "within_coarse", "confused", "off_by_one", "detected")


def _flat(matched: _Matched, view: View, limits: ErrorLimits) -> _Flat:
    matches = matched.matches
    shown = matches.visible & matched.views[view][:, np.newaxis]
    row, number = np.nonzero(shown)
    error = matches.error[shown]
    detected = np.full(len(error), np.nan) if matches.detected is None else matches.detected[shown]
    means = (error, error <= limits.fine, error <= limits.coarse, matches.confused[shown], matches.off_by_one[shown])
    return _Flat(matched.part.sample[row], number, error, np.stack([*means, detected], axis=1).astype(np.float64))


def _measure(
    method: Method, matched: Sequence[_Matched], strata: Strata, limits: ErrorLimits, frame: float
) -> Iterator[LandmarkErrors]:
    """For each kind of inputs all points together, then each point; none where nothing is visible."""
    names = list(matched[0].part.predictions.points)
    for view in _VIEWS:
        seen = [one for one in matched if view in one.views]
        if not seen:
            continue
        flats = [_flat(one, view, limits) for one in seen]
        every = _Flat(*(np.concatenate(kind) for kind in zip(*flats, strict=True)))
        seeds = len({one.part.seed for one in seen} - {None})
        for number, name in ((0, ""), *enumerate(names, 1)):
            chosen = every.select(every.number == number - 1) if name else every
            if len(chosen.error):
                yield LandmarkErrors(
                    *(method.task, method.name, method.variant, view.inputs, seeds),
                    samples=len(np.unique(chosen.sample)),
                    points=len(chosen.error),
                    **_sums(chosen, strata, frame),
                    limit_fine=limits.fine,
                    limit_coarse=limits.coarse,
                    frame=frame,
                    unit=limits.unit,
                    point=name,
                    number=number,
                )


def _sums(chosen: _Flat, strata: Strata, frame: float) -> dict[str, Any]:
    """The number of groups, and the columns of every measure with its interval."""
    groups, code = np.unique(strata.group[chosen.sample], return_inverse=True)
    times = times_drawn(len(groups))
    drawn = drawn_means(chosen.values, code, times)
    found = {
        name: interval_of(float(chosen.values[:, column].mean()), drawn[:, column])
        for column, name in enumerate(_MEANS)
    }
    for name, fraction in _PERCENTILES.items():
        value = float(np.percentile(chosen.error, 100 * fraction))
        found[name] = interval_of(value, drawn_percentiles(chosen.error, code, times, fraction))
    for name in ("mean", "median"):
        found[f"{name}_percent"] = Interval(*(100 * end / frame for end in found[name]))
    return {"groups": len(groups), **interval_columns(found)}


# ------------------------------------------------------------------- compared


def _record_sums(matched: _Matched, strata: Strata) -> dict[str, RecordSums]:
    """Error and confused predictions of each record, by metric."""
    part, matches, masks = matched
    row = np.nonzero(matches.visible)[0]
    views = {view: mask[row] for view, mask in masks.items()}
    values = {ERROR: matches.error, CONFUSED: matches.confused.astype(np.float64)}
    return {
        metric: sums_of_records(part.path, value[matches.visible], part.sample[row], strata, views)
        for metric, value in values.items()
    }


def _tests(
    runs: Mapping[Method, Mapping[str, Runs]],
    comparisons: Sequence[tuple[str, str]],
    strata: Mapping[str, Strata],
    units: Mapping[str, str],
    metric: str,
) -> Iterator[LandmarkTest]:
    for pair in pairs_of(runs, comparisons):
        if pair.family(PRIMARY_VIEW) != PRIMARY:
            continue
        task = pair.study.task
        for view in _VIEWS:
            paired = pair_up(runs[pair.control][metric], runs[pair.study][metric], view, strata[task])
            if paired is not None:
                unit = units[task] if metric == ERROR else _FRACTION
                yield LandmarkTest(**vars(compare_pair(pair, view, paired, unit)), metric=metric)


def measure_landmarks(
    run_paths: Iterable[Path],
    baseline_paths: Iterable[Path],
    strata_paths: Iterable[Path],
    comparisons: Sequence[tuple[str, str]],
    limits: Mapping[str, ErrorLimits],
    frames: Mapping[str, float],
) -> Landmarks:
    """The tables of every arm and baseline whose predictions are given.

    Args:
        run_paths: `predictions.csv` of runs, of tasks with several points.
        baseline_paths: `<task>/baselines/<name>/predictions.csv` of the same.
        strata_paths: `<task>/strata.csv` of the same.
        comparisons: (control, study) encodings.
        limits: Of each task.
        frames: What errors are given in % of, see `siwcc.evaluation.study_files.StudyFiles.landmark_frames`.

    Returns:
        Lines by task; baselines first, then networks by variant and encoding.

    Raises:
        InputError: a file is damaged, has predictions for a sample that is not in its fold, or for other rows of a
            fold than what it is compared with.
    """
    strata = {path.parent.name: read_strata(path) for path in strata_paths}
    lines: list[LandmarkErrors] = []
    runs: dict[Method, dict[str, dict[tuple[int, int | None], RecordSums]]] = {}
    for method, parts in read_methods(run_paths, baseline_paths, strata):
        task = method.task
        own = strata[task]
        matched = [_Matched(part, match_points(part.predictions), views_of(part, own, None)) for part in parts]
        lines += _measure(method, matched, own, limits[task], frames[task])
        for one in matched if method.variant else ():
            for metric, sums in _record_sums(one, own).items():
                runs.setdefault(method, {}).setdefault(metric, {})[one.part.fold, one.part.seed] = sums
    units = {task: limit.unit for task, limit in limits.items()}
    tests = [
        test
        for metric in (ERROR, CONFUSED)
        for test in with_holm(list(_tests(runs, comparisons, strata, units, metric)))
    ]
    return Landmarks([line for line in lines if not line.point], [line for line in lines if line.point], tests)


def write_landmarks(found: Landmarks, overall: Path, by_point: Path, tests: Path) -> None:
    """Write `stats/landmarks.csv`, `landmarks_by_point.csv` and `landmark_tests.csv`, numbers in full precision."""
    write_lines(overall, _COLUMNS, found.overall)
    write_lines(by_point, columns_of(LandmarkErrors), found.by_point)
    write_lines(tests, columns_of(LandmarkTest), found.tests)
