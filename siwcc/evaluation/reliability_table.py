"""The tables of a study's confidence: `stats/calibration.csv` and `stats/calibration_scores.csv`, and what is shipped.

Of every encoding and variant with a confidence, all predictions of all seeds out of fold. Raw is the confidence
itself; calibrated is what `siwcc.evaluation.calibration` makes of it for each test fold from the predictions for the
other folds, all seeds together. Maps are fitted on the augmented copies, which show each event at many places of the
window, and are compared with the copies and with the original samples.

Where folds are by sample, a record stands on both sides of a map, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.bootstrap import Interval
from siwcc.evaluation.calibration import (
    BALANCE,
    equal_count_bins,
    fit_map,
    fractions_within,
    held_out_probability,
    score,
)
from siwcc.evaluation.calibration_file import Calibration
from siwcc.evaluation.methods import (
    AUGMENTED,
    UNAUGMENTED,
    FoldPredictions,
    Method,
    Strata,
    join,
    read_methods,
    read_strata,
)
from siwcc.io.errors import InputError
from siwcc.io.files import digest_of, sha256_of
from siwcc.io.tables import columns_of, write_lines

RAW, CALIBRATED = "raw", "calibrated"
MANY_ROWS = 1000
MANY_BINS, FEW_BINS = 10, 5


@dataclass(frozen=True)
class ReliabilityBin:
    """One line of `stats/calibration.csv`; the attributes are the columns.

    Attributes:
        task, encoding, variant: The network.
        inputs: `augmented` copies, or `unaugmented` original samples (copy 0).
        kind: `raw` or `calibrated`.
        bin: From 1: tenths of the rows, fifths below 1,000 rows; fewer where values repeat.
        rows, records: Of the bin.
        lowest, highest, mean: Of its confidences or probabilities.
        within, ci_low, ci_high: Share within the limit, and its 95 % bootstrap interval over records.
        median, p90: Of the absolute error, in `unit`.
        limit, unit: The limit.
    """

    task: str
    encoding: str
    variant: str
    inputs: str
    kind: str
    bin: int
    rows: int
    records: int
    lowest: float
    highest: float
    mean: float
    within: float
    ci_low: float
    ci_high: float
    median: float
    p90: float
    limit: float
    unit: str


@dataclass(frozen=True)
class CalibrationScore:
    """One line of `stats/calibration_scores.csv`; the attributes are the columns.

    Attributes:
        task, encoding, variant, inputs, kind: As in `calibration.csv`.
        folds, seeds, records, rows: What was summed up.
        within, mean: Share within the limit, and mean confidence or probability, of all rows.
        ece, brier, auroc, and their `_low` and `_high`: See `siwcc.evaluation.calibration.Scores`; over the bins of
            `calibration.csv`.
        balance: What a row of a record with n of them counted in the map: n to the power of minus this; empty if raw.
        limit, unit: The limit.
    """

    task: str
    encoding: str
    variant: str
    inputs: str
    kind: str
    folds: int
    seeds: int
    records: int
    rows: int
    within: float
    mean: float
    ece: float
    ece_low: float
    ece_high: float
    brier: float
    brier_low: float
    brier_high: float
    auroc: float
    auroc_low: float
    auroc_high: float
    balance: float | None
    limit: float
    unit: str


class Reliability(NamedTuple):
    """The lines of both files."""

    bins: list[ReliabilityBin]
    scores: list[CalibrationScore]


class _Rows(NamedTuple):
    """Every prediction of one network, (rows,); `confidence` may be the probability, `record` is a number."""

    confidence: np.ndarray
    error: np.ndarray
    within: np.ndarray
    record: np.ndarray
    fold: np.ndarray
    seed: np.ndarray
    augmented: np.ndarray

    def select(self, mask: np.ndarray) -> _Rows:
        return _Rows(*(values[mask] for values in self))


def measure_reliability(
    run_paths: Iterable[Path], strata_paths: Iterable[Path], limits: Mapping[str, ErrorLimits]
) -> Reliability:
    """Both tables of a study, from whatever predictions there are.

    Args:
        run_paths: `predictions.csv` of runs; those without a confidence are passed over.
        strata_paths: `<task>/strata.csv` of every task.
        limits: Of each task; the coarse one counts.

    Returns:
        Lines by task, variant and encoding; copies before samples, raw before calibrated, which is left out where a
        single fold has predictions.

    Raises:
        InputError: a file is damaged, or has predictions for a sample that is not in its fold.
    """
    strata = {path.parent.name: read_strata(path) for path in strata_paths}
    found = Reliability([], [])
    for method, parts in read_methods(run_paths, [], strata):
        rows = _rows_of(parts, strata[method.task], limits[method.task])
        if rows is None:
            continue
        for inputs, kind, seen in _views(rows):
            _sum_up(found, method, inputs, kind, seen, limits[method.task])
    return found


def _rows_of(parts: Sequence[FoldPredictions], strata: Strata, limits: ErrorLimits) -> _Rows | None:
    """The rows whose point, of several the first, is visible: of others nothing can be right; None without any."""
    predictions = join([part.predictions for part in parts])
    if predictions.confidence is None:
        return None
    error = predictions.error()
    number = np.unique(strata.group, return_inverse=True)[1]
    rows = _Rows(
        confidence=predictions.confidence,
        error=error,
        within=error <= limits.coarse,
        record=np.concatenate([number[part.sample] for part in parts]),
        fold=np.concatenate([np.full(len(part.sample), part.fold) for part in parts]),
        seed=np.concatenate([np.full(len(part.sample), part.seed) for part in parts]),
        augmented=predictions.copy > 0,
    )
    visible = predictions.visible()
    return rows.select(visible) if visible.any() else None


def _fitted_on(rows: _Rows) -> np.ndarray:
    """The copies; the samples themselves of a study without any."""
    return rows.augmented if rows.augmented.any() else ~rows.augmented


def _views(rows: _Rows) -> Iterator[tuple[str, str, _Rows]]:
    probability = held_out_probability(rows.confidence, rows.within, rows.record, rows.fold, _fitted_on(rows))
    for inputs, mask in ((AUGMENTED, rows.augmented), (UNAUGMENTED, ~rows.augmented)):
        if mask.any():
            yield inputs, RAW, rows.select(mask)
        known = mask & np.isfinite(probability)
        if known.any():
            yield inputs, CALIBRATED, rows._replace(confidence=probability).select(known)


def _sum_up(found: Reliability, method: Method, inputs: str, kind: str, rows: _Rows, limits: ErrorLimits) -> None:
    """Add the bins and the scores of one view."""
    bins = equal_count_bins(rows.confidence, MANY_BINS if len(rows.error) >= MANY_ROWS else FEW_BINS)
    named = (method.task, method.name, method.variant, inputs, kind)
    for number, fraction in enumerate(fractions_within(bins, rows.within, rows.record)):
        found.bins.append(_bin(named, number, fraction, rows.select(bins == number), limits))
    scores = score(rows.confidence, rows.within, rows.record, bins)
    folds, seeds, records = (len(np.unique(values)) for values in (rows.fold, rows.seed, rows.record))
    found.scores.append(
        CalibrationScore(
            *named,
            *(folds, seeds, records, len(rows.error)),
            *(float(rows.within.mean()), float(rows.confidence.mean())),
            *(*scores.ece, *scores.brier, *scores.auroc),
            balance=BALANCE if kind == CALIBRATED else None,
            limit=limits.coarse,
            unit=limits.unit,
        )
    )


def _bin(
    named: tuple[str, str, str, str, str], number: int, fraction: Interval, rows: _Rows, limits: ErrorLimits
) -> ReliabilityBin:
    median, p90 = np.percentile(rows.error, [50, 90]).tolist()
    return ReliabilityBin(
        *named,
        bin=number + 1,
        rows=len(rows.error),
        records=len(np.unique(rows.record)),
        lowest=float(rows.confidence.min()),
        highest=float(rows.confidence.max()),
        mean=float(rows.confidence.mean()),
        within=fraction.value,
        ci_low=fraction.low,
        ci_high=fraction.high,
        median=median,
        p90=p90,
        limit=limits.coarse,
        unit=limits.unit,
    )


def calibrate_arm(run_paths: Sequence[Path], strata_path: Path, limits: ErrorLimits) -> Calibration:
    """What goes with the networks of one encoding and variant: the map fitted on the predictions for every fold.

    Args:
        run_paths: `predictions.csv` of all folds and seeds.
        strata_path: `<task>/strata.csv`.
        limits: Of the task; the coarse one counts.

    Raises:
        InputError: a file is damaged, predictions have no confidence, or are of several encodings or variants.
    """
    strata = read_strata(strata_path)
    found = list(read_methods(run_paths, [], {strata_path.parent.name: strata}))
    if len(found) != 1:
        raise InputError(strata_path.parent, f"{len(found)} encodings and variants are to be calibrated as one")
    method, parts = found[0]
    rows = _rows_of(parts, strata, limits)
    if rows is None:
        raise InputError(parts[0].path, "has no confidence that could be calibrated", "take a variant with a map")
    fitted = rows.select(_fitted_on(rows))
    curve = fit_map(fitted.confidence, fitted.within, fitted.record)
    return Calibration(
        task=method.task,
        encoding=method.name,
        variant=method.variant,
        limit=limits.coarse,
        unit=limits.unit,
        inputs=AUGMENTED if fitted.augmented.any() else UNAUGMENTED,
        balance=BALANCE,
        folds=len(np.unique(fitted.fold)),
        seeds=len(np.unique(fitted.seed)),
        records=len(np.unique(fitted.record)),
        rows=len(fitted.error),
        predictions_sha256=digest_of({f"fold{part.fold}/seed{part.seed}": sha256_of(part.path) for part in parts}),
        confidence=tuple(curve.confidence.tolist()),
        probability=tuple(curve.probability.tolist()),
    )


def write_reliability(path: Path, lines: Sequence[ReliabilityBin]) -> None:
    """Write `stats/calibration.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(ReliabilityBin), lines)


def write_scores(path: Path, lines: Sequence[CalibrationScore]) -> None:
    """Write `stats/calibration_scores.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(CalibrationScore), lines)
