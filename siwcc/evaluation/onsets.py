"""How well a method finds the onsets of malignant episodes in whole recordings, at one threshold.

Sensitivity, positive predictive value and false alarms per hour, per data set, record and rhythm label, and the
measures of whole episodes and of their duration by ANSI/AAMI EC57. All thresholds are in
`siwcc.evaluation.onset_froc`.

False alarms are candidates outside all episodes that are matched to no onset within 2.5 s, at every tolerance, per hour
outside episodes. Intervals are percentiles of the bootstrap over subjects: all records of a drawn subject are repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siwcc.data.episodes import DEFINITIONS, US_PER_H, Candidate, Definition, Reference, microseconds
from siwcc.evaluation.bootstrap import Interval, interval_columns, interval_of, times_drawn
from siwcc.evaluation.onset_matching import FALSE_ALARM, FALSE_ALARM_TOLERANCE_S, IGNORED, LATE, Judged, judge
from siwcc.evaluation.onset_tables import EpisodeLine, LabelLine, OnsetLine, RecordLine

TOLERANCES_S = (1.0, FALSE_ALARM_TOLERANCE_S, 5.0)
ALL, WITHOUT_EPISODES = "all", "without_episodes"


@dataclass(frozen=True)
class Detections:
    """What one method found in the records of one data set.

    Attributes:
        method, dataset: Names.
        references: The annotated records.
        candidates: By record; one without candidates may be absent.
        subset: Name of the records, see `without_episodes`.
    """

    method: str
    dataset: str
    references: tuple[Reference, ...]
    candidates: Mapping[str, Sequence[Candidate]]
    subset: str = ALL

    def of(self, reference: Reference) -> Sequence[Candidate]:
        """The candidates in a record."""
        return self.candidates.get(reference.record, ())

    def judged(self, definition: Definition, tolerance_s: float, threshold: float) -> list[Judged]:
        """The candidates of each record, matched to its onsets."""
        return [judge(each, self.of(each), definition, tolerance_s, threshold) for each in self.references]

    def without_episodes(self) -> Detections:
        """The records without malignant episodes alone."""
        references = tuple(each for each in self.references if not each.episodes)
        return Detections(self.method, self.dataset, references, self.candidates, WITHOUT_EPISODES)

    @cached_property
    def subjects(self) -> Subjects:
        """How the records belong to subjects."""
        return Subjects([each.group for each in self.references])


class Subjects:
    """Sums over the records of each subject, and over the drawn subjects."""

    def __init__(self, groups: Sequence[str]) -> None:
        self.names, self._of_record = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
        self.times = times_drawn(len(self.names)) if len(self.names) else np.empty((0, 0), dtype=np.int64)

    def sums(self, of_record: Iterable[int]) -> np.ndarray:
        """Exact sums of whole numbers, int64 (subjects,).

        Args:
            of_record: (records,).
        """
        sums = np.zeros(len(self.names), dtype=np.int64)
        np.add.at(sums, self._of_record, np.array(list(of_record), dtype=np.int64))
        return sums

    def ratio(self, numerator: Iterable[int], denominator: Iterable[int], scale: int = 1) -> Interval:
        """`scale` times the sum of one number over that of another, of all records, with its interval; NaN for 0 / 0.

        Args:
            numerator: (records,).
            denominator: (records,).
            scale: Of the ratio, 3.6e9 for events per hour where the denominator is in microseconds.
        """
        above, below = self.sums(numerator) * scale, self.sums(denominator)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = (self.times @ above) / (self.times @ below)
        return interval_of(fraction(int(above.sum()), int(below.sum())), drawn)


def measure_onsets(
    detections: Detections,
    threshold: float,
    definitions: Sequence[Definition] = DEFINITIONS,
    tolerances_s: Sequence[float] = TOLERANCES_S,
) -> list[OnsetLine]:
    """Sensitivity, predictive value and false alarms at one threshold, by definition and tolerance."""
    return [
        _onset_line(detections, definition, tolerance_s, threshold)
        for definition in definitions
        for tolerance_s in tolerances_s
    ]


def _onset_line(detections: Detections, definition: Definition, tolerance_s: float, threshold: float) -> OnsetLine:
    judged = detections.judged(definition, tolerance_s, threshold)
    alarmed = detections.judged(definition, FALSE_ALARM_TOLERANCE_S, threshold)
    subjects, references = detections.subjects, detections.references
    onsets, found = [len(each.onsets) for each in judged], [each.found for each in judged]
    candidates = [_counted(each) for each in judged]
    alarms = [len(each.unmatched(FALSE_ALARM)) for each in alarmed]
    quiet_us = [each.nonmalignant_us for each in references]
    sensitivity, ppv = subjects.ratio(found, onsets), subjects.ratio(found, candidates)
    per_h = subjects.ratio(alarms, quiet_us, US_PER_H)
    error_median_s, error_p90_s = _error_percentiles([error for each in judged for error in each.errors_s])
    return OnsetLine(
        method=detections.method,
        dataset=detections.dataset,
        subset=detections.subset,
        definition=definition,
        tolerance_s=tolerance_s,
        threshold=threshold,
        records=len(references),
        subjects=len(subjects.names),
        hours=_hours(_durations_us(references)),
        nonmalignant_hours=_hours(quiet_us),
        onsets=sum(onsets),
        found=sum(found),
        **interval_columns({"sensitivity": sensitivity, "ppv": ppv, "false_alarms_per_h": per_h}),
        candidates=sum(candidates),
        false_alarms=sum(alarms),
        late=sum(len(each.unmatched(LATE)) for each in alarmed),
        error_median_s=error_median_s,
        error_p90_s=error_p90_s,
    )


def _counted(judged: Judged) -> int:
    return len(judged.candidates) - len(judged.unmatched(IGNORED))


def _durations_us(references: Iterable[Reference]) -> list[int]:
    return [microseconds(each.duration_s) for each in references]


def _hours(times_us: Iterable[int]) -> float:
    return sum(times_us) / US_PER_H


def _error_percentiles(errors_s: Sequence[float]) -> tuple[float, float]:
    if not errors_s:
        return math.nan, math.nan
    median, p90 = np.percentile(np.abs(errors_s), [50, 90]).tolist()
    return median, p90


def measure_by_record(
    detections: Detections, threshold: float, definition: Definition = "episodes", tolerance_s: float = 2.5
) -> list[RecordLine]:
    """The same of each record, in the order of the references."""
    judged = detections.judged(definition, tolerance_s, threshold)
    alarmed = detections.judged(definition, FALSE_ALARM_TOLERANCE_S, threshold)
    return [
        RecordLine(
            method=detections.method,
            dataset=detections.dataset,
            definition=definition,
            tolerance_s=tolerance_s,
            threshold=threshold,
            record=reference.record,
            subject=reference.group,
            hours=_hours(_durations_us([reference])),
            nonmalignant_hours=_hours([reference.nonmalignant_us]),
            onsets=len(each.onsets),
            found=each.found,
            sensitivity=fraction(each.found, len(each.onsets)),
            candidates=_counted(each),
            ppv=fraction(each.found, _counted(each)),
            false_alarms=len(of_alarms.unmatched(FALSE_ALARM)),
            late=len(of_alarms.unmatched(LATE)),
            false_alarms_per_h=fraction(len(of_alarms.unmatched(FALSE_ALARM)) * US_PER_H, reference.nonmalignant_us),
        )
        for reference, each, of_alarms in zip(detections.references, judged, alarmed, strict=True)
    ]


def fraction(above: int, below: int) -> float:
    """One number of another; NaN of none."""
    return above / below if below else math.nan


def measure_by_label(
    detections: Detections, threshold: float, definition: Definition = "episodes", tolerance_s: float = 2.5
) -> list[LabelLine]:
    """Sensitivity for the onsets of each rhythm label, by label."""
    judged = detections.judged(definition, tolerance_s, threshold)
    lines = []
    for label in sorted({onset.label for each in judged for onset in each.onsets}):
        found = [_found_of_label(each, label) for each in judged]
        onsets = [sum(onset.label == label for onset in each.onsets) for each in judged]
        sensitivity = detections.subjects.ratio(found, onsets)
        lines.append(
            LabelLine(
                method=detections.method,
                dataset=detections.dataset,
                definition=definition,
                tolerance_s=tolerance_s,
                threshold=threshold,
                label=label,
                records=sum(map(bool, onsets)),
                onsets=sum(onsets),
                found=sum(found),
                **interval_columns({"sensitivity": sensitivity}),
            )
        )
    return lines


def _found_of_label(judged: Judged, label: str) -> int:
    pairs = zip(judged.onsets, judged.candidate_of, strict=True)
    return sum(onset.label == label and place >= 0 for onset, place in pairs)


def measure_episodes(detections: Detections, threshold: float) -> EpisodeLine:
    """Overlap of candidates and episodes at one threshold, by number and by duration."""
    counts = [_overlap(each, detections.of(each), threshold) for each in detections.references]
    episodes, detected, candidates, true, malignant_us, candidate_us, common_us = (
        np.array(counts, dtype=np.int64).reshape(-1, 7).T.tolist()
    )
    ratio = detections.subjects.ratio
    ratios = {
        "sensitivity": ratio(detected, episodes),
        "ppv": ratio(true, candidates),
        "duration_sensitivity": ratio(common_us, malignant_us),
        "duration_ppv": ratio(common_us, candidate_us),
    }
    return EpisodeLine(
        method=detections.method,
        dataset=detections.dataset,
        threshold=threshold,
        episodes=sum(episodes),
        detected=sum(detected),
        **interval_columns(ratios),
        candidates=sum(candidates),
        true_candidates=sum(true),
        malignant_hours=_hours(malignant_us),
        candidate_hours=_hours(candidate_us),
        common_hours=_hours(common_us),
    )


_Span = tuple[int, int]


def _overlap(reference: Reference, candidates: Iterable[Candidate], threshold: float) -> tuple[int, ...]:
    """Episodes, detected ones, candidates, true ones, microseconds of each and of both together."""
    episodes = [(microseconds(each.onset_s), microseconds(each.end_s)) for each in reference.episodes]
    # A candidate without a duration counts as its onset.
    found = sorted(
        (microseconds(each.onset_s), max(microseconds(each.end_s), microseconds(each.onset_s) + 1))
        for each in candidates
        if each.score >= threshold
    )
    united = _union(found)
    common_us = sum(_common(episode, span) for episode in episodes for span in united)
    detected = sum(any(_common(episode, span) for span in united) for episode in episodes)
    true = sum(any(_common(episode, span) for episode in episodes) for span in found)
    candidate_us = sum(end - begin for begin, end in united)
    return len(episodes), detected, len(found), true, reference.malignant_us, candidate_us, common_us


def _common(one: _Span, other: _Span) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def _union(spans: Iterable[_Span]) -> list[_Span]:
    """Spans in the order of time that do not overlap."""
    united: list[_Span] = []
    for begin, end in spans:
        if united and begin <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((begin, end))
    return united
