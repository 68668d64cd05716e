"""Volumes, each as the three slices through one of its points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from siwcc.report.figures.style import SKY, new_figure

Mark = TypeVar("Mark")
Panel = Callable[[Axes, np.ndarray, str, Sequence[tuple[np.ndarray, Mark]]], None]
"""Draws an image (rows, columns), its title, and points (2,) in it, x first, each with its mark."""

_NAMES = ("x", "y", "z")
# Numbers of the axes to the right, downwards, and across the slice.
_PLANES = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
# Of the largest value of a heatmap.
_LEVELS = (0.1, 0.5)


@dataclass(frozen=True)
class VolumeRow(Generic[Mark]):
    """One row of three panels.

    Attributes:
        title: Above the first panel.
        volume: (depth, height, width).
        focus: (3,), x first, voxels: the slices go through the voxel that is nearest.
        points: What is marked: (3,), x first, voxels, and the mark.
        heatmap: (*places), its contours are drawn; None for none.
        stride: Voxels between two places of the heatmap.
    """

    title: str
    volume: np.ndarray
    focus: np.ndarray
    points: Sequence[tuple[np.ndarray, Mark]] = ()
    heatmap: np.ndarray | None = None
    stride: int = 1


def cut(volume: np.ndarray, focus: np.ndarray, across: int, stride: int = 1) -> tuple[int, np.ndarray]:
    """One slice.

    Args:
        volume: (depth, height, width).
        focus: (3,), x first, voxels.
        across: The number of the axis that the slice is across, 0 for x.
        stride: Voxels between two values of `volume`.

    Returns:
        The slice's number along that axis, and its values, (rows, columns): z is downwards, or y where there is no z.
    """
    axis = volume.ndim - 1 - across
    number = int(np.clip(np.rint(focus[across] / stride), 0, volume.shape[axis] - 1))
    return number, np.take(volume, number, axis=axis)


def draw_rows(rows: Sequence[VolumeRow[Mark]], panel: Panel[Mark]) -> Figure:
    """Three slices in each row: across z, y and x.

    Args:
        rows: At least one, of volumes of one shape.
        panel: Draws one slice.
    """
    figure = new_figure(5.6, 0.7 + 1.9 * len(rows))
    axes = figure.subplots(len(rows), len(_PLANES), squeeze=False)
    for panels, row in zip(axes, rows, strict=True):
        for axis, plane in zip(panels, _PLANES, strict=True):
            _draw_slice(axis, row, plane, panel)
    return figure


def _draw_slice(axis: Axes, row: VolumeRow[Mark], plane: tuple[int, int, int], panel: Panel[Mark]) -> None:
    right, down, across = plane
    number, values = cut(row.volume, row.focus, across)
    title = f"{_NAMES[across]} = {number}, {_NAMES[right]} right, {_NAMES[down]} down"
    title = f"{row.title}\n{title}" if plane == _PLANES[0] else title
    panel(axis, values, title, [(point[[right, down]], mark) for point, mark in row.points])
    for image in axis.images:
        # One scale for the three slices.
        image.set_clim(float(row.volume.min()), float(row.volume.max()))
    if row.heatmap is not None and row.heatmap.max() > 0:
        _, shown = cut(row.heatmap, row.focus, across, row.stride)
        columns, lines = (np.arange(size) * row.stride for size in shown.shape[::-1])
        levels = [level * float(row.heatmap.max()) for level in _LEVELS]
        axis.contour(columns, lines, shown, levels=levels, colors=[SKY, SKY], linewidths=[0.7, 1.3])
    axis.set_xlim(-0.5, values.shape[1] - 0.5)
    axis.set_ylim(values.shape[0] - 0.5, -0.5)
