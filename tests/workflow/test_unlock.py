"""When a study's folder may be released: nobody of it runs, here, on another machine, or in a queue."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from places import load_program

UNLOCK = Path(__file__).resolve().parents[2] / "workflow" / "unlock.py"
# Answers with the lines of `queue`; scancel takes the jobs out of it, unless they are stubborn.
SQUEUE = """#!/bin/sh
test -e {root}/down && {{ echo 'slurm_load_jobs error' >&2; exit 1; }}
test "$*" = '--me --noheader --format=%A|%Z|%k' && cat {root}/queue
"""
SCANCEL = """#!/bin/sh
echo "$@" > {root}/cancelled
test -e {root}/stubborn || : > {root}/queue
"""


@pytest.fixture
def unlock() -> ModuleType:
    return load_program(UNLOCK)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's folder and a pretended SLURM, whose queue holds jobs of it and others."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        (programs / name).write_text(text.format(root=tmp_path))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    folder = tmp_path / "a | folder"
    (folder / ".snakemake" / "locks").mkdir(parents=True)
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
    unlock: ModuleType, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unlock.check_alone(place)
    assert (place.parent / "cancelled").read_text() == "11 12\n"
    assert capsys.readouterr().err == f"{place}: cancelling 2 SLURM job(s) that the dead study has left\n"


def test_jobs_that_do_not_end_keep_the_folder(unlock: ModuleType, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.parent / "stubborn").touch()
    monkeypatch.setattr(unlock, "_CANCEL_WAIT_S", 0.0)
    with pytest.raises(RuntimeError, match="11, 12 do not end; give the command again when they have"):
        unlock.check_alone(place)


def test_a_silent_slurm_keeps_the_folder_only_of_a_study_that_used_it(unlock: ModuleType, place: Path) -> None:
    (place.parent / "down").touch()
    unlock.check_alone(place)
    (place / "logs" / "slurm").mkdir(parents=True)
    with pytest.raises(RuntimeError, match=re.escape("are running (slurm_load_jobs error)")):
        unlock.check_alone(place)
    assert not (place.parent / "cancelled").exists()


def test_a_study_of_another_machine_keeps_the_folder(unlock: ModuleType, place: Path) -> None:
    owner, lock = place / ".snakemake" / "owner", place / ".snakemake" / "locks" / "0.output.lock"
    owner.write_text("17 login7")
    unlock.check_alone(place)
    lock.touch()
    with pytest.raises(RuntimeError, match=r"a study was started on login7 and has not ended; give the command there"):
        unlock.check_alone(place)
    owner.write_text(f"17 {socket.gethostname()}")
    unlock.check_alone(place)


def test_a_study_of_another_user_keeps_the_folder(
    unlock: ModuleType, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where a foreign process works cannot be read: psutil says None.
    foreign = [{"pid": pid, "cmdline": ["python", "/usr/bin/snakemake", "--cores"], "cwd": None} for pid in (70, 71)]
    monkeypatch.setattr(unlock.psutil, "process_iter", lambda _: [SimpleNamespace(info=info) for info in foreign])
    (place / ".snakemake" / "owner").write_text(f"71 {socket.gethostname()}")
    unlock.check_alone(place)
    (place / ".snakemake" / "locks" / "0.output.lock").touch()
    with pytest.raises(RuntimeError, match=r"a study is running here \(process 71\); wait for it, or end it"):
        unlock.check_alone(place)


def test_targets_among_the_arguments_do_not_swallow_what_unlocks(
    unlock: ModuleType, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snakemake.cli import parse_args

    given: list[list[str]] = []
    monkeypatch.setattr(unlock.os, "execv", lambda program, words: given.append(words))
    unlock.main(["--configfile", "tiny.yaml", "--config", "seed=1", "--", "results/a/model.pt"])
    _, options = parse_args(given[0][given[0].index("snakemake") + 1 :])
    assert options.unlock
    assert [str(path) for path in options.configfile] == ["tiny.yaml"]
    assert options.targets == ["results/a/model.pt"]


@contextmanager
def pretended_snakemakes(*started: tuple[Path, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
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


def test_the_snakemake_inside_a_slurm_job_is_no_owner(unlock: ModuleType, place: Path) -> None:
    with pretended_snakemakes((place, "remote"), (place, "default")) as (_, main):
        assert unlock.owners(place) == [main.pid]


def test_what_a_cancelled_job_leaves_on_this_machine_is_killed(unlock: ModuleType, place: Path, tmp_path: Path) -> None:
    started = ((place, "remote"), (tmp_path, "remote"), (place, "default"))
    with pretended_snakemakes(*started) as (hung, elsewhere, main):
        unlock.cancel(["11", "12"], place)
        assert hung.wait(timeout=10) == -signal.SIGKILL
        assert (elsewhere.poll(), main.poll()) == (None, None)
