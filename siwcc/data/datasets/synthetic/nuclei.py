"""Synthetic cells in the layout of SIPaKMeD, for demonstrations and tests.

Light passes through stained cells, so stains are kept as optical density (natural logarithm, one
value a colour) and add up where cells overlap. Densities, margins and sizes are close to those of
real crops; nothing is copied from any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from siwcc.data.datasets.images import polygon_centroid
from siwcc.io.console import tracked
from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes, write_csv, write_text

# Width and height in pixels: medians and limits of the real set.
_SMALLEST_PX = (62, 48)
_LARGEST_PX = (531, 553)
_WIDER_THAN_HIGH = 188 / 166
_SLIDES_PER_CELL = 966 / 4049
_MOST_CELLS_PER_SLIDE = 26
_DEFECT_EVERY = 40
_FIRST_DEFECT = 19

_Colour = tuple[float, float, float]
_PINK: _Colour = (0.15, 0.38, 0.28)
_ORANGE: _Colour = (0.05, 0.34, 0.36)
_TEAL: _Colour = (0.80, 0.40, 0.29)
_GREY_BLUE: _Colour = (0.52, 0.42, 0.30)
_HAEMATOXYLIN: _Colour = (0.55, 0.70, 0.46)
_GRANULES: _Colour = (0.30, 0.14, 0.08)
_SMEAR: _Colour = (1.2, 0.4, 0.3)
_BACKGROUNDS_RGB = ((148.0, 147.0, 142.0), (152.0, 166.0, 182.0), (196.0, 194.0, 200.0), (176.0, 178.0, 170.0))


@dataclass(frozen=True)
class _CellType:
    """How the cells of a class look.

    Attributes:
        side_px: Median of the square root of width times height.
        nucleus: Range of the nucleus' diameter as a fraction of that side.
        nucleus_density: Range of the amount of nuclear stain.
        stains: Stains of the cytoplasm, drawn per slide.
        density: Range of the amount of cytoplasm stain.
        corners: Range of the number of corners of the cell.
        roundings: How often corners are cut: 1 leaves edges, 3 gives a smooth line.
        halo: Fraction of the cytoplasm missing around the nucleus.
        neighbours: Largest number of other cells that reach into the crop.
    """

    side_px: float
    nucleus: tuple[float, float]
    nucleus_density: tuple[float, float]
    stains: tuple[_Colour, ...]
    density: tuple[float, float]
    corners: tuple[int, int]
    roundings: int
    halo: float
    neighbours: int


CELL_TYPES = {
    "Dyskeratotic": _CellType(
        side_px=158,
        nucleus=(0.18, 0.28),
        nucleus_density=(1.1, 1.6),
        stains=(_ORANGE, _PINK),
        density=(0.7, 1.1),
        corners=(6, 9),
        roundings=2,
        halo=0.15,
        neighbours=4,
    ),
    "Koilocytotic": _CellType(
        side_px=200,
        nucleus=(0.16, 0.25),
        nucleus_density=(1.0, 1.5),
        stains=(_TEAL, _GREY_BLUE, _PINK),
        density=(0.5, 0.8),
        corners=(6, 9),
        roundings=2,
        halo=0.75,
        neighbours=3,
    ),
    "Metaplastic": _CellType(
        side_px=160,
        nucleus=(0.22, 0.32),
        nucleus_density=(0.9, 1.4),
        stains=(_TEAL, _GREY_BLUE),
        density=(0.5, 0.9),
        corners=(7, 11),
        roundings=3,
        halo=0.1,
        neighbours=2,
    ),
    "Parabasal": _CellType(
        side_px=132,
        nucleus=(0.28, 0.38),
        nucleus_density=(0.9, 1.4),
        stains=(_TEAL, _GREY_BLUE),
        density=(0.6, 0.9),
        corners=(9, 13),
        roundings=3,
        halo=0.05,
        neighbours=2,
    ),
    "Superficial-Intermediate": _CellType(
        side_px=305,
        nucleus=(0.12, 0.19),
        nucleus_density=(1.1, 1.6),
        stains=(_PINK, _ORANGE, _TEAL, _GREY_BLUE),
        density=(0.5, 1.0),
        corners=(4, 6),
        roundings=1,
        halo=0.15,
        neighbours=3,
    ),
}


@dataclass(frozen=True)
class _Place:
    """Where a cell stands: class, slide image of that class and number in it, both from 1."""

    class_name: str
    slide: int
    number: int

    def stem(self) -> str:
        """`NNN_MM`, the file names' common part."""
        return f"{self.slide:03d}_{self.number:02d}"


