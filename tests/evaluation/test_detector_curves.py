"""Candidates of curves that are worked out by hand."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from siwcc.data.episodes import Candidate
from siwcc.evaluation.baselines.onset_detectors.curves import CurveSettings, find_candidates

PLAIN = CurveSettings(level=0.4)


def candidates(values: list[float], step_s: float = 0.5, first_s: float = 0.0, **changes: Any) -> list[Candidate]:
    return find_candidates(np.array(values), step_s, replace(PLAIN, **changes), first_s)


def assert_found(found: list[Candidate], *expected: tuple[float, float, float]) -> None:
    assert len(found) == len(expected)
    np.testing.assert_allclose(np.array(found).reshape(-1, 3), np.array(expected).reshape(-1, 3), rtol=0, atol=1e-12)


def test_an_episode_ends_where_the_curve_crosses_the_level() -> None:
    # 0.2 -> 0.6 reaches 0.4 half-way from step 1 to 2,
    # 0.5 -> 0 a fifth of the way from step 4 to 5.
    values = [0.0, 0.2, 0.6, 0.8, 0.5, 0.0]
    assert_found(candidates(values), (0.75, 2.1, 0.8))
    assert_found(candidates(values, step_s=1.0, first_s=2.0), (3.5, 6.2, 0.8))


def test_a_run_that_does_not_reach_the_level_is_none() -> None:
    assert candidates([0.0, 0.3, 0.39, 0.3, 0.0]) == []
    # 0.3 -> 0.4 reaches it at step 2.
    assert_found(candidates([0.0, 0.3, 0.4, 0.3, 0.0]), (1.0, 1.0, 0.4))
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


def test_the_score_is_the_largest_running_mean() -> None:
    values = [0.0, 0.6, 0.9, 0.6, 0.0, 0.0]
    # Means of three steps at steps 1 to 3: 0.5, 0.7, 0.5; of five: 0.525 (four of them in the curve), 0.42, 0.42.
    assert [one.score for one in candidates(values, score_s=1.5)] == pytest.approx([0.7])
    assert [one.score for one in candidates(values, score_s=2.5)] == pytest.approx([0.525])


def test_nan_counts_as_no_probability() -> None:
    assert_found(candidates([0.8, float("nan"), 0.8]), (0.0, 0.25, 0.8), (0.75, 1.0, 0.8))


def test_candidates_of_a_random_curve_are_ordered_and_apart() -> None:
    random = np.random.default_rng(1)
    curve = np.convolve(random.uniform(size=4000), np.ones(5) / 5, mode="same")
    found = find_candidates(curve, 0.1, CurveSettings(level=0.6, merge_s=0.5, score_s=1.0))
    assert len(found) > 20
    assert found == sorted(found)
    assert all(0 <= one.score <= 1 and one.onset_s < one.end_s for one in found)
    assert all(after.onset_s - before.end_s >= 0.5 for before, after in pairwise(found))


def test_settings_can_be_written_as_json() -> None:
    settings = CurveSettings(level=0.3, merge_s=2.0)
    assert CurveSettings(**json.loads(json.dumps(asdict(settings)))) == settings


@pytest.mark.parametrize(
    "changes",
    [{"level": 0.0}, {"level": 1.1}, {"level": float("nan")}, {"merge_s": -1.0}, {"score_s": float("nan")}],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(PLAIN, **changes)
