"""What the page says of confidence: an arm after the other, its scores, its bins, and its worst predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siwcc.config import Config, shown_arm
from siwcc.evaluation.methods import AUGMENTED
from siwcc.evaluation.reliability_table import CalibrationScore, Reliability, ReliabilityBin
from siwcc.io.files import read_csv
from siwcc.io.study_layout import StudyLayout, figure_stem
from siwcc.report.figures.style import arm_style, model_name

# Target and prediction, x and y.
_MOST_COLUMNS_OF_WORST = 4
_ROWS = {True: "augmented copies", False: "original samples"}


@dataclass(frozen=True)
class ConfidenceArm:
    """An encoding and variant whose networks give a confidence.

    Attributes:
        task, arm, title: The task, the end of the names of its figures, and what it is called.
        scores: (which rows, raw or calibrated, the line of `calibration_scores.csv`).
        bins: (which rows, raw or calibrated, the lines of `calibration.csv`).
        worst: Lines of the worst predictions' CSV; empty where they are not drawn.
    """

    task: str
    arm: str
    title: str
    scores: Sequence[tuple[str, str, CalibrationScore]]
    bins: Sequence[tuple[str, str, Sequence[ReliabilityBin]]]
    worst: Sequence[dict[str, str]]

    @property
    def first(self) -> CalibrationScore:
        """A line, for limit and unit."""
        return self.scores[0][2]

    @property
    def prediction_columns_of_worst(self) -> list[str]:
        """Columns of `worst` with target and prediction, in the file's order; none of many points."""
        found = [name for name in (self.worst[0] if self.worst else ()) if name.startswith(("target", "prediction"))]
        return found if len(found) <= _MOST_COLUMNS_OF_WORST else []

    @property
    def confidence_column_of_worst(self) -> str:
        """The column of `worst` with the confidence, of many points that of the first."""
        return next((name for name in (self.worst[0] if self.worst else ()) if name.startswith("confidence")), "")


def confidence_arms(found: Reliability, layout: StudyLayout, config: Config) -> list[ConfidenceArm]:
    """Every arm that has a confidence, in the order of the tables.

    Args:
        found: Both tables.
        layout: The study's paths.
        config: The study's.
    """
    shown = shown_arm(config.encodings, config.variants)
    arms = []
    for task, encoding, variant in dict.fromkeys((one.task, one.encoding, one.variant) for one in found.scores):
        name = f"{task}_{encoding}_{variant}"
        scores = [one for one in found.scores if (one.task, one.encoding, one.variant) == (task, encoding, variant)]
        stem = figure_stem("worst", task=task, encoding=encoding, variant=variant)
        worst = layout.figure(stem, "csv")
        arms.append(
            ConfidenceArm(
                task=task,
                arm=name,
                title=f"{model_name(task, variant)}, {arm_style(encoding).label}",
                scores=[(_ROWS[one.inputs == AUGMENTED], one.kind, one) for one in scores],
                bins=[(_ROWS[one.inputs == AUGMENTED], one.kind, _bins_of(found, one)) for one in scores],
                worst=read_csv(worst, ()) if (encoding, variant) == shown and worst.is_file() else [],
            )
        )
    return arms


def _bins_of(found: Reliability, score: CalibrationScore) -> list[ReliabilityBin]:
    def view(line: CalibrationScore | ReliabilityBin) -> tuple[str, ...]:
        return (line.task, line.encoding, line.variant, line.inputs, line.kind)

    return [line for line in found.bins if view(line) == view(score)]
