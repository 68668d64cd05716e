"""The six steps compared with numbers worked out by hand and a second, plain implementation; the fold files.

Bounds on counts of seeded draws are four standard deviations: sampling error, not rounding.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import wfdb
from refusals import refused
from scipy.signal import butter, filtfilt, lfilter_zi, medfilt
from threadpoolctl import threadpool_limits
from tolerances import FLOAT64, assert_same

from siwcc.config import SignalAugmentation, SignalTask, VfdbSection
from siwcc.data.augment import filters, signal_steps
from siwcc.data.augment import signal as ecg
from siwcc.data.augment.interface import augment_module, copy_rng
from siwcc.data.datasets import vfdb
from siwcc.data.samples import write_samples as write_items
from siwcc.data.tasks.interface import TaskSpec
from siwcc.io.errors import InputError
from siwcc.io.shards import _write_seal, read_shard, shard_writer

RATE_HZ = 250.0
DATASET = VfdbSection(format="vfdb")
TASK = SignalTask(copies_per_sample=6)
AT_SOURCE = SignalTask(copies_per_sample=2, weighted_at="source_rate")
REWINDOW = SignalTask(copies_per_sample=6, shift="rewindow")
RANGES = SignalAugmentation()
SEED = 42
# Two forms of one filter, in units of the largest value. Poles near 1 amplify the coefficients' rounding, 1.1e-16:
# a filter of third order with the edge 0.5 Hz at 250 Hz by (250 / 0.5) ** 3 = 1.2e8, to 1.4e-8.
FILTERED = 1e-6
EVENTS_S = {"418_0099624": 10.0, "419_0000900": 1.6, "602_0034000": 9.9}


def beats(seed: int, samples: int = 5000) -> np.ndarray:
    """Two unlike leads with drift, offset and sharp peaks, float32 mV."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(samples) / RATE_HZ
    rhythm = np.exp(-((time_s % 0.8 - 0.4) ** 2) / 0.002)
    leads = [1.3 * rhythm + 0.2 * np.sin(0.9 * time_s), 0.4 - 0.7 * rhythm]
    return np.asarray(leads + 0.02 * rng.standard_normal((2, samples)), dtype=np.float32)


def made_sample(*, seed=11, event=2500, gap=None, record_event=100_000, samples=5000):
    """A window with its event at sample `event`, out of a recording without end."""
    context = beats(seed, 2 * samples)
    return ecg.SignalSample(
        sample_id="x",
        signal=context[:, samples - event : 2 * samples - event].copy(),
        target_s=event / RATE_HZ,
        event_sample=record_event,
        previous_event=-1 if gap is None else record_event - gap,
        context=context,
        context_valid=np.ones(2 * samples, dtype=bool),
    )


def plain_copy(signal, event_sample, rng, ranges, rate_hz):
    """The six steps again: sample by sample, with numerator and denominator of the filter."""
    leads, samples = signal.shape
    offset = math.trunc(rng.uniform(-ranges.shift_s, ranges.shift_s) * rate_hz)
    shifted = np.zeros((leads, samples))
    for lead in range(leads):
        for sample in range(samples):
            if 0 <= sample - offset < samples:
                shifted[lead, sample] = signal[lead, sample - offset]
    moved = event_sample + offset
    visible = 0 <= moved <= samples - 1
    moved = 0 if moved < 0 else samples - 1 if moved >= samples else moved
    return plain_steps(shifted, moved, rng, ranges, rate_hz), moved, visible


def plain_steps(signal, event_sample, rng, ranges, rate_hz):
    """Steps 2 to 6."""
    leads, samples = signal.shape
    shifted = signal.copy()
    length = math.trunc(rng.uniform(ranges.dropout_s[0], ranges.dropout_s[1]) * rate_hz)
    covered = True
    while covered:
        start = rng.integers(0, samples - length)
        covered = event_sample in range(start, start + length)
    for sample in range(start, start + length):
        shifted[0, sample] = shifted[1, sample] = 0.0

    peak_mv = max(abs(value) for value in shifted.ravel())
    std_mv = rng.uniform(*ranges.noise_fraction) * peak_mv
    noise = rng.standard_normal((leads, samples))
    amplitude_mv = rng.uniform(*ranges.wander_fraction) * peak_mv
    wander_hz = rng.uniform(*ranges.wander_hz)
    for lead in range(leads):
        for sample in range(samples):
            wander_mv = amplitude_mv * math.sin(2 * math.pi * wander_hz * sample / rate_hz)
            shifted[lead, sample] += std_mv * noise[lead, sample] + wander_mv

    kind = ("lowpass", "highpass", "bandpass")[rng.integers(3)]
    low_hz, high_hz = rng.uniform(*ranges.highpass_hz), rng.uniform(*ranges.lowpass_hz)
    edge = {"lowpass": high_hz, "highpass": low_hz, "bandpass": [low_hz, high_hz]}[kind]
    b, a = butter(3, np.asarray(edge) / (rate_hz / 2), btype=kind)
    filtered = np.stack([filtfilt(b, a, lead) for lead in shifted])
    return rng.uniform(*ranges.scale) * filtered


def plain_decimate(channel: np.ndarray) -> np.ndarray:
    return medfilt(channel.astype(np.float32), 11)[::10]


def assert_equal_in_float32(ours: np.ndarray, other: np.ndarray) -> None:
    """Equal but for one rounding to float32, and the difference between two forms of the filter."""
    assert_same(ours, other, 2.0**-23 + FILTERED)


