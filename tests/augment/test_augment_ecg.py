"""The six steps against hand-worked numbers and a second, plain implementation; the fold files."""

from __future__ import annotations

import json
import math
from collections import Counter

import h5py
import numpy as np
import pytest
import torch
from scipy.signal import butter, filtfilt, medfilt

from siwcc.augment import augment_module, ecg, variant_rng
from siwcc.config import EcgAugmentation, EcgTask, VfdbSection
from siwcc.errors import InputError
from siwcc.shards import read_shard, shard_writer
from siwcc.tasks import TaskSpec

RATE_HZ = 250.0
DATASET = VfdbSection(format="vfdb")
TASK = EcgTask(variants_per_sample=6)
AT_SOURCE = EcgTask(variants_per_sample=2, weighted_at="source_rate")
RANGES = EcgAugmentation()
SEED = 42
EVENTS_S = {"418_0099624": 10.0, "419_0000900": 1.6, "602_0034000": 9.9}


def beats(seed: int, samples: int = 5000) -> np.ndarray:
    """Two unlike leads with drift, offset and sharp peaks, float32 mV."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(samples) / RATE_HZ
    rhythm = np.exp(-((time_s % 0.8 - 0.4) ** 2) / 0.002)
    leads = [1.3 * rhythm + 0.2 * np.sin(0.9 * time_s), 0.4 - 0.7 * rhythm]
    return np.asarray(leads + 0.02 * rng.standard_normal((2, samples)), dtype=np.float32)


def plain_variant(signal, event_sample, rng, ranges, rate_hz):
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

    length = math.trunc(rng.uniform(ranges.dropout_s[0], ranges.dropout_s[1]) * rate_hz)
    covered = True
    while covered:
        start = rng.integers(0, samples - length)
        covered = moved in range(start, start + length)
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
    return rng.uniform(*ranges.scale) * filtered, moved, visible


def plain_decimate(channel: np.ndarray) -> np.ndarray:
    return medfilt(channel.astype(np.float32), 11)[::10]


def assert_equal_in_float32(ours: np.ndarray, other: np.ndarray) -> None:
    """At most one unit in the last place apart, or the filters' own 1e-9 of the peak."""
    np.testing.assert_allclose(ours, other, rtol=2.0**-23, atol=1e-9 * float(np.abs(other).max()))


@pytest.fixture
def samples_path(tmp_path):
    path = tmp_path / "samples.h5"
    write_samples(path)
    return path


def write_samples(path, *, task="ecg", samples=5000, rate_hz=RATE_HZ, events_s=None):
    attributes = {
        "dataset": "vfdb",
        "task": task,
        "units": {"signal": "mV", "target": "s"},
        "rate_hz": rate_hz,
        "protocol": DATASET.protocol(),
    }
    with shard_writer(path, "samples", attributes) as writer:
        for number, (sample_id, target_s) in enumerate((events_s or EVENTS_S).items()):
            row = {"signal": beats(number, samples), "target": np.array([target_s]), "sample_id": sample_id}
            writer.append({**row, "group": sample_id[:3], "class": "VT" if number else "VFL"})


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
    np.testing.assert_array_equal(ecg.shift(signal, samples), expected)
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
    assert ecg.shift_event(event, samples, 5000) == expected


def test_drop_out_zeroes_both_leads():
    signal = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(ecg.drop_out(signal, 1, 2), [[1, 0, 0, 4], [5, 0, 0, 8]])
    assert signal[0, 1] == 2


def test_add_noise_scales_unit_noise():
    noise = np.array([[1.0, -2], [0, 4]])
    np.testing.assert_array_equal(ecg.add_noise(np.ones((2, 2)), 0.25, noise), [[1.25, 0.5], [1, 2]])


