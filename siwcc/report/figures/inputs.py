"""What a network is fed, on one real sample, and what it predicted: drawn on the signal or the image."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from siwcc.data.augment.interface import Inputs, module_of_fold
from siwcc.data.tasks.interface import TaskSpec
from siwcc.evaluation.methods import Predictions, join, read_predictions
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.io.joined_samples import SamplesPath
from siwcc.io.run_key import run_key_of
from siwcc.io.shards import read_shard
from siwcc.nn.coordinate_channels import ENCODINGS, encode
from siwcc.report.figures.points import (
    FEW,
    PREDICTION_MARK,
    TARGET_MARK,
    Mark,
    draw_points,
    draw_times,
    line_handles,
    mark_handles,
    name_points,
    time_styles,
)
from siwcc.report.figures.style import (
    BLACK,
    BLUE,
    INK,
    MUTED,
    PURPLE,
    FigureFiles,
    arm_style,
    model_name,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)
from siwcc.report.figures.volumes import VolumeRow, draw_rows

_COLOURS = {1: ("grey",), 3: ("red", "green", "blue")}
AXIS_NAMES = ("x", "y", "z")
CASE_COLUMNS = ("case", "sample_id", "copy", "fold", "event_visible")


_LEADS = (BLACK, BLUE, PURPLE)
_DIGITS = ".7g"
_ID_CHARACTERS_A_LINE = 24
_TITLE_CHARACTERS_A_LINE = 30
_SHOWN_AN_AXIS = 2
_FEW_ENCODINGS = 3
_FEW_STRIPS = 6


@dataclass(frozen=True)
class Case:
    """One predicted test row.

    Attributes:
        name: `best`, `median` or `worst`.
        sample_id, copy, fold: Which row it is.
        target, prediction: (outputs,), seconds or pixels.
        error: Distance between them; see `errors_of`.
        event_visible: Whether the target still lies in the augmented window or image.
        signal: float32 (channels, *shape), as the network gets it, before any coordinate.
    """

    name: str
    sample_id: str
    copy: int
    fold: int
    target: np.ndarray
    prediction: np.ndarray
    error: float
    event_visible: bool
    signal: np.ndarray


def channel_names(spec: TaskSpec) -> list[str]:
    """Names of the signal's channels."""
    if len(spec.shape) == 1:
        return [f"lead {number}" for number in range(1, spec.channels + 1)]
    return list(_COLOURS[spec.channels])


def positions(spec: TaskSpec) -> np.ndarray:
    """Coordinate of each sample along the last axis, in the task's unit."""
    return np.linspace(0.0, spec.extent[0], spec.shape[-1])


def picture_of(signal: np.ndarray) -> np.ndarray:
    """One or three channels (channels, height, width) stretched to 0 ... 1 for the eye, as RGB, channels last."""
    low, high = float(signal.min()), float(signal.max())
    stretched = np.moveaxis((signal - low) / max(high - low, 1e-12), 0, -1)
    return np.asarray(np.repeat(stretched, 3, axis=-1) if len(signal) == 1 else stretched)


def aspect_of(spec: TaskSpec) -> float:
    """Height of an image for a width of 1, between 1/4 and 4."""
    return min(max(spec.shape[0] / spec.shape[1], 0.25), 4.0)


# ---------------------------------------------------------------- encodings


class Channel(NamedTuple):
    """One appended channel: its encoding and axis, its column in the CSV, what it is called, and its values."""

    encoding: str
    axis: str
    column: str
    title: str
    values: np.ndarray


