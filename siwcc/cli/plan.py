"""How long a study will take on this machine and how much disk, from a measurement of seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from siwcc.config import AnyDataset, Config, Kind, SignalDataset, TaskDataset, Train
from siwcc.data.datasets.folder_table import Table
from siwcc.data.datasets.manifest import raw_folder
from siwcc.data.tasks.interface import TaskSpec, task_module
from siwcc.inference.robustness.image import PERTURBATIONS
from siwcc.inference.robustness.interface import Perturbation
from siwcc.inference.robustness.signal import make_perturbations
from siwcc.io.console import tracked
from siwcc.io.data_layout import DataLayout
from siwcc.io.shards import read_shard
from siwcc.training.batches import usable_device
from siwcc.training.checkpoint import network_for
from siwcc.training.torch_setup import Adam, keep_large_buffers

# Facts of the complete sets (usable samples), for a study whose samples are not made yet.
_KNOWN_SAMPLES = {"vfdb": 236, "mitdb": 71, "sipakmed": 4023, "herlev": 917}
# Of the synthetic sets: usable events of a record, usable fraction of the cells.
_SYNTHETIC_SHARE: dict[Kind, float] = {"signal": 4.7, "image": 0.96, "volume": 1.0}
_ECG_CONTEXT_FACTOR = 3
_COMPRESSED_SHARE = 0.9
_SECONDS_A_JOB = 2.0
_SECONDS_AN_ECG_COPY = 0.001
_WARM_UP_STEPS = 2
_MEASURED_STEPS = 6


@dataclass(frozen=True)
class TaskPlan:
    """What one task of a study will take.

    Attributes:
        task: The task.
        samples: Usable samples.
        sample_source: Where that number comes from.
        runs: Networks to train.
        perturbed_predictions: Predictions for perturbed test samples.
        step_s: Seconds of one training step, mean over the study's variants.
        compute_s: Seconds of one process for all its jobs.
        disk_bytes: Samples and fold files.
        float_bytes: What float tensors of every copy would take, all encodings.
    """

    task: str
    samples: int
    sample_source: str
    runs: int
    perturbed_predictions: int
    step_s: float
    compute_s: float
    disk_bytes: int
    float_bytes: int


def plan_study(config: Config, data_root: Path) -> list[TaskPlan]:
    """Measure a few training steps of every task and extrapolate.

    Args:
        config: The study.
        data_root: Folder with `samples/`, looked at for the true number of samples.
    """
    keep_large_buffers()
    torch.set_num_threads(config.train.threads)
    return [_plan_task(config, task, data_root) for task in config.run]


def _plan_task(config: Config, task: str, data_root: Path) -> TaskPlan:
    settings, dataset = config.task(task), config.dataset_of(task)
    spec = task_module(settings.kind).make_spec(settings, dataset)
    counted = [_count_samples(name, section, data_root) for name, section in config.sections_of(task).items()]
    samples, source = sum(count for count, _ in counted), "; ".join(source for _, source in counted)
    rows = samples * settings.copies_per_sample
    perturbed = samples * _perturbed_cases(config, task, dataset) * len(config.encodings)
    runs = len(config.encodings) * config.folds * len(config.seeds)
    compute_s = 0.0
    step_s = []
    for variant in tracked(config.variants, f"training steps, {task}"):
        train = config.train.of(variant)
        of_a_step_s, of_a_batch_s = _measure_variant(config, spec, variant)
        compute_s += runs * _run_s(train, rows, config.folds, of_a_step_s, of_a_batch_s)
        compute_s += perturbed * len(config.seeds) * of_a_batch_s / train.batch_size
        step_s.append(of_a_step_s)
    if settings.kind == "signal":
        compute_s += (rows + perturbed * len(config.variants)) * _SECONDS_AN_ECG_COPY
    return TaskPlan(
        task=task,
        samples=samples,
        sample_source=source,
        runs=runs * len(config.variants),
        perturbed_predictions=perturbed * len(config.variants) * len(config.seeds),
        step_s=sum(step_s) / len(step_s),
        compute_s=compute_s,
        disk_bytes=_disk_bytes(spec, dataset, samples, rows),
        float_bytes=len(config.encodings) * rows * (spec.channels + len(spec.shape)) * _positions(spec) * 4,
    )


def _count_samples(name: str, dataset: AnyDataset, data_root: Path) -> tuple[int, str]:
    path = DataLayout(data_root).samples(name)
    if path.is_file():
        return len(read_shard(path, "samples", names=("sample_id",)).arrays["sample_id"]), str(path)
    if dataset.synthetic is not None:
        return round(dataset.synthetic.samples * _SYNTHETIC_SHARE[dataset.kind]), "estimate for synthetic data"
    if dataset.format == "folder":
        table = Table(dataset, raw_folder(name, dataset, DataLayout(data_root).raw))
        return len(table.rows), f"rows of {table.path}"
    if dataset.format != "wfdb":
        return _KNOWN_SAMPLES[dataset.format], f"the whole {dataset.format} set"
    # Takes 0.7 s to import.
    from siwcc.data.datasets.wfdb import count_events

    folder = raw_folder(name, dataset, DataLayout(data_root).raw)
    if dataset.path is None and dataset.checksums in _KNOWN_SAMPLES and not folder.is_dir():
        return _KNOWN_SAMPLES[dataset.checksums], f"the whole {dataset.checksums} set"
    return count_events(dataset, folder), f"events in {folder}"


def _perturbed_cases(config: Config, task: str, dataset: TaskDataset) -> int:
    """How often every test sample is perturbed: each strength of what the study names."""
    known: Sequence[Perturbation] = PERTURBATIONS
    if isinstance(dataset, SignalDataset) and dataset.kind == "signal":
        known = make_perturbations(len(dataset.leads), dataset.rate_hz)
    return sum(len(item.strengths) for item in known if item.name in config.perturbations_of(task))


def _run_s(train: Train, rows: int, folds: int, step_s: float, predict_s: float) -> float:
    """Seconds of one run: its steps, the predictions after each epoch and at the end, and the job around them."""
    tested = rows / folds
    trained = train.rows_per_epoch or rows - tested
    steps, predictions = train.epochs * trained / train.batch_size, (train.epochs + 1) * tested / train.batch_size
    return steps * step_s + predictions * predict_s + _SECONDS_A_JOB


def _measure_variant(config: Config, spec: TaskSpec, variant: str) -> tuple[float, float]:
    """Seconds of a training step and of predicting one batch."""
    device, train = usable_device(config.train.device), config.train.of(variant)
    network = network_for(spec, variant, config.encodings[-1], spec.channels).to(device)
    optimiser = Adam.for_network(network, train.learning_rate, device)
    signal = torch.randn(train.batch_size, spec.channels, *spec.shape, device=device)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        network(signal).square().mean().backward()
        optimiser.step()

    def predict() -> None:
        with torch.inference_mode():
            network(signal)

    return _seconds(step, device), _seconds(predict, device)


def _seconds(action: Callable[[], None], device: torch.device) -> float:
    for _ in range(_WARM_UP_STEPS):
        action()
    _wait_for(device)
    started_at = time.perf_counter()
    for _ in range(_MEASURED_STEPS):
        action()
    _wait_for(device)
    return (time.perf_counter() - started_at) / _MEASURED_STEPS


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _positions(spec: TaskSpec) -> int:
    positions = 1
    for size in spec.shape:
        positions *= size
    return positions


def _disk_bytes(spec: TaskSpec, dataset: TaskDataset, samples: int, rows: int) -> int:
    if dataset.kind == "signal":
        source = round(dataset.window_s * dataset.rate_hz)
        floats = samples * spec.channels * source * _ECG_CONTEXT_FACTOR + rows * spec.channels * _positions(spec)
        return round(4 * floats * _COMPRESSED_SHARE)
    if dataset.kind == "volume":
        return 4 * (samples + rows) * _positions(spec)
    pixels = samples * spec.channels * _positions(spec)
    return round(pixels * _COMPRESSED_SHARE + rows * 60)


def format_plan(plans: list[TaskPlan], config: Config, cores: int | None = None) -> str:
    """The plan as lines to read.

    Args:
        plans: From `plan_study`.
        config: The same study.
        cores: Cores that will work at once; this machine's when None.
    """
    cores = cores or os.cpu_count() or 1
    device = usable_device(config.train.device).type
    at_once = 1 if device != "cpu" else max(1, cores // config.train.threads)
    lines = [f"study {config.study} on {device}, {at_once} run(s) at once with {config.train.threads} thread(s) each"]
    for plan in plans:
        perturbed = (
            f"{plan.perturbed_predictions} predictions for perturbed samples, " if plan.perturbed_predictions else ""
        )
        lines.append(
            f"  {plan.task}: {plan.samples} samples ({plan.sample_source}), {plan.runs} networks, {perturbed}"
            f"{plan.step_s * 1e3:.0f} ms a step: "
            f"about {_duration(plan.compute_s / at_once)}; "
            f"disk {_size(plan.disk_bytes)} (as float tensors {_size(plan.float_bytes)})"
        )
    total_s = sum(plan.compute_s for plan in plans) / at_once
    disk = _size(sum(plan.disk_bytes for plan in plans))
    not_counted = "downloads and onsets in whole recordings" if config.onsets else "downloads"
    lines.append(f"  in all about {_duration(total_s)} and {disk}, {not_counted} not counted")
    return "\n".join(lines) + "\n"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
