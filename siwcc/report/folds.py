"""Which samples are in which fold, and whether folds keep records or slide images together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from siwcc.data.folds import Stratum, read_strata_csv

# More groups than this are counted, and only the largest of a fold are named.
_MOST_NAMED = 60
_LARGEST = 5


@dataclass(frozen=True)
class FoldLine:
    """One fold.

    Attributes:
        fold: Its number.
        samples: How many it has.
        isolated: Isolated events among them; None where samples are no events.
        groups: How many records or slide images they come from.
        named: (group, samples of it in this fold), largest first; only the largest where there are many.
    """

    fold: int
    samples: int
    isolated: int | None
    groups: int
    named: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class FoldsData:
    """The folds of a task.

    Attributes:
        task: Its name.
        lines: The folds in order.
        samples, groups: Of all folds.
        split: Groups that are in more than one fold.
        isolated: Isolated events; None where samples are no events.
        isolated_s: The gap from which on an event is isolated, or None.
        all_named: Whether every group is named.
    """

    task: str
    lines: Sequence[FoldLine]
    samples: int
    groups: int
    split: int
    isolated: int | None
    isolated_s: float | None
    all_named: bool


def describe_folds(task: str, strata_path: Path, isolated_s: float | None) -> FoldsData:
    """What is in each fold of a task.

    Args:
        task: Its name.
        strata_path: Its `strata.csv`.
        isolated_s: The gap from which on an event is isolated; None where samples are no events.

    Raises:
        InputError: the file is missing or damaged.
    """
    strata = read_strata_csv(strata_path)
    places = {(stratum.group, stratum.fold) for stratum in strata}
    folds_of = Counter(group for group, _ in places)
    all_named = len(folds_of) <= _MOST_NAMED
    by_fold: dict[int, list[Stratum]] = {}
    for stratum in strata:
        by_fold.setdefault(stratum.fold, []).append(stratum)
    return FoldsData(
        task=task,
        lines=[_line(fold, by_fold[fold], isolated_s, all_named) for fold in sorted(by_fold)],
        samples=len(strata),
        groups=len(folds_of),
        split=sum(folds > 1 for folds in folds_of.values()),
        isolated=_isolated(strata, isolated_s),
        isolated_s=isolated_s,
        all_named=all_named,
    )


def _line(fold: int, strata: Sequence[Stratum], isolated_s: float | None, all_named: bool) -> FoldLine:
    counts = Counter(stratum.group for stratum in strata)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = ordered if all_named else ordered[:_LARGEST]
    return FoldLine(fold, len(strata), _isolated(strata, isolated_s), len(counts), named)


def _isolated(strata: Sequence[Stratum], isolated_s: float | None) -> int | None:
    if isolated_s is None:
        return None
    return sum(stratum.gap_s is not None and stratum.gap_s >= isolated_s for stratum in strata)
