from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from tolerances import FLOAT32, FLOAT64, assert_same

from siwcc.data.datasets.image_files import read_bmp
from siwcc.data.datasets.images import (
    MAX_IMAGE_PIXELS,
    SampleDefectError,
    as_colours,
    files_of,
    folders_below,
    place_image,
    polygon_centroid,
    read_limited,
    unique_ids,
    vertices_centroid,
)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# (width, height, square) -> (left, top, new width, new height), worked out by hand.
PLACES = [
    (100, 50, 256, (0, 64, 256, 128)),
    (50, 100, 256, (64, 0, 128, 256)),
    (188, 166, 256, (0, 15, 256, 226)),  # 166 * 256 / 188 = 226.04
    (7, 5, 16, (0, 2, 16, 11)),  # 5 * 16 / 7 = 11.43; 2 rows above, 3 below
    (531, 553, 256, (5, 0, 245, 256)),  # 531 * 256 / 553 = 245.8; 5 columns left, 6 right
    (256, 256, 256, (0, 0, 256, 256)),
    (2, 1000, 256, (127, 0, 1, 256)),  # 2 * 256 / 1000 = 0.5, at least 1
    (193, 193, 256, (0, 0, 256, 256)),
]


@pytest.mark.numeric
@pytest.mark.parametrize(("width", "height", "size", "box"), PLACES)
def test_the_crop_stands_centred_in_the_square(width, height, size, box):
    crop = noise(height, width)
    placed = place_image(crop, np.array([1.0, 1.0]), (size, size))
    left, top, new_width, new_height = box
    assert placed.content_box.tolist() == list(box)
    assert placed.content_box.dtype == np.int32
    expected = np.zeros((size, size, 3), np.uint8)
    expected[top : top + new_height, left : left + new_width] = cv2.resize(
        crop, (new_width, new_height), interpolation=cv2.INTER_AREA
    )
    assert placed.image.dtype == np.uint8
    assert np.array_equal(placed.image, expected)
    assert (placed.original_width, placed.original_height) == (width, height)


def test_the_longer_side_is_exact_where_a_rounded_factor_is_not():
    lengths = [n for n in range(2, 600) if int(n * (256 / n)) == 255]
    assert lengths  # 256 / n rounded down loses a pixel for these
    for n in lengths[:5]:
        assert place_image(noise(n, n), np.zeros(2), (256, 256)).content_box.tolist() == [0, 0, 256, 256]


@pytest.mark.numeric
def test_points_move_with_the_crop():
    # 100 x 50 -> 256 x 128 at (0, 64): 10 * 2.56 = 25.6, 20 * 2.56 + 64 = 115.2
    placed = place_image(noise(50, 100), np.array([10.0, 20.0]), (256, 256))
    assert_same(placed.points, [25.6, 115.2], FLOAT64)
    several = place_image(noise(100, 50), np.array([[0.0, 0.0], [20.0, 10.0]]), (256, 256))
    assert_same(several.points, [[64.0, 0.0], [115.2, 25.6]], FLOAT64)
    assert several.points.dtype == np.float64


@pytest.mark.numeric
@pytest.mark.parametrize("scale", [2, 4, 0.5, 0.25])
def test_a_mark_is_drawn_half_a_pixel_rule_beside_its_point(scale):
    side = round(256 / scale)
    crop = np.full((side, side, 3), 0, np.uint8)
    first = side // 4
    crop[first : first + 8, first : first + 8] = 200
    centre = first + 3.5
    placed = place_image(crop, np.array([centre, centre]), (256, 256))
    weight = placed.image[..., 0].astype(np.float64)
    drawn = (weight.sum(axis=0) * np.arange(256)).sum() / weight.sum()
    assert_same(drawn, placed.points[0] + (scale - 1) / 2, FLOAT64)


