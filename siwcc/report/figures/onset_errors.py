"""The false alarms and misses of the networks that are furthest off, each with the leads and the probability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from siwcc.data.curves import Curves
from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import DEFINITIONS, Candidate, reference_of
from siwcc.evaluation.onset_matching import FALSE_ALARM, FALSE_ALARM_TOLERANCE_S, judge
from siwcc.io.files import write_csv
from siwcc.report.figures.style import (
    BLUE,
    INK,
    ORANGE,
    VERMILION,
    FigureFiles,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)

MOST, OF_A_RECORD = 10, 2
COLUMNS = ("kind", "rank", "record", "time_s", "score", "rhythm")
ALARM, MISS = "false alarm", "missed onset"

_HALF_S = 10.0
_PANEL_IN = (3.6, 1.15)


class Case(NamedTuple):
    """A false alarm or a missed onset.

    Attributes:
        kind: `ALARM` or `MISS`.
        record: Its name.
        time_s: Of the candidate, or of the onset.
        score: Of the candidate, or the largest probability within 2.5 s of the onset.
        rhythm: The annotated rhythm at that time.
    """

    kind: str
    record: str
    time_s: float
    score: float
    rhythm: str


@placeholder_on_error
def plot_onset_errors(
    records: Sequence[RhythmRecord],
    candidates: Mapping[str, Sequence[Candidate]],
    curves: Curves,
    thresholds: Mapping[str, float],
    files: FigureFiles,
) -> None:
    """Draw the false alarms with the highest scores and the misses with the lowest probability, two of each record.

    Args:
        records: Of one data set.
        candidates: Of the networks, by record.
        curves: Their probabilities.
        thresholds: Least score of a candidate that counts, by record.
        files: The figures and the numbers in them.
    """
    cases = find_cases(records, candidates, curves, thresholds)
    alarms, misses = ([case for case in cases if case.kind == kind] for kind in (ALARM, MISS))
    ranked = [(rank, case) for part in (alarms, misses) for rank, case in enumerate(part, start=1)]
    write_csv(files.data, COLUMNS, [(case.kind, rank, *_cells(case)) for rank, case in ranked])
    columns = [part for part in (alarms, misses) if part] or [[]]
    rows = max(1, *map(len, columns))
    figure = new_figure(len(columns) * _PANEL_IN[0], rows * _PANEL_IN[1] + 0.5)
    axes = figure.subplots(rows, len(columns), squeeze=False)
    by_name = {record.name: record for record in records}
    for column, part in enumerate(columns):
        for axis in axes[len(part) :, column]:
            axis.set_axis_off()
        for axis, case in zip(axes[:, column], part, strict=False):
            _draw_case(axis, case, by_name[case.record], curves)
    text: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": INK}
    figure.legend(handles=_handles(), loc="outside lower left", ncols=2 * len(columns), **text)
    save_figure(figure, files)


def find_cases(
    records: Sequence[RhythmRecord],
    candidates: Mapping[str, Sequence[Candidate]],
    curves: Curves,
    thresholds: Mapping[str, float],
) -> list[Case]:
    """At most ten false alarms, the highest score first, then at most ten misses, the lowest probability first."""
    alarms, misses = [], []
    for record in records:
        reference = reference_of(record)
        found, least = candidates.get(record.name, ()), thresholds[record.name]
        judged = judge(reference, found, DEFINITIONS[0], FALSE_ALARM_TOLERANCE_S, least)
        for candidate in judged.unmatched(FALSE_ALARM):
            rhythm = _rhythm_at(record, candidate.onset_s)
            alarms.append(Case(ALARM, record.name, candidate.onset_s, candidate.score, rhythm))
        for onset, place in zip(judged.onsets, judged.candidate_of, strict=True):
            if place < 0:
                score = _largest_near(curves, record.name, onset.onset_s)
                misses.append(Case(MISS, record.name, onset.onset_s, score, onset.label))
    alarms.sort(key=lambda case: (-case.score, case.record, case.time_s))
    misses.sort(key=lambda case: (case.score, case.record, case.time_s))
    return [*_few_of_each(alarms), *_few_of_each(misses)]


def _few_of_each(cases: Iterable[Case]) -> list[Case]:
    taken: Counter[str] = Counter()
    chosen: list[Case] = []
    for case in cases:
        taken[case.record] += 1
        if taken[case.record] <= OF_A_RECORD and len(chosen) < MOST:
            chosen.append(case)
    return chosen


def _rhythm_at(record: RhythmRecord, time_s: float) -> str:
    place = int(np.searchsorted(record.changes, time_s * record.rate_hz, side="right")) - 1
    return record.labels[place] if place >= 0 else "not annotated"


def _largest_near(curves: Curves, record: str, time_s: float) -> float:
    first = max(0, round((time_s - FALSE_ALARM_TOLERANCE_S) / curves.step_s))
    stop = round((time_s + FALSE_ALARM_TOLERANCE_S) / curves.step_s) + 1
    return float(np.max(curves.by_record[record][first:stop], initial=0.0))


def _cells(case: Case) -> tuple[object, ...]:
    return case.record, f"{case.time_s:.3f}", f"{case.score:.6f}", case.rhythm


def _draw_case(axis: Axes, case: Case, record: RhythmRecord, curves: Curves) -> None:
    """Ten seconds to either side: leads above, probability below, both between 0 and 1 of the panel."""
    begin_s, end_s = case.time_s - _HALF_S, case.time_s + _HALF_S
    first, stop = (max(0, round(time_s * record.rate_hz)) for time_s in (begin_s, end_s))
    part = record.signal_mv[:, first:stop]
    times_s = np.arange(first, first + part.shape[1]) / record.rate_hz
    for episode in reference_of(record).episodes:
        if episode.end_s > begin_s and episode.onset_s < end_s:
            span = (max(episode.onset_s, begin_s), min(episode.end_s, end_s))
            axis.axvspan(*span, color=ORANGE, alpha=0.25, linewidth=0)
    height = 0.7 / len(part)
    for number, lead in enumerate(part):
        middle = 1 - height * (number + 0.5)
        axis.plot(times_s, _scaled(lead, middle, height), color=INK, linewidth=0.5)
    curve = curves.by_record[case.record]
    steps = np.arange(max(0, round(begin_s / curves.step_s)), min(len(curve), round(end_s / curves.step_s)))
    axis.plot(steps * curves.step_s, 0.25 * curve[steps], color=BLUE, linewidth=1.0)
    axis.axvline(case.time_s, color=VERMILION, linewidth=1.0, linestyle="--")
    style_axis(axis, "none")
    axis.set(xlim=(begin_s, end_s), ylim=(0, 1), yticks=[0, 0.25], yticklabels=["0", "1"])
    axis.xaxis.set_major_locator(MultipleLocator(5))
    axis.tick_params(labelsize=6)
    title = f"{case.kind}, record {case.record}, {case.time_s:.0f} s, {case.rhythm}, p = {case.score:.2f}"
    axis.set_title(title, fontsize=6.5, loc="left", color=INK, pad=2)


def _scaled(lead: np.ndarray, middle: float, height: float) -> np.ndarray:
    """A lead around a height of the panel, cut where it is more than three typical spans away."""
    if not np.isfinite(lead).any():
        return np.full(len(lead), np.nan)
    centred = lead - np.nanmedian(lead)
    span = float(np.nanpercentile(np.abs(centred), 99)) or 1.0
    return np.asarray(middle + 0.5 * height * np.clip(centred / span, -1, 1))


def _handles() -> list[Any]:
    return [
        Line2D([], [], color=INK, linewidth=0.8, label="leads"),
        Line2D([], [], color=BLUE, label="probability, 0 to 1"),
        Line2D([], [], color=VERMILION, linestyle="--", label="false alarm, or missed onset"),
        Patch(color=ORANGE, alpha=0.25, label="annotated episode; time in s"),
    ]
