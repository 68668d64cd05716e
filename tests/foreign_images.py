"""Image files of every kind, written by other libraries or by hand, and the pixels that they represent.

`colours()` is the image in almost all of them: it has 0 and 255, so that 16 bits stretched over it give it back.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH = 48, 80


class Readable(NamedTuple):
    """A file's content, its pixels as (height, width, 3) RGB, and by how much decoders may differ."""

    content: bytes
    pixels: np.ndarray
    tolerance: int = 0


class Refused(NamedTuple):
    """A file's content, and what the refusal names."""

    content: bytes
    names: tuple[object, ...]


def colours(seed: int = 0) -> np.ndarray:
    image = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    return image


def smooth() -> np.ndarray:
    """What JPEG changes by a few levels only."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 3, y * 5, 255 - x * 2], axis=2).astype(np.uint8)


def grey() -> np.ndarray:
    return colours()[:, :, 0]


def as_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[:, :, np.newaxis], 3, axis=2)


def sixteen(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint16) * 257


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of samples of `bits` bits each, the first in the highest bits, padded to bytes."""
    planes = values.reshape(len(values), -1, 1) >> np.arange(bits - 1, -1, -1) & 1
    return np.packbits(planes.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def tiff_of(values: np.ndarray, photometric: Any, **options: Any) -> bytes:
    """By tifffile."""
    handle = io.BytesIO()
    container = {key: options.pop(key) for key in ("bigtiff", "byteorder", "imagej") if key in options}
    with tifffile.TiffWriter(handle, **container) as writer:
        writer.write(values, photometric=photometric, metadata=None, **options)
    return handle.getvalue()


Tag = tuple[int, str, Sequence[int]]


def raw_tiff(strips: Sequence[bytes], *tags: Tag, order: str = "<", pages: int = 1) -> bytes:
    """By hand: 8-bit grey of 80 x 48 px if `tags` (number, struct's letter, values) give nothing else."""
    data, offsets = b"", []
    for strip in strips:
        offsets.append(8 + len(data))
        data += strip + b"\0" * (len(strip) % 2)
    rows = -(-HEIGHT // len(strips))
    given: dict[int, tuple[str, Sequence[int]]] = {256: ("I", [WIDTH]), 257: ("I", [HEIGHT]), 258: ("H", [8])}
    given |= {259: ("H", [1]), 262: ("H", [1]), 273: ("I", offsets), 277: ("H", [1]), 278: ("I", [rows])}
    given |= {279: ("I", [len(strip) for strip in strips])}
    given |= {number: (letter, values) for number, letter, values in tags}
    content = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data)) + data
    for page in range(pages):
        content += _directory(given, order, len(content), last=page == pages - 1)
    return content


def _directory(tags: dict[int, tuple[str, Sequence[int]]], order: str, at: int, last: bool) -> bytes:
    present = {number: tag for number, tag in sorted(tags.items()) if tag[1]}
    body, blob, blob_at = b"", b"", at + 6 + 12 * len(present)
    for number, (letter, values) in present.items():
        raw = struct.pack(f"{order}{len(values)}{letter}", *values)
        field = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(f"{order}I", blob_at + len(blob))
        blob += (raw + b"\0" * (len(raw) % 2)) if len(raw) > 4 else b""
        body += struct.pack(f"{order}HHI", number, {"B": 1, "H": 3, "I": 4}[letter], len(values)) + field
    following = 0 if last else blob_at + len(blob)
    return struct.pack(f"{order}H", len(present)) + body + struct.pack(f"{order}I", following) + blob


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def raw_png(
    rows: Iterable[bytes],
    bits: int,
    kind: int,
    *chunks: tuple[bytes, bytes],
    size: tuple[int, int] = (WIDTH, HEIGHT),
    interlaced: bool = False,
) -> bytes:
    """By hand; `kind` 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha."""
    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, int(interlaced))
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def png_rows(values: np.ndarray, bits: int) -> list[bytes]:
    if bits < 16:
        return [packed(row[np.newaxis], bits) for row in values]
    return [row.astype(">u2").tobytes() for row in values]


