"""Tables of errors: networks and baselines side by side, then apart by record and by class."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from siwcc.evaluation.errors_table import Accuracy
from siwcc.evaluation.methods import ALL, AUGMENTED, ISOLATED, UNAUGMENTED
from siwcc.report.figures.style import GROUPS, arm_style, model_name
from siwcc.report.wording import capital

BASELINE_NOTES = {
    "training_mean": "always predicts the mean of its training targets",
    "centre": "always predicts the middle of the window or image",
    "intensity_centroid": "the centroid of the signal's intensity",
    "inverted_centroid": "the centroid of what is quiet or dark",
    "zero_padding": "knows the lengths of the padding at both ends of the window, and nothing of the signal",
    "gap_oracle": "knows the time since the event before, and nothing of the signal",
    "change_point": "the one change point that splits the signal best; nothing is learnt",
    "otsu_centroid": "the centroid of the largest region darker than Otsu's threshold; nothing is learnt",
}
_PLAINEST = "training_mean"
# More groups than this are summed up in a line for each method.
_MOST_STRATA = 60


def method_name(line: Accuracy) -> str:
    """What a method is called on the page."""
    label = arm_style(line.method).label
    return f"{model_name(line.task, line.variant)}, {label}" if line.variant else label


# -------------------------------------------------------- all samples together


@dataclass(frozen=True)
class ErrorRow:
    """One method on the augmented copies and on the original samples."""

    name: str
    augmented: Accuracy | None
    unaugmented: Accuracy | None

    @property
    def either(self) -> Accuracy:
        """One of the two; there is always one."""
        line = self.augmented or self.unaugmented
        assert line is not None  # noqa: S101 - narrows the type
        return line


@dataclass(frozen=True)
class ErrorTable:
    """The errors of a task on all samples or on isolated events.

    Attributes:
        task, subset: What it is about.
        networks, baselines: Its lines, in the order of `errors.csv`.
        point: Which of several points; empty for a single one.
    """

    task: str
    subset: str
    networks: Sequence[ErrorRow]
    baselines: Sequence[ErrorRow]
    point: str = ""

    @property
    def first(self) -> Accuracy:
        """A line, for unit and limits."""
        return [*self.networks, *self.baselines][0].either


def error_tables(lines: Sequence[Accuracy]) -> list[ErrorTable]:
    """The tables of `errors.csv`, by task and point; all samples first, then the isolated events."""
    tables = []
    for task in dict.fromkeys(line.task for line in lines):
        for point in dict.fromkeys(line.point for line in lines if line.task == task):
            for subset in (ALL, ISOLATED):
                wanted = (task, point, subset)
                chosen = [line for line in lines if (line.task, line.point, line.subset) == wanted]
                if chosen:
                    networks, baselines = (
                        _rows([line for line in chosen if bool(line.variant) is kind]) for kind in (True, False)
                    )
                    tables.append(ErrorTable(task, subset, networks, baselines, point))
    return tables


def _rows(lines: Sequence[Accuracy]) -> list[ErrorRow]:
    found: dict[tuple[str, str], dict[str, Accuracy]] = {}
    for line in lines:
        found.setdefault((line.variant, line.method), {})[line.inputs] = line
    return [
        ErrorRow(method_name(next(iter(by.values()))), by.get(AUGMENTED), by.get(UNAUGMENTED)) for by in found.values()
    ]


def best_sentences(table: ErrorTable) -> Iterator[str]:
    """The network with the smallest median error beside the training mean and the best baseline."""
    networks = [row for row in table.networks if row.augmented]
    baselines = {row.augmented.method: row for row in table.baselines if row.augmented}
    if not networks:
        return
    best = min(networks, key=_median)
    unit = best.either.unit
    yield f"Smallest median error on augmented copies: of the networks {best.name}, {_median(best):.2f} {unit}."
    if table.point:
        yield from _told_sentences(table)
    yield from _count_below(networks, baselines)


def _told_sentences(table: ErrorTable) -> Iterator[str]:
    for row in table.networks:
        line = row.augmented
        if line is not None and not math.isnan(line.visibility_accuracy):
            accuracy = f"{100 * line.visibility_accuracy:.1f} %"
            yield f"Balanced accuracy of predicting whether the point is visible, {row.name}: {accuracy}."


def _count_below(networks: Sequence[ErrorRow], baselines: Mapping[str, ErrorRow]) -> Iterator[str]:
    if not baselines:
        return
    leader = min(baselines.values(), key=_median)
    shown = {f"of the baselines {leader.name}": leader}
    if _PLAINEST in baselines and baselines[_PLAINEST] is not leader:
        shown[f"the {baselines[_PLAINEST].name}"] = baselines[_PLAINEST]
    for title, row in shown.items():
        below = sum(_median(network) < _median(row) for network in networks)
        yield f"{capital(title)}: {_median(row):.2f} {row.either.unit}; below that {below} of {len(networks)} networks."


def _median(row: ErrorRow) -> float:
    assert row.augmented is not None  # noqa: S101 - narrows the type
    return row.augmented.median


# ------------------------------------------------------- by record and by class


@dataclass(frozen=True)
class StratumTable:
    """Errors on the augmented copies, one row per record or class, one column per method.

    Attributes:
        task, variant: The network; the training mean is next to it.
        by: `group` or `class`.
        methods: Heads of the columns.
        rows: (name, samples, the methods' lines), most samples first; empty for very many groups.
        summaries: For very many groups: (method, groups, smallest, quartiles and largest of their medians).
        unit: Of the errors.
        point: Which of several points; empty for a single one.
    """

    task: str
    variant: str
    by: str
    methods: Sequence[str]
    rows: Sequence[tuple[str, int, Sequence[Accuracy | None]]]
    summaries: Sequence[tuple[str, int, Sequence[float]]]
    unit: str
    point: str = ""

    @property
    def title(self) -> str:
        """What it shows."""
        named = GROUPS[self.task][0] if self.by == "group" else "class"
        of_point = f" of {self.point}" if self.point else ""
        return f"{model_name(self.task, self.variant)}: errors{of_point} by {named}"


def stratum_tables(lines: Sequence[Accuracy]) -> list[StratumTable]:
    """The tables of `errors_by_stratum.csv` on the augmented copies of all samples, by network."""
    shown = [line for line in lines if (line.inputs, line.subset) == (AUGMENTED, ALL)]
    models = dict.fromkeys((line.task, line.variant) for line in shown if line.variant)
    return [
        _stratum_table([line for line in chosen if line.stratum_by == by], *model, by)
        for model in models
        for point in dict.fromkeys(line.point for line in shown if line.task == model[0])
        for by in ("group", "class")
        if (chosen := [line for line in shown if _belongs(line, *model) and line.point == point])
    ]


def _belongs(line: Accuracy, task: str, variant: str) -> bool:
    return line.task == task and (line.variant == variant or (not line.variant and line.method == _PLAINEST))


def _stratum_table(lines: Sequence[Accuracy], task: str, variant: str, by: str) -> StratumTable:
    # Networks first: the baseline is what they are compared with.
    methods = sorted(dict.fromkeys((not line.variant, line.method) for line in lines))
    cells = {(line.stratum, not line.variant, line.method): line for line in lines}
    samples = {line.stratum: line.samples for line in lines}
    ordered = sorted(samples, key=lambda name: (-samples[name], name))
    heads = [f"{arm_style(name).label}{' (baseline)' if baseline else ''}" for baseline, name in methods]
    many = len(ordered) > _MOST_STRATA
    rows = [(name, samples[name], [cells.get((name, *method)) for method in methods]) for name in ordered]
    spread = [(head, *_spread(lines, *method)) for head, method in zip(heads, methods, strict=True)]
    shown = ([] if many else rows, spread if many else [])
    return StratumTable(task, variant, by, heads, *shown, lines[0].unit, lines[0].point)


def _spread(lines: Sequence[Accuracy], baseline: bool, method: str) -> tuple[int, list[float]]:
    medians = [line.median for line in lines if (not line.variant, line.method) == (baseline, method)]
    return len(medians), np.percentile(medians, [0, 25, 50, 75, 100]).tolist()
