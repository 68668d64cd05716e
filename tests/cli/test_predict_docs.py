"""docs/how-to/predict.md and the networks in models/: every command and all Python of the page run with them."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb
from doc_pages import blocks, commands
from places import REPOSITORY

from siwcc.cli.main import main
from siwcc.training.checkpoint import read_model

PAGE = REPOSITORY / "docs" / "how-to" / "predict.md"
MODELS = REPOSITORY / "models"
RATE_HZ = 250


@pytest.fixture(scope="module")
def signal_mv() -> np.ndarray:
    """Nine minutes whose beats quicken at 532 s."""
    time_s = np.arange(545 * RATE_HZ) / RATE_HZ
    phase = np.cumsum(np.where(time_s < 532, 1.2, 4.0)) / RATE_HZ
    noise = np.random.default_rng(1).normal(0, 0.02, (2, len(time_s)))
    return np.sin(2 * np.pi * phase) * np.array([[1.0], [-0.6]]) + noise


@pytest.fixture
def place(tmp_path: Path, signal_mv: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the page names."""
    (tmp_path / "models").symlink_to(MODELS)
    for name in ("vfdb", "cells", "results/mine/ecg/none/heatmap/fold1/seed42"):
        (tmp_path / name).mkdir(parents=True)
    digital = {"fmt": ["212", "212"], "units": ["mV", "mV"], "sig_name": ["ECG1", "ECG2"]}
    wfdb.wrsamp("418", RATE_HZ, p_signal=signal_mv.T, write_dir=str(tmp_path / "vfdb"), **digital)
    np.savetxt(tmp_path / "holter.csv", signal_mv[[0, 1, 0], : 60 * 128].T, delimiter=",", fmt="%.4f")
    for number in range(2):
        image = np.full((60, 80, 3), 200, dtype=np.uint8)
        cv2.circle(image, (30 + 10 * number, 30), 9, (90, 40, 90), -1)
        cv2.imwrite(str(tmp_path / "cells" / f"{number}.png"), image)
    shutil.copy(MODELS / "ecg/fold1.pt", tmp_path / "results/mine/ecg/none/heatmap/fold1/seed42/model.pt")
    for name in ("fold1.pt", "fold2.pt"):
        shutil.copy(MODELS / "ecg" / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page_commands() -> list[list[str]]:
    """Those of the page's blocks, and those of its table."""
    named = re.findall(r"\| `(siwcc predict [^`]*)`", PAGE.read_text(encoding="utf-8"))
    return [*(list(command.words) for command in commands(PAGE)), *(shlex.split(line) for line in named)]


@pytest.mark.parametrize("words", page_commands(), ids=" ".join)
def test_every_command_of_the_page_runs(place: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(path) for word in words[1:] for path in (sorted(place.glob(word)) if "*" in word else [word])]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out
    assert "clinical" in shown.err
    if "--plot" in words:
        wanted = Path(words[words.index("--plot") + 1])
        assert list(place.glob(f"{wanted.stem}*{wanted.suffix}"))


def test_python_of_the_page_runs(place: Path, signal_mv: np.ndarray) -> None:
    image = cv2.imread(str(place / "cells/0.png"))
    names: dict[str, object] = {"signal_mv": signal_mv[:, : 20 * RATE_HZ], "image": image}
    for block in blocks(PAGE):
        if block.language == "python":
            # The page speaks of 360 Hz and of a time in a long recording.
            text = block.text.replace("360", str(RATE_HZ)).replace("532.4", "10.0")
            exec(compile("\n" * (block.line - 1) + text, block.page, "exec"), names)
    (time_s,) = names["prediction"].position  # type: ignore[attr-defined]
    assert 0 <= time_s <= 20


@pytest.mark.parametrize(("task", "groups"), [("ecg", 22), ("nuclei", 538)])
def test_each_group_is_new_to_one_network_and_known_to_that_of_every_fold(task: str, groups: int) -> None:
    every = set(read_model(MODELS / task / "all.pt").metadata.training_groups)
    assert len(every) == groups
    unseen = [every - set(read_model(MODELS / task / f"fold{k}.pt").metadata.training_groups) for k in range(1, 6)]
    assert sum(map(len, unseen)) == groups
    assert set().union(*unseen) == every


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_the_card_tells_what_was_measured(task: str) -> None:
    card = (MODELS / "README.md").read_text(encoding="utf-8")
    with (MODELS / task / "errors.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["subset"] == "all"]
    assert len(rows) == 2
    for row in rows:
        visibility = f"| {100 * float(row['within_fine']):.1f} % | {100 * float(row['within_coarse']):.1f} % "
        assert visibility + f"| {float(row['median']):.2f} {row['unit']} |" in card
