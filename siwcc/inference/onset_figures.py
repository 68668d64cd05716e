"""The onsets in a recording as a figure: the probability over all of its time, and the signal around each onset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from siwcc.inference.figures import FLOOR, Change, draw_changes, draw_leads
from siwcc.inference.inputs import name_of
from siwcc.inference.onsets import Onset, Onsets
from siwcc.report.figures.style import BLACK, BLUE, GREEN, INK, MUTED, SKY, VERMILION, new_figure, style_axis

MOST_PANELS = 12
BESIDE_S = 10.0
"""Of the signal, to either side of an onset in its panel."""

_COLUMNS = 2
_BINS = 1500
# Fraction of the threshold: most candidates are below, near 0.
_LEAST_SHOWN = 0.1
_CURVE_HEIGHT = 0.9
_UNITS = ((7200.0, 3600.0, "h"), (600.0, 60.0, "min"), (0.0, 1.0, "s"))


def plot_onsets(onsets: Onsets, changes: Sequence[Change], name: str = "") -> Figure:
    """The recording at a glance, and a panel for each of the `MOST_PANELS` most probable onsets.

    Args:
        onsets: What was found; the signal around each onset is read from its source.
        changes: (seconds, label) of annotated changes of rhythm, drawn as thin lines.
        name: Of the recording; by default that of its file.
    """
    shown = sorted(sorted(onsets, key=lambda onset: -onset.rank)[:MOST_PANELS], key=lambda onset: onset.onset_s)
    rows = -(-len(shown) // _COLUMNS)
    figure = new_figure(11.0, 3.6 + 2.3 * rows)
    heights = [2.7, *[2.3] * rows]
    grid = figure.add_gridspec(1 + rows, _COLUMNS, height_ratios=heights)
    overview = figure.add_subplot(grid[0, :])
    _draw_overview(overview, onsets, changes)
    title = f"{name or name_of(onsets.source.path)}: {_summary(onsets)}"
    if len(shown) < len(onsets):
        title += f"; below, the {len(shown)} with the highest {_measure(onsets)}"
    overview.set_title(title, fontsize=10, loc="left", color=INK)
    for number, onset in enumerate(shown):
        axis = figure.add_subplot(grid[1 + number // _COLUMNS, number % _COLUMNS])
        _draw_panel(axis, onsets, onset, changes)
    return figure


def _measure(onsets: Onsets) -> str:
    return "score" if onsets.tolerance_s is None else "p"


def _summary(onsets: Onsets) -> str:
    if not onsets:
        return f"no onset found above {onsets.threshold_words}"
    return f"{len(onsets)} onset{'s' * (len(onsets) > 1)} above {onsets.threshold_words}"


def _draw_overview(axis: Axes, onsets: Onsets, changes: Sequence[Change]) -> None:
    _, unit_s, unit = next(one for one in _UNITS if onsets.duration_s >= one[0])
    edges = np.linspace(0, len(onsets.curve), min(_BINS, len(onsets.curve)) + 1).astype(int)
    # The largest value of each part, as a short episode must not be lost.
    peaks = np.maximum.reduceat(onsets.curve, edges[:-1])
    axis.fill_between(
        edges[:-1] * onsets.step_s / unit_s, 0, peaks, color=SKY, linewidth=0.6, label="malignant rhythm, at each time"
    )
    below = [onset for onset in onsets.below if onset.rank >= _LEAST_SHOWN * onsets.threshold]
    for label, found, face in (("onset", onsets, VERMILION), ("candidate below the threshold", below, "none")):
        if found:
            times = [onset.onset_s / unit_s for onset in found]
            ranks = [onset.rank for onset in found]
            axis.plot(times, ranks, "v", color=VERMILION, markerfacecolor=face, ms=5, label=label, clip_on=False)
    axis.axhline(onsets.threshold, color=MUTED, linestyle="--", linewidth=0.9, label="threshold of an onset")
    for number, (time_s, _) in enumerate(changes):
        # A label that begins so is not in the legend.
        label = "_" if number else "annotated change of rhythm"
        axis.axvline(time_s / unit_s, color=GREEN, linewidth=0.5, alpha=0.7, label=label)
    axis.set_xlim(0, onsets.duration_s / unit_s)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel(f"time from the start of the recording ({unit})", color=INK)
    axis.set_ylabel("score" if onsets.tolerance_s is None else "probability", color=INK)
    style_axis(axis)
    handles = axis.get_legend_handles_labels()[0] + (_panel_handles() if onsets else [])
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.22), ncols=4, frameon=False, fontsize=7)


def _panel_handles() -> list[Artist]:
    """What is in the panels and not in the overview."""
    return [
        Line2D([], [], color=VERMILION, linewidth=1.4, label="onset of the panel"),
        Line2D([], [], color=BLUE, linewidth=0.9, linestyle=":", label="another onset"),
        Patch(color=VERMILION, alpha=0.15, label="episode"),
        Line2D([], [], color=BLACK, linewidth=0.7, label="leads, each scaled to its range"),
    ]


def _draw_panel(axis: Axes, onsets: Onsets, onset: Onset, changes: Sequence[Change]) -> None:
    source = onsets.source
    low_s, high_s = max(0.0, onset.onset_s - BESIDE_S), min(onset.onset_s + BESIDE_S, onsets.duration_s)
    first = int(low_s * source.rate_hz)
    part_mv = source.cut_mv(first, int(high_s * source.rate_hz) + 1)
    time_s = (first + np.arange(part_mv.shape[1])) / source.rate_hz
    draw_leads(axis, part_mv, time_s, source.leads, source.lead_names)
    ticks, labels = list(axis.get_yticks()), [label.get_text() for label in axis.get_yticklabels()]
    axis.set_yticks([*ticks, FLOOR + _CURVE_HEIGHT, FLOOR], [*labels, "1", f"{_measure(onsets)} 0"])
    steps = np.arange(int(low_s / onsets.step_s), min(int(high_s / onsets.step_s) + 1, len(onsets.curve)))
    heights = FLOOR + _CURVE_HEIGHT * onsets.curve[steps]
    axis.fill_between(steps * onsets.step_s, FLOOR, heights, color=SKY, linewidth=0.6)
    axis.axvspan(onset.onset_s, min(onset.end_s, high_s), color=VERMILION, alpha=0.08, linewidth=0)
    axis.axvline(onset.onset_s, color=VERMILION, linewidth=1.4)
    for other in onsets:
        if other is not onset and low_s <= other.onset_s <= high_s:
            axis.axvline(other.onset_s, color=BLUE, linewidth=0.9, linestyle=":")
    draw_changes(axis, [change for change in changes if low_s <= change[0] <= high_s])
    style_axis(axis, grid="x")
    axis.set_xlim(low_s, high_s)
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_xlabel("time (s)", color=INK, fontsize=8)
    title = f"onset at {onset.onset_s:.2f} s, until {onset.end_s:.2f} s, {onset.words}"
    axis.set_title(title, fontsize=9, loc="left", color=INK)
