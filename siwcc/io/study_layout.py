"""Where the files of a study lie: every path below `results/<study>/`, and the names of its tables and figures.

The rules, the report, the analyses and the tests take their paths from here. Names may be Snakemake's wildcards:
`StudyLayout(Path("<results>")).fold("{task}", "{fold}")` is the pattern of a rule.

The part on runs is in `siwcc.io.run_key`, which training imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from siwcc.io.checksums import MANIFEST
from siwcc.io.run_key import LOG, MODEL, PREDICTIONS, RUN_FILES, RunKey, fold_name, run_place

TableName = Literal[
    "comparisons",
    "errors",
    "errors_by_stratum",
    "records",
    "records_points",
    "landmarks",
    "landmarks_by_point",
    "landmark_tests",
    "variance",
    "calibration",
    "calibration_scores",
    "onsets",
    "onsets_by_record",
    "onsets_by_label",
    "onset_episodes",
    "onset_rates",
    "onset_comparisons",
    "onset_calibration",
    "froc",
    "external",
]
EXTERNAL = "external"
"""Folder, below that of a method, with its predictions for data sets that no network saw."""
_BASELINES = "baselines"
CALIBRATION = "calibration.json"
"""Name of the file that turns the confidence of an arm's networks into a probability."""
FOLD_MODELS = f"fold*/seed*/{MODEL}"
"""The networks below the folder of an arm that have a test fold, as a pattern."""
FIGURE_KINDS = ("svg", "png", "csv")
"""Endings of the files of a figure: two renderings, and the numbers in it."""
FIGURES = {
    "forest": "forest_{metric}",
    "froc": "froc",
    "onset_errors": "onset_errors_{dataset}",
    "encodings": "encodings_{task}",
    "targets": "targets_{task}",
    "gaps": "gaps_{task}",
    "robustness": "robustness_{task}",
    "learning_curves": "learning_curves_{task}_{variant}",
    "predictions": "predictions_{task}_{encoding}_{variant}",
    "reliability": "reliability_{task}_{encoding}_{variant}",
    "worst": "worst_{task}_{encoding}_{variant}",
    "landmarks": "landmarks_{task}_{variant}",
    "records": "records_{task}_{variant}_{encoding}_vs_{control}",
}
"""Stems of the figures' files, as patterns of their parts."""


def results_of(study: str) -> Path:
    """The folder of a study, from the working directory."""
    return Path("results") / study


def table_name(name: TableName) -> str:
    """The name of the file of a table."""
    return f"{name}.csv"


def external_place(path: Path) -> tuple[str, str, str, str]:
    """Task, data set, method and variant of a file from `StudyLayout.external`; a baseline has the variant ""."""
    *_, task, encoding, variant, _, dataset, _ = path.parts
    return (task, dataset, variant, "") if encoding == _BASELINES else (task, dataset, encoding, variant)


def figure_stem(name: str, **parts: str) -> str:
    """The stem of a figure's files, for an entry of `FIGURES` and values of all its parts."""
    return FIGURES[name].format(**parts)


def run_grid(
    tasks: Iterable[str], encodings: Iterable[str], variants: Iterable[str], folds: int, seeds: Iterable[int]
) -> list[RunKey]:
    """Every run of these tasks, encodings and variants, with each of `folds` test folds and each seed."""
    return [RunKey(*parts) for parts in product(tasks, encodings, variants, range(1, folds + 1), seeds)]


