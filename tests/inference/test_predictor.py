"""A trained network in use predictions as it did in the study, and says where it had to guess."""

from __future__ import annotations

import weakref
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_models import ECG_SECTION, ECG_TASK, IMAGE_SECTION, IMAGE_TASK, waves, write_model, write_record
from refusals import refused
from tolerances import FLOAT32, assert_same

import siwcc
from siwcc.config import MAP_VARIANTS, FolderSection, ImageTask
from siwcc.data.augment.interface import augment_module, copy_rng
from siwcc.data.augment.signal import draw_event
from siwcc.data.datasets import vfdb
from siwcc.data.datasets.images import as_colours, place_image
from siwcc.data.datasets.interface import Sample, stored_size
from siwcc.data.datasets.signals import resample, resampling_ratio
from siwcc.data.samples import write_samples
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.inference import predictor as predictor_module
from siwcc.inference import signal_blocks
from siwcc.inference.inputs import read_signal_file, rhythm_changes_of
from siwcc.inference.predictor import MAX_WINDOWS
from siwcc.inference.signal_blocks import Extent, blocks_of_array, resampled_blocks
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, write_csv
from siwcc.training.checkpoint import read_model

pytestmark = pytest.mark.numeric

# What float32 gives for a window of 4 s, an image of 32 px and probabilities; predictions.csv has six decimals.
SAME_S, SAME_PX, SAME = 4 * FLOAT32, 32 * FLOAT32, FLOAT32


def study_rows(task, settings, section, items, model: Path, tmp_path: Path) -> list[dict[str, str]]:
    """Rows of `predictions.csv` as the study's own stages write them: samples, fold, network."""
    samples, fold = tmp_path / "samples.h5", tmp_path / "fold1.h5"
    size = {"rate_hz": section.rate_hz} if task == "ecg" else {"image_size": stored_size(section.image_shape)}
    attributes = {"dataset": settings.dataset, "task": task, "protocol": section.protocol(), **size}
    write_samples(items, attributes, samples, max_excluded=0)
    module = augment_module(settings.kind)
    ids = [item.sample_id for item in items]
    module.write_fold(samples, ids, settings, section, 42, 1, fold)
    inputs = module.open_inputs([fold], samples, augmented_only=False)
    trained = read_model(model)
    with torch.inference_mode():
        signal = inputs.batch(np.arange(len(inputs.target)), trained.key.encoding)
        prediction, confidence, _ = trained.network.predict_with_confidence(signal)
    path = tmp_path / "predictions.csv"
    columns = prediction_columns(inputs.spec.outputs, confidence.shape[1])
    write_csv(path, columns, prediction_rows(inputs, prediction.numpy(), confidence.numpy()))
    return [row for row in read_csv(path, columns) if row["copy"] == "0"]


@pytest.mark.parametrize("rate_hz", [50, 125])
@pytest.mark.parametrize(("variant", "encoding", "weighted_at"), [
    ("heatmap", "none", "model_rate"),
    ("median", "none", "model_rate"),
    ("full", "weighted", "model_rate"),
    ("full", "weighted", "source_rate"),
])  # fmt: skip
def test_an_event_is_predicted_as_in_the_study(tmp_path: Path, variant, encoding, weighted_at, rate_hz) -> None:
    settings = ECG_TASK.model_copy(update={"weighted_at": weighted_at, "copies_per_sample": 1})
    layer = ("none", 3) if weighted_at == "source_rate" else None
    model = write_model(tmp_path / "m.pt", variant, settings=settings, encoding=encoding, layer=layer)
    # Isolated events, far from both ends: the study's windows are centred, too.
    record = write_record(
        tmp_path, "r1", waves(60 * rate_hz), rate_hz, [(10 * rate_hz, "VT"), (20 * rate_hz + 1, "VF")]
    )
    items = list(vfdb.iter_samples(ECG_SECTION, tmp_path))
    rows = study_rows("ecg", settings, ECG_SECTION, items, model, tmp_path)
    assert len(rows) == 2

    signal = read_signal_file(record, (0, 1), None, None)
    events_s = [int(row["sample_id"].split("_")[1]) / ECG_SECTION.rate_hz for row in rows]
    found = siwcc.load_model(model).predict_windows(signal.signal_mv, signal.rate_hz, at_s=events_s)
    for prediction, event_s, row in zip(found, events_s, rows, strict=True):
        assert prediction.window_s == (event_s - 2, event_s + 2)
        assert prediction.position[0] == pytest.approx(event_s - 2 + float(row["prediction"]), abs=SAME_S)
        if variant in MAP_VARIANTS:
            assert prediction.confidence == pytest.approx(float(row["confidence"]), abs=SAME)
            assert prediction.heatmap is not None
            assert float(prediction.heatmap.values.sum()) == pytest.approx(1, abs=SAME)
        else:
            assert prediction.confidence is None
            assert np.isnan(prediction.confidences).all()


