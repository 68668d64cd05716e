"""The six augmentation steps of the paper, each a function of a window of all leads (2.1.2).

`distort` does the last five in the paper's order; what stands for the first, and in which order a copy draws, is in
`siwcc.data.augment.signal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from siwcc.config import SignalAugmentation
from siwcc.data.augment.filters import FILTER_KINDS, filter_band


def shift(signal: np.ndarray, shift_samples: int) -> np.ndarray:
    """Step 1: move the signal later (positive) or earlier (negative), zeros where it has left.

    Args:
        signal: (leads, samples), mV.
        shift_samples: Samples at the signal's rate.

    Returns:
        A new array (leads, samples), mV (paper, 2.1.2, step 1).
    """
    samples = signal.shape[-1]
    moved = np.zeros_like(signal)
    if shift_samples >= 0:
        moved[:, shift_samples:] = signal[:, : max(0, samples - shift_samples)]
    else:
        moved[:, : max(0, samples + shift_samples)] = signal[:, -shift_samples:]
    return moved


def shift_event(event_sample: int, shift_samples: int, samples: int) -> tuple[int, bool]:
    """Where the event stands after step 1.

    Args:
        event_sample: Index of the event before the shift.
        shift_samples: Samples, positive to the right.
        samples: Length of the window.

    Returns:
        The index, clipped to the window, and whether the event is still in it. As the authors ran
        it: an event that left on the left has target 0 s.
    """
    moved = event_sample + shift_samples
    return min(max(moved, 0), samples - 1), 0 <= moved < samples


def shift_edges(padded_samples: int, shift_samples: int) -> tuple[int, int]:
    """Zeros at the window's start and end after step 1, in samples.

    Args:
        padded_samples: Zeros that the window has at its end before the shift.
        shift_samples: Samples, positive to the right.
    """
    return max(0, shift_samples), max(0, padded_samples - shift_samples)


def draw_dropout(
    rng: np.random.Generator,
    kept: Sequence[int],
    samples: int,
    length_range_s: tuple[float, float],
    rate_hz: float,
) -> tuple[int, int]:
    """Draw step 2's patch: the length once, the start until the patch leaves every point alone.

    Args:
        rng: The copy's generator.
        kept: Indices of the event, and of its end where that is looked for and visible, after the shift.
        samples: Length of the window; the longest patch must be shorter than half of it, a third for two points.
        length_range_s: Shortest and longest patch, seconds.
        rate_hz: Samples a second.

    Returns:
        Start and length in samples; `start <= sample < start + length` is false for all that are kept.
    """
    length = int(rng.uniform(*length_range_s) * rate_hz)
    while True:
        start = int(rng.integers(0, samples - length))
        if not any(start <= sample < start + length for sample in kept):
            return start, length


def drop_out(signal: np.ndarray, start: int, length: int) -> np.ndarray:
    """Step 2: zero `length` samples of all leads from `start` on (paper, 2.1.2, step 2).

    Args:
        signal: (leads, samples), mV.
        start: First sample of the patch.
        length: Samples of the patch.
    """
    patched = signal.copy()
    patched[:, start : start + length] = 0
    return patched


def add_noise(signal: np.ndarray, std_mv: float, unit_noise: np.ndarray) -> np.ndarray:
    """Step 3: add Gaussian noise, independent per sample and lead (paper, 2.1.2, step 3).

    Args:
        signal: (leads, samples), mV.
        std_mv: Standard deviation of the noise.
        unit_noise: Standard normal numbers of the signal's shape.
    """
    return signal + std_mv * unit_noise


def add_wander(signal: np.ndarray, amplitude_mv: float, frequency_hz: float, rate_hz: float) -> np.ndarray:
    """Step 4: add one sine to all leads, phase zero at the first sample (paper, 2.1.2, step 4).

    Args:
        signal: (leads, samples), mV.
        amplitude_mv: Amplitude of the sine.
        frequency_hz: Its frequency.
        rate_hz: Samples a second.
    """
    time_s = _times_s(signal.shape[-1], rate_hz)
    return signal + amplitude_mv * np.sin(2 * np.pi * frequency_hz * time_s)


@lru_cache
def _times_s(samples: int, rate_hz: float) -> np.ndarray:
    return np.arange(samples) / rate_hz


def scale(signal: np.ndarray, factor: float) -> np.ndarray:
    """Step 6: multiply all leads by one factor (paper, 2.1.2, step 6).

    Args:
        signal: (leads, samples), mV.
        factor: Without unit.
    """
    return signal * factor


def distort(
    signal: np.ndarray, kept: Sequence[int], rng: np.random.Generator, settings: SignalAugmentation, rate_hz: float
) -> np.ndarray:
    """Steps 2 to 6 in the paper's order (2.1.2), with the draws in the order that `siwcc.data.augment.signal` says.

    Noise and wander are fractions of the largest absolute value of all leads after steps 1 and 2.

    Args:
        signal: float64 (leads, samples), mV; left as it is.
        kept: Indices of the points, which no dropout covers.
        rng: The copy's own generator, step 1 drawn.
        settings: Ranges of the draws.
        rate_hz: Samples a second.

    Returns:
        float64 (leads, samples), mV.
    """
    start, length = draw_dropout(rng, kept, signal.shape[-1], settings.dropout_s, rate_hz)
    signal = drop_out(signal, start, length)
    peak_mv = max(float(signal.max()), -float(signal.min()))
    noise_mv = peak_mv * rng.uniform(*settings.noise_fraction)
    signal = add_noise(signal, noise_mv, rng.standard_normal(signal.shape))
    wander_mv = peak_mv * rng.uniform(*settings.wander_fraction)
    signal = add_wander(signal, wander_mv, rng.uniform(*settings.wander_hz), rate_hz)
    kind = FILTER_KINDS[int(rng.integers(len(FILTER_KINDS)))]
    highpass_hz, lowpass_hz = rng.uniform(*settings.highpass_hz), rng.uniform(*settings.lowpass_hz)
    signal = filter_band(signal, kind, highpass_hz, lowpass_hz, settings.filter_order, rate_hz)
    return scale(signal, rng.uniform(*settings.scale))
