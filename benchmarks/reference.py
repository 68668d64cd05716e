"""The reference implementation: the study as its published scripts work, written from the protocol's facts.

Float tensors of every sample, a `DataLoader`, the layers that the paper's tables name, `Adam`, and the predictions of
every batch copied to numpy. Nothing here is imported by the package, and nothing is tuned.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from scipy.signal import butter, filtfilt, medfilt
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.data import SEED, fold_paths, open_set, paper_config
from benchmarks.ours import peak_bytes
from benchmarks.workers import Message, rounds
from siwcc.config import SignalTask
from siwcc.data.augment.interface import augment_module, copy_rng
from siwcc.data.augment.signal import make_copies, read_windows, sample_of
from siwcc.io.shards import Shard, read_shard
from siwcc.training.torch_setup import keep_large_buffers

WIDTHS = (16, 32, 64, 128)
RATE_HZ = 250
WINDOW_S = 20.0
MEDIAN_SAMPLES = 11
DECIMATE_BY = 10
Batches = DataLoader[tuple[Tensor, Tensor]]


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
        return torch.sigmoid(self.head((self.blocks(signal) * self.weight).sum(dim=2))) * WINDOW_S


class PlainLakshya(nn.Module):
    """LakshyaNet, full (paper, table 1): (B, channels, size, size) -> (B, 2) in pixels."""

    def __init__(self, channels: int = 5, image_size: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((channels, *WIDTHS)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.AvgPool2d(2)]
        self.blocks = nn.Sequential(*layers[:-1])
        self.pool = nn.Conv2d(WIDTHS[-1], WIDTHS[-1], image_size // 8, groups=WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], 2)
        self.output_scale = image_size - 1

    def forward(self, image: Tensor) -> Tensor:
        """Blocks, a depthwise convolution over all that is left, linear, sigmoid."""
        return torch.sigmoid(self.head(self.pool(self.blocks(image)).flatten(1))) * self.output_scale


def plain_network(task: str) -> tuple[PlainNimesha | PlainLakshya, tuple[int, ...]]:
    """The network of a task, and the shape of its input for one sample, coordinates included."""
    return (PlainNimesha(), (3, 500)) if task == "ecg" else (PlainLakshya(), (5, 256, 256))


class EcgWindows(Dataset[tuple[Tensor, Tensor]]):
    """Windows in memory, filtered and decimated in every epoch: float32 (3, samples) each; targets (1,), seconds."""

    def __init__(self, windows: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        self.windows = windows
        self.targets = targets

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One window, float32 (3, samples / 10), and its target."""
        return torch.from_numpy(decimate(self.windows[index].numpy())), self.targets[index]


class ImageFiles(Dataset[tuple[Tensor, Tensor]]):
    """One file per sample, read in every epoch: a float32 (5, size, size) tensor each; targets (2,), pixels."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.pt"))
        self.targets = list(torch.from_numpy(np.load(folder / "targets.npy")))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One image and its target."""
        return torch.load(self.paths[index]), self.targets[index]


def make_batches(
    samples: EcgWindows | ImageFiles, batch_size: int, shuffle: bool, workers: int, pin_memory: bool = False
) -> Batches:
    """A loader; its workers stay between epochs, so that short epochs do not pay for starting them."""
    return DataLoader(
        samples,
        batch_size,
        shuffle,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(SEED),
    )


class PlainRun:
    """A network, Adam, and the mean and deviation of the training targets, (rows, outputs), on a device."""

    def __init__(self, network: nn.Module, targets: Tensor, device: str = "cpu") -> None:
        self.network = network.to(device)
        self.device = device
        self.mean, self.deviation = targets.mean(dim=0).to(device), targets.std(dim=0).to(device)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(self, signal: Tensor, target: Tensor) -> Tensor:
        """One optimiser step; returns the predictions before it."""
        self.optimiser.zero_grad()
        prediction: Tensor = self.network(self._sent(signal))
        target = self._sent(target)
        standardised = [(values - self.mean) / self.deviation for values in (prediction, target)]
        nn.functional.mse_loss(*standardised).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return prediction

    def train_epoch(self, batches: Batches) -> float:
        """One pass with optimiser steps; R2 of the predictions before them, mean over outputs."""
        self.network.train()
        pairs = [(self.step(signal, target).detach().cpu().numpy(), target.numpy()) for signal, target in batches]
        return _r2(pairs)

    @torch.no_grad()
    def evaluate(self, batches: Batches) -> float:
        """R2 of the predictions in eval mode, mean over outputs."""
        self.network.eval()
        return _r2([(self.network(self._sent(signal)).cpu().numpy(), target.numpy()) for signal, target in batches])

    def _sent(self, values: Tensor) -> Tensor:
        return values.to(self.device, non_blocking=True)


