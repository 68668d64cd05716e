"""Speed, disk and memory on this machine. A waiting process does nothing, so that the sides can run in turn."""

from __future__ import annotations

import functools
import math
import tracemalloc
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.data import SampleSet, fold_paths, make_set, paper_config, write_tensor_files
from benchmarks.reference import plain_network
from benchmarks.workers import Message, Worker, run_together, started
from siwcc.data.augment.interface import augment_module

PAPER_IMAGES, PAPER_COPIES, FEW_COPIES = 4023, 20, 2
_IMAGE_BYTES = 256 * 256 * 3
_LOADER_WORKERS = (0, 1, 2)
# Samples and copies of a measured epoch: the training rows, four fifths, are whole batches of 32.
_EPOCH = {"ecg": (50, 64), "nuclei": (20, 4)}
QUICK_EPOCH = {"ecg": (20, 32), "nuclei": (10, 4)}


@dataclass
class Bench:
    """Options of one call, its samples, and the values measured so far.

    Attributes:
        folder: Scratch, removed at the end.
        quick: Smaller rounds, to see that everything works.
        pairs: Rounds of each side.
        runs: Trainings side by side, each on a core of its own.
        given: Samples files of real data, by task.
        values: By row of `benchmarks.table.TARGETS`, or by name of a further fact: one value per pair or repeat.
    """

    folder: Path
    quick: bool
    pairs: int
    runs: int
    given: dict[str, SampleSet] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _synthetic: dict[str, SampleSet] = field(default_factory=dict)

    def synthetic(self, task: str) -> SampleSet:
        """Synthetic samples of the paper's size: 12 records with 56 events, or cells."""
        if task not in self._synthetic:
            count = 12 if task == "ecg" else 60 if self.quick else 320
            self._synthetic[task] = make_set(task, self.folder, count)
        return self._synthetic[task]

    def sample_set(self, task: str) -> SampleSet:
        """Real samples where they were given, else synthetic ones."""
        return self.given.get(task) or self.synthetic(task)

    def training(self, task: str, samples: SampleSet, folder: Path, compiled: str = "compiled") -> Message:
        """Arguments of a worker that trains on two folds; what torch compiles is kept in the folder `compiled`."""
        places = {"folder": folder, "samples": samples.path, "compiled": self.folder / compiled}
        return {"task": task} | {name: str(path) for name, path in places.items()}

    def scratch(self, name: str) -> Path:
        """A new folder."""
        path = self.folder / name
        path.mkdir(parents=True)
        return path


def step_flops(task: str) -> int:
    """Operations of the convolutions and linear layers in a training step of the full network, batch 32.

    A layer's two gradients take as many operations as its forward pass each; the first layer's inputs need none.
    """
    of_all, of_first = _sample_flops(task)
    return paper_config().train.batch_size * (3 * of_all - of_first)


def forward_flops(task: str) -> int:
    """Those of the predictions for a batch of 32."""
    return paper_config().train.batch_size * _sample_flops(task)[0]


@functools.cache
def _sample_flops(task: str) -> tuple[int, int]:
    """Operations of the forward pass of one sample, and those of its first layer."""
    network, shape = plain_network(task)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros((1, *shape)))
    counts = {name: sum(found.values()) for name, found in counter.get_flop_counts().items()}
    return counts["Global"], counts[f"{type(network).__name__}.blocks.0"]


def measure_ecg(bench: Bench) -> None:
    """Rows `ecg` and `ecg_peak`."""
    _measure_training(bench, "ecg", "ecg", {"ecg": {}})


def measure_image(bench: Bench) -> None:
    """Rows `image`, `image_tuned` and `image_peak`."""
    _measure_training(bench, "image", "nuclei", {"image": {}, "image_tuned": {"keep_buffers": True}})


def _measure_training(bench: Bench, name: str, task: str, others: dict[str, Message]) -> None:
    """Ours against each kind of the reference implementation; a row's values are ratios of the rates of one pair."""
    samples, (count, copies) = bench.sample_set(task), (QUICK_EPOCH if bench.quick else _EPOCH)[task]
    folder, rows = samples.write_two_folds(count, copies, bench.folder / f"speed_{name}"), count * copies
    if task == "nuclei":
        write_tensor_files(folder, samples.path)
    arguments = bench.training(task, samples, folder)
    with ExitStack() as stack:

        def start(role: str, extra: Message) -> Sequence[Worker]:
            workers = [Worker(role, arguments | extra, core) for core in range(bench.runs)]
            return stack.enter_context(started(workers))

        ours, meters = start("ours:train_ours", {}), start("ours:measure_peak", {})
        references = {row: start("reference:train_reference", extra) for row, extra in others.items()}
        run_together(ours)
        run_together(meters)
        loaders = {row: best_loader(bench, workers, _LOADER_WORKERS) for row, workers in references.items()}
        for _ in range(bench.pairs):
            peak = sum(reply["flops_per_s"] for reply in run_together(meters))
            rate = _note_ours(bench, name, step_flops(task) / peak, rows, run_together(ours))
            for row, workers in references.items():
                other = _rate(rows, run_together(workers, {"workers": loaders[row]}))
                bench.values[f"{row}_reference_samples_per_s"].append(other)
                bench.values[row].append(rate / other)
            bench.values[f"{name}_peak_gflops_per_s"].append(peak / 1e9)


