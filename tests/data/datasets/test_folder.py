"""Folders of the user: values worked out by hand, and one line for everything that is not in order."""

from __future__ import annotations

import struct
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb
from refusals import refused
from tolerances import FLOAT32, assert_same

from siwcc.cli.main import main
from siwcc.cli.plan import plan_study
from siwcc.config import (
    AnyDataset,
    FolderSection,
    ImageTask,
    SignalAugmentation,
    SignalTask,
    parse_config,
    parse_dataset,
)
from siwcc.data.augment.interface import module_of_fold
from siwcc.data.augment.signal import open_inputs
from siwcc.data.datasets import folder, sipakmed, vfdb
from siwcc.data.datasets.image_files import read_image
from siwcc.data.datasets.images import MAX_IMAGE_PIXELS, SampleDefectError
from siwcc.data.datasets.interface import Excluded, Sample
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.datasets.synthetic.write import write_synthetic
from siwcc.data.folds import make_fold, write_folds
from siwcc.data.samples import extract_samples
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, read_yaml
from siwcc.training.checkpoint import network_for

RATE_HZ = 50
EXTENSIONS = (".bmp", ".png", ".tif", ".jpg")


def signals(path: Path, **values: object) -> FolderSection:
    """Windows of 200 samples, 4 s."""
    given = {"window_s": 4, "rate_hz": RATE_HZ, "csv_rate_hz": RATE_HZ, **values}
    section = parse_dataset({"format": "folder", "kind": "signal", "path": path, **given})
    assert isinstance(section, FolderSection)
    return section


def images(path: Path, **values: object) -> FolderSection:
    given = {"image_size": 32, **values}
    section = parse_dataset({"format": "folder", "kind": "image", "path": path, **given})
    assert isinstance(section, FolderSection)
    return section


def saw(samples: int) -> np.ndarray:
    """Two leads (samples, 2) that tell sample and lead apart, with two decimals."""
    time = np.arange(samples)
    return np.stack([time % 197 - 98, 50 - time % 89], axis=1) / 100


def write_signal(path: Path, values: np.ndarray, header: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join(",".join(f"{value:g}" for value in line) + "\n" for line in values))


def write_table(path: Path, *lines: str, name: str = "samples.csv") -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("".join(f"{line}\n" for line in lines))


def read(section: FolderSection) -> dict[str, Sample | Excluded]:
    assert section.path is not None
    items = list(folder.iter_samples(section, section.path))
    ids = [item.sample_id for item in items]
    assert ids == sorted(ids)
    return dict(zip(ids, items, strict=True))


def sample_of(section: FolderSection) -> Sample:
    (sample,) = read(section).values()
    assert isinstance(sample, Sample)
    return sample


def both_stages(section: FolderSection, path: Path) -> None:
    folder.raw_files(section, path)
    list(folder.iter_samples(section, path))


def refusal(section: FolderSection) -> str:
    assert section.path is not None
    with pytest.raises(InputError) as caught:
        both_stages(section, section.path)
    line = str(caught.value)
    assert "\n" not in line
    return line.removeprefix(f"{section.path}/")


# ------------------------------------------------------------------- signals


def test_a_time_becomes_the_window_around_its_sample(tmp_path: Path) -> None:
    values = saw(1000)
    write_signal(tmp_path / "a.csv", values)
    write_table(tmp_path, "file,time_s", "a.csv,6.5")
    sample = sample_of(signals(tmp_path))
    # 6.5 s are sample 325; 100 samples, 2 s, to either side.
    assert (sample.sample_id, sample.group, sample.label) == ("a_0000325", "a.csv", "all")
    np.testing.assert_array_equal(sample.signal, values[225:425].T.astype(np.float32))
    assert sample.target.tolist() == [2.0]
    assert (sample.extras["record"], sample.extras["event_sample"], sample.extras["window_start"]) == ("a", 325, 225)
    np.testing.assert_array_equal(sample.extras["context"], values[125:525].T.astype(np.float32))
    assert sample.extras["context_valid"].all()


def test_events_of_one_recording_know_of_each_other_in_the_order_of_time(tmp_path: Path) -> None:
    write_signal(tmp_path / "a.csv", saw(1000), header="left,right\n")
    lines = ("a.csv,7.5,p1,late", "a.csv,0.5,p1,early", "a.csv,6.5,p1,", "a.csv,9.5,,far")
    write_table(tmp_path, "file,time_s,group,class", *lines)
    found = read(signals(tmp_path))
    assert list(found) == ["a_0000025", "a_0000325", "a_0000375", "a_0000475"]
    early, _, late, _ = found.values()
    # At the start: 25 samples before the event, 100 after it, the rest zero.
    np.testing.assert_array_equal(early.signal[:, :125], saw(125).T.astype(np.float32))
    assert not early.signal[:, 125:].any()
    assert early.target.tolist() == [0.5]
    assert early.extras["context_valid"].tolist() == [False] * 175 + [True] * 225
    # 50 samples after the one before: the window starts there. 100 samples, half a window, is not close.
    assert [int(item.extras["window_start"]) for item in found.values()] == [0, 225, 325, 375]
    assert [int(item.extras["previous_event"]) for item in found.values()] == [-1, 25, 325, 375]
    assert late.target.tolist() == [1.0]
    assert [item.label for item in found.values()] == ["early", "all", "late", "far"]
    assert [item.group for item in found.values()] == ["p1", "p1", "p1", "a.csv"]


@pytest.mark.numeric
def test_a_csv_of_another_rate_is_resampled(tmp_path: Path) -> None:
    time_s = np.arange(6000) / 200
    tones = np.stack([np.sin(2 * np.pi * 2 * time_s), 0.5 + np.cos(2 * np.pi * 5 * time_s)], axis=1)
    write_signal(tmp_path / "a.csv", tones)
    write_table(tmp_path, "file,time_s", "a.csv,10.02")
    sample = sample_of(signals(tmp_path, csv_rate_hz=200))
    assert sample.extras["event_sample"] == 501
    window_s = (401 + np.arange(200)) / 50
    expected = np.stack([np.sin(2 * np.pi * 2 * window_s), 0.5 + np.cos(2 * np.pi * 5 * window_s)])
    # The ripple of the resampling filter, 0.3 % of up to 1.5 mV.
    np.testing.assert_allclose(sample.signal, expected, atol=0.01)


