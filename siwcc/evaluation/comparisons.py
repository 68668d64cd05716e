"""Per-epoch logs in, rows of the paper's Table 3 out: as CSV, JSON or a text table.

A row compares two arms of one model by one metric, fold by fold, study minus control; the
arithmetic is in `siwcc.evaluation.statistics`. To add a metric, add its entry to `METRICS`.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from siwcc.evaluation import statistics
from siwcc.evaluation.logs import BY_NAME, EPOCH, Log, LogColumns, parse_number, read_log
from siwcc.evaluation.statistics import Direction, Value
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, write_table, write_text
from siwcc.io.run_key import RunKey, run_key_of

Format = Literal["table", "csv", "json"]
PUBLISHED_COMPARISON = ("coord", "weighted")

_PUBLISHED_COLUMNS = ("task", "variant", "metric", "mean_difference", "ci_low", "ci_high", "p", "conclusion")
_MAX_EFFECTS_SHOWN = 8


class Metric(NamedTuple):
    """What is read off a log, and the direction that is hoped for."""

    hoped: Direction
    measure: Callable[[Log], Value]


METRICS: Mapping[str, Metric] = {
    "instability": Metric("less", lambda log: statistics.instability(log.epochs, log.test_r2)),
    "test_r2": Metric("greater", lambda log: statistics.final_value(log.epochs, log.test_r2)),
    "train_r2": Metric("greater", lambda log: statistics.final_value(log.epochs, log.train_r2)),
}


class Arms(NamedTuple):
    """What two arms are called; task and variant are empty for logs of unknown origin."""

    task: str
    variant: str
    control: str
    study: str


class Published(NamedTuple):
    """A row of the paper's Table 3; `p` stays text, for it may be a bound."""

    mean_difference: float
    ci_low: float
    ci_high: float
    p: str
    conclusion: str


@dataclass(frozen=True)
class Row:
    """One line of `comparisons.csv`; the attributes are its columns, in this order.

    Attributes:
        task, variant, control, study, metric: What is compared; differences are study minus control.
        folds: Folds that both arms have.
        mean_difference, ci_low, ci_high: In R2 (instability: R2 squared); 95 % percentile interval.
        p_bootstrap, p_sign_flip, p_corrected_t: One-sided, in the metric's hoped-for direction.
        p_holm: `p_corrected_t` adjusted over all rows of the study.
        conclusion: The paper's, from `p_bootstrap` at 0.05.
        opposite: A significant difference the other way; else empty.
        published_mean_difference, published_ci_low, published_ci_high: The paper's, or None.
        published_p, published_conclusion: The paper's, or empty.
        agrees_sign: Whether both means have the same sign; None where nothing is to be compared.
        agrees_size: Whether each mean lies inside the other's interval.
        agrees_conclusion: Whether the conclusions are the same words.
        note: What is missing, why a value is NaN, the Monte Carlo error of a drawn p.
        fold_ids: The folds, in the order of `fold_differences`.
        fold_differences: The effect in each fold.
    """

    task: str
    variant: str
    control: str
    study: str
    metric: str
    folds: int
    mean_difference: float
    ci_low: float
    ci_high: float
    p_bootstrap: float
    p_sign_flip: float
    p_corrected_t: float
    p_holm: float
    conclusion: str
    opposite: str = ""
    published_mean_difference: float | None = None
    published_ci_low: float | None = None
    published_ci_high: float | None = None
    published_p: str = ""
    published_conclusion: str = ""
    agrees_sign: bool | None = None
    agrees_size: bool | None = None
    agrees_conclusion: bool | None = None
    note: str = ""
    fold_ids: tuple[str, ...] = ()
    fold_differences: tuple[float, ...] = ()


COLUMNS = tuple(field.name for field in fields(Row))

_Pairs = Mapping[str, Sequence[tuple[Log, Log]]]


def compare_logs(
    control: Sequence[Path],
    study: Sequence[Path],
    test_fraction: float | None = None,
    columns: LogColumns = BY_NAME,
) -> list[Row]:
    """Compare two arms, paired in the order given.

    Args:
        control: One log a fold.
        study: As many, of the same folds.
        test_fraction: n_test / (n_test + n_train) for the corrected t-test; None: 1/k of k folds.
        columns: Which columns of every log hold the R2.

    Returns:
        One row each for instability, test R2 and train R2; Holm's family is these three.

    Raises:
        InputError: unequal numbers of logs, a damaged log, a pair with different epochs,
            a fraction outside 0 to 1.
    """
    if len(control) != len(study) or not control:
        problem = f"{len(control)} control and {len(study)} study logs cannot be paired"
        raise InputError("--control, --study", problem, "give one log a fold to each, in the same order")
    ratio = _test_train_ratio(len(control), test_fraction)
    read = functools.partial(read_log, foreign=True, chosen=columns)
    pairs = [_read_pair(read, *paths) for paths in zip(control, study, strict=True)]
    folds = {str(number): [pair] for number, pair in enumerate(pairs, start=1)}
    arms = Arms("", "", "control", "study")
    return _with_holm([_compare(arms, metric, folds, ratio) for metric in METRICS])


