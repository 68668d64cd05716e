"""docs/tutorials/own-recordings.md, word for word: its commands, in a copy of the repository."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import blocks
from places import HANGS_S, REPOSITORY, Place, copy_repository

pytestmark = [pytest.mark.slow, pytest.mark.numeric]

PAGE = REPOSITORY / "docs" / "tutorials" / "own-recordings.md"
# Predictions are rounded to hundredths; training adds up what processors round differently.
TOLERANCE_S = 0.5


def texts(language: str) -> list[str]:
    return [block.text for block in blocks(PAGE) if block.language == language]


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the page with the lines shown below it."""
    parts = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(texts("console")), re.MULTILINE)
    return [(command, shown.splitlines()) for command, shown in parts]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The folder in which a reader has given all commands of the page."""
    root = tmp_path_factory.mktemp("recordings")
    copy_repository(root / "repository")
    place = Place(root / "repository", root / "repository")
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = place.environment() | {"PATH": programs}
    for number, (command, _) in enumerate(steps()):
        done = subprocess.run(
            ["bash", "-c", re.sub(r"^siwcc ", "python -m siwcc.cli.main ", command)],
            cwd=place.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANGS_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (place.folder / f"output{number}.txt").write_text(done.stdout)
    return place


def test_the_table_begins_as_the_page_shows(place: Place) -> None:
    (shown,) = texts("csv")
    assert (place.folder / "my-records" / "samples.csv").read_text().startswith(shown)


def test_the_summary_is_that_of_the_page(place: Place) -> None:
    number, (_, shown) = next((number, step) for number, step in enumerate(steps()) if "siwcc train" in step[0])
    printed = (place.folder / f"output{number}.txt").read_text().splitlines()
    # What was trained on, and which methods there are; the order of baselines that differ little may change.
    assert printed[:5] == shown[:5]
    names = [{line.split("  ")[1] for line in lines if line.startswith("  ")} for lines in (printed, shown)]
    assert names[0] == names[1]
    found, wanted = (float(re.findall(r"\d+\.\d+", lines[5])[0]) for lines in (printed, shown))
    assert found == pytest.approx(wanted, abs=TOLERANCE_S)


def test_as_many_recordings_as_the_page_gives(place: Place) -> None:
    with (place.folder / "my-records" / "samples.csv").open(newline="") as handle:
        files = {row["file"] for row in csv.DictReader(handle)}
    assert len(files) == 11
    assert len(list((place.folder / "my-records" / "records").iterdir())) == 12


def test_the_report_and_the_figure_are_there(place: Place) -> None:
    assert (place.folder / "my-model.work/results/train/report.html").is_file()
    assert (place.folder / "new.png").is_file()


def test_the_new_event_is_predicted_as_the_page_shows(place: Place) -> None:
    number, (_, shown) = next((number, step) for number, step in enumerate(steps()) if "siwcc predict" in step[0])
    printed = (place.folder / f"output{number}.txt").read_text().splitlines()
    assert printed[0].split() == shown[0].split()
    found, wanted = (float(re.findall(r"\d+\.\d+", lines[1])[2]) for lines in (printed, shown))
    assert found == pytest.approx(wanted, abs=TOLERANCE_S)
    (event_s,) = re.findall(r"first event is at\s+(\d+\.\d+) s", PAGE.read_text(encoding="utf-8"))
    (_, first, *_) = (place.folder / "new-records" / "samples.csv").read_text().splitlines()
    assert float(first.split(",")[1]) == pytest.approx(float(event_s), abs=0.005)
