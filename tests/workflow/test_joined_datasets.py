"""A study whose task has two data sets, and a third that is external, through the real Snakefile."""

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
        "third": {"format": "vfdb", "synthetic": {"samples": 2, "seed": 3}},
    },
    "external": {"ecg": ["third"]},
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
    assert sorted(path.stem for path in (place.folder / "data" / "samples").glob("*.h5")) == [
        "first",
        "second",
        "third",
    ]
    model = read_model(results / "ecg" / "coord" / "heatmap" / "fold1" / "seed42" / "model.pt")
    assert set(model.metadata.training_groups) == {row["group"] for row in strata if row["fold"] == "2"}
    rows = read(results / "stats" / "errors_by_stratum.csv")
    found = {
        row["stratum"]: int(row["samples"]) for row in rows if row["stratum_by"] == "dataset" if row["subset"] == "all"
    }
    assert found == samples


def test_every_network_predicts_the_external_data_set(place: Place) -> None:
    results = place.folder / "results" / "two"
    excluded = {row["sample_id"] for row in read(place.folder / "data" / "samples" / "third.excluded.csv")}
    rows = read(results / "ecg" / "coord" / "heatmap" / "external" / "third" / "predictions.csv")
    samples = {row["sample_id"] for row in rows}
    assert Counter(row["network"] for row in rows) == dict.fromkeys(("fold1", "fold2", "ensemble"), len(samples))
    assert samples.isdisjoint(excluded)
    assert {row["copy"] for row in rows} == {"0"}
    table = read(results / "stats" / "external.csv")
    assert {(row["dataset"], int(row["rows"])) for row in table} == {("third", len(samples))}
    baselines = {"centre", "intensity_centroid", "inverted_centroid", "change_point"}
    assert {row["method"] for row in table} == baselines | {"coord"}
    # It is in no fold and no other table.
    assert {row["dataset"] for row in read(results / "ecg" / "strata.csv")} == {"first", "second"}
    assert 'id="external"' in (results / "report.html").read_text()


def test_only_what_is_made_of_a_data_set_is_made_again(place: Place) -> None:
    assert rules_in(place.planned("--configfile", "two.yaml", study=None)) == Counter()
    jobs = planned_without(place, "second")
    assert (jobs["extract_samples"], jobs["provide_raw"], jobs["assign_folds"], jobs["train_network"]) == (1, 0, 1, 2)
    jobs = planned_without(place, "third")
    assert (jobs["extract_samples"], jobs["assign_folds"], jobs["train_network"]) == (1, 0, 0)
    assert (jobs["predict_external"], jobs["predict_external_baseline"], jobs["measure_external"]) == (1, 4, 1)


def planned_without(place: Place, dataset: str) -> Counter[str]:
    """What would be done if the samples of a data set were gone."""
    samples = place.folder / "data" / "samples" / f"{dataset}.h5"
    aside = samples.rename(samples.with_suffix(".aside"))
    jobs = rules_in(place.planned("--configfile", "two.yaml", study=None))
    aside.rename(samples)
    return jobs
