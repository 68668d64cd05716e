"""The predictions that are furthest off, each drawn with the heatmap that it was read from."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from siwcc.config import MAP_VARIANTS
from siwcc.data.augment.interface import Inputs, module_of_fold
from siwcc.data.tasks.interface import TaskSpec
from siwcc.evaluation.methods import FoldPredictions, Strata, read_methods, read_strata
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.io.joined_samples import SamplesPath
from siwcc.io.run_key import MODEL, RunKey, run_key_of
from siwcc.nn.heatmap_networks import DenseNet
from siwcc.report.figures.inputs import (
    aspect_of,
    draw_leads,
    errors_of,
    finish_figure,
    mark_case,
    picture_of,
    show_image,
    show_slice,
    words_of_error,
)
from siwcc.report.figures.points import (
    FEW,
    PREDICTION_MARK,
    TARGET_MARK,
    draw_times,
    line_handles,
    mark_handles,
    name_points,
    overlay_maps,
)
from siwcc.report.figures.style import (
    INK,
    SKY,
    VERMILION,
    FigureFiles,
    arm_style,
    model_name,
    new_figure,
    placeholder_on_error,
    save_figure,
    style_axis,
)
from siwcc.report.figures.volumes import VolumeRow, draw_rows
from siwcc.training.checkpoint import read_model

MOST, OF_A_RECORD = 10, 2
COLUMNS = ("rank", "sample_id", "record", "label", "fold", "seed")

_COLUMNS_OF_PANELS = {1: 2, 2: 5}
_ID_CHARACTERS_A_LINE = 26
# Of the largest value of a heatmap.
_LEVELS = (0.1, 0.5)


@dataclass(frozen=True)
class WorstInputs:
    """The files of one arm.

    Attributes:
        prediction_paths: `predictions.csv` of its runs with one seed, a fold each; `model.pt` lies beside.
        fold_paths: `fold1.h5` ... in order.
        samples_path: The samples file that they were made from.
        strata_path: `<task>/strata.csv`.
    """

    prediction_paths: Sequence[Path]
    fold_paths: Sequence[Path]
    samples_path: SamplesPath
    strata_path: Path


@dataclass(frozen=True)
class Worst:
    """One sample, as it is, with what was predicted.

    Attributes:
        sample_id, record, label: Which it is, and its rhythm or cell type.
        key: The run that predicted.
        target, prediction: (outputs,), seconds or pixels; of two points those of the first.
        error: See `siwcc.report.figures.inputs.errors_of`.
        confidence: 0 ... 1, of the first point.
        signal: float32 (channels, *shape), as the network gets it, before any coordinate.
        values: float32 (*places), the heatmap: see `map_of`.
        stride: Samples or pixels between two of its places.
    """

    sample_id: str
    record: str
    label: str
    key: RunKey
    target: np.ndarray
    prediction: np.ndarray
    error: float
    confidence: float
    signal: np.ndarray
    values: np.ndarray
    stride: int


def choose_worst(error: np.ndarray, record: np.ndarray, most: int = MOST, of_a_record: int = OF_A_RECORD) -> list[int]:
    """Rows with the largest errors, the largest first; of equal errors the earlier row.

    Args:
        error: float64 (rows,).
        record: (rows,) names.
        most: How many at most.
        of_a_record: How many of one record at most.
    """
    chosen: list[int] = []
    seen: Counter[str] = Counter()
    for row in np.argsort(-error, kind="stable").tolist():
        if seen[record[row]] < of_a_record:
            seen[record[row]] += 1
            chosen.append(row)
    return chosen[:most]


@placeholder_on_error
def plot_worst(inputs: WorstInputs, files: FigureFiles) -> None:
    """Draw the ten samples (not their copies) whose predictions are furthest off, at most two of a record.

    Of two points it is about the first, of more about the mean error of those that are visible.

    Args:
        inputs: The files of one arm whose networks make a map.
        files: The figures and the numbers in them.

    Raises:
        InputError: a file is missing or damaged, or a network makes no map.
    """
    spec, cases = find_worst(inputs)
    key = cases[0].key
    title = f"{model_name(key.task, key.variant)}, {arm_style(key.encoding).label}: furthest off"
    draw = {1: _draw_windows, 2: _draw_images, 3: _draw_volumes}[len(spec.shape)]
    outputs = spec.outputs[: len(cases[0].target)]
    predictions = [f"{name}{suffix}" for name in ("target", "prediction") for suffix in outputs]
    confidence = "confidence" if _is_few(spec) else f"confidence_{next(iter(spec.points))}"
    columns = [*COLUMNS, *predictions, f"error_{spec.unit}", confidence]
    write_csv(files.data, columns, [_row(rank, case) for rank, case in enumerate(cases, 1)])
    save_figure(draw(spec, cases, title), files)


def _is_few(spec: TaskSpec) -> bool:
    return len(spec.points) <= FEW


def find_worst(inputs: WorstInputs) -> tuple[TaskSpec, list[Worst]]:
    """The samples to draw with their signals and maps; see `plot_worst`."""
    strata = read_strata(inputs.strata_path)
    task = run_key_of(inputs.prediction_paths[0]).task
    methods = list(read_methods(inputs.prediction_paths, [], {task: strata}))
    itself = [_unaugmented(part) for part in methods[0][1]]
    error = np.concatenate([errors_of(part.predictions) for part in itself])
    record = np.concatenate([strata.group[part.sample] for part in itself])
    of_part = np.repeat(np.arange(len(itself)), [len(part.sample) for part in itself])
    first = np.cumsum([0, *(len(part.sample) for part in itself)])
    chosen = [row for row in choose_worst(error, record) if not np.isnan(error[row])]
    module = module_of_fold(inputs.fold_paths[0])
    found: dict[int, Worst] = {}
    for number in sorted({int(of_part[row]) for row in chosen}):
        rows = [row for row in chosen if of_part[row] == number]
        part = itself[number]
        path = inputs.fold_paths[part.fold - 1]
        opened = module.open_inputs([path], inputs.samples_path, augmented_only=False)
        for row in rows:
            found[row] = _open(part, int(row - first[number]), opened, strata)
    return opened.spec, [found[row] for row in chosen]


def _unaugmented(part: FoldPredictions) -> FoldPredictions:
    mask = part.predictions.copy == 0
    shown, points = part.predictions, part.predictions.points
    if len(points) <= FEW:
        shown = shown.of_point(next(iter(points)))
    return FoldPredictions(part.path, part.fold, part.seed, shown.select(mask), part.sample[mask])


def _open(part: FoldPredictions, row: int, inputs: Inputs, strata: Strata) -> Worst:
    predictions, key = part.predictions, run_key_of(part.path)
    sample_id = str(predictions.sample_id[row])
    place = np.flatnonzero((inputs.sample_id == sample_id) & (inputs.copy == 0))
    if len(place) != 1 or predictions.confidence is None:
        problem = (
            "has no confidence"
            if len(place) == 1
            else f"has predictions for {sample_id}, which is not in the fold file"
        )
        raise InputError(part.path, problem, "delete it and run again")
    values, stride = map_of(part.path.with_name(MODEL), inputs.batch(place, key.encoding))
    return Worst(
        sample_id=sample_id,
        record=str(strata.group[part.sample[row]]),
        label=str(strata.label[part.sample[row]]),
        key=key,
        target=predictions.target[row],
        prediction=predictions.prediction[row],
        error=float(errors_of(predictions)[row]),
        confidence=float(predictions.confidence[row]),
        signal=inputs.batch(place, "none").numpy()[0],
        values=values,
        stride=stride,
    )


def map_of(model_path: Path, signal: torch.Tensor) -> tuple[np.ndarray, int]:
    """The map of a trained network for one row.

    Args:
        model_path: A `model.pt`.
        signal: (1, signal channels, *shape).

    Returns:
        float32 (places,) along time, (rows, columns), or (slices, rows, columns): fractions that sum to 1, of two
        points of the first; the maps of more as one, see `overlay_maps`. Samples, pixels or voxels between two places.

    Raises:
        InputError: no such file, damaged, or a network without a map.
    """
    network = read_model(model_path).network
    if not isinstance(network.body, DenseNet):
        raise InputError(model_path, "makes no heatmap", f"take one of the variants {', '.join(MAP_VARIANTS)}")
    with _one_thread(), torch.inference_mode():
        maps = network.body.log_map(network.encoded(signal)).exp()[0].numpy()
    values = maps[0] if len(maps) <= FEW else overlay_maps(maps)
    return np.asarray(values[0] if signal.dim() == 3 else values), network.body.stride


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, whoever draws."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _row(rank: int, case: Worst) -> list[object]:
    numbers = (*case.target.tolist(), *case.prediction.tolist(), case.error, case.confidence)
    named = [rank, case.sample_id, case.record, case.label, case.key.fold, case.key.seed]
    return [*named, *("" if np.isnan(value) else f"{value:.6f}" for value in numbers)]


# ------------------------------------------------------------------- drawing


def _panels(cases: Sequence[Worst], spec: TaskSpec) -> tuple[int, int]:
    """Rows and columns of panels."""
    columns = min(_COLUMNS_OF_PANELS[len(spec.shape)], len(cases))
    return -(-len(cases) // columns), columns


def _coordinates(spec: TaskSpec, case: Worst) -> list[np.ndarray]:
    """Where the places of a map lie along each axis, x first, in the task's unit."""
    return [
        np.arange(places) * case.stride * last / (size - 1)
        for places, size, last in zip(case.values.shape[::-1], spec.shape[::-1], spec.extent, strict=True)
    ]


