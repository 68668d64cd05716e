"""Found onsets against false alarms per hour at every threshold (FROC), and two methods compared at the same rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siwcc.data.episodes import US_PER_H, Definition
from siwcc.evaluation import statistics
from siwcc.evaluation.bootstrap import Interval, interval_columns, interval_of
from siwcc.evaluation.onset_matching import FALSE_ALARM_TOLERANCE_S, sweep
from siwcc.evaluation.onset_tables import FrocPoint, OnsetComparison, RateLine
from siwcc.evaluation.onsets import Detections, fraction

_LEVELS_AT_ONCE = 2000


@dataclass(frozen=True)
class Froc:
    """Found onsets and false alarms of each subject at every threshold, and what they are counted of.

    Attributes:
        detections: What was swept.
        definition, tolerance_s: Of an onset, and of a pair.
        thresholds: float64 (levels,) descending, the first infinite: no candidate.
        found, false_alarms: int64 (levels, subjects).
        onsets, nonmalignant_us: int64 (subjects,).
    """

    detections: Detections
    definition: Definition
    tolerance_s: float
    thresholds: np.ndarray
    found: np.ndarray
    false_alarms: np.ndarray
    onsets: np.ndarray
    nonmalignant_us: np.ndarray

    def points(self) -> list[FrocPoint]:
        """The curve: from the highest threshold down those that find another onset, with the first and the last."""
        names = (self.detections.method, self.detections.dataset, self.definition, self.tolerance_s)
        onsets, found = int(self.onsets.sum()), self.found.sum(axis=1).tolist()
        return [
            FrocPoint(*names, threshold, self.rate_at(level), fraction(found[level], onsets))
            for level, threshold in enumerate(self.thresholds.tolist())
            if level in (0, len(found) - 1) or found[level] != found[level - 1]
        ]

    def level_at(self, limit_per_h: float) -> int:
        """Place in `thresholds` of the highest one with the highest sensitivity within the limit."""
        allowed = _is_within(self.false_alarms.sum(axis=1), self.nonmalignant_us.sum(), limit_per_h)
        return int(np.argmax(np.where(allowed, self.found.sum(axis=1), -1)))

    def sensitivity_at(self, limit_per_h: float) -> Interval:
        """The highest sensitivity with at most so many false alarms per hour; no interpolation between thresholds."""
        value = fraction(int(self.found[self.level_at(limit_per_h)].sum()), int(self.onsets.sum()))
        times = self.detections.subjects.times.astype(np.float64)
        most = np.zeros(len(times))
        for start in range(0, len(self.thresholds), _LEVELS_AT_ONCE):
            part = slice(start, start + _LEVELS_AT_ONCE)
            # Whole numbers in float64, which multiplies faster and here as exactly.
            found, alarms = (times @ counts[part].T.astype(np.float64) for counts in (self.found, self.false_alarms))
            allowed = _is_within(alarms, (times @ self.nonmalignant_us)[:, np.newaxis], limit_per_h)
            most = np.maximum(most, np.where(allowed, found, 0).max(axis=1, initial=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return interval_of(value, most / (times @ self.onsets))

    def at(self, limit_per_h: float) -> RateLine:
        """Sensitivity, threshold and false alarms with at most so many of them per hour."""
        level, sensitivity = self.level_at(limit_per_h), self.sensitivity_at(limit_per_h)
        return RateLine(
            method=self.detections.method,
            dataset=self.detections.dataset,
            definition=self.definition,
            tolerance_s=self.tolerance_s,
            limit_per_h=limit_per_h,
            threshold=float(self.thresholds[level]),
            false_alarms_per_h=self.rate_at(level),
            onsets=int(self.onsets.sum()),
            found=int(self.found[level].sum()),
            **interval_columns({"sensitivity": sensitivity}),
        )

    def rate_at(self, level: int) -> float:
        """False alarms per hour at a level."""
        return fraction(int(self.false_alarms[level].sum()) * US_PER_H, int(self.nonmalignant_us.sum()))


def _is_within(alarms: np.ndarray, nonmalignant_us: np.ndarray, limit_per_h: float) -> np.ndarray:
    return np.asarray(alarms * float(US_PER_H) <= limit_per_h * nonmalignant_us)


def sweep_thresholds(
    detections: Detections, definition: Definition = "episodes", tolerance_s: float = FALSE_ALARM_TOLERANCE_S
) -> Froc:
    """Lower the threshold through all scores; candidates of equal scores are added together."""
    subjects = detections.subjects
    names = subjects.names.tolist()
    steps = [
        (step, names.index(reference.group))
        for reference in detections.references
        for step in sweep(reference, detections.of(reference), definition, tolerance_s)
    ]
    scores, level = np.unique([-step.score for step, _ in steps], return_inverse=True)
    subject = np.array([place for _, place in steps], dtype=np.int64)
    counts = np.zeros((2, len(scores) + 1, len(names)), dtype=np.int64)
    for which, change in enumerate(([step.found for step, _ in steps], [step.false_alarms for step, _ in steps])):
        np.add.at(counts[which], (level + 1, subject), np.array(change, dtype=np.int64))
    thresholds = np.concatenate([[np.inf], -scores])
    changed = counts.any(axis=(0, 2)) | np.isinf(thresholds)
    found, false_alarms = counts.cumsum(axis=1)[:, changed]
    return Froc(
        *(detections, definition, tolerance_s, thresholds[changed], found, false_alarms),
        onsets=subjects.sums(len(each.onsets(definition)) for each in detections.references),
        nonmalignant_us=subjects.sums(each.nonmalignant_us for each in detections.references),
    )


def compare_at(control: Froc, study: Froc, limit_per_h: float) -> OnsetComparison:
    """Does one method find more onsets than another with at most so many false alarms per hour?

    Raises:
        ValueError: the curves are of other records, definitions or tolerances.
    """
    if control.detections.references != study.detections.references or _kind(control) != _kind(study):
        raise ValueError("the two methods are measured on different records or onsets")
    levels = (control.level_at(limit_per_h), study.level_at(limit_per_h))
    found = [froc.found[level] for froc, level in zip((control, study), levels, strict=True)]
    with_onsets = study.onsets > 0
    differences = (found[1] - found[0])[with_onsets]
    flips = statistics.sign_flip_tests(differences)
    times = study.detections.subjects.times
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (times @ (found[1] - found[0])) / (times @ study.onsets)
    onsets = int(study.onsets.sum())
    difference = interval_of(fraction(int(differences.sum()), onsets), drawn)
    return OnsetComparison(
        dataset=study.detections.dataset,
        definition=study.definition,
        tolerance_s=study.tolerance_s,
        limit_per_h=limit_per_h,
        control=control.detections.method,
        study=study.detections.method,
        subjects=len(differences),
        onsets=onsets,
        control_found=int(found[0].sum()),
        study_found=int(found[1].sum()),
        control_per_h=control.rate_at(levels[0]),
        study_per_h=study.rate_at(levels[1]),
        **interval_columns({"difference": difference}),
        subjects_better=int(np.count_nonzero(differences > 0)),
        subjects_worse=int(np.count_nonzero(differences < 0)),
        p_greater=flips["greater"].p,
        p_two_sided=flips["two-sided"].p,
        p_error=flips["greater"].p_error,
    )


def _kind(froc: Froc) -> tuple[str, str, float]:
    return froc.detections.dataset, froc.definition, froc.tolerance_s
