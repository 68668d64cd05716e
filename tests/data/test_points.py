"""Several points at once, from the names of the outputs to the tables of a study."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_models import ECG_SECTION, ECG_TASK, IMAGE_SECTION, IMAGE_TASK, write_model
from made_study import made_config, write_study
from tolerances import FLOAT32, FLOAT64, assert_same

from siwcc.cli.inspect import inspect_file
from siwcc.config import OnlineAugmentation, Train, parse_config
from siwcc.data.augment.interface import augment_module, of_point
from siwcc.data.folds import STRATA_COLUMNS
from siwcc.data.points import hide, output_suffixes, points_of, visible_points
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.baselines.registry import write_baseline
from siwcc.evaluation.errors_table import measure_study, write_errors
from siwcc.evaluation.methods import read_predictions
from siwcc.evaluation.metrics import balanced_accuracy, mean_errors, r2_scores
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.evaluation.record_tests import compare_records
from siwcc.inference.loading import load_model
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.io.run_key import RunKey
from siwcc.io.shards import _write_seal, read_shard
from siwcc.report.build import report_study
from siwcc.report.figures.inputs import plot_encodings, plot_predictions
from siwcc.report.figures.style import PAPERS, FigureFiles
from siwcc.report.study import Study
from siwcc.training.checkpoint import read_model
from siwcc.training.run import RunFiles, standardisation, train_run

pytestmark = pytest.mark.numeric

NAN = math.nan
POINTS = {"ecg": ["onset", "end"], "nuclei": ["nucleus", "cytoplasm"]}
SUFFIXES = {"ecg": ("_onset", "_end"), "nuclei": ("_nucleus_x", "_nucleus_y", "_cytoplasm_x", "_cytoplasm_y")}


def points_config(task: str, **changes):
    """A made study of two points, without the paper's leaks."""
    config = made_config(task).model_dump(mode="json")
    config["datasets"]["synthetic"]["points"] = POINTS[task]
    leak_free = {"ecg": {"shift": "rewindow"}, "nuclei": {"border": "reflect"}}
    config["tasks"][task] |= {"points": POINTS[task], **leak_free[task]}
    return parse_config(config | changes)


@pytest.fixture(scope="module")
def ecg_study(tmp_path_factory) -> Study:
    """Real folds, synthetic runs; not to be changed."""
    return write_study(tmp_path_factory.mktemp("ecg"), points_config("ecg"))


@pytest.fixture(scope="module")
def nuclei_study(tmp_path_factory) -> Study:
    """Of images."""
    return write_study(tmp_path_factory.mktemp("nuclei"), points_config("nuclei"))


@pytest.fixture(params=["ecg", "nuclei"])
def study(request) -> Study:
    """Either of them."""
    return request.getfixturevalue(f"{request.param}_study")


# ------------------------------------------------------------------- names


def test_a_single_point_is_not_named() -> None:
    assert output_suffixes(["onset"], 1) == ("",)
    assert output_suffixes(["nucleus"], 2) == ("_x", "_y")
    assert points_of(("",)) == {"": [0]}
    assert points_of(("_x", "_y")) == {"": [0, 1]}


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_several_points_are(task: str) -> None:
    axes = {"ecg": 1, "nuclei": 2}[task]
    assert output_suffixes(POINTS[task], axes) == SUFFIXES[task]
    first, second = POINTS[task]
    assert points_of(SUFFIXES[task]) == {first: list(range(axes)), second: list(range(axes, 2 * axes))}


def test_a_point_is_visible_with_all_its_coordinates() -> None:
    target = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, NAN, NAN]])
    visible = visible_points(target, 2)
    assert visible.tolist() == [[True, True], [True, False]]
    np.testing.assert_array_equal(hide(np.array([[1.0, 2.0, 3.0, 4.0]] * 2), visible), target)


# ------------------------------------------------------------------ config


def test_points_that_the_samples_do_not_have_are_refused() -> None:
    with pytest.raises(InputError, match="'end'") as caught:
        made_config("ecg", tasks={"ecg": {"dataset": "synthetic", "points": ["onset", "end"]}})
    assert "tasks.ecg.points" in str(caught.value)


@pytest.mark.parametrize("points", [["end"], ["end", "onset"], ["onset", "onset"], []])
def test_points_begin_with_the_tasks_own(points: list[str]) -> None:
    with pytest.raises(InputError, match="points"):
        made_config("ecg", tasks={"ecg": {"dataset": "synthetic", "points": points}})