@pytest.mark.numeric
def test_mean_and_std_are_those_of_the_crop_without_padding():
    halves = np.zeros((2, 4, 3), np.uint8)
    halves[:, 2:] = 255
    placed = place_image(halves, np.zeros(2), (4, 4))
    assert (placed.mean, placed.std) == (127.5, 127.5)

    placed = place_image(noise(60, 100, seed=3), np.zeros(2), (128, 128))
    left, top, width, height = placed.content_box
    content = placed.image[top : top + height, left : left + width].astype(np.float64)
    assert_same(placed.mean, content.mean(), FLOAT64)
    assert_same(placed.std, content.std(), FLOAT64)
    assert_same(placed.std, content.astype(np.float32).std(), FLOAT32)


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("width", "height", "frame", "box", "scale"),
    [
        # 64 / 100 is below 32 / 30: 100 px become 64 high, 30 px 19 wide, 13 px are left over.
        (30, 100, (64, 32), (6, 0, 19, 64), 0.64),
        # 32 / 80 is below 64 / 60: 60 px become 24 high, 40 px are left over.
        (80, 60, (64, 32), (0, 20, 32, 24), 0.4),
        # Of the frame's own shape: nothing is left over.
        (16, 32, (64, 32), (0, 0, 32, 64), 2.0),
        # 48 / 144 is 16 / 48: either side decides.
        (144, 48, (16, 48), (0, 0, 48, 16), 1 / 3),
        (10, 10, (16, 48), (16, 0, 16, 16), 1.6),
    ],
)
def test_a_frame_need_not_be_square(width, height, frame, box, scale):
    crop = noise(height, width)
    points = np.array([[0.0, 0.0], [5.0, 8.0], [np.nan, np.nan]])
    placed = place_image(crop, points, frame)
    left, top, new_width, new_height = box
    assert placed.content_box.tolist() == list(box)
    assert placed.image.shape == (*frame, 3)
    expected = np.zeros((*frame, 3), np.uint8)
    expected[top : top + new_height, left : left + new_width] = cv2.resize(
        crop, (new_width, new_height), interpolation=cv2.INTER_AREA
    )
    np.testing.assert_array_equal(placed.image, expected)
    assert_same(placed.points[:2], [[left, top], [left + 5 * scale, top + 8 * scale]], FLOAT64)
    assert np.isnan(placed.points[2]).all()
    assert_same(placed.zoom * scale, 1.0, FLOAT64)
    assert (placed.original_width, placed.original_height) == (width, height)


def test_a_grey_image_has_one_colour_its_luminance():
    # 0.299 red + 0.587 green + 0.114 blue: 29.9 + 117.4 + 5.7 = 153, and of pure colours 76.2, 149.7 and 29.1.
    image = np.array([[[100, 200, 50], [255, 0, 0]], [[0, 255, 0], [0, 0, 255]]], np.uint8)
    grey = as_colours(image, 1)
    assert (grey.dtype, grey.shape) == (np.uint8, (2, 2, 1))
    assert grey[..., 0].tolist() == [[153, 76], [150, 29]]
    assert as_colours(image, 3) is image
    placed = place_image(grey, np.array([1.0, 0.0]), (4, 2))
    assert placed.image[..., 0].tolist() == [[0, 0], [153, 76], [150, 29], [0, 0]]
    assert placed.image.shape == (4, 2, 1)
    assert (placed.mean, placed.content_box.tolist(), placed.points.tolist()) == (102.0, [0, 1, 2, 2], [1.0, 1.0])


@pytest.mark.parametrize("side", [20, 64, 256])
def test_an_image_of_equal_colours_is_its_own_grey(side):
    one = noise(side, side)[..., :1]
    np.testing.assert_array_equal(as_colours(np.repeat(one, 3, axis=2), 1), one)


def test_extras_name_the_columns_of_the_samples_file():
    extras = place_image(noise(10, 20), np.zeros(2), (16, 16)).extras()
    assert list(extras) == ["content_box", "mean", "std", "original_width", "original_height"]


