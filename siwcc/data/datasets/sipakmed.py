"""SIPaKMeD: 4,049 crops of single cells in five classes, each with contours (Plissiti et al. 2018).

`im_<Class>/CROPPED/NNN_MM.bmp` is cell MM of slide image NNN, `NNN_MM_nuc.dat` the contour of its
nucleus: a point `x,y` a line, in pixels of the crop. Copies in circulation double the class folder,
leave out `im_`, separate by white space, or write extensions in capitals; all of them are read.

`NNN_MM_cyt.dat`, the outline of the whole cell, nucleus included, is read where the point `cytoplasm` is asked for:
its centre. It may leave the crop, as cells do; its centre may not.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from siwcc.config import SipakmedSection
from siwcc.data.datasets.groups import SIPAKMED_CELL, SIPAKMED_CLASSES, sipakmed_class
from siwcc.data.datasets.image_files import read_bmp
from siwcc.data.datasets.images import (
    SampleDefectError,
    files_of,
    folders_below,
    place_image,
    polygon_centroid,
    read_limited,
    unique_ids,
    vertices_centroid,
)
from siwcc.data.datasets.interface import Excluded, Sample
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv

FULL_SET_CROPS = 4049

CHECKSUMS = Path(__file__).resolve().parents[3] / "resources" / "checksums" / "sipakmed.sha256"
"""Sums of the official archives as a third party reported them, not the set's authors.

So an archive of another sum is kept with a warning and never counts as verified; its content is checked like that
of any other copy. Reported, too: 1182980549, 1290478065, 1396480123, 548667699 and 762939737 bytes in the order of
`SIPAKMED_CLASSES`, 966 slide images, contours that need not repeat their first point, 26 of nuclei outside their crop.
"""

# The largest archive has 1.4 GB; with its slide images, which are not kept, a class unpacks to some 3 GB.
MAX_ARCHIVE_BYTES = 4 << 30
MAX_UNPACKED_BYTES = 16 << 30
MAX_CONTOUR_BYTES = 1 << 20

_NO_DOWNLOAD = "set datasets.sipakmed.path to a copy of the set, linked from www.cs.uoi.gr/~marina/sipakmed.html"

_logger = logging.getLogger(__name__)
_NUMBER = r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
_POINT = re.compile(rf"\s*{_NUMBER}(?:\s*,\s*|\s+){_NUMBER}\s*", re.ASCII)
_CONTOUR_SUFFIX, _OUTLINE_SUFFIX = "_nuc.dat", "_cyt.dat"
_PUBLISHED_EXCLUSIONS = Path(__file__).resolve().parents[3] / "resources" / "excluded_sipakmed.csv"


@dataclass(frozen=True)
class _Cell:
    sample_id: str
    class_number: int
    stem: str
    place: str
    image: Path | None
    contours: list[Path]
    outlines: list[Path]

    @property
    def is_second(self) -> bool:
        """Whether another file has the cell's id (`unique_ids`)."""
        return self.sample_id != f"{self.class_number}_{self.stem}"


def raw_files(section: SipakmedSection, folder: Path) -> list[Path]:
    """Crops and contours of what the section asks for below `folder`, sorted; other files of the set are not read.

    Raises:
        InputError: no crop is found, or crops stand below no folder of one of the five classes.
    """
    cells = _find_cells(folder)
    if not any(cell.image for cell in cells):
        remedy = "datasets.<name>.path must be the folder that holds im_Dyskeratotic ... im_Superficial-Intermediate"
        raise InputError(folder, "holds no im_<Class>/CROPPED/NNN_MM.bmp", remedy)
    paths = {path for cell in cells for path in (cell.image, *cell.contours) if path is not None}
    outlines = {path for cell in cells for path in cell.outlines} if "cytoplasm" in section.points else set()
    return sorted(paths | outlines)