def test_a_dropout_has_room_beside_both_points() -> None:
    config = points_config("ecg").model_dump(mode="json")
    config["tasks"]["ecg"]["augmentation"]["dropout_s"] = [1.0, 6.7]
    with pytest.raises(InputError, match=r"dropout_s.*6\.66667"):
        parse_config(config)


def test_one_point_leaves_no_trace_in_protocols() -> None:
    one, two = made_config("ecg"), points_config("ecg")
    assert "points" not in one.tasks["ecg"].protocol()
    assert "points" not in one.dataset_of("ecg").protocol()
    assert two.tasks["ecg"].protocol()["points"] == two.dataset_of("ecg").protocol()["points"] == ["onset", "end"]


# ------------------------------------------------------------------- folds


def test_folds_say_which_points_are_visible(study: Study) -> None:
    task = study.config.run[0]
    for path in study.fold_paths(task):
        fold = read_shard(path, "fold")
        target, visible = fold.arrays["target"], fold.arrays["visible"] > 0
        assert visible.shape == (len(target), 2)
        np.testing.assert_array_equal(visible_points(target, 2), visible)
        assert visible[:, 0].all()
        # Every cell is drawn into the frame; some rhythms end after their window.
        assert visible[:, 1].all() == (task == "nuclei")
        assert visible[:, 1].any()


def test_the_end_moves_with_the_event(ecg_study: Study) -> None:
    samples = read_shard(ecg_study.samples_path("ecg"), "samples", ("sample_id", "event_sample", "end_sample"))
    arrays = (samples.arrays[name] for name in ("sample_id", "event_sample", "end_sample"))
    lasts_s = {name: (end - event) / 250 for name, event, end in zip(*arrays, strict=True) if end >= 0}
    seen = 0
    for path in ecg_study.fold_paths("ecg"):
        fold = read_shard(path, "fold", ("sample_id", "target", "edge_s")).arrays
        for sample_id, (onset_s, end_s), (_, after_s) in zip(
            fold["sample_id"], fold["target"], fold["edge_s"], strict=True
        ):
            expected_s = onset_s + lasts_s.get(sample_id, math.inf)
            if expected_s < 20 - after_s:
                seen += 1
                assert end_s == pytest.approx(expected_s, rel=1e-9)
            else:
                assert math.isnan(end_s)
    assert seen > 10


def test_both_centres_are_moved_by_one_affine(nuclei_study: Study) -> None:
    from siwcc.data.augment.image import Affine, affine_matrix

    samples = read_shard(nuclei_study.samples_path("nuclei"), "samples", ("sample_id", "target", "cytoplasm")).arrays
    place = {name: row for row, name in enumerate(samples["sample_id"])}
    apart = np.hypot(*(samples["target"] - samples["cytoplasm"]).T)
    assert (apart > 0.5).sum() > len(apart) / 2
    fold = read_shard(nuclei_study.fold_paths("nuclei")[0], "fold").arrays
    for row, sample_id in enumerate(fold["sample_id"]):
        affine = Affine(tuple(fold["translation"][row]), float(fold["rotation_deg"][row]), float(fold["scale"][row]))
        source = np.stack([samples[name][place[sample_id]] for name in ("target", "cytoplasm")], axis=1)
        moved = affine_matrix(affine, (64, 64)) @ np.vstack([source, np.ones(2)])
        # The same product of float64 matrices, of 64 px.
        np.testing.assert_allclose(fold["target"][row], moved.T.ravel(), rtol=0, atol=64 * FLOAT64)
        assert ((moved >= 0) & (moved <= 63)).all()


def test_a_fold_that_hides_a_target_which_is_visible_is_refused(tmp_path: Path, study: Study) -> None:
    import h5py

    task = study.config.run[0]
    path = tmp_path / "fold1.h5"
    path.write_bytes(study.fold_paths(task)[0].read_bytes())
    with h5py.File(path, "r+") as handle:
        values = handle["target"][...]
        row = int(np.flatnonzero(np.isfinite(values[:, -1]))[0])
        values[row, -1] = NAN
        handle["target"][...] = values
    _write_seal(path)
    with pytest.raises(InputError) as caught:
        augment_module(study.config.kind_of(task)).open_inputs([path], study.samples_path(task), augmented_only=False)
    assert caught.value.where == str(path)
    assert "target" in caught.value.problem