@pytest.fixture(scope="module")
def written_samples(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "samples.h5"
    write_samples(path)
    return path


@pytest.fixture
def samples_path(written_samples, tmp_path):
    """A copy, for one test."""
    return Path(shutil.copy(written_samples, tmp_path))


def write_samples(path, *, samples=5000, rate_hz=RATE_HZ, events_s=None):
    attributes = {
        "dataset": "vfdb",
        "task": "ecg",
        "units": {"signal": "mV", "target": "s"},
        "rate_hz": rate_hz,
        "protocol": DATASET.protocol(),
    }
    with shard_writer(path, "samples", attributes) as writer:
        for number, (sample_id, target_s) in enumerate((events_s or EVENTS_S).items()):
            event_sample = int(sample_id.split("_")[1])
            # As the reader does: the event before a close one stands at the window's start.
            previous = event_sample - round(target_s * rate_hz) if target_s < 10 else -1
            writer.append(
                {
                    "signal": beats(number, samples),
                    "target": np.array([target_s]),
                    "sample_id": sample_id,
                    "group": sample_id[:3],
                    "class": "VT" if number else "VFL",
                    "event_sample": event_sample,
                    "previous_event": previous,
                    "context": beats(number + 100, 2 * samples),
                    "context_valid": np.ones(2 * samples, dtype=bool),
                }
            )


def write_fold(samples_path, path, *, ids=tuple(EVENTS_S), settings=TASK, seed=SEED, fold=1):
    ecg.write_fold(samples_path, list(ids), settings, DATASET, seed, fold, path)
    return path


# ---------------------------------------------------------------- the steps by hand


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (1, [[0, 1, 2, 3], [0, 5, 6, 7]]),
        (-2, [[3, 4, 0, 0], [7, 8, 0, 0]]),
        (0, [[1, 2, 3, 4], [5, 6, 7, 8]]),
        (4, [[0, 0, 0, 0], [0, 0, 0, 0]]),
        (-9, [[0, 0, 0, 0], [0, 0, 0, 0]]),
    ],
)
def test_shift_fills_with_zeros(samples, expected):
    signal = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(signal_steps.shift(signal, samples), expected)
    np.testing.assert_array_equal(signal, [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("event", "samples", "expected"),
    [
        (400, -400, (0, True)),
        (400, -401, (0, False)),
        (4000, 999, (4999, True)),
        (4000, 1000, (4999, False)),
        (2500, -1250, (1250, True)),
    ],
)
def test_event_moves_with_the_signal_and_is_clipped(event, samples, expected):
    assert signal_steps.shift_event(event, samples, 5000) == expected


def test_drop_out_zeroes_both_leads():
    signal = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(signal_steps.drop_out(signal, 1, 2), [[1, 0, 0, 4], [5, 0, 0, 8]])
    # The array belongs to the copy.
    np.testing.assert_array_equal(signal, [[1, 0, 0, 4], [5, 0, 0, 8]])


def test_add_noise_scales_unit_noise():
    noise = np.array([[1.0, -2], [0, 4]])
    np.testing.assert_array_equal(signal_steps.add_noise(np.ones((2, 2)), 0.25, noise), [[1.25, 0.5], [1, 2]])


@pytest.mark.numeric
def test_wander_starts_at_phase_zero_on_both_leads():
    signal = np.array([[0.0] * 5, [10.0] * 5])
    wandering = signal_steps.add_wander(signal, amplitude_mv=3.0, frequency_hz=0.25, rate_hz=1.0)
    expected = np.array([0.0, 3, 0, -3, 0])
    assert_same(wandering, [expected, 10 + expected], FLOAT64)


@pytest.mark.numeric
@pytest.mark.parametrize("samples", [1, 2, 4900, 5000])
def test_wander_equals_the_sine_of_every_sample(samples):
    wandering = signal_steps.add_wander(np.zeros((2, samples)), 3.0, 0.37, RATE_HZ)
    sine = 3 * np.sin(2 * np.pi * 0.37 * np.arange(samples) / RATE_HZ)
    # Angles of up to 46 are rounded.
    assert_same(wandering, [sine, sine], 1e-13, scale=3.0)


@pytest.mark.parametrize("samples", [5000, 3_000_000])
def test_wander_is_the_same_with_any_number_of_threads(samples):
    made = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            made.append(signal_steps.add_wander(np.zeros((1, samples)), 3.0, 0.37, RATE_HZ).tobytes())
    assert made[0] == made[1]


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("kind", "edge", "expected_constant"),
    [("lowpass", 40.0, 1.0), ("highpass", 1.25, 0.0), ("bandpass", (1.25, 40.0), 0.0)],
)
def test_filter_equals_numerator_and_denominator_filtfilt(kind, edge, expected_constant):
    signal = beats(3).astype(np.float64)
    ours = filters.design_filter(kind, 1.25, 40.0, 3, RATE_HZ)(signal)
    theirs = filtfilt(*butter(3, edge, kind, fs=RATE_HZ), signal)
    assert_same(ours, theirs, FILTERED)
    constant = filters.design_filter(kind, 1.25, 40.0, 3, RATE_HZ)(np.ones((2, 5000)))
    assert_same(constant, np.full((2, 5000), expected_constant), FILTERED, scale=1.0)


@pytest.mark.numeric
def test_filter_halves_a_sine_at_its_edge():
    """Butterworth is 1/sqrt(2) at its edge, and runs twice."""
    time_s = np.arange(5000) / RATE_HZ
    sine = np.tile(np.sin(2 * np.pi * 40.0 * time_s), (2, 1))
    middle = slice(1000, 4000)
    filtered = filters.design_filter("lowpass", 1.0, 40.0, 3, RATE_HZ)(sine)
    # What the start and the end of the signal still add here; the sine has the amplitude 1.
    np.testing.assert_allclose(filtered[:, middle], sine[:, middle] / 2, atol=1e-6)


@pytest.mark.numeric
@pytest.mark.parametrize(("order", "rate_hz"), [(1, 250.0), (2, 360.0), (3, 250.0), (4, 128.0)])
def test_design_equals_scipys(order, rate_hz):
    rng = np.random.default_rng(order)
    for kind, _ in itertools.product(filters.FILTER_KINDS, range(50)):
        low_hz, high_hz = rng.uniform(0.5, 2), rng.uniform(30, 50)
        edge = {"lowpass": high_hz, "highpass": low_hz, "bandpass": (low_hz, high_hz)}[kind]
        ours = filters.design_butterworth(order, kind, low_hz, high_hz, rate_hz)
        for coefficients, theirs in zip(ours, butter(order, edge, kind, fs=rate_hz), strict=True):
            assert coefficients.dtype == np.float64
            assert_same(coefficients, theirs, FLOAT64)


