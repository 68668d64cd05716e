"""The false alarms and misses that are drawn, by hand."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from siwcc.data.curves import Curves, write_curves
from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import Candidate
from siwcc.evaluation.onset_tables import RecordLine, write_candidates, write_onset_table
from siwcc.io.errors import InputError
from siwcc.report.figures.onset_errors import ALARM, MISS, Case, find_cases
from siwcc.report.figures.style import FigureFiles, why_not_drawn
from siwcc.report.onsets import draw_onset_errors

RATE_HZ = 50.0
# One step a second.
CURVES = Curves(1.0, {name: np.full(100, 0.1, dtype=np.float32) for name in "ab"})
CURVES.by_record["b"][52] = 0.25


def a_record(name: str) -> RhythmRecord:
    """100 s, from 50 to 70 s VT."""
    signal = np.random.default_rng(1).normal(size=(2, 5000)).astype(np.float32)
    return RhythmRecord(name, name, RATE_HZ, signal, np.array([250, 2500, 3500]), ("N", "VT", "AF"), ("VT",))


def a_line(record: str, threshold: float, method: str = "network") -> RecordLine:
    counts = (0.1, 0.1, 1, 0, 0.0, 0, 0.0, 0, 0, 0.0)
    return RecordLine(method, "x", "episodes", 2.5, threshold, record, record, *counts)


RECORDS = [a_record("a"), a_record("b")]
CANDIDATES = {
    "a": [Candidate(2.0, 4.0, 0.9), Candidate(20.0, 21.0, 0.6), Candidate(50.5, 60.0, 0.5)],
    "b": [Candidate(50.5, 60.0, 0.5), Candidate(80.0, 81.0, 0.7), Candidate(90.0, 91.0, 0.95), Candidate(95, 96, 0.8)],
}


def test_each_record_has_its_own_threshold_and_at_most_two_panels_of_a_kind():
    found = find_cases(RECORDS, CANDIDATES, CURVES, {"a": 0.5, "b": 0.6})
    assert found == [
        Case(ALARM, "b", 90.0, 0.95, "AF"),
        Case(ALARM, "a", 2.0, 0.9, "not annotated"),
        Case(ALARM, "b", 95, 0.8, "AF"),
        Case(ALARM, "a", 20.0, 0.6, "N"),
        # The candidate at its onset does not count; the largest value within 2.5 s of it is at 52 s.
        Case(MISS, "b", 50.0, 0.25, "VT"),
    ]


def test_the_thresholds_are_those_of_the_networks_in_the_table(tmp_path):
    write_candidates(tmp_path / "x.csv", CANDIDATES)
    write_curves(tmp_path / "x.curves.h5", CURVES)
    files = FigureFiles.named(tmp_path, "figure")
    table = tmp_path / "onsets_by_record.csv"
    for lines in ([a_line("a", 0.7), a_line("b", 1.0), a_line("b", 0.1, "rate_rule")], [a_line("a", 0.7)]):
        write_onset_table(table, RecordLine, lines)
        if len(lines) == 1:
            with pytest.raises(InputError) as caught:
                draw_onset_errors("x", RECORDS, tmp_path / "x.csv", tmp_path / "x.curves.h5", table, files)
            assert caught.value.where == str(table)
            continue
        draw_onset_errors("x", RECORDS, tmp_path / "x.csv", tmp_path / "x.curves.h5", table, files)
        assert why_not_drawn(files.svg) is None
        with files.data.open(newline="") as handle:
            rows = [(row["kind"], row["record"], float(row["time_s"])) for row in csv.DictReader(handle)]
        assert rows == [(ALARM, "a", 2.0), (MISS, "a", 50.0), (MISS, "b", 50.0)]
