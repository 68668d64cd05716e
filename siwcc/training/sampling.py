"""What a training draws by chance beyond the paper: rows and what happens to their channels; and the learning rate.

Everything is drawn from the run's own generator, whose state is saved with the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from siwcc.config import OnlineAugmentation, Train

_WARM_UP_SHARE = 0.2
# Of a sine in a window, and the length of a silent patch as a fraction of it: 0.1 to 0.5 Hz and 1 to 2 s in 20 s.
_PERIODS = (2.0, 10.0)
_PATCH = (0.05, 0.1)


def draw_order(group: np.ndarray, settings: Train, generator: torch.Generator) -> np.ndarray:
    """The rows of one epoch in their order.

    Args:
        group: (rows,) strings, the record or slide image of each training row.
        settings: `rows_per_epoch` and `balance`. As in the paper every row comes once; otherwise rows are drawn
            with replacement, a row of a group of n with weight n ** -balance.
        generator: The run's.

    Returns:
        int64 (rows of the epoch,).
    """
    if settings.rows_per_epoch is None and not settings.balance:
        return torch.randperm(len(group), generator=generator).numpy()
    _, of_row, counts = np.unique(group, return_inverse=True, return_counts=True)
    cumulated = np.cumsum(counts[of_row].astype(np.float64) ** -settings.balance)
    # torch.multinomial takes at most 2^24 rows.
    drawn = torch.rand(settings.rows_per_epoch or len(group), generator=generator, dtype=torch.float64).numpy()
    rows = np.searchsorted(cumulated, drawn * cumulated[-1], side="right")
    return np.asarray(np.minimum(rows, len(group) - 1))


def new_copies(sample_id: np.ndarray, last: int, epoch: int) -> np.ndarray:
    """Numbers of copies that are in no fold file and in no other epoch, another one for every drawn row.

    Args:
        sample_id: (rows,) strings, the drawn samples.
        last: The largest number in the fold files.
        epoch: From 1; all epochs have as many rows.

    Returns:
        int64 (rows,): consecutive for each sample, in the order of its rows.
    """
    order = np.argsort(sample_id, kind="stable")
    _, counts = np.unique(sample_id, return_counts=True)
    occurrence = np.empty(len(order), dtype=np.int64)
    occurrence[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return last + 1 + (epoch - 1) * len(order) + occurrence


def augment_online(
    signal: Tensor, settings: OnlineAugmentation, generator: torch.Generator, kept: Tensor | None = None
) -> Tensor:
    """Perturb signals in ways that do not change the target.

    An electrode may sit elsewhere, be swapped, turned round or lost; then noise, wander and a moment without signal.

    Args:
        signal: (B, channels, *shape).
        settings: What is done, how often and how much.
        generator: On the CPU; for what is not done nothing is drawn from it.
        kept: (B, points) on the CPU, where over time the points stand, in samples; NaN where one is not visible. No
            moment without signal hides them, as no dropout of the folds' copies does.

    Returns:
        A new tensor where anything is changed.
    """
    signal = _rearranged(signal, settings, generator)
    over_time = signal.dim() == 3
    if settings.noise or (settings.wander and over_time):
        signal = _with_noise(signal, settings, generator)
    # One of several: the only lead of a recording is what there is to see.
    if settings.silence and signal.shape[1] > 1:
        one = torch.randint(signal.shape[1], (len(signal), 1), generator=generator) == torch.arange(signal.shape[1])
        factor = torch.where(_chance(settings.silence, generator, len(signal), 1) & one, 0.0, 1.0)
        signal = signal * factor.to(signal.device).view(*factor.shape, *[1] * (signal.dim() - 2))
    if settings.patch and over_time:
        if kept is None:
            kept = signal.new_empty(len(signal), 0, device="cpu")
        signal = signal.masked_fill(_patch(kept, signal.shape[2], settings, generator).to(signal.device), 0.0)
    return signal


class Mirrored(NamedTuple):
    """Which images of a batch are mirrored: x and y changed for each other, then left-right, then top-bottom.

    Attributes:
        chosen: bool (B, 3) on the device; None: no image.
        extent: Coordinate of the last pixel, x first.
    """

    chosen: Tensor | None
    extent: Sequence[float]

    @classmethod
    def draw(
        cls,
        image: Tensor,
        settings: OnlineAugmentation,
        extent: Sequence[float],
        generator: torch.Generator,
    ) -> Mirrored:
        """A new choice for a batch, (B, channels, H, W); nothing is drawn for signals over time or without `mirror`."""
        if not settings.mirror or image.dim() != 4:
            return cls(None, extent)
        chosen = _chance(settings.mirror, generator, len(image), 3)
        if image.shape[2] != image.shape[3] or settings.mirrorings == "left_right":
            chosen[:, 0] = False
        if settings.mirrorings == "left_right":
            chosen[:, 2] = False
        return cls(chosen.to(image.device), extent)

    def image(self, image: Tensor) -> Tensor:
        """The images, mirrored, of the same shape."""
        if self.chosen is None:
            return image
        swap, across, down = self.chosen.view(-1, 3, 1, 1, 1).unbind(1)
        if self.chosen[:, 0].any():
            image = torch.where(swap, image.transpose(2, 3), image)
        image = torch.where(across, image.flip(3), image)
        return torch.where(down, image.flip(2), image)

    def points(self, target: Tensor) -> Tensor:
        """Where points go, (B, points * 2), x before y."""
        return target if self.chosen is None else self._reflected(self._swapped(target))

    def points_before(self, target: Tensor) -> Tensor:
        """Where points of the mirrored images come from: the inverse of `points`."""
        return target if self.chosen is None else self._swapped(self._reflected(target))

    def _swapped(self, target: Tensor) -> Tensor:
        assert self.chosen is not None  # noqa: S101 - narrows the type
        each = target.view(len(target), -1, 2)
        return torch.where(self.chosen[:, :1, None], each.flip(2), each).flatten(1)

    def _reflected(self, target: Tensor) -> Tensor:
        assert self.chosen is not None  # noqa: S101 - narrows the type
        each = target.view(len(target), -1, 2)
        return torch.where(self.chosen[:, None, 1:], each.new_tensor(self.extent) - each, each).flatten(1)


def _chance(probability: float, generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator) < probability


def _rearranged(signal: Tensor, settings: OnlineAugmentation, generator: torch.Generator) -> Tensor:
    """Channels in another order, two of them turned in their plane, with other signs."""
    batch, channels = signal.shape[:2]
    if settings.order:
        order = torch.rand(batch, channels, generator=generator).argsort(dim=1)
        kept = torch.arange(channels).expand(batch, channels)
        order = torch.where(_chance(settings.order, generator, batch, 1), order, kept).to(signal.device)
        signal = signal[torch.arange(batch, device=signal.device)[:, None], order]
    if settings.turn and channels > 1:
        angle = 2 * math.pi * torch.rand(batch, generator=generator)
        angle = torch.where(_chance(settings.turn, generator, batch), angle, torch.zeros(batch))
        pair = torch.rand(batch, channels, generator=generator).argsort(dim=1)[:, :2]
        signal = _turned(signal, angle, pair)
    if settings.sign:
        sign = torch.where(_chance(settings.sign, generator, batch, channels), -1.0, 1.0)
        signal = signal * sign.to(signal.device).view(batch, channels, *[1] * (signal.dim() - 2))
    return signal


def _with_noise(signal: Tensor, settings: OnlineAugmentation, generator: torch.Generator) -> Tensor:
    """With noise, and over time with a sine, both up to a fraction of each channel's largest absolute value."""
    batch, of_each = len(signal), [1] * (signal.dim() - 1)
    peak = signal.abs().flatten(2).amax(2).view(*signal.shape[:2], *of_each[1:])
    added = torch.zeros(signal.shape)
    if settings.noise:
        fraction = settings.noise * torch.rand(batch, *of_each, generator=generator)
        added = added + fraction * torch.randn(signal.shape, generator=generator)
    if settings.wander and signal.dim() == 3:
        fraction = settings.wander * torch.rand(batch, *of_each, generator=generator)
        added = added + fraction * _sine(batch, signal.shape[2], generator)
    return signal + peak * added.to(signal.device)


