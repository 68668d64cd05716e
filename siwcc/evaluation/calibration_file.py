"""`calibration.json`: what turns the confidence of trained networks into a probability, beside them.

A file of any origin may be read: nothing in it is used before it was checked. Not in `siwcc.evaluation.calibration`,
because `siwcc predict` reads the file where scikit-learn, which fits it, is not installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, model_validator

from siwcc.io.checksums import read_text, sealed_json, unsealed_json
from siwcc.io.errors import InputError
from siwcc.io.files import write_text
from siwcc.io.study_layout import CALIBRATION

MAX_KNOTS = 10_000

_MAX_BYTES = 1 << 20
_MAX_NAME = 50
_REMEDY = f"take a {CALIBRATION} that this version of siwcc wrote, or delete it and run again"

Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Knots = Annotated[tuple[Fraction, ...], Field(min_length=1, max_length=MAX_KNOTS)]
Name = Annotated[str, Field(min_length=1, max_length=_MAX_NAME)]


@dataclass(frozen=True)
class IsotonicMap:
    """From confidence to probability: straight between knots, level beyond the first and the last.

    Attributes:
        confidence: float64 (knots,), increasing, 0 ... 1.
        probability: float64 (knots,), never falling, 0 ... 1.
    """

    confidence: np.ndarray
    probability: np.ndarray

    def of(self, confidence: ArrayLike) -> np.ndarray:
        """The probability of each confidence, float64 of its shape."""
        return np.asarray(np.interp(np.asarray(confidence, dtype=np.float64), self.confidence, self.probability))


class Calibration(BaseModel):
    """A map from confidence to the probability that the error is within a limit, and where it comes from.

    Attributes:
        task, encoding, variant: Of the networks that it is for.
        limit, unit: What is probable: an error of at most this; pixels are those of the networks' square.
        inputs: What it was fitted on: `augmented` copies or `unaugmented` samples.
        balance: What a row of a record with n of them counted: n to the power of minus this.
        folds, seeds, records, rows: How much it was fitted on, all of it out of fold.
        predictions_sha256: Over the sums of the `predictions.csv`.
        confidence, probability: The knots, see `IsotonicMap`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: Name
    encoding: Name
    variant: Name
    limit: Annotated[FiniteFloat, Field(gt=0)]
    unit: Annotated[str, Field(pattern="^(s|px|voxel)$")]
    inputs: Annotated[str, Field(pattern="^(un)?augmented$")]
    balance: Fraction
    folds: PositiveInt
    seeds: PositiveInt
    records: PositiveInt
    rows: PositiveInt
    predictions_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    confidence: Knots
    probability: Knots

    @model_validator(mode="after")
    def _is_a_map(self) -> Calibration:
        if len(self.confidence) != len(self.probability):
            raise ValueError("confidence and probability have not as many knots")
        if any(later <= earlier for earlier, later in pairwise(self.confidence)):
            raise ValueError("the confidences do not increase")
        if any(later < earlier for earlier, later in pairwise(self.probability)):
            raise ValueError("the probability falls where the confidence grows")
        return self

    def of(self, confidence: ArrayLike) -> np.ndarray:
        """The probability that belongs to each confidence, float64 of its shape."""
        return IsotonicMap(np.array(self.confidence), np.array(self.probability)).of(confidence)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write the file in one step, sealed."""
    write_text(path, sealed_json(calibration.model_dump(mode="json")))


def load_calibration(path: str | Path) -> Calibration:
    """Read a `calibration.json` of any origin.

    Raises:
        InputError: missing, damaged, foreign, of another version, or no map that never falls.
    """
    path = Path(path)
    values = unsealed_json(path, read_text(path, _MAX_BYTES), _REMEDY)
    try:
        # From Python, strict wants tuples where JSON has lists.
        return Calibration.model_validate(
            {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "its knots"
        raise InputError(path, f"is no calibration: wrong at {place}: {first['msg']}", _REMEDY) from error
