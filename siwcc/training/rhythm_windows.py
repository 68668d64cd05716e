"""Training windows for a network over the time of a recording: prepared signals, targets and augmentation.

    recording, mV -> model rate, high-pass, running scale -> windows -> pasted stretches -> leads and noise

A window keeps its target under everything that is done to it, except where a short stretch of a malignant rhythm of
the same recording is faded in. As many stretches of other rhythms are faded in, so that a seam is no sign of an onset.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from siwcc.data.augment.filters import design_butterworth, steady_state
from siwcc.data.datasets.interface import Beats, RhythmRecord
from siwcc.data.datasets.signals import resample

__all__ = ["RhythmRecipe", "WindowDrawer", "Windows", "prepare_signal"]

_MAX_RATIO_PART = 1000
_BLOCK_S = 1.0
_FILTER_ORDER = 2
# Half an hour at 50 Hz: up to there a loop takes a tenth of the 0.8 s that scipy.signal takes to import.
_SHORT_SAMPLES = 100_000
# Beyond it a Gaussian is below 2e-8, the rounding of float32 at 1.
_REACH_SIGMAS = 6
# Between beats farther apart some may not be annotated.
_LONGEST_INTERVAL_S = 3.0
_Span = tuple[int, int]


@dataclass(frozen=True)
class RhythmRecipe:
    """Every number of a training; JSON holds it as `asdict` gives it.

    Attributes:
        rate_hz: Sampling rate of the network's input.
        highpass_hz: Corner of the filter that removes the baseline.
        scale_window_s: Time over which the running scale takes a median.
        scale_floor_mv: Smallest scale of a lead.
        clip: Largest absolute value of the prepared signal, in scales.
        width, stem_kernels, stem_strides, kernel, dilations, dropout, asinh: Of `RhythmNetwork`.
        window_s: Length of a training window.
        batches, batch_size: Length of the training.
        learning_rate, weight_decay, warm_up: Largest learning rate of a cosine schedule, decay of the weights (not in
            the loss, Loshchilov and Hutter 2019) and the fraction of the batches with a rising rate.
        ema_decay: Of the mean over the weights of all batches that is kept; 0 keeps the last ones.
        near_onset, near_change: Fractions of the windows around onsets, and around changes between other rhythms.
        balance: A record with n onsets (or seconds) is drawn with weight n ** (1 - balance).
        merge_gap_s: Malignant intervals closer than this are one; the time between has no loss.
        ignored_s: Time to either side of a change without loss of the rhythm's logit.
        onset_sigma_s: Standard deviation of the onset's target; where it is 0 there is no such output.
        onset_weight: Weight of the onset's loss.
        onset_positive: Weight of the onset's target against its absence.
        beat_sigma_s: Standard deviation of a beat's target; where it is 0 there are no outputs for beats.
        beat_weight, beat_positive: As those of the onset, for the beats' loss.
        paste, paste_s, paste_labels, fade_s: Probability of a pasted stretch, its shortest and longest duration, the
            malignant rhythms that it is taken from, and the duration of the fades.
        burst, flat: Probability of a noise burst and of a flat stretch.
        sign, order, turn, silence: Probability of turning a lead round, of another order of the leads, of turning two
            leads in their plane, and of removing one lead.
        noise, wander: Largest noise and baseline wander, in scales.
        gain: Largest factor of the amplitude, up or down.
        speed: Largest factor of the time axis, up or down.
    """

    rate_hz: float = 50.0
    highpass_hz: float = 0.5
    scale_window_s: float = 61.0
    scale_floor_mv: float = 0.1
    clip: float = 20.0
    width: int = 32
    stem_kernels: tuple[int, ...] = (7, 5, 5)
    stem_strides: tuple[int, ...] = (2, 2, 2)
    kernel: int = 3
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    dropout: float = 0.1
    asinh: bool = True
    window_s: float = 60.0
    batches: int = 1000
    batch_size: int = 22
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    warm_up: float = 0.1
    ema_decay: float = 0.99
    near_onset: float = 0.5
    near_change: float = 0.15
    balance: float = 0.5
    merge_gap_s: float = 3.0
    ignored_s: float = 0.2
    onset_sigma_s: float = 0.3
    onset_weight: float = 1.0
    onset_positive: float = 5.0
    beat_sigma_s: float = 0.0
    beat_weight: float = 1.0
    beat_positive: float = 3.0
    paste: float = 0.35
    paste_s: tuple[float, float] = (1.2, 6.0)
    paste_labels: tuple[str, ...] = ("VT", "VFL", "VF", "VFIB")
    fade_s: float = 0.15
    burst: float = 0.15
    flat: float = 0.1
    sign: float = 0.5
    order: float = 0.5
    turn: float = 0.1
    silence: float = 0.15
    noise: float = 0.15
    wander: float = 0.25
    gain: float = 1.3
    speed: float = 1.08

    @property
    def outputs(self) -> int:
        """Logits per step: the rhythm's, and where they have targets the onset's, a ventricular and another beat's."""
        return (2 if self.onset_sigma_s else 1) + (2 if self.beat_sigma_s else 0)

    @property
    def stride(self) -> int:
        """Samples of the network's input per step of its output."""
        return math.prod(self.stem_strides)

    @property
    def step_s(self) -> float:
        """Time from one step of the network's output to the next."""
        return self.stride / self.rate_hz

    @property
    def window_samples(self) -> int:
        """Samples of a training window, whole steps."""
        return round(self.window_s / self.step_s) * self.stride

    def to_json(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RhythmRecipe:
        """The recipe that `to_json` gave.

        Raises:
            TypeError: an unknown name.
        """
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
            raise TypeError(f"unknown in a recipe: {', '.join(sorted(unknown))}")
        of_fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**of_fields)


