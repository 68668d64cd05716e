"""Synthetic frontal radiographs of a spine, with the corners of 17 vertebrae in a table; nothing is copied from any.

Vertebrae are bright quadrilaterals of one look along a curved line, from small at the top to large at the bottom, with
ribs beside the upper twelve. So which vertebra is which shows in its place only.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from siwcc.io.console import tracked
from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes, write_csv

VERTEBRAE = 17
TABLE = "landmarks.csv"
_WITH_RIBS = 12
_SIZE_PX = (384, 192)
_PER_SUBJECT = 2
# Fractions of the image's height: the first and the last vertebra, and the height of the smallest and the largest.
_FIRST, _LAST = (0.05, 0.09), (0.88, 0.92)
_SIDES = (0.026, 0.042)


def write_radiographs(folder: Path, samples: int, seed: int) -> None:
    """Write `images/<subject>_<number>.png` and a table with x1, y1 ... x68, y68, the corners in pixels.

    Args:
        folder: Where they go.
        samples: Images; two of each subject.
        seed: The same seed gives the same bytes.
    """
    lines = []
    for number in tracked(range(samples), "synthetic radiographs"):
        rng = np.random.default_rng([seed, number])
        corners_px = _corners(rng)
        subject = number // _PER_SUBJECT + 1
        name = f"{subject:04d}_{number % _PER_SUBJECT + 1:02d}.png"
        done, content = cv2.imencode(".png", _drawn(rng, corners_px))
        if not done:
            raise InputError(folder / "images" / name, "could not be encoded")
        write_bytes(folder / "images" / name, content.tobytes())
        lines.append([name, f"{subject:04d}", *(f"{value:.2f}" for value in corners_px.ravel().tolist())])
    columns = [f"{axis}{corner}" for corner in range(1, 4 * VERTEBRAE + 1) for axis in "xy"]
    write_csv(folder / TABLE, ["file", "subject", *columns], lines)


def _corners(rng: np.random.Generator) -> np.ndarray:
    """Upper left, upper right, lower left and lower right of each vertebra, float64 (17, 4, 2), x and y in pixels."""
    height, width = _SIZE_PX
    along = np.linspace(0, 1, VERTEBRAE)
    # Higher vertebrae stand closer together.
    y = height * (rng.uniform(*_FIRST) + (rng.uniform(*_LAST) - _FIRST[1]) * (0.75 * along + 0.25 * along**2))
    bend = rng.uniform(-0.06, 0.06) * np.sin(np.pi * (along + rng.uniform(0, 0.5)))
    x = width * (0.5 + rng.uniform(-0.04, 0.04)) + height * bend
    slope = np.gradient(x, y)
    side = height * np.interp(along, (0, 1), _SIDES) * rng.uniform(0.9, 1.1)
    unit = np.stack([np.stack([np.ones(VERTEBRAE), -slope], 1), np.stack([slope, np.ones(VERTEBRAE)], 1)], 1)
    unit /= np.linalg.norm(unit, axis=2, keepdims=True)
    places = np.array([(-0.9, -0.5), (0.9, -0.5), (-0.9, 0.5), (0.9, 0.5)])
    offsets = np.einsum("ca,pad->pcd", places, unit) * side[:, np.newaxis, np.newaxis]
    return np.asarray(np.stack([x, y], 1)[:, np.newaxis] + offsets, dtype=np.float64)


def _drawn(rng: np.random.Generator, corners_px: np.ndarray) -> np.ndarray:
    """uint8 (height, width), grey."""
    height, width = _SIZE_PX
    image = np.full((height, width), 40.0, dtype=np.float32)
    centres = corners_px.mean(axis=1)
    for number, (centre, corners) in enumerate(zip(centres, corners_px, strict=True)):
        if number < _WITH_RIBS:
            for direction in (-1, 1):
                reach = (centre + np.array([direction * 0.34 * width, 0.05 * height])).astype(int).tolist()
                cv2.line(image, centre.astype(int).tolist(), reach, 75.0, 3, cv2.LINE_AA)
        outline = corners[[0, 1, 3, 2]]
        cv2.fillConvexPoly(image, np.round(outline * 16).astype(np.int32), 150.0, cv2.LINE_AA, shift=4)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.2), dtype=np.float64) * rng.uniform(0.8, 1.2)
    return np.asarray(np.clip(np.round(blurred + rng.normal(0, 6, image.shape)), 0, 255), dtype=np.uint8)
