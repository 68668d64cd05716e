"""Keep studies apart: claims to shared data, checks before the first job, and the release of a dead study's folder.

This is the only module that uses Snakemake's internals. It gets `workflow` as an argument and imports no Snakemake.
Tested with Snakemake 9.19.0 and 9.27.1; `tests/jobs/test_guard.py` fails if an attribute is absent in another version.

What is used, and why:

- `workflow.is_main_process`: the Snakefile is also read in every job; only the main process claims data.
- `workflow.local_exec`: jobs in a queue need a limit of submissions per second, jobs on this machine do not.
- `workflow.scheduler.job_rate_limiter`: while a limit is set, Snakemake plans again every second (`lift_rate_limit`).
- `workflow.dag.needrun_jobs()`: folders and data are checked before the first job; no hook gets the planned jobs.
- `workflow.dag.finished(job)`: other studies may read data as soon as they are made; no hook runs after a job.
- `output`, `log`, `benchmark` and `wildcards` of a job: the files that it writes and the data set that it makes.
- `.snakemake/locks`: it is not empty while a study owns the folder.
- `sys.executable`, which is Python's own: Snakemake writes it into shell commands without quotes (`quote_python`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from siwcc.io.checksums import parse_json, read_text
from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv
from siwcc.io.lead_numbers import with_lead_numbers
from siwcc.io.locks import claim_to

if TYPE_CHECKING:
    import psutil

DATA = DataLayout()
"""The data sets of the working directory. Several working directories may share them through a link."""
LOCKS = Path(".snakemake/locks")
"""Where Snakemake keeps the names of files that a running study owns."""
OWNER_FILE = Path(".snakemake/owner")
"""Process number and host of the study that was started last in a folder."""
NO_PLAN = re.compile(r"--(lint|unlock|summary|detailed-summary|report|dag|rulegraph|filegraph|list.*)")
"""Options of Snakemake for other things than a study's jobs."""
NO_RUN = re.compile(rf"-[a-zA-Z]*n[a-zA-Z]*|--dry-?run|{NO_PLAN.pattern}")
"""Options of Snakemake with which it runs no job, so that it need not wait for another study."""
LOOK_EVERY_S = 0.5
PYTHON = Path(".snakemake/python")
"""Starts Python where its own path has characters that a shell reads."""
_NAME_IN_LOCKS = "n"
"""What Snakemake calls the number of a lock."""
_CANCEL_WAIT_S = 120.0


class Job(Protocol):
    """What is used of Snakemake's `Job`."""

    output: Iterable[str]
    log: Iterable[str]
    benchmark: str | None
    wildcards: Any


class Dag(Protocol):
    """What is used of Snakemake's `DAG`."""

    def needrun_jobs(self) -> Iterable[Any]:
        """The jobs that are planned and not finished."""

    def finished(self, job: Any) -> bool:
        """Whether a job is finished."""


class Scheduler(Protocol):
    """What is used of Snakemake's `JobScheduler`."""

    job_rate_limiter: object | None


class Workflow(Protocol):
    """What is used of Snakemake's `Workflow`."""

    is_main_process: bool
    local_exec: bool
    dag: Dag
    scheduler: Scheduler


class Owner(NamedTuple):
    """The process that started the study whose locks are in a folder."""

    process: int
    host: str


