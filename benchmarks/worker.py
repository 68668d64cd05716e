"""A worker process: `python -m benchmarks.worker`, spoken to by `benchmarks.processes.Worker`."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from benchmarks.processes import Channel, pin_to

# Where each role stands.
ROLES = {
    "train_ours": "roles",
    "measure_peak": "roles",
    "write_and_open": "roles",
    "count_opened": "roles",
    "train_published": "opponent",
    "augment_windows": "opponent",
}


def main() -> None:
    """Take the role that the first line names and play it until the driver closes its end."""
    # What libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    channel = Channel(sys.stdin, answers)
    task = channel.receive()
    assert task is not None
    pin_to(task["core"])
    # After pinning: torch counts the cores when it is imported.
    module = import_module(f"benchmarks.{ROLES[task['role']]}")
    getattr(module, task["role"])(channel, task["arguments"])


if __name__ == "__main__":
    main()
