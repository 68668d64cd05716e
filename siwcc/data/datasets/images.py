"""What the image sets share: limits of files, centres of contours, fitting an image into a frame.

An image is uint8 (height, width, 3) in the order R, G, B. A point is (x, y) with x the column and
y the row; integer coordinates are pixel centres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from siwcc.data.datasets.interface import Sample

# Crops are below one megapixel; whole slide images have three. Anything far above is not such a set.
MAX_IMAGE_BYTES = 1 << 28
MAX_IMAGE_PIXELS = 1 << 26
MIN_SIDE_PX = 2
REPAIR = "copy the file again from where it comes from"

_FOLDER_DEPTH = 4


class SampleDefectError(Exception):
    """One sample cannot be used; readers turn it into `Excluded` with this text as the reason.

    Args:
        problem: What is wrong, with the value found.
        remedy: What the user can do about it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True)
class Placed:
    """A crop as it is in a samples file.

    Attributes:
        image: uint8 (height, width, colours), RGB, 0 outside the content box.
        points: float64, as many as were given, in pixels of the frame.
        content_box: int32 (left, top, width, height) of the resized crop in the frame, in pixels.
        mean: Over all pixels and channels of the resized crop without padding, 0..255.
        std: Of the same values, ddof 0; never 0.
        original_width: Of the crop as read, in pixels.
        original_height: Of the crop as read, in pixels.
        zoom: Pixels of the crop for one pixel of the frame.
    """

    image: np.ndarray
    points: np.ndarray
    content_box: np.ndarray
    mean: float
    std: float
    original_width: int
    original_height: int
    zoom: float

    def sample(self, sample_id: str, group: str, label: str, names: Sequence[str]) -> Sample:
        """What is in a samples file: the first point is the target, further ones have columns of their own.

        Args:
            sample_id: The id.
            group: What must not be split over folds.
            label: The class.
            names: Of the points (n, 2), in their order.
        """
        first, *others = np.atleast_2d(self.points)
        further = dict(zip(names[1:], others, strict=True))
        return Sample(sample_id, group, label, self.image, first, {**self.extras(), **further})

    def extras(self) -> dict[str, Any]:
        """The further columns of a samples file of images."""
        return {
            "content_box": self.content_box,
            "mean": self.mean,
            "std": self.std,
            "original_width": self.original_width,
            "original_height": self.original_height,
        }


def as_colours(image: np.ndarray, colours: int) -> np.ndarray:
    """An RGB image as it is, or for one colour its luminance, uint8 (height, width, 1)."""
    return image if colours == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[:, :, np.newaxis]


