"""What a network's confidence is worth: how often it is right, and by how much it is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from siwcc.evaluation.methods import AUGMENTED
from siwcc.evaluation.reliability_table import CALIBRATED, RAW, ReliabilityBin
from siwcc.io.files import write_csv
from siwcc.io.tables import cells_of, columns_of
from siwcc.report.figures.style import (
    BLUE,
    INK,
    MUTED,
    PAPER,
    PURPLE,
    VERMILION,
    FigureFiles,
    arm_style,
    model_name,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)

_KINDS = {RAW: ("confidence", BLUE, "o"), CALIBRATED: ("calibrated, out of fold", VERMILION, "s")}
_SMALLEST_ERROR = 1e-3


def select_bins(bins: Sequence[ReliabilityBin], task: str, encoding: str, variant: str) -> list[ReliabilityBin]:
    """The bins of one arm, raw and calibrated: of the augmented copies, or of the samples themselves if it has none."""
    own = [line for line in bins if (line.task, line.encoding, line.variant) == (task, encoding, variant)]
    copies = [line for line in own if line.inputs == AUGMENTED]
    return copies or own


@placeholder_on_error
def plot_reliability(bins: Sequence[ReliabilityBin], files: FigureFiles) -> None:
    """Draw the fraction within the limit, and the error, against confidence.

    Args:
        bins: Of one arm, raw and calibrated, at least one.
        files: The figures and the numbers in them.
    """
    columns = columns_of(ReliabilityBin)
    write_csv(files.data, columns, [cells_of(line, columns) for line in bins])
    first = bins[0]
    figure = new_figure(4.4, 6.0)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 2], sharex=True)
    upper.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1)
    handles = []
    for kind, (label, colour, marker) in _KINDS.items():
        lines = [line for line in bins if line.kind == kind]
        if lines:
            _draw_shares(upper, lines, colour, marker)
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=label))
    handles.append(Line2D([], [], color=MUTED, linestyle="--", label="perfect calibration"))
    _draw_errors(lower, [line for line in bins if line.kind == RAW])
    upper.set_ylabel(f"fraction within {first.limit:g} {first.unit}", fontsize=9, color=INK)
    upper.set_ylim(-0.02, 1.02)
    upper.set_xlim(0, 1)
    lower.set_xlabel("mean confidence, or probability, of a bin", fontsize=9, color=INK)
    title = f"{model_name(first.task, first.variant)}, {arm_style(first.encoding).label}"
    figure.suptitle(title, fontsize=10.5, x=0.01, ha="left", color=INK)
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    save_figure(figure, files)


def _draw_shares(axis: Axes, lines: Sequence[ReliabilityBin], colour: str, marker: str) -> None:
    mean, within = ([getattr(line, name) for line in lines] for name in ("mean", "within"))
    # An interval over records need not hold the value of all rows.
    ends = [(min(line.ci_low, line.within), max(line.ci_high, line.within)) for line in lines]
    for place, (low, high) in zip(mean, ends, strict=True):
        if np.isfinite(low) and np.isfinite(high):
            axis.plot([place, place], [low, high], color=colour, linewidth=1, alpha=0.6)
    axis.plot(mean, within, marker=marker, color=colour, markersize=5, linewidth=1.4, markeredgecolor=PAPER)
    style_axis(axis)


def _draw_errors(axis: Axes, lines: Sequence[ReliabilityBin]) -> None:
    mean = [line.mean for line in lines]
    for name, label, style in (("p90", "90 %", "--"), ("median", "median", "-")):
        values = [max(getattr(line, name), _SMALLEST_ERROR) for line in lines]
        axis.plot(mean, values, style, color=BLUE if name == "median" else PURPLE, marker="o", markersize=3.5)
        axis.annotate(
            label, (mean[0], values[0]), xytext=(-4, 0), textcoords="offset points", ha="right", va="center",
            fontsize=8, color=INK,
        )  # fmt: skip
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_ylabel(f"error ({lines[0].unit}), by confidence", fontsize=9, color=INK)
    style_axis(axis)
