"""Which networks make a map of scores and say how sure they are, for who must not import torch."""

from __future__ import annotations

from collections.abc import Sequence

MAP_VARIANTS = ("heatmap", "median", "dense")
"""The one that is most often right first (docs/localiser.md)."""


def shown_arm(encodings: Sequence[str], variants: Sequence[str]) -> tuple[str, str] | None:
    """The encoding and variant whose worst answers are drawn: `heatmap` before the others, the study's first encoding.

    By name and not by result, so that no look at the test folds chooses it.

    Args:
        encodings: Of the study, in its order.
        variants: Of the study.

    Returns:
        None where no variant makes a map.
    """
    return next(((encodings[0], variant) for variant in MAP_VARIANTS if variant in variants), None)
