"""Samples and folds to measure on: synthetic ones of the paper's size, or the samples file of a study."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from siwcc.config import AnyDataset, Config, parse_config, parse_dataset
from siwcc.data.augment.interface import augment_module
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.samples import extract_samples
from siwcc.io.files import read_yaml
from siwcc.io.shards import read_shard
from siwcc.nn.coordinate_channels import encode

REPOSITORY = Path(__file__).resolve().parent.parent
SEED = 42
_FORMATS = {"ecg": "vfdb", "nuclei": "sipakmed"}


def timed_environment() -> dict[str, str]:
    """The environment of what is timed: one thread for a process, and the C library's own allocator settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "SNAKEMAKE"))}
    return kept | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def paper_config() -> Config:
    """`config.yaml`, the study whose costs are extrapolated."""
    return parse_config(read_yaml(REPOSITORY / "config.yaml"))


@dataclass(frozen=True)
class SampleSet:
    """A samples file and what is needed to make folds of it.

    Attributes:
        task: `ecg` or `nuclei`.
        path: The samples file.
        dataset: The data set's section of the config.
        name: Of the data set.
        sample_ids: All samples, sorted.
        reading_s_per_byte: Seconds of the samples stage for a byte of raw files; 0 if they were not read here.
    """

    task: str
    path: Path
    dataset: AnyDataset
    name: str
    sample_ids: Sequence[str]
    reading_s_per_byte: float = 0.0

    def write_fold(self, sample_ids: Sequence[str], copies: int, fold: int, folder: Path) -> Path:
        """Write `fold<k>.h5` with the package's own stage and the paper's augmentation."""
        changes = {"dataset": self.name, "copies_per_sample": copies}
        settings = paper_config().task(self.task).model_copy(update=changes)
        path = folder / f"fold{fold}.h5"
        augment_module(settings.kind).write_fold(self.path, sample_ids, settings, self.dataset, SEED, fold, path)
        return path

    def write_two_folds(self, samples: int, copies: int, folder: Path) -> Path:
        """A run's inputs in the proportion of five folds: fold 1, a fifth, is the test fold, fold 2 the training set.

        Raises:
            ValueError: the set has fewer samples.
        """
        if samples > len(self.sample_ids):
            raise ValueError(f"{self.path} has {len(self.sample_ids)} samples, {samples} are needed")
        folder.mkdir(parents=True)
        tested = max(1, samples // 5)
        self.write_fold(self.sample_ids[:tested], copies, 1, folder)
        self.write_fold(self.sample_ids[tested:samples], copies, 2, folder)
        return folder


def fold_paths(folder: Path) -> list[Path]:
    """The two folds of `write_two_folds`."""
    return [folder / "fold1.h5", folder / "fold2.h5"]


def make_set(task: str, folder: Path, count: int) -> SampleSet:
    """Write `count` synthetic records (20 s windows at 250 Hz) or cells (256 x 256 px) and extract the samples."""
    name = f"synthetic_{task}"
    # Some synthetic cells are defective on purpose, so that the exclusion is part of the work.
    values = {"format": _FORMATS[task], "synthetic": {"samples": count, "seed": SEED}, "max_excluded": 0.5}
    section, manifest, samples = parse_dataset(values), folder / f"{name}.manifest.csv", folder / f"{name}.h5"
    provide_raw(name, section, folder, manifest)
    started_at = time.perf_counter()
    excluded, protocol = samples.with_suffix(".csv"), samples.with_suffix(".json")
    extract_samples(name, section, folder, manifest, samples, excluded, protocol)
    seconds = time.perf_counter() - started_at
    raw_bytes = sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file())
    return open_set(samples, seconds / raw_bytes)


def open_set(path: Path, reading_s_per_byte: float = 0.0) -> SampleSet:
    """A samples file, as a study writes it to `data/samples/<dataset>.h5`."""
    shard = read_shard(path, "samples", names=("sample_id",))
    section, sample_ids = json.loads(shard.attributes["protocol"]), sorted(shard.arrays["sample_id"].tolist())
    names = shard.attributes["task"], path, parse_dataset(section), shard.attributes["dataset"]
    return SampleSet(*names, sample_ids, reading_s_per_byte)


def write_tensor_files(folder: Path, samples_path: Path) -> None:
    """The images of two folds as the reference implementation keeps them: a float32 (5, size, size) tensor a file.

    Writes `fold<k>/<row>.pt`, with plain coordinates, and `fold<k>/targets.npy`.
    """
    for path in fold_paths(folder):
        inputs = augment_module("image").open_inputs([path], samples_path, augmented_only=True)
        path.with_suffix("").mkdir()
        for row in range(len(inputs.target)):
            image = encode(inputs.batch(np.array([row]), "coord"), "coord")[0]
            torch.save(image.contiguous(), path.with_suffix("") / f"{row:05}.pt")
        np.save(path.with_suffix("") / "targets.npy", inputs.target)
