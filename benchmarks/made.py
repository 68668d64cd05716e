"""Samples and folds to measure on: made up by the package itself, or the samples file of a study."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.processes import REPOSITORY
from siwcc.config import AnyDataset, Config, EcgTask, NucleiTask, parse_config, parse_dataset
from siwcc.data.augment.interface import augment_module
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.samples import extract_samples
from siwcc.io.files import read_yaml
from siwcc.io.shards import read_shard
from siwcc.nn.coordinate_channels import encode

SEED = 42
RECORDS = 12
_FORMATS = {"ecg": "vfdb", "nuclei": "sipakmed"}


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
        sample_ids: All samples, sorted.
        name: Of the data set.
        reading_s_per_byte: Seconds of the samples stage for a byte of raw files; 0 when they were not read here.
    """

    task: str
    path: Path
    dataset: AnyDataset
    sample_ids: list[str]
    name: str
    reading_s_per_byte: float = 0.0

    def settings(self, variants: int) -> EcgTask | NucleiTask:
        """The paper's augmentation with another number of variants."""
        return paper_config().task(self.task).model_copy(update={"dataset": self.name, "variants_per_sample": variants})

    def write_fold(self, sample_ids: Sequence[str], variants: int, fold: int, folder: Path) -> Path:
        """Write `fold<k>.h5` with the package's own stage."""
        path = folder / f"fold{fold}.h5"
        settings = self.settings(variants)
        augment_module(self.task).write_fold(self.path, sample_ids, settings, self.dataset, SEED, fold, path)
        return path

    def write_two_folds(self, samples: int, variants: int, folder: Path) -> Path:
        """A run's inputs in the proportion of five folds: fold 1, a fifth, is tested on, fold 2 trained on.

        Raises:
            ValueError: the set has fewer samples.
        """
        if samples > len(self.sample_ids):
            raise ValueError(f"{self.path} has {len(self.sample_ids)} samples, {samples} are needed")
        folder.mkdir(parents=True, exist_ok=True)
        tested = max(1, samples // 5)
        self.write_fold(self.sample_ids[:tested], variants, 1, folder)
        self.write_fold(self.sample_ids[tested:samples], variants, 2, folder)
        return folder


def fold_paths(folder: Path) -> list[Path]:
    """The two folds of `write_two_folds`."""
    return [folder / "fold1.h5", folder / "fold2.h5"]


def make_set(task: str, folder: Path, count: int) -> SampleSet:
    """Made-up samples of the paper's size: 20 s at 250 Hz, or 256 x 256 pixels.

    Args:
        task: `ecg` or `nuclei`.
        folder: Where raw files and samples go.
        count: Records or cells.
    """
    name = f"made_{task}"
    # Some made-up cells are defective, so that the exclusion has something to do.
    values = {"format": _FORMATS[task], "made_up": {"samples": count, "seed": SEED}, "max_excluded": 0.5}
    section = parse_dataset(values)
    manifest = folder / f"{name}.manifest.csv"
    provide_raw(name, section, folder, manifest)
    samples = folder / f"{name}.h5"
    started_at = time.perf_counter()
    excluded, protocol = samples.with_suffix(".csv"), samples.with_suffix(".json")
    extract_samples(name, section, folder, manifest, samples, excluded, protocol)
    seconds = time.perf_counter() - started_at
    raw_bytes = sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file())
    return SampleSet(task, samples, section, _ids_in(samples), name, seconds / raw_bytes)


def open_set(path: Path) -> SampleSet:
    """The samples file that a study has made, `data/samples/<dataset>.h5`."""
    attributes = read_shard(path, "samples", names=()).attributes
    section = parse_dataset(json.loads(attributes["protocol"]))
    return SampleSet(attributes["task"], path, section, _ids_in(path), attributes["dataset"])


def _ids_in(path: Path) -> list[str]:
    return sorted(read_shard(path, "samples", names=("sample_id",)).arrays["sample_id"].tolist())


def write_tensor_files(folder: Path, samples_path: Path) -> None:
    """The images of two folds as the published scripts keep them: a float32 (5, size, size) tensor a file.

    Writes `fold<k>/<row>.pt`, with plain coordinates, and `fold<k>/targets.npy`.
    """
    for number, path in enumerate(fold_paths(folder), start=1):
        inputs = augment_module("nuclei").open_inputs([path], samples_path, augmented_only=True)
        kept = folder / f"fold{number}"
        kept.mkdir()
        for row in range(len(inputs.target)):
            image = inputs.batch(np.array([row]), "coord")
            torch.save(encode(image, "coord")[0].contiguous(), kept / f"{row:05}.pt")
        np.save(kept / "targets.npy", inputs.target)
