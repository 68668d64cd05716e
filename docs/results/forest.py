"""Draw docs/images/findings_forest.svg and .png from the tables in this folder: `python docs/results/forest.py`.

Each row is the difference in mean absolute error between two encodings, over records (ECG) or slide images
(images), with its 95 % interval, as in `records.csv` of each study. Colours show the two-sided sign-flip test.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

HERE = Path(__file__).resolve().parent
BETTER, WORSE, UNCLEAR = "#0072B2", "#D55E00", "#6B6B6B"

PAPER = "leakage-ablation/sample-zero_fill"
ECG_CONDITIONS = (
    ("paper's protocol", PAPER, "full"),
    ("paper's protocol, reduced network", "paper-ecg", "reduced"),
    ("without padding", "leakage-ablation/sample-rewindow", "full"),
    ("new patients, with padding", "leakage-ablation/group-zero_fill", "full"),
    ("without leakage, 3 seeds", "strict", "full"),
    ("without leakage, reduced network", "strict-rest", "reduced"),
    ("without leakage, heatmap network", "localiser", "heatmap"),
)
IMAGES = (("", "herlev-strict", "full"),)
CONTRASTS = (
    ("Weighted against raw coordinates", "coord", "weighted"),
    ("Weighted against scaled coordinates", "coord_unit", "weighted"),
    ("The same, both scaled to 0 ... 1", "coord_unit", "weighted_unit"),
    ("Weighted against no coordinates", "none", "weighted"),
    ("Scaled weighted against a copy of the intensity", "duplicate", "weighted_unit"),
    ("Raw coordinates against no coordinates", "none", "coord"),
    ("Scaled coordinates against no coordinates", "none", "coord_unit"),
    ("Scaled weighted against no coordinates", "none", "weighted_unit"),
)
# Run once with each of the paper's networks, without leakage.
OTHERS = (
    ("weighted against shuffled weights", "shuffled", "weighted"),
    ("inverted against weighted", "weighted", "inverted"),
    ("weighted and scaled against scaled", "coord_unit", "both"),
    ("a learned map against none", "none", "learned"),
    ("sinusoids against none", "none", "fourier"),
)
LIMITS_S, LIMITS_PX = (-0.85, 0.85), (-0.85, 0.85)


class Effect(NamedTuple):
    """A row of the figure: difference and 95 % interval, seconds or pixels (negative: smaller error), two-sided p."""

    label: str
    difference: float
    low: float
    high: float
    p: float


def effect_of(label: str, study: str, variant: str, control: str, encoding: str) -> Effect | None:
    """The primary row of a study's `records.csv`; None if the study has no such pair."""
    with (HERE / study / "records.csv").open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            key = (row["family"], row["variant"], row["control"], row["study"])
            if key == ("primary", variant, control, encoding):
                names = ("mean_difference", "ci_low", "ci_high", "p_two_sided")
                return Effect(label, *(float(row[name]) for name in names))
    return None


def groups_of(conditions: tuple[tuple[str, str, str], ...]) -> list[tuple[str, list[Effect]]]:
    """Contrasts with the conditions in which they were run."""
    found = []
    for title, control, encoding in CONTRASTS:
        effects = [effect_of(*condition, control, encoding) for condition in conditions]
        found.append((title, [effect for effect in effects if effect is not None]))
    return [(title, effects) for title, effects in found if effects]


def other_groups() -> list[tuple[str, list[Effect]]]:
    """The encodings that only `strict-rest` has."""
    found = []
    for variant in ("full", "reduced"):
        effects = [effect_of(label, "strict-rest", variant, *pair) for label, *pair in OTHERS]
        title = f"Other encodings, without leakage, {variant} network"
        found.append((title, [effect for effect in effects if effect is not None]))
    return found


def colour_of(effect: Effect) -> str:
    """Of a smaller error, a larger one, or no significant difference."""
    return UNCLEAR if effect.p >= 0.05 else BETTER if effect.difference < 0 else WORSE


def draw_effect(axes: Axes, effect: Effect, place: float, limits: tuple[float, float]) -> None:
    """One row: interval, mean, and both as numbers. What is beyond the axis ends in an arrow."""
    colour = colour_of(effect)
    low, high = max(effect.low, limits[0]), min(effect.high, limits[1])
    axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    if limits[0] < effect.difference < limits[1]:
        axes.plot(effect.difference, place, "o", color=colour, markersize=6)
    if effect.high > limits[1]:
        axes.plot(limits[1], place, ">", color=colour, markersize=7, clip_on=False)
    numbers = f"{effect.difference:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}]".replace("-", "\u2212")
    axes.text(1.03, place, numbers, transform=axes.get_yaxis_transform(), va="center", color=colour)


def draw_panel(
    axes: Axes, groups: list[tuple[str, list[Effect]]], title: str, unit: str, limits: tuple[float, float]
) -> None:
    """One data set: a bold line for each contrast, its rows below it; a contrast with one row has one line."""
    place, ticks, labels = 0.0, [], []
    for name, effects in groups:
        single = len(effects) == 1 and effects[0].label == ""
        if single:
            place -= 0.9
        else:
            axes.text(-0.01, place, name, transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold")
        for effect in effects:
            place += 1
            draw_effect(axes, effect, place, limits)
            ticks.append(place)
            labels.append(name if single else effect.label)
        place += 1.4
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(ticks, labels)
    axes.set_xlim(limits)
    axes.set_ylim(place - 0.8, -0.8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E2E2E2")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(title, loc="left", weight="bold", fontsize=12, pad=14)
    axes.set_xlabel(f"difference in mean absolute error, {unit}:  \u2190 smaller error    larger error \u2192")


def main() -> None:
    """Write both files."""
    plt.rcParams |= {"svg.hashsalt": "siwcc", "font.size": 10, "svg.fonttype": "path"}
    ecg, images = [*groups_of(ECG_CONDITIONS), *other_groups()], groups_of(IMAGES)
    rows = [sum(1.4 + len(effects) for _, effects in ecg), 1.5 * len(images)]
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(10.5, 0.27 * sum(rows) + 2.6), height_ratios=rows)
    draw_panel(upper, ecg, "ECG (VFDB), 22 records", "s", LIMITS_S)
    draw_panel(lower, images, "Images (Herlev), 538 slide images, without leakage", "px of 128", LIMITS_PX)
    key = {"better, p < 0.05": BETTER, "worse, p < 0.05": WORSE, "no significant difference": UNCLEAR}
    handles = [Line2D([], [], color=colour, marker="o", linewidth=2, label=label) for label, colour in key.items()]
    figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.035, 1, 1), h_pad=2.5)
    for suffix in ("svg", "png"):
        metadata = {"Date": None} if suffix == "svg" else {"Software": None}
        path = HERE.parent / "images" / f"findings_forest.{suffix}"
        figure.savefig(path, dpi=130, metadata=metadata)


if __name__ == "__main__":
    main()
