"""What networks gain from having seen the patient, and what from having seen the same seconds.

Folds by sample put a record into training and test folds, and windows of different folds overlap.
Folds by record end both at once. What each is worth shows where the two kinds of folds are compared event by event, by
the distance to the nearest event of the same record that was trained on:

    distance        the network has seen
    0 to 1 window   the patient, and for the most part the same seconds
    1 to 2 windows  the patient, and perhaps the same seconds
    2 and more      the patient: cuts that each hold their own event share no sample
    none            neither, with either kind of folds

Events close to others differ from lonely ones in more than that; the difference between the folds is of the same
events.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siwcc.analyses.leakage_ablation import APART, BOTH, NO_PADDING, PAPERS, TASK, Cell, run_paths
from siwcc.data.folds import check_origin
from siwcc.evaluation.bootstrap import interval_of, times_drawn
from siwcc.evaluation.methods import Method, Strata, read_methods
from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SamplesPath, read_samples
from siwcc.io.tables import columns_of, write_lines


@dataclass(frozen=True)
class WindowOverlap:
    """One line of `window_overlap.csv`; the attributes are its columns, in this order.

    Attributes:
        shift: Of both studies.
        variant, method: The network and its encoding.
        from_s, below_s: Distance to the nearest event of the record that was trained on, folds by sample; both
            infinite: there is none.
        events, records: How many, and of how many records.
        by_sample, by_group: Mean absolute error, over copies and seeds and then over events, with either folds.
        difference, ci_low, ci_high: By group minus by sample; 95 % percentile bootstrap over records, NaN with one.
        unit: `s`.
    """

    shift: str
    variant: str
    method: str
    from_s: float
    below_s: float
    events: int
    records: int
    by_sample: float
    by_group: float
    difference: float
    ci_low: float
    ci_high: float
    unit: str


def measure_overlap(cells: Sequence[Cell], data: Path) -> list[WindowOverlap]:
    """Compare both kinds of folds for every network, with either shift.

    Args:
        cells: The four studies, from `siwcc.analyses.leakage_ablation.open_cells`.
        data: The folder that holds `samples/`.

    Raises:
        InputError: a file is missing or damaged, or the samples are not those of the folds.
    """
    of = {cell.protocol: cell for cell in cells}
    pairs = ((of[PAPERS], of[APART]), (of[NO_PADDING], of[BOTH]))
    return [line for by_sample, by_group in pairs for line in _compare(by_sample, by_group, data)]


def _compare(by_sample: Cell, by_group: Cell, data: Path) -> Iterator[WindowOverlap]:
    strata, other = by_sample.strata(), by_group.strata()
    for cell in (by_sample, by_group):
        check_origin(cell.layout.strata_csv(TASK), _samples_path(cell, data))
    same_event = [other.place[sample_id] for sample_id in strata.place]
    distance_s = nearest_trained_s(strata, *_events(by_sample, data, strata))
    window_s = by_sample.spec.output_scale
    near_s, inf = 2 * window_s, math.inf
    ranges = [(0.0, window_s), (window_s, near_s), (near_s, inf), (inf, inf)]
    apart = _errors(by_group, other)
    for method, error in _errors(by_sample, strata).items():
        for from_s, below_s in ranges:
            chosen = (distance_s >= from_s) & ((distance_s < below_s) | (from_s == below_s))
            if chosen.any():
                errors = error[chosen], apart[method][same_event][chosen]
                yield WindowOverlap(
                    shift=by_sample.protocol.shift,
                    variant=method.variant,
                    method=method.name,
                    from_s=from_s,
                    below_s=below_s,
                    **_summed_up(strata.group[chosen], *errors),
                    unit=by_sample.spec.unit,
                )


def _summed_up(group: np.ndarray, before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """From `events` to `ci_high` of a line, for errors of some events with folds by sample and by group."""
    names, of_event = np.unique(group, return_inverse=True)
    lost, events = np.bincount(of_event, after - before), np.bincount(of_event)
    drawn = times_drawn(len(names))
    difference = interval_of(float(np.mean(after - before)), (drawn @ lost) / (drawn @ events))
    return {
        "events": len(group),
        "records": len(names),
        "by_sample": float(before.mean()),
        "by_group": float(after.mean()),
        "difference": difference.value,
        "ci_low": difference.low,
        "ci_high": difference.high,
    }


def nearest_trained_s(strata: Strata, record: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """From every event to the nearest one of its record in another fold, float64 (samples,); infinite if there is none.

    Args:
        strata: Folds.
        record: (samples,) strings: a group may have several records, each with its own time.
        time_s: (samples,), when each event is in its record.
    """
    apart = np.abs(time_s[:, np.newaxis] - time_s)
    trained = (record[:, np.newaxis] == record) & (strata.fold[:, np.newaxis] != strata.fold)
    return np.asarray(np.where(trained, apart, np.inf).min(axis=1))


def _events(cell: Cell, data: Path, strata: Strata) -> tuple[np.ndarray, np.ndarray]:
    """The record of every event and its seconds there, in the order of `strata`."""
    shard = read_samples(_samples_path(cell, data), ("sample_id", "record", "event_sample"))
    row_of = {sample_id: row for row, sample_id in enumerate(shard.arrays["sample_id"])}
    for sample_id in strata.place:
        if sample_id not in row_of:
            problem = f"has no {sample_id}, which is in a fold of {cell.folder}"
            raise InputError(shard.path, problem, "run the study again")
    rows = [row_of[sample_id] for sample_id in strata.place]
    return shard.arrays["record"][rows], shard.arrays["event_sample"][rows] / float(shard.attributes["rate_hz"])


def _samples_path(cell: Cell, data: Path) -> SamplesPath:
    return [DataLayout(data).samples(name) for name in cell.config.datasets_of(TASK)]


def _errors(cell: Cell, strata: Strata) -> dict[Method, np.ndarray]:
    """Mean absolute error of every sample over its augmented copies and the seeds, in the order of `strata`."""
    samples = len(strata.place)
    found = {}
    for method, parts in read_methods(run_paths(cell), [], {TASK: strata}):
        sums, rows = np.zeros(samples), np.zeros(samples)
        for part in parts:
            copies = part.predictions.copy > 0
            sums += np.bincount(part.sample[copies], part.predictions.error()[copies], samples)
            rows += np.bincount(part.sample[copies], minlength=samples)
        found[method] = sums / rows
    return found


def write_window_overlap(path: Path, lines: Sequence[WindowOverlap]) -> None:
    """Write `window_overlap.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(WindowOverlap), lines)
