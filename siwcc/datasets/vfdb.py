"""MIT-BIH Malignant Ventricular Ectopy Database, or WFDB records laid out like it.

A window of 20 s around each onset of a ventricular rhythm; the target is the onset's time in it
(paper, section 2.1). Events, windows and targets are worked out in whole samples at `rate_hz`:

    centred        [ half | half ]     event - half ... event + half
    close events   [gap|         ]     gap < half since the counted event before it: the window
                                       starts at that earlier event

What such a window lacks at the record's start or end is zero at the window's end.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from math import ceil, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from scipy.signal import resample_poly

from siwcc.config import VfdbSection
from siwcc.datasets import Excluded, Sample
from siwcc.datasets.download import fetch_files, read_checksums
from siwcc.errors import InputError

TASK = "ecg"
UNITS = {"signal": "mV", "target": "s"}
CHECKSUMS = Path(__file__).resolve().parents[2] / "resources" / "checksums" / "vfdb.sha256"

_LEADS = 2
_MAX_FILE_BYTES = 16 << 20
_LONGEST_NAME_BYTES = 255
# Code of `+`, a change of rhythm. By code, as wfdb fails on the symbols of codes that it has no name for.
_RHYTHM_CODE = 28
_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3}
# Signal formats of the WFDB manual, signal(5): samples and bytes of a block. Compressed formats are
# left out, as only their checksum, after all the work, would tell a cut file.
_BLOCKS = {
    "8": (1, 1),
    "16": (1, 2),
    "24": (1, 3),
    "32": (1, 4),
    "61": (1, 2),
    "80": (1, 1),
    "160": (1, 2),
    "212": (2, 3),
    "310": (3, 4),
    "311": (3, 4),
}
_MAX_UPSAMPLING = 10
_MAX_DOWNSAMPLING = 1000
_MAX_RATIO_PART = 1000
# The notes that may start with `## `, and their orders; on others wfdb's reader never returns.
_DEFINITIONS = {
    "T": re.compile(rb"## time resolution: \d.*", re.DOTALL),
    "D": re.compile(rb"## annotation type definitions"),
    "E": re.compile(rb"## end of definitions"),
}
_DEFINITION_ORDERS = ("", "T", "DE", "TDE", "DET")
_REPAIR = "fetch the file again, or take its three files (.hea, .dat, .atr) out of the folder"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Record:
    """A header that can be trusted so far as a header and file sizes go."""

    name: str
    folder: Path
    header: Any
    ratio: Fraction

    @property
    def stem(self) -> str:
        return str(self.folder / self.name)

    @property
    def signal_names(self) -> list[str]:
        return sorted(set(self.header.file_name[:_LEADS]))

    @property
    def length(self) -> int:
        """Samples after resampling, as `resample_poly` counts them."""
        return ceil(int(self.header.sig_len) * self.ratio)


@dataclass(frozen=True)
class _Window:
    """Where a sample lies in its record, in samples at the section's rate."""

    sample_id: str
    record: _Record
    label: str
    event_sample: int
    start: int = 0
    stop: int = 0
    previous_event: int = -1
    defect: str = ""


def raw_files(folder: Path) -> list[Path]:
    """Headers, signals and annotations of all records in a folder; other files are ignored.

    Args:
        folder: Folder with the .hea files and, beside each, its .dat and .atr.

    Returns:
        Paths below `folder`, sorted.

    Raises:
        InputError: no record, a missing signal or annotation file, a damaged header, a header that
            promises other signals than there are.
    """
    files: set[Path] = set()
    for name in _record_names(folder):
        record = _read_header(folder, name, rate_hz=None)
        files |= {folder / file for file in (f"{name}.hea", f"{name}.atr", *record.signal_names)}
    return sorted(files)


def download(section: VfdbSection, folder: Path) -> None:
    """Fetch the 66 files of version 1.0.0 and compare them with the repository's checksums.

    Args:
        section: Its `url` is what the file names are relative to.
        folder: Where the files go, named like the data set.

    Raises:
        InputError: no URL, no list of checksums, or a failed download with the way around it.
    """
    key = f"datasets.{folder.name}"
    if section.url is None:
        raise InputError(f"config: {key}.url", "is empty", f"give an address, or a local copy as {key}.path")
    remedy = f"give a folder that holds a copy of the set as {key}.path"
    fetch_files(section.url, read_checksums(CHECKSUMS), folder, remedy, max_bytes=_MAX_FILE_BYTES)


