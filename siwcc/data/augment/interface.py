"""Augmented folds: one module for each kind of task, and what training reads from any of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy as shallow_copy
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np

from siwcc.config import AnyTask, Kind, TaskDataset
from siwcc.data.points import hide, output_suffixes
from siwcc.data.tasks.interface import TaskSpec, parse_task
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SamplesPath
from siwcc.io.shards import Shard, read_shard

if TYPE_CHECKING:
    import torch

_SAME_IN_ALL_FOLDS = ("spec", "seed", "dataset", "samples_digest", "protocol")
_REMAKE = "delete the fold files and run again"
_MOST_SHOWN = 200


@dataclass(frozen=True)
class Stored:
    """Signals that are read as they stand.

    Attributes:
        signal: float32 (rows, channels, *shape).
    """

    signal: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What a device must hold."""
        return (self.signal,)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Signals of these rows, float32 (batch, channels, *shape): `Inputs.batch` for who needs no torch."""
        return np.asarray(self.signal[rows])


@dataclass(frozen=True)
class Warped:
    """Images that are normalised, framed and warped bilinearly when a row is read.

    Integer coordinates are pixel centres, x to the right and y down.

    Attributes:
        images: uint8 (images, height, width, channels).
        content_box: int (images, 4): left, top, width and height of what is no padding, pixels.
        mean, std: float32 (images,), of the content.
        image_of_row: int64 (rows,).
        to_source: float64 (rows, 2, 3), takes (x, y, 1) of an output pixel to its place (x, y) in the image.
        mirrored: What lies outside the content is its mirror image; otherwise 0 of the normalised image.
        read: The images of some rows, float32 (batch, channels, height, width): `Inputs.batch` for who needs no torch.
    """

    images: np.ndarray
    content_box: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    image_of_row: np.ndarray
    to_source: np.ndarray
    mirrored: bool
    read: Callable[[np.ndarray], np.ndarray]

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What a device must hold."""
        return (self.images, self.content_box, self.mean, self.std, self.image_of_row, self.to_source)


class Inputs(Protocol):
    """The rows of one or more fold files, ready for a network.

    Rows are in the order of the fold files given, then of sample id, then of copy.

    Attributes:
        spec: The task's shapes and units.
        sample_id, group: (rows,) strings.
        label: (rows,) strings: rhythm label or cell type, the samples file's `class`.
        copy: (rows,) int; 0 is the original sample.
        target: float32 (rows, outputs); of several points NaN where one is not visible.
    """

    spec: TaskSpec
    sample_id: np.ndarray
    group: np.ndarray
    label: np.ndarray
    copy: np.ndarray
    target: np.ndarray

    def batch(self, rows: np.ndarray, encoding: str) -> torch.Tensor:
        """Signals of these rows, float32 (batch, channels, *shape), before the encoding layer.

        With a precomputed encoding (`layer_encoding`) its channels are already appended.
        """
        ...

    def source(self, encoding: str) -> Stored | Warped:
        """What `batch` reads, for a device that makes its batches itself (`siwcc.training.batches`)."""
        ...

    def layer_encoding(self, encoding: str) -> tuple[str, int]:
        """What the network's first layer must be: (encoding name, channels that `batch` returns)."""
        ...


class Source(Protocol):
    """What fold files were made from, for copies that are in none of them."""

    def moved(self, sample_id: np.ndarray, copy: np.ndarray, seed: int) -> Inputs:
        """Copies of samples in the folds, moved as the folds' own and not perturbed otherwise.

        Args:
            sample_id: (rows,) strings.
            copy: (rows,) int, from 1; 0 is the original sample, as it is in the folds.
            seed: With sample and copy it fixes where to; the folds' own copies have the study's.

        Returns:
            The rows, in that order.
        """
        ...


class AugmentModule(Protocol):
    """What the module of a kind of task offers."""

    def write_fold(
        self,
        samples_path: SamplesPath,
        sample_ids: Sequence[str],
        settings: Any,
        dataset: Any,
        seed: int,
        fold: int,
        path: Path,
    ) -> None:
        """Write one fold file: the original and the augmented copies of every sample in it."""
        ...

    def open_inputs(self, fold_paths: Sequence[Path], samples_path: SamplesPath, augmented_only: bool) -> Inputs:
        """Read fold files; with `augmented_only` the original samples are left out (training)."""
        ...

    def open_source(self, fold_paths: Sequence[Path], samples_path: SamplesPath) -> Source:
        """Read what fold files were made from."""
        ...

    def open_originals(self, samples_path: SamplesPath, settings: Any, dataset: Any, seed: int) -> Inputs:
        """Read the original samples of a data set as folds have them (copy 0); they need not be in any."""
        ...


