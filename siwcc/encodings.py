"""Coordinate channels, plain and weighted by the signal: functions, one registry, one layer.

The convention, shown for an image of height 3 and width 4 (a signal is `(batch, channels, *shape)`):

                 x ->                             the two channels that `coord` appends, x before y
               0   1   2   3
             +---+---+---+---+                    0 1 2 3          0 0 0 0
       y  0  | o |   |   |   |                    0 1 2 3          1 1 1 1
       |  1  |   |   |   |   |                    0 1 2 3          2 2 2 2
       v  2  |   |   |   | * |
             +---+---+---+---+

* Coordinates belong to sample *centres*: `o` is at (0, 0), `*` at (3, 2).
* x runs along the last axis, y along the one before it, z before that. A one-dimensional signal has x only.
* An axis of n samples runs from 0 to its extent, which is the coordinate of the *last* sample, in even
  steps of extent / (n - 1). The default extent, n - 1, gives the sample's index. An axis of one sample is 0.

Formulas, for signal channel c at position p: `coord` appends x(p), y(p), ...; `weighted` appends
x(p) mean_c signal(c, p), y(p) mean_c signal(c, p), ... (paper, 2.2.1 and 2.2.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = [
    "ENCODINGS",
    "CoordinateChannels",
    "Encoding",
    "coordinates",
    "encode",
    "encode_coord",
    "encode_none",
    "encode_weighted",
    "find_encoding",
]

MAX_SPATIAL_DIMS = 3


def coordinates(
    shape: Sequence[int],
    extent: Sequence[float] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Coordinate of every sample, one channel an axis, x first.

    Args:
        shape: Samples along each axis, in the order of the tensor: (x,), (y, x) or (z, y, x).
        extent: Coordinate of the last sample, x first, in any unit; default: its index, size - 1.
        dtype: Of the result. Values are computed in float64 and rounded once, here.
        device: Of the result.

    Returns:
        (D, *shape), from 0 to `extent`; an axis of one sample is 0.

    Raises:
        ValueError: `extent` has another number of entries than `shape`.
    """
    dims = len(shape)
    if extent is not None and len(extent) != dims:
        raise ValueError(f"extent {tuple(extent)} has {len(extent)} entries, the signal has {dims} spatial axes")
    # Apple's GPUs have no float64.
    where = "cpu" if device is not None and torch.device(device).type == "mps" else device
    channels = []
    for i, size in enumerate(reversed(shape)):
        axis = torch.arange(size, dtype=torch.float64, device=where)
        if extent is not None:
            # Not torch.linspace: export would fix its number of steps to the example's.
            axis = axis * extent[i] / max(size - 1, 1)
        one_axis = [1] * (dims - 1 - i) + [size] + [1] * i
        channels.append(axis.to(device=device, dtype=dtype).reshape(one_axis).expand(tuple(shape)))
    return torch.stack(channels)


def encode_none(signal: Tensor, coords: Tensor) -> Tensor:
    """Append nothing.

    Args:
        signal: (B, C, *shape).
        coords: (D, *shape), unused.

    Returns:
        (B, 0, *shape).
    """
    return signal[:, :0]


def encode_coord(signal: Tensor, coords: Tensor) -> Tensor:
    """Append the coordinates themselves: CoordConv (paper, 2.2.1).

    Args:
        signal: (B, C, *shape), of which only the batch size matters.
        coords: (D, *shape).

    Returns:
        (B, D, *shape).
    """
    return coords.expand(signal.shape[0], *coords.shape)


def encode_weighted(signal: Tensor, coords: Tensor) -> Tensor:
    """Append each coordinate times the mean of the signal's channels (paper, 2.2.2).

    Args:
        signal: (B, C, *shape).
        coords: (D, *shape).

    Returns:
        (B, D, *shape); differentiable in `signal`.
    """
    return coords * signal.mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class Encoding:
    """An entry of the registry.

    Attributes:
        append: From signal (B, C, *shape) and coordinates (D, *shape) the channels to append (B, added, *shape).
        added: How many channels that is, from the number of spatial axes D.
        formula: The i-th appended channel at position p, as printed in documents.
    """

    append: Callable[[Tensor, Tensor], Tensor]
    added: Callable[[int], int]
    formula: str


ENCODINGS: dict[str, Encoding] = {
    "none": Encoding(encode_none, lambda dims: 0, "nothing"),
    "coord": Encoding(encode_coord, lambda dims: dims, "x_i(p)"),
    "weighted": Encoding(encode_weighted, lambda dims: dims, "x_i(p) * mean_c s_c(p)"),
}


def find_encoding(name: str) -> Encoding:
    """The registry's entry of that name.

    Raises:
        ValueError: there is none; the message lists those that exist.
    """
    if name not in ENCODINGS:
        raise ValueError(f"unknown encoding {name!r}: choose one of {', '.join(ENCODINGS)}")
    return ENCODINGS[name]


