"""`siwcc predict`: which networks prediction, what is printed where, and the figure."""

from __future__ import annotations

import csv
import gc
import io
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_models import waves, write_model, write_record
from predicting import predicted, refusal
from tolerances import FLOAT32

from siwcc.cli import predict as predict_command
from siwcc.cli.main import main
from siwcc.cli.predict import plot_paths
from siwcc.inference import predictor as predictor_module
from siwcc.inference.loading import find_models
from siwcc.inference.predictor import Predictor
from siwcc.io.errors import InputError

pytestmark = pytest.mark.numeric

# What float32 gives for a window of 4 s, an image of 60 px and probabilities, in six decimals.
SAME_S, SAME_PX, SAME = 4 * FLOAT32, 60 * FLOAT32, FLOAT32


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that predict 1, 3 and 1.5 s, two with maps, two records of 10 s, one lead as CSV, two images."""
    place = tmp_path_factory.mktemp("predict")
    for number, (prediction, groups) in enumerate([(1.0, ["r1", "x"]), (3.0, ["r1", "r2"]), (1.5, ["r2"])], 1):
        write_model(place / f"folds/fold{number}.pt", "full", prediction=prediction, groups=groups)
    write_model(place / "folds/all.pt", "full", prediction=2.0, groups=["r1", "r2"])
    write_model(place / "map.pt", "heatmap")
    write_model(place / "image.pt", "heatmap", task="nuclei", groups=["11-22"])
    write_record(place, "r1", waves(500), 50, [(100, "N"), (250, "VT")])
    write_record(place, "new", waves(500, leads=3))
    (place / "one.csv").write_text("".join(f"{value}\n" for value in waves(400, leads=1)[0]))
    coarse = np.random.default_rng(1).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    for name in ("11-22-01.bmp", "other.png"):
        cv2.imwrite(str(place / name), cv2.resize(coarse, (60, 40)))
    return place


# ------------------------------------------------------------------- models


def test_a_folder_stands_for_its_models(tmp_path: Path) -> None:
    def touched(*names: str) -> list[Path]:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return [tmp_path / name for name in names]

    with pytest.raises(InputError) as caught:
        find_models(tmp_path)
    assert caught.value.where == str(tmp_path)
    of_study = touched("fold1/seed42/model.pt", "fold1/seed43/model.pt", "fold2/seed42/model.pt")
    touched("all/seed42/model.pt", "fold2/seed42/.state.pt")
    assert find_models(tmp_path) == of_study
    (every,) = touched("all.pt")
    touched(".hidden.pt")
    assert find_models(tmp_path) == [every]
    folds = touched("fold1.pt", "fold2.pt")
    assert find_models(tmp_path) == folds
    assert find_models(every) == [every]
    assert find_models(tmp_path / "fold1" / "seed42") == of_study[:1]


def test_of_a_folder_those_prediction_that_have_not_seen_the_record(place: Path, capsys) -> None:
    rows, said = predicted(capsys, place / "folds", place / "r1", place / "new", "--at", 5)
    assert [[of["model"] for of in row["of_each"]] for row in rows] == [
        [str(place / "folds/fold3.pt")],
        [str(place / f"folds/fold{number}.pt") for number in (1, 2, 3)],
    ]
    # The window is 3 ... 7 s.
    assert [(row["prediction_s"], row["lowest_s"], row["highest_s"], row["models"]) for row in rows] == [
        (4.5, None, None, 1),
        (4.5, 4.0, 6.0, 3),
    ]
    assert rows[1]["sd_s"] == pytest.approx(np.sqrt(13 / 12), abs=SAME_S)
    assert [row["models_that_saw_it"] for row in rows] == [0, 0]
    limits, chosen, leads = said
    assert "clinical" in limits
    assert chosen.startswith(f"{place / 'r1'}: ")
    assert re.findall(r"fold\d\.pt", chosen) == ["fold3.pt"]
    assert leads.startswith(f"{place / 'new'}: ")
    assert re.findall(r"lead\d", leads) == ["lead0", "lead1"]


def test_files_named_one_by_one_all_prediction_and_are_warned_of(place: Path, capsys) -> None:
    first, second = place / "folds/fold1.pt", place / "folds/fold2.pt"
    for arguments in ([first, second, place / "r1"], [first, place / "r1", "--model", second]):
        rows, said = predicted(capsys, *arguments, "--at", 5)
        assert (rows[0]["models"], rows[0]["models_that_saw_it"], rows[0]["prediction_s"]) == (2, 2, 5.0)
        (warning,) = said[1:]
        assert warning.startswith(f"warning: {place / 'r1'}: ")
        assert re.findall(r"fold\d\.pt", warning) == [first.name, second.name]
    rows, _ = predicted(capsys, first, place / "r1", "--at", 5, "--model", place / "folds/fold3.pt", "--unseen-only")
    assert (rows[0]["models"], rows[0]["prediction_s"]) == (1, 4.5)
    line = refusal(capsys, first, second, place / "r1", "--at", 5, "--unseen-only")
    assert line.startswith(f"{place / 'r1'}: ")
    assert "--unseen-only" in line


# ------------------------------------------------------------------ predictions


def test_csv_and_table_say_the_same(place: Path, capsys) -> None:
    arguments = ["predict", str(place / "folds"), str(place / "new"), "--at", "5", "8"]
    assert main([*arguments, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[1] == {
        "input": str(place / "new"),
        "window_start_s": "6.000000",
        "window_end_s": "10.000000",
        "result": "found",
        "prediction_s": "7.500000",
        "lowest_s": "7.000000",
        "highest_s": "9.000000",
        "sd_s": rows[1]["sd_s"],
        "confidence": "",
        "models": "3",
        "models_that_saw_it": "0",
        "no_signal_s": "0.000000",
        "at_window_edge": "False",
    }
    assert main(arguments) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("recording ")
    assert table[0].endswith(" window (s)     prediction (s)  lowest .. highest  SD    confidence  models")
    assert table[2].split() == [str(place / "new"), "6.00", "..", "10.00", "7.50", "7.00", "..", "9.00", "1.04", "3"]


def test_a_prediction_below_the_least_confidence_is_none(place: Path, capsys) -> None:
    (row,), _ = predicted(capsys, place / "map.pt", place / "new", "--at", 5)
    sure = row["confidence"]
    assert row["result"] == "found"
    assert 0 < sure < 1
    (row,), _ = predicted(capsys, place / "map.pt", place / "new", "--at", 5, "--min-confidence", sure + 1e-4)
    assert (row["result"], row["prediction_s"], row["confidence"]) == ("below the threshold", None, sure)
    assert row["of_each"][0]["prediction_s"] > 3
    assert main(["predict", str(place / "map.pt"), str(place / "new"), "--at", "5", "--min-confidence", "1"]) == 0
    assert "below the threshold" in capsys.readouterr().out


def test_a_window_without_any_signal_has_no_prediction(place: Path, tmp_path: Path, capsys) -> None:
    signal_mv = waves(600)
    signal_mv[:, 300:520] = np.nan
    rows, _ = predicted(capsys, place / "folds", write_record(tmp_path, "gap", signal_mv), "--at", 8, 5)
    assert [(row["result"], row["prediction_s"], row["no_signal_s"]) for row in rows] == [
        ("no signal", None, 4.0),
        ("found", 4.5, 1.0),
    ]


def test_a_single_lead_of_a_csv_is_told(place: Path, capsys) -> None:
    rows, said = predicted(capsys, place / "folds", place / "one.csv", "--rate", 100)
    assert [(row["window_start_s"], row["prediction_s"]) for row in rows] == [(0.0, 1.5)]
    (leads,) = said[1:]
    assert leads.startswith(f"{place / 'one.csv'}: ")
    assert re.findall(r"\d+", leads.removeprefix(str(place)))[:2] == ["1", "2"]


def test_images_are_predicted_in_their_own_pixels(place: Path, capsys) -> None:
    rows, said = predicted(capsys, place / "image.pt", place / "11-22-01.bmp", place / "other.png")
    assert rows[0] | {"input": ""} == rows[1] | {"input": "", "models_that_saw_it": 1} | {"of_each": rows[0]["of_each"]}
    assert -1 <= rows[0]["x_px"] <= 61
    assert set(rows[0]) == {
        *("input", "result", "x_px", "x_lowest_px", "x_highest_px", "x_sd_px", "y_px", "y_lowest_px", "y_highest_px"),
        *("y_sd_px", "confidence", "models", "models_that_saw_it", "of_each"),
    }
    limits, warning = said
    assert "clinical" in limits
    assert warning.startswith(f"warning: {place / '11-22-01.bmp'}: ")
    assert str(place / "image.pt") in warning
    assert main(["predict", str(place / "image.pt"), str(place / "other.png")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == [str(place / "other.png"), f"{rows[1]['x_px']:.1f}"]


# ----------------------------------------------------------------- figures


def test_a_figure_has_the_same_bytes_and_a_mark_for_every_prediction(place: Path, tmp_path: Path, capsys) -> None:
    for kind, start in ((".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")):
        first, second = tmp_path / f"1{kind}", tmp_path / f"2{kind}"
        for path in (first, second):
            rows, said = predicted(capsys, place / "map.pt", place / "r1", "--at", 5, "--plot", path)
            assert str(path) in said[-1]
        assert first.read_bytes().startswith(start)
        assert first.read_bytes() == second.read_bytes()
    assert len(rows) == 1


def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> list:
    figures: list = []
    figure_of = predict_command._figure_of
    monkeypatch.setattr(predict_command, "_figure_of", lambda *given: figures.append(figure_of(*given)) or figures[-1])
    assert main(["predict", *map(str, arguments)]) == 0
    capsys.readouterr()
    return figures


def test_the_figure_shows_prediction_spread_map_and_annotations(
    place: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    (figure,) = drawn(monkeypatch, capsys, place / "folds", place / "r1", "--at", 5, "--plot", tmp_path / "a.png")
    (axis,) = figure.axes
    vertical = [line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 2]
    # The change to VT at 5 s, and the prediction; N at 2 s lies before what is drawn.
    assert vertical == pytest.approx([5.0, 4.5])
    assert [text.get_text() for text in axis.texts] == [" VT"]
    assert axis.get_title(loc="left") == "r1: 4.50 s"
    assert axis.get_xlim() == pytest.approx((2.6, 7.4))


def test_many_windows_are_drawn_at_a_glance(place: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    arguments = (place / "map.pt", place / "r1", "--every", 0.5, "--plot", tmp_path / "a.png", "--min-confidence", 1)
    (figure,) = drawn(monkeypatch, capsys, *arguments)
    upper, lower = figure.axes
    assert re.findall(r"\d+", upper.get_title(loc="left").removeprefix("r1")) == ["0", "13"]
    points = [line for line in lower.lines if line.get_marker() == "o"]
    assert len(points) == 13
    rows, _ = predicted(capsys, place / "map.pt", place / "r1", "--every", 0.5)
    assert [point.get_ydata()[0] for point in points] == pytest.approx([row["confidence"] for row in rows], abs=SAME)


def test_an_images_figure_has_the_point_in_its_pixels(place: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    arguments = (place / "image.pt", place / "other.png", "--plot", tmp_path / "a.png")
    (figure,) = drawn(monkeypatch, capsys, *arguments)
    (axis,) = figure.axes
    (row,), _ = predicted(capsys, *arguments[:2])
    cross = [line for line in axis.lines if line.get_marker() == "x"][-1]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == pytest.approx((row["x_px"], row["y_px"]), abs=SAME_PX)
    assert axis.get_xlim() == (-0.5, 59.5)
    assert axis.get_ylim() == (39.5, -0.5)


def test_several_inputs_have_a_figure_each(tmp_path: Path) -> None:
    inputs = [Path("a/1.hea"), Path("b/2")]
    assert plot_paths(Path("out/p.svg"), inputs) == {
        inputs[0]: Path("out/p-1.svg"),
        inputs[1]: Path("out/p-2.svg"),
    }
    assert plot_paths(Path("out/p.svg"), inputs[:1]) == {inputs[0]: Path("out/p.svg")}
    for wanted, given, found in [
        ("p.gif", inputs, ".png, .svg, .pdf"),
        ("p.png", [Path("a/1"), Path("b/1")], "p-1.png"),
        ("p.png", [Path("p.png")], "p.png"),
    ]:
        with pytest.raises(InputError) as caught:
            plot_paths(Path(wanted), given)
        assert caught.value.where == "--plot"
        assert found in caught.value.problem


def test_a_recording_shorter_than_a_window_is_noted(place: Path, tmp_path: Path, capsys) -> None:
    short = write_record(tmp_path, "short", waves(100))
    for options in ([], ["--plot", tmp_path / "a.png"]):
        _, said = predicted(capsys, place / "map.pt", short, "--at", 1, *options)
        (line,) = [line for line in said if line.startswith(f"{short}: is 2.00 s long")]
        assert "zeros follow its end" in line


def test_damaged_annotations_do_not_cost_the_figure(place: Path, tmp_path: Path, capsys) -> None:
    record = write_record(tmp_path, "r9", waves(300), 50, [(100, "VT")])
    (tmp_path / "r9.atr").write_bytes((tmp_path / "r9.atr").read_bytes()[:-1])
    _, said = predicted(capsys, place / "map.pt", record, "--at", 3, "--plot", tmp_path / "a.png")
    assert said[1].startswith(f"warning: {tmp_path / 'r9.atr'}: ")
    assert (tmp_path / "a.png").is_file()


# ------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "where", "found"),
    [
        (["folds", "folds/all.pt"], "siwcc predict", ""),
        (["folds", "r1", "r1"], "r1", "is given 2 times"),
        (["folds", "r1", "--min-confidence", "2"], "--min-confidence", "is 2"),
        (["folds", "r1", "--every", "0"], "--every", "is 0 s"),
        (["folds", "r1", "--rate", "nan"], "--rate", "is nan Hz"),
        (["folds", "r1", "--leads", "1", "1"], "--leads", "is 1 1"),
        (["folds", "r1", "--leads", "0", "2"], "--leads", "write 1 3"),
        (["folds", "other.png"], "other.png", "folds/fold1.pt"),
        (["image.pt", "r1"], "r1", "image.pt"),
        (["image.pt", "other.png", "--at", "3"], "--at", "for images"),
        (["image.pt", "other.png", "--all-windows"], "--all-windows", "for images"),
        (["folds", "r1", "--at", "99"], "r1", "99 s"),
        (["folds", "absent"], "absent", "absent.hea"),
        (["absent.pt", "r1"], "absent.pt", ""),
        (["r1.dat", "r1"], "r1.dat", ""),
        (["folds", "one.csv"], "one.csv", "--rate"),
    ],
)
def test_bad_input_is_one_line(place: Path, arguments, where, found, capsys, monkeypatch) -> None:
    monkeypatch.chdir(place)
    line = refusal(capsys, *arguments)
    assert line.startswith(f"{where}: ")
    assert found in line


def test_nothing_is_drawn_when_a_later_input_fails(place: Path, tmp_path: Path, capsys) -> None:
    refusal(capsys, place / "folds", place / "r1", place / "absent", "--at", 5, "--plot", tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_text_is_predicted_and_drawn(place: Path, tmp_path: Path, capsys) -> None:
    image = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        image.write_bytes((place / "other.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    figure = tmp_path / "a.svg"
    rows, said = predicted(capsys, place / "image.pt", image, "--plot", figure)
    assert rows[0]["input"] == str(image)
    assert str(figure) in said[-1]
    assert figure.read_bytes().startswith(b"<?xml")
    record = tmp_path / os.fsdecode(b"caf\xe9.csv")
    record.write_bytes((place / "one.csv").read_bytes())
    assert main(["predict", *map(str, (place / "map.pt", record, "--rate", 100, "--plot", figure))]) == 0
    assert rf"{tmp_path}/caf\udce9.csv" in capsys.readouterr().out


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("name", ["visit$_$3", "ward$$7", "{a} {0} %s", r"$\frac{", "日本 שלום 🧪", "x" * 200])
def test_names_are_drawn_as_they_are(place: Path, tmp_path: Path, capsys, name: str) -> None:
    folder = tmp_path / f"folder {name}"
    folder.mkdir()
    image, figure = folder / f"{name}.png", folder / f"{name}.figure.svg"
    image.write_bytes((place / "other.png").read_bytes())
    rows, _ = predicted(capsys, place / "image.pt", image, "--plot", figure)
    assert rows[0]["input"] == str(image)
    assert figure.read_bytes().startswith(b"<?xml")
    for part in (place / "r1.hea", place / "r1.dat"):
        (folder / part.name).write_bytes(part.read_bytes().replace(b"lead0", f"lead {name}".encode()))
    predicted(capsys, place / "map.pt", folder / "r1", "--at", 5, "--plot", folder / "r1.png")
    assert (folder / "r1.png").read_bytes().startswith(b"\x89PNG")


# -------------------------------------------------------------------- price


def test_one_signal_is_in_memory_at_a_time(place: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    records = [write_record(tmp_path, name, waves(500, leads=3)) for name in ("a", "b", "c")]
    read, signals, alive = predictor_module.read_signal_file, [], []

    def counted(*given):
        # A figure is a web of references.
        gc.collect()
        alive.append(sum(signal() is not None for signal in signals))
        signal = read(*given)
        signals.append(weakref.ref(signal.signal_mv))
        return signal

    monkeypatch.setattr(predictor_module, "read_signal_file", counted)
    rows, said = predicted(capsys, place / "map.pt", *records, "--at", 5, "--plot", tmp_path / "p.png")
    assert alive == [0, 0, 0]
    assert [row["input"] for row in rows] == [str(record) for record in records]
    figures = [tmp_path / f"p-{name}.png" for name in "abc"]
    for line, path in zip(said[1:], [*records, *figures], strict=True):
        assert str(path) in line
    assert all(path.is_file() for path in figures)


def test_a_batch_of_predictions_is_in_memory_at_a_time(place: Path, monkeypatch, capsys) -> None:
    batch, made, most = 4, [], 0
    of_point = Predictor._point

    def counted(*given):
        nonlocal most
        prediction = of_point(*given)
        made.append(weakref.ref(prediction.heatmap))
        most = max(most, sum(one() is not None for one in made))
        return prediction

    monkeypatch.setattr(Predictor, "_point", counted)
    monkeypatch.setattr(predictor_module, "_BATCH", batch)
    rows, _ = predicted(capsys, place / "map.pt", place / "r1", "--every", 0.24)
    assert (len(rows), len(made)) == (26, 26)
    # A batch, and the last one of that before it.
    assert most <= batch + 1
    made, most = [], 0
    images = [place / "images" / f"{number}.png" for number in range(10)]
    images[0].parent.mkdir()
    for path in images:
        path.hardlink_to(place / "other.png")
    assert len(predicted(capsys, place / "image.pt", *images)[0]) == len(made) == 10
    assert most <= 2


@pytest.mark.parametrize("of", ["image", "window", "windows"])
def test_the_command_loads_nothing_that_it_does_not_use(place: Path, tmp_path: Path, of: str) -> None:
    absent = {"snakemake", "sklearn", "pandas", "jinja2", "ruptures", "requests", "py7zr", "psutil"}
    absent |= {"wfdb", "fsspec", "scipy.signal", "scipy.ndimage", "torch._dynamo", "sympy"}
    given = {
        "image": ["image.pt", "other.png", "--plot", str(tmp_path / "a.png")],
        "window": ["map.pt", "r1", "--at", "5"],
        "windows": ["map.pt", "r1", "--all-windows"],
    }
    model, file, *options = given[of]
    arguments = ["predict", str(place / model), str(place / file), *options]
    program = f"import sys; from siwcc.cli.main import main; assert main({arguments!r}) == 0; "
    program += f"print(*sorted({absent!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""
