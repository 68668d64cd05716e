"""Which predictions of `siwcc predict` are shown as such: by their confidence, and by the probability behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.config import MAP_VARIANTS
from siwcc.data.points import VISIBLE_FROM
from siwcc.evaluation.calibration_file import Calibration, load_calibration
from siwcc.io.console import note, warn
from siwcc.io.errors import InputError
from siwcc.io.study_layout import CALIBRATION

if TYPE_CHECKING:
    from siwcc.inference.predictor import Prediction, Predictor

NOT_FOUND = {"ecg": "no event found", "nuclei": "no point found"}
NOT_VISIBLE = "not visible"

_ELSEWHERE = "name another with --calibration"


@dataclass(frozen=True)
class Acceptance:
    """What a prediction must reach.

    Attributes:
        min_confidence: Least confidence, 0 ... 1; predictions without one pass.
        at_least: Least probability, 0 ... 1; above 0 only with a calibration.
        calibration: Of the networks; None where there is none.
        column: `within_1_s`, `within_10_percent` (of the side): what is probable; empty without a calibration.
        point: What the calibration is about: the first of several points; empty for a single one.
    """

    min_confidence: float = 0.0
    at_least: float = 0.0
    calibration: Calibration | None = None
    column: str = ""
    point: str = ""

    def probability(self, prediction: Prediction) -> float | None:
        """That the prediction is within the limit, 0 ... 1; None where it is not known."""
        if self.calibration is None or prediction.confidence is None or prediction.point != self.point:
            return None
        return float(self.calibration.of(prediction.confidence))

    def is_found(self, prediction: Prediction) -> bool:
        """Whether a prediction is shown: a signal, a point not predicted absent, and enough confidence."""
        start_s, end_s = prediction.window_s or (0.0, math.inf)
        if prediction.no_signal_s >= end_s - start_s - 1e-6 or is_absent(prediction):
            return False
        if prediction.confidence is not None and prediction.confidence < self.min_confidence:
            return False
        probability = self.probability(prediction)
        return probability is None or probability >= self.at_least


def is_absent(prediction: Prediction) -> bool:
    """Whether the networks say that the point is not visible."""
    return prediction.visible is not None and prediction.visible < VISIBLE_FROM


def not_found(prediction: Prediction, task: str) -> str:
    """What is in the place of a prediction that is not shown."""
    if is_absent(prediction):
        return NOT_VISIBLE
    return f"no {prediction.point} found" if prediction.point else NOT_FOUND[task]


def accept(
    predictor: Predictor, sources: Sequence[Path], named: Path | None, min_confidence: float, at_least: float
) -> Acceptance:
    """What the predictions of some networks must reach, with the calibration that was named or lies beside them.

    Args:
        predictor: The networks.
        sources: Files and folders that they come from, see `find_calibration`.
        named: A file that is used in place of what lies there.
        min_confidence: See `Acceptance`.
        at_least: See `Acceptance`.

    Raises:
        InputError: a calibration that is damaged or made for other networks, a probability without any, a confidence
            of networks that have none.
    """
    if min_confidence > 0 and not predictor.makes_map:
        problem = f"is {min_confidence:g}, and none of the models gives a confidence"
        raise InputError("--min-confidence", problem, f"leave it out, or take {', '.join(MAP_VARIANTS)} networks")
    path = named or (_beside(sources) if predictor.makes_map else None)
    if path is None:
        if at_least > 0:
            problem = f"is {at_least:g}, and no {CALIBRATION} lies beside the models that says what is probable"
            raise InputError("--at-least", problem, "name one with --calibration, or take --min-confidence")
        return Acceptance(min_confidence)
    calibration = load_calibration(path)
    _check_made_for(path, calibration, predictor)
    column = limit_column(calibration, predictor)
    note(
        f"{column}: probability by {path}, from {calibration.rows:,} predictions to "
        f"{calibration.records} {'records' if predictor.task == 'ecg' else 'slide images'} out of fold"
    )
    return Acceptance(min_confidence, at_least, calibration, column, next(iter(predictor.spec.points)))


def find_calibration(source: Path) -> Path | None:
    """The calibration that lies beside a model, in a folder of models, or in that of a study's encoding and variant."""
    folder = source if source.is_dir() else source.parent
    arm = folder.parent.parent if folder.name.startswith("seed") else folder
    return next((path for path in (folder / CALIBRATION, arm / CALIBRATION) if path.is_file()), None)


def limit_column(calibration: Calibration, predictor: Predictor) -> str:
    """`within_1_s`; of images, which are resized, the fraction of their longer side: `within_10_percent`."""
    if calibration.unit == "s":
        return f"within_{calibration.limit:g}_s"
    return f"within_{100 * calibration.limit / predictor.spec.shape[-1]:g}_percent"


def _beside(sources: Sequence[Path]) -> Path | None:
    every = [find_calibration(source) for source in sources]
    found = list(dict.fromkeys(path for path in every if path is not None))
    if not found:
        return None
    if len(found) > 1 or None in every:
        warn(f"{found[0]}: is not of all models that predict, and is not used; {_ELSEWHERE}")
        return None
    return found[0]


def _check_made_for(path: Path, calibration: Calibration, predictor: Predictor) -> None:
    wanted = (calibration.task, calibration.encoding, calibration.variant)
    for model in predictor.models:
        found = (model.key.task, model.key.encoding, model.key.variant)
        if found != wanted:
            problem = f"is made for networks {'/'.join(wanted)}, and {model.path} is {'/'.join(found)}"
            raise InputError(path, problem, f"{_ELSEWHERE}, or take it away")
    if calibration.unit != predictor.spec.unit:
        raise InputError(path, f"has a limit in {calibration.unit}, and the models predict in {predictor.spec.unit}")
