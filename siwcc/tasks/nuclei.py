"""Nucleus centres: an RGB image of one cell, a point (x, y) in pixels of the padded square."""

from __future__ import annotations

from siwcc.config import ImageDataset, NucleiTask
from siwcc.tasks import ErrorLimits, TaskSpec

COLOURS = 3
FINE_SHARE, COARSE_SHARE = 0.05, 0.10


def make_spec(settings: NucleiTask, dataset: ImageDataset) -> TaskSpec:
    """Shape and coordinates: integer pixel indices, x the column and y the row (paper, 2.2.1)."""
    size = dataset.image_size
    return TaskSpec(
        task="nuclei",
        network="lakshya",
        outputs=("_x", "_y"),
        unit="px",
        channels=COLOURS,
        shape=(size, size),
        extent=(float(size - 1), float(size - 1)),
        output_scale=float(size - 1),
    )


def error_limits(spec: TaskSpec) -> ErrorLimits:
    """5 % and 10 % of the image's side, in pixels."""
    size_px = spec.shape[-1]
    return ErrorLimits(spec.unit, FINE_SHARE * size_px, COARSE_SHARE * size_px)
