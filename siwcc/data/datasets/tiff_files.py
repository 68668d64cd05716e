"""TIFF files: tifffile decodes the samples; what its tags say about them is followed here or refused by its name.

Tags and their meanings: TIFF 6.0 (Aldus 1992) and its Technical Note 2; BigTIFF as libtiff reads it.
"""

from __future__ import annotations

import re
import struct
from io import BytesIO
from itertools import islice
from math import prod

import numpy as np
from tifffile import TiffFile, TiffPage

from siwcc.data.datasets.decoder_messages import logged_errors, silenced
from siwcc.data.datasets.images import MAX_IMAGE_PIXELS, REPAIR, SampleDefectError, check_size

_CONVERT = "save it as an uncompressed TIFF or a PNG with 8 or 16 bits per sample, grey or RGB"
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS = 1, 5, 7, (8, 32946), 32773
_UNSIGNED, _UNDEFINED = 1, 4
_MEANINGS = {
    "SampleFormat": {2: "signed integers", 3: "floating point", 5: "complex integers", 6: "complex numbers"},
    "PhotometricInterpretation": {
        _WHITE_IS_ZERO: "white is zero",
        _BLACK_IS_ZERO: "black is zero",
        _RGB: "RGB",
        _PALETTE: "palette",
        _CMYK: "CMYK",
        _YCBCR: "YCbCr",
    },
}
# A pyramid has about ten; more can only be meant to keep a reader busy.
_MAX_PAGES = 100
# Of 8 x 8 px each at the limit of 64 megapixels.
_MAX_SEGMENTS = 1 << 20
# Name of a tag, its number, what it is where it is absent, and the values that can be read.
_READ: tuple[tuple[str, int, int, tuple[int, ...]], ...] = (
    ("SampleFormat", 339, _UNSIGNED, (_UNSIGNED, _UNDEFINED)),
    ("BitsPerSample", 258, 1, tuple(range(1, 17))),
    ("Compression", 259, _NONE, (_NONE, _LZW, _JPEG, *_DEFLATE, _PACKBITS)),
    ("PhotometricInterpretation", 262, -1, tuple(_COLOURS)),  # TIFF has no default.
    ("PlanarConfiguration", 284, 1, (1, 2)),
    ("FillOrder", 266, 1, (1, 2)),
    ("Predictor", 317, 1, (1, 2)),
    ("InkSet", 332, 1, (1,)),
    ("ImageDepth", 32997, 1, (1,)),
)
# These, and ImageWidth, ImageLength, StripOffsets, SamplesPerPixel, RowsPerStrip, StripByteCounts, ColorMap, TileWidth,
# TileLength, TileOffsets, TileByteCounts, ExtraSamples, JPEGTables.
_SAMPLE_TAGS = {tag for _, tag, *_ in _READ} | {256, 257, 273, 277, 278, 279, 320, 322, 323, 324, 325, 338, 347}


def decode_tiff(content: bytes) -> np.ndarray:
    """The only full page of a TIFF as uint8 or uint16, (height, width) grey or (height, width, 3) RGB, black is 0.

    Values of fewer than 8 bits are scaled to 0..255, those of 9 to 16 bits are returned as they are stored.

    Raises:
        SampleDefectError: damaged, truncated, above 64 megapixels, of several pages, or with a tag that is not
            followed.
    """
    with logged_errors() as errors, TiffFile(BytesIO(content), _multifile=False) as file:
        page = _only_page(file)
        _check_structure(page, content, errors)
        check_size(page.imagewidth, page.imagelength)
        _check_tags(page)
        _check_segments(page, content)
        _refuse_planes(file, page, content)
        # (planes, depth 1, height, width, samples of a pixel): one of the first and the last is 1.
        samples = page.asarray(maxworkers=1, squeeze=False)
        return _colours(page, np.moveaxis(samples[:, 0], 0, 2).reshape(page.imagelength, page.imagewidth, -1))


