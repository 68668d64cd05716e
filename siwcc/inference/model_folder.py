"""A folder of trained networks to be given away, with how they were measured; `siwcc.inference.loading` reads it.

fold<k>.pt has not seen test fold k, all.pt has seen every fold; errors.csv and errors_by_stratum.csv are over the
predictions of each fold's network for its own test fold. So is calibration.json, which turns the confidence of networks
that have one into a probability.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siwcc.config import MAP_VARIANTS
from siwcc.data.folds import read_folds_csv
from siwcc.data.tasks.interface import ErrorLimits, parse_task, task_module
from siwcc.evaluation.calibration_file import write_calibration
from siwcc.evaluation.errors_table import measure_study, write_errors, write_errors_by_stratum
from siwcc.evaluation.onset_settings import ONSETS, read_onset_settings
from siwcc.evaluation.onset_tables import OnsetLine, RateLine, RecordLine, write_onset_table
from siwcc.evaluation.reliability_table import calibrate_arm
from siwcc.evaluation.study_files import NETWORK
from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes
from siwcc.io.run_key import MODEL, NO_FOLD, PREDICTIONS, fold_name
from siwcc.io.study_layout import CALIBRATION, FOLD_MODELS, StudyLayout, TableName, table_name
from siwcc.io.tables import read_lines

if TYPE_CHECKING:
    from siwcc.training.checkpoint import TrainedModel

_SHIPPED_TABLES: dict[TableName, type[Any]] = {
    "onsets": OnsetLine,
    "onsets_by_record": RecordLine,
    "onset_rates": RateLine,
}


def ship(arm: Path, out: Path, with_all: bool = True, small: bool = False) -> list[Path]:
    """Copy the networks of an arm and sum up what they predicted.

    Args:
        arm: `results/<study>/<task>/<encoding>/<variant>`, one seed.
        out: The folder to fill.
        with_all: Also the network that was trained on every fold.
        small: Store weights as float16 (`siwcc.training.checkpoint.halved`), which rounds them by up to 0.05 %.

    Returns:
        What was written.

    Raises:
        InputError: a network or its predictions are missing or damaged, there are several seeds, or the folder holds
            networks of other folds.
    """
    # It imports torch, and `check_model_folder` is called before anything is trained.
    from siwcc.training.checkpoint import halved, model_bytes, read_model

    models = {name: read_model(path) for name, path in _sources(arm, with_all).items()}
    first = next(iter(models.values()))
    check_model_folder(out, models, has_calibration=first.key.variant in MAP_VARIANTS)
    for name, model in models.items():
        content = model.path.read_bytes()
        if small:
            metadata = model.metadata.model_dump(mode="json", exclude={"weights_sha256"})
            content = model_bytes(metadata, halved(model.network.state_dict()))
        write_bytes(out / f"{name}.pt", content)
    predictions = [model.path.with_name(PREDICTIONS) for name, model in models.items() if name != "all"]
    task = arm.parents[1]
    strata = StudyLayout(task.parent).strata_csv(task.name)
    return [*(out / f"{name}.pt" for name in models), *_measure(predictions, strata, first, out)]


def ship_detectors(onsets: Path, out: Path) -> list[Path]:
    """Copy the detectors of a study, their settings and how they, without the baselines, were measured.

    Args:
        onsets: `results/<study>/onsets`, one seed.
        out: The folder to fill.

    Returns:
        What was written.

    Raises:
        InputError: a network is missing or damaged, there are several seeds, the settings are of other networks, or
            the folder holds networks of other folds.
    """
    from siwcc.training.rhythm_checkpoint import read_rhythm_model

    settings = read_onset_settings(onsets / ONSETS)
    models = [read_rhythm_model(path) for path in sorted(onsets.glob(FOLD_MODELS))]
    names = [fold_name(model.metadata.fold) for model in models]
    if len(set(names)) < len(names):
        raise InputError(onsets, "holds networks of several seeds", "leave those of one")
    if {model.metadata.weights_sha256 for model in models} != set(settings.weights_sha256):
        raise InputError(onsets / ONSETS, "is of other networks than those next to it", "run the study again")
    check_model_folder(out, names, has_calibration=False)
    copied = {out / f"{name}.pt": model.path for name, model in zip(names, models, strict=True)}
    tables = StudyLayout(onsets.parent)
    copied |= {out / ONSETS: onsets / ONSETS}
    for path, source in copied.items():
        write_bytes(path, source.read_bytes())
    written = list(copied)
    for name, kind in _SHIPPED_TABLES.items():
        written.append(out / table_name(name))
        lines = [line for line in read_lines(tables.table(name), kind) if line.method == NETWORK]
        write_onset_table(written[-1], kind, lines)
    return written


def _sources(arm: Path, with_all: bool) -> dict[str, Path]:
    """The network of every fold and, where it is wanted, that of all of them, by the name that they get."""
    task, encoding, variant = arm.parts[-3:]
    study = StudyLayout(arm.parents[2])
    folds = read_folds_csv(study.folds_csv(task))
    wanted = {fold_name(fold) for fold in ((NO_FOLD, *folds) if with_all else folds)}
    sources = study.found_models(task, encoding, variant)
    if not with_all:
        sources.pop(fold_name(NO_FOLD), None)
    missing, foreign = sorted(wanted - sources.keys()), sorted(sources.keys() - wanted)
    if missing:
        problem = f"lacks {missing[0]}/seed<s>/{MODEL}, and the study has {len(folds)} folds"
        raise InputError(arm, problem, "train it: make models STUDY=<study>")
    if foreign:
        raise InputError(arm, f"holds {foreign[0]}, and the study has {len(folds)} folds", "delete it")
    if any(len(paths) > 1 for paths in sources.values()):
        raise InputError(arm, "holds networks of several seeds", "leave those of one")
    return {name: path for name, (path,) in sources.items()}


def check_model_folder(out: Path, names: Iterable[str], has_calibration: bool) -> None:
    """Refuse a folder with what would be taken for a network of these, or for their confidence.

    Args:
        out: The folder to fill; it need not exist.
        names: Of the networks, without `.pt`.
        has_calibration: Whether a calibration is written with them.

    Raises:
        InputError: names the first foreign file.
    """
    written = {f"{name}.pt" for name in names} | ({CALIBRATION} if has_calibration else set())
    foreign = sorted({path.name for path in (*out.glob("fold*.pt"), *out.glob(CALIBRATION))} - written)
    if foreign:
        raise InputError(out / foreign[0], "is of other networks and would stay beside these", "delete it")


def model_limits(model: TrainedModel) -> ErrorLimits:
    """What counts as close in the task of a network."""
    settings = parse_task(model.spec, model.metadata.task_protocol)
    return task_module(model.spec.kind).error_limits(model.spec, settings.limits)


def _measure(predictions: Sequence[Path], strata: Path, model: TrainedModel, out: Path) -> list[Path]:
    limits = model_limits(model)
    errors = measure_study(predictions, [], [strata], {model.key.task: limits})
    written = [out / table_name("errors"), out / table_name("errors_by_stratum")]
    write_errors(written[0], errors.overall)
    write_errors_by_stratum(written[1], errors.by_stratum)
    if model.key.variant in MAP_VARIANTS:
        write_calibration(out / CALIBRATION, calibrate_arm(predictions, strata, limits))
        written.append(out / CALIBRATION)
    return written
