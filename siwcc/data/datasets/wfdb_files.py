"""Signals of WFDB records, trusted only so far as header, file sizes and checksums agree.

Only the leads that are asked for count: the lines of others, and their signal files, are not checked.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from siwcc.data.datasets.edf_header import parse_edf
from siwcc.data.datasets.signals import Recording, resample, resampling_ratio
from siwcc.data.datasets.wfdb_header import Header, Lead, parse_header
from siwcc.io.errors import InputError
from siwcc.io.foreign import find_file

if TYPE_CHECKING:
    import wfdb

_LONGEST_NAME_BYTES = 255
# Signal formats of the WFDB manual, signal(5): samples and bytes of a block.
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
# The formats of most records are decoded here, as wfdb takes as long to import as 100 MB take to decode; the digital
# value that stands for an invalid sample.
_INVALID = {"16": -(1 << 15), "212": -(1 << 11)}
# FLAC, with the number of samples in its own header.
_COMPRESSED = ("508", "516", "524")
_FLAC_BYTES = 42
# Of a record in segments, whose gaps take memory but no bytes of a file: 12 days at 250 Hz.
_MOST_FRAMES = 1 << 28
# The electrodes' own voltage is below 0.3 V.
_MOST_MV = 1e4

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Needs:
    """What is asked of a record.

    Attributes:
        leads: Indices of the leads, from 0, in the order wanted; none: the header alone.
        remedy: The way out when it is damaged.
        lead_remedy: The way out when it has too few leads.
        companions: Extensions of further files that must be there.
    """

    leads: tuple[int, ...]
    remedy: str
    lead_remedy: str
    companions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A segment of a record.

    Attributes:
        record: With those of the leads asked for that it has; None if it has none.
        rows: Their places among the leads asked for.
        frames: Its length.
    """

    record: WfdbRecord | None
    rows: tuple[int, ...]
    frames: int


