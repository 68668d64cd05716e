"""The figures of a study on the page: which there are, in which section, and what each shows in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from siwcc.evaluation.comparisons import Row
from siwcc.evaluation.record_tests import PRIMARY
from siwcc.io.study_layout import figure_stem
from siwcc.report.figures.style import METRICS, arm_style, model_name, why_not_drawn
from siwcc.report.page import interval
from siwcc.report.records import comparison_name
from siwcc.report.study import Measured, Study
from siwcc.report.svg import inline_svg
from siwcc.report.wording import three


@dataclass(frozen=True)
class Figure:
    """A figure on the page.

    Attributes:
        svg: Its element.
        stem: Of the names of its files in the study's folder `figures`.
    """

    svg: Markup
    stem: str


def list_figures(study: Study, measured: Measured) -> dict[str, list[Figure]]:
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
    if config.onsets is not None:
        yield (
            "onsets",
            figure_stem("froc"),
            "Onsets found against false alarms per hour, for every threshold of each method.",
        )
        for name in config.onsets.datasets:
            shown = f"False alarms and missed onsets in {name} that are furthest off, with leads and probability."
            yield "onsets", figure_stem("onset_errors", dataset=name), shown
    for metric, name in METRICS.items():
        # The instability needs the scores of all epochs.
        if not any(row.metric == metric and math.isfinite(row.mean_difference) for row in measured.rows):
            continue
        yield f"forest {metric}", figure_stem("forest", metric=metric), _forest_alternative(measured.rows, metric, name)
    for test in measured.records.tests:
        if test.family == PRIMARY:
            title = f"{model_name(test.task, test.variant)}, {comparison_name(test)}"
            shown = f"{test.records_better} smaller and {test.records_worse} larger with the study"
            stem = records_stem(test.task, test.variant, test.control, test.study)
            yield f"records {test.task}", stem, f"{title}: both errors of every record, {shown}."
    for task in config.run:
        yield f"encodings {task}", figure_stem("encodings", task=task), _encodings_alternative(config.encodings)
        gaps = "Events by the time since the previous event; isolated events are marked."
        yield f"samples {task}", figure_stem("gaps", task=task), gaps
        perturbed = (
            f"Predictions within the coarse limit by the strength of {', '.join(config.perturbations_of(task))}."
        )
        yield f"robustness {task}", figure_stem("robustness", task=task), perturbed
        targets = "Targets of the augmented copies, one line per fold."
        yield f"samples {task}", figure_stem("targets", task=task), targets
        for variant in config.variants:
            model = model_name(task, variant)
            curves = f"R² by epoch of {model}, training and test, mean and range over the folds of each encoding."
            yield f"curves {task}", figure_stem("learning_curves", task=task, variant=variant), curves
            points = f"Fraction of confused predictions by point of {model}, each encoding."
            yield f"landmarks {task}", figure_stem("landmarks", task=task, variant=variant), points
            for encoding in config.encodings:
                shown = "Best, median and worst test prediction"
                alternative = f"{shown} of {model} with {arm_style(encoding).label}: target and prediction are marked."
                yield f"predictions {task}", arm_stem("predictions", task, encoding, variant), alternative
                yield from _map_figures(task, encoding, variant)


def _map_figures(task: str, encoding: str, variant: str) -> Iterator[tuple[str, str, str]]:
    """The figures of an arm whose networks make a heatmap; others have none of these files."""
    title = f"{model_name(task, variant)} with {arm_style(encoding).label}"
    arm = f"{task}_{encoding}_{variant}"
    fractions = f"Fraction of the predictions within the limit, and error, against the confidence of {title}."
    yield f"reliability {arm}", arm_stem("reliability", task, encoding, variant), fractions
    worst = f"The samples with the largest errors of {title}, with target, prediction and heatmap."
    yield f"worst {arm}", arm_stem("worst", task, encoding, variant), worst


def _forest_alternative(rows: Sequence[Row], metric: str, name: str) -> str:
    effects = "; ".join(
        f"{model_name(row.task, row.variant)}, {comparison_name(row)}: {three(row.mean_difference)} "
        f"{interval((row.ci_low, row.ci_high))}"
        for row in rows
        if row.metric == metric
    )
    return f"{name}, study minus control, mean and 95 % interval: {effects}."


def records_stem(task: str, variant: str, control: str, study: str) -> str:
    """The stem of the figure of one comparison, record by record."""
    return figure_stem("records", task=task, variant=variant, encoding=study, control=control)


def arm_stem(name: str, task: str, encoding: str, variant: str) -> str:
    """The stem of a figure of one network and encoding; `name` is a key of `FIGURES`."""
    return figure_stem(name, task=task, encoding=encoding, variant=variant)


def _encodings_alternative(encodings: Sequence[str]) -> str:
    names = ", ".join(arm_style(name).label for name in encodings)
    return f"One sample as the network gets it, and the channels that each encoding appends: {names}."
