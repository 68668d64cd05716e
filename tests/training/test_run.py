"""One run: against a plain float64 loop, to the byte, and over interruptions."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.metrics import r2_score
from tolerances import FLOAT32, assert_same

from siwcc.config import OnlineAugmentation, SignalTask, Train, VfdbSection
from siwcc.data.augment.interface import augment_module
from siwcc.data.datasets.interface import Sample
from siwcc.data.folds import make_fold
from siwcc.data.samples import write_samples
from siwcc.data.tasks.interface import TaskSpec
from siwcc.io import locks
from siwcc.io.errors import InputError
from siwcc.io.files import sha256_of, write_csv
from siwcc.io.run_key import NO_FOLD, STATE_NAME, RunKey, remove_states, run_key_of
from siwcc.nn.paper_networks import build_localiser
from siwcc.training import run as training
from siwcc.training.checkpoint import read_model
from siwcc.training.run import RunFiles, log_columns, standardisation, train_run

pytestmark = pytest.mark.numeric

DATASET = VfdbSection(format="vfdb")
TASK = SignalTask(copies_per_sample=3)
# 8 training samples x 3 copies in batches of 10: the last one has 4.
SETTINGS = Train(epochs=3, batch_size=10, device="cpu")
KEY = RunKey("ecg", "weighted", "full", 1, 42)
NAME = "ecg weighted full fold 1 seed 42"
FOLDS, SAMPLES = 3, 12


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(False)


def window(number: int) -> Sample:
    """Noise that grows and beats faster from the target on."""
    rng = np.random.default_rng(number)
    target_s = float(rng.uniform(6, 14))
    time_s = np.arange(5000) / 250
    rate_hz = np.where(time_s < target_s, 1.2, 4.0)
    signal = np.sin(2 * np.pi * np.cumsum(rate_hz) / 250) * np.array([[1.0], [-0.7]]) + rng.normal(0, 0.05, (2, 5000))
    return Sample(
        sample_id=f"r{number % 4}_{number:02}",
        group=f"r{number % 4}",
        label="VT",
        signal=signal.astype(np.float32),
        target=np.array([round(target_s * 250) / 250]),
        extras={
            "event_sample": np.int64(round(target_s * 250) + 10_000),
            "previous_event": np.int64(-1),
            "context_valid": np.ones(10_000, dtype=bool),
        },
    )


def write_folds(folder: Path, task: SignalTask = TASK, samples: list[Sample] | None = None) -> list[Path]:
    items = sorted(samples or [window(number) for number in range(SAMPLES)], key=lambda item: item.sample_id)
    attributes = {"dataset": "made", "task": "ecg", "rate_hz": 250.0, "protocol": DATASET.protocol()}
    write_samples(items, attributes, folder / "samples.h5", 0.0)
    assignment = [(item.sample_id, item.group, i % FOLDS + 1) for i, item in enumerate(items)]
    write_csv(folder / "folds.csv", ("sample_id", "group", "fold"), assignment)
    paths = [folder / f"fold{fold}.h5" for fold in range(1, FOLDS + 1)]
    for fold, path in enumerate(paths, start=1):
        make_fold(folder / "samples.h5", folder / "folds.csv", fold, task, DATASET, 42, path)
    return paths


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_folds(tmp_path_factory.mktemp("folds"))


def files_in(folder: Path, key: RunKey = KEY) -> RunFiles:
    place = folder / key.task / key.encoding / key.variant / f"fold{key.fold}" / f"seed{key.seed}"
    names = {"log": "log.csv", "model": "model.pt", "predictions": "predictions.csv", "manifest": "manifest.json"}
    return RunFiles(**{name: place / file for name, file in names.items()})


def run(folds: list[Path], out: Path, key: RunKey = KEY, settings: Train = SETTINGS) -> RunFiles:
    files = files_in(out, key)
    assert run_key_of(files.log) == key
    train_run(key, folds, folds[0].parent / "samples.h5", settings, files)
    return files


def contents(files: RunFiles) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files.log.parent.iterdir()}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def finished(folds: list[Path], tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return run(folds, tmp_path_factory.mktemp("finished"))


# ------------------------------------------------------------------- by hand


def test_standardisation_by_hand() -> None:
    # Column 0: mean 3, squared deviations 4 + 0 + 4, over 2; column 1 is constant.
    mean, deviation = standardisation(np.array([[1, 7], [3, 7], [5, 7]], dtype=np.float32))
    assert mean.tolist() == [3.0, 7.0]
    assert deviation.tolist() == [2.0, 1.0]
    assert standardisation(np.array([[0.0], [1e-6]]))[1].tolist() == [1.0]
    assert standardisation(np.array([[0.0], [2e-6]]))[1] == pytest.approx(2e-6 / np.sqrt(2))


def test_log_columns() -> None:
    assert log_columns([""]) == ["epoch", "train_r2", "test_r2", "test_mae"]
    assert log_columns(["_x", "_y"]) == [
        "epoch", "train_r2_x", "train_r2_y", "test_r2_x", "test_r2_y", "test_mae_x", "test_mae_y",
    ]  # fmt: skip


# ------------------------------------------------------------ the plain loop


class PlainRun:
    """NimeshaNet and its training as the protocol's sections 3 and 4 say, in float64 and Conv1d."""

    def __init__(self, start: dict[str, torch.Tensor], rate: float) -> None:
        self.state = {name: value.double().clone() for name, value in start.items() if value.dtype.is_floating_point}
        self.parameters = [value.requires_grad_() for name, value in self.state.items() if "running" not in name]
        self.optimiser = torch.optim.Adam(self.parameters, lr=rate)

    def __call__(self, signal: torch.Tensor, training: bool) -> torch.Tensor:
        state = self.state
        for block in range(4):
            name = f"body.blocks.{block}"
            kernel = state[f"{name}.conv.weight"].squeeze(2)
            signal = F.conv1d(signal, kernel, state[f"{name}.conv.bias"], padding=1)
            signal = F.batch_norm(
                signal,
                state[f"{name}.norm.running_mean"],
                state[f"{name}.norm.running_var"],
                state[f"{name}.norm.weight"],
                state[f"{name}.norm.bias"],
                training=training,
            )
            signal = F.avg_pool1d(F.relu(signal), 2)
        features = (signal * state["body.pool.weight"].squeeze(1)).sum(dim=2)
        return 20 * torch.sigmoid(F.linear(features, state["body.head.weight"], state["body.head.bias"]))


