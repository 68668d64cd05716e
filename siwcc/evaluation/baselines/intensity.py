"""Baselines that look where a signal is strong or an image is bright or dark; nothing is learnt."""

from __future__ import annotations

import cv2
import numpy as np

from siwcc.data.augment.interface import Inputs
from siwcc.data.tasks.interface import TaskSpec
from siwcc.evaluation.baselines.signals import axis_coordinates, read_batches


def intensity_centroid(inputs: Inputs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Centroid of the intensity above its smallest value: x = sum(p w(p)) / sum(w(p)), w = m - min m.

    m is the mean of the channels, for a signal in time its absolute value.

    Args:
        inputs: The rows of all folds.
        train: Not used.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, outputs), in the task's unit.
    """
    return _weighted_centroids(inputs, test, inverted=False)


def inverted_centroid(inputs: Inputs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """As `intensity_centroid` with w = max m - m: where a signal is quiet, where an image is dark.

    Args:
        inputs: The rows of all folds.
        train: Not used.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, outputs), in the task's unit.
    """
    return _weighted_centroids(inputs, test, inverted=True)


def _weighted_centroids(inputs: Inputs, rows: np.ndarray, inverted: bool) -> np.ndarray:
    predictions = np.empty((len(rows), len(inputs.spec.outputs)))
    for positions, signals in read_batches(inputs, rows):
        intensity = signals.mean(axis=1, dtype=np.float64)
        if len(inputs.spec.shape) == 1:
            intensity = np.abs(intensity)
        axes = tuple(range(1, intensity.ndim))
        if inverted:
            weight = intensity.max(axis=axes, keepdims=True) - intensity
        else:
            weight = intensity - intensity.min(axis=axes, keepdims=True)
        predictions[positions] = find_centroids(weight, inputs.spec)
    return predictions


def find_centroids(weight: np.ndarray, spec: TaskSpec) -> np.ndarray:
    """Centroid of each sample's weights, in the coordinates of the coordinate channels.

    Args:
        weight: float64 (batch, *shape), not negative.
        spec: The task's shapes and coordinates.

    Returns:
        float64 (batch, axes), x first, in the spec's unit; the middle where all weights are 0.
    """
    total = weight.reshape(len(weight), -1).sum(axis=1)
    centroids = np.empty((len(weight), len(spec.shape)))
    for number, coordinates in enumerate(axis_coordinates(spec)):
        axis = weight.ndim - 1 - number
        others = tuple(other for other in range(1, weight.ndim) if other != axis)
        moment = weight.sum(axis=others) @ coordinates
        middle = np.full(len(weight), spec.extent[number] / 2)
        centroids[:, number] = np.divide(moment, total, out=middle, where=total > 0)
    return centroids


def otsu_centroid(inputs: Inputs, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Centroid of the largest dark region by Otsu's threshold; the image's centre where there is none.

    Args:
        inputs: The rows of all folds.
        train: Not used.
        test: Numbers of the test rows.

    Returns:
        float64 (test rows, 2), (x, y) in pixels.
    """
    predictions = np.full((len(test), 2), inputs.spec.output_scale / 2)
    for positions, images in read_batches(inputs, test):
        for position, image in zip(positions, images, strict=True):
            region = find_dark_region(image)
            if region is not None:
                moments = cv2.moments(region, binaryImage=True)
                predictions[position] = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    return predictions


def find_dark_region(image: np.ndarray) -> np.ndarray | None:
    """The largest connected region (8 neighbours) darker than Otsu's threshold of the content.

    Grey is the mean of the colours in 256 levels between the content's darkest and brightest value
    (OpenCV, "Image Thresholding"). Padding is exactly 0 in every colour and takes no part.

    Args:
        image: float32 (colours, height, width).

    Returns:
        uint8 (height, width), 1 inside the region; None for an image without content or contrast.
    """
    content = image.any(axis=0)
    grey = image.mean(axis=0, dtype=np.float64)
    low, high = (grey[content].min(), grey[content].max()) if content.any() else (0.0, 0.0)
    if low == high:
        return None
    levels = np.rint((grey.clip(low, high) - low) / (high - low) * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[content], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark = (levels <= threshold) & content
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=8)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(labels == largest, dtype=np.uint8)
