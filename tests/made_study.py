"""A small finished study without any training, for tests: real samples and folds, synthetic runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from made_models import write_model

from siwcc.config import Config, parse_config, write_config
from siwcc.data.augment.interface import augment_module
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.folds import make_fold, write_folds
from siwcc.data.samples import extract_samples
from siwcc.evaluation.baselines.registry import write_baseline
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.io.data_layout import DataLayout
from siwcc.io.files import write_csv, write_manifest, write_text
from siwcc.io.run_key import run_place
from siwcc.io.study_layout import results_of
from siwcc.report.build import report_study
from siwcc.report.study import Study
from siwcc.training.checkpoint import read_model

EPOCHS = 6


def shared_study(tmp_path_factory, kind: str) -> Study:
    """Samples, folds, runs and baselines for all tests of a session; not to be changed.

    `ecg` and `nuclei` follow the paper's protocol, `strict` is an ECG study without its leaks, `both` is like the demo:
    both tasks with two variants.
    """
    config = _shared_config(kind)

    def build(root: Path) -> None:
        for task in config.run:
            study = write_study(root, config.model_copy(update={"run": (task,)}))
            _write_baselines(study, task)
        write_config(study.layout.config, config)

    return _opened(_built_once(tmp_path_factory, f"shared_{kind}", build), config)


def reported_study(tmp_path_factory, kind: str) -> Study:
    """A shared study with its tables, figures and report; not to be changed.

    Drawing takes longer than all the rest: only for tests of the report.
    """
    config, shared = _shared_config(kind), shared_study(tmp_path_factory, kind)

    def build(root: Path) -> None:
        study = copied_study(shared, root)
        resources = Path(__file__).resolve().parent.parent / "resources"
        assert report_study(study.folder, resources, study.layout.report) == []

    return _opened(_built_once(tmp_path_factory, f"reported_{kind}", build), config)


def shared_mapped_study(tmp_path_factory, task: str) -> Study:
    """A shared study of networks that make heatmaps; not to be changed."""
    root = _built_once(tmp_path_factory, f"mapped_{task}", lambda root: write_mapped_study(root, task))
    return _opened(root, _mapped_config(task))


def _shared_config(kind: str) -> Config:
    return {"strict": strict_config, "both": demo_config}.get(kind, partial(made_config, kind))()


def _opened(root: Path, config: Config) -> Study:
    return Study(root / results_of(config.study), root / "data", config)


def _built_once(tmp_path_factory, name: str, build: Callable[[Path], object]) -> Path:
    """A folder that the first test to need it fills, in whatever process of the session it runs."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    whole = root.with_suffix(".whole")
    with FileLock(root.with_suffix(".lock")):
        if not whole.is_file():
            shutil.rmtree(root, ignore_errors=True)
            build(root)
            whole.touch()
    return root


def copied_study(study: Study, root: Path) -> Study:
    """A copy to change."""
    shutil.copytree(study.folder, root / results_of(study.folder.name))
    shutil.copytree(study.data, root / "data")
    return Study(root / results_of(study.folder.name), root / "data", study.config)


DATASETS = {
    "ecg": {"format": "vfdb", "synthetic": {"samples": 3, "seed": 1}},
    "nuclei": {"format": "sipakmed", "synthetic": {"samples": 12, "seed": 1}, "image_size": 64, "max_excluded": 0.5},
}


def made_config(task="ecg", **changes) -> Config:
    """Two folds, one variant, synthetic data."""
    values = {
        "study": "made",
        "run": [task],
        "folds": 2,
        "variants": ["full"],
        "tasks": {task: {"dataset": "synthetic", "copies_per_sample": 2}},
        "datasets": {"synthetic": DATASETS[task]},
        "train": {"epochs": EPOCHS, "device": "cpu"},
    }
    return parse_config(values | changes)


def demo_config() -> Config:
    """Both tasks and both of the paper's variants, as in the demo."""
    return made_config(
        study="both",
        run=list(DATASETS),
        variants=["full", "reduced"],
        tasks={task: {"dataset": task, "copies_per_sample": 2} for task in DATASETS},
        datasets=DATASETS,
    )


def strict_config() -> Config:
    """Folds by record, windows cut out again, two seeds, five encodings."""
    return made_config(
        study="strict",
        folds_by="group",
        seeds=[42, 43],
        encodings=["none", "coord", "weighted", "weighted_unit", "learned"],
        comparisons=[
            ["coord", "weighted"],
            ["none", "weighted_unit"],
            ["coord", "weighted_unit"],
            ["none", "coord"],
            ["none", "learned"],
        ],
        tasks={"ecg": {"dataset": "synthetic", "copies_per_sample": 2, "shift": "rewindow"}},
    )


