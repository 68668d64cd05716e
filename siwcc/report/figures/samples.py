"""What the samples of a study are like: the gaps before the events, and the targets of each fold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from siwcc.data.folds import read_strata_csv
from siwcc.data.points import output_suffixes
from siwcc.data.tasks.interface import TaskSpec
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.io.shards import read_shard
from siwcc.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    INK,
    PURPLE,
    VERMILION,
    FigureFiles,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)

BINS = 20
GAP_COLUMNS = ("from_s", "to_s", "events", "isolated")
TARGET_COLUMNS = ("output", "fold", "from", "to", "copies", "fraction")
POOLED_COLUMNS = tuple("points" if name == "copies" else name for name in TARGET_COLUMNS)
MOST_PANELS_OF_POINTS = 4
_ISOLATED_PLACES = (BINS + 2, BINS + 6)
_FOLD_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, BLACK)
_FOLD_LINES = ("-", "--", ":", "-.")


class GapBin(NamedTuple):
    """Events whose gap to the event before is at least `start_s` and below `stop_s`.

    The last two bins are the isolated ones: a gap of a window's length or more, and no event before.
    """

    start_s: float
    stop_s: float
    events: int
    isolated: bool


def count_gaps(gaps_s: Sequence[float], isolated_s: float) -> list[GapBin]:
    """Events by the time since the event before.

    Args:
        gaps_s: One number an event; infinite where there is no event before.
        isolated_s: The gap from which on an event is isolated.

    Returns:
        20 bins of equal width below `isolated_s`, one for all longer gaps, one for infinite ones.
    """
    values = np.asarray(gaps_s, dtype=np.float64)
    edges = np.linspace(0.0, isolated_s, BINS + 1)
    # The last bin of `histogram` is closed; an event exactly at its end is isolated already.
    counts = np.histogram(values[values < isolated_s], edges)[0].tolist()
    places = zip(edges[:-1].tolist(), edges[1:].tolist(), counts, strict=True)
    bins = [GapBin(start, stop, count, False) for start, stop, count in places]
    longer = int(np.count_nonzero((values >= isolated_s) & np.isfinite(values)))
    first = int(np.count_nonzero(np.isinf(values)))
    return [*bins, GapBin(isolated_s, math.inf, longer, True), GapBin(math.inf, math.inf, first, True)]


@placeholder_on_error
def plot_gaps(strata_path: Path, isolated_s: float, files: FigureFiles) -> None:
    """Draw how long before each event the event before lies.

    Args:
        strata_path: `strata.csv` of a task whose samples are events.
        isolated_s: The gap from which on an event is isolated.
        files: The figures and the numbers in them.

    Raises:
        InputError: a sample has no gap.
    """
    gaps_s = [stratum.gap_s for stratum in read_strata_csv(strata_path)]
    known_s = [gap_s for gap_s in gaps_s if gap_s is not None]
    if len(known_s) < len(gaps_s):
        raise InputError(strata_path, "has a sample without gap_s", "delete it and run again")
    bins = count_gaps(known_s, isolated_s)
    write_csv(files.data, GAP_COLUMNS, [[*found[:3], "yes" if found.isolated else "no"] for found in bins])
    figure = new_figure(4.4, 3.2)
    axis = figure.subplots()
    for place, found in zip([*range(BINS), *_ISOLATED_PLACES], bins, strict=True):
        _draw_bin(axis, place, found)
    style_axis(axis, grid="y")
    axis.set_xticks([0, BINS / 4, BINS / 2, 3 * BINS / 4, *(place + 1 for place in _ISOLATED_PLACES)])
    shown = [f"{isolated_s * part:g}" for part in (0, 0.25, 0.5, 0.75)]
    axis.set_xticklabels([*shown, f"{isolated_s:g}\nor more", "no event\nbefore"])
    isolated = sum(found.events for found in bins if found.isolated)
    axis.set_title(f"{len(known_s)} events, {isolated} isolated", fontsize=11, loc="left", color=INK)
    axis.set_xlabel("gap to the event before (s)", color=INK)
    axis.set_ylabel("events", color=INK)
    save_figure(figure, files)


def _draw_bin(axis: Axes, place: int, found: GapBin) -> None:
    width = 2.0 if found.isolated else 1.0
    axis.bar([place], [found.events], 0.9 * width, align="edge", color=VERMILION if found.isolated else BLUE)
    if found.isolated:
        axis.annotate(str(found.events), (place + 0.9, found.events), ha="center", va="bottom", fontsize=8.5, color=INK)


class TargetPanel(NamedTuple):
    """Targets that are counted together: the suffix of their output, their numbers, and the largest possible value."""

    suffix: str
    outputs: list[int]
    largest: float


def target_panels(spec: TaskSpec) -> list[TargetPanel]:
    """One panel for each output; of more than four points one for each axis, with all points."""
    axes = len(spec.shape)
    # A signal's last sample lies a little before the window's end.
    largest = [spec.output_scale] if axes == 1 else list(spec.extent)
    if len(spec.points) <= MOST_PANELS_OF_POINTS:
        return [TargetPanel(suffix, [i], largest[i % axes]) for i, suffix in enumerate(spec.outputs)]
    suffixes = output_suffixes([""], axes)
    return [TargetPanel(suffixes[i], [*range(i, len(spec.outputs), axes)], largest[i]) for i in range(axes)]


@placeholder_on_error
def plot_targets(fold_paths: Sequence[Path], files: FigureFiles, title: str = "") -> None:
    """Draw where the targets of the augmented copies lie, a line for each fold.

    Args:
        fold_paths: `fold1.h5` ... in order.
        files: The figures and the numbers in them.
        title: Of the task; not given: its name.
    """
    folds = [read_shard(path, "fold", ("copy", "target")) for path in fold_paths]
    spec = TaskSpec.from_json(folds[0].attributes["spec"])
    targets = [fold.arrays["target"][fold.arrays["copy"] > 0] for fold in folds]
    panels = target_panels(spec)
    pooled = len(panels) < len(spec.outputs)
    figure = new_figure(4.4, 1.0 + 2.2 * len(panels))
    lines: list[list[object]] = []
    for axis, panel in zip(np.atleast_1d(figure.subplots(len(panels), 1)), panels, strict=True):
        for number, target in enumerate(targets, 1):
            known = target[:, panel.outputs]
            edges, counts = count_targets(known[~np.isnan(known)], panel.largest)
            _draw_fold(axis, edges, counts / max(counts.sum(), 1), number)
            lines += _target_rows(panel.suffix.removeprefix("_"), number, edges, counts)
        style_axis(axis)
        axis.set_ylim(bottom=0)
        axis.set_xlabel(f"target{panel.suffix.replace('_', ' ')} ({spec.unit})", color=INK)
        axis.set_ylabel(f"fraction of a fold's {'points' if pooled else 'copies'}", color=INK, fontsize=9)
    shown = f"{title or spec.task}{f': all {len(spec.points)} points' if pooled else ''}"
    figure.suptitle(shown, fontsize=11, x=0.01, ha="left", color=INK)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=5, frameon=False, fontsize=8, labelcolor=INK)
    write_csv(files.data, POOLED_COLUMNS if pooled else TARGET_COLUMNS, lines)
    save_figure(figure, files)


def count_targets(target: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Targets in 20 equal bins from 0 to the largest possible target.

    Args:
        target: (rows,); one outside the range counts in the bin at that end.
        scale: The largest prediction of the network.

    Returns:
        Edges (21,) and counts (20,).
    """
    edges = np.linspace(0.0, scale, BINS + 1)
    return edges, np.histogram(np.clip(target, 0.0, scale), edges)[0]


def _draw_fold(axis: Axes, edges: np.ndarray, fractions: np.ndarray, number: int) -> None:
    turn, place = divmod(number - 1, len(_FOLD_COLOURS))
    look: dict[str, Any] = {
        "color": _FOLD_COLOURS[place],
        "linestyle": _FOLD_LINES[turn % len(_FOLD_LINES)],
        "linewidth": 1.3,
    }
    axis.stairs(fractions, edges, label=f"fold {number}", **look)


def _target_rows(output: str, fold: int, edges: np.ndarray, counts: np.ndarray) -> list[list[object]]:
    total = max(int(counts.sum()), 1)
    return [
        [output, fold, repr(start), repr(stop), count, repr(count / total)]
        for start, stop, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    ]
