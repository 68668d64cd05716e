"""Helpers of the rules: the checked config, file lists, the code that a rule depends on, and the start."""

import os
import re
import shlex
import socket
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import siwcc
from siwcc.evaluation.baselines.registry import BASELINES, baselines_of
from siwcc.jobs.import_closure import import_closure
from siwcc.config import (
    PAPERS_FORMAT,
    EncodingName,
    Train,
    VariantName,
    parse_config,
    parse_dataset,
    resolve_device,
)
from siwcc.io.errors import InputError
from siwcc.io.files import sha256_of
from siwcc.jobs.job import OWNER, claim_to
from siwcc.config import MAP_VARIANTS, shown_arm
from siwcc.io.checksums import parse_json, read_text
from siwcc.data.tasks.interface import task_module
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

PACKAGE = Path(siwcc.__file__).resolve().parent
REPOSITORY = Path(workflow.current_basedir).resolve().parent
METRICS = ["instability", "test_r2", "train_r2"]
RUN_FILES = ["log.csv", "model.pt", "predictions.csv", "manifest.json"]
DATA = Path("data")
# What only looks at the study need not wait for another one.
NO_RUN = re.compile(
    r"-[a-zA-Z]*n[a-zA-Z]*|--(dry-?run|lint|unlock|summary|detailed-summary|report|dag|rulegraph|filegraph|list.*)"
)
LOOK_EVERY_S = 0.5

# A job that starts after this process was killed finds out from it that it is an orphan.
# Snakemake fills in single braces, the shell gets the double ones.
prefix = f"set -euo pipefail; export {OWNER}={os.getpid()}; "
if PACKAGE.parent == REPOSITORY:
    # A job in an environment of its own (--sdm conda) finds the package here, too.
    prefix += (
        f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}" + "${{PYTHONPATH:+:$PYTHONPATH}}; "
    )
shell.prefix(prefix)


def checked_config(values):
    """The config with every default filled in; one line and a stop where it is wrong."""
    try:
        checked = parse_config(values)
        for name in datasets_in_use(checked.model_dump(mode="json")):
            check_samples_protocol(name, checked.datasets[name])
    except InputError as error:
        raise WorkflowError(str(error)) from None
    return checked.model_dump(mode="json")


def check_samples_protocol(name, section):
    """Refuse, before any job, to overwrite samples that were made by other rules."""
    path = Path(f"data/samples/{name}.protocol.json")
    if not path.is_file():
        return
    try:
        stored, asked = parse_json(path, read_text(path)), section.protocol()
    except InputError as error:
        raise InputError(path, error.problem, f"delete data/samples/{name}.*") from error
    differing = [key for key in sorted(stored | asked) if stored.get(key) != asked.get(key)]
    if differing:
        key = differing[0]
        raise InputError(
            path.with_name(f"{name}.h5"),
            f"was made with {key} = {stored.get(key)}, the config says {asked.get(key)}",
            f"give the changed set another name under datasets, or delete data/samples/{name}.*",
        )


def datasets_in_use(values):
    """Names of the data sets that the study's tasks read."""
    return sorted({values["tasks"][task]["dataset"] for task in values["run"]})


def dataset_of(task):
    """The entry of the config for the data set of a task."""
    return config["datasets"][config["tasks"][task]["dataset"]]


def tasks_of_other_data():
    """Tasks whose data are made up or of another set than the paper's."""
    return [
        task
        for task in config["run"]
        if dataset_of(task)["made_up"] or dataset_of(task)["format"] != PAPERS_FORMAT[task]
    ]


def tasks_of_other_protocol():
    """Tasks whose folds or augmentation are not the paper's."""
    checked = parse_config(config)
    return [task for task in config["run"] if not checked.papers_protocol(task)]


def dataset_protocol(wildcards):
    """What changes the samples of a data set; a moved local copy does not."""
    name = wildcards.get("dataset") or config["tasks"][wildcards.task]["dataset"]
    return parse_dataset(config["datasets"][name]).protocol()


def table_digest(wildcards):
    """SHA-256 of the table of a folder of the user's own, who edits it; None for other data."""
    section = parse_dataset(config["datasets"][wildcards.dataset])
    if section.format != "folder" or section.path is None:
        return None
    table = section.path.expanduser() / section.table
    return sha256_of(table) if table.is_file() else None


def samples_of(wildcards):
    """The samples file of a task."""
    return f"data/samples/{config['tasks'][wildcards.task]['dataset']}.h5"


def fold_numbers():
    """1 ... folds."""
    return range(1, config["folds"] + 1)


