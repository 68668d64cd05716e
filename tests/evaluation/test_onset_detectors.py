"""Detectors of onsets on synthetic recordings whose onsets are known, and their parts by hand or by a plain loop."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tolerances import FLOAT32, FLOAT64, assert_same

from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import Candidate, is_malignant, reference_of
from siwcc.evaluation.baselines.onset_detectors import change_point, rate_rule, spectral, tuning, window_classifier
from siwcc.evaluation.baselines.onset_detectors.curves import CurveSettings
from siwcc.evaluation.baselines.onset_detectors.rate_rule import RateRule, fast_runs
from siwcc.evaluation.baselines.onset_detectors.registry import (
    DETECTORS,
    load_detector,
    write_detector_candidates,
)
from siwcc.evaluation.baselines.onset_detectors.windows import (
    FEATURES,
    FLOOR_MV,
    _leakage,
    filter_leads,
    smooth,
    window_features,
    window_starts,
    window_times,
)
from siwcc.evaluation.onset_tables import read_candidates

pytestmark = pytest.mark.numeric

RATE_HZ = 250.0
QUIET_PER_MIN, VT_PER_MIN, VF_HZ = 70.0, 180.0, 5.0
# A threshold on the score: the change points of a quiet rhythm are candidates, too, with a low one.
CLEAR = 0.5


def pulses(time_s: np.ndarray, per_min: float, width_s: float) -> np.ndarray:
    """Bell-shaped beats of 1 mV, the first one period after the start."""
    period_s = 60 / per_min
    phase_s = np.mod(time_s + period_s / 2, period_s) - period_s / 2
    return np.where(time_s > period_s / 2, np.exp(-0.5 * (phase_s / width_s) ** 2), 0.0)


def make_record(
    name: str,
    rhythms: list[tuple[str, float]],
    *,
    leads: int = 2,
    rate_hz: float = RATE_HZ,
    seed: int = 0,
) -> RhythmRecord:
    """Rhythms one after the other: (N, VT or VF, seconds). Beats of VT are broader and higher; leads differ in size."""
    random = np.random.default_rng(seed)
    parts, changes = [], []
    for label, duration_s in rhythms:
        changes.append(sum(len(part) for part in parts))
        time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
        if label == "N":
            parts.append(pulses(time_s, QUIET_PER_MIN + random.uniform(-5, 5), 0.02))
        elif label == "VT":
            parts.append(1.5 * pulses(time_s, VT_PER_MIN, 0.03))
        else:
            parts.append(0.5 * np.sin(2 * np.pi * VF_HZ * time_s))
    lead = np.concatenate(parts)
    scale = np.linspace(1.0, 0.6, leads)[:, np.newaxis]
    signal = (scale * lead + random.normal(0.0, 0.02, (leads, len(lead)))).astype(np.float32)
    labels = tuple(label for label, _ in rhythms)
    return RhythmRecord(name, name, rate_hz, signal, np.array(changes, dtype=np.int64), labels, ("VT", "VF"))


def training_records() -> list[RhythmRecord]:
    return [
        make_record(
            f"t{seed}", [("N", 60.0 + seed), (first, 20.0), ("N", 50.0), (second, 15.0), ("N", 40.0)], seed=seed
        )
        for seed, (first, second) in enumerate([("VT", "VF"), ("VF", "VT"), ("VF", "VF"), ("VT", "VT"), ("VT", "VF")])
    ]


@cache
def fitted_detector(name: str) -> Any:
    return fit(name, training_records())


def fit(name: str, records: list[RhythmRecord]) -> Any:
    detector = load_detector(name)
    described = {record.name: detector.describe(record) for record in records}
    return detector.fit([reference_of(record) for record in records], described)


def detect(name: str, record: RhythmRecord, fitted: Any) -> list[Candidate]:
    detector = load_detector(name)
    return detector.detect(detector.describe(record), fitted)


def clear_candidates(name: str, record: RhythmRecord) -> list[Candidate]:
    found = detect(name, record, fitted_detector(name))
    assert found == sorted(found)
    assert all(0 <= one.score <= 1 and 0 <= one.onset_s <= one.end_s <= record.duration_s for one in found)
    return [one for one in found if one.score >= CLEAR]


ONSET_S = 61.3


def record_with(label: str, **kwargs: Any) -> RhythmRecord:
    return make_record("one", [("N", ONSET_S), (label, 25.0), ("N", 40.0)], seed=99, **kwargs)


# ------------------------------------------------------------------ all detectors


def test_the_registry_has_a_name_for_each_module() -> None:
    folder = Path(rate_rule.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "curves", "registry", "tuning", "windows"}
    assert set(DETECTORS) == modules
    with pytest.raises(ValueError, match="no detector 'other'"):
        load_detector("other")


# wfdb's detector finds no beat in fibrillation, which has none: the rate rule is for tachycardia.
FOUND = [(name, label) for name in DETECTORS for label in ("VT", "VF") if (name, label) != ("rate_rule", "VF")]


@pytest.mark.parametrize(("name", "label"), FOUND)
def test_a_known_onset_is_found(name: str, label: str) -> None:
    (found,) = clear_candidates(name, record_with(label))
    assert abs(found.onset_s - ONSET_S) < 2.0
    # A candidate of change points ends at the next change of any kind.
    if name != "change_point":
        assert abs(found.end_s - (ONSET_S + 25.0)) < 2.5


@pytest.mark.parametrize("name", DETECTORS)
def test_ten_minutes_of_a_quiet_rhythm_have_no_onset(name: str) -> None:
    assert clear_candidates(name, make_record("quiet", [("N", 600.0)], seed=77)) == []


@pytest.mark.parametrize("name", DETECTORS)
def test_one_lead_another_rate_and_invalid_samples(name: str) -> None:
    record = record_with("VT" if name == "rate_rule" else "VF", leads=1, rate_hz=360.0)
    signal = record.signal_mv.copy()
    signal[:, 5000:5100] = np.nan
    signal[:, -300:] = np.nan
    (found,) = clear_candidates(name, replace(record, signal_mv=signal))
    assert abs(found.onset_s - ONSET_S) < 2.0


@pytest.mark.parametrize("name", DETECTORS)
def test_a_lead_without_signal_beside_a_good_one(name: str) -> None:
    record = record_with("VT")
    signal = record.signal_mv.copy()
    signal[0] = np.nan
    found = detect(name, replace(record, signal_mv=signal), fitted_detector(name))
    assert all(np.isfinite(one).all() for one in found)
    if name == "rate_rule":
        assert min(abs(one.onset_s - ONSET_S) for one in found) < 2.0


@pytest.mark.parametrize("value", [0.0, 1.5, np.nan])
@pytest.mark.parametrize("name", DETECTORS)
def test_a_flat_record_has_no_onset(name: str, value: float) -> None:
    flat = replace(make_record("flat", [("N", 60.0)]), signal_mv=np.full((2, 15000), value, dtype=np.float32))
    assert clear_candidates(name, flat) == []


@pytest.mark.parametrize("samples", [0, 1, 999, 1000, 1600])
@pytest.mark.parametrize("name", DETECTORS)
def test_a_short_record_is_no_error(name: str, samples: int) -> None:
    short = make_record("short", [("N", 60.0)])
    short = replace(short, signal_mv=short.signal_mv[:, :samples])
    assert clear_candidates(name, short) == []


@pytest.mark.parametrize("name", DETECTORS)
def test_the_same_records_give_the_same_candidates(name: str) -> None:
    record = record_with("VF")
    before = record.signal_mv.copy()
    again = fit(name, training_records())
    assert detect(name, record, again) == detect(name, record, fitted_detector(name))
    np.testing.assert_array_equal(record.signal_mv, before)


@pytest.mark.parametrize("is_external", [False, True])
def test_each_record_is_described_once_and_predicted_by_what_others_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_external: bool
) -> None:
    learned = training_records()[:4]
    records = [record_with("VF")] if is_external else learned
    fold_of = {"t0": 1, "t1": 1, "t2": 2, "t3": 3}
    expected = {}
    for record in records:
        others = [one for one in learned if fold_of[one.name] != fold_of.get(record.name)]
        expected[record.name] = detect("spectral", record, fit("spectral", others))
    described: list[str] = []
    original = spectral.describe

    def spy(record: RhythmRecord) -> Any:
        described.append(record.name)
        return original(record)

    monkeypatch.setattr(spectral, "describe", spy)
    path = tmp_path / "found.csv"
    write_detector_candidates("spectral", records, learned, fold_of, is_external, path)
    assert sorted(described) == sorted({one.name for one in [*learned, *records]})
    assert any(expected.values())
    assert read_candidates(path, [reference_of(record) for record in records]) == expected


@pytest.mark.parametrize("name", ["rate_rule", "spectral", "change_point"])
def test_a_rule_can_be_written_as_json(name: str) -> None:
    rule = fitted_detector(name)
    read = json.loads(json.dumps(asdict(rule)))
    if name == "rate_rule":
        assert RateRule(**read) == rule
    elif name == "spectral":
        assert spectral.SpectralRule(read["measure"], CurveSettings(**read["curve"])) == rule
    else:
        tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}
        assert change_point.ChangePoints(**tuples) == rule


@pytest.mark.parametrize("name", DETECTORS)
def test_training_records_without_an_episode(name: str) -> None:
    quiet = [make_record(f"q{seed}", [("N", 40.0)], seed=seed) for seed in range(2)]
    assert [one for one in detect(name, quiet[0], fit(name, quiet)) if one.score > CLEAR] == []


# ------------------------------------------------------------------ rate rule


def runs_of(beats_s: list[float], **changes: Any) -> list[Candidate]:
    return fast_runs(np.array(beats_s), replace(RateRule(120.0, 1.0, 0.0), **changes))


def test_a_run_is_three_or_more_fast_beats() -> None:
    # Beats at 2.4, 2.8, 3.2 follow within 0.5 s: three at 150 a minute, (150 - 120) / 180 of the range.
    (run,) = runs_of([0.0, 1.0, 2.0, 2.4, 2.8, 3.2, 4.2])
    assert run == pytest.approx((2.4, 3.2, 1 / 6))
    (run,) = runs_of([0.0, 1.0, 2.0, 2.4, 2.8, 3.2, 4.2], rate_weight=0.25)
    assert run.score == pytest.approx(0.25 / 6 + 0.75 * (1 - np.exp(-3 / 20)))
    assert runs_of([0.0, 1.0, 2.0, 2.4, 2.8, 3.8]) == []
    # An interval of exactly 0.5 s is 120 a minute, not more.
    assert runs_of([0.0, 0.5, 1.0, 1.5, 2.0]) == []
    assert runs_of([2.0, 2.4, 2.8, 3.2], least_per_min=160.0) == []
    assert runs_of([]) == []
    assert runs_of([1.0]) == []


def test_close_runs_are_merged() -> None:
    # 150 a minute up to 1.2 s, then 200 a minute from 2.5 s: 1.3 s between them.
    beats = [0.0, 0.4, 0.8, 1.2, 2.2, 2.5, 2.8, 3.1]
    assert [(run.onset_s, run.end_s) for run in runs_of(beats, merge_s=1.2)] == [(0.4, 1.2), (2.5, 3.1)]
    (run,) = runs_of(beats, merge_s=1.4)
    assert run == pytest.approx((0.4, 3.1, 80 / 180))
    (run,) = runs_of(beats, merge_s=1.4, rate_weight=0.0)
    assert run.score == pytest.approx(1 - np.exp(-6 / 20))


def test_the_score_of_a_run_rises_with_rate_and_number() -> None:
    def score(interval_s: float, beats: int) -> float:
        (run,) = runs_of((np.arange(beats + 1) * interval_s).tolist(), rate_weight=0.5)
        return run.score

    assert score(0.45, 5) < score(0.35, 5) < score(0.25, 5) < score(0.25, 9) < 1
    assert score(0.1, 500) == pytest.approx(1.0)


def test_beats_are_where_the_pulses_are() -> None:
    record = make_record("quiet", [("N", 60.0)], seed=5)
    beats = rate_rule.describe(record)
    lead = record.signal_mv[0]
    tops = [k for k in range(2, len(lead) - 2) if lead[k] > 0.8 and lead[k] == lead[k - 2 : k + 3].max()]
    distances = np.abs(beats[:, np.newaxis] - np.array(tops) / RATE_HZ)
    assert (distances.min(axis=1) < 0.03).all()
    # All but those from which wfdb learns.
    assert np.count_nonzero(distances.min(axis=0) > 0.03) <= 2


# ------------------------------------------------------------------ windows


def test_windows_start_every_half_second_and_end_within_the_record() -> None:
    np.testing.assert_array_equal(window_starts(1250, 250.0), [0, 125, 250])
    np.testing.assert_array_equal(window_starts(1249, 250.0), [0, 125])
    np.testing.assert_array_equal(window_starts(1000, 250.0), [0])
    assert len(window_starts(999, 250.0)) == 0
    # At 125.5 samples a step, no sum of rounded steps: 0, 64.25 -> 64, 128.5 -> 128, 192.75 -> 193.
    np.testing.assert_array_equal(window_starts(514 + 193, 128.5), [0, 64, 128, 193])
    np.testing.assert_array_equal(window_times(3), [2.0, 2.5, 3.0])


def test_the_filter_passes_the_beats_and_takes_the_wander() -> None:
    time_s = np.arange(15000) / RATE_HZ
    wave = np.sin(2 * np.pi * VF_HZ * time_s)
    wander = 3.0 + 2.0 * np.sin(2 * np.pi * 0.05 * time_s)
    record = replace(make_record("x", [("N", 60.0)]), signal_mv=np.array([wave, wave + wander]).astype(np.float32))
    leads = filter_leads(record)
    middle = slice(2500, -2500)
    assert np.abs(leads[0] - wave)[middle].max() < 0.01
    assert np.abs(leads[1] - wave)[middle].max() < 0.02


def test_invalid_samples_are_zero_and_bridged() -> None:
    record = make_record("x", [("VF", 20.0)], leads=1)
    signal = record.signal_mv.copy()
    signal[0, 2000:2010] = np.nan
    leads = filter_leads(replace(record, signal_mv=signal))
    np.testing.assert_array_equal(leads[0, 2000:2010], np.zeros(10))
    assert np.isfinite(leads).all()
    far = np.r_[500:1500, 2700:4500]
    assert np.abs(leads - filter_leads(record))[0, far].max() < 0.01


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[..., FEATURES.index(name)]


def test_features_of_a_sine_are_those_of_the_formulas() -> None:
    time_s = np.arange(5000) / RATE_HZ
    wave = (2.0 * np.sin(2 * np.pi * VF_HZ * time_s)).astype(np.float32)
    features = window_features(replace(make_record("x", [("VF", 20.0)]), signal_mv=np.array([wave, wave / 2])))
    middle = features[:, 12:20]
    assert features.shape == (2, 33, len(FEATURES))
    # Root mean square of 2 sin is sqrt 2; mean |slope| 4 f times the amplitude; kurtosis 3 / 2.
    np.testing.assert_allclose(column(middle, "log_amplitude")[0], np.log(np.sqrt(2) + 0.01), atol=0.01)
    np.testing.assert_allclose(column(middle, "log_slope")[0], np.log(40 / (np.sqrt(2) + 0.01) + 1), atol=0.02)
    np.testing.assert_allclose(column(middle, "kurtosis"), 1.5, atol=0.01)
    np.testing.assert_allclose(column(middle, "crossing_hz"), 2 * VF_HZ, atol=0.5)
    # |sin| <= 0.2 for 2 asin(0.2) / pi of the time.
    np.testing.assert_allclose(column(middle, "near_baseline"), 2 * np.arcsin(0.2) / np.pi, atol=0.03)
    np.testing.assert_allclose(column(middle, "dominant_hz"), VF_HZ, atol=1e-6)
    np.testing.assert_allclose(column(middle, "centroid_hz"), VF_HZ, atol=0.05)
    np.testing.assert_allclose(column(middle, "period_s"), 1 / VF_HZ, atol=0.005)
    assert (column(middle, "concentration") > 0.99).all()
    assert (column(middle, "periodicity") > 0.98).all()
    assert (column(middle, "leakage") < 0.05).all()
    for name in ("low_power", "high_power"):
        assert (column(middle, name) < 0.01).all()


def test_features_of_pulses_and_of_a_flat_lead() -> None:
    record = make_record("x", [("N", 40.0)], seed=3)
    signal = record.signal_mv.copy()
    signal[1] = 0.0
    features = window_features(replace(record, signal_mv=signal))
    assert np.isfinite(features).all()
    quiet, flat = features
    assert (column(quiet, "near_baseline") > 0.8).all()
    assert (column(quiet, "kurtosis") > 8).all()
    assert (column(quiet, "leakage") > 0.5).all()
    periods_s = column(quiet, "period_s")
    assert ((periods_s > 60 / (QUIET_PER_MIN + 5.5)) & (periods_s < 60 / (QUIET_PER_MIN - 5.5))).all()
    for name, value in {
        "concentration": 0.0,
        "leakage": 1.0,
        "periodicity": 0.0,
        "log_amplitude": np.log(0.01),
    }.items():
        np.testing.assert_allclose(column(flat, name), value, atol=1e-6)


def test_leakage_is_that_of_a_plain_loop() -> None:
    window = np.random.default_rng(2).normal(size=200).cumsum()
    window -= window.mean()
    half = round(np.pi * sum(abs(x) for x in window) / sum(abs(b - a) for a, b in pairwise(window)))
    half = min(max(half, 1), 100)
    passed = sum(abs(window[k] + window[k - half]) for k in range(half, 200))
    compared = sum(abs(window[k]) + abs(window[k - half]) for k in range(half, 200))
    expected = (passed + 200 * FLOOR_MV) / (compared + 200 * FLOOR_MV)
    assert_same(_leakage(window[np.newaxis]), np.array([expected]), FLOAT64)


def test_a_running_median() -> None:
    np.testing.assert_array_equal(smooth(np.array([0.0, 9.0, 1.0, 2.0, 3.0]), 3), [0.0, 1.0, 2.0, 2.0, 3.0])
    assert len(smooth(np.empty(0), 5)) == 0


# ------------------------------------------------------------------ spectral rule, classifier, tuning


def features_of(**values: list[float]) -> np.ndarray:
    """One lead."""
    features = np.zeros((1, len(next(iter(values.values()))), len(FEATURES)))
    for name, of_windows in values.items():
        features[..., FEATURES.index(name)] = of_windows
    return features


def test_the_spectral_curve_is_zero_outside_the_frequencies() -> None:
    values = {"concentration": [0.8] * 12, "leakage": [0.1] * 12, "dominant_hz": [1.9] * 6 + [2.0] * 6}
    one = features_of(**values)
    np.testing.assert_allclose(spectral.spectral_curve(one, "concentration"), [0.0] * 6 + [0.8] * 6)
    np.testing.assert_allclose(spectral.spectral_curve(one, "leakage"), [0.0] * 6 + [0.9] * 6)
    # The mean of two leads.
    two = np.concatenate([one, features_of(**{**values, "dominant_hz": [9.1] * 12})])
    np.testing.assert_allclose(spectral.spectral_curve(two, "concentration"), [0.0] * 6 + [0.4] * 6)


def test_columns_do_not_depend_on_the_order_of_the_leads() -> None:
    record = record_with("VT")
    columns = window_classifier.describe(record)
    swapped = window_classifier.describe(replace(record, signal_mv=record.signal_mv[::-1]))
    assert_same(columns, swapped, FLOAT32)
    count = len(FEATURES)
    mean = columns[:, :count]
    # The window 4 s before is 8 windows before; before the first it is the first.
    before = columns[:, 4 * count : 5 * count]
    np.testing.assert_array_equal(before[8:], mean[:-8])
    np.testing.assert_array_equal(before[:8], np.repeat(mean[:1], 8, axis=0))


def test_half_of_a_records_weight_is_near_its_changes() -> None:
    record = make_record("x", [("N", 100.0), ("VT", 50.0), ("N", 100.0)])
    learned = window_classifier._learned(reference_of(record), window_classifier.describe(record))
    time_s = window_times(len(window_classifier.describe(record)))[::4]
    near = (np.abs(time_s - 100) < 10) | (np.abs(time_s - 150) < 10)
    assert learned.weight[near].sum() == pytest.approx(0.5)
    assert learned.weight.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(learned.malignant, (time_s >= 100) & (time_s < 150))
    quiet = make_record("q", [("N", 60.0)])
    weight = window_classifier._learned(reference_of(quiet), window_classifier.describe(quiet)).weight
    assert weight.sum() == pytest.approx(1.0)
    assert weight.min() == weight.max()


def test_the_levels_are_chosen_on_subjects_that_the_trees_did_not_learn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two records of each of three subjects: each time the trees of other subjects predict."""
    groups = {f"t{number}": f"s{number // 2}" for number in range(6)}
    records = [
        replace(make_record(name, [("N", 30.0), ("VF", 20.0)], seed=place), group=group)
        for place, (name, group) in enumerate(groups.items())
    ]
    trained: list[set[int]] = []
    original = window_classifier._fit_trees
    originals = [window_classifier.describe(record).astype(np.float32)[0] for record in records]

    def spy(learned: Any) -> Any:
        firsts = [one.columns[0] for one in learned]
        trained.append({place for place in range(6) if any(np.array_equal(originals[place], one) for one in firsts)})
        return original(learned)

    monkeypatch.setattr(window_classifier, "_fit_trees", spy)
    fit("window_classifier", records)
    *inner, last = trained
    assert last == set(range(6))
    left_out = sorted(tuple(sorted(set(range(6)) - places)) for places in inner)
    assert left_out == [(0, 1), (2, 3), (4, 5)]


