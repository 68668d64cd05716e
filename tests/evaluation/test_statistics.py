from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from scipy.interpolate import LSQUnivariateSpline
from tolerances import FLOAT64, assert_same, largest

from siwcc.evaluation import statistics

pytestmark = pytest.mark.numeric

MIXED_FIVE = [0.031, -0.012, 0.008, 0.027, -0.004]


def numbers(text):
    return [int(found) for found in re.findall(r"\d+", text)]


def brute_force_means(decimals):
    """All n^n means as exact fractions of the decimals, not of their binary neighbours."""
    exact = [Fraction(text) for text in decimals]
    return [sum(drawn) / len(exact) for drawn in itertools.product(exact, repeat=len(exact))]


class TestInstability:
    def test_is_the_mean_squared_residual_of_a_cubic(self):
        epochs = np.arange(1, 16)
        curve = 0.7 - 0.5 / epochs + 0.02 * np.cos(3 * epochs)
        residuals = curve - np.polyval(np.polyfit(epochs, curve, 3), epochs)
        found = statistics.instability(epochs, curve).value
        # Residuals are small differences of two large values, whose rounding they keep.
        assert_same(found, np.mean(residuals**2), FLOAT64, scale=largest(curve) ** 2)

    def test_worked_by_hand(self):
        # Five points leave a cubic one degree of freedom, the quartic contrast (1, -4, 6, -4, 1) of squared length 70:
        # a spike in the middle has the residuals 6/70 (1, -4, 6, -4, 1), whose mean square is 36/70/5.
        found = statistics.instability([1, 2, 3, 4, 5], [0.0, 0.0, 1.0, 0.0, 0.0])
        assert found.value == pytest.approx(36 / 70 / 5)

    def test_does_not_depend_on_where_epochs_start(self):
        curve = 0.5 + 0.1 * np.sin(np.arange(10))
        from_zero, from_one = (statistics.instability(np.arange(10) + first, curve).value for first in (0, 1))
        assert from_zero > 1e-4
        assert_same(from_zero, from_one, FLOAT64, scale=largest(curve) ** 2)

    def test_large_residuals_get_knots_like_scipys_default(self):
        epochs = np.arange(1.0, 16.0)
        curve = np.r_[-50.0, 0.1 * np.sin(np.arange(14))]
        value = statistics.instability(epochs, curve).value
        cubic = LSQUnivariateSpline(epochs, curve, t=[])
        assert value < np.mean((curve - cubic(epochs)) ** 2) / 2
        # scipy stops once the sum of squares is within 0.1 % of the number of points
        assert value == pytest.approx(1.0, rel=1e-3)

    @pytest.mark.parametrize("curve", [np.full(15, 0.7), 0.3 + 0.01 * np.arange(15), 1e-4 * np.arange(15.0) ** 3])
    def test_a_cubic_curve_is_perfectly_stable(self, curve):
        assert statistics.instability(np.arange(15), curve) == (0.0, "")

    def test_below_five_epochs_is_nan_with_the_reason(self):
        value = statistics.instability([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4])
        assert math.isnan(value.value)
        assert numbers(value.reason) == [5, 4]

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_nan_or_infinity_in_the_curve_is_nan_with_the_reason(self, bad):
        value = statistics.instability(range(6), [0.1, 0.2, bad, 0.3, 0.3, 0.4])
        assert math.isnan(value.value)
        assert value.reason

    def test_scores_of_the_last_epoch_alone_are_named(self):
        value = statistics.instability(range(6), [math.nan] * 5 + [0.4])
        assert math.isnan(value.value)
        assert "train.scored_epochs" in value.reason

    def test_a_curve_out_of_all_bounds_is_nan_with_the_reason(self):
        value = statistics.instability(range(15), np.r_[1e200, np.sin(np.arange(14))])
        assert math.isnan(value.value)
        assert value.reason

    @pytest.mark.parametrize("epochs", [[1, 2, 2, 3, 4], [1, 3, 2, 4, 5], [1, 2, 3, 4]])
    def test_epochs_must_fit_and_increase(self, epochs):
        with pytest.raises(ValueError, match="epochs"):
            statistics.instability(epochs, [0.1] * 5)


