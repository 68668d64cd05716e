"""The augmentation steps of the paper, functions of a window of all leads (2.1.2).

`distort` does the last five in the paper's order; what stands for the first, and in which order a copy draws, is in
`siwcc.data.augment.signal`. Steps 2 to 4 change the array that they are given, and return it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from siwcc.config import SignalAugmentation
from siwcc.data.augment.filters import FILTER_KINDS, design_filter

# A sine is computed in squares of samples; the paper's windows of 5,000 are just within one.
_SINE_EDGE = 71


def shift(signal: np.ndarray, shift_samples: int) -> np.ndarray:
    """Step 1: move the signal later (positive) or earlier (negative), zeros where it has left.

    Args:
        signal: (leads, samples), mV.
        shift_samples: Samples at the signal's rate.

    Returns:
        A new array, float64 (leads, samples), mV (paper, 2.1.2, step 1).
    """
    samples = signal.shape[-1]
    moved = np.empty(signal.shape)
    if shift_samples >= 0:
        moved[:, :shift_samples] = 0
        moved[:, shift_samples:] = signal[:, : max(0, samples - shift_samples)]
    else:
        kept = max(0, samples + shift_samples)
        moved[:, :kept] = signal[:, -shift_samples:]
        moved[:, kept:] = 0
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
    signal[:, start : start + length] = 0
    return signal


def add_noise(signal: np.ndarray, std_mv: float, unit_noise: np.ndarray) -> np.ndarray:
    """Step 3: add Gaussian noise, independent per sample and lead (paper, 2.1.2, step 3).

    Args:
        signal: (leads, samples), mV.
        std_mv: Standard deviation of the noise.
        unit_noise: Standard normal numbers of the signal's shape.
    """
    unit_noise *= std_mv
    signal += unit_noise
    return signal


def add_wander(signal: np.ndarray, amplitude_mv: float, frequency_hz: float, rate_hz: float) -> np.ndarray:
    """Step 4: add one sine to all leads, phase zero at the first sample (paper, 2.1.2, step 4).

    Args:
        signal: (leads, samples), mV.
        amplitude_mv: Amplitude of the sine.
        frequency_hz: Its frequency.
        rate_hz: Samples a second.
    """
    samples = signal.shape[-1]
    # sin(a + b) = sin(a) cos(b) + cos(a) sin(b) takes a fifth of the time of as many sines as there are samples.
    angles_rad, quarter_turns = _grid(-(-samples // _SINE_EDGE**2), rate_hz)
    parts = np.sin(frequency_hz * angles_rad + quarter_turns)
    coarse, fine = parts[:, :-_SINE_EDGE].T, amplitude_mv * parts[::-1, -_SINE_EDGE:]
    # One small product after another: BLAS would share a large one among threads, which round differently.
    sine = coarse.reshape(-1, _SINE_EDGE, 2) @ fine
    signal += sine.ravel()[:samples]
    return signal


@lru_cache
def _grid(squares: int, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """For a sine and a cosine of 1 Hz the angles at every `_SINE_EDGE`-th sample, then at the first so many samples.

    Returns:
        The angles, (2, (squares + 1) * `_SINE_EDGE`), and what makes the second a cosine, (2, 1), radians.
    """
    fine = np.arange(_SINE_EDGE)
    sample = np.concatenate([np.arange(squares * _SINE_EDGE) * _SINE_EDGE, fine])
    return np.tile(sample * (2 * np.pi / rate_hz), (2, 1)), np.array([[0], [np.pi / 2]])


def distort(
    signals: Sequence[np.ndarray],
    kept: Sequence[Sequence[int]],
    rngs: Sequence[np.random.Generator],
    settings: SignalAugmentation,
    rate_hz: float,
) -> Iterator[np.ndarray]:
    """Steps 2 to 6 in the paper's order (2.1.2), with the draws in the order that `siwcc.data.augment.signal` says.

    Noise and wander are fractions of the largest absolute value of all leads after steps 1 and 2.

    Args:
        signals: Each copy's window of one length, float64 (leads, samples), mV; changed.
        kept: Each copy's indices of the points, which no dropout covers.
        rngs: Each copy's own generator, step 1 drawn.
        settings: Ranges of the draws.
        rate_hz: Samples a second.

    Yields:
        Each copy, float64 (leads, samples), mV.
    """
    # Imported where it is used, since training imports this module.
    from scipy.linalg.blas import idamax

    # All copies do one thing before any does the next: the noise of a copy displaces everything else from the
    # processor's first cache, and right after it the few other draws and the filter's design take twice their time.
    dropouts = [
        draw_dropout(rng, points, signal.shape[-1], settings.dropout_s, rate_hz)
        for signal, points, rng in zip(signals, kept, rngs, strict=True)
    ]
    noise_fractions = [rng.uniform(*settings.noise_fraction) for rng in rngs]
    peaks_mv = []
    for signal, rng, dropout, fraction in zip(signals, rngs, dropouts, noise_fractions, strict=True):
        values = drop_out(signal, *dropout).ravel()
        peaks_mv.append(abs(float(values[idamax(values)])))
        add_noise(signal, peaks_mv[-1] * fraction, rng.standard_normal(signal.shape))
    wanders = [_uniform(rng, settings.wander_fraction, settings.wander_hz) for rng in rngs]
    filters = [_draw_filter(rng, settings, rate_hz) for rng in rngs]
    for signal, peak_mv, (fraction, frequency_hz) in zip(signals, peaks_mv, wanders, strict=True):
        add_wander(signal, peak_mv * fraction, frequency_hz, rate_hz)
    for signal, filter_and_scale in zip(signals, filters, strict=True):
        yield filter_and_scale(signal)


def _draw_filter(
    rng: np.random.Generator, settings: SignalAugmentation, rate_hz: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Steps 5 and 6, which are one, since the filter is linear: the scale is its gain."""
    kind = FILTER_KINDS[int(rng.integers(len(FILTER_KINDS)))]
    highpass_hz, lowpass_hz, factor = _uniform(rng, settings.highpass_hz, settings.lowpass_hz, settings.scale)
    return design_filter(kind, highpass_hz, lowpass_hz, settings.filter_order, rate_hz, gain=factor)


def _uniform(rng: np.random.Generator, *ranges: tuple[float, float]) -> list[float]:
    """What `rng.uniform` draws from one range after the other, in half of its time."""
    units = rng.random(len(ranges)).tolist()
    return [low + (high - low) * unit for (low, high), unit in zip(ranges, units, strict=True)]
