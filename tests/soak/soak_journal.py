"""What jobs did, as they noted it themselves, and what must not be found there: two writers, an epoch too many.

`spy/sitecustomize.py` writes the journal. What it cannot see: writes of compiled code that opens files by itself
(here that is HDF5 alone, whose part is opened, locked and emptied by Python first). When a process has ended is
known to within one look at it, some hundredths of a second: an overlap that is shorter can be missed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil


class Event(NamedTuple):
    """A line of the journal."""

    at_ns: int
    kind: str
    fields: tuple[str, ...]


@dataclass
class Job:
    """A process that runs a rule's script; `seen_ns` is when it was last seen alive."""

    rule: str
    pid: int
    started_ns: int
    seen_ns: int
    process: psutil.Process | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.process is not None

    def look(self) -> None:
        """Forget the process if it has ended, else note that it lives."""
        now_ns = time.monotonic_ns()
        if self.process is None:
            return
        try:
            # A process that has ended is a zombie until its parent asks for its status.
            if self.process.status() != psutil.STATUS_ZOMBIE and self.process.is_running():
                self.seen_ns = now_ns
                return
        except psutil.NoSuchProcess:
            pass
        self.process = None


class Span(NamedTuple):
    """From when to when a job wrote a file, or trained a run."""

    target: str
    begin_ns: int
    end_ns: int
    job: int


class Journal:
    """The jobs of a study so far, in the order in which they started."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.jobs: list[Job] = []
        self._read = 0
        self._of_pid: dict[int, Job] = {}

    def poll(self) -> list[Job]:
        """Take in what is new and look at every job that was alive; the jobs that have started since."""
        before = len(self.jobs)
        for at_ns, pid, kind, fields in self._new_lines():
            if kind == "start":
                self._of_pid[pid] = Job(fields[0], pid, at_ns, at_ns, _process(pid))
                self.jobs.append(self._of_pid[pid])
            else:
                self._of_pid[pid].events.append(Event(at_ns, kind, fields))
        for job in self.alive():
            job.look()
        return self.jobs[before:]

    def alive(self) -> list[Job]:
        return [job for job in self.jobs if job.alive]

    def _new_lines(self) -> Iterator[tuple[int, int, str, tuple[str, ...]]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as handle:
            handle.seek(self._read)
            content = handle.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            at_ns, pid, kind, *fields = line.split("\t")
            yield int(at_ns), int(pid), kind, tuple(fields)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def spans(jobs: Iterable[Job]) -> list[Span]:
    """When each job wrote each file and trained each run.

    A file that appears by renaming is written until then; any other, and a run, until the job has ended.
    """
    found = []
    for number, job in enumerate(jobs):
        begun: dict[str, int] = {}
        for event in job.events:
            target = event.fields[0]
            if event.kind == "done":
                found.append(Span(target, begun.pop(target, event.at_ns), event.at_ns, number))
            else:
                begun.setdefault(target, event.at_ns)
        found += [Span(target, at_ns, max(at_ns, job.seen_ns), number) for target, at_ns in begun.items()]
    return found


def two_writers(jobs: Iterable[Job]) -> list[tuple[Span, Span]]:
    """Spans of two jobs at one target at one time."""
    by_target: dict[str, list[Span]] = defaultdict(list)
    for span in spans(jobs):
        by_target[span.target].append(span)
    found = []
    for of_target in by_target.values():
        of_target.sort(key=lambda span: span.begin_ns)
        for number, first in enumerate(of_target):
            found += [
                (first, other)
                for other in of_target[number + 1 :]
                if other.begin_ns < first.end_ns and other.job != first.job
            ]
    return found


class Epochs(NamedTuple):
    """The epochs of one run over all its jobs."""

    begun: int
    distinct: int
    worst_repeated: int


def epochs_by_run(jobs: Iterable[Job]) -> dict[str, Epochs]:
    """For every run how many epochs were begun, how many different ones, and the most that one job repeated."""
    by_run: dict[str, list[list[int]]] = defaultdict(list)
    for job in jobs:
        of_job: dict[str, list[int]] = defaultdict(list)
        for event in job.events:
            if event.kind == "epoch":
                of_job[event.fields[0]].append(int(event.fields[1]))
        for run, numbers in of_job.items():
            by_run[run].append(numbers)
    found = {}
    for run, attempts in by_run.items():
        seen: set[int] = set()
        worst = 0
        for numbers in attempts:
            worst = max(worst, len(seen.intersection(numbers)))
            seen.update(numbers)
        found[run] = Epochs(sum(map(len, attempts)), len(seen), worst)
    return found
