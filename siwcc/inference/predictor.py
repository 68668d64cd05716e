"""Trained networks for use: a recording or an image in, a time or a point with its spread out.

    array -> (ECG: resampled, windows cut) -> as the study's original sample, copy 0 -> every network -> one prediction

The preparation is that of the study, by its own functions: `siwcc.data.datasets.signals.resample` and
`siwcc.data.augment.filters.decimate` for signals, `siwcc.data.datasets.images.place_image` and
`siwcc.data.augment.image.ImageInputs` for images.

Networks that read the peak or the median of a heatmap (`heatmap`, `median`) predict together with that of the mean
of their maps: where two `heatmap`s disagree, that is one of their places and not the middle between them. Others give
the median of their predictions.

A model always returns a prediction, even if there is nothing to find; one for several points also predicts for each
whether it is visible. Networks that make a heatmap (`dense`, `heatmap`, `median`) also give a confidence: how much of
the heatmap lies around the prediction, see docs/how-to/predict.md.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from siwcc.config import ImageTask, Kind, SignalTask, parse_protocol
from siwcc.data.augment.filters import decimate
from siwcc.data.augment.signal import weighted_channel
from siwcc.data.datasets.signals import resampling_ratio
from siwcc.data.tasks.interface import TaskSpec
from siwcc.inference.arrays import as_leads, checked_rate, is_number, refuse_all_but_path, refuse_path, with_all_leads
from siwcc.inference.inputs import SignalFile, kind_of, read_image, read_signal_file
from siwcc.inference.prediction import Heatmap, Prediction, Predictions, Spread
from siwcc.inference.signal_blocks import (
    Extent,
    PartReader,
    SignalBlocks,
    blocks_of_array,
    open_signal,
    resampled_blocks,
)
from siwcc.io.errors import InputError
from siwcc.io.lead_numbers import lead_indices
from siwcc.io.shards import Shard
from siwcc.nn.heatmap_networks import DenseNet, mean_map
from siwcc.training.checkpoint import TrainedModel

if TYPE_CHECKING:
    from siwcc.data.datasets.images import Placed
    from siwcc.evaluation.calibration_file import Calibration

Progress = Callable[[int, int], None]
"""Called with the number of windows predicted so far, and of all."""

MAX_WINDOWS = 200_000
# A recording that is longer by less has one window, its middle.
ABOUT_ONE_WINDOW = 1.1

_BATCH = 64
# Of a recording that is given to networks for images.
_MOST_LEADS = 2
_RETRAIN = "take a model.pt that this version of siwcc wrote, or train it again"


class _Window(NamedTuple):
    """How signals become inputs, in samples at `rate_hz`; the same for all networks of an ensemble."""

    rate_hz: float
    samples: int
    window_s: float
    median_samples: int
    decimate_by: int
    leads: tuple[int, ...]


class _Frame(NamedTuple):
    """How images become inputs."""

    shape: tuple[int, int]
    border: str
    colours: int


class Outputs(NamedTuple):
    """What networks predict for a batch of B.

    Attributes:
        of_each: float64 (networks, B, outputs).
        own_confidence: float64 (networks, B, points).
        together: float64 (B, outputs).
        confidence: float64 (B, points), in that; None without maps.
        values: float32 (B, points, *places), the mean map; None without maps.
        visible: float64 (B, points); None where a point is always there.
    """

    of_each: np.ndarray
    own_confidence: np.ndarray
    together: np.ndarray
    confidence: np.ndarray | None = None
    values: np.ndarray | None = None
    visible: np.ndarray | None = None


class _Grid(NamedTuple):
    """Where the places of maps are: `Heatmap.first` and `Heatmap.step`, and their axes."""

    first: tuple[float, ...]
    step: tuple[float, ...]
    axes: int


class Predictor:
    """One or several trained networks, on the CPU.

    Args:
        models: As `siwcc.training.checkpoint.read_model` gives them.
        calibration: Turns the confidence of these networks into a probability; None: there is none.
        calibration_path: Its file, for messages.

    Raises:
        InputError: none, networks that do not take the same input, or whose metadata say nothing of the input.
    """

    def __init__(
        self,
        models: Sequence[TrainedModel],
        calibration: Calibration | None = None,
        calibration_path: Path | None = None,
    ) -> None:
        if not models:
            raise InputError("models", "there is none", "give at least one model.pt")
        self.models = tuple(models)
        self.calibration, self.calibration_path = calibration, calibration_path
        self.spec = models[0].spec
        self._input = _input_of(models[0])
        for model in models[1:]:
            # The networks may differ, and their first layers; what they are shown may not.
            if (model.spec, _input_of(model)) != (self.spec, self._input):
                raise InputError(model.path, f"is made for other inputs than {models[0].path}", "use them one by one")
        mapped = [(model, body.stride) for model in models if isinstance(body := model.network.body, DenseNet)]
        self._stride = mapped[0][1] if mapped else 1
        for model, stride in mapped:
            if stride != self._stride:
                problem = f"makes a heatmap of another resolution than {mapped[0][0].path}"
                raise InputError(model.path, problem, "use them one by one")

    @property
    def task(self) -> str:
        """Name of the task, such as `ecg` or `nuclei`."""
        return self.spec.task

    @property
    def kind(self) -> Kind:
        """Whether it predicts from signals or from images."""
        return self.spec.kind

    @property
    def paths(self) -> tuple[Path, ...]:
        """The networks' files."""
        return tuple(model.path for model in self.models)

    @property
    def window_s(self) -> float:
        """Length of the window that a network sees, seconds.

        Raises:
            InputError: a network for images.
        """
        return self._window.window_s

    @property
    def leads(self) -> tuple[int, ...]:
        """Indices of the leads that the networks were trained on, from 0.

        Raises:
            InputError: a network for images.
        """
        return self._window.leads

    @cached_property
    def makes_map(self) -> bool:
        """Whether any network gives a confidence."""
        return any(isinstance(model.network.body, DenseNet) for model in self.models)

    @cached_property
    def tells_visible(self) -> bool:
        """Whether any network says of a point that it is not there."""
        return any(model.network.tells_visible for model in self.models)

    @cached_property
    def silences_leads(self) -> bool:
        """Whether every network was trained with leads missing, so that a silent one is nothing new to it."""
        return all(_silence(model) > 0 for model in self.models)

    def seen(self, group: str) -> tuple[Path, ...]:
        """The networks that were trained on a record, patient or slide image of this name."""
        return tuple(model.path for model in self.models if group in model.metadata.training_groups)

    def without(self, paths: Sequence[Path]) -> Predictor | None:
        """The other networks; None if none is left."""
        kept = [model for model in self.models if model.path not in paths]
        return Predictor(kept, self.calibration, self.calibration_path) if kept else None

    @property
    def probability_name(self) -> str:
        """Which probability the calibration gives, see `Prediction.probability_name`; empty without one."""
        if self.calibration is None:
            return ""
        if self.calibration.unit == "s":
            return f"p_within_{self.calibration.limit:g}s_given_event"
        return f"p_within_{100 * self.calibration.limit / self.spec.shape[-1]:g}_percent"

    def __repr__(self) -> str:
        """One line: task, networks and what they take."""
        what = (
            f"windows of {self.window_s:g} s, leads {', '.join(str(lead + 1) for lead in self.leads)}"
            if self.kind == "signal"
            else f"{'gray' if self.spec.channels == 1 else 'RGB'} {self.kind}s"
        )
        kinds = ", ".join(dict.fromkeys(f"{model.key.encoding}/{model.key.variant}" for model in self.models))
        return f"Predictor({self.task}, {len(self.models)} network{'s' * (len(self.models) > 1)} {kinds}, for {what})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    def predict(self, array: np.ndarray, rate_hz: float | None = None, at_s: float | None = None) -> Prediction:
        """The prediction for one window of a recording, or for an image.

        Args:
            array: ECG: (leads, samples) in mV, of any rate; (samples,) is one lead. What is not finite is missing.
                Image: uint8 (height, width, 3), RGB, or (height, width), gray, of any size.
            rate_hz: Of the ECG, Hz.
            at_s: Middle of the window, seconds of the recording; see `predict_windows`. Without it the recording must
                be about one window long: its middle is taken, or zeros are added at its end.

        Raises:
            InputError: an array of another kind, a rate that is missing or too far from the networks', a recording
                longer than `ABOUT_ONE_WINDOW` windows without `at_s`, an image that is all of one value.
        """
        refuse_path(array, "predict_file")
        if isinstance(self._input, _Frame):
            return self._predict_image(array, self._input)
        rate_hz = checked_rate(rate_hz)
        if at_s is not None and np.ndim(at_s):
            raise InputError("at_s", f"is {at_s!r}", "give one time; take predict_windows for several times")
        length_s = np.shape(array)[-1] / rate_hz if np.ndim(array) else 0.0
        if at_s is None and length_s > ABOUT_ONE_WINDOW * self.window_s:
            problem = f"is {length_s:g} s long, and a window {self.window_s:g} s"
            raise InputError("array", problem, "give at_s, or take predict_windows")
        return self.predict_windows(array, rate_hz, None if at_s is None else [at_s])[0]

    def predict_windows(
        self,
        array: np.ndarray,
        rate_hz: float,
        at_s: Sequence[float] | None = None,
        every_s: float | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """The predictions for several windows of a recording.

        Windows lie in the recording: one that would begin before it begins with it, one that would end after it ends
        with it. A shorter recording has zeros at its end, and a window has zeros at samples that are missing, as in the
        study. One lead where the networks take more: the others are silent, if the networks were trained so, or
        repeat it.

        Args:
            array: (leads, samples) in mV; (samples,) is one lead. What is not finite is missing.
            rate_hz: Samples a second.
            at_s: Middle of each window, seconds of the recording.
            every_s: Seconds from the start of one window to that of the next, if `at_s` is None; by default half a
                window. Unless it is more than a window, a last window reaches to the recording's end.
            progress: Called after each batch.

        Returns:
            One prediction a window, in the order of `at_s` or of time.

        Raises:
            InputError: as `predict`; a time outside the recording, or more than `MAX_WINDOWS` windows.
        """
        refuse_path(array, "predict_file")
        taken = self.leads
        original = with_all_leads(as_leads(array, self.spec.channels), self.spec.channels, self.silences_leads)
        rate_hz = checked_rate(rate_hz)
        source = SignalFile(Path("array"), original, rate_hz, taken, len(original), ("",) * len(original))
        found = self.predict_in_blocks(blocks_of_array(original, rate_hz), at_s, every_s, progress)
        return Predictions(replace(prediction, source=source) for prediction in found)

    def predict_in_blocks(
        self,
        source: SignalBlocks,
        at_s: Sequence[float] | None = None,
        every_s: float | None = None,
        progress: Progress | None = None,
        extent: Extent | None = None,
    ) -> Iterator[Prediction]:
        """The predictions of `predict_windows`, one after the other, for a recording that is read in blocks.

        Args:
            source: The recording, with as many leads as the networks take, or one.
            at_s: See `predict_windows`.
            every_s: See `predict_windows`.
            progress: Called after each batch.
            extent: Takes in what is read.

        Yields:
            As `predict_windows`, without the recording. All that is damaged is known only after the last one.

        Raises:
            InputError: as `predict_windows`; the file is damaged.
        """
        window = self._window
        with _naming(source.path):
            if at_s is not None:
                _check_times(at_s)
            if not source.samples:
                raise InputError("array", "has no samples")
            ratio = resampling_ratio(source.path, source.rate_hz, window.rate_hz)
            # Not always the rate asked for: the ratio may be the nearest one of small numbers.
            exact_hz = float(source.rate_hz * ratio)
            starts = _starts(window.samples, math.ceil(source.samples * ratio), exact_hz, at_s, every_s)
            blocks = resampled_blocks(source, ratio, extent or Extent(len(source.leads)))
            leads = (with_all_leads(block, self.spec.channels, self.silences_leads) for block in blocks)
            reader = PartReader(leads, self.spec.channels)
            order = np.argsort(starts, kind="stable")
            found = self._in_order_of_time(reader, [starts[number] for number in order], exact_hz, progress)
            if (np.diff(order) > 0).all():
                yield from found
            else:
                in_order = list(found)
                yield from (in_order[place] for place in np.argsort(order))

    def _in_order_of_time(
        self, reader: PartReader, starts: Sequence[int], exact_hz: float, progress: Progress | None
    ) -> Iterator[Prediction]:
        samples = self._window.samples
        for first in range(0, len(starts), _BATCH):
            batch = starts[first : first + _BATCH]
            cut = [_cut(reader.part(start, start + samples), samples) for start in batch]
            yield from self._predict_batch(cut, batch, exact_hz)
            if progress is not None:
                progress(first + len(batch), len(starts))
        reader.finish()

    def predict_file(
        self,
        path: str | os.PathLike[str],
        at_s: Sequence[float] | None = None,
        every_s: float | None = None,
        leads: Sequence[int] | None = None,
        rate_hz: float | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """The predictions for a recording or an image in a file.

        Args:
            path: A WFDB record, with or without an extension, a CSV of a recording in mV, or an image.
            at_s: Of a recording, see `predict_windows`.
            every_s: Of a recording, see `predict_windows`.
            leads: Of a recording: indices of the leads to read, from 0, where `--leads` counts from 1; None: those that
                the networks were trained on.
            rate_hz: Of a CSV, Hz.
            progress: Called after each batch of windows.

        Returns:
            One prediction for an image, one per window for a recording.

        Raises:
            InputError: the file cannot be read, or is not what the networks take.
        """
        refuse_all_but_path(path, "predict", "predict_file")
        path = Path(path)
        self.check_kind(path)
        if isinstance(self._input, _Frame):
            with _naming(path):
                return Predictions([self._predict_image(read_image(path), self._input)])
        signal = read_signal_file(path, self.leads, leads, rate_hz)
        with _naming(path):
            found = self.predict_windows(signal.signal_mv, signal.rate_hz, at_s, every_s, progress)
        return Predictions(replace(prediction, source=signal) for prediction in found)

    def open(self, path: Path, leads: Sequence[int] | None = None, rate_hz: float | None = None) -> SignalBlocks:
        """A recording in a file, for `predict_in_blocks`; arguments and errors of `predict_file`."""
        self.check_kind(path)
        return open_signal(path, self.leads, leads, rate_hz)

    def predict_prepared(self, signal: Tensor) -> Outputs:
        """The predictions for a batch that is prepared as the study's folds are.

        Args:
            signal: float32 (B, channels, *shape), see `siwcc.data.augment.interface.Inputs.batch`; all networks are
                given the same, so they must have one encoding.

        Raises:
            InputError: a prediction that is not finite.
        """
        return self._outputs([signal] * len(self.models))

    def check_kind(self, path: Path) -> None:
        """Compare the kind of a file, by its name, with what the networks take.

        Raises:
            InputError: an image for networks of recordings, or the other way around.
        """
        if (kind_of(path) == "image") != isinstance(self._input, _Frame):
            kinds = ("an image", "recordings") if kind_of(path) == "image" else ("no image", "images")
            raise InputError(path, f"is {kinds[0]}, and {self.paths[0]} is made for {kinds[1]}")

    @property
    def _window(self) -> _Window:
        if isinstance(self._input, _Frame):
            raise InputError(self.paths[0], "is a network for images, not for signals")
        return self._input

    def _predict_batch(
        self, cut: Sequence[tuple[np.ndarray, int]], starts: Sequence[int], exact_hz: float
    ) -> list[Prediction]:
        window = self._window
        outputs_of = self._outputs(_signal_inputs(np.stack([values for values, _ in cut]), window, self.models))
        step_s = self._stride * self.spec.extent[0] / (self.spec.shape[0] - 1)
        found = []
        for row, (start, (_, missing)) in enumerate(zip(starts, cut, strict=True)):
            start_s = start / exact_hz
            of_window = {
                "window_s": (start_s, start_s + window.window_s),
                "no_signal_s": missing / window.rate_hz,
            }
            grid = _Grid((start_s,), (step_s,), axes=1)
            found.append(self._prediction(outputs_of, row, np.array([-start_s]), 1.0, grid, **of_window))
        return found

    def _predict_image(self, image: np.ndarray, frame: _Frame) -> Prediction:
        placed = _place(image, frame)
        inputs = _image_inputs(placed, self.spec, frame.border)
        outputs_of = self._outputs([inputs] * len(self.models))
        left, top, _, _ = (int(value) for value in placed.content_box)
        shift, zoom = np.array([left, top]), placed.zoom
        step = self._stride * zoom
        grid = _Grid((-left * zoom, -top * zoom), (step, step), axes=2)
        return replace(self._prediction(outputs_of, 0, shift, zoom, grid), source=np.asarray(image))

    @torch.inference_mode()
    def _outputs(self, inputs: Sequence[Tensor]) -> Outputs:
        of_each, maps = [], []
        for model, signal in zip(self.models, inputs, strict=True):
            encoded, body = model.network.encoded(signal), model.network.body
            log_map = None
            if isinstance(body, DenseNet):
                log_map = body.log_map(encoded)
            of_each.append(body(encoded) if log_map is None else cast(DenseNet, body).decode(log_map))
            maps.append(log_map)
        stacked = torch.stack(of_each)
        if not bool(torch.isfinite(stacked).all()):
            raise InputError("array", "gives a prediction that is not finite", "look for extreme values in it")
        own = np.stack([_confidence(*of) for of in zip(self.models, maps, of_each, strict=True)])
        known = [(model, log_map) for model, log_map in zip(self.models, maps, strict=True) if log_map is not None]
        together = self._together(stacked, [log_map for _, log_map in known])
        if not known:
            return Outputs(stacked.double().numpy(), own, together)
        at = torch.from_numpy(together).to(stacked.dtype)
        confidence = np.mean([_confidence(model, log_map, at) for model, log_map in known], axis=0)
        values = torch.stack([log_map.exp() for _, log_map in known]).mean(0).numpy()
        of_networks = [
            body.visible(log_map).double().numpy()
            for model, log_map in known
            if isinstance(body := model.network.body, DenseNet) and model.network.tells_visible
        ]
        visible = np.mean(of_networks, axis=0) if of_networks else None
        return Outputs(stacked.double().numpy(), own, together, confidence, values, visible)

    def _together(self, predictions: Tensor, log_maps: Sequence[Tensor]) -> np.ndarray:
        """One prediction of all networks, float64 (B, outputs), from theirs, (networks, B, outputs)."""
        bodies = [model.network.body for model in self.models]
        readouts = {body.readout if isinstance(body, DenseNet) else None for body in bodies}
        if len(bodies) > 1 and readouts in ({"arg_max"}, {"median"}):
            return np.asarray(cast(DenseNet, bodies[0]).decode(mean_map(log_maps)).double().numpy())
        # numpy's: torch takes the lower of the two in the middle.
        return np.asarray(np.median(predictions.double().numpy(), axis=0))

    def _prediction(
        self, found: Outputs, row: int, origin: np.ndarray, zoom: float, grid: _Grid, **of_window: Any
    ) -> Prediction:
        """One row, its points in the recording or image: what the network calls `origin` is 0 there."""
        first, *further = (
            replace(self._point(found, row, number, origin, zoom, grid), **of_window)
            for number in range(len(self.spec.points))
        )
        return replace(first, further=tuple(further))

    def _point(self, found: Outputs, row: int, number: int, origin: np.ndarray, zoom: float, grid: _Grid) -> Prediction:
        name, outputs = list(self.spec.points.items())[number]
        confidence = None if found.confidence is None else float(found.confidence[row, number])
        # The calibration is of the first point.
        calibration = self.calibration if number == 0 else None
        points = (found.of_each[:, row, outputs] - origin) * zoom
        values = None if found.values is None else found.values[row, number]
        if values is not None and grid.axes == 1:
            values = values.reshape(-1)
        spread = None
        if len(points) > 1:
            parts = (points.min(axis=0), points.max(axis=0), points.std(axis=0, ddof=1))
            spread = Spread(*(tuple(part.tolist()) for part in parts))
        return Prediction(
            position=tuple(((found.together[row, outputs] - origin) * zoom).tolist()),
            unit=self.spec.unit,
            confidence=confidence,
            probability=float(calibration.of(confidence)) if calibration and confidence is not None else None,
            probability_name=self.probability_name if number == 0 else "",
            spread=spread,
            network_positions=points,
            confidences=found.own_confidence[:, row, number],
            models=self.paths,
            heatmap=None if values is None else Heatmap(values, grid.first, grid.step),
            point=name,
            visible=None if found.visible is None else float(found.visible[row, number]),
        )


def _input_of(model: TrainedModel) -> _Window | _Frame:
    """What a network is shown, from metadata that may say anything."""
    spec = model.spec
    if spec.kind == "volume":
        remedy = "its predictions for the study's volumes are in predictions.csv"
        raise InputError(model.path, "is a network for volumes, and new volumes cannot be read yet", remedy)
    try:
        section = parse_protocol(model.metadata.dataset_protocol)
        if spec.kind == "image":
            height, width = getattr(section, "image_shape", (0, 0))
            colours = getattr(section, "colours", 0)
            if (colours, height, width) != (spec.channels, *spec.shape):
                raise ValueError(f"{colours} x {height} x {width} px for a network of shape {spec.shape}")
            return _Frame((height, width), ImageTask(**model.metadata.task_protocol).border, colours)
        task = SignalTask(**model.metadata.task_protocol)
        rate_hz, window_s = getattr(section, "rate_hz", 0.0), getattr(section, "window_s", 0.0)
        samples = round(window_s * rate_hz)
        if (-(-samples // task.decimate_by),) != spec.shape:
            raise ValueError(f"windows of {samples} samples for a network of shape {spec.shape}")
        leads = lead_indices(getattr(section, "leads", range(1, spec.channels + 1)))
        return _Window(rate_hz, samples, window_s, task.median_samples, task.decimate_by, leads)
    except (InputError, ValueError, TypeError) as error:
        # pydantic's errors are ValueErrors.
        words = str(error).splitlines()[0]
        raise InputError(model.path, f"its metadata do not say what it is to be shown ({words})", _RETRAIN) from error


def _silence(model: TrainedModel) -> float:
    online_augmentation = model.metadata.train.get("online_augmentation")
    silence = online_augmentation.get("silence") if isinstance(online_augmentation, dict) else 0
    return float(silence) if isinstance(silence, int | float) else 0.0


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What is wrong with an array is wrong with the file that it was read from."""
    try:
        yield
    except InputError as error:
        if error.where in ("array", "rate_hz"):
            raise InputError(path, error.problem, error.remedy) from error
        raise


def _check_times(at_s: Sequence[float]) -> None:
    if np.ndim(at_s) != 1 or not all(map(is_number, at_s)):
        raise InputError("at_s", f"is {at_s!r}", "give a list of times in seconds")


def _starts(
    samples: int, length: int, rate_hz: float, at_s: Sequence[float] | None, every_s: float | None
) -> list[int]:
    """First samples of the windows; none begins before the recording, none ends after it if it is long enough."""
    last = max(0, length - samples)
    if at_s is not None:
        outside = [time_s for time_s in at_s if not 0 <= time_s * rate_hz <= length]
        if outside:
            length_s = length / rate_hz
            problem = f"is {length_s:g} s long and has nothing at {outside[0]:g} s"
            raise InputError("array", problem, f"give times from 0 to {length_s:g} s")
        return [min(max(round(time_s * rate_hz) - samples // 2, 0), last) for time_s in at_s]
    if every_s is None and length <= ABOUT_ONE_WINDOW * samples:
        return [last // 2]
    hop = samples // 2 if every_s is None else _hop(every_s, rate_hz)
    if last // hop >= MAX_WINDOWS:
        problem = f"would have more than {MAX_WINDOWS} windows"
        raise InputError("array", problem, "let more seconds lie between them, or cut it into parts")
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last or hop > samples else [*starts, last]


def _hop(every_s: float, rate_hz: float) -> int:
    if not (np.isfinite(every_s) and every_s > 0):
        raise InputError("every", f"is {every_s:g} s", "give seconds above 0")
    return max(1, round(every_s * rate_hz))


def _cut(signal_mv: np.ndarray, samples: int) -> tuple[np.ndarray, int]:
    """A window, float32 (leads, samples), zero where there is no signal, and for how many samples any lead has none."""
    values = np.full((len(signal_mv), samples), np.nan, dtype=np.float32)
    values[:, : signal_mv.shape[1]] = signal_mv
    valid = np.isfinite(values).all(axis=0)
    # As in the windows that the study cuts again: a sample counts with all its leads or with none.
    return np.where(valid, values, np.float32(0)), int(samples - np.count_nonzero(valid))


def _signal_inputs(windows: np.ndarray, window: _Window, models: Sequence[TrainedModel]) -> list[Tensor]:
    """What each network is given, float32 (B, channels, model samples), for windows (B, leads, samples)."""
    signal = decimate(windows, window.median_samples, window.decimate_by)
    plain = weighted = torch.from_numpy(signal)
    if any(_is_precomputed(model) for model in models):
        channel = np.stack([weighted_channel(values.astype(np.float64), window.window_s) for values in windows])
        channel = decimate(channel.astype(np.float32), window.median_samples, window.decimate_by)
        weighted = torch.from_numpy(np.concatenate([signal, channel[:, np.newaxis]], axis=1))
    return [weighted if _is_precomputed(model) else plain for model in models]


def _is_precomputed(model: TrainedModel) -> bool:
    """Whether the weighted coordinate comes with the signal (`weighted_at: source_rate`)."""
    return model.metadata.signal_channels > model.spec.channels


def _place(image: np.ndarray, frame: _Frame) -> Placed:
    from siwcc.data.datasets.images import SampleDefectError, as_colours, place_image

    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        problem = f"is {array.dtype} {array.shape}; uint8 (height, width, 3), RGB, or (height, width), gray, is needed"
        raise InputError("array", problem, _image_remedy(array))
    if array.ndim == 2:
        array = np.repeat(array[:, :, np.newaxis], 3, axis=2)
    try:
        return place_image(as_colours(np.ascontiguousarray(array), frame.colours), np.empty((0, 2)), frame.shape)
    except SampleDefectError as defect:
        raise InputError("array", str(defect)) from defect


def _image_remedy(array: np.ndarray) -> str:
    if array.ndim == 3 and array.shape[2] == 4:
        return "leave the fourth channel out: array[..., :3]"
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] > 4:
        return "move the channels to the end: array.transpose(1, 2, 0)"
    if array.ndim == 1 or (array.ndim == 2 and min(array.shape) <= _MOST_LEADS):
        return "it looks like a recording; use load_model('ecg')"
    if array.dtype.kind not in "iuf" or not array.size:
        return "convert it first"
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
        return "scale it to 0 ... 255 first"
    if array.dtype.kind != "f":
        return "convert it: array.astype('uint8')"
    # Which of the two scales it has is visible in the values alone.
    return f"convert it: {'(255 * array)' if array.max() <= 1 else 'array'}.round().astype('uint8')"


def _image_inputs(placed: Placed, spec: TaskSpec, border: str) -> Tensor:
    """Copy 0 of the image, float32 (1, 3, size, size), by the study's own code."""
    from siwcc.data.augment.image import IDENTITY, ImageInputs

    name = np.array(["image"], dtype=object)
    rows = {
        "sample_id": name,
        "group": name,
        "class": name,
        "copy": np.zeros(1, dtype=np.int32),
        "target": np.zeros((1, len(spec.outputs))),
        "translation": np.array([IDENTITY.translation_px]),
        "rotation_deg": np.array([IDENTITY.rotation_deg]),
        "scale": np.array([IDENTITY.scale]),
    }
    arrays = {
        "sample_id": name,
        "signal": placed.image[np.newaxis],
        "content_box": placed.content_box[np.newaxis],
        "mean": np.array([placed.mean]),
        "std": np.array([placed.std]),
    }
    inputs = ImageInputs(spec, rows, Shard(Path("image"), {}, arrays, ""), border)
    return inputs.batch(np.zeros(1, dtype=np.int64), "none")


def _confidence(model: TrainedModel, log_map: Tensor | None, prediction: Tensor) -> np.ndarray:
    """The confidence of a network in a prediction, float64 (B, points); NaN without a map."""
    body = model.network.body
    if log_map is None or not isinstance(body, DenseNet):
        return np.full((len(prediction), len(model.spec.points)), np.nan)
    return np.asarray(body.confidence(log_map, prediction).double().numpy())
