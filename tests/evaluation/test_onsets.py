from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from onset_brute_force import count, drawn_records, interval, quiet_us, random_detections, ratio

from siwcc.data.episodes import Candidate, make_reference
from siwcc.evaluation.onsets import (
    Detections,
    measure_by_label,
    measure_by_record,
    measure_episodes,
    measure_onsets,
)

EVENTS = ("VT", "VF")


def by_hand():
    """Two records of 1 h, A with VT at 100 ... 110 s and VF at 200 ... 220 s, B without; at 10 Hz."""
    a = make_reference("a", "A", [0, 1000, 1100, 2000, 2200], ["N", "VT", "N", "VF", "N"], EVENTS, 10.0, 3600.0)
    b = make_reference("b", "B", [0], ["N"], EVENTS, 10.0, 3600.0)
    found = [(98.0, 105.0, 0.9), (104.0, 111.0, 0.8), (203.5, 210.0, 0.7), (1000.0, 1010.0, 0.6)]
    candidates = {"a": [Candidate(*row) for row in found], "b": [Candidate(5.0, 5.0, 0.6), Candidate(6.0, 7.0, 0.2)]}
    return Detections("network", "data", (a, b), candidates)


def test_one_threshold_by_hand():
    lines = {(line.definition, line.tolerance_s): line for line in measure_onsets(by_hand(), 0.6)}
    assert len(lines) == 6
    line = lines["episodes", 2.5]
    assert (line.records, line.subjects, line.hours) == (2, 2, 2.0)
    assert line.nonmalignant_hours == pytest.approx(2 - 30 / 3600)
    # 98 s is found 2 s early; 104 and 203.5 s are late; 1000 s and 5 s of record b are false alarms.
    assert (line.onsets, line.found, line.candidates, line.late, line.false_alarms) == (2, 1, 5, 2, 2)
    assert (line.sensitivity, line.ppv) == (0.5, 0.2)
    assert line.false_alarms_per_h == pytest.approx(2 / (2 - 30 / 3600))
    assert (line.error_median_s, line.error_p90_s) == (2.0, 2.0)
    # Within 5 s 203.5 s is found, too; what is a false alarm does not change.
    line = lines["episodes", 5.0]
    assert (line.found, line.ppv, line.late, line.false_alarms) == (2, 0.4, 2, 2)
    assert (line.error_median_s, line.error_p90_s) == pytest.approx((2.75, 2 + 0.9 * 1.5))
    assert lines["episodes", 1.0].found == 0
    assert math.isnan(lines["episodes", 1.0].error_median_s)
    # No episode has two labels here.
    assert asdict(lines["labels", 2.5]) == asdict(lines["episodes", 2.5]) | {"definition": "labels"}


def test_records_and_labels_by_hand():
    a, b = measure_by_record(by_hand(), 0.6, tolerance_s=5.0)
    assert (a.record, a.subject, a.onsets, a.found, a.candidates, a.false_alarms, a.late) == ("a", "A", 2, 2, 4, 1, 2)
    assert (a.sensitivity, a.ppv) == (1.0, 0.5)
    assert a.false_alarms_per_h == pytest.approx(3600 / 3570)
    assert (b.onsets, b.found, b.candidates, b.false_alarms, b.false_alarms_per_h) == (0, 0, 1, 1, 1.0)
    assert math.isnan(b.sensitivity)
    labels = measure_by_label(by_hand(), 0.6)
    assert [(line.label, line.records, line.onsets, line.found) for line in labels] == [
        ("VF", 1, 1, 0),
        ("VT", 1, 1, 1),
    ]


def test_whole_episodes_by_hand():
    line = measure_episodes(by_hand(), 0.6)
    assert (line.episodes, line.detected, line.candidates, line.true_candidates) == (2, 2, 5, 3)
    # 98 ... 111 s has 10 s of 13 within the first, 203.5 ... 210 s all of 6.5; 1000 ... 1010 s has none.
    assert line.malignant_hours * 3600 == pytest.approx(30)
    assert line.candidate_hours * 3600 == pytest.approx(29.5, abs=1e-5)
    assert line.duration_sensitivity == pytest.approx(16.5 / 30)
    assert line.duration_ppv == pytest.approx(16.5 / 29.5, abs=1e-6)


def test_touching_is_no_overlap_and_a_moment_within_is():
    reference = make_reference("a", "A", [0, 100, 200], ["N", "VT", "N"], EVENTS, 10.0, 60.0)
    rows = {(5.0, 10.0): 0, (20.0, 25.0): 0, (20.0, 20.0): 0, (10.0, 10.0): 1, (19.9, 30.0): 1, (5.0, 30.0): 1}
    for row, expected in rows.items():
        line = measure_episodes(Detections("m", "d", (reference,), {"a": [Candidate(*row, 0.5)]}), 0.5)
        assert (line.detected, line.true_candidates) == (expected, expected), row


def test_near_an_episode_without_an_onset_candidates_do_not_count():
    reference = make_reference("a", "A", [5, 100, 300, 400], ["VT", "N", "VT", "N"], EVENTS, 10.0, 60.0)
    found = [Candidate(time_s, time_s + 1, 0.5) for time_s in (1.0, 30.0, 50.0)]
    (line,) = measure_onsets(Detections("m", "d", (reference,), {"a": found}), 0.5, ("episodes",), (2.5,))
    assert (line.onsets, line.found, line.candidates, line.false_alarms, line.ppv) == (1, 1, 2, 1, 0.5)
    # The paper's definition has an onset there.
    (line,) = measure_onsets(Detections("m", "d", (reference,), {"a": found}), 0.5, ("labels",), (2.5,))
    assert (line.onsets, line.found, line.candidates, line.false_alarms) == (2, 2, 3, 1)


