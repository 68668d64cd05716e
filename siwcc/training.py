"""One run: train a network on all folds but one, evaluate it on that one (paper, section 2.4)."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

import siwcc
from siwcc.allocator import keep_large_buffers
from siwcc.augment import Inputs, augment_module
from siwcc.config import Train, resolve_device
from siwcc.errors import InputError
from siwcc.files import digest_of, sha256_of, write_bytes, write_csv, write_text
from siwcc.jobs import locked_folder
from siwcc.networks import Localiser, build_localiser
from siwcc.predictions import prediction_columns, prediction_rows
from siwcc.runs import RunKey
from siwcc.scores import r2_scores
from siwcc.shards import read_shard

STATE_NAME = ".state.pt"
_TERMINAL_EVERY_S = 10.0
_SMALLEST_DEVIATION = 1e-6

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFiles:
    """The final files of a run, all in one folder."""

    log: Path
    model: Path
    predictions: Path
    manifest: Path

    @property
    def state(self) -> Path:
        """The state after the last finished epoch, there only while the run is unfinished."""
        return self.log.parent / STATE_NAME


@dataclass
class _Run:
    key: RunKey
    settings: Train
    device: torch.device
    train: Inputs
    test: Inputs
    network: Localiser
    forward: Callable[[torch.Tensor], torch.Tensor]
    optimiser: torch.optim.Optimizer
    order: torch.Generator
    log: list[list[float]]


def train_run(key: RunKey, fold_paths: Sequence[Path], samples_path: Path, settings: Train, files: RunFiles) -> None:
    """Train, evaluate and write the run's final files; go on from its state if there is one.

    Args:
        key: The run; `key.fold` is the test fold.
        fold_paths: `fold1.h5` ... in order.
        samples_path: The samples file that the folds were made from.
        settings: The config's `train`.
        files: Where the results go. They appear together when the run is complete.

    Raises:
        InputError: damaged folds, another process at the same run, values that are not finite.
    """
    with locked_folder(files.log.parent):
        _prepare_torch(settings)
        run = _open_run(key, fold_paths, samples_path, settings)
        identity = _identity(key, fold_paths, settings)
        _restore(run, files.state, identity)
        _train_epochs(run, files.state, identity)
        _write_results(run, fold_paths, files)
        files.state.unlink(missing_ok=True)


def _prepare_torch(settings: Train) -> None:
    keep_large_buffers()
    # Without it CUDA's matrix products refuse to run deterministically.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory before it is written; filling it costs a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch types it not
    torch.backends.cudnn.benchmark = False


def _open_run(key: RunKey, fold_paths: Sequence[Path], samples_path: Path, settings: Train) -> _Run:
    augment = augment_module(key.task)
    training_folds = [path for number, path in enumerate(fold_paths, start=1) if number != key.fold]
    train = augment.open_inputs(training_folds, samples_path, augmented_only=True)
    test = augment.open_inputs([fold_paths[key.fold - 1]], samples_path, augmented_only=False)
    shared = set(train.sample_id) & set(test.sample_id)
    if shared:
        raise InputError(fold_paths[key.fold - 1], f"sample {min(shared)} is in training folds too")
    device = torch.device(resolve_device(settings.device))
    torch.manual_seed(key.seed)
    network = _build(key, train).to(device)
    return _Run(
        key=key,
        settings=settings,
        device=device,
        train=train,
        test=test,
        network=network,
        forward=_compiled(network) if settings.compile else network,
        optimiser=torch.optim.Adam(network.parameters(), lr=settings.learning_rate),
        order=torch.Generator().manual_seed(key.seed),
        log=[],
    )


def _build(key: RunKey, inputs: Inputs) -> Localiser:
    encoding, channels = inputs.layer_encoding(key.encoding)
    spec = inputs.spec
    return build_localiser(
        network=spec.network,
        variant=key.variant,
        encoding=encoding,
        signal_channels=channels,
        shape=spec.shape,
        extent=spec.extent,
        output_scale=spec.output_scale,
    )


def _compiled(network: Localiser) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network compiled for training, or as it is where no C++ compiler is found."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        logger.warning("train.compile: no C++ compiler found, training goes on without")
        return network
    return cast(Callable[[torch.Tensor], torch.Tensor], torch.compile(network))


# ------------------------------------------------------------------- epochs


def log_columns(outputs: Sequence[str]) -> list[str]:
    """Columns of `log.csv` for these output suffixes: epoch, train R2, test R2, test error."""
    return ["epoch", *(f"{name}{suffix}" for name in ("train_r2", "test_r2", "test_mae") for suffix in outputs)]


def _train_epochs(run: _Run, state_path: Path, identity: str) -> None:
    mean, deviation = standardisation(run.train.target)
    scored = np.flatnonzero(run.test.variant > 0)
    shown_at = time.monotonic()
    for epoch in range(len(run.log) + 1, run.settings.epochs + 1):
        started_at = time.monotonic()
        train_prediction, train_target = _train_one_epoch(run, mean, deviation)
        test_prediction = predict(run.network, run.test, scored, run.key.encoding, run.settings.batch_size)
        row = _log_row(epoch, train_prediction, train_target, test_prediction, run.test.target[scored])
        _check_finite(run.key, epoch, row)
        run.log.append(row)
        if epoch < run.settings.epochs:
            _save_state(run, state_path, identity)
        line = _progress_line(run, row, time.monotonic() - started_at)
        logger.info(line)
        if time.monotonic() - shown_at > _TERMINAL_EVERY_S or epoch == run.settings.epochs:
            shown_at = time.monotonic()
            print(line, file=sys.stderr, flush=True)


def standardisation(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (ddof 1) of each output, below 1e-6 taken as 1 (protocol, section 4)."""
    target = target.astype(np.float64)
    deviation = target.std(axis=0, ddof=1)
    return target.mean(axis=0), np.where(deviation < _SMALLEST_DEVIATION, 1.0, deviation)


