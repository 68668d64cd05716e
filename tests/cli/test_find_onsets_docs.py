"""docs/how-to/find-onsets.md: every command and all Python of the page run, with small detectors in place of `ecg`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb
import yaml
from doc_pages import blocks, commands
from made_models import settings_for, waves, write_detector, write_model, write_record
from places import REPOSITORY
from test_doc_commands import check_all

from siwcc.cli.main import _parser, main
from siwcc.config import merged, parse_config
from siwcc.evaluation.onset_settings import ONSETS, write_onset_settings
from siwcc.inference.onsets import Onset
from siwcc.io.files import read_yaml

PAGE = REPOSITORY / "docs" / "how-to" / "find-onsets.md"
COMMANDS = list(commands(PAGE))
PREDICTIONS = [list(command.words[1:]) for command in COMMANDS if command.words[:2] == ("siwcc", "predict")]
COLUMNS = ("input", "onset_s", "end_s", "p_onset", "score", "models", "models_that_saw_it")
RATE_HZ = 360


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the page names."""
    write_model(tmp_path / "ecg/fold1.pt", "full", prediction=1.0)
    folder, study = tmp_path / "ecg/onsets", tmp_path / "results/onsets/onsets"
    paths = [write_detector(folder / f"fold{fold}.pt", fold, fold=fold) for fold in (1, 2)]
    write_onset_settings(folder / ONSETS, settings_for(paths))
    for path in paths:
        (study / path.stem / "seed42").mkdir(parents=True)
        shutil.copy(path, study / path.stem / "seed42" / "model.pt")
    shutil.copy(folder / ONSETS, study / ONSETS)
    (tmp_path / "vfdb").mkdir()
    write_record(tmp_path / "vfdb", "418", waves(30 * RATE_HZ), RATE_HZ)
    np.savetxt(tmp_path / "holter.csv", waves(30 * 128).T, delimiter=",", fmt="%.4f")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", PREDICTIONS, ids=" ".join)
def test_every_prediction_of_the_page_runs(place: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out
    assert "clinical" in err
    if "--plot" in words:
        assert (place / words[words.index("--plot") + 1]).is_file()
    if "--annotate" in words:
        assert wfdb.rdann(str(place / "418"), "siw").aux_note[0] == "(NONMAL"


def test_the_other_commands_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    others = [command for command in COMMANDS if command.words[0] != "siwcc"]
    assert {command.words[0] for command in others} == {"snakemake"}
    for command in others:
        check_all(command)


def test_the_columns_and_options_of_the_page_are_those_of_the_command(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    columns, options = (
        re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?`) \|", part, re.MULTILINE)))
        for part in re.split(r"^\| option \|", text, maxsplit=1, flags=re.MULTILINE)
    )
    assert main(["predict", "ecg", "vfdb/418", "--format", "csv"]) == 0
    assert tuple(capsys.readouterr().out.splitlines()[0].split(",")) == COLUMNS
    assert tuple(columns) == COLUMNS
    known = {
        name
        for action in _parser()._subparsers._group_actions  # type: ignore[union-attr]
        for each in action.choices["predict"]._actions  # type: ignore[index]
        for name in each.option_strings
    }
    assert {option.split()[0] for option in options} <= known
    assert len(options) == 8


def test_python_of_the_page_runs(place: Path) -> None:
    names: dict[str, object] = {"signal_mv": waves(30 * RATE_HZ)}
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), names)
    onsets = names["onsets"]
    assert onsets.duration_s == pytest.approx(30)  # type: ignore[attr-defined]
    assert onsets.threshold == 0.8  # type: ignore[attr-defined]
    assert all(isinstance(onset, Onset) for onset in [*onsets, *onsets.below])  # type: ignore[attr-defined,misc]
    assert (place / "418.png").is_file()
    assert (place / "418.siw").is_file()


def test_the_study_of_the_page_is_taken() -> None:
    (block,) = [each for each in blocks(PAGE) if each.language == "yaml"]
    config = parse_config(merged(read_yaml(REPOSITORY / "config.yaml"), yaml.safe_load(block.text)))
    assert config.onsets is not None
    assert (config.onsets.datasets, config.onsets.false_alarms_per_h) == (("vfdb", "mine", "mitdb"), 2.0)