def test_wander_starts_at_phase_zero_on_both_leads():
    signal = np.array([[0.0] * 5, [10.0] * 5])
    wandering = ecg.add_wander(signal, amplitude_mv=3.0, frequency_hz=0.25, rate_hz=1.0)
    expected = np.array([0.0, 3, 0, -3, 0])
    np.testing.assert_allclose(wandering, [expected, 10 + expected], atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "edge", "expected_constant"),
    [("lowpass", 40.0, 1.0), ("highpass", 1.25, 0.0), ("bandpass", (1.25, 40.0), 0.0)],
)
def test_filter_equals_numerator_and_denominator_filtfilt(kind, edge, expected_constant):
    signal = beats(3).astype(np.float64)
    ours = ecg.filter_band(signal, kind, 1.25, 40.0, 3, RATE_HZ)
    theirs = filtfilt(*butter(3, edge, kind, fs=RATE_HZ), signal)
    assert np.abs(ours - theirs).max() < 1e-9 * np.abs(theirs).max()
    constant = ecg.filter_band(np.ones((2, 5000)), kind, 1.25, 40.0, 3, RATE_HZ)
    np.testing.assert_allclose(constant, expected_constant, atol=1e-8)


def test_filter_halves_a_sine_at_its_edge():
    """Butterworth is 1/sqrt(2) at its edge, and runs twice."""
    time_s = np.arange(5000) / RATE_HZ
    sine = np.tile(np.sin(2 * np.pi * 40.0 * time_s), (2, 1))
    middle = slice(1000, 4000)
    filtered = ecg.filter_band(sine, "lowpass", 1.0, 40.0, 3, RATE_HZ)
    np.testing.assert_allclose(filtered[:, middle], sine[:, middle] / 2, atol=1e-6)


@pytest.mark.parametrize("kind", ecg.FILTER_KINDS)
def test_both_forms_of_the_filter_agree(kind, monkeypatch):
    signal = beats(3).astype(np.float64)
    polynomials = ecg.filter_band(signal, kind, 0.5, 30.0, 3, RATE_HZ)
    monkeypatch.setattr(ecg, "_SMALLEST_FOR_POLYNOMIALS", 1.0)
    sections = ecg.filter_band(signal, kind, 0.5, 30.0, 3, RATE_HZ)
    assert not np.array_equal(polynomials, sections)
    assert np.abs(polynomials - sections).max() < 1e-9 * np.abs(sections).max()


