"""ECG windows: which copies are made of them, at the model's rate, and the fold files.

    shift: zero_fill   window at rate_hz -> shift, zeros where it has left ----.
    shift: rewindow    recording around the event -> window at a drawn start --+
                                                                               |
       .-----------------------------------------------------------------------'
       '-> dropout -> noise -> wander -> filter -> scale -> float32
           -> running median -> every decimate_by-th sample -> fold<k>.h5

A copy draws from its own generator (`siwcc.data.augment.interface.copy_rng`) in one fixed order:
shift or start; dropout length; dropout start, again while it would cover a visible point; noise fraction;
noise; wander fraction; wander frequency; kind of filter; high-pass edge; low-pass edge; scale. Both
edges are drawn whatever the kind, so that a later draw never depends on an earlier choice but the
start's.

`rewindow` is the shift without the paper's two tells (zeros at the edge that the window has left, and
an earlier event at the first sample). The start is uniform over the whole samples after the previous
counted event, less than a window before this event, and up to it: this event is the first in its
window, always in it, and what stands around it is the recording. Zeros stand only where the
recording has ended or has no value. The original, copy 0, takes its start from its own generator, too,
and no other step: windows centred as in the samples file all have the event at one time, which the training mean
would hit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from siwcc.config import SignalDataset, SignalTask, parse_protocol
from siwcc.data.augment.filters import Decimation
from siwcc.data.augment.interface import Stored, copy_rng, fold_attributes, fold_rows, gaps_s, join_rows, read_folds
from siwcc.data.augment.signal_steps import distort, shift, shift_edges, shift_event
from siwcc.data.tasks.interface import TaskSpec, parse_task
from siwcc.data.tasks.signal import make_spec
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SamplesPath, read_samples
from siwcc.io.shards import Shard, read_attributes, shard_writer

if TYPE_CHECKING:
    import torch

# So many copies are made together: fewer repeat more work, more do not stay in a second-level cache.
_COPIES_PER_BLOCK = 24
# HDF5 takes as long to append a row as to append some hundreds.
_ROWS_WRITTEN_AT_ONCE = 256
_SAMPLE_ARRAYS = ("signal", "target", "sample_id", "group", "class", "event_sample", "previous_event", "context_valid")
_FOLD_ARRAYS = ("signal", "target", "sample_id", "group", "class", "copy", "event_visible", "gap_s", "edge_s")


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
class SignalSample:
    """One window of the samples file, as its copies need it; samples are at the source's rate.

    Attributes:
        sample_id: The window's id.
        signal: float32 (leads, samples), mV.
        target_s: Time of the event from the window's start, a whole number of samples.
        event_sample: Index of the event in its record.
        previous_event: Index of the counted event before it, -1 if there is none.
        context: float32 (leads, 2 x samples), mV: the recording from a window before the event on;
            None when no copy is cut out of it.
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
        event all the same (see `siwcc.data.datasets.signals`).
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


def shift_window(sample: SignalSample, shift_samples: int, rate_hz: float) -> PlacedWindow:
    """Step 1 as in the paper: the samples file's window, moved, with zeros where it has left.

    Args:
        sample: The window.
        shift_samples: Samples, positive to the right; 0 for the window itself.
        rate_hz: Samples a second.
    """
    samples = sample.signal.shape[-1]
    own_sample = round(sample.target_s * rate_hz)
    event_sample, visible = shift_event(own_sample, shift_samples, samples)
    moved = shift(sample.signal, shift_samples)
    before, after = shift_edges(sample.padded_samples(rate_hz), shift_samples)
    end_sample = _visible_end(sample, own_sample + shift_samples, (before, samples - after))
    return PlacedWindow(moved, event_sample, visible, (before, after), end_sample)


def _visible_end(sample: SignalSample, event_sample: int, recorded: tuple[int, int]) -> int | None:
    """Index of the event's end, if that stands where the window shows the recording: from, and up to before."""
    end_sample = None if sample.end_after is None else event_sample + sample.end_after
    return end_sample if end_sample is not None and recorded[0] <= end_sample < recorded[1] else None


def draw_event(rng: np.random.Generator, event_sample: int, previous_event: int, samples: int) -> int:
    """Draw where the event is in a window cut again, which fixes the window's start.

    The start is uniform over the whole samples in (max(previous event, event - window), event]. With
    no event before (-1) it is not before the record's first sample either.

    Args:
        rng: The copy's generator.
        event_sample: Index of the event in its record.
        previous_event: Index of the counted event before it, -1 if there is none.
        samples: Length of the window.

    Returns:
        Samples from the window's start to the event, 0 ... samples - 1.
    """
    return int(rng.integers(min(event_sample - previous_event, samples)))


