from __future__ import annotations

import csv
import functools
import logging
import shutil
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import py7zr
import pytest
from refusals import refused
from tolerances import FLOAT64, assert_same

from siwcc.config import parse_dataset
from siwcc.data.datasets import sipakmed
from siwcc.data.datasets.download import read_checksums
from siwcc.data.datasets.groups import SIPAKMED_CLASSES
from siwcc.data.datasets.images import SampleDefectError
from siwcc.data.datasets.interface import Excluded, Sample, reader_for
from siwcc.data.datasets.sipakmed import parse_contour

# A square with a further vertex on its left side: centroid of the area (45, 25), of the vertices (44, 25).
SQUARE = [(40, 20), (50, 20), (50, 30), (40, 30), (40, 25)]


def section(**values):
    return parse_dataset({"format": "sipakmed", "image_size": 64} | values)


def write_image(path, width=80, height=60):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(".bmp", pixels)[1].tobytes())
    return pixels[..., ::-1]


def write_contour(path, points=SQUARE, separator=",", end="\n"):
    path.write_bytes("".join(f"{x}{separator}{y}{end}" for x, y in points).encode())


def write_cell(crops, name="001_01", points=SQUARE, **size):
    pixels = write_image(crops / f"{name}.bmp", **size)
    write_contour(crops / f"{name}_nuc.dat", points)
    return pixels


def read(folder, **values):
    return list(sipakmed.iter_samples(section(**values), folder))


@pytest.mark.numeric
def test_a_cell_is_read_with_its_centre_in_the_square(tmp_path):
    pixels = write_cell(tmp_path / "im_Koilocytotic" / "CROPPED", "012_03")
    (sample,) = read(tmp_path)
    assert (sample.sample_id, sample.group, sample.label) == ("2_012_03", "2_012", "Koilocytotic")
    # 80 x 60 -> 64 x 48 at (0, 8); (45, 25) * 0.8 = (36, 20)
    assert_same(sample.target, [36.0, 28.0], FLOAT64)
    assert sample.target.dtype == np.float64
    assert sample.extras["content_box"].tolist() == [0, 8, 64, 48]
    assert (sample.extras["original_width"], sample.extras["original_height"]) == (80, 60)
    resized = cv2.resize(np.ascontiguousarray(pixels), (64, 48), interpolation=cv2.INTER_AREA)
    assert np.array_equal(sample.signal[8:56], resized)
    assert not sample.signal[:8].any()
    assert not sample.signal[56:].any()
    assert_same(sample.extras["mean"], resized.mean(dtype=np.float64), FLOAT64)
    assert reader_for("sipakmed") is sipakmed
    assert section().kind == "image"


@pytest.mark.numeric
def test_the_centre_of_the_vertices_is_a_config_value(tmp_path):
    write_cell(tmp_path / "im_Koilocytotic" / "CROPPED")
    (sample,) = read(tmp_path, centroid="vertices")
    assert_same(sample.target, [44 * 0.8, 25 * 0.8 + 8], FLOAT64)


@pytest.mark.parametrize(
    "folder",
    [
        "im_Metaplastic/CROPPED",
        "im_Metaplastic/im_Metaplastic/CROPPED",
        "Metaplastic/CROPPED",
        "METAPLASTIC/cropped",
        "unpacked here/im_Metaplastic/im_Metaplastic/CROPPED",
    ],
)
@pytest.mark.parametrize(("image", "contour"), [("{}.bmp", "{}_nuc.dat"), ("{}.BMP", "{}_NUC.DAT")])
def test_layouts_in_circulation(tmp_path, folder, image, contour):
    crops = tmp_path / folder
    write_image(crops / image.format("271_02"))
    write_contour(crops / contour.format("271_02"))
    (crops / "271_02_cyt.dat").write_text("0,0\n")
    (crops / "._271_02.bmp").write_bytes(b"a copy's resource fork")
    (crops / "Thumbs.db").touch()
    write_image(crops.parent / "271.bmp")
    (sample,) = read(tmp_path)
    assert (sample.sample_id, sample.group, sample.label) == ("3_271_02", "3_271", "Metaplastic")
    names = [path.relative_to(tmp_path).as_posix() for path in sipakmed.raw_files(section(), tmp_path)]
    assert sorted(names) == sorted(f"{folder}/{name.format('271_02')}" for name in (image, contour))