def encode(signal: Tensor, name: str, extent: Sequence[float] | None = None) -> Tensor:
    """The signal with its coordinate channels after its own.

    Args:
        signal: (B, C, *shape) with one to three spatial axes, any floating-point dtype, any device.
        name: A key of `ENCODINGS`.
        extent: Coordinate of the last sample along each axis, x first; default: its index.

    Returns:
        (B, C + added, *shape) of the signal's dtype and device; channels_last stays channels_last. When nothing
        is added, the signal itself.

    Raises:
        ValueError: unknown name, wrong number of axes, or an extent that does not fit them.
        TypeError: the signal is not floating-point.
    """
    encoding = find_encoding(name)
    if not signal.is_floating_point():
        raise TypeError(f"the signal must be floating-point, not {signal.dtype}: convert it first")
    shape = signal.shape[2:]
    if not 1 <= len(shape) <= MAX_SPATIAL_DIMS:
        raise ValueError(f"the signal must be (batch, channels, [z, [y,]] x), not of shape {tuple(signal.shape)}")
    coords = coordinates(shape, extent, signal.dtype, signal.device)
    appended = encoding.append(signal, coords)
    if appended.shape[1] == 0:
        return signal
    return torch.cat((signal, _in_layout_of(signal, appended)), dim=1)


def _in_layout_of(signal: Tensor, appended: Tensor) -> Tensor:
    """`appended` in channels_last where the signal is: `cat` falls back to contiguous if they differ."""
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(signal.dim())
    if layout is None or signal.is_contiguous() or not signal.is_contiguous(memory_format=layout):
        return appended
    return appended.contiguous(memory_format=layout)


class CoordinateChannels(nn.Module):
    """Append coordinate channels to a signal; the first layer of a network that must know where things are.

    For a signal s with coordinates x_1 = x, x_2 = y, x_3 = z, the layer returns s followed by, for every axis i,

        coord:     x_i(p)
        weighted:  x_i(p) * mean_c s_c(p)
        none:      (nothing)

    Works on any floating-point dtype and device, follows those of its input, has no parameters and passes
    gradients through the weighting.

    Args:
        encoding: A key of `ENCODINGS`.
        extent: Coordinate of the last sample along each axis, x first, in any unit: `(20.0,)` or `20.0` for
            a signal of 20 s. Default: the sample's index, as for the paper's images.
        spatial_dims: 1, 2 or 3. When given, the input may also come without the batch axis.

    Shape:
        Input (B, C, *shape), or (C, *shape) with `spatial_dims`; output the same with `added_channels` more channels.

    Raises:
        ValueError: unknown encoding, impossible `spatial_dims`, an extent that is not finite or does not
            fit `spatial_dims`; in the forward pass a signal of the wrong rank.
        TypeError: in the forward pass, a signal that is not floating-point.

    Example:
        >>> layer = CoordinateChannels("weighted", spatial_dims=2)
        >>> network = nn.Sequential(layer, nn.Conv2d(3 + layer.added_channels(), 16, 3))
    """

    def __init__(
        self,
        encoding: str = "weighted",
        extent: float | Sequence[float] | None = None,
        spatial_dims: int | None = None,
    ) -> None:
        super().__init__()
        find_encoding(encoding)
        if spatial_dims is not None and spatial_dims not in range(1, MAX_SPATIAL_DIMS + 1):
            raise ValueError(f"spatial_dims must be 1, 2 or 3, not {spatial_dims!r}")
        self.encoding = encoding
        self.spatial_dims = spatial_dims
        self.extent = _checked_extent(extent, spatial_dims)

    def added_channels(self, spatial_dims: int | None = None) -> int:
        """How many channels the layer appends.

        Args:
            spatial_dims: Axes of the signal; needed only when the layer was given neither these nor an extent.

        Raises:
            ValueError: the number depends on the axes and nothing says how many there are.
        """
        known = self.spatial_dims or (len(self.extent) if self.extent else None)
        dims = known if spatial_dims is None else spatial_dims
        if dims is None:
            raise ValueError("the number of added channels depends on the signal's axes: give spatial_dims")
        return find_encoding(self.encoding).added(dims)

    def forward(self, signal: Tensor) -> Tensor:
        """The signal with its coordinate channels after its own; see the class."""
        if self.spatial_dims is None:
            return encode(signal, self.encoding, self.extent)
        if signal.dim() == self.spatial_dims + 1:
            return encode(signal.unsqueeze(0), self.encoding, self.extent).squeeze(0)
        if signal.dim() == self.spatial_dims + 2:
            return encode(signal, self.encoding, self.extent)
        raise ValueError(
            f"expected (batch, channels, *shape) or (channels, *shape) with {self.spatial_dims} spatial axes, "
            f"got a tensor of shape {tuple(signal.shape)}"
        )

    def extra_repr(self) -> str:
        """What `print(layer)` shows in the brackets."""
        return f"{self.encoding!r}, extent={self.extent}, spatial_dims={self.spatial_dims}"


def _checked_extent(extent: float | Sequence[float] | None, spatial_dims: int | None) -> tuple[float, ...] | None:
    if extent is None:
        return None
    values = (float(extent),) if isinstance(extent, int | float) else tuple(float(value) for value in extent)
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"extent must be finite, not {values}")
    allowed = (spatial_dims,) if spatial_dims is not None else range(1, MAX_SPATIAL_DIMS + 1)
    if len(values) not in allowed:
        raise ValueError(f"extent {values} has {len(values)} entries, needs {' or '.join(map(str, allowed))}, x first")
    return values
