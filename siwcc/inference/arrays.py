"""Arrays that are given from Python: each mistake is one line with the way out."""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np

from siwcc.io.errors import InputError


def refuse_path(array: object, instead: str) -> None:
    """Refuse a path in the place of an array.

    Args:
        array: What was given.
        instead: The method that takes files.
    """
    if isinstance(array, str | os.PathLike):
        raise InputError("array", f"is the path {os.fspath(array)}", f"take {instead} for files")


def refuse_all_but_path(path: object, instead: str, itself: str) -> None:
    """Refuse what is no path.

    Args:
        path: What was given.
        instead: The method that takes arrays.
        itself: The one that takes a path.
    """
    if isinstance(path, np.ndarray):
        raise InputError("path", "is an array", f"take {instead} for arrays")
    if not isinstance(path, str | os.PathLike):
        raise InputError("path", f"is a {type(path).__name__}", f"give one file; call {itself} for each of several")


def as_leads(array: object, wanted: int) -> np.ndarray:
    """A recording as float64 (1 or `wanted` leads, samples), NaN where it is not finite.

    Raises:
        InputError: no numbers, or another shape.
    """
    try:
        leads = np.atleast_2d(np.asarray(array, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError("array", f"is no array of numbers ({error})") from error
    if leads.ndim != 2 or leads.shape[0] not in (1, wanted) or not leads.shape[1]:
        problem = (
            f"has the shape {np.shape(cast(Any, array))}, and (leads, samples) with {wanted} lead(s) or 1 is needed"
        )
        turned = leads.ndim == 2 and leads.shape[1] in (1, wanted) and leads.shape[0] > wanted
        raise InputError("array", problem, "transpose it: array.T" if turned else "choose leads")
    return np.where(np.isfinite(leads), leads, np.nan)


def with_all_leads(signal_mv: np.ndarray, wanted: int, silent: bool) -> np.ndarray:
    """A single lead with the others, `wanted` in all, which are silent or copies of it; `wanted` leads as they are."""
    missing = wanted - len(signal_mv)
    if not missing:
        return signal_mv
    other = np.zeros_like(signal_mv) if silent else signal_mv
    return np.concatenate([signal_mv, *[other] * missing])


def checked_rate(rate_hz: float | None) -> float:
    """A sampling rate, Hz.

    Raises:
        InputError: none, no number, or none above 0.
    """
    remedy = "give the recording's sampling rate in Hz, a number above 0"
    if rate_hz is None:
        raise InputError("rate_hz", "is missing", remedy)
    if not (is_number(rate_hz) and np.isfinite(rate_hz) and rate_hz > 0):
        raise InputError("rate_hz", f"is {rate_hz!r}", remedy)
    return float(rate_hz)


def is_number(value: object) -> bool:
    """Whether it is a single real number."""
    return np.ndim(cast(Any, value)) == 0 and np.asarray(value).dtype.kind in "iuf"
