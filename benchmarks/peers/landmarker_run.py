"""Train landmarker's `ProbSpatialConfigurationNet` without one fold and predict that one, in the peer's environment.

    python -m benchmarks.peers.landmarker_run cells.npz --fold 1 --budget 130 --out folder

Network, target heatmap, loss and decoder are classes of landmarker 0.4.1 with their defaults, except for what is in the
constants below. The number of steps follows from the CPU time of a few, so that the one-cycle schedule ends when the
CPU budget does. Writes `predictions.csv` with the columns of our runs, and then `run.json`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from landmarker.heatmap import GaussianHeatmapGenerator, heatmap_to_coord
from landmarker.losses import NLLLoss
from landmarker.models import ProbSpatialConfigurationNet
from torch import Tensor

from benchmarks.peers.cells import Cells, read_cells
from siwcc.training.torch_setup import keep_large_buffers

LEVELS = 5
CHANNELS = 16
SIGMA_PX = 3.0
LEARNING_RATE = 2e-3
BATCH_SIZE = 8
SEED = 42
# The first ten steps take a tenth longer than later ones.
_WARM_UP_STEPS = 20
_TIMED_STEPS = 20
# The decoder takes exp(10 x) of heatmap and zero padding in a window: 80 is below what overflows float32.
_PEAK = 8.0


def build_network(colours: int) -> ProbSpatialConfigurationNet:
    """The network with the weights of the seed."""
    torch.manual_seed(SEED)
    widths, strides = (CHANNELS,) * LEVELS, (2,) * (LEVELS - 1)
    return ProbSpatialConfigurationNet(2, colours, 1, la_channels=widths, la_strides=strides, sp_channels=CHANNELS)


def batches(rows: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches without end: all cells in a drawn order, then in another. A batch may be of two such passes."""
    waiting = rng.permutation(rows)
    while True:
        while len(waiting) < BATCH_SIZE:
            waiting = np.concatenate([waiting, rng.permutation(rows)])
        yield waiting[:BATCH_SIZE]
        waiting = waiting[BATCH_SIZE:]


class Training:
    """The network with its optimiser, from the seed on.

    Args:
        cells: Of all folds.
        rows: The cells to train on.
        steps: Length of the one-cycle schedule.
    """

    def __init__(self, cells: Cells, rows: np.ndarray, steps: int) -> None:
        # The memory order of the images, in which a step is shorter.
        self.network = build_network(cells.image.shape[-1]).to(memory_format=torch.channels_last)
        self._cells = cells
        self._rng = np.random.default_rng(SEED)
        self._batches = batches(rows, self._rng)
        self._heatmaps = GaussianHeatmapGenerator(1, sigmas=SIGMA_PX, gamma=1.0, heatmap_size=cells.shape)
        self._loss = NLLLoss()
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._optimiser, LEARNING_RATE, total_steps=steps)

    def run(self, steps: int) -> float:
        """Do some steps; the CPU seconds that they take."""
        started_s = time.process_time()
        for _ in range(steps):
            images, targets = self._cells.copies(next(self._batches), self._rng)
            # landmarker has y before x.
            points = torch.from_numpy(targets[:, np.newaxis, ::-1].astype(np.float32))
            self._optimiser.zero_grad()
            self._loss(self.network(torch.from_numpy(images)), self._heatmaps(points)).backward()
            self._optimiser.step()
            self._schedule.step()
        return time.process_time() - started_s


def steps_within(budget_s: float, cells: Cells, rows: np.ndarray) -> int:
    """How many steps a budget of CPU seconds is enough for. The timed steps are thrown away and not part of it."""
    trial = Training(cells, rows, _WARM_UP_STEPS + _TIMED_STEPS)
    trial.run(_WARM_UP_STEPS)
    return max(1, round(budget_s * _TIMED_STEPS / trial.run(_TIMED_STEPS)))


def predict(network: ProbSpatialConfigurationNet, cells: Cells, rows: np.ndarray) -> np.ndarray:
    """The predicted points of original cells by local soft-argmax, float64 (rows, 2), x before y."""
    network.eval()
    found: list[Tensor] = []
    with torch.inference_mode():
        for part in np.array_split(rows, -(-len(rows) // BATCH_SIZE)):
            heatmap = network(torch.from_numpy(cells.originals(part)))
            # A softmax does not change with a constant, and padding with 0 has no weight beside this peak.
            heatmap = heatmap - heatmap.amax(dim=(2, 3), keepdim=True) + _PEAK
            found.append(heatmap_to_coord(heatmap, method="local_soft_argmax")[:, 0])
    return torch.cat(found).flip(1).double().numpy()


def write_predictions(path: Path, cells: Cells, rows: np.ndarray, prediction: np.ndarray) -> None:
    """Write the columns of our runs' `predictions.csv`, in one step."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["sample_id", "copy", "target_x", "target_y", "prediction_x", "prediction_y"])
        for row, point in zip(rows, prediction, strict=True):
            numbers = [f"{value:.6f}" for value in (*cells.target[row], *point)]
            writer.writerow([cells.sample_id[row], 0, *numbers])
    part.replace(path)


def main() -> int:
    """Train and predict one fold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--budget", type=float, required=True, help="CPU seconds of the training")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    # As our trainings do: without it a step takes a tenth longer.
    keep_large_buffers()
    cells = read_cells(options.cells)
    tested = cells.fold == options.fold
    training_rows, test_rows = np.flatnonzero(~tested), np.flatnonzero(tested)
    steps = steps_within(options.budget, cells, training_rows)
    training = Training(cells, training_rows, steps)
    training_cpu_s = training.run(steps)
    prediction = predict(training.network, cells, test_rows)
    options.out.mkdir(parents=True, exist_ok=True)
    write_predictions(options.out / "predictions.csv", cells, test_rows, prediction)
    facts = {
        "cells": hashlib.sha256(options.cells.read_bytes()).hexdigest(),
        "recipe": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        "fold": options.fold,
        "budget_s": options.budget,
        "steps": steps,
        "training_cpu_s": round(training_cpu_s, 2),
        "cpu_s": round(time.process_time(), 2),
        "parameters": sum(weight.numel() for weight in training.network.parameters()),
        "landmarker": version("landmarker"),
        "torch": torch.__version__,
    }
    # Last: a fold is finished when this file is there.
    part = options.out / "run.part"
    part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    part.replace(options.out / "run.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
