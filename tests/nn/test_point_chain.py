"""Points that are decoded together: `siwcc.nn.point_chain`."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from siwcc.nn import point_chain
from siwcc.nn.heatmap_networks import DenseNet, HeatmapOptions
from siwcc.nn.paper_networks import build_localiser
from siwcc.nn.point_chain import PointChain


def targets(rows: list[list[float]], step_y: float = 2.0) -> torch.Tensor:
    """Targets with these rows of the map, x at 0."""
    y = torch.tensor(rows) * step_y
    return torch.stack([torch.zeros_like(y), y], dim=2).flatten(1)


def fractions(scores: torch.Tensor) -> torch.Tensor:
    return scores.flatten(2).log_softmax(2).view(scores.shape)


def test_rows_and_gaps_are_medians_of_what_is_visible() -> None:
    chain = PointChain(3, (2.0, 2.0))
    nan = float("nan")
    chain.fit(targets([[1, 4, 9], [2, 5, 9], [3, 7, nan]]))
    assert chain.row.tolist() == [2, 5, 9]
    # Gaps are 3, 3, 4 and 5, 4.
    assert chain.gap.tolist() == [3, 4]
    # Deviations from the medians are 1, 0, 1 and 1, 0, 2; 0, 0 and 0, 0, 1 give the least deviation.
    mad = 1.4826
    assert chain.row_deviation.tolist() == pytest.approx([mad, mad, 0.25])
    assert chain.gap_deviation.tolist() == pytest.approx([0.25, 0.25])


def test_the_rows_are_those_of_all_chains_with_the_largest_sum() -> None:
    generator = torch.Generator().manual_seed(3)
    scores = fractions(3 * torch.randn(4, 3, 7, 5, generator=generator))
    chain = PointChain(3, (2.0, 2.0))
    chain.fit(targets([[1, 3, 5], [0, 3, 4], [2, 3, 6]]))
    of_row = torch.randn(4, 3, 7, generator=generator)
    found = chain._best_rows(of_row)
    for image in range(4):
        sums = {}
        for rows in product(range(7), repeat=3):
            total = sum(float(of_row[image, point, row]) for point, row in enumerate(rows))
            off = (torch.tensor(rows) - chain.row) / chain.row_deviation
            gap = (torch.tensor(rows).diff() - chain.gap) / chain.gap_deviation
            sums[rows] = (
                total
                - 0.5 * point_chain.PLACE * float(off.square().sum())
                - 0.5 * point_chain.STEP * float(gap.square().sum())
            )
        assert tuple(found[image].tolist()) == max(sums, key=sums.__getitem__)
    assert chain(scores).shape == (4, 3, 2)


def test_a_map_that_is_one_point_off_is_put_right_by_its_neighbours() -> None:
    """Five points in rows 2, 6, ... 18; the network takes the third for the fourth with 0.85."""
    rows, columns = torch.arange(5) * 4 + 2, 3
    scores = torch.full((1, 5, 21, 7), -6.0)
    for point in range(5):
        scores[0, point, rows, columns] = 4.0
        scores[0, point, rows[3 if point == 2 else point], columns] = 6.0
    log_map = fractions(scores)
    chain = PointChain(5, (2.0, 3.0))
    chain.fit(targets([[row + shift for row in rows.tolist()] for shift in (-1.0, 0.0, 1.0)], step_y=3.0))
    found = chain(log_map)[0]
    assert log_map[0, 2].argmax() == 14 * 7 + 3
    # Rows are 3 pixels, neighbours 12 pixels apart.
    np.testing.assert_allclose(found[:, 1], 3.0 * rows, atol=3.0)
    np.testing.assert_allclose(found[:, 0], 2.0 * columns, atol=1.0)


@pytest.mark.parametrize(("points", "step"), [(1, (1.0, 1.0)), (3, (1.0,))])
def test_one_point_and_signals_over_time_are_refused(points: int, step: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="chain"):
        PointChain(points, step)


def test_a_heatmap_network_keeps_the_chain_in_its_weights() -> None:
    def make() -> DenseNet:
        options = HeatmapOptions(decoder="chain")
        body = build_localiser("lakshya", "unet", "none", 1, (64, 32), (31.0, 63.0), 63.0, 3, options).body
        assert isinstance(body, DenseNet)
        return body.eval()

    body, other = make(), make()
    assert body.chain is not None
    body.chain.fit(targets([[4, 12, 20], [5, 13, 22], [6, 14, 23]]))
    other.load_state_dict(body.state_dict())
    image = torch.randn(2, 1, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        prediction = body(image)
        assert torch.equal(prediction, other(image))
        log_map = body.log_map(image)
        assert torch.equal(prediction, body.decode(log_map))
        assert body.confidence(log_map, prediction).shape == (2, 3)