def test_no_onset_and_no_candidate():
    nothing = Detections("m", "d", by_hand().references, {})
    line = measure_onsets(nothing, 0.5)[0]
    assert (line.onsets, line.found, line.sensitivity, line.candidates, line.false_alarms_per_h) == (2, 0, 0.0, 0, 0.0)
    assert math.isnan(line.ppv)
    quiet = by_hand().without_episodes()
    line = measure_onsets(quiet, 0.1)[0]
    assert (line.subset, line.records, line.onsets, line.false_alarms, line.false_alarms_per_h) == (
        *("without_episodes", 1, 0, 2),
        2.0,
    )
    assert math.isnan(line.sensitivity)
    assert math.isnan(line.false_alarms_per_h_low)
    assert measure_by_label(quiet, 0.1) == []
    empty = Detections("m", "d", (), {})
    assert measure_onsets(empty, 0.1)[0].records == 0
    assert math.isnan(measure_episodes(empty, 0.1).ppv)


@pytest.mark.parametrize("definition", ["episodes", "labels"])
@pytest.mark.parametrize("seed", range(6))
def test_lines_and_intervals_are_those_of_loops(seed, definition):
    detections, threshold = random_detections(seed), 0.4
    for tolerance_s in (1.0, 2.5, 5.0):
        (line,) = measure_onsets(detections, threshold, (definition,), (tolerance_s,))
        counts = {
            each.record: count(each, detections.candidates[each.record], definition, tolerance_s, threshold)
            for each in detections.references
        }
        quiet = {each.record: quiet_us(each) for each in detections.references}

        def values(records, counts=counts, quiet=quiet):
            onsets, found, candidates, alarms, late = (sum(counts[r.record][n] for r in records) for n in range(5))
            per_h = ratio(alarms * 3_600_000_000, sum(quiet[r.record] for r in records))
            return onsets, found, candidates, alarms, late, ratio(found, onsets), ratio(found, candidates), per_h

        expected = values(detections.references)
        assert (line.onsets, line.found, line.candidates, line.false_alarms, line.late) == expected[:5]
        np.testing.assert_array_equal((line.sensitivity, line.ppv, line.false_alarms_per_h), expected[5:])
        drawn = np.array([values(records)[5:] for records in drawn_records(detections)])
        for name, column in zip(("sensitivity", "ppv", "false_alarms_per_h"), drawn.T, strict=True):
            ends = (getattr(line, f"{name}_low"), getattr(line, f"{name}_high"))
            np.testing.assert_array_equal(ends, interval(column))
        errors = [error / 1e6 for row in counts.values() for error in row[5]]
        if errors:
            found = (line.error_median_s, line.error_p90_s)
            # Differences of times in floating point, not of whole microseconds.
            assert found == pytest.approx(tuple(np.percentile(errors, [50, 90])), abs=2e-6)


@pytest.mark.parametrize("seed", range(6))
def test_records_and_labels_are_those_of_loops(seed):
    detections = random_detections(seed)
    lines = measure_by_record(detections, 0.4, "labels", 1.0)
    for line, reference in zip(lines, detections.references, strict=True):
        expected = count(reference, detections.candidates[reference.record], "labels", 1.0, 0.4)
        assert (line.onsets, line.found, line.candidates, line.false_alarms, line.late) == expected[:5]
    labels = measure_by_label(detections, 0.4, "labels", 1.0)
    assert sum(line.onsets for line in labels) == sum(line.onsets for line in lines)
    assert sum(line.found for line in labels) == sum(line.found for line in lines)
    for line in labels:
        onsets = [sum(label == line.label for _, label in each.changes) for each in detections.references]
        assert (line.onsets, line.records) == (sum(onsets), np.count_nonzero(onsets))


@pytest.mark.parametrize("seed", range(12))
def test_durations_are_those_of_a_mask(seed):
    # Times on a grid of half seconds, durations counted cell by cell.
    rng = np.random.default_rng(seed)
    changes = np.sort(rng.integers(0, 200, 8))
    reference = make_reference("a", "A", changes, rng.choice(["N", "VT"], 8).tolist(), EVENTS, 2.0, 100.0)
    begins = rng.integers(0, 180, 10)
    ends = begins + rng.integers(1, 20, 10)
    candidates = [Candidate(b / 2, e / 2, 0.5) for b, e in zip(begins.tolist(), ends.tolist(), strict=True)]
    line = measure_episodes(Detections("m", "d", (reference,), {"a": candidates}), 0.5)
    found, true = np.zeros(200, dtype=bool), np.zeros(200, dtype=bool)
    for begin, end in zip(begins, ends, strict=True):
        found[begin:end] = True
    spans = [(int(2 * episode.onset_s), int(2 * episode.end_s)) for episode in reference.episodes]
    for begin, end in spans:
        true[begin:end] = True
    assert line.detected == sum(bool(found[begin:end].any()) for begin, end in spans)
    assert line.true_candidates == sum(bool(true[b:e].any()) for b, e in zip(begins, ends, strict=True))
    assert line.duration_ppv == (found & true).sum() / found.sum()
    if true.any():
        assert line.duration_sensitivity == (found & true).sum() / true.sum()
