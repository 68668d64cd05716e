"""The page on the four protocols of `siwcc.analyses.leakage_ablation`: what the paper's hides, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from siwcc.analyses.leakage_ablation import (
    FOLDS_VIEW,
    PAPERS,
    PROTOCOLS,
    RECORDS_VIEW,
    TASK,
    Cell,
    Difference,
    Protocol,
    Score,
    gather_differences,
    gather_scores,
    open_cells,
    plain,
    take_steps,
    write_differences,
)
from siwcc.analyses.leakage_figure import plot_cells
from siwcc.analyses.window_overlap import WindowOverlap, measure_overlap, write_window_overlap
from siwcc.evaluation.comparisons import format_p
from siwcc.evaluation.methods import ALL, AUGMENTED, ISOLATED, UNAUGMENTED
from siwcc.report.figures.style import FigureFiles, arm_style, model_name
from siwcc.report.page import open_templates, versions, write_page
from siwcc.report.study import Study, TaskData, config_text, describe_data, devices
from siwcc.report.svg import inline_svg

# Uses the lengths of the zero padding only, so its R2 is what the padding alone reveals.
_PADDING_BASELINE = "zero_padding"


@dataclass(frozen=True)
class ScoreRow:
    """A line of a table of scores: one method on the copies and on the original samples."""

    name: str
    augmented: Score
    unaugmented: Score | None


@dataclass(frozen=True)
class PageFiles:
    """What is written of four studies.

    Attributes:
        figure: The figure; its data are `cells.csv`.
        differences: The CSV of differences between encodings.
        window_overlap: The CSV of events by what of them was trained on.
        page: The HTML file.
    """

    figure: FigureFiles
    differences: Path
    window_overlap: Path
    page: Path


def summarise_leakage(folders: Sequence[Path], data: Path, files: PageFiles) -> None:
    """Write the tables, the figure and the page of four studies.

    Args:
        folders: results/<study> of each cell, finished.
        data: The folder that holds raw/ and samples/.
        files: Where to.

    Raises:
        InputError: see `open_cells`, `gather_scores`, `gather_differences` and `measure_overlap`.
    """
    cells = open_cells(folders)
    scores = [score for cell in cells for score in gather_scores(cell)]
    differences = [difference for cell in cells for difference in gather_differences(cell)]
    overlap = measure_overlap(cells, data)
    plot_cells(scores, files.figure)
    write_differences(files.differences, differences)
    write_window_overlap(files.window_overlap, overlap)
    content = _content(cells, data, scores, differences)
    content["window_overlap"] = _by_shift(overlap)
    content["figure"] = inline_svg(files.figure.svg, "protocols", _figure_alternative(scores))
    environment = open_templates()
    environment.globals.update(format_p=format_p)
    write_page(environment, "leakage.html.j2", content, files.page)


def _content(
    cells: Sequence[Cell], data: Path, scores: Sequence[Score], differences: Sequence[Difference]
) -> dict[str, Any]:
    """Everything that the template names but the figure."""
    studies = {cell.protocol: Study(cell.folder, data, cell.config) for cell in cells}
    described: dict[Protocol, TaskData] = {key: describe_data(study, TASK) for key, study in studies.items()}
    first = cells[0].config
    return {
        "protocols": PROTOCOLS,
        "studies": studies,
        "described": described,
        "remark": described[PAPERS].remark,
        "steps": [(method_name(step.variant, step.method), step.sentences()) for step in take_steps(scores)],
        "fractions": list(padding_sentences(scores)),
        "tables": [(subset, _score_rows(scores, subset)) for subset in (ALL, ISOLATED)],
        "limits": next((score.limit_fine, score.limit_coarse, score.unit) for score in scores),
        "comparisons": _by_comparison(differences),
        "config": first,
        "config_text": config_text(first),
        "runs": len(cells) * len(studies[PAPERS].runs()),
        "devices": sorted({device for study in studies.values() for device in devices(study)}),
        "versions": versions(),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def method_name(variant: str, method: str) -> str:
    """What a method is called on the page."""
    label = arm_style(method).label
    return f"{model_name(TASK, variant)}, {label}" if variant else f"baseline: {label}"


def padding_sentences(scores: Sequence[Score]) -> Iterator[str]:
    """The R2 of the padding-only baseline as a fraction of the networks' R2, cell by cell."""
    shown = [score for score in scores if (score.inputs, score.subset) == (AUGMENTED, ALL)]
    for protocol, name in PROTOCOLS.items():
        own = [score for score in shown if score.protocol == protocol]
        edge = next((score for score in own if score.method == _PADDING_BASELINE and not score.variant), None)
        networks = [score for score in own if score.variant and score.r2 > 0]
        if edge is None or not networks:
            continue
        fractions = ", ".join(
            f"{100 * max(edge.r2, 0.0) / score.r2:.0f} % of {method_name(score.variant, score.method)} ({score.r2:.3f})"
            for score in networks
        )
        yield f"{name[0].upper()}{name[1:]}: R² {plain(edge.r2)}, {fractions}."


def _score_rows(scores: Sequence[Score], subset: str) -> list[tuple[Protocol, list[ScoreRow]]]:
    groups = []
    for protocol in PROTOCOLS:
        own = [score for score in scores if score.protocol == protocol and score.subset == subset]
        clean = {(score.variant, score.method): score for score in own if score.inputs == UNAUGMENTED}
        rows = [
            ScoreRow(method_name(score.variant, score.method), score, clean.get((score.variant, score.method)))
            for score in own
            if score.inputs == AUGMENTED
        ]
        groups.append((protocol, rows))
    return groups


def _by_shift(lines: Sequence[WindowOverlap]) -> list[tuple[str, list[tuple[str, WindowOverlap]]]]:
    """(shift, [(name of the network, line)]), in the order of the lines."""
    found: dict[str, list[tuple[str, WindowOverlap]]] = {}
    for line in lines:
        found.setdefault(line.shift, []).append((method_name(line.variant, line.method), line))
    return list(found.items())


def _by_comparison(
    differences: Sequence[Difference],
) -> list[tuple[str, list[tuple[Protocol, Difference | None, Difference | None]]]]:
    """(heading, [(cell, over folds, over records)]) of every comparison."""
    found: dict[tuple[str, str, str], dict[tuple[Protocol, str], Difference]] = {}
    for one in differences:
        found.setdefault((one.variant, one.control, one.study), {})[one.protocol, one.view] = one
    return [
        (
            f"{model_name(TASK, variant)}: {arm_style(study).label} \N{MINUS SIGN} {arm_style(control).label}",
            [(key, of.get((key, FOLDS_VIEW)), of.get((key, RECORDS_VIEW))) for key in PROTOCOLS],
        )
        for (variant, control, study), of in found.items()
    ]


def _figure_alternative(scores: Sequence[Score]) -> str:
    parts = [
        f"{method_name(step.variant, step.method)} " + ", ".join(f"{step.r2[key]:.3f}" for key in PROTOCOLS)
        for step in take_steps(scores)
    ]
    return (
        f"Test R² of every method, mean of the folds, in the order {', '.join(PROTOCOLS.values())}: {'; '.join(parts)}."
    )
