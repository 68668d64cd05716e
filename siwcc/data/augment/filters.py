"""Filters of ECG windows: Butterworth forwards and backwards, and the running median that is thinned out.

Equal to scipy's, to the bit where it says so, in a fraction of the time.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal

import numpy as np

FilterKind = Literal["lowpass", "highpass", "bandpass"]
FILTER_KINDS: tuple[FilterKind, ...] = ("lowpass", "highpass", "bandpass")
_SMALLEST_FOR_POLYNOMIALS = 1e-9
# So many rows keep the planes of one block in a second-level cache.
_ROWS_PER_BLOCK = 48


def design_filter(
    kind: FilterKind, highpass_hz: float, lowpass_hz: float, order: int, rate_hz: float, gain: float = 1.0
) -> Callable[[np.ndarray], np.ndarray]:
    """Step 5: Butterworth forwards and backwards, padded as `filtfilt` does by default (paper, 2.1.2, step 5).

    Args:
        kind: One of `FILTER_KINDS`.
        highpass_hz: Lower edge; unused by `lowpass`.
        lowpass_hz: Upper edge; unused by `highpass`.
        order: Order of the Butterworth prototype.
        rate_hz: Samples a second.
        gain: Factor of the result, at least 0 (step 6): coefficients are fewer than samples.

    Returns:
        A function that filters float64 (leads, samples), mV. It uses numerator and denominator as the authors ran
        it, or second-order sections where an edge so near 0 or half the rate would cost the former their precision.
    """
    edges_hz = {"lowpass": [lowpass_hz], "highpass": [highpass_hz], "bandpass": [highpass_hz, lowpass_hz]}[kind]
    nearest = min(edges_hz[0], rate_hz / 2 - edges_hz[-1]) / rate_hz
    gain_each_way = math.sqrt(gain)
    # Polynomials lose a factor of about nearest ** -order of float64's 1e16, but take half the time.
    if nearest**order > _SMALLEST_FOR_POLYNOMIALS:
        numerator, denominator = design_butterworth(order, kind, highpass_hz, lowpass_hz, rate_hz)
        numerator *= gain_each_way
        return partial(filter_both_ways, numerator, denominator, steady_state(numerator, denominator))
    # Training imports this module and filters nothing; scipy.signal alone takes 0.6 s to import.
    from scipy.signal import butter, sosfiltfilt

    edges = edges_hz if kind == "bandpass" else edges_hz[0]
    sections = butter(order, edges, kind, output="sos", fs=rate_hz)
    sections[0, :3] *= gain_each_way
    return partial(sosfiltfilt, sections, padlen=3 * (order * len(edges_hz) + 1))


def design_butterworth(
    order: int, kind: FilterKind, highpass_hz: float, lowpass_hz: float, rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator as `scipy.signal.butter` gives them, in a fifth of its time.

    The poles of the analog prototype are moved to the band and mapped to the z-plane by the bilinear
    transform, with the edges warped for it: the steps that scipy documents as `buttap`, `lp2lp_zpk`,
    `lp2hp_zpk`, `lp2bp_zpk` and `bilinear_zpk`, in its order, so that both round alike.

    Args:
        order: Order of the prototype; a band-pass has twice as many poles.
        kind: One of `FILTER_KINDS`.
        highpass_hz: Lower edge; unused by `lowpass`.
        lowpass_hz: Upper edge; unused by `highpass`.
        rate_hz: Samples a second; the edges lie below half of it.

    Returns:
        float64 coefficients of falling powers of z; the denominator's first is 1.
    """
    low, high = (4 * math.tan(math.pi * (edge_hz / (rate_hz / 2)) / 2) for edge_hz in (highpass_hz, lowpass_hz))
    gain = {"lowpass": high**order, "highpass": 4.0**order, "bandpass": (4 * (high - low)) ** order}[kind]
    denominator = [1.0]
    # A dozen numbers are faster in Python than in numpy.
    for pole in _prototype_poles(order):
        if kind == "bandpass":
            half = pole * (high - low) / 2
            offset = cmath.sqrt(half * half - low * high)
            poles = [half + offset, half - offset]
        else:
            poles = [high * pole if kind == "lowpass" else low / pole]
        mapped = [(4 + each) / (4 - each) for each in poles]
        if pole.imag:
            for before, each in zip(poles, mapped, strict=True):
                gain /= abs(4 - before) ** 2
                denominator = _times_quadratic(denominator, -2 * each.real, abs(each) ** 2)
        elif kind == "bandpass":
            # Both are real, or each is the other's conjugate.
            gain /= ((4 - poles[0]) * (4 - poles[1])).real
            denominator = _times_quadratic(denominator, -(mapped[0] + mapped[1]).real, (mapped[0] * mapped[1]).real)
        else:
            gain /= (4 - poles[0]).real
            denominator = _times_quadratic(denominator, -mapped[0].real, 0.0)[:-1]
    return gain * _numerator(order, kind), np.array(denominator)


