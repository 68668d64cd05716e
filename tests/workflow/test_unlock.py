"""What `workflow/unlock.py` does with its arguments; who may release a folder is in `tests/jobs/test_guard.py`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from places import REPOSITORY, load_program

from siwcc.io.errors import InputError


@pytest.fixture
def unlock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.chdir(tmp_path)
    return load_program(REPOSITORY / "workflow" / "unlock.py")


def test_targets_among_the_arguments_do_not_swallow_what_unlocks(
    unlock: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snakemake.cli import parse_args

    given: list[list[str]] = []
    monkeypatch.setattr(unlock, "check_alone", lambda folder: None)
    monkeypatch.setattr(unlock.os, "execv", lambda program, words: given.append(words))
    unlock.main(["--configfile", "tiny.yaml", "--config", "seed=1", "--", "results/a/model.pt"])
    _, options = parse_args(given[0][given[0].index("snakemake") + 1 :])
    assert options.unlock
    assert [str(path) for path in options.configfile] == ["tiny.yaml"]
    assert options.targets == ["results/a/model.pt"]


def test_a_study_that_is_running_keeps_its_folder(unlock: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise InputError(folder, "a study is running here (process 71)", "wait for it")

    monkeypatch.setattr(unlock, "check_alone", refuse)
    monkeypatch.setattr(unlock.os, "execv", lambda *words: pytest.fail("it was unlocked"))
    with pytest.raises(SystemExit) as caught:
        unlock.main([])
    # A text is printed, and the exit status is 1.
    assert caught.value.code == f"{Path.cwd()}: a study is running here (process 71); wait for it"
