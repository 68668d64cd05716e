"""`python -m benchmarks`: measure, print the table, write it and the plots."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.augmentation import measure_augmentation
from benchmarks.bench import Bench
from benchmarks.growth import measure_growth
from benchmarks.made import open_set
from benchmarks.plots import draw_all
from benchmarks.processes import REPOSITORY, usable_cores
from benchmarks.results import print_table, write_results
from benchmarks.speed import measure_ecg, measure_image
from benchmarks.storage import measure_disk, measure_memory
from benchmarks.study import measure_study
from benchmarks.workflow import measure_dry_run

_PAIRS = {False: 5, True: 2}
_MOST_RUNS = 2


@dataclass(frozen=True)
class Family:
    """Measurements made together, and those that they need."""

    measure: Callable[[Bench], None]
    needs: tuple[str, ...] = ()


FAMILIES = {
    "ecg": Family(measure_ecg),
    "image": Family(measure_image),
    "augment": Family(measure_augmentation),
    "study": Family(measure_study, ("ecg", "augment")),
    "disk": Family(measure_disk),
    "memory": Family(measure_memory),
    "dry_run": Family(measure_dry_run),
    "growth": Family(measure_growth),
}


def chosen_families(only: str | None) -> list[str]:
    """The families asked for and those that they need, in order."""
    wanted = set(only.split(",")) if only else set(FAMILIES)
    unknown = sorted(wanted - set(FAMILIES))
    if unknown:
        raise SystemExit(f"--only: unknown {unknown[0]!r} (choose from {', '.join(FAMILIES)})")
    wanted |= {need for name in wanted for need in FAMILIES[name].needs}
    return [name for name in FAMILIES if name in wanted]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--quick", action="store_true", help="small rounds: does it work, not how fast is it")
    parser.add_argument("--pairs", type=int, help="rounds of each side (default: 5, quick: 2)")
    parser.add_argument("--runs", type=int, help="trainings side by side, a core each (default: 2)")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.h5",
        help="a samples file of a study, at the paper's size, in place of made-up data",
    )
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
    with tempfile.TemporaryDirectory(prefix="siwcc-bench-") as folder:
        bench = Bench(
            folder=Path(folder),
            quick=options.quick,
            pairs=options.pairs or _PAIRS[options.quick],
            runs=options.runs or min(_MOST_RUNS, usable_cores()),
            given=given,
        )
        for name in chosen_families(options.only):
            started_at = time.perf_counter()
            FAMILIES[name].measure(bench)
            print(f"{name}: {time.perf_counter() - started_at:.0f} s", file=sys.stderr, flush=True)
    lines = write_results(bench, out)
    draw_all(lines, bench.facts.get("growth", []), out)
    print_table(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
