"""Arguments of `siwcc predict` in each other's place: one line with what to type, and no note before it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_models import waves, write_model, write_record

from siwcc.cli.main import main
from siwcc.cli.predict_arguments import check_arguments


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, a run's model, a record, an image, and files of a study."""
    place = tmp_path_factory.mktemp("arguments")
    for number in (1, 2):
        write_model(place / f"folds/fold{number}.pt", "full", prediction=1.0, groups=["x"])
    write_model(place / "run/model.pt", "full", prediction=1.0, groups=["x"])
    write_record(place, "r1", waves(500), 50)
    (place / "images").mkdir()
    cv2.imwrite(str(place / "images/a.png"), np.zeros((20, 20, 3), dtype=np.uint8))
    (place / "empty").mkdir()
    (place / "records").mkdir()
    for name in ("r3", "r2"):
        write_record(place / "records", name, waves(500), 50)
    np.savetxt(place / "wide.csv", waves(500), delimiter=",", fmt="%.4f")
    for name in ("samples.h5", "folds/calibration.json", "folds/errors.csv", "run/log.csv", "run/predictions.csv"):
        (place / name).write_text("{}")
    (place / "timed.csv").write_text(
        "time_s,I,II\n" + "".join(f"{row / 50},{row % 7},{row % 5}\n" for row in range(500))
    )
    return place


@pytest.mark.parametrize(
    ("words", "where", "told"),
    [
        ("r1 folds/fold1.pt", "r1", "siwcc predict folds/fold1.pt r1"),
        ("r1 folds", "r1", "siwcc predict folds r1"),
        ("images/a.png nuclei", "images/a.png", "siwcc predict nuclei images/a.png"),
        ("timed.csv ecg", "timed.csv", "siwcc predict ecg timed.csv"),
        ("r1 timed.csv", "r1", "name a model.pt"),
        ("egc r1", "egc", "did you mean 'ecg'?"),
        ("samples.h5 r1", "samples.h5", "samples"),
        ("folds/calibration.json r1", "folds/calibration.json", "name the folder of models: folds"),
        ("folds/errors.csv r1", "folds/errors.csv", "name the folder of models: folds"),
        ("run/log.csv r1", "run/log.csv", "name the model: run/model.pt"),
        ("run/predictions.csv r1", "run/predictions.csv", "name the model: run/model.pt"),
        ("folds images", "images", "images/*.png"),
        ("folds empty", "empty", "without recordings"),
        ("folds run", "run", "--model run"),
        ("folds samples.h5", "samples.h5", "samples"),
        ("models/ecg r1", "models/ecg", "did you mean 'ecg'?"),
        ("models/nuclei/fold1.pt r1", "models/nuclei/fold1.pt", "did you mean 'nuclei'?"),
        ("folds records", "records", "records/r2"),
        ("folds r1 --rate 50", "--rate", "r1"),
        ("folds wide.csv --rate 50", "wide.csv", "transposed"),
        ("folds r1 --at 11", "r1", "from 0 to 10 s"),
        ("folds r1 --at -1", "r1", "from 0 to 10 s"),
        ("folds timed.csv --rate 40", "timed.csv", "--rate"),
        ("folds images/a.png", "images/a.png", "made for recordings"),
    ],
)
def test_mixed_up_arguments_are_one_line(place: Path, words: str, where: str, told: str, monkeypatch, capsys) -> None:
    monkeypatch.chdir(place)
    assert main(["predict", *words.split()]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"siwcc: {where}: ")
    assert told in line


def test_the_files_of_a_record_are_one_input(place: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(place)
    arguments = ["predict", "folds", "records/r2.dat", "records/r2.hea", "records/r3.hea", "--at", "5"]
    assert main([*arguments, "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert [row["input"] for row in json.loads(out)] == ["records/r2", "records/r3.hea"]
    assert [line.split()[1] for line in err.splitlines() if line.startswith("records/r2: ")] == ["2"]


def test_the_rate_of_a_csv_may_be_given_beside_a_record(place: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(place)
    assert main(["predict", "folds", "r1", "timed.csv", "--at", "5", "--rate", "50"]) == 0


def test_a_lead_without_a_change_is_noted(place: Path, tmp_path: Path, capsys) -> None:
    signal_mv = waves(500)
    signal_mv[1] = 0.5
    record = write_record(tmp_path, "flat", signal_mv, 50)
    assert main(["predict", str(place / "folds"), str(record), "--at", "5"]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{record}: ")]
    assert notes == [f"{record}: lead 2 is constant"]


def test_a_record_does_not_hide_the_model_of_its_name(place: Path, monkeypatch) -> None:
    monkeypatch.chdir(place)
    write_record(place, "ecg", waves(500), 50)
    try:
        check_arguments(Path("ecg"), [Path("r1")])
    finally:
        for path in place.glob("ecg.*"):
            path.unlink()


def test_a_record_next_to_a_folder_of_its_name_is_read(place: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(place)
    (place / "r1").mkdir()
    try:
        assert main(["predict", "folds", "r1", "--at", "5"]) == 0
    finally:
        (place / "r1").rmdir()
