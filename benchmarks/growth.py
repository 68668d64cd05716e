"""How each cost grows: samples times 1, 2, 4, 8; variants; folds."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.processes import Worker, run_together, started
from benchmarks.workflow import run_snakemake

FACTORS = (1, 2, 4, 8)
FOLDS = (3, 5, 10, 20)
# Samples and variants at factor 1: enough for a full batch, whose activations are most of the memory.
_BASE = {"ecg": (6, 16), "nuclei": (5, 8)}
_FEW_FACTORS = 2


def measure_growth(bench: Bench) -> None:
    """Fact `growth`: rows of task, axis, factor, quantity, value; drawn by `benchmarks.plots`."""
    rows = bench.facts.setdefault("growth", [])
    factors = FACTORS[:_FEW_FACTORS] if bench.quick else FACTORS
    for task, (samples, variants) in _BASE.items():
        for factor in factors:
            rows += _grown(bench, task, "samples", factor, samples * factor, variants)
            rows += _grown(bench, task, "variants", factor, samples, variants * factor)
    for folds in FOLDS[:_FEW_FACTORS] if bench.quick else FOLDS:
        cost = run_snakemake(bench.scratch(f"grown_folds_{folds}"), ["--dry-run"], {"folds": folds}, 2)
        rows += [_row("both", "folds", folds, "snakemake -n, s", cost.wall_s)]


def _grown(bench: Bench, task: str, axis: str, factor: int, samples: int, variants: int) -> list[dict[str, object]]:
    """Cost of writing the folds, of one later epoch, of disk and of memory, in fresh processes."""
    source = bench.sample_set(task)
    started_at = time.perf_counter()
    folder = source.write_two_folds(samples, variants, bench.folder / f"grown_{task}_{axis}_{factor}")
    folds_s = time.perf_counter() - started_at
    arguments = {"task": task, "folder": str(folder), "samples": str(source.path)}
    with started([Worker("train_ours", arguments, core=0)]) as workers:
        run_together(workers)
        answer = run_together(workers)[0]
    return [
        _row(task, axis, factor, "writing folds, s", folds_s),
        _row(task, axis, factor, "an epoch, s", answer["seconds"]),
        _row(task, axis, factor, "fold files, kB", _fold_bytes(folder) / 1e3),
        _row(task, axis, factor, "peak memory, MB", answer["peak_rss_bytes"] / 1e6),
    ]


def _row(task: str, axis: str, factor: int, quantity: str, value: float) -> dict[str, object]:
    return {"task": task, "axis": axis, "factor": factor, "quantity": quantity, "value": value}


def _fold_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("fold*.h5"))