def augment_module(kind: Kind) -> AugmentModule:
    """The module of a kind of task, imported when it is needed."""
    return cast(AugmentModule, import_module(f"siwcc.data.augment.{kind}"))


def module_of_fold(fold: Path | Shard) -> AugmentModule:
    """The module that reads a fold file.

    Args:
        fold: The file, or what was read of it.

    Raises:
        InputError: missing, damaged, or no fold file.
    """
    return augment_module(_kind_of(fold if isinstance(fold, Shard) else read_shard(fold, "fold", ("copy",))))


def _kind_of(fold: Shard) -> Kind:
    try:
        return TaskSpec.from_json(fold.attributes["spec"]).kind
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(fold.path, f"does not give the shape of its signals ({error})", _REMAKE) from error


def of_point(inputs: Inputs, name: str) -> Inputs:
    """The same rows with one of several points as the only one.

    Args:
        inputs: Rows of fold files.
        name: A key of `inputs.spec.points`.
    """
    points = inputs.spec.points
    one = shallow_copy(inputs)
    one.target = inputs.target[:, points[name]]
    one.spec = replace(inputs.spec, outputs=output_suffixes([name], len(points[name])))
    return one


def copy_rng(seed: int, sample_id: str, copy: int | str) -> np.random.Generator:
    """The random numbers of one copy, whatever else is made or not made.

    Args:
        seed: The study's seed.
        sample_id: The sample.
        copy: 1 ... copies_per_sample; 0 where the original sample is drawn, too. A name for what is neither.
    """
    key = hashlib.sha256(f"{seed}\0{sample_id}\0{copy}".encode()).digest()
    # SFC64 draws normal numbers, a third of a copy's time, in 5/6 of the time of numpy's default.
    return np.random.Generator(np.random.SFC64(np.frombuffer(key, dtype=np.uint32)))


def gaps_s(event_sample: np.ndarray, previous_event: np.ndarray, rate_hz: float) -> np.ndarray:
    """Seconds since the counted event before, float64; infinite where there is none.

    Args:
        event_sample: Indices of the events in their records, at `rate_hz`.
        previous_event: Of the same shape; -1 where there is none.
        rate_hz: Samples a second.
    """
    return np.where(previous_event >= 0, (event_sample - previous_event) / rate_hz, np.inf)


def read_folds(paths: Sequence[Path], kind: Kind, names: Sequence[str]) -> Iterator[Shard]:
    """Read fold files that must belong together, one after the other.

    Args:
        paths: Files named `fold<k>.h5`, at least one.
        kind: The kind that their task must be of.
        names: Arrays that every one must have; others come along.

    Yields:
        The folds in the order of `paths`.

    Raises:
        InputError: a file is damaged, lacks an array, is not the fold its name says, is of another
            kind, was made with other settings, seed or samples than the first, holds a sample of an
            earlier one, or a value that is not finite.
    """
    first: Shard | None = None
    fold_of: dict[str, Path] = {}
    for path in paths:
        fold = read_shard(path, "fold")
        _check_fold(fold, kind, names)
        first = first or fold
        for name in _SAME_IN_ALL_FOLDS:
            if fold.attributes.get(name) != first.attributes.get(name):
                raise InputError(path, f"has another {name} than {first.path}", _REMAKE)
        for sample_id in dict.fromkeys(fold.arrays["sample_id"]):
            if sample_id in fold_of:
                raise InputError(path, f"holds {sample_id!r}, which {fold_of[sample_id]} also holds", _REMAKE)
            fold_of[sample_id] = path
        yield fold


class Origin(NamedTuple):
    """What fold files say of what they were made from.

    Attributes:
        spec: The task's shapes and units.
        settings: The task's section that they were made with.
        sample_ids: Of the samples in them, sorted.
        samples_digest: Of the samples file.
    """

    spec: TaskSpec
    settings: AnyTask
    sample_ids: list[str]
    samples_digest: str


def origin_of(fold_paths: Sequence[Path], kind: Kind) -> Origin:
    """What fold files were made from, as they say it.

    Raises:
        InputError: as `read_folds`.
    """
    folds = list(read_folds(fold_paths, kind, ("sample_id",)))
    attributes = folds[0].attributes
    spec = TaskSpec.from_json(attributes["spec"])
    settings = parse_task(spec, json.loads(attributes["protocol"]))
    sample_ids = sorted({sample_id for fold in folds for sample_id in fold.arrays["sample_id"]})
    return Origin(spec, settings, sample_ids, attributes["samples_digest"])


