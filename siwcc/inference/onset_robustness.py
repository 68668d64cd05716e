"""What the networks of a study find in perturbed recordings: sensitivity and false alarms per hour."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import torch

from siwcc.config import Onsets
from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import DEFINITIONS, Candidate, Reference, reference_of
from siwcc.data.recording_folds import read_recording_folds
from siwcc.data.recordings import read_named
from siwcc.evaluation.onset_matching import FALSE_ALARM_TOLERANCE_S
from siwcc.evaluation.onset_robustness_table import OnsetRobustness
from siwcc.evaluation.onset_study import kept_by_record
from siwcc.evaluation.onset_tables import OnsetLine, read_thresholds
from siwcc.evaluation.onsets import Detections, measure_onsets
from siwcc.evaluation.rhythm_rises import RiseSettings
from siwcc.evaluation.study_files import NETWORK, StudyFiles
from siwcc.inference.onset_candidates import FoldNetworks
from siwcc.inference.robustness.interface import Perturbation
from siwcc.inference.robustness.signal import make_perturbations
from siwcc.io.data_layout import DataLayout
from siwcc.io.tables import columns_of, write_lines

logger = logging.getLogger(__name__)


def write_onset_robustness(files: StudyFiles, data: DataLayout, dataset: str, path: Path) -> None:
    """Write `<dataset>.robustness.csv`.

    Args:
        files: Of the study, whose config has a section `onsets`.
        data: Where the recordings are.
        dataset: One of that section.
        path: The table to write.

    Raises:
        InputError: a file that is missing or damaged.
    """
    onsets, layout = cast(Onsets, files.config.onsets), files.layout
    records = read_named(dataset, data.recordings(dataset), [data.recordings(name) for name in onsets.dataset])
    least = read_thresholds(layout.table("onsets_by_record"), NETWORK, dataset, [record.name for record in records])
    settings, own = RiseSettings(**onsets.curve.model_dump()), read_recording_folds(layout.onset_folds, dataset)
    networks = FoldNetworks.read(files.onset_models(), own, settings)
    names = files.config.signal_perturbations
    lines = measure_onset_robustness(dataset, records, networks, least, names, files.config.seed)
    write_lines(path, columns_of(OnsetRobustness), lines)


def measure_onset_robustness(
    dataset: str,
    records: Sequence[RhythmRecord],
    networks: FoldNetworks,
    least: Mapping[str, float],
    names: Sequence[str],
    seed: int,
) -> list[OnsetRobustness]:
    """Find onsets in every record, perturbed as it was recorded, at the thresholds of the unperturbed ones.

    Args:
        dataset: Its name.
        records: Its records.
        networks: Of the study; each record is predicted by those that have not seen it.
        least: Least score of a candidate, by record, chosen on unperturbed records.
        names: Of the perturbations, see `siwcc.inference.robustness.signal`.
        seed: The study's.

    Returns:
        By perturbation and strength, onsets by merged episodes within 2.5 s.
    """
    torch.set_num_threads(1)
    references = tuple(reference_of(record) for record in records)
    known = {one.name: one for one in make_perturbations(len(records[0].signal_mv), records[0].rate_hz)}
    lines = []
    for perturbation, strength in _cases([known[name] for name in names]):
        change = perturbation.change(strength, seed)
        found = {}
        for record in records:
            # Invalid samples stay so.
            signal = change(record.name, np.nan_to_num(record.signal_mv.astype(np.float64)))
            changed = np.where(np.isfinite(record.signal_mv), signal, np.nan).astype(np.float32)
            found[record.name] = networks.find(replace(record, signal_mv=changed))
        logger.info("%s, %s %s: done", dataset, perturbation.name, perturbation.level(strength))
        line = _measured(dataset, references, kept_by_record(found, least))
        lines.append(_line(perturbation, strength, line))
    return lines


def _cases(perturbations: Sequence[Perturbation]) -> Iterator[tuple[Perturbation, float]]:
    for perturbation in perturbations:
        yield from product([perturbation], (perturbation.neutral, *perturbation.strengths))


def _measured(
    dataset: str, references: tuple[Reference, ...], candidates: Mapping[str, Sequence[Candidate]]
) -> OnsetLine:
    detections = Detections(NETWORK, dataset, references, candidates)
    return measure_onsets(detections, 0.0, DEFINITIONS[:1], (FALSE_ALARM_TOLERANCE_S,))[0]


def _line(perturbation: Perturbation, strength: float, line: OnsetLine) -> OnsetRobustness:
    return OnsetRobustness(
        dataset=line.dataset,
        perturbation=perturbation.name,
        strength=strength,
        unit=perturbation.unit,
        level=perturbation.level(strength),
        unperturbed=int(strength == perturbation.neutral),
        onsets=line.onsets,
        found=line.found,
        sensitivity=line.sensitivity,
        sensitivity_low=line.sensitivity_low,
        sensitivity_high=line.sensitivity_high,
        false_alarms_per_h=line.false_alarms_per_h,
        false_alarms_per_h_low=line.false_alarms_per_h_low,
        false_alarms_per_h_high=line.false_alarms_per_h_high,
    )