def compiling_s(bench: Bench) -> tuple[float, float]:
    """Seconds to the end of the first step of an ECG training that compiles, and of one that finds it compiled."""
    samples = bench.sample_set("ecg")
    folder = samples.write_two_folds(*QUICK_EPOCH["ecg"], bench.folder / "compiling")
    arguments = bench.training("ecg", samples, folder, "compiled_once") | {"stop_after_steps": 1}
    seconds = []
    for _ in range(2):
        with started([Worker("ours:train_ours", arguments)]) as workers:
            seconds.append(run_together(workers)[0]["seconds"])
    return seconds[0], seconds[1]


def _note_ours(bench: Bench, name: str, step_s_at_peak: float, rows: int, replies: Sequence[Message]) -> float:
    """Note a round of ours, and return its samples per second."""
    rate, steps_s = _rate(rows, replies), [reply["step_s"] for reply in replies]
    cpu_s = sum(reply["cpu_s"] for reply in replies) / (len(replies) * rows)
    bench.values[f"{name}_ours_samples_per_s"].append(rate)
    bench.values[f"{name}_ours_cpu_s_per_sample"].append(cpu_s)
    # An epoch of one step has no time from step to step.
    if all(math.isfinite(step_s) for step_s in steps_s):
        bench.values[f"{name}_ours_step_s"].append(sum(steps_s) / len(steps_s))
        bench.values[f"{name}_peak"].append(sum(step_s_at_peak / step_s for step_s in steps_s))
    return rate


def _rate(rows: int, replies: Sequence[Message]) -> float:
    """Samples per second of all runs together, trained and tested on."""
    return sum(rows / reply["seconds"] for reply in replies)


def best_loader(bench: Bench, reference: Sequence[Worker], numbers: Sequence[int]) -> int:
    """The number of loader workers with which the reference implementation is fastest, each warmed up by a round."""
    rates = {}
    for workers in numbers[:1] if bench.quick else numbers:
        run_together(reference, {"workers": workers})
        rates[workers] = _rate(1, run_together(reference, {"workers": workers}))
    return max(rates, key=lambda workers: rates[workers])


def measure_augmentation(bench: Bench) -> None:
    """Row `augment`: seconds of the reference implementation over seconds of ours, for the same copies, in turn."""
    folder, samples = bench.scratch("augment"), str(bench.sample_set("ecg").path)
    arguments = {"samples": samples, "folder": str(folder), "windows": 40, "copies": 20}
    with started([Worker("reference:time_augmentation", arguments, core=0)]) as workers:
        run_together(workers)
        for _ in range(bench.pairs):
            (reply,) = run_together(workers)
            bench.values["augment"].append(reply["reference_s"] / reply["ours_s"])
            for name, seconds in reply.items():
                bench.values[f"augment_{name}"].append(seconds)


def measure_disk(bench: Bench) -> None:
    """Row `disk`: float tensors of every copy over the samples file and the fold files, of the same images."""
    samples = bench.sample_set("nuclei")
    images = len(samples.sample_ids)
    folder, tensor = samples.write_two_folds(images, PAPER_COPIES, bench.folder / "disk"), bench.folder / "tensor.pt"
    torch.save(torch.zeros(5, 256, 256), tensor)
    ours = samples.path.stat().st_size + sum(path.stat().st_size for path in fold_paths(folder))
    bench.values["disk"].append(tensor.stat().st_size * PAPER_COPIES * images / ours)


def measure_memory(bench: Bench) -> None:
    """Rows `memory` and `memory_growth`.

    A process opens folds of all images at hand, trains some steps and reports its peak. The images themselves are
    subtracted, since the full set's size is known (0.79 GB). Further rows keep too little to be seen in the size of a
    process: Python's own tracing counts it, with 2 and 20 copies per image, scaled to the 80,460 rows of the paper.
    """
    samples = bench.sample_set("nuclei")
    images = len(samples.sample_ids)
    few = samples.write_two_folds(images, FEW_COPIES, bench.folder / "memory_few")
    many = samples.write_two_folds(images, PAPER_COPIES, bench.folder / "memory_many")
    # What the first call imports is not counted.
    _, few_bytes, many_bytes = (_opened_bytes(samples, folder) for folder in (few, few, many))
    row_bytes = (many_bytes - few_bytes) / (images * (PAPER_COPIES - FEW_COPIES))
    arguments = bench.training("nuclei", samples, few) | {"stop_after_steps": 2 if bench.quick else 6}
    with started([Worker("ours:train_ours", arguments)]) as workers:
        peak = run_together(workers)[0]["peak_rss_bytes"]
    beyond = peak - images * _IMAGE_BYTES + row_bytes * PAPER_IMAGES * PAPER_COPIES
    bench.values["memory"].append(beyond / 1e9)
    bench.values["memory_growth"].append(row_bytes * PAPER_IMAGES * (PAPER_COPIES - FEW_COPIES) / 1e6)


def _opened_bytes(samples: SampleSet, folder: Path) -> int:
    """What stays allocated of two folds opened for training, images included."""
    tracemalloc.start()
    inputs = augment_module(samples.dataset.kind).open_inputs(fold_paths(folder), samples.path, augmented_only=True)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del inputs
    return kept
