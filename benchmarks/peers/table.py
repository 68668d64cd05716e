"""The table: accuracy and cost of both sides, and their differences over slide images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.bootstrap import Draws, Sums, with_intervals
from siwcc.io.files import write_text
from siwcc.io.tables import columns_of, write_lines

OURS, PEER, DIFFERENCE = "siwcc", "landmarker", "difference"
SEARCH = (
    "Search: siwcc chose its network and training on inner folds of the training cells. landmarker has the defaults of "
    "its classes, and levels, channels, Gaussian, learning rate and batch size of one earlier trial; they were not "
    "searched."
)
_COSTS = (
    "CPU time is that of the whole process; the budget of landmarker is for its training alone. Ours is from "
    "Snakemake's benchmark files, which sample it every 30 s or less, so that the last part of a run is not in it"
)


@dataclass(frozen=True)
class Side:
    """One method.

    Attributes:
        method: `siwcc` or `landmarker`.
        network: Its network.
        error: float64 (cells,), distance in pixels, in the same order on both sides.
        parameters: Of the network; None where it is not known.
        cpu_s, wall_s: Mean over folds of the process; None where it was not recorded.
        training_cpu_s: Mean over folds of the training alone; None where it was not recorded.
    """

    method: str
    network: str
    error: np.ndarray
    parameters: int | None = None
    cpu_s: float | None = None
    wall_s: float | None = None
    training_cpu_s: float | None = None


@dataclass(frozen=True)
class PeerLine:
    """One row of the CSV; the attributes are the columns.

    The ends of 95 % intervals, `*_low` and `*_high`, are NaN with one slide image.

    Attributes:
        method, network: As in `Side`; `difference` is siwcc minus landmarker, paired over slide images.
        budget_s: CPU seconds of the peer's training of one fold.
        folds, samples, groups: What was summed up.
        median, p90, mean: Of the error, in pixels.
        within_fine, within_coarse: Fraction of the cells whose error is at most the limit.
        limit_fine, limit_coarse: The two limits, in pixels.
        cpu_s, wall_s, training_cpu_s, parameters: As in `Side`, of one fold; empty where they are not known.
    """

    method: str
    network: str
    budget_s: float
    folds: int
    samples: int
    groups: int
    median: float
    median_low: float
    median_high: float
    p90: float
    p90_low: float
    p90_high: float
    mean: float
    mean_low: float
    mean_high: float
    within_fine: float
    within_fine_low: float
    within_fine_high: float
    within_coarse: float
    within_coarse_low: float
    within_coarse_high: float
    limit_fine: float
    limit_coarse: float
    cpu_s: float | None = None
    wall_s: float | None = None
    training_cpu_s: float | None = None
    parameters: int | None = None


def compare(
    ours: Side, peer: Side, group: np.ndarray, limits: ErrorLimits, folds: int, budget_s: float
) -> list[PeerLine]:
    """Both sides and their difference, with bootstrap intervals over slide images.

    Args:
        ours: Our arm.
        peer: The peer.
        group: (cells,) the slide image of each cell.
        limits: Of the task.
        folds: How many were evaluated.
        budget_s: CPU seconds of the peer's training of one fold.
    """
    draws = Draws(group, limits.fine, limits.coarse)
    sums = [(draws.sums_of_all(side.error), draws.sums_of(side.error)) for side in (ours, peer)]
    differences = tuple(
        Sums(*(own - other for own, other in zip(*pair, strict=True))) for pair in zip(*sums, strict=True)
    )
    common: dict[str, Any] = {
        "budget_s": budget_s,
        "folds": folds,
        "samples": len(group),
        "groups": draws.records,
        "limit_fine": limits.fine,
        "limit_coarse": limits.coarse,
    }
    costs = ("method", "network", "cpu_s", "wall_s", "training_cpu_s", "parameters")
    heads: list[dict[str, Any]] = [{name: getattr(side, name) for name in costs} for side in (ours, peer)]
    heads.append({"method": DIFFERENCE, "network": ""})
    return [
        PeerLine(
            **head,
            **common,
            **with_intervals({name: (getattr(of_all, name), getattr(drawn, name)) for name in Sums._fields}),
        )
        for head, (of_all, drawn) in zip(heads, (*sums, differences), strict=True)
    ]


def write_comparison(folder: Path, name: str, lines: Sequence[PeerLine], versions: str) -> str:
    """Write `<name>.csv` and `<name>.md`, and return the latter."""
    write_lines(folder / f"{name}.csv", columns_of(PeerLine), lines)
    text = markdown(lines, versions)
    write_text(folder / f"{name}.md", text)
    return text


def markdown(lines: Sequence[PeerLine], versions: str) -> str:
    """The table for people, of the three lines of `compare`."""
    ours, peer, difference = lines
    rows = [
        ["", f"{ours.method} `{ours.network}`", f"{peer.method} `{peer.network}`", "difference [95 % interval]"],
        ["---"] * 4,
        *(_error_row(lines, name, what) for name, what in _ERRORS.items()),
        _fraction_row(lines, "within_fine", ours.limit_fine),
        _fraction_row(lines, "within_coarse", ours.limit_coarse),
        ["CPU time of one fold", _seconds(ours.cpu_s), _seconds(peer.cpu_s), ""],
        ["CPU time of the training alone", _seconds(ours.training_cpu_s), _seconds(peer.training_cpu_s), ""],
        ["parameters", _count(ours.parameters), _count(peer.parameters), ""],
    ]
    about = (
        f"{difference.samples} original cells of {difference.groups} slide images, {difference.folds} test fold(s), "
        f"{difference.budget_s:g} CPU s for each training of landmarker; {versions}. Differences are siwcc minus "
        "landmarker, with bootstrap intervals over slide images."
    )
    costs = _COSTS + ("." if ours.wall_s is None else f"; its wall time is {_seconds(ours.wall_s)}.")
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", about, "", costs, "", SEARCH]) + "\n"


_ERRORS = {"median": "median error", "p90": "90th percentile", "mean": "mean error"}


def _error_row(lines: Sequence[PeerLine], name: str, what: str) -> list[str]:
    *sides, difference = (_values(line, name) for line in lines)
    value, low, high = (f"{number:+.2f}" for number in difference)
    return [what, *(f"{side[0]:.2f} px" for side in sides), f"{value} px [{low}, {high}]"]


def _fraction_row(lines: Sequence[PeerLine], name: str, limit: float) -> list[str]:
    *sides, difference = (_values(line, name) for line in lines)
    value, low, high = (f"{100 * number:+.1f}" for number in difference)
    return [
        f"within {limit:.3g} px",
        *(f"{100 * side[0]:.1f} %" for side in sides),
        f"{value} percentage points [{low}, {high}]",
    ]


def _values(line: PeerLine, name: str) -> tuple[float, float, float]:
    return getattr(line, name), getattr(line, f"{name}_low"), getattr(line, f"{name}_high")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} s"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