def write_wfdb(path: Path, digital: np.ndarray, rate_hz: float = RATE_HZ) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    leads = digital.shape[1]
    wfdb.wrsamp(
        path.name,
        fs=rate_hz,
        units=["mV"] * leads,
        sig_name=[f"lead{lead}" for lead in range(leads)],
        d_signal=digital,
        fmt=["16"] * leads,
        adc_gain=[100.0] * leads,
        baseline=[0] * leads,
        write_dir=str(path.parent),
    )


@pytest.mark.numeric
@pytest.mark.parametrize(("leads", "file"), [((3, 1), "ward 3/r1"), ((2,), "ward 3/r1"), ((1, 2, 3), "ward 3/r1.hea")])
def test_any_leads_of_a_wfdb_record_below_the_folder(tmp_path: Path, file: str, leads: tuple[int, ...]) -> None:
    digital = np.rint(100 * np.concatenate([saw(1000), saw(1000)[::-1, :1]], axis=1)).astype(np.int64)
    write_wfdb(tmp_path / "ward 3" / "r1", digital)
    write_table(tmp_path, "file,time_s", f"{file},6.5")
    section = signals(tmp_path, leads=leads, csv_rate_hz=None)
    sample = sample_of(section)
    assert (sample.sample_id, sample.group) == ("ward 3/r1_0000325", "ward 3/r1")
    assert_same(sample.signal, digital[225:425, np.subtract(leads, 1)].T / 100, FLOAT32)
    names = [path.relative_to(tmp_path).as_posix() for path in folder.raw_files(section, tmp_path)]
    assert names == ["samples.csv", "ward 3/r1.dat", "ward 3/r1.hea"]


def test_columns_are_leads_and_time_s_is_none(tmp_path: Path) -> None:
    values = saw(1000)
    timed = np.concatenate([values[:, :1], np.arange(1000)[:, None] / RATE_HZ, values[:, 1:]], axis=1)
    write_signal(tmp_path / "a.csv", timed, header='left,"time_s",right\n')
    write_table(tmp_path, "file,time_s", "a.csv,6.5")
    np.testing.assert_array_equal(sample_of(signals(tmp_path)).signal, values[225:425].T.astype(np.float32))
    swapped = sample_of(signals(tmp_path, leads=(2, 1)))
    np.testing.assert_array_equal(swapped.signal, values[225:425, ::-1].T.astype(np.float32))


def test_what_concerns_one_event_excludes_it(tmp_path: Path) -> None:
    values = saw(1000)
    values[810, 1] = np.nan
    write_signal(tmp_path / "a.csv", values)
    lines = ("6.5,a", "6.51,b", "-0.01,c", "20,d", "19.99,e", "16,f")
    write_table(tmp_path, "file,time_s,sample_id", *(f"a.csv,{line}" for line in lines))
    found = read(signals(tmp_path))
    reasons = {name: item.reason for name, item in found.items() if isinstance(item, Excluded)}
    assert reasons == {
        "b": "a further event (all) at one sample",
        "c": "the time -0.01 s lies before the recording's start",
        "d": "the time 20 s lies past the recording's end (20 s)",
        "f": "1 of 200 samples in the window are invalid",
    }
    # 19.99 s are sample 999.5: it is inside and stays inside.
    assert found["e"].extras["event_sample"] == 999
    # What lies outside of the recording is no event before another one; what is invalid is one.
    assert (found["a"].extras["previous_event"], found["e"].extras["previous_event"]) == (-1, 800)


def test_ids_of_the_table_need_not_follow_the_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_signal(tmp_path / f"{name}.csv", saw(1000) + ord(name))
    lines = ("a.csv,5,3", "b.csv,5,2", "a.csv,10,1", "b.csv,10,4")
    write_table(tmp_path, "file,time_s,sample_id", *lines)
    found = read(signals(tmp_path))
    assert [item.extras["record"] for item in found.values()] == ["a", "b", "a", "b"]
    assert [round(float(item.signal.mean())) for item in found.values()] == [97, 98, 97, 98]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", []),
        ("left,right\n", []),
        ("1,2\n3,4\n\n5,6\n", ["line 3"]),
        ("1,2\n3;4\n", ["line 2", "'3;4'"]),
        ("l,r\n1,2\n3,\n", ["line 3", "'3,'"]),
        ("1,2\n3,4,5\n", ["line 2", "3 column", "2"]),
        ("1\n2\n1\n", ["1 lead", "2"]),
        ("0,5\n0.02,4\n0.04,5\n", ["column 1"]),
        ("t,v\n0,5\n1,4\n2,5\n", ["'t'"]),
        ("time_s,a,b\n0,1,2\n0.04,2,1\n", ["time_s", "0.04", "sample 1", "50 Hz", "0.02"]),
        ("time_s,a,b\n7,1,2\n7.02,2,1\n", ["time_s", "7", "sample 0", "50 Hz"]),
    ],
)
def test_a_csv_that_is_no_recording(tmp_path: Path, content: str, found: list[str]) -> None:
    (tmp_path / "a.csv").write_text(content)
    write_table(tmp_path, "file,time_s", "a.csv,0")
    with refused(tmp_path / "a.csv", *found, remedy=None):
        both_stages(signals(tmp_path), tmp_path)


def test_lines_may_end_as_on_windows_and_text_begin_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf1,2\r\n2,1\r\n1,nan\r\n\r\n")
    (tmp_path / "samples.csv").write_bytes(b"\xef\xbb\xbffile,time_s\r\na.csv,0\r\n")
    (item,) = read(signals(tmp_path)).values()
    assert item == Excluded("a_0000000", "1 of 200 samples in the window are invalid")


