"""`siwcc predict`: trained networks on new recordings and images."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from siwcc.config import Kind
from siwcc.inference.inputs import SignalFile, groups_of, kind_of, name_of, rhythm_changes_of
from siwcc.inference.signal_blocks import Extent, SignalBlocks
from siwcc.io.console import note, progress_bar, shows_bars, warn
from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes
from siwcc.io.lead_numbers import check_lead_option, lead_indices
from siwcc.io.tables import aligned, six_decimals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from siwcc.inference.acceptance import Acceptance
    from siwcc.inference.prediction import Prediction, Predictions
    from siwcc.inference.predictor import Predictor, Progress

PLOT_KINDS = (".png", ".svg", ".pdf")

_MODEL_SUFFIX = ".pt"
_MOST_NAMED = 5
# On a contact sheet.
_MOST_IMAGES = 60


@dataclass(frozen=True)
class Predicted:
    """An input with its predictions.

    Attributes:
        path: As it was given.
        predictions: One an image, one a window of a recording.
        seen: Those of the networks in use that were trained on it, by its name.
    """

    path: Path
    predictions: Predictions
    seen: tuple[Path, ...]


@dataclass(frozen=True)
class _Told:
    """What is kept of an input until all are predicted: neither its signal nor its maps.

    Attributes:
        rows: For standard output.
        leads: What to note of its leads, a line each.
        unmarked: Why it was drawn without its annotations; empty where it was not.
    """

    rows: list[dict[str, Any]]
    leads: list[str]
    unmarked: str


def run(options: argparse.Namespace) -> int:
    """Run `siwcc predict`: predictions on standard output, everything else on standard error.

    Raises:
        InputError: no model, an input that cannot be read, or one that the models are not made for.
    """
    from siwcc.cli.predict_arguments import check_arguments, check_rate, once_per_record

    check_arguments(options.model, options.inputs)
    given = [path for path in options.inputs if path.suffix != _MODEL_SUFFIX]
    sources = [options.model, *(path for path in options.inputs if path.suffix == _MODEL_SUFFIX), *options.more]
    _check_options(options, given)
    files = once_per_record(given)
    inputs = list(files)
    if options.rate is not None:
        check_rate(inputs)
    # Several images are drawn on one contact sheet, several recordings one by one.
    on_sheet = len(inputs) > 1 and all(kind_of(path) == "image" for path in inputs)
    plots = {} if options.plot is None else plot_paths(options.plot, inputs, on_sheet)

    from siwcc.cli import predict_onsets

    if predict_onsets.wants_onsets(options, sources):
        return predict_onsets.run(options, sources, files, plots)
    from siwcc.inference.acceptance import accept, note_calibration
    from siwcc.inference.loading import load_model
    from siwcc.training.torch_setup import keep_large_buffers

    # Each batch or image takes as much memory as the one before it.
    keep_large_buffers()
    predictor = load_model(sources, options.calibration)
    _check_kinds(predictor, inputs, options)
    from_folder = len(predictor.models) > len(sources)
    chosen = [_choose_models(predictor, path, options.unseen_only, from_folder) for path in inputs]
    accepted = accept(predictor, options.min_confidence, options.at_least)
    with drafts_of(plots) as drafts:
        with input_progress(inputs) as progress:
            told, sheet = {}, list[Predicted]()
            for path, (used, seen) in zip(inputs, chosen, strict=True):
                draft = None if on_sheet else drafts.get(path)
                if draft is None and used.kind == "signal":
                    told[path] = _tell_in_blocks(path, used, seen, options, progress, accepted)
                    continue
                item = _predict(path, used, seen, options, progress)
                if on_sheet and plots and len(sheet) < _MOST_IMAGES:
                    sheet.append(item)
                told[path] = _tell(item, used, options, accepted, draft)
                # Before the next file is read: a signal takes as much memory as all the rest.
                del item
        if sheet:
            _draw_sheet(sheet, len(inputs), drafts[inputs[0]], accepted)
        # Not before: an error comes without notes on what was not predicted.
        _explain(predictor, inputs, chosen)
        note_repeats(files)
        note_calibration(predictor)
        for one in told.values():
            for line in one.leads:
                note(line)
        for path, figure in plots.items():
            publish(drafts[path], figure, told[path].unmarked)
    rows = [row for one in told.values() for row in one.rows]
    _write(rows, predictor.kind, predictor.probability_name, options.format)
    return 0


# ------------------------------------------------------------------- choices


def plot_paths(wanted: Path, inputs: Sequence[Path], on_sheet: bool = False) -> dict[Path, Path]:
    """Where the figure of each input goes: `wanted` for a single one, else its stem, a hyphen and the input's name.

    On a contact sheet all inputs have one figure, which is listed for the first.

    Raises:
        InputError: another extension than .png, .svg and .pdf, a figure in the place of an input, or two inputs of
            one name.
    """
    if wanted.suffix.lower() not in PLOT_KINDS:
        raise InputError("--plot", f"{wanted} does not end in {', '.join(PLOT_KINDS)}")
    several = len(inputs) > 1 and not on_sheet
    originals = {path.resolve() for path in inputs}
    inputs = inputs[:1] if on_sheet else inputs
    names = [f"{wanted.stem}-{name_of(path)}{wanted.suffix}" if several else wanted.name for path in inputs]
    paths = dict(zip(inputs, (wanted.with_name(name) for name in names), strict=True))
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError("--plot", f"two inputs would be drawn to {twice[0]}", "give one of them in another command")
    for path in paths.values():
        if path.resolve() in originals:
            raise InputError("--plot", f"{path} is one of the inputs", "choose another file")
    return paths


def _check_options(options: argparse.Namespace, inputs: Sequence[Path]) -> None:
    if not inputs:
        raise InputError("siwcc predict", "is given models alone", "name records or images behind them")
    for path, count in Counter(inputs).items():
        if count > 1:
            raise InputError(path, f"is given {count} times", "give it once")
    for name in ("min_confidence", "at_least"):
        if not 0 <= getattr(options, name) <= 1:
            raise InputError(
                f"--{name.replace('_', '-')}", f"is {getattr(options, name):g}", "give a fraction, 0 ... 1"
            )
    if options.every is not None and not (math.isfinite(options.every) and options.every > 0):
        raise InputError("--every", f"is {options.every:g} s", "give seconds above 0")
    if options.rate is not None and not (math.isfinite(options.rate) and options.rate > 0):
        raise InputError("--rate", f"is {options.rate:g} Hz", "give the sampling rate in Hz, above 0")
    if options.leads is not None:
        check_lead_option(options.leads)
        options.leads = lead_indices(options.leads)


def _check_kinds(predictor: Predictor, inputs: Sequence[Path], options: argparse.Namespace) -> None:
    for path in inputs:
        predictor.check_kind(path)
        for name in ("at", "every", "all_windows", "rate", "leads"):
            if predictor.kind == "image" and getattr(options, name) not in (None, False):
                raise InputError(f"--{name.replace('_', '-')}", "has no meaning for images", "leave it out")


def _choose_models(
    predictor: Predictor, path: Path, unseen_only: bool, from_folder: bool
) -> tuple[Predictor, tuple[Path, ...]]:
    """The networks that predict for an input, and those of them that were trained on it.

    Of a folder the unseen ones are taken where there are some: there its five networks stand for one.
    """
    seen = [
        model.path
        for model in predictor.models
        if not groups_of(path, model.metadata.dataset_protocol).isdisjoint(model.metadata.training_groups)
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
    found = used.predict_file(path, options.at, options.every, options.leads, options.rate, progress)
    if progress is not None and used.kind == "image":
        progress(1, 1)
    return Predicted(path, found, seen)


def _tell(
    item: Predicted, used: Predictor, options: argparse.Namespace, accepted: Acceptance, draft: Path | None
) -> _Told:
    unmarked = "" if draft is None else _draw(item, draft, accepted)
    rows = list(_rows_of(item.path, item.predictions, item.seen, accepted, options.format == "json"))
    source = item.predictions[0].source
    if not isinstance(source, SignalFile):
        return _Told(rows, [], unmarked)
    extent = Extent(len(source.leads))
    extent.add(source.signal_mv)
    return _Told(rows, _notes_of(source, extent, used), unmarked)


def _tell_in_blocks(
    path: Path,
    used: Predictor,
    seen: tuple[Path, ...],
    options: argparse.Namespace,
    progress: Progress | None,
    accepted: Acceptance,
) -> _Told:
    """What is kept of a recording that is not drawn: it is never in memory as a whole."""
    source = used.open(path, options.leads, options.rate)
    extent = Extent(len(source.leads))
    found = used.predict_in_blocks(source, options.at, options.every, progress, extent)
    rows = list(_rows_of(path, found, seen, accepted, options.format == "json"))
    return _Told(rows, _notes_of(source, extent, used), "")


# ------------------------------------------------------------ standard error


def _explain(
    predictor: Predictor, inputs: Sequence[Path], chosen: Sequence[tuple[Predictor, tuple[Path, ...]]]
) -> None:
    """What is assumed, and which networks predict where not all do or some should not be trusted; a line each."""
    thing = "an event in each window, the first of several," if predictor.kind == "signal" else "a point in each image"
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
        note(f"{listed(paths)}: predicted by {listed(models)} only, as the others were trained on that name")
    for models, paths in seen_by.items():
        warn(f"{listed(paths)}: {listed(models)} trained on that name; this is no test of them")


def note_repeats(files: Mapping[Path, Sequence[Path]]) -> None:
    """Note which recordings were given by several of their files."""
    for path, of_record in files.items():
        if len(of_record) > 1:
            note(f"{path}: {len(of_record)} files of one record, predicted once")


def listed(paths: Sequence[Path]) -> str:
    """The first few of some files."""
    named = ", ".join(map(str, paths[:_MOST_NAMED]))
    return f"{named} and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else named


def _notes_of(source: SignalFile | SignalBlocks, extent: Extent, predictor: Predictor) -> list[str]:
    """Which leads were taken where there was a choice, or too few, which have no signal, and what is too short."""
    found = [_chosen_leads(source, predictor)]
    found += [f"{source.path}: lead {lead + 1} {why}" for lead, why in extent.silent(source.leads).items()]
    samples = source.signal_mv.shape[1] if isinstance(source, SignalFile) else source.samples
    length_s = samples / source.rate_hz
    if round(length_s, 2) < predictor.window_s:
        longer = f"is {length_s:.2f} s long, a window {predictor.window_s:g} s"
        found.append(f"{source.path}: {longer}; zeros follow its end, and a prediction there means nothing")
    return [line for line in found if line]


def shown_lead(index: int, name: str) -> str:
    """A lead's number, from 1, and its name in the file if it has one."""
    return f"{index + 1} ({name})" if name else str(index + 1)


