"""What networks predicted for a recording or an image drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from siwcc.data.points import VISIBLE_FROM
from siwcc.inference.inputs import SignalFile, name_of
from siwcc.inference.prediction import Heatmap, Prediction, probability_words
from siwcc.report.figures.points import (
    FEW,
    PREDICTION_MARK,
    colours_of,
    draw_points,
    mark_handle,
    name_points,
    overlay_maps,
)
from siwcc.report.figures.style import BLACK, BLUE, GREEN, INK, MUTED, PURPLE, SKY, VERMILION, new_figure, style_axis

MOST_WINDOWS = 6
MOST_PIXELS = 1024
MOST_IMAGES = 60

_COLUMNS = 5
_ROUND_PX = tuple(size * 10**power for power in range(5) for size in (1, 2, 5))

_LEAD_COLOURS = (BLACK, BLUE, PURPLE)
_FEW_COLOURS = (VERMILION, BLUE)
_BESIDE = 0.1
_BINS = 1500
_ROBUST = (0.5, 99.5)
_MAP_HEIGHT = 0.9
FLOOR = -1.7
"""Of the vertical axis of `draw_leads`; the leads are at 0, 1, ... from the lowest on."""
_RIM = "#FFFFFE"

Change = tuple[float, str]


def plot_predictions(predictions: Sequence[Prediction]) -> Figure:
    """Predictions with what they were made for: a recording with its windows, an image, or a contact sheet of images.

    Raises:
        ValueError: there is none, or the recording or image of one was not kept.
    """
    sources = [prediction.source for prediction in predictions]
    if not sources or any(source is None for source in sources):
        raise ValueError("there is nothing to draw: no prediction, or one without its recording or image")
    found = [[not prediction.is_empty] * len(prediction.points) for prediction in predictions]
    if isinstance(sources[0], SignalFile):
        return plot_recording(sources[0], predictions, found, [])
    images = [np.asarray(source) for source in sources]
    if len(images) == 1:
        return plot_image(images[0], predictions[0], found[0], "image")
    names = [f"image {number + 1}" for number in range(len(images))]
    first = slice(MOST_IMAGES)
    return plot_contact_sheet(images[first], predictions[first], found[first], names[first], len(images))


def plot_recording(
    signal: SignalFile, predictions: Sequence[Prediction], found: Sequence[Sequence[bool]], changes: Sequence[Change]
) -> Figure:
    """A panel a window; of more than six windows, the recording at a glance, with the first of several points.

    Args:
        signal: The recording.
        predictions: At least one, in the order of time.
        found: Whether each point of each is shown as a prediction.
        changes: (seconds, label) of annotated changes of rhythm, drawn as thin lines.
    """
    if len(predictions) > MOST_WINDOWS:
        return _plot_overview(signal, predictions, [shown[0] for shown in found], changes)
    figure = new_figure(8.0, 0.5 + 2.5 * len(predictions))
    axes = np.atleast_1d(figure.subplots(len(predictions), 1))
    for axis, prediction, shown in zip(axes, predictions, found, strict=True):
        _draw_window(axis, signal, prediction, shown, changes)
        title = f"{name_of(signal.path)}: {_all_words(prediction, shown)}"
        axis.set_title(title, fontsize=10, loc="left", color=INK)
    axes[-1].set_xlabel("seconds of the recording", color=INK)
    _draw_legend(axes[-1], predictions[-1])
    _name_points(axes[0], predictions[0])
    return figure


def _colours_of(prediction: Prediction) -> Sequence[str]:
    """The colour of each point."""
    count = len(prediction.points)
    return colours_of(count) if count > FEW else _FEW_COLOURS[:count]


def _name_points(axis: Axes, prediction: Prediction) -> None:
    name_points(axis, [point.point for point in prediction.points])


def _all_words(prediction: Prediction, shown: Sequence[bool]) -> str:
    """What is said of each point, two on lines of their own, of more what they have in common."""
    if len(prediction.points) > FEW:
        return _words_of_many(prediction, shown)
    words = [_words(point, found) for point, found in zip(prediction.points, shown, strict=True)]
    names = [f"{point.point} " if point.point else "" for point in prediction.points]
    return "\n".join(f"{name}{said}" for name, said in zip(names, words, strict=True))


def _words_of_many(prediction: Prediction, shown: Sequence[bool], separator: str = ", ") -> str:
    """How many of the points are shown, and how confident the networks are in those."""
    if prediction.is_empty:
        return "no signal"
    points = [point for point, found in zip(prediction.points, shown, strict=True) if found]
    parts = [f"{len(points)} of {len(shown)} points"]
    confidences = [point.confidence for point in points if point.confidence is not None]
    if confidences:
        parts.append(f"mean confidence {np.mean(confidences):.2f}")
    if len(prediction.models) > 1:
        parts.append(f"{len(prediction.models)} models")
    return separator.join(parts)


def _words(prediction: Prediction, shown: bool) -> str:
    if prediction.is_empty:
        return "no signal"
    if prediction.visible is not None and prediction.visible < VISIBLE_FROM:
        return f"not visible ({prediction.visible:.2f})"
    digits = 2 if prediction.unit == "s" else 1
    place = ", ".join(f"{value:.{digits}f}" for value in prediction.position)
    place = f"{place} {prediction.unit}" if len(prediction.position) == 1 else f"({place}) {prediction.unit}"
    parts = [place if shown else f"below the threshold (best {place})"]
    if prediction.spread is not None and len(prediction.position) == 1:
        low, high = prediction.spread.lowest[0], prediction.spread.highest[0]
        parts.append(f"{len(prediction.models)} models {low:.2f} to {high:.2f}")
    elif prediction.spread is not None:
        parts.append(f"{len(prediction.models)} models")
    if prediction.confidence is not None:
        parts.append(f"confidence {prediction.confidence:.2f}")
    if prediction.probability is not None:
        parts.append(f"{probability_words(prediction.probability_name)} {prediction.probability:.2f}")
    if prediction.at_window_edge:
        parts.append("at the window's edge")
    return ", ".join(parts)


def _draw_window(
    axis: Axes, signal: SignalFile, prediction: Prediction, shown: Sequence[bool], changes: Sequence[Change]
) -> None:
    assert prediction.window_s is not None  # noqa: S101 - narrows the type
    start_s, end_s = prediction.window_s
    beside_s = _BESIDE * (end_s - start_s)
    low_s, high_s = start_s - beside_s, end_s + beside_s
    _draw_leads(axis, signal, low_s, high_s)
    axis.axvspan(start_s, end_s, color=SKY, alpha=0.12, linewidth=0)
    colours = _colours_of(prediction)
    for point, colour in zip(prediction.points, colours, strict=True):
        _draw_map(axis, point, colour)
    draw_changes(axis, [change for change in changes if low_s <= change[0] <= high_s])
    for point, found, colour in zip(prediction.points, shown, colours, strict=True):
        _draw_time(axis, point, found, len(signal.signal_mv), colour, named=len(colours) <= FEW)
    style_axis(axis, grid="x")
    axis.set_xlim(low_s, high_s)


def _draw_time(axis: Axes, point: Prediction, found: bool, leads: int, colour: str, named: bool) -> None:
    """The prediction and those of the single networks; nothing for a further point that is not shown."""
    if point.is_empty or (point.point and not found):
        return
    if point.spread is not None:
        axis.axvspan(point.spread.lowest[0], point.spread.highest[0], color=colour, alpha=0.12, linewidth=0)
        axis.plot(
            point.network_positions[:, 0], np.full(len(point.network_positions), leads - 0.4), "v", color=colour, ms=4
        )
    axis.axvline(point.position[0], color=colour, linewidth=1.6, linestyle="-" if found else ":")
    if point.point and named:
        place: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "va": "bottom", "fontsize": 7}
        axis.text(point.position[0], 0.0, f" {point.point}", color=colour, **place)


def _draw_leads(axis: Axes, signal: SignalFile, low_s: float, high_s: float) -> None:
    first = max(0, int(low_s * signal.rate_hz))
    part = signal.signal_mv[:, first : int(high_s * signal.rate_hz) + 1]
    time_s = (first + np.arange(part.shape[1])) / signal.rate_hz
    draw_leads(axis, part, time_s, signal.leads, signal.lead_names)


def draw_leads(
    axis: Axes, part_mv: np.ndarray, time_s: np.ndarray, leads: Sequence[int], lead_names: Sequence[str]
) -> None:
    """Leads one above the other, each stretched to its own height; below them there is room for a map or a curve.

    Args:
        axis: Where to draw; its vertical axis ends at `FLOOR`.
        part_mv: (leads, samples), NaN where missing.
        time_s: (samples,), seconds of the recording.
        leads: Their indices in the file, from 0.
        lead_names: What the file calls them.
    """
    names = []
    for place, values in enumerate(part_mv):
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, _ROBUST) if len(known) else (0.0, 1.0)
        height = len(part_mv) - 1 - place
        stretched = height + 0.8 * np.clip((values - (low + high) / 2) / max(high - low, 1e-9), -0.6, 0.6)
        axis.plot(time_s, stretched, color=_LEAD_COLOURS[place % len(_LEAD_COLOURS)], linewidth=0.7)
        names.append(f"lead {leads[place] + 1}\n{lead_names[place]}".rstrip())
    axis.set_yticks(range(len(part_mv) - 1, -1, -1), names)
    axis.set_ylim(FLOOR, len(part_mv) - 0.3)


def _draw_map(axis: Axes, prediction: Prediction, colour: str) -> None:
    scores = prediction.heatmap
    if scores is None:
        return
    at = scores.first[0] + scores.step[0] * np.arange(len(scores.values))
    height = _MAP_HEIGHT * scores.values / max(float(scores.values.max()), 1e-12)
    if prediction.visible is not None:
        # The fraction for an absent point is missing from the map's height, too.
        height = height * prediction.visible
    axis.fill_between(at, FLOOR, FLOOR + height, color=colour, alpha=0.55, linewidth=0)


def draw_changes(axis: Axes, changes: Sequence[Change]) -> None:
    """Thin lines; a label that would overlap the one before it is left out."""
    left, right = axis.get_xlim() if not changes else (changes[0][0], changes[-1][0])
    previous_s = -np.inf
    for time_s, label in changes:
        axis.axvline(time_s, color=GREEN, linewidth=0.8)
        if time_s - previous_s > (right - left) / 25 or previous_s == -np.inf:
            axis.text(time_s, 1.0, f" {label}", color=GREEN, fontsize=7, va="top", transform=axis.get_xaxis_transform())
            previous_s = time_s


def _plot_overview(
    signal: SignalFile, predictions: Sequence[Prediction], found: Sequence[bool], changes: Sequence[Change]
) -> Figure:
    figure = new_figure(10.0, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 3])
    _draw_envelope(upper, signal)
    draw_changes(upper, changes)
    upper.set_ylabel(f"lead {signal.leads[0] + 1} (mV)", color=INK)
    has_confidence = predictions[0].confidence is not None
    for number, (prediction, shown) in enumerate(zip(predictions, found, strict=True), 1):
        height = prediction.confidence if prediction.confidence is not None else number
        if prediction.spread is not None:
            lower.hlines(height, prediction.spread.lowest[0], prediction.spread.highest[0], color=MUTED, linewidth=0.8)
        face = VERMILION if shown else "none"
        lower.plot(prediction.position[0], height, "o", color=VERMILION, markerfacecolor=face, ms=4)
    for time_s, _ in changes:
        lower.axvline(time_s, color=GREEN, linewidth=0.4, alpha=0.6)
    lower.set_ylabel("confidence" if has_confidence else "window", color=INK)
    if has_confidence:
        lower.set_ylim(0, 1.02)
    lower.set_xlabel("seconds of the recording", color=INK)
    for axis in (upper, lower):
        style_axis(axis)
    shown_count = (
        f"{sum(found)} of {len(found)} predictions are confident enough"
        if not all(found)
        else f"{len(found)} predictions"
    )
    title = f"{name_of(signal.path)}: {shown_count}, a point each"
    upper.set_title(title, fontsize=10, loc="left", color=INK)
    return figure


def _draw_envelope(axis: Axes, signal: SignalFile) -> None:
    """Smallest and largest value of each of some hundred parts: the same figure as millions of points."""
    values = signal.signal_mv[0]
    edges = np.linspace(0, len(values), min(_BINS, len(values)) + 1).astype(int)
    parts = [values[start:stop] for start, stop in pairwise(edges)]
    known = [part[np.isfinite(part)] for part in parts]
    lows = [part.min() if len(part) else np.nan for part in known]
    highs = [part.max() if len(part) else np.nan for part in known]
    axis.fill_between(edges[:-1] / signal.rate_hz, lows, highs, color=BLACK, linewidth=0.3)


def plot_image(image: np.ndarray, prediction: Prediction, found: Sequence[bool], name: str) -> Figure:
    """The image with the points on it.

    Args:
        image: uint8 (height, width, 3), RGB.
        prediction: In its pixels.
        found: Whether each point is shown as a prediction.
        name: Of the image.
    """
    height, width = image.shape[:2]
    figure = new_figure(4.8, max(2.0, min(4.4 * height / width, 9.0)) + 0.9)
    axis = figure.subplots()
    _draw_image(axis, image, prediction, found)
    axis.set_title(f"{name}\n{_all_words(prediction, found)}", fontsize=9, loc="left", color=INK)
    _draw_legend(axis, prediction)
    _name_points(axis, prediction)
    return figure


def plot_contact_sheet(
    images: Sequence[np.ndarray],
    predictions: Sequence[Prediction],
    found: Sequence[Sequence[bool]],
    names: Sequence[str],
    total: int = 0,
) -> Figure:
    """Several images in rows, each with its points.

    Args:
        images: uint8 (height, width, 3), RGB.
        predictions: One for each.
        found: Whether each point of each is shown as a prediction.
        names: Of the images.
        total: How many images there are, if these are the first of more.
    """
    count = len(images)
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    width_in, height_in = _sheet_panel_in(images, predictions[0])
    figure = new_figure(width_in * columns, height_in * rows + 0.5)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    for axis, image, prediction, shown, name in zip(axes, images, predictions, found, names, strict=False):
        _draw_image(axis, image, prediction, shown)
        axis.set_title(f"{name}\n{_sheet_words(prediction, shown)}", fontsize=7, loc="left", color=INK)
        axis.set_xticks([])
        axis.set_yticks([])
    _name_points(axes[columns - 1], predictions[0])
    if count < total:
        figure.text(0.5, 0.0, f"the first {count} of {total} images", ha="center", fontsize=8, color=INK)
    return figure


def _sheet_panel_in(images: Sequence[np.ndarray], prediction: Prediction) -> tuple[float, float]:
    """Width and height of an image's part of a sheet, inches; with many points as high as the images need."""
    if len(prediction.points) <= FEW:
        return 2.6, 2.9
    highest = max(image.shape[0] / image.shape[1] for image in images)
    return 2.0, 0.8 + 1.8 * min(max(highest, 0.5), 2.2)


