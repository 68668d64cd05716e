"""Predictions against the strength of a perturbation: what may befall a recording or an image before a network sees it.

    samples of a test fold -> perturbed as they were recorded -> the task's own chain -> networks that never saw them

A perturbation is done to the source: leads in mV at the data set's rate, before running median and decimation; images
as uint8, before they are normalised. The windows and images are the original samples, so that a perturbation at its
neutral strength is predicted as in `predictions.csv`. One module per task defines what can be done to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from siwcc.config import Kind
from siwcc.data.augment.interface import Inputs, copy_rng
from siwcc.io.joined_samples import SamplesPath

Change = Callable[[str, np.ndarray], np.ndarray]
"""What is done to a sample: its id and what was recorded, to what is shown instead, of the same shape."""


@dataclass(frozen=True)
class Perturbation:
    """One way to perturb the samples of a task.

    Attributes:
        name: As in the config's `robustness`.
        unit: Of the strength.
        neutral: The strength that leaves everything as it is.
        strengths: Those that are tried, in their order.
        apply: Perturbs one sample: what was recorded, the strength, random numbers. Those are the same for every
            strength, so that a stronger noise is the same noise, larger.
        levels: Names of the strengths where they are numbers of cases and no amounts.
    """

    name: str
    unit: str
    neutral: float
    strengths: tuple[float, ...]
    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    levels: Mapping[float, str] = field(default_factory=dict)

    def level(self, strength: float) -> str:
        """A strength to read."""
        return self.levels.get(strength, f"{strength:g}")

    def change(self, strength: float, seed: int) -> Change:
        """What the perturbation does at one strength, the same to a sample whatever else is perturbed.

        Args:
            strength: In `unit`.
            seed: The study's.
        """
        return lambda sample_id, recorded: self.apply(recorded, strength, copy_rng(seed, sample_id, self.name))


class Originals(Protocol):
    """The samples of one fold as they were recorded.

    Attributes:
        seed: The study's, that of folds and augmentation.
    """

    seed: int

    def perturbations(self) -> Sequence[Perturbation]:
        """All that can be done to these samples."""
        ...

    def inputs(self, change: Change) -> Inputs:
        """Copy 0 of every sample, by the study's own chain, after a change of what was recorded."""
        ...


class RobustnessModule(Protocol):
    """What the module of a kind of task offers."""

    def open_originals(self, fold_path: Path, samples_path: SamplesPath) -> Originals:
        """Read the samples of a fold.

        Raises:
            InputError: a damaged file, or samples that the fold was not made from.
        """
        ...


def robustness_module(kind: Kind) -> RobustnessModule:
    """The module of a kind of task, imported when it is needed."""
    return cast(RobustnessModule, import_module(f"siwcc.inference.robustness.{kind}"))


def unchanged(sample_id: str, recorded: np.ndarray) -> np.ndarray:
    """The change that is none."""
    return recorded