def bmp_of(
    rows: Sequence[bytes],
    bits: int,
    *,
    palette: bytes = b"",
    compression: int = 0,
    masks: Sequence[int] = (),
    **more: int,
) -> bytes:
    """By hand; `rows` from the bottom, `masks` after a header of 40 bytes or within one of 108."""
    data = b"".join(row + b"\0" * (-len(row) % 4) for row in rows) if compression in (0, 3) else b"".join(rows)
    height, header_bytes = more.get("height", HEIGHT), more.get("header_bytes", 40)
    mask_bytes = struct.pack(f"<{len(masks)}I", *masks)
    header = struct.pack("<IiiHH", header_bytes, WIDTH, height, 1, bits)
    header += struct.pack("<IIiiII", compression, len(data), 0, 0, more.get("colours", 0), 0)
    header += mask_bytes if header_bytes == 40 else mask_bytes.ljust(header_bytes - 40, b"\0")
    offset = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset) + header + palette + data


def pillow(values: np.ndarray | Image.Image, kind: str, mode: str | None = None, **options: Any) -> bytes:
    handle = io.BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    (image.convert(mode) if mode else image).save(handle, kind, **options)
    return handle.getvalue()


def opencv(values: np.ndarray, extension: str, *options: int) -> bytes:
    """Of RGB or grey."""
    coded = values[:, :, ::-1] if values.ndim == 3 else values
    return cv2.imencode(extension, np.ascontiguousarray(coded), options)[1].tobytes()


def readable() -> dict[str, Readable]:
    """By a name that ends in the usual extension."""
    parts = (_tiff_samples(), _tiff_layouts(), _tiff_packed(), _tiff_colours(), _tiff_pages())
    files: dict[str, Readable] = {}
    for part in (*parts, _tiff_other_writers(), _png(), _jpeg(), _bmp(), _oriented()):
        files |= part
    return files


def _tiff_samples() -> dict[str, Readable]:
    rgb, gray = colours(), grey()
    files = {}
    for bits, wide in ((8, np.asarray), (16, sixteen)):
        most = 2**bits - 1
        files[f"grey, {bits} bits.tif"] = Readable(tiff_of(wide(gray), "minisblack"), as_rgb(gray))
        files[f"white is zero, {bits} bits.tif"] = Readable(tiff_of(most - wide(gray), "miniswhite"), as_rgb(gray))
        files[f"RGB, {bits} bits.tif"] = Readable(tiff_of(wide(rgb), "rgb"), rgb)
        alpha = wide(np.random.default_rng(2).integers(1, 256, gray.shape, dtype=np.uint8))
        both = np.dstack([wide(rgb), alpha])
        files[f"unassociated alpha, {bits} bits.tif"] = Readable(tiff_of(both, "rgb", extrasamples=["unassalpha"]), rgb)
        files[f"alpha of no kind, {bits} bits.tif"] = Readable(tiff_of(both, "rgb", extrasamples=["unspecified"]), rgb)
        with_grey = np.dstack([wide(gray), alpha])
        content = tiff_of(with_grey, "minisblack", planarconfig="contig", extrasamples=["unassalpha"])
        files[f"grey and alpha, {bits} bits.tif"] = Readable(content, as_rgb(gray))
        files |= _associated(bits, wide(rgb))
    for bits in (1, 2, 4, 6, 10, 12, 14):
        values = np.rint(gray * ((2**bits - 1) / 255)).astype(np.uint16)
        pixels = as_rgb(gray if bits > 8 else np.rint(values * (255 / (2**bits - 1))).astype(np.uint8))
        for name, photometric, stored in (("grey", 1, values), ("white is zero", 0, 2**bits - 1 - values)):
            content = raw_tiff([packed(stored, bits)], (258, "H", [bits]), (262, "H", [photometric]))
            files[f"{name}, {bits} bits.tif"] = Readable(content, pixels)
    return files


def _associated(bits: int, rgb: np.ndarray) -> dict[str, Readable]:
    """Opaque, half, and fully transparent, where no colour is left."""
    most = 2**bits - 1
    alpha = np.full(rgb.shape[:2], most, dtype=rgb.dtype)
    alpha[8:], alpha[40:] = most // 2, 0
    multiplied = np.rint(rgb * (alpha[:, :, np.newaxis] / most)).astype(rgb.dtype)
    content = tiff_of(np.dstack([multiplied, alpha]), "rgb", extrasamples=["assocalpha"])
    return {
        f"associated alpha, {bits} bits.tif": Readable(content, np.where(alpha[:, :, np.newaxis] > 0, colours(), 0), 2)
    }


