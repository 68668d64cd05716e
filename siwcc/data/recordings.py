"""Whole recordings with their rhythms: `data/recordings/<dataset>.h5`.

Samples are windows around events. Who looks for onsets in all of a recording needs the rest, too:

    row of the file    one second of one record, all leads; after the record's end NaN
    `begins`           for each sample 0, or the number of the rhythm that begins there (attribute `rhythms`, from 1)
    `beats`            for each sample 0, or 1 where a beat is annotated, 2 where a ventricular one
    `length`           samples of the second that are within the record
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from siwcc.config import RecordsDataset
from siwcc.data.datasets.interface import Beats, RhythmRecord, reader_for
from siwcc.data.datasets.manifest import check_manifest, raw_folder
from siwcc.data.episodes import reference_of
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SEPARATOR
from siwcc.io.shards import Shard, read_shard, shard_writer

KIND = "recordings"

_REMAKE = "delete it and run again"
_OTHER, _VENTRICULAR = 1, 2

logger = logging.getLogger(__name__)


class RecordsReader(Protocol):
    """What the module of a format offers whose records are annotated from end to end."""

    def iter_recordings(self, section: Any, folder: Path) -> Iterable[RhythmRecord]:
        """Records sorted by name, one in memory at a time."""
        ...


def extract_recordings(
    name: str, section: RecordsDataset, raw_root: Path, manifest_path: Path, recordings_path: Path
) -> None:
    """Read the records of a data set and write its recordings file.

    Args:
        name: The data set's name in the config.
        section: Its entry there.
        raw_root: Folder of all downloads.
        manifest_path: The raw stage's list of files.
        recordings_path: The HDF5 file to write.

    Raises:
        InputError: damaged raw files.
    """
    folder = raw_folder(name, section, raw_root)
    check_manifest(name, section, folder, manifest_path)
    reader = cast(RecordsReader, reader_for(section.format))
    attributes = {"dataset": name, "format": section.format, "protocol": section.protocol()}
    write_recordings(recordings_path, reader.iter_recordings(section, folder), attributes)


def write_recordings(path: Path, records: Iterable[RhythmRecord], attributes: Mapping[str, Any]) -> None:
    """Stream records into a recordings file.

    Args:
        path: The file to write.
        records: In the order of their names, of one rate, which is a whole number, and of one number of leads.
        attributes: Further attributes of the file, `dataset` among them.

    Raises:
        InputError: no record, or none with time outside malignant episodes.
    """
    known: dict[str, int] = {}
    previous = ""
    nonmalignant_us = 0
    with shard_writer(path, KIND, attributes) as writer:
        for record in records:
            if record.name <= previous:
                raise ValueError(f"records are not in order: {record.name} after {previous}")
            previous = record.name
            writer.extend(_rows_of(record, known))
            nonmalignant_us += reference_of(record).nonmalignant_us
            writer.annotate("rate_hz", record.rate_hz)
            writer.annotate("event_labels", json.dumps(record.event_labels))
        if not previous:
            raise InputError(f"datasets.{attributes['dataset']}", "holds no record")
        if not nonmalignant_us:
            problem = "has no time without a malignant rhythm, so that false alarms per hour are not defined"
            remedy = "add a record with other rhythms, or take the data set out of the section onsets"
            raise InputError(f"datasets.{attributes['dataset']}", problem, remedy)
        writer.annotate("rhythms", json.dumps(list(known)))
    logger.info("%s: %d rows of one second", path, writer.rows)


def read_recordings(paths: Sequence[Path]) -> dict[str, list[RhythmRecord]]:
    """The records of recordings files by data set, sorted by name.

    Args:
        paths: One file for each data set. A record or subject of two sets is named `<dataset>.<name>`, and so is all of
            a subject with such a record.

    Raises:
        InputError: a file that is missing, damaged, foreign or of another version.
    """
    by_set = dict(map(_read, paths))
    of_sets = [{name for record in records for name in (record.name, record.group)} for records in by_set.values()]
    twice = {name for name, count in Counter(name for names in of_sets for name in names).items() if count > 1}
    return {dataset: _renamed(records, dataset, twice) for dataset, records in by_set.items()}


def read_named(dataset: str, path: Path, of_folds: Sequence[Path]) -> list[RhythmRecord]:
    """The records of one data set, named as among all that have folds.

    Args:
        dataset: Its name.
        path: Its recordings file.
        of_folds: Files of the data sets whose records have a fold; `path` may be among them.
    """
    return read_recordings(of_folds if path in of_folds else [path])[dataset]


def read_all(of_folds: Sequence[Path], external: Sequence[Path]) -> Iterator[tuple[str, list[RhythmRecord]]]:
    """Each data set's name and records, named as by `read_named`; each file is read once.

    Args:
        of_folds: Files of the data sets whose records have a fold.
        external: Files of the others.
    """
    yield from read_recordings(of_folds).items()
    for path in external:
        yield from read_recordings([path]).items()


def _read(path: Path) -> tuple[str, list[RhythmRecord]]:
    """The data set's name and its records."""
    shard = read_shard(path, KIND, ("record", "group", "length", "begins", "beats", "signal"))
    if shard.attributes.get("dataset") != path.stem:
        problem = f"has the data set {shard.attributes.get('dataset')!r}, which is not its name"
        raise InputError(path, problem, "give it its own name again, or delete it and run again")
    try:
        rhythms = ("", *json.loads(shard.attributes["rhythms"]))
        settings = {
            "rate_hz": float(shard.attributes["rate_hz"]),
            "event_labels": tuple(json.loads(shard.attributes["event_labels"])),
        }
        names = shard.arrays["record"]
        starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]]).tolist()
        records = [
            _record(shard, slice(start, stop), rhythms, settings)
            for start, stop in zip(starts, [*starts[1:], len(names)], strict=True)
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(path, f"does not describe its records ({error!r})", _REMAKE) from error
    return str(shard.attributes["dataset"]), records


def _record(shard: Shard, rows: slice, rhythms: Sequence[str], settings: Mapping[str, Any]) -> RhythmRecord:
    seconds, begins, beats = (shard.arrays[name][rows] for name in ("signal", "begins", "beats"))
    begins, beats = begins.ravel(), beats.ravel()
    samples = int(shard.arrays["length"][rows].sum())
    changes, beat = np.flatnonzero(begins), np.flatnonzero(beats)
    return RhythmRecord(
        name=shard.arrays["record"][rows.start],
        group=shard.arrays["group"][rows.start],
        signal_mv=np.ascontiguousarray(seconds.transpose(1, 0, 2).reshape(seconds.shape[1], -1)[:, :samples]),
        changes=changes,
        labels=tuple(rhythms[number] for number in begins[changes]),
        beats=Beats(beat, beats[beat] == _VENTRICULAR) if len(beat) else None,
        **settings,
    )


def _rows_of(record: RhythmRecord, known: dict[str, int]) -> dict[str, np.ndarray]:
    """One row per second; `known` gets a number for each rhythm, from 1 in the order of appearance.

    Of two changes at one sample the last counts: the first rhythm has no length.
    """
    leads, samples = record.signal_mv.shape
    per_second = round(record.rate_hz)
    count = -(-samples // per_second)
    signal = np.full((leads, count * per_second), np.nan, dtype=np.float32)
    signal[:, :samples] = record.signal_mv
    begins = np.zeros(count * per_second, dtype=np.uint16)
    for sample, label in zip(record.changes.tolist(), record.labels, strict=True):
        begins[sample] = known.setdefault(label, len(known) + 1)
    beats = np.zeros(count * per_second, dtype=np.uint8)
    if record.beats is not None:
        beats[record.beats.sample] = np.where(record.beats.ventricular, _VENTRICULAR, _OTHER)
    length = np.full(count, per_second, dtype=np.int64)
    length[-1] = samples - (count - 1) * per_second
    return {
        "signal": signal.reshape(leads, count, per_second).transpose(1, 0, 2),
        "begins": begins.reshape(count, per_second),
        "beats": beats.reshape(count, per_second),
        "length": length,
        "record": np.array([record.name] * count, dtype=object),
        "group": np.array([record.group] * count, dtype=object),
    }


def _renamed(records: Sequence[RhythmRecord], dataset: str, twice: Collection[str]) -> list[RhythmRecord]:
    """The records, with the data set's name in front of all names of a subject that has one of `twice`."""
    subjects = {record.group for record in records if record.name in twice or record.group in twice}
    front = f"{dataset}{SEPARATOR}"
    return [
        replace(record, name=front + record.name, group=front + record.group) if record.group in subjects else record
        for record in records
    ]
