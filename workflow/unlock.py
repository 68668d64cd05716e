"""Release the working directory of a study whose Snakemake process is dead, and only then.

It takes the arguments of the study's own command (`--configfile ...`, `--config ...`): Snakemake checks the config
first, and the config of another study may not agree with the samples that exist.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from siwcc.io.errors import InputError
from siwcc.jobs.guard import check_alone


def main(arguments: Sequence[str]) -> None:
    """Unlock the current folder; exit with 1 and one line if its study is still running."""
    try:
        check_alone(Path.cwd())
    except InputError as error:
        sys.exit(str(error))
    snakefile = str(Path(__file__).resolve().parent.parent / "Snakefile")
    # Targets among the arguments may follow a `--`, behind which nothing is an option.
    options = ["--snakefile", snakefile, "--unlock", "--quiet=all"]
    # In this process's place: a child would outlive a kill, and count as a study that is running.
    # A list, without a shell; the arguments are those that the user typed.
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", *options, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
