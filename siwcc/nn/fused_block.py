"""The networks' block; on a CPU it can be computed in few loops over memory, which torch compiles.

    convolution -> batch normalisation -> ReLU -> mean pooling

The outputs of a convolution are the largest tensors of a training step. Layer by layer each of them is read and
written a dozen times, and for images that takes longer than the convolutions. A block in loops keeps only one of
them, the convolution's, y. With z = a y + b for its normalisation (a and b from the batch's moments), h = [z > 0],
P for the pooling and g for the gradient at the block's output:

    forward    P relu(z) = a P(h y) + b P(h)
    backward   dz = h P'(g);  sum(dz) = sum(g P(h));  sum(dz y) = sum(g P(h y))

so that the two sums which batch normalisation's gradient needs (Ioffe and Szegedy 2015, section 3) come from tensors
of the pooled size. The gradient at y is then a dz plus an affine function of y, channel by channel. This is the
layers' arithmetic up to rounding; the convolution's bias, which normalising takes away again, gets the gradient 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

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
        loops_for_batch: Batches of this size are computed in compiled loops on a CPU, in training and in evaluation
            without gradients; None for none. torch compiles for one size: a last short batch is left to the layers.

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
        self.loops_for_batch: int | None = None

    def forward(self, image: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, pooled H, pooled W)."""
        if image.shape[0] == self.loops_for_batch and self._fits_loops(image):
            return self._in_loops(image) if self.training else self._evaluated_in_loops(image)
        return cast(Tensor, self.pool(self.relu(self.norm(self.conv(image)))))

    def _fits_loops(self, image: Tensor) -> bool:
        whole_windows = image.shape[2] % self.window[0] == 0 and image.shape[3] % self.window[1] == 0
        has_gradient = self.training == torch.is_grad_enabled()
        return image.device.type == "cpu" and whole_windows and has_gradient and not torch.compiler.is_compiling()

    def _in_loops(self, image: Tensor) -> Tensor:
        norm = self.norm
        settings = _Settings(cast(tuple[int, int], self.conv.padding), self.window, norm.eps)
        arguments = (image, self.conv.weight, norm.weight, norm.bias, settings)
        output, mean, variance = _BlockInLoops.apply(*arguments)  # type: ignore[no-untyped-call]
        self._keep_moments(mean, variance, values=image.numel() // image.shape[1])
        return cast(Tensor, output)

    def _evaluated_in_loops(self, image: Tensor) -> Tensor:
        norm = self.norm
        a = norm.weight / (cast(Tensor, norm.running_var) + norm.eps).sqrt()
        b = norm.bias + (cast(Tensor, self.conv.bias) - cast(Tensor, norm.running_mean)) * a
        y = _convolve(image, self.conv.weight, cast(tuple[int, int], self.conv.padding))
        return _loops().evaluate(y, a, b, self.window)

    @torch.no_grad()
    def _keep_moments(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Update what evaluation normalises with, as BatchNorm does: with the unbiased variance."""
        norm = self.norm
        momentum = cast(float, norm.momentum)
        cast(Tensor, norm.running_mean).lerp_(mean + cast(Tensor, self.conv.bias), momentum)
        cast(Tensor, norm.running_var).lerp_(variance * (values / (values - 1)), momentum)
        cast(Tensor, norm.num_batches_tracked).add_(1)


def _convolve(image: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """y, in channels_last memory and without the bias."""
    return torch.conv2d(image, kernel, None, padding=padding).contiguous(memory_format=torch.channels_last)


class _Settings(NamedTuple):
    padding: tuple[int, int]
    window: Window
    eps: float


class _BlockInLoops(torch.autograd.Function):
    """See the module's docstring. Returns the output, and the mean and biased variance of y."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, kernel: Tensor, gamma: Tensor, beta: Tensor, settings: _Settings
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = _convolve(image, kernel, settings.padding)
        mean, variance = _moments(y)
        deviation = (variance + settings.eps).sqrt_()
        a = gamma / deviation
        b = beta - mean * a
        output, count, on_y = _loops().normalise(y, a, b, settings.window)
        ctx.save_for_backward(image, kernel, y, count, on_y, a, b, mean, deviation)
        ctx.settings = settings
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return output, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        image, kernel, y, count, on_y, a, b, mean, deviation = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        d_beta, sum_dz_y = _loops().products(gradient, count, on_y, ctx.settings.window)
        d_gamma = (sum_dz_y - mean * d_beta) / deviation
        values = y.numel() // y.shape[1]
        slope = -a * d_gamma / (deviation * values)
        line = _Line(a, b, slope, -a * d_beta / values - slope * mean)
        # From here on y is no longer needed, and its memory is the largest there is.
        d_y = _loops().gradient(y, gradient, line, ctx.settings.window)
        wanted = (ctx.needs_input_grad[0], True, False)
        d_image, d_kernel, _none = torch.ops.aten.convolution_backward(
            d_y, image, kernel, None, (1, 1), ctx.settings.padding, (1, 1), False, (0, 0), 1, wanted
        )
        return d_image, d_kernel, d_gamma, d_beta, None


class _Line(NamedTuple):
    """Per channel: z = a y + b, and the gradient at y is a dz + slope y + offset."""

    a: Tensor
    b: Tensor
    slope: Tensor
    offset: Tensor


def _moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel, (C,) each, in one pass.

    Sums are taken about the first sample's mean: about 0 the square of a mean that is large against
    the deviation would leave nothing of the variance.
    """
    count = y.numel() // y.shape[1]
    about = y[0].mean((1, 2))
    total, square = _loops().sums(y, about)
    mean = total / count
    return about + mean, (square / count - mean.square()).clamp_min_(0.0)


# --------------------------------------------------------- compiled, each to a loop


def _windows(image: Tensor, window: Window) -> Tensor:
    """(B, C, H, W) -> (B, H / height, height, W / width, width, C)."""
    batch, channels, height, width = image.shape
    shape = (batch, height // window[0], window[0], width // window[1], window[1], channels)
    return image.permute(0, 2, 3, 1).view(shape)


def _fraction(window: Window) -> float:
    """What one place counts for in the mean of its window."""
    return 1.0 / (window[0] * window[1])


def _sums(y: Tensor, about: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the batch and all positions of y - about and of its square, (C,) each."""
    moved = y - about.view(1, -1, 1, 1)
    return moved.sum((0, 2, 3)), moved.square().sum((0, 2, 3))


def _normalise(y: Tensor, a: Tensor, b: Tensor, window: Window) -> tuple[Tensor, Tensor, Tensor]:
    """P relu(a y + b), how many places of each window are on, and P(h y).

    Each is (B, C, pooled H, pooled W) in channels_last memory; the count, uint8, takes a quarter of what P(h) would.
    """
    windows = _windows(y, window)
    on = (windows * a + b > 0).to(y.dtype)
    fraction = _fraction(window)
    count, pooled_on_y = on.sum((2, 4)), (on * windows).sum((2, 4)) * fraction
    output = pooled_on_y * a + count * fraction * b
    return output.permute(0, 3, 1, 2), count.to(torch.uint8).permute(0, 3, 1, 2), pooled_on_y.permute(0, 3, 1, 2)


def _evaluate(y: Tensor, a: Tensor, b: Tensor, window: Window) -> Tensor:
    """P relu(a y + b), (B, C, pooled H, pooled W) in channels_last memory."""
    fraction = _fraction(window)
    return ((_windows(y, window) * a + b).clamp_min(0.0).sum((2, 4)) * fraction).permute(0, 3, 1, 2)


def _products(gradient: Tensor, count: Tensor, on_y: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """sum(dz) and sum(dz y), (C,) each."""
    fraction = _fraction(window)
    fractions_on = count.to(gradient.dtype) * fraction
    return (gradient * fractions_on).sum((0, 2, 3)), (gradient * on_y).sum((0, 2, 3))


def _gradient(y: Tensor, gradient: Tensor, line: _Line, window: Window) -> Tensor:
    """Replace y by the gradient at y, from that at the block's output."""
    windows = _windows(y, window)
    fraction = _fraction(window)
    spread = (gradient.permute(0, 2, 3, 1) * (line.a * fraction))[:, :, None, :, None]
    d_y = torch.where(windows * line.a + line.b > 0, spread, 0.0) + (windows * line.slope + line.offset)
    return y.copy_(d_y.view(y.shape[0], *y.shape[2:], y.shape[1]).permute(0, 3, 1, 2))


class _Loops(NamedTuple):
    sums: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    normalise: Callable[[Tensor, Tensor, Tensor, Window], tuple[Tensor, Tensor, Tensor]]
    evaluate: Callable[[Tensor, Tensor, Tensor, Window], Tensor]
    products: Callable[[Tensor, Tensor, Tensor, Window], tuple[Tensor, Tensor]]
    gradient: Callable[[Tensor, Tensor, _Line, Window], Tensor]


@lru_cache(maxsize=1)
def _loops() -> _Loops:
    import torch._dynamo.config
    import torch._inductor.config

    # One of each loop for every block of a network; and no pool of compiler processes, which would outlive a kill.
    torch._dynamo.config.recompile_limit = 64
    torch._inductor.config.compile_threads = 1
    loops = (_sums, _normalise, _evaluate, _products, _gradient)
    return _Loops(*(cast(Any, torch.compile(loop, dynamic=False)) for loop in loops))
