from __future__ import annotations

import numpy as np
import pytest
from onset_brute_force import random_detections

from siwcc.data.episodes import Candidate, Episode, LabelOnset, Reference
from siwcc.evaluation.onset_froc import sweep_thresholds
from siwcc.evaluation.onset_tables import (
    FrocPoint,
    OnsetLine,
    RateLine,
    read_candidates,
    write_candidates,
    write_onset_table,
)
from siwcc.evaluation.onsets import measure_onsets
from siwcc.io.errors import InputError
from siwcc.io.tables import read_lines

RECORDS = [
    Reference(
        *("a", "A", 60.0),
        (Episode(0.5, 4.0, "VT", False), Episode(10.0, 20.1, "VF")),
        (LabelOnset(0.5, "VT"), LabelOnset(10.0, "VF"), LabelOnset(0.1 + 12, "VT")),
    ),
    Reference("b", "A", 30.0, (), ()),
]


def test_candidates_come_back_in_the_order_of_time(tmp_path):
    path = tmp_path / "candidates.csv"
    found = {"b": [], "a": [Candidate(np.float64(5.0), 6, 0.1 + 0.2), Candidate(1 / 3, 1 / 3, np.float32(1.0))]}
    write_candidates(path, found)
    assert path.read_text().splitlines() == [
        "record,onset_s,end_s,score",
        "a,0.3333333333333333,0.3333333333333333,1.0",
        "a,5.0,6.0,0.30000000000000004",
    ]
    assert read_candidates(path, RECORDS) == {"a": sorted(found["a"]), "b": []}


@pytest.mark.parametrize(
    "text",
    [
        "record,onset_s,end_s\na,1,2\n",
        "record,onset_s,end_s,score\na,1,2,x\n",
        "record,onset_s,end_s,score\na,1,2,nan\n",
        "record,onset_s,end_s,score\na,1,2,1.1\n",
        "record,onset_s,end_s,score\na,1,2,-0.1\n",
        "record,onset_s,end_s,score\na,2,1,0.5\n",
        "record,onset_s,end_s,score\na,-1,1,0.5\n",
        "record,onset_s,end_s,score\na,61,62,0.5\n",
        "record,onset_s,end_s,score\na,1,inf,0.5\n",
        "record,onset_s,end_s,score\nc,1,2,0.5\n",
    ],
)
def test_damaged_candidates_are_refused(tmp_path, text):
    path = tmp_path / "candidates.csv"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_candidates(path, RECORDS)
    assert refused.value.where == str(path)


def test_tables_hold_every_number_in_full(tmp_path):
    detections = random_detections(1)
    froc = sweep_thresholds(detections)
    tables = {OnsetLine: measure_onsets(detections, 0.4), FrocPoint: froc.points(), RateLine: [froc.at(20.0)]}
    for kind, lines in tables.items():
        path = tmp_path / f"{kind.__name__}.csv"
        write_onset_table(path, kind, lines)
        assert list(map(repr, read_lines(path, kind))) == list(map(repr, lines))
