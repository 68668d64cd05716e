"""Recordings of any length, a block at a time: for what must not hold a whole recording in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from siwcc.data.datasets.signals import resample
from siwcc.inference.inputs import check_size, choose_leads, kind_of, read_signal_file, wfdb_record
from siwcc.io.errors import InputError

_BLOCK_S = 300.0
# At the lower of two rates: more than the whole length of the filter of `resample`.
_FILTER_SAMPLES = 24


@dataclass(frozen=True)
class SignalBlocks:
    """A recording that is read in blocks.

    Attributes:
        path: As it was given; `array` for an array.
        rate_hz: Its sampling rate.
        annotation_hz: Rate that an annotation file counts in: of a WFDB record its frames per second.
        samples: Its length.
        leads: Indices of the leads in the file, from 0, in the order of the blocks.
        available: How many leads the file has.
        lead_names: What the file calls them; two may have one name.
        blocks_mv: Gives (leads, samples) in mV, one block after the other, NaN where invalid. InputError if the file
            is damaged: where only a checksum shows it, after the last block.
        cut_mv: Gives the samples from its first argument up to its second, less where the recording ends.
    """

    path: Path
    rate_hz: float
    annotation_hz: float
    samples: int
    leads: tuple[int, ...]
    available: int
    lead_names: tuple[str, ...]
    blocks_mv: Callable[[], Iterator[np.ndarray]] = field(repr=False)
    cut_mv: Callable[[int, int], np.ndarray] = field(repr=False)


def blocks_of_array(
    signal_mv: np.ndarray,
    rate_hz: float,
    path: Path = Path("array"),
    leads: Sequence[int] = (),
    available: int = 0,
    lead_names: Sequence[str] = (),
) -> SignalBlocks:
    """A recording in memory.

    Args:
        signal_mv: (leads, samples) in mV.
        rate_hz: Its sampling rate.
        path: See `SignalBlocks`.
        leads: See `SignalBlocks`; by default all.
        available: See `SignalBlocks`; by default as many as there are.
        lead_names: See `SignalBlocks`; by default empty names.
    """
    count, samples = signal_mv.shape

    def blocks_mv() -> Iterator[np.ndarray]:
        step = max(1, round(_BLOCK_S * rate_hz))
        for first in range(0, samples, step):
            yield signal_mv[:, first : first + step]

    return SignalBlocks(
        path,
        rate_hz,
        rate_hz,
        samples,
        tuple(leads) or tuple(range(count)),
        available or count,
        tuple(lead_names) or ("",) * count,
        blocks_mv,
        lambda first, stop: signal_mv[:, first:stop],
    )


def open_signal(
    path: Path, wanted: Sequence[int], leads: Sequence[int] | None = None, rate_hz: float | None = None
) -> SignalBlocks:
    """A WFDB record or an EDF, whose header is checked, or a CSV, which is read.

    Args:
        path: A record with or without an extension, an EDF, or a CSV: one row per sample, one column per lead, in mV.
        wanted: The leads that the networks were trained on.
        leads: The leads to read instead; None: `wanted`, or as many as there are of the file's first ones.
        rate_hz: Of a CSV without times; a record gives its own.

    Raises:
        InputError: see `siwcc.inference.inputs.read_signal_file`; a record may have any length. Neither one lead nor as
            many as are wanted.
    """
    source = _open(path, wanted, leads, rate_hz)
    if len(source.leads) not in (1, len(wanted)):
        problem = f"is read with {len(source.leads)} leads, and {len(wanted)} or 1 are needed"
        raise InputError(path, problem, "choose leads with --leads, from 1")
    return source


def _open(path: Path, wanted: Sequence[int], leads: Sequence[int] | None, rate_hz: float | None) -> SignalBlocks:
    if kind_of(path) == "csv":
        read = read_signal_file(path, wanted, leads, rate_hz)
        return blocks_of_array(read.signal_mv, read.rate_hz, path, read.leads, read.available, read.lead_names)
    from siwcc.data.datasets.wfdb_blocks import can_be_read_in_blocks, iter_blocks_mv, read_range_mv

    chosen = choose_leads(wanted, leads, wfdb_record(path, ()).header.lead_count)
    record = wfdb_record(path, chosen)
    if not can_be_read_in_blocks(record):
        check_size(path, record)
    return SignalBlocks(
        path,
        record.rate_hz,
        record.header.rate_hz if kind_of(path) == "wfdb" else record.rate_hz,
        record.frames * record.samples_per_frame,
        chosen,
        record.header.lead_count,
        tuple(lead.name for lead in record.chosen),
        partial(iter_blocks_mv, record, _BLOCK_S),
        partial(read_range_mv, record),
    )


class Extent:
    """Lowest and highest value of each lead so far, mV.

    Args:
        leads: How many there are.
    """

    def __init__(self, leads: int) -> None:
        self.low, self.high = np.full(leads, np.inf), np.full(leads, -np.inf)

    def add(self, signal_mv: np.ndarray) -> None:
        """Take in a part of the recording, (leads, samples); NaN counts for nothing."""
        self.low = np.minimum(self.low, np.nanmin(signal_mv, axis=1, initial=np.inf))
        self.high = np.maximum(self.high, np.nanmax(signal_mv, axis=1, initial=-np.inf))

    def silent(self, leads: Sequence[int]) -> dict[int, str]:
        """Which of the leads have no signal, and why."""
        ends = zip(leads, self.low, self.high, strict=True)
        return {lead: "is constant" if low == high else "has no values" for lead, low, high in ends if not low < high}


class PartReader:
    """Parts of a recording in the order of time; of its blocks, only those that a part needs are in memory.

    Args:
        blocks: (leads, samples) each, one after the other.
        leads: How many there are.
        dtype: Of the blocks.
    """

    def __init__(self, blocks: Iterable[np.ndarray], leads: int, dtype: DTypeLike = np.float64) -> None:
        self._blocks = iter(blocks)
        self._held, self._first = np.empty((leads, 0), dtype), 0

    def part(self, first: int, stop: int) -> np.ndarray:
        """Samples `first` up to `stop`, less where the recording ends; no part begins before the one before it."""
        parts, end = [self._held[:, first - self._first :]], self._first + self._held.shape[1]
        while end < stop and (block := next(self._blocks, None)) is not None:
            parts.append(block[:, max(0, first - end) :])
            end += block.shape[1]
        self._held, self._first = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1), first
        return self._held[:, : stop - first]

    def finish(self) -> None:
        """Read the blocks that are left, so that their checks are done."""
        for _ in self._blocks:
            pass


class Stretch(NamedTuple):
    """A part of a recording, in its samples: what is computed at once, with a margin.

    Attributes:
        first: Of `signal_mv`.
        core: First without the margin.
        core_stop: The one after the last without the margin.
        signal_mv: (leads, samples), NaN where it is not finite.
    """

    first: int
    core: int
    core_stop: int
    signal_mv: np.ndarray


def stretches(source: SignalBlocks, length: int, margin: int, dtype: DTypeLike = np.float32) -> Iterator[Stretch]:
    """The recording in stretches of about `length` samples; all blocks are read, so that their checks are done."""
    reader = PartReader((_finite(block, dtype) for block in source.blocks_mv()), len(source.leads), dtype)
    # A last stretch is at least half as long.
    count = max(1, round(source.samples / length))
    for number in range(count):
        core, core_stop = number * length, source.samples if number == count - 1 else (number + 1) * length
        first = max(0, core - margin)
        signal_mv = reader.part(first, min(source.samples, core_stop + margin))
        if number == count - 1:
            reader.finish()
        yield Stretch(first, core, core_stop, signal_mv)


def resampled_blocks(source: SignalBlocks, ratio: Fraction, extent: Extent) -> Iterator[np.ndarray]:
    """A recording at another rate, a block at a time; the values of `siwcc.data.datasets.signals.resample`, to the bit.

    Args:
        source: The recording.
        ratio: New samples for an old one.
        extent: Takes in what is read.

    Yields:
        float64 (leads, samples), mV; NaN where it is not finite.
    """
    # Stretches begin with a sample that is one of both rates.
    unit = ratio.denominator
    margin = math.ceil(_FILTER_SAMPLES * max(Fraction(1), 1 / ratio) / unit) * unit
    length = math.ceil(max(_BLOCK_S * source.rate_hz, margin) / unit) * unit
    for part in stretches(source, length, margin, np.float64):
        extent.add(part.signal_mv)
        first, core, stop = (int(sample * ratio) for sample in (part.first, part.core, part.core_stop))
        ends_it = part.core_stop == source.samples
        yield resample(part.signal_mv, ratio)[:, core - first : None if ends_it else stop - first]


def _finite(block_mv: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """NaN where it is not finite."""
    block = np.asarray(block_mv, dtype)
    return block if np.isfinite(block).all() else np.where(np.isfinite(block), block, block.dtype.type(np.nan))
