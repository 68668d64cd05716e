"""Folds of images: affine parameters on disk, pixels warped on reading."""

from __future__ import annotations

import math
import shutil
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from refusals import refused
from tolerances import FLOAT32, FLOAT64, assert_same, largest

from siwcc.config import FolderSection, ImageAugmentation, ImageTask, SipakmedSection
from siwcc.data.augment.image import (
    IDENTITY,
    Affine,
    ImageInputs,
    affine_matrix,
    draw_affine,
    draw_copy,
    in_frame,
    open_inputs,
    open_originals,
    open_source,
    transform_point,
    write_fold,
)
from siwcc.data.augment.interface import copy_rng
from siwcc.data.datasets.images import place_image
from siwcc.data.samples import write_samples as write_shard
from siwcc.data.tasks.interface import TaskSpec
from siwcc.io.shards import read_shard, shard_writer
from siwcc.nn.coordinate_channels import encode

SIZE = 64
SHAPE = (SIZE, SIZE)
SETTINGS = ImageTask(dataset="cells", copies_per_sample=4)
REFLECT = SETTINGS.model_copy(update={"border": "reflect"})
DATASET = SipakmedSection(format="sipakmed", image_size=SIZE)
IDS = ("1_001_01", "1_001_02", "2_001_01", "3_004_07", "4_001_01", "5_002_01")
# OpenCV before 5 rounds the source position to 1/32 px, at most 1/64 px off in x and in y; 5 does not.
FIXED_POINT = int(cv2.__version__.split(".")[0]) < 5


def write_samples(path: Path, size: int = SIZE, dataset: str = "cells", seed: int = 0) -> Path:
    """Six smooth images with their content in a box, the rest of the square zero."""
    rng = np.random.default_rng(seed)
    attributes = {"dataset": dataset, "image_size": size, "protocol": {}}
    with shard_writer(path, "samples", attributes) as writer:
        for number, sample_id in enumerate(IDS):
            width, height = (size, size - 8 - 2 * number) if number % 2 else (size - 7 - 3 * number, size)
            left, top = (size - width) // 2, (size - height) // 2
            coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
            content = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
            image = np.zeros((size, size, 3), dtype=np.uint8)
            image[top : top + height, left : left + width] = content
            writer.append(
                {
                    "signal": image,
                    "target": np.array([left + 0.4 * width, top + 0.55 * height]),
                    "sample_id": sample_id,
                    "group": sample_id[:5],
                    "class": sample_id[0],
                    "content_box": np.array([left, top, width, height], dtype=np.int32),
                    "mean": content.mean(dtype=np.float64),
                    "std": content.std(dtype=np.float64),
                }
            )
    return path


@pytest.fixture(scope="module")
def written_samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("samples") / "cells.h5")


@pytest.fixture
def samples_path(written_samples: Path, tmp_path: Path) -> Path:
    """A copy, for one test."""
    return Path(shutil.copy(written_samples, tmp_path))


def make_fold(samples_path: Path, fold: int, sample_ids: tuple[str, ...], settings: ImageTask = SETTINGS) -> Path:
    path = samples_path.parent / f"fold{fold}.h5"
    write_fold(samples_path, sample_ids, settings, DATASET, seed=42, fold=fold, path=path)
    return path


def test_draws_are_documented_bounded_and_rounded() -> None:
    for number in range(300):
        affine = draw_affine(copy_rng(42, "1_001_01", number), SETTINGS, (256, 256))
        replay = copy_rng(42, "1_001_01", number)
        expected = (
            replay.uniform(-20, 20),
            replay.uniform(-20, 20),
            replay.uniform(-20, 20),
            replay.uniform(0.75, 1.25),
        )
        found = (*affine.translation_px, affine.rotation_deg, affine.scale)
        assert found == tuple(round(value, digits) for value, digits in zip(expected, (2, 2, 2, 3), strict=True))
        assert all(-20 <= value <= 20 for value in found[:3])
        assert 0.75 <= affine.scale <= 1.25


def test_translation_shrinks_with_the_image() -> None:
    at_256 = [draw_affine(np.random.default_rng(n), SETTINGS, (256, 256)) for n in range(50)]
    at_64 = [draw_affine(np.random.default_rng(n), SETTINGS, (64, 64)) for n in range(50)]
    for large, small in zip(at_256, at_64, strict=True):
        # Both are rounded to 0.01 px: by 0.005 px, and by a fourth of that.
        np.testing.assert_allclose(small.translation_px, np.divide(large.translation_px, 4), atol=0.0063)
        assert (small.rotation_deg, small.scale) == (large.rotation_deg, large.scale)


