"""Platt's maps of scores and curves, against another optimiser, and which rows they are fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from siwcc.data.curves import Curves
from siwcc.data.episodes import Candidate, make_reference
from siwcc.evaluation.onset_calibration import (
    ONSET,
    Rows,
    fit_platt,
    held_out,
    joined,
    measure_calibration,
    moment_rows,
    onset_rows,
)


def random_rows(seed: int, records: str = "abcdef", count: int = 300) -> Rows:
    rng = np.random.default_rng(seed)
    value = rng.uniform(0.01, 0.99, count)
    record = np.array([records[int(place)] for place in rng.integers(0, len(records), count)], dtype=object)
    return Rows(value, rng.random(count) < value**2, record)


def test_a_map_is_the_most_likely_logistic_curve_of_the_logit():
    rows = random_rows(1)
    counts = {name: int((rows.record == name).sum()) for name in set(rows.record)}
    weight = np.array([counts[name] ** -0.5 for name in rows.record])
    logit = np.log(rows.value / (1 - rows.value))

    def loss(coefficients):
        z = coefficients[0] * logit + coefficients[1]
        return float((weight * (np.logaddexp(0, z) - rows.happened * z)).sum())

    best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000})
    found = fit_platt(rows)
    assert [found.a, found.b] == pytest.approx(best.x.tolist(), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("happened", "expected"), [(True, 11 / 12), (False, 1 / 12)])
def test_a_map_of_rows_that_are_all_alike_is_next_to_level(happened, expected):
    rows = Rows(np.linspace(0.1, 0.9, 10), np.full(10, happened), np.array(["a"] * 10, dtype=object))
    low, middle, high = fit_platt(rows).of([0.0, 0.5, 1.0])
    assert middle == pytest.approx(expected, rel=1e-5)
    # A slope of 1e-4 over logits to 13.8 either side, times p (1 - p) = 11 / 144.
    step = 13.8e-4 * 11 / 144
    assert [middle - low, high - middle] == pytest.approx([step, step], rel=0.01)


def test_a_map_of_scores_that_rise_as_less_happens_is_the_weighted_fraction_and_keeps_their_order():
    rows = random_rows(2)
    turned = Rows(rows.value, ~rows.happened, rows.record)
    counts = {name: int((rows.record == name).sum()) for name in set(rows.record)}
    weight = np.array([counts[name] ** -0.5 for name in rows.record])
    found = fit_platt(turned)
    assert float(found.of(0.5)) == pytest.approx(weight @ turned.happened / weight.sum(), rel=1e-5)
    # A threshold on the probability keeps the candidates that one on the score keeps.
    scores = np.linspace(0.02, 0.98, 97)
    least = float(found.of(scores[60]))
    assert np.flatnonzero(found.of(scores) >= least).tolist() == list(range(60, 97))


@pytest.mark.parametrize("apart", [0.1, 1e-3, 1e-5])
def test_a_map_of_scores_that_are_told_apart_has_bounds_and_its_middle(apart):
    value, record = np.array([0.6, 0.6 + apart] * 9), np.array(list("abc") * 6, dtype=object)
    found = fit_platt(Rows(value, np.array([False, True] * 9), record))
    assert 0 < found.a <= 1000
    assert abs(found.b) <= 1000
    low, high = found.of([0.6, 0.6 + apart])
    assert low < 0.5 < high


def test_rows_of_a_fold_do_not_shape_their_own_map():
    rows, fold_of = random_rows(3), {name: 1 + place % 2 for place, name in enumerate("abcdef")}
    first = np.array([fold_of[name] == 1 for name in rows.record])
    expected = np.empty(len(first))
    for mine in (first, ~first):
        expected[mine] = fit_platt(rows.where(~mine)).of(rows.value[mine])
    assert np.array_equal(held_out(rows, fold_of, rows), expected)


def test_external_rows_get_the_map_of_all_folds():
    rows, external = random_rows(4), random_rows(5, records="xyz")
    assert np.array_equal(held_out(external, {}, rows), fit_platt(rows).of(external.value))


def reference(record: str, changes, labels, duration_s: float = 60.0):
    return make_reference(record, record, changes, labels, ("VT",), 10.0, duration_s)


def test_candidates_are_right_where_they_are_matched():
    references = [reference("a", [200, 300], ["VT", "N"]), reference("b", [2, 100], ["VT", "N"])]
    candidates = {
        "a": [Candidate(21.0, 25.0, 0.9), Candidate(22.0, 25.0, 0.8), Candidate(40.0, 45.0, 0.4)],
        # The first is near an episode with which the record begins: neither right nor wrong.
        "b": [Candidate(1.0, 5.0, 0.7), Candidate(30.0, 35.0, 0.2)],
    }
    rows = onset_rows(references, candidates)
    assert rows.value.tolist() == [0.9, 0.8, 0.4, 0.2]
    assert rows.happened.tolist() == [True, False, False, False]
    assert rows.record.tolist() == ["a", "a", "a", "b"]


def test_moments_are_malignant_within_episodes():
    curve = np.arange(40, dtype=np.float32) / 40
    references = [reference("a", [20, 60], ["VT", "N"], 10.0), reference("b", [], [], 2.0)]
    rows = moment_rows(references, Curves(0.25, {"a": curve, "b": curve[:8]}))
    assert rows.value == pytest.approx(np.r_[curve[::4], curve[:8:4]])
    assert rows.happened.tolist() == [False, False, True, True, True, True, False, False, False, False, False, False]
    assert rows.record.tolist() == ["a"] * 10 + ["b"] * 2


def test_the_line_holds_counts_and_the_calibration_error():
    rows = Rows(np.array([0.25] * 8), np.array([True, True] + [False] * 6), np.array(list("aabbccdd"), dtype=object))
    line = measure_calibration("x", ONSET, rows, rows.value)
    assert (line.dataset, line.of, line.rows, line.happened) == ("x", "onset", 8, 2)
    assert (line.ece, line.brier) == (0.0, pytest.approx(0.1875))


def test_rows_are_joined_in_order():
    both = joined([random_rows(1, count=3), random_rows(2, count=2)])
    assert both.value.tolist() == [*random_rows(1, count=3).value.tolist(), *random_rows(2, count=2).value.tolist()]