def _sine(batch: int, places: int, generator: torch.Generator) -> Tensor:
    """One sine for all channels of each signal, (B, 1, places)."""
    low, high = _PERIODS
    periods = low + (high - low) * torch.rand(batch, 1, generator=generator)
    phase = torch.rand(batch, 1, generator=generator)
    return torch.sin(2 * math.pi * (periods * torch.arange(places) / places + phase)).unsqueeze(1)


def _patch(kept: Tensor, places: int, settings: OnlineAugmentation, generator: torch.Generator) -> Tensor:
    """Which places of a signal are silent, bool (B, 1, places); none of those beside what is kept, (B, points)."""
    batch = len(kept)
    low, high = _PATCH
    length = places * (low + (high - low) * torch.rand(batch, 1, generator=generator))
    place = torch.arange(places)
    # Of every place, whether a patch may begin there; the comparisons with NaN are false.
    free = place + length <= places
    for point in kept.unsqueeze(2).unbind(1):
        free &= ~((point > place - 1) & (point < place + length))
    somewhere = free.any(dim=1, keepdim=True)
    start = torch.multinomial((free | ~somewhere).to(torch.float32), 1, generator=generator)
    inside = (place >= start) & (place < start + length) & _chance(settings.patch, generator, batch, 1)
    return (inside & somewhere).unsqueeze(1)


def _turned(signal: Tensor, angle: Tensor, pair: Tensor) -> Tensor:
    """Two channels of each signal as the axes of a plane that is turned.

    Args:
        signal: (B, channels, *shape).
        angle: (B,), rad.
        pair: int64 (B, 2), the numbers of two channels.
    """
    rows, (first, second) = torch.arange(len(signal)), pair.unbind(1)
    mixed = torch.eye(signal.shape[1]).repeat(len(signal), 1, 1)
    mixed[rows, first, first] = mixed[rows, second, second] = angle.cos()
    mixed[rows, first, second], mixed[rows, second, first] = -angle.sin(), angle.sin()
    return (mixed.to(signal) @ signal.flatten(2)).view(signal.shape)


def learning_rate_at(settings: Train, step: int, steps: int) -> float:
    """Learning rate of a step.

    Args:
        settings: `learning_rate` is the largest; `one_cycle` rises to it in a straight line over the first fifth of
            the steps and falls to 0 along half a cosine.
        step: From 0, counted over all epochs.
        steps: Of all epochs.
    """
    if settings.schedule == "constant":
        return settings.learning_rate
    warm = max(1, round(_WARM_UP_SHARE * steps))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
