"""Trained models by file, by folder, or by the name of a task: the model that comes with siwcc."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import siwcc
from siwcc.evaluation.calibration_file import Calibration, load_calibration
from siwcc.evaluation.onset_settings import ONSETS, read_onset_settings
from siwcc.inference.onset_detector import OnsetDetector
from siwcc.inference.predictor import Predictor
from siwcc.io.console import warn
from siwcc.io.errors import InputError
from siwcc.io.spelling import did_you_mean
from siwcc.io.study_layout import CALIBRATION, FOLD_MODELS
from siwcc.training.checkpoint import read_model
from siwcc.training.rhythm_checkpoint import may_be_rhythm_model, read_rhythm_model

Source = str | os.PathLike[str]

ANY_MODEL = "name a model.pt, a folder of models, or ecg or nuclei"

ONSETS_FOLDER = "onsets"
"""Where the detectors lie in a folder of localisers."""

_ELSEWHERE = "name another with --calibration"


def load_model(source: Source | Sequence[Source], calibration: Source | None = None) -> Predictor:
    """Trained networks, ready to predict; several predict together. Reading a model runs nothing that is in it.

    Args:
        source: `ecg` or `nuclei`, the models that come with siwcc; or a `model.pt`; or a folder, see `find_models`; or
            several of these.
        calibration: A `calibration.json` to use in place of the one next to the models.

    Raises:
        InputError: nothing there, a file that is damaged or foreign, networks that do not take the same input, or a
            calibration for other networks.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    paths = [existing(Path(one)) for one in sources]
    models = [read_model(path) for path in dict.fromkeys(found for path in paths for found in find_models(path))]
    predictor = Predictor(models)
    file = Path(calibration) if calibration is not None else _beside(paths) if predictor.makes_map else None
    if file is None:
        return predictor
    found = load_calibration(file)
    _check_made_for(file, found, predictor)
    return Predictor(models, found, file)


def load_detector(source: Source | Sequence[Source]) -> OnsetDetector:
    """Trained networks that find every onset in a whole recording. Reading one runs nothing that is in it.

    Args:
        source: `ecg`, the model that comes with siwcc; or a detector's file; or a folder of detectors, or with such a
            folder named `onsets`; or several of these. Settings are read from the `onsets.json` next to the networks.

    Raises:
        InputError: nothing there, a file that is damaged or foreign or a localiser, networks that do not take the same
            input, or settings for other networks.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    places = [_detectors_at(existing(Path(one))) for one in sources]
    paths = dict.fromkeys(found for place in places for found in find_models(place))
    files = list(dict.fromkeys(_settings_beside(path) for path in paths))
    if len(files) > 1:
        warn(f"{next(filter(None, files))}: is not of all networks that predict, and is not used")
    file = files[0] if len(files) == 1 else None
    settings = None if file is None else read_onset_settings(file)
    return OnsetDetector([read_rhythm_model(path) for path in paths], settings, file)


def holds_detector(source: Source) -> bool:
    """Whether a model's file or folder is one of detectors, or is a folder with one named `onsets`.

    Raises:
        InputError: nothing there, or a folder without a model.
    """
    place = existing(Path(source))
    if _detectors_at(place) != place or (place / ONSETS).is_file():
        return True
    return may_be_rhythm_model(find_models(place)[0])


def _detectors_at(place: Path) -> Path:
    return place / ONSETS_FOLDER if (place / ONSETS_FOLDER).is_dir() else place


def _settings_beside(path: Path) -> Path | None:
    """The settings next to a detector, or in the folder of a study's detectors."""
    return _beside_or_of_arm(path.parent, ONSETS)


def resolve(source: Path) -> Path:
    """The folder of a model that comes with siwcc, for its name; any other path, and a file of that name, as it is."""
    if source.name != str(source) or source.exists():
        return source
    places = (folder / source for folder in _shipped_folders())
    return next((place for place in places if place.is_dir()), source)


