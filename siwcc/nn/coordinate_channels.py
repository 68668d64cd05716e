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
* An encoding of more than one channel an axis repeats the axes in this order: channel i belongs to axis i mod D.

Formulas, for signal channel c at position p: `coord` appends x(p), y(p), ...; `weighted` appends
x(p) mean_c signal(c, p), y(p) mean_c signal(c, p), ... (paper, 2.2.1 and 2.2.2). The others are controls for
these two; `ENCODINGS` and docs/reference/encodings.md list them.

An encoding has two parts: the maps that depend on the grid of positions only, which the layer makes once, and
the function that joins them with the signal in every step.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn

__all__ = [
    "ENCODINGS",
    "CoordinateChannels",
    "Encoding",
    "Grid",
    "coordinates",
    "encode",
    "find_encoding",
    "shuffled_order",
]

MAX_SPATIAL_DIMS = 3
_FEW_CHANNELS = 4
FOURIER_OCTAVES = 4
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class Grid(NamedTuple):
    """The positions of a signal: all that its maps depend on.

    Attributes:
        shape: Samples along each axis, in the order of the tensor: (x,), (y, x) or (z, y, x).
        extent: Coordinate of the last sample, x first, in any unit; None: its index, size - 1.
        dtype: Of the maps. Values are computed in float64 and rounded once.
        device: Of the maps.
    """

    shape: tuple[int, ...]
    extent: tuple[float, ...] | None
    dtype: torch.dtype
    device: torch.device


# --------------------------------------------------------------------- maps


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
    _check_extent_fits(extent, dims)
    where = _exact_device(device)
    channels = []
    for i, size in enumerate(reversed(shape)):
        axis = torch.arange(size, dtype=torch.float64, device=where)
        if extent is not None:
            # Not torch.linspace: export would fix its number of steps to the example's.
            axis = axis * extent[i] / max(size - 1, 1)
        one_axis = [1] * (dims - 1 - i) + [size] + [1] * i
        channels.append(axis.to(device=device, dtype=dtype).reshape(one_axis).expand(tuple(shape)))
    return torch.stack(channels)


_SIXTEEN_BITS = (torch.float16, torch.bfloat16)


def _check_precision(shape: Sequence[int], extent: Sequence[float] | None, dtype: torch.dtype) -> None:
    """Refuse a grid whose coordinates a 16-bit dtype would make infinite or equal.

    Args:
        shape: Samples along each axis, in the order of the tensor; an axis of symbolic size is not checked.
        extent: Coordinate of the last sample, x first; None: its index.
        dtype: Of the maps; wider ones are not checked.

    Raises:
        ValueError: two samples of an axis would get the same coordinate, or one that is not finite.
    """
    if dtype not in _SIXTEEN_BITS:
        return
    for i, size in enumerate(reversed(shape)):
        last = None if extent is None else abs(extent[i])
        if isinstance(size, int) and size > max(_most_samples(last, dtype), 1):
            end = f"{size - 1}" if last is None else f"{last:g}"
            fault = f"{size} coordinates from 0 to {end} are not finite and distinct in {dtype}"
            raise ValueError(f"{fault}: take a float32 signal{_unit_remedy(size, dtype)}")


def _most_samples(last: float | None, dtype: torch.dtype) -> int:
    """How many even steps from 0 to `last` surely stay finite and distinct; None: how many whole numbers.

    They do if a step is at least the distance between neighbouring numbers just below `last`, where it is largest.
    """
    limits = torch.finfo(dtype)
    if last is None:
        return int(2 / limits.eps) + 1
    if last == 0.0:
        # Asks for equal coordinates.
        return sys.maxsize
    # A power of two is 0.5 times the next one: the numbers just below it lie closer than those above.
    half, exponent = math.frexp(last)
    spacing = limits.eps * 2.0 ** (exponent - (2 if half == 0.5 else 1))
    return int(last / max(spacing, limits.tiny * limits.eps)) + 1 if last <= limits.max else 1


