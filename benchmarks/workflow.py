"""The real workflow as a process: what Snakemake, process starts and imports cost."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bench import Bench
from benchmarks.processes import REPOSITORY, worker_environment
from benchmarks.speed import note

_DRY_RUNS = {False: 5, True: 1}


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds of a command with all its descendants."""

    wall_s: float
    cpu_s: float


def run_snakemake(folder: Path, arguments: Sequence[str], overlay: dict[str, Any] | None, cores: int) -> Cost:
    """Run the repository's workflow in a folder of its own.

    Args:
        folder: Working directory.
        arguments: Targets and options.
        overlay: Laid over `config.yaml`; None for the paper's study.
        cores: For `--cores`.

    Raises:
        RuntimeError: the command failed; with the end of what it said.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--workflow-profile", str(REPOSITORY / "profiles" / "default")]
    if overlay is not None:
        path = folder / "overlay.yaml"
        path.write_text(yaml.safe_dump(overlay), encoding="utf-8")
        command += ["--configfile", str(path)]
    command += ["--cores", str(cores), *arguments]
    cpu_before_s, started_at = _children_cpu_s(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=worker_environment(1), capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - started_at
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return Cost(wall_s, _children_cpu_s() - cpu_before_s)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure_dry_run(bench: Bench) -> None:
    """Rows `dry_run` and `dry_run_cpu`: `snakemake -n` of the paper's study, nothing made yet."""
    for repeat in range(_DRY_RUNS[bench.quick]):
        cost = run_snakemake(bench.scratch(f"dry_run_{repeat}"), ["--dry-run"], None, 2)
        bench.values.setdefault("dry_run", []).append(cost.wall_s)
        bench.values.setdefault("dry_run_cpu", []).append(cost.cpu_s)


def small_study(quick: bool) -> dict[str, Any]:
    """The ECG study with all its jobs, on so few samples that the jobs' own work is next to nothing."""
    return {
        "study": "bench",
        "run": ["ecg"],
        "tasks": {"ecg": {"dataset": "bench_ecg", "variants_per_sample": 2}},
        "datasets": {"bench_ecg": {"format": "vfdb", "made_up": {"samples": 12, "seed": 42}}},
        "train": {"epochs": 1, "device": "cpu"},
        **({"folds": 2, "variants": ["full"]} if quick else {}),
    }


@dataclass(frozen=True)
class Overhead:
    """A study without its work.

    Attributes:
        cost: From samples to comparisons.csv.
        runs: Networks trained.
        variants: Variants augmented.
        passed: Samples passed through a network, trained and tested on.
    """

    cost: Cost
    runs: int
    variants: int
    passed: int


def measure_overhead(bench: Bench, name: str) -> Overhead:
    """Run the small study from its samples to comparisons.csv on as many cores as trainings run side by side."""
    folder, overlay = bench.scratch(name), small_study(bench.quick)
    run_snakemake(folder, ["data/samples/bench_ecg.h5"], overlay, bench.runs)
    cost = run_snakemake(folder, ["results/bench/stats/comparisons.csv"], overlay, bench.runs)
    note(bench, "small_study_wall_s", cost.wall_s)
    note(bench, "small_study_cpu_s", cost.cpu_s)
    runs = len(list(folder.glob("results/bench/ecg/*/*/fold*/seed*/log.csv")))
    lines = len((folder / "results/bench/ecg/folds.csv").read_text().splitlines())
    variants = 2 * (lines - 1)
    return Overhead(cost, runs, variants, runs * variants)
