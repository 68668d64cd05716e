"""A data set that networks are tested on and never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from siwcc.config import Config
from siwcc.data.augment.interface import Inputs, augment_module
from siwcc.data.folds import check_protocol
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SamplesPath, paths_of
from siwcc.io.shards import read_attributes, read_rows, read_shard


def open_external(config: Config, task: str, samples_path: Path, training_path: SamplesPath) -> Inputs:
    """Read its original samples, as copy 0 of a fold.

    Args:
        config: Of the study.
        task: `ecg` or `nuclei`.
        samples_path: Its samples file, `<data set>.h5`.
        training_path: The samples of the task, which the networks are trained on.

    Raises:
        InputError: a damaged file, one of other preprocessing settings, or a sample that is also in training.
    """
    dataset = config.datasets[samples_path.stem]
    inputs = augment_module(config.kind_of(task)).open_originals(samples_path, config.task(task), dataset, config.seed)
    # Once the file is known to be whole.
    check_protocol(samples_path, read_attributes(samples_path, "samples"), dataset)
    for path in paths_of(training_path):
        check_unseen(samples_path, path)
    return inputs


def check_unseen(samples_path: Path, training_path: Path) -> None:
    """Refuse a sample that has both name and signal of a training sample; a name alone may be there by chance.

    Args:
        samples_path: Of the data set that networks are tested on.
        training_path: Of one that they were trained on.

    Raises:
        InputError: there is one, or a file is damaged.
    """
    files = [read_shard(path, "samples", ("sample_id",)) for path in (samples_path, training_path)]
    common = sorted(set(files[0].arrays["sample_id"]) & set(files[1].arrays["sample_id"]))
    if not common:
        return
    names = ("sample_id", "signal")
    rows = [read_rows(file.path, "samples", names, common, file.digest).arrays for file in files]
    tested, trained = (dict(zip(part["sample_id"], part["signal"], strict=True)) for part in rows)
    same = [sample_id for sample_id in common if np.array_equal(tested[sample_id], trained[sample_id])]
    if same:
        problem = f"has {len(same)} sample(s) of {training_path}, first {same[0]}: networks were trained on them"
        raise InputError(samples_path, problem, "name a data set without training records under external")
