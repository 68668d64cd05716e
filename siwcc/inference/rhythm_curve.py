"""From a recording to the probability of a malignant rhythm over its time, and from that to candidate episodes.

signal, mV -> `model_signal` -> `rhythm_curve`, a probability per step -> `find_candidates`, episodes with a score
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from siwcc.data.episodes import Candidate
from siwcc.nn.rhythm_network import RhythmNetwork
from siwcc.training.rhythm_windows import RhythmRecipe, prepare_signal

__all__ = ["OnsetSettings", "find_onsets", "model_signal", "rhythm_curve", "rhythm_curves", "score_curve"]

# Steps of a block's output: at 50 Hz with a stride of 4 about five minutes.
_BLOCK_STEPS = 4096


def model_signal(signal_mv: np.ndarray, rate_hz: float, recipe: RhythmRecipe) -> np.ndarray:
    """A recording as the networks of a recipe take it.

    Args:
        signal_mv: float (leads, samples), NaN where invalid.
        rate_hz: Its rate.
        recipe: That of the networks' training.

    Returns:
        float32 (leads, T) at the recipe's rate, in units of the running scale; 0 where invalid.
    """
    return prepare_signal(signal_mv, rate_hz, recipe)


def rhythm_curve(networks: Sequence[RhythmNetwork], signal: np.ndarray, block_steps: int = _BLOCK_STEPS) -> np.ndarray:
    """The mean probability of a malignant rhythm: the first row of `rhythm_curves`.

    Returns:
        float64 (T // stride,), 0 to 1.
    """
    return np.asarray(rhythm_curves(networks, signal, block_steps)[0])


def rhythm_curves(networks: Sequence[RhythmNetwork], signal: np.ndarray, block_steps: int = _BLOCK_STEPS) -> np.ndarray:
    """Mean probabilities of several networks over a recording, computed in blocks.

    A block is computed from its samples and as many to either side as its steps depend on, so that the block size
    changes nothing but the rounding, and the memory for it does not grow with the recording.

    Args:
        networks: With the same outputs and one stride.
        signal: float32 (leads, T), from `model_signal`.
        block_steps: Steps per block.

    Returns:
        float64 (outputs, T // stride), 0 to 1: that the rhythm is malignant, and that a malignant rhythm begins.

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


@dataclass(frozen=True)
class OnsetSettings:
    """How onsets are found in the curves of the networks; JSON holds it as `asdict` gives it.

    Attributes:
        rise_s: The rise of the rhythm's probability at a moment is its mean over this time after the moment, less that
            over as much time before it; not below 0.
        gap_s: Time to either side of the moment that does not count, as the probability changes there.
        onset_weight: The score is `onset ** onset_weight * rise ** (1 - onset_weight)`, a weighted geometric mean.
        apart_s: A candidate has the largest score within this time to either side.
        least_score: Candidates with a lower score are left out.
        end_level: The episode ends where the rhythm's probability, after its largest value within `rise_s`, first falls
            below this.
    """

    rise_s: float = 3.0
    gap_s: float = 0.3
    onset_weight: float = 0.3
    apart_s: float = 2.0
    least_score: float = 0.02
    end_level: float = 0.3


def score_curve(curves: np.ndarray, step_s: float, settings: OnsetSettings) -> np.ndarray:
    """How much a malignant rhythm begins at every step, (2, steps) -> (steps,), 0 to 1."""
    rhythm, onset = curves
    steps, gap = max(1, round(settings.rise_s / step_s)), round(settings.gap_s / step_s)
    reach = steps + gap
    padded = np.pad(rhythm, reach, mode="edge")
    total = np.concatenate([[0.0], np.cumsum(padded)])
    # Of `steps` values from each on.
    mean = (total[steps:] - total[:-steps]) / steps
    # Sums of rounded values may leave the range by a rounding.
    rise = np.clip(mean[reach + gap :][: len(rhythm)] - mean[: len(rhythm)], 0.0, 1.0)
    return np.asarray(onset**settings.onset_weight * rise ** (1 - settings.onset_weight))


def find_onsets(curves: np.ndarray, step_s: float, settings: OnsetSettings) -> list[Candidate]:
    """Onsets of malignant rhythms, in the order of time, at maxima of the score.

    Args:
        curves: (2, steps) of `rhythm_curves`; step i is at `i * step_s`.
        step_s: Time from one step to the next, s.
        settings: How the score is computed.

    Returns:
        Candidates; of equal scores within `apart_s` the first one.
    """
    if not curves.shape[1]:
        return []
    score = score_curve(curves, step_s, settings)
    return [
        Candidate(step * step_s, _end(curves[0], step, step_s, settings) * step_s, float(score[step]))
        for step in _peaks(score, round(settings.apart_s / step_s), settings.least_score)
    ]


def _peaks(score: np.ndarray, apart: int, least: float) -> list[int]:
    """Steps with the largest value within `apart` steps to either side, not below `least`; the first of equal ones."""
    from scipy.ndimage import maximum_filter1d

    highest = maximum_filter1d(score, 2 * apart + 1, mode="nearest")
    found: list[int] = []
    for step in np.flatnonzero((score == highest) & (score >= least)).tolist():
        if not found or step - found[-1] > apart:
            found.append(step)
    return found


def _end(rhythm: np.ndarray, onset: int, step_s: float, settings: OnsetSettings) -> int:
    """The first step after an episode."""
    first = min(len(rhythm) - 1, onset + round(settings.gap_s / step_s))
    # It may rise to the level a little later than at the onset.
    inside = rhythm[first : first + round(settings.rise_s / step_s) + 1]
    first += int(inside.argmax())
    below = np.flatnonzero(rhythm[first:] < settings.end_level)
    return first + int(below[0]) if len(below) else len(rhythm)
