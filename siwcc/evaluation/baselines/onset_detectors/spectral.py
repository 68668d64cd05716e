"""Ventricular fibrillation and fast tachycardia are nearly sinusoidal: a rule on the spectrum of sliding windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from siwcc.evaluation.baselines.onset_detectors.curves import CurveSettings, find_candidates
from siwcc.evaluation.baselines.onset_detectors.tuning import choose_settings, curve_grid
from siwcc.evaluation.baselines.onset_detectors.windows import FEATURES, STEP_S, WINDOW_S, smooth, window_features

if TYPE_CHECKING:
    from siwcc.data.datasets.interface import RhythmRecord
    from siwcc.data.episodes import Candidate, Reference

Measure = Literal["concentration", "leakage"]

_MEASURES: tuple[Measure, ...] = ("concentration", "leakage")
_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_FREQUENCY_HZ = (2.0, 9.0)
_SMOOTHED_WINDOWS = 5


@dataclass(frozen=True)
class SpectralRule:
    """What is learned.

    Attributes:
        measure: `concentration`, the fraction of the power near the dominant frequency; `leakage`, what a stop band
            at the mean frequency does not let pass.
        curve: From its curve to candidates.
    """

    measure: Measure
    curve: CurveSettings


def describe(record: RhythmRecord) -> dict[Measure, np.ndarray]:
    """The curve of each measure, see `spectral_curve`."""
    features = window_features(record)
    return {measure: spectral_curve(features, measure) for measure in _MEASURES}


def fit(references: Sequence[Reference], curves: Mapping[str, Mapping[Measure, np.ndarray]]) -> SpectralRule:
    """Choose measure and levels by the training records."""
    grid = [SpectralRule(measure, settings) for measure in _MEASURES for settings in curve_grid(_LEVELS)]
    return choose_settings(grid, references, lambda rule, name: _candidates(curves[name][rule.measure], rule))


def detect(curves: Mapping[Measure, np.ndarray], fitted: SpectralRule) -> list[Candidate]:
    """Candidates whose score is the largest running mean of the measure over the leads."""
    return _candidates(curves[fitted.measure], fitted)


def spectral_curve(features: np.ndarray, measure: Measure) -> np.ndarray:
    """The mean over the leads of a measure, smoothed; 0 for a lead whose dominant frequency is not 2 to 9 Hz.

    Args:
        features: (leads, windows, features), see `window_features`.
        measure: See `SpectralRule`.

    Returns:
        float64 (windows,) in [0, 1].
    """
    of = {name: features[..., place] for place, name in enumerate(FEATURES)}
    values = of["concentration"] if measure == "concentration" else 1 - of["leakage"]
    inside = (of["dominant_hz"] >= _FREQUENCY_HZ[0]) & (of["dominant_hz"] <= _FREQUENCY_HZ[1])
    return smooth(np.where(inside, np.clip(values, 0.0, 1.0), 0.0).mean(axis=0), _SMOOTHED_WINDOWS)


def _candidates(curve: np.ndarray, rule: SpectralRule) -> list[Candidate]:
    return find_candidates(curve, STEP_S, rule.curve, first_s=WINDOW_S / 2)
