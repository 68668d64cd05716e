"""One run: train a network on all folds but one, evaluate it on that one (paper, section 2.4); or on all of them."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import siwcc
from siwcc.config import Train
from siwcc.data.augment.interface import Inputs, Source, module_of_fold
from siwcc.data.points import visible_points
from siwcc.evaluation.metrics import mean_errors, r2_scores
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.io.checksums import read_bytes
from siwcc.io.errors import InputError
from siwcc.io.files import digest_of, sha256_of, write_bytes, write_csv, write_manifest
from siwcc.io.joined_samples import SamplesPath
from siwcc.io.locks import locked_folder
from siwcc.io.run_key import NO_FOLD, RUN_FILES, STATE_NAME, RunKey, remove_states, run_place
from siwcc.io.shards import read_attributes
from siwcc.jobs.import_closure import code_sums
from siwcc.nn.heatmap_networks import DenseNet
from siwcc.nn.paper_networks import Localiser
from siwcc.training.batches import Batches, open_batches, usable_device
from siwcc.training.checkpoint import archive_bytes, load_archive, model_bytes, network_for, options_of, tensor_problem
from siwcc.training.compiled import PredictStep, Steps, compiled_steps, uses_compiler
from siwcc.training.sampling import Mirrored, augment_online, draw_order, learning_rate_at, new_copies
from siwcc.training.torch_setup import Adam, keep_large_buffers

_TERMINAL_EVERY_S = 10.0
_SMALLEST_DEVIATION = 1e-6
# Of the largest prediction: deviation of the predictions for a test fold below which they are constant.
_CONSTANT_BELOW = 1e-3
_MAX_STATE_BYTES = 1 << 30
_MOST_NAMED = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFiles:
    """The final files of a run, all in one folder; no predictions where there is no test fold."""

    log: Path
    model: Path
    manifest: Path
    predictions: Path | None = None

    @classmethod
    def in_folder(cls, folder: Path) -> RunFiles:
        """The files of a run with a test fold, under the names that the workflow gives them."""
        log, model, predictions, manifest = (folder / name for name in RUN_FILES)
        return cls(log, model, manifest, predictions)

    @property
    def state(self) -> Path:
        """The state after the last finished epoch, there while the run may have to be gone on with."""
        return self.log.parent / STATE_NAME


@dataclass(frozen=True)
class _Part:
    """The rows that a run trains on or is tested on."""

    inputs: Inputs
    batches: Batches


@dataclass
class _Run:
    key: RunKey
    settings: Train
    device: torch.device
    train: _Part
    source: Source | None
    test: _Part | None
    network: Localiser
    steps: Steps
    compiled: bool
    optimiser: torch.optim.Optimizer
    order: torch.Generator
    resident: bool | None
    log: list[list[float]]


def train_run(
    key: RunKey,
    fold_paths: Sequence[Path],
    samples_path: SamplesPath,
    settings: Train,
    files: RunFiles,
    resident: bool | None = None,
    keep_state: bool = False,
    compiled_folder: Path | None = None,
) -> None:
    """Train, evaluate and write the run's final files; go on from its state if there is one.

    Args:
        key: The run; `key.fold` is the test fold, or `siwcc.io.run_key.NO_FOLD`: train on every fold, test on none.
        fold_paths: `fold1.h5` ... in order.
        samples_path: The samples file that the folds were made from.
        settings: The config's `train`, that of the run's variant (`Train.of`).
        files: Where the results go. They appear together when the run is complete.
        resident: Whether the data live on the device; None: see `siwcc.training.batches.open_batches`.
        keep_state: Leave the state of the complete run to a later `siwcc.io.run_key.remove_states`, for a caller that
            may be killed before it knows that the run is complete, and then deletes the files and asks again: until
            Snakemake has recorded a job it may delete its files. The report's job removes the states.
        compiled_folder: Where what torch compiles is kept for other runs, see `siwcc.training.compiled`.

    Raises:
        InputError: damaged folds, another process at the same run, values that are not finite, a full device.
    """
    with locked_folder(files.log.parent):
        _prepare_torch(settings)
        run = _open_run(key, fold_paths, samples_path, settings, resident, compiled_folder)
        identity = _identity(run, fold_paths)
        _restore(run, files.state, identity)
        _train_epochs(run, files.state, identity)
        _write_results(run, fold_paths, files)
        if not keep_state:
            remove_states([files.state.parent])


def _prepare_torch(settings: Train) -> None:
    keep_large_buffers()
    # Without it CUDA's matrix products refuse to run deterministically.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(settings.threads)
    # `use_deterministic_algorithms` does the same and imports torch's compiler, a second of CPU time in every run.
    torch.set_deterministic_debug_mode("error")
    # Nothing here reads memory before it is written; filling it costs a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch types it not
    torch.backends.cudnn.benchmark = False
    # float32 as in the protocol: CUDA's convolutions would otherwise round to 10 bits by default.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _open_run(
    key: RunKey,
    fold_paths: Sequence[Path],
    samples_path: SamplesPath,
    settings: Train,
    resident: bool | None = None,
    compiled_folder: Path | None = None,
) -> _Run:
    augment = module_of_fold(fold_paths[0])
    training_folds = [path for number, path in enumerate(fold_paths, start=1) if number != key.fold]
    train = augment.open_inputs(training_folds, samples_path, augmented_only=True)
    inputs = [train]
    if key.fold != NO_FOLD:
        inputs.append(augment.open_inputs([fold_paths[key.fold - 1]], samples_path, augmented_only=False))
        shared = set(train.sample_id) & set(inputs[1].sample_id)
        if shared:
            raise InputError(fold_paths[key.fold - 1], f"sample {min(shared)} is in training folds too")
    _check_visible(key, train)
    device = usable_device(settings.device)
    torch.manual_seed(key.seed)
    network = _build(key, train, settings).to(device)
    if isinstance(network.body, DenseNet) and network.body.chain is not None:
        network.body.chain.fit(torch.from_numpy(train.target))
    parts = [_Part(*part) for part in zip(inputs, open_batches(inputs, key.encoding, device, resident), strict=True)]
    steps, compiled = _plain_steps(network, several=len(train.spec.points) > 1), None
    if uses_compiler(settings, device, len(train.target), train.spec.shape, network):
        rows = np.resize(np.arange(len(train.target)), settings.batch_size)
        whole_batch = next(iter(parts[0].batches.over(rows, len(rows))))
        compiled = compiled_steps(steps, network, whole_batch, compiled_folder)
    return _Run(
        key=key,
        settings=settings,
        device=device,
        train=parts[0],
        source=augment.open_source(training_folds, samples_path) if settings.new_copies else None,
        test=parts[1] if len(parts) > 1 else None,
        network=network,
        steps=compiled or steps,
        compiled=compiled is not None,
        optimiser=Adam.for_network(network, settings.learning_rate, device),
        order=torch.Generator().manual_seed(key.seed),
        resident=resident,
        log=[],
    )


def _check_visible(key: RunKey, train: Inputs) -> None:
    """Refuse a point of several that nothing can be learned of."""
    counts = visible_points(train.target, len(train.spec.points)).sum(axis=0).tolist()
    for name, count in zip(train.spec.points, counts, strict=True):
        if name and count < 2:
            remedy = f"leave it out of tasks.{key.task}.points, or take data that have it"
            raise InputError(_name(key), f"the point {name!r} is visible in {count} of the training rows", remedy)


def _build(key: RunKey, inputs: Inputs, settings: Train) -> Localiser:
    encoding, channels = inputs.layer_encoding(key.encoding)
    return network_for(inputs.spec, key.variant, encoding, channels, options_of(settings.model_dump()))


def _plain_steps(network: Localiser, several: bool) -> Steps:
    """How the layers compute a batch; of `several` points the error is that of the visible ones."""
    body = network.body

    def train(
        signal: torch.Tensor, target: torch.Tensor, centre: torch.Tensor, scale: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(body, DenseNet):
            log_map, loss = body.log_map_and_loss(network.encoded(signal), target, scale)
            with torch.no_grad():
                return body.decode(log_map), loss
        prediction = network(signal)
        return prediction, _papers_error(prediction, target, centre, scale, several)

    return Steps(train, network.predict_with_confidence)


def _papers_error(
    prediction: torch.Tensor, target: torch.Tensor, centre: torch.Tensor, scale: torch.Tensor, several: bool
) -> torch.Tensor:
    """The mean squared error of standardised outputs; of several points over those that are visible."""
    if several:
        known = target.isfinite()
        error = torch.where(known, (prediction - target) / scale, torch.zeros_like(target))
        return error.square().sum() / known.sum().clamp_min(1)
    return torch.nn.functional.mse_loss((prediction - centre) / scale, (target - centre) / scale)


# ------------------------------------------------------------------- epochs


def log_columns(outputs: Sequence[str], tested: bool = True) -> list[str]:
    """Columns of `log.csv` for these output suffixes: epoch, train R2, and for a test fold its R2 and error."""
    names = ("train_r2", "test_r2", "test_mae") if tested else ("train_r2",)
    return ["epoch", *(f"{name}{suffix}" for name in names for suffix in outputs)]


def _train_epochs(run: _Run, state_path: Path, identity: str) -> None:
    mean, deviation = standardisation(run.train.inputs.target)
    shown_at = time.monotonic()
    for epoch in range(len(run.log) + 1, run.settings.epochs + 1):
        started_at = time.monotonic()
        train, order = _rows_of_epoch(run, epoch)
        train_prediction = _train_one_epoch(run, train, order, mean, deviation)
        _check_predictions(run, epoch, train.inputs, order, train_prediction)
        row = [epoch, *r2_scores(train.inputs.target[order], train_prediction), *_test_scores(run, epoch)]
        _check_finite(run, epoch, row)
        run.log.append(row)
        _save_state(run, state_path, identity)
        line = _progress_line(run, row, time.monotonic() - started_at)
        logger.info(line)
        if time.monotonic() - shown_at > _TERMINAL_EVERY_S or epoch == run.settings.epochs:
            shown_at = time.monotonic()
            print(line, file=sys.stderr, flush=True)


def standardisation(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (ddof 1) of each output, below 1e-6 taken as 1 (protocol, section 4).

    Of several points over the rows that it is visible in, at least two.
    """
    target = target.astype(np.float64)
    if np.isnan(target).any():
        deviation = np.nanstd(target, axis=0, ddof=1)
        return np.nanmean(target, axis=0), np.where(deviation < _SMALLEST_DEVIATION, 1.0, deviation)
    deviation = target.std(axis=0, ddof=1)
    return target.mean(axis=0), np.where(deviation < _SMALLEST_DEVIATION, 1.0, deviation)


