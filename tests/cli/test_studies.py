"""`siwcc studies` and `make study` without a name: every preset, counted by hand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from siwcc.cli.main import main
from siwcc.cli.studies import read_presets


def test_every_preset_has_a_row(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    presets = {preset.name: preset for preset in read_presets(repository)}
    assert set(presets) == {path.stem for path in (repository / "resources" / "studies").glob("*.yaml")}
    assert (presets["paper"].networks, presets["paper"].datasets) == (40, ("vfdb", "sipakmed"))
    # Four studies of 15 in one command.
    assert presets["leakage-ablation"].networks == 60
    assert presets["strict"].networks == 6 * 5 * 3
    assert all(preset.tests and preset.cost for preset in presets.values())
    assert main(["studies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(presets)


@pytest.mark.parametrize("words", [[], ["STUDY=strickt"]])
def test_make_study_without_a_known_name_lists_them(repository: Path, words: list[str]) -> None:
    # Within a make that started the tests, STUDY and options would be that one's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "STUDY"))}
    done = subprocess.run(
        ["make", "study", *words], cwd=repository, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    listed = {line.split()[0] for line in done.stderr.splitlines() if line.startswith("  ")}
    assert listed == {path.stem for path in (repository / "resources" / "studies").glob("*.yaml")}
    assert done.stdout == ""
