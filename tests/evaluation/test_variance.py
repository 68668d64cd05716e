from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest

from siwcc.evaluation import statistics, variance
from siwcc.io.files import write_csv

pytestmark = pytest.mark.numeric

CLAIM = [("coord", "weighted")]
CONTROL = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
STUDY = [[0.51, 0.52], [0.53, 0.55], [0.58, 0.58]]  # hundredths 1, 2, 3, 5, 8, 8 above the control


def write_logs(folder, encoding, table, variant="full", epochs=6):
    """Curves that rise to the table's value."""
    paths = []
    for fold, row in enumerate(table, 1):
        for seed, last in enumerate(row, 42):
            path = folder / "ecg" / encoding / variant / f"fold{fold}" / f"seed{seed}" / "log.csv"
            curve = [(epoch, 0.9, last - 0.1 / epoch + 0.1 / epochs) for epoch in range(1, epochs)]
            write_csv(path, ("epoch", "train_r2", "test_r2"), [*curve, (epochs, 0.9, last)])
            paths.append(path)
    return paths


def rows_of(paths, comparisons=CLAIM):
    return {(row.kind, row.study, row.metric): row for row in variance.split_study(paths, comparisons)}


def test_the_difference_by_hand(tmp_path):
    # The table that tests/evaluation/test_statistics.py works out, in hundredths: 10.5, 1/3 and 1/2 hundredths squared.
    paths = write_logs(tmp_path, "coord", CONTROL) + write_logs(tmp_path, "weighted", STUDY)
    row = rows_of(paths)["difference", "weighted", "test_r2"]
    assert (row.task, row.variant, row.control, row.folds, row.seeds, row.note) == ("ecg", "full", "coord", 3, 2, "")
    assert row.mean == pytest.approx(0.045)
    assert (row.var_fold, row.var_seed, row.var_residual) == pytest.approx((10.5e-4, 1e-4 / 3, 0.5e-4))
    total = 10.5 + 1 / 3 + 0.5
    assert (row.fraction_fold, row.fraction_seed, row.fraction_residual) == pytest.approx(
        (10.5 / total, 1 / 3 / total, 0.5 / total)
    )
    assert row.se_seeds == pytest.approx(math.sqrt(1e-4 / 3 / 2))


def test_an_arm_and_a_constant_one(tmp_path):
    paths = write_logs(tmp_path, "coord", CONTROL) + write_logs(tmp_path, "weighted", STUDY)
    rows = rows_of(paths)
    arm = rows["arm", "weighted", "test_r2"]
    assert (arm.control, arm.mean) == ("", pytest.approx(0.545))
    assert arm.var_fold == pytest.approx(10.5e-4)
    constant = rows["arm", "coord", "train_r2"]
    assert (constant.var_fold, constant.var_seed, constant.var_residual) == (0.0, 0.0, 0.0)
    assert math.isnan(constant.fraction_fold)


def test_below_zero_is_shown_as_zero_and_kept(tmp_path):
    row = rows_of(write_logs(tmp_path, "coord", [[0.1, 0.2], [0.2, 0.1]]), [])["arm", "coord", "test_r2"]
    assert (row.var_fold, row.var_seed) == (0.0, 0.0)
    assert (row.raw_fold, row.raw_seed) == pytest.approx((-0.005, -0.005))
    assert row.var_residual == pytest.approx(0.01)
    assert (row.fraction_fold, row.fraction_seed, row.fraction_residual, row.se_seeds) == (0.0, 0.0, 1.0, 0.0)


def test_instability_of_each_run_is_split(tmp_path):
    rng = np.random.default_rng(0)
    paths, table = [], np.zeros((2, 3))
    for fold in (1, 2):
        for seed in (1, 2, 3):
            curve = rng.normal(0.5, 0.1, 8)
            table[fold - 1, seed - 1] = statistics.instability(range(1, 9), curve).value
            paths.append(tmp_path / "ecg" / "none" / "full" / f"fold{fold}" / f"seed{seed}" / "log.csv")
            write_csv(paths[-1], ("epoch", "train_r2", "test_r2"), [(e, 0.9, r2) for e, r2 in enumerate(curve, 1)])
    row = rows_of(paths, [])["arm", "none", "instability"]
    expected = statistics.split_variance(table)
    assert (row.raw_fold, row.raw_seed, row.var_residual) == (expected.fold, expected.seed, expected.residual)


def test_one_seed_says_why(tmp_path):
    row = rows_of(write_logs(tmp_path, "coord", [[0.1], [0.3]]), [])["arm", "coord", "test_r2"]
    assert row.note
    assert row.mean == pytest.approx(0.2)
    assert np.isnan([row.var_fold, row.var_seed, row.var_residual, row.fraction_seed, row.raw_seed, row.se_seeds]).all()


def test_what_is_missing_is_named(tmp_path):
    paths = write_logs(tmp_path, "coord", CONTROL) + write_logs(tmp_path, "weighted", STUDY)[:-1]
    rows = rows_of(paths)
    assert rows["arm", "weighted", "test_r2"].note
    assert math.isnan(rows["difference", "weighted", "test_r2"].var_fold)
    assert rows["difference", "weighted", "test_r2"].note == rows["arm", "weighted", "test_r2"].note
    assert rows["arm", "coord", "test_r2"].note == ""
    assert ("difference", "weighted", "test_r2") not in rows_of(paths[:6])


def test_too_few_epochs_for_instability_is_the_reason(tmp_path):
    rows = rows_of(write_logs(tmp_path, "coord", CONTROL, epochs=3), [])
    assert re.findall(r"\d+", rows["arm", "coord", "instability"].note) == ["5", "3"]
    assert rows["arm", "coord", "test_r2"].note == ""


def test_models_stay_apart_and_the_file_holds_every_row(tmp_path):
    paths = write_logs(tmp_path, "coord", CONTROL) + write_logs(tmp_path, "coord", STUDY, "reduced")
    rows = variance.split_study(paths, CLAIM)
    variance.write_variance(tmp_path / "v.csv", rows)
    table = pd.read_csv(tmp_path / "v.csv")
    assert table["variant"].tolist() == ["full"] * 3 + ["reduced"] * 3
    assert table["metric"].tolist() == ["instability", "test_r2", "train_r2"] * 2
    assert list(table)[:9] == ["kind", "task", "variant", "control", "study", "metric", "folds", "seeds", "mean"]
    assert table["mean"].tolist() == [row.mean for row in rows]
