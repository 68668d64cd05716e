"""Images as cameras, scanners and microscopes write them: BMP, PNG, TIFF and JPEG.

Decoders are those of OpenCV (BMP), imagecodecs (PNG), Pillow (JPEG) and tifffile (TIFF), each used where it was found
to follow the header. What they do not follow is done here, or refused by its name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from siwcc.data.datasets.decoder_messages import logged_errors, silenced
from siwcc.data.datasets.images import MAX_IMAGE_BYTES, REPAIR, SampleDefectError, check_size, read_limited

FORMATS = "BMP, PNG, TIFF or JPEG"
CONVERT = "save it as a PNG with 8 or 16 bits per sample, grey or RGB"

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# The gamma of sRGB files, 1 / 2.2, with the rounding of several writers.
_SRGB_GAMMA, _GAMMA_TOLERANCE = 1 / 2.2, 0.01
_BMP_MASKS = 3
# Compression (none, RLE8, RLE4, masks) and the bits per pixel that go with it.
_BMP_BITS = {0: (1, 4, 8, 16, 24, 32), 1: (8,), 2: (4,), _BMP_MASKS: (16, 32)}
_BMP_555 = (0x7C00, 0x3E0, 0x1F)


class _BmpHeader(NamedTuple):
    """Where pixels start, in bytes; the size in pixels, a negative height if the top row is first; masks of R, G, B."""

    offset: int
    width: int
    height: int
    bits: int
    masks: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4


def read_image(path: Path) -> np.ndarray:
    """Read an image as uint8 (height, width, 3) in the order R, G, B; the content tells its kind, not the name.

    Pixels stay where they are stored: the orientation tag of EXIF and TIFF is not followed, in any format and depth.
    One channel becomes three equal ones. Alpha is left out; colours that are multiplied by it are divided by it, and
    are 0 where it is 0. Colour profiles are not applied. CMYK becomes RGB by (1 - C)(1 - K). Values of fewer than 8
    bits are scaled to 0..255. Values of 9 to 16 bits are stretched so that the image's smallest becomes 0 and its
    largest 255: networks normalise each image by its own mean and deviation, so that only rounding differs.

    Raises:
        SampleDefectError: unreadable, empty, of another kind, truncated, above 64 megapixels (checked before anything
            is decoded), of several pages, or with a tag that is not followed, which the text names.
    """
    content = read_limited(path, MAX_IMAGE_BYTES)
    return _decode(path.name, content, _decoder_for(content))


def read_bmp(path: Path) -> np.ndarray:
    """Read a Windows bitmap as uint8 (height, width, 3) in the order R, G, B; alpha is left out.

    Raises:
        SampleDefectError: as `read_image`; a file of another kind.
    """
    content = read_limited(path, MAX_IMAGE_BYTES)
    if content[:2] != b"BM":
        raise SampleDefectError(f"{path.name} is not a BMP file", "give a Windows bitmap")
    return _decode(path.name, content, _decode_bmp)


def _decoder_for(content: bytes) -> Callable[[bytes], np.ndarray]:
    if content[:2] == b"BM":
        return _decode_bmp
    if content.startswith(_PNG):
        return _decode_png
    if content.startswith(_JPEG):
        return _decode_jpeg
    if content[:4] in _TIFF:
        # tifffile is loaded for TIFF files only.
        from siwcc.data.datasets.tiff_files import decode_tiff

        return decode_tiff
    return _decode_unknown


def _decode(name: str, content: bytes, decoder: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        return _as_rgb(decoder(content))
    except SampleDefectError as defect:
        raise SampleDefectError(f"{name} {defect}", defect.remedy) from defect
    # A package that is not installed is no defect of the file.
    except ImportError:
        raise
    # Decoders of foreign bytes raise errors of any class.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        problem = f"{name} cannot be decoded: it is damaged, cut off or of a rare kind ({reason})"
        raise SampleDefectError(problem, f"{REPAIR}, or {CONVERT}") from error


def _as_rgb(values: np.ndarray) -> np.ndarray:
    """From uint8 or uint16, (height, width) or (height, width, 3), to uint8 RGB."""
    if values.dtype == np.uint16:
        values = _stretch(values)
    if values.ndim == 2:
        return np.repeat(values[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(values)


def _stretch(values: np.ndarray) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    # A level below `low` occurs in no pixel.
    levels = np.maximum(np.arange(high + 1, dtype=np.float32) - low, 0)
    return np.asarray(np.rint(levels * (255 / max(high - low, 1))).astype(np.uint8)[values])


def _decode_unknown(content: bytes) -> np.ndarray:
    raise SampleDefectError(f"is no image that can be read ({FORMATS})", "convert it to one of these")


def _decode_png(content: bytes) -> np.ndarray:
    # Pillow reads the header only: it drops the lower bytes of 16-bit colours.
    import imagecodecs
    from PIL.PngImagePlugin import PngImageFile

    with silenced(), PngImageFile(BytesIO(content)) as image:
        check_size(*image.size)
        frames, info = int(getattr(image, "n_frames", 1)), image.info
    if b"IEND" not in content:
        raise SampleDefectError("is truncated: its end is missing", REPAIR)
    if frames > 1:
        raise SampleDefectError(f"has {frames} frames (acTL)", "save one of them as a file of its own")
    gamma = info.get("gamma", _SRGB_GAMMA)
    # Both overrule gAMA.
    if abs(gamma - _SRGB_GAMMA) > _GAMMA_TOLERANCE and not {"srgb", "icc_profile"} & set(info):
        raise SampleDefectError(f"has the gamma {gamma:g} (gAMA); 0.45455 can be read", "convert it to sRGB")
    with logged_errors():
        values = np.asarray(imagecodecs.png_decode(content))
    if values.ndim == 2:
        return values
    # Of two or four channels the last one is alpha, also where it comes from tRNS.
    return values[:, :, 0] if values.shape[2] == 2 else values[:, :, :3]


def _decode_jpeg(content: bytes) -> np.ndarray:
    from PIL.JpegImagePlugin import JpegImageFile

    with silenced():
        image = JpegImageFile(BytesIO(content))
    check_size(*image.size)
    if content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN):
        raise SampleDefectError("is truncated: its end is missing", REPAIR)
    if image.mode == "CMYK" and "adobe" not in image.info:
        problem = "has four channels (CMYK) without an Adobe segment (APP14), which says whether they are inverted"
        raise SampleDefectError(problem, CONVERT)
    return np.asarray(image.convert("RGB") if image.mode == "CMYK" else image)


def _decode_bmp(content: bytes) -> np.ndarray:
    header = _bmp_header(content)
    if header.masks:
        return _decode_masks(content, header)
    with silenced():
        decoded = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise SampleDefectError("cannot be decoded: it is damaged or cut off", REPAIR)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _decode_masks(content: bytes, header: _BmpHeader) -> np.ndarray:
    """Samples given by masks: OpenCV ignores some of them, and does not scale 5 bits to 0..255."""
    rows = np.frombuffer(content, np.uint8, header.row_bytes * abs(header.height), header.offset)
    pixels = rows.reshape(abs(header.height), header.row_bytes).view(f"<u{header.bits // 8}")[:, : header.width]
    channels = []
    for mask in header.masks:
        lowest = mask & -mask
        most = mask // max(lowest, 1)
        if most & (most + 1) or not 0 < mask < 1 << header.bits:
            raise SampleDefectError(f"has the mask {mask:#x} (BI_BITFIELDS), which cannot be read", CONVERT)
        channels.append(np.rint((pixels & mask) // lowest * (255 / most)).astype(np.uint8))
    image = np.dstack(channels)
    return image if header.height < 0 else image[::-1]


def _bmp_header(content: bytes) -> _BmpHeader:
    """The checked header.

    Raises:
        SampleDefectError: no pixels or too many, a depth or compression that cannot be read, truncated.
    """
    try:
        offset, header_bytes = struct.unpack_from("<II", content, 10)
        # 12 bytes: the OS/2 header, with 16-bit sizes and no compression.
        width, height, bits = struct.unpack_from("<HH2xH" if header_bytes == 12 else "<ii2xH", content, 18)
        (compression,) = (0,) if header_bytes == 12 else struct.unpack_from("<I", content, 30)
        masks = struct.unpack_from("<3I", content, 54) if compression == _BMP_MASKS else ()
    except struct.error as error:
        raise SampleDefectError("is truncated: it ends within its header", REPAIR) from error
    check_size(width, abs(height))
    # In the 64-byte header of OS/2, 3 is another method.
    if bits not in _BMP_BITS.get(compression, ()) or (header_bytes == 64 and compression == _BMP_MASKS):
        problem = f"has {bits} bits per pixel and the compression {compression} (biBitCount, biCompression)"
        raise SampleDefectError(f"{problem}, which cannot be read", CONVERT)
    header = _BmpHeader(offset, width, height, bits, masks or (_BMP_555 if bits == 16 else ()))
    size = offset + header.row_bytes * abs(height)
    if compression in (0, _BMP_MASKS) and size > len(content):
        raise SampleDefectError(f"is truncated: {len(content)} of {size} bytes", REPAIR)
    return header
