"""Losses of heatmaps that are trained place by place, and what a network makes of them."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import FLOAT64, assert_same

from siwcc.nn.heatmap_losses import adaptive_wing, squared_error
from siwcc.nn.heatmap_networks import DenseNet, HeatmapOptions


def places(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def wing_by_hand(error: float, wanted: float) -> float:
    """Equations 3 to 5 of the source, alpha 2.1, omega 14, epsilon 1, theta 0.5."""
    power = 2.1 - wanted
    if error < 0.5:
        return 14 * math.log(1 + error**power)
    a = 14 / (1 + 0.5**power) * power * 0.5 ** (power - 1)
    return a * error - (0.5 * a - 14 * math.log(1 + 0.5**power))


class TestAdaptiveWing:
    def test_by_hand(self):
        wanted = places([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.1, 0.0])
        scores = places([0.3, -0.5, 2.0, 0.0, 0.2, 0.4, 0.1, 0.7])
        errors = [0.3, 0.5, 2.0, 0.0, 0.2, 0.6, 0.0, 0.7]
        # Eleven times as much at the peak and beside it.
        weights = [1, 1, 1, 1, 11, 11, 11, 1]
        expected = [w * wing_by_hand(e, y) for w, e, y in zip(weights, errors, wanted[0, 0, 0].tolist(), strict=True)]
        assert_same(adaptive_wing(scores, wanted)[0, 0, 0], torch.tensor(expected, dtype=torch.float64), FLOAT64)

    def test_neighbours_in_an_image_are_those_of_both_axes(self):
        wanted = torch.zeros(1, 1, 5, 6, dtype=torch.float64)
        wanted[0, 0, 2, 3] = 0.5
        loss = adaptive_wing(torch.full_like(wanted, 0.25), wanted)
        plain = wing_by_hand(0.25, 0.0)
        assert loss[0, 0, 1, 2].item() == pytest.approx(11 * plain)
        assert loss[0, 0, 3, 4].item() == pytest.approx(11 * plain)
        assert loss[0, 0, 2, 1].item() == pytest.approx(plain)
        assert loss[0, 0, 2, 3].item() == pytest.approx(11 * wing_by_hand(0.25, 0.5))

    def test_neighbours_in_a_volume_are_those_of_all_axes(self):
        wanted = torch.zeros(1, 1, 4, 5, 6, dtype=torch.float64)
        wanted[0, 0, 2, 3, 1] = 0.5
        loss = adaptive_wing(torch.full_like(wanted, 0.25), wanted)[0, 0]
        plain = wing_by_hand(0.25, 0.0)
        assert loss[1, 2, 0].item() == pytest.approx(11 * plain)
        assert loss[0, 3, 1].item() == pytest.approx(plain)

    def test_gradients_are_those_of_differences(self):
        torch.manual_seed(0)
        scores = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
        wanted = torch.rand(1, 1, 4, 5, dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda values: adaptive_wing(values, wanted), (scores,))
        exact = wanted.clone().requires_grad_()
        adaptive_wing(exact, wanted).sum().backward()
        assert torch.equal(exact.grad, torch.zeros_like(exact))


def test_squared_error():
    assert squared_error(places([1.0, -2.0]), places([0.5, 1.0])).flatten().tolist() == [0.25, 9.0]


class TestNetwork:
    def network(self, loss: str, **changes) -> DenseNet:
        torch.manual_seed(0)
        options = HeatmapOptions(loss, sigma=2.0)
        return DenseNet(1, (41,), (20.0,), "arg_max", options=options, **changes).double()

    def scored(self, network: DenseNet, monkeypatch, scores: torch.Tensor, absent: torch.Tensor | None = None):
        monkeypatch.setattr(network, "_scores", lambda _: (scores, absent))
        return lambda target: network.log_map_and_loss(torch.zeros(1), target, torch.ones(1))

    def test_squared_error_of_an_empty_heatmap_is_1(self, monkeypatch):
        network = self.network("squared_error")
        step_s, sigma_s = 0.5, 2.0
        found = self.scored(network, monkeypatch, torch.zeros(1, 1, 1, 41, dtype=torch.float64))
        target = torch.tensor([[10.0]], dtype=torch.float64)
        # The sum of the squared Gaussian over its integral, sigma sqrt(pi) / step; 5 sigma to either side.
        assert found(target)[1].item() == pytest.approx(1, abs=1e-6)
        heights = [math.exp(-0.5 * ((step_s * i - 10) / sigma_s) ** 2) for i in range(41)]
        found = self.scored(network, monkeypatch, places(heights))
        log_map, loss = found(target)
        assert loss.item() == pytest.approx(0, abs=FLOAT64)
        # The map is in proportion to the heights, and the peak is found.
        assert_same(log_map.exp()[0, 0, 0], places(heights)[0, 0, 0] / sum(heights), 1e-5)
        assert network.decode(log_map).item() == pytest.approx(10.0, abs=1e-9)

    def test_a_volume_has_the_losses_of_a_line(self, monkeypatch):
        # 21 scores, 2 voxels apart, along each axis; a Gaussian of 3 voxels in the middle, 6 sigma from the faces.
        options = HeatmapOptions("squared_error", sigma=3.0)
        network = DenseNet(1, (41, 41, 41), (40.0,) * 3, "arg_max", 2, can_be_absent=True, options=options).double()
        scores = torch.zeros(1, 2, 21, 21, 21, dtype=torch.float64)
        scores[0, 1, 4, 5, 6] = 0.5
        absent = torch.tensor([[-2.0, 1.0]], dtype=torch.float64)
        target = torch.tensor([[20.0, 20.0, 20.0, *[math.nan] * 3]], dtype=torch.float64)
        log_map, loss = self.scored(network, monkeypatch, scores, absent)(target)
        # The integral of the squared Gaussian, in scores.
        volume = (math.sqrt(math.pi) * 3 / 2) ** 3
        there = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))]
        expected = (1 + 0.25 / volume) / 2 - (math.log(there[0]) + math.log(1 - there[1])) / 2
        assert loss.item() == pytest.approx(expected, abs=1e-6)
        assert network.visible(log_map)[0].tolist() == pytest.approx(there)
        assert network.decode(log_map)[0, 3:].tolist() == pytest.approx([12.0, 10.0, 8.0])

    def test_low_scores_count_as_a_millionth(self, monkeypatch):
        network = self.network("adaptive_wing")
        scores = torch.full((1, 1, 1, 41), -3.0, dtype=torch.float64)
        scores[..., 7] = 1.0
        log_map, _ = self.scored(network, monkeypatch, scores)(torch.tensor([[3.5]], dtype=torch.float64))
        assert log_map[0, 0, 0, 7].exp().item() == pytest.approx(1 / (1 + 40e-6))

    def test_an_absent_point_wants_an_empty_heatmap(self, monkeypatch):
        network = self.network("squared_error", points=2, can_be_absent=True)
        scores = torch.zeros(1, 2, 1, 41, dtype=torch.float64)
        scores[0, 1, 0, 4] = 0.5
        absent = torch.tensor([[-2.0, 1.0]], dtype=torch.float64)
        log_map, loss = self.scored(network, monkeypatch, scores, absent)(torch.tensor([[10.0, math.nan]]))
        area = math.sqrt(math.pi) * 4
        there = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))]
        expected = (1 + 0.25 / area) / 2 - (math.log(there[0]) + math.log(1 - there[1])) / 2
        assert loss.item() == pytest.approx(expected, abs=1e-6)
        assert network.visible(log_map)[0].tolist() == pytest.approx(there)

    def test_a_mean_place_may_be_trained_and_a_peak_read(self):
        both = DenseNet(1, (41,), (20.0,), "arg_max", options=HeatmapOptions("soft_argmax")).double()
        own = DenseNet(1, (41,), (20.0,), "soft_argmax").double()
        log_map = torch.randn(3, 1, 1, 41, dtype=torch.float64).flatten(2).log_softmax(2).view(3, 1, 1, 41)
        target = 20 * torch.rand(3, 1, dtype=torch.float64)
        assert torch.equal(both.loss(log_map, target, torch.ones(1)), own.loss(log_map, target, torch.ones(1)))
        assert both.readout == "arg_max"
        plain = DenseNet(1, (41,), (20.0,), "soft_argmax", options=HeatmapOptions("cross_entropy")).double()
        assert torch.equal(plain.decode(log_map), own.decode(log_map))
