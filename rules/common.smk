"""Helpers of the rules: the checked config, file lists, the code that a rule depends on, and the start."""

import atexit
import gc
import os
import shlex
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import get_args

import siwcc
from siwcc.evaluation.baselines.onset_detectors.registry import DETECTORS
from siwcc.evaluation.baselines.registry import BASELINES
from siwcc.evaluation.study_files import StudyFiles
from siwcc.io.data_layout import DataLayout
from siwcc.io.run_key import NO_FOLD, RunKey
from siwcc.io.study_layout import FIGURE_KINDS, StudyLayout, results_of, run_grid
from siwcc.jobs import guard
from siwcc.jobs.import_closure import import_closure
from siwcc.config import (
    PAPERS_FORMAT,
    EncodingName,
    RecordsDataset,
    Train,
    VariantName,
    parse_config,
    parse_dataset,
    resolve_device,
)
from siwcc.io.errors import InputError
from siwcc.io.files import sha256_of
from siwcc.jobs.job import OBJECTS_BETWEEN_SEARCHES, OWNER
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

PACKAGE = Path(siwcc.__file__).resolve().parent
REPOSITORY = Path(workflow.current_basedir).resolve().parent
# Where files lie. The study's folder is Snakemake's path variable; names may be wildcards.
layout = StudyLayout(Path("<results>"))
data_layout = DataLayout()
RUN = RunKey("{task}", "{encoding}", "{variant}", "{fold}", "{seed}")
RUN_ON_ALL = RUN._replace(fold=NO_FOLD)

# A job that starts after this process was killed finds out from it that it is an orphan.
# Snakemake fills in single braces, the shell gets the double ones.
prefix = f"set -euo pipefail; export {OWNER}={os.getpid()}; "
if PACKAGE.parent == REPOSITORY:
    # A job in an environment of its own (--sdm conda) finds the package here, too.
    quoted = shlex.quote(str(REPOSITORY)).replace("{", "{{").replace("}", "}}")
    prefix += f"export PYTHONPATH={quoted}" + "${{PYTHONPATH:+:$PYTHONPATH}}; "
shell.prefix(prefix)


@contextmanager
def workflow_errors():
    """Invalid input as the error that Snakemake prints as one line."""
    try:
        yield
    except InputError as error:
        raise WorkflowError(str(error)) from None


# Python's searches for garbage take a tenth of the time of a plan, and one more in all objects before it ends a fifth of a
# second. Hardly an object of a plan is garbage.
gc.set_threshold(OBJECTS_BETWEEN_SEARCHES)
atexit.register(gc.freeze)
with workflow_errors():
    guard.check_folder_name(Path.cwd())
guard.quote_python()


def checked_config(values):
    """The config with every default filled in; one line and a stop where it is wrong."""
    with workflow_errors():
        checked = parse_config(values).model_dump(mode="json")
        for name in datasets_in_use(checked):
            check_samples(name, checked)
    return checked


def check_samples(name, values):
    """Refuse, before any job, data that do not exist, and samples that were made with other preprocessing settings."""
    section = parse_dataset(values["datasets"][name])
    guard.check_samples_protocol(name, section.protocol())
    guard.check_source(workflow, name, section.path)
    if isinstance(section, RecordsDataset):
        guard.check_records(workflow, name, section.path)


def datasets_in_use(values):
    """Names of the data sets that the study reads."""
    return parse_config(values).datasets_in_use


def onsets_of(values):
    """The section of the stage that looks for onsets in whole recordings; empty if the study has none."""
    return values["onsets"] or {}


def recordings_to_train_on():
    """The recordings files with the records of the folds."""
    return [data_layout.recordings(name) for name in onsets_of(config).get("dataset", ())]


def recordings_of_onsets():
    """The recordings files of all data sets in which onsets are looked for."""
    onsets = onsets_of(config)
    return [
        data_layout.recordings(name)
        for name in (*onsets.get("dataset", ()), *onsets.get("external", ()))
    ]


def tasks_of_other_data():
    """Tasks whose data are synthetic, or of other or more sets than the paper's."""
    return [task for task in config["run"] if not has_papers_data(task)]


def kind_of(wildcards):
    """What the samples of a rule's task are, which names the modules of the package that read them."""
    return study.config.kind_of(wildcards.task)


def has_papers_data(task):
    """Whether a task reads one data set, which is real and of the paper's format."""
    section, *others = study.config.sections_of(task).values()
    return not others and not section.synthetic and section.format == PAPERS_FORMAT.get(task)


