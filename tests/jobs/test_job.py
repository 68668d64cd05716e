"""How a job ends: one line, a log, and never as an orphan."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from places import HANGS_S

from siwcc.jobs import job as jobs


def run_job(body: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import logging, warnings\nfrom siwcc.io.errors import InputError\nfrom siwcc.jobs.job import job\n"
        f"with job({str(tmp_path / 'logs' / 'job.log')!r}):\n    {body}\nprint('after')\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=600)


def test_a_job_that_ends_well(tmp_path: Path) -> None:
    done = run_job(
        "logging.getLogger('siwcc.x').info('epoch 1'); logging.getLogger('siwcc.x').warning('odd')", tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "after\n", "odd\n")
    lines = (tmp_path / "logs" / "job.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["INFO siwcc.x: epoch 1", "WARNING siwcc.x: odd"]


def test_bad_input_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    done = run_job("raise InputError('a.dat', 'is cut short', 'fetch it again')", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: a.dat: is cut short; fetch it again\n"
    assert "Traceback" not in (tmp_path / "logs" / "job.log").read_text()
    assert "error: a.dat: is cut short; fetch it again" in (tmp_path / "logs" / "job.log").read_text()


def test_an_unforeseen_error_is_one_line_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    done = run_job("{}['absent']", tmp_path)
    assert done.returncode == 1
    log = tmp_path / "logs" / "job.log"
    assert done.stderr.splitlines()[-1] == f"error: unforeseen KeyError: 'absent' (details: {log})"
    assert "Traceback (most recent call last)" in log.read_text()
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_a_log_that_finds_no_room_ends_the_job_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "job.log").symlink_to("/dev/full")
    done = run_job("logging.getLogger('siwcc.x').info('epoch 1'); print('epoch 2')", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    remedy = "make room or choose another folder, then give the same command again"
    log = tmp_path / "logs" / "job.log"
    assert done.stderr == f"error: {log}: cannot be written (No space left on device); {remedy}\n"


def test_a_log_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    done = run_job("print('epoch 1')", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: .*/logs/job\.log: cannot be written \(.*\); make room or .*\n", done.stderr)


def test_a_second_run_starts_its_log_anew(tmp_path: Path) -> None:
    run_job("logging.getLogger('siwcc').info('first')", tmp_path)
    run_job("logging.getLogger('siwcc').info('second')", tmp_path)
    assert (tmp_path / "logs" / "job.log").read_text().count("\n") == 1


def test_what_a_job_made_is_not_searched_for_garbage_at_the_end(tmp_path: Path) -> None:
    program = (
        "import gc\nfrom siwcc.jobs.job import job\nbefore = gc.get_freeze_count()\n"
        f"with job({str(tmp_path / 'job.log')!r}):\n    made = [[] for _ in range(10_000)]\n"
        "print(gc.get_freeze_count() - before > 10_000, gc.isenabled())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout == "True True\n"


# ------------------------------------------------------------------- orphans


CHILD = """
import os, time
from siwcc.jobs.job import end_with_parents
end_with_parents("siwcc_owner")
print(os.getpid(), flush=True)
time.sleep(600)
"""
OWNER = """
import subprocess, sys
child = subprocess.Popen([{shell}sys.executable, "-c", {child!r}], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), flush=True)
child.wait()
"""


def start_owner(tmp_path: Path, name: str, shell: str = "") -> tuple[subprocess.Popen[str], psutil.Process]:
    program = tmp_path / name
    program.write_text(OWNER.format(child=CHILD, shell=shell))
    owner = subprocess.Popen([sys.executable, program, "--cores", "1"], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    return owner, psutil.Process(int(owner.stdout.readline()))


def kill_all(*processes: psutil.Process) -> None:
    for process in processes:
        for each in (*process.children(recursive=True), process):
            each.kill()


def ends_within(process: psutil.Process, seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


SHELL = """'sh', '-c', '"$@"; true', 'sh', """


@pytest.mark.parametrize("shell", ["", SHELL], ids=["child", "grandchild"])
def test_a_job_ends_after_its_owner_was_killed(tmp_path: Path, shell: str) -> None:
    owner, child = start_owner(tmp_path, "siwcc_owner", shell)
    assert not ends_within(child, 1.2)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert ends_within(child, HANGS_S)


def test_a_job_ends_after_what_stood_between_it_and_its_owner(tmp_path: Path) -> None:
    owner, child = start_owner(tmp_path, "siwcc_owner", SHELL)
    (shell,) = psutil.Process(owner.pid).children()
    assert shell.pid != child.pid
    shell.kill()
    assert ends_within(child, HANGS_S)
    owner.kill()
    owner.wait()


def run_owned(owner: int, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    log = tmp_path / "job.log"
    log.write_text("of another job")
    program = f"from siwcc.jobs.job import job\nwith job({str(log)!r}):\n    print('body')\n"
    environment = os.environ | {jobs.OWNER: str(owner)}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)


def test_a_job_whose_owner_was_killed_while_it_started_does_nothing(tmp_path: Path) -> None:
    assert run_owned(os.getpid(), tmp_path).stdout == "body\n"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    done = run_owned(ended.pid, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: process {ended.pid}, which started this job, has ended\n"
    assert (tmp_path / "job.log").read_text() == "of another job"


def test_a_parent_of_another_name_may_go(tmp_path: Path) -> None:
    # It mentions the name in a path, as the shell around a Snakemake script does.
    owner, child = start_owner(tmp_path, "start_siwcc_owner.py")
    owner.kill()
    owner.wait()
    try:
        assert not ends_within(child, 1.5)
    finally:
        kill_all(child)


def test_a_process_that_vanishes_while_it_is_looked_at_is_dead() -> None:
    class Vanishing:
        def is_running(self) -> bool:
            return True

        def status(self) -> str:
            raise psutil.NoSuchProcess(1)

    assert not jobs._is_alive(Vanishing())
    assert jobs._is_alive(psutil.Process(os.getpid()))