def test_the_path_may_be_one_class_folder(tmp_path):
    write_cell(tmp_path / "im_Parabasal" / "CROPPED")
    assert read(tmp_path / "im_Parabasal")[0].sample_id == "4_001_01"


def test_class_folders_may_be_links(tmp_path):
    write_cell(tmp_path / "elsewhere" / "x" / "CROPPED")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "im_Parabasal").symlink_to(tmp_path / "elsewhere" / "x")
    assert read(tmp_path / "set")[0].sample_id == "4_001_01"


def test_classes_are_numbered_and_samples_sorted_by_id(tmp_path):
    for name in reversed(SIPAKMED_CLASSES):
        for cell in ("002_10", "002_02", "001_01"):
            write_cell(tmp_path / f"im_{name}" / "CROPPED", cell)
    samples = read(tmp_path)
    ids = [sample.sample_id for sample in samples]
    assert ids == [f"{number}_{cell}" for number in range(1, 6) for cell in ("001_01", "002_02", "002_10")]
    labels = ["Dyskeratotic", "Koilocytotic", "Metaplastic", "Parabasal", "Superficial-Intermediate"]
    assert [sample.label for sample in samples[::3]] == labels


def test_images_are_read_one_at_a_time(tmp_path, monkeypatch):
    for cell in ("001_01", "001_02", "001_03"):
        write_cell(tmp_path / "im_Parabasal" / "CROPPED", cell)
    opened = []
    real = sipakmed.read_bmp
    monkeypatch.setattr(sipakmed, "read_bmp", lambda path: opened.append(path.name) or real(path))
    stream = sipakmed.iter_samples(section(), tmp_path)
    next(stream)
    assert opened == ["001_01.bmp"]


@pytest.mark.parametrize(
    "text",
    [
        b"1,2\n3.5,4\n",
        b"1 2\n3.5 4\n",
        b"1\t2\r\n3.5\t4\r\n",
        b"1, 2\r\n3.5 ,4",
        b"  1   2  \n3.50 4.0\n\n",
        b"\xef\xbb\xbf1,2\n\n3.5e0,+4.\n \n",
        b"1,2\r3.5,4\r",
    ],
)
def test_ways_to_write_a_contour(text):
    assert parse_contour(text).tolist() == [[1.0, 2.0], [3.5, 4.0]]


@pytest.mark.parametrize(("centroid", "x"), [("polygon", 36.0), ("vertices", 35.2)])
def test_a_contour_need_not_repeat_its_first_point(tmp_path, centroid, x):
    for name, points in (("001_01", SQUARE), ("001_02", [*SQUARE, SQUARE[0]])):
        write_cell(tmp_path / "im_Parabasal" / "CROPPED", name, points)
    open_contour, closed_contour = read(tmp_path, centroid=centroid)
    assert open_contour.target.tolist() == closed_contour.target.tolist()
    assert_same(open_contour.target, [x, 28.0], FLOAT64)


def test_there_is_a_reported_sum_for_every_archive():
    assert list(read_checksums(sipakmed.CHECKSUMS)) == [f"im_{name}.7z" for name in SIPAKMED_CLASSES]


def test_a_closed_contour_keeps_its_last_point():
    assert parse_contour(b"1,2\n3,4\n5,2\n1,2\n").tolist() == [[1, 2], [3, 4], [5, 2], [1, 2]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"1,2\n3,x4\n", "line 2 is not a point x,y: '3,x4'"),
        (b"x,y\n1,2\n3,4\n", "line 1 is not a point"),
        (b"1,2\n3\n", "line 2"),
        (b"1,2\n3,4,5\n", "line 2"),
        (b"1,5;2,5\n", "line 1"),
        (b"nan,2\n3,4\n", "line 1"),
        (b"1_0,2\n3,4\n", "line 1"),
        ("\u0661,2\n3,4\n".encode(), "line 1"),
        (b"1,2\n", "1 different points"),
        (b"1,2\n1,2\n1,2\n", "1 different points"),
        (b"\n \n", "0 different points"),
        (b"\x80\x81", "not a text file"),
        ("1,2\n3,4\n".encode("utf-16"), "not a text file"),
    ],
)
def test_a_bad_contour_is_a_defect_with_its_line(text, reason):
    with pytest.raises(SampleDefectError, match=reason):
        parse_contour(text)


