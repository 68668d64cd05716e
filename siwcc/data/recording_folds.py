"""Which whole recording is in which fold: `folds.csv` of the onsets stage.

All records of a subject are in one fold. The subjects of a data set are sorted by their number of onsets and dealt out
forwards and backwards, 1 2 3 4 5 5 4 3 2 1 ..., so that every fold has about as many subjects and onsets. No random
number is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import reference_of
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, write_csv

COLUMNS = ("dataset", "record", "group", "onsets", "fold")


def deal_out(onsets: Mapping[str, int], folds: int) -> dict[str, int]:
    """The fold, from 1, of each subject.

    Args:
        onsets: How many each has.
        folds: Number of folds.
    """
    order = sorted(onsets, key=lambda name: (-onsets[name], name))
    turns = [divmod(place, folds) for place in range(len(order))]
    return {
        name: 1 + (place if turn % 2 == 0 else folds - 1 - place)
        for name, (turn, place) in zip(order, turns, strict=True)
    }


def write_recording_folds(by_dataset: Mapping[str, Sequence[RhythmRecord]], folds: int, path: Path) -> None:
    """Write the fold of every record.

    Args:
        by_dataset: Records of each data set; each set is dealt out on its own.
        folds: Number of folds.
        path: CSV `dataset, record, group, onsets, fold`.

    Raises:
        InputError: fewer subjects with an onset than folds.
    """
    rows = []
    for dataset, records in by_dataset.items():
        counts = [len(reference_of(record).onsets("episodes")) for record in records]
        onsets: Counter[str] = Counter()
        for record, count in zip(records, counts, strict=True):
            onsets[record.group] += count
        if sum(count > 0 for count in onsets.values()) < folds:
            problem = f"{folds} folds cannot be made of the subjects of {dataset} that have an onset"
            raise InputError("config: folds", problem, "ask for fewer, or add records")
        fold_of = deal_out(onsets, folds)
        rows += [
            (dataset, record.name, record.group, count, fold_of[record.group])
            for record, count in zip(records, counts, strict=True)
        ]
    write_csv(path, COLUMNS, rows)


def read_recording_folds(path: Path, dataset: str | None = None) -> dict[str, int]:
    """The fold of each record, by its name; of one data set, or of all. An external data set has none.

    Raises:
        InputError: missing or damaged.
    """
    rows = read_csv(path, COLUMNS)
    return {row["record"]: int(row["fold"]) for row in rows if dataset in (None, row["dataset"])}
