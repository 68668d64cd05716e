"""Release the working directory of a study whose Snakemake process is dead, and only then.

Takes what the study's own command has (`--configfile ...`, `--config ...`): its config is checked before all else,
and that of another study may not agree with the samples that are there.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

# Where Snakemake keeps the names of files that a running study owns, and which process on which host is that study
# (rules/common.smk).
LOCKS = Path(".snakemake/locks")
OWNER = Path(".snakemake/owner")
_CANCEL_WAIT_S = 120.0


class Owner(NamedTuple):
    """Who has started the study that holds the locks of a folder."""

    process: int
    host: str


def owner_of(folder: Path) -> Owner | None:
    """Who holds the locks of a folder, as it was noted there; None where nothing is locked or nothing was noted."""
    if not (folder / OWNER).is_file() or not any((folder / LOCKS).glob("*")):
        return None
    number, _, host = (folder / OWNER).read_text().partition(" ")
    return Owner(int(number), host) if number.isdigit() else None


def owners(folder: Path) -> list[int]:
    """Process numbers of the Snakemake runs that work in a folder now, on this machine.

    The ones inside SLURM jobs are none: they end with their job, see `slurm_jobs`. Of another user's process nothing
    tells where it works; it counts if it is the one that was noted.
    """
    noted = owner_of(folder)
    found = []
    for process in _snakemakes():
        pid, place = process.info["pid"], process.info["cwd"]
        here = Path(place) == folder if place else noted is not None and pid == noted.process
        if here and not _inside_job(process):
            found.append(pid)
    return found


def _snakemakes() -> list[psutil.Process]:
    """Every Snakemake of this machine, with `info` on its number, command line and folder."""
    return [
        process
        for process in psutil.process_iter(["pid", "cmdline", "cwd"])
        if any(Path(word).name == "snakemake" for word in (process.info["cmdline"] or [])[:4])
    ]


def _inside_job(process: psutil.Process) -> bool:
    command = process.info["cmdline"]
    return "remote" in command and command[command.index("remote") - 1] == "--mode"


def slurm_jobs(folder: Path) -> list[str]:
    """Numbers of the SLURM jobs that Snakemake has put into the queue from a folder and that have not ended.

    Raises:
        RuntimeError: SLURM was used here and does not answer.
    """
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--me", "--noheader", "--format=%A|%Z|%k"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - constants only
    if done.returncode != 0:
        if not (folder / "logs" / "slurm").is_dir():
            return []
        raise RuntimeError(f"squeue does not say whether jobs of the study are running ({done.stderr.strip()})")
    found = []
    for line in done.stdout.splitlines():
        number, rest = line.split("|", 1)
        place, _, comment = rest.rpartition("|")
        if Path(place) == folder and comment.startswith(("rule_", "group_")):
            found.append(number)
    return found


def cancel(jobs: list[str], folder: Path) -> None:
    """End the jobs that a dead study has left, and what they leave on this machine; then nothing of it writes any more.

    Raises:
        RuntimeError: they are still there two minutes later.
    """
    print(f"{folder}: cancelling {len(jobs)} SLURM job(s) that the dead study has left", file=sys.stderr)
    # A list, so no shell reads the numbers that squeue printed; SLURM is where the user's PATH has it.
    subprocess.run(["scancel", *jobs], check=False)  # noqa: S603, S607
    give_up_at = time.monotonic() + _CANCEL_WAIT_S
    while left := slurm_jobs(folder):
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"SLURM job(s) {', '.join(left)} do not end; give the command again when they have")
        time.sleep(1.0)
    # A Snakemake that is told to end while it deals with the end of its training waits for itself for ever, and where
    # SLURM follows processes by their parents it loses sight of it.
    for process in _snakemakes():
        if _inside_job(process) and process.info["cwd"] == str(folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def check_alone(folder: Path) -> None:
    """Make sure that nothing of the study runs any more.

    Raises:
        RuntimeError: the study is running, or may be running where it cannot be seen.
    """
    alive = owners(folder)
    if alive:
        raise RuntimeError(f"a study is running here (process {alive[0]}); wait for it, or end it")
    noted = owner_of(folder)
    if noted is not None and noted.host != socket.gethostname():
        raise RuntimeError(
            f"a study was started on {noted.host} and has not ended; give the command there, or, if {noted.host} is "
            f"gone, delete {OWNER}"
        )
    jobs = slurm_jobs(folder)
    if jobs:
        cancel(jobs, folder)


def main(arguments: Sequence[str]) -> None:
    """Unlock the current folder; exit with 1 and one line when its study is still running."""
    try:
        check_alone(Path.cwd())
    except RuntimeError as error:
        sys.exit(f"{Path.cwd()}: {error}")
    snakefile = str(Path(__file__).resolve().parent.parent / "Snakefile")
    # Targets among the arguments may follow a `--`, behind which nothing is an option.
    options = ["--snakefile", snakefile, "--unlock", "--quiet=all"]
    # In this process's place: a child would outlive a kill, and be taken for a study that is running.
    # A list, without a shell; the arguments are those that the user typed.
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", *options, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