def parsing_s(text: bytes) -> float:
    """CPU seconds until a line is refused, the least of some tries."""
    taken_s = []
    for _ in range(3):
        started_s = time.process_time()
        with pytest.raises(SampleDefectError):
            parse_contour(text)
        taken_s.append(time.process_time() - started_s)
    return min(taken_s)


@pytest.mark.parametrize("line", ["1" * 5, "1 " + " " * 3 + "x", "1.1.1"])
def test_a_hostile_contour_line_takes_time_in_proportion(line):
    """A search that goes back and forth takes 256 times as long for 16 times the line."""
    middle = line[1:-1]
    few, many = ((line[0] + middle * count + line[-1]).encode() for count in (1 << 14, 1 << 18))
    assert parsing_s(many) < 64 * parsing_s(few)


@pytest.mark.parametrize("point", [(80, 20), (-0.01, 20), (45, 60), (45, -1), ("1e999", 20)])
def test_a_point_outside_the_crop_excludes_it(tmp_path, point):
    write_cell(tmp_path / "im_Parabasal" / "CROPPED", points=[*SQUARE[:2], point, *SQUARE[2:]])
    (excluded,) = read(tmp_path)
    x, y = float(point[0]), float(point[1])
    assert excluded.sample_id == "4_001_01"
    assert (
        f"contour point 3 at ({x:g}, {y:g}) lies outside the image of 80 x 60 px (1 of 6 points do)" in excluded.reason
    )


@pytest.mark.numeric
def test_points_on_the_first_and_below_the_last_edge_are_inside(tmp_path):
    write_cell(tmp_path / "im_Parabasal" / "CROPPED", points=[(0, 0), (79.99, 0), (79.99, 59.99), (0, 59.99)])
    (sample,) = read(tmp_path)
    assert_same(sample.target, [39.995 * 0.8, 29.995 * 0.8 + 8], FLOAT64)


def damage(crops):
    """One cell of each kind of damage, and one whole cell, 009_09."""
    for number in range(1, 7):
        write_cell(crops, f"001_0{number}")
    (crops / "001_01.bmp").write_bytes(b"")
    (crops / "001_02.bmp").write_bytes(b"not an image")
    (crops / "001_03_nuc.dat").unlink()
    (crops / "001_04.bmp").unlink()
    (crops / "001_05_nuc.dat").write_bytes(b"")
    (crops / "001_06_NUC.dat").write_bytes(b"1,2\n3,4\n")
    write_cell(crops, "001_07", points=[(0, 1), (0, 2), (0, 3)], width=1, height=30)
    write_cell(crops, "001_08 (1)")
    (crops / "001_09.bmp").mkdir()
    write_cell(crops, "009_09")


def test_each_kind_of_damage_is_a_line_with_its_reason(tmp_path):
    damage(tmp_path / "im_Dyskeratotic" / "CROPPED")
    results = read(tmp_path)
    assert [result.sample_id for result in results if isinstance(result, Sample)] == ["1_009_09"]
    reasons = {result.sample_id: result.reason for result in results if isinstance(result, Excluded)}
    prefix = "im_Dyskeratotic/CROPPED"
    assert reasons == {
        "1_001_01": "001_01.bmp is empty (0 bytes)",
        "1_001_02": "001_02.bmp is not a BMP file",
        "1_001_03": f"{prefix}/001_03.bmp: image with no contours of the nucleus",
        "1_001_04": f"{prefix}/001_04_nuc.dat: contour without an image",
        "1_001_05": "001_05_nuc.dat is empty (0 bytes)",
        "1_001_06": f"{prefix}/001_06.bmp: image with 2 contours of the nucleus",
        "1_001_07": "image of 1 x 30 px: a side is below 2 px",
        "1_001_08 (1)": f"{prefix}/001_08 (1).bmp: the file's name is not NNN_MM",
    }


