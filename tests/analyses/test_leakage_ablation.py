from __future__ import annotations

import csv
import dataclasses
import math
import re

import pytest
from made_study import made_config, write_study
from tolerances import FLOAT64, assert_same, largest

from siwcc.analyses import leakage_ablation
from siwcc.analyses import leakage_report as page
from siwcc.analyses.leakage_ablation import APART, BOTH, NO_PADDING, PAPERS, PROTOCOLS, Cell, Protocol, Score
from siwcc.analyses.leakage_figure import plot_cells
from siwcc.config import parse_config, write_config
from siwcc.evaluation.baselines.registry import write_baseline
from siwcc.evaluation.comparisons import Row, write_comparisons, write_rows
from siwcc.evaluation.errors_table import measure_study, write_errors
from siwcc.evaluation.methods import Method, View
from siwcc.evaluation.record_tests import compare_records, write_records
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv, write_text
from siwcc.report.figures.style import FigureFiles
from siwcc.report.wording import three

DATASETS = {"made": {"format": "vfdb", "synthetic": {"samples": 3, "seed": 1}}}


def read(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def config_of(protocol, **changes):
    values = {
        "study": f"square-{protocol.folds_by}-{protocol.shift}",
        "run": ["ecg"],
        "folds": 2,
        "folds_by": protocol.folds_by,
        "variants": ["full"],
        "encodings": ["coord"],
        "comparisons": [],
        "tasks": {"ecg": {"dataset": "made", "shift": protocol.shift, "copies_per_sample": 1}},
        "datasets": DATASETS,
    }
    return parse_config(values | changes)


def folder_with(folder, config):
    write_config(folder / "config.json", config)
    return folder


def square(root, **changes):
    """Folders of four studies that have a config and nothing else."""
    return [folder_with(root / f"{key.folds_by}-{key.shift}", config_of(key, **changes)) for key in PROTOCOLS]


def made_score(protocol, method="weighted", variant="full", **changes):
    values = {
        "folds_by": protocol.folds_by,
        "shift": protocol.shift,
        "method": method,
        "variant": variant,
        "inputs": "augmented",
        "subset": "all",
        "folds": 2,
        "rows": 4,
        "r2": 0.5,
        "r2_pooled": 0.4,
        "median": 1.0,
        "p90": 3.0,
        "within_fine": 0.25,
        "within_coarse": 0.5,
        "limit_fine": 0.5,
        "limit_coarse": 1.0,
        "unit": "s",
        "r2_folds": "0.4;0.6",
    }
    return Score(**values | changes)


# ---------------------------------------------------------------- the square


def test_cells_come_in_the_order_of_the_square_whatever_is_given(tmp_path):
    cells = leakage_ablation.open_cells(square(tmp_path)[::-1])
    assert [cell.protocol for cell in cells] == [
        ("sample", "zero_fill"),
        ("sample", "rewindow"),
        ("group", "zero_fill"),
        ("group", "rewindow"),
    ]
    assert [cell.protocol for cell in cells] == [PAPERS, NO_PADDING, APART, BOTH]
    assert [cell.folder.name for cell in cells] == [
        "sample-zero_fill",
        "sample-rewindow",
        "group-zero_fill",
        "group-rewindow",
    ]


def test_a_missing_cell_and_one_given_twice_are_named(tmp_path):
    folders = square(tmp_path)
    with pytest.raises(InputError) as caught:
        leakage_ablation.open_cells(folders[:3])
    assert "group and rewindow" in caught.value.problem
    again = folder_with(tmp_path / "again", config_of(APART))
    with pytest.raises(InputError) as caught:
        leakage_ablation.open_cells([*folders, again])
    assert caught.value.where == str(again)
    assert str(folders[2]) in caught.value.problem
    (folders[1] / "config.json").unlink()
    with pytest.raises(InputError) as caught:
        leakage_ablation.open_cells(folders)
    assert caught.value.where == str(folders[1] / "config.json")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"train": {"epochs": 3}}, "train"),
        ({"seeds": [1]}, "seeds"),
        ({"tasks": {"ecg": {"dataset": "made", "shift": "rewindow", "copies_per_sample": 2}}}, "tasks.ecg"),
        ({"datasets": {"made": {"format": "vfdb", "synthetic": {"samples": 4, "seed": 1}}}}, "datasets"),
    ],
)
def test_cells_that_differ_in_more_than_their_protocol_are_refused(tmp_path, changes, named):
    folders = square(tmp_path)
    folder_with(folders[3], config_of(BOTH, **changes))
    with pytest.raises(InputError) as caught:
        leakage_ablation.open_cells(folders)
    assert caught.value.where == str(folders[3] / "config.json")
    assert f"{folders[0]} in {named}," in caught.value.problem