def _test_train_ratio(folds: int, test_fraction: float | None) -> float:
    if test_fraction is None:
        return 1 / (folds - 1) if folds > 1 else math.nan
    if not 0 < test_fraction < 1:
        raise InputError("--test-fraction", f"must lie between 0 and 1, not {test_fraction:g}")
    return test_fraction / (1 - test_fraction)


def compare_study(
    logs: Mapping[RunKey, Path],
    comparisons: Sequence[tuple[str, str]],
    test_train_ratio: Mapping[str, float],
    published: Path | None,
) -> list[Row]:
    """Every row of a study's table, also of one that is not complete.

    Seeds are averaged within a fold, metric by metric, before arms are paired. Only what both arms
    have is used; folds and seeds that another run of the same task has, and one of the arms has
    not, are named in the row's note.

    Args:
        logs: The log of every run; a path that does not exist is a missing run.
        comparisons: (control, study) encodings.
        test_train_ratio: n_test/n_train of each task, see `siwcc.evaluation.statistics.fold_ratio`.
        published: The paper's Table 3, attached to coord against weighted; None: no such values.

    Returns:
        Rows by task, variant, comparison and metric; Holm's family is all of them.

    Raises:
        InputError: a damaged log or table, or a pair with different epochs.
    """
    table = {} if published is None else read_published(published)
    read = functools.cache(read_log)
    rows = []
    for task, variant in sorted({(key.task, key.variant) for key in logs}):
        for control, study in comparisons:
            arms = Arms(task, variant, control, study)
            paths, note = _present_pairs(logs, arms)
            folds = {fold: [_read_pair(read, *pair) for pair in pairs] for fold, pairs in paths.items()}
            for metric in METRICS:
                row = _compare(arms, metric, folds, test_train_ratio[task], note)
                matches = (control, study) == PUBLISHED_COMPARISON
                rows.append(_with_published(row, table.get((task, variant, metric)) if matches else None))
    return _with_holm(rows)


def write_comparisons(
    log_paths: Sequence[Path],
    folds_paths: Sequence[Path],
    comparisons: Sequence[tuple[str, str]],
    published_path: Path,
    other_data: Sequence[str],
    csv_path: Path,
    table_path: Path,
    other_protocol: Sequence[str] = (),
) -> None:
    """Write a study's rows as `comparisons.csv` and as a text table.

    Args:
        log_paths: `log.csv` of every run.
        folds_paths: `<task>/folds.csv` of every task.
        comparisons: (control, study) encodings.
        published_path: The paper's Table 3.
        other_data: Tasks whose data are not the paper's: published values stay for orientation, and
            whether ours agree with them is not judged.
        csv_path: The CSV to write.
        table_path: The text table to write.
        other_protocol: Tasks whose folds or augmentation are not the paper's: no published values.
    """
    logs = {run_key_of(path): path for path in log_paths}
    ratios = {path.parent.name: statistics.fold_ratio(_fold_sizes(path)) for path in folds_paths}
    rows = compare_study(logs, comparisons, ratios, published_path)
    rows = [without_published(row) if row.task in other_protocol else row for row in rows]
    foreign = [row.task in other_data and row.published_mean_difference is not None for row in rows]
    rows = [_not_judged(row) if other else row for row, other in zip(rows, foreign, strict=True)]
    write_rows(csv_path, rows)
    write_text(table_path, format_rows(rows, "table"))


def without_published(row: Row) -> Row:
    """The row without the paper's values and without agreement with them, for another protocol than the paper's."""
    changes: dict[str, Any] = dict.fromkeys(name for name in COLUMNS if name.startswith(("published_", "agrees_")))
    return replace(row, **changes | {"published_p": "", "published_conclusion": ""})


def _not_judged(row: Row) -> Row:
    note = "; ".join(filter(None, [row.note, "published values are of other data"]))
    return replace(row, agrees_sign=None, agrees_size=None, agrees_conclusion=None, note=note)