def test_a_second_image_of_an_id_is_excluded_under_another_id(tmp_path):
    outer = tmp_path / "im_Dyskeratotic" / "CROPPED"
    inner = tmp_path / "im_Dyskeratotic" / "im_Dyskeratotic" / "CROPPED"
    used = write_cell(outer, width=64, height=64)
    write_cell(inner, width=65, height=64)
    write_image(outer / "001_01.BMP", width=66, height=64)
    results = read(tmp_path)
    assert [result.sample_id for result in results] == ["1_001_01", "1_001_01#2", "1_001_01#3"]
    assert "im_Dyskeratotic/CROPPED/001_01.bmp: another file of the id 1_001_01 is used" in results[1].reason
    assert isinstance(results[0], Sample)
    assert results[0].extras["original_width"] == 66  # first by path: capitals sort before small letters
    assert used.shape == (64, 64, 3)


def test_a_contour_left_alone_does_not_take_the_id_of_an_image(tmp_path):
    (tmp_path / "im_Dyskeratotic" / "CROPPED").mkdir(parents=True)
    write_contour(tmp_path / "im_Dyskeratotic" / "CROPPED" / "001_01_nuc.dat")
    write_cell(tmp_path / "im_Dyskeratotic" / "im_Dyskeratotic" / "CROPPED")
    first, second = read(tmp_path)
    assert isinstance(first, Sample)
    assert second.sample_id == "1_001_01#2"


def test_a_folder_without_crops_is_no_such_set(tmp_path):
    write_image(tmp_path / "im_Parabasal" / "001.bmp")
    with refused(tmp_path, "im_<Class>/CROPPED"):
        sipakmed.raw_files(section(), tmp_path)


def test_crops_of_an_unknown_class_are_not_dropped_silently(tmp_path):
    write_cell(tmp_path / "im_Parabasal" / "CROPPED")
    write_cell(tmp_path / "im_Other" / "CROPPED")
    with refused(tmp_path / "im_Other" / "CROPPED"):
        sipakmed.raw_files(section(), tmp_path)


@pytest.fixture
def published(repository):
    with (repository / "resources" / "excluded_sipakmed.csv").open() as handle:
        return [row["sample_id"] for row in csv.DictReader(handle)]


def test_the_published_names_are_the_26_of_the_protocol(published):
    expected = [f"2_095_{cell}" for cell in range(10, 20)] + [f"2_099_{cell:02d}" for cell in range(8, 16)]
    expected += ["3_271_01"] + [f"5_023_{cell:02d}" for cell in range(6, 13)]
    assert published == expected
    assert len(set(published)) == 26


@pytest.mark.parametrize("change", ["none", "one more", "one less"])
def test_the_full_set_is_compared_with_the_published_names(tmp_path, monkeypatch, caplog, published, change):
    outside = set(published)
    if change == "one more":
        outside.add("1_001_01")
    if change == "one less":
        outside.remove("3_271_01")
    for name in sorted({*published, "1_001_01", "4_001_01"}):
        crops = tmp_path / f"im_{SIPAKMED_CLASSES[int(name[0]) - 1]}" / "CROPPED"
        write_cell(crops, name[2:], points=[*SQUARE, (99, 0)] if name in outside else SQUARE)
    assert len(read(tmp_path)) == 28
    assert not caplog.records  # 28 crops are not the full set
    monkeypatch.setattr(sipakmed, "FULL_SET_CROPS", 28)
    with caplog.at_level(logging.WARNING):
        read(tmp_path)
    texts = {
        "none": [],
        "one more": ["SIPaKMeD: 27 samples excluded, 26 published; only here: 1_001_01; only published: none"],
        "one less": ["SIPaKMeD: 25 samples excluded, 26 published; only here: none; only published: 3_271_01"],
    }
    assert [record.getMessage() for record in caplog.records] == texts[change]


