"""The CSV files of onsets in whole recordings: what a method found, and the measures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siwcc.data.episodes import Candidate, Reference
from siwcc.io.errors import InputError
from siwcc.io.tables import columns_of, read_lines, write_lines

_REMEDY = "delete it and run again"


@dataclass(frozen=True)
class OnsetLine:
    """One line of `onsets.csv`; the attributes are its columns, in this order.

    Attributes:
        method, dataset: What was measured.
        subset: `all` records, or those `without_episodes`.
        definition: Of an onset: `episodes`, or `labels` for the paper's.
        tolerance_s: Largest time difference of a matched candidate.
        threshold: Least score of a candidate that counts; of several folds the mean, infinite if one has none.
        records, subjects, hours, nonmalignant_hours: What was looked at.
        onsets, found: Annotated onsets, and those with a candidate.
        sensitivity: Found, of the onsets, 0 ... 1.
        candidates: That count; without those near an episode with which a recording begins.
        ppv: Candidates matched to an onset, of all, 0 ... 1.
        false_alarms, late: Candidates without an onset within 2.5 s, outside and inside episodes.
        false_alarms_per_h: Per hour outside episodes.
        error_median_s, error_p90_s: Of the absolute time differences of matched candidates.
        ..._low, ..._high: The 95 % interval over subjects.
    """

    method: str
    dataset: str
    subset: str
    definition: str
    tolerance_s: float
    threshold: float
    records: int
    subjects: int
    hours: float
    nonmalignant_hours: float
    onsets: int
    found: int
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    candidates: int
    ppv: float
    ppv_low: float
    ppv_high: float
    false_alarms: int
    late: int
    false_alarms_per_h: float
    false_alarms_per_h_low: float
    false_alarms_per_h_high: float
    error_median_s: float
    error_p90_s: float


@dataclass(frozen=True)
class RecordLine:
    """One line of `onsets_by_record.csv`; the columns are as in `onsets.csv`, the threshold is the record's own."""

    method: str
    dataset: str
    definition: str
    tolerance_s: float
    threshold: float
    record: str
    subject: str
    hours: float
    nonmalignant_hours: float
    onsets: int
    found: int
    sensitivity: float
    candidates: int
    ppv: float
    false_alarms: int
    late: int
    false_alarms_per_h: float


@dataclass(frozen=True)
class LabelLine:
    """One line of `onsets_by_label.csv`: the onsets of one rhythm label; the columns are as in `onsets.csv`."""

    method: str
    dataset: str
    definition: str
    tolerance_s: float
    threshold: float
    label: str
    records: int
    onsets: int
    found: int
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float


@dataclass(frozen=True)
class EpisodeLine:
    """One line of `onset_episodes.csv`: whole episodes and their duration, by ANSI/AAMI EC57.

    Attributes:
        method, dataset, threshold: As in `onsets.csv`.
        episodes, detected: Annotated episodes, and those that a candidate overlaps.
        sensitivity: Detected, of the episodes.
        candidates, true_candidates: Candidates, and those that overlap an episode.
        ppv: True ones, of the candidates.
        malignant_hours, candidate_hours, common_hours: Within episodes, within candidates, within both.
        duration_sensitivity, duration_ppv: Common hours, of the malignant ones and of the candidates'.
        ..._low, ..._high: The 95 % interval over subjects.
    """

    method: str
    dataset: str
    threshold: float
    episodes: int
    detected: int
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    candidates: int
    true_candidates: int
    ppv: float
    ppv_low: float
    ppv_high: float
    malignant_hours: float
    candidate_hours: float
    common_hours: float
    duration_sensitivity: float
    duration_sensitivity_low: float
    duration_sensitivity_high: float
    duration_ppv: float
    duration_ppv_low: float
    duration_ppv_high: float


@dataclass(frozen=True)
class FrocPoint:
    """One line of `froc.csv`: a threshold from which another onset is found, or the highest or lowest of all."""

    method: str
    dataset: str
    definition: str
    tolerance_s: float
    threshold: float
    false_alarms_per_h: float
    sensitivity: float


@dataclass(frozen=True)
class RateLine:
    """One line of `onset_rates.csv`: the highest sensitivity with at most so many false alarms per hour.

    Attributes:
        method, dataset, definition, tolerance_s: As in `onsets.csv`.
        limit_per_h: Most false alarms per hour.
        threshold: The highest one with that sensitivity; infinite if no candidate may count.
        false_alarms_per_h: At this threshold.
        onsets, found: Annotated onsets, and those found at this threshold.
        sensitivity, sensitivity_low, sensitivity_high: With the 95 % interval over subjects; each draw has its
            threshold.
    """

    method: str
    dataset: str
    definition: str
    tolerance_s: float
    limit_per_h: float
    threshold: float
    false_alarms_per_h: float
    onsets: int
    found: int
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float


