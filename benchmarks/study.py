"""The real workflow as a process, and the cost of the whole ECG study, extrapolated from the measured fractions.

With N windows, V copies, E epochs, R runs (the paper: 236, 100, 15, 20) on C cores, T_read the time to read the
records, t_augment of one copy and r the samples per second of C trainings side by side, both measured here:

    ours       T_read + N V t_fold / C    + R E N V / r + R N V t_open / C + (A t_compile + (R - A) t_load) / C + W
    reference  T_read + N V t_augment / C + R E N V / r + R t_start / C

An epoch passes N V samples, of which a fifth is only tested on, as in the measured rounds. Of ours, t_fold is the whole
fold stage with its file, t_open opening such files for a training, and W the measured wall time of the real workflow
with all its jobs on two copies and one epoch: Snakemake, process starts, imports, comparisons. A runs, one for each
encoding and variant, compile their step in t_compile; the others find it compiled in t_load. Of the reference
implementation, t_start is a Python that imports torch, scipy and scikit-learn; it is given as many processes as ours,
all cores for its augmentation, which ran in one process, and nothing for keeping or loading its result. T_read is the
same on both sides: our samples stage, scaled by bytes to the 22 records.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.data import REPOSITORY, paper_config
from benchmarks.measurements import Bench, compiling_s
from siwcc.io.files import read_yaml

WINDOWS = 236
# 22 records of 525,000 samples of two leads, 12 bits each.
RAW_BYTES = 22 * 525_000 * 2 * 3 // 2
_IMPORTS = "import torch, scipy.signal, sklearn.metrics"


class StudySize(NamedTuple):
    """Augmented copies, runs, and epochs of a run."""

    copies: int
    runs: int
    epochs: int

    @property
    def passed(self) -> int:
        """Samples passed through a network, trained and tested on."""
        return self.runs * self.epochs * self.copies


class Cost(NamedTuple):
    """Wall and CPU seconds of a command with all its descendants."""

    wall_s: float
    cpu_s: float


def paper_size() -> StudySize:
    """From `config.yaml`."""
    config = paper_config()
    runs = len(config.encodings) * len(config.variants) * config.folds * len(config.seeds)
    return StudySize(WINDOWS * config.tasks["ecg"].copies_per_sample, runs, config.train.epochs)


def study_s(size: StudySize, cores: int, copy_s: float, rate: float, rest_s: float) -> float:
    """Wall seconds of a study: augmenting a copy takes `copy_s` on one core, all networks pass `rate` samples/s."""
    return size.copies * copy_s / cores + size.passed / rate + rest_s


def overhead_cpu_s(cpu_s: float, size: StudySize, copy_s: float, sample_s: float) -> float:
    """CPU seconds of a run beyond augmenting, `copy_s` per copy, and passing samples, `sample_s` each."""
    return (cpu_s - size.copies * copy_s - size.passed * sample_s) / size.runs


def run_snakemake(folder: Path, targets: Sequence[str], overlay: dict[str, Any] | None, cores: int) -> Cost:
    """Run the repository's workflow in a folder of its own; `overlay` is laid over `config.yaml`.

    Raises:
        RuntimeError: the command failed; with the end of its output.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--workflow-profile", str(REPOSITORY / "profiles" / "default"), "--cores", str(cores)]
    if overlay is not None:
        (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
        command += ["--configfile", str(folder / "overlay.yaml"), "--"]
    cpu_before_s, started_at = _children_cpu_s(), time.perf_counter()
    done = subprocess.run([*command, *targets], cwd=folder, capture_output=True, text=True, check=False)
    cost = Cost(time.perf_counter() - started_at, _children_cpu_s() - cpu_before_s)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return cost


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure_dry_run(bench: Bench) -> None:
    """Rows `dry_run` and `dry_run_cpu`: `snakemake -n` of the paper's study with all its jobs to run."""
    for repeat in range(1 if bench.quick else 5):
        cost = run_snakemake(bench.scratch(f"dry_run_{repeat}"), ["--dry-run"], None, 2)
        bench.values["dry_run"].append(cost.wall_s)
        bench.values["dry_run_cpu"].append(cost.cpu_s)


def measure_demo(bench: Bench) -> None:
    """Row `demo`: the study of `make demo`, from nothing to its report."""
    overlay = read_yaml(REPOSITORY / "resources" / "studies" / "demo.yaml")
    for repeat in range(1 if bench.quick else 3):
        bench.values["demo"].append(run_snakemake(bench.scratch(f"demo_{repeat}"), [], overlay, 2).cpu_s)


def measure_predict(bench: Bench) -> None:
    """Row `predict`: one window of a synthetic record, with the network that is part of the package."""
    samples = bench.synthetic("ecg")
    header = min((samples.path.parent / samples.name).rglob("*.hea"))
    program = str(Path(sys.executable).with_name("siwcc"))
    command = [program, "predict", "ecg", str(header.with_suffix("")), "--at", "60"]
    for _ in range(1 if bench.quick else bench.pairs):
        cpu_before_s = _children_cpu_s()
        subprocess.run(command, cwd=bench.folder, capture_output=True, check=True)
        bench.values["predict"].append(_children_cpu_s() - cpu_before_s)


def _run_small_study(bench: Bench, folder: Path) -> tuple[Cost, StudySize]:
    """The ECG study with all its jobs on so few samples that the jobs' own work is small; cost from samples on."""
    overlay = {
        "study": "bench",
        "run": ["ecg"],
        "tasks": {"ecg": {"dataset": "bench_ecg", "copies_per_sample": 2}},
        "datasets": {"bench_ecg": {"format": "vfdb", "synthetic": {"samples": 12, "seed": 42}}},
        "train": {"epochs": 1, "device": "cpu"},
        **({"folds": 2, "variants": ["full"]} if bench.quick else {}),
    }
    run_snakemake(folder, ["data/samples/bench_ecg.h5"], overlay, bench.runs)
    cost = run_snakemake(folder, ["results/bench/stats/comparisons.csv"], overlay, bench.runs)
    samples = len((folder / "results/bench/ecg/folds.csv").read_text(encoding="utf-8").splitlines()) - 1
    runs = len(list(folder.glob("results/bench/ecg/*/*/fold*/seed*/log.csv")))
    return cost, StudySize(2 * samples, runs, 1)


def measure_study(bench: Bench) -> None:
    """Rows `study`, `overhead` and `overhead_fraction`; needs the families `ecg` and `augment`."""
    size, values = paper_size(), bench.values
    names = ("augment_fold_write_s", "augment_fold_open_s", "ecg_ours_cpu_s_per_sample")
    write_s, open_s, sample_s = (statistics.median(values[name]) for name in names)
    work_s = size.copies * write_s + size.passed * sample_s
    for repeat in range(1 if bench.quick else 2):
        cost, small = _run_small_study(bench, bench.scratch(f"overhead_{repeat}"))
        values["small_study_wall_s"].append(cost.wall_s)
        # At full size: with the folds of the full study to open.
        beyond_s = overhead_cpu_s(cost.cpu_s, small, write_s, sample_s) + size.copies * open_s
        values["overhead"].append(beyond_s)
        values["overhead_fraction"].append(size.runs * beyond_s / (size.runs * beyond_s + work_s))
    started_at = time.perf_counter()
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True)
    start_s = time.perf_counter() - started_at
    reading_s = bench.synthetic("ecg").reading_s_per_byte * RAW_BYTES
    opening_s = size.runs * size.copies * open_s / bench.runs
    arms = len(paper_config().encodings) * len(paper_config().variants)
    for name, seconds in zip(("compile_s", "load_compiled_s"), compiling_s(bench), strict=True):
        values[name].append(seconds)
    compiling = (arms * values["compile_s"][0] + (size.runs - arms) * values["load_compiled_s"][0]) / bench.runs
    rest_s = reading_s + opening_s + compiling + statistics.median(values["small_study_wall_s"])
    reference_rest_s = reading_s + size.runs * start_s / bench.runs
    for i in range(bench.pairs):
        rate, reference_rate = (values[f"ecg_{side}_samples_per_s"][i] for side in ("ours", "reference"))
        ours_s = study_s(size, bench.runs, values["augment_fold_write_s"][i], rate, rest_s)
        copy_s = values["augment_reference_s"][i]
        reference_s = study_s(size, bench.runs, copy_s, reference_rate, reference_rest_s)
        values["study_ours_s"].append(ours_s)
        values["study_reference_s"].append(reference_s)
        values["study"].append(reference_s / ours_s)