def _train_one_epoch(run: _Run, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    run.network.train()
    order = torch.randperm(len(run.train.target), generator=run.order).numpy()
    centre = torch.as_tensor(mean, dtype=torch.float32, device=run.device)
    scale = torch.as_tensor(deviation, dtype=torch.float32, device=run.device)
    predictions = []
    for start in range(0, len(order), run.settings.batch_size):
        rows = order[start : start + run.settings.batch_size]
        signal = run.train.batch(rows, run.key.encoding).to(run.device, non_blocking=True)
        target = torch.from_numpy(run.train.target[rows]).to(run.device, non_blocking=True)
        run.optimiser.zero_grad(set_to_none=True)
        prediction = run.forward(signal)
        loss = torch.nn.functional.mse_loss((prediction - centre) / scale, (target - centre) / scale)
        loss.backward()  # type: ignore[no-untyped-call]
        run.optimiser.step()
        predictions.append(prediction.detach())
    return torch.cat(predictions).cpu().numpy(), run.train.target[order]


@torch.inference_mode()
def predict(network: Localiser, inputs: Inputs, rows: np.ndarray, encoding: str, batch_size: int) -> np.ndarray:
    """Answers of a network in eval mode.

    Args:
        network: The trained network.
        inputs: Where the rows are read.
        rows: Row numbers.
        encoding: The run's encoding.
        batch_size: Rows at once; it does not change the answers beyond rounding.

    Returns:
        float32 (rows, outputs), seconds or pixels.
    """
    network.eval()
    device = next(network.parameters()).device
    parts = []
    for start in range(0, len(rows), batch_size):
        signal = inputs.batch(rows[start : start + batch_size], encoding).to(device, non_blocking=True)
        parts.append(network(signal))
    return np.asarray(torch.cat(parts).cpu().numpy())


def _log_row(
    epoch: int,
    train_prediction: np.ndarray,
    train_target: np.ndarray,
    test_prediction: np.ndarray,
    test_target: np.ndarray,
) -> list[float]:
    error = np.abs(test_prediction.astype(np.float64) - test_target).mean(axis=0)
    return [
        epoch,
        *r2_scores(train_target, train_prediction),
        *r2_scores(test_target, test_prediction),
        *error.tolist(),
    ]


def _check_finite(key: RunKey, epoch: int, row: Sequence[float]) -> None:
    if not np.isfinite(row).all():
        raise InputError(
            f"{key.task} {key.encoding} {key.variant} fold {key.fold} seed {key.seed}",
            f"epoch {epoch} gave a value that is not finite",
            "look for constant targets or extreme signals in the fold, or lower train.learning_rate",
        )


def _progress_line(run: _Run, row: Sequence[float], seconds: float) -> str:
    outputs = len(run.train.spec.outputs)
    train_r2, test_r2 = np.mean(row[1 : 1 + outputs]), np.mean(row[1 + outputs : 1 + 2 * outputs])
    name = f"{run.key.task} {run.key.encoding} {run.key.variant} fold {run.key.fold} seed {run.key.seed}"
    left_s = seconds * (run.settings.epochs - row[0])
    return (
        f"{name}: epoch {row[0]:.0f}/{run.settings.epochs}, R2 train {train_r2:.3f} test {test_r2:.3f}, "
        f"{seconds:.1f} s, {left_s:.0f} s left"
    )


# -------------------------------------------------------------------- state


def _identity(key: RunKey, fold_paths: Sequence[Path], settings: Train) -> str:
    """What a state must agree with to be gone on from: run, settings, inputs, code, torch."""
    package = Path(siwcc.__file__).parent
    code = [
        *(package / f"{name}.py" for name in ("encodings", "networks", "training")),
        *sorted((package / "augment").glob("*.py")),
    ]
    parts = {"key": json.dumps(key), "settings": settings.model_dump_json(), "torch": torch.__version__}
    parts |= {f"code {path.name}": sha256_of(path) for path in code}
    parts |= {f"fold {number}": sha256_of(path) for number, path in enumerate(fold_paths, start=1)}
    return digest_of(parts)


def _save_state(run: _Run, path: Path, identity: str) -> None:
    content = _saved(
        {
            "identity": identity,
            "network": run.network.state_dict(),
            "optimiser": run.optimiser.state_dict(),
            "order": run.order.get_state(),
            "log": json.dumps(run.log),
        }
    )
    write_bytes(path, hashlib.sha256(content).digest() + content)


def _restore(run: _Run, path: Path, identity: str) -> None:
    """Go on from a state, if it is whole and belongs to this very run; else from the start."""
    if not path.exists():
        return
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        logger.warning("%s: damaged, the run starts anew", path)
        return
    state = torch.load(io.BytesIO(content[32:]), weights_only=True, map_location=run.device)
    if state["identity"] != identity:
        logger.warning("%s: from other settings, inputs or code, the run starts anew", path)
        return
    run.network.load_state_dict(state["network"])
    run.optimiser.load_state_dict(state["optimiser"])
    run.order.set_state(state["order"].cpu())
    run.log = json.loads(state["log"])
    logger.info("%s: going on after epoch %d", path, len(run.log))


def _saved(content: dict[str, Any]) -> bytes:
    """`torch.save` into memory: given a path it writes the file's name into the archive."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


# ------------------------------------------------------------------ results


def _write_results(run: _Run, fold_paths: Sequence[Path], files: RunFiles) -> None:
    every_row = np.arange(len(run.test.target))
    prediction = predict(run.network, run.test, every_row, run.key.encoding, run.settings.batch_size)
    write_csv(
        files.log,
        log_columns(run.train.spec.outputs),
        [[int(row[0]), *(repr(value) for value in row[1:])] for row in run.log],
    )
    write_csv(files.predictions, prediction_columns(run.test.spec.outputs), prediction_rows(run.test, prediction))
    write_bytes(files.model, _saved({"metadata": _metadata(run, fold_paths), "weights": _weights(run.network)}))
    write_text(files.manifest, _manifest(run, fold_paths, files))


def _weights(network: Localiser) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu() for name, value in network.state_dict().items()}


def _metadata(run: _Run, fold_paths: Sequence[Path]) -> str:
    encoding, channels = run.train.layer_encoding(run.key.encoding)
    attributes = read_shard(fold_paths[0], "fold", names=()).attributes
    return json.dumps(
        {
            "schema_version": 1,
            "run": run.key._asdict(),
            "spec": json.loads(run.train.spec.to_json()),
            "layer_encoding": encoding,
            "signal_channels": channels,
            "dataset": attributes["dataset"],
            "dataset_protocol": json.loads(attributes["dataset_protocol"]),
            "task_protocol": json.loads(attributes["protocol"]),
            "train": run.settings.model_dump(mode="json"),
            "training_groups": sorted(set(run.train.group)),
            "versions": {"siwcc": siwcc.__version__, "torch": torch.__version__},
        },
        sort_keys=True,
    )


def _manifest(run: _Run, fold_paths: Sequence[Path], files: RunFiles) -> str:
    content = {
        "run": run.key._asdict(),
        "train": run.settings.model_dump(mode="json"),
        "inputs": {path.name: sha256_of(path) for path in fold_paths},
        "outputs": {path.name: sha256_of(path) for path in (files.log, files.model, files.predictions)},
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"
