"""Recordings in sliding windows: what each window of each lead is like, in a few numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import median_filter
from scipy.signal import butter, sosfiltfilt

if TYPE_CHECKING:
    from siwcc.data.datasets.interface import RhythmRecord

WINDOW_S = 4.0
STEP_S = 0.5
FEATURES = (
    "log_amplitude",
    "log_slope",
    "kurtosis",
    "crossing_hz",
    "near_baseline",
    "dominant_hz",
    "concentration",
    "centroid_hz",
    "low_power",
    "high_power",
    "leakage",
    "periodicity",
    "period_s",
)
"""Names of the columns of `window_features`."""

# Baseline wander is below; nothing that tells rhythms apart is above.
_BAND_HZ = (0.5, 40.0)
_FILTER_ORDER = 2
# A quiet lead has noise of about this amplitude, and a flat one less.
FLOOR_MV = 0.01
_WINDOWS_AT_ONCE = 256
# Of a malignant rhythm's repetition, and somewhat wider.
_DOMINANT_HZ = (0.75, 10.0)
_SPECTRUM_HZ = (0.5, 30.0)
# Of the power, what is between these multiples of the dominant frequency is near it.
_NEAR = (0.7, 1.4)
_LOW_HZ, _HIGH_HZ = 2.0, 10.0
_PERIOD_S = (0.15, 1.5)
_OF_HIGHEST = 0.85
# Of the largest absolute value in the window.
_NEAR_BASELINE = 0.2


def filter_leads(record: RhythmRecord) -> np.ndarray:
    """Band-passed leads; invalid samples are interpolated before the filter and 0 after it.

    Args:
        record: At a rate of at least 100 Hz.

    Returns:
        float32 (leads, samples), mV; 0 throughout a lead without a valid sample.
    """
    valid = np.isfinite(record.signal_mv)
    leads: np.ndarray = np.zeros(record.signal_mv.shape)
    places = np.arange(leads.shape[1])
    for lead, signal, known in zip(leads, record.signal_mv, valid, strict=True):
        if known.any():
            lead[:] = np.interp(places, places[known], signal[known])
    sections = butter(_FILTER_ORDER, _BAND_HZ, "bandpass", fs=record.rate_hz, output="sos")
    if leads.size:
        leads = sosfiltfilt(sections, leads, axis=1, padlen=min(round(record.rate_hz), leads.shape[1] - 1))
    cleaned: np.ndarray = np.where(valid, leads, 0.0).astype(np.float32)
    return cleaned


def window_starts(samples: int, rate_hz: float) -> np.ndarray:
    """First sample of each window that is wholly in the recording, int64 (windows,)."""
    last = samples - round(WINDOW_S * rate_hz)
    starts = np.rint(np.arange(max(0, int(last / rate_hz / STEP_S) + 2)) * STEP_S * rate_hz).astype(np.int64)
    inside: np.ndarray = starts[starts <= last]
    return inside


def iter_windows(leads: np.ndarray, starts: np.ndarray, width: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Windows of all leads, some at once.

    Yields:
        Which of `starts`, and (leads, windows, width).
    """
    view = np.lib.stride_tricks.sliding_window_view(leads, width, axis=1) if leads.shape[1] >= width else leads
    for first in range(0, len(starts), _WINDOWS_AT_ONCE):
        some = slice(first, first + _WINDOWS_AT_ONCE)
        yield some, view[:, starts[some]]


def window_features(record: RhythmRecord) -> np.ndarray:
    """What each window of `WINDOW_S` every `STEP_S` is like; the first window's centre is at `WINDOW_S` / 2.

    Returns:
        float64 (leads, windows, features), see `FEATURES`; all of them finite.
    """
    leads, rate_hz = filter_leads(record), record.rate_hz
    starts = window_starts(leads.shape[1], rate_hz)
    features = np.empty((len(leads), len(starts), len(FEATURES)))
    for some, windows in iter_windows(leads, starts, round(WINDOW_S * rate_hz)):
        parts = [describe(windows, rate_hz) for describe in (_shape, _spectrum, _repetition)]
        features[:, some] = np.concatenate(parts, axis=-1)
    return features


def window_times(windows: int) -> np.ndarray:
    """The centre of each window, s, float64 (windows,)."""
    return np.asarray(WINDOW_S / 2 + STEP_S * np.arange(windows))


def smooth(curve: np.ndarray, windows: int) -> np.ndarray:
    """Running median; the ends are repeated."""
    return np.asarray(median_filter(curve, windows, mode="nearest")) if len(curve) else curve


