"""ECG windows: the six augmentation steps, decimation to the model's rate, and the fold files.

    window at rate_hz -> shift -> dropout -> noise -> wander -> filter -> scale -> float32
                      -> running median -> every decimate_by-th sample -> fold<k>.h5

A variant draws from its own generator (`siwcc.augment.variant_rng`) in one fixed order:
shift; dropout length; dropout start, again while it would cover the event; noise fraction; noise;
wander fraction; wander frequency; kind of filter; high-pass edge; low-pass edge; scale. Both edges
are drawn whatever the kind, so that a later draw never depends on an earlier choice but the start's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from siwcc.augment import variant_rng
from siwcc.config import EcgAugmentation, EcgTask, VfdbSection
from siwcc.errors import InputError
from siwcc.shards import Shard, read_shard, shard_writer
from siwcc.tasks import TaskSpec
from siwcc.tasks.ecg import LEADS, make_spec

if TYPE_CHECKING:
    import torch

FilterKind = Literal["lowpass", "highpass", "bandpass"]
FILTER_KINDS: tuple[FilterKind, ...] = ("lowpass", "highpass", "bandpass")
_SMALLEST_FOR_POLYNOMIALS = 1e-9
_MUST_AGREE = ("task", "dataset", "seed", "spec", "samples_digest", "protocol")


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


def draw_dropout(
    rng: np.random.Generator, event_sample: int, samples: int, length_range_s: tuple[float, float], rate_hz: float
) -> tuple[int, int]:
    """Draw step 2's patch: the length once, the start until the patch leaves the event alone.

    Args:
        rng: The variant's generator.
        event_sample: Index of the event after the shift.
        samples: Length of the window; the longest patch must be shorter than half of it.
        length_range_s: Shortest and longest patch, seconds.
        rate_hz: Samples a second.

    Returns:
        Start and length in samples; `start <= event_sample < start + length` is false.
    """
    length = int(rng.uniform(*length_range_s) * rate_hz)
    while True:
        start = int(rng.integers(0, samples - length))
        if not start <= event_sample < start + length:
            return start, length


def drop_out(signal: np.ndarray, start: int, length: int) -> np.ndarray:
    """Step 2: zero `length` samples of both leads from `start` on (paper, 2.1.2, step 2).

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
    """Step 4: add one sine to both leads, phase zero at the first sample (paper, 2.1.2, step 4).

    Args:
        signal: (leads, samples), mV.
        amplitude_mv: Amplitude of the sine.
        frequency_hz: Its frequency.
        rate_hz: Samples a second.
    """
    time_s = np.arange(signal.shape[-1]) / rate_hz
    return signal + amplitude_mv * np.sin(2 * np.pi * frequency_hz * time_s)


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
    # Training imports this module and filters nothing; scipy.signal alone takes 0.6 s to import.
    from scipy.signal import butter, filtfilt, sosfiltfilt

    band_hz = (highpass_hz, lowpass_hz)
    edges_hz = np.asarray({"lowpass": lowpass_hz, "highpass": highpass_hz, "bandpass": band_hz}[kind])
    nearest = float(np.minimum(edges_hz, rate_hz / 2 - edges_hz).min()) / rate_hz
    # Polynomials lose a factor of about nearest ** -order of float64's 1e16, but take half the time.
    if nearest**order > _SMALLEST_FOR_POLYNOMIALS:
        numerator, denominator = butter(order, edges_hz, kind, fs=rate_hz)
        return np.asarray(filtfilt(numerator, denominator, signal))
    sections = butter(order, edges_hz, kind, output="sos", fs=rate_hz)
    return np.asarray(sosfiltfilt(sections, signal, padlen=3 * (order * edges_hz.size + 1)))


def scale(signal: np.ndarray, factor: float) -> np.ndarray:
    """Step 6: multiply both leads by one factor (paper, 2.1.2, step 6).

    Args:
        signal: (leads, samples), mV.
        factor: Without unit.
    """
    return signal * factor


