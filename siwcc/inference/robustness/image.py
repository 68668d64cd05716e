"""What may befall an image on its way to the network: noise, blur, exposure, another stain, fewer pixels.

An image is uint8 (height, width, 3), RGB, without the padding of the square. Every perturbation gives whole grey levels
again, cut off at 0 and 255, as a camera or a file would; then the image is normalised by its own mean and deviation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from siwcc.data.augment.image import ImageInputs, open_inputs
from siwcc.data.datasets.images import mean_and_std
from siwcc.inference.robustness.interface import Change, Perturbation
from siwcc.io.joined_samples import SamplesPath
from siwcc.io.shards import read_attributes

_LEVELS = "grey levels"
_TIMES = "times"


def add_noise(image: np.ndarray, sd_levels: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, independent from pixel to pixel and from colour to colour.

    Args:
        image: uint8 (height, width, 3).
        sd_levels: Standard deviation in grey levels of 255.
        rng: Draws the noise.
    """
    return _whole_levels(image + sd_levels * rng.standard_normal(image.shape))


def blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """A Gaussian blur, the image mirrored beyond its edges.

    Args:
        image: uint8 (height, width, 3).
        sigma_px: Standard deviation of the kernel, pixels; 0 leaves the image as it is.
    """
    if sigma_px == 0:
        return image
    # In float32, whose kernel is four deviations wide; that of uint8 is three.
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return _whole_levels(blurred)


def change_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply the distance of every value from the mean over all pixels and colours.

    Args:
        image: uint8 (height, width, 3).
        factor: 1 leaves the image as it is.
    """
    mean = mean_and_std(image)[0]
    return _whole_levels(mean + factor * (image - mean))


def change_brightness(image: np.ndarray, levels: float) -> np.ndarray:
    """Add the same to every value.

    Args:
        image: uint8 (height, width, 3).
        levels: Grey levels of 255.
    """
    return _whole_levels(image.astype(np.float64) + levels)


def change_stain(image: np.ndarray, fraction: float) -> np.ndarray:
    """Multiply red by 1 + fraction and blue by 1 - fraction.

    Args:
        image: uint8 (height, width, 3).
        fraction: Above 0 towards red, below towards blue.
    """
    return _whole_levels(image * np.array([1 + fraction, 1, 1 - fraction]))


def change_size(image: np.ndarray, factor: float) -> np.ndarray:
    """Take the image with fewer pixels: smaller by area, then back to its size bilinearly.

    Args:
        image: uint8 (height, width, 3).
        factor: Of both sides, above 0 and at most 1; a side keeps at least one pixel.
    """
    height, width = image.shape[:2]
    fewer = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, fewer, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _whole_levels(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


PERTURBATIONS = (
    Perturbation("noise", _LEVELS, 0.0, (5.0, 10.0, 20.0, 40.0, 80.0), add_noise),
    Perturbation(
        *("blur", "px", 0.0, (0.5, 1.0, 2.0, 4.0)),
        apply=lambda image, sigma_px, rng: blur(image, sigma_px),
    ),
    Perturbation(
        *("contrast", _TIMES, 1.0, (0.125, 0.25, 0.5, 1.5, 2.0, 4.0)),
        apply=lambda image, factor, rng: change_contrast(image, factor),
    ),
    Perturbation(
        *("brightness", _LEVELS, 0.0, (-80.0, -40.0, 40.0, 80.0)),
        apply=lambda image, levels, rng: change_brightness(image, levels),
    ),
    Perturbation(
        *("stain", "fraction", 0.0, (-0.4, -0.2, 0.2, 0.4)),
        apply=lambda image, fraction, rng: change_stain(image, fraction),
    ),
    Perturbation(
        *("size", "of the side", 1.0, (0.75, 0.5, 0.25, 0.125)),
        apply=lambda image, factor, rng: change_size(image, factor),
    ),
)


@dataclass(frozen=True)
class ImageOriginals:
    """The images of one fold, see `siwcc.inference.robustness.interface.Originals`.

    Attributes:
        seed: The study's.
        unperturbed: All copies of them, as they are in the fold.
    """

    seed: int
    unperturbed: ImageInputs

    def perturbations(self) -> tuple[Perturbation, ...]:
        """`PERTURBATIONS`."""
        return PERTURBATIONS

    def inputs(self, change: Change) -> ImageInputs:
        """Every image itself, normalised and framed as the study does; one of a single value is all 0."""
        whole = self.unperturbed
        samples = replace(whole.samples, arrays=_changed(whole.samples.arrays, change))
        itself = whole.copy == 0
        return ImageInputs(whole.spec, {name: rows[itself] for name, rows in whole.rows.items()}, samples, whole.border)


def _changed(arrays: dict[str, np.ndarray], change: Change) -> dict[str, np.ndarray]:
    images, mean, std = arrays["signal"].copy(), arrays["mean"].copy(), arrays["std"].copy()
    for row, (sample_id, (left, top, width, height)) in enumerate(
        zip(arrays["sample_id"], arrays["content_box"].tolist(), strict=True)
    ):
        content = images[row, top : top + height, left : left + width]
        content[...] = change(str(sample_id), content)
        mean[row], std[row] = mean_and_std(content)
    return {**arrays, "signal": images, "mean": mean, "std": np.where(std == 0, 1, std)}


def open_originals(fold_path: Path, samples_path: SamplesPath) -> ImageOriginals:
    """Read the images of a fold.

    Args:
        fold_path: `fold<k>.h5`.
        samples_path: The samples file that it was made from.

    Raises:
        InputError: a damaged file, or samples that the fold was not made from.
    """
    inputs = open_inputs([fold_path], samples_path, augmented_only=False)
    return ImageOriginals(int(read_attributes(fold_path, "fold")["seed"]), inputs)