@dataclass(frozen=True)
class WfdbRecord:
    """A header that can be trusted so far as a header and file sizes go.

    Attributes:
        name: Of the record.
        folder: What directly holds its files.
        header: As it was published.
        needs: What is asked of it.
        leads: All leads that are described.
        frames: How many samples a lead with one sample per frame has; 0 if no lead was asked for.
        parts: Its segments; empty for a record in one part.
        header_name: Name of the file with the header, where it is another one than `<name>.hea`.
        unsummed: Leads that were read and have no checksum in the header.
    """

    name: str
    folder: Path
    header: Header
    needs: Needs
    leads: tuple[Lead, ...]
    frames: int = 0
    parts: tuple[Part, ...] = ()
    header_name: str = ""
    unsummed: set[int] = field(default_factory=set, compare=False, repr=False)

    @property
    def stem(self) -> str:
        """The record's path without an extension, as wfdb takes it."""
        return str(self.folder / self.name)

    @property
    def path(self) -> Path:
        """The header."""
        return self.folder / (self.header_name or f"{self.name}.hea")

    @property
    def chosen(self) -> tuple[Lead, ...]:
        """The leads that are asked for."""
        return tuple(self.leads[lead] for lead in self.needs.leads)

    @property
    def files(self) -> tuple[str, ...]:
        """Signal files of the leads, as the header names them; none for a record of segments."""
        return () if self.parts else tuple(dict.fromkeys(lead.file for lead in self.chosen))

    @property
    def file_names(self) -> list[str]:
        """Names of the headers and signal files in the folder that are read for the leads."""
        names = {self.path.name, *(_local_name(self.folder, file) for file in self.files)}
        if self.header.segments and self.header.segments[0].frames == 0:
            names.add(f"{self.header.segments[0].name}.hea")
        for part in self.parts:
            names |= set(part.record.file_names) if part.record else set()
        return sorted(names)

    @property
    def values(self) -> int:
        """How many values are decoded for the leads, with those of others in the same files."""
        own = sum(lead.samples_per_frame for lead in self.leads if lead.file in self.files) * self.frames
        wanted = len(self.needs.leads) * self.frames if self.parts else 0
        return own + wanted + sum(part.record.values for part in self.parts if part.record)

    @property
    def samples_per_frame(self) -> int:
        """Samples per frame of the fastest lead that is asked for."""
        return max((lead.samples_per_frame for lead in self.chosen), default=1)

    @property
    def rate_hz(self) -> float:
        """Sampling rate of the leads that are asked for: of the fastest, if they differ."""
        return self.header.rate_hz * self.samples_per_frame

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What could not be checked for damage, of what was read."""
        found = [text for part in self.parts if part.record for text in part.record.unchecked]
        if self.needs.leads and self.header.frames is None:
            found.append("the length (not in the header)")
        if self.unsummed:
            found.append("the samples (the header's checksum is 0 or missing)")
        return tuple(dict.fromkeys(found))

    def recording(self, rate_hz: float, name: str = "") -> Recording:
        """The record at a rate, under its own name or another one.

        Raises:
            InputError: its rate is too far from that.
        """
        ratio = resampling_ratio(self.path, self.rate_hz, rate_hz)
        read_mv = partial(_read_resampled, self, ratio)
        return Recording(name or self.name, self.rate_hz, ratio, self.frames * self.samples_per_frame, read_mv)


def note_unchecked(records: Iterable[WfdbRecord]) -> None:
    """Give one line for all records of which something could not be checked."""
    found = [record for record in records if record.unchecked]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        reasons = dict.fromkeys(reason for record in found for reason in record.unchecked)
        _logger.warning("%s%s: not checked for damage: %s", found[0].path, more, ", ".join(reasons))


def read_header(folder: Path, name: str, needs: Needs) -> WfdbRecord:
    """Read and check one header, and the size of the files that it describes.

    Args:
        folder: What directly holds the record's files.
        name: The record's.
        needs: What is asked of it.

    Raises:
        InputError: a damaged header, a missing file, or a size that is not what the header promises.
    """
    header = parse_header(folder / f"{name}.hea", name, needs.remedy)
    record = WfdbRecord(name, folder, header, needs, header.leads)
    _check_header(record)
    for extension in needs.companions:
        _existing(record, f"{name}.{extension}")
    if not needs.leads:
        return record
    return _with_parts(record) if header.segments else _with_length(record)


def read_edf(path: Path, needs: Needs) -> WfdbRecord:
    """Read and check the header of an EDF or BDF file, and the file's size.

    Args:
        path: The file.
        needs: What is asked of it.

    Raises:
        InputError: no such file, a damaged header, too few leads, or a size that is not what the header promises.
    """
    header = parse_edf(path, needs.remedy)
    record = WfdbRecord(path.stem, path.parent, header, needs, header.leads, header_name=path.name)
    _check_header(record)
    return _with_length(record) if needs.leads else record


def _damaged(record: WfdbRecord, problem: str, file: Path | None = None) -> InputError:
    return InputError(record.path if file is None else file, problem, record.needs.remedy)


def _check_header(record: WfdbRecord) -> None:
    header, needs = record.header, record.needs
    count = max(needs.leads, default=-1) + 1
    if header.lead_count < count:
        raise InputError(record.path, f"has {header.lead_count} lead(s), and {count} are needed", needs.lead_remedy)
    if not (isfinite(header.rate_hz) and header.rate_hz > 0):
        raise _damaged(record, f"gives {header.rate_hz:g} Hz as the sampling rate")
    if not header.segments:
        for number, lead in zip(needs.leads, record.chosen, strict=True):
            _check_lead(record, number, lead)


def _check_lead(record: WfdbRecord, number: int, lead: Lead) -> None:
    parts = PurePosixPath(lead.file.replace("\\", "/")).parts
    if lead.file == "~":
        raise InputError(record.path, f"lead {number + 1}: it has no signal file", record.needs.lead_remedy)
    if ".." in parts or parts[:1] == ("/",) or lead.file == "-" or len(os.fsencode(lead.file)) > _LONGEST_NAME_BYTES:
        raise _damaged(record, f"lead {number + 1}: its signal file {lead.file!r} is not in this folder")
    if lead.format not in (*_BLOCKS, *_COMPRESSED):
        raise _damaged(record, f"lead {number + 1}: the signal format {lead.format!r} is not supported")
    if lead.millivolts is None:
        problem = f"lead {number + 1}: the unit {lead.unit!r} is none of V, mV, uV and nV"
        raise InputError(record.path, problem, record.needs.lead_remedy)
    if not isfinite(lead.gain):
        raise _damaged(record, f"lead {number + 1}: the gain is {lead.gain}")


def _existing(record: WfdbRecord, name: str) -> Path:
    path = find_file(record.folder, name)
    if not path.is_file():
        raise _damaged(record, f"does not exist, but {record.path.name} needs it", path)
    return path


def _local_name(folder: Path, file: str) -> str:
    """A signal file's name in the record's folder; published headers repeat the folder in it."""
    return find_file(folder, PurePosixPath(file.replace("\\", "/")).name).name


# ------------------------------------------------------------------- length


def _with_length(record: WfdbRecord) -> WfdbRecord:
    """The record with its length compared with the sizes of its files, or taken from them."""
    lengths = {file: _frames_in(record, file) for file in record.files}
    if len(set(lengths.values())) > 1:
        described = ", ".join(f"{file}: {frames}" for file, frames in lengths.items())
        raise _damaged(record, f"gives no number of samples, and its files have several ({described})")
    return replace(record, frames=next(iter(lengths.values())))


def _frames_in(record: WfdbRecord, file: str) -> int:
    """How many frames a signal file has: what the header promises, after a comparison, or what is in the file."""
    path = _existing(record, _local_name(record.folder, file))
    leads = [lead for lead in record.leads if lead.file == file]
    if len({(lead.format, lead.offset_bytes) for lead in leads}) > 1:
        raise _damaged(record, f"gives the leads in {file} different formats or offsets")
    if leads[0].format in _COMPRESSED:
        return _compressed_frames(record, path, leads)
    block_samples, block_bytes = _BLOCKS[leads[0].format]
    per_frame, offset_bytes = sum(lead.samples_per_frame for lead in leads), leads[0].offset_bytes
    found_bytes, promised = path.stat().st_size, record.header.frames
    frames = promised or (found_bytes - offset_bytes) * block_samples // block_bytes // per_frame
    samples = frames * per_frame
    # The last block may be cut to what its samples need, or be filled up.
    least_bytes = offset_bytes + -(-samples * block_bytes // block_samples)
    most_bytes = offset_bytes + -(-samples // block_samples) * block_bytes
    if frames > 0 and least_bytes <= found_bytes <= most_bytes:
        return frames
    if promised is None:
        raise _damaged(record, f"has {found_bytes} bytes, which is no number of samples of {len(leads)} leads", path)
    expected = f"promises {least_bytes}, for {frames} samples of {len(leads)} leads"
    raise _damaged(record, f"has {found_bytes} bytes where {record.path.name} {expected}", path)


def _compressed_frames(record: WfdbRecord, path: Path, leads: Sequence[Lead]) -> int:
    """Frames of a FLAC file, by the block at its start (RFC 9639, 8.2)."""
    with path.open("rb") as handle:
        start = handle.read(_FLAC_BYTES)
    if len(start) < _FLAC_BYTES or start[:4] != b"fLaC" or start[4] & 127:
        raise _damaged(record, "is no readable FLAC file", path)
    # Sampling rate (20 bits), channels - 1 (3), bits per sample - 1 (5), samples of a channel (36).
    packed = int.from_bytes(start[18:26], "big")
    channels, found = (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    per_frame = leads[0].samples_per_frame
    samples = found - leads[0].offset_bytes
    frames = record.header.frames or samples // per_frame
    if (channels, samples) != (len(leads), frames * per_frame) or frames <= 0:
        expected = f"where {record.path.name} promises {frames} of {len(leads)}"
        raise _damaged(record, f"has {samples} samples of {channels} leads {expected}", path)
    return frames


# ------------------------------------------------------------------ segments


def _with_parts(record: WfdbRecord) -> WfdbRecord:
    """The record with its segments, each of which is checked as a record."""
    segments = record.header.segments
    # A first segment without samples describes the leads; the others then have some of them, found by name.
    has_layout = segments[0].frames == 0
    headers = {name: _segment_header(record, name) for name in dict.fromkeys(one.name for one in segments)}
    describing, order = next(((name, header.leads) for name, header in headers.items() if header), ("", ()))
    if len(order) != record.header.lead_count:
        problem = f"promises {record.header.lead_count} leads, and its segment {describing!r} has {len(order)}"
        raise _damaged(record, problem)
    parts = tuple(
        _part(record, segment.name, headers[segment.name], order if has_layout else (), segment.frames)
        for segment in segments[has_layout:]
    )
    _check_parts(record, parts)
    leads = tuple(_as_recorded(record, number, lead, parts) for number, lead in enumerate(order))
    return replace(record, leads=leads, frames=sum(part.frames for part in parts), parts=parts)


def _segment_header(record: WfdbRecord, name: str) -> Header | None:
    if name == "~":
        return None
    if PurePosixPath(name.replace("\\", "/")).name != name or name == record.name:
        raise _damaged(record, f"its segment {name!r} is not in this folder")
    header = parse_header(_existing(record, f"{name}.hea"), name, record.needs.remedy)
    if header.segments:
        raise _damaged(record, f"its segment {name!r} consists of segments, too")
    return header


def _part(record: WfdbRecord, name: str, header: Header | None, order: Sequence[Lead], frames: int) -> Part:
    if header is None:
        return Part(None, (), frames)
    places = [_place(lead, order, header.leads) if order else lead for lead in record.needs.leads]
    rows = tuple(row for row, place in enumerate(places) if place is not None)
    leads = tuple(place for place in places if place is not None)
    if not leads:
        return Part(None, (), frames)
    return Part(read_header(record.folder, name, replace(record.needs, leads=leads, companions=())), rows, frames)


def _place(lead: int, order: Sequence[Lead], leads: Sequence[Lead]) -> int | None:
    """Where a segment has a lead of a layout: of several of one name, the one with the same number among them."""
    name = order[lead].name
    before = sum(other.name == name for other in order[:lead])
    places = [place for place, other in enumerate(leads) if other.name == name]
    return places[before] if before < len(places) else None


def _check_parts(record: WfdbRecord, parts: Sequence[Part]) -> None:
    total = sum(part.frames for part in parts)
    if not 0 < total < _MOST_FRAMES or record.header.frames not in (None, total):
        raise _damaged(record, f"gives {record.header.frames} samples, and its segments {total}")
    if all(part.record is None for part in parts):
        named = ", ".join(dict.fromkeys(segment.name for segment in record.header.segments))
        problem = f"has none of the leads that are asked for in its segments ({named})"
        raise InputError(record.path, problem, record.needs.lead_remedy)
    for part, one in ((part, part.record) for part in parts if part.record is not None):
        if one.frames != part.frames:
            raise _damaged(record, f"gives {part.frames} samples to {one.name}, whose header gives {one.frames}")
        if one.header.rate_hz != record.header.rate_hz:
            problem = f"has {record.header.rate_hz:g} Hz, and its segment {one.name} {one.header.rate_hz:g} Hz"
            raise _damaged(record, problem)


def _as_recorded(record: WfdbRecord, number: int, lead: Lead, parts: Sequence[Part]) -> Lead:
    """A lead of a layout with the samples per frame of its segments, which are the same in all."""
    found = {
        one.chosen[part.rows.index(row)].samples_per_frame
        for row, asked in enumerate(record.needs.leads)
        if asked == number
        for part, one in ((part, part.record) for part in parts if part.record is not None)
        if row in part.rows
    }
    if len(found) > 1:
        raise _damaged(record, f"lead {number + 1}: it has several sampling rates")
    return replace(lead, samples_per_frame=found.pop()) if found else lead


# ------------------------------------------------------------------- signals


def _read_resampled(record: WfdbRecord, ratio: Fraction) -> np.ndarray:
    """The leads, float64 (leads, samples), mV at the wanted rate; NaN where invalid."""
    signals_mv = _read_parts(record) if record.parts else _read_signals(record)
    for row, lead in enumerate(record.chosen):
        if lead.samples_per_frame < record.samples_per_frame:
            faster = Fraction(record.samples_per_frame, lead.samples_per_frame)
            signals_mv[row] = resample(signals_mv[row][None], faster)[0]
    return resample(np.stack(signals_mv), ratio)


def _read_parts(record: WfdbRecord) -> list[np.ndarray]:
    """The leads of all segments, one after the other; NaN where a segment does not have a lead."""
    signals_mv = [np.full(record.frames * lead.samples_per_frame, np.nan) for lead in record.chosen]
    start = 0
    for part in record.parts:
        read = _read_signals(part.record) if part.record else []
        for row, signal_mv in zip(part.rows, read, strict=True):
            first = start * record.chosen[row].samples_per_frame
            signals_mv[row][first : first + len(signal_mv)] = signal_mv
        start += part.frames
    return signals_mv


def _read_signals(record: WfdbRecord) -> list[np.ndarray]:
    """The leads of a record in one part, each at its own rate, float64, mV; NaN where invalid."""
    signals_mv: dict[int, np.ndarray] = {}
    for file in record.files:
        signals_mv |= _read_file(record, file)
    return [signals_mv[lead] for lead in record.needs.leads]


def _read_file(record: WfdbRecord, file: str) -> dict[int, np.ndarray]:
    """Those of the leads asked for that are in a file, by number."""
    signals, sums = decode_mv(record, file, 0, record.frames)
    check_sums(record, file, sums)
    return signals


def decode_mv(record: WfdbRecord, file: str, start: int, stop: int) -> tuple[dict[int, np.ndarray], dict[int, int]]:
    """Frames of those of the leads asked for that are in a file, and the sums of their digital samples.

    Args:
        record: In one part.
        file: One of its `files`.
        start: The first frame.
        stop: The frame after the last.

    Returns:
        By the lead's number: float64, mV at the lead's rate and in its place in time, NaN where invalid; and the sum.

    Raises:
        InputError: the file cannot be decoded, or holds no ECG.
    """
    inside = [number for number, lead in enumerate(record.leads) if lead.file == file]
    wanted = [number for number in inside if number in record.needs.leads]
    try:
        decode = _decode if record.leads[inside[0]].format in _INVALID else _decode_by_wfdb
        digital, signals = decode(record, file, [inside.index(number) for number in wanted], (start, stop))
        sums = [int(samples.astype(np.int64).sum()) for samples in digital]
    except Exception as error:
        raise _damaged(record, f"signals cannot be read ({first_line(error)})") from error
    placed = {number: _placed_mv(record, number, signal) for number, signal in zip(wanted, signals, strict=True)}
    return placed, dict(zip(wanted, sums, strict=True))


def check_sums(record: WfdbRecord, file: str, sums: Mapping[int, int]) -> None:
    """Compare the sums of all samples of leads with the checksums in the header.

    Args:
        record: The record; a lead without a checksum is listed in its `unsummed`.
        file: Of the leads.
        sums: By the lead's number.

    Raises:
        InputError: one differs.
    """
    for number, total in sums.items():
        checksum = record.leads[number].checksum
        if not (total - (checksum or 0)) % (1 << 16):
            continue
        # By the format's description 0 means that there is none.
        if not checksum:
            record.unsummed.add(number)
        else:
            path = record.folder / _local_name(record.folder, file)
            raise _damaged(record, f"lead {number + 1} does not match its checksum in {record.path.name}", path)


def _decode(
    record: WfdbRecord, file: str, places: list[int], frames: tuple[int, int]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Leads of a signal file in format 16 or 212: digital values, and the same as float64, NaN where invalid."""
    leads = [lead for lead in record.leads if lead.file == file]
    # The leads' places in a frame.
    edges = np.cumsum([0, *(lead.samples_per_frame for lead in leads)])
    first, stop = (frame * int(edges[-1]) for frame in frames)
    code, path = leads[0].format, record.folder / _local_name(record.folder, file)
    samples = (_samples_16 if code == "16" else _samples_212)(path, leads[0].offset_bytes, first, stop)
    # Also refuses a file that was cut since its size was compared.
    by_frame = samples.reshape(frames[1] - frames[0], edges[-1])
    digital = [by_frame[:, edges[place] : edges[place + 1]].ravel() for place in places]
    return digital, [np.where(values == _INVALID[code], np.nan, values.astype(np.float64)) for values in digital]


