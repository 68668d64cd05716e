"""`python -m benchmarks.agreement STUDY`: do the optimisations change what a training learns?

Trains the runs of a finished ECG study again as plainly as its published scripts do (`Conv1d`, contiguous memory,
no tuned allocator), from the same start, over the same batches, and sets the two logs side by side.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.processes import usable_cores
from benchmarks.published import PlainNimesha, PlainRun
from siwcc.config import Train, read_config
from siwcc.data.augment.interface import Inputs, augment_module
from siwcc.evaluation.metrics import r2_scores
from siwcc.io.files import read_csv, write_csv
from siwcc.nn.coordinate_channels import encode
from siwcc.nn.paper_networks import Localiser
from siwcc.training.checkpoint import network_for

COLUMNS = ("encoding", "fold", "epoch", "train_r2", "plain_train_r2", "test_r2", "plain_test_r2")
_BLOCK_LAYERS = 4


def plain_state(localiser: Localiser) -> dict[str, Tensor]:
    """The weights of our NimeshaNet under the names and in the shapes of the opponent's."""
    names = {"conv": 0, "norm": 1}
    state = {"weight": localiser.body.get_parameter("pool.weight").squeeze(1)}
    for name, value in localiser.body.state_dict().items():
        group, *rest = name.split(".")
        if group == "blocks":
            block, layer, leaf = rest
            value = value.squeeze(2) if value.dim() == 4 else value
            state[f"blocks.{int(block) * _BLOCK_LAYERS + names[layer]}.{leaf}"] = value
        elif group == "head":
            state[name] = value
    return {name: value.detach().clone() for name, value in state.items()}


