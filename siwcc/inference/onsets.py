"""The onsets that were found in a recording: numbers, a table, a figure, an annotation file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes
from siwcc.io.tables import six_decimals

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from siwcc.inference.signal_blocks import SignalBlocks

ANNOTATION_SUFFIX = ".siw"
MALIGNANT, OTHER = "(MAL", "(NONMAL"
"""Rhythms in an annotation file, as WFDB writes them: the one that was found, and any other."""

_MOST_ROWS = 20


@dataclass(frozen=True, repr=False)
class Onset:
    """The onset of a malignant rhythm that was found.

    Attributes:
        onset_s: When it begins, s from the recording's start.
        end_s: When it ends.
        probability: Calibrated probability that a true onset is within some seconds, see `Onsets.tolerance_s`; None
            for networks without a calibration.
        score: What the probability is computed from, 0 ... 1.
    """

    onset_s: float
    end_s: float
    probability: float | None
    score: float

    @property
    def rank(self) -> float:
        """What is compared with the threshold: the probability, or without one the score."""
        return self.score if self.probability is None else self.probability

    def __repr__(self) -> str:
        """One line: when it begins and ends, and its probability or score."""
        return f"Onset({self.onset_s:.2f} s, until {self.end_s:.2f} s, {self.words})"

    @property
    def words(self) -> str:
        """`p = 0.872`, or `score 0.872`."""
        return f"score {self.score:.3g}" if self.probability is None else f"p = {self.probability:.3g}"

    def to_dict(self) -> dict[str, Any]:
        """The numbers, six decimals: one row of the table."""
        return {
            "onset_s": six_decimals(self.onset_s),
            "end_s": six_decimals(self.end_s),
            "p_onset": six_decimals(self.probability),
            "score": six_decimals(self.score),
        }


class Onsets(list[Onset]):
    """The onsets in a recording in the order of time, as a list with a table, a figure and an annotation file.

    Args:
        found: All that was found, whatever its probability.
        threshold: Least probability (without a calibration: score) of an onset that is listed.
        source: The recording.
        curve: float64 (steps,), probability of a malignant rhythm at each step: calibrated, if the onsets' is.
        step_s: Time from one step to the next, s; the first is at 0.
        models: The networks' files.
        tolerance_s: What `Onset.probability` is of: a true onset within this, s; None without a calibration.
        silent_leads: Indices of leads without a signal, from 0, and whether each `is constant` or `has no values`.

    Attributes:
        below: What was found and is below the threshold, in the order of time.
        Others: The arguments.
    """

    def __init__(
        self,
        found: Iterable[Onset],
        threshold: float,
        source: SignalBlocks,
        curve: np.ndarray,
        step_s: float,
        models: tuple[Path, ...],
        tolerance_s: float | None,
        silent_leads: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        found = list(found)
        super().__init__(onset for onset in found if onset.rank >= threshold)
        self.below = [onset for onset in found if onset.rank < threshold]
        self.threshold, self.source, self.curve, self.step_s = threshold, source, curve, step_s
        self.models, self.tolerance_s, self.silent_leads = models, tolerance_s, dict(silent_leads)

    @property
    def duration_s(self) -> float:
        """Length of the recording, s."""
        return self.source.samples / self.source.rate_hz

    @property
    def threshold_words(self) -> str:
        """`p = 0.5`, or `score 0.5`."""
        return f"{'score' if self.tolerance_s is None else 'p ='} {self.threshold:.3g}"

    def __repr__(self) -> str:
        """One line: the number of onsets, and the first of them."""
        if not self:
            return f"Onsets(none from {self.threshold_words} in {self.duration_s:g} s)"
        return f"Onsets({len(self)} in {self.duration_s:g} s: {self[0]!r}{', ...' * (len(self) > 1)})"

    def _repr_html_(self) -> str:
        if not self:
            return f"<code>{escape(repr(self))}</code>"
        rows = [onset.to_dict() for onset in self[:_MOST_ROWS]]
        head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
        cells = [[f"<td>{'' if value is None else f'{value:.2f}'}</td>" for value in row.values()] for row in rows]
        body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
        more = f"<p>and {len(self) - _MOST_ROWS} more</p>" if len(self) > _MOST_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the curve and the signal, as JSON holds it."""
        return {
            "input": str(self.source.path),
            "duration_s": six_decimals(self.duration_s),
            "threshold": self.threshold,
            "models": [str(path) for path in self.models],
            "onsets": [onset.to_dict() for onset in self],
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row per onset, also of none: the columns of `Onset.to_dict`."""
        import pandas as pd

        columns = list(Onset(0.0, 0.0, None, 0.0).to_dict())
        return pd.DataFrame([onset.to_dict() for onset in self], columns=columns)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The probability over the whole recording, and a panel of 10 s to either side of each onset.

        Args:
            path: Also save it there: .png, .svg or .pdf.

        Raises:
            InputError: a file of another kind, or one that cannot be written.
        """
        from siwcc.inference.onset_figures import plot_onsets
        from siwcc.report.figures.style import save_figure_as

        figure = plot_onsets(self, [])
        if path is not None:
            save_figure_as(figure, Path(path))
        return figure

    def annotate(self, path: str | os.PathLike[str]) -> Path:
        """Write a WFDB annotation file with the beginning and the end of each episode.

        The annotations are changes of rhythm, symbol `+`: `(NONMAL` at the start, `(MAL` at each onset and `(NONMAL`
        at its end, unless another onset is before it. `num` of `(MAL` is its probability (or score) in percent. The
        file contains its time resolution, which is the sampling rate of the record.

        Args:
            path: The file, `<record>.siw`; or a folder, for `<record>.siw` in it.

        Returns:
            The file.

        Raises:
            InputError: a file that does not end in .siw, or one that cannot be written.
        """
        path = annotation_path(Path(path), self.source.path)
        write_bytes(path, self.annotation_bytes())
        return path

    def annotation_bytes(self) -> bytes:
        """The content of the file that `annotate` writes."""
        # wfdb brings pandas along.
        import wfdb

        rate_hz = self.source.annotation_hz
        last = max(0, round(self.duration_s * rate_hz) - 1)
        changes = {0: (OTHER, 0)}
        end = 0
        for onset, following in pairwise([*self, None]):
            assert onset is not None  # noqa: S101 - only the last is None
            begin = min(round(onset.onset_s * rate_hz), last)
            changes[begin] = (MALIGNANT, round(100 * onset.rank))
            # Another one may be found in a malignant rhythm; none ends where it begins.
            end = max(end, round(onset.end_s * rate_hz), begin + 1)
            if end < (last if following is None else min(round(following.onset_s * rate_hz), last)):
                changes[end] = (OTHER, 0)
        with TemporaryDirectory(prefix="siwcc-") as scratch:
            # Not under the record's name: wfdb refuses some that files may have.
            wfdb.wrann(
                "r",
                ANNOTATION_SUFFIX.removeprefix("."),
                np.array(list(changes), dtype=np.int64),
                symbol=["+"] * len(changes),
                aux_note=[label for label, _ in changes.values()],
                num=np.array([percent for _, percent in changes.values()], dtype=np.int64),
                fs=rate_hz,
                write_dir=scratch,
            )
            return Path(scratch, f"r{ANNOTATION_SUFFIX}").read_bytes()


def annotation_path(wanted: Path, source: Path) -> Path:
    """Where the annotations of a recording go.

    Args:
        wanted: A file that ends in .siw, or a folder, which need not exist.
        source: The recording.

    Raises:
        InputError: another file.
    """
    from siwcc.inference.inputs import name_of

    if wanted.suffix == ANNOTATION_SUFFIX and not wanted.is_dir():
        return wanted
    if wanted.is_dir() or (not wanted.suffix and not wanted.exists()):
        return wanted / f"{name_of(source)}{ANNOTATION_SUFFIX}"
    raise InputError(wanted, f"does not end in {ANNOTATION_SUFFIX}", f"name a folder, or a file *{ANNOTATION_SUFFIX}")
