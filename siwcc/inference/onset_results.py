"""The stage that compares found onsets with annotated ones: files in, tables and the networks' settings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple, cast

from siwcc.config import Onsets
from siwcc.data.curves import read_curves
from siwcc.data.episodes import DEFINITIONS, Reference, reference_of
from siwcc.data.recording_folds import read_recording_folds
from siwcc.data.recordings import read_all
from siwcc.evaluation import onset_tables
from siwcc.evaluation.onset_calibration import (
    MOMENT,
    ONSET,
    CalibrationLine,
    Rows,
    fit_platt,
    held_out,
    joined,
    measure_calibration,
    moment_rows,
    onset_rows,
)
from siwcc.evaluation.onset_matching import FALSE_ALARM_TOLERANCE_S
from siwcc.evaluation.onset_settings import Measured, OnsetSettings, PlattMap, onset_settings, write_onset_settings
from siwcc.evaluation.onset_study import Candidates, OnsetMeasures, Thresholds, measure_study
from siwcc.evaluation.onsets import ALL
from siwcc.evaluation.rhythm_rises import RiseSettings
from siwcc.evaluation.study_files import NETWORK, ONSET_METHODS, StudyFiles
from siwcc.io.data_layout import DataLayout
from siwcc.io.study_layout import TableName
from siwcc.training.rhythm_checkpoint import read_rhythm_model

_LINES: dict[TableName, type] = {
    "onsets": onset_tables.OnsetLine,
    "onsets_by_record": onset_tables.RecordLine,
    "onsets_by_label": onset_tables.LabelLine,
    "onset_episodes": onset_tables.EpisodeLine,
    "onset_rates": onset_tables.RateLine,
    "onset_comparisons": onset_tables.OnsetComparison,
    "onset_calibration": CalibrationLine,
    "froc": onset_tables.FrocPoint,
}


class _Maps(NamedTuple):
    """Calibration of the networks, and how well it holds where it was not fitted."""

    score: PlattMap
    curve: PlattMap
    lines: list[CalibrationLine]


def write_measures(files: StudyFiles, data: DataLayout) -> None:
    """Write every table of the stage, and `onsets.json`.

    Args:
        files: Of the study, whose config has a section `onsets`.
        data: Where the recordings are.

    Raises:
        InputError: a file that is missing or damaged.
    """
    onsets, layout = cast(Onsets, files.config.onsets), files.layout
    of_folds, external = ([data.recordings(name) for name in names] for names in (onsets.dataset, onsets.external))
    references = {name: list(map(reference_of, records)) for name, records in read_all(of_folds, external)}
    fold_of = {name: read_recording_folds(layout.onset_folds, name) for name in onsets.dataset}
    candidates = {
        (method, name): onset_tables.read_candidates(layout.onset_candidates(method, name), references[name])
        for method in ONSET_METHODS
        for name in onsets.datasets
    }
    measures, thresholds = measure_study(references, candidates, fold_of, onsets.false_alarms_per_h, NETWORK)
    maps = _calibrate(files, references, candidates, fold_of)
    for name, kind in _LINES.items():
        lines = maps.lines if name == "onset_calibration" else getattr(measures, name)
        onset_tables.write_onset_table(layout.table(name), kind, lines)
    write_onset_settings(layout.onset_settings, _settings(files, measures, thresholds, maps))


def _calibrate(
    files: StudyFiles,
    references: Mapping[str, Sequence[Reference]],
    candidates: Candidates,
    fold_of: Mapping[str, Mapping[str, int]],
) -> _Maps:
    rows: dict[str, dict[str, Rows]] = {ONSET: {}, MOMENT: {}}
    for name, of_set in references.items():
        rows[ONSET][name] = onset_rows(of_set, candidates[NETWORK, name])
        rows[MOMENT][name] = moment_rows(of_set, read_curves(files.layout.onset_curves(name)))
    own_folds = {record: fold for of_set in fold_of.values() for record, fold in of_set.items()}
    maps, lines = {}, []
    for kind, by_dataset in rows.items():
        own = joined([by_dataset[name] for name in fold_of])
        maps[kind] = fit_platt(own)
        for name, found in by_dataset.items():
            if len(found.value):
                probability = held_out(found, own_folds if name in fold_of else {}, own)
                lines.append(measure_calibration(name, kind, found, probability))
    return _Maps(maps[ONSET], maps[MOMENT], lines)


def _settings(files: StudyFiles, measures: OnsetMeasures, thresholds: Thresholds, maps: _Maps) -> OnsetSettings:
    onsets = cast(Onsets, files.config.onsets)
    models = [read_rhythm_model(path) for path in files.onset_models()]
    return onset_settings(
        RiseSettings(**onsets.curve.model_dump()),
        threshold=default_threshold(thresholds.of_all, maps.score),
        tolerance_s=FALSE_ALARM_TOLERANCE_S,
        score_map=maps.score,
        curve_map=maps.curve,
        measured=tuple(_measured(onsets, line) for line in measures.onsets if _is_shown(line)),
        weights_sha256=tuple(model.metadata.weights_sha256 for model in models),
    )


def default_threshold(least_score: float, score_map: PlattMap) -> float:
    """The least probability of an onset that is reported by default.

    Args:
        least_score: Infinite if no candidate may count: then it is 1, the highest of all.
        score_map: From a score to its probability.
    """
    return float(score_map.of(least_score)) if isfinite(least_score) else 1.0


def _is_shown(line: onset_tables.OnsetLine) -> bool:
    kind = (line.method, line.subset, line.definition, line.tolerance_s)
    return kind == (NETWORK, ALL, DEFINITIONS[0], FALSE_ALARM_TOLERANCE_S)


def _measured(onsets: Onsets, line: onset_tables.OnsetLine) -> Measured:
    return Measured(
        dataset=line.dataset,
        evaluation="external" if line.dataset in onsets.external else "out of fold",
        records=line.records,
        hours=line.nonmalignant_hours,
        onsets=line.onsets,
        sensitivity=line.sensitivity if line.onsets else None,
        false_alarms_per_hour=line.false_alarms_per_h,
    )
