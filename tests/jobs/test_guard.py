"""Claims to shared data, the checks before the first job of a real Snakemake, and the release of a study's folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from places import HANGS_S, REPOSITORY
from refusals import refused

from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.locks import FolderClaim, claim_to
from siwcc.jobs import guard

# Each job waits for a file, so that a test decides when it ends.
SNAKEFILE = """
import os
from pathlib import Path
from siwcc.io.errors import InputError
from siwcc.jobs import guard
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

guard.hold_data(workflow, ["ecg"], logger.warning)

rule make_samples:
    output: guard.DATA.files("{dataset}")
    shell: "touch making; until test -e may_make; do sleep 0.05; done; touch {output}"

rule use_samples:
    input: "data/samples/ecg.h5"
    output: "results/table.csv"
    log: "logs/table.log"
    benchmark: "locked/table.tsv"
    shell: "touch using; until test -e may_use; do sleep 0.05; done; touch {output}"

onstart:
    # A folder without permissions is writable for root.
    os.access = lambda folder, mode: Path(folder).name != "locked"
    try:
        guard.start_study(workflow, ["ecg"], lambda name: None)
    except InputError as error:
        raise WorkflowError(str(error)) from None
"""

INTERNALS = """
import json
from siwcc.jobs import guard

def absent(value, protocol):
    used = {*vars(protocol).get("__annotations__", {}), *vars(protocol)}
    return [f"{protocol.__name__}.{name}" for name in used if name[0] != "_" and not hasattr(value, name)]

with open("read.txt", "a") as handle:
    print(workflow.is_main_process, file=handle)

rule one:
    output: "{dataset}.txt"
    log: "{dataset}.log"
    benchmark: "{dataset}.tsv"
    run: open(output[0], "w").close()

onstart:
    (job,) = workflow.dag.needrun_jobs()
    missing = absent(workflow, guard.Workflow) + absent(workflow.dag, guard.Dag)
    missing += absent(workflow.scheduler, guard.Scheduler) + absent(job, guard.Job)
    limits = [workflow.scheduler.job_rate_limiter]
    guard.lift_rate_limit(workflow)
    limits.append(workflow.scheduler.job_rate_limiter)
    values = {
        "missing": missing,
        "finished": workflow.dag.finished(job),
        "files": [*job.output, *job.log, job.benchmark, job.wildcards.dataset],
        "limited": [limit is not None for limit in limits],
        "locked": any(guard.LOCKS.glob("*")),
    }
    with open("internals.json", "w") as handle:
        json.dump(values, handle)
"""

# `squeue` prints the lines of `queue`; `scancel` empties it, unless there is a file `stubborn`.
SQUEUE = """#!/bin/sh
test -e {root}/down && {{ echo 'slurm_load_jobs error' >&2; exit 1; }}
test "$*" = '--me --noheader --format=%A|%Z|%k' && cat {root}/queue
"""
SCANCEL = """#!/bin/sh
echo "$@" > {root}/cancelled
test -e {root}/stubborn || : > {root}/queue
"""


def refusal_of(call: Callable[[], Any]) -> InputError:
    """The error with which a call refuses."""
    with pytest.raises(InputError) as caught:
        call()
    return caught.value


def wait_for(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


# ------------------------------------------------- claims and a real Snakemake


def start_snakemake(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_snakemake(folder: Path, *arguments: str) -> tuple[int, str]:
    process = start_snakemake(folder, *arguments)
    output, _ = process.communicate(timeout=HANGS_S)
    return process.returncode, output


def study(folder: Path, data: Path) -> Path:
    """A working directory that shares a data/ with others."""
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    data.mkdir(exist_ok=True)
    (folder / "data").symlink_to(data)
    return folder


def complete(data: Path) -> None:
    """Empty files in the place of a data set's."""
    for path in DataLayout(data).files("ecg"):
        path.parent.mkdir(exist_ok=True)
        path.touch()