def test_synthetic_cells_are_not_compared_with_the_published_names(tmp_path, monkeypatch, caplog):
    write_cell(tmp_path / "im_Parabasal" / "CROPPED")
    monkeypatch.setattr(sipakmed, "FULL_SET_CROPS", 1)
    read(tmp_path, synthetic={"samples": 1})
    assert not caplog.records
    read(tmp_path)
    assert "0 samples excluded, 26 published; only here: none" in caplog.text


def test_the_set_unpacked_twice_is_still_the_full_set(tmp_path, monkeypatch, caplog):
    for name in SIPAKMED_CLASSES:
        write_cell(tmp_path / f"im_{name}" / "CROPPED")
        write_cell(tmp_path / f"im_{name}" / f"im_{name}" / "CROPPED")
    monkeypatch.setattr(sipakmed, "FULL_SET_CROPS", 5)
    assert sum(isinstance(result, Excluded) for result in read(tmp_path)) == 5
    assert "0 samples excluded, 26 published; only here: none" in caplog.text


def write_class_archive(folder, tmp_path, number, name):
    source = tmp_path / "source" / name
    crops = source / f"im_{name}" / f"im_{name}" / "CROPPED"
    write_cell(crops, "001_01", width=70 + number)
    (crops / "001_01_cyt.dat").write_text("1,1\n")
    (crops / "note.txt").write_text("not needed")
    write_image(crops.parent / "001.bmp")
    with py7zr.SevenZipFile(folder / f"im_{name}.7z", "w") as archive:
        archive.writeall(source / f"im_{name}", f"im_{name}")


