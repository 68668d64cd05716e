"""How often each of many points is taken for another: one line for every encoding of a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siwcc.evaluation.landmarks import LandmarkErrors
from siwcc.evaluation.methods import AUGMENTED
from siwcc.io.files import write_csv
from siwcc.io.tables import cells_of, columns_of
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

# More points than this have no room for their names.
_MOST_NAMES = 24


def select_landmarks(lines: Sequence[LandmarkErrors], task: str, variant: str) -> list[LandmarkErrors]:
    """The lines by point of one network on the augmented copies."""
    return [line for line in lines if (line.task, line.variant, line.inputs) == (task, variant, AUGMENTED)]


@placeholder_on_error
def plot_landmarks(lines: Sequence[LandmarkErrors], files: FigureFiles) -> None:
    """Draw the fraction of confused predictions of each point, in the order of the points.

    Bands are the 95 % intervals over groups.

    Args:
        lines: By point, of one network with all its encodings, at least one.
        files: The figures and the numbers in them.
    """
    columns = columns_of(LandmarkErrors)
    write_csv(files.data, columns, [cells_of(line, columns) for line in lines])
    encodings = list(dict.fromkeys(line.method for line in lines))
    figure = new_figure(4.4, 3.6 + 0.17 * len(encodings))
    axis = figure.subplots()
    for encoding in encodings:
        own = sorted((line for line in lines if line.method == encoding), key=lambda line: line.number)
        style, places = arm_style(encoding, encodings), [line.number for line in own]
        confused, low, high = (
            100 * np.array([getattr(line, name) for line in own])
            for name in ("confused", "confused_low", "confused_high")
        )
        axis.fill_between(places, low, high, color=style.colour, alpha=0.12, linewidth=0)
        axis.plot(
            places, confused, style.line, color=style.colour, marker=style.marker, markersize=4.5, label=style.label
        )
    style_axis(axis, grid="y")
    axis.set_ylim(bottom=0)
    names = {line.number: line.point for line in lines}
    if len(names) <= _MOST_NAMES:
        axis.set_xticks(list(names), list(names.values()), rotation=90)
        axis.tick_params(axis="x", labelsize=7.5)
    axis.set_ylabel("nearer to another point (%)", fontsize=9, color=INK)
    figure.suptitle(model_name(lines[0].task, lines[0].variant), fontsize=10.5, x=0.01, ha="left", color=INK)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8, labelcolor=INK)
    save_figure(figure, files)
