"""Roles of a worker that need no reference implementation: a training of ours, and the convolution peak."""

from __future__ import annotations

import logging
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.data import SEED, fold_paths, paper_config
from benchmarks.workers import Message, rounds
from siwcc.io.run_key import RunKey
from siwcc.training.run import RunFiles, train_run
from siwcc.training.torch_setup import keep_large_buffers

_ENDLESS = 10_000
# Of a 3 x 3 convolution 128 -> 128: (batch, height and width) of which some fit a core's caches.
_PEAK_SIZES = ((8, 32), (32, 32), (2, 64), (8, 64))
# Some fill a GPU.
_DEVICE_PEAK_SIZES = ((32, 64), (128, 64), (512, 32))
_PEAK_REPEATS = 5


class _StopRunError(Exception):
    """The driver has ended the worker."""


class EpochGate(logging.Handler):
    """Holds `train_run` at the line that it logs after each epoch, until the driver asks for the next epoch.

    So the package's own loop is timed, with its evaluation and its saved state.
    """

    def __init__(self, connection: Connection, stop_after_steps: int | None, device: str) -> None:
        super().__init__(logging.INFO)
        self._device = device
        self._stop_after_steps = stop_after_steps
        self._connection = connection
        self._rounds = rounds(connection)
        self._steps_at_s: list[float] = []
        register_optimizer_step_post_hook(self._note_step)

    def _note_step(self, *_: object) -> None:
        self._steps_at_s.append(time.perf_counter())
        if len(self._steps_at_s) == self._stop_after_steps:
            seconds = time.perf_counter() - self._started_at
            self._connection.send({"seconds": seconds, "peak_rss_bytes": peak_rss_bytes()})
            raise _StopRunError

    def wait(self) -> None:
        """Until the driver asks for a round."""
        if next(self._rounds, None) is None:
            raise _StopRunError
        self._steps_at_s.clear()
        self._started_at, self._cpu_at = time.perf_counter(), time.process_time()

    def emit(self, record: logging.LogRecord) -> None:
        """Report the epoch that has ended, then wait."""
        if ": epoch " not in record.getMessage():
            return
        reply = {"seconds": time.perf_counter() - self._started_at, "cpu_s": time.process_time() - self._cpu_at}
        steps_s = np.diff(self._steps_at_s).tolist()
        reply["step_s"] = statistics.median(steps_s) if steps_s else float("nan")
        reply["memory_bytes"] = peak_bytes(self._device)
        self._connection.send(reply)
        self.wait()


def train_ours(connection: Connection, arguments: Message) -> None:
    """One epoch of `siwcc.training.run.train_run` per round.

    Arguments: `task`, `folder` of two folds, `samples`, `compiled`, where what torch compiles is kept, `device`; with
    `stop_after_steps`, the seconds and the peak memory after so many steps, once.
    """
    device = arguments.get("device", "cpu")
    gate = EpochGate(connection, arguments.get("stop_after_steps"), device)
    logger = logging.getLogger("siwcc.training.run")
    logger.setLevel(logging.INFO)
    logger.addHandler(gate)
    settings = paper_config().train.model_copy(update={"epochs": _ENDLESS, "device": device, "threads": 1})
    folder = Path(arguments["folder"])
    try:
        gate.wait()
        with tempfile.TemporaryDirectory(dir=folder) as out:
            key = RunKey(arguments["task"], "coord", "full", 1, SEED)
            files = RunFiles.in_folder(Path(out))
            compiled = Path(arguments["compiled"])
            train_run(key, fold_paths(folder), Path(arguments["samples"]), settings, files, compiled_folder=compiled)
    except _StopRunError:
        return
    raise RuntimeError("train_run ended before the driver asked for it: does it still log one line per epoch?")


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: on Linux its peak starts with that of the parent process.
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_bytes(device: str) -> int:
    """Largest memory so far of this process: allocated on a GPU, resident on a CPU."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else peak_rss_bytes()


def measure_peak(connection: Connection, arguments: Message) -> None:
    """Operations per second of the fastest convolution on this core, or `device`; the first round finds its shape."""
    device = torch.device(arguments.get("device", "cpu"))
    keep_large_buffers()
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    layouts = (torch.contiguous_format, torch.channels_last)
    sizes = _PEAK_SIZES if device.type == "cpu" else _DEVICE_PEAK_SIZES
    cases = [_convolution(*size, layout, device) for size in sizes for layout in layouts]
    for _ in rounds(connection):
        rates = [flops / least_seconds(partial(layer, signal), device) for layer, signal, flops in cases]
        cases = [cases[rates.index(max(rates))]]
        connection.send({"flops_per_s": max(rates)})


def _convolution(
    batch: int, size: int, layout: torch.memory_format, device: torch.device
) -> tuple[nn.Conv2d, Tensor, int]:
    # With its input and its forward operations.
    layer = nn.Conv2d(128, 128, 3, padding=1).to(device, memory_format=layout)  # type: ignore[call-overload]
    signal = torch.randn(batch, 128, size, size, device=device).contiguous(memory_format=layout)
    return layer, signal, 2 * batch * size * size * 128 * 128 * 9


@torch.inference_mode()
def least_seconds(call: Callable[[], object], device: torch.device) -> float:
    """Time of the fastest of some calls after a first one, until the device is done."""
    call()
    wait_for(device)
    seconds = []
    for _ in range(_PEAK_REPEATS):
        started_at = time.perf_counter()
        call()
        wait_for(device)
        seconds.append(time.perf_counter() - started_at)
    return min(seconds)


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