def existing(source: Path) -> Path:
    """`resolve`, of what exists.

    Raises:
        InputError: nothing there; names the model that comes with siwcc where it may be meant.
    """
    path = resolve(source)
    if path.exists():
        return path
    shipped = shipped_models()
    # models/ecg, outside of the repository.
    named = next((part for part in reversed(source.parts) if part in shipped), "")
    meant = f"did you mean {named!r}?" if named else did_you_mean(source.name, shipped)
    raise InputError(source, "does not exist", f"{meant} {ANY_MODEL}".strip())


def shipped_models() -> list[str]:
    """Names of the models that come with siwcc, sorted."""
    return sorted({place.name for folder in _shipped_folders() for place in folder.glob("*/") if place.is_dir()})


def _shipped_folders() -> tuple[Path, Path]:
    # In the installed package, and in a copy of the repository.
    package = Path(siwcc.__file__).resolve().parent
    return package / "models", package.parent / "models"


def find_models(source: Path) -> list[Path]:
    """The models in a folder, or a file itself.

    Args:
        source: A file; or a folder: of what is there the first of its `fold*.pt`, its `*.pt`, and the
            `fold*/seed*/model.pt` of a study's encoding and variant.

    Returns:
        Sorted paths. `all.pt`, trained on every fold, is left out beside models of single folds.

    Raises:
        InputError: the folder holds no model.
    """
    if not source.is_dir():
        return [source]
    for pattern in ("fold*.pt", "*.pt", FOLD_MODELS):
        found = sorted(path for path in source.glob(pattern) if not path.name.startswith("."))
        if found:
            return found
    remedy = "name a model.pt, or a folder such as results/<study>/ecg/none/heatmap"
    raise InputError(source, f"holds no model (fold*.pt, *.pt, {FOLD_MODELS})", remedy)


def find_single_model(source: Path) -> Path:
    """One model: a file, or of a folder `all.pt`, which was trained on every fold, or else its only model.

    Args:
        source: A file, a folder, or the name of a model that comes with siwcc.

    Raises:
        InputError: nothing there, or a folder of several models without `all.pt`.
    """
    path = existing(source)
    if not path.is_dir():
        return path
    if (path / "all.pt").is_file():
        return path / "all.pt"
    first, *others = find_models(path)
    if others:
        raise InputError(source, f"has {1 + len(others)} models and no all.pt", f"name one, such as {first}")
    return first


def find_calibration(source: Path) -> Path | None:
    """The calibration next to a model, in a folder of models, or in that of a study's encoding and variant."""
    return _beside_or_of_arm(source if source.is_dir() else source.parent, CALIBRATION)


def _beside_or_of_arm(folder: Path, name: str) -> Path | None:
    """A file in a model's folder, or in that of all folds of a study."""
    arm = folder.parent.parent if folder.name.startswith("seed") else folder
    return next((path for path in (folder / name, arm / name) if path.is_file()), None)


def _beside(sources: Sequence[Path]) -> Path | None:
    every = [find_calibration(source) for source in sources]
    found = list(dict.fromkeys(path for path in every if path is not None))
    if not found:
        return None
    if len(found) > 1 or None in every:
        warn(f"{found[0]}: is not of all models that predict, and is not used; {_ELSEWHERE}")
        return None
    return found[0]


def _check_made_for(path: Path, calibration: Calibration, predictor: Predictor) -> None:
    wanted = (calibration.task, calibration.encoding, calibration.variant)
    for model in predictor.models:
        found = (model.key.task, model.key.encoding, model.key.variant)
        if found != wanted:
            problem = f"is made for networks {'/'.join(wanted)}, and {model.path} is {'/'.join(found)}"
            raise InputError(path, problem, f"{_ELSEWHERE}, or take it away")
    if calibration.unit != predictor.spec.unit:
        raise InputError(path, f"has a limit in {calibration.unit}, and the models predict in {predictor.spec.unit}")
