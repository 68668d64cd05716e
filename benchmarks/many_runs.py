"""What a study of very many runs costs beside its trainings: `python -m benchmarks.many_runs 200 1000`.

Samples, folds and baselines are made by the workflow; logs and answers of the runs are made up.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.processes import REPOSITORY, worker_environment
from benchmarks.workflow import run_snakemake
from siwcc.cli.plan import load_study
from siwcc.config import Config
from siwcc.data.augment.interface import augment_module
from siwcc.evaluation.baselines.registry import baselines_of
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.io.files import write_csv, write_manifest
from siwcc.io.run_key import run_place
from siwcc.report.study import Study

RUNS_A_SEED = 20
TABLES = ("comparisons", "errors", "records", "variance")
_EPOCHS = 15


def overlay_of(runs: int, records: int, variants: int) -> dict[str, object]:
    """An ECG study of so many runs: two encodings, two networks, five folds, and seeds.

    Args:
        runs: A multiple of 20.
        records: Made-up records, of about five windows each.
        variants: Of each window.
    """
    return {
        "study": "many",
        "run": ["ecg"],
        "seeds": list(range(42, 42 + runs // RUNS_A_SEED)),
        "tasks": {"ecg": {"dataset": "many", "variants_per_sample": variants}},
        "datasets": {"many": {"format": "vfdb", "made_up": {"samples": records, "seed": 42}}},
        "train": {"epochs": _EPOCHS, "device": "cpu"},
    }


def measure(folder: Path, runs: int, records: int, variants: int) -> list[tuple[str, float, float]]:
    """(what, CPU seconds, MB at most) of planning, each table and the page."""
    overlay = overlay_of(runs, records, variants)
    first = [f"results/many/ecg/fold{fold}.h5" for fold in range(1, 6)]
    first += [f"results/many/ecg/baselines/{name}/predictions.csv" for name in baselines_of("ecg")]
    run_snakemake(folder, [*first, "results/many/config.json"], overlay, 1)
    config = load_study(REPOSITORY / "config.yaml", [folder / "overlay.yaml"])
    rows = write_runs(folder, config)
    print(f"{runs} runs, {rows} answers each", flush=True)
    planning = run_snakemake(folder, ["--dry-run"], overlay, 1)
    found = [("snakemake -n", planning.cpu_s, float("nan"))]
    run_snakemake(folder, [f"results/many/stats/{name}.csv" for name in TABLES], overlay, 1)
    for name in TABLES:
        found += [(f"stats/{name}.csv", *_benchmark(folder / f"results/many/benchmarks/stats/{name}.tsv"))]
    command = [sys.executable, "-m", "siwcc.cli.main", "report", "results/many"]
    return [*found, ("siwcc report, with its pictures", *_watched(command, folder))]


def write_runs(folder: Path, config: Config) -> int:
    """Logs and answers of every run; returns the rows of answers in the first of them."""
    study = Study(folder / "results" / "many", folder / "data", config)
    generator = np.random.default_rng(42)
    samples = study.samples_path("ecg")
    inputs = [
        augment_module("ecg").open_inputs([path], samples, augmented_only=False) for path in study.fold_paths("ecg")
    ]
    for key in study.runs():
        run, test = study.run_folder(key), inputs[key.fold - 1]
        curve = 0.8 - 0.5 / np.arange(1, _EPOCHS + 1) + generator.normal(0, 0.02, _EPOCHS)
        log = [(epoch, value + 0.05, value, 1.0) for epoch, value in enumerate(curve.tolist(), 1)]
        write_csv(run / "log.csv", ("epoch", "train_r2", "test_r2", "test_mae"), log)
        answers = test.target + generator.normal(0, 1, test.target.shape)
        write_csv(run / "predictions.csv", prediction_columns(test.spec.outputs), prediction_rows(test, answers))
        (run / "model.pt").touch()
        outputs = (run / "log.csv", run / "predictions.csv")
        write_manifest(run / "manifest.json", run_place(key), outputs, train={"device": "cpu", "threads": 1})
    return len(inputs[0].target)


def _benchmark(path: Path) -> tuple[float, float]:
    with path.open(newline="") as handle:
        row = next(csv.DictReader(handle, delimiter="\t"))
    return float(row["cpu_time"]), float(row["max_rss"])


def _watched(command: list[str], folder: Path) -> tuple[float, float]:
    """CPU seconds and MB at most of a command."""
    process = psutil.Popen(command, cwd=folder, env=worker_environment(1), stdout=subprocess.DEVNULL)
    cpu_s, most = 0.0, 0
    while process.poll() is None:
        try:
            times = process.cpu_times()
            cpu_s, most = times.user + times.system, max(most, process.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.1)
    process.wait()
    return cpu_s, most / 1e6


def main() -> None:
    """Print a table for each number of runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="+", help=f"numbers of runs, multiples of {RUNS_A_SEED}")
    parser.add_argument("--records", type=int, default=48, help="made-up records (default: 48, about the VFDB)")
    parser.add_argument("--variants", type=int, default=20, help="of each window (default: 20)")
    options = parser.parse_args()
    for runs in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            for what, cpu_s, memory_mb in measure(Path(folder), runs, options.records, options.variants):
                print(f"  {what:34} {cpu_s:8.1f} s CPU {memory_mb:8.0f} MB", flush=True)


if __name__ == "__main__":
    main()
