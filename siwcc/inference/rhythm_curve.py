"""From a recording to the probabilities of a malignant rhythm and of its onset over time.

signal, mV -> `siwcc.training.rhythm_windows.prepare_signal` -> `rhythm_curves`, two or four probabilities per step
    -> `siwcc.evaluation.rhythm_rises`
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from siwcc.nn.rhythm_network import RhythmNetwork

# Steps of a block's output: at 50 Hz with a stride of 8 about five minutes.
_BLOCK_STEPS = 2048


def rhythm_curves(networks: Sequence[RhythmNetwork], signal: np.ndarray, block_steps: int = _BLOCK_STEPS) -> np.ndarray:
    """Mean probabilities of several networks over a recording, computed in blocks.

    A block is computed from its samples and as many to either side as its steps depend on, so that the block size
    changes nothing but the rounding, and the memory for it does not grow with the recording.

    Args:
        networks: With the same outputs and one stride.
        signal: float32 (leads, T), from `prepare_signal`.
        block_steps: Steps per block.

    Returns:
        float64 (outputs, T // stride), 0 to 1: that the rhythm is malignant, that a malignant rhythm begins, and of
        networks with outputs for beats that a ventricular beat and that another one is here.

    Raises:
        ValueError: no network, or networks with different strides or outputs.
    """
    shapes = {(network.outputs, network.stride) for network in networks}
    if len(shapes) != 1:
        raise ValueError(f"networks of one stride and as many outputs are needed, got {sorted(shapes) or 'none'}")
    outputs, stride = shapes.pop()
    steps = signal.shape[1] // stride
    margin = max(-(-network.reach // stride) for network in networks)
    curves = np.zeros((outputs, steps))
    for first in range(0, steps, block_steps):
        stop = min(steps, first + block_steps)
        start = max(0, first - margin)
        end = signal.shape[1] if stop + margin >= steps else (stop + margin) * stride
        block = torch.from_numpy(np.ascontiguousarray(signal[None, :, start * stride : end], dtype=np.float32))
        for network in networks:
            curves[:, first:stop] += _probability(network, block)[:, first - start : stop - start]
    curves /= len(networks)
    return curves


@torch.no_grad()
def _probability(network: RhythmNetwork, block: torch.Tensor) -> np.ndarray:
    """(1, leads, T) -> (outputs, T // stride)."""
    was_training = network.training
    network.eval()
    probability = torch.sigmoid(network(block)[0].double()).numpy()
    network.train(was_training)
    return np.asarray(probability)