@pytest.mark.parametrize(("order", "rate_hz"), [(8, 250.0), (5, 1000.0), (3, 20_000.0)])
def test_filter_stays_right_where_polynomials_fail(order, rate_hz):
    """Butterworth of any order is 1/sqrt(2) at its edge, and runs twice."""
    time_s = np.arange(int(60 * rate_hz)) / rate_hz
    sine = np.sin(2 * np.pi * 0.5 * time_s)[np.newaxis]
    middle = slice(len(time_s) // 3, 2 * len(time_s) // 3)
    for kind in ("highpass", "bandpass"):
        filtered = ecg.filter_band(sine, kind, 0.5, 30.0, order, rate_hz)
        np.testing.assert_allclose(filtered[:, middle], sine[:, middle] / 2, atol=1e-3)


def test_scale_multiplies():
    np.testing.assert_array_equal(ecg.scale(np.array([[1.0, -2], [0, 4]]), 0.5), [[0.5, -1], [0, 2]])


# --------------------------------------------------------------------- the draws


@pytest.mark.parametrize("event", [0, 100, 2500, 4999])
def test_dropout_never_covers_the_event_and_draws_its_length_once(event):
    lengths = []
    for seed in range(3000):
        start, length = ecg.draw_dropout(np.random.default_rng(seed), event, 5000, (1.0, 2.0), RATE_HZ)
        assert not start <= event < start + length
        assert 0 <= start < 5000 - length
        assert length == math.trunc(np.random.default_rng(seed).uniform(1.0, 2.0) * RATE_HZ)
        lengths.append(length)
    assert min(lengths) == 250
    assert max(lengths) == 499


def test_dropout_starts_anywhere_it_may():
    """Of the starts 0 ... 8 for 1 sample of 10, all but the event's own, equally often."""
    drawn = (ecg.draw_dropout(np.random.default_rng(seed), 3, 10, (1.0, 1.0), 1.0)[0] for seed in range(8000))
    starts = Counter(drawn)
    assert sorted(starts) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert all(abs(count - 1000) < 118 for count in starts.values())  # four standard deviations


def test_kinds_of_filter_are_equally_likely(monkeypatch):
    used = Counter()
    monkeypatch.setattr(ecg, "filter_band", lambda signal, kind, *_: used.update([kind]) or signal)
    for variant in range(3000):
        ecg.augment_window(np.ones((2, 2000)), 900, variant_rng(1, "a", variant), RANGES, RATE_HZ)
    assert set(used) == {"lowpass", "highpass", "bandpass"}
    assert all(abs(count - 1000) < 104 for count in used.values())  # four standard deviations


def test_an_event_at_one_second_leaves_the_window_in_two_fifths_of_the_variants():
    """U(-5, 5) s, whole samples toward zero: gone below -1 s, that is with probability 0.4."""
    gone = [
        ecg.augment_window(np.ones((2, 2600)), 250, variant_rng(7, "a", variant), RANGES, RATE_HZ)[1:]
        for variant in range(800)
    ]
    assert all(event == 0 for event, visible in gone if not visible)
    assert abs(np.mean([not visible for _, visible in gone]) - 0.4) < 0.05


# ------------------------------------------------- the second implementation


@pytest.mark.parametrize("event_sample", [2500, 400, 0])
def test_variants_equal_the_plain_implementation(event_sample):
    signal = beats(11)
    kept = signal.copy()
    for variant in range(1, 9):
        made, event, visible = ecg.augment_window(
            signal.astype(np.float64), event_sample, variant_rng(SEED, "x", variant), RANGES, RATE_HZ
        )
        plain, plain_event, plain_visible = plain_variant(
            signal, event_sample, variant_rng(SEED, "x", variant), RANGES, RATE_HZ
        )
        assert (event, visible) == (plain_event, plain_visible)
        assert np.abs(made - plain).max() < 1e-9 * np.abs(plain).max()
    np.testing.assert_array_equal(signal, kept)


def test_a_whole_fold_equals_the_plain_implementation(samples_path, tmp_path):
    fold = read_shard(write_fold(samples_path, tmp_path / "fold1.h5"), "fold").arrays
    samples = read_shard(samples_path, "samples").arrays
    row = 0
    for number, (sample_id, target_s) in enumerate(EVENTS_S.items()):
        for variant in range(7):
            plain, event, visible = samples["signal"][number].astype(float), round(target_s * 250), True
            if variant > 0:
                rng = variant_rng(SEED, sample_id, variant)
                plain, event, visible = plain_variant(plain, event, rng, RANGES, RATE_HZ)
            assert (fold["sample_id"][row], fold["variant"][row]) == (sample_id, variant)
            assert (fold["target"][row, 0], fold["event_visible"][row]) == (event / 250, visible)
            assert_equal_in_float32(fold["signal"][row], np.stack([plain_decimate(lead) for lead in plain]))
            row += 1
    assert len(fold["signal"]) == row == 21
    assert 0 in fold["event_visible"]


def test_a_real_window_equals_the_plain_implementation(shared_data):
    wfdb = pytest.importorskip("wfdb")
    signal = wfdb.rdrecord(str(shared_data / "vfdb" / "418"), sampfrom=97124, sampto=102124).p_signal.T
    made, *event = ecg.augment_window(signal, 2500, variant_rng(SEED, "418", 1), RANGES, RATE_HZ)
    plain, *plain_event = plain_variant(signal, 2500, variant_rng(SEED, "418", 1), RANGES, RATE_HZ)
    assert event == plain_event
    assert_equal_in_float32(ecg.decimate(made, 11, 10), np.stack([plain_decimate(lead) for lead in plain]))


# ------------------------------------------------------- decimation and coordinate


@pytest.mark.parametrize(
    ("samples", "median", "by"), [(5000, 11, 10), (5003, 11, 10), (37, 5, 3), (9, 9, 1), (20, 1, 4), (400, 101, 7)]
)
def test_decimate_equals_medfilt_to_the_bit(samples, median, by):
    signal = np.random.default_rng(samples).standard_normal((2, samples))
    ours = ecg.decimate(signal, median, by)
    theirs = np.stack([medfilt(lead.astype(np.float32), median)[::by] for lead in signal])
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.tobytes() == theirs.tobytes()


def test_decimate_by_hand_with_zeros_beyond_the_ends():
    # Medians of (0, 0, 5, 4, 9), (5, 4, 9, 1, 7), (9, 1, 7, 0, 0).
    np.testing.assert_array_equal(ecg.decimate(np.array([[5.0, 4, 9, 1, 7]]), 5, 2), [[4, 5, 1]])


def test_weighted_channel_by_hand():
    signal = np.array([[1.0, 2, 3], [3.0, 2, 1]])
    np.testing.assert_array_equal(ecg.weighted_channel(signal, 20.0), [0, 20, 40])


def test_weighted_at_the_source_rate_is_filtered_and_decimated_with_the_leads(samples_path, tmp_path):
    fold = read_shard(write_fold(samples_path, tmp_path / "fold1.h5", settings=AT_SOURCE), "fold").arrays
    signal = read_shard(samples_path, "samples").arrays["signal"]
    for row, (number, sample_id, variant) in enumerate((n, s, v) for n, s in enumerate(EVENTS_S) for v in range(3)):
        plain = signal[number].astype(float)
        if variant > 0:
            event = round(EVENTS_S[sample_id] * 250)
            plain = plain_variant(plain, event, variant_rng(SEED, sample_id, variant), RANGES, RATE_HZ)[0]
        product = np.array([20 * k / 4999 * (plain[0, k] + plain[1, k]) / 2 for k in range(5000)])
        assert_equal_in_float32(fold["weighted"][row], plain_decimate(product))


# ----------------------------------------------------------------- the fold files


def test_any_variant_can_be_made_alone(samples_path, tmp_path):
    whole = read_shard(write_fold(samples_path, tmp_path / "fold1.h5"), "fold").arrays
    signal = read_shard(samples_path, "samples").arrays["signal"]
    alone = ecg.make_variant(signal[1], 1.6, "419_0000900", 4, TASK, DATASET, SEED)
    row = 1 * 7 + 4
    assert alone.signal.tobytes() == whole["signal"][row].tobytes()
    assert (alone.target_s, alone.event_visible) == (whole["target"][row, 0], whole["event_visible"][row])
    one = read_shard(write_fold(samples_path, tmp_path / "one.h5", ids=["419_0000900"]), "fold").arrays
    np.testing.assert_array_equal(one["signal"], whole["signal"][7:14])


def test_seed_and_variant_and_sample_change_the_numbers(samples_path):
    signal = read_shard(samples_path, "samples").arrays["signal"][0]
    made = [
        ecg.make_variant(signal, 10.0, sample_id, variant, TASK, DATASET, seed).signal.tobytes()
        for sample_id, variant, seed in [("a", 1, 42), ("a", 2, 42), ("a", 1, 43), ("b", 1, 42), ("a", 1, 42)]
    ]
    assert len(set(made)) == 4
    assert made[0] == made[4]


def test_the_same_bytes_whatever_the_order_of_the_ids(samples_path, tmp_path):
    first = write_fold(samples_path, tmp_path / "a" / "fold1.h5")
    second = write_fold(samples_path, tmp_path / "b" / "fold1.h5", ids=reversed(EVENTS_S))
    assert first.read_bytes() == second.read_bytes()


def test_fold_file_says_what_it_is(samples_path, tmp_path):
    fold = read_shard(write_fold(samples_path, tmp_path / "fold3.h5", fold=3), "fold")
    attributes, arrays = fold.attributes, fold.arrays
    assert (attributes["task"], attributes["dataset"], attributes["fold"], attributes["seed"]) == ("ecg", "vfdb", 3, 42)
    assert attributes["samples_digest"] == read_shard(samples_path, "samples", names=()).digest
    assert json.loads(attributes["protocol"])["variants_per_sample"] == 6
    spec = TaskSpec.from_json(attributes["spec"])
    assert (spec.channels, spec.shape, spec.extent) == (2, (500,), (4990 * 20 / 4999,))
    assert {name: (array.dtype.str, array.shape) for name, array in arrays.items() if array.dtype != object} == {
        "signal": ("<f4", (21, 2, 500)),
        "target": ("<f8", (21, 1)),
        "variant": ("<i4", (21,)),
        "event_visible": ("|u1", (21,)),
    }
    assert arrays["group"].tolist() == ["418"] * 7 + ["419"] * 7 + ["602"] * 7
    assert arrays["class"].tolist() == ["VFL"] * 7 + ["VT"] * 14
    np.testing.assert_array_equal(arrays["target"][::7, 0], [10.0, 1.6, 9.9])


def test_inputs_join_folds_in_order_and_leave_out_variant_0(samples_path, tmp_path):
    one = write_fold(samples_path, tmp_path / "fold1.h5", ids=["602_0034000"], fold=1)
    two = write_fold(samples_path, tmp_path / "fold2.h5", ids=["418_0099624", "419_0000900"], fold=2)
    inputs = augment_module("ecg").open_inputs([two, one], samples_path, True)
    assert inputs.sample_id.tolist() == ["418_0099624"] * 6 + ["419_0000900"] * 6 + ["602_0034000"] * 6
    assert inputs.group.tolist() == ["418"] * 6 + ["419"] * 6 + ["602"] * 6
    assert inputs.variant.tolist() == [1, 2, 3, 4, 5, 6] * 3
    assert (inputs.target.dtype, inputs.target.shape) == (np.float32, (18, 1))
    batch = inputs.batch(np.array([13, 0]), "weighted")
    assert (batch.dtype, tuple(batch.shape)) == (torch.float32, (2, 2, 500))
    stored = read_shard(one, "fold").arrays["signal"]
    np.testing.assert_array_equal(batch[0].numpy(), stored[2])
    assert inputs.layer_encoding("weighted") == ("weighted", 2)
    everything = ecg.open_inputs([one], samples_path, augmented_only=False)
    assert everything.variant.tolist() == list(range(7))


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


# ------------------------------------------------------------------- bad input


def test_unknown_sample_stops_before_anything_is_written(samples_path, tmp_path):
    with pytest.raises(InputError, match=r"samples\.h5: has no sample 999_1 \(1 missing\); delete folds\.csv"):
        write_fold(samples_path, tmp_path / "fold1.h5", ids=["999_1", "418_0099624"])
    assert [path.name for path in tmp_path.iterdir()] == ["samples.h5"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": "nuclei"}, "holds samples for the task 'nuclei', not 'ecg'"),
        ({"samples": 4000}, r"windows of \(2, 4000\) at 250.0 Hz, the config asks for \(2, 5000\) at 250.0 Hz"),
        ({"rate_hz": 125.0}, r"at 125.0 Hz, the config asks for"),
        ({"events_s": {"418_1": 10.0, "418_2": 20.0}}, "target of 418_2 is outside its window"),
        ({"events_s": {"418_1": math.nan}}, "target of 418_1 is outside its window"),
    ],
)
def test_wrong_samples_file(tmp_path, changed, message):
    path = tmp_path / "samples.h5"
    write_samples(path, **changed)
    with pytest.raises(InputError, match=message):
        write_fold(path, tmp_path / "fold1.h5", ids=[])


