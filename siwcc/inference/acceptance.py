"""Which predictions of `siwcc predict` are shown as such: by their confidence, and by the probability behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from siwcc.config import MAP_VARIANTS
from siwcc.data.points import VISIBLE_FROM
from siwcc.io.console import note
from siwcc.io.errors import InputError
from siwcc.io.study_layout import CALIBRATION

if TYPE_CHECKING:
    from siwcc.inference.prediction import Prediction
    from siwcc.inference.predictor import Predictor

BELOW_THRESHOLD = "below the threshold"
NO_SIGNAL = "no signal"
NOT_VISIBLE = "not visible"


@dataclass(frozen=True)
class Acceptance:
    """What a prediction must reach.

    Attributes:
        min_confidence: Least confidence, 0 ... 1; predictions without one pass.
        at_least: Least probability, 0 ... 1; above 0 only with a calibration.
    """

    min_confidence: float = 0.0
    at_least: float = 0.0

    def is_found(self, prediction: Prediction) -> bool:
        """Whether a prediction is shown: a signal, a point not predicted absent, and enough confidence."""
        if prediction.is_empty or is_absent(prediction):
            return False
        if prediction.confidence is not None and prediction.confidence < self.min_confidence:
            return False
        return prediction.probability is None or prediction.probability >= self.at_least


def is_absent(prediction: Prediction) -> bool:
    """Whether the networks say that the point is not visible."""
    return prediction.visible is not None and prediction.visible < VISIBLE_FROM


def not_found(prediction: Prediction) -> str:
    """What is in the place of a prediction that is not shown."""
    if prediction.is_empty:
        return NO_SIGNAL
    return NOT_VISIBLE if is_absent(prediction) else BELOW_THRESHOLD


def accept(predictor: Predictor, min_confidence: float, at_least: float) -> Acceptance:
    """What the predictions of some networks must reach.

    Args:
        predictor: The networks.
        min_confidence: See `Acceptance`.
        at_least: See `Acceptance`.

    Raises:
        InputError: a probability without a calibration, or a confidence of networks that have none.
    """
    if min_confidence > 0 and not predictor.makes_map:
        problem = f"is {min_confidence:g}, and none of the models gives a confidence"
        raise InputError("--min-confidence", problem, f"leave it out, or take {', '.join(MAP_VARIANTS)} networks")
    if predictor.calibration is None and at_least > 0:
        problem = f"is {at_least:g}, and no {CALIBRATION} next to the models gives a probability"
        raise InputError("--at-least", problem, "name one with --calibration, or take --min-confidence")
    return Acceptance(min_confidence, at_least)


def note_calibration(predictor: Predictor) -> None:
    """Note which calibration gives the probability, where there is one."""
    calibration = predictor.calibration
    if calibration is not None:
        groups = f"{calibration.records} {'records' if predictor.kind == 'signal' else 'slide images'}"
        source = f"by {predictor.calibration_path}, from {calibration.rows:,} predictions for {groups} out of fold"
        note(f"{predictor.probability_name}: probability {source}")