def _fold_sizes(folds_path: Path) -> list[int]:
    return list(Counter(row["fold"] for row in read_csv(folds_path, ("fold",))).values())


def _present_pairs(logs: Mapping[RunKey, Path], arms: Arms) -> tuple[dict[str, list[tuple[Path, Path]]], str]:
    """Paths of the runs that both arms have, by fold, and a note on those that are missing."""
    present = {key: path for key, path in logs.items() if path.is_file()}
    seeds = sorted({key.seed for key in logs if key.task == arms.task})
    paths: dict[str, list[tuple[Path, Path]]] = {}
    missing = []
    for fold in sorted({key.fold for key in logs if key.task == arms.task}):
        control, study = (
            [RunKey(arms.task, arm, arms.variant, fold, seed) for seed in seeds] for arm in (arms.control, arms.study)
        )
        pairs = [(present[a], present[b]) for a, b in zip(control, study, strict=True) if {a, b} <= present.keys()]
        if pairs:
            paths[str(fold)] = pairs
        missing += _absent_runs(control, present) + _absent_runs(study, present)
    return paths, f"missing logs: {', '.join(missing)}" if missing else ""


def _absent_runs(runs: Sequence[RunKey], present: Mapping[RunKey, Path]) -> list[str]:
    absent = [key for key in runs if key not in present]
    if len(absent) == len(runs):
        return [f"{runs[0].encoding} fold {runs[0].fold}"]
    return [f"{key.encoding} fold {key.fold} seed {key.seed}" for key in absent]


def _read_pair(read: Callable[[Path], Log], control: Path, study: Path) -> tuple[Log, Log]:
    a, b = read(control), read(study)
    if len(a.epochs) != len(b.epochs) or not np.array_equal(np.diff(a.epochs), np.diff(b.epochs)):
        problem = f"epochs {_span(b.epochs)} differ from those of its pair {a.path}, {_span(a.epochs)}"
        raise InputError(b.path, problem, "train both arms for the same epochs")
    return a, b


def _span(epochs: np.ndarray) -> str:
    return f"{epochs[0]:g} to {epochs[-1]:g} ({len(epochs)} in all)"


def _compare(arms: Arms, metric: str, folds: _Pairs, ratio: float, note: str = "") -> Row:
    hoped, measure = METRICS[metric]
    values = [{fold: [measure(pair[side]) for pair in pairs] for fold, pairs in folds.items()} for side in (0, 1)]
    control, study = ([_mean(seeds) for seeds in arm.values()] for arm in values)
    differences = statistics.paired_differences(control, study)
    bootstrap = statistics.paired_bootstrap(differences, hoped)
    flips = statistics.sign_flip_p(differences, hoped)
    corrected = statistics.corrected_t_p(differences, ratio, hoped)
    errors = {"bootstrap": bootstrap.p_error, "sign-flip": flips.p_error}
    notes = [note, *_reasons(arms, values), *_doubts(folds), bootstrap.reason, corrected.reason]
    notes += [f"{name} p is drawn, standard error {error:.5f}" for name, error in errors.items() if error > 0]
    return Row(
        *arms,
        metric=metric,
        folds=len(folds),
        mean_difference=bootstrap.mean,
        ci_low=bootstrap.ci_low,
        ci_high=bootstrap.ci_high,
        p_bootstrap=bootstrap.p,
        p_sign_flip=flips.p,
        p_corrected_t=corrected.p,
        p_holm=math.nan,
        conclusion=statistics.conclusion(bootstrap.p, bootstrap.resamples, hoped),
        opposite=statistics.opposite_conclusion(bootstrap, hoped),
        note="; ".join(dict.fromkeys(text for text in notes if text)),
        fold_ids=tuple(folds),
        fold_differences=tuple(differences.tolist()),
    )


def _mean(values: Sequence[Value]) -> float:
    return math.fsum(value.value for value in values) / len(values)


def _reasons(arms: Arms, values: Sequence[Mapping[str, Sequence[Value]]]) -> list[str]:
    """Each reason of a NaN or a doubtful value once, with the folds it befell unless it befell all of them."""
    where: dict[str, list[str]] = {}
    for arm, folds in zip((arms.control, arms.study), values, strict=True):
        for fold, seeds in folds.items():
            for reason in sorted({value.reason for value in seeds if value.reason}):
                where.setdefault(reason, []).append(f"{arm} fold {fold}")
    every = sum(map(len, values))
    return [reason if len(at) == every else f"{reason} ({', '.join(at)})" for reason, at in where.items()]