def data_files():
    """The files of every data set in use, below data/."""
    return [file for name in datasets_in_use(config) for file in files_of_data(name)]


def files_of_data(name):
    """The raw files' list and the samples of a data set, below data/."""
    kinds = ["raw/{}.manifest.csv", "samples/{}.h5"]
    kinds += ["samples/{}.excluded.csv", "samples/{}.protocol.json"]
    return [kind.format(name) for kind in kinds]


def fold_files():
    """The assignment, what results are split by, and every fold, below the folder of a task."""
    return ["folds.csv", "strata.csv", *collect("fold{fold}.h5", fold=fold_numbers())]


def study_runs(values):
    """Every final file of every run."""
    return collect(
        "<results>/{task}/{encoding}/{variant}/fold{fold}/seed{seed}/{file}",
        task=values["run"],
        encoding=values["encodings"],
        variant=values["variants"],
        fold=range(1, values["folds"] + 1),
        seed=values["seeds"],
        file=RUN_FILES,
    )


def of_arm(file, seeds):
    """One file of the runs of a rule's task, encoding and variant, of every fold."""
    return collect(
        "<results>/{{task}}/{{encoding}}/{{variant}}/fold{fold}/seed{seed}/{file}",
        fold=fold_numbers(),
        seed=seeds,
        file=file,
    )


def disturbances_of(task):
    """What is done to the test samples of a task."""
    return list(parse_config(config).disturbances_of(task))


def study_robustness(*tasks):
    """The answers of every arm of these tasks to disturbed samples; nothing where none are disturbed."""
    return [
        f"<results>/{task}/{encoding}/{variant}/robustness.csv"
        for task in tasks
        if disturbances_of(task)
        for encoding in config["encodings"]
        for variant in config["variants"]
    ]


def study_baselines():
    """The answers of every baseline to every task that it applies to."""
    return [
        f"<results>/{task}/baselines/{baseline}/predictions.csv"
        for task in config["run"]
        for baseline in baselines_of(task)
    ]


def hold_data():
    """Claim the data sets before anything is planned; wait while another study makes them.

    Several working directories may share one data/, which Snakemake's own lock does not cover: a
    second study would plan to make what the first is making, and delete it under the first.
    """
    if not workflow.is_main_process or not DATA.is_dir() or any(map(NO_RUN.fullmatch, sys.argv)):
        return
    for name in datasets_in_use(config):
        wait_for_data(name)


def wait_for_data(name):
    """Claim a data set, alone if it must be made; unless Snakemake is going to refuse anyway."""
    told = False
    while not claim_data(name, alone=data_is_missing(name)):
        if any(Path(".snakemake/locks").glob("*")):
            # Another study in this very folder.
            return
        if not told:
            logger.warning(
                f"{DATA.resolve()}: another study is making or using {name}, waiting for it"
            )
            told = True
        time.sleep(LOOK_EVERY_S)


def claim_data(name, alone):
    """Whether this process may read a data set, or change it alone."""
    try:
        return claim_to(DATA / ".claims" / name).try_to_hold(alone)
    except InputError:
        # A read-only data/: nobody changes it.
        return True


def data_is_missing(name):
    """Whether a file of a data set is not there yet."""
    return not all((DATA / file).is_file() for file in files_of_data(name))


def start_study():
    """Before the first job: every folder can be written to, and no data change under their readers."""
    # Another machine cannot see whether this process lives, nor another user where it works: workflow/unlock.py.
    Path(".snakemake/owner").write_text(f"{os.getpid()} {socket.gethostname()}")
    planned = list(workflow.dag.needrun_jobs())
    check_writable(planned)
    submit_at_any_rate()
    makers = {}
    for job in planned:
        if any(Path(file).is_relative_to(DATA) for file in job.output):
            makers.setdefault(job.wildcards.dataset, []).append(job)
            check_samples_of(job)
    read = datasets_in_use(config) if DATA.is_dir() else []
    for name in sorted({*read, *makers}):
        if not claim_data(name, alone=name in makers):
            doing = "using" if name in makers else "making"
            raise WorkflowError(
                f"{DATA.resolve()}: another study is {doing} {name}; "
                "give the same command again when that one has ended"
            )
    for name, jobs in makers.items():
        threading.Thread(target=share_data_after, args=(name, jobs), daemon=True).start()


