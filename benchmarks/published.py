"""The opponent: the study as plainly as its published scripts work, written from the protocol's facts.

Float tensors of every sample, a `DataLoader`, the layers that the paper's tables name, `Adam`, and the answers of
every batch brought to numpy. Nothing here is imported by the package, and nothing is tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.signal import butter, filtfilt, medfilt
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

WIDTHS = (16, 32, 64, 128)
RATE_HZ = 250
WINDOW_S = 20.0
FILTER_KINDS: tuple[Literal["lowpass", "highpass", "bandpass"], ...] = ("lowpass", "highpass", "bandpass")
MEDIAN_SAMPLES = 11
DECIMATE_BY = 10


class PlainNimesha(nn.Module):
    """NimeshaNet, full (paper, table 2): (B, channels, length) -> (B, 1) in seconds."""

    def __init__(self, channels: int = 3, length: int = 500) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((channels, *WIDTHS)):
            layers += [nn.Conv1d(inputs, outputs, 3, padding=1), nn.BatchNorm1d(outputs), nn.ReLU(), nn.AvgPool1d(2)]
        self.blocks = nn.Sequential(*layers)
        self.weight = nn.Parameter(torch.randn(WIDTHS[-1], length // 16))
        self.head = nn.Linear(WIDTHS[-1], 1)

    def forward(self, signal: Tensor) -> Tensor:
        """Blocks, a weight for every channel and position, summed over time, linear, sigmoid."""
        pooled = (self.blocks(signal) * self.weight).sum(dim=2)
        return torch.sigmoid(self.head(pooled)) * WINDOW_S


class PlainLakshya(nn.Module):
    """LakshyaNet, full (paper, table 1): (B, channels, size, size) -> (B, 2) in pixels."""

    def __init__(self, channels: int = 5, image_size: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(pairwise((channels, *WIDTHS))):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            if i < 3:
                layers.append(nn.AvgPool2d(2))
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.Conv2d(WIDTHS[-1], WIDTHS[-1], image_size // 8, groups=WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], 2)
        self.output_scale = image_size - 1

    def forward(self, image: Tensor) -> Tensor:
        """Blocks, a depthwise convolution over all that is left, linear, sigmoid."""
        pooled = self.pool(self.blocks(image)).flatten(1)
        return torch.sigmoid(self.head(pooled)) * self.output_scale


class EcgWindows(Dataset[tuple[Tensor, Tensor]]):
    """Windows in memory, filtered and decimated whenever they are asked for, in every epoch.

    Args:
        windows: float32 (2 leads + 1 coordinate, samples) each.
        targets: float32 (1,) each, seconds.
    """

    def __init__(self, windows: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        self.windows = windows
        self.targets = targets

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One window, float32 (3, samples / 10), and its target."""
        channels = [medfilt(channel, MEDIAN_SAMPLES)[::DECIMATE_BY] for channel in self.windows[index].numpy()]
        return torch.from_numpy(np.stack(channels)), self.targets[index]


