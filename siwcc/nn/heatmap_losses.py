"""Losses of heatmaps that are trained to be a Gaussian of height 1 around the point, place by place.

| `loss` | what is compared | source |
|---|---|---|
| `cross_entropy` | softmax of the scores and a Gaussian of sum 1 | `siwcc.nn.heatmap_networks` |
| `soft_argmax` | mean place and target, softmax and Gaussian | Nibali et al. 2018, arXiv:1801.07372 |
| `squared_error` | scores and a Gaussian of height 1 | Tompson et al. 2014, arXiv:1406.2984 |
| `adaptive_wing` | the same; small errors count more near the peak | Wang et al. 2019, arXiv:1904.07399 |
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["adaptive_wing", "squared_error"]

# Section 4.2 of the source, which gives these values for heatmaps of heights from 0 to 1.
_ALPHA, _OMEGA, _EPSILON, _THETA = 2.1, 14.0, 1.0, 0.5
# Section 4.3: places next to a height from this on count so much more.
_HIGH, _MORE = 0.2, 10.0


def squared_error(scores: Tensor, wanted: Tensor) -> Tensor:
    """(B, points, *places) each -> the same shape, without unit."""
    return (scores - wanted).square()


def adaptive_wing(scores: Tensor, wanted: Tensor) -> Tensor:
    """Logarithm of a power of a small error, a straight line from 0.5 on; more where the Gaussian is high.

    Args:
        scores: (B, points, *places), two or three axes of places.
        wanted: The same shape, 0 ... 1.

    Returns:
        The same shape, without unit.
    """
    error = (scores - wanted).abs()
    power = _ALPHA - wanted
    ratio = _THETA / _EPSILON
    # The line has the curve's value and slope at theta.
    slope = _OMEGA * power * ratio ** (power - 1) / (1 + ratio**power) / _EPSILON
    at_theta = _OMEGA * torch.log1p(ratio**power)
    curve = _OMEGA * torch.log1p((error.clamp_max(_THETA) / _EPSILON) ** power)
    loss = torch.where(error < _THETA, curve, slope * (error - _THETA) + at_theta)
    # By columns and rows: a signal over time has one row.
    reach = [1 if size > 1 else 0 for size in wanted.shape[2:]]
    largest = functional.max_pool3d if len(reach) == 3 else functional.max_pool2d
    near = largest(wanted, [2 * by + 1 for by in reach], stride=1, padding=reach) >= _HIGH
    return loss * (1 + _MORE * near.to(loss.dtype))
