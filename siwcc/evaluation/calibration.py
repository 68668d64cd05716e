"""The confidence of a network compared with how often it is right: calibration, as functions of arrays.

A prediction is right when its error is within a limit. The confidence of a network is no probability of that: it is the
fraction of a map. A step function that never falls (isotonic regression) of "within the limit" on confidence makes it
one, and `held_out_probability` does so for each test fold with the predictions for the other folds alone.

Records count by the square root of their rows (`BALANCE`), as they do in the training of the networks: so one record
with sixty events does not settle the whole map, and one with a single event does not outweigh its sixty. With R
records, probabilities stay between 1/(R + 2) and (R + 1)/(R + 2), by Laplace's rule of succession.

Intervals are percentile bootstraps over records. Rows of one record are alike, so rows must not be drawn one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from siwcc.evaluation.bootstrap import Interval, interval_of, times_drawn
from siwcc.evaluation.calibration_file import IsotonicMap

BALANCE = 0.5


def record_weights(record: np.ndarray, balance: float = BALANCE) -> np.ndarray:
    """What each row counts: the number of its record's rows to the power of -`balance`, float64 (rows,).

    Args:
        record: (rows,) names or numbers.
        balance: 0: every row alike; 1: every record alike.
    """
    _, codes, rows = np.unique(record, return_inverse=True, return_counts=True)
    return np.asarray(rows[codes].astype(np.float64) ** -balance)


def fit_map(confidence: np.ndarray, within: np.ndarray, record: np.ndarray) -> IsotonicMap:
    """The never falling map that is nearest to what happened, in squared error; the same for any order of the rows.

    Args:
        confidence: float64 (rows,), 0 ... 1, at least one.
        within: bool (rows,), whether the error is within the limit.
        record: (rows,) names; see the module for how they are balanced.

    Returns:
        Knots with six decimals, those of `confidence` rounded apart from each other.
    """
    # Of the extra `study`; who uses a map does without.
    from sklearn.isotonic import IsotonicRegression

    weight = record_weights(record)
    order = np.lexsort((weight, within, confidence))
    records = len(np.unique(record))
    ends = {"y_min": 1 / (records + 2), "y_max": (records + 1) / (records + 2)}
    fitted = IsotonicRegression(**ends).fit(confidence[order], within[order].astype(np.float64), weight[order])
    knots, first = np.unique(np.round(fitted.X_thresholds_, 6), return_index=True)
    return IsotonicMap(knots, np.round(fitted.y_thresholds_[first], 6))


def held_out_probability(
    confidence: np.ndarray, within: np.ndarray, record: np.ndarray, fold: np.ndarray, fitted: np.ndarray
) -> np.ndarray:
    """The probability of each row by a map that was fitted on the other folds.

    Args:
        confidence: float64 (rows,), 0 ... 1.
        within: bool (rows,).
        record: (rows,) names.
        fold: int (rows,).
        fitted: bool (rows,), whether a row may be fitted on.

    Returns:
        float64 (rows,); NaN where no other fold has a row to fit on.
    """
    probability = np.full(len(confidence), np.nan)
    for number in np.unique(fold):
        others = fitted & (fold != number)
        if others.any():
            found = fit_map(confidence[others], within[others], record[others])
            probability[fold == number] = found.of(confidence[fold == number])
    return probability


def equal_count_bins(values: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each value, int64 (rows,), from 0: about as many in each, equal values together.

    Args:
        values: float64 (rows,), at least one.
        bins: How many; where values repeat there may be fewer.
    """
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    _, codes = np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)
    return np.asarray(codes)


class _Draws(NamedTuple):
    """How often each record is drawn, (1 + draws, records): first every one once, which gives the value itself."""

    times: np.ndarray

    @classmethod
    def of(cls, records: int) -> _Draws:
        """Those of `siwcc.evaluation.bootstrap`, behind the records themselves."""
        return cls(np.concatenate([np.ones((1, records), dtype=np.int64), times_drawn(records)]))

    def sums(self, of_record: np.ndarray) -> np.ndarray:
        """(records, ...) -> (1 + draws, ...), summed over the records drawn."""
        # Not by BLAS, whose order of summation depends on its threads.
        return np.asarray(np.einsum("dr,r...->d...", self.times, of_record))

    def intervals(self, values: np.ndarray) -> list[Interval]:
        """(1 + draws, ...) -> one for each of the others; what a draw has no value of is left out."""
        return [interval_of(float(column[0]), column[1:]) for column in values.reshape(len(values), -1).T]


def _by_record(codes: np.ndarray, bins: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums of values, (records, bins)."""
    shape = (int(codes.max()) + 1, int(bins.max()) + 1)
    return np.bincount(codes * shape[1] + bins, values, shape[0] * shape[1]).reshape(shape)


def fractions_within(bins: np.ndarray, within: np.ndarray, record: np.ndarray) -> list[Interval]:
    """The fraction of the rows of each bin that is within the limit.

    Args:
        bins: int (rows,), from 0, none empty.
        within: bool (rows,).
        record: (rows,) names.
    """
    codes = np.unique(record, return_inverse=True)[1]
    draws = _Draws.of(int(codes.max()) + 1)
    right, rows = (draws.sums(_by_record(codes, bins, values)) for values in (within, np.ones(len(bins))))
    return draws.intervals(_divided(right, rows))


class Scores(NamedTuple):
    """How well probabilities agree with what happened.

    Attributes:
        ece: Expected calibration error: how far mean probability and fraction lie apart in a bin, mean over the rows.
        brier: Mean squared distance of the probability from 1 (within the limit) or 0.
        auroc: Of a row within the limit and one that is not, how often the former has the larger probability; ties
            half. NaN where all rows are alike.
    """

    ece: Interval
    brier: Interval
    auroc: Interval


def score(probability: np.ndarray, within: np.ndarray, record: np.ndarray, bins: np.ndarray) -> Scores:
    """The three scores, with intervals over records; that of `ece` lies high, as every draw adds its own scatter.

    Args:
        probability: float64 (rows,), 0 ... 1.
        within: bool (rows,).
        record: (rows,) names.
        bins: int (rows,), see `equal_count_bins`.
    """
    codes = np.unique(record, return_inverse=True)[1]
    draws = _Draws.of(int(codes.max()) + 1)
    apart = np.abs(draws.sums(_by_record(codes, bins, probability - within))).sum(axis=1)
    squared = np.bincount(codes, (probability - within) ** 2)
    rows = draws.sums(np.bincount(codes))
    ece, brier = (draws.intervals(_divided(values, rows))[0] for values in (apart, draws.sums(squared)))
    return Scores(ece, brier, draws.intervals(_auroc(draws, probability, within, codes))[0])


def _auroc(draws: _Draws, probability: np.ndarray, within: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Of every draw, from how many pairs of rows of two records are in the right order."""
    records = draws.times.shape[1]
    wins = np.zeros((records, records))
    above, above_codes = probability[within], codes[within]
    for record in range(records):
        below = np.sort(probability[~within & (codes == record)])
        beaten = (np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")) / 2
        wins[:, record] = np.bincount(above_codes, beaten, records)
    right, wrong = (draws.sums(np.bincount(codes[rows], minlength=records)) for rows in (within, ~within))
    # Whole and half numbers: exact in any order.
    return _divided(((draws.times @ wins) * draws.times).sum(axis=1), right * wrong)


def _divided(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(by > 0, values / by, np.nan))
