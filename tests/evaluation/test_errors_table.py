from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score
from tolerances import FLOAT64, assert_same

from siwcc.config import parse_config
from siwcc.data.tasks.interface import ErrorLimits, task_module
from siwcc.evaluation import errors_table
from siwcc.io.files import write_csv

pytestmark = pytest.mark.numeric

LIMITS = ErrorLimits("s", 0.5, 1.0, isolated_s=20.0)
COLUMNS = ("sample_id", "copy", "target", "prediction")


def run_path(folder, encoding="coord", fold=1, seed=42, task="ecg"):
    return folder / task / encoding / "full" / f"fold{fold}" / f"seed{seed}" / "predictions.csv"


def strata_of(folder, lines, task="ecg"):
    path = folder / task / "strata.csv"
    write_csv(path, ("sample_id", "group", "fold", "class", "gap_s"), lines)
    return path


@pytest.fixture
def by_hand(tmp_path):
    """Two folds of two samples, one seed, and a baseline without unaugmented rows."""
    strata = strata_of(
        tmp_path,
        [("a", "A", 1, "VT", "inf"), ("b", "A", 1, "VF", 3.0), ("c", "C", 2, "VT", 20.0), ("d", "D", 2, "VT", 19.0)],
    )
    write_csv(run_path(tmp_path), COLUMNS, [("a", 0, 1.0, 1.5), ("a", 1, 2.0, 3.0), ("b", 1, 6.0, 3.0)])
    write_csv(run_path(tmp_path, fold=2), COLUMNS, [("c", 0, 4.0, 4.0), ("c", 1, 1.0, 6.0), ("d", 1, 3.0, 3.0)])
    baseline = tmp_path / "ecg" / "baselines" / "training_mean" / "predictions.csv"
    write_csv(baseline, COLUMNS, [("a", 1, 2.0, 4.0), ("b", 1, 6.0, 4.0), ("c", 1, 1.0, 2.0), ("d", 1, 3.0, 2.0)])
    runs = [run_path(tmp_path, fold=fold) for fold in (1, 2)]
    return errors_table.measure_study(runs, [baseline], [strata], {"ecg": LIMITS})


def test_errors_by_hand(by_hand):
    by = {(line.method, line.inputs, line.subset): line for line in by_hand.overall}
    net = by["coord", "augmented", "all"]
    assert (net.samples, net.folds, net.seeds, net.rows) == (4, 2, 1, 4)
    assert (net.median, net.mean) == (2.0, 2.25)  # errors 0, 1, 3, 5
    assert net.p90 == pytest.approx(3 + 0.7 * 2)  # numpy's linear: place 2.7 of 0 ... 3
    assert_same(net.r2, np.mean([r2_score([2, 6], [3, 3]), r2_score([1, 3], [6, 3])]), FLOAT64)
    assert (net.within_fine, net.within_coarse) == (0.25, 0.5)  # 1 s is within 1 s
    assert (net.limit_fine, net.limit_coarse, net.unit) == (0.5, 1.0, "s")
    clean = by["coord", "unaugmented", "all"]
    assert (clean.median, clean.within_fine) == (0.25, 1.0)  # 0.5 s is within 0.5 s
    isolated = by["coord", "augmented", "isolated"]
    assert (isolated.samples, isolated.rows, isolated.mean) == (2, 2, 3.0)  # a and c: 1, 5
    assert math.isnan(isolated.r2)  # one row a fold
    mean = by["training_mean", "augmented", "all"]
    assert mean.r2 == pytest.approx(0.0)
    assert (mean.variant, mean.seeds) == ("", 0)
    assert ("training_mean", "unaugmented", "all") not in by


def test_errors_of_each_record_and_label_by_hand(by_hand):
    by = {
        (line.stratum_by, line.stratum): line
        for line in by_hand.by_stratum
        if (line.method, line.inputs, line.subset) == ("coord", "augmented", "all")
    }
    assert {name: line.mean for (kind, name), line in by.items() if kind == "group"} == {"A": 2.0, "C": 5.0, "D": 0.0}
    assert {name: line.mean for (kind, name), line in by.items() if kind == "class"} == {"VF": 3.0, "VT": 2.0}
    assert (by["class", "VT"].folds, by["class", "VT"].samples) == (2, 3)
    # Pooled over folds: targets 2, 1, 3 predicted 3, 6, 3.
    assert_same(by["class", "VT"].r2, r2_score([2, 1, 3], [3, 6, 3]), FLOAT64)
    assert math.isnan(by["group", "C"].r2)
    overall = {line.mean for line in by_hand.overall if (line.method, line.subset) == ("coord", "all")}
    assert overall == {2.25, 0.25}