def augment_window(
    signal: np.ndarray, event_sample: int, rng: np.random.Generator, settings: EcgAugmentation, rate_hz: float
) -> tuple[np.ndarray, int, bool]:
    """All six steps in the paper's order (2.1.2), with the draws in the order of the module's docstring.

    Noise and wander are fractions of the largest absolute value of both leads after steps 1 and 2.

    Args:
        signal: float64 (leads, samples), mV; left as it is.
        event_sample: Index of the event.
        rng: The variant's own generator.
        settings: Ranges of the draws.
        rate_hz: Samples a second.

    Returns:
        float64 (leads, samples) in mV; the event's index, clipped to the window; whether the event
        is still in the window.
    """
    samples = signal.shape[-1]
    shift_samples = int(rng.uniform(-settings.shift_s, settings.shift_s) * rate_hz)
    event_sample, event_visible = shift_event(event_sample, shift_samples, samples)
    start, length = draw_dropout(rng, event_sample, samples, settings.dropout_s, rate_hz)
    signal = drop_out(shift(signal, shift_samples), start, length)
    peak_mv = float(np.abs(signal).max())
    noise_mv = peak_mv * rng.uniform(*settings.noise_fraction)
    signal = add_noise(signal, noise_mv, rng.standard_normal(signal.shape))
    wander_mv = peak_mv * rng.uniform(*settings.wander_fraction)
    signal = add_wander(signal, wander_mv, rng.uniform(*settings.wander_hz), rate_hz)
    kind = FILTER_KINDS[int(rng.integers(len(FILTER_KINDS)))]
    highpass_hz, lowpass_hz = rng.uniform(*settings.highpass_hz), rng.uniform(*settings.lowpass_hz)
    signal = filter_band(signal, kind, highpass_hz, lowpass_hz, settings.filter_order, rate_hz)
    return scale(signal, rng.uniform(*settings.scale)), event_sample, event_visible


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
    padded = np.zeros((*signal.shape[:-1], samples + 2 * half), dtype=np.float32)
    padded[..., half : half + samples] = signal
    windows = np.lib.stride_tricks.sliding_window_view(padded, median_samples, axis=-1)[..., ::by, :]
    return np.ascontiguousarray(np.partition(windows, half, axis=-1)[..., half])


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
class EcgVariant:
    """One row of a fold file.

    Attributes:
        signal: float32 (leads, model samples), mV.
        weighted: float32 (model samples,), mV s; None when the encoding layer makes it.
        target_s: Time of the event from the window's start, seconds.
        event_visible: False when the shift pushed the event out of the window.
    """

    signal: np.ndarray
    weighted: np.ndarray | None
    target_s: float
    event_visible: bool


def make_variant(
    signal: np.ndarray,
    target_s: float,
    sample_id: str,
    variant: int,
    settings: EcgTask,
    dataset: VfdbSection,
    seed: int,
) -> EcgVariant:
    """One variant of one window, whatever else is made or not made.

    Args:
        signal: (leads, samples) at the source's rate, mV.
        target_s: Time of the event, a whole number of samples, in seconds.
        sample_id: The window's id.
        variant: 0 for the window itself, 1 ... for augmented ones.
        settings: The task's section of the config.
        dataset: The data set's section of the config.
        seed: The study's seed.
    """
    made, visible = np.asarray(signal, dtype=np.float64), True
    event_sample = round(target_s * dataset.rate_hz)
    if variant > 0:
        rng = variant_rng(seed, sample_id, variant)
        made, event_sample, visible = augment_window(made, event_sample, rng, settings.augmentation, dataset.rate_hz)
    weighted = None
    if settings.weighted_at == "source_rate":
        weighted = decimate(weighted_channel(made, dataset.window_s), settings.median_samples, settings.decimate_by)
    decimated = decimate(made, settings.median_samples, settings.decimate_by)
    return EcgVariant(decimated, weighted, event_sample / dataset.rate_hz, visible)


