"""A study whose task has two data sets, through the real Snakefile."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import REPOSITORY, Place, rules_in

from siwcc.training.checkpoint import read_model

pytestmark = pytest.mark.slow

STUDY: dict[str, Any] = {
    "study": "two",
    "run": ["ecg"],
    "folds": 2,
    "folds_by": "group",
    "encodings": ["coord"],
    "comparisons": [],
    "variants": ["heatmap"],
    "tasks": {"ecg": {"dataset": ["second", "first"], "copies_per_sample": 2, "shift": "rewindow"}},
    "datasets": {
        "first": {"format": "vfdb", "synthetic": {"samples": 3, "seed": 1}},
        "second": {"format": "wfdb", "event_labels": ["VFL", "VT"], "synthetic": {"samples": 2, "seed": 2}},
    },
    "train": {"epochs": 1, "device": "cpu", "by_variant": {"heatmap": {"epochs": 1}}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The finished study."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "two.yaml").write_text(yaml.safe_dump(STUDY))
    place = Place(REPOSITORY, folder)
    run(place)
    return place


def run(place: Place, *arguments: str) -> str:
    return place.run(*arguments, "--configfile", "two.yaml", study=None)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_samples_of_both_are_made_once_and_trained_on_together(place: Place) -> None:
    results = place.folder / "results" / "two"
    strata = read(results / "ecg" / "strata.csv")
    samples = Counter(row["dataset"] for row in strata)
    assert set(samples) == {"first", "second"}
    assert sorted(path.name for path in (place.folder / "data" / "samples").glob("*.h5")) == ["first.h5", "second.h5"]
    model = read_model(results / "ecg" / "coord" / "heatmap" / "fold1" / "seed42" / "model.pt")
    assert set(model.metadata.training_groups) == {row["group"] for row in strata if row["fold"] == "2"}
    rows = read(results / "stats" / "errors_by_stratum.csv")
    found = {
        row["stratum"]: int(row["samples"]) for row in rows if row["stratum_by"] == "dataset" if row["subset"] == "all"
    }
    assert found == samples


def test_only_what_is_made_of_a_data_set_is_made_again(place: Place) -> None:
    assert rules_in(place.planned("--configfile", "two.yaml", study=None)) == Counter()
    samples = place.folder / "data" / "samples" / "second.h5"
    samples.unlink()
    jobs = rules_in(place.planned("--configfile", "two.yaml", study=None))
    assert (jobs["extract_samples"], jobs["provide_raw"], jobs["assign_folds"]) == (1, 0, 1)
