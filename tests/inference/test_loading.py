"""Models by file, folder and name, with the calibration next to them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_models import waves, write_model, write_record
from refusals import refused

import siwcc
from siwcc.inference.loading import resolve

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["ecg", "nuclei"])
def test_the_models_that_come_with_it_are_loaded_by_name(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    predictor = siwcc.load_model(name)
    assert predictor.task == name
    assert [path.name for path in predictor.paths] == [f"fold{number}.pt" for number in range(1, 6)]
    assert predictor.calibration is not None
    assert predictor.probability_name.startswith("p_within_")
    assert name in repr(predictor)
    assert "\n" not in repr(predictor)


def test_a_file_or_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ecg").mkdir()
    assert resolve(Path("ecg")) == Path("ecg")
    assert resolve(Path("./nuclei/")) == REPOSITORY / "models" / "nuclei"
    assert resolve(tmp_path / "nuclei") == tmp_path / "nuclei"


def test_a_text_is_one_path_and_a_list_several(tmp_path: Path) -> None:
    paths = [write_model(tmp_path / f"fold{number}.pt", seed=number) for number in (1, 2)]
    assert siwcc.load_model(str(paths[0])).paths == (paths[0],)
    assert siwcc.load_model(tmp_path).paths == siwcc.load_model(paths).paths == tuple(paths)
    with refused(tmp_path / "absent.pt", "does not exist", remedy=None):
        siwcc.load_model(str(tmp_path / "absent.pt"))


def test_a_file_is_predicted_like_its_array(tmp_path: Path) -> None:
    predictor = siwcc.load_model(write_model(tmp_path / "m.pt"))
    record = write_record(tmp_path, "r1", waves(1000, leads=2))
    found = predictor.predict_file(record, at_s=[8.0])
    source = found[0].source
    same = predictor.predict_windows(source.signal_mv, source.rate_hz, at_s=[8.0])
    assert found[0].position == same[0].position
    assert source.path == record


@pytest.mark.parametrize(
    ("array", "problem", "remedy"),
    [
        (np.zeros((1000, 2)), "(1000, 2)", "array.T"),
        (np.zeros((3, 200)), "(3, 200)", "leads"),
        ("records/r1", "records/r1", "predict_file"),
        (Path("r1"), "r1", "predict_file"),
    ],
)
def test_a_wrong_signal_gets_the_way_out(tmp_path: Path, array: object, problem: str, remedy: str) -> None:
    predictor = siwcc.load_model(write_model(tmp_path / "m.pt"))
    with refused("array", problem, remedy=remedy):
        predictor.predict(array, rate_hz=50)


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((9, 8, 4), dtype=np.uint8), "[..., :3]"),
        (np.zeros((3, 9, 8), dtype=np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((9, 8, 3)), "uint8"),
    ],
)
def test_a_wrong_image_gets_the_way_out(tmp_path: Path, array: np.ndarray, remedy: str) -> None:
    predictor = siwcc.load_model(write_model(tmp_path / "m.pt", task="nuclei"))
    with refused("array", "RGB", remedy=remedy):
        predictor.predict(array)


def test_the_public_names_are_listed() -> None:
    assert dir(siwcc) == sorted(siwcc.__all__)
    for name in siwcc.__all__:
        assert getattr(siwcc, name) is not None


@pytest.mark.slow
def test_the_wheel_contains_the_models_and_is_small(tmp_path: Path) -> None:
    command = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(REPOSITORY)]
    subprocess.run([sys.executable, *command], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 5e6
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"siwcc/models/{task}/fold{number}.pt" for task in ("ecg", "nuclei") for number in range(1, 6)} <= set(
        names
    )
    assert "siwcc/models/ecg/calibration.json" in names
