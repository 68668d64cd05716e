"""The study through a real SLURM on this machine: `make test-cluster`. Root and Debian are needed.

Two pretended GPUs, so that trainings wait for one another; the training itself is on the CPU, as SLURM's device files
are none.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from places import (
    HANGS_S,
    Place,
    change_of_training,
    copy_repository,
    unlock,
    wait_until_nobody_works_in,
)

from tests.cluster.local_slurm import LocalSlurm, UnavailableError
from tests.workflow.test_workflow import ARMS, epochs_logged, error_lines

pytestmark = pytest.mark.cluster

GPUS = 2
# Forty trainings, each a job that starts Python again, on whatever machine the tests have.
DEMO_TIMEOUT_S = 2400
# Nothing else differs from what a user gives. The cluster of the tests has no accounting database.
FOR_TESTS = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "4")
BOTH_TASKS = ("--config", "run=[ecg, nuclei]")
# Figures and page are tested without a cluster.
FEWER = ("--omit-from", "write_report")
ECG = "results/tiny/ecg"
# Fails in coord, fold 1, once, and in weighted, fold 1, always; leaves `attempts-<encoding>-<fold>`.
FAILURES = change_of_training(
    "_open_run",
    """
attempts = pathlib.Path(f"attempts-{first.encoding}-{first.fold}")
with attempts.open("a") as handle:
    handle.write("x")
allowed = {("coord", 1): 1, ("weighted", 1): 99}.get((first.encoding, first.fold), 0)
if len(attempts.read_text()) <= allowed:
    raise module.InputError("pretended", f"failure of {first.encoding}, fold {first.fold}")
return original(first, *rest)
""",
)


@dataclass(frozen=True)
class ClusterPlace(Place):
    """A place whose study goes through SLURM."""

    def command(self, *arguments: str, snakefile: str = "Snakefile", study: str | None = "tiny") -> list[str]:
        profile = ["--workflow-profile", str(self.repository / "profiles" / "slurm")]
        overlay = ["--configfile", str(self.repository / f"resources/studies/{study}.yaml")]
        start = [sys.executable, "-m", "snakemake", "--snakefile", str(self.repository / snakefile)]
        return [*start, *profile, *overlay, *FOR_TESTS, *arguments]

    def environment(self) -> dict[str, str]:
        values = super().environment()
        return values | {"PYTHONPATH": os.pathsep.join([str(self.folder / "spy"), values["PYTHONPATH"]])}

    def run_late(self, library: Path, seconds: float, *arguments: str, ok: bool = True) -> str:
        """Run with files of other processes seen that much later; see late_files.c."""
        variables = f"export LD_PRELOAD={library} SIWCC_TESTS_LATE_S={seconds} SIWCC_TESTS_LATE_FOR=$$"
        done = subprocess.run(
            ["sh", "-c", f'{variables}; exec "$@"', "sh", *self.command(*arguments)],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout


@dataclass(frozen=True)
class Record:
    """What SLURM says of a job."""

    comment: str
    gpus: int
    cpus: int
    memory: str
    limit: str
    state: str
    start_s: float
    end_s: float

    def overlaps(self, other: Record) -> bool:
        return self.start_s < other.end_s and other.start_s < self.end_s


def records(place: Place) -> list[Record]:
    """All jobs of a place, ended or not, in the order in which they were submitted."""
    command = ["scontrol", "show", "job", "--oneliner"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = []
    for line in lines:
        values = dict(item.split("=", 1) for item in line.split() if "=" in item)
        if values["WorkDir"] == str(place.folder):
            start_s, end_s = (_seconds(values[name]) for name in ("StartTime", "EndTime"))
            gpus = re.search(r"gpu:(\d+)", values.get("TresPerJob", "gpu:0"))
            assert gpus is not None
            found.append(
                Record(
                    comment=values["Comment"],
                    gpus=int(gpus[1]),
                    cpus=int(values["NumCPUs"]),
                    memory=values["MinMemoryNode"],
                    limit=values["TimeLimit"],
                    state=values["JobState"],
                    start_s=start_s,
                    end_s=end_s,
                )
            )
    return found


def _seconds(text: str) -> float:
    return float("inf") if text == "Unknown" else datetime.fromisoformat(text).timestamp()


def kind_of(record: Record) -> str:
    """`train_network`, or the name of a group."""
    match = re.match(r"(?:rule|group)_(folds|baselines|summary|[a-z]+_[a-z]+)", record.comment)
    assert match is not None
    return match[1]


@pytest.fixture(scope="session", autouse=True)
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSlurm]:
    cluster = LocalSlurm(tmp_path_factory.mktemp("slurm"), gpus=GPUS)
    # Its daemon runs as another user.
    cluster.folder.chmod(0o755)
    try:
        cluster.start()
    except UnavailableError as error:
        pytest.skip(str(error))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def local(slurm: LocalSlurm, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Both tasks of the tiny study, finished on this machine; nobody may change it."""
    root = tmp_path_factory.mktemp("cluster")
    copy_repository(root / "repository")
    place = Place(root / "repository", root / "local")
    place.folder.mkdir()
    place.run("--cores", "2", *FEWER, *BOTH_TASKS)
    return place


