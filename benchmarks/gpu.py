"""`python -m benchmarks.gpu`, or `make bench-gpu`: training on a GPU, compared with the reference implementation.

Each figure has next to it what `benchmarks.roofline` expects of the device. float32 without TF32 on both sides.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from benchmarks.data import REPOSITORY, fold_paths, paper_config, timed_environment, write_tensor_files
from benchmarks.measurements import QUICK_EPOCH, Bench, best_loader
from benchmarks.ours import least_seconds
from benchmarks.roofline import Bound, Roofline, Work, count_launches, forward_work, published, step_memory, step_work
from benchmarks.table import Target, lines_of, machine_facts, markdown_table, usable_cores, write_files
from benchmarks.workers import Message, Worker, rounds, run_together, started
from siwcc.data.augment.interface import augment_module
from siwcc.training.batches import DeviceBatches

COLUMNS = ("row", "what", "unit", "median", "low", "high", "count", "expected", "bound")
_HEAD = ["what", "median", "smallest to largest", "expected", "bound by"]
_TASKS = {"ecg": ("ecg", "ECG"), "image": ("nuclei", "images of 256 px")}
_OF_TASK = {
    "ours": Target("training and test, ours", "per_s"),
    "reference": Target("training and test, reference", "per_s"),
    "ratio": Target("ours : reference", "ratio"),
    "peak": Target("ours, fraction of the convolution peak", "fraction"),
    "memory": Target("ours, largest memory", "MB"),
    "batch": Target("ours, a batch made on the device", "ms"),
}
ROWS = {
    "peak": Target("convolution peak", "TFLOP/s"),
    "bandwidth": Target("copy in the device's memory, read and written", "GB/s"),
    **{
        f"{name}_{row}": target._replace(what=f"{title}: {target.what}")
        for name, (_, title) in _TASKS.items()
        for row, target in _OF_TASK.items()
    },
}
# Samples and copies: whole batches of 32. In an epoch of ECG 320 for training and 80 for the test; of images 16 and 4.
_EPOCH = {"ecg": (50, 256), "nuclei": (40, 16)}
_LOADER_WORKERS = (0, 2, 4, 8)
_COPIED_BYTES = {"cuda": 1 << 30, "cpu": 1 << 27}
# What a row should be, and what bounds it.
Expected = tuple[float, str]


def measure_bandwidth(connection: Connection, arguments: Message) -> None:
    """Role of a worker: bytes per second, read and written, of the fastest copy within the memory of `device`."""
    device = torch.device(arguments["device"])
    source = torch.zeros(_COPIED_BYTES[device.type] // 4, device=device)
    copy = torch.zeros_like(source)
    for _ in rounds(connection):
        connection.send({"bytes_per_s": 2 * source.nbytes / least_seconds(partial(copy.copy_, source), device)})


def time_batches(connection: Connection, arguments: Message) -> None:
    """Role of a worker: seconds per batch made on `device`, and its bytes and launches.

    Arguments: `task`, `folder` of two folds, `samples`, `device`.
    """
    module = augment_module(paper_config().task(arguments["task"]).kind)
    inputs = module.open_inputs([fold_paths(Path(arguments["folder"]))[1]], Path(arguments["samples"]), True)
    source, device = inputs.source("coord"), torch.device(arguments["device"])
    batches, size = DeviceBatches(inputs, source, device), paper_config().train.batch_size
    rows = np.arange(len(inputs.target))
    for _ in rounds(connection):
        seconds = least_seconds(lambda: deque(batches.over(rows, size), maxlen=0), device)
        launches = count_launches(lambda: next(batches.over(rows, size)))
        signal, _ = next(batches.over(rows, size))
        # Read as they are stored, written in float32.
        moved = signal.numel() * (source.arrays[0].itemsize + signal.itemsize)
        connection.send({"batch_s": seconds / math.ceil(len(rows) / size), "launches": launches, "bytes": moved})


def measure_device(bench: Bench, device: str) -> Roofline:
    """Rows `peak` and `bandwidth`; their largest values."""
    roles = ("ours:measure_peak", "gpu:measure_bandwidth")
    with started([Worker(role, {"device": device}) for role in roles]) as (peak, copy):
        for _ in range(1 + bench.pairs):
            bench.values["peak"].append(run_together([peak])[0]["flops_per_s"] / 1e12)
            bench.values["bandwidth"].append(run_together([copy])[0]["bytes_per_s"] / 1e9)
    return Roofline(1e12 * max(bench.values["peak"]), 1e9 * max(bench.values["bandwidth"]))


def measure_task(bench: Bench, name: str, device: str, roofline: Roofline) -> dict[str, Expected]:
    """The rows of a task, ours and the reference implementation in turn, and what is expected of them."""
    task = _TASKS[name][0]
    samples, (count, copies) = bench.sample_set(task), (QUICK_EPOCH if bench.quick else _EPOCH)[task]
    folder = samples.write_two_folds(count, copies, bench.folder / name)
    if task == "nuclei":
        write_tensor_files(folder, samples.path)
    arguments = bench.training(task, samples, folder) | {"device": device}
    roles = ("ours:train_ours", "reference:train_reference", "gpu:time_batches")
    rows, flops, epoch = _epoch(task, count, copies, roofline)
    with started([Worker(role, arguments) for role in roles]) as (ours, reference, maker):
        run_together([ours])
        numbers = [number for number in _LOADER_WORKERS if number <= usable_cores()]
        loader = {"workers": best_loader(bench, [reference], numbers)}
        for _ in range(bench.pairs):
            (reply,), (other,) = run_together([ours]), run_together([reference], loader)
            (made,) = run_together([maker])
            measured = {
                "ours": rows / reply["seconds"],
                "reference": rows / other["seconds"],
                "ratio": other["seconds"] / reply["seconds"],
                "peak": flops / reply["seconds"] / (1e12 * max(bench.values["peak"])),
                "memory": reply["memory_bytes"] / 1e6,
                "batch": 1e3 * made["batch_s"],
            }
            for row, value in measured.items():
                bench.values[f"{name}_{row}"].append(value)
    batch = roofline.bound(Work(0, made["bytes"], made["launches"]))
    return {
        f"{name}_ours": (rows / epoch.seconds, epoch.name),
        f"{name}_reference": (rows / epoch.seconds, epoch.name),
        f"{name}_peak": (flops / epoch.seconds / (1e12 * max(bench.values["peak"])), epoch.name),
        f"{name}_memory": (step_memory(task) / 1e6, "at least"),
        f"{name}_batch": (1e3 * batch.seconds, batch.name),
    }


def _epoch(task: str, count: int, copies: int, roofline: Roofline) -> tuple[int, float, Bound]:
    """Rows of an epoch, training and test, its operations, and its least time, which is bound as a step is."""
    size, tested = paper_config().train.batch_size, count // 5 * copies
    steps, tests = (count * copies - tested) // size, math.ceil(tested / size)
    step, forward = step_work(task), forward_work(task)
    least = roofline.bound(step)
    seconds = steps * least.seconds + tests * roofline.bound(forward).seconds
    return count * copies, steps * step.flops + tests * forward.flops, Bound(seconds, least.name)


def write_gpu_results(bench: Bench, facts: Message, expected: dict[str, Expected], folder: Path) -> str:
    """Write `bench_gpu.csv`, `.md` and `.json`, and return the table as Markdown."""
    machine, cells, rows = machine_facts(), [_HEAD], []
    for line in lines_of(bench.values, ROWS):
        target, (value, bound) = ROWS[line.row], expected.get(line.row, (None, ""))
        cells.append([*line.measured_cells(target), target.shown(value), bound])
        rows.append([*line.values(target), "" if value is None else f"{value:.6g}", bound])
    foot = (
        f"{facts['device']}, expected at {facts['peak_tflops']:.3g} TFLOP/s and {facts['bandwidth_gb_s']:.3g} GB/s "
        f"({facts['source']}); torch {machine['torch']}, {bench.pairs} pair(s){', quick' if bench.quick else ''}."
    )
    table = markdown_table(cells, foot)
    content = {"machine": machine, "device": facts, "values": bench.values, "expected": expected}
    write_files(folder / "bench_gpu", COLUMNS, rows, content, table)
    return table


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a self-test (default: cuda)")
    parser.add_argument("--quick", action="store_true", help="small rounds: does it work, not how fast is it")
    parser.add_argument("--pairs", type=int, help="rounds of each side (default: 5, quick: 1)")
    shown = "float32 rate without tensor cores, {} (default: published, or measured for a device that is not known)"
    parser.add_argument("--peak-tflops", type=float, metavar="X", help=shown.format("TFLOP/s"))
    shown = shown.replace("float32 rate without tensor cores", "memory bandwidth")
    parser.add_argument("--bandwidth-gb-s", type=float, metavar="X", help=shown.format("GB/s"))
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/out", help="default: benchmarks/out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both tasks.

    Returns:
        0; 2 if there is no such device.
    """
    options = _options(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here; for a self-test: make bench-gpu BENCH='--device cpu --quick'", file=sys.stderr)
        return 2
    # For all processes started here.
    environment = timed_environment()
    os.environ.clear()
    os.environ.update(environment)
    name = torch.cuda.get_device_name() if options.device == "cuda" else machine_facts()["cpu"]
    with tempfile.TemporaryDirectory(prefix="siwcc-bench-") as folder:
        bench = Bench(Path(folder), options.quick, options.pairs or (1 if options.quick else 5), runs=1)
        measured, known = measure_device(bench, options.device), published(name)
        roofline, source = known or measured, "measured" if known is None else "published"
        if options.peak_tflops:
            roofline, source = roofline._replace(flops_per_s=1e12 * options.peak_tflops), "given"
        if options.bandwidth_gb_s:
            roofline, source = roofline._replace(bytes_per_s=1e9 * options.bandwidth_gb_s), "given"
        facts = {"device": name, "source": source, "quick": options.quick, "pairs": bench.pairs}
        facts |= {"peak_tflops": roofline.flops_per_s / 1e12, "bandwidth_gb_s": roofline.bytes_per_s / 1e9}
        expected = {"peak": (facts["peak_tflops"], source), "bandwidth": (facts["bandwidth_gb_s"], source)}
        for each in _TASKS:
            expected |= measure_task(bench, each, options.device, roofline)
    print(write_gpu_results(bench, facts, expected, options.out))
    print(f"written: {options.out / 'bench_gpu'}.md, .csv and .json", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
