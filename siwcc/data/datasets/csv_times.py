"""Times in a column of a CSV: seconds, milliseconds, time stamps; the sampling rate, without gaps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from siwcc.data.datasets.csv_layout import CLOCK
from siwcc.io.errors import InputError

TIME_COLUMN = "time_s"
"""Seconds from the first sample, which is at 0."""

_UNITS_S = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "μs": 1e-6, "ns": 1e-9}
_TIME_NAME = re.compile(
    r"(?:.*[\W_])?(?:time|times|timestamps?|date|datetime|zeit|zeitstempel|datum|epoch|elapsed)(?:[\W_].*)?|t(?:[\W_].*)?"
)
_COUNTER_NAME = re.compile(
    r"(?:samples?|index|idx|row|line|seq|sequence|counter|count|packet|frame)[\W_]*(?:no|nr|number|index|id|count)?\W*"
    r"|unnamed: 0|#|no\.?|nr\.?"
)
_UNIT = r"[munµμ]?s|sec|msec|seconds|[muµμn]v|(?:milli|micro)?volt"
_UNIT_IN_BRACKETS = re.compile(rf"[\[(]\s*({_UNIT}|v)\s*[\])]")
_UNIT_BEHIND_NAME = re.compile(rf".*(?:[_/,]\s*|\s(?:in\s+)?)({_UNIT})")
# A rate in Hz is one of 10 to 10,000, which leaves one unit for times without one.
_LEAST_HZ, _MOST_HZ = 10.0, 10_000.0
_DAY_S = 86_400.0
# Clocks of wireless sensors differ by less from the rate that they are sold with.
_MOST_RATE_ERROR = 0.02
_RATE = "check the sampling rate (--rate, csv_rate_hz)"
_CHECK = f"times are to grow by the same step, without gaps; cut the recording there, or {_RATE}"


def is_time_name(name: str) -> bool:
    """Whether a column of this name contains times."""
    return _TIME_NAME.fullmatch(name.casefold().strip()) is not None


def is_counter_name(name: str) -> bool:
    """Whether a column of this name numbers samples or packets."""
    return _COUNTER_NAME.fullmatch(name.casefold().strip()) is not None


def unit_in_name(name: str) -> str:
    """The unit of a voltage or time in `name [unit]`, `name (unit)`, `name_unit`, `name / unit`; empty without one."""
    plain = name.casefold().strip()
    found = _UNIT_IN_BRACKETS.search(plain) or _UNIT_BEHIND_NAME.fullmatch(plain)
    return found[1] if found else ""


def clock_seconds(path: Path, stamps: Sequence[str], first: int) -> np.ndarray:
    """Seconds of `hh:mm:ss`, `mm:ss` or date-times from the first one; midnight may pass.

    Raises:
        InputError: a cell is no time; names its line.
    """
    seconds = np.empty(len(stamps))
    days, before_s, before_date = 0, -np.inf, ""
    for number, stamp in enumerate(stamps):
        found = CLOCK.fullmatch(stamp.strip().strip("'\"[]"))
        if found is None:
            raise InputError(path, f"line {first + number + 1}: {stamp!r} is no time", "write hh:mm:ss.fff")
        date = (found["before"] or "") + re.sub(r"^\s*[APap]\.?[Mm]\.?", "", found["after"])
        clock_s = _clock(found)
        if clock_s < before_s and (before_s - clock_s > _DAY_S / 2) and (date != before_date or not date.strip()):
            days += 1
        elif number and date != before_date:
            raise InputError(path, f"line {first + number + 1}: {stamp!r} has a gap of days before it", _CHECK)
        seconds[number], before_s, before_date = days * _DAY_S + clock_s, clock_s, date
    relative: np.ndarray = seconds - seconds[0]
    return relative


def _clock(found: re.Match[str]) -> float:
    hours = int(found["h"] or 0)
    half = re.match(r"\s*([APap])\.?[Mm]", found["after"])
    if half is not None:
        hours = hours % 12 + 12 * (half[1] in "Pp")
    # In whole nanoseconds, so that decimal fractions stay what they are.
    fraction = (found["fraction"] or "").ljust(9, "0")[:9]
    return hours * 3600 + int(found["m"]) * 60 + int(found["s"]) + int(fraction) / 1e9


def number_seconds(path: Path, name: str, values: np.ndarray, unit: str, rate_hz: float | None) -> np.ndarray:
    """Seconds from the first sample, of times that are numbers.

    Args:
        path: For messages.
        name: The column.
        values: float64 (samples,).
        unit: Of the numbers; without a known one that which gives a rate of 10 to 10,000 Hz, or the given rate.
        rate_hz: The given rate.

    Raises:
        InputError: no unit fits.
    """
    # In `time_s` the first sample is at 0, as the table of a folder counts from there.
    steps = values - (0.0 if name == TIME_COLUMN else values[0])
    known = _UNITS_S.get(unit.casefold().replace("µ", "μ"))
    if known is not None or len(values) < 2:
        return steps * (known or 1.0)
    fitting = [scale for scale in (1.0, 1e-3, 1e-6, 1e-9) if _fits(steps[-1] * scale, len(values), rate_hz)]
    if not fitting:
        wanted = f"{rate_hz:g} Hz" if rate_hz else f"{_LEAST_HZ:g} to {_MOST_HZ:g} Hz"
        problem = f"{name!r} looks like a time, and in no unit gives {wanted}"
        raise InputError(path, problem, f"name its unit, as in {TIME_COLUMN}, or {_RATE}")
    return steps * fitting[0]


def _fits(duration_s: float, samples: int, rate_hz: float | None) -> bool:
    if not duration_s > 0:
        return False
    found_hz = (samples - 1) / duration_s
    if rate_hz is None:
        return _LEAST_HZ <= found_hz < _MOST_HZ
    # One packet of many more or less.
    return 0.5 < found_hz / rate_hz < 2


def rate_of(path: Path, name: str, time_s: np.ndarray, rate_hz: float | None, first: int) -> float:
    """The sampling rate of times, compared with the given one.

    A time may be repeated for the samples of one packet, and be rounded.

    Args:
        path: For messages.
        name: The column of the times.
        time_s: float64 (samples,), seconds from the first sample.
        rate_hz: The given rate; None: the one that the times have.
        first: Lines before the first sample.

    Raises:
        InputError: times that go back, have gaps or steps of several sizes, or are not those of the rate.
    """
    backwards = np.flatnonzero(~(np.diff(time_s) >= 0))
    if backwards.size:
        raise InputError(path, f"line {first + int(backwards[0]) + 2}: {name!r} is missing or goes back", _CHECK)
    starts = np.flatnonzero(np.diff(time_s, prepend=-np.inf) != 0)
    stamps_s, packet = time_s[starts], len(time_s) / len(starts)
    if len(starts) < 2:
        raise InputError(path, f"{name!r} is the same time in all lines", "give the rate, and take the column out")
    quantum_s, is_single = _resolution(stamps_s), packet < 1.01
    _check_steps(path, name, starts, stamps_s, packet, quantum_s, first)
    # A recording may begin within a packet, or within the second that is shown.
    base = 0 if is_single or len(starts) < 3 else 1
    samples, seconds = starts - starts[base], stamps_s - (stamps_s[base] if base else 0.0)
    average_hz = samples[-1] / (stamps_s[-1] - stamps_s[base])
    if rate_hz and not abs(average_hz / rate_hz - 1) <= _MOST_RATE_ERROR + 2 / samples[-1]:
        raise InputError(path, f"{name!r} gives {average_hz:.6g} Hz, not {rate_hz:g} Hz", _CHECK)
    found_hz = rate_hz or _rounded(average_hz, samples, seconds, quantum_s)
    # At the first sample of a packet; of rounded times at up to a sample.
    most = (0.5 if is_single else max(1.0, packet / 2)) + quantum_s * found_hz / 2
    off = (seconds * found_hz - samples)[base:]
    # The first of times that are not exact is no better than others, but `time_s` begins at 0.
    wrong = np.flatnonzero(~(np.abs(off - (0.0 if name == TIME_COLUMN else np.median(off))) <= most))
    if wrong.size or not stamps_s[0] * found_hz <= most:
        place = int(wrong[0]) + base if wrong.size else 0
        sample, given_s = int(starts[place]), float(stamps_s[place])
        problem = f"{name} is {given_s:g} at sample {sample}, where {found_hz:g} Hz gives {sample / found_hz:g}"
        raise InputError(path, f"line {first + sample + 1}: {problem}", _CHECK)
    return float(found_hz)


def _check_steps(
    path: Path, name: str, starts: np.ndarray, stamps_s: np.ndarray, packet: float, quantum_s: float, first: int
) -> None:
    """Refuse a gap, at its own line."""
    steps_s = np.diff(stamps_s)
    usual_hz = np.median(np.diff(starts)) / np.median(steps_s)
    missing = steps_s * usual_hz - np.diff(starts)
    # The first packet may be a part of one.
    missing[0] = min(missing[0], 0.0) if packet >= 1.01 else missing[0]
    wrong = np.flatnonzero(missing > max(1.0, packet / 2) + quantum_s * usual_hz)
    if wrong.size:
        sample = int(starts[wrong[0] + 1])
        problem = f"line {first + sample + 1}: {name!r} has a gap of {steps_s[wrong[0]]:.4g} s before it"
        raise InputError(path, problem, _CHECK)


def _resolution(stamps_s: np.ndarray) -> float:
    """The decimal step that the times are rounded to, s; 0 where they are not."""
    shown = stamps_s[:10_000]
    for decimals in range(7):
        scaled = shown * 10.0**decimals
        if np.all(np.abs(scaled - np.rint(scaled)) < 1e-3):
            return 10.0**-decimals
    return 0.0


def _rounded(rate_hz: float, starts: np.ndarray, stamps_s: np.ndarray, quantum_s: float) -> float:
    """The rate with as few decimals as the times allow."""
    for decimals in range(4):
        rounded = round(rate_hz, decimals)
        if rounded > 0 and np.all(np.abs(stamps_s - starts / rounded) <= quantum_s * 1.001 + 1e-9):
            return rounded
    return float(rate_hz)
