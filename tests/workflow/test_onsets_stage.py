"""A study that looks for onsets in whole recordings, through the real Snakefile."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import REPOSITORY, Place, rules_in

from siwcc.evaluation.baselines.onset_detectors.registry import DETECTORS
from siwcc.evaluation.onset_settings import read_onset_settings
from siwcc.inference.loading import load_detector

pytestmark = pytest.mark.slow

TRAINING = {"batches": 40, "batch_size": 8, "width": 8, "window_s": 20.0, "dilations": [1, 2, 4, 8]}
STUDY: dict[str, Any] = {
    "study": "whole",
    "run": ["ecg"],
    "folds": 2,
    "encodings": ["coord"],
    "comparisons": [],
    "variants": ["reduced"],
    "tasks": {"ecg": {"dataset": "own", "copies_per_sample": 2}},
    "datasets": {
        "own": {"format": "vfdb", "synthetic": {"samples": 6, "seed": 1}},
        "other": {"format": "wfdb", "event_labels": ["VFL", "VT"], "synthetic": {"samples": 2, "seed": 2}},
    },
    "train": {"epochs": 1, "device": "cpu"},
    "robustness": ["lead_missing"],
    "onsets": {"dataset": "own", "external": ["other"], "training": TRAINING},
}
METHODS = ("network", *DETECTORS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The finished study."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "whole.yaml").write_text(yaml.safe_dump(STUDY))
    place = Place(REPOSITORY, folder)
    run(place)
    return place


def run(place: Place, *arguments: str) -> str:
    return place.run(*arguments, "--configfile", "whole.yaml", study=None)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_method_is_measured_on_own_and_external_records(place: Place) -> None:
    results = place.folder / "results" / "whole"
    rows = [row for row in read(results / "stats" / "onsets.csv") if row["subset"] == "all"]
    kinds = Counter((row["method"], row["dataset"]) for row in rows)
    # Two definitions, three tolerances.
    assert kinds == {(method, dataset): 6 for method in METHODS for dataset in ("own", "other")}
    folds = read(results / "onsets" / "folds.csv")
    assert {row["dataset"] for row in folds} == {"own"}
    onsets = {row["onsets"] for row in rows if (row["dataset"], row["definition"]) == ("own", "episodes")}
    assert onsets == {str(sum(int(row["onsets"]) for row in folds))}
    assert "Onsets in whole recordings" in (results / "report.html").read_text()
    lines = [line for line in (results / "summary.txt").read_text().splitlines() if line.startswith("onsets")]
    assert [line.split(": ")[0].split()[-1] for line in lines] == ["own", "other"]


def test_perturbed_recordings_are_measured_at_the_thresholds_of_the_unperturbed_ones(place: Place) -> None:
    results = place.folder / "results" / "whole"
    for dataset in ("own", "other"):
        (plain,) = (
            row
            for row in read(results / "stats" / "onsets.csv")
            if (row["method"], row["dataset"], row["subset"]) == ("network", dataset, "all")
            and (row["definition"], row["tolerance_s"]) == ("episodes", "2.5")
        )
        first, *others = read(results / "onsets" / "network" / f"{dataset}.robustness.csv")
        assert (first["found"], first["false_alarms_per_h"]) == (plain["found"], plain["false_alarms_per_h"])
        assert [(row["level"], row["unperturbed"]) for row in others] == [("lead 1", "0"), ("lead 2", "0")]


def test_only_the_data_sets_of_the_tasks_are_cut_into_samples(place: Place) -> None:
    data = place.folder / "data"
    assert [path.name for path in (data / "samples").glob("*.h5")] == ["own.h5"]
    assert sorted(path.name for path in (data / "recordings").glob("*.h5")) == ["other.h5", "own.h5"]


def test_the_networks_of_a_study_are_a_detector(place: Place) -> None:
    onsets = place.folder / "results" / "whole" / "onsets"
    settings = read_onset_settings(onsets / "onsets.json")
    detector = load_detector(onsets)
    assert {model.metadata.weights_sha256 for model in detector.models} == set(settings.weights_sha256)
    (record, *_) = sorted((place.folder / "data" / "raw" / "other").glob("*.hea"))
    found = detector.find_onsets_in_file(record)
    assert all(0 <= onset.probability <= 1 for onset in found)


def test_other_settings_of_the_curve_train_nothing_again(place: Place) -> None:
    assert rules_in(place.planned("--configfile", "whole.yaml", study=None)) == Counter()
    changed = {**STUDY, "onsets": {**STUDY["onsets"], "curve": {"rise_s": 2.0}}}
    (place.folder / "changed.yaml").write_text(yaml.safe_dump(changed))
    jobs = rules_in(place.planned("--configfile", "changed.yaml", study=None))
    assert (jobs["train_onset_network"], jobs["find_onsets"], jobs["measure_onsets"]) == (0, 2, 1)


def test_networks_and_candidates_repeat_to_the_byte(place: Place) -> None:
    onsets = place.folder / "results" / "whole" / "onsets"
    paths = [*onsets.glob("fold*/seed*/model.pt"), *onsets.glob("*/own.csv"), *onsets.glob("network/*.h5")]
    before = {path: path.read_bytes() for path in paths}
    assert len(before) == 2 + len(METHODS) + 2
    for path in paths:
        path.unlink()
    run(place)
    assert {path: path.read_bytes() for path in paths} == before


# The last one: it takes recordings away.
def test_records_that_came_in_stop_the_study_until_all_are_read_again(place: Place) -> None:
    mine, data = place.folder / "mine", place.folder / "data"
    shutil.copytree(data / "raw" / "other", mine)
    section = {"format": "wfdb", "event_labels": ["VFL", "VT"], "path": "mine"}
    values = {**STUDY, "datasets": {**STUDY["datasets"], "other": section}}
    (place.folder / "mine.yaml").write_text(yaml.safe_dump(values))
    options = ("--dry-run", "--configfile", "mine.yaml")
    place.run(*options, study=None)
    shutil.copy(next(mine.glob("*.hea")), mine / "new.hea")
    said = place.run(*options, ok=False, study=None)
    assert "mine/new.hea: " in said
    assert "/data/*/other.*" in said
    for path in data.glob("*/other.*"):
        path.unlink()
    jobs = rules_in(place.planned("--configfile", "mine.yaml", study=None))
    assert (jobs["provide_raw"], jobs["extract_recordings"]) == (1, 1)
