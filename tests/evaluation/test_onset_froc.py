from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from onset_brute_force import count, drawn_records, interval, quiet_us, random_detections, ratio

from siwcc.data.episodes import Candidate, make_reference
from siwcc.evaluation.onset_froc import compare_at, sweep_thresholds
from siwcc.evaluation.onset_tables import FrocPoint
from siwcc.evaluation.onsets import Detections


def one_hour(record, *onsets_s):
    """A record of 1 h with episodes of 1 us, so that it is one hour of other rhythms to all but a microsecond each."""
    changes = [0, *(sample for onset_s in onsets_s for sample in (onset_s * 10, onset_s * 10 + 100))]
    labels = ["N", *(["VT", "N"] * len(onsets_s))]
    return make_reference(record, record.upper(), changes, labels, ("VT",), 10.0, 3600.0 + 10 * len(onsets_s))


def by_hand(method="network", scores=(0.9, 0.8, 0.8, 0.7, 0.6, 0.5)):
    """Onsets at 100, 200 and 300 s; found, alarm, found, alarm, alarm, found by falling score; 1 h of other rhythms."""
    times_s = (100, 1000, 201, 1100, 1200, 302)
    found = [Candidate(float(time_s), time_s + 1.0, score) for time_s, score in zip(times_s, scores, strict=True)]
    return Detections(method, "data", (one_hour("a", 100, 200, 300),), {"a": found})


def test_the_curve_by_hand():
    froc = sweep_thresholds(by_hand())
    assert froc.thresholds.tolist() == [math.inf, 0.9, 0.8, 0.7, 0.6, 0.5]
    # Two candidates of 0.8 come together.
    assert froc.found[:, 0].tolist() == [0, 1, 2, 2, 2, 3]
    assert froc.false_alarms[:, 0].tolist() == [0, 0, 1, 2, 3, 3]
    names = ("network", "data", "episodes", 2.5)
    assert froc.points() == [
        FrocPoint(*names, math.inf, 0.0, 0.0),
        FrocPoint(*names, 0.9, 0.0, 1 / 3),
        FrocPoint(*names, 0.8, 1.0, 2 / 3),
        FrocPoint(*names, 0.5, 3.0, 1.0),
    ]


@pytest.mark.parametrize(
    ("limit", "found", "threshold"), [(0.0, 1, 0.9), (0.99, 1, 0.9), (1.0, 2, 0.8), (2.9, 2, 0.8), (3.0, 3, 0.5)]
)
def test_sensitivity_at_a_rate_does_not_interpolate(limit, found, threshold):
    line = sweep_thresholds(by_hand()).at(limit)
    assert (line.found, line.onsets, line.sensitivity, line.threshold) == (found, 3, found / 3, threshold)
    # One subject has no interval.
    assert math.isnan(line.sensitivity_low)


def test_no_candidate_and_no_onset():
    froc = sweep_thresholds(Detections("m", "d", (one_hour("a", 100),), {}))
    assert froc.points() == [FrocPoint("m", "d", "episodes", 2.5, math.inf, 0.0, 0.0)]
    assert (froc.at(5.0).sensitivity, froc.at(5.0).threshold) == (0.0, math.inf)
    quiet = sweep_thresholds(Detections("m", "d", (one_hour("a"),), {"a": [Candidate(5.0, 6.0, 0.3)]}))
    assert quiet.false_alarms[:, 0].tolist() == [0, 1]
    assert math.isnan(quiet.at(5.0).sensitivity)


def loops(detections, definition, tolerance_s):
    """{threshold: {record: (onsets, found, false alarms)}} from the highest threshold down."""
    scores = sorted({c.score for found in detections.candidates.values() for c in found}, reverse=True)
    table = {}
    for threshold in [math.inf, *scores]:
        rows = {
            each.record: count(each, detections.candidates[each.record], definition, tolerance_s, threshold)
            for each in detections.references
        }
        table[threshold] = {record: (row[0], row[1], row[3]) for record, row in rows.items()}
    return table


def best_of(table, records, quiet, limit_per_h):
    """(sensitivity, threshold) by trying every threshold."""
    hours_us = sum(quiet[each.record] for each in records)
    best = (-1, math.nan)
    for threshold, rows in table.items():
        onsets, found, alarms = (sum(rows[each.record][n] for each in records) for n in range(3))
        if alarms * 3_600_000_000 <= limit_per_h * hours_us and found > best[0]:
            best = (found, threshold)
    return ratio(best[0], onsets), best[1]


