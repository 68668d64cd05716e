"""The preparation of a recording for rhythm networks, compared with scipy's filters."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import median_filter
from scipy.signal import butter, resample_poly, sosfiltfilt

from siwcc.data.datasets.signals import resample
from siwcc.training import rhythm_windows
from siwcc.training.rhythm_windows import RhythmRecipe, prepare_signal


def recording(samples: int, seed: int = 0) -> np.ndarray:
    """Two leads with a baseline that drifts, and an amplitude that changes."""
    random = np.random.default_rng(seed)
    time = np.linspace(0, 1, samples)
    return (random.normal(size=(2, samples)) * (0.2 + time) + 3 * np.sin(5 * time) + 1).astype(np.float32)


def by_scipy(signal_mv: np.ndarray, ratio: Fraction, recipe: RhythmRecipe) -> np.ndarray:
    slow = resample_poly(signal_mv, ratio.numerator, ratio.denominator, axis=1, padtype="edge").astype(np.float64)
    sections = butter(2, recipe.highpass_hz, "highpass", fs=recipe.rate_hz, output="sos")
    padding = min(slow.shape[1] - 1, round(3 * recipe.rate_hz / recipe.highpass_hz))
    level = sosfiltfilt(sections, slow, axis=1, padlen=padding)
    second = round(recipe.rate_hz)
    edges = [*range(0, max(second, level.shape[1] - second + 1), second), level.shape[1]]
    centre = [(start + stop - 1) / 2 for start, stop in pairwise(edges)]
    prepared = []
    for lead in level:
        deviation = [lead[start:stop].std() for start, stop in pairwise(edges)]
        median = median_filter(np.array(deviation), size=round(recipe.scale_window_s), mode="nearest")
        scale = np.interp(np.arange(len(lead)), centre, np.maximum(median, recipe.scale_floor_mv))
        prepared.append(np.clip(lead / scale, -recipe.clip, recipe.clip))
    return np.array(prepared)


@pytest.mark.numeric
@pytest.mark.parametrize("samples", [700, 20_003])
@pytest.mark.parametrize("scale_window_s", [61.0, 6.0, 1.0])
@pytest.mark.parametrize("is_long", [False, True])
def test_a_signal_is_prepared_as_by_scipy(monkeypatch, samples: int, scale_window_s: float, is_long: bool) -> None:
    if is_long:
        monkeypatch.setattr(rhythm_windows, "_SHORT_SAMPLES", 0)
    recipe = replace(RhythmRecipe(), scale_window_s=scale_window_s)
    found = prepare_signal(recording(samples), 250, recipe)
    expected = by_scipy(recording(samples), Fraction(1, 5), recipe)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.numeric
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ratio", "samples"),
    [((1, 5), 5001), ((5, 36), 4000), ((25, 36), 4000), ((25, 64), 3001), ((10, 1), 7), ((1, 1000), 9), ((5, 2), 1)],
)
def test_resampled_as_by_scipy(ratio: tuple[int, int], samples: int, dtype: str) -> None:
    signal = recording(samples).astype(dtype)
    if samples > 3000:
        # In the middle, and next to the end.
        signal[0, 1500:1503] = signal[1, -2] = np.nan
    found = resample(signal, Fraction(*ratio))
    expected = resample_poly(signal, *ratio, axis=1, padtype="edge")
    assert found.dtype == expected.dtype
    rounding = 50 * np.finfo(dtype).eps * np.nanmax(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding)
    assert np.isnan(found).any() == (samples > 3000)
