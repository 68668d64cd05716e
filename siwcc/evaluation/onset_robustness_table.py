"""`<dataset>.robustness.csv`: onsets found in perturbed recordings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OnsetRobustness:
    """One line: a perturbation at one strength; the attributes are the columns, in this order.

    Attributes:
        dataset: Its name.
        perturbation, strength, unit, level: What was done to the recordings, and how much.
        unperturbed: 1 where this strength leaves the recordings as they are, else 0.
        onsets, found, sensitivity, false_alarms_per_h: As in `onsets.csv`, within 2.5 s, at the default threshold.
        *_low, *_high: Ends of the 95 % intervals over subjects.
    """

    dataset: str
    perturbation: str
    strength: float
    unit: str
    level: str
    unperturbed: int
    onsets: int
    found: int
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    false_alarms_per_h: float
    false_alarms_per_h_low: float
    false_alarms_per_h_high: float
