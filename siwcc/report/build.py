"""The report: one self-contained HTML file with the verdict, the tables and the figures of a study."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from siwcc.config import MAP_VARIANTS
from siwcc.evaluation.comparisons import PUBLISHED_COMPARISON, Row
from siwcc.evaluation.errors_table import Accuracy, write_errors, write_errors_by_stratum
from siwcc.evaluation.external_table import write_external
from siwcc.evaluation.landmarks import LandmarkErrors, write_landmarks
from siwcc.evaluation.methods import AUGMENTED
from siwcc.evaluation.record_tests import write_record_points, write_records
from siwcc.evaluation.reliability_table import write_reliability, write_scores
from siwcc.evaluation.study_files import LANDMARK_TABLES
from siwcc.evaluation.variance import write_variance
from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.files import write_text
from siwcc.io.study_layout import external_place, figure_stem
from siwcc.report.best import Best, best_methods, method_words, methods_sentence, note
from siwcc.report.confidence import confidence_arms
from siwcc.report.costs import STAGES, gather_costs
from siwcc.report.deviations import read_deviations
from siwcc.report.drawing import draw_figures
from siwcc.report.encodings import describe_encodings
from siwcc.report.errors import BASELINE_NOTES, error_tables, stratum_tables, title_of, visibility_sentences
from siwcc.report.external import external_tables
from siwcc.report.figure_list import Figure, list_figures
from siwcc.report.figures.style import METRICS, Tasks, arm_style, model_name, why_not_drawn
from siwcc.report.folds import describe_folds
from siwcc.report.landmarks import LandmarkTable, landmark_tables, landmark_words, tests_over_records
from siwcc.report.onsets import COMPARED_PER_H, onset_sentence, onset_tables
from siwcc.report.page import open_templates, versions, write_page
from siwcc.report.protocol import describe_protocol, main_limits
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
from siwcc.report.verdict import hoped_word, judge
from siwcc.report.wording import capital

_SHOWN_IDS = 40
# More comparisons or figures than this are in a collapsed section.
_MANY = 4


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
    """Write the report and the summary of a study, complete or not, from the files that are there.

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
    environment.globals.update(hoped_word=hoped_word, arm=lambda name: arm_style(name).label)
    environment.globals.update(onset_sentence=onset_sentence)
    environment.globals.update(visibility_sentences=visibility_sentences)
    content = _content(study, resources, measured or measure(study, resources.published))
    write_page(environment, "report.html.j2", content, path)
    write_text(study.layout.summary, "".join(f"{line}\n" for line in _summary(content)))


def _summary(content: Mapping[str, Any]) -> Iterator[str]:
    """What was run, the main result of each task, the comparison of the encodings: one line each."""
    tasks: Tasks = content["config"].tasks
    samples = [
        f"{settings.shown_title}: {item.kept} {settings.samples[1]} of {item.groups} {settings.groups[1]}"
        for item in content["data"]
        for settings in (tasks[item.task],)
    ]
    networks = f"{content['runs_there']} of {content['runs']} networks"
    yield f"study {content['study']}: {'; '.join([*samples, networks])}"
    yield from (method_words(best, tasks) for best in content["bests"])
    yield from (landmark_words(table, tasks) for table in content["landmark_bests"])
    yield from (f"onsets in whole recordings of {onset_sentence(table)}" for table in content["onsets"])
    if content["config"].comparisons:
        yield content["verdict"].headline


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
    return {
        "study": config.study,
        "config": config,
        "config_text": config_text(config),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "tasks": {name: settings.shown_title for name, settings in config.tasks.items()},
        "missing": describe_missing(study),
        "runs": len(study.runs()),
        "runs_there": len(study.runs()) - len(study.missing_runs()),
        "costs": gather_costs(study.layout, DataLayout(study.data), config.datasets_in_use),
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
        "onsets": onset_tables(study),
        "compared_per_h": COMPARED_PER_H,
    }


def _data_content(study: Study, data: Sequence[TaskData]) -> dict[str, Any]:
    """The part of the content on the protocol, the samples and the folds."""
    tasks = study.started_tasks()
    return {
        "data": data,
        "specs": {task: study.spec(task) for task in tasks},
        "protocol": describe_protocol(study.config, tasks),
        "remarks": _remarks(data, study.config.tasks),
        "main_limits": main_limits(study.config, data),
        "encodings": describe_encodings(study.config.encodings),
        "folds": [describe_folds(task, study.layout.strata_csv(task), study.limits(task).isolated_s) for task in tasks],
        "group_words": {name: settings.groups for name, settings in study.config.tasks.items()},
        "sample_words": {name: settings.samples for name, settings in study.config.tasks.items()},
        "each": " or ".join(dict.fromkeys(study.config.task(task).group for task in study.config.run)),
        "over": " and ".join(dict.fromkeys(study.config.task(task).groups[1] for task in study.config.run)),
        "by_group": study.config.folds_by == "group",
    }


def _remarks(data: Sequence[TaskData], tasks: Tasks) -> list[str]:
    """Why the data are not the paper's; with the task where that is not the same for all."""
    found = [(item.remark, tasks[item.task].shown_title) for item in data if item.remark]
    alike = len({item.remark for item in data}) == 1
    return [found[0][0]] if found and alike else [f"{remark} ({task})" for remark, task in found]


