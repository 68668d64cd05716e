"""Predictions against the strength of a perturbation: one panel for each, one line for every network and encoding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from siwcc.evaluation.robustness_table import Robustness
from siwcc.io.files import write_csv
from siwcc.io.tables import columns_of
from siwcc.report.figures.style import (
    GRID,
    INK,
    PAPER,
    FigureFiles,
    arm_style,
    model_name,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)

TITLES = {
    ("s", "noise"): "White noise, standard deviation",
    ("s", "wander"): "Baseline wander, amplitude",
    ("s", "lead_missing"): "A lead is missing",
    ("s", "rate"): "Recorded at another rate",
    ("s", "polarity"): "Polarity inverted",
    ("px", "noise"): "Noise, standard deviation",
    ("px", "blur"): "Gaussian blur, standard deviation",
    ("px", "contrast"): "Contrast",
    ("px", "brightness"): "Brightness",
    ("px", "stain"): "Stain: red up, blue down",
    ("px", "size"): "Taken with fewer pixels",
}
_COLUMNS = 2
_PANEL_IN = (3.5, 2.35)
_LINES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


@placeholder_on_error
def plot_robustness(lines: Sequence[Robustness], files: FigureFiles, title: str = "") -> None:
    """Draw the fraction of predictions within the coarse limit against the strength of each perturbation.

    Strengths stand at even distances, the unperturbed samples on a vertical line where strengths have an order. Bands
    and bars are the 95 % intervals over records.

    Args:
        lines: Of one task, at least one, of all its networks and encodings.
        files: The figure and the numbers in it.
        title: Of the task; not given: its name.
    """
    write_csv(files.data, columns_of(Robustness), [_data_row(line) for line in lines])
    names = list(dict.fromkeys(line.perturbation for line in lines))
    arms = list(dict.fromkeys((line.variant, line.encoding) for line in lines))
    variants = list(dict.fromkeys(variant for variant, _ in arms))
    rows = -(-len(names) // _COLUMNS)
    figure = new_figure(_PANEL_IN[0] * _COLUMNS, 0.75 + _PANEL_IN[1] * rows + 0.2 * -(-len(arms) // _COLUMNS))
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True).ravel().tolist()
    for axis, name in zip(axes, names, strict=False):
        _draw_panel(axis, [line for line in lines if line.perturbation == name], arms, variants)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    axes[0].set_ylim(*_limits(lines))
    for axis in axes[: len(names) : _COLUMNS]:
        axis.set_ylabel("per cent", fontsize=8.5, color=INK)
    first = lines[0]
    title = f"{title or first.task}: predictions within {first.limit_coarse:g} {first.error_unit}"
    figure.suptitle(title, fontsize=10.5, x=0.01, ha="left", color=INK)
    handles = [_legend_line(first.task, arm, variants) for arm in arms]
    figure.legend(handles=handles, loc="outside lower left", ncols=_COLUMNS, frameon=False, fontsize=8, labelcolor=INK)
    save_figure(figure, files)


def _draw_panel(
    axis: Axes, lines: Sequence[Robustness], arms: Sequence[tuple[str, str]], variants: Sequence[str]
) -> None:
    first = lines[0]
    levels = {line.strength: line for line in lines}
    place = {strength: number for number, strength in enumerate(sorted(levels))}
    # Cases have names and no order: points alone.
    cases = any(line.level != f"{line.strength:g}" for line in lines)
    for number, (variant, encoding) in enumerate(arms):
        own = [line for line in lines if (line.variant, line.encoding) == (variant, encoding)]
        own.sort(key=lambda line: line.strength)
        offset = 0.5 * ((number + 0.5) / len(arms) - 0.5) if cases else 0.0
        _draw_arm(axis, [place[line.strength] + offset for line in own], own, variants.index(variant), cases)
    style_axis(axis, grid="y")
    if not cases:
        neutral = next(place[line.strength] for line in lines if line.unperturbed)
        axis.axvline(neutral, color=GRID, linewidth=1.2, zorder=0)
    axis.set_xlim(-0.4, len(place) - 0.6)
    axis.set_xticks(list(place.values()), [_label(levels[strength]) for strength in place])
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel("" if cases else first.unit, fontsize=8.5, color=INK)
    axis.set_title(
        TITLES.get((first.error_unit, first.perturbation), first.perturbation), fontsize=9, loc="left", color=INK
    )


def _limits(lines: Sequence[Robustness]) -> tuple[float, float]:
    """Ends of the scale that all panels share, per cent: tens around every band."""
    ends = [(line.within_coarse, line.within_coarse_low, line.within_coarse_high) for line in lines]
    return 10 * math.floor(10 * np.nanmin(ends)), 10 * math.ceil(10 * np.nanmax(ends))


def _draw_arm(axis: Axes, places: list[float], own: Sequence[Robustness], variant: int, cases: bool) -> None:
    style = arm_style(own[0].encoding)
    fraction, low, high = (
        100 * np.array([getattr(line, name) for line in own])
        for name in ("within_coarse", "within_coarse_low", "within_coarse_high")
    )
    face = style.colour if variant == 0 else PAPER
    marks: dict[str, Any] = {"color": style.colour, "marker": style.marker, "markersize": 4.5, "markerfacecolor": face}
    if cases:
        axis.vlines(places, low, high, color=style.colour, linewidth=1.2, alpha=0.5)
        axis.plot(places, fraction, linestyle="none", **marks)
        return
    axis.fill_between(places, low, high, color=style.colour, alpha=0.12, linewidth=0)
    axis.plot(places, fraction, linestyle=_LINES[variant % len(_LINES)], linewidth=1.4, **marks)


def _label(line: Robustness) -> str:
    return line.level.replace("-", "\N{MINUS SIGN}").replace(" ", "\n", 1)


def _legend_line(task: str, arm: tuple[str, str], variants: Sequence[str]) -> Line2D:
    variant, encoding = arm
    style, number = arm_style(encoding), variants.index(variant)
    return Line2D(
        *([], []),
        color=style.colour,
        linestyle=_LINES[number % len(_LINES)],
        marker=style.marker,
        markersize=4.5,
        markerfacecolor=style.colour if number == 0 else PAPER,
        label=f"{model_name(task, variant)}, {style.label}",
    )


def _data_row(line: Robustness) -> list[object]:
    return [repr(value) if isinstance(value, float) else value for value in astuple(line)]