@pytest.mark.parametrize(
    ("crop", "reason"),
    [
        (np.full((20, 30, 3), 77, np.uint8), "standard deviation is 0"),
        (noise(30, 1), "1 x 30 px"),
        (noise(1, 30), "30 x 1 px"),
    ],
)
def test_what_cannot_be_placed_is_a_defect(crop, reason):
    with pytest.raises(SampleDefectError, match=reason):
        place_image(crop, np.zeros(2), (64, 64))


TRIANGLE = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
# A 2 x 2 square with a 1 x 1 square on its lower left: area 4 at (1, 1), area 1 at (0.5, 2.5) -> (0.9, 1.3).
L_SHAPE = np.array([[0, 0], [2, 0], [2, 2], [1, 2], [1, 3], [0, 3]], dtype=np.float64)


def closed(points: np.ndarray) -> np.ndarray:
    return np.vstack([points, points[:1]])


@pytest.mark.numeric
@pytest.mark.parametrize(("corners", "centre"), [(TRIANGLE, (1, 1)), (L_SHAPE, (0.9, 1.3))])
def test_polygon_centroid_worked_out_by_hand(corners, centre):
    for points in (corners, corners[::-1], closed(corners), np.roll(corners, 2, axis=0)):
        assert_same(polygon_centroid(points), centre, FLOAT64)
    # Far from the origin, a few roundings of a float64 of that size; products of such coordinates would lose 1e-5.
    assert_same(polygon_centroid(corners + 1e6), np.array(centre) + 1e6, 1e-14)


@pytest.mark.numeric
def test_vertices_centroid_does_not_count_the_closing_point_twice():
    square_with_extra = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0], [0.0, 2.0]])
    assert_same(vertices_centroid(square_with_extra), [1.6, 2.0], FLOAT64)
    assert_same(vertices_centroid(closed(square_with_extra)), [1.6, 2.0], FLOAT64)
    assert_same(polygon_centroid(square_with_extra), [2.0, 2.0], FLOAT64)


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("points", "centre"),
    [
        ([[1, 1], [3, 5]], (2, 3)),
        ([[0.1, 0.2], [0.4, 0.8], [0.7, 1.4], [0.3, 0.6]], (0.375, 0.75)),  # a slanted line: area is rounding error
        ([[0, 0], [4, 4], [4, 0], [0, 4]], (2, 2)),  # two equal lobes of opposite sign
        ([[0, 0], [10, 10], [10, 0], [0, 9.9]], (5, 4.975)),  # nearly equal lobes: the quotient is far outside
    ],
)
def test_without_an_area_the_vertices_count(points, centre):
    assert_same(polygon_centroid(np.array(points, dtype=np.float64)), centre, FLOAT64)


@pytest.mark.numeric
def test_polygon_centroid_agrees_with_opencv():
    rng = np.random.default_rng(11)
    for _ in range(50):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 25))
        radii = rng.uniform(10, 60, 25)
        star = np.column_stack([120 + radii * np.cos(angles), 90 + radii * np.sin(angles)]).astype(np.float32)
        moments = cv2.moments(star)
        expected = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
        assert_same(polygon_centroid(star.astype(np.float64)), expected, FLOAT64)


def bitmap(width: int, height: int, bits: int, rows: bytes, palette: bytes = b"", colours: int = 0) -> bytes:
    offset = 54 + len(palette)
    header = struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset)
    return header + struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, colours, 0) + palette + rows


# 2 x 2 pixels, bottom row first, B G R, rows padded to 4 bytes: top red, green; bottom blue, white.
ROWS = bytes([255, 0, 0, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0])
PIXELS = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]


@pytest.mark.parametrize("name", ["cell.bmp", "Zelle äöü 細胞.BMP", "-rf 'x\".bmp"])
def test_colours_come_in_the_order_red_green_blue(tmp_path, name):
    (tmp_path / name).write_bytes(bitmap(2, 2, 24, ROWS))
    image = read_bmp(tmp_path / name)
    assert image.dtype == np.uint8
    assert image.tolist() == PIXELS


