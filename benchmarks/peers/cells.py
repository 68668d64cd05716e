"""The cells of a study as a plain .npz, and their augmented copies. Needs numpy and OpenCV only.

The peer's environment does not have what the package needs. Copies are those of `siwcc.data.augment.image` with
mirrored borders: the same ranges, the same pixels for the same matrix. They are drawn again for every batch, without
rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

# The image size that the range of translations is given for.
_PAPER_IMAGE_SIZE_PX = 256


@dataclass(frozen=True)
class Cells:
    """All cells of a study with their folds; coordinates are x before y, in pixels.

    Attributes:
        image: uint8 (cells, height, width, colours), padded to the common size.
        content_box: int64 (cells, 4), left, top, width and height of the image without its padding.
        mean, std: float32 (cells, colours), what an image is normalised with.
        target: float64 (cells, 2).
        sample_id, group: (cells,) strings; a group is a slide image.
        fold: int64 (cells,), the fold in which a cell is tested, from 1.
        translation_px, rotation_deg: Largest to either side; the translation is for images of 256 px.
        scale: (2,), smallest and largest factor.
    """

    image: np.ndarray
    content_box: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    target: np.ndarray
    sample_id: np.ndarray
    group: np.ndarray
    fold: np.ndarray
    translation_px: np.ndarray
    rotation_deg: np.ndarray
    scale: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.image.shape[1:3]
        return height, width

    def draw_matrix(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a copy of a cell whose target is in the frame; float64 (2, 3), from source to output pixels."""
        height, width = self.shape
        limit_px = float(self.translation_px) * max(self.shape) / _PAPER_IMAGE_SIZE_PX
        while True:
            shift_px = rng.uniform(-limit_px, limit_px, 2)
            rotation_deg, scale = rng.uniform(-1, 1) * float(self.rotation_deg), rng.uniform(*self.scale)
            matrix = np.array(cv2.getRotationMatrix2D((width / 2, height / 2), rotation_deg, scale), dtype=np.float64)
            matrix[:, 2] += shift_px
            x_px, y_px = moved(matrix, self.target[row])
            if 0 <= x_px <= width - 1 and 0 <= y_px <= height - 1:
                return matrix

    def warped(self, row: int, matrix: np.ndarray) -> np.ndarray:
        """A cell, normalised, mirrored beyond its content and warped; float32 (height, width, colours)."""
        left, top, width, height = self.content_box[row].tolist()
        content = np.subtract(self.image[row, top : top + height, left : left + width], self.mean[row])
        content /= self.std[row]
        # The content is mirrored, not the square: the matrix takes its pixels.
        from_content = matrix @ np.array([[1.0, 0, left], [0, 1.0, top], [0, 0, 1.0]])
        mirrored = cv2.BORDER_REFLECT_101
        size = self.shape[::-1]
        return np.asarray(cv2.warpAffine(content, from_content, size, flags=cv2.INTER_LINEAR, borderMode=mirrored))

    def originals(self, rows: np.ndarray) -> np.ndarray:
        """Cells that are not moved, float32 (rows, colours, height, width)."""
        return np.stack([self.warped(row, np.eye(2, 3)) for row in rows]).transpose(0, 3, 1, 2)

    def copies(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A new copy of each of these cells: float32 (rows, colours, height, width), and float64 (rows, 2) targets."""
        matrices = [self.draw_matrix(row, rng) for row in rows]
        images = [self.warped(row, matrix) for row, matrix in zip(rows, matrices, strict=True)]
        targets = [moved(matrix, self.target[row]) for row, matrix in zip(rows, matrices, strict=True)]
        return np.stack(images).transpose(0, 3, 1, 2), np.stack(targets)


def moved(matrix: np.ndarray, point_px: np.ndarray) -> np.ndarray:
    """Where (x, y) is after a matrix, float64 (2,)."""
    return np.asarray(matrix[:, :2] @ point_px + matrix[:, 2])


def read_cells(path: Path) -> Cells:
    """Read what `benchmarks.peers.study.export_cells` wrote; nothing in the file is executed."""
    with np.load(path, allow_pickle=False) as arrays:
        return Cells(**{field.name: arrays[field.name] for field in fields(Cells)})
