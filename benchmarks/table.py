"""The rows of the table: what is measured, what must be reached, what is aimed at; and the files that show them."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import psutil
import torch

from benchmarks.measurements import Bench
from siwcc.io.files import write_csv, write_text
from siwcc.report.figures.style import BLUE, INK, MUTED, new_figure, save_figure_as, style_axis

COLUMNS = ("row", "what", "unit", "median", "low", "high", "count", "must", "aim", "reached")
# How a value of each unit is shown: a ratio ours : reference or, of bytes, one : theirs; a fraction of one; others.
_FORMS = {"ratio": "{:.2f}x", "fraction": "{:.0%}", "s": "{:.2f} s", "GB": "{:.2f} GB", "one_to": "1 : {:.0f}"}
_FORMS |= {
    "MB": "{:.0f} MB",
    "ms": "{:.3g} ms",
    "per_s": "{:,.0f} / s",
    "TFLOP/s": "{:.3g} TFLOP/s",
    "GB/s": "{:.0f} GB/s",
}

_LABEL_CHARACTERS = 34


class Target(NamedTuple):
    """What a row measures, its unit, the worst value accepted, the value hoped for. None: the row is only shown."""

    what: str
    unit: str
    must: float | None = None
    aim: float | None = None
    lower_is_better: bool = False

    def verdict(self, value: float) -> str:
        """`aim`, `must` or `not reached`; empty for a row without a target."""
        if self.must is None or self.aim is None:
            return ""
        for name, limit in (("aim", self.aim), ("must", self.must)):
            if value <= limit if self.lower_is_better else value >= limit:
                return name
        return "not reached"

    def shown(self, value: float | None) -> str:
        """A value of this row with its unit."""
        return "" if value is None else _FORMS[self.unit].format(value)


TARGETS = {
    "ecg": Target("ECG training, samples per second, side by side, ours : reference", "ratio", 4.8, 6),
    "ecg_peak": Target("ECG training step, fraction of the convolution peak", "fraction", 0.34, 0.40),
    "image": Target("image training at 256 px, ours : reference as it is", "ratio", 4, 6),
    "image_tuned": Target("image training at 256 px, ours : reference with a tuned allocator", "ratio", 2.3, 2.6),
    "image_peak": Target("image training step, fraction of the convolution peak", "fraction", 0.58, 0.65),
    "augment": Target("ECG augmentation and decimation of a copy, one thread, ours : scipy", "ratio", 3, 5),
    "study": Target("the whole ECG study, raw records to comparisons.csv, ours : reference", "ratio", 4.2, 5),
    "overhead": Target("CPU time of a run beyond augmenting, training, evaluating", "s", 4, 2, True),
    "overhead_fraction": Target("its fraction of the ECG study's CPU time", "fraction", 0.15, 0.07, True),
    "disk": Target("prepared image data on disk : float tensors of one encoding", "one_to", 100, 130),
    "memory": Target("memory of an image training, beyond the base images", "GB", 1.5, 1.0, True),
    "memory_growth": Target("the same: what 20 copies per image take beyond 2, full size", "MB"),
    "predict": Target("siwcc predict, one window of a record, CPU time", "s", 1.8, 1.4, True),
    "dry_run": Target("snakemake -n of the paper study", "s", 1.8, 1.2, True),
    "dry_run_cpu": Target("the same, CPU time", "s"),
    "demo": Target("the demo study, CPU time", "s", 160, 110, True),
}


class Line(NamedTuple):
    """One row of the table with its median and its smallest and largest value."""

    row: str
    median: float
    low: float
    high: float
    count: int

    def measured_cells(self, target: Target) -> list[str]:
        """What was measured, its median and its spread, as shown to people."""
        spread = "" if self.count == 1 else f"{target.shown(self.low)} to {target.shown(self.high)}"
        return [target.what, target.shown(self.median), spread]

    def cells(self) -> list[str]:
        """As shown to people."""
        target = TARGETS[self.row]
        limits = [target.shown(target.must), target.shown(target.aim)]
        return [*self.measured_cells(target), *limits, target.verdict(self.median)]

    def values(self, target: Target) -> list[object]:
        """The first columns of the CSV."""
        numbers = [f"{value:.6g}" for value in (self.median, self.low, self.high)]
        return [self.row, target.what, target.unit, *numbers, self.count]


def lines_of(values: Mapping[str, Sequence[float]], rows: Iterable[str] = TARGETS) -> list[Line]:
    """What was measured, in the table's order."""
    measured = {row: values[row] for row in rows if values.get(row)}
    return [Line(row, statistics.median(v), min(v), max(v), len(v)) for row, v in measured.items()]


