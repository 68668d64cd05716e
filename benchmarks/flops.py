"""Floating-point operations of a step, counted from the architecture, and the machine's convolution peak."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# A 3 x 3 convolution 128 -> 128: (batch, height and width) that fit a core's caches more or less.
PEAK_CHANNELS = 128
PEAK_SIZES = ((8, 32), (32, 32), (2, 64), (8, 64))
_REPEATS = 5


def layer_macs(network: nn.Module, signal: Tensor) -> list[int]:
    """Multiply-accumulates of each convolution and linear layer for `signal`, in the order they run.

    Batch normalisation, pooling, activation and the optimiser are left out, as is usual; they take time all the same.
    """
    found: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        found.append(output.numel() * weight[0].numel())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        network(signal)
    for hook in hooks:
        hook.remove()
    return found


def training_flops(macs: Sequence[int]) -> int:
    """Operations of a step: forward, gradient of the weights, gradient of the inputs - but not of the first layer's.

    Two operations a multiply-accumulate, so 6 MACs a layer and 4 for the first.
    """
    return 2 * (3 * sum(macs) - macs[0])


def convolution(batch: int, size: int, layout: torch.memory_format) -> tuple[nn.Conv2d, Tensor, int]:
    """The convolution that the peak is measured with, its input and its forward operations."""
    layer = nn.Conv2d(PEAK_CHANNELS, PEAK_CHANNELS, 3, padding=1).to(memory_format=layout)  # type: ignore[call-overload]
    signal = torch.randn(batch, PEAK_CHANNELS, size, size).contiguous(memory_format=layout)
    return layer, signal, 2 * batch * size * size * PEAK_CHANNELS * PEAK_CHANNELS * 9


class PeakMeter:
    """The fastest of several sizes and both memory layouts; found at the first measurement, then kept."""

    def __init__(self) -> None:
        layouts = (torch.contiguous_format, torch.channels_last)
        self._cases = [convolution(*size, layout) for size in PEAK_SIZES for layout in layouts]

    def flops_per_s(self) -> float:
        """Operations a second of the fastest repeat."""
        rates = [_fastest(*case) for case in self._cases]
        self._cases = [self._cases[rates.index(max(rates))]]
        return max(rates)


@torch.inference_mode()
def _fastest(layer: nn.Conv2d, signal: Tensor, flops: int) -> float:
    layer(signal)
    seconds = []
    for _ in range(_REPEATS):
        started_at = time.perf_counter()
        layer(signal)
        seconds.append(time.perf_counter() - started_at)
    return flops / min(seconds)
