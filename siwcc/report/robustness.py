"""Tables of the predictions for perturbed samples: one for each network and encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from siwcc.evaluation.robustness_table import Robustness
from siwcc.report.figures.robustness import TITLES
from siwcc.report.figures.style import arm_style, model_name


@dataclass(frozen=True)
class RobustnessTable:
    """The predictions of one network and encoding.

    Attributes:
        task, title: Whose.
        perturbations: What each is called, with its unit, and its lines.
    """

    task: str
    title: str
    perturbations: Sequence[tuple[str, Sequence[Robustness]]]

    @property
    def first(self) -> Robustness:
        """A line, for limits and counts."""
        return self.perturbations[0][1][0]


def robustness_tables(lines: Sequence[Robustness]) -> list[RobustnessTable]:
    """Tables of the lines of one task, in their order.

    Args:
        lines: Those of one arm stand together, and in it those of one perturbation.
    """
    tables = []
    for (task, variant, encoding), arm in groupby(lines, key=lambda line: (line.task, line.variant, line.encoding)):
        parts = [(name, list(of_name)) for name, of_name in groupby(arm, key=lambda line: line.perturbation)]
        named = [(_heading(task, name, of_name[0].unit), of_name) for name, of_name in parts]
        tables.append(RobustnessTable(task, f"{model_name(task, variant)}, {arm_style(encoding).label}", named))
    return tables


def _heading(task: str, name: str, unit: str) -> str:
    return f"{TITLES.get((task, name), name)}, {unit}"
