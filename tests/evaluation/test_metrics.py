"""R2 against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score
from tolerances import FLOAT64, assert_same

from siwcc.evaluation.metrics import r2_scores

pytestmark = pytest.mark.numeric


def test_by_hand() -> None:
    # Residuals 1, 0, 2: 5. Deviations of 1, 2, 6 from 3: 4 + 1 + 9 = 14.
    target = np.array([[1.0], [2.0], [6.0]])
    assert r2_scores(target, np.array([[2.0], [2.0], [4.0]])) == [1 - 5 / 14]
    assert r2_scores(target, target) == [1.0]
    assert r2_scores(target, np.full((3, 1), 3.0)) == [0.0]


def test_each_output_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    target = rng.normal(130, 40, (500, 2)).astype(np.float32)
    prediction = (target + rng.normal(0, [10, 60], (500, 2))).astype(np.float32)
    expected = r2_score(target.astype(np.float64), prediction.astype(np.float64), multioutput="raw_values")
    assert_same(r2_scores(target, prediction), expected, FLOAT64)
    assert expected[1] < 0 < expected[0]


def test_sums_are_in_double_precision() -> None:
    # In single precision the deviations of 1e-2 around 1e4 would be lost.
    target = (1e4 + np.linspace(0, 1e-1, 1001)[:, None]).astype(np.float64)
    prediction = target + 1e-3
    expected = r2_score(target[:, 0], prediction[:, 0])
    assert_same(r2_scores(target, prediction), [expected], FLOAT64)


def test_a_constant_target_has_no_r2() -> None:
    target = np.array([[1.0, 5.0], [2.0, 5.0]])
    scores = r2_scores(target, target)
    assert scores[0] == 1.0
    assert np.isnan(scores[1])