def test_a_csv_without_a_rate_and_records_with_too_few_leads_name_the_key(tmp_path: Path) -> None:
    write_signal(tmp_path / "a.csv", saw(10))
    write_table(tmp_path, "file,time_s", "a.csv,0")
    line = refusal(signals(tmp_path, csv_rate_hz=None))
    assert line.startswith("samples.csv: row 2: a.csv gives no sampling rate; ")
    assert "datasets.<name>.csv_rate_hz" in line
    write_wfdb(tmp_path / "r1", np.ones((10, 1), dtype=np.int64))
    write_table(tmp_path, "file,time_s", "r1,0")
    assert "r1.hea: has 1 lead(s), and 2 are needed; name leads" in refusal(signals(tmp_path))


def test_a_damaged_record_stops_with_its_name(tmp_path: Path) -> None:
    write_wfdb(tmp_path / "r1", np.ones((10, 2), dtype=np.int64))
    write_table(tmp_path, "file,time_s", "r1,0")
    (tmp_path / "r1.dat").write_bytes(b"\0" * 39)
    assert refusal(signals(tmp_path)).startswith("r1.dat: has 39 bytes where r1.hea promises 40")
    (tmp_path / "r1.dat").write_bytes(b"\0" * 40)
    assert refusal(signals(tmp_path)).startswith("r1.dat: lead 1 does not match its checksum")


def test_two_recordings_of_one_name_and_two_samples_of_one_id(tmp_path: Path) -> None:
    write_wfdb(tmp_path / "a", np.ones((10, 2), dtype=np.int64))
    write_signal(tmp_path / "a.csv", saw(300))
    write_table(tmp_path, "file,time_s", "a,0", "a.csv,0")
    assert refusal(signals(tmp_path)) == "samples.csv: row 3: a.csv has the name of a in row 2; rename one"
    write_table(tmp_path, "file,time_s,sample_id", "a.csv,0,a_0000005", "a.csv,0.1,")
    assert refusal(signals(tmp_path)).startswith("samples.csv: gives 2 samples the id 'a_0000005'")


@pytest.mark.parametrize(("leads", "shift"), [((1,), "zero_fill"), ((1, 3, 2), "rewindow")])
def test_a_network_takes_any_number_of_leads(tmp_path: Path, leads: tuple[int, ...], shift: str) -> None:
    values = np.concatenate([saw(1000), saw(1000)[::-1, :1]], axis=1)
    write_signal(tmp_path / "own" / "a.csv", values)
    write_table(tmp_path / "own", "file,time_s", *(f"a.csv,{time_s}" for time_s in (3, 9, 15)))
    section = signals(tmp_path / "own", leads=leads)
    names = (
        "raw.csv",
        "own.h5",
        "own.excluded.csv",
        "own.protocol.json",
        "folds.csv",
        "strata.csv",
        "fold1.h5",
        "fold2.h5",
    )
    manifest, samples, excluded, protocol, folds, strata, *fold_paths = (tmp_path / name for name in names)
    provide_raw("own", section, tmp_path, manifest)
    extract_samples("own", section, tmp_path, manifest, samples, excluded, protocol)
    write_folds(samples, section, 2, "sample", 42, "kfold", folds, strata)
    steps = SignalAugmentation(shift_s=1, dropout_s=(0.1, 0.3), lowpass_hz=(15, 20))
    settings = SignalTask(dataset="own", copies_per_sample=2, shift=shift, decimate_by=2, augmentation=steps)
    for fold, path in enumerate(fold_paths, start=1):
        make_fold(samples, folds, fold, settings, section, 42, path)
    inputs = open_inputs(fold_paths, samples, augmented_only=False)
    assert inputs.spec.channels == len(leads)
    assert inputs.signal.shape == (9, len(leads), 100)
    network = network_for(inputs.spec, "reduced", "weighted", inputs.spec.channels)
    assert network(inputs.batch(np.arange(9), "weighted")).shape == (9, 1)


# -------------------------------------------------------------------- images


def marked(height: int, width: int, x: int, y: int) -> np.ndarray:
    image = np.full((height, width, 3), 40, dtype=np.uint8)
    image[y, x] = (250, 60, 50)
    return image


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coded = image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image
    options = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    path.write_bytes(cv2.imencode(path.suffix, coded, options if path.suffix == ".jpg" else [])[1].tobytes())


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_pixel_drawn_at_a_place_lands_at_that_place(tmp_path: Path, extension: str) -> None:
    write_image(tmp_path / f"day 1/a{extension}", marked(20, 32, x=5, y=7))
    write_table(tmp_path, "file,x,y,group,class", f"day 1/a{extension},5,7,slide 4,round")
    sample = sample_of(images(tmp_path))
    assert (sample.sample_id, sample.group, sample.label) == ("day 1/a", "slide 4", "round")
    # 32 x 20 in a square of 32: not scaled, 6 rows of padding above.
    assert sample.target.tolist() == [5.0, 13.0]
    red = sample.signal[:, :, 0].astype(int)
    assert np.unravel_index(red.argmax(), red.shape) == (13, 5)
    # JPEG changes 8-bit values by a few units.
    np.testing.assert_allclose(sample.signal[13, 5], (250, 60, 50), atol=3)
    np.testing.assert_allclose(sample.signal[6, 0], (40, 40, 40), atol=3)
    assert not sample.signal[:6].any()
    assert sample.extras["content_box"].tolist() == [0, 6, 32, 20]


def test_points_are_scaled_with_their_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", marked(64, 128, x=5, y=7))
    write_table(tmp_path, "x,file,y,notes", "100.5,a.png,20,clear")
    sample = sample_of(images(tmp_path))
    # A quarter of the size, and 8 rows of padding above.
    assert sample.target.tolist() == [25.125, 13.0]
    assert (sample.group, sample.label) == ("a.png", "all")