def published_sums() -> dict[str, str]:
    """SHA-256 of the 66 files of version 1.0.0; empty where the repository's resources are absent."""
    return read_checksums(CHECKSUMS) if CHECKSUMS.is_file() else {}


def iter_samples(section: VfdbSection, folder: Path) -> Iterator[Sample | Excluded]:
    """Cut the window of every event, with one record in memory at a time.

    A sample's id is `<record>_<event sample, seven digits>`, its group the record. Besides signal
    (2, window) and target (1,) it has `record`, `event_sample`, `window_start` (samples at
    `rate_hz`), `previous_event` (the counted event before it in the record, -1 if there is none),
    `context` (2, 2 x window; the event +- `window_s`, mV, zero where nothing is known) and
    `context_valid` (2 x window,; False there).

    An event counts for the next one's window and `previous_event` even if its own window has
    invalid samples: its rhythm change is in the recording, and another window would show it. Further
    events at one sample change neither.

    Excluded are events past the record's end, windows with invalid samples, and all but the first
    of several events at one sample (id with a suffix `_2`, `_3`, ...; the first in the file counts).

    Args:
        section: Labels that count as events, window and rate.
        folder: As for `raw_files`.

    Yields:
        Samples and exclusions, sorted by id.

    Raises:
        InputError: a damaged or incomplete record.
    """
    records = [_read_header(folder, name, section.rate_hz) for name in _record_names(folder)]
    _note_resampling(records, section)
    windows = [window for record in records for window in _windows(record, section)]
    windows.sort(key=lambda window: window.sample_id)
    for _, of_record in groupby(windows, key=lambda window: window.record.name):
        group = list(of_record)
        signal_mv = _read_signal(group[0].record)
        for window in group:
            yield _cut_sample(window, signal_mv, section)


def _record_names(folder: Path) -> list[str]:
    # macOS leaves `._NAME` beside every file that it copies to a foreign disk.
    names = sorted(path.stem for path in folder.glob("*.hea") if not path.name.startswith("."))
    if not names:
        raise InputError(
            folder, "holds no WFDB record (*.hea)", "name the folder that directly holds the .hea, .dat and .atr files"
        )
    return names


def _read_header(folder: Path, name: str, rate_hz: float | None) -> _Record:
    """Read and check one header, and the size of the files that it describes."""
    path = folder / f"{name}.hea"
    try:
        header = wfdb.rdheader(str(folder / name))
    except Exception as error:
        raise InputError(path, f"is no readable WFDB header ({_first_line(error)})", _REPAIR) from error
    problem = _layout_problem(header, name) or _lead_problem(header)
    if problem:
        raise InputError(path, problem, _REPAIR)
    ratio = Fraction(1) if rate_hz is None else _resampling_ratio(path, header.fs, rate_hz)
    record = _Record(name, folder, header, ratio)
    for file in (*record.signal_names, f"{name}.atr"):
        if not (folder / file).is_file():
            raise InputError(folder / file, f"does not exist, but {path.name} needs it", _REPAIR)
    for file in record.signal_names:
        _check_size(record, file)
    return record


def _layout_problem(header: Any, name: str) -> str:
    if isinstance(header, wfdb.MultiRecord):
        return "describes a record of several segments, which is not supported"
    if header.record_name != name:
        return f"describes the record {header.record_name!r}"
    described = len(header.file_name or ())
    if header.n_sig != described:
        return f"promises {header.n_sig} leads and describes {described}"
    if header.n_sig < _LEADS:
        return f"has {header.n_sig} lead(s), and {_LEADS} are needed"
    if not header.sig_len:
        return "does not say how many samples there are"
    if not (isfinite(header.fs) and header.fs > 0):
        return f"gives {header.fs} Hz as the sampling rate"
    return ""


def _lead_problem(header: Any) -> str:
    for lead in range(_LEADS):
        file = header.file_name[lead]
        if Path(file).name != file or file.startswith("~") or len(os.fsencode(file)) > _LONGEST_NAME_BYTES:
            return f"lead {lead}: its signal file {file!r} is not in this folder"
        if header.fmt[lead] not in _BLOCKS:
            return f"lead {lead}: the signal format {header.fmt[lead]!r} is not supported"
        if header.units[lead] not in _MILLIVOLTS:
            return f"lead {lead}: the unit {header.units[lead]!r} is neither mV nor uV"
        if not isfinite(header.adc_gain[lead]):
            return f"lead {lead}: the gain is {header.adc_gain[lead]}"
        if header.checksum[lead] is None:
            return f"lead {lead}: the checksum is missing, or the line is damaged before it"
    if any(frames not in (None, 1) for frames in header.samps_per_frame) or any(header.skew):
        return "has leads with several samples a frame or with a skew, which is not supported"
    return ""


