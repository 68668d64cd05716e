"""The table, in the terminal and as files."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.bench import Bench
from benchmarks.processes import usable_cores
from benchmarks.targets import TARGETS, Target
from siwcc.io.files import write_csv, write_text

COLUMNS = ("row", "what", "unit", "median", "low", "high", "count", "must", "aim", "reached")
GROWTH_COLUMNS = ("task", "axis", "factor", "quantity", "value")


@dataclass(frozen=True)
class Line:
    """One row of the table with its median and its smallest and largest value."""

    row: str
    target: Target
    median: float
    low: float
    high: float
    count: int

    def cells(self) -> list[str]:
        """As shown to people."""
        target = self.target
        spread = "" if self.count == 1 else f"{target.shown(self.low)} to {target.shown(self.high)}"
        limits = [target.shown(target.must), target.shown(target.aim)]
        return [target.what, target.shown(self.median), spread, *limits, target.verdict(self.median)]


def lines_of(values: Mapping[str, Sequence[float]]) -> list[Line]:
    """What was measured, in the table's order."""
    return [
        Line(row, target, statistics.median(values[row]), min(values[row]), max(values[row]), len(values[row]))
        for row, target in TARGETS.items()
        if values.get(row)
    ]


def print_table(lines: Sequence[Line]) -> None:
    """The table in the terminal."""
    table = Table("what", "median", "smallest to largest", "must", "aim", "reached")
    for line in lines:
        table.add_row(*line.cells())
    # A pipe has no width of its own, and rich would take 80 letters.
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def write_results(bench: Bench, folder: Path) -> list[Line]:
    """Write `bench.csv`, `bench.md`, `bench.json` and `growth.csv`, and return the table's lines."""
    lines = lines_of(bench.values)
    write_csv(folder / "bench.csv", COLUMNS, [_csv_row(line) for line in lines])
    write_text(folder / "bench.md", _markdown(lines, bench))
    facts = {name: value for name, value in bench.facts.items() if name != "growth"}
    settings = {name: getattr(bench, name) for name in ("quick", "pairs", "runs")}
    settings["data"] = {task: samples.name for task, samples in bench.given.items()} or "made up"
    content = {"machine": machine_facts(), "settings": settings, "values": bench.values, "facts": facts}
    write_text(folder / "bench.json", json.dumps(content, indent=1, sort_keys=True) + "\n")
    growth = bench.facts.get("growth", [])
    if growth:
        write_csv(folder / "growth.csv", GROWTH_COLUMNS, [[row[name] for name in GROWTH_COLUMNS] for row in growth])
    return lines


def _csv_row(line: Line) -> list[object]:
    target = line.target
    numbers = [f"{value:.6g}" for value in (line.median, line.low, line.high)]
    limits = ["" if limit is None else limit for limit in (target.must, target.aim)]
    return [line.row, target.what, target.unit, *numbers, line.count, *limits, target.verdict(line.median)]


def _markdown(lines: Sequence[Line], bench: Bench) -> str:
    machine = machine_facts()
    rows = ["| " + " | ".join(line.cells()) + " |" for line in lines]
    head = ["| what | median | smallest to largest | must | aim | reached |", "|---|---|---|---|---|---|"]
    foot = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, torch {machine['torch']}; "
        f"{bench.runs} training(s) side by side, {bench.pairs} pairs{', quick' if bench.quick else ''}."
    )
    return "\n".join([*head, *rows, "", foot]) + "\n"


def machine_facts() -> dict[str, Any]:
    """What the figures depend on, without names of machines, people or folders."""
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cxx_compiler": shutil.which(os.environ.get("CXX", "g++")) is not None,
        # Of the last minute: with other work on the machine the figures mean little.
        "load_average": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
