"""docs/how-to/layer.md and examples/bright_pixel.py: what is shown there runs, and shows what it says."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from made_models import write_drawn_model
from places import REPOSITORY

from siwcc import CoordinateChannels
from siwcc.cli.main import main

PAGE = (REPOSITORY / "docs" / "how-to" / "layer.md").read_text(encoding="utf-8")
EXAMPLE = REPOSITORY / "examples" / "bright_pixel.py"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small steps: on busy cores, two threads wait for each other for longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.numeric
@pytest.mark.usefixtures("one_thread")
def test_the_example_with_the_layer_beats_the_one_without() -> None:
    train = runpy.run_path(str(EXAMPLE))["train"]
    off_px = {name: train(CoordinateChannels(name, extent=(1.0, 1.0))) for name in ("none", "coord", "weighted")}
    # Always to predict with the middle, (7.5, 7.5) of 16 x 16 pixels, is off by 6.1 pixels on average.
    assert 4 < off_px["none"] < 8
    assert off_px["coord"] < 1
    assert off_px["weighted"] < 1


@pytest.mark.slow
def test_every_block_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.compiler.reset()
    write_drawn_model(tmp_path / "model.pt", "nimesha", "full", "weighted")
    commands = re.findall(r"^\$ siwcc (export .*)$", PAGE, flags=re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert main(command.split()) == 0
    assert capsys.readouterr().out == "model.onnx\nlocaliser.pt2\n"
    names: dict[str, object] = {"__name__": "layer"}
    # Blocks go on with what those before them have made, as on the page.
    for block in BLOCKS:
        exec(compile(block, "docs/how-to/layer.md", "exec"), names)  # the project's own page
    said = capsys.readouterr().out
    assert "(3, 32)" in said
    assert "lead 1, mV" in said
