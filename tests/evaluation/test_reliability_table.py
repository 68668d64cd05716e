from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tolerances import FLOAT64, assert_same

from siwcc.data.folds import STRATA_COLUMNS
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.calibration import fit_map
from siwcc.evaluation.reliability_table import (
    CALIBRATED,
    RAW,
    ReliabilityBin,
    calibrate_arm,
    measure_reliability,
    write_reliability,
)
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, write_csv
from siwcc.io.tables import read_lines
from siwcc.report.figures.reliability import plot_reliability, select_bins
from siwcc.report.figures.style import FigureFiles
from siwcc.report.figures.worst import choose_worst

LIMITS = {"ecg": ErrorLimits("s", 0.5, 1.0)}
FOLDS, RECORDS, EVENTS, COPIES = 3, 12, 10, 3


@pytest.fixture(scope="module")
def arm(tmp_path_factory) -> tuple[list[Path], Path]:
    """Three folds of four records; the probability of being within 1 s is half the confidence."""
    root = tmp_path_factory.mktemp("reliability") / "ecg"
    rng = np.random.default_rng(11)
    strata, paths = [], []
    for fold in range(1, FOLDS + 1):
        rows = []
        for record in range(RECORDS):
            if record % FOLDS + 1 != fold:
                continue
            for event in range(EVENTS):
                sample_id = f"{record:03}_{event}"
                strata.append([sample_id, f"{record:03}", fold, "VT", "inf"])
                for copy in range(COPIES + 1):
                    sure = round(rng.uniform(0.1, 1), 6)
                    off = 0.5 if rng.uniform() < sure / 2 else 5.0
                    rows.append([sample_id, copy, "10.0", f"{10 + off}", f"{sure}"])
        paths.append(root / f"none/heatmap/fold{fold}/seed42/predictions.csv")
        write_csv(paths[-1], ("sample_id", "copy", "target", "prediction", "confidence"), rows)
    write_csv(root / "strata.csv", STRATA_COLUMNS, sorted(strata))
    return paths, root / "strata.csv"


@pytest.mark.numeric
def test_the_tables_are_those_of_the_predictions(arm) -> None:
    found = measure_reliability(arm[0], [arm[1]], LIMITS)
    assert [(one.inputs, one.kind) for one in found.scores] == [
        ("augmented", RAW),
        ("augmented", CALIBRATED),
        ("unaugmented", RAW),
        ("unaugmented", CALIBRATED),
    ]
    rows = [row for path in arm[0] for row in csv.DictReader(path.open(newline=""))]
    copies = [row for row in rows if row["copy"] != "0"]
    within = np.array([float(row["prediction"]) < 11 for row in copies])
    sure = np.array([float(row["confidence"]) for row in copies])
    raw, calibrated = found.scores[:2]
    assert (raw.rows, raw.records, raw.folds, raw.seeds) == (RECORDS * EVENTS * COPIES, RECORDS, FOLDS, 1)
    assert_same((raw.within, raw.mean, raw.brier), (within.mean(), sure.mean(), ((sure - within) ** 2).mean()), FLOAT64)
    assert (raw.balance, calibrated.balance) == (None, 0.5)
    # Sure twice as often as right: calibration halves it.
    assert calibrated.mean == pytest.approx(raw.mean / 2, abs=0.06)
    assert calibrated.ece < 0.5 * raw.ece
    assert calibrated.brier < raw.brier
    shown = [line for line in found.bins if (line.inputs, line.kind) == ("augmented", RAW)]
    assert [line.bin for line in shown] == [1, 2, 3, 4, 5]
    assert sum(line.rows for line in shown) == raw.rows
    lowest = np.sort(sure)[: shown[0].rows]
    assert (shown[0].lowest, shown[0].highest) == (lowest[0], lowest[-1])
    assert_same(shown[0].within, within[np.argsort(sure)][: shown[0].rows].mean(), FLOAT64)
    assert_same(shown[0].mean, np.sort(sure)[: shown[0].rows].mean(), FLOAT64)
    assert all(line.ci_low <= line.within <= line.ci_high for line in shown)


def test_what_ships_is_fitted_on_the_copies_of_every_fold(arm) -> None:
    found = calibrate_arm(arm[0], arm[1], LIMITS["ecg"])
    rows = [row for path in arm[0] for row in csv.DictReader(path.open(newline="")) if row["copy"] != "0"]
    wanted = fit_map(
        np.array([float(row["confidence"]) for row in rows]),
        np.array([float(row["prediction"]) < 11 for row in rows]),
        np.array([row["sample_id"][:3] for row in rows]),
    )
    assert found.confidence == tuple(wanted.confidence.tolist())
    assert found.probability == tuple(wanted.probability.tolist())
    assert (found.rows, found.records, found.folds, found.inputs) == (len(rows), RECORDS, FOLDS, "augmented")
    assert calibrate_arm(list(reversed(arm[0])), arm[1], LIMITS["ecg"]) == found


