"""Synthetic volumes: spheres of one look, of which position alone makes one the target.

The target is the sphere furthest to the upper left front: that with the smallest sum of x, y and z.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes, write_csv

SHAPE = (16, 24, 24)
"""Depth, height and width, voxels."""
SPHERES = 4
RADIUS = 2.0
NOISE = 0.1
"""Standard deviation; a sphere has the intensity 1, its surroundings 0."""
# Of a centre from each face, between two centres, and between the sums of the coordinates of target and next. A copy
# that is moved by two voxels has no mirrored sphere beside a face.
_MARGIN, _APART, _CLEARLY = 5.0, 6.0, 4.0
_VOLUMES_PER_GROUP = 2


def write_spheres_folder(folder: Path, volumes: int, seed: int) -> None:
    """Write `volumes/<number>.npy`, float32, and `samples.csv` with file, x, y, z (voxels) and group.

    A volume depends on the seed and its number only. Two volumes are a group. The table comes last.

    Args:
        folder: Made if absent; files of the same names are replaced, others stay.
        volumes: How many to make.
        seed: The same seed gives the same bytes.

    Raises:
        InputError: no volumes asked for, or the folder cannot be written to.
    """
    if volumes < 1:
        raise InputError(folder, f"{volumes} synthetic volumes cannot be written", "ask for at least 1")
    rows = []
    for number in range(volumes):
        rng = np.random.default_rng([seed, number])
        centres = draw_centres(rng)
        file = f"volumes/{number:04d}.npy"
        content = io.BytesIO()
        np.save(content, draw_volume(rng, centres), allow_pickle=False)
        write_bytes(folder / file, content.getvalue())
        place = (f"{value:.2f}" for value in centres[0])
        rows.append((file, *place, f"subject_{number // _VOLUMES_PER_GROUP:03d}"))
    write_csv(folder / "samples.csv", ("file", "x", "y", "z", "group"), rows)


def draw_centres(rng: np.random.Generator) -> np.ndarray:
    """Centres of the spheres, float64 (spheres, 3), x first, voxels; the target first."""
    last = np.array(SHAPE[::-1]) - 1
    while True:
        centres = np.round(rng.uniform(_MARGIN, last - _MARGIN, size=(SPHERES, 3)), 2)
        centres = centres[np.argsort(centres.sum(axis=1))]
        sums = centres.sum(axis=1)
        distance = np.linalg.norm(centres[:, np.newaxis] - centres, axis=2)[np.triu_indices(SPHERES, 1)]
        if distance.min() >= _APART and sums[1] - sums[0] >= _CLEARLY:
            return centres


def draw_volume(rng: np.random.Generator, centres: np.ndarray) -> np.ndarray:
    """Spheres whose edge is one voxel wide, with white noise, float32 of `SHAPE`.

    Args:
        rng: Draws the noise.
        centres: float64 (spheres, 3), x first, voxels.
    """
    z, y, x = np.indices(SHAPE)
    places = np.stack([x, y, z], axis=-1)
    distance = np.linalg.norm(places[..., np.newaxis, :] - centres, axis=-1).min(axis=-1)
    spheres = np.clip(RADIUS + 0.5 - distance, 0.0, 1.0)
    return np.asarray(spheres + rng.normal(0.0, NOISE, SHAPE), dtype=np.float32)