def test_studies_of_several_points_are_refused(tmp_path):
    folders = square(tmp_path)
    tasks = {"ecg": {"dataset": "made", "shift": "zero_fill", "copies_per_sample": 2, "points": ["onset", "end"]}}
    datasets = {"made": DATASETS["made"] | {"points": ["onset", "end"]}}
    folder_with(folders[0], config_of(PAPERS, tasks=tasks, datasets=datasets))
    with pytest.raises(InputError) as caught:
        leakage_ablation.open_cells(folders)
    assert caught.value.where == str(folders[0] / "config.json")
    assert "onset, end" in caught.value.problem
    assert "tasks.ecg.points" in caught.value.remedy


def test_where_a_cell_was_trained_and_its_data_lay_may_differ(tmp_path):
    folders = square(tmp_path, datasets={"made": {"format": "vfdb", "path": "here"}})
    elsewhere = {"train": {"device": "cpu"}, "datasets": {"made": {"format": "vfdb", "path": "elsewhere"}}}
    folder_with(folders[3], config_of(BOTH, **elsewhere))
    assert len(leakage_ablation.open_cells(folders)) == 4


# -------------------------------------------------------------------- scores

# Samples a and b are fold 1, c and d fold 2; b and d are isolated.
STRATA = [
    ("a", "r1", 1, "VT", "3.0"),
    ("b", "r1", 1, "VT", "20.0"),
    ("c", "r2", 2, "VF", "5.0"),
    ("d", "r2", 2, "VF", "inf"),
]
PREDICTED = ("sample_id", "copy", "target", "prediction")


def write_cell(root, seeds=(1,), perfect_seed=None):
    """One arm; fold 1 right, fold 2 predicted with its mean, copy 1 of each sample only."""
    folder = folder_with(root / "cell", config_of(PAPERS, seeds=list(seeds)))
    write_csv(folder / "ecg" / "strata.csv", ("sample_id", "group", "fold", "class", "gap_s"), STRATA)
    for seed in seeds:
        second = [("c", 1, 0.0, 2.0), ("d", 1, 4.0, 2.0)]
        if seed == perfect_seed:
            second = [("c", 1, 0.0, 0.0), ("d", 1, 4.0, 4.0)]
        runs = {1: [("a", 1, 1.0, 1.0), ("b", 1, 3.0, 3.0)], 2: second}
        for fold, rows in runs.items():
            path = folder / "ecg" / "coord" / "full" / f"fold{fold}" / f"seed{seed}" / "predictions.csv"
            write_csv(path, PREDICTED, rows)
    return Cell(PAPERS, folder, config_of(PAPERS, seeds=list(seeds)))


def write_stats(cell, **changes):
    row = {
        "task": "ecg",
        "method": "coord",
        "variant": "full",
        "inputs": "augmented",
        "subset": "all",
        "folds": 2,
        "rows": 4,
        "r2": 0.5,
        "median": 1.0,
        "p90": 2.0,
        "within_fine": 0.5,
        "within_coarse": 0.5,
        "limit_fine": 0.5,
        "limit_coarse": 1.0,
        "unit": "s",
    }
    row |= changes
    write_csv(cell.folder / "stats" / "errors.csv", row, [row.values()])


@pytest.mark.numeric
def test_r2_of_folds_and_of_all_folds_together(tmp_path):
    # Fold 1: residual 0, R2 1. Fold 2: predictions its mean, R2 0.
    # Together: targets 1, 3, 0, 4 about 2 give 1 + 1 + 4 + 4 = 10, residuals 0, 0, 4, 4: R2 1 - 8/10.
    cell = write_cell(tmp_path)
    write_stats(cell)
    (score,) = leakage_ablation.gather_scores(cell)
    assert score.fold_values == [1.0, 0.0]
    assert score.r2_pooled == pytest.approx(0.2)
    assert (score.folds_by, score.shift, score.rows, score.median) == ("sample", "zero_fill", 4, 1.0)


