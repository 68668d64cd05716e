"""The stage that predicts perturbed test samples: the networks of one encoding and variant in, `robustness.csv` out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from siwcc.data.augment.interface import Inputs
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.evaluation.bootstrap import Draws, Sums, with_intervals
from siwcc.evaluation.methods import Predictions
from siwcc.evaluation.robustness_table import Robustness
from siwcc.inference.robustness.interface import Originals, Perturbation, robustness_module, unchanged
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SamplesPath
from siwcc.io.run_key import RunKey, run_key_of
from siwcc.training.batches import HostBatches
from siwcc.training.checkpoint import TrainedModel, read_model
from siwcc.training.run import predict
from siwcc.training.torch_setup import keep_large_buffers

_BATCH = 64


class _Case(NamedTuple):
    """A perturbation at one strength."""

    perturbation: str
    strength: float


class _Predicted(NamedTuple):
    """Everything that the networks predicted.

    Attributes:
        perturbations: By name.
        error: (rows,) of every case, of all folds and seeds one after the other.
        group: (rows,) record or slide image.
    """

    perturbations: dict[str, Perturbation]
    error: dict[_Case, np.ndarray]
    group: np.ndarray


def measure_robustness(
    model_paths: Sequence[Path],
    fold_paths: Sequence[Path],
    samples_path: SamplesPath,
    names: Sequence[str],
    limits: ErrorLimits,
) -> list[Robustness]:
    """Predict the samples of every test fold, perturbed, by the networks that never saw them.

    Args:
        model_paths: `model.pt` of runs of one encoding and variant, of any folds and seeds.
        fold_paths: `fold1.h5` ... in order.
        samples_path: The samples file that the folds were made from.
        names: Perturbations, from the config's `robustness`.
        limits: Of the task.

    Returns:
        Lines by perturbation, in the order of `names`; the unperturbed samples first, then by strength.

    Raises:
        InputError: no network, a damaged file, files that do not belong together, a perturbation that the task does
            not have, or a prediction that is not finite.
    """
    if not model_paths:
        raise InputError("robustness", "there is no network to ask", "give at least one model.pt")
    keep_large_buffers()
    # The bytes depend on it.
    torch.set_num_threads(1)
    keys = sorted((run_key_of(path), path) for path in model_paths)
    predicted = _predict(keys, fold_paths, samples_path, names)
    return _lines(keys[0][0], len({key.seed for key, _ in keys}), predicted, limits)


def _predict(
    keys: Sequence[tuple[RunKey, Path]], fold_paths: Sequence[Path], samples_path: SamplesPath, names: Sequence[str]
) -> _Predicted:
    errors: dict[_Case, list[np.ndarray]] = {}
    groups, perturbations = [], {}
    for fold, runs in groupby(keys, key=lambda pair: pair[0].fold):
        models = [_read(path, key) for key, path in runs]
        originals = robustness_module(models[0].spec.kind).open_originals(fold_paths[fold - 1], samples_path)
        perturbations = _chosen(originals, names)
        whole = originals.inputs(unchanged)
        groups += [whole.group] * len(models)
        unperturbed = _errors(models, whole, "the samples themselves")
        for perturbation in perturbations.values():
            errors.setdefault(_Case(perturbation.name, perturbation.neutral), []).append(unperturbed)
            for case, inputs in _perturbed(originals, perturbation):
                errors.setdefault(case, []).append(_errors(models, inputs, f"{case.perturbation} {case.strength:g}"))
    return _Predicted(
        perturbations, {case: np.concatenate(parts) for case, parts in errors.items()}, np.concatenate(groups)
    )


def _read(path: Path, key: RunKey) -> TrainedModel:
    model = read_model(path)
    if model.key != key:
        raise InputError(path, f"is the network of another run ({json.dumps(model.key)})", "delete it and run again")
    return model


def _chosen(originals: Originals, names: Sequence[str]) -> dict[str, Perturbation]:
    known = {perturbation.name: perturbation for perturbation in originals.perturbations()}
    for name in names:
        if name not in known:
            raise InputError(
                "config: robustness", f"{name!r} is no perturbation of the task", f"use {', '.join(known)}"
            )
    return {name: known[name] for name in names}


def _perturbed(originals: Originals, perturbation: Perturbation) -> Iterator[tuple[_Case, Inputs]]:
    for strength in perturbation.strengths:
        change = perturbation.change(strength, originals.seed)
        yield _Case(perturbation.name, strength), originals.inputs(change)


def _errors(models: Sequence[TrainedModel], inputs: Inputs, what: str) -> np.ndarray:
    """Absolute errors of every model to every row, one model after the other."""
    errors = []
    for model in models:
        if model.spec != inputs.spec:
            raise InputError(model.path, "is made for other inputs than the folds hold", "delete it and run again")
        batches = HostBatches(inputs, model.key.encoding, torch.device("cpu"))
        prediction = predict(model.network, batches, np.arange(len(inputs.target)), _BATCH).prediction
        if not np.isfinite(prediction).all():
            raise InputError(model.path, f"gives a prediction for {what} that is not finite", "look for extreme values")
        rows = (inputs.sample_id, inputs.copy, inputs.target, prediction.astype(np.float64))
        errors.append(Predictions(*rows, tuple(inputs.spec.outputs)).error())
    return np.concatenate(errors)


def _lines(key: RunKey, seeds: int, predicted: _Predicted, limits: ErrorLimits) -> list[Robustness]:
    draws = Draws(predicted.group, limits.fine, limits.coarse)
    lines, unperturbed = [], {}
    for case, error in predicted.error.items():
        perturbation = predicted.perturbations[case.perturbation]
        sums = draws.sums_of_all(error), draws.sums_of(error)
        is_unperturbed = case.strength == perturbation.neutral
        if is_unperturbed:
            unperturbed[case.perturbation] = sums
        lines.append(
            Robustness(
                *(key.task, key.encoding, key.variant),
                perturbation=case.perturbation,
                strength=case.strength,
                unit=perturbation.unit,
                level=perturbation.level(case.strength),
                unperturbed=int(is_unperturbed),
                rows=len(error),
                records=draws.records,
                seeds=seeds,
                **_measures(sums, unperturbed[case.perturbation]),
                limit_fine=limits.fine,
                limit_coarse=limits.coarse,
                error_unit=limits.unit,
            )
        )
    return lines


def _measures(sums: tuple[Sums, Sums], unperturbed: tuple[Sums, Sums]) -> dict[str, Any]:
    """Every measure with the ends of its interval, from (of all rows, of each draw)."""
    parts = {name: (getattr(sums[0], name), getattr(sums[1], name)) for name in Sums._fields}
    parts["change"] = tuple(now.within_coarse - then.within_coarse for now, then in zip(sums, unperturbed, strict=True))
    return with_intervals(parts)