class TestFinalValue:
    def test_is_the_last_epochs(self):
        assert statistics.final_value([1, 2, 3], [0.9, math.nan, 0.4]) == (0.4, "")

    def test_nan_at_the_end_and_no_epochs_have_reasons(self):
        ended = statistics.final_value([1, 2], [0.9, math.nan])
        assert math.isnan(ended.value)
        assert ended.reason
        empty = statistics.final_value([], [])
        assert math.isnan(empty.value)
        assert empty.reason not in ("", ended.reason)


class TestPairedDifferences:
    def test_is_study_minus_control(self):
        assert statistics.paired_differences([0.5, 0.25], [0.75, 0.125]).tolist() == [0.25, -0.125]

    def test_rounding_is_no_difference(self):
        assert 0.1 + 0.2 != 0.3
        assert statistics.paired_differences([0.3, 0.0], [0.1 + 0.2, 0.0]).tolist() == [0.0, 0.0]

    def test_the_last_digit_of_a_float32_is_a_difference(self):
        neighbour = float(np.nextafter(np.float32(0.7), np.float32(1)))
        assert statistics.paired_differences([float(np.float32(0.7))], [neighbour])[0] > 0

    def test_not_finite_is_nan(self):
        found = statistics.paired_differences([math.nan, math.inf, 1.0], [1.0, math.inf, 1.0])
        assert np.isnan(found).tolist() == [True, True, False]

    def test_unequal_numbers_of_folds_are_an_error(self):
        with pytest.raises(ValueError, match=r"2 control .* 1 study"):
            statistics.paired_differences([1.0, 2.0], [1.0])


