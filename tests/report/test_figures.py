from __future__ import annotations

import csv
import itertools
import math
import re

import numpy as np
import pytest
from made_study import shared_study

from siwcc.evaluation.comparisons import Row
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.io.run_key import RunKey
from siwcc.nn.coordinate_channels import ENCODINGS
from siwcc.report.figures import curves, forest
from siwcc.report.figures import inputs as signals
from siwcc.report.figures import style as figures
from siwcc.report.figures.style import FigureFiles


def read(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def write_logs(folder, test_by_run):
    """{(encoding, fold, seed): test curve}; training is test + 0.1."""
    paths = []
    for (encoding, fold, seed), test in test_by_run.items():
        path = folder / "ecg" / encoding / "full" / f"fold{fold}" / f"seed{seed}" / "log.csv"
        rows = [(epoch, value + 0.1, value) for epoch, value in enumerate(test, 1)]
        write_csv(path, ("epoch", "train_r2", "test_r2"), rows)
        paths.append(path)
    return paths


def made_row(**changes):
    values = {
        "task": "ecg",
        "variant": "full",
        "control": "coord",
        "study": "weighted",
        "metric": "test_r2",
        "folds": 2,
        "mean_difference": 0.2,
        "ci_low": 0.1,
        "ci_high": 0.3,
        "p_bootstrap": 0.0,
        "p_sign_flip": 0.25,
        "p_corrected_t": 0.1,
        "p_holm": 0.1,
        "conclusion": "not significant",
        "fold_ids": ("1", "2"),
        "fold_differences": (0.1, 0.3),
    }
    return Row(**values | changes)


def test_curves_average_seeds_within_a_fold_then_folds(tmp_path):
    # fold 1: mean of 0.1 and 0.3 = 0.2; fold 2: 0.6. Over the folds: mean 0.4, 0.2 to 0.6.
    paths = write_logs(
        tmp_path, {("coord", 1, 1): [0.1, 0.1], ("coord", 1, 2): [0.3, 0.1], ("coord", 2, 1): [0.6, 0.1]}
    )
    files = FigureFiles.named(tmp_path, "curves")
    curves.plot_learning_curves(paths, "full", files)
    first = next(row for row in read(files.data) if (row["curve"], row["epoch"]) == ("test", "1"))
    assert [float(first[name]) for name in ("mean", "low", "high")] == pytest.approx([0.4, 0.2, 0.6])
    assert first["folds"] == "2"
    train = next(row for row in read(files.data) if (row["curve"], row["epoch"]) == ("train", "1"))
    assert float(train["mean"]) == pytest.approx(0.5)


def test_figures_hold_no_date(tmp_path):
    paths = write_logs(tmp_path, {("coord", 1, 1): [0.1, 0.2], ("weighted", 1, 1): [0.2, 0.4]})
    files = FigureFiles.named(tmp_path, "a")
    curves.plot_learning_curves(paths, "full", files)
    svg = files.svg.read_text()
    assert "<dc:date>" not in svg
    assert "<text" not in svg, "letters must be paths, to look alike everywhere"
    for style in (figures.ARMS["coord"], figures.ARMS["weighted"]):
        assert style.colour.lower() in svg


def test_curves_of_different_lengths_are_refused(tmp_path):
    paths = write_logs(tmp_path, {("coord", 1, 1): [0.1, 0.2], ("coord", 2, 1): [0.1]})
    with pytest.raises(InputError, match="epochs"):
        curves.plot_learning_curves(paths, "full", FigureFiles.named(tmp_path, "curves"))


@pytest.mark.parametrize(
    ("lows", "expected"),
    [
        # One fold falls to -40 in epoch 1, the mean to -8: the scale ends at -0.5.
        ([[-40.0, 0.5], [0.0, 0.5], [0.0, 0.5], [0.0, 0.5], [0.0, 0.5]], -0.5),
        # Nothing wild: the lowest band is inside.
        ([[0.1, 0.5], [0.2, 0.5]], 0.1),
        # A net that never gets anywhere must stay on the figure: last mean -2 less 0.1.
        ([[-2.0, -2.0]], -2.0),
    ],
)
def test_scale_shows_what_matters(lows, expected):
    logs = {
        RunKey("ecg", "coord", "full", fold, 1): curves.Log(None, np.array([1.0, 2.0]), np.array(c), np.array(c), 1)
        for fold, c in enumerate(lows, 1)
    }
    found = curves.learning_curves(logs)
    bottom, top = curves._common_limits(found)
    margin = 0.04 * (max(map(max, lows)) - expected)
    assert bottom == pytest.approx(expected - max(margin, 0.004))
    assert top > max(map(max, lows))


def curves_of(paths):
    return curves.learning_curves({curves.run_key_of(path): curves.read_log(path) for path in paths})


def test_each_panel_has_its_scale_and_says_what_it_cuts_off(tmp_path):
    # Means over two folds; the first arm falls to -9 in epoch 1, the worst last epoch is -0.2.
    runs = {(name, fold, 1): [-9.0 if name == "coord" else 0.0, -0.2] for name in ("coord", "none") for fold in (1, 2)}
    runs |= {(name, fold, 1): [0.1, 0.4] for name in ("weighted", "duplicate") for fold in (1, 2)}
    paths = write_logs(tmp_path, runs)
    found = curves_of(paths)
    limits = {name: curves._limits_of_means(found, name) for name in ("test", "train")}
    assert limits["test"] == pytest.approx((-1.2 - 0.04 * 1.6, 0.4 + 0.04 * 1.6))
    # The title of a panel that shows everything is the start of that of a panel that is cut.
    whole = dict.fromkeys(limits, (-20.0, 1.0))
    cut, shown = (curves._draw_apart(found, "network", each).axes[0].get_title("left") for each in (limits, whole))
    assert cut.startswith(shown)
    assert cut != shown


def test_the_longest_titles_of_panels_are_not_cut_off(tmp_path):
    runs = {
        (name, 1, 1): [-9.0 if name == "coord" else 0.0, 0.2] for name in ("coord", "none", "weighted", "duplicate")
    }
    found = curves_of(write_logs(tmp_path, runs))
    limits = {name: curves._limits_of_means(found, name) for name in ("test", "train")}
    figure = curves._draw_apart(found, max(figures.VARIANT_TITLES.values(), key=len), limits)
    figure.draw_without_rendering()
    assert max(axis.get_tightbbox().x1 for axis in figure.axes) < figure.bbox.x1


def test_forest_data_holds_mean_folds_and_published(tmp_path):
    row = made_row(published_mean_difference=0.05, published_ci_low=0.01, published_ci_high=0.09)
    other = made_row(metric="train_r2", mean_difference=0.9)
    files = FigureFiles.named(tmp_path, "forest")
    forest.plot_forest([row, other], "test_r2", files)
    lines = [(line["what"], line["fold"], float(line["effect"])) for line in read(files.data)]
    assert lines == [("mean", "", 0.2), ("fold", "1", 0.1), ("fold", "2", 0.3), ("published", "", 0.05)]


def test_curves_of_many_arms_stand_in_two_panels(tmp_path):
    arms = ("coord", "weighted", "none", "coord_unit")
    few = write_logs(tmp_path / "few", {(name, 1, 1): [0.1, 0.2] for name in arms[:3]})
    many = write_logs(tmp_path / "many", {(name, 1, 1): [0.1, 0.2] for name in arms})
    heights = []
    for name, paths in {"few": few, "many": many}.items():
        files = FigureFiles.named(tmp_path, name)
        curves.plot_learning_curves(paths, "full", files)
        heights.append(float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', files.svg.read_text())[1]))
        assert len(read(files.data)) == len(paths) * 2 * 2
    assert heights[1] > 1.5 * heights[0]


def test_forest_names_the_network_once_above_its_comparisons():
    rows = [made_row(), made_row(control="none"), made_row(variant="reduced")]
    lines = forest._place_rows(rows)
    assert [line.heading for line in lines] == ["NimeshaNet", "", "NimeshaNet, reduced pool"]
    assert lines[1].title == "weighted coordinates \N{MINUS SIGN} no coordinates"
    assert [line.place for line in lines] == pytest.approx([0.38, 1.38, 2.76])
    paper = forest._place_rows([made_row(), made_row(variant="reduced")])
    assert [(line.heading, line.title, line.place) for line in paper] == [
        ("", "NimeshaNet", 0.0),
        ("", "NimeshaNet, reduced pool", 1.0),
    ]


def test_forest_without_any_mean_is_drawn_empty(tmp_path):
    files = FigureFiles.named(tmp_path, "forest")
    forest.plot_forest([made_row(mean_difference=math.nan, fold_ids=(), fold_differences=())], "test_r2", files)
    assert read(files.data) == []
    assert files.svg.is_file()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.5, 0.1, 0.9, 0.3, 0.7], {"best": 1, "median": 0, "worst": 2}),
        ([0.4, 0.1, 0.2, 0.3], {"best": 1, "median": 2, "worst": 0}),
        ([0.2, 0.2, 0.2], {"best": 0, "median": 1, "worst": 0}),
        ([0.2], {"best": 0, "median": 0, "worst": 0}),
    ],
)
def test_cases(errors, expected):
    assert signals.choose_cases(np.array(errors)) == expected