def _shape(windows: np.ndarray, rate_hz: float) -> np.ndarray:
    """Amplitude, slope, kurtosis, sign changes, and the fraction of samples near 0."""
    centred = windows - windows.mean(axis=-1, keepdims=True)
    square = centred**2
    power = square.mean(axis=-1)
    amplitude = np.sqrt(power) + FLOOR_MV
    slope = np.abs(np.diff(centred, axis=-1)).mean(axis=-1) * rate_hz
    kurtosis = (square**2).mean(axis=-1) / (power + FLOOR_MV**2) ** 2
    crossing_hz = (np.diff(centred > 0, axis=-1)).mean(axis=-1) * rate_hz
    largest = np.abs(centred).max(axis=-1, keepdims=True)
    near = (np.abs(centred) <= _NEAR_BASELINE * largest).mean(axis=-1)
    return np.stack([np.log(amplitude), np.log(slope / amplitude + 1.0), kurtosis, crossing_hz, near], axis=-1)


def _spectrum(windows: np.ndarray, rate_hz: float) -> np.ndarray:
    """Dominant frequency, the fraction of the power near it, centroid, and fractions of low and high power."""
    width = windows.shape[-1]
    power = np.abs(rfft(windows * np.hanning(width).astype(np.float32), 2 * width, axis=-1)) ** 2
    hz = np.arange(power.shape[-1]) * rate_hz / (2 * width)
    inside = (hz >= _SPECTRUM_HZ[0]) & (hz <= _SPECTRUM_HZ[1])
    power, hz = power[..., inside].astype(np.float64), hz[inside]
    # Of a lead of FLOOR_MV: so a flat lead has no concentration.
    total = power.sum(axis=-1) + FLOOR_MV**2 * width**2 / 8
    candidates = np.where((hz >= _DOMINANT_HZ[0]) & (hz <= _DOMINANT_HZ[1]), power, -1.0)
    dominant = hz[candidates.argmax(axis=-1)]
    summed = np.concatenate([np.zeros((*power.shape[:-1], 1)), power.cumsum(axis=-1)], axis=-1)
    low, high = (np.searchsorted(hz, factor * dominant)[..., np.newaxis] for factor in _NEAR)
    near = np.take_along_axis(summed, high, axis=-1) - np.take_along_axis(summed, low, axis=-1)
    parts = [(power[..., part].sum(axis=-1)) / total for part in (hz < _LOW_HZ, hz > _HIGH_HZ)]
    return np.stack([dominant, near[..., 0] / total, power @ hz / total, *parts], axis=-1)


def _repetition(windows: np.ndarray, rate_hz: float) -> np.ndarray:
    """VF-filter leakage, the height of the autocorrelation's largest peak, and the place of the first such peak."""
    width = windows.shape[-1]
    centred = windows - windows.mean(axis=-1, keepdims=True)
    spectrum = rfft(centred, next_fast_len(2 * width), axis=-1)
    correlation = irfft(np.abs(spectrum) ** 2, next_fast_len(2 * width), axis=-1)[..., :width].astype(np.float64)
    correlation /= np.maximum(correlation[..., :1], width * FLOOR_MV**2)
    correlation *= width / (width - np.arange(width))
    first, last = (round(period * rate_hz) for period in _PERIOD_S)
    inner = correlation[..., first : last + 1]
    peak = (inner[..., 1:-1] >= inner[..., :-2]) & (inner[..., 1:-1] > inner[..., 2:])
    heights = np.where(peak, inner[..., 1:-1], 0.0)
    # Of a peak and its multiples the first.
    place = (heights >= _OF_HIGHEST * heights.max(axis=-1, keepdims=True)).argmax(axis=-1)
    return np.stack([_leakage(centred), heights.max(axis=-1), (place + first + 1) / rate_hz], axis=-1)


def _leakage(centred: np.ndarray) -> np.ndarray:
    """What a narrow stop band at the mean frequency lets pass, as a fraction; 1 for a flat lead.

    S. Kuo, R. Dillman, Computer detection of ventricular fibrillation, Computers in Cardiology 1978.
    """
    size = np.abs(centred).sum(axis=-1)
    slope = np.abs(np.diff(centred, axis=-1)).sum(axis=-1)
    half_period = np.clip(np.rint(np.pi * size / np.maximum(slope, 1e-9)), 1, centred.shape[-1] // 2).astype(np.int64)
    shifted = np.arange(centred.shape[-1]) - half_period[..., np.newaxis]
    delayed = np.where(shifted >= 0, np.take_along_axis(centred, np.maximum(shifted, 0), axis=-1), 0.0)
    compared = np.where(shifted >= 0, np.abs(centred), 0.0).sum(axis=-1) + np.abs(delayed).sum(axis=-1)
    passed = np.where(shifted >= 0, np.abs(centred + delayed), 0.0).sum(axis=-1)
    floor = FLOOR_MV * centred.shape[-1]
    return np.asarray((passed + floor) / (compared + floor))
