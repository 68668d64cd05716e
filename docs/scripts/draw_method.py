"""Draws the pictures of docs/method.md that are made from the code: the two networks, and the instability.

`python docs/scripts/draw_method.py [FOLDER]`, by default `docs/images`. Shapes are those that the networks give; the
curves are the first fold of docs/results/paper-ecg.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.interpolate import UnivariateSpline
from torch import Tensor, nn

from siwcc.evaluation.statistics import instability
from siwcc.io.files import write_bytes, write_text
from siwcc.nn.paper_networks import LakshyaNet, NimeshaNet
from siwcc.report.figures.style import INK, MUTED, PAPER, arm_style, new_figure, style_axis

DOCS = Path(__file__).resolve().parent.parent
LOGS = DOCS / "results" / "paper-ecg" / "logs.csv"
CONVOLUTION, POOL, HEAD = "#56B4E9", "#009E73", "#E69F00"
STEP_PX, TOP_PX, MIDDLE_PX, HEIGHT_PX = 108, 22, 130, 282


@dataclass(frozen=True)
class Layer:
    """One box: what stands above it, in lines below it, the shape that leaves it, and its colour."""

    name: str
    details: tuple[str, ...]
    shape: tuple[int, ...]
    colour: str


def layers_of(network: NimeshaNet | LakshyaNet, leaves: str, answer: str) -> list[Layer]:
    """The layers of a network with the shapes that come out of them, the batch left out."""
    shapes = _shapes(network)
    one_axis = isinstance(network, NimeshaNet)
    kernel = "3" if one_axis else "3 x 3"
    layers = [Layer("input", (leaves,), network.input_shape, MUTED)]
    for number, block in enumerate(network.blocks, start=1):
        halves = shapes[block][-1] < layers[-1].shape[-1]
        details = (f"convolution {kernel}", "normalisation", "ReLU", *(["mean pool 2"] if halves else []))
        layers.append(Layer(f"block {number}", details, _without_height(shapes[block], one_axis), CONVOLUTION))
    weights = f"{math.prod(network.pool.weight.shape[1:])} weights"
    layers.append(Layer("learnable pool", ("weighted sum", weights, "a channel"), shapes[network.pool], POOL))
    layers.append(Layer("linear, sigmoid", (f"x {network.output_scale:g}", answer), shapes[network.head], HEAD))
    return layers


def _shapes(network: NimeshaNet | LakshyaNet) -> dict[nn.Module, tuple[int, ...]]:
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        shapes[module] = tuple(output.shape[1:])

    for module in (*network.blocks, network.pool, network.head):
        module.register_forward_hook(keep)
    network.eval()(torch.zeros(1, *network.input_shape))
    return shapes


def _without_height(shape: tuple[int, ...], one_axis: bool) -> tuple[int, ...]:
    # Signals of one axis are computed as images of height 1.
    return (shape[0], shape[2]) if one_axis else shape


def network_svg(title: str, layers: list[Layer]) -> str:
    """A box a layer: as high as the logarithm of its positions, as wide as that of its channels."""
    width = STEP_PX * len(layers) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT_PX}" width="{width}" '
        f'height="{HEIGHT_PX}" font-family="Helvetica, Arial, sans-serif" font-size="11" fill="{INK}">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{HEIGHT_PX}" fill="{PAPER}"/>',
    ]
    for number, layer in enumerate(layers):
        parts += _box(layer, 5 + STEP_PX // 2 + STEP_PX * number, is_last=number == len(layers) - 1)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(layer: Layer, centre_px: int, is_last: bool) -> list[str]:
    channels, *axes = layer.shape
    width = 8 + round(6 * math.log2(channels + 1))
    height = 12 + round(16 * math.log2(max(axes, default=1) + 1))
    lines = [" x ".join(map(str, layer.shape)), *layer.details]
    parts = [
        f'<rect x="{centre_px - width // 2}" y="{MIDDLE_PX - height // 2}" width="{width}" height="{height}" rx="3" '
        f'fill="{layer.colour}" stroke="{INK}"/>',
        _text(centre_px, TOP_PX, layer.name, "bold"),
        *(
            _text(centre_px, MIDDLE_PX + 90 + 14 * row, line, "bold" if row == 0 else "normal")
            for row, line in enumerate(lines)
        ),
    ]
    if not is_last:
        x = centre_px + STEP_PX // 2
        parts.append(
            f'<path d="M{x - 12} {MIDDLE_PX}h20m-6 -4l6 4l-6 4" fill="none" stroke="{MUTED}" stroke-width="1.5"/>'
        )
    return parts


def _text(x: int, y: int, words: str, weight: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="middle" font-weight="{weight}">{words}</text>'


def instability_figure() -> Figure:
    """Test R2 of the first fold, its smoothing spline, and the residuals whose mean square is the instability."""
    figure = new_figure(7.0, 3.2)
    with LOGS.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if (row["variant"], row["fold"]) == ("full", "1")]
    panels = figure.subplots(1, 2, sharey=True)
    for panel, encoding in zip(panels, ("coord", "weighted"), strict=True):
        of_arm = [row for row in rows if row["encoding"] == encoding]
        epochs = np.array([float(row["epoch"]) for row in of_arm])
        r2 = np.array([float(row["test_r2"]) for row in of_arm])
        spline, fine = UnivariateSpline(epochs, r2), np.linspace(epochs[0], epochs[-1], 200)
        style, value = arm_style(encoding), instability(epochs, r2).value
        panel.vlines(epochs, spline(epochs), r2, color=MUTED, linewidth=1.5, label="residual")
        panel.plot(fine, spline(fine), color=style.colour, label="spline")
        panel.plot(epochs, r2, style.marker, color=style.colour, markersize=4, label="test R\N{SUPERSCRIPT TWO}")
        panel.set_title(f"{style.label}: {value:.5f}", fontsize=10)
        panel.set_xlabel("epoch", fontsize=9)
        panel.legend(fontsize=8, frameon=False, loc="lower right")
        style_axis(panel)
    panels[0].set_ylabel("test R\N{SUPERSCRIPT TWO}", fontsize=9)
    return figure


def draw(folder: Path) -> None:
    """Write `nimesha.svg`, `lakshya.svg` and `instability.svg`."""
    nimesha = layers_of(NimeshaNet(), "2 leads, 1 time", "seconds")
    write_text(folder / "nimesha.svg", network_svg("NimeshaNet: layers and their output shapes", nimesha))
    lakshya = layers_of(LakshyaNet(), "RGB, x, y", "pixels")
    write_text(folder / "lakshya.svg", network_svg("LakshyaNet: layers and their output shapes", lakshya))
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "siwcc", "svg.fonttype": "path"}):
        instability_figure().savefig(buffer, format="svg", metadata={"Date": None})
    write_bytes(folder / "instability.svg", buffer.getvalue())


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "images")
