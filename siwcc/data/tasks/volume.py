"""Tasks of volumes: points (x, y, z) in voxels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siwcc.config import VolumeDataset, VolumeTask
from siwcc.data.points import output_suffixes
from siwcc.data.tasks.interface import ErrorLimits, SignalNote, TaskSpec


def make_spec(settings: VolumeTask, dataset: VolumeDataset) -> TaskSpec:
    """Shape and coordinates: integer voxel indices, x the column, y the row and z the slice."""
    shape = dataset.volume_shape
    return TaskSpec(
        task=settings.name,
        network="volume",
        outputs=output_suffixes(settings.points, axes=3),
        unit="voxel",
        channels=1,
        shape=shape,
        extent=tuple(float(size - 1) for size in reversed(shape)),
        output_scale=float(max(shape) - 1),
    )


def error_limits(spec: TaskSpec, limits: tuple[float, float]) -> ErrorLimits:
    """In voxels, from fractions of the longest side."""
    fine, coarse = (limit * max(spec.shape) for limit in limits)
    return ErrorLimits(spec.unit, fine, coarse)


def signal_note(spec: TaskSpec, given_channels: int, dataset: Mapping[str, Any], task: Mapping[str, Any]) -> SignalNote:
    """The normalisation of `siwcc.data.augment.volume`."""
    shape = " x ".join(map(str, spec.shape))
    preparation = f"A volume of {shape} voxels (depth, height, width), minus its mean, over its standard deviation."
    prediction = f"{', '.join(name or 'The point' for name in spec.points)}: x, y and z in voxels, each from 0."
    return SignalNote(("intensity",), preparation, prediction)