class Handler(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    for number, name in enumerate(SIPAKMED_CLASSES):
        write_class_archive(folder, tmp_path_factory.mktemp("class"), number, name)
    return folder


@pytest.fixture
def site(archives, tmp_path):
    """A web site on this machine with five small archives: (address, its folder, paths asked for)."""
    folder = tmp_path / "site"
    shutil.copytree(archives, folder)
    handler = type("Asked", (Handler,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", folder, handler.asked
    server.shutdown()
    server.server_close()


def test_download_unpacks_the_crops_of_five_archives(tmp_path, site, caplog):
    url, _, asked = site
    raw = tmp_path / "raw"
    sipakmed.download(section(url=url), raw)
    assert asked == [f"/im_{name}.7z" for name in SIPAKMED_CLASSES]
    unpacked = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("CROPPED/*"))
    names = ("001_01.bmp", "001_01_cyt.dat", "001_01_nuc.dat")
    assert unpacked == sorted(f"im_{name}/CROPPED/{file}" for name in SIPAKMED_CLASSES for file in names)
    assert [sample.extras["original_width"] for sample in read(raw)] == [70, 71, 72, 73, 74]
    assert len(sipakmed.raw_files(section(), raw)) == 10
    # Sums of third parties: these archives have others, which asks for a report and does not stop.
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 5
    assert all("please report" in warning for warning in warnings)

    for archive in raw.glob("*.7z"):
        archive.unlink()
    sipakmed.download(section(url=url), raw)
    assert len(asked) == 5


def test_download_goes_on_where_it_stopped(tmp_path, site):
    url, folder, asked = site
    raw = tmp_path / "raw"
    (folder / "im_Metaplastic.7z").rename(folder / "later.7z")
    with refused(f"{url}im_Metaplastic.7z", 404, remedy="datasets.sipakmed.path"):
        sipakmed.download(section(url=url), raw)
    assert sorted(path.name for path in raw.glob("im_*")) == [
        "im_Dyskeratotic",
        "im_Dyskeratotic.7z",
        "im_Koilocytotic",
        "im_Koilocytotic.7z",
    ]
    (folder / "later.7z").rename(folder / "im_Metaplastic.7z")
    asked.clear()
    sipakmed.download(section(url=url), raw)
    assert asked == [f"/im_{name}.7z" for name in SIPAKMED_CLASSES[2:]]
    assert len(read(raw)) == 5


def test_an_error_page_in_place_of_an_archive_is_named(tmp_path, site):
    url, folder, _ = site
    (folder / "im_Dyskeratotic.7z").write_bytes(b"<?xml version='1.0'?><p>Sorry</p>")
    with refused(tmp_path / "raw" / "im_Dyskeratotic.7z", ".7z"):
        sipakmed.download(section(url=url), tmp_path / "raw")
    assert not (tmp_path / "raw" / "im_Dyskeratotic").exists()
    assert not list((tmp_path / "raw").glob(".*.part"))


def test_without_an_address_there_is_no_download(tmp_path):
    with refused("datasets: url"):
        sipakmed.download(section(url=None), tmp_path)


def real_contours(shared_data):
    crops = shared_data / "sipakmed_sample" / "im_Superficial-Intermediate" / "CROPPED"
    for path in sorted(crops.glob("*_nuc.dat")):
        # Read by numpy, not by the parser under test.
        yield path.name.removesuffix("_nuc.dat"), np.loadtxt(path, delimiter=",")


@pytest.mark.numeric
def test_the_real_cells_load_with_the_centres_of_opencv(shared_data):
    samples = read(shared_data / "sipakmed_sample", image_size=256)
    assert len(samples) == 21
    assert all(isinstance(sample, Sample) for sample in samples)
    assert {sample.group for sample in samples} == {"5_001", "5_007"}
    by_id = {sample.sample_id: sample for sample in samples}
    for name, contour in real_contours(shared_data):
        sample = by_id[f"5_{name}"]
        moments = cv2.moments(contour.astype(np.float32))
        centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
        width, height = sample.extras["original_width"], sample.extras["original_height"]
        left, top = (256 - 256 * width // max(width, height)) // 2, (256 - 256 * height // max(width, height)) // 2
        expected = centre * 256 / max(width, height) + (left, top)
        # OpenCV keeps contours in float32.
        assert_same(sample.target, expected, 2.0**-23)

        filled = np.zeros((height, width), np.uint8)
        # Sixteenths of a pixel; the raster of a filled outline adds its half-pixel border evenly.
        cv2.fillPoly(filled, [np.rint(contour * 16).astype(np.int32)], 1, shift=4)
        mask = cv2.moments(filled, binaryImage=True)
        from_mask = np.array([mask["m10"], mask["m01"]]) / mask["m00"]
        # The resolution of a mask: a fraction of a pixel.
        assert np.abs(from_mask - centre).max() < 0.3


BOTH = {"points": ["nucleus", "cytoplasm"]}


def test_the_cells_outline_is_read_where_its_centre_is_asked_for(tmp_path):
    crops = tmp_path / "im_Koilocytotic" / "CROPPED"
    write_cell(crops, "012_03")
    # It leaves the crop of 80 x 60 px on the left, as cells do: centre (30, 30).
    write_contour(crops / "012_03_cyt.dat", [(-10, 10), (70, 10), (70, 50), (-10, 50)])
    (sample,) = read(tmp_path, **BOTH)
    assert_same(sample.target, [36.0, 28.0], FLOAT64)
    assert_same(sample.extras["cytoplasm"], [30 * 0.8, 30 * 0.8 + 8], FLOAT64)
    names = [path.name for path in sipakmed.raw_files(section(**BOTH), tmp_path)]
    assert names == ["012_03.bmp", "012_03_cyt.dat", "012_03_nuc.dat"]
    assert "012_03_cyt.dat" not in [path.name for path in sipakmed.raw_files(section(), tmp_path)]


def test_a_cell_without_its_outline_or_centred_outside_is_excluded(tmp_path):
    crops = tmp_path / "im_Koilocytotic" / "CROPPED"
    for name in ("001_01", "001_02"):
        write_cell(crops, name)
    write_contour(crops / "001_02_cyt.dat", [(-50, 10), (20, 10), (20, 50), (-50, 50)])
    excluded = read(tmp_path, **BOTH)
    assert [(item.sample_id, item.reason.split(": ")[-1]) for item in excluded] == [
        ("2_001_01", "image with no outlines of the cell"),
        ("2_001_02", "the cell's centre at (-15, 30) lies outside the image of 80 x 60 px"),
    ]
