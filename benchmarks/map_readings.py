"""What the score maps of a finished study say when they are averaged, read in another way, or told the gap.

Nothing is trained. The networks of `heatmap`, `median` or `dense` answer their test folds once more; the maps of all
given seeds are averaged, as `siwcc predict` does with several networks:

    python -m benchmarks.map_readings results/localiser data/samples/vfdb.h5 --seeds 42 43 44 --out averaged
    python -m benchmarks.map_readings results/localiser data/samples/vfdb.h5 --readout median --told-gap --out told

With `--told-gap` places later than the time since the event before have no share: the networks know what the
baseline `gap_oracle` knows. Written to --out, by the code that makes a study's tables: `errors.csv` and `records.csv`,
with the study's baselines and the paper's networks, and `calibration_scores.csv`.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from siwcc.data.augment.ecg import EcgInputs
from siwcc.data.augment.interface import Inputs, augment_module
from siwcc.data.tasks.interface import TaskSpec, task_module
from siwcc.evaluation.errors_table import measure_study, write_errors
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.evaluation.record_tests import compare_records, write_records
from siwcc.evaluation.reliability_table import measure_reliability, write_scores
from siwcc.io.files import write_csv
from siwcc.io.run_key import RunKey, run_place
from siwcc.nn.heatmap_networks import DenseNet, mean_map
from siwcc.nn.paper_networks import READOUTS
from siwcc.training.batches import open_batches
from siwcc.training.checkpoint import TrainedModel, read_model

VARIANT_OF = {readout: variant for variant, readout in READOUTS.items()}
BATCH_SIZE = 256


def averaged_map(models: Sequence[TrainedModel], inputs: Inputs, encoding: str) -> Tensor:
    """The mean map of some networks for every row, as logarithms, (rows, points, H, W)."""
    (batches,) = open_batches([inputs], encoding, torch.device("cpu"))
    every_row = np.arange(len(inputs.target))
    parts = []
    with torch.inference_mode():
        for signal, _ in batches.over(every_row, BATCH_SIZE):
            maps = [cast(DenseNet, model.network.body).log_map(model.network.encoded(signal)) for model in models]
            parts.append(mean_map(maps))
    return torch.cat(parts)


def cut_off(log_map: Tensor, step_s: float, gap_s: np.ndarray) -> Tensor:
    """Maps of windows without what lies more than half a step after the gap to the event before.

    Args:
        log_map: (rows, points, 1, W), logarithms of shares that stand `step_s` apart.
        step_s: Seconds between two places.
        gap_s: (rows,), 0 or more.
    """
    places_s = torch.arange(log_map.shape[-1], dtype=torch.float64) * step_s
    possible = places_s[None] <= torch.from_numpy(np.asarray(gap_s, dtype=np.float64))[:, None] + 0.5 * step_s
    cut = log_map.masked_fill(~possible[:, None, None], -math.inf)
    return cut - cut.flatten(2).logsumexp(2)[:, :, None, None]


def answer_fold(key: RunKey, models: Sequence[TrainedModel], inputs: Inputs, arguments: argparse.Namespace) -> Path:
    """Write what the networks of one fold say to it, as the run `key` in the output folder."""
    body = copy.copy(cast(DenseNet, models[0].network.body))
    body.readout = arguments.readout
    log_map = averaged_map(models, inputs, key.encoding)
    if arguments.told_gap and isinstance(inputs, EcgInputs):
        log_map = cut_off(log_map, body.step[0], inputs.gap_s)
    answer = body.read(log_map)
    confidence = body.confidence(log_map, answer).numpy()
    path = arguments.out / run_place(key) / "predictions.csv"
    columns = prediction_columns(inputs.spec.outputs, confidence.shape[1])
    write_csv(path, columns, prediction_rows(inputs, answer.numpy(), confidence))
    return path


def answer_study(arguments: argparse.Namespace) -> tuple[list[Path], TaskSpec]:
    """The answers to every fold of the study, and the task's shapes and units."""
    paths = []
    for fold, fold_path in enumerate(sorted((arguments.study / arguments.task).glob("fold*.h5")), start=1):
        key = RunKey(arguments.task, arguments.encoding, arguments.variant, fold, arguments.seeds[0])
        places = [arguments.study / run_place(key._replace(seed=seed)) for seed in arguments.seeds]
        models = [read_model(place / "model.pt") for place in places]
        inputs = augment_module(arguments.task).open_inputs([fold_path], arguments.samples, augmented_only=False)
        paths.append(answer_fold(key._replace(variant=VARIANT_OF[arguments.readout]), models, inputs, arguments))
        print(f"fold {fold}: {len(inputs.target)} rows", flush=True)
    return paths, inputs.spec


def write_tables(paths: Sequence[Path], spec: TaskSpec, arguments: argparse.Namespace) -> None:
    """Errors and tests over records beside the study's baselines and the paper's networks, and the calibration."""
    folder = arguments.study / arguments.task
    beside = sorted(folder.glob("*/full/fold*/seed*/predictions.csv"))
    baselines = sorted(folder.glob("baselines/*/predictions.csv"))
    strata = [folder / "strata.csv"]
    limits = {arguments.task: task_module(arguments.task).error_limits(spec)}
    errors = measure_study([*paths, *beside], baselines, strata, limits)
    write_errors(arguments.out / "errors.csv", errors.overall)
    records = compare_records([*paths, *beside], baselines, strata, [], limits)
    write_records(arguments.out / "records.csv", records.tests)
    write_scores(arguments.out / "calibration_scores.csv", measure_reliability(paths, strata, limits).scores)


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for; the process's own by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument("samples", type=Path, help="the samples file that its folds were made from")
    parser.add_argument("--task", default="ecg", choices=["ecg", "nuclei"])
    parser.add_argument("--encoding", default="none")
    parser.add_argument("--variant", default="heatmap", help="of the networks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--readout", default="arg_max", choices=list(VARIANT_OF))
    parser.add_argument("--told-gap", action="store_true", help="ecg only")
    parser.add_argument("--out", type=Path, default=Path("readings"))
    arguments = parser.parse_args(words)
    if arguments.told_gap and arguments.task != "ecg":
        parser.error("--told-gap: images have no gap")
    return arguments


def main() -> None:
    """Answer every fold, and write the three tables."""
    arguments = options()
    write_tables(*answer_study(arguments), arguments)


if __name__ == "__main__":
    main()
