"""Train a network that gives every moment of a recording the probability of a malignant rhythm.

Logits are trained with binary cross-entropy at every step of the network: "the rhythm is malignant", "a malignant
rhythm begins here" (a Gaussian around each onset) and, where beats are annotated, "here is a ventricular beat" and
"here is another beat". Windows, targets and augmentation are those of `siwcc.training.rhythm_windows`. The network that
is returned has the mean of the weights over the training, with exponentially falling weights (as Polyak and Juditsky
1992, who take the plain mean).

Everything is drawn from generators of the training's own seed, so that a training on a CPU with one thread is
deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from siwcc.data.datasets.interface import RhythmRecord
from siwcc.nn.rhythm_network import RhythmNetwork
from siwcc.training.rhythm_windows import RhythmRecipe, WindowDrawer, Windows, prepare_signal
from siwcc.training.torch_setup import Adam, keep_large_buffers

__all__ = ["Progress", "RhythmRecipe", "new_network", "prepare_signal", "train_rhythm_network"]

# Called after every batch with its number from 1, the number of batches and its loss.
Progress = Callable[[int, int, float], None]

_RHYTHM, _ONSET = 0, 1


def new_network(recipe: RhythmRecipe, leads: int, seed: int) -> RhythmNetwork:
    """An untrained network; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RhythmNetwork(
            leads,
            recipe.outputs,
            recipe.width,
            recipe.stem_kernels,
            recipe.stem_strides,
            recipe.kernel,
            recipe.dilations,
            recipe.dropout,
            recipe.asinh,
        )


def train_rhythm_network(
    records: Sequence[RhythmRecord], recipe: RhythmRecipe, seed: int, progress: Progress | None = None
) -> RhythmNetwork:
    """Train a network on whole recordings.

    Args:
        records: Of any data sets, each with its own rate and event labels, all with as many leads.
        recipe: Every number of the training.
        seed: Of the network's weights and of everything that is drawn.
        progress: Called after every batch with its number from 1, the number of batches and its loss.

    Returns:
        The network in evaluation mode.

    Raises:
        ValueError: no record, or records with different numbers of leads.
    """
    leads = {record.signal_mv.shape[0] for record in records}
    if len(leads) != 1:
        raise ValueError(f"records with one number of leads are needed, got {sorted(leads) or 'no record'}")
    keep_large_buffers()
    network = new_network(recipe, leads.pop(), seed)
    mean = deepcopy(network)
    drawer = WindowDrawer(records, recipe, np.random.default_rng(seed))
    optimiser = _optimiser(network, recipe)
    with torch.random.fork_rng(devices=[]):
        # Of dropout.
        torch.manual_seed(seed)
        for number in range(1, recipe.batches + 1):
            loss = _step(network, drawer.draw(), optimiser, recipe, number)
            _average(mean, network, min(recipe.ema_decay, (number - 1) / (number + 9)))
            if progress is not None:
                progress(number, recipe.batches, loss)
    return mean.eval()


def _optimiser(network: RhythmNetwork, recipe: RhythmRecipe) -> Adam:
    """Adam with decoupled decay of the convolutions' weights, not of biases and normalisation."""
    kernels = [value for value in network.parameters() if value.dim() > 1]
    others = [value for value in network.parameters() if value.dim() <= 1]
    groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return Adam(groups, lr=recipe.learning_rate, decoupled_weight_decay=True)


def _learning_rate(recipe: RhythmRecipe, number: int) -> float:
    """Of batch `number` from 1: linear warm-up, then half a cosine down to 0."""
    warm_up = recipe.warm_up * recipe.batches
    if number <= warm_up:
        return recipe.learning_rate * number / warm_up
    done = (number - warm_up) / (recipe.batches - warm_up)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _step(network: RhythmNetwork, windows: Windows, optimiser: Adam, recipe: RhythmRecipe, number: int) -> float:
    for group in optimiser.param_groups:
        group["lr"] = _learning_rate(recipe, number)
    network.train()
    loss = rhythm_loss(network(torch.from_numpy(windows.signal)), windows, recipe)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


def rhythm_loss(logits: Tensor, windows: Windows, recipe: RhythmRecipe) -> Tensor:
    """Binary cross-entropy of the rhythm, and weighted that of onset and beats, each a mean over what has a loss.

    Args:
        logits: (B, outputs, steps).
        windows: Their targets.
        recipe: Weights of the onset and of the beats.
    """
    rhythm, weight, onset, onset_weight, beats = (torch.from_numpy(values) for values in windows[1:])
    loss = _mean_entropy(logits[:, _RHYTHM], rhythm, weight)
    if recipe.onset_sigma_s:
        weight = onset_weight * (1 + (recipe.onset_positive - 1) * onset)
        loss = loss + recipe.onset_weight * _mean_entropy(logits[:, _ONSET], onset, weight)
    if recipe.beat_sigma_s:
        for kind in (0, 1):
            beat, logit = beats[:, kind], logits[:, recipe.outputs - 2 + kind]
            weight = beats[:, 2] * (1 + (recipe.beat_positive - 1) * beat)
            loss = loss + recipe.beat_weight * _mean_entropy(logit, beat, weight)
    return loss


def _mean_entropy(logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(logit, target, weight, reduction="sum")
    return entropy / weight.sum().clamp_min(1.0)


@torch.no_grad()
def _average(mean: RhythmNetwork, network: RhythmNetwork, decay: float) -> None:
    """Move the mean of the weights and of the normalisation's statistics towards the network's."""
    for kept, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
