"""Release the working directory of a study whose Snakemake process is dead, and only then.

Takes what the study's own command has (`--configfile ...`, `--config ...`): its config is checked before all else,
and that of another study may not agree with the samples that are there.
"""

from __future__ import annotations

import subprocess
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


def main(arguments: Sequence[str]) -> int:
    """Unlock the current folder; 1 and one line when its study is still running."""
    alive = owners(Path.cwd())
    if alive:
        print(f"{Path.cwd()}: a study is running here (process {alive[0]}); wait for it, or end it", file=sys.stderr)
        return 1
    snakefile = Path(__file__).resolve().parent.parent / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, *arguments, "--unlock", "--quiet", "all"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
