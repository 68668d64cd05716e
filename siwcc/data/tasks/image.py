"""Tasks of images: points (x, y) in pixels of the frame that the image is fitted into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siwcc.config import ImageDataset, ImageTask
from siwcc.data.points import output_suffixes
from siwcc.data.tasks.interface import ErrorLimits, SignalNote, TaskSpec

_CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


def make_spec(settings: ImageTask, dataset: ImageDataset) -> TaskSpec:
    """Shape and coordinates: integer pixel indices, x the column and y the row (paper, 2.2.1)."""
    height, width = dataset.image_shape
    return TaskSpec(
        task=settings.name,
        network="lakshya",
        outputs=output_suffixes(settings.points, axes=2),
        unit="px",
        channels=dataset.colours,
        shape=(height, width),
        extent=(float(width - 1), float(height - 1)),
        output_scale=float(max(height, width) - 1),
    )


def error_limits(spec: TaskSpec, limits: tuple[float, float]) -> ErrorLimits:
    """In pixels, from fractions of the frame's height."""
    fine, coarse = (limit * spec.shape[0] for limit in limits)
    return ErrorLimits(spec.unit, fine, coarse)


def signal_note(spec: TaskSpec, given_channels: int, dataset: Mapping[str, Any], task: Mapping[str, Any]) -> SignalNote:
    """Colours; frame and normalisation of `siwcc.data.datasets.images.place_image` and `siwcc.data.augment.image`."""
    beside = "the image mirrored at its outermost pixels" if task.get("border") == "reflect" else "zeros"
    height, width = spec.shape
    preparation = (
        f"An image, values 0 ... 255, resized by area to the largest size that fits into {width} x {height} pixels; "
        "minus the mean over all its pixels and colours, over their standard deviation; then centred in that frame, "
        f"with {beside} beside it."
    )
    point = "The point" if len(spec.points) == 1 else f"The points {', '.join(spec.points)}"
    prediction = f"{point} in pixels of the frame, x to the right, y down; pixel centres are whole numbers."
    return SignalNote(_CHANNELS[spec.channels], preparation, prediction)
