"""`siwcc predict` with a detector: every onset in each recording, or that there is none."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siwcc.inference.inputs import kind_of, name_of, rhythm_changes_of
from siwcc.io.console import note, warn
from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes
from siwcc.io.tables import aligned

if TYPE_CHECKING:
    from siwcc.inference.onset_detector import OnsetDetector
    from siwcc.inference.onsets import Onsets

_COLUMNS = ("input", "onset_s", "end_s", "p_onset", "score", "models", "models_that_saw_it")
_HEAD = ("recording", "onset (s)", "end (s)", "p(onset)", "score", "models")
_WINDOWS = "give --all-windows for predictions in windows"


@dataclass(frozen=True)
class _Choice:
    """A recording and the networks that predict for it.

    Attributes:
        path: As it was given.
        used: The networks.
        seen: Those of them that were trained on a recording of its name.
    """

    path: Path
    used: OnsetDetector
    seen: tuple[Path, ...]


@dataclass(frozen=True)
class _Found:
    """What is kept of a recording until all are predicted; not its curve.

    Attributes:
        rows: For standard output.
        notes: A line each.
        unmarked: Why it was drawn without its annotations; empty where it was not.
        annotations: Content of its annotation file, if one is to be written.
    """

    rows: list[dict[str, Any]]
    notes: list[str]
    unmarked: str
    annotations: bytes


def wants_onsets(options: argparse.Namespace, sources: Sequence[Path]) -> bool:
    """Whether onsets are to be listed: the models are detectors, and no windows are asked for.

    Raises:
        InputError: an option for onsets without a detector, or one for windows with a detector alone; detectors and
            localisers together.
    """
    from siwcc.inference.loading import holds_detector

    windows = next((name for name in ("at", "every", "all_windows") if getattr(options, name) not in (None, False)), "")
    detectors = [] if windows else [holds_detector(source) for source in sources]
    if any(detectors):
        if not all(detectors):
            problem = "is a localiser, and others are detectors"
            raise InputError(sources[detectors.index(False)], problem, "use them one by one")
        _refuse_window_options(options)
        return True
    for name in ("threshold", "annotate"):
        if getattr(options, name) is not None:
            problem = f"is for onsets, and --{windows.replace('_', '-')} asks for windows"
            remedy = "leave one of them out"
            if not windows:
                problem, remedy = f"is for onsets, and {sources[0]} is no detector", "take a folder of detectors"
            raise InputError(f"--{name}", problem, remedy)
    return False


def run(
    options: argparse.Namespace,
    sources: Sequence[Path],
    files: Mapping[Path, Sequence[Path]],
    plots: Mapping[Path, Path],
) -> int:
    """List the onsets in each recording: the table on standard output, everything else on standard error.

    Args:
        options: Of the command line.
        sources: The models, in the order given.
        files: The recordings, each with the files that were given for it.
        plots: Where the figure of each goes.

    Raises:
        InputError: a model or recording that cannot be read, or files that would be overwritten.
    """
    from siwcc.cli.predict import drafts_of, input_progress, note_repeats, publish
    from siwcc.inference.loading import load_detector

    inputs = list(files)
    annotations = {} if options.annotate is None else _annotation_paths(options.annotate, inputs)
    detector = load_detector(sources)
    from_folder = len(detector.models) > len(sources)
    for path in inputs:
        # None of them is to be refused when others are predicted already.
        if kind_of(path) != "csv":
            detector.open(path, options.leads, options.rate)
    choices = [_choose(detector, path, options.unseen_only, from_folder) for path in inputs]
    with drafts_of(plots) as drafts:
        found: dict[Path, _Found] = {}
        with input_progress(inputs, "seconds") as progress:
            for choice in choices:
                source = choice.used.open(choice.path, options.leads, options.rate)
                onsets = choice.used.find_in_blocks(source, options.threshold, progress)
                found[choice.path] = _Found(
                    _rows_of(onsets, choice),
                    _notes_of(onsets, detector),
                    _draw(onsets, drafts[choice.path]) if choice.path in drafts else "",
                    onsets.annotation_bytes() if annotations else b"",
                )
                # Before the next one is read.
                del onsets
        _explain(detector, choices, options.threshold)
        note_repeats(files)
        for one in found.values():
            for line in one.notes:
                note(line)
        for path, file in annotations.items():
            write_bytes(file, found[path].annotations)
            note(f"wrote {file}")
        for path, figure in plots.items():
            publish(drafts[path], figure, found[path].unmarked)
    _write([row for one in found.values() for row in one.rows], options.format)
    return 0


def _refuse_window_options(options: argparse.Namespace) -> None:
    for name, default in (("min_confidence", 0.0), ("at_least", 0.0), ("calibration", None)):
        if getattr(options, name) != default:
            raise InputError(f"--{name.replace('_', '-')}", "is for predictions in windows", _WINDOWS)
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise InputError("--threshold", f"is {options.threshold:g}", "give a number, 0 ... 1")


def _annotation_paths(wanted: Path, inputs: Sequence[Path]) -> dict[Path, Path]:
    """Where the annotations of each recording go."""
    from siwcc.inference.onsets import annotation_path

    paths = {path: annotation_path(wanted, path) for path in inputs}
    if len(set(paths.values())) < len(paths):
        first = next(file for file in paths.values() if list(paths.values()).count(file) > 1)
        remedy = "name a folder; recordings of one name need a command each"
        raise InputError("--annotate", f"several recordings would be written to {first}", remedy)
    return paths


def _choose(detector: OnsetDetector, path: Path, unseen_only: bool, from_folder: bool) -> _Choice:
    """Of a folder the networks that were not trained on the record, where there are some."""
    seen = detector.seen(path)
    others = detector.without(seen) if seen and (unseen_only or from_folder) else None
    if others is not None:
        return _Choice(path, others, ())
    if seen and unseen_only:
        problem = "every network was trained on a recording of this name"
        raise InputError(path, problem, "leave --unseen-only out, and do not take the onsets for a test")
    return _Choice(path, detector, seen)


# ------------------------------------------------------------ standard error


def _explain(detector: OnsetDetector, choices: Sequence[_Choice], threshold: float | None) -> None:
    from siwcc.cli.predict import listed

    note(f"onsets of {' '.join(detector.event_labels)}; for research, not for clinical decisions")
    settings = detector.settings
    if settings is None:
        note("no onsets.json next to the networks: default settings, and the score is no probability")
    else:
        note(
            f"p(onset): probability that a true onset is within {settings.tolerance_s:g} s, by {detector.settings_path}"
        )
        at = f"p = {settings.threshold:.3g}"
        if threshold is not None and at != f"p = {threshold:.3g}":
            at += f", not at p = {threshold:.3g},"
        for row in settings.measured:
            sensitivity = "" if row.sensitivity is None else f"{row.sensitivity:.0%} of {row.onsets} onsets found, "
            alarms = f"{row.false_alarms_per_hour:.3g} false alarms per hour"
            note(f"measured at {at} on {row.dataset}, {row.evaluation}: {sensitivity}{alarms}")
    for choice in choices:
        if choice.used is not detector:
            note(
                f"{choice.path}: predicted by {listed(choice.used.paths)} only, as the others were trained on that name"
            )
        elif choice.seen:
            warn(f"{choice.path}: {listed(choice.seen)} trained on that name; this is no test of them")


def _notes_of(onsets: Onsets, detector: OnsetDetector) -> list[str]:
    from siwcc.cli.predict import shown_lead

    source = onsets.source
    found = []
    if not onsets:
        best = max(onsets.below, key=lambda onset: onset.rank, default=None)
        most = "" if best is None else f"; the strongest candidate is at {best.onset_s:.2f} s, {best.words}"
        found.append(f"{source.path}: no onset found above {onsets.threshold_words}{most}")
    named = list(map(shown_lead, source.leads, source.lead_names))
    wanted = len(detector.leads)
    if len(source.leads) < wanted:
        how = "silent, as in training" if detector.silences_leads else "a copy of it"
        found.append(f"{source.path}: lead {named[0]} alone; the networks take {wanted}, the other is {how}")
    elif source.available > wanted:
        found.append(f"{source.path}: leads {', '.join(named)} of {source.available}")
    return found + [f"{source.path}: lead {lead + 1} {why}" for lead, why in onsets.silent_leads.items()]


# ----------------------------------------------------------- standard output


def _rows_of(onsets: Onsets, choice: _Choice) -> list[dict[str, Any]]:
    of_input = {"input": str(choice.path)}
    of_networks = {"models": len(onsets.models), "models_that_saw_it": len(choice.seen)}
    return [of_input | onset.to_dict() | of_networks for onset in onsets]


def _write(rows: Sequence[dict[str, Any]], kind: str) -> None:
    if kind == "json":
        sys.stdout.write(json.dumps(rows, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    elif kind == "csv":
        sys.stdout.write(_as_csv(rows))
    else:
        _write_table([list(_cells(row)) for row in rows])


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()})
    return buffer.getvalue()


def _write_table(lines: Sequence[list[str]]) -> None:
    if not sys.stdout.isatty():
        sys.stdout.write("\n".join(aligned([list(_HEAD), *lines])) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*_HEAD)
    for line in lines:
        # Not as markup: a file's name may have brackets.
        table.add_row(*map(Text, line))
    Console().print(table)


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    yield row["input"]
    for name in ("onset_s", "end_s", "p_onset", "score"):
        yield "" if row[name] is None else f"{row[name]:.2f}"
    yield str(row["models"])


# --------------------------------------------------------------------- plots


def _draw(onsets: Onsets, draft: Path) -> str:
    """Draw a recording; why its annotations are not in the figure, or nothing."""
    from siwcc.cli.predict import printable
    from siwcc.inference.onset_figures import plot_onsets
    from siwcc.report.figures.style import save_figure_as

    path = onsets.source.path
    try:
        changes, unmarked = rhythm_changes_of(path), ""
    except InputError as error:
        # A figure without marks is better than none.
        changes, unmarked = [], f"{error}; drawn without its annotations"
    save_figure_as(plot_onsets(onsets, changes, name_of(printable(path))), draft)
    return unmarked
