"""How much of a result's variance comes from the folds, and how much from the training seeds.

Every seed is trained on every fold, so a number read off each log is a table of folds and seeds, and
so is the difference of two arms. `siwcc.evaluation.statistics.split_variance` splits either in three.

The tests of `comparisons.csv` average the seeds within a fold and then pair folds, which is what the
fold and residual parts call for: trainings of one fold share all their data, so fifteen of them are
not fifteen observations. The part of the seeds that is common to all folds does not show in such a
test; `se_seeds` is what it adds to the uncertainty of the mean, to be compared with the interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siwcc.evaluation import statistics
from siwcc.evaluation.comparisons import METRICS
from siwcc.evaluation.logs import read_log
from siwcc.evaluation.statistics import Value
from siwcc.io.run_key import RunKey, run_key_of
from siwcc.io.tables import columns_of, write_lines

ARM, DIFFERENCE = "arm", "difference"


@dataclass(frozen=True)
class VarianceRow:
    """One line of `stats/variance.csv`; the attributes are its columns, in this order.

    Attributes:
        kind: `arm`: the numbers of one encoding; `difference`: of two, study minus control.
        task, variant: Of the networks.
        control: Empty for an arm.
        study: The encoding.
        metric: As in `comparisons.csv`; R2 of the last epoch, instability.
        folds, seeds: Size of the table.
        mean: Over its cells.
        var_fold, var_seed, var_residual: Variance components in the square of the metric; an
            estimate below zero is shown as 0.
        fraction_fold, fraction_seed, fraction_residual: The same over their sum; NaN where that is 0.
        raw_fold, raw_seed: The unbiased estimates of the first two, also below zero.
        se_seeds: Standard error that the seeds' common effect leaves on the mean, sqrt(var_seed / seeds).
        note: Why components are NaN.
    """

    kind: str
    task: str
    variant: str
    control: str
    study: str
    metric: str
    folds: int
    seeds: int
    mean: float
    var_fold: float
    var_seed: float
    var_residual: float
    fraction_fold: float
    fraction_seed: float
    fraction_residual: float
    raw_fold: float
    raw_seed: float
    se_seeds: float
    note: str


class _Model:
    """The logs of one task and network, read as tables of folds and seeds."""

    def __init__(self, values: Mapping[RunKey, Mapping[str, Value]], task: str, variant: str) -> None:
        self.values = values
        self.task, self.variant = task, variant
        runs = [key for key in values if (key.task, key.variant) == (task, variant)]
        self.encodings = sorted({key.encoding for key in runs})
        self.folds = sorted({key.fold for key in runs})
        self.seeds = sorted({key.seed for key in runs})

    def table(self, encoding: str, metric: str) -> tuple[np.ndarray, str]:
        """(folds, seeds), NaN where a run is missing, and what is missing or wrong."""
        keys = [[RunKey(self.task, encoding, self.variant, fold, seed) for seed in self.seeds] for fold in self.folds]
        missing = {metric: Value(math.nan, "a run is missing")}
        cells = [[self.values.get(key, missing)[metric] for key in row] for row in keys]
        reasons = dict.fromkeys(cell.reason for row in cells for cell in row if math.isnan(cell.value))
        return np.array([[cell.value for cell in row] for row in cells]), "; ".join(reasons)


def split_study(log_paths: Sequence[Path], comparisons: Sequence[tuple[str, str]]) -> list[VarianceRow]:
    """The variance of every arm and of every comparison.

    Args:
        log_paths: `log.csv` of the runs.
        comparisons: (control, study) encodings; a pair of which one arm has no log has no row.

    Returns:
        Rows by task and variant; arms by name, then the comparisons in their order; by metric.

    Raises:
        InputError: a damaged log.
    """
    values = {run_key_of(path): _measured(path) for path in log_paths}
    models = [_Model(values, *named) for named in sorted({(key.task, key.variant) for key in values})]
    return [row for model in models for row in _rows(model, comparisons)]


def _measured(path: Path) -> dict[str, Value]:
    log = read_log(path)
    return {name: metric.measure(log) for name, metric in METRICS.items()}


def _rows(model: _Model, comparisons: Sequence[tuple[str, str]]) -> Iterator[VarianceRow]:
    for encoding in model.encodings:
        for metric in METRICS:
            yield _row(model, ARM, "", encoding, metric, *model.table(encoding, metric))
    for control, study in comparisons:
        if {control, study} <= set(model.encodings):
            for metric in METRICS:
                (before, note), (after, other_note) = model.table(control, metric), model.table(study, metric)
                differences = statistics.paired_differences(before.ravel(), after.ravel()).reshape(before.shape)
                notes = "; ".join(dict.fromkeys(filter(None, [note, other_note])))
                yield _row(model, DIFFERENCE, control, study, metric, differences, notes)


def _row(model: _Model, kind: str, control: str, study: str, metric: str, table: np.ndarray, note: str) -> VarianceRow:
    split = statistics.split_variance(table)
    shown = [value if math.isnan(value) else max(value, 0.0) for value in (split.fold, split.seed, split.residual)]
    total = math.fsum(shown)
    fractions = [part / total if total > 0 else math.nan for part in shown]
    folds, seeds = table.shape
    return VarianceRow(
        kind=kind,
        task=model.task,
        variant=model.variant,
        control=control,
        study=study,
        metric=metric,
        folds=folds,
        seeds=seeds,
        mean=split.mean,
        **dict(zip(("var_fold", "var_seed", "var_residual"), shown, strict=True)),
        **dict(zip(("fraction_fold", "fraction_seed", "fraction_residual"), fractions, strict=True)),
        raw_fold=split.fold,
        raw_seed=split.seed,
        se_seeds=math.sqrt(shown[1] / seeds),
        note=note or split.reason,
    )


def write_variance(path: Path, lines: Sequence[VarianceRow]) -> None:
    """Write `stats/variance.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(VarianceRow), lines)
