"""Tasks of signals: some leads, two in the paper, and times in seconds from the window's start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siwcc.config import SignalDataset, SignalTask
from siwcc.data.points import output_suffixes
from siwcc.data.tasks.interface import ErrorLimits, SignalNote, TaskSpec


def make_spec(settings: SignalTask, dataset: SignalDataset) -> TaskSpec:
    """Shape and coordinates after decimation.

    The coordinate is `linspace(0, window_s, n)` over the n samples of the source; the model sees
    every `decimate_by`-th of them, so its last coordinate lies below `window_s` (paper, 2.2.1).
    """
    source_samples = round(dataset.window_s * dataset.rate_hz)
    length = -(-source_samples // settings.decimate_by)
    last_source_sample = (length - 1) * settings.decimate_by
    return TaskSpec(
        task=settings.name,
        network="nimesha",
        outputs=output_suffixes(settings.points, axes=1),
        unit="s",
        channels=len(dataset.leads),
        shape=(length,),
        extent=(last_source_sample * dataset.window_s / (source_samples - 1),),
        output_scale=dataset.window_s,
    )


def error_limits(spec: TaskSpec, limits: tuple[float, float]) -> ErrorLimits:
    """In seconds; isolated is an event with no other in the window's length before it."""
    return ErrorLimits(spec.unit, *limits, isolated_s=spec.output_scale)


def signal_note(spec: TaskSpec, given_channels: int, dataset: Mapping[str, Any], task: Mapping[str, Any]) -> SignalNote:
    """Leads in mV; the window, the running median and the thinning out of `siwcc.data.augment.filters.decimate`."""
    channels = [f"lead {i + 1}, mV" for i in range(spec.channels)]
    preparation = (
        f"A window of {dataset.get('window_s')} s at {dataset.get('rate_hz')} Hz, with an event in it. "
        f"Of each channel the running median over {task.get('median_samples')} samples, zeros beyond either end, then "
        f"every {task.get('decimate_by')}th sample from the first on: {spec.shape[0]} samples. No filter, no scaling."
    )
    if given_channels > spec.channels:
        channels.append("time times the mean of the leads, mV s")
        preparation += (
            " The last channel is made first, of all samples of the window: time in seconds, from 0 at the first "
            f"sample to {dataset.get('window_s')} at the last, times the mean of the leads."
        )
    prediction = "Time of the event from the window's first sample, in seconds."
    if len(spec.points) > 1:
        prediction = f"Times from the window's first sample, in seconds: {' and '.join(spec.points)} of the event."
    return SignalNote(tuple(channels), preparation, prediction)