def folder_beside(local: Place, name: str) -> ClusterPlace:
    place = ClusterPlace(local.repository, local.folder.parent / name)
    place.folder.mkdir()
    return place


def late_files(folder: Path) -> Path:
    library = folder / "late_files.so"
    source = Path(__file__).with_name("late_files.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def with_folds(local: Place, name: str) -> ClusterPlace:
    """A place where all before the trainings is done."""
    folder = local.folder.parent / name
    subprocess.run(["cp", "-a", local.folder, folder], check=True)
    for arm in ARMS:
        for task in ("ecg", "nuclei"):
            shutil.rmtree(folder / "results" / "tiny" / task / arm)
    # What Snakemake noted of the trainings that are taken away would be true of no others.
    shutil.rmtree(folder / ".snakemake" / "metadata")
    return ClusterPlace(local.repository, folder)


# ------------------------------------------------------------------ all of it


@pytest.mark.slow
def test_the_demo_study_is_the_local_one_to_the_byte_and_gpus_are_never_shared(local: Place) -> None:
    here = Place(local.repository, local.folder.parent / "demo_here")
    here.folder.mkdir()
    here.run("--cores", "2", study="demo", timeout_s=DEMO_TIMEOUT_S)
    place = folder_beside(local, "demo")
    place.run(study="demo", timeout_s=DEMO_TIMEOUT_S)
    assert (place.folder / "results" / "demo" / "report.html").is_file()
    for below in ("results", "data"):
        assert place.digests(below) == here.digests(below)

    jobs = records(place)
    assert {job.state for job in jobs} == {"COMPLETED"}
    # What downloads, and the copy of the config, run where Snakemake does.
    assert Counter(kind_of(job) for job in jobs) == {
        "extract_samples": 2,
        "folds": 2,
        "baselines": 1,
        "train_network": 40,
        "summary": 1,
    }
    training = [job for job in jobs if kind_of(job) == "train_network"]
    others = [job for job in jobs if kind_of(job) != "train_network"]
    assert [(job.gpus, job.cpus) for job in training] == [(1, 1)] * 40
    assert {job.gpus for job in others} == {0}
    assert max(job.cpus for job in others) == 4
    at_once = [sum(other.start_s <= job.start_s < other.end_s for other in training) for job in training]
    assert max(at_once) == GPUS
    assert any(job.overlaps(other) for job in others for other in training)
    assert not list((place.folder / "logs" / "slurm").rglob("*.log"))


@pytest.mark.slow
def test_files_that_are_seen_late_are_waited_for(local: Place, tmp_path: Path) -> None:
    # Three jobs, each of which reads what the one before it wrote.
    run = f"{ECG}/weighted/reduced/fold1/seed42"
    library = late_files(tmp_path)
    patient = folder_beside(local, "late")
    patient.run_late(library, 4, f"{run}/model.pt")
    assert patient.digests(run) == local.digests(run)
    assert [job.state for job in records(patient)] == ["COMPLETED"] * 3

    # What is waited for is late indeed.
    hasty = folder_beside(local, "hasty")
    output = hasty.run_late(library, 30, f"{run}/model.pt", "--latency-wait", "1", "--retries", "0", ok=False)
    assert "some output files are missing. Missing files after 1 seconds." in output


# ------------------------------------------------------------------- failures


def test_a_failure_is_tried_again_and_one_that_stays_is_named_with_its_logs(local: Place) -> None:
    place = with_folds(local, "failing")
    (place.folder / "spy").mkdir()
    (place.folder / "spy" / "sitecustomize.py").write_text(FAILURES)
    runs = {name: f"{ECG}/{name}/seed42" for name in ("coord/reduced/fold1", "coord/reduced/fold2")}
    always = f"{ECG}/weighted/reduced/fold1/seed42"
    output = place.run(*(f"{run}/log.csv" for run in (*runs.values(), always)), ok=False)

    attempts = {path.name: len(path.read_text()) for path in place.folder.glob("attempts-*")}
    # Thrice and not more: no attempt is repeated inside its allocation.
    assert attempts == {"attempts-coord-1": 2, "attempts-coord-2": 1, "attempts-weighted-1": 3}
    for run in runs.values():
        assert place.digests(run) == local.digests(run)
    assert not (place.folder / always / "log.csv").exists()

    tries = [job for job in records(place) if "weighted" in job.comment]
    assert [(job.memory, job.limit) for job in tries] == [
        ("4000M", "04:00:00"),
        ("8000M", "08:00:00"),
        ("12000M", "12:00:00"),
    ]
    assert "logs/tiny/ecg/weighted/reduced/fold1/seed42.log" in output
    own = (place.folder / "logs/tiny/ecg/weighted/reduced/fold1/seed42.log").read_text()
    assert "error: pretended: failure of weighted, fold 1" in own
    named = set(re.findall(rf"{place.folder}/logs/slurm/rule_train_network/ecg_weighted\w+/\d+\.log", output))
    assert len(named) == 3
    for path in named:
        assert error_lines(Path(path).read_text())[0] == "error: pretended: failure of weighted, fold 1"


# ----------------------------------------------------------------------- kill


def wait_until(what: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + HANGS_S
    while not what():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_after_a_kill_resume_cancels_what_runs_and_repeats_nothing_that_finished(local: Place) -> None:
    place = with_folds(local, "killed")
    arguments = [
        *(f"{ECG}/{arm}/reduced/fold{fold}/seed42/log.csv" for arm in ARMS for fold in (1, 2)),
        "--config",
        "train={epochs: 150}",
    ]
    logs = {
        (arm, fold): place.folder / f"logs/tiny/ecg/{arm}/reduced/fold{fold}/seed42.log"
        for arm in ARMS
        for fold in (1, 2)
    }
    for log in logs.values():
        log.unlink()
    process = place.start(*arguments)
    wait_until(lambda: sum(epochs_logged(log) >= 2 for log in logs.values()) == GPUS)
    refused = unlock(place)
    assert refused.returncode == 1
    assert "a study is running here" in refused.stderr
    assert (place.folder / ".snakemake" / "owner").read_text() == f"{process.pid} {socket.gethostname()}"
    process.kill()
    process.communicate()

    # SLURM does not know of it: the two go on to their end, and the next two start.
    first = {key for key, log in logs.items() if epochs_logged(log)}
    second = set(logs) - first
    wait_until(lambda: all(epochs_logged(logs[key]) >= 2 for key in second))
    finished = {path: path.stat().st_mtime_ns for path in (place.folder / ECG).rglob("log.csv")}
    assert {(path.parts[-5], int(path.parts[-3][4:])) for path in finished} == first
    assert sorted(job.state for job in records(place)) == ["COMPLETED", "COMPLETED", "RUNNING", "RUNNING"]

    released = unlock(place)
    assert released.returncode == 0
    assert "cancelling 2 SLURM job(s) that the dead study has left" in released.stderr
    wait_until_nobody_works_in(place.folder)
    stopped = {key: epochs_logged(logs[key]) for key in second}
    assert all(2 <= epochs < 150 for epochs in stopped.values())

    place.run(*arguments)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    for key in second:
        going_on = re.search(r"going on after epoch (\d+)", logs[key].read_text())
        assert going_on is not None
        assert int(going_on[1]) in (stopped[key], stopped[key] + 1)
    assert Counter(job.state for job in records(place)) == {"COMPLETED": 4, "CANCELLED": 2}

    arm, fold = min(second)
    run = f"{ECG}/{arm}/reduced/fold{fold}/seed42"
    undisturbed = Place(local.repository, local.folder.parent / "undisturbed")
    subprocess.run(["cp", "-a", local.folder, undisturbed.folder], check=True)
    undisturbed.run(f"{run}/log.csv", *arguments[4:])
    assert place.digests(run) == undisturbed.digests(run)


# ---------------------------------------------------------------------- parts


def test_one_fold_is_one_job_and_a_report_says_what_is_missing(local: Place) -> None:
    place = with_folds(local, "part")
    run = "results/tiny/nuclei/weighted/reduced/fold2/seed42"
    shutil.rmtree(place.folder / "results" / "tiny" / "stats")
    place.run(f"{run}/model.pt", *BOTH_TASKS)
    assert [(kind_of(job), job.gpus) for job in records(place)] == [("train_network", 1)]
    assert place.digests(run) == local.digests(run)
    command = [sys.executable, "-m", "siwcc.cli.main", "report", "results/tiny"]
    done = subprocess.run(
        command, cwd=place.folder, env=place.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (place.folder / "results" / "tiny" / "report.html").read_text()
    assert re.search(r"weighted coordinates: fold 1\b", page)
