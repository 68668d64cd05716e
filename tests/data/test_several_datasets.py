"""One task of two data sets, through the stages: the two share the names of records and samples."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_study import write_study
from refusals import refused

from siwcc.config import Config, Train, parse_config
from siwcc.data.augment.interface import augment_module
from siwcc.data.folds import check_origin, read_strata_csv, write_folds
from siwcc.evaluation.errors_table import measure_study
from siwcc.inference.predictor import Predictor
from siwcc.inference.robustness.interface import robustness_module, unchanged
from siwcc.io.data_layout import DataLayout
from siwcc.io.joined_samples import SamplesPath, read_samples
from siwcc.io.run_key import RunKey
from siwcc.io.shards import read_attributes, read_shard
from siwcc.report.build import report_study
from siwcc.report.study import Study, describe_data
from siwcc.training.checkpoint import read_model
from siwcc.training.run import RunFiles, train_run

pytestmark = pytest.mark.numeric

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
IMAGES = {"format": "sipakmed", "image_size": 64, "max_excluded": 0.5}
DATASETS = {
    "ecg": {
        "first": {"format": "vfdb", "synthetic": {"samples": 3, "seed": 1}},
        "second": {"format": "wfdb", "event_labels": ["VFL", "VT"], "synthetic": {"samples": 2, "seed": 2}},
    },
    "nuclei": {
        "first": IMAGES | {"synthetic": {"samples": 12, "seed": 1}},
        "second": IMAGES | {"synthetic": {"samples": 8, "seed": 2}},
    },
}


def both_config(task: str) -> Config:
    settings = {"ecg": {"shift": "rewindow"}, "nuclei": {"border": "reflect"}}[task]
    return parse_config(
        {
            "study": "both",
            "run": [task],
            "folds": 2,
            "folds_by": "group",
            "variants": ["full"],
            "tasks": {task: {"dataset": ["first", "second"], "copies_per_sample": 2, **settings}},
            "datasets": DATASETS[task],
            "train": {"epochs": 1, "device": "cpu"},
        }
    )


@pytest.fixture(scope="module", params=["ecg", "nuclei"])
def study(request, tmp_path_factory) -> Study:
    """Real samples and folds, synthetic runs; not to be changed."""
    return write_study(tmp_path_factory.mktemp(request.param), both_config(request.param))


def task_of(study: Study) -> str:
    return study.config.run[0]


def samples_of(study: Study, name: str) -> dict[str, np.ndarray]:
    return read_shard(DataLayout(study.data).samples(name), "samples").arrays


def test_every_sample_of_both_is_in_one_fold_and_no_group_in_two(study: Study) -> None:
    parts = {name: samples_of(study, name) for name in ("first", "second")}
    shared = set(parts["first"]["group"]) & set(parts["second"]["group"])
    assert shared, "the data sets are to have names in common"
    strata = read_strata_csv(study.layout.strata_csv(task_of(study)))
    assert Counter(line.dataset for line in strata) == {name: len(part["group"]) for name, part in parts.items()}
    expected = {
        (name, f"{name}.{group}" if group in shared else group)
        for name, part in parts.items()
        for group in part["group"]
    }
    assert {(line.dataset, line.group) for line in strata} == expected
    folds_of: dict[str, set[int]] = {}
    for line in strata:
        folds_of.setdefault(line.group, set()).add(line.fold)
    assert {len(folds) for folds in folds_of.values()} == {1}


def originals_of(study: Study, samples_path: SamplesPath, dataset, names, path: Path) -> dict[str, np.ndarray]:
    """Copy 0 of every sample, by its id, when all of them are one fold and windows stay where they are."""
    task = task_of(study)
    settings = study.config.task(task).model_copy(update={"dataset": names})
    settings = settings.model_copy(update={"shift": "zero_fill"} if task == "ecg" else {})
    ids = read_samples(samples_path, ("sample_id",)).arrays["sample_id"].tolist()
    augment_module(settings.kind).write_fold(samples_path, ids, settings, dataset, 42, 1, path)
    inputs = augment_module(settings.kind).open_inputs([path], samples_path, augmented_only=False)
    rows = np.flatnonzero(inputs.copy == 0)
    return dict(zip(inputs.sample_id[rows], inputs.batch(rows, "none").numpy(), strict=True))


def test_folds_hold_the_signals_of_both(study: Study, tmp_path: Path) -> None:
    task, path = task_of(study), tmp_path / "fold1.h5"
    names = study.config.datasets_of(task)
    joined = originals_of(study, study.samples_path(task), study.config.dataset_of(task), names, path)
    found = {}
    for name in names:
        alone = originals_of(study, DataLayout(study.data).samples(name), study.config.datasets[name], name, path)
        found |= {(renamed if (renamed := f"{name}.{own}") in joined else own): of for own, of in alone.items()}
    assert found.keys() == joined.keys()
    for sample_id, signal in joined.items():
        np.testing.assert_array_equal(found[sample_id], signal)


def test_the_fold_files_contain_what_both_were_made_with(study: Study) -> None:
    task = task_of(study)
    attributes = read_attributes(study.fold_paths(task)[0], "fold")
    assert attributes["dataset"] == "first+second"
    protocols = {name: section.protocol() for name, section in study.config.datasets.items()}
    assert json.loads(attributes["dataset_protocol"]) == {"datasets": protocols}
    assert attributes["samples_digest"] == read_samples(study.samples_path(task), ()).digest
    check_origin(study.layout.folds_csv(task), study.samples_path(task))


def test_samples_of_other_settings_are_refused(study: Study, tmp_path: Path) -> None:
    task = task_of(study)
    values = json.loads(study.config.model_dump_json())
    values["datasets"]["second"] |= {"synthetic": {"samples": 9, "seed": 2}}
    where = ", ".join(map(str, study.samples_path(task)))
    with refused(where, "second"):
        write_folds(
            study.samples_path(task),
            parse_config(values).dataset_of(task),
            *(2, "group", 42, "kfold"),
            tmp_path / "folds.csv",
            tmp_path / "strata.csv",
        )


def test_copies_are_moved_as_those_of_the_folds(study: Study) -> None:
    task = task_of(study)
    source = augment_module(study.config.kind_of(task)).open_source(study.fold_paths(task), study.samples_path(task))
    inputs = augment_module(study.config.kind_of(task)).open_inputs(
        study.fold_paths(task), study.samples_path(task), augmented_only=False
    )
    rows = np.arange(len(inputs.copy))[::3]
    moved = source.moved(inputs.sample_id[rows], inputs.copy[rows], study.config.seed)
    np.testing.assert_array_equal(moved.target, inputs.target[rows])
    assert moved.group.tolist() == inputs.group[rows].tolist()


def test_perturbations_start_from_the_samples_of_both(study: Study) -> None:
    task = task_of(study)
    originals = robustness_module(study.config.kind_of(task)).open_originals(
        study.fold_paths(task)[0], study.samples_path(task)
    )
    found = originals.inputs(unchanged)
    inputs = augment_module(study.config.kind_of(task)).open_inputs(
        study.fold_paths(task)[:1], study.samples_path(task), augmented_only=False
    )
    rows = np.flatnonzero(inputs.copy == 0)
    assert found.sample_id.tolist() == inputs.sample_id[rows].tolist()
    np.testing.assert_array_equal(found.batch(np.arange(len(rows)), "none"), inputs.batch(rows, "none"))


def test_a_network_is_trained_on_both_and_used(study: Study, tmp_path: Path) -> None:
    task = task_of(study)
    key = RunKey(task, "none", "heatmap", 1, 42)
    folder = tmp_path / task / "none" / "heatmap" / "fold1" / "seed42"
    settings = Train(epochs=1, batch_size=8, device="cpu", new_copies=True, by_variant={})
    files = RunFiles.in_folder(folder)
    train_run(key, study.fold_paths(task), study.samples_path(task), settings, files)
    model = read_model(files.model)
    strata = read_strata_csv(study.layout.strata_csv(task))
    assert model.metadata.training_groups == tuple(sorted({line.group for line in strata if line.fold == 2}))
    predictor = Predictor([model])
    if task == "ecg":
        assert (predictor.window_s, predictor.leads) == (20.0, (0, 1))
        noise_mv = np.random.default_rng(0).normal(size=(2, 5000))
        assert 0 <= predictor.predict(noise_mv, rate_hz=250).position[0] <= 20


def test_errors_are_given_for_each_data_set(study: Study) -> None:
    task = task_of(study)
    paths = [study.layout.predictions(key) for key in study.runs()]
    errors = measure_study(paths, [], [study.layout.strata_csv(task)], {task: study.limits(task)})
    lines = [line for line in errors.by_stratum if line.stratum_by == "dataset"]
    sizes = {name: len(samples_of(study, name)["group"]) for name in ("first", "second")}
    assert {(line.stratum, line.samples) for line in lines if line.subset == "all"} == set(sizes.items())
    whole = next(line for line in errors.overall if (line.inputs, line.subset) == ("unaugmented", "all"))
    parts = [line for line in lines if (line.method, line.inputs, line.subset) == (whole.method, "unaugmented", "all")]
    assert sum(line.rows * line.mean for line in parts) == pytest.approx(whole.rows * whole.mean)


def test_the_report_is_of_both(study: Study) -> None:
    task = task_of(study)
    described = describe_data(study, task)
    assert (described.dataset, described.papers) == ("first, second", False)
    assert described.kept == sum(len(samples_of(study, name)["group"]) for name in ("first", "second"))
    report_study(study.folder, RESOURCES, study.layout.report)
    with study.layout.table("errors_by_stratum").open(newline="") as handle:
        assert "dataset" in {row["stratum_by"] for row in csv.DictReader(handle)}
    assert "by data set" in study.layout.report.read_text()
