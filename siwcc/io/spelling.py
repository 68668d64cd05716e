"""The name that was meant by a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ALIKE = 0.6


def did_you_mean(name: str, known: Iterable[str], alike: float = _ALIKE) -> str:
    """`did you mean 'vfdb'?`, or nothing where no known name is similar.

    Args:
        name: As it was given.
        known: The names that exist.
        alike: Least similarity, 0 ... 1, of `difflib`.
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=alike)
    return f"did you mean {close[0]!r}?" if close else ""