def test_gray_becomes_three_equal_channels_and_alpha_is_left_out(tmp_path: Path) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for extension in (".png", ".tif", ".bmp"):
        write_image(tmp_path / f"gray{extension}", gray)
        assert read_image(tmp_path / f"gray{extension}").tolist() == np.stack([gray] * 3, axis=2).tolist()
    colours = np.dstack([gray + 10, gray + 20, gray + 30])
    for extension in (".png", ".tif"):
        write_image(tmp_path / f"alpha{extension}", np.dstack([colours[..., ::-1], gray]))
        assert read_image(tmp_path / f"alpha{extension}").tolist() == colours.tolist()


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_sixteen_bits_are_stretched_over_eight(tmp_path: Path, extension: str) -> None:
    values = np.array([[1000, 11_000], [26_100, 51_000]], dtype=np.uint16)
    write_image(tmp_path / f"a{extension}", values)
    # (value - 1000) x 255 / 50,000: 51 and 128.01.
    assert read_image(tmp_path / f"a{extension}")[..., 1].tolist() == [[0, 51], [128, 255]]
    colours = np.dstack([values, values // 2, np.full_like(values, 1000)])
    write_image(tmp_path / f"b{extension}", colours)
    # One scale for all channels, from 500 to 51,000.
    assert read_image(tmp_path / f"b{extension}")[1, 1].tolist() == [255, round(25_000 * 255 / 50_500), 3]


def damaged(kind: str) -> bytes:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    if kind == "float":
        return cv2.imencode(".tif", image.astype(np.float32))[1].tobytes()
    content = bytearray(cv2.imencode(f".{kind.split()[0]}", image)[1].tobytes())
    if kind.endswith("cut"):
        return bytes(content[: len(content) // 2])
    if kind == "png huge":
        struct.pack_into(">II", content, 16, 10_000, 10_000)
        struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    elif kind == "jpg huge":
        frame = content.index(b"\xff\xc0")
        struct.pack_into(">HH", content, frame + 5, 10_000, 10_000)
    elif kind == "tif huge":
        (directory,) = struct.unpack_from("<I", content, 4)
        struct.pack_into("<HHII", content, directory + 2, 256, 4, 1, 100_000_000)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.png is empty (0 bytes)"),
        (b"GIF89a", "a.png is no image that can be read (BMP, PNG, TIFF or JPEG)"),
        (b"\xff\xd8\xff", "a.png cannot be decoded"),
        (b"II*\0\x08\0\0\0\x01\0", "a.png cannot be decoded"),
        (damaged("png cut"), "a.png is truncated"),
        (damaged("jpg cut"), "a.png is truncated"),
        (damaged("bmp cut"), "a.png is truncated"),
        (damaged("tif cut"), "a.png is damaged or cut off"),
        (damaged("png huge"), f"a.png says it has 10000 x 10000 px; 1 to {MAX_IMAGE_PIXELS} px can be read"),
        (damaged("jpg huge"), "a.png says it has 10000 x 10000 px"),
        (damaged("tif huge"), "a.png says it has 100000000 x 30 px"),
        (damaged("float"), "a.png has SampleFormat 3"),
    ],
)
def test_an_image_that_cannot_be_read_is_excluded(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    write_table(tmp_path, "file,x,y", "a.png,1,1")
    (item,) = read(images(tmp_path)).values()
    assert isinstance(item, Excluded)
    assert said in item.reason


def test_what_cannot_be_decoded_says_so(tmp_path: Path) -> None:
    # Width and height alone: a directory without any pixels.
    entries = struct.pack("<HHII", 256, 3, 1, 4) + struct.pack("<HHII", 257, 3, 1, 4)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, 2) + entries + b"\0" * 4)
    with pytest.raises(SampleDefectError, match=r"a\.tif is damaged or cut off"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(("x", "y", "inside"), [(0, 0, True), (31.9, 19.9, True), (32, 0, False), (0, -0.1, False)])
def test_a_point_outside_its_image_is_excluded(tmp_path: Path, x: float, y: float, inside: bool) -> None:
    write_image(tmp_path / "a.png", marked(20, 32, x=5, y=7))
    write_table(tmp_path, "file,x,y", f"a.png,{x},{y}")
    (item,) = read(images(tmp_path)).values()
    assert isinstance(item, Sample) == inside
    if not inside:
        assert item == Excluded("a", f"the point ({x:g}, {y:g}) lies outside the image of 32 x 20 px")


# -------------------------------------------------------------- several points

SPINE = [["left", "1", "2"], ["right", 3]]


def spine(path: Path, *lines: str, header: str = "file,x1,y1,x2,y2,x3,y3", **values: object) -> dict[str, object]:
    """The samples of images of 16 x 32 px in a frame of twice the size, named as their files."""
    write_table(path, header, *lines)
    for line in lines:
        write_image(path / "shots" / line.split(",")[0], marked(32, 16, x=4, y=6))
    given = {"image_size": [64, 32], "points_from": SPINE, "files_in": "shots", **values}
    return dict(read(images(path, **given)))


def places(sample: object, *further: str) -> list[list[float]]:
    assert isinstance(sample, Sample)
    return [sample.target.tolist(), *(sample.extras[name].tolist() for name in further)]


def test_a_point_is_the_centroid_of_named_columns(tmp_path: Path) -> None:
    # ((2 + 6) / 2, (4 + 8) / 2) = (4, 6) and (10, 20), in twice the size.
    found = spine(tmp_path, "a.png,2,4,6,8,10,20")
    assert places(found["a"], "right") == [[8.0, 12.0], [20.0, 40.0]]
    sample = found["a"]
    assert isinstance(sample, Sample)
    assert sample.signal.shape == (64, 32, 3)
    red = sample.signal[:, :, 0].astype(int)
    assert np.unravel_index(red.argmax(), red.shape) in {(12, 8), (12, 9), (13, 8), (13, 9)}
    assert sample.extras["content_box"].tolist() == [0, 0, 32, 64]


def test_a_point_that_is_missing_or_outside_has_no_place(tmp_path: Path) -> None:
    found = spine(
        tmp_path,
        "a.png,2,4,6,8,,",  # the second
        "b.png,2,4,,8,10,20",  # a part of the first
        "c.png,2,4,6,8,16,20",  # to the right of the last column of 16
        "d.png,2,-14,6,8,10,20",  # the first is at y = -3
        "e.png,,,,,,",
        "f.png,,4,,8,,20",
        "g.png,2,4,6,,10,32",  # the first is missing, the second outside
    )
    kept = {name: places(found[name], "right") for name in "abcd"}
    np.testing.assert_array_equal(kept["a"], [[8, 12], [np.nan, np.nan]])
    np.testing.assert_array_equal(kept["b"], [[np.nan, np.nan], [20, 40]])
    np.testing.assert_array_equal(kept["c"], [[8, 12], [np.nan, np.nan]])
    np.testing.assert_array_equal(kept["d"], [[np.nan, np.nan], [20, 40]])
    assert found["e"] == Excluded("e", "no point is given")
    assert found["f"] == Excluded("f", "no point is given")
    assert found["g"] == Excluded("g", "the point (10, 32) lies outside the image of 16 x 32 px")


def test_a_single_point_may_not_be_missing(tmp_path: Path) -> None:
    with refused(tmp_path / "samples.csv", "row 3", "x2", "''"):
        spine(tmp_path, "a.png,2,4,6,8", "b.png,2,4,,8", header="file,x1,y1,x2,y2", points_from=[["left", 1, 2]])
    found = spine(tmp_path, "a.png,2,4,6,8", header="file,x1,y1,x2,y2", points_from=[["left", 1, 2]])
    assert places(found["a"]) == [[8.0, 12.0]]


def test_points_are_ordered_from_top_to_bottom(tmp_path: Path) -> None:
    points = [["upper", "a"], ["middle", "b"], ["lower", "c"]]
    header = "file,xa,ya,xb,yb,xc,yc"
    found = spine(
        tmp_path,
        "a.png,1,30,2,10,3,20",
        "b.png,1,20,2,10,3,10",  # of two equally high ones the table's order counts
        "c.png,1,20,,,3,10",
        header=header,
        points_from=points,
        order_by="y",
    )
    assert places(found["a"], "middle", "lower") == [[4.0, 20.0], [6.0, 40.0], [2.0, 60.0]]
    assert places(found["b"], "middle", "lower") == [[4.0, 20.0], [6.0, 20.0], [2.0, 40.0]]
    excluded = found["c"]
    assert isinstance(excluded, Excluded)
    assert "order_by" in excluded.reason


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    columns = {"file": "shot", "group": "subject", "class": "view", "sample_id": "case"}
    header = "shot,subject,view,case,x1,y1,x2,y2,x3,y3"
    found = spine(tmp_path, "a.png,p7,front,c1,2,4,6,8,10,20", "b.png,,,,2,4,6,8,10,20", header=header, columns=columns)
    named = {name: (item.group, item.label) for name, item in found.items() if isinstance(item, Sample)}
    assert named == {"c1": ("p7", "front"), "b": ("b.png", "all")}
    with refused(tmp_path / "samples.csv", "patient"):
        spine(tmp_path, "a.png,p7,front,c1,2,4,6,8,10,20", header=header, columns={**columns, "group": "patient"})


def test_files_may_be_in_a_folder_below_the_table(tmp_path: Path) -> None:
    spine(tmp_path, "a.png,2,4,6,8,10,20")
    section = images(tmp_path, image_size=[64, 32], points_from=SPINE, files_in="shots")
    assert folder.raw_files(section, tmp_path) == [tmp_path / "samples.csv", tmp_path / "shots" / "a.png"]
    write_table(tmp_path, "file,x1,y1,x2,y2,x3,y3", "b.png,2,4,6,8,10,20")
    with refused(tmp_path / "samples.csv", "row 2", "b.png", remedy="shots"):
        both_stages(section, tmp_path)


def test_tall_grey_images_become_folds_of_several_points(tmp_path: Path) -> None:
    own = tmp_path / "own"
    lines = [f"{name}.png,2,4,6,8,{x},20" for name, x in zip("abcd", (10, "", 99, 3), strict=True)]
    spine(own, *lines, "e.png,,,,,,")
    section = images(own, image_size=[64, 32], points_from=SPINE, files_in="shots", colours=1, max_excluded=0.3)
    names = ("raw.csv", "own.h5", "own.excluded.csv", "own.protocol.json", "folds.csv", "strata.csv")
    manifest, samples, excluded, protocol, folds, strata = (tmp_path / name for name in names)
    provide_raw("own", section, tmp_path, manifest)
    extract_samples("own", section, tmp_path, manifest, samples, excluded, protocol)
    assert [row["sample_id"] for row in read_csv(excluded, ())] == ["e"]
    write_folds(samples, section, 2, "sample", 42, "every_kth", folds, strata)
    settings = ImageTask(name="spine", dataset="own", points=section.points, copies_per_sample=2, border="reflect")
    paths = [tmp_path / f"fold{fold}.h5" for fold in (1, 2)]
    for fold, path in enumerate(paths, start=1):
        make_fold(samples, folds, fold, settings, section, 42, path)
    inputs = module_of_fold(paths[0]).open_inputs(paths, samples, augmented_only=False)
    assert (inputs.spec.task, inputs.spec.channels, inputs.spec.shape) == ("spine", 1, (64, 32))
    assert inputs.spec.outputs == ("_left_x", "_left_y", "_right_x", "_right_y")
    assert inputs.batch(np.arange(12), "coord").shape == (12, 1, 64, 32)
    targets = {inputs.sample_id[row]: inputs.target[row].tolist() for row in np.flatnonzero(inputs.copy == 0)}
    hidden = [8.0, 12.0, np.nan, np.nan]
    expected = {"a": [8.0, 12.0, 20.0, 40.0], "b": hidden, "c": hidden, "d": [8.0, 12.0, 6.0, 40.0]}
    np.testing.assert_array_equal([targets[name] for name in "abcd"], [expected[name] for name in "abcd"])


def test_a_grey_image_has_one_channel(tmp_path: Path) -> None:
    found = spine(tmp_path, "a.png,2,4,6,8,10,20", colours=1)
    sample = found["a"]
    assert isinstance(sample, Sample)
    assert sample.signal.shape == (64, 32, 1)
    assert sample.signal[0, 0, 0] == 40


# ----------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((), ["file, x, y"]),
        (("file,x,y",), []),
        (("file:x:y", "a.png:1:1"), ["file, x, y", "file:x:y"]),
        (("file,x", "a.png,1"), ["y", "file, x"]),
        (("file,x,y,gruop", "a.png,1,1,p"), ["'gruop'", "'group'"]),
        (("files,x,y", "a.png,1,1"), ["'files'", "'file'"]),
        (("file,x,y", "a.png,1,1", "a.png,1"), ["line 3", "3 fields"]),
        (("file,x,y,x", "a.png,1,1,1"), ["column x"]),
        (("file,x,y", "a.png,1,1", ",1,1"), ["row 3", "file"]),
        (("file,x,y", 'a.png,"1,5",1'), ["row 2", "x", "'1,5'"]),
        (("file,x,y", "a.png,1,nan"), ["row 2", "y", "'nan'"]),
        (("file,x,y", "a.png,,1"), ["row 2", "x", "''"]),
        (("file,x,y,group", "a.png,1,1,p\x07"), ["row 2", "group"]),
        (("file,x,y", "b.png,1,1"), ["row 2", "b.png"]),
        (("file,x,y", f"{'b' * 300}.png,1,1"), ["row 2", f"{'b' * 300}.png"]),
        (("file,x,y", "inner,1,1"), ["row 2", "inner"]),
        (("file,x,y", "../a.png,1,1"), ["row 2", "'../a.png'"]),
        (("file,x,y", "inner/../../a.png,1,1"), ["row 2", "'inner/../../a.png'"]),
        (("file,x,y", "/etc/passwd,1,1"), ["row 2", "'/etc/passwd'"]),
        (("file,x,y", "C:\\a.png,1,1"), ["row 2", "'C:\\\\a.png'"]),
        (("file,x,y", "out.png,1,1"), ["row 2", "out.png", "link"]),
        (("file,x,y", "a.png,1,1", "a.png,2,2"), ["row 3", "'a.png'", "row 2"]),
        (("file,x,y", "a.png,1,1", "./a.png,2,2"), ["row 3", "'a.png'", "row 2"]),
        (("file,x,y", "a.png,1,1", "a.bmp,2,2"), ["row 3", "id 'a'", "row 2"]),
        (
            ("file,x,y,sample_id", "a.png,1,1,one", "a.bmp,2,2,two", "c.png,1,1,one"),
            ["row 4", "sample_id 'one'", "row 2"],
        ),
    ],
)
def test_a_table_that_is_not_in_order_is_one_line(tmp_path: Path, lines: Sequence[str], found: list[str]) -> None:
    own = tmp_path / "own"
    for name in ("own/a.png", "own/a.bmp", "own/c.png", "outside.png"):
        write_image(tmp_path / name, marked(20, 32, x=5, y=7))
    (own / "inner").mkdir()
    (own / "out.png").symlink_to(tmp_path / "outside.png")
    write_table(own, *lines)
    with refused(own / "samples.csv", *found, remedy=None):
        both_stages(images(own), own)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_one_name_in_two_unicode_normal_forms(tmp_path: Path, form: str, on_disk: str) -> None:
    name, group = "Müller_01", "Peña"
    write_image(tmp_path / "Süd" / "a.png", marked(20, 32, x=5, y=7))
    folder_on_disk = tmp_path / unicodedata.normalize(on_disk, "Süd")
    (tmp_path / "Süd").rename(folder_on_disk)
    (folder_on_disk / "a.png").rename(folder_on_disk / unicodedata.normalize(on_disk, f"{name}.png"))
    write_image(tmp_path / "b.png", marked(20, 32, x=5, y=7))
    row = unicodedata.normalize(form, f"Süd/{name}.png,5,7,{group}")
    write_table(tmp_path, "file,x,y,group", row, f"b.png,5,7,{unicodedata.normalize('NFD', group)}")
    found = read(images(tmp_path))
    assert list(found) == [f"Süd/{name}", "b"] or list(found) == ["b", f"Süd/{name}"]
    assert {item.group for item in found.values()} == {group}
    assert len(folder.raw_files(images(tmp_path), tmp_path)) == 3
    write_table(tmp_path, "file,x,y", *(unicodedata.normalize(each, f"Süd/{name}.png,5,7") for each in ("NFC", "NFD")))
    with refused(tmp_path / "samples.csv", "row 3", "row 2"):
        read(images(tmp_path))


