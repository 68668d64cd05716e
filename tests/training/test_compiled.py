"""What torch compiles of a training: when, how it is tried out, and where it is kept."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._functorch.config as autograd_options
from tolerances import FLOAT32, assert_same, largest

from siwcc.config import Train
from siwcc.io.locks import locked_folder
from siwcc.nn.fused_block import Block
from siwcc.nn.paper_networks import Localiser, build_localiser
from siwcc.training import compiled
from siwcc.training.compiled import compiled_steps, uses_compiler
from siwcc.training.run import _plain_steps

pytestmark = pytest.mark.numeric
SIZE = 4
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler"
)


def made_network(variant: str = "full") -> Localiser:
    torch.manual_seed(3)
    return build_localiser("nimesha", variant, "coord", 2, (500,), (20.0,), 20.0)


def batch(size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(size, 2, 500, generator=generator), torch.rand(size, 1, generator=generator) * 20


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batch sizes of the calls of what was compiled, by a compiler that changes nothing."""
    sizes: list[int] = []

    def compile_nothing(step: Callable[..., Any], dynamic: bool) -> Callable[..., Any]:
        def called(signal: torch.Tensor, *others: torch.Tensor) -> Any:
            sizes.append(len(signal))
            return step(signal, *others)

        assert dynamic is False
        return called

    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setattr(compiled, "_set_up_compiler", lambda on_cpu: None)
    # Set before it is deleted, so that it is as before after the test.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    return sizes


@pytest.mark.parametrize(
    ("asked", "rows", "compiler", "expected"),
    [
        # 500 samples x 15 epochs a row: 1e8 values are 13,334 rows.
        ("auto", 13_333, "g++", False),
        ("auto", 13_334, "g++", True),
        (True, 10, "g++", True),
        (False, 10**6, "g++", False),
        (True, 10, None, False),
    ],
)
def test_compiles_where_it_pays_or_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str | bool, rows: int, compiler: str | None, expected: bool
) -> None:
    monkeypatch.setattr(compiled, "shutil", SimpleNamespace(which=lambda name: compiler))
    settings, cpu = Train(epochs=15, compile=asked), torch.device("cpu")
    assert uses_compiler(settings, cpu, rows, (500,), made_network()) is expected
    few = settings.model_copy(update={"rows_per_epoch": 100})
    assert uses_compiler(few, cpu, rows, (500,), made_network()) is (expected and asked is True)
    for variant in ("heatmap", "residual"):
        assert not uses_compiler(settings, cpu, rows, (500,), made_network(variant))


def test_whole_batches_go_through_what_was_compiled(calls: list[int]) -> None:
    network = made_network()
    before = copy.deepcopy(network.state_dict())
    plain = _plain_steps(network, several=False)
    steps = compiled_steps(plain, network, batch())
    assert steps is not None
    # Tried out once each, and nothing of that is left in the network.
    assert calls == [SIZE, SIZE]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(block.fused for block in network.modules() if isinstance(block, Block))
    signal, target = batch(SIZE)
    mean, deviation = torch.tensor([10.0]), torch.tensor([5.0])
    for size in (SIZE, 3):
        found = steps.train(signal[:size], target[:size], mean, deviation)
        assert found[0].shape == (size, 1)
        steps.predict(signal[:size])
    assert calls[2:] == [SIZE, SIZE]


