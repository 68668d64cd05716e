"""ECG windows: the six augmentation steps, decimation to the model's rate, and the fold files.

    shift: zero_fill   window at rate_hz -> shift, zeros where it has left ----.
    shift: rewindow    recording around the event -> window at a drawn start --+
                                                                               |
       .-----------------------------------------------------------------------'
       '-> dropout -> noise -> wander -> filter -> scale -> float32
           -> running median -> every decimate_by-th sample -> fold<k>.h5

A variant draws from its own generator (`siwcc.augment.variant_rng`) in one fixed order:
shift or start; dropout length; dropout start, again while it would cover a visible point; noise fraction;
noise; wander fraction; wander frequency; kind of filter; high-pass edge; low-pass edge; scale. Both
edges are drawn whatever the kind, so that a later draw never depends on an earlier choice but the
start's.

`rewindow` is the shift without the paper's two tells (zeros at the edge that the window has left, and
an earlier event at the first sample). The start is uniform over the whole samples after the previous
counted event, less than a window before this event, and up to it: this event is the first in its
window, always in it, and what stands around it is the recording. Zeros stand only where the
recording has ended or has no value. Variant 0 takes its start from its own generator, too, and no other step: windows
centred as in the samples file all have the event at one time, which the training mean would hit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from siwcc.augment import Stored, fold_rows, gaps_s, join_rows, read_folds, variant_rng
from siwcc.config import EcgAugmentation, EcgDataset, EcgTask, parse_protocol
from siwcc.errors import InputError
from siwcc.shards import Shard, read_attributes, read_shard, shard_writer
from siwcc.tasks import TaskSpec
from siwcc.tasks.ecg import make_spec

if TYPE_CHECKING:
    import torch

FilterKind = Literal["lowpass", "highpass", "bandpass"]
FILTER_KINDS: tuple[FilterKind, ...] = ("lowpass", "highpass", "bandpass")
_SMALLEST_FOR_POLYNOMIALS = 1e-9
# Rows of one block keep their planes of samples in a small first-level cache.
_ROWS_PER_BLOCK = 16
_SAMPLE_ARRAYS = ("signal", "target", "sample_id", "group", "class", "event_sample", "previous_event", "context_valid")
_FOLD_ARRAYS = ("signal", "target", "sample_id", "group", "class", "variant", "event_visible", "gap_s", "edge_s")


def shift(signal: np.ndarray, shift_samples: int) -> np.ndarray:
    """Step 1: move the signal later (positive) or earlier (negative), zeros where it has left.

    Args:
        signal: (leads, samples), mV.
        shift_samples: Samples at the signal's rate.

    Returns:
        A new array (leads, samples), mV (paper, 2.1.2, step 1).
    """
    samples = signal.shape[-1]
    moved = np.zeros_like(signal)
    if shift_samples >= 0:
        moved[:, shift_samples:] = signal[:, : max(0, samples - shift_samples)]
    else:
        moved[:, : max(0, samples + shift_samples)] = signal[:, -shift_samples:]
    return moved


def shift_event(event_sample: int, shift_samples: int, samples: int) -> tuple[int, bool]:
    """Where the event stands after step 1.

    Args:
        event_sample: Index of the event before the shift.
        shift_samples: Samples, positive to the right.
        samples: Length of the window.

    Returns:
        The index, clipped to the window, and whether the event is still in it. As the authors ran
        it: an event that left on the left has target 0 s.
    """
    moved = event_sample + shift_samples
    return min(max(moved, 0), samples - 1), 0 <= moved < samples


def shift_edges(padded_samples: int, shift_samples: int) -> tuple[int, int]:
    """Zeros at the window's start and end after step 1, in samples.

    Args:
        padded_samples: Zeros that the window has at its end before the shift.
        shift_samples: Samples, positive to the right.
    """
    return max(0, shift_samples), max(0, padded_samples - shift_samples)


def draw_dropout(
    rng: np.random.Generator,
    kept: Sequence[int],
    samples: int,
    length_range_s: tuple[float, float],
    rate_hz: float,
) -> tuple[int, int]:
    """Draw step 2's patch: the length once, the start until the patch leaves every point alone.

    Args:
        rng: The variant's generator.
        kept: Indices of the event, and of its end where that is looked for and visible, after the shift.
        samples: Length of the window; the longest patch must be shorter than half of it, a third for two points.
        length_range_s: Shortest and longest patch, seconds.
        rate_hz: Samples a second.

    Returns:
        Start and length in samples; `start <= sample < start + length` is false for all that are kept.
    """
    length = int(rng.uniform(*length_range_s) * rate_hz)
    while True:
        start = int(rng.integers(0, samples - length))
        if not any(start <= sample < start + length for sample in kept):
            return start, length


def drop_out(signal: np.ndarray, start: int, length: int) -> np.ndarray:
    """Step 2: zero `length` samples of all leads from `start` on (paper, 2.1.2, step 2).

    Args:
        signal: (leads, samples), mV.
        start: First sample of the patch.
        length: Samples of the patch.
    """
    patched = signal.copy()
    patched[:, start : start + length] = 0
    return patched


def add_noise(signal: np.ndarray, std_mv: float, unit_noise: np.ndarray) -> np.ndarray:
    """Step 3: add Gaussian noise, independent per sample and lead (paper, 2.1.2, step 3).

    Args:
        signal: (leads, samples), mV.
        std_mv: Standard deviation of the noise.
        unit_noise: Standard normal numbers of the signal's shape.
    """
    return signal + std_mv * unit_noise


def add_wander(signal: np.ndarray, amplitude_mv: float, frequency_hz: float, rate_hz: float) -> np.ndarray:
    """Step 4: add one sine to all leads, phase zero at the first sample (paper, 2.1.2, step 4).

    Args:
        signal: (leads, samples), mV.
        amplitude_mv: Amplitude of the sine.
        frequency_hz: Its frequency.
        rate_hz: Samples a second.
    """
    time_s = _times_s(signal.shape[-1], rate_hz)
    return signal + amplitude_mv * np.sin(2 * np.pi * frequency_hz * time_s)


@lru_cache
def _times_s(samples: int, rate_hz: float) -> np.ndarray:
    return np.arange(samples) / rate_hz


def filter_band(
    signal: np.ndarray, kind: FilterKind, highpass_hz: float, lowpass_hz: float, order: int, rate_hz: float
) -> np.ndarray:
    """Step 5: Butterworth forwards and backwards, padded as `filtfilt` does by default (paper, 2.1.2, step 5).

    Args:
        signal: (leads, samples), mV.
        kind: One of `FILTER_KINDS`.
        highpass_hz: Lower edge; unused by `lowpass`.
        lowpass_hz: Upper edge; unused by `highpass`.
        order: Order of the Butterworth prototype.
        rate_hz: Samples a second.

    Returns:
        (leads, samples), mV. Numerator and denominator as the authors ran it, or second-order
        sections where an edge so near 0 or half the rate would cost the former their precision.
    """
    band_hz = (highpass_hz, lowpass_hz)
    edges_hz = np.asarray({"lowpass": lowpass_hz, "highpass": highpass_hz, "bandpass": band_hz}[kind])
    nearest = float(np.minimum(edges_hz, rate_hz / 2 - edges_hz).min()) / rate_hz
    # Polynomials lose a factor of about nearest ** -order of float64's 1e16, but take half the time.
    if nearest**order > _SMALLEST_FOR_POLYNOMIALS:
        return filter_both_ways(*design_butterworth(order, kind, highpass_hz, lowpass_hz, rate_hz), signal)
    # Training imports this module and filters nothing; scipy.signal alone takes 0.6 s to import.
    from scipy.signal import butter, sosfiltfilt

    sections = butter(order, edges_hz, kind, output="sos", fs=rate_hz)
    return np.asarray(sosfiltfilt(sections, signal, padlen=3 * (order * edges_hz.size + 1)))


def design_butterworth(
    order: int, kind: FilterKind, highpass_hz: float, lowpass_hz: float, rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator as `scipy.signal.butter` gives them, in a fifth of its time.

    The poles of the analog prototype are moved to the band and mapped to the z-plane by the bilinear
    transform, with the edges warped for it: the steps that scipy documents as `buttap`, `lp2lp_zpk`,
    `lp2hp_zpk`, `lp2bp_zpk` and `bilinear_zpk`, in its order, so that both round alike.

    Args:
        order: Order of the prototype; a band-pass has twice as many poles.
        kind: One of `FILTER_KINDS`.
        highpass_hz: Lower edge; unused by `lowpass`.
        lowpass_hz: Upper edge; unused by `highpass`.
        rate_hz: Samples a second; the edges lie below half of it.

    Returns:
        float64 coefficients of falling powers of z; the denominator's first is 1.
    """
    low, high = (4 * float(np.tan(np.pi * (edge_hz / (rate_hz / 2)) / 2)) for edge_hz in (highpass_hz, lowpass_hz))
    prototype, zeros = _prototype_poles(order), 4.0**order
    if kind == "lowpass":
        poles, gain, zeros = high * prototype, high**order, 1.0
    elif kind == "highpass":
        poles, gain = low / prototype, float((1 / np.prod(-prototype)).real)
    else:
        half = prototype * (high - low) / 2
        offset = np.sqrt(half**2 - float(np.sqrt(low * high)) ** 2)
        poles, gain = np.concatenate([half + offset, half - offset]), (high - low) ** order
    gain *= float((zeros / np.prod(4 - poles)).real)
    return gain * _numerator(order, kind), np.poly((4 + poles) / (4 - poles)).real


