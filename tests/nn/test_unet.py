"""The U-Net: shapes, what a score depends on, decoding at half of the resolution, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import FLOAT32, FLOAT64, assert_same

from siwcc.nn.coordinate_channels import ENCODINGS
from siwcc.nn.heatmap_networks import HeatmapOptions
from siwcc.nn.paper_networks import build_localiser, count_parameters
from siwcc.nn.unet import UNet
from siwcc.training.torch_setup import Adam


def make(size: tuple[int, int] = (32, 32), points: int = 1, **changes) -> UNet:
    torch.manual_seed(0)
    extent = (size[1] - 1.0, size[0] - 1.0)
    return UNet(3, size, extent, "arg_max", points, **changes)


class TestShapes:
    @pytest.mark.parametrize(
        ("size", "places"), [((9, 9), (5, 5)), ((33, 70), (17, 35)), ((128, 128), (64, 64)), ((45, 20), (23, 10))]
    )
    def test_a_score_for_every_second_pixel(self, size, places):
        network = make(size, points=2)
        image = torch.randn(2, 3, *size)
        log_map = network.log_map(image)
        assert log_map.shape == (2, 2, *places)
        assert_same(log_map.exp().sum((2, 3)), torch.ones(2, 2), FLOAT32)
        assert network(image).shape == (2, 4)
        assert (network.stride, network.step) == (2, (2.0, 2.0))

    def test_parameters_by_hand(self):
        widths = (16, 24, 32, 48, 64)
        # Convolutions without bias and two numbers of each normalisation.
        stem = 25 * 3 * 16 + 32
        down = sum(9 * a * b + 2 * b for a, b in ((16, 24), (24, 32), (32, 48), (48, 64)))
        blocks = sum(2 * (9 * width**2 + 2 * width) for width in widths)
        whole = 64 * 64 + 64
        narrow = 24 * 16 + 32 * 24 + 48 * 32 + 64 * 48
        up = sum(9 * width**2 + 2 * width for width in widths[:-1])
        assert count_parameters(make((128, 128))) == stem + down + blocks + whole + narrow + up + 17 == 250369

    def test_small_images_have_fewer_levels(self):
        # 64, 32, 16, 8 and 4 places; 16, 8 and 4; 5.
        assert [len(make((size, size)).backbone.blocks) for size in (128, 32, 10)] == [5, 3, 1]

    def test_signals_are_refused(self):
        with pytest.raises(ValueError, match=r"\(500,\)"):
            UNet(2, (500,), (20.0,), "arg_max")
        with pytest.raises(ValueError, match="'unet'"):
            build_localiser("nimesha", "unet", "none", 2, (500,), (20.0,), 20.0)

    @pytest.mark.parametrize("encoding", list(ENCODINGS))
    def test_every_encoding(self, encoding):
        localiser = build_localiser("lakshya", "unet", encoding, 3, (16, 16), (15.0, 15.0), 15.0)
        assert localiser(torch.randn(2, 3, 16, 16)).shape == (2, 2)


class TestField:
    def test_a_score_depends_on_the_whole_image(self):
        network = make((128, 128)).double().eval()
        image = torch.randn(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
        network.head(network.features(image))[0, 0, 0, 0].backward()
        seen = image.grad.abs().sum((0, 1)) > 0
        # The last row and column are farthest from the first score.
        assert seen[-1].any()
        assert seen[:, -1].any()
        assert seen.double().mean() > 0.9

    def test_an_image_moved_by_the_coarsest_step_has_its_scores_moved(self):
        # Three levels of 2, 4 and 8 pixels; without the mean a score sees less than 80 pixels to either side, and
        # what lies beyond is 0 in both, as the padding of the convolutions would be.
        network = UNet(1, (33, 33), (32.0, 32.0), "arg_max").double().eval()
        network.input_shape = (1, 320, 320)
        torch.nn.init.zeros_(network.backbone.whole.weight)
        image = torch.zeros(1, 1, 320, 320, dtype=torch.float64)
        image[:, :, 150:170, 150:170] = torch.randn(20, 20, dtype=torch.float64)
        scores, moved = (network.head(network.features(one)) for one in (image, image.roll((8, -16), (2, 3))))
        inner = slice(40, 120)
        assert_same(moved.roll((-4, 8), (2, 3))[:, :, inner, inner], scores[:, :, inner, inner], FLOAT64)
        assert not torch.equal(moved[:, :, inner, inner], scores[:, :, inner, inner])


class TestDecoding:
    def test_a_gaussian_is_read_between_the_scores(self):
        network = make((64, 64)).double()
        x, y = 21.7, 40.4
        at = 2 * torch.arange(32, dtype=torch.float64)
        heights = torch.exp(-0.5 * ((at[None] - x) ** 2 + (at[:, None] - y) ** 2) / 3.0**2)
        log_map = (heights / heights.sum()).log()[None, None]
        # A parabola through a Gaussian: of a step of 2 px, 2 %.
        assert network.decode(log_map)[0].tolist() == pytest.approx([x, y], abs=0.04)
        mean = make((64, 64), options=HeatmapOptions(decoder="soft_argmax")).double()
        assert mean.decode(log_map)[0].tolist() == pytest.approx([x, y], abs=1e-3)

    def test_the_gaussian_of_the_loss_has_the_width_that_is_asked_for(self):
        for options, sigma_px in ((HeatmapOptions(), 2.0), (HeatmapOptions(sigma=5.0), 5.0)):
            network = make((64, 64), options=options).double()
            wanted = network._gaussian(torch.tensor([[30.0, 32.0]], dtype=torch.float64))[0, 0]
            row, column = wanted[16], wanted[:, 15]
            # Two and four pixels beside the centre.
            assert (row[16] / row[15]).item() == pytest.approx(math.exp(-2 / sigma_px**2))
            assert (column[18] / column[16]).item() == pytest.approx(math.exp(-8 / sigma_px**2))


LOSSES = ["cross_entropy", "squared_error", "adaptive_wing", "soft_argmax"]


class TestTraining:
    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize("can_be_absent", [False, True])
    def test_every_weight_has_a_gradient(self, loss, can_be_absent):
        network = make((32, 32), points=2, can_be_absent=can_be_absent, options=HeatmapOptions(loss))
        target = 31 * torch.rand(4, 4)
        if can_be_absent:
            target[0, 2:] = math.nan
        network.log_map_and_loss(torch.randn(4, 3, 32, 32), target, torch.full((4,), 8.0))[1].backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name

    @pytest.mark.parametrize("loss", LOSSES)
    def test_finds_a_bright_disc_and_where_there_is_none(self, loss):
        network = make((32, 32), points=2, can_be_absent=True, options=HeatmapOptions(loss))
        generator = torch.Generator().manual_seed(3)
        optimiser = Adam(network.parameters(), lr=3e-3)
        for _ in range(60):
            image, target = discs(16, generator)
            optimiser.zero_grad()
            network.log_map_and_loss(image, target, torch.full((4,), 8.0))[1].backward()
            optimiser.step()
        network.eval()
        image, target = discs(64, generator)
        with torch.inference_mode():
            log_map = network.log_map(image)
            prediction = network.decode(log_map)
            visible = network.visible(log_map)
        there = target.isfinite().view(64, 2, 2).all(2)
        error = (prediction - target).view(64, 2, 2).norm(dim=2)[there]
        # One place for all is off by 8 at best.
        assert error.median() < 1.5
        assert ((visible > 0.5) == there).double().mean() > 0.9


def discs(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with a red disc of 7 pixels and, in half of the images, a blue one; (count, 3, 32, 32), (count, 4)."""
    image = 0.3 * torch.randn(count, 3, 32, 32, generator=generator)
    target = 4 + 24 * torch.rand(count, 4, generator=generator)
    target[::2, 2:] = math.nan
    pixel = torch.arange(32.0)
    for channel, (x, y) in ((0, target[:, :2].unbind(1)), (2, target[:, 2:].unbind(1))):
        inside = (pixel - x[:, None])[:, None, :] ** 2 + (pixel - y[:, None])[:, :, None] ** 2 <= 3.5**2
        image[:, channel] += 2 * inside
    return image, target
