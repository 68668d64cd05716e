"""Heatmaps: predictions, confidences and losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import FLOAT32, FLOAT64, assert_same
from torch import nn

from siwcc.nn.heatmap_networks import DenseNet, ResidualNet, Standardise
from siwcc.nn.paper_networks import count_parameters
from siwcc.training.torch_setup import Adam

pytestmark = pytest.mark.numeric

# 11 samples, one every four seconds, and as many scores.
LINE = {"in_channels": 2, "shape": (11,), "extent": (40.0,)}
# 13 rows and 21 columns of pixels: 4 x 6 scores, at 0, 4, ... px.
IMAGE = {"in_channels": 3, "shape": (13, 21), "extent": (20.0, 12.0)}
# 5 slices, 7 rows and 9 columns of voxels: 3 x 4 x 5 scores, at 0, 2, ... voxels.
VOLUME = {"in_channels": 1, "shape": (5, 7, 9), "extent": (8.0, 6.0, 4.0)}


def log_map(values) -> torch.Tensor:
    """Fractions of one map as the network would give them, (1, 1, H, W)."""
    fraction = torch.tensor(values, dtype=torch.float64)
    return (fraction / fraction.sum()).clamp_min(1e-12).log().view(1, 1, *([1] * (2 - fraction.dim())), *fraction.shape)


class TestPlaces:
    def test_every_sample_has_a_score(self):
        network = DenseNet(**LINE, readout="arg_max")
        assert network(torch.zeros(2, 2, 11)).shape == (2, 1)
        assert network.log_map(torch.zeros(2, 2, 11)).shape == (2, 1, 1, 11)
        assert network.step == (4.0,)
        assert DenseNet(1, (500,), (19.964,), "arg_max").step == pytest.approx((19.964 / 499,))

    def test_every_fourth_pixel_has_a_score(self):
        network = DenseNet(**IMAGE, readout="arg_max")
        assert network(torch.zeros(2, 3, 13, 21)).shape == (2, 2)
        assert network.log_map(torch.zeros(2, 3, 13, 21)).shape == (2, 1, 4, 6)
        assert network.step == (4.0, 4.0)

    def test_a_score_sees_as_far_as_is_said(self):
        torch.manual_seed(0)
        network = DenseNet(1, (1001,), (1000.0,), "arg_max").double().eval()
        signal = torch.randn(1, 1, 1001, dtype=torch.float64, requires_grad=True)
        network.features(signal)[0, :, 0, 500].sum().backward()
        seen = signal.grad[0, 0].nonzero().flatten()
        # 255 samples to either side: 3 of the first kernel, 2 * 2 * 63 of the dilated convolutions.
        assert (seen.min().item(), seen.max().item()) == (500 - 255, 500 + 255)

    def test_an_image_score_sees_127_pixels_to_either_side(self):
        torch.manual_seed(0)
        network = DenseNet(1, (321, 321), (320.0, 320.0), "arg_max").double().eval()
        signal = torch.randn(1, 1, 321, 321, dtype=torch.float64, requires_grad=True)
        network.features(signal)[0, :, 40, 40].sum().backward()
        columns = signal.grad[0, 0].abs().sum(0).nonzero().flatten()
        assert (columns.min().item(), columns.max().item()) == (160 - 127, 160 + 127)

    def test_every_second_voxel_has_a_score(self):
        network = DenseNet(**VOLUME, readout="arg_max")
        assert network(torch.zeros(2, 1, 5, 7, 9)).shape == (2, 3)
        assert network.log_map(torch.zeros(2, 1, 5, 7, 9)).shape == (2, 1, 3, 4, 5)
        assert network.step == (2.0, 2.0, 2.0)

    def test_a_volume_score_sees_30_voxels_to_either_side(self):
        torch.manual_seed(0)
        network = DenseNet(1, (5, 5, 81), (80.0, 4.0, 4.0), "arg_max").double().eval()
        signal = torch.randn(1, 1, 5, 5, 81, dtype=torch.float64, requires_grad=True)
        network.features(signal)[0, :, 1, 1, 20].sum().backward()
        columns = signal.grad[0, 0].abs().sum((0, 1)).nonzero().flatten()
        # 2 of the first kernel, 2 voxels apart 2 * (1 + 2 + 4) of the dilated convolutions.
        assert (columns.min().item(), columns.max().item()) == (40 - 30, 40 + 30)

    def test_a_moved_signal_moves_the_map(self):
        # Far from the edges.
        torch.manual_seed(0)
        network = DenseNet(1, (2001,), (2000.0,), "arg_max").double().eval()
        signal = torch.zeros(1, 1, 2001, dtype=torch.float64)
        signal[..., 700:1300] = torch.randn(600, dtype=torch.float64)
        moved = signal.roll(37, dims=2)
        scores = [network.head(network.features(one))[0, 0, 0] for one in (signal, moved)]
        assert_same(scores[0][300:1600], scores[1][337:1637], FLOAT64)

    def test_parameters(self):
        # Two leads: 2*32*7, with 2*32 of BatchNorm; six blocks of 2*(32*32*5 + 2*32); head 32 + 1.
        expected = 2 * 32 * 7 + 64 + 6 * 2 * (32 * 32 * 5 + 64) + 33
        assert count_parameters(DenseNet(2, (500,), (19.964,), "arg_max")) == expected == 62753
        assert count_parameters(ResidualNet(2, (500,), 20.0)) == expected - 33 + 65
        # Images: 3*16*49 + 16*32*25, with 2*16 + 2*32 of BatchNorm, four blocks of 2*(32*32*9 + 64).
        assert count_parameters(DenseNet(3, (128, 128), (127.0, 127.0), "arg_max")) == 2352 + 12800 + 96 + 74240 + 33
        # Volumes: 32*125 with 64 of BatchNorm, three blocks of 2*(32*32*27 + 64); the head as before.
        assert count_parameters(DenseNet(**VOLUME, readout="arg_max")) == 4000 + 64 + 166272 + 33


class TestPredictions:
    def test_the_mean_place_of_a_line(self):
        network = DenseNet(**LINE, readout="soft_argmax").double()
        # A quarter at 8 s, three quarters at 20 s.
        fractions = [0, 0, 1, 0, 0, 3, 0, 0, 0, 0, 0]
        assert network.decode(log_map(fractions)).tolist() == [[pytest.approx(17.0, rel=1e-9)]]

    # Float64 of at most 160 s: the bound is 10,000 roundings. The clamp of fractions at 1e-12 moves a place by less.
    def test_the_peak_is_not_moved_by_a_second_one(self):
        # Both are further from each other, and the first from the edges, than the smoothing reaches: 48 scores.
        line = LINE | {"shape": (161,), "extent": (160.0,)}
        network = DenseNet(**line, readout="arg_max").double()
        alone = [0.0] * 161
        alone[79:82] = [1.0, 2.0, 1.0]
        assert network.decode(log_map(alone)).item() == pytest.approx(80.0, rel=1e-9)
        mean = DenseNet(**line, readout="soft_argmax").double()
        both = [*alone[:140], 1.5, *alone[141:]]
        assert network.decode(log_map(both)).item() == pytest.approx(80.0, rel=1e-9)
        assert mean.decode(log_map(both)).item() == pytest.approx((79 + 2 * 80 + 81 + 1.5 * 140) / 5.5)

    @pytest.mark.parametrize("place_s", [12.0, 13.0, 14.0, 15.9, 20.0])
    def test_a_gaussian_is_read_between_the_scores(self, place_s):
        for readout in ("arg_max", "soft_argmax", "median"):
            network = DenseNet(1, (51,), (200.0,), readout).double()
            fractions = [math.exp(-0.5 * ((4 * i - 5 * place_s) / 8) ** 2) for i in range(51)]
            # A parabola and straight pieces through a Gaussian: of a step of 4 s, 1 %.
            assert network.decode(log_map(fractions)).item() == pytest.approx(5 * place_s, abs=0.03)

    def test_a_peak_at_the_edge_stays_there(self):
        network = DenseNet(**LINE, readout="arg_max").double()
        assert network.decode(log_map([1, *[0] * 10])).item() == 0.0
        assert network.decode(log_map([*[0] * 10, 1])).item() == 40.0

    def test_x_comes_before_y(self):
        fractions = [[0.0] * 6 for _ in range(4)]
        fractions[1][4] = 1.0
        for readout in ("arg_max", "soft_argmax", "median"):
            network = DenseNet(**IMAGE, readout=readout).double()
            assert network.decode(log_map(fractions)).tolist() == [[pytest.approx(16.0), pytest.approx(4.0)]]

    def test_x_comes_before_y_before_z(self):
        fractions = torch.zeros(3, 4, 5)
        fractions[1, 2, 4] = 1.0
        for readout in ("arg_max", "soft_argmax", "median"):
            network = DenseNet(**VOLUME, readout=readout).double()
            found = network.decode(log_map(fractions.tolist()))
            assert found.tolist() == [[pytest.approx(8.0), pytest.approx(4.0), pytest.approx(2.0)]]

    @pytest.mark.parametrize(
        ("fractions", "place"),
        [
            # Three of six parts are before 14 s, between the fourth and the fifth.
            ([0, 1, 1, 1, 2, 1, 0, 0, 0, 0, 0], 14.0),
            # Of two candidates it lies in the larger one, towards the other.
            ([0, 2, 0, 0, 0, 2.5, 0, 0, 0, 0, 0], 4 * (4.5 + 0.25 / 2.5)),
            ([0, 3, 0, 0, 0, 2.5, 0, 0, 0, 0, 0], 4 * (0.5 + 2.75 / 3)),
            ([1, *[0] * 10], 0.0),
            ([*[0] * 10, 1], 40.0),
        ],
    )
    def test_the_median_has_half_of_a_flattened_line_on_either_side(self, fractions, place):
        network = DenseNet(**LINE, readout="median").double()
        found = network.decode(log_map([fraction**1.75 for fraction in fractions])).item()
        # Shares of 1e-12 in place of 0 are 1e-7 of a flattened line, 40 s long.
        assert found == pytest.approx(place, abs=1e-4)

    def test_the_median_of_an_image_is_not_flattened(self):
        network = DenseNet(**IMAGE, readout="median").double()
        fractions = [[0.0] * 6 for _ in range(4)]
        fractions[0][1], fractions[3][2], fractions[3][5] = 3.0, 2.0, 3.0
        # Columns 1, 2 and 5 have 3, 2 and 3 of 8 parts; rows 0 and 3 have 3 and 5.
        assert network.decode(log_map(fractions)).tolist() == [[pytest.approx(8.0), pytest.approx(4 * (2.5 + 1 / 5))]]

    def test_two_points_have_a_map_each(self):
        network = DenseNet(**LINE, readout="arg_max", points=2).double()
        maps = torch.cat([log_map([0, 1, *[0] * 9]), log_map([*[0] * 8, 1, 0, 0])], dim=1)
        prediction = network.decode(maps)
        # Shares of 1e-12 in place of 0, flattened and smoothed.
        assert prediction.tolist() == [[pytest.approx(4.0, abs=1e-3), pytest.approx(32.0, abs=1e-3)]]
        assert network.confidence(maps, prediction).tolist() == [[pytest.approx(1.0), pytest.approx(1.0)]]

    def test_confidence_is_the_mass_around_the_prediction(self):
        # 5 % of 200 s to either side of 100 s: the scores from 90 to 110 s.
        network = DenseNet(1, (51,), (200.0,), "arg_max").double()
        fractions = [0.0] * 51
        fractions[25], fractions[23], fractions[22], fractions[40] = 4.0, 1.0, 2.0, 1.0
        maps = log_map(fractions)
        assert network.confidence(maps, torch.tensor([[100.0]])).item() == pytest.approx(5 / 8)

    def test_confidence_in_an_image_needs_both_axes(self):
        network = DenseNet(1, (81, 81), (80.0, 80.0), "arg_max").double()
        fractions = [[0.0] * 21 for _ in range(21)]
        fractions[10][10], fractions[10][11], fractions[11][11], fractions[10][12], fractions[3][10] = (
            1.0,
            2.0,
            3.0,
            4.0,
            5.0,
        )
        assert network.confidence(log_map(fractions), torch.tensor([[40.0, 40.0]])).item() == pytest.approx(6 / 15)

    def test_confidence_in_a_volume_needs_all_axes(self):
        network = DenseNet(1, (41, 41, 41), (40.0, 40.0, 40.0), "arg_max").double()
        # 5 % of 40 voxels to either side of 20: scores 9 to 11 along each axis.
        fractions = torch.zeros(21, 21, 21)
        fractions[10, 10, 10], fractions[9, 11, 10] = 1.0, 2.0
        fractions[8, 10, 10], fractions[10, 12, 10], fractions[10, 10, 3] = 3.0, 4.0, 5.0
        found = network.confidence(log_map(fractions.tolist()), torch.tensor([[20.0, 20.0, 20.0]]))
        assert found.item() == pytest.approx(3 / 15)


class TestLosses:
    def test_cross_entropy_with_the_gaussian(self):
        network = DenseNet(**LINE, readout="arg_max").double()
        uniform = log_map([1] * 11)
        target = torch.tensor([[16.0]], dtype=torch.float64)
        assert network.loss(uniform, target, torch.ones(1)).item() == pytest.approx(math.log(11))
        weights = [math.exp(-0.5 * ((i - 4) / 8) ** 2) for i in range(11)]
        entropy = -sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights)
        assert network.loss(log_map(weights), target, torch.ones(1)).item() == pytest.approx(entropy)

    def test_the_gaussian_of_a_point_in_an_image(self):
        network = DenseNet(**IMAGE, readout="arg_max").double()
        # x = 16 px is the fifth of six columns, y = 4 px the second of four rows; one step wide along either axis.
        target = torch.tensor([[16.0, 4.0]], dtype=torch.float64)
        weights = [[math.exp(-0.5 * ((x - 4) ** 2 + (y - 1) ** 2)) for x in range(6)] for y in range(4)]
        total = sum(map(sum, weights))
        entropy = -sum(w / total * math.log(w / total) for row in weights for w in row)
        assert network.loss(log_map(weights), target, torch.ones(2)).item() == pytest.approx(entropy)
        # No other map is as good.
        moved = [row[1:] + row[:1] for row in weights]
        assert network.loss(log_map(moved), target, torch.ones(2)).item() > entropy + 0.1

    def test_the_gaussian_of_a_point_in_a_volume(self):
        network = DenseNet(**VOLUME, readout="arg_max").double()
        # x = 8, y = 2 and z = 2 voxels are the fifth column, the second row and the second slice.
        target = torch.tensor([[8.0, 2.0, 2.0]], dtype=torch.float64)
        z, y, x = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in (3, 4, 5)), indexing="ij")
        weights = torch.exp(-0.5 * ((x - 4) ** 2 + (y - 1) ** 2 + (z - 1) ** 2))
        fraction = weights / weights.sum()
        entropy = -(fraction * fraction.log()).sum().item()
        assert network.loss(log_map(weights.tolist()), target, torch.ones(3)).item() == pytest.approx(entropy)

    def test_squared_error_and_divergence(self):
        network = DenseNet(**LINE, readout="soft_argmax").double()
        target = torch.tensor([[16.0]], dtype=torch.float64)
        weights = torch.tensor([math.exp(-0.5 * ((i - 4) / 8) ** 2) for i in range(11)], dtype=torch.float64)
        gaussian = weights / weights.sum()
        uniform = torch.full((11,), 1 / 11, dtype=torch.float64)
        middle = (gaussian + uniform) / 2
        divergence = sum((p * (p / middle).log()).sum() for p in (gaussian, uniform)) / 2
        # The uniform map's mean is 20 s: 4 s off, in units of 8 s.
        expected = 0.25 + divergence.item()
        # The divergence is a few thousandths.
        found = network.loss(log_map([1] * 11), target, torch.tensor([8.0])).item()
        assert found == pytest.approx(expected, rel=FLOAT64)

    # A median is read from the weights of `arg_max`: their loss is the same.
    @pytest.mark.parametrize(
        ("trained", "readouts"),
        [("arg_max", ("arg_max", "median")), pytest.param("soft_argmax", ("soft_argmax",), marks=pytest.mark.slow)],
    )
    def test_learns_where_a_peak_is_and_finds_it_where_it_never_was(self, trained, readouts):
        torch.manual_seed(0)
        network = DenseNet(1, (201,), (200.0,), trained)
        optimiser = Adam(network.parameters(), lr=3e-3)

        def peaks(at: torch.Tensor) -> torch.Tensor:
            return torch.exp(-0.5 * ((torch.arange(201) - at) / 3) ** 2).unsqueeze(1)

        for _ in range(60):
            target = torch.rand(16, 1) * 80 + 20
            loss = network.loss(network.log_map(peaks(target)), target, torch.tensor([50.0]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        unseen = torch.arange(110.0, 171.0, 7.5).unsqueeze(1)
        for readout in readouts:
            reader = DenseNet(1, (201,), (200.0,), readout).eval()
            reader.load_state_dict(network.state_dict())
            with torch.no_grad():
                # One place for all is off by 15 at best.
                assert (reader(peaks(unseen)) - unseen).abs().median().item() < 4


class TestStandardise:
    def test_gain_and_offset_do_not_matter(self):
        signal = torch.randn(3, 2, 400)
        other = signal * torch.tensor([50.0, 0.2]).view(1, 2, 1) + 7
        # 0.001 beside a deviation of 0.2 is 0.5 % of values of up to 4.
        torch.testing.assert_close(Standardise()(signal), Standardise()(other), rtol=0, atol=0.02)

    def test_values(self):
        # Mean 2, standard deviation 2.
        prediction = Standardise()(torch.tensor([[[0.0, 4.0, 0.0, 4.0]]]))
        assert_same(prediction, torch.tensor([[[-1.0, 1.0, -1.0, 1.0]]]) * 2 / 2.001, FLOAT32)

    def test_a_silent_channel_stays_silent(self):
        assert torch.equal(Standardise()(torch.full((1, 1, 9), 3.0)), torch.zeros(1, 1, 9))


@pytest.mark.parametrize(
    "network",
    [lambda shape: DenseNet(2, shape, (1.0,) * len(shape), "arg_max"), lambda shape: ResidualNet(2, shape, 1.0)],
)
def test_shapes_that_cannot_be(network):
    with pytest.raises(ValueError, match=r"\(2,\).* 3 "):
        network((2,))
    with pytest.raises(ValueError, match=r"\(8, 20\).* 9 "):
        network((8, 20))
    with pytest.raises(ValueError, match=r"\(9, 9, 4\).* 5 "):
        network((9, 9, 4))
    with pytest.raises(ValueError, match=r"\(9, 9, 9, 9\)"):
        network((9, 9, 9, 9))
    with pytest.raises(ValueError, match=r"2, 16\).*\(1, 2, 17\)"):
        network((16,))(torch.zeros(1, 2, 17))


def test_weights_alone_are_saved():
    network = DenseNet(**IMAGE, readout="arg_max")
    assert not [name for name in network.state_dict() if name.startswith("number")]
    assert isinstance(network.head, nn.Conv2d)


class TestAbsence:
    def network(self, readout="arg_max", points=2) -> DenseNet:
        torch.manual_seed(0)
        return DenseNet(**LINE, readout=readout, points=points, can_be_absent=True).double()

    def test_a_map_and_what_is_absent_sum_to_one(self):
        network = self.network()
        places, absent = network.log_fractions(torch.randn(3, 2, 11, dtype=torch.float64))
        assert (places.shape, absent.shape) == ((3, 2, 1, 11), (3, 2))
        assert_same(places.exp().sum((2, 3)) + absent.exp(), torch.ones(3, 2), FLOAT64)
        assert_same(network.visible(places), 1 - absent.exp(), FLOAT64, scale=1)

    def test_fractions_are_never_above_one(self):
        network = DenseNet(1, (257,), (1024.0,), "arg_max", can_be_absent=True)
        torch.manual_seed(0)
        # Within 5 % of 100 s of the peak is all there is.
        places = torch.full((200, 1, 1, 257), -200.0)
        places[:, :, :, 120:128] = torch.randn(200, 1, 1, 8).log_softmax(3)
        assert (places.exp().sum((2, 3)) > 1).any()
        assert network.visible(places).max() == 1
        assert network.confidence(places, network.decode(places)).max() == 1

    def test_without_it_nothing_changes(self):
        torch.manual_seed(0)
        plain = DenseNet(**LINE, readout="arg_max", points=2).double()
        signal = torch.randn(3, 2, 11, dtype=torch.float64)
        assert plain.log_fractions(signal)[1] is None
        with_absence = self.network()
        assert set(with_absence.state_dict()) - set(plain.state_dict()) == {"absence.weight", "absence.bias"}
        scores = plain.head(plain.features(signal))
        expected = torch.log_softmax(scores.flatten(2), 2).view(scores.shape)
        assert torch.equal(plain.log_map(signal), expected)

    def test_a_prediction_does_not_depend_on_how_much_is_absent(self):
        fractions = log_map([0, 0, 0, 1, 2, 1, 0, 0, 3, 0, 0]).expand(1, 2, 1, 11)
        for readout in ("arg_max", "soft_argmax", "median"):
            network = self.network(readout)
            few = fractions + math.log(1e-12)
            assert_same(network.decode(few), network.decode(fractions), FLOAT64)
            fallen = network.confidence(few, network.decode(few))
            assert_same(1e12 * fallen, network.confidence(fractions, network.decode(fractions)), FLOAT64)

    def test_the_loss_of_a_point_that_is_not_visible_is_what_is_not_absent(self):
        network = self.network()
        flat = torch.full((1, 2, 1, 11), math.log(0.7 / 11), dtype=torch.float64)
        absent = torch.full((1, 2), math.log(0.3), dtype=torch.float64)
        target = torch.tensor([[20.0, math.nan]], dtype=torch.float64)
        found = network.loss(flat, target, torch.ones(2, dtype=torch.float64), absent)
        # The Gaussian sums to 1 and the map is flat: -log(0.7 / 11); the other -log(0.3).
        assert found.item() == pytest.approx((-math.log(0.7 / 11) - math.log(0.3)) / 2, rel=FLOAT64)

    def test_the_mean_place_is_held_against_visible_targets_only(self):
        network = self.network("soft_argmax")
        at_20 = log_map([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]).expand(1, 2, 1, 11)
        absent = torch.full((1, 2), math.log(1e-12), dtype=torch.float64)
        deviation = torch.tensor([2.0, 2.0], dtype=torch.float64)
        seen = torch.tensor([[24.0, math.nan]], dtype=torch.float64)
        farther = torch.tensor([[28.0, math.nan]], dtype=torch.float64)
        # Squared errors (4 / 2)^2 and (8 / 2)^2 of the one that is visible; the divergences do not differ by as much.
        apart = network.loss(at_20, farther, deviation, absent) - network.loss(at_20, seen, deviation, absent)
        assert apart.item() == pytest.approx(12, abs=0.4)

    @pytest.mark.parametrize("readout", ["arg_max", "soft_argmax", "median"])
    def test_every_weight_has_a_finite_gradient_where_nothing_is_visible(self, readout):
        network = self.network(readout)
        places, absent = network.log_fractions(torch.randn(4, 2, 11, dtype=torch.float64))
        target = torch.full((4, 2), math.nan, dtype=torch.float64)
        network.loss(places, target, torch.ones(2, dtype=torch.float64), absent).backward()
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())

    def test_it_learns_whether_there_is_a_peak_and_where(self):
        torch.manual_seed(1)
        network = DenseNet(1, (41,), (40.0,), "arg_max", points=2, can_be_absent=True)
        generator = torch.Generator().manual_seed(2)
        signal = 0.1 * torch.randn(64, 1, 41, generator=generator)
        place = torch.randint(4, 37, (64,), generator=generator)
        shown = torch.arange(64) % 2 == 0
        signal[shown.nonzero().flatten(), 0, place[shown]] += 5
        target = torch.where(shown, place.float(), torch.full((64,), math.nan))
        both = torch.stack([target, target], dim=1)
        optimiser = Adam(network.parameters(), 3e-3)
        for _ in range(60):
            optimiser.zero_grad()
            places, absent = network.log_fractions(signal)
            network.loss(places, both, torch.ones(2), absent).backward()
            optimiser.step()
        network.eval()
        with torch.inference_mode():
            places = network.log_map(signal)
        assert ((network.visible(places)[:, 0] >= 0.5) == shown).float().mean() > 0.9
        error = (network.decode(places)[:, 0] - target).abs()[shown]
        assert error.median() < 4