def test_seeds_are_averaged_within_a_fold_and_after_pooling(tmp_path):
    # Seed 2 is right everywhere: fold 2 has 0 and 1; together 0.2 and 1.
    cell = write_cell(tmp_path, seeds=(1, 2), perfect_seed=2)
    write_stats(cell)
    (score,) = leakage_ablation.gather_scores(cell)
    assert score.fold_values == [1.0, 0.5]
    assert score.r2_pooled == pytest.approx(0.6)


def test_isolated_events_are_those_without_another_for_a_window(tmp_path):
    # b and d remain, one a fold: their targets do not vary within a fold, together 3 and 4 do.
    # Predictions 3 and 2: residual 4 over 0.25 + 0.25, R2 1 - 4/0.5.
    cell = write_cell(tmp_path)
    pooled, of_folds = leakage_ablation._fold_scores(cell)[
        Method("ecg", "full", "coord"), View("augmented", "isolated")
    ]
    assert pooled == pytest.approx(-7.0)
    assert all(math.isnan(value) for value in of_folds)


def test_errors_without_predictions_or_with_text_for_numbers_are_refused(tmp_path):
    cell = write_cell(tmp_path)
    write_stats(cell, method="centre", variant="")
    table = str(cell.folder / "stats" / "errors.csv")
    with pytest.raises(InputError, match="centre") as caught:
        leakage_ablation.gather_scores(cell)
    assert caught.value.where == table
    write_stats(cell, median="near")
    with pytest.raises(InputError, match="near") as caught:
        leakage_ablation.gather_scores(cell)
    assert caught.value.where == table


# --------------------------------------------------------------- differences


def made_row(**changes):
    values = {
        "task": "ecg",
        "variant": "full",
        "control": "coord",
        "study": "weighted",
        "metric": "test_r2",
        "folds": 3,
        "mean_difference": 0.1,
        "ci_low": -0.1,
        "ci_high": 0.3,
        "p_bootstrap": 0.11,
        "p_sign_flip": 0.25,
        "p_corrected_t": 0.2,
        "p_holm": 0.6,
        "conclusion": "not significant",
        "fold_ids": ("1", "2", "3"),
        "fold_differences": (0.3, 0.1, -0.1),
    }
    return Row(**values | changes)


RECORD = {
    "task": "ecg",
    "variant": "full",
    "control": "coord",
    "study": "weighted",
    "family": "primary",
    "inputs": "augmented",
    "subset": "all",
    "records": 22,
    "mean_difference": -0.05,
    "ci_low": -0.11,
    "ci_high": 0.01,
    "p_smaller": 0.06,
    "p_two_sided": 0.12,
    "p_holm": 0.18,
    "records_better": 15,
    "unit": "s",
}


def test_differences_are_those_of_the_cells_own_tables(tmp_path):
    cell = Cell(BOTH, tmp_path, config_of(BOTH))
    rows = [made_row(), made_row(metric="instability", mean_difference=9.0)]
    write_rows(tmp_path / "stats" / "comparisons.csv", rows)
    secondary = RECORD | {"family": "secondary", "p_holm": ""}
    write_csv(tmp_path / "stats" / "records.csv", RECORD, [RECORD.values(), secondary.values()])
    over_folds, over_records = leakage_ablation.gather_differences(cell)
    assert (over_folds.view, over_folds.metric, over_folds.pairs, over_folds.pairs_better) == ("folds", "test_r2", 3, 2)
    assert (over_folds.mean_difference, over_folds.ci_low, over_folds.ci_high) == (0.1, -0.1, 0.3)
    assert (over_folds.p_sign_flip, over_folds.p_bootstrap, over_folds.p_holm) == (0.25, 0.11, 0.6)
    assert (over_records.view, over_records.pairs, over_records.pairs_better) == ("records", 22, 15)
    assert (over_records.mean_difference, over_records.unit) == (-0.05, "s")
    assert (over_records.p_sign_flip, over_records.p_sign_flip_two_sided) == (0.06, 0.12)
    assert over_records.p_bootstrap is None
    assert over_records.protocol == over_folds.protocol == BOTH


