"""A study with its log in a file: what the terminal shows of it, against small workflows of a real Snakemake."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import HANGS_S

from siwcc.jobs.run_study import report_of

SNAKEFILE = """
rule all:
    input: "b"
rule make_first:
    output: "a"
    shell: "{first}"
rule make_second:
    input: "a"
    output: "b"
    shell: "echo 'warning: a lead is missing' >&2; cp a b"
"""


def command(folder: Path, first: str, *more: str) -> list[str]:
    (folder / "Snakefile").write_text(SNAKEFILE.replace("{first}", first))
    return [sys.executable, "-m", "siwcc.jobs.run_study", "logs/snakemake.log", "--cores", "1", *more]


def run(folder: Path, first: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, first, *more), cwd=folder, capture_output=True, text=True, timeout=HANGS_S)


def wait_for(path: Path) -> None:
    end = time.monotonic() + HANGS_S
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_without_a_terminal_each_stage_has_a_line_and_snakemake_has_its_log(tmp_path: Path) -> None:
    done = run(tmp_path, "echo x > a")
    assert (done.returncode, done.stdout) == (0, "")
    *stages, last = done.stderr.splitlines()
    assert stages == [
        "make first (0 of 3 steps done)",
        "make second (1 of 3 steps done)",
        "warning: a lead is missing",
    ]
    assert re.search(r" \d+:\d\d:\d\d; .*logs/snakemake\.log$", last)
    assert (tmp_path / "b").read_text() == "x\n"
    assert "3 of 3 steps (100%) done" in (tmp_path / "logs/snakemake.log").read_text()


def test_the_error_of_a_job_comes_last_and_once(tmp_path: Path) -> None:
    done = run(tmp_path, "echo 'error: x.csv: is damaged; delete it' >&2; exit 1", "--retries", "1")
    assert done.returncode == 1
    log, error = done.stderr.splitlines()[-2:]
    assert log.endswith("logs/snakemake.log")
    assert error == "error: x.csv: is damaged; delete it"
    assert done.stderr.count(error) == 1


@pytest.mark.parametrize(
    ("first", "error"),
    [
        # As on a cluster, where jobs do not write into Snakemake's log.
        ("echo 'error: x.csv: is damaged' > '{log}'; exit 1", "error: x.csv: is damaged"),
        ("kill -9 $$", "error: make first: "),
    ],
)
def test_a_failed_job_has_its_log_and_its_error_last(tmp_path: Path, first: str, error: str) -> None:
    words = command(tmp_path, first)
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(snakefile.read_text().replace('output: "a"', 'output: "a"\n    log: "logs/first 1.log"'))
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=HANGS_S)
    assert done.returncode == 1
    of_all, of_job, last = done.stderr.splitlines()[-3:]
    assert of_all.endswith(" logs/snakemake.log")
    assert of_job.endswith(" logs/first 1.log")
    assert last.startswith(error)


def test_a_second_study_leaves_the_log_of_the_first_alone(tmp_path: Path) -> None:
    first = subprocess.Popen(command(tmp_path, "touch started; sleep 4; echo x > a"), cwd=tmp_path)
    wait_for(tmp_path / "started")
    log = (tmp_path / "logs/snakemake.log").open()
    second = run(tmp_path, "touch started; sleep 4; echo x > a")
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1].startswith(f"error: {tmp_path}: ")
    assert first.wait(HANGS_S) == 0
    assert "3 of 3 steps (100%) done" in log.read()


def test_a_dry_run_is_printed_as_snakemake_does_and_leaves_no_log(tmp_path: Path) -> None:
    done = run(tmp_path, "echo x > a", "-n")
    assert done.returncode == 0
    assert {"make_first", "make_second", "all", "total"} <= {line.split(" ")[0] for line in done.stdout.splitlines()}
    assert not (tmp_path / "logs").exists()
    assert not (tmp_path / "a").exists()


def test_a_study_that_is_complete_has_nothing_to_do(tmp_path: Path) -> None:
    assert run(tmp_path, "echo x > a").returncode == 0
    done = run(tmp_path, "echo x > a")
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)


def test_a_termination_reaches_snakemake(tmp_path: Path) -> None:
    child = subprocess.Popen(command(tmp_path, "touch started; sleep 3; echo x > a"), cwd=tmp_path)
    wait_for(tmp_path / "started")
    child.terminate()
    assert child.wait(HANGS_S) != 0
    # It lets running jobs end and starts no other.
    assert not (tmp_path / "b").exists()
    assert not list((tmp_path / ".snakemake/locks").glob("*"))


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ([], "paper"),
        (["--config", "study=mine", "seed=1"], "mine"),
        (["--snakefile", "workflow/leakage_ablation.smk"], "paper"),
    ],
)
def test_the_report_is_that_of_the_study_that_was_asked_for(tmp_path: Path, more: list[str], name: str) -> None:
    overlay = tmp_path / "paper-ecg.yaml"
    overlay.write_text(f"study: paper{'-sample-zero_fill' if '--snakefile' in more else ''}\n")
    assert report_of(["--cores", "1", "--configfile", str(overlay), *more]) == Path("results", name, "report.html")
    assert report_of(["--cores", "1"]) is None


@pytest.mark.parametrize("more", [[], ["-n"]])
def test_a_workflow_that_cannot_start_says_why(tmp_path: Path, more: list[str]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("a: [")
    done = run(tmp_path, "true", *more, "--configfile", str(path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    done = run(tmp_path, "echo x > a")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: logs/snakemake.log: cannot be written")
    assert not (tmp_path / "a").exists()


def test_a_terminal_gets_one_bar_that_is_removed(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    # Long enough to be drawn.
    child = subprocess.Popen(command(tmp_path, "sleep 1; echo x > a"), cwd=tmp_path, stderr=theirs)
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part
    assert child.wait(HANGS_S) == 0
    text = shown.decode()
    assert "make first" in text
    # Erased, one line for the warning and one for the end.
    assert text.count("\r\n") <= 3
    assert "steps done" not in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed
        return b""


def test_an_interrupted_study_says_how_to_resume(tmp_path: Path) -> None:
    child = subprocess.Popen(
        command(tmp_path, "touch started; sleep 60; echo x > a"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(tmp_path / "started")
    # As a terminal does: to the whole group.
    os.killpg(child.pid, signal.SIGINT)
    _, error = child.communicate(timeout=HANGS_S)
    assert child.returncode == 130
    assert error.splitlines()[-1].startswith("interrupted")
    assert not (tmp_path / "a").exists()
    assert run(tmp_path, "echo x > a").returncode == 0


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_lines_are_whole_however_they_are_written(tmp_path: Path, size: int) -> None:
    from siwcc.jobs.run_study import _follow

    text = "one\ntwo µ\n3 of 4 steps (75%) done\nlast without an end"
    script = (
        "import sys, time; data = sys.argv[2].encode(); handle = open(sys.argv[1], 'wb', buffering=0)\n"
        f"for at in range(0, len(data), {size}): handle.write(data[at:at + {size}]); time.sleep(0.005)"
    )
    path = tmp_path / "log"
    path.touch()
    child = subprocess.Popen([sys.executable, "-c", script, str(path), text])
    with path.open(encoding="utf-8", errors="replace") as log:
        assert list(_follow(log, child)) == text.splitlines()