class TestPairedBootstrap:
    @pytest.mark.parametrize(
        "decimals",
        [
            ["0.03", "-0.01"],
            ["0.031", "-0.012", "0.008"],
            ["0.1", "0.2", "-0.3"],
            ["0.7", "-0.1", "-0.6", "0.1"],
            ["0.1", "0.1", "-0.3", "0.2"],
            ["0.01", "-0.02", "0.03", "0.005", "-0.025"],
        ],
    )
    @pytest.mark.parametrize("hoped", ["greater", "less"])
    def test_equals_brute_force_over_every_resample_in_exact_fractions(self, decimals, hoped):
        means = brute_force_means(decimals)
        against = sum(mean <= 0 if hoped == "greater" else mean >= 0 for mean in means)
        found = statistics.paired_bootstrap([float(text) for text in decimals], hoped)
        assert found.resamples == len(means) == len(decimals) ** len(decimals)
        assert Fraction(found.p).limit_denominator(10**6) == Fraction(against, len(means))
        low, high = np.percentile([float(mean) for mean in means], [2.5, 97.5])
        assert_same((found.ci_low, found.ci_high), (low, high), FLOAT64)
        assert found.p_error == 0.0

    def test_six_folds_are_enumerated(self):
        thousandths = np.array([20, -50, 11, 30, -7, 4])
        sums = thousandths[np.indices((6,) * 6).reshape(6, -1)].sum(axis=0)
        assert np.count_nonzero(sums == 0) > 0
        found = statistics.paired_bootstrap(thousandths / 1000, "greater")
        assert found.resamples == 46656
        assert found.p == np.count_nonzero(sums <= 0) / 46656
        assert_same((found.ci_low, found.ci_high), np.percentile(sums / 6000, [2.5, 97.5]), FLOAT64)

    def test_p_is_a_fraction_of_3125(self):
        # With differences 1, 1, 1, 1, -1.5 the sum of k negative draws is (5 - k) - 1.5 k = 5 - 2.5 k,
        # at or below zero for k >= 2: 1 - (4/5)^5 - 5 (1/5) (4/5)^4 = (3125 - 1024 - 1280)/3125.
        found = statistics.paired_bootstrap([1, 1, 1, 1, -1.5], "greater")
        assert found.p == 821 / 3125
        assert found.p_opposite == (3125 - 821 + 10 * 64) / 3125  # k = 2 is at zero: counts on both sides

    def test_five_folds_of_one_sign_give_zero_out_of_3125(self):
        found = statistics.paired_bootstrap([0.01, 0.02, 0.03, 0.1, 0.05], "greater")
        assert (found.p, found.p_opposite, found.resamples) == (0.0, 1.0, 3125)

    def test_agrees_with_scipys_bootstrap_within_its_own_error(self):
        drawn = stats.bootstrap(
            (np.array(MIXED_FIVE),), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
        )
        found = statistics.paired_bootstrap(MIXED_FIVE, "greater")
        share = np.mean(drawn.bootstrap_distribution <= 0)
        assert found.p == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 20_000))
        # Each end of the enumerated interval stands, in the drawn means, where its percentile belongs.
        error = 4 * math.sqrt(0.025 * 0.975 / 20_000)
        for end, share in ((found.ci_low, 0.025), (found.ci_high, 0.975)):
            low, high = np.quantile(drawn.bootstrap_distribution, [share - error, share + error])
            assert low <= end <= high
        # Both ends are one of few possible means, 0.001 apart: a bound of the drawing, not of rounding.
        assert found.ci_low == pytest.approx(drawn.confidence_interval.low, abs=0.001)
        assert found.ci_high == pytest.approx(drawn.confidence_interval.high, abs=0.001)
        assert found.mean == pytest.approx(0.01)

    def test_above_six_folds_is_drawn_seeded_and_states_its_error(self):
        differences = np.array([0.02, -0.05, 0.011, 0.03, -0.007, 0.004, 0.02])
        found = statistics.paired_bootstrap(differences, "greater")
        assert found == statistics.paired_bootstrap(differences, "greater")
        assert found != statistics.paired_bootstrap(differences, "greater", seed=1)
        means = differences[np.indices((7,) * 7, dtype=np.int8).reshape(7, -1)].mean(axis=0)
        exact = np.count_nonzero(means <= 1e-12) / 7**7
        assert found.resamples == 20_000
        assert found.p_error == pytest.approx(math.sqrt(found.p * (1 - found.p) / 20_000))
        assert abs(found.p - exact) < 4 * found.p_error
        # Error of drawing 20,000 means, not of rounding.
        assert (found.ci_low, found.ci_high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.001)

    def test_a_drawn_p_of_zero_still_has_an_error(self):
        found = statistics.paired_bootstrap(np.arange(1, 9), "greater")
        assert found.p == 0.0
        assert found.p_error == pytest.approx(math.sqrt(19_999) / 20_000 / math.sqrt(20_000))

    def test_a_number_of_draws_that_is_no_multiple_of_a_block(self):
        assert statistics.paired_bootstrap(np.arange(-3, 5), "greater", draws=1500).resamples == 1500

    def test_equal_arms_have_p_one_both_ways(self):
        found = statistics.paired_bootstrap([0.0] * 5, "less")
        assert (found.mean, found.ci_low, found.ci_high, found.p, found.p_opposite) == (0, 0, 0, 1, 1)

    @pytest.mark.parametrize(("differences", "mean"), [([0.25], 0.25), ([], math.nan), ([0.25, math.nan], math.nan)])
    def test_what_cannot_be_tested_is_nan_with_the_reason(self, differences, mean):
        found = statistics.paired_bootstrap(differences, "greater")
        assert found.mean == pytest.approx(mean, nan_ok=True)
        assert np.isnan([found.ci_low, found.ci_high, found.p, found.p_opposite]).all()
        assert found.reason
        assert statistics.sign_flip_p(differences, "greater").reason == found.reason
        assert statistics.corrected_t_p(differences, math.nan, "greater").reason == found.reason

    def test_resolution(self):
        assert [statistics.smallest_bootstrap_p(n) for n in (2, 5, 6, 7)] == [1 / 4, 1 / 3125, 1 / 46656, 1 / 20_000]

    def test_a_table_of_numbers_is_refused(self):
        with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
            statistics.paired_bootstrap([[1, 2], [3, 4]], "greater")


