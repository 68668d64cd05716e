"""The stage that predicts a data set that no network saw: the networks of one arm in, `predictions.csv` out.

Every network predicts the original samples, and so do the networks of all folds together (`ensemble`), as
`siwcc.inference.predictor.Predictor` does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from siwcc.data.augment.interface import Inputs
from siwcc.evaluation.external_table import ENSEMBLE, OfNetwork, write_external_predictions
from siwcc.inference.predictor import Predictor
from siwcc.io.errors import InputError
from siwcc.io.run_key import fold_name, run_key_of
from siwcc.training.checkpoint import read_model
from siwcc.training.torch_setup import keep_large_buffers

_BATCH = 64


def predict_external(model_paths: Sequence[Path], inputs: Inputs, path: Path) -> None:
    """Predict every sample of a data set with every network of an arm, and with those of all folds together.

    Args:
        model_paths: `model.pt` of runs of one encoding and variant, of any folds and seeds.
        inputs: Its samples, from `siwcc.data.external.open_external`.
        path: The `predictions.csv` to write; see `siwcc.evaluation.external_table.write_external_predictions`.

    Raises:
        InputError: no network, a damaged file, files that do not belong together, or a prediction that is not finite.
    """
    keep_large_buffers()
    # The bytes depend on it.
    torch.set_num_threads(1)
    parts = [
        OfNetwork(name, seed, *_predicted(predictor, inputs))
        for name, seed, predictor in _predictors(model_paths, inputs)
    ]
    write_external_predictions(path, inputs, parts)


def _predictors(model_paths: Sequence[Path], inputs: Inputs) -> Iterator[tuple[str, int, Predictor]]:
    """By seed: every network with the name of its fold, then all of them."""
    keys = sorted((run_key_of(path).seed, run_key_of(path).fold, path) for path in model_paths)
    for seed, of_seed in groupby(keys, key=lambda key: key[0]):
        models = [(fold, read_model(path)) for _, fold, path in of_seed]
        for fold, model in models:
            if model.spec != inputs.spec:
                raise InputError(model.path, "is made for other inputs than the data set has", "train it again")
            yield fold_name(fold), seed, Predictor([model])
        yield ENSEMBLE, seed, Predictor([model for _, model in models])


def _predicted(predictor: Predictor, inputs: Inputs) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Predictions (rows, outputs), and confidence and visibility (rows, points) where the networks give them."""
    encoding = predictor.models[0].key.encoding
    rows = np.arange(len(inputs.target))
    try:
        parts = [
            predictor.predict_prepared(inputs.batch(rows[start : start + _BATCH], encoding))
            for start in range(0, len(rows), _BATCH)
        ]
    except InputError as error:
        raise InputError(predictor.paths[0], error.problem, error.remedy) from error
    together = np.concatenate([part.together for part in parts])
    return together, _joined([part.confidence for part in parts]), _joined([part.visible for part in parts])


def _joined(of_batches: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The rows of all batches; None where the networks give nothing."""
    known = [values for values in of_batches if values is not None]
    return np.concatenate(known) if known else None