def _unit_remedy(size: int, dtype: torch.dtype) -> str:
    """Which encodings of the same dtype, or of float16, can tell so many samples apart."""
    for wide_enough in (dtype, torch.float16):
        if size <= _most_samples(1.0, wide_enough):
            with_dtype = "" if wide_enough == dtype else f" and a {wide_enough} signal"
            return f", or a *_unit encoding (coord_unit, weighted_unit){with_dtype}"
    return f"; a *_unit encoding resolves up to {_most_samples(1.0, torch.float16)} samples in {torch.float16}"


def _check_extent_fits(extent: Sequence[float] | None, dims: int) -> None:
    if extent is not None and len(extent) != dims:
        raise ValueError(f"extent {tuple(extent)} has {len(extent)} entries, the signal has {dims} spatial axes")


def _exact_device(device: torch.device | str | None) -> torch.device | str | None:
    """Where to compute: Apple's GPUs have no float64, and older systems cannot sort int64 on them."""
    return "cpu" if device is not None and torch.device(device).type == "mps" else device


def shuffled_order(count: int, device: torch.device | str | None = None) -> Tensor:
    """The permutation of `shuffled`: which position's value stands at each position.

    Positions are sorted by a 32-bit hash of their number (prospector32 of C. Wellons' hash-prospector). It is
    one-to-one, so there are no ties, and plain arithmetic, so the order is the same in every process, on every
    device and under every version of every library. The stream of numpy's generators may change between versions
    (NEP 19), and torch's random numbers belong to the training.

    Args:
        count: Positions of the flattened signal, all axes together.
        device: Of the result.

    Returns:
        int64 (count,), each of 0 ... count - 1 once; the identity for one position only.
    """
    mask = 0xFFFFFFFF
    # Both factors are below 2^30, so no product leaves int64.
    key = torch.arange(1, count + 1, dtype=torch.int64, device=_exact_device(device))
    key = ((key ^ (key >> 15)) * 0x2C1B3C6D) & mask
    key = ((key ^ (key >> 12)) * 0x297A2D39) & mask
    return torch.argsort(key ^ (key >> 15)).to(device)


def no_maps(grid: Grid) -> tuple[()]:
    """For encodings that need no position."""
    return ()


def coordinate_maps(grid: Grid) -> tuple[Tensor]:
    """Coordinates up to the grid's extent, (D, *shape)."""
    _check_precision(grid.shape, grid.extent, grid.dtype)
    return (coordinates(*grid),)


def unit_maps(grid: Grid) -> tuple[Tensor]:
    """Coordinates from 0 to 1, whatever the extent, (D, *shape)."""
    # Not grid._replace: torch 2.4 cannot compile it.
    unit = (1.0,) * len(grid.shape)
    _check_precision(grid.shape, unit, grid.dtype)
    return (coordinates(grid.shape, unit, grid.dtype, grid.device),)


def shuffled_maps(grid: Grid) -> tuple[Tensor, Tensor]:
    """Coordinates in shuffled order, (D, *shape), and the order itself, int64 (positions,)."""
    _check_precision(grid.shape, grid.extent, grid.dtype)
    order = shuffled_order(math.prod(grid.shape), grid.device)
    coords = coordinates(*grid)
    return coords.flatten(1).index_select(1, order).reshape(coords.shape), order