def fold_attributes(
    spec: TaskSpec, settings: AnyTask, dataset: TaskDataset, samples: Shard, seed: int, fold: int
) -> dict[str, Any]:
    """The attributes of a fold file."""
    return {
        "task": settings.name,
        "dataset": samples.attributes["dataset"],
        "fold": fold,
        "seed": seed,
        "spec": spec.to_json(),
        "samples_digest": samples.digest,
        "dataset_protocol": dataset.protocol(),
        "protocol": settings.protocol(),
    }


def check_samples(samples: Shard, expected_attributes: Mapping[str, object]) -> None:
    """Refuse a samples file that has not these attributes.

    Raises:
        InputError: names the first that differs.
    """
    remedy = "delete the samples file and run again"
    for name, expected in expected_attributes.items():
        found = samples.attributes.get(name)
        if found != expected:
            raise InputError(samples.path, f"has {name} {found!r} where the config has {expected!r}", remedy)


def rows_of_fold(samples: Shard, sample_ids: Sequence[str]) -> list[int]:
    """Places of a fold's samples in the samples file, in the order of their ids.

    Raises:
        InputError: it lacks one, or there is none.
    """
    row_of = {sample_id: row for row, sample_id in enumerate(samples.arrays["sample_id"])}
    ordered = sorted(set(sample_ids))
    absent = [sample_id for sample_id in ordered if sample_id not in row_of]
    if absent or not ordered:
        problem = f"lacks the sample {absent[0]!r}" if absent else "is asked for a fold without samples"
        raise InputError(samples.path, problem, "delete folds.csv and run again")
    return [row_of[sample_id] for sample_id in ordered]


def join_rows(parts: Sequence[Mapping[str, np.ndarray]], names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named arrays of several groups of rows, one group after another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def fold_rows(folds: Sequence[Shard], names: Iterable[str], augmented_only: bool) -> dict[str, np.ndarray]:
    """The named arrays of fold files, in their order; with `augmented_only` without the original samples.

    Args:
        folds: What `read_folds` gives.
        names: Arrays that all of them have, `copy` among them.
        augmented_only: Leave the original samples (copy 0) out.
    """
    rows = join_rows([fold.arrays for fold in folds], names)
    if not augmented_only:
        return rows
    augmented = rows["copy"] > 0
    return {name: values[augmented] for name, values in rows.items()}


def _check_fold(fold: Shard, kind: Kind, names: Sequence[str]) -> None:
    found = _kind_of(fold)
    if found != kind:
        task = fold.attributes.get("task")
        raise InputError(fold.path, f"is a fold of the task {task!r}, whose kind is {found}, not {kind}", _REMAKE)
    absent = [name for name in ("sample_id", *names) if name not in fold.arrays]
    if absent:
        raise InputError(fold.path, f"lacks {', '.join(absent)}", _REMAKE)
    named = re.fullmatch(r"fold([1-9]\d*)\.h5", fold.path.name)
    if named is None or int(named[1]) != fold.attributes.get("fold"):
        problem = f"holds fold {fold.attributes.get('fold')}, which its name does not say"
        raise InputError(fold.path, problem, "give it its own name back, fold<number>.h5")
    _check_finite(fold)


def _not_finite(fold: Shard, name: str) -> np.ndarray:
    """Which values must not be so, bool of the array's shape."""
    values = fold.arrays[name]
    if name == "gap_s":
        # The gap before a record's first event is infinite.
        return np.asarray(np.isnan(values))
    if name == "target" and "visible" in fold.arrays:
        # Of a point that is not visible nothing is known.
        hidden = np.isnan(hide(np.zeros(values.shape), fold.arrays["visible"] > 0))
        return np.asarray(np.where(hidden, ~np.isnan(values), ~np.isfinite(values)))
    return np.asarray(~np.isfinite(values))


def _check_finite(fold: Shard) -> None:
    """Refuse what would turn every weight of a network into NaN, and name the rows."""
    for name, values in fold.arrays.items():
        if values.dtype.kind != "f":
            continue
        bad = _not_finite(fold, name)
        rows = np.flatnonzero(bad.reshape(len(values), -1).any(axis=1))
        if len(rows):
            samples = ", ".join(dict.fromkeys(fold.arrays["sample_id"][rows].tolist()))
            shown = samples if len(samples) <= _MOST_SHOWN else f"{samples[:_MOST_SHOWN]} ..."
            raise InputError(fold.path, f"{name} is not finite in {len(rows)} row(s), of {shown}", _REMAKE)
