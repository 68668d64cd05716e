"""The curve is independent of its blocks; onsets against values worked out by hand."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, FLOAT64, assert_same

from siwcc.inference.rhythm_curve import (
    OnsetSettings,
    find_onsets,
    model_signal,
    rhythm_curve,
    rhythm_curves,
    score_curve,
)
from siwcc.training.rhythm import new_network, prepare_signal
from siwcc.training.rhythm_windows import RhythmRecipe

pytestmark = pytest.mark.numeric
RECIPE = RhythmRecipe(width=8, dilations=(1, 2, 4))


def signal_of(samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)


@pytest.mark.parametrize("samples", [4, 300, 1002, 1203])
@pytest.mark.parametrize("block_steps", [1, 7, 100, 10_000])
def test_the_block_size_changes_nothing(samples, block_steps):
    networks = [new_network(RECIPE, 2, seed) for seed in (0, 1)]
    signal = signal_of(samples)
    curves = rhythm_curves(networks, signal, block_steps)
    with torch.no_grad():
        whole = [torch.sigmoid(network.eval()(torch.from_numpy(signal)[None]))[0].numpy() for network in networks]
    assert curves.dtype == np.float64
    assert_same(curves, np.mean(whole, axis=0), FLOAT32)
    assert np.array_equal(rhythm_curve(networks, signal, block_steps), curves[0])


def test_a_network_in_training_stays_so_and_predicts_as_in_evaluation():
    network = new_network(RECIPE, 2, 0)
    signal = signal_of(400)
    first = rhythm_curves([network.train()], signal)
    assert network.training
    assert np.array_equal(first, rhythm_curves([network.eval()], signal))


def test_networks_of_other_strides_are_refused():
    other = new_network(RhythmRecipe(stem_strides=(2, 5)), 2, 0)
    for networks in ([], [new_network(RECIPE, 2, 0), other]):
        with pytest.raises(ValueError, match="stride"):
            rhythm_curve(networks, signal_of(100))


def test_the_signal_is_prepared_as_in_training():
    signal = signal_of(3000)
    assert np.array_equal(model_signal(signal, 250.0, RECIPE), prepare_signal(signal, 250.0, RECIPE))


# Steps of 0.5 s; the mean over 1 s after a step, with it, less that over the 1 s before it.
PLAIN = OnsetSettings(rise_s=1.0, gap_s=0.0, onset_weight=0.5, apart_s=1.0, least_score=0.01, end_level=0.5)


def found(rhythm: list[float], onset: list[float], **changes: float) -> list[tuple[float, float, float]]:
    candidates = find_onsets(np.array([rhythm, onset]), 0.5, replace(PLAIN, **changes))
    return [(each.onset_s, each.end_s, round(each.score, 6)) for each in candidates]


def test_the_score_is_the_geometric_mean_of_onset_and_rise():
    curves = np.array([[0.0, 0.0, 0.0, 0.4, 0.8, 0.8, 0.8, 0.2], [0.1, 0.1, 0.2, 0.5, 0.3, 0.1, 0.1, 0.1]])
    # Before the first step and after the last the curve is as at the ends.
    rise = np.array([0.0, 0.0, 0.2, 0.6, 0.6, 0.2, 0.0, 0.0])
    for weight in (0.5, 0.3, 0.0, 1.0):
        score = score_curve(curves, 0.5, replace(PLAIN, onset_weight=weight))
        assert_same(score, curves[1] ** weight * rise ** (1 - weight), FLOAT64)
    # Without the step itself and the one before it.
    apart = score_curve(curves, 0.5, replace(PLAIN, gap_s=0.5, onset_weight=0.0))
    assert_same(apart, [0.0, 0.2, 0.6, 0.8, 0.8, 0.3, 0.0, 0.0], FLOAT64)


def test_an_onset_is_at_the_largest_score_and_lasts_until_the_rhythm_ends():
    rhythm = [0.0, 0.0, 0.0, 0.4, 0.8, 0.8, 0.8, 0.2]
    # At step 3 the score is sqrt(0.5 * 0.6), at step 4 sqrt(0.3 * 0.6).
    assert found(rhythm, [0.1, 0.1, 0.2, 0.5, 0.3, 0.1, 0.1, 0.1]) == [(1.5, 3.5, round(0.3**0.5, 6))]
    assert found(rhythm, [0.1, 0.1, 0.2, 0.3, 0.5, 0.1, 0.1, 0.1]) == [(2.0, 3.5, round(0.3**0.5, 6))]
    assert found(rhythm, [0.1, 0.1, 0.2, 0.5, 0.3, 0.1, 0.1, 0.1], least_score=0.55) == []
    # It does not end before the recording does.
    assert found([*rhythm[:7], 0.7], [0.1, 0.1, 0.2, 0.5, 0.3, 0.1, 0.1, 0.1]) == [(1.5, 4.0, round(0.3**0.5, 6))]


def test_candidates_that_are_close_are_one_and_of_equal_ones_the_first():
    rhythm = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    onset = [0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert found(rhythm, onset) == [(1.0, 2.0, 0.5), (3.0, 4.0, 1.0)]
    assert found(rhythm, onset, apart_s=1.5) == [(1.0, 2.0, 0.5), (3.0, 4.0, 1.0)]
    assert found(rhythm, onset, apart_s=2.0) == [(3.0, 4.0, 1.0)]
    assert found(rhythm, np.sign(onset).tolist(), apart_s=2.0) == [(1.0, 2.0, 1.0)]


def test_a_curve_without_a_rise_has_no_onset():
    assert found([], []) == []
    assert found([1.0] * 9, [1.0] * 9) == []
    assert found([1.0, 1.0, 0.5, 0.5, 0.0, 0.0], [1.0] * 6) == []


def test_candidates_of_random_curves_are_those_of_a_plain_loop():
    random = np.random.default_rng(0)
    settings = replace(PLAIN, rise_s=2.0, gap_s=0.5, onset_weight=0.3, apart_s=2.0, least_score=0.3)
    for _ in range(30):
        rhythm, onset = random.random((2, 60))
        padded = [rhythm[0]] * 10 + rhythm.tolist() + [rhythm[-1]] * 10
        score = []
        for step in range(60):
            after, before = padded[step + 11 : step + 15], padded[step + 5 : step + 9]
            score.append(onset[step] ** 0.3 * max(0.0, np.mean(after) - np.mean(before)) ** 0.7)
        peaks = [step for step in range(60) if score[step] >= max(0.3, *score[max(0, step - 4) : step + 5])]
        candidates = find_onsets(np.array([rhythm, onset]), 0.5, settings)
        assert [each.onset_s for each in candidates] == [0.5 * step for step in peaks]
        assert_same([each.score for each in candidates], [score[step] for step in peaks], FLOAT64)


def test_settings_in_json():
    settings = OnsetSettings(rise_s=4.0, least_score=0.5)
    assert OnsetSettings(**json.loads(json.dumps(asdict(settings)))) == settings


def test_what_a_network_sees_at_a_time_does_not_grow_with_the_recording():
    network = new_network(RECIPE, 2, 0)
    lengths: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[2]))
    rhythm_curves([network], signal_of(20_000), block_steps=500)
    # Of the stem 7 samples, of the blocks 2 * 7 steps of 4 samples: 16 steps to either side.
    assert len(lengths) == 10
    assert max(lengths) == (500 + 2 * 16) * 4