def fourier_maps(grid: Grid) -> tuple[Tensor]:
    """Sines and cosines of 2^k pi u, k = 0 ... 3, u the coordinate from 0 to 1 of each axis.

    Sinusoids of position as in Vaswani et al. 2017 (section 3.5), in the octaves of Mildenhall et al. 2020 (section
    5.1, eq. 4), over [0, 1]. The slowest is half a wave over the signal and its cosine tells all positions apart;
    the fastest has four waves.

    Returns:
        (8 D, *shape): sine of every axis, cosine of every axis, then the next k.

    Raises:
        ValueError: two samples of an axis would get the same channels in float16 or bfloat16.
    """
    # The fastest sine or cosine changes by 8 pi sqrt(1/2) > 16 times a step; values are spaced by at most eps / 2.
    most = 32 / torch.finfo(grid.dtype).eps
    if grid.dtype in _SIXTEEN_BITS and any(isinstance(size, int) and size > most for size in grid.shape):
        raise ValueError(
            f"waves over {max(grid.shape)} samples are not distinct in {grid.dtype}: take a float32 signal"
        )
    unit = coordinates(grid.shape, (1.0,) * len(grid.shape), torch.float64, _exact_device(grid.device))
    waves = [wave(math.pi * 2**k * unit) for k in range(FOURIER_OCTAVES) for wave in (torch.sin, torch.cos)]
    return (torch.cat(waves).to(device=grid.device, dtype=grid.dtype),)


def zero_map(shape: Sequence[int]) -> Tensor:
    """Start values of a learned map: one number for every axis and position, all 0, float32 (D, *shape).

    Zeros draw no random numbers, so a network starts from the same weights with `learned` as with `coord`; the
    random weights of the layer after it give every channel a gradient of its own.
    """
    return torch.zeros(len(shape), *shape)


# ----------------------------------------------------------------- channels


def append_nothing(signal: Tensor) -> Tensor:
    """Append no channel.

    Args:
        signal: (B, C, *shape).

    Returns:
        (B, 0, *shape).
    """
    return signal[:, :0]


def append_maps(signal: Tensor, maps: Tensor) -> Tensor:
    """Append maps that do not depend on the signal; with coordinates this is CoordConv (paper, 2.2.1).

    Args:
        signal: (B, C, *shape), of which only the batch size matters.
        maps: (channels, *shape).

    Returns:
        (B, channels, *shape).
    """
    return maps.expand(signal.shape[0], *maps.shape)


def append_weighted(signal: Tensor, coords: Tensor) -> Tensor:
    """Append each coordinate times the mean of the signal's channels (paper, 2.2.2).

    Args:
        signal: (B, C, *shape).
        coords: (D, *shape).

    Returns:
        (B, D, *shape); differentiable in `signal`.
    """
    return coords * _mean_intensity(signal)


def append_both(signal: Tensor, coords: Tensor) -> Tensor:
    """Append the coordinates, then the weighted ones.

    Args:
        signal: (B, C, *shape).
        coords: (D, *shape).

    Returns:
        (B, 2 D, *shape); differentiable in `signal`.
    """
    return torch.cat((append_maps(signal, coords), append_weighted(signal, coords)), dim=1)


def append_mean(signal: Tensor) -> Tensor:
    """Append the mean of the signal's channels, as often as it has axes: as many channels as `coord`, no position.

    Args:
        signal: (B, C, *shape).

    Returns:
        (B, D, *shape), D equal channels; differentiable in `signal`.
    """
    return _mean_intensity(signal).expand(signal.shape[0], signal.dim() - 2, *signal.shape[2:])


def append_shuffled(signal: Tensor, shuffled_coords: Tensor, order: Tensor) -> Tensor:
    """Append the weighted coordinates with all positions exchanged by one permutation.

    The whole product moves, not the coordinate or the mean alone: only so are its values exactly those of
    `weighted` while none tells where it came from.

    Args:
        signal: (B, C, *shape).
        shuffled_coords: (D, *shape), already in the new order.
        order: int64 (positions,), from `shuffled_order`.

    Returns:
        (B, D, *shape); differentiable in `signal`.
    """
    mean = _mean_intensity(signal)
    # On two axes `index_select` is five to nine times as fast as on three.
    return shuffled_coords * mean.flatten(1).index_select(1, order).reshape(mean.shape)


