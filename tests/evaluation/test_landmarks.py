"""Measures of many points that look alike: by hand on three points of two groups, and by plain loops on random rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from siwcc.data.points import output_suffixes
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation import statistics
from siwcc.evaluation.bootstrap import drawn_means, drawn_percentiles, times_drawn
from siwcc.evaluation.errors_table import measure_study
from siwcc.evaluation.landmarks import (
    LandmarkErrors,
    Landmarks,
    LandmarkTest,
    match_points,
    measure_landmarks,
    write_landmarks,
)
from siwcc.evaluation.methods import read_predictions
from siwcc.io.files import read_csv, write_csv
from siwcc.io.tables import columns_of, read_lines

pytestmark = pytest.mark.numeric

NAN = math.nan
LIMITS = {"spine": ErrorLimits("px", 6.0, 12.0)}
FRAMES = {"spine": 50.0}
CLAIM = [("coord", "weighted")]
TWO = [("coord", "weighted"), ("none", "weighted")]
MEASURES = ("mean", "median", "p90", "within_fine", "within_coarse", "confused", "off_by_one", "detected")

Rows = Sequence[tuple[str, int, np.ndarray, np.ndarray]]


class Made:
    """Predictions written as a study leaves them: rows of (sample, copy, target, prediction), both (points, 2)."""

    def __init__(self, folder: Path, strata: Sequence[tuple[str, str, int]], points: Sequence[str]) -> None:
        self.folder, self.points = folder / "spine", points
        self.strata = self.folder / "strata.csv"
        self.runs: list[Path] = []
        self.baselines: list[Path] = []
        rows = [(sample, group, fold, "x", "") for sample, group, fold in strata]
        write_csv(self.strata, ("sample_id", "group", "fold", "class", "gap_s"), rows)

    def write(self, path: Path, rows: Rows, visible: Sequence[Sequence[float]] | None) -> Path:
        suffixes = output_suffixes(self.points, 2)
        columns = [f"{kind}{suffix}" for kind in ("target", "prediction") for suffix in suffixes]
        columns += [f"visible_{point}" for point in self.points] if visible is not None else []
        cells = [
            [
                *(sample, copy),
                *("" if math.isnan(value) else value for value in (*target.ravel(), *prediction.ravel())),
                *(visible[number] if visible is not None else ()),
            ]
            for number, (sample, copy, target, prediction) in enumerate(rows)
        ]
        write_csv(path, ("sample_id", "copy", *columns), cells)
        return path

    def run(
        self, encoding: str, fold: int, seed: int, rows: Rows, visible: Sequence[Sequence[float]] | None = None
    ) -> None:
        path = self.folder / encoding / "full" / f"fold{fold}" / f"seed{seed}" / "predictions.csv"
        self.runs.append(self.write(path, rows, visible))

    def baseline(self, name: str, rows: Rows) -> None:
        self.baselines.append(self.write(self.folder / "baselines" / name / "predictions.csv", rows, None))

    def measure(self, comparisons: Sequence[tuple[str, str]] = CLAIM) -> Landmarks:
        return measure_landmarks(self.runs, self.baselines, [self.strata], comparisons, LIMITS, FRAMES)


def column(*heights: float) -> np.ndarray:
    """Points one above the other at x = 0; a height that is NaN is not visible."""
    return np.array([[NAN if math.isnan(y) else 0.0, y] for y in heights])


FIRST, SECOND = column(0, 10, 20), column(0, NAN, 20)


@pytest.fixture
def by_hand(tmp_path: Path) -> Made:
    """Points a, b, c at y = 0, 10, 20 in two groups; in the second b is not visible.

    With `coord` the errors are 1, 6 (b is nearest to c), 16 (c is nearest to a); 9, 12 (c is nearest to a).
    """
    made = Made(tmp_path, [("s1", "A", 1), ("s2", "B", 2)], ("a", "b", "c"))
    made.run("coord", 1, 7, [("s1", 1, FIRST, column(1, 16, 4))], [(0.9, 0.4, 0.5)])
    made.run("coord", 2, 7, [("s2", 1, SECOND, column(9, 5, 8))], [(0.2, 0.9, 0.7)])
    made.run("weighted", 1, 7, [("s1", 1, FIRST, FIRST)])
    made.run("weighted", 2, 7, [("s2", 1, SECOND, column(3, 9, 23))])
    made.run("none", 1, 7, [("s1", 0, FIRST, column(0, 0, 20))])
    made.baseline("centre", [("s1", 1, FIRST, column(10, 10, 10)), ("s2", 1, SECOND, column(10, 10, 10))])
    return made


def line_of(lines: Sequence[LandmarkErrors], method: str, inputs: str = "augmented", point: str = "") -> LandmarkErrors:
    (line,) = (line for line in lines if (line.method, line.inputs, line.point) == (method, inputs, point))
    return line


def test_which_points_are_taken_for_another(by_hand: Made) -> None:
    first, second = (match_points(read_predictions(path)) for path in by_hand.runs[:2])
    assert first.error.tolist() == [[1, 6, 16]]
    assert (first.confused.tolist(), first.off_by_one.tolist()) == ([[False, True, True]], [[False, True, False]])
    assert second.visible.tolist() == [[True, False, True]]
    assert np.array_equal(second.error, [[9, NAN, 12]], equal_nan=True)
    # c is nearest to a, and b between them is not there: two places off.
    assert (second.confused.tolist(), second.off_by_one.tolist()) == ([[False, False, True]], [[False] * 3])


def test_just_as_near_to_another_is_not_confused(tmp_path: Path) -> None:
    made = Made(tmp_path, [("s1", "A", 1)], ("a", "b", "c"))
    # a in the middle of a and b; b just as near to a as to c, and farther from itself, which is not possible in line.
    target = np.array([[0.0, 0.0], [30.0, 10.0], [0.0, 20.0]])
    made.run("coord", 1, 7, [("s1", 1, target, np.array([[15.0, 5.0], [0.0, 10.0], [0.0, 20.0]]))])
    found = match_points(read_predictions(made.runs[0]))
    assert found.confused.tolist() == [[False, True, False]]
    assert found.off_by_one.tolist() == [[False, True, False]]
    assert found.detected is None


def test_all_points_together(by_hand: Made) -> None:
    lines = by_hand.measure().overall
    assert [(line.method, line.variant, line.inputs) for line in lines] == [
        ("centre", "", "augmented"),
        ("coord", "full", "augmented"),
        ("none", "full", "unaugmented"),
        ("weighted", "full", "augmented"),
    ]
    coord = line_of(lines, "coord")
    assert (coord.seeds, coord.samples, coord.groups, coord.points) == (1, 2, 2, 5)
    assert (coord.mean, coord.median, coord.p90) == pytest.approx((44 / 5, 9, 14.4))
    assert (coord.mean_percent, coord.median_percent) == pytest.approx((17.6, 18))
    # At most 6: 1 and 6. At most 12: all but 16. Predicted visible from 0.5: a and c, c.
    assert (coord.within_fine, coord.within_coarse, coord.detected) == (0.4, 0.8, 0.6)
    assert (coord.confused, coord.off_by_one) == (0.6, 0.2)
    assert (coord.limit_fine, coord.limit_coarse, coord.frame, coord.unit) == (6, 12, 50, "px")
    baseline = line_of(lines, "centre")
    # Errors 10, 0, 10; 10, 10. With the true point at 10 a and c are nearer to it; without it both are equally near.
    assert (baseline.seeds, baseline.mean, baseline.confused, baseline.off_by_one) == (0, 8, 0.4, 0.4)
    assert math.isnan(baseline.detected)
    assert math.isnan(baseline.detected_low)
    original = line_of(lines, "none", "unaugmented")
    assert (original.points, original.groups) == (3, 1)
    assert (original.mean, original.confused) == pytest.approx((10 / 3, 1 / 3))
    assert math.isnan(original.mean_low)


def test_intervals_are_over_the_groups(by_hand: Made) -> None:
    # Drawn are AA, AB or BB: a quarter of the draws each at the ends. A has 1, 6, 16, and B 9, 12.
    coord = line_of(by_hand.measure().overall, "coord")
    ends = {name: (getattr(coord, f"{name}_low"), getattr(coord, f"{name}_high")) for name in MEASURES}
    assert ends["mean"] == pytest.approx((23 / 3, 10.5))
    assert (coord.mean_percent_low, coord.mean_percent_high) == pytest.approx((46 / 3, 21))
    # Twice 1, 6, 16, and twice 9, 12.
    assert (ends["median"], ends["p90"]) == ((6, 10.5), (12, 16))
    assert (coord.median_percent_low, coord.median_percent_high) == (12, 21)
    assert ends["within_fine"] == pytest.approx((0, 2 / 3))
    assert ends["within_coarse"] == pytest.approx((2 / 3, 1))
    assert ends["confused"] == ends["detected"] == pytest.approx((0.5, 2 / 3))
    assert ends["off_by_one"] == pytest.approx((0, 1 / 3))


def test_each_point(by_hand: Made) -> None:
    lines = [line for line in by_hand.measure().by_point if line.method == "coord"]
    assert [(line.point, line.number, line.points, line.groups) for line in lines] == [
        ("a", 1, 2, 2),
        ("b", 2, 1, 1),
        ("c", 3, 2, 2),
    ]
    assert [line.mean for line in lines] == [5, 6, 14]
    assert [line.confused for line in lines] == [0, 1, 1]
    assert [line.off_by_one for line in lines] == [0, 1, 0]
    assert [line.detected for line in lines] == [0.5, 0, 1]
    assert [math.isnan(line.mean_low) for line in lines] == [False, True, False]


def test_means_are_those_of_the_table_of_errors(by_hand: Made) -> None:
    errors = measure_study(by_hand.runs, by_hand.baselines, [by_hand.strata], LIMITS).overall
    found = {(line.method, line.inputs, line.point): line.mean for line in by_hand.measure().by_point}
    assert found == {(line.method, line.inputs, line.point): pytest.approx(line.mean) for line in errors}


def test_tests_over_the_groups(by_hand: Made) -> None:
    error, confused = by_hand.measure().tests
    assert (error.metric, error.unit, confused.metric, confused.unit) == ("mean", "px", "confused", "fraction")
    for test in (error, confused):
        assert (test.control, test.study, test.family, test.inputs, test.records) == (
            *CLAIM[0],
            "primary",
            "augmented",
            2,
        )
        # Both groups are better: one of four sign patterns.
        assert (test.p_smaller, test.p_two_sided, test.p_holm, test.least_p) == (1 / 4, 1 / 2, 1 / 4, 1 / 4)
    # A: 23/3 and 0; B: 10.5 and 3. Resampled means are those of AA, AB, BA and BB.
    assert (error.control_error, error.study_error) == pytest.approx(((23 / 3 + 10.5) / 2, 1.5))
    mean = -(23 / 3 + 7.5) / 2
    assert (error.mean_difference, error.ci_low, error.ci_high) == pytest.approx(
        (mean, *np.percentile([-23 / 3, mean, mean, -7.5], [2.5, 97.5]))
    )
    assert (confused.control_error, confused.study_error) == pytest.approx(((2 / 3 + 1 / 2) / 2, 0))
    assert confused.mean_difference == pytest.approx(-7 / 12)


def test_what_is_written_is_read_again(by_hand: Made, tmp_path: Path) -> None:
    found = by_hand.measure()
    write_landmarks(found, *(tmp_path / name for name in ("l.csv", "p.csv", "t.csv")))
    assert repr(read_lines(tmp_path / "p.csv", LandmarkErrors)) == repr(found.by_point)
    rows = read_csv(tmp_path / "l.csv", ("points",))
    assert list(rows[0]) == [name for name in columns_of(LandmarkErrors) if name not in ("point", "number")]
    assert [row["confused"] for row in rows] == [repr(line.confused) for line in found.overall]
    tests = read_csv(tmp_path / "t.csv", ())
    assert (list(tests[0]), len(tests)) == (list(columns_of(LandmarkTest)), 2)


# ----------------------------------------------------------------- brute force


def random_study(folder: Path) -> Made:
    """Nine groups of unequal size, two seeds, five points of which some are not visible."""
    rng = np.random.default_rng(3)
    strata = [(f"s{number}", f"g{number * number % 9}", 1 + number % 2) for number in range(40)]
    made = Made(folder, strata, tuple("abcde"))
    targets = {(sample, copy): rng.uniform(0, 40, (5, 2)) for sample, *_ in strata for copy in (0, 1, 2)}
    for target in targets.values():
        target[rng.random(5) < 0.25] = NAN
    for encoding, spread in (("none", 9.5), ("coord", 12.0), ("weighted", 9.0)):
        for fold in (1, 2):
            for seed in (1, 2):
                keys = [key for key in targets if (key[0], fold) in {(sample, of) for sample, _, of in strata}]
                rows = [
                    (*key, targets[key], np.nan_to_num(targets[key]) + rng.normal(0, spread, (5, 2))) for key in keys
                ]
                made.run(encoding, fold, seed, rows, rng.random((len(rows), 5)).round(3).tolist())
    return made


def brute_rows(made: Made, encoding: str, original: bool) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Group, point and measures of every prediction of a visible point."""
    groups = {row["sample_id"]: row["group"] for row in read_csv(made.strata, ())}
    for path in made.runs:
        for row in read_csv(path, ()) if f"/{encoding}/" in path.as_posix() else ():
            if (row["copy"] == "0") != original:
                continue
            there = {name: at for name in made.points if (at := place(row, "target", name)) is not None}
            for number, name in enumerate(made.points):
                if name not in there:
                    continue
                at = place(row, "prediction", name)
                assert at is not None
                distances = {other: math.dist(at, there[other]) for other in there}
                nearest = min(distances, key=lambda other: distances[other])
                off = abs(made.points.index(nearest) - number)
                yield (
                    groups[row["sample_id"]],
                    number,
                    {
                        "mean": distances[name],
                        "within_fine": distances[name] <= 6,
                        "within_coarse": distances[name] <= 12,
                        "confused": off > 0,
                        "off_by_one": off == 1,
                        "detected": float(row[f"visible_{name}"]) >= 0.5,
                    },
                )