def _rows_of_epoch(run: _Run, epoch: int) -> tuple[_Part, np.ndarray]:
    """What an epoch trains on, and its rows in their order."""
    order = draw_order(run.train.inputs.group, run.settings, run.order)
    if run.source is None:
        return run.train, order
    own = run.train.inputs
    sample_id = own.sample_id[order]
    copies = new_copies(sample_id, int(own.copy.max()), epoch)
    inputs = run.source.moved(sample_id, copies, run.key.seed)
    (batches,) = open_batches([inputs], run.key.encoding, run.device, run.resident)
    return _Part(inputs, batches), np.arange(len(order))


def _train_one_epoch(run: _Run, train: _Part, order: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    run.network.train()
    settings = run.settings
    centre = torch.as_tensor(mean, dtype=torch.float32, device=run.device)
    scale = torch.as_tensor(deviation, dtype=torch.float32, device=run.device)
    steps = -(-len(order) // settings.batch_size)
    predictions = []
    kept = torch.split(_places_of_points(train.inputs, order), settings.batch_size)
    for number, (signal, target) in enumerate(train.batches.over(order, settings.batch_size)):
        for group in run.optimiser.param_groups:
            group["lr"] = learning_rate_at(settings, len(run.log) * steps + number, settings.epochs * steps)
        run.optimiser.zero_grad(set_to_none=True)
        perturbed = augment_online(signal, settings.online_augmentation, run.order, kept[number])
        mirrored = Mirrored.draw(perturbed, settings.online_augmentation, train.inputs.spec.extent, run.order)
        prediction, loss = run.steps.train(mirrored.image(perturbed), mirrored.points(target), centre, scale)
        loss.backward()  # type: ignore[no-untyped-call]
        run.optimiser.step()
        predictions.append(mirrored.points_before(prediction.detach()))
    return torch.cat(predictions).cpu().numpy()


def _places_of_points(inputs: Inputs, rows: np.ndarray) -> torch.Tensor:
    """Where the points of some rows stand, in samples or pixels of the signal, (rows, outputs) on the host."""
    spec = inputs.spec
    last = np.array([size - 1 for size in spec.shape[::-1]]) / np.array(spec.extent)
    return torch.from_numpy(inputs.target[rows] * np.tile(last, len(spec.points)).astype(np.float32))


class Predicted(NamedTuple):
    """What a network says to some rows, float32.

    Attributes:
        prediction: (rows, outputs), seconds or pixels.
        confidence: (rows, points), 0 ... 1; no column for a network without a map.
        visible: (rows, points), 0 ... 1; no column for a network that does not tell.
    """

    prediction: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray


@torch.inference_mode()
def predict(
    network: Localiser, batches: Batches, rows: np.ndarray, batch_size: int, step: PredictStep | None = None
) -> Predicted:
    """Predictions of a network in eval mode (`siwcc.nn.paper_networks.Localiser.predict_with_confidence`).

    Args:
        network: The trained network.
        batches: The rows on the network's device; `siwcc.training.batches.HostBatches` for a few of any inputs.
        rows: Row numbers.
        batch_size: Rows at once; it does not change the predictions beyond rounding.
        step: How a batch is computed; None: `Localiser.predict_with_confidence`.
    """
    network.eval()
    predicted = step or network.predict_with_confidence
    parts = [predicted(signal) for signal, _ in batches.over(rows, batch_size)]
    return Predicted(*(_fetched(torch.cat(kind)) for kind in zip(*parts, strict=True)))


def _predicted(run: _Run, part: _Part, rows: np.ndarray) -> Predicted:
    return predict(run.network, part.batches, rows, run.settings.batch_size, run.steps.predict)


def _fetched(values: torch.Tensor) -> np.ndarray:
    """Nothing is fetched from the device where there is nothing to fetch."""
    return values.cpu().numpy() if values.shape[1] else np.empty(tuple(values.shape), dtype=np.float32)


def _test_scores(run: _Run, epoch: int) -> list[float]:
    """R2 and mean absolute error of every output on the augmented test rows; nothing without a test fold.

    NaN after an epoch that is not to be scored.
    """
    if run.test is None:
        return []
    if not _is_scored(run, epoch):
        return [math.nan] * 2 * len(run.test.inputs.spec.outputs)
    inputs = run.test.inputs
    scored = np.flatnonzero(inputs.copy > 0)
    prediction = _predicted(run, run.test, scored).prediction
    _check_predictions(run, epoch, inputs, scored, prediction)
    target = inputs.target[scored]
    return [*r2_scores(target, prediction), *mean_errors(target, prediction)]


def _is_scored(run: _Run, epoch: int) -> bool:
    return run.settings.scored_epochs == "all" or epoch == run.settings.epochs


def _check_finite(run: _Run, epoch: int, row: Sequence[float]) -> None:
    # One of several points may be visible in too few test rows for a score.
    may_lack = len(run.train.inputs.spec.points) > 1
    trained, tested = np.split(np.array(row), [1 + len(run.train.inputs.spec.outputs)])
    known = np.isfinite(trained) | (may_lack & np.isnan(trained))
    scored = np.isfinite(tested) | ((may_lack or not _is_scored(run, epoch)) & np.isnan(tested))
    if not (known.all() and scored.all()):
        raise InputError(
            _name(run.key),
            f"epoch {epoch} gave a value that is not finite",
            "look for constant targets or extreme signals in the fold, or lower train.learning_rate",
        )


def _check_predictions(run: _Run, epoch: int, inputs: Inputs, rows: np.ndarray, prediction: np.ndarray) -> None:
    """Stop at a prediction that is not finite, and name the samples it comes from.

    Such a value spoils the weights, and with them every later prediction: the cause lies in the first batch with one,
    or in the batch before it.
    """
    bad = ~np.isfinite(prediction).all(axis=1)
    if not bad.any():
        return
    size = run.settings.batch_size
    start = int(np.argmax(bad)) // size * size
    suspects = rows[max(0, start - size) : start + size]
    causes = suspects[~_finite_inputs(run, inputs, suspects)]
    if len(causes):
        problem = f"the signal or target of {_named(inputs, causes)} holds a value that is not finite"
    else:
        named = _named(inputs, rows[start : start + size][bad[start : start + size]])
        problem = f"the prediction for {named} is not finite, although its input is: the weights have left all bounds"
    part = "test" if run.test is not None and inputs is run.test.inputs else "training"
    remedy = "repair or remove these samples, or lower train.learning_rate; the state of the epoch before is kept"
    raise InputError(_name(run.key), f"epoch {epoch}, {part} set: {problem}", remedy)


def _finite_inputs(run: _Run, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    signal = inputs.batch(rows, run.key.encoding).flatten(1).isfinite().all(dim=1).cpu().numpy()
    several = len(inputs.spec.points) > 1
    target = np.isfinite(inputs.target[rows]) | (several & np.isnan(inputs.target[rows]))
    return np.asarray(signal & target.all(axis=1))


def _named(inputs: Inputs, rows: np.ndarray) -> str:
    names = [f"{inputs.sample_id[row]} (copy {inputs.copy[row]})" for row in rows[:_MOST_NAMED]]
    return ", ".join(names) + (f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else "")


def _name(key: RunKey) -> str:
    fold = "every fold" if key.fold == NO_FOLD else f"fold {key.fold}"
    return f"{key.task} {key.encoding} {key.variant} {fold} seed {key.seed}"


def _progress_line(run: _Run, row: Sequence[float], seconds: float) -> str:
    outputs = len(run.train.inputs.spec.outputs)
    scored = run.test and _is_scored(run, int(row[0]))
    test = f" test {np.mean(row[1 + outputs : 1 + 2 * outputs]):.3f}" if scored else ""
    left_s = seconds * (run.settings.epochs - row[0])
    return (
        f"{_name(run.key)}: epoch {row[0]:.0f}/{run.settings.epochs}, "
        f"R2 train {np.mean(row[1 : 1 + outputs]):.3f}{test}, {seconds:.1f} s, {left_s:.0f} s left"
    )


# -------------------------------------------------------------------- state


def _identity(run: _Run, fold_paths: Sequence[Path]) -> str:
    """What a state must agree with to be gone on from: run, settings, inputs, code, torch."""
    parts = {"key": json.dumps(run.key), "settings": run.settings.model_dump_json(), "torch": torch.__version__}
    parts["compiled"] = str(run.compiled)
    parts["device"] = run.device.type
    parts["batches"] = type(run.train.batches).__name__
    parts |= code_sums("training.run", f"data.augment.{run.train.inputs.spec.kind}")
    # Their content was checked when they were opened.
    parts |= {f"fold {number}": read_attributes(path, "fold")["digest"] for number, path in enumerate(fold_paths, 1)}
    return digest_of(parts)


def _save_state(run: _Run, path: Path, identity: str) -> None:
    content = archive_bytes(
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
    try:
        state = _read_state(path)
        if state.get("identity") != identity:
            logger.warning("%s: from other settings, inputs or code, or another device, the run starts again", path)
            return
        log = _checked_log(run, path, state)
    except InputError as error:
        logger.warning("%s; the run starts again", error)
        return
    run.network.load_state_dict(state["network"])
    run.optimiser.load_state_dict(state["optimiser"])
    run.order.set_state(state["order"])
    run.log = log
    logger.info("%s: going on after epoch %d", path, len(run.log))


def _read_state(path: Path) -> dict[str, Any]:
    content = read_bytes(path, _MAX_STATE_BYTES)
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise InputError(path, "is damaged")
    return load_archive(path, content[32:])


def _checked_log(run: _Run, path: Path, state: dict[str, Any]) -> list[list[float]]:
    """The epochs so far, once all of the state is known to fit the run: it is loaded whole or not at all."""
    try:
        problem = (
            tensor_problem(state["network"], run.network.state_dict())
            or tensor_problem({"order": state["order"]}, {"order": run.order.get_state()})
            or _optimiser_problem(run, state["optimiser"])
        )
        log = [[float(value) for value in row] for row in json.loads(state["log"])]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(path, f"was not written by siwcc ({type(error).__name__})") from error
    columns = len(log_columns(run.train.inputs.spec.outputs, tested=run.test is not None))
    whole = all(len(row) == columns and row[0] == epoch for epoch, row in enumerate(log, start=1))
    if problem or not whole or not 0 < len(log) <= run.settings.epochs:
        raise InputError(path, f"does not fit the run ({problem or 'its log'})")
    return log


def _optimiser_problem(run: _Run, state: dict[str, Any]) -> str:
    # The learning rate is set before every step, whatever the state says.
    found_groups = [{**group, "lr": run.settings.learning_rate} for group in state["param_groups"]]
    if found_groups != run.optimiser.state_dict()["param_groups"]:
        return "the optimiser has other settings"
    found = {f"{number}.{name}": value for number, of in state["state"].items() for name, value in of.items()}
    expected = {}
    for number, parameter in enumerate(run.network.parameters()):
        if number in state["state"]:
            expected[f"{number}.step"] = torch.zeros(())
            expected |= {f"{number}.{name}": parameter for name in ("exp_avg", "exp_avg_sq")}
    return tensor_problem(found, expected)


# ------------------------------------------------------------------ results


def _write_results(run: _Run, fold_paths: Sequence[Path], files: RunFiles) -> None:
    predictions = None if run.test is None else _predictions(run, run.test)
    written = [files.log, files.model]
    write_csv(
        files.log,
        log_columns(run.train.inputs.spec.outputs, tested=run.test is not None),
        [[int(row[0]), *("" if math.isnan(value) else repr(value) for value in row[1:])] for row in run.log],
    )
    if predictions is not None:
        assert files.predictions is not None, "a run with a test fold writes predictions"  # noqa: S101 - narrows the type
        write_csv(files.predictions, *predictions)
        written.append(files.predictions)
    write_bytes(files.model, model_bytes(_metadata(run, fold_paths), _weights(run.network)))
    write_manifest(
        files.manifest,
        run_place(run.key),
        written,
        run=run.key._asdict(),
        train=run.settings.recorded(),
        inputs={path.name: sha256_of(path) for path in fold_paths},
    )


def _predictions(run: _Run, test: _Part) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of `predictions.csv`."""
    every_row = np.arange(len(test.inputs.target))
    found = _predicted(run, test, every_row)
    _check_predictions(run, run.settings.epochs, test.inputs, every_row, found.prediction)
    _warn_if_constant(run, found.prediction)
    columns = prediction_columns(test.inputs.spec.outputs, found.confidence.shape[1], found.visible.shape[1])
    return columns, prediction_rows(test.inputs, *found)


def _warn_if_constant(run: _Run, prediction: np.ndarray) -> None:
    """Warn if every row got the same prediction: a sigmoid that is driven to 0 or 1 has no gradient to come back by."""
    if len(prediction) > 1 and prediction.std(axis=0).max() < _CONSTANT_BELOW * run.train.inputs.spec.output_scale:
        middle = ", ".join(f"{value:.4g}" for value in np.median(prediction, axis=0))
        unit = run.train.inputs.spec.unit
        logger.warning("%s: predicts %s %s for every test row; the training is stuck", _name(run.key), middle, unit)


def _weights(network: Localiser) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu() for name, value in network.state_dict().items()}


def _metadata(run: _Run, fold_paths: Sequence[Path]) -> dict[str, Any]:
    encoding, channels = run.train.inputs.layer_encoding(run.key.encoding)
    attributes = read_attributes(fold_paths[0], "fold")
    return {
        "run": run.key._asdict(),
        "spec": json.loads(run.train.inputs.spec.to_json()),
        "layer_encoding": encoding,
        "signal_channels": channels,
        "dataset": attributes["dataset"],
        "dataset_protocol": json.loads(attributes["dataset_protocol"]),
        "task_protocol": json.loads(attributes["protocol"]),
        # As it was, not as it was asked for: without a compiler other numbers result.
        "train": run.settings.recorded() | {"compile": run.compiled},
        "training_groups": sorted(set(run.train.inputs.group)),
        "versions": {"siwcc": siwcc.__version__, "torch": torch.__version__},
    }
