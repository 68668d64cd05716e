"""What each stage took: time and memory from Snakemake's benchmark files, disk from the files themselves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from siwcc.io.checksums import read_text
from siwcc.io.errors import InputError

STAGES = {
    "raw": "raw data: fetch, make up or check",
    "samples": "samples: cut and check",
    "folds": "folds: assign and augment",
    "train": "training, with evaluation",
    "baselines": "baselines",
    "stats": "statistics",
    "figures": "figures and report",
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


def stage_of(path: Path, study_benchmarks: Path) -> str:
    """The stage that a benchmark file belongs to."""
    if not path.is_relative_to(study_benchmarks):
        return path.stem.rsplit(".", 1)[-1]
    parts = path.relative_to(study_benchmarks).with_suffix("").parts
    if parts[0] in ("stats", "figures"):
        return parts[0]
    if parts[-1].startswith("seed"):
        return "train"
    return "baselines" if "baselines" in parts else "folds" if parts[-1].startswith("fold") else "figures"


def read_benchmark(path: Path) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one job; NaN for what was not measured.

    Of a job that was repeated the file's last line counts. Nothing was measured, either, where a file cannot
    be read: no result depends on it.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path)), delimiter="\t"))
    except (InputError, csv.Error):
        rows = []
    if not rows:
        return math.nan, math.nan
    return _number(rows[-1].get("s")), _number(rows[-1].get("max_rss"))


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan


def gather_costs(study: Path, data: Path, datasets: Sequence[str]) -> list[Cost]:
    """The stages that have left a benchmark file, in their order.

    Args:
        study: results/<study>.
        data: The folder of raw, samples and benchmarks.
        datasets: Data sets of the study.
    """
    benchmarks = study / "benchmarks"
    paths = sorted(benchmarks.rglob("*.tsv"))
    paths += [path for name in datasets for path in sorted((data / "benchmarks").glob(f"{name}.*.tsv"))]
    by_stage: dict[str, list[tuple[float, float]]] = {}
    for path in paths:
        by_stage.setdefault(stage_of(path, benchmarks), []).append(read_benchmark(path))
    disk = disk_bytes(study, data, datasets)
    return [_sum_up(stage, by_stage[stage], disk.get(stage, 0)) for stage in STAGES if stage in by_stage]


def _sum_up(stage: str, jobs: Sequence[tuple[float, float]], disk: int) -> Cost:
    seconds = [s for s, _ in jobs if math.isfinite(s)]
    memory = [mb for _, mb in jobs if math.isfinite(mb)]
    return Cost(stage, len(jobs), sum(seconds), max(seconds, default=math.nan), max(memory, default=math.nan), disk)


def disk_bytes(study: Path, data: Path, datasets: Sequence[str]) -> dict[str, int]:
    """Bytes of every stage's files; a user's own copy of the raw data is not counted."""
    runs = [path for path in study.glob("*/*/*/fold*/seed*/*") if path.is_file()]
    return {
        "raw": _size(path for name in datasets for path in (data / "raw" / name).rglob("*")),
        "samples": _size(path for name in datasets for path in (data / "samples").glob(f"{name}.*")),
        "folds": _size([*study.glob("*/fold*.h5"), *study.glob("*/folds.csv")]),
        "train": _size(runs),
        "baselines": _size(study.glob("*/baselines/**/*")),
        "stats": _size((study / "stats").rglob("*")),
        "figures": _size((study / "figures").rglob("*")),
    }


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())