def _chosen_leads(signal: SignalFile | SignalBlocks, predictor: Predictor) -> str:
    wanted = predictor.spec.channels
    named = ", ".join(map(shown_lead, signal.leads, signal.lead_names))
    if len(signal.leads) < wanted:
        how = "silent, as in training" if predictor.silences_leads else "a copy of it"
        return f"{signal.path}: lead {named} alone; the model takes {wanted}, the other is {how}"
    return f"{signal.path}: leads {named} of {signal.available}" if signal.available > wanted else ""


@contextmanager
def input_progress(inputs: Sequence[Path], part: str = "windows") -> Iterator[Progress | None]:
    """One bar for the files and one for the parts of the present file; None where no bars are shown."""
    with progress_bar(shows_bars()) as bars:
        if bars is None:
            yield None
            return
        files = bars.add_task("files", total=len(inputs))
        windows = bars.add_task(part, total=None)

        def show(done: int, total: int) -> None:
            bars.update(windows, completed=done, total=total)
            if done == total:
                bars.advance(files)

        yield show


# ----------------------------------------------------------- standard output


def _rows_of(
    path: Path, predictions: Iterable[Prediction], seen: Sequence[Path], accepted: Acceptance, of_each: bool
) -> Iterator[dict[str, Any]]:
    """One row per prediction, of several points one per point; numbers have six decimals, unknown is None."""
    from siwcc.inference.acceptance import not_found

    for prediction in (point for of_window in predictions for point in of_window.points):
        found, numbers = accepted.is_found(prediction), prediction.to_dict()
        of_axes = ("prediction_", "x_", "y_", "lowest_", "highest_", "sd_")
        if not found:
            numbers.update(dict.fromkeys([name for name in numbers if name.startswith(of_axes)]))
        row: dict[str, Any] = {"input": str(path)}
        for name in ("window_start_s", "window_end_s", "point"):
            if name in numbers:
                row[name] = numbers.pop(name)
        row["result"] = "found" if found else not_found(prediction)
        row |= numbers | {"models_that_saw_it": len(seen)}
        yield row | {"of_each": _of_each(prediction)} if of_each else row


