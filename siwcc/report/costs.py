"""What each stage took: time and memory from Snakemake's benchmark files, disk from the files themselves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from siwcc.io.checksums import read_text
from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.study_layout import StudyLayout

STAGES = {
    "raw": "raw data: fetch, make up or check",
    "samples": "samples: cut and check",
    "folds": "folds: assign and augment",
    "train": "training, with evaluation",
    "baselines": "baselines",
    "external": "external data sets: predictions",
    "stats": "statistics",
}


@dataclass(frozen=True)
class Cost:
    """One stage.

    Attributes:
        stage: A key of `STAGES`.
        jobs: Benchmark files found.
        total_s, longest_s: Wall time of all jobs and of the longest.
        peak_mb: Largest resident memory of a job in MB; NaN when jobs were too short to be sampled.
        disk_bytes: Size of what the stage wrote.
    """

    stage: str
    jobs: int
    total_s: float
    longest_s: float
    peak_mb: float
    disk_bytes: int


def read_benchmark(path: Path, columns: Sequence[str] = ("s", "max_rss")) -> tuple[float, ...]:
    """Columns of a job's file, by default wall seconds and peak memory in MB; NaN for what was not measured.

    Of a job that was repeated the file's last line counts. Nothing was measured, either, where a file cannot
    be read: no result depends on it.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path)), delimiter="\t"))
    except (InputError, csv.Error):
        rows = []
    last = rows[-1] if rows else {}
    return tuple(_number(last.get(name)) for name in columns)


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan


def gather_costs(study: StudyLayout, data: DataLayout, datasets: Sequence[str]) -> list[Cost]:
    """The stages that have left a benchmark file, in their order.

    Args:
        study: The paths of the study.
        data: The paths of the data sets.
        datasets: Data sets of the study.
    """
    found = [(study.stage_of_benchmark(path), path) for path in sorted(study.benchmarks.rglob("*.tsv"))]
    found += [(data.stage_of_benchmark(path), path) for name in datasets for path in data.found_benchmarks(name)]
    by_stage: dict[str, list[tuple[float, ...]]] = {}
    for stage, path in found:
        by_stage.setdefault(stage, []).append(read_benchmark(path))
    disk = disk_bytes(study, data, datasets)
    return [_sum_up(stage, by_stage[stage], disk.get(stage, 0)) for stage in STAGES if stage in by_stage]


def _sum_up(stage: str, jobs: Sequence[tuple[float, ...]], disk: int) -> Cost:
    seconds = [s for s, _ in jobs if math.isfinite(s)]
    memory = [mb for _, mb in jobs if math.isfinite(mb)]
    return Cost(stage, len(jobs), sum(seconds), max(seconds, default=math.nan), max(memory, default=math.nan), disk)


def disk_bytes(study: StudyLayout, data: DataLayout, datasets: Sequence[str]) -> dict[str, int]:
    """Bytes of every stage's files; a user's own copy of the raw data is not counted."""
    stages = [*study.files_of_stages(), *data.files_of_stages(datasets)]
    return {stage: _size(paths) for stage, paths in stages}


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())
