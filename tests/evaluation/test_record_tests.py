from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tolerances import FLOAT64, assert_same

from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation import record_tests, statistics
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv

pytestmark = pytest.mark.numeric

LIMITS = {"ecg": ErrorLimits("s", 0.5, 1.0, isolated_s=20.0)}
CLAIM = [("coord", "weighted")]
BY_HAND = [("a1", "A", 1, "VT", "inf"), ("a2", "A", 1, "VT", 5.0), ("b", "B", 2, "VT", 20.0), ("c", "C", 2, "VT", 19.0)]


class Made:
    """Predictions with given errors, written as a study leaves them; every target is 10 s."""

    def __init__(self, folder, strata=BY_HAND):
        self.folder = folder
        self.strata = folder / "ecg" / "strata.csv"
        self.runs, self.baselines = [], []
        write_csv(self.strata, ("sample_id", "group", "fold", "class", "gap_s"), strata)

    def add(self, path, errors):
        rows = [(sample, copy, 10.0, 10.0 + error) for sample, copy, error in errors]
        write_csv(path, ("sample_id", "copy", "target", "prediction"), rows)
        return path

    def run(self, encoding, fold, seed, errors, variant="full"):
        folder = self.folder / "ecg" / encoding / variant / f"fold{fold}" / f"seed{seed}"
        self.runs.append(self.add(folder / "predictions.csv", errors))

    def baseline(self, name, errors):
        self.baselines.append(self.add(self.folder / "ecg" / "baselines" / name / "predictions.csv", errors))

    def compare(self, comparisons=CLAIM):
        return record_tests.compare_records(self.runs, self.baselines, [self.strata], comparisons, LIMITS)


@pytest.fixture
def by_hand(tmp_path):
    """Record A: control 3, study 1.5; B: 1.5, 2; C: 5, 3.5."""
    made = Made(tmp_path)
    made.run("coord", 1, 1, [("a1", 1, 1), ("a1", 2, -3), ("a2", 1, 2), ("a2", 2, -2), ("a1", 0, 9), ("a2", 0, 9)])
    made.run("coord", 1, 2, [("a1", 1, 4), ("a1", 2, -4), ("a2", 1, 4), ("a2", 2, -4), ("a1", 0, 9), ("a2", 0, 9)])
    made.run("coord", 2, 1, [("b", 1, 1), ("b", 2, 1), ("c", 1, 5), ("c", 2, 5), ("b", 0, 1), ("c", 0, 1)])
    made.run("coord", 2, 2, [("b", 1, 2), ("b", 2, 2), ("c", 1, 5), ("c", 2, 5), ("b", 0, 1), ("c", 0, 1)])
    made.run("weighted", 1, 1, [("a1", 1, 1), ("a1", 2, 1), ("a2", 1, 1), ("a2", 2, 1), ("a1", 0, 5), ("a2", 0, 1)])
    made.run("weighted", 1, 2, [("a1", 1, 2), ("a1", 2, 2), ("a2", 1, 2), ("a2", 2, 2), ("a1", 0, 5), ("a2", 0, 1)])
    made.run("weighted", 2, 1, [("b", 1, 2), ("b", 2, 2), ("c", 1, 3), ("c", 2, 3), ("b", 0, 1), ("c", 0, 1)])
    made.run("weighted", 2, 2, [("b", 1, 2), ("b", 2, 2), ("c", 1, 4), ("c", 2, 4), ("b", 0, 1), ("c", 0, 1)])
    return made


def test_folds_are_flipped_by_their_sums():
    # Three records of one fold have -1 each, one of another 2: of +-3 +-2 two in four are as low as -1.
    found = record_tests._p_of_whole_folds(np.array([-1.0, -1.0, 2.0, -1.0]), np.array([1, 1, 2, 1]))
    assert found == 2 / 4
    assert record_tests._p_of_whole_folds(np.array([-1.0, -2.0, -1.0]), np.array([1, 2, 3])) == 1 / 8