def _tiff_layouts() -> dict[str, Readable]:
    rgb = colours()
    files = {}
    for bits, wide in ((8, rgb), (16, sixteen(rgb))):
        planes = np.moveaxis(wide, 2, 0)
        for name, options in (
            ("strips", {"rowsperstrip": 7}),
            ("single rows", {"rowsperstrip": 1}),
            ("tiles", {"tile": (16, 32)}),
        ):
            files[f"{name}, {bits} bits.tif"] = Readable(tiff_of(wide, "rgb", **options), rgb)
            content = tiff_of(planes, "rgb", planarconfig="separate", **options)
            files[f"planes in {name}, {bits} bits.tif"] = Readable(content, rgb)
        for order, big in product("<>", (False, True)):
            name = f"{'BigTIFF' if big else 'TIFF'} {'little' if order == '<' else 'big'}-endian, {bits} bits.tif"
            files[name] = Readable(tiff_of(wide, "rgb", byteorder=order, bigtiff=big), rgb)
            content = tiff_of(planes, "rgb", byteorder=order, bigtiff=big, planarconfig="separate")
            files[f"planes, {name}"] = Readable(content, rgb)
    flipped = np.packbits(np.unpackbits(grey().reshape(-1, 1), axis=1)[:, ::-1], axis=1).tobytes()
    files["fill order 2.tif"] = Readable(raw_tiff([flipped], (266, "H", [2])), as_rgb(grey()))
    return files


def _tiff_packed() -> dict[str, Readable]:
    rgb = colours()
    files = {}
    for bits, values in ((8, rgb), (16, sixteen(rgb))):
        for method, predictor in product(("lzw", "zlib", "deflate", "packbits"), (False, True)):
            if predictor and method == "packbits":
                continue
            options = {"compression": method, "predictor": predictor}
            name = f"{method}{' and predictor' if predictor else ''}, {bits} bits.tif"
            files[name] = Readable(tiff_of(values, "rgb", rowsperstrip=5, **options), rgb)
            planes = np.moveaxis(values, 2, 0)
            content = tiff_of(planes, "rgb", planarconfig="separate", tile=(16, 16), byteorder=">", **options)
            files[f"planes in tiles, {name}"] = Readable(content, rgb)
    # tifffile stores RGB as YCbCr where it is compressed as JPEG, Pillow does not.
    for name, options in (("strips", {"rowsperstrip": 16}), ("tiles", {"tile": (16, 16)})):
        content = tiff_of(smooth(), "rgb", compression="jpeg", compressionargs={"level": 95}, **options)
        files[f"JPEG of YCbCr in {name}.tif"] = Readable(content, smooth(), 10)
    files["JPEG of RGB.tif"] = Readable(pillow(smooth(), "tiff", compression="jpeg", quality=97), smooth(), 6)
    content = tiff_of(255 - smooth()[:, :, 0], "miniswhite", compression="jpeg", compressionargs={"level": 95})
    files["JPEG of white is zero.tif"] = Readable(content, as_rgb(smooth()[:, :, 0]), 6)
    return files


def _tiff_colours() -> dict[str, Readable]:
    table = np.random.default_rng(4).integers(0, 256, (256, 3), dtype=np.uint8)
    indices = grey()
    few = indices % 16
    ink = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    ink[0, 0], ink[0, 1] = 0, 255
    # (1 - C)(1 - K), each of 0..1.
    paper = 1 - ink / 255
    pixels = np.rint(paper[:, :, :3] * paper[:, :, 3:] * 255).astype(np.uint8)
    entries = table[:16].T.reshape(-1).astype(int)
    palette = (262, "H", [3]), (258, "H", [4])
    return {
        "palette, 8 bits.tif": Readable(
            tiff_of(indices, "palette", colormap=(table.T.astype(np.uint16) * 257)), table[indices]
        ),
        "palette, 4 bits.tif": Readable(
            raw_tiff([packed(few, 4)], *palette, (320, "H", list(entries * 257))), table[few]
        ),
        "palette with 8-bit entries.tif": Readable(
            raw_tiff([packed(few, 4)], *palette, (320, "H", list(entries))), table[few]
        ),
        "CMYK, 8 bits.tif": Readable(tiff_of(ink, "separated"), pixels, 1),
        "CMYK, 16 bits.tif": Readable(tiff_of(sixteen(ink), "separated"), pixels, 1),
    }


