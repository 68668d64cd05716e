"""All measures of the stage that looks for onsets in whole recordings, from the candidates of every method.

Thresholds are never chosen on the records that they are applied to. For a record of a fold it is the one with the
highest sensitivity within the limit of false alarms over the records of all other folds; for an external data set over
all folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from siwcc.data.episodes import DEFINITIONS, Candidate, Reference
from siwcc.evaluation.onset_froc import Froc, compare_at, sweep_thresholds
from siwcc.evaluation.onset_matching import FALSE_ALARM_TOLERANCE_S
from siwcc.evaluation.onset_tables import (
    EpisodeLine,
    FrocPoint,
    LabelLine,
    OnsetComparison,
    OnsetLine,
    RateLine,
    RecordLine,
)
from siwcc.evaluation.onsets import (
    TOLERANCES_S,
    Detections,
    measure_by_label,
    measure_by_record,
    measure_episodes,
    measure_onsets,
)

RATES_PER_H = (1.0, 2.0, 5.0, 10.0)
"""False alarms per hour at which methods are compared, with those that the study's thresholds are chosen for."""

_KEEPS_ALL = 0.0

Candidates = Mapping[tuple[str, str], Mapping[str, Sequence[Candidate]]]
"""By method and data set: those of each record."""


@dataclass(frozen=True)
class Thresholds:
    """The least score of a candidate that counts.

    Attributes:
        of_fold: For the records of a fold, from the others.
        of_all: For records in no fold.
    """

    of_fold: dict[int, float]
    of_all: float

    @property
    def mean(self) -> float:
        """Over the folds."""
        return float(np.mean(list(self.of_fold.values())))


@dataclass(frozen=True)
class OnsetMeasures:
    """The lines of every table of the stage; the attributes are the tables' names."""

    onsets: list[OnsetLine] = field(default_factory=list)
    onsets_by_record: list[RecordLine] = field(default_factory=list)
    onsets_by_label: list[LabelLine] = field(default_factory=list)
    onset_episodes: list[EpisodeLine] = field(default_factory=list)
    onset_rates: list[RateLine] = field(default_factory=list)
    onset_comparisons: list[OnsetComparison] = field(default_factory=list)
    froc: list[FrocPoint] = field(default_factory=list)


def choose_thresholds(
    references: Sequence[Reference],
    candidates: Mapping[str, Sequence[Candidate]],
    fold_of: Mapping[str, int],
    limit_per_h: float,
) -> Thresholds:
    """Thresholds of a method for each fold, from the records of the other folds.

    Args:
        references: Records of all folds.
        candidates: By record, out of fold.
        fold_of: By record.
        limit_per_h: Most false alarms per hour.
    """

    def threshold(chosen: Sequence[Reference]) -> float:
        froc = sweep_thresholds(Detections("", "", tuple(chosen), candidates))
        return float(froc.thresholds[froc.level_at(limit_per_h)])

    folds = sorted({fold_of[each.record] for each in references})
    by_fold = {fold: threshold([each for each in references if fold_of[each.record] != fold]) for fold in folds}
    return Thresholds(by_fold, threshold(references))


def measure_study(
    references: Mapping[str, Sequence[Reference]],
    candidates: Candidates,
    fold_of: Mapping[str, Mapping[str, int]],
    limit_per_h: float,
    network: str,
) -> tuple[OnsetMeasures, Thresholds]:
    """Every table, and the thresholds of the networks.

    Args:
        references: Records of each data set, external ones too.
        candidates: Of every method and data set.
        fold_of: By data set and record; a data set that is not there is external.
        limit_per_h: Most false alarms per hour that a threshold is chosen for.
        network: The method that others are compared with.
    """
    measures = OnsetMeasures()
    methods = list(dict.fromkeys(method for method, _ in candidates))
    own = [each for dataset in fold_of for each in references[dataset]]
    folds = {record: fold for of_set in fold_of.values() for record, fold in of_set.items()}
    chosen: dict[str, Thresholds] = {}
    for method in methods:
        found = {record: of for dataset in fold_of for record, of in candidates[method, dataset].items()}
        chosen[method] = choose_thresholds(own, found, folds, limit_per_h)
    for dataset, of_set in references.items():
        every = {method: Detections(method, dataset, tuple(of_set), candidates[method, dataset]) for method in methods}
        for method, detections in every.items():
            _add_at_threshold(measures, detections, chosen[method], fold_of.get(dataset, {}))
        _add_curves(measures, every, network, sorted({*RATES_PER_H, limit_per_h}))
    return measures, chosen[network]


def _add_at_threshold(
    measures: OnsetMeasures, detections: Detections, thresholds: Thresholds, fold_of: Mapping[str, int]
) -> None:
    """What is found at the chosen thresholds."""
    names = [each.record for each in detections.references]
    least = {name: thresholds.of_fold[fold_of[name]] if fold_of else thresholds.of_all for name in names}
    shown = {"threshold": thresholds.mean if fold_of else thresholds.of_all}
    counted = replace(detections, candidates=kept_by_record(detections.candidates, least))
    quiet = counted.without_episodes()
    measures.onsets.extend(_with(measure_onsets(counted, _KEEPS_ALL), shown))
    if quiet.references and len(quiet.references) < len(counted.references):
        lines = measure_onsets(quiet, _KEEPS_ALL, DEFINITIONS[:1], (FALSE_ALARM_TOLERANCE_S,))
        measures.onsets.extend(_with(lines, shown))
    by_record = measure_by_record(counted, _KEEPS_ALL)
    measures.onsets_by_record.extend(replace(line, threshold=least[line.record]) for line in by_record)
    measures.onsets_by_label.extend(_with(measure_by_label(counted, _KEEPS_ALL), shown))
    measures.onset_episodes.extend(_with([measure_episodes(counted, _KEEPS_ALL)], shown))


def kept_by_record(
    candidates: Mapping[str, Sequence[Candidate]], least: Mapping[str, float]
) -> dict[str, list[Candidate]]:
    """The candidates of each record that count.

    Args:
        candidates: By record.
        least: Least score of a candidate, by record.
    """
    return {
        record: [candidate for candidate in candidates.get(record, ()) if candidate.score >= threshold]
        for record, threshold in least.items()
    }


def _with(lines: Sequence[Any], values: Mapping[str, float]) -> list[Any]:
    return [replace(line, **values) for line in lines]


def _add_curves(
    measures: OnsetMeasures, every: Mapping[str, Detections], network: str, rates_per_h: Sequence[float]
) -> None:
    """What is found at every threshold, and with at most so many false alarms per hour."""
    frocs: dict[tuple[str, float], Froc] = {
        (method, tolerance_s): sweep_thresholds(detections, DEFINITIONS[0], tolerance_s)
        for (method, detections), tolerance_s in product(every.items(), TOLERANCES_S)
    }
    for (_, tolerance_s), froc in frocs.items():
        measures.onset_rates.extend(froc.at(rate) for rate in rates_per_h)
        if tolerance_s == FALSE_ALARM_TOLERANCE_S:
            measures.froc.extend(froc.points())
    for method, rate in product(every, rates_per_h):
        if method != network:
            control, study = (frocs[name, FALSE_ALARM_TOLERANCE_S] for name in (method, network))
            measures.onset_comparisons.append(compare_at(control, study, rate))