def test_identity_is_drawn_again() -> None:
    # Only the scale varies, and 0.9995 ... 1.0005 rounds to 1.0 for most draws near the middle.
    narrow = ImageAugmentation(translation_px=0, rotation_deg=0, scale=(0.9992, 1.0008))
    settings = SETTINGS.model_copy(update={"augmentation": narrow})
    drawn = [draw_affine(np.random.default_rng(n), settings, (64, 64)) for n in range(100)]
    assert IDENTITY not in drawn
    assert {affine.scale for affine in drawn} == {0.999, 1.001}


def test_ranges_without_any_copy_are_refused() -> None:
    nothing = ImageAugmentation(translation_px=0, rotation_deg=0, scale=(1, 1))
    with refused("config: tasks.nuclei.augmentation"):
        draw_affine(np.random.default_rng(0), SETTINGS.model_copy(update={"augmentation": nothing}), (64, 64))


@pytest.mark.numeric
def test_matrix_by_hand() -> None:
    # 90 degrees counter-clockwise about (128, 128), twice as large, then (+3, -5):
    # x' = 2 (y - 128) + 128 + 3, y' = -2 (x - 128) + 128 - 5.
    matrix = affine_matrix(Affine((3.0, -5.0), 90.0, 2.0), (256, 256))
    assert_same(matrix, [[0, 2, -125], [-2, 0, 379]], FLOAT64)
    # The point 10 px right of the centre goes 20 px above it, then moves by the translation.
    assert_same(transform_point(matrix, np.array([138.0, 128.0])), [131, 103], FLOAT64)


@pytest.mark.numeric
def test_matrix_at_another_size_and_angle() -> None:
    angle = math.radians(-30)
    a, b = 1.2 * math.cos(angle), 1.2 * math.sin(angle)
    expected = [[a, b, (1 - a) * 32 - b * 32 + 1.5], [-b, a, b * 32 + (1 - a) * 32 + 2.25]]
    assert_same(affine_matrix(Affine((1.5, 2.25), -30.0, 1.2), (64, 64)), expected, FLOAT64)


def test_identity_matrix() -> None:
    np.testing.assert_array_equal(affine_matrix(IDENTITY, (256, 256)), [[1, 0, 0], [0, 1, 0]])


def _blob(size: int, centre_px: np.ndarray, sigma_px: float = 3.0) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    squared = (columns - centre_px[0]) ** 2 + (rows - centre_px[1]) ** 2
    return np.repeat(np.exp(-squared / (2 * sigma_px**2))[..., np.newaxis], 3, axis=2)


