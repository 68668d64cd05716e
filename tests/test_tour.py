"""docs/tutorials/first-ten-minutes.md: every command runs, and what the page shows is what comes out."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import blocks
from places import REPOSITORY, Place

PAGE = REPOSITORY / "docs" / "tutorials" / "first-ten-minutes.md"
# Predictions are rounded to hundredths, and processors differ in the last digits.
TOLERANCE = 0.02
SET_UP = ("make setup", "source ")
_NUMBER = re.compile(r"(?<![\w./-])-?\d+\.\d+")


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the page with the lines shown below it."""
    text = "".join(block.text for block in blocks(PAGE) if block.language == "console")
    parts = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    return [(command, shown.splitlines()) for command, shown in parts if not command.startswith(SET_UP)]


@pytest.mark.slow
@pytest.mark.numeric
def test_the_page_shows_what_comes_out(tmp_path: Path) -> None:
    for name in ("models", "examples"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    found = steps()
    assert len(found) == 7
    for command, shown in found:
        words = command.replace("siwcc ", f"{shlex.quote(sys.executable)} -m siwcc.cli.main ", 1)
        words = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", words)
        done = subprocess.run(
            ["bash", "-c", words],
            cwd=tmp_path,
            env=Place(REPOSITORY, tmp_path).environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        _compare(done.stdout.splitlines(), shown)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for block in blocks(PAGE):
            if block.language == "python":
                exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), {})


def _compare(lines: list[str], shown: list[str]) -> None:
    assert len(lines) == len(shown)
    for line, expected in zip(lines, shown, strict=True):
        assert _NUMBER.sub("#", line).split() == _NUMBER.sub("#", expected).split()
        numbers, wanted = ([float(number) for number in _NUMBER.findall(text)] for text in (line, expected))
        # Training the example's little network adds up what processors round differently.
        assert numbers == pytest.approx(wanted, abs=1.0 if "pixels off" in expected else TOLERANCE)
