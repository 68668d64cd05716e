"""`siwcc predict` with detectors: which model predicts what, the table, the figure and the annotation file."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb
from made_models import settings_for, waves, write_detector, write_model, write_record
from predicting import predicted, refusal

from siwcc.cli.main import main
from siwcc.evaluation.onset_settings import ONSETS, write_onset_settings
from siwcc.inference import onset_detector
from siwcc.nn.rhythm_network import RhythmNetwork

pytestmark = pytest.mark.numeric

COLUMNS = ["input", "onset_s", "end_s", "p_onset", "score", "models", "models_that_saw_it"]
# The networks give 0.8 and 0.6, the mean 0.7: with a = 2 and b = -1, (7/3)^2 / e to 1.
ODDS = (7 / 3) ** 2 / math.e
P_BOTH, P_SECOND = ODDS / (1 + ODDS), 2.25 / (2.25 + math.e)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two localisers, two detectors in their subfolder, of which the first was trained on r1, and two records of 10 s.

    The detectors give probabilities of 0.8 and 0.6, see `in_the_middle`.
    """
    place = tmp_path_factory.mktemp("onsets")
    for number in (1, 2):
        write_model(place / f"both/fold{number}.pt", "full", prediction=float(number))
    write_model(place / "localisers/fold1.pt", "full", prediction=1.0)
    folder = place / "both" / "onsets"
    paths = [write_detector(folder / "fold1.pt", 1, 0.8, training_groups=["r1"])]
    paths.append(write_detector(folder / "fold2.pt", 2, 0.6, fold=2))
    write_onset_settings(folder / ONSETS, settings_for(paths))
    write_record(place, "r1", waves(500), 50, [(100, "N"), (250, "VT")])
    write_record(place, "new", waves(500, leads=3))
    (place / "one.csv").write_text("".join(f"{value}\n" for value in waves(400, leads=1)[0]))
    cv2.imwrite(str(place / "image.png"), np.eye(40, dtype=np.uint8) * 200)
    return place