@pytest.mark.parametrize(("definition", "tolerance_s"), [("episodes", 2.5), ("episodes", 5.0), ("labels", 1.0)])
@pytest.mark.parametrize("seed", range(4))
def test_the_curve_and_its_intervals_are_those_of_loops(seed, definition, tolerance_s):
    detections = random_detections(seed)
    froc = sweep_thresholds(detections, definition, tolerance_s)
    table = loops(detections, definition, tolerance_s)
    quiet = {each.record: quiet_us(each) for each in detections.references}
    totals = {
        threshold: tuple(sum(row[n] for row in rows.values()) for n in (1, 2)) for threshold, rows in table.items()
    }
    swept = zip(froc.thresholds.tolist(), froc.found.sum(axis=1), froc.false_alarms.sum(axis=1), strict=True)
    for threshold, found, alarms in swept:
        assert totals[threshold] == (found, alarms)
    # A threshold that is left out changes nothing.
    kept = set(froc.thresholds.tolist())
    for (_, before), (threshold, now) in itertools.pairwise(totals.items()):
        assert threshold in kept or now == before
    for limit_per_h in (0.0, 20.0, 60.0, 1e6):
        line = froc.at(limit_per_h)
        sensitivity, threshold = best_of(table, detections.references, quiet, limit_per_h)
        np.testing.assert_array_equal((line.sensitivity, line.threshold), (sensitivity, threshold))
        drawn = [best_of(table, records, quiet, limit_per_h)[0] for records in drawn_records(detections)]
        np.testing.assert_array_equal((line.sensitivity_low, line.sensitivity_high), interval(drawn))


def test_a_comparison_by_hand():
    # Four subjects, each with two onsets; the control finds one of each, the study both of three and one of the last.
    # A fifth has none, and is no observation.
    references = (*(one_hour(name, 100, 200) for name in "abcd"), one_hour("e"))
    first, second = Candidate(100.0, 101.0, 0.9), Candidate(200.0, 201.0, 0.9)
    alarm = Candidate(1000.0, 1001.0, 0.1)
    control = Detections("rate", "data", references, {name: [first, alarm] for name in "abcd"})
    study = Detections("network", "data", references, {name: [first, second] for name in "abc"} | {"d": [second]})
    found = compare_at(sweep_thresholds(control), sweep_thresholds(study), 0.5)
    assert (found.control, found.study, found.limit_per_h) == ("rate", "network", 0.5)
    assert (found.subjects, found.onsets, found.control_found, found.study_found) == (4, 8, 4, 7)
    assert (found.subjects_better, found.subjects_worse, found.difference) == (3, 0, 3 / 8)
    # Differences 1, 1, 1, 0: of 16 sign patterns two have as large a sum.
    assert (found.p_greater, found.p_two_sided, found.p_error) == (2 / 16, 4 / 16, 0.0)
    assert (found.control_per_h, found.study_per_h) == (0.0, 0.0)
    with pytest.raises(ValueError, match="different records"):
        compare_at(sweep_thresholds(control), sweep_thresholds(study, "labels"), 0.5)
    with pytest.raises(ValueError, match="different records"):
        compare_at(sweep_thresholds(by_hand()), sweep_thresholds(study), 0.5)


@pytest.mark.parametrize("seed", range(6))
def test_a_comparison_is_that_of_loops(seed):
    study, control = random_detections(seed), random_detections(seed, "rate")
    assert study.references == control.references
    assert study.candidates != control.candidates
    line = compare_at(sweep_thresholds(control), sweep_thresholds(study), 60.0)
    quiet = {each.record: quiet_us(each) for each in study.references}
    found = []
    for detections in (control, study):
        table = loops(detections, "episodes", 2.5)
        found.append(table[best_of(table, detections.references, quiet, 60.0)[1]])
    subjects = sorted({each.group for each in study.references})
    own = {subject: [each.record for each in study.references if each.group == subject] for subject in subjects}
    onsets = [sum(found[1][record][0] for record in own[subject]) for subject in subjects]
    gains = [sum(found[1][record][1] - found[0][record][1] for record in own[subject]) for subject in subjects]
    kept = [gain for gain, number in zip(gains, onsets, strict=True) if number]
    assert (line.subjects, line.onsets, line.study_found - line.control_found) == (len(kept), sum(onsets), sum(gains))
    sums = [
        sum(s * gain for s, gain in zip(signs, kept, strict=True))
        for signs in itertools.product((1, -1), repeat=len(kept))
    ]
    assert line.p_greater == sum(value >= sum(kept) for value in sums) / len(sums)
    drawn = []
    for records in drawn_records(study):
        below = sum(found[1][each.record][0] for each in records)
        drawn.append(ratio(sum(found[1][each.record][1] - found[0][each.record][1] for each in records), below))
    np.testing.assert_array_equal((line.difference_low, line.difference_high), interval(drawn))