def test_records_that_are_no_numbers_are_refused(tmp_path):
    write_rows(tmp_path / "stats" / "comparisons.csv", [made_row()])
    write_csv(tmp_path / "stats" / "records.csv", RECORD, [(RECORD | {"p_holm": "?"}).values()])
    with pytest.raises(InputError) as caught:
        leakage_ablation.gather_differences(Cell(BOTH, tmp_path, config_of(BOTH)))
    assert caught.value.where == str(tmp_path / "stats" / "records.csv")


# ----------------------------------------------------------------- sentences

R2 = {PAPERS: 0.7, NO_PADDING: 0.4, APART: 0.6, BOTH: -0.1}


def numbers(text):
    return [float(found.replace("\N{MINUS SIGN}", "-")) for found in re.findall(r"\N{MINUS SIGN}?\d+(?:\.\d+)?", text)]


def test_what_goes_with_each_step_in_words():
    medians = {PAPERS: 1.0, NO_PADDING: 2.0, APART: 1.25, BOTH: 2.5}
    scores = [made_score(key, r2=R2[key], median=medians[key]) for key in PROTOCOLS]
    scores.append(made_score(PAPERS, inputs="unaugmented", r2=0.9))
    (step,) = leakage_ablation.take_steps(scores)
    assert (step.no_padding, step.apart, step.both) == pytest.approx((-0.3, -0.1, -0.8))
    # R2 and each change from the paper's protocol, the sum of the two single changes; then the medians.
    r2, medians = map(numbers, step.sentences())
    assert r2 == [0.7, 0.4, -0.3, 0.6, -0.1, -0.1, -0.8, -0.4]
    assert medians == [1.0, 2.0, 1.25, 2.5]


def test_an_prediction_that_a_cell_lacks_has_no_steps():
    assert leakage_ablation.take_steps([made_score(key) for key in (PAPERS, APART, BOTH)]) == []


def test_the_share_that_the_quiet_edges_reach():
    # 0.52 of 0.65 is 80 %, of 0.8 it is 65 %; a negative R2 is no share at all.
    scores = [
        made_score(PAPERS, "zero_padding", "", r2=0.52),
        made_score(PAPERS, "weighted", r2=0.65),
        made_score(PAPERS, "none", r2=0.8),
        made_score(BOTH, "zero_padding", "", r2=-0.04),
        made_score(BOTH, "weighted", r2=0.3),
        made_score(APART, "weighted", r2=0.3),
    ]
    papers, both = map(numbers, page.padding_sentences(scores))
    assert papers == [0.52, 80, 0.65, 65, 0.8]
    assert both == [-0.04, 0, 0.3]


# -------------------------------------------------------- figure and page


def test_the_figure_holds_every_score_and_repeats_to_the_byte(tmp_path):
    scores = [made_score(key, r2=R2[key]) for key in PROTOCOLS]
    scores += [made_score(key, "training_mean", "", r2=0.0, r2_folds="-0.01;nan") for key in PROTOCOLS]
    scores += [made_score(key, subset="isolated") for key in PROTOCOLS]
    first, second = (FigureFiles.named(tmp_path / name, "protocols") for name in ("first", "second"))
    for files in (first, second):
        plot_cells(scores, files)
    assert first.svg.read_bytes() == second.svg.read_bytes()
    assert first.png.read_bytes() == second.png.read_bytes()
    rows = read(first.data)
    assert len(rows) == 12
    assert [float(row["r2"]) for row in rows[:4]] == [0.7, 0.4, 0.6, -0.1]
    assert list(rows[0]) == [field.name for field in dataclasses.fields(Score)]


