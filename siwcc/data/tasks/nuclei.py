"""Nucleus centres: an RGB image of one cell, a point (x, y) in pixels of the padded square."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siwcc.config import ImageDataset, NucleiTask
from siwcc.data.points import output_suffixes
from siwcc.data.tasks.interface import ErrorLimits, SignalNote, TaskSpec

COLOURS = 3
FINE_SHARE, COARSE_SHARE = 0.05, 0.10


def make_spec(settings: NucleiTask, dataset: ImageDataset) -> TaskSpec:
    """Shape and coordinates: integer pixel indices, x the column and y the row (paper, 2.2.1)."""
    size = dataset.image_size
    return TaskSpec(
        task="nuclei",
        network="lakshya",
        outputs=output_suffixes(settings.points, axes=2),
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


def signal_note(spec: TaskSpec, given_channels: int, dataset: Mapping[str, Any], task: Mapping[str, Any]) -> SignalNote:
    """Colours; square and normalisation of `siwcc.data.datasets.images.place_image` and `siwcc.data.augment.nuclei`."""
    beside = "the image mirrored at its outermost pixels" if task.get("border") == "reflect" else "zeros"
    preparation = (
        f"An image of one cell, values 0 ... 255, resized by area so that its longer side is {spec.shape[-1]} pixels; "
        "minus the mean over all its pixels and colours, over their standard deviation; then centred in a square, "
        f"with {beside} beside it."
    )
    centre = "Centre of the nucleus" if len(spec.points) == 1 else f"Centres of {' and '.join(spec.points)}"
    prediction = f"{centre} in pixels of the square, x to the right, y down; pixel centres are whole numbers."
    return SignalNote(("red", "green", "blue"), preparation, prediction)
