"""Roles that work as the published scripts do, or beside them; apart, as they import scipy and scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks import published
from benchmarks.made import SEED, fold_paths, paper_config
from benchmarks.processes import Channel, Message
from benchmarks.roles import StepClock
from siwcc.config import EcgTask, VfdbSection, parse_dataset
from siwcc.data.augment.interface import variant_rng
from siwcc.io.shards import Shard, read_shard
from siwcc.training.torch_setup import keep_large_buffers


def train_published(channel: Channel, arguments: Message) -> None:
    """An epoch of the opponent a round; the round says with how many loader workers.

    Args:
        channel: To the driver.
        arguments: `task`, `folder`, `samples`, `variants`, `threads`, `keep_buffers` (tune the allocator as ours).
    """
    if arguments.get("keep_buffers"):
        keep_large_buffers()
    torch.set_num_threads(arguments["threads"])
    test, train = _PUBLISHED_SAMPLES[arguments["task"]](arguments)
    torch.manual_seed(SEED)
    network = published.PlainNimesha() if arguments["task"] == "ecg" else published.PlainLakshya()
    run = published.PlainRun(network, torch.stack(list(train.targets)))
    batch_size, clock = paper_config().train.batch_size, StepClock()
    loaders: dict[int, tuple[published.Batches, published.Batches]] = {}
    channel.send({"ready": True})
    while (message := channel.receive()) is not None:
        workers = message["workers"]
        if workers not in loaders:
            loaders[workers] = (
                published.make_batches(train, batch_size, True, workers),
                published.make_batches(test, batch_size, False, workers),
            )
        clock.take()
        started_at = time.perf_counter()
        run.train_epoch(loaders[workers][0])
        run.evaluate(loaders[workers][1])
        channel.send({"seconds": time.perf_counter() - started_at, "step_s": clock.take()})


def _windows(arguments: Message) -> tuple[published.EcgWindows, published.EcgWindows]:
    """The windows of two folds at 250 Hz, augmented in memory."""
    shard = read_shard(Path(arguments["samples"]), "samples", names=("signal", "target", "sample_id"))
    row_of = {sample_id: row for row, sample_id in enumerate(shard.arrays["sample_id"])}
    both = []
    for path in fold_paths(Path(arguments["folder"])):
        fold = read_shard(path, "fold", names=("sample_id", "variant"))
        windows, targets = [], []
        for sample_id, variant in zip(fold.arrays["sample_id"], fold.arrays["variant"], strict=True):
            if variant == 0:
                continue
            rng = variant_rng(SEED, str(sample_id), int(variant))
            made, event = published.augment(*window_of(shard, row_of[sample_id]), rng)
            windows.append(published.with_coordinate(made))
            targets.append(torch.tensor([event / published.RATE_HZ], dtype=torch.float32))
        both.append(published.EcgWindows(windows, targets))
    return both[0], both[1]


def _image_files(arguments: Message) -> tuple[published.ImageFiles, published.ImageFiles]:
    """The files that `benchmarks.made.write_tensor_files` wrote."""
    both = []
    for folder in (path.with_suffix("") for path in fold_paths(Path(arguments["folder"]))):
        targets = torch.from_numpy(np.load(folder / "targets.npy"))
        both.append(published.ImageFiles(sorted(folder.glob("*.pt")), list(targets)))
    return both[0], both[1]


_PlainSamples = published.EcgWindows | published.ImageFiles
_PUBLISHED_SAMPLES: dict[str, Callable[[Message], tuple[_PlainSamples, _PlainSamples]]] = {
    "ecg": _windows,
    "nuclei": _image_files,
}


def augment_windows(channel: Channel, arguments: Message) -> None:
    """Make the same variants a round, each from raw window to the model's rate.

    Args:
        channel: To the driver.
        arguments: `samples`, `dataset` (its section's protocol), `side` (`ours` or `published`), `windows`, `variants`.
    """
    shard = read_shard(Path(arguments["samples"]), "samples")
    section = parse_dataset(arguments["dataset"])
    assert isinstance(section, VfdbSection)
    make, variants = _AUGMENT[arguments["side"]], range(1, arguments["variants"] + 1)
    windows = range(min(arguments["windows"], len(shard.arrays["target"])))
    channel.send({"ready": True})
    while channel.receive() is not None:
        started_at = time.perf_counter()
        for row in windows:
            make(shard, row, variants, section)
        channel.send({"seconds_a_variant": (time.perf_counter() - started_at) / (len(windows) * len(variants))})


def _augment_ours(shard: Shard, row: int, variants: Sequence[int], section: VfdbSection) -> None:
    from siwcc.data.augment.ecg import EcgSample, make_variants

    arrays = shard.arrays
    sample = EcgSample(
        sample_id=str(arrays["sample_id"][row]),
        signal=arrays["signal"][row],
        target_s=float(arrays["target"][row, 0]),
        event_sample=int(arrays["event_sample"][row]),
        previous_event=int(arrays["previous_event"][row]),
        context=None,
        context_valid=arrays["context_valid"][row],
    )
    make_variants(sample, variants, EcgTask(), section, SEED)


def _augment_plainly(shard: Shard, row: int, variants: Sequence[int], section: VfdbSection) -> None:
    signal, event = window_of(shard, row)
    for variant in variants:
        rng = variant_rng(SEED, str(shard.arrays["sample_id"][row]), variant)
        published.decimate(published.augment(signal, event, rng)[0])


_AUGMENT = {"ours": _augment_ours, "published": _augment_plainly}


def window_of(shard: Shard, row: int) -> tuple[np.ndarray, int]:
    """A window of a samples file as the opponent takes it: float64 (2, samples) in mV, and its event's index."""
    signal = shard.arrays["signal"][row].astype(np.float64)
    return signal, round(float(shard.arrays["target"][row, 0]) * published.RATE_HZ)
