"""Onsets where a curve rises, against values worked out by hand and a plain loop."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from tolerances import FLOAT64, assert_same

from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises, score_curve

pytestmark = pytest.mark.numeric

# Steps of 0.5 s; the mean over 1 s after a step, with it, less that over the 1 s before it.
PLAIN = RiseSettings(rise_s=1.0, gap_s=0.0, onset_weight=0.5, apart_s=1.0, least_score=0.01, end_level=0.5)


def found(rhythm: list[float], onset: list[float], **changes: float) -> list[tuple[float, float, float]]:
    candidates = find_rises(np.array([rhythm, onset]), 0.5, replace(PLAIN, **changes))
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
        candidates = find_rises(np.array([rhythm, onset]), 0.5, settings)
        assert [each.onset_s for each in candidates] == [0.5 * step for step in peaks]
        assert_same([each.score for each in candidates], [score[step] for step in peaks], FLOAT64)


def test_settings_in_json():
    settings = RiseSettings(rise_s=4.0, least_score=0.5)
    assert RiseSettings(**json.loads(json.dumps(asdict(settings)))) == settings
