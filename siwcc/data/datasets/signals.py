"""What the signal sets share: recordings at one rate, windows around events, samples cut out of them.

The target is the event's time in its window (paper, section 2.1). Events, windows and targets are worked
out in whole samples at the section's `rate_hz`:

    centred        [ half | half ]     event - half ... event + half
    close events   [gap|         ]     gap < half since the counted event before it: the window
                                       starts at that earlier event

What such a window lacks at the recording's start or end is zero at the window's end.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from math import ceil
from pathlib import Path

import numpy as np

from siwcc.config import SignalDataset
from siwcc.data.datasets.interface import Excluded, Sample
from siwcc.io.errors import InputError

_MAX_UPSAMPLING = 10
_MAX_DOWNSAMPLING = 1000
_MAX_RATIO_PART = 1000
# Of `scipy.signal.resample_poly`.
_HALF_TAPS = 10
_KAISER_BETA = 5.0
# Of samples that wait for their turn, where ids do not follow their recordings.
_MAX_WAITING_BYTES = 1 << 30

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """Leads that were recorded together.

    Attributes:
        name: Unique in its set.
        source_hz: The rate that it was recorded at.
        ratio: Samples at the section's rate for one of its own.
        source_samples: How many it has at its own rate.
        read_mv: Its leads, float64 (leads, `length`), mV at the section's rate; NaN where invalid.
    """

    name: str
    source_hz: float
    ratio: Fraction
    source_samples: int
    read_mv: Callable[[], np.ndarray]

    @property
    def length(self) -> int:
        """Samples at the section's rate, as `resample_poly` counts them."""
        return ceil(self.source_samples * self.ratio)


@dataclass(frozen=True)
class Event:
    """Something that happened at a moment of a recording.

    Attributes:
        sample: Nearest sample at the section's rate.
        label: Its class.
        group: What must not be split over folds.
        sample_id: Empty: `<recording>_<sample, seven digits>`, and `_2`, `_3`, ... for further ones there.
        defect: Why it can have no window; it then does not count for the windows of others.
        end_sample: Where what began with it ends; -1 where the recording does not say.
    """

    sample: int
    label: str
    group: str
    sample_id: str = ""
    defect: str = ""
    end_sample: int = -1


@dataclass(frozen=True)
class Window:
    """Where a sample lies in its recording, in samples at the section's rate."""

    sample_id: str
    recording: Recording
    event: Event
    start: int = 0
    stop: int = 0
    previous_event: int = -1
    defect: str = ""


def resampling_ratio(path: Path, from_hz: float, to_hz: float) -> Fraction:
    """New samples for an old one: exact, or the nearest ratio of numbers up to 1000.

    Raises:
        InputError: the rates are too far apart; names `path`.
    """
    ratio = Fraction(to_hz) / Fraction(from_hz)
    if not Fraction(1, _MAX_DOWNSAMPLING) <= ratio <= _MAX_UPSAMPLING:
        raise InputError(path, f"gives {from_hz:g} Hz as the sampling rate, which cannot be resampled to {to_hz:g} Hz")
    return ratio.limit_denominator(_MAX_RATIO_PART)