def test_a_record_whose_files_are_in_another_normal_form(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "für")
    digital = np.rint(100 * saw(1000)).astype(np.int64)
    write_wfdb(tmp_path / "r1", digital)
    header = (tmp_path / "r1.hea").read_text().replace("r1", unicodedata.normalize("NFC", name))
    (tmp_path / f"{name}.hea").write_text(header, encoding="utf-8")
    (tmp_path / "r1.dat").rename(tmp_path / f"{name}.dat")
    write_table(tmp_path, "file,time_s", "für,6.5")
    sample = sample_of(signals(tmp_path))
    assert sample.sample_id == "für_0000325"
    assert_same(sample.signal, digital[225:425].T / 100, FLOAT32)


def test_back_slashes_separate_folders(tmp_path: Path) -> None:
    for name in ("labeled/a.png", "labeled/b.png"):
        write_image(tmp_path / name, marked(20, 32, x=5, y=7))
    (tmp_path / "c\\d.png").write_bytes((tmp_path / "labeled" / "a.png").read_bytes())
    write_table(tmp_path, "file,x,y", "labeled/a.png,5,7", "labeled\\b.png,5,7", "c\\d.png,5,7")
    assert set(read(images(tmp_path))) == {"labeled/a", "labeled/b", "c\\d"}
    for path in ("..\\a.png", "labeled\\..\\..\\a.png", "\\\\server\\a.png", "\\a.png"):
        write_table(tmp_path, "file,x,y", f"{path},5,7")
        with refused(tmp_path / "samples.csv", "row 2", "a.png"):
            read(images(tmp_path))
    write_table(tmp_path, "file,x,y", "Labeled/a.png,5,7", "labeled/A.PNG,5,7")
    with refused(tmp_path / "samples.csv", "row 2", "Labeled/a.png"):
        read(images(tmp_path))
    write_table(tmp_path, "file,x,y", "labeled/A.PNG,5,7")
    with refused(tmp_path / "samples.csv", "row 2", remedy="a.png"):
        read(images(tmp_path))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_as_a_spreadsheet_saves_it(tmp_path: Path, encoding: str, delimiter: str) -> None:
    values = saw(1000)
    write_signal(tmp_path / "für.csv", values)
    lines = ["file; time_s ;group", "für.csv;6,5;Müller", "", "für.csv;1,25;Müller", ";;"]
    (tmp_path / "samples.csv").write_bytes("\r\n".join(lines).replace(";", delimiter).encode(encoding))
    found = read(signals(tmp_path))
    assert list(found) == ["für_0000062", "für_0000325"]
    assert {item.group for item in found.values()} == {"Müller"}