def _check_size(record: _Record, file: str) -> None:
    """Compare a signal file's size with the header before anything is read from it."""
    header = record.header
    leads = [lead for lead in range(header.n_sig) if header.file_name[lead] == file]
    if len({(header.fmt[lead], header.byte_offset[lead]) for lead in leads}) > 1:
        raise InputError(f"{record.stem}.hea", f"gives the leads in {file} different formats or offsets", _REPAIR)
    block_samples, block_bytes = _BLOCKS[header.fmt[leads[0]]]
    samples = header.sig_len * len(leads)
    offset_bytes = header.byte_offset[leads[0]] or 0
    # The last block may be cut to what its samples need, or be filled up.
    least_bytes = offset_bytes + -(-samples * block_bytes // block_samples)
    most_bytes = offset_bytes + -(-samples // block_samples) * block_bytes
    found_bytes = (record.folder / file).stat().st_size
    if not least_bytes <= found_bytes <= most_bytes:
        raise InputError(
            record.folder / file,
            f"has {found_bytes} bytes where {record.name}.hea promises {least_bytes}, for {header.sig_len} samples"
            f" of {len(leads)} leads",
            _REPAIR,
        )


def _resampling_ratio(path: Path, from_hz: float, to_hz: float) -> Fraction:
    """New samples for an old one: exact, or the nearest ratio of numbers up to 1000."""
    ratio = Fraction(to_hz) / Fraction(from_hz)
    if not Fraction(1, _MAX_DOWNSAMPLING) <= ratio <= _MAX_UPSAMPLING:
        raise InputError(path, f"gives {from_hz:g} Hz as the sampling rate, which cannot be resampled to {to_hz:g} Hz")
    return ratio.limit_denominator(_MAX_RATIO_PART)


def _note_resampling(records: list[_Record], section: VfdbSection) -> None:
    others = [record for record in records if record.header.fs != section.rate_hz]
    if others:
        _logger.warning(
            "%d of %d records are not sampled at %g Hz and are resampled (first: %s, %g Hz)",
            len(others),
            len(records),
            section.rate_hz,
            others[0].name,
            others[0].header.fs,
        )


def _windows(record: _Record, section: VfdbSection) -> list[_Window]:
    """Windows of a record's events in the order of time (paper, section 2.1)."""
    length = _window_samples(section)
    half = length // 2
    windows: list[_Window] = []
    before, latest, repeats = -1, -1, 1
    for event, label in _events(record, section):
        repeats = repeats + 1 if event == latest else 1
        latest = event
        sample_id = f"{record.name}_{event:07d}" + (f"_{repeats}" if repeats > 1 else "")
        if repeats > 1:
            windows.append(_Window(sample_id, record, label, event, defect=f"a further event ({label}) at one sample"))
        elif event >= record.length:
            defect = f"the annotation at sample {event} lies past the record's end ({record.length} samples)"
            windows.append(_Window(sample_id, record, label, event, defect=defect))
        else:
            is_close = before >= 0 and event - before < half
            start, stop = (before, before + length) if is_close else (max(0, event - half), event - half + length)
            windows.append(_Window(sample_id, record, label, event, start, stop, before))
            before = event
    return windows


def _window_samples(section: VfdbSection) -> int:
    return round(section.window_s * section.rate_hz)


def _events(record: _Record, section: VfdbSection) -> list[tuple[int, str]]:
    """(sample at the section's rate, label) of the rhythm changes that count."""
    path = Path(f"{record.stem}.atr")
    _check_annotation_bytes(path)
    try:
        annotation = wfdb.rdann(record.stem, "atr", return_label_elements=["label_store"])
        rhythm = np.flatnonzero(annotation.label_store == _RHYTHM_CODE)
        labels = [annotation.aux_note[index].strip("( \t\r\n\0") for index in rhythm]
    except Exception as error:
        raise InputError(path, f"is no readable WFDB annotation file ({_first_line(error)})", _REPAIR) from error
    if np.any(np.diff(annotation.sample, prepend=0) < 0):
        raise InputError(path, "is damaged: its annotations are not in the order of time", _REPAIR)
    if not annotation.fs:
        raise InputError(path, "is damaged: its time resolution is 0", _REPAIR)
    # An annotation file may count in another unit than the signal's samples.
    scale = record.ratio * Fraction(record.header.fs) / Fraction(annotation.fs)
    samples = [int(annotation.sample[index]) for index in rhythm]
    return [
        (_scaled(sample, scale, record.length), label)
        for sample, label in zip(samples, labels, strict=True)
        if label in section.event_labels
    ]


def _scaled(sample: int, scale: Fraction, length: int) -> int:
    """Nearest sample at the new rate; one inside the record stays inside."""
    position = sample * scale
    return min(round(position), length - 1) if position < length else ceil(position)


def _check_annotation_bytes(path: Path) -> None:
    """Refuse what wfdb would read without complaint (a cut file) or never finish."""
    content = path.read_bytes()
    if len(content) % 2 or not content.endswith(b"\0\0"):
        raise InputError(path, "is cut off: its end mark is missing", _REPAIR)
    found = "".join(_definition_at(content, match.start()) for match in re.finditer(b"## ", content))
    if found not in _DEFINITION_ORDERS:
        raise InputError(path, "is damaged: it has a definition that WFDB does not know", _REPAIR)


def _definition_at(content: bytes, start: int) -> str:
    """Kind of the note that starts here; the byte pair before it holds its length."""
    note = content[start : start + content[start - 2]] if start >= 2 else b""
    return next((kind for kind, pattern in _DEFINITIONS.items() if pattern.fullmatch(note)), "?")


def _read_signal(record: _Record) -> np.ndarray:
    """The first two leads, float64 (2, samples), mV at the section's rate; NaN where invalid."""
    path = Path(f"{record.stem}.hea")
    try:
        # Leads by index: VFDB has two of one name.
        read = wfdb.rdrecord(record.stem, channels=list(range(_LEADS)), physical=False)
        sums = read.d_signal.astype(np.int64).sum(axis=0)
        signal = read.dac(return_res=64)
    except Exception as error:
        raise InputError(path, f"signals cannot be read ({_first_line(error)})", _REPAIR) from error
    for lead in range(_LEADS):
        if (int(sums[lead]) - read.checksum[lead]) % (1 << 16):
            file = record.folder / record.header.file_name[lead]
            raise InputError(file, f"lead {lead} does not match its checksum in {path.name}", _REPAIR)
    signal_mv = signal.T * np.array([[_MILLIVOLTS[unit]] for unit in read.units])
    if record.ratio == 1:
        return np.ascontiguousarray(signal_mv)
    # Repeating the first and last value keeps an offset from ringing at the record's ends.
    return resample_poly(signal_mv, record.ratio.numerator, record.ratio.denominator, axis=1, padtype="edge")


def _cut_sample(window: _Window, signal_mv: np.ndarray, section: VfdbSection) -> Sample | Excluded:
    if window.defect:
        return Excluded(window.sample_id, window.defect)
    samples = _window_samples(section)
    signal = np.zeros((_LEADS, samples), dtype=np.float32)
    signal[:, : window.stop - window.start], _ = _cut(signal_mv, window.start, window.stop)
    invalid = int(np.count_nonzero(~np.isfinite(signal).all(axis=0)))
    if invalid:
        return Excluded(window.sample_id, f"{invalid} of {samples} samples in the window are invalid")
    context, inside = _cut(signal_mv, window.event_sample - samples, window.event_sample + samples)
    valid = inside & np.isfinite(context).all(axis=0)
    return Sample(
        sample_id=window.sample_id,
        group=window.record.name,
        label=window.label,
        signal=signal,
        target=np.array([(window.event_sample - window.start) / section.rate_hz]),
        extras={
            "record": window.record.name,
            "event_sample": np.int64(window.event_sample),
            "window_start": np.int64(window.start),
            "previous_event": np.int64(window.previous_event),
            "context": np.where(valid, context, np.float32(0)),
            "context_valid": valid,
        },
    )


def _cut(signal_mv: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples start ... stop - 1 as float32, zero outside the record, and which of them are inside."""
    values = np.zeros((len(signal_mv), stop - start), dtype=np.float32)
    inside = np.zeros(stop - start, dtype=bool)
    first, last = max(start, 0), min(stop, signal_mv.shape[1])
    values[:, first - start : last - start] = signal_mv[:, first:last]
    inside[first - start : last - start] = True
    return values, inside


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