def place(row: dict[str, str], kind: str, name: str) -> tuple[float, float] | None:
    x, y = (row[f"{kind}_{name}_{axis}"] for axis in "xy")
    return (float(x), float(y)) if x else None


@pytest.mark.parametrize("original", [False, True])
def test_random_predictions_against_plain_loops(tmp_path: Path, original: bool) -> None:
    made = random_study(tmp_path)
    found = made.measure(TWO)
    inputs = "unaugmented" if original else "augmented"
    means = {}
    for encoding in ("none", "coord", "weighted"):
        rows = list(brute_rows(made, encoding, original))
        check_line(line_of(found.overall, encoding, inputs), rows)
        check_line(line_of(found.by_point, encoding, inputs, "d"), [row for row in rows if row[1] == 3])
        names = sorted({group for group, *_ in rows})
        means[encoding] = {
            metric: np.array([np.mean([row[metric] for of, _, row in rows if of == group]) for group in names])
            for metric in ("mean", "confused")
        }
    for metric in ("mean", "confused"):
        check_tests([test for test in found.tests if (test.metric, test.inputs) == (metric, inputs)], means)


def check_tests(tests: Sequence[LandmarkTest], means: dict[str, dict[str, np.ndarray]]) -> None:
    """Those of one metric and kind of inputs, from the means of the groups."""
    assert [(test.control, test.study) for test in tests] == TWO
    p_values = []
    for test in tests:
        difference = means[test.study][test.metric] - means[test.control][test.metric]
        interval = statistics.paired_bootstrap(difference, "less")
        assert test.records == len(difference) == 4
        assert test.mean_difference == pytest.approx(difference.mean(), rel=1e-9)
        assert (test.ci_low, test.ci_high) == pytest.approx((interval.ci_low, interval.ci_high), rel=1e-9)
        p_values.append(statistics.sign_flip_p(difference, "less").p)
    assert [test.p_smaller for test in tests] == p_values
    primary = tests[0].inputs == "augmented"
    # Two tests: the smaller p twice, and neither below it.
    smaller = min(p_values)
    expected = [min(1.0, 2 * p if p == smaller else max(p, 2 * smaller)) for p in p_values]
    assert [test.p_holm for test in tests] == (expected if primary else [None, None])


