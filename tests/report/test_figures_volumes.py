"""Volumes in figures: which slices are shown, and where points are in them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from siwcc.data.tasks.interface import TaskSpec
from siwcc.report.figures.inputs import Case, _draw_volume_cases
from siwcc.report.figures.volumes import VolumeRow, cut, draw_rows

# z counts hundreds, y tens and x ones.
VOLUME = 100 * np.arange(3)[:, None, None] + 10 * np.arange(4)[:, None] + np.arange(5)
FOCUS = np.array([3.6, 1.2, 2.0])


def test_slices_go_through_the_nearest_voxel():
    number, across_z = cut(VOLUME, FOCUS, across=2)
    assert (number, across_z.shape, across_z[1, 4]) == (2, (4, 5), 214)
    number, across_y = cut(VOLUME, FOCUS, across=1)
    assert (number, across_y.shape, across_y[2, 4]) == (1, (3, 5), 214)
    number, across_x = cut(VOLUME, FOCUS, across=0)
    assert (number, across_x.shape, across_x[2, 1]) == (4, (3, 4), 214)


def test_a_map_is_cut_at_the_same_place():
    # Two voxels between two values: 3.6 is nearest to the third, at 4.
    assert cut(VOLUME, FOCUS, across=0, stride=2)[0] == 2
    # A point beyond the edge: the outermost slice.
    assert cut(VOLUME, np.array([-3.0, 0.0, 9.0]), across=2)[0] == 2


def test_points_are_projected_on_each_slice():
    shown: list[tuple[tuple[int, ...], list[float], str]] = []

    def panel(axis: Axes, values: np.ndarray, title: str, points) -> None:
        shown.extend((values.shape, point.tolist(), mark) for point, mark in points)

    figure = draw_rows([VolumeRow("one", VOLUME, FOCUS, [(FOCUS, "ring")])], panel)
    assert shown == [((4, 5), [3.6, 1.2], "ring"), ((3, 5), [3.6, 2.0], "ring"), ((3, 4), [1.2, 2.0], "ring")]
    # As images are: y and z downwards.
    assert [axis.get_ylim() for axis in figure.axes] == [(3.5, -0.5), (2.5, -0.5), (2.5, -0.5)]


def test_target_and_prediction_of_each_case_are_marked():
    spec = TaskSpec("ct", "volume", ("_x", "_y", "_z"), "voxel", 1, (3, 4, 5), (4.0, 3.0, 2.0), 4.0)
    prediction = np.array([1.0, 3.0, 0.0])
    case = Case("worst", "s1", 2, 1, FOCUS, prediction, 3.0, True, VOLUME[np.newaxis].astype(np.float32))
    figure = _draw_volume_cases(spec, [case], "title")
    assert len(figure.axes) == 3
    # One scale for the three slices: 0 ... 234.
    assert {axis.images[0].get_clim() for axis in figure.axes} == {(0.0, 234.0)}
    # Each mark has a white rim below it.
    marked = [[tuple(map(float, line.get_xydata()[0])) for line in axis.lines[1::2]] for axis in figure.axes]
    assert marked == [[(3.6, 1.2), (1.0, 3.0)], [(3.6, 2.0), (1.0, 0.0)], [(1.2, 2.0), (3.0, 0.0)]]