# ------------------------------------------------------------------- scores


def test_scores_are_over_the_rows_that_show_the_point() -> None:
    target = np.array([[1.0, 5.0], [2.0, NAN], [4.0, 7.0], [1.0, 9.0]])
    prediction = np.array([[1.0, 5.0], [2.0, 100.0], [4.0, 8.0], [1.0, 9.0]])
    # The second: mean 7, squares 4 + 0 + 4, residual 1.
    assert r2_scores(target, prediction) == [1.0, pytest.approx(1 - 1 / 8)]
    assert mean_errors(target, prediction) == [0.0, pytest.approx(1 / 3)]
    nothing = np.array([[1.0, NAN], [2.0, NAN]])
    assert math.isnan(r2_scores(nothing, nothing)[1])
    assert math.isnan(mean_errors(nothing, np.zeros((2, 2)))[1])


def test_balanced_accuracy_by_hand() -> None:
    visible = np.array([True, True, True, False])
    assert balanced_accuracy(visible, np.array([True, True, False, False])) == pytest.approx((2 / 3 + 1) / 2)
    assert balanced_accuracy(visible, np.ones(4, dtype=bool)) == 0.5
    assert math.isnan(balanced_accuracy(np.ones(3, dtype=bool), np.ones(3, dtype=bool)))


def test_standardisation_leaves_out_what_is_not_visible() -> None:
    mean, deviation = standardisation(np.array([[1.0, 4.0], [3.0, NAN], [5.0, 6.0]]))
    assert mean.tolist() == [3.0, 5.0]
    assert deviation == pytest.approx([2.0, math.sqrt(2)])


# ----------------------------------------------------------- predictions.csv


def write_rows(path: Path, **cells: str) -> Path:
    row = {
        "sample_id": "a",
        "copy": "1",
        "target_onset": "1.0",
        "target_end": "",
        "prediction_onset": "1.5",
        "prediction_end": "3.0",
        "visible_onset": "0.9",
        "visible_end": "0.2",
    }
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, row | cells)
        writer.writeheader()
        writer.writerow(row | cells)
    return path


def test_an_empty_target_is_a_point_that_is_not_visible(tmp_path: Path) -> None:
    found = read_predictions(write_rows(tmp_path / "predictions.csv"))
    assert found.points == {"onset": [0], "end": [1]}
    np.testing.assert_array_equal(found.target, [[1.0, NAN]])
    assert found.error().tolist() == [0.5]
    end = found.of_point("end")
    assert math.isnan(end.error()[0])
    assert end.visibility.tolist() == [[0.2]]