def _sheet_words(prediction: Prediction, shown: Sequence[bool]) -> str:
    """What is said of an image in a narrow panel: of two points of the first."""
    if len(prediction.points) > FEW:
        return _words_of_many(prediction, shown, separator="\n")
    words = _words(prediction, shown[0])
    return words.replace(f"{len(prediction.models)} models, ", "").replace(" px, ", " px\n", 1)


def _draw_image(axis: Axes, image: np.ndarray, prediction: Prediction, found: Sequence[bool]) -> None:
    height, width = image.shape[:2]
    by = -(-max(height, width) // MOST_PIXELS)
    # Pixel centres are at integers, also of what every `by`-th pixel shows.
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axis.imshow(image[::by, ::by], extent=extent, interpolation="nearest", cmap="gray" if image.ndim == 2 else None)
    if len(prediction.points) > FEW:
        _draw_many_points(axis, prediction, found)
    else:
        for point, shown, colour in zip(prediction.points, found, _colours_of(prediction), strict=True):
            _draw_point(axis, point, shown, colour)
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)
    style_axis(axis, grid="none")
    _draw_scale(axis, width, height)


def _draw_scale(axis: Axes, width: int, height: int) -> None:
    """A bar of a round number of pixels, about a fifth of the image's width, in its lower left corner."""
    length = max(1, max(size for size in _ROUND_PX if size <= max(1.0, width / 4)))
    y = height - 0.5 - 0.05 * height
    left = -0.5 + 0.05 * width
    for colour, line in ((_RIM, 4.0), (INK, 2.0)):
        axis.plot([left, left + length], [y, y], color=colour, linewidth=line, solid_capstyle="butt")
    axis.annotate(
        f"{length} px",
        (left, y),
        (0, 3),
        textcoords="offset points",
        fontsize=7,
        color=INK,
        bbox={"facecolor": _RIM, "edgecolor": "none", "alpha": 0.6, "pad": 0.5},
    )


