"""The one change point that splits an ECG best, by a kernel on local features; nothing is learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ruptures import KernelCPD
from scipy.ndimage import uniform_filter1d

from siwcc.evaluation.baselines.signals import axis_coordinates, read_batches

if TYPE_CHECKING:
    from siwcc.data.augment.signal import SignalInputs

# Long enough for a beat at 60 a minute, short beside a 20 s window.
FEATURE_WINDOW_S = 1.0
# Of one sample there is no mean to take away, and no slope.
_FEWEST_SAMPLES = 2
_SMALLEST_FRACTION = 1e-6


def change_point(inputs: SignalInputs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The change point of the recorded part of each window: padding is no signal and left out.

    Args:
        inputs: The rows of all folds.
        train: Not used.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, 1), seconds.
    """
    (time_s,) = axis_coordinates(inputs.spec)
    step_s = time_s[1] - time_s[0]
    width = max(round(FEATURE_WINDOW_S / step_s), _FEWEST_SAMPLES)
    padded = np.rint(inputs.edge_s[test] / step_s).astype(int)
    start = np.minimum(padded[:, 0], len(time_s) - 1)
    stop = np.maximum(len(time_s) - padded[:, 1], start + 1)
    predictions = np.empty((len(test), 1))
    for positions, signals in read_batches(inputs, test):
        for position, signal in zip(positions, signals, strict=True):
            recorded = signal[:, start[position] : stop[position]]
            predictions[position] = time_s[start[position] + find_change(recorded, width)]
    return predictions


def find_change(signal: np.ndarray, width: int) -> int:
    """The first sample after the change, at least `width` samples from either end.

    One change by the exact search of `ruptures.KernelCPD` with a Gaussian kernel exp(-d2 / (2 f)):
    2 f is the mean squared distance d2 of two samples of f standardised, independent features. The
    kernel is bounded, so a short silent patch does not outweigh all else.

    Args:
        signal: (leads, samples), in any unit.
        width: Samples of the features' window.

    Returns:
        Index into the samples; the middle of a signal too short to be split.
    """
    samples: int = signal.shape[1]
    if samples < 2 * width:
        return samples // 2
    features = local_features(signal, width)
    detector = KernelCPD(kernel="rbf", min_size=width, params={"gamma": 1 / (2 * features.shape[1])})
    return int(detector.fit_predict(features, n_bkps=1)[0])


def local_features(signal: np.ndarray, width: int) -> np.ndarray:
    """How strong, how steep and how fast each lead is around each sample.

    Of every lead, after its running mean is taken away (baseline wander): log of the mean square,
    log of the mean absolute slope, and the rate of sign changes, each in a centred window.

    Args:
        signal: (leads, samples), in any unit.
        width: Samples of the window, at least two.

    Returns:
        float64 (samples, 3 x leads), each feature with mean 0 and standard deviation 1, or 0 throughout.
    """
    lead = signal - uniform_filter1d(signal.astype(np.float64), width, axis=1)
    slope = np.abs(np.diff(lead, axis=1, prepend=lead[:, :1]))
    crossing = np.diff(lead > 0, axis=1, prepend=lead[:, :1] > 0).astype(np.float64)
    energy, slope, crossing = (uniform_filter1d(values, width, axis=1) for values in (lead**2, slope, crossing))
    features = np.concatenate([_log(energy), _log(slope), crossing])
    spread = features.std(axis=1, keepdims=True)
    centred = features - features.mean(axis=1, keepdims=True)
    standardised: np.ndarray = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return standardised.T


def _log(values: np.ndarray) -> np.ndarray:
    floor = _SMALLEST_FRACTION * values.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.maximum(values, np.where(floor > 0, floor, 1.0))))
