from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from places import REPOSITORY

from siwcc.cli.inspect import inspect_file
from siwcc.evaluation.calibration_file import Calibration, load_calibration, write_calibration
from siwcc.inference.model_folder import model_limits
from siwcc.io.checksums import sealed_json
from siwcc.io.errors import InputError
from siwcc.training.checkpoint import read_model

GOOD = {
    "task": "ecg",
    "encoding": "none",
    "variant": "heatmap",
    "limit": 1.0,
    "unit": "s",
    "inputs": "augmented",
    "balance": 0.5,
    "folds": 5,
    "seeds": 1,
    "records": 22,
    "rows": 23600,
    "predictions_sha256": "0" * 64,
    "confidence": [0.2, 0.6, 1.0],
    "probability": [0.1, 0.5, 0.9],
}


def write(path: Path, **changes: object) -> Path:
    path.write_text(sealed_json({**GOOD, **changes}))
    return path


def test_a_calibration_comes_back_and_interpolates(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    made = Calibration.model_validate({**GOOD, "confidence": (0.2, 0.6, 1.0), "probability": (0.1, 0.5, 0.9)})
    write_calibration(path, made)
    assert load_calibration(path) == made
    assert made.of([0.0, 0.2, 0.4, 0.8, 1.0]).tolist() == pytest.approx([0.1, 0.1, 0.3, 0.7, 0.9])
    before = path.read_bytes()
    write_calibration(path, load_calibration(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"probability": [0.1, 0.9, 0.5]}, "probability"),
        ({"confidence": [0.2, 0.2, 1.0]}, "confidence"),
        ({"confidence": [0.2, 1.0]}, "knots"),
        ({"confidence": [], "probability": []}, "wrong at confidence"),
        ({"probability": [0.1, 0.5, 1.5]}, "wrong at probability.2"),
        ({"probability": [0.1, "0.5", 0.9]}, "wrong at probability.1"),
        ({"probability": [0.1, True, 0.9]}, "wrong at probability.1"),
        ({"limit": 0.0}, "wrong at limit"),
        ({"unit": "mm"}, "wrong at unit"),
        ({"records": 0}, "wrong at records"),
        ({"records": 2.0}, "wrong at records"),
        ({"predictions_sha256": "x"}, "wrong at predictions_sha256"),
        ({"more": 1}, "wrong at more"),
        ({"confidence": {"a": 1}}, "wrong at confidence"),
    ],
)
def test_what_is_no_map_is_refused_in_one_line(tmp_path: Path, changes: dict, place: str) -> None:
    path = write(tmp_path / "calibration.json", **changes)
    with pytest.raises(InputError) as caught:
        load_calibration(path)
    assert caught.value.where == str(path)
    assert place in caught.value.problem
    assert "\n" not in str(caught.value)


def test_damage_other_versions_and_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "calibration.json")
    text = path.read_text()
    path.write_text(text.replace("0.6", "0.7"))
    with pytest.raises(InputError, match="digest"):
        load_calibration(path)
    path.write_text(json.dumps({**json.loads(text), "schema_version": 1}))
    with pytest.raises(InputError, match="schema version 3"):
        load_calibration(path)
    path.write_text(text.replace("0.6", "NaN"))
    with pytest.raises(InputError) as caught:
        load_calibration(path)
    assert caught.value.where == str(path)
    with pytest.raises(InputError) as caught:
        load_calibration(tmp_path / "none.json")
    assert caught.value.where == str(tmp_path / "none.json")
    path.write_text("[" * 100_000)
    with pytest.raises(InputError):
        load_calibration(path)
    with pytest.raises(ValueError, match="limit"):
        Calibration.model_validate({**GOOD, "limit": math.inf})


def test_inspect_knows_it(tmp_path: Path) -> None:
    content = inspect_file(write(tmp_path / "calibration.json"))
    assert content.kind == "calibration"
    assert (content.facts["limit"], content.facts["probability"]) == (1.0, [0.1, 0.5, 0.9])


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_the_calibration_that_ships_is_of_the_networks_beside_it(task: str) -> None:
    found = load_calibration(REPOSITORY / "models" / task / "calibration.json")
    model = read_model(REPOSITORY / "models" / task / "all.pt")
    assert (found.task, found.encoding, found.variant) == (task, model.key.encoding, model.key.variant)
    limits = model_limits(model)
    assert (found.limit, found.unit) == (limits.coarse, limits.unit)
    assert found.records == len(model.metadata.training_groups)
    # Nothing is certain after so many records.
    assert 0 < found.probability[0] < found.probability[-1] < 1
