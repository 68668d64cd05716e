"""ECG changepoints: some leads, two in the paper, and one time in seconds from the window's start."""

from __future__ import annotations

from siwcc.config import EcgDataset, EcgTask
from siwcc.tasks import ErrorLimits, TaskSpec

FINE_S, COARSE_S = 0.5, 1.0


def make_spec(settings: EcgTask, dataset: EcgDataset) -> TaskSpec:
    """Shape and coordinates after decimation.

    The coordinate is `linspace(0, window_s, n)` over the n samples of the source; the model sees
    every `decimate_by`-th of them, so its last coordinate lies below `window_s` (paper, 2.2.1).
    """
    source_samples = round(dataset.window_s * dataset.rate_hz)
    length = -(-source_samples // settings.decimate_by)
    last_source_sample = (length - 1) * settings.decimate_by
    return TaskSpec(
        task="ecg",
        network="nimesha",
        outputs=("",),
        unit="s",
        channels=len(dataset.leads),
        shape=(length,),
        extent=(last_source_sample * dataset.window_s / (source_samples - 1),),
        output_scale=dataset.window_s,
    )


def error_limits(spec: TaskSpec) -> ErrorLimits:
    """Half a second and a second; isolated is an event with no other in the window's length before it."""
    return ErrorLimits(spec.unit, FINE_S, COARSE_S, isolated_s=spec.output_scale)
