"""Malignant episodes of a recording, and the candidates that a method finds in it.

An interval is malignant from a change to an event label to the next change to another label. Intervals closer than
3 s are one episode. The second definition is the paper's: every change to an event label is an onset.

Times are compared as whole microseconds, so that sums and limits are exact and do not depend on the order.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from siwcc.data.datasets.interface import RhythmRecord

Definition = Literal["episodes", "labels"]

DEFINITIONS: tuple[Definition, ...] = get_args(Definition)
MERGE_GAP_S = 3.0
US_PER_H = 3_600_000_000

# Of an episode before which the recording has no other rhythm.
_AT_THE_START_S = 1.0


class Episode(NamedTuple):
    """A malignant episode, from `onset_s` up to `end_s`.

    Attributes:
        label: The first rhythm of the episode.
        has_onset: False if the recording begins with the episode.
    """

    onset_s: float
    end_s: float
    label: str
    has_onset: bool = True


class LabelOnset(NamedTuple):
    """A change to an event label: the paper's onset."""

    onset_s: float
    label: str


class Candidate(NamedTuple):
    """An episode that a method found; `score` is 0 ... 1."""

    onset_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class Reference:
    """The annotated rhythms of one record.

    Attributes:
        record: Its name.
        group: The subject; records of one subject share it.
        duration_s: Of the record.
        episodes: In the order of time.
        changes: Every change to an event label, in the order of time.
    """

    record: str
    group: str
    duration_s: float
    episodes: tuple[Episode, ...]
    changes: tuple[LabelOnset, ...]

    def onsets(self, definition: Definition) -> tuple[LabelOnset, ...]:
        """The onsets by one of the two definitions, in the order of time."""
        if definition == "labels":
            return self.changes
        return tuple(LabelOnset(episode.onset_s, episode.label) for episode in self.episodes if episode.has_onset)

    @property
    def malignant_us(self) -> int:
        """Microseconds within episodes."""
        return sum(microseconds(episode.end_s) - microseconds(episode.onset_s) for episode in self.episodes)

    @property
    def nonmalignant_us(self) -> int:
        """Microseconds outside episodes."""
        return microseconds(self.duration_s) - self.malignant_us


def is_malignant(reference: Reference, time_s: np.ndarray) -> np.ndarray:
    """Whether each time is within an episode, bool (times,)."""
    inside = np.zeros(time_s.shape, dtype=bool)
    for episode in reference.episodes:
        inside |= (time_s >= episode.onset_s) & (time_s < episode.end_s)
    return inside


def microseconds(time_s: float) -> int:
    """The nearest whole microsecond."""
    return round(float(time_s) * 1_000_000)


def reference_of(record: RhythmRecord) -> Reference:
    """The annotated rhythms of a record."""
    rhythms = (record.changes, record.labels, record.event_labels)
    return make_reference(record.name, record.group, *rhythms, record.rate_hz, record.duration_s)


def make_reference(
    record: str,
    group: str,
    changes: Sequence[int] | np.ndarray,
    labels: Sequence[str],
    event_labels: Collection[str],
    rate_hz: float,
    duration_s: float,
) -> Reference:
    """Episodes and label onsets of a record, see `true_episodes` and `true_label_onsets`."""
    rhythms = (changes, labels, event_labels, rate_hz, duration_s)
    return Reference(record, group, duration_s, tuple(true_episodes(*rhythms)), tuple(true_label_onsets(*rhythms)))


def true_episodes(
    changes: Sequence[int] | np.ndarray,
    labels: Sequence[str],
    event_labels: Collection[str],
    rate_hz: float,
    duration_s: float,
    merge_gap_s: float = MERGE_GAP_S,
) -> list[Episode]:
    """Malignant episodes in the order of time. Time before the first change is not malignant.

    Args:
        changes: (n,) samples at which a rhythm begins, ascending; those past the end are left out.
        labels: (n,) the rhythms.
        event_labels: The malignant ones.
        rate_hz: Sampling rate of `changes`.
        duration_s: Of the record; a last malignant rhythm ends there.
        merge_gap_s: Intervals closer than this are one episode, with the label of the first.

    Returns:
        An episode has no onset if it begins with the first change and within 1 s of the record's start.
    """
    episodes: list[Episode] = []
    # Of several changes at one sample the last one counts.
    rhythms = list({at.onset_s: at for at in _changes(changes, labels, rate_hz, duration_s)}.values())
    for interval in _intervals(rhythms, event_labels, duration_s):
        last = episodes[-1] if episodes else None
        if last is not None and microseconds(interval.onset_s) - microseconds(last.end_s) < microseconds(merge_gap_s):
            episodes[-1] = last._replace(end_s=interval.end_s)
        else:
            episodes.append(interval)
    return episodes


def _changes(
    changes: Sequence[int] | np.ndarray, labels: Sequence[str], rate_hz: float, duration_s: float
) -> Iterator[LabelOnset]:
    """The changes within the record, of any label."""
    for sample, label in zip(changes, labels, strict=True):
        if int(sample) / rate_hz < duration_s:
            yield LabelOnset(int(sample) / rate_hz, label)


def _intervals(rhythms: Sequence[LabelOnset], event_labels: Collection[str], duration_s: float) -> Iterator[Episode]:
    """Malignant intervals before merging."""
    begun: int | None = None
    for place, rhythm in enumerate([*rhythms, None]):
        inside = rhythm is not None and rhythm.label in event_labels
        if begun is None and inside:
            begun = place
        elif begun is not None and not inside:
            onset_s, label = rhythms[begun]
            end_s = duration_s if rhythm is None else rhythm.onset_s
            yield Episode(onset_s, end_s, label, has_onset=begun > 0 or onset_s > _AT_THE_START_S)
            begun = None


def true_label_onsets(
    changes: Sequence[int] | np.ndarray,
    labels: Sequence[str],
    event_labels: Collection[str],
    rate_hz: float,
    duration_s: float = math.inf,
) -> list[LabelOnset]:
    """Every change to an event label, in the order of time: the paper's definition.

    Args:
        changes: (n,) samples at which a rhythm begins, ascending; those past the end are left out.
        labels: (n,) the rhythms.
        event_labels: The malignant ones.
        rate_hz: Sampling rate of `changes`.
        duration_s: Of the record.
    """
    return [at for at in _changes(changes, labels, rate_hz, duration_s) if at.label in event_labels]