def write_study(root: Path, config: Config, *, samples_exist: bool = False) -> Study:
    """Write a study of one task as the workflow leaves it, but for its figures and report.

    Args:
        root: Folder of `results` and `data`.
        config: Of the study.
        samples_exist: Whether another study in this folder has the same samples.
    """
    study = _opened(root, config)
    task = config.run[0]
    if not samples_exist:
        _write_samples(study, task)
    write_config(study.layout.config, config)
    section, settings = config.dataset_of(task), config.task(task)
    folds_csv = study.layout.folds_csv(task)
    assignment = (config.folds, config.folds_by, config.seed, settings.folds_rule)
    write_folds(study.samples_path(task), section, *assignment, folds_csv, study.layout.strata_csv(task))
    for fold, path in enumerate(study.fold_paths(task), 1):
        make_fold(study.samples_path(task), folds_csv, fold, settings, section, config.seed, path)
    for key in study.runs():
        _write_run(study, key)
    baseline = study.layout.baseline(task, "training_mean")
    write_baseline("training_mean", task, study.fold_paths(task), study.samples_path(task), baseline)
    write_text(study.layout.benchmark(task, "fold1"), "s\th:m:s\tmax_rss\n61.5\t0:01:01\t250.0\n")
    return study


def write_mapped_study(root: Path, task: str) -> Study:
    """Untrained networks and what they really prediction."""
    config = _mapped_config(task)
    study = write_study(root, config)
    for key in study.runs():
        layout = study.layout
        model = write_model(
            layout.model(key),
            task=task,
            settings=config.task(task),
            section=config.dataset_of(task),
            encoding="coord",
            seed=key.fold,
        )
        inputs = augment_module(config.kind_of(task)).open_inputs(
            [study.fold_paths(task)[key.fold - 1]], study.samples_path(task), augmented_only=False
        )
        batch = inputs.batch(np.arange(len(inputs.target)), "coord")
        prediction, sure, _ = (
            part.detach().numpy() for part in read_model(model).network.predict_with_confidence(batch)
        )
        rows = prediction_rows(inputs, prediction, sure)
        write_csv(layout.predictions(key), prediction_columns(inputs.spec.outputs, 1), rows)
        outputs = [layout.log(key), layout.model(key), layout.predictions(key)]
        write_manifest(layout.manifest(key), run_place(key), outputs, train={})
    return study


def _mapped_config(task: str) -> Config:
    return made_config(task, variants=["heatmap"], encodings=["coord"], comparisons=[])


def _write_baselines(study: Study, task: str) -> None:
    """The predictions of those that `write_study` leaves out."""
    for name in study.missing_baselines(task):
        path = study.layout.baseline(task, name)
        write_baseline(name, task, study.fold_paths(task), study.samples_path(task), path)


def _write_samples(study: Study, task: str) -> None:
    data = DataLayout(study.data)
    for name, section in study.config.sections_of(task).items():
        provide_raw(name, section, data.raw, data.manifest(name))
        outputs = (data.samples(name), data.excluded(name), data.protocol(name))
        extract_samples(name, section, data.raw, data.manifest(name), *outputs)


def _write_run(study: Study, key) -> None:
    """Predictions that are off by 0.1 of the unit times the row's place, half of it with weighted_unit.

    By its log `weighted` is better by 0.1 in R2, and every seed above 42 by 0.02 times the fold.
    """
    layout = study.layout
    gain = 0.1 if key.encoding == "weighted" else 0.0
    gain += 0.02 * key.fold * (key.seed - study.config.seeds[0])
    step = 0.05 if key.encoding == "weighted_unit" else 0.1
    curve = [gain + 0.5 - 0.3 / epoch + 0.01 * key.fold for epoch in range(1, EPOCHS + 1)]
    rows = [(epoch, value + 0.05, value) for epoch, value in enumerate(curve, 1)]
    write_csv(layout.log(key), ("epoch", "train_r2", "test_r2"), rows)
    path = study.fold_paths(key.task)[key.fold - 1]
    inputs = augment_module(study.config.kind_of(key.task)).open_inputs(
        [path], study.samples_path(key.task), augmented_only=False
    )
    # What is not visible is predicted, too.
    predictions = np.nan_to_num(inputs.target) + step * np.arange(len(inputs.target))[:, np.newaxis]
    columns = prediction_columns(inputs.spec.outputs)
    write_csv(layout.predictions(key), columns, prediction_rows(inputs, predictions))
    outputs = (layout.log(key), layout.predictions(key))
    write_manifest(layout.manifest(key), run_place(key), outputs, train={"device": "cpu", "threads": 1})
