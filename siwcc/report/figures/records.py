"""Two methods compared, record by record: both errors of every record."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from siwcc.evaluation.record_tests import PRIMARY_VIEW, RecordPoint
from siwcc.io.files import write_csv
from siwcc.io.tables import cells_of, columns_of
from siwcc.report.figures.style import (
    BLUE,
    INK,
    MUTED,
    PAPER,
    VERMILION,
    FigureFiles,
    arm_style,
    model_name,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)

# More records than this cannot be named in a figure: a cloud of points instead of a line each.
_MOST_LINES = 40
_CONTROL, _STUDY = BLUE, VERMILION
_CONTROL_MARKER, _STUDY_MARKER = "o", "s"
_ERRORS = ("control_error", "study_error")


def select_points(
    points: Sequence[RecordPoint], task: str, variant: str, control: str, study: str
) -> list[RecordPoint]:
    """The points of one comparison on the augmented copies of all events, where the study gains most first."""
    chosen = [
        point
        for point in points
        if (point.task, point.variant, point.control, point.study) == (task, variant, control, study)
        and (point.control_variant, point.inputs, point.subset) == (variant, *PRIMARY_VIEW)
    ]
    return sorted(chosen, key=lambda point: (point.difference, point.record))


@placeholder_on_error
def plot_records(points: Sequence[RecordPoint], files: FigureFiles, group: str = "record") -> None:
    """Draw both mean absolute errors of every record of one comparison.

    Up to 40 records have a line each with both errors on it; of more, every record is a point between
    the axes of the two errors.

    Args:
        points: Of one comparison and view, at least one, in the order to draw.
        files: The figures and the numbers in them.
        group: What a record is called.
    """
    write_csv(files.data, columns_of(RecordPoint), [cells_of(point, columns_of(RecordPoint)) for point in points])
    draw = _draw_lines if len(points) <= _MOST_LINES else _draw_cloud
    save_figure(draw(points, group), files)


def _draw_lines(points: Sequence[RecordPoint], group: str) -> Figure:
    figure = new_figure(4.4, 1.5 + 0.165 * (len(points) + 1))
    axis = figure.subplots()
    for place, point in enumerate(points):
        _draw_pair(axis, place, point.control_error, point.study_error, 5)
    control, study = (float(np.mean([getattr(point, name) for point in points])) for name in _ERRORS)
    axis.axhline(len(points) - 0.2, color=MUTED, linewidth=0.8)
    _draw_pair(axis, len(points) + 0.4, control, study, 7)
    style_axis(axis, grid="x")
    axis.set_ylim(len(points) + 1.1, -0.7)
    axis.set_yticks([*range(len(points)), len(points) + 0.4], [*(point.record for point in points), "mean"])
    axis.tick_params(axis="y", labelsize=7.5, length=0)
    axis.set_xlim(left=0)
    axis.set_xlabel(f"mean absolute error ({points[0].unit})", fontsize=9, color=INK)
    _add_titles(figure, axis, points, group)
    return figure


def _draw_pair(axis: Axes, place: float, control: float, study: float, size: float) -> None:
    colour = _STUDY if study < control else _CONTROL
    axis.plot([control, study], [place, place], "-", color=colour, linewidth=1.4, alpha=0.7)
    axis.plot([control], [place], _CONTROL_MARKER, color=_CONTROL, markerfacecolor=PAPER, markersize=size)
    axis.plot([study], [place], _STUDY_MARKER, color=_STUDY, markersize=size)


def _draw_cloud(points: Sequence[RecordPoint], group: str) -> Figure:
    figure = new_figure(4.4, 4.6)
    axis = figure.subplots()
    errors = np.array([[point.control_error, point.study_error] for point in points])
    limit = 1.04 * float(np.nanmax(errors))
    axis.plot([0, limit], [0, limit], "-", color=MUTED, linewidth=1)
    axis.plot(errors[:, 0], errors[:, 1], ".", color=_STUDY, markersize=4, alpha=0.6)
    axis.plot(*errors.mean(axis=0), "P", color=INK, markersize=9, markeredgecolor=PAPER)
    style_axis(axis)
    axis.set_xlim(0, limit)
    axis.set_ylim(0, limit)
    axis.set_aspect("equal")
    unit = points[0].unit
    axis.set_xlabel(f"{arm_style(points[0].control).label} ({unit})", fontsize=9, color=INK)
    axis.set_ylabel(f"{arm_style(points[0].study).label} ({unit})", fontsize=9, color=INK)
    _add_titles(figure, axis, points, group)
    return figure


def _add_titles(figure: Figure, axis: Axes, points: Sequence[RecordPoint], group: str) -> None:
    first = points[0]
    figure.suptitle(model_name(first.task, first.variant), fontsize=10.5, x=0.01, ha="left", color=INK)
    better = sum(point.difference < 0 for point in points)
    worse = sum(point.difference > 0 for point in points)
    finite = [point.difference for point in points if math.isfinite(point.difference)]
    mean = f"{np.mean(finite):+.3f}".replace("-", "\N{MINUS SIGN}") if finite else "\N{EN DASH}"
    title = f"smaller in {better}, larger in {worse} of {len(points)}; mean {mean} {first.unit}"
    axis.set_title(title, fontsize=8.5, loc="left", color=INK)
    figure.legend(handles=_legend(points, group), loc="outside lower left", frameon=False, fontsize=8, labelcolor=INK)


def _legend(points: Sequence[RecordPoint], group: str) -> list[Line2D]:
    if len(points) > _MOST_LINES:
        cloud = [
            (f"one {group}; below the line the study is nearer", ".", _STUDY, 4),
            ("mean", "P", INK, 8),
        ]
        return [
            Line2D([], [], linewidth=0, marker=marker, color=colour, markersize=size, label=label)
            for label, marker, colour, size in cloud
        ]
    control = Line2D(
        [], [], linewidth=0, marker=_CONTROL_MARKER, color=_CONTROL, label=arm_style(points[0].control).label
    )
    control.set_markerfacecolor(PAPER)
    study = Line2D([], [], linewidth=0, marker=_STUDY_MARKER, color=_STUDY, label=arm_style(points[0].study).label)
    return [control, study]
