"""The 2 x 2 leakage ablation through the real workflow/leakage_ablation.smk: what is planned, and what comes out."""

from __future__ import annotations

import csv
import json
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_study import made_config, write_study
from places import Place, planned_jobs, rules_in

from siwcc.evaluation.baselines.registry import baselines_of, write_baseline

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
CELLS = [(by, shift) for by in ("sample", "group") for shift in ("zero_fill", "rewindow")]
TINY = {
    "folds": 2,
    "encodings": ["coord", "weighted"],
    "comparisons": [["coord", "weighted"]],
    "tasks": {"ecg": {"dataset": "synthetic", "copies_per_sample": 2}},
    "datasets": {"synthetic": {"format": "vfdb", "synthetic": {"samples": 3, "seed": 1}}},
    "train": {"epochs": 6, "device": "cpu"},
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return Place(REPOSITORY, folder)


def run(place: Place, *arguments: str, snakefile: str = "workflow/leakage_ablation.smk") -> str:
    return place.run(*arguments, "--configfile", "tiny.yaml", snakefile=snakefile, study=None)


def folder_of(place: Place, by: str, shift: str) -> Path:
    return place.folder / "results" / f"leakage-ablation-{by}-{shift}"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_one_command_plans_four_studies_on_one_samples_file(place: Place) -> None:
    output = run(place, "--dry-run")
    assert "AmbiguousRuleException" not in output
    jobs = rules_in(planned_jobs(output))
    assert (jobs["provide_raw"], jobs["extract_samples"], jobs["summarise_leakage"]) == (1, 1, 1)
    for by, shift in CELLS:
        name = f"{by}_{shift}"
        assert jobs[f"{name}_train_network"] == 2 * 2
        assert jobs[f"{name}_augment_fold"] == 2
        assert jobs[f"{name}_predict_baseline"] == len(baselines_of("signal"))
        assert jobs[f"{name}_write_report"] == 1
        assert not {f"{name}_provide_raw", f"{name}_extract_samples"} & set(jobs)


def test_the_whole_square_is_sixty_networks(place: Place) -> None:
    jobs = rules_in(planned_jobs(place.run("--dry-run", snakefile="workflow/leakage_ablation.smk", study=None)))
    assert {name: count for name, count in jobs.items() if name.endswith("train_network")} == {
        f"{by}_{shift}_train_network": 15 for by, shift in CELLS
    }


def test_on_a_cluster_every_training_of_the_square_asks_for_a_gpu(place: Place) -> None:
    output = run(place, "--dry-run", "--workflow-profile", str(REPOSITORY / "profiles" / "slurm"))
    asked = re.findall(r"rule (\w+_train_network):\n(?: .*\n)*?    resources: .*\bgpu=(\d)", output)
    assert Counter(asked) == {(f"{by}_{shift}_train_network", "1"): 4 for by, shift in CELLS}


def test_overlays_reach_all_four_and_leave_what_a_cell_stands_for(place: Place) -> None:
    wanted = [f"results/leakage-ablation-{by}-{shift}/ecg/folds.csv" for by, shift in CELLS]
    configs = [f"results/leakage-ablation-{by}-{shift}/config.json" for by, shift in CELLS]
    # What stands last on the line also wins over the overlay.
    run(place, *wanted, *configs, "--config", "folds_by=group", "tasks={ecg: {shift: rewindow}}", "train={epochs: 3}")
    for by, shift in CELLS:
        config: dict[str, Any] = json.loads((folder_of(place, by, shift) / "config.json").read_text())
        assert config["study"] == f"leakage-ablation-{by}-{shift}"
        assert (config["folds_by"], config["tasks"]["ecg"]["shift"]) == (by, shift)
        assert (config["train"]["epochs"], config["train"]["device"], config["folds"]) == (3, "cpu", 2)
        assert config["tasks"]["ecg"]["dataset"] == "synthetic"
    # The shift does not move a sample into another fold; folds by record keep every record whole.
    folds = {cell: read(folder_of(place, *cell) / "ecg" / "folds.csv") for cell in CELLS}
    for by in ("sample", "group"):
        assert folds[by, "zero_fill"] == folds[by, "rewindow"]
    for by, whole in (("sample", False), ("group", True)):
        pairs = {(row["group"], row["fold"]) for row in folds[by, "zero_fill"]}
        assert (len(pairs) == len({group for group, _ in pairs})) is whole


def test_the_plain_snakefile_makes_the_papers_cell_from_the_overlay(place: Place) -> None:
    overlay = str(REPOSITORY / "resources" / "studies" / "leakage-ablation.yaml")
    wanted = "results/leakage-ablation-sample-zero_fill/ecg/folds.csv"
    place.run(wanted, "--configfile", overlay, "tiny.yaml", study=None)
    assert (place.folder / wanted).is_file()
    assert "Nothing to be done" in run(place, "--dry-run", wanted)


def write_finished_cells(place: Place) -> None:
    """The four studies with real folds and baselines and synthetic runs, but without statistics."""
    started = time.time()
    for by, shift in CELLS:
        tasks = {"ecg": TINY["tasks"]["ecg"] | {"shift": shift}}
        study = write_study(place.folder, made_config(study=f"leakage-ablation-{by}-{shift}", folds_by=by, tasks=tasks))
        for name in baselines_of("signal"):
            predictions = study.folder / "ecg" / "baselines" / name / "predictions.csv"
            write_baseline(name, "ecg", study.fold_paths("ecg"), study.samples_path("ecg"), predictions)
    # Written again for each of them, with the same bytes: as old as the first.
    for path in (place.folder / "data").rglob("*"):
        os.utime(path, (started, started))


def test_the_page_and_the_table_hold_each_cells_own_numbers(place: Place) -> None:
    write_finished_cells(place)
    output = run(place, "results/leakage-ablation/report.html")
    assert "train_network" not in output
    rows = read(place.folder / "results" / "leakage-ablation" / "cells.csv")
    for by, shift in CELLS:
        own = read(folder_of(place, by, shift) / "stats" / "errors.csv")
        ours = [row for row in rows if (row["folds_by"], row["shift"]) == (by, shift)]
        assert {row["method"] for row in own} == {"coord", "weighted", *baselines_of("signal")}
        for name in ("method", "inputs", "subset", "r2", "median", "p90", "within_fine", "within_coarse"):
            assert [row[name] for row in ours] == [row[name] for row in own]
    differences = read(place.folder / "results" / "leakage-ablation" / "differences.csv")
    assert len(differences) == 4 * 2
    page = (place.folder / "results" / "leakage-ablation" / "report.html").read_text()
    assert '<h2 id="scores">' in page
    for suffix in ("svg", "png"):
        assert (place.folder / "results" / "leakage-ablation" / f"cells.{suffix}").stat().st_size > 0
    assert "Nothing to be done" in run(place, "--dry-run", "results/leakage-ablation/report.html")