@pytest.mark.numeric
def test_filtering_both_ways_equals_filtfilt():
    signal = beats(3).astype(np.float64)
    for kind, edge in (("lowpass", 33.0), ("highpass", 0.7), ("bandpass", (0.7, 33.0))):
        coefficients = butter(3, edge, kind, fs=RATE_HZ)
        theirs = filtfilt(*coefficients, signal)
        ours = filters.filter_both_ways(*coefficients, filters.steady_state(*coefficients), signal)
        # Of the same coefficients, but scipy's steady state is 3e-10 from the exact one.
        assert_same(ours, theirs, 1e-9)


@pytest.mark.numeric
@pytest.mark.parametrize(("kind", "edge"), [("lowpass", 33.0), ("highpass", 0.7), ("bandpass", (0.7, 33.0))])
def test_steady_state_equals_that_in_exact_fractions(kind, edge):
    """The filter in a constant 1: its output is b(1) / a(1), and each state what the later taps add to it."""
    coefficients = butter(3, edge, kind, fs=RATE_HZ)
    above, below = ([Fraction(value) for value in part] for part in coefficients)
    level = sum(above) / sum(below)
    taps = [input_weight - output_weight * level for input_weight, output_weight in zip(above, below, strict=True)]
    exact = [float(sum(taps[place:])) for place in range(1, len(taps))]
    # One rounding for each tap.
    assert_same(filters.steady_state(*coefficients), exact, 1e-14)
    assert_same(filters.steady_state(*coefficients), lfilter_zi(*coefficients), 1e-9)


@pytest.mark.numeric
@pytest.mark.parametrize("kind", filters.FILTER_KINDS)
def test_both_forms_of_the_filter_agree(kind, monkeypatch):
    signal = beats(3).astype(np.float64)
    polynomials = filters.design_filter(kind, 0.5, 30.0, 3, RATE_HZ)(signal)
    monkeypatch.setattr(filters, "_SMALLEST_FOR_POLYNOMIALS", 1.0)
    sections = filters.design_filter(kind, 0.5, 30.0, 3, RATE_HZ)(signal)
    assert not np.array_equal(polynomials, sections)
    assert_same(polynomials, sections, FILTERED)


