from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score
from tolerances import FLOAT64, assert_same

from siwcc.config import MAP_VARIANTS, shown_arm
from siwcc.evaluation import calibration
from siwcc.evaluation.calibration import (
    equal_count_bins,
    fit_map,
    fractions_within,
    held_out_probability,
    record_weights,
    score,
)
from siwcc.nn.heatmap_networks import DenseNet
from siwcc.nn.paper_networks import VARIANTS, build_localiser

pytestmark = pytest.mark.numeric

ROWS = 40_000
# Knots of a map have six decimals.
SIX_DECIMALS = 1e-6


@pytest.fixture(scope="module")
def known():
    """Confidences whose probability of being right is their square, in 400 records of 100 rows, 5 folds."""
    rng = np.random.default_rng(7)
    confidence = np.round(rng.uniform(0, 1, ROWS), 6)
    within = rng.uniform(0, 1, ROWS) < confidence**2
    record = np.arange(ROWS) // 100
    return confidence, within, record, record % 5


def test_rows_of_a_record_count_by_the_power_of_their_number():
    record = np.array(["a", "b", "b", "b", "b"], dtype=object)
    np.testing.assert_allclose(record_weights(record, 0.5), [1, 0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(record_weights(record, 0.0), 1)
    np.testing.assert_allclose(np.bincount([0, 1, 1, 1, 1], record_weights(record, 1.0)), [1, 1])


def test_a_known_reliability_is_found(known):
    confidence, within, record, _ = known
    found = fit_map(confidence, within, record)
    at = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(found.of(at), at**2, atol=0.04)
    assert (np.diff(found.confidence) > 0).all()
    assert (np.diff(found.probability) >= 0).all()


def test_a_small_map_is_that_of_pooled_neighbours():
    # Right: 0, 1, 0, 1: the two in the middle break the order and share their mean. Four records: 1/6 ... 5/6.
    confidence = np.array([0.2, 0.4, 0.6, 0.8])
    found = fit_map(confidence, np.array([False, True, False, True]), np.arange(4))
    np.testing.assert_allclose(found.of(confidence), [1 / 6, 0.5, 0.5, 5 / 6], atol=SIX_DECIMALS)
    assert found.of(0.7) == pytest.approx((0.5 + 5 / 6) / 2, abs=SIX_DECIMALS)
    np.testing.assert_allclose(found.of([0.0, 1.0]), [1 / 6, 5 / 6], atol=SIX_DECIMALS)


def test_records_are_balanced_in_a_map():
    # One confidence: the mean of the record shares, 0 and 1, weighted by the root of their rows, 1 and 3.
    within = np.array([False] + [True] * 9)
    found = fit_map(np.full(10, 0.5), within, np.array([0] + [1] * 9))
    assert found.of(0.5) == pytest.approx(3 / 4, abs=SIX_DECIMALS)


def test_a_map_is_the_same_for_any_order(known):
    rows = np.random.default_rng(1).permutation(3000)
    first = fit_map(*(values[:3000] for values in known[:3]))
    again = fit_map(*(values[:3000][rows] for values in known[:3]))
    assert first.confidence.tolist() == again.confidence.tolist()
    assert first.probability.tolist() == again.probability.tolist()


def test_a_fold_is_calibrated_by_the_others_alone(known):
    confidence, within, record, fold = (values[:5000] for values in known)
    fitted = np.arange(5000) % 2 == 0
    found = held_out_probability(confidence, within, record, fold, fitted)
    others = fitted & (fold != 3)
    ends = {"y_min": 1 / 42, "y_max": 41 / 42}
    model = IsotonicRegression(**ends, out_of_bounds="clip").fit(confidence[others], within[others])
    # All records have as many rows, so their weights are equal. Knots that are equal when rounded become one.
    np.testing.assert_allclose(found[fold == 3], model.predict(confidence[fold == 3]), atol=2e-3)
    flipped = np.where(fold == 3, ~within, within)
    np.testing.assert_array_equal(
        held_out_probability(confidence, flipped, record, fold, fitted)[fold == 3], found[fold == 3]
    )
    one_fold = held_out_probability(confidence, within, record, np.ones(5000), fitted)
    assert np.isnan(one_fold).all()


def test_bins_have_about_as_many_rows_and_keep_equal_values_together():
    assert equal_count_bins(np.array([0.1, 0.4, 0.2, 0.3]), 2).tolist() == [0, 1, 0, 1]
    values = np.array([0.5] * 8 + [0.9, 1.0])
    codes = equal_count_bins(values, 5)
    assert len(set(codes[:8].tolist())) == 1
    assert sorted(set(codes.tolist())) == list(range(codes.max() + 1))
    assert equal_count_bins(np.full(3, 0.5), 5).tolist() == [0, 0, 0]


def test_scores_by_hand():
    probability = np.array([0.2, 0.4, 0.6, 0.8])
    within = np.array([False, True, False, True])
    found = score(probability, within, np.array(["a", "a", "b", "b"]), np.array([0, 0, 1, 1]))
    assert found.ece.value == pytest.approx((abs(0.6 - 1) + abs(1.4 - 1)) / 4)
    assert found.brier.value == pytest.approx((0.04 + 0.36 + 0.36 + 0.04) / 4)
    assert found.auroc.value == pytest.approx(3 / 4)
    # Of two records a draw has both, or one of them twice: each of these has a Brier score of 0.2.
    assert (found.brier.low, found.brier.high) == pytest.approx((0.2, 0.2))
    # One alone has a perfect order; both have three pairs of four.
    assert (found.auroc.low, found.auroc.high) == pytest.approx((0.75, 1.0))


def test_auroc_is_that_of_scikit_learn_with_ties(known):
    confidence, within, record, _ = (values[:5000] for values in known)
    rough = np.round(confidence, 1)
    found = score(rough, within, record, equal_count_bins(rough, 10))
    assert_same(found.auroc.value, roc_auc_score(within, rough), FLOAT64)
    assert found.auroc.low < found.auroc.value < found.auroc.high


def test_calibration_lowers_both_scores_of_a_network_that_is_too_sure(known):
    confidence, within, record, fold = known
    probability = held_out_probability(confidence, within, record, fold, np.ones(ROWS, dtype=bool))
    before = score(confidence, within, record, equal_count_bins(confidence, 10))
    after = score(probability, within, record, equal_count_bins(probability, 10))
    # Mean distance of c and c squared is 1/6; the mean of c^2 (1 - c^2) is 1/3 - 1/5, and (c - c^2)^2 adds 1/30.
    assert before.ece.value == pytest.approx(1 / 6, abs=0.01)
    assert after.ece.value < 0.015
    assert before.brier.value == pytest.approx(2 / 15 + 1 / 30, abs=0.005)
    assert after.brier.value == pytest.approx(2 / 15, abs=0.005)


def test_shares_have_intervals_over_records_and_not_over_rows():
    # Ten records, all right or all wrong, of 100 rows each: as uncertain as ten rows.
    within = np.repeat(np.arange(10) % 2 == 0, 100)
    record = np.repeat(np.arange(10), 100)
    (share,) = fractions_within(np.zeros(1000, dtype=int), within, record)
    assert share.value == 0.5
    assert share.low == pytest.approx(0.2, abs=0.1)
    assert share.high == pytest.approx(0.8, abs=0.1)


def test_a_single_record_has_no_interval():
    (share,) = fractions_within(np.zeros(4, dtype=int), np.array([True, True, True, False]), np.array(["a"] * 4))
    assert share.value == 0.75
    assert math.isnan(share.low)
    assert math.isnan(share.high)
    found = score(np.array([0.5, 0.6]), np.array([True, True]), np.array([0, 1]), np.array([0, 0]))
    assert math.isnan(found.auroc.value)


def test_intervals_cover_the_truth():
    """Of 200 made studies with records that differ, the 95 % interval holds the true share in most."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        chance = rng.beta(2, 2, 40)
        within = rng.uniform(size=(40, 10)) < chance[:, None]
        (share,) = fractions_within(np.zeros(400, dtype=int), within.ravel(), np.repeat(np.arange(40), 10))
        held += share.low <= 0.5 <= share.high
    assert 176 <= held <= 198


def test_the_variants_with_a_map_are_those_of_the_networks():
    image = {"signal_channels": 3, "shape": (64, 64), "extent": (63.0, 63.0), "output_scale": 63.0}
    made = {variant: build_localiser("lakshya", variant, "none", **image).body for variant in VARIANTS}
    assert {variant for variant, body in made.items() if isinstance(body, DenseNet)} == set(MAP_VARIANTS)


def test_the_arm_that_is_shown_is_chosen_by_name():
    assert shown_arm(["coord", "none"], ["full", "dense", "heatmap"]) == ("coord", "heatmap")
    assert shown_arm(["none"], ["heatmap", "unet"]) == ("none", "unet")
    assert shown_arm(["none"], ["dense"]) == ("none", "dense")
    assert shown_arm(["none"], ["dense", "median"]) == ("none", "median")
    assert shown_arm(["none"], ["full", "pooled"]) is None


def test_draws_repeat():
    assert calibration._Draws.of(5).times.tolist() == calibration._Draws.of(5).times.tolist()
    assert (calibration._Draws.of(5).times.sum(axis=1) == 5).all()
