"""What a training draws by chance beyond the paper: which rows, what happens to their channels, and the step size.

Everything is drawn from the run's own generator, whose state is saved with the epoch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from siwcc.config import Jitter, Train

_WARM_UP_SHARE = 0.2


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


def jitter(signal: Tensor, settings: Jitter, generator: torch.Generator) -> Tensor:
    """Change whole channels: an electrode may be swapped, turned round or lost, and the answer is the same.

    Args:
        signal: (B, channels, *shape).
        settings: Probabilities.
        generator: On the CPU; with a probability of 0 nothing is drawn from it.

    Returns:
        A new tensor where anything is changed.
    """
    batch, channels = signal.shape[:2]

    def chance(probability: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) < probability

    if settings.order:
        order = torch.rand(batch, channels, generator=generator).argsort(dim=1)
        kept = torch.arange(channels).expand(batch, channels)
        order = torch.where(chance(settings.order, batch, 1), order, kept).to(signal.device)
        signal = signal[torch.arange(batch, device=signal.device)[:, None], order]
    factor = torch.ones(batch, channels)
    if settings.sign:
        factor = torch.where(chance(settings.sign, batch, channels), -1.0, factor)
    # One of several: the only lead of a recording is what there is to see.
    if settings.silence and channels > 1:
        one = torch.randint(channels, (batch, 1), generator=generator) == torch.arange(channels)
        factor = torch.where(chance(settings.silence, batch, 1) & one, 0.0, factor)
    if not settings.sign and not settings.silence:
        return signal
    return signal * factor.to(signal.device).view(batch, channels, *[1] * (signal.dim() - 2))


def step_size(settings: Train, step: int, steps: int) -> float:
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
