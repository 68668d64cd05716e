"""A small share of `make soak`, and that its accounts are right."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from places import Place
from soak_journal import Event, Job, Journal, epochs_by_run, spans, two_writers
from soak_run import (
    STAGES,
    Kill,
    Study,
    Tally,
    account,
    compare,
    deal,
    figures,
    leftovers,
    name_of_results,
    seconds_of_stages,
    soak,
    stages_of_scripts,
    write_figures,
)

HERE = Path(__file__).resolve().parent


@pytest.mark.slow
def test_a_study_killed_four_times_ends_in_the_bytes_of_an_undisturbed_one(finished: Place, tmp_path: Path) -> None:
    # More jobs at once than the undisturbed one had, and another order.
    tally = soak(Study("tiny", (), 2), deal(4), 1, finished.repository, tmp_path, finished)
    assert tally.findings == []
    assert len(tally.kills) == 4
    assert tally.worst_repeated <= 1
    # Every file, once a study; a journal that saw nothing would be content with everything.
    files = len(finished.digests()) + len(finished.digests("data"))
    assert tally.files == files * tally.rounds
    assert tally.spans > tally.files
    assert tally.epochs_begun - tally.epochs_repeated == 4 * 5 * tally.rounds
    shares = seconds_of_stages(finished.folder, "tiny")
    assert {stage: len(seconds) for stage, seconds in shares.items()}["train"] == 4
    assert set(shares) == set(STAGES) - {"start"}


# -------------------------------------------------------------------- accounts


def job(rule: str, seen_ns: int, *events: tuple[int, str, str]) -> Job:
    made = [Event(at_ns, kind, tuple(rest.split())) for at_ns, kind, rest in events]
    return Job(rule, 1, 0, seen_ns, events=made)


def test_a_file_is_written_until_it_is_renamed_or_its_writer_has_ended() -> None:
    one = job("a", 100, (10, "write", "x"), (20, "write", "x"), (30, "done", "x"), (40, "write", "y"))
    assert [tuple(span) for span in spans([one])] == [("x", 10, 30, 0), ("y", 40, 100, 0)]


@pytest.mark.parametrize(
    ("begin", "found"),
    [(29, True), (31, False)],
)
def test_two_writers_are_found_when_their_times_overlap(begin: int, found: bool) -> None:
    first = job("a", 100, (10, "write", "x"), (30, "done", "x"), (35, "write", "other"))
    second = job("b", 100, (begin, "write", "x"), (50, "done", "x"))
    assert bool(two_writers([first, second])) is found
    # A killed writer counts as one for as long as it was seen alive; one job may write a file twice.
    assert bool(two_writers([job("a", 30, (10, "write", "x")), second])) is found
    assert two_writers([job("a", 99, (10, "write", "x"), (12, "done", "x"), (13, "write", "x"))]) == []


def test_a_run_that_is_trained_twice_at_once_is_found() -> None:
    first, second = job("train", 60, (10, "epoch", "run 1")), job("train", 99, (50, "epoch", "run 1"))
    assert len(two_writers([first, second])) == 1


def test_epochs_are_counted_over_all_jobs_of_a_run() -> None:
    def trained(*numbers: int) -> Job:
        return job("train", 9, *((number, "epoch", f"run {number}") for number in numbers))

    assert epochs_by_run([trained(1, 2, 3), trained(3, 4, 5)])["run"] == (6, 5, 1)
    assert epochs_by_run([trained(1), trained(1), trained(1, 2)])["run"] == (4, 2, 1)
    assert epochs_by_run([trained(1, 2, 3), trained(1, 2, 3)])["run"] == (6, 3, 3)
    tally = Tally()
    account(tally, Journal(Path("absent")), [])
    assert tally.findings == []


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "absent")
    journal.jobs = [
        job("train", 2_000_000_000, (1, "epoch", "run 1"), (2, "epoch", "run 2")),
        job("train", 40_000_000_000, (3, "epoch", "run 1"), (4, "epoch", "run 2"), (7_500_000_000, "write", "x")),
        job("starting", 50_000_000_000),
    ]
    tally = Tally(kills=[Kill("train", "snakemake", 1_000_000_000, tuple(journal.jobs))])
    account(tally, journal, tally.kills)
    assert tally.findings == [
        "run: two writers, train (1) and train (1)",
        "run: one job repeated 2 epochs",
        "train (1) lived 39.0 s after its owner, and wrote 6.5 s after it",
    ]
    assert (tally.epochs_begun, tally.epochs_repeated, tally.worst_repeated, tally.outlived_s) == (4, 2, 2, 49.0)
    rows = figures(tally)
    assert ["train", "1", "0", "0", "1"] in rows
    assert ["findings", "", "", "", "3"] in rows
    write_figures(rows, tmp_path / "soak")
    assert (tmp_path / "soak.csv").read_text().splitlines()[5] == "train,1,0,0,1"
    assert "| train | 1 | 0 | 0 | 1 |" in (tmp_path / "soak.md").read_text()


def test_files_are_compared_with_those_of_the_same_study(tmp_path: Path) -> None:
    ours, twin = Place(tmp_path, tmp_path / "ours"), Place(tmp_path, tmp_path / "twin")
    for place in (ours, twin):
        for name in ("results/a/x", "results/a/y", "data/raw/m.csv", "results/a/benchmarks/t.tsv"):
            path = place.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("same" if "t.tsv" not in name else place.folder.name)
    (twin.folder / "results/other").mkdir()
    (twin.folder / "results/other/x").write_text("")
    (twin.folder / "data/raw/other.csv").write_text("")
    assert compare(ours, twin) == (3, [])
    assert leftovers(ours.folder) == []
    (ours.folder / "results/a/x").write_text("else")
    (ours.folder / "results/a/y").unlink()
    (ours.folder / "data/raw/.m.csv.part").write_text("")
    assert compare(ours, twin)[1] == [
        "results/a/y: missing",
        "data/raw/.m.csv.part: not in the twin",
        "results/a/x: other bytes",
    ]
    assert leftovers(ours.folder) == ["data/raw/.m.csv.part: left over"]


def test_kills_are_dealt_out_over_all_stages(repository: Path) -> None:
    assert deal(50) == Counter(dict.fromkeys(STAGES, 6)) + Counter(train=1, samples=1)
    assert set(deal(6)) == set(STAGES[:6])
    assert name_of_results(Study("paper-ecg", (), 1), repository) == "paper"
    scripts = stages_of_scripts(repository)
    assert set(scripts) == {path.stem for path in (repository / "workflow/scripts").glob("*.py")}
    # Stages that the studies of the trial do not have.
    others = {"leakage_ablation", "external", "onsets"}
    assert set(scripts.values()) - others == set(STAGES) - {"start"}
    assert scripts["train_network"] == "train"


JOB = """
import os, time
from pathlib import Path
from siwcc.io.files import write_text
write_text(Path("results/a"), "x")
Path("results/b").write_text("x")
Path("elsewhere").write_text("x")
Path("results/a").read_text()
time.sleep(30)
"""


def test_a_job_notes_what_it_writes_and_is_seen_to_end(tmp_path: Path, repository: Path) -> None:
    script = tmp_path / ".snakemake" / "scripts" / "tmp1.write_report.py"
    script.parent.mkdir(parents=True)
    script.write_text(JOB)
    (tmp_path / "results").mkdir()
    journal = Journal(tmp_path / "journal")
    environment = {"PYTHONPATH": f"{repository}:{HERE / 'spy'}", "SIWCC_SOAK_JOURNAL": str(journal.path)}
    process = subprocess.Popen([sys.executable, script], cwd=tmp_path, env=environment)
    give_up_at = time.monotonic() + 60
    while sum(len(one.events) for one in journal.jobs) < 4 and time.monotonic() < give_up_at:
        journal.poll()
        time.sleep(0.01)
    (one,) = journal.jobs
    assert (one.rule, one.pid, one.alive) == ("write_report", process.pid, True)
    assert [(event.kind, *event.fields) for event in one.events] == [
        # Once it has the lock, and once more for its content.
        ("write", "results/a"),
        ("write", "results/a"),
        ("done", "results/a"),
        ("write", "results/b"),
    ]
    process.kill()
    # A zombie is no writer.
    while journal.alive() and time.monotonic() < give_up_at:
        journal.poll()
    assert not one.alive
    process.wait()
    assert one.started_ns < one.events[0].at_ns <= one.seen_ns < time.monotonic_ns()
