"""Folders for the scenarios that start from the finished study or from nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from places import Place


def folder_name(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "_", request.node.name)


@pytest.fixture
def copied(finished: Place, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A copy of the finished study, with its times, beside it."""
    folder = finished.folder.parent / ("copy_" + folder_name(request))
    subprocess.run(["cp", "-a", finished.folder, folder], check=True)
    yield Place(finished.repository, folder)
    shutil.rmtree(folder)


@pytest.fixture
def empty(finished: Place, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty folder beside the repository."""
    folder = finished.folder.parent / ("new_" + folder_name(request))
    folder.mkdir()
    yield Place(finished.repository, folder)
    shutil.rmtree(folder)