def _draw_legend(axis: Axes, prediction: Prediction) -> None:
    """What the marks are, below the axis."""
    is_image = prediction.window_s is None
    style: dict[str, Any] = {"linestyle": "", "marker": "x"} if is_image else {}
    many = len(prediction.points) > FEW
    colour = INK if many else VERMILION
    handles: list[Artist] = [Line2D([], [], color=colour, label="prediction", **style)]
    if is_image and many:
        handles = [mark_handle("prediction", PREDICTION_MARK, len(prediction.points))]
    if prediction.spread is not None:
        mark = "." if is_image else "v"
        handles.append(Line2D([], [], color=colour, linestyle="", marker=mark, ms=4, label="single networks"))
    if prediction.heatmap is not None:
        handles.append(
            Line2D([], [], color=SKY, label="heatmap, 10 % and 50 % of its peak")
            if is_image
            else Patch(color=colour, alpha=0.55, label="heatmap")
        )
    if not is_image:
        handles.append(Patch(color=SKY, alpha=0.25, label="window"))
    if many:
        axis.figure.legend(handles=handles, loc="outside lower left", fontsize=7, ncols=4, frameon=False)
        return
    place: dict[str, Any] = {
        "loc": "upper left",
        "bbox_to_anchor": (0, -0.12 if is_image else -0.2),
        "ncols": 4,
        "frameon": False,
    }
    axis.legend(handles=handles, fontsize=7, **place)