def plain_arrays(paths: list[Path], encoding: str, augmented_only: bool) -> tuple[torch.Tensor, torch.Tensor]:
    signals, targets = [], []
    for path in paths:
        with h5py.File(path) as handle:
            keep = handle["copy"][:] >= (1 if augmented_only else 0)
            signals.append(handle["signal"][:][keep].astype(np.float64))
            targets.append(handle["target"][:][keep].astype(np.float32).astype(np.float64))
    leads = np.concatenate(signals)
    coordinate = np.broadcast_to(10 * np.arange(500) * 20 / 4999, (len(leads), 1, 500))
    channel = coordinate * leads.mean(axis=1, keepdims=True) if encoding == "weighted" else coordinate
    return torch.from_numpy(np.concatenate([leads, channel], axis=1)), torch.from_numpy(np.concatenate(targets))


@pytest.mark.parametrize(("encoding", "rate"), [("coord", 1e-3), ("weighted", 1e-3), ("coord", 1e-5)])
def test_two_epochs_are_those_of_a_plain_loop(folds: list[Path], tmp_path: Path, encoding: str, rate: float) -> None:
    key = KEY._replace(encoding=encoding)
    files = run(folds, tmp_path, key, SETTINGS.model_copy(update={"epochs": 2, "learning_rate": rate}))

    torch.manual_seed(42)
    plain = PlainRun(
        build_localiser("nimesha", "full", encoding, 2, (500,), (4990 * 20 / 4999,), 20.0).state_dict(), rate
    )
    order = torch.Generator().manual_seed(42)
    signal, target = plain_arrays(folds[1:], encoding, augmented_only=True)
    test_signal, test_target = plain_arrays(folds[:1], encoding, augmented_only=True)
    centre, scale = target.mean(), target.std()
    logged = rows_of(files.log)
    assert [row["epoch"] for row in logged] == ["1", "2"]
    for row in logged:
        shuffled = torch.randperm(24, generator=order)
        predictions = []
        for rows in (shuffled[:10], shuffled[10:20], shuffled[20:]):
            prediction = plain(signal[rows], training=True)
            loss = (((prediction - centre) / scale - (target[rows] - centre) / scale) ** 2).mean()
            plain.optimiser.zero_grad()
            loss.backward()
            plain.optimiser.step()
            predictions.append(prediction.detach())
        with torch.no_grad():
            test_prediction = plain(test_signal, training=False)
        # R2 is about 1: a step of Adam changes it by more than half of its rate, float32 by less than 5e-6.
        assert float(row["train_r2"]) == pytest.approx(
            r2_score(target[shuffled], torch.cat(predictions)), abs=rate / 2 + 5e-6
        )
        # In float32, Adam moves the convolutions' biases, whose gradient is only rounding, by up to the rate a step,
        # and each processor in its own directions. In training that cancels; in evaluation the running means follow
        # late: in six steps by up to six rates, of outputs up to 20 s. The smallest rate is the sharpest test.
        late = 20 * 6 * rate
        assert float(row["test_r2"]) == pytest.approx(r2_score(test_target, test_prediction), abs=late)
        assert float(row["test_mae"]) == pytest.approx(float((test_prediction - test_target).abs().mean()), abs=late)


