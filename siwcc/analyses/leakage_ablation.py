"""One study under four protocols: folds by sample or by group, zeros or another window at the edge.

                    zero_fill            rewindow
    sample     the paper's protocol    no padding
    group        patients apart           both

Four finished studies that differ in nothing else go in. Out come the scores of every method in every
cell (`Score`), the differences between encodings (`Difference`), and sentences on how much of R2 goes
with each step. The scores of a cell are those of its own `stats/errors.csv`; R2 of single folds, and
of all folds together, come from its predictions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from siwcc.config import Config, SignalTask, read_config
from siwcc.data.tasks.interface import TaskSpec, task_module
from siwcc.evaluation.comparisons import read_rows
from siwcc.evaluation.methods import (
    ALL,
    AUGMENTED,
    FoldPredictions,
    Method,
    Strata,
    View,
    join,
    read_methods,
    read_strata,
    views_of,
)
from siwcc.evaluation.metrics import r2_scores
from siwcc.evaluation.record_tests import PRIMARY
from siwcc.evaluation.study_files import StudyFiles
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv
from siwcc.io.study_layout import StudyLayout
from siwcc.io.tables import columns_of, write_lines

TASK = "ecg"
FOLDS_VIEW, RECORDS_VIEW = "folds", "records"
MINUS = "\N{MINUS SIGN}"


class Protocol(NamedTuple):
    """A cell of the 2 x 2 ablation: `folds_by` and `tasks.ecg.shift` of its study."""

    folds_by: str
    shift: str


PROTOCOLS = {
    Protocol("sample", "zero_fill"): "the paper's protocol",
    Protocol("sample", "rewindow"): "no padding",
    Protocol("group", "zero_fill"): "patients apart",
    Protocol("group", "rewindow"): "both",
}
PAPERS, NO_PADDING, APART, BOTH = PROTOCOLS


@dataclass(frozen=True)
class Cell:
    """A finished study and the protocol that it followed."""

    protocol: Protocol
    folder: Path
    config: Config

    @property
    def layout(self) -> StudyLayout:
        """The paths of its files."""
        return StudyLayout(self.folder)

    @property
    def spec(self) -> TaskSpec:
        """Shapes and units of its task."""
        return task_module("signal").make_spec(self.config.task(TASK), self.config.dataset_of(TASK))

    def strata(self) -> Strata:
        """Read what is known of its samples.

        Raises:
            InputError: the file is missing or damaged.
        """
        return read_strata(self.layout.strata_csv(TASK))


@dataclass(frozen=True)
class Score:
    """One line of `cells.csv`; the attributes are its columns, in this order.

    Attributes:
        folds_by, shift: The cell.
        method: The encoding, or the baseline's name.
        variant: Of the network; empty for a baseline.
        inputs: `augmented` copies, or `unaugmented` samples.
        subset: `all`, or the `isolated` events.
        folds, rows: What was summed up, over all folds and seeds.
        r2: Mean over folds and seeds.
        r2_pooled: Of the rows of all folds together, mean over seeds.
        median, p90: Of the absolute error, in `unit`.
        within_fine, within_coarse: Fraction of the rows whose error is at most the limit.
        limit_fine, limit_coarse: The two limits, in `unit`.
        unit: `s`.
        r2_folds: R2 of each fold, mean over seeds, separated by semicolons.
    """

    folds_by: str
    shift: str
    method: str
    variant: str
    inputs: str
    subset: str
    folds: int
    rows: int
    r2: float
    r2_pooled: float
    median: float
    p90: float
    within_fine: float
    within_coarse: float
    limit_fine: float
    limit_coarse: float
    unit: str
    r2_folds: str

    @property
    def protocol(self) -> Protocol:
        """The cell."""
        return Protocol(self.folds_by, self.shift)

    @property
    def fold_values(self) -> list[float]:
        """R2 of each fold, as numbers."""
        return [float(value) for value in self.r2_folds.split(";") if value]


SCORE_COLUMNS = columns_of(Score)
_FROM_ERRORS = [name for name in SCORE_COLUMNS if name not in ("folds_by", "shift", "r2_pooled", "r2_folds")]


def open_cells(folders: Sequence[Path]) -> list[Cell]:
    """The four studies in the order of `PROTOCOLS`.

    Args:
        folders: results/<study> of each, in any order.

    Raises:
        InputError: a config is missing or damaged, a cell of the 2 x 2 ablation is missing or there twice,
            the studies differ in more than their protocol, or have several points.
    """
    cells: dict[Protocol, Cell] = {}
    for folder in folders:
        path = StudyLayout(folder).config
        config = read_config(path)
        points = config.task(TASK).points
        if len(points) > 1:
            problem = f"asks for the points {', '.join(points)}, and protocols are compared by one point"
            raise InputError(path, problem, f"set tasks.ecg.points to {points[0]} alone")
        protocol = Protocol(config.folds_by, cast(SignalTask, config.task(TASK)).shift)
        if protocol in cells:
            problem = f"has folds by {protocol.folds_by} and {protocol.shift}, as {cells[protocol].folder} has"
            raise InputError(folder, problem, "give one study for each cell of the 2 x 2 ablation")
        cells[protocol] = Cell(protocol, folder, config)
    for protocol, name in PROTOCOLS.items():
        if protocol not in cells:
            problem = f"no study has folds by {protocol.folds_by} and {protocol.shift} ({name})"
            raise InputError(
                ", ".join(map(str, folders)), problem, "give one study for each cell of the 2 x 2 ablation"
            )
    ordered = [cells[protocol] for protocol in PROTOCOLS]
    _check_alike(ordered)
    return ordered


def _check_alike(cells: Sequence[Cell]) -> None:
    first = _common_settings(cells[0].config)
    for cell in cells[1:]:
        other = _common_settings(cell.config)
        differing = sorted(key for key in first | other if first.get(key) != other.get(key))
        if differing:
            problem = f"differs from {cells[0].folder} in {differing[0]}, not in its protocol alone"
            raise InputError(cell.layout.config, problem, "run all four cells with the same settings")


def _common_settings(config: Config) -> dict[str, Any]:
    """What must be the same in every cell, by section; where the machine keeps its data may differ."""
    ecg = config.task(TASK).model_dump(exclude={"shift"})
    values = config.model_dump(include={"run", "encodings", "variants", "seeds", "folds", "seed", "comparisons"})
    train = config.train.model_dump(exclude={"device"})
    return values | {"tasks.ecg": ecg, "train": train, "datasets": config.dataset_of(TASK).protocol()}


# ------------------------------------------------------------------ scores


def gather_scores(cell: Cell) -> list[Score]:
    """The scores of every method of a cell, in the order of its `stats/errors.csv`.

    Raises:
        InputError: a file is missing or damaged, or a method has errors and no predictions.
    """
    path = cell.layout.table("errors")
    by_fold = _fold_scores(cell)
    scores = []
    for row in read_csv(path, ("task", *_FROM_ERRORS)):
        if row["task"] != TASK:
            continue
        key = (Method(TASK, row["variant"], row["method"]), View(row["inputs"], row["subset"]))
        if key not in by_fold:
            raise InputError(path, f"has {row['method']}, whose predictions are not there", "delete it and run again")
        pooled, of_folds = by_fold[key]
        scores.append(_score(path, cell.protocol, row, pooled, of_folds))
    return scores


def _score(path: Path, protocol: Protocol, row: Mapping[str, str], pooled: float, of_folds: Sequence[float]) -> Score:
    kinds = {field.name: {"float": float, "int": int}.get(str(field.type), str) for field in fields(Score)}
    try:
        values: dict[str, Any] = {name: kinds[name](row[name]) for name in _FROM_ERRORS}
    except ValueError as error:
        raise InputError(path, f"holds something that is no number ({error})", "delete it and run again") from error
    return Score(**protocol._asdict(), r2_pooled=pooled, r2_folds=";".join(map(repr, of_folds)), **values)


_FoldScores = dict[tuple[Method, View], tuple[float, list[float]]]


def _fold_scores(cell: Cell) -> _FoldScores:
    """R2 of all folds together, and of each, by method and view."""
    strata = cell.strata()
    isolated_s = StudyFiles(cell.layout, cell.config).limits(TASK).isolated_s
    baselines = cell.layout.found_baselines(TASK)
    found: _FoldScores = {}
    for method, parts in read_methods(run_paths(cell), baselines, {TASK: strata}):
        for view, of_view in _by_view(parts, strata, isolated_s).items():
            found[method, view] = (_pooled(of_view), _of_folds(of_view))
    return found


def run_paths(cell: Cell) -> list[Path]:
    """`predictions.csv` of every network of a cell."""
    return [cell.layout.predictions(run) for run in StudyFiles(cell.layout, cell.config).runs([TASK])]


def _by_view(
    parts: Sequence[FoldPredictions], strata: Strata, isolated_s: float | None
) -> dict[View, list[FoldPredictions]]:
    seen: dict[View, list[FoldPredictions]] = {}
    for part in parts:
        for view, mask in views_of(part, strata, isolated_s).items():
            chosen = replace(part, predictions=part.predictions.select(mask), sample=part.sample[mask])
            seen.setdefault(view, []).append(chosen)
    return seen


def _pooled(parts: Sequence[FoldPredictions]) -> float:
    of_seed: dict[int | None, list[FoldPredictions]] = {}
    for part in parts:
        of_seed.setdefault(part.seed, []).append(part)
    joined = [join([part.predictions for part in of_one]) for of_one in of_seed.values()]
    return _mean([float(np.mean(r2_scores(one.target, one.prediction))) for one in joined])


def _of_folds(parts: Sequence[FoldPredictions]) -> list[float]:
    of_fold: dict[int, list[float]] = {}
    for part in parts:
        score = float(np.mean(r2_scores(part.predictions.target, part.predictions.prediction)))
        of_fold.setdefault(part.fold, []).append(score)
    return [_mean(of_fold[fold]) for fold in sorted(of_fold)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    """Write `cells.csv` in one step, numbers in full precision."""
    write_lines(path, SCORE_COLUMNS, scores)


# ------------------------------------------------------------- differences


@dataclass(frozen=True)
class Difference:
    """One line of `differences.csv`; the attributes are its columns, in this order.

    Attributes:
        folds_by, shift: The cell.
        variant, control, study: What is compared, study minus control.
        view: `folds`, paired by fold as in the paper, or `records`, paired by record.
        metric: `test_r2` over folds, `mean_absolute_error` over records.
        unit: Empty for R2.
        pairs: Folds or records.
        mean_difference, ci_low, ci_high: 95 % percentile interval of the bootstrap over the pairs.
        p_sign_flip: One-sided, towards a larger R2 or a smaller error of the study.
        p_sign_flip_two_sided: Of the records; None over folds.
        p_bootstrap, p_corrected_t: One-sided, as in `comparisons.csv`; None over records.
        p_holm: As the cell's own table has it, adjusted over that study's rows.
        pairs_better: Pairs in which the study does better.
    """

    folds_by: str
    shift: str
    variant: str
    control: str
    study: str
    view: str
    metric: str
    unit: str
    pairs: int
    mean_difference: float
    ci_low: float
    ci_high: float
    p_sign_flip: float
    p_sign_flip_two_sided: float | None
    p_bootstrap: float | None
    p_corrected_t: float | None
    p_holm: float | None
    pairs_better: int

    @property
    def protocol(self) -> Protocol:
        """The cell."""
        return Protocol(self.folds_by, self.shift)


DIFFERENCE_COLUMNS = columns_of(Difference)
_RECORD_COLUMNS = (
    *("task", "variant", "control", "study", "family", "records", "mean_difference", "ci_low", "ci_high"),
    *("p_smaller", "p_two_sided", "p_holm", "records_better", "unit"),
)


def gather_differences(cell: Cell) -> list[Difference]:
    """The comparisons of a cell by test R2 over folds, then by mean absolute error over records.

    Raises:
        InputError: `stats/comparisons.csv` or `stats/records.csv` is missing or damaged.
    """
    table = cell.layout.table
    return [*_over_folds(cell, table("comparisons")), *_over_records(cell, table("records"))]


def _over_folds(cell: Cell, path: Path) -> Iterator[Difference]:
    for row in read_rows(path):
        if row.task == TASK and row.metric == "test_r2":
            yield Difference(
                *cell.protocol,
                *(row.variant, row.control, row.study),
                view=FOLDS_VIEW,
                metric="test_r2",
                unit="",
                pairs=row.folds,
                mean_difference=row.mean_difference,
                ci_low=row.ci_low,
                ci_high=row.ci_high,
                p_sign_flip=row.p_sign_flip,
                p_sign_flip_two_sided=None,
                p_bootstrap=row.p_bootstrap,
                p_corrected_t=row.p_corrected_t,
                p_holm=row.p_holm,
                pairs_better=sum(value > 0 for value in row.fold_differences),
            )


def _over_records(cell: Cell, path: Path) -> Iterator[Difference]:
    for row in read_csv(path, _RECORD_COLUMNS):
        if row["task"] != TASK or row["family"] != PRIMARY:
            continue
        try:
            yield Difference(
                *cell.protocol,
                *(row["variant"], row["control"], row["study"]),
                view=RECORDS_VIEW,
                metric="mean_absolute_error",
                unit=row["unit"],
                pairs=int(row["records"]),
                mean_difference=float(row["mean_difference"]),
                ci_low=float(row["ci_low"]),
                ci_high=float(row["ci_high"]),
                p_sign_flip=float(row["p_smaller"]),
                p_sign_flip_two_sided=float(row["p_two_sided"]),
                p_bootstrap=None,
                p_corrected_t=None,
                p_holm=float(row["p_holm"]),
                pairs_better=int(row["records_better"]),
            )
        except ValueError as error:
            raise InputError(path, f"holds something that is no number ({error})", "delete it and run again") from error


def write_differences(path: Path, differences: Sequence[Difference]) -> None:
    """Write `differences.csv` in one step, numbers in full precision."""
    write_lines(path, DIFFERENCE_COLUMNS, differences)


# --------------------------------------------------------------- sentences


@dataclass(frozen=True)
class Steps:
    """Test R2 of one method in the four cells, on the augmented copies of all events, and each step's loss.

    Attributes:
        method, variant: The encoding and the network, or a baseline's name and nothing.
        r2: Mean over folds, by protocol.
        median, unit: Median absolute error, by protocol.
    """

    method: str
    variant: str
    r2: Mapping[Protocol, float]
    median: Mapping[Protocol, float]
    unit: str

    @property
    def no_padding(self) -> float:
        """R2 minus that of the paper's protocol, with the other shift alone."""
        return self.r2[NO_PADDING] - self.r2[PAPERS]

    @property
    def apart(self) -> float:
        """The same with folds by patient alone."""
        return self.r2[APART] - self.r2[PAPERS]

    @property
    def both(self) -> float:
        """The same with both."""
        return self.r2[BOTH] - self.r2[PAPERS]

    def sentences(self) -> list[str]:
        """The same in words."""
        r2 = {protocol: plain(value) for protocol, value in self.r2.items()}
        medians = ", ".join(f"{self.median[protocol]:.2f}" for protocol in PROTOCOLS)
        return [
            f"Test R² {r2[PAPERS]} with the paper's protocol; {r2[NO_PADDING]} without padding "
            f"({_signed(self.no_padding)}); {r2[APART]} with patients apart ({_signed(self.apart)}); "
            f"{r2[BOTH]} with both ({_signed(self.both)}). "
            f"The two steps taken one at a time add up to {_signed(self.no_padding + self.apart)}.",
            f"Median error in the same order: {medians} {self.unit}.",
        ]


def take_steps(scores: Sequence[Score]) -> list[Steps]:
    """What each step changes for every method that all four cells have, networks before baselines."""
    seen: dict[tuple[str, str], dict[Protocol, Score]] = {}
    for score in scores:
        if (score.inputs, score.subset) == (AUGMENTED, ALL):
            seen.setdefault((score.method, score.variant), {})[score.protocol] = score
    return [
        Steps(
            *method,
            {protocol: score.r2 for protocol, score in cells.items()},
            {protocol: score.median for protocol, score in cells.items()},
            next(iter(cells.values())).unit,
        )
        for method, cells in sorted(seen.items(), key=lambda item: not item[0][1])
        if len(cells) == len(PROTOCOLS)
    ]


def plain(value: float) -> str:
    """Three decimals with a true minus sign."""
    # Adding zero takes the sign from what rounds to it.
    return f"{round(value, 3) + 0.0:.3f}".replace("-", MINUS)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}".replace("-", MINUS)
