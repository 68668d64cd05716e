"""Points that are looked for at once: what their outputs are called, and which of them a row contains.

A target is NaN exactly where its point is not visible, all axes of it together. numpy is imported where it is used:
the names are read at each start of Snakemake.

| points | one axis | images |
|---|---|---|
| one | `""` | `_x`, `_y` |
| several | `_onset`, `_end` | `_nucleus_x`, `_nucleus_y`, `_cytoplasm_x`, `_cytoplasm_y` |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_AXES = ("_x", "_y", "_z")
VISIBLE_FROM = 0.5
"""A point is predicted visible if at least this fraction of its heatmap is inside the window or image."""


def output_suffixes(points: Sequence[str], axes: int) -> tuple[str, ...]:
    """Suffixes of the outputs, point by point, x before y; a single point is not named.

    Args:
        points: Names, at least one.
        axes: Of the signal.
    """
    names = [f"_{name}" for name in points] if len(points) > 1 else [""]
    ends = _AXES[:axes] if axes > 1 else ("",)
    return tuple(f"{name}{end}" for name in names for end in ends)


def points_of(suffixes: Sequence[str]) -> dict[str, list[int]]:
    """Which outputs each point has, by its name, in their order; a single point's name is empty.

    Args:
        suffixes: As `output_suffixes` makes them.
    """
    outputs: dict[str, list[int]] = {}
    for number, suffix in enumerate(suffixes):
        name = suffix[:-2] if suffix.endswith(_AXES) else suffix
        outputs.setdefault(name.removeprefix("_"), []).append(number)
    return outputs


def visible_points(target: np.ndarray, points: int) -> np.ndarray:
    """Which points are there, bool (rows, points).

    Args:
        target: (rows, outputs), NaN where a point is not visible.
        points: How many there are; each has as many outputs.
    """
    import numpy as np

    return np.asarray(np.isfinite(target.reshape(len(target), points, -1)).all(axis=2))


def hide(target: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The targets, NaN where a point is not visible, float64 (rows, outputs).

    Args:
        target: float64 (rows, outputs).
        visible: bool (rows, points).
    """
    import numpy as np

    return np.where(np.repeat(visible, target.shape[1] // visible.shape[1], axis=1), target, np.nan)
