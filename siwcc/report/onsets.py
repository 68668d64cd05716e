"""The section of the report on onsets in whole recordings, and its figures, from the tables of the stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from siwcc.data.curves import read_curves
from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import DEFINITIONS, reference_of
from siwcc.evaluation.onset_calibration import CalibrationLine
from siwcc.evaluation.onset_matching import FALSE_ALARM_TOLERANCE_S
from siwcc.evaluation.onset_robustness_table import OnsetRobustness
from siwcc.evaluation.onset_tables import (
    FrocPoint,
    LabelLine,
    OnsetComparison,
    OnsetLine,
    RateLine,
    RecordLine,
    read_candidates,
    read_thresholds,
)
from siwcc.evaluation.onsets import ALL, TOLERANCES_S, WITHOUT_EPISODES
from siwcc.evaluation.study_files import NETWORK, ONSET_METHODS
from siwcc.io.tables import read_lines
from siwcc.report.figures.froc import DATASETS, plot_froc
from siwcc.report.figures.onset_errors import plot_onset_errors
from siwcc.report.figures.robustness import TITLES
from siwcc.report.figures.style import FigureFiles
from siwcc.report.study import Study
from siwcc.report.wording import DASH, p_words, three

COMPARED_PER_H = 5.0
"""False alarms per hour at which the page compares methods."""


@dataclass(frozen=True)
class OnsetRow:
    """One method on one data set.

    Attributes:
        name: Of the method, in words.
        found: At the default threshold, within 1, 2.5 and 5 s.
        at_rate: With at most `COMPARED_PER_H` false alarms per hour, within 2.5 s.
        comparison: The network against this method at that rate; None for the network itself.
    """

    name: str
    found: Sequence[OnsetLine]
    at_rate: RateLine | None
    comparison: OnsetComparison | None


@dataclass(frozen=True)
class OnsetTable:
    """All methods on one data set.

    Attributes:
        title: The data set's name, in words.
        is_external: Whether no network was trained on it.
        rows: The network first.
        quiet: The network on the records without episodes; None where every record has one, or none has.
        labels, records: Of the network, by rhythm label and by record.
        calibration: Of the probability of an onset, and of a moment.
        robustness: Of the networks in perturbed recordings; may be empty.
    """

    title: str
    is_external: bool
    rows: Sequence[OnsetRow]
    quiet: OnsetLine | None
    labels: Sequence[LabelLine]
    records: Sequence[RecordLine]
    calibration: dict[str, CalibrationLine]
    robustness: Sequence[tuple[str, OnsetRobustness]]

    @property
    def first(self) -> OnsetLine:
        """A line, for counts."""
        return self.rows[0].found[0]


def onset_tables(study: Study) -> list[OnsetTable]:
    """A table for each data set; none where the stage is not in the study, or not finished.

    Raises:
        InputError: a table is damaged.
    """
    onsets, table = study.config.onsets, study.layout.table
    if onsets is None or not all(path.is_file() for path in study.files.onset_tables()):
        return []
    lines = read_lines(table("onsets"), OnsetLine)
    rates = read_lines(table("onset_rates"), RateLine)
    tests = read_lines(table("onset_comparisons"), OnsetComparison)
    labels, records = read_lines(table("onsets_by_label"), LabelLine), read_lines(table("onsets_by_record"), RecordLine)
    calibration = read_lines(table("onset_calibration"), CalibrationLine)
    found = []
    for name in onsets.datasets:
        limits = [rate for rate in rates if rate.dataset == name and rate.limit_per_h == COMPARED_PER_H]
        compared = [test for test in tests if test.dataset == name and test.limit_per_h == COMPARED_PER_H]
        own = [line for line in lines if line.dataset == name and line.definition == DEFINITIONS[0]]
        found.append(
            OnsetTable(
                title=DATASETS.get(name, name),
                is_external=name in onsets.external,
                rows=[_row(method, own, limits, compared) for method in ONSET_METHODS],
                quiet=next((line for line in own if line.subset == WITHOUT_EPISODES and line.method == NETWORK), None),
                labels=[line for line in labels if (line.dataset, line.method) == (name, NETWORK)],
                records=[line for line in records if (line.dataset, line.method) == (name, NETWORK)],
                calibration={line.of: line for line in calibration if line.dataset == name},
                robustness=_robustness(study.layout.onset_robustness(name)),
            )
        )
    return found


def onset_sentence(table: OnsetTable) -> str:
    """What the networks find in a data set with few false alarms, in a sentence, next to the best baseline."""
    first, *others = [row for row in table.rows if row.at_rate is not None]
    best = max(others, key=lambda row: row.at_rate.sensitivity if row.at_rate else 0.0)
    test = best.comparison
    against = f" (p {p_words(test.p_two_sided)})" if test else ""
    return (
        f"{table.title}: {_percent(first)} of the onsets within {FALSE_ALARM_TOLERANCE_S:g} s at "
        f"{COMPARED_PER_H:g} false alarms per hour; best baseline, {best.name}: {_percent(best)}{against}."
    )


def _percent(row: OnsetRow) -> str:
    rate = row.at_rate
    if rate is None:
        return DASH
    low, high = three(100 * rate.sensitivity_low), three(100 * rate.sensitivity_high)
    return f"{three(100 * rate.sensitivity)} % [{low}, {high}]"


def _row(
    method: str, lines: Sequence[OnsetLine], rates: Sequence[RateLine], tests: Sequence[OnsetComparison]
) -> OnsetRow:
    found = [line for line in lines if line.method == method and line.subset == ALL]
    of_method = [rate for rate in rates if rate.method == method and rate.tolerance_s == FALSE_ALARM_TOLERANCE_S]
    return OnsetRow(
        name=method.replace("_", " "),
        found=[line for tolerance_s in TOLERANCES_S for line in found if line.tolerance_s == tolerance_s],
        at_rate=next(iter(of_method), None),
        comparison=next((test for test in tests if test.control == method), None),
    )


def _robustness(path: Path) -> list[tuple[str, OnsetRobustness]]:
    """What each line is of, in words, and the line."""
    lines = read_lines(path, OnsetRobustness) if path.is_file() else []
    return [(f"{TITLES['s', line.perturbation]}, {_strength(line)}", line) for line in lines]


def _strength(line: OnsetRobustness) -> str:
    """With its unit, where it is a number."""
    return f"{line.level} {line.unit}" if line.level == f"{line.strength:g}" else line.level


def draw_froc(froc_path: Path, onsets_path: Path, files: FigureFiles) -> None:
    """Draw `froc.csv`, with the default thresholds.

    Raises:
        InputError: a table is missing or damaged.
    """
    kind = (ALL, DEFINITIONS[0], FALSE_ALARM_TOLERANCE_S)
    lines = read_lines(onsets_path, OnsetLine)
    defaults = [line for line in lines if (line.subset, line.definition, line.tolerance_s) == kind]
    plot_froc(read_lines(froc_path, FrocPoint), defaults, [NETWORK], files)


def draw_onset_errors(
    dataset: str,
    records: Sequence[RhythmRecord],
    candidates_path: Path,
    curves_path: Path,
    by_record_path: Path,
    files: FigureFiles,
) -> None:
    """Draw the false alarms and misses of the networks in a data set that are furthest off.

    Raises:
        InputError: a file is missing or damaged.
    """
    candidates = read_candidates(candidates_path, [reference_of(record) for record in records])
    thresholds = read_thresholds(by_record_path, NETWORK, dataset, [record.name for record in records])
    plot_onset_errors(records, candidates, read_curves(curves_path), thresholds, files)