@dataclass(frozen=True)
class _Slide:
    """What the cells of one slide image share.

    Attributes:
        background_rgb: Light that passes where no cell is, 0 ... 255.
        stain: The commonest stain of the cytoplasm there.
        blur_px: Standard deviation of the focus blur.
        noise: Standard deviation of the camera's noise in grey levels.
    """

    background_rgb: np.ndarray
    stain: _Colour
    blur_px: float
    noise: float


@dataclass(frozen=True)
class _Outline:
    """A closed line round a centre from which every point of it can be seen.

    Attributes:
        centre_px: (x, y).
        points_px: float64 (n, 2); the first point is not repeated.
    """

    centre_px: np.ndarray
    points_px: np.ndarray

    def radius_px(self, angle: float) -> float:
        """Distance from the centre to the line in a direction (radians, x axis towards y axis)."""
        offset_px = self.points_px - self.centre_px
        angles = np.arctan2(offset_px[:, 1], offset_px[:, 0])
        return float(np.interp(angle, *_sorted_by(angles, np.hypot(*offset_px.T)), period=2 * np.pi))


def _sorted_by(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys)
    return keys[order], values[order]


@dataclass(frozen=True)
class MadeCell:
    """One crop.

    Attributes:
        image: uint8 (height, width, 3), RGB.
        nucleus_px: float64 (n, 2), contour of the nucleus, first point repeated last.
        cytoplasm_px: The same for the whole cell.
    """

    image: np.ndarray
    nucleus_px: np.ndarray
    cytoplasm_px: np.ndarray


def write_cells(folder: Path, cells: int, seed: int) -> None:
    """Write a set `im_<Class>/CROPPED/NNN_MM.bmp` with `_nuc.dat` and `_cyt.dat` beside each.

    The classes take turns. A cell depends on the seed and its place only, so a larger set begins
    with the smaller ones. Of 40 cells one, of the first 40 two, have a nucleus contour that leaves
    the image, as 26 of the real set have. A set of the same cells is overwritten file by file.

    Args:
        folder: Where the class folders will stand.
        cells: How many crops to make.
        seed: The same seed gives the same bytes.

    Raises:
        InputError: no cells asked for, or the folder holds other cells or cannot be written to.
    """
    places = _wanted_places(folder, cells, seed)
    _check_folder(folder, places)
    for index, place in enumerate(tracked(places, "cells")):
        cell = draw_cell(seed, place.class_name, place.slide, place.number)
        nucleus_px = cell.nucleus_px
        if index == _FIRST_DEFECT or index % _DEFECT_EVERY == _DEFECT_EVERY - 1:
            nucleus_px = _moved_out(_rng(seed, "defect", *_key(place)), nucleus_px, cell.image.shape[1])
        stem = _stem_path(folder, place)
        write_bytes(stem.with_name(f"{stem.name}.bmp"), _encoded(cell.image, ".bmp"))
        write_text(stem.with_name(f"{stem.name}_nuc.dat"), _contour_text(nucleus_px))
        write_text(stem.with_name(f"{stem.name}_cyt.dat"), _contour_text(cell.cytoplasm_px))


def write_cells_folder(folder: Path, cells: int, seed: int) -> None:
    """Write the cells of `write_cells` as PNGs, with the table that a `format: folder` set has.

    `images/<class>_NNN_MM.png`, and `samples.csv` with one row per image: file, x and y of the nucleus' centre, the
    slide image as group, and the class. The table comes last. No cell has a defect.

    Args:
        folder: Made if absent; files of the same names are replaced, others stay.
        cells: How many images to make.
        seed: The same seed gives the same bytes.

    Raises:
        InputError: no cells asked for, or the folder cannot be written to.
    """
    rows = []
    for place in _wanted_places(folder, cells, seed):
        cell = draw_cell(seed, place.class_name, place.slide, place.number)
        slide = f"{place.class_name.lower()}_{place.slide:03d}"
        file = f"images/{slide}_{place.number:02d}.png"
        write_bytes(folder / file, _encoded(cell.image, ".png"))
        x_px, y_px = polygon_centroid(cell.nucleus_px)
        rows.append((file, f"{x_px:.2f}", f"{y_px:.2f}", slide, place.class_name))
    write_csv(folder / "samples.csv", ("file", "x", "y", "group", "class"), rows)