@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_a_point_is_predicted_as_in_the_study(tmp_path: Path, border) -> None:
    settings = IMAGE_TASK.model_copy(update={"border": border, "copies_per_sample": 1})
    model = write_model(tmp_path / "m.pt", "heatmap", task="nuclei", settings=settings)
    coarse = np.random.default_rng(1).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    # Higher than wide: 24 px of the square's 32 are the image, 4 to the left.
    image = cv2.resize(coarse, (48, 64), interpolation=cv2.INTER_LINEAR)
    placed = place_image(image, np.array([20.0, 30.0]), (32, 32))
    items = [Sample("a", "a", "c", placed.image, placed.points, placed.extras())]
    (row,) = study_rows("nuclei", settings, IMAGE_SECTION, items, model, tmp_path)
    prediction = siwcc.load_model(model).predict(image)
    x_px, y_px = prediction.position
    # The longer side, 64 px, became 32.
    stored_px = (float(row["prediction_x"]), float(row["prediction_y"]))
    assert (x_px / 2 + 4, y_px / 2) == pytest.approx(stored_px, abs=SAME_PX)
    assert prediction.confidence == pytest.approx(float(row["confidence"]), abs=SAME)
    assert prediction.heatmap is not None
    assert (prediction.heatmap.first, prediction.heatmap.step) == ((-8.0, 0.0), (8.0, 8.0))
    gray = image[:, :, 0]
    assert (
        siwcc.load_model(model).predict(gray).position
        == siwcc.load_model(model).predict(np.dstack([gray] * 3)).position
    )


@pytest.mark.parametrize("variant", ["heatmap", "unet"])
@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_a_point_in_a_tall_grey_image_is_predicted_as_in_the_study(tmp_path: Path, border, variant) -> None:
    section = FolderSection(format="folder", kind="image", path=tmp_path, image_size=(64, 32), colours=1)
    settings = ImageTask(name="rays", dataset="own", border=border, copies_per_sample=1)
    model = write_model(tmp_path / "m.pt", variant, task="rays", settings=settings, section=section)
    coarse = np.random.default_rng(1).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    # 32 / 60 is below 64 / 100: the image is 32 x 53 px of the frame, 5 px below its top; a pixel of it is 1.875 px.
    image = cv2.resize(coarse, (60, 100), interpolation=cv2.INTER_LINEAR)
    placed = place_image(as_colours(image, 1), np.array([20.0, 30.0]), (64, 32))
    items = [Sample("a", "a", "c", placed.image, placed.points, placed.extras())]
    (row,) = study_rows("rays", settings, section, items, model, tmp_path)
    prediction = siwcc.load_model(model).predict(image)
    x_px, y_px = prediction.position
    stored_px = (float(row["prediction_x"]), float(row["prediction_y"]))
    assert (x_px / 1.875, y_px / 1.875 + 5) == pytest.approx(stored_px, abs=2 * SAME_PX)
    assert prediction.confidence == pytest.approx(float(row["confidence"]), abs=SAME)
    assert prediction.heatmap is not None
    # A place of the heatmap is every fourth pixel of the frame, of the U-Net every second.
    step = 1.875 * (4 if variant == "heatmap" else 2)
    assert (prediction.heatmap.first, prediction.heatmap.step) == ((0.0, -9.375), (step, step))
    height, width = prediction.heatmap.values.shape
    assert height == 2 * width
    grey = as_colours(image, 1)[..., 0]
    assert siwcc.load_model(model).predict(grey).position == prediction.position


