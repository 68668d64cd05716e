"""A prediction in a notebook: what it prints, its table and its figure, against values set by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from siwcc.inference.inputs import SignalFile
from siwcc.inference.prediction import Heatmap, Prediction, Predictions, Spread, probability_words

TIME = Prediction(
    position=(12.5,),
    unit="s",
    confidence=0.25,
    spread=Spread((12.0,), (13.0,), (0.5,)),
    network_positions=np.array([[12.0], [13.0]]),
    confidences=np.array([0.25, 0.5]),
    models=(Path("fold1.pt"), Path("fold2.pt")),
    window_s=(4.0, 24.0),
    no_signal_s=1.0,
    probability=0.75,
    probability_name="p_within_1s_given_event",
)
POINT = Prediction(
    position=(3.0, 4.5),
    unit="px",
    confidence=None,
    spread=None,
    network_positions=np.array([[3.0, 4.5]]),
    confidences=np.array([np.nan]),
    models=(Path("fold1.pt"),),
)
SIGNAL = SignalFile(Path("r1"), np.zeros((2, 3000)), 100.0, (0, 1), 2, ("II", "V1"))


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.head: list[str] = []
        self.body: list[str] = []
        self.tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tag = tag
        if tag == "td":
            self.body.append("")

    def handle_data(self, data: str) -> None:
        if self.tag == "th":
            self.head.append(data)
        elif self.tag == "td":
            self.body[-1] += data


def test_the_row_of_a_window() -> None:
    assert TIME.to_dict() == {
        "window_start_s": 4.0,
        "window_end_s": 24.0,
        "prediction_s": 12.5,
        "lowest_s": 12.0,
        "highest_s": 13.0,
        "sd_s": 0.5,
        "confidence": 0.25,
        "p_within_1s_given_event": 0.75,
        "models": 2,
        "no_signal_s": 1.0,
        "at_window_edge": False,
    }
    assert json.loads(json.dumps(TIME.to_dict())) == TIME.to_dict()


def test_the_row_of_an_image_has_its_axes() -> None:
    row = POINT.to_dict()
    assert (row["x_px"], row["y_px"], row["x_lowest_px"], row["confidence"]) == (3.0, 4.5, None, None)
    assert "at_window_edge" not in row


def test_one_line_each() -> None:
    assert repr(TIME) == "Prediction(12.50 s, confidence 0.25, p_within_1s_given_event 0.75, 2 networks)"
    assert repr(POINT) == "Prediction((3.0, 4.5) px, 1 network)"
    assert repr(Predictions([TIME, TIME])).count("\n") == 0
    assert repr(Predictions()) == "Predictions(none)"
    assert repr(replace(TIME, no_signal_s=20.0)) == "Prediction(no signal from 4.00 to 24.00 s)"


# The window is 20 s long: 2.5 % of it are 0.5 s.
@pytest.mark.parametrize(("time_s", "expected"), [(4.4, True), (4.6, False), (23.4, False), (23.6, True)])
def test_a_prediction_at_an_end_of_the_window_is_flagged(time_s: float, expected: bool) -> None:
    prediction = replace(TIME, position=(time_s,))
    assert prediction.at_window_edge is expected
    assert ("edge" in repr(prediction)) is expected
    assert prediction.to_dict()["at_window_edge"] is expected


def test_tables_of_several_points_have_a_row_each() -> None:
    both = replace(TIME, point="onset", further=(replace(TIME, point="end", position=(14.0,), visible=0.5),))
    table = Predictions([both, TIME]).to_dataframe()
    assert table["prediction_s"].tolist() == [12.5, 14.0, 12.5]
    assert table["point"].tolist()[:2] == ["onset", "end"]
    assert TIME.to_dataframe().shape == (1, 11)


def test_html_is_a_table_of_the_same_numbers_and_escapes_names() -> None:
    cells = Cells(replace(TIME, point="<b>")._repr_html_())
    shown = dict(zip(cells.head, cells.body, strict=True))
    assert (shown["prediction_s"], shown["confidence"], shown["point"]) == ("12.50", "0.25", "<b>")
    assert "20 more" in Predictions([TIME] * 40)._repr_html_()


def test_a_figure_needs_what_was_predicted() -> None:
    for nothing in (TIME, Predictions()):
        with pytest.raises(ValueError, match="nothing to draw"):
            nothing.plot()
    heatmap = Heatmap(np.full(11, 1 / 11, dtype=np.float32), (4.0,), (2.0,))
    figure = replace(TIME, source=SIGNAL, heatmap=heatmap).plot()
    (axis,) = figure.axes
    assert "p(within 1s | event) 0.75" in axis.get_title(loc="left")
    assert axis.get_xlabel() == "seconds of the recording"
    (empty,) = replace(TIME, source=SIGNAL, heatmap=heatmap, no_signal_s=20.0).plot().axes
    assert "12.50" not in empty.get_title(loc="left")
    assert 12.5 not in [line.get_xdata()[0] for line in empty.lines]
    labels = {text.get_text() for text in axis.get_legend().get_texts()}
    assert labels == {"prediction", "single networks", "heatmap", "window"}


def test_a_figure_can_be_saved(tmp_path: Path) -> None:
    prediction = replace(POINT, source=np.zeros((40, 60, 3), dtype=np.uint8))
    prediction.plot(str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with refused(tmp_path / "a.gif", remedy=".png"):
        prediction.plot(tmp_path / "a.gif")


def test_images_have_a_scale_bar_and_several_a_sheet() -> None:
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    (axis,) = replace(POINT, source=image).plot().axes
    # A quarter of the width are 15 px; 10 is the round number below.
    assert "10 px" in [text.get_text() for text in axis.texts]
    sheet = Predictions([replace(POINT, source=image)] * 7).plot()
    assert sum(axis.get_visible() for axis in sheet.axes) == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [("p_within_1s_given_event", "p(within 1s | event)"), ("p_within_10_percent", "p(within 10 %)")],
)
def test_the_words_for_a_probability(name: str, words: str) -> None:
    assert probability_words(name) == words
