"""How accurate the networks of one arm are next to the baselines, in a few rows: what `siwcc train` prints.

Errors are out of fold, on the augmented copies of all samples: an original window often has its event in the middle,
where a constant prediction is right. Intervals are over groups (`siwcc.evaluation.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.bootstrap import Draws, Interval, interval_of
from siwcc.evaluation.methods import FoldPredictions, Method, Strata, read_methods, read_strata, views_of
from siwcc.evaluation.record_tests import BASELINE, PRIMARY_VIEW
from siwcc.io.files import read_csv

ORACLES = ("gap_oracle",)
"""Baselines that are given what a new recording does not have."""


@dataclass(frozen=True)
class MethodAccuracy:
    """The errors of a network or baseline.

    Attributes:
        method: The encoding, or the baseline's name.
        variant: Of the network; empty for a baseline.
        rows, groups: Augmented copies, and groups that they are of.
        median, p90: Of the absolute error (points: Euclidean distance), in `unit`.
        within: Fraction of the rows whose error is at most `limit`.
        limit: In `unit`.
        unit: `s` or `px`.
    """

    method: str
    variant: str
    rows: int
    groups: int
    median: Interval
    p90: Interval
    within: Interval
    limit: float
    unit: str


def summarise_accuracy(
    run_paths: Iterable[Path], baseline_paths: Iterable[Path], strata_path: Path, limits: ErrorLimits
) -> list[MethodAccuracy]:
    """One row per method: networks first, then baselines, the smallest median error first.

    Args:
        run_paths: `predictions.csv` of the runs of one task.
        baseline_paths: `<task>/baselines/<name>/predictions.csv`; `ORACLES` are left out.
        strata_path: `<task>/strata.csv`.
        limits: Of the task; `within` is of the coarse one.

    Raises:
        InputError: a file is damaged, or has predictions for a sample that is not in its fold.
    """
    strata = read_strata(strata_path)
    fair = [path for path in baseline_paths if path.parent.name not in ORACLES]
    methods = read_methods(run_paths, fair, {strata_path.parent.name: strata})
    rows = [_accuracy(method, parts, strata, limits) for method, parts in methods]
    return sorted(rows, key=lambda row: (not row.variant, row.median.value))


def _accuracy(method: Method, parts: Sequence[FoldPredictions], strata: Strata, limits: ErrorLimits) -> MethodAccuracy:
    errors, groups = [], []
    for part in parts:
        mask = views_of(part, strata, None)[PRIMARY_VIEW] & part.predictions.visible()
        errors.append(part.predictions.error()[mask])
        groups.append(strata.group[part.sample[mask]])
    error, draws = np.concatenate(errors), Draws(np.concatenate(groups), limits.fine, limits.coarse)
    found, drawn = draws.sums_of_all(error), draws.sums_of(error)
    median, p90, within = (
        interval_of(float(getattr(found, name)[0]), getattr(drawn, name)) for name in ("median", "p90", "within_coarse")
    )
    return MethodAccuracy(
        *(method.name, method.variant, len(error), draws.records, median, p90, within, limits.coarse, limits.unit)
    )


class BaselineTest(NamedTuple):
    """The networks compared with a baseline: mean errors over groups in `unit`, difference networks minus baseline."""

    baseline: str
    network_error: float
    baseline_error: float
    difference: Interval
    unit: str


def read_baseline_tests(path: Path) -> list[BaselineTest]:
    """The comparisons with baselines in `stats/records.csv` of a study of one arm, without `ORACLES`.

    Raises:
        InputError: the table is missing or damaged.
    """
    names = ("family", "inputs", "subset", "control", "unit")
    numbers = ("study_error", "control_error", "mean_difference", "ci_low", "ci_high")
    found = []
    for row in read_csv(path, (*names, *numbers)):
        if row["family"] == BASELINE and (row["inputs"], row["subset"]) == PRIMARY_VIEW:
            ours, theirs, *difference = (float(row[name]) for name in numbers)
            found.append(BaselineTest(row["control"], ours, theirs, Interval(*difference), row["unit"]))
    return [test for test in found if test.baseline not in ORACLES]


def not_beaten(tests: Iterable[BaselineTest]) -> list[BaselineTest]:
    """The baselines than which the networks are no better, the best baseline first.

    Better is a mean error over groups that is smaller with 95 % confidence: the whole interval of the paired difference
    is below 0. A single group allows no interval.
    """
    return sorted((test for test in tests if not test.difference.high < 0), key=lambda test: test.baseline_error)