def resample(signal: np.ndarray, ratio: Fraction) -> np.ndarray:
    """A signal (leads, samples) at another rate; what is NaN stays so, with the filter's length around it.

    The filter, its zeros and the order of the sums are those of `scipy.signal.resample_poly` with `padtype="edge"`:
    float32 signals are equal to the bit, float64 ones but for rounding. scipy.signal takes 0.8 s to import, as long as
    a day of a recording takes here.
    """
    if ratio == 1:
        return np.ascontiguousarray(signal)
    up, down = ratio.numerator, ratio.denominator
    taps, centre = _antialiasing_taps(up, down)
    taps = taps.astype(signal.dtype) * signal.dtype.type(up)
    samples, longest = signal.shape[1], len(taps) // up
    length = ceil(samples * ratio)
    before, last = longest, ((length - 1) * down + centre) // up
    width = -(-(before + max(last + 1, samples)) // down) * down
    # Repeating the first and last value keeps an offset from ringing at the recording's ends.
    padded = np.pad(signal, ((0, 0), (before, width - before - samples)), mode="edge")
    # Of every `down`-th sample each, side by side in memory.
    planes = np.ascontiguousarray(padded.reshape(len(signal), -1, down).swapaxes(1, 2))
    resampled = np.empty((len(signal), length), dtype=signal.dtype)
    for phase in range(min(up, length)):
        sums = np.zeros_like(resampled[:, phase::up])
        newest, first_tap = divmod(phase * down + centre, up)
        for number, tap in enumerate(taps[first_tap::up][::-1], start=before + newest - longest + 1):
            start, plane = divmod(number, down)
            sums += planes[:, plane, start : start + sums.shape[1]] * tap
        resampled[:, phase::up] = sums
    return resampled


@lru_cache
def _antialiasing_taps(up: int, down: int) -> tuple[np.ndarray, int]:
    """The low-pass of `resample_poly`, a windowed sinc, with zeros to a multiple of `up`; and the place of its middle.

    The zeros before it also are those of `resample_poly`: with them a NaN reaches as far.
    """
    most = max(up, down)
    half = _HALF_TAPS * most
    taps = np.sinc(np.arange(-half, half + 1) / most) * np.kaiser(2 * half + 1, _KAISER_BETA)
    before = down - half % down
    return np.pad(taps / taps.sum(), (before, -(before + len(taps)) % up)), before + half


def nearest_sample(position: Fraction, length: int) -> int:
    """Nearest sample to a position; one inside a recording of `length` samples stays inside."""
    return min(round(position), length - 1) if position < length else ceil(position)


def note_resampling(recordings: Sequence[Recording], rate_hz: float) -> None:
    """Say once how many recordings are resampled."""
    others = [recording for recording in recordings if recording.source_hz != rate_hz]
    if others:
        _logger.warning(
            "%d of %d records are not sampled at %g Hz and are resampled (first: %s, %g Hz)",
            len(others),
            len(recordings),
            rate_hz,
            others[0].name,
            others[0].source_hz,
        )


def window_samples(section: SignalDataset) -> int:
    """Samples of a window."""
    return round(section.window_s * section.rate_hz)


def place_windows(recording: Recording, events: Iterable[Event], section: SignalDataset) -> list[Window]:
    """Windows of a recording's events (paper, section 2.1).

    Args:
        recording: The recording.
        events: In the order of time.
        section: Window and rate.

    Returns:
        A window an event, in the same order; `previous_event` is the counted event before it, -1 if there is
        none. All but the first of several events at one sample have a defect, and so have events with one of
        their own.
    """
    length = window_samples(section)
    half = length // 2
    windows: list[Window] = []
    before, latest, repeats = -1, None, 1
    for event in events:
        repeats = repeats + 1 if event.sample == latest else 1
        latest = event.sample
        own_id = f"{recording.name}_{event.sample:07d}" + (f"_{repeats}" if repeats > 1 else "")
        sample_id = event.sample_id or own_id
        defect = f"a further event ({event.label}) at one sample" if repeats > 1 else event.defect
        if defect:
            windows.append(Window(sample_id, recording, event, defect=defect))
            continue
        is_close = before >= 0 and event.sample - before < half
        start = before if is_close else max(0, event.sample - half)
        stop = before + length if is_close else event.sample - half + length
        windows.append(Window(sample_id, recording, event, start, stop, before))
        before = event.sample
    return windows


def cut_windows(windows: Iterable[Window], section: SignalDataset) -> Iterator[Sample | Excluded]:
    """Cut windows out of their recordings, one of which is in memory at a time.

    Where ids do not follow their recordings, the further samples of one that was read wait for their turn, up to
    about 1 GB; only beyond that is a recording read again.

    A sample has, besides signal (leads, window) and target (1,), `record`, `event_sample`, `window_start`
    (samples at `rate_hz`), `previous_event`, `context` (leads, 2 x window; the event +- `window_s`, mV, zero
    where nothing is known) and `context_valid` (2 x window,; False there); where the section asks for the point
    `end`, also `end_sample`, -1 where that never comes.

    Args:
        windows: Of any recordings.
        section: Window and rate.

    Yields:
        Samples and exclusions, sorted by id. Windows with invalid samples are excluded.
    """
    ordered = sorted(windows, key=lambda window: window.sample_id)
    later: dict[str, list[Window]] = {}
    for window in reversed(ordered):
        later.setdefault(window.recording.name, []).append(window)
    waiting: dict[str, deque[Sample | Excluded]] = {name: deque() for name in later}
    for name, run in groupby(ordered, key=lambda window: window.recording.name):
        together = [later[name].pop() for _ in run]
        ready = min(len(together), len(waiting[name]))
        for _ in range(ready):
            yield waiting[name].popleft()
        if ready == len(together):
            continue
        signal_mv = together[0].recording.read_mv()
        room = max(0, _most_waiting(section) - sum(map(len, waiting.values())))
        waiting[name].extend(_cut_sample(window, signal_mv, section) for window in later[name][: -room - 1 : -1])
        for window in together[ready:]:
            yield _cut_sample(window, signal_mv, section)


def _most_waiting(section: SignalDataset) -> int:
    """How many samples may wait: each holds its window and the context of twice its length, float32."""
    return _MAX_WAITING_BYTES // (window_samples(section) * (3 * 4 * len(section.leads) + 2))


def _cut_sample(window: Window, signal_mv: np.ndarray, section: SignalDataset) -> Sample | Excluded:
    if window.defect:
        return Excluded(window.sample_id, window.defect)
    samples, event = window_samples(section), window.event
    signal = np.zeros((len(signal_mv), samples), dtype=np.float32)
    signal[:, : window.stop - window.start], _ = _cut(signal_mv, window.start, window.stop)
    invalid = int(np.count_nonzero(~np.isfinite(signal).all(axis=0)))
    if invalid:
        return Excluded(window.sample_id, f"{invalid} of {samples} samples in the window are invalid")
    context, inside = _cut(signal_mv, event.sample - samples, event.sample + samples)
    valid = inside & np.isfinite(context).all(axis=0)
    further = {"end_sample": np.int64(event.end_sample)} if "end" in section.points else {}
    return Sample(
        sample_id=window.sample_id,
        group=event.group,
        label=event.label,
        signal=signal,
        target=np.array([(event.sample - window.start) / section.rate_hz]),
        extras={
            "record": window.recording.name,
            "event_sample": np.int64(event.sample),
            "window_start": np.int64(window.start),
            "previous_event": np.int64(window.previous_event),
            "context": np.where(valid, context, np.float32(0)),
            "context_valid": valid,
            **further,
        },
    )


def _cut(signal_mv: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples start ... stop - 1 as float32, zero outside the recording, and which of them are inside."""
    values = np.zeros((len(signal_mv), stop - start), dtype=np.float32)
    inside = np.zeros(stop - start, dtype=bool)
    first, last = max(start, 0), min(stop, signal_mv.shape[1])
    values[:, first - start : last - start] = signal_mv[:, first:last]
    inside[first - start : last - start] = True
    return values, inside
