"""Our side: the cells of a finished study, and what one arm of it predicted for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from benchmarks.peers.cells import Cells
from siwcc.config import ImageTask
from siwcc.data.augment.interface import Warped, augment_module
from siwcc.evaluation.methods import Predictions, join, read_predictions
from siwcc.io.errors import InputError
from siwcc.io.files import atomic_path
from siwcc.io.run_key import RunKey, run_place
from siwcc.nn.paper_networks import count_parameters
from siwcc.report.costs import read_benchmark
from siwcc.report.study import Study
from siwcc.training.checkpoint import read_model


def image_task(study: Study) -> ImageTask:
    """The first task of a study that the peer can do: one point in images with mirrored borders.

    Raises:
        InputError: it has no such task.
    """
    for name in study.config.run:
        task = study.config.task(name)
        if isinstance(task, ImageTask) and len(task.points) == 1 and task.border == "reflect":
            return task
    problem = "has no task of one point in images with mirrored borders (border: reflect)"
    raise InputError(study.layout.config, problem, "give another study, for example results/localiser-herlev")


def export_cells(study: Study, task: ImageTask, path: Path) -> Cells:
    """Write the original cells of every fold with what their copies are drawn from as a .npz, and return them.

    Raises:
        InputError: a fold or the samples file is missing or damaged.
    """
    parts = []
    for fold, fold_path in enumerate(study.fold_paths(task.name), 1):
        inputs = augment_module("image").open_inputs([fold_path], study.samples_path(task.name), augmented_only=False)
        source = inputs.source("none")
        assert isinstance(source, Warped)
        rows = np.flatnonzero(inputs.copy == 0)
        image = source.image_of_row[rows]
        parts.append(
            {
                "image": source.images[image],
                "content_box": source.content_box[image].astype(np.int64),
                "mean": source.mean[image],
                "std": source.std[image],
                "target": inputs.target[rows].astype(np.float64),
                "sample_id": inputs.sample_id[rows].astype(np.str_),
                "group": inputs.group[rows].astype(np.str_),
                "fold": np.full(len(rows), fold),
            }
        )
    ranges = {name: np.array(getattr(task.augmentation, name)) for name in ("translation_px", "rotation_deg", "scale")}
    cells = Cells(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, **ranges)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **{field.name: getattr(cells, field.name) for field in fields(Cells)})
    return cells


def missing_runs(study: Study, keys: Sequence[RunKey]) -> list[Path]:
    """The predictions that are not there."""
    return [path for key in keys if not (path := study.layout.predictions(key)).is_file()]


def original_predictions(paths: Sequence[Path], cells: Cells, folds: Sequence[int]) -> Predictions:
    """Predictions for the original cells of some folds, in the order of the cells.

    Args:
        paths: `predictions.csv` of each of the folds.
        cells: Of the study.
        folds: From 1.

    Raises:
        InputError: a file is missing or damaged, or is not for the cells of its fold.
    """
    parts = []
    for path, fold in zip(paths, folds, strict=True):
        predictions = read_predictions(path)
        predictions = predictions.select(predictions.copy == 0)
        row_of = {sample_id: row for row, sample_id in enumerate(predictions.sample_id)}
        expected = cells.sample_id[cells.fold == fold].tolist()
        if set(expected) != set(row_of):
            problem = f"has other original cells than fold {fold} of the study"
            raise InputError(path, problem, "delete it and run again")
        parts.append(predictions.select(np.array([row_of[sample_id] for sample_id in expected])))
    return join(parts)


def parameters_of(study: Study, key: RunKey) -> int | None:
    """How many parameters a trained network of ours has; None without its model."""
    path = study.layout.model(key)
    return count_parameters(read_model(path).network) if path.is_file() else None


def job_seconds(study: Study, keys: Sequence[RunKey]) -> tuple[float | None, float | None]:
    """Mean CPU and wall seconds of these runs from Snakemake's benchmark files; None where a run has none."""
    measured = [read_benchmark(study.layout.benchmark(run_place(key)), ("cpu_time", "s")) for key in keys]
    cpu_s, wall_s = (None if math.isnan(mean) else float(mean) for mean in np.mean(measured, axis=0))
    return cpu_s, wall_s
