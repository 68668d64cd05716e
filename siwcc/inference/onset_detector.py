"""Trained rhythm networks for use: a recording of any length in, a list of onsets with a probability out.

    blocks of the recording -> stretches with a margin -> as in training -> every network -> their mean, two curves or
        four -> onsets with a score -> a probability each

The preparation is that of the training, by its own function. A stretch is half an hour, with as much before and after
it as its values depend on, and begins with a whole second and a whole step of the networks: the curves are the same as
if the whole recording was prepared at once, except next to gaps in the signal that are longer than the margin. What
stays in memory is a stretch and the curves.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from siwcc.data.datasets.signals import resampling_ratio
from siwcc.evaluation.onset_settings import OnsetSettings
from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises
from siwcc.inference.arrays import as_leads, checked_rate, is_number, refuse_all_but_path, refuse_path, with_all_leads
from siwcc.inference.inputs import groups_of, kind_of
from siwcc.inference.onsets import Onset, Onsets
from siwcc.inference.rhythm_curve import rhythm_curves
from siwcc.inference.signal_blocks import Extent, SignalBlocks, blocks_of_array, open_signal, stretches
from siwcc.io.console import warn
from siwcc.io.errors import InputError
from siwcc.training.rhythm_checkpoint import RhythmModel
from siwcc.training.rhythm_windows import prepare_signal

Progress = Callable[[int, int], None]
"""Called with the seconds of the recording that are done, and of all."""

# Without a calibration the score is compared with it.
_THRESHOLD = 0.5
_STRETCH_S = 1800.0
# Of a network: that the rhythm is malignant, and that such a rhythm begins; and where it has them, two of beats.
_OUTPUTS = (2, 4)
# Times the filter's period: what is left of a transient is less than rounding.
_FILTER_PERIODS = 15.0


class OnsetDetector:
    """One or several trained rhythm networks, on the CPU.

    Args:
        models: As `siwcc.training.rhythm_checkpoint.read_rhythm_model` gives them.
        settings: How their curve becomes onsets with a probability; None: default settings, without probabilities.
        settings_path: Their file, for messages.

    Raises:
        InputError: no network, networks that do not take the same input, or settings for other networks.
    """

    def __init__(
        self,
        models: Sequence[RhythmModel],
        settings: OnsetSettings | None = None,
        settings_path: Path | None = None,
    ) -> None:
        if not models:
            raise InputError("models", "there is none", "give at least one detector")
        self.models = tuple(models)
        self.settings, self.settings_path = settings, settings_path
        first = models[0]
        if first.recipe.outputs not in _OUTPUTS:
            raise InputError(first.path, "was trained without an output for onsets", "train it with onset_sigma_s")
        for model in models[1:]:
            if (model.recipe, model.metadata.leads) != (first.recipe, first.metadata.leads):
                raise InputError(model.path, f"is made for other inputs than {first.path}", "use them one by one")
        for model in models if settings is not None else ():
            if model.metadata.weights_sha256 not in settings.weights_sha256:  # type: ignore[union-attr]
                problem = f"is not made for {model.path}"
                raise InputError(settings_path or "settings", problem, "put the right file there, or take it away")
        self.recipe = first.recipe

    @property
    def paths(self) -> tuple[Path, ...]:
        """The networks' files."""
        return tuple(model.path for model in self.models)

    @property
    def leads(self) -> tuple[int, ...]:
        """Indices of the leads that the networks were trained on, from 0."""
        return self.models[0].metadata.leads

    @property
    def event_labels(self) -> tuple[str, ...]:
        """Rhythms whose onsets are found."""
        return tuple(dict.fromkeys(label for model in self.models for label in model.metadata.event_labels))

    @property
    def threshold(self) -> float:
        """Least probability (without a calibration: score) of an onset that is listed by default."""
        return _THRESHOLD if self.settings is None else self.settings.threshold

    @property
    def silences_leads(self) -> bool:
        """Whether the networks were trained with leads missing, so that a silent one is nothing new to them."""
        return self.recipe.silence > 0

    def __repr__(self) -> str:
        """One line: networks, rhythms, threshold and what they take."""
        networks = f"{len(self.models)} network{'s' * (len(self.models) > 1)}"
        leads = ", ".join(str(lead + 1) for lead in self.leads)
        least = f"{'score' if self.settings is None else 'p'} >= {self.threshold:.2g}"
        return f"OnsetDetector({networks}, onsets of {' '.join(self.event_labels)}, {least}, leads {leads})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    def seen(self, path: Path) -> tuple[Path, ...]:
        """The networks that were trained on a recording of this file's name, or on its subject."""
        return tuple(model.path for model in self.models if _has_seen(model, path))

    def without(self, paths: Sequence[Path]) -> OnsetDetector | None:
        """The other networks; None if none is left."""
        kept = [model for model in self.models if model.path not in paths]
        return OnsetDetector(kept, self.settings, self.settings_path) if kept else None

    def find_onsets(
        self,
        array: np.ndarray,
        rate_hz: float,
        threshold: float | None = None,
        progress: Progress | None = None,
    ) -> Onsets:
        """The onsets in a recording.

        Args:
            array: (leads, samples) in mV; (samples,) is one lead. What is not finite is missing. One lead where the
                networks take more: the others are silent, if the networks were trained so, or repeat it.
            rate_hz: Its sampling rate.
            threshold: Least probability (without a calibration: score), 0 ... 1; None: `threshold` of the detector.
            progress: Called after each stretch of the recording.

        Raises:
            InputError: an array of another kind or shape, or a rate that is missing or too far from the networks'.
        """
        refuse_path(array, "find_onsets_in_file")
        rate_hz = checked_rate(rate_hz)
        return self._find(blocks_of_array(as_leads(array, len(self.leads)), rate_hz), threshold, progress)

    def find_onsets_in_file(
        self,
        path: str | os.PathLike[str],
        leads: Sequence[int] | None = None,
        rate_hz: float | None = None,
        threshold: float | None = None,
        progress: Progress | None = None,
    ) -> Onsets:
        """The onsets in a recording in a file; a record or EDF is read in blocks.

        Networks that were trained on a recording of this name are left out if there are others.

        Args:
            path: A WFDB record, with or without an extension, an EDF, or a CSV of a recording in mV.
            leads: Indices of the leads to read, from 0, where `--leads` counts from 1; None: those that the networks
                were trained on.
            rate_hz: Of a CSV, Hz.
            threshold: See `find_onsets`.
            progress: See `find_onsets`.

        Raises:
            InputError: the file cannot be read, or is not what the networks take.
        """
        refuse_all_but_path(path, "find_onsets", "find_onsets_in_file")
        path = Path(path)
        seen = self.seen(path)
        used = (self.without(seen) if seen else None) or self
        if seen and used is self:
            warn(f"{path}: every network was trained on a recording of that name; this is no test of them")
        return used.find_in_blocks(used.open(path, leads, rate_hz), threshold, progress)

    def open(self, path: Path, leads: Sequence[int] | None = None, rate_hz: float | None = None) -> SignalBlocks:
        """A recording in a file, for `find_in_blocks`; arguments and errors of `find_onsets_in_file`."""
        if kind_of(path) == "image":
            raise InputError(path, f"is an image, and {self.paths[0]} is made for recordings")
        return open_signal(path, self.leads, leads, rate_hz)

    def find_in_blocks(
        self, source: SignalBlocks, threshold: float | None = None, progress: Progress | None = None
    ) -> Onsets:
        """The onsets in a recording that is read in blocks; all networks predict."""
        try:
            return self._find(source, threshold, progress)
        except InputError as error:
            if error.where in ("array", "rate_hz"):
                raise InputError(source.path, error.problem, error.remedy) from error
            raise

    def _find(self, source: SignalBlocks, threshold: float | None, progress: Progress | None) -> Onsets:
        threshold = self.threshold if threshold is None else threshold
        if not (is_number(threshold) and 0 <= threshold <= 1):
            raise InputError("threshold", f"is {threshold!r}", "give a number from 0 to 1")
        extent = Extent(len(source.leads))
        curves, step_s = self._curves(source, extent, progress)
        settings = self.settings
        how = RiseSettings() if settings is None else settings.curve_settings
        end_s = source.samples / source.rate_hz
        found = [
            Onset(
                min(onset_s, end_s),
                min(until_s, end_s),
                None if settings is None else float(settings.score_map.of(score)),
                score,
            )
            for onset_s, until_s, score in find_rises(curves, step_s, how)
        ]
        shown = curves[0] if settings is None else settings.curve_map.of(curves[0])
        tolerance_s = None if settings is None else settings.tolerance_s
        return Onsets(found, threshold, source, shown, step_s, self.paths, tolerance_s, extent.silent(source.leads))

    def _curves(self, source: SignalBlocks, extent: Extent, progress: Progress | None) -> tuple[np.ndarray, float]:
        """The networks' mean, float64 (2 or 4, steps), see `rhythm_curves`, and the time between steps."""
        ratio = resampling_ratio(source.path, source.rate_hz, self.recipe.rate_hz)
        stride = self.recipe.stride
        steps = math.ceil(source.samples * ratio) // stride
        if not steps:
            raise InputError("array", f"has {source.samples} samples, too few for a prediction")
        # Samples of whole seconds and whole steps at the networks' rate.
        whole = math.lcm(round(self.recipe.rate_hz), stride)
        unit = ratio.denominator * (math.lcm(ratio.numerator, whole) // ratio.numerator)
        of_stretch, of_margin = (max(1, math.ceil(time_s * source.rate_hz / unit)) * unit for time_s in self._lengths_s)
        networks = [model.network for model in self.models]
        curves = np.empty((self.recipe.outputs, steps))
        for part in stretches(source, of_stretch, of_margin):
            first, core, stop = (int(sample * ratio) // stride for sample in (part.first, part.core, part.core_stop))
            stop = steps if part.core_stop == source.samples else stop
            extent.add(part.signal_mv)
            leads = with_all_leads(part.signal_mv, len(self.leads), self.silences_leads)
            signal = prepare_signal(leads, source.rate_hz, self.recipe)
            curves[:, core:stop] = rhythm_curves(networks, signal)[:, core - first : stop - first]
            if progress is not None:
                progress(round(part.core_stop / source.rate_hz), round(source.samples / source.rate_hz))
        return curves, stride / float(source.rate_hz * ratio)

    @property
    def _lengths_s(self) -> tuple[float, float]:
        """Of a stretch and of the margin to either side of it."""
        reach_s = max(model.network.reach for model in self.models) / self.recipe.rate_hz
        margin_s = reach_s + self.recipe.scale_window_s + _FILTER_PERIODS / self.recipe.highpass_hz
        return max(_STRETCH_S, 4 * margin_s), margin_s


def _has_seen(model: RhythmModel, path: Path) -> bool:
    """Whether the subject of a file's name is one of the training: its own name, or with that of its data set."""
    groups = groups_of(path, {"datasets": model.metadata.datasets})
    return not groups.isdisjoint(model.metadata.training_groups)
