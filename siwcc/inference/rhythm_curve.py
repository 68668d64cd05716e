"""From a recording to the probability of a malignant rhythm over its time, and from that to candidate episodes.

signal, mV -> `model_signal` -> `rhythm_curve`, a probability per step -> `find_candidates`, episodes with a score
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from siwcc.nn.rhythm_network import RhythmNetwork
from siwcc.training.rhythm_windows import RhythmRecipe, prepare_signal

__all__ = ["CurveSettings", "find_candidates", "model_signal", "rhythm_curve"]

# Steps of a block's output: at 50 Hz with a stride of 4 about five minutes.
_BLOCK_STEPS = 4096


class Candidate(NamedTuple):
    """An episode that was found.

    Attributes:
        onset_s: Its start, from the recording's start.
        end_s: Its end.
        score: How likely it is a malignant rhythm, 0 to 1.
    """

    onset_s: float
    end_s: float
    score: float


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


def rhythm_curve(
    networks: Sequence[RhythmNetwork], signal: np.ndarray, output: int = 0, block_steps: int = _BLOCK_STEPS
) -> np.ndarray:
    """Mean probability of several networks over a recording, computed in blocks.

    A block is computed from its samples and as many to either side as its steps depend on, so that the block size
    changes nothing but the rounding, and the memory does not grow with the recording.

    Args:
        networks: With one stride.
        signal: float32 (leads, T), from `model_signal`.
        output: Which of the networks' outputs: 0 is the rhythm.
        block_steps: Steps per block.

    Returns:
        float64 (T // stride,), 0 to 1.

    Raises:
        ValueError: no network, or networks with different strides.
    """
    strides = {network.stride for network in networks}
    if len(strides) != 1:
        raise ValueError(f"networks with one stride are needed, got {sorted(strides) or 'no network'}")
    stride = strides.pop()
    steps = signal.shape[1] // stride
    margin = max(-(-network.reach // stride) for network in networks)
    curve = np.zeros(steps)
    for first in range(0, steps, block_steps):
        stop = min(steps, first + block_steps)
        start = max(0, first - margin)
        end = signal.shape[1] if stop + margin >= steps else (stop + margin) * stride
        block = torch.from_numpy(np.ascontiguousarray(signal[None, :, start * stride : end], dtype=np.float32))
        for network in networks:
            curve[first:stop] += _probability(network, block, output)[first - start : stop - start]
    curve /= len(networks)
    return curve


@torch.no_grad()
def _probability(network: RhythmNetwork, block: torch.Tensor, output: int) -> np.ndarray:
    was_training = network.training
    network.eval()
    probability = torch.sigmoid(network(block)[0, output].double()).numpy()
    network.train(was_training)
    return np.asarray(probability)


@dataclass(frozen=True)
class CurveSettings:
    """How episodes are found in a curve of probabilities; JSON holds it as `asdict` gives it.

    Attributes:
        level: An episode begins where the curve rises to this probability.
        low: It ends where the curve falls below this fraction of the level.
        merge_gap_s: Episodes closer than this are one.
        least_s: Shorter ones are none, after merging.
        score_s: The score is the largest mean of the curve over this time, within the episode.
        refractory_s: An episode that begins sooner after the start of the previous one that is kept is none.
    """

    level: float = 0.3
    low: float = 1.0
    merge_gap_s: float = 3.0
    least_s: float = 1.0
    score_s: float = 2.0
    refractory_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return asdict(self)


def find_candidates(curve: np.ndarray, step_s: float, settings: CurveSettings) -> list[Candidate]:
    """Episodes in a curve of probabilities, in the order of time.

    Args:
        curve: (steps,), 0 to 1; step i is at `i * step_s`.
        step_s: Time from one step to the next.
        settings: Levels and durations.

    Returns:
        Candidates; no two overlap.
    """
    first, stop = _episodes(np.asarray(curve, dtype=np.float64), step_s, settings)
    smoothed = _running_mean(curve, max(1, round(settings.score_s / step_s)))
    found: list[Candidate] = []
    for start, end in zip(first.tolist(), stop.tolist(), strict=True):
        if found and (start * step_s - found[-1].onset_s) < settings.refractory_s:
            continue
        last = max(start, end - round(settings.score_s / step_s))
        found.append(Candidate(start * step_s, end * step_s, float(smoothed[start : last + 1].max())))
    return found


def _episodes(curve: np.ndarray, step_s: float, settings: CurveSettings) -> tuple[np.ndarray, np.ndarray]:
    """First step and the one after the last of every episode."""
    low = settings.low * settings.level
    # A run above `low` counts from its first step above the level.
    first, stop = _runs(curve >= low)
    above = np.flatnonzero(curve >= settings.level)
    entry = np.searchsorted(above, first)
    rises = entry < len(above)
    rises[rises] = above[entry[rises]] < stop[rises]
    first, stop = above[entry[rises]], stop[rises]
    if not len(first):
        return first, stop
    apart = first[1:] - stop[:-1] >= settings.merge_gap_s / step_s
    first, stop = first[np.r_[True, apart]], stop[np.r_[apart, True]]
    long = stop - first >= settings.least_s / step_s
    return first[long], stop[long]


def _runs(is_on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First step and the one after the last of every run of True."""
    edges = np.diff(np.r_[False, is_on, False].astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _running_mean(curve: np.ndarray, steps: int) -> np.ndarray:
    """Mean of `steps` values from each on, (n,) -> (n,); the last value is repeated beyond the end."""
    if not len(curve):
        return np.zeros(0)
    total = np.cumsum(np.r_[0.0, curve, np.full(steps - 1, curve[-1])])
    return np.asarray((total[steps:] - total[:-steps]) / steps)
