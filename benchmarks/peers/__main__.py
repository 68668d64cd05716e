"""`python -m benchmarks.peers`: train landmarker on the folds of a finished study, and compare it with ours.

Every process of the peer trains one fold with one thread and a budget of CPU time. A fold that is finished is kept, so
the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.data import REPOSITORY, timed_environment
from benchmarks.peers.cells import Cells
from benchmarks.peers.study import (
    export_cells,
    image_task,
    job_seconds,
    missing_runs,
    original_predictions,
    parameters_of,
)
from benchmarks.peers.table import OURS, PEER, Side, compare, write_comparison
from siwcc.io.errors import InputError
from siwcc.io.files import sha256_of
from siwcc.io.run_key import RunKey
from siwcc.report.study import Study, open_study

_NETWORK = "ProbSpatialConfigurationNet"
_PROGRAM = Path(__file__).with_name("landmarker_run.py")


class PeerRun(NamedTuple):
    """One training of the peer.

    Attributes:
        folder: Where its predictions and `run.json` are.
        facts: Content of `run.json`.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def predictions(self) -> Path:
        """The predictions for the test fold."""
        return self.folder / "predictions.csv"


def finished_run(folder: Path, wanted: dict[str, Any]) -> PeerRun | None:
    """The run in a folder if it is complete and of these cells, recipe, fold and budget."""
    run = PeerRun(folder, {})
    if not run.predictions.is_file() or not (folder / "run.json").is_file():
        return None
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except ValueError:
        return None
    return run._replace(facts=facts) if wanted.items() <= facts.items() else None


def train_peer(python: Path, cells: Path, fold: int, budget_s: float, folder: Path) -> PeerRun:
    """Train one fold in a process, unless it is finished.

    Raises:
        InputError: there is no such Python, or the process failed.
    """
    wanted = {"cells": sha256_of(cells), "recipe": sha256_of(_PROGRAM), "fold": fold, "budget_s": budget_s}
    run = finished_run(folder, wanted)
    if run is None:
        if not python.is_file():
            raise InputError(python, "does not exist", "run `make bench-peers`, which sets the environment up")
        options = ["--fold", str(fold), "--budget", str(budget_s), "--out", str(folder.resolve())]
        command = [str(python.absolute()), "-m", "benchmarks.peers.landmarker_run", str(cells.resolve()), *options]
        environment = {**timed_environment(), "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False)
        run = finished_run(folder, wanted)
        if done.returncode or run is None:
            raise InputError(folder, f"training of fold {fold} failed (exit {done.returncode})", "see its output above")
    facts = run.facts
    print(f"fold {fold}: {facts['steps']} steps, {facts['training_cpu_s']:.0f} CPU s of training", file=sys.stderr)
    return run


def compare_runs(study: Study, keys: Sequence[RunKey], cells: Cells, runs: Sequence[PeerRun], out: Path) -> str:
    """Write the table of one budget, and return it.

    Args:
        study: The study.
        keys: Our runs, one for each fold.
        cells: Of the study.
        runs: The peer's, in the same order.
        out: Folder of the table.

    Raises:
        InputError: predictions of one side are missing, damaged or for other cells.
    """
    folds = [key.fold for key in keys]
    task, encoding, variant = keys[0].task, keys[0].encoding, keys[0].variant
    own, other = (
        original_predictions(paths, cells, folds).error()
        for paths in ([study.layout.predictions(key) for key in keys], [run.predictions for run in runs])
    )
    cpu_s, wall_s = job_seconds(study, keys)
    ours = Side(OURS, f"{encoding}/{variant}", own, parameters_of(study, keys[0]), cpu_s, wall_s)
    facts = runs[0].facts
    means = {name: float(np.mean([run.facts[name] for run in runs])) for name in ("cpu_s", "training_cpu_s")}
    peer = Side(PEER, _NETWORK, other, facts["parameters"], **means)
    group = np.concatenate([cells.group[cells.fold == fold] for fold in folds])
    lines = compare(ours, peer, group, study.limits(task), len(folds), facts["budget_s"])
    versions = f"landmarker {facts['landmarker']}, torch {facts['torch']}"
    return write_comparison(out, f"{encoding}_{variant}", lines, versions)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    study = "a finished study of images with mirrored borders (default: results/localiser-herlev)"
    parser.add_argument("--study", type=Path, default=Path("results/localiser-herlev"), metavar="FOLDER", help=study)
    parser.add_argument("--variant", default="unet", help="our network (default: unet)")
    parser.add_argument("--encoding", default="none", help="its encoding (default: none)")
    parser.add_argument("--seed", type=int, help="its seed (default: the first of the study)")
    budget = "CPU seconds of the peer's training of one fold, one or several (default: 130)"
    parser.add_argument("--budget", type=float, nargs="+", default=[130.0], metavar="S", help=budget)
    parser.add_argument("--folds", type=int, nargs="+", metavar="K", help="test folds, from 1 (default: all)")
    parser.add_argument("--python", type=Path, default=REPOSITORY / ".venv-peers/bin/python", help="the peer's Python")
    parser.add_argument("--out", type=Path, help="default: benchmarks/out/peers/<study>")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Export the cells, train the peer, and write a table for each budget.

    Returns:
        0, or 1 with one line on what is missing.
    """
    options = _options(arguments)
    try:
        study = open_study(options.study)
        task = image_task(study)
        seed = study.config.seeds[0] if options.seed is None else options.seed
        folds = options.folds or range(1, study.config.folds + 1)
        keys = [RunKey(task.name, options.encoding, options.variant, fold, seed) for fold in folds]
        # Before the peer is trained for minutes.
        if missing := missing_runs(study, keys):
            problem = f"does not exist, one of {len(missing)} missing predictions of ours"
            raise InputError(missing[0], problem, "finish the study, or give another --variant, --encoding or --folds")
        out = options.out or REPOSITORY / "benchmarks/out/peers" / study.folder.resolve().name
        cells = export_cells(study, task, out / "cells.npz")
        for budget_s in options.budget:
            folder = out / f"{budget_s:g}s"
            runs = [
                train_peer(options.python, out / "cells.npz", fold, budget_s, folder / f"fold{fold}") for fold in folds
            ]
            print(compare_runs(study, keys, cells, runs, folder), flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
