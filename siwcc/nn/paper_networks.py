"""NimeshaNet and LakshyaNet (paper, 2.3, tables 1 and 2), nets without a place for position, and the localiser.

A body takes an already encoded signal; a `Localiser` is the encoding layer followed by a body. The paper's bodies are
four blocks of convolution, batch normalisation, ReLU and mean pooling, one learnable weight per channel and
position, a linear layer and a scaled sigmoid:

    (B, C, *shape) -> blocks -> (B, 128, *positions) -> weighted sum -> (B, 128) -> linear, sigmoid -> (B, outputs)

The paper says that the reduced variants, which halve the positions along each axis, have about 75 % fewer
weights in the learnable pool: true of LakshyaNet (1024 -> 256 a channel), 52 % for NimeshaNet (31 -> 15).

A weight per position knows where things are, so both nets can predict without a coordinate channel. `PooledNet` has
the same blocks and takes mean and maximum over the positions instead: what tells it positions is its input. So are the
networks of `siwcc.nn.heatmap_networks`, which score every place.

Everything runs in channels_last and one-dimensional signals run as images of height 1: on a CPU that is the
same arithmetic in about two thirds of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from siwcc.config import PAPERS_VARIANTS
from siwcc.nn.coordinate_channels import CoordinateChannels, find_encoding
from siwcc.nn.fused_block import Block, check_signal, mean_and_maximum, to_channels_last
from siwcc.nn.heatmap_networks import AS_THE_VARIANT, DenseNet, HeatmapOptions, Readout, ResidualNet, Standardise
from siwcc.nn.unet import UNet

__all__ = [
    "NETWORKS",
    "VARIANTS",
    "LakshyaNet",
    "Localiser",
    "NimeshaNet",
    "PooledNet",
    "build_localiser",
    "count_parameters",
]

WIDTHS = (16, 32, 64, 128)
FEATURES = WIDTHS[-1]
# Of LakshyaNet's four blocks, those that end in a pooling.
_FULL_HALVINGS = 3


def _check_variant(variant: str) -> None:
    if variant not in PAPERS_VARIANTS:
        raise ValueError(f"unknown variant {variant!r}: choose one of {', '.join(PAPERS_VARIANTS)}")


def _time_blocks(in_channels: int) -> nn.Sequential:
    """NimeshaNet's blocks: (B, C, 1, length) -> (B, 128, 1, length // 16)."""
    pairs = zip((in_channels, *WIDTHS), WIDTHS, strict=False)
    return nn.Sequential(*(Block(inputs, outputs, (1, 3), (1, 2)) for inputs, outputs in pairs))


def _image_blocks(in_channels: int, halvings: int) -> nn.Sequential:
    """LakshyaNet's blocks: (B, C, H, W) -> (B, 128, H >> halvings, W >> halvings)."""
    pairs = zip((in_channels, *WIDTHS), WIDTHS, strict=False)
    return nn.Sequential(*(Block(a, b, (3, 3), (2, 2) if i < halvings else None) for i, (a, b) in enumerate(pairs)))


class Encoded(NamedTuple):
    """What a body is made for.

    Attributes:
        channels: Of the encoded signal: its own and the coordinates.
        shape: (length,) or (height, width).
        extent: Coordinate of the last sample, x first: seconds or pixels.
        output_scale: The largest prediction, in the same unit.
        points: How many points are looked for; the predictions of all stand side by side, x before y.
        options: Of a network with a heatmap.
    """

    channels: int
    shape: tuple[int, ...]
    extent: tuple[float, ...]
    output_scale: float
    points: int = 1
    options: HeatmapOptions = AS_THE_VARIANT


