from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from refusals import refused
from scipy import ndimage
from tolerances import FLOAT64, assert_same

from siwcc.config import parse_dataset
from siwcc.data.datasets import herlev
from siwcc.data.datasets.herlev import cell_centre, nucleus_centre
from siwcc.data.datasets.images import SampleDefectError
from siwcc.data.datasets.interface import Excluded, Sample, reader_for

NUCLEUS, CYTOPLASM, BACKGROUND = (0, 0, 255), (0, 0, 128), (255, 0, 0)


def section(image_size=64):
    return parse_dataset({"format": "herlev", "image_size": image_size})


def mask_of(height, width, *boxes):
    """A mask with nuclei in these boxes (left, top, width, height)."""
    mask = np.full((height, width, 3), BACKGROUND, np.uint8)
    mask[2:-2, 2:-2] = CYTOPLASM
    for left, top, box_width, box_height in boxes:
        mask[top : top + box_height, left : left + box_width] = NUCLEUS
    return mask


def write_bmp(path, rgb):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".bmp", np.ascontiguousarray(rgb[..., ::-1]))[1].tobytes())


def write_cell(folder, name="1-2-3", mask=None, height=40, width=80, image="{}.BMP", mask_name="{}-d.bmp"):
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    write_bmp(folder / image.format(name), pixels)
    write_bmp(folder / mask_name.format(name), mask_of(height, width, (20, 10, 5, 4)) if mask is None else mask)
    return pixels


def read(folder, image_size=64):
    return list(herlev.iter_samples(section(image_size), folder))


def test_the_centre_is_that_of_the_largest_component():
    # Columns 20..24, rows 10..13: the centre of their pixel centres is (22, 11.5).
    assert nucleus_centre(mask_of(40, 80, (20, 10, 5, 4))).tolist() == [22.0, 11.5]
    speckled = mask_of(40, 80, (4, 4, 3, 4), (20, 10, 5, 4), (60, 20, 2, 7))
    assert nucleus_centre(speckled).tolist() == [22.0, 11.5]


@pytest.mark.numeric
def test_pixels_that_touch_at_a_corner_are_one_component():
    # 2 x 2 and 3 x 3 squares joined at a corner (13 px) against a square of 12 px.
    mask = mask_of(40, 80, (10, 10, 2, 2), (12, 12, 3, 3), (40, 20, 4, 3))
    assert_same(nucleus_centre(mask), [(4 * 10.5 + 9 * 13) / 13] * 2, FLOAT64)


def test_only_the_nucleus_colour_counts():
    mask = mask_of(40, 80)
    mask[5:20, 5:20] = (255, 0, 255)
    mask[20:30, 20:30] = (0, 0, 254)
    with pytest.raises(SampleDefectError, match="no pixel of the nucleus colour"):
        nucleus_centre(mask)
    mask[8, 9] = NUCLEUS
    assert nucleus_centre(mask).tolist() == [9.0, 8.0]


@pytest.mark.numeric
def test_a_cell_is_read_with_its_centre_in_the_square(tmp_path):
    pixels = write_cell(tmp_path / "normal_columnar", "153-154-001")
    (sample,) = read(tmp_path)
    assert (sample.sample_id, sample.group, sample.label) == ("153-154-001", "153-154", "normal_columnar")
    # 80 x 40 -> 64 x 32 at (0, 16); (22, 11.5) * 0.8 = (17.6, 9.2)
    assert_same(sample.target, [17.6, 25.2], FLOAT64)
    assert sample.target.dtype == np.float64
    assert np.array_equal(sample.signal[16:48], cv2.resize(pixels, (64, 32), interpolation=cv2.INTER_AREA))
    assert sample.extras["content_box"].tolist() == [0, 16, 64, 32]
    assert reader_for("herlev") is herlev
    assert section().kind == "image"


