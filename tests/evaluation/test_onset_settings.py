"""`onsets.json`: what was written comes back, probabilities by hand, and nothing else gets in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from refusals import refused

from siwcc.evaluation.onset_settings import (
    ONSETS,
    Measured,
    OnsetSettings,
    PlattMap,
    onset_settings,
    read_onset_settings,
    write_onset_settings,
)
from siwcc.evaluation.rhythm_rises import RiseSettings
from siwcc.io.checksums import sealed_json

CURVE = RiseSettings(rise_s=2.0, gap_s=0.5, onset_weight=0.4, apart_s=1.5, least_score=0.1, end_level=0.2)


def settings(**others: Any) -> OnsetSettings:
    row = {"dataset": "made", "records": 2, "hours": 1.5, "onsets": 4, "sensitivity": 0.5}
    values: dict[str, Any] = {
        "threshold": 0.4,
        "tolerance_s": 2.5,
        "score_map": PlattMap(a=2.0, b=-1.0),
        "curve_map": PlattMap(a=1.0, b=0.0),
        "measured": (
            Measured(evaluation="out of fold", false_alarms_per_hour=1.25, **row),
            Measured(evaluation="external", false_alarms_per_hour=0.0, **{**row, "onsets": 0, "sensitivity": None}),
        ),
        "weights_sha256": ("0" * 64, "f" * 64),
    }
    return onset_settings(CURVE, **{**values, **others})


def test_settings_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / ONSETS
    write_onset_settings(path, settings())
    read = read_onset_settings(path)
    assert read == settings()
    assert read.curve_settings == CURVE
    assert read.datasets == ("made",)
    assert [row.sensitivity for row in read.measured] == [0.5, None]


def test_a_probability_by_hand() -> None:
    # logit(0.9) = ln 9, so exp(2 ln 9 - 1) = 81 / e.
    found = PlattMap(a=2.0, b=-1.0).of([0.5, 0.9, 0.1])
    np.testing.assert_allclose(found, [1 / (1 + math.e), 81 / (81 + math.e), 1 / (1 + 81 * math.e)], rtol=1e-12)
    np.testing.assert_allclose(PlattMap(a=1.0, b=0.0).of([0.2, 0.7]), [0.2, 0.7], rtol=1e-12)
    # The ends have no logit: they count as 1e-6 from them.
    np.testing.assert_allclose(PlattMap(a=1.0, b=0.0).of([0.0, 1.0]), [1e-6, 1 - 1e-6], rtol=1e-9)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("threshold",), 1.5, "threshold"),
        (("threshold",), "0.5", "threshold"),
        (("tolerance_s",), 0.0, "tolerance_s"),
        (("score_map", "a"), -1.0, "score_map.a"),
        (("score_map", "a"), 0.0, "score_map.a"),
        (("curve", "rise_s"), 0.0, "curve.rise_s"),
        (("curve", "gap_s"), -1.0, "curve.gap_s"),
        (("curve", "onset_weight"), 1.1, "curve.onset_weight"),
        (("measured", 0, "evaluation"), "in fold", "measured.0.evaluation"),
        (("measured", 0, "false_alarms_per_hour"), -2.0, "measured.0.false_alarms_per_hour"),
        (("weights_sha256",), [], "weights_sha256"),
        (("weights_sha256", 0), "zero", "weights_sha256.0"),
        (("unknown",), 1, "unknown"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(tmp_path: Path, path: tuple, value: object, place: str) -> None:
    values = settings().model_dump(mode="json")
    inner: Any = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file = tmp_path / ONSETS
    file.write_text(sealed_json(values))
    with refused(file, f"wrong at {place}:"):
        read_onset_settings(file)


def test_damage_is_found(tmp_path: Path) -> None:
    file = tmp_path / ONSETS
    write_onset_settings(file, settings())
    file.write_text(file.read_text().replace("0.4", "0.3"))
    with refused(file, "digest"):
        read_onset_settings(file)
    values = json.loads(sealed_json({}))
    file.write_text(json.dumps({**values, "schema_version": 1}))
    with refused(file, "version"):
        read_onset_settings(file)
    with refused(tmp_path / "absent.json", "does not exist", remedy=None):
        read_onset_settings(tmp_path / "absent.json")


def test_settings_are_checked_when_they_are_made() -> None:
    with pytest.raises(ValidationError):
        settings(threshold=2.0)
