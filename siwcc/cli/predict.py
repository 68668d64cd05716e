"""`siwcc predict`: trained networks on new recordings and images."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from siwcc.inference.inputs import (
    SignalFile,
    group_of,
    kind_of,
    name_of,
    read_image,
    read_signal_file,
    rhythm_changes_of,
)
from siwcc.io.console import note, progress_bar, shows_bars, warn
from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes
from siwcc.io.study_layout import FOLD_MODELS
from siwcc.io.tables import six_decimals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from siwcc.inference.acceptance import Acceptance
    from siwcc.inference.predictor import Prediction, Predictor, Progress

PLOT_KINDS = (".png", ".svg", ".pdf")

_MODEL_SUFFIX = ".pt"
# Of a predictor's own messages about what it was given: the line names the file instead.
_OF_ARRAY = ("array", "rate_hz")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Predicted:
    """An input with its predictions.

    Attributes:
        path: As it was given.
        predictions: One an image, one a window of a recording.
        seen: Those of the networks in use that were trained on it, by its name.
        signal: None for an image.
    """

    path: Path
    predictions: list[Prediction]
    seen: tuple[Path, ...]
    signal: SignalFile | None


@dataclass(frozen=True)
class _Told:
    """What is kept of an input until all are predicted: neither its signal nor its maps.

    Attributes:
        rows: For standard output.
        leads: What to note of its leads; empty for nothing.
        unmarked: Why it was drawn without its annotations; empty where it was not.
    """

    rows: list[dict[str, Any]]
    leads: str
    unmarked: str


def run(options: argparse.Namespace) -> int:
    """Run `siwcc predict`: predictions on standard output, everything else on standard error.

    Raises:
        InputError: no model, an input that cannot be read, or one that the models are not made for.
    """
    inputs = [path for path in options.inputs if path.suffix != _MODEL_SUFFIX]
    sources = [options.model, *(path for path in options.inputs if path.suffix == _MODEL_SUFFIX), *options.more]
    _check_options(options, inputs)
    plots = plot_paths(options.plot, inputs) if options.plot is not None else {}

    from siwcc.inference.acceptance import accept
    from siwcc.inference.predictor import load_models

    predictor = load_models(list(dict.fromkeys(path for source in sources for path in find_models(source))))
    _check_kinds(predictor, inputs, options)
    from_folder = any(source.is_dir() for source in sources)
    chosen = [_choose_models(predictor, path, options.unseen_only, from_folder) for path in inputs]
    _explain(predictor, inputs, chosen)
    accepted = accept(predictor, sources, options.calibration, options.min_confidence, options.at_least)
    with _drafts(plots) as drafts:
        with _progress(inputs) as progress:
            told = {
                path: _tell(_predict(path, used, seen, options, progress), predictor, accepted, drafts.get(path))
                for path, (used, seen) in zip(inputs, chosen, strict=True)
            }
        for item in told.values():
            if item.leads:
                note(item.leads)
        for path, figure in plots.items():
            _publish(drafts[path], figure, told[path].unmarked)
    rows = [row for item in told.values() for row in item.rows]
    _write(rows, predictor.task, accepted.column, options.format)
    return 0


# ------------------------------------------------------------------- choices


def find_models(source: Path) -> list[Path]:
    """The models that a path stands for.

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


def plot_paths(wanted: Path, inputs: Sequence[Path]) -> dict[Path, Path]:
    """Where the figure of each input goes: `wanted` for a single one, else its stem, a hyphen and the input's name.

    Raises:
        InputError: another extension than .png, .svg and .pdf, a figure in the place of an input, or two inputs of
            one name.
    """
    if wanted.suffix.lower() not in PLOT_KINDS:
        raise InputError("--plot", f"{wanted} does not end in {', '.join(PLOT_KINDS)}")
    several = len(inputs) > 1
    names = [f"{wanted.stem}-{name_of(path)}{wanted.suffix}" if several else wanted.name for path in inputs]
    paths = dict(zip(inputs, (wanted.with_name(name) for name in names), strict=True))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError("--plot", f"two inputs would be drawn to {twice[0]}", "give one of them in another command")
    originals = {path.resolve() for path in inputs}
    for path in paths.values():
        if path.resolve() in originals:
            raise InputError("--plot", f"{path} is one of the inputs", "choose another file")
    return paths