# ------------------------------------------------------------------ windows


def starts_of(seconds: float, **options) -> list[float]:
    predictor = starts_of.predictor
    found = predictor.predict_windows(waves(round(seconds * 50)), 50.0, **options)
    return [prediction.window_s[0] for prediction in found]


@pytest.fixture(scope="module", autouse=True)
def _predictor(tmp_path_factory: pytest.TempPathFactory) -> None:
    starts_of.predictor = siwcc.load_model(write_model(tmp_path_factory.mktemp("one") / "one.pt"))


def test_windows_lie_in_the_recording() -> None:
    assert starts_of(20, at_s=[10, 0, 1.5, 19, 20, 2.02]) == [8, 0, 0, 16, 16, 0.02]
    assert starts_of(9) == [0, 2, 4, 5]
    assert starts_of(8) == [0, 2, 4]
    assert starts_of(20, every_s=3) == [0, 3, 6, 9, 12, 15, 16]
    # Who asks for gaps between windows does not ask for the recording's end.
    assert starts_of(20, every_s=9) == [0, 9]


def test_about_one_window_is_one_window() -> None:
    assert starts_of(4) == [0]
    assert starts_of(4.4) == [0.2]
    assert starts_of(4.42) == [0, 0.42]
    assert starts_of(3) == [0]


def test_what_is_missing_is_zero_and_is_told() -> None:
    signal = waves(200)
    cut = starts_of.predictor.predict(signal[:, :150], 50.0)
    assert cut.no_signal_s == 1.0
    assert cut.window_s == (0.0, 4.0)
    padded = np.concatenate([signal[:, :150], np.zeros((2, 50))], axis=1)
    whole = starts_of.predictor.predict(padded, 50.0)
    assert (cut.position, whole.no_signal_s) == (whole.position, 0.0)
    # Where one lead has no value, neither counts.
    holed, zeroed = signal.copy(), signal.copy()
    holed[0, 60:70], zeroed[:, 60:70] = np.nan, 0
    with_hole = starts_of.predictor.predict(holed, 50.0)
    assert with_hole.no_signal_s == pytest.approx(0.2)
    assert with_hole.position == starts_of.predictor.predict(zeroed, 50.0).position
    assert starts_of.predictor.predict(np.full((2, 200), np.inf), 50.0).no_signal_s == 4.0


def test_a_single_lead_is_beside_a_silent_one_or_a_copy(tmp_path: Path) -> None:
    lead = waves(200, leads=1)
    silent = siwcc.load_model(write_model(tmp_path / "a.pt", silence=0.2))
    assert silent.predict(lead[0], 50.0).position == silent.predict(np.stack([lead[0], 0 * lead[0]]), 50.0).position
    copies = siwcc.load_model(write_model(tmp_path / "b.pt", silence=0.0))
    assert copies.predict(lead, 50.0).position == copies.predict(np.concatenate([lead, lead]), 50.0).position


def test_a_batch_is_predicted_as_one_by_one() -> None:
    signal = waves(2000, seed=3)
    together = starts_of.predictor.predict_windows(signal, 50.0, every_s=0.5)
    assert len(together) == 73
    for prediction in together[::9]:
        alone = starts_of.predictor.predict(signal, 50.0, at_s=prediction.window_s[0] + 2)
        assert alone.window_s == prediction.window_s
        assert alone.position == pytest.approx(prediction.position, abs=SAME_S)


def test_progress_ends_at_all_windows() -> None:
    seen: list[tuple[int, int]] = []
    starts_of.predictor.predict_windows(waves(2000), 50.0, every_s=0.5, progress=lambda *counts: seen.append(counts))
    assert seen == [(64, 73), (73, 73)]


# ------------------------------------------------------------------- blocks