# ------------------------------------------------------------- what is there


def test_only_the_final_files_are_left(finished: RunFiles) -> None:
    assert set(contents(finished)) == {"log.csv", "model.pt", "predictions.csv", "manifest.json"}
    assert len(rows_of(finished.log)) == 3
    assert finished.log.read_text().splitlines()[0] == "epoch,train_r2,test_r2,test_mae"


def test_predictions_hold_the_test_fold_with_copy_0_and_scores_leave_it_out(
    folds: list[Path], finished: RunFiles
) -> None:
    rows = rows_of(finished.predictions)
    assert list(rows[0]) == ["sample_id", "copy", "target", "prediction"]
    with h5py.File(folds[0]) as handle:
        ids, copies = handle["sample_id"].asstr()[:].tolist(), handle["copy"][:].tolist()
        targets = handle["target"][:, 0].tolist()
    assert [(row["sample_id"], int(row["copy"])) for row in rows] == list(zip(ids, copies, strict=True))
    assert copies == [0, 1, 2, 3] * 4
    # predictions.csv has six decimals; log.csv has all.
    assert [float(row["target"]) for row in rows] == pytest.approx(targets, abs=1e-6)
    last = rows_of(finished.log)[-1]
    scored = [row for row in rows if row["copy"] != "0"]
    truth, prediction = ([float(row[name]) for row in scored] for name in ("target", "prediction"))
    assert float(last["test_r2"]) == pytest.approx(r2_score(truth, prediction), abs=1e-5)
    assert float(last["test_mae"]) == pytest.approx(np.abs(np.subtract(truth, prediction)).mean(), abs=1e-5)
    everything = r2_score([float(row["target"]) for row in rows], [float(row["prediction"]) for row in rows])
    assert abs(float(last["test_r2"]) - everything) > 1e-3