def _wanted_places(folder: Path, cells: int, seed: int) -> list[_Place]:
    if cells < 1:
        raise InputError(folder, f"{cells} synthetic cells cannot be written", "ask for at least 1")
    return list(_places(cells, seed))


def _encoded(image: np.ndarray, extension: str) -> bytes:
    return cv2.imencode(extension, image[..., ::-1])[1].tobytes()


def _stem_path(folder: Path, place: _Place) -> Path:
    return folder / f"im_{place.class_name}" / "CROPPED" / place.stem()


def _check_folder(folder: Path, places: list[_Place]) -> None:
    own = {_stem_path(folder, place) for place in places}
    for path in sorted(folder.glob("im_*/CROPPED/*.bmp")):
        if path.with_suffix("") not in own:
            raise InputError(path, "is not a cell of the set to be written", "delete the folder or choose another")


def _contour_text(points_px: np.ndarray) -> str:
    return "".join(f"{x:.6g},{y:.6g}\n" for x, y in points_px)


def _moved_out(rng: np.random.Generator, points_px: np.ndarray, width_px: int) -> np.ndarray:
    beyond_px = rng.uniform(1, 15)
    x_px = points_px[:, 0]
    shift_px = width_px - x_px.max() + beyond_px if rng.random() < 0.5 else -x_px.min() - beyond_px
    return np.stack([np.round(x_px + shift_px, 2), points_px[:, 1]], axis=1)


def _rng(seed: int, *names: object) -> np.random.Generator:
    key = hashlib.sha256("\0".join(str(name) for name in (seed, *names)).encode()).digest()
    return np.random.default_rng(np.frombuffer(key, dtype=np.uint32))


def _key(place: _Place) -> tuple[str, int, int]:
    return place.class_name, place.slide, place.number


