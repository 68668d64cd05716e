"""One figure of a file of a study: `siwcc inspect --plot`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from siwcc.data.points import output_suffixes
from siwcc.data.tasks.interface import TaskSpec
from siwcc.evaluation.logs import read_log
from siwcc.evaluation.methods import read_predictions
from siwcc.io.errors import InputError
from siwcc.io.shards import read_rows, read_shard
from siwcc.nn.paper_networks import LearnablePool
from siwcc.report.figures.inputs import show_slice
from siwcc.report.figures.points import FEW, TARGET_MARK, colours_of, name_points
from siwcc.report.figures.samples import MOST_PANELS_OF_POINTS
from siwcc.report.figures.style import BLUE, INK, MUTED, VERMILION, new_figure, save_figure_as, style_axis
from siwcc.report.figures.volumes import VolumeRow, draw_rows
from siwcc.training.checkpoint import read_model

_PANELS = 6
_COLUMNS = 3


def plot_content(path: Path, kind: str, figure: Path) -> None:
    """Draw what is in a file.

    Args:
        path: A file that `siwcc.cli.inspect.inspect_file` has read.
        kind: What it was found to be.
        figure: SVG, PNG or PDF, by its name.

    Raises:
        InputError: there is nothing to draw in such a file, or the figure cannot be written.
    """
    draw = {
        "samples": _draw_samples,
        "fold": _draw_fold,
        "model": _draw_pool,
        "log": _draw_log,
        "predictions": _draw_predictions,
    }.get(kind)
    if draw is None:
        raise InputError(path, f"is a {kind}, of which there is no figure", "leave --plot away")
    save_figure_as(draw(path), figure)


def _draw_samples(path: Path) -> Figure:
    """Six samples from the first to the last, with their targets."""
    known = read_shard(path, "samples", ("sample_id", "class"))
    rows = np.unique(np.linspace(0, len(known.arrays["sample_id"]) - 1, _PANELS).round().astype(int))
    ids = [str(known.arrays["sample_id"][row]) for row in rows]
    shard = read_rows(path, "samples", ("signal", "target"), ids, known.digest)
    titles = [f"{name}, {known.arrays['class'][row]}" for name, row in zip(ids, rows, strict=True)]
    rate_hz = known.attributes.get("rate_hz")
    last_s = None if rate_hz is None else (shard.arrays["signal"].shape[-1] - 1) / rate_hz
    return _draw_panels(titles, shard.arrays["signal"], shard.arrays["target"], last_s)


def _draw_fold(path: Path) -> Figure:
    """The first sample and its first augmented copies; of images, whose copies have no pixels, their targets."""
    shard = read_shard(path, "fold")
    spec = TaskSpec.from_json(shard.attributes["spec"])
    if "signal" not in shard.arrays:
        return _draw_targets(shard.arrays["target"][shard.arrays["copy"] > 0], spec)
    shown = zip(shard.arrays["sample_id"][:_PANELS], shard.arrays["copy"], strict=False)
    titles = [f"{sample_id}, copy {copy}" for sample_id, copy in shown]
    return _draw_panels(titles, shard.arrays["signal"][:_PANELS], shard.arrays["target"][:_PANELS], spec.extent[0])


def _draw_panels(titles: Sequence[str], signals: np.ndarray, targets: np.ndarray, last_s: float | None) -> Figure:
    """One panel per sample: leads over seconds, or an image in pixels; of a volume a row of slices."""
    if signals.ndim == 5:
        points = [target[:3] for target in targets]
        samples = zip(titles, signals, points, strict=True)
        return draw_rows([VolumeRow(title, one[0], at, [(at, TARGET_MARK)]) for title, one, at in samples], show_slice)
    rows = math.ceil(len(titles) / _COLUMNS)
    figure = new_figure(9.0, (2.2 if last_s is not None else 3.0) * rows)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis in panels[len(titles) :]:
        axis.set_axis_off()
    for axis, title, signal, target in zip(panels, titles, signals, targets, strict=False):
        if last_s is None:
            axis.imshow(signal, interpolation="nearest", cmap="gray" if signal.shape[-1] == 1 else None)
            axis.plot(*target, "+", color=VERMILION, markersize=14, markeredgewidth=2)
        else:
            _draw_window(axis, signal, target[np.isfinite(target)].tolist(), last_s)
        axis.set_title(title, fontsize=9, loc="left", color=INK)
        axis.tick_params(labelsize=8, colors=INK)
    return figure


def _draw_window(axis: Axes, signal: np.ndarray, targets_s: Sequence[float], last_s: float) -> None:
    span = float(np.ptp(signal, axis=1).max()) or 1.0
    for number, lead in enumerate(signal):
        axis.plot(
            np.linspace(0, last_s, len(lead)), lead - number * span, color=(BLUE, MUTED)[number % 2], linewidth=0.7
        )
    for target_s in targets_s:
        axis.axvline(target_s, color=VERMILION, linewidth=1.6)
    style_axis(axis, grid="x")
    axis.set_yticks([])
    axis.set_xlabel("s in the window; one lead below the other", fontsize=8, color=INK)


def _draw_targets(target_px: np.ndarray, spec: TaskSpec) -> Figure:
    figure = new_figure(4.4, 4.4)
    axis = figure.subplots()
    few = len(spec.points) <= FEW
    colours = (BLUE, VERMILION)[: len(spec.points)] if few else colours_of(len(spec.points))
    for (name, outputs), colour in zip(spec.points.items(), colours, strict=True):
        place = target_px[:, outputs].T
        axis.plot(*place, ".", color=colour, alpha=0.35, markersize=4, label=name)
    if few and len(spec.points) > 1:
        axis.legend(frameon=False, fontsize=9)
    name_points(axis, list(spec.points))
    axis.set_xlim(0, spec.extent[0])
    axis.set_ylim(spec.extent[1], 0)
    axis.set_aspect("equal")
    style_axis(axis)
    axis.set_title(f"{len(target_px)} targets of augmented copies ({spec.unit})", fontsize=10, loc="left", color=INK)
    return figure


def _draw_pool(path: Path) -> Figure:
    """How much the paper's networks weigh each position: what tells them where things are without any coordinate."""
    model = read_model(path)
    pools = [module for module in model.network.modules() if isinstance(module, LearnablePool)]
    if not pools:
        problem = f"is a {model.key.variant} network, which weighs all positions alike"
        raise InputError(path, problem, "draw a prediction of it instead: siwcc predict --plot")
    weight = pools[0].weight.detach().abs().mean(dim=0).numpy()
    figure = new_figure(5.4, 2.6 if weight.shape[0] == 1 else 4.6)
    axis = figure.subplots()
    if weight.shape[0] == 1:
        places = np.linspace(0, model.spec.output_scale, weight.shape[1] + 1)
        axis.stairs(weight[0], places, color=BLUE, fill=True)
        axis.set_xlabel(f"position ({model.spec.unit})", color=INK)
        style_axis(axis, grid="y")
    else:
        x, y = model.spec.extent
        figure.colorbar(axis.imshow(weight, cmap="cividis", extent=(0, x, y, 0)), ax=axis)
    title = "learnable pool: mean size of a position's weights"
    axis.set_title(title, fontsize=10, loc="left", color=INK)
    return figure