class ImageFiles(Dataset[tuple[Tensor, Tensor]]):
    """One file a sample, written by `torch.save`, read whenever it is asked for.

    Args:
        paths: Files with a float32 (5, size, size) tensor each.
        targets: float32 (2,) each, pixels.
    """

    def __init__(self, paths: Sequence[Path], targets: Sequence[Tensor]) -> None:
        self.paths = paths
        self.targets = targets

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One image and its target."""
        return torch.load(self.paths[index]), self.targets[index]


Batches = DataLoader[tuple[Tensor, Tensor]]


class PlainRun:
    """A network, its optimiser and the two numbers that standardise the target.

    Args:
        network: `PlainNimesha` or `PlainLakshya`.
        targets: (rows, outputs) of the training set.
        learning_rate: Of Adam.
    """

    def __init__(self, network: nn.Module, targets: Tensor, learning_rate: float = 1e-3) -> None:
        self.network = network
        self.mean = targets.mean(dim=0)
        self.deviation = targets.std(dim=0)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)

    def step(self, signal: Tensor, target: Tensor) -> Tensor:
        """One optimiser step; returns the answers made on the way."""
        self.optimiser.zero_grad()
        answer: Tensor = self.network(signal)
        loss = nn.functional.mse_loss((answer - self.mean) / self.deviation, (target - self.mean) / self.deviation)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return answer

    def train_epoch(self, batches: Batches) -> float:
        """One pass with optimiser steps; R2 of the answers made on the way, mean over outputs."""
        self.network.train()
        answers, targets = [], []
        for signal, target in batches:
            answers.append(self.step(signal, target).detach().cpu().numpy())
            targets.append(target.numpy())
        return float(r2_score(np.concatenate(targets), np.concatenate(answers)))

    def evaluate(self, batches: Batches) -> float:
        """R2 of the answers in eval mode, mean over outputs."""
        self.network.eval()
        answers, targets = [], []
        with torch.no_grad():
            for signal, target in batches:
                answers.append(self.network(signal).cpu().numpy())
                targets.append(target.numpy())
        return float(r2_score(np.concatenate(targets), np.concatenate(answers)))


def make_batches(
    samples: EcgWindows | ImageFiles, batch_size: int, shuffle: bool, workers: int, seed: int = 42
) -> Batches:
    """A loader; its workers stay between epochs, so that short epochs do not pay for starting them."""
    order = torch.Generator().manual_seed(seed)
    return DataLoader(
        samples, batch_size, shuffle, num_workers=workers, persistent_workers=workers > 0, generator=order
    )


def augment(signal: np.ndarray, event_sample: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The six steps of the paper's section 2.1 on one window, with numpy and scipy and the paper's ranges.

    The draws come in the order of `siwcc.data.augment.ecg`, so that one generator gives the same variant.

    Args:
        signal: float64 (2, samples), mV, at 250 Hz.
        event_sample: Index of the event.
        rng: The variant's generator.

    Returns:
        float64 (2, samples) in mV and the event's index.
    """
    samples = signal.shape[1]
    moved_by = int(rng.uniform(-5, 5) * RATE_HZ)
    signal = np.roll(signal, moved_by, axis=1)
    if moved_by >= 0:
        signal[:, :moved_by] = 0
    else:
        signal[:, moved_by:] = 0
    event_sample = min(max(event_sample + moved_by, 0), samples - 1)
    length = int(rng.uniform(1, 2) * RATE_HZ)
    start = int(rng.integers(0, samples - length))
    while start <= event_sample < start + length:
        start = int(rng.integers(0, samples - length))
    signal[:, start : start + length] = 0
    peak_mv = np.abs(signal).max()
    signal = signal + rng.uniform(0.01, 0.05) * peak_mv * rng.standard_normal(signal.shape)
    wander_mv, wander_hz = rng.uniform(0.01, 0.05) * peak_mv, rng.uniform(0.1, 0.5)
    signal = signal + wander_mv * np.sin(2 * np.pi * wander_hz * np.arange(samples) / RATE_HZ)
    kind = FILTER_KINDS[int(rng.integers(3))]
    high_hz, low_hz = rng.uniform(0.5, 2), rng.uniform(30, 50)
    band_hz = {"lowpass": np.array(low_hz), "highpass": np.array(high_hz), "bandpass": np.array([high_hz, low_hz])}[
        kind
    ]
    numerator, denominator = butter(3, band_hz, kind, fs=RATE_HZ)
    return filtfilt(numerator, denominator, signal) * rng.uniform(0.8, 1.2), event_sample


def decimate(signal: np.ndarray) -> np.ndarray:
    """Running median of each channel, then every tenth sample; float32 (channels, samples / 10)."""
    channels = [medfilt(channel, MEDIAN_SAMPLES)[::DECIMATE_BY] for channel in signal.astype(np.float32)]
    return np.stack(channels)


def with_coordinate(signal: np.ndarray) -> Tensor:
    """The window as a float32 tensor with the coordinate, 0 to 20 s, as its third channel."""
    coordinate_s = np.linspace(0, WINDOW_S, signal.shape[1])
    return torch.from_numpy(np.vstack([signal, coordinate_s]).astype(np.float32))