def append_inverted(signal: Tensor, coords: Tensor) -> Tensor:
    """Append each coordinate times how far the mean of the channels lies below its maximum over the sample.

    For images whose object is dark, as stained nuclei are: the darkest position weighs most, the brightest 0.
    A weight is never negative, so a signed signal (an ECG, a normalised image) loses its sign: its zero, padding
    included, weighs as much as the sample's maximum. Equal to that maximum times `coord`, minus `weighted`.

    Args:
        signal: (B, C, *shape).
        coords: (D, *shape).

    Returns:
        (B, D, *shape); differentiable in `signal`, equal maxima share the gradient.
    """
    mean = _mean_intensity(signal)
    return coords * (mean.amax(dim=tuple(range(2, signal.dim())), keepdim=True) - mean)


def _mean_intensity(signal: Tensor) -> Tensor:
    if signal.shape[1] > _FEW_CHANNELS or signal.dtype not in (torch.float32, torch.float64):
        return signal.mean(dim=1, keepdim=True)
    # The same to the bit; in channels_last memory torch's mean over a few channels takes twice as long.
    total = signal[:, :1]
    for channel in range(1, signal.shape[1]):
        total = total + signal[:, channel : channel + 1]
    return total / signal.shape[1]


# ----------------------------------------------------------------- registry


@dataclass(frozen=True)
class Encoding:
    """An entry of the registry.

    Attributes:
        append: From signal (B, C, *shape), the maps and, if there is one, the learned map, in this order, the
            channels to append (B, added, *shape).
        maps: The tensors that depend on the grid of positions only.
        added: How many channels are appended, from the number of spatial axes D.
        formula: Appended channels of axis i at position p. Its coordinate is x_i, from 0 to the extent, or u_i,
            from 0 to 1; the mean intensity is m(p) = mean_c s_c(p).
        learned_map: Start values of a parameter, from the signal's shape; None: nothing is learned.
    """

    append: Callable[..., Tensor]
    maps: Callable[[Grid], tuple[Tensor, ...]]
    added: Callable[[int], int]
    formula: str
    learned_map: Callable[[Sequence[int]], Tensor] | None = None


def _one_an_axis(dims: int) -> int:
    return dims


ENCODINGS: dict[str, Encoding] = {
    "none": Encoding(append_nothing, no_maps, lambda dims: 0, "nothing"),
    "coord": Encoding(append_maps, coordinate_maps, _one_an_axis, "x_i(p)"),
    "weighted": Encoding(append_weighted, coordinate_maps, _one_an_axis, "x_i(p) m(p)"),
    "coord_unit": Encoding(append_maps, unit_maps, _one_an_axis, "u_i(p)"),
    "weighted_unit": Encoding(append_weighted, unit_maps, _one_an_axis, "u_i(p) m(p)"),
    "both": Encoding(append_both, unit_maps, lambda dims: 2 * dims, "u_i(p), u_i(p) m(p)"),
    "duplicate": Encoding(append_mean, no_maps, _one_an_axis, "m(p)"),
    "shuffled": Encoding(append_shuffled, shuffled_maps, _one_an_axis, "x_i(o(p)) m(o(p)), o a fixed permutation"),
    "inverted": Encoding(append_inverted, coordinate_maps, _one_an_axis, "x_i(p) (max_q m(q) - m(p))"),
    "fourier": Encoding(
        append_maps,
        fourier_maps,
        lambda dims: 2 * FOURIER_OCTAVES * dims,
        "sin(2^k pi u_i(p)), cos(2^k pi u_i(p)), k = 0 ... 3",
    ),
    "learned": Encoding(append_maps, no_maps, _one_an_axis, "l_i(p), learned", learned_map=zero_map),
}


def find_encoding(name: str) -> Encoding:
    """The registry's entry of that name.

    Raises:
        ValueError: there is none; the message lists those that exist.
    """
    if name not in ENCODINGS:
        raise ValueError(f"unknown encoding {name!r}: choose one of {', '.join(ENCODINGS)}")
    return ENCODINGS[name]


