"""`siwcc train`: from a folder of data to trained networks, by the study of the localiser preset."""

from __future__ import annotations

import argparse
import math
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import siwcc
from siwcc.cli.train_data import DataOptions, TrainingData, check_folds, open_data
from siwcc.config import Config, merged, parse_config
from siwcc.evaluation.accuracy_summary import (
    BaselineTest,
    MethodAccuracy,
    not_beaten,
    read_baseline_tests,
    summarise_accuracy,
)
from siwcc.evaluation.bootstrap import Interval
from siwcc.evaluation.study_files import StudyFiles
from siwcc.inference.model_folder import check_model_folder, ship
from siwcc.io.console import note
from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, read_yaml, write_text
from siwcc.io.lead_numbers import check_lead_option
from siwcc.io.run_key import fold_name
from siwcc.io.study_layout import StudyLayout, results_of
from siwcc.io.tables import aligned
from siwcc.jobs.guard import LOCKS, check_alone
from siwcc.jobs.run_study import importing_from, run_study

STUDY, DATASET = "train", "data"
STUDY_FILE = "study.yaml"
ENCODING = "none"
IMAGE_SIZE = 128
PRESETS = {"ecg": "localiser", "nuclei": "localiser-herlev"}

_SOURCE = "https://github.com/siwcc/siwcc"
_QUICK_COPIES = {"ecg": 20, "nuclei": 4}
_QUICK_EPOCHS = {"ecg": 2, "nuclei": 3}
_QUICK_IMAGE_SIZE = 64
_MOST_LEADS = 64
_MOST_EXCLUDED = 5


@dataclass(frozen=True)
class Training:
    """One call of the command.

    Attributes:
        data: What is trained on.
        out: The folder for the models.
        work: The study's working directory.
        root: The copy of the repository whose rules are run.
        config: The checked study.
    """

    data: TrainingData
    out: Path
    work: Path
    root: Path
    config: Config

    @property
    def task(self) -> str:
        """`ecg` or `nuclei`."""
        return self.data.task

    @property
    def study(self) -> StudyFiles:
        """The files of the study."""
        return StudyFiles(StudyLayout(self.work / results_of(STUDY)), self.config)

    @property
    def samples(self) -> DataLayout:
        """The samples of the study."""
        return DataLayout(self.work / DataLayout().folder)


def run(options: argparse.Namespace) -> int:
    """Run `siwcc train`: the summary on standard output, everything else on standard error.

    Returns:
        0; Snakemake's exit code if the study is not complete, 130 after Ctrl-C.

    Raises:
        InputError: no repository, data that cannot be trained on, other options than those of the work folder, or a
            folder of models that are not of this training.
        ModuleNotFoundError: the extra `study` is not installed.
    """
    training = prepare(options)
    note(f"training on {described(training.data)}; {training.config.folds} networks, files in {training.work}")
    code = _run_study(training, options.cores, [] if not options.quick else _without_report(training))
    if code:
        return code
    (variant,) = training.config.variants
    arm = training.study.layout.folder / training.task / ENCODING / variant
    ship(arm, training.out, with_all=False)
    sys.stdout.write("\n".join(summary_lines(training)) + "\n")
    return 0


def prepare(options: argparse.Namespace) -> Training:
    """Check all that can be checked before the first job, and write the study's file.

    Raises:
        InputError: see `run`.
    """
    root = repository("siwcc train")
    if find_spec("snakemake") is None:
        raise ModuleNotFoundError("No module named 'snakemake'", name="snakemake")
    _check_options(options)
    usual_size = _QUICK_IMAGE_SIZE if options.quick else IMAGE_SIZE
    asked = (options.task, options.labels, options.rate, options.leads, options.image_size)
    data = open_data(options.data, DataOptions(*asked, usual_size))
    check_folds(options.data, data, options.folds)
    work = options.work or options.out.with_name(f"{options.out.name}.work")
    preset = root / "resources" / "studies" / f"{PRESETS[data.task]}.yaml"
    values = study_values(data, options, read_yaml(preset))
    config = parse_config(merged(read_yaml(root / "config.yaml"), values))
    _check_places(data, options.out, work)
    _check_folders(options.out, work, values, options.folds)
    write_text(work / STUDY_FILE, _as_yaml(values))
    return Training(data, options.out, work, root, config)


def repository(command: str) -> Path:
    """The copy of the repository that this package is part of: a wheel has no rules.

    Args:
        command: What needs it.

    Raises:
        InputError: there is none.
    """
    root = Path(siwcc.__file__).resolve().parent.parent
    if not all((root / name).is_file() for name in ("Snakefile", "config.yaml", "workflow/unlock.py")):
        remedy = f"git clone {_SOURCE}, and there: pip install -e '.[study]'"
        raise InputError(command, "needs the rules of the repository, which an installed package lacks", remedy)
    return root


