"""`make fuzz`: damaged files under every reader, in worker processes with limits, and a table of how each case ended.

Right are `same` (the result of the sound file), `valid` (foreign data only: another sensible result) and `refused`
(one line that names the file). Everything else is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

RIGHT = ("same", "valid", "refused")
# A case may take 10 s of CPU; a busy machine takes longer for them.
PATIENCE_S = 600.0
START_S = 600.0


class Worker:
    """A process that serves cases on its own copy of the corpus; started again when it has to be ended."""

    def __init__(self, corpus: Path, scratch: Path) -> None:
        self._corpus = corpus
        self._scratch = scratch
        self._process: subprocess.Popen[str] | None = None

    def run(self, reader: str, seed: int) -> dict[str, Any]:
        case = {"reader": reader, "seed": seed}
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(case) + "\n")
            self._process.stdin.flush()
            prediction = self._prediction(PATIENCE_S)
        except (TimeoutError, BrokenPipeError, EOFError) as error:
            code = self._process.poll()
            self.stop()
            kind = "hang" if isinstance(error, TimeoutError) else "crash"
            prediction = {"kind": kind, "mutation": "?", "file": "?", "seconds": PATIENCE_S, "peak_mb": 0}
            prediction["detail"] = f"exit status {code}"
        if prediction["kind"] == "memory":
            self.stop()
        return case | prediction

    def _start(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        shutil.copytree(self._corpus, self._scratch)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "fuzz_worker.py"), str(self._scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._prediction(START_S)

    def _prediction(self, patience_s: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], patience_s)[0]:
            raise TimeoutError
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        prediction: dict[str, Any] = json.loads(line)
        return prediction

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def cases(readers: Iterable[str], count: int, seed: int) -> Iterator[tuple[str, int]]:
    """Readers in turn, every case with a seed of its own."""
    names = list(readers)
    return ((names[number % len(names)], seed * 1_000_000 + number) for number in range(count))


def run_cases(chosen: Iterable[tuple[str, int]], corpus: Path, scratch: Path) -> list[dict[str, Any]]:
    """How every case ended, in their order."""
    worker = Worker(corpus, scratch)
    try:
        return [worker.run(reader, seed) for reader, seed in chosen]
    finally:
        worker.stop()


def fuzz(count: int, seed: int, folder: Path, workers: int = 1, only: str = "") -> list[dict[str, Any]]:
    """Build the corpus and run `count` cases, in several processes if asked to."""
    from fuzz_corpus import build
    from fuzz_readers import READERS

    build(folder / "corpus")
    chosen = list(cases([name for name in READERS if only in name], count, seed))
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(
            lambda number: run_cases(
                islice(chosen, number, None, workers), folder / "corpus", folder / f"scratch{number}"
            ),
            range(workers),
        )
        return [outcome for part in parts for outcome in part]


def table(outcomes: Iterable[dict[str, Any]]) -> str:
    """Rows of readers, columns of classes, with the slowest case and the largest memory."""
    outcomes = list(outcomes)
    kinds = [*RIGHT, *sorted({outcome["kind"] for outcome in outcomes} - set(RIGHT))]
    rows = [["reader", "cases", *kinds, "slowest", "peak"]]
    by_reader: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        by_reader.setdefault(outcome["reader"], []).append(outcome)
    for name, of_reader in [*by_reader.items(), ("all", outcomes)]:
        counts = Counter(outcome["kind"] for outcome in of_reader)
        slowest = max(outcome["seconds"] for outcome in of_reader)
        peak = max(outcome["peak_mb"] for outcome in of_reader)
        numbers = [str(counts[kind] or "") for kind in kinds]
        rows.append([name, str(len(of_reader)), *numbers, f"{slowest:.1f} s", f"{peak:.0f} MB"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", help="readers whose name contains this")
    parser.add_argument("--out", type=Path, help="write every outcome there, a JSON object a line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="siwcc-fuzz-") as folder:
        outcomes = fuzz(arguments.cases, arguments.seed, Path(folder), arguments.workers, arguments.only)
    if arguments.out:
        arguments.out.write_text("".join(json.dumps(outcome) + "\n" for outcome in outcomes))
    findings = [outcome for outcome in outcomes if outcome["kind"] not in RIGHT]
    for outcome in findings:
        print(json.dumps(outcome), file=sys.stderr)
    print(table(outcomes), end="")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
