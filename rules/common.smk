"""Helpers of the rules: the checked config, file lists, and the code that a rule depends on."""

import ast
import json
import os
import shlex
from pathlib import Path

import siwcc
from siwcc.config import PAPERS_FORMAT, parse_config, parse_dataset, resolve_device
from siwcc.errors import InputError
from siwcc.tasks import task_module
from snakemake.exceptions import WorkflowError

PACKAGE = Path(siwcc.__file__).resolve().parent
REPOSITORY = Path(workflow.current_basedir).resolve().parent
METRICS = ["instability", "test_r2", "train_r2"]
RUN_FILES = ["log.csv", "model.pt", "predictions.csv", "manifest.json"]

if PACKAGE.parent == REPOSITORY:
    # A job in an environment of its own (--sdm conda) finds the package here, too. Snakemake fills
    # in single braces, the shell gets the double ones.
    shell.prefix(
        "set -euo pipefail; "
        + f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}"
        + "${{PYTHONPATH:+:$PYTHONPATH}}; "
    )


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
    stored, asked = json.loads(path.read_text()), section.protocol()
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


def dataset_protocol(wildcards):
    """What changes the samples of a data set; a moved local copy does not."""
    name = wildcards.get("dataset") or config["tasks"][wildcards.task]["dataset"]
    return parse_dataset(config["datasets"][name]).protocol()


def samples_of(wildcards):
    """The samples file of a task."""
    return f"data/samples/{config['tasks'][wildcards.task]['dataset']}.h5"


def fold_numbers():
    """1 ... folds."""
    return range(1, config["folds"] + 1)


def data_files():
    """The raw files' list and the samples of every data set in use, below data/."""
    kinds = [
        "raw/{}.manifest.csv",
        "samples/{}.h5",
        "samples/{}.excluded.csv",
        "samples/{}.protocol.json",
    ]
    return [kind.format(name) for name in datasets_in_use(config) for kind in kinds]


def fold_files():
    """The assignment and every fold, below the folder of a task."""
    return ["folds.csv", *collect("fold{fold}.h5", fold=fold_numbers())]


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


def study_figures():
    """Every picture of the study with its data."""
    named = {name: config[name] for name in ("encodings", "variants")}
    stems = collect("forest_{metric}", metric=list(METRICS)) + collect(
        "encodings_{task}", task=config["run"]
    )
    stems += collect("learning_curves_{task}_{variants}", task=config["run"], **named)
    stems += collect("predictions_{task}_{encodings}_{variants}", task=config["run"], **named)
    return collect(
        "<results>/figures/{stem}.{kind}", stem=sorted(set(stems)), kind=["svg", "png", "csv"]
    )


def units_of_tasks():
    """Unit of the targets of each task."""
    checked = parse_config(config)
    return {
        task: task_module(task).make_spec(checked.task(task), checked.dataset_of(task)).unit
        for task in config["run"]
    }


def uses_gpu():
    """1 where training runs on an NVIDIA device, else 0."""
    return int(resolve_device(config["train"]["device"]) == "cuda")


def code_of(script, *modules):
    """A rule's script and every module of the package that it runs, for the rule's inputs.

    Snakemake does not see edits of an imported package. The imports are followed through the
    source; modules that are imported by name (a task, a data format) are given by the caller.
    """
    waiting = [PACKAGE / f"{module.replace('.', '/')}" for module in modules]
    found = set()
    while waiting:
        path = waiting.pop()
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.is_file() and path not in found:
            found.add(path)
            waiting += [PACKAGE / name for name in imported_by(path)]
    return [
        os.path.relpath(path)
        for path in sorted(found | {REPOSITORY / "workflow" / "scripts" / script})
    ]


def resource_file(name):
    """A file of resources/, as a path from the working directory."""
    return os.path.relpath(REPOSITORY / "resources" / name)


def package_file(name):
    """A file of the package that is no code, as a path from the working directory."""
    return os.path.relpath(PACKAGE / name)


def imported_by(path):
    """Modules of the package that a module imports, as paths below it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    below = [name.removeprefix("siwcc.") for name in names if name.startswith("siwcc.")]
    return [name.replace(".", "/") for name in below]
