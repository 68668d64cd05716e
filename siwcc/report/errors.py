"""Tables of errors: networks, baselines and oracles in one table, then separately by record and by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siwcc.evaluation.baselines.registry import baseline_kind
from siwcc.evaluation.errors_table import Accuracy
from siwcc.evaluation.methods import ALL, AUGMENTED, ISOLATED, UNAUGMENTED
from siwcc.report.figures.style import PAPERS, Tasks, arm_style, model_name
from siwcc.report.wording import three

BASELINE_NOTES = {
    "training_mean": "always predicts the mean of its training targets",
    "centre": "always predicts the middle of the window or image",
    "intensity_centroid": "the centroid of the signal's intensity",
    "inverted_centroid": "the centroid of the inverted intensity: of silence or darkness",
    "zero_padding": "is given the lengths of the zero padding at both ends of the window, and nothing of the signal",
    "gap_oracle": "an oracle: is given the time since the previous event, and nothing of the signal",
    "change_point": "the one change point that splits the signal best; nothing is learnt",
    "otsu_centroid": "the centroid of the largest region darker than Otsu's threshold; nothing is learnt",
}
_PLAINEST = "training_mean"
_KINDS = ("network", "baseline", "oracle")
# More groups than this are summed up in a line for each method.
_MOST_STRATA = 60


def method_name(line: Accuracy) -> str:
    """The name of a method on the page."""
    return title_of(line.task, line.method, line.variant)


def title_of(task: str, method: str, variant: str) -> str:
    """The name of a network with its encoding, or of a baseline, whose variant is empty."""
    label = arm_style(method).label
    return f"{model_name(task, variant)}, {label}" if variant else label


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

    @property
    def r2(self) -> float:
        """R2 on the augmented copies; NaN where there are none."""
        return self.augmented.r2 if self.augmented else math.nan


def baseline_name(row: ErrorRow) -> str:
    """The name of a baseline in a sentence: `training-mean baseline`."""
    return f"{row.name.replace(' ', '-')} baseline"


@dataclass(frozen=True)
class ErrorTable:
    """The errors of a task on all samples or on isolated events.

    Attributes:
        task, subset: What it is about.
        networks, baselines, oracles: Its lines, in the order of `errors.csv`.
        point: Which of several points; empty for a single one.
    """

    task: str
    subset: str
    networks: Sequence[ErrorRow]
    baselines: Sequence[ErrorRow]
    oracles: Sequence[ErrorRow]
    point: str = ""

    @property
    def first(self) -> Accuracy:
        """A line, for unit and limits."""
        return [*self.networks, *self.baselines, *self.oracles][0].either


def error_tables(lines: Sequence[Accuracy]) -> list[ErrorTable]:
    """The tables of `errors.csv`, by task and point; all samples first, then the isolated events."""
    tables = []
    for task in dict.fromkeys(line.task for line in lines):
        for point in dict.fromkeys(line.point for line in lines if line.task == task):
            for subset in (ALL, ISOLATED):
                wanted = (task, point, subset)
                chosen = [line for line in lines if (line.task, line.point, line.subset) == wanted]
                if chosen:
                    networks, baselines, oracles = (
                        _rows([line for line in chosen if _kind(line) == kind]) for kind in _KINDS
                    )
                    tables.append(ErrorTable(task, subset, networks, baselines, oracles, point))
    return tables


def _kind(line: Accuracy) -> str:
    if line.variant:
        return _KINDS[0]
    return _KINDS[2] if baseline_kind(line.method) == "oracle" else _KINDS[1]


def _rows(lines: Sequence[Accuracy]) -> list[ErrorRow]:
    found: dict[tuple[str, str], dict[str, Accuracy]] = {}
    for line in lines:
        found.setdefault((line.variant, line.method), {})[line.inputs] = line
    return [
        ErrorRow(method_name(next(iter(by.values()))), by.get(AUGMENTED), by.get(UNAUGMENTED)) for by in found.values()
    ]


def visibility_sentences(table: ErrorTable) -> list[str]:
    """How well the networks predict whether a point is visible; empty where none predicts it."""
    lines = [(row.name, row.augmented) for row in table.networks if row.augmented]
    return [
        f"{name}, balanced accuracy of predicting the visibility: {three(100 * line.visibility_accuracy)} %."
        for name, line in lines
        if not math.isnan(line.visibility_accuracy)
    ]


# ------------------------------------------------------- by record and by class


@dataclass(frozen=True)
class StratumTable:
    """Errors on the augmented copies, one row per record or class, one column per method.

    Attributes:
        task, variant: The network; the training mean is next to it.
        by: `group`, `class` or `dataset`.
        methods: Heads of the columns.
        rows: (name, samples, the methods' lines), most samples first; empty for very many groups.
        summaries: For very many groups: (method, groups, smallest, quartiles and largest of their medians).
        unit: Of the errors.
        point: Which of several points; empty for a single one.
        group: What a group is called.
    """

    task: str
    variant: str
    by: str
    methods: Sequence[str]
    rows: Sequence[tuple[str, int, Sequence[Accuracy | None]]]
    summaries: Sequence[tuple[str, int, Sequence[float]]]
    unit: str
    point: str = ""
    group: str = "group"

    @property
    def head(self) -> str:
        """What the rows are."""
        return {"group": self.group, "class": "class", "dataset": "data set"}[self.by]

    @property
    def title(self) -> str:
        """What it shows."""
        of_point = f" of {self.point}" if self.point else ""
        return f"{model_name(self.task, self.variant)}: errors{of_point} by {self.head}"


def stratum_tables(lines: Sequence[Accuracy], tasks: Tasks = PAPERS) -> list[StratumTable]:
    """The tables of `errors_by_stratum.csv` on the augmented copies of all samples, by network.

    Args:
        lines: The table.
        tasks: The study's, for their words.
    """
    shown = [line for line in lines if (line.inputs, line.subset) == (AUGMENTED, ALL)]
    models = dict.fromkeys((line.task, line.variant) for line in shown if line.variant)
    return [
        _stratum_table(of_stratum, *model, by, tasks[model[0]].group)
        for model in models
        for point in dict.fromkeys(line.point for line in shown if line.task == model[0])
        for by in ("dataset", "group", "class")
        if (
            of_stratum := [
                line for line in shown if _belongs(line, *model) and (line.point, line.stratum_by) == (point, by)
            ]
        )
    ]


def _belongs(line: Accuracy, task: str, variant: str) -> bool:
    return line.task == task and (line.variant == variant or (not line.variant and line.method == _PLAINEST))


def _stratum_table(lines: Sequence[Accuracy], task: str, variant: str, by: str, group: str) -> StratumTable:
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
    return StratumTable(task, variant, by, heads, *shown, lines[0].unit, lines[0].point, group)


def _spread(lines: Sequence[Accuracy], baseline: bool, method: str) -> tuple[int, list[float]]:
    medians = [line.median for line in lines if (not line.variant, line.method) == (baseline, method)]
    return len(medians), np.percentile(medians, [0, 25, 50, 75, 100]).tolist()
