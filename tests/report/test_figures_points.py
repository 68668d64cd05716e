"""Many points on one image: marks, lines, colours and names, the numbers beside them, and one or two points."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from made_models import write_model
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from siwcc.config import Config, parse_config
from siwcc.data.augment.interface import augment_module
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.folds import make_fold, write_folds
from siwcc.data.points import output_suffixes
from siwcc.data.samples import extract_samples
from siwcc.data.tasks.interface import TaskSpec
from siwcc.evaluation.methods import Predictions, read_predictions
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.io.data_layout import DataLayout
from siwcc.io.files import write_csv, write_manifest
from siwcc.io.run_key import run_place
from siwcc.io.shards import shard_writer
from siwcc.io.study_layout import results_of
from siwcc.report.confidence import ConfidenceArm
from siwcc.report.figures import inputs, inspection, samples
from siwcc.report.figures.points import (
    PREDICTION_MARK,
    TARGET_MARK,
    colours_of,
    draw_points,
    draw_times,
    mark_handles,
    name_points,
    overlay_maps,
)
from siwcc.report.figures.style import FigureFiles, new_figure, why_not_drawn
from siwcc.report.figures.worst import WorstInputs, find_worst, plot_worst
from siwcc.report.study import Study
from siwcc.training.checkpoint import read_model

NAMES = ("T1", "T2", "T3", "T4", "T5")
HEIGHT, WIDTH = 64, 32
SPEC = TaskSpec("spine", "lakshya", output_suffixes(NAMES, 2), "px", 1, (HEIGHT, WIDTH), (31.0, 63.0), 63.0)
NAN = math.nan
# The third point is missing.
PLACES = np.array([[4.0, 5.0], [8.0, 15.0], [NAN, NAN], [16.0, 40.0], [20.0, 60.0]])


def panel() -> Any:
    axis = new_figure(3, 3).subplots()
    axis.imshow(np.zeros((HEIGHT, WIDTH)))
    return axis


def marks_of(axis: Axes) -> list[Any]:
    """Without their rims."""
    return [found for found in axis.collections if isinstance(found, PathCollection)][1::2]


def lines_of(axis: Axes) -> list[Any]:
    return [found for found in axis.collections if isinstance(found, LineCollection)][1::2]


def places_of(marks: Any) -> list[list[float]]:
    return [list(place) for place in np.asarray(marks.get_offsets())]


def hex_of(colours: object) -> list[str]:
    return [to_hex(colour) for colour in np.asarray(colours)]


def bar_of(axis: Axes) -> Any:
    (bar,) = axis.child_axes
    return bar


# ------------------------------------------------------------------ drawing


@pytest.mark.parametrize("points", [3, 17, 40])
def test_colours_become_lighter_with_the_order(points: int) -> None:
    lightness = []
    for colour in colours_of(points):
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        lightness.append(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2)
    assert len(set(colours_of(points))) == points
    assert lightness == sorted(lightness)


def test_each_visible_point_has_its_mark_and_neighbours_a_line() -> None:
    axis = panel()
    draw_points(axis, (PLACES, TARGET_MARK), (PLACES + 1, PREDICTION_MARK))
    visible, colours = [0, 1, 3, 4], colours_of(5)
    for found, expected in zip(marks_of(axis), (PLACES, PLACES + 1), strict=True):
        assert places_of(found) == expected[visible].tolist()
    rings, crosses = marks_of(axis)
    assert hex_of(rings.get_edgecolors()) == hex_of(crosses.get_facecolors()) == [colours[i] for i in visible]
    assert rings.get_facecolors().size == 0
    for lines, expected in zip(lines_of(axis), (PLACES, PLACES + 1), strict=True):
        assert [line.tolist() for line in lines.get_segments()] == [expected[:2].tolist(), expected[3:].tolist()]
        assert hex_of(lines.get_colors()) == [colours[0], colours[3]]
    solid, dashed = (lines.get_linestyles()[0][1] for lines in lines_of(axis))
    assert solid is None
    assert dashed is not None


def test_a_prediction_for_a_missing_point_is_not_drawn() -> None:
    axis = panel()
    inputs.mark_case(axis, SPEC, PLACES.ravel(), np.full(10, 7.0))
    assert [len(places_of(found)) for found in marks_of(axis)] == [4, 4]
    assert (axis.get_xlim(), axis.get_ylim()) == ((-0.5, 31.5), (63.5, -0.5))


def test_an_image_without_any_visible_point_is_drawn() -> None:
    axis = panel()
    inputs.mark_case(axis, SPEC, np.full(10, NAN), np.full(10, 7.0))
    assert [len(places_of(found)) for found in marks_of(axis)] == [0, 0]


@pytest.mark.parametrize(("points", "sizes"), [(1, [12.0, 6.0]), (2, [12.0, 6.0, 7.2, 3.6])])
def test_one_or_two_points_differ_in_size_alone(points: int, sizes: list[float]) -> None:
    axis = panel()
    draw_points(axis, (PLACES[:points], TARGET_MARK), (PLACES[:points], PREDICTION_MARK))
    name_points(axis, NAMES[:points])
    # A rim and a mark each.
    assert [line.get_markersize() for line in axis.lines[1::2]] == pytest.approx(sizes)
    assert {line.get_marker(): line.get_markeredgecolor() for line in axis.lines[1::2]} == {
        "o": "#009E73",
        "x": "#D55E00",
    }
    assert (axis.collections[:], axis.child_axes) == ([], [])


def test_names_are_in_a_bar_beside_the_image() -> None:
    axis = panel()
    name_points(axis, NAMES)
    bar = bar_of(axis)
    assert [label.get_text() for label in bar.get_yticklabels()] == list(NAMES)
    axis.figure.draw_without_rendering()
    assert bar.get_window_extent().x0 > axis.get_window_extent().x1
    assert bar.get_tightbbox().x1 <= axis.figure.bbox.x1
    # The first name is the highest.
    low, high = bar.get_ylim()
    assert low > high


def test_of_too_many_names_some_are_written_and_none_overlap() -> None:
    axis = panel()
    names = [f"landmark_with_a_long_name_{number}" for number in range(60)]
    name_points(axis, names)
    axis.figure.draw_without_rendering()
    shown = bar_of(axis).get_yticklabels()
    assert 5 < len(shown) < 60
    assert len({label.get_text() for label in shown}) == len(shown)
    places = [label.get_window_extent() for label in shown]
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(places))
    assert bar_of(axis).get_tightbbox().x1 <= axis.figure.bbox.x1


def test_the_legend_of_many_points_is_without_their_colours() -> None:
    colours = {to_hex(handle.get_color()) for handle in mark_handles(5)}
    assert len(colours) == 1
    assert not colours & set(colours_of(5))
    assert [handle.get_marker() for handle in mark_handles(5)] == ["o", "x"]


def test_many_times_have_a_colour_each_and_missing_ones_no_line() -> None:
    axis = new_figure(3, 3).subplots()
    draw_times(axis, np.array([1.0, NAN, 3.0]), np.array([1.5, 2.0, 3.5]), alone=2.0)
    first, _, last = colours_of(3)
    drawn = [(np.asarray(line.get_xdata())[0], line.get_color(), line.get_linestyle()) for line in axis.lines]
    assert drawn == [(1.0, first, "-"), (1.5, first, "--"), (3.0, last, "-"), (3.5, last, "--")]


def test_maps_as_one_are_each_relative_to_its_peak() -> None:
    maps = np.zeros((2, 3, 4))
    maps[0, 0] = [0.1, 0.2, 0, 0]
    maps[1, 2] = [0, 0, 0.01, 0.04]
    expected = [[0.5, 1.0, 0, 0], [0, 0, 0, 0], [0, 0, 0.25, 1.0]]
    assert overlay_maps(maps).tolist() == expected


def test_a_grey_image_is_shown_grey() -> None:
    grey = inputs.picture_of(np.array([[[-1.0, 0.0], [1.0, 3.0]]]))
    assert grey.shape == (2, 2, 3)
    for channel in range(3):
        assert grey[..., channel].tolist() == [[0.0, 0.25], [0.5, 1.0]]
    assert inputs.picture_of(np.zeros((3, 4, 5))).shape == (4, 5, 3)


# ------------------------------------------------------------------ numbers


def predictions(points: int, apart: Sequence[Sequence[float]]) -> Predictions:
    """Targets at 0, predictions `apart` from them; NaN is a point that is not visible."""
    prediction = np.array(apart)
    target = np.where(np.isnan(prediction), NAN, 0.0)
    names = np.array([f"s{i}" for i in range(len(prediction))], dtype=object)
    suffixes = output_suffixes(NAMES[:points], 2)
    return Predictions(names, np.ones(len(prediction), int), target, np.nan_to_num(prediction), suffixes)


def test_the_error_of_many_points_is_their_mean_distance() -> None:
    rows: list[list[float]] = [[3, 4, 0, 1, NAN, NAN], [6, 8, 0, 0, 0, 2], [NAN] * 6]
    errors = inputs.errors_of(predictions(3, rows))
    assert errors[:2].tolist() == [(5 + 1) / 2, (10 + 0 + 2) / 3]
    assert math.isnan(errors[2])
    # Of two points it is the first one's.
    assert inputs.errors_of(predictions(2, [[3, 4, 0, 1]])).tolist() == [5.0]


def write_targets(path: Path, spec: TaskSpec, target: np.ndarray) -> Path:
    """A fold file with augmented copies alone."""
    with shard_writer(path, "fold", {"spec": spec.to_json()}) as writer:
        writer.extend({"target": target, "copy": np.ones(len(target), dtype=np.int32)})
    return path


def test_targets_of_many_points_are_counted_together_by_axis(tmp_path: Path) -> None:
    target = np.tile(PLACES.ravel(), (3, 1))
    files = FigureFiles.named(tmp_path, "targets")
    samples.plot_targets([write_targets(tmp_path / "fold1.h5", SPEC, target)], files)
    assert why_not_drawn(files.svg) is None
    rows = list(csv.DictReader(files.data.open(newline="")))
    for output, last, expected in (("x", 31.0, PLACES[:, 0]), ("y", 63.0, PLACES[:, 1])):
        own = [row for row in rows if row["output"] == output]
        assert (len(own), float(own[-1]["to"])) == (samples.BINS, last)
        counted = {int(row["points"]): row for row in own}
        assert sum(int(row["points"]) for row in own) == 3 * 4
        assert set(counted) == {0, 3}
        filled = [(float(row["from"]), float(row["to"])) for row in own if row["points"] == "3"]
        known = expected[np.isfinite(expected)]
        assert all(start <= place < stop for place, (start, stop) in zip(known, filled, strict=True))


def test_four_points_have_a_panel_for_each_output() -> None:
    spec = TaskSpec("spine", "lakshya", output_suffixes(NAMES[:4], 2), "px", 1, (HEIGHT, WIDTH), (31.0, 63.0), 63.0)
    panels = samples.target_panels(spec)
    assert [panel.suffix for panel in panels] == list(spec.outputs)
    assert [panel.largest for panel in panels] == [31.0, 63.0] * 4
    time = TaskSpec("ecg", "nimesha", ("",), "s", 2, (500,), (19.96,), 20.0)
    assert samples.target_panels(time) == [samples.TargetPanel("", [0], 20.0)]


# ------------------------------------------------------- a study, grey and tall


def write_images(folder: Path) -> None:
    """Twelve grey images with five bright squares each; one of the third ones is missing."""
    rng = np.random.default_rng(5)
    lines = []
    for number in range(12):
        places = np.stack([rng.uniform(8, 24, 5), np.linspace(6, 58, 5)], axis=1).round(2)
        image = rng.integers(0, 60, (HEIGHT, WIDTH)).astype(np.uint8)
        for x, y in places.round().astype(int):
            image[y - 2 : y + 3, x - 2 : x + 3] = 200
        cv2.imwrite(str(folder / f"i{number:02}.png"), image)
        cells = ["" if (number, i) in ((3, 4), (3, 5)) else value for i, value in enumerate(places.ravel().tolist())]
        lines.append([f"i{number:02}.png", f"g{number}", "a", *cells])
    columns = [f"{axis}{number}" for number in range(1, 6) for axis in "xy"]
    write_csv(folder / "samples.csv", ["file", "group", "class", *columns], lines)


def spine_config(folder: Path) -> Config:
    points = [[name, str(number)] for number, name in enumerate(NAMES, 1)]
    frame = {"image_size": [HEIGHT, WIDTH], "colours": 1, "points_from": points}
    return parse_config(
        {
            "study": "spine",
            "run": ["spine"],
            "folds": 2,
            "variants": ["heatmap"],
            "encodings": ["coord"],
            "comparisons": [],
            "tasks": {"spine": {"kind": "image", "dataset": "xrays", "copies_per_sample": 2, "border": "reflect"}},
            "datasets": {"xrays": {"format": "folder", "kind": "image", "path": str(folder), **frame}},
        }
    )


def write_runs(study: Study) -> None:
    """Networks that are not trained, with what they predict."""
    config = study.config
    for key in study.runs():
        section, settings = config.dataset_of("spine"), config.task("spine")
        path = study.layout.model(key)
        write_model(path, key.variant, "image", settings, section, encoding="coord", seed=key.fold, fold=key.fold)
        fold = study.fold_paths("spine")[key.fold - 1]
        opened = augment_module("image").open_inputs([fold], study.samples_path("spine"), augmented_only=False)
        with torch.inference_mode():
            found = read_model(path).network.predict_with_confidence(
                opened.batch(np.arange(len(opened.target)), "coord")
            )
        prediction, confidence, visible = (None if part is None else part.numpy() for part in found)
        columns = prediction_columns(opened.spec.outputs, 5, 0 if visible is None else 5)
        write_csv(study.layout.predictions(key), columns, prediction_rows(opened, prediction, confidence, visible))
        outputs = [study.layout.model(key), study.layout.predictions(key)]
        write_manifest(study.layout.manifest(key), run_place(key), outputs, train={})


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Real samples and folds of five points; not to be changed."""
    root = tmp_path_factory.mktemp("spine")
    folder = root / "images"
    folder.mkdir()
    write_images(folder)
    config = spine_config(folder)
    study = Study(root / results_of(config.study), root / "data", config)
    data, section, settings = DataLayout(study.data), config.datasets["xrays"], config.task("spine")
    provide_raw("xrays", section, data.raw, data.manifest("xrays"))
    outputs = (data.samples("xrays"), data.excluded("xrays"), data.protocol("xrays"))
    extract_samples("xrays", section, data.raw, data.manifest("xrays"), *outputs)
    folds_csv, strata = study.layout.folds_csv("spine"), study.layout.strata_csv("spine")
    assignment = (config.folds, config.folds_by, config.seed, settings.folds_rule)
    write_folds(study.samples_path("spine"), section, *assignment, folds_csv, strata)
    for fold, path in enumerate(study.fold_paths("spine"), 1):
        make_fold(study.samples_path("spine"), folds_csv, fold, settings, section, config.seed, path)
    write_runs(study)
    return study


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []
    for module in (inputs, "siwcc.report.figures.worst"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.save_figure", lambda figure, files: figures.append(figure))
    return figures


def test_the_targets_are_on_the_image_of_the_encodings(spine: Study, tmp_path: Path, drawn: list[Figure]) -> None:
    files = FigureFiles.named(tmp_path, "encodings")
    inputs.plot_encodings(spine.fold_paths("spine")[0], spine.samples_path("spine"), ("coord",), files)
    (figure,) = drawn
    image = figure.axes[0]
    (rings,) = marks_of(image)
    path = spine.fold_paths("spine")[0]
    opened = augment_module("image").open_inputs([path], spine.samples_path("spine"), augmented_only=False)
    originals = opened.target[opened.copy == 0]
    target = originals[len(originals) // 2].reshape(-1, 2)
    assert places_of(rings) == target[np.isfinite(target).all(axis=1)].tolist()
    assert np.asarray(image.images[0].get_array()).shape == (HEIGHT, WIDTH, 3)
    assert len(list(csv.DictReader(files.data.open(newline="")))) == HEIGHT * WIDTH


def test_best_median_and_worst_are_by_the_mean_distance(spine: Study, tmp_path: Path, drawn: list[Figure]) -> None:
    files = FigureFiles.named(tmp_path, "predictions")
    paths = spine.existing("spine", "predictions.csv")
    inputs.plot_predictions(paths, spine.fold_paths("spine"), spine.samples_path("spine"), files)
    rows = list(csv.DictReader(files.data.open(newline="")))
    assert [row["case"] for row in rows] == ["best", "median", "worst"]
    errors = [float(row["error_px"]) for row in rows]
    assert errors == sorted(errors)
    for row, error in zip(rows, errors, strict=True):
        assert error == pytest.approx(mean_distance(row), abs=1e-5)
    (figure,) = drawn
    panels = [axis for axis in figure.axes if axis.images]
    assert [len(marks_of(axis)) for axis in panels] == [2, 2, 2]
    assert len(bar_of(panels[-1]).get_yticklabels()) == 5


def mean_distance(row: dict[str, str]) -> float:
    """Over the points of a row of a figure's CSV that have a target."""
    distances = []
    for name in NAMES:
        target, prediction = ([row[f"{kind}_{name}_{axis}"] for axis in "xy"] for kind in ("target", "prediction"))
        if all(target):
            distances.append(math.dist(map(float, target), map(float, prediction)))
    return sum(distances) / len(distances)


def test_the_worst_have_all_points_and_one_map(spine: Study, tmp_path: Path, drawn: list[Figure]) -> None:
    files = FigureFiles.named(tmp_path, "worst")
    paths = spine.existing("spine", "predictions.csv")
    asked = WorstInputs(paths, spine.fold_paths("spine"), spine.samples_path("spine"), spine.layout.strata_csv("spine"))
    plot_worst(asked, files)
    rows = list(csv.DictReader(files.data.open(newline="")))
    errors = [float(row["error_px"]) for row in rows]
    assert errors == sorted(errors, reverse=True)
    assert errors == pytest.approx([mean_distance(row) for row in rows], abs=1e-5)
    assert all(0 <= float(row["confidence_T1"]) <= 1 for row in rows)
    # The page's table shows neither the coordinates of all points nor a confidence that is not named.
    arm = ConfidenceArm("spine", "", "", [], [], rows)
    assert (arm.prediction_columns_of_worst, arm.confidence_column_of_worst) == ([], "confidence_T1")
    (figure,) = drawn
    panels = [axis for axis in figure.axes if axis.images]
    visible = [sum(row[f"target_{name}_x"] != "" for name in NAMES) for row in rows]
    assert [len(places_of(marks_of(axis)[0])) for axis in panels] == visible
    _, cases = find_worst(asked)
    # Each of the five maps has its peak somewhere.
    assert all((case.values.max(), case.values.ndim) == (1.0, 2) for case in cases)


def test_figures_of_many_points_repeat_to_the_byte(spine: Study, tmp_path: Path) -> None:
    paths = spine.existing("spine", "predictions.csv")
    for folder in ("a", "b"):
        files = FigureFiles.named(tmp_path / folder, "predictions")
        inputs.plot_predictions(paths, spine.fold_paths("spine"), spine.samples_path("spine"), files)
        assert why_not_drawn(files.svg) is None
    for suffix in ("svg", "png", "csv"):
        assert (tmp_path / "a" / f"predictions.{suffix}").read_bytes() == (
            tmp_path / "b" / f"predictions.{suffix}"
        ).read_bytes()


def test_a_file_of_many_points_is_drawn_by_axis(spine: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(inspection, "save_figure_as", lambda figure, path: figures.append(figure))
    path = spine.existing("spine", "predictions.csv")[0]
    inspection.plot_content(path, "predictions", tmp_path / "a.png")
    inspection.plot_content(spine.fold_paths("spine")[0], "fold", tmp_path / "b.png")
    predicted, targets = figures
    lines = read_predictions(path)
    for axis, first in zip(predicted.axes, (0, 1), strict=True):
        known = np.isfinite(lines.target[:, first::2])
        _, copies, originals = (len(np.asarray(line.get_xdata())) for line in axis.lines)
        assert (copies, originals) == (known[lines.copy > 0].sum(), known[lines.copy == 0].sum())
    (axis,) = targets.axes
    assert [line.get_color() for line in axis.lines] == colours_of(5)
    assert [label.get_text() for label in bar_of(axis).get_yticklabels()] == list(NAMES)