@pytest.mark.parametrize("stopped", [False, True])
def test_scores_of_the_last_epoch_alone_leave_all_else_as_it_is(
    folds: list[Path], finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    settings = SETTINGS.model_copy(update={"scored_epochs": "last"})
    if stopped:
        leave_state(folds, tmp_path, monkeypatch, settings)
    files = run(folds, tmp_path, settings=settings)
    assert files.predictions is not None
    assert finished.predictions is not None
    assert files.predictions.read_bytes() == finished.predictions.read_bytes()
    *early, last = rows_of(files.log)
    *early_scored, last_scored = rows_of(finished.log)
    assert last == last_scored
    for row, scored in zip(early, early_scored, strict=True):
        assert row == scored | {"test_r2": "", "test_mae": ""}


def test_copy_0_is_not_trained_on(finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signals = augment_module("signal")
    make_copies = signals.make_copies

    def spoil_copy_0(sample: Any, copies: Any, *rest: Any) -> Any:
        made = make_copies(sample, copies, *rest)
        made.signal[np.array(copies) == 0] *= 50
        return made

    monkeypatch.setattr(signals, "make_copies", spoil_copy_0)
    spoiled = run(write_folds(tmp_path), tmp_path / "out")
    assert spoiled.log.read_bytes() == finished.log.read_bytes()
    weights, expected = (torch.load(path, weights_only=True)["weights"] for path in (spoiled.model, finished.model))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    changed = [
        one["copy"]
        for one, other in zip(rows_of(spoiled.predictions), rows_of(finished.predictions), strict=True)
        if one != other
    ]
    assert set(changed) == {"0"}


@pytest.mark.parametrize(
    ("encoding", "variant", "weighted_at"),
    [("weighted", "full", "model_rate"), ("none", "reduced", "model_rate"), ("weighted", "reduced", "source_rate")],
)
def test_the_model_file_is_enough_to_prediction_as_the_run_did(
    tmp_path: Path, encoding: str, variant: str, weighted_at: str
) -> None:
    folds = write_folds(tmp_path, TASK.model_copy(update={"weighted_at": weighted_at}))
    key = KEY._replace(encoding=encoding, variant=variant)
    files = run(folds, tmp_path / "out", key, SETTINGS.model_copy(update={"epochs": 1}))
    saved = torch.load(files.model, weights_only=True)
    metadata = json.loads(saved["metadata"])
    reader = read_model(files.model)
    spec = TaskSpec.from_json(json.dumps(metadata["spec"]))
    network = build_localiser(
        network=spec.network,
        variant=metadata["run"]["variant"],
        encoding=metadata["layer_encoding"],
        signal_channels=metadata["signal_channels"],
        shape=spec.shape,
        extent=spec.extent,
        output_scale=spec.output_scale,
    )
    network.load_state_dict(saved["weights"])
    network.eval()
    inputs = augment_module("signal").open_inputs(folds[:1], tmp_path / "samples.h5", augmented_only=False)
    with torch.inference_mode():
        prediction = network(inputs.batch(np.arange(16), encoding))[:, 0].numpy()
    stored = [float(row["prediction"]) for row in rows_of(files.predictions)]
    assert_same(prediction, stored, FLOAT32, scale=spec.output_scale)
    with torch.inference_mode():
        assert torch.equal(reader.network(inputs.batch(np.arange(16), encoding))[:, 0], torch.from_numpy(prediction))
    assert (reader.key, reader.spec) == (key, spec)


def test_metadata_says_where_the_model_comes_from(finished: RunFiles) -> None:
    saved = torch.load(finished.model, weights_only=True)
    assert set(saved) == {"metadata", "weights"}
    metadata = json.loads(saved["metadata"])
    assert metadata["run"] == {"task": "ecg", "encoding": "weighted", "variant": "full", "fold": 1, "seed": 42}
    # Samples are in the order r0_00, r0_04, r0_08, r1_01 ...; fold 1 has the 1st, 4th, 7th and 10th.
    assert metadata["training_groups"] == ["r0", "r1", "r2", "r3"]
    assert metadata["dataset"] == "made"
    assert metadata["dataset_protocol"] == DATASET.protocol()
    assert metadata["task_protocol"] == TASK.protocol()
    assert Train.model_validate(metadata["train"]) == SETTINGS.model_copy(update={"compile": False})
    assert metadata["versions"]["torch"] == torch.__version__


def test_the_manifest_holds_the_sums_of_inputs_and_outputs(folds: list[Path], finished: RunFiles) -> None:
    manifest = json.loads(finished.manifest.read_text())
    assert manifest["inputs"] == {path.name: sha256_of(path) for path in folds}
    assert manifest["place"] == "ecg/weighted/full/fold1/seed42"
    outputs = (finished.log, finished.model, finished.predictions)
    assert manifest["outputs"] == {path.name: sha256_of(path) for path in outputs}


def test_a_run_on_every_fold_trains_as_one_with_a_further_test_fold(folds: list[Path], tmp_path: Path) -> None:
    tested = run(folds, tmp_path / "tested", KEY._replace(fold=3))
    folder = tmp_path / "ecg/weighted/full/all/seed42"
    files = RunFiles(folder / "log.csv", folder / "model.pt", folder / "manifest.json")
    train_run(KEY._replace(fold=NO_FOLD), folds[:2], folds[0].parent / "samples.h5", SETTINGS, files)
    assert set(contents(files)) == {"log.csv", "model.pt", "manifest.json"}
    with_test = [{name: row[name] for name in ("epoch", "train_r2")} for row in rows_of(tested.log)]
    assert rows_of(files.log) == with_test
    of_all, of_two = read_model(files.model), read_model(tested.model)
    assert of_all.metadata.weights_sha256 == of_two.metadata.weights_sha256
    assert (of_all.key.fold, of_all.metadata.training_groups) == (0, of_two.metadata.training_groups)
    manifest = json.loads(files.manifest.read_text())
    assert manifest["place"] == "ecg/weighted/full/all/seed42"
    assert set(manifest["outputs"]) == {"log.csv", "model.pt"}


# ------------------------------------------------------------ the same bytes


def test_a_second_run_elsewhere_is_equal_to_the_byte(folds: list[Path], finished: RunFiles, tmp_path: Path) -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    assert contents(run(folds, tmp_path / "a" / "longer_name")) == contents(finished)


@pytest.mark.parametrize(("encoding", "weighted_at"), [("coord", "model_rate"), ("weighted", "source_rate")])
def test_data_that_live_on_the_device_give_the_same_bytes(tmp_path: Path, encoding: str, weighted_at: str) -> None:
    folds = write_folds(tmp_path, TASK.model_copy(update={"weighted_at": weighted_at}))
    key, settings = KEY._replace(encoding=encoding), SETTINGS.model_copy(update={"epochs": 2})
    host, device = (files_in(tmp_path / name, key) for name in ("host", "device"))
    train_run(key, folds, tmp_path / "samples.h5", settings, host)
    train_run(key, folds, tmp_path / "samples.h5", settings, device, resident=True)
    assert contents(device) == contents(host)


def test_a_state_belongs_to_where_the_batches_are_made(folds: list[Path]) -> None:
    samples_path = folds[0].parent / "samples.h5"
    runs = [training._open_run(KEY, folds, samples_path, SETTINGS, resident) for resident in (None, False, True)]
    identities = [training._identity(run, folds) for run in runs]
    assert identities[0] == identities[1] != identities[2]


def test_a_state_belongs_to_what_was_compiled_and_to_the_device(folds: list[Path]) -> None:
    one = training._open_run(KEY, folds, folds[0].parent / "samples.h5", SETTINGS)
    before = training._identity(one, folds)
    # As where a compiler failed, and was mended before the run goes on.
    one.compiled = True
    compiled = training._identity(one, folds)
    one.compiled = False
    assert training._identity(one, folds) == before != compiled
    one.device = torch.device("cuda")
    assert training._identity(one, folds) not in (before, compiled)


def test_convolutions_and_products_are_float32_on_cuda_too() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    training._prepare_torch(SETTINGS)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.are_deterministic_algorithms_enabled()


def test_another_seed_fold_or_encoding_is_another_run(folds: list[Path], finished: RunFiles, tmp_path: Path) -> None:
    models = {finished.model.read_bytes()}
    for number, change in enumerate([{"seed": 43}, {"fold": 2}, {"encoding": "coord"}]):
        models.add(run(folds, tmp_path / str(number), KEY._replace(**change)).model.read_bytes())
    assert len(models) == 4


def test_the_threads_are_those_of_the_config(folds: list[Path], tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1, "threads": 2})
    run(folds, tmp_path, KEY, settings)
    assert torch.get_num_threads() == 2
    run(folds, tmp_path / "1", KEY, SETTINGS.model_copy(update={"epochs": 1}))
    assert torch.get_num_threads() == 1


# --------------------------------------------------------------- interrupted


def interrupt(monkeypatch: pytest.MonkeyPatch, name: str, calls: int, after: bool) -> None:
    """Let the `calls`-th call of a function of `siwcc.training.run` be the last thing that happens."""
    function = getattr(training, name)
    count = iter(range(1, 1000))

    def interrupted(*arguments: Any, **named: Any) -> Any:
        last = next(count) == calls
        if last and not after:
            raise KeyboardInterrupt
        result = function(*arguments, **named)
        if last:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(training, name, interrupted)


@pytest.mark.parametrize(
    ("name", "calls", "after", "epochs_kept"),
    [
        ("_train_one_epoch", 1, True, None),
        ("_save_state", 1, True, 1),
        ("_train_one_epoch", 2, True, 1),
        ("_save_state", 2, False, 1),
        ("_save_state", 2, True, 2),
        ("write_csv", 1, True, 3),
        ("write_bytes", 2, True, 2),
        ("write_manifest", 1, False, 3),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    folds: list[Path],
    finished: RunFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    calls: int,
    after: bool,
    epochs_kept: int | None,
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, name, calls, after)
        with pytest.raises(KeyboardInterrupt):
            run(folds, tmp_path)
    state = files_in(tmp_path).state
    assert state.exists() == (epochs_kept is not None)
    with caplog.at_level(logging.INFO, logger="siwcc.training.run"), monkeypatch.context() as patch:
        patch.setattr(logging.getLogger("siwcc"), "propagate", True)
        files = run(folds, tmp_path)
    assert contents(files) == contents(finished)
    resumed = [re.search(r"epoch (\d+)", message) for message in caplog.messages if message.startswith(f"{state}: ")]
    assert [int(found[1]) for found in resumed if found] == ([] if epochs_kept is None else [epochs_kept])


def test_what_a_recipe_draws_goes_on_where_it_was(
    folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The learning rate follows the steps of all epochs; rows and changed channels are drawn from the saved generator.
    online_augmentation = OnlineAugmentation(
        sign=0.5, order=0.5, silence=0.2, turn=0.5, noise=0.1, wander=0.1, patch=0.5
    )
    drawn = {"rows_per_epoch": 25, "balance": 0.5, "new_copies": True, "online_augmentation": online_augmentation}
    recipe = SETTINGS.model_copy(update={"schedule": "one_cycle", **drawn})
    whole = contents(run(folds, tmp_path / "whole", KEY, recipe))
    leave_state(folds, tmp_path / "stopped", monkeypatch, recipe)
    assert contents(run(folds, tmp_path / "stopped", KEY, recipe)) == whole


def test_the_schedule_is_over_the_steps_of_all_epochs(
    folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    learning_rate_at = training.learning_rate_at

    def noted(settings: Train, step: int, steps: int) -> float:
        asked.append((step, steps))
        return learning_rate_at(settings, step, steps)

    monkeypatch.setattr(training, "learning_rate_at", noted)
    run(folds, tmp_path)
    # Three epochs of three batches.
    assert asked == [(step, 9) for step in range(9)]


def test_what_is_changed_is_told_where_the_points_stand(
    folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, targets = [], []
    papers_error = training._papers_error

    def augment_online(
        signal: torch.Tensor, settings: OnlineAugmentation, generator: torch.Generator, kept: torch.Tensor
    ) -> torch.Tensor:
        places.append(kept)
        return signal

    def spied(prediction: torch.Tensor, target: torch.Tensor, *others: Any) -> torch.Tensor:
        targets.append(target)
        return papers_error(prediction, target, *others)

    monkeypatch.setattr(training, "augment_online", augment_online)
    monkeypatch.setattr(training, "_papers_error", spied)
    run(folds, tmp_path)
    # The last of 500 samples is the 4990th of 4999 steps over 20 s.
    assert_same(torch.cat(places), torch.cat(targets) / 20 * 4999 / 4990 * 499, FLOAT32)


def test_new_copies_are_in_no_fold_no_other_epoch_and_of_no_other_seed(folds: list[Path]) -> None:
    recipe = SETTINGS.model_copy(update={"new_copies": True, "balance": 0.5})

    def signals(seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        one = training._open_run(KEY._replace(seed=seed), folds, folds[0].parent / "samples.h5", recipe, None)
        train, order = training._rows_of_epoch(one, epoch)
        drawn = training.draw_order(one.train.inputs.group, recipe, torch.Generator().manual_seed(seed))
        np.testing.assert_array_equal(train.inputs.sample_id[order], one.train.inputs.sample_id[drawn])
        (batch,) = [signal for signal, _ in train.batches.over(order, len(order))]
        return batch.numpy(), one.train.inputs.batch(np.arange(len(one.train.inputs.target)), "coord").numpy()

    first, kept = signals(42, 1)
    every = [*first, *kept, *signals(42, 2)[0], *signals(43, 1)[0]]
    assert len({signal.tobytes() for signal in every}) == 3 * len(first) + len(kept)
    np.testing.assert_array_equal(signals(42, 1)[0], first)


def test_a_complete_run_whose_files_are_taken_away_is_not_trained_again(
    folds: list[Path], finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_in(tmp_path)

    def train() -> None:
        train_run(KEY, folds, folds[0].parent / "samples.h5", SETTINGS, files, keep_state=True)

    train()
    assert contents(files).keys() == contents(finished).keys() | {STATE_NAME}
    # What Snakemake does when it was killed before it has recorded that the job is done.
    for path in (files.log, files.model, files.predictions, files.manifest):
        path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(training, "_train_one_epoch", None)
        train()
    remove_states([files.log.parent, tmp_path / "absent"])
    assert contents(files) == contents(finished)


def leave_state(folds: list[Path], out: Path, monkeypatch: pytest.MonkeyPatch, settings: Train = SETTINGS) -> Path:
    """A state after the first epoch."""
    with monkeypatch.context() as patch:
        interrupt(patch, "_save_state", 1, after=True)
        with pytest.raises(KeyboardInterrupt):
            run(folds, out, KEY, settings)
    return files_in(out).state


def test_a_state_of_other_settings_is_not_used(
    folds: list[Path], finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_state(folds, tmp_path, monkeypatch, SETTINGS.model_copy(update={"learning_rate": 1e-2}))
    assert contents(run(folds, tmp_path)) == contents(finished)


def test_a_state_of_other_folds_is_not_used(
    folds: list[Path], finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = write_folds(tmp_path, TASK.model_copy(update={"copies_per_sample": 2}))
    leave_state(others, tmp_path / "out", monkeypatch)
    assert contents(run(folds, tmp_path / "out")) == contents(finished)


def test_a_state_of_other_code_is_not_used(
    folds: list[Path], finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training, "sha256_of", lambda path: "0" if path.name == "networks.py" else sha256_of(path))
        state = leave_state(folds, tmp_path, monkeypatch)
    saved = torch.load(io.BytesIO(state.read_bytes()[32:]), weights_only=True)
    assert json.loads(saved["log"])[0][0] == 1
    assert contents(run(folds, tmp_path)) == contents(finished)


@pytest.mark.parametrize("length", [0, 31, 32, 1000])
def test_a_damaged_state_is_not_used(
    folds: list[Path], finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    state = leave_state(folds, tmp_path, monkeypatch)
    content = bytearray(state.read_bytes())
    content[-1000] ^= 1
    state.write_bytes(content if length == 1000 else content[:length])
    assert contents(run(folds, tmp_path)) == contents(finished)


# ----------------------------------------------------------------- bad input


def test_a_second_process_at_the_same_run_is_refused(
    folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_LOCK_WAIT_S", 0.2)
    folder = files_in(tmp_path).log.parent
    program = (
        "import sys; from pathlib import Path; from siwcc.io.locks import locked_folder\n"
        "with locked_folder(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError) as caught:
        run(folds, tmp_path)
    assert caught.value.where == str(folder)
    assert list(folder.iterdir()) == []
    holder.kill()
    holder.communicate()
    assert run(folds, tmp_path, KEY, SETTINGS.model_copy(update={"epochs": 1})).log.exists()


def test_a_sample_in_training_and_test_folds_is_refused(folds: list[Path], tmp_path: Path) -> None:
    copies = []
    for path in (*folds, folds[0].parent / "samples.h5"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        copies.append(tmp_path / path.name)
    ids = ["r0_00", "r1_01"]
    augment_module("signal").write_fold(copies[3], ids, TASK, DATASET, 42, 2, copies[1])
    with pytest.raises(InputError) as caught:
        run(copies[:3], tmp_path / "out")
    assert caught.value.where == str(copies[0])
    assert "r0_00" in caught.value.problem
    assert list(files_in(tmp_path / "out").log.parent.iterdir()) == []


def test_constant_targets_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    samples = [window(number) for number in range(SAMPLES)]
    still = TASK.augmentation.model_copy(update={"shift_s": 0.0})
    same = [replace(sample, target=np.array([10.0])) for sample in samples]
    folds = write_folds(tmp_path, TASK.model_copy(update={"augmentation": still}), same)
    with pytest.raises(InputError) as caught:
        run(folds, tmp_path / "out")
    assert caught.value.where == NAME
    assert "epoch 1" in caught.value.problem
    assert list(files_in(tmp_path / "out").log.parent.iterdir()) == []


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    """Change what a run has read, past all checks of files."""
    opened = training._open_run

    def spoiled(*arguments: Any) -> Any:
        run = opened(*arguments)
        change(run)
        return run

    monkeypatch.setattr(training, "_open_run", spoiled)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("part", "place"), [("train", "signal"), ("train", "target"), ("test", "signal")])
def test_a_value_that_is_not_finite_stops_the_run_with_sample_and_epoch(
    folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, part: str, place: str
) -> None:
    row = 5

    def change(run: Any) -> None:
        getattr(getattr(run, part).inputs, place)[row, ...] = value

    inputs = augment_module("signal").open_inputs(
        folds[1:] if part == "train" else folds[:1], folds[0], part == "train"
    )
    name = f"{inputs.sample_id[row]} (copy {inputs.copy[row]})"
    spoil(monkeypatch, change)
    with pytest.raises(InputError) as caught:
        run(folds, tmp_path)
    which = {"train": "training", "test": "test"}[part]
    assert caught.value.where == NAME
    assert all(part in caught.value.problem for part in ("epoch 1", which, name))
    assert list(files_in(tmp_path).log.parent.iterdir()) == []


def test_the_last_good_state_is_left_and_gone_on_from(
    folds: list[Path], finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, epochs = training._train_one_epoch, []

    def diverges(run: Any, *arguments: Any) -> Any:
        epochs.append(len(run.log) + 1)
        if epochs[-1] == 3:
            with torch.no_grad():
                next(run.network.parameters()).fill_(torch.inf)
        return train(run, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "_train_one_epoch", diverges)
        with pytest.raises(InputError) as caught:
            run(folds, tmp_path)
        assert caught.value.where == NAME
        assert re.search(r"epoch 3, training .* r\d_\d\d \(\w+ \d\)", caught.value.problem)
        files = files_in(tmp_path)
        assert [path.name for path in files.log.parent.iterdir()] == [".state.pt"]
        good = files.state.read_bytes()
        with pytest.raises(InputError, match="epoch 3"):
            run(folds, tmp_path)
    assert epochs == [1, 2, 3, 3]
    assert files.state.read_bytes() == good
    assert contents(run(folds, tmp_path)) == contents(finished)


def test_predictions_to_the_sample_itself_are_looked_at_too(
    folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(run: Any) -> None:
        run.test.inputs.signal[4, 1, 7] = np.nan

    # Row 4 is copy 0 of the second sample: no epoch is scored by it.
    spoil(monkeypatch, change)
    with pytest.raises(InputError, match=r"epoch 3, test .* r1_01 \(\w+ 0\)"):
        run(folds, tmp_path)
    assert [path.name for path in files_in(tmp_path).log.parent.iterdir()] == [".state.pt"]


def resealed(state: Path, **changes: Any) -> None:
    """A state with other content under a right sum."""
    saved = torch.load(io.BytesIO(state.read_bytes()[32:]), weights_only=True)
    buffer = io.BytesIO()
    torch.save(saved | changes, buffer)
    state.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


@pytest.mark.parametrize(
    "changes",
    [
        {"log": "[]"},
        {"log": "[[1, 2]]"},
        {"log": "[[2, 0.5, 0.5, 1.0]]"},
        {"log": "[["},
        {"log": 3},
        {"network": {}},
        {"network": [1]},
        {"order": torch.zeros(3)},
        {"optimiser": {}},
        {"optimiser": {"state": {0: {"step": 1}}, "param_groups": []}},
        {"more": 1},
    ],
)
def test_a_state_that_does_not_fit_is_not_used(
    folds: list[Path], finished: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    resealed(leave_state(folds, tmp_path, monkeypatch), **changes)
    assert contents(run(folds, tmp_path)) == contents(finished)


def test_a_damaged_fold_is_one_line(folds: list[Path], tmp_path: Path) -> None:
    copies = [tmp_path / path.name for path in folds]
    for path, copy in zip(folds, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    copies[2].write_bytes(copies[2].read_bytes()[:5000])
    with pytest.raises(InputError) as caught:
        run(copies, tmp_path / "out")
    assert caught.value.where == str(copies[2])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_is_the_same_to_the_byte_after_an_interruption(
    folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, kept = SETTINGS.model_copy(update={"compile": True}), tmp_path / "kept"
    key = KEY._replace(encoding="learned")
    samples_path, save_state = folds[0].parent / "samples.h5", training._save_state
    # torch sets it for the rest of a process in which anything was compiled.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")

    def killed(*arguments: Any) -> None:
        save_state(*arguments)
        raise KeyboardInterrupt

    whole, interrupted = files_in(tmp_path / "whole", key), files_in(tmp_path / "interrupted", key)
    train_run(key, folds, samples_path, settings, whole, compiled_folder=kept)
    monkeypatch.setattr(training, "_save_state", killed)
    with pytest.raises(KeyboardInterrupt):
        train_run(key, folds, samples_path, settings, interrupted, compiled_folder=kept)
    monkeypatch.setattr(training, "_save_state", save_state)
    train_run(key, folds, samples_path, settings, interrupted, compiled_folder=kept)
    assert contents(interrupted) == contents(whole)
    assert len(list(kept.glob("*/done"))) == 1
    layers = run(folds, tmp_path / "layers", key)
    # Three epochs are too few for rounding to grow.
    found, expected = ([float(row["train_r2"]) for row in rows_of(files.log)] for files in (whole, layers))
    assert found == pytest.approx(expected, abs=0.05)
    assert found != expected


def test_a_run_that_compiles_nothing_does_not_import_the_compiler(folds: list[Path], tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from types import SimpleNamespace
from siwcc.config import Train
from siwcc.io.run_key import run_key_of
from siwcc.training.run import RunFiles, train_run
folder = Path({str(tmp_path)!r}) / "ecg/weighted/reduced/fold1/seed1"
names = {{"log": "log.csv", "model": "model.pt", "predictions": "predictions.csv", "manifest": "manifest.json"}}
files = RunFiles(**{{name: folder / file for name, file in names.items()}})
folds = [Path(name) for name in {[str(path) for path in folds]!r}]
settings = Train(epochs=2, device="cpu", compile=False)
train_run(run_key_of(files.log), folds, folds[0].parent / "samples.h5", settings, files)
print(sorted({{"torch._dynamo", "torch._inductor", "sympy", "scipy", "pandas"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def one_step(several: bool, prediction: list[list[float]], target: list[list[float]]) -> float:
    """The error of some predictions of the paper's networks; deviations are 2 and 4, means 10 and 20."""
    centre, scale = torch.tensor([10.0, 20.0]), torch.tensor([2.0, 4.0])
    return training._papers_error(torch.tensor(prediction), torch.tensor(target), centre, scale, several).item()


def test_each_output_is_standardised_in_the_loss() -> None:
    # Off by 2 and 4, 6 and 0: in deviations 1, 1, 3, 0.
    assert one_step(False, [[12.0, 24.0], [4.0, 7.0]], [[10.0, 20.0], [10.0, 7.0]]) == pytest.approx((1 + 1 + 9) / 4)


def test_of_several_points_the_loss_is_that_of_the_visible_ones() -> None:
    hidden = float("nan")
    assert one_step(True, [[12.0, 24.0], [4.0, 7.0]], [[10.0, hidden], [10.0, 7.0]]) == pytest.approx(10 / 3)
    assert one_step(True, [[12.0, 24.0]], [[hidden, hidden]]) == 0.0


def test_an_epoch_trains_in_the_units_of_its_targets(folds: list[Path]) -> None:
    one = training._open_run(KEY, folds, folds[0].parent / "samples.h5", SETTINGS, None)
    given = []

    def noted(signal: Any, target: Any, centre: torch.Tensor, scale: torch.Tensor) -> Any:
        given.append((centre.item(), scale.item()))
        return steps.train(signal, target, centre, scale)

    steps, one.steps = one.steps, one.steps._replace(train=noted)
    train, order = training._rows_of_epoch(one, 1)
    training._train_one_epoch(one, train, order, np.array([3.0]), np.array([0.5]))
    assert set(given) == {(3.0, 0.5)}


@pytest.mark.parametrize(("last", "stuck"), [(13.0, False), (10.002, True)])
def test_one_prediction_for_every_row_is_told(last: float, stuck: bool, caplog: pytest.LogCaptureFixture) -> None:
    spec = SimpleNamespace(output_scale=20.0, unit="s")
    run = SimpleNamespace(key=KEY, train=SimpleNamespace(inputs=SimpleNamespace(spec=spec)))
    training._warn_if_constant(run, np.array([[10.0], [10.0], [last]]))
    assert ("10 s" in caplog.text) is stuck