def check_line(line: LandmarkErrors, rows: Sequence[tuple[str, int, dict[str, float]]]) -> None:
    groups, code = np.unique([group for group, *_ in rows], return_inverse=True)
    assert (line.points, line.groups) == (len(rows), len(groups))
    values = np.array([list(row.values()) for *_, row in rows], dtype=float)
    drawn = [measures_of(np.repeat(values, draw[code], axis=0)) for draw in times_drawn(len(groups))]
    ends = np.percentile(drawn, [2.5, 97.5], axis=0)
    names = ("median", "p90", *rows[0][2])
    for name, *expected in zip(names, measures_of(values), *ends, strict=True):
        assert [getattr(line, f"{name}{end}") for end in ("", "_low", "_high")] == pytest.approx(expected, rel=1e-9)


def measures_of(values: np.ndarray) -> list[float]:
    """Median and 90 % of the first column, the error, and the mean of each."""
    return [*np.percentile(values[:, 0], [50, 90]).tolist(), *values.mean(axis=0).tolist()]


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 700])
def test_percentiles_of_draws_are_those_of_the_repeated_rows(rows: int) -> None:
    rng = np.random.default_rng(rows)
    # Ties, and a record that some draws leave out.
    values = rng.integers(0, 50, rows) / 4
    record = np.minimum(rng.integers(0, 7, rows), np.arange(rows))
    records = record.max() + 1
    times = times_drawn(records)
    times = times[(times[:, np.unique(record)] > 0).any(axis=1)][:200]
    for fraction in (0.5, 0.9):
        expected = [np.percentile(np.repeat(values, draw[record]), 100 * fraction) for draw in times]
        np.testing.assert_allclose(drawn_percentiles(values, record, times, fraction), expected, rtol=1e-12)
    expected_means = [np.mean(np.repeat(values, draw[record])) for draw in times]
    found = drawn_means(np.stack([values, np.full(rows, NAN)], axis=1), record, times)
    np.testing.assert_allclose(found[:, 0], expected_means, rtol=1e-12)
    assert np.isnan(found[:, 1]).all()
