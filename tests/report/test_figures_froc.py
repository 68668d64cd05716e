from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from siwcc.data.episodes import Candidate, Episode, Reference
from siwcc.evaluation.onset_froc import sweep_thresholds
from siwcc.evaluation.onset_tables import FrocPoint
from siwcc.evaluation.onsets import Detections, measure_onsets
from siwcc.report.figures import froc
from siwcc.report.figures.style import FigureFiles, why_not_drawn


def a_point(method, rate, sensitivity, dataset="vfdb"):
    return FrocPoint(method, dataset, "episodes", 2.5, 0.5, rate, sensitivity)


def a_study(methods=("network", "rate_rule"), datasets=("vfdb", "mitdb")):
    """Points and the lines at the threshold 0.5 of methods that differ in their false alarms."""
    points, defaults = [], []
    for dataset in datasets:
        record = Reference("a", "A", 7200.0, (Episode(50.0, 60.0, "VT"), Episode(90.0, 99.0, "VF")), ())
        for number, method in enumerate(methods):
            found = [Candidate(50.0, 51.0, 0.9), Candidate(90.0, 91.0, 0.4), Candidate(300.0 + number, 302.0, 0.6)]
            detections = Detections(method, dataset, (record,), {"a": found})
            points += sweep_thresholds(detections).points()
            defaults += measure_onsets(detections, 0.5, ("episodes",), (2.5,))
    return points, defaults


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that is written."""
    figures: list[Figure] = []
    save = froc.save_figure
    monkeypatch.setattr(froc, "save_figure", lambda figure, files: (figures.append(figure), save(figure, files)))
    return figures


def test_steps_are_the_highest_sensitivity_within_each_rate():
    points = [a_point("m", 2.0, 0.5), a_point("m", 0.0, 0.1), a_point("m", 1.0, 0.3), a_point("m", 0.0, 0.2)]
    points += [a_point("m", 4.0, 0.5), a_point("m", 3.0, 0.4)]
    assert froc._steps(points) == [(0.0, 0.2), (1.0, 0.3), (2.0, 0.5), (4.0, 0.5)]
    assert froc._steps([]) == []


def test_one_panel_each_with_thick_networks_and_the_default_marked(tmp_path, drawn):
    points, defaults = a_study()
    files = FigureFiles.named(tmp_path, "froc")
    froc.plot_froc(points, defaults, ("network",), files)
    assert why_not_drawn(files.svg) is None
    panels = drawn[0].axes
    assert len(panels) == 2
    for panel in panels:
        curve, mark, other, _ = panel.get_lines()
        assert curve.get_linewidth() > other.get_linewidth()
        assert curve.get_color() != other.get_color()
        # Half of two onsets without a false alarm, all from half a false alarm per hour on.
        hours = (7200 - 19) / 3600
        assert curve.get_ydata().tolist() == [50.0, 100.0, 100.0]
        assert curve.get_xdata().tolist() == pytest.approx([0.0, 1 / hours, 1 / hours])
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (pytest.approx(1 / hours), 50.0)
        assert panel.get_xlim() == (0, 30)
        assert panel.get_ylim() == (0, 100)
    with files.data.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [float(row["sensitivity"]) for row in rows] == [point.sensitivity for point in points]


def test_panels_keep_their_height_and_no_mark_is_outside(tmp_path, drawn):
    points, defaults = a_study(datasets=("vfdb",))
    froc.plot_froc(points, [], (), FigureFiles.named(tmp_path, "without"))
    beyond = [a_point("rate_rule", 31.0, 0.5), a_point("rate_rule", 40.0, math.nan)]
    froc.plot_froc(points + beyond, defaults, (), FigureFiles.named(tmp_path, "beyond"))
    for figure in drawn:
        assert np.prod(figure.axes[0].get_position().size * figure.get_size_inches()) > 5
        marks = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "None"]
        assert all(line.get_xdata()[0] <= 30 for line in marks)


def test_many_methods_look_different_and_a_file_is_the_same_again(tmp_path):
    methods = [f"method_{number}" for number in range(10)]
    looks = froc._looks(methods, methods[:3])
    assert len({(look.colour, look.line) for look in looks.values()}) == 10
    points, defaults = a_study(methods, datasets=("vfdb", "mitdb", "own"))
    files = [FigureFiles.named(tmp_path, name) for name in ("one", "two")]
    for each in files:
        froc.plot_froc(points, defaults, methods[:3], each)
    assert files[0].svg.read_bytes() == files[1].svg.read_bytes()
    assert files[0].png.read_bytes() == files[1].png.read_bytes()