class TestSignFlip:
    @pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
    @pytest.mark.parametrize("count", [2, 5, 9])
    def test_equals_scipys_exact_permutation_test(self, alternative, count):
        differences = np.random.default_rng(count).normal(0.3, 1, count)
        expected = stats.permutation_test(
            (differences, np.zeros(count)),
            lambda a, b, axis: np.mean(a - b, axis=axis),
            permutation_type="samples",
            alternative=alternative,
            n_resamples=np.inf,
            vectorized=True,
        )
        assert statistics.sign_flip_p(differences, alternative) == (pytest.approx(expected.pvalue), 0.0, "")

    def test_five_folds_cannot_go_below_one_in_thirty_two(self):
        assert statistics.sign_flip_p([10, 20, 30, 40, 50], "greater").p == 1 / 32
        assert statistics.sign_flip_p([10, 20, 30, 40, 50], "two-sided").p == 1 / 16
        assert statistics.sign_flip_p([10, 20, 30, 40, 50], "less").p == 1.0
        assert statistics.smallest_sign_flip_p(5) == 1 / 32

    def test_ties_count_as_far_out(self):
        # Sums of +-0.1 +-0.2 +-0.3: 0.6, 0.4, 0.2, 0 (twice), -0.2, -0.4, -0.6; observed 0.1 + 0.2 - 0.3 = 0.
        assert statistics.sign_flip_p([0.1, 0.2, -0.3], "greater").p == 5 / 8
        assert statistics.sign_flip_p([0.1, 0.2, -0.3], "two-sided").p == 1.0
        assert statistics.sign_flip_p([0.0] * 4, "less").p == 1.0

    def test_twenty_two_records_are_enumerated(self):
        differences = np.ones(22)
        differences[0] = -1
        # The observed sum is 20: reached by one negative (22 patterns) or none.
        assert statistics.sign_flip_p(differences, "greater") == (23 / 2**22, 0.0, "")

    @pytest.mark.parametrize("count", [3, 8, 16])
    def test_equals_every_pattern_laid_out(self, count):
        # Thousandths, so that sums coincide and ties must be counted.
        thousandths = np.random.default_rng(count).integers(-9, 12, count)
        signs = 1 - 2 * ((np.arange(2**count)[:, np.newaxis] >> np.arange(count)) & 1)
        sums, observed = signs @ thousandths, thousandths.sum()
        above, below = np.count_nonzero(sums >= observed), np.count_nonzero(sums <= observed)
        assert above + below > 2**count
        found = statistics.sign_flip_tests(thousandths / 1000)
        assert found["greater"] == (above / 2**count, 0.0, "")
        assert found["less"] == (below / 2**count, 0.0, "")
        assert found["two-sided"].p == min(1.0, 2 * min(above, below) / 2**count)

    def test_twenty_two_records_equal_the_distribution_of_the_sum_built_up_pair_by_pair(self):
        thousandths = [-31, 12, -7, 44, -25, -18, 3, -90, 61, -12, -5, -77, 20, -33, 8, -41, -2, 15, -66, -19, 27, -54]
        patterns = Counter({0: 1})
        for value in thousandths:
            step = Counter()
            for total, ways in patterns.items():
                step[total + value] += ways
                step[total - value] += ways
            patterns = step
        observed = sum(thousandths)
        below = sum(ways for total, ways in patterns.items() if total <= observed)
        above = sum(ways for total, ways in patterns.items() if total >= observed)
        found = statistics.sign_flip_tests(np.array(thousandths) / 1000)
        assert (found["less"].p, found["greater"].p) == (below / 2**22, above / 2**22)
        assert found["two-sided"].p == 2 * below / 2**22

    def test_turning_every_sign_turns_the_direction(self):
        differences = np.random.default_rng(1).normal(0.2, 1, 15)
        found, turned = statistics.sign_flip_tests(differences), statistics.sign_flip_tests(-differences)
        assert (found["less"], found["greater"]) == (turned["greater"], turned["less"])
        assert found["two-sided"] == turned["two-sided"]

    def test_neither_order_nor_scale_matters(self):
        differences = np.random.default_rng(2).normal(0.2, 1, 21)
        shuffled = 1e-7 * np.random.default_rng(3).permutation(differences)
        assert statistics.sign_flip_tests(shuffled) == statistics.sign_flip_tests(differences)

    def test_drawn_and_enumerated_agree_within_the_drawing_error(self):
        differences = np.random.default_rng(4).normal(0.3, 1, 20)
        exact = statistics.sign_flip_p(differences, "less").p
        # Three pairs without a difference change no sum's share, and put the test above the limit.
        drawn = statistics.sign_flip_p(np.r_[differences, 0.0, 0.0, 0.0], "less")
        assert 0 < abs(drawn.p - exact) < 4 * drawn.p_error

    def test_above_is_drawn_seeded_and_close_to_the_binomial(self):
        differences = np.array([1.0] * 16 + [-1.0] * 8)
        found = statistics.sign_flip_p(differences, "greater")
        exact = stats.binom.sf(15, 24, 0.5)
        assert found == statistics.sign_flip_p(differences, "greater")
        assert found.p_error == pytest.approx(math.sqrt(found.p * (1 - found.p) / 100_001))
        assert abs(found.p - exact) < 4 * found.p_error
        two_sided = statistics.sign_flip_p(differences, "two-sided")
        assert abs(two_sided.p - 2 * exact) < 4 * two_sided.p_error

    def test_a_drawn_p_is_never_zero(self):
        found = statistics.sign_flip_p(np.ones(40), "greater")
        assert found.p == 1 / 100_001 == statistics.smallest_sign_flip_p(40)
        assert found.p_error > 0