@pytest.mark.parametrize(
    "cells",
    [
        {"target_end": "nan"},
        {"target_end": "inf"},
        {"prediction_end": ""},
        {"prediction_end": "nan"},
        {"visible_end": "1.5"},
        {"visible_end": ""},
    ],
)
def test_nothing_else_is(tmp_path: Path, cells: dict[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        read_predictions(write_rows(tmp_path / "predictions.csv", **cells))
    assert caught.value.where.startswith(str(tmp_path / "predictions.csv"))


def test_a_point_in_an_image_is_hidden_whole(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    columns = prediction_columns(SUFFIXES["nuclei"])
    path.write_text(",".join(columns) + "\na,1,1,2,,4,1,2,3,4\n")
    with pytest.raises(InputError, match="cytoplasm") as caught:
        read_predictions(path)
    assert caught.value.where.startswith(str(path))


def test_a_single_points_target_is_never_empty(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text("sample_id,copy,target,prediction\na,1,,2.0\n")
    with pytest.raises(InputError) as caught:
        read_predictions(path)
    assert caught.value.where.startswith(str(path))


# ------------------------------------------------------------- tables, report


def test_every_point_has_its_errors(study: Study, tmp_path: Path) -> None:
    task = study.config.run[0]
    runs = [study.run_folder(key) / "predictions.csv" for key in study.runs()]
    strata = [study.folder / task / "strata.csv"]
    limits = {task: study.limits(task)}
    errors = measure_study(runs, [study.folder / task / "baselines/training_mean/predictions.csv"], strata, limits)
    assert {line.point for line in errors.overall} == set(POINTS[task])
    target = np.concatenate(
        [
            augment_module(study.config.kind_of(task)).open_inputs([path], study.samples_path(task), True).target
            for path in study.fold_paths(task)
        ]
    )
    for number, point in enumerate(POINTS[task]):
        lines = [
            line
            for line in errors.overall
            if (line.point, line.inputs, line.subset, line.method) == (point, "augmented", "all", "coord")
        ]
        visible = int(visible_points(target, 2)[:, number].sum())
        assert [(line.rows, line.hidden) for line in lines] == [(visible, len(target) - visible)]
    write_errors(tmp_path / "errors.csv", errors.overall)
    header = (tmp_path / "errors.csv").read_text().splitlines()[0].split(",")
    assert header[-3:] == ["point", "hidden", "visibility_accuracy"]
    records = compare_records(runs, [], strata, [("coord", "weighted")], limits)
    assert records.tests


def test_a_hidden_first_point_and_what_is_told_of_it_by_hand(tmp_path: Path) -> None:
    columns = ["sample_id", "copy", "target_onset", "target_end", "prediction_onset", "prediction_end"]
    columns += ["visible_onset", "visible_end"]
    # Off by 1, hidden, and off by 3; then by 0.5, hidden, and right.
    predictions = {
        ("coord", 1): [("a", 1, 1.0, "", 2.0, 3.0, 0.9, 0.1), ("a", 2, "", "", 9.0, 3.0, 0.8, 0.1)],
        ("coord", 2): [("b", 1, 5.0, 6.0, 8.0, 6.0, 0.2, 0.9)],
        ("weighted", 1): [("a", 1, 1.0, "", 1.5, 3.0, 0.6, 0.1), ("a", 2, "", "", 0.0, 3.0, 0.1, 0.1)],
        ("weighted", 2): [("b", 1, 5.0, 6.0, 5.0, 6.0, 0.7, 0.9)],
    }
    runs = []
    for (encoding, fold), rows in predictions.items():
        runs.append(tmp_path / f"ecg/{encoding}/heatmap/fold{fold}/seed42/predictions.csv")
        write_csv(runs[-1], columns, rows)
    strata = tmp_path / "ecg" / "strata.csv"
    write_csv(strata, STRATA_COLUMNS, [("a", "r1", 1, "VT", "inf"), ("b", "r2", 2, "VT", "inf")])
    limits = {"ecg": ErrorLimits("s", 0.5, 1.0)}
    lines = [line for line in measure_study(runs, [], [strata], limits).overall if line.point == "onset"]
    found = {line.method: (line.rows, line.hidden, line.mean, line.visibility_accuracy) for line in lines}
    # Of the two that are there one is told to be, of the one that is not, none is told not to be.
    assert found == {"coord": (2, 1, 2.0, (1 / 2 + 0 / 1) / 2), "weighted": (2, 1, 0.25, 1.0)}
    (test,) = [one for one in compare_records(runs, [], [strata], [("coord", "weighted")], limits).tests if one.records]
    assert (test.control_error, test.study_error, test.mean_difference) == ((1 + 3) / 2, 0.25, (-0.5 - 3) / 2)


def test_a_study_of_one_point_has_no_such_columns(tmp_path: Path) -> None:
    single = write_study(tmp_path, made_config("ecg"))
    runs = [single.run_folder(key) / "predictions.csv" for key in single.runs()]
    errors = measure_study(runs, [], [single.folder / "ecg/strata.csv"], {"ecg": single.limits("ecg")})
    write_errors(tmp_path / "errors.csv", errors.overall)
    assert "point" not in (tmp_path / "errors.csv").read_text().splitlines()[0]


def test_baselines_prediction_every_point(study: Study, tmp_path: Path) -> None:
    task = study.config.run[0]
    path = tmp_path / task / "baselines" / "training_mean" / "predictions.csv"
    write_baseline("training_mean", task, study.fold_paths(task), study.samples_path(task), path)
    found = read_predictions(path)
    first = augment_module(study.config.kind_of(task)).open_inputs(
        study.fold_paths(task)[1:], study.samples_path(task), augmented_only=True
    )
    for name, outputs in first.spec.points.items():
        # Fold 1 is predicted by the mean of fold 2's augmented rows in which the point is visible.
        expected = np.nanmean(of_point(first, name).target.astype(np.float64), axis=0)
        # predictions.csv has six decimals.
        np.testing.assert_allclose(found.prediction[0, outputs], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("study", ["ecg", pytest.param("nuclei", marks=pytest.mark.slow)], indirect=True)
def test_the_report_has_a_table_for_every_point(study: Study, repository) -> None:
    task = study.config.run[0]
    page = study.folder / "report.html"
    report_study(study.folder, repository / "resources", page)
    text = page.read_text()
    for point in POINTS[task]:
        # The errors on augmented copies and on original samples.
        assert text.count(f"<strong>{PAPERS[task].shown_title}, {point}</strong>") == 2
    assert "are of the first point" in text


def test_a_figure_says_which_point_is_drawn_how(study: Study, tmp_path: Path) -> None:
    task = study.config.run[0]
    first = study.runs()[0]
    arm = [run for run in study.runs() if run._replace(fold=first.fold) == first]
    predictions = [study.run_folder(run) / "predictions.csv" for run in arm]
    plot_predictions(
        predictions, study.fold_paths(task), study.samples_path(task), FigureFiles.named(tmp_path, "figure")
    )
    title = {"ecg": "onset bold, end thin", "nuclei": "nucleus large, cytoplasm small"}[task]
    assert title in (tmp_path / "figure.svg").read_text()


def test_a_figure_of_encodings_says_so_too(study: Study, tmp_path: Path) -> None:
    task = study.config.run[0]
    files = FigureFiles.named(tmp_path, "figure")
    plot_encodings(study.fold_paths(task)[0], study.samples_path(task), ("coord",), files)
    title = {"ecg": "onset bold, end thin", "nuclei": "nucleus large, cytoplasm small"}[task]
    assert title in (tmp_path / "figure.svg").read_text()


def test_inspect_says_how_often_a_point_is_missing(study: Study) -> None:
    task = study.config.run[0]
    fold = study.fold_paths(task)[0]
    visible = read_shard(fold, "fold", ("visible", "copy")).arrays
    hidden = (visible["visible"][visible["copy"] > 0] == 0).sum(axis=0).tolist()
    facts = inspect_file(fold).facts
    assert facts["augmented_rows_without"] == dict(zip(POINTS[task], hidden, strict=True))
    assert inspect_file(study.samples_path(task)).kind == "samples"
    predictions = inspect_file(study.run_folder(study.runs()[0]) / "predictions.csv").facts
    assert {f"augmented of {point}" for point in POINTS[task]} <= set(predictions)


# ----------------------------------------------------------- training, models


@pytest.mark.parametrize(
    ("task", "variant"),
    [
        *(("ecg", variant) for variant in ("heatmap", "median", "dense", "full", "pooled", "residual")),
        *(("nuclei", variant) for variant in ("heatmap", "unet", "full")),
    ],
)
def test_every_network_is_trained_on_both(task: str, variant: str, request, tmp_path: Path) -> None:
    study = request.getfixturevalue(f"{task}_study")
    key = RunKey(task, "none", variant, 1, 42)
    folder = tmp_path / task / "none" / variant / "fold1" / "seed42"
    folder.mkdir(parents=True)
    files = RunFiles.in_folder(folder)
    settings = Train(epochs=1, batch_size=16, learning_rate=1e-3, device="cpu")
    train_run(key, study.fold_paths(task), study.samples_path(task), settings, files)
    found = read_predictions(files.predictions)
    assert found.suffixes == SUFFIXES[task]
    assert (found.visibility is not None) == (variant in ("heatmap", "median", "dense", "unet"))
    inputs = augment_module(study.config.kind_of(task)).open_inputs(
        study.fold_paths(task)[:1], study.samples_path(task), False
    )
    # Six decimals in predictions.csv; R2 of one epoch is a few units.
    np.testing.assert_allclose(found.target, inputs.target, rtol=0, atol=1e-6)
    log = next(csv.DictReader(files.log.open()))
    assert set(log) == {"epoch"} | {
        f"{name}{suffix}" for name in ("train_r2", "test_r2", "test_mae") for suffix in SUFFIXES[task]
    }
    scored = found.select(found.copy > 0)
    for suffix, expected in zip(SUFFIXES[task], r2_scores(scored.target, scored.prediction), strict=True):
        assert float(log[f"test_r2{suffix}"]) == pytest.approx(expected, abs=1e-4)
    model = read_model(files.model)
    assert list(model.spec.points) == POINTS[task]


def test_a_recipe_with_another_loss_and_decoder_is_kept_in_the_model(request, tmp_path: Path) -> None:
    study = request.getfixturevalue("nuclei_study")
    key = RunKey("nuclei", "none", "unet", 1, 42)
    recipe = {"loss": "squared_error", "decoder": "soft_argmax", "heatmap_sigma": 5.0}
    mirrored = OnlineAugmentation(mirror=0.5)
    settings = Train(epochs=1, batch_size=16, device="cpu", new_copies=True, online_augmentation=mirrored, **recipe)
    folder = tmp_path / "nuclei" / "none" / "unet" / "fold1" / "seed42"
    folder.mkdir(parents=True)
    files = RunFiles.in_folder(folder)
    train_run(key, study.fold_paths("nuclei"), study.samples_path("nuclei"), settings, files)
    model = read_model(files.model)
    assert {name: model.metadata.train[name] for name in recipe} == recipe
    assert (model.network.body.trained_by, model.network.body.readout) == ("squared_error", "soft_argmax")
    assert model.network.body.sigma == (5.0, 5.0)
    inputs = augment_module("image").open_inputs(study.fold_paths("nuclei")[:1], study.samples_path("nuclei"), False)
    with torch.inference_mode():
        prediction = model.network(inputs.batch(np.arange(len(inputs.target)), "none")).numpy()
    # Six decimals in predictions.csv, float32 of up to 64 px.
    np.testing.assert_allclose(read_predictions(files.predictions).prediction, prediction, rtol=0, atol=1e-4)


def test_a_point_that_is_absent_in_training_is_named(study: Study, tmp_path: Path, monkeypatch) -> None:
    task = study.config.run[0]
    module = augment_module(study.config.kind_of(task))
    opened = module.open_inputs

    def hidden(*arguments, **options):
        inputs = opened(*arguments, **options)
        inputs.target[:, len(SUFFIXES[task]) // 2 :] = NAN
        return inputs

    monkeypatch.setattr(module, "open_inputs", hidden)
    settings = Train(epochs=1, device="cpu")
    files = RunFiles.in_folder(tmp_path / task / "none" / "heatmap" / "fold1" / "seed42")
    key = RunKey(task, "none", "heatmap", 1, 42)
    with pytest.raises(InputError, match=f"'{POINTS[task][1]}'") as caught:
        train_run(key, study.fold_paths(task), study.samples_path(task), settings, files)
    assert caught.value.where == f"{task} none heatmap fold 1 seed 42"


def points_model(path: Path, task: str, absent: float = 0.0, **options) -> Path:
    """A drawn network for two points; `absent` is added to the second's logit of being absent."""
    settings = {"ecg": ECG_TASK, "nuclei": IMAGE_TASK}[task].model_copy(update={"points": tuple(POINTS[task])})
    section = {"ecg": ECG_SECTION, "nuclei": IMAGE_SECTION}[task].model_copy(update={"points": tuple(POINTS[task])})
    write_model(path, task=task, settings=settings, section=section, **options)
    if absent:
        model = read_model(path)
        model.network.body.absence.bias.data += torch.tensor([-absent, absent])
        from siwcc.training.checkpoint import model_bytes

        metadata = json.loads(model.metadata.model_dump_json(exclude={"weights_sha256"}))
        path.write_bytes(model_bytes(metadata, model.network.state_dict()))
    return path


def test_a_window_is_predicted_point_by_point(tmp_path: Path) -> None:
    signal_mv = np.random.default_rng(0).standard_normal((2, 200))
    predictor = load_model([points_model(tmp_path / f"{seed}.pt", "ecg", 100.0, seed=seed) for seed in (1, 2)])
    prediction = predictor.predict(signal_mv, rate_hz=50)
    assert [point.point for point in prediction.points] == ["onset", "end"]
    assert [round(point.visible, 3) for point in prediction.points] == [1.0, 0.0]
    assert prediction.further[0].confidence < 1e-6
    assert prediction.further[0].heatmap.values.sum() < 1e-6
    assert prediction.heatmap.values.sum() == pytest.approx(1.0, abs=FLOAT32)
    assert all(point.window_s == prediction.window_s for point in prediction.points)
    assert prediction.network_positions.shape == prediction.further[0].network_positions.shape == (2, 1)


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_the_command_has_a_row_for_every_point(task: str, tmp_path: Path, capsys) -> None:
    from made_models import write_record

    from siwcc.cli import main as cli

    model = points_model(tmp_path / "fold1.pt", task, 100.0)
    values = np.random.default_rng(0)
    if task == "ecg":
        given = write_record(tmp_path, "r", values.standard_normal((2, 200)))
    else:
        given = tmp_path / "cell.png"
        cv2.imwrite(str(given), values.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    figure = tmp_path / "figure.svg"
    assert cli.main(["predict", str(model), str(given), "--format", "json", "--plot", str(figure)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["point"], row["result"]) for row in rows] == list(
        zip(POINTS[task], ["found", "not visible"], strict=True)
    )
    place = "prediction_s" if task == "ecg" else "x_px"
    assert rows[0][place] is not None
    assert rows[1][place] is None
    assert rows[1]["visible"] < 0.001
    assert figure.is_file()
    assert cli.main(["predict", str(model), str(given)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert "point" in table[0].split()
    assert "not visible" in table[2]


@pytest.mark.parametrize("kind", ["exported-program", pytest.param("onnx", marks=pytest.mark.slow)])
def test_the_exported_network_tells_too(tmp_path: Path, kind: str) -> None:
    from siwcc.inference.export import describe, export_model

    path = points_model(tmp_path / "model.pt", "ecg", 1.0)
    model = read_model(path)
    exported = export_model(path, kind)
    signal = torch.randn(3, 2, 40, generator=torch.Generator().manual_seed(0))
    if kind == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(exported.read_bytes())
        prediction, visible = session.run(["prediction", "visible"], {"signal": signal.numpy()})
    else:
        prediction, visible = torch.export.load(exported).module()(signal)
    with torch.inference_mode():
        expected, _, visibility = model.network.predict_with_confidence(signal)
    # Seconds of a window of 4 s; a fraction.
    assert_same(prediction, expected, FLOAT32, scale=model.spec.output_scale)
    assert_same(visible, visibility, FLOAT32, scale=1)
    about = describe(model)
    assert about["output"]["columns"] == about["visible"]["columns"] == ["onset", "end"]


def test_metadata_whose_outputs_are_no_points_are_refused(tmp_path: Path) -> None:
    from siwcc.training.checkpoint import model_bytes

    path = points_model(tmp_path / "model.pt", "nuclei")
    model = read_model(path)
    metadata = json.loads(model.metadata.model_dump_json(exclude={"weights_sha256"}))
    metadata["spec"]["outputs"] = ["_nucleus_x", "_nucleus_y", "_cytoplasm_x"]
    path.write_bytes(model_bytes(metadata, model.network.state_dict()))
    with pytest.raises(InputError, match="outputs") as caught:
        read_model(path)
    assert caught.value.where == str(path)


def test_rows_of_a_point_alone_keep_the_others_out(study: Study) -> None:
    task = study.config.run[0]
    inputs = augment_module(study.config.kind_of(task)).open_inputs(
        study.fold_paths(task)[:1], study.samples_path(task), True
    )
    name, outputs = list(inputs.spec.points.items())[1]
    one = of_point(inputs, name)
    assert one.spec == replace(inputs.spec, outputs=output_suffixes([name], len(outputs)))
    np.testing.assert_array_equal(one.target, inputs.target[:, outputs])
    assert inputs.target.shape[1] == 2 * len(outputs)


def test_rows_are_written_as_they_are_read(study: Study, tmp_path: Path) -> None:
    task = study.config.run[0]
    inputs = augment_module(study.config.kind_of(task)).open_inputs(
        study.fold_paths(task)[:1], study.samples_path(task), True
    )
    visibility = np.linspace(0, 1, 2 * len(inputs.target)).reshape(-1, 2)
    predictions = np.zeros(inputs.target.shape)
    columns = prediction_columns(inputs.spec.outputs, 2, 2)
    assert columns[-4:] == [f"{kind}_{point}" for kind in ("confidence", "visible") for point in POINTS[task]]
    path = tmp_path / "predictions.csv"
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([columns, *prediction_rows(inputs, predictions, visibility, visibility)])
    found = read_predictions(path)
    # Six decimals.
    np.testing.assert_allclose(found.target, inputs.target, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.visibility, visibility, rtol=0, atol=1e-6)
