"""Herlev Pap-smear set: 917 images of one cell each, with a mask (Jantzen et al. 2005).

A folder a class, in it `NAME.BMP` and its mask `NAME-d.bmp`. Colours of a mask as R, G, B: nucleus
(0, 0, 255), cytoplasm (0, 0, 128), background (255, 0, 0), other (128, 128, 128).

The point `cytoplasm` is the centre of the whole cell: nucleus and cytoplasm together, as SIPaKMeD outlines it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from siwcc.config import HerlevSection
from siwcc.data.datasets.groups import herlev_group
from siwcc.data.datasets.image_files import read_bmp
from siwcc.data.datasets.images import SampleDefectError, files_of, folders_below, place_image, unique_ids
from siwcc.data.datasets.interface import Excluded, Sample
from siwcc.io.errors import InputError

NUCLEUS_RGB = (0, 0, 255)
CYTOPLASM_RGB = (0, 0, 128)
_MASK_SUFFIX = "-d"


@dataclass(frozen=True)
class _Cell:
    sample_id: str
    stem: str
    label: str
    images: list[Path]
    masks: list[Path]


def raw_files(section: HerlevSection, folder: Path) -> list[Path]:
    """Images and masks below `folder`, sorted.

    Raises:
        InputError: no image there has a mask beside it.
    """
    cells = _find_cells(folder)
    if not any(cell.images and cell.masks for cell in cells):
        remedy = "datasets.<name>.path must be the folder that holds one folder a class"
        raise InputError(folder, "holds no image NAME.BMP with a mask NAME-d.bmp beside it", remedy)
    return sorted({path for cell in cells for path in (*cell.images, *cell.masks)})


def download(section: HerlevSection, folder: Path) -> None:
    """Refuse: the set has no lasting address to download it from.

    Raises:
        InputError: always, with what to set instead.
    """
    problem = (
        "the Herlev set (Jantzen et al. 2005, Pap-smear benchmark data for pattern classification) has no download"
    )
    raise InputError("datasets.herlev.path", problem, "get the set and name its folder there")


def published_sums(section: HerlevSection) -> dict[str, str]:
    """None: sums of the single files were never published."""
    return {}


def iter_samples(section: HerlevSection, folder: Path) -> Iterator[Sample | Excluded]:
    """Samples sorted by id, one image in memory at a time.

    The id is the file's stem, the class its folder, the group the first two fields of the name:
    images that share them were cut from one frame. The target is `nucleus_centre`, moved with the
    image (`siwcc.data.datasets.images.place_image`). A second file of the same stem is excluded as
    `stem#2`, so an excluded id never names a sample that is used.

    Args:
        section: `image_size` in pixels.
        folder: What holds one folder a class.
    """
    for cell in _find_cells(folder):
        try:
            yield _read_cell(cell, section)
        except SampleDefectError as defect:
            yield Excluded(cell.sample_id, str(defect))


def nucleus_centre(mask: np.ndarray) -> np.ndarray:
    """Centroid of the nucleus: of its largest 8-connected component.

    The set's masks have up to four components; the further ones are specks of 1 to 14 px. Of two
    components of one size the first in reading order counts.

    Args:
        mask: uint8 (height, width, 3), RGB.

    Returns:
        float64 (x, y) in pixels, pixel centres at integers.

    Raises:
        SampleDefectError: no pixel has the colour of a nucleus.
    """
    return _largest_centroid(_has_colour(mask, NUCLEUS_RGB, "nucleus"))


def cell_centre(mask: np.ndarray) -> np.ndarray:
    """Centroid of the cell, nucleus included: of the largest 8-connected component of both colours.

    Of the set's 917 masks 113 have further components, specks mostly, at most a tenth of the largest.

    Args:
        mask: uint8 (height, width, 3), RGB.

    Returns:
        float64 (x, y) in pixels, pixel centres at integers.

    Raises:
        SampleDefectError: no pixel has the colour of a nucleus, or none that of the cytoplasm.
    """
    parts = ((NUCLEUS_RGB, "nucleus"), (CYTOPLASM_RGB, "cytoplasm"))
    return _largest_centroid(np.any([_has_colour(mask, colour, name) for colour, name in parts], axis=0))


def _has_colour(mask: np.ndarray, colour: tuple[int, int, int], name: str) -> np.ndarray:
    found = np.all(mask == np.array(colour, dtype=np.uint8), axis=2)
    if not found.any():
        raise SampleDefectError(f"mask has no pixel of the {name} colour {colour}")
    return np.asarray(found)


def _largest_centroid(region: np.ndarray) -> np.ndarray:
    _, _, statistics, centroids = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    return np.asarray(centroids[largest], dtype=np.float64)


def _find_cells(folder: Path) -> list[_Cell]:
    found = [cell for below in folders_below(folder) for cell in _cells_of(below)]
    found.sort(key=lambda cell: cell.stem)
    ids = unique_ids([cell.stem for cell in found])
    cells = [_Cell(name, cell.stem, cell.label, cell.images, cell.masks) for name, cell in zip(ids, found, strict=True)]
    return sorted(cells, key=lambda cell: cell.sample_id)


def _cells_of(folder: Path) -> list[_Cell]:
    images: dict[str, list[Path]] = {}
    masks: dict[str, list[Path]] = {}
    for path in files_of(folder):
        if path.suffix.lower() != ".bmp":
            continue
        stem = path.stem.lower()
        of_kind = masks if stem.endswith(_MASK_SUFFIX) else images
        of_kind.setdefault(stem.removesuffix(_MASK_SUFFIX), []).append(path)
    return [_cell(folder.name, images.get(key, []), masks.get(key, [])) for key in sorted(images.keys() | masks.keys())]


def _cell(label: str, images: list[Path], masks: list[Path]) -> _Cell:
    stem = images[0].stem if images else masks[0].stem[: -len(_MASK_SUFFIX)]
    return _Cell(stem, stem, label, images, masks)


def _read_cell(cell: _Cell, section: HerlevSection) -> Sample:
    image_path, mask_path = _checked_files(cell)
    image, mask = read_bmp(image_path), read_bmp(mask_path)
    if image.shape != mask.shape:
        sizes = [f"{array.shape[1]} x {array.shape[0]}" for array in (image, mask)]
        raise SampleDefectError(f"image of {sizes[0]} px, mask of {sizes[1]} px")
    centres = {"nucleus": nucleus_centre, "cytoplasm": cell_centre}
    placed = place_image(image, np.stack([centres[point](mask) for point in section.points]), section.image_shape)
    return placed.sample(cell.stem, herlev_group(image_path), cell.label, section.points)


def _checked_files(cell: _Cell) -> tuple[Path, Path]:
    place = f"{cell.label}/{(cell.images or cell.masks)[0].name}"
    if cell.sample_id != cell.stem:
        raise SampleDefectError(f"{place}: the id {cell.stem} is taken by a file in another folder")
    if not cell.images:
        raise SampleDefectError(f"{place}: mask without an image")
    if len(cell.images) > 1:
        raise SampleDefectError(f"{place}: {len(cell.images)} images of this name")
    if len(cell.masks) != 1:
        raise SampleDefectError(f"{place}: image with {len(cell.masks) or 'no'} masks")
    return cell.images[0], cell.masks[0]
