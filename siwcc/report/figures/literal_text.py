"""Text in a figure as it is written: names of files, leads, groups and classes are no formulas."""

from __future__ import annotations

import functools
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter

_UNSEEN = ("Cc", "Cf", "Cs")
"""Categories of Unicode without a sign: controls, marks of direction, bytes that are no text."""
_LONGEST_LABEL, _LONGEST_LINE = 40, 120
"""Characters of a line of a tick's label, and of any other text, as wide as a figure can be."""


def readable(text: str, typeface: str | None = None) -> str:
    r"""A text with an escape, such as `\u65e5`, for each character that cannot be drawn.

    Args:
        text: Any string; line ends stay, a tab becomes a space.
        typeface: File of a font; None: the default one.
    """
    known = _characters(typeface or _file_of(font_manager.FontProperties()))
    return "".join(char if char == "\n" or _is_drawn(char, known) else _escaped(char) for char in text)


def _is_drawn(char: str, known: frozenset[int]) -> bool:
    return ord(char) in known and unicodedata.category(char) not in _UNSEEN


def _escaped(char: str) -> str:
    if char == "\t":
        return " "
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@functools.cache
def _characters(typeface: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(typeface).get_charmap())


def _file_of(properties: font_manager.FontProperties) -> str:
    return str(font_manager.findfont(properties))


@contextmanager
def show_literally(figure: Figure) -> Iterator[None]:
    """Within it, the figure draws every text literally: no formulas, no character without a sign, no warning.

    Labels of ticks that are numbers keep the notation of matplotlib.
    """
    _make_literal(figure)
    with warnings.catch_warnings():
        for message in ("Glyph .* missing from", "constrained_layout not applied"):
            warnings.filterwarnings("ignore", message=message)
        yield


def _make_literal(artist: Artist) -> None:
    for child in artist.get_children():
        if isinstance(child, Axis):
            formatter = child.get_major_formatter()
            if isinstance(formatter, (FixedFormatter, FuncFormatter)):
                child.set_major_formatter(_LiteralLabels(formatter))
            texts = [child.label]
        else:
            texts = [child] if isinstance(child, Text) else []
            _make_literal(child)
        for text in texts:
            text.set_parse_math(False)
            shown = readable(text.get_text(), _file_of(text.get_fontproperties()))
            text.set_text(_shortened(shown, _LONGEST_LINE))


class _LiteralLabels(Formatter):
    """Labels of ticks that are names."""

    def __init__(self, names: Formatter) -> None:
        self._names = names

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The name at a tick."""
        label = _shortened(readable(self._names(x, pos)), _LONGEST_LABEL)
        # A dollar after a back slash is the sign itself.
        return label.replace("$", r"\$")


def _shortened(text: str, longest: int) -> str:
    """The text with the middle of longer lines left out."""
    half = longest // 2 - 1
    lines = text.split("\n")
    return "\n".join(line if len(line) <= longest else f"{line[:half]}…{line[-half:]}" for line in lines)