def encode(
    signal: Tensor, name: str, extent: Sequence[float] | None = None, learned_map: Tensor | None = None
) -> Tensor:
    """The signal with its coordinate channels after its own.

    Args:
        signal: (B, C, *shape) with one to three spatial axes, any real dtype, any device.
        name: A key of `ENCODINGS`.
        extent: Coordinate of the last sample along each axis, x first; default: its index.
        learned_map: (channels, *shape), for an encoding with a learned map; `CoordinateChannels` keeps one.

    Returns:
        (B, C + added, *shape) of the signal's dtype and device, whole numbers in torch's default dtype; channels_last
        stays channels_last. When nothing is added, the signal itself.

    Raises:
        ValueError: unknown name, wrong number of axes, an extent that does not fit them, a learned map that is
            missing, of another shape or not asked for, or coordinates that are not finite and distinct in float16 or
            bfloat16.
        TypeError: the signal is complex.
    """
    if _is_symbolic(signal):
        return _as_one_node(encode, signal, name, extent, learned_map)
    encoding = find_encoding(name)
    signal = _as_floating(signal)
    grid = _grid_of(signal, extent)
    if (learned_map is None) != (encoding.learned_map is None):
        raise ValueError(f"the encoding {name!r} {'needs' if learned_map is None else 'takes no'} learned_map")
    return _appended(signal, encoding, encoding.maps(grid), learned_map)


def _as_floating(signal: Tensor) -> Tensor:
    """Whole numbers, an image as it is read say, become torch's default type: weights are not whole."""
    if signal.is_floating_point():
        return signal
    if signal.is_complex():
        raise TypeError(f"the signal must be real, not {signal.dtype}: give real and imaginary part as two channels")
    return signal.to(torch.get_default_dtype())


def _grid_of(signal: Tensor, extent: Sequence[float] | None) -> Grid:
    shape = tuple(signal.shape[2:])
    if not 1 <= len(shape) <= MAX_SPATIAL_DIMS:
        remedy = "; without a batch axis, give the layer spatial_dims" if 1 < signal.dim() < 3 else ""
        expected = "the signal must be (batch, channels, [z, [y,]] x)"
        raise ValueError(f"{expected}, not of shape {tuple(signal.shape)}{remedy}")
    _check_extent_fits(extent, len(shape))
    return Grid(shape, None if extent is None else tuple(extent), signal.dtype, signal.device)


def _appended(signal: Tensor, encoding: Encoding, maps: tuple[Tensor, ...], learned_map: Tensor | None) -> Tensor:
    if learned_map is not None:
        if learned_map.shape[1:] != signal.shape[2:]:
            raise ValueError(
                f"the learned map is for signals of shape {tuple(learned_map.shape[1:])}, "
                f"got one of shape {tuple(signal.shape[2:])}"
            )
        maps = (*maps, learned_map.to(signal.dtype))
    appended = encoding.append(signal, *maps)
    if appended.shape[1] == 0:
        return signal
    return torch.cat((signal, _in_layout_of(signal, appended)), dim=1)


def _in_layout_of(signal: Tensor, appended: Tensor) -> Tensor:
    """`appended` in channels_last where the signal is: `cat` falls back to contiguous if they differ."""
    layout = _CHANNELS_LAST.get(signal.dim())
    if layout is None or signal.is_contiguous() or not signal.is_contiguous(memory_format=layout):
        return appended
    return appended.contiguous(memory_format=layout)