def _draw_log(path: Path) -> Figure:
    log = read_log(path, foreign=True)
    figure = new_figure(4.8, 3.4)
    axis = figure.subplots()
    axis.plot(log.epochs, log.train_r2, "--", color=BLUE, label="training")
    axis.plot(log.epochs, log.test_r2, "-o", color=VERMILION, markersize=4, label="test")
    axis.set_xlabel("epoch", color=INK)
    axis.set_ylabel("R²", color=INK)
    axis.legend(frameon=False, fontsize=9)
    style_axis(axis)
    return figure


def _draw_predictions(path: Path) -> Figure:
    """Predictions over targets, a straight line is where both are the same.

    An output a panel; of more than four points an axis a panel, with all points.
    """
    predictions = read_predictions(path)
    augmented = predictions.copy > 0
    outputs = predictions.target.shape[1]
    panels = {predictions.suffixes[number]: [number] for number in range(outputs)}
    if len(predictions.points) > MOST_PANELS_OF_POINTS:
        axes = outputs // len(predictions.points)
        panels = {suffix: [*range(i, outputs, axes)] for i, suffix in enumerate(output_suffixes([""], axes))}
    figure = new_figure(4.2 * len(panels), 4.2)
    for (suffix, shown), axis in zip(
        panels.items(), figure.subplots(1, len(panels), squeeze=False).ravel(), strict=True
    ):
        target, prediction = predictions.target[:, shown], predictions.prediction[:, shown]
        visible = ~np.isnan(target)
        copies = np.repeat(augmented[:, np.newaxis], len(shown), axis=1)[visible]
        target, prediction = target[visible], prediction[visible]
        ends = [min(target.min(), prediction.min()), max(target.max(), prediction.max())]
        axis.plot(ends, ends, color=MUTED, linewidth=0.8)
        axis.plot(target[copies], prediction[copies], ".", color=BLUE, alpha=0.3, markersize=3, label="augmented")
        axis.plot(target[~copies], prediction[~copies], ".", color=VERMILION, markersize=5, label="as recorded")
        axis.set_xlabel(f"target{suffix.replace('_', ' ')}", color=INK)
        axis.set_ylabel("prediction", color=INK)
        axis.set_aspect("equal")
        style_axis(axis)
    axis.legend(frameon=False, fontsize=8)
    return figure