def test_recordings_with_times_need_no_rate(tmp_path: Path) -> None:
    values = saw(1000)
    timed = np.concatenate([np.arange(1000)[:, None] / RATE_HZ, values], axis=1)
    write_signal(tmp_path / "a.txt", timed, header="time_s,left,right\n")
    write_signal(tmp_path / "b.csv", values)
    write_table(tmp_path, "file,time_s", "a.txt,6.5")
    sample = sample_of(signals(tmp_path, csv_rate_hz=None))
    np.testing.assert_array_equal(sample.signal, values[225:425].T.astype(np.float32))
    assert sample.sample_id == "a_0000325"


def test_what_was_not_checked_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("r1", "r2"):
        write_wfdb(tmp_path / name, np.rint(100 * saw(1000)).astype(np.int64))
        lines = (tmp_path / f"{name}.hea").read_text().splitlines()
        fields = [line.split() for line in lines]
        (tmp_path / f"{name}.hea").write_text("\n".join([lines[0], *(" ".join(one[:3]) for one in fields[1:3])]))
    write_table(tmp_path, "file,time_s", "r1,6.5", "r2,6.5")
    read(signals(tmp_path))
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(tmp_path / "r1.hea") in line
    assert "checksum" in line


def test_the_lines_that_the_page_shows(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (repository / "docs" / "how-to" / "own-data.md").read_text(encoding="utf-8")
    number, typo, absent = page.partition("```\nmy-records")[2].partition("```")[0].splitlines()
    monkeypatch.chdir(tmp_path)
    write_image(Path("my-images/images/a.png"), marked(20, 32, x=5, y=7))
    write_table(Path("my-records"), "file,time_s", "a.csv,1", "a.csv,2", "a.csv,3", 'a.csv,"1,5"')
    assert f"my-records/{refusal(signals(Path('my-records')))}" == f"my-records{number}"
    write_table(Path("my-records"), "file,time_s,gruop", "a.csv,1,p")
    assert f"my-records/{refusal(signals(Path('my-records')))}" == typo
    write_table(Path("my-images"), "file,x,y", "images/a.png,1,1", "images/b.png,1,1")
    assert f"my-images/{refusal(images(Path('my-images')))}" == absent


def test_a_folder_without_its_table(tmp_path: Path) -> None:
    assert refusal(images(tmp_path)) == "samples.csv: does not exist"
    write_table(tmp_path / "elsewhere", "file,x,y", "a.png,1,1")
    (tmp_path / "samples.csv").symlink_to(tmp_path / "elsewhere" / "samples.csv")
    assert "does not exist" in refusal(images(tmp_path))
    inner = tmp_path / "elsewhere" / "inner"
    inner.mkdir()
    (inner / "samples.csv").symlink_to("../samples.csv")
    assert refusal(images(inner)).startswith("samples.csv: is a link that leads out of the folder")


def test_signals_of_a_record_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    write_wfdb(own / "r1", np.ones((10, 2), dtype=np.int64))
    (own / "r1.dat").rename(tmp_path / "r1.dat")
    (own / "r1.dat").symlink_to("../r1.dat")
    write_table(own, "file,time_s", "r1,0")
    assert refusal(signals(own)).startswith("samples.csv: row 2: r1.dat is a link that leads out of the folder")


def test_another_name_for_the_table_and_links_within_the_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "store" / "a.png", marked(20, 32, x=5, y=7))
    (tmp_path / "link.png").symlink_to("store/a.png")
    write_table(tmp_path, "file,x,y", "link.png,5,7", name="points.csv")
    assert sample_of(images(tmp_path, table="points.csv")).target.tolist() == [5.0, 13.0]