@pytest.mark.parametrize("name", ["fold1.h5", "first.h5", "fold02.h5"])
def test_fold_must_be_the_one_its_name_says(samples_path, tmp_path, name):
    write_fold(samples_path, tmp_path / name, fold=2)
    with pytest.raises(InputError, match=f"{name}: holds fold 2, which its name does not say"):
        ecg.open_inputs([tmp_path / name], samples_path, augmented_only=True)


@pytest.mark.parametrize(
    ("changed", "key"),
    [({"seed": 43}, "seed"), ({"settings": AT_SOURCE}, "protocol"), ({"settings": EcgTask(decimate_by=20)}, "spec")],
)
def test_folds_must_agree(samples_path, tmp_path, changed, key):
    one = write_fold(samples_path, tmp_path / "fold1.h5", ids=["418_0099624"])
    two = write_fold(samples_path, tmp_path / "fold2.h5", ids=["602_0034000"], fold=2, **changed)
    with pytest.raises(InputError, match=rf"fold2\.h5: {key} differs from that of .*fold1\.h5"):
        ecg.open_inputs([one, two], samples_path, augmented_only=True)


def test_folds_of_other_samples_are_refused(samples_path, tmp_path):
    one = write_fold(samples_path, tmp_path / "fold1.h5", ids=["418_0099624"])
    other = tmp_path / "other.h5"
    write_samples(other, events_s={"602_0034000": 9.0})
    two = write_fold(other, tmp_path / "fold2.h5", ids=["602_0034000"], fold=2)
    with pytest.raises(InputError, match="samples_digest differs"):
        ecg.open_inputs([one, two], samples_path, augmented_only=True)


def test_a_damaged_fold_is_refused(samples_path, tmp_path):
    path = write_fold(samples_path, tmp_path / "fold1.h5", ids=["418_0099624"])
    with h5py.File(path, "r+") as handle:
        handle["signal"][2, 0, 7] += 1
    with pytest.raises(InputError, match="content does not match its digest"):
        ecg.open_inputs([path], samples_path, augmented_only=True)
