"""Points and times drawn on images and windows, of one prediction or of many points at once.

One or two points differ in size or line width. Of more each has the colour of its place in their order, thin lines
connect neighbours, and a colour bar outside the image gives their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import BboxTransformTo, ScaledTranslation

from siwcc.report.figures.style import GREEN, INK, VERMILION

FEW = 2
"""Up to so many points are told apart by size; more by colour."""
TARGET, PREDICTION = GREEN, VERMILION

_RIM = "#FFFFFE"  # not the page's paper, which the dark page exchanges
# Of the lines of several times, the first the boldest; of the marks of several points, the first the largest.
_WIDTHS = (2.0, 1.0)
_SIZES = (1.0, 0.6)
# Perceptually uniform; its ends, almost black and almost white, would be lost on an image.
_COLOUR_MAP, _COLOUR_RANGE = "plasma", (0.08, 0.95)
_MANY_WIDTH = 1.0
_NAME_CHARACTERS = 16
_NAME_IN = 0.1
_GAP_IN, _BAR_IN, _NAMES_IN = 0.06, 0.11, 0.6


class Mark(NamedTuple):
    """How a point is drawn on an image; a ring and a cross stay apart where they coincide.

    Attributes:
        marker: A matplotlib marker.
        size: Points (1/72 inch), of one of few.
        colour: Of one of few.
        small: Size of one of many.
        line: A matplotlib line style, between neighbours of many.
    """

    marker: str
    size: float
    colour: str
    small: float
    line: str

    def of_point(self, number: int) -> Mark:
        """The mark of one of few points, of which the first is the largest."""
        return self._replace(size=self.size * _SIZES[number])


TARGET_MARK, PREDICTION_MARK = Mark("o", 12, TARGET, 7, "-"), Mark("x", 6, PREDICTION, 4.5, "--")


class TimeStyle(NamedTuple):
    """How the target and the prediction of one of several times are drawn."""

    width: float
    target: str
    prediction: str


def colours_of(points: int) -> list[str]:
    """A colour for each of many points, along a perceptually uniform colour map."""
    return [to_hex(colour) for colour in colormaps[_COLOUR_MAP](np.linspace(*_COLOUR_RANGE, points))]


def time_styles(times: int, alone: float) -> list[TimeStyle]:
    """A style for each of several times; a single one has the width `alone`."""
    if times > FEW:
        return [TimeStyle(_MANY_WIDTH, colour, colour) for colour in colours_of(times)]
    widths = _WIDTHS[:times] if times > 1 else (alone,)
    return [TimeStyle(width, TARGET, PREDICTION) for width in widths]


def draw_times(axis: Axes, target: np.ndarray, prediction: np.ndarray, alone: float) -> None:
    """Lines at targets and, dashed, at predictions, each (times,); none for a target that is NaN, not visible."""
    for time, predicted, style in zip(target, prediction, time_styles(len(target), alone), strict=True):
        # Of a point that is not visible nothing can be compared.
        if not np.isnan(time):
            axis.axvline(float(time), color=style.target, linewidth=style.width)
            axis.axvline(float(predicted), color=style.prediction, linewidth=style.width, linestyle="--")


def draw_points(axis: Axes, *drawn: tuple[np.ndarray, Mark]) -> None:
    """Draw points on an image.

    Args:
        axis: With the image.
        drawn: Places (points, 2) in pixels, NaN for a point that is not drawn, with their mark: targets, predictions.
    """
    points = len(drawn[0][0])
    if points > FEW:
        for places, mark in drawn:
            _connect(axis, places, mark)
        for places, mark in drawn:
            _mark_all(axis, places, mark)
        return
    for number in range(points):
        for places, mark in drawn:
            if np.isfinite(places[number]).all():
                _mark_point(axis, places[number], mark.of_point(number))


def _mark_point(axis: Axes, point_px: np.ndarray, mark: Mark) -> None:
    """A mark with a white rim, to be seen on any ground."""
    place = ([float(point_px[0])], [float(point_px[1])])
    for colour, edge in ((_RIM, 4.0), (mark.colour, 1.8)):
        style: dict[str, Any] = {
            "marker": mark.marker,
            "markersize": mark.size,
            "markeredgewidth": edge,
            "markeredgecolor": colour,
        }
        axis.plot(*place, linewidth=0, markerfacecolor="none", clip_on=False, **style)


def _mark_all(axis: Axes, places: np.ndarray, mark: Mark) -> None:
    """The marks of all points that are drawn, each with the colour of its place in the order and a white rim."""
    drawn = np.isfinite(places).all(axis=1)
    colours = np.array(colours_of(len(places)))[drawn].tolist()
    x, y = places[drawn].T
    for shown, edge in (([_RIM] * len(colours), 2.6), (colours, 1.3)):
        style: dict[str, Any] = {"facecolors": "none", "edgecolors": shown} if mark.marker == "o" else {"c": shown}
        style |= {"s": mark.small**2, "marker": mark.marker, "linewidths": edge, "clip_on": False, "zorder": 3}
        axis.scatter(x, y, **style)


def _connect(axis: Axes, places: np.ndarray, mark: Mark) -> None:
    """A thin line from each point to its successor, in the colour of the first of the two; none beside a gap."""
    segments = np.stack([places[:-1], places[1:]], axis=1)
    drawn = np.isfinite(segments).all(axis=(1, 2))
    colours = np.array(colours_of(len(places))[:-1])[drawn].tolist()
    axis.add_collection(LineCollection(segments[drawn].tolist(), colors=_RIM, linewidths=1.8, alpha=0.6))
    axis.add_collection(LineCollection(segments[drawn].tolist(), colors=colours, linewidths=0.8, linestyles=mark.line))


def name_points(axis: Axes, names: Sequence[str], has_room: bool = False) -> None:
    """Of many points, a colour bar to the right of a panel, with the name of each; the first is on top.

    Args:
        axis: The last one of the first row of panels, in a figure of constrained layout.
        names: Of all points in their order; as many of them are written as fit.
        has_room: There is nothing beside the panel; otherwise the figure becomes wider.
    """
    if len(names) <= FEW:
        return
    figure = axis.figure
    assert isinstance(figure, Figure)  # noqa: S101 - narrows the type
    if not has_room:
        figure.set_figwidth(figure.get_figwidth() + _NAMES_IN)
    span = axis.get_subplotspec()
    rows = 1 if span is None else span.get_gridspec().nrows / len(span.rowspan)
    height_in = min(0.2 * len(names), 0.72 * figure.get_figheight() / rows)
    # Inches to the right of the panel's upper right corner, wherever the layout moves it.
    corner = figure.dpi_scale_trans + ScaledTranslation(1, 1, BboxTransformTo(axis.bbox))
    place = axis.inset_axes((_GAP_IN, -height_in, _BAR_IN, height_in), transform=corner)
    place.set_in_layout(not has_room)
    colours = ListedColormap(colours_of(len(names)))
    of_index = ScalarMappable(BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names)), colours)
    bar = figure.colorbar(of_index, cax=place)
    by = -(-len(names) // max(1, int(height_in / _NAME_IN)))
    bar.set_ticks(range(0, len(names), by), labels=[_shortened(name) for name in names[::by]])
    place.minorticks_off()
    place.invert_yaxis()
    place.tick_params(labelsize=7, colors=INK, length=0, pad=2)
    bar.outline.set_visible(False)


def _shortened(name: str) -> str:
    """Without the middle of a long name: names often differ at their ends."""
    half = _NAME_CHARACTERS // 2
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: half - 1]}…{name[-half:]}"


def overlay_maps(maps: np.ndarray) -> np.ndarray:
    """Heatmaps of many points as one: at each place the largest of them, each relative to its own peak.

    Args:
        maps: (points, *places), at least one.

    Returns:
        (*places), 0 ... 1.
    """
    peaks = maps.reshape(len(maps), -1).max(axis=1).reshape(-1, *[1] * (maps.ndim - 1))
    return np.asarray((maps / np.maximum(peaks, 1e-12)).max(axis=0))


def line_handles(times: int = 1) -> list[Line2D]:
    """Target and prediction of a window, for a legend."""
    colours = (TARGET, PREDICTION) if times <= FEW else (INK, INK)
    return [
        Line2D([], [], color=colours[0], linewidth=2, label="target"),
        Line2D([], [], color=colours[1], linewidth=2, linestyle="--", label="prediction"),
    ]


def mark_handles(points: int = 1) -> list[Line2D]:
    """Target and prediction of an image, for a legend."""
    return [
        mark_handle(label, mark, points) for label, mark in (("target", TARGET_MARK), ("prediction", PREDICTION_MARK))
    ]


def mark_handle(label: str, mark: Mark, points: int) -> Line2D:
    """A mark for a legend; of many points without their colours."""
    if points > FEW:
        style: dict[str, Any] = {"linewidth": 0.8, "linestyle": mark.line, "markersize": mark.small, "color": INK}
    else:
        style = {"linewidth": 0, "markersize": mark.size, "color": mark.colour}
    handle = Line2D([], [], marker=mark.marker, label=label, **style)
    handle.set_markerfacecolor("none")
    handle.set_markeredgewidth(1.8 if points <= FEW else 1.3)
    return handle