def _only_page(file: TiffFile) -> TiffPage:
    """The page that is no smaller copy of another (NewSubfileType), nor a mask."""
    pages = [page for page in islice(file.pages, _MAX_PAGES) if isinstance(page, TiffPage)]
    full = [page for page in pages if not page.is_reduced and not page.is_mask]
    if len(full) > 1 or len(pages) == _MAX_PAGES:
        raise SampleDefectError(
            f"has several pages ({len(full) or len(pages)} found)", "save one of them as a file of its own"
        )
    if not pages:
        raise SampleDefectError("is damaged or cut off: it has no page", REPAIR)
    page = (full or pages)[0]
    if not full and 330 in page.tags:
        raise SampleDefectError("has its full image in SubIFDs (tag 330)", _CONVERT)
    return page


def _check_structure(page: TiffPage, content: bytes, errors: list[str]) -> None:
    """Refuse what tifffile found wrong, unless it is a tag that says nothing about the samples."""
    tiff = page.parent.tiff
    (count,) = struct.unpack_from(tiff.tagnoformat, content, page.offset)
    first = page.offset + tiff.tagnosize
    given = {struct.unpack_from(f"{tiff.byteorder}H", content, first + n * tiff.tagsize)[0] for n in range(count)}
    lost = sorted(tag for tag in given & _SAMPLE_TAGS if tag not in page.tags)
    if lost:
        raise SampleDefectError(f"is damaged: the tags {lost} cannot be read", REPAIR)
    # Without the address of the page in tifffile.
    reasons = [re.sub(r"<tifffile[^>]*> ", "", error) for error in errors if "TiffTag.fromfile" not in error]
    if reasons:
        raise SampleDefectError(f"is damaged or cut off ({' '.join(reasons[0].split())[:200]})", REPAIR)


def _refuse_planes(file: TiffFile, page: TiffPage, content: bytes) -> None:
    """ImageJ, MetaMorph and tifffile write several planes below one page.

    Of OME-TIFF the description is not read: it can describe planes in other files, and any number of them.
    """
    if file.is_imagej or file.is_stk or file.is_shaped:
        planes = max(series.size for series in file.series) // page.size
        # A description that was copied to another image promises more than there is.
        if planes > 1 and page.dataoffsets[0] + planes * page.nbytes <= len(content):
            raise SampleDefectError(f"has {planes} planes below one page", "save one of them as a file of its own")


def _value(page: TiffPage, tag: int, absent: int) -> int:
    """A tag of one number; of one number per sample if they are all equal."""
    value = page.tags.valueof(tag)
    values = set(value) if isinstance(value, tuple) else {absent if value is None else value}
    if len(values) != 1 or not isinstance(number := values.pop(), int):
        raise SampleDefectError(f"has {page.tags[tag].name} {str(value)[:100]}, which cannot be read", _CONVERT)
    return number


def _named(name: str, value: int) -> str:
    """A tag with its value and what that means."""
    meaning = _MEANINGS.get(name, {}).get(value, getattr(value, "name", ""))
    return f"{name} {int(value)}" + (f" ({meaning})" if meaning else "")


def _check_tags(page: TiffPage) -> None:
    for name, tag, absent, readable in _READ:
        value = _value(page, tag, absent)
        if value not in readable:
            given = _named(name, value) if tag in page.tags else f"no {name}"
            raise SampleDefectError(f"has {given}, tag {tag}, which cannot be read", _CONVERT)
    _check_extra_samples(page)
    photometric, bits = _named("PhotometricInterpretation", page.photometric), _value(page, 258, 1)
    if page.compression == _JPEG and (bits != 8 or page.photometric in (_PALETTE, _CMYK) or page.extrasamples):
        problem = f"has Compression 7 (JPEG) with {photometric}, {bits} bits per sample"
        raise SampleDefectError(f"{problem} and {len(page.extrasamples)} ExtraSamples", _CONVERT)
    if page.photometric == _YCBCR and page.compression != _JPEG:
        raise SampleDefectError(f"has {photometric} without Compression 7 (JPEG)", _CONVERT)
    if page.predictor != 1 and page.compression not in (_LZW, *_DEFLATE):
        problem = f"has {_named('Predictor', page.predictor)} with {_named('Compression', page.compression)}"
        raise SampleDefectError(problem, _CONVERT)


