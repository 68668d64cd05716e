"""The formulas of the fused block against torch's own layers."""

from __future__ import annotations

import copy

import pytest
import torch
from tolerances import FLOAT64, assert_same, largest

from siwcc.nn import fused_block
from siwcc.nn.fused_block import Block

pytestmark = pytest.mark.numeric
BATCH = 3


@pytest.fixture
def as_if_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The formulas without the compiler: to compile them for every case would take minutes."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)


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
    pytest.param((1, 3), (1, 2), (1, 21), id="signal, odd length"),
    pytest.param((3, 3), (2, 2), (8, 12), id="image"),
    pytest.param((3, 3), (2, 2), (9, 13), id="image, odd sides"),
    pytest.param((3, 3), None, (5, 7), id="image without pooling"),
    pytest.param((3, 3), (2, 3), (4, 9), id="image, oblong window"),
]


@pytest.mark.usefixtures("as_if_compiling")
@pytest.mark.parametrize(("kernel", "pool", "size"), SHAPES)
def test_the_formulas_give_what_the_layers_give(
    kernel: tuple[int, int], pool: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    block = made_block(kernel, pool)
    fused = copy.deepcopy(block)
    fused.fused = True
    image = torch.randn(BATCH, 3, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    assert_same_results(results(fused, image), results(block, image))


@pytest.mark.usefixtures("as_if_compiling")
@pytest.mark.parametrize(("kernel", "pool", "size"), SHAPES)
def test_the_formulas_evaluate_as_the_layers_do(
    kernel: tuple[int, int], pool: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    block = made_block(kernel, pool).eval()
    image = torch.randn(BATCH, 3, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = block(image)
        block.fused = True
        found = block(image)
    assert not torch.equal(found, expected), "the layers were used"
    assert_same(found, expected, FLOAT64)


def test_a_large_mean_costs_no_variance() -> None:
    """In float32 sums of squares about 0 would lose every digit of the variance: 1e8 against 1.

    The mean keeps eight roundings of 6e-8, the variance eight of a deviation from the first sample's mean.
    """
    y = (torch.randn(4, 2, 16, 16, dtype=torch.float64) + 1e4).float()
    mean, variance = fused_block._moments(y)
    expected_variance, expected_mean = torch.var_mean(y.double(), dim=(0, 2, 3), correction=0)
    assert_same(mean, expected_mean, 5e-7)
    assert_same(variance, expected_variance, 1e-4)


def test_without_the_compiler_the_layers_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    block = made_block((3, 3), (2, 2))
    block.fused = True
    monkeypatch.setattr(Block, "_trained", lambda *_: pytest.fail("computed by the formulas"))
    monkeypatch.setattr(Block, "_evaluated", lambda *_: pytest.fail("computed by the formulas"))
    image = torch.randn(BATCH, 3, 8, 9, dtype=torch.float64)
    assert block(image).shape == block.eval()(image).shape == (BATCH, 5, 4, 4)


@pytest.mark.usefixtures("as_if_compiling")
def test_the_bias_does_not_move() -> None:
    """Normalising takes it away again, so there is no gradient to follow."""
    block = made_block((3, 3), (2, 2))
    block.fused = True
    block(torch.randn(BATCH, 3, 8, 8, dtype=torch.float64)).sum().backward()
    assert block.conv.bias.grad is None