def check_samples_of(job):
    """Refuse to make samples of other rules under the name of those that are there, whoever asks for them."""
    name = job.wildcards.dataset
    if f"data/samples/{name}.h5" in job.output:
        try:
            check_samples_protocol(name, parse_dataset(config["datasets"][name]))
        except InputError as error:
            raise WorkflowError(str(error)) from None


def submit_at_any_rate():
    """On this machine no queue needs to be spared: no limit of jobs per second.

    With one, Snakemake plans anew every second, once more for every job that ever ended: a quarter
    of a core in the middle of a study of 60 networks.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def share_data_after(name, jobs):
    """Let other studies read a data set as soon as these jobs are done."""
    while not all(workflow.dag.finished(job) for job in jobs):
        time.sleep(LOOK_EVERY_S)
    claim_data(name, alone=False)


def check_writable(jobs):
    """One line and a stop where a folder that these jobs write to takes no files."""
    files = {Path(file) for job in jobs for file in (*job.output, *job.log, job.benchmark) if file}
    for folder in sorted({first_existing(path.parent) for path in files}):
        if not os.access(folder, os.W_OK):
            read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
            reason = "read-only file system" if read_only else "permission denied"
            raise WorkflowError(
                f"{folder.resolve()}: cannot be written ({reason}); "
                "make it writable, or run in another folder, then give the same command again"
            )


def first_existing(folder):
    """The folder itself, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def module_of_baseline(name):
    """The module of the package that holds a baseline."""
    return f"evaluation.baselines.{BASELINES[name].module}"


def study_figures():
    """Every picture of the study with its data."""
    named = {name: config[name] for name in ("encodings", "variants")}
    stems = collect("forest_{metric}", metric=list(METRICS)) + collect(
        "encodings_{task}", task=config["run"]
    )
    stems += collect("learning_curves_{task}_{variants}", task=config["run"], **named)
    stems += collect("predictions_{task}_{encodings}_{variants}", task=config["run"], **named)
    stems += collect("targets_{task}", task=config["run"])
    stems += [f"gaps_{task}" for task, limits in limits_of_tasks().items() if limits["isolated_s"]]
    stems += [f"robustness_{task}" for task in config["run"] if disturbances_of(task)]
    stems += [
        f"records_{task}_{variant}_{study}_vs_{control}"
        for task in config["run"]
        for variant in config["variants"]
        for control, study in config["comparisons"]
    ]
    stems += collect(
        "reliability_{task}_{encoding}_{variant}",
        task=config["run"],
        encoding=config["encodings"],
        variant=mapped_variants(),
    )
    shown = shown_arm(config["encodings"], config["variants"])
    stems += [f"worst_{task}_{'_'.join(shown)}" for task in config["run"] if shown]
    return collect(
        "<results>/figures/{stem}.{kind}", stem=sorted(set(stems)), kind=["svg", "png", "csv"]
    )


def mapped_variants():
    """The study's variants whose networks say how sure they are."""
    return [variant for variant in config["variants"] if variant in MAP_VARIANTS]


def study_calibrations():
    """What turns confidence into a probability, beside the networks of every arm that has one."""
    return collect(
        "<results>/{task}/{encoding}/{variant}/calibration.json",
        task=config["run"],
        encoding=config["encodings"],
        variant=mapped_variants(),
    )


def measured_of_arms():
    """What is measured of single encodings and variants, beside their networks."""
    return study_calibrations() + study_robustness(*config["run"])


def limits_of_tasks():
    """What counts as close, and as isolated, in each task; see `siwcc.data.tasks.interface.ErrorLimits`."""
    checked = parse_config(config)
    limits = {}
    for task in config["run"]:
        known = task_module(task)
        spec = known.make_spec(checked.task(task), checked.dataset_of(task))
        limits[task] = asdict(known.error_limits(spec))
    return limits


def study_statistics():
    """Every table of the study."""
    names = ["comparisons.csv", "table3.txt", "errors.csv", "errors_by_stratum.csv"]
    names += ["records.csv", "records_points.csv", "variance.csv"]
    if mapped_variants():
        names += ["calibration.csv", "calibration_scores.csv"]
    return collect("<results>/stats/{name}", name=names)


def recipe_of(variant):
    """How one variant of the network is trained: another's recipe may change without training this one anew."""
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
    return [os.path.relpath(file) for file in (*import_closure(PACKAGE, modules, path), path)]


def resource_file(name):
    """A file of resources/, as a path from the working directory."""
    return os.path.relpath(REPOSITORY / "resources" / name)


def package_file(name):
    """A file of the package that is no code, as a path from the working directory."""
    return os.path.relpath(PACKAGE / name)


onstart:
    start_study()