# Above and below the networks' 50 Hz, and a rate with a filter that is as long as three blocks.
@pytest.mark.parametrize("rate_hz", [50.0, 36.0, 125.0, 128.5, 4000.0])
def test_blocks_are_resampled_as_the_whole_recording(rate_hz: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_blocks, "_BLOCK_S", 1.7)
    signal = waves(round(20.3 * rate_hz) + 1, seed=5)
    signal[0, round(7 * rate_hz) : round(7.2 * rate_hz)] = np.nan
    signal[1, 3] = np.inf
    ratio, extent = resampling_ratio(Path("array"), rate_hz, 50.0), Extent(2)
    blocks = list(resampled_blocks(blocks_of_array(signal, rate_hz), ratio, extent))
    assert len(blocks) >= 4
    whole = np.where(np.isfinite(signal), signal, np.nan)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), resample(whole, ratio))
    np.testing.assert_array_equal([extent.low, extent.high], [np.nanmin(whole, axis=1), np.nanmax(whole, axis=1)])


@pytest.mark.parametrize("options", [
    {"every_s": 0.5},
    # Blocks that lie between two windows are read and left out.
    {"every_s": 9.0},
    {"at_s": [31.0, 2.0, 2.0, 39.9, 20.0]},
])  # fmt: skip
def test_a_record_gives_in_blocks_what_its_array_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options
) -> None:
    record = write_record(tmp_path, "r1", waves(40 * 64, seed=2), 64)
    predictor = starts_of.predictor
    signal = read_signal_file(record, (0, 1), None, None)
    at_once = predictor.predict_windows(signal.signal_mv, signal.rate_hz, **options)
    monkeypatch.setattr(signal_blocks, "_BLOCK_S", 3.0)
    assert len(list(resampled_blocks(predictor.open(record), Fraction(50, 64), Extent(2)))) > 10
    found = list(predictor.predict_in_blocks(predictor.open(record), **options))
    assert [(one.window_s, one.position, one.confidence) for one in found] == [
        (one.window_s, one.position, one.confidence) for one in at_once
    ]
    assert all(one.source is None for one in found)


def test_of_a_recording_a_few_blocks_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_blocks, "_BLOCK_S", 10.0)
    monkeypatch.setattr(predictor_module, "_BATCH", 4)
    read, most = [], 0

    def blocks_mv():
        nonlocal most
        for number in range(100):
            block = waves(500, seed=number)
            read.append(weakref.ref(block))
            most = max(most, sum(one() is not None for one in read))
            yield block

    source = replace(blocks_of_array(np.zeros((2, 50_000)), 50.0), blocks_mv=blocks_mv)
    windows = starts_of.predictor.predict_in_blocks(source)
    next(windows)
    # Four windows of 4 s each 2 s are in the first block; a stretch is read with its margin.
    assert len(read) <= 2
    assert sum(1 for _ in windows) == 498
    assert (len(read), most <= 3) == (100, True)