class TestCorrectedT:
    def test_worked_by_hand(self):
        # Mean 3, variance 2.5 (ddof 1), 1/5 + 1/4 = 0.45: t = 3 / sqrt(1.125) = 2.828427 = 2 sqrt 2.
        # With 4 degrees of freedom the tail is 1/2 - (3/8) s (1 - s^2/12), s = t / sqrt(1 + t^2/4) = 2.828427/sqrt 3.
        s = math.sqrt(8 / 3)
        expected = 0.5 - 3 / 8 * s * (1 - s**2 / 12)
        assert statistics.corrected_t_p([1, 2, 3, 4, 5], 0.25, "greater").p == pytest.approx(expected)
        assert statistics.corrected_t_p([1, 2, 3, 4, 5], 0.25, "less").p == pytest.approx(1 - expected)
        assert statistics.corrected_t_p([1, 2, 3, 4, 5], 0.25, "two-sided").p == pytest.approx(2 * expected)

    def test_without_shared_training_data_it_is_the_plain_t_test(self):
        plain = stats.ttest_1samp(MIXED_FIVE, 0, alternative="greater").pvalue
        assert_same(statistics.corrected_t_p(MIXED_FIVE, 1e-15, "greater").p, plain, FLOAT64)
        assert statistics.corrected_t_p(MIXED_FIVE, 0.25, "greater").p > plain

    def test_a_variance_of_zero_says_nothing(self):
        found = statistics.corrected_t_p([0.3 - 0.2, 0.1, 0.4 - 0.3], 0.5, "greater")
        assert math.isnan(found.p)
        assert found.reason

    def test_equal_arms_have_p_one(self):
        assert statistics.corrected_t_p([0.0] * 5, 0.25, "greater") == (1.0, 0.0, "")

    @pytest.mark.parametrize("ratio", [0.0, -0.25, math.nan, math.inf])
    def test_the_ratio_must_be_positive(self, ratio):
        with pytest.raises(ValueError, match="n_test/n_train"):
            statistics.corrected_t_p([1.0, 2.0], ratio, "greater")


class TestFoldRatio:
    def test_equal_folds_give_one_over_k_minus_one(self):
        assert statistics.fold_ratio([20] * 5) == 0.25

    def test_unequal_folds_are_averaged(self):
        assert statistics.fold_ratio([1, 3]) == pytest.approx((1 / 3 + 3) / 2)

    @pytest.mark.parametrize("sizes", [[5], [], [5, 0]])
    def test_needs_two_folds_with_samples(self, sizes):
        with pytest.raises(ValueError, match="folds"):
            statistics.fold_ratio(sizes)


