"""How far two computations of the same values may differ, on every processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

# Sums of up to a few thousand products, in another order, through twenty layers. One rounding is 1.1e-16 in float64
# and 6e-8 in float32. A wrong sign, index or factor changes a value by far more than that.
FLOAT64 = 1e-11
FLOAT32 = 1e-5


def largest(*values: Any) -> float:
    """Largest finite absolute value of arrays, tensors or numbers; 0 without any."""
    arrays = [_array(each) for each in values]
    return max((float(np.abs(array[np.isfinite(array)]).max(initial=0.0)) for array in arrays), default=0.0)


def assert_same(found: Any, expected: Any, relative: float, *, scale: float | None = None) -> None:
    """Two arrays, tensors or sequences agree to `relative` times the largest absolute value that is compared.

    Processors, numbers of threads and layouts add in different orders. The difference grows with the terms of a sum,
    not with the sum, which may be near 0: so one bound serves all values.

    Args:
        found: Values of any shape; NaN must be in the same places.
        expected: Values of the same shape.
        relative: Bound in units of the largest value.
        scale: The largest value, where `expected` is a part of what is compared: one layer's gradients, for example,
            may be 0 but for rounding, while those of the others are not.
    """
    ours, theirs = _array(found), _array(expected)
    assert ours.shape == theirs.shape, f"shapes {ours.shape} and {theirs.shape}"
    bound = relative * (largest(ours, theirs) if scale is None else scale)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
