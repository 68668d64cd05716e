"""Which files a study consists of: what its config asks for, at the paths of `siwcc.io.study_layout`.

The rules ask for these files, and the report looks for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from siwcc.config import MAP_VARIANTS, Config, shown_arm
from siwcc.data.tasks.interface import ErrorLimits, TaskSpec, task_module
from siwcc.evaluation.baselines.onset_detectors.registry import DETECTORS
from siwcc.evaluation.baselines.registry import baselines_of, unlearned_baselines_of
from siwcc.io.run_key import RunKey
from siwcc.io.study_layout import StudyLayout, TableName, figure_stem, run_grid

NETWORK = "network"
"""The method of the trained networks that look for onsets in whole recordings."""
ONSET_METHODS = (NETWORK, *DETECTORS)
"""All methods that look for onsets."""
METRICS = ("instability", "test_r2", "train_r2")
"""Metrics with a forest plot."""
_TABLES: tuple[TableName, ...] = ("errors", "errors_by_stratum", "records", "records_points", "variance")
LANDMARK_TABLES: tuple[TableName, ...] = ("landmarks", "landmarks_by_point", "landmark_tests")
"""Tables of tasks with many points."""
_LEAST_LANDMARKS = 3
_MAP_TABLES: tuple[TableName, ...] = ("calibration", "calibration_scores")
ONSET_TABLES: tuple[TableName, ...] = (
    *("onsets", "onsets_by_record", "onsets_by_label", "onset_episodes"),
    *("onset_rates", "onset_comparisons", "onset_calibration", "froc"),
)
"""Tables of the stage that looks for onsets in whole recordings."""

Arm = tuple[str, str, str]
"""Task, encoding and variant."""


@dataclass(frozen=True)
class StudyFiles:
    """The files of one study, whether or not they exist.

    Attributes:
        layout: Its paths.
        config: Its checked config.
    """

    layout: StudyLayout
    config: Config

    def spec(self, task: str) -> TaskSpec:
        """Shapes and units of a task."""
        return task_module(self.config.kind_of(task)).make_spec(self.config.task(task), self.config.dataset_of(task))

    def limits(self, task: str) -> ErrorLimits:
        """What counts as close, and as isolated, in a task."""
        return task_module(self.config.kind_of(task)).error_limits(self.spec(task), self.config.task(task).limits)

    @property
    def mapped_variants(self) -> list[str]:
        """The variants whose networks make a heatmap, and so have a confidence."""
        return [variant for variant in self.config.variants if variant in MAP_VARIANTS]

    def arms(self, tasks: Iterable[str], variants: Iterable[str]) -> list[Arm]:
        """These tasks and variants, with every encoding."""
        return list(product(tasks, self.config.encodings, variants))

    def runs(self, tasks: Iterable[str] | None = None, variants: Iterable[str] | None = None) -> list[RunKey]:
        """Every run of these tasks and variants; None: of all."""
        config = self.config
        tasks, variants = tasks or config.run, config.variants if variants is None else variants
        return run_grid(tasks, config.encodings, variants, config.folds, config.seeds)

    def fold_files(self, task: str) -> list[Path]:
        """The assignment of the folds, what results are split by, and every fold."""
        assigned = [self.layout.folds_csv(task), self.layout.strata_csv(task)]
        return assigned + self.layout.folds(task, self.config.folds)

    def baselines(self, tasks: Iterable[str] | None = None) -> list[Path]:
        """The predictions of every baseline for each of these tasks that it applies to; None: for all."""
        tasks = self.config.run if tasks is None else tasks
        return [self.layout.baseline(task, name) for task in tasks for name in self.baselines_of(task)]

    def baselines_of(self, task: str) -> list[str]:
        """The names of the baselines of a task."""
        return baselines_of(self.config.kind_of(task), len(self.config.task(task).points))

    @property
    def landmark_tasks(self) -> list[str]:
        """The tasks whose points are so many that one can be taken for another."""
        return [task for task in self.config.run if len(self.config.task(task).points) >= _LEAST_LANDMARKS]

    def landmark_frames(self) -> dict[str, float]:
        """Of each of these tasks what errors are given in % of: an image's height in px, or a window's length in s."""
        specs = {task: self.spec(task) for task in self.landmark_tasks}
        return {task: float(spec.shape[0]) if spec.kind == "image" else spec.extent[0] for task, spec in specs.items()}

    def robustness(self, tasks: Iterable[str] | None = None) -> list[Path]:
        """The errors on perturbed samples of every arm of these tasks that are to have them; None: of all."""
        perturbed = filter(self.config.perturbations_of, tasks or self.config.run)
        return [self.layout.robustness(*arm) for arm in self.arms(perturbed, self.config.variants)]

    def external(self, tasks: Iterable[str] | None = None) -> list[Path]:
        """The predictions of every arm and baseline for data sets that no network saw; None: of all tasks."""
        found = []
        for task in self.config.run if tasks is None else tasks:
            for dataset in self.config.external_of(task):
                found += [self.layout.external(*arm, dataset) for arm in self.arms([task], self.config.variants)]
                names = unlearned_baselines_of(self.config.kind_of(task), len(self.config.task(task).points))
                found += [self.layout.external_baseline(task, name, dataset) for name in names]
        return found

    def calibrations(self) -> list[Path]:
        """What turns confidence into a probability, of every arm that has a confidence."""
        return [self.layout.calibration(*arm) for arm in self.arms(self.config.run, self.mapped_variants)]

    def onset_models(self) -> list[Path]:
        """The networks that look for onsets in whole recordings, of every fold and seed."""
        folds = range(1, self.config.folds + 1)
        return [self.layout.onset_model(str(fold), str(seed)) for fold, seed in product(folds, self.config.seeds)]

    def onset_candidates(self) -> list[Path]:
        """What every method found in the recordings of every data set."""
        datasets = self.config.onsets.datasets if self.config.onsets else ()
        return [self.layout.onset_candidates(method, name) for method, name in product(ONSET_METHODS, datasets)]

    def onset_curves(self) -> list[Path]:
        """The probabilities that the networks gave, of every data set."""
        return [self.layout.onset_curves(name) for name in (self.config.onsets.datasets if self.config.onsets else ())]

    def onset_robustness(self) -> list[Path]:
        """What the networks found in perturbed recordings, of every data set, if the config asks for it."""
        names = self.config.onsets.datasets if self.config.onsets and self.config.signal_perturbations else ()
        return [self.layout.onset_robustness(name) for name in names]

    def onset_tables(self) -> list[Path]:
        """The tables of the stage that looks for onsets."""
        return [self.layout.table(name) for name in ONSET_TABLES]

    def onsets(self) -> list[Path]:
        """All files of the stage that looks for onsets; none if the study has no such stage."""
        if self.config.onsets is None:
            return []
        found = [*self.onset_models(), *self.onset_candidates(), *self.onset_curves(), *self.onset_robustness()]
        return [self.layout.onset_folds, *found, *self.onset_tables(), self.layout.onset_settings]

    def tables(self) -> list[Path]:
        """Every table."""
        names = _TABLES + (LANDMARK_TABLES if self.landmark_tasks else ())
        names += (_MAP_TABLES if self.mapped_variants else ()) + (("external",) if self.external() else ())
        return [self.layout.table("comparisons"), self.layout.table3, *map(self.layout.table, names)]

    def figures(self, kinds: Iterable[str]) -> list[Path]:
        """The files of these kinds of every figure."""
        return [self.layout.figure(stem, kind) for stem in sorted(set(self._stems())) for kind in kinds]

    def _stems(self) -> Iterator[str]:
        config = self.config
        if config.onsets is not None:
            yield figure_stem("froc")
            yield from (figure_stem("onset_errors", dataset=name) for name in config.onsets.datasets)
        for metric in METRICS:
            yield figure_stem("forest", metric=metric)
        for task in config.run:
            yield from (figure_stem(name, task=task) for name in ("encodings", "targets"))
            if self.limits(task).isolated_s:
                yield figure_stem("gaps", task=task)
            if config.perturbations_of(task):
                yield figure_stem("robustness", task=task)
        for task, variant in product(config.run, config.variants):
            yield figure_stem("learning_curves", task=task, variant=variant)
            if task in self.landmark_tasks:
                yield figure_stem("landmarks", task=task, variant=variant)
            for control, study in config.comparisons:
                yield figure_stem("records", task=task, variant=variant, encoding=study, control=control)
        shown = shown_arm(config.encodings, config.variants)
        for arm in self.arms(config.run, config.variants):
            names = {"predictions": True, "reliability": arm[2] in MAP_VARIANTS, "worst": arm[1:] == shown}
            for name in filter(names.get, names):
                yield figure_stem(name, task=arm[0], encoding=arm[1], variant=arm[2])