@pytest.fixture(params=["ecg", "nuclei"])
def study(request, tmp_path_factory):
    return shared_study(tmp_path_factory, request.param)


def test_encodings_data_is_the_formula(study, tmp_path):
    task = study.config.run[0]
    files = FigureFiles.named(tmp_path, "encodings")
    signals.plot_encodings(study.fold_paths(task)[0], study.samples_path(task), ("coord", "weighted"), files)
    table = read(files.data)
    spec = study.spec(task)
    assert len(table) == math.prod(spec.shape)
    channels = [name.replace(" ", "_") for name in signals.channel_names(spec)]
    for line in (table[1], table[len(table) // 2], table[-1]):
        mean = sum(float(line[name]) for name in channels) / spec.channels
        # 64 pixels: column number; 500 samples: sample k lies at 10 k * 20 / 4999 s.
        x = float(line["column"]) if task == "nuclei" else int(line["index"]) * 10 * 20 / 4999
        # The file has six digits; the mean of rounded numbers is off by a little more.
        assert float(line["coord_x"]) == pytest.approx(x, rel=1e-5, abs=1e-6)
        assert float(line["weighted_x"]) == pytest.approx(x * mean, rel=1e-4, abs=1e-5)
        if task == "nuclei":
            assert float(line["weighted_y"]) == pytest.approx(float(line["row"]) * mean, rel=1e-4, abs=1e-5)


def test_of_many_channels_the_first_of_each_axis_are_shown(study, tmp_path):
    task = study.config.run[0]
    files = FigureFiles.named(tmp_path, "encodings")
    names = ("none", "both", "duplicate", "fourier", "learned")
    signals.plot_encodings(study.fold_paths(task)[0], study.samples_path(task), names, files)
    table = read(files.data)
    columns = [name for name in table[0] if name.split("_")[0] in ENCODINGS]
    axes = ("x", "y") if task == "nuclei" else ("x",)
    # `none` has no channel, `learned` none before a training; `fourier` has eight an axis.
    assert columns == [
        f"{name}_{axis}{number}"
        for name in ("both", "duplicate", "fourier")
        for number in ("", "_2")[: 1 if name == "duplicate" else 2]
        for axis in axes
    ]
    spec = study.spec(task)
    mean = [
        sum(float(line[name.replace(" ", "_")]) for name in signals.channel_names(spec)) / spec.channels
        for line in table
    ]
    for place in (1, len(table) // 2, len(table) - 1):
        line, u = table[place], float(table[place]["both_x"])
        assert 0 <= u <= 1
        # Channel i belongs to axis i mod D: scaled coordinates, then the weighted ones; sines, then cosines.
        assert float(line["both_x_2"]) == pytest.approx(u * mean[place], rel=1e-4, abs=1e-5)
        assert float(line["duplicate_x"]) == pytest.approx(mean[place], rel=1e-4, abs=1e-5)
        assert float(line["fourier_x"]) == pytest.approx(math.sin(math.pi * u), abs=1e-5)
        assert float(line["fourier_x_2"]) == pytest.approx(math.cos(math.pi * u), abs=1e-5)


def test_a_figure_of_encodings_without_any_channel_is_drawn(study, tmp_path):
    task = study.config.run[0]
    files = FigureFiles.named(tmp_path, "encodings")
    signals.plot_encodings(study.fold_paths(task)[0], study.samples_path(task), ("none", "learned"), files)
    assert files.svg.is_file()


def test_predictions_show_the_right_rows(study, tmp_path):
    task = study.config.run[0]
    paths = [path for path in study.existing(task, "predictions.csv") if "/coord/" in path.as_posix()]
    files = FigureFiles.named(tmp_path, "predictions")
    signals.plot_predictions(paths, study.fold_paths(task), study.samples_path(task), files)
    table = {line["case"]: line for line in read(files.data)}
    assert list(table) == ["best", "median", "worst"]
    # Rows stand as (sample, copy 0, 1, 2) and predictions are off by 0.1 a row in every output: the best
    # augmented row is row 1 of a fold; the worst is the last row of the larger fold.
    outputs = len(study.spec(task).outputs)
    rows = max(sum(1 for _ in path.open()) - 1 for path in paths)
    unit = study.spec(task).unit
    # Predictions have six decimals, errors four.
    assert float(table["best"][f"error_{unit}"]) == pytest.approx(0.1 * math.sqrt(outputs), abs=1e-4)
    assert float(table["worst"][f"error_{unit}"]) == pytest.approx(0.1 * (rows - 1) * math.sqrt(outputs), abs=1e-3)
    assert table["best"]["copy"] == "1"
    assert all(line["copy"] != "0" for line in table.values())


def test_a_prediction_for_an_unknown_row_is_an_error(study, tmp_path):
    task = study.config.run[0]
    path = tmp_path / task / "coord" / "full" / "fold1" / "seed42" / "predictions.csv"
    outputs = study.spec(task).outputs
    names = [f"{name}{suffix}" for name in ("target", "prediction") for suffix in outputs]
    write_csv(path, ("sample_id", "copy", *names), [("nobody", 1, *[1.0] * len(names))])
    with pytest.raises(InputError, match="copy 1 of nobody"):
        signals.plot_predictions(
            [path], study.fold_paths(task), study.samples_path(task), FigureFiles.named(tmp_path, "p")
        )


def relative_luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# Machado, Oliveira and Fernandes (2009), severity 1.0, applied to linear RGB.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_arms_are_told_apart_without_full_colour_vision(deficiency):
    import cv2

    def seen(colour):
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        linear = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1)
        back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return cv2.cvtColor(back.astype(np.float32).reshape(1, 1, 3), cv2.COLOR_RGB2LAB).ravel()

    colours = sorted({style.colour for style in figures.ARMS.values()})
    for a, b in itertools.combinations(colours, 2):
        distance = np.linalg.norm(seen(a) - seen(b))
        # The paper's two and `none` must be told apart by colour alone; the others have markers of their own.
        assert distance > (20 if {a, b} <= {figures.BLUE, figures.VERMILION, figures.BLACK} else 15), (a, b, distance)


def test_every_encoding_has_a_look_and_a_name_of_its_own():
    assert set(figures.ARMS) == set(ENCODINGS)
    styles = list(figures.ARMS.values())
    assert len({style.label for style in styles}) == len({style.marker for style in styles}) == len(styles)
    assert len({(style.colour, style.line) for style in styles}) == len(styles)
    for parent in ("coord", "weighted"):
        assert figures.ARMS[f"{parent}_unit"].colour == figures.ARMS[parent].colour


def test_colours_stand_out_from_white():
    for style in figures.ARMS.values():
        assert 1.05 / (relative_luminance(style.colour) + 0.05) >= 3.0, style