def test_a_stratum_averages_r2_over_seeds_not_folds(tmp_path):
    strata = strata_of(tmp_path, [("a", "A", 1, "n", ""), ("b", "B", 2, "n", "")], "nuclei")
    columns = ("sample_id", "copy", "target_x", "target_y", "prediction_x", "prediction_y")
    rng = np.random.default_rng(0)
    parts, runs = {}, []
    for fold, sample in ((1, "a"), (2, "b")):
        for seed in (1, 2, 3):
            parts[fold, seed] = rng.normal(size=(6, 4)).round(6)
            runs.append(run_path(tmp_path, fold=fold, seed=seed, task="nuclei"))
            write_csv(runs[-1], columns, [(sample, 1 + row, *cells) for row, cells in enumerate(parts[fold, seed])])
    errors = errors_table.measure_study(runs, [], [strata], {"nuclei": ErrorLimits("px", 5.0, 10.0)})
    (label,) = [line for line in errors.by_stratum if line.stratum_by == "class"]
    pooled = [np.concatenate([parts[1, seed], parts[2, seed]]) for seed in (1, 2, 3)]
    assert_same(label.r2, np.mean([r2_score(rows[:, :2], rows[:, 2:]) for rows in pooled]), FLOAT64)
    assert (label.folds, label.seeds, label.rows, label.samples) == (2, 3, 36, 2)
    (overall,) = errors.overall
    assert_same(overall.r2, np.mean([r2_score(rows[:, :2], rows[:, 2:]) for rows in parts.values()]), FLOAT64)
    distance = np.concatenate([np.hypot(*(rows[:, 2:] - rows[:, :2]).T) for rows in parts.values()])
    assert_same(overall.mean, distance.mean(), FLOAT64)
    assert {line.subset for line in errors.overall} == {"all"}


def test_an_prediction_that_is_no_number_is_not_within(tmp_path):
    strata = strata_of(tmp_path, [("a", "A", 1, "VT", 30.0)])
    write_csv(run_path(tmp_path), COLUMNS, [("a", 1, 2.0, 2.0), ("a", 2, 2.0, "nan")])
    errors = errors_table.measure_study([run_path(tmp_path)], [], [strata], {"ecg": LIMITS})
    line = errors.overall[0]
    assert math.isnan(line.mean)
    assert line.within_coarse == 0.5


def test_both_files(tmp_path, by_hand):
    errors_table.write_errors(tmp_path / "errors.csv", by_hand.overall)
    errors_table.write_errors_by_stratum(tmp_path / "strata.csv", by_hand.by_stratum)
    overall, by_stratum = (pd.read_csv(tmp_path / name) for name in ("errors.csv", "strata.csv"))
    measures = ["samples", "folds", "seeds", "rows", "median", "p90", "mean", "r2", "within_fine", "within_coarse"]
    measures += ["limit_fine", "limit_coarse", "unit"]
    keys = ["task", "method", "variant", "inputs", "subset"]
    assert list(overall) == keys + measures
    assert list(by_stratum) == [*keys, "stratum_by", "stratum", *measures]
    assert overall["mean"].tolist() == [line.mean for line in by_hand.overall]
    assert len(by_stratum) == len(by_hand.by_stratum)
    # Baselines come first, then networks; within one, augmented before unaugmented.
    assert overall["method"].tolist() == ["training_mean"] * 2 + ["coord"] * 4
    assert overall["inputs"].tolist() == ["augmented"] * 4 + ["unaugmented"] * 2


def test_limits_of_the_tasks():
    config = parse_config(
        {
            "tasks": {"nuclei": {"dataset": "small"}},
            "datasets": {"vfdb": {"format": "vfdb"}, "small": {"format": "herlev", "image_size": 128}},
        }
    )
    found = {}
    for task in ("ecg", "nuclei"):
        module, settings = task_module(config.kind_of(task)), config.task(task)
        found[task] = module.error_limits(module.make_spec(settings, config.dataset_of(task)), settings.limits)
    assert found["ecg"] == ErrorLimits("s", 0.5, 1.0, isolated_s=20.0)
    assert found["nuclei"] == ErrorLimits("px", pytest.approx(6.4), pytest.approx(12.8), isolated_s=None)