def test_by_hand(by_hand):
    found = by_hand.compare()
    primary = found.tests[0]
    assert (primary.task, primary.variant, primary.control, primary.study) == ("ecg", "full", "coord", "weighted")
    assert (primary.family, primary.inputs, primary.subset) == ("primary", "augmented", "all")
    assert (primary.records, primary.seeds, primary.unit, primary.note) == (3, 2, "s", "")
    assert (primary.control_error, primary.study_error) == pytest.approx((9.5 / 3, 7 / 3))
    assert primary.mean_difference == pytest.approx(-2.5 / 3)
    # Differences -1.5, 0.5, -1.5 sum to -2.5. Of the sums +-1.5 +-0.5 +-1.5, two are as low, seven as high.
    assert (primary.p_smaller, primary.p_larger, primary.p_two_sided) == (2 / 8, 7 / 8, 4 / 8)
    # By fold: A -1.5, B and C -1. Of +-1.5 +-1, one in four is as low.
    assert primary.p_folds == 1 / 4
    assert (primary.p_holm, primary.p_error, primary.least_p) == (2 / 8, 0.0, 1 / 8)
    assert (primary.records_better, primary.records_worse) == (2, 1)
    # 27 means of three draws: the lowest is -1.5 (8 of 27), the highest 0.5 (1 of 27).
    assert primary.ci_low == -1.5
    assert primary.ci_high == pytest.approx(np.percentile([-1.5] * 8 + [-2.5 / 3] * 12 + [-0.5 / 3] * 6 + [0.5], 97.5))


def test_the_points_are_the_records(by_hand):
    points = [point for point in by_hand.compare().points if point.family == "primary"]
    assert [(point.record, point.rows) for point in points] == [("A", 8), ("B", 4), ("C", 4)]
    assert [point.control_error for point in points] == [3.0, 1.5, 5.0]
    assert [point.study_error for point in points] == [1.5, 2.0, 3.5]
    assert [point.difference for point in points] == [-1.5, 0.5, -1.5]


def test_the_other_views_by_hand(by_hand):
    by = {(test.inputs, test.subset): test for test in by_hand.compare().tests}
    assert len(by) == 4
    isolated = by["augmented", "isolated"]  # a1 and b: A still 3 and 1.5, B 1.5 and 2
    assert (isolated.records, isolated.mean_difference) == (2, -0.5)
    # Sums +-1.5 +-0.5; observed -1: -2 and -1 are as low, 2, 1 and -1 as high.
    assert (isolated.p_smaller, isolated.p_larger) == (2 / 4, 3 / 4)
    clean = by["unaugmented", "all"]  # A: 9 and 3
    assert (clean.records, clean.mean_difference, clean.records_better, clean.records_worse) == (3, -2.0, 1, 0)
    assert by["unaugmented", "isolated"].mean_difference == -2.0  # a1 9 and 5, b equal
    for view in by.keys() - {("augmented", "all")}:
        assert (by[view].family, by[view].p_holm) == ("secondary", None)


def test_a_baseline_is_the_control_of_every_encoding(by_hand):
    by_hand.baseline("training_mean", [(sample, copy, 2.0) for sample in ("a1", "a2", "b", "c") for copy in (0, 1, 2)])
    found = by_hand.compare()
    against = [test for test in found.tests if test.family == "baseline"]
    assert [(test.control, test.study) for test in against[::4]] == [
        ("training_mean", "coord"),
        ("training_mean", "weighted"),
    ]
    assert (against[0].variant, against[0].seeds, against[0].records) == ("full", 2, 3)
    assert (against[0].control_error, against[0].study_error) == pytest.approx((2.0, 9.5 / 3))
    assert against[0].mean_difference == pytest.approx((1 - 0.5 + 3) / 3)
    assert {test.p_holm for test in against} == {None}
    assert {point.family for point in found.points} == {"primary", "secondary"}
    assert found.tests[0] == by_hand.compare().tests[0]


