"""Found onsets against false alarms per hour: one panel for each data set, one line for every method."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from siwcc.evaluation.onset_tables import FrocPoint, OnsetLine
from siwcc.io.files import write_csv
from siwcc.io.tables import cells_of, columns_of
from siwcc.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    FigureFiles,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)

DATASETS = {"vfdb": "MIT-BIH Malignant Ventricular Ectopy", "mitdb": "MIT-BIH Arrhythmia"}
_NETWORK_COLOURS = (VERMILION, BLUE, BLACK)
_BASELINE_COLOURS = (GREEN, PURPLE, ORANGE, SKY)
_MARKERS = "osD^vP*X"
_LINES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
_COLUMNS = 2
_PANEL_IN = (3.7, 2.9)
# Linear up to the first rate, so that none is in the figure, and logarithmic above.
_RATES_PER_H = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True)
class _Look:
    colour: str
    line: Literal["-", "--", ":", "-."]
    width: float
    marker: str
    label: str


@placeholder_on_error
def plot_froc(
    points: Sequence[FrocPoint], defaults: Sequence[OnsetLine], networks: Collection[str], files: FigureFiles
) -> None:
    """Draw the highest sensitivity with at most so many false alarms per hour; a marker at the default threshold.

    Args:
        points: Of all methods and data sets, at least one, by one definition and tolerance.
        defaults: The methods at their default thresholds, by the same definition and tolerance; may lack some.
        networks: Which methods are networks: thick lines.
        files: The figures and the numbers in them.
    """
    write_csv(files.data, columns_of(FrocPoint), [cells_of(point, columns_of(FrocPoint)) for point in points])
    datasets = list(dict.fromkeys(point.dataset for point in points))
    looks = _looks(list(dict.fromkeys(point.method for point in points)), networks)
    columns = min(_COLUMNS, len(datasets))
    rows, legend_columns = -(-len(datasets) // columns), 2 * columns
    height_in = 0.3 + _PANEL_IN[1] * rows + 0.22 * -(-(len(looks) + 1) // legend_columns)
    figure = new_figure(_PANEL_IN[0] * columns, height_in)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel().tolist()
    for axis, dataset in zip(axes, datasets, strict=False):
        for method, look in looks.items():
            own = [point for point in points if (point.method, point.dataset) == (method, dataset)]
            chosen = [line for line in defaults if (line.method, line.dataset) == (method, dataset)]
            _draw_method(axis, own, chosen, look)
        _frame(axis, dataset)
    for axis in axes[len(datasets) :]:
        axis.set_axis_off()
    for axis in axes[::columns]:
        axis.set_ylabel(f"onsets found within {points[0].tolerance_s:g} s (%)", fontsize=9, color=INK)
    text: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": INK}
    figure.legend(handles=_legend(looks), loc="outside lower left", ncols=legend_columns, **text)
    save_figure(figure, files)


def _looks(methods: Sequence[str], networks: Collection[str]) -> dict[str, _Look]:
    """Networks first; colour and line together are different for each."""
    thick = [method for method in methods if method in networks]
    thin = [method for method in methods if method not in networks]
    looks: dict[str, _Look] = {}
    for names, colours, width in ((thick, _NETWORK_COLOURS, 2.4), (thin, _BASELINE_COLOURS, 1.1)):
        for place, name in enumerate(names):
            line = _LINES[place // len(colours) % len(_LINES)]
            marker = _MARKERS[len(looks) % len(_MARKERS)]
            looks[name] = _Look(colours[place % len(colours)], line, width, marker, name.replace("_", " "))
    return looks


def _draw_method(axis: Axes, points: Sequence[FrocPoint], defaults: Sequence[OnsetLine], look: _Look) -> None:
    steps = _steps(points)
    axis.plot(
        [rate for rate, _ in steps],
        [100 * sensitivity for _, sensitivity in steps],
        drawstyle="steps-post",
        color=look.colour,
        linestyle=look.line,
        linewidth=look.width,
        zorder=2 + look.width,
    )
    for default in defaults:
        if default.false_alarms_per_h <= _RATES_PER_H[-1] and math.isfinite(default.sensitivity):
            place = ([default.false_alarms_per_h], [100 * default.sensitivity])
            # Also on the frame, at 0 or 100 %.
            marks: dict[str, Any] = {"color": look.colour, "markersize": 4 + look.width, "clip_on": False}
            axis.plot(*place, look.marker, zorder=6, **marks)


def _steps(points: Sequence[FrocPoint]) -> list[tuple[float, float]]:
    """Where the highest sensitivity so far rises, and the end of the curve."""
    ordered = sorted((point.false_alarms_per_h, point.sensitivity) for point in points)
    steps: list[tuple[float, float]] = []
    for rate, sensitivity in ordered:
        if steps and rate == steps[-1][0]:
            steps[-1] = (rate, max(sensitivity, steps[-1][1]))
        elif not steps or sensitivity > steps[-1][1]:
            steps.append((rate, sensitivity))
    return [*steps, (ordered[-1][0], steps[-1][1])] if steps else []


def _frame(axis: Axes, dataset: str) -> None:
    style_axis(axis)
    axis.set_xscale("symlog", linthresh=_RATES_PER_H[0], linscale=0.4)
    axis.set_xlim(0, _RATES_PER_H[-1])
    axis.set_ylim(0, 100)
    axis.xaxis.set_major_locator(FixedLocator([0, *_RATES_PER_H]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("false alarms per hour of non-malignant time", fontsize=8.5, color=INK)
    axis.set_title(DATASETS.get(dataset, dataset.replace("_", " ")), fontsize=9.5, loc="left", color=INK)


def _legend(looks: dict[str, _Look]) -> list[Line2D]:
    lines = [
        Line2D(
            *([], []),
            color=look.colour,
            linestyle=look.line,
            linewidth=look.width,
            marker=look.marker,
            markersize=4 + look.width,
            label=look.label,
        )
        for look in looks.values()
    ]
    return [*lines, Line2D([], [], color=INK, linestyle="none", marker="o", label="marker: default threshold")]
