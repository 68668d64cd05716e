"""Errors on data sets that no network saw: `external/<dataset>/predictions.csv` of each method, and `external.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siwcc.data.augment.interface import Inputs
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.bootstrap import Draws, with_intervals
from siwcc.evaluation.methods import predictions_of
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.io.checksums import MANIFEST
from siwcc.io.files import read_csv, write_csv, write_manifest
from siwcc.io.study_layout import external_place
from siwcc.io.tables import columns_of, write_lines

ENSEMBLE = "ensemble"
"""In place of a fold: the networks of all folds together, those of one seed."""
_NAMED = ("network", "seed", "group")


class OfNetwork(NamedTuple):
    """What a network, or several together, or a baseline predicts for all samples.

    Attributes:
        network: `fold<k>`, the fold that it was not trained on, or `ensemble`; empty for a baseline.
        seed: Of the training; empty for a baseline.
        prediction, confidence, visible: See `siwcc.evaluation.predictions.prediction_rows`.
    """

    network: str
    seed: int | str
    prediction: np.ndarray
    confidence: np.ndarray | None = None
    visible: np.ndarray | None = None


def write_external_predictions(path: Path, inputs: Inputs, parts: Sequence[OfNetwork]) -> None:
    """Write the predictions of one method for a data set.

    The columns are `network`, `seed`, `group` and those of every `predictions.csv`.

    Args:
        path: `.../external/<dataset>/predictions.csv`.
        inputs: The samples.
        parts: Of every network, at least one; all of them with the same columns.
    """
    points = [0 if values is None else values.shape[1] for values in (parts[0].confidence, parts[0].visible)]
    rows = [
        [part.network, part.seed, group, *row]
        for part in parts
        for group, row in zip(
            inputs.group, prediction_rows(inputs, part.prediction, part.confidence, part.visible), strict=True
        )
    ]
    write_csv(path, [*_NAMED, *prediction_columns(inputs.spec.outputs, *points)], rows)
    place = "/".join(path.parent.parts[-5:])
    write_manifest(path.with_name(MANIFEST), place, (path,))


@dataclass(frozen=True)
class External:
    """One line of `external.csv`; the attributes are the columns, in this order.

    Intervals are 95 % percentile bootstraps over records, 2,000 draws that are the same for every method.

    Attributes:
        task, dataset: The data set that no network saw.
        method, variant: The encoding and the variant; of a baseline its name, and nothing.
        network: `fold<k>` or `ensemble`; empty for a baseline.
        rows, records, seeds: Predictions (samples times seeds), records or slide images they are of, seeds; a baseline
            has 0 seeds.
        median, p90, mean: Of the absolute error (Euclidean; of several points the first one), in `unit`.
        within_fine, within_coarse: Fraction of the predictions whose error is at most the limit.
        *_low, *_high: Ends of their intervals; NaN with one record.
        limit_fine, limit_coarse: The two limits, in `unit`.
        unit: `s` or `px`.
    """

    task: str
    dataset: str
    method: str
    variant: str
    network: str
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
    limit_fine: float
    limit_coarse: float
    unit: str


def measure_external(paths: Iterable[Path], limits: Mapping[str, ErrorLimits]) -> list[External]:
    """Errors of every method whose predictions are given.

    Args:
        paths: From `siwcc.io.study_layout.StudyLayout.external` and `external_baseline`.
        limits: Of each task.

    Returns:
        Lines by task and data set; baselines first, then networks by variant, encoding, fold, the ensemble last.

    Raises:
        InputError: a file is damaged.
    """
    lines = [line for path in paths for line in _measure(path, limits)]
    return sorted(lines, key=lambda line: (line.task, line.dataset, line.variant, line.method, _place_of(line.network)))


def _place_of(network: str) -> tuple[int, str]:
    # fold10 comes after fold9, and the ensemble after all.
    return (len(network), network) if network != ENSEMBLE else (1 << 30, network)


def _measure(path: Path, limits: Mapping[str, ErrorLimits]) -> Iterator[External]:
    place = external_place(path)
    of_network: dict[str, dict[str, list[dict[str, str]]]] = {}
    for row in read_csv(path, _NAMED):
        of_network.setdefault(row["network"], {}).setdefault(row["seed"], []).append(row)
    for network, of_seed in of_network.items():
        parts = [predictions_of(path, rows) for rows in of_seed.values()]
        error = np.concatenate([part.error() for part in parts])
        group = np.array([row["group"] for rows in of_seed.values() for row in rows])
        visible = np.concatenate([part.visible() for part in parts])
        if visible.any():
            seeds = len(set(of_seed) - {""})
            yield _summed_up((*place, network), error[visible], group[visible], seeds, limits[place[0]])


def _summed_up(
    names: tuple[str, str, str, str, str], error: np.ndarray, group: np.ndarray, seeds: int, limits: ErrorLimits
) -> External:
    draws = Draws(group, limits.fine, limits.coarse)
    of_all, of_draws = draws.sums_of_all(error), draws.sums_of(error)
    return External(
        *names,
        rows=len(error),
        records=draws.records,
        seeds=seeds,
        **with_intervals({name: (getattr(of_all, name), getattr(of_draws, name)) for name in of_all._fields}),
        limit_fine=limits.fine,
        limit_coarse=limits.coarse,
        unit=limits.unit,
    )


def write_external(path: Path, lines: Sequence[External]) -> None:
    """Write `stats/external.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(External), lines)