def _tiff_pages() -> dict[str, Readable]:
    """Smaller copies and masks are no further pages."""
    rgb = colours()
    files = {}
    for name, kind, subifds in (("thumbnail", 1, 0), ("mask", 4, 0), ("pyramid in SubIFDs", 1, 1)):
        handle = io.BytesIO()
        with tifffile.TiffWriter(handle) as writer:
            writer.write(rgb, photometric="rgb", metadata=None, subifds=subifds)
            small = rgb[::2, ::2] if kind == 1 else np.full((HEIGHT, WIDTH), True)
            writer.write(small, photometric="rgb" if kind == 1 else "mask", subfiletype=kind, metadata=None)
        files[f"with a {name}.tif"] = Readable(handle.getvalue(), rgb)
    content = raw_tiff([grey().tobytes()], (65000, "H", [1]))
    # No TIFF type has the number 99.
    files["with a private tag of no type.tif"] = Readable(_with_type(content, 65000, 99), as_rgb(grey()))
    described = '{"shape": [9, 48, 80, 3]}', "ImageJ=1.11a\nimages=9\n", _ome(sizes=9)
    for name, text in zip(("tifffile", "ImageJ", "OME"), described, strict=True):
        files[f"of one page with a description of 9 by {name}.tif"] = Readable(
            tiff_of(rgb, "rgb", description=text), rgb
        )
    return files


def _with_type(content: bytes, tag: int, number: int) -> bytes:
    entry = content.index(struct.pack("<HHI", tag, 3, 1))
    return content[: entry + 2] + struct.pack("<H", number) + content[entry + 4 :]


def _ome(sizes: int) -> str:
    pixels = f'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="3" SizeZ="1"'
    channel = '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/>'
    image = f'<Image ID="Image:0"><Pixels {pixels} SizeT="{sizes}">{channel}</Pixels></Image>'
    return f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{image}</OME>'


def _tiff_other_writers() -> dict[str, Readable]:
    rgb, gray = colours(), grey()
    bilevel = np.where(gray > 127, 255, 0).astype(np.uint8)
    files = {
        "Pillow, two levels.tif": Readable(pillow(bilevel, "tiff", "1"), as_rgb(bilevel)),
        "Pillow, grey of 16 bits.tif": Readable(pillow(sixteen(gray), "tiff"), as_rgb(gray)),
        "OpenCV, RGB.tif": Readable(opencv(rgb, ".tif"), rgb),
        "OpenCV, RGB of 16 bits.tif": Readable(opencv(sixteen(rgb), ".tif"), rgb),
        "no ExtraSamples.tif": Readable(
            raw_tiff([np.dstack([rgb, gray]).tobytes()], (262, "H", [2]), (277, "H", [4]), (258, "H", [8] * 4)),
            rgb,
        ),
    }
    for method in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"):
        files[f"Pillow, {method}.tif"] = Readable(pillow(rgb, "tiff", compression=method), rgb)
    return files


def _png() -> dict[str, Readable]:
    rgb, gray = colours(), grey()
    table = np.random.default_rng(4).integers(0, 256, (256, 3), dtype=np.uint8)
    files = {
        "RGB, 16 bits.png": Readable(imagecodecs.png_encode(sixteen(rgb)), rgb),
        "RGB and alpha, 16 bits.png": Readable(imagecodecs.png_encode(sixteen(np.dstack([rgb, gray]))), rgb),
        "RGB and alpha.png": Readable(pillow(np.dstack([rgb, gray]), "png"), rgb),
        "grey and alpha.png": Readable(pillow(np.dstack([gray, gray[::-1]]), "png"), as_rgb(gray)),
        "transparent colour.png": Readable(pillow(rgb, "png", transparency=tuple(rgb[5, 5].tolist())), rgb),
        "transparent grey.png": Readable(pillow(gray, "png", transparency=7), as_rgb(gray)),
        "OpenCV, grey of 16 bits.png": Readable(opencv(sixteen(gray), ".png"), as_rgb(gray)),
        "gamma of sRGB.png": Readable(
            raw_png(png_rows(gray, 8), 8, 0, (b"gAMA", struct.pack(">I", 45455))), as_rgb(gray)
        ),
        "sRGB overrules gamma.png": Readable(
            raw_png(png_rows(gray, 8), 8, 0, (b"gAMA", struct.pack(">I", 100_000)), (b"sRGB", b"\0")), as_rgb(gray)
        ),
        "interlaced.png": Readable(raw_png(_adam7(rgb), 8, 2, interlaced=True), rgb),
    }
    for bits in (1, 2, 4, 8, 16):
        values = np.rint(gray * ((2**bits - 1) / 255)).astype(np.uint16)
        pixels = np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
        files[f"grey, {bits} bits.png"] = Readable(raw_png(png_rows(values, bits), bits, 0), as_rgb(pixels))
        if bits < 16:
            used = gray & (2**bits - 1)
            palette = (b"PLTE", table[: 2**bits].tobytes()), (b"tRNS", b"\x80\x00")
            files[f"palette, {bits} bits.png"] = Readable(raw_png(png_rows(used, bits), bits, 3, *palette), table[used])
    return files


