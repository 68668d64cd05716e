"""Which recipe trains a network best, judged by training records only.

For each outer fold one of the other folds is left out, too: networks are trained on the remaining ones and judged on
the one left out. The outer fold is never read. A recipe is chosen by what these validation folds say together:

    python -m benchmarks.inner_validation RECIPES.yaml results/localiser/ecg data/samples/vfdb.h5 --out search

RECIPES.yaml holds names and, under each, what `train.by_variant.<variant>` would hold.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from siwcc.config import RecipeChanges, Train
from siwcc.evaluation.methods import Predictions, join, read_predictions
from siwcc.io.files import read_yaml, write_csv
from siwcc.io.run_key import RunKey, run_place
from siwcc.training.run import RunFiles, train_run

COLUMNS = ("recipe", "folds", "rows", "within_1", "within_half", "median", "mean", "seconds")


def validation_of(fold: int, folds: int) -> int:
    """The fold that is left out beside an outer fold: the next one, after the last the first."""
    return fold % folds + 1


def train_without(
    fold: int, paths: list[Path], samples: Path, settings: Train, names: tuple[str, str], out: Path
) -> Predictions:
    """Train on all but an outer fold and its validation fold, and answer the latter's augmented rows."""
    inner = [path for number, path in enumerate(paths, start=1) if number != fold]
    left_out = inner.index(paths[validation_of(fold, len(paths)) - 1]) + 1
    encoding, variant = names
    key = RunKey(paths[0].parent.name, encoding, variant, left_out, 42)
    files = RunFiles.in_folder(out / f"outer{fold}" / run_place(key))
    if not files.manifest.exists():
        train_run(key, inner, samples, settings, files)
    answers = read_predictions(files.predictions)
    return answers.select(answers.variant > 0)


def search(arguments: argparse.Namespace) -> list[list[object]]:
    """A line for each recipe, as `COLUMNS` names it."""
    paths = sorted(arguments.folds.glob("fold*.h5"))
    lines = []
    for name, changes in read_yaml(arguments.recipes).items():
        settings = Train(by_variant={arguments.variant: RecipeChanges.model_validate(changes)}).of(arguments.variant)
        started_at = time.process_time()
        parts = [
            train_without(
                fold, paths, arguments.samples, settings, (arguments.encoding, arguments.variant), arguments.out / name
            )
            for fold in arguments.outer or range(1, len(paths) + 1)
        ]
        error = join(parts).error()
        shares = [float(np.mean(error <= limit)) for limit in (1.0, 0.5)]
        seconds = time.process_time() - started_at
        lines.append([name, len(parts), len(error), *shares, float(np.median(error)), float(error.mean()), seconds])
        print(*lines[-1], flush=True)
    return lines


def main() -> None:
    """Run the search and write `<out>/search.csv`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", type=Path, help="YAML: names and recipes")
    parser.add_argument("folds", type=Path, help="folder with fold1.h5 ...")
    parser.add_argument("samples", type=Path, help="the samples file that the folds were made from")
    parser.add_argument("--outer", type=int, nargs="*", help="outer folds that are run; all if not given")
    parser.add_argument("--variant", default="heatmap")
    parser.add_argument("--encoding", default="none")
    parser.add_argument("--out", type=Path, default=Path("search"))
    arguments = parser.parse_args()
    write_csv(arguments.out / "search.csv", COLUMNS, search(arguments))


if __name__ == "__main__":
    main()