def cut_window(sample: SignalSample, event_sample: int) -> PlacedWindow:
    """Step 1 without a tell: the recording as it is, with the event at `event_sample` of the window.

    Args:
        sample: The window, with its context.
        event_sample: 0 ... samples - 1.
    """
    assert sample.context is not None, "read the context for `rewindow`"  # noqa: S101 - narrows the type
    samples = sample.signal.shape[-1]
    window = slice(samples - event_sample, 2 * samples - event_sample)
    cut = np.array(sample.context[:, window], dtype=np.float64)
    valid = sample.context_valid[window]
    before, after = (samples, 0) if not valid.any() else (int(valid.argmax()), int(valid[::-1].argmax()))
    end_sample = _visible_end(sample, event_sample, (before, samples - after))
    return PlacedWindow(cut, event_sample, True, (before, after), end_sample)


@dataclass(frozen=True)
class SignalCopies:
    """Rows of a fold file, some copies of one window.

    Attributes:
        signal: float32 (copies, leads, model samples), mV.
        weighted: float32 (copies, model samples), mV s; None when the encoding layer makes it.
        target_s: float64 (copies,), time of the event from the window's start, seconds.
        event_visible: bool (copies,), False where the shift pushed the event out of the window.
        edge_s: float64 (copies, 2), seconds at the window's start and end that are no recording.
        end_s: float64 (copies,), time of the event's end from the window's start, seconds; NaN where it is not
            visible.
    """

    signal: np.ndarray
    weighted: np.ndarray | None
    target_s: np.ndarray
    event_visible: np.ndarray
    edge_s: np.ndarray
    end_s: np.ndarray

    def target(self, points: Sequence[str]) -> np.ndarray:
        """float64 (copies, points), seconds; of several points NaN where one is not visible.

        A single one that the shift pushed out has the time of the window's edge, as the authors ran it.
        """
        if "end" not in points:
            return self.target_s[:, np.newaxis]
        return np.stack([np.where(self.event_visible, self.target_s, np.nan), self.end_s], axis=1)


def make_copies(
    sample: SignalSample,
    copies: Sequence[int],
    settings: SignalTask,
    dataset: SignalDataset,
    seed: int,
    distorted: bool = True,
) -> SignalCopies:
    """Copies of one window; each is the same whatever else is made or not made.

    Args:
        sample: The window; with its context for `rewindow`.
        copies: 0 for the window without steps 2 to 6, 1 ... for augmented ones.
        settings: The task's section of the config.
        dataset: The data set's section of the config.
        seed: The study's seed.
        distorted: With steps 2 to 6.
    """
    rate_hz, weighs = dataset.rate_hz, settings.weighted_at == "source_rate"
    (leads, samples), thinning = sample.signal.shape, (settings.median_samples, settings.decimate_by)
    placed, made, weighted = [], [], []
    for first in range(0, len(copies), _COPIES_PER_BLOCK):
        numbers = copies[first : first + _COPIES_PER_BLOCK]
        signals = Decimation(len(numbers) * leads, samples, *thinning)
        channels = Decimation(len(numbers) if weighs else 0, samples, *thinning)
        for window, signal in _at_source_rate(sample, numbers, settings, rate_hz, seed, distorted):
            placed.append(window)
            signals.add(signal)
            if weighs:
                channels.add(weighted_channel(signal, dataset.window_s)[np.newaxis])
        made.append(signals.medians().reshape(len(numbers), leads, -1))
        weighted.append(channels.medians())
    return SignalCopies(
        signal=np.concatenate(made),
        weighted=np.concatenate(weighted) if weighs else None,
        target_s=np.array([window.event_sample for window in placed]) / rate_hz,
        event_visible=np.array([window.event_visible for window in placed]),
        edge_s=np.array([window.edge_samples for window in placed]) / rate_hz,
        end_s=np.array([np.nan if window.end_sample is None else window.end_sample for window in placed]) / rate_hz,
    )


def _at_source_rate(
    sample: SignalSample, copies: Sequence[int], settings: SignalTask, rate_hz: float, seed: int, distorted: bool
) -> Iterator[tuple[PlacedWindow, np.ndarray]]:
    """The copies' windows after step 1, and their signals after all steps, float64 (leads, samples), mV."""
    rngs = [copy_rng(seed, sample.sample_id, copy) for copy in copies]
    windows = [_place(sample, copy, rng, settings, rate_hz) for copy, rng in zip(copies, rngs, strict=True)]
    changes = [distorted and copy > 0 for copy in copies]
    changed = distort(
        list(compress((window.signal for window in windows), changes)),
        list(compress((window.kept for window in windows), changes)),
        list(compress(rngs, changes)),
        settings.augmentation,
        rate_hz,
    )
    for window, is_changed in zip(windows, changes, strict=True):
        yield window, next(changed) if is_changed else window.signal


