"""Fully convolutional heatmap networks, and one with global pooling.

The paper's networks have a weight for every position. Here the same small stack of dilated residual blocks looks at
every place, and

    `DenseNet`      gives every place a score; the scores are a map of where the point is, and the prediction is read
                    from that map;
    `ResidualNet`   takes mean and maximum over all places, as `siwcc.nn.paper_networks.PooledNet` does.

    (B, C, *shape) -> standardise -> convolutions -> (B, 32, *shape / stride) -> residual blocks ->
        DenseNet:    1 x 1 convolution -> scores (B, points, *shape / stride) -> softmax -> prediction
        ResidualNet: mean and maximum -> (B, 64) -> linear, sigmoid times the scale -> prediction

A signal with one axis keeps its length: every sample has a score. Images have two strided convolutions before the
blocks, volumes one; a score belongs to the pixel in the middle of what those see, in images every fourth along each
axis:

    pixel     0   1   2   3   4   5   6   7   8  ...
    score     0               1               2  ...        score i stands at pixel 4 i

| | before the blocks | dilations | a score sees | scores stand apart by | scores, paper's size |
|---|---|---|---|---|---|
| one axis | kernel 7 | 1, 2, 4, 8, 16, 32, kernels of 5 | 255 samples to either side, 10 s | 1 sample, 0.04 s | 500 |
| images | kernels 7 and 5, strides of 2 | 1, 2, 4, 8, kernels of 3 | 127 pixels to either side | 4 pixels | 64 x 64 |
| volumes | kernel 5, stride of 2 | 1, 2, 4, kernels of 3 | 30 voxels to either side | 2 voxels | |

A map of one axis has one row: its places are (1, length).

What tells them positions, beside the input: the zeros that the convolutions see beyond the edges.

Three ways to read a map are there, each with the loss that suits it; a recipe may choose another loss, decoder or width
of the Gaussian (`HeatmapOptions`):

    soft_argmax   the mean place under the softmax; the loss is the squared error of that place, plus the
                  Jensen-Shannon divergence between the softmax and a Gaussian around the point (DSNT, Nibali et al.
                  2018, arXiv:1801.07372, sections 3.2 and 3.4);
    arg_max       the place with the most mass around it, refined by a parabola through its neighbours, after the
                  scores are divided by `TEMPERATURE` and the map is smoothed by `SMOOTHING`; the loss is cross-entropy
                  with that Gaussian. A second candidate elsewhere does not move the prediction;
    median        the same loss, so the same weights; along each axis the place with half of the map, at a higher
                  softmax temperature, on either side. Where candidates compete its mean error is
                  smaller, but it is less often right.

Points that stand one below the other may be decoded together: `siwcc.nn.point_chain`.

A point may be absent. With `can_be_absent` the softmax has one more place for each point, whose logit comes from mean
and maximum of the features over all places; the loss wants all of the mass there when the point is not visible. The map
then sums to what is left, so the mass around the prediction, its confidence, falls by itself:

    features -> 1 x 1 convolution ------> scores  --.
        '----> mean and maximum -> linear -> absent  +-> softmax -> map (B, points, *places), absent (B, points)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import mul
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from siwcc.nn.fused_block import channels_last, check_signal, mean_and_maximum, to_channels_last
from siwcc.nn.heatmap_losses import adaptive_wing, squared_error
from siwcc.nn.point_chain import PointChain

__all__ = ["DenseNet", "HeatmapOptions", "Loss", "Readout", "ResidualNet", "Standardise", "mean_map"]

Readout = Literal["soft_argmax", "arg_max", "median", "chain"]
Loss = Literal["cross_entropy", "squared_error", "adaptive_wing", "soft_argmax"]

WIDTH = 32
# Outputs, kernel and stride of the convolutions before the residual blocks, by the number of axes.
STEM = {1: ((WIDTH, 7, 1),), 2: ((WIDTH // 2, 7, 2), (WIDTH, 5, 2)), 3: ((WIDTH, 5, 2),)}
# By the number of axes: samples, pixels or voxels between two scores.
STRIDE = {dims: math.prod(stride for *_, stride in stem) for dims, stem in STEM.items()}
# Of the residual blocks, by the number of axes.
KERNEL = {1: 5, 2: 3, 3: 3}
DILATIONS = {1: (1, 2, 4, 8, 16, 32), 2: (1, 2, 4, 8), 3: (1, 2, 4)}
# Standard deviation of the Gaussian around the point, in scores, by the number of axes: 0.32 s at 25 Hz, 4 pixels,
# 2 voxels.
SPREAD = {1: 8.0, 2: 1.0, 3: 1.0}
# Before a peak or median is taken the map's logarithms are divided by this, by the number of axes: networks are too
# confident. By the likelihood of the true times on inner validation folds (docs/lab-notebook/localiser-search.md);
# images and volumes are decoded as they are.
TEMPERATURE = {1: 1.75, 2: 1.0, 3: 1.0}
# Standard deviation of the Gaussian that a peak is taken after, in scores, by the number of axes: 0.64 s, 4 pixels,
# 2 voxels.
SMOOTHING = {1: 16.0, 2: 1.0, 3: 1.0}
# What counts as around the prediction, as a fraction of the extent: 1 s of 20 s.
AROUND = 0.05
_SMALLEST_DEVIATION = 1e-3
# Steps from the first to the last score: a peak has two neighbours.
_SMALLEST_MAP = 2
_SMALLEST_FRACTION = 1e-9
# Of a heatmap that is trained to be a Gaussian of height 1: lower values count as this.
_SMALLEST_HEIGHT = 1e-6


class HeatmapOptions(NamedTuple):
    """What a recipe changes about a heatmap network; None: as the variant has it.

    Attributes:
        loss: What training makes small; see `siwcc.nn.heatmap_losses` for those that are not in this module.
        decoder: How a point is read from the heatmap.
        sigma: Standard deviation of the Gaussian around the point, seconds or pixels.
    """

    loss: Loss | None = None
    decoder: Readout | None = None
    sigma: float | None = None


AS_THE_VARIANT = HeatmapOptions()


class Standardise(nn.Module):
    """Every channel of every sample minus its mean, over its standard deviation plus 0.001.

    A recording's gain and offset say nothing about where its rhythm changes, and differ from patient to patient.

    Shape:
        Input and output (B, channels, *shape).
    """

    def forward(self, signal: Tensor) -> Tensor:
        """(B, channels, *shape) -> the same shape, without unit."""
        axes = tuple(range(2, signal.dim()))
        centred = signal - signal.mean(axes, keepdim=True)
        deviation = centred.square().mean(axes, keepdim=True).sqrt()
        return centred / (deviation + _SMALLEST_DEVIATION)


class ResidualBlock(nn.Module):
    """Two dilated convolutions with BatchNorm, added to their input (He et al. 2016, arXiv:1512.03385, figure 2).

    Args:
        width: Channels before and after.
        kernel: Odd size of the convolutions along each axis: (height, width), or (depth, height, width).
        dilation: Places between two taps.

    Shape:
        Input and output (B, width, *places).
    """

    def __init__(self, width: int, kernel: tuple[int, ...], dilation: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [*_convolution(width, width, kernel, dilation=dilation), nn.ReLU(inplace=True)]
        self.inner = nn.Sequential(*layers[:-1])

    def forward(self, image: Tensor) -> Tensor:
        """(B, width, *places) -> (B, width, *places)."""
        return torch.relu(image + self.inner(image))


def _convolution(
    inputs: int, outputs: int, kernel: tuple[int, ...], stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """A convolution that keeps the size but for its stride, and its BatchNorm; over as many axes as the kernel has."""
    convolution: Any = nn.Conv3d if len(kernel) == 3 else nn.Conv2d
    norm = nn.BatchNorm3d if len(kernel) == 3 else nn.BatchNorm2d
    padding = tuple(size // 2 * dilation for size in kernel)
    return [convolution(inputs, outputs, kernel, stride, padding, dilation, bias=False), norm(outputs)]


def _backbone(in_channels: int, dims: int) -> nn.Sequential:
    """(B, in_channels, *shape) -> (B, WIDTH, each ceil(size / stride)); one axis is (1, W), and its 1 stays so."""
    layers: list[nn.Module] = []
    inputs = in_channels
    for outputs, kernel, stride in STEM[dims]:
        layers += [*_convolution(inputs, outputs, _size(kernel, dims), stride), nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers, *(ResidualBlock(WIDTH, _size(KERNEL[dims], dims), step) for step in DILATIONS[dims]))


def _size(kernel: int, dims: int) -> tuple[int, ...]:
    """Size along each axis of a kernel that is as wide along each axis of the signal."""
    return (1, kernel) if dims == 1 else (kernel,) * dims


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in STRIDE:
        raise ValueError(f"{name} takes signals with one to three axes, not {shape}")
    smallest = _SMALLEST_MAP * STRIDE[len(shape)] + 1
    if min(shape) < smallest:
        raise ValueError(f"shape {shape} is too small: {name} needs at least {smallest} along each axis")


class _Body(nn.Module):
    """The backbone, and the check of what goes into it."""

    def __init__(self, in_channels: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        _check_shape(type(self).__name__, shape)
        self.input_shape = (in_channels, *shape)
        self.backbone = self._make_backbone(in_channels, shape)

    def features(self, signal: Tensor) -> Tensor:
        """(B, in_channels, *shape) -> (B, WIDTH, *places)."""
        check_signal(signal, self.input_shape)
        image = signal.unsqueeze(2) if signal.dim() == 3 else signal
        return cast(Tensor, self.backbone(image.contiguous(memory_format=channels_last(len(self.input_shape) - 1))))

    def _make_backbone(self, in_channels: int, shape: tuple[int, ...]) -> nn.Module:
        return _backbone(in_channels, len(shape))


class ResidualNet(_Body):
    """A plain regression head on the residual backbone: mean and maximum over all places.

    Args:
        in_channels: Channels of the encoded signal.
        shape: (length,), (height, width) or (depth, height, width); at least 3 samples, or 9 pixels or 5 voxels along
            each axis.
        output_scale: The prediction's largest value, one for all axes.
        points: How many points are looked for.

    Shape:
        Input (B, in_channels, *shape); output (B, points * axes), x before y, between 0 and `output_scale`.

    Raises:
        ValueError: a shape of other axes or too small; in the forward pass another input shape.
    """

    def __init__(self, in_channels: int, shape: tuple[int, ...], output_scale: float, points: int = 1) -> None:
        super().__init__(in_channels, shape)
        self.output_scale = output_scale
        self.head = nn.Linear(2 * WIDTH, points * len(shape))
        to_channels_last(self, len(shape))

    def forward(self, signal: Tensor) -> Tensor:
        """(B, in_channels, *shape) -> (B, points * axes), x before y, in the unit of `output_scale`."""
        pooled = mean_and_maximum(self.features(signal))
        return torch.sigmoid(self.head(pooled)) * self.output_scale


class DenseNet(_Body):
    """A score for every place, and the point read from the heatmap.

    Args:
        in_channels: Channels of the encoded signal.
        shape: (length,), (height, width) or (depth, height, width); at least 3 samples, or 9 pixels or 5 voxels along
            each axis.
        extent: Coordinate of the last sample, x first, seconds or pixels.
        readout: `soft_argmax`, `arg_max` or `median`; see the module.
        points: How many points are looked for, each with a map of its own.
        can_be_absent: Whether a point may be absent; see the module.
        options: Another loss, decoder or width of the Gaussian than those of the readout.

    Shape:
        Input (B, in_channels, *shape); output (B, points * axes): x before y, point by point.

    Raises:
        ValueError: a shape of other axes or too small; in the forward pass another input shape.
    """

    def __init__(
        self,
        in_channels: int,
        shape: tuple[int, ...],
        extent: Sequence[float],
        readout: Readout,
        points: int = 1,
        can_be_absent: bool = False,
        options: HeatmapOptions = AS_THE_VARIANT,
    ) -> None:
        super().__init__(in_channels, shape)
        self.readout = options.decoder or readout
        self.trained_by = options.loss or ("soft_argmax" if readout == "soft_argmax" else "cross_entropy")
        self.points = points
        width = self._width(len(shape))
        self.head = nn.Conv3d(width, points, 1) if len(shape) == 3 else nn.Conv2d(width, points, 1)
        self.absence = nn.Linear(2 * width, points) if can_be_absent else None
        self.stride = stride = self._stride(len(shape))
        # x first, as predictions are.
        self.step = tuple(stride * last / (size - 1) for size, last in zip(shape[::-1], extent, strict=True))
        self.temperature = TEMPERATURE[len(shape)]
        self.smoothing = self._smoothing(len(shape))
        spread = self._spread(len(shape))
        self.sigma = tuple(spread * step if options.sigma is None else options.sigma for step in self.step)
        self.chain = PointChain(points, self.step) if self.readout == "chain" else None
        self.around = tuple(AROUND * last for last in extent)
        if len(shape) == 3:
            # A volume has few voxels along an axis: there is always a score around the prediction.
            self.around = tuple(max(reach, step) for reach, step in zip(self.around, self.step, strict=True))
        # Whole numbers, exact in every dtype; no part of the weights.
        for name, size in zip("xyz", shape[::-1], strict=False):
            numbers = torch.arange(-(-size // stride), dtype=torch.float32)
            self.register_buffer(f"number_{name}", numbers, persistent=False)
        to_channels_last(self, len(shape))

    def _width(self, dims: int) -> int:
        """Channels of the features."""
        return WIDTH

    def _stride(self, dims: int) -> int:
        """Samples or pixels between two scores."""
        return STRIDE[dims]

    def _spread(self, dims: int) -> float:
        """Standard deviation of the Gaussian, in scores, where no option gives it."""
        return SPREAD[dims]

    def _smoothing(self, dims: int) -> float:
        """Standard deviation of the Gaussian that a peak is taken after, in scores."""
        return SMOOTHING[dims]

    @property
    def _axes(self) -> list[Tensor]:
        """Coordinates of the scores along each axis, x first."""
        return [
            cast(Tensor, getattr(self, f"number_{name}")) * step for name, step in zip("xyz", self.step, strict=False)
        ]

    def log_map(self, signal: Tensor) -> Tensor:
        """(B, in_channels, *shape) -> (B, points, *places), logarithms of fractions.

        They sum to 1 over all places; with `can_be_absent` to what is not there.
        """
        return self.log_fractions(signal)[0]

    def log_fractions(self, signal: Tensor) -> tuple[Tensor, Tensor | None]:
        """The map, (B, points, *places), and the fraction for an absent point, (B, points), as logarithms."""
        return self._fractions(*self._scores(signal))

    def log_map_and_loss(self, signal: Tensor, target: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """The map of `log_map`, and what training makes small; target and deviation as in `loss`."""
        scores, absent = self._scores(signal)
        log_map, log_absent = self._fractions(scores, absent)
        if not self._is_regressed:
            return log_map, self.loss(log_map, target, deviation, log_absent)
        return log_map, self._regression_loss(scores, absent, target)

    @property
    def _is_regressed(self) -> bool:
        """Whether the scores are trained to be a Gaussian of height 1, so that no softmax is taken of them."""
        return self.trained_by in ("squared_error", "adaptive_wing")

    def _scores(self, signal: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores of the places, (B, points, *places), and of an absent point, (B, points)."""
        features = self.features(signal)
        absent = None if self.absence is None else self.absence(mean_and_maximum(features))
        return self.head(features), absent

    def _fractions(self, scores: Tensor, absent: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What `log_fractions` gives, from the scores."""
        if self._is_regressed:
            heights = scores.clamp_min(_SMALLEST_HEIGHT).log()
            places = functional.log_softmax(heights.flatten(2), dim=2).view(scores.shape)
            if absent is None:
                return places, None
            return places + _of_all_places(functional.logsigmoid(-absent), places), functional.logsigmoid(absent)
        if absent is None:
            return functional.log_softmax(scores.flatten(2), dim=2).view(scores.shape), None
        fractions = functional.log_softmax(torch.cat([scores.flatten(2), absent.unsqueeze(2)], dim=2), dim=2)
        return fractions[:, :, :-1].reshape(scores.shape), fractions[:, :, -1]

    def forward(self, signal: Tensor) -> Tensor:
        """(B, in_channels, *shape) -> (B, points * axes), in the unit of `extent`."""
        return self.decode(self.log_map(signal))

    def visible(self, log_map: Tensor) -> Tensor:
        """The fraction of each point's map that lies in places, (B, points, *places) -> (B, points), 0 ... 1."""
        # Sums of float32 fractions end a little above 1.
        return log_map.flatten(2).logsumexp(2).exp().clamp(max=1)

    def decode(self, log_map: Tensor) -> Tensor:
        """The point that a heatmap encodes, (B, points, *places) -> (B, points * axes); as if it were visible."""
        log_map = self._as_if_visible(log_map)
        if self.chain is not None:
            return cast(Tensor, self.chain(log_map)).flatten(1)
        if self.readout == "soft_argmax":
            return self._mean_place(log_map.exp()).flatten(1)
        broad = self._at_temperature(log_map)
        places = self._median_place(broad) if self.readout == "median" else self._peak_place(broad)
        return places.flatten(1)

    def _as_if_visible(self, log_map: Tensor) -> Tensor:
        if self.absence is None:
            return log_map
        return log_map - _of_all_places(log_map.flatten(2).logsumexp(2), log_map)

    def confidence(self, log_map: Tensor, prediction: Tensor) -> Tensor:
        """How much of the map lies around its prediction: within 5 % of the extent along each axis.

        Args:
            log_map: (B, points, *places).
            prediction: (B, points * axes), what `decode` gives.

        Returns:
            (B, points), 0 ... 1.
        """
        at = prediction.view(len(prediction), self.points, -1)
        mass = log_map.exp()
        for axis, (coordinate, reach) in enumerate(zip(self._axes, self.around, strict=True)):
            near = (coordinate - at[:, :, axis, None]).abs() <= reach
            mass = mass * _of_axis(near, axis, mass.dim() - 2)
        return _sum_of_places(mass).clamp(max=1)

    def loss(self, log_map: Tensor, target: Tensor, deviation: Tensor, log_absent: Tensor | None = None) -> Tensor:
        """What training makes small by cross-entropy or soft-argmax; see the module.

        Args:
            log_map: (B, points, *places).
            target: (B, points * axes), in the unit of `extent`; with `can_be_absent` NaN where a point is not visible.
            deviation: (points * axes,), standard deviation of the training targets: the unit of the squared error.
            log_absent: (B, points), with `can_be_absent`.
        """
        if log_absent is not None:
            return self._loss_with_absence(log_map, log_absent, target, deviation)
        wanted = self._gaussian(target)
        if self.trained_by != "soft_argmax":
            return -_sum_of_places(wanted * log_map).mean()
        error = (self._mean_place(log_map.exp()).flatten(1) - target) / deviation
        return error.square().mean() + _divergence(log_map, wanted).mean()

    def _loss_with_absence(self, log_map: Tensor, log_absent: Tensor, target: Tensor, deviation: Tensor) -> Tensor:
        known = target.isfinite()
        target = torch.where(known, target, torch.zeros_like(target))
        there = known.view(len(target), self.points, -1).all(2).to(log_map.dtype)
        wanted = self._gaussian(target)
        wanted = wanted * _of_all_places(there, wanted)
        if self.trained_by != "soft_argmax":
            return -(_sum_of_places(wanted * log_map) + (1 - there) * log_absent).mean()
        mean_place = self._mean_place(self._as_if_visible(log_map).exp()).flatten(1)
        error = torch.where(known, (mean_place - target) / deviation, torch.zeros_like(target))
        fractions = torch.cat([log_map.flatten(2), log_absent.unsqueeze(2)], dim=2).unsqueeze(3)
        all_wanted = torch.cat([wanted.flatten(2), (1 - there).unsqueeze(2)], dim=2).unsqueeze(3)
        squared = error.square().sum() / known.sum().clamp_min(1)
        return squared + _divergence(fractions, all_wanted).mean()

    def _regression_loss(self, scores: Tensor, absent: Tensor | None, target: Tensor) -> Tensor:
        """How far the scores are from a Gaussian of height 1, or from 0 where the point is absent."""
        known = target.isfinite()
        there = known.view(len(target), self.points, -1).all(2).to(scores.dtype)
        target = torch.where(known, target, torch.zeros_like(target))
        wanted = self._heights(target) * _of_all_places(there, scores)
        # Places under a Gaussian: the loss does not depend on the size of the image.
        area = math.prod(math.sqrt(math.pi) * sigma / step for sigma, step in zip(self.sigma, self.step, strict=True))
        of_place = adaptive_wing if self.trained_by == "adaptive_wing" else squared_error
        # Of an error of 1 at the peak: beside the loss of absence all count alike.
        one = [1] * scores.dim()
        unit = of_place(scores.new_zeros(one), scores.new_ones(one)).flatten()
        error = _sum_of_places(of_place(scores, wanted)).mean() / (area * unit[0])
        if absent is None:
            return error
        return error + functional.binary_cross_entropy_with_logits(absent, 1 - there)

    def _at_temperature(self, log_map: Tensor) -> Tensor:
        """A heatmap at a higher softmax temperature, of the same shape."""
        if self.temperature == 1:
            return log_map.exp()
        return (log_map.flatten(2) / self.temperature).softmax(2).view(log_map.shape)

    def _mean_place(self, fraction: Tensor) -> Tensor:
        """(B, points, axes), the mean place under a map."""
        return torch.stack([(of * at).sum(-1) for of, at in zip(_along(fraction), self._axes, strict=False)], dim=-1)

    def _median_place(self, fraction: Tensor) -> Tensor:
        """(B, points, axes), along each axis the place with half of a map on either side, between the scores, too."""
        lines = zip(_along(fraction), self.step, strict=False)
        return torch.stack([_half_way(line) * step for line, step in lines], dim=-1)

    def _peak_place(self, fraction: Tensor) -> Tensor:
        """(B, points, axes), where a smoothed map is highest, between the scores, too."""
        smooth = self._smoothed(fraction).flatten(2)
        top = smooth.argmax(dim=2)
        places, apart = [], 1
        for size, step in zip(fraction.shape[:1:-1], self.step, strict=False):
            at = top // apart % size
            # The line along this axis through the peak: its places are so far apart in the flat map.
            line = (top - at * apart).unsqueeze(2) + apart * torch.arange(size, device=top.device)
            places.append((at.to(fraction.dtype) + _vertex(smooth.gather(2, line), at)) * step)
            apart *= size
        return torch.stack(places, dim=-1)

    def _smoothed(self, fraction: Tensor) -> Tensor:
        """The mass around each place, (B, points, *places)."""
        reach = math.ceil(3 * self.smoothing)
        offsets = torch.arange(-reach, reach + 1, device=fraction.device, dtype=fraction.dtype)
        weights = torch.exp(-0.5 * (offsets / self.smoothing) ** 2)
        smooth = fraction.flatten(0, 1).unsqueeze(1)
        places = smooth.dim() - 2
        convolve = functional.conv3d if places == 3 else functional.conv2d
        for axis in range(len(self.step)):
            padding = [reach if place == places - 1 - axis else 0 for place in range(places)]
            smooth = convolve(smooth, _of_axis(weights, axis, places)[None, None], padding=padding)
        return smooth.view(fraction.shape)

    def _gaussian(self, target: Tensor) -> Tensor:
        """(B, points, *places), fractions of a Gaussian around each target that sum to 1."""
        return _outer([logit.softmax(dim=2) for logit in self._log_heights(target)])

    def _heights(self, target: Tensor) -> Tensor:
        """(B, points, *places), a Gaussian of height 1 around each target."""
        return _outer([logit.exp() for logit in self._log_heights(target)])

    def _log_heights(self, target: Tensor) -> list[Tensor]:
        """Logarithms of a Gaussian of height 1 along each axis, (B, points, places), x first."""
        at = target.view(len(target), self.points, -1)
        return [
            -0.5 * ((coordinate - at[:, :, axis, None]) / sigma) ** 2
            for axis, (coordinate, sigma) in enumerate(zip(self._axes, self.sigma, strict=True))
        ]


def mean_map(log_maps: Sequence[Tensor]) -> Tensor:
    """The mean of the maps of several networks, each (B, points, *places), as logarithms."""
    return torch.logsumexp(torch.stack(list(log_maps)), dim=0) - math.log(len(log_maps))


def _outer(parts: Sequence[Tensor]) -> Tensor:
    """A map from its parts along the axes, (B, points, places) each, x first."""
    return reduce(mul, [_of_axis(part, axis, max(2, len(parts))) for axis, part in enumerate(parts)])


def _along(fraction: Tensor) -> list[Tensor]:
    """What of a map lies at each place along each axis, x first: (B, points, W), (B, points, H), ..."""
    axes = range(2, fraction.dim())
    return [fraction.sum([other for other in axes if other != axis]) for axis in reversed(axes)]


def _of_axis(values: Tensor, axis: int, places: int) -> Tensor:
    """Values along one axis, (..., size), for a map with so many axes of places: (..., 1, size, 1); x is axis 0."""
    return values[(..., *(slice(None) if place == places - 1 - axis else None for place in range(places)))]


def _of_all_places(values: Tensor, log_map: Tensor) -> Tensor:
    """(B, points) as (B, points, 1, 1, ...), for a map."""
    return values[(..., *[None] * (log_map.dim() - 2))]


def _sum_of_places(values: Tensor) -> Tensor:
    """(B, points, *places) -> (B, points)."""
    return values.sum(tuple(range(2, values.dim())))


def _half_way(line: Tensor) -> Tensor:
    """Where the fractions before and after are equal, (B, points, places) -> (B, points), in steps.

    A fraction is spread evenly over half a step to either side of its place; nothing lies beyond the ends.
    """
    until = line.cumsum(2)
    index = (until < 0.5).sum(2, keepdim=True).clamp_max(line.shape[2] - 1)
    fraction = line.gather(2, index)
    before = until.gather(2, index) - fraction
    place = index.to(line.dtype) - 0.5 + (0.5 - before) / fraction.clamp_min(_SMALLEST_FRACTION)
    return place.clamp(0, line.shape[2] - 1).squeeze(2)


def _vertex(line: Tensor, top: Tensor) -> Tensor:
    """Where the parabola through a peak and its neighbours is highest, from the peak, in steps: -0.5 ... 0.5.

    Args:
        line: (B, points, places).
        top: int64 (B, points), the peak's number; at either end the prediction is 0.
    """
    inside = top.clamp(1, line.shape[2] - 2)
    before, middle, after = (line.gather(2, (inside + by).unsqueeze(2)).squeeze(2) for by in (-1, 0, 1))
    bend = (before - 2 * middle + after).clamp(max=-_SMALLEST_FRACTION)
    offset = (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
    return torch.where(top == inside, offset, torch.zeros_like(offset))


def _divergence(log_map: Tensor, wanted: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two maps of fractions, (B, points, *places) -> (B, points), in nats."""
    fraction = log_map.exp()
    log_wanted = wanted.clamp_min(_SMALLEST_FRACTION).log()
    log_middle = (0.5 * (fraction + wanted)).clamp_min(_SMALLEST_FRACTION).log()
    parts = fraction * (log_map - log_middle) + wanted * (log_wanted - log_middle)
    return 0.5 * _sum_of_places(parts)