class LearnablePool(nn.Module):
    """Sum over all positions of signal times a weight of its own for every channel and position.

    Equal to a depthwise convolution whose kernel is as large as its input, which torch computes more slowly.

    Args:
        weight: Start values, (channels, height, width).
        bias: Start values, (channels,), or None for no bias.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, signal: Tensor) -> Tensor:
        """(B, channels, height, width) -> (B, channels)."""
        # Positions in one axis, channels last: as an image, the weight's gradient takes four times as long.
        positions = signal.permute(0, 2, 3, 1).flatten(1, 2)
        weight = self.weight.permute(1, 2, 0).flatten(0, 1).unsqueeze(0)
        summed = cast(Tensor, torch.linalg.vecdot(positions, weight, dim=1))
        return summed if self.bias is None else summed + self.bias


class NimeshaNet(nn.Module):
    """The paper's network for one time in a signal (2.3, table 2).

    Four blocks Conv1d(k 3, padding 1) + BatchNorm + ReLU + AvgPool(2), computed as Conv2d(1 x 3); a learnable pool that
    starts from N(0, 1) and is not normalised; Linear(128, 1); sigmoid times `output_scale`. The reduced variant
    has one more AvgPool(2) before the learnable pool.

    Args:
        in_channels: Channels of the encoded signal: leads and coordinates.
        length: Samples; at least 16, or 32 when reduced. An odd last sample is dropped by a pooling.
        variant: `full` or `reduced`.
        output_scale: The prediction's largest value: the window's length in seconds.
        points: How many times are looked for.

    Shape:
        Input (B, in_channels, length); output (B, points), between 0 and `output_scale`.

    Raises:
        ValueError: unknown variant, a length that leaves no position; in the forward pass another input shape.
    """

    def __init__(
        self,
        in_channels: int = 3,
        length: int = 500,
        variant: str = "full",
        output_scale: float = 20.0,
        points: int = 1,
    ) -> None:
        super().__init__()
        _check_variant(variant)
        halvings = len(WIDTHS) + (variant == "reduced")
        if length < 2**halvings:
            raise ValueError(
                f"length {length} is too short: a {variant} NimeshaNet needs at least {2**halvings} samples"
            )
        self.input_shape = (in_channels, length)
        self.output_scale = output_scale
        self.blocks = _time_blocks(in_channels)
        self.extra_pool = nn.AvgPool2d((1, 2)) if variant == "reduced" else nn.Identity()
        self.pool = LearnablePool(torch.randn(FEATURES, 1, length // 2**halvings))
        self.head = nn.Linear(FEATURES, points)
        to_channels_last(self)

    @classmethod
    def for_signal(cls, signal: Encoded, variant: str) -> NimeshaNet:
        """The network for signals of one axis, (time,)."""
        if len(signal.shape) != 1:
            raise ValueError(f"NimeshaNet takes signals with one axis, (time,), not {signal.shape}")
        return cls(signal.channels, signal.shape[0], variant, signal.output_scale, signal.points)

    def forward(self, signal: Tensor) -> Tensor:
        """(B, in_channels, length) -> (B, points), in the unit of `output_scale`."""
        check_signal(signal, self.input_shape)
        image = signal.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        features = self.pool(self.extra_pool(self.blocks(image)))
        return torch.sigmoid(self.head(features)) * self.output_scale


class LakshyaNet(nn.Module):
    """The paper's network for one point in an image (2.3, table 1).

    Four blocks Conv2d(3 x 3, padding 1) + BatchNorm + ReLU, AvgPool(2) after the first three (reduced: after all
    four); a depthwise convolution over all that is left; Linear(128, 2); sigmoid times `output_scale`.

    Args:
        in_channels: Channels of the encoded image: colours and coordinates.
        image_size: Pixels along either side, or (height, width): multiples of 16.
        variant: `full` or `reduced`.
        output_scale: The prediction's largest value: the last pixel's coordinate along the longer side (255).
        points: How many points are looked for.

    Shape:
        Input (B, in_channels, height, width); output (B, 2 * points), x before y, up to `output_scale`.

    Raises:
        ValueError: unknown variant, impossible `image_size`; in the forward pass another input shape.
    """

    def __init__(
        self,
        in_channels: int = 5,
        image_size: int | tuple[int, int] = 256,
        variant: str = "full",
        output_scale: float = 255.0,
        points: int = 1,
    ) -> None:
        super().__init__()
        _check_variant(variant)
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        if min(height, width) < 16 or height % 16 or width % 16:
            raise ValueError(f"image_size must be a multiple of 16, not {image_size}")
        self.input_shape = (in_channels, height, width)
        self.output_scale = output_scale
        halvings = _FULL_HALVINGS + (variant == "reduced")
        self.blocks = _image_blocks(in_channels, halvings)
        places = (height // 2**halvings, width // 2**halvings)
        depthwise = nn.Conv2d(FEATURES, FEATURES, places, groups=FEATURES)
        self.pool = LearnablePool(depthwise.weight.detach().squeeze(1), cast(Tensor, depthwise.bias).detach())
        self.head = nn.Linear(FEATURES, 2 * points)
        to_channels_last(self)

    @classmethod
    def for_signal(cls, signal: Encoded, variant: str) -> LakshyaNet:
        """The network for images, (height, width)."""
        if len(signal.shape) != 2:
            raise ValueError(f"LakshyaNet takes images, (height, width), not {signal.shape}")
        height, width = signal.shape
        return cls(signal.channels, (height, width), variant, signal.output_scale, signal.points)

    def forward(self, signal: Tensor) -> Tensor:
        """(B, in_channels, height, width) -> (B, 2 * points), x before y, in the unit of `output_scale`."""
        check_signal(signal, self.input_shape)
        image = signal.contiguous(memory_format=torch.channels_last)
        features = self.pool(self.blocks(image))
        return torch.sigmoid(self.head(features)) * self.output_scale


class PooledNet(nn.Module):
    """A plain regression head: the blocks of the task's network, then mean and maximum over all positions.

    Signals of one axis go through NimeshaNet's blocks, images through LakshyaNet's (full); Linear(256, axes);
    sigmoid times `output_scale`. No weight belongs to a position, and a feature sees few of them:

    | | a feature sees | features stand apart by | positions, paper's size |
    |---|---|---|---|
    | one axis | 46 samples (1.84 s at 25 Hz) | 16 samples | 31 |
    | images | 38 x 38 pixels | 8 pixels | 32 x 32 |

    What tells it positions, beside the input: the convolutions' zero padding, seen by features whose field reaches
    over an edge (of a thing less than a field from it); and where a thing stands between two features, its position
    modulo 16 samples or 8 pixels. Samples at the end that do not fill a pooling hardly matter.

    Args:
        in_channels: Channels of the encoded signal.
        shape: (length,) of at least 16 samples, or (height, width) of at least 8 pixels each.
        output_scale: The prediction's largest value, one for all axes.
        points: How many points are looked for.

    Shape:
        Input (B, in_channels, *shape); output (B, points * axes), x before y, between 0 and `output_scale`.

    Raises:
        ValueError: a shape of other axes, or one that leaves no position; in the forward pass another input shape.
    """

    def __init__(self, in_channels: int, shape: tuple[int, ...], output_scale: float, points: int = 1) -> None:
        super().__init__()
        if len(shape) not in (1, 2):
            raise ValueError(f"PooledNet takes signals with one or two axes, not {shape}")
        halvings = len(WIDTHS) if len(shape) == 1 else _FULL_HALVINGS
        if min(shape) < 2**halvings:
            raise ValueError(f"shape {shape} is too small: PooledNet needs at least {2**halvings} along each axis")
        self.input_shape = (in_channels, *shape)
        self.output_scale = output_scale
        self.blocks = _time_blocks(in_channels) if len(shape) == 1 else _image_blocks(in_channels, halvings)
        self.head = nn.Linear(2 * FEATURES, points * len(shape))
        to_channels_last(self)

    def forward(self, signal: Tensor) -> Tensor:
        """(B, in_channels, *shape) -> (B, points * axes), x before y, in the unit of `output_scale`."""
        check_signal(signal, self.input_shape)
        image = signal.unsqueeze(2) if signal.dim() == 3 else signal
        features = self.blocks(image.contiguous(memory_format=torch.channels_last))
        return torch.sigmoid(self.head(mean_and_maximum(features))) * self.output_scale


def _pooled(signal: Encoded) -> PooledNet:
    return PooledNet(signal.channels, signal.shape, signal.output_scale, signal.points)


def _residual(signal: Encoded) -> ResidualNet:
    return ResidualNet(signal.channels, signal.shape, signal.output_scale, signal.points)


Padding = Literal["zeros", "replicate"]
"""What the convolutions of a heatmap network see beyond the edges: zeros, or the outermost pixel again."""


def _dense(
    signal: Encoded, readout: Readout, network: type[DenseNet] = DenseNet, padding: Padding = "zeros"
) -> DenseNet:
    # A single point is always there; of several, one may be absent.
    several = signal.points > 1
    made = network(signal.channels, signal.shape, signal.extent, readout, signal.points, several, signal.options)
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = padding
    return made


# How the variants that make a heatmap read it.
READOUTS: dict[str, Readout] = {"dense": "soft_argmax", "heatmap": "arg_max", "median": "median"}
# Networks for any number of axes. Of signals of one axis they see no gain and no offset; images and volumes are
# normalised when read.
STANDARDISED = ("residual", *READOUTS)
_OF_EVERY_TASK: dict[str, Callable[[Encoded], nn.Module]] = {
    "pooled": _pooled,
    "residual": _residual,
    **{variant: partial(_dense, readout=readout) for variant, readout in READOUTS.items()},
}
# By (network of the task, variant). The paper's two have every variant but those for images only.
NETWORKS: dict[tuple[str, str], Callable[[Encoded], nn.Module]] = {
    ("nimesha", "full"): partial(NimeshaNet.for_signal, variant="full"),
    ("nimesha", "reduced"): partial(NimeshaNet.for_signal, variant="reduced"),
    ("lakshya", "full"): partial(LakshyaNet.for_signal, variant="full"),
    ("lakshya", "reduced"): partial(LakshyaNet.for_signal, variant="reduced"),
    **{(network, name): make for network in ("nimesha", "lakshya") for name, make in _OF_EVERY_TASK.items()},
    **{("volume", name): _OF_EVERY_TASK[name] for name in STANDARDISED},
    ("lakshya", "unet"): partial(_dense, readout="arg_max", network=UNet),
    # Zeros beyond the edge show a convolution where the edge is; repeated edge pixels do not.
    ("lakshya", "unet_replicate"): partial(_dense, readout="arg_max", network=UNet, padding="replicate"),
}
VARIANTS = tuple(dict.fromkeys(variant for _, variant in NETWORKS))


class Localiser(nn.Module):
    """A signal in, coordinates of the point out: the encoding layer, then the body.

    Args:
        encoding: The first layer that adds anything.
        body: A network that takes the encoded signal.
        prepare: What is done to the signal before it is encoded; None for nothing. It has no weights.

    Shape:
        Input (B, signal channels, *shape); output (B, outputs), in the unit of the body's output scale.
    """

    def __init__(self, encoding: CoordinateChannels, body: nn.Module, prepare: nn.Module | None = None) -> None:
        super().__init__()
        self.prepare = prepare or nn.Identity()
        self.encoding = encoding
        self.body = body

    def encoded(self, signal: Tensor) -> Tensor:
        """What the body is given, (B, channels, *shape)."""
        return cast(Tensor, self.encoding(self.prepare(signal)))

    def forward(self, signal: Tensor) -> Tensor:
        """(B, signal channels, *shape) -> (B, outputs)."""
        return cast(Tensor, self.body(self.encoded(signal)))

    @property
    def tells_visible(self) -> bool:
        """Whether it says of a point that it is not there."""
        return isinstance(self.body, DenseNet) and self.body.absence is not None

    def predict_with_confidence(self, signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The predictions, (B, outputs), the confidence of each point, and how much says that it is visible.

        Both are (B, points), 0 ... 1. Bodies that make no map are not sure of anything, (B, 0); nor do those whose
        points are always there say whether they are visible.
        """
        encoded, nothing = self.encoded(signal), signal.new_empty(len(signal), 0)
        if not isinstance(self.body, DenseNet):
            return self.body(encoded), nothing, nothing
        log_map = self.body.log_map(encoded)
        prediction = self.body.decode(log_map)
        visible = nothing if self.body.absence is None else self.body.visible(log_map)
        return prediction, self.body.confidence(log_map, prediction), visible