def test_a_batch_in_another_order_of_memory_is_brought_into_that_of_the_first(calls: list[int]) -> None:
    network = build_localiser("lakshya", "full", "coord", 3, (32, 32), (31.0, 31.0), 31.0)
    image = torch.rand(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    seen = []
    plain = _plain_steps(network, several=False)
    spied = plain._replace(predict=lambda signal: seen.append((signal.stride(), signal.clone())))
    steps = compiled_steps(spied, network, (image, torch.rand(2, 2) * 31))
    assert steps is not None
    steps.predict(image.transpose(2, 3))
    strides, values = seen[-1]
    assert strides == image.stride()
    assert torch.equal(values, image.transpose(2, 3))


def test_a_compiler_that_fails_is_done_without(
    calls: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no <omp.h>\nlong output")

    monkeypatch.setattr(compiled, "_try_out", fail)
    network = made_network()
    assert compiled_steps(_plain_steps(network, several=False), network, batch(), tmp_path / "kept") is None
    assert not any(block.fused for block in network.modules() if isinstance(block, Block))
    assert "no <omp.h>" in caplog.text
    assert "long output" not in caplog.text
    assert list(tmp_path.rglob("done")) == []


# --------------------------------------------------------------------- kept


class Compiler:
    """Stands for torch's in the try-out: writes into the folder that the environment names, and fails if damaged."""

    def __init__(self) -> None:
        self.used: list[Path] = []

    def __call__(self, *_: object) -> None:
        folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        self.used.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / "a.so"
        if program.exists() and program.read_text() != "whole":
            raise OSError("file too short")
        program.write_text("whole")


@pytest.fixture
def compiler(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr(compiled, "_try_out", made)
    return made


def compile_into(folder: Path, size: int = SIZE) -> None:
    network = made_network()
    assert compiled_steps(_plain_steps(network, several=False), network, batch(size), folder) is not None
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


def test_what_was_compiled_is_kept_for_the_same_network_and_batch(compiler: Compiler, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    compile_into(folder)
    compile_into(folder)
    compile_into(folder, SIZE + 1)
    first, second, other = compiler.used
    assert first == second != other
    assert first.parent.parent == folder
    assert (first.parent / "done").exists()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_a_killed_run_has_left_is_removed(compiler: Compiler, tmp_path: Path) -> None:
    compile_into(tmp_path / "kept")
    place = compiler.used[0].parent
    (place / "done").unlink()
    (place / "code" / "a.so").write_text("who")
    compile_into(tmp_path / "kept")
    assert len(compiler.used) == 2
    assert (place / "done").exists()


def test_what_is_damaged_is_compiled_again(compiler: Compiler, tmp_path: Path) -> None:
    compile_into(tmp_path / "kept")
    (compiler.used[0] / "a.so").write_text("who")
    compile_into(tmp_path / "kept")
    assert len(compiler.used) == 3
    assert (compiler.used[0] / "a.so").read_text() == "whole"


def test_only_runs_that_need_the_same_wait(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiled, "_COMPILING_AT_MOST_S", 0.0)
    folder = tmp_path / "kept"
    compile_into(folder)
    place = compiler.used[0].parent
    with locked_folder(place):
        compile_into(folder)
        compile_into(folder, SIZE + 1)
        assert caplog.text == ""
        (place / "done").unlink()
        compile_into(folder)
    assert "another run is compiling" in caplog.text
    assert folder not in compiler.used[-1].parents


def test_programs_of_others_are_not_used(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    folder, copied = tmp_path / "kept", tmp_path / "copied"
    compile_into(folder)
    shutil.copytree(folder, copied)
    (copied / compiler.used[0].parent.name / "code" / "a.so").write_text("who")
    compile_into(copied)
    assert compiler.used[1].parent.name != compiler.used[0].parent.name
    monkeypatch.setattr(compiled, "_try_out", lambda *_: None)
    folder.chmod(0o770)
    compile_into(folder)
    assert "others can write to" in caplog.text


def test_a_folder_that_was_asked_for_is_used(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "asked for"))
    network = made_network()
    assert compiled_steps(_plain_steps(network, several=False), network, batch(), tmp_path / "kept") is not None
    assert compiler.used == [tmp_path / "asked for"]
    assert not (tmp_path / "kept").exists()


# ------------------------------------------------------------ torch's compiler

PROGRAM = """
import sys
from pathlib import Path
import torch
from siwcc.nn.paper_networks import build_localiser
from siwcc.training.compiled import compiled_steps
from siwcc.training.run import _plain_steps
out, folder, image = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "image"
torch.set_num_threads(1)
torch.manual_seed(3)
if image:
    network = build_localiser("lakshya", "full", "weighted", 3, (32, 48), (47.0, 31.0), 47.0)
    signal, target = torch.randn(4, 3, 32, 48).contiguous(memory_format=torch.channels_last), torch.rand(4, 2) * 30
else:
    network = build_localiser("nimesha", "full", "weighted", 2, (250,), (20.0,), 20.0)
    signal, target = torch.randn(4, 2, 250), torch.rand(4, 1) * 20
kinds = {"plain": _plain_steps(network, several=False)}
kinds["compiled"] = compiled_steps(kinds["plain"], network, (signal, target), folder)
found = {}
for name, steps in kinds.items():
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    prediction, error = steps.train(signal, target, target.mean(0), target.std(0))
    error.backward()
    gradients = {key: value.grad for key, value in network.named_parameters() if value.grad is not None}
    network.zero_grad()
    network.eval()
    with torch.inference_mode():
        evaluated = steps.predict(signal.clone())[0].clone()
    found[name] = dict(prediction=prediction.detach(), error=error.detach(), evaluated=evaluated, gradients=gradients)
    found[name] |= {"buffers": {key: value.clone() for key, value in network.named_buffers()}}
    network.load_state_dict(before)
from torch._dynamo.utils import counters
kept = counters["aot_autograd"]["autograd_cache_hit"], counters["aot_autograd"]["total"]
torch.save(found | {"kept": kept}, out)
"""


@pytest.mark.parametrize(
    ("known", "trusted"),
    [
        pytest.param("*", True, id="new"),
        # As a compiler that is older than the processor.
        pytest.param("-mavx2 | -mfma | -mf16c | -x | c++ | -fsyntax-only | /dev/null", None, id="old"),
    ],
)
def test_the_processor_is_trusted_if_the_compiler_knows_its_instructions(
    known: str, trusted: bool | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = pytest.importorskip("torch._inductor.config")
    compiler = tmp_path / "c++"
    compiler.write_text(f'#!/bin/sh\nfor flag; do case "$flag" in {known}) ;; *) exit 1 ;; esac; done\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr("torch._inductor.cpu_vec_isa.x86_isa_checker", lambda: ["avx2", "avx512"])
    with options.patch({"cpp.vec_isa_ok": None}):
        compiled._trust_processor()
        assert options.cpp.vec_isa_ok is trusted


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("kind", "folders"),
    # Compiled, taken from what was kept, and compiled elsewhere.
    [
        pytest.param("signal", ("first", "first", "second"), id="signal"),
        pytest.param("image", ("first", "first"), id="image"),
    ],
)
def test_the_compiled_step_is_the_layers_to_rounding_and_repeats_to_the_bit(
    kind: str, folders: tuple[str, ...], tmp_path: Path
) -> None:
    scratch, home = tmp_path / "scratch", tmp_path / "home"
    for folder in (scratch, home):
        folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TORCHINDUCTOR", "XDG"))}
    environment = kept | {"TMPDIR": str(scratch), "HOME": str(home)}
    results = []
    for number, folder in enumerate(folders):
        out = tmp_path / f"{number}.pt"
        command = [sys.executable, "-c", PROGRAM, str(out), str(tmp_path / folder), kind]
        subprocess.run(command, check=True, env=environment, cwd=home)
        results.append(torch.load(out, weights_only=True))
    assert list((tmp_path / "first").rglob("*.so"))
    assert list(scratch.rglob("*.so")) == list(home.rglob("*")) == []
    # Of training and evaluation nothing is derived again where it was kept.
    if hasattr(autograd_options, "autograd_cache_allow_custom_autograd_functions"):
        assert [found["kept"] for found in results] == [(0, 2), (2, 2), (0, 2)][: len(folders)]
    flat = [flattened(found["compiled"]) for found in results]
    for again in flat[1:]:
        assert again.keys() == flat[0].keys()
        assert all(torch.equal(value, again[name]) for name, value in flat[0].items())
    layers = flattened(results[0]["plain"])
    biases = {name for name in layers if name.startswith("gradients") and name.endswith("conv.bias")}
    assert layers.keys() - flat[0].keys() == biases
    steepest = largest(*(value for name, value in layers.items() if name.startswith("gradients")))
    for name, value in flat[0].items():
        assert_same(value, layers[name], FLOAT32, scale=steepest if name.startswith("gradients") else None)


def flattened(found: dict[str, Any]) -> dict[str, torch.Tensor]:
    nested = {f"{kind}.{name}": value for kind in ("gradients", "buffers") for name, value in found[kind].items()}
    return nested | {name: value for name, value in found.items() if name not in ("gradients", "buffers")}
