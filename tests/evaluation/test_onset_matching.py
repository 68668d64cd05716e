from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from onset_brute_force import assign, count, random_candidates, random_reference

from siwcc.data.episodes import Candidate, Episode, LabelOnset, Reference
from siwcc.evaluation.onset_matching import judge, match_onsets, sweep


def a_record(*episodes, duration_s=100.0):
    rows = [Episode(*episode) for episode in episodes]
    return Reference("a", "A", duration_s, tuple(rows), tuple(LabelOnset(row.onset_s, row.label) for row in rows))


def at(*times_s, score=0.5):
    return [Candidate(time_s, time_s + 1, score) for time_s in times_s]


@pytest.mark.parametrize(
    ("onsets", "candidates", "matched"),
    [
        ([], [], []),
        ([5], [], [-1]),
        ([], [5], []),
        ([5], [3], [0]),
        ([5], [2], [-1]),
        # Two onsets near one candidate: the nearer one has it.
        ([5, 8], [7], [-1, 0]),
        ([5, 8], [6], [0, -1]),
        # The most pairs come first: 5 has 4 although 6 is nearer, so that 7 has 6.
        ([5, 7], [4, 6], [0, 1]),
        # One onset near two candidates; at equal differences the earlier one.
        ([5], [4, 6], [0]),
        ([5], [3, 6], [1]),
        ([5, 7], [6], [0, -1]),
        # The same sum either way: in the order of time.
        ([5, 6], [6, 7], [0, 1]),
        # Of two equal candidates the first.
        ([5], [5, 5], [0]),
    ],
)
def test_by_hand(onsets, candidates, matched):
    assert match_onsets(onsets, candidates, 2) == matched


def every_matching(onsets, candidates, tolerance):
    """All one-to-one matchings, as lists of a candidate or -1 for each onset."""
    for places in itertools.product(range(-1, len(candidates)), repeat=len(onsets)):
        used = [place for place in places if place >= 0]
        pairs = [(onsets[i], candidates[place]) for i, place in enumerate(places) if place >= 0]
        if len(set(used)) == len(used) and all(abs(i - j) <= tolerance for i, j in pairs):
            yield places, len(pairs), sum(abs(i - j) for i, j in pairs)


@pytest.mark.parametrize("seed", range(150))
def test_no_matching_is_better(seed):
    rng = np.random.default_rng(seed)
    spread = int(rng.choice([8, 20, 10_000]))
    onsets, candidates = (np.sort(rng.integers(0, spread, rng.integers(0, 6))).tolist() for _ in range(2))
    tolerance = int(rng.integers(0, max(3, spread // 4)))
    best = max((pairs, -total) for _, pairs, total in every_matching(onsets, candidates, tolerance))
    optimal = {
        places for places, pairs, total in every_matching(onsets, candidates, tolerance) if (pairs, -total) == best
    }
    assert tuple(match_onsets(onsets, candidates, tolerance)) in optimal


@pytest.mark.parametrize("seed", range(40))
def test_large_matchings_are_those_of_an_assignment(seed):
    # Distinct differences: there is one best matching.
    rng = np.random.default_rng(seed)
    onsets, candidates = (np.sort(rng.integers(0, 100_000_000, size)).tolist() for size in (40, int(rng.integers(150))))
    expected = assign(onsets, candidates, 2_500_000)
    found = match_onsets(onsets, candidates, 2_500_000)
    assert {onset: place for onset, place in enumerate(found) if place >= 0} == expected


def test_a_candidate_exactly_at_the_tolerance_is_matched():
    # More than 2.5 in floating point.
    assert 4.4 - 1.9 > 2.5
    reference = a_record((4.4, 9.0, "VT"))
    assert judge(reference, at(1.9), "episodes", 2.5).found == 1
    assert judge(reference, at(6.9), "episodes", 2.5).found == 1
    assert judge(reference, at(1.899), "episodes", 2.5).found == 0


def test_what_is_unmatched_is_a_false_alarm_outside_and_late_inside():
    reference = a_record((10.0, 20.0, "VT"))
    found = judge(reference, at(1.0, 9.0, 10.5, 15.0, 20.0), "episodes", 2.5)
    assert found.candidate_of == (2,)
    assert found.errors_s == [0.5]
    # At 20 s the episode is over.
    assert [candidate.onset_s for candidate in found.unmatched("false_alarm")] == [1.0, 9.0, 20.0]
    assert [candidate.onset_s for candidate in found.unmatched("late")] == [15.0]


def test_near_an_episode_without_an_onset_nothing_is_a_false_alarm():
    reference = a_record((0.5, 10.0, "VT", False), (30.0, 40.0, "VT"))
    found = judge(reference, at(0.0, 3.0, 3.1, 10.0, 30.0), "episodes", 2.5)
    assert found.candidate_of == (4,)
    assert [candidate.onset_s for candidate in found.unmatched("ignored")] == [0.0, 3.0]
    assert [candidate.onset_s for candidate in found.unmatched("late")] == [3.1]
    assert [candidate.onset_s for candidate in found.unmatched("false_alarm")] == [10.0]


def test_candidates_count_from_the_threshold_up():
    reference = a_record((10.0, 20.0, "VT"))
    candidates = [*at(10.0, score=0.5), *at(50.0, score=0.49)]
    assert judge(reference, candidates, "episodes", 2.5, 0.5).candidates == (candidates[0],)
    assert judge(reference, candidates, "episodes", 2.5, 0.51).candidates == ()


def swept(reference, candidates, definition, tolerance_s):
    """{score: (found, false alarms)} of the candidates with at least that score."""
    found, alarms = Counter(), Counter()
    for step in sweep(reference, candidates, definition, tolerance_s):
        found[step.score] += step.found
        alarms[step.score] += step.false_alarms
    return {
        score: tuple(sum(change for at, change in changes.items() if at >= score) for changes in (found, alarms))
        for score in {candidate.score for candidate in candidates}
    }


@pytest.mark.parametrize("definition", ["episodes", "labels"])
@pytest.mark.parametrize("tolerance_s", [1.0, 2.5, 5.0])
@pytest.mark.parametrize("seed", range(25))
def test_a_sweep_is_a_count_at_every_score(seed, tolerance_s, definition):
    rng = np.random.default_rng(seed)
    reference = random_reference(rng, "a", "A")
    candidates = random_candidates(rng, reference)
    steps = swept(reference, candidates, definition, tolerance_s)
    for score, (found, alarms) in steps.items():
        counted = count(reference, candidates, definition, tolerance_s, score)
        assert (found, alarms) == (counted[1], counted[3])


@pytest.mark.parametrize("seed", range(25))
def test_a_sweep_is_what_is_judged_at_every_score_where_differences_are_equal(seed):
    # On a grid of quarter seconds several matchings are equally good: both must take the same one.
    rng = np.random.default_rng(seed)
    reference = random_reference(rng, "a", "A")
    candidates = random_candidates(rng, reference, grid_s=0.25)
    for score, (found, alarms) in swept(reference, candidates, "labels", 2.5).items():
        judged = judge(reference, candidates, "labels", 2.5, score)
        assert (found, alarms) == (judged.found, len(judged.unmatched("false_alarm")))
        assert judged == judge(reference, candidates[::-1], "labels", 2.5, score)
