"""Roles of a worker that need no reference implementation: a training of ours, and the convolution peak."""

from __future__ import annotations

import logging
import resource
import statistics
import sys
import tempfile
import time
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
_PEAK_REPEATS = 5


class _StopRunError(Exception):
    """The driver has ended the worker."""


class EpochGate(logging.Handler):
    """Holds `train_run` at the line that it logs after each epoch, until the driver asks for the next epoch.

    So the package's own loop is timed, with its evaluation and its saved state.
    """

    def __init__(self, connection: Connection, stop_after_steps: int | None) -> None:
        super().__init__(logging.INFO)
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
        self._connection.send(reply)
        self.wait()


def train_ours(connection: Connection, arguments: Message) -> None:
    """One epoch of `siwcc.training.run.train_run` per round; arguments: `task`, `folder` of two folds, `samples`.

    What torch compiles goes to the folder `compiled`. With `stop_after_steps`, the seconds and the peak memory after so
    many steps, once.
    """
    gate = EpochGate(connection, arguments.get("stop_after_steps"))
    logger = logging.getLogger("siwcc.training.run")
    logger.setLevel(logging.INFO)
    logger.addHandler(gate)
    settings = paper_config().train.model_copy(update={"epochs": _ENDLESS, "device": "cpu", "threads": 1})
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


def measure_peak(connection: Connection, _: Message) -> None:
    """Operations per second of the fastest convolution on this core; the first round finds its size and layout."""
    keep_large_buffers()
    torch.set_num_threads(1)
    layouts = (torch.contiguous_format, torch.channels_last)
    cases = [_convolution(*size, layout) for size in _PEAK_SIZES for layout in layouts]
    for _ in rounds(connection):
        rates = [_fastest(*case) for case in cases]
        cases = [cases[rates.index(max(rates))]]
        connection.send({"flops_per_s": max(rates)})


def _convolution(batch: int, size: int, layout: torch.memory_format) -> tuple[nn.Conv2d, Tensor, int]:
    # With its input and its forward operations.
    layer = nn.Conv2d(128, 128, 3, padding=1).to(memory_format=layout)  # type: ignore[call-overload]
    signal = torch.randn(batch, 128, size, size).contiguous(memory_format=layout)
    return layer, signal, 2 * batch * size * size * 128 * 128 * 9


@torch.inference_mode()
def _fastest(layer: nn.Conv2d, signal: Tensor, flops: int) -> float:
    layer(signal)
    seconds = []
    for _ in range(_PEAK_REPEATS):
        started_at = time.perf_counter()
        layer(signal)
        seconds.append(time.perf_counter() - started_at)
    return flops / min(seconds)