def _check_options(options: argparse.Namespace, inputs: Sequence[Path]) -> None:
    if not inputs:
        raise InputError("siwcc predict", "is given models alone", "name records or images behind them")
    if len(set(inputs)) < len(inputs):
        raise InputError("siwcc predict", "is given an input twice")
    for name in ("min_confidence", "at_least"):
        if not 0 <= getattr(options, name) <= 1:
            raise InputError(f"--{name.replace('_', '-')}", f"is {getattr(options, name):g}", "give a share, 0 ... 1")
    if options.every is not None and not (math.isfinite(options.every) and options.every > 0):
        raise InputError("--every", f"is {options.every:g} s", "give seconds above 0")
    if options.rate is not None and not (math.isfinite(options.rate) and options.rate > 0):
        raise InputError("--rate", f"is {options.rate:g} Hz", "give the sampling rate in Hz, above 0")
    if options.leads is not None and (min(options.leads) < 0 or len(set(options.leads)) < len(options.leads)):
        raise InputError("--leads", f"is {' '.join(map(str, options.leads))}", "give different numbers, from 0")


def _check_kinds(predictor: Predictor, inputs: Sequence[Path], options: argparse.Namespace) -> None:
    for path in inputs:
        is_image = kind_of(path) == "image"
        if is_image != (predictor.task == "nuclei"):
            kinds = ("an image", "recordings") if is_image else ("no image", "images")
            raise InputError(path, f"is {kinds[0]}, and {predictor.paths[0]} is made for {kinds[1]}")
        for name in ("at", "every", "rate", "leads"):
            if is_image and getattr(options, name) is not None:
                raise InputError(f"--{name}", "has no meaning for images", "leave it out")


def _choose_models(
    predictor: Predictor, path: Path, unseen_only: bool, from_folder: bool
) -> tuple[Predictor, tuple[Path, ...]]:
    """The networks that predict for an input, and those of them that were trained on it.

    Of a folder the unseen ones are taken where there are some: there its five networks stand for one.
    """
    seen = [
        model.path
        for model in predictor.models
        if group_of(path, str(model.metadata.dataset_protocol.get("format"))) in model.metadata.training_groups
    ]
    others = predictor.without(seen) if seen and (unseen_only or from_folder) else None
    if others is not None:
        return others, ()
    if seen and unseen_only:
        problem = "every model was trained on a record or slide image of this name"
        raise InputError(path, problem, "leave --unseen-only out, and do not take the prediction for a test")
    return predictor, tuple(seen)


def _predict(
    path: Path, used: Predictor, seen: tuple[Path, ...], options: argparse.Namespace, progress: Progress | None
) -> Predicted:
    try:
        if used.task == "nuclei":
            found = [used.predict(read_image(path))]
            if progress is not None:
                progress(1, 1)
            return Predicted(path, found, seen, None)
        signal = read_signal_file(path, used.leads, options.leads, options.rate)
        found = used.predict_windows(signal.signal_mv, signal.rate_hz, options.at, options.every, progress)
        return Predicted(path, found, seen, signal)
    except InputError as error:
        if error.where in _OF_ARRAY:
            raise InputError(path, error.problem, error.remedy) from error
        raise


def _tell(item: Predicted, predictor: Predictor, accepted: Acceptance, draft: Path | None) -> _Told:
    unmarked = "" if draft is None else _draw(item, draft, accepted)
    leads = "" if item.signal is None else _leads_note(item.signal, predictor)
    return _Told(list(_rows_of(item, predictor.task, accepted)), leads, unmarked)


# ------------------------------------------------------------ standard error


def _explain(
    predictor: Predictor, inputs: Sequence[Path], chosen: Sequence[tuple[Predictor, tuple[Path, ...]]]
) -> None:
    """What is assumed, and which networks predict where not all do or some should not be trusted; a line each."""
    thing = "an event in each window, the first of several," if predictor.task == "ecg" else "a point in each image"
    tells = len(predictor.spec.points) > 1 and predictor.tells_visible
    but = "says of each point whether it is visible" if tells else "always returns a prediction"
    note(f"a localiser assumes {thing} and {but}; for research, not for clinical decisions")
    alone: dict[tuple[Path, ...], list[Path]] = {}
    seen_by: dict[tuple[Path, ...], list[Path]] = {}
    for path, (used, seen) in zip(inputs, chosen, strict=True):
        if used is not predictor:
            alone.setdefault(used.paths, []).append(path)
        if seen:
            seen_by.setdefault(seen, []).append(path)
    for models, paths in alone.items():
        note(f"{_listed(paths)}: predicted by {_listed(models)} only, as the others were trained on that name")
    for models, paths in seen_by.items():
        warn(f"{_listed(paths)}: {_listed(models)} trained on that name; this is no test of them")