@dataclass(frozen=True)
class StudyLayout:
    """The paths of one study.

    Attributes:
        folder: `results/<study>`.
    """

    folder: Path

    @property
    def config(self) -> Path:
        """The checked config."""
        return self.folder / "config.json"

    @property
    def report(self) -> Path:
        """The study on one page."""
        return self.folder / "report.html"

    @property
    def summary(self) -> Path:
        """The study in a few lines."""
        return self.folder / "summary.txt"

    def folds_csv(self, task: str) -> Path:
        """The fold of each sample."""
        return self.folder / task / "folds.csv"

    def strata_csv(self, task: str) -> Path:
        """What the results of each sample are split by."""
        return self.folder / task / "strata.csv"

    def fold(self, task: str, fold: int) -> Path:
        """The samples of a fold with their augmented copies; folds count from 1."""
        return self.folder / task / f"{fold_name(fold)}.h5"

    def folds(self, task: str, folds: int) -> list[Path]:
        """The files of all folds, in order."""
        return [self.fold(task, fold) for fold in range(1, folds + 1)]

    def baseline(self, task: str, name: str) -> Path:
        """The predictions of a baseline."""
        return self.folder / task / _BASELINES / name / PREDICTIONS

    def found_baselines(self, task: str) -> list[Path]:
        """The predictions of all baselines that exist, sorted."""
        return sorted(self.folder.glob(f"{task}/baselines/*/{PREDICTIONS}"))

    def run(self, key: RunKey) -> Path:
        """The folder of a run."""
        return self.folder / run_place(key)

    def run_files(self, key: RunKey) -> list[Path]:
        """The final files of a run."""
        return [self.run(key) / name for name in RUN_FILES]

    def log(self, key: RunKey) -> Path:
        """Training and test R2 of each epoch."""
        return self.run(key) / LOG

    def model(self, key: RunKey) -> Path:
        """The trained network."""
        return self.run(key) / MODEL

    def predictions(self, key: RunKey) -> Path:
        """The predictions for the test fold."""
        return self.run(key) / PREDICTIONS

    def manifest(self, key: RunKey) -> Path:
        """The checksums of the files of a run, and what they were made from."""
        return self.run(key) / MANIFEST

    def found_models(self, task: str, encoding: str, variant: str) -> dict[str, list[Path]]:
        """The networks of an arm that exist, those of all seeds, by test fold: `fold<k>` or `all`."""
        found: dict[str, list[Path]] = {}
        for path in sorted((self.folder / task / encoding / variant).glob(f"*/seed*/{MODEL}")):
            found.setdefault(path.parent.parent.name, []).append(path)
        return found

    def calibration(self, task: str, encoding: str, variant: str) -> Path:
        """What turns the confidence of the arm's networks into a probability."""
        return self.folder / task / encoding / variant / CALIBRATION

    def robustness(self, task: str, encoding: str, variant: str) -> Path:
        """Errors of the arm's networks on perturbed test samples."""
        return self.folder / task / encoding / variant / "robustness.csv"

    def external(self, task: str, encoding: str, variant: str, dataset: str) -> Path:
        """Predictions of the arm's networks for a data set that they never saw."""
        return self.folder / task / encoding / variant / EXTERNAL / dataset / PREDICTIONS

    def external_baseline(self, task: str, name: str, dataset: str) -> Path:
        """Predictions of a baseline for such a data set."""
        return self.baseline(task, name).parent / EXTERNAL / dataset / PREDICTIONS

    @property
    def onsets(self) -> Path:
        """The folder of the stage that looks for onsets in whole recordings."""
        return self.folder / "onsets"

    @property
    def onset_folds(self) -> Path:
        """The fold of each whole recording."""
        return self.onsets / "folds.csv"

    def onset_model(self, fold: str, seed: str) -> Path:
        """The network that gives every moment a probability, trained without a fold."""
        return self.onsets / f"fold{fold}" / f"seed{seed}" / MODEL

    def onset_candidates(self, method: str, dataset: str) -> Path:
        """What a method found in the recordings of a data set: out of fold, or with all networks if it is external."""
        return self.onsets / method / f"{dataset}.csv"

    def onset_curves(self, dataset: str) -> Path:
        """The probability that the networks gave at every step of the recordings of a data set."""
        return self.onsets / "network" / f"{dataset}.curves.h5"

    def onset_robustness(self, dataset: str) -> Path:
        """What the networks found in perturbed recordings of a data set."""
        return self.onsets / "network" / f"{dataset}.robustness.csv"

    @property
    def onset_settings(self) -> Path:
        """Threshold, calibration and accuracy of the networks, for use on other recordings."""
        return self.onsets / "onsets.json"

    @property
    def table3(self) -> Path:
        """The comparisons as text, in the form of the paper's Table 3."""
        return self.folder / "stats" / "table3.txt"

    def table(self, name: TableName) -> Path:
        """A table of the study."""
        return self.folder / "stats" / table_name(name)

    @property
    def figures(self) -> Path:
        """The folder of the figures."""
        return self.folder / "figures"

    def figure(self, stem: str, kind: str) -> Path:
        """A file of a figure; `stem` is an entry of `FIGURES` or from `figure_stem`, `kind` of `FIGURE_KINDS`."""
        return self.figures / f"{stem}.{kind}"

    @property
    def benchmarks(self) -> Path:
        """The folder of what Snakemake measures of each job."""
        return self.folder / "benchmarks"

    def benchmark(self, *names: str) -> Path:
        """Time and memory of a job; the names are folders and a stem, see `stage_of_benchmark`."""
        return self.benchmarks.joinpath(*names[:-1], f"{names[-1]}.tsv")

    def stage_of_benchmark(self, path: Path) -> str:
        """The stage of the study whose job a benchmark file is of, a key of `files_of_stages`."""
        parts = path.relative_to(self.benchmarks).with_suffix("").parts
        if parts[0] in ("stats", "figures"):
            return parts[0]
        if EXTERNAL in parts:
            return EXTERNAL
        if parts[-1].startswith("seed"):
            return "train"
        return "baselines" if "baselines" in parts else "folds" if parts[-1].startswith("fold") else "figures"

    def files_of_stages(self) -> Iterator[tuple[str, list[Path]]]:
        """Each stage with the files and folders that it has written."""
        patterns = {
            "folds": ["*/fold*.h5", "*/folds.csv"],
            "train": ["*/*/*/fold*/seed*/*"],
            "baselines": ["*/baselines/*/*.*"],
            EXTERNAL: [f"*/*/*/{EXTERNAL}/*/*"],
            "stats": ["stats/**/*"],
            "figures": ["figures/**/*"],
        }
        for stage, globs in patterns.items():
            yield stage, [path for pattern in globs for path in self.folder.glob(pattern)]


@dataclass(frozen=True)
class AblationLayout:
    """The paths of the page on four studies, see `siwcc.analyses.leakage_ablation`.

    Attributes:
        folder: `results/<name of the ablation>`.
    """

    folder: Path

    def figure(self, kind: str) -> Path:
        """A file of the figure; `csv` holds all scores."""
        return self.folder / f"cells.{kind}"

    @property
    def differences(self) -> Path:
        """Differences between encodings in each study."""
        return self.folder / "differences.csv"

    @property
    def window_overlap(self) -> Path:
        """Errors by the distance to the next trained event."""
        return self.folder / "window_overlap.csv"

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"