def test_a_damaged_record_gives_an_error_after_its_last_window(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r1", waves(2000), 50)
    content = bytearray((tmp_path / "r1.dat").read_bytes())
    content[0] ^= 1
    (tmp_path / "r1.dat").write_bytes(content)
    with refused(tmp_path / "r1.dat", "checksum"):
        list(starts_of.predictor.predict_in_blocks(starts_of.predictor.open(record)))
    with refused(record, "41 s"):
        list(starts_of.predictor.predict_in_blocks(starts_of.predictor.open(record), at_s=[41]))


# ---------------------------------------------------------------- ensembles


def test_networks_without_a_map_predict_by_their_median(tmp_path: Path) -> None:
    paths = [
        write_model(tmp_path / f"{prediction}.pt", "full", prediction=prediction) for prediction in (1.0, 3.0, 1.5)
    ]
    prediction = siwcc.load_model(paths).predict_windows(waves(1000), 50.0, at_s=[12.0])[0]
    assert prediction.position == pytest.approx((11.5,), abs=SAME_S)
    assert prediction.network_positions[:, 0] == pytest.approx([11.0, 13.0, 11.5], abs=SAME_S)
    assert prediction.spread.lowest == pytest.approx((11.0,), abs=SAME_S)
    assert prediction.spread.highest == pytest.approx((13.0,), abs=SAME_S)
    # Around 11.8333: 0.6944 + 1.3611 + 0.1111, over 2.
    assert prediction.spread.sd == pytest.approx((np.sqrt(13 / 12),), abs=SAME_S)
    assert prediction.models == tuple(paths)
    assert (prediction.confidence, prediction.unit) == (None, "s")


def test_networks_with_a_map_predict_by_the_peak_of_their_mean_map(tmp_path: Path) -> None:
    paths = [write_model(tmp_path / f"{seed}.pt", seed=seed) for seed in (1, 2)]
    signal = waves(200)
    prediction = siwcc.load_model(paths).predict(signal, 50.0)
    alone = [siwcc.load_model(path).predict(signal, 50.0) for path in paths]
    assert prediction.network_positions[:, 0] == pytest.approx([one.position[0] for one in alone], abs=SAME_S)
    assert prediction.confidences == pytest.approx([one.confidence for one in alone], abs=SAME)
    mean = np.mean([one.heatmap.values for one in alone], axis=0)
    assert_same(prediction.heatmap.values, mean, FLOAT32)
    # By hand from the mean map: flattened, smoothed by a Gaussian of 16 places cut at 48, its peak, a parabola.
    offsets = np.arange(-48, 49)
    smooth = np.convolve(mean.astype(np.float64) ** (1 / 1.75), np.exp(-0.5 * (offsets / 16) ** 2))[48:-48]
    top = int(smooth.argmax())
    vertex = 0.0
    if 0 < top < len(smooth) - 1:
        before, middle, after = smooth[top - 1 : top + 2]
        vertex = 0.5 * (before - after) / (before - 2 * middle + after)
    step_s = prediction.heatmap.step[0]
    assert prediction.position[0] == pytest.approx((top + vertex) * step_s, abs=SAME_S)
    at_s = step_s * np.arange(len(mean))
    near = np.abs(at_s - prediction.position[0]) <= 0.05 * (195 * 4 / 199)
    assert prediction.confidence == pytest.approx(float(mean[near].sum()), abs=SAME)


def test_networks_that_read_the_median_predict_by_that_of_their_mean_map(tmp_path: Path) -> None:
    paths = [write_model(tmp_path / f"{seed}.pt", "median", seed=seed) for seed in (1, 2)]
    prediction = siwcc.load_model(paths).predict(waves(200), 50.0)
    flat = prediction.heatmap.values.astype(np.float64) ** (1 / 1.75)
    until = np.cumsum(flat / flat.sum())
    # Each fraction lies evenly from half a step before its place to half a step behind it.
    place = np.interp(0.5, np.concatenate([[0.0], until]), np.arange(len(flat) + 1) - 0.5)
    assert prediction.position[0] == pytest.approx(place * prediction.heatmap.step[0], abs=SAME_S)
    # The map's and not the middle of the two predictions.
    assert abs(prediction.position[0] - prediction.network_positions[:, 0].mean()) > 1e-3


def test_who_has_seen_a_record_can_be_left_out(tmp_path: Path) -> None:
    one, other = write_model(tmp_path / "1.pt", groups=["a", "b"]), write_model(tmp_path / "2.pt", groups=["b"])
    predictor = siwcc.load_model([one, other])
    assert predictor.seen("a") == (one,)
    assert predictor.seen("c") == ()
    assert predictor.without(predictor.seen("a")).paths == (other,)
    assert predictor.without(predictor.seen("b")) is None


def test_a_network_of_ones_own_data_asks_for_the_leads_that_it_was_trained_on(tmp_path: Path) -> None:
    section = FolderSection(format="folder", kind="signal", path=tmp_path, leads=(2,), window_s=4.0, rate_hz=50.0)
    predictor = siwcc.load_model(write_model(tmp_path / "m.pt", section=section))
    assert (predictor.leads, predictor.window_s, predictor.spec.channels) == ((1,), 4.0, 1)
    signal = waves(200)
    read = read_signal_file(write_record(tmp_path, "r1", signal), predictor.leads, None, None)
    assert read.leads == (1,)
    assert predictor.predict(read.signal_mv, 50.0).position == pytest.approx(
        predictor.predict(signal[1], 50.0).position, abs=SAME_S
    )


# ------------------------------------------------------------------- errors


@pytest.mark.parametrize(("array", "options", "where", "found"), [
    (np.zeros((3, 200)), {"rate_hz": 50}, "array", "(3, 200)"),
    (np.zeros((2, 0)), {"rate_hz": 50}, "array", "(2, 0)"),
    (["a"], {"rate_hz": 50}, "array", "'a'"),
    (np.zeros((2, 200)), {}, "rate_hz", ""),
    (np.zeros((2, 200)), {"rate_hz": -1}, "rate_hz", "-1"),
    (np.zeros((2, 200)), {"rate_hz": 1, "at_s": 9}, "array", "1 Hz"),
    (np.zeros((2, 2000)), {"rate_hz": 50}, "array", "40 s"),
    (np.zeros((2, 2000)), {"rate_hz": 50, "at_s": 41}, "array", "41 s"),
    (np.zeros((2, 2000)), {"rate_hz": 50, "at_s": float("nan")}, "array", "nan s"),
])  # fmt: skip
def test_a_signal_that_cannot_be_taken_is_refused(array, options, where, found) -> None:
    with pytest.raises(InputError) as caught:
        starts_of.predictor.predict(array, **options)
    assert caught.value.where == where
    assert found in caught.value.problem


def test_an_image_that_cannot_be_taken_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.pt", task="nuclei")
    predictor = siwcc.load_model(path)
    for image, found in [
        (np.zeros((9, 9, 3)), "float64 (9, 9, 3)"),
        (np.zeros((9, 9), dtype=np.uint8), "standard deviation"),
        (np.zeros((1, 9), dtype=np.uint8), "9 x 1 px"),
    ]:
        with pytest.raises(InputError) as caught:
            predictor.predict(image)
        assert caught.value.where == "array"
        assert found in caught.value.problem
    with pytest.raises(InputError) as caught:
        predictor.predict_windows(waves(200), 50.0)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(("array", "remedy"), [
    (np.array([[0.0, 1.0], [0.5, 1.0], [0.0, 0.0]]), "(255 * array).round().astype('uint8')"),
    (np.array([[0.0, 255.0], [128.4, 1.0], [0.0, 0.0]]), "array.round().astype('uint8')"),
    (np.array([[0, 255], [128, 1], [0, 0]]), "array.astype('uint8')"),
])  # fmt: skip
def test_the_way_to_convert_an_image_keeps_its_values(tmp_path: Path, array, remedy) -> None:
    predictor = siwcc.load_model(write_model(tmp_path / "m.pt", task="nuclei"))
    array = np.repeat(array, 3, axis=1)
    with refused("array", array.dtype, remedy=f": {remedy}"):
        predictor.predict(array)
    converted = eval(remedy, {"array": array})
    assert converted.dtype == np.uint8
    scale = 255 if array.max() == 1 else 1
    np.testing.assert_allclose(converted, scale * array, atol=0.5)


@pytest.mark.parametrize(("array", "remedy"), [
    (np.full((9, 9, 3), 300.0), "scale it"),
    (np.full((9, 9, 3), np.nan), "scale it"),
    (np.full((9, 9, 3), 4096, dtype=np.uint16), "scale it"),
    (waves(200), "load_model('ecg')"),
    (waves(200)[0], "load_model('ecg')"),
])  # fmt: skip
def test_what_no_conversion_helps_has_another_way_out(tmp_path: Path, array, remedy) -> None:
    predictor = siwcc.load_model(write_model(tmp_path / "m.pt", task="nuclei"))
    with refused("array", array.dtype, remedy=remedy):
        predictor.predict(array)


def test_arguments_of_another_type_are_refused() -> None:
    predictor, signal_mv = starts_of.predictor, waves(200)
    with refused("at_s", "[1, 2]", remedy="predict_windows"):
        predictor.predict(signal_mv, 50.0, at_s=[1, 2])
    with refused("rate_hz", "'50'"):
        predictor.predict(signal_mv, "50")
    with refused("rate_hz", "'50'"):
        predictor.predict_windows(signal_mv, "50")
    with refused("at_s", "2"):
        predictor.predict_windows(signal_mv, 50.0, at_s=2)
    with refused("path", "list"):
        predictor.predict_file([Path("r1")])
    with refused("path", "array", remedy="predict"):
        predictor.predict_file(signal_mv)


def test_a_recording_without_a_value_has_no_signal() -> None:
    prediction = starts_of.predictor.predict(np.full((2, 200), np.nan), 50.0)
    assert "no signal" in repr(prediction)
    assert prediction.is_empty


def test_heatmaps_of_another_resolution_do_not_predict_together(tmp_path: Path) -> None:
    coarse, fine, plain = (
        write_model(tmp_path / f"{name}.pt", name, task="nuclei") for name in ("heatmap", "unet", "full")
    )
    with pytest.raises(InputError) as caught:
        siwcc.load_model([coarse, fine])
    assert caught.value.where == str(fine)
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for model, step_px in (([coarse, plain], 4.0), ([plain, fine], 2.0)):
        heatmap = siwcc.load_model(model).predict(image).heatmap
        assert heatmap.step == (step_px, step_px)
        assert heatmap.values.shape == (32 / step_px, 32 / step_px)


def test_networks_for_other_inputs_do_not_prediction_together(tmp_path: Path) -> None:
    one = write_model(tmp_path / "1.pt")
    others = [
        write_model(tmp_path / "2.pt", task="nuclei"),
        write_model(tmp_path / "3.pt", settings=ECG_TASK.model_copy(update={"median_samples": 5})),
    ]
    for other in others:
        with pytest.raises(InputError) as caught:
            siwcc.load_model([one, other])
        assert caught.value.where == str(other)
        assert str(one) in caught.value.problem
    with pytest.raises(InputError) as caught:
        siwcc.load_model([])
    assert caught.value.where == "models"


def test_metadata_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    class Other:
        """A section whose windows are half as long as the network's."""

        window_s, rate_hz, leads = 4.0, 50.0, (0, 1)

        def protocol(self) -> dict:
            return ECG_SECTION.protocol() | {"window_s": 2.0}

    path = write_model(tmp_path / "m.pt", section=Other())
    with pytest.raises(InputError) as caught:
        siwcc.load_model(path)
    assert caught.value.where == str(path)
    assert "100" in caught.value.problem


def test_too_many_windows_are_refused() -> None:
    with pytest.raises(InputError, match=str(MAX_WINDOWS)):
        starts_of.predictor.predict_windows(np.zeros((1, MAX_WINDOWS + 300)), 50.0, every_s=0.001)


# -------------------------------------------------------------------- price


# ---------------------------------------------------------------- real data


def test_real_events_are_predicted_as_in_a_study(shared_data: Path, tmp_path: Path) -> None:
    """With `rewindow` the sample itself stands at a drawn start: the same window is asked for."""
    section = ECG_SECTION.model_copy(update={"window_s": 20.0, "rate_hz": 250.0})
    settings = ECG_TASK.model_copy(
        update={"shift": "rewindow", "decimate_by": 10, "median_samples": 11, "copies_per_sample": 1}
    )
    model = write_model(tmp_path / "m.pt", settings=settings, section=section)
    folder = tmp_path / "raw"
    folder.mkdir()
    for suffix in ("hea", "dat", "atr"):
        (folder / f"430.{suffix}").symlink_to(shared_data / "vfdb" / f"430.{suffix}")
    items = [item for item in vfdb.iter_samples(section, folder) if isinstance(item, Sample)]
    rows = study_rows("ecg", settings, section, items, model, tmp_path)
    signal = read_signal_file(folder / "430", (0, 1), None, None)
    middles_s = []
    for item in items:
        event, previous = int(item.extras["event_sample"]), int(item.extras["previous_event"])
        drawn = draw_event(copy_rng(42, item.sample_id, 0), event, previous, 5000)
        middles_s.append((event - drawn + 2500) / 250)
    found = siwcc.load_model(model).predict_windows(signal.signal_mv, signal.rate_hz, at_s=middles_s)
    assert len(found) == len(rows) > 3
    for prediction, middle_s, row in zip(found, middles_s, rows, strict=True):
        assert prediction.window_s[0] == pytest.approx(middle_s - 10)
        assert prediction.position[0] == pytest.approx(middle_s - 10 + float(row["prediction"]), abs=20 * FLOAT32)
    annotated = {round(time_s * 250) for time_s, label in rhythm_changes_of(folder / "430")}
    assert {int(item.extras["event_sample"]) for item in items} <= annotated