def download(section: SipakmedSection, folder: Path) -> None:
    """Fetch the five official archives (5.2 GB) and unpack the crops and contours in them.

    The set is linked from www.cs.uoi.gr/~marina/sipakmed.html as an archive a class. Its files are
    asked for as `<url>im_<Class>.7z`; where the site names them otherwise, put the archives under these
    names into `folder`, or unpack them and set `path`. A class folder appears whole or not at all, and
    is not fetched again once it is there. The archives stay, so that an interrupted run goes on where
    it stopped; they may be deleted afterwards (the crops take below 1 GB).

    Args:
        section: `url`, where the archives stand.
        folder: Receives `im_<Class>.7z` and `im_<Class>/CROPPED/`.

    Raises:
        InputError: no url, a failed download, or an archive that is damaged, unsafe or of other content.
    """
    # Only a download needs py7zr and requests; the many jobs that read samples do not.
    from siwcc.data.datasets.archives import extract_archive
    from siwcc.data.datasets.download import fetch_files, read_checksums

    if section.url is None:
        raise InputError("datasets: url", "is empty", "give the address of the archives, or a local copy as path")
    published = read_checksums(CHECKSUMS)
    for name in SIPAKMED_CLASSES:
        class_folder = folder / f"im_{name}"
        if class_folder.is_dir():
            continue
        archive = f"{class_folder.name}.7z"
        sums = {archive: published.get(archive)}
        fetch_files(section.url, sums, folder, _NO_DOWNLOAD, max_bytes=MAX_ARCHIVE_BYTES, on_mismatch="warn")
        extract_archive(folder / archive, class_folder, _place_member, MAX_UNPACKED_BYTES)


def _place_member(member: PurePosixPath) -> PurePosixPath | None:
    wanted = member.parent.name.lower() == "cropped" and member.suffix.lower() in {".bmp", ".dat"}
    return PurePosixPath("CROPPED", member.name) if wanted else None


def published_sums(section: SipakmedSection) -> dict[str, str]:
    """None: sums of the single files were never published."""
    return {}


def iter_samples(section: SipakmedSection, folder: Path) -> Iterator[Sample | Excluded]:
    """Samples sorted by id, one image in memory at a time.

    The id is `C_NNN_MM` with C = 1 ... 5 for the class in alphabetical order, as its authors and the
    paper's number them; the group is `C_NNN`, the slide image. A contour point outside
    0 <= x < width, 0 <= y < height of the crop excludes the sample (paper, 2.1.1). A second image of an
    id (the set unpacked twice) is excluded as `C_NNN_MM#2`, so an excluded id never names a sample that
    is used; the first by path counts. Of the full set, the excluded ids are compared with the
    published ones, and a difference is logged as a warning.

    Args:
        section: `image_size` in pixels, `centroid` (`polygon` or `vertices`), `points`.
        folder: What holds the class folders.
    """
    excluded: set[str] = set()
    cells = _find_cells(folder)
    for cell in cells:
        try:
            yield _read_cell(cell, section)
        except SampleDefectError as defect:
            excluded.add(cell.sample_id)
            yield Excluded(cell.sample_id, str(defect))
    crops = {cell.sample_id for cell in cells if cell.image is not None and not cell.is_second}
    if len(crops) == FULL_SET_CROPS and section.synthetic is None:
        _compare_with_published(excluded & crops)


def _read_cell(cell: _Cell, section: SipakmedSection) -> Sample:
    image_path, contour_path, slide = _checked_files(cell)
    image = read_bmp(image_path)
    contour = parse_contour(read_limited(contour_path, MAX_CONTOUR_BYTES))
    _check_inside(contour, image)
    centroid = polygon_centroid if section.centroid == "polygon" else vertices_centroid
    centres = [centroid(contour)]
    if "cytoplasm" in section.points:
        centres.append(_cell_centre(cell, image, centroid))
    placed = place_image(image, np.stack(centres), section.image_shape)
    label = SIPAKMED_CLASSES[cell.class_number - 1]
    return placed.sample(cell.sample_id, f"{cell.class_number}_{slide}", label, section.points)


