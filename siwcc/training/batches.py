"""Batches for a network: made on the host, or on the device itself from data that live there.

A CPU makes each batch from the host's memory (`HostBatches`). For any other device that would keep it waiting: a core
needs 0.4 ms to normalise and warp an image of 256 x 256 pixels, and 25 MB a batch would have to be sent. So the
signals, or the uint8 images and a dozen numbers a row, are put on the device once (`DeviceBatches`). An epoch then
sends its order and nothing else, and no step waits for the device.

Signals are the same to the bit either way. Images are the same to rounding: OpenCV 5 computes the place in the
image as here, in float32; earlier versions round it to 1/32 pixel. So which of the two is used never depends on
chance such as free memory: it would change the bytes of a result.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from siwcc.config import resolve_device
from siwcc.data.augment.interface import Inputs, Stored, Warped
from siwcc.io.errors import InputError

_LARGEST_SHARE = 0.5
_GB = 1e9

logger = logging.getLogger(__name__)


def usable_device(asked: str) -> torch.device:
    """The device of `train.device`; where `auto` finds one that torch cannot compute on, the CPU, with a warning.

    Raises:
        InputError: a device was asked for by its name, and torch cannot compute on it.
    """
    name = resolve_device(asked)
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if name not in available or available[name]():
        return torch.device(name)
    if asked != "auto":
        problem = f"is {asked}, and torch {torch.__version__} cannot compute on such a device here"
        raise InputError("train.device", problem, "set it to auto or cpu")
    logger.warning("train.device: there is a GPU that torch %s cannot compute on: using the CPU", torch.__version__)
    return torch.device("cpu")


class Batches(Protocol):
    """The rows of `siwcc.data.augment.interface.Inputs`, a batch at a time, on the device."""

    def over(self, rows: np.ndarray, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Signals and targets of these rows in their order, a short batch last.

        Args:
            rows: int64 (rows,), row numbers.
            batch_size: Rows at once.

        Yields:
            What `Inputs.batch` returns, and float32 (batch, outputs), seconds or pixels.
        """
        ...