def _draw_many_points(axis: Axes, prediction: Prediction, found: Sequence[bool]) -> None:
    """The predictions that are shown in their order, their maps as one, and the predictions of the single networks."""
    shown = [point for point, is_found in zip(prediction.points, found, strict=True) if is_found]
    maps = [point.heatmap for point in shown if point.heatmap is not None]
    if maps:
        _draw_contours(axis, replace(maps[0], values=overlay_maps(np.stack([scores.values for scores in maps]))))
    for point, is_found, colour in zip(prediction.points, found, _colours_of(prediction), strict=True):
        if is_found and point.spread is not None:
            axis.plot(*point.network_positions.T, ".", color=colour, ms=2)
    hidden = (np.nan, np.nan)
    places = [point.position if is_found else hidden for point, is_found in zip(prediction.points, found, strict=True)]
    draw_points(axis, (np.array(places), PREDICTION_MARK))


def _draw_contours(axis: Axes, scores: Heatmap) -> None:
    rows, columns = scores.values.shape
    x, y = (scores.first[i] + scores.step[i] * np.arange(count) for i, count in enumerate((columns, rows)))
    top = float(scores.values.max())
    axis.contour(x, y, scores.values, levels=[0.1 * top, 0.5 * top], colors=[SKY, SKY], linewidths=[0.8, 1.4])


def _draw_point(axis: Axes, prediction: Prediction, found: bool, colour: str) -> None:
    """The prediction, the map around it, and the predictions of the single networks."""
    if prediction.point and not found:
        return
    if prediction.heatmap is not None:
        _draw_contours(axis, prediction.heatmap)
    x_px, y_px = prediction.position
    if prediction.spread is not None:
        low, high = prediction.spread.lowest, prediction.spread.highest
        axis.plot([low[0], high[0]], [y_px, y_px], color=colour, linewidth=1.0)
        axis.plot([x_px, x_px], [low[1], high[1]], color=colour, linewidth=1.0)
        axis.plot(prediction.network_positions[:, 0], prediction.network_positions[:, 1], ".", color=colour, ms=4)
    for ink, size, edge in ((_RIM, 11, 3.4), (colour, 10, 1.8)):
        axis.plot(x_px, y_px, "x" if found else "1", color=ink, ms=size, markeredgewidth=edge)
    if prediction.point:
        axis.annotate(prediction.point, (x_px, y_px), (7, 5), textcoords="offset points", color=colour, fontsize=8)
