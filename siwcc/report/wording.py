"""What the verdicts over folds and over records share: the reading of a row, and numbers in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


class Reading(Enum):
    """What the tests of a row allow to conclude."""

    UNTESTABLE = "no test possible"
    TOO_FEW = "too few folds"
    NOTHING = "not significant"
    HINT = "hint of a gain"
    GAIN = "gain"
    HINT_AGAINST = "hint of a loss"
    LOSS = "loss"


GOOD = {Reading.GAIN, Reading.HINT}
BAD = {Reading.LOSS, Reading.HINT_AGAINST}


def count_readings(found: Sequence[Reading], words: dict[Reading, str], noun: str) -> str:
    """Readings in words, each with its fraction where there are several.

    Args:
        found: One a row.
        words: How to say each reading, in the order to say them.
        noun: What a row is, in the plural.
    """
    fractions = {reading: f" in {found.count(reading)} of {len(found)} {noun}" * (len(found) > 1) for reading in words}
    return "; ".join(f"{text}{fractions[reading]}" for reading, text in words.items() if reading in found)


def three(value: float | None, sign: bool = False, decimals: int = 9) -> str:
    """Three significant digits with a true minus; whole numbers from 100 on; a dash for what has no value.

    Args:
        value: Any number.
        sign: Whether a number above 0 gets a plus.
        decimals: At most so many, for a number that was rounded before.
    """
    if value is None or math.isnan(value):
        return DASH
    before = MINUS if value < 0 else "+" if sign and value > 0 else ""
    size = float(f"{abs(value):.3g}")
    if size == 0 or not math.isfinite(size):
        return f"{before}{size:.0f}"
    exponent = math.floor(math.log10(size))
    if exponent < -5:
        return f"{before}{size / 10.0**exponent:.2f}e{MINUS}{-exponent}"
    return f"{before}{abs(value) if exponent > 2 else size:,.{min(max(2 - exponent, 0), decimals)}f}"


def p_words(value: float) -> str:
    """`= 0.0123`, or a bound below a thousandth."""
    return "< 0.001" if value < 0.001 else f"= {three(value)}"


def capital(text: str) -> str:
    """The text with a capital at its start."""
    return text[0].upper() + text[1:]


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