def _adam7(values: np.ndarray) -> list[bytes]:
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    return [row.tobytes() for top, down, left, right in passes for row in values[top::down, left::right]]


def _jpeg() -> dict[str, Readable]:
    image = smooth()
    gray = image[:, :, 0]
    ink = np.dstack([255 - image, np.full_like(gray, 40)])
    paper = 1 - ink / 255
    printed = np.rint(paper[:, :, :3] * paper[:, :, 3:] * 255).astype(np.uint8)
    high = [cv2.IMWRITE_JPEG_QUALITY, 97]
    return {
        "grey.jpg": Readable(opencv(gray, ".jpg", *high), as_rgb(gray), 6),
        "YCbCr.jpg": Readable(opencv(image, ".jpg", *high), image, 10),
        "YCbCr, 4 4 4.jpg": Readable(pillow(image, "jpeg", quality=97, subsampling=0), image, 10),
        "progressive.jpg": Readable(pillow(image, "jpeg", quality=97, progressive=True), image, 10),
        "RGB without YCbCr.jpg": Readable(
            imagecodecs.jpeg8_encode(image, level=97, colorspace="rgb", outcolorspace="rgb"), image, 10
        ),
        "CMYK, inverted as Adobe does.jpg": Readable(
            pillow(Image.fromarray(ink, "CMYK"), "jpeg", quality=97, subsampling=0), printed, 10
        ),
        "YCCK.jpg": Readable(
            imagecodecs.jpeg8_encode(255 - ink, level=97, colorspace="cmyk", outcolorspace="ycck"), printed, 12
        ),
    }


def _bmp() -> dict[str, Readable]:
    rgb, gray = colours(), grey()
    table = np.random.default_rng(4).integers(0, 256, (256, 3), dtype=np.uint8)
    rows = [row[:, ::-1].tobytes() for row in rgb[::-1]]
    files = {
        "Pillow, RGB.bmp": Readable(pillow(rgb, "bmp"), rgb),
        "OpenCV, grey.bmp": Readable(opencv(gray, ".bmp"), as_rgb(gray)),
        "Pillow, two levels.bmp": Readable(
            pillow(gray, "bmp", "1"), as_rgb(np.asarray(Image.fromarray(gray).convert("1").convert("L")))
        ),
        "top row first.bmp": Readable(bmp_of(rows[::-1], 24, height=-HEIGHT), rgb),
    }
    for bits, count in ((1, 2), (4, 16), (8, 256), (8, 2), (8, 16)):
        used = gray & (count - 1)
        content = bmp_of(
            [packed(row[np.newaxis], bits) for row in used[::-1]], bits, palette=_quads(table[:count]), colours=count
        )
        files[f"palette of {count}, {bits} bits.bmp"] = Readable(content, table[used])
    black_white = np.array([[0] * 3, [255] * 3], dtype=np.uint8)
    used = gray % 2
    content = bmp_of([row.tobytes() for row in used[::-1]], 8, palette=_quads(black_white), colours=2)
    files["black and white, 8 bits.bmp"] = Readable(content, black_white[used])
    return files | _bmp_masks() | _bmp_runs(table)


def _quads(table: np.ndarray) -> bytes:
    return np.dstack([table[np.newaxis, :, ::-1], np.zeros((1, len(table), 1), dtype=np.uint8)]).tobytes()


