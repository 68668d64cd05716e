"""The best network beside the best baseline: who has the higher R2, and what the verdict says of it."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from made_study import made_config, strict_config
from test_report_tables import line, made_test

from siwcc.report import errors
from siwcc.report.best import Outcome, best_methods, methods_sentence, note
from siwcc.report.errors import baseline_name
from siwcc.report.protocol import main_limits
from siwcc.report.study import TaskData
from siwcc.report.wording import three

NETWORKS = [line("coord", r2=0.30, median=1.3), line("weighted", r2=0.34, median=1.4)]
PADDING = line("zero_padding", "", r2=0.74, median=0.6)
CENTROID = line("intensity_centroid", "", r2=0.31)
ORACLE = line("gap_oracle", "", r2=0.95)


def best_of(lines, tests=()):
    (found,) = best_methods(errors.error_tables(lines), tests)
    return found


def against_padding(**changes):
    """The test of weighted coordinates against the padding-only baseline, by default larger by 0.9 s, p = 0.02."""
    values = {"family": "baseline", "control": "zero_padding", "mean_difference": 0.9, "p_two_sided": 0.02}
    return made_test(**values | changes)


def r2s(sentence):
    """R2 of the better and of the worse one."""
    return re.search(r"R² (\S+) against ([^\s;)]+)", sentence).groups()


def test_a_better_baseline_is_named_with_both_r2():
    best = best_of([*NETWORKS, PADDING, CENTROID, ORACLE], [against_padding()])
    assert best.outcome is Outcome.BASELINE
    assert best.winner is best.baseline
    assert (best.network.either.method, best.baseline.either.method) == ("weighted", "zero_padding")
    assert best.signal.either.method == "intensity_centroid"
    sentence = methods_sentence([best])
    assert baseline_name(best.baseline) in sentence
    assert r2s(sentence) == ("0.740", "0.340")
    assert "p = 0.0200" in sentence


def test_a_better_network_is_named_with_both_r2():
    best = best_of([*NETWORKS, CENTROID])
    assert (best.outcome, best.signal) == (Outcome.NETWORK, None)
    assert best.winner is best.network
    assert r2s(methods_sentence([best])) == ("0.340", "0.310")


def test_an_oracle_is_no_baseline():
    best = best_of([*NETWORKS, CENTROID, ORACLE])
    assert best.outcome is Outcome.NETWORK
    assert [row.either.method for row in best.oracles] == ["gap_oracle"]
    assert best.rows[-1][1] is best.oracles[0]
    assert best_of([*NETWORKS, ORACLE]).outcome is Outcome.NO_BASELINE


@pytest.mark.parametrize(
    ("lines", "outcome", "shown"),
    [
        (NETWORKS, Outcome.NO_BASELINE, ["0.340"]),
        ([PADDING], Outcome.NO_NETWORK, ["0.740"]),
        ([ORACLE], Outcome.NOTHING, []),
        ([NETWORKS[0], line("training_mean", "", r2=0.30)], Outcome.EQUAL, ["0.300", "0.300"]),
        # An R2 that could not be computed is none.
        ([line("coord", r2=math.nan), PADDING], Outcome.NO_NETWORK, ["0.740"]),
    ],
)
def test_only_one_of_the_two_or_equal(lines, outcome, shown):
    best = best_of(lines)
    assert best.outcome is outcome
    assert best.winner is None
    assert re.findall(r"\d\.\d+", methods_sentence([best])) == shown


def test_nothing_has_been_evaluated():
    assert best_methods([], []) == []
    assert methods_sentence([]).count(".") == 1


def test_two_tasks_in_one_sentence():
    nuclei = [dataclasses.replace(one, task="nuclei", unit="px") for one in (*NETWORKS, CENTROID)]
    bests = best_methods(errors.error_tables([*NETWORKS, PADDING, *nuclei]), [])
    assert [best.outcome for best in bests] == [Outcome.BASELINE, Outcome.NETWORK]
    sentence = methods_sentence(bests)
    assert re.findall(r"0\.\d+", sentence) == ["0.740", "0.340", "0.340", "0.310"]
    assert sentence.count(".") == 1 + 4


@pytest.mark.parametrize(
    ("changes", "p", "better"),
    [
        ({}, "p = 0.0200", True),
        ({"p_two_sided": 0.3}, "not significant, p = 0.300", False),
        # Higher R2 of the baseline, but a larger mean absolute error of it.
        ({"mean_difference": -0.9}, "reversed, p = 0.0200", False),
    ],
)
def test_better_is_said_only_where_the_test_over_records_agrees(changes, p, better):
    sentence = methods_sentence([best_of([*NETWORKS, PADDING], [against_padding(**changes)])])
    assert p in sentence
    assert ("better" in sentence) is better


def test_only_the_first_of_several_points_has_a_test():
    lines = [dataclasses.replace(one, point=point) for point in ("onset", "end") for one in (*NETWORKS, PADDING)]
    onset, end = best_methods(errors.error_tables(lines), [against_padding()])
    assert (onset.point, onset.test.p_two_sided) == ("onset", 0.02)
    assert (end.point, end.test) == ("end", None)


@pytest.mark.parametrize(
    "changes", [{"study": "coord"}, {"control": "centre"}, {"subset": "isolated"}, {"family": "secondary"}]
)
def test_another_test_is_not_taken_for_it(changes):
    assert best_of([*NETWORKS, PADDING], [against_padding(**changes)]).test is None


def test_the_note_counts_the_networks_above_the_best_baseline():
    # One network is below 0.31; the baseline's median, 1.0 s, is below that of the winner, 1.4 s.
    assert re.findall(r"\d[\d.]*\b", note(best_of([*NETWORKS, CENTROID]))) == ["1", "2", "1.00"]
    tested = note(best_of([*NETWORKS, PADDING], [against_padding(ci_low=0.5, ci_high=1.25)]))
    # 0 of 2 networks; difference and interval, records, p; the winner has the smallest median, too.
    assert re.findall(r"\d[\d.]*\b", tested) == ["0", "2", "0.900", "0.500", "1.25", "22", "0.0200"]


def test_limits_name_the_open_leaks_and_the_seeds():
    def data(task, remark):
        values = {field.name: "" for field in dataclasses.fields(TaskData)}
        return TaskData(**values | {"task": task, "remark": remark})

    leaking = main_limits(made_config(), [data("ecg", "synthetic data")])
    assert [part in leaking for part in ("ynthetic data", "records", "padding", "seed")] == [True] * 4
    assert leaking.count(";") == 3
    closed = main_limits(strict_config(), [data("ecg", "")])
    assert ";" not in closed
    assert "2 seeds" in closed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.74129, "0.741"),
        (-0.00048512, "\N{MINUS SIGN}0.000485"),
        (0.99961, "1.00"),
        (12.345, "12.3"),
        (1234.4, "1,234"),
        (0.00000123, "1.23e\N{MINUS SIGN}6"),
        (math.nan, "\N{EN DASH}"),
        (None, "\N{EN DASH}"),
    ],
)
def test_three_significant_digits(value, shown):
    assert three(value) == shown


def test_three_digits_with_a_sign_and_of_rounded_numbers():
    assert three(0.5, sign=True) == "+0.500"
    assert three(-0.00002, decimals=5) == "\N{MINUS SIGN}0.00002"
