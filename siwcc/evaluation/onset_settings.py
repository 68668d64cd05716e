"""`onsets.json`: how the curve of some networks becomes onsets with a probability, and how they were measured.

A file of any origin may be read: nothing in it is used before it was checked.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
)

from siwcc.evaluation.rhythm_rises import RiseSettings
from siwcc.io.checksums import read_text, sealed_json, unsealed_json
from siwcc.io.errors import InputError
from siwcc.io.files import write_text

ONSETS = "onsets.json"
"""Name of the file, next to the networks that it is made for."""

_MAX_BYTES = 1 << 20
_MOST_ROWS = 100
_MAX_NAME = 50
MAX_COEFFICIENT = 1000.0
"""Of a map; a larger one is no map that was fitted to many rows."""
LEAST_SLOPE = 1e-4
"""Of a map: next to level, but candidates keep the order of their scores, so that a threshold can part them."""
# Probabilities of 0 and 1 have no logit.
_LEAST = 1e-6
_REMEDY = f"take an {ONSETS} that this version of siwcc wrote, or delete it and run again"

Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Seconds = Annotated[FiniteFloat, Field(ge=0, le=86_400)]
Name = Annotated[str, Field(min_length=1, max_length=_MAX_NAME)]
Coefficient = Annotated[FiniteFloat, Field(ge=-MAX_COEFFICIENT, le=MAX_COEFFICIENT)]


def logit(score: ArrayLike) -> np.ndarray:
    """The logit of each score, float64 of its shape; scores nearer to 0 or 1 than 1e-6 are moved there."""
    inside = np.clip(np.asarray(score, dtype=np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside / (1 - inside)))


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PlattMap(_Checked):
    """From a score to a probability: 1 / (1 + exp(-(a logit(score) + b))); see Platt (1999).

    Attributes:
        a: Slope, above 0: a higher score has a higher probability.
        b: Offset.
    """

    a: Annotated[FiniteFloat, Field(ge=LEAST_SLOPE, le=MAX_COEFFICIENT)]
    b: Coefficient

    def of(self, score: ArrayLike) -> np.ndarray:
        """The probability of each score, float64 of its shape."""
        return np.asarray(1 / (1 + np.exp(-(self.a * logit(score) + self.b))))


class _Curve(_Checked):
    """`RiseSettings` with bounds, as it is in JSON."""

    rise_s: Annotated[FiniteFloat, Field(gt=0, le=600)]
    gap_s: Annotated[FiniteFloat, Field(ge=0, le=60)]
    onset_weight: Fraction
    apart_s: Annotated[FiniteFloat, Field(gt=0, le=600)]
    least_score: Annotated[FiniteFloat, Field(gt=0, le=1)]
    end_level: Fraction


class Measured(_Checked):
    """What was measured on recordings that the networks had not seen, at the default threshold.

    Attributes:
        dataset: Its name.
        evaluation: Out of fold by subject, or on a data set that no network was trained on.
        records: Number of records.
        hours: Time outside of true episodes.
        onsets: True onsets.
        sensitivity: Fraction of them with an onset found within `OnsetSettings.tolerance_s`; None without any.
        false_alarms_per_hour: Found onsets without a true one, per hour outside of true episodes.
    """

    dataset: Name
    evaluation: Literal["out of fold", "external"]
    records: NonNegativeInt
    hours: NonNegativeFloat
    onsets: NonNegativeInt
    sensitivity: Fraction | None
    false_alarms_per_hour: Annotated[FiniteFloat, Field(ge=0)]


class OnsetSettings(_Checked):
    """How to use a folder of detectors.

    Attributes:
        curve: From the mean curve of the networks to candidates.
        threshold: Least calibrated probability of an onset that is reported by default.
        tolerance_s: What the probability is of: a true onset within this of the one found, s.
        score_map: From the score of a candidate to that probability.
        curve_map: From the curve to the probability of a malignant rhythm at a moment.
        measured: One row per data set.
        weights_sha256: Of the networks that this is made for, see `siwcc.training.checkpoint.weights_digest`.
    """

    curve: _Curve
    threshold: Fraction
    tolerance_s: Annotated[FiniteFloat, Field(gt=0, le=60)]
    score_map: PlattMap
    curve_map: PlattMap
    measured: Annotated[tuple[Measured, ...], Field(max_length=_MOST_ROWS)]
    weights_sha256: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...], Field(min_length=1, max_length=_MOST_ROWS)
    ]

    @property
    def curve_settings(self) -> RiseSettings:
        """`curve`, as `siwcc.evaluation.rhythm_rises.find_rises` takes it."""
        return RiseSettings(**self.curve.model_dump())

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that were measured."""
        return tuple(dict.fromkeys(row.dataset for row in self.measured))


def onset_settings(curve: RiseSettings, **others: Any) -> OnsetSettings:
    """Settings from the curve's and the other attributes of `OnsetSettings`.

    Raises:
        pydantic.ValidationError: a value out of its bounds.
    """
    return OnsetSettings(curve=_Curve(**asdict(curve)), **others)


def write_onset_settings(path: Path, settings: OnsetSettings) -> None:
    """Write the file in one step, sealed."""
    write_text(path, sealed_json(settings.model_dump(mode="json")))


def read_onset_settings(path: Path) -> OnsetSettings:
    """Read an `onsets.json` of any origin.

    Raises:
        InputError: missing, damaged, foreign, of another version, or a value out of its bounds.
    """
    values = unsealed_json(path, read_text(path, _MAX_BYTES), _REMEDY)
    try:
        # From JSON, strict takes lists as tuples.
        return OnsetSettings.model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "its values"
        raise InputError(path, f"is no {ONSETS}: wrong at {place}: {first['msg']}", _REMEDY) from error