def _centroid(image: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()


@pytest.mark.numeric
def test_point_and_image_move_together(tmp_path: Path) -> None:
    """Forty copies of a marked point, through the files and `batch`: within 0.05 px."""
    size, point_px = 128, np.array([52.3, 70.8])
    path = tmp_path / "blob.h5"
    with shard_writer(path, "samples", {"dataset": "cells", "image_size": size}) as writer:
        writer.append(
            {
                "signal": np.rint(255 * _blob(size, point_px)).astype(np.uint8),
                "target": point_px,
                "sample_id": "1_001_01",
                "group": "1_001",
                "class": "1",
                "content_box": np.array([0, 0, size, size], dtype=np.int32),
                "mean": 0.0,
                "std": 255.0,
            }
        )
    settings = ImageTask(dataset="cells", copies_per_sample=40)
    dataset = SipakmedSection(format="sipakmed", image_size=size)
    write_fold(path, ["1_001_01"], settings, dataset, seed=7, fold=1, path=tmp_path / "fold1.h5")
    inputs = open_inputs([tmp_path / "fold1.h5"], path, augmented_only=True)
    images = inputs.batch(np.arange(40), "coord").numpy()
    errors_px = [
        np.abs(_centroid(image[0]) - target).max() for image, target in zip(images, inputs.target, strict=True)
    ]
    assert len(errors_px) == 40
    # The quantised blob itself is good to a few hundredths, so a half-pixel convention error cannot hide.
    assert max(errors_px) < 0.05


@pytest.mark.numeric
def test_fold_file_by_hand(samples_path: Path) -> None:
    path = make_fold(samples_path, 2, ("3_004_07", "1_001_02"))
    samples = read_shard(samples_path, "samples")
    fold = read_shard(path, "fold")
    assert sorted(fold.arrays) == [
        "class", "copy", "event_visible", "group", "rotation_deg", "sample_id", "scale", "target", "translation",
    ]  # fmt: skip
    assert fold.arrays["sample_id"].tolist() == ["1_001_02"] * 5 + ["3_004_07"] * 5
    assert fold.arrays["group"].tolist() == ["1_001"] * 5 + ["3_004"] * 5
    assert fold.arrays["class"].tolist() == ["1"] * 5 + ["3"] * 5
    assert fold.arrays["copy"].tolist() == [0, 1, 2, 3, 4] * 2
    assert fold.arrays["copy"].dtype == np.int32
    assert fold.arrays["target"].dtype == np.float64
    for name, value in (("translation", 0), ("rotation_deg", 0), ("scale", 1)):
        assert np.all(fold.arrays[name][[0, 5]] == value)
    np.testing.assert_array_equal(fold.arrays["target"][[0, 5]], samples.arrays["target"][[1, 3]])
    for row in range(10):
        affine = Affine(
            tuple(fold.arrays["translation"][row]), fold.arrays["rotation_deg"][row], fold.arrays["scale"][row]
        )
        source = samples.arrays["target"][1 if row < 5 else 3]
        moved = transform_point(affine_matrix(affine, SHAPE), source)
        assert_same(fold.arrays["target"][row], moved, FLOAT64)
    assert {name: fold.attributes[name] for name in ("task", "dataset", "fold", "seed", "samples_digest")} == {
        "task": "nuclei", "dataset": "cells", "fold": 2, "seed": 42, "samples_digest": samples.digest,
    }  # fmt: skip
    assert TaskSpec.from_json(fold.attributes["spec"]).extent == (63.0, 63.0)


def test_each_copy_can_be_made_alone(samples_path: Path) -> None:
    few = read_shard(make_fold(samples_path, 1, IDS[:3]), "fold").arrays
    many_settings = SETTINGS.model_copy(update={"copies_per_sample": 9})
    many = read_shard(make_fold(samples_path, 2, IDS[1:2], many_settings), "fold").arrays
    for name in ("translation", "rotation_deg", "scale", "target"):
        np.testing.assert_array_equal(few[name][5:10], many[name][:5])
    alone = draw_affine(copy_rng(42, IDS[1], 3), SETTINGS, SHAPE)
    assert tuple(few["translation"][8]) == alone.translation_px
    assert (few["rotation_deg"][8], few["scale"][8]) == (alone.rotation_deg, alone.scale)


def test_same_bytes_twice(samples_path: Path) -> None:
    path = make_fold(samples_path, 1, IDS[:2])
    first = path.read_bytes()
    path.unlink()
    assert make_fold(samples_path, 1, IDS[:2]).read_bytes() == first


@pytest.mark.numeric
def test_targets_outside_are_marked_and_kept(samples_path: Path) -> None:
    wide = ImageAugmentation(translation_px=200, rotation_deg=0, scale=(1, 1))
    settings = ImageTask(dataset="cells", copies_per_sample=50, augmentation=wide)
    fold = read_shard(make_fold(samples_path, 1, IDS[:1], settings), "fold").arrays
    inside = [0 <= x <= 63 and 0 <= y <= 63 for x, y in fold["target"]]
    assert fold["event_visible"].tolist() == [int(value) for value in inside]
    assert 0 < sum(inside) < len(inside)
    assert_same(fold["target"], fold["target"][0] + fold["translation"], FLOAT64)
    assert fold["target"].min() < 0


def _reference(image: np.ndarray, box: np.ndarray, mean: float, std: float, matrix: np.ndarray) -> np.ndarray:
    """Normalise, zero outside the box, warp bilinearly with zeros beyond the border: float64, pixel by pixel."""
    rows, columns, colours = image.shape
    left, top, width, height = box
    source = np.zeros((rows + 2, columns + 2, colours))
    normalised = (image.astype(np.float64) - mean) / std
    source[1 + top : 1 + top + height, 1 + left : 1 + left + width] = normalised[
        top : top + height, left : left + width
    ]
    inverse = np.linalg.inv(matrix[:, :2])
    warped = np.zeros(image.shape)
    for y in range(rows):
        for x in range(columns):
            source_x, source_y = inverse @ (np.array([x, y]) - matrix[:, 2])
            column, row = math.floor(source_x), math.floor(source_y)
            if not (-1 <= column < columns and -1 <= row < rows):
                continue
            dx, dy = source_x - column, source_y - row
            corners = source[row + 1 : row + 3, column + 1 : column + 3]
            weights = np.outer([1 - dy, dy], [1 - dx, dx])
            warped[y, x] = (weights[..., np.newaxis] * corners).sum(axis=(0, 1))
    return warped


def assert_warped(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for the resolution of OpenCV's source positions.

    They are float32: 2**-19 px near column 64, which moves a value by that much of the difference between neighbours.
    """
    steepest = max(np.abs(np.diff(expected, axis=axis)).max() for axis in (0, 1))
    position_px = 2 / 64 if FIXED_POINT else 2.0**-17
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * position_px * steepest + FLOAT32 * largest(expected))


@pytest.mark.numeric
def test_pixels_equal_a_plain_second_implementation(samples_path: Path) -> None:
    inputs = open_inputs([make_fold(samples_path, 1, IDS[:3])], samples_path, augmented_only=False)
    fold = read_shard(samples_path.parent / "fold1.h5", "fold").arrays
    samples = read_shard(samples_path, "samples").arrays
    images = inputs.batch(np.arange(15), "weighted")
    assert images.shape == (15, 3, SIZE, SIZE)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    for row in (0, 1, 2, 7, 14):
        affine = Affine(tuple(fold["translation"][row]), float(fold["rotation_deg"][row]), float(fold["scale"][row]))
        source = [samples[name][row // 5] for name in ("signal", "content_box", "mean", "std")]
        expected = _reference(*source, affine_matrix(affine, SHAPE))
        assert_warped(images[row].permute(1, 2, 0).numpy(), expected)


def _mirrored(content: np.ndarray, column: int, row: int) -> np.ndarray:
    """The pixel of a plane tiled with the content and its mirror images, the edge pixels not doubled."""
    places = []
    for place, length in ((row, content.shape[0]), (column, content.shape[1])):
        while not 0 <= place < length:
            place = -place if place < 0 else 2 * (length - 1) - place
        places.append(place)
    return content[tuple(places)]


def _reflected_reference(image: np.ndarray, box: np.ndarray, mean: float, std: float, matrix: np.ndarray) -> np.ndarray:
    """Normalise, tile the plane with the content and its mirror images, warp bilinearly: float64, pixel by pixel."""
    left, top, width, height = box
    content = (image[top : top + height, left : left + width].astype(np.float64) - mean) / std
    inverse = np.linalg.inv(matrix[:, :2])
    warped = np.zeros(image.shape)
    for y, x in np.ndindex(image.shape[:2]):
        source_x, source_y = inverse @ (np.array([x, y]) - matrix[:, 2]) - (left, top)
        column, line = math.floor(source_x), math.floor(source_y)
        dx, dy = source_x - column, source_y - line
        for a, weight_x in ((0, 1 - dx), (1, dx)):
            for b, weight_y in ((0, 1 - dy), (1, dy)):
                warped[y, x] += weight_x * weight_y * _mirrored(content, column + a, line + b)
    return warped


@pytest.mark.numeric
def test_reflected_pixels_equal_a_plain_second_implementation(samples_path: Path) -> None:
    inputs = open_inputs([make_fold(samples_path, 1, IDS[:3], REFLECT)], samples_path, augmented_only=False)
    fold = read_shard(samples_path.parent / "fold1.h5", "fold").arrays
    samples = read_shard(samples_path, "samples").arrays
    images = inputs.batch(np.arange(15), "weighted").permute(0, 2, 3, 1).numpy()
    for row in (1, 7, 14):
        affine = Affine(tuple(fold["translation"][row]), float(fold["rotation_deg"][row]), float(fold["scale"][row]))
        source = [samples[name][row // 5] for name in ("signal", "content_box", "mean", "std")]
        assert_warped(images[row], _reflected_reference(*source, affine_matrix(affine, SHAPE)))


def test_reflected_padding_of_the_image_itself_is_numpys(samples_path: Path) -> None:
    inputs = open_inputs([make_fold(samples_path, 1, IDS, REFLECT)], samples_path, augmented_only=False)
    reflected = inputs.batch(np.flatnonzero(inputs.copy == 0), "coord").permute(0, 2, 3, 1).numpy()
    inputs = open_inputs([make_fold(samples_path, 1, IDS)], samples_path, augmented_only=False)
    padded = inputs.batch(np.flatnonzero(inputs.copy == 0), "coord").permute(0, 2, 3, 1).numpy()
    boxes = read_shard(samples_path, "samples", ("content_box",)).arrays["content_box"]
    for mirrored, image, (left, top, width, height) in zip(reflected, padded, boxes, strict=True):
        content = image[top : top + height, left : left + width]
        around = ((top, SIZE - top - height), (left, SIZE - left - width), (0, 0))
        np.testing.assert_array_equal(mirrored, np.pad(content, around, mode="reflect"))


@pytest.mark.numeric
def test_reflection_leaves_no_edge_in_an_even_image(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "cells.h5")
    samples = read_shard(path, "samples")
    samples.arrays["signal"][:] = 200
    with shard_writer(path, "samples", {"dataset": "cells", "image_size": SIZE}) as writer:
        writer.extend(samples.arrays)
    inputs = open_inputs([make_fold(path, 1, IDS, REFLECT)], path, augmented_only=False)
    images = inputs.batch(np.arange(len(inputs.target)), "coord").numpy()
    for image in images:
        assert np.ptp(image) < FLOAT32 * largest(image)
        assert abs(image.mean()) > 0.1


def test_targets_outside_are_drawn_again_with_reflect() -> None:
    wide = ImageAugmentation(translation_px=100, rotation_deg=20, scale=(0.75, 1.25))
    settings, zero = (s.model_copy(update={"augmentation": wide}) for s in (REFLECT, SETTINGS))
    source_px = np.array([20.0, 50.0])
    redrawn = 0
    for copy in range(1, 300):
        affine, target_px = draw_copy(copy_rng(42, "a", copy), settings, SHAPE, source_px)
        np.testing.assert_array_equal(target_px, transform_point(affine_matrix(affine, SHAPE), source_px))
        assert np.all((target_px >= 0) & (target_px <= SIZE - 1))
        # The first draw is that of `zero`, and it is kept if it may be.
        first, first_px = draw_copy(copy_rng(42, "a", copy), zero, SHAPE, source_px)
        inside = bool(np.all((first_px >= 0) & (first_px <= SIZE - 1)))
        assert (affine == first) == inside
        redrawn += not inside
    assert 30 < redrawn < 250


def test_reflected_folds_have_every_target_in_view(samples_path: Path) -> None:
    wide = ImageAugmentation(translation_px=150, rotation_deg=20, scale=(0.75, 1.25))
    settings = REFLECT.model_copy(update={"augmentation": wide, "copies_per_sample": 30})
    path = make_fold(samples_path, 1, IDS, settings)
    fold = read_shard(path, "fold").arrays
    assert fold["event_visible"].all()
    assert fold["target"].min() >= 0
    assert fold["target"].max() <= SIZE - 1


def test_ranges_that_always_lose_the_target_are_refused() -> None:
    turned = ImageAugmentation(translation_px=0, rotation_deg=1, scale=(50, 50))
    settings = REFLECT.model_copy(update={"augmentation": turned})
    with refused("config: tasks.nuclei.augmentation", "(3.0, 60.0) px", remedy="border"):
        draw_copy(np.random.default_rng(0), settings, SHAPE, np.array([3.0, 60.0]))


@pytest.mark.numeric
def test_padding_is_exactly_zero_and_content_is_standardised(samples_path: Path) -> None:
    inputs = open_inputs([make_fold(samples_path, 1, IDS)], samples_path, augmented_only=False)
    originals = inputs.batch(np.flatnonzero(inputs.copy == 0), "coord").numpy()
    boxes = read_shard(samples_path, "samples", ("content_box",)).arrays["content_box"]
    for image, (left, top, width, height) in zip(originals, boxes, strict=True):
        content = image[:, top : top + height, left : left + width].astype(np.float64)
        # Pixels are rounded to float32.
        assert_same(content.mean(), 0.0, FLOAT32, scale=largest(content))
        assert_same(content.std(), 1.0, FLOAT32, scale=largest(content))
        outside = np.ones(image.shape[1:], dtype=bool)
        outside[top : top + height, left : left + width] = False
        assert outside.any()
        assert np.all(image[:, outside] == 0)


@pytest.mark.numeric
def test_padding_is_zero_in_the_weighted_channels_and_not_in_the_plain_ones(samples_path: Path) -> None:
    inputs = open_inputs([make_fold(samples_path, 1, IDS[:1])], samples_path, augmented_only=False)
    signal = inputs.batch(np.flatnonzero(inputs.copy == 0), "coord")
    left, top, width, height = read_shard(samples_path, "samples", ("content_box",)).arrays["content_box"][0]
    assert (left, top, width, height) == (3, 0, 57, 64)
    plain = encode(signal, "coord", inputs.spec.extent)[0, 3:].numpy()
    weighted = encode(signal, "weighted", inputs.spec.extent)[0, 3:].numpy()
    # The padding right of the content starts at column 60: there x is 60 ... 63 and y is the row.
    assert plain[0, 10, 60:].tolist() == [60, 61, 62, 63]
    assert plain[1, 10, 60:].tolist() == [10, 10, 10, 10]
    assert np.all(weighted[:, :, 60:] == 0)
    assert np.all(weighted[:, :, :3] == 0)
    pixel = signal[0, :, 20, 40].numpy().astype(np.float64)
    assert_same(weighted[:, 20, 40], [40 * pixel.mean(), 20 * pixel.mean()], FLOAT32)


def test_what_lies_beyond_the_border_is_exactly_zero(samples_path: Path) -> None:
    # Half the size about the centre (32, 32): nothing of the source reaches rows or columns below 15 or above 48.
    half = ImageAugmentation(translation_px=0, rotation_deg=0, scale=(0.5, 0.5))
    settings = ImageTask(dataset="cells", copies_per_sample=1, augmentation=half)
    inputs = open_inputs([make_fold(samples_path, 1, IDS[:2], settings)], samples_path, augmented_only=True)
    images = inputs.batch(np.arange(2), "coord").numpy()
    outside = np.ones((SIZE, SIZE), dtype=bool)
    outside[15:49, 15:49] = False
    assert np.all(images[:, :, outside] == 0)
    assert np.all(images[:, :, 20:44, 32].any(axis=(1, 2)))


def test_rows_may_come_in_any_order(samples_path: Path) -> None:
    inputs = open_inputs([make_fold(samples_path, 1, IDS)], samples_path, augmented_only=True)
    everything = inputs.batch(np.arange(24), "coord")
    picked = np.array([17, 3, 3, 20])
    assert torch.equal(inputs.batch(picked, "coord"), everything[picked])
    read = inputs.source("coord").read(picked)
    np.testing.assert_array_equal(read, everything[picked].numpy())
    # Sums over the colours are added up in the order of the memory.
    assert read.strides == inputs.batch(picked, "coord").numpy().strides


def test_rows_of_several_folds(samples_path: Path) -> None:
    paths = [make_fold(samples_path, 3, IDS[4:]), make_fold(samples_path, 1, IDS[:2])]
    inputs = open_inputs(paths, samples_path, augmented_only=True)
    assert inputs.sample_id.tolist() == [name for name in (*IDS[4:], *IDS[:2]) for _ in range(4)]
    assert inputs.group.tolist() == [name[:5] for name in inputs.sample_id]
    assert inputs.label.tolist() == [name[0] for name in inputs.sample_id]
    assert inputs.copy.tolist() == [1, 2, 3, 4] * 4
    assert inputs.target.dtype == np.float32
    assert inputs.target.shape == (16, 2)
    assert inputs.spec.shape == (SIZE, SIZE)
    assert inputs.layer_encoding("weighted") == ("weighted", 3)
    assert len(open_inputs(paths, samples_path, augmented_only=False).target) == 20


def _open_traced(paths: list[Path], samples_path: Path) -> tuple[ImageInputs, int]:
    tracemalloc.start()
    try:
        inputs = open_inputs(paths, samples_path, augmented_only=True)
        return inputs, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_copies(samples_path: Path) -> None:
    few_settings, many_settings = (SETTINGS.model_copy(update={"copies_per_sample": n}) for n in (2, 50))
    few_path = [make_fold(samples_path, 1, IDS, few_settings)]
    _open_traced(few_path, samples_path)
    few, few_bytes = _open_traced(few_path, samples_path)
    many, many_bytes = _open_traced([make_fold(samples_path, 1, IDS, many_settings)], samples_path)
    more_rows = len(many.target) - len(few.target)
    assert more_rows == 6 * 48
    # Two strings and a dozen numbers a row; one float image of this size has 49,152 bytes.
    assert (many_bytes - few_bytes) / more_rows < 400
    one_image_bytes = SIZE * SIZE * 3
    assert few_bytes > 6 * one_image_bytes


def test_only_the_needed_images_are_held(samples_path: Path) -> None:
    path = [make_fold(samples_path, 1, IDS[:1])]
    _open_traced(path, samples_path)
    one_bytes = _open_traced(path, samples_path)[1]
    all_bytes = _open_traced([make_fold(samples_path, 1, IDS)], samples_path)[1]
    # Five more images, and twenty more rows at some 400 bytes; a second copy would make it ten.
    assert 4.5 < (all_bytes - one_bytes) / (SIZE * SIZE * 3) < 6


@pytest.mark.parametrize("settings", [SETTINGS, REFLECT], ids=["zero", "reflect"])
def test_a_source_moves_images_as_the_folds_do(samples_path: Path, settings: ImageTask) -> None:
    paths = [make_fold(samples_path, 1, IDS[:2], settings), make_fold(samples_path, 2, IDS[2:4], settings)]
    own = open_inputs(paths, samples_path, augmented_only=False)
    rows = np.random.default_rng(0).permutation(len(own.copy))[:11]
    source = open_source(paths, samples_path)
    made = source.moved(own.sample_id[rows], own.copy[rows], 42)
    assert made.spec == own.spec
    for name in ("sample_id", "group", "label", "copy", "target"):
        np.testing.assert_array_equal(getattr(made, name), getattr(own, name)[rows])
    every = np.arange(len(rows))
    assert torch.equal(made.batch(every, "coord"), own.batch(rows, "coord"))
    for other in ((own.copy[rows] + 5, 42), (own.copy[rows] + 1, 43)):
        moved = source.moved(own.sample_id[rows], *other)
        assert not (moved.target == own.target[rows]).all(axis=1).any()


def test_another_samples_file_is_refused(samples_path: Path) -> None:
    path = make_fold(samples_path, 1, IDS)
    write_samples(samples_path, seed=1)
    with refused(samples_path, "changed"):
        open_source([path], samples_path)
    with refused(samples_path, "changed"):
        open_inputs([path], samples_path, augmented_only=True)


def test_samples_of_another_data_set_or_size_are_refused(samples_path: Path) -> None:
    other = write_samples(samples_path.parent / "other.h5", dataset="herlev")
    with refused(other, "dataset", "'herlev'", "'cells'"):
        make_fold(other, 1, IDS)
    larger = write_samples(samples_path.parent / "larger.h5", size=128)
    with refused(larger, "image_size", 128, 64):
        make_fold(larger, 1, IDS)


def test_an_unknown_sample_is_refused(samples_path: Path) -> None:
    with refused(samples_path, "'9_001_01'"):
        make_fold(samples_path, 1, (IDS[0], "9_001_01"))
    with refused(samples_path):
        make_fold(samples_path, 1, ())


# ------------------------------------------------- frames that are not square, several points, one colour

TALL = (64, 32)
POINTS = ("upper", "middle", "lower")
TALL_DATASET = FolderSection(
    format="folder",
    kind="image",
    path=Path("rays"),
    image_size=TALL,
    colours=1,
    points_from=(("upper", "1"), ("middle", "2"), ("lower", "3")),
)
TALL_SETTINGS = ImageTask(name="rays", dataset="rays", points=POINTS, copies_per_sample=4)
# The crop's points in pixels of 30 x 50; the second image has no middle, of the third the middle is to its right.
RAYS = {
    "a": [[4.0, 5.0], [15.0, 25.0], [20.0, 45.0]],
    "b": [[10.0, 8.0], [np.nan, np.nan], [12.0, 40.0]],
    "c": [[16.0, 3.0], [14.0, 20.0], [np.nan, np.nan]],
}


@pytest.fixture
def rays_path(tmp_path: Path) -> Path:
    """Grey images of 30 x 50 px: 32 / 30 is below 64 / 50, so they are 32 x 53 px in the frame, 5 px below its top."""
    rng = np.random.default_rng(5)
    items = []
    for name, points in RAYS.items():
        coarse = rng.integers(0, 256, (6, 5, 1), dtype=np.uint8)
        crop = cv2.resize(coarse, (30, 50), interpolation=cv2.INTER_LINEAR)[..., np.newaxis]
        items.append(place_image(crop, np.array(points), TALL).sample(name, f"p{name}", "all", POINTS))
    path = tmp_path / "rays.h5"
    attributes = {"dataset": "rays", "image_size": "64 x 32", "protocol": TALL_DATASET.protocol()}
    assert write_shard(items, attributes, path, 0.0, ("target", "middle", "lower")) == []
    return path


@pytest.mark.numeric
def test_the_centre_of_a_tall_image() -> None:
    # 90 degrees counter-clockwise about (16, 32), twice as large, then (+3, -5):
    # x' = 2 (y - 32) + 16 + 3, y' = -2 (x - 16) + 32 - 5.
    matrix = affine_matrix(Affine((3.0, -5.0), 90.0, 2.0), TALL)
    assert_same(matrix, [[0, 2, -45], [-2, 0, 59]], FLOAT64)
    # 10 px right of the centre goes 20 px above it.
    assert_same(transform_point(matrix, np.array([26.0, 32.0])), [19, 7], FLOAT64)


def test_the_longer_side_limits_the_translation() -> None:
    # 20 px of 256 px are 5 px of 64 px, along either axis.
    drawn = [draw_affine(np.random.default_rng(n), SETTINGS, TALL) for n in range(200)]
    assert drawn == [draw_affine(np.random.default_rng(n), SETTINGS, (64, 64)) for n in range(200)]
    moved = np.abs([affine.translation_px for affine in drawn])
    assert (moved.max(axis=0) > 4.5).all()
    assert moved.max() <= 5


def test_what_is_in_a_tall_frame() -> None:
    points = [[31, 63], [0, 0], [10, 40], [31.5, 0], [0, 63.5], [40, 10], [-0.1, 5], [np.nan, 3], [3, np.nan]]
    assert in_frame(np.array(points), TALL).tolist() == [True] * 3 + [False] * 6
    assert in_frame(np.array(points).reshape(3, 3, 2), TALL).shape == (3, 3)


def test_only_points_that_are_there_keep_a_copy_in_the_frame() -> None:
    wide = ImageAugmentation(translation_px=100, rotation_deg=20, scale=(0.75, 1.25))
    settings, zero = (
        TALL_SETTINGS.model_copy(update={"augmentation": wide, "border": border}) for border in ("reflect", "zero")
    )
    # The second is not there, the third outside the image itself.
    source_px = np.array([5.0, 50.0, np.nan, np.nan, 40.0, 30.0])
    redrawn = outside = 0
    for copy in range(1, 300):
        affine, target_px = draw_copy(copy_rng(42, "a", copy), settings, TALL, source_px)
        matrix = affine_matrix(affine, TALL)
        assert np.isnan(target_px).tolist() == [False, False, True, True, False, False]
        for point in (slice(0, 2), slice(4, 6)):
            np.testing.assert_array_equal(target_px[point], transform_point(matrix, source_px[point]))
        assert 0 <= target_px[0] <= 31
        assert 0 <= target_px[1] <= 63
        outside += not in_frame(target_px[4:], TALL)
        first, first_px = draw_copy(copy_rng(42, "a", copy), zero, TALL, source_px)
        assert (affine == first) == bool(in_frame(first_px[:2], TALL))
        redrawn += affine != first
    assert 30 < redrawn < 250
    assert outside > 30


@pytest.mark.numeric
@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_folds_of_three_points_in_tall_grey_images(rays_path: Path, border: str) -> None:
    path = rays_path.parent / "fold1.h5"
    settings = TALL_SETTINGS.model_copy(update={"border": border})
    write_fold(rays_path, ["c", "a", "b"], settings, TALL_DATASET, seed=42, fold=1, path=path)
    fold, samples = read_shard(path, "fold").arrays, read_shard(rays_path, "samples").arrays
    inputs = open_inputs([path], rays_path, augmented_only=False)
    assert (inputs.spec.task, inputs.spec.channels, inputs.spec.shape) == ("rays", 1, (64, 32))
    assert (inputs.spec.extent, inputs.spec.output_scale) == ((31.0, 63.0), 63.0)
    assert inputs.spec.points == {"upper": [0, 1], "middle": [2, 3], "lower": [4, 5]}
    images = inputs.batch(np.arange(15), "coord")
    assert (images.shape, images.dtype) == ((15, 1, 64, 32), torch.float32)
    reference = {"zero": _reference, "reflect": _reflected_reference}[border]
    for row in range(15):
        affine = Affine(tuple(fold["translation"][row]), float(fold["rotation_deg"][row]), float(fold["scale"][row]))
        matrix, sample = affine_matrix(affine, TALL), row // 5
        for number, name in enumerate(("target", "middle", "lower")):
            moved = transform_point(matrix, samples[name][sample])
            seen = bool((moved >= 0).all() and (moved <= [31, 63]).all())
            assert fold["visible"][row, number] == seen
            found = fold["target"][row, 2 * number : 2 * number + 2]
            if seen:
                assert_same(found, moved, FLOAT64)
            else:
                assert np.isnan(found).all()
        if row in (0, 3, 7, 14):
            source = [samples[name][sample] for name in ("signal", "content_box", "mean", "std")]
            assert_warped(images[row].permute(1, 2, 0).numpy(), reference(*source, matrix))
    np.testing.assert_array_equal(samples["content_box"], [[0, 5, 32, 53]] * 3)
    assert fold["visible"][::5].tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 0]]
    np.testing.assert_array_equal(inputs.target, fold["target"].astype(np.float32))


@pytest.mark.numeric
def test_originals_and_moved_copies_of_tall_images_are_those_of_their_folds(rays_path: Path) -> None:
    path = rays_path.parent / "fold1.h5"
    write_fold(rays_path, list(RAYS), TALL_SETTINGS, TALL_DATASET, seed=42, fold=1, path=path)
    inputs = open_inputs([path], rays_path, augmented_only=False)
    moved = open_source([path], rays_path).moved(inputs.sample_id, inputs.copy, 42)
    originals = open_originals(rays_path, TALL_SETTINGS, TALL_DATASET, 42)
    for made, rows in ((moved, np.arange(15)), (originals, np.arange(0, 15, 5))):
        np.testing.assert_array_equal(made.target, inputs.target[rows])
        assert torch.equal(made.batch(np.arange(len(rows)), "coord"), inputs.batch(rows, "coord"))


def test_samples_of_another_shape_are_refused(rays_path: Path) -> None:
    turned = TALL_DATASET.model_copy(update={"image_size": (32, 64)})
    with refused(rays_path, "image_size", "64 x 32", "32 x 64"):
        write_fold(rays_path, ["a"], TALL_SETTINGS, turned, seed=42, fold=1, path=rays_path.parent / "fold1.h5")
