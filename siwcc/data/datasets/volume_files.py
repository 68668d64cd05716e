"""Volumes in files: NumPy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from siwcc.data.datasets.images import SampleDefectError


def read_volume(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Read a `.npy` file with an array of numbers; nothing in it is executed.

    Args:
        path: The file.
        shape: Depth, height and width that it must have, voxels.

    Returns:
        float32 (depth, height, width), in the file's unit.

    Raises:
        SampleDefectError: no such array, another shape, or all voxels have one value.
    """
    try:
        # Mapped, so that a header that promises more than the file holds allocates nothing.
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        # numpy raises whatever damaged input makes it stumble over.
        raise SampleDefectError(f"cannot be read as a NumPy array ({type(error).__name__})") from error
    if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "uif":
        raise SampleDefectError("holds no array of numbers")
    if stored.shape != shape:
        raise SampleDefectError(f"is an array of shape {stored.shape}, and volume_shape is {shape}")
    volume = np.array(stored, dtype=np.float32)
    if volume.min() == volume.max():
        raise SampleDefectError("all voxels have one value")
    return volume