@dataclass(frozen=True)
class OnsetComparison:
    """One line of `onset_comparisons.csv`: two methods with at most so many false alarms per hour.

    Attributes:
        dataset, definition, tolerance_s, limit_per_h: As in `onset_rates.csv`.
        control, study: The methods.
        subjects: With onsets; each is one observation of the test.
        onsets, control_found, study_found: Annotated onsets, and those that each method found.
        control_per_h, study_per_h: False alarms per hour of each.
        difference: Sensitivity of the study minus that of the control, with the 95 % interval over subjects at these
            thresholds.
        subjects_better, subjects_worse: With more, and fewer, onsets found by the study.
        p_greater, p_two_sided: Sign-flip test of the differences in found onsets (`siwcc.evaluation.statistics`).
        p_error: Monte Carlo standard error of `p_greater`; 0 if all sign patterns were counted.
    """

    dataset: str
    definition: str
    tolerance_s: float
    limit_per_h: float
    control: str
    study: str
    subjects: int
    onsets: int
    control_found: int
    study_found: int
    control_per_h: float
    study_per_h: float
    difference: float
    difference_low: float
    difference_high: float
    subjects_better: int
    subjects_worse: int
    p_greater: float
    p_two_sided: float
    p_error: float


def write_onset_table(path: Path, kind: type[Any], lines: Sequence[Any]) -> None:
    """Write lines of one of the tables in one step, numbers in full precision.

    Args:
        path: The CSV to write.
        kind: The lines' class, which heads an empty table, too.
        lines: Its objects.
    """
    write_lines(path, columns_of(kind), lines)


@dataclass(frozen=True)
class CandidateLine:
    """One line of `candidates.csv`: what one method found in one data set.

    Attributes:
        record: Its name.
        onset_s, end_s: Of the candidate, from the record's start.
        score: 0 ... 1.
    """

    record: str
    onset_s: float
    end_s: float
    score: float


def write_candidates(path: Path, candidates: Mapping[str, Iterable[Candidate]]) -> None:
    """Write `candidates.csv` in one step, numbers in full precision.

    Args:
        path: The CSV to write.
        candidates: By record; a record without any has no line.
    """
    # Also of numbers of numpy, which are written otherwise.
    lines = [
        CandidateLine(record, *map(float, found))
        for record in sorted(candidates)
        for found in sorted(candidates[record])
    ]
    write_lines(path, columns_of(CandidateLine), lines)


def read_candidates(path: Path, references: Sequence[Reference]) -> dict[str, list[Candidate]]:
    """Candidates of each of the records, in the order of time.

    Args:
        path: Written by `write_candidates`.
        references: The records of the data set.

    Raises:
        InputError: a column is missing, a cell is no number, a score is not 0 ... 1, a candidate does not begin within
            its record or ends before it begins, or a record is not in the data set.
    """
    candidates: dict[str, list[Candidate]] = {reference.record: [] for reference in references}
    durations_s = {reference.record: reference.duration_s for reference in references}
    for number, line in enumerate(read_lines(path, CandidateLine), start=2):
        if line.record not in durations_s:
            raise InputError(path, f"line {number} has the record {line.record}, which is not in the data set", _REMEDY)
        if not (0 <= line.onset_s <= durations_s[line.record] and line.onset_s <= line.end_s < math.inf):
            raise InputError(path, f"line {number} has no times within its record", _REMEDY)
        if not 0 <= line.score <= 1:
            raise InputError(path, f"line {number} has the score {line.score}, which is not 0 ... 1", _REMEDY)
        candidates[line.record].append(Candidate(line.onset_s, line.end_s, line.score))
    return {record: sorted(found) for record, found in candidates.items()}


def read_thresholds(path: Path, method: str, dataset: str, records: Iterable[str]) -> dict[str, float]:
    """The least score of a method's candidates that count, by record, from `onsets_by_record.csv`.

    Args:
        path: The table.
        method: Whose candidates.
        dataset: Of the records.
        records: Names that must be there.

    Raises:
        InputError: the table is missing or damaged, or lacks a record.
    """
    lines = read_lines(path, RecordLine)
    found = {line.record: line.threshold for line in lines if (line.method, line.dataset) == (method, dataset)}
    absent = [record for record in records if record not in found]
    if absent:
        raise InputError(path, f"lacks the record {absent[0]} of {dataset}", _REMEDY)
    return found
