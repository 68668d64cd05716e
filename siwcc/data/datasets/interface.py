"""Raw files in, samples out - or the reason why one is excluded.

A data set is a module named after its `format`, with the functions of `Reader`. To add one, write
that module and its section in `siwcc.config`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from siwcc.config import Kind

UNITS: Mapping[Kind, Mapping[str, str]] = {
    "signal": {"signal": "mV", "target": "s"},
    "image": {"signal": "uint8 RGB", "target": "px"},
    "volume": {"signal": "intensity", "target": "voxel"},
}
"""Units of `signal` and of `target` in the samples of each kind."""


def stored_size(shape: tuple[int, int]) -> int | str:
    """Height and width of images as an attribute of a samples file: one number for a square."""
    height, width = shape
    return height if height == width else f"{height} x {width}"


@dataclass(frozen=True)
class Sample:
    """One window or image with its target.

    Attributes:
        sample_id: Unique; samples files are sorted by it as a string.
        group: What must not be split over folds in a leak-free study (record, patient, slide image).
        label: The class: rhythm label or cell type.
        signal: Signals float32 (leads, samples) in mV; images uint8 (height, width, colours), RGB, padded with 0;
            volumes float32 (1, depth, height, width).
        target: float64 (outputs,), seconds, pixels or voxels.
        extras: Further columns of the samples file, the same names for every sample.
    """

    sample_id: str
    group: str
    label: str
    signal: np.ndarray
    target: np.ndarray
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Excluded:
    """A sample that cannot be used, and why: a line of `<dataset>.excluded.csv`."""

    sample_id: str
    reason: str


class Beats(NamedTuple):
    """The annotated beats of a recording, at least one.

    Attributes:
        sample: int64 (beats,), ascending, within the recording.
        ventricular: bool (beats,), whether it begins in a ventricle.
    """

    sample: np.ndarray
    ventricular: np.ndarray


@dataclass(frozen=True)
class RhythmRecord:
    """A whole recording, and when its rhythm changes.

    Attributes:
        name: Of the record.
        group: The subject; records of one subject are not split over folds.
        rate_hz: Of `signal_mv`.
        signal_mv: float32 (leads, samples); NaN where invalid.
        changes: int64 (changes,), samples at which a rhythm begins, ascending.
        labels: The rhythm that begins there, without its bracket.
        event_labels: Those that count as an event.
        beats: None where they are not annotated.
    """

    name: str
    group: str
    rate_hz: float
    signal_mv: np.ndarray
    changes: np.ndarray
    labels: tuple[str, ...]
    event_labels: tuple[str, ...]
    beats: Beats | None = None

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.signal_mv.shape[1] / self.rate_hz)


class Reader(Protocol):
    """What the module of a format offers."""

    def raw_files(self, section: Any, folder: Path) -> list[Path]:
        """Files of the set below `folder`, sorted; InputError when it is no such set."""
        ...

    def published_sums(self, section: Any) -> Mapping[str, str]:
        """SHA-256 by file of the set as published; empty where nobody published them."""
        ...

    def download(self, section: Any, folder: Path) -> None:
        """Fetch the set into `folder`: resumable, verified, each file whole or absent."""
        ...

    def iter_samples(self, section: Any, folder: Path) -> Iterator[Sample | Excluded]:
        """Samples sorted by id, one in memory at a time where they are large."""
        ...


def reader_for(format_name: str) -> Reader:
    """The module of a format, imported when it is needed."""
    return cast(Reader, import_module(f"siwcc.data.datasets.{format_name}"))