@pytest.mark.numeric
@pytest.mark.parametrize(("order", "rate_hz"), [(8, 250.0), (5, 1000.0), (3, 5000.0)])
def test_filter_stays_right_where_polynomials_fail(order, rate_hz):
    """Butterworth of any order is 1/sqrt(2) at its edge, and runs twice."""
    time_s = np.arange(int(60 * rate_hz)) / rate_hz
    sine = np.sin(2 * np.pi * 0.5 * time_s)[np.newaxis]
    middle = slice(len(time_s) // 3, 2 * len(time_s) // 3)
    for kind in ("highpass", "bandpass"):
        filtered = filters.design_filter(kind, 0.5, 30.0, order, rate_hz)(sine)
        # What the ends still add in the middle third; polynomials are off by more than the amplitude of 1.
        np.testing.assert_allclose(filtered[:, middle], sine[:, middle] / 2, atol=1e-3)


@pytest.mark.numeric
@pytest.mark.parametrize("kind", filters.FILTER_KINDS)
@pytest.mark.parametrize("order", [3, 8], ids=["polynomials", "sections"])
def test_the_gain_of_a_filter_scales_what_it_returns(kind, order):
    signal = beats(3).astype(np.float64)
    plain = filters.design_filter(kind, 1.25, 40.0, order, RATE_HZ)(signal)
    for gain in (0.0, 0.81, 1.2):
        # The rounding of the scaled coefficients is amplified as that of the coefficients themselves.
        scaled = filters.design_filter(kind, 1.25, 40.0, order, RATE_HZ, gain)(signal)
        assert_same(scaled, gain * plain, FILTERED, scale=np.abs(plain).max())


# --------------------------------------------------------------------- the draws


@pytest.mark.parametrize("event", [0, 100, 2500, 4999])
def test_dropout_never_covers_the_event_and_draws_its_length_once(event):
    lengths = []
    for seed in range(1000):
        start, length = signal_steps.draw_dropout(np.random.default_rng(seed), [event], 5000, (1.0, 2.0), RATE_HZ)
        assert not start <= event < start + length
        assert 0 <= start < 5000 - length
        assert length == math.trunc(np.random.default_rng(seed).uniform(1.0, 2.0) * RATE_HZ)
        lengths.append(length)
    assert min(lengths) == 250
    assert max(lengths) == 499


def test_dropout_starts_anywhere_it_may():
    """Of the starts 0 ... 8 for 1 sample of 10, all but the event's own, equally often."""
    drawn = (
        signal_steps.draw_dropout(np.random.default_rng(seed), [3], 10, (1.0, 1.0), 1.0)[0] for seed in range(4000)
    )
    starts = Counter(drawn)
    assert sorted(starts) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert all(abs(count - 500) < 84 for count in starts.values())


def test_kinds_of_filter_are_equally_likely(monkeypatch):
    used = Counter()
    monkeypatch.setattr(signal_steps, "design_filter", lambda kind, *_, **__: used.update([kind]) or np.asarray)
    rngs = [copy_rng(1, "a", copy) for copy in range(900)]
    list(signal_steps.distort(np.ones((900, 2, 2000)), [[900]] * 900, rngs, RANGES, RATE_HZ))
    assert set(used) == {"lowpass", "highpass", "bandpass"}
    assert all(abs(count - 300) < 57 for count in used.values())


def test_an_event_at_one_second_leaves_the_window_in_two_fifths_of_the_copies():
    """U(-5, 5) s, whole samples toward zero: gone below -1 s, that is with probability 0.4."""
    made = ecg.make_copies(made_sample(event=250, samples=2600), range(1, 301), TASK, DATASET, 7)
    assert np.all(made.target_s[~made.event_visible] == 0)
    assert abs(np.mean(~made.event_visible) - 0.4) < 0.12


# ------------------------------------------------- the second implementation


@pytest.mark.numeric
@pytest.mark.parametrize("event_sample", [2500, 400, 0])
def test_copies_equal_the_plain_implementation(event_sample):
    sample = made_sample(event=event_sample)
    kept = sample.signal.copy()
    for copy in range(1, 9):
        rng = copy_rng(SEED, "x", copy)
        window = ecg.shift_window(sample, math.trunc(rng.uniform(-5, 5) * 250), RATE_HZ)
        (made,) = signal_steps.distort([window.signal], [window.kept], [rng], RANGES, RATE_HZ)
        plain, *event = plain_copy(kept, event_sample, copy_rng(SEED, "x", copy), RANGES, RATE_HZ)
        assert [window.event_sample, window.event_visible] == event
        assert_same(made, plain, FILTERED)
    np.testing.assert_array_equal(sample.signal, kept)


@pytest.mark.numeric
def test_a_whole_fold_equals_the_plain_implementation(samples_path, tmp_path):
    fold = read_shard(write_fold(samples_path, tmp_path / "fold1.h5"), "fold").arrays
    samples = read_shard(samples_path, "samples").arrays
    row = 0
    for number, (sample_id, target_s) in enumerate(EVENTS_S.items()):
        for copy in range(7):
            plain, event, visible = samples["signal"][number].astype(float), round(target_s * 250), True
            if copy > 0:
                rng = copy_rng(SEED, sample_id, copy)
                plain, event, visible = plain_copy(plain, event, rng, RANGES, RATE_HZ)
            assert (fold["sample_id"][row], fold["copy"][row]) == (sample_id, copy)
            assert (fold["target"][row, 0], fold["event_visible"][row]) == (event / 250, visible)
            assert_equal_in_float32(fold["signal"][row], np.stack([plain_decimate(lead) for lead in plain]))
            row += 1
    assert len(fold["signal"]) == row == 21
    assert 0 in fold["event_visible"]


def test_a_real_window_equals_the_plain_implementation(shared_data):
    signal = wfdb.rdrecord(str(shared_data / "vfdb" / "418"), sampfrom=97124, sampto=102124).p_signal.T
    sample = replace(made_sample(), sample_id="418", signal=signal)
    made = ecg.make_copies(sample, [1], TASK, DATASET, SEED)
    plain, event, visible = plain_copy(signal, 2500, copy_rng(SEED, "418", 1), RANGES, RATE_HZ)
    assert (made.target_s[0], made.event_visible[0]) == (event / 250, visible)
    assert_equal_in_float32(made.signal[0], np.stack([plain_decimate(lead) for lead in plain]))


# ------------------------------------------------------ padding, and gaps


@pytest.mark.parametrize(
    ("padded", "shift", "expected"),
    [(0, 300, (300, 0)), (0, -300, (0, 300)), (0, 0, (0, 0)), (500, 300, (300, 200)), (500, 600, (600, 0)),
     (500, -300, (0, 800))],
)  # fmt: skip
def test_edges_after_the_shift_are_its_zeros(padded, shift, expected):
    assert signal_steps.shift_edges(padded, shift) == expected
    signal = np.ones((2, 5000))
    signal[:, 5000 - padded :] = 0
    moved = signal_steps.shift(signal, shift)
    silent = np.flatnonzero(moved[0])
    assert (silent[0], 4999 - silent[-1]) == expected


@pytest.mark.parametrize(
    ("event", "gap", "record_event", "valid_until", "expected"),
    [
        (2500, None, 100_000, 10_000, 0),
        # The window starts with the record and ends 2,500 samples after the event: 38 + 2,500 are shown.
        (38, None, 38, 10_000, 2462),
        # A close event has its whole window, though it stands nearer to the start.
        (38, 38, 100_000, 10_000, 0),
        # The record ends 1,000 samples after the event, of 2,500.
        (2500, None, 100_000, 6000, 1500),
        (400, 400, 100_000, 5100, 4500),
        (38, None, 38, 6000, 3962),
    ],
)
def test_padding_of_the_samples_files_window(event, gap, record_event, valid_until, expected):
    sample = made_sample(event=event, gap=gap, record_event=record_event)
    sample.context_valid[valid_until:] = False
    assert sample.padded_samples(RATE_HZ) == expected


def test_edges_in_the_fold_file_are_those_of_the_shift(samples_path, tmp_path):
    fold = read_shard(write_fold(samples_path, tmp_path / "fold1.h5"), "fold").arrays
    for row, (sample_id, copy) in enumerate((s, v) for s in EVENTS_S for v in range(7)):
        offset = 0
        if copy > 0:
            offset = math.trunc(copy_rng(SEED, sample_id, copy).uniform(-5, 5) * 250)
        assert fold["edge_s"][row].tolist() == [max(offset, 0) / 250, max(-offset, 0) / 250]


# -------------------------------------------------------------- a window cut again


@pytest.mark.parametrize(
    ("event", "previous", "latest"),
    [(100_000, 99_300, 699), (100_000, 99_999, 0), (100_000, 95_000, 4999), (100_000, -1, 4999), (38, -1, 38)],
)
def test_the_event_comes_after_the_previous_one_and_within_a_window(event, previous, latest):
    drawn = [ecg.draw_event(np.random.default_rng(seed), event, previous, 5000) for seed in range(4000)]
    assert min(drawn) >= 0
    assert max(drawn) <= latest
    assert all(event - target > previous for target in drawn)
    counts = np.bincount(np.array(drawn) * 10 // (latest + 1), minlength=10) if latest >= 9 else np.full(10, 400)
    # Tenths of the range are equally likely; 38 + 1 samples do not divide into equal tenths.
    assert np.all(np.abs(counts - 400) < (80 if latest > 38 else 120))


def test_no_place_of_the_event_is_left_out():
    drawn = Counter(ecg.draw_event(np.random.default_rng(seed), 1000, 995, 5000) for seed in range(5000))
    assert sorted(drawn) == [0, 1, 2, 3, 4]
    assert all(abs(count - 1000) < 114 for count in drawn.values())


def test_a_cut_window_is_a_slice_of_the_recording():
    sample = made_sample(gap=700)
    for event in (0, 1, 699, 4999):
        window = ecg.cut_window(sample, event)
        assert (window.event_sample, window.event_visible, window.edge_samples) == (event, True, (0, 0))
        assert window.signal.dtype == np.float64
        np.testing.assert_array_equal(window.signal, sample.context[:, 5000 - event : 10_000 - event])
        # Sample 5000 of the context is the event.
        np.testing.assert_array_equal(window.signal[:, event], sample.context[:, 5000])


def test_padding_of_a_cut_window_is_counted_where_the_recording_ends():
    sample = made_sample()
    sample.context[:, 6000:] = 0
    sample.context_valid[6000:] = False
    sample.context_valid[:4000] = False
    assert ecg.cut_window(sample, 4999).edge_samples == (3999, 0)
    assert ecg.cut_window(sample, 1000).edge_samples == (0, 3000)
    assert ecg.cut_window(sample, 2000).edge_samples == (1000, 2000)
    assert not ecg.cut_window(sample, 1000).signal[:, 2000:].any()


@pytest.mark.numeric
def test_cut_copies_equal_the_plain_implementation(samples_path, tmp_path):
    fold = read_shard(write_fold(samples_path, tmp_path / "fold1.h5", settings=REWINDOW), "fold").arrays
    context = read_shard(samples_path, "samples").arrays["context"]
    # Samples of the gap, or of a window where there is no event before.
    starts = {"418_0099624": 5000, "419_0000900": 400, "602_0034000": 2475}
    for row, (number, sample_id, copy) in enumerate((n, s, v) for n, s in enumerate(EVENTS_S) for v in range(7)):
        rng = copy_rng(SEED, sample_id, copy)
        event = int(rng.integers(starts[sample_id]))
        plain = context[number][:, 5000 - event : 10_000 - event].astype(float)
        if copy > 0:
            plain = plain_steps(plain, event, rng, RANGES, RATE_HZ)
        assert (fold["target"][row, 0], fold["event_visible"][row]) == (event / 250, 1)
        assert_equal_in_float32(fold["signal"][row], np.stack([plain_decimate(lead) for lead in plain]))
    assert not fold["edge_s"].any()
    assert len(set(fold["target"][:7, 0])) == 7


def test_cut_copies_can_be_made_alone():
    sample = made_sample(gap=3000)
    whole = ecg.make_copies(sample, range(5), REWINDOW, DATASET, SEED)
    for copy in (4, 0, 2):
        alone = ecg.make_copies(sample, [copy], REWINDOW, DATASET, SEED)
        assert alone.signal.tobytes() == whole.signal[copy].tobytes()
        assert alone.target_s[0] == whole.target_s[copy]


def test_dropout_leaves_the_event_alone_in_cut_windows(monkeypatch):
    patches = []
    monkeypatch.setattr(
        signal_steps, "drop_out", lambda signal, start, length: patches.append((start, start + length)) or signal
    )
    made = ecg.make_copies(made_sample(gap=300), range(1, 101), REWINDOW, DATASET, SEED)
    events = np.rint(made.target_s * 250).astype(int)
    assert len(patches) == len(events) == 100
    assert not any(start <= event < stop for event, (start, stop) in zip(events, patches, strict=True))


def write_recording(folder, events):
    """A record of 40,000 samples with these events, readable to the bit."""
    digital = (np.random.default_rng(5).integers(-900, 900, (40_000, 2))).astype(np.int64)
    wfdb.wrsamp(
        "r1", fs=250, units=["mV", "mV"], sig_name=["a", "b"], d_signal=digital, fmt=["16", "16"],
        adc_gain=[200.0, 200.0], baseline=[0, 0], write_dir=str(folder),
    )  # fmt: skip
    symbols, notes = ["+"] * len(events), ["(VT\0"] * len(events)
    wfdb.wrann("r1", "atr", np.array(events), symbol=symbols, aux_note=notes, write_dir=str(folder))


def write_windows(folder, path):
    """Windows of a folder of records, as the samples stage writes them."""
    attributes = {"dataset": "vfdb", "task": "ecg", "rate_hz": RATE_HZ, "protocol": DATASET.protocol()}
    write_items(vfdb.iter_samples(DATASET, folder), attributes, path, 0.05)
    return path


def test_cut_windows_are_the_recording_itself(tmp_path):
    """Synthetic record -> reader -> fold file, against wfdb's own reading of the same samples."""
    events = [1500, 9000, 9700, 17_000, 39_000]
    write_recording(tmp_path, events)
    samples_path = write_windows(tmp_path, tmp_path / "samples.h5")
    ids = [f"r1_{event:07d}" for event in events]
    settings = SignalTask(copies_per_sample=1, shift="rewindow")
    seen_after_the_end = 0
    for seed in range(4):
        path = write_fold(samples_path, tmp_path / "fold1.h5", ids=ids, settings=settings, seed=seed)
        fold = read_shard(path, "fold").arrays
        for row in range(0, 10, 2):
            event = events[row // 2]
            start = event - round(fold["target"][row, 0] * 250)
            assert max([-1, *(other for other in events if other < event)]) < start <= event
            stop = min(start + 5000, 40_000)
            recorded = wfdb.rdrecord(str(tmp_path / "r1"), sampfrom=start, sampto=stop).p_signal.T
            missing = start + 5000 - stop
            expected = np.pad(recorded, ((0, 0), (0, missing)))
            assert fold["signal"][row].tobytes() == np.stack([plain_decimate(lead) for lead in expected]).tobytes()
            assert fold["edge_s"][row].tolist() == [0, missing / 250]
            seen_after_the_end += missing > 0
            assert missing == 0 or event == 39_000
        assert fold["gap_s"][::2].tolist() == [math.inf, 30.0, 2.8, 29.2, 88.0]
        path.unlink()
    assert seen_after_the_end > 1


@pytest.mark.slow
def test_all_windows_of_vfdb_cut_anew(shared_data):
    items = list(vfdb.iter_samples(DATASET, shared_data / "vfdb"))
    assert len(items) == 236
    gaps_s = []
    for item in items:
        event, previous = int(item.extras["event_sample"]), int(item.extras["previous_event"])
        context, valid = item.extras["context"], item.extras["context_valid"]
        sample = ecg.SignalSample(item.sample_id, item.signal, float(item.target[0]), event, previous, context, valid)
        gaps_s.append(sample.gap_s(RATE_HZ))
        made = ecg.make_copies(sample, [0, 1], REWINDOW, DATASET, SEED)
        assert np.all(made.target_s < min(gaps_s[-1], 20))
        assert made.event_visible.all()
        starts = event - np.rint(made.target_s * 250)
        assert np.all((previous < starts) & (starts <= event))
        # Records have 525,000 samples; nothing else is padded.
        after_the_end = np.maximum(starts + 5000 - 525_000, 0)
        np.testing.assert_array_equal(made.edge_s, np.stack([[0, 0], after_the_end], axis=1) / 250)
    assert np.count_nonzero(np.array(gaps_s) >= 20) == 110
    assert np.count_nonzero(np.isinf(gaps_s)) == 22


# ------------------------------------------------------- decimation and coordinate


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("samples", "median", "by"), [(5000, 11, 10), (5003, 11, 10), (37, 5, 3), (9, 9, 1), (20, 1, 4), (400, 101, 7)]
)
def test_decimate_equals_medfilt_to_the_bit(samples, median, by):
    signal = np.random.default_rng(samples).standard_normal((2, samples))
    ours = filters.decimate(signal, median, by)
    theirs = np.stack([medfilt(lead.astype(np.float32), median)[::by] for lead in signal])
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.tobytes() == theirs.tobytes()


def test_decimate_takes_any_number_of_rows():
    signal = np.random.default_rng(0).standard_normal((9, 2, 60)).astype(np.float32)
    ours = filters.decimate(signal, 11, 10)
    assert ours.shape == (9, 2, 6)
    one_by_one = [filters.decimate(lead, 11, 10) for lead in signal.reshape(18, 60)]
    assert ours.tobytes() == np.stack(one_by_one).tobytes()


@pytest.mark.parametrize(("samples", "median", "by"), [(60, 11, 10), (63, 11, 10), (29, 5, 3), (50, 1, 4), (40, 21, 7)])
def test_decimation_of_signals_one_after_another(samples, median, by):
    signal = np.random.default_rng(samples).standard_normal((4, 2, samples))
    decimation = filters.Decimation(8, samples, median, by)
    for leads in signal:
        # Backwards in memory, as the filter returns them.
        decimation.add(np.ascontiguousarray(leads[:, ::-1])[:, ::-1])
    whole = filters.decimate(signal, median, by)
    assert decimation.medians().tobytes() == whole.tobytes()
    assert (
        whole.tobytes()
        == np.stack([medfilt(lead.astype(np.float32), median)[::by] for lead in signal.reshape(8, -1)]).tobytes()
    )


@pytest.mark.numeric
@pytest.mark.parametrize("values", [1, 3, 5, 7, 9, 11])
def test_median_network_by_the_0_1_principle(values):
    """Comparisons that are right for all zeros and ones are right for all numbers."""
    lines = np.array(list(itertools.product((0, 1), repeat=values))).T.copy()
    expected = (lines.sum(axis=0) > values // 2).astype(int)
    for low, high, keep_low, keep_high in filters.median_network(values):
        one, other = lines[low].copy(), lines[high].copy()
        # What is not kept must not matter.
        lines[low] = np.minimum(one, other) if keep_low else 7
        lines[high] = np.maximum(one, other) if keep_high else 7
    np.testing.assert_array_equal(lines[values // 2], expected)


def test_decimate_by_hand_with_zeros_beyond_the_ends():
    # Medians of (0, 0, 5, 4, 9), (5, 4, 9, 1, 7), (9, 1, 7, 0, 0).
    np.testing.assert_array_equal(filters.decimate(np.array([[5.0, 4, 9, 1, 7]]), 5, 2), [[4, 5, 1]])


def test_weighted_channel_by_hand():
    signal = np.array([[1.0, 2, 3], [3.0, 2, 1]])
    np.testing.assert_array_equal(ecg.weighted_channel(signal, 20.0), [0, 20, 40])


@pytest.mark.numeric
def test_weighted_at_the_source_rate_is_filtered_and_decimated_with_the_leads(samples_path, tmp_path):
    fold = read_shard(write_fold(samples_path, tmp_path / "fold1.h5", settings=AT_SOURCE), "fold").arrays
    signal = read_shard(samples_path, "samples").arrays["signal"]
    for row, (number, sample_id, copy) in enumerate((n, s, v) for n, s in enumerate(EVENTS_S) for v in range(3)):
        plain = signal[number].astype(float)
        if copy > 0:
            event = round(EVENTS_S[sample_id] * 250)
            plain = plain_copy(plain, event, copy_rng(SEED, sample_id, copy), RANGES, RATE_HZ)[0]
        product = np.array([20 * k / 4999 * (plain[0, k] + plain[1, k]) / 2 for k in range(5000)])
        assert_equal_in_float32(fold["weighted"][row], plain_decimate(product))


# ----------------------------------------------------------------- the fold files


def test_any_copy_can_be_made_alone(samples_path, tmp_path):
    whole = read_shard(write_fold(samples_path, tmp_path / "fold1.h5"), "fold").arrays
    signal = read_shard(samples_path, "samples").arrays["signal"]
    sample = replace(made_sample(event=400, gap=400), signal=signal[1], sample_id="419_0000900")
    alone = ecg.make_copies(sample, [4], TASK, DATASET, SEED)
    row = 1 * 7 + 4
    assert alone.signal.tobytes() == whole["signal"][row].tobytes()
    assert (alone.target_s[0], alone.event_visible[0]) == (whole["target"][row, 0], whole["event_visible"][row])
    one = read_shard(write_fold(samples_path, tmp_path / "one.h5", ids=["419_0000900"]), "fold").arrays
    np.testing.assert_array_equal(one["signal"], whole["signal"][7:14])


@pytest.mark.parametrize("settings", [AT_SOURCE, REWINDOW], ids=["source_rate", "rewindow"])
def test_copies_are_the_same_in_any_number_and_order(settings):
    sample, most = made_sample(gap=3000), 2 * ecg._COPIES_PER_BLOCK + 1
    whole = ecg.make_copies(sample, range(most), settings, DATASET, SEED)
    order = np.random.default_rng(0).permutation(most)
    mixed = ecg.make_copies(sample, order.tolist(), settings, DATASET, SEED)
    assert mixed.signal.tobytes() == whole.signal[order].tobytes()
    for copy in (0, 1, ecg._COPIES_PER_BLOCK, most - 1):
        alone = ecg.make_copies(sample, [copy], settings, DATASET, SEED)
        assert alone.signal.tobytes() == whole.signal[copy].tobytes()
        if settings is AT_SOURCE:
            assert alone.weighted.tobytes() == whole.weighted[copy].tobytes()


def test_the_same_bytes_whatever_the_order_of_the_ids(samples_path, tmp_path):
    first = write_fold(samples_path, tmp_path / "a" / "fold1.h5")
    second = write_fold(samples_path, tmp_path / "b" / "fold1.h5", ids=reversed(EVENTS_S))
    assert first.read_bytes() == second.read_bytes()


def test_fold_file_says_what_it_is(samples_path, tmp_path):
    fold = read_shard(write_fold(samples_path, tmp_path / "fold3.h5", fold=3), "fold")
    attributes, arrays = fold.attributes, fold.arrays
    assert (attributes["task"], attributes["dataset"], attributes["fold"], attributes["seed"]) == ("ecg", "vfdb", 3, 42)
    assert attributes["samples_digest"] == read_shard(samples_path, "samples", names=()).digest
    assert json.loads(attributes["protocol"])["copies_per_sample"] == 6
    spec = TaskSpec.from_json(attributes["spec"])
    assert (spec.channels, spec.shape, spec.extent) == (2, (500,), (4990 * 20 / 4999,))
    assert {name: (array.dtype.str, array.shape) for name, array in arrays.items() if array.dtype != object} == {
        "signal": ("<f4", (21, 2, 500)),
        "target": ("<f8", (21, 1)),
        "copy": ("<i4", (21,)),
        "event_visible": ("|u1", (21,)),
        "gap_s": ("<f8", (21,)),
        "edge_s": ("<f8", (21, 2)),
    }
    assert arrays["group"].tolist() == ["418"] * 7 + ["419"] * 7 + ["602"] * 7
    assert arrays["class"].tolist() == ["VFL"] * 7 + ["VT"] * 14
    np.testing.assert_array_equal(arrays["target"][::7, 0], [10.0, 1.6, 9.9])
    assert arrays["gap_s"].tolist() == [math.inf] * 7 + [1.6] * 7 + [9.9] * 7


def test_inputs_join_folds_in_order_and_leave_out_copy_0(samples_path, tmp_path):
    one = write_fold(samples_path, tmp_path / "fold1.h5", ids=["602_0034000"], fold=1)
    two = write_fold(samples_path, tmp_path / "fold2.h5", ids=["418_0099624", "419_0000900"], fold=2)
    inputs = augment_module("signal").open_inputs([two, one], samples_path, True)
    assert inputs.sample_id.tolist() == ["418_0099624"] * 6 + ["419_0000900"] * 6 + ["602_0034000"] * 6
    assert inputs.group.tolist() == ["418"] * 6 + ["419"] * 6 + ["602"] * 6
    assert inputs.label.tolist() == ["VFL"] * 6 + ["VT"] * 12
    assert inputs.copy.tolist() == [1, 2, 3, 4, 5, 6] * 3
    assert inputs.gap_s.tolist() == [math.inf] * 6 + [1.6] * 6 + [9.9] * 6
    np.testing.assert_array_equal(inputs.edge_s[12:], read_shard(one, "fold").arrays["edge_s"][1:])
    assert (inputs.target.dtype, inputs.target.shape) == (np.float32, (18, 1))
    batch = inputs.batch(np.array([13, 0]), "weighted")
    assert (batch.dtype, tuple(batch.shape)) == (torch.float32, (2, 2, 500))
    stored = read_shard(one, "fold").arrays["signal"]
    np.testing.assert_array_equal(batch[0].numpy(), stored[2])
    assert inputs.layer_encoding("weighted") == ("weighted", 2)
    everything = ecg.open_inputs([one], samples_path, augmented_only=False)
    assert everything.copy.tolist() == list(range(7))


def test_inputs_append_the_stored_weighted_channel(samples_path, tmp_path):
    path = write_fold(samples_path, tmp_path / "fold1.h5", settings=AT_SOURCE)
    inputs = ecg.open_inputs([path], samples_path, augmented_only=False)
    stored = read_shard(path, "fold").arrays
    batch = inputs.batch(np.array([5, 2]), "weighted")
    assert tuple(batch.shape) == (2, 3, 500)
    np.testing.assert_array_equal(batch[1, 2].numpy(), stored["weighted"][2])
    np.testing.assert_array_equal(batch[1, :2].numpy(), stored["signal"][2])
    assert tuple(inputs.batch(np.array([0]), "coord").shape) == (1, 2, 500)
    assert inputs.layer_encoding("weighted") == ("none", 3)
    assert inputs.layer_encoding("coord") == ("coord", 2)


@pytest.mark.parametrize("settings", [TASK, AT_SOURCE, REWINDOW], ids=["model_rate", "source_rate", "rewindow"])
def test_a_source_moves_windows_as_the_folds_do_and_does_nothing_else(samples_path, tmp_path, settings):
    paths = [
        write_fold(samples_path, tmp_path / "fold1.h5", settings=settings, ids=["602_0034000"], fold=1),
        write_fold(samples_path, tmp_path / "fold2.h5", settings=settings, ids=["418_0099624", "419_0000900"], fold=2),
    ]
    own = ecg.open_inputs(paths, samples_path, augmented_only=False)
    rows = np.random.default_rng(0).permutation(len(own.copy))
    source = ecg.open_source(paths, samples_path)
    made = source.moved(own.sample_id[rows], own.copy[rows], SEED)
    assert made.spec == own.spec
    for name in ("sample_id", "group", "label", "copy", "target", "gap_s", "edge_s"):
        np.testing.assert_array_equal(getattr(made, name), getattr(own, name)[rows])
    itself = made.copy == 0
    assert itself.sum() == 3
    np.testing.assert_array_equal(made.signal[itself], own.signal[rows][itself])
    shard = ecg.read_windows(samples_path, settings, DATASET)
    for row in range(len(rows)):
        sample = ecg.sample_of(shard, ecg.rows_of(shard, [made.sample_id[row]])[0])
        rng = copy_rng(SEED, made.sample_id[row], int(made.copy[row]))
        placed = ecg._place(sample, int(made.copy[row]), rng, settings, RATE_HZ)
        np.testing.assert_array_equal(made.signal[row], [plain_decimate(lead) for lead in placed.signal])
        if settings is AT_SOURCE:
            weighted = plain_decimate(ecg.weighted_channel(placed.signal, DATASET.window_s))
            np.testing.assert_array_equal(made.weighted[row], weighted)
    for other in ((own.copy[rows] + 7, SEED), (own.copy[rows] + 1, SEED + 1)):
        signal = source.moved(own.sample_id[rows], *other).signal
        assert not (signal == made.signal).all(axis=(1, 2)).any()


def test_a_source_is_what_the_folds_were_made_from(samples_path, tmp_path):
    path = write_fold(samples_path, tmp_path / "fold1.h5")
    others = tmp_path / "others.h5"
    write_samples(others, events_s={sample_id: target_s + 1 for sample_id, target_s in EVENTS_S.items()})
    with pytest.raises(InputError) as caught:
        ecg.open_source([path], others)
    assert str(caught.value) == f"{others}: changed since {path} was made from it; delete that and run again"


# ------------------------------------------------------------------- bad input


def test_unknown_sample_stops_before_anything_is_written(samples_path, tmp_path):
    with refused(samples_path, "999_1", remedy="folds.csv"):
        write_fold(samples_path, tmp_path / "fold1.h5", ids=["999_1", "418_0099624"])
    assert [path.name for path in tmp_path.iterdir()] == ["samples.h5"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"samples": 4000}, ["(2, 4000) at 250.0 Hz", "(2, 5000) at 250.0 Hz"]),
        ({"rate_hz": 125.0}, ["(2, 5000) at 125.0 Hz", "(2, 5000) at 250.0 Hz"]),
        ({"events_s": {"418_1": 10.0, "418_2": 20.0}}, ["418_2"]),
        ({"events_s": {"418_1": math.nan}}, ["418_1"]),
    ],
)
def test_wrong_samples_file(tmp_path, changed, found):
    path = tmp_path / "samples.h5"
    write_samples(path, **changed)
    with refused(path, *found, remedy=None):
        write_fold(path, tmp_path / "fold1.h5", ids=[])


def test_samples_that_are_no_signals_are_refused(tmp_path):
    path = tmp_path / "samples.h5"
    with shard_writer(path, "samples", {"dataset": "vfdb", "image_size": 64}) as writer:
        image = {
            "signal": np.zeros((1, 64, 64, 3), np.uint8),
            "target": np.ones((1, 2)),
            "context_valid": np.ones((1, 1)),
        }
        names = {name: np.array(["a"], dtype=object) for name in ("sample_id", "group", "class")}
        writer.extend(image | names | {name: np.zeros(1, np.int64) for name in ("event_sample", "previous_event")})
    with refused(path, "signals", remedy=None):
        write_fold(path, tmp_path / "fold1.h5", ids=["a"])


def test_samples_without_the_recording_around_them_are_refused(samples_path, tmp_path):
    with h5py.File(samples_path, "r") as handle:
        arrays = {name: handle[name][:] for name in handle if name != "previous_event"}
        attributes = {name: value for name, value in handle.attrs.items() if name not in {"schema_version", "kind"}}
    with shard_writer(samples_path, "samples", attributes) as writer:
        writer.extend(arrays)
    with refused(samples_path, "previous_event"):
        write_fold(samples_path, tmp_path / "fold1.h5")


@pytest.mark.parametrize(
    ("name", "value", "is_refused"),
    [("signal", np.nan, True), ("target", -np.inf, True), ("gap_s", np.nan, True), ("gap_s", np.inf, False)],
)
def test_a_fold_with_a_value_that_is_not_finite_is_refused(samples_path, tmp_path, name, value, is_refused):
    path = write_fold(samples_path, tmp_path / "fold1.h5", ids=["418_0099624"])
    with h5py.File(path, "r+") as handle:
        handle[name][2, ...] = value
    _write_seal(path)
    if not is_refused:
        ecg.open_inputs([path], samples_path, augmented_only=True)
        return
    with refused(path, name, "1 row", "418_0099624"):
        ecg.open_inputs([path], samples_path, augmented_only=True)


def test_a_dropout_covers_none_of_two_points() -> None:
    for seed in range(300):
        start, length = signal_steps.draw_dropout(np.random.default_rng(seed), [1700, 3400], 5000, (6.0, 6.6), RATE_HZ)
        assert not any(start <= kept < start + length for kept in (1700, 3400))


@pytest.mark.parametrize(
    ("end_after", "shift_samples", "expected"),
    [
        (1000, 0, 3500),
        (1000, -400, 3100),
        (1000, 1499, 4999),
        (1000, 1500, None),
        # The event is out of view on the left, its end is not.
        (1000, -2600, 900),
        (None, 0, None),
    ],
)
def test_a_shift_takes_the_end_along(end_after, shift_samples: int, expected) -> None:
    sample = replace(made_sample(event=2500), end_after=end_after)
    placed = ecg.shift_window(sample, shift_samples, RATE_HZ)
    assert placed.end_sample == expected
    assert placed.event_visible == (0 <= 2500 + shift_samples < 5000)


def test_an_end_beyond_the_recording_is_not_visible() -> None:
    sample = replace(made_sample(event=2500), end_after=1000)
    # Nothing from 900 samples after the event on.
    sample.context_valid[5900:] = False
    assert ecg.shift_window(sample, 0, RATE_HZ).end_sample is None
    assert ecg.cut_window(sample, 2500).end_sample is None
    assert ecg.cut_window(replace(sample, end_after=800), 2500).end_sample == 3300


def test_of_two_points_one_that_left_is_no_target() -> None:
    made = ecg.SignalCopies(
        signal=np.zeros((2, 2, 5)),
        weighted=None,
        target_s=np.array([0.0, 3.0]),
        event_visible=np.array([False, True]),
        edge_s=np.zeros((2, 2)),
        end_s=np.array([4.0, math.nan]),
    )
    np.testing.assert_array_equal(made.target(("onset", "end")), [[math.nan, 4.0], [3.0, math.nan]])
    np.testing.assert_array_equal(made.target(("onset",)), [[0.0], [3.0]])
