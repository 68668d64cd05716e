"""The real workflow on disks that are too small or read-only: one line, nothing cut short, and on it goes with room."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import PlaceWithDisks, disks, may_mount
from places import Place
from test_workflow import ONE_RUN, RUN_FILES, error_lines, made_records, with_records

from siwcc.io.run_key import STATE_NAME

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not may_mount(), reason="this machine does not let a process mount disks of its own"),
]

KIB = 1 << 10
AMPLE = 64 << 20
FULL = "cannot be written (No space left on device); make room or choose another folder, then give the same command"


@pytest.fixture
def on_disks(empty: Place) -> Iterator[PlaceWithDisks]:
    with disks(empty) as place:
        yield place


@pytest.fixture
def finished_on_disks(copied: Place) -> Iterator[PlaceWithDisks]:
    with disks(copied) as place:
        yield place


def failures(place: Place, *arguments: str) -> list[str]:
    """Files that a command which must fail could not write, each from its one line."""
    output = place.run(*arguments, ok=False)
    assert "Traceback" not in output
    lines = error_lines(output)
    assert all(FULL in line for line in lines), output
    return [line.removeprefix("error: ").split(": ")[0] for line in lines]


def check_nothing_is_cut_short(place: PlaceWithDisks, finished: Place) -> None:
    """Whatever stands under its final name is what an undisturbed study has there."""
    for below in ("data", "results"):
        twin = finished.digests(below)
        for name, digest in place.digests(below).items():
            assert twin[name] == digest, name


def test_each_stage_that_finds_no_room_says_so_and_the_same_command_finishes(
    on_disks: PlaceWithDisks, finished: Place
) -> None:
    place, target = on_disks, f"{ONE_RUN}/log.csv"
    for name in (".snakemake", "data", "logs", "results"):
        place.mount(name)

    # Snakemake's own notes: the words are Snakemake's.
    place.resize(".snakemake", 4 * KIB)
    assert "[Errno 28] No space left on device" in place.run(target, ok=False)
    assert place.digests("data") == place.digests() == {}
    place.resize(".snakemake", AMPLE)

    place.resize("data", 1000 * KIB)
    (file,) = failures(place, target)
    assert re.fullmatch(r"data/raw/\.demo_ecg\.part/demo\d\d\.dat", file)
    assert place.digests("data") == {}

    # The raw files take two thirds of it.
    place.resize("data", 3000 * KIB)
    assert failures(place, target) == ["data/samples/demo_ecg.h5"]
    check_nothing_is_cut_short(place, finished)
    assert [name for name in place.digests("data") if "/samples/" in name] == []

    place.resize("data", AMPLE)
    (place.seen / "logs" / "data" / "demo_ecg.samples.log").unlink()
    (place.seen / "logs" / "filler").write_bytes(bytes(4 * KIB))
    place.resize("logs", place.used_bytes("logs"))
    assert failures(place, target) == ["logs/data/demo_ecg.samples.log"]
    place.resize("logs", AMPLE)

    place.resize("results", 4 * KIB)
    assert failures(place, target) == ["results/tiny/ecg/strata.csv"]
    place.resize("results", 500 * KIB)
    assert sorted(failures(place, target)) == [f"results/tiny/ecg/fold{fold}.h5" for fold in (1, 2)]
    check_nothing_is_cut_short(place, finished)
    # Both folds, and not what a training saves after each epoch.
    place.resize("results", 2300 * KIB)
    assert failures(place, target) == [f"{ONE_RUN}/.state.pt"]
    check_nothing_is_cut_short(place, finished)
    assert not (place.seen / ONE_RUN / "log.csv").exists()

    place.resize("results", AMPLE)
    place.run(target)
    assert place.digests("data") == finished.digests("data")
    # The state stays until the report is written.
    assert {path.name for path in (place.seen / ONE_RUN).iterdir()} == RUN_FILES | {STATE_NAME}
    check_nothing_is_cut_short(place, finished)


def test_tables_and_the_report_appear_whole_or_not_at_all(finished_on_disks: PlaceWithDisks, finished: Place) -> None:
    place, study = finished_on_disks, Path("results/tiny")
    lost = ["stats/variance.csv", "ecg/baselines/centre/predictions.csv"]
    for name in [*lost, "report.html"]:
        (place.folder / study / name).unlink()
    place.mount("results")
    place.resize("results", place.used_bytes("results"))
    targets = [str(study / name) for name in lost]
    assert sorted(failures(place, *targets)) == sorted(targets)
    check_nothing_is_cut_short(place, finished)
    place.resize("results", place.used_bytes("results") + 300 * KIB)
    place.run(*targets)
    assert failures(place, str(study / "report.html")) == [str(study / "report.html")]
    assert not (place.seen / study / "report.html").exists()
    place.resize("results", AMPLE)
    place.run(str(study / "report.html"))
    assert place.digests() == finished.digests()


# ----------------------------------------------------------------- read-only


def test_a_folder_that_is_only_read_may_be_read_only(finished_on_disks: PlaceWithDisks, finished: Place) -> None:
    place, table = finished_on_disks, "results/tiny/ecg/folds.csv"
    (place.folder / table).unlink()
    place.protect("data")
    place.run(table)
    assert place.digests() == finished.digests()


@pytest.mark.parametrize(
    ("protected", "target", "named"),
    [
        ("data", "data/samples/demo_ecg.h5", "data/benchmarks"),
        ("results", "results/tiny/stats/variance.csv", "results/tiny/benchmarks/stats"),
        ("logs", "results/tiny/stats/variance.csv", "logs/tiny/stats"),
    ],
)
def test_a_folder_that_is_written_to_is_looked_at_before_any_job(
    finished_on_disks: PlaceWithDisks, protected: str, target: str, named: str
) -> None:
    place = finished_on_disks
    # With one of a job's files still there, Snakemake itself would name that as write-protected.
    for path in (place.folder / target).parent.glob(f"{Path(target).stem}.*"):
        path.unlink()
    before = {below: place.digests(below) for below in ("data", "results")}
    place.protect(protected)
    output = place.run(target, ok=False)
    said = f"{place.folder / named}: cannot be written (read-only file system); make it writable, or run in another"
    assert len([line for line in output.splitlines() if line.startswith(said)]) == 1, output
    assert "Traceback" not in output
    assert {below: place.digests(below) for below in before} == before


def test_a_local_copy_may_be_read_only(on_disks: PlaceWithDisks) -> None:
    place = on_disks
    records = made_records(place.folder / "records", 2, place.repository)
    place.protect("records")
    assert os.statvfs(place.seen / "records").f_flag & os.ST_RDONLY
    output = place.run("data/samples/mine.h5", *with_records(place, mine=records), study=None)
    assert not re.search("cannot|warn|read-only", output, re.IGNORECASE)
    logs = "".join(path.read_text() for path in (place.seen / "logs" / "data").iterdir())
    assert "mine: " in logs
    assert "WARNING" not in logs
