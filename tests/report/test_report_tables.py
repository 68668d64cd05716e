from __future__ import annotations

import csv
import dataclasses
import math
import re
from typing import get_args

import numpy as np
import pytest
from made_study import reported_study, shared_study, strict_config
from scipy import stats

from siwcc.config import EncodingName, parse_config
from siwcc.data.folds import STRATA_COLUMNS
from siwcc.evaluation.baselines.registry import BASELINES
from siwcc.evaluation.comparisons import write_comparisons
from siwcc.evaluation.errors_table import Accuracy
from siwcc.evaluation.record_tests import RecordTest
from siwcc.evaluation.variance import VarianceRow
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.io.shards import shard_writer
from siwcc.report import encodings, errors, folds, protocol, record_verdict, records, verdict
from siwcc.report import study as studies
from siwcc.report.wording import Reading


def read(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


# --------------------------------------------------------------------- folds


def write_strata(path, rows):
    """[(sample, group, fold, gap)]"""
    write_csv(path, STRATA_COLUMNS, [(name, group, fold, "VT", gap) for name, group, fold, gap in rows])
    return path


def test_folds_count_groups_and_isolated_events(tmp_path):
    rows = [
        ("a1", "a", 1, "inf"),
        ("a2", "a", 1, 3.0),
        ("a3", "a", 2, 20.0),
        ("b1", "b", 2, "inf"),
        ("c1", "c", 2, 19.9),
    ]
    found = folds.describe_folds("ecg", write_strata(tmp_path / "strata.csv", rows), 20.0)
    # Isolated: no event before, or one 20 s or more before.
    assert (found.samples, found.groups, found.split, found.isolated) == (5, 3, 1, 3)
    first, second = found.lines
    assert (first.fold, first.samples, first.isolated, first.groups, first.named) == (1, 2, 1, 1, [("a", 2)])
    assert (second.isolated, second.named) == (2, [("a", 1), ("b", 1), ("c", 1)])
    assert found.all_named


def test_of_many_groups_only_the_largest_are_named(tmp_path):
    rows = [(f"s{i}", f"slide{i:02}", 1 + i % 2, "") for i in range(70)] + [
        ("t", "slide08", 1, ""),
        ("u", "slide02", 1, ""),
    ]
    found = folds.describe_folds("nuclei", write_strata(tmp_path / "strata.csv", rows), None)
    assert (found.groups, found.split, found.isolated, found.all_named) == (70, 0, None, False)
    assert found.lines[0].groups == 35
    expected = [("slide02", 2), ("slide08", 2), ("slide00", 1), ("slide04", 1), ("slide06", 1)]
    assert found.lines[0].named == expected


# ------------------------------------------------------------------ protocol


def config_with(**changes):
    values = {"datasets": {"vfdb": {"format": "vfdb"}, "sipakmed": {"format": "sipakmed"}}}
    return parse_config(values | changes)


@pytest.mark.parametrize(
    ("changes", "closed", "seeds"),
    [
        ({}, 0, []),
        ({"folds_by": "group"}, 1, []),
        ({"tasks": {"ecg": {"shift": "rewindow"}}}, 1, []),
        ({"folds_by": "group", "tasks": {"ecg": {"shift": "rewindow"}}, "seeds": [1, 2, 3]}, 2, ["3"]),
    ],
)
def test_the_protocol_in_words(changes, closed, seeds):
    task, *rest = protocol.describe_protocol(config_with(run=["ecg"], **changes), ["ecg"])
    # Folds and padding have one sentence each for a leak and for its repair.
    papers = protocol.describe_protocol(config_with(run=["ecg"]), ["ecg"])[0]
    parts, of_paper = (re.split("[.;] ", text.rstrip("."))[1:] for text in (task, papers))
    assert sum(part not in of_paper for part in parts[:2]) == closed
    # Which values are published is said where they are left out.
    assert len(parts) - len(of_paper) == (closed > 0)
    assert [re.findall(r"\d+", text) for text in rest] == [seeds] * bool(seeds)


def test_published_values_go_with_the_papers_protocol_alone():
    config = config_with(tasks={"nuclei": {"border": "reflect"}})
    assert [config.papers_protocol(task) for task in ("ecg", "nuclei")] == [True, False]
    assert not config_with(folds_by="group").papers_protocol("ecg")
    assert not config_with(tasks={"ecg": {"shift": "rewindow"}}).papers_protocol("ecg")


@pytest.mark.parametrize("other", [[], ["ecg"]])
def test_comparisons_of_another_protocol_hold_no_published_value(other, tmp_path, tmp_path_factory, repository):
    study = shared_study(tmp_path_factory, "ecg")
    write_comparisons(
        study.existing("ecg", "log.csv"),
        [study.folder / "ecg" / "folds.csv"],
        [("coord", "weighted")],
        repository / "resources" / "table3.csv",
        [],
        tmp_path / "c.csv",
        tmp_path / "t.txt",
        other_protocol=other,
    )
    row = next(row for row in read(tmp_path / "c.csv") if row["metric"] == "test_r2")
    expected = ("", "", "", "", "") if other else ("0.03571", "0.01", "0.08362", "<0.00005", "yes")
    names = ("mean_difference", "ci_low", "ci_high", "p")
    assert (*(row[f"published_{name}"] for name in names), row["agrees_sign"]) == expected
    assert float(row["mean_difference"]) == pytest.approx(0.1)
    assert ("published" in (tmp_path / "t.txt").read_text()) is not bool(other)


def test_the_ratio_of_test_to_training_samples_is_that_of_each_tasks_folds(tmp_path):
    sizes = {"ecg": (6, 2, 2), "nuclei": (4, 4, 4)}
    effect = (0.1, 0.2, 0.4)
    logs = []
    for task, samples in sizes.items():
        rows = [(f"{fold}_{row}", "g", fold) for fold, count in enumerate(samples, 1) for row in range(count)]
        write_csv(tmp_path / task / "folds.csv", ("sample_id", "group", "fold"), rows)
        for encoding in ("coord", "weighted"):
            for fold, gain in enumerate(effect, 1):
                logs.append(tmp_path / task / encoding / "full" / f"fold{fold}" / "seed42" / "log.csv")
                value = 0.3 + gain * (encoding == "weighted")
                lines = [(epoch, value, value) for epoch in range(1, 7)]
                write_csv(logs[-1], ("epoch", "train_r2", "test_r2"), lines)
    folds_csvs = [tmp_path / task / "folds.csv" for task in sizes]
    published = tmp_path / "published.csv"
    write_csv(published, ("task", "variant", "metric", "mean_difference", "ci_low", "ci_high", "p", "conclusion"), [])
    written = tmp_path / "c.csv"
    write_comparisons(logs, folds_csvs, [("coord", "weighted")], published, [], written, tmp_path / "t.txt")
    found = {row["task"]: float(row["p_corrected_t"]) for row in read(written) if row["metric"] == "test_r2"}
    # 6 of 10 tested, 4 trained on, then 2 and 8 twice; 4 and 8 three times.
    ratios = {"ecg": (6 / 4 + 2 / 8 + 2 / 8) / 3, "nuclei": 4 / 8}
    mean, spread = np.mean(effect), np.std(effect, ddof=1)
    for task, ratio in ratios.items():
        assert found[task] == pytest.approx(stats.t.sf(mean / (spread * math.sqrt(1 / 3 + ratio)), 2))
        assert studies._test_train_ratio(tmp_path / task / "folds.csv") == pytest.approx(ratio)


def test_copies_whose_target_left_the_view_are_counted(tmp_path):
    paths = [tmp_path / f"fold{fold}.h5" for fold in (1, 2, 3)]
    # The samples themselves, copy 0, do not count, and the third fold is not there yet.
    for path, copy, visible in zip(paths, ([0, 1, 2], [1, 1, 0]), ([0, 0, 1], [1, 0, 1]), strict=False):
        with shard_writer(path, "fold", {}) as writer:
            writer.extend({"copy": np.array(copy), "event_visible": np.array(visible)})
    assert studies._hidden_rows(paths) == (4, 2)


def test_every_encoding_and_baseline_has_its_words():
    assert set(encodings.ENCODING_NOTES) == set(get_args(EncodingName))
    assert set(errors.BASELINE_NOTES) == set(BASELINES)
    described = encodings.describe_encodings(["none", "weighted"])
    assert described[0][::2] == ("no coordinates", "")
    assert described[1][::2] == ("weighted coordinates", "x_i(p) m(p)")


# -------------------------------------------------------------------- errors


def line(prediction, variant="full", **changes):
    values = {
        "task": "ecg",
        "method": prediction,
        "variant": variant,
        "inputs": "augmented",
        "subset": "all",
        "stratum_by": "",
        "stratum": "",
        "samples": 5,
        "folds": 2,
        "seeds": 1,
        "rows": 10,
        "median": 1.0,
        "p90": 2.0,
        "mean": 1.2,
        "r2": 0.5,
        "within_fine": 0.2,
        "within_coarse": 0.4,
        "limit_fine": 0.5,
        "limit_coarse": 1.0,
        "unit": "s",
    }
    return Accuracy(**values | changes)


LINES = [
    line("gap_oracle", "", median=1.5),
    line("training_mean", "", median=3.0),
    line("coord", median=2.0),
    line("coord", inputs="unaugmented", median=2.5),
    line("weighted", median=1.2),
    line("weighted", subset="isolated", median=0.9),
]


def test_error_tables_keep_networks_and_baselines_apart():
    everything, isolated = errors.error_tables(LINES)
    assert [row.name for row in everything.networks] == ["NimeshaNet, coordinates", "NimeshaNet, weighted coordinates"]
    assert [row.name for row in everything.baselines] == ["gap oracle", "training mean"]
    assert everything.networks[0].unaugmented.median == 2.5
    assert everything.networks[1].unaugmented is None
    assert (isolated.subset, isolated.networks[0].augmented.median, isolated.baselines) == ("isolated", 0.9, [])


def test_the_best_network_is_no_baseline():
    # Medians: gap oracle 1.5 lies between weighted (1.2) and coordinates (2.0); the training mean above both.
    best, baseline, mean = errors.best_sentences(errors.error_tables(LINES)[0])
    assert re.search(r"weighted coordinates, 1\.20 s", best)
    # The median error, and how many networks are below it.
    assert re.findall(r"gap oracle|\d[\d.]*", baseline) == ["gap oracle", "1.50", "1", "2"]
    assert re.findall(r"training mean|\d[\d.]*", mean) == ["training mean", "3.00", "2", "2"]
    assert list(errors.best_sentences(errors.error_tables(LINES[:2])[0])) == []


def test_strata_stand_with_most_samples_first_and_the_training_mean_beside():
    lines = [
        line("training_mean", "", stratum_by="group", stratum="a", samples=2, median=4.0),
        line("coord", stratum_by="group", stratum="a", samples=2, median=1.0),
        line("coord", stratum_by="group", stratum="b", samples=3, median=2.0),
        line("gap_oracle", "", stratum_by="group", stratum="b", samples=3),
        line("coord", stratum_by="group", stratum="b", samples=3, inputs="unaugmented"),
        line("coord", stratum_by="class", stratum="VT", samples=5, median=1.5),
    ]
    by_group, by_class = errors.stratum_tables(lines)
    assert by_group.methods == ["coordinates", "training mean (baseline)"]
    found = [(name, samples, [cell and cell.median for cell in cells]) for name, samples, cells in by_group.rows]
    assert found == [("b", 3, [2.0, None]), ("a", 2, [1.0, 4.0])]
    assert (by_group.title, by_class.title) == ("NimeshaNet: errors by record", "NimeshaNet: errors by class")


def test_hundreds_of_slides_are_summed_up():
    medians = np.linspace(0.0, 4.0, 101)
    lines = [
        line("coord", task="nuclei", stratum_by="group", stratum=f"s{i}", samples=1, median=float(value))
        for i, value in enumerate(medians)
    ]
    (table, *_) = errors.stratum_tables([*lines, line("coord", task="nuclei", stratum_by="class", stratum="x")])
    assert table.rows == []
    assert table.summaries == [("coordinates", 101, [0.0, 1.0, 2.0, 3.0, 4.0])]


# ------------------------------------------------------------------- records


def made_test(**changes):
    values = {
        **{"task": "ecg", "variant": "full", "control": "coord", "study": "weighted", "family": "primary"},
        **{"control_variant": "full", "inputs": "augmented", "subset": "all", "records": 22, "seeds": 3},
        **{"control_error": 1.3, "study_error": 1.2, "mean_difference": -0.1, "ci_low": -0.2, "ci_high": -0.01},
        **{"p_smaller": 0.01, "p_larger": 0.99, "p_two_sided": 0.02, "p_folds": 0.03, "p_holm": 0.08, "p_error": 0.0},
        **{"least_p": 2.0**-22, "records_better": 15, "records_worse": 7, "unit": "s", "note": ""},
    }
    return RecordTest(**values | changes)


LOSS = {"p_smaller": 0.999, "p_larger": 0.001, "p_holm": 1.0}


@pytest.mark.parametrize(
    ("tests", "readings"),
    [
        ([made_test(p_holm=0.04)], [Reading.GAIN]),
        ([made_test()], [Reading.HINT]),
        ([made_test(p_smaller=0.3, p_larger=0.7, p_holm=1.0)], [Reading.NOTHING]),
        ([made_test(**LOSS)], [Reading.LOSS]),
        # Holm over sixty in the other direction: 60 x 0.001 = 0.06.
        ([made_test(**LOSS)] + [made_test(p_smaller=0.3, p_larger=0.7)] * 59, [Reading.HINT_AGAINST]),
        ([made_test(records=4, least_p=1 / 16)], [Reading.TOO_FEW]),
        ([made_test(records=1, p_smaller=math.nan, p_larger=math.nan, least_p=0.5)], [Reading.UNTESTABLE]),
    ],
)
def test_readings_over_records(tests, readings):
    assert record_verdict.read_tests(tests)[: len(readings)] == readings


def test_a_comparison_over_records_in_words():
    said = record_verdict.record_sentence(made_test(), Reading.HINT, 8, several=False).replace("\N{MINUS SIGN}", "-")
    # Both errors, difference, 95 % interval, smaller, larger and all records; tests and the p of a smaller error.
    errors = ["1.200", "1.300", "-0.100", "95", "-0.200", "-0.010"]
    assert re.findall(r"-?\d[\d.]*", said) == [*errors, "15", "7", "22", "8", "0.010"]
    worse = made_test(**LOSS, mean_difference=0.1, ci_low=0.05, ci_high=0.2)
    said = record_verdict.record_sentence(worse, Reading.LOSS, 1, several=True)
    assert "NimeshaNet" in said
    # Of a larger error the p in that direction.
    assert re.findall(r"-?\d[\d.]*", said)[-1] == "0.001"


def test_the_primary_test_leads_where_folds_keep_records_together():
    tests = [
        made_test(p_holm=0.04),
        made_test(study="none", p_smaller=0.3, p_larger=0.7),
        made_test(family="secondary"),
    ]
    strict = verdict.judge([], tests=tests, by_group=True)
    (summary,) = strict.summary
    # 22 records; a gain in 1 of 2 comparisons, nothing in 1 of 2.
    assert re.findall(r"\d+", summary) == ["22", "1", "2", "1", "2"]
    assert len(strict.records) == 2
    paper = verdict.judge([], tests=tests)
    (second,) = paper.second
    assert re.findall(r"\d+", second) == ["22", "1", "2", "1", "2"]
    assert not set(strict.limits) & set(paper.limits)


def test_record_groups_and_names():
    tests = [
        made_test(),
        made_test(family="secondary", inputs="unaugmented"),
        made_test(family="secondary", subset="isolated"),
        made_test(family="baseline", control="gap_oracle"),
        made_test(family="baseline", control="gap_oracle", subset="isolated"),
        made_test(variant="reduced", note="a note"),
    ]
    full, reduced = records.record_groups(tests)
    assert (len(full.primary), len(full.baselines)) == (1, 1)
    assert [name for name, _ in full.secondary_views] == [
        "samples themselves, all",
        "augmented copies, isolated events",
    ]
    assert [name for name, _ in full.by_baseline] == ["gap_oracle"]
    assert (reduced.title, reduced.notes) == ("NimeshaNet, reduced pool", ["a note"])
    assert records.comparison_name(tests[0]) == "weighted coordinates \N{MINUS SIGN} coordinates"


def test_variance_is_shown_for_several_seeds_alone():
    values = {field.name: 0.0 for field in dataclasses.fields(VarianceRow)}
    values |= {"task": "ecg", "variant": "full", "study": "coord", "control": "", "metric": "test_r2", "note": ""}
    rows = [
        VarianceRow(**values | {"kind": kind, "seeds": seeds}) for seeds in (1, 2) for kind in ("arm", "difference")
    ]
    found = records.variance_groups(rows, "test_r2")
    assert [title for title, _ in found] == ["NimeshaNet, each encoding", "NimeshaNet, differences"]
    assert [len(group) for _, group in found] == [1, 1]
    assert records.variance_groups(rows[:2], "test_r2") == []


# ------------------------------------------------------------- the whole page


@pytest.fixture
def strict(tmp_path_factory):
    study = reported_study(tmp_path_factory, "strict")
    text = (study.folder / "report.html").read_text(encoding="utf-8")
    body = re.sub(r"<svg.*?</svg>|<style.*?</style>", " ", text, flags=re.DOTALL)
    return study, " ".join(re.sub(r"<[^>]+>", " ", body).replace("&#39;", "'").split())


def test_the_strict_page_names_its_protocol_and_no_published_value(strict):
    study, words = strict
    assert protocol.describe_protocol(study.config, ["ecg"])[0] in words
    assert "[42, 43]" in words
    # The paper's mean difference.
    assert "0.03571" not in words


def test_the_strict_page_shows_folds_records_seeds_and_strata(strict):
    study, words = strict
    strata = read(study.folder / "ecg" / "strata.csv")
    isolated = sum(float(row["gap_s"]) >= 20 for row in strata)
    groups = {row["group"] for row in strata}
    assert re.search(rf"\b{len(strata)} events from {len(groups)} records in 2 folds", words)
    assert re.search(rf"\b{isolated} of the events", words)
    for label in ("gap oracle", "weighted scaled coordinates (", "learned map", "\N{LESS-THAN OR EQUAL TO} 0.5 s"):
        assert label in words or label.removesuffix(" (") in words


def test_the_strict_pages_record_errors_are_those_of_the_predictions(strict):
    # Predictions are off by 0.1 s a row (0.05 s with weighted_unit), rows of a fold counted from 0.
    study, words = strict
    test = next(
        row
        for row in read(study.folder / "stats" / "records.csv")
        if (row["control"], row["study"], row["family"]) == ("none", "weighted_unit", "primary")
    )
    means = []
    for fold in (1, 2):
        path = study.folder / "ecg" / "none" / "full" / f"fold{fold}" / "seed42" / "predictions.csv"
        ids = [(row["sample_id"].split("_")[0], int(row["copy"])) for row in read(path)]
        for record in sorted({name for name, _ in ids}):
            means.append(np.mean([0.1 * i for i, (name, copy) in enumerate(ids) if name == record and copy > 0]))
    # Predictions have six decimals.
    assert float(test["control_error"]) == pytest.approx(np.mean(means), rel=1e-6)
    assert float(test["study_error"]) == pytest.approx(np.mean(means) / 2, rel=1e-6)
    shown = " ".join(f"{float(test[name]):.3f}" for name in ("control_error", "study_error"))
    assert f"weighted scaled coordinates \N{MINUS SIGN} no coordinates {len(means)} {shown}" in words


def test_seeds_spread_as_the_logs_say(strict):
    # By its log seed 43 is better by 0.02 in fold 1 and 0.04 in fold 2: the two cells of seed 42 differ by 0.01.
    study, words = strict
    row = next(
        row
        for row in read(study.folder / "stats" / "variance.csv")
        if (row["kind"], row["study"], row["metric"]) == ("arm", "coord", "test_r2")
    )
    assert float(row["mean"]) == pytest.approx(0.5 - 0.3 / 6 + 0.015 + 0.015)
    # Seeds' means differ by 0.03, residuals are 0.005: (2 x 0.015^2 x 2 - 4 x 0.005^2) / 2 = 0.0004.
    assert float(row["var_seed"]) == pytest.approx(0.0004)
    assert f"coordinates {float(row['mean']):.4f}" in words


def test_a_strict_study_without_its_strata_is_refused(tmp_path):
    study = studies.Study(tmp_path, tmp_path, strict_config())
    with pytest.raises(InputError) as caught:
        folds.describe_folds("ecg", study.folder / "ecg" / "strata.csv", 20.0)
    assert caught.value.where.endswith("strata.csv")
