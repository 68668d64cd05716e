"""docs/how-to/own-data.md, word for word: its commands, in a copy of the repository."""

from __future__ import annotations

import csv
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import REPOSITORY, Place, copy_repository, planned_jobs

pytestmark = pytest.mark.slow

TEXT = (REPOSITORY / "docs" / "how-to" / "own-data.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


MODELS = {"my-records": ("record-model", "ecg"), "my-images": ("image-model", "nuclei")}
COMMANDS = [command for block in blocks("console") for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The folder in which a reader has given all commands of the page."""
    root = tmp_path_factory.mktemp("own")
    copy_repository(root / "repository")
    place = Place(root / "repository", root / "repository")
    for command in COMMANDS:
        give(place, command)
    return place


def give(place: Place, command: str) -> subprocess.CompletedProcess[str]:
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    options = {"cwd": place.folder, "env": place.environment() | {"PATH": programs}, "text": True}
    command = re.sub(r"^siwcc ", "python -m siwcc.cli.main ", command)
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=1800, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_the_tables_begin_as_the_page_shows(place: Place) -> None:
    shown = blocks("csv")
    for folder, text in zip(("my-records", "my-images"), shown, strict=True):
        assert (place.folder / folder / "samples.csv").read_text().startswith(text)


def test_every_row_of_the_tables_is_a_sample_or_excluded(place: Place) -> None:
    for folder, (model, task) in MODELS.items():
        work = place.folder / f"{model}.work"
        table = rows_of(place.folder / folder / "samples.csv")
        excluded = rows_of(work / "data/samples/data.excluded.csv")
        strata = rows_of(work / f"results/train/{task}/strata.csv")
        assert len(strata) + len(excluded) == len(table)
        assert {row["group"] for row in strata} <= {row["group"] for row in table}
        assert {row["class"] for row in strata} <= {row["class"] for row in table}
        folds_of_group: dict[str, set[str]] = {}
        for row in strata:
            folds_of_group.setdefault(row["group"], set()).add(row["fold"])
        assert all(len(folds) == 1 for folds in folds_of_group.values())


def test_the_folders_hold_what_the_page_lists(place: Place) -> None:
    for model, _ in MODELS.values():
        names = {path.name for path in (place.folder / model).iterdir()}
        assert names - {"errors.manifest.json", "errors_by_stratum.manifest.json"} == {
            *("fold1.pt", "fold2.pt", "calibration.json", "errors.csv", "errors_by_stratum.csv"),
        }


def test_the_user_s_folder_holds_what_it_held(place: Place) -> None:
    folder = place.folder / "my-records"
    made = {f"records/demo{number:02d}.csv" for number in range(1, 7)} | {"samples.csv"}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == made
    # The third record has no event, so the table does not name it.
    manifest = rows_of(place.folder / "record-model.work/data/raw/data.manifest.csv")
    assert {row["file"] for row in manifest} == made - {"records/demo03.csv"}


def test_the_report_knows_no_published_values(place: Place) -> None:
    give(place, "siwcc report record-model.work/results/train")
    study = place.folder / "record-model.work" / "results" / "train"
    page = html.unescape((study / "report.html").read_text(encoding="utf-8"))
    assert "not MIT-BIH Malignant Ventricular Ectopy Database, which the paper uses" in page
    assert "a local copy, read in place" in page


def test_an_edited_table_is_read_again(place: Place) -> None:
    path = place.folder / "my-records" / "samples.csv"
    before = path.read_text()
    snakefile = place.repository / "Snakefile"
    profile = place.repository / "profiles" / "default"
    look = (
        f"cd record-model.work && snakemake --snakefile {snakefile} --workflow-profile {profile} --cores all --dry-run "
        "--configfile study.yaml -- data/samples/data.h5"
    )
    assert "Nothing to be done" in give(place, look).stdout
    try:
        path.write_text(before.replace("patient01", "patient99"))
        # Its own list first; what comes out of the samples is planned with it.
        assert planned_jobs(give(place, look).stdout) == {"provide_raw data": 1, "extract_samples data": 1}
    finally:
        path.write_text(before)