def test_predictions_without_a_confidence_have_no_line_and_no_calibration(arm, tmp_path) -> None:
    paths = []
    for path in arm[0]:
        with path.open(newline="") as handle:
            rows = [
                [row[name] for name in ("sample_id", "copy", "target", "prediction")] for row in csv.DictReader(handle)
            ]
        paths.append(tmp_path / "ecg" / path.relative_to(arm[1].parent))
        write_csv(paths[-1], ("sample_id", "copy", "target", "prediction"), rows)
    found = measure_reliability(paths, [arm[1]], LIMITS)
    assert (found.bins, found.scores) == ([], [])
    with pytest.raises(InputError) as caught:
        calibrate_arm(paths, arm[1], LIMITS["ecg"])
    assert caught.value.where == str(paths[0])


def test_copies_whose_point_is_hidden_are_left_out(arm, tmp_path) -> None:
    """Of several points the first may not be visible: nothing to be right or wrong about."""
    columns = ("sample_id", "copy", "target_onset", "target_end", "prediction_onset", "prediction_end")
    columns += ("confidence_onset", "confidence_end")
    tables = {}
    for hides in (False, True):
        root, paths = tmp_path / str(hides) / "ecg", []
        for path in arm[0]:
            rows = []
            for number, row in enumerate(read_csv(path, ())):
                target = "" if hides and number % 7 == 0 else row["target"]
                if hides or number % 7:
                    predictions = (target, "", row["prediction"], "3.0", row["confidence"], "0.5")
                    rows.append((row["sample_id"], row["copy"], *predictions))
            paths.append(root.joinpath(*path.parts[-5:]))
            write_csv(paths[-1], columns, rows)
        (root / "strata.csv").write_bytes(arm[1].read_bytes())
        tables[hides] = measure_reliability(paths, [root / "strata.csv"], LIMITS)
        curve = calibrate_arm(paths, root / "strata.csv", LIMITS["ecg"])
        assert curve.rows == tables[hides].scores[0].rows
    assert tables[True] == tables[False]


def test_one_fold_alone_is_not_calibrated(arm) -> None:
    found = measure_reliability(arm[0][:1], [arm[1]], LIMITS)
    assert {one.kind for one in found.scores} == {RAW}


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan"])
def test_a_confidence_that_is_no_share_is_refused(arm, tmp_path, value) -> None:
    path = tmp_path / "ecg/none/heatmap/fold1/seed42/predictions.csv"
    write_csv(path, ("sample_id", "copy", "target", "prediction", "confidence"), [["000_0", 0, "1", "1", value]])
    with pytest.raises(InputError, match="confidence") as caught:
        measure_reliability([path], [arm[1]], LIMITS)
    assert caught.value.where == str(path)


def test_the_figure_holds_the_bins_of_the_copies_and_repeats_to_the_byte(arm, tmp_path) -> None:
    found = measure_reliability(arm[0], [arm[1]], LIMITS)
    write_reliability(tmp_path / "calibration.csv", found.bins)
    assert read_lines(tmp_path / "calibration.csv", ReliabilityBin) == found.bins
    chosen = select_bins(found.bins, "ecg", "none", "heatmap")
    assert {line.inputs for line in chosen} == {"augmented"}
    assert not select_bins(found.bins, "ecg", "coord", "heatmap")
    first, second = (FigureFiles.named(tmp_path / name, "reliability") for name in "ab")
    for files in (first, second):
        plot_reliability(chosen, files)
    assert read_lines(first.data, ReliabilityBin) == chosen
    for kind in ("svg", "png", "data"):
        assert getattr(first, kind).read_bytes() == getattr(second, kind).read_bytes()


def test_the_worst_are_the_largest_errors_at_most_two_of_a_record() -> None:
    error = np.array([1.0, 9.0, 8.0, 7.0, 3.0, 3.0, 0.5])
    record = np.array(["a", "b", "b", "b", "c", "d", "d"], dtype=object)
    assert choose_worst(error, record) == [1, 2, 4, 5, 0, 6]
    assert choose_worst(error, record, most=3) == [1, 2, 4]
    assert choose_worst(error, record, of_a_record=1) == [1, 4, 5, 0]
