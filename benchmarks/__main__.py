"""`python -m benchmarks`: measure, print the table, write it and its plot."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.data import REPOSITORY, open_set, timed_environment
from benchmarks.measurements import (
    Bench,
    measure_augmentation,
    measure_disk,
    measure_ecg,
    measure_image,
    measure_memory,
)
from benchmarks.study import measure_demo, measure_dry_run, measure_predict, measure_study
from benchmarks.table import usable_cores, write_results

FAMILIES: dict[str, Callable[[Bench], None]] = {
    "ecg": measure_ecg,
    "image": measure_image,
    "augment": measure_augmentation,
    "study": measure_study,
    "disk": measure_disk,
    "memory": measure_memory,
    "predict": measure_predict,
    "dry_run": measure_dry_run,
    "demo": measure_demo,
}
_NEEDED_BY_STUDY = {"ecg", "augment"}


def chosen_families(only: str | None) -> list[str]:
    """The families asked for and those that they need, in order."""
    wanted = set(only.split(",")) if only else set(FAMILIES)
    unknown = sorted(wanted - set(FAMILIES))
    if unknown:
        raise SystemExit(f"--only: unknown {unknown[0]!r} (choose from {', '.join(FAMILIES)})")
    wanted |= _NEEDED_BY_STUDY if "study" in wanted else set()
    return [name for name in FAMILIES if name in wanted]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="A,B", help=f"some of {', '.join(FAMILIES)}")
    parser.add_argument("--quick", action="store_true", help="small rounds: does it work, not how fast is it")
    parser.add_argument("--pairs", type=int, help="rounds of each side (default: 5, quick: 2)")
    runs = min(2, usable_cores())
    parser.add_argument("--runs", type=int, default=runs, help="trainings side by side, a core each (default: 2)")
    data = "a samples file of a study, at the paper's size, instead of synthetic data"
    parser.add_argument("--data", type=Path, action="append", default=[], metavar="FILE.h5", help=data)
    parser.add_argument("--out", type=Path, help="default: docs/performance, quick: benchmarks/out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the chosen families.

    Returns:
        0; whether targets were reached is in the table, since it depends on the machine.
    """
    options = _options(arguments)
    given = {samples.task: samples for samples in map(open_set, options.data)}
    out = options.out or REPOSITORY / ("benchmarks/out" if options.quick else "docs/performance")
    # For all processes started here.
    environment = timed_environment()
    os.environ.clear()
    os.environ.update(environment)
    with tempfile.TemporaryDirectory(prefix="siwcc-bench-") as folder:
        pairs = options.pairs or (2 if options.quick else 5)
        bench = Bench(Path(folder), options.quick, pairs, options.runs, given)
        for name in chosen_families(options.only):
            started_at = time.perf_counter()
            FAMILIES[name](bench)
            print(f"{name}: {time.perf_counter() - started_at:.0f} s", file=sys.stderr, flush=True)
    print(write_results(bench, out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
