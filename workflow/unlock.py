"""Release the working directory of a study whose Snakemake process is dead, and only then.

Takes what the study's own command has (`--configfile ...`, `--config ...`): its config is checked before all else,
and that of another study may not agree with the samples that are there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil


def owners(folder: Path) -> list[int]:
    """Process numbers of the Snakemake runs that work in a folder now."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        named = any(Path(word).name == "snakemake" for word in command[:4])
        if named and process.info["cwd"] and Path(process.info["cwd"]) == folder:
            found.append(process.info["pid"])
    return found


def main(arguments: Sequence[str]) -> None:
    """Unlock the current folder; exit with 1 and one line when its study is still running."""
    alive = owners(Path.cwd())
    if alive:
        sys.exit(f"{Path.cwd()}: a study is running here (process {alive[0]}); wait for it, or end it")
    snakefile = str(Path(__file__).resolve().parent.parent / "Snakefile")
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, *arguments]
    # In this process's place: a child would outlive a kill, and be taken for a study that is running.
    os.execv(sys.executable, [*snakemake, "--unlock", "--quiet", "all"])


if __name__ == "__main__":
    main(sys.argv[1:])
