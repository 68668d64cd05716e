"""Augmented folds: a module a task, and what training reads from any of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from siwcc.tasks import TaskSpec

if TYPE_CHECKING:
    import torch


class Inputs(Protocol):
    """The rows of one or more fold files, ready for a network.

    Rows stand in the order of the fold files given, then of sample id, then of variant.

    Attributes:
        spec: The task's shapes and units.
        sample_id, group: (rows,) strings.
        variant: (rows,) int; 0 is the sample itself.
        target: float32 (rows, outputs).
    """

    spec: TaskSpec
    sample_id: np.ndarray
    group: np.ndarray
    variant: np.ndarray
    target: np.ndarray

    def batch(self, rows: np.ndarray, encoding: str) -> torch.Tensor:
        """Signals of these rows, float32 (batch, channels, *shape), before the encoding layer.

        With a precomputed encoding (`layer_encoding`) its channels are already appended.
        """
        ...

    def layer_encoding(self, encoding: str) -> tuple[str, int]:
        """What the network's first layer must be: (encoding name, channels that `batch` returns)."""
        ...


class AugmentModule(Protocol):
    """What the module of a task offers."""

    def write_fold(
        self,
        samples_path: Path,
        sample_ids: Sequence[str],
        settings: Any,
        dataset: Any,
        seed: int,
        fold: int,
        path: Path,
    ) -> None:
        """Write one fold file: variant 0 and the augmented ones of every sample in it."""
        ...

    def open_inputs(self, fold_paths: Sequence[Path], samples_path: Path, augmented_only: bool) -> Inputs:
        """Read fold files; with `augmented_only` variant 0 is left out (training)."""
        ...


def augment_module(task: str) -> AugmentModule:
    """The module of a task, imported when it is needed."""
    return cast(AugmentModule, import_module(f"siwcc.augment.{task}"))


def variant_rng(seed: int, sample_id: str, variant: int) -> np.random.Generator:
    """The random numbers of one variant, whatever else is made or not made.

    Args:
        seed: The study's seed.
        sample_id: The sample.
        variant: 1 ... variants_per_sample.
    """
    key = hashlib.sha256(f"{seed}\0{sample_id}\0{variant}".encode()).digest()
    return np.random.default_rng(np.frombuffer(key, dtype=np.uint32))