def write_fold(
    samples_path: Path,
    sample_ids: Sequence[str],
    settings: EcgTask,
    dataset: VfdbSection,
    seed: int,
    fold: int,
    path: Path,
) -> None:
    """Write one fold file: variant 0 and 1 ... `variants_per_sample` of every window in it.

    Rows are sorted by sample id, then by variant: `signal` float32 (leads, model samples) in mV,
    `target` float64 (1,) in seconds, `sample_id`, `group`, `class`, `variant` int32, `event_visible`
    uint8, and `weighted` float32 (model samples,) when `weighted_at` is `source_rate`.

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
    shard = read_shard(samples_path, "samples", names=("signal", "target", "sample_id", "group", "class"))
    _check_windows(shard, dataset)
    attributes = {
        "task": "ecg",
        "dataset": shard.attributes["dataset"],
        "fold": fold,
        "seed": seed,
        "spec": make_spec(settings, dataset).to_json(),
        "samples_digest": shard.digest,
        "dataset_protocol": dataset.protocol(),
        "protocol": settings.model_dump(mode="json"),
    }
    rows = _rows_of(shard, sample_ids)
    with shard_writer(path, "fold", attributes) as writer:
        for row in rows:
            writer.extend(_fold_rows(shard, row, settings, dataset, seed))


def _check_windows(shard: Shard, dataset: VfdbSection) -> None:
    if shard.attributes.get("task") != "ecg":
        raise InputError(shard.path, f"holds samples for the task {shard.attributes.get('task')!r}, not 'ecg'")
    expected = (LEADS, round(dataset.window_s * dataset.rate_hz))
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


def _rows_of(shard: Shard, sample_ids: Sequence[str]) -> list[int]:
    row_of = {str(sample_id): row for row, sample_id in enumerate(shard.arrays["sample_id"])}
    missing = sorted(set(sample_ids) - set(row_of))
    if missing:
        raise InputError(
            shard.path, f"has no sample {missing[0]} ({len(missing)} missing)", "delete folds.csv and run again"
        )
    return [row_of[sample_id] for sample_id in sorted(sample_ids)]


def _fold_rows(shard: Shard, row: int, settings: EcgTask, dataset: VfdbSection, seed: int) -> dict[str, np.ndarray]:
    arrays = shard.arrays
    sample_id, target_s = str(arrays["sample_id"][row]), float(arrays["target"][row, 0])
    numbers = range(settings.variants_per_sample + 1)
    made = [
        make_variant(arrays["signal"][row], target_s, sample_id, variant, settings, dataset, seed)
        for variant in numbers
    ]
    rows = {
        "signal": np.stack([variant.signal for variant in made]),
        "target": np.array([[variant.target_s] for variant in made], dtype=np.float64),
        "variant": np.array(numbers, dtype=np.int32),
        "event_visible": np.array([variant.event_visible for variant in made], dtype=np.uint8),
    }
    for name in ("sample_id", "group", "class"):
        rows[name] = np.full(len(made), arrays[name][row], dtype=object)
    weighted = [variant.weighted for variant in made if variant.weighted is not None]
    return rows | {"weighted": np.stack(weighted)} if weighted else rows


@dataclass
class EcgInputs:
    """Rows of fold files in memory; see `siwcc.augment.Inputs`.

    Attributes:
        spec: The task's shapes and units.
        sample_id: (rows,) strings.
        group: (rows,) strings.
        variant: (rows,) int32.
        target: float32 (rows, 1), seconds.
        signal: float32 (rows, leads, model samples), mV.
        weighted: float32 (rows, model samples), mV s; None when the encoding layer makes it.
    """

    spec: TaskSpec
    sample_id: np.ndarray
    group: np.ndarray
    variant: np.ndarray
    target: np.ndarray
    signal: np.ndarray
    weighted: np.ndarray | None

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

    def layer_encoding(self, encoding: str) -> tuple[str, int]:
        """The network's first layer: its encoding's name and the channels that `batch` returns."""
        if self.weighted is not None and encoding == "weighted":
            return "none", self.spec.channels + 1
        return encoding, self.spec.channels


def open_inputs(fold_paths: Sequence[Path], samples_path: Path, augmented_only: bool) -> EcgInputs:
    """Read fold files into memory.

    Args:
        fold_paths: Files named `fold<k>.h5`, at least one.
        samples_path: Not read: the folds hold the signals.
        augmented_only: Leave out variant 0 (training).

    Raises:
        InputError: a file is damaged, is not the fold its name says, or comes from other samples,
            another seed or other settings than the first.
    """
    shards = [_read_fold(path) for path in fold_paths]
    for shard in shards[1:]:
        _check_agreement(shards[0], shard)
    keep = [shard.arrays["variant"] >= (1 if augmented_only else 0) for shard in shards]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([shard.arrays[name][rows] for shard, rows in zip(shards, keep, strict=True)])

    return EcgInputs(
        spec=TaskSpec.from_json(shards[0].attributes["spec"]),
        sample_id=joined("sample_id"),
        group=joined("group"),
        variant=joined("variant"),
        target=joined("target").astype(np.float32),
        signal=joined("signal"),
        weighted=joined("weighted") if "weighted" in shards[0].arrays else None,
    )


def _read_fold(path: Path) -> Shard:
    shard = read_shard(path, "fold")
    named = re.fullmatch(r"fold([1-9]\d*)", path.stem)
    if named is None or int(named[1]) != shard.attributes["fold"]:
        problem = f"holds fold {shard.attributes['fold']}, which its name does not say"
        raise InputError(path, problem, "give the file back its name, or delete it and run again")
    if shard.attributes["task"] != "ecg":
        raise InputError(path, f"is a fold of the task {shard.attributes['task']!r}, not 'ecg'")
    return shard


def _check_agreement(first: Shard, other: Shard) -> None:
    for name in _MUST_AGREE:
        if first.attributes[name] != other.attributes[name]:
            raise InputError(other.path, f"{name} differs from that of {first.path}", "delete both and run again")
