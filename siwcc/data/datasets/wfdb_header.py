"""Headers of WFDB records as they are published, read by the format's description, header(5).

wfdb's own parser takes a header for ASCII and drops what is not: the unit `µV` becomes `V`. It also fails on dates and
names that are in use. What has no meaning here (dates, comments, resolutions) is not looked at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from siwcc.io.errors import InputError
from siwcc.io.foreign import composed, read_foreign_text

_MAX_HEADER_BYTES = 1 << 24
# Of the WFDB library, where a header gives none.
_DEFAULT_RATE_HZ = 250.0
_DEFAULT_GAIN = 200.0
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RATE = re.compile(rf"({_NUMBER})(?:/.*)?")
_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?")
_GAIN = re.compile(rf"({_NUMBER})?(?:\(([-+]?\d+)(?:\.0*)?\))?(?:/(.*))?")
_WHOLE = re.compile(r"[-+]?\d+")
_MILLIVOLTS = {"nv": 1e-6, "uv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}


@dataclass(frozen=True)
class Lead:
    """A signal line.

    Attributes:
        file: Name of its signal file, as the header gives it.
        format: Code of the signal format.
        samples_per_frame: Its samples in the time of one sample of the record.
        skew: Frames by which it is late in the file.
        offset_bytes: Where the samples begin in the file.
        gain: Digital steps per unit.
        baseline: Digital value of 0; a whole number but in EDF.
        unit: As the header gives it.
        first: Digital value of the first sample, 0 where it is missing: format 8 begins there.
        checksum: None where it is missing.
        name: What the header calls it.
    """

    file: str
    format: str
    samples_per_frame: int
    skew: int
    offset_bytes: int
    gain: float
    baseline: float
    unit: str
    first: int
    checksum: int | None
    name: str

    @property
    def millivolts(self) -> float | None:
        """Its unit in mV; None where it is no voltage."""
        # The sign for micro has two code points, which are one letter in this normal form.
        return _MILLIVOLTS.get(unicodedata.normalize("NFKC", self.unit).casefold())


@dataclass(frozen=True)
class Segment:
    """A part of a record; its name is `~` where there are no signals."""

    name: str
    frames: int


@dataclass(frozen=True)
class Header:
    """The content of a header.

    Attributes:
        rate_hz: Frames per second: the sampling rate of leads with one sample per frame.
        lead_count: How many leads the record has.
        frames: None where it is not given.
        leads: In the order of the header; empty where there are segments.
        segments: Empty for a record in one part.
    """

    rate_hz: float
    lead_count: int
    frames: int | None
    leads: tuple[Lead, ...]
    segments: tuple[Segment, ...]


def parse_header(path: Path, name: str, remedy: str) -> Header:
    """Read a header.

    Args:
        path: The header.
        name: The record's; the header may add a folder or a suffix to it.
        remedy: The way out when it is damaged.

    Raises:
        InputError: the header is missing, no text, or not as the format's description has it.
    """
    text = read_foreign_text(path, _MAX_HEADER_BYTES)
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    try:
        return _header(lines, composed(name))
    except ValueError as error:
        raise InputError(path, f"is no readable WFDB header: {error}", remedy) from error


def _header(lines: Sequence[str], name: str) -> Header:
    if not lines:
        raise ValueError("it is empty")
    first, count, *fields = [*lines[0].split(), ""]
    segments = _segment_count(first, name)
    lead_count = _whole(count, "the number of leads")
    rate = _RATE.fullmatch(fields[0]) if fields and fields[0] else None
    if fields and fields[0] and rate is None:
        raise ValueError(f"the sampling rate is {fields[0]!r}")
    # A date in its place means that the length is missing; length 0 means the same.
    frames = int(fields[1]) if len(fields) > 1 and _is_whole(fields[1]) else 0
    rate_hz = _DEFAULT_RATE_HZ if rate is None else float(rate[1])
    if segments is None:
        leads = tuple(map(_lead, lines[1:]))
        if len(leads) != lead_count:
            raise ValueError(f"it promises {lead_count} leads and describes {len(leads)}")
        return Header(rate_hz, lead_count, frames or None, leads, ())
    parts = tuple(map(_segment, lines[1:]))
    if not parts or len(parts) != segments:
        raise ValueError(f"it promises {segments} segments and describes {len(parts)}")
    return Header(rate_hz, lead_count, frames or None, (), parts)


def _segment_count(text: str, name: str) -> int | None:
    """The number of segments in `NAME/SEGMENTS`; None for a record in one part, `FOLDER/NAME.SUFFIX` at most."""
    before, slash, after = composed(text).replace("\\", "/").rpartition("/")
    if slash and before == name and _is_whole(after):
        return int(after)
    if name not in (after, str(PurePosixPath(after).with_suffix("")) if after else ""):
        raise ValueError(f"it describes the record {text!r}")
    return None


def _segment(line: str) -> Segment:
    name, length = [*line.split(None, 1), ""][:2]
    return Segment(name, _whole(length, f"the length of the segment {name}"))


def _lead(line: str) -> Lead:
    file, code, *rest = [*line.split(), ""]
    found = _FORMAT.fullmatch(code)
    if found is None:
        raise ValueError(f"the signal format of {file} is {code!r}")
    scale = _GAIN.fullmatch(rest[0]) if rest else None
    if rest and rest[0] and scale is None:
        raise ValueError(f"the gain of {file} is {rest[0]!r}")
    numbers, lead_name = _numbers_and_name(line.split(None, 3)[3] if len(rest) > 2 else "")
    zero = numbers.get("adc zero", 0)
    gain, baseline, unit = scale.groups() if scale else (None, None, None)
    return Lead(
        file,
        found[1],
        int(found[2] or 1) or 1,
        int(found[3] or 0),
        int(found[4] or 0),
        float(gain or 0) or _DEFAULT_GAIN,
        zero if baseline is None else int(baseline),
        unit or "mV",
        numbers.get("first", 0),
        numbers.get("checksum"),
        lead_name,
    )


def _numbers_and_name(text: str) -> tuple[dict[str, int], str]:
    """The whole numbers after the gain, any of the last of which may be missing, and the lead's name."""
    numbers = {}
    for field in ("adc resolution", "adc zero", "first", "checksum", "block"):
        word, rest = [*text.split(None, 1), "", ""][:2]
        if not _is_whole(word):
            break
        numbers[field], text = int(word), rest
    else:
        return numbers, text
    if any(map(_is_whole, text.split())):
        raise ValueError(f"{text.split()[0]!r} is no whole number ({field})")
    return numbers, text


def _is_whole(text: str) -> bool:
    # int() refuses more digits than a few thousand.
    return len(text) < 40 and text.isascii() and _WHOLE.fullmatch(text) is not None


def _whole(text: str, what: str) -> int:
    if not _is_whole(text) or int(text) < 0:
        raise ValueError(f"{what} is {text!r}")
    return int(text)
