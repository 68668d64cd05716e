"""Networks on a data set that none of them saw: as in the study's own folds, and as a predictor has them together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_study import DATASETS, copied_study, made_config, write_mapped_study, write_study
from refusals import refused

from siwcc.config import Config, Kind, parse_config, write_config
from siwcc.data.augment.interface import augment_module
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.external import check_unseen, open_external
from siwcc.data.samples import extract_samples
from siwcc.evaluation.baselines.registry import (
    BASELINES,
    baselines_of,
    load_baseline,
    unlearned_baselines_of,
    write_external_baseline,
)
from siwcc.evaluation.external_table import ENSEMBLE, measure_external
from siwcc.inference.external import predict_external
from siwcc.inference.predictor import Predictor
from siwcc.io.data_layout import DataLayout
from siwcc.io.files import read_csv
from siwcc.io.shards import read_shard
from siwcc.report.build import describe_missing, report_study
from siwcc.report.study import Study, open_study
from siwcc.training.checkpoint import read_model

pytestmark = pytest.mark.numeric

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
OTHER = {"ecg": {"samples": 2, "seed": 7}, "nuclei": {"samples": 8, "seed": 7}}


def with_external(config: Config) -> Config:
    """The study with a data set of its own kind that it only tests on."""
    (task,) = config.run
    values = config.model_dump(mode="json") | {"external": {task: ["other"]}}
    values["datasets"]["other"] = DATASETS[task] | {"synthetic": OTHER[task]}
    return parse_config(values)


@pytest.fixture(scope="module", params=["ecg", "nuclei"])
def study(request, tmp_path_factory) -> Study:
    """Untrained networks with heatmaps; with the samples of another data set, not to be changed."""
    study = write_mapped_study(tmp_path_factory.mktemp(request.param), request.param)
    study = Study(study.folder, study.data, with_external(study.config))
    data, section = DataLayout(study.data), study.config.datasets["other"]
    provide_raw("other", section, data.raw, data.manifest("other"))
    outputs = (data.samples("other"), data.excluded("other"), data.protocol("other"))
    extract_samples("other", section, data.raw, data.manifest("other"), *outputs)
    return study


def task_of(study: Study) -> str:
    return study.config.run[0]


def models_of(study: Study) -> list[Path]:
    return [study.layout.model(key) for key in study.runs()]


def other_inputs(study: Study):
    path = DataLayout(study.data).samples("other")
    return open_external(study.config, task_of(study), path, study.samples_path(task_of(study)))


def test_original_samples_are_those_of_the_folds(study: Study) -> None:
    task = task_of(study)
    module, settings, seed = augment_module(study.config.kind_of(task)), study.config.task(task), study.config.seed
    found = module.open_originals(study.samples_path(task), settings, study.config.dataset_of(task), seed)
    folds = module.open_inputs(study.fold_paths(task), study.samples_path(task), augmented_only=False)
    rows = np.flatnonzero(folds.copy == 0)
    rows = rows[np.argsort(folds.sample_id[rows])]
    assert found.sample_id.tolist() == folds.sample_id[rows].tolist()
    np.testing.assert_array_equal(found.target, folds.target[rows])
    np.testing.assert_array_equal(found.batch(np.arange(len(rows)), "none"), folds.batch(rows, "none"))


def test_a_network_predicts_as_on_its_test_fold(study: Study, tmp_path: Path) -> None:
    task = task_of(study)
    own = augment_module(study.config.kind_of(task)).open_originals(
        study.samples_path(task), study.config.task(task), study.config.dataset_of(task), study.config.seed
    )
    path = tmp_path / task / "coord" / "heatmap" / "external" / "synthetic" / "predictions.csv"
    predict_external(models_of(study), own, path)
    found = {(row["network"], row["sample_id"]): row for row in read_csv(path, ())}
    for key in study.runs():
        for row in read_csv(study.layout.predictions(key), ()):
            if row["copy"] == "0":
                again = found[f"fold{key.fold}", row["sample_id"]]
                for name in row.keys() - {"sample_id", "copy"}:
                    # Six decimals; batches of other sizes round otherwise.
                    assert float(again[name]) == pytest.approx(float(row[name]), rel=1e-5, abs=2e-6)


def test_the_ensemble_is_what_a_predictor_of_all_networks_gives(study: Study, tmp_path: Path) -> None:
    task, inputs = task_of(study), other_inputs(study)
    path = tmp_path / task / "coord" / "heatmap" / "external" / "other" / "predictions.csv"
    predict_external(models_of(study), inputs, path)
    rows = read_csv(path, ())
    samples = len(inputs.sample_id)
    assert [row["network"] for row in rows[::samples]] == ["fold1", "fold2", ENSEMBLE]
    assert {row["seed"] for row in rows} == {"42"}
    models = [read_model(path) for path in models_of(study)]
    expected = Predictor(models).predict_prepared(inputs.batch(np.arange(samples), "coord"))
    outputs = inputs.spec.outputs
    together = [[float(row[f"prediction{suffix}"]) for suffix in outputs] for row in rows[2 * samples :]]
    np.testing.assert_allclose(together, expected.together, rtol=0, atol=1e-6)
    alone = [[float(row[f"prediction{suffix}"]) for suffix in outputs] for row in rows[samples : 2 * samples]]
    np.testing.assert_allclose(alone, expected.of_each[1], rtol=0, atol=1e-4)
    assert [row["group"] for row in rows[:samples]] == inputs.group.tolist()


@pytest.mark.parametrize("kind", ["signal", "image"])
def test_a_baseline_that_learns_nothing_predicts_without_training_rows(kind: Kind) -> None:
    learned = {"training_mean", "zero_padding", "gap_oracle"}
    assert set(unlearned_baselines_of(kind)) == set(baselines_of(kind)) - learned
    assert {name for name, entry in BASELINES.items() if entry.learns} == learned


def test_baselines_predict_the_samples_as_those_of_a_fold(study: Study, tmp_path: Path) -> None:
    task, inputs = task_of(study), other_inputs(study)
    for name in unlearned_baselines_of(study.config.kind_of(task)):
        path = tmp_path / task / "baselines" / name / "external" / "other" / "predictions.csv"
        write_external_baseline(name, inputs, path)
        every_row = np.arange(len(inputs.target))
        expected = load_baseline(name)(inputs, every_row, every_row)
        rows = read_csv(path, ())
        found = [[float(row[f"prediction{suffix}"]) for suffix in inputs.spec.outputs] for row in rows]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_sample_that_networks_were_trained_on_is_refused(study: Study) -> None:
    task, data = task_of(study), DataLayout(study.data)
    own = study.samples_path(task)
    with refused(own, read_shard(own, "samples", ("sample_id",)).arrays["sample_id"][0]):
        check_unseen(own, own)
    # Both have records, or images, of one name, whose samples differ.
    groups = [set(read_shard(path, "samples", ("group",)).arrays["group"]) for path in (own, data.samples("other"))]
    assert groups[0] & groups[1]
    check_unseen(data.samples("other"), own)


def test_samples_of_other_settings_are_refused(study: Study) -> None:
    task, path = task_of(study), DataLayout(study.data).samples("other")
    values = study.config.model_dump(mode="json")
    values["datasets"]["other"]["synthetic"]["seed"] = 8
    with refused(path, "synthetic"):
        open_external(parse_config(values), task, path, study.samples_path(task))


def test_the_report_has_a_section_once_the_predictions_are_there(study: Study, tmp_path: Path) -> None:
    study = copied_study(study, tmp_path)
    task, inputs = task_of(study), other_inputs(study)
    write_config(study.layout.config, study.config)
    assert any("external" in line for line in describe_missing(study))
    predict_external(models_of(study), inputs, study.layout.external(task, "coord", "heatmap", "other"))
    for name in unlearned_baselines_of(study.config.kind_of(task)):
        write_external_baseline(name, inputs, study.layout.external_baseline(task, name, "other"))
    missing = report_study(study.folder, RESOURCES, study.layout.report)
    assert not any("external" in line for line in missing)
    assert 'id="external"' in study.layout.report.read_text()
    assert study.layout.table("external") in study.files.tables()
    expected = measure_external(study.files.external(), {task: study.limits(task)})
    unlearned = unlearned_baselines_of(study.config.kind_of(task))
    assert len(read_csv(study.layout.table("external"), ())) == len(expected) == 3 + len(unlearned)


def test_without_external_data_sets_nothing_is_added(tmp_path: Path) -> None:
    study = write_study(tmp_path, made_config("nuclei"))
    assert study.files.external() == []
    assert study.layout.table("external") not in study.files.tables()
    report_study(study.folder, RESOURCES, study.layout.report)
    assert not study.layout.table("external").exists()
    assert 'id="external"' not in study.layout.report.read_text()
    assert open_study(study.folder).config.external == {}
