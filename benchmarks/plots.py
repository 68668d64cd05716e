"""The table and the growth of costs as pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Line
from siwcc.io.files import write_bytes
from siwcc.report.figures.style import BLUE, GREEN, INK, MUTED, VERMILION, new_figure, style_axis

_STYLES = {"samples": (BLUE, "o"), "variants": (VERMILION, "s"), "folds": (GREEN, "^")}
_TITLES = {"ecg": "ECG, 500 samples", "nuclei": "images, 256 px", "both": "whole paper study"}


def draw_all(lines: Sequence[Line], growth: Sequence[Mapping[str, object]], folder: Path) -> list[Path]:
    """Write `targets.svg` and, for each task measured, `growth_<task>.svg`; returns what was written."""
    written = [folder / "targets.svg"]
    _save(draw_targets([line for line in lines if line.target.must is not None]), written[0])
    for task in dict.fromkeys(str(row["task"]) for row in growth):
        written.append(folder / f"growth_{task}.svg")
        _save(draw_growth([row for row in growth if row["task"] == task]), written[-1])
    return written


def draw_targets(lines: Sequence[Line]) -> Figure:
    """Every row on one axis: how many times better than it must be, with its spread; a cross marks the aim."""
    figure = new_figure(8.5, 0.8 + 0.42 * max(1, len(lines)))
    axis = figure.subplots()
    style_axis(axis, "x")
    for place, line in enumerate(reversed(lines)):
        low, middle, high, aim = (_times_must(line, value) for value in (line.low, line.median, line.high, None))
        axis.plot([low, high], [place, place], color=BLUE, linewidth=2)
        axis.plot([middle], [place], "o", color=BLUE)
        axis.plot([aim], [place], "x", color=MUTED)
    axis.axvline(1, color=INK, linewidth=1)
    axis.set_yticks(range(len(lines)), [f"{line.target.what}: {line.cells()[1]}" for line in reversed(lines)])
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("times better than it must be; cross: the aim")
    return figure


def _times_must(line: Line, value: float | None) -> float:
    """`value`, or the aim when None, over what must be reached, so that more is better."""
    target = line.target
    assert target.must is not None
    assert target.aim is not None
    value = target.aim if value is None else value
    return target.must / value if target.lower_is_better else value / target.must


def draw_growth(rows: Sequence[Mapping[str, object]]) -> Figure:
    """A panel a quantity: relative to the smallest size, beside the diagonal on which a cost is proportional."""
    quantities = list(dict.fromkeys(str(row["quantity"]) for row in rows))
    figure = new_figure(3.0 * len(quantities), 3.0)
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axis, quantity in zip(panels, quantities, strict=True):
        _draw_panel(axis, [row for row in rows if row["quantity"] == quantity])
        axis.set_title(quantity.rsplit(", ", 1)[0], fontsize=9, color=INK)
    figure.suptitle(_TITLES[str(rows[0]["task"])], fontsize=10, color=INK)
    return figure


def _draw_panel(axis: Axes, rows: Sequence[Mapping[str, object]]) -> None:
    style_axis(axis)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    for name in dict.fromkeys(str(row["axis"]) for row in rows):
        points = sorted((float(str(row["factor"])), float(str(row["value"]))) for row in rows if row["axis"] == name)
        (first, start), last = points[0], points[-1][0]
        colour, marker = _STYLES[name]
        sizes = [size / first for size, _ in points]
        costs = [cost / start for _, cost in points]
        unit = str(rows[0]["quantity"]).rsplit(", ", 1)[1]
        label = f"{name} ({start:.3g} {unit} at {first:g})"
        axis.plot(sizes, costs, marker=marker, color=colour, label=label, alpha=0.85)
        axis.plot([1, last / first], [1, last / first], color=MUTED, linewidth=0.8, linestyle=":")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("times the smallest size", fontsize=8)
    axis.legend(fontsize=7, frameon=False)


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "siwcc", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_bytes(path, buffer.getvalue())
