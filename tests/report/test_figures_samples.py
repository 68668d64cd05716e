from __future__ import annotations

import csv
import math

import pytest
from made_study import shared_study

from siwcc.data.folds import STRATA_COLUMNS
from siwcc.evaluation.methods import AUGMENTED
from siwcc.evaluation.record_tests import RecordPoint, write_record_points
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.io.shards import read_shard
from siwcc.io.tables import read_lines
from siwcc.report.figures import records, samples
from siwcc.report.figures.style import FigureFiles


def read(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


# ---------------------------------------------------------------------- gaps


def test_gaps_by_hand():
    # Bins of 1 s: 0.5 in the first, 1.0 and 1.99 in the second, 19.99 in the last; 20 s is isolated already.
    bins = samples.count_gaps([0.5, 1.0, 1.99, 19.99, 20.0, 300.0, math.inf, math.inf, math.inf], 20.0)
    assert len(bins) == 22
    counts = {place: found.events for place, found in enumerate(bins) if found.events}
    assert counts == {0: 1, 1: 2, 19: 1, 20: 2, 21: 3}
    assert [found.isolated for found in bins] == [False] * 20 + [True, True]
    assert bins[1][:2] == pytest.approx((1.0, 2.0))
    assert bins[20][:2] == (20.0, math.inf)


def test_figure_of_the_gaps_counts_every_event_once(tmp_path, tmp_path_factory):
    study = shared_study(tmp_path_factory, "strict")
    files = FigureFiles.named(tmp_path, "gaps")
    samples.plot_gaps(study.folder / "ecg" / "strata.csv", 20.0, files)
    strata, rows = read(study.folder / "ecg" / "strata.csv"), read(files.data)
    assert sum(int(row["events"]) for row in rows) == len(strata)
    isolated = sum(int(row["events"]) for row in rows if row["isolated"] == "yes")
    assert isolated == sum(float(row["gap_s"]) >= 20.0 for row in strata) > 0
    assert files.svg.is_file()


def test_samples_that_are_no_events_have_no_gaps(tmp_path):
    path = tmp_path / "strata.csv"
    write_csv(path, STRATA_COLUMNS, [("a", "g", 1, "Parabasal", "")])
    with pytest.raises(InputError, match="gap_s"):
        samples.plot_gaps(path, 20.0, FigureFiles.named(tmp_path, "gaps"))


# ------------------------------------------------------------------- targets


def test_targets_by_hand():
    import numpy as np

    # 20 bins of 1 s; what lies outside counts at that end.
    edges, counts = samples.count_targets(np.array([-3.0, 0.2, 10.5, 10.6, 20.0, 25.0]), 20.0)
    assert edges[:3].tolist() == [0.0, 1.0, 2.0]
    assert {place: count for place, count in enumerate(counts.tolist()) if count} == {0: 2, 10: 2, 19: 2}


@pytest.mark.parametrize("kind", ["strict", "nuclei"])
def test_figure_of_the_targets_counts_the_copies_of_each_fold(kind, tmp_path, tmp_path_factory):
    study = shared_study(tmp_path_factory, kind)
    task = study.config.run[0]
    files = FigureFiles.named(tmp_path, "targets")
    samples.plot_targets(study.fold_paths(task), files)
    rows = read(files.data)
    outputs = [suffix.removeprefix("_") for suffix in study.spec(task).outputs]
    for fold, path in enumerate(study.fold_paths(task), 1):
        copies = int((read_shard(path, "fold", ("copy",)).arrays["copy"] > 0).sum())
        for output in outputs:
            own = [row for row in rows if (row["output"], row["fold"]) == (output, str(fold))]
            assert len(own) == 20
            assert sum(int(row["copies"]) for row in own) == copies
            assert sum(float(row["fraction"]) for row in own) == pytest.approx(1.0)


# ------------------------------------------------------------------- records


def point(record, control_error, study_error, **changes):
    values = {"task": "ecg", "variant": "full", "control": "coord", "study": "weighted", "family": "primary"}
    values |= {"control_variant": values["variant"]}
    values |= {"inputs": AUGMENTED, "subset": "all", "record": record, "rows": 4, "unit": "s"}
    values |= {"control_error": control_error, "study_error": study_error, "difference": study_error - control_error}
    return RecordPoint(**values | changes)


POINTS = [
    point("418", 1.0, 1.5),
    point("419", 2.0, 0.5),
    point("420", 1.0, 0.75),
    point("420", 1.0, 0.1, subset="isolated"),
    point("420", 1.0, 0.2, study="none"),
]


def test_points_come_back_as_they_were_written(tmp_path):
    write_record_points(tmp_path / "points.csv", POINTS)
    assert read_lines(tmp_path / "points.csv", RecordPoint) == POINTS


def test_damaged_points_are_refused(tmp_path):
    names = [*RecordPoint.__dataclass_fields__]
    write_csv(tmp_path / "points.csv", names, [["x"] * len(names)])
    with pytest.raises(InputError) as caught:
        read_lines(tmp_path / "points.csv", RecordPoint)
    assert caught.value.where == str(tmp_path / "points.csv")


def test_points_of_one_comparison_stand_with_the_largest_gain_first():
    chosen = records.select_points(POINTS, "ecg", "full", "coord", "weighted")
    assert [(one.record, one.difference) for one in chosen] == [("419", -1.5), ("420", -0.25), ("418", 0.5)]


@pytest.mark.parametrize("count", [1, 40, 41])
def test_figures_of_records_hold_every_record(count, tmp_path):
    points = [point(f"{i:03}", 1.0 + i / 10, 1.1 + i / 20) for i in range(count)]
    files = FigureFiles.named(tmp_path / "a", "records")
    records.plot_records(points, files)
    rows = read(files.data)
    assert [(row["record"], float(row["study_error"])) for row in rows] == [
        (one.record, one.study_error) for one in points
    ]
    assert {path.suffix for path in (tmp_path / "a").iterdir()} == {".svg", ".png", ".csv"}
