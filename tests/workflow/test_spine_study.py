"""A task that is an entry of a study file, through the real Snakefile: docs/how-to/add-task.md."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from places import REPOSITORY, Place
from tolerances import assert_same

import siwcc
from siwcc.data.datasets.image_files import read_image
from siwcc.evaluation.methods import read_predictions
from siwcc.report.figures.style import why_not_drawn

pytestmark = pytest.mark.slow

POINTS = {"top": range(1, 5), "middle": range(33, 37), "bottom": range(65, 69)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished study."""
    made = Place(REPOSITORY, tmp_path_factory.mktemp("spine"))
    made.run(study="spine-demo")
    return made.folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def run_of(place: Path, fold: int) -> Path:
    return place / "results" / "spine-demo" / "spine" / "none" / "unet" / f"fold{fold}" / "seed42"


def test_targets_are_the_centroids_of_the_corners(place: Path) -> None:
    table = {row["file"]: row for row in read(place / "data" / "raw" / "rays" / "landmarks.csv")}
    predictions = read_predictions(run_of(place, 1) / "predictions.csv")
    itself = np.flatnonzero(predictions.copy == 0)
    assert len(itself) == 12
    for row in itself.tolist():
        line = table[f"{predictions.sample_id[row]}.png"]
        # 384 x 192 pixels are fitted into 128 x 64.
        expected = [
            np.mean([float(line[f"{axis}{corner}"]) for corner in corners]) / 3
            for corners in POINTS.values()
            for axis in "xy"
        ]
        assert_same(predictions.target[row], np.array(expected), 1e-5)


def test_no_subject_is_in_two_folds(place: Path) -> None:
    rows = read(place / "results" / "spine-demo" / "spine" / "folds.csv")
    folds = {row["group"]: {other["fold"] for other in rows if other["group"] == row["group"]} for row in rows}
    assert len(folds) == 12
    assert all(len(numbers) == 1 for numbers in folds.values())


def test_the_median_radial_error_is_that_of_the_predictions(place: Path) -> None:
    parts = [read_predictions(run_of(place, fold) / "predictions.csv") for fold in (1, 2)]
    off = np.concatenate([(part.prediction - part.target)[part.copy == 0] for part in parts]).reshape(-1, 2)
    radial_px = np.hypot(*off[np.isfinite(off).all(axis=1)].T)
    rows = read(place / "results" / "spine-demo" / "stats" / "landmarks.csv")
    (row,) = (row for row in rows if (row["method"], row["variant"], row["inputs"]) == ("none", "unet", "unaugmented"))
    assert int(row["points"]) == len(radial_px) == 24 * len(POINTS)
    assert_same(float(row["median"]), np.median(radial_px), 1e-5)


def test_every_figure_is_drawn_and_on_the_page(place: Path) -> None:
    results = place / "results" / "spine-demo"
    figures = sorted((results / "figures").glob("*.svg"))
    assert {path.stem: why_not_drawn(path) for path in figures} == {path.stem: None for path in figures}
    assert {"encodings_spine", "predictions_spine_none_unet", "worst_spine_none_unet"} < {path.stem for path in figures}
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "Vertebra centres" in page
    assert "radiographs" in page


def test_its_network_predicts_an_image(place: Path) -> None:
    predictor = siwcc.load_model(run_of(place, 1) / "model.pt")
    image = read_image(next((place / "data" / "raw" / "rays" / "images").glob("*.png")))
    points = predictor.predict(image).points
    assert [point.point for point in points] == list(POINTS)
    rows = [point.position[1] for point in points]
    assert rows == sorted(rows)