@dataclass(frozen=True)
class _Start:
    """Where both trainings of a run begin: the same weights, and the rows in the same order."""

    train: Inputs
    test: Inputs
    ours: Localiser
    plain: PlainNimesha
    order: torch.Generator
    settings: Train

    def run(self, network: nn.Module, targets: Tensor) -> PlainRun:
        """A plain training of either network, at the study's learning rate."""
        return PlainRun(network, targets, self.settings.learning_rate)

    def batches(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows in batches of the study's size."""
        size = self.settings.batch_size
        return [rows[first : first + size] for first in range(0, len(rows), size)]


def _start(folder: Path, encoding: str, channels: int, fold: int, seed: int) -> _Start:
    """A run's data and its two networks.

    Args:
        folder: `results/<study>/ecg`, with the fold files.
        encoding: Of our network's first layer.
        channels: That our network is given beyond the leads.
        fold: The test fold.
        seed: The run's.
    """
    torch.set_num_threads(1)
    paths = sorted(folder.glob("fold?.h5"))
    augment = augment_module("ecg")
    train = augment.open_inputs([path for path in paths if path != paths[fold - 1]], Path(), augmented_only=True)
    test = augment.open_inputs([paths[fold - 1]], Path(), augmented_only=False)
    torch.manual_seed(seed)
    ours = network_for(train.spec, "full", encoding, train.spec.channels + channels)
    plain = PlainNimesha()
    plain.load_state_dict(plain_state(ours))
    settings = read_config(folder.parent / "config.json").train
    return _Start(train, test, ours, plain, torch.Generator().manual_seed(seed), settings)


def train_plainly(folder: Path, encoding: str, fold: int, epochs: int, seed: int) -> list[tuple[float, float]]:
    """Train R2 and test R2 of every epoch.

    Args:
        folder: `results/<study>/ecg`, with the fold files.
        encoding: `coord` or `weighted`.
        fold: The test fold.
        epochs: How many.
        seed: The run's.
    """
    start = _start(folder, encoding, 0, fold, seed)
    train, test, network = start.train, start.test, start.plain
    run = start.run(network, torch.from_numpy(train.target))
    scored = np.flatnonzero(test.variant > 0)
    log = []
    for _ in range(epochs):
        rows = torch.randperm(len(train.target), generator=start.order).numpy()
        network.train()
        answers = [run.step(*_batch(train, part, encoding)).detach().numpy() for part in start.batches(rows)]
        train_r2 = r2_scores(train.target[rows], np.concatenate(answers))[0]
        network.eval()
        with torch.no_grad():
            found = [network(_batch(test, part, encoding)[0]).numpy() for part in start.batches(scored)]
        log.append((train_r2, r2_scores(test.target[scored], np.concatenate(found))[0]))
    return log


def compare_in_float64(folder: Path, encoding: str, fold: int, seed: int) -> str:
    """One epoch of both in float64, where rounding has no time to grow: a line with the largest differences."""
    # Both get the same float32 channels: the layer would make the coordinates anew in float64.
    start = _start(folder, "none", 1, fold, seed)
    targets = torch.from_numpy(start.train.target).double()
    runs = [start.run(network.double().train(), targets) for network in (start.ours, start.plain)]
    answers: list[list[np.ndarray]] = [[], []]
    rows = torch.randperm(len(targets), generator=start.order).numpy()
    for part in start.batches(rows):
        signal, target = (values.double() for values in _batch(start.train, part, encoding))
        for run, made in zip(runs, answers, strict=True):
            made.append(run.step(signal, target).detach().numpy())
    first, second = (np.concatenate(made) for made in answers)
    plain = start.plain.state_dict()
    weights = max(float((value - plain[name]).abs().max()) for name, value in plain_state(start.ours).items())
    return (
        f"{encoding} fold {fold}, {len(rows)} rows in float64: answers differ by at most "
        f"{np.abs(first - second).max():.2g} s, weights by {weights:.2g}"
    )


def _batch(inputs: Inputs, rows: np.ndarray, encoding: str) -> tuple[Tensor, Tensor]:
    signal = inputs.batch(rows, encoding)
    return encode(signal, encoding, inputs.spec.extent).contiguous(), torch.from_numpy(inputs.target[rows])


def compare_run(folder: Path, encoding: str, fold: int, seed: int) -> list[list[object]]:
    """Lines of the table: ours from its `log.csv`, the plain training's beside it."""
    ours = read_csv(folder / encoding / "full" / f"fold{fold}" / f"seed{seed}" / "log.csv", ("epoch",))
    plain = train_plainly(folder, encoding, fold, len(ours), seed)
    return [
        [encoding, fold, row["epoch"], row["train_r2"], repr(train_r2), row["test_r2"], repr(test_r2)]
        for row, (train_r2, test_r2) in zip(ours, plain, strict=True)
    ]


def summarise(rows: Sequence[Sequence[object]]) -> str:
    """Largest difference after the first epoch, and means over the runs after the last."""
    values = np.array([[float(str(value)) for value in row[2:]] for row in rows])
    first, last = values[values[:, 0] == 1], values[values[:, 0] == values[:, 0].max()]
    lines = [
        f"{len(last)} runs, epoch 1: train R2 differs by at most {np.abs(first[:, 1] - first[:, 2]).max():.2g}, "
        f"test R2 by {np.abs(first[:, 3] - first[:, 4]).max():.2g}"
    ]
    for encoding in sorted({str(row[0]) for row in rows}):
        chosen = last[[str(row[0]) == encoding for row in rows if int(str(row[2])) == values[:, 0].max()]]
        means = " ".join(f"{mean:.4f}" for mean in chosen[:, 1:].mean(axis=0))
        deviation = chosen[:, 3].std(ddof=1) if len(chosen) > 1 else float("nan")
        lines.append(
            f"{encoding}, epoch {values[:, 0].max():.0f}: train R2 ours, plain, test R2 ours, plain: {means}; "
            f"standard deviation of test R2 over folds {deviation:.4f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the chosen runs, a process a core, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    parser.add_argument("study", type=Path, help="results/<study>, finished, with the ECG task")
    parser.add_argument("--encodings", default="coord,weighted")
    parser.add_argument("--folds", default="1,2,3,4,5")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--float64", action="store_true", help="one epoch of both in float64 instead")
    parser.add_argument("--out", type=Path, default=Path("docs/performance/agreement.csv"))
    options = parser.parse_args(arguments)
    runs = list(product(options.encodings.split(","), map(int, options.folds.split(","))))
    with ProcessPoolExecutor(usable_cores()) as pool:
        if options.float64:
            for line in [pool.submit(compare_in_float64, options.study / "ecg", *run, options.seed) for run in runs]:
                print(line.result())
            return 0
        jobs = [pool.submit(compare_run, options.study / "ecg", *run, options.seed) for run in runs]
        rows: list[list[object]] = []
        for run, job in zip(runs, jobs, strict=True):
            rows += job.result()
            print(f"{run[0]} fold {run[1]}: epoch {rows[-1][2]}, ours, plain: {rows[-1][3:]}", file=sys.stderr)
    write_csv(options.out, COLUMNS, rows)
    print(summarise(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
