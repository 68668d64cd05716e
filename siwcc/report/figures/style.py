"""Figures of a study, each as SVG and PNG, with its numbers as CSV: one module per kind of figure.

The files hold the same bytes for the same figure: letters are drawn as paths with the typeface
that comes with matplotlib, ids are salted, no date is stored. Every panel is a figure of its
own, narrow enough for a telephone; a page sets several side by side.
"""

from __future__ import annotations

import functools
import html
import inspect
import io
import logging
import re
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from siwcc.config import PAPERS_TASKS, ImageTask, SignalTask, TaskSection
from siwcc.io.errors import InputError
from siwcc.io.files import write_bytes, write_csv
from siwcc.report.figures.literal_text import readable, show_literally

Arguments = ParamSpec("Arguments")
logger = logging.getLogger(__name__)

# Okabe and Ito's palette: told apart with every common colour vision deficiency.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
# Each format of a figure, and where it would say when or by what it was made.
_DATED_BY = {"svg": "Date", "png": "Software", "pdf": "CreationDate"}
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
INK, MUTED, GRID, PAPER = "#1B1F24", "#5C6670", "#D5D9DE", "#FFFFFF"

# What the paper calls the networks of its tasks; those of other tasks are named after the task.
_PAPERS_NETWORKS = {"ecg": "NimeshaNet", "nuclei": "LakshyaNet"}
POOLS = {"full": "", "reduced": ", reduced pool", "pooled": ", global pool"}
VARIANT_TITLES = {
    "residual": "Residual net, global pool",
    "dense": "Dense net, mean of the map",
    "heatmap": "Dense net, peak of the map",
    "median": "Dense net, median of the map",
    "unet": "U-Net, peak of the map",
    "unet_replicate": "U-Net without zero padding",
}

Tasks = Mapping[str, TaskSection]
"""A study's tasks by name, which give the words for them."""
PAPERS: Tasks = {"ecg": SignalTask(**PAPERS_TASKS["ecg"]), "nuclei": ImageTask(**PAPERS_TASKS["nuclei"])}
METRICS = {"test_r2": "Test R²", "train_r2": "Training R²", "instability": "Instability"}


@dataclass(frozen=True)
class ArmStyle:
    """How an encoding is drawn and named; marker and name each tell it from all others.

    Attributes:
        label: What it is called.
        colour: Of its family: what it says of position.
        marker: A matplotlib marker.
        line: A matplotlib line style; tells apart the encodings of one colour.
    """

    label: str
    colour: str
    marker: str
    line: str = "-"


_DASHED, _DOTTED = "--", ":"
ARMS = {
    "coord": ArmStyle("coordinates", BLUE, "o"),
    "weighted": ArmStyle("weighted coordinates", VERMILION, "s"),
    "none": ArmStyle("no coordinates", BLACK, "^"),
    "coord_unit": ArmStyle("scaled coordinates", BLUE, "D", _DASHED),
    "weighted_unit": ArmStyle("weighted scaled coordinates", VERMILION, "P", _DASHED),
    "both": ArmStyle("scaled coordinates, plain and weighted", BLACK, "h", _DASHED),
    "duplicate": ArmStyle("repeated intensity", GREEN, "v"),
    "shuffled": ArmStyle("shuffled weighted coordinates", GREEN, "<", _DASHED),
    "inverted": ArmStyle("inversely weighted coordinates", VERMILION, ">", _DOTTED),
    "fourier": ArmStyle("Fourier coordinates", PURPLE, "*"),
    "learned": ArmStyle("learned map", PURPLE, "X", _DASHED),
}
BASELINE_LABELS = {"zero_padding": "padding only", "otsu_centroid": "Otsu centroid"}
_SPARE_MARKERS = "Dv<>P"
_NOT_DRAWN = "not drawn: "
_LONGEST_REASON = 300
_HEAD_CHARACTERS = 4000


@dataclass(frozen=True)
class FigureFiles:
    """Where one figure goes: the two renderings and the numbers in it."""

    svg: Path
    png: Path
    data: Path

    @classmethod
    def named(cls, folder: Path, stem: str) -> FigureFiles:
        """`<folder>/<stem>.svg`, `.png` and `.csv`."""
        return cls(*(folder / f"{stem}.{suffix}" for suffix in ("svg", "png", "csv")))


