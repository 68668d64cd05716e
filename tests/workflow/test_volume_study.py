"""The study of volumes through the real Snakefile: samples, folds, copies, training, tables and figures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from places import REPOSITORY, Place
from refusals import refused
from tolerances import assert_same

from siwcc.evaluation.methods import read_predictions
from siwcc.inference.predictor import Predictor
from siwcc.io.shards import read_shard
from siwcc.report.figures.style import why_not_drawn
from siwcc.training.checkpoint import read_model

pytestmark = pytest.mark.slow

ARMS = [f"{encoding}/heatmap/fold{fold}/seed42" for encoding in ("none", "coord_unit") for fold in (1, 2)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study."""
    place = Place(REPOSITORY, tmp_path_factory.mktemp("volumes"))
    place.run(study="volume-toy")
    return place.folder / "results" / "volume-toy"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_row_is_predicted_by_the_network_that_did_not_see_it(results: Path) -> None:
    rows = [read_shard(results / "spheres" / f"fold{fold}.h5", "fold").arrays for fold in (1, 2)]
    assert sorted(len(arrays["copy"]) for arrays in rows) == [80, 80]
    for arm in ARMS:
        run = results / "spheres" / arm
        fold = rows[int(arm.split("/")[2].removeprefix("fold")) - 1]
        predictions = read_predictions(run / "predictions.csv")
        assert predictions.sample_id.tolist() == fold["sample_id"].tolist()
        assert_same(predictions.target, np.float32(fold["target"]), 1e-6)
        assert not set(read_model(run / "model.pt").metadata.training_groups) & set(fold["group"])
        assert (predictions.prediction >= 0).all()
        assert (predictions.prediction <= [23, 23, 15]).all()


def test_the_error_is_the_distance(results: Path) -> None:
    parts = [read_predictions(results / "spheres" / arm / "predictions.csv") for arm in ARMS[:2]]
    off = np.concatenate([part.prediction[part.copy == 0] - part.target[part.copy == 0] for part in parts])
    (row,) = (
        row
        for row in read(results / "stats" / "errors.csv")
        if (row["method"], row["inputs"], row["subset"]) == ("none", "unaugmented", "all")
    )
    assert (row["samples"], row["unit"]) == ("40", "voxel")
    assert_same(float(row["median"]), np.median(np.sqrt((off**2).sum(axis=1))), 1e-9)


def test_a_network_finds_the_sphere_and_no_baseline_does(results: Path) -> None:
    lines = [
        row for row in read(results / "stats" / "errors.csv") if (row["inputs"], row["subset"]) == ("augmented", "all")
    ]
    median = {row["method"]: float(row["median"]) for row in lines}
    assert set(median) == {
        *("none", "coord_unit", "training_mean", "centre", "intensity_centroid", "inverted_centroid"),
    }
    # The radius of a sphere is 2 voxels, the distance between two centres at least 6.
    networks = [median.pop(name) for name in ("none", "coord_unit")]
    assert max(networks) < 2.0
    assert min(median.values()) > 3.0


def test_every_figure_is_drawn_and_on_the_page(results: Path) -> None:
    figures = sorted((results / "figures").glob("*.svg"))
    assert {path.stem: why_not_drawn(path) for path in figures} == {path.stem: None for path in figures}
    assert {"encodings_spheres", "targets_spheres", "worst_spheres_none_heatmap"} < {path.stem for path in figures}
    assert len(read(results / "figures" / "encodings_spheres.csv")) == 16 * 24 * 24
    assert (results / "report.html").stat().st_size > 100_000


def test_a_network_for_volumes_is_refused_where_files_are_read(results: Path) -> None:
    path = results / "spheres" / ARMS[0] / "model.pt"
    with refused(path, "volumes"):
        Predictor([read_model(path)])
