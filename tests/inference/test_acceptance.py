"""`siwcc predict` with a calibration: the probability beside the confidence, and what it withholds."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_models import waves, write_model, write_record

from siwcc.cli.main import main
from siwcc.evaluation.calibration_file import Calibration, write_calibration
from siwcc.inference.loading import find_calibration

pytestmark = pytest.mark.numeric


def calibrated(path: Path, **changes: object) -> Path:
    """Half the confidence, for a `heatmap` without coordinates."""
    values = {
        **{"task": "ecg", "encoding": "none", "variant": "heatmap", "limit": 1.0, "unit": "s", "inputs": "augmented"},
        **{"balance": 0.5, "folds": 5, "seeds": 1, "records": 22, "rows": 23600, "predictions_sha256": "0" * 64},
        **{"confidence": (0.0, 1.0), "probability": (0.0, 0.5)},
    }
    write_calibration(path, Calibration.model_validate(values | changes))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_model(tmp_path / "maps/fold1.pt", "heatmap", groups=["x"])
    write_model(tmp_path / "images/fold1.pt", "heatmap", task="nuclei")
    write_record(tmp_path, "new", waves(500))
    coarse = np.random.default_rng(1).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "cell.png"), cv2.resize(coarse, (60, 40)))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object, kind: str = "json") -> tuple[str, str]:
    assert main(["predict", *map(str, arguments), "--format", kind]) == 0
    out, err = capsys.readouterr()
    return out, err


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["predict", *map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()[-1].removeprefix("siwcc: ")


def test_a_calibration_beside_the_models_adds_a_column_and_nothing_else(place: Path, capsys) -> None:
    arguments = (place / "maps", place / "new", "--at", 5)
    before = json.loads(run(capsys, *arguments)[0])
    path = calibrated(place / "maps/calibration.json")
    out, err = run(capsys, *arguments)
    (row,) = json.loads(out)
    probability = row.pop("p_within_1s_given_event")
    assert [row] == before
    # Both have six decimals.
    assert probability == pytest.approx(row["confidence"] / 2, abs=2e-6)
    (note,) = [line for line in err.splitlines() if line.startswith("p_within_1s_given_event: ")]
    assert all(part in note for part in (str(path), "23,600", "22 records"))
    (line,) = csv.DictReader(io.StringIO(run(capsys, *arguments, kind="csv")[0]))
    assert float(line["p_within_1s_given_event"]) == pytest.approx(probability)
    head, cells = run(capsys, *arguments, kind="table")[0].splitlines()
    assert head.endswith("confidence  p(within 1s | event)  models")
    assert cells.split()[-2:] == [f"{probability:.2f}", "1"]


def test_a_prediction_below_the_probability_is_withheld(place: Path, capsys) -> None:
    calibrated(place / "maps/calibration.json")
    arguments = (place / "maps", place / "new", "--every", 1)
    rows = json.loads(run(capsys, *arguments)[0])
    bar = float(np.median([row["p_within_1s_given_event"] for row in rows]))
    kept = json.loads(run(capsys, *arguments, "--at-least", bar)[0])
    # The bar itself may fall to either side of six decimals.
    for row, shown in zip(rows, kept, strict=True):
        assert shown["p_within_1s_given_event"] == row["p_within_1s_given_event"]
        if row["p_within_1s_given_event"] > bar + 1e-6:
            assert (shown["result"], shown["prediction_s"]) == ("found", row["prediction_s"])
        elif row["p_within_1s_given_event"] < bar - 1e-6:
            assert (shown["result"], shown["prediction_s"]) == ("below the threshold", None)
    assert {row["result"] for row in kept} == {"found", "below the threshold"}
    none = json.loads(run(capsys, *arguments, "--at-least", 0.6)[0])
    assert {row["result"] for row in none} == {"below the threshold"}


def test_of_images_the_limit_is_a_share_of_the_side(place: Path, capsys) -> None:
    calibrated(place / "images/calibration.json", task="nuclei", limit=3.2, unit="px")
    (row,) = json.loads(run(capsys, place / "images", place / "cell.png")[0])
    assert row["p_within_10_percent"] == pytest.approx(row["confidence"] / 2, abs=2e-6)
    head = run(capsys, place / "images", place / "cell.png", kind="table")[0].splitlines()[0]
    assert "within 10 %" in head


def test_a_probability_needs_a_calibration(place: Path, capsys) -> None:
    line = refusal(capsys, place / "maps", place / "new", "--at-least", 0.5)
    assert line.startswith("--at-least: is 0.5")
    assert "calibration.json" in line
    assert refusal(capsys, place / "maps", place / "new", "--at-least", 2).startswith("--at-least: is 2")
    named = calibrated(place / "mine.json")
    (row,) = json.loads(run(capsys, place / "maps", place / "new", "--at", 5, "--calibration", named)[0])
    assert "p_within_1s_given_event" in row


def test_a_confidence_needs_networks_that_have_one(place: Path, capsys) -> None:
    model = write_model(place / "plain.pt", "full", prediction=1.0)
    line = refusal(capsys, model, place / "new", "--at", 5, "--min-confidence", 0.5)
    assert line.startswith("--min-confidence: is 0.5")
    assert all(variant in line for variant in ("heatmap", "median", "dense"))
    assert json.loads(run(capsys, model, place / "new", "--at", 5, "--min-confidence", 0)[0])[0]["result"] == "found"


def test_a_calibration_of_other_networks_or_a_damaged_one_is_one_line(place: Path, capsys) -> None:
    path = calibrated(place / "maps/calibration.json", encoding="coord")
    line = refusal(capsys, place / "maps", place / "new", "--at", 5)
    assert line.startswith(f"{path}: ")
    assert all(part in line for part in ("ecg/coord/heatmap", str(place / "maps/fold1.pt"), "ecg/none/heatmap"))
    path.write_text("{}")
    assert refusal(capsys, place / "maps", place / "new", "--at", 5).startswith(f"{path}: ")


def test_of_several_calibrations_none_is_guessed(place: Path, capsys) -> None:
    calibrated(place / "maps/calibration.json")
    shutil.copytree(place / "maps", place / "others")
    out, err = run(capsys, place / "maps", place / "new", "--at", 5, "--model", place / "others")
    assert "p_within_1s_given_event" not in json.loads(out)[0]
    assert "--calibration" in err


def test_where_a_calibration_is_looked_for(tmp_path: Path) -> None:
    assert find_calibration(tmp_path) is None
    path = calibrated(tmp_path / "calibration.json")
    model = tmp_path / "fold1/seed42/model.pt"
    model.parent.mkdir(parents=True)
    model.touch()
    (tmp_path / "fold1.pt").touch()
    for source in (tmp_path, model, tmp_path / "fold1.pt"):
        assert find_calibration(source) == path
    assert find_calibration(tmp_path / "fold1") is None
