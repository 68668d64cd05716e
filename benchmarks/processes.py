"""Workers: a process for each side of a comparison, kept between rounds so that both can be run in turn.

The driver writes one JSON line for a round, the worker answers with one when it is done:

    driver   {"role": ..., "core": 0, "arguments": {...}}      {}            (end of input)
    worker                                        {"ready"}       {"seconds"}   ends
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parent.parent
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SHOWN_OF_LOG = 2000

Message = dict[str, Any]


class Channel:
    """The worker's end: JSON lines in and out."""

    def __init__(self, source: IO[str], sink: IO[str]) -> None:
        self._source = source
        self._sink = sink

    def receive(self) -> Message | None:
        """The next message; None when the driver has closed its end."""
        line = self._source.readline()
        return json.loads(line) if line else None

    def send(self, message: Message) -> None:
        """Answer the driver."""
        self._sink.write(json.dumps(message) + "\n")
        self._sink.flush()


class Worker:
    """The driver's end of a worker process.

    Args:
        role: A key of `benchmarks.worker.ROLES`.
        arguments: Given to the role; JSON.
        core: Pins the process to this entry of the cores that the driver may use; None leaves it free.
        threads: Of torch and of the BLAS.
    """

    def __init__(self, role: str, arguments: Message, core: int | None = None, threads: int = 1) -> None:
        self.role = role
        # Closed with the process; a log that fills a pipe nobody reads would stop the worker.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=worker_environment(threads),
        )
        self.send({"role": role, "core": core, "arguments": arguments | {"threads": threads}})

    def send(self, message: Message) -> None:
        """Ask for a round without waiting for its end."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(self._failure()) from None

    def receive(self) -> Message:
        """Wait for the answer.

        Raises:
            RuntimeError: the worker ended; with the end of its log.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(self._failure())
        answer: Message = json.loads(line)
        return answer

    def _failure(self) -> str:
        self._process.wait()
        self._log.seek(0)
        return f"worker {self.role!r} ended with {self._process.returncode}: {self._log.read()[-_SHOWN_OF_LOG:]}"

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def worker_environment(threads: int) -> dict[str, str]:
    """This process' environment with the number of threads fixed and the repository importable."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    fixed = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "SNAKEMAKE"))}
    return kept | fixed | {"PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def started(workers: Sequence[Worker]) -> Iterator[Sequence[Worker]]:
    """Workers that have loaded what they need; all are ended at the end."""
    try:
        for worker in workers:
            worker.receive()
        yield workers
    finally:
        for worker in workers:
            worker.close()


def run_together(workers: Sequence[Worker], message: Message | None = None) -> list[Message]:
    """One round of several workers at the same time."""
    for worker in workers:
        worker.send(message or {})
    return [worker.receive() for worker in workers]


def pin_to(core: int | None) -> None:
    """Keep this process and its children on one of the cores it may use, where the system can do that."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[core % len(allowed)]})


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