@placeholder_on_error
def plot_encodings(fold_path: Path, samples_path: SamplesPath, encodings: Sequence[str], files: FigureFiles) -> None:
    """Draw one sample and the channels that each encoding appends to it (paper, Figure 1).

    The sample is the middle one of the fold by id, unaugmented. An encoding that is learned has no
    channel before a training and is left out; of many channels the first two for each axis are shown.

    Args:
        fold_path: A fold file.
        samples_path: The samples file that it was made from.
        encodings: The study's encodings.
        files: The figures and the numbers in them.
    """
    inputs = module_of_fold(fold_path).open_inputs([fold_path], samples_path, augmented_only=False)
    itself = np.flatnonzero(inputs.copy == 0)
    row = int(itself[len(itself) // 2])
    signal = inputs.batch(np.array([row]), "none").numpy()[0]
    fixed = [name for name in encodings if ENCODINGS[name].learned_map is None]
    channels = [channel for name in fixed for channel in name_channels(name, appended_channels(inputs, row, name))]
    draw = {1: _draw_traces, 2: _draw_images, 3: _draw_volumes}[len(inputs.spec.shape)]
    _write_channels(files.data, inputs.spec, signal, channels)
    save_figure(draw(inputs.spec, signal, channels, inputs.target[row]), files)


def appended_channels(inputs: Inputs, row: int, encoding: str) -> np.ndarray:
    """The channels that an encoding appends to one row, float32 (added, *shape), as the network gets them."""
    name, _ = inputs.layer_encoding(encoding)
    encoded = encode(inputs.batch(np.array([row]), encoding), name, inputs.spec.extent)
    return np.asarray(encoded.numpy()[0, inputs.spec.channels :])


def name_channels(encoding: str, values: np.ndarray) -> list[Channel]:
    """Names for the channels of an encoding that are shown.

    Args:
        encoding: Its name.
        values: (added, *shape); channel i belongs to axis i mod D.

    Returns:
        The first two channels of each axis; columns `coord_x`, and `both_x_2` for the second of x.
    """
    dims = values.ndim - 1
    several = len(values) > dims
    named = []
    for i, channel in enumerate(values[: _SHOWN_AN_AXIS * dims]):
        axis, number = AXIS_NAMES[i % dims], i // dims + 1
        column = f"{encoding}_{axis}" + (f"_{number}" if number > 1 else "")
        title = arm_style(encoding).label + (f", {axis}" if dims > 1 else "") + (f" ({number})" if several else "")
        named.append(Channel(encoding, axis, column, title, channel))
    return named


def _draw_traces(spec: TaskSpec, signal: np.ndarray, channels: Sequence[Channel], target: np.ndarray) -> Figure:
    strips = [(name, channel, _LEADS[0]) for name, channel in zip(channel_names(spec), signal, strict=True)]
    strips += [(channel.title, channel.values, arm_style(channel.encoding).colour) for channel in channels]
    figure = new_figure(4.4, 0.55 + (1.05 if len(strips) <= _FEW_STRIPS else 0.85) * len(strips))
    axes = np.atleast_1d(figure.subplots(len(strips), 1, sharex=True))
    for axis, (name, values, colour) in zip(axes, strips, strict=True):
        axis.plot(positions(spec), values, color=colour, linewidth=0.9)
        for place, look in zip(target.tolist(), time_styles(len(target), alone=1.2), strict=True):
            if np.isfinite(place):
                axis.axvline(place, color=look.target, linewidth=look.width, linestyle="--")
        style_axis(axis, grid="y")
        axis.set_title(name, fontsize=9, loc="left", color=INK, pad=3)
        axis.locator_params(axis="y", nbins=4)
    which = _which(spec, ("bold", "thin")).strip()
    single = f"target {target[0]:.2f} {spec.unit} (dashed)"
    caption = single if len(target) == 1 else f"targets dashed{which and f': {which}'}"
    axes[0].set_title(caption, fontsize=8.5, loc="right", color=INK, pad=3)
    axes[-1].set_xlabel(f"time in the window ({spec.unit})", fontsize=9, color=INK)
    axes[-1].locator_params(axis="x", nbins=5)
    name_points(axes[0], list(spec.points))
    return figure


def _draw_images(spec: TaskSpec, signal: np.ndarray, channels: Sequence[Channel], target: np.ndarray) -> Figure:
    dims = len(spec.shape)
    if len({channel.encoding for channel in channels}) > _FEW_ENCODINGS:
        # Where there are many, y, which is made as x is, is in the CSV only.
        channels = [channel for channel in channels if channel.axis == AXIS_NAMES[0]]
    rows = -(-len(channels) // dims)
    figure = new_figure(4.4, 0.3 + (0.25 + 1.6 * aspect_of(spec)) * (1 + rows))
    axes = figure.subplots(1 + rows, dims, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    shown = f"image, with the target{'s' * (len(spec.points) > FEW)}"
    show_image(axes[0, 0], picture_of(signal), shown + _which(spec, ("large", "small")))
    draw_points(axes[0, 0], (target.reshape(-1, 2), TARGET_MARK))
    name_points(axes[0, 0], list(spec.points), has_room=True)
    for axis, channel in zip(axes[1:].ravel(), channels, strict=False):
        show_image(axis, channel.values, textwrap.fill(channel.title, _TITLE_CHARACTERS_A_LINE))
        bar = figure.colorbar(axis.images[0], ax=axis, shrink=0.9, pad=0.03)
        bar.ax.tick_params(labelsize=7, colors=INK)
        bar.outline.set_visible(False)
    return figure


def _draw_volumes(spec: TaskSpec, signal: np.ndarray, channels: Sequence[Channel], target: np.ndarray) -> Figure:
    if len({channel.encoding for channel in channels}) > _FEW_ENCODINGS:
        channels = [channel for channel in channels if channel.axis == AXIS_NAMES[0]]
    points = [target[outputs] for outputs in spec.points.values() if not np.isnan(target[outputs]).any()]
    marked = [(point, TARGET_MARK) for point in points]
    rows = [VolumeRow("volume, with the target", signal[0], points[0], marked)]
    return draw_rows([*rows, *(VolumeRow(each.title, each.values, points[0]) for each in channels)], show_slice)


def show_slice(axis: Axes, values: np.ndarray, title: str, points: Sequence[tuple[np.ndarray, Mark]]) -> None:
    """A slice of a volume with points in it."""
    show_image(axis, values, title)
    for point, mark in points:
        draw_points(axis, (np.asarray(point)[np.newaxis], mark))


def show_image(axis: Axes, values: np.ndarray, title: str) -> None:
    """An image without ticks, its name above."""
    axis.set_axis_on()
    axis.imshow(values, cmap="cividis", interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=8.5, loc="left", color=INK, pad=3)
    for spine in axis.spines.values():
        spine.set_color(MUTED)


def _write_channels(path: Path, spec: TaskSpec, signal: np.ndarray, channels: Sequence[Channel]) -> None:
    """One line a sample, pixel or voxel: its place, the signal, the appended channels."""
    places = np.indices(spec.shape).reshape(len(spec.shape), -1)
    names = ["index"] if len(spec.shape) == 1 else ["slice", "row", "column"][-len(spec.shape) :]
    names += channel_names(spec) + [channel.column for channel in channels]
    table = np.stack([*signal, *(channel.values for channel in channels)]).reshape(len(names) - len(places), -1)
    lines = [
        [*place, *(format(value, _DIGITS) for value in row)]
        for place, row in zip(places.T.tolist(), table.T.tolist(), strict=True)
    ]
    write_csv(path, [name.replace(" ", "_") for name in names], lines)


# -------------------------------------------------------------- predictions


def choose_cases(errors: np.ndarray) -> dict[str, int]:
    """Rows with the least, the median and the largest error; of equal errors the first row.

    Args:
        errors: (rows,) at least one. Of an even number the lower of the two middle rows is taken.
    """
    order = np.argsort(errors, kind="stable")
    worst = int(np.argmax(errors))
    return {"best": int(order[0]), "median": int(order[(len(order) - 1) // 2]), "worst": worst}


@placeholder_on_error
def plot_predictions(
    prediction_paths: Sequence[Path], fold_paths: Sequence[Path], samples_path: SamplesPath, files: FigureFiles
) -> None:
    """Draw the best, the median and the worst prediction of one arm for the augmented test rows of its folds.

    Args:
        prediction_paths: `predictions.csv` of the arm's runs with one seed, a fold each.
        fold_paths: `fold1.h5` ... in order.
        samples_path: The samples file that they were made from.
        files: The figures and the numbers in them.
    """
    key = run_key_of(prediction_paths[0])
    spec, cases = find_cases(prediction_paths, fold_paths, samples_path)
    title = f"{model_name(key.task, key.variant)}, {arm_style(key.encoding).label}"
    draw = {1: _draw_window_cases, 2: _draw_image_cases, 3: _draw_volume_cases}[len(spec.shape)]
    columns = [*CASE_COLUMNS, *(f"{name}{suffix}" for name in ("target", "prediction") for suffix in spec.outputs)]
    write_csv(files.data, [*columns, f"error_{spec.unit}"], [_case_row(case) for case in cases])
    save_figure(draw(spec, cases, title), files)


def find_cases(
    prediction_paths: Sequence[Path], fold_paths: Sequence[Path], samples_path: SamplesPath
) -> tuple[TaskSpec, list[Case]]:
    """The three cases of an arm with their signals; see `plot_predictions`."""
    parts = {run_key_of(path).fold: _augmented(read_predictions(path)) for path in prediction_paths}
    folds = np.concatenate([np.full(len(part.copy), fold) for fold, part in parts.items()])
    joined = join(list(parts.values()))
    error = errors_of(joined)
    visible = np.flatnonzero(~np.isnan(error))
    chosen = {name: int(visible[row]) for name, row in choose_cases(error[visible]).items()}
    cases = []
    for name, row in chosen.items():
        spec, case = _open_case(name, joined, row, int(folds[row]), fold_paths, samples_path)
        cases.append(case)
    return spec, cases


def errors_of(predictions: Predictions) -> np.ndarray:
    """The error of each row for its figure, float64 (rows,), seconds or pixels.

    Of one or two points the distance of the first from its target, of more the mean of the distances of those that are
    visible; NaN where there is none.
    """
    points = len(predictions.points)
    if points <= FEW:
        return predictions.error()
    apart = (predictions.prediction - predictions.target).reshape(len(predictions.target), points, -1)
    distance = np.linalg.norm(apart, axis=2)
    known = np.isfinite(distance)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, distance, 0.0).sum(axis=1) / known.sum(axis=1))


def _augmented(predictions: Predictions) -> Predictions:
    augmented = predictions.copy > 0
    return predictions.select(augmented) if augmented.any() else predictions


def _open_case(
    name: str, predictions: Predictions, row: int, fold: int, fold_paths: Sequence[Path], samples_path: SamplesPath
) -> tuple[TaskSpec, Case]:
    path = fold_paths[fold - 1]
    stored = read_shard(path, "fold", ("sample_id", "copy", "event_visible"))
    sample_id, copy = str(predictions.sample_id[row]), int(predictions.copy[row])
    found = np.flatnonzero((stored.arrays["sample_id"] == sample_id) & (stored.arrays["copy"] == copy))
    if len(found) != 1:
        raise InputError(
            path, f"has no copy {copy} of {sample_id}, for which there is a prediction", "run the study again"
        )
    inputs = module_of_fold(stored).open_inputs([path], samples_path, augmented_only=False)
    signal = inputs.batch(found, "none").numpy()[0]
    visible = bool(stored.arrays["event_visible"][found[0]])
    values = (predictions.target[row], predictions.prediction[row], float(errors_of(predictions)[row]))
    return inputs.spec, Case(name, sample_id, copy, fold, *values, visible, signal)


def _draw_window_cases(spec: TaskSpec, cases: Sequence[Case], title: str) -> Figure:
    figure = new_figure(4.4, 0.95 + 1.45 * len(cases))
    axes = np.atleast_1d(figure.subplots(len(cases), 1, sharex=True))
    for axis, case in zip(axes, cases, strict=True):
        draw_leads(axis, spec, case.signal)
        draw_times(axis, case.target, case.prediction, alone=2.0)
        style_axis(axis, grid="none")
        axis.spines["left"].set_visible(False)
        axis.set_title(_case_title(case, spec), fontsize=8.5, loc="left", color=INK, pad=3)
    axes[-1].set_xlabel(f"time in the window ({spec.unit})", fontsize=9, color=INK)
    axes[-1].locator_params(axis="x", nbins=5)
    name_points(axes[0], list(spec.points))
    return finish_figure(figure, title + _which(spec, ("bold", "thin")), line_handles(len(spec.points)))


def draw_leads(axis: Axes, spec: TaskSpec, signal: np.ndarray) -> None:
    """Every lead on its own level, two spans of the typical amplitude apart."""
    span = float(np.percentile(np.abs(signal - np.median(signal, axis=1, keepdims=True)), 99)) or 1.0
    names = channel_names(spec)
    for place, lead in enumerate(signal):
        axis.plot(
            positions(spec), lead - np.median(lead) - 2 * span * place, color=_LEADS[place % len(_LEADS)], linewidth=0.8
        )
    axis.set_yticks([-2 * span * place for place in range(len(signal))], names)
    axis.tick_params(axis="y", length=0)


def _draw_image_cases(spec: TaskSpec, cases: Sequence[Case], title: str) -> Figure:
    figure = new_figure(5.6, 1.15 + 1.75 * aspect_of(spec))
    axes = figure.subplots(1, len(cases))
    for axis, case in zip(axes, cases, strict=True):
        show_image(axis, picture_of(case.signal), _case_title(case, spec, lines=True))
        mark_case(axis, spec, case.target, case.prediction)
    name_points(axes[-1], list(spec.points))
    return finish_figure(figure, title + _which(spec, ("large", "small")), mark_handles(len(spec.points)))


def mark_case(axis: Axes, spec: TaskSpec, target: np.ndarray, prediction: np.ndarray) -> None:
    """The targets and predictions of an image, x and y by turns; of a point that is not visible neither is drawn."""
    targets, predictions = target.reshape(-1, 2), prediction.reshape(-1, 2)
    # Of a point that is not visible nothing can be compared.
    draw_points(axis, (targets, TARGET_MARK), (np.where(np.isnan(targets), np.nan, predictions), PREDICTION_MARK))
    axis.set_xlim(-0.5, spec.shape[1] - 0.5)
    axis.set_ylim(spec.shape[0] - 0.5, -0.5)


def _draw_volume_cases(spec: TaskSpec, cases: Sequence[Case], title: str) -> Figure:
    first = next(iter(spec.points.values()))
    rows = []
    for case in cases:
        points = [(case.target[first], TARGET_MARK), (case.prediction[first], PREDICTION_MARK)]
        rows.append(VolumeRow(_case_title(case, spec), case.signal[0], case.target[first], points))
    return finish_figure(draw_rows(rows, show_slice), title, mark_handles())


def _which(spec: TaskSpec, looks: Sequence[str]) -> str:
    """Of two points, which is drawn how; for a title."""
    if not 1 < len(spec.points) <= FEW:
        return ""
    return "\n" + ", ".join(f"{name} {look}" for name, look in zip(spec.points, looks, strict=True))


def finish_figure(figure: Figure, title: str, handles: Sequence[Line2D]) -> Figure:
    """Title above, legend below."""
    figure.suptitle(title, fontsize=10.5, x=0.01, ha="left", color=INK)
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=8.5, labelcolor=INK)
    return figure


def words_of_error(error: str, spec: TaskSpec) -> str:
    """The error of a row, a number with its unit, as `errors_of` gives it, in words."""
    return f"off by {error}" if len(spec.points) <= FEW else f"mean error {error}"


def _case_title(case: Case, spec: TaskSpec, lines: bool = False) -> str:
    hidden = "" if case.event_visible or len(spec.points) > FEW else ", event out of view"
    error = f"{case.name}: {words_of_error(f'{case.error:.2f} {spec.unit}', spec)}{hidden}"
    if not lines:
        return f"{error}  ({case.sample_id}, copy {case.copy})"
    # A panel is some 26 characters wide, and ids may be longer.
    return "\n".join([error, *textwrap.wrap(case.sample_id, _ID_CHARACTERS_A_LINE), f"copy {case.copy}"])


def _case_row(case: Case) -> list[object]:
    values = (*case.target.tolist(), *case.prediction.tolist(), case.error)
    cells = ["" if np.isnan(value) else f"{value:.6f}" for value in values]
    return [case.name, case.sample_id, case.copy, case.fold, int(case.event_visible), *cells]