def _place(
    sample: SignalSample, copy: int, rng: np.random.Generator, settings: SignalTask, rate_hz: float
) -> PlacedWindow:
    if settings.shift == "rewindow":
        event_sample = draw_event(rng, sample.event_sample, sample.previous_event, sample.signal.shape[-1])
        return cut_window(sample, event_sample)
    shift_s = settings.augmentation.shift_s
    shift_samples = int(rng.uniform(-shift_s, shift_s) * rate_hz) if copy > 0 else 0
    return shift_window(sample, shift_samples, rate_hz)


def write_fold(
    samples_path: SamplesPath,
    sample_ids: Sequence[str],
    settings: SignalTask,
    dataset: SignalDataset,
    seed: int,
    fold: int,
    path: Path,
) -> None:
    """Write one fold file: copy 0, the original, and 1 ... `copies_per_sample` of every window in it.

    Rows are sorted by sample id, then by copy: `signal` float32 (leads, model samples) in mV,
    `target` float64 (1,) in seconds, `sample_id`, `group`, `class`, `copy` int32, `event_visible`
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
    attributes = fold_attributes(make_spec(settings, dataset), settings, dataset, shard, seed, fold)
    rows = rows_of(shard, sample_ids)
    # Noise does not compress: it takes 15 % more room so, and a tenth of the time to write and read.
    with shard_writer(path, "fold", attributes, uncompressed=("signal", "weighted")) as writer:
        numbers = range(settings.copies_per_sample + 1)
        together = -(-_ROWS_WRITTEN_AT_ONCE // len(numbers))
        for first in range(0, len(rows), together):
            parts = [
                copy_rows(shard, row, sample_of(shard, row), numbers, settings, dataset, seed)
                for row in rows[first : first + together]
            ]
            writer.extend(join_rows(parts, parts[0]))


def read_windows(samples_path: SamplesPath, settings: SignalTask, dataset: SignalDataset) -> Shard:
    """The samples, with what copies are cut out of.

    Raises:
        InputError: it is damaged, or of another task or shape.
    """
    names = (
        *_SAMPLE_ARRAYS,
        *(("context",) if settings.shift == "rewindow" else ()),
        *(("end_sample",) if "end" in settings.points else ()),
    )
    shard = read_samples(samples_path, names)
    _check_windows(shard, dataset)
    return shard


def _check_windows(shard: Shard, dataset: SignalDataset) -> None:
    if "rate_hz" not in shard.attributes:
        raise InputError(shard.path, "holds no signals over time")
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


def copy_rows(
    shard: Shard,
    row: int,
    sample: SignalSample,
    numbers: Sequence[int],
    settings: SignalTask,
    dataset: SignalDataset,
    seed: int,
    distorted: bool = True,
) -> dict[str, np.ndarray]:
    """Rows of a fold file, see `write_fold`: some copies of one window.

    Args:
        shard: The samples file.
        row: The window's place in it.
        sample: The window itself, `sample_of(shard, row)`, or one that differs from it.
        numbers: The copies.
        settings: The task's section of the config.
        dataset: The data set's section of the config.
        seed: The study's seed.
        distorted: Copies from 1 on with steps 2 to 6.
    """
    made = make_copies(sample, numbers, settings, dataset, seed, distorted)
    rows = {
        "signal": made.signal,
        "target": made.target(settings.points),
        "copy": np.array(numbers, dtype=np.int32),
        "event_visible": made.event_visible.astype(np.uint8),
        "gap_s": np.full(len(numbers), sample.gap_s(dataset.rate_hz)),
        "edge_s": made.edge_s,
    }
    if len(settings.points) > 1:
        rows["visible"] = np.isfinite(rows["target"]).astype(np.uint8)
    for name in ("sample_id", "group", "class"):
        rows[name] = np.full(len(numbers), shard.arrays[name][row], dtype=object)
    return rows if made.weighted is None else rows | {"weighted": made.weighted}


def sample_of(shard: Shard, row: int) -> SignalSample:
    """A window of a samples file, with its context where that was read."""
    arrays = shard.arrays
    return SignalSample(
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
class SignalInputs:
    """Rows of fold files in memory; see `siwcc.data.augment.interface.Inputs`.

    Attributes:
        spec: The task's shapes and units.
        sample_id: (rows,) strings.
        group: (rows,) strings.
        label: (rows,) strings, the rhythm label.
        copy: (rows,) int32.
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
    copy: np.ndarray
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
class SignalSource:
    """What the fold files of a study were made from; see `siwcc.data.augment.interface.Source`.

    Attributes:
        spec: The task's shapes and units.
        settings, dataset: The task's and the data set's section that the folds were made with.
        samples: The samples file.
    """

    spec: TaskSpec
    settings: SignalTask
    dataset: SignalDataset
    samples: Shard

    def moved(self, sample_id: np.ndarray, copy: np.ndarray, seed: int) -> SignalInputs:
        """The given copies of the given windows, in that order, without steps 2 to 6."""
        names, of_row = np.unique(sample_id, return_inverse=True)
        by_sample = np.argsort(of_row, kind="stable")
        of_each = np.split(by_sample, np.flatnonzero(np.diff(of_row[by_sample])) + 1)
        parts = [
            copy_rows(
                self.samples,
                place,
                sample_of(self.samples, place),
                copy[rows].tolist(),
                self.settings,
                self.dataset,
                seed,
                distorted=False,
            )
            for place, rows in zip(rows_of(self.samples, names.tolist()), of_each, strict=True)
        ]
        back = np.argsort(by_sample, kind="stable")
        return inputs_of(self.spec, {name: rows[back] for name, rows in join_rows(parts, parts[0]).items()})