class CoordinateChannels(nn.Module):
    """Append coordinate channels to a signal; the first layer of a network that must know where things are.

    For a signal s with coordinates x_1 = x, x_2 = y, x_3 = z, the layer returns s followed by, for every axis i,

        coord:     x_i(p)
        weighted:  x_i(p) * mean_c s_c(p)

    and so on: `ENCODINGS` has the formula of every encoding. Works on any real dtype and device, follows those of
    its input (whole numbers become torch's default dtype) and passes gradients through the weighting. Has no
    parameters, except with `learned`. What depends on the input's shape only is made once and kept until the shape,
    dtype or device changes; it is part of neither `state_dict` nor a pickle. Several threads may share a layer.

    Args:
        encoding: A key of `ENCODINGS`.
        extent: Coordinate of the last sample along each axis, x first, in any unit: `(20.0,)` or `20.0` for
            a signal of 20 s. Default: the sample's index, as for the paper's images.
        spatial_dims: 1, 2 or 3. When given, the input may also come without the batch axis.
        shape: Samples along each axis, as in the tensor: `(500,)` or `500`, `(height, width)`. When given, other
            inputs are refused, and `spatial_dims` is their number. `learned` needs it; its map of one number for
            every axis and position starts from zeros.

    Shape:
        Input (B, C, *shape), or (C, *shape) with `spatial_dims`; output the same with `added_channels` more channels.

    Raises:
        ValueError: unknown encoding, impossible `spatial_dims` or `shape`, `learned` without `shape`, an extent that
            is not finite or does not fit; in the forward pass, a signal with the wrong number of axes or another shape,
            or coordinates that are not finite and distinct in float16 or bfloat16.
        TypeError: in the forward pass, a complex signal.

    Example:
        >>> layer = CoordinateChannels("weighted", spatial_dims=2)
        >>> network = nn.Sequential(layer, nn.Conv2d(3 + layer.added_channels(), 16, 3))
    """

    learned_map: nn.Parameter | None

    def __init__(
        self,
        encoding: str = "weighted",
        extent: float | Sequence[float] | None = None,
        spatial_dims: int | None = None,
        shape: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        start = find_encoding(encoding).learned_map
        self.encoding = encoding
        self.shape = _checked_shape(shape)
        self.spatial_dims = _checked_dims(spatial_dims, self.shape)
        self.extent = _checked_extent(extent, self.spatial_dims)
        if start is not None and self.shape is None:
            raise ValueError(f"{encoding!r} learns a number for every position: give shape, for example shape=(500,)")
        learned_map = None if start is None or self.shape is None else nn.Parameter(start(self.shape))
        self.register_parameter("learned_map", learned_map)
        self._kept: tuple[Grid, tuple[Tensor, ...]] | None = None

    def added_channels(self, spatial_dims: int | None = None) -> int:
        """How many channels the layer appends.

        Args:
            spatial_dims: Axes of the signal; needed only when the layer was given neither these nor a shape nor
                an extent.

        Raises:
            ValueError: the number depends on the axes and nothing says how many there are, or `spatial_dims` is
                impossible or another than the layer's.
        """
        known = self.spatial_dims or (len(self.extent) if self.extent else None)
        asked = _checked_dims(spatial_dims, None)
        if known is not None and asked not in (None, known):
            raise ValueError(f"the layer is for {known} spatial axes, not {asked}")
        dims = known or asked
        if dims is None:
            raise ValueError("the number of added channels depends on the signal's axes: give spatial_dims")
        return find_encoding(self.encoding).added(dims)

    def forward(self, signal: Tensor) -> Tensor:
        """The signal with its coordinate channels after its own; see the class."""
        if _is_symbolic(signal):
            options = (self.encoding, self.extent, self.spatial_dims, self.shape)
            return _as_one_node(_forward_once, signal, *options, self.learned_map)
        return self._forward(signal, self.learned_map)

    def _forward(self, signal: Tensor, learned_map: Tensor | None) -> Tensor:
        if self.spatial_dims is None or signal.dim() == self.spatial_dims + 2:
            return self._encode(signal, learned_map)
        if signal.dim() == self.spatial_dims + 1:
            return self._encode(signal.unsqueeze(0), learned_map).squeeze(0)
        raise ValueError(
            f"expected (batch, channels, *shape) or (channels, *shape) with {self.spatial_dims} spatial axes, "
            f"got a tensor of shape {tuple(signal.shape)}"
        )

    def _encode(self, signal: Tensor, learned_map: Tensor | None) -> Tensor:
        signal = _as_floating(signal)
        grid = _grid_of(signal, self.extent)
        if self.shape is not None and grid.shape != self.shape:
            raise ValueError(f"the layer is for signals of shape {self.shape}, got one of shape {grid.shape}")
        encoding = find_encoding(self.encoding)
        return _appended(signal, encoding, self._maps(signal, encoding, grid), learned_map)

    def _maps(self, signal: Tensor, encoding: Encoding, grid: Grid) -> tuple[Tensor, ...]:
        """The maps of this grid, those of the last forward pass where it had the same."""
        if _is_being_recorded(signal):
            return encoding.maps(grid)
        # Read once and replaced as a whole: another thread may keep other maps at any moment.
        kept = self._kept
        if kept is None or kept[0] != grid:
            # A tensor made in inference mode could not be used in a training step later.
            with torch.inference_mode(mode=False):
                kept = (grid, encoding.maps(grid))
            self._kept = kept
        return kept[1]

    def __getstate__(self) -> dict[str, Any]:
        """What pickle and deepcopy take: all but the kept maps, so that equal layers give equal bytes."""
        return {**self.__dict__, "_kept": None}

    def extra_repr(self) -> str:
        """What `print(layer)` shows in the brackets."""
        shape = "" if self.shape is None else f", shape={self.shape}"
        return f"{self.encoding!r}, extent={self.extent}, spatial_dims={self.spatial_dims}{shape}"


def _is_symbolic(signal: object) -> bool:
    """Whether `torch.fx` traces: the signal then has no shape and no values."""
    return isinstance(signal, fx.Proxy)


def _as_one_node(function: Callable[..., Tensor], signal: Any, *others: Any) -> Tensor:
    """A call that `torch.fx` records as one node, because the function checks what a symbolic signal does not have."""
    return cast(Tensor, signal.tracer.create_proxy("call_function", function, (signal, *others), {}))


def _forward_once(
    signal: Tensor,
    encoding: str,
    extent: tuple[float, ...] | None,
    spatial_dims: int | None,
    shape: tuple[int, ...] | None,
    learned_map: Tensor | None,
) -> Tensor:
    """The forward pass of a layer with these options, in a graph of `torch.fx`."""
    # A graph that is traced again.
    if _is_symbolic(signal):
        return _as_one_node(_forward_once, signal, encoding, extent, spatial_dims, shape, learned_map)
    return CoordinateChannels(encoding, extent, spatial_dims, shape)._forward(signal, learned_map)


def _is_being_recorded(signal: Tensor) -> bool:
    """Whether export, compile, a tracer or a fake tensor stands behind the signal: kept tensors are not for these."""
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # torch types it not
    return torch.compiler.is_compiling() or tracing or type(signal) is not Tensor


def _checked_shape(shape: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if shape is None:
        return None
    sizes = (int(shape),) if isinstance(shape, Integral) else tuple(int(size) for size in cast(Sequence[int], shape))
    if not 1 <= len(sizes) <= MAX_SPATIAL_DIMS or min(sizes) < 1:
        raise ValueError(f"shape must be one to three positive sizes, (x,), (y, x) or (z, y, x), not {sizes}")
    return sizes


def _checked_dims(spatial_dims: int | None, shape: tuple[int, ...] | None) -> int | None:
    if spatial_dims is None:
        return None if shape is None else len(shape)
    if spatial_dims not in range(1, MAX_SPATIAL_DIMS + 1):
        raise ValueError(f"spatial_dims must be 1, 2 or 3, not {spatial_dims!r}")
    if shape is not None and len(shape) != spatial_dims:
        raise ValueError(f"shape {shape} has {len(shape)} entries, spatial_dims is {spatial_dims}")
    return spatial_dims


def _checked_extent(extent: float | Sequence[float] | None, spatial_dims: int | None) -> tuple[float, ...] | None:
    if extent is None:
        return None
    # Real takes numpy's numbers, too.
    values = (float(extent),) if isinstance(extent, Real) else tuple(map(float, cast(Sequence[float], extent)))
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"extent must be finite, not {values}")
    allowed = (spatial_dims,) if spatial_dims is not None else range(1, MAX_SPATIAL_DIMS + 1)
    if len(values) not in allowed:
        raise ValueError(f"extent {values} has {len(values)} entries, needs {' or '.join(map(str, allowed))}, x first")
    return values
