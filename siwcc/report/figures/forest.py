"""Forest plot: the effect of every model by one metric, fold by fold, beside the published one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from siwcc.evaluation.comparisons import METRICS, PUBLISHED_COMPARISON, Row
from siwcc.io.files import write_csv
from siwcc.report.figures.style import (
    BLACK,
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
from siwcc.report.figures.style import (
    METRICS as METRIC_LABELS,
)

FOREST_COLUMNS = ("task", "variant", "control", "study", "metric", "what", "fold", "effect", "ci_low", "ci_high")
_OURS, _PUBLISHED, _FOLD = VERMILION, BLUE, BLACK
_HEADING = 0.38  # of a line


class _Line(NamedTuple):
    """A row, where it stands, what it is called, and the heading above it, if there is one."""

    row: Row
    place: float
    title: str
    heading: str


@placeholder_on_error
def plot_forest(rows: Sequence[Row], metric: str, files: FigureFiles) -> None:
    """Draw mean, 95 % interval and single folds of study minus control, a line for each model.

    Args:
        rows: The study's comparisons, of any metric.
        metric: Which one to draw; rows without a mean are left out.
        files: The figures and the numbers in them.
    """
    shown = [row for row in rows if row.metric == metric and math.isfinite(row.mean_difference)]
    write_csv(files.data, FOREST_COLUMNS, [line for row in shown for line in _data_rows(row)])
    lines = _place_rows(shown)
    published = any(row.published_mean_difference is not None for row in shown)
    figure = new_figure(4.4, 1.35 + (0.78 if published else 0.6) * max([line.place + 1 for line in lines], default=1))
    axis = figure.subplots()
    for line in lines:
        _write(axis, line.title, line.place - 0.18, "normal")
        if line.heading:
            _write(axis, line.heading, line.place - 0.18 - _HEADING, "bold")
        _draw_row(axis, line.row, line.place)
    _frame(axis, metric, lines[-1].place if lines else 0.0)
    look = {"frameon": False, "fontsize": 8, "labelcolor": INK, "handletextpad": 0.3, "columnspacing": 1.0}
    figure.legend(handles=_legend(shown), loc="outside lower left", ncols=3, **look)
    save_figure(figure, files)


def _place_rows(shown: Sequence[Row]) -> list[_Line]:
    """A line for each row; where a network has several comparisons they stand below its name."""
    titled = {(row.control, row.study) for row in shown} <= {PUBLISHED_COMPARISON}
    lines: list[_Line] = []
    place, previous = 0.0, ""
    for row in shown:
        model = model_name(row.task, row.variant)
        heading = "" if titled or model == previous else model
        place += _HEADING * bool(heading)
        title = f"{arm_style(row.study).label} \N{MINUS SIGN} {arm_style(row.control).label}"
        lines.append(_Line(row, place, model if titled else title, heading))
        place, previous = place + 1, model
    return lines


def _write(axis: Axes, text: str, place: float, weight: str) -> None:
    axis.annotate(
        text,
        (0.0, place),
        xycoords=("axes fraction", "data"),
        fontsize=8.5,
        fontweight=weight,
        color=INK,
        va="center",
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
    )


def _draw_row(axis: Axes, row: Row, place: float) -> None:
    finite = [value for value in row.fold_differences if math.isfinite(value)]
    axis.plot(finite, [place + 0.13] * len(finite), "|", color=_FOLD, markersize=8, markeredgewidth=1.1)
    _draw_interval(axis, (row.mean_difference, row.ci_low, row.ci_high), place + 0.13, _OURS, "o")
    mean, low, high = row.published_mean_difference, row.published_ci_low, row.published_ci_high
    if mean is not None and low is not None and high is not None:
        _draw_interval(axis, (mean, low, high), place + 0.36, _PUBLISHED, "D")


def _draw_interval(axis: Axes, interval: tuple[float, float, float], place: float, colour: str, marker: str) -> None:
    mean, low, high = interval
    published = marker == "D"
    if math.isfinite(low):
        axis.plot([low, high], [place, place], ":" if published else "-", color=colour, linewidth=1.8)
    face = PAPER if published else colour
    axis.plot([mean], [place], marker, color=colour, markerfacecolor=face, markersize=6, zorder=3)


def _frame(axis: Axes, metric: str, last_place: float) -> None:
    style_axis(axis, grid="x")
    axis.axvline(0, color=MUTED, linewidth=1)
    axis.set_ylim(last_place + 0.6, -0.45)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.margins(x=0.08)
    axis.set_title(METRIC_LABELS.get(metric, metric), fontsize=11, loc="left", color=INK)
    better = "right" if METRICS[metric].hoped == "greater" else "left"
    arrow = "hoped-for direction →" if better == "right" else "← hoped-for direction"
    axis.set_xlabel(f"difference, study minus control   ({arrow})", fontsize=8.5, color=INK)
    axis.locator_params(axis="x", nbins=5)


def _legend(shown: Sequence[Row]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=_OURS, marker="o", linewidth=1.8, label="ours, 95 % interval"),
        Line2D([], [], color=_FOLD, marker="|", linewidth=0, markersize=8, label="one fold"),
    ]
    if any(row.published_mean_difference is not None for row in shown):
        published = Line2D([], [], color=_PUBLISHED, linewidth=1.8, linestyle=":", marker="D", label="published")
        published.set_markerfacecolor(PAPER)
        handles.append(published)
    return handles


def _data_rows(row: Row) -> list[list[object]]:
    """The mean, each fold, and the published mean as lines of the CSV."""
    names = [row.task, row.variant, row.control, row.study, row.metric]
    lines: list[list[object]] = [[*names, "mean", "", row.mean_difference, row.ci_low, row.ci_high]]
    lines += [
        [*names, "fold", fold, effect, "", ""] for fold, effect in zip(row.fold_ids, row.fold_differences, strict=True)
    ]
    if row.published_mean_difference is not None:
        published = [row.published_mean_difference, row.published_ci_low, row.published_ci_high]
        lines.append([*names, "published", "", *published])
    return lines
