"""The block in compiled loops against torch's own layers."""

from __future__ import annotations

import copy
import os
import shutil

import pytest
import torch
from tolerances import FLOAT64, assert_same, largest

from siwcc.nn import fused_block
from siwcc.nn.fused_block import Block

pytestmark = pytest.mark.numeric
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="compiled loops need a C++ compiler"
)
BATCH = 3


@pytest.fixture
def plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops' functions as they are: to compile each for every case would take minutes."""
    functions = (
        fused_block._sums,
        fused_block._normalise,
        fused_block._evaluate,
        fused_block._products,
        fused_block._gradient,
    )
    monkeypatch.setattr(fused_block, "_loops", lambda: fused_block._Loops(*functions))


def made_block(kernel: tuple[int, int], pool: tuple[int, int] | None) -> Block:
    torch.manual_seed(0)
    block = Block(3, 5, kernel, pool).double().to(memory_format=torch.channels_last)
    with torch.no_grad():
        # Of both signs, and one channel that normalising switches off.
        block.norm.weight.copy_(torch.tensor([1.5, -0.7, 0.0, 0.3, -1.0]))
        block.norm.bias.copy_(torch.tensor([0.2, 0.1, 0.5, -0.4, 0.0]))
        block.norm.running_mean.uniform_(-1, 1)
        block.norm.running_var.uniform_(0.5, 2)
    return block


def results(block: Block, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """All that a training step takes from a block, and what it leaves in it."""
    image = image.clone(memory_format=torch.preserve_format).requires_grad_()
    output = block(image)
    weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(output.shape)
    (output * weights).sum().backward()
    # No gradient of the bias is as good as the layers' 0.
    gradients = {
        f"gradient of {name}": torch.zeros_like(value) if value.grad is None else value.grad
        for name, value in block.named_parameters()
    }
    return {"output": output.detach(), "gradient of image": image.grad, **gradients, **dict(block.named_buffers())}


def assert_same_results(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Outputs and running statistics to their largest value, the gradients to the largest of all.

    The gradient of the convolution's bias is 0 but for the rounding of the others.
    """
    assert found.keys() == expected.keys()
    steepest = largest(*(value for name, value in expected.items() if name.startswith("gradient")))
    for name, value in expected.items():
        assert_same(found[name], value, FLOAT64, scale=steepest if name.startswith("gradient") else None)


SHAPES = [
    pytest.param((1, 3), (1, 2), (1, 20), id="signal"),
    pytest.param((3, 3), (2, 2), (8, 12), id="image"),
    pytest.param((3, 3), None, (5, 7), id="image without pooling"),
    pytest.param((3, 3), (2, 3), (4, 9), id="image, oblong window"),
]


@pytest.mark.usefixtures("plain_loops")
@pytest.mark.parametrize(("kernel", "pool", "size"), SHAPES)
def test_loops_give_what_the_layers_give(
    kernel: tuple[int, int], pool: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    block = made_block(kernel, pool)
    in_loops = copy.deepcopy(block)
    in_loops.loops_for_batch = BATCH
    image = torch.randn(BATCH, 3, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    assert_same_results(results(in_loops, image), results(block, image))


@pytest.mark.usefixtures("plain_loops")
@pytest.mark.parametrize(("kernel", "pool", "size"), SHAPES)
def test_loops_evaluate_as_the_layers_do(
    kernel: tuple[int, int], pool: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    block = made_block(kernel, pool).eval()
    image = torch.randn(BATCH, 3, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = block(image)
        block.loops_for_batch = BATCH
        found = block(image)
    assert not torch.equal(found, expected), "the layers were used"
    assert_same(found, expected, FLOAT64)


@pytest.mark.usefixtures("plain_loops")
def test_a_large_mean_costs_no_variance() -> None:
    """In float32 sums of squares about 0 would lose every digit of the variance: 1e8 against 1.

    The mean keeps eight roundings of 6e-8, the variance eight of a deviation from the first sample's mean.
    """
    y = (torch.randn(4, 2, 16, 16, dtype=torch.float64) + 1e4).float()
    mean, variance = fused_block._moments(y)
    expected_variance, expected_mean = torch.var_mean(y.double(), dim=(0, 2, 3), correction=0)
    assert_same(mean, expected_mean, 5e-7)
    assert_same(variance, expected_variance, 1e-4)


@pytest.mark.slow
@needs_compiler
def test_compiled_loops_give_what_the_layers_give() -> None:
    torch.compiler.reset()
    fused_block._loops.cache_clear()
    block = made_block((3, 3), (2, 2))
    in_loops = copy.deepcopy(block)
    in_loops.loops_for_batch = BATCH
    image = torch.randn(BATCH, 3, 8, 8, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    assert_same_results(results(in_loops, image), results(block, image))


@pytest.mark.usefixtures("plain_loops")
@pytest.mark.parametrize(
    ("shape", "training"),
    [((BATCH + 1, 3, 8, 8), True), ((BATCH, 3, 8, 8), False), ((BATCH, 3, 8, 9), True), ((BATCH, 3, 9, 8), True)],
    ids=["another batch size", "evaluation with gradients", "odd width", "odd height"],
)
def test_the_layers_do_what_loops_are_not_for(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], training: bool
) -> None:
    block = made_block((3, 3), (2, 2)).train(training)
    block.loops_for_batch = BATCH
    monkeypatch.setattr(Block, "_in_loops", lambda *_: pytest.fail("computed in loops"))
    output = block(torch.randn(shape, dtype=torch.float64))
    assert output.shape == (shape[0], 5, shape[2] // 2, shape[3] // 2)


@pytest.mark.usefixtures("plain_loops")
def test_the_bias_does_not_move() -> None:
    """Normalising takes it away again, so there is no gradient to follow."""
    block = made_block((3, 3), (2, 2))
    block.loops_for_batch = BATCH
    block(torch.randn(BATCH, 3, 8, 8, dtype=torch.float64)).sum().backward()
    assert block.conv.bias.grad is None
