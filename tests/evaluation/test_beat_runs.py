"""Runs of ventricular beats, against values worked out by hand and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import FLOAT64, assert_same

from siwcc.evaluation.beat_runs import find_runs, local_maxima
from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises

pytestmark = pytest.mark.numeric
STEP_S = 0.1


def curves_of(beats: dict[int, float], steps: int = 60) -> np.ndarray:
    """Curves of beats at these steps with these probabilities of being ventricular."""
    curves = np.zeros((2, steps))
    for step, ventricular in beats.items():
        curves[:, step] = 0.8 * np.array([ventricular, 1 - ventricular])
    return curves


def test_three_in_a_row_after_another_beat():
    runs = find_runs(curves_of({5: 0.1, 12: 0.9, 17: 0.8, 23: 0.7, 30: 0.2}), STEP_S)
    assert np.flatnonzero(runs.score).tolist() == [5, 12, 17]
    assert_same(runs.score[[5, 12, 17]], [0.1 * 0.9 * 0.8, 0.9 * 0.8 * 0.7 * 0.9, 0.8 * 0.7 * 0.2 * 0.1], FLOAT64)
    # No run begins at the others, though their scores are above 0.
    assert runs.end[[5, 12, 17]].tolist() == [0, 24, 0]


def test_a_run_ends_after_its_last_beat():
    runs = find_runs(curves_of({5: 0.1, **dict.fromkeys((12, 17, 23, 28, 34), 0.9), 40: 0.2, 46: 0.9}), STEP_S)
    assert runs.end[12] == 35


def test_a_beat_that_is_far_before_does_not_count():
    near, far = (
        find_runs(curves_of({5: 0.9, first: 0.9, first + 5: 0.9, first + 10: 0.9}), STEP_S) for first in (18, 19)
    )
    assert near.score[18] == pytest.approx(0.1 * 0.9**3)
    assert far.score[19] == pytest.approx(0.9**3)


def test_a_rise_at_other_beats_ends_with_the_rhythm():
    beats = curves_of({5: 0.1, 12: 0.1, 18: 0.1, 55: 0.1})
    rhythm = np.where((np.arange(60) >= 5) & (np.arange(60) < 20), 0.9, 0.0)
    curves = np.concatenate([[rhythm, rhythm], beats])
    settings = RiseSettings(rise_s=0.4, gap_s=0.0, least_score=0.5)
    (with_beats,), (without,) = (find_rises(given, STEP_S, settings) for given in (curves, curves[:2]))
    assert (with_beats.onset_s, with_beats.end_s) == (without.onset_s, without.end_s) == pytest.approx((0.5, 2.0))


def test_beats_that_are_far_apart_are_no_run():
    near, far = (find_runs(curves_of({5: 1.0, 10: 1.0, step: 1.0}), STEP_S) for step in (23, 24))
    assert near.score[5] == 1.0
    assert not far.score.any()


def test_fewer_than_three_beats_or_none():
    for beats in ({}, {5: 1.0}, {5: 1.0, 10: 1.0}):
        assert not find_runs(curves_of(beats), STEP_S).score.any()
    assert find_runs(np.zeros((2, 0)), STEP_S).score.shape == (0,)
    # Too little of both curves is no beat.
    assert not find_runs(0.3 * curves_of(dict.fromkeys((5, 10, 15), 1.0)), STEP_S).score.any()


def test_random_beats_against_a_plain_loop():
    random = np.random.default_rng(0)
    ends = 0
    for _ in range(30):
        steps = np.cumsum(random.integers(3, 16, 40)).tolist()
        ventricular = random.random(40).tolist()
        runs = find_runs(curves_of(dict(zip(steps, ventricular, strict=True)), steps[-1] + 5), STEP_S)
        near = [False, *(np.diff(steps) <= 13)]
        for place in range(38):
            expected = 1.0 - ventricular[place - 1] if place and near[place] else 1.0
            for one in range(place, place + 3):
                expected *= ventricular[one]
            if not (near[place + 1] and near[place + 2]):
                expected = 0.0
            assert runs.score[steps[place]] == pytest.approx(expected, abs=1e-12)
            last = place
            while last + 1 < 40 and near[last + 1] and ventricular[last + 1] >= 0.5:
                last += 1
            is_run = ventricular[place] >= 0.5 and last >= place + 2
            assert runs.end[steps[place]] == (steps[last] + 1 if is_run else 0)
            ends += is_run
        assert np.flatnonzero(runs.score).size <= 38
    assert ends > 20


def test_a_run_is_a_candidate_though_the_rhythm_does_not_rise():
    beats = curves_of({5: 0.1, 12: 0.9, 17: 0.9, 23: 0.9, 30: 0.2})
    silent = np.zeros((2, 60))
    settings = RiseSettings(least_score=0.5)
    (candidate,) = find_rises(np.concatenate([silent, beats]), STEP_S, settings)
    assert candidate == pytest.approx((1.2, 2.4, 0.9**4))
    assert find_rises(silent, STEP_S, settings) == []
    # As if they were independent: the score is higher than either.
    rising = np.stack([np.where(np.arange(60) >= 12, 0.6, 0.0), np.ones(60)])
    alone = find_rises(rising, STEP_S, RiseSettings(rise_s=1.0, gap_s=0.0, onset_weight=0.0))
    both = find_rises(np.concatenate([rising, beats]), STEP_S, RiseSettings(rise_s=1.0, gap_s=0.0, onset_weight=0.0))
    assert alone[0].onset_s == both[0].onset_s == pytest.approx(1.2)
    assert both[0].score == pytest.approx(1 - (1 - alone[0].score) * (1 - 0.9**4))


def test_of_equal_peaks_that_are_close_the_first():
    assert local_maxima(np.array([0.0, 1.0, 1.0, 0.0, 0.5]), 1, 0.2) == [1, 4]
    assert local_maxima(np.array([]), 1, 0.2) == []


def test_a_run_in_a_malignant_rhythm_begins_nothing():
    beats = curves_of({5: 0.1, 42: 0.9, 47: 0.9, 53: 0.9, 58: 0.2})
    scores = []
    for probability in (0.0, 0.25, 1.0):
        rhythm = np.stack([np.full(60, probability), np.zeros(60)])
        found = find_rises(np.concatenate([rhythm, beats]), STEP_S, RiseSettings())
        scores.append(found[0].score if found else 0.0)
    assert scores == pytest.approx([0.9**3, 0.75 * 0.9**3, 0.0])


@pytest.mark.parametrize("count", [1, 3, 5])
def test_other_numbers_of_curves_are_refused(count):
    with pytest.raises(ValueError, match=str(count)):
        find_rises(np.zeros((count, 5)), STEP_S, RiseSettings())
