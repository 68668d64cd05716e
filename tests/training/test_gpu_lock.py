"""One GPU for each run of a machine, on pretended devices."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from siwcc.config import VISIBLE_GPUS, resolve_device
from siwcc.training.gpu_lock import one_gpu, visible_gpus

HOLDER = """
import os, sys, time
from pathlib import Path
from siwcc.training.gpu_lock import one_gpu
with one_gpu("cuda", devices=Path(sys.argv[1])):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with three GPUs and locks of its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv(VISIBLE_GPUS, raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    devices = tmp_path / "dev"
    devices.mkdir()
    for name in ("nvidia10", "nvidia2", "nvidia0", "nvidiactl", "nvidia-uvm"):
        (devices / name).touch()
    return devices


def start(devices: Path, **environment: str) -> subprocess.Popen[str]:
    """A run that holds a GPU until its input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, devices],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def gpu_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate()
        assert process.returncode == 0


def test_what_is_visible_is_what_the_user_or_else_the_machine_says(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert visible_gpus(machine) == ["0", "2", "10"]
    monkeypatch.setenv(VISIBLE_GPUS, "GPU-8932f937, 1")
    assert visible_gpus(machine) == ["GPU-8932f937", "1"]
    for nothing in ("", "-1", "NoDevFiles"):
        monkeypatch.setenv(VISIBLE_GPUS, nothing)
        assert visible_gpus(machine) == []
        assert resolve_device("auto") == "cpu"
        assert resolve_device("cuda") == "cuda"


def test_runs_are_spread_and_one_too_many_waits_for_the_first_that_ends(machine: Path) -> None:
    runs = [start(machine) for _ in range(3)]
    taken = {gpu_of(run): run for run in runs}
    assert set(taken) == {"0", "2", "10"}
    late = start(machine)
    # It would have named its GPU by then. On a slower machine it may not have started: the test then shows less.
    assert select.select([late.stdout], [], [], 3.0)[0] == []
    end(taken.pop("2"))
    assert gpu_of(late) == "2"
    end(late, *taken.values())


def test_a_killed_run_gives_its_gpu_back(machine: Path) -> None:
    runs = [start(machine) for _ in range(3)]
    taken = {gpu_of(run): run for run in runs}
    killed = taken.pop("10")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    after = start(machine)
    assert gpu_of(after) == "10"
    end(after, *taken.values())


def test_the_users_choice_is_kept_to(machine: Path) -> None:
    first, second = (start(machine, CUDA_VISIBLE_DEVICES="2,7") for _ in range(2))
    assert {gpu_of(first), gpu_of(second)} == {"2", "7"}
    end(first, second)


def test_every_allocation_of_a_cluster_has_gpus_of_its_own(machine: Path) -> None:
    # In each the devices are numbered from 0, and are others.
    runs = [start(machine, SLURM_JOB_ID=number, CUDA_VISIBLE_DEVICES="0,1") for number in ("71", "72")]
    assert [gpu_of(run) for run in runs] == ["0", "0"]
    end(*runs)


def test_where_there_is_no_choice_nothing_is_held_or_changed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE_GPUS, "0")
    with one_gpu("cuda", devices=machine), one_gpu("cuda", devices=machine):
        assert os.environ[VISIBLE_GPUS] == "0"
    monkeypatch.delenv(VISIBLE_GPUS)
    with one_gpu("cpu", devices=machine):
        assert VISIBLE_GPUS not in os.environ
    assert list(machine.parent.glob("siwcc-gpus-*")) == []
    with one_gpu("cuda", devices=machine):
        assert os.environ[VISIBLE_GPUS] == "0"
    assert VISIBLE_GPUS not in os.environ


def test_a_promised_gpu_that_is_not_there_is_told(
    machine: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VISIBLE_GPUS, "")
    with caplog.at_level(logging.WARNING, "siwcc"), one_gpu("auto", asked=1, devices=machine):
        pass
    with one_gpu("auto", asked=0, devices=machine), one_gpu("cpu", asked=1, devices=machine):
        pass
    (record,) = caplog.records
    assert "CPU" in record.getMessage()
