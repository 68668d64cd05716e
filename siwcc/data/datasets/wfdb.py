"""WFDB records with rhythm annotations, such as the MIT-BIH databases of PhysioNet.

A window of 20 s around each onset of a rhythm whose label is an event label; the target is the onset's time in it
(paper, section 2.1). How windows lie: `siwcc.data.datasets.signals`.

The end of an event is the next change to a rhythm whose label is no event label, whatever it is: sinus rhythm, pacing,
and also `NOISE`. A change from one event label to another ends neither: in `VT VF N` both end at `N`.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np

from siwcc.config import RecordsDataset
from siwcc.data.datasets.download import fetch_files, read_checksums
from siwcc.data.datasets.interface import Beats, Excluded, RhythmRecord, Sample
from siwcc.data.datasets.signals import Event, Recording, cut_windows, nearest_sample, note_resampling, place_windows
from siwcc.data.datasets.wfdb_annotations import read_annotations
from siwcc.data.datasets.wfdb_files import Needs, WfdbRecord, note_unchecked, read_header
from siwcc.io.errors import InputError
from siwcc.io.lead_numbers import lead_indices

CHECKSUMS = Path(__file__).resolve().parents[3] / "resources" / "checksums"

_MAX_FILE_BYTES = 16 << 20
_REPAIR = "fetch the file again, or take its three files (.hea, .dat, .atr) out of the folder"

_What = TypeVar("_What")

_logger = logging.getLogger(__name__)


def raw_files(section: RecordsDataset, folder: Path) -> list[Path]:
    """Headers, signals and annotations of all records in a folder; other files are ignored.

    Args:
        section: Which leads are used.
        folder: Folder with the .hea files and, beside each, its .dat and .atr.

    Returns:
        Paths below `folder`, sorted.

    Raises:
        InputError: no record, a missing signal or annotation file, a damaged header, a header that
            promises other signals than there are.
    """
    files: set[Path] = set()
    for record in _records(section, folder):
        files |= {folder / file for file in (f"{record.name}.atr", *record.file_names)}
    return sorted(files)


def download(section: RecordsDataset, folder: Path) -> None:
    """Fetch the published files and compare them with the repository's checksums.

    Args:
        section: Its `url` is what the file names are relative to, its `checksums` lists them.
        folder: Where the files go, named like the data set.

    Raises:
        InputError: no URL, no list of checksums, or a failed download with the way around it.
    """
    key = f"datasets.{folder.name}"
    if section.url is None:
        raise InputError(f"config: {key}.url", "is empty", f"give an address, or a local copy as {key}.path")
    remedy = f"give a folder that holds a copy of the set as {key}.path"
    listed = _checksums_path(section)
    if listed is None:
        raise InputError(f"config: {key}.checksums", "is empty", f"name a list in {CHECKSUMS}, or {remedy}")
    fetch_files(section.url, read_checksums(listed), folder, remedy, max_bytes=_MAX_FILE_BYTES)


def published_sums(section: RecordsDataset) -> dict[str, str]:
    """SHA-256 of the published files; empty where there is no list or the repository's resources are absent."""
    listed = _checksums_path(section)
    return read_checksums(listed) if listed is not None and listed.is_file() else {}


def _checksums_path(section: RecordsDataset) -> Path | None:
    return None if section.checksums is None else CHECKSUMS / f"{section.checksums}.sha256"


def iter_samples(section: RecordsDataset, folder: Path) -> Iterator[Sample | Excluded]:
    """Cut the window of every event, with one record in memory at a time.

    A sample's id is `<record>_<event sample, seven digits>`, its group the subject, or the record of a subject that
    has no other (`subjects` of the section); its further columns are those of
    `siwcc.data.datasets.signals.cut_windows`.

    An event counts for the next one's window and `previous_event` even if its own window has
    invalid samples: its rhythm change is in the recording, and another window would show it. Further
    events at one sample change neither.

    Excluded are events past the record's end, windows with invalid samples, and all but the first
    of several events at one sample (id with a suffix `_2`, `_3`, ...; the first in the file counts).

    Args:
        section: Labels that count as events, leads, subjects, window and rate.
        folder: As for `raw_files`.

    Yields:
        Samples and exclusions, sorted by id.

    Raises:
        InputError: a damaged or incomplete record.
    """
    records = _records(section, folder)
    _note_absent(section, records)
    recordings = [record.recording(section.rate_hz) for record in records]
    note_resampling(recordings, section.rate_hz)
    windows = [
        window
        for record, recording in zip(records, recordings, strict=True)
        for window in place_windows(recording, _events(record, recording, section), section)
    ]
    yield from cut_windows(windows, section)
    note_unchecked(records)


