"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from places import REPOSITORY, Place, copy_repository

# Before numpy and torch are imported, and for the processes that tests start: several tests run at once, and a pool of
# threads that shares its cores with other work waits for its slowest thread at every operation.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
os.environ |= dict.fromkeys(THREAD_VARIABLES, os.environ.get("SIWCC_TEST_THREADS", "1"))

# Leaves in `imported-*.txt` what modules of the package a job has imported when it ends.
SPY = """
import atexit, os, sys
def leave():
    if sys.argv and ".snakemake/scripts" in sys.argv[0]:
        name = os.path.basename(sys.argv[0]).split(".")[1]
        with open(f"imported-{name}-{os.getpid()}.txt", "w") as handle:
            handle.write(" ".join(sorted(name for name in sys.modules if name.startswith("siwcc."))))
atexit.register(leave)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits for the finished study, so that no process is left waiting for it at the end."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data sets (`vfdb`, `herlev`, `sipakmed_sample`), not part of the project."""
    folder = Path(os.environ.get("SIWCC_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set SIWCC_SHARED to the folder that holds data/")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The tiny study, finished; nobody may change it."""
    root = tmp_path_factory.mktemp("workflow")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run_tiny_study(root)
    # Processes that share the tests run it once; each has a copy, as scenarios edit the repository beside it.
    shared = tmp_path_factory.getbasetemp().parent / "tiny_study"
    with FileLock(shared.with_suffix(".lock")):
        if not shared.is_dir():
            # Under its name only when it is whole: where it fails, every process fails by the same error.
            half = shared.with_suffix(".part")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            run_tiny_study(half)
            half.rename(shared)
    subprocess.run(["cp", "-a", f"{shared}/.", root], check=True)
    return Place(root / "repository", root / "finished")


def run_tiny_study(root: Path) -> Place:
    copy_repository(root / "repository")
    (root / "spy").mkdir()
    (root / "spy" / "sitecustomize.py").write_text(SPY)
    place = Place(root / "repository", root / "finished")
    place.folder.mkdir()
    place.run()
    return place
