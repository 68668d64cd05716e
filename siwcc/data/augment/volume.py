"""Translated copies of volumes; fold files hold the voxels.

Voxel centres have integer coordinates, x the column, y the row, z the slice. A volume is normalised once: minus its
mean, over its standard deviation. Copy 0 is the original; any other is moved by whole voxels along each axis, drawn
evenly from `-translation_voxels ... translation_voxels`, of which only those are taken that keep every point between
the centres of the outermost voxels. What moves in from outside is the volume mirrored at its
outermost voxels' centres, as of images with `border: reflect`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from siwcc.config import VolumeDataset, VolumeTask
from siwcc.data.augment.interface import (
    Stored,
    check_samples,
    copy_rng,
    fold_attributes,
    fold_rows,
    join_rows,
    origin_of,
    read_folds,
    rows_of_fold,
)
from siwcc.data.points import visible_points
from siwcc.data.tasks.interface import TaskSpec
from siwcc.data.tasks.volume import make_spec
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SamplesPath, joined_name, read_sample_rows, read_samples
from siwcc.io.shards import Shard, shard_writer

if TYPE_CHECKING:
    import torch

_FOLD_ARRAYS = ("signal", "target", "sample_id", "group", "class", "copy")
_SAMPLE_ARRAYS = ("signal", "target", "sample_id", "group", "class")


def draw_shift(rng: np.random.Generator, most: int, points: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Draw by how much a copy is moved, int64 (3,), x first, voxels.

    Args:
        rng: The copy's own random numbers.
        most: The largest shift along an axis.
        points: float64 (points, 3) in the volume, x first; NaN where one is not visible.
        shape: Depth, height and width.
    """
    last = np.array(shape[::-1]) - 1
    low = np.maximum(-most, np.ceil(-np.nanmin(points, axis=0)))
    high = np.minimum(most, np.floor(last - np.nanmax(points, axis=0)))
    return np.asarray(rng.integers(low.astype(np.int64), high.astype(np.int64), endpoint=True))