def build_localiser(
    network: str,
    variant: str,
    encoding: str,
    signal_channels: int,
    shape: tuple[int, ...],
    extent: tuple[float, ...],
    output_scale: float,
    points: int = 1,
    options: HeatmapOptions = AS_THE_VARIANT,
) -> Localiser:
    """A localiser with new weights, drawn from torch's global random numbers.

    Args:
        network: The task's network, `nimesha`, `lakshya` or `volume`.
        variant: One of `VARIANTS`: the paper's `full` or `reduced`, `pooled`, or one of `siwcc.nn.heatmap_networks`.
        encoding: A key of `siwcc.nn.coordinate_channels.ENCODINGS`.
        signal_channels: Channels that the localiser is given.
        shape: The signal's axes after the channels: (time,), (height, width) or (depth, height, width).
        extent: Coordinate of the last sample, x first: seconds, pixels or voxels.
        output_scale: The largest prediction, in the same unit.
        points: How many points are looked for.
        options: Of a variant with a heatmap; the others have no use for them.

    Raises:
        ValueError: an unknown name, a variant that the network does not have, or a shape that it cannot take.
    """
    known = dict.fromkeys(name for name, _ in NETWORKS)
    if network not in known:
        raise ValueError(f"unknown network {network!r}: choose one of {', '.join(known)}")
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}: choose one of {', '.join(VARIANTS)}")
    if (network, variant) not in NETWORKS:
        there = ", ".join(name for of, name in NETWORKS if of == network)
        raise ValueError(f"the network {network!r} has no variant {variant!r}: choose one of {there}")
    channels = signal_channels + find_encoding(encoding).added(len(shape))
    layer = CoordinateChannels(encoding, extent, shape=shape)
    prepare = Standardise() if variant in STANDARDISED and len(shape) == 1 else None
    encoded = Encoded(channels, shape, extent, output_scale, points, options)
    return Localiser(layer, NETWORKS[network, variant](encoded), prepare)


def count_parameters(module: nn.Module) -> int:
    """How many numbers training changes: elements of all parameters that require a gradient."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