@lru_cache
def _prototype_poles(order: int) -> tuple[complex, ...]:
    """The poles that have no negative imaginary part; the others are the conjugates of those that are not real."""
    return tuple(-cmath.exp(1j * math.pi * step / (2 * order)) for step in range(1 - order, 1, 2))


@lru_cache
def _numerator(order: int, kind: FilterKind) -> np.ndarray:
    zeros = {"lowpass": [-1.0], "highpass": [1.0], "bandpass": [1.0, -1.0]}[kind]
    return np.poly(zeros * order)


def _times_quadratic(coefficients: list[float], linear: float, constant: float) -> list[float]:
    """The coefficients of a polynomial's product with z**2 + `linear` * z + `constant`."""
    product, one_higher, two_higher = [], 0.0, 0.0
    for same in (*coefficients, 0.0, 0.0):
        product.append(same + linear * one_higher + constant * two_higher)
        one_higher, two_higher = same, one_higher
    return product


def filter_both_ways(
    numerator: np.ndarray, denominator: np.ndarray, steady: np.ndarray, signal: np.ndarray
) -> np.ndarray:
    """What `scipy.signal.filtfilt` does by default, without its checks, which take a fifth of its time.

    Args:
        numerator: float64 (taps,).
        denominator: float64 (taps,); the first is 1.
        steady: Their `steady_state`.
        signal: float64 (leads, samples), more than 3 x taps samples.

    Returns:
        float64 (leads, samples) in the signal's unit.

    Raises:
        ValueError: the signal is too short to be padded.
    """
    from scipy.signal import lfilter

    edge = 3 * len(denominator)
    if signal.shape[-1] <= edge:
        raise ValueError(f"a signal of {signal.shape[-1]} samples is too short to be padded by {edge} as in filtfilt")
    before = 2 * signal[:, :1] - signal[:, edge:0:-1]
    after = 2 * signal[:, -1:] - signal[:, -2 : -edge - 2 : -1]
    extended = np.concatenate([before, signal, after], axis=1)
    # Neither run starts with a jump.
    forwards, _ = lfilter(numerator, denominator, extended, zi=steady * extended[:, :1])
    backwards, _ = lfilter(numerator, denominator, forwards[:, ::-1], zi=steady * forwards[:, -1:])
    return np.asarray(backwards[:, ::-1][:, edge:-edge])