def _listed(paths: Sequence[Path]) -> str:
    named = ", ".join(map(str, paths[:_MOST_NAMED]))
    return f"{named} and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else named


def _leads_note(signal: SignalFile, predictor: Predictor) -> str:
    """Which leads were taken where there was a choice, or too few; else nothing."""
    wanted = predictor.spec.channels
    named = ", ".join(
        f"{lead} ({name})" if name else str(lead) for lead, name in zip(signal.leads, signal.lead_names, strict=True)
    )
    if len(signal.leads) < wanted:
        how = "silent, as in training" if predictor.silences_leads else "a copy of it"
        return f"{signal.path}: lead {named} alone; the model takes {wanted}, the other is {how}"
    return f"{signal.path}: leads {named} of {signal.available}" if signal.available > wanted else ""


@contextmanager
def _progress(inputs: Sequence[Path]) -> Iterator[Progress | None]:
    """One bar for the files and one for the windows of the present file; None where no bars are shown."""
    with progress_bar(shows_bars()) as bars:
        if bars is None:
            yield None
            return
        files = bars.add_task("files", total=len(inputs))
        windows = bars.add_task("windows", total=None)

        def show(done: int, total: int) -> None:
            bars.update(windows, completed=done, total=total)
            if done == total:
                bars.advance(files)

        yield show


# ----------------------------------------------------------- standard output


def _rows_of(item: Predicted, task: str, accepted: Acceptance) -> Iterator[dict[str, Any]]:
    """One row per prediction, of several points one per point; numbers have six decimals, unknown is None."""
    from siwcc.inference.acceptance import not_found

    for prediction in (point for of_window in item.predictions for point in of_window.points):
        found = accepted.is_found(prediction)
        row: dict[str, Any] = {"input": str(item.path)}
        if prediction.window_s is not None:
            row |= {
                "window_start_s": six_decimals(prediction.window_s[0]),
                "window_end_s": six_decimals(prediction.window_s[1]),
            }
        if prediction.point:
            row["point"] = prediction.point
        row["result"] = "found" if found else not_found(prediction, task)
        axes = ("",) if len(prediction.position) == 1 else ("x_", "y_")
        for number, axis in enumerate(axes):
            row |= _numbers_of(prediction, number, "prediction_" if axis == "" else axis, found)
        row["confidence"] = six_decimals(prediction.confidence)
        if accepted.column:
            row[accepted.column] = six_decimals(accepted.probability(prediction))
        if prediction.point:
            row["visible"] = six_decimals(prediction.visible)
        row["models"] = len(prediction.models)
        row["models_that_saw_it"] = len(item.seen)
        if prediction.window_s is not None:
            row["no_signal_s"] = six_decimals(prediction.no_signal_s)
        yield row | {"of_each": _of_each(prediction, axes)}


def _numbers_of(prediction: Prediction, axis: int, name: str, found: bool) -> dict[str, float | None]:
    spread, unit = prediction.spread, prediction.unit
    stem = "" if name == "prediction_" else name
    return {
        f"{name}{unit}": six_decimals(prediction.position[axis]) if found else None,
        f"{stem}lowest_{unit}": six_decimals(spread.lowest[axis]) if spread and found else None,
        f"{stem}highest_{unit}": six_decimals(spread.highest[axis]) if spread and found else None,
        f"{stem}sd_{unit}": six_decimals(spread.sd[axis]) if spread and found else None,
    }


def _of_each(prediction: Prediction, axes: Sequence[str]) -> list[dict[str, Any]]:
    names = [f"{axis or 'prediction_'}{prediction.unit}" for axis in axes]
    return [
        {
            "model": str(path),
            **dict(zip(names, map(six_decimals, prediction.tolist()), strict=True)),
            "confidence": six_decimals(confidence),
        }
        for path, prediction, confidence in zip(
            prediction.models, prediction.network_positions, prediction.confidences.tolist(), strict=True
        )
    ]