def arm_style(encoding: str, known: Sequence[str] = ()) -> ArmStyle:
    """The style of an encoding; one without an entry gets a spare colour by its place in `known`."""
    if encoding in ARMS:
        return ARMS[encoding]
    place = [name for name in known if name not in ARMS].index(encoding) if encoding in known else 0
    spare = (PURPLE, ORANGE, SKY, GREEN)
    label = BASELINE_LABELS.get(encoding, encoding.replace("_", " "))
    return ArmStyle(label, spare[place % len(spare)], _SPARE_MARKERS[place % len(_SPARE_MARKERS)])


def model_name(task: str, variant: str) -> str:
    """What the paper calls the network of a task, or a name with the task where it is not the paper's."""
    papers = task in _PAPERS_NETWORKS
    if variant in POOLS:
        return f"{_PAPERS_NETWORKS.get(task, f'{task}, regression')}{POOLS[variant]}"
    name = VARIANT_TITLES.get(variant, variant)
    return name if papers and variant in VARIANT_TITLES else f"{task}, {name}"


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure in the house's type and colours."""
    return Figure(figsize=(width_in, height_in), layout="constrained", facecolor=PAPER)


def style_axis(axis: Axes, grid: Literal["both", "x", "y", "none"] = "both") -> None:
    """Quiet frame: two spines, a light grid behind the data."""
    axis.set_facecolor("none")
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(MUTED)
    axis.tick_params(colors=INK, labelsize=9)
    axis.set_axisbelow(True)
    if grid != "none":
        axis.grid(color=GRID, linewidth=0.6, axis=grid)


def save_figure(figure: Figure, files: FigureFiles) -> None:
    """Write a figure as SVG and PNG, the same bytes for the same figure."""
    save_figure_as(figure, files.svg)
    save_figure_as(figure, files.png)


def save_figure_as(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the file's name ends in, the same bytes for the same figure.

    Raises:
        InputError: the name ends in none of the formats, or the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in _DATED_BY:
        raise InputError(path, "is no name of a figure", f"end it in {', '.join(f'.{name}' for name in _DATED_BY)}")
    write_bytes(path, _drawn(figure, kind, {_DATED_BY[kind]: None}))


def _drawn(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "siwcc", "svg.fonttype": "path"}), show_literally(figure):
        figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()


# --------------------------------------------------------------- placeholders


def placeholder_on_error(plot: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Let a study keep its results when a figure cannot be drawn.

    Args:
        plot: Draws a figure; has the argument `files`, a `FigureFiles`, and writes the numbers first.

    Returns:
        The same function. Where it ends in an error of the program, it writes a figure that says so, logs a warning
        with the traceback and returns; the report leaves the figure out and names it. Invalid input, a full disk and
        too little memory stay errors.
    """

    @functools.wraps(plot)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        files = inspect.signature(plot).bind(*args, **kwargs).arguments["files"]
        before = _version(files.data)
        try:
            plot(*args, **kwargs)
        except (InputError, OSError, MemoryError):
            raise
        except Exception as error:
            reason = readable(f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST_REASON])
            logger.warning("%s: the figure cannot be drawn (%s); the study continues without it", files.svg, reason)
            logger.info("%s", traceback.format_exc())
            write_placeholder(files, reason, has_numbers=_version(files.data) != before)

    return drawn


def _version(path: Path) -> tuple[int, int] | None:
    """Tells whether a file was written again."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else None


def write_placeholder(files: FigureFiles, reason: str, has_numbers: bool = False) -> None:
    """Write a figure with the reason why there is none and, if it has no numbers, a CSV file with the same."""
    if not has_numbers:
        write_csv(files.data, ("not_drawn",), [(reason,)])
    figure = new_figure(4.4, 1.6)
    text = f"This figure could not be drawn.\n\n{textwrap.fill(reason, 60)}"
    figure.text(0.02, 0.95, text, fontsize=8.5, color=INK, va="top")
    title = f"{_NOT_DRAWN}{reason}".encode("ascii", "backslashreplace").decode()
    write_bytes(files.svg, _drawn(figure, "svg", {"Date": None, "Title": title}))
    write_bytes(files.png, _drawn(figure, "png", {"Software": None}))


def why_not_drawn(svg: Path) -> str | None:
    """The reason in the placeholder of a figure that could not be drawn; None for a figure."""
    with svg.open(encoding="utf-8") as file:
        found = re.search(f"<title>{_NOT_DRAWN}(.*?)</title>", file.read(_HEAD_CHARACTERS), re.DOTALL)
    return None if found is None else html.unescape(found[1])
