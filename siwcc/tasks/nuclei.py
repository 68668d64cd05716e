"""Nucleus centres: an RGB image of one cell, a point (x, y) in pixels of the padded square."""

from __future__ import annotations

from siwcc.config import HerlevSection, NucleiTask, SipakmedSection
from siwcc.tasks import TaskSpec

COLOURS = 3


def make_spec(settings: NucleiTask, dataset: SipakmedSection | HerlevSection) -> TaskSpec:
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