def _bmp_masks() -> dict[str, Readable]:
    files = {}
    draw = np.random.default_rng(6)
    for depths, bits, compression in (
        ((5, 5, 5), 16, 0),
        ((5, 5, 5), 16, 3),
        ((5, 6, 5), 16, 3),
        ((4, 4, 4), 16, 3),
        ((10, 10, 10), 32, 3),
    ):
        channels = [draw.integers(0, 2**depth, (HEIGHT, WIDTH)) for depth in depths]
        shifts = (depths[1] + depths[2], depths[2], 0)
        values = sum(channel << shift for channel, shift in zip(channels, shifts, strict=True))
        masks = [2**depth - 1 << shift for depth, shift in zip(depths, shifts, strict=True)] if compression else []
        pixels = np.dstack([np.rint(c * (255 / (2**d - 1))) for c, d in zip(channels, depths, strict=True)])
        for name, rows, height in (("", values[::-1], HEIGHT), (", top row first", values, -HEIGHT)):
            coded = [row.astype(f"<u{bits // 8}").tobytes() for row in rows]
            content = bmp_of(coded, bits, compression=compression, masks=masks, height=height)
            files[f"{depths}, compression {compression}, {bits} bits{name}.bmp"] = Readable(
                content, pixels.astype(np.uint8)
            )
    rgb, alpha = colours(), grey()[::-1]
    for name, order, header_bytes in (
        ("B G R x", (2, 1, 0, 3), 40),
        ("R G B x", (0, 1, 2, 3), 40),
        ("B G R A", (2, 1, 0, 3), 108),
        ("A R G B", (3, 0, 1, 2), 124),
    ):
        rows = [row.tobytes() for row in np.dstack([rgb, alpha])[::-1, :, list(order)]]
        masks = [0xFF << 8 * order.index(channel) for channel in range(3 if header_bytes == 40 else 4)]
        content = bmp_of(rows, 32, compression=3, masks=masks, header_bytes=header_bytes)
        files[f"{name}, 32 bits.bmp"] = Readable(content, rgb)
    return files


def _bmp_runs(table: np.ndarray) -> dict[str, Readable]:
    used = np.repeat(grey()[:, :1], WIDTH, axis=1)
    runs = b"".join(bytes([WIDTH, row[0], 0, 0]) for row in used[::-1]) + b"\0\1"
    few = used % 16
    half = b"".join(bytes([WIDTH, row[0] * 17, 0, 0]) for row in few[::-1]) + b"\0\1"
    skipped = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    skipped[-1, 0], skipped[-3, 3] = 5, 6
    delta = bytes([1, 5, 0, 2, 2, 2, 1, 6, 0, 1])
    return {
        "RLE8.bmp": Readable(bmp_of([runs], 8, palette=_quads(table), compression=1), table[used]),
        "RLE4.bmp": Readable(bmp_of([half], 4, palette=_quads(table[:16]), compression=2), table[few]),
        "RLE8 with a jump.bmp": Readable(bmp_of([delta], 8, palette=_quads(table), compression=1), table[skipped]),
    }


def _oriented() -> dict[str, Readable]:
    """The flag is not followed: pixels stay where they are stored."""
    rgb = colours()
    files = {}
    for orientation in (1, 3, 5, 6, 8):
        tag = (274, "H", 1, orientation, True)
        for bits, values in ((8, rgb), (16, sixteen(rgb))):
            content = tiff_of(values, "rgb", extratags=[tag])
            files[f"orientation {orientation}, {bits} bits.tif"] = Readable(content, rgb)
        exif = Image.Exif()
        exif[274] = orientation
        files[f"orientation {orientation}.png"] = Readable(pillow(rgb, "png", exif=exif), rgb)
        content = pillow(smooth(), "jpeg", quality=97, exif=exif)
        files[f"orientation {orientation}.jpg"] = Readable(content, smooth(), 10)
    return files


def refused() -> dict[str, Refused]:
    """By a name that ends in the usual extension."""
    return _refused_tiff() | _refused_tiff_damage() | _refused_png() | _refused_jpeg() | _refused_bmp()


