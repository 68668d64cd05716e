"""Errors on data sets that no network saw, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.external_table import (
    ENSEMBLE,
    External,
    OfNetwork,
    measure_external,
    write_external,
    write_external_predictions,
)
from siwcc.io.files import read_csv
from siwcc.io.study_layout import StudyLayout
from siwcc.io.tables import read_lines

LIMITS = {"ecg": ErrorLimits("s", 0.5, 1.0, isolated_s=20.0)}


def inputs_of(targets: list[float], groups: list[str], suffixes: tuple[str, ...] = ("",)) -> SimpleNamespace:
    rows = len(groups)
    return SimpleNamespace(
        sample_id=np.array([f"s{row}" for row in range(rows)], dtype=object),
        group=np.array(groups, dtype=object),
        copy=np.zeros(rows, dtype=np.int32),
        target=np.array(targets, dtype=np.float32).reshape(rows, -1),
        spec=SimpleNamespace(outputs=suffixes),
    )


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, np.newaxis]


@pytest.fixture
def layout(tmp_path: Path) -> StudyLayout:
    """A network of two folds, their ensemble and a baseline; three samples of two records at 10 s."""
    layout = StudyLayout(tmp_path / "results" / "made")
    inputs = inputs_of([10.0, 10.0, 10.0], ["a", "a", "b"])
    parts = [
        OfNetwork("fold1", 42, column(10.0, 10.25, 12.0), column(0.5, 0.75, 1.0)),
        OfNetwork("fold10", 42, column(11.0, 11.0, 11.0), column(0.5, 0.5, 0.5)),
        OfNetwork("fold2", 42, column(10.0, 10.0, 10.0), column(0.5, 0.5, 0.5)),
        OfNetwork(ENSEMBLE, 42, column(10.0, 11.0, 14.0), column(0.5, 0.5, 0.5)),
        OfNetwork("fold1", 43, column(9.0, 10.0, 10.0), column(0.5, 0.75, 1.0)),
    ]
    write_external_predictions(layout.external("ecg", "none", "heatmap", "mitdb"), inputs, parts)
    alone = [OfNetwork("", "", column(13.0, 10.5, 10.5))]
    write_external_predictions(layout.external_baseline("ecg", "centre", "mitdb"), inputs, alone)
    return layout


def lines_of(layout: StudyLayout):
    paths = [layout.external("ecg", "none", "heatmap", "mitdb"), layout.external_baseline("ecg", "centre", "mitdb")]
    return measure_external(paths, LIMITS)


def test_the_file_has_the_columns_of_predictions_and_the_network(layout: StudyLayout) -> None:
    rows = read_csv(layout.external("ecg", "none", "heatmap", "mitdb"), ())
    assert list(rows[0]) == ["network", "seed", "group", "sample_id", "copy", "target", "prediction", "confidence"]
    assert len(rows) == 15
    assert list(rows[1].values()) == ["fold1", "42", "a", "s1", "0", "10.000000", "10.250000", "0.750000"]
    rows = read_csv(layout.external_baseline("ecg", "centre", "mitdb"), ())
    assert list(rows[0].values()) == ["", "", "a", "s0", "0", "10.000000", "13.000000"]


def test_errors_of_each_network_and_of_all_together(layout: StudyLayout) -> None:
    lines = lines_of(layout)
    assert [(line.method, line.variant, line.network) for line in lines] == [
        ("centre", "", ""),
        *(("none", "heatmap", name) for name in ("fold1", "fold2", "fold10", ENSEMBLE)),
    ]
    assert {(line.task, line.dataset, line.records, line.unit) for line in lines} == {("ecg", "mitdb", 2, "s")}
    baseline, fold1, fold2, fold10, ensemble = lines
    # Errors 3, 0.5, 0.5.
    assert (baseline.rows, baseline.seeds, baseline.median, baseline.within_fine) == (3, 0, 0.5, pytest.approx(2 / 3))
    # Two seeds: 0, 0.25, 2 and 1, 0, 0.
    assert (fold1.rows, fold1.seeds, fold1.median, fold1.mean) == (6, 2, 0.125, pytest.approx(3.25 / 6))
    assert (fold1.within_fine, fold1.within_coarse) == (pytest.approx(4 / 6), pytest.approx(5 / 6))
    assert (fold2.mean, fold10.median, fold10.within_coarse) == (0, 1, 1)
    # 0, 1, 4: the 90 % percentile lies 0.8 of the way from 1 to 4.
    assert (ensemble.median, ensemble.p90, ensemble.within_coarse) == (1, pytest.approx(3.4), pytest.approx(2 / 3))


def test_intervals_are_over_records(layout: StudyLayout) -> None:
    ensemble = lines_of(layout)[-1]
    # Two records are drawn as aa, ab or bb: 0 and 1 s in a, 4 s in b.
    assert (ensemble.mean_low, ensemble.mean_high) == (0.5, 4)
    assert (ensemble.within_coarse_low, ensemble.within_coarse_high) == (0, 1)


def test_what_is_written_is_read_again(layout: StudyLayout) -> None:
    lines = lines_of(layout)
    write_external(layout.table("external"), lines)
    assert read_lines(layout.table("external"), External) == lines


def test_of_several_points_the_first_is_measured_where_it_is_visible(tmp_path: Path) -> None:
    layout = StudyLayout(tmp_path / "results" / "made")
    inputs = inputs_of([10.0, 12.0, np.nan, 12.0], ["a", "b"], ("_onset", "_end"))
    parts = [OfNetwork("fold1", 42, np.array([[10.25, 0.0], [3.0, 12.0]]))]
    path = layout.external("ecg", "none", "full", "mitdb")
    write_external_predictions(path, inputs, parts)
    (line,) = measure_external([path], LIMITS)
    assert (line.rows, line.records, line.median) == (1, 1, 0.25)
    assert np.isnan(line.median_low)