def open_source(fold_paths: Sequence[Path], samples_path: SamplesPath) -> SignalSource:
    """Read what fold files were made from, as they say it.

    Args:
        fold_paths: Files that `open_inputs` takes, and has read.
        samples_path: The samples file that they were made from.

    Raises:
        InputError: a damaged file, or samples that the folds were not made from.
    """
    attributes = read_attributes(fold_paths[0], "fold")
    spec = TaskSpec.from_json(attributes["spec"])
    settings = cast(SignalTask, parse_task(spec, json.loads(attributes["protocol"])))
    dataset = parse_protocol(json.loads(attributes["dataset_protocol"]))
    assert isinstance(dataset, SignalDataset), "the fold is of the task"  # noqa: S101 - narrows the type
    samples = read_windows(samples_path, settings, dataset)
    if samples.digest != attributes["samples_digest"]:
        raise InputError(samples.path, f"changed since {fold_paths[0]} was made from it", "delete that and run again")
    return SignalSource(spec, settings, dataset, samples)


def open_originals(samples_path: SamplesPath, settings: SignalTask, dataset: SignalDataset, seed: int) -> SignalInputs:
    """Read all windows of a data set as folds have them, without augmented copies.

    Args:
        samples_path: The samples file.
        settings: The task's section of the config.
        dataset: The data set's section.
        seed: The study's seed, with which `rewindow` places the windows.

    Raises:
        InputError: as `read_windows`.
    """
    samples = read_windows(samples_path, settings, dataset)
    source = SignalSource(make_spec(settings, dataset), settings, dataset, samples)
    sample_id = samples.arrays["sample_id"]
    return source.moved(sample_id, np.zeros(len(sample_id), dtype=np.int32), seed)


def open_inputs(fold_paths: Sequence[Path], samples_path: SamplesPath, augmented_only: bool) -> SignalInputs:
    """Read fold files into memory.

    Args:
        fold_paths: Files named `fold<k>.h5`, at least one.
        samples_path: Not read: the folds hold the signals.
        augmented_only: Leave out the original samples (training).

    Raises:
        InputError: as `siwcc.data.augment.interface.read_folds`.
    """
    shards = list(read_folds(fold_paths, "signal", _FOLD_ARRAYS))
    names = (name for name in (*_FOLD_ARRAYS, "weighted") if name in shards[0].arrays)
    return inputs_of(TaskSpec.from_json(shards[0].attributes["spec"]), fold_rows(shards, names, augmented_only))


def inputs_of(spec: TaskSpec, rows: Mapping[str, np.ndarray]) -> SignalInputs:
    """Rows as they are in fold files, ready for a network.

    Args:
        spec: The task's shapes and units.
        rows: The arrays of fold files, see `write_fold`.
    """
    return SignalInputs(
        spec=spec,
        sample_id=rows["sample_id"],
        group=rows["group"],
        label=rows["class"],
        copy=rows["copy"],
        target=rows["target"].astype(np.float32),
        signal=rows["signal"],
        weighted=rows.get("weighted"),
        gap_s=rows["gap_s"],
        edge_s=rows["edge_s"],
    )