def prepare_signal(signal_mv: np.ndarray, rate_hz: float, recipe: RhythmRecipe) -> np.ndarray:
    """A recording as the network takes it: at the model's rate, without baseline, in units of its running scale.

    Args:
        signal_mv: float (leads, samples), NaN where invalid.
        rate_hz: Its rate.
        recipe: Rate, filter and scale.

    Returns:
        float32 (leads, T), 0 where the signal is invalid, from -`clip` to `clip`.
    """
    ratio = Fraction(recipe.rate_hz / rate_hz).limit_denominator(_MAX_RATIO_PART)
    filled, valid = _held(np.asarray(signal_mv, dtype=np.float32))
    slow = resample(filled, ratio)
    valid = _at_rate(valid, ratio, slow.shape[1])
    prepared = np.zeros(slow.shape, dtype=np.float32)
    for lead, (values, is_valid) in enumerate(zip(slow, valid, strict=True)):
        padding = min(len(values) - 1, round(3 * recipe.rate_hz / recipe.highpass_hz))
        level = _without_baseline(values.astype(np.float64), padding, recipe)
        scale = _running_scale(level, is_valid, recipe)
        prepared[lead] = np.where(is_valid, np.clip(level / scale, -recipe.clip, recipe.clip), 0.0)
    return prepared


def _without_baseline(values: np.ndarray, padding: int, recipe: RhythmRecipe) -> np.ndarray:
    """High-pass forwards and backwards: `sosfiltfilt` of scipy with this `padlen`, float64 (T,) -> (T,), in mV."""
    section = design_butterworth(_FILTER_ORDER, "highpass", recipe.highpass_hz, 0.0, recipe.rate_hz)
    if len(values) > _SHORT_SAMPLES:
        from scipy.signal import sosfiltfilt

        return np.asarray(sosfiltfilt(np.concatenate(section)[None], values, padlen=padding))
    before = 2 * values[0] - values[padding:0:-1]
    after = 2 * values[-1] - values[-2 : -padding - 2 : -1]
    extended = [*before.tolist(), *values.tolist(), *after.tolist()]
    both_ways = _high_pass(_high_pass(extended, section)[::-1], section)[::-1]
    return np.array(both_ways[padding : len(extended) - padding])


def _high_pass(values: list[float], section: tuple[np.ndarray, np.ndarray]) -> list[float]:
    """One section of a filter, as if the first value had been there always; rounds as `sosfilt` of scipy."""
    (b0, b1, b2), (_, a1, a2) = (part.tolist() for part in section)
    first, second = (steady_state(*section) * values[0]).tolist()
    filtered = []
    for value in values:
        new = b0 * value + first
        first = b1 * value - a1 * new + second
        second = b2 * value - a2 * new
        filtered.append(new)
    return filtered


