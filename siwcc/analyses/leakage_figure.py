"""Test R2 of every method under the four protocols of `siwcc.analyses.leakage_ablation`, fold by fold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from siwcc.analyses.leakage_ablation import PROTOCOLS, TASK, Score, write_scores
from siwcc.evaluation.baselines.registry import baseline_kind
from siwcc.evaluation.methods import ALL, AUGMENTED
from siwcc.report.figures.style import (
    INK,
    MUTED,
    PAPER,
    ArmStyle,
    FigureFiles,
    arm_style,
    model_name,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)

# Methods worse than this are cut off: how bad a constant is does not matter, the CSV has it.
_LOWEST_SHOWN = -0.6
_SPREAD = 0.62


@placeholder_on_error
def plot_cells(scores: Sequence[Score], files: FigureFiles) -> None:
    """Draw a line for every method over the four cells, with a point for each fold.

    Drawn are the augmented copies of all events; the CSV holds all scores.

    Args:
        scores: Of all cells, in the order of the CSV.
        files: The figures and the numbers.
    """
    write_scores(files.data, scores)
    drawn = [score for score in scores if (score.inputs, score.subset) == (AUGMENTED, ALL)]
    names = list(dict.fromkeys((score.variant, score.method) for score in drawn))
    figure = new_figure(6.4, 5.4)
    axis = figure.subplots()
    for place, (variant, method) in enumerate(names):
        offset = _SPREAD * (place / max(len(names) - 1, 1) - 0.5)
        own = [score for score in drawn if (score.variant, score.method) == (variant, method)]
        style = method_style(variant, method, [name for kind, name in names if not kind])
        several = len({kind for kind, _ in names if kind}) > 1
        _draw_method(axis, own, offset, style, model_name(TASK, variant) if several and variant else "")
    _frame(axis, drawn)
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=8, labelcolor=INK, handlelength=2.6)
    save_figure(figure, files)


def method_style(variant: str, method: str, baselines: Sequence[str]) -> ArmStyle:
    """How a network's encoding or a baseline is drawn and named.

    Args:
        variant: Of the network; empty for a baseline.
        method: The encoding, or the baseline's name.
        baselines: All baselines in the figure.
    """
    return arm_style(method) if variant else arm_style(method, baselines)


def _draw_method(axis: Axes, scores: Sequence[Score], offset: float, style: ArmStyle, model: str) -> None:
    network = bool(scores[0].variant)
    kind = "oracle" if baseline_kind(scores[0].method) == "oracle" else "baseline"
    order = list(PROTOCOLS)
    by_place = sorted(((order.index(one.protocol) + offset, one) for one in scores), key=lambda pair: pair[0])
    for place, score in by_place:
        folds = [value for value in score.fold_values if math.isfinite(value)]
        axis.plot([place] * len(folds), folds, ".", color=style.colour, markersize=3.5, alpha=0.55)
    axis.plot(
        [place for place, _ in by_place],
        [score.r2 for _, score in by_place],
        "-" if network else ":",
        color=style.colour,
        marker=style.marker,
        markersize=6 if network else 5,
        markerfacecolor=style.colour if network else PAPER,
        linewidth=1.6 if network else 1.1,
        label=", ".join(filter(None, [model, style.label])) if network else f"{kind}: {style.label}",
        zorder=3 if network else 2,
    )


def _frame(axis: Axes, drawn: Sequence[Score]) -> None:
    style_axis(axis, grid="y")
    axis.axhline(0, color=MUTED, linewidth=1)
    axis.set_xticks(range(len(PROTOCOLS)))
    axis.set_xticklabels(
        [f"{name}\nfolds by {key.folds_by},\n{key.shift}" for key, name in PROTOCOLS.items()], fontsize=8.5
    )
    axis.set_xlim(-0.5, len(PROTOCOLS) - 0.5)
    finite = [value for score in drawn for value in (score.r2, *score.fold_values) if math.isfinite(value)]
    shown = [value for value in finite if value >= _LOWEST_SHOWN]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    axis.set_ylim(low - 0.05 * (high - low + 0.1), high + 0.05 * (high - low + 0.1))
    axis.set_ylabel("test R²", color=INK)
