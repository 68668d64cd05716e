"""Folds by sample against folds by record, event by event; values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_study import made_config

from siwcc.analyses.leakage_ablation import APART, BOTH, NO_PADDING, PAPERS, Cell
from siwcc.analyses.window_overlap import WindowOverlap, measure_overlap, nearest_trained_s, write_window_overlap
from siwcc.config import write_config
from siwcc.evaluation.methods import read_strata
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv, write_manifest
from siwcc.io.shards import read_shard, shard_writer
from siwcc.io.tables import read_lines

pytestmark = pytest.mark.numeric

# Id, record, second, fold by sample, fold by record. A window is 20 s.
EVENTS = [
    ("a", "r1", 100.0, 1, 1),
    ("b", "r1", 110.0, 2, 1),
    ("c", "r1", 135.0, 1, 1),
    ("d", "r2", 5.0, 2, 2),
    ("e", "r1", 500.0, 2, 1),
    ("f", "r3", 9.0, 1, 2),
    ("g", "r3", 17.0, 2, 2),
]
ERROR = {"sample": dict(zip("abcdefg", (1, 2, 3, 4, 5, 6, 7), strict=True))}
# What is lost with folds by record: 1, 3, 5, -1, 2, 2 and 4 s.
ERROR["group"] = dict(zip("abcdefg", (2, 5, 8, 3, 7, 8, 11), strict=True))


def write_cell(root, protocol) -> Cell:
    tasks = {"ecg": {"dataset": "synthetic", "copies_per_sample": 2, "shift": protocol.shift}}
    name = f"{protocol.folds_by}-{protocol.shift}"
    config = made_config(
        study=name, folds=2, folds_by=protocol.folds_by, encodings=["coord"], comparisons=[], tasks=tasks
    )
    folder = root / name
    write_config(folder / "config.json", config)
    of_fold = 3 if protocol.folds_by == "sample" else 4
    strata = [(event[0], event[1], event[of_fold], "VT", math.inf) for event in EVENTS]
    write_csv(folder / "ecg" / "strata.csv", ("sample_id", "group", "fold", "class", "gap_s"), strata)
    for fold in (1, 2):
        rows = []
        for event in EVENTS:
            if event[of_fold] == fold:
                error = ERROR[protocol.folds_by][event[0]]
                # Two copies, half a second to either side of the mean error; the sample itself does not count.
                rows += [(event[0], 0, 0.0, 19.0), (event[0], 1, 1.0, 1.5 + error), (event[0], 2, 9.0, 9.5 - error)]
        path = folder / "ecg" / "coord" / "full" / f"fold{fold}" / "seed42" / "predictions.csv"
        write_csv(path, ("sample_id", "copy", "target", "prediction"), rows)
    return Cell(protocol, folder, config)


def write_samples(root, names) -> None:
    times = {event[0]: round(250 * event[2]) for event in EVENTS}
    records = {event[0]: event[1] for event in EVENTS}
    with shard_writer(root / "data" / "samples" / "synthetic.h5", "samples", {"rate_hz": 250.0}) as writer:
        ids = np.array(list(names), dtype=object)
        record = np.array([records[name] for name in names], dtype=object)
        writer.extend({"sample_id": ids, "record": record, "event_sample": np.array([times[name] for name in names])})


@pytest.fixture
def cells(tmp_path):
    write_samples(tmp_path, "abcdefg")
    return [write_cell(tmp_path, protocol) for protocol in (PAPERS, NO_PADDING, APART, BOTH)]


def test_distances_are_to_events_of_the_record_in_other_folds(cells):
    strata = read_strata(cells[0].folder / "ecg" / "strata.csv")
    record, time_s = np.array([event[1] for event in EVENTS], dtype=object), np.array([event[2] for event in EVENTS])
    assert nearest_trained_s(strata, record, time_s).tolist() == [10, 10, 25, math.inf, 365, 8, 8]
    # e in another record of the same group: no time between the two.
    record[4] = "r1_later"
    assert nearest_trained_s(strata, record, time_s).tolist() == [10, 10, 25, math.inf, math.inf, 8, 8]


def test_the_same_events_with_both_kinds_of_folds(cells, tmp_path):
    lines = measure_overlap(cells, tmp_path / "data")
    assert [(line.shift, line.from_s, line.below_s) for line in lines] == [
        (shift, *limits)
        for shift in ("zero_fill", "rewindow")
        for limits in ((0, 20), (20, 40), (40, math.inf), (math.inf, math.inf))
    ]
    near, further, apart, none = lines[:4]
    # a, b, f and g.
    assert (near.events, near.records, near.by_sample, near.by_group, near.difference) == (4, 2, 4.0, 6.5, 2.5)
    # Of two records a draw has one, the other or both: 2, 3 or 2.5 s.
    assert (near.ci_low, near.ci_high) == (2.0, 3.0)
    assert (further.events, further.by_sample, further.by_group, further.difference) == (1, 3.0, 8.0, 5.0)
    assert (apart.events, apart.difference, apart.unit) == (1, 2.0, "s")
    assert (none.events, none.difference) == (1, -1.0)
    # One record is drawn from no others.
    assert math.isnan(none.ci_low)


def test_the_table_is_read_as_it_was_written(cells, tmp_path):
    lines = measure_overlap(cells, tmp_path / "data")
    write_window_overlap(tmp_path / "window_overlap.csv", lines)
    assert read_lines(tmp_path / "window_overlap.csv", WindowOverlap)[0] == lines[0]


def test_samples_that_were_made_anew_are_refused(cells, tmp_path):
    digest = read_shard(tmp_path / "data" / "samples" / "synthetic.h5", "samples", ()).digest
    for cell in cells:
        strata = cell.folder / "ecg" / "strata.csv"
        write_manifest(strata.with_name("manifest.json"), "", (strata,), samples_digest=digest)
    assert measure_overlap(cells, tmp_path / "data")
    (tmp_path / "data" / "samples" / "synthetic.h5").unlink()
    write_samples(tmp_path, "gfedcba")
    with pytest.raises(InputError) as caught:
        measure_overlap(cells, tmp_path / "data")
    assert caught.value.where == str(tmp_path / "data" / "samples" / "synthetic.h5")
    assert str(cells[0].folder / "ecg" / "strata.csv") in caught.value.problem


def test_samples_that_are_not_those_of_the_folds_are_refused(cells, tmp_path):
    write_samples(tmp_path, "abcdef")
    with pytest.raises(InputError, match="has no g,") as caught:
        measure_overlap(cells, tmp_path / "data")
    assert caught.value.where == str(tmp_path / "data" / "samples" / "synthetic.h5")
    assert str(cells[0].folder) in caught.value.problem