def quote_python() -> None:
    """Let jobs start where the path of Python has a space, a dollar or a quote: they run a script of a plain name.

    The script is in the working directory, in which every job starts. It replaces itself by Python.
    """
    if not sys.executable or shlex.quote(sys.executable) == sys.executable:
        return
    script = os.fsencode(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    # Every job reads the Snakefile again while others start.
    if not PYTHON.is_file() or PYTHON.read_bytes() != script:
        temporary = PYTHON.with_name(f"{PYTHON.name}.{os.getpid()}")
        PYTHON.parent.mkdir(exist_ok=True)
        temporary.write_bytes(script)
        temporary.chmod(0o755)
        temporary.replace(PYTHON)
    sys.executable = str(PYTHON)


def check_folder_name(folder: Path) -> None:
    """Refuse a working directory in whose path Snakemake does not find its own locks.

    It reads the path as a pattern. A name in braces matches itself; a number or a constraint does not.

    Raises:
        InputError: a brace in the path is read as something else.
    """
    names = re.findall(r"\{\s*(\w+)\s*[,}]", str(folder))
    plain = re.findall(r"\{\s*(\w+)\s*\}", str(folder))
    if names != plain or _NAME_IN_LOCKS in names or not all(map(str.isidentifier, names)):
        raise InputError(folder, "Snakemake cannot run in a folder with these braces", "rename the folder")


def hold_data(workflow: Workflow, names: Iterable[str], warn: Callable[[str], None]) -> None:
    """Claim the data sets before Snakemake plans; wait while another study makes them.

    Several working directories may share one data/, and Snakemake's own lock covers one of them. Without a claim, a
    second study would plan to make what the first one is making, and delete the files of the first.

    Args:
        workflow: Snakemake's.
        names: The data sets that the study reads.
        warn: Prints the message that the study waits.
    """
    if not workflow.is_main_process or not DATA.folder.is_dir() or any(map(NO_RUN.fullmatch, sys.argv)):
        return
    for name in names:
        wait_for_data(name, warn)


def wait_for_data(name: str, warn: Callable[[str], None]) -> None:
    """Claim a data set, alone if a file of it is missing; do not wait if Snakemake will refuse to run here."""
    warned = False
    while not claim_data(name, alone=data_is_missing(name)):
        if _is_locked(Path()):
            return
        if not warned:
            warn(f"{DATA.folder.resolve()}: another study is making or using {name}, waiting for it")
            warned = True
        time.sleep(LOOK_EVERY_S)


def claim_data(name: str, alone: bool) -> bool:
    """Whether this process may read a data set or, `alone`, change it. The claim ends with the process."""
    try:
        return claim_to(DATA.folder / ".claims" / name).try_to_hold(alone)
    except InputError:
        # Nobody changes data in a read-only folder.
        return True


def data_is_missing(name: str) -> bool:
    """Whether a file that the workflow makes of a data set does not exist."""
    return not all(path.is_file() for path in DATA.files(name))


def check_source(workflow: Workflow, name: str, folder: Path | None) -> None:
    """Refuse, before anything is planned, a local copy that does not exist and has still to be read.

    Jobs read the Snakefile, too, perhaps on a machine without the copy: they are not refused.

    Args:
        workflow: Snakemake's.
        name: Of the data set.
        folder: Its local copy; None if there is none.

    Raises:
        InputError: the folder does not exist.
    """
    if folder is None or not workflow.is_main_process:
        return
    if data_is_missing(name) and not folder.expanduser().exists():
        raise InputError(folder, "does not exist", f"correct datasets.{name}.path")


def check_records(workflow: Workflow, name: str, folder: Path | None) -> None:
    """Refuse, before anything is planned, a folder of records that is not the one that was read.

    A folder is no input of a rule, so that one that was moved makes nothing again. Names and sizes are compared here,
    checksums when the records are read.

    Args:
        workflow: Snakemake's.
        name: Of the data set.
        folder: Its local copy; None if there is none. One that does not exist is not compared.

    Raises:
        InputError: a record came in, is missing or has another size, or the list of what was read is damaged.
    """
    if folder is None or not workflow.is_main_process or any(map(NO_PLAN.fullmatch, sys.argv)):
        return
    manifest, folder = DATA.manifest(name), folder.expanduser()
    if not (manifest.is_file() and folder.is_dir()):
        return
    remedy = f"delete {DATA.folder.resolve()}/*/{name}.* to read the folder again, or give the data set another name"
    try:
        listed = {row["file"]: row["bytes"] for row in read_csv(manifest, ("file", "bytes"))}
    except InputError as error:
        raise InputError(manifest, error.problem, remedy) from error
    headers = {path.name for path in folder.glob("*.hea") if not path.name.startswith(".")}
    for file in sorted(headers | set(listed)):
        path = folder / file
        if not path.is_file() or str(path.stat().st_size) != listed.get(file):
            raise InputError(path, f"is not as in {manifest}, which lists the records that were read", remedy)


def start_study(workflow: Workflow, names: Iterable[str], check_samples: Callable[[str], None]) -> None:
    """Check, before the first job, that every folder is writable and that no data change while they are read.

    Args:
        workflow: Snakemake's, with its plan.
        names: The data sets that the study reads.
        check_samples: Called with each data set whose samples will be made. Raises `InputError` if they must not be.

    Raises:
        InputError: a folder is not writable, or another study uses or makes the data.
    """
    # On another machine, or as another user, nobody can see whether this process works here: see `check_alone`.
    OWNER_FILE.write_text(f"{os.getpid()} {socket.gethostname()}")
    planned = list(workflow.dag.needrun_jobs())
    check_writable(planned)
    lift_rate_limit(workflow)
    makers = makers_of_data(planned, check_samples)
    read = names if DATA.folder.is_dir() else ()
    for name in sorted({*read, *makers}):
        if not claim_data(name, alone=name in makers):
            doing = "using" if name in makers else "making"
            raise InputError(
                DATA.folder.resolve(),
                f"another study is {doing} {name}",
                "give the same command again when that one has ended",
            )
    for name, jobs in makers.items():
        threading.Thread(target=share_data_after, args=(workflow.dag, name, jobs), daemon=True).start()


def makers_of_data(jobs: Iterable[Job], check_samples: Callable[[str], None]) -> dict[str, list[Job]]:
    """The jobs that write into data/, by data set; those that make samples are checked."""
    makers = defaultdict(list)
    for job in jobs:
        if any(Path(file).is_relative_to(DATA.folder) for file in job.output):
            name = job.wildcards.dataset
            makers[name].append(job)
            if any(Path(file) == DATA.samples(name) for file in job.output):
                check_samples(name)
    return makers


def check_samples_protocol(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse to replace samples that were made with other preprocessing settings.

    Args:
        name: Of the data set.
        settings: The settings that the study asks for, as plain JSON types.

    Raises:
        InputError: a setting differs, or the file with the settings is damaged.
    """
    path, every_file = DATA.protocol(name), DATA.samples(name).with_suffix(".*")
    if not path.is_file():
        return
    try:
        stored = with_lead_numbers(parse_json(path, read_text(path)))
    except InputError as error:
        raise InputError(path, error.problem, f"delete {every_file}") from error
    asked = with_lead_numbers(settings)
    differing = [key for key in sorted({*stored, *asked}) if stored.get(key) != asked.get(key)]
    if differing:
        key = differing[0]
        raise InputError(
            DATA.samples(name),
            f"was made with {key} = {stored.get(key)}, the config says {asked.get(key)}",
            f"give the changed set another name under datasets; of an older siwcc, delete {every_file} and run again",
        )


def lift_rate_limit(workflow: Workflow) -> None:
    """Remove the limit of jobs per second where no queue has to be spared.

    With the limit, Snakemake plans again every second, once for each job that has ended: a quarter of a core in the
    middle of a study of 60 networks.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def share_data_after(dag: Dag, name: str, jobs: Sequence[Job]) -> None:
    """Let other studies read a data set as soon as the jobs that make it are finished."""
    while not all(dag.finished(job) for job in jobs):
        time.sleep(LOOK_EVERY_S)
    claim_data(name, alone=False)


def check_writable(jobs: Iterable[Job]) -> None:
    """Check every folder to which these jobs write.

    Raises:
        InputError: the first folder, in alphabetical order, that is not writable.
    """
    files = {Path(file) for job in jobs for file in (*job.output, *job.log, job.benchmark) if file}
    for folder in sorted({first_existing(path.parent) for path in files}):
        if not os.access(folder, os.W_OK):
            read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
            reason = "read-only file system" if read_only else "permission denied"
            raise InputError(
                folder.resolve(),
                f"cannot be written ({reason})",
                "make it writable, or run in another folder, then give the same command again",
            )


def first_existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def check_alone(folder: Path) -> None:
    """Make sure that no process of a folder's study runs; cancel the SLURM jobs that a dead study has left.

    Raises:
        InputError: the study is running, or it may be running where this process cannot see it.
    """
    alive = owners(folder)
    if alive:
        raise InputError(folder, f"a study is running here (process {alive[0]})", "wait for it, or end it")
    noted = owner_of(folder)
    if noted is not None and noted.host != socket.gethostname():
        raise InputError(
            folder,
            f"a study was started on {noted.host} and has not ended",
            f"give the command there, or, if {noted.host} is gone, delete {OWNER_FILE}",
        )
    jobs = slurm_jobs(folder)
    if jobs:
        print(f"{folder}: cancelling {len(jobs)} SLURM job(s) that the dead study has left", file=sys.stderr)
        cancel(jobs, folder)


def owner_of(folder: Path) -> Owner | None:
    """The owner that is noted in a folder; None if nothing is locked or no owner is noted."""
    path = folder / OWNER_FILE
    if not path.is_file() or not _is_locked(folder):
        return None
    number, _, host = path.read_text().partition(" ")
    return Owner(int(number), host) if number.isdigit() else None


def owners(folder: Path) -> list[int]:
    """Numbers of the Snakemake processes of this machine that work in a folder.

    Those inside SLURM jobs do not count: they end with their job, see `slurm_jobs`. The folder of another user's
    process is not readable; it counts if it is the owner that was noted.
    """
    noted = owner_of(folder)
    found = []
    for process in _snakemakes():
        pid, place = process.info["pid"], process.info["cwd"]
        here = Path(place) == folder if place else noted is not None and pid == noted.process
        if here and not _is_inside_job(process):
            found.append(pid)
    return found


def slurm_jobs(folder: Path) -> list[str]:
    """Numbers of the SLURM jobs that Snakemake submitted from a folder and that have not ended.

    Raises:
        InputError: SLURM was used here, and `squeue` fails.
    """
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--me", "--noheader", "--format=%A|%Z|%k"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - constants only
    if done.returncode != 0:
        if not (folder / "logs" / "slurm").is_dir():
            return []
        problem = f"squeue does not say whether jobs of the study are running ({done.stderr.strip()})"
        raise InputError(folder, problem)
    found = []
    for line in done.stdout.splitlines():
        number, rest = line.split("|", 1)
        place, _, comment = rest.rpartition("|")
        if Path(place) == folder and comment.startswith(("rule_", "group_")):
            found.append(number)
    return found


def cancel(jobs: Sequence[str], folder: Path) -> None:
    """End SLURM jobs and the processes that they leave on this machine, so that none of them writes any more.

    Raises:
        InputError: the jobs have not ended two minutes later.
    """
    # A list, so no shell reads the numbers that squeue printed; SLURM is where the user's PATH has it.
    subprocess.run(["scancel", *jobs], check=False)  # noqa: S603, S607
    give_up_at = time.monotonic() + _CANCEL_WAIT_S
    while left := slurm_jobs(folder):
        if time.monotonic() > give_up_at:
            problem = f"SLURM job(s) {', '.join(left)} do not end"
            raise InputError(folder, problem, "give the command again when they have")
        time.sleep(1.0)
    _kill_hung_jobs(folder)


def _kill_hung_jobs(folder: Path) -> None:
    """Kill the Snakemakes of cancelled jobs.

    A Snakemake that gets SIGTERM while it handles the end of its training waits for itself for ever. SLURM does not
    find it where it follows processes by their parents.
    """
    import psutil

    for process in _snakemakes():
        if _is_inside_job(process) and process.info["cwd"] == str(folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _snakemakes() -> list[psutil.Process]:
    """Every Snakemake of this machine, with its number, command line and folder in `info`."""
    import psutil

    return [
        process
        for process in psutil.process_iter(["pid", "cmdline", "cwd"])
        if any(Path(word).name == "snakemake" for word in (process.info["cmdline"] or [])[:4])
    ]


def _is_inside_job(process: psutil.Process) -> bool:
    command = process.info["cmdline"]
    return "remote" in command and command[command.index("remote") - 1] == "--mode"


def _is_locked(folder: Path) -> bool:
    return any((folder / LOCKS).glob("*"))
