"""Signals of WFDB records and EDFs a block at a time, with all the checks of `siwcc.data.datasets.wfdb_files`.

A recording of days does not fit into memory. Its header's checksums are of whole leads: the sums of the blocks are
added up, and compared when the last block was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from siwcc.data.datasets.wfdb_files import WfdbRecord, check_sums, decode_mv, note_unchecked

# wfdb decodes a part of their files only after all that is before it, or not at all.
_WHOLE_FORMATS = ("8", "508", "516", "524")
# Of the formats whose blocks hold two or three samples: a part begins with a block.
_FRAME_STEP = 6


def can_be_read_in_blocks(record: WfdbRecord) -> bool:
    """Whether blocks are read one by one: leads of one rate, none late, in no compressed format."""
    parts = [part.record for part in record.parts if part.record is not None] or [record]
    leads = [lead for part in parts for lead in part.chosen]
    return (
        len({lead.samples_per_frame for lead in leads}) == 1
        and not any(lead.skew for lead in leads)
        and not any(lead.format in _WHOLE_FORMATS for lead in leads)
    )


def iter_blocks_mv(record: WfdbRecord, block_s: float) -> Iterator[np.ndarray]:
    """The leads, one block after the other.

    Args:
        record: With the leads that are asked for.
        block_s: About how long a block is, s. A record that cannot be read in blocks is one.

    Yields:
        float64 (leads, samples), mV at the record's rate; NaN where invalid.

    Raises:
        InputError: damaged; where a checksum shows it, after the last block.
    """
    if not can_be_read_in_blocks(record):
        yield record.recording(record.rate_hz).read_mv()
    else:
        frames = max(1, round(block_s * record.header.rate_hz / _FRAME_STEP)) * _FRAME_STEP
        for part, rows, length in _parts(record):
            yield from _blocks_of(part, rows, length, frames, record)
    note_unchecked([record])


def read_range_mv(record: WfdbRecord, first: int, stop: int) -> np.ndarray:
    """Samples `first` up to `stop` of the leads, as `iter_blocks_mv` gives them; compared with no checksum."""
    if not can_be_read_in_blocks(record):
        return record.recording(record.rate_hz).read_mv()[:, first:stop]
    per_frame = record.samples_per_frame
    low, high = first // per_frame // _FRAME_STEP * _FRAME_STEP, min(-(-stop // per_frame), record.frames)
    found, start = [], 0
    for part, rows, length in _parts(record):
        begin, end = max(low - start, 0), min(high - start, length)
        if begin < end:
            begin = begin // _FRAME_STEP * _FRAME_STEP
            values = _placed(part, rows, begin, end, record)[0]
            found.append(values[:, max(0, first - (start + begin) * per_frame) :])
        start += length
    joined = np.concatenate(found, axis=1) if found else np.empty((len(record.chosen), 0))
    return joined[:, : max(0, stop - first)]


def _parts(record: WfdbRecord) -> list[tuple[WfdbRecord | None, tuple[int, ...], int]]:
    """Each segment with the rows that it has and its frames; a record in one part is one."""
    if not record.parts:
        return [(record, tuple(range(len(record.chosen))), record.frames)]
    return [(part.record, part.rows, part.frames) for part in record.parts]


def _blocks_of(
    part: WfdbRecord | None, rows: tuple[int, ...], length: int, frames: int, record: WfdbRecord
) -> Iterator[np.ndarray]:
    sums: Counter[int] = Counter()
    for start in range(0, length, frames):
        values, of_block = _placed(part, rows, start, min(start + frames, length), record)
        for number, total in of_block.items():
            # Not `update`, which would leave out a lead whose sum is 0.
            sums[number] += total
        yield values
    if part is not None:
        for file in part.files:
            check_sums(part, file, {number: sums[number] for number in sums if part.leads[number].file == file})


def _placed(
    part: WfdbRecord | None, rows: tuple[int, ...], start: int, stop: int, record: WfdbRecord
) -> tuple[np.ndarray, dict[int, int]]:
    """Frames of a segment, NaN in the rows that it does not have, and the sums of the others by lead."""
    values = np.full((len(record.chosen), (stop - start) * record.samples_per_frame), np.nan)
    sums: dict[int, int] = {}
    if part is not None:
        row_of = dict(zip(part.needs.leads, rows, strict=True))
        for file in part.files:
            signals, of_file = decode_mv(part, file, start, stop)
            sums |= of_file
            for number, signal_mv in signals.items():
                values[row_of[number]] = signal_mv
    return values, sums
