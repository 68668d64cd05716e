"""`robustness.csv`: errors of predictions on perturbed samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from siwcc.io.tables import columns_of, read_lines, write_lines


@dataclass(frozen=True)
class Robustness:
    """One line of `robustness.csv`: a perturbation at one strength; the attributes are the columns, in this order.

    Intervals are 95 % percentile bootstraps over records, 2,000 draws that are the same for every line.

    Attributes:
        task, encoding, variant: Whose predictions.
        perturbation, strength, unit: What was done to the samples, and how much, see `.interface.Perturbation`.
        level: The strength to read.
        unperturbed: 1 where this strength leaves the samples as they are, else 0.
        rows, records, seeds: Predictions (samples times seeds), records or slide images they are of, seeds.
        median, p90, mean: Of the absolute error (Euclidean; of several points the first one), in `error_unit`.
        within_fine, within_coarse: Fraction of the predictions whose error is at most the limit.
        change: `within_coarse` minus that of the unperturbed samples.
        *_low, *_high: Ends of their intervals; NaN with one record. That of `change` is paired.
        limit_fine, limit_coarse: The two limits, in `error_unit`.
        error_unit: `s` or `px`.
    """

    task: str
    encoding: str
    variant: str
    perturbation: str
    strength: float
    unit: str
    level: str
    unperturbed: int
    rows: int
    records: int
    seeds: int
    median: float
    median_low: float
    median_high: float
    p90: float
    p90_low: float
    p90_high: float
    mean: float
    mean_low: float
    mean_high: float
    within_fine: float
    within_fine_low: float
    within_fine_high: float
    within_coarse: float
    within_coarse_low: float
    within_coarse_high: float
    change: float
    change_low: float
    change_high: float
    limit_fine: float
    limit_coarse: float
    error_unit: str


def write_robustness(path: Path, lines: Sequence[Robustness]) -> None:
    """Write a `robustness.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(Robustness), lines)


def read_robustness(paths: Sequence[Path]) -> list[Robustness]:
    """The lines of several `robustness.csv`, one file after the other.

    Raises:
        InputError: a file is damaged.
    """
    return [line for path in paths for line in read_lines(path, Robustness)]