def test_the_folder_is_only_read_and_its_files_are_listed(tmp_path: Path) -> None:
    own = tmp_path / "own"
    write_image(own / "b" / "a.png", marked(20, 32, x=5, y=7))
    write_table(own, "file,x,y", "b/a.png,5,7")
    (own / "notes.txt").write_text("mine")
    (own / "manifest.json").write_text("of another program")
    before = {path: path.stat().st_mtime_ns for path in (own, *own.rglob("*"))}
    provide_raw("own", images(own), tmp_path / "raw", tmp_path / "raw" / "own.manifest.csv")
    read(images(own))
    assert {path: path.stat().st_mtime_ns for path in (own, *own.rglob("*"))} == before
    listed = read_csv(tmp_path / "raw" / "own.manifest.csv", ("file",))
    assert [row["file"] for row in listed] == ["b/a.png", "samples.csv"]


# ---------------------------------------------------------------- the config


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "signal"}, "datasets.own.path: is missing: it names the folder that holds the table"),
        ({"path": "x"}, "datasets.own.kind: Field required"),
        (
            {"path": "x", "kind": "eeg"},
            "datasets.own.kind: Input should be 'signal', 'image' or 'volume' (found 'eeg')",
        ),
        ({"path": "x", "kind": "signal", "table": "../t.csv"}, "datasets.own.table: String should match pattern"),
        ({"path": "x", "kind": "signal", "leads": []}, "datasets.own.leads: List should have at least 1 item"),
        ({"path": "x", "kind": "signal", "leads": [1, 1]}, "datasets.own.leads: a lead is there twice in [1, 1]"),
        (
            {"path": "x", "kind": "signal", "leads": [-1]},
            "datasets.own.leads: is [-1]",
        ),
        (
            {"path": "x", "kind": "signal", "image_size": 64},
            "datasets.own.image_size: has no meaning for a data set of the kind",
        ),
        (
            {"path": "x", "kind": "image", "csv_rate_hz": 5},
            "datasets.own.csv_rate_hz: has no meaning for a data set of the",
        ),
        ({"path": "x", "kind": "image", "tabel": "t.csv"}, "unknown key 'datasets.own.tabel', did you mean 'table'?"),
    ],
)
def test_a_section_that_is_not_in_order(repository: Path, values: dict[str, object], said: str) -> None:
    study = read_yaml(repository / "config.yaml")
    study["datasets"]["own"] = {"format": "folder", **values}
    with pytest.raises(InputError) as caught:
        parse_config(study)
    assert said in str(caught.value)