def iter_recordings(section: RecordsDataset, folder: Path) -> Iterator[RhythmRecord]:
    """Every record from end to end, with changes of rhythm and beats; those past the record's end are left out.

    Args:
        section: As for `iter_samples`.
        folder: As for `raw_files`.

    Yields:
        Records sorted by name.

    Raises:
        InputError: a damaged or incomplete record.
    """
    records = _records(section, folder)
    for record in records:
        recording = record.recording(section.rate_hz)
        annotations = read_annotations(record)
        changes = _inside(annotations.changes, record, recording)
        yield RhythmRecord(
            name=record.name,
            group=section.subjects.get(record.name, record.name),
            rate_hz=section.rate_hz,
            signal_mv=recording.read_mv().astype(np.float32),
            changes=np.array([sample for sample, _ in changes], dtype=np.int64),
            labels=tuple(label for _, label in changes),
            event_labels=section.event_labels,
            beats=_beats_of(_inside(annotations.beats, record, recording)),
        )
    note_unchecked(records)


def _records(section: RecordsDataset, folder: Path) -> list[WfdbRecord]:
    needs = Needs(lead_indices(section.leads), _REPAIR, lead_remedy=_REPAIR, companions=("atr",))
    return [read_header(folder, name, needs) for name in _record_names(folder)]


def _note_absent(section: RecordsDataset, records: Sequence[WfdbRecord]) -> None:
    """Say which of `subjects` is no record: the group of a misspelt one is split."""
    absent = sorted(set(section.subjects) - {record.name for record in records})
    if absent:
        _logger.warning("%s: has no record %s, which subjects names", records[0].folder, ", ".join(absent))


def count_events(section: RecordsDataset, folder: Path) -> int:
    """How many rhythm changes count as events, before exclusions.

    Raises:
        InputError: as for `raw_files`, or a damaged annotation file.
    """
    changes = (label for record in _records(section, folder) for _, label in read_annotations(record).changes)
    return sum(label in section.event_labels for label in changes)


def _record_names(folder: Path) -> list[str]:
    # macOS leaves `._NAME` beside every file that it copies to a foreign disk.
    names = sorted(path.stem for path in folder.glob("*.hea") if not path.name.startswith("."))
    if not names:
        raise InputError(
            folder, "holds no WFDB record (*.hea)", "name the folder that directly holds the .hea, .dat and .atr files"
        )
    return names


def _events(record: WfdbRecord, recording: Recording, section: RecordsDataset) -> list[Event]:
    """The rhythm changes that count, in the order of time."""
    group = section.subjects.get(record.name, record.name)
    changes = _at_samples(read_annotations(record).changes, record, recording)
    ends = [sample for sample, label in changes if label not in section.event_labels and sample < recording.length]
    return [
        Event(sample, label, group, defect=_past_the_end(sample, recording.length), end_sample=_first(ends, sample))
        for sample, label in changes
        if label in section.event_labels
    ]


def _beats_of(annotated: Sequence[tuple[int, bool]]) -> Beats | None:
    """Of two beats at one sample the last counts."""
    by_sample = dict(annotated)
    if not by_sample:
        return None
    return Beats(np.array(list(by_sample), dtype=np.int64), np.array(list(by_sample.values()), dtype=bool))


def _at_samples(
    annotations: Iterable[tuple[Fraction, _What]], record: WfdbRecord, recording: Recording
) -> list[tuple[int, _What]]:
    """The nearest sample of each annotation."""
    scale = recording.ratio * Fraction(record.rate_hz)
    return [(nearest_sample(time_s * scale, recording.length), what) for time_s, what in annotations]


def _inside(
    annotations: Iterable[tuple[Fraction, _What]], record: WfdbRecord, recording: Recording
) -> list[tuple[int, _What]]:
    """The same without those past the record's end."""
    return [(sample, what) for sample, what in _at_samples(annotations, record, recording) if sample < recording.length]


def _first(ends: Sequence[int], after: int) -> int:
    """The first end after a sample; -1 if none comes."""
    place = bisect_right(ends, after)
    return ends[place] if place < len(ends) else -1


def _past_the_end(sample: int, length: int) -> str:
    past = f"the annotation at sample {sample} lies past the record's end ({length} samples)"
    return past if sample >= length else ""
