"""The curve is independent of its blocks; candidates against episodes worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, assert_same

from siwcc.inference.rhythm_curve import CurveSettings, find_candidates, model_signal, rhythm_curve
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
    curve = rhythm_curve(networks, signal, block_steps=block_steps)
    with torch.no_grad():
        whole = [torch.sigmoid(network.eval()(torch.from_numpy(signal)[None]))[0, 0].numpy() for network in networks]
    assert curve.dtype == np.float64
    assert_same(curve, np.mean(whole, axis=0), FLOAT32)


def test_another_output_is_read():
    network = new_network(RECIPE, 2, 0).eval()
    signal = signal_of(400)
    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(signal)[None]))[0, 1].numpy()
    assert_same(rhythm_curve([network], signal, output=1), expected, FLOAT32)


def test_networks_of_other_strides_are_refused():
    other = new_network(RhythmRecipe(stem_strides=(2, 5)), 2, 0)
    for networks in ([], [new_network(RECIPE, 2, 0), other]):
        with pytest.raises(ValueError, match="stride"):
            rhythm_curve(networks, signal_of(100))


def test_the_signal_is_prepared_as_in_training():
    signal = signal_of(3000)
    assert np.array_equal(model_signal(signal, 250.0, RECIPE), prepare_signal(signal, 250.0, RECIPE))


PLAIN = CurveSettings(level=0.5, low=1.0, merge_gap_s=0, least_s=0, score_s=0.5, refractory_s=0)


def curve_of(*parts: tuple[int, float]) -> np.ndarray:
    """Values, each for a number of steps of 0.5 s."""
    return np.concatenate([np.full(count, value) for count, value in parts])


def found(curve: np.ndarray, **settings: float) -> list[tuple[float, float, float]]:
    candidates = find_candidates(curve, 0.5, CurveSettings(**{**PLAIN.to_json(), **settings}))
    return [(each.onset_s, each.end_s, round(each.score, 6)) for each in candidates]


def test_episodes_above_a_level():
    curve = curve_of((4, 0.1), (6, 0.8), (2, 0.2), (1, 0.6), (3, 0.0), (2, 0.9))
    assert found(curve) == [(2.0, 5.0, 0.8), (6.0, 6.5, 0.6), (8.0, 9.0, 0.9)]
    assert found(curve, level=0.85) == [(8.0, 9.0, 0.9)]
    assert found(curve, level=0.95) == []
    assert found(np.zeros(0)) == []
    assert found(np.ones(3)) == [(0.0, 1.5, 1.0)]


def test_episodes_shorter_than_the_least_duration_are_none():
    curve = curve_of((4, 0.1), (6, 0.8), (2, 0.2), (1, 0.6), (3, 0.0), (2, 0.9))
    assert found(curve, least_s=1.0) == [(2.0, 5.0, 0.8), (8.0, 9.0, 0.9)]
    assert found(curve, least_s=1.5) == [(2.0, 5.0, 0.8)]


def test_close_episodes_are_one_and_count_as_long():
    curve = curve_of((4, 0.1), (6, 0.8), (2, 0.2), (1, 0.6), (3, 0.0), (2, 0.9))
    assert found(curve, merge_gap_s=1.5, least_s=3.5) == [(2.0, 6.5, 0.8)]
    assert found(curve, merge_gap_s=2.0) == [(2.0, 9.0, 0.9)]


def test_hysteresis_begins_at_the_level_and_ends_at_its_fraction():
    curve = curve_of((2, 0.3), (2, 0.6), (4, 0.3), (1, 0.7), (1, 0.3), (2, 0.1), (3, 0.4))
    assert found(curve) == [(1.0, 2.0, 0.6), (4.0, 4.5, 0.7)]
    assert found(curve, low=0.5) == [(1.0, 5.0, 0.7)]


def test_the_score_is_the_largest_mean_over_its_time():
    curve = curve_of((2, 0.0), (1, 0.6), (1, 0.9), (1, 0.7), (4, 0.5), (2, 0.0))
    assert found(curve, score_s=1.0)[0][2] == 0.8
    assert found(curve, score_s=1.5)[0][2] == pytest.approx(2.2 / 3, abs=1e-6)
    # An episode shorter than that time: the mean from its start on.
    assert found(curve, level=0.85, score_s=2.0) == [(1.5, 2.0, pytest.approx((0.9 + 0.7 + 0.5 + 0.5) / 4))]


def test_the_refractory_time_counts_from_the_last_onset_that_is_kept():
    curve = curve_of((2, 0.9), (2, 0.0), (2, 0.8), (2, 0.0), (2, 0.7), (2, 0.0))
    assert [each[0] for each in found(curve)] == [0.0, 2.0, 4.0]
    assert [each[0] for each in found(curve, refractory_s=2.0)] == [0.0, 2.0, 4.0]
    assert [each[0] for each in found(curve, refractory_s=2.5)] == [0.0, 4.0]


def test_candidates_of_random_curves_are_those_of_a_plain_loop():
    random = np.random.default_rng(0)
    for _ in range(50):
        curve = np.repeat(random.random(40), random.integers(1, 6, 40))
        expected, start = [], None
        for step, value in enumerate([*curve, -1.0]):
            if start is None and value >= 0.6:
                start = step
            elif start is not None and value < 0.3:
                expected.append((start * 0.5, step * 0.5))
                start = None
        assert [each[:2] for each in found(curve, level=0.6, low=0.5)] == expected


def test_settings_in_json():
    settings = CurveSettings(level=0.4, refractory_s=5.0)
    assert CurveSettings(**json.loads(json.dumps(settings.to_json()))) == settings


def test_what_a_network_sees_at_a_time_does_not_grow_with_the_recording():
    network = new_network(RECIPE, 2, 0)
    lengths: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[2]))
    rhythm_curve([network], signal_of(20_000), block_steps=500)
    # Of the stem 7 samples, of the blocks 2 * 7 steps of 4 samples: 16 steps to either side.
    assert len(lengths) == 10
    assert max(lengths) == (500 + 2 * 16) * 4
