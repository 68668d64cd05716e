"""Recordings of any length, a block at a time: for what must not hold a whole recording in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from siwcc.inference.inputs import choose_leads, kind_of, read_signal_file, wfdb_record

_BLOCK_S = 300.0


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
        InputError: see `siwcc.inference.inputs.read_signal_file`; a record may have any length.
    """
    if kind_of(path) == "csv":
        read = read_signal_file(path, wanted, leads, rate_hz)
        return blocks_of_array(read.signal_mv, read.rate_hz, path, read.leads, read.available, read.lead_names)
    from siwcc.data.datasets.wfdb_blocks import iter_blocks_mv, read_range_mv

    chosen = choose_leads(wanted, leads, wfdb_record(path, ()).header.lead_count)
    record = wfdb_record(path, chosen)
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
