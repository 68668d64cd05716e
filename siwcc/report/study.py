"""What a study asked for, what of it is there, and on what data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from siwcc.config import MAP_VARIANTS, PAPERS_FORMAT, AnyDataset, Config, Kind, read_config
from siwcc.data.folds import read_folds_csv
from siwcc.data.samples import read_excluded
from siwcc.data.tasks.interface import ErrorLimits, TaskSpec
from siwcc.evaluation.comparisons import Row, compare_study, without_published
from siwcc.evaluation.errors_table import Errors, measure_study
from siwcc.evaluation.external_table import External, measure_external
from siwcc.evaluation.landmarks import Landmarks, measure_landmarks
from siwcc.evaluation.record_tests import Records, compare_records
from siwcc.evaluation.reliability_table import Reliability, measure_reliability
from siwcc.evaluation.robustness_table import Robustness, read_robustness
from siwcc.evaluation.statistics import fold_ratio
from siwcc.evaluation.study_files import StudyFiles
from siwcc.evaluation.variance import VarianceRow, split_study
from siwcc.io.checksums import MANIFEST, read_manifest
from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.joined_samples import SamplesPath, paths_of, read_samples
from siwcc.io.run_key import LOG, PREDICTIONS, RunKey, run_key_of
from siwcc.io.shards import read_shard
from siwcc.io.study_layout import StudyLayout


@dataclass(frozen=True)
class PaperSet:
    """What the paper's own data set of a task is recognised by.

    Attributes:
        format, title: Format in the config, and name.
        found: Samples kept and excluded, for the readings of the protocol that the config offers.
    """

    format: str
    title: str
    found: tuple[int, ...]


_OTHER_TASK = "a task that the paper does not have"
PAPER_SETS = {
    "ecg": PaperSet(PAPERS_FORMAT["ecg"], "MIT-BIH Malignant Ventricular Ectopy Database", (236, 242)),
    "nuclei": PaperSet(PAPERS_FORMAT["nuclei"], "SIPaKMeD", (4049,)),
}


@dataclass(frozen=True)
class Study:
    """A study's folder and the config that it was run with.

    Attributes:
        folder: results/<study>.
        data: The folder that holds raw/, samples/ and benchmarks/.
        config: The checked config.
    """

    folder: Path
    data: Path
    config: Config

    @property
    def layout(self) -> StudyLayout:
        """The paths of its files."""
        return StudyLayout(self.folder)

    @property
    def files(self) -> StudyFiles:
        """The files that the config asks for, whether or not they are there."""
        return StudyFiles(self.layout, self.config)

    def run_folder(self, key: RunKey) -> Path:
        """Where the files of a run lie."""
        return self.layout.run(key)

    def runs(self, task: str | None = None) -> list[RunKey]:
        """Every run that the config asks for, whether or not it is there."""
        return self.files.runs(None if task is None else [task])

    def missing_runs(self) -> list[RunKey]:
        """Runs without a log: not trained, or not to the end."""
        return [key for key in self.runs() if not self.layout.log(key).is_file()]

    def existing(self, task: str, name: str) -> list[Path]:
        """That file of every run of a task that has it."""
        paths = [self.run_folder(key) / name for key in self.runs(task)]
        return [path for path in paths if path.is_file()]

    def fold_paths(self, task: str) -> list[Path]:
        """Every fold file of a task, there or not, in order."""
        return self.layout.folds(task, self.config.folds)

    def samples_path(self, task: str) -> SamplesPath:
        """The samples file of a task, or those of its data sets."""
        paths = [DataLayout(self.data).samples(name) for name in self.config.datasets_of(task)]
        return paths[0] if len(paths) == 1 else paths

    def spec(self, task: str) -> TaskSpec:
        """Shapes and units of a task."""
        return self.files.spec(task)

    def limits(self, task: str) -> ErrorLimits:
        """What counts as close, and as isolated, in a task."""
        return self.files.limits(task)

    def missing_baselines(self, task: str) -> list[str]:
        """Baselines of a task that have no predictions."""
        return [name for name in self.files.baselines_of(task) if not self.layout.baseline(task, name).is_file()]

    def robustness_paths(self, task: str) -> list[Path]:
        """`robustness.csv` of every arm of a task that is to have one, there or not."""
        return self.files.robustness([task])

    def robustness(self, task: str) -> list[Robustness]:
        """The lines of those that are there.

        Raises:
            InputError: one is damaged.
        """
        return read_robustness([path for path in self.robustness_paths(task) if path.is_file()])

    def started_tasks(self) -> list[str]:
        """Tasks whose folds have been assigned."""
        return [task for task in self.config.run if self.layout.folds_csv(task).is_file()]


def open_study(folder: Path) -> Study:
    """A study from its folder, with the config that the workflow left there.

    Raises:
        InputError: no such folder, or no config in it.
    """
    path = StudyLayout(folder).config
    if not folder.is_dir():
        raise InputError(folder, "is not a folder", "give results/<study>")
    if not path.is_file():
        remedy = "run `snakemake results/<study>/config.json` with the study's --configfile"
        raise InputError(path, "does not exist, so it is not known what the study asks for", remedy)
    return Study(folder, folder.resolve().parent.parent / "data", read_config(path))


@dataclass(frozen=True)
class Measured:
    """The numbers of a study, from whatever files there are; the same as in its `stats`.

    Attributes:
        rows: Of `comparisons.csv`.
        errors: Of `errors.csv` and `errors_by_stratum.csv`.
        records: Of `records.csv` and `records_points.csv`.
        landmarks: Of `landmarks.csv`, `landmarks_by_point.csv` and `landmark_tests.csv`.
        variance: Of `variance.csv`.
        reliability: Of `calibration.csv` and `calibration_scores.csv`.
        external: Of `external.csv`.
    """

    rows: Sequence[Row]
    errors: Errors
    records: Records
    landmarks: Landmarks
    variance: Sequence[VarianceRow]
    reliability: Reliability
    external: Sequence[External]


def measure(study: Study, published: Path) -> Measured:
    """Every table of a study that its logs and predictions allow, complete or not.

    Args:
        study: The study.
        published: The paper's Table 3.

    Raises:
        InputError: a file that is there is damaged.
    """
    tasks = study.started_tasks()
    runs = [path for task in tasks for path in study.existing(task, PREDICTIONS)]
    baselines = [path for task in tasks for path in study.layout.found_baselines(task)]
    strata = [study.layout.strata_csv(task) for task in tasks]
    limits = {task: study.limits(task) for task in tasks}
    logs = [path for task in tasks for path in study.existing(task, LOG)]
    return Measured(
        rows=_compare(study, published),
        errors=measure_study(runs, baselines, strata, limits),
        records=compare_records(runs, baselines, strata, study.config.comparisons, limits),
        landmarks=_landmarks(study),
        variance=split_study(logs, study.config.comparisons),
        reliability=measure_reliability(
            [path for path in runs if run_key_of(path).variant in MAP_VARIANTS], strata, limits
        ),
        external=measure_external([path for path in study.files.external(tasks) if path.is_file()], limits),
    )


def _landmarks(study: Study) -> Landmarks:
    tasks = [task for task in study.started_tasks() if task in study.files.landmark_tasks]
    return measure_landmarks(
        run_paths=[path for task in tasks for path in study.existing(task, PREDICTIONS)],
        baseline_paths=[path for task in tasks for path in study.layout.found_baselines(task)],
        strata_paths=[study.layout.strata_csv(task) for task in tasks],
        comparisons=study.config.comparisons,
        limits={task: study.limits(task) for task in tasks},
        frames=study.files.landmark_frames(),
    )


def _compare(study: Study, published: Path) -> list[Row]:
    """The comparison rows of whatever runs there are; runs that are missing are named in the notes."""
    tasks = study.started_tasks()
    ratios = {task: _test_train_ratio(study.layout.folds_csv(task)) for task in tasks}
    logs = {key: study.layout.log(key) for task in tasks for key in study.runs(task)}
    rows = compare_study(logs, study.config.comparisons, ratios, published)
    return [row if study.config.papers_protocol(row.task) else without_published(row) for row in rows]


def _test_train_ratio(folds_path: Path) -> float:
    return fold_ratio([len(ids) for ids in read_folds_csv(folds_path).values()])


def papers_tasks(data: Sequence[TaskData], config: Config) -> list[str]:
    """Tasks whose data and protocol are the paper's, so that published values may be compared with ours."""
    return [item.task for item in data if item.papers and config.papers_protocol(item.task)]


