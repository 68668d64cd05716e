"""Every figure of a study for which there are files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from siwcc.config import shown_arm
from siwcc.data.recordings import read_named
from siwcc.evaluation.landmarks import LandmarkErrors
from siwcc.evaluation.record_tests import RecordPoint
from siwcc.evaluation.reliability_table import ReliabilityBin
from siwcc.evaluation.study_files import NETWORK
from siwcc.io.console import tracked
from siwcc.io.data_layout import DataLayout
from siwcc.io.run_key import LOG, MODEL, PREDICTIONS, run_key_of
from siwcc.io.study_layout import FIGURE_KINDS, figure_stem
from siwcc.report.figure_list import arm_stem, records_stem
from siwcc.report.figures.curves import plot_learning_curves
from siwcc.report.figures.forest import plot_forest
from siwcc.report.figures.inputs import plot_encodings, plot_predictions
from siwcc.report.figures.landmarks import plot_landmarks, select_landmarks
from siwcc.report.figures.records import plot_records, select_points
from siwcc.report.figures.reliability import plot_reliability, select_bins
from siwcc.report.figures.robustness import plot_robustness
from siwcc.report.figures.samples import plot_gaps, plot_targets
from siwcc.report.figures.style import METRICS, FigureFiles, write_placeholder
from siwcc.report.figures.worst import WorstInputs, plot_worst
from siwcc.report.onsets import draw_froc, draw_onset_errors
from siwcc.report.study import Measured, Study

logger = logging.getLogger(__name__)


def draw_figures(study: Study, measured: Measured) -> None:
    """Draw every figure for which there are files."""
    for draw in tracked(list(_drawings(study, measured)), "figures"):
        draw()


def draw_complete(study: Study, measured: Measured) -> None:
    """Draw every figure of a complete study, and a placeholder with a warning for one that has no data."""
    draw_figures(study, measured)
    for path in study.files.figures(["svg"]):
        if not path.is_file():
            logger.warning("%s: there is nothing to draw", path)
            write_placeholder(_files(study, path.stem), "there is nothing to draw")


def _drawings(study: Study, measured: Measured) -> Iterator[Callable[[], None]]:
    for metric in METRICS:
        yield partial(plot_forest, measured.rows, metric, _files(study, figure_stem("forest", metric=metric)))
    yield from _onset_drawings(study)
    for task in study.started_tasks():
        yield partial(_draw_samples, study, task)
        yield from _arm_drawings(study, task, measured.landmarks.by_point)
        yield from _map_drawings(study, task, measured.reliability.bins)
        yield partial(_draw_records, study, task, measured.records.points)
        yield partial(_draw_robustness, study, task)


def _onset_drawings(study: Study) -> Iterator[Callable[[], None]]:
    onsets, table = study.config.onsets, study.layout.table
    if onsets is None or not all(path.is_file() for path in study.files.onset_tables()):
        return
    yield partial(draw_froc, table("froc"), table("onsets"), _files(study, figure_stem("froc")))
    for name in onsets.datasets:
        yield partial(
            _draw_onset_errors, study, name, [DataLayout(study.data).recordings(own) for own in onsets.dataset]
        )


def _draw_onset_errors(study: Study, dataset: str, of_folds: Sequence[Path]) -> None:
    draw_onset_errors(
        dataset=dataset,
        records=read_named(dataset, DataLayout(study.data).recordings(dataset), of_folds),
        candidates_path=study.layout.onset_candidates(NETWORK, dataset),
        curves_path=study.layout.onset_curves(dataset),
        by_record_path=study.layout.table("onsets_by_record"),
        files=_files(study, figure_stem("onset_errors", dataset=dataset)),
    )


def _draw_samples(study: Study, task: str) -> None:
    isolated_s = study.limits(task).isolated_s
    if isolated_s is not None:
        files = _files(study, figure_stem("gaps", task=task))
        plot_gaps(study.layout.strata_csv(task), isolated_s, files)
    folds = study.fold_paths(task)
    if all(path.is_file() for path in folds):
        plot_targets(folds, _files(study, figure_stem("targets", task=task)), study.config.task(task).shown_title)
    if folds[0].is_file():
        files = _files(study, figure_stem("encodings", task=task))
        plot_encodings(folds[0], study.samples_path(task), study.config.encodings, files)


def _arm_drawings(study: Study, task: str, landmarks: Sequence[LandmarkErrors]) -> Iterator[Callable[[], None]]:
    logs = study.existing(task, LOG)
    for variant in sorted({run_key_of(path).variant for path in logs}):
        chosen = select_landmarks(landmarks, task, variant)
        if chosen:
            files = _files(study, figure_stem("landmarks", task=task, variant=variant))
            yield partial(plot_landmarks, chosen, files)
        files = _files(study, figure_stem("learning_curves", task=task, variant=variant))
        yield partial(plot_learning_curves, logs, variant, files)
    arms: dict[tuple[str, str], list[Path]] = {}
    for path in study.existing(task, PREDICTIONS):
        key = run_key_of(path)
        if key.seed == study.config.seeds[0]:
            arms.setdefault((key.encoding, key.variant), []).append(path)
    for (encoding, variant), paths in arms.items():
        files = _files(study, arm_stem("predictions", task, encoding, variant))
        yield partial(plot_predictions, paths, study.fold_paths(task), study.samples_path(task), files)


def _map_drawings(study: Study, task: str, bins: Sequence[ReliabilityBin]) -> Iterator[Callable[[], None]]:
    config = study.config
    for encoding in config.encodings:
        for variant in config.variants:
            chosen = select_bins(bins, task, encoding, variant)
            if chosen:
                files = _files(study, arm_stem("reliability", task, encoding, variant))
                yield partial(plot_reliability, chosen, files)
    shown = shown_arm(config.encodings, config.variants)
    paths = [path for path in study.existing(task, PREDICTIONS) if _is_shown(path, shown, config.seeds[0])]
    if shown and paths:
        strata = study.layout.strata_csv(task)
        inputs = WorstInputs(paths, study.fold_paths(task), study.samples_path(task), strata)
        yield partial(plot_worst, inputs, _files(study, arm_stem("worst", task, *shown)))


def _is_shown(path: Path, shown: tuple[str, str] | None, seed: int) -> bool:
    key = run_key_of(path)
    return ((key.encoding, key.variant), key.seed) == (shown, seed) and path.with_name(MODEL).is_file()


def _draw_robustness(study: Study, task: str) -> None:
    lines = study.robustness(task)
    if lines:
        plot_robustness(lines, _files(study, figure_stem("robustness", task=task)), study.config.task(task).shown_title)


def _draw_records(study: Study, task: str, points: Sequence[RecordPoint]) -> None:
    for variant in study.config.variants:
        for control, encoding in study.config.comparisons:
            chosen = select_points(points, task, variant, control, encoding)
            if chosen:
                stem = records_stem(task, variant, control, encoding)
                plot_records(chosen, _files(study, stem), study.config.task(task).group)


def _files(study: Study, stem: str) -> FigureFiles:
    return FigureFiles(*(study.layout.figure(stem, kind) for kind in FIGURE_KINDS))
