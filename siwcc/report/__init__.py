"""The report: one HTML file that holds a study's verdict, tables and pictures, and needs nothing else."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import siwcc
from siwcc.accuracy import AUGMENTED, UNAUGMENTED, Accuracy, write_errors
from siwcc.comparisons import PUBLISHED_COMPARISON, Row, format_p
from siwcc.errors import InputError
from siwcc.figures import METRICS, TASKS, FigureFiles, arm_style, model_name
from siwcc.figures.curves import plot_learning_curves
from siwcc.figures.forest import plot_forest
from siwcc.figures.signals import plot_encodings, plot_predictions
from siwcc.files import write_text
from siwcc.report.costs import STAGES, gather_costs
from siwcc.report.deviations import read_deviations
from siwcc.report.inline import inline_svg
from siwcc.report.study import Study, compare, config_text, describe_data, devices, measure_errors, open_study
from siwcc.report.verdict import hoped_word, judge
from siwcc.runs import run_key_of

_SHOWN_PACKAGES = ("siwcc", "torch", "numpy", "scipy", "h5py", "opencv-python-headless", "wfdb", "snakemake")
_SHOWN_IDS = 40
_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Figure:
    """A picture on the page: its element, what stands below it, and the files beside the page."""

    svg: Markup
    stem: str


@dataclass(frozen=True)
class Resources:
    """Files of the project that the report needs beside the study.

    Attributes:
        published: The paper's Table 3.
        deviations: The list of departures from the paper.
    """

    published: Path
    deviations: Path


def write_report(study: Study, resources: Resources, path: Path) -> None:
    """Write the report of a study, complete or not, from the files that are there.

    Args:
        study: The study; pictures are taken from its folder `figures`.
        resources: The published table and the list of deviations.
        path: The HTML file to write.

    Raises:
        InputError: a file that is there is damaged.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("siwcc", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(fixed=_fixed, interval=_interval, seconds=_seconds, size=_size, yes_no=_yes_no)
    environment.filters.update(network_name=_network_name, p_value=_p_value)
    environment.globals.update(format_p=format_p, hoped_word=hoped_word, arm=lambda name: arm_style(name).label)
    style = jinja2.PackageLoader("siwcc", "templates").get_source(environment, "report.css")[0]
    template = environment.get_template("report.html.j2")
    write_text(path, template.render(style=Markup(style), **_content(study, resources)))


def report_study(folder: Path, resources_folder: Path, path: Path) -> list[str]:
    """Draw and report what a study has so far, complete or not.

    Args:
        folder: results/<study>.
        resources_folder: The project's `resources`.
        path: The HTML file to write.

    Returns:
        What is missing, in words; see `describe_missing`.
    """
    study = open_study(folder)
    resources = Resources(resources_folder / "table3.csv", resources_folder / "deviations.yaml")
    for needed in (resources.published, resources.deviations):
        if not needed.is_file():
            raise InputError(needed, "does not exist", "give --resources, the project's folder of that name")
    draw_figures(study, resources.published)
    write_report(study, resources, path)
    return describe_missing(study)


def _content(study: Study, resources: Resources) -> dict[str, Any]:
    """Everything that the template names."""
    rows = compare(study, resources.published)
    tasks = study.started_tasks()
    data = [describe_data(study, task) for task in tasks]
    papers = {item.task for item in data if item.papers}
    values = study.config.model_dump(mode="json")
    datasets = sorted({study.config.task(task).dataset for task in study.config.run})
    return {
        "study": study.config.study,
        "config": study.config,
        "config_text": config_text(study.config),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "tasks": TASKS,
        "metrics": METRICS,
        "data": data,
        "papers": papers,
        "specs": {task: study.spec(task) for task in tasks},
        "missing": describe_missing(study),
        "runs": len(study.runs()),
        "runs_there": len(study.runs()) - len(study.missing_runs()),
        "verdict": judge(rows, papers),
        "groups": _by_model(rows),
        "error_groups": _error_groups(measure_errors(study)),
        "figures": _figures(study, rows),
        "costs": gather_costs(study.folder, study.data, datasets),
        "stages": STAGES,
        "deviations": read_deviations(resources.deviations, values),
        "versions": _versions(),
        "devices": devices(study),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "shown_ids": _SHOWN_IDS,
    }


def describe_missing(study: Study) -> list[str]:
    """What the config asks for and is not there, in words; empty when the study is complete."""
    lines = [
        f"{TASKS.get(task, task)}: nothing yet, the folds are not assigned"
        for task in study.config.run
        if task not in study.started_tasks()
    ]
    absent: dict[tuple[str, str, str], list[str]] = {}
    for key in study.missing_runs():
        seed = f" seed {key.seed}" if len(study.config.seeds) > 1 else ""
        absent.setdefault((key.task, key.variant, key.encoding), []).append(f"{key.fold}{seed}")
    lines += [
        f"{model_name(task, variant)}, {arm_style(encoding).label}: fold{'s' * (len(folds) > 1)} {', '.join(folds)}"
        for (task, variant, encoding), folds in absent.items()
    ]
    baselines = [task for task in study.started_tasks() if not any(study.folder.glob(f"{task}/baselines/*/*.csv"))]
    return lines + [f"{TASKS.get(task, task)}: the training-mean baseline" for task in baselines]


def _by_model(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        title = model_name(row.task, row.variant)
        if (row.control, row.study) != PUBLISHED_COMPARISON:
            title += f": {arm_style(row.study).label} against {arm_style(row.control).label}"
        groups.setdefault(title, []).append(row)
    return list(groups.items())


def _network_name(line: Accuracy) -> str:
    return f"{model_name(line.task, line.variant)}, {arm_style(line.answer).label}"


def _error_groups(lines: Sequence[Accuracy]) -> list[tuple[str, str, list[tuple[str, Accuracy, Accuracy | None]]]]:
    """(task, unit, [(what answered, on augmented copies, on the samples themselves)])."""
    groups: dict[tuple[str, str], dict[str, dict[str, Accuracy]]] = {}
    for line in lines:
        name = _network_name(line)
        if not line.variant:
            name = f"baseline: {line.answer.replace('_', ' ')}"
        groups.setdefault((line.task, line.unit), {}).setdefault(name, {})[line.inputs] = line
    return [
        (task, unit, [(name, by[AUGMENTED], by.get(UNAUGMENTED)) for name, by in names.items() if AUGMENTED in by])
        for (task, unit), names in groups.items()
    ]


# --------------------------------------------------------------------- pictures


def _figures(study: Study, rows: Sequence[Row]) -> dict[str, list[Figure]]:
    """The pictures that are there, by section."""
    folder = study.folder / "figures"
    sections: dict[str, list[Figure]] = {}
    for section, stem, alternative in _pictures(study, rows):
        if (folder / f"{stem}.svg").is_file():
            svg = inline_svg(folder / f"{stem}.svg", stem.replace("_", "-"), alternative)
            sections.setdefault(section, []).append(Figure(svg, stem))
    return sections


def _pictures(study: Study, rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    """(section, file stem, text alternative) of every picture of a study."""
    config = study.config
    for metric, name in METRICS.items():
        effects = "; ".join(
            f"{model_name(row.task, row.variant)} {_fixed(row.mean_difference)} {_interval((row.ci_low, row.ci_high))}"
            for row in rows
            if row.metric == metric
        )
        yield "forest", f"forest_{metric}", f"{name}, study minus control, mean and 95 % interval: {effects}."
    for task in config.run:
        yield f"encodings {task}", f"encodings_{task}", _encodings_alternative(config.encodings)
        for variant in config.variants:
            model = model_name(task, variant)
            curves = f"R² by epoch of {model}, training and test, mean and range over the folds of each arm."
            yield "curves", f"learning_curves_{task}_{variant}", curves
            for encoding in config.encodings:
                shown = "Best, median and worst test answer"
                alternative = f"{shown} of {model} with {arm_style(encoding).label}: target and prediction drawn in."
                yield f"predictions {task}", f"predictions_{task}_{encoding}_{variant}", alternative


def _encodings_alternative(encodings: Sequence[str]) -> str:
    names = ", ".join(arm_style(name).label for name in encodings)
    return f"One sample as the network gets it, and the channels that each encoding appends: {names}."


def draw_figures(study: Study, published: Path) -> None:
    """Draw every picture for which there are files, and write `stats/errors.csv`, as the workflow does."""
    folder = study.folder / "figures"
    rows = compare(study, published)
    for metric in METRICS:
        plot_forest(rows, metric, FigureFiles.named(folder, f"forest_{metric}"))
    write_errors(study.folder / "stats" / "errors.csv", measure_errors(study))
    for task in study.started_tasks():
        _draw_task(study, task, folder)


def _draw_task(study: Study, task: str, folder: Path) -> None:
    folds, samples = study.fold_paths(task), study.samples_path(task)
    logs = study.existing(task, "log.csv")
    if folds[0].is_file():
        plot_encodings(folds[0], samples, study.config.encodings, FigureFiles.named(folder, f"encodings_{task}"))
    for variant in sorted({run_key_of(path).variant for path in logs}):
        plot_learning_curves(logs, variant, FigureFiles.named(folder, f"learning_curves_{task}_{variant}"))
    arms: dict[tuple[str, str], list[Path]] = {}
    for path in study.existing(task, "predictions.csv"):
        key = run_key_of(path)
        if key.seed == study.config.seeds[0]:
            arms.setdefault((key.encoding, key.variant), []).append(path)
    for (encoding, variant), paths in arms.items():
        files = FigureFiles.named(folder, f"predictions_{task}_{encoding}_{variant}")
        plot_predictions(paths, folds, samples, files)


# ---------------------------------------------------------------------- numbers


def _versions() -> list[tuple[str, str]]:
    found = [("Python", platform.python_version())]
    for name in _SHOWN_PACKAGES:
        try:
            found.append((name, siwcc.__version__ if name == "siwcc" else metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


def _fixed(value: float | None, digits: int = 5) -> str:
    """Decimals with a true minus sign; a dash for what could not be computed."""
    if value is None or math.isnan(value):
        return _DASH
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _p_value(value: float) -> str:
    return "<0.00001" if value < 0.000005 else _fixed(value)


def _interval(ends: tuple[float | None, float | None]) -> str:
    low, high = ends
    return _DASH if low is None or math.isnan(low) else f"[{_fixed(low)}, {_fixed(high)}]"


def _seconds(value: float) -> str:
    """Seconds, minutes or hours, two digits that matter."""
    if math.isnan(value):
        return _DASH
    if value < 60:
        return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
    if value < 3600:
        return f"{int(value // 60)} min {value % 60:02.0f} s"
    return f"{int(value // 3600)} h {value % 3600 / 60:02.0f} min"


def _size(value: float) -> str:
    """Bytes in decimal units."""
    for unit, divisor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= divisor:
            return f"{value / divisor:.1f} {unit}"
    return f"{value:.0f} B"


def _yes_no(mark: bool | None) -> Markup:
    """A mark to see and a word to hear."""
    return Markup(
        _DASH if mark is None else f'{"✓" if mark else "✗"}<span class="hidden"> {"yes" if mark else "no"}</span>'
    )
