"""A folder of the user: recordings, images or volumes, and a table of where in each something is.

How to make one is in docs/how-to/own-data.md. Signals go through what VFDB goes through
(`siwcc.data.datasets.signals`), images through what the image sets go through (`siwcc.data.datasets.images`); volumes
are taken as they are. Nothing is written into the folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np

from siwcc.config import FolderSection
from siwcc.data.datasets.csv_signals import CSV_SUFFIXES, read_csv_signal
from siwcc.data.datasets.edf_header import EDF_SUFFIXES
from siwcc.data.datasets.folder_table import Row, Table
from siwcc.data.datasets.image_files import read_image
from siwcc.data.datasets.images import SampleDefectError, as_colours, place_image
from siwcc.data.datasets.interface import Excluded, Sample
from siwcc.data.datasets.signals import (
    Event,
    Recording,
    cut_windows,
    nearest_sample,
    note_resampling,
    place_windows,
    resample,
    resampling_ratio,
)
from siwcc.data.datasets.volume_files import read_volume
from siwcc.data.datasets.wfdb_files import Needs, WfdbRecord, note_unchecked, read_edf, read_header
from siwcc.io.errors import InputError
from siwcc.io.lead_numbers import lead_indices

_REPAIR = "repair the recording, or take its rows out of the table"
_LEAD_REMEDY = "name leads that every recording has as datasets.<name>.leads, [1] for a single one"


def raw_files(section: FolderSection, folder: Path) -> list[Path]:
    """The table and every file that it lists, with the signal files of WFDB records, sorted.

    Raises:
        InputError: a table that is not complete, a file that does not exist, a damaged WFDB header.
    """
    table = Table(section, folder)
    files = {table.path}
    for row, *_ in table.by_file().values():
        if section.kind != "signal" or _is_csv(row):
            files.add(table.find(row, row.file))
        else:
            record = _wfdb_record(section, table, row)
            files |= {record.folder / name for name in record.file_names}
    return sorted(files)


def download(section: FolderSection, folder: Path) -> None:
    """Refuse: such a set is where its owner has put it.

    Raises:
        InputError: always.
    """
    raise InputError(f"datasets.{folder.name}.path", "is missing", "name the folder that holds the table")


def published_sums(section: FolderSection) -> dict[str, str]:
    """None."""
    return {}


def iter_samples(section: FolderSection, folder: Path) -> Iterator[Sample | Excluded]:
    """Samples sorted by id, one recording, image or volume in memory at a time.

    Without a `sample_id` in the table, an image's or volume's is its file without the extension, an event's also its
    sample at `rate_hz`, seven digits. Excluded are images and volumes that cannot be read, and points outside them;
    volumes of another shape; times outside
    their recording, windows with invalid samples, and all but the first event at one sample.

    Args:
        section: Window and rate, or the image's or the volume's size.
        folder: What holds the table.

    Yields:
        Samples and exclusions.

    Raises:
        InputError: as `raw_files`; a damaged recording; two samples of one id.
    """
    table = Table(section, folder)
    return _iter_windows(section, table) if section.kind == "signal" else _iter_images(section, table)


# ------------------------------------------------------------------- signals


def _iter_windows(section: FolderSection, table: Table) -> Iterator[Sample | Excluded]:
    _refuse_one_name(table)
    records: list[WfdbRecord] = []
    found = [(_recording(section, table, rows[0], records), rows) for rows in table.by_file().values()]
    note_resampling([recording for recording, _ in found], section.rate_hz)
    windows = [
        window for recording, rows in found for window in place_windows(recording, _events(rows, recording), section)
    ]
    twice, count = Counter(window.sample_id for window in windows).most_common(1)[0]
    if count > 1:
        raise InputError(table.path, f"gives {count} samples the id {twice!r}", "give them a sample_id each")
    yield from cut_windows(windows, section)
    note_unchecked(records)


def _refuse_one_name(table: Table) -> None:
    """`r1` and `r1.csv` would be one recording in the samples file."""
    first: dict[str, Row] = {}
    for row in table.rows:
        other = first.setdefault(_recording_name(row), row)
        if other.file != row.file:
            raise table.problem(row, f"{row.file} has the name of {other.file} in row {other.number}", "rename one")


def _is_csv(row: Row) -> bool:
    return PurePosixPath(row.file).suffix.lower() in CSV_SUFFIXES


def _is_edf(row: Row) -> bool:
    return PurePosixPath(row.file).suffix.lower() in EDF_SUFFIXES


def _recording_name(row: Row) -> str:
    return row.name if _is_csv(row) or _is_edf(row) else row.file


def _recording(section: FolderSection, table: Table, row: Row, records: list[WfdbRecord]) -> Recording:
    """The recording of a row; a WFDB record is added to `records`."""
    if not _is_csv(row):
        records.append(_wfdb_record(section, table, row))
        return records[-1].recording(section.rate_hz, _recording_name(row))
    path = table.find(row, row.file)
    # Read here for its length and again for its windows, so that one recording is in memory at a time.
    first = read_csv_signal(path, section.csv_rate_hz)
    rate_hz = first.rate_hz
    if rate_hz is None:
        remedy = "give the rate of such recordings, in Hz, as datasets.<name>.csv_rate_hz, or add a column time_s"
        raise table.problem(row, f"{row.file} gives no sampling rate", remedy)
    ratio = resampling_ratio(path, rate_hz, section.rate_hz)
    samples = first.signal_mv(lead_indices(section.leads), _LEAD_REMEDY).shape[1]

    def read_mv() -> np.ndarray:
        return resample(read_csv_signal(path, rate_hz).signal_mv(lead_indices(section.leads), _LEAD_REMEDY), ratio)

    return Recording(_recording_name(row), rate_hz, ratio, samples, read_mv)


def _wfdb_record(section: FolderSection, table: Table, row: Row) -> WfdbRecord:
    needs = Needs(lead_indices(section.leads), _REPAIR, _LEAD_REMEDY)
    if _is_edf(row):
        return read_edf(table.find(row, row.file), needs)
    header = table.find(row, f"{row.file}.hea")
    record = read_header(header.parent, header.stem, needs)
    for name in record.file_names:
        table.find(row, str(PurePosixPath(row.file).with_name(name)))
    return record


def _events(rows: list[Row], recording: Recording) -> list[Event]:
    # Of several at one sample the first in the table stays the first.
    return sorted((_event(row, recording) for row in rows), key=lambda event: event.sample)


def _event(row: Row, recording: Recording) -> Event:
    (time_s,) = row.place
    position = Fraction(time_s) * Fraction(recording.source_hz) * recording.ratio
    defect = ""
    if position < 0:
        defect = f"the time {time_s:g} s lies before the recording's start"
    elif position >= recording.length:
        length_s = recording.source_samples / recording.source_hz
        defect = f"the time {time_s:g} s lies past the recording's end ({length_s:g} s)"
    return Event(nearest_sample(position, recording.length), row.label, row.group, row.sample_id, defect)


# -------------------------------------------------------- images and volumes


def _iter_images(section: FolderSection, table: Table) -> Iterator[Sample | Excluded]:
    table.refuse_twice([row.file for row in table.rows], "the file", f"a network predicts one point per {section.kind}")
    ids = [row.sample_id or row.name for row in table.rows]
    table.refuse_twice(ids, "the id", "give each a sample_id")
    read = _read_image if section.kind == "image" else _read_volume
    for sample_id, row in sorted(zip(ids, table.rows, strict=True), key=lambda item: item[0]):
        try:
            yield read(sample_id, row, table.find(row, row.file), section)
        except SampleDefectError as defect:
            yield Excluded(sample_id, str(defect))


def _read_volume(sample_id: str, row: Row, path: Path, section: FolderSection) -> Sample:
    """As of an image; the last voxel's centre is the end of an axis, so that no copy's point leaves the volume."""
    volume = read_volume(path, section.volume_shape)
    points, last = np.array(row.place).reshape(-1, 3), np.array(section.volume_shape[::-1]) - 1
    inside = np.all((points >= 0) & (points <= last), axis=1)
    if not inside.any():
        place, most = (", ".join(f"{value:g}" for value in values) for values in (points[0], last))
        raise SampleDefectError(f"the point ({place}) lies outside the volume, which ends at ({most})")
    first, *others = np.where(inside[:, np.newaxis], points, np.nan)
    further = dict(zip(section.points[1:], others, strict=True))
    return Sample(sample_id, row.group, row.label, volume[np.newaxis], first, further)


def _read_image(sample_id: str, row: Row, path: Path, section: FolderSection) -> Sample:
    """Of several points one outside the image is not visible, as one that is missing; a single one must be inside."""
    image = read_image(path)
    height, width = image.shape[:2]
    points = np.array(row.place).reshape(-1, 2)
    if section.order_by:
        if np.isnan(points).any():
            raise SampleDefectError("a point is missing, so that order_by does not say which one each of the others is")
        points = points[np.argsort(points[:, 1], kind="stable")]
    if np.isnan(points).any(axis=1).all():
        raise SampleDefectError("no point is given")
    inside = np.all((points >= 0) & (points < [width, height]), axis=1)
    if not inside.any():
        x_px, y_px = points[~np.isnan(points).any(axis=1)][0]
        raise SampleDefectError(f"the point ({x_px:g}, {y_px:g}) lies outside the image of {width} x {height} px")
    points = np.where(inside[:, np.newaxis], points, np.nan)
    placed = place_image(as_colours(image, section.colours), points, section.image_shape)
    return placed.sample(sample_id, row.group, row.label, section.points)
