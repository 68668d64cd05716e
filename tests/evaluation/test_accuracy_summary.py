"""The rows that `siwcc train` prints, against their own computation with numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_study import shared_study

from siwcc.evaluation.accuracy_summary import (
    BaselineTest,
    not_beaten,
    read_baseline_tests,
    summarise_accuracy,
)
from siwcc.evaluation.bootstrap import Interval, times_drawn
from siwcc.evaluation.record_tests import compare_records, write_records
from siwcc.io.files import read_csv


def rows_of(paths: list[Path], strata: Path) -> tuple[np.ndarray, np.ndarray]:
    """Absolute error and group of each augmented copy."""
    group_of = {row["sample_id"]: row["group"] for row in read_csv(strata, ("sample_id", "group"))}
    rows = [row for path in paths for row in read_csv(path, ("sample_id", "copy")) if row["copy"] != "0"]
    error = np.array([abs(float(row["prediction"]) - float(row["target"])) for row in rows])
    return error, np.array([group_of[row["sample_id"]] for row in rows])


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    study = shared_study(tmp_path_factory, "strict")
    runs = [study.layout.predictions(key) for key in study.runs() if key.encoding == "none"]
    strata, baselines = study.layout.strata_csv("ecg"), study.layout.found_baselines("ecg")
    rows = summarise_accuracy(runs, baselines, strata, study.files.limits("ecg"))
    return study, runs, strata, baselines, rows


def test_networks_come_first_and_no_oracle(summary) -> None:
    *_, baselines, rows = summary
    names = [row.method for row in rows]
    assert rows[0].variant
    assert sorted(names[1:]) == sorted({path.parent.name for path in baselines} - {"gap_oracle"})
    medians = [row.median.value for row in rows[1:]]
    assert medians == sorted(medians)


def test_the_numbers_are_those_of_the_rows(summary) -> None:
    study, runs, strata, _, rows = summary
    error, group = rows_of(runs, strata)
    first = rows[0]
    assert (first.rows, first.groups) == (len(error), len(set(group)))
    assert first.median.value == pytest.approx(np.median(error))
    assert first.p90.value == pytest.approx(np.percentile(error, 90))
    limit = study.files.limits("ecg").coarse
    assert (first.within.value, first.limit) == (pytest.approx(np.mean(error <= limit)), limit)


def test_the_interval_draws_whole_groups(summary) -> None:
    _, runs, strata, _, rows = summary
    error, group = rows_of(runs, strata)
    parts = [error[group == name] for name in sorted(set(group))]
    drawn = [
        np.median(np.concatenate([np.repeat(part, times) for part, times in zip(parts, draw, strict=True) if times]))
        for draw in times_drawn(len(parts))
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (rows[0].median.low, rows[0].median.high) == (pytest.approx(low), pytest.approx(high))


def test_comparisons_with_baselines_are_read_back(summary, tmp_path: Path) -> None:
    study, runs, strata, baselines, _ = summary
    found = compare_records(runs, baselines, [strata], [], {"ecg": study.files.limits("ecg")})
    write_records(tmp_path / "records.csv", found.tests)
    tests = {test.baseline: test for test in read_baseline_tests(tmp_path / "records.csv")}
    assert set(tests) == {path.parent.name for path in baselines} - {"gap_oracle"}
    (row,) = [
        row
        for row in found.tests
        if row.control == "centre" and (row.inputs, row.subset, row.family) == ("augmented", "all", "baseline")
    ]
    expected = Interval(row.mean_difference, row.ci_low, row.ci_high)
    assert tests["centre"] == BaselineTest("centre", row.study_error, row.control_error, expected, "s")


def test_no_better_is_an_interval_that_reaches_0() -> None:
    def test(name: str, error: float, high: float) -> BaselineTest:
        return BaselineTest(name, 1.0, error, Interval(-1.0, -2.0, high), "s")

    tests = [test("beaten", 3.0, -0.1), test("equal", 2.0, 0.0), test("better", 0.5, 1.0), test("one", 9.0, np.nan)]
    assert [each.baseline for each in not_beaten(tests)] == ["better", "equal", "one"]
