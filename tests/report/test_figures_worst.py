"""The worst predictions of a made study whose networks make maps: chosen, computed again and drawn."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from made_models import write_model
from made_study import shared_mapped_study
from tolerances import FLOAT32, assert_same

from siwcc.io.errors import InputError
from siwcc.report.figures.style import FigureFiles
from siwcc.report.figures.worst import WorstInputs, find_worst, map_of, plot_worst


@pytest.fixture(scope="module", params=["ecg", "nuclei"])
def worst(request, tmp_path_factory):
    study = shared_mapped_study(tmp_path_factory, request.param)
    strata = study.folder / request.param / "strata.csv"
    paths = study.existing(request.param, "predictions.csv")
    return WorstInputs(paths, study.fold_paths(request.param), study.samples_path(request.param), strata)


@pytest.mark.numeric
def test_the_map_is_that_of_the_prediction(worst) -> None:
    spec, cases = find_worst(worst)
    errors = [case.error for case in cases]
    assert errors == sorted(errors, reverse=True)
    assert 0 < len(cases) <= 10
    records = [case.record for case in cases]
    assert max(map(records.count, records)) <= 2
    for case in cases:
        assert_same(case.values.sum(), 1.0, FLOAT32)
        # What lies within 5 % of the extent along each axis is the confidence that the file says.
        mass = case.values.astype(np.float64)
        # Samples or pixels between two scores, of the networks named heatmap.
        stride = 1 if mass.ndim == 1 else 4
        assert case.stride == stride
        for axis, (last, size) in enumerate(zip(spec.extent, spec.shape[::-1], strict=True)):
            places = mass.shape[mass.ndim - 1 - axis]
            near = np.abs(np.arange(places) * stride * last / (size - 1) - case.prediction[axis]) <= 0.05 * last
            mass = mass * (near if axis == 0 else near[:, None])
        assert_same(mass.sum(), case.confidence, FLOAT32, scale=1.0)
        assert_same(case.error, np.linalg.norm(case.prediction - case.target), FLOAT32)


@pytest.mark.slow
def test_the_figure_repeats_to_the_byte(worst, tmp_path) -> None:
    first, second = (FigureFiles.named(tmp_path / name, "worst") for name in "ab")
    for files in (first, second):
        plot_worst(worst, files)
    for kind in ("svg", "png", "data"):
        assert getattr(first, kind).read_bytes() == getattr(second, kind).read_bytes()


def test_the_numbers_of_the_figure_are_the_files(worst, tmp_path) -> None:
    first = FigureFiles.named(tmp_path / "a", "worst")
    plot_worst(worst, first)
    _, cases = find_worst(worst)
    rows = list(csv.DictReader(first.data.open(newline="")))
    assert [row["sample_id"] for row in rows] == [case.sample_id for case in cases]
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, len(cases) + 1)]
    said = {
        row["sample_id"]: row
        for row in csv.DictReader(worst.prediction_paths[0].open(newline=""))
        if row["copy"] == "0"
    }
    own = [row for row in rows if row["fold"] == "1"]
    assert all(row["confidence"] == said[row["sample_id"]]["confidence"] for row in own)


def test_a_network_without_a_map_is_one_line(worst, tmp_path) -> None:
    model = write_model(tmp_path / "model.pt", "full")
    with pytest.raises(InputError):
        map_of(model, np.zeros((1, 2, 40)))  # type: ignore[arg-type]


def test_the_map_of_a_unet_has_a_place_for_every_second_pixel(tmp_path) -> None:
    model = write_model(tmp_path / "model.pt", "unet", task="nuclei")
    values, stride = map_of(model, torch.rand(1, 3, 32, 32))
    assert (values.shape, stride) == ((16, 16), 2)
    assert_same(values.sum(), 1.0, FLOAT32)
