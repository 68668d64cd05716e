"""One-to-one matching of candidates to onsets in one record.

A candidate can be matched to an onset if their times differ by at most the tolerance. Of all one-to-one matchings the
one with the most pairs is taken, of these one with the smallest sum of time differences. Uncrossing two pairs never
makes the sum larger, so there is one in which later onsets have later candidates: dynamic programming over both in the
order of time finds it. Where several remain, earlier candidates are taken.

A candidate without an onset is a false alarm if its onset lies outside all episodes, and a late detection inside one.
Near an episode that has no onset, because the recording begins with it, it is neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from siwcc.data.episodes import Candidate, Definition, Episode, LabelOnset, Reference, microseconds

FALSE_ALARM_TOLERANCE_S = 2.5
FALSE_ALARM, LATE, IGNORED = "false_alarm", "late", "ignored"

# More than the time differences of all pairs come to, in microseconds: the number of pairs decides first.
_PAIR = 10**15


class Judged(NamedTuple):
    """The candidates of one record from a threshold up, with the onsets that they were matched to.

    Attributes:
        candidates: In the order of time.
        onsets: In the order of time.
        candidate_of: Place in `candidates` for each onset; -1 for a missed one.
        unmatched_as: For each candidate what it is without an onset: `false_alarm`, `late` or `ignored`.
    """

    candidates: tuple[Candidate, ...]
    onsets: tuple[LabelOnset, ...]
    candidate_of: tuple[int, ...]
    unmatched_as: tuple[str, ...]

    @property
    def found(self) -> int:
        """Onsets with a candidate."""
        return sum(place >= 0 for place in self.candidate_of)

    @property
    def errors_s(self) -> list[float]:
        """Candidate minus onset of each pair, s."""
        pairs = zip(self.onsets, self.candidate_of, strict=True)
        return [self.candidates[place].onset_s - onset.onset_s for onset, place in pairs if place >= 0]

    def unmatched(self, kind: str) -> list[Candidate]:
        """The candidates without an onset that are of one kind."""
        matched = set(self.candidate_of)
        return [
            candidate
            for place, candidate in enumerate(self.candidates)
            if place not in matched and self.unmatched_as[place] == kind
        ]


class Step(NamedTuple):
    """What changes when the candidates of one score are added to those of higher scores."""

    score: float
    found: int
    false_alarms: int


def judge(
    reference: Reference,
    candidates: Iterable[Candidate],
    definition: Definition,
    tolerance_s: float,
    threshold: float = 0.0,
) -> Judged:
    """Match the candidates of a record to its onsets.

    Args:
        reference: The record.
        candidates: Found in it, in any order.
        definition: Of an onset.
        tolerance_s: Largest time difference of a pair.
        threshold: Only candidates with at least this score count.
    """
    kept = tuple(sorted(candidate for candidate in candidates if candidate.score >= threshold))
    onsets = reference.onsets(definition)
    places = match_onsets(_onset_times(onsets), _onset_times(kept), microseconds(tolerance_s))
    return Judged(kept, onsets, tuple(places), tuple(_kinds(kept, reference.episodes)))


def _onset_times(times: Iterable[LabelOnset | Candidate]) -> list[int]:
    return [microseconds(time.onset_s) for time in times]


def _kinds(candidates: Iterable[Candidate], episodes: Sequence[Episode]) -> Iterator[str]:
    begins = [microseconds(episode.onset_s) for episode in episodes]
    ends = [microseconds(episode.end_s) for episode in episodes]
    headless = [begin for begin, episode in zip(begins, episodes, strict=True) if not episode.has_onset]
    for time in _onset_times(candidates):
        before = int(np.searchsorted(begins, time, side="right")) - 1
        if any(abs(time - begin) <= microseconds(FALSE_ALARM_TOLERANCE_S) for begin in headless):
            yield IGNORED
        else:
            yield LATE if before >= 0 and time < ends[before] else FALSE_ALARM


def match_onsets(onsets_us: Sequence[int], candidates_us: Sequence[int], tolerance_us: int) -> list[int]:
    """The place of the candidate that each onset is matched to, -1 without one; see the module.

    Args:
        onsets_us: (onsets,) ascending.
        candidates_us: (candidates,) ascending.
        tolerance_us: Largest time difference of a pair.
    """
    first, last = _reach(onsets_us, candidates_us, tolerance_us)
    # Row j holds the best values of the first j candidates with the first 0, 1, ... onsets.
    rows = [[0] * (len(onsets_us) + 1)]
    for time, low, high in zip(candidates_us, first, last, strict=True):
        rows.append(_with_candidate(rows[-1], onsets_us, time, low, high))
    return _traced(rows, len(onsets_us))


def _reach(onsets_us: Sequence[int], candidates_us: Sequence[int], tolerance_us: int) -> tuple[list[int], list[int]]:
    """The onsets that each candidate can be matched to: from the first place up to, without, the second."""
    onsets, candidates = (np.array(times, dtype=np.int64) for times in (onsets_us, candidates_us))
    first = np.searchsorted(onsets, candidates - tolerance_us, side="left")
    return first.tolist(), np.searchsorted(onsets, candidates + tolerance_us, side="right").tolist()


def _with_candidate(before: list[int], onsets_us: Sequence[int], time: int, low: int, high: int) -> list[int]:
    row = before.copy()
    for onset in range(low, high):
        pair = before[onset] + _PAIR - abs(time - onsets_us[onset])
        row[onset + 1] = max(before[onset + 1], row[onset], pair)
    for onset in range(high, len(onsets_us)):
        if row[onset + 1] >= row[onset]:
            break
        row[onset + 1] = row[onset]
    return row


def _traced(rows: Sequence[Sequence[int]], onsets: int) -> list[int]:
    candidate_of = [-1] * onsets
    candidate, onset = len(rows) - 1, onsets
    while candidate and onset:
        value = rows[candidate][onset]
        if value == rows[candidate - 1][onset]:
            candidate -= 1
        elif value == rows[candidate][onset - 1]:
            onset -= 1
        else:
            candidate, onset = candidate - 1, onset - 1
            candidate_of[onset] = candidate
    return candidate_of


def sweep(
    reference: Reference, candidates: Iterable[Candidate], definition: Definition, tolerance_s: float
) -> list[Step]:
    """How found onsets and false alarms change as the threshold falls, in one record.

    Equal to `judge` at every score, but each time only the onsets are matched again that a new candidate can reach.

    Args:
        reference: The record.
        candidates: Found in it, in any order.
        definition: Of an onset.
        tolerance_s: Largest time difference of a pair; for false alarms it is always 2.5 s.

    Returns:
        A step may be 0, and a score may occur in several steps; in no order.
    """
    ordered = sorted(candidates)
    times, onsets = _onset_times(ordered), _onset_times(reference.onsets(definition))
    alarms = [kind == FALSE_ALARM for kind in _kinds(ordered, reference.episodes)]
    points = [
        _Point(time, candidate.score, alarm) for time, candidate, alarm in zip(times, ordered, alarms, strict=True)
    ]
    steps = [Step(point.score, 0, int(point.alarm)) for point in points]
    for score, found, _ in _matched_at(onsets, points, microseconds(tolerance_s)):
        steps.append(Step(score, found, 0))
    for score, _, alarm in _matched_at(onsets, points, microseconds(FALSE_ALARM_TOLERANCE_S)):
        steps.append(Step(score, 0, -alarm))
    return steps


class _Point(NamedTuple):
    time_us: int
    score: float
    alarm: bool


def _matched_at(
    onsets_us: Sequence[int], points: Sequence[_Point], tolerance_us: int
) -> Iterator[tuple[float, int, int]]:
    """How many more pairs there are from each score on, and how many more candidates outside episodes in pairs."""
    for low, high, near in _clusters(onsets_us, points, tolerance_us):
        before = (0, 0)
        for score in sorted({point.score for point in near}, reverse=True):
            kept = [point for point in near if point.score >= score]
            places = match_onsets(onsets_us[low:high], [point.time_us for point in kept], tolerance_us)
            matched = [kept[place] for place in places if place >= 0]
            now = (len(matched), sum(point.alarm for point in matched))
            yield score, now[0] - before[0], now[1] - before[1]
            before = now


def _clusters(
    onsets_us: Sequence[int], points: Sequence[_Point], tolerance_us: int
) -> Iterator[tuple[int, int, list[_Point]]]:
    """Onsets, from a place up to another, and the candidates that can be matched to them and to no other."""
    first, last = _reach(onsets_us, [point.time_us for point in points], tolerance_us)
    near = [reach for reach in zip(first, last, points, strict=True) if reach[0] < reach[1]]
    cluster = bound = 0
    numbers = []
    for low, high, _ in near:
        cluster += low >= bound
        bound = high
        numbers.append(cluster)
    for _, members in groupby(zip(numbers, near, strict=True), key=lambda member: member[0]):
        reaches = [reach for _, reach in members]
        yield reaches[0][0], reaches[-1][1], [point for _, _, point in reaches]