def _check_options(options: argparse.Namespace) -> None:
    for name, least in (("folds", 2), ("epochs", 1), ("seed", 0), ("cores", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"--{name}", f"is {value}", f"give a whole number from {least}")
    if options.rate is not None and not (math.isfinite(options.rate) and options.rate > 0):
        raise InputError("--rate", f"is {options.rate:g} Hz", "give the sampling rate in Hz, above 0")
    size = options.image_size
    if size is not None and (size % 16 or not 16 <= size <= 4096):
        raise InputError("--image-size", f"is {size} px", "give a multiple of 16, from 16 to 4096")
    check_lead_option(options.leads or (), _MOST_LEADS)
    if options.out.name in ("", ".."):
        raise InputError("--out", f"{options.out} has no name", "name a new folder")
    if options.out.suffix == ".pt" or options.out.is_file():
        raise InputError("--out", f"{options.out} is to be a folder: a network per fold", "give a name without .pt")


def _check_places(data: TrainingData, out: Path, work: Path) -> None:
    """Refuse to write into the folder of the data, which is only read."""
    assert data.section.path is not None  # noqa: S101 - narrows the type
    for option, folder in (("--out", out), ("--work", work)):
        if folder.resolve().is_relative_to(data.section.path):
            raise InputError(option, f"{folder} is in the folder of the data", "name a folder elsewhere")


def _check_folders(out: Path, work: Path, values: Mapping[str, Any], folds: int) -> None:
    """Refuse to mix this training with another one."""
    check_model_folder(out, [fold_name(fold) for fold in range(1, folds + 1)], has_calibration=True)
    path = work / STUDY_FILE
    if path.is_file():
        differing = list(_differences(read_yaml(path), values))
        # Before there are samples nothing is lost: the options are what has been corrected.
        if differing and DataLayout(work / "data").samples(DATASET).is_file():
            remedy = "give those options again to resume it, choose another --out, or delete the folder"
            raise InputError(work, f"holds a training with other options ({differing[0]})", remedy)
    elif any(out.glob("*.pt")):
        raise InputError(out, "holds models of another training", "choose another --out, or delete the folder")
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(out, "exists and is not empty", "choose another --out, or delete the folder")
    elif work.is_dir() and any(work.iterdir()):
        raise InputError(work, f"is no work folder of siwcc train: it lacks {STUDY_FILE}", "choose another --out")


def _differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """Values of two studies that differ, by key; what one of them does not name is its preset's."""
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        old, new = old or {}, new or {}
        for name in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
    elif old != new:
        there, now = ("default" if value is None else value for value in (old, new))
        yield f"{key}: {there} there, {now} now"


# --------------------------------------------------------------------- study


def study_values(data: TrainingData, options: argparse.Namespace, preset: Mapping[str, Any]) -> dict[str, Any]:
    """The study's file: the localiser preset with these data, one encoding, and a training for each fold."""
    task = data.task
    settings: dict[str, Any] = {"dataset": DATASET}
    epochs = options.epochs or (_QUICK_EPOCHS[task] if options.quick else None)
    if options.quick:
        settings["copies_per_sample"] = _QUICK_COPIES[task]
    # Of several the last one is the localiser.
    variant = preset["variants"][-1]
    # The side of the image may identify the point.
    recipe: dict[str, Any] = {"online_augmentation": {"mirror": 0.0}} if task == "nuclei" else {}
    if epochs:
        recipe["epochs"] = epochs
    own = {
        **{"study": STUDY, "run": [task], "folds": options.folds, "seed": options.seed, "seeds": [options.seed]},
        **{"encodings": [ENCODING], "variants": [variant], "comparisons": [], "robustness": []},
        "tasks": {task: settings},
        "train": {"by_variant": {variant: recipe}},
    }
    section = data.section.model_dump(mode="json", exclude_defaults=True)
    return {**merged(preset, own), "datasets": {DATASET: section}}


def _as_yaml(values: Mapping[str, Any]) -> str:
    import yaml

    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return f"# Written by siwcc train. A study like any other: snakemake --configfile {STUDY_FILE}\n{text}"


def _without_report(training: Training) -> list[Path]:
    """The files that the summary and the models come from: no figures, which take a third of a trial's time."""
    study = training.study
    return [
        *(path for run in study.runs() for path in study.layout.run_files(run)),
        *(study.layout.config, *study.baselines(), study.layout.table("records"), study.layout.table("errors")),
    ]


def _run_study(training: Training, cores: int | None, targets: Sequence[Path]) -> int:
    """Snakemake in the work folder; its lock is released first if the process that held it is dead."""
    work, config = training.work.resolve(), ["--configfile", STUDY_FILE]
    if any((work / LOCKS).glob("*")):
        check_alone(work)
        unlock = [sys.executable, str(training.root / "workflow" / "unlock.py"), *config]
        # A list, without a shell, of the project's own program.
        done = subprocess.run(unlock, cwd=work, env=importing_from(training.root), check=False)  # noqa: S603
        if done.returncode:
            return done.returncode
    arguments = [
        *("--snakefile", str(training.root / "Snakefile")),
        *("--workflow-profile", str(training.root / "profiles" / "default")),
        *("--cores", str(cores or "all"), *config),
        *("--", *(str(path.relative_to(training.work)) for path in targets)),
    ]
    return run_study(work / "snakemake.log", arguments, work, training.root)


# ------------------------------------------------------------------- summary


def described(data: TrainingData) -> str:
    """`56 events of 11 recordings, 11 groups`."""
    counts = (
        f"{data.rows} events of {data.files} recordings" if data.section.kind == "signal" else f"{data.rows} images"
    )
    return f"{counts}, {data.groups} groups"


def summary_lines(training: Training) -> list[str]:
    """What was trained on, how accurate the networks are, and what to type next."""
    study, task = training.study, training.task
    strata = study.layout.strata_csv(task)
    runs = map(study.layout.predictions, study.runs())
    rows = summarise_accuracy(runs, study.baselines(), strata, study.limits(task))
    tests = read_baseline_tests(study.layout.table("records"))
    return [
        *_data_lines(training, strata),
        "",
        *_table_lines(rows, training),
        *_verdict_lines(tests),
        "",
        f"models: {training.out}",
        _report_line(study.layout),
        f"work folder, kept: {training.work} ({_size(training.work)})",
        "next, with a recording or image of your choice:",
        f"  {predict_command(training)}",
    ]


def _report_line(layout: StudyLayout) -> str:
    return f"report: {layout.report if layout.report.is_file() else f'siwcc report {layout.folder}'}"


def _data_lines(training: Training, strata: Path) -> Iterator[str]:
    used = read_csv(strata, ("sample_id", "group"))
    excluded_path = training.samples.excluded(DATASET)
    excluded = read_csv(excluded_path, ("sample_id", "reason"))
    noun = "events" if training.data.section.kind == "signal" else "images"
    groups = len({row["group"] for row in used})
    files = f" of {training.data.files} recordings" if training.data.section.kind == "signal" else ""
    yield f"trained on {len(used)} {noun}{files}, {groups} groups, in {training.config.folds} folds"
    yield f"{len(excluded)} of {len(used) + len(excluded)} rows excluded" + (f" ({excluded_path})" if excluded else "")
    yield from (f"  {row['sample_id']}: {row['reason']}" for row in excluded[:_MOST_EXCLUDED])
    if len(excluded) > _MOST_EXCLUDED:
        yield f"  and {len(excluded) - _MOST_EXCLUDED} more"


def _table_lines(rows: Sequence[MethodAccuracy], training: Training) -> Iterator[str]:
    first = rows[0]
    size_px = getattr(training.data.section, "image_size", 0)
    square = (
        f", in px of the image fitted into {size_px} x {size_px} px" if training.data.section.kind == "image" else ""
    )
    what = "error on augmented copies of groups that were not trained on"
    yield f"{what}, with the 95 % interval over {first.groups} groups{square}:"
    unit = first.unit
    head = ["method", f"median ({unit})", f"90th percentile ({unit})", f"within {first.limit:g} {unit} (%)"]
    yield from (f"  {line}" for line in aligned([head, *(_cells(row) for row in rows)]))


def _cells(row: MethodAccuracy) -> list[str]:
    digits = 2 if row.unit == "s" else 1
    name = f"networks ({row.variant})" if row.variant else f"baseline {row.method.replace('_', ' ')}"
    intervals = [(row.median, 1, digits), (row.p90, 1, digits), (row.within, 100, 0)]
    return [name, *(_interval(*each) for each in intervals)]


def _interval(found: Interval, factor: float, places: int) -> str:
    value, low, high = (f"{factor * number:.{places}f}" for number in found)
    return value if math.isnan(found.low) else f"{value} [{low}, {high}]"


def _verdict_lines(tests: Sequence[BaselineTest]) -> Iterator[str]:
    found = not_beaten(tests)
    if not found:
        return
    names = ", ".join(test.baseline.replace("_", " ") for test in found)
    best = found[0]
    yield (
        f"The networks are no better than the baseline {names}: mean error over groups {best.network_error:.2f} "
        f"{best.unit} against {best.baseline_error:.2f} {best.unit}, difference {_interval(best.difference, 1, 2)}."
    )


def predict_command(training: Training) -> str:
    """The command that predicts for a file of the data set."""
    rate_hz = getattr(training.data.section, "csv_rate_hz", None)
    needs_rate = rate_hz is not None and training.data.example.suffix.lower() == ".csv"
    words = ["siwcc", "predict", str(training.out), str(training.data.example)]
    return shlex.join([*words, *(["--rate", f"{rate_hz:g}"] if needs_rate else [])])


def _size(folder: Path) -> str:
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    return f"{megabytes:.3g} MB" if megabytes < 1000 else f"{megabytes / 1000:.3g} GB"
