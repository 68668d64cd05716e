"""Batches made on a device: those of the host, and no step that waits for the device."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from scipy.ndimage import map_coordinates
from tolerances import largest
from torch.utils._python_dispatch import TorchDispatchMode

from siwcc.config import ImageTask, SipakmedSection, Train
from siwcc.data.augment.image import ImageInputs, write_fold
from siwcc.data.augment.interface import Stored, augment_module
from siwcc.data.augment.signal import SignalInputs
from siwcc.data.tasks.interface import TaskSpec
from siwcc.io.errors import InputError
from siwcc.io.run_key import RunKey
from siwcc.io.shards import shard_writer
from siwcc.training import batches
from siwcc.training import run as training
from siwcc.training.batches import DeviceBatches, HostBatches, WarpedImages, fits_device, open_batches, usable_device
from siwcc.training.run import RunFiles, standardisation, train_run

pytestmark = pytest.mark.numeric

CPU, META = torch.device("cpu"), torch.device("meta")
SIZE = 64
# Left, top, width, height: the whole square, padding on either axis, a strip of one pixel.
BOXES = ((0, 0, 64, 64), (3, 0, 57, 64), (0, 11, 64, 41), (31, 0, 1, 64))
# Height and width: the square, and half of it in one colour, with content of the same kinds.
FRAMES = ((SIZE, SIZE), (SIZE, 32))
TALL_BOXES = ((0, 0, 32, 64), (3, 0, 27, 64), (0, 11, 32, 41), (15, 0, 1, 64))
# OpenCV before 5 rounds the source position to 1/32 px, at most 1/64 px off in x and in y; 5 does not.
FIXED_POINT = int(cv2.__version__.split(".")[0]) < 5


@pytest.fixture(autouse=True)
def _torch_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def ecg_rows(rows: int = 23, weighted: bool = False) -> SignalInputs:
    rng = np.random.default_rng(0)
    names = np.array([f"s{row}" for row in range(rows)], dtype=object)
    return SignalInputs(
        spec=TaskSpec("ecg", "nimesha", ("",), "s", 2, (500,), (19.964,), 20.0),
        sample_id=names,
        group=names,
        label=names,
        copy=np.arange(rows, dtype=np.int32) % 3,
        target=rng.uniform(0, 20, (rows, 1)).astype(np.float32),
        signal=rng.normal(size=(rows, 2, 500)).astype(np.float32),
        weighted=rng.normal(size=(rows, 500)).astype(np.float32) if weighted else None,
        gap_s=np.zeros(rows),
        edge_s=np.zeros((rows, 2)),
    )


def cells(
    border: str, translations: Any, rotations_deg: Any, scales: Any, frame: tuple[int, int] = (SIZE, SIZE)
) -> ImageInputs:
    """A row for every image of `BOXES` and every transform; the first transform is copy 0. A tall frame is grey."""
    rng = np.random.default_rng(0)
    colours, boxes = (3, BOXES) if frame == (SIZE, SIZE) else (1, TALL_BOXES)
    images = np.zeros((len(boxes), *frame, colours), dtype=np.uint8)
    for image, (left, top, width, height) in zip(images, boxes, strict=True):
        coarse = rng.integers(0, 256, (9, 9, colours), dtype=np.uint8)
        content = cv2.resize(coarse, (width, height)).reshape(height, width, colours)
        image[top : top + height, left : left + width] = content
    names = np.array([f"c{number}" for number in range(len(BOXES))], dtype=object)
    samples = SimpleNamespace(
        arrays={
            "sample_id": names,
            "signal": images,
            "content_box": np.array(boxes, dtype=np.int32),
            "mean": np.array([120.3, 97.1, 130.7, 80.9]),
            "std": np.array([40.1, 61.7, 33.3, 21.9]),
        }
    )
    copies = len(scales)
    rows = {name: np.repeat(names, copies) for name in ("sample_id", "group", "class")}
    rows |= {
        "copy": np.tile(np.arange(copies), len(BOXES)),
        "translation": np.tile(np.asarray(translations, dtype=np.float64), (len(BOXES), 1)),
        "rotation_deg": np.tile(np.asarray(rotations_deg, dtype=np.float64), len(BOXES)),
        "scale": np.tile(np.asarray(scales, dtype=np.float64), len(BOXES)),
        "target": rng.uniform(0, 63, (copies * len(BOXES), 2)),
    }
    extent = (frame[1] - 1.0, frame[0] - 1.0)
    spec = TaskSpec("nuclei", "lakshya", ("_x", "_y"), "px", colours, frame, extent, 63.0)
    return ImageInputs(spec, rows, samples, border)  # type: ignore[arg-type]


def turned_cells(border: str, frame: tuple[int, int] = (SIZE, SIZE)) -> ImageInputs:
    translations = [(0, 0), (4.73, -3.1), (-5.0, 0.25), (20.0, 31.5), (0, 0)]
    return cells(border, translations, [0, 17.4, -20, 90, 11], [1, 0.75, 1.25, 1.1, 0.2], frame)


def all_of(batches: batches.Batches, rows: np.ndarray, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    signals, targets = zip(*batches.over(rows, size), strict=True)
    return torch.cat(signals), torch.cat(targets)


# ------------------------------------------------------------------- signals


@pytest.mark.parametrize(("weighted", "encoding"), [(False, "coord"), (True, "coord"), (True, "weighted")])
def test_signals_are_the_hosts_to_the_bit(weighted: bool, encoding: str) -> None:
    inputs = ecg_rows(weighted=weighted)
    rows = np.random.default_rng(1).permutation(23)
    host, device = (open_batches([inputs], encoding, CPU, resident)[0] for resident in (None, True))
    assert isinstance(host, HostBatches)
    assert isinstance(device, DeviceBatches)
    shapes = [tuple(signal.shape) for signal, _ in device.over(rows, 10)]
    channels = 3 if encoding == "weighted" else 2
    assert shapes == [(10, channels, 500), (10, channels, 500), (3, channels, 500)]
    for (signal, target), (expected, expected_target) in zip(device.over(rows, 10), host.over(rows, 10), strict=True):
        assert torch.equal(signal, expected)
        assert torch.equal(target, expected_target)
        assert signal.stride() == expected.stride()
    signal, target = all_of(device, rows, 10)
    assert signal[7, :2].tolist() == inputs.signal[rows[7]].tolist()
    assert target[7].tolist() == inputs.target[rows[7]].tolist()


def test_what_is_on_the_device_is_counted_by_hand() -> None:
    signals = ecg_rows(23, weighted=True)
    assert batches.bytes_of([signals.source("coord")]) == 23 * 2 * 500 * 4
    assert batches.bytes_of([signals.source("coord"), signals.source("weighted")]) == 23 * 5 * 500 * 4
    # Pixels, four int32 and two float32 an image; an int64 and six float64 a row.
    images = turned_cells("zero").source("coord")
    assert batches.bytes_of([images]) == 4 * (64 * 64 * 3 + 16 + 8) + 20 * (8 + 48)


# -------------------------------------------------------------------- images


def reference(inputs: ImageInputs, row: int, border: str) -> np.ndarray:
    """One row by scipy, in float64: (colours, height, width)."""
    shape = inputs.spec.shape
    centre_x, centre_y = shape[1] / 2, shape[0] / 2
    source = inputs.source("coord")
    index = source.image_of_row[row]
    left, top, width, height = source.content_box[index]
    pixels = source.images[index].astype(np.float64)
    content = (pixels - float(source.mean[index])) / float(source.std[index])
    inside = content[top : top + height, left : left + width]
    y, x = np.mgrid[: shape[0], : shape[1]]
    # OpenCV's formula, inverted as a 3 x 3 matrix.
    angle, scale = np.deg2rad(inputs._rotation_deg[row]), inputs._scale[row]
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    shift_x, shift_y = inputs._translation_px[row]
    to_x, to_y = (1 - a) * centre_x - b * centre_y + shift_x, b * centre_x + (1 - a) * centre_y + shift_y
    moved = [[a, b, to_x], [-b, a, to_y], [0, 0, 1]]
    places = np.linalg.inv(moved) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    source_x, source_y = places[0].reshape(shape), places[1].reshape(shape)
    if border == "zero":
        framed = np.zeros_like(content)
        framed[top : top + height, left : left + width] = inside
        return sampled(framed, source_y, source_x, "grid-constant")
    return sampled(inside, source_y - top, source_x - left, "mirror")


def sampled(image: np.ndarray, y: np.ndarray, x: np.ndarray, mode: str) -> np.ndarray:
    return np.stack([map_coordinates(plane, [y, x], order=1, mode=mode) for plane in np.moveaxis(image, 2, 0)])


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_images_are_those_of_scipy_in_float64(border: str, frame: tuple[int, int]) -> None:
    inputs = turned_cells(border, frame)
    rows = np.random.default_rng(2).permutation(20)
    images, targets = all_of(DeviceBatches(inputs, inputs.source("coord"), CPU), rows, 8)
    assert images.shape == (20, inputs.spec.channels, *frame)
    assert images.dtype == torch.float32
    assert targets.tolist() == inputs.target[rows].tolist()
    for image, row in zip(images, rows, strict=True):
        expected = reference(inputs, row, border)
        steepest = max(np.abs(np.diff(expected, axis=axis)).max() for axis in (1, 2))
        # A place is rounded to float32: 4e-6 px at 64 px, 1e-4 px where the smallest scale reaches 320 px beyond the
        # frame after a few products. A value is off by at most the steepest difference times that, along x and y.
        error_px = 1e-4 if inputs._scale[row] < 0.5 else 1e-5
        np.testing.assert_allclose(
            image.numpy(), expected, rtol=0, atol=2 * error_px * steepest + 1e-6 * largest(expected)
        )


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_images_are_the_hosts_to_rounding(border: str, frame: tuple[int, int]) -> None:
    inputs = turned_cells(border, frame)
    rows = np.arange(20)
    (host,) = open_batches([inputs], "coord", CPU)
    (device,) = open_batches([inputs], "coord", CPU, resident=True)
    (images, targets), (expected, expected_targets) = all_of(device, rows, 8), all_of(host, rows, 8)
    assert torch.equal(targets, expected_targets)
    steepest = max(float(expected.diff(dim=axis).abs().max()) for axis in (2, 3))
    difference = (images - expected).abs().max()
    # Both round their places: along x and y by 1e-4 px at most, or OpenCV by 1/64 px and in its weights as much again.
    assert difference < (2 / 64 * 2 * steepest if FIXED_POINT else 2e-4 * steepest)
    assert all(signal.is_contiguous(memory_format=torch.channels_last) for signal, _ in device.over(rows, 8))


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_whole_pixels_are_the_hosts_to_the_bit(border: str, frame: tuple[int, int]) -> None:
    translations = [(0, 0), (3, 0), (0, -7), (-64, 1), (40, -50), (200, 0)]
    inputs = cells(border, translations, [0] * 6, [1] * 6, frame)
    rows = np.arange(24)
    (host,) = open_batches([inputs], "coord", CPU)
    (device,) = open_batches([inputs], "coord", CPU, resident=True)
    images, expected = all_of(device, rows, 24)[0], all_of(host, rows, 24)[0]
    assert torch.equal(images, expected)
    itself, moved = images[6], images[6 + 2]
    # Seven pixels up: row y shows what was at y + 7.
    assert torch.equal(moved[:, : SIZE - 7], itself[:, 7:])
    if border == "zero":
        assert not moved[:, SIZE - 7 :].any()


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        # dcb|abcd|cba for places -3 ... 6
        (4, [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]),
        (2, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]),
        (1, [0] * 10),
    ],
)
def test_places_are_folded_as_opencv_mirrors(length: int, expected: list[int]) -> None:
    places = torch.arange(-3, 7, dtype=torch.float32)
    assert batches._folded(places, torch.tensor(float(length))).tolist() == expected
    halves = batches._folded(places[:-1] + 0.5, torch.tensor(float(length))).tolist()
    between = [(one + two) / 2 for one, two in pairwise(expected)]
    assert halves == between


# ------------------------------------------------------- no step that waits


class CopyCounter(TorchDispatchMode):
    """Counts copies to and from `meta`, which stands for a device: what must see a value of it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.to_device = self.to_host = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # In inference mode, `to` comes as it was called.
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.to):
            source = args[0]
            devices = [value for value in (*args[1:], *kwargs.values()) if isinstance(value, torch.device)]
            if source.device == META and devices == [CPU]:
                self.to_host += 1
                return torch.zeros(source.shape, dtype=source.dtype)
            self.to_device += source.device == CPU and devices == [META]
        return func(*args, **kwargs)


