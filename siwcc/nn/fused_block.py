"""The networks' block; where torch compiles it on a CPU, it is computed in few passes over memory.

    convolution -> batch normalisation -> ReLU -> mean pooling

The outputs of a convolution are the largest tensors of a training step. Layer by layer each of them is read and
written a dozen times, and that takes longer than the convolutions. A fused block keeps only one of them, the
convolution's, y. With z = a y + b for its normalisation (a and b from the batch's moments), h = [z > 0], P for the
pooling and g for the gradient at the block's output:

    forward    P relu(z) = a P(h y) + b P(h)
    backward   dz = h P'(g);  sum(dz) = sum(g P(h));  sum(dz y) = sum(g P(h y))

so that the two sums which batch normalisation's gradient needs (Ioffe and Szegedy 2015, section 3) come from tensors
of the pooled size. The gradient at y is then a dz plus an affine function of y, channel by channel. This is the
layers' arithmetic up to rounding; the convolution's bias, which normalising takes away again, gets no gradient. The
formulas are plain tensor operations, which torch's compiler joins to one loop each; one by one they would be slower
than the layers.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Block", "channels_last", "check_signal", "mean_and_maximum", "to_channels_last"]

Window = tuple[int, int]


def check_signal(signal: Tensor, expected: tuple[int, ...]) -> None:
    """Refuse an encoded signal of another shape than (batch, *expected).

    Raises:
        ValueError: both shapes.
    """
    if tuple(signal.shape[1:]) != expected:
        axes = ", ".join(str(size) for size in expected)
        raise ValueError(f"expected an encoded signal of shape (batch, {axes}), got {tuple(signal.shape)}")


def channels_last(dims: int) -> torch.memory_format:
    """The layout in which a CPU computes fastest; signals of one axis are images of height 1."""
    return torch.channels_last_3d if dims == 3 else torch.channels_last


def to_channels_last(network: nn.Module, dims: int = 2) -> None:
    """Keep the weights of a network of convolutions over so many axes as a CPU computes with them fastest."""
    network.to(memory_format=channels_last(dims))  # type: ignore[call-overload]  # torch's signature forgets it


def mean_and_maximum(features: Tensor) -> Tensor:
    """Of every channel over all positions, (B, C, *places) -> (B, 2 C), means before maxima."""
    places = tuple(range(2, features.dim()))
    return torch.cat((features.mean(places), features.amax(places)), dim=1)


class Block(nn.Module):
    """Convolution with as much padding as keeps the size, BatchNorm, ReLU and, where asked for, AvgPool.

    Args:
        inputs: Channels before.
        outputs: Channels after.
        kernel: Odd height and width of the convolution.
        pool: Height and width of the mean pooling, None for none. An incomplete last window is dropped.

    Attributes:
        fused: Whether what torch compiles is the formulas of this module instead of the layers.

    Shape:
        Input (B, inputs, H, W); output (B, outputs, H // pool height, W // pool width).
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], pool: Window | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.Identity() if pool is None else nn.AvgPool2d(pool)
        self.window = pool or (1, 1)
        self.fused = False

    def forward(self, image: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, pooled H, pooled W)."""
        if self.fused and torch.compiler.is_compiling():
            return self._trained(image) if self.training else self._evaluated(image)
        return cast(Tensor, self.pool(self.relu(self.norm(self.conv(image)))))

    def _trained(self, image: Tensor) -> Tensor:
        norm = self.norm
        arguments = (image, self.conv.weight, norm.weight, norm.bias, self.conv.padding, self.window, norm.eps)
        output, mean, variance = _FusedBlock.apply(*arguments)  # type: ignore[no-untyped-call]
        self._keep_moments(mean, variance, values=image.numel() // image.shape[1])
        return cast(Tensor, output)

    def _evaluated(self, image: Tensor) -> Tensor:
        norm = self.norm
        a = norm.weight / (cast(Tensor, norm.running_var) + norm.eps).sqrt()
        b = norm.bias + (cast(Tensor, self.conv.bias) - cast(Tensor, norm.running_mean)) * a
        y = torch.conv2d(image, self.conv.weight, None, padding=self.conv.padding)
        on = [(place * _each(a) + _each(b)).clamp_min(0.0) for place in _places(y, self.window)]
        return _sum(on) * _fraction(self.window)

    @torch.no_grad()
    def _keep_moments(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Update what evaluation normalises with, as BatchNorm does: with the unbiased variance."""
        norm = self.norm
        momentum = cast(float, norm.momentum)
        cast(Tensor, norm.running_mean).lerp_(mean + cast(Tensor, self.conv.bias), momentum)
        cast(Tensor, norm.running_var).lerp_(variance * (values / (values - 1)), momentum)
        cast(Tensor, norm.num_batches_tracked).add_(1)