# --------------------------------------------------------------------- the data


@dataclass(frozen=True)
class TaskData:
    """The data of one task.

    Attributes:
        task, dataset, source: Names, and where the raw files came from.
        kept: Samples.
        excluded: Sample ids by reason.
        groups: Records or slide images.
        classes: Samples of each class, most frequent first.
        fold_sizes: Samples of each fold.
        rows, hidden: Augmented rows, and those of them whose target left the view.
        papers: Whether these are the paper's own data, whole.
        remark: Why not, in words; empty if they are.
    """

    task: str
    dataset: str
    source: str
    kept: int
    excluded: Mapping[str, Sequence[str]]
    groups: int
    classes: Mapping[str, int]
    fold_sizes: Sequence[int]
    rows: int
    hidden: int
    papers: bool
    remark: str


def describe_data(study: Study, task: str) -> TaskData:
    """Counts of a task's data, from its samples file, exclusions and fold files."""
    sections = study.config.sections_of(task)
    samples = read_samples(study.samples_path(task), ("group", "class"))
    excluded: dict[str, list[str]] = {}
    for path in paths_of(study.samples_path(task)):
        for item in read_excluded(read_shard(path, "samples", ())):
            excluded.setdefault(item.reason, []).append(item.sample_id)
    kept = len(samples.arrays["group"])
    remark = _remark(task, sections, kept + sum(map(len, excluded.values())))
    rows, hidden = _hidden_rows(study.fold_paths(task))
    return TaskData(
        task=task,
        dataset=", ".join(sections),
        source=_sources(sections),
        kept=kept,
        excluded=excluded,
        groups=len(set(samples.arrays["group"])),
        classes=dict(Counter(samples.arrays["class"].tolist()).most_common()),
        fold_sizes=[len(ids) for ids in read_folds_csv(study.layout.folds_csv(task)).values()],
        rows=rows,
        hidden=hidden,
        papers=not remark,
        remark=remark,
    )


