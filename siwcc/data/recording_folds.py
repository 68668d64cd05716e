"""Which whole recording is in which fold: `folds.csv` of the onsets stage.

All records of a subject are in one fold. Rhythms are spread evenly, the rarest first, as in the iterative
stratification of Sechidis et al. (2011, doi 10.1007/978-3-642-23808-6_10): a rhythm that only two subjects have is in
two folds, so that it can be learned for either. No random number is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import reference_of
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, write_csv

COLUMNS = ("dataset", "record", "group", "onsets", "fold")
SHORTEST_S = 4.0
"""Of a record that is trained on, s: a shorter one has not even one window of the baselines."""


class Subject(NamedTuple):
    """What decides about the fold of a subject.

    Attributes:
        onsets: How many all of its records have.
        labels: Its malignant rhythms.
    """

    onsets: int
    labels: frozenset[str]


def deal_out(subjects: Mapping[str, Subject], folds: int) -> dict[str, int]:
    """The fold, from 1, of each subject; none has more than their number by that of folds, rounded up.

    Labels are taken in the order of how many subjects have them, and of each label the subjects that are in no fold
    yet, those with most onsets first. A subject gets the fold with the fewest subjects of that label, of these the one
    with the fewest subjects, then with the fewest onsets, then the first. Subjects without a malignant rhythm come
    last.

    Args:
        subjects: By name.
        folds: Number of folds.
    """
    filled: list[list[str]] = [[] for _ in range(folds)]
    most = -(-len(subjects) // folds)
    count = Counter(label for subject in subjects.values() for label in subject.labels)
    fold_of: dict[str, int] = {}
    for label in [*sorted(count, key=lambda label: (count[label], label)), None]:
        waiting = [name for name in subjects if name not in fold_of and label in (None, *subjects[name].labels)]
        for name in sorted(waiting, key=lambda name: (-subjects[name].onsets, name)):
            free = [place for place in range(folds) if len(filled[place]) < most]
            fold = min(free, key=lambda place: (*_load(filled[place], subjects, label), place))
            filled[fold].append(name)
            fold_of[name] = fold + 1
    return fold_of


def _load(names: Sequence[str], subjects: Mapping[str, Subject], label: str | None) -> tuple[int, int, int]:
    """Subjects with a label, all subjects, and onsets of a fold."""
    with_label = sum(label in subjects[name].labels for name in names)
    return with_label, len(names), sum(subjects[name].onsets for name in names)


def _subjects(records: Sequence[RhythmRecord]) -> dict[str, Subject]:
    found: dict[str, Subject] = {}
    for record in records:
        before = found.get(record.group, Subject(0, frozenset()))
        labels = before.labels | (set(record.labels) & set(record.event_labels))
        found[record.group] = Subject(before.onsets + count_onsets(record), labels)
    return found


def count_onsets(record: RhythmRecord) -> int:
    """Onsets of merged episodes."""
    return len(reference_of(record).onsets("episodes"))


def write_recording_folds(by_dataset: Mapping[str, Sequence[RhythmRecord]], folds: int, path: Path) -> None:
    """Write the fold of every record.

    Args:
        by_dataset: Records of each data set; each set is dealt out on its own.
        folds: Number of folds.
        path: CSV `dataset, record, group, onsets, fold`.

    Raises:
        InputError: fewer subjects with an onset than folds, or a record that is too short to train on.
    """
    rows: list[tuple[object, ...]] = []
    for dataset, records in by_dataset.items():
        _check_durations(dataset, records)
        subjects = _subjects(records)
        if sum(subject.onsets > 0 for subject in subjects.values()) < folds:
            problem = f"{folds} folds cannot be made of the subjects of {dataset} that have an onset"
            raise InputError("config: folds", problem, "ask for fewer, or add records")
        fold_of = deal_out(subjects, folds)
        rows += [
            (dataset, record.name, record.group, count_onsets(record), fold_of[record.group]) for record in records
        ]
    write_csv(path, COLUMNS, rows)


def _check_durations(dataset: str, records: Sequence[RhythmRecord]) -> None:
    for record in records:
        if record.duration_s < SHORTEST_S:
            problem = f"lasts {record.duration_s:g} s, and records to train on need at least {SHORTEST_S:g} s"
            raise InputError(f"record {record.name} of {dataset}", problem, "take it out of the data set")


def read_recording_folds(path: Path, dataset: str | None = None) -> dict[str, int]:
    """The fold of each record, by its name; of one data set, or of all. An external data set has none.

    Raises:
        InputError: missing or damaged.
    """
    rows = read_csv(path, COLUMNS)
    wrong = next((place for place, row in enumerate(rows, start=2) if not row["fold"].isdecimal()), None)
    if wrong is not None:
        raise InputError(path, f"line {wrong} has no number of a fold", "delete it and run again")
    return {row["record"]: int(row["fold"]) for row in rows if dataset in (None, row["dataset"])}
