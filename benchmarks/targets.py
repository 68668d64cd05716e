"""The rows of the table: what is measured, what must be reached, what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["ratio", "share", "s", "GB", "one_to", "MB"]


@dataclass(frozen=True)
class Target:
    """One row.

    Attributes:
        what: As printed.
        unit: `ratio` ours : scripts; `share` of one; `one_to` ours : theirs in bytes; or a unit.
        must: The worst value accepted; None for a row that is only shown.
        aim: The value hoped for.
        lower_is_better: For costs.
    """

    what: str
    unit: Unit
    must: float | None = None
    aim: float | None = None
    lower_is_better: bool = False

    def verdict(self, value: float) -> str:
        """`aim`, `must` or `not reached`; empty for a row without a target."""
        if self.must is None or self.aim is None:
            return ""
        for name, limit in (("aim", self.aim), ("must", self.must)):
            if value <= limit if self.lower_is_better else value >= limit:
                return name
        return "not reached"

    def shown(self, value: float | None) -> str:
        """A value of this row with its unit."""
        if value is None:
            return ""
        forms = {
            "ratio": "{:.2f}x",
            "share": "{:.0%}",
            "s": "{:.2f} s",
            "GB": "{:.2f} GB",
            "one_to": "1 : {:.0f}",
            "MB": "{:.0f} MB",
        }
        return forms[self.unit].format(value)


TARGETS = {
    "ecg": Target("ECG training, samples per second, side by side, ours : scripts", "ratio", 6, 9),
    "ecg_peak": Target("ECG training step, share of the convolution peak", "share", 0.25, 0.35),
    "image": Target("image training at 256 px, ours : scripts as they are", "ratio", 4, 6),
    "image_tuned": Target("image training at 256 px, ours : scripts with a tuned allocator", "ratio", 1.7, 2.2),
    "image_peak": Target("image training step, share of the convolution peak", "share", 0.45, 0.60),
    "augment": Target("ECG augmentation and decimation of a variant, one thread, ours : scipy", "ratio", 2, 3),
    "study": Target("the whole ECG study, raw records to comparisons.csv, ours : scripts", "ratio", 5, 8),
    "overhead": Target("CPU time of a run beyond augmenting, training, evaluating", "s", 4, 2, True),
    "overhead_share": Target("its share of the ECG study's CPU time", "share", 0.15, 0.07, True),
    "disk": Target("prepared image data on disk : float tensors of one encoding", "one_to", 100, 130),
    "memory": Target("memory of an image training, beyond the base images", "GB", 1.5, 1.0, True),
    "memory_growth": Target("the same: what 20 variants an image take beyond 2, full size", "MB"),
    "dry_run": Target("snakemake -n of the paper study", "s", 5, 2, True),
    "dry_run_cpu": Target("the same, CPU time", "s"),
}