def is_readable(data: Path) -> bool:
    """Whether another process could claim the data set to read it."""
    claim = FolderClaim(data / ".claims" / "ecg")
    try:
        return claim.try_to_hold(alone=False)
    finally:
        claim.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory with data/, of a process that has claimed nothing."""
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    # Options of pytest may look like those of a dry run.
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    # The cache of claims has paths that are relative to the working directory.
    claim_to.cache_clear()
    yield tmp_path
    claim_to.cache_clear()


def test_this_snakemake_has_every_attribute_that_is_used(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(INTERNALS)
    code, output = run_snakemake(tmp_path, "one.txt")
    assert (tmp_path / "internals.json").is_file(), output
    found = json.loads((tmp_path / "internals.json").read_text())
    assert found["missing"] == []
    assert found["files"] == ["one.txt", "one.log", "one.tsv", "one"]
    assert (found["finished"], found["locked"]) == (False, True)
    # A local run has a limit by default, and has none after the study has started.
    assert found["limited"] == [True, False]
    # The job is a process of its own, which reads the Snakefile again.
    assert (tmp_path / "read.txt").read_text().split() == ["True", "False"]
    assert code == 0, output


def test_data_are_claimed_alone_while_they_are_made_and_a_second_study_waits(tmp_path: Path) -> None:
    data = tmp_path / "shared"
    first, second = study(tmp_path / "first", data), study(tmp_path / "second", data)
    (second / "may_use").touch()
    maker = start_snakemake(first, "results/table.csv")
    try:
        wait_for((first / "making").exists)
        assert (first / guard.OWNER_FILE).read_text() == f"{maker.pid} {socket.gethostname()}"
        assert not is_readable(data)
        reader = start_snakemake(second, "results/table.csv")
        assert reader.stdout is not None
        assert any(str(data) in line and "waiting" in line for line in reader.stdout)
        (first / "may_make").touch()
        # The first study goes on, and no longer changes the data.
        output, _ = reader.communicate(timeout=HANGS_S)
        assert reader.returncode == 0, output
        assert (first / "using").exists()
        assert maker.poll() is None
        assert not (second / "making").exists()
    finally:
        (first / "may_make").touch()
        (first / "may_use").touch()
        output, _ = maker.communicate(timeout=HANGS_S)
    assert maker.returncode == 0, output


def test_data_that_are_in_use_are_not_made_again(tmp_path: Path) -> None:
    data = tmp_path / "shared"
    folder = study(tmp_path / "one", data)
    complete(data)
    claim = FolderClaim(data / ".claims" / "ecg")
    assert claim.try_to_hold(alone=False)
    code, output = run_snakemake(folder, "data/samples/ecg.h5", "--force")
    claim.close()
    assert code == 1
    assert [line for line in output.splitlines() if line.startswith(f"{data}: ") and "ecg" in line]
    assert "Traceback" not in output
    assert not (folder / "making").exists()


def test_a_folder_that_is_not_writable_is_named_before_any_job(tmp_path: Path) -> None:
    folder = study(tmp_path / "one", tmp_path / "shared")
    (folder / "locked").mkdir()
    code, output = run_snakemake(folder, "results/table.csv")
    assert code == 1
    assert [line for line in output.splitlines() if line.startswith(f"{folder / 'locked'}: ")]
    assert "Traceback" not in output
    assert not (folder / "making").exists()


# ------------------------------------------------------- claims in one process


def stand_in(**values: Any) -> Any:
    """A workflow, or a part of it, with these attributes."""
    return SimpleNamespace(**values)


def job_of(*output: str, dataset: str = "ecg") -> Any:
    return stand_in(output=output, log=(), benchmark=None, wildcards=stand_in(dataset=dataset))


def test_a_queue_keeps_its_rate_limit() -> None:
    scheduler = stand_in(job_rate_limiter="limit")
    guard.lift_rate_limit(stand_in(local_exec=False, scheduler=scheduler))
    assert scheduler.job_rate_limiter == "limit"


def test_complete_data_are_claimed_together_and_missing_data_alone(here: Path) -> None:
    workflow = stand_in(is_main_process=True)
    guard.hold_data(workflow, ["ecg"], pytest.fail)
    assert not is_readable(here / "data")
    complete(here / "data")
    guard.hold_data(workflow, ["ecg"], pytest.fail)
    assert is_readable(here / "data")


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_job_and_a_dry_run_claim_nothing(here: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake", *words])
    guard.hold_data(stand_in(is_main_process=bool(words)), ["ecg"], pytest.fail)
    assert list((here / "data").iterdir()) == []


def test_options_that_run_no_job_are_those_of_snakemake() -> None:
    from snakemake.cli import get_argument_parser

    options = [option for action in get_argument_parser()._actions for option in action.option_strings]
    found = {option for option in options if guard.NO_RUN.fullmatch(option)}
    expected = {"-n", "--dry-run", "--dryrun", "--lint", "--unlock", "--summary", "--detailed-summary", "--report"}
    assert found >= expected | {"--dag", "--rulegraph", "--filegraph", "--list-rules"}
    assert guard.NO_RUN.fullmatch("-pn")
    assert not [word for word in ("-c1", "--cores", "--nolock", "--notemp") if guard.NO_RUN.fullmatch(word)]


def test_a_study_in_a_locked_folder_does_not_wait(here: Path) -> None:
    claim = FolderClaim(here / "data" / ".claims" / "ecg")
    assert claim.try_to_hold(alone=True)
    (here / guard.LOCKS).mkdir(parents=True)
    (here / guard.LOCKS / "0.output.lock").touch()
    guard.wait_for_data("ecg", pytest.fail)
    claim.close()


def test_data_in_a_read_only_folder_need_no_claim(here: Path) -> None:
    (here / "data" / ".claims").touch()
    assert guard.claim_data("ecg", alone=True)


def test_data_that_another_study_makes_are_not_read(here: Path) -> None:
    (here / ".snakemake").mkdir()
    claim = FolderClaim(here / "data" / ".claims" / "ecg")
    assert claim.try_to_hold(alone=True)
    workflow = stand_in(local_exec=False, dag=stand_in(needrun_jobs=lambda: iter(())))
    error = refusal_of(lambda: guard.start_study(workflow, ["ecg"], pytest.fail))
    assert error.where == str(here / "data")
    assert "making ecg" in error.problem
    claim.close()


def test_only_samples_that_will_be_made_are_checked() -> None:
    jobs = [
        job_of("data/raw/ecg.manifest.csv"),
        job_of("data/samples/ecg.h5", "data/samples/ecg.excluded.csv"),
        job_of("data/raw/cells.manifest.csv", dataset="cells"),
        job_of("results/table.csv"),
    ]
    checked: list[str] = []
    assert guard.makers_of_data(jobs, checked.append) == {"ecg": jobs[:2], "cells": [jobs[2]]}
    assert checked == ["ecg"]


def test_samples_are_not_replaced_by_those_of_other_settings(here: Path) -> None:
    def refused(settings: dict[str, Any]) -> InputError:
        return refusal_of(lambda: guard.check_samples_protocol("ecg", settings))

    guard.check_samples_protocol("ecg", {"window_s": 20.0})
    complete(here / "data")
    guard.DATA.protocol("ecg").write_text('{"window_s": 20.0, "rate_hz": 250}')
    guard.check_samples_protocol("ecg", {"rate_hz": 250, "window_s": 20.0})
    error = refused({"rate_hz": 250, "window_s": 10.0})
    assert error.where == str(guard.DATA.samples("ecg"))
    assert [word in error.problem for word in ("window_s", "20.0", "10.0", "rate_hz")] == [True, True, True, False]
    # A setting that did not exist when the samples were made.
    assert "leads" in refused({"leads": 2, "rate_hz": 250, "window_s": 20.0}).problem
    # Stored from 0, shown as the config numbers them.
    guard.DATA.protocol("ecg").write_text('{"leads": [0, 1]}')
    guard.check_samples_protocol("ecg", {"leads": [0, 1]})
    assert re.findall(r"\[[\d, ]+\]", refused({"leads": [2, 0]}).problem) == ["[1, 2]", "[3, 1]"]
    guard.DATA.protocol("ecg").write_text("{")
    error = refused({})
    assert error.where == str(guard.DATA.protocol("ecg"))
    assert "data/samples/ecg.*" in error.remedy


def test_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert guard.first_existing(tmp_path / "a" / "b") == tmp_path
    assert guard.first_existing(tmp_path) == tmp_path


# --------------------------------------------------- who may release a folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's folder and an imitation of SLURM, whose queue has jobs of this study and of others."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        (programs / name).write_text(text.format(root=tmp_path))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    folder = tmp_path / "a | folder"
    (folder / guard.LOCKS).mkdir(parents=True)
    monkeypatch.chdir(folder)
    lines = [
        f"11|{folder}|rule_train_network_wildcards_ecg_coord_full_1_42",
        f"12|{folder}|group_folds_assign_folds_augment_fold",
        f"13|{folder}|(null)",
        f"14|{tmp_path}|rule_train_network_wildcards_ecg_coord_full_1_42",
    ]
    (tmp_path / "queue").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_jobs_that_a_dead_study_left_are_cancelled_and_no_others(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.check_alone(place)
    assert (place.parent / "cancelled").read_text() == "11 12\n"
    assert capsys.readouterr().err.startswith(f"{place}: cancelling 2 SLURM job(s)")


def test_jobs_that_do_not_end_keep_the_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.parent / "stubborn").touch()
    monkeypatch.setattr(guard, "_CANCEL_WAIT_S", 0.0)
    error = refusal_of(lambda: guard.check_alone(place))
    assert (error.where, "11, 12" in error.problem) == (str(place), True)


def test_a_silent_slurm_keeps_the_folder_only_of_a_study_that_used_it(place: Path) -> None:
    (place.parent / "down").touch()
    guard.check_alone(place)
    (place / "logs" / "slurm").mkdir(parents=True)
    assert "(slurm_load_jobs error)" in refusal_of(lambda: guard.check_alone(place)).problem
    assert not (place.parent / "cancelled").exists()


def test_a_study_of_another_machine_keeps_the_folder(place: Path) -> None:
    owner = place / guard.OWNER_FILE
    owner.write_text("17 login7")
    guard.check_alone(place)
    (place / guard.LOCKS / "0.output.lock").touch()
    error = refusal_of(lambda: guard.check_alone(place))
    assert "login7" in error.problem
    assert str(guard.OWNER_FILE) in error.remedy
    owner.write_text(f"17 {socket.gethostname()}")
    guard.check_alone(place)


def test_a_study_of_another_user_keeps_the_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # psutil gives None for the folder of another user's process.
    foreign = [{"pid": pid, "cmdline": ["python", "/usr/bin/snakemake", "--cores"], "cwd": None} for pid in (70, 71)]
    monkeypatch.setattr(psutil, "process_iter", lambda _: [SimpleNamespace(info=info) for info in foreign])
    (place / guard.OWNER_FILE).write_text(f"71 {socket.gethostname()}")
    guard.check_alone(place)
    (place / guard.LOCKS / "0.output.lock").touch()
    assert "(process 71)" in refusal_of(lambda: guard.check_alone(place)).problem


@contextmanager
def imitated_snakemakes(*started: tuple[Path, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that look like Snakemake, each in a folder and in a mode."""
    program = "import time; print(flush=True); time.sleep(60)"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, "snakemake", "--mode", mode], cwd=folder, stdout=subprocess.PIPE
        )
        for folder, mode in started
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_the_snakemake_inside_a_slurm_job_is_no_owner(place: Path) -> None:
    with imitated_snakemakes((place, "remote"), (place, "default")) as (_, main):
        assert guard.owners(place) == [main.pid]


