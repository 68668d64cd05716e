"""Images as cameras, scanners and microscopes leave them: BMP, PNG, TIFF and JPEG."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from siwcc.data.datasets.images import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, SampleDefectError, read_bmp, read_limited

FORMATS = "BMP, PNG, TIFF or JPEG"

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_SIDES = {256: "width", 257: "height"}
_TIFF_NUMBERS = {3: "H", 4: "I"}
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
# Start of a frame, of any of the methods; the three others of this range are tables.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def read_image(path: Path) -> np.ndarray:
    """Read an image as uint8 (height, width, 3) in the order R, G, B; which kind it is tells its content.

    Pixels stand as they are stored: the flag by which a camera says how it was held is not followed. One channel
    becomes three equal ones, an alpha channel is left out, of several pages the first is read. 16-bit values are
    stretched so that the image's smallest becomes 0 and its largest 255, whatever depth the camera really has:
    networks get each image normalised by its own mean and deviation, to which that makes no other difference than
    rounding.

    Raises:
        SampleDefectError: unreadable, empty, of another kind, truncated, of other than 8 or 16 bits, or above 64
            megapixels; the size is looked at before anything is decoded.
    """
    content = read_limited(path, MAX_IMAGE_BYTES)
    if content[:2] == b"BM":
        return read_bmp(path)
    try:
        width, height = _size_of(content)
    except (struct.error, IndexError, KeyError) as error:
        raise SampleDefectError(f"{path.name} is damaged or cut off: it does not say how large it is") from error
    except ValueError as error:
        raise SampleDefectError(f"{path.name} {error}") from error
    if width < 1 or height < 1 or width * height > MAX_IMAGE_PIXELS:
        raise SampleDefectError(
            f"{path.name} says it has {width} x {height} px; 1 to {MAX_IMAGE_PIXELS} px can be read"
        )
    return _as_rgb(path.name, _decode(path.name, content))


def _decode(name: str, content: bytes) -> np.ndarray:
    try:
        decoded = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise SampleDefectError(f"{name} cannot be decoded ({error.err})") from error
    if decoded is None:
        raise SampleDefectError(f"{name} cannot be decoded: it is damaged, cut off, or of a rare kind")
    return np.asarray(decoded)


def _as_rgb(name: str, decoded: np.ndarray) -> np.ndarray:
    if decoded.dtype == np.uint16:
        decoded = _stretch(decoded)
    if decoded.dtype != np.uint8:
        raise SampleDefectError(f"{name} holds values of the type {decoded.dtype}; 8 or 16 bits can be read")
    if decoded.ndim == 2:
        return np.repeat(decoded[:, :, np.newaxis], 3, axis=2)
    if decoded.shape[2] not in (3, 4):
        raise SampleDefectError(f"{name} has {decoded.shape[2]} channels; 1, 3 or 4 can be read")
    return np.ascontiguousarray(decoded[:, :, 2::-1])


def _stretch(values: np.ndarray) -> np.ndarray:
    colours = values[:, :, :3] if values.ndim == 3 else values
    low, high = int(colours.min()), int(colours.max())
    return np.asarray(np.rint((colours.astype(np.float32) - low) * (255 / max(high - low, 1))), dtype=np.uint8)


def _size_of(content: bytes) -> tuple[int, int]:
    """Width and height as the header gives them.

    Raises:
        ValueError: what to say of a file of another kind, or without an end.
        struct.error, IndexError, KeyError: the header is cut off or damaged.
    """
    if content.startswith(_PNG):
        if b"IEND" not in content:
            raise ValueError("is cut off: its end is missing")
        return struct.unpack_from(">II", content, 16)
    if content.startswith(_JPEG):
        return _size_of_jpeg(content)
    if content[:4] in _TIFF:
        return _size_of_tiff(content, _TIFF[content[:4]])
    raise ValueError(f"is no image that can be read ({FORMATS})")


def _size_of_jpeg(content: bytes) -> tuple[int, int]:
    place, size = 2, None
    while True:
        while content[place + 1] == 0xFF:
            place += 1
        if content[place] != 0xFF:
            raise IndexError
        marker = content[place + 1]
        if marker == _JPEG_SCAN:
            break
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, place + 5)
            size = (width, height)
        place += 2
        if marker not in _JPEG_WITHOUT_LENGTH:
            place += max(2, struct.unpack_from(">H", content, place)[0])
    # In the data after this mark every other 0xff is followed by 0.
    if content.find(_JPEG_END, place) < 0:
        raise ValueError("is cut off: its end is missing")
    if size is None:
        raise IndexError
    return size


def _size_of_tiff(content: bytes, order: str) -> tuple[int, int]:
    (place,) = struct.unpack_from(f"{order}I", content, 4)
    (entries,) = struct.unpack_from(f"{order}H", content, place)
    sides: dict[str, int] = {}
    for start in range(place + 2, place + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from(f"{order}HH", content, start)
        if tag in _TIFF_SIDES:
            (sides[_TIFF_SIDES[tag]],) = struct.unpack_from(f"{order}{_TIFF_NUMBERS[kind]}", content, start + 8)
    return sides["width"], sides["height"]