def test_another_network_is_held_against_the_papers(by_hand):
    by_hand.run("none", 1, 1, [(sample, copy, 0.5) for sample in ("a1", "a2") for copy in (0, 1, 2)], "heatmap")
    by_hand.run("none", 2, 1, [(sample, copy, 1.5) for sample in ("b", "c") for copy in (0, 1, 2)], "heatmap")
    found = by_hand.compare()
    against = [test for test in found.tests if test.family == "network" and test.inputs == "augmented"]
    pairs = {(test.control_variant, test.control, test.variant, test.study) for test in against}
    assert pairs == {("full", "coord", "heatmap", "none"), ("full", "weighted", "heatmap", "none")}
    # Of seed 1 alone, which both have: record A 2 (coord), B 1, C 5; the other network 0.5, 1.5, 1.5.
    coord = next(test for test in against if test.control == "coord" and test.subset == "all")
    assert (coord.control_error, coord.study_error) == pytest.approx((8 / 3, 3.5 / 3))
    assert (coord.records, coord.seeds, coord.p_holm) == (3, 1, None)
    # Signs flipped: of all eight patterns of -1.5, 0.5, -3.5 only -1.5, -0.5, -3.5 is smaller.
    assert coord.p_smaller == 2 / 8
    assert {test.control_variant for test in found.tests if test.family == "primary"} == {"full"}


def made_at_random(folder, groups, seeds=(1, 2), encodings=("coord", "weighted"), variants=("full",)):
    """A study of three folds by group; returns it, and every row as a table."""
    rng = np.random.default_rng(groups)
    samples = [
        (f"g{group:02d}_{n}", f"g{group:02d}", 1 + group % 3) for group in range(groups) for n in range(1 + group % 4)
    ]
    made = Made(folder, [(*sample, "VT", round(float(rng.uniform(1, 60)), 3)) for sample in samples])
    table = []
    for encoding in encodings:
        for variant in variants:
            for fold in (1, 2, 3):
                for seed in seeds:
                    rows = [
                        (s, v, round(float(rng.normal(0, 2)), 4))
                        for s, _, at in samples
                        if at == fold
                        for v in range(4)
                    ]
                    made.run(encoding, fold, seed, rows, variant)
                    table += [(encoding, variant, seed, *row) for row in rows]
    return made, pd.DataFrame(table, columns=["encoding", "variant", "seed", "sample_id", "copy", "error"])


@pytest.mark.parametrize("groups", [9, 12])
def test_equals_pandas_and_scipy(tmp_path, groups):
    made, table = made_at_random(tmp_path, groups)
    found = made.compare()
    table = table.merge(pd.read_csv(made.strata), on="sample_id")
    for view, rows in {
        ("augmented", "all"): table[table["copy"] > 0],
        ("augmented", "isolated"): table[(table["copy"] > 0) & (table["gap_s"] >= 20)],
        ("unaugmented", "all"): table[table["copy"] == 0],
    }.items():
        of_seed = rows.assign(error=rows["error"].abs()).groupby(["group", "seed", "encoding"])["error"].mean()
        errors = of_seed.groupby(["group", "encoding"]).mean().unstack()
        (test,) = [test for test in found.tests if (test.inputs, test.subset) == view]
        assert test.records == len(errors)
        assert_same((test.control_error, test.study_error), errors[["coord", "weighted"]].mean(), FLOAT64)
        for alternative, p in (("less", test.p_smaller), ("greater", test.p_larger), ("two-sided", test.p_two_sided)):
            expected = stats.permutation_test(
                (errors["weighted"].to_numpy(), errors["coord"].to_numpy()),
                lambda a, b, axis: np.mean(a - b, axis=axis),
                permutation_type="samples",
                alternative=alternative,
                n_resamples=np.inf,
                vectorized=True,
            )
            assert_same(p, expected.pvalue, FLOAT64)


def test_the_interval_is_the_bootstrap_over_records(tmp_path):
    made, _ = made_at_random(tmp_path, 12)
    found = made.compare()
    test, points = found.tests[0], [point for point in found.points if point.family == "primary"]
    expected = statistics.paired_bootstrap([point.difference for point in points], "less")
    assert (test.mean_difference, test.ci_low, test.ci_high) == (expected.mean, expected.ci_low, expected.ci_high)
    assert test.ci_low < test.mean_difference < test.ci_high