def _measured_content(study: Study, measured: Measured, papers: Set[str]) -> dict[str, Any]:
    """The part of the content on the results."""
    rows, errors = measured.rows, measured.errors
    tests = tests_over_records(measured.records.tests, measured.landmarks)
    tasks = study.config.tasks
    tables = error_tables(errors.overall)
    landmarks = landmark_tables(measured.landmarks)
    landmark_bests = [table for table in landmarks if table.inputs == AUGMENTED]
    by_landmarks = dict.fromkeys(table.task for table in landmarks)
    bests = best_methods([table for table in tables if table.task not in by_landmarks], tests)
    many_points = [task for task in by_landmarks if len(tasks[task].points) > _MANY]
    figures = list_figures(study, measured)
    best_lines: list[Accuracy | LandmarkErrors] = [best.network.either for best in bests if best.network]
    best_lines += [row.line for table in landmark_bests for row in table.best if row.line.variant]
    return {
        "papers": papers,
        "published": any(row.published_mean_difference is not None for row in rows),
        "metrics": METRICS,
        "verdict": judge(rows, papers, tests, study.config.folds_by == "group", tasks),
        "groups": _by_model(rows),
        "records": record_groups(tests),
        "variance": variance_groups(measured.variance, "test_r2"),
        "error_tables": [table for table in tables if table.task not in many_points],
        "landmarks": landmarks,
        "landmark_bests": landmark_bests,
        "many_points": many_points,
        "bests": bests,
        "best_note": partial(note, tasks=tasks),
        "methods_sentence": _methods_sentences(bests, landmark_bests, tasks),
        "baseline_notes": BASELINE_NOTES,
        "strata": stratum_tables([line for line in errors.by_stratum if line.task not in many_points], tasks),
        "external": external_tables(measured.external),
        "robustness": [table for task in study.started_tasks() for table in robustness_tables(study.robustness(task))],
        "figures": figures,
        "best_curves": _best_panels(best_lines, figures, "learning_curves", "curves"),
        "best_predictions": _best_panels(best_lines, figures, "predictions", "predictions"),
    }


def _methods_sentences(bests: Sequence[Best], landmarks: Sequence[LandmarkTable], tasks: Tasks) -> str:
    """A sentence on the tasks with few points, and one on each with many."""
    few = [methods_sentence(bests, tasks)] if bests or not landmarks else []
    return " ".join([*few, *(f"{capital(landmark_words(table, tasks))}." for table in landmarks)])


def _best_panels(
    lines: Sequence[Accuracy | LandmarkErrors], figures: Mapping[str, Sequence[Figure]], name: str, section: str
) -> list[tuple[str, Figure]]:
    """The task and the figure of its best network, for an entry of `FIGURES`; tasks without one are left out."""
    found = []
    for line in dict.fromkeys(lines):
        stem = figure_stem(name, task=line.task, encoding=line.method, variant=line.variant)
        found += [(line.task, figure) for figure in figures.get(f"{section} {line.task}", ()) if figure.stem == stem]
    return found


def describe_missing(study: Study) -> list[str]:
    """What the config asks for and is not there, in words; empty when the study is complete."""
    titles = {name: settings.shown_title for name, settings in study.config.tasks.items()}
    lines = [
        f"{titles[task]}: nothing yet, the folds are not assigned"
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
            lines.append(f"{titles[task]}: the baseline{'s' * (len(names) > 1)} {', '.join(names)}")
        arms = [path.parent for path in study.robustness_paths(task) if not path.is_file()]
        if arms:
            named = "; ".join(f"{model_name(task, arm.name)}, {arm_style(arm.parent.name).label}" for arm in arms)
            lines.append(f"{titles[task]}: predictions for perturbed samples of {named}")
        absent_external = [external_place(path) for path in study.files.external([task]) if not path.is_file()]
        if absent_external:
            named = "; ".join(
                f"{title_of(task, method, variant)}, {dataset}" for _, dataset, method, variant in absent_external
            )
            lines.append(f"{titles[task]}: predictions for external data sets of {named}")
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
    order = list(METRICS)
    return [(title, sorted(group, key=lambda row: order.index(row.metric))) for title, group in groups.items()]


def write_tables(study: Study, measured: Measured) -> None:
    """Write the tables over errors, records and seeds, as the workflow does."""
    table = study.layout.table
    write_errors(table("errors"), measured.errors.overall)
    write_errors_by_stratum(table("errors_by_stratum"), measured.errors.by_stratum)
    write_records(table("records"), measured.records.tests)
    write_record_points(table("records_points"), measured.records.points)
    write_variance(table("variance"), measured.variance)
    if study.files.landmark_tasks:
        write_landmarks(measured.landmarks, *map(table, LANDMARK_TABLES))
    if set(study.config.variants) & set(MAP_VARIANTS):
        write_reliability(table("calibration"), measured.reliability.bins)
        write_scores(table("calibration_scores"), measured.reliability.scores)
    if study.files.external():
        write_external(table("external"), measured.external)