def test_what_a_cancelled_job_leaves_on_this_machine_is_killed(place: Path, tmp_path: Path) -> None:
    started = ((place, "remote"), (tmp_path, "remote"), (place, "default"))
    with imitated_snakemakes(*started) as (hung, elsewhere, main):
        guard.cancel(["11", "12"], place)
        assert hung.wait(timeout=10) == -signal.SIGKILL
        assert (elsewhere.poll(), main.poll()) == (None, None)


@pytest.mark.parametrize("folder", ["a b", "$HOME", "it's", 'q"q', "{a}", "日本"])
def test_python_gets_a_name_that_needs_no_quotes(here: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    python = here / folder / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    for _ in range(2):
        guard.quote_python()
        command = f"{sys.executable} -S -c 'import sys; print(sys.argv[1:])' 'a  b'"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert done.stdout == "['a  b']\n"
    assert sys.executable == str(guard.PYTHON)


def test_a_plain_name_of_python_stays(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    guard.quote_python()
    assert sys.executable == "/usr/bin/python3"
    assert not guard.PYTHON.exists()


@pytest.mark.parametrize(
    "name", ["a b", "{", "{}", "} {", "{a}", "{a} {b}", "{a}/{a}", "${HOME}", "{a b}", "{-1}", "{日本}"]
)
def test_folders_in_which_snakemake_runs(name: str) -> None:
    guard.check_folder_name(Path("/data") / name)


@pytest.mark.parametrize("name", ["{0}", "{1a}", "{n}", "{ n }", "{a,b}", "{a,[}"])
def test_folders_that_snakemake_reads_as_a_pattern(name: str) -> None:
    with refused(Path("/data") / name, remedy="rename"):
        guard.check_folder_name(Path("/data") / name)


def test_a_local_copy_that_does_not_exist_is_refused_while_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main, job = (SimpleNamespace(is_main_process=is_main) for is_main in (True, False))
    guard.check_source(job, "mine", tmp_path / "absent")
    guard.check_source(main, "mine", None)
    guard.check_source(main, "mine", tmp_path)
    with pytest.raises(InputError) as caught:
        guard.check_source(main, "mine", tmp_path / "absent")
    assert caught.value.where == str(tmp_path / "absent")
    assert "datasets.mine.path" in caught.value.remedy
    for path in guard.DATA.files("mine"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    # All is made already: a study goes on without the copy.
    guard.check_source(main, "mine", tmp_path / "absent")


def test_records_that_are_not_those_that_were_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main, job = (SimpleNamespace(is_main_process=is_main) for is_main in (True, False))
    mine, moved = tmp_path / "mine", tmp_path / "moved"
    mine.mkdir()
    for name in ("r1.hea", "r1.dat", "notes.txt", "._r1.hea"):
        (mine / name).write_text(name)
    guard.check_records(main, "mine", mine)
    manifest = guard.DATA.manifest("mine")
    manifest.parent.mkdir(parents=True)
    manifest.write_text("file,bytes,sha256\nr1.dat,6,0\nr1.hea,6,0\n")
    shutil.copytree(mine, moved)
    for folder in (mine, moved, tmp_path / "absent", None):
        guard.check_records(main, "mine", folder)
    (mine / "r2.hea").touch()
    (moved / "r1.dat").unlink()
    for folder, differing in ((mine, "r2.hea"), (moved, "r1.dat")):
        with refused(folder / differing, remedy="/data/*/mine.*"):
            guard.check_records(main, "mine", folder)
        guard.check_records(job, "mine", folder)
    (moved / "r1.dat").write_text("longer than it was")
    with refused(moved / "r1.dat", remedy="/data/*/mine.*"):
        guard.check_records(main, "mine", moved)
    manifest.write_text("file\n")
    with refused(manifest, remedy="/data/*/mine.*"):
        guard.check_records(main, "mine", moved)
    monkeypatch.setattr(sys, "argv", ["snakemake", "--unlock"])
    guard.check_records(main, "mine", moved)