class HostBatches:
    """Batches made on the host and sent one by one.

    A CUDA device fetches them from pinned memory while the host makes the next:
    https://docs.pytorch.org/docs/stable/notes/cuda.html#use-pinned-memory-buffers

    Args:
        inputs: Where the rows are read.
        encoding: The run's encoding.
        device: Where batches are needed.
    """

    def __init__(self, inputs: Inputs, encoding: str, device: torch.device) -> None:
        self._inputs = inputs
        self._encoding = encoding
        self._device = device

    def over(self, rows: np.ndarray, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            signal, target = self._inputs.batch(part, self._encoding), torch.from_numpy(self._inputs.target[part])
            yield self._sent(signal), self._sent(target)

    def _sent(self, values: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return values.to(self._device)
        # Torch does not reuse the pinned block before the copy is done.
        return values.pin_memory().to(self._device, non_blocking=True)


class DeviceBatches:
    """Batches made on the device; the rows' order is sent once a call of `over`.

    Args:
        inputs: Where the targets are read.
        source: `inputs.source(encoding)`.
        device: Any device of torch.

    Raises:
        InputError: the device has no room for the data.
    """

    def __init__(self, inputs: Inputs, source: Stored | Warped, device: torch.device) -> None:
        self._device = device
        try:
            self._signals = _placed(source, device)
            self._target = torch.from_numpy(inputs.target).to(device)
        except torch.cuda.OutOfMemoryError as error:
            problem = f"has no room for {bytes_of([source]) / _GB:.2f} GB of signals"
            remedy = "end what else uses its memory, or set train.device to cpu"
            raise InputError(f"device {device}", problem, remedy) from error

    def over(self, rows: np.ndarray, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        order = torch.from_numpy(rows).to(self._device)
        for start in range(0, len(rows), batch_size):
            part = order[start : start + batch_size]
            yield self._signals.read(part), self._target.index_select(0, part)


class StoredSignals:
    """Signals of `Stored` on a device.

    Args:
        source: The signals.
        device: Any device of torch.
    """

    def __init__(self, source: Stored, device: torch.device) -> None:
        self._signal = torch.from_numpy(source.signal).to(device)

    def read(self, rows: Tensor) -> Tensor:
        """Float32 (batch, channels, *shape), from int64 (batch,) on the device."""
        return self._signal.index_select(0, rows)


class WarpedImages:
    """Images of `Warped` on a device: normalised, framed and warped there, in float32.

    Places in an image of 256 pixels are good to 1e-4 pixel; whole pixels are exact where the sides are powers of two.

    Args:
        source: The images and the rows' transforms.
        device: Any device of torch. It keeps the images as uint8 and 12 float32 numbers a row.
    """

    def __init__(self, source: Warped, device: torch.device) -> None:
        index = source.image_of_row
        columns = (
            source.to_source.reshape(-1, 6),
            source.content_box[index],
            source.mean[index, np.newaxis],
            source.std[index, np.newaxis],
        )
        table = np.concatenate(columns, axis=1).astype(np.float32)
        height, width = source.images.shape[1:3]
        self._mirrored = source.mirrored
        self._images = torch.from_numpy(source.images).to(device)
        self._image_of_row = torch.from_numpy(index).to(device)
        self._table = torch.from_numpy(table).to(device)
        self._x = torch.arange(width, dtype=torch.float32).to(device)
        self._y = torch.arange(height, dtype=torch.float32)[:, np.newaxis].to(device)

    def read(self, rows: Tensor) -> Tensor:
        """Float32 (batch, channels, height, width) in channels_last memory, from int64 (batch,) on the device."""
        row = _Row(*self._table.index_select(0, rows).unsqueeze(2).unsqueeze(3).unbind(1))
        images = self._images.index_select(0, self._image_of_row.index_select(0, rows)).permute(0, 3, 1, 2)
        content = (images - row.mean.unsqueeze(1)).div_(row.std.unsqueeze(1))
        content.masked_fill_(self._outside(row).unsqueeze(1), 0.0)
        # With align_corners torch would hand over to cuDNN, and whole pixels of 256 would be no exact places.
        warped = functional.grid_sample(content, self._grid(row), align_corners=False)
        return warped.contiguous(memory_format=torch.channels_last)

    def _outside(self, row: _Row) -> Tensor:
        """Which pixels are padding, (batch, height, width)."""
        beside = (self._x < row.left) | (self._x >= row.left + row.width)
        return beside | ((self._y < row.top) | (self._y >= row.top + row.height))

    def _grid(self, row: _Row) -> Tensor:
        """Where output pixels come from, (batch, height, width, 2): -1 and 1 are the outer edges of the frame."""
        x = row.a * self._x + (row.b * self._y + row.c)
        y = row.d * self._x + (row.e * self._y + row.f)
        if self._mirrored:
            x = row.left + _folded(x - row.left, row.width)
            y = row.top + _folded(y - row.top, row.height)
        return torch.stack([_from_edges(x, len(self._x)), _from_edges(y, len(self._y))], dim=-1)


class _Row(NamedTuple):
    """The numbers of a batch's rows, (batch, 1, 1) each: x = a x' + b y' + c and y = d x' + e y' + f in the image."""

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor
    e: Tensor
    f: Tensor
    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor
    mean: Tensor
    std: Tensor


def _placed(source: Stored | Warped, device: torch.device) -> StoredSignals | WarpedImages:
    return WarpedImages(source, device) if isinstance(source, Warped) else StoredSignals(source, device)


def _from_edges(place: Tensor, side: int) -> Tensor:
    """Pixels, counted from the first one's centre, in the scale of `grid_sample`; exact for whole pixels of 2^k."""
    return (place + 0.5) * (2 / side) - 1


def _folded(place: Tensor, length: Tensor) -> Tensor:
    """Fold places into 0 ... length - 1, the mirrors at both ends (BORDER_REFLECT_101)."""
    last = length - 1
    return (last - (place.remainder((2 * last).clamp_min(1)) - last).abs()).clamp_min(0)


# ------------------------------------------------------------------ where to


def bytes_of(sources: Sequence[Stored | Warped]) -> int:
    """Bytes of the signals, or of the images and the rows' numbers, as they are on the host."""
    return sum(array.nbytes for source in sources for array in source.arrays)


def fits_device(sources: Sequence[Stored | Warped], device: torch.device) -> bool:
    """Whether the data take at most half of a GPU's memory; the log says so if they do not.

    The whole memory counts, not what is free, so the result is the same in every run on a machine.

    Args:
        sources: All that would be there at once.
        device: A CUDA or MPS device.
    """
    needed, there = bytes_of(sources), _memory_bytes(device)
    if needed <= _LARGEST_SHARE * there:
        return True
    logger.warning(
        "device %s: %.1f GB of signals are more than half of its %.1f GB; the CPU makes the batches, more slowly",
        device,
        needed / _GB,
        there / _GB,
    )
    return False


def _memory_bytes(device: torch.device) -> int:
    if device.type == "mps":
        # Apple's GPUs share the machine's memory.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(torch.cuda.get_device_properties(device).total_memory)


def open_batches(
    inputs: Sequence[Inputs], encoding: str, device: torch.device, resident: bool | None = None
) -> list[Batches]:
    """Batches of several inputs that are needed at the same time.

    Args:
        inputs: The training rows and the test rows of a run.
        encoding: The run's encoding.
        device: Where the network is.
        resident: Whether the data live on the device; None: on any but a CPU, if they fit (`fits_device`).

    Raises:
        InputError: as `DeviceBatches`.
    """
    if resident is None and device.type == "cpu":
        resident = False
    if resident is not False:
        sources = [one.source(encoding) for one in inputs]
        if resident or fits_device(sources, device):
            return [DeviceBatches(one, source, device) for one, source in zip(inputs, sources, strict=True)]
    return [HostBatches(one, encoding, device) for one in inputs]
