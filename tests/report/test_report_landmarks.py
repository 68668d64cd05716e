"""The report of a task with five points that look alike: its tables, words and figure, from real folds."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_study import copied_study
from test_build import Page, numbers

from siwcc.cli import main as cli
from siwcc.config import Config, parse_config, write_config
from siwcc.data.augment.interface import augment_module
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.folds import make_fold, write_folds
from siwcc.data.samples import extract_samples
from siwcc.evaluation.baselines.registry import baselines_of, write_baseline
from siwcc.evaluation.landmarks import LandmarkErrors
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.io.data_layout import DataLayout
from siwcc.io.files import read_csv, write_csv, write_manifest
from siwcc.io.run_key import run_place
from siwcc.io.study_layout import results_of
from siwcc.io.tables import read_lines
from siwcc.report.build import describe_missing
from siwcc.report.study import Study

TASK, NAMES = "spine", ("a", "b", "c", "d", "e")
TABLES = ("landmarks", "landmarks_by_point", "landmark_tests")


def spine_config(folder: Path) -> Config:
    values = {
        "study": "spine",
        "run": [TASK],
        "folds": 2,
        "folds_by": "group",
        "variants": ["full"],
        "tasks": {TASK: {"kind": "image", "dataset": "xray", "copies_per_sample": 2, "group": "patient"}},
        "datasets": {
            "xray": {
                "format": "folder",
                "kind": "image",
                "path": str(folder),
                "image_size": 64,
                "colours": 1,
                "points_from": [[name, name] for name in NAMES],
            }
        },
        "train": {"epochs": 6, "device": "cpu"},
    }
    return parse_config(values)


def write_images(folder: Path) -> None:
    """Eight images of four patients with a bright spot at each of five places, one below the other, 10 px apart."""
    folder.mkdir()
    rows = []
    for number in range(8):
        image = np.random.default_rng(number).integers(0, 50, (64, 64), dtype=np.uint8)
        places = [(30 + number / 2, 12 + 10 * place) for place in range(5)]
        for x, y in places:
            image[round(y), round(x)] = 255
        cv2.imwrite(str(folder / f"i{number}.png"), image)
        rows.append([f"i{number}.png", f"p{number // 2}", "x", *(value for place in places for value in place)])
    ends = [f"{axis}{name}" for name in NAMES for axis in "xy"]
    write_csv(folder / "samples.csv", ("file", "group", "class", *ends), rows)


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Real folds and baselines; `coord` is off by one whole point in c, `weighted` by 1 px in all."""
    root = tmp_path_factory.mktemp("spine")
    write_images(root / "images")
    config = spine_config(root / "images")
    study = Study(root / results_of(config.study), root / "data", config)
    layout, data, section = study.layout, DataLayout(study.data), config.dataset_of(TASK)
    provide_raw("xray", config.datasets["xray"], data.raw, data.manifest("xray"))
    outputs = (data.samples("xray"), data.excluded("xray"), data.protocol("xray"))
    extract_samples("xray", config.datasets["xray"], data.raw, data.manifest("xray"), *outputs)
    samples = study.samples_path(TASK)
    write_folds(samples, section, 2, "group", config.seed, "kfold", layout.folds_csv(TASK), layout.strata_csv(TASK))
    for fold, path in enumerate(study.fold_paths(TASK), 1):
        make_fold(samples, layout.folds_csv(TASK), fold, config.task(TASK), section, config.seed, path)
    for name in study.files.baselines_of(TASK):
        write_baseline(name, TASK, study.fold_paths(TASK), samples, layout.baseline(TASK, name))
    for key in study.runs():
        inputs = augment_module("image").open_inputs([study.fold_paths(TASK)[key.fold - 1]], samples, False)
        predicted = np.nan_to_num(inputs.target.astype(np.float64))
        if key.encoding == "coord":
            predicted[:, 4:6] = predicted[:, 6:8]
        else:
            predicted[:, ::2] += 1
        rows = prediction_rows(inputs, predicted)
        write_csv(layout.predictions(key), prediction_columns(inputs.spec.outputs), rows)
        write_csv(layout.log(key), ("epoch", "train_r2", "test_r2"), [(epoch, 0.5, 0.4) for epoch in range(1, 7)])
        train = {"device": "cpu", "threads": 1}
        paths = (layout.log(key), layout.predictions(key))
        write_manifest(layout.manifest(key), run_place(key), paths, train=train)
    write_config(layout.config, config)
    return study


