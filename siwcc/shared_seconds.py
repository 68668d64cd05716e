"""What networks gain from having seen the patient, and what from having seen the very seconds.

Folds by sample let a record stand in training and test folds, and let windows overlap that stand in different ones.
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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siwcc.answers import Answerer, Strata, read_answers, read_strata
from siwcc.errors import InputError
from siwcc.protocols import APART, BOTH, NO_PADDING, PAPERS, TASK, Cell, run_paths
from siwcc.resampling import interval_of, times_drawn
from siwcc.shards import read_shard
from siwcc.tables import columns_of, write_lines
from siwcc.tasks import task_module


@dataclass(frozen=True)
class Shared:
    """One line of `shared.csv`; the attributes are its columns, in this order.

    Attributes:
        shift: Of both studies.
        variant, answer: The network and its encoding.
        from_s, below_s: Distance to the nearest event of the record that was trained on, folds by sample; both
            infinite: there is none.
        events, records: How many, and of how many records.
        by_sample, by_group: Mean absolute error, over copies and seeds and then over events, with either folds.
        difference, ci_low, ci_high: By group minus by sample; 95 % percentile bootstrap over records, NaN with one.
        unit: `s`.
    """

    shift: str
    variant: str
    answer: str
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


def gather_shared(cells: Sequence[Cell], data: Path) -> list[Shared]:
    """Compare both kinds of folds for every network, with either shift.

    Args:
        cells: The four studies, from `siwcc.protocols.open_cells`.
        data: The folder that holds `samples/`.

    Raises:
        InputError: a file is missing or damaged, or the samples are not those of the folds.
    """
    of = {cell.protocol: cell for cell in cells}
    pairs = ((of[PAPERS], of[APART]), (of[NO_PADDING], of[BOTH]))
    return [line for by_sample, by_group in pairs for line in _compare(by_sample, by_group, data)]


def _compare(by_sample: Cell, by_group: Cell, data: Path) -> Iterator[Shared]:
    strata = read_strata(by_sample.folder / TASK / "strata.csv")
    distance_s = nearest_trained_s(strata, _event_times_s(by_sample, data, strata))
    spec = task_module(TASK).make_spec(by_sample.config.task(TASK), by_sample.config.dataset_of(TASK))
    window_s = spec.output_scale
    errors, others = _errors(by_sample, strata), _errors(by_group, strata)
    for answerer, error in errors.items():
        for from_s, below_s in ((0, window_s), (window_s, 2 * window_s), (2 * window_s, np.inf), (np.inf, np.inf)):
            chosen = (distance_s >= from_s) & ((distance_s < below_s) | (from_s == below_s))
            if not chosen.any():
                continue
            groups, of_event = np.unique(strata.group[chosen], return_inverse=True)
            before, after = error[chosen], others[answerer][chosen]
            sums = np.bincount(of_event, after - before), np.bincount(of_event)
            drawn = times_drawn(len(groups))
            difference = interval_of(float(np.mean(after - before)), (drawn @ sums[0]) / (drawn @ sums[1]))
            yield Shared(
                shift=by_sample.protocol.shift,
                variant=answerer.variant,
                answer=answerer.name,
                from_s=float(from_s),
                below_s=float(below_s),
                events=int(chosen.sum()),
                records=len(groups),
                by_sample=float(before.mean()),
                by_group=float(after.mean()),
                difference=difference.value,
                ci_low=difference.low,
                ci_high=difference.high,
                unit=spec.unit,
            )


def nearest_trained_s(strata: Strata, time_s: np.ndarray) -> np.ndarray:
    """From every event to the nearest one of its record in another fold, float64 (samples,); infinite if there is none.

    Args:
        strata: Folds and records.
        time_s: (samples,), when each event is in its record.
    """
    apart = np.abs(time_s[:, np.newaxis] - time_s)
    trained = (strata.group[:, np.newaxis] == strata.group) & (strata.fold[:, np.newaxis] != strata.fold)
    return np.asarray(np.where(trained, apart, np.inf).min(axis=1))


def _event_times_s(cell: Cell, data: Path, strata: Strata) -> np.ndarray:
    path = data / "samples" / f"{cell.config.task(TASK).dataset}.h5"
    shard = read_shard(path, "samples", names=("sample_id", "event_sample"))
    at = dict(zip(shard.arrays["sample_id"], shard.arrays["event_sample"].tolist(), strict=True))
    for sample_id in strata.place:
        if sample_id not in at:
            problem = f"has no {sample_id}, which is in a fold of {cell.folder}"
            raise InputError(path, problem, "run the study again")
    return np.array([at[sample_id] for sample_id in strata.place]) / float(shard.attributes["rate_hz"])


def _errors(cell: Cell, strata: Strata) -> dict[Answerer, np.ndarray]:
    """Mean absolute error of every sample over its augmented copies and the seeds, in the order of `strata`."""
    own = read_strata(cell.folder / TASK / "strata.csv")
    order = [own.place[sample_id] for sample_id in strata.place]
    found = {}
    for answerer, answers in read_answers(run_paths(cell), [], {TASK: own}):
        sums, rows = np.zeros(len(own.place)), np.zeros(len(own.place))
        for part in answers:
            copies = part.predictions.variant > 0
            np.add.at(sums, part.sample[copies], part.predictions.error()[copies])
            np.add.at(rows, part.sample[copies], 1)
        found[answerer] = (sums / rows)[order]
    return found


def write_shared(path: Path, lines: Sequence[Shared]) -> None:
    """Write `shared.csv` in one step, numbers in full precision."""
    write_lines(path, columns_of(Shared), lines)