def place_image(image: np.ndarray, points: np.ndarray, frame: tuple[int, int]) -> Placed:
    """Resize a crop to the largest size that fits into a frame, and centre it there (paper, 2.1.1).

    With s = the smaller of the frame's height and width over the crop's: the side that decides becomes exactly the
    frame's, the other n * s, rounded down (at least 1), by `cv2.resize` with INTER_AREA on uint8. Left and top
    padding are (frame - side) // 2, the rest is right and bottom. Points become x * s + left, y * s + top.

    `cv2.resize` keeps the corners of pixels, not their centres: what is at x in the crop is drawn at
    x * s + (s - 1) / 2. The paper's reading, x * s, is kept, so targets are off by (s - 1) / 2 px
    against the image (0.18 px for a typical crop of 188 px, between -0.5 and 0 px for larger ones
    than the square). On the shorter side, whose length is rounded down, less than 1 px is added at
    the far edge.

    Args:
        image: uint8 (height, width, colours).
        points: float64 (n, 2) or (2,), pixels of `image`.
        frame: Height and width in pixels.

    Raises:
        SampleDefectError: a side below 2 px, or all values are equal (nothing to normalise by).
    """
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise SampleDefectError(f"image of {width} x {height} px: a side is below {MIN_SIDE_PX} px")
    to, of = min(zip(frame, (height, width), strict=True), key=lambda sides: Fraction(*sides))
    new_width, new_height = (max(1, side * to // of) for side in (width, height))
    resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)
    resized = resized.reshape(new_height, new_width, image.shape[2])
    mean, std = mean_and_std(resized)
    if std == 0:
        raise SampleDefectError("all values of the image are equal: its standard deviation is 0")
    left, top = (frame[1] - new_width) // 2, (frame[0] - new_height) // 2
    framed = np.zeros((*frame, image.shape[2]), dtype=np.uint8)
    framed[top : top + new_height, left : left + new_width] = resized
    moved = np.asarray(points, dtype=np.float64) * (to / of) + np.array([left, top], dtype=np.float64)
    box = np.array([left, top, new_width, new_height], dtype=np.int32)
    return Placed(framed, moved, box, mean, std, width, height, of / to)


def mean_and_std(image: np.ndarray) -> tuple[float, float]:
    """Of all values of a uint8 image, ddof 0; the same on every machine."""
    # Sums of integers are exact, so the two numbers do not depend on machine or summation order.
    count = image.size
    total = int(image.sum(dtype=np.int64))
    squares = int(np.square(image, dtype=np.uint32).sum(dtype=np.int64))
    return total / count, math.sqrt(count * squares - total * total) / count


def vertices_centroid(points: np.ndarray) -> np.ndarray:
    """Mean of a contour's vertices, a repeated first point not counted twice.

    Args:
        points: float64 (n, 2), n >= 1.

    Returns:
        float64 (2,), in the unit of `points`.
    """
    return np.asarray(_without_closing_point(points).mean(axis=0), dtype=np.float64)


def polygon_centroid(points: np.ndarray) -> np.ndarray:
    """Centroid of the polygon by the shoelace formula (paper, 2.1.1).

    Falls back to the vertices where the formula gives no point of the contour: zero area (two
    points, a line), or a contour that crosses itself so that its lobes nearly cancel and the quotient
    lies outside the contour's bounding box.

    Args:
        points: float64 (n, 2), n >= 1, in order; closed by repeating the first point, or not.

    Returns:
        float64 (2,), in the unit of `points`.
    """
    corners = _without_closing_point(points)
    relative = corners - corners[0]
    x, y = relative.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * next_y - next_x * y
    doubled_area = cross.sum()
    # The area of points on a slanted line is rounding error, not exactly 0.
    if abs(doubled_area) <= 1e-12 * np.abs(relative).max() ** 2:
        return vertices_centroid(points)
    moments = np.array([((x + next_x) * cross).sum(), ((y + next_y) * cross).sum()])
    centre = moments / (3 * doubled_area)
    if np.any(centre < relative.min(axis=0)) or np.any(centre > relative.max(axis=0)):
        return vertices_centroid(points)
    return np.asarray(centre + corners[0], dtype=np.float64)


def _without_closing_point(points: np.ndarray) -> np.ndarray:
    closed = len(points) > 1 and np.array_equal(points[0], points[-1])
    return points[:-1] if closed else points


def read_limited(path: Path, max_bytes: int) -> bytes:
    """The content of a small file.

    Raises:
        SampleDefectError: it cannot be read, is empty or larger than `max_bytes`.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(max_bytes + 1)
    except OSError as error:
        problem = f"{path.name} cannot be read ({error.strerror or error})"
        raise SampleDefectError(problem, "check its path and permissions") from error
    if not content:
        raise SampleDefectError(f"{path.name} is empty (0 bytes)", REPAIR)
    if len(content) > max_bytes:
        raise SampleDefectError(f"{path.name} is larger than {max_bytes} bytes", "give a smaller file")
    return content


def check_size(width: int, height: int) -> None:
    """Refuse an image before it is decoded, so that a small file cannot ask for gigabytes.

    Raises:
        SampleDefectError: no pixels, or above 64 megapixels.
    """
    if width < 1 or height < 1 or width * height > MAX_IMAGE_PIXELS:
        problem = f"says it has {width} x {height} px; 1 to {MAX_IMAGE_PIXELS} px can be read"
        raise SampleDefectError(problem, "cut a part out of it")


def folders_below(folder: Path, depth: int = _FOLDER_DEPTH) -> Iterator[Path]:
    """`folder` and what is below it down to `depth`, sorted; hidden folders are left out.

    The depth is limited because links to folders are followed, and may form a loop.
    """
    yield folder
    if depth:
        for child in sorted(folder.iterdir()):
            if child.is_dir() and not child.name.startswith("."):
                yield from folders_below(child, depth - 1)


def files_of(folder: Path) -> list[Path]:
    """Regular files that stand directly in `folder`, sorted; hidden ones are left out."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def unique_ids(wanted: list[str]) -> list[str]:
    """Make ids unique: the second, third ... `a` becomes `a#2`, `a#3` ...

    A sample whose id is taken is excluded under such an id, so that a line of `<dataset>.excluded.csv`
    never names a sample that is used.
    """
    seen: dict[str, int] = {}
    unique = []
    for name in wanted:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique
