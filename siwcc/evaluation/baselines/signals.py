"""Signals as the networks get them, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from siwcc.data.augment.interface import Inputs
from siwcc.data.tasks.interface import TaskSpec

# 64 images of 256 px take 50 MB.
_ROWS_PER_BATCH = 64


def read_batches(inputs: Inputs, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Signals without coordinate channels.

    Args:
        inputs: Rows of fold files.
        rows: Numbers of the rows wanted.

    Yields:
        Positions in `rows`, and float32 (batch, channels, *shape).
    """
    source = inputs.source("none")
    for first in range(0, len(rows), _ROWS_PER_BATCH):
        positions = np.arange(first, min(first + _ROWS_PER_BATCH, len(rows)))
        yield positions, source.read(rows[positions])


def axis_coordinates(spec: TaskSpec) -> list[np.ndarray]:
    """The coordinate of every index along each axis, x first, as the coordinate channels have it.

    Returns:
        For each axis float64 (its length,), from 0 to the spec's `extent`, seconds or pixels.
    """
    return [np.linspace(0, last, length) for last, length in zip(spec.extent, reversed(spec.shape), strict=True)]