@pytest.fixture(scope="module")
def reported(spine: Study, repository: Path) -> str:
    """The page, drawn and written by the command."""
    assert cli.main(["report", str(spine.folder), "--resources", str(repository / "resources")]) == 0
    return spine.layout.report.read_text(encoding="utf-8")


def test_many_points_have_files_and_no_centroid(spine: Study) -> None:
    assert spine.files.baselines_of(TASK) == ["training_mean", "centre"]
    for points in (1, 2):
        assert baselines_of("image", points) == baselines_of("image")
    assert [path.name for path in spine.files.tables() if "landmark" in path.name] == [f"{name}.csv" for name in TABLES]
    assert spine.files.landmark_frames() == {TASK: 64.0}
    assert [path.name for path in spine.files.figures(["svg"]) if "landmarks" in path.name] == [
        "landmarks_spine_full.svg"
    ]


def test_the_tables_are_those_of_the_predictions(spine: Study, reported: str) -> None:
    lines = read_lines(spine.layout.table("landmarks_by_point"), LandmarkErrors)
    confused = {line.point: line.confused for line in lines if (line.method, line.inputs) == ("coord", "augmented")}
    assert confused == {"a": 0, "b": 0, "c": 1, "d": 0, "e": 0}
    overall = read_csv(spine.layout.table("landmarks"), ())
    weighted = next(row for row in overall if (row["method"], row["inputs"]) == ("weighted", "unaugmented"))
    # Eight images of five points, all 1 px off in a frame of 64 px.
    assert (weighted["points"], weighted["groups"], float(weighted["confused"])) == ("40", "4", 0)
    assert float(weighted["mean_percent"]) == pytest.approx(100 / 64, rel=1e-5)
    error, fraction = (
        row for row in read_csv(spine.layout.table("landmark_tests"), ()) if row["inputs"] == "augmented"
    )
    # All four patients have fewer confused points: one of 16 sign patterns.
    assert (fraction["metric"], fraction["records_better"], float(fraction["p_smaller"])) == ("confused", "4", 1 / 16)
    assert error["metric"] == "mean"


def test_the_page_has_the_landmarks_and_no_table_for_each_point(spine: Study, reported: str) -> None:
    page = Page(reported)
    assert page.problems == []
    assert page.references - set(page.ids) == set()
    assert [name for name, count in page.ids.items() if count > 1] == []
    assert "landmarks" in page.ids
    assert "figures/landmarks_spine_full.svg" in reported
    # Errors would be five tables for each kind of inputs, and two by stratum for each point.
    assert page.tags["table"] < 15
    assert "strata" not in page.ids


def test_the_first_lines_are_of_all_points(spine: Study, reported: str) -> None:
    lines = spine.layout.summary.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    overall = read_lines_of(spine)
    network = min((row for row in overall if row["variant"]), key=lambda row: float(row["mean"]))
    baseline = min((row for row in overall if not row["variant"]), key=lambda row: float(row["mean"]))
    for row, said in zip((network, baseline), lines[1].split(";"), strict=True):
        mean, low, high, percent, confused = numbers(said)
        expected = [float(row[name]) for name in ("mean", "mean_low", "mean_high", "mean_percent")]
        assert [mean, low, high, percent] == pytest.approx(expected, rel=6e-3)
        assert confused == pytest.approx(100 * float(row["confused"]), rel=6e-3)
    # The headline is the test of the mean over all points: four patients.
    assert numbers(lines[2])[0] == 4


def read_lines_of(study: Study) -> list[dict[str, str]]:
    return [row for row in read_csv(study.layout.table("landmarks"), ()) if row["inputs"] == "augmented"]


def test_an_incomplete_study_has_the_same_tables(spine: Study, reported: str, tmp_path: Path, repository: Path) -> None:
    study = copied_study(spine, tmp_path)
    whole = study.layout.table("landmarks").read_text().splitlines()
    for key in study.runs():
        if key.encoding == "weighted":
            shutil.rmtree(study.run_folder(key))
    assert cli.main(["report", str(study.folder), "--resources", str(repository / "resources")]) == 0
    assert numbers(describe_missing(study)[0]) == [1, 2]
    methods = [row["method"] for row in read_lines_of(study)]
    assert methods == ["centre", "training_mean", "coord"]
    assert set(study.layout.table("landmarks").read_text().splitlines()) < set(whole)
    assert read_csv(study.layout.table("landmark_tests"), ()) == []
