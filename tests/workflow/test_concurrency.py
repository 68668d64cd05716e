"""Two at one thing: processes in one folder, studies that share data/, jobs at one file."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import HANGS_S, Place, planned_jobs, rules_in, unlock, wait_until_nobody_works_in
from test_workflow import ONE_RUN, REPOSITORY, RUN_FILES, epochs_logged, wait_for_epochs

from siwcc.io.files import sha256_of
from siwcc.io.run_key import STATE_NAME

pytestmark = pytest.mark.slow

FOLDS = ("folds.csv", "strata.csv", "manifest.json")


# ---------------------------------------------------------------- one folder


def resume(place: Place) -> subprocess.CompletedProcess[str]:
    """`make resume` in the place's folder, with the interpreter of the tests."""
    for part in ("workflow", "resources", "Snakefile"):
        (place.folder / part).symlink_to(place.repository / part)
    command = ["make", "--makefile", str(REPOSITORY / "Makefile"), "--assume-old", ".venv/.ready", "resume"]
    return subprocess.run(
        [*command, "STUDY=tiny", f"BIN={Path(sys.executable).parent}"],
        cwd=place.folder,
        env=place.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_second_run_in_a_folder_is_refused_and_disturbs_nothing(copied: Place, finished: Place) -> None:
    arguments = [f"{ONE_RUN}/log.csv", "--config", "train={epochs: 5000}"]
    log = copied.folder / "logs/tiny/ecg/coord/reduced/fold1/seed42.log"
    log.unlink()
    process = copied.start(*arguments)
    try:
        wait_for_epochs(log, 1, process)
        second = copied.run(f"{ONE_RUN}/log.csv", ok=False)
        assert "Error: Directory cannot be locked." in second
        assert "Traceback" not in second
        refused = resume(copied)
        assert refused.returncode != 0
        assert refused.stderr.startswith(f"{copied.folder}: a study is running here (process ")
        assert refused.stdout == ""
        wait_for_epochs(log, epochs_logged(log) + 1, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    wait_until_nobody_works_in(copied.folder)
    others = {name: digest for name, digest in finished.digests().items() if not name.startswith(ONE_RUN)}
    assert {name: digest for name, digest in copied.digests().items() if not name.startswith(ONE_RUN)} == others
    assert unlock(copied).returncode == 0
    copied.run(f"{ONE_RUN}/log.csv")
    # The state stays until the report is written.
    assert {path.name for path in (copied.folder / ONE_RUN).iterdir()} == RUN_FILES | {STATE_NAME}
    assert copied.digests() == finished.digests()


# --------------------------------------------------------------- shared data


def sharing(place: Place, data: Path, name: str) -> Place:
    """A working directory of its own, whose data/ is a link."""
    folder = place.folder / name
    folder.mkdir()
    (folder / "data").symlink_to(data)
    return Place(place.repository, folder)


def target(study: str) -> str:
    return f"results/{study}/ecg/folds.csv"


def folds_of(place: Place, study: str) -> dict[str, str]:
    return {name: sha256_of(place.folder / f"results/{study}/ecg/{name}") for name in FOLDS}


@contextmanager
def held(data: Path, name: str, how: int) -> Iterator[int]:
    """A data set that another study has claimed."""
    folder = data / ".claims" / name
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, how)
        yield handle
    finally:
        os.close(handle)


def test_two_studies_that_start_at_once_make_their_shared_data_once(empty: Place, finished: Place) -> None:
    data = empty.folder / "shared"
    data.mkdir()
    places = {study: sharing(empty, data, study) for study in ("tiny", "other")}
    running = [place.start(target(study), "--config", f"study={study}") for study, place in places.items()]
    outputs = [process.communicate(timeout=HANGS_S)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    jobs = sum((rules_in(planned_jobs(output)) for output in outputs), Counter())
    assert jobs == {"provide_raw": 1, "extract_samples": 1, "assign_folds": 2}
    for study, place in places.items():
        assert folds_of(place, study) == folds_of(finished, "tiny")
    made = {name.replace("shared/", "data/", 1): digest for name, digest in empty.digests("shared").items()}
    assert made == finished.digests("data")


def test_a_study_waits_for_data_that_another_one_makes_and_takes_them_as_they_are(
    empty: Place, finished: Place
) -> None:
    data = empty.folder / "shared"
    data.mkdir()
    place = sharing(empty, data, "waiting")
    with held(data, "demo_ecg", fcntl.LOCK_EX) as handle:
        process = place.start(target("tiny"))
        assert process.stdout is not None
        said = f"{data}: another study is making or using demo_ecg, waiting for it\n"
        assert said in iter(process.stdout.readline, "")
        assert not (place.folder / "results").exists()
        for part in ("raw", "samples"):
            shutil.copytree(finished.folder / "data" / part, data / part)
        # It goes on although the other study does, which from now on only reads them.
        fcntl.flock(handle, fcntl.LOCK_SH)
        output, _ = process.communicate(timeout=HANGS_S)
    assert process.returncode == 0, output
    assert rules_in(planned_jobs(output)) == {"assign_folds": 1}
    assert folds_of(place, "tiny") == folds_of(finished, "tiny")


def test_data_that_another_study_uses_are_not_made_anew_under_it(copied: Place, finished: Place) -> None:
    data = copied.folder / "data"
    # What is done with another data set is of no concern.
    with held(data, "demo_ecg", fcntl.LOCK_SH), held(data, "demo_nuclei", fcntl.LOCK_EX):
        output = copied.run("data/samples/demo_ecg.h5", "--forcerun", "extract_samples", ok=False)
        said = f"{data}: another study is using demo_ecg; give the same command again when that one has ended"
        assert len([line for line in output.splitlines() if line.startswith(said)]) == 1, output
        assert "Traceback" not in output
        # Who only reads them is let in.
        assert "Nothing to be done" in copied.run("data/samples/demo_ecg.h5")
    assert copied.digests("data") == finished.digests("data")


# ------------------------------------------------------------------ one file


EXTRACT = """
import sys
from pathlib import Path
from siwcc.config import parse_dataset
from siwcc.data.datasets import vfdb
from siwcc.data.samples import extract_samples

every = vfdb.iter_samples
def stopping(section, folder):
    for number, item in enumerate(every(section, folder)):
        if number == 1 and sys.argv[2] == "stop":
            print("half", flush=True)
            sys.stdin.readline()
        yield item
vfdb.iter_samples = stopping
print("started", flush=True)
data = Path(sys.argv[1])
stem = data / "samples" / "demo_ecg"
extract_samples(
    name="demo_ecg",
    section=parse_dataset({"format": "vfdb", "synthetic": {"samples": 12, "seed": 42}}),
    raw_root=data / "raw",
    manifest_path=data / "raw" / "demo_ecg.manifest.csv",
    samples_path=stem.with_suffix(".h5"),
    excluded_path=stem.with_suffix(".excluded.csv"),
    protocol_path=stem.with_suffix(".protocol.json"),
)
"""


def test_two_jobs_at_one_samples_file_leave_one_whole_file(empty: Place, finished: Place) -> None:
    shutil.copytree(finished.folder / "data" / "raw", empty.folder / "data" / "raw")

    def start(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", EXTRACT, "data", how]
        return subprocess.Popen(command, cwd=empty.folder, env=empty.environment(), stdin=-1, stdout=-1, text=True)

    first, second = start("stop"), None
    assert first.stdout is not None
    assert [first.stdout.readline() for _ in range(2)] == ["started\n", "half\n"]
    second = start("go")
    assert second.stdout is not None
    assert second.stdout.readline() == "started\n"
    first.communicate("go on\n", timeout=HANGS_S)
    second.communicate(timeout=HANGS_S)
    assert (first.returncode, second.returncode) == (0, 0)
    assert empty.digests("data/samples") == finished.digests("data/samples")
