"""What a model predicts for a window of a recording or for an image: numbers, a table, a figure."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from siwcc.io.tables import six_decimals

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from siwcc.inference.inputs import SignalFile

# Of the window's length: nearer to an end than this, the event may lie outside of the window.
_EDGE = 0.025
_MOST_ROWS = 20
_FEW_NAMED = 1


@dataclass(frozen=True)
class Spread:
    """How far the predictions of several networks lie apart, along each axis.

    Attributes:
        lowest, highest: (axes,), as `Prediction.position`.
        sd: (axes,), standard deviation with n - 1, seconds or pixels.
    """

    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    sd: tuple[float, ...]


@dataclass(frozen=True)
class Heatmap:
    """Where the networks look for the point: fractions that sum to 1, their mean over the networks.

    Attributes:
        values: float32 (places,) along time, or (rows, columns).
        first: Coordinate of the first place, x first: seconds of the recording, or pixels of the image.
        step: From one place to the next, in the same units.
    """

    values: np.ndarray
    first: tuple[float, ...]
    step: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class Prediction:
    """The prediction for one window or image.

    Attributes:
        position: (seconds from the recording's start,), or (x, y) in pixels of the image as it was given, pixel centres
            at integers. Of several networks: see `siwcc.inference.predictor`.
        unit: `s` or `px`.
        confidence: Fraction of the mean map that lies within 5 % of the extent of the position, 0 ... 1; None where no
            network makes a map.
        spread: None for a single network.
        network_positions: float64 (networks, axes), the position that each network predicts.
        confidences: float64 (networks,), each one's confidence in its own prediction; NaN without a map.
        models: The networks' files, in the order of `network_positions`.
        window_s: Start and end of the window in the recording, seconds; None for an image.
        no_signal_s: Seconds of the window without a signal, beyond the recording's end or missing in it; the network
            was given zeros there.
        heatmap: None where no network makes one.
        point: Which of several points this is; empty for networks that look for one.
        visible: Probability that the point is visible, the mean over the networks; None where none predicts it.
        probability: Calibrated probability that the error is within a limit, given that there is an event or cell;
            None without a calibration.
        probability_name: `p_within_1s_given_event`, `p_within_10_percent` (of the longer side); empty without one.
        further: The other points of the same window or image, each with all of the above.
        source: The recording or image, uint8 (height, width, 3), RGB, for `plot`; None where it was not kept.
    """

    position: tuple[float, ...]
    unit: str
    confidence: float | None
    spread: Spread | None
    network_positions: np.ndarray
    confidences: np.ndarray
    models: tuple[Path, ...]
    window_s: tuple[float, float] | None = None
    no_signal_s: float = 0.0
    heatmap: Heatmap | None = None
    point: str = ""
    visible: float | None = None
    probability: float | None = None
    probability_name: str = ""
    further: tuple[Prediction, ...] = ()
    source: SignalFile | np.ndarray | None = field(default=None, compare=False)

    @property
    def points(self) -> tuple[Prediction, ...]:
        """This point and the further ones."""
        return (self, *self.further)

    @property
    def is_empty(self) -> bool:
        """Whether the window has no signal at all, so that the position means nothing."""
        start_s, end_s = self.window_s or (0.0, math.inf)
        return self.no_signal_s >= end_s - start_s - 1e-6

    @property
    def at_window_edge(self) -> bool:
        """Whether the position is at an end of the window, so that the event may lie outside of it."""
        if self.window_s is None:
            return False
        start_s, end_s = self.window_s
        return min(self.position[0] - start_s, end_s - self.position[0]) < _EDGE * (end_s - start_s)

    def __repr__(self) -> str:
        """One line: position, confidence, probability and number of networks."""
        if self.window_s is not None and self.is_empty:
            start_s, end_s = self.window_s
            return f"Prediction(no signal from {start_s:.2f} to {end_s:.2f} s)"
        digits = 2 if self.unit == "s" else 1
        place = ", ".join(f"{value:.{digits}f}" for value in self.position)
        parts = [f"{place} {self.unit}" if len(self.position) == 1 else f"({place}) {self.unit}"]
        if self.point:
            parts.insert(0, self.point)
        if self.confidence is not None:
            parts.append(f"confidence {self.confidence:.2f}")
        if self.probability is not None:
            parts.append(f"{self.probability_name} {self.probability:.2f}")
        if self.at_window_edge:
            parts.append("at the window's edge")
        parts.append(f"{len(self.models)} network{'s' * (len(self.models) > 1)}")
        few = len(self.further) <= _FEW_NAMED
        parts += [f"and {point.point}" for point in self.further] if few else [f"and {len(self.further)} other points"]
        return f"Prediction({', '.join(parts)})"

    def _repr_html_(self) -> str:
        return Predictions([self])._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """The numbers of this point, six decimals: one row of the table, without the heatmap and further points."""
        row: dict[str, Any] = {}
        if self.window_s is not None:
            row |= dict(zip(("window_start_s", "window_end_s"), map(six_decimals, self.window_s), strict=True))
        if self.point:
            row["point"] = self.point
        for number, name in enumerate(self.position_names):
            stem = name.removesuffix(self.unit).removeprefix("prediction_")
            row[name] = six_decimals(self.position[number])
            for part in ("lowest", "highest", "sd"):
                value = None if self.spread is None else six_decimals(getattr(self.spread, part)[number])
                row[f"{stem}{part}_{self.unit}"] = value
        row["confidence"] = six_decimals(self.confidence)
        if self.probability_name:
            row[self.probability_name] = six_decimals(self.probability)
        if self.visible is not None:
            row["visible"] = six_decimals(self.visible)
        row["models"] = len(self.models)
        if self.window_s is not None:
            row |= {"no_signal_s": six_decimals(self.no_signal_s), "at_window_edge": self.at_window_edge}
        return row

    @property
    def position_names(self) -> tuple[str, ...]:
        """Names of the position's columns: `prediction_s`, or `x_px` and `y_px`."""
        return (f"prediction_{self.unit}",) if len(self.position) == 1 else (f"x_{self.unit}", f"y_{self.unit}")

    def to_dataframe(self) -> pd.DataFrame:
        """One row per point, as `to_dict` gives it."""
        return Predictions([self]).to_dataframe()

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The window or image with the prediction, the heatmap and the predictions of the single networks.

        Args:
            path: Also save it there: .png, .svg or .pdf.

        Raises:
            ValueError: the recording or image was not kept.
            InputError: a file of another kind, or one that cannot be written.
        """
        return Predictions([self]).plot(path)


class Predictions(list[Prediction]):
    """Predictions for the windows of a recording, or for several images, as a list with a table and a figure."""

    def __repr__(self) -> str:
        """The number of predictions, and the first of them."""
        return f"Predictions({len(self)}: {self[0]!r}{', ...' * (len(self) > 1)})" if self else "Predictions(none)"

    def _repr_html_(self) -> str:
        rows = self.to_dicts()
        names = list(dict.fromkeys(name for row in rows for name in row))
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(_shown(row.get(name)))}</td>' for name in names)}</tr>"
            for row in rows[:_MOST_ROWS]
        )
        more = f"<p>and {len(rows) - _MOST_ROWS} more</p>" if len(rows) > _MOST_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary per window or image and point."""
        return [point.to_dict() for prediction in self for point in prediction.points]

    def to_dataframe(self) -> pd.DataFrame:
        """One row per window or image and point."""
        import pandas as pd

        return pd.DataFrame(self.to_dicts())

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """One panel per window, or the recording at a glance if there are many; of images one panel each.

        Args:
            path: Also save it there: .png, .svg or .pdf.

        Raises:
            ValueError: there is nothing to draw, or the recording or images were not kept.
            InputError: a file of another kind, or one that cannot be written.
        """
        from siwcc.inference.figures import plot_predictions
        from siwcc.report.figures.style import save_figure_as

        figure = plot_predictions(self)
        if path is not None:
            save_figure_as(figure, Path(path))
        return figure


def probability_words(name: str) -> str:
    """`p(within 10 %)` for `p_within_10_percent`, `p(within 1s | event)` for `p_within_1s_given_event`."""
    words = name.removeprefix("p_").replace("_percent", " %").replace("_given_", " | ").replace("_", " ")
    return f"p({words})"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return "" if value is None else str(value)
