"""What the verdicts over folds and over records share: how far a row carries, and how numbers are said."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

MINUS = "\N{MINUS SIGN}"


class Reading(Enum):
    """How far a row carries."""

    UNTESTABLE = "no test possible"
    TOO_FEW = "too few folds"
    NOTHING = "no difference shown"
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


def plain(value: float) -> str:
    """Four decimals; small numbers with two significant digits."""
    return (
        f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2g}" if abs(value) < 1e-5 else f"{value:.5f}"
    )


def signed(value: float) -> str:
    """As `plain`, with its sign, a true minus."""
    return f"{MINUS if value < 0 else '+' if value > 0 else ''}{plain(abs(value))}"


def p_words(value: float) -> str:
    """`= 0.012`, or a bound below a thousandth."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def capital(text: str) -> str:
    """The text with a capital at its start."""
    return text[0].upper() + text[1:]


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