def shift_volume(volume: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A volume moved by whole voxels, mirrored where it moves in.

    Args:
        volume: (channels, depth, height, width).
        shift: int64 (3,), x first, less than the volume's sides.
    """
    ends = zip(volume.shape[1:], shift[::-1], strict=True)
    places = [(size - 1) - np.abs((size - 1) - np.abs(np.arange(size) - by)) for size, by in ends]
    return np.asarray(volume[:, *np.ix_(*places)])


def normalise(volume: np.ndarray) -> np.ndarray:
    """Minus the mean, over the standard deviation, float32 of the same shape; it is not all of one value."""
    values = volume.astype(np.float64)
    return np.asarray((values - values.mean()) / values.std(), dtype=np.float32)


def copies_of(
    sample: Mapping[str, np.ndarray], numbers: Sequence[int], settings: VolumeTask, seed: int
) -> dict[str, np.ndarray]:
    """Rows of a fold file: some copies of one volume.

    Args:
        sample: Its row of the samples file.
        numbers: The copies; 0 is the original.
        settings: The task's section of the config.
        seed: With sample id and copy it fixes the translation.
    """
    volume = normalise(sample["signal"])
    points = np.stack([sample[name] for name in ("target", *settings.points[1:])])
    most, shape, sample_id = settings.augmentation.translation_voxels, volume.shape[1:], str(sample["sample_id"])
    shifts = [
        draw_shift(copy_rng(seed, sample_id, number), most, points, shape) if number else np.zeros(3, dtype=np.int64)
        for number in numbers
    ]
    target = np.stack([(points + shift).ravel() for shift in shifts])
    visible = visible_points(target, len(points)).astype(np.uint8)
    return {
        **{name: np.full(len(numbers), sample[name], dtype=object) for name in ("sample_id", "group", "class")},
        "signal": np.stack([shift_volume(volume, shift) for shift in shifts]),
        "target": target,
        "copy": np.array(numbers, dtype=np.int32),
        "event_visible": visible[:, 0],
        **({"visible": visible} if len(points) > 1 else {}),
    }


def write_fold(
    samples_path: SamplesPath,
    sample_ids: Sequence[str],
    settings: VolumeTask,
    dataset: VolumeDataset,
    seed: int,
    fold: int,
    path: Path,
) -> None:
    """Write a fold: the volumes and targets of copies 0 (the original) to V.

    Args:
        samples_path: The data set's samples file.
        sample_ids: The samples of this fold; rows are written in the order of their ids as strings.
        settings: The task's section of the config.
        dataset: The data set's section.
        seed: The study's seed.
        fold: 1 ... folds.
        path: The file to write.

    Raises:
        InputError: a damaged samples file, one of another data set or shape, an unknown sample, no sample.
    """
    samples = _read_volumes(samples_path, settings, dataset)
    expected = settings.dataset if isinstance(settings.dataset, str) else joined_name(settings.dataset)
    check_samples(samples, {"dataset": expected})
    attributes = fold_attributes(make_spec(settings, dataset), settings, dataset, samples, seed, fold)
    numbers = range(settings.copies_per_sample + 1)
    with shard_writer(path, "fold", attributes, uncompressed=("signal",)) as writer:
        for row in rows_of_fold(samples, sample_ids):
            sample = {name: values[row] for name, values in samples.arrays.items()}
            writer.extend(copies_of(sample, numbers, settings, seed))


def _names(settings: VolumeTask) -> tuple[str, ...]:
    return (*_SAMPLE_ARRAYS, *settings.points[1:])


def _read_volumes(samples_path: SamplesPath, settings: VolumeTask, dataset: VolumeDataset) -> Shard:
    samples = read_samples(samples_path, _names(settings))
    found, expected = samples.arrays["signal"].shape[1:], (1, *dataset.volume_shape)
    if found != expected:
        problem = f"has volumes of shape {found}, the config says {expected}"
        raise InputError(samples.path, problem, "delete the samples file and run again")
    return samples


@dataclass
class VolumeInputs:
    """Rows of fold files in memory; see `siwcc.data.augment.interface.Inputs` for the attributes.

    Attributes:
        signal: float32 (rows, 1, depth, height, width), normalised.
    """

    spec: TaskSpec
    sample_id: np.ndarray
    group: np.ndarray
    label: np.ndarray
    copy: np.ndarray
    target: np.ndarray
    signal: np.ndarray

    @classmethod
    def of_rows(cls, spec: TaskSpec, rows: Mapping[str, np.ndarray]) -> VolumeInputs:
        """Rows as they are in fold files."""
        named = {name: rows[name] for name in ("sample_id", "group", "copy", "signal")}
        return cls(spec=spec, label=rows["class"], target=rows["target"].astype(np.float32), **named)

    def batch(self, rows: np.ndarray, encoding: str) -> torch.Tensor:
        """Volumes of these rows, float32 (batch, 1, depth, height, width); the encoding is left to the network."""
        # Writing folds needs no torch.
        import torch

        return torch.from_numpy(self.signal[rows])

    def source(self, encoding: str) -> Stored:
        """The volumes of all rows, whatever the encoding."""
        return Stored(self.signal)

    def layer_encoding(self, encoding: str) -> tuple[str, int]:
        """The first layer adds the coordinates itself."""
        return encoding, self.spec.channels


@dataclass(frozen=True)
class VolumeSource:
    """What the fold files of a study were made from; see `siwcc.data.augment.interface.Source`.

    Attributes:
        spec: The task's shapes and units.
        settings: The task's section that the folds were made with.
        samples: Rows of the samples file.
    """

    spec: TaskSpec
    settings: VolumeTask
    samples: Shard

    def moved(self, sample_id: np.ndarray, copy: np.ndarray, seed: int) -> VolumeInputs:
        """The given copies of the given volumes, in that order."""
        place_of = {name: place for place, name in enumerate(self.samples.arrays["sample_id"])}
        parts = []
        for name, number in zip(sample_id, copy.tolist(), strict=True):
            sample = {column: values[place_of[name]] for column, values in self.samples.arrays.items()}
            parts.append(copies_of(sample, [number], self.settings, seed))
        return VolumeInputs.of_rows(self.spec, join_rows(parts, _FOLD_ARRAYS))


def open_source(fold_paths: Sequence[Path], samples_path: SamplesPath) -> VolumeSource:
    """Read what fold files were made from, as they say it.

    Args:
        fold_paths: Files that `open_inputs` takes.
        samples_path: The samples file that they were made from.

    Raises:
        InputError: as `open_inputs`; samples that the folds were not made from.
    """
    origin = origin_of(fold_paths, "volume")
    settings = cast(VolumeTask, origin.settings)
    samples = read_sample_rows(samples_path, _names(settings), origin.sample_ids, origin.samples_digest)
    return VolumeSource(origin.spec, settings, samples)


def open_originals(samples_path: SamplesPath, settings: VolumeTask, dataset: VolumeDataset, seed: int) -> VolumeInputs:
    """Read all volumes of a data set as folds have them, without augmented copies.

    Args:
        samples_path: The samples file.
        settings: The task's section of the config.
        dataset: The data set's section.
        seed: Not used: nothing is drawn for an original volume.

    Raises:
        InputError: a damaged samples file, or one of another shape.
    """
    samples = _read_volumes(samples_path, settings, dataset)
    sample_id = samples.arrays["sample_id"]
    source = VolumeSource(make_spec(settings, dataset), settings, samples)
    return source.moved(sample_id, np.zeros(len(sample_id), dtype=np.int32), seed)


def open_inputs(fold_paths: Sequence[Path], samples_path: SamplesPath, augmented_only: bool) -> VolumeInputs:
    """Read fold files into memory.

    Args:
        fold_paths: Files named `fold<k>.h5`, at least one.
        samples_path: Not read: the folds hold the volumes.
        augmented_only: Leave out the original samples (training).

    Raises:
        InputError: as `siwcc.data.augment.interface.read_folds`.
    """
    shards = list(read_folds(fold_paths, "volume", _FOLD_ARRAYS))
    spec = TaskSpec.from_json(shards[0].attributes["spec"])
    return VolumeInputs.of_rows(spec, fold_rows(shards, _FOLD_ARRAYS, augmented_only))
