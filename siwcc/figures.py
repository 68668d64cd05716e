"""Pictures of a study, each as SVG and PNG, with its numbers as CSV."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from siwcc.comparisons import Log, read_log
from siwcc.errors import InputError
from siwcc.files import write_bytes, write_csv
from siwcc.runs import RunKey, run_key_of

# Okabe and Ito's palette: told apart with every common colour vision deficiency.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TITLES = {
    ("ecg", "full"): "NimeshaNet",
    ("ecg", "reduced"): "NimeshaNet, reduced pool",
    ("nuclei", "full"): "LakshyaNet",
    ("nuclei", "reduced"): "LakshyaNet, reduced pool",
}
ENCODING_LABELS = {"none": "no coordinates", "coord": "coordinates", "weighted": "weighted coordinates"}
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


def save_figure(figure: Figure, svg_path: Path, png_path: Path) -> None:
    """Write a figure as SVG and PNG, the same bytes for the same picture."""
    with mpl.rc_context({"svg.hashsalt": "siwcc", "svg.fonttype": "path"}):
        for path, kind, metadata in ((svg_path, "svg", {"Date": None}), (png_path, "png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
            write_bytes(path, buffer.getvalue())


def learning_curves(logs: Mapping[RunKey, Log]) -> list[Curve]:
    """Mean and range over the folds for every arm; seeds are averaged within a fold first.

    Args:
        logs: The runs of one task, all with the same epochs.

    Raises:
        InputError: runs with different epochs.
    """
    curves = []
    for variant, encoding in sorted({(key.variant, key.encoding) for key in logs}):
        arm = {key: log for key, log in logs.items() if (key.variant, key.encoding) == (variant, encoding)}
        epochs = _common_epochs(arm)
        for name in ("train", "test"):
            by_fold = np.array([_fold_curve(arm, fold, name) for fold in sorted({key.fold for key in arm})])
            curves.append(
                Curve(
                    variant,
                    encoding,
                    name,
                    epochs,
                    by_fold.mean(axis=0),
                    by_fold.min(axis=0),
                    by_fold.max(axis=0),
                    len(by_fold),
                )
            )
    return curves


def _fold_curve(arm: Mapping[RunKey, Log], fold: int, name: str) -> np.ndarray:
    curves = [log.train_r2 if name == "train" else log.test_r2 for key, log in arm.items() if key.fold == fold]
    return np.asarray(np.mean(curves, axis=0))


def _common_epochs(arm: Mapping[RunKey, Log]) -> np.ndarray:
    first, *others = arm.values()
    for other in others:
        if not np.array_equal(first.epochs, other.epochs):
            raise InputError(other.path, f"has other epochs than {first.path}")
    return first.epochs


def plot_learning_curves(log_paths: Sequence[Path], svg_path: Path, png_path: Path, data_path: Path) -> None:
    """Draw one panel a network: R2 by epoch, both arms, training dashed and test solid (paper, Figure 2).

    Args:
        log_paths: `log.csv` of every run of one task.
        svg_path, png_path: The pictures.
        data_path: The numbers in them.
    """
    logs = {run_key_of(path): read_log(path) for path in log_paths}
    curves = learning_curves(logs)
    task = next(iter(logs)).task
    variants = sorted({curve.variant for curve in curves})
    encodings = sorted({curve.encoding for curve in curves})
    figure = Figure(figsize=(1.2 + 4.6 * len(variants), 4.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(variants), sharey=True))
    for axis, variant in zip(axes, variants, strict=True):
        for curve in curves:
            if curve.variant == variant:
                _draw_curve(axis, curve, COLOURS[encodings.index(curve.encoding) % len(COLOURS)])
        axis.set_title(TITLES.get((task, variant), f"{task}, {variant}"))
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("R², mean over folds (band: smallest to largest)")
    _limit_below(axes[0], curves)
    axes[-1].legend(frameon=False, fontsize="small", loc="lower right")
    save_figure(figure, svg_path, png_path)
    write_csv(data_path, CURVE_COLUMNS, _curve_rows(curves))


def _draw_curve(axis: Axes, curve: Curve, colour: str) -> None:
    style = "-" if curve.curve == "test" else "--"
    name = ENCODING_LABELS.get(curve.encoding, curve.encoding)
    axis.plot(curve.epochs, curve.mean, style, color=colour, label=f"{name}, {curve.curve}")
    axis.fill_between(curve.epochs, curve.low, curve.high, color=colour, alpha=0.13, linewidth=0)


def _limit_below(axis: Axes, curves: Sequence[Curve]) -> None:
    """Keep one wild fold of an early epoch from flattening the rest: the means stay in view."""
    lowest = min(curve.mean.min() for curve in curves)
    axis.set_ylim(bottom=max(axis.get_ylim()[0], min(lowest - 0.1, -0.1)))


def _curve_rows(curves: Sequence[Curve]) -> list[list[object]]:
    return [
        [curve.variant, curve.encoding, curve.curve, int(epoch), curve.folds, repr(mean), repr(low), repr(high)]
        for curve in curves
        for epoch, mean, low, high in zip(
            curve.epochs.tolist(), curve.mean.tolist(), curve.low.tolist(), curve.high.tolist(), strict=True
        )
    ]