def _write(rows: Sequence[dict[str, Any]], task: str, column: str, kind: str) -> None:
    if kind == "json":
        sys.stdout.write(json.dumps(rows, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        return
    if kind == "csv":
        sys.stdout.write(_as_csv(rows))
        return
    several = "point" in rows[0]
    added = [_headed(column)] if column else []
    head = [*_HEADS[task][:1], *(["point"] if several else []), *_HEADS[task][1:], *added, "models"]
    lines = [[*_cells(row, task), *([_fixed(row[column], 2)] if column else []), str(row["models"])] for row in rows]
    if not sys.stdout.isatty():
        sys.stdout.write(_as_text([head, *lines]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head)
    for line in lines:
        # Not as markup: a file's name may have brackets.
        table.add_row(*map(Text, line))
    Console().print(table)


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    columns = [name for name in rows[0] if name != "of_each"]
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
    )
    return buffer.getvalue()


_HEADS = {
    "ecg": ["recording", "window (s)", "prediction (s)", "lowest .. highest", "SD", "confidence"],
    "nuclei": ["image", "x (px)", "lowest .. highest", "y (px)", "lowest .. highest", "confidence"],
}


def _headed(column: str) -> str:
    """`within 10 %` for `within_10_percent`."""
    return column.replace("_percent", " %").replace("_", " ")


def _cells(row: dict[str, Any], task: str) -> list[str]:
    found = row["result"] == "found"
    confidence = _fixed(row["confidence"], 2)
    named = [row["input"], *([row["point"]] if "point" in row else [])]
    if task == "ecg":
        window = f"{row['window_start_s']:.2f} .. {row['window_end_s']:.2f}"
        prediction = _fixed(row["prediction_s"], 2) if found else row["result"]
        spread = _between(row["lowest_s"], row["highest_s"], 2)
        return [*named, window, prediction, spread, _fixed(row["sd_s"], 2), confidence]
    x = _fixed(row["x_px"], 1) if found else row["result"]
    spreads = [_between(row[f"{axis}_lowest_px"], row[f"{axis}_highest_px"], 1) for axis in "xy"]
    return [*named, x, spreads[0], _fixed(row["y_px"], 1), spreads[1], confidence]


def _fixed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _between(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None else f"{_fixed(low, digits)} .. {_fixed(high, digits)}"


def _as_text(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "".join("  ".join(map(str.ljust, line, widths)).rstrip() + "\n" for line in lines)


# --------------------------------------------------------------------- plots


@contextmanager
def _drafts(plots: Mapping[Path, Path]) -> Iterator[dict[Path, Path]]:
    """Where the figure of each input waits until all are predicted: one that fails leaves no figure at all."""
    if not plots:
        yield {}
        return
    with TemporaryDirectory() as folder:
        yield {path: Path(folder) / f"{number}{figure.suffix}" for number, (path, figure) in enumerate(plots.items())}


def _publish(draft: Path, figure: Path, unmarked: str) -> None:
    if unmarked:
        warn(unmarked)
    write_bytes(figure, draft.read_bytes())
    note(f"drew {figure}")


def _draw(item: Predicted, draft: Path, accepted: Acceptance) -> str:
    """Draw an input; why its annotations are not in the figure, or nothing."""
    from siwcc.report.figures.style import save_figure_as

    try:
        changes, unmarked = rhythm_changes_of(item.path), ""
    except InputError as error:
        # A figure without marks is better than none.
        changes, unmarked = [], f"{error}; drawn without its annotations"
    save_figure_as(_figure_of(item, accepted, changes), draft)
    return unmarked


def _figure_of(item: Predicted, accepted: Acceptance, changes: Sequence[tuple[float, str]]) -> Figure:
    from siwcc.report.figures.user_predictions import plot_image, plot_recording

    found = [[accepted.is_found(point) for point in prediction.points] for prediction in item.predictions]
    # Fonts have no sign for a byte that is no text.
    titled = item.path.with_name(item.path.name.encode(errors="backslashreplace").decode())
    if item.signal is None:
        return plot_image(read_image(item.path), item.predictions[0], found[0], name_of(titled))
    return plot_recording(replace(item.signal, path=titled), item.predictions, found, changes)