def _remark(task: str, sections: Mapping[str, AnyDataset], found: int) -> str:
    """As `not_the_papers`, also of several data sets."""
    remarks = [not_the_papers(task, section, found) for section in sections.values()]
    if len(remarks) == 1:
        return remarks[0]
    if any(section.synthetic is not None for section in sections.values()):
        return "synthetic data among them, not measurements alone"
    if task not in PAPER_SETS:
        return _OTHER_TASK
    return f"{len(remarks)} data sets, not {PAPER_SETS[task].title} alone, which the paper uses"


def not_the_papers(task: str, section: AnyDataset, found: int) -> str:
    """Why a data set is not the paper's; empty when it is.

    Args:
        task: Its name.
        section: The data set's section of the config.
        found: Samples kept and excluded.
    """
    if section.synthetic is not None:
        return "synthetic data, not measurements"
    if task not in PAPER_SETS:
        return _OTHER_TASK
    paper = PAPER_SETS[task]
    if section.format != paper.format:
        return f"not {paper.title}, which the paper uses"
    if found not in paper.found:
        expected = " or ".join(f"{number:,}" for number in paper.found)
        return f"{found:,} samples where the whole {paper.title} gives {expected}"
    return ""


def _sources(sections: Mapping[str, AnyDataset]) -> str:
    if len(sections) == 1:
        return _source(next(iter(sections.values())))
    return "; ".join(f"{name}: {_source(section)}" for name, section in sections.items())


_MADE: dict[Kind, str] = {"signal": "records", "image": "cells", "volume": "volumes"}


def _source(section: AnyDataset) -> str:
    if section.synthetic is not None:
        return f"synthetic, {section.synthetic.samples} {_MADE[section.kind]}, seed {section.synthetic.seed}"
    return "a local copy, read in place" if section.path is not None else f"downloaded from {section.url}"


def _hidden_rows(fold_paths: Sequence[Path]) -> tuple[int, int]:
    rows = hidden = 0
    for path in fold_paths:
        if path.is_file():
            arrays = read_shard(path, "fold", ("copy", "event_visible")).arrays
            augmented = arrays["copy"] > 0
            rows += int(np.count_nonzero(augmented))
            hidden += int(np.count_nonzero(augmented & (arrays["event_visible"] == 0)))
    return rows, hidden


def config_text(config: Config) -> str:
    """The config as YAML, only the data sets in use, without the place of a local copy."""
    values: dict[str, Any] = config.model_dump(mode="json")
    used = config.datasets_in_use
    values["tasks"] = {task: values["tasks"][task] for task in values["run"]}
    values["datasets"] = {name: entry for name, entry in values["datasets"].items() if name in used}
    for entry in values["datasets"].values():
        entry["path"] = "(a local copy)" if entry["path"] else None
    return str(yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=88))


def devices(study: Study) -> list[str]:
    """What the runs were trained on, from their manifests."""
    found = Counter[str]()
    for task in study.config.run:
        for path in study.existing(task, MANIFEST):
            train = read_manifest(path).get("train", {})
            found[f"{train.get('device', 'unknown')}, {train.get('threads', '?')} thread(s)"] += 1
    return [f"{name} ({count} runs)" for name, count in found.most_common()]
