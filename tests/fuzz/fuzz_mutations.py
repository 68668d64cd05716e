"""What can happen to a file: cut, flipped, exchanged, edited by hand, or another file altogether."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Callable, Sequence

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
"""From random numbers, a file's content and the contents of other files, some of the same kind, to a new content."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1e308",
    "-1",
    "0",
    "2147483648",
    "9" * 5000,
    "1_000",
    "0x10",
    "٣",
    "",
    "true",
)
_RUNS_CODE = "!!python/object/apply:os.system ['true']"
_TEXTS = ("\0", "\ufeff", "é\u202e", "\r", '"', "'", ",,,,", "\t", _RUNS_CODE, "${HOME}")
_HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>nothing</body></html>\n"


def _span(draw: random.Random, content: bytes, most: int = 4096) -> tuple[int, int]:
    start = draw.randrange(max(1, len(content)))
    return start, min(len(content), start + draw.randint(1, most))


def truncate(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content[: draw.randrange(max(1, len(content)))]


def truncate_a_little(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content[: max(0, len(content) - draw.randint(1, 3))]


def empty(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return b""


def flip_bits(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8, 64))):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flip_bits_at_the_start(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return flip_bits(draw, content[:256], others) + content[256:]


def overwrite(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, stop = _span(draw, content)
    length = stop - start
    filling = draw.choice((b"\0" * length, b"\xff" * length, draw.randbytes(length)))
    return content[:start] + filling + content[stop:]


def swap_chunks(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    if len(content) < 4:
        return content
    a, b, c = sorted(draw.randrange(len(content)) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def duplicate_chunk(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, stop = _span(draw, content)
    return content[:stop] + content[start:]


def delete_chunk(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, stop = _span(draw, content)
    return content[:start] + content[stop:]


def append_garbage(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content + draw.randbytes(draw.randint(1, 1000))


def claim_much(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Numbers of two, four or eight bytes near the start, where sizes stand, become large."""
    width = draw.choice((2, 4, 8))
    value = draw.choice(((1 << 8 * width - 1) - 1, 100_000, 1 << 8 * width - 2, (1 << 8 * width) - 1))
    start = draw.randrange(max(1, min(len(content), 2048)))
    little = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return content[:start] + little + content[start + width :]


def another_file(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return draw.choice(others)


def web_page(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return _HTML


def older_version(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    text = content.replace(b'"schema_version": 3', b'"schema_version": 2')
    return text.replace(b"siwcc shard 3", b"siwcc shard 2")


BYTES: tuple[Mutation, ...] = (
    truncate,
    truncate_a_little,
    empty,
    flip_bits,
    flip_bits_at_the_start,
    overwrite,
    swap_chunks,
    duplicate_chunk,
    delete_chunk,
    append_garbage,
    claim_much,
    another_file,
    web_page,
    older_version,
)


# ------------------------------------------------------------------------- text


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines(keepends=True) or [""]


def odd_number(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    text = content.decode("utf-8", "replace")
    found = list(_NUMBER.finditer(text))
    if not found:
        return content
    match = draw.choice(found)
    return (text[: match.start()] + draw.choice(_NUMBERS) + text[match.end() :]).encode()


def odd_text(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    text = content.decode("utf-8", "replace")
    place = draw.randrange(len(text) + 1)
    return (text[:place] + draw.choice(_TEXTS) + text[place:]).encode("utf-8", "surrogatepass")


def drop_column(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    rows = [line.rstrip("\n").split(",") for line in _lines(content)]
    column = draw.randrange(len(rows[0]))
    return "".join(",".join(row[:column] + row[column + 1 :]) + "\n" for row in rows).encode()


def repeat_column(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    rows = [line.rstrip("\n").split(",") for line in _lines(content)]
    column = draw.randrange(len(rows[0]))
    return "".join(",".join([*row, *row[column : column + 1]]) + "\n" for row in rows).encode()


def drop_line(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    lines = _lines(content)
    del lines[draw.randrange(len(lines))]
    return "".join(lines).encode()


def repeat_line(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    lines = _lines(content)
    lines.insert(draw.randrange(len(lines)), draw.choice(lines))
    return "".join(lines).encode()


def exchange_lines(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    lines = _lines(content)
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return "".join(lines).encode()


def long_line(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + draw.choice((b"x", b"9", b",", b" ", b"[", b"{a: ")) * 1_000_000 + content[place:]


def other_encoding(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(draw.choice(("utf-16", "utf-8-sig", "utf-32", "cp037")), "replace")


def other_line_ends(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content.replace(b"\n", draw.choice((b"\r\n", b"\r", b"\n\n", b";\n")))


def other_delimiter(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    one, other = draw.sample((b",", b";", b"\t", b" ", b"."), 2)
    return content.replace(one, other, draw.choice((1, -1)))


def other_normal_form(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    text = content.decode("utf-8", "replace")
    return unicodedata.normalize(draw.choice(("NFC", "NFD", "NFKD")), f"{text}\u00fc").encode()


TEXT: tuple[Mutation, ...] = (
    other_delimiter,
    other_normal_form,
    odd_number,
    odd_number,
    odd_text,
    drop_column,
    repeat_column,
    drop_line,
    repeat_line,
    exchange_lines,
    long_line,
    other_encoding,
    other_line_ends,
)


# ----------------------------------------------------------------- JSON and YAML


def other_type(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A value of a JSON object, at any depth, becomes one of another type, or disappears."""
    try:
        root = json.loads(content)
    except ValueError:
        return flip_bits(draw, content, others)
    inner, key = root, None
    while isinstance(inner, dict) and inner and (key is None or draw.random() < 0.7):
        parent, key = inner, draw.choice(sorted(inner))
        inner = inner[key]
    if key is None:
        return content
    if draw.random() < 0.3:
        del parent[key]
    else:
        parent[key] = draw.choice((None, True, [], {}, -1, 1e300, "text", [[[]]], {"a": 1}, 10**30))
    return json.dumps(root).encode()


def nesting(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return draw.choice((b"[" * 100_000, b'{"a":' * 100_000, b"- " * 50_000, b"{a: " * 20_000, b"[" * 50 + b"]" * 50))


def aliases(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """YAML that unfolds to 10 to the power of 9 entries."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    lines.append(draw.choice(("encodings: *a8", "study: *a8", "folds: *a8", "tasks: {ecg: *a8}", "datasets: *a8")))
    return "\n".join(lines).encode()


STRUCTURE: tuple[Mutation, ...] = (other_type, other_type, nesting, aliases)


def kinds_for(suffix: str) -> tuple[Mutation, ...]:
    """The mutations that make sense for a file of this suffix; those of bytes for any."""
    text = suffix in {".csv", ".json", ".yaml", ".tsv", ".hea", ".sha256", ".txt"}
    structure = suffix in {".json", ".yaml"}
    return BYTES + TEXT * text + STRUCTURE * structure