def write_statistics(study):
    """`stats/` of a study, by the functions of the workflow's rules."""
    folder, config = study.folder, study.config
    runs = study.existing("ecg", "predictions.csv")
    baselines = sorted(folder.glob("ecg/baselines/*/predictions.csv"))
    strata = [folder / "ecg" / "strata.csv"]
    limits = {"ecg": study.limits("ecg")}
    write_errors(folder / "stats" / "errors.csv", measure_study(runs, baselines, strata, limits).overall)
    records = compare_records(runs, baselines, strata, config.comparisons, limits)
    write_records(folder / "stats" / "records.csv", records.tests)
    published = folder / "table3.csv"
    write_text(published, "task,variant,metric,mean_difference,ci_low,ci_high,p,conclusion\n")
    tables = (folder / "stats" / "comparisons.csv", folder / "stats" / "table3.txt")
    logs, folds = study.existing("ecg", "log.csv"), [folder / "ecg" / "folds.csv"]
    write_comparisons(logs, folds, config.comparisons, published, [], *tables)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """Folder of a summary of four made studies; training_mean and zero_padding are their baselines."""
    root = tmp_path_factory.mktemp("ablation")
    studies = []
    for number, key in enumerate(PROTOCOLS):
        tasks = {"ecg": {"dataset": "synthetic", "copies_per_sample": 2, "shift": key.shift}}
        config = made_config(study=f"square-{key.folds_by}-{key.shift}", folds_by=key.folds_by, tasks=tasks)
        study = write_study(root, config, samples_exist=number > 0)
        edge = study.folder / "ecg" / "baselines" / "zero_padding" / "predictions.csv"
        write_baseline("zero_padding", "ecg", study.fold_paths("ecg"), study.samples_path("ecg"), edge)
        write_statistics(study)
        studies.append(study)
    out = root / "results" / "ablation"
    files = page.PageFiles(
        FigureFiles.named(out, "cells"), out / "differences.csv", out / "window_overlap.csv", out / "report.html"
    )
    page.summarise_leakage([study.folder for study in studies], root / "data", files)
    return out


def test_every_score_is_that_of_the_cells_own_errors(summary):
    rows = read(summary / "cells.csv")
    seen = 0
    for key in PROTOCOLS:
        own = read(summary.parent / f"square-{key.folds_by}-{key.shift}" / "stats" / "errors.csv")
        ours = [row for row in rows if Protocol(row["folds_by"], row["shift"]) == key]
        shared = set(own[0]) & set(ours[0])
        assert {"r2", "median", "p90", "within_fine", "within_coarse", "rows"} <= shared
        assert [[row[name] for name in sorted(shared)] for row in ours] == [
            [row[name] for name in sorted(shared)] for row in own
        ]
        seen += len(own)
    assert seen == len(rows) > 0


def test_r2_is_the_mean_of_the_folds_shown(summary):
    for row in read(summary / "cells.csv"):
        folds = [float(value) for value in row["r2_folds"].split(";")]
        assert len(folds) == int(row["folds"])
        # A fold's R2 may be far below 0 where the mean is near it.
        assert_same(float(row["r2"]), sum(folds) / len(folds), FLOAT64, scale=largest(folds))


def test_differences_hold_both_views_of_every_cell(summary):
    rows = read(summary / "differences.csv")
    assert [(row["folds_by"], row["shift"], row["view"]) for row in rows] == [
        (*key, view) for key in PROTOCOLS for view in ("folds", "records")
    ]
    # made_study: weighted is better by 0.1 in every fold's R2, and predictions as coord does.
    assert [float(row["mean_difference"]) for row in rows[::2]] == pytest.approx([0.1] * 4)
    assert [float(row["mean_difference"]) for row in rows[1::2]] == pytest.approx([0.0] * 4)


def test_the_page_needs_nothing_else_and_shows_the_numbers(summary):
    text = (summary / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!#|data:)', text)
    for row in read(summary / "cells.csv"):
        if row["subset"] == "all":
            assert f'<td class="number">{three(float(row["median"]))}</td>' in text
    (step, *_) = leakage_ablation.take_steps(
        [
            score
            for cell in leakage_ablation.open_cells(cell_folders(summary))
            for score in leakage_ablation.gather_scores(cell)
        ]
    )
    assert step.sentences()[0].replace("'", "&#39;") in text
    assert {"said", "differences", "scores", "run"} <= set(re.findall(r'<h2 id="(\w+)"', text))
    shared = read(summary / "window_overlap.csv")
    assert {row["shift"] for row in shared} == {"zero_fill", "rewindow"}
    for row in shared:
        assert f'<td class="number">{three(float(row["by_group"]))}</td>' in text


def cell_folders(summary):
    return [summary.parent / f"square-{key.folds_by}-{key.shift}" for key in PROTOCOLS]
