"""`siwcc predict` as the tests of the command line run it: what it prints, or the one line by which it refuses."""

from __future__ import annotations

import json

import pytest

from siwcc.cli.main import main


def predicted(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[list[dict], list[str]]:
    """The rows, and the lines on standard error."""
    assert main(["predict", *map(str, arguments), "--format", "json"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err.splitlines()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The line of the error, without the program's name; nothing is on standard output."""
    assert main(["predict", *map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = [line for line in err.splitlines() if line.startswith("siwcc: ")]
    return line.removeprefix("siwcc: ")
