"""Random affine of images: parameters in the fold files, pixels warped when they are read.

Pixel centres have integer coordinates, x to the right and y down. The matrix M maps a point of the
source to its place in the output: (x', y') = M (x, y, 1). Augmentation is the paper's section 2.1.

What lies outside the image's content, in the padding of a crop that is not square and beyond the
border after the warp, depends on `border`:

    zero      0 of the normalised image, as in the paper: its edges move with the copy and tell it
    reflect   the content mirrored at its outermost pixels' centres, as often as needed
              (BORDER_REFLECT_101: dcb|abcd|cba; no pixel is doubled at the seam)

`reflect` mirrors the content itself, not the padded square, so that there is no zero edge anywhere.
Copies whose target, or any of several, would lie outside the frame are drawn again; copy 0 is the
original image with mirrored padding. A mirrored nucleus can come into view (the centre of one in 18 % of the copies of
Herlev, in 11 % of its images themselves); which one is meant then shows in its place only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from siwcc.config import ImageDataset, ImageTask
from siwcc.data.augment.interface import (
    Warped,
    check_samples,
    copy_rng,
    fold_attributes,
    fold_rows,
    join_rows,
    origin_of,
    read_folds,
    rows_of_fold,
)
from siwcc.data.datasets.interface import stored_size
from siwcc.data.points import hide
from siwcc.data.tasks.image import make_spec
from siwcc.data.tasks.interface import TaskSpec
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SamplesPath, joined_name, read_sample_rows, read_samples
from siwcc.io.shards import Shard, shard_writer

if TYPE_CHECKING:
    import torch

PAPER_IMAGE_SIZE_PX = 256
_MOST_REDRAWS = 100
_FOLD_ARRAYS = ("sample_id", "group", "class", "copy", "translation", "rotation_deg", "scale", "target")
_IMAGE_ARRAYS = ("sample_id", "signal", "content_box", "mean", "std")
_REMAKE = "delete the fold files and run again"

Shape = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Affine:
    """One copy: rotation and scale about the image's centre, then a translation.

    Attributes:
        translation_px: (x, y) in pixels of the image at hand.
        rotation_deg: Counter-clockwise as seen on the screen, as in OpenCV.
        scale: Above 1 enlarges.
    """

    translation_px: tuple[float, float]
    rotation_deg: float
    scale: float


IDENTITY = Affine((0.0, 0.0), 0.0, 1.0)


def draw_affine(rng: np.random.Generator, settings: ImageTask, shape: Shape) -> Affine:
    """Draw one copy (paper, 2.1): translation x, translation y, rotation, scale, in this order.

    All are uniform, then rounded to 2, 2, 2 and 3 decimals. The translation's limit is given for
    256 px and shrinks with the image's longer side. All four are drawn again when they round to the identity.

    Args:
        rng: The copy's own random numbers.
        settings: The task's section of the config.
        shape: Height and width in pixels.

    Raises:
        InputError: the ranges leave nothing but the identity.
    """
    ranges = settings.augmentation
    limit_px = ranges.translation_px * max(shape) / PAPER_IMAGE_SIZE_PX
    for _ in range(_MOST_REDRAWS):
        x_px = _rounded(rng.uniform(-limit_px, limit_px), 2)
        y_px = _rounded(rng.uniform(-limit_px, limit_px), 2)
        rotation_deg = _rounded(rng.uniform(-ranges.rotation_deg, ranges.rotation_deg), 2)
        scale = _rounded(rng.uniform(*ranges.scale), 3)
        affine = Affine((x_px, y_px), rotation_deg, scale)
        if affine != IDENTITY:
            return affine
    raise InputError(
        f"config: tasks.{settings.name}.augmentation", "every copy would be the image itself", "widen a range"
    )


def _rounded(value: float, decimals: int) -> float:
    # + 0.0 turns -0.0 into 0.0, which would otherwise be stored as another value.
    return round(value, decimals) + 0.0


def affine_matrix(affine: Affine, shape: Shape) -> np.ndarray:
    """The matrix M, float64 (2, 3), that maps source pixels to output pixels.

    Args:
        affine: The copy.
        shape: Height and width in pixels; the centre is half of them, (128, 128) at 256 px.
    """
    height, width = shape
    centre_px = (width / 2, height / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre_px, affine.rotation_deg, affine.scale), dtype=np.float64)
    matrix[:, 2] += affine.translation_px
    return matrix


def transform_point(matrix: np.ndarray, point_px: np.ndarray) -> np.ndarray:
    """Where (x, y) goes under M; float64 (2,), not clipped to the image."""
    return np.asarray(matrix[:, :2] @ point_px + matrix[:, 2], dtype=np.float64)


def in_frame(target_px: np.ndarray, shape: Shape) -> np.ndarray:
    """Whether (x, y) lies between the centres of the outermost pixels; bool (...,) of (..., 2), False for NaN."""
    last_px = np.array(shape[::-1]) - 1
    return np.asarray(np.all((target_px >= 0) & (target_px <= last_px), axis=-1))


def draw_copy(
    rng: np.random.Generator, settings: ImageTask, shape: Shape, source_px: np.ndarray
) -> tuple[Affine, np.ndarray]:
    """Draw one copy and where its points go; with `border: reflect` again until all of them are in the frame.

    Points that are outside in the image itself, or not there (NaN), are let go.

    Args:
        rng: The copy's own random numbers.
        settings: The task's section of the config.
        shape: Height and width in pixels.
        source_px: float64 (2 * points,), x before y, the targets in the image itself.

    Returns:
        The copy, and its targets, float64 (2 * points,).

    Raises:
        InputError: as `draw_affine`; a hundred draws in a row put a target outside.
    """
    there = in_frame(source_px.reshape(-1, 2), shape)
    for _ in range(_MOST_REDRAWS):
        affine = draw_affine(rng, settings, shape)
        matrix = affine_matrix(affine, shape)
        target_px = np.concatenate([transform_point(matrix, point_px) for point_px in source_px.reshape(-1, 2)])
        if settings.border == "zero" or in_frame(target_px.reshape(-1, 2), shape)[there].all():
            return affine, target_px
    source = " and ".join(f"({x:.1f}, {y:.1f})" for x, y in source_px.reshape(-1, 2)) + " px"
    raise InputError(
        f"config: tasks.{settings.name}.augmentation",
        f"{_MOST_REDRAWS} copies in a row put the target at {source} outside the frame",
        "narrow its ranges, or set the border to zero, which keeps such targets",
    )


def write_fold(
    samples_path: SamplesPath,
    sample_ids: Sequence[str],
    settings: ImageTask,
    dataset: ImageDataset,
    seed: int,
    fold: int,
    path: Path,
) -> None:
    """Write a fold: the affine parameters and the target of copies 0 (the original image) to V.

    Of several points `target` is (2 * points,), NaN where one is outside the frame, and `visible` uint8 (points,).

    Args:
        samples_path: The data set's samples file.
        sample_ids: The samples of this fold; rows are written in the order of their ids as strings.
        settings: The task's section of the config.
        dataset: The data set's section.
        seed: The study's seed; with sample id and copy it fixes the parameters.
        fold: 1 ... folds.
        path: The file to write.

    Raises:
        InputError: a damaged samples file, one of another data set or size, an unknown sample.
    """
    # The first point is the target, further ones have columns of their own.
    names = ("sample_id", "group", "class", "target", *settings.points[1:])
    samples = read_samples(samples_path, names)
    expected = settings.dataset if isinstance(settings.dataset, str) else joined_name(settings.dataset)
    check_samples(samples, {"dataset": expected, "image_size": stored_size(dataset.image_shape)})
    attributes = fold_attributes(make_spec(settings, dataset), settings, dataset, samples, seed, fold)
    with shard_writer(path, "fold", attributes) as writer:
        for row in rows_of_fold(samples, sample_ids):
            sample = {name: samples.arrays[name][row] for name in names}
            numbers = range(settings.copies_per_sample + 1)
            writer.extend(_copies_of(sample, numbers, settings, dataset.image_shape, seed))


def _copies_of(
    sample: dict[str, np.ndarray], numbers: Sequence[int], settings: ImageTask, shape: Shape, seed: int
) -> dict[str, np.ndarray]:
    count = len(numbers)
    source_px = np.concatenate([sample[name] for name in ("target", *settings.points[1:])])
    drawn = [
        draw_copy(copy_rng(seed, str(sample["sample_id"]), number), settings, shape, source_px)
        if number
        else (IDENTITY, source_px)
        for number in numbers
    ]
    affines = [affine for affine, _ in drawn]
    target_px = np.stack([moved for _, moved in drawn])
    inside = in_frame(target_px.reshape(count, -1, 2), shape)
    several = len(settings.points) > 1
    return {
        **{name: np.full(count, sample[name], dtype=object) for name in ("sample_id", "group", "class")},
        "copy": np.array(numbers, dtype=np.int32),
        "translation": np.array([affine.translation_px for affine in affines]),
        "rotation_deg": np.array([affine.rotation_deg for affine in affines]),
        "scale": np.array([affine.scale for affine in affines]),
        "target": hide(target_px, inside) if several else target_px,
        "event_visible": inside[:, 0].astype(np.uint8),
        **({"visible": inside.astype(np.uint8)} if several else {}),
    }


class ImageInputs:
    """Rows of fold files; images are normalised, padded and warped when a batch is asked for.

    In memory are the uint8 image of every sample, once, and a few numbers a row, so the number of
    copies does not matter. See `siwcc.data.augment.interface.Inputs` for the attributes.

    Args:
        spec: The task's shapes and units.
        rows: The arrays of fold files, but `event_visible`.
        samples: Images with their placement, mean and standard deviation, of all samples in `rows`.
        border: `zero` or `reflect`, of the task's section of the config.
    """

    def __init__(self, spec: TaskSpec, rows: dict[str, np.ndarray], samples: Shard, border: str) -> None:
        self.spec = spec
        self.sample_id = rows["sample_id"]
        self.group = rows["group"]
        self.label = rows["class"]
        self.copy = rows["copy"]
        self.target = rows["target"].astype(np.float32)
        self.rows = rows
        self.samples = samples
        self.border = border
        self._translation_px = rows["translation"]
        self._rotation_deg = rows["rotation_deg"]
        self._scale = rows["scale"]
        self._images = samples.arrays["signal"]
        self._content_box = samples.arrays["content_box"]
        self._mean = samples.arrays["mean"].astype(np.float32)
        self._std = samples.arrays["std"].astype(np.float32)
        image_of = {sample_id: index for index, sample_id in enumerate(samples.arrays["sample_id"])}
        self._image_of_row = np.array([image_of[sample_id] for sample_id in self.sample_id], dtype=np.int64)

    def batch(self, rows: np.ndarray, encoding: str) -> torch.Tensor:
        """Images of these rows, float32 (batch, colours, height, width) in channels_last memory.

        Each is normalised with its own mean and standard deviation, zero or mirrored outside its
        content, and warped bilinearly. The encoding is left to the network's first layer.
        """
        # Writing folds needs no torch, whose import takes longer than the writing.
        import torch

        return torch.from_numpy(self._read(rows))

    def _read(self, rows: np.ndarray) -> np.ndarray:
        images = np.empty((len(rows), *self._shape, self.spec.channels), dtype=np.float32)
        fill = self._fill_mirrored if self.border == "reflect" else self._fill_zero
        for image, row in zip(images, rows, strict=True):
            fill(row, image)
        return images.transpose(0, 3, 1, 2)

    def source(self, encoding: str) -> Warped:
        """The images and where every output pixel of every row comes from, whatever the encoding."""
        matrices = np.stack([affine_matrix(self._affine(row), self._shape) for row in range(len(self.copy))])
        linear = np.linalg.inv(matrices[:, :, :2])
        return Warped(
            images=self._images,
            content_box=self._content_box,
            mean=self._mean,
            std=self._std,
            image_of_row=self._image_of_row,
            to_source=np.concatenate([linear, -linear @ matrices[:, :, 2:]], axis=2),
            mirrored=self.border == "reflect",
            read=self._read,
        )

    def layer_encoding(self, encoding: str) -> tuple[str, int]:
        """The first layer adds the coordinates itself, to the colours."""
        return encoding, self.spec.channels

    @property
    def _shape(self) -> Shape:
        height, width = self.spec.shape
        return height, width

    def _affine(self, row: int) -> Affine:
        x_px, y_px = self._translation_px[row]
        return Affine((float(x_px), float(y_px)), float(self._rotation_deg[row]), float(self._scale[row]))

    def _content(self, row: int) -> tuple[np.ndarray, int, int]:
        """The normalised image without its padding, and the columns and rows of padding before it."""
        index = self._image_of_row[row]
        left, top, width, height = (int(value) for value in self._content_box[index])
        content = np.subtract(self._images[index][top : top + height, left : left + width], self._mean[index])
        content /= self._std[index]
        return content, left, top

    def _fill_zero(self, row: int, image: np.ndarray) -> None:
        content, left, top = self._content(row)
        padded = image if self.copy[row] == 0 else np.empty_like(image)
        padded[...] = 0
        padded[top : top + content.shape[0], left : left + content.shape[1]] = content
        if self.copy[row] > 0:
            matrix = affine_matrix(self._affine(row), self._shape)
            # The border's default is BORDER_CONSTANT with 0.
            cv2.warpAffine(padded, matrix, self._shape[::-1], dst=image, flags=cv2.INTER_LINEAR)

    def _fill_mirrored(self, row: int, image: np.ndarray) -> None:
        content, left, top = self._content(row)
        # Mirroring the content at its own edges: the matrix takes the content's pixels, not the square's.
        matrix = affine_matrix(self._affine(row), self._shape) @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
        mirrored = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT_101}
        cv2.warpAffine(content, matrix, self._shape[::-1], dst=image, **mirrored)


@dataclass(frozen=True)
class ImageSource:
    """What the fold files of a study were made from; see `siwcc.data.augment.interface.Source`.

    Attributes:
        spec: The task's shapes and units.
        settings: The task's section that the folds were made with.
        samples: The folds' rows of the samples file.
    """

    spec: TaskSpec
    settings: ImageTask
    samples: Shard

    def moved(self, sample_id: np.ndarray, copy: np.ndarray, seed: int) -> ImageInputs:
        """The given copies of the given images, in that order; nothing else is done to images."""
        place_of = {name: place for place, name in enumerate(self.samples.arrays["sample_id"])}
        of_sample = ("sample_id", "group", "class", "target", *self.settings.points[1:])
        height, width = self.spec.shape
        parts = []
        for name, number in zip(sample_id, copy.tolist(), strict=True):
            sample = {column: self.samples.arrays[column][place_of[name]] for column in of_sample}
            parts.append(_copies_of(sample, [number], self.settings, (height, width), seed))
        return ImageInputs(self.spec, join_rows(parts, _FOLD_ARRAYS), self.samples, self.settings.border)


def open_source(fold_paths: Sequence[Path], samples_path: SamplesPath) -> ImageSource:
    """Read what fold files were made from, as they say it.

    Args:
        fold_paths: Files that `open_inputs` takes.
        samples_path: The samples file that they were made from.

    Raises:
        InputError: as `open_inputs`.
    """
    origin = origin_of(fold_paths, "image")
    settings = cast(ImageTask, origin.settings)
    names = (*_IMAGE_ARRAYS, "group", "class", "target", *settings.points[1:])
    samples = read_sample_rows(samples_path, names, origin.sample_ids, origin.samples_digest)
    return ImageSource(origin.spec, settings, samples)


def open_originals(samples_path: SamplesPath, settings: ImageTask, dataset: ImageDataset, seed: int) -> ImageInputs:
    """Read all images of a data set as folds have them, without augmented copies.

    Args:
        samples_path: The samples file.
        settings: The task's section of the config.
        dataset: The data set's section.
        seed: Not used: nothing is drawn for an original image.

    Raises:
        InputError: a damaged samples file, or one of another size.
    """
    # As in `open_inputs`.
    cv2.setNumThreads(0)
    samples = read_samples(samples_path, (*_IMAGE_ARRAYS, "group", "class", "target", *settings.points[1:]))
    check_samples(samples, {"image_size": stored_size(dataset.image_shape)})
    sample_id = samples.arrays["sample_id"]
    source = ImageSource(make_spec(settings, dataset), settings, samples)
    return source.moved(sample_id, np.zeros(len(sample_id), dtype=np.int32), seed)


def open_inputs(fold_paths: Sequence[Path], samples_path: SamplesPath, augmented_only: bool) -> ImageInputs:
    """Read fold files `fold<k>.h5` and the images that they need.

    Args:
        fold_paths: The fold files; rows are in their order, then of sample id, then of copy.
        samples_path: The samples file that they were made from.
        augmented_only: Leave the original samples (copy 0) out, as in training.

    Raises:
        InputError: as `siwcc.data.augment.interface.read_folds`; a samples file that the folds were not made from.
    """
    # OpenCV's threads would compete with torch's for the cores; the pixels are the same for any number of them.
    cv2.setNumThreads(0)
    folds = list(read_folds(fold_paths, "image", _FOLD_ARRAYS))
    rows = fold_rows(folds, _FOLD_ARRAYS, augmented_only)
    spec = TaskSpec.from_json(folds[0].attributes["spec"])
    needed = sorted(set(rows["sample_id"]))
    samples = read_sample_rows(samples_path, _IMAGE_ARRAYS, needed, folds[0].attributes["samples_digest"])
    expected = (*spec.shape, spec.channels)
    if samples.arrays["signal"].shape[1:] != expected:
        found = samples.arrays["signal"].shape[1:]
        raise InputError(samples.path, f"has images of shape {found}, the folds need {expected}", _REMAKE)
    return ImageInputs(spec, rows, samples, json.loads(folds[0].attributes["protocol"])["border"])
