"""What the networks of a study find in whole recordings: candidates and curves of one data set."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from siwcc.data.curves import Curves, write_curves
from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import Candidate
from siwcc.evaluation.onset_tables import write_candidates
from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises
from siwcc.inference.rhythm_curve import rhythm_curves
from siwcc.io.errors import InputError
from siwcc.training.rhythm_checkpoint import RhythmModel, read_rhythm_model
from siwcc.training.rhythm_windows import prepare_signal

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldNetworks:
    """The networks of a study, and which record may be given to which.

    Attributes:
        models: Of every fold and seed.
        fold_of: By record; empty for an external data set.
        settings: From curves to candidates.
    """

    models: Sequence[RhythmModel]
    fold_of: Mapping[str, int]
    settings: RiseSettings

    @classmethod
    def read(cls, paths: Sequence[Path], fold_of: Mapping[str, int], settings: RiseSettings) -> FoldNetworks:
        """From the files of the networks.

        Raises:
            InputError: one is missing or damaged.
        """
        return cls([read_rhythm_model(path) for path in paths], fold_of, settings)

    @property
    def step_s(self) -> float:
        """From one step of the curves to the next."""
        return self.models[0].recipe.step_s

    def curves(self, record: RhythmRecord) -> np.ndarray:
        """Mean curves of the networks that have not seen the record's fold; of all, if the data set is external.

        Raises:
            InputError: the record is in no fold, and others are.
        """
        if self.fold_of and record.name not in self.fold_of:
            raise InputError(f"record {record.name}", "is in no fold", "delete folds.csv and run again")
        fold = self.fold_of.get(record.name)
        networks = [model.network for model in self.models if fold in (None, model.metadata.fold)]
        return rhythm_curves(networks, prepare_signal(record.signal_mv, record.rate_hz, self.models[0].recipe))

    def find(self, record: RhythmRecord) -> list[Candidate]:
        """Candidates in a record."""
        return find_rises(self.curves(record), self.step_s, self.settings)


def write_network_candidates(
    records: Sequence[RhythmRecord], networks: FoldNetworks, candidates_path: Path, curves_path: Path
) -> None:
    """Find onsets in the records of one data set.

    Args:
        records: Of the data set.
        networks: Of the study.
        candidates_path: The CSV to write.
        curves_path: The curves to write.
    """
    # The bytes depend on it.
    torch.set_num_threads(1)
    curves, found = {}, {}
    for number, record in enumerate(records, start=1):
        of_record = networks.curves(record)
        curves[record.name] = of_record[0]
        found[record.name] = find_rises(of_record, networks.step_s, networks.settings)
        logger.info("%d of %d: record %s, %d candidates", number, len(records), record.name, len(found[record.name]))
    write_candidates(candidates_path, found)
    write_curves(curves_path, Curves(networks.step_s, curves))