def _r2(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    predictions, targets = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return float(r2_score(targets, predictions))


def augment(signal: np.ndarray, event_sample: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The six steps of the paper's section 2.1 on one window, with numpy and scipy and the paper's ranges.

    The draws come in the order of `siwcc.data.augment.signal`, so that one generator gives the same copy. Takes and
    returns a signal, float64 (2, samples) in mV at 250 Hz, and the index of its event.
    """
    samples = signal.shape[1]
    moved_by = int(rng.uniform(-5, 5) * RATE_HZ)
    signal = np.roll(signal, moved_by, axis=1)
    signal[:, slice(moved_by) if moved_by >= 0 else slice(moved_by, None)] = 0
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
    kind = int(rng.integers(3))
    high_hz, low_hz = rng.uniform(0.5, 2), rng.uniform(30, 50)
    name, band_hz = (("lowpass", low_hz), ("highpass", high_hz), ("bandpass", [high_hz, low_hz]))[kind]
    numerator, denominator = butter(3, band_hz, name, fs=RATE_HZ)
    return filtfilt(numerator, denominator, signal) * rng.uniform(0.8, 1.2), event_sample


def decimate(signal: np.ndarray) -> np.ndarray:
    """Running median of each channel, then every tenth sample; float32 (channels, samples / 10)."""
    return np.stack([medfilt(channel, MEDIAN_SAMPLES)[::DECIMATE_BY] for channel in signal.astype(np.float32)])


def with_coordinate(signal: np.ndarray) -> Tensor:
    """The window as a float32 tensor with the coordinate, 0 to 20 s, as its third channel."""
    coordinate_s = np.linspace(0, WINDOW_S, signal.shape[1])
    return torch.from_numpy(np.vstack([signal, coordinate_s]).astype(np.float32))


def augmented(shard: Shard, row: int, copy: int) -> tuple[np.ndarray, int]:
    """An augmented copy of a window of a samples file, as of `augment`."""
    signal = shard.arrays["signal"][row].astype(np.float64)
    event = round(float(shard.arrays["target"][row, 0]) * RATE_HZ)
    return augment(signal, event, copy_rng(SEED, str(shard.arrays["sample_id"][row]), copy))


def windows_of_fold(samples_path: Path, fold_path: Path) -> EcgWindows:
    """The windows of a fold at 250 Hz, augmented in memory."""
    shard = read_shard(samples_path, "samples", names=("signal", "target", "sample_id"))
    row_of = {sample_id: row for row, sample_id in enumerate(shard.arrays["sample_id"])}
    fold = read_shard(fold_path, "fold", names=("sample_id", "copy")).arrays
    keys = [(row_of[name], int(copy)) for name, copy in zip(fold["sample_id"], fold["copy"], strict=True) if copy]
    pairs = [augmented(shard, *key) for key in keys]
    targets = [torch.tensor([event / RATE_HZ], dtype=torch.float32) for _, event in pairs]
    return EcgWindows([with_coordinate(signal) for signal, _ in pairs], targets)


def train_reference(connection: Connection, arguments: Message) -> None:
    """Role of a worker: one epoch per round; its message gives the number of loader `workers`.

    Arguments: `task`, `folder` of two folds, `samples`, `keep_buffers` (tune the allocator as ours), `device`.
    """
    device = arguments.get("device", "cpu")
    # float32 as on the other side.
    torch.backends.cudnn.allow_tf32 = False
    if arguments.get("keep_buffers"):
        keep_large_buffers()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    paths, batch_size = fold_paths(Path(arguments["folder"])), paper_config().train.batch_size
    if arguments["task"] == "ecg":
        test, train = (windows_of_fold(Path(arguments["samples"]), path) for path in paths)
        targets = torch.stack(list(train.targets))
    else:
        test, train = (ImageFiles(path.with_suffix("")) for path in paths)
        targets = torch.stack(train.targets)
    run = PlainRun(plain_network(arguments["task"])[0], targets, device)
    loaders: dict[int, tuple[Batches, Batches]] = {}
    for message in rounds(connection):
        workers = message["workers"]
        if workers not in loaders:
            loaders[workers] = tuple(
                make_batches(each, batch_size, each is train, workers, device == "cuda") for each in (train, test)
            )
        started_at = time.perf_counter()
        run.train_epoch(loaders[workers][0])
        run.evaluate(loaders[workers][1])
        connection.send({"seconds": time.perf_counter() - started_at, "memory_bytes": peak_bytes(device)})


def time_augmentation(connection: Connection, arguments: Message) -> None:
    """Role of a worker: the same augmented copies with both implementations, seconds per copy.

    Also the CPU seconds per copy of the whole fold stage, file included, and of opening that file for training.
    Arguments: `samples`, `folder`, `windows`, `copies`.
    """
    samples = open_set(Path(arguments["samples"]))
    shard = read_windows(samples.path, SignalTask(), samples.dataset)
    copies, rows = range(1, arguments["copies"] + 1), range(min(arguments["windows"], len(samples.sample_ids)))
    for _ in rounds(connection):
        times_s = [time.perf_counter()]
        for row in rows:
            make_copies(sample_of(shard, row), copies, SignalTask(), samples.dataset, SEED)
        times_s.append(time.perf_counter())
        for row in rows:
            for copy in copies:
                decimate(augmented(shard, row, copy)[0])
        times_s.append(time.perf_counter())
        cpu_s = [time.process_time()]
        path = samples.write_fold(samples.sample_ids[: len(rows)], len(copies), 1, Path(arguments["folder"]))
        cpu_s.append(time.process_time())
        augment_module("signal").open_inputs([path], samples.path, augmented_only=True)
        cpu_s.append(time.process_time())
        seconds = (np.concatenate([np.diff(times_s), np.diff(cpu_s)]) / (len(rows) * len(copies))).tolist()
        connection.send(dict(zip(("ours_s", "reference_s", "fold_write_s", "fold_open_s"), seconds, strict=True)))