def test_holm_is_over_the_primary_rows_of_the_study(tmp_path):
    made, _ = made_at_random(tmp_path, 9, encodings=("coord", "none", "weighted"), variants=("full", "reduced"))
    tests = made.compare([("coord", "weighted"), ("none", "weighted")]).tests
    primary = [test for test in tests if test.family == "primary"]
    assert [(test.variant, test.control) for test in primary] == [
        ("full", "coord"),
        ("full", "none"),
        ("reduced", "coord"),
        ("reduced", "none"),
    ]
    assert [test.p_holm for test in primary] == statistics.holm([test.p_smaller for test in primary]).tolist()
    assert len(tests) == 16


def test_many_records_are_drawn_and_say_so(tmp_path):
    made, _ = made_at_random(tmp_path, 24, seeds=(1,))
    test = made.compare().tests[0]
    assert (test.records, test.least_p) == (24, 1 / 100_001)
    assert test.p_error == pytest.approx(math.sqrt(test.p_smaller * (1 - test.p_smaller) / 100_001))
    assert test == made.compare().tests[0]


def test_records_in_several_folds_are_noted(tmp_path):
    made = Made(tmp_path, [("a1", "A", 1, "VT", 30.0), ("a2", "A", 2, "VT", 30.0), ("b", "B", 2, "VT", 30.0)])
    for encoding, error in (("coord", 2.0), ("weighted", 1.0)):
        made.run(encoding, 1, 1, [("a1", 1, error)])
        made.run(encoding, 2, 1, [("a2", 1, 3 * error), ("b", 1, error)])
    found = made.compare()
    assert found.tests[0].note
    assert math.isnan(found.tests[0].p_folds)
    assert [point.study_error for point in found.points[:2]] == [2.0, 1.0]


def test_only_what_both_sides_have_is_compared(by_hand):
    by_hand.runs = [path for path in by_hand.runs if "weighted/full/fold2/seed2" not in path.as_posix()]
    found = by_hand.compare()
    assert found.tests[0].note.startswith("3 of 4 ")
    assert [point.control_error for point in found.points[:3]] == [3.0, 1.0, 5.0]
    by_hand.runs = [path for path in by_hand.runs if "weighted" not in path.as_posix()]
    assert by_hand.compare() == ([], [])


def test_rows_that_the_other_side_has_not_are_an_error(by_hand):
    by_hand.run("weighted", 2, 2, [("b", 1, 2), ("c", 1, 4), ("c", 2, 4), ("b", 0, 1), ("c", 0, 1)])
    with pytest.raises(InputError) as caught:
        by_hand.compare()
    assert caught.value.where == str(by_hand.runs[-1])


def test_what_cannot_be_tested_has_the_reason(tmp_path):
    made = Made(tmp_path, [("a", "A", 1, "VT", 30.0), ("b", "B", 1, "VT", 3.0)])
    made.run("coord", 1, 1, [("a", 1, 1.0), ("b", 1, 1.0)])
    made.run("weighted", 1, 1, [("a", 1, 0.5), ("b", 1, math.nan)])
    whole, isolated = made.compare().tests
    assert whole.note
    assert math.isnan(whole.p_smaller)
    assert math.isnan(whole.p_holm)
    assert isolated.note not in ("", whole.note)
    assert isolated.mean_difference == -0.5
    assert math.isnan(isolated.p_smaller)
    assert math.isnan(isolated.ci_low)


def test_both_files(tmp_path, by_hand):
    found = by_hand.compare()
    record_tests.write_records(tmp_path / "r.csv", found.tests)
    record_tests.write_record_points(tmp_path / "p.csv", found.points)
    tests, points = pd.read_csv(tmp_path / "r.csv"), pd.read_csv(tmp_path / "p.csv")
    assert list(tests)[:6] == ["task", "variant", "control", "study", "control_variant", "family"]
    assert list(tests)[6:10] == ["inputs", "subset", "records", "seeds"]
    assert tests["p_holm"].isna().tolist() == [False, True, True, True]
    assert tests["mean_difference"].tolist() == [test.mean_difference for test in found.tests]
    assert list(points)[8:] == ["record", "rows", "control_error", "study_error", "difference", "unit"]
    assert points["difference"].tolist() == [point.difference for point in found.points]
