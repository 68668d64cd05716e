"""The settings of the C library against its own statistics, and Adam against torch's."""

from __future__ import annotations

import copy
import ctypes
import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from siwcc.training.torch_setup import Adam, keep_large_buffers

PROBE = """
import ctypes, sys
from siwcc.training.torch_setup import keep_large_buffers

class Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.mallinfo2.restype = Statistics
if sys.argv[1] == "keep":
    assert keep_large_buffers()
before = libc.mallinfo2()
block = libc.malloc(64 * 2**20)
during = libc.mallinfo2()
libc.free(block)
after = libc.mallinfo2()
print(during.hblkhd - before.hblkhd >= 64 * 2**20, after.fordblks - before.fordblks >= 60 * 2**20)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="needs glibc 2.33 or newer for its statistics",
)
@pytest.mark.parametrize(("setting", "mapped_afresh", "kept"), [("default", True, False), ("keep", False, True)])
def test_large_blocks_are_kept(setting, mapped_afresh, kept):
    prediction = subprocess.run([sys.executable, "-c", PROBE, setting], capture_output=True, text=True, check=True)
    assert prediction.stdout.split() == [str(mapped_afresh), str(kept)]


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_large_buffers() is False
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_large_buffers() is False


# ---------------------------------------------------------------------- Adam

STEPS = 25


def network() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Conv2d(2, 4, (1, 3)), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 6, 1))


def train(model: nn.Module, optimiser: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        signal = torch.randn(8, 2, 1, 8, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad(set_to_none=True)
        model(signal).square().mean().backward()
        optimiser.step()


def assert_equal_to_the_bit(first: object, second: object) -> None:
    if isinstance(first, torch.Tensor):
        assert isinstance(second, torch.Tensor)
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert isinstance(second, dict)
        assert list(first) == list(second)
        for name in first:
            assert_equal_to_the_bit(first[name], second[name])
    else:
        assert first == second


@pytest.mark.numeric
def test_weights_and_state_are_those_of_torch_to_the_bit() -> None:
    ours, theirs = network(), network()
    our_optimiser = Adam(ours.parameters(), lr=1e-2)
    their_optimiser = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    train(ours, our_optimiser, 0, STEPS)
    train(theirs, their_optimiser, 0, STEPS)
    assert_equal_to_the_bit(dict(ours.state_dict()), dict(theirs.state_dict()))
    assert_equal_to_the_bit(our_optimiser.state_dict(), their_optimiser.state_dict())
    assert not torch.equal(ours.state_dict()["3.weight"], network().state_dict()["3.weight"])


@pytest.mark.numeric
def test_a_run_goes_on_from_a_state_of_either() -> None:
    whole = network()
    train(whole, torch.optim.Adam(whole.parameters(), lr=1e-2), 0, STEPS)
    half = network()
    first = torch.optim.Adam(half.parameters(), lr=1e-2)
    train(half, first, 0, 10)
    second = Adam(half.parameters(), lr=0.5)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(half, second, 10, STEPS)
    assert_equal_to_the_bit(dict(half.state_dict()), dict(whole.state_dict()))


@pytest.mark.numeric
def test_the_first_step_by_hand() -> None:
    # Bias-corrected, the first step is lr * g / (|g| + eps), eps 1e-8: the sign of the gradient times lr, in float32.
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimiser = Adam([weight], lr=0.125)
    weight.grad = torch.tensor([4.0, -0.5, 0.0])
    optimiser.step()
    assert weight.tolist() == pytest.approx([0.875, -1.875, 3.0], rel=1e-6)
    assert weight.requires_grad
    assert torch.is_grad_enabled()
    optimiser.zero_grad()
    assert weight.grad is None
