"""The primary test of the strict study: does one encoding predict better than another, record by record?

A record (image task: a slide image) is what a new patient would bring; its windows, their augmented
copies and the seeds are not independent of each other. So each record counts once: its mean absolute
error over all its rows and seeds, out of fold, paired between two methods, study minus control.
Of several points it is the error of the first, in the rows in which it is visible.

Tested is the mean of these differences over the records, each of them equally heavy, by flipping
signs (`siwcc.evaluation.statistics.sign_flip_tests`: exact up to 22 records), one-sided towards a smaller error
of the study. The interval is the percentile bootstrap over records; with 22 of them, normally
distributed, it covers 93 % where 95 % is asked for, so where the two disagree the test is right.

Records of one test fold are predicted by the same trainings, so one lucky training counts once for
each of them, and the test over records finds differences between two ways of training that are no
better or worse than each other too often (docs/lab-notebook/controls.md: one in three, where it says one in
twenty, on made records with one seed). `p_folds` therefore flips all records of a fold together: as
cautious as five folds are few.

Rows are primary when they compare two encodings on the augmented copies of all events: what the
networks were trained on, and many windows of each event where the original sample is one (which, with
`shift: zero_fill`, mostly has its event in the middle). Holm's adjustment is over the primary rows
of the study, all tasks and variants together. The other rows of two encodings are secondary; rows
against a baseline, and rows of a network that is not the paper's against one that is, are families of
their own; none of these is adjusted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from siwcc.config import PAPERS_VARIANTS
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation import statistics
from siwcc.evaluation.methods import (
    ALL,
    AUGMENTED,
    VIEWS,
    FoldPredictions,
    Method,
    Strata,
    View,
    read_methods,
    read_strata,
    views_of,
)
from siwcc.io.errors import InputError
from siwcc.io.tables import columns_of, write_lines

PRIMARY, SECONDARY, BASELINE, NETWORK = "primary", "secondary", "baseline", "network"
PRIMARY_VIEW = View(AUGMENTED, ALL)


@dataclass(frozen=True)
class RecordTest:
    """One line of `stats/records.csv`; the attributes are its columns, in this order.

    Attributes:
        task, variant, control, study: What is compared; `variant` is the study's network.
        control_variant: The control's network: the same, another with `network`, none with `baseline`.
        family: `primary`, `secondary`, `baseline` (the control is one) or `network` (the control is another network).
        inputs, subset: Which rows are looked at, as in `errors.csv`.
        records, seeds: Records with such rows, and seeds averaged in each.
        control_error, study_error: Mean over the records of each record's mean absolute error, in `unit`.
        mean_difference, ci_low, ci_high: Study minus control over the records, 95 % percentile interval.
        p_smaller: One-sided p for a smaller error of the study, the direction hoped for.
        p_larger, p_two_sided: p the other way, and of both.
        p_folds: `p_smaller` with the records of a fold flipped together; NaN where folds share records.
        p_holm: `p_smaller` adjusted over the primary rows; None in other rows.
        p_error: Monte Carlo standard error of `p_smaller`; 0 when all sign patterns were counted.
        least_p: The smallest one-sided p that so many records can give.
        records_better, records_worse: Records with a smaller, and a larger, error of the study.
        unit: `s` or `px`.
        note: Why a p is NaN, and what a reader must know of the folds or of missing runs.
    """

    task: str
    variant: str
    control: str
    study: str
    control_variant: str
    family: str
    inputs: str
    subset: str
    records: int
    seeds: int
    control_error: float
    study_error: float
    mean_difference: float
    ci_low: float
    ci_high: float
    p_smaller: float
    p_larger: float
    p_two_sided: float
    p_folds: float
    p_holm: float | None
    p_error: float
    least_p: float
    records_better: int
    records_worse: int
    unit: str
    note: str


@dataclass(frozen=True)
class RecordPoint:
    """One line of `stats/records_points.csv`: a record in a row of `records.csv` that compares two networks.

    Attributes:
        task, variant, control, study, control_variant, family, inputs, subset: The row.
        record: The record or slide image.
        rows: Predictions of each side that were averaged, over all seeds.
        control_error, study_error: Mean absolute error, in `unit`.
        difference: Study minus control.
        unit: `s` or `px`.
    """

    task: str
    variant: str
    control: str
    study: str
    control_variant: str
    family: str
    inputs: str
    subset: str
    record: str
    rows: int
    control_error: float
    study_error: float
    difference: float
    unit: str


Test = TypeVar("Test", bound=RecordTest)


class Records(NamedTuple):
    """The lines of both files."""

    tests: list[RecordTest]
    points: list[RecordPoint]


class Pair(NamedTuple):
    """Two methods of one task."""

    control: Method
    study: Method

    def family(self, view: View) -> str:
        """Which family a row of this pair belongs to."""
        if not self.control.variant:
            return BASELINE
        if self.control.variant != self.study.variant:
            return NETWORK
        return PRIMARY if view == PRIMARY_VIEW else SECONDARY


class RecordSums(NamedTuple):
    """Of the predictions for one fold: summed error and number of rows of each record, (records,), by view."""

    path: Path
    error: Mapping[View, np.ndarray]
    rows: Mapping[View, np.ndarray]


Runs = Mapping[tuple[int, int | None], RecordSums]
"""Of one method, by fold and seed."""


class Paired(NamedTuple):
    """Mean absolute errors of the records that a view has, (records,); `fold` is 0 where a record has several."""

    names: np.ndarray
    fold: np.ndarray
    rows: np.ndarray
    control: np.ndarray
    study: np.ndarray
    seeds: int
    note: str


def compare_records(
    run_paths: Iterable[Path],
    baseline_paths: Iterable[Path],
    strata_paths: Iterable[Path],
    comparisons: Sequence[tuple[str, str]],
    limits: Mapping[str, ErrorLimits],
) -> Records:
    """Every test over records that the given predictions allow.

    Only folds and seeds that both sides have are used. A pair of which one side has no predictions at
    all has no row.

    Args:
        run_paths: `predictions.csv` of runs.
        baseline_paths: `<task>/baselines/<name>/predictions.csv`.
        strata_paths: `<task>/strata.csv` of every task.
        comparisons: (control, study) encodings; besides, every encoding is compared with every baseline, and in
            networks that are not the paper's with every encoding in those that are.
        limits: Of each task; gives the unit and what an isolated event is.

    Returns:
        Rows by task, variant, pair and view; first the comparisons in their order, then baselines and networks.

    Raises:
        InputError: a file is damaged, has predictions for a sample that is not in its fold, or for other
            rows of a fold than what it is compared with.
    """
    strata = {path.parent.name: read_strata(path) for path in strata_paths}
    runs = {
        method: {(part.fold, part.seed): _sums(part, strata[method.task], limits[method.task]) for part in parts}
        for method, parts in read_methods(run_paths, baseline_paths, strata)
    }
    records = Records([], [])
    for pair in pairs_of(runs, comparisons):
        task = pair.study.task
        for view in VIEWS:
            paired = pair_up(runs[pair.control], runs[pair.study], view, strata[task])
            if paired is not None:
                records.tests.append(compare_pair(pair, view, paired, limits[task].unit))
                if pair.family(view) != BASELINE:
                    records.points.extend(_points(pair, view, paired, limits[task].unit))
    return Records(with_holm(records.tests), records.points)


def _sums(part: FoldPredictions, strata: Strata, limits: ErrorLimits) -> RecordSums:
    visible = part.predictions.visible()
    views = {view: mask & visible for view, mask in views_of(part, strata, limits.isolated_s).items()}
    return sums_of_records(part.path, part.predictions.error(), part.sample, strata, views)


def sums_of_records(
    path: Path, error: np.ndarray, sample: np.ndarray, strata: Strata, views: Mapping[View, np.ndarray]
) -> RecordSums:
    """Errors summed by record.

    Args:
        path: The file that they are of, for messages.
        error: float64 (rows,).
        sample: int (rows,), which entry of `strata` each row is of.
        strata: Of the task.
        views: Masks (rows,) of what counts.
    """
    names, codes = np.unique(strata.group, return_inverse=True)
    code = codes[sample]
    return RecordSums(
        path,
        {view: np.bincount(code[mask], error[mask], len(names)) for view, mask in views.items()},
        {view: np.bincount(code[mask], minlength=len(names)) for view, mask in views.items()},
    )


def pairs_of(methods: Iterable[Method], comparisons: Sequence[tuple[str, str]]) -> Iterator[Pair]:
    """The comparisons that these methods allow; besides, networks with baselines and with those of the paper."""
    known = sorted(methods)
    for task, variant in sorted({(one.task, one.variant) for one in known if one.variant}):
        arms = [one for one in known if (one.task, one.variant) == (task, variant)]
        asked = [Pair(Method(task, variant, control), Method(task, variant, study)) for control, study in comparisons]
        yield from (pair for pair in asked if set(pair) <= set(arms))
        controls = [one for one in known if one.task == task and not one.variant]
        if variant not in PAPERS_VARIANTS:
            controls += [one for one in known if one.task == task and one.variant in PAPERS_VARIANTS]
        yield from (Pair(control, arm) for control in controls for arm in arms)


def pair_up(control: Runs, study: Runs, view: View, strata: Strata) -> Paired | None:
    """Errors of each record that has rows in the view; None where no record has."""
    pairs = {key: (partner, sums) for key, sums in study.items() if (partner := _partner(control, *key)) is not None}
    seen = {key: pair for key, pair in pairs.items() if view in pair[1].rows}
    if not seen:
        return None
    for partner, sums in seen.values():
        _check_rows(partner, sums, view)
    rows = np.sum([sums.rows[view] for _, sums in seen.values()], axis=0)
    control_error = np.sum([partner.error[view] for partner, _ in seen.values()], axis=0)
    study_error = np.sum([sums.error[view] for _, sums in seen.values()], axis=0)
    there = np.flatnonzero(rows)
    return Paired(
        names=np.unique(strata.group)[there],
        fold=_folds_of_records(strata)[there],
        rows=rows[there],
        control=control_error[there] / rows[there],
        study=study_error[there] / rows[there],
        seeds=len({seed for _, seed in seen}),
        note=_note(len(pairs), {seed for _, seed in (*control, *study)} - {None}, strata),
    )


def _folds_of_records(strata: Strata) -> np.ndarray:
    names, codes = np.unique(strata.group, return_inverse=True)
    first, last = np.full(len(names), strata.fold.max()), np.zeros(len(names), dtype=np.int64)
    np.minimum.at(first, codes, strata.fold)
    np.maximum.at(last, codes, strata.fold)
    return np.where(first == last, first, 0)


def _partner(control: Runs, fold: int, seed: int | None) -> RecordSums | None:
    # A baseline has one prediction per sample of a fold, which every seed is compared with.
    return control.get((fold, seed)) or control.get((fold, None))


def _check_rows(control: RecordSums, study: RecordSums, view: View) -> None:
    if not np.array_equal(control.rows.get(view, []), study.rows[view]):
        problem = f"has predictions for other {view.inputs} rows than {control.path}"
        raise InputError(study.path, problem, "delete both and run again")


def _note(used: int, seeds: Collection[int | None], strata: Strata) -> str:
    notes = []
    asked = len(np.unique(strata.fold)) * len(seeds)
    if used < asked:
        notes.append(f"{used} of {asked} trainings (folds times seeds) could be paired")
    if len(set(zip(strata.group, strata.fold.tolist(), strict=True))) > len(set(strata.group)):
        notes.append("records are in several folds: networks were trained on other samples of them")
    return "; ".join(notes)


def compare_pair(pair: Pair, view: View, paired: Paired, unit: str) -> RecordTest:
    """Interval and p of the mean difference over the records; not adjusted."""
    differences = statistics.paired_differences(paired.control, paired.study)
    flips = statistics.sign_flip_tests(differences)
    bootstrap = statistics.paired_bootstrap(differences, "less")
    records = len(differences)
    return RecordTest(
        *(pair.study.task, pair.study.variant, pair.control.name, pair.study.name, pair.control.variant),
        family=pair.family(view),
        inputs=view.inputs,
        subset=view.subset,
        records=records,
        seeds=paired.seeds,
        control_error=float(paired.control.mean()),
        study_error=float(paired.study.mean()),
        mean_difference=bootstrap.mean,
        ci_low=bootstrap.ci_low,
        ci_high=bootstrap.ci_high,
        p_smaller=flips["less"].p,
        p_larger=flips["greater"].p,
        p_two_sided=flips["two-sided"].p,
        p_folds=_p_of_whole_folds(differences, paired.fold),
        p_holm=None,
        p_error=flips["less"].p_error,
        least_p=statistics.smallest_sign_flip_p(records),
        records_better=int(np.count_nonzero(differences < 0)),
        records_worse=int(np.count_nonzero(differences > 0)),
        unit=unit,
        note="; ".join(filter(None, [_why_not(differences), paired.note])),
    )


def _p_of_whole_folds(differences: np.ndarray, fold: np.ndarray) -> float:
    if not fold.all():
        return math.nan
    return statistics.sign_flip_tests(np.bincount(fold, differences)[np.unique(fold)])["less"].p


def _why_not(differences: np.ndarray) -> str:
    if not np.isfinite(differences).all():
        return "a record has no value: no test possible"
    return "one record: no test possible" if len(differences) == 1 else ""


def _points(pair: Pair, view: View, paired: Paired, unit: str) -> list[RecordPoint]:
    differences = statistics.paired_differences(paired.control, paired.study)
    return [
        RecordPoint(
            *(pair.study.task, pair.study.variant, pair.control.name, pair.study.name, pair.control.variant),
            family=pair.family(view),
            inputs=view.inputs,
            subset=view.subset,
            record=str(name),
            rows=int(paired.rows[row]),
            control_error=float(paired.control[row]),
            study_error=float(paired.study[row]),
            difference=float(differences[row]),
            unit=unit,
        )
        for row, name in enumerate(paired.names)
    ]


def with_holm(tests: Sequence[Test]) -> list[Test]:
    """The same tests with the adjusted p of the primary ones."""
    primary = [row for row, test in enumerate(tests) if test.family == PRIMARY]
    adjusted = dict(zip(primary, statistics.holm([tests[row].p_smaller for row in primary]).tolist(), strict=True))
    return [replace(test, p_holm=adjusted.get(row)) for row, test in enumerate(tests)]


def write_records(path: Path, lines: Sequence[RecordTest]) -> None:
    """Write `stats/records.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(RecordTest), lines)


def write_record_points(path: Path, lines: Sequence[RecordPoint]) -> None:
    """Write `stats/records_points.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(RecordPoint), lines)
