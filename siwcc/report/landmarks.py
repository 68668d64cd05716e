"""Tables of tasks with many points, and their best methods in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siwcc.evaluation.landmarks import ERROR, LandmarkErrors, Landmarks, LandmarkTest
from siwcc.evaluation.methods import AUGMENTED, UNAUGMENTED
from siwcc.evaluation.record_tests import RecordTest, with_holm
from siwcc.report.errors import title_of
from siwcc.report.figures.style import PAPERS, Tasks, model_name
from siwcc.report.page import interval
from siwcc.report.wording import three

METRIC_NAMES = {ERROR: "mean error", "confused": "confused, %"}


@dataclass(frozen=True)
class LandmarkRow:
    """A method with its line."""

    name: str
    line: LandmarkErrors


@dataclass(frozen=True)
class LandmarkTable:
    """All methods of a task on one kind of inputs; methods with the smallest mean error are the best.

    Attributes:
        task, inputs: What it is about.
        networks, baselines: Its rows.
        tests: The comparisons of encodings on these inputs, by network and metric.
    """

    task: str
    inputs: str
    networks: Sequence[LandmarkRow]
    baselines: Sequence[LandmarkRow]
    tests: Sequence[tuple[str, Sequence[LandmarkTest]]]

    @property
    def first(self) -> LandmarkErrors:
        """A line, for counts and limits."""
        return [*self.networks, *self.baselines][0].line

    @property
    def best(self) -> Sequence[LandmarkRow]:
        """The best network and the best baseline, of those that there are."""
        kinds = (self.networks, self.baselines)
        return [min(rows, key=lambda row: row.line.mean) for rows in kinds if rows]

    @property
    def winner(self) -> LandmarkRow:
        """The best of all."""
        return min(self.best, key=lambda row: row.line.mean)

    @property
    def lost(self) -> bool:
        """Whether a baseline is better than every network."""
        return bool(self.networks) and not self.winner.line.variant

    @property
    def detects(self) -> bool:
        """Whether a method predicts the visibility."""
        return any(row.line.detected == row.line.detected for row in self.networks)


def landmark_tables(landmarks: Landmarks) -> list[LandmarkTable]:
    """The tables of each task: augmented copies, then original samples."""
    lines = landmarks.overall
    return [
        LandmarkTable(
            *place,
            networks=[_row(line) for line in own if line.variant],
            baselines=[_row(line) for line in own if not line.variant],
            tests=_tests([test for test in landmarks.tests if (test.task, test.inputs) == place]),
        )
        for task in dict.fromkeys(line.task for line in lines)
        for place in ((task, AUGMENTED), (task, UNAUGMENTED))
        if (own := [line for line in lines if (line.task, line.inputs) == place])
    ]


def _row(line: LandmarkErrors) -> LandmarkRow:
    return LandmarkRow(title_of(line.task, line.method, line.variant), line)


def _tests(tests: Sequence[LandmarkTest]) -> list[tuple[str, list[LandmarkTest]]]:
    found: dict[str, list[LandmarkTest]] = {}
    for test in sorted(tests, key=lambda test: test.variant):
        heading = f"{model_name(test.task, test.variant)}: {METRIC_NAMES[test.metric]}"
        found.setdefault(f"{heading}, {test.unit}" if test.metric == ERROR else heading, []).append(test)
    return list(found.items())


def tests_over_records(tests: Sequence[RecordTest], landmarks: Landmarks) -> Sequence[RecordTest]:
    """The tests that the page gives over records: of tasks with many points those of the error of all points together.

    Args:
        tests: Of `records.csv`, which are of the first point.
        landmarks: The tables of tasks with many points.
    """
    tasks = {line.task for line in landmarks.overall}
    if not tasks:
        return tests
    others: list[RecordTest] = [test for test in tests if test.task not in tasks]
    return with_holm([*others, *(test for test in landmarks.tests if test.metric == ERROR)])


def landmark_words(table: LandmarkTable, tasks: Tasks = PAPERS) -> str:
    """Error and confused points of the best network and the best baseline of a task, in words."""
    title = tasks[table.task].shown_title
    if not table.networks:
        return f"{title}: no network has been evaluated"
    said = [f"{_kind(row)} ({row.name}) {_numbers(row.line)}" for row in table.best]
    return f"{title}: {'; '.join(said)}"


def _kind(row: LandmarkRow) -> str:
    return "best network" if row.line.variant else "best baseline"


def _numbers(line: LandmarkErrors) -> str:
    ends = interval((line.mean_low, line.mean_high))
    confused = f"{three(100 * line.confused)} % of the points confused"
    return f"mean error {three(line.mean)} {line.unit} {ends}, {three(line.mean_percent)} % of the frame, {confused}"
