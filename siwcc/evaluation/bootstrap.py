"""The bootstrap over records, and its percentile intervals.

Rows of one record are alike and must not be drawn one by one, so whole records are drawn, always the same ones: two
tables of one study are paired. The paper's bootstrap over folds is in `siwcc.evaluation.statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

DRAWS = 2000
SEED = 42

_PERCENTILES = (2.5, 97.5)
_DRAWS_AT_ONCE = 250
_ROWS_AT_ONCE = 256


class Interval(NamedTuple):
    """A number with its 95 % interval over records; the ends are NaN for a single record."""

    value: float
    low: float
    high: float


def times_drawn(records: int) -> np.ndarray:
    """How often each record is drawn, int64 (draws, records), always the same; one record gives no draw."""
    draws = DRAWS if records > 1 else 0
    return np.random.default_rng(SEED).multinomial(records, np.full(records, 1 / records), size=draws)


def interval_of(value: float, drawn: np.ndarray) -> Interval:
    """A number with the percentiles of what the draws gave for it; what a draw has no value of is left out.

    Args:
        value: Of the records themselves.
        drawn: float64 (draws,).
    """
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return Interval(value, np.nan, np.nan)
    low, high = np.percentile(finite, _PERCENTILES).tolist()
    return Interval(value, low, high)


def with_intervals(parts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Columns `<name>`, `<name>_low` and `<name>_high` of measures.

    Args:
        parts: By name: of all rows (1,), and of each draw (draws,).
    """
    return interval_columns({name: interval_of(float(of_all[0]), drawn) for name, (of_all, drawn) in parts.items()})


def interval_columns(intervals: Mapping[str, Interval]) -> dict[str, Any]:
    """Columns `<name>`, `<name>_low` and `<name>_high` of each."""
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"{name}{suffix}": float(getattr(interval, end))
        for name, interval in intervals.items()
        for suffix, end in ends.items()
    }


def drawn_means(values: np.ndarray, record: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The mean of each column in each draw, float64 (draws, columns).

    Args:
        values: float64 (rows, columns); a column with a NaN has no mean.
        record: int (rows,), the record of each row, from 0.
        times: Of `times_drawn`.
    """
    records = times.shape[1]
    sums = np.stack([np.bincount(record, column, records) for column in values.T], axis=1)
    rows = times @ np.bincount(record, minlength=records)
    return np.asarray(times @ sums / rows[:, np.newaxis])


def drawn_percentiles(values: np.ndarray, record: np.ndarray, times: np.ndarray, fraction: float) -> np.ndarray:
    """What numpy's linear percentile is of the rows of each draw, float64 (draws,).

    Rows are counted in blocks, so that the memory does not grow with draws times rows as in `Draws`.

    Args:
        values: float64 (rows,), without NaN.
        record: int (rows,), the record of each row, from 0.
        times: Of `times_drawn`.
        fraction: 0.5 for the median.
    """
    order = np.argsort(values, kind="stable")
    ordered, record = values[order], record[order]
    records, block = times.shape[1], np.arange(len(values)) // _ROWS_AT_ONCE
    of_blocks = np.bincount(block * records + record, minlength=(block[-1] + 1) * records).reshape(-1, records)
    # Whole numbers, far below 2^53, so that float64 is exact.
    counted = times.astype(np.float64) @ of_blocks.cumsum(axis=0).T.astype(np.float64)
    place = fraction * (counted[:, -1] - 1)
    below = np.floor(place)
    low, high = (_at_rank(rank, ordered, record, times, counted) for rank in (below, np.ceil(place)))
    return np.asarray(low + (place - below) * (high - low))


def _at_rank(
    rank: np.ndarray, ordered: np.ndarray, record: np.ndarray, times: np.ndarray, counted: np.ndarray
) -> np.ndarray:
    """The value of each draw at a rank from 0; `counted` is (draws, blocks), the rows up to the end of each block."""
    block = (counted <= rank[:, np.newaxis]).sum(axis=1)
    draws = np.arange(len(times))
    before = np.where(block > 0, counted[draws, block - 1], 0)
    rows = block[:, np.newaxis] * _ROWS_AT_ONCE + np.arange(_ROWS_AT_ONCE)
    drawn = times[draws[:, np.newaxis], record[np.minimum(rows, len(record) - 1)]] * (rows < len(record))
    inside = (before[:, np.newaxis] + drawn.cumsum(axis=1) <= rank[:, np.newaxis]).sum(axis=1)
    return np.asarray(ordered[block * _ROWS_AT_ONCE + inside])


class Sums(NamedTuple):
    """What errors come to, in their unit or as shares; one number each, or one a draw."""

    median: np.ndarray
    p90: np.ndarray
    mean: np.ndarray
    within_fine: np.ndarray
    within_coarse: np.ndarray


class Draws:
    """The same drawn records for everything that is summed up, so that differences are paired.

    Args:
        group: (rows,) the record or slide image of each row.
        fine, coarse: Limits, in the errors' unit; at most a limit is within it.
    """

    def __init__(self, group: np.ndarray, fine: float, coarse: float) -> None:
        names, self._of_row = np.unique(group, return_inverse=True)
        self.records = len(names)
        self._limits = (fine, coarse)
        self._times = times_drawn(self.records)

    def sums_of(self, error: np.ndarray) -> Sums:
        """The sums of each draw, (draws,) each.

        Args:
            error: (rows,), at least 0.
        """
        order = np.argsort(error, kind="stable")
        ordered, times = error[order], self._times[:, self._of_row[order]]
        parts = [self._sums(ordered, times[start : start + _DRAWS_AT_ONCE]) for start in self._starts()]
        return Sums(*(np.concatenate(kind) for kind in zip(*parts, strict=True))) if parts else _NONE

    def sums_of_all(self, error: np.ndarray) -> Sums:
        """The sums of the rows themselves, each once; (1,) each."""
        return self._sums(np.sort(error), np.ones((1, len(error)), dtype=np.int64))

    def _starts(self) -> Iterator[int]:
        yield from range(0, len(self._times), _DRAWS_AT_ONCE)

    def _sums(self, ordered: np.ndarray, times: np.ndarray) -> Sums:
        fine, coarse = (np.searchsorted(ordered, limit, side="right") for limit in self._limits)
        counted = times.cumsum(axis=1)
        rows = counted[:, -1]
        padded = np.concatenate([np.zeros((len(times), 1), dtype=np.int64), counted], axis=1)
        return Sums(
            median=_percentile(ordered, counted, 0.5),
            p90=_percentile(ordered, counted, 0.9),
            mean=times @ ordered / rows,
            within_fine=padded[:, fine] / rows,
            within_coarse=padded[:, coarse] / rows,
        )


_NONE = Sums(*(np.empty(0) for _ in Sums._fields))


def _percentile(ordered: np.ndarray, counted: np.ndarray, fraction: float) -> np.ndarray:
    """What numpy's linear percentile is of the values repeated as often as they were drawn.

    Args:
        ordered: (rows,) values, the smallest first.
        counted: (draws, rows) how many values a draw has up to each of them.
        fraction: 0.5 for the median.
    """
    place = fraction * (counted[:, -1] - 1)
    below = np.floor(place).astype(np.int64)
    low, high = (ordered[(counted <= rank[:, np.newaxis]).sum(axis=1)] for rank in (below, np.ceil(place)))
    return np.asarray(low + (place - below) * (high - low))