@pytest.mark.parametrize(
    ("image", "mask_name"), [("{}.BMP", "{}-d.bmp"), ("{}.bmp", "{}-D.BMP"), ("{}.Bmp", "{}-d.BMP")]
)
def test_capitals_do_not_matter(tmp_path, image, mask_name):
    write_cell(tmp_path / "class", "Name-A-1", image=image, mask_name=mask_name)
    (tmp_path / "class" / "Thumbs.db").touch()
    (sample,) = read(tmp_path)
    assert (sample.sample_id, sample.group) == ("Name-A-1", "Name-A")
    assert len(herlev.raw_files(section(), tmp_path)) == 2


def test_the_class_folders_may_stand_deeper(tmp_path):
    write_cell(tmp_path / "smear2005" / "New database figures" / "light_dysplastic")
    assert read(tmp_path)[0].label == "light_dysplastic"


def test_each_kind_of_damage_is_a_line_with_its_reason(tmp_path):
    folder = tmp_path / "class"
    for number in range(1, 9):
        write_cell(folder, f"1-1-{number}")
    write_bmp(folder / "1-1-1-d.bmp", mask_of(40, 80))
    (folder / "1-1-2-d.bmp").unlink()
    (folder / "1-1-3.BMP").unlink()
    write_bmp(folder / "1-1-4-d.bmp", mask_of(40, 81, (20, 10, 5, 4)))
    (folder / "1-1-5.BMP").write_bytes(b"")
    (folder / "1-1-6-d.bmp").write_bytes((folder / "1-1-6-d.bmp").read_bytes()[:-200])
    write_bmp(folder / "1-1-7.bmp", mask_of(40, 80))
    write_cell(folder, "1-1-9", mask=np.full((30, 1, 3), NUCLEUS, np.uint8), height=30, width=1)
    write_bmp(folder / "1-1-10.BMP", np.full((40, 80, 3), 9, np.uint8))
    write_bmp(folder / "1-1-10-d.bmp", mask_of(40, 80, (20, 10, 5, 4)))
    results = read(tmp_path)
    assert [result.sample_id for result in results] == sorted(f"1-1-{number}" for number in range(1, 11))
    assert [result.sample_id for result in results if isinstance(result, Sample)] == ["1-1-8"]
    assert {result.sample_id: result.reason for result in results if isinstance(result, Excluded)} == {
        "1-1-1": "mask has no pixel of the nucleus colour (0, 0, 255)",
        "1-1-2": "class/1-1-2.BMP: image with no masks",
        "1-1-3": "class/1-1-3-d.bmp: mask without an image",
        "1-1-4": "image of 80 x 40 px, mask of 81 x 40 px",
        "1-1-5": "1-1-5.BMP is empty (0 bytes)",
        "1-1-6": "1-1-6-d.bmp is truncated: 9454 of 9654 bytes",
        "1-1-7": "class/1-1-7.BMP: 2 images of this name",
        "1-1-9": "image of 1 x 30 px: a side is below 2 px",
        "1-1-10": "all values of the image are equal: its standard deviation is 0",
    }


def test_a_stem_in_two_classes_is_used_once(tmp_path):
    write_cell(tmp_path / "b", height=50)
    write_cell(tmp_path / "a", height=60)
    first, second = read(tmp_path)
    assert (first.sample_id, first.label, first.extras["original_height"]) == ("1-2-3", "a", 60)
    assert second == Excluded("1-2-3#2", "b/1-2-3.BMP: the id 1-2-3 is taken by a file in another folder")


def test_a_folder_without_pairs_is_no_such_set(tmp_path):
    write_bmp(tmp_path / "class" / "holiday.bmp", mask_of(40, 80))
    with refused(tmp_path):
        herlev.raw_files(section(), tmp_path)


def test_the_set_has_no_download(tmp_path):
    with refused("datasets.herlev.path"):
        herlev.download(section(), tmp_path)


