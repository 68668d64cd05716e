"""What the families of measurements share: options, scratch folder, samples, and the values measured so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.made import RECORDS, SampleSet, make_set

_CELLS = {True: 60, False: 320}


@dataclass
class Bench:
    """One call of the benchmark.

    Attributes:
        folder: Scratch, removed at the end.
        quick: Smaller rounds, to see that everything works.
        pairs: Rounds of each side.
        runs: Trainings side by side, each on a core of its own.
        given: Samples files of real data, by task.
        values: What was measured, by row of `TARGETS`: one value a pair or repeat.
        facts: Further numbers, for `bench.json`: rates, sizes, settings.
    """

    folder: Path
    quick: bool
    pairs: int
    runs: int
    given: dict[str, SampleSet] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    _made: dict[str, SampleSet] = field(default_factory=dict)

    def made_set(self, task: str) -> SampleSet:
        """Made-up samples of the paper's size, made when first asked for."""
        if task not in self._made:
            count = RECORDS if task == "ecg" else _CELLS[self.quick]
            self._made[task] = make_set(task, self.folder, count)
        return self._made[task]

    def sample_set(self, task: str) -> SampleSet:
        """Real samples where they were given, else made-up ones."""
        return self.given.get(task) or self.made_set(task)

    def scratch(self, name: str) -> Path:
        """A new folder."""
        path = self.folder / name
        path.mkdir(parents=True)
        return path