def _of_each(prediction: Prediction) -> list[dict[str, Any]]:
    names = prediction.position_names
    return [
        {
            "model": str(path),
            **dict(zip(names, map(six_decimals, position.tolist()), strict=True)),
            "confidence": six_decimals(confidence),
        }
        for path, position, confidence in zip(
            prediction.models, prediction.network_positions, prediction.confidences.tolist(), strict=True
        )
    ]


def _write(rows: Sequence[dict[str, Any]], kind: Kind, column: str, form: str) -> None:
    from siwcc.inference.prediction import probability_words

    if form == "json":
        sys.stdout.write(json.dumps(rows, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        return
    if form == "csv":
        sys.stdout.write(_as_csv(rows))
        return
    several = "point" in rows[0]
    added = [probability_words(column)] if column else []
    head = [*_HEADS[kind][:1], *(["point"] if several else []), *_HEADS[kind][1:], *added, "models"]
    lines = [[*_cells(row, kind), *([_fixed(row[column], 2)] if column else []), str(row["models"])] for row in rows]
    if not sys.stdout.isatty():
        sys.stdout.write("\n".join(aligned([head, *lines])) + "\n")
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
    # Of the networks, only some may tell what is visible.
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(buffer, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
    )
    return buffer.getvalue()


_HEADS: dict[Kind, list[str]] = {
    "signal": ["recording", "window (s)", "prediction (s)", "lowest .. highest", "SD", "confidence"],
    "image": ["image", "x (px)", "lowest .. highest", "y (px)", "lowest .. highest", "confidence"],
}


def _cells(row: dict[str, Any], kind: Kind) -> list[str]:
    found = row["result"] == "found"
    confidence = _fixed(row["confidence"], 2)
    named = [row["input"], *([row["point"]] if "point" in row else [])]
    if kind == "signal":
        window = f"{row['window_start_s']:.2f} .. {row['window_end_s']:.2f}"
        edge = " (edge)" if row["at_window_edge"] else ""
        prediction = f"{_fixed(row['prediction_s'], 2)}{edge}" if found else row["result"]
        spread = _between(row["lowest_s"], row["highest_s"], 2)
        return [*named, window, prediction, spread, _fixed(row["sd_s"], 2), confidence]
    x = _fixed(row["x_px"], 1) if found else row["result"]
    spreads = [_between(row[f"{axis}_lowest_px"], row[f"{axis}_highest_px"], 1) for axis in "xy"]
    return [*named, x, spreads[0], _fixed(row["y_px"], 1), spreads[1], confidence]


def _fixed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _between(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None else f"{_fixed(low, digits)} .. {_fixed(high, digits)}"


# --------------------------------------------------------------------- plots


@contextmanager
def drafts_of(plots: Mapping[Path, Path]) -> Iterator[dict[Path, Path]]:
    """Where the figure of each input waits until all are predicted: one that fails leaves no figure at all."""
    if not plots:
        yield {}
        return
    with TemporaryDirectory() as folder:
        yield {path: Path(folder) / f"{number}{figure.suffix}" for number, (path, figure) in enumerate(plots.items())}


def publish(draft: Path, figure: Path, unmarked: str) -> None:
    """Put a figure into its place, and warn of why it is without annotations."""
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


def _draw_sheet(items: Sequence[Predicted], count: int, draft: Path, accepted: Acceptance) -> None:
    import numpy as np

    from siwcc.inference.figures import plot_contact_sheet
    from siwcc.report.figures.style import save_figure_as

    predictions = [item.predictions[0] for item in items]
    images = [np.asarray(prediction.source) for prediction in predictions]
    found = [[accepted.is_found(point) for point in prediction.points] for prediction in predictions]
    names = [name_of(printable(item.path)) for item in items]
    save_figure_as(plot_contact_sheet(images, predictions, found, names, count), draft)


def _figure_of(item: Predicted, accepted: Acceptance, changes: Sequence[tuple[float, str]]) -> Figure:
    import numpy as np

    from siwcc.inference.figures import plot_image, plot_recording

    found = [[accepted.is_found(point) for point in prediction.points] for prediction in item.predictions]
    titled = printable(item.path)
    source = item.predictions[0].source
    if isinstance(source, SignalFile):
        return plot_recording(replace(source, path=titled), item.predictions, found, changes)
    return plot_image(np.asarray(source), item.predictions[0], found[0], name_of(titled))


def printable(path: Path) -> Path:
    """The path with a name that can be drawn: fonts have no sign for a byte that is no text."""
    return path.with_name(path.name.encode(errors="backslashreplace").decode())