def scipy_centre(mask):
    """Centre (x, y) of the largest component, and the number of components."""
    labels, count = ndimage.label(np.all(mask == NUCLEUS, axis=2), structure=np.ones((3, 3)))
    sizes = ndimage.sum_labels(np.ones(labels.shape), labels, range(1, count + 1))
    row, column = ndimage.center_of_mass(labels == 1 + np.argmax(sizes))
    return (column, row), count


def independent_target(sample, shared_data):
    """Centre by scipy, and its place in the square written out once more."""
    stem = shared_data / "herlev" / sample.label / sample.sample_id
    mask = cv2.imread(f"{stem}-d.bmp")[..., ::-1]
    (column, row), count = scipy_centre(mask)
    height, width = mask.shape[:2]
    longest = max(width, height)
    left, top = ((256 - side * 256 // longest) // 2 for side in (width, height))
    return (column * 256 / longest + left, row * 256 / longest + top), count


@pytest.mark.numeric
def test_the_centre_equals_that_of_scipy():
    """The largest of many components, which touch at corners, in 20 masks of noise."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        mask = mask_of(40, 80)
        mask[rng.random((40, 80)) < 0.35] = NUCLEUS
        assert_same(nucleus_centre(mask), scipy_centre(mask)[0], FLOAT64)


@pytest.mark.slow
def test_all_917_real_cells_load_with_the_centres_of_scipy(shared_data):
    samples = read(shared_data / "herlev", image_size=256)
    assert len(samples) == 917
    assert all(isinstance(sample, Sample) for sample in samples)
    ids = [sample.sample_id for sample in samples]
    assert ids == sorted(set(ids))
    frames = Counter(sample.group for sample in samples)
    assert len(frames) == 538
    assert sum(count for count in frames.values() if count > 1) == 597
    assert len({sample.label for sample in samples}) == 7
    assert len(herlev.raw_files(section(), shared_data / "herlev")) == 2 * 917

    components = Counter()
    for sample in samples:
        expected, count = independent_target(sample, shared_data)
        assert_same(sample.target, expected, FLOAT64)
        components["one" if count == 1 else "more"] += 1
    assert components == {"one": 895, "more": 22}


def test_the_centre_of_a_cell_is_that_of_nucleus_and_cytoplasm_together():
    mask = np.full((40, 80, 3), BACKGROUND, np.uint8)
    mask[10:20, 10:30] = CYTOPLASM
    # A nucleus at the cell's edge widens it: columns 10 ... 33 in rows 10 ... 19.
    mask[10:20, 30:34] = NUCLEUS
    mask[30:33, 60:70] = CYTOPLASM
    assert cell_centre(mask).tolist() == [21.5, 14.5]
    assert nucleus_centre(mask).tolist() == [31.5, 14.5]


@pytest.mark.parametrize(("colour", "said"), [(NUCLEUS, "cytoplasm"), (CYTOPLASM, "nucleus")])
def test_a_cell_has_both_colours(colour, said):
    mask = np.full((40, 80, 3), BACKGROUND, np.uint8)
    mask[10:20, 10:30] = colour
    with pytest.raises(SampleDefectError, match=f"no pixel of the {said} colour"):
        cell_centre(mask)


def test_the_cells_centre_is_a_column_of_its_own(tmp_path):
    write_cell(tmp_path / "normal_columnar", "153-154-001")
    points = section().model_copy(update={"points": ("nucleus", "cytoplasm")})
    (both,) = herlev.iter_samples(points, tmp_path)
    (one,) = read(tmp_path)
    assert np.array_equal(both.target, one.target)
    # The cell is columns 2 ... 77 and rows 2 ... 37: (39.5, 19.5) * 0.8 = (31.6, 15.6), 16 px of padding above.
    assert_same(both.extras["cytoplasm"], [31.6, 31.6], FLOAT64)
    assert set(both.extras) - set(one.extras) == {"cytoplasm"}
