"""Thresholds are chosen on other folds, and every table is measured with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onset_brute_force import random_candidates, random_reference

from siwcc.data.episodes import Candidate, make_reference
from siwcc.evaluation.onset_matching import FALSE_ALARM, judge
from siwcc.evaluation.onset_study import RATES_PER_H, choose_thresholds, measure_study

LIMIT_PER_H = 60.0


def random_study(seed: int, folds: int = 3, records: int = 9):
    rng = np.random.default_rng(seed)
    references = [random_reference(rng, f"r{n}", f"s{n}") for n in range(records)]
    candidates = {each.record: random_candidates(rng, each) for each in references}
    return references, candidates, {each.record: 1 + n % folds for n, each in enumerate(references)}


def slow_threshold(references, candidates, limit_per_h):
    """The highest threshold with the most found onsets within the limit, by trying every one."""
    best = (-1, math.inf)
    scores = {candidate.score for each in references for candidate in candidates[each.record]}
    hours = sum(each.nonmalignant_us for each in references) / 3.6e9
    for threshold in [math.inf, *sorted(scores, reverse=True)]:
        judged = [judge(each, candidates[each.record], "episodes", 2.5, threshold) for each in references]
        alarms = sum(len(each.unmatched(FALSE_ALARM)) for each in judged)
        found = sum(each.found for each in judged)
        if alarms <= limit_per_h * hours and found > best[0]:
            best = (found, threshold)
    return best[1]


@pytest.mark.parametrize("seed", range(6))
def test_thresholds_are_those_of_the_other_folds(seed):
    references, candidates, fold_of = random_study(seed)
    found = choose_thresholds(references, candidates, fold_of, LIMIT_PER_H)
    for fold in (1, 2, 3):
        others = [each for each in references if fold_of[each.record] != fold]
        assert found.of_fold[fold] == slow_threshold(others, candidates, LIMIT_PER_H)
    assert found.of_all == slow_threshold(references, candidates, LIMIT_PER_H)
    assert found.mean == np.mean([found.of_fold[fold] for fold in (1, 2, 3)])


def test_what_is_found_in_a_fold_does_not_change_its_threshold():
    references, candidates, fold_of = random_study(7)
    before = choose_thresholds(references, candidates, fold_of, LIMIT_PER_H)
    changed = {record: [] if fold_of[record] == 2 else found for record, found in candidates.items()}
    assert choose_thresholds(references, changed, fold_of, LIMIT_PER_H).of_fold[2] == before.of_fold[2]


def reference(record: str, onsets_s=(100.0,)):
    """An hour with episodes of 10 s."""
    changes = [sample for onset_s in onsets_s for sample in (int(10 * onset_s), int(10 * onset_s) + 100)]
    return make_reference(record, record, changes, ["VT", "N"] * len(onsets_s), ("VT",), 10.0, 3600.0)


def test_own_records_get_the_thresholds_of_their_folds_and_external_ones_that_of_all():
    own = [reference("a"), reference("b")]
    external = [reference("c"), reference("d", ())]
    # In "a" every threshold up to 0.8 finds the onset, in "b" up to 0.6; no false alarm is allowed.
    candidates = {
        ("network", "own"): {
            "a": [Candidate(100.0, 109.0, 0.8), Candidate(900.0, 905.0, 0.7)],
            "b": [Candidate(101.0, 109.0, 0.6), Candidate(700.0, 705.0, 0.5)],
        },
        ("network", "external"): {
            "c": [Candidate(102.0, 109.0, 0.85), Candidate(103.0, 109.0, 0.75)],
            "d": [Candidate(50.0, 51.0, 0.95), Candidate(90.0, 95.0, 0.75)],
        },
    }
    fold_of = {"own": {"a": 1, "b": 2}}
    measures, thresholds = measure_study({"own": own, "external": external}, candidates, fold_of, 0.4, "network")
    assert thresholds.of_fold == {1: 0.6, 2: 0.8}
    # Of both: 0.8 finds one; 0.6 would bring the false alarm of "a".
    assert thresholds.of_all == 0.8
    lines = {
        (line.dataset, line.subset): line
        for line in measures.onsets
        if line.definition == "episodes" and line.tolerance_s == 2.5
    }
    own_line, external_line = lines["own", "all"], lines["external", "all"]
    # "a" from 0.6: found and one false alarm; "b" from 0.8: nothing.
    assert (own_line.found, own_line.false_alarms, own_line.threshold) == (1, 1, pytest.approx(0.7))
    assert (external_line.found, external_line.false_alarms, external_line.threshold) == (1, 1, 0.8)
    assert lines["external", "without_episodes"].false_alarms_per_h == pytest.approx(1.0)
    assert ("own", "without_episodes") not in lines
    assert {
        (line.dataset, line.record): (line.found, line.false_alarms, line.threshold)
        for line in measures.onsets_by_record
    } == {
        ("own", "a"): (1, 1, 0.6),
        ("own", "b"): (0, 0, 0.8),
        ("external", "c"): (1, 0, 0.8),
        ("external", "d"): (0, 1, 0.8),
    }


@pytest.mark.parametrize("alarms", [[], [Candidate(300.0, 310.0, 0.7)]])
def test_where_nothing_is_found_and_no_external_record_has_an_onset(alarms):
    candidates = {(method, name): {} for method in ("network", "rule") for name in ("own", "other")}
    candidates["network", "own"] = {"a": alarms}
    references = {"own": [reference("a"), reference("b")], "other": [reference("c", ())]}
    measures, thresholds = measure_study(references, candidates, {"own": {"a": 1, "b": 2}}, 5.0, "network")
    assert (thresholds.of_fold, thresholds.of_all) == ({1: math.inf, 2: math.inf}, math.inf)
    for line in measures.onsets:
        assert (line.found, line.false_alarms, line.false_alarms_per_h) == (0, 0, 0.0)
        assert line.sensitivity == 0.0 if line.dataset == "own" else math.isnan(line.sensitivity)
    for test in measures.onset_comparisons:
        assert test.p_greater == 1.0 if test.dataset == "own" else math.isnan(test.p_greater)


def test_every_method_is_compared_with_the_network_at_every_rate():
    references, candidates, fold_of = random_study(3)
    few = {record: found[:3] for record, found in candidates.items()}
    of_methods = {("network", "own"): candidates, ("few", "own"): few}
    measures, _ = measure_study({"own": references}, of_methods, {"own": fold_of}, LIMIT_PER_H, "network")
    assert [(test.control, test.study, test.limit_per_h) for test in measures.onset_comparisons] == [
        ("few", "network", rate) for rate in (*RATES_PER_H, LIMIT_PER_H)
    ]
    assert {(line.method, line.tolerance_s, line.limit_per_h) for line in measures.onset_rates} == {
        (method, tolerance_s, rate)
        for method in ("network", "few")
        for tolerance_s in (1.0, 2.5, 5.0)
        for rate in (*RATES_PER_H, LIMIT_PER_H)
    }
    assert {line.method for line in measures.froc} == {"network", "few"}