class TestHolm:
    def test_worked_by_hand(self):
        # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> the last rises to 0.06.
        assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_ties_and_the_cap_at_one(self):
        assert statistics.holm([0.5, 0.5, 0.01]) == pytest.approx([1.0, 1.0, 0.03])

    def test_a_test_not_done_does_not_count(self):
        assert statistics.holm([math.nan, 0.02, 0.03]) == pytest.approx([math.nan, 0.04, 0.04], nan_ok=True)
        assert statistics.holm([]).tolist() == []


class TestConclusion:
    @pytest.mark.parametrize(
        ("p", "resamples", "direction", "expected"),
        [
            (0.0, 3125, "greater", "study > control"),
            (156 / 3125, 3125, "less", "study < control"),
            (157 / 3125, 3125, "less", "not significant"),
            (0.05, 20_000, "greater", "not significant"),
            (0.0, 4, "greater", "not significant"),
            (0.0, 27, "greater", "study > control"),
            (math.nan, 0, "greater", "no test possible"),
        ],
    )
    def test_at_five_percent(self, p, resamples, direction, expected):
        assert statistics.conclusion(p, resamples, direction) == expected

    def test_the_other_way_is_named_apart(self):
        losing = statistics.paired_bootstrap([-0.1, -0.2, -0.1, -0.3, -0.2], "greater")
        assert statistics.conclusion(losing.p, losing.resamples, "greater") == "not significant"
        assert statistics.opposite_conclusion(losing, "greater") == "study < control"
        assert statistics.opposite_conclusion(statistics.paired_bootstrap(MIXED_FIVE, "less"), "greater") == ""
        assert statistics.opposite_conclusion(statistics.paired_bootstrap([0.1], "less"), "less") == ""


class TestSplitVariance:
    def test_worked_by_hand(self):
        # Mean 4.5; folds 1.5, 4, 8; seeds 4, 5. Sums of squares: all 45.5, folds 2 (9 + 0.25 + 12.25) = 43,
        # seeds 3 (0.25 + 0.25) = 1.5, so 1 is left. Mean squares 43/2, 1.5/1, 1/2.
        found = statistics.split_variance([[1, 2], [3, 5], [8, 8]])
        assert found.mean == 4.5
        assert found.residual == pytest.approx(0.5)
        assert found.fold == pytest.approx((21.5 - 0.5) / 2)
        assert found.seed == pytest.approx((1.5 - 0.5) / 3)
        assert found.reason == ""

    def test_an_estimate_below_zero_stays(self):
        # Folds and seeds have equal means; residuals of a half in every cell: MS 4/4/1 = 1.
        found = statistics.split_variance([[1, 2], [2, 1]])
        assert (found.fold, found.seed, found.residual) == (-0.5, -0.5, 1.0)

    def test_a_table_without_residual(self):
        # Folds 0 and 2, seeds 0, 1 and 2 on top: variances 2 and 1, nothing left.
        found = statistics.split_variance([[0, 1, 2], [2, 3, 4]])
        assert_same((found.fold, found.seed, found.residual), (2.0, 1.0, 0.0), FLOAT64)

    def test_is_unbiased(self):
        rng = np.random.default_rng(0)
        tables = rng.normal(0, 2, (5000, 5, 1)) + rng.normal(0, 1, (5000, 1, 3)) + rng.normal(0, 0.5, (5000, 5, 3))
        splits = [statistics.split_variance(table) for table in tables]
        for name, truth in (("fold", 4.0), ("seed", 1.0), ("residual", 0.25)):
            found = np.array([getattr(split, name) for split in splits])
            assert abs(found.mean() - truth) < 4 * found.std() / math.sqrt(5000)

    @pytest.mark.parametrize("table", [[[1.0], [2.0]], [[1.0, 2.0]], [[1.0, 2.0], [3.0, math.nan]]])
    def test_what_cannot_be_split_is_nan_with_the_reason(self, table):
        found = statistics.split_variance(table)
        assert np.isnan([found.fold, found.seed, found.residual]).all()
        assert found.reason
        assert found.mean == pytest.approx(np.mean(table), nan_ok=True)

    @pytest.mark.parametrize("table", [[1.0, 2.0], [[]]])
    def test_a_table_is_needed(self, table):
        with pytest.raises(ValueError, match="shape"):
            statistics.split_variance(table)
