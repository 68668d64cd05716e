"""The default threshold of a study's detectors."""

from __future__ import annotations

import math

import pytest

from siwcc.evaluation.onset_settings import PlattMap
from siwcc.inference.onset_results import default_threshold


def test_the_least_score_becomes_its_probability():
    score_map = PlattMap(a=2.0, b=-1.0)
    # 2 logit(0.9) - 1: 81 / e to 1.
    assert default_threshold(0.9, score_map) == pytest.approx(81 / (81 + math.e))
    # As each onset's own is compared with it.
    assert default_threshold(0.9, score_map) == float(score_map.of(0.9))


@pytest.mark.parametrize("score_map", [PlattMap(a=1e-4, b=-0.5), PlattMap(a=2.0, b=-1.0)])
def test_where_no_candidate_may_count_none_is_reported(score_map):
    threshold = default_threshold(math.inf, score_map)
    assert threshold == 1.0
    assert float(score_map.of(1.0)) < threshold
