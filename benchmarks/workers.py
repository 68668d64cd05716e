"""Worker processes, one for each side of a comparison. They stay between rounds, so that the sides run in turn."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

_CONTEXT = multiprocessing.get_context("spawn")
Message = dict[str, Any]


class Worker:
    """The driver's end of a process with one role.

    Args:
        role: `module:function` in this package; the function takes a connection and `arguments`.
        arguments: Settings of the role.
        core: Pins the process to this entry of the cores that the driver may use; None does not pin it.
    """

    def __init__(self, role: str, arguments: Message, core: int | None = None) -> None:
        self.role = role
        self._connection, other_end = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(role, arguments, core, other_end))
        self._process.start()
        other_end.close()

    def send(self, message: Message | None) -> None:
        """Ask for a round without waiting for its end; None ends the worker."""
        # The error of a worker that has failed is raised by `receive`.
        with suppress(BrokenPipeError):
            self._connection.send(message)

    def receive(self) -> Message:
        """Wait for the end of the round.

        Raises:
            RuntimeError: the worker failed; with its traceback.
        """
        try:
            reply: Message = self._connection.recv()
        except EOFError:
            raise RuntimeError(f"worker {self.role}: the process ended") from None
        if "error" in reply:
            raise RuntimeError(f"worker {self.role}: {reply['error']}")
        return reply

    def close(self) -> None:
        """End the process."""
        self.send(None)
        self._process.join(timeout=20)
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(role: str, arguments: Message, core: int | None, connection: Connection) -> None:
    if core is not None and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[core % len(allowed)]})
    module, function = role.split(":")
    try:
        # After pinning: torch counts the cores when it is imported.
        getattr(import_module(f"benchmarks.{module}"), function)(connection, arguments)
    except Exception:
        connection.send({"error": traceback.format_exc()})


def rounds(connection: Connection) -> Iterator[Message]:
    """Report that the role is ready, then yield the message of each round until the driver ends the worker."""
    connection.send({})
    while (message := connection.recv()) is not None:
        yield message


@contextmanager
def started(workers: Sequence[Worker]) -> Iterator[Sequence[Worker]]:
    """Workers that are ready; all are ended at the end."""
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