def test_other_kinds_of_bitmaps_are_read(tmp_path):
    path = tmp_path / "cell.bmp"
    path.write_bytes(bitmap(2, -2, 24, ROWS[8:] + ROWS[:8]))  # top row first
    assert read_bmp(path).tolist() == PIXELS
    palette = bytes([0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0])
    path.write_bytes(bitmap(2, 2, 8, bytes([2, 3, 0, 0, 0, 1, 0, 0]), palette, colours=4))
    assert read_bmp(path).tolist() == PIXELS
    core = struct.pack("<2sIHHI", b"BM", 26 + len(ROWS), 0, 0, 26) + struct.pack("<IHHHH", 12, 2, 2, 1, 24) + ROWS
    path.write_bytes(core)
    assert read_bmp(path).tolist() == PIXELS


WHOLE = bitmap(2, 2, 24, ROWS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"<!DOCTYPE html><html>", "not a BMP"),
        (cv2.imencode(".png", noise(4, 4))[1].tobytes(), "not a BMP"),
        (WHOLE[:10], "ends within its header"),
        (WHOLE[:30], "ends within its header"),
        (WHOLE[:-1], "truncated: 69 of 70 bytes"),
        (bitmap(0, 2, 24, ROWS), "0 x 2 px"),
        (bitmap(-2, 2, 24, ROWS), "-2 x 2 px"),
        (bitmap(60_000, 60_000, 24, ROWS), f"1 to {MAX_IMAGE_PIXELS} px"),
        (bitmap(2, 2, 17, ROWS), "17 bits per pixel"),
    ],
)
def test_a_bad_image_is_a_defect_of_its_sample(tmp_path, content, reason):
    (tmp_path / "cell.bmp").write_bytes(content)
    with pytest.raises(SampleDefectError, match=reason):
        read_bmp(tmp_path / "cell.bmp")


def test_mutated_images_give_an_image_or_a_defect(tmp_path):
    rng = np.random.default_rng(5)
    whole = np.frombuffer(bitmap(20, 10, 24, noise(10, 20).tobytes()), np.uint8)
    path = tmp_path / "cell.bmp"
    outcomes = {"image": 0, "defect": 0}
    for _ in range(100):
        mutated = whole.copy()
        mutated[rng.integers(0, 60, 3)] = rng.integers(0, 256, 3)
        path.write_bytes(mutated.tobytes())
        try:
            image = read_bmp(path)
        except SampleDefectError:
            outcomes["defect"] += 1
        else:
            outcomes["image"] += 1
            assert image.shape[2] == 3
            assert image.shape[0] * image.shape[1] <= MAX_IMAGE_PIXELS
    assert min(outcomes.values()) > 0


def test_files_that_are_missing_or_too_large_are_defects(tmp_path):
    with pytest.raises(SampleDefectError, match="No such file"):
        read_limited(tmp_path / "absent.dat", 10)
    (tmp_path / "large.dat").write_bytes(b"12345678901")
    with pytest.raises(SampleDefectError, match="larger than 10 bytes"):
        read_limited(tmp_path / "large.dat", 10)
    assert read_limited(tmp_path / "large.dat", 11) == b"12345678901"


def test_folders_are_walked_through_links_but_not_for_ever(tmp_path):
    (tmp_path / "a" / "CROPPED").mkdir(parents=True)
    (tmp_path / ".hidden" / "CROPPED").mkdir(parents=True)
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = [path.relative_to(tmp_path).as_posix() for path in folders_below(tmp_path, depth=3)]
    assert found == [".", "a", "a/CROPPED", "a/loop", "a/loop/a"]
    (tmp_path / "b.bmp").touch()
    (tmp_path / "._b.bmp").touch()
    assert files_of(tmp_path) == [Path(tmp_path / "b.bmp")]


def test_a_taken_id_gets_a_number():
    assert unique_ids(["a", "b", "a", "c", "a"]) == ["a", "b", "a#2", "c", "a#3"]
