"""Synthetic cells: the layout of SIPaKMeD, and what makes them usable for the nucleus task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from refusals import refused
from tolerances import FLOAT64, assert_same

from siwcc.data.datasets.synthetic.nuclei import CELL_TYPES, write_cells
from siwcc.io.errors import InputError

CELLS = 200
CLASSES = ("Dyskeratotic", "Koilocytotic", "Metaplastic", "Parabasal", "Superficial-Intermediate")


@pytest.fixture(scope="module")
def cells_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    write_cells(folder, CELLS, seed=42)
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def images_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("im_*/CROPPED/*.bmp"))


def contour_of(image_path: Path, part: str) -> np.ndarray:
    text = image_path.with_name(f"{image_path.stem}_{part}.dat").read_text(encoding="ascii")
    return np.array([[float(number) for number in line.split(",")] for line in text.splitlines()])


def size_of(image_path: Path) -> tuple[int, int]:
    """Width and height from the BMP header itself."""
    header = image_path.read_bytes()[:30]
    assert header[:2] == b"BM"
    assert int.from_bytes(header[28:30], "little") == 24
    return int.from_bytes(header[18:22], "little"), int.from_bytes(header[22:26], "little")


def leaves_image(image_path: Path) -> bool:
    points_px = contour_of(image_path, "nuc")
    return bool(np.any(points_px < 0) or np.any(points_px >= size_of(image_path)))


def filled(shape: tuple[int, ...], points_px: np.ndarray) -> np.ndarray:
    mask = np.zeros(shape[:2], dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(points_px).astype(np.int32)], 1)
    return mask.astype(bool)


def test_layout_is_the_set_s_own(cells_folder: Path) -> None:
    images = images_of(cells_folder)
    assert len(images) == CELLS
    assert Counter(path.parts[-3] for path in images) == {f"im_{name}": CELLS // 5 for name in CLASSES}
    expected = {f"{path.stem}{end}" for path in images for end in (".bmp", "_nuc.dat", "_cyt.dat")}
    assert {path.name for path in cells_folder.rglob("*.*")} == expected
    assert all(len(path.stem) == 6 and path.stem[3] == "_" for path in images)
    assert tuple(CELL_TYPES) == CLASSES


def test_slides_hold_several_cells_numbered_from_one(cells_folder: Path) -> None:
    numbers: dict[tuple[str, str], list[int]] = {}
    for path in images_of(cells_folder):
        slide, number = path.stem.split("_")
        numbers.setdefault((path.parts[-3], slide), []).append(int(number))
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in numbers.values())
    # The real set has 4,049 cells on 966 slide images, 4.2 each, and at most 26.
    assert 2.5 < CELLS / len(numbers) < 6.5
    assert max(map(len, numbers.values())) <= 26
    for name in CLASSES:
        slides = sorted(int(slide) for class_folder, slide in numbers if class_folder == f"im_{name}")
        assert slides == list(range(1, len(slides) + 1))


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("second", 3), ("other", 4)):
        write_cells(tmp_path / name, 5, seed)
    first = content_of(tmp_path / "first")
    assert len(first) == 15
    assert content_of(tmp_path / "second") == first
    assert not set(first.values()) & set(content_of(tmp_path / "other").values())


def test_a_larger_set_begins_with_the_smaller(cells_folder: Path, tmp_path: Path) -> None:
    write_cells(tmp_path, 8, seed=42)
    small, large = content_of(tmp_path), content_of(cells_folder)
    assert len(small) == 3 * 8
    assert all(large[name] == content for name, content in small.items())


def test_contours_are_closed_and_written_as_in_the_set(cells_folder: Path) -> None:
    for path in images_of(cells_folder):
        for part in ("nuc", "cyt"):
            points_px = contour_of(path, part)
            assert points_px.shape[1] == 2
            assert len(points_px) >= 8
            np.testing.assert_array_equal(points_px[0], points_px[-1])
            # Two decimals.
            assert_same(points_px, np.round(points_px, 2), FLOAT64)
        assert np.all(contour_of(path, "cyt") >= 0)
        assert np.all(contour_of(path, "cyt") < size_of(path))


@pytest.mark.parametrize(("cells", "defects"), [(19, 0), (CELLS, 6)])
def test_a_few_nuclei_leave_the_image(cells_folder: Path, tmp_path: Path, cells: int, defects: int) -> None:
    folder = cells_folder if cells == CELLS else tmp_path
    if folder is tmp_path:
        write_cells(folder, cells, seed=42)
    found = [path for path in images_of(folder) if leaves_image(path)]
    assert len(found) == defects
    assert len(found) <= 0.05 * cells


def test_defects_meet_every_class(cells_folder: Path) -> None:
    assert {path.parts[-3] for path in images_of(cells_folder) if leaves_image(path)} == {f"im_{n}" for n in CLASSES}


def test_sizes_are_distributed_like_the_real_ones(cells_folder: Path) -> None:
    sizes_px = np.array([size_of(path) for path in images_of(cells_folder)])
    # The median of 200 draws from this distribution has a standard error of about 6 px.
    np.testing.assert_allclose(np.median(sizes_px, axis=0), (188, 166), atol=18)
    assert np.all(sizes_px >= (62, 48))
    assert np.all(sizes_px <= (531, 553))
    assert np.all(np.percentile(sizes_px, 5, axis=0) < (125, 115))
    assert np.all(np.percentile(sizes_px, 95, axis=0) > (320, 290))


def test_the_nucleus_is_dark_where_the_contour_says(cells_folder: Path) -> None:
    for path in images_of(cells_folder):
        if leaves_image(path):
            continue
        image = cv2.imread(str(path))
        assert image.shape[1::-1] == size_of(path)
        nucleus = filled(image.shape, contour_of(path, "nuc"))
        cytoplasm = filled(image.shape, contour_of(path, "cyt"))
        near = cv2.dilate(nucleus.astype(np.uint8), np.ones((9, 9), dtype=np.uint8)).astype(bool)
        grey = image.mean(axis=2)
        assert grey[nucleus].mean() < grey[cytoplasm & ~near].mean() - 12, path
        assert (cytoplasm & nucleus).sum() > 0.9 * nucleus.sum()


def test_the_polygon_s_centroid_is_where_the_dark_is(cells_folder: Path) -> None:
    """The darkness' own centre of mass, inside and just around the contour, is within 1.5 px of the polygon's."""
    distances_px = []
    for path in images_of(cells_folder):
        if leaves_image(path):
            continue
        grey = cv2.imread(str(path)).mean(axis=2)
        points_px = contour_of(path, "nuc")
        moments = cv2.moments(points_px.astype(np.float32))
        centre_px = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
        nucleus = filled(grey.shape, points_px)
        assert nucleus[round(centre_px[1]), round(centre_px[0])]
        around = cv2.dilate(nucleus.astype(np.uint8), np.ones((7, 7), dtype=np.uint8)).astype(bool)
        darkness = np.where(around, np.clip(np.median(grey[around & ~nucleus]) - grey, 0, None), 0)
        rows, columns = np.indices(grey.shape)
        found_px = np.array([(columns * darkness).sum(), (rows * darkness).sum()]) / darkness.sum()
        distances_px.append(np.hypot(*(found_px - centre_px)))
    assert np.percentile(distances_px, 95) < 1.5
    assert np.median(distances_px) < 0.5


def test_the_nucleus_is_often_off_centre(cells_folder: Path) -> None:
    shares = []
    for path in images_of(cells_folder):
        if not leaves_image(path):
            shares.append(contour_of(path, "nuc")[:-1].mean(axis=0) / size_of(path))
    # Herlev: 0.09 in x and in y. More, so that few cells and few epochs show learning.
    assert np.all(np.std(shares, axis=0) > 0.10)
    np.testing.assert_allclose(np.mean(shares, axis=0), 0.5, atol=0.04)


def test_a_folder_with_other_cells_is_refused(tmp_path: Path) -> None:
    write_cells(tmp_path, 6, seed=1)
    before = content_of(tmp_path)
    with pytest.raises(InputError) as caught:
        write_cells(tmp_path, 3, seed=1)
    assert Path(caught.value.where) in images_of(tmp_path)
    assert caught.value.remedy
    assert content_of(tmp_path) == before
    write_cells(tmp_path, 6, seed=1)
    assert content_of(tmp_path) == before


def test_a_set_needs_a_cell(tmp_path: Path) -> None:
    with refused(tmp_path, 0):
        write_cells(tmp_path, 0, seed=1)