def _refused_tiff() -> dict[str, Refused]:
    rgb, gray = colours(), grey()
    files = {}
    for name in ("float16", "float32", "float64", "int8", "int16", "int32", "complex64"):
        files[f"{name}.tif"] = Refused(tiff_of(gray.astype(name), "minisblack"), ("SampleFormat",))
    files["uint32.tif"] = Refused(tiff_of(gray.astype(np.uint32), "minisblack"), ("BitsPerSample", 32))
    for bits in (24, 32):
        content = raw_tiff([bytes(HEIGHT * WIDTH * bits // 8)], (258, "H", [bits]))
        files[f"{bits} bits.tif"] = Refused(content, ("BitsPerSample", bits))
    mixed = (258, "H", [5, 6, 5]), (277, "H", [3]), (262, "H", [2])
    files["5, 6 and 5 bits.tif"] = Refused(raw_tiff([bytes(HEIGHT * WIDTH * 2)], *mixed), ("BitsPerSample",))
    for name, number in (("CIELAB", 8), ("CFA", 32803), ("LINEAR_RAW", 34892), ("LOGLUV", 32845)):
        content = raw_tiff([rgb.tobytes()], (262, "H", [number]), (277, "H", [3]), (258, "H", [8] * 3))
        files[f"{name}.tif"] = Refused(content, ("PhotometricInterpretation", number))
    ycbcr = (262, "H", [6]), (277, "H", [3]), (258, "H", [8] * 3), (530, "H", [1, 1])
    files["YCbCr without JPEG.tif"] = Refused(raw_tiff([rgb.tobytes()], *ycbcr), ("PhotometricInterpretation", 6))
    files["no photometric.tif"] = Refused(raw_tiff([gray.tobytes()], (262, "H", [])), ("PhotometricInterpretation",))
    inks = (262, "H", [5]), (277, "H", [4]), (258, "H", [8] * 4), (332, "H", [2])
    files["other inks.tif"] = Refused(raw_tiff([bytes(HEIGHT * WIDTH * 4)], *inks), ("InkSet", 2))
    for method in ("zstd", "lzma", "jpeg2000", "webp"):
        content = tiff_of(rgb, "rgb", compression=method)
        files[f"{method}.tif"] = Refused(content, ("Compression",))
    files["predictor of raw data.tif"] = Refused(raw_tiff([gray.tobytes()], (317, "H", [2])), ("Predictor", 2))
    ink = tiff_of(np.dstack([rgb, gray]), "separated", compression="jpeg")
    files["JPEG of CMYK.tif"] = Refused(ink, ("Compression", 7))
    return files | _refused_tiff_planes(rgb, gray)


def _refused_tiff_planes(rgb: np.ndarray, gray: np.ndarray) -> dict[str, Refused]:
    stack = np.stack([gray, gray[::-1]])
    five = np.dstack([rgb, gray, gray])
    associated = {"planarconfig": "contig", "extrasamples": ["assocalpha"]}
    return {
        "two pages.tif": Refused(tiff_of(stack, "minisblack"), ("pages", 2)),
        "shaped stack.tif": Refused(_shaped(stack), ("2 planes",)),
        "two pages by hand.tif": Refused(raw_tiff([gray.tobytes()], pages=2), ("pages", 2)),
        "ImageJ stack.tif": Refused(_imagej(stack), ("2 planes",)),
        "volume.tif": Refused(
            tiff_of(np.stack([gray] * 16), "minisblack", volumetric=True, tile=(16, 16, 16)), ("ImageDepth", 16)
        ),
        "two channels.tif": Refused(
            tiff_of(np.dstack([gray, gray]), "minisblack", planarconfig="contig"), ("ExtraSamples",)
        ),
        "three channels.tif": Refused(
            tiff_of(np.moveaxis(rgb, 2, 0), "minisblack", planarconfig="separate"), ("SamplesPerPixel", 3)
        ),
        "five channels.tif": Refused(
            tiff_of(five, "rgb", extrasamples=["unassalpha", "unspecified"]), ("SamplesPerPixel", 5)
        ),
        "associated, white is zero.tif": Refused(
            tiff_of(np.dstack([gray, gray]), "miniswhite", **associated), ("ExtraSamples",)
        ),
    }


def _imagej(stack: np.ndarray) -> bytes:
    """All planes below one page, as ImageJ writes files of more than 4 GB."""
    handle = io.BytesIO()
    tifffile.imwrite(handle, stack, imagej=True, photometric="minisblack")
    content = handle.getvalue()
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        end = page.offset + 2 + 12 * struct.unpack_from(f"{file.byteorder}H", content, page.offset)[0]
    # The first directory has no next one.
    return content[:end] + bytes(4) + content[end + 4 :]


def _shaped(stack: np.ndarray) -> bytes:
    """All planes below one page, as tifffile writes large files."""
    handle = io.BytesIO()
    tifffile.imwrite(handle, stack, photometric="minisblack", metadata={"axes": "TYX"}, contiguous=True, truncate=True)
    return handle.getvalue()


def _refused_tiff_damage() -> dict[str, Refused]:
    rgb, gray = colours(), grey()
    whole = tiff_of(rgb, "rgb", rowsperstrip=8)
    zipped = raw_tiff([zlib.compress(gray[:20].tobytes())], (259, "H", [8]))
    large = bytearray(opencv(gray, ".jpg"))
    frame = large.index(b"\xff\xc0")
    struct.pack_into(">HH", large, frame + 5, 60_000, 60_000)
    jpeg = opencv(gray, ".jpg")
    return {
        "cut.tif": Refused(whole[: len(whole) // 2], ("truncated",)),
        "without its last byte.tif": Refused(whole[:-1], ("truncated",)),
        "strip of no bytes.tif": Refused(raw_tiff([gray.tobytes()], (279, "I", [0])), ("StripByteCounts",)),
        "too few strips.tif": Refused(raw_tiff([gray.tobytes()], (278, "I", [1])), ("Strip",)),
        "half of a deflated strip.tif": Refused(zipped, ("decoded",)),
        "huge.tif": Refused(raw_tiff([gray.tobytes()], (256, "I", [100_000_000])), (100_000_000,)),
        "huge tiles.tif": Refused(
            raw_tiff([gray.tobytes()], (322, "I", [1 << 20]), (323, "I", [1 << 20]), (324, "I", [8]), (325, "I", [99])),
            ("tiles", 1 << 20),
        ),
        "planar configuration of no type.tif": Refused(
            _with_type(raw_tiff([gray.tobytes()], (284, "H", [1])), 284, 99), ("tags", 284)
        ),
        "huge JPEG within.tif": Refused(raw_tiff([bytes(large)], (259, "H", [7])), (60_000,)),
        "cut JPEG within.tif": Refused(raw_tiff([jpeg[: len(jpeg) // 2]], (259, "H", [7])), ("truncated",)),
        "bomb.tif": Refused(raw_tiff([zlib.compress(bytes(1 << 26))], (259, "H", [8])), ("decoded",)),
        "no directory.tif": Refused(b"II*\0\xff\xff\0\0" + bytes(20), ()),
        "nothing but its mark.tif": Refused(b"II*\0", ()),
    }


def _refused_png() -> dict[str, Refused]:
    gray = grey()
    frames = [Image.fromarray(gray), Image.fromarray(gray[::-1])]
    whole = pillow(gray, "png")
    return {
        "linear.png": Refused(raw_png(png_rows(gray, 8), 8, 0, (b"gAMA", struct.pack(">I", 100_000))), ("gAMA", 1)),
        "animated.png": Refused(pillow(frames[0], "png", save_all=True, append_images=frames[1:]), ("acTL", 2)),
        "cut.png": Refused(whole[: len(whole) // 2], ("truncated",)),
        "too few rows.png": Refused(raw_png(png_rows(gray[:9], 8), 8, 0), ("decoded",)),
        "huge.png": Refused(raw_png([b""], 8, 0, size=(60_000, 60_000)), (60_000,)),
        "five bits.png": Refused(raw_png(png_rows(gray >> 3, 5), 5, 0), ()),
    }


def _refused_jpeg() -> dict[str, Refused]:
    image = smooth()
    whole = pillow(image, "jpeg")
    large, twelve = bytearray(whole), bytearray(whole)
    frame = whole.index(b"\xff\xc0")
    struct.pack_into(">HH", large, frame + 5, 60_000, 60_000)
    twelve[frame + 4] = 12
    ink = pillow(Image.fromarray(np.dstack([image, image[:, :, 0]]), "CMYK"), "jpeg")
    adobe = ink.index(b"\xff\xee")
    plain = ink[:adobe] + ink[adobe + 16 :]
    return {
        "cut.jpg": Refused(whole[:-99], ("truncated",)),
        "cut within its tables.jpg": Refused(whole[:300], ("decoded",)),
        "huge.jpg": Refused(bytes(large), (60_000,)),
        "12 bits.jpg": Refused(bytes(twelve), ("12-bit",)),
        "CMYK without Adobe.jpg": Refused(plain, ("CMYK", "APP14")),
    }


def _refused_bmp() -> dict[str, Refused]:
    rows = [bytes(WIDTH * 4)] * HEIGHT
    palette = bytes(1024)
    return {
        "mask with a gap.bmp": Refused(
            bmp_of(rows, 32, compression=3, masks=[0xFF00FF, 0xFF00, 0xFF]), ("BI_BITFIELDS", "0xff00ff")
        ),
        "empty mask.bmp": Refused(bmp_of(rows, 32, compression=3, masks=[0, 0xFF00, 0xFF]), ("BI_BITFIELDS",)),
        "JPEG within.bmp": Refused(bmp_of(rows, 24, compression=4), ("biCompression", 4)),
        "of OS 2, Huffman.bmp": Refused(bmp_of(rows, 1, compression=3, header_bytes=64), ("biCompression", 3)),
        "17 bits.bmp": Refused(bmp_of(rows, 17), ("biBitCount", 17)),
        "cut.bmp": Refused(bmp_of(rows, 24)[:999], ("truncated",)),
        "cut run.bmp": Refused(bmp_of([bytes([9, 1])], 8, palette=palette, compression=1), ("decoded",)),
        "huge.bmp": Refused(bmp_of(rows, 24, height=1 << 30), (1 << 30,)),
    }