def test_a_folder_serves_tasks_of_its_kind(repository: Path) -> None:
    values = read_yaml(repository / "config.yaml")
    values["datasets"]["own"] = {"format": "folder", "kind": "signal", "path": "x", "leads": [1], "rate_hz": 100}
    values["tasks"]["nuclei"]["dataset"] = "own"
    with refused("config", "tasks.nuclei.dataset", "'own'", "'folder'", "signal"):
        parse_config(values)
    values["tasks"]["nuclei"]["dataset"] = "sipakmed"
    values["tasks"]["ecg"]["dataset"] = "own"
    with refused("config", "lowpass_hz", "50 Hz", "own"):
        parse_config(values)
    values["datasets"]["own"]["rate_hz"] = 250
    config = parse_config(values)
    assert parse_config(config.model_dump(mode="json")) == config


def test_the_protocol_is_of_the_one_kind(tmp_path: Path) -> None:
    assert set(images(tmp_path).protocol()) == {"format", "synthetic", "kind", "table", "image_size"}
    ecg = {"format", "synthetic", "kind", "table", "leads", "window_s", "rate_hz", "csv_rate_hz"}
    assert set(signals(tmp_path).protocol()) == ecg


def test_a_plan_counts_the_rows(repository: Path, tmp_path: Path) -> None:
    write_table(tmp_path, "file,x,y", "a.png,1,1", "b.png,1,1", "c.png,1,1")
    values = read_yaml(repository / "config.yaml")
    values |= {"run": ["nuclei"], "variants": ["reduced"]}
    values["datasets"]["own"] = {"format": "folder", "kind": "image", "path": str(tmp_path), "image_size": 32}
    values["tasks"]["nuclei"]["dataset"] = "own"
    (plan,) = plan_study(parse_config(values), tmp_path / "data")
    assert (plan.samples, plan.sample_source) == (3, f"rows of {tmp_path / 'samples.csv'}")


# ------------------------------------------------------------------- synthetic


def made(section: AnyDataset, path: Path) -> list[Sample]:
    reader = {"folder": folder, "vfdb": vfdb, "sipakmed": sipakmed}[section.format]
    return [item for item in reader.iter_samples(section, path) if isinstance(item, Sample)]


def test_synthetic_records_in_either_layout_have_the_same_windows(tmp_path: Path) -> None:
    own, published = tmp_path / "own", tmp_path / "published"
    assert main(["demo-data", "--layout", "folder", "--folder", str(own), "--samples", "2"]) == 0
    write_synthetic("signal", published, 2, 42)
    section = parse_dataset({"format": "folder", "kind": "signal", "path": own, "csv_rate_hz": 250})
    ours, theirs = made(section, own), made(parse_dataset({"format": "vfdb"}), published)
    assert [sample.sample_id for sample in ours] == [f"records/{sample.sample_id}" for sample in theirs]
    assert len(ours) > 10
    for one, other in zip(ours, theirs, strict=True):
        assert one.target == other.target
        assert (one.label, one.group) == (other.label, other.group.replace("demo", "patient"))
        for name in ("event_sample", "window_start", "previous_event"):
            assert one.extras[name] == other.extras[name]
        # WFDB format 212 at 200 digits a mV against three decimals.
        np.testing.assert_allclose(one.signal, other.signal, atol=0.5 / 200 + 0.0005 + 1e-6)


def test_synthetic_cells_in_either_layout_are_the_same_images(tmp_path: Path) -> None:
    own, published = tmp_path / "own", tmp_path / "published"
    arguments = ["--task", "nuclei", "--layout", "folder", "--folder", str(own), "--samples", "10"]
    assert main(["demo-data", *arguments]) == 0
    write_synthetic("image", published, 10, 42)
    ours = {sample.sample_id: sample for sample in made(images(own, image_size=64), own)}
    theirs = made(parse_dataset({"format": "sipakmed", "image_size": 64}), published)
    assert len(ours) == len(theirs) == 10
    for other in theirs:
        one = ours[f"images/{other.label.lower()}_{other.sample_id[2:]}"]
        assert (one.label, one.group) == (other.label, f"{other.label.lower()}_{other.group[2:]}")
        np.testing.assert_array_equal(one.signal, other.signal)
        # Two decimals in the table, and no image is enlarged by more than two.
        np.testing.assert_allclose(one.target, other.target, atol=0.01)