def _samples_16(path: Path, offset_bytes: int, first: int, stop: int) -> np.ndarray:
    return np.fromfile(path, "<i2", stop - first, offset=offset_bytes + 2 * first)


def _samples_212(path: Path, offset_bytes: int, first: int, stop: int) -> np.ndarray:
    """Samples of 12 bits, two in three bytes; the upper four bits of both are in the second one."""
    block = first // 2
    packed = np.fromfile(path, np.uint8, 3 * (-(-stop // 2) - block), offset=offset_bytes + 3 * block)
    # The last block may be cut to what its sample needs.
    low, upper, high = np.pad(packed, (0, -len(packed) % 3)).reshape(-1, 3).astype(np.int16).T
    pairs = np.stack([low | upper << 8, high | upper >> 4 << 8], axis=1)
    # Shifted back with the sign.
    return (pairs << 4 >> 4).ravel()[first - 2 * block : stop - 2 * block]


def _decode_by_wfdb(
    record: WfdbRecord, file: str, places: list[int], frames: tuple[int, int]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What `_decode` gives, in any other format."""
    read, uniform = _read_by_wfdb(record, file, places, frames)
    signals = read.dac(expanded=not uniform, return_res=64)
    return (list(read.d_signal.T), list(signals.T)) if uniform else (read.e_d_signal, signals)


def _read_by_wfdb(
    record: WfdbRecord, file: str, places: list[int], frames: tuple[int, int]
) -> tuple[wfdb.Record, bool]:
    """Leads of a signal file, read by wfdb through a header that it can read, and whether each is once per frame."""
    import wfdb

    path, leads = record.folder / _local_name(record.folder, file), [lead for lead in record.leads if lead.file == file]
    # wfdb reads samples per frame in high-byte-first order only where there is one.
    uniform = all(lead.samples_per_frame == 1 for lead in leads)
    lines = [f"r {len(leads)} 250 {record.frames}"]
    for lead in leads:
        code = f"{lead.format}x{lead.samples_per_frame}+{lead.offset_bytes}"
        lines.append(f"r.dat {code} 1(0)/mV 0 0 {lead.first} 0 0 lead")
    start, stop = frames
    with tempfile.TemporaryDirectory(prefix="siwcc-") as scratch:
        Path(scratch, "r.hea").write_text("\n".join(lines) + "\n")
        Path(scratch, "r.dat").symlink_to(path.resolve())
        name = str(Path(scratch, "r"))
        return wfdb.rdrecord(name, start, stop, channels=places, physical=False, smooth_frames=uniform), uniform


def _placed_mv(record: WfdbRecord, number: int, signal: np.ndarray) -> np.ndarray:
    """A lead in mV and in its place in time."""
    lead = record.leads[number]
    assert lead.millivolts is not None  # noqa: S101 - checked with the header
    signal_mv = (signal - lead.baseline) / lead.gain * lead.millivolts
    if lead.millivolts > 1 and np.nanmax(np.abs(signal_mv), initial=0.0) > _MOST_MV:
        problem = (
            f"lead {number + 1}: values up to {np.nanmax(np.abs(signal_mv)) / 1000:.3g} V are no ECG: is the unit µV?"
        )
        raise InputError(record.path, problem, "write the right unit into the header, uV for µV")
    late = lead.skew * lead.samples_per_frame
    return np.concatenate([signal_mv[late:], np.full(min(late, len(signal_mv)), np.nan)]) if late else signal_mv


def first_line(error: BaseException) -> str:
    """What a library's exception says, in one line."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