class _FusedBlock(torch.autograd.Function):
    """See the module's docstring. Returns the output, and the mean and biased variance of y."""

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        kernel: Tensor,
        gamma: Tensor,
        beta: Tensor,
        padding: tuple[int, int],
        window: Window,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = torch.conv2d(image, kernel, None, padding=padding)
        mean, variance = _moments(y)
        deviation = (variance + eps).sqrt()
        a = gamma / deviation
        b = beta - mean * a
        output, count, on_y = _normalise(y, a, b, window)
        ctx.save_for_backward(image, kernel, y, count, on_y, a, b, mean, deviation)
        ctx.padding, ctx.window = padding, window
        ctx.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        image, kernel, y, count, on_y, a, b, mean, deviation = ctx.saved_tensors
        d_beta = (gradient * (count.to(y.dtype) * _fraction(ctx.window))).sum((0, 2, 3))
        d_gamma = ((gradient * on_y).sum((0, 2, 3)) - mean * d_beta) / deviation
        values = y.numel() // y.shape[1]
        slope = -a * d_gamma / (deviation * values)
        offset = -a * d_beta / values - slope * mean
        spread = _spread(gradient * _each(a * _fraction(ctx.window)), ctx.window, y.shape)
        d_y = torch.where(y * _each(a) + _each(b) > 0, spread, 0.0) + (y * _each(slope) + _each(offset))
        wanted = (ctx.needs_input_grad[0], True, False)
        d_image, d_kernel, _none = torch.ops.aten.convolution_backward(
            d_y, image, kernel, None, (1, 1), ctx.padding, (1, 1), False, (0, 0), 1, wanted
        )
        return d_image, d_kernel, d_gamma, d_beta, None, None, None


def _moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel, (C,) each, in one pass.

    Sums are taken about the first sample's mean: about 0 the square of a mean that is large against
    the deviation would leave nothing of the variance.
    """
    count = y.numel() // y.shape[1]
    about = y[0].mean((1, 2))
    moved = y - _each(about)
    mean = moved.sum((0, 2, 3)) / count
    variance = moved.square().sum((0, 2, 3)) / count - mean.square()
    return about + mean, variance.clamp_min(0.0)


def _normalise(y: Tensor, a: Tensor, b: Tensor, window: Window) -> tuple[Tensor, Tensor, Tensor]:
    """P relu(a y + b), how many places of each window are on, and P(h y).

    Each is (B, C, pooled H, pooled W); the count, uint8, takes a quarter of what P(h) would.
    """
    places = _places(y, window)
    on = [(place * _each(a) + _each(b) > 0).to(y.dtype) for place in places]
    fraction = _fraction(window)
    count = _sum(on)
    on_y = _sum([is_on * place for is_on, place in zip(on, places, strict=True)]) * fraction
    return on_y * _each(a) + count * fraction * _each(b), count.to(torch.uint8), on_y


def _places(image: Tensor, window: Window) -> list[Tensor]:
    """(B, C, H, W) -> for every place in a window its values, (B, C, pooled H, pooled W)."""
    height, width = (size // step * step for size, step in zip(image.shape[2:], window, strict=True))
    starts = [(row, column) for row in range(window[0]) for column in range(window[1])]
    return [image[:, :, row : height : window[0], column : width : window[1]] for row, column in starts]


def _spread(pooled: Tensor, window: Window, shape: torch.Size) -> Tensor:
    """The value of each window for all of its places: (B, C, pooled H, pooled W) -> `shape`, 0 outside of windows."""
    rows = pooled.permute(0, 2, 3, 1)[:, :, None, :, None].expand(-1, -1, window[0], -1, window[1], -1)
    image = rows.flatten(3, 4).flatten(1, 2)
    missing = (shape[2] - image.shape[1], shape[3] - image.shape[2])
    return functional.pad(image, (0, 0, 0, missing[1], 0, missing[0])).permute(0, 3, 1, 2)


def _sum(values: list[Tensor]) -> Tensor:
    return sum(values[1:], start=values[0])


def _each(values: Tensor) -> Tensor:
    """A number for each channel, (C,), in the shape that goes with (B, C, H, W)."""
    return values.view(1, -1, 1, 1)


def _fraction(window: Window) -> float:
    """What one place counts for in the mean of its window."""
    return 1.0 / (window[0] * window[1])
