"""Synthetic tasks with a known result: does the study find an effect that is there, and none that is not?

Every signal of a control shows three equal peaks at random places in noise. Two tasks are read off them:

    position       the target is the time of the last peak. Each peak looks like the others, so only a network
                   that knows positions can predict: coordinates must help.
    no_position    the peaks' height, common to all three, is drawn for each signal, and the target is a fixed
                   multiple of it. Where the peaks stand says nothing: coordinates cannot help.

The network is `pooled`, in which no weight belongs to a position. Peaks stand so far from each other and from the
edges that none of its features sees two of them, or one together with an edge: without a coordinate, and without
noise, its target depends on each peak's place modulo 16 samples alone.

Only the signals are made here. Fold files go through the study's own training, predictions, comparisons and reading.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from siwcc.config import SignalTask, Train
from siwcc.data.augment.interface import copy_rng
from siwcc.data.folds import FOLD_COLUMNS, STRATA_COLUMNS
from siwcc.data.tasks.interface import TaskSpec
from siwcc.data.tasks.signal import error_limits
from siwcc.evaluation import statistics
from siwcc.evaluation.comparisons import Row, compare_study, format_rows, write_rows
from siwcc.evaluation.logs import read_log
from siwcc.evaluation.record_tests import PRIMARY, RecordTest, compare_records, write_record_points, write_records
from siwcc.io.console import note, tracked
from siwcc.io.files import write_csv, write_text
from siwcc.io.run_key import PREDICTIONS, RunKey
from siwcc.io.shards import shard_writer
from siwcc.io.study_layout import StudyLayout
from siwcc.report.record_verdict import read_tests
from siwcc.report.verdict import read_rows
from siwcc.report.wording import Reading, p_words

TASK, VARIANT, SEED = "ecg", "pooled", 42
FOLDS = 5
LENGTH, RATE_HZ = 320, 25.0
WINDOW_S = LENGTH / RATE_HZ
# As in the paper.
LEADS = 2
PEAKS, PEAK_HALF = 3, 4
# A feature of `PooledNet` sees 46 samples, and features stand 16 apart: see the module's docstring.
GAP = 46 + 2 * PEAK_HALF
MARGIN = 31 + PEAK_HALF
FREE = LENGTH - 2 * MARGIN - (PEAKS - 1) * GAP
NOISE_MV = 0.1
HEIGHTS_MV = (0.5, 1.5)

SPEC = TaskSpec(
    task=TASK,
    network="nimesha",
    outputs=("",),
    unit="s",
    channels=LEADS,
    shape=(LENGTH,),
    extent=((LENGTH - 1) / RATE_HZ,),
    output_scale=WINDOW_S,
)


class Peaks(NamedTuple):
    """The peaks of one signal.

    Attributes:
        places: int64 (3,), the samples on which they are centred, ascending.
        height_mv: Of each of them.
    """

    places: np.ndarray
    height_mv: float


@dataclass(frozen=True)
class Control:
    """A made task.

    Attributes:
        name: Its folder.
        varies_height: Whether the height is drawn for each signal, or is 1 mV in all.
        target_s: The target from the peaks, in seconds, 0 ... 12.8.
        helped: Whether coordinates must help.
    """

    name: str
    varies_height: bool
    target_s: Callable[[Peaks], float]
    helped: bool


CONTROLS = {
    control.name: control
    for control in (
        Control("position", False, lambda peaks: float(peaks.places[-1]) / RATE_HZ, helped=True),
        Control("no_position", True, lambda peaks: peaks.height_mv * WINDOW_S / 2, helped=False),
    )
}


@dataclass(frozen=True)
class Size:
    """How large a control is made.

    Attributes:
        records_per_fold: Made records; what the test over records counts.
        signals_per_record: Signals in each.
        studies: Encodings that are compared with `none`.
        epochs: Of every training.
    """

    records_per_fold: int = 4
    signals_per_record: int = 25
    studies: tuple[str, ...] = ("coord_unit", "weighted_unit")
    epochs: int = 10

    @property
    def encodings(self) -> tuple[str, ...]:
        """All that are trained."""
        return ("none", *self.studies)

    @property
    def trainings(self) -> int:
        """Networks that one control trains."""
        return FOLDS * len(self.encodings)

    def settings(self) -> Train:
        """Small trainings that end on any machine in a second or two."""
        return Train(epochs=self.epochs, learning_rate=2e-3, device="cpu", threads=1, compile=False)


# ------------------------------------------------------------------- signals


def draw_peaks(control: Control, rng: np.random.Generator) -> Peaks:
    """Places, and for `no_position` the height.

    Every set of places is equally likely that leaves `MARGIN` samples to both edges and `GAP` from peak to peak.
    """
    offsets = np.sort(rng.permutation(FREE + PEAKS - 1)[:PEAKS]) - np.arange(PEAKS)
    places = MARGIN + offsets + GAP * np.arange(PEAKS)
    return Peaks(places, float(rng.uniform(*HEIGHTS_MV)) if control.varies_height else 1.0)


def draw_signal(peaks: Peaks) -> np.ndarray:
    """The peaks without noise: Hann windows of 9 samples, the same in both leads.

    Returns:
        float64 (2, 320), mV.
    """
    peak = 0.5 + 0.5 * np.cos(np.pi * np.arange(-PEAK_HALF, PEAK_HALF + 1) / (PEAK_HALF + 1))
    signal = np.zeros((LEADS, LENGTH))
    for place in peaks.places:
        signal[:, place - PEAK_HALF : place + PEAK_HALF + 1] = peaks.height_mv * peak
    return signal


def make_rows(control: Control, fold: int, seed: int, size: Size) -> dict[str, np.ndarray]:
    """The arrays of a fold file, named and shaped as `siwcc.data.augment.signal.write_fold` has them.

    Of every signal there is copy 0 without noise, and copy 1 with white noise of 0.1 mV, other in each lead:
    as in the study, copy 0 is never trained on and reported apart.

    Args:
        control: What the target is.
        fold: From 1.
        seed: Every signal has its own generator, from the seed, its id and its copy.
        size: How many signals.
    """
    rows = []
    for record in range(size.records_per_fold):
        group = f"made{(fold - 1) * size.records_per_fold + record:03d}"
        for number in range(size.signals_per_record):
            sample_id = f"{group}_{number:04d}"
            key = f"{control.name} {sample_id}"
            peaks = draw_peaks(control, copy_rng(seed, key, 0))
            clean = draw_signal(peaks)
            noise = NOISE_MV * copy_rng(seed, key, 1).standard_normal(clean.shape)
            target_s = control.target_s(peaks)
            rows += [(sample_id, group, 0, target_s, clean), (sample_id, group, 1, target_s, clean + noise)]
    sample_id, group, copy, target_s, signal = zip(*rows, strict=True)
    count = len(rows)
    return {
        "signal": np.array(signal, dtype=np.float32),
        "target": np.array(target_s)[:, np.newaxis],
        "sample_id": np.array(sample_id, dtype=object),
        "group": np.array(group, dtype=object),
        "class": np.full(count, control.name, dtype=object),
        "copy": np.array(copy, dtype=np.int32),
        "event_visible": np.ones(count, dtype=np.uint8),
        "gap_s": np.full(count, np.inf),
        "edge_s": np.zeros((count, 2)),
    }


def write_folds(control: Control, folder: Path, seed: int, size: Size) -> list[Path]:
    """Write `fold1.h5` ... `fold5.h5`, `folds.csv` and `strata.csv`; no record is in two folds.

    Args:
        control: What the data are like.
        folder: Laid out like `results/<study>`.
        seed: Of the data.
        size: How many records and copies.

    Returns:
        The fold files, in order.
    """
    attributes = {
        "task": TASK,
        "dataset": f"control_{control.name}",
        "seed": seed,
        "spec": SPEC.to_json(),
        "samples_digest": "",
        "dataset_protocol": {},
        "protocol": {},
    }
    layout, paths, lines = StudyLayout(folder), [], []
    for fold in range(1, FOLDS + 1):
        rows = make_rows(control, fold, seed, size)
        paths.append(layout.fold(TASK, fold))
        with shard_writer(paths[-1], "fold", {**attributes, "fold": fold}) as writer:
            writer.extend(rows)
        samples = zip(rows["sample_id"], rows["group"], rows["copy"], strict=True)
        lines += [(name, group, fold, control.name, "inf") for name, group, copy in samples if copy == 0]
    write_csv(layout.folds_csv(TASK), FOLD_COLUMNS, [line[: len(FOLD_COLUMNS)] for line in lines])
    write_csv(layout.strata_csv(TASK), STRATA_COLUMNS, lines)
    return paths


# ------------------------------------------------------------------- a control


class Finding(NamedTuple):
    """What the study says of one encoding against `none`.

    Attributes:
        row: Its line of `comparisons.csv` for test R2.
        reading: How the report reads that line: folds.
        test: Its primary line of `records.csv`.
        record_reading: How the report reads that line: records.
        control_r2, study_r2: Test R2, mean over the folds.
    """

    row: Row
    reading: Reading
    test: RecordTest
    record_reading: Reading
    control_r2: float
    study_r2: float


class Criterion(NamedTuple):
    """A way to call a finding a gain at 0.05: the p that decides, and what it decides."""

    p: Callable[[Finding], float]
    is_gain: Callable[[Finding], bool]


def _below(p: Callable[[Finding], float]) -> Criterion:
    return Criterion(p, lambda finding: p(finding) < statistics.SIGNIFICANCE)


CRITERIA: Mapping[str, Criterion] = {
    "folds, the paper's bootstrap": _below(lambda finding: finding.row.p_bootstrap),
    "folds, exact sign-flip": _below(lambda finding: finding.row.p_sign_flip),
    "folds, corrected t": _below(lambda finding: finding.row.p_corrected_t),
    "folds, corrected t after Holm": Criterion(
        lambda finding: finding.row.p_holm, lambda finding: finding.reading is Reading.GAIN
    ),
    "records, exact sign-flip": _below(lambda finding: finding.test.p_smaller),
}


@dataclass(frozen=True)
class Outcome:
    """A control that has been run.

    Attributes:
        control: Which.
        seed: Of its data and its trainings.
        findings: One for each encoding that was compared with `none`.
    """

    control: Control
    seed: int
    findings: tuple[Finding, ...]

    @property
    def is_right(self) -> bool:
        """Whether the verdict is what the control was made for: every encoding a gain, or none of them.

        The verdict is the report's stricter one over folds, by test R2: a gain is what the paper's bootstrap
        and, after Holm, the corrected t-test call significant at 0.05. Error rates: docs/lab-notebook/controls.md.
        """
        gains = [finding.reading is Reading.GAIN for finding in self.findings]
        return all(gains) if self.control.helped else not any(gains)


def run_control(
    control: Control, folder: Path, seed: int = SEED, size: Size | None = None, variant: str = VARIANT
) -> Outcome:
    """Make the data, train every fold and encoding, and read the results as the report does.

    Args:
        control: An entry of `CONTROLS`.
        folder: Laid out like `results/<study>`: `ecg/` with folds and runs, `stats/` with the tables.
        seed: Of the data and the trainings.
        size: How large; the default takes about half a minute on one core.
        variant: Of the network. In others than `pooled` weights have positions: coordinates need not help.
    """
    size = size or Size()
    layout = StudyLayout(folder)
    fold_paths = write_folds(control, folder, seed, size)
    logs = _train(fold_paths, folder, seed, size, variant)
    comparisons = [("none", study) for study in size.studies]
    rows = compare_study(logs, comparisons, {TASK: statistics.fold_ratio([1] * FOLDS)}, published=None)
    records = compare_records(
        run_paths=[path.with_name(PREDICTIONS) for path in logs.values()],
        baseline_paths=[],
        strata_paths=[layout.strata_csv(TASK)],
        comparisons=comparisons,
        limits={TASK: error_limits(SPEC, SignalTask().limits)},
    )
    write_rows(layout.table("comparisons"), rows)
    write_text(layout.table3, format_rows(rows, "table"))
    write_records(layout.table("records"), records.tests)
    write_record_points(layout.table("records_points"), records.points)
    return Outcome(control, seed, tuple(_findings(rows, records.tests, logs)))


def _train(fold_paths: Sequence[Path], folder: Path, seed: int, size: Size, variant: str) -> dict[RunKey, Path]:
    # `siwcc controls --help` needs no torch, which takes seconds to import.
    from siwcc.training.run import RunFiles, train_run

    logs = {}
    runs = [(encoding, fold) for encoding in size.encodings for fold in range(1, FOLDS + 1)]
    for encoding, fold in tracked(runs, f"{folder.name}, trainings"):
        key = RunKey(TASK, encoding, variant, fold, seed)
        files = RunFiles.in_folder(StudyLayout(folder).run(key))
        # A run of the study prints its last epoch: thirty lines here that say nothing of the controls. They are logged.
        with redirect_stderr(io.StringIO()):
            train_run(key, fold_paths, fold_paths[0], size.settings(), files)
        logs[key] = files.log
    return logs


def _findings(rows: Sequence[Row], tests: Sequence[RecordTest], logs: Mapping[RunKey, Path]) -> Iterator[Finding]:
    primary = [test for test in tests if test.family == PRIMARY]
    over_records = {test.study: (test, reading) for test, reading in zip(primary, read_tests(primary), strict=True)}
    for row, reading in zip(rows, read_rows(rows), strict=True):
        if row.metric == "test_r2":
            means = [_mean_test_r2(logs, encoding) for encoding in (row.control, row.study)]
            yield Finding(row, reading, *over_records[row.study], *means)


def _mean_test_r2(logs: Mapping[RunKey, Path], encoding: str) -> float:
    return float(np.mean([read_log(path).test_r2[-1] for key, path in logs.items() if key.encoding == encoding]))


def run_controls(folder: Path | None, seeds: Sequence[int], size: Size | None = None) -> list[Outcome]:
    """Run every control with every seed; progress goes to standard error.

    Args:
        folder: Keeps `seed<n>/<control>/`; None: nothing is kept.
        seeds: Each gives other data and other trainings.
        size: See `run_control`.
    """
    outcomes = []
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(str(folder)) as root:
        for seed in seeds:
            for name, control in CONTROLS.items():
                note(f"control {name}, seed {seed}: {(size or Size()).trainings} trainings")
                outcomes.append(run_control(control, Path(root) / f"seed{seed}" / name, seed, size))
    return outcomes


# ------------------------------------------------------------------- tables


def print_outcomes(outcomes: Sequence[Outcome], console: Console) -> None:
    """A table and the verdict of each control; of several seeds also how often each test finds a gain."""
    for outcome in outcomes:
        console.print(_outcome_table(outcome))
        console.print(_verdict_line(outcome), end="\n\n")
    if len({outcome.seed for outcome in outcomes}) > 1:
        console.print(_share_table(outcomes))


def _outcome_table(outcome: Outcome) -> Table:
    must = "must" if outcome.control.helped else "cannot"
    title = f"{outcome.control.name}, seed {outcome.seed}: coordinates {must} help"
    table = Table("against none", title=title, title_justify="left")
    for finding in outcome.findings:
        table.add_column(finding.row.study, justify="right")
    columns = [_cells(finding) for finding in outcome.findings]
    for name in columns[0]:
        table.add_row(name, *(cells[name] for cells in columns))
    return table


def _cells(finding: Finding) -> dict[str, str]:
    row = finding.row
    return {
        "test R\N{SUPERSCRIPT TWO}": f"{finding.control_r2:.3f} -> {finding.study_r2:.3f}",
        "difference": f"{row.mean_difference:+.3f}",
        "95 % interval": f"{row.ci_low:+.3f} to {row.ci_high:+.3f}",
        **{f"p {name}": p_words(criterion.p(finding)).removeprefix("= ") for name, criterion in CRITERIA.items()},
        "reading over folds": finding.reading.value,
        "reading over records": finding.record_reading.value,
    }


def _verdict_line(outcome: Outcome) -> str:
    found = sum(finding.reading is Reading.GAIN for finding in outcome.findings)
    right = "right" if outcome.is_right else "WRONG"
    return f"{outcome.control.name}: a gain over folds in {found} of {len(outcome.findings)}: {right}"


def _share_table(outcomes: Sequence[Outcome]) -> Table:
    seeds = len({outcome.seed for outcome in outcomes})
    table = Table("called a gain at 0.05", title=f"How often, in {seeds} seeds", title_justify="left")
    for name in CONTROLS:
        table.add_column(name, justify="right")
    for shown, criterion in CRITERIA.items():
        table.add_row(shown, *(_share(outcomes, name, criterion) for name in CONTROLS))
    return table


def _share(outcomes: Sequence[Outcome], name: str, criterion: Criterion) -> str:
    calls = [
        criterion.is_gain(finding)
        for outcome in outcomes
        if outcome.control.name == name
        for finding in outcome.findings
    ]
    return f"{sum(calls)} of {len(calls)}"