def _places(cells: int, seed: int) -> Iterator[_Place]:
    names = list(CELL_TYPES)
    places = [_places_of_class(name, seed) for name in names]
    for index in range(cells):
        # Turning the order by one each round lets the defects, one in 40 cells, meet every class.
        yield next(places[(index + index // len(names)) % len(names)])


def _places_of_class(class_name: str, seed: int) -> Iterator[_Place]:
    rng = _rng(seed, "slides", class_name)
    slide = 0
    while True:
        slide += 1
        for number in range(1, 1 + min(int(rng.geometric(_SLIDES_PER_CELL)), _MOST_CELLS_PER_SLIDE)):
            yield _Place(class_name, slide, number)


def _draw_slide(seed: int, class_name: str, slide: int) -> _Slide:
    rng = _rng(seed, "slide", class_name, slide)
    stains = CELL_TYPES[class_name].stains
    return _Slide(
        background_rgb=np.array(_BACKGROUNDS_RGB[rng.integers(len(_BACKGROUNDS_RGB))]) + rng.normal(0, 5, 3),
        stain=stains[rng.integers(len(stains))],
        blur_px=rng.uniform(0.6, 1.6),
        noise=rng.uniform(0.6, 2.0),
    )


def _blob(rng: np.random.Generator, corners: int, roundings: int, spread: float) -> np.ndarray:
    """A closed line round (0, 0) with radius about 1, float64 (n, 2)."""
    angles = (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2 * np.pi / corners
    radii = 1 + rng.uniform(-spread, spread, corners)
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    for _ in range(roundings):
        # Chaikin's corner cutting.
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1).reshape(-1, 2)
    return points


def _dense(points: np.ndarray, spacing: float) -> np.ndarray:
    """The same closed line with points at most `spacing` apart along it."""
    closed = np.vstack([points, points[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    along = np.linspace(0, length[-1], max(8, int(np.ceil(length[-1] / spacing))), endpoint=False)
    return np.stack([np.interp(along, length, closed[:, axis]) for axis in (0, 1)], axis=1)


def _weathered(rng: np.random.Generator, points_px: np.ndarray, amount_px: float) -> np.ndarray:
    """A dense line made uneven: waves of several lengths, each shorter one lower, and some raggedness."""
    turns = np.linspace(0, 2 * np.pi, len(points_px), endpoint=False)
    waves = range(4, 16)
    offsets_px = sum(
        np.cos(count * turns + rng.uniform(0, 2 * np.pi, (2, 1))) * rng.normal(0, 3 / count) for count in waves
    )
    return np.asarray(points_px + amount_px * (np.transpose(offsets_px) + rng.normal(0, 0.3, points_px.shape)))


def _draw_size(rng: np.random.Generator, cell_type: _CellType) -> tuple[int, int]:
    side_px = cell_type.side_px * np.exp(rng.normal(0, 0.24))
    stretch = np.sqrt(_WIDER_THAN_HIGH * np.exp(rng.normal(0, 0.24)))
    sides_px = np.clip((side_px * stretch, side_px / stretch), _SMALLEST_PX, _LARGEST_PX)
    width_px, height_px = np.rint(sides_px).astype(int)
    return int(width_px), int(height_px)


def _draw_cytoplasm(rng: np.random.Generator, cell_type: _CellType, size_px: np.ndarray) -> _Outline:
    """A cell that fills the crop up to about 10 px from its borders, as the real ones do."""
    blob = _blob(rng, int(rng.integers(*cell_type.corners, endpoint=True)), cell_type.roundings, 0.22)
    low, high = blob.min(axis=0), blob.max(axis=0)
    margin_px = np.minimum(rng.uniform(7, 13), 0.08 * size_px)
    scale = (size_px - 1 - 2 * margin_px) / (high - low)
    points_px = _weathered(rng, _dense((blob - low) * scale + margin_px, 3.0), 0.12 * margin_px.min())
    return _Outline(-low * scale + margin_px, np.clip(points_px, 1, size_px - 2))


def _draw_nucleus(rng: np.random.Generator, cell_type: _CellType, cell: _Outline, size_px: np.ndarray) -> _Outline:
    """A nucleus anywhere in the cell: mostly near its middle, often well off it."""
    diameter_px = rng.uniform(*cell_type.nucleus) * np.sqrt(size_px.prod())
    radius_px = float(np.clip(diameter_px / 2, 4.5, 0.3 * size_px.min()))
    stretch = np.sqrt(1 + 0.6 * rng.random() ** 2)
    blob = _blob(rng, 10, 3, 0.10) * (stretch, 1 / stretch)
    turn = rng.uniform(0, np.pi)
    shape_px = radius_px * blob @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    angle = rng.uniform(-np.pi, np.pi)
    room_px = max(0.0, cell.radius_px(angle) - 1.1 * radius_px)
    centre_px = cell.centre_px + 0.9 * np.sqrt(rng.random()) * room_px * np.array([np.cos(angle), np.sin(angle)])
    low_px, high_px = 2 - shape_px.min(axis=0), size_px - 3 - shape_px.max(axis=0)
    centre_px = np.clip(centre_px, low_px, high_px)
    return _Outline(centre_px, shape_px + centre_px)


def _contour(outline: _Outline, spacing_px: float) -> np.ndarray:
    points_px = np.round(_dense(outline.points_px, spacing_px), 2)
    return np.vstack([points_px, points_px[:1]])


class _Canvas:
    """Optical density of a crop, to which cells, nuclei and debris are added."""

    def __init__(self, rng: np.random.Generator, width_px: int, height_px: int) -> None:
        self.rng = rng
        self.shape = (height_px, width_px)
        self.density = np.zeros((3, height_px, width_px), dtype=np.float32)

    def mask(self, points_px: np.ndarray, soft_px: float = 0.0) -> np.ndarray:
        """Fraction of each pixel inside a closed line, float32 0 ... 1."""
        filled = np.zeros(self.shape, dtype=np.uint8)
        cv2.fillPoly(filled, [np.round(points_px * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        fraction = filled.astype(np.float32) / 255
        return cv2.GaussianBlur(fraction, (0, 0), soft_px) if soft_px > 0 else fraction

    def clouds(self, grain_px: float) -> np.ndarray:
        """Smooth noise with standard deviation near 1 and structure of about `grain_px`."""
        height, width = self.shape
        rows, columns = int(height / grain_px) + 2, int(width / grain_px) + 2
        grid = self.rng.standard_normal((rows, columns), dtype=np.float32)
        return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)

    def add(self, amount: np.ndarray, stain: _Colour) -> None:
        """Add a stain: amount float32 (height, width), its density per colour."""
        for plane, per_colour in zip(self.density, stain, strict=True):
            plane += amount * np.float32(per_colour)

    def add_cytoplasm(self, points_px: np.ndarray, stain: _Colour, amount: float, halo: np.ndarray | float) -> None:
        """Add a cell body: cloudy, thicker to one side, darker along its rim, with folds.

        Args:
            points_px: Its line.
            stain: Density per colour.
            amount: How much of the stain.
            halo: Fraction of the stain that is missing, 0 ... 1, for each pixel.
        """
        body = self.mask(points_px, self.rng.uniform(0.6, 2.2))
        rim = np.clip(body - cv2.GaussianBlur(body, (0, 0), 4.0), 0, None)
        thickness = (
            1
            + 0.20 * self._slope()
            + 0.14 * self.clouds(0.3 * max(self.shape))
            + 0.08 * self.clouds(9)
            + 0.04 * self.clouds(2.5)
        )
        thickness = amount * np.clip(thickness, 0.3, None) * (1 - halo) + self.rng.uniform(0, 0.5) * rim
        self.add(body * (thickness + amount * self._folds(points_px)), stain)

    def _slope(self) -> np.ndarray:
        height, width = self.shape
        angle = self.rng.uniform(-np.pi, np.pi)
        rows = np.linspace(-np.sin(angle), np.sin(angle), height, dtype=np.float32)[:, np.newaxis]
        return np.asarray(rows + np.linspace(-np.cos(angle), np.cos(angle), width, dtype=np.float32))

    def _folds(self, points_px: np.ndarray) -> np.ndarray:
        folds = np.zeros(self.shape, dtype=np.uint8)
        for _ in range(self.rng.integers(0, 4)):
            ends_px = points_px[self.rng.integers(len(points_px), size=2)]
            bend_px = points_px.mean(axis=0) + self.rng.normal(0, 0.25, 2) * np.ptp(points_px, axis=0)
            t = np.linspace(self.rng.uniform(0, 0.3), self.rng.uniform(0.5, 1), 20)[:, np.newaxis]
            curve_px = (1 - t) ** 2 * ends_px[0] + 2 * t * (1 - t) * bend_px + t**2 * ends_px[1]
            line = [np.round(curve_px * 16).astype(np.int32)]
            cv2.polylines(
                folds, line, False, int(self.rng.integers(40, 150)), int(self.rng.integers(1, 5)), cv2.LINE_AA, 4
            )
        return cv2.GaussianBlur(folds, (0, 0), 1.5).astype(np.float32) / 255

    def add_nucleus(self, points_px: np.ndarray, amount: float) -> None:
        """Add a nucleus: grainy chromatin, a slightly darker rim, a soft edge."""
        body = self.mask(points_px, 1.0)
        rim = np.clip(body - cv2.GaussianBlur(body, (0, 0), 2.5), 0, None)
        chromatin = np.clip(1 + 0.10 * self.clouds(7) + 0.10 * self.clouds(3), 0.6, None)
        self.add(body * amount * (chromatin + 0.4 * rim), _HAEMATOXYLIN)


def draw_cell(seed: int, class_name: str, slide: int, number: int) -> MadeCell:
    """Draw one crop.

    Args:
        seed: The set's seed.
        class_name: One of `CELL_TYPES`.
        slide: Number of the slide image, from 1; its cells share light, stain and focus.
        number: Number of the cell in it, from 1.
    """
    cell_type = CELL_TYPES[class_name]
    look = _draw_slide(seed, class_name, slide)
    rng = _rng(seed, "cell", class_name, slide, number)
    width_px, height_px = _draw_size(rng, cell_type)
    size_px = np.array([width_px, height_px], dtype=np.float64)
    cell = _draw_cytoplasm(rng, cell_type, size_px)
    nucleus = _draw_nucleus(rng, cell_type, cell, size_px)
    canvas = _Canvas(rng, width_px, height_px)
    _add_neighbours(canvas, cell_type, look, cell)
    _add_cell(canvas, cell_type, look, cell, nucleus)
    _add_debris(canvas, cell)
    return MadeCell(_photograph(canvas, look), _contour(nucleus, 6.0), _contour(cell, 12.0))


def _draw_stain(rng: np.random.Generator, cell_type: _CellType, look: _Slide) -> _Colour:
    return look.stain if rng.random() < 0.7 else cell_type.stains[rng.integers(len(cell_type.stains))]


def _add_cell(canvas: _Canvas, cell_type: _CellType, look: _Slide, cell: _Outline, nucleus: _Outline) -> None:
    rng = canvas.rng
    radius_px = np.ptp(nucleus.points_px, axis=0).mean() / 2
    around_px = nucleus.centre_px + radius_px * rng.uniform(1.5, 2.3) * _blob(rng, 9, 2, 0.25)
    halo = cell_type.halo * rng.uniform(0.6, 1) * canvas.mask(around_px, 0.12 * radius_px + 1)
    stain = _draw_stain(rng, cell_type, look)
    canvas.add_cytoplasm(cell.points_px, stain, rng.uniform(*cell_type.density), halo)
    if rng.random() < 0.3:
        specks = np.clip(canvas.clouds(3.0) - 1.0, 0, 1)
        canvas.add(canvas.mask(cell.points_px) * specks, _GRANULES)
    canvas.add_nucleus(nucleus.points_px, rng.uniform(*cell_type.nucleus_density))


def _add_neighbours(canvas: _Canvas, cell_type: _CellType, look: _Slide, cell: _Outline) -> None:
    """Other cells, their centres beyond the cell's own line, some with the nucleus in sight."""
    rng = canvas.rng
    for _ in range(rng.integers(0, cell_type.neighbours, endpoint=True)):
        angle = rng.uniform(-np.pi, np.pi)
        direction = np.array([np.cos(angle), np.sin(angle)])
        own_px = cell.radius_px(angle)
        radius_px = np.ptp(cell.points_px, axis=0).mean() / 2 * rng.uniform(0.7, 1.2)
        centre_px = cell.centre_px + direction * (own_px + radius_px * rng.uniform(0.65, 1.05))
        corners = int(rng.integers(*cell_type.corners, endpoint=True))
        line_px = centre_px + radius_px * rng.uniform(0.7, 1.3, 2) * _blob(rng, corners, cell_type.roundings, 0.25)
        points_px = _weathered(rng, _dense(line_px, 3.0), 1.0)
        canvas.add_cytoplasm(points_px, _draw_stain(rng, cell_type, look), 0.8 * rng.uniform(*cell_type.density), 0.0)
        nucleus_px = rng.uniform(*cell_type.nucleus) * radius_px
        middle_px = centre_px + rng.uniform(-0.2, 0.2, 2) * radius_px
        canvas.add_nucleus(middle_px + nucleus_px * _blob(rng, 10, 3, 0.1), rng.uniform(*cell_type.nucleus_density))


def _add_debris(canvas: _Canvas, cell: _Outline) -> None:
    """Specks anywhere, and white blood cells, two or three dark lobes each, outside the cell or at its line."""
    rng = canvas.rng
    height_px, width_px = canvas.shape
    for _ in range(rng.poisson(1.5)):
        speck_px = rng.uniform((0, 0), (width_px, height_px)) + rng.uniform(0.6, 1.6) * _blob(rng, 6, 2, 0.3)
        canvas.add(canvas.mask(speck_px) * np.float32(rng.uniform(0.2, 0.7)), _HAEMATOXYLIN)
    for _ in range(rng.poisson(0.5)):
        angle = rng.uniform(-np.pi, np.pi)
        away_px = cell.radius_px(angle) * rng.uniform(1.0, 1.4)
        middle_px = cell.centre_px + away_px * np.array([np.cos(angle), np.sin(angle)])
        for _ in range(rng.integers(2, 4)):
            lobe_px = middle_px + rng.normal(0, 4, 2) + rng.uniform(3.0, 5.5) * _blob(rng, 8, 2, 0.15)
            canvas.add_nucleus(lobe_px, rng.uniform(0.6, 1.1))


def _photograph(canvas: _Canvas, look: _Slide) -> np.ndarray:
    """Light through the stains, uneven, out of focus by the slide's blur, with the camera's noise."""
    rng = canvas.rng
    height_px, width_px = canvas.shape
    tilt_y, tilt_x = rng.uniform(-0.05, 0.05, 2)
    rows = np.linspace(-tilt_y, tilt_y, height_px, dtype=np.float32)[:, np.newaxis]
    columns = np.linspace(-tilt_x, tilt_x, width_px, dtype=np.float32)
    canvas.add(0.04 * np.abs(canvas.clouds(30)), _SMEAR)
    light = (1 + rows + columns) * look.background_rgb.astype(np.float32)[:, np.newaxis, np.newaxis]
    image = cv2.merge(list(light * np.exp(-canvas.density)))
    image = cv2.GaussianBlur(image, (0, 0), look.blur_px * rng.uniform(0.8, 1.2))
    image += np.float32(look.noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(image), 0, 255), dtype=np.uint8)
