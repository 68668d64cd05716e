"""Learning curves: R2 by epoch of one network, both arms, training and test (paper, Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from siwcc.evaluation.logs import Log, read_log
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.io.run_key import RunKey, run_key_of
from siwcc.report.figures.style import (
    INK,
    FigureFiles,
    arm_style,
    model_name,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)

# More arms than this get a panel for each curve and no bands, which would cover each other.
_MOST_IN_ONE_PANEL = 3
CURVE_COLUMNS = ("variant", "encoding", "curve", "epoch", "folds", "mean", "low", "high")


@dataclass(frozen=True)
class Curve:
    """R2 by epoch over the folds of one arm.

    Attributes:
        variant, encoding: The arm.
        curve: `train` or `test`.
        epochs: (epochs,).
        mean, low, high: (epochs,), the mean, smallest and largest over the folds.
        folds: How many folds there are.
    """

    variant: str
    encoding: str
    curve: str
    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    folds: int


def learning_curves(logs: Mapping[RunKey, Log]) -> list[Curve]:
    """Mean and range over the folds for every arm; seeds are averaged within a fold first.

    Args:
        logs: The runs of one task, all of an arm with the same epochs.

    Raises:
        InputError: runs of one arm with different epochs.
    """
    curves = []
    for variant, encoding in sorted({(key.variant, key.encoding) for key in logs}):
        arm = {key: log for key, log in logs.items() if (key.variant, key.encoding) == (variant, encoding)}
        epochs = _common_epochs(arm)
        for name in ("train", "test"):
            by_fold = np.array([_fold_curve(arm, fold, name) for fold in sorted({key.fold for key in arm})])
            spread = (by_fold.mean(axis=0), by_fold.min(axis=0), by_fold.max(axis=0))
            curves.append(Curve(variant, encoding, name, epochs, *spread, folds=len(by_fold)))
    return curves


def _fold_curve(arm: Mapping[RunKey, Log], fold: int, name: str) -> np.ndarray:
    curves = [log.train_r2 if name == "train" else log.test_r2 for key, log in arm.items() if key.fold == fold]
    return np.asarray(np.mean(curves, axis=0))


def _common_epochs(arm: Mapping[RunKey, Log]) -> np.ndarray:
    first, *others = arm.values()
    for other in others:
        if not np.array_equal(first.epochs, other.epochs):
            raise InputError(other.path, f"has other epochs than {first.path}", "train all folds for the same epochs")
    return first.epochs


@placeholder_on_error
def plot_learning_curves(log_paths: Sequence[Path], variant: str, files: FigureFiles) -> None:
    """Draw the curves of one network.

    Args:
        log_paths: `log.csv` of every run of one task; those of the other networks set the common scale.
        variant: Which network of the task to draw.
        files: The figures and the numbers in them.

    Raises:
        InputError: a damaged log, or runs of one arm with different epochs.
    """
    logs = {run_key_of(path): read_log(path) for path in log_paths}
    curves = learning_curves(logs)
    shown = [curve for curve in curves if curve.variant == variant]
    write_csv(files.data, CURVE_COLUMNS, _curve_rows(shown))
    arms = {curve.encoding for curve in curves}
    title = model_name(next(iter(logs)).task, variant)
    if len(arms) <= _MOST_IN_ONE_PANEL:
        figure = _draw_together(shown, title, _common_limits(curves))
    else:
        figure = _draw_apart(shown, title, {name: _limits_of_means(curves, name) for name in ("test", "train")})
    save_figure(figure, files)


def _draw_together(curves: Sequence[Curve], title: str, limits: tuple[float, float]) -> Figure:
    """Training and test in one panel, with their bands."""
    figure = new_figure(4.4, 3.9)
    axis = figure.subplots()
    for curve in curves:
        style = arm_style(curve.encoding)
        test = curve.curve == "test"
        axis.plot(
            curve.epochs,
            curve.mean,
            "-" if test else "--",
            color=style.colour,
            marker=style.marker,
            markersize=4 if test else 3,
            markerfacecolor=style.colour if test else "none",
            linewidth=1.6 if test else 1.1,
            label=f"{style.label}, {'test' if test else 'training'}",
        )
        axis.fill_between(curve.epochs, curve.low, curve.high, color=style.colour, alpha=0.13, linewidth=0)
    _frame(axis, title, limits)
    _add_legend(figure, axis, columns=2)
    return figure


def _draw_apart(curves: Sequence[Curve], title: str, limits: Mapping[str, tuple[float, float]]) -> Figure:
    """A panel for the test folds, one for training, means only, each with its own scale."""
    arms = len({curve.encoding for curve in curves})
    figure = new_figure(4.4, 6.6 + 0.17 * arms)
    panels = figure.subplots(2, 1, sharex=True)
    for axis, name in zip(panels, ("test", "train"), strict=True):
        in_panel = [curve for curve in curves if curve.curve == name]
        for curve in in_panel:
            style = arm_style(curve.encoding)
            look = {"color": style.colour, "marker": style.marker, "markersize": 4.5, "linewidth": 1.3}
            axis.plot(curve.epochs, curve.mean, style.line, label=style.label, **look)
        cut = any(float(np.nanmin(curve.mean)) < limits[name][0] for curve in in_panel)
        # The network's name on a line of its own: all in one would be wider than the figure.
        panel = f"{title}\ntest folds" if name == "test" else "training"
        _frame(axis, panel + (", lowest values cut off" if cut else ""), limits[name])
    panels[0].set_xlabel("")
    _add_legend(figure, panels[0], columns=1 + (arms <= 2 * _MOST_IN_ONE_PANEL))
    return figure


def _frame(axis: Axes, title: str, limits: tuple[float, float]) -> None:
    style_axis(axis)
    axis.set_title(title, fontsize=11, loc="left", color=INK)
    axis.set_xlabel("epoch", color=INK)
    axis.set_ylabel("R²", color=INK)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylim(*limits)


def _add_legend(figure: Figure, axis: Axes, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    style: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": INK, "handlelength": 3.2}
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, **style)


def _common_limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """One scale for every network of a task.

    One wild fold of an early epoch must not flatten the rest: what lies below -0.5 is cut off, and
    so is a band that leaves the means far behind.
    """
    means = np.concatenate([curve.mean for curve in curves])
    lows = np.concatenate([curve.low for curve in curves])
    highs = np.concatenate([curve.high for curve in curves])
    last = np.array([curve.mean[-1] for curve in curves])
    floor = min(-0.5, float(np.nanmin(last)) - 0.1)
    bottom = max(float(np.nanmin(lows)), float(np.nanmin(means)) - 0.1, floor)
    top = float(np.nanmax(highs))
    return _with_margin(bottom, top)


def _limits_of_means(curves: Sequence[Curve], name: str) -> tuple[float, float]:
    """One scale for the test or the training curves of every network of a task.

    What lies more than 1 below the last epoch of the worst arm is cut off.
    """
    of_arms = [curve.mean for curve in curves if curve.curve == name]
    means = np.concatenate(of_arms)
    worst = float(np.nanmin([mean[-1] for mean in of_arms]))
    return _with_margin(max(float(np.nanmin(means)), worst - 1.0), float(np.nanmax(means)))


def _with_margin(bottom: float, top: float) -> tuple[float, float]:
    margin = 0.04 * max(top - bottom, 0.1)
    return bottom - margin, top + margin


def _curve_rows(curves: Sequence[Curve]) -> list[list[object]]:
    return [
        [curve.variant, curve.encoding, curve.curve, int(epoch), curve.folds, repr(mean), repr(low), repr(high)]
        for curve in curves
        for epoch, mean, low, high in zip(
            curve.epochs.tolist(), curve.mean.tolist(), curve.low.tolist(), curve.high.tolist(), strict=True
        )
    ]
