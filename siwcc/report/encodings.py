"""What each encoding appends, in words."""

from __future__ import annotations

from collections.abc import Sequence

from siwcc.nn.coordinate_channels import ENCODINGS
from siwcc.report.figures.style import arm_style

ENCODING_NOTES = {
    "none": "nothing is appended",
    "coord": "the coordinate itself, as CoordConv does: the paper's control",
    "weighted": "the coordinate times the mean of the signal's channels at that place: the paper's method",
    "coord_unit": "the coordinate scaled to 0 ... 1",
    "weighted_unit": "the coordinate scaled to 0 ... 1, times the mean of the signal's channels",
    "both": "the scaled coordinate, and the same weighted",
    "duplicate": "the mean of the signal's channels once more: as many channels as coordinates, no position",
    "shuffled": "the weighted coordinates in one fixed random order: their values, no position",
    "inverted": "the coordinate times how far the mean of the channels lies below its maximum in the sample",
    "fourier": "sines and cosines of the scaled coordinate, four octaves",
    "learned": "one number for each place, learned in training and at first 0",
}


def describe_encodings(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(label, what is appended in words, its formula; empty where nothing is) of each encoding.

    Args:
        names: Keys of `siwcc.nn.coordinate_channels.ENCODINGS`.
    """
    formulas = {name: ENCODINGS[name].formula if ENCODINGS[name].added(1) else "" for name in names}
    return [(arm_style(name).label, ENCODING_NOTES[name], formulas[name]) for name in names]