class MetaDevice:
    """A run of `siwcc.training.run` whose network and batches are on `meta`."""

    def __init__(self, inputs: Any, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        module = SimpleNamespace(open_inputs=lambda paths, *_, **__: inputs[len(paths) > 1])
        monkeypatch.setattr(training, "module_of_fold", lambda path: module)
        monkeypatch.setattr(training, "usable_device", lambda asked: META)
        self.key = RunKey(inputs[0].spec.task, encoding, "full", 1, 42)

    def copies(self, batch_size: int, resident: bool) -> tuple[int, int, int, int]:
        """To the device and to the host in a training epoch, then in an evaluation."""
        settings = Train(batch_size=batch_size, device="cpu", compile=False)
        paths = [Path(f"fold{fold}.h5") for fold in (1, 2, 3)]
        run = training._open_run(self.key, paths, Path(), settings, resident)
        assert {parameter.device for parameter in run.network.parameters()} == {META}
        with CopyCounter() as trained:
            train, order = training._rows_of_epoch(run, 1)
            scale = standardisation(run.train.inputs.target)
            predictions = training._train_one_epoch(run, train, order, *scale)
        assert sorted(order) == list(range(len(run.train.inputs.target)))
        assert predictions.shape == run.train.inputs.target.shape
        assert run.test is not None
        with CopyCounter() as evaluated:
            training.predict(run.network, run.test.batches, np.arange(len(run.test.inputs.target)), batch_size)
        return trained.to_device, trained.to_host, evaluated.to_device, evaluated.to_host


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_an_epoch_sends_its_order_and_fetches_its_predictions_once(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    test, train = (ecg_rows(7), ecg_rows(23)) if task == "ecg" else (turned_cells("zero"), turned_cells("reflect"))
    for inputs, name in ((test, "a"), (train, "b")):
        inputs.sample_id = inputs.sample_id + name
    device = MetaDevice((test, train), monkeypatch, "weighted")
    # Two numbers for the targets' scale and the order.
    assert device.copies(batch_size=2, resident=True) == device.copies(batch_size=8, resident=True) == (3, 1, 1, 1)
    # From the host, signals and targets of every batch.
    trained, evaluated = (-(-len(inputs.target) // 8) for inputs in (train, test))
    assert device.copies(batch_size=8, resident=False) == (2 + 2 * trained, 1, 2 * evaluated, 1)


def test_a_read_of_a_value_on_the_device_would_be_seen() -> None:
    with CopyCounter(), pytest.raises(RuntimeError):
        torch.zeros(1, device=META).item()
    with CopyCounter() as counter:
        torch.zeros(1, device=META).cpu()
    assert counter.to_host == 1


def test_batches_for_cuda_go_through_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def pin(values: torch.Tensor) -> torch.Tensor:
        done.append("pinned")
        return values

    def send(values: torch.Tensor, device: torch.device, non_blocking: bool = False) -> torch.Tensor:
        done.append(f"{device.type}, non_blocking={non_blocking}")
        return values

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", send)
    batches = HostBatches(ecg_rows(5), "coord", torch.device("cuda"))
    assert len(list(batches.over(np.arange(5), 3))) == 2
    assert done == ["pinned", "cuda, non_blocking=True"] * 4
    done.clear()
    assert len(list(HostBatches(ecg_rows(5), "coord", torch.device("mps")).over(np.arange(5), 5))) == 1
    assert done == ["mps, non_blocking=False"] * 2


# -------------------------------------------------------- a device's memory


def test_what_fits_a_device_depends_on_all_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batches, "_memory_bytes", lambda device: 8_000_000)
    monkeypatch.setattr(logging.getLogger("siwcc"), "propagate", True)
    source = Stored(np.zeros((500, 1, 1000), dtype=np.float32))
    cuda = torch.device("cuda:0")
    assert fits_device([source, source], cuda)
    assert caplog.messages == []
    assert not fits_device([source, source, ecg_rows(1).source("coord")], cuda)
    (message,) = caplog.messages
    assert message.startswith("device cuda:0: ")


def test_an_apple_gpu_has_the_machines_memory() -> None:
    assert batches._memory_bytes(torch.device("mps")) == psutil.virtual_memory().total


@pytest.mark.parametrize(("memory_bytes", "kind"), [(10**9, DeviceBatches), (10**5, HostBatches)])
def test_a_device_gets_what_fits_and_a_cpu_nothing(
    monkeypatch: pytest.MonkeyPatch, memory_bytes: int, kind: type
) -> None:
    monkeypatch.setattr(batches, "_memory_bytes", lambda device: memory_bytes)
    assert {type(one) for one in open_batches([ecg_rows(30), ecg_rows(7)], "coord", META)} == {kind}
    assert type(open_batches([ecg_rows()], "coord", META, resident=False)[0]) is HostBatches
    assert type(open_batches([ecg_rows()], "coord", CPU)[0]) is HostBatches


def test_a_full_device_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(WarpedImages, "__init__", full)
    inputs = turned_cells("zero")
    with pytest.raises(InputError) as caught:
        DeviceBatches(inputs, inputs.source("coord"), torch.device("cuda:1"))
    assert caught.value.where == "device cuda:1"
    assert "train.device" in caught.value.remedy


# ------------------------------------------------------------ a whole run


def made_images(folder: Path) -> tuple[list[Path], Path]:
    """Three folds of four noisy squares with a bright disc, the target; three copies each."""
    rng = np.random.default_rng(3)
    samples_path = folder / "samples.h5"
    names = [f"{number % 5 + 1}_{number:03}_01" for number in range(12)]
    with shard_writer(samples_path, "samples", {"dataset": "cells", "image_size": SIZE, "protocol": {}}) as writer:
        for name in sorted(names):
            centre = rng.uniform(20, 44, 2)
            y, x = np.mgrid[:SIZE, :SIZE]
            disc = 150.0 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 60)
            image = (disc[..., np.newaxis] + rng.uniform(0, 60, (SIZE, SIZE, 3))).astype(np.uint8)
            image[:, :9] = image[:, 57:] = 0
            content = image[:, 9:57]
            row = {"signal": image, "target": centre, "sample_id": name, "group": name[:5], "class": name[0]}
            row |= {"content_box": np.array([9, 0, 48, SIZE], dtype=np.int32)}
            writer.append(row | {"mean": content.mean(dtype=np.float64), "std": content.std(dtype=np.float64)})
    settings = ImageTask(dataset="cells", copies_per_sample=3, border="reflect")
    paths = [folder / f"fold{fold}.h5" for fold in (1, 2, 3)]
    for fold, path in enumerate(paths, 1):
        section = SipakmedSection(format="sipakmed", image_size=SIZE)
        write_fold(samples_path, sorted(names)[fold - 1 :: 3], settings, section, 42, fold, path)
    return paths, samples_path


def test_a_run_of_images_learns_the_same_from_either(tmp_path: Path) -> None:
    paths, samples_path = made_images(tmp_path)
    # At the rate of the paper, 0.001, training R2 falls below 0 on the way, and rounding grows to 4e-3 in it.
    settings = Train(epochs=3, batch_size=8, device="cpu", learning_rate=3e-4)
    logs, predictions = [], []
    for name, kept in (("host", False), ("device", True)):
        folder = tmp_path / name / "nuclei" / "weighted" / "full" / "fold1" / "seed42"
        files = RunFiles.in_folder(folder)
        train_run(RunKey("nuclei", "weighted", "full", 1, 42), paths, samples_path, settings, files, resident=kept)
        logs.append(pd.read_csv(files.log).to_numpy())
        predictions.append(pd.read_csv(files.predictions)[["prediction_x", "prediction_y"]].to_numpy())
    assert logs[0].shape == (3, 7)
    # Rounding moves the convolutions' biases by up to the rate a step (Adam), which tells in eval mode only.
    train, test, error_px = slice(1, 3), slice(3, 5), slice(5, 7)
    # Two seeds with AVX-512: 8e-7 in R2 of training, 3e-4 in that of the test, 9e-4 px.
    for columns, tolerance in ((train, 2e-5), (test, 3e-3), (error_px, 1e-2)):
        # OpenCV before 5 makes other images: up to 1/64 px apart along each axis, as a reference test above allows.
        tolerance = 0.1 if FIXED_POINT else tolerance
        np.testing.assert_allclose(logs[1][:, columns], logs[0][:, columns], rtol=0, atol=tolerance)
    np.testing.assert_allclose(predictions[1], predictions[0], rtol=0, atol=0.5 if FIXED_POINT else 0.05)
    assert np.ptp(predictions[0], axis=0).min() > 1


@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_real_images_are_the_hosts_to_rounding(shared_data: Path, tmp_path: Path, border: str) -> None:
    """Ten images of Herlev at the paper's size, the figures of docs/explanation/performance.md."""
    from siwcc.config import HerlevSection
    from siwcc.data.datasets.interface import Excluded, reader_for
    from siwcc.data.samples import write_samples

    section = HerlevSection(format="herlev", path=shared_data / "herlev")
    found = reader_for("herlev").iter_samples(section, shared_data / "herlev")
    samples = [item for item, _ in zip(found, range(12), strict=False) if not isinstance(item, Excluded)]
    attributes = {"dataset": "herlev", "task": "nuclei", "image_size": 256, "protocol": section.protocol()}
    write_samples(samples, attributes, tmp_path / "samples.h5", 1.0)
    settings = ImageTask(dataset="herlev", border=border, copies_per_sample=2)
    names = [sample.sample_id for sample in samples]
    write_fold(tmp_path / "samples.h5", names, settings, section, 42, 1, tmp_path / "fold1.h5")
    inputs = augment_module("image").open_inputs([tmp_path / "fold1.h5"], tmp_path / "samples.h5", False)
    host, device = (open_batches([inputs], "coord", CPU, kept)[0] for kept in (False, True))
    rows = np.arange(len(inputs.target))
    expected, images = all_of(host, rows, 8)[0], all_of(device, rows, 8)[0]
    itself = torch.from_numpy(inputs.copy == 0)
    assert torch.equal(images[itself], expected[itself])
    difference = images - expected
    # Places are off by 2e-5 px along each axis, half of the 4e-5 px between two float32 at 320 px, or by 1/64 px;
    # the steepest edges are few, so the root mean square of all pixels is far below that.
    steepest = max(float(expected.diff(dim=axis).abs().max()) for axis in (2, 3))
    bound = (2 / 64 * 2 if FIXED_POINT else 1e-4) * steepest
    assert difference.abs().max() < bound
    assert difference.square().mean().sqrt() < bound / 10


@pytest.mark.parametrize(("found", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_a_device_that_torch_can_compute_on(
    found: bool, device: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batches, "resolve_device", lambda asked: "cuda" if asked == "auto" else asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    assert usable_device("auto").type == device
    assert usable_device("cpu").type == "cpu"
    assert ("train.device" in caplog.text) is not found


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_was_named_and_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError) as caught:
        usable_device(name)
    assert caught.value.where == "train.device"
    assert name in caught.value.problem
