"""`make test-isa`: the numeric tests under several instruction sets of this machine and with 1 and 2 threads.

torch, oneDNN, MKL, OpenBLAS and numpy choose their code for the processor that they find. Environment variables make
them choose the code of an older one. Each row of the table is one run of `pytest -m numeric` (not slow, not cluster).

| column | content |
|---|---|
| setting, threads | what was asked for |
| ATen, oneDNN, MKL, OpenBLAS, numpy | what a process with these variables reports |
| passed, failed, s | of the tests, without those that were skipped; wall-clock time |

A run fails if ATen does not report what was asked for. MKL applies its variable to Intel processors only; for others it
reports "Intel(R) Architecture". On a processor that is not x86 there is one setting, `native`. What is behind `--` goes
to pytest, for example `-- tests/nn/test_heatmap_networks.py -x`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SETTINGS: dict[str, dict[str, str]] = {
    "sse4.1": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "AVX512_SPR AVX512_ICL X86_V4 X86_V3",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "AVX512_SPR AVX512_ICL X86_V4",
    },
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "OPENBLAS_CORETYPE": "SkylakeX",
        "NPY_DISABLE_CPU_FEATURES": "AVX512_SPR AVX512_ICL",
    },
    "native": {},
}
# What ATen must report; the others are shown.
EXPECTED = {"sse4.1": "DEFAULT", "avx2": "AVX2", "avx512": "AVX512"}
VARIABLES = {name for variables in SETTINGS.values() for name in variables}
PROBE = """
import numpy, torch
torch.nn.Conv2d(8, 8, 3)(torch.ones(4, 8, 32, 32)), torch.ones(64, 64) @ torch.ones(64, 64)
numpy.show_runtime()
print("ATen:", torch.backends.cpu.get_cpu_capability(), "threads:", torch.get_num_threads())
"""
# In the probe's output; the libraries of C write there, too.
REPORTS = {
    "ATen": r"^ATen: (\S+)",
    "oneDNN": r"cpu,isa:(?:Intel )?([^\n]*?)(?: with [^\n]*)?$",
    "MKL": r"^MKL_VERBOSE oneMKL .* architecture (.*?)(?: processors)?, ",
    "OpenBLAS": r"'architecture': '(\w+)'",
    "numpy": r"'found': \[([^]]*)\]",
    "threads": r"threads: (\d+)",
}


def environment(setting: str, threads: int) -> dict[str, str]:
    """The caller's, without what chooses instructions there, and with what does so here."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SIWCC_TEST_THREADS")
    return kept | dict.fromkeys(pools, str(threads)) | SETTINGS[setting]


def probe(setting: str, threads: int) -> dict[str, str]:
    """What took effect, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE],
        env=environment(setting, threads) | {"ONEDNN_VERBOSE": "1", "MKL_VERBOSE": "1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {name: re.search(pattern, done.stdout, re.MULTILINE) for name, pattern in REPORTS.items()}
    seen = {name: match[1] if match else "not reported" for name, match in found.items()}
    # Of numpy's list, which is printed over several lines, the newest.
    return seen | {"numpy": seen["numpy"].split(",")[-1].strip(" '\n") or "baseline"}


def run_tests(setting: str, threads: int, arguments: Sequence[str]) -> tuple[int, int, list[str]]:
    """Exit status, number of tests that passed, and the names of those that failed."""
    select = ["-m", "numeric and not slow and not cluster", "-q", "--no-header", "-rfE"]
    command = [sys.executable, "-m", "pytest", *select, *arguments]
    done = subprocess.run(command, env=environment(setting, threads), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    print(done.stdout, file=sys.stderr)
    passed = re.search(r"(\d+) passed", done.stdout)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return done.returncode, int(passed[1]) if passed else 0, failed


def available() -> list[str]:
    """The settings for this machine, oldest first: those for which ATen finds the instructions."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ["native"]
    native = probe("native", 1)["ATen"]
    return [name for name in SETTINGS if name != "avx512" or native.startswith("AVX512")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), help="all that the machine has")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("arguments", nargs="*", help="for pytest, behind --")
    options = parser.parse_args()
    rows, failures, status = [], [], 0
    for setting in options.settings or available():
        for threads in options.threads:
            seen = probe(setting, threads)
            as_asked = seen["ATen"] == EXPECTED.get(setting, seen["ATen"]) and seen["threads"] == str(threads)
            del seen["threads"]
            start_s = time.monotonic()
            code, passed, failed = run_tests(setting, threads, options.arguments)
            rows.append([setting, threads, *seen.values(), passed, len(failed), round(time.monotonic() - start_s)])
            failures += [f"{setting}, {threads} threads: {name}" for name in failed]
            failures += [f"{setting}, {threads} threads: did not take effect: {seen}"] * (not as_asked)
            status |= bool(code or failed or not as_asked)
    print("| setting | threads | ATen | oneDNN | MKL | OpenBLAS | numpy | passed | failed | s |\n|" + "---|" * 10)
    print(*(f"| {' | '.join(map(str, row))} |" for row in rows), *failures, sep="\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