def steady_state(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The filter's state in a constant signal of 1, as `scipy.signal.lfilter_zi` gives it: float64 (taps - 1,)."""
    above, below = numerator.tolist(), denominator.tolist()
    # The output is constant, too; numbers that cancel leave nothing but their exact sum.
    level = math.fsum(above) / math.fsum(below)
    states, state = [], 0.0
    for input_weight, output_weight in zip(above[:0:-1], below[:0:-1], strict=True):
        state += input_weight - output_weight * level
        states.append(state)
    return np.array(states[::-1])


def decimate(signal: np.ndarray, median_samples: int, by: int) -> np.ndarray:
    """Running median of the float32 signal, then every `by`-th sample.

    Equal to the bit to `scipy.signal.medfilt(channel, median_samples)[::by]` of each channel, zeros
    beyond either end included, but only the medians that are kept are computed.

    Args:
        signal: (..., samples), finite.
        median_samples: Odd number of samples the median is taken over.
        by: Source samples for one model sample.

    Returns:
        float32 (..., ceil(samples / by)) in the signal's unit.
    """
    rows = signal.reshape(-1, signal.shape[-1])
    medians = np.empty((len(rows), -(-rows.shape[1] // by)), dtype=np.float32)
    for first in range(0, len(rows), _ROWS_PER_BLOCK):
        block = rows[first : first + _ROWS_PER_BLOCK]
        decimation = Decimation(len(block), block.shape[1], median_samples, by)
        decimation.add(block)
        medians[first : first + _ROWS_PER_BLOCK] = decimation.medians()
    return medians.reshape(*signal.shape[:-1], medians.shape[1])


class Decimation:
    """`decimate` for signals that are made one after another: none is kept, only what it adds to the medians.

    Args:
        rows: Of all signals together. Some dozens are fastest: they stay in a second-level cache.
        samples: Of each row.
        median_samples: Odd number of samples the median is taken over.
        by: Source samples for one model sample.
    """

    def __init__(self, rows: int, samples: int, median_samples: int, by: int) -> None:
        self._median_samples = median_samples
        self._kept = -(-samples // by)
        self._beyond = (median_samples - 1) // by
        columns = self._kept + self._beyond + 1
        # Sample k of a row, counted with the zeros before it, is in comb k % by, column k // by; rows follow each
        # other. So the n-th of the values around every `by`-th sample are contiguous, and fast to compare.
        self._flat = np.zeros((by, rows * columns + self._beyond), dtype=np.float32)
        self._combs = self._flat[:, : rows * columns].reshape(by, rows, columns)
        self._filled = 0

    def add(self, signal: np.ndarray) -> None:
        """Add rows, (rows, samples), finite."""
        rows, samples = signal.shape
        by = len(self._combs)
        column, comb = divmod(self._median_samples // 2, by)
        spans = samples // by
        of_rows = self._combs[:, self._filled : self._filled + rows]
        parts = signal[:, : spans * by].reshape(rows, spans, by).transpose(2, 0, 1)
        of_rows[comb:, :, column : column + spans] = parts[: by - comb]
        of_rows[:comb, :, column + 1 : column + 1 + spans] = parts[by - comb :]
        for place in range(spans * by, samples):
            later, of_comb = divmod(place + self._median_samples // 2, by)
            of_rows[of_comb, :, later] = signal[:, place]
        self._filled += rows

    def medians(self) -> np.ndarray:
        """Float32 (rows, ceil(samples / by)) of all rows."""
        by, rows, columns = self._combs.shape
        places = (divmod(place, by) for place in range(self._median_samples))
        values = [self._flat[comb, column : column + rows * columns] for column, comb in places]
        for low, high, keep_low, keep_high in median_network(self._median_samples):
            one, other = values[low], values[high]
            if keep_low:
                values[low] = np.minimum(one, other)
            if keep_high:
                values[high] = np.maximum(one, other)
        # The last columns of a row are medians of two rows.
        return values[self._median_samples // 2].reshape(rows, columns)[:, : self._kept]


@lru_cache
def median_network(values: int) -> tuple[tuple[int, int, bool, bool], ...]:
    """Comparisons that bring the median of so many values to the middle place.

    Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M), without
    what the median does not depend on.

    Args:
        values: Odd number of values.

    Returns:
        Steps (low, high, keep_low, keep_high): the smaller of the values at these two places goes to
        `low`, the larger to `high`; a result that is not kept is not used again.
    """
    needed = {values // 2}
    steps = []
    for low, high in reversed(_merge_exchange(values)):
        if low in needed or high in needed:
            steps.append((low, high, low in needed, high in needed))
            needed |= {low, high}
    return tuple(reversed(steps))


def _merge_exchange(values: int) -> list[tuple[int, int]]:
    largest = 1 << max(values - 1, 1).bit_length() - 1
    pairs, power = [], largest
    while power:
        distance, remainder, merged = power, 0, largest
        while True:
            pairs += [(low, low + distance) for low in range(values - distance) if low & power == remainder]
            if merged == power:
                break
            distance, remainder, merged = merged - power, power, merged // 2
        power //= 2
    return pairs
