"""Tables of the errors on data sets that no network saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siwcc.evaluation.external_table import ENSEMBLE, External
from siwcc.report.errors import title_of


@dataclass(frozen=True)
class ExternalTable:
    """The errors on one data set.

    Attributes:
        task, dataset: What is predicted.
        methods: The networks of all folds together, and the baselines: name and line.
        networks: Those of each fold, by method: name and lines.
    """

    task: str
    dataset: str
    methods: Sequence[tuple[str, External]]
    networks: Sequence[tuple[str, Sequence[tuple[str, External]]]]

    @property
    def first(self) -> External:
        """A line, for counts and limits."""
        return self.methods[0][1]


def external_tables(lines: Sequence[External]) -> list[ExternalTable]:
    """One table for each task and data set, networks before baselines."""
    tables = []
    for task, dataset in dict.fromkeys((line.task, line.dataset) for line in lines):
        own = [line for line in lines if (line.task, line.dataset) == (task, dataset)]
        own.sort(key=lambda line: not line.variant)
        together = [(_title(line), line) for line in own if line.network in (ENSEMBLE, "")]
        of_folds: dict[str, list[tuple[str, External]]] = {}
        for line in own:
            if line.network not in (ENSEMBLE, ""):
                of_folds.setdefault(_title(line), []).append((line.network.replace("fold", "fold "), line))
        tables.append(ExternalTable(task, dataset, together, list(of_folds.items())))
    return tables


def _title(line: External) -> str:
    return title_of(line.task, line.method, line.variant)