def test_the_classifier_learns_from_a_single_subject() -> None:
    record = make_record("t", [("N", 60.0), ("VF", 40.0), ("N", 60.0)], seed=1)
    (found,) = detect("window_classifier", record, fit("window_classifier", [record]))
    assert abs(found.onset_s - 60.0) < 4


def test_settings_are_chosen_by_the_mean_sensitivity() -> None:
    record = make_record("x", [("N", 1800.0), ("VT", 30.0), ("N", 1800.0), ("VF", 30.0)], rate_hz=100.0)
    reference = reference_of(record)
    assert [one.onset_s for one in reference.onsets("episodes")] == [1800.0, 3630.0]
    # One hour: one onset above all false alarms, the other below three of them.
    hit, late, other = (Candidate(t, t + 5, score) for t, score in ((1801.0, 0.9), (3632.0, 0.2), (3700.0, 0.1)))
    alarms = [Candidate(100.0 * k, 100.0 * k + 5, 0.5) for k in (1, 2, 3)]
    # At 1 and 2 an hour one of two, at 5 and 10 both.
    assert tuning.mean_sensitivity([reference], {"x": [hit, late, *alarms]}) == pytest.approx(0.75)
    assert tuning.mean_sensitivity([reference], {}) == 0.0
    choices = {"a": [hit], "b": [hit, late], "c": [hit, late, other]}
    assert tuning.choose_settings(choices, [reference], lambda name, _: choices[name]) == "b"


