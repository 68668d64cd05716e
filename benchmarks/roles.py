"""What a worker process can be: one side of a comparison, or a meter."""

from __future__ import annotations

import logging
import re
import resource
import statistics
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from benchmarks.flops import PeakMeter
from benchmarks.made import SEED, fold_paths, open_set, paper_config
from benchmarks.processes import Channel, Message
from siwcc.data.augment.interface import augment_module
from siwcc.io.run_key import RunKey
from siwcc.training.run import RunFiles, train_run
from siwcc.training.torch_setup import keep_large_buffers

_EPOCH_LINE = re.compile(r"epoch \d+/\d+")
_ENDLESS = 10_000


class _StopRunError(Exception):
    """The driver has closed its end, or has what it wanted."""


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: on Linux its peak starts with that of the process that started this one.
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class StepClock:
    """Time of every optimiser step in this process, whichever code makes it."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        register_optimizer_step_post_hook(self._note)

    def _note(self, optimiser: Optimizer, args: object, kwargs: object) -> None:
        self.times_s.append(time.perf_counter())

    def take(self) -> float:
        """Median seconds from one step to the next since the last call; NaN for fewer than two."""
        times_s, self.times_s = self.times_s, []
        return statistics.median(np.diff(times_s).tolist()) if len(times_s) > 1 else float("nan")


class EpochGate(logging.Handler):
    """Holds `train_run` at the line that it logs after each epoch, until the driver asks for the next.

    So what is timed is the package's own loop, whole, evaluation and saved state included.
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.INFO)
        self._channel = channel
        self._clock = StepClock()
        self._started_at = self._cpu_at = 0.0

    def wait(self) -> None:
        """Until the driver asks for a round."""
        if self._channel.receive() is None:
            raise _StopRunError
        self._clock.take()
        self._started_at, self._cpu_at = time.perf_counter(), time.process_time()

    def emit(self, record: logging.LogRecord) -> None:
        """Report the epoch that has ended, then wait."""
        if _EPOCH_LINE.search(record.getMessage()):
            seconds, cpu_s = time.perf_counter() - self._started_at, time.process_time() - self._cpu_at
            answer = {"seconds": seconds, "cpu_s": cpu_s, "step_s": self._clock.take()}
            self._channel.send(answer | {"peak_rss_bytes": peak_rss_bytes()})
            self.wait()


def train_ours(channel: Channel, arguments: Message) -> None:
    """An epoch of `siwcc.training.run.train_run` a round, with the study's own settings.

    Args:
        channel: To the driver.
        arguments: `task`, `folder` (of two folds), `samples`, `threads`; optional `stop_after_steps`, to answer once
            with the peak memory after so many steps.
    """
    gate = EpochGate(channel)
    logger = logging.getLogger("siwcc.training.run")
    logger.setLevel(logging.INFO)
    logger.addHandler(gate)
    if steps := arguments.get("stop_after_steps"):
        _stop_after(steps, channel)
    changes = {"epochs": _ENDLESS, "device": "cpu", "threads": arguments["threads"]}
    settings = paper_config().train.model_copy(update=changes)
    folder = Path(arguments["folder"])
    channel.send({"ready": True})
    try:
        gate.wait()
        with tempfile.TemporaryDirectory(dir=folder) as out:
            files = RunFiles.in_folder(Path(out))
            key = RunKey(arguments["task"], "coord", "full", 1, SEED)
            train_run(key, fold_paths(folder), Path(arguments["samples"]), settings, files)
    except _StopRunError:
        return
    raise RuntimeError("train_run ended without the driver asking for it: does it still log a line an epoch?")


def _stop_after(steps: int, channel: Channel) -> None:
    done = 0

    def count(optimiser: Optimizer, args: object, kwargs: object) -> None:
        nonlocal done
        done += 1
        if done == steps:
            channel.send({"peak_rss_bytes": peak_rss_bytes()})
            raise _StopRunError

    register_optimizer_step_post_hook(count)


def measure_peak(channel: Channel, arguments: Message) -> None:
    """The convolution peak of this process' core, a measurement a round."""
    keep_large_buffers()
    torch.set_num_threads(arguments["threads"])
    meter = PeakMeter()
    channel.send({"ready": True})
    while channel.receive() is not None:
        channel.send({"flops_per_s": meter.flops_per_s()})


def write_and_open(channel: Channel, arguments: Message) -> None:
    """Write a whole fold file a round and open it again as a training does; CPU seconds a variant.

    Args:
        channel: To the driver.
        arguments: `samples`, `windows`, `variants`, `folder`.
    """
    samples, folder = open_set(Path(arguments["samples"])), Path(arguments["folder"])
    sample_ids = samples.sample_ids[: arguments["windows"]]
    rows = len(sample_ids) * arguments["variants"]
    channel.send({"ready": True})
    while channel.receive() is not None:
        started_at = time.process_time()
        path = samples.write_fold(sample_ids, arguments["variants"], 1, folder)
        written_at = time.process_time()
        augment_module(samples.task).open_inputs([path], samples.path, augmented_only=True)
        opened_at = time.process_time()
        channel.send({"write_s": (written_at - started_at) / rows, "open_s": (opened_at - written_at) / rows})


def count_opened(channel: Channel, arguments: Message) -> None:
    """Open two folds as a training does and say what stays allocated, counted by Python, images included.

    Args:
        channel: To the driver.
        arguments: `task`, `folder`, `samples`.
    """
    augment = augment_module(arguments["task"])
    paths, samples_path = fold_paths(Path(arguments["folder"])), Path(arguments["samples"])
    channel.send({"ready": True})
    while channel.receive() is not None:
        tracemalloc.start()
        inputs = augment.open_inputs(paths, samples_path, augmented_only=True)
        channel.send({"bytes": tracemalloc.get_traced_memory()[0], "rows": len(inputs.target)})
        tracemalloc.stop()
