"""Predictions of many points: their figures, tables and files, for images that are grey and not square."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_models import write_model
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.contour import QuadContourSet
from predicting import predicted

from siwcc.cli.main import main
from siwcc.config import FolderSection, ImageTask
from siwcc.inference.figures import plot_contact_sheet, plot_image, plot_recording
from siwcc.inference.inputs import SignalFile
from siwcc.inference.loading import load_model
from siwcc.inference.prediction import Heatmap, Prediction, Predictions, Spread
from siwcc.report.figures.points import colours_of

HEIGHT, WIDTH = 64, 32
PLACES = [(10.0 + number, 6.0 + 3 * number) for number in range(17)]
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)


def predict_points(places: Sequence[tuple[float, ...]], **common: object) -> Prediction:
    """The prediction of two networks that are 1 to either side of each place."""
    points = []
    for number, place in enumerate(places, 1):
        low, high = (tuple(value + step for value in place) for step in (-1.0, 1.0))
        point = Prediction(
            position=place,
            unit="px" if len(place) == 2 else "s",
            confidence=0.5,
            spread=Spread(low, high, (math.sqrt(2),) * len(place)),
            network_positions=np.array([low, high]),
            confidences=np.array([0.25, 0.5]),
            models=(Path("fold1.pt"), Path("fold2.pt")),
            point=f"T{number}",
        )
        points.append(replace(point, **common))  # type: ignore[arg-type]
    return replace(points[0], further=tuple(points[1:]))


def crosses_of(axis: Axes) -> list[list[float]]:
    marks = [found for found in axis.collections if isinstance(found, PathCollection)]
    return [list(place) for place in np.asarray(marks[-1].get_offsets())]


def segments_of(axis: Axes) -> int:
    lines = [found for found in axis.collections if type(found) is LineCollection]
    return len(lines[-1].get_segments())


def names_in(axis: Axes) -> list[str]:
    (bar,) = axis.child_axes
    return [label.get_text() for label in bar.get_yticklabels()]


@pytest.mark.parametrize("count", [3, 5, 17])
def test_every_point_is_on_the_image_and_named_beside_it(count: int) -> None:
    prediction = predict_points(PLACES[:count])
    found = [number != 1 for number in range(count)]
    (axis,) = plot_image(IMAGE, prediction, found, "spine").axes
    assert crosses_of(axis) == [list(place) for place, shown in zip(PLACES, found, strict=False) if shown]
    # The second one is missing, and with it the lines to its neighbours.
    assert segments_of(axis) == count - 3
    dots = {line.get_color(): line.get_xydata() for line in axis.lines if line.get_marker() == "."}
    assert list(dots) == [colour for colour, shown in zip(colours_of(count), found, strict=True) if shown]
    assert np.asarray(dots[colours_of(count)[2]]).tolist() == [[PLACES[2][0] - 1, PLACES[2][1] - 1], [13.0, 13.0]]
    assert names_in(axis) == [f"T{number}" for number in range(1, count + 1)]
    assert axis.get_title(loc="left").count("\n") == 1
    assert (axis.get_xlim(), axis.get_ylim()) == ((-0.5, WIDTH - 0.5), (HEIGHT - 0.5, -0.5))


def test_the_maps_of_all_points_are_one_set_of_contours() -> None:
    maps = np.zeros((3, 32, 16), dtype=np.float32)
    for number, top in enumerate((1.0, 0.5, 0.01)):
        maps[number, 8 * number + 4, 8] = top
    points = [
        replace(point, heatmap=Heatmap(values, (0.0, 0.0), (2.0, 2.0)))
        for point, values in zip(predict_points(PLACES[:3]).points, maps, strict=True)
    ]
    prediction = replace(points[0], further=tuple(points[1:]))
    (axis,) = plot_image(IMAGE, prediction, [True] * 3, "spine").axes
    contours: Any
    (contours,) = [found for found in axis.collections if isinstance(found, QuadContourSet)]
    # 10 % and 50 % of each peak, however high it is; each level has a contour around every peak.
    assert contours.levels.tolist() == pytest.approx([0.1, 0.5])
    assert [sum(code == 1 for code in path.codes) for path in contours.get_paths()] == [3, 3]


def test_an_image_of_which_no_point_is_found_is_drawn() -> None:
    (axis,) = plot_image(IMAGE, predict_points(PLACES[:3]), [False] * 3, "spine").axes
    assert crosses_of(axis) == []


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_points_have_no_colour_bar(count: int) -> None:
    (axis,) = plot_image(IMAGE, predict_points(PLACES[:count]), [True] * count, "spine").axes
    assert axis.child_axes == []
    crosses = [(line.get_color(), line.get_markersize()) for line in axis.lines if line.get_marker() == "x"]
    assert crosses == [("#FFFFFE", 11), ("#D55E00", 10), ("#FFFFFE", 11), ("#0072B2", 10)][: 2 * count]


def test_a_contact_sheet_names_the_points_once() -> None:
    prediction = predict_points(PLACES)
    count = 7
    sheet = plot_contact_sheet([IMAGE] * count, [prediction] * count, [[True] * 17] * count, ["a"] * count)
    panels = [axis for axis in sheet.axes if axis.get_visible()]
    assert [len(crosses_of(axis)) for axis in panels] == [17] * count
    assert [len(axis.child_axes) for axis in panels] == [0, 0, 0, 0, 1, 0, 0]
    # Tall images have tall panels.
    sheet.draw_without_rendering()
    height_in = panels[0].get_window_extent().height / sheet.dpi
    assert height_in > 3


def test_many_times_in_a_window_have_a_colour_each() -> None:
    signal = SignalFile(Path("r1"), np.zeros((2, 3000)), 100.0, (0, 1), 2, ("II", "V1"))
    times = [(2.0,), (5.0,), (9.0,)]
    prediction = predict_points(times, window_s=(0.0, 20.0))
    (axis,) = plot_recording(signal, [prediction], [[True] * 3], []).axes
    drawn = {line.get_color(): np.asarray(line.get_xdata()) for line in axis.lines}
    lines = {colour: times[0] for colour, times in drawn.items() if len(times) == 2}
    assert {colour: lines[colour] for colour in colours_of(3)} == dict(zip(colours_of(3), (2.0, 5.0, 9.0), strict=True))
    assert names_in(axis) == ["T1", "T2", "T3"]


def test_tables_have_a_row_for_every_point_and_one_line_stays_short() -> None:
    prediction = predict_points(PLACES)
    rows = Predictions([prediction, prediction]).to_dicts()
    assert [row["point"] for row in rows] == [f"T{number}" for number in range(1, 18)] * 2
    assert [(row["x_px"], row["y_px"]) for row in rows[:17]] == PLACES
    assert len(repr(prediction)) < 120


# ------------------------------------------------------------- siwcc predict


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for five points on grey images of 64 x 32 px, and a grey image of 120 x 90 px."""
    place = tmp_path_factory.mktemp("points")
    names = tuple(f"T{number}" for number in range(1, 6))
    points = [[name, name[1:]] for name in names]
    frame = {"image_size": [HEIGHT, WIDTH], "colours": 1, "points_from": points}
    section = FolderSection.model_validate({"format": "folder", "kind": "image", "path": str(place), **frame})
    settings = ImageTask.model_validate({"name": "spine", "kind": "image", "dataset": "xrays", "points": names})
    write_model(place / "model.pt", "heatmap", "image", settings, section)
    cv2.imwrite(str(place / "a.png"), cv2.resize(IMAGE, (90, 120)))
    cv2.imwrite(str(place / "b.png"), cv2.resize(IMAGE[::-1], (90, 120)))
    return place


def test_the_command_writes_a_row_for_every_point(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = predicted(capsys, place / "model.pt", place / "a.png", place / "b.png")
    assert [row["point"] for row in rows] == ["T1", "T2", "T3", "T4", "T5"] * 2
    expected = load_model(place / "model.pt").predict_file(place / "a.png")[0]
    for row, point in zip(rows, expected.points, strict=False):
        assert (row["x_px"], row["y_px"]) == pytest.approx(point.position, abs=1e-5)
    assert main(["predict", str(place / "model.pt"), str(place / "a.png"), "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["point"] for line in table] == [row["point"] for row in rows[:5]]
    assert [float(line["x_px"]) for line in table] == pytest.approx([row["x_px"] for row in rows[:5]], abs=1e-6)
    assert main(["predict", str(place / "model.pt"), str(place / "a.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if "a.png" in line] == ["T1", "T2", "T3", "T4", "T5"]


def test_the_command_draws_them(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1.svg", "2.svg"):
        predicted(capsys, place / "model.pt", place / "a.png", "--plot", tmp_path / name)
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()
    text = (tmp_path / "1.svg").read_text()
    for colour in colours_of(5):
        assert colour in text