def _cell_centre(cell: _Cell, image: np.ndarray, centroid: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Centre of the outline of the whole cell, float64 (2,), pixels of the crop."""
    outline = _only_one(cell, cell.outlines, "outlines of the cell")
    centre = centroid(parse_contour(read_limited(outline, MAX_CONTOUR_BYTES)))
    height, width = image.shape[:2]
    if not np.all((centre >= 0) & (centre < (width, height))):
        place = f"({centre[0]:g}, {centre[1]:g})"
        raise SampleDefectError(f"the cell's centre at {place} lies outside the image of {width} x {height} px")
    return centre


def _only_one(cell: _Cell, contours: Sequence[Path], kind: str) -> Path:
    if len(contours) != 1:
        raise SampleDefectError(f"{cell.place}: image with {len(contours) or 'no'} {kind}")
    return contours[0]


def _checked_files(cell: _Cell) -> tuple[Path, Path, str]:
    name = SIPAKMED_CELL.fullmatch(cell.stem)
    if name is None:
        raise SampleDefectError(f"{cell.place}: the file's name is not NNN_MM")
    if cell.is_second:
        raise SampleDefectError(f"{cell.place}: another file of the id {cell.class_number}_{cell.stem} is used")
    if cell.image is None:
        raise SampleDefectError(f"{cell.place}: contour without an image")
    return cell.image, _only_one(cell, cell.contours, "contours of the nucleus"), name[1]


def parse_contour(content: bytes) -> np.ndarray:
    """Points of a contour file.

    Args:
        content: A point a line, x and y separated by a comma or white space; LF or CRLF; empty lines
            and a byte order mark are passed over.

    Returns:
        float64 (n, 2), n >= 2, pixels of the crop, as they are in the file.

    Raises:
        SampleDefectError: no text, a line that is not two numbers, or fewer than two points.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SampleDefectError("contour is not a text file") from error
    points = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _POINT.fullmatch(line)
        if match is None:
            raise SampleDefectError(f"contour line {number} is not a point x,y: {line[:40]!r}")
        points.append((float(match[1]), float(match[2])))
    if len(set(points)) < 2:
        raise SampleDefectError(f"contour has {len(set(points))} different points, needs at least 2")
    return np.array(points, dtype=np.float64)


def _check_inside(contour: np.ndarray, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    inside = np.all((contour >= 0) & (contour < (width, height)), axis=1)
    if not inside.all():
        first = int(np.argmin(inside))
        x, y = contour[first]
        raise SampleDefectError(
            f"contour point {first + 1} at ({x:g}, {y:g}) lies outside the image of {width} x {height} px"
            f" ({int((~inside).sum())} of {len(contour)} points do)"
        )


def _compare_with_published(excluded: set[str]) -> None:
    if not _PUBLISHED_EXCLUSIONS.is_file():
        _logger.warning(
            "%s is missing: exclusions are not compared with the published ones", _PUBLISHED_EXCLUSIONS.name
        )
        return
    published = {row["sample_id"] for row in read_csv(_PUBLISHED_EXCLUSIONS, ["sample_id"])}
    if excluded == published:
        _logger.info("SIPaKMeD: the %d samples excluded are the published ones", len(excluded))
    else:
        _logger.warning(
            "SIPaKMeD: %d samples excluded, %d published; only here: %s; only published: %s",
            len(excluded),
            len(published),
            _first_names(excluded - published),
            _first_names(published - excluded),
        )


def _first_names(names: set[str], shown: int = 30) -> str:
    listed = ", ".join(sorted(names)[:shown])
    return f"{listed} and {len(names) - shown} more" if len(names) > shown else listed or "none"


def _find_cells(folder: Path) -> list[_Cell]:
    found = [cell for crops in _crop_folders(folder) for cell in _cells_of(crops, folder)]
    found.sort(key=lambda cell: (cell.sample_id, cell.image is None, cell.place))
    ids = unique_ids([cell.sample_id for cell in found])
    cells = [replace(cell, sample_id=name) for cell, name in zip(found, ids, strict=True)]
    return sorted(cells, key=lambda cell: cell.sample_id)


def _crop_folders(folder: Path) -> list[Path]:
    return [below for below in folders_below(folder) if below.name.lower() == "cropped"]


def _cells_of(crops: Path, folder: Path) -> list[_Cell]:
    class_number = _class_number(crops, folder)
    images: dict[str, list[Path]] = {}
    contours: dict[str, list[Path]] = {}
    outlines: dict[str, list[Path]] = {}
    for path in files_of(crops):
        name = path.name.lower()
        if name.endswith(_CONTOUR_SUFFIX):
            contours.setdefault(name.removesuffix(_CONTOUR_SUFFIX), []).append(path)
        elif name.endswith(_OUTLINE_SUFFIX):
            outlines.setdefault(name.removesuffix(_OUTLINE_SUFFIX), []).append(path)
        elif path.suffix.lower() == ".bmp":
            images.setdefault(path.stem.lower(), []).append(path)
    cells = []
    for stem in sorted(images.keys() | contours.keys()):
        of_cell = contours.get(stem, [])
        for image in images.get(stem) or (None,):
            place = (image or of_cell[0]).relative_to(folder).as_posix()
            cells.append(
                _Cell(f"{class_number}_{stem}", class_number, stem, place, image, of_cell, outlines.get(stem, []))
            )
    return cells


def _class_number(crops: Path, folder: Path) -> int:
    number = sipakmed_class([folder.absolute().name, *crops.relative_to(folder).parts[:-1]])
    if number:
        return number
    remedy = f"name the folder above im_<Class>, with <Class> one of {', '.join(SIPAKMED_CLASSES)}"
    raise InputError(crops, "holds crops of no known class", remedy)