def _held(signal_mv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The signal with its last valid value (before the first: that one) where it is NaN, and where it is valid."""
    valid = np.isfinite(signal_mv)
    if valid.all():
        return signal_mv, valid
    filled = np.zeros_like(signal_mv)
    for lead, is_valid in enumerate(valid):
        if is_valid.any():
            last = np.maximum.accumulate(np.where(is_valid, np.arange(len(is_valid)), -1))
            filled[lead] = signal_mv[lead, np.where(last < 0, np.argmax(is_valid), last)]
    return filled, valid


def _at_rate(valid: np.ndarray, ratio: Fraction, length: int) -> np.ndarray:
    """What is valid at another rate: the nearest sample decides."""
    nearest = np.minimum((np.arange(length) / float(ratio)).round().astype(np.int64), valid.shape[1] - 1)
    return valid[:, nearest]


def _running_scale(level: np.ndarray, valid: np.ndarray, recipe: RhythmRecipe) -> np.ndarray:
    """Running median of the standard deviation in blocks of a second, (T,) -> (T,), in mV."""
    block = round(_BLOCK_S * recipe.rate_hz)
    # Counted from the start, so that a cut at a whole second moves no block; the remainder joins the last one.
    starts = np.arange(max(1, len(level) // block)) * block
    parts = [slice(a, b) for a, b in zip(starts, [*starts[1:], len(level)], strict=True)]
    deviation = np.array([level[part].std() if valid[part].all() else np.nan for part in parts])
    known = np.isfinite(deviation)
    if not known.any():
        return np.ones(len(level))
    centre = np.array([(part.start + part.stop - 1) / 2 for part in parts])
    deviation = np.interp(centre, centre[known], deviation[known])
    size = max(1, round(recipe.scale_window_s / _BLOCK_S))
    padded = np.pad(deviation, (size // 2, (size - 1) // 2), mode="edge")
    # The upper one of two in the middle.
    scale = np.partition(np.lib.stride_tricks.sliding_window_view(padded, size), size // 2, axis=1)[:, size // 2]
    return np.asarray(np.interp(np.arange(len(level)), centre, np.maximum(scale, recipe.scale_floor_mv)))


class Windows(NamedTuple):
    """A batch of training windows.

    Attributes:
        signal: float32 (B, leads, T).
        rhythm: float32 (B, steps), 1 where the rhythm is malignant.
        rhythm_weight: float32 (B, steps), 0 where there is no loss.
        onset: float32 (B, steps), 1 at an onset, falling off as a Gaussian.
        onset_weight: float32 (B, steps).
        beats: float32 (B, 3, steps): 1 at a ventricular beat, 1 at another, falling off as a Gaussian, and their
            weight; (B, 0, steps) without targets for beats.
    """

    signal: np.ndarray
    rhythm: np.ndarray
    rhythm_weight: np.ndarray
    onset: np.ndarray
    onset_weight: np.ndarray
    beats: np.ndarray


@dataclass
class _Prepared:
    """A recording at the model's rate; times in its samples."""

    signal: np.ndarray
    targets: np.ndarray  # (4 or 7, T): the fields of `Windows` after the signal
    onsets: np.ndarray
    other_changes: np.ndarray
    stretches: list[_Span]  # malignant, to paste
    others: list[_Span]  # not malignant, to paste


def _malignant_spans(record: RhythmRecord, labels: Sequence[str], rate_hz: float) -> list[_Span]:
    """Intervals of these rhythms, in samples at another rate; neighbours are one."""
    ends = [*record.changes, record.signal_mv.shape[1]][1:]
    spans: list[_Span] = []
    for start, end, label in zip(record.changes, ends, record.labels, strict=True):
        if label in labels:
            first, stop = (round(int(sample) * rate_hz / record.rate_hz) for sample in (start, end))
            if spans and spans[-1][1] == first:
                first = spans.pop()[0]
            spans.append((first, stop))
    return spans


def _gaps(spans: Sequence[_Span], start: int, stop: int) -> list[_Span]:
    """What lies between spans, from `start` to `stop`."""
    edges = [start, *(edge for span in spans for edge in span), stop]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


def _prepare(record: RhythmRecord, recipe: RhythmRecipe) -> _Prepared:
    rate = recipe.rate_hz
    signal = prepare_signal(record.signal_mv, record.rate_hz, recipe)
    length = signal.shape[1]
    spans = _malignant_spans(record, record.event_labels, rate)
    first = round(int(record.changes[0]) * rate / record.rate_hz) if len(record.changes) else length
    changes = np.round(np.asarray(record.changes) * (rate / record.rate_hz)).astype(np.int64)
    beats = _beat_targets(record.beats, record.rate_hz, length, recipe)
    targets = np.concatenate([np.zeros((4, length), dtype=np.float32), beats])
    rhythm, rhythm_weight, onset, onset_weight = targets[:4]
    rhythm_weight[first:] = onset_weight[first:] = 1.0
    onsets = []
    for index, (start, stop) in enumerate(spans):
        rhythm[start:stop] = 1.0
        edge = round(recipe.ignored_s * rate)
        for at in (start, stop):
            rhythm_weight[max(0, at - edge) : at + edge] = 0.0
        before = spans[index - 1][1] if index else None
        if before is not None and start - before < recipe.merge_gap_s * rate:
            rhythm_weight[before:start] = onset_weight[before:start] = 0.0
        elif start > rate or start > first:
            onsets.append(start)
            if recipe.onset_sigma_s:
                _add_gaussian(onset, start, recipe.onset_sigma_s * rate)
    others = np.setdiff1d(changes[1:], [edge for span in spans for edge in span])
    stretches = _malignant_spans(record, [x for x in recipe.paste_labels if x in record.event_labels], rate)
    return _Prepared(signal, targets, np.array(onsets), others, stretches, _gaps(spans, min(first, length), length))


class WindowDrawer:
    """Draws training windows from recordings.

    Args:
        records: Recordings with as many leads each.
        recipe: Which windows are drawn, and what is done to them.
        random: The training's generator.
    """

    def __init__(self, records: Sequence[RhythmRecord], recipe: RhythmRecipe, random: np.random.Generator) -> None:
        self.recipe, self.random = recipe, random
        self.records = [_prepare(record, recipe) for record in records]
        power = 1.0 - recipe.balance
        counts = (
            [len(record.onsets) for record in self.records],
            [len(record.other_changes) for record in self.records],
            [record.signal.shape[1] / recipe.rate_hz for record in self.records],
        )
        self.weights = [_normalised(np.array(count, dtype=np.float64), power) for count in counts]

    def draw(self) -> Windows:
        """The windows of the next batch."""
        recipe = self.recipe
        drawn = [self._window() for _ in range(recipe.batch_size)]
        signal = np.stack([window for window, _ in drawn])
        targets = np.stack([target for _, target in drawn])[:, :, :: recipe.stride]
        signal = _augment(signal, recipe, self.random)
        rhythm, rhythm_weight, onset, onset_weight = (np.ascontiguousarray(targets[:, row]) for row in range(4))
        return Windows(signal, rhythm, rhythm_weight, onset, onset_weight, np.ascontiguousarray(targets[:, 4:]))

    def _window(self) -> tuple[np.ndarray, np.ndarray]:
        """Signal (leads, T) and targets (4 or 7, T)."""
        recipe, random = self.recipe, self.random
        length = recipe.window_samples
        speed = recipe.speed ** random.uniform(-1, 1)
        kind = random.choice(3, p=self._fractions())
        record = self.records[random.choice(len(self.records), p=self.weights[kind])]
        at = random.uniform(0, record.signal.shape[1])
        if kind < 2:
            at = float(random.choice(record.onsets if kind == 0 else record.other_changes))
        start = at - random.uniform(0.05, 0.95) * length * speed
        signal, targets = _stretched(record, start + speed * np.arange(length))
        if random.random() < recipe.paste:
            self._paste(record, signal, targets)
        if random.random() < recipe.burst:
            self._burst(signal)
        if random.random() < recipe.flat:
            first, stop = self._place(length, 0.3, 2.0)
            signal[:, first:stop] *= 0.05
        return signal, targets

    def _fractions(self) -> list[float]:
        """Of windows around onsets, around other changes and anywhere; what no record has is drawn anywhere."""
        wanted = (self.recipe.near_onset, self.recipe.near_change)
        near = [value if self.weights[kind].any() else 0.0 for kind, value in enumerate(wanted)]
        return [*near, 1.0 - sum(near)]

    def _place(self, length: int, shortest_s: float, longest_s: float) -> _Span:
        duration = min(length, round(self.random.uniform(shortest_s, longest_s) * self.recipe.rate_hz))
        first = int(self.random.integers(0, length - duration + 1))
        return first, first + duration

    def _paste(self, record: _Prepared, signal: np.ndarray, targets: np.ndarray) -> None:
        """Fade a stretch of the recording into a part of the window without malignant rhythm, in place."""
        recipe, random = self.recipe, self.random
        first, stop = self._place(signal.shape[1], *recipe.paste_s)
        margin = round(recipe.merge_gap_s * recipe.rate_hz)
        around = targets[:, max(0, first - margin) : stop + margin]
        malignant = bool(random.random() < 0.5)
        spans = [
            span for span in (record.stretches if malignant else record.others) if span[1] - span[0] >= stop - first
        ]
        if around[0].any() or not around[1].all() or not spans:
            return
        lengths = np.array([b - a for a, b in spans], dtype=np.float64)
        a, b = spans[random.choice(len(spans), p=_normalised(lengths, 0.5))]
        source = int(random.integers(a, b - (stop - first) + 1))
        fade = max(1, round(recipe.fade_s * recipe.rate_hz))
        inside = np.arange(stop - first)
        share = np.clip(np.minimum(inside, inside[::-1]) / fade, 0.0, 1.0).astype(np.float32)
        stretch = record.signal[:, source : source + stop - first]
        signal[:, first:stop] += share * (stretch - signal[:, first:stop])
        targets[4:, first:stop] = record.targets[4:, source : source + stop - first]
        for seam in _seams(first, stop, recipe):
            targets[6:, seam] = 0.0
        if malignant:
            _mark(targets, first, stop, recipe)

    def _burst(self, signal: np.ndarray) -> None:
        """Add noise for a moment, in place: white or smoothed, in one lead or all."""
        random = self.random
        first, stop = self._place(signal.shape[1], 0.5, 6.0)
        noise = random.standard_normal((len(signal), stop - first))
        width = int(random.integers(1, 8))
        noise = np.stack([np.convolve(row, np.ones(width) / math.sqrt(width), "same") for row in noise])
        noise *= np.exp(random.uniform(math.log(0.3), math.log(3.0)))
        if len(signal) > 1 and random.random() < 0.5:
            noise[random.integers(len(signal))] = 0.0
        signal[:, first:stop] += noise.astype(np.float32)


def _normalised(counts: np.ndarray, power: float) -> np.ndarray:
    """Weights `counts ** power`, 0 for 0, to the sum 1; all 0 if all are."""
    weight = np.where(counts > 0, np.maximum(counts, 1e-9) ** power, 0.0)
    total = weight.sum()
    return np.asarray(weight / total if total else weight)


def _stretched(record: _Prepared, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signal, interpolated, and targets of the nearest sample; beyond the recording 0, and so no loss."""
    length = record.signal.shape[1]
    below = np.floor(position).astype(np.int64)
    part = (position - below).astype(np.float32)
    inside = (below >= 0) & (below < length - 1)
    low = np.clip(below, 0, length - 2)
    signal = record.signal[:, low] * (1 - part) + record.signal[:, low + 1] * part
    nearest = np.clip(np.round(position).astype(np.int64), 0, length - 1)
    return signal * inside, record.targets[:, nearest] * inside


def _seams(first: int, stop: int, recipe: RhythmRecipe) -> list[slice]:
    """The samples around both ends of a pasted stretch that have no loss."""
    edge = round(max(recipe.ignored_s, recipe.fade_s) * recipe.rate_hz)
    return [slice(max(0, at - edge), at + edge) for at in (first, stop)]


def _mark(targets: np.ndarray, first: int, stop: int, recipe: RhythmRecipe) -> None:
    """Enter a malignant stretch in the targets, in place."""
    rhythm, rhythm_weight, onset, _ = targets[:4]
    rhythm[first:stop] = 1.0
    for seam in _seams(first, stop, recipe):
        rhythm_weight[seam] = 0.0
    if recipe.onset_sigma_s:
        _add_gaussian(onset, first, recipe.onset_sigma_s * recipe.rate_hz)


def _add_gaussian(target: np.ndarray, at: float, sigma: float) -> None:
    """Put a Gaussian with the height 1 into a target, (T,), in place; both in samples."""
    np.maximum(target, np.exp(-0.5 * ((np.arange(len(target)) - at) / sigma) ** 2), out=target)


def _beat_targets(beats: Beats | None, rate_hz: float, length: int, recipe: RhythmRecipe) -> np.ndarray:
    """`Windows.beats` of a whole recording, (3, T) or (0, T); no weight far from all beats."""
    targets = np.zeros((3 if recipe.beat_sigma_s else 0, length), dtype=np.float32)
    if beats is None or not recipe.beat_sigma_s:
        return targets
    time = beats.sample * (recipe.rate_hz / rate_hz)
    sigma = recipe.beat_sigma_s * recipe.rate_hz
    reach = math.ceil(_REACH_SIGMAS * sigma)
    for at, ventricular in zip(time.tolist(), beats.ventricular.tolist(), strict=True):
        first = max(0, math.floor(at) - reach)
        _add_gaussian(targets[0 if ventricular else 1, first : math.floor(at) + reach + 1], at - first, sigma)
    for start, stop in zip(time[:-1].tolist(), time[1:].tolist(), strict=True):
        if stop - start <= _LONGEST_INTERVAL_S * recipe.rate_hz:
            targets[2, math.floor(start) : math.ceil(stop) + 1] = 1.0
    return targets


def _augment(signal: np.ndarray, recipe: RhythmRecipe, random: np.random.Generator) -> np.ndarray:
    """What does not change the target, (B, leads, T) -> (B, leads, T) float32."""
    batch, leads, length = signal.shape
    if leads > 1:
        order = np.where(random.random((batch, 1)) < recipe.order, random.random((batch, leads)), np.arange(leads))
        signal = np.take_along_axis(signal, order.argsort(1)[:, :, None], 1)
        angle = np.where(random.random(batch) < recipe.turn, random.uniform(0, 2 * np.pi, batch), 0.0)
        signal = _turned(signal, angle.astype(np.float32)[:, None])
    factor = np.where(random.random((batch, leads)) < recipe.sign, -1.0, 1.0)
    factor *= recipe.gain ** random.uniform(-1, 1, (batch, 1)) * recipe.gain ** random.uniform(
        -0.5, 0.5, (batch, leads)
    )
    signal = signal * factor.astype(np.float32)[:, :, None]
    size = random.uniform(0, recipe.noise, (batch, leads, 1)) * random.integers(0, 2, (batch, 1, 1))
    signal = signal + size.astype(np.float32) * random.standard_normal(signal.shape, dtype=np.float32)
    size = random.uniform(0, recipe.wander, (batch, leads, 1)) * random.integers(0, 2, (batch, 1, 1))
    cycles_hz, phase = random.uniform(0.1, 0.7, (batch, 1, 1)), random.uniform(0, 2 * np.pi, (batch, leads, 1))
    signal = signal + size * np.sin(2 * np.pi * cycles_hz / recipe.rate_hz * np.arange(length) + phase)
    if leads > 1:
        removed = random.integers(leads, size=(batch, 1)) == np.arange(leads)
        removed &= random.random((batch, 1)) < recipe.silence
        signal = np.where(removed[:, :, None], 0.0, signal)
    return np.ascontiguousarray(signal, dtype=np.float32)


def _turned(signal: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """The first two leads turned in their plane, by an angle for each window, (B, 1)."""
    first, second = signal[:, 0], signal[:, 1]
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = signal.copy()
    turned[:, 0], turned[:, 1] = cosine * first - sine * second, sine * first + cosine * second
    return turned
