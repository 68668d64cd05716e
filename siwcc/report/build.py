"""The report: one HTML file that holds a study's verdict, tables and figures, and needs nothing else."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from siwcc.config import MAP_VARIANTS, shown_arm
from siwcc.evaluation.comparisons import PUBLISHED_COMPARISON, Row, format_p
from siwcc.evaluation.errors_table import write_errors, write_errors_by_stratum
from siwcc.evaluation.record_tests import PRIMARY, RecordPoint, write_record_points, write_records
from siwcc.evaluation.reliability_table import ReliabilityBin, write_reliability, write_scores
from siwcc.evaluation.variance import write_variance
from siwcc.io.console import tracked
from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.run_key import LOG, MODEL, PREDICTIONS, run_key_of
from siwcc.io.study_layout import FIGURE_KINDS, figure_stem
from siwcc.report.confidence import confidence_arms
from siwcc.report.costs import STAGES, gather_costs
from siwcc.report.deviations import read_deviations
from siwcc.report.encodings import describe_encodings
from siwcc.report.errors import BASELINE_NOTES, best_sentences, error_tables, stratum_tables
from siwcc.report.figures.curves import plot_learning_curves
from siwcc.report.figures.forest import plot_forest
from siwcc.report.figures.inputs import plot_encodings, plot_predictions
from siwcc.report.figures.records import plot_records, select_points
from siwcc.report.figures.reliability import plot_reliability, select_bins
from siwcc.report.figures.robustness import plot_robustness
from siwcc.report.figures.samples import plot_gaps, plot_targets
from siwcc.report.figures.style import (
    GROUPS,
    METRICS,
    SAMPLES,
    TASKS,
    FigureFiles,
    arm_style,
    model_name,
    why_not_drawn,
)
from siwcc.report.figures.worst import WorstInputs, plot_worst
from siwcc.report.folds import describe_folds
from siwcc.report.page import fixed, interval, open_templates, versions, write_page
from siwcc.report.protocol import describe_protocol
from siwcc.report.records import comparison_name, record_groups, variance_groups, view_name
from siwcc.report.robustness import robustness_tables
from siwcc.report.study import (
    Measured,
    Study,
    TaskData,
    config_text,
    describe_data,
    devices,
    measure,
    open_study,
    papers_tasks,
)
from siwcc.report.svg import inline_svg
from siwcc.report.verdict import hoped_word, judge

_SHOWN_IDS = 40
# More comparisons or figures than this are folded up on the page.
_MANY = 4


@dataclass(frozen=True)
class Figure:
    """A figure on the page: its element, what stands below it, and the files beside the page."""

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


def write_report(study: Study, resources: Resources, path: Path, measured: Measured | None = None) -> None:
    """Write the report of a study, complete or not, from the files that are there.

    Args:
        study: The study; figures are taken from its folder `figures`.
        resources: The published table and the list of deviations.
        path: The HTML file to write.
        measured: The study's numbers, where they are known already.

    Raises:
        InputError: a file that is there is damaged.
    """
    environment = open_templates()
    environment.filters.update(comparison_name=comparison_name, view_name=view_name)
    environment.globals.update(format_p=format_p, hoped_word=hoped_word, arm=lambda name: arm_style(name).label)
    content = _content(study, resources, measured or measure(study, resources.published))
    write_page(environment, "report.html.j2", content, path)


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
    measured = measure(study, resources.published)
    write_tables(study, measured)
    draw_figures(study, measured)
    write_report(study, resources, path, measured)
    return describe_missing(study)


def _content(study: Study, resources: Resources, measured: Measured) -> dict[str, Any]:
    """Everything that the template names."""
    config = study.config
    data = [describe_data(study, task) for task in study.started_tasks()]
    datasets = sorted({config.task(task).dataset for task in config.run})
    return {
        "study": config.study,
        "config": config,
        "config_text": config_text(config),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "tasks": TASKS,
        "missing": describe_missing(study),
        "runs": len(study.runs()),
        "runs_there": len(study.runs()) - len(study.missing_runs()),
        "figures": _figures(study, measured),
        "costs": gather_costs(study.layout, DataLayout(study.data), datasets),
        "stages": STAGES,
        "deviations": read_deviations(resources.deviations, config.model_dump(mode="json")),
        "versions": versions(),
        "devices": devices(study),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "shown_ids": _SHOWN_IDS,
        "many": _MANY,
        **_data_content(study, data),
        **_measured_content(study, measured, set(papers_tasks(data, config))),
        "confidence": confidence_arms(measured.reliability, study.layout, config),
    }


def _data_content(study: Study, data: Sequence[TaskData]) -> dict[str, Any]:
    """What the page says of the protocol, the samples and the folds."""
    tasks = study.started_tasks()
    return {
        "data": data,
        "specs": {task: study.spec(task) for task in tasks},
        "protocol": describe_protocol(study.config, tasks),
        "encodings": describe_encodings(study.config.encodings),
        "folds": [describe_folds(task, study.layout.strata_csv(task), study.limits(task).isolated_s) for task in tasks],
        "group_words": GROUPS,
        "sample_words": SAMPLES,
        "over": " and ".join(GROUPS[task][1] for task in study.config.run),
        "by_group": study.config.folds_by == "group",
    }


def _measured_content(study: Study, measured: Measured, papers: Set[str]) -> dict[str, Any]:
    """What the page says of the results."""
    rows, errors = measured.rows, measured.errors
    tables = error_tables(errors.overall)
    return {
        "papers": papers,
        "published": any(row.published_mean_difference is not None for row in rows),
        "metrics": METRICS,
        "verdict": judge(rows, papers, measured.records.tests, study.config.folds_by == "group"),
        "groups": _by_model(rows),
        "records": record_groups(measured.records.tests),
        "variance": variance_groups(measured.variance, "test_r2"),
        "error_tables": tables,
        "best": {(table.task, table.point): list(best_sentences(table)) for table in reversed(tables)},
        "baseline_notes": BASELINE_NOTES,
        "strata": stratum_tables(errors.by_stratum),
        "robustness": [table for task in study.started_tasks() for table in robustness_tables(study.robustness(task))],
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
    for task in study.started_tasks():
        names = [arm_style(name).label for name in study.missing_baselines(task)]
        if names:
            lines.append(f"{TASKS.get(task, task)}: the baseline{'s' * (len(names) > 1)} {', '.join(names)}")
        arms = [path.parent for path in study.robustness_paths(task) if not path.is_file()]
        if arms:
            named = "; ".join(f"{model_name(task, arm.name)}, {arm_style(arm.parent.name).label}" for arm in arms)
            lines.append(f"{TASKS.get(task, task)}: predictions for perturbed samples of {named}")
    return lines + _undrawn_figures(study)


def _undrawn_figures(study: Study) -> list[str]:
    """Figures in whose place there is a placeholder."""
    paths = sorted(study.layout.figure("any", "svg").parent.glob("*.svg"))
    reasons = {path.stem: why_not_drawn(path) for path in paths}
    return [f"the figure {stem}, which could not be drawn ({reason})" for stem, reason in reasons.items() if reason]


def _by_model(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    several = {(row.control, row.study) for row in rows} != {PUBLISHED_COMPARISON}
    for row in rows:
        title = model_name(row.task, row.variant)
        if several:
            title += f": {arm_style(row.study).label} against {arm_style(row.control).label}"
        groups.setdefault(title, []).append(row)
    return list(groups.items())


# --------------------------------------------------------------------- figures


def _figures(study: Study, measured: Measured) -> dict[str, list[Figure]]:
    """The figures that are there, by section."""
    sections: dict[str, list[Figure]] = {}
    for section, stem, alternative in _figure_stems(study, measured):
        path = study.layout.figure(stem, "svg")
        if path.is_file() and why_not_drawn(path) is None:
            svg = inline_svg(path, stem.replace("_", "-"), alternative)
            sections.setdefault(section, []).append(Figure(svg, stem))
    return sections


def _figure_stems(study: Study, measured: Measured) -> Iterator[tuple[str, str, str]]:
    """(section, file stem, text alternative) of every figure of a study."""
    config = study.config
    for metric, name in METRICS.items():
        yield "forest", figure_stem("forest", metric=metric), _forest_alternative(measured.rows, metric, name)
    for test in measured.records.tests:
        if test.family == PRIMARY:
            title = f"{model_name(test.task, test.variant)}, {comparison_name(test)}"
            shown = f"{test.records_better} smaller and {test.records_worse} larger with the study"
            stem = _records_stem(test.task, test.variant, test.control, test.study)
            yield f"records {test.task} {test.variant}", stem, f"{title}: both errors of every record, {shown}."
    for task in config.run:
        yield f"encodings {task}", figure_stem("encodings", task=task), _encodings_alternative(config.encodings)
        gaps = "Events by the gap to the event before, isolated ones apart."
        yield f"samples {task}", figure_stem("gaps", task=task), gaps
        perturbed = (
            f"Predictions within the coarse limit by the strength of {', '.join(config.perturbations_of(task))}."
        )
        yield f"robustness {task}", figure_stem("robustness", task=task), perturbed
        targets = "Targets of the augmented copies, a line for each fold."
        yield f"samples {task}", figure_stem("targets", task=task), targets
        for variant in config.variants:
            model = model_name(task, variant)
            curves = f"R² by epoch of {model}, training and test, mean and range over the folds of each arm."
            yield "curves", figure_stem("learning_curves", task=task, variant=variant), curves
            for encoding in config.encodings:
                shown = "Best, median and worst test prediction"
                alternative = f"{shown} of {model} with {arm_style(encoding).label}: target and prediction drawn in."
                yield f"predictions {task}", _arm_stem("predictions", task, encoding, variant), alternative
                yield from _map_figures(task, encoding, variant)


def _map_figures(task: str, encoding: str, variant: str) -> Iterator[tuple[str, str, str]]:
    """The figures of an arm whose networks make a map; others have none of these files."""
    title = f"{model_name(task, variant)} with {arm_style(encoding).label}"
    arm = f"{task}_{encoding}_{variant}"
    fractions = f"Fraction of the predictions within the limit, and error, against the confidence of {title}."
    yield f"reliability {arm}", _arm_stem("reliability", task, encoding, variant), fractions
    worst = f"The samples on which {title} is furthest off, with target, prediction and map."
    yield f"worst {arm}", _arm_stem("worst", task, encoding, variant), worst


def _forest_alternative(rows: Sequence[Row], metric: str, name: str) -> str:
    effects = "; ".join(
        f"{model_name(row.task, row.variant)}, {comparison_name(row)}: {fixed(row.mean_difference)} "
        f"{interval((row.ci_low, row.ci_high))}"
        for row in rows
        if row.metric == metric
    )
    return f"{name}, study minus control, mean and 95 % interval: {effects}."


def _records_stem(task: str, variant: str, control: str, study: str) -> str:
    return figure_stem("records", task=task, variant=variant, encoding=study, control=control)


def _arm_stem(name: str, task: str, encoding: str, variant: str) -> str:
    return figure_stem(name, task=task, encoding=encoding, variant=variant)


def _files(study: Study, stem: str) -> FigureFiles:
    return FigureFiles(*(study.layout.figure(stem, kind) for kind in FIGURE_KINDS))


def _encodings_alternative(encodings: Sequence[str]) -> str:
    names = ", ".join(arm_style(name).label for name in encodings)
    return f"One sample as the network gets it, and the channels that each encoding appends: {names}."


def write_tables(study: Study, measured: Measured) -> None:
    """Write the tables over errors, records and seeds, as the workflow does."""
    table = study.layout.table
    write_errors(table("errors"), measured.errors.overall)
    write_errors_by_stratum(table("errors_by_stratum"), measured.errors.by_stratum)
    write_records(table("records"), measured.records.tests)
    write_record_points(table("records_points"), measured.records.points)
    write_variance(table("variance"), measured.variance)
    if set(study.config.variants) & set(MAP_VARIANTS):
        write_reliability(table("calibration"), measured.reliability.bins)
        write_scores(table("calibration_scores"), measured.reliability.scores)


def draw_figures(study: Study, measured: Measured) -> None:
    """Draw every figure for which there are files, as the workflow does."""
    for draw in tracked(list(_drawings(study, measured)), "figures"):
        draw()


def _drawings(study: Study, measured: Measured) -> Iterator[Callable[[], None]]:
    for metric in METRICS:
        yield partial(plot_forest, measured.rows, metric, _files(study, figure_stem("forest", metric=metric)))
    for task in study.started_tasks():
        yield partial(_draw_samples, study, task)
        yield from _arm_drawings(study, task)
        yield from _map_drawings(study, task, measured.reliability.bins)
        yield partial(_draw_records, study, task, measured.records.points)
        yield partial(_draw_robustness, study, task)


def _draw_samples(study: Study, task: str) -> None:
    isolated_s = study.limits(task).isolated_s
    if isolated_s is not None:
        files = _files(study, figure_stem("gaps", task=task))
        plot_gaps(study.layout.strata_csv(task), isolated_s, files)
    folds = study.fold_paths(task)
    if all(path.is_file() for path in folds):
        plot_targets(folds, _files(study, figure_stem("targets", task=task)))
    if folds[0].is_file():
        files = _files(study, figure_stem("encodings", task=task))
        plot_encodings(folds[0], study.samples_path(task), study.config.encodings, files)


def _arm_drawings(study: Study, task: str) -> Iterator[Callable[[], None]]:
    logs = study.existing(task, LOG)
    for variant in sorted({run_key_of(path).variant for path in logs}):
        files = _files(study, figure_stem("learning_curves", task=task, variant=variant))
        yield partial(plot_learning_curves, logs, variant, files)
    arms: dict[tuple[str, str], list[Path]] = {}
    for path in study.existing(task, PREDICTIONS):
        key = run_key_of(path)
        if key.seed == study.config.seeds[0]:
            arms.setdefault((key.encoding, key.variant), []).append(path)
    for (encoding, variant), paths in arms.items():
        files = _files(study, _arm_stem("predictions", task, encoding, variant))
        yield partial(plot_predictions, paths, study.fold_paths(task), study.samples_path(task), files)


def _map_drawings(study: Study, task: str, bins: Sequence[ReliabilityBin]) -> Iterator[Callable[[], None]]:
    config = study.config
    for encoding in config.encodings:
        for variant in config.variants:
            chosen = select_bins(bins, task, encoding, variant)
            if chosen:
                files = _files(study, _arm_stem("reliability", task, encoding, variant))
                yield partial(plot_reliability, chosen, files)
    shown = shown_arm(config.encodings, config.variants)
    paths = [path for path in study.existing(task, PREDICTIONS) if _is_shown(path, shown, config.seeds[0])]
    if shown and paths:
        strata = study.layout.strata_csv(task)
        inputs = WorstInputs(paths, study.fold_paths(task), study.samples_path(task), strata)
        yield partial(plot_worst, inputs, _files(study, _arm_stem("worst", task, *shown)))


def _is_shown(path: Path, shown: tuple[str, str] | None, seed: int) -> bool:
    key = run_key_of(path)
    return ((key.encoding, key.variant), key.seed) == (shown, seed) and path.with_name(MODEL).is_file()


def _draw_robustness(study: Study, task: str) -> None:
    lines = study.robustness(task)
    if lines:
        plot_robustness(lines, _files(study, figure_stem("robustness", task=task)))


def _draw_records(study: Study, task: str, points: Sequence[RecordPoint]) -> None:
    for variant in study.config.variants:
        for control, encoding in study.config.comparisons:
            chosen = select_points(points, task, variant, control, encoding)
            if chosen:
                stem = _records_stem(task, variant, control, encoding)
                plot_records(chosen, _files(study, stem))
