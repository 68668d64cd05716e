"""Candidates of curves that are worked out by hand."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from siwcc.data.episodes import Candidate
from siwcc.evaluation.rhythm_curves import CurveSettings, find_candidates, keep_strongest

PLAIN = CurveSettings(enter=0.6, leave=0.4, least_s=0.0, merge_s=0.0, refractory_s=0.0, score_s=0.0)


def candidates(values: list[float], step_s: float = 0.5, first_s: float = 0.0, **changes: Any) -> list[Candidate]:
    return find_candidates(np.array(values), step_s, replace(PLAIN, **changes), first_s)


def assert_found(found: list[Candidate], *expected: tuple[float, float, float]) -> None:
    assert len(found) == len(expected)
    np.testing.assert_allclose(np.array(found).reshape(-1, 3), np.array(expected).reshape(-1, 3), rtol=0, atol=1e-12)


def test_an_episode_ends_where_the_curve_crosses_the_lower_level() -> None:
    # 0.2 -> 0.6 reaches 0.4 half-way from step 1 to 2,
    # 0.5 -> 0 a fifth of the way from step 4 to 5.
    values = [0.0, 0.2, 0.6, 0.8, 0.5, 0.0]
    assert_found(candidates(values), (0.75, 2.1, 0.8))
    assert_found(candidates(values, step_s=1.0, first_s=2.0), (3.5, 6.2, 0.8))


def test_the_onset_can_be_the_crossing_of_the_upper_level() -> None:
    # 0.5 -> 0.7 reaches 0.6 half-way from step 2 to 3; the end is that of the lower level.
    values = [0.0, 0.4, 0.5, 0.7, 0.4, 0.0]
    assert_found(candidates(values), (0.5, 2.0, 0.7))
    assert_found(candidates(values, onset_at="enter"), (1.25, 2.0, 0.7))


def test_a_run_that_does_not_reach_the_upper_level_is_none() -> None:
    assert candidates([0.0, 0.5, 0.59, 0.5, 0.0]) == []
    assert_found(candidates([0.0, 0.5, 0.6, 0.5, 0.0]), (0.4, 1.6, 0.6))
    assert candidates([]) == []
    assert candidates([0.0] * 9) == []


def test_a_run_at_an_end_of_the_curve_begins_or_ends_with_it() -> None:
    assert_found(candidates([0.9, 0.9, 0.9]), (0.0, 1.0, 0.9))
    assert_found(candidates([0.9, 0.0, 0.0, 0.8]), (0.0, 0.5 * 5 / 9, 0.9), (1.25, 1.5, 0.8))


def test_close_episodes_are_one() -> None:
    # Crossings at 0.5 and 1.5 steps, 3.5 and 4.5: two steps, 1.0 s, between them.
    values = [0.0, 0.8, 0.0, 0.0, 0.8, 0.0]
    assert_found(candidates(values, merge_s=1.0), (0.25, 0.75, 0.8), (1.75, 2.25, 0.8))
    assert_found(candidates(values, merge_s=1.01), (0.25, 2.25, 0.8))


def test_a_run_below_the_upper_level_is_not_merged() -> None:
    assert_found(candidates([0.0, 0.4, 0.0, 0.8, 0.0], merge_s=9.0), (1.25, 1.75, 0.8))


def test_short_episodes_are_left_out_after_merging() -> None:
    values = [0.0, 0.8, 0.0, 0.8, 0.0]
    assert candidates(values, least_s=0.6) == []
    assert_found(candidates(values, least_s=1.5, merge_s=0.6), (0.25, 1.75, 0.8))
    assert candidates(values, least_s=1.51, merge_s=0.6) == []


def test_the_least_duration_does_not_depend_on_where_the_onset_is() -> None:
    # From 0.4 to 0.4 four steps; 0.6 is reached in the last.
    values = [0.4, 0.4, 0.4, 0.4, 0.8]
    assert_found(candidates(values, least_s=2.0, onset_at="enter"), (1.75, 2.0, 0.8))


def test_the_score_is_the_largest_running_mean() -> None:
    values = [0.0, 0.6, 0.9, 0.6, 0.0, 0.0]
    # Means of three steps at steps 1 to 3: 0.5, 0.7, 0.5; of five: 0.525 (four of them in the curve), 0.42, 0.42.
    assert [one.score for one in candidates(values, score_s=1.5)] == pytest.approx([0.7])
    assert [one.score for one in candidates(values, score_s=2.5)] == pytest.approx([0.525])


def test_of_two_close_onsets_the_stronger_is_kept() -> None:
    weak, strong, later = Candidate(1.0, 2.0, 0.6), Candidate(4.0, 5.0, 0.9), Candidate(8.0, 9.0, 0.7)
    assert keep_strongest([weak, strong, later], 3.0) == [weak, strong, later]
    assert keep_strongest([later, strong, weak], 3.5) == [strong, later]
    assert keep_strongest([weak, strong, later], 4.5) == [strong]
    # What the stronger leaves out does not leave out others.
    assert keep_strongest([Candidate(0.0, 1.0, 0.5), weak, strong], 3.5) == [Candidate(0.0, 1.0, 0.5), strong]
    assert keep_strongest([weak, weak._replace(onset_s=2.0)], 3.0) == [weak]


def test_refractory_time_of_a_curve() -> None:
    values = [0.0, 0.7, 0.0, 0.9, 0.0]
    assert [one.score for one in candidates(values, refractory_s=2.0)] == [0.9]


def test_nan_counts_as_no_probability() -> None:
    assert_found(candidates([0.8, float("nan"), 0.8]), (0.0, 0.25, 0.8), (0.75, 1.0, 0.8))


def test_candidates_of_a_random_curve_are_ordered_and_apart() -> None:
    random = np.random.default_rng(1)
    curve = np.convolve(random.uniform(size=4000), np.ones(5) / 5, mode="same")
    settings = CurveSettings(enter=0.6, leave=0.5, least_s=0.2, merge_s=0.5, refractory_s=4.0, score_s=1.0)
    found = find_candidates(curve, 0.1, settings)
    assert len(found) > 20
    assert found == sorted(found)
    assert all(0 <= one.score <= 1 and one.onset_s < one.end_s for one in found)
    assert all(after.onset_s - before.onset_s >= 4.0 for before, after in pairwise(found))


def test_settings_can_be_written_as_json() -> None:
    settings = CurveSettings(onset_at="enter", merge_s=2.0)
    assert CurveSettings(**json.loads(json.dumps(asdict(settings)))) == settings


@pytest.mark.parametrize(
    "changes",
    [{"leave": 0.7}, {"leave": 0.0}, {"enter": 1.1}, {"merge_s": -1.0}, {"least_s": float("nan")}, {"onset_at": "end"}],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(PLAIN, **changes)
