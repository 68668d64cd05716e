"""Random affine of cell images: parameters in the fold files, pixels warped when they are read.

Pixel centres have integer coordinates, x to the right and y down. The matrix M maps a point of the
source to its place in the output: (x', y') = M (x, y, 1). Augmentation is the paper's section 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from siwcc.augment import variant_rng
from siwcc.config import HerlevSection, NucleiTask, SipakmedSection
from siwcc.errors import InputError
from siwcc.shards import Shard, read_rows, read_shard, shard_writer
from siwcc.tasks import TaskSpec
from siwcc.tasks.nuclei import COLOURS, make_spec

PAPER_IMAGE_SIZE_PX = 256
_MOST_REDRAWS = 100
_SAME_IN_ALL_FOLDS = ("spec", "seed", "dataset", "samples_digest", "protocol")
_FOLD_ARRAYS = ("sample_id", "group", "variant", "translation", "rotation_deg", "scale", "target")
_REMAKE = "delete the fold files and run again"


@dataclass(frozen=True)
class Affine:
    """One variant: rotation and scale about the image's centre, then a translation.

    Attributes:
        translation_px: (x, y) in pixels of the image at hand.
        rotation_deg: Counter-clockwise as seen on the screen, as in OpenCV.
        scale: Above 1 enlarges.
    """

    translation_px: tuple[float, float]
    rotation_deg: float
    scale: float


IDENTITY = Affine((0.0, 0.0), 0.0, 1.0)


def draw_affine(rng: np.random.Generator, settings: NucleiTask, image_size: int) -> Affine:
    """Draw one variant (paper, 2.1): translation x, translation y, rotation, scale, in this order.

    All are uniform, then rounded to 2, 2, 2 and 3 decimals. The translation's limit is given for
    256 px and shrinks with the image. All four are drawn again when they round to the identity.

    Args:
        rng: The variant's own random numbers.
        settings: The task's section of the config.
        image_size: Width and height in pixels.

    Raises:
        InputError: the ranges leave nothing but the identity.
    """
    ranges = settings.augmentation
    limit_px = ranges.translation_px * image_size / PAPER_IMAGE_SIZE_PX
    for _ in range(_MOST_REDRAWS):
        x_px = _rounded(rng.uniform(-limit_px, limit_px), 2)
        y_px = _rounded(rng.uniform(-limit_px, limit_px), 2)
        rotation_deg = _rounded(rng.uniform(-ranges.rotation_deg, ranges.rotation_deg), 2)
        scale = _rounded(rng.uniform(*ranges.scale), 3)
        affine = Affine((x_px, y_px), rotation_deg, scale)
        if affine != IDENTITY:
            return affine
    raise InputError("config: tasks.nuclei.augmentation", "every variant would be the image itself", "widen a range")


def _rounded(value: float, decimals: int) -> float:
    # + 0.0 turns -0.0 into 0.0, which would otherwise be stored as another value.
    return round(value, decimals) + 0.0


def affine_matrix(affine: Affine, image_size: int) -> np.ndarray:
    """The matrix M, float64 (2, 3), that maps source pixels to output pixels.

    Args:
        affine: The variant.
        image_size: Width and height in pixels; the centre is half of it, (128, 128) at 256 px.
    """
    centre_px = (image_size / 2, image_size / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre_px, affine.rotation_deg, affine.scale), dtype=np.float64)
    matrix[:, 2] += affine.translation_px
    return matrix


def transform_point(matrix: np.ndarray, point_px: np.ndarray) -> np.ndarray:
    """Where (x, y) goes under M; float64 (2,), not clipped to the image."""
    return np.asarray(matrix[:, :2] @ point_px + matrix[:, 2], dtype=np.float64)


def write_fold(
    samples_path: Path,
    sample_ids: Sequence[str],
    settings: NucleiTask,
    dataset: SipakmedSection | HerlevSection,
    seed: int,
    fold: int,
    path: Path,
) -> None:
    """Write a fold: the affine parameters and the target of variants 0 (the image itself) to V.

    Args:
        samples_path: The data set's samples file.
        sample_ids: The samples of this fold; rows are written in the order of their ids as strings.
        settings: The task's section of the config.
        dataset: The data set's section.
        seed: The study's seed; with sample id and variant it fixes the parameters.
        fold: 1 ... folds.
        path: The file to write.

    Raises:
        InputError: a damaged samples file, one of another data set or size, an unknown sample.
    """
    names = ("sample_id", "group", "class", "target")
    samples = read_shard(samples_path, "samples", names)
    _check_samples(samples, settings.dataset, dataset.image_size)
    attributes = {
        "task": "nuclei",
        "dataset": settings.dataset,
        "fold": fold,
        "seed": seed,
        "spec": make_spec(settings, dataset).to_json(),
        "samples_digest": samples.digest,
        "dataset_protocol": dataset.protocol(),
        "protocol": settings.model_dump(mode="json"),
    }
    with shard_writer(path, "fold", attributes) as writer:
        for row in _rows_of_fold(samples, sample_ids):
            sample = {name: samples.arrays[name][row] for name in names}
            writer.extend(_variants_of(sample, settings, dataset.image_size, seed))


def _check_samples(samples: Shard, dataset_name: str, image_size: int) -> None:
    remedy = "delete the samples file and run again"
    for name, expected in (("dataset", dataset_name), ("image_size", image_size)):
        found = samples.attributes.get(name)
        if found != expected:
            raise InputError(samples.path, f"has {name} {found!r} where the config has {expected!r}", remedy)


def _rows_of_fold(samples: Shard, sample_ids: Sequence[str]) -> list[int]:
    row_of = {sample_id: row for row, sample_id in enumerate(samples.arrays["sample_id"])}
    ordered = sorted(set(sample_ids))
    absent = [sample_id for sample_id in ordered if sample_id not in row_of]
    if absent or not ordered:
        problem = f"lacks the sample {absent[0]!r}" if absent else "is asked for a fold without samples"
        raise InputError(samples.path, problem, "delete folds.csv and run again")
    return [row_of[sample_id] for sample_id in ordered]


def _variants_of(
    sample: dict[str, np.ndarray], settings: NucleiTask, image_size: int, seed: int
) -> dict[str, np.ndarray]:
    count = settings.variants_per_sample + 1
    affines = [IDENTITY] + [
        draw_affine(variant_rng(seed, str(sample["sample_id"]), variant), settings, image_size)
        for variant in range(1, count)
    ]
    target_px = np.stack([transform_point(affine_matrix(affine, image_size), sample["target"]) for affine in affines])
    target_px[0] = sample["target"]
    return {
        **{name: np.full(count, sample[name], dtype=object) for name in ("sample_id", "group", "class")},
        "variant": np.arange(count, dtype=np.int32),
        "translation": np.array([affine.translation_px for affine in affines]),
        "rotation_deg": np.array([affine.rotation_deg for affine in affines]),
        "scale": np.array([affine.scale for affine in affines]),
        "target": target_px,
        "event_visible": np.all((target_px >= 0) & (target_px <= image_size - 1), axis=1).astype(np.uint8),
    }


class NucleiInputs:
    """Rows of fold files; images are normalised, padded and warped when a batch is asked for.

    In memory are the uint8 image of every sample, once, and a few numbers a row, so the number of
    variants does not matter. See `siwcc.augment.Inputs` for the attributes.
    """

    def __init__(self, spec: TaskSpec, rows: dict[str, np.ndarray], samples: Shard) -> None:
        self.spec = spec
        self.sample_id = rows["sample_id"]
        self.group = rows["group"]
        self.variant = rows["variant"]
        self.target = rows["target"].astype(np.float32)
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
        """Images of these rows, float32 (batch, 3, size, size) in channels_last memory.

        Each is normalised with its own mean and standard deviation, zero outside its content and
        beyond its border, and warped bilinearly. The encoding is left to the network's first layer.
        """
        size = self.spec.shape[0]
        images = np.empty((len(rows), size, size, COLOURS), dtype=np.float32)
        unwarped = np.empty(images.shape[1:], dtype=np.float32)
        for image, row in zip(images, rows, strict=True):
            if self.variant[row] == 0:
                self._normalise(row, image)
                continue
            self._normalise(row, unwarped)
            cv2.warpAffine(
                unwarped,
                affine_matrix(self._affine(row), size),
                (size, size),
                dst=image,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=0,
            )
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def layer_encoding(self, encoding: str) -> tuple[str, int]:
        """The first layer adds the coordinates itself, to three colours."""
        return encoding, COLOURS

    def _affine(self, row: int) -> Affine:
        x_px, y_px = self._translation_px[row]
        return Affine((float(x_px), float(y_px)), float(self._rotation_deg[row]), float(self._scale[row]))

    def _normalise(self, row: int, normalised: np.ndarray) -> None:
        index = self._image_of_row[row]
        left, top, width, height = self._content_box[index]
        content = (slice(top, top + height), slice(left, left + width))
        normalised[...] = 0
        np.subtract(self._images[index][content], self._mean[index], out=normalised[content])
        normalised[content] /= self._std[index]


def open_inputs(fold_paths: Sequence[Path], samples_path: Path, augmented_only: bool) -> NucleiInputs:
    """Read fold files `fold<k>.h5` and the images that they need.

    Args:
        fold_paths: The fold files; rows stand in their order, then of sample id, then of variant.
        samples_path: The samples file that they were made from.
        augmented_only: Leave variant 0 out, as in training.

    Raises:
        InputError: a damaged or exchanged file, folds that do not belong together, a sample in two
            folds, or a samples file that the folds were not made from.
    """
    # OpenCV's threads would compete with torch's for the cores; the pixels are the same for any number of them.
    cv2.setNumThreads(0)
    folds = list(_read_folds(fold_paths))
    rows = {name: np.concatenate([fold.arrays[name] for fold in folds]) for name in _FOLD_ARRAYS}
    if augmented_only:
        augmented = rows["variant"] > 0
        rows = {name: values[augmented] for name, values in rows.items()}
    spec = TaskSpec.from_json(folds[0].attributes["spec"])
    needed = sorted(set(rows["sample_id"]))
    names = ("sample_id", "signal", "content_box", "mean", "std")
    samples = read_rows(samples_path, "samples", names, needed, folds[0].attributes["samples_digest"])
    expected = (*spec.shape, COLOURS)
    if samples.arrays["signal"].shape[1:] != expected:
        found = samples.arrays["signal"].shape[1:]
        raise InputError(samples_path, f"has images of shape {found}, the folds need {expected}", _REMAKE)
    return NucleiInputs(spec, rows, samples)


def _read_folds(fold_paths: Sequence[Path]) -> Iterator[Shard]:
    first: Shard | None = None
    fold_of: dict[str, Path] = {}
    for path in fold_paths:
        fold = read_shard(path, "fold", _FOLD_ARRAYS)
        _check_fold(fold)
        first = first or fold
        for name in _SAME_IN_ALL_FOLDS:
            if fold.attributes.get(name) != first.attributes.get(name):
                raise InputError(path, f"has another {name} than {first.path}", _REMAKE)
        for sample_id in dict.fromkeys(fold.arrays["sample_id"]):
            if sample_id in fold_of:
                raise InputError(path, f"holds {sample_id!r}, which {fold_of[sample_id]} also holds", _REMAKE)
            fold_of[sample_id] = path
        yield fold


def _check_fold(fold: Shard) -> None:
    task = fold.attributes.get("task")
    if task != "nuclei":
        raise InputError(fold.path, f"is a fold of the task {task!r}, not of 'nuclei'", _REMAKE)
    name = re.fullmatch(r"fold(\d+)\.h5", fold.path.name)
    if name is None or int(name[1]) != fold.attributes.get("fold"):
        problem = f"holds fold {fold.attributes.get('fold')}, which its name does not say"
        raise InputError(fold.path, problem, "give it its own name back, fold<number>.h5")