def test_near_is_within_the_given_time_of_an_onset_or_end() -> None:
    reference = reference_of(make_record("x", [("N", 20.0), ("VT", 10.0), ("N", 20.0)], rate_hz=100.0))
    time_s = np.array([15.0, 15.1, 19.9, 20.0, 24.9, 25.0, 29.9, 30.0, 34.9, 35.0])
    near = tuning.is_near_change(reference, time_s, 5.0)
    np.testing.assert_array_equal(near, [False, True, True, True, True, False, True, True, True, False])
    malignant = is_malignant(reference, time_s)
    np.testing.assert_array_equal(malignant, [False] * 3 + [True] * 4 + [False] * 3)


def test_all_settings_of_the_grids_are_different() -> None:
    assert len(set(tuning.curve_grid((0.3, 0.5)))) == 4
    assert len(set(tuning.rise_grid())) == 4


def test_an_onset_of_the_classifier_is_where_its_curve_rises() -> None:
    probability = np.repeat([0.1, 0.9], [30, 30])
    (found,) = window_classifier._candidates(probability, tuning.rise_grid()[0])
    # Windows of 4 s every 0.5 s: the curve rises between the centres of the windows 29 and 30.
    assert abs(found.onset_s - (2 + 29.5 / 2)) <= 0.5
    assert found.score == pytest.approx(0.8)