def tasks_of_other_protocol():
    """Tasks whose folds or augmentation are not the paper's."""
    checked = parse_config(config)
    return [task for task in config["run"] if not checked.papers_protocol(task)]


def dataset_protocol(wildcards):
    """What changes the samples of a data set, or of a task's; a moved local copy does not."""
    if wildcards.get("dataset"):
        return parse_dataset(config["datasets"][wildcards.dataset]).protocol()
    return study.config.dataset_of(wildcards.task).protocol()


def table_digest(wildcards):
    """SHA-256 of the table of a folder of the user, who edits it; None for other data."""
    section = parse_dataset(config["datasets"][wildcards.dataset])
    if section.format != "folder" or section.path is None:
        return None
    table = section.path.expanduser() / section.table
    return sha256_of(table) if table.is_file() else None


def samples_of(wildcards):
    """The samples files of a task, one for each data set."""
    return [data_layout.samples(name) for name in study.config.datasets_of(wildcards.task)]


def fold_numbers():
    """1 ... folds."""
    return range(1, config["folds"] + 1)


def study_files(values):
    """The files of the study of a checked config, which the rules ask for."""
    return StudyFiles(layout, parse_config(values))


def arm_runs(seeds):
    """The runs of a rule's task, encoding and variant with these seeds, of every fold."""
    return run_grid(["{task}"], ["{encoding}"], ["{variant}"], config["folds"], seeds)


def landmark_runs():
    """The runs of the tasks with many points."""
    return study.runs(study.landmark_tasks) if study.landmark_tasks else []


def hold_data():
    """Claim the data sets before anything is planned; wait while another study makes them."""
    guard.hold_data(workflow, datasets_in_use(config), logger.warning)


def module_of_baseline(name):
    """The module of the package that holds a baseline."""
    return f"evaluation.baselines.{BASELINES[name].module}"


def module_of_detector(name):
    """The module of the package that holds a baseline of onsets."""
    return f"evaluation.baselines.onset_detectors.{name}"


def limits_of_tasks():
    """What counts as close, and as isolated, in each task; see `siwcc.data.tasks.interface.ErrorLimits`."""
    return {task: asdict(study.limits(task)) for task in config["run"]}


def recipe_of(variant):
    """How one variant of the network is trained: another's recipe may change without training this one again."""
    return Train.model_validate(config["train"]).of(variant).model_dump(mode="json")


def uses_gpu():
    """1 where training runs on an NVIDIA device, else 0."""
    return int(resolve_device(config["train"]["device"]) == "cuda")


def growing(amount):
    """A resource of a job: `amount` at first, twice as much when it is tried again, and so on."""
    return lambda wildcards, attempt: amount * attempt


def code_of(script, *modules):
    """A rule's script and every module of the package that it runs, for the rule's inputs.

    Snakemake does not see edits of an imported package. The imports are followed through the
    source; modules that are imported by name (a task, a data format) are given by the caller.
    """
    path = REPOSITORY / "workflow" / "scripts" / script
    return [literal_path(file) for file in (*import_closure(PACKAGE, modules, path), path)]


@cache
def literal_path(path):
    """A file of the project as a path from the working directory, in which no brace names a wildcard."""
    relative = os.path.relpath(path)
    if "{" not in relative:
        return relative
    # Snakemake has no way to quote a brace in the name of an input.
    link, base = Path(".snakemake/project"), PACKAGE.parent
    if not path.is_relative_to(base):
        raise WorkflowError(f"{path}: contains a brace, which is a wildcard for Snakemake; move it")
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink() or link.readlink() != base:
        link.unlink(missing_ok=True)
        link.symlink_to(base)
    return str(link / path.relative_to(base))


def source_file(name):
    """A file of the project for a directive that Snakemake formats, as it is next to the rules."""
    path = os.path.normpath(Path(workflow.current_basedir) / name)
    return path.replace("{", "{{").replace("}", "}}") if "{" in path else name


def resource_file(name):
    """A file of resources/, as a path from the working directory."""
    return literal_path(REPOSITORY / "resources" / name)


def package_file(name):
    """A file of the package that is no code, as a path from the working directory."""
    return literal_path(PACKAGE / name)


onstart:
    with workflow_errors():
        guard.start_study(
            workflow, datasets_in_use(config), lambda name: check_samples(name, config)
        )
