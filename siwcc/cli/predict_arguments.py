"""Arguments of `siwcc predict` that are mixed up: each is one line with what to type, before a model is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from siwcc.inference.inputs import IMAGE_SUFFIXES, kind_of, name_of
from siwcc.inference.loading import ANY_MODEL, existing, find_models, resolve
from siwcc.io.errors import InputError
from siwcc.io.run_key import LOG, PREDICTIONS
from siwcc.io.study_layout import CALIBRATION, StudyLayout, table_name

_ANY_STUDY = StudyLayout(Path())
_TABLES = (
    LOG,
    PREDICTIONS,
    *(path.name for path in (_ANY_STUDY.folds_csv("ecg"), _ANY_STUDY.strata_csv("ecg"))),
    table_name("errors"),
    table_name("errors_by_stratum"),
)


def check_arguments(model: Path, inputs: Sequence[Path]) -> None:
    """Refuse a model and inputs of which one is in the other's place.

    Args:
        model: As it was given in the place of the model.
        inputs: The others, models among them.

    Raises:
        InputError: a recording or image, or another file of siwcc, in the place of the model; a folder, or another file
            of siwcc, in that of a recording.
    """
    what = _what_instead(model)
    if what:
        swapped = next((path for path in inputs if _is_model(path)), None)
        if swapped is not None:
            problem = f"is {what}, and the model is to be named first"
            raise InputError(model, problem, f"siwcc predict {swapped} {model}")
        raise InputError(model, f"is {what}, no model", _remedy_for(model))
    existing(model)
    for path in inputs:
        _check_input(path)


def once_per_record(inputs: Sequence[Path]) -> dict[Path, list[Path]]:
    """The inputs, each with the files that were given for it: a record's .atr, .dat and .hea are one input.

    Args:
        inputs: As they were given; a record that was given by several of its files is listed without an extension.
    """
    files: dict[Path, list[Path]] = {}
    for path in inputs:
        files.setdefault(path.with_name(name_of(path)) if kind_of(path) == "wfdb" else path, []).append(path)
    return {named if len(given) > 1 else given[0]: given for named, given in files.items()}


def check_rate(inputs: Sequence[Path]) -> None:
    """Refuse a sampling rate that no input takes.

    Raises:
        InputError: none is a CSV.
    """
    if all(kind_of(path) in ("wfdb", "edf") for path in inputs):
        raise InputError("--rate", f"is for CSV recordings, and {inputs[0]} contains its sampling rate", "leave it out")


def _what_instead(path: Path) -> str:
    """What is in the place of a model; empty for what may be one."""
    if path.name == CALIBRATION:
        return "a calibration"
    if path.suffix == ".h5":
        return "a file of samples"
    if path.name in _TABLES:
        return "a table of a study"
    if path.suffix == ".json":
        return "a JSON file"
    if path.suffix == ".csv":
        return "a CSV"
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "an image"
    return "a recording" if _is_record(path) else ""


def _remedy_for(path: Path) -> str:
    try:
        # Tables are next to a run's model; a calibration is in the folder of the models.
        found = find_models(path.parent)
    except InputError:
        return f"{ANY_MODEL}, then what is to be predicted"
    return f"name the folder of models: {path.parent}" if len(found) > 1 else f"name the model: {found[0]}"


def _is_record(path: Path) -> bool:
    if path.is_dir() or resolve(path) != path:
        return False
    return kind_of(path) == "wfdb" and (path.parent / f"{name_of(path)}.hea").is_file()


def _is_model(path: Path) -> bool:
    if path.suffix == ".pt":
        return True
    try:
        return resolve(path).is_dir() and bool(find_models(resolve(path)))
    except InputError:
        return False


def _check_input(path: Path) -> None:
    if path.suffix == ".h5" or path.name in (CALIBRATION, *_TABLES):
        raise InputError(path, f"is {_what_instead(path)}, no recording or image", "name what is to be predicted")
    # A record may be next to a folder of its name.
    if not path.is_dir() or (path.parent / f"{path.name}.hea").is_file():
        return
    if _is_model(path):
        raise InputError(path, "is a folder of models", f"give further models as --model {path}")
    kinds = Counter(file.suffix for file in path.iterdir() if file.suffix.lower() in (*IMAGE_SUFFIXES, ".csv", ".hea"))
    if not kinds:
        raise InputError(path, "is a folder without recordings and images", "name files")
    suffix = kinds.most_common(1)[0][0]
    if suffix == ".hea":
        record = min(file for file in path.iterdir() if file.suffix == suffix).with_suffix("")
        raise InputError(path, "is a folder", f"name a record in it, such as {record}, or all: {path}/*.hea")
    raise InputError(path, "is a folder, no recording or image", f"name its files: {path}/*{suffix}")