def _draw_windows(spec: TaskSpec, cases: Sequence[Worst], title: str) -> Figure:
    rows, columns = _panels(cases, spec)
    figure = new_figure(4.7 * columns, 0.8 + 1.95 * rows)
    axes = figure.subplots(2 * rows, columns, squeeze=False, sharex=True, height_ratios=[3, 1] * rows)
    for axis in axes.ravel():
        axis.set_visible(False)
    for rank, case in enumerate(cases):
        leads, below = axes[2 * (rank // columns) : 2 * (rank // columns) + 2, rank % columns]
        draw_leads(leads, spec, case.signal)
        below.fill_between(_coordinates(spec, case)[0], case.values, color=VERMILION, alpha=0.55, linewidth=0)
        for axis in (leads, below):
            axis.set_visible(True)
            draw_times(axis, case.target, case.prediction, alone=1.8)
            style_axis(axis, grid="none")
            axis.spines["left"].set_visible(False)
        leads.tick_params(axis="x", length=0, labelbottom=False)
        leads.set_title(_title(rank, case, spec), fontsize=8.5, loc="left", color=INK, pad=3)
        below.set_yticks([0.5 * float(case.values.max())], ["map"])
        below.tick_params(axis="y", length=0)
        below.tick_params(axis="x", labelbottom=True)
        below.set_ylim(0, 1.05 * float(case.values.max()))
        below.set_xlim(0, spec.extent[0])
        below.locator_params(axis="x", nbins=5)
        if rank + columns >= len(cases):
            below.set_xlabel(f"time in the window ({spec.unit})", fontsize=9, color=INK)
    name_points(axes[0, -1], list(spec.points))
    return finish_figure(figure, title, line_handles(len(spec.points)))


def _draw_images(spec: TaskSpec, cases: Sequence[Worst], title: str) -> Figure:
    rows, columns = _panels(cases, spec)
    figure = new_figure(max(1.95 * columns, 4.4), 0.7 + (0.5 + 1.95 * aspect_of(spec)) * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel()[len(cases) :]:
        axis.set_visible(False)
    for rank, (axis, case) in enumerate(zip(axes.ravel(), cases, strict=False)):
        show_image(axis, picture_of(case.signal), _title(rank, case, spec, lines=True))
        x, y = _coordinates(spec, case)
        levels = [level * float(case.values.max()) for level in _LEVELS]
        axis.contour(x, y, case.values, levels=levels, colors=[SKY, SKY], linewidths=[0.7, 1.3])
        mark_case(axis, spec, case.target, case.prediction)
    name_points(axes[0, -1], list(spec.points))
    return finish_figure(figure, title, mark_handles(len(spec.points)))


def _draw_volumes(spec: TaskSpec, cases: Sequence[Worst], title: str) -> Figure:
    rows = []
    for rank, case in enumerate(cases):
        points = [(case.target, TARGET_MARK), (case.prediction, PREDICTION_MARK)]
        name = _title(rank, case, spec)
        rows.append(VolumeRow(name, case.signal[0], case.target, points, case.values, case.stride))
    return finish_figure(draw_rows(rows, show_slice), title, mark_handles(len(spec.points)))


def _title(rank: int, case: Worst, spec: TaskSpec, lines: bool = False) -> str:
    off = words_of_error(f"{case.error:.1f} {spec.unit}", spec)
    if not lines:
        sure = f", confidence {case.confidence:.2f}" if _is_few(spec) else ""
        return f"{rank + 1}. {case.label}, {off}{sure}  ({case.sample_id})"
    # A panel is some 28 characters wide.
    sure = f", conf. {case.confidence:.2f}" if _is_few(spec) else ""
    head = [f"{rank + 1}. {case.label}", f"{off}{sure}"]
    return "\n".join([*head, *textwrap.wrap(case.sample_id, _ID_CHARACTERS_A_LINE)])
