"""Training, side by side with the opponent: an epoch with its evaluation, in turn, on the same samples."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.bench import Bench
from benchmarks.flops import layer_macs, training_flops
from benchmarks.made import paper_config, write_tensor_files
from benchmarks.processes import Message, Worker, run_together, started
from benchmarks.published import PlainLakshya, PlainNimesha

_LOADER_WORKERS = (0, 1, 2)


@dataclass(frozen=True)
class Epoch:
    """The fraction of an epoch that is measured: a fifth of the samples is tested on, the others are trained on."""

    task: str
    samples: int
    variants: int

    @property
    def rows(self) -> int:
        """Variants that pass through the network."""
        return self.samples * self.variants


# The training rows are whole batches of 32: 80 or 16 steps for the ECG, 2 or 1 for images.
_ECG = {False: Epoch("ecg", 50, 64), True: Epoch("ecg", 20, 32)}
_IMAGE = {False: Epoch("nuclei", 20, 4), True: Epoch("nuclei", 10, 4)}


@functools.cache
def step_flops(task: str) -> int:
    """Operations of a training step of the full network: batch 32, coordinates appended."""
    batch = paper_config().train.batch_size
    if task == "ecg":
        return batch * training_flops(layer_macs(PlainNimesha(), torch.zeros(1, 3, 500)))
    return batch * training_flops(layer_macs(PlainLakshya(), torch.zeros(1, 5, 256, 256)))


def measure_ecg(bench: Bench) -> None:
    """Rows `ecg` and `ecg_peak`."""
    _measure(bench, "ecg", _ECG[bench.quick], {"ecg": {}})


def measure_image(bench: Bench) -> None:
    """Rows `image`, `image_tuned` and `image_peak`."""
    opponents: dict[str, Message] = {"image": {}, "image_tuned": {"keep_buffers": True}}
    _measure(bench, "image", _IMAGE[bench.quick], opponents)


def _measure(bench: Bench, name: str, epoch: Epoch, opponents: dict[str, Message]) -> None:
    """Ours against each opponent; the rows' values are ratios of the rates of one pair.

    All processes are kept until the end, and only one side's run at a time.
    """
    samples = bench.sample_set(epoch.task)
    folder = samples.write_two_folds(epoch.samples, epoch.variants, bench.folder / f"speed_{name}")
    if epoch.task == "nuclei":
        write_tensor_files(folder, samples.path)
    arguments = {"task": epoch.task, "folder": str(folder), "samples": str(samples.path)}
    with ExitStack() as stack:

        def start(role: str, extra: Message) -> Sequence[Worker]:
            workers = [Worker(role, arguments | extra, core) for core in range(bench.runs)]
            return stack.enter_context(started(workers))

        ours, meters = start("train_ours", {}), start("measure_peak", {})
        others = {row: start("train_published", extra) for row, extra in opponents.items()}
        run_together(ours)
        run_together(meters)
        chosen = {row: _best_workers(bench, workers, epoch) for row, workers in others.items()}
        bench.facts[f"{name}_loader_workers"] = chosen
        for _ in range(bench.pairs):
            _one_pair(bench, name, epoch, ours, meters, others, chosen)


def _best_workers(bench: Bench, opponent: Sequence[Worker], epoch: Epoch) -> int:
    """The number of loader workers with which the opponent is fastest, each warmed up by a round."""
    rates = {}
    for workers in _LOADER_WORKERS[:1] if bench.quick else _LOADER_WORKERS:
        run_together(opponent, {"workers": workers})
        rates[workers] = _rate(epoch, run_together(opponent, {"workers": workers}))
    return max(rates, key=lambda workers: rates[workers])


def _one_pair(
    bench: Bench,
    name: str,
    epoch: Epoch,
    ours: Sequence[Worker],
    meters: Sequence[Worker],
    others: dict[str, Sequence[Worker]],
    chosen: dict[str, int],
) -> None:
    peak = sum(answer["flops_per_s"] for answer in run_together(meters))
    answers = run_together(ours)
    rate = _rate(epoch, answers)
    note(bench, f"{name}_ours_samples_per_s", rate)
    note(bench, f"{name}_ours_cpu_s_a_sample", sum(answer["cpu_s"] for answer in answers) / (len(answers) * epoch.rows))
    note(bench, f"{name}_peak_gflops_per_s", peak / 1e9)
    for row, opponent in others.items():
        other = _rate(epoch, run_together(opponent, {"workers": chosen[row]}))
        note(bench, f"{row}_scripts_samples_per_s", other)
        bench.values.setdefault(row, []).append(rate / other)
    # An epoch of one step has no time from step to step.
    steps_s = [answer["step_s"] for answer in answers]
    if all(math.isfinite(step_s) for step_s in steps_s):
        achieved = sum(step_flops(epoch.task) / step_s for step_s in steps_s)
        bench.values.setdefault(f"{name}_peak", []).append(achieved / peak)
        note(bench, f"{name}_ours_step_s", sum(steps_s) / len(steps_s))


def _rate(epoch: Epoch, answers: Sequence[Message]) -> float:
    """Samples a second of all runs together, trained and tested on."""
    return sum(epoch.rows / float(answer["seconds"]) for answer in answers)


def note(bench: Bench, name: str, value: float) -> None:
    """Add a value to a fact that is a list."""
    bench.facts.setdefault(name, []).append(value)


def tensor_file_bytes(folder: Path) -> int:
    """Size of one sample as the published scripts keep it."""
    path = folder / "tensor.pt"
    torch.save(torch.zeros(5, 256, 256), path)
    return path.stat().st_size
