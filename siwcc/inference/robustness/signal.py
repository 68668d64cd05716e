"""What may befall an ECG on its way to the network: noise, wander, a lost lead, another rate, turned-round electrodes.

A recording is float64 (leads, samples) in mV at the data set's rate. With `shift: rewindow` it is the sample's context,
two windows with the event in the middle, which the window is then cut out of; otherwise it is the window itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from siwcc.data.augment.interface import join_rows, read_folds
from siwcc.data.augment.signal import (
    SignalInputs,
    SignalSample,
    SignalSource,
    copy_rows,
    inputs_of,
    open_source,
    rows_of,
    sample_of,
)
from siwcc.data.augment.signal_steps import add_noise, add_wander
from siwcc.data.datasets.signals import resample, resampling_ratio
from siwcc.inference.robustness.interface import Change, Perturbation
from siwcc.io.joined_samples import SamplesPath

WANDER_HZ = (0.1, 0.5)
AS_RECORDED = "as recorded"

_NOISE = (0.05, 0.1, 0.2, 0.5, 1.0)
_WANDER = (0.1, 0.2, 0.5, 1.0, 2.0)
_RATES = (0.5, 2.0)
_OF_PEAK = "of the peak"


def add_white_noise(recording_mv: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, independent from sample to sample and from lead to lead.

    Args:
        recording_mv: (leads, samples), mV.
        fraction: Standard deviation as a fraction of the recording's largest absolute value, of all leads.
        rng: Draws the noise.
    """
    noise = rng.standard_normal(recording_mv.shape)
    return add_noise(recording_mv.astype(np.float64), fraction * peak_mv(recording_mv), noise)


def add_baseline_wander(
    recording_mv: np.ndarray, fraction: float, rng: np.random.Generator, rate_hz: float
) -> np.ndarray:
    """Add one sine to all leads, its phase 0 at the recording's first sample.

    Args:
        recording_mv: (leads, samples), mV.
        fraction: Amplitude as a fraction of the recording's largest absolute value, of all leads.
        rng: Draws the frequency, uniform in `WANDER_HZ`.
        rate_hz: Samples a second.
    """
    amplitude_mv, frequency_hz = fraction * peak_mv(recording_mv), rng.uniform(*WANDER_HZ)
    return add_wander(recording_mv.astype(np.float64), amplitude_mv, frequency_hz, rate_hz)


def peak_mv(recording_mv: np.ndarray) -> float:
    """The largest absolute value of all leads, mV."""
    return float(np.abs(recording_mv).max())


def silence_lead(recording_mv: np.ndarray, number: float) -> np.ndarray:
    """Replace a lead by zeros.

    Args:
        recording_mv: (leads, samples), mV.
        number: The lead, from 1; 0 for none.
    """
    silent = np.arange(1, len(recording_mv) + 1) == number
    return np.where(silent[:, np.newaxis], 0.0, recording_mv)


def record_at(recording_mv: np.ndarray, rate_hz: float, own_hz: float) -> np.ndarray:
    """Record at another rate, and resample as records of another rate are when they are read.

    Both ways it is the polyphase filter of `siwcc.data.datasets.signals.resample`.

    Args:
        recording_mv: (leads, samples), mV.
        rate_hz: The rate of the device, Hz.
        own_hz: The recording's, to which it returns.

    Returns:
        (leads, samples), mV.
    """
    where = Path("robustness")
    recorded = resample(recording_mv, resampling_ratio(where, own_hz, rate_hz))
    # An odd number of samples comes back with one more.
    return resample(recorded, resampling_ratio(where, rate_hz, own_hz))[:, : recording_mv.shape[1]]


def turn_round(recording_mv: np.ndarray, number: float) -> np.ndarray:
    """Change the sign of a lead, as electrodes that changed places do.

    Args:
        recording_mv: (leads, samples), mV.
        number: The lead, from 1; one more than there are leads for all of them, 0 for none.
    """
    leads = len(recording_mv)
    turned = (np.arange(1, leads + 1) == number) | (number == leads + 1)
    return np.where(turned[:, np.newaxis], -recording_mv, recording_mv)


def make_perturbations(leads: int, rate_hz: float) -> list[Perturbation]:
    """All that can be done to recordings of so many leads at this rate; the other rates are half of it and twice it."""
    each = tuple(float(number) for number in range(1, leads + 1))
    names = {0.0: AS_RECORDED, **{number: f"lead {number:g}" for number in each}}
    every = (leads + 1.0,) if leads > 1 else ()
    named_every = names | dict.fromkeys(every, "every lead")
    rates = tuple(factor * rate_hz for factor in _RATES)
    return [
        Perturbation("noise", _OF_PEAK, 0.0, _NOISE, add_white_noise),
        Perturbation(
            *("wander", _OF_PEAK, 0.0, _WANDER),
            apply=lambda recording, fraction, rng: add_baseline_wander(recording, fraction, rng, rate_hz),
        ),
        Perturbation(
            *("lead_missing", "lead", 0.0, each),
            apply=lambda recording, number, rng: silence_lead(recording, number),
            levels=names,
        ),
        Perturbation(
            *("rate", "Hz", rate_hz, rates),
            apply=lambda recording, other_hz, rng: record_at(recording, other_hz, rate_hz),
        ),
        Perturbation(
            *("polarity", "lead", 0.0, (*each, *every)),
            apply=lambda recording, number, rng: turn_round(recording, number),
            levels=named_every,
        ),
    ]


@dataclass(frozen=True)
class SignalOriginals:
    """The windows of one fold, see `siwcc.inference.robustness.interface.Originals`.

    Attributes:
        seed: The study's.
        source: What the fold was made from.
        rows: Places of the fold's windows in the samples file, by id.
    """

    seed: int
    source: SignalSource
    rows: Sequence[int]

    def perturbations(self) -> list[Perturbation]:
        """Those of `make_perturbations`."""
        dataset = self.source.dataset
        return make_perturbations(len(dataset.leads), dataset.rate_hz)

    def inputs(self, change: Change) -> SignalInputs:
        """Copy 0 of every window, cut where the study cuts it; what is no recording stays 0."""
        source = self.source
        of_each = [
            copy_rows(source.samples, row, self._changed(row, change), [0], source.settings, source.dataset, self.seed)
            for row in self.rows
        ]
        return inputs_of(source.spec, join_rows(of_each, of_each[0]))

    def _changed(self, row: int, change: Change) -> SignalSample:
        sample = sample_of(self.source.samples, row)
        if sample.context is not None:
            return replace(sample, context=_kept(sample, sample.context, sample.context_valid, change))
        valid = np.ones(sample.signal.shape[-1], dtype=bool)
        valid[len(valid) - sample.padded_samples(self.source.dataset.rate_hz) :] = False
        return replace(sample, signal=_kept(sample, sample.signal, valid, change))


def _kept(sample: SignalSample, recorded_mv: np.ndarray, valid: np.ndarray, change: Change) -> np.ndarray:
    return np.where(valid, change(sample.sample_id, recorded_mv.astype(np.float64)), 0.0)


def open_originals(fold_path: Path, samples_path: SamplesPath) -> SignalOriginals:
    """Read the windows of a fold.

    Args:
        fold_path: `fold<k>.h5`, which says how they were cut.
        samples_path: The samples file that it was made from.

    Raises:
        InputError: a damaged file, or samples that the fold was not made from.
    """
    [fold] = read_folds([fold_path], "signal", ("sample_id",))
    source = open_source([fold_path], samples_path)
    rows = rows_of(source.samples, sorted(set(fold.arrays["sample_id"])))
    return SignalOriginals(fold.attributes["seed"], source, rows)
