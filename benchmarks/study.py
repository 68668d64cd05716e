"""The whole ECG study, extrapolated from the measured fractions.

With N windows, V variants, E epochs, R runs (the paper: 236, 100, 15, 20) on C cores, T_read the time to read the
records, t_augment of one variant and r the samples a second of C trainings side by side, both measured here:

    ours     T_read + N V t_fold / C    + R E N V / r + R N V t_open / C + W
    scripts  T_read + N V t_augment / C + R E N V / r + R t_start / C

An epoch passes N V samples, of which a fifth is only tested on, as in the measured rounds. Of ours, t_fold is the whole
fold stage with its file, t_open opening such files for a training, and W the measured wall time of the real workflow
with all its jobs on two variants and one epoch: Snakemake, process starts, imports, comparisons. Of the scripts,
t_start is a Python that imports torch, scipy and scikit-learn; they are given as many processes as ours, all cores for
their augmentation, which ran in one process, and nothing for keeping or loading its result. T_read is the same on both
sides: our samples stage, scaled by bytes to the 22 records.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.made import paper_config
from benchmarks.processes import worker_environment
from benchmarks.speed import note
from benchmarks.workflow import Overhead, measure_overhead

WINDOWS = 236
# 22 records of 525,000 samples of two leads, 12 bits each.
RAW_BYTES = 22 * 525_000 * 2 * 3 // 2
_IMPORTS = "import torch, scipy.signal, sklearn.metrics"
_REPEATS = {False: 2, True: 1}


@dataclass(frozen=True)
class StudySize:
    """Counts of the paper's ECG study."""

    variants: int
    runs: int
    epochs: int

    @property
    def passed(self) -> int:
        """Samples passed through a network, trained and tested on."""
        return self.runs * self.epochs * self.variants


def paper_size() -> StudySize:
    """From `config.yaml`."""
    config = paper_config()
    runs = len(config.encodings) * len(config.variants) * config.folds * len(config.seeds)
    return StudySize(WINDOWS * config.tasks.ecg.variants_per_sample, runs, config.train.epochs)


def study_s(size: StudySize, cores: int, variant_s: float, rate: float, rest_s: float) -> float:
    """Wall seconds of the study by the formula of this module.

    Args:
        size: Of the study.
        cores: At work.
        variant_s: Of augmenting one variant on one of them.
        rate: Samples a second through all networks in training together.
        rest_s: Everything else.
    """
    return size.variants * variant_s / cores + size.passed / rate + rest_s


def measure_study(bench: Bench) -> None:
    """Rows `study`, `overhead` and `overhead_share`; needs the families `ecg` and `augment`."""
    size, facts = paper_size(), bench.facts
    overheads = [measure_overhead(bench, f"overhead_{repeat}") for repeat in range(_REPEATS[bench.quick])]
    _note_overhead(bench, size, overheads)
    reading_s = bench.made_set("ecg").reading_s_per_byte * RAW_BYTES
    opening_s = size.runs * size.variants * statistics.median(facts["fold_open_s"]) / bench.runs
    ours_rest_s = reading_s + opening_s + statistics.median(overhead.cost.wall_s for overhead in overheads)
    scripts_rest_s = reading_s + size.runs * _start_s() / bench.runs
    for i in range(bench.pairs):
        ours_rate, scripts_rate = (facts[f"ecg_{side}_samples_per_s"][i] for side in ("ours", "scripts"))
        ours_s = study_s(size, bench.runs, facts["fold_write_s"][i], ours_rate, ours_rest_s)
        scripts_s = study_s(size, bench.runs, facts["augment_scripts_s"][i], scripts_rate, scripts_rest_s)
        bench.values.setdefault("study", []).append(scripts_s / ours_s)
        note(bench, "study_ours_s", ours_s)
        note(bench, "study_scripts_s", scripts_s)


def _note_overhead(bench: Bench, size: StudySize, overheads: Sequence[Overhead]) -> None:
    """CPU seconds a run beyond its work, at full size: with the folds of the full study to open."""
    names = ("fold_write_s", "fold_open_s", "ecg_ours_cpu_s_a_sample")
    write_s, open_s, sample_s = (statistics.median(bench.facts[name]) for name in names)
    work_s = size.variants * write_s + size.passed * sample_s
    for overhead in overheads:
        beyond_s = overhead_cpu_s(overhead, write_s, sample_s) + size.variants * open_s
        bench.values.setdefault("overhead", []).append(beyond_s)
        bench.values.setdefault("overhead_share", []).append(size.runs * beyond_s / (size.runs * beyond_s + work_s))


def overhead_cpu_s(overhead: Overhead, augment_s: float, sample_s: float) -> float:
    """CPU seconds a run of the small study beyond its work.

    Args:
        overhead: What the small study cost.
        augment_s: Of one variant.
        sample_s: CPU seconds of a sample that passes a network.
    """
    work_s = overhead.variants * augment_s + overhead.passed * sample_s
    return (overhead.cost.cpu_s - work_s) / overhead.runs


def _start_s() -> float:
    started_at = time.perf_counter()
    subprocess.run([sys.executable, "-c", _IMPORTS], env=worker_environment(1), check=True)
    return time.perf_counter() - started_at
