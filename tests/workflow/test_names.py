"""The project and its studies in folders whose names a shell, Snakemake or Python's formats would read otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from places import HANGS_S, Place, copy_repository

pytestmark = pytest.mark.slow

STRANGE = r"""r $x ${HOME} {a} {} %s \b "q" 's `date` 日本 שלום 😀"""
FILES = ["results/tiny/config.json", "data/raw/demo_ecg.manifest.csv"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names") / STRANGE / "repository"
    folder.parent.mkdir()
    copy_repository(folder)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(place: Place, python: str, *targets: str) -> None:
    place.folder.mkdir(exist_ok=True)
    command = [python, *place.command(*targets)[1:]]
    options = {"cwd": place.folder, "env": place.environment(), "text": True}
    done = subprocess.run(command, capture_output=True, check=False, timeout=HANGS_S, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_project_in_a_strange_folder(repository: Path) -> None:
    """Its rules start its own Python, whose path is as strange."""
    run(Place(repository, repository), str(repository / ".venv" / "bin" / "python"), *FILES)
    assert all((repository / path).is_file() for path in FILES)


@pytest.mark.parametrize("name", ["elsewhere", STRANGE])
def test_another_working_directory(repository: Path, tmp_path: Path, name: str) -> None:
    run(Place(repository, tmp_path / name), sys.executable, *FILES)
    assert all((tmp_path / name / path).is_file() for path in FILES)
    # Nothing is planned again, although the inputs are reached through a link.
    place = Place(repository, tmp_path / name)
    planned = subprocess.run(
        [sys.executable, *place.command("--dry-run", *FILES)[1:]],
        cwd=place.folder, env=place.environment(), text=True, capture_output=True, check=True, timeout=HANGS_S,
    )  # fmt: skip
    assert "Nothing to be done" in planned.stdout + planned.stderr