def _doubts(folds: _Pairs) -> list[str]:
    """What a reader should know of logs that can be compared but are not alike."""
    pairs = [pair for of_fold in folds.values() for pair in of_fold]
    epochs = sorted({len(control.epochs) for control, _ in pairs})
    doubts = [f"runs have {epochs[0]} to {epochs[-1]} epochs"] if len(epochs) > 1 else []
    if any(control.outputs != study.outputs for control, study in pairs):
        doubts.append("the arms log different numbers of outputs: their means are compared")
    logs = [log for pair in pairs for log in pair]
    doubts += [f"epochs are the column {axis}" for axis in sorted({log.axis for log in logs} - {EPOCH})]
    if any(np.isnan(log.train_r2).all() for log in logs):
        doubts.append("a log has no training R2")
    return doubts


def _with_holm(rows: Sequence[Row]) -> list[Row]:
    adjusted = statistics.holm([row.p_corrected_t for row in rows]).tolist()
    return [replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def _with_published(row: Row, published: Published | None) -> Row:
    if published is None:
        return row
    row = replace(row, **{f"published_{name}": value for name, value in published._asdict().items()})
    ours, theirs = row.mean_difference, published.mean_difference
    if math.isfinite(ours):
        row = replace(row, agrees_sign=bool(np.sign(ours) == np.sign(theirs)))
    if math.isfinite(row.ci_low):
        inside = published.ci_low <= ours <= published.ci_high and row.ci_low <= theirs <= row.ci_high
        row = replace(row, agrees_size=inside, agrees_conclusion=row.conclusion == published.conclusion)
    return row


def read_published(path: Path) -> dict[tuple[str, str, str], Published]:
    """The paper's Table 3, by (task, variant, metric).

    Raises:
        InputError: a column is missing, a number is none, a row is there twice.
    """
    table = {}
    for line, row in enumerate(read_csv(path, _PUBLISHED_COLUMNS), start=2):
        mean, low, high = (parse_number(path, line, name, row[name]) for name in _PUBLISHED_COLUMNS[3:6])
        key = (row["task"], row["variant"], row["metric"])
        if key in table or not low <= mean <= high:
            raise InputError(path, f"line {line} repeats a row or has its mean outside its interval")
        table[key] = Published(mean, low, high, row["p"], row["conclusion"])
    return table


def format_rows(rows: Sequence[Row], form: Format) -> str:
    """Rows as text that ends in a line end.

    CSV: numbers in full precision (`repr`), a number that could not be computed is `nan`, what does
    not apply is empty, truth is `yes` or `no`, lists are separated by semicolons. JSON: a list of
    objects, NaN and what does not apply are null. Table: laid out like the paper's Table 3.
    """
    return {"csv": _as_csv, "json": _as_json, "table": _as_table}[form](rows)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write `comparisons.csv` in one step, with its manifest beside it."""
    write_table(path, _as_csv(rows))


def read_rows(path: Path) -> list[Row]:
    """Read what `write_rows` wrote; every number comes back as it was.

    Raises:
        InputError: a column is missing, or a cell is not what its column holds.
    """
    rows = []
    for line, cells in enumerate(read_csv(path, COLUMNS), start=2):
        try:
            rows.append(Row(**{field.name: _parsed(str(field.type), cells[field.name]) for field in fields(Row)}))
        except (ValueError, KeyError) as error:
            raise InputError(path, f"line {line} is damaged ({error})", "delete it and run again") from error
    return rows


def _parsed(kind: str, cell: str) -> Any:
    """The inverse of `_csv_cell` for an attribute of that type."""
    if kind.startswith("tuple"):
        parse = float if "float" in kind else str
        return tuple(parse(part) for part in cell.split(";")) if cell else ()
    if kind.endswith("None") and not cell:
        return None
    if kind.startswith("bool"):
        return {"yes": True, "no": False}[cell]
    return float(cell) if kind.startswith("float") else int(cell) if kind == "int" else cell


def _as_csv(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_csv_cell(getattr(row, name)) for name in COLUMNS] for row in rows)
    return buffer.getvalue()


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return _yes_no(value)
    if isinstance(value, tuple):
        return ";".join(_csv_cell(part) for part in value)
    return repr(value) if isinstance(value, float) else str(value)


def _as_json(rows: Sequence[Row]) -> str:
    objects = [{name: _json_value(getattr(row, name)) for name in COLUMNS} for row in rows]
    return json.dumps(objects, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _json_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_json_value(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_table(rows: Sequence[Row]) -> str:
    with_published = any(row.published_mean_difference is not None for row in rows)
    head = ["", "mean diff.", "95 % interval", "p", "conclusion"]
    head += ["| published", "95 % interval", "p", "conclusion", "| agrees: sign", "size", "conclusion"] * with_published
    parts = [
        _grouped(rows, head, lambda row: _paper_cells(row) + _published_cells(row) * with_published),
        "What else a careful reader asks (one-sided p in the hoped-for direction: less instability, greater R2)\n",
        _grouped(rows, ["", "sign-flip p", "corrected t p", "Holm", "other way", "effect in each fold"], _other_cells),
        "".join(f"{line}\n" for line in _footnotes(rows)),
    ]
    return "\n".join(parts)


def _grouped(rows: Sequence[Row], head: Sequence[str], cells: Callable[[Row], list[str]]) -> str:
    lines = [list(head)]
    previous = ""
    for row in rows:
        title = _title(row)
        lines += [] if title == previous else [[title]]
        lines.append([f"  {row.metric}", *cells(row)])
        previous = title
    widths = [max(len(line[i]) for line in lines if len(line) == len(head)) for i in range(len(head))]
    return "".join(
        "  ".join(map(str.ljust, line, widths)).rstrip() + "\n" if len(line) > 1 else f"{line[0]}\n" for line in lines
    )


def _title(row: Row) -> str:
    model = " ".join(part for part in (row.task, row.variant) if part)
    return f"{model}{': ' if model else ''}{row.study} - {row.control}, {row.folds} fold{'s' * (row.folds != 1)}"


def _paper_cells(row: Row) -> list[str]:
    p = format_p(row.p_bootstrap, row.folds)
    return [_fixed(row.mean_difference), _interval(row.ci_low, row.ci_high), p, row.conclusion]


def _published_cells(row: Row) -> list[str]:
    mean, low, high = row.published_mean_difference, row.published_ci_low, row.published_ci_high
    if mean is None or low is None or high is None:
        return ["|", "", "", "", "|", "", ""]
    marks = [_yes_no(mark) for mark in (row.agrees_sign, row.agrees_size, row.agrees_conclusion)]
    published = [f"| {_fixed(mean)}", _interval(low, high), row.published_p, row.published_conclusion]
    return [*published, f"| {marks[0]}", *marks[1:]]


def _other_cells(row: Row) -> list[str]:
    tests = [_fixed_p(p) for p in (row.p_sign_flip, row.p_corrected_t, row.p_holm)]
    effects = [_fixed(value) for value in row.fold_differences]
    if len(effects) > _MAX_EFFECTS_SHOWN:
        effects = [f"{_fixed(np.min(row.fold_differences))} to {_fixed(np.max(row.fold_differences))}"]
    other_way = "nan" if row.conclusion == statistics.NOT_TESTABLE else row.opposite or "no"
    return [*tests, other_way, " ".join(effects)]


def _footnotes(rows: Sequence[Row]) -> list[str]:
    lines = []
    for folds in sorted({row.folds for row in rows if row.folds > 1}):
        least = f"{statistics.smallest_bootstrap_p(folds):.5f} (bootstrap), "
        least += f"{statistics.smallest_sign_flip_p(folds):.5f} (sign-flip)"
        lines.append(f"{folds} folds: the least p that can be told is {least}, however large the effect.")
    family = sum(math.isfinite(row.p_corrected_t) for row in rows)
    lines.append(f"Holm adjusts the corrected t-test over {family} rows.")
    noted: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        noted.setdefault((_title(row), row.note), []).append(row.metric)
    return lines + [f"{title}, {', '.join(at)}: {note}" for (title, note), at in noted.items() if note]


def format_p(p: float, folds: int) -> str:
    """A bootstrap p with five decimals; 0 is printed as the bound it is, `<0.00032` for five folds."""
    return f"<{statistics.smallest_bootstrap_p(folds):.5f}" if p == 0 else _fixed_p(p)


def _fixed_p(p: float) -> str:
    return "<0.00001" if p < 0.000005 else _fixed(p)


def _fixed(value: float) -> str:
    return "nan" if math.isnan(value) else f"{value:.5f}"


def _interval(low: float, high: float) -> str:
    return "nan" if math.isnan(low) else f"[{low:.5f}, {high:.5f}]"


def _yes_no(mark: bool | None) -> str:
    return "" if mark is None else "yes" if mark else "no"
