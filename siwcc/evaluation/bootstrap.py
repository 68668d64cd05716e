"""Percentile intervals from drawing whole records: rows of one record are alike and must not be drawn one by one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DRAWS = 2000
SEED = 42

_PERCENTILES = (2.5, 97.5)


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
