"""Each kind of image file: the pixels that it represents, or a refusal that names what is not followed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import foreign_images
import numpy as np
import pytest
from foreign_images import raw_tiff
from refusals import refused

from siwcc.data.datasets.image_files import read_image
from siwcc.data.datasets.images import SampleDefectError
from siwcc.inference import inputs

READABLE = foreign_images.readable()
REFUSED = foreign_images.refused()


@pytest.fixture
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name: str = request.node.callspec.params["name"]
    return tmp_path / f"cell{Path(name).suffix}"


@pytest.fixture
def silent(
    capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> Iterator[None]:
    """Decoders write, log and warn of nothing."""
    yield
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert list(recwarn) == []


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("name", READABLE)
def test_the_pixels_are_those_that_the_file_represents(path: Path, name: str) -> None:
    path.write_bytes(READABLE[name].content)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == READABLE[name].pixels.shape
    assert np.abs(image.astype(int) - READABLE[name].pixels).max() <= READABLE[name].tolerance


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_followed_is_refused_by_its_name(path: Path, name: str) -> None:
    path.write_bytes(REFUSED[name].content)
    with refused(path, *REFUSED[name].names):
        inputs.read_image(path)


def test_more_strips_than_an_image_needs_are_refused(tmp_path: Path) -> None:
    path, count = tmp_path / "cell.tif", (1 << 20) + 1
    size = (256, "I", [1]), (257, "I", [count]), (278, "I", [1])
    path.write_bytes(raw_tiff([b"1"], *size, (273, "I", [8] * count), (279, "I", [1] * count)))
    with refused(path, "strips", count):
        inputs.read_image(path)


@pytest.mark.parametrize("name", ["grey, 8 bits.tif", "RGB and alpha.png", "YCbCr.jpg", "RLE8.bmp"])
def test_a_part_of_a_file_is_refused_or_has_all_pixels(path: Path, name: str) -> None:
    whole = READABLE[name].content
    path.write_bytes(whole)
    pixels = read_image(path)
    read = 0
    for size in range(0, len(whole), max(1, len(whole) // 97)):
        path.write_bytes(whole[:size])
        with suppress(SampleDefectError):
            np.testing.assert_array_equal(read_image(path), pixels)
            read += 1
    # What follows the last pixel.
    assert read <= 1


@pytest.mark.parametrize(
    ("package", "name"), [("tifffile", "RGB, 8 bits.tif"), ("imagecodecs", "RGB and alpha.png"), ("PIL", "YCbCr.jpg")]
)
def test_an_absent_decoder_is_no_defect_of_the_file(
    path: Path, package: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(READABLE[name].content)
    monkeypatch.delitem(sys.modules, "siwcc.data.datasets.tiff_files", raising=False)
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError):
        read_image(path)


def test_several_threads_read_what_one_reads(tmp_path: Path) -> None:
    names = [name for name in READABLE if READABLE[name].tolerance == 0]
    for number, name in enumerate(names):
        (tmp_path / f"{number}").write_bytes(READABLE[name].content)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda number: read_image(tmp_path / f"{number}"), range(len(names))))
    for name, image in zip(names, images, strict=True):
        np.testing.assert_array_equal(image, READABLE[name].pixels, err_msg=name)