@pytest.fixture(autouse=True)
def in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks give their probability in the second and third quarter of a recording, and for an onset there."""

    def curves(networks: Sequence[RhythmNetwork], signal: np.ndarray) -> np.ndarray:
        quarter = signal.shape[1] // 8
        values = np.zeros((2, signal.shape[1] // 2))
        value = np.mean([float(network.head.bias[0].detach().sigmoid()) for network in networks])
        values[0, quarter : 3 * quarter] = values[1, quarter] = value
        return values

    monkeypatch.setattr(onset_detector, "rhythm_curves", curves)


# ---------------------------------------------------------------- which model


def test_detectors_list_onsets_and_localisers_predict_in_windows(place: Path, capsys) -> None:
    rows, said = predicted(capsys, place / "both", place / "new")
    assert [list(row) for row in rows] == [COLUMNS]
    (row,) = rows
    assert (row["input"], row["models"], row["models_that_saw_it"]) == (str(place / "new"), 2, 0)
    assert (row["onset_s"], row["end_s"]) == pytest.approx((2.48, 7.44), abs=1e-6)
    assert (row["score"], row["p_onset"]) == pytest.approx((0.7, P_BOTH), abs=2e-6)
    assert "clinical" in said[0]
    # 75 % of 8 onsets, 2 false alarms per hour.
    assert any("75%" in line and " 8 " in line and " 2 " in line for line in said)
    for windows, count in ((["--all-windows"], 4), (["--at", 5], 1), (["--every", 6], 2)):
        rows, _ = predicted(capsys, place / "both", place / "new", *windows)
        assert len(rows) == count
        assert rows[0]["models"] == 2
        assert "prediction_s" in rows[0]
    rows, _ = predicted(capsys, place / "localisers", place / "new", "--all-windows")
    same, _ = predicted(capsys, place / "localisers", place / "new")
    assert rows == same
    assert len(rows) == 4


def test_a_network_that_was_trained_on_the_record_is_left_out(place: Path, capsys) -> None:
    rows, said = predicted(capsys, place / "both", place / "r1", "--threshold", 0.4)
    (row,) = rows
    assert (row["models"], row["models_that_saw_it"]) == (1, 0)
    assert row["p_onset"] == pytest.approx(P_SECOND, abs=2e-6)
    assert any(line.startswith(f"{place / 'r1'}: ") and "fold2.pt" in line for line in said)
    first = place / "both/onsets/fold1.pt"
    rows, said = predicted(capsys, first, place / "r1")
    assert rows[0]["models_that_saw_it"] == 1
    assert any(line.startswith(f"warning: {place / 'r1'}: ") for line in said)
    assert str(place / "r1") in refusal(capsys, first, place / "r1", "--unseen-only")


def test_none_is_a_note_and_an_empty_table(place: Path, capsys) -> None:
    for kind in ("csv", "table", "json"):
        assert main(["predict", str(place / "both"), str(place / "new"), "--threshold", "0.9", "--format", kind]) == 0
        out, err = capsys.readouterr()
        if kind == "json":
            assert json.loads(out) == []
        else:
            assert len(out.splitlines()) == 1
        (line,) = [line for line in err.splitlines() if line.startswith(f"{place / 'new'}: no onset")]
        # The threshold, and the strongest candidate: where it is and its probability.
        assert re.findall(r"\d+\.\d+", line.removeprefix(str(place))) == ["0.9", "2.48", f"{P_BOTH:.3g}"]
        assert "measured at p = 0.5, not at p = 0.9, on made" in err


def test_a_csv_has_the_columns_of_every_row(place: Path, capsys) -> None:
    assert main(["predict", str(place / "both"), str(place / "new"), str(place / "r1"), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["input"] for row in rows] == [str(place / "new")]
    assert list(rows[0]) == COLUMNS
    assert float(rows[0]["p_onset"]) == pytest.approx(P_BOTH, abs=2e-6)


def test_a_recording_as_csv_with_one_lead(place: Path, capsys) -> None:
    rows, said = predicted(capsys, place / "both", place / "one.csv", "--rate", 50)
    assert rows[0]["end_s"] == pytest.approx(6.0, abs=1e-6)
    assert any(line.startswith(f"{place / 'one.csv'}: lead 1 alone") for line in said)


def test_a_detector_without_settings_has_a_score_and_no_probability(place: Path, tmp_path: Path, capsys) -> None:
    detector = write_detector(tmp_path / "d.pt", probability=0.8)
    rows, said = predicted(capsys, detector, place / "new")
    assert rows[0]["p_onset"] is None
    assert rows[0]["score"] == pytest.approx(0.8, abs=2e-6)
    assert any(ONSETS in line for line in said)
    assert predicted(capsys, detector, place / "new", "--threshold", 0.81)[0] == []


# ------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["both", "new", "--threshold", 1.5], "--threshold"),
        (["both", "new", "--at", 5, "--threshold", 0.5], "--threshold"),
        (["both", "new", "--all-windows", "--annotate", "x"], "--annotate"),
        (["localisers", "new", "--threshold", 0.5], "--threshold"),
        (["localisers", "new", "--annotate", "x"], "--annotate"),
        (["both", "new", "--at-least", 0.5], "--at-least"),
        (["both", "new", "--min-confidence", 0.5], "--min-confidence"),
        (["both/onsets/fold1.pt", "new", "--at", 5], "both/onsets/fold1.pt"),
        (["both/onsets", "new", "--all-windows"], "both/onsets/fold1.pt"),
        (["both", "image.png"], "image.png"),
        (["both", "new", "--leads", 1, 2, 3], "new"),
    ],
)
def test_options_that_do_not_fit_are_refused(place: Path, capsys, arguments: list, where: str) -> None:
    paths = {"both", "localisers", "new", "image.png", "both/onsets", "both/onsets/fold1.pt"}
    given = [place / each if each in paths else each for each in arguments]
    expected = where if where.startswith("--") else str(place / where)
    assert refusal(capsys, *given).startswith(f"{expected}: ")


def test_detectors_and_localisers_do_not_predict_together(place: Path, capsys) -> None:
    line = refusal(capsys, place / "both/onsets", place / "new", "--model", place / "localisers")
    assert line.startswith(f"{place / 'localisers'}: ")


def test_windows_are_chosen_in_one_way(place: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(place / "both"), str(place / "new"), "--all-windows", "--at", "5"])
    assert caught.value.code == 2


# ------------------------------------------------- annotation files and figures


def test_annotations_go_into_a_folder_or_a_file(place: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "annotations"
    predicted(capsys, place / "both", place / "new", place / "r1", "--annotate", folder, "--threshold", 0.4)
    assert sorted(path.name for path in folder.iterdir()) == ["new.siw", "r1.siw"]
    for name, percent in (("new", round(100 * P_BOTH)), ("r1", round(100 * P_SECOND))):
        read = wfdb.rdann(str(folder / name), "siw")
        assert (read.sample.tolist(), read.num.tolist()) == ([0, 124, 372], [0, percent, 0])
        assert read.aux_note == ["(NONMAL", "(MAL", "(NONMAL"]
    _, said = predicted(capsys, place / "both", place / "new", "--annotate", tmp_path / "a.siw")
    assert (tmp_path / "a.siw").read_bytes() == (folder / "new.siw").read_bytes()
    assert any(str(tmp_path / "a.siw") in line for line in said)


def test_no_other_file_is_overwritten(place: Path, tmp_path: Path, capsys) -> None:
    other = tmp_path / "r1.atr"
    other.write_bytes(b"kept")
    assert refusal(capsys, place / "both", place / "new", "--annotate", other).startswith(f"{other}: ")
    assert other.read_bytes() == b"kept"
    line = refusal(capsys, place / "both", place / "new", place / "r1", "--annotate", tmp_path / "a.siw")
    assert line.startswith("--annotate: ")
    assert not (tmp_path / "a.siw").exists()


def test_nothing_is_written_if_a_later_recording_is_damaged(place: Path, tmp_path: Path, capsys) -> None:
    record = write_record(tmp_path, "bad", waves(500))
    content = bytearray(record.with_suffix(".dat").read_bytes())
    content[0] ^= 1
    record.with_suffix(".dat").write_bytes(content)
    out = tmp_path / "out"
    arguments = [place / "new", record, "--annotate", out, "--plot", tmp_path / "a.png"]
    assert refusal(capsys, place / "both", *arguments).startswith(f"{tmp_path / 'bad.dat'}: ")
    assert not out.exists()
    assert not list(tmp_path.glob("*.png"))


def test_a_figure_for_each_recording(place: Path, tmp_path: Path, capsys) -> None:
    _, said = predicted(capsys, place / "both", place / "new", place / "r1", "--plot", tmp_path / "a.svg")
    figures = [tmp_path / "a-new.svg", tmp_path / "a-r1.svg"]
    assert all(figure.read_text().startswith("<?xml") for figure in figures)
    assert [line.removeprefix("drew ") for line in said if line.startswith("drew ")] == [str(path) for path in figures]