def _check_extra_samples(page: TiffPage) -> None:
    """A pixel has its colours and at most one further sample, alpha."""
    photometric, count = int(page.photometric), _value(page, 277, 1)
    extra = count - _COLOURS[photometric]
    kinds = tuple(int(kind) for kind in page.extrasamples)
    # Many writers of RGBA give no ExtraSamples, or 0; a second grey sample is likely another channel.
    is_alpha = kinds in ((_ASSOCIATED,), (_UNASSOCIATED,)) or (photometric == _RGB and kinds in ((), (0,)))
    divisible = kinds != (_ASSOCIATED,) or photometric in (_BLACK_IS_ZERO, _RGB)
    if extra and not (extra == 1 and is_alpha and divisible):
        problem = f"has {count} channels (SamplesPerPixel) with {_named('PhotometricInterpretation', photometric)}"
        raise SampleDefectError(f"{problem} and {f'ExtraSamples {kinds}' if kinds else 'no ExtraSamples'}", _CONVERT)


def _check_segments(page: TiffPage, content: bytes) -> None:
    """Every strip or tile is there, and none asks for more memory than the image."""
    if page.is_tiled and not 0 < page.tilewidth * page.tilelength <= MAX_IMAGE_PIXELS:
        raise SampleDefectError(f"has tiles of {page.tilewidth} x {page.tilelength} px", REPAIR)
    needed = prod(page.chunked)
    if needed > _MAX_SEGMENTS:
        raise SampleDefectError(f"has {needed} strips or tiles; {_MAX_SEGMENTS} can be read", _CONVERT)
    if not len(page.dataoffsets) == len(page.databytecounts) == needed:
        problem = f"has {len(page.dataoffsets)} StripOffsets or TileOffsets, needs {needed}"
        raise SampleDefectError(problem, REPAIR)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not (offset > 0 and count > 0 and offset + count <= len(content)):
            problem = f"is truncated: {count} bytes at {offset} of {len(content)} (StripByteCounts, TileByteCounts)"
            raise SampleDefectError(problem, REPAIR)
        if page.compression == _JPEG:
            _check_jpeg(page, content[offset : offset + count])


def _check_jpeg(page: TiffPage, segment: bytes) -> None:
    from PIL.JpegImagePlugin import JpegImageFile

    with silenced(), JpegImageFile(BytesIO(segment)) as image:
        width, height = image.size
    across, down = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    if width > across or height > down:
        raise SampleDefectError(f"has a JPEG of {width} x {height} px in a part of {across} x {down} px", REPAIR)
    if b"\xff\xd9" not in segment[-64:]:
        raise SampleDefectError("is truncated: a JPEG in it has no end", REPAIR)


def _colours(page: TiffPage, samples: np.ndarray) -> np.ndarray:
    """From samples as stored, (height, width, samples of a pixel), to grey or RGB."""
    photometric, bits = int(page.photometric), _value(page, 258, 1)
    most = (1 << bits) - 1
    values = samples[:, :, : _COLOURS[photometric]].astype(np.uint8 if bits <= 8 else np.uint16, copy=False)
    if photometric == _PALETTE:
        return _palette_colours(page, values[:, :, 0])
    if photometric == _WHITE_IS_ZERO:
        values = most - values
    elif photometric == _CMYK:
        paper = most - values.astype(np.float32)
        values = np.rint(paper[:, :, :3] * paper[:, :, 3:] / most).astype(values.dtype)
    elif tuple(page.extrasamples) == (_ASSOCIATED,):
        values = _divide(values, samples[:, :, -1:], most)
    if bits < 8:
        values = np.rint(values.astype(np.float32) * (255 / most)).astype(np.uint8)
    return values[:, :, 0] if values.shape[2] == 1 else values


def _divide(values: np.ndarray, alpha: np.ndarray, most: int) -> np.ndarray:
    """Colours that were multiplied by their alpha."""
    divided = values.astype(np.float32) * most / np.maximum(alpha, 1)
    return np.asarray(np.rint(np.minimum(divided, most)), dtype=values.dtype)


def _palette_colours(page: TiffPage, indices: np.ndarray) -> np.ndarray:
    table = np.asarray(page.colormap if page.colormap is not None else ())
    if table.ndim != 2 or table.shape[0] != 3 or int(indices.max()) >= table.shape[1]:
        raise SampleDefectError(f"has a ColorMap of the shape {table.shape} (tag 320)", REPAIR)
    # Values of 16 bits; some writers give 8, as libtiff accepts them.
    eight_bits = table if int(table.max()) < 256 else table >> 8
    return np.ascontiguousarray(eight_bits.astype(np.uint8).T[indices])