# ------------------------------------------------------------------ change points


def test_changes_of_steps_are_found_and_described() -> None:
    random = np.random.default_rng(4)
    levels = np.repeat([0.0, 4.0, 0.0], [40, 20, 40])
    scaled = levels[np.newaxis, :, np.newaxis] + random.normal(0, 0.1, (2, 100, 5))
    changes = change_point.find_changes(scaled, penalty=2.0)
    assert changes == [40, 60]
    weights = (*[0.0] * 5, *[1.0] * 5, 0.0, -10.0)
    fitted = change_point.ChangePoints((1.0,) * 5, 2.0, 5.0, weights)
    up, down = change_point.score_changes(scaled, changes, fitted)
    # Half-way between the centres of windows 39 and 40: 2 + 39.5 / 2.
    assert (up.onset_s, up.end_s, down.onset_s) == (21.75, 31.75, 31.75)
    assert up.score == pytest.approx(1 / (1 + np.exp(-10)), abs=2e-5)
    assert down.score == pytest.approx(1 / (1 + np.exp(10)), abs=2e-5)
    assert change_point.score_changes(scaled, [], fitted) == []


def test_the_strength_of_a_change_is_bounded() -> None:
    scaled = np.repeat([0.0, 1.0, 9.0], 8)[np.newaxis, :, np.newaxis].repeat(5, axis=2)
    described = change_point._describe(scaled, [8, 16], compared_s=2.0)
    assert described.shape == (2, 11)
    # Mean squared differences 1 and 64.
    np.testing.assert_allclose(described[:, -1], [1 - np.exp(-0.5), 1 - np.exp(-32.0)])
    np.testing.assert_allclose(described[0, :10], [0.0] * 5 + [1.0] * 5)
