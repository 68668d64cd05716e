"""Probabilities of onsets and of moments: Platt's maps, and how well they agree with what happened.

Two probabilities are calibrated, each over the records of all folds: that a candidate with a score is within 2.5 s of
an onset, and that the rhythm is malignant at a moment with a value of the curve. A row of a record with n of them
counts n to the power of minus 0.5, as in `siwcc.evaluation.calibration`. For each fold a map is fitted on the other
folds; for an external data set, and for use, on all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from siwcc.data.curves import Curves
from siwcc.data.episodes import DEFINITIONS, Candidate, Reference, is_malignant
from siwcc.evaluation.calibration import equal_count_bins, record_weights, score
from siwcc.evaluation.onset_matching import FALSE_ALARM_TOLERANCE_S, IGNORED, judge
from siwcc.evaluation.onset_settings import LEAST_SLOPE, MAX_COEFFICIENT, PlattMap, logit

ONSET, MOMENT = "onset", "moment"

_BINS = 10
# Of a curve; its neighbouring steps are alike.
_EVERY_S = 1.0


class Rows(NamedTuple):
    """Probabilities and what happened.

    Attributes:
        value: float64 (rows,), 0 ... 1: scores, or values of a curve.
        happened: bool (rows,).
        record: (rows,) names.
    """

    value: np.ndarray
    happened: np.ndarray
    record: np.ndarray

    def where(self, chosen: np.ndarray) -> Rows:
        """Some of the rows."""
        return Rows(*(column[chosen] for column in self))


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several data sets."""
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True)
class CalibrationLine:
    """One line of `onset_calibration.csv`.

    Attributes:
        dataset: Its name.
        of: `onset`, whether a candidate is within 2.5 s of one; or `moment`, whether the rhythm is malignant.
        rows, happened: Candidates or moments, and how many of them are true.
        ece, brier, auroc: See `siwcc.evaluation.calibration.Scores`, with the 95 % interval over records.
    """

    dataset: str
    of: str
    rows: int
    happened: int
    ece: float
    ece_low: float
    ece_high: float
    brier: float
    brier_low: float
    brier_high: float
    auroc: float
    auroc_low: float
    auroc_high: float


def onset_rows(references: Sequence[Reference], candidates: Mapping[str, Sequence[Candidate]]) -> Rows:
    """Every candidate but those near an episode with which a recording begins."""
    value, happened, record = [], [], []
    for reference in references:
        found = candidates.get(reference.record, ())
        judged = judge(reference, found, DEFINITIONS[0], FALSE_ALARM_TOLERANCE_S)
        matched = set(judged.candidate_of)
        for place, candidate in enumerate(judged.candidates):
            if place in matched or judged.unmatched_as[place] != IGNORED:
                value.append(candidate.score)
                happened.append(place in matched)
                record.append(reference.record)
    return Rows(np.array(value, dtype=np.float64), np.array(happened, dtype=bool), np.array(record, dtype=object))


def moment_rows(references: Sequence[Reference], curves: Curves) -> Rows:
    """The curve once per second, and whether it is within an episode."""
    value, happened, record = [], [], []
    for reference in references:
        curve = curves.by_record[reference.record]
        steps = np.arange(0, len(curve), max(1, round(_EVERY_S / curves.step_s)))
        value.append(curve[steps].astype(np.float64))
        happened.append(is_malignant(reference, steps * curves.step_s))
        record.append(np.full(len(steps), reference.record, dtype=object))
    return Rows(*(np.concatenate(columns) for columns in (value, happened, record)))


def fit_platt(rows: Rows) -> PlattMap:
    """The logistic curve of the logit that is nearest to what happened, by weighted maximum likelihood.

    Where all rows happened, or none did, it is next to level, by Laplace's rule of succession over the rows; where
    higher values happened less often, at the weighted fraction that happened.
    """
    # Of the extra `study`; who uses a map does without.
    from sklearn.linear_model import LogisticRegression

    if len(set(rows.happened.tolist())) < 2:
        return _next_to_level((int(rows.happened.sum()) + 1) / (len(rows.happened) + 2))
    weight = record_weights(rows.record)
    # Next to no penalty: two coefficients of many rows need none.
    model = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000)
    model.fit(logit(rows.value)[:, np.newaxis], rows.happened, weight)
    a, b = float(model.coef_[0, 0]), float(model.intercept_[0])
    if a < LEAST_SLOPE:
        return _next_to_level(float(np.average(rows.happened, weights=weight)))
    # Of scores that are told apart without an error it may be of any steepness: then p = 0.5 stays where it is.
    within = min(1.0, MAX_COEFFICIENT / max(abs(a), abs(b), 1.0))
    return PlattMap(a=max(round(a * within, 6), LEAST_SLOPE), b=round(b * within, 6))


def _next_to_level(probability: float) -> PlattMap:
    """About one probability for all scores, in their order."""
    return PlattMap(a=LEAST_SLOPE, b=round(float(logit(probability)), 6))


def measure_calibration(dataset: str, of: str, rows: Rows, probability: np.ndarray) -> CalibrationLine:
    """How well probabilities agree with what happened."""
    bins = equal_count_bins(probability, _BINS)
    found = score(probability, rows.happened, rows.record, bins)
    return CalibrationLine(
        dataset, of, len(rows.value), int(rows.happened.sum()), *found.ece, *found.brier, *found.auroc
    )


def held_out(rows: Rows, fold_of: Mapping[str, int], fitted_on: Rows) -> np.ndarray:
    """The probability of each row by a map that was fitted without its fold.

    Args:
        rows: Of one data set.
        fold_of: By record; empty for an external data set, whose rows get the map of all folds.
        fitted_on: Rows of all folds.
    """
    if not fold_of:
        return fit_platt(fitted_on).of(rows.value)
    folds, theirs = (np.array([fold_of[name] for name in of.record.tolist()]) for of in (rows, fitted_on))
    probability = np.zeros(len(rows.value))
    for fold in np.unique(folds):
        probability[folds == fold] = fit_platt(fitted_on.where(theirs != fold)).of(rows.value[folds == fold])
    return probability