def write_results(bench: Bench, folder: Path) -> str:
    """Write `bench.csv`, `bench.md`, `bench.json` and `targets.svg`, and return the table as Markdown."""
    lines, machine = lines_of(bench.values), machine_facts()
    settings = {name: getattr(bench, name) for name in ("quick", "pairs", "runs")}
    settings["data"] = {task: samples.name for task, samples in bench.given.items()} or "synthetic"
    rows = {name: values for name, values in bench.values.items() if name in TARGETS}
    facts = {name: values for name, values in bench.values.items() if name not in TARGETS}
    content = {"machine": machine, "settings": settings, "values": rows, "facts": facts}
    foot = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, torch {machine['torch']}; "
        f"{bench.runs} training(s) side by side, {bench.pairs} pairs{', quick' if bench.quick else ''}."
    )
    head = ["what", "median", "smallest to largest", "must", "aim", "reached"]
    table = markdown_table([head, *(line.cells() for line in lines)], foot)
    write_files(folder / "bench", COLUMNS, map(_csv_row, lines), content, table)
    draw_targets([line for line in lines if TARGETS[line.row].must is not None], folder / "targets.svg")
    return table


def markdown_table(lines: Sequence[Sequence[str]], foot: str) -> str:
    """Lines of cells, the head first, and a sentence below."""
    head, *others = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|---" * len(lines[0]) + "|", *others, "", foot]) + "\n"


def write_files(
    stem: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], content: Mapping[str, Any], table: str
) -> None:
    """Write `<stem>.csv`, `<stem>.json` and `<stem>.md`."""
    write_csv(stem.with_suffix(".csv"), columns, rows)
    write_text(stem.with_suffix(".json"), json.dumps(content, indent=1, sort_keys=True) + "\n")
    write_text(stem.with_suffix(".md"), table)


def _csv_row(line: Line) -> list[object]:
    target = TARGETS[line.row]
    limits = ["" if limit is None else limit for limit in (target.must, target.aim)]
    return [*line.values(target), *limits, target.verdict(line.median)]


def draw_targets(lines: Sequence[Line], path: Path) -> None:
    """Every row on one axis: how many times better than it must be, with its spread; a cross marks the aim."""
    figure = new_figure(8.5, 0.8 + 0.5 * max(1, len(lines)))
    axis = figure.subplots()
    style_axis(axis, "x")
    for place, line in enumerate(reversed(lines)):
        target = TARGETS[line.row]
        times = [value / target.must for value in (line.low, line.median, line.high, target.aim)]
        low, middle, high, aim = (1 / value for value in times) if target.lower_is_better else times
        axis.plot([low, high], [place, place], color=BLUE, linewidth=2)
        axis.plot([middle], [place], "o", color=BLUE)
        axis.plot([aim], [place], "x", color=MUTED)
    axis.axvline(1, color=INK, linewidth=1)
    labels = [fill(": ".join(line.cells()[:2]), _LABEL_CHARACTERS) for line in reversed(lines)]
    axis.set_yticks(range(len(lines)), labels)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("times better than it must be; cross: the aim")
    save_figure_as(figure, path)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_facts() -> dict[str, Any]:
    """What the numbers depend on, without names of machines, people or folders."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text(encoding="utf-8")) if cpuinfo.is_file() else None
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cxx_compiler": shutil.which(os.environ.get("CXX", "g++")) is not None,
        # Of the last minute: with other work on the machine the numbers mean little.
        "load_average": round(os.getloadavg()[0], 2),
    }