@lru_cache
def _prototype_poles(order: int) -> np.ndarray:
    return np.asarray(-np.exp(1j * np.pi * np.arange(1 - order, order, 2, dtype=np.float64) / (2 * order)))


@lru_cache
def _numerator(order: int, kind: FilterKind) -> np.ndarray:
    zeros = {"lowpass": [-1.0], "highpass": [1.0], "bandpass": [1.0, -1.0]}[kind]
    return np.poly(zeros * order)


def filter_both_ways(numerator: np.ndarray, denominator: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """What `scipy.signal.filtfilt` does by default, without its checks, which take a fifth of its time.

    Args:
        numerator: float64 (taps,).
        denominator: float64 (taps,); the first is 1.
        signal: float64 (leads, samples), more than 3 x taps samples.

    Returns:
        float64 (leads, samples) in the signal's unit.
    """
    from scipy.signal import lfilter

    edge = 3 * len(denominator)
    assert signal.shape[-1] > edge, "the signal is too short to be padded as filtfilt does"
    before = 2 * signal[:, :1] - signal[:, edge:0:-1]
    after = 2 * signal[:, -1:] - signal[:, -2 : -edge - 2 : -1]
    extended = np.concatenate([before, signal, after], axis=1)
    # The filter's state in a constant signal of 1, so that neither run starts with a jump.
    states = len(denominator) - 1
    system = np.eye(states) - np.eye(states, k=1)
    system[:, 0] += denominator[1:]
    steady = np.linalg.solve(system, numerator[1:] - denominator[1:] * numerator[0])
    forwards, _ = lfilter(numerator, denominator, extended, zi=steady * extended[:, :1])
    backwards, _ = lfilter(numerator, denominator, forwards[:, ::-1], zi=steady * forwards[:, -1:])
    return np.asarray(backwards[:, ::-1][:, edge:-edge])


def scale(signal: np.ndarray, factor: float) -> np.ndarray:
    """Step 6: multiply all leads by one factor (paper, 2.1.2, step 6).

    Args:
        signal: (leads, samples), mV.
        factor: Without unit.
    """
    return signal * factor


def distort(
    signal: np.ndarray, kept: Sequence[int], rng: np.random.Generator, settings: EcgAugmentation, rate_hz: float
) -> np.ndarray:
    """Steps 2 to 6 in the paper's order (2.1.2), with the draws in the order of the module's docstring.

    Noise and wander are fractions of the largest absolute value of all leads after steps 1 and 2.

    Args:
        signal: float64 (leads, samples), mV; left as it is.
        kept: Indices of the points, which no dropout covers.
        rng: The variant's own generator, step 1 drawn.
        settings: Ranges of the draws.
        rate_hz: Samples a second.

    Returns:
        float64 (leads, samples), mV.
    """
    start, length = draw_dropout(rng, kept, signal.shape[-1], settings.dropout_s, rate_hz)
    signal = drop_out(signal, start, length)
    peak_mv = max(float(signal.max()), -float(signal.min()))
    noise_mv = peak_mv * rng.uniform(*settings.noise_fraction)
    signal = add_noise(signal, noise_mv, rng.standard_normal(signal.shape))
    wander_mv = peak_mv * rng.uniform(*settings.wander_fraction)
    signal = add_wander(signal, wander_mv, rng.uniform(*settings.wander_hz), rate_hz)
    kind = FILTER_KINDS[int(rng.integers(len(FILTER_KINDS)))]
    highpass_hz, lowpass_hz = rng.uniform(*settings.highpass_hz), rng.uniform(*settings.lowpass_hz)
    signal = filter_band(signal, kind, highpass_hz, lowpass_hz, settings.filter_order, rate_hz)
    return scale(signal, rng.uniform(*settings.scale))


def decimate(signal: np.ndarray, median_samples: int, by: int) -> np.ndarray:
    """Running median of the float32 signal, then every `by`-th sample.

    Equal to the bit to `scipy.signal.medfilt(channel, median_samples)[::by]` of each channel, zeros
    beyond either end included, but only the medians that are kept are computed.

    Args:
        signal: (..., samples), finite.
        median_samples: Odd number of samples the median is taken over.
        by: Source samples for one model sample.

    Returns:
        float32 (..., ceil(samples / by)) in the signal's unit.
    """
    half, samples = median_samples // 2, signal.shape[-1]
    rows = signal.reshape(-1, samples)
    kept = -(-samples // by)
    medians = np.empty((len(rows), kept), dtype=np.float32)
    for first in range(0, len(rows), _ROWS_PER_BLOCK):
        block = rows[first : first + _ROWS_PER_BLOCK]
        padded = np.zeros((len(block), samples + 2 * half), dtype=np.float32)
        padded[:, half : half + samples] = block
        planes = [padded[:, start : start + by * (kept - 1) + 1 : by] for start in range(median_samples)]
        for low, high, keep_low, keep_high in median_network(median_samples):
            one, other = planes[low], planes[high]
            if keep_low:
                planes[low] = np.minimum(one, other)
            if keep_high:
                planes[high] = np.maximum(one, other)
        medians[first : first + _ROWS_PER_BLOCK] = planes[half]
    return medians.reshape(*signal.shape[:-1], kept)


@lru_cache
def median_network(values: int) -> tuple[tuple[int, int, bool, bool], ...]:
    """Comparisons that bring the median of so many values to the middle place.

    Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M), without
    what the median does not depend on.

    Args:
        values: Odd number of values.

    Returns:
        Steps (low, high, keep_low, keep_high): the smaller of the values at these two places goes to
        `low`, the larger to `high`; a result that is not kept is not used again.
    """
    needed = {values // 2}
    steps = []
    for low, high in reversed(_merge_exchange(values)):
        if low in needed or high in needed:
            steps.append((low, high, low in needed, high in needed))
            needed |= {low, high}
    return tuple(reversed(steps))


def _merge_exchange(values: int) -> list[tuple[int, int]]:
    largest = 1 << max(values - 1, 1).bit_length() - 1
    pairs, power = [], largest
    while power:
        distance, remainder, merged = power, 0, largest
        while True:
            pairs += [(low, low + distance) for low in range(values - distance) if low & power == remainder]
            if merged == power:
                break
            distance, remainder, merged = merged - power, power, merged // 2
        power //= 2
    return pairs


def weighted_channel(signal: np.ndarray, window_s: float) -> np.ndarray:
    """Coordinate times the mean of the leads, at the signal's own rate (paper, 2.2.2).

    Args:
        signal: float64 (leads, samples), mV.
        window_s: Coordinate of the last sample, seconds.

    Returns:
        float64 (samples,), mV s.
    """
    coordinate_s = np.linspace(0, window_s, signal.shape[-1])
    weighted: np.ndarray = coordinate_s * signal.mean(axis=0)
    return weighted


@dataclass(frozen=True)
class EcgSample:
    """One window of the samples file, as its variants need it; samples are at the source's rate.

    Attributes:
        sample_id: The window's id.
        signal: float32 (leads, samples), mV.
        target_s: Time of the event from the window's start, a whole number of samples.
        event_sample: Index of the event in its record.
        previous_event: Index of the counted event before it, -1 if there is none.
        context: float32 (leads, 2 x samples), mV: the recording from a window before the event on;
            None when no variant is cut out of it.
        context_valid: bool (2 x samples,), False where the recording has no value.
        end_after: Samples from the event to its end; None where the end is not looked for or never comes.
    """

    sample_id: str
    signal: np.ndarray
    target_s: float
    event_sample: int
    previous_event: int
    context: np.ndarray | None
    context_valid: np.ndarray
    end_after: int | None = None

    def gap_s(self, rate_hz: float) -> float:
        """Seconds since the counted event before this one; infinite if there is none."""
        return float(gaps_s(np.asarray(self.event_sample), np.asarray(self.previous_event), rate_hz))

    def padded_samples(self, rate_hz: float) -> int:
        """Zeros at the end of the samples file's window, where the recording ends or the window is cut short.

        A window that would start before its record starts with it, and ends half a window after the
        event all the same (see `siwcc.datasets.signals`).
        """
        samples: int = self.signal.shape[-1]
        event, half = round(self.target_s * rate_hz), samples // 2
        is_close = self.previous_event >= 0 and self.event_sample - self.previous_event < half
        shown = samples if is_close else min(samples, event + samples - half)
        start = samples - event
        return samples - int(np.count_nonzero(self.context_valid[start : start + shown]))


@dataclass(frozen=True)
class PlacedWindow:
    """A window after step 1.

    Attributes:
        signal: float64 (leads, samples), mV.
        event_sample: Index of the event in it.
        event_visible: False when the shift pushed the event out of the window.
        edge_samples: Samples at its start and at its end that are no recording.
        end_sample: Index of the event's end; None where it is not visible.
    """

    signal: np.ndarray
    event_sample: int
    event_visible: bool
    edge_samples: tuple[int, int]
    end_sample: int | None = None

    @property
    def kept(self) -> tuple[int, ...]:
        """What no dropout covers."""
        return (self.event_sample,) if self.end_sample is None else (self.event_sample, self.end_sample)


def shift_window(sample: EcgSample, shift_samples: int, rate_hz: float) -> PlacedWindow:
    """Step 1 as in the paper: the samples file's window, moved, with zeros where it has left.

    Args:
        sample: The window.
        shift_samples: Samples, positive to the right; 0 for the window itself.
        rate_hz: Samples a second.
    """
    samples = sample.signal.shape[-1]
    own_sample = round(sample.target_s * rate_hz)
    event_sample, visible = shift_event(own_sample, shift_samples, samples)
    moved = shift(np.asarray(sample.signal, dtype=np.float64), shift_samples)
    before, after = shift_edges(sample.padded_samples(rate_hz), shift_samples)
    end_sample = _visible_end(sample, own_sample + shift_samples, (before, samples - after))
    return PlacedWindow(moved, event_sample, visible, (before, after), end_sample)


def _visible_end(sample: EcgSample, event_sample: int, recorded: tuple[int, int]) -> int | None:
    """Index of the event's end, if that stands where the window shows the recording: from, and up to before."""
    end_sample = None if sample.end_after is None else event_sample + sample.end_after
    return end_sample if end_sample is not None and recorded[0] <= end_sample < recorded[1] else None


def draw_event(rng: np.random.Generator, event_sample: int, previous_event: int, samples: int) -> int:
    """Draw where the event stands in a window cut anew, which fixes the window's start.

    The start is uniform over the whole samples in (max(previous event, event - window), event]. With
    no event before (-1) it is not before the record's first sample either.

    Args:
        rng: The variant's generator.
        event_sample: Index of the event in its record.
        previous_event: Index of the counted event before it, -1 if there is none.
        samples: Length of the window.

    Returns:
        Samples from the window's start to the event, 0 ... samples - 1.
    """
    return int(rng.integers(min(event_sample - previous_event, samples)))


def cut_window(sample: EcgSample, event_sample: int) -> PlacedWindow:
    """Step 1 without a tell: the recording as it is, with the event at `event_sample` of the window.

    Args:
        sample: The window, with its context.
        event_sample: 0 ... samples - 1.
    """
    assert sample.context is not None, "read the context for `rewindow`"
    samples = sample.signal.shape[-1]
    window = slice(samples - event_sample, 2 * samples - event_sample)
    cut = np.asarray(sample.context[:, window], dtype=np.float64)
    valid = sample.context_valid[window]
    before, after = (samples, 0) if not valid.any() else (int(valid.argmax()), int(valid[::-1].argmax()))
    end_sample = _visible_end(sample, event_sample, (before, samples - after))
    return PlacedWindow(cut, event_sample, True, (before, after), end_sample)


@dataclass(frozen=True)
class EcgVariants:
    """Rows of a fold file, some variants of one window.

    Attributes:
        signal: float32 (variants, leads, model samples), mV.
        weighted: float32 (variants, model samples), mV s; None when the encoding layer makes it.
        target_s: float64 (variants,), time of the event from the window's start, seconds.
        event_visible: bool (variants,), False where the shift pushed the event out of the window.
        edge_s: float64 (variants, 2), seconds at the window's start and end that are no recording.
        end_s: float64 (variants,), time of the event's end from the window's start, seconds; NaN where it is not
            visible.
    """

    signal: np.ndarray
    weighted: np.ndarray | None
    target_s: np.ndarray
    event_visible: np.ndarray
    edge_s: np.ndarray
    end_s: np.ndarray

    def target(self, points: Sequence[str]) -> np.ndarray:
        """float64 (variants, points), seconds; of several points NaN where one is not visible.

        A single one that the shift pushed out has the time of the window's edge, as the authors ran it.
        """
        if "end" not in points:
            return self.target_s[:, np.newaxis]
        return np.stack([np.where(self.event_visible, self.target_s, np.nan), self.end_s], axis=1)


def make_variants(
    sample: EcgSample,
    variants: Sequence[int],
    settings: EcgTask,
    dataset: EcgDataset,
    seed: int,
    distorted: bool = True,
) -> EcgVariants:
    """Variants of one window; each is the same whatever else is made or not made.

    Args:
        sample: The window; with its context for `rewindow`.
        variants: 0 for the window without steps 2 to 6, 1 ... for augmented ones.
        settings: The task's section of the config.
        dataset: The data set's section of the config.
        seed: The study's seed.
        distorted: With steps 2 to 6.
    """
    rate_hz, weighs = dataset.rate_hz, settings.weighted_at == "source_rate"
    made = np.empty((len(variants), *sample.signal.shape), dtype=np.float32)
    channels = np.empty((len(variants) if weighs else 0, made.shape[-1]), dtype=np.float32)
    placed = []
    for row, variant in enumerate(variants):
        rng = variant_rng(seed, sample.sample_id, variant)
        window = _place(sample, variant, rng, settings, rate_hz)
        placed.append(window)
        signal = window.signal
        if variant > 0 and distorted:
            signal = distort(signal, window.kept, rng, settings.augmentation, rate_hz)
        made[row] = signal
        if weighs:
            channels[row] = weighted_channel(signal, dataset.window_s)
    return EcgVariants(
        signal=decimate(made, settings.median_samples, settings.decimate_by),
        weighted=decimate(channels, settings.median_samples, settings.decimate_by) if weighs else None,
        target_s=np.array([window.event_sample for window in placed]) / rate_hz,
        event_visible=np.array([window.event_visible for window in placed]),
        edge_s=np.array([window.edge_samples for window in placed]) / rate_hz,
        end_s=np.array([np.nan if window.end_sample is None else window.end_sample for window in placed]) / rate_hz,
    )


def _place(
    sample: EcgSample, variant: int, rng: np.random.Generator, settings: EcgTask, rate_hz: float
) -> PlacedWindow:
    if settings.shift == "rewindow":
        event_sample = draw_event(rng, sample.event_sample, sample.previous_event, sample.signal.shape[-1])
        return cut_window(sample, event_sample)
    shift_s = settings.augmentation.shift_s
    shift_samples = int(rng.uniform(-shift_s, shift_s) * rate_hz) if variant > 0 else 0
    return shift_window(sample, shift_samples, rate_hz)


def write_fold(
    samples_path: Path,
    sample_ids: Sequence[str],
    settings: EcgTask,
    dataset: EcgDataset,
    seed: int,
    fold: int,
    path: Path,
) -> None:
    """Write one fold file: variant 0 and 1 ... `variants_per_sample` of every window in it.

    Rows are sorted by sample id, then by variant: `signal` float32 (leads, model samples) in mV,
    `target` float64 (1,) in seconds, `sample_id`, `group`, `class`, `variant` int32, `event_visible`
    uint8, `gap_s` float64, seconds since the counted event before (infinite if there is none), `edge_s`
    float64 (2,), seconds at the window's start and end that are no recording, and `weighted` float32
    (model samples,) when `weighted_at` is `source_rate`. Of several points `target` is (points,), NaN where one is
    not visible, and `visible` uint8 (points,) says so.

    Args:
        samples_path: The samples file.
        sample_ids: The fold's windows, in any order.
        settings: The task's section of the config.
        dataset: The data set's section of the config.
        seed: The study's seed.
        fold: The fold's number, from 1.
        path: The fold file.

    Raises:
        InputError: the samples file is damaged, of another shape or lacks a window.
    """
    shard = read_windows(samples_path, settings, dataset)
    attributes = {
        "task": "ecg",
        "dataset": shard.attributes["dataset"],
        "fold": fold,
        "seed": seed,
        "spec": make_spec(settings, dataset).to_json(),
        "samples_digest": shard.digest,
        "dataset_protocol": dataset.protocol(),
        "protocol": settings.protocol(),
    }
    rows = rows_of(shard, sample_ids)
    # Noise does not compress: it takes 15 % more room so, and a tenth of the time to write and read.
    with shard_writer(path, "fold", attributes, uncompressed=("signal", "weighted")) as writer:
        for row in rows:
            numbers = range(settings.variants_per_sample + 1)
            writer.extend(variant_rows(shard, row, sample_of(shard, row), numbers, settings, dataset, seed))


def read_windows(path: Path, settings: EcgTask, dataset: EcgDataset) -> Shard:
    """A samples file, with what variants are cut out of.

    Raises:
        InputError: it is damaged, or of another task or shape.
    """
    names = (
        *_SAMPLE_ARRAYS,
        *(("context",) if settings.shift == "rewindow" else ()),
        *(("end_sample",) if "end" in settings.points else ()),
    )
    shard = read_shard(path, "samples", names)
    _check_windows(shard, dataset)
    return shard


def _check_windows(shard: Shard, dataset: EcgDataset) -> None:
    if shard.attributes.get("task") != "ecg":
        raise InputError(shard.path, f"holds samples for the task {shard.attributes.get('task')!r}, not 'ecg'")
    expected = (len(dataset.leads), round(dataset.window_s * dataset.rate_hz))
    found = shard.arrays["signal"].shape[1:]
    rate_hz = shard.attributes.get("rate_hz")
    if found != expected or rate_hz != dataset.rate_hz:
        raise InputError(
            shard.path,
            f"signal has windows of {found} at {rate_hz} Hz, the config asks for {expected} at {dataset.rate_hz} Hz",
            "give the changed data set another name under `datasets`, or delete the samples file",
        )
    target_s = shard.arrays["target"]
    outside = np.flatnonzero(~((target_s >= 0) & (target_s < dataset.window_s)).all(axis=1))
    if outside.size:
        sample_id = shard.arrays["sample_id"][outside[0]]
        raise InputError(shard.path, f"target of {sample_id} is outside its window", "delete it and run again")


def rows_of(shard: Shard, sample_ids: Sequence[str]) -> list[int]:
    """Places of some windows in a samples file, in the order of their ids.

    Raises:
        InputError: it lacks one.
    """
    row_of = {str(sample_id): row for row, sample_id in enumerate(shard.arrays["sample_id"])}
    missing = sorted(set(sample_ids) - set(row_of))
    if missing:
        raise InputError(
            shard.path, f"has no sample {missing[0]} ({len(missing)} missing)", "delete folds.csv and run again"
        )
    return [row_of[sample_id] for sample_id in sorted(sample_ids)]


def variant_rows(
    shard: Shard,
    row: int,
    sample: EcgSample,
    numbers: Sequence[int],
    settings: EcgTask,
    dataset: EcgDataset,
    seed: int,
    distorted: bool = True,
) -> dict[str, np.ndarray]:
    """Rows of a fold file, see `write_fold`: some variants of one window.

    Args:
        shard: The samples file.
        row: The window's place in it.
        sample: The window itself, `sample_of(shard, row)`, or one that differs from it.
        numbers: The variants.
        settings: The task's section of the config.
        dataset: The data set's section of the config.
        seed: The study's seed.
        distorted: Variants from 1 on with steps 2 to 6.
    """
    made = make_variants(sample, numbers, settings, dataset, seed, distorted)
    rows = {
        "signal": made.signal,
        "target": made.target(settings.points),
        "variant": np.array(numbers, dtype=np.int32),
        "event_visible": made.event_visible.astype(np.uint8),
        "gap_s": np.full(len(numbers), sample.gap_s(dataset.rate_hz)),
        "edge_s": made.edge_s,
    }
    if len(settings.points) > 1:
        rows["visible"] = np.isfinite(rows["target"]).astype(np.uint8)
    for name in ("sample_id", "group", "class"):
        rows[name] = np.full(len(numbers), shard.arrays[name][row], dtype=object)
    return rows if made.weighted is None else rows | {"weighted": made.weighted}


def sample_of(shard: Shard, row: int) -> EcgSample:
    """A window of a samples file, with its context where that was read."""
    arrays = shard.arrays
    return EcgSample(
        sample_id=str(arrays["sample_id"][row]),
        signal=arrays["signal"][row],
        target_s=float(arrays["target"][row, 0]),
        event_sample=int(arrays["event_sample"][row]),
        previous_event=int(arrays["previous_event"][row]),
        context=arrays["context"][row] if "context" in arrays else None,
        context_valid=arrays["context_valid"][row],
        end_after=_end_after(arrays, row) if "end_sample" in arrays else None,
    )


def _end_after(arrays: Mapping[str, np.ndarray], row: int) -> int | None:
    end_sample = int(arrays["end_sample"][row])
    return None if end_sample < 0 else end_sample - int(arrays["event_sample"][row])


@dataclass
class EcgInputs:
    """Rows of fold files in memory; see `siwcc.augment.Inputs`.

    Attributes:
        spec: The task's shapes and units.
        sample_id: (rows,) strings.
        group: (rows,) strings.
        label: (rows,) strings, the rhythm label.
        variant: (rows,) int32.
        target: float32 (rows, points), seconds; of several points NaN where one is not visible.
        signal: float32 (rows, leads, model samples), mV.
        weighted: float32 (rows, model samples), mV s; None when the encoding layer makes it.
        gap_s: float64 (rows,), seconds since the counted event before; infinite if there is none.
        edge_s: float64 (rows, 2), seconds at the window's start and end that are no recording.
    """

    spec: TaskSpec
    sample_id: np.ndarray
    group: np.ndarray
    label: np.ndarray
    variant: np.ndarray
    target: np.ndarray
    signal: np.ndarray
    weighted: np.ndarray | None
    gap_s: np.ndarray
    edge_s: np.ndarray

    def batch(self, rows: np.ndarray, encoding: str) -> torch.Tensor:
        """Signals of these rows, with the stored weighted channel appended where there is one.

        Args:
            rows: (batch,) row numbers.
            encoding: Name of the study's encoding.

        Returns:
            float32 (batch, channels, model samples); channels as `layer_encoding` says.
        """
        # Writing folds needs no torch, whose import takes longer than the writing.
        import torch

        signal = self.signal[rows]
        if self.weighted is not None and encoding == "weighted":
            signal = np.concatenate([signal, self.weighted[rows, np.newaxis]], axis=1)
        return torch.from_numpy(signal)

    def source(self, encoding: str) -> Stored:
        """The signals as `batch` returns them, of all rows."""
        if self.weighted is not None and encoding == "weighted":
            return Stored(np.concatenate([self.signal, self.weighted[:, np.newaxis]], axis=1))
        return Stored(self.signal)

    def layer_encoding(self, encoding: str) -> tuple[str, int]:
        """The network's first layer: its encoding's name and the channels that `batch` returns."""
        if self.weighted is not None and encoding == "weighted":
            return "none", self.spec.channels + 1
        return encoding, self.spec.channels


@dataclass(frozen=True)
class EcgSource:
    """What the fold files of a study were made from; see `siwcc.augment.Source`.

    Attributes:
        spec: The task's shapes and units.
        settings, dataset: The task's and the data set's section that the folds were made with.
        samples: The samples file.
    """

    spec: TaskSpec
    settings: EcgTask
    dataset: EcgDataset
    samples: Shard

    def moved(self, sample_id: np.ndarray, variant: np.ndarray, seed: int) -> EcgInputs:
        """The given variants of the given windows, in that order, without steps 2 to 6."""
        names, of_row = np.unique(sample_id, return_inverse=True)
        by_sample = np.argsort(of_row, kind="stable")
        of_each = np.split(by_sample, np.flatnonzero(np.diff(of_row[by_sample])) + 1)
        parts = [
            variant_rows(
                self.samples,
                place,
                sample_of(self.samples, place),
                variant[rows].tolist(),
                self.settings,
                self.dataset,
                seed,
                distorted=False,
            )
            for place, rows in zip(rows_of(self.samples, names.tolist()), of_each, strict=True)
        ]
        back = np.argsort(by_sample, kind="stable")
        return inputs_of(self.spec, {name: rows[back] for name, rows in join_rows(parts, parts[0]).items()})


def open_source(fold_paths: Sequence[Path], samples_path: Path) -> EcgSource:
    """Read what fold files were made from, as they say it.

    Args:
        fold_paths: Files that `open_inputs` takes, and has read.
        samples_path: The samples file that they were made from.

    Raises:
        InputError: a damaged file, or samples that the folds were not made from.
    """
    attributes = read_attributes(fold_paths[0], "fold")
    settings = EcgTask.model_validate(json.loads(attributes["protocol"]))
    dataset = parse_protocol(json.loads(attributes["dataset_protocol"]))
    assert isinstance(dataset, EcgDataset), "the fold is of the task"
    samples = read_windows(samples_path, settings, dataset)
    if samples.digest != attributes["samples_digest"]:
        raise InputError(samples_path, f"changed since {fold_paths[0]} was made from it", "delete that and run again")
    return EcgSource(TaskSpec.from_json(attributes["spec"]), settings, dataset, samples)


def open_inputs(fold_paths: Sequence[Path], samples_path: Path, augmented_only: bool) -> EcgInputs:
    """Read fold files into memory.

    Args:
        fold_paths: Files named `fold<k>.h5`, at least one.
        samples_path: Not read: the folds hold the signals.
        augmented_only: Leave out variant 0 (training).

    Raises:
        InputError: as `siwcc.augment.read_folds`.
    """
    shards = list(read_folds(fold_paths, "ecg", _FOLD_ARRAYS))
    names = (name for name in (*_FOLD_ARRAYS, "weighted") if name in shards[0].arrays)
    return inputs_of(TaskSpec.from_json(shards[0].attributes["spec"]), fold_rows(shards, names, augmented_only))


def inputs_of(spec: TaskSpec, rows: Mapping[str, np.ndarray]) -> EcgInputs:
    """Rows as they stand in fold files, ready for a network.

    Args:
        spec: The task's shapes and units.
        rows: The arrays of fold files, see `write_fold`.
    """
    return EcgInputs(
        spec=spec,
        sample_id=rows["sample_id"],
        group=rows["group"],
        label=rows["class"],
        variant=rows["variant"],
        target=rows["target"].astype(np.float32),
        signal=rows["signal"],
        weighted=rows.get("weighted"),
        gap_s=rows["gap_s"],
        edge_s=rows["edge_s"],
    )
