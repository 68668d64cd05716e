"""The networks against plain Conv1d/Conv2d versions in float64 and numbers worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from tolerances import FLOAT32, FLOAT64, assert_same, largest
from torch import nn
from torch.nn import functional

from siwcc.config import IMAGE_VARIANTS, STANDARDISED
from siwcc.nn.coordinate_channels import ENCODINGS, encode
from siwcc.nn.heatmap_networks import DenseNet
from siwcc.nn.paper_networks import (
    NETWORKS,
    VARIANTS,
    Encoded,
    LakshyaNet,
    LearnablePool,
    NimeshaNet,
    PooledNet,
    build_localiser,
    count_parameters,
)
from siwcc.report.figures.style import POOLS, VARIANT_TITLES
from siwcc.training.torch_setup import Adam

pytestmark = pytest.mark.numeric


class PlainNimesha(nn.Module):
    """Table 2 of the paper as it is there, layers made in its order."""

    def __init__(self, channels: int, length: int, variant: str):
        super().__init__()
        widths = (channels, 16, 32, 64, 128)
        layers = []
        for i in range(4):
            convolution = nn.Conv1d(widths[i], widths[i + 1], 3, padding=1)
            layers += [convolution, nn.BatchNorm1d(widths[i + 1]), nn.ReLU(), nn.AvgPool1d(2)]
        if variant == "reduced":
            layers.append(nn.AvgPool1d(2))
        self.features = nn.Sequential(*layers)
        self.weight = nn.Parameter(torch.randn(128, length // (16 if variant == "full" else 32)))
        self.linear = nn.Linear(128, 1)

    def forward(self, signal):
        return 20 * torch.sigmoid(self.linear((self.features(signal) * self.weight).sum(dim=2)))


class PlainLakshya(nn.Module):
    """Table 1 of the paper as it is there, layers made in its order."""

    def __init__(self, channels: int, size: int, variant: str):
        super().__init__()
        widths = (channels, 16, 32, 64, 128)
        pools = 3 if variant == "full" else 4
        layers = []
        for i in range(4):
            convolution = nn.Conv2d(widths[i], widths[i + 1], 3, padding=1)
            layers += [convolution, nn.BatchNorm2d(widths[i + 1]), nn.ReLU()]
            if i < pools:
                layers.append(nn.AvgPool2d(2))
        kernel = size // 2**pools
        self.features = nn.Sequential(*layers, nn.Conv2d(128, 128, kernel, groups=128), nn.Flatten())
        self.linear = nn.Linear(128, 2)

    def forward(self, image):
        return 255 * torch.sigmoid(self.linear(self.features(image)))


class PlainPooled(nn.Module):
    """Either network's layers up to its last pooling, then mean and maximum of every channel."""

    def __init__(self, features: nn.Sequential, outputs: int, scale: float):
        super().__init__()
        self.features = features
        self.linear = nn.Linear(256, outputs)
        self.scale = scale

    def forward(self, signal):
        flat = self.features(signal).flatten(2)
        return self.scale * torch.sigmoid(self.linear(torch.cat([flat.mean(2), flat.max(2).values], 1)))


def plain_pooled_1d(channels: int, length: int, variant: str) -> PlainPooled:
    return PlainPooled(PlainNimesha(channels, length, "full").features, 1, 20.0)


def plain_pooled_2d(channels: int, size: int, variant: str) -> PlainPooled:
    # Without the depthwise convolution and its flattening.
    return PlainPooled(PlainLakshya(channels, size, "full").features[:-2], 2, 255.0)


class PlainResidual(nn.Module):
    """The residual backbone of `siwcc.nn.heatmap_networks`, layer by layer, and the two ways to use its features."""

    def __init__(self, channels: int, axes: int, variant: str, scale: float):
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1]
        if axes == 1:
            self.stem = nn.Sequential(conv(channels, 32, 7, padding=3, bias=False), norm(32), nn.ReLU())
        elif axes == 3:
            self.stem = nn.Sequential(conv(channels, 32, 5, stride=2, padding=2, bias=False), norm(32), nn.ReLU())
        else:
            self.stem = nn.Sequential(
                *(conv(channels, 16, 7, stride=2, padding=3, bias=False), norm(16), nn.ReLU()),
                *(conv(16, 32, 5, stride=2, padding=2, bias=False), norm(32), nn.ReLU()),
            )
        self.blocks = nn.ModuleList()
        taps, dilations = {1: (5, [1, 2, 4, 8, 16, 32]), 2: (3, [1, 2, 4, 8]), 3: (3, [1, 2, 4])}[axes]
        for d in dilations:
            first = conv(32, 32, taps, padding=taps // 2 * d, dilation=d, bias=False)
            second = conv(32, 32, taps, padding=taps // 2 * d, dilation=d, bias=False)
            self.blocks.append(nn.Sequential(first, norm(32), nn.ReLU(), second, norm(32)))
        self.head = nn.Linear(64, axes) if variant == "residual" else conv(32, 1, 1)
        self.axes, self.variant, self.scale = axes, variant, scale

    def forward(self, signal):
        features = self.stem(signal)
        for block in self.blocks:
            features = torch.relu(features + block(features))
        if self.variant == "residual":
            flat = features.flatten(2)
            return self.scale * torch.sigmoid(self.head(torch.cat([flat.mean(2), flat.max(2).values], 1)))
        scores = self.head(features)[:, 0]
        share = torch.softmax(scores.flatten(1), 1).view(scores.shape)
        # Every sample, fourth pixel or second voxel has a score; a last one at the scale gives the step between them.
        step = {1: 1, 2: 4, 3: 2}[self.axes] * self.scale / (signal.shape[-1] - 1)
        read = {"dense": mean_place, "heatmap": peak_place, "median": median_place}[self.variant]
        return torch.stack([torch.stack(read(one, self.axes)) for one in share]) * step


def mean_place(share: torch.Tensor, axes: int) -> list[torch.Tensor]:
    """Mean column, and mean row of an image, and mean slice of a volume, under one map."""
    return [sum(number * value for number, value in enumerate(line)) for line in lines_of(share)]


def lines_of(share: torch.Tensor) -> list[torch.Tensor]:
    """What of one map lies at each column, row and slice."""
    letters = "zyx"[3 - share.dim() :]
    return [torch.einsum(f"{letters}->{axis}", share) for axis in reversed(letters)]


def median_place(share: torch.Tensor, axes: int) -> list[torch.Tensor]:
    """Along each axis half of one map on either side, each share even over its step; times are flattened before."""
    flat = share ** (1 / 1.75) if axes == 1 else share
    places = []
    for line in lines_of(flat / flat.sum()):
        left = 0.5
        for number, value in enumerate(line):
            if left < value:
                places.append((number - 0.5 + left / value).clamp(0, len(line) - 1))
                break
            left = left - value
    return places


class PlainUNet(nn.Module):
    """A U-Net level by level; its deepest features are what is left when no level below would have four places."""

    def __init__(self, channels: int, size: int, variant: str):
        super().__init__()
        widths = [16, 24, 32, 48, 64][: 1 + sum(size // 2 // 2**level >= 8 for level in range(4))]
        pairs = list(itertools.pairwise(widths))
        self.stem = nn.Sequential(*self.layers(channels, widths[0], 5, 2))
        self.down = nn.ModuleList(nn.Sequential(*self.layers(fine, coarse, 3, 1)) for fine, coarse in pairs)
        self.same = nn.ModuleList(
            nn.Sequential(*self.layers(width, width, 3, 1), *self.layers(width, width, 3, 1)[:2]) for width in widths
        )
        self.mean = nn.Linear(widths[-1], widths[-1])
        self.narrow = nn.ModuleList(nn.Linear(coarse, fine, bias=False) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.Sequential(*self.layers(fine, fine, 3, 1)) for fine, _ in pairs)
        self.head = nn.Conv2d(widths[0], 1, 1)

    @staticmethod
    def layers(inputs: int, outputs: int, taps: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, taps, stride, padding=taps // 2, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    def from_level(self, level: int, features):
        features = torch.relu(features + self.same[level](features))
        if level == len(self.down):
            return features + self.mean(features.mean((2, 3)))[:, :, None, None]
        corners = [features[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        below = self.from_level(level + 1, self.down[level](sum(corners) / 4))
        narrow = self.narrow[level](below.movedim(1, 3)).movedim(3, 1)
        repeated = narrow.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return self.up[level](features + repeated[:, :, : features.shape[2], : features.shape[3]])

    def forward(self, image):
        scores = self.head(self.from_level(0, self.stem(image)))[:, 0]
        share = torch.softmax(scores.flatten(1), 1).view(scores.shape)
        step = 2 * SCALES["lakshya"] / (image.shape[-1] - 1)
        return torch.stack([torch.stack(peak_place(one, 2, spread=2.0)) for one in share]) * step


def peak_place(share: torch.Tensor, axes: int, spread: float | None = None) -> list[torch.Tensor]:
    """The highest place of one map after a Gaussian, by a loop over places, with a parabola along each axis."""
    spread = spread or (16.0 if axes == 1 else 1.0)
    share = share ** (1 / 1.75) if axes == 1 else share
    smooth = share
    reach = math.ceil(3 * spread)
    window = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=share.dtype) / spread) ** 2)
    window = window / window.sum()
    for axis in range(axes):
        last = smooth.movedim(axis, -1)
        lines = [correlate(line, window) for line in last.reshape(-1, last.shape[-1])]
        smooth = torch.stack(lines).view(last.shape).movedim(-1, axis)
    index = [int(number) for number in torch.unravel_index(smooth.argmax(), smooth.shape)]
    places = []
    for axis in reversed(range(axes)):
        line, top = smooth[tuple(slice(None) if at == axis else index[at] for at in range(axes))], index[axis]
        place = torch.as_tensor(float(top), dtype=share.dtype)
        if 0 < top < len(line) - 1:
            before, middle, after = line[top - 1], line[top], line[top + 1]
            bend = torch.clamp(before - 2 * middle + after, max=-1e-9)
            place = place + torch.clamp(0.5 * (before - after) / bend, -0.5, 0.5)
        places.append(place)
    return places


def correlate(line: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    reach = len(window) // 2
    padded = torch.cat([line.new_zeros(reach), line, line.new_zeros(reach)])
    return torch.stack([(padded[i : i + len(window)] * window).sum() for i in range(len(line))])


def plain_residual(axes: int, scale: float):
    return lambda channels, size, variant: PlainResidual(channels, axes, variant, scale)


def weight_pairs(ours: nn.Module, plain: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Parameters and running statistics of both, in the order of the layers."""
    tensors = list(zip(ours.state_dict(keep_vars=True).values(), ordered_state(plain), strict=True))
    assert all(a.numel() == b.numel() for a, b in tensors)
    return tensors


def ordered_state(plain: nn.Module) -> list[torch.Tensor]:
    """PyTorch lists a module's own parameters first; NimeshaNet's pool stands between features and head."""
    state = plain.state_dict(keep_vars=True)
    pool = [state.pop("weight")] if "weight" in state else []
    head = [state.pop(name) for name in ("linear.weight", "linear.bias") if name in state]
    return [*state.values(), *pool, *head]


def copy_weights(ours: nn.Module, plain: nn.Module) -> None:
    with torch.no_grad():
        for a, b in weight_pairs(ours, plain):
            b.copy_(a.reshape(b.shape))


def assert_same_step(ours: nn.Module, plain: nn.Module, signal: torch.Tensor, target: torch.Tensor) -> None:
    """Predictions, gradients and weights with running statistics, each to the largest value of its kind.

    The gradients have one scale: that of a convolution's bias before a normalisation is 0 but for the rounding of
    others, which are several hundred.
    """
    signals = [signal.clone().requires_grad_() for _ in range(2)]
    predictions = [network(copy) for network, copy in zip((ours, plain), signals, strict=True)]
    for prediction in predictions:
        functional.mse_loss(prediction, target).backward()
    assert_same(predictions[0], predictions[1], FLOAT64)
    pairs = weight_pairs(ours, plain)
    values = [(a.reshape(b.shape), b) for a, b in pairs]
    gradients = [(a.grad.reshape(b.shape), b.grad) for a, b in pairs if a.requires_grad]
    assert_same(signals[0].grad, signals[1].grad, FLOAT64)
    for kind in (values, gradients):
        scale = largest(*(theirs for _, theirs in kind))
        for found, expected in kind:
            assert_same(found, expected, FLOAT64, scale=scale)


def plain_unet_replicate(channels: int, size: int, variant: str) -> nn.Module:
    """Every convolution of an image whose outermost pixels were repeated by hand, and no padding of its own."""

    class Repeating(nn.Module):
        def __init__(self, convolution: nn.Conv2d) -> None:
            super().__init__()
            self.convolution, (rows, columns) = convolution, convolution.padding
            self.convolution.padding = (0, 0)
            self.repeat = nn.ReplicationPad2d((columns, columns, rows, rows))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.convolution(self.repeat(image))

    network = PlainUNet(channels, size, variant)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and any(child.padding):
                setattr(parent, name, Repeating(child))
    return network


PLAIN = {
    ("nimesha", "full"): PlainNimesha,
    ("nimesha", "reduced"): PlainNimesha,
    ("nimesha", "pooled"): plain_pooled_1d,
    ("lakshya", "full"): PlainLakshya,
    ("lakshya", "reduced"): PlainLakshya,
    ("lakshya", "pooled"): plain_pooled_2d,
    **{("nimesha", variant): plain_residual(1, 20.0) for variant in ("residual", "dense", "heatmap", "median")},
    **{("lakshya", variant): plain_residual(2, 255.0) for variant in ("residual", "dense", "heatmap", "median")},
    **{("volume", variant): plain_residual(3, 23.0) for variant in ("residual", "dense", "heatmap", "median")},
    ("lakshya", "unet"): PlainUNet,
    ("lakshya", "unet_replicate"): plain_unet_replicate,
}
# Channels and samples along each axis, in training and in evaluation.
# 250 and 125 samples are odd after one and no pooling: the odd last sample is dropped.
SIZES = {
    "nimesha": {True: (2, 125), False: (3, 250)},
    "lakshya": {True: (3, 32), False: (5, 48)},
    "volume": {True: (4, 11), False: (1, 16)},
}
AXES = {"nimesha": 1, "lakshya": 2, "volume": 3}
SCALES = {"nimesha": 20.0, "lakshya": 255.0, "volume": 23.0}
EVERY_NETWORK = pytest.mark.parametrize(("name", "variant"), list(NETWORKS))


def build_body(name: str, variant: str, channels: int, size: int) -> nn.Module:
    shape, scale = (size,) * AXES[name], SCALES[name]
    return NETWORKS[name, variant](Encoded(channels, shape, (scale,) * AXES[name], scale))


def test_every_network_has_its_cases():
    assert set(PLAIN) == set(NETWORKS)
    of_signals = {("nimesha", variant) for variant in VARIANTS if variant not in IMAGE_VARIANTS}
    of_volumes = {("volume", variant) for variant in STANDARDISED}
    assert set(NETWORKS) == of_signals | {("lakshya", variant) for variant in VARIANTS} | of_volumes


def test_figures_have_a_name_for_every_network():
    assert set(POOLS) | set(VARIANT_TITLES) == set(VARIANTS)
    assert not set(POOLS) & set(VARIANT_TITLES)


@EVERY_NETWORK
class TestEqualToThePlainNetwork:
    @pytest.mark.parametrize("training", [True, False])
    def test_forward_and_gradients(self, name, variant, training):
        channels, size = SIZES[name][training]
        torch.manual_seed(0)
        ours = build_body(name, variant, channels, size).double().train(training)
        if isinstance(ours, DenseNet):
            # An untrained heatmap is almost flat: the place of its maximum multiplies rounding by 100.
            ours.head.weight.data *= 30
        plain = PLAIN[name, variant](channels, size, variant).double().train(training)
        copy_weights(ours, plain)
        signal = torch.randn(4, channels, *([size] * AXES[name]), dtype=torch.float64)
        target = torch.rand(4, AXES[name], dtype=torch.float64) * 20
        assert_same_step(ours, plain, signal, target)

    def test_same_seed_same_start(self, name, variant):
        networks = []
        for build in (build_body, lambda *case: PLAIN[case[:2]](*case[2:], variant)):
            torch.manual_seed(42)
            networks.append(build(name, variant, *SIZES[name][True]))
        if variant == "pooled":
            # Its plain twin draws the weights of the learnable pool as well; what stands before it is alike.
            networks = [getattr(network, part) for network, part in zip(networks, ("blocks", "features"), strict=True)]
        for a, b in weight_pairs(*networks):
            assert torch.equal(a.reshape(b.shape), b)


class TestParameterCounts:
    # NimeshaNet, 3 channels: convolutions 3*16*3+16 = 160, 16*32*3+32 = 1568, 32*64*3+64 = 6208,
    # 64*128*3+128 = 24704; batch normalisation 2*(16+32+64+128) = 480; linear 129: together 33249.
    # Learnable pool 128*31 = 3968 or, 31 // 2 = 15 positions, 128*15 = 1920.
    # One channel less takes 16*3 = 48 weights away.
    @pytest.mark.parametrize(
        ("channels", "variant", "expected"),
        [(3, "full", 37217), (3, "reduced", 35169), (2, "full", 37169), (2, "reduced", 35121)],
    )
    def test_nimesha(self, channels, variant, expected):
        assert count_parameters(NimeshaNet(channels, 500, variant)) == expected

    # LakshyaNet, 5 channels: convolutions 5*16*9+16 = 736, 16*32*9+32 = 4640, 32*64*9+64 = 18496,
    # 64*128*9+128 = 73856; batch normalisation 480; linear 128*2+2 = 258: together 98466.
    # Learnable pool 128*32*32+128 = 131200 or 128*16*16+128 = 32896; at 128 pixels a quarter of the positions.
    # Two channels less take 2*16*9 = 288 weights away.
    @pytest.mark.parametrize(
        ("channels", "size", "variant", "expected"),
        [
            (5, 256, "full", 229666),
            (5, 256, "reduced", 131362),
            (3, 256, "full", 229378),
            (3, 256, "reduced", 131074),
            (5, 128, "full", 131362),
            (5, 128, "reduced", 98466 + 128 * 64 + 128),
        ],
    )
    def test_lakshya(self, channels, size, variant, expected):
        assert count_parameters(LakshyaNet(channels, size, variant)) == expected

    # The blocks as above, without NimeshaNet's or LakshyaNet's pool; the head has 256 weights and 1 bias an axis.
    @pytest.mark.parametrize(
        ("channels", "shape", "expected"),
        [
            (3, (500,), 33249 - 129 + 257),
            (2, (128,), 33249 - 129 - 48 + 257),
            (5, (256, 256), 98466 - 258 + 514),
            (3, (64, 48), 98466 - 258 - 288 + 514),
        ],
    )
    def test_pooled(self, channels, shape, expected):
        assert count_parameters(PooledNet(channels, shape, 1.0)) == expected

    def test_share_of_the_pool_that_the_reduced_variant_saves(self):
        pools = {
            (network, variant): network(variant=variant).pool.weight.numel()
            for network in (NimeshaNet, LakshyaNet)
            for variant in ("full", "reduced")
        }
        assert 1 - pools[LakshyaNet, "reduced"] / pools[LakshyaNet, "full"] == 0.75
        assert 1 - pools[NimeshaNet, "reduced"] / pools[NimeshaNet, "full"] == pytest.approx(16 / 31)

    def test_frozen_parameters_do_not_count(self):
        layer = nn.Linear(3, 2)
        layer.bias.requires_grad_(False)
        assert count_parameters(layer) == 6


class TestStart:
    def test_nimeshas_pool_is_standard_normal(self):
        torch.manual_seed(0)
        weight = NimeshaNet().pool.weight
        # Four standard errors of the mean and of the standard deviation of 3968 draws.
        assert abs(weight.mean().item()) < 4 / 3968**0.5
        assert abs(weight.std().item() - 1) < 4 / (2 * 3968) ** 0.5

    @pytest.mark.parametrize(("variant", "kernel"), [("full", 32), ("reduced", 16)])
    def test_lakshyas_pool_is_uniform_to_one_over_the_kernel(self, variant, kernel):
        torch.manual_seed(0)
        pool = LakshyaNet(variant=variant).pool
        for tensor in (pool.weight, pool.bias):
            assert 0.9 / kernel < tensor.abs().max().item() <= 1 / kernel + 1e-7


class TestPredictions:
    def test_learnable_pool_by_hand(self):
        pool = LearnablePool(torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]]), torch.tensor([0.5, 0.0]))
        signal = torch.tensor([[[[10.0, 20.0]], [[1.0, 2.0]]]])
        # 1*10 + 2*20 + 0.5 and 3*1 - 1*2.
        assert pool(signal).tolist() == [[50.5, 1.0]]

    @pytest.mark.parametrize(("bias", "expected"), [(0.0, 10.0), (100.0, 20.0), (-100.0, 0.0)])
    def test_nimeshas_range(self, bias, expected):
        network = NimeshaNet(3, 64, output_scale=20.0)
        nn.init.zeros_(network.head.weight)
        nn.init.constant_(network.head.bias, bias)
        assert network(torch.randn(2, 3, 64)).tolist() == [[expected], [expected]]

    def test_lakshyas_range(self):
        network = LakshyaNet(5, 32, output_scale=31.0)
        nn.init.zeros_(network.head.weight)
        network.head.bias.data = torch.tensor([0.0, 100.0])
        assert network(torch.randn(1, 5, 32, 32)).tolist() == [[15.5, 31.0]]

    @pytest.mark.parametrize(("length", "variant"), [(16, "full"), (32, "reduced"), (501, "full"), (1250, "reduced")])
    def test_nimeshas_lengths(self, length, variant):
        prediction = NimeshaNet(3, length, variant)(torch.randn(2, 3, length))
        assert prediction.shape == (2, 1)
        assert ((prediction >= 0) & (prediction <= 20)).all()

    @pytest.mark.parametrize(("size", "variant"), [(16, "full"), (16, "reduced"), (80, "full"), (112, "reduced")])
    def test_lakshyas_sizes(self, size, variant):
        prediction = LakshyaNet(5, size, variant)(torch.randn(2, 5, size, size))
        assert prediction.shape == (2, 2)
        assert ((prediction >= 0) & (prediction <= 255)).all()


class TestPooledNet:
    def fields(self, shape):
        """First and last input along the last axis that each feature, or each on an image's diagonal, depends on."""
        torch.manual_seed(0)
        network = PooledNet(1, shape, 1.0).double().eval()
        image = torch.randn(1, 1, *([1] * (2 - len(shape))), *shape, dtype=torch.float64, requires_grad=True)
        features = network.blocks(image)[0].sum(0)
        spans = []
        for place in range(features.shape[-1]):
            row = place if len(shape) == 2 else 0
            (gradient,) = torch.autograd.grad(features[row, place], image, retain_graph=True)
            columns = gradient[0, 0].abs().sum(0).nonzero()
            spans.append((columns.min().item(), columns.max().item()))
        return spans

    def test_receptive_field_of_a_signal(self):
        # 3; pooled 4, step 2; 8; 10, step 4; 18; 22, step 8; 38; 46, step 16. The first is centred on 7.5: -15 to 30.
        assert self.fields((128,)) == [(max(0, 16 * i - 15), min(127, 16 * i + 30)) for i in range(8)]

    def test_receptive_field_of_an_image(self):
        # The last convolution is not followed by a pooling: 38, step 8. The first is centred on 3.5: -15 to 22.
        assert self.fields((80, 80)) == [(max(0, 8 * i - 15), min(79, 8 * i + 22)) for i in range(10)]

    def test_positions_beyond_the_field_of_an_edge_do_not_matter(self):
        torch.manual_seed(0)
        network = PooledNet(1, (256,), 1.0).double().eval()
        signal = torch.zeros(3, 1, 256, dtype=torch.float64)
        # 16 samples, the distance of two features, on; then 5, of which the pooling's grid tells.
        for row, place in enumerate((100, 148, 153)):
            signal[row, 0, place] = 1
        prediction = network(signal).flatten()
        assert_same(prediction[0], prediction[1], FLOAT64)
        # A thousand times what is allowed above.
        assert abs(prediction[0] - prediction[2]).item() > 1000 * FLOAT64 * largest(prediction)

    def test_an_odd_end_is_dropped(self):
        # 500 -> 250 -> 125 -> 62 -> 31 positions; the last four of 500 reach the features through convolutions only.
        assert PooledNet(2, (500,), 1.0).blocks(torch.zeros(1, 2, 1, 500)).shape == (1, 128, 1, 31)
        assert PooledNet(2, (90, 70), 1.0).blocks(torch.zeros(1, 2, 90, 70)).shape == (1, 128, 11, 8)

    @pytest.mark.parametrize(("bias", "expected"), [(0.0, 31.5), (100.0, 63.0), (-100.0, 0.0)])
    def test_range_and_order_of_the_predictions(self, bias, expected):
        network = PooledNet(1, (64, 32), 63.0)
        nn.init.zeros_(network.head.weight)
        network.head.bias.data = torch.tensor([bias, 0.0])
        assert network(torch.randn(2, 1, 64, 32)).tolist() == [[expected, 31.5]] * 2

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((15,), r"\(15,\).* 16 "),
            ((64, 7), r"\(64, 7\).* 8 "),
            ((8, 8, 8), r"\(8, 8, 8\)"),
        ],
    )
    def test_shapes_that_leave_nothing(self, shape, message):
        with pytest.raises(ValueError, match=message):
            PooledNet(1, shape, 1.0)

    def test_another_signal_than_promised(self):
        with pytest.raises(ValueError, match=r"3, 64\).*\(1, 3, 48\)"):
            PooledNet(3, (64,), 1.0)(torch.zeros(1, 3, 48))


class TestErrors:
    @pytest.mark.parametrize(("length", "variant", "least"), [(15, "full", 16), (31, "reduced", 32)])
    def test_too_short(self, length, variant, least):
        with pytest.raises(ValueError, match=rf"length {length} .* {least} "):
            NimeshaNet(3, length, variant)

    @pytest.mark.parametrize("size", [0, 8, 100, 255])
    def test_image_size(self, size):
        with pytest.raises(ValueError, match=rf"image_size .* 16, .*\b{size}$"):
            LakshyaNet(5, size)

    @pytest.mark.parametrize("network", [NimeshaNet, LakshyaNet])
    def test_variant(self, network):
        with pytest.raises(ValueError, match=r"'small'.*full, reduced"):
            network(variant="small")

    @pytest.mark.parametrize("shape", [(1, 3, 63), (1, 2, 64), (3, 64)])
    def test_another_signal_than_promised(self, shape):
        with pytest.raises(ValueError, match=r"3, 64\)"):
            NimeshaNet(3, 64)(torch.zeros(shape))

    def test_another_image_than_promised(self):
        with pytest.raises(ValueError, match=r"5, 32, 32\).*\(1, 5, 32, 48\)"):
            LakshyaNet(5, 32)(torch.zeros(1, 5, 32, 48))

    @pytest.mark.parametrize(
        ("network", "encoding", "shape", "message"),
        [
            ("resnet", "coord", (64,), "'resnet'.*nimesha, lakshya"),
            ("nimesha", "polar", (64,), "'polar'"),
            ("nimesha", "coord", (64, 64), r"\(64, 64\)"),
            ("lakshya", "coord", (64, 40), r"\(64, 40\)"),
            ("lakshya", "coord", (64,), r"\(64,\)"),
        ],
    )
    def test_build_localiser(self, network, encoding, shape, message):
        with pytest.raises(ValueError, match=message):
            build_localiser(network, "full", encoding, 2, shape, tuple(map(float, shape)), 20.0)

    def test_unknown_variant(self):
        with pytest.raises(ValueError, match=r"'small'.*full, reduced, pooled, residual"):
            build_localiser("nimesha", "small", "coord", 2, (64,), (20.0,), 20.0)


ECG = {"network": "nimesha", "signal_channels": 2, "shape": (64,), "extent": (20.0,), "output_scale": 20.0}
IMAGE = {
    "network": "lakshya",
    "signal_channels": 3,
    "shape": (32, 32),
    "extent": (31.0, 31.0),
    "output_scale": 31.0,
}


def standardise(signal: torch.Tensor) -> torch.Tensor:
    return (signal - signal.mean(2, keepdim=True)) / (signal.std(2, correction=0, keepdim=True) + 1e-3)


class TestLocaliser:
    # Each network without coordinates, and each encoding in the paper's networks.
    @pytest.mark.parametrize(
        ("task", "variant", "encoding"),
        [
            (task, variant, encoding)
            for task in (ECG, IMAGE)
            for variant in VARIANTS
            if (task["network"], variant) in NETWORKS
            for encoding in (ENCODINGS if variant == "full" else ["none"])
        ],
    )
    def test_is_the_body_on_the_encoded_signal(self, task, variant, encoding):
        torch.manual_seed(0)
        localiser = build_localiser(**task, encoding=encoding, variant=variant).eval()
        signal = torch.randn(3, task["signal_channels"], *task["shape"])
        standardised = variant in ("residual", "dense", "heatmap", "median") and len(task["shape"]) == 1
        encoded = encode(
            standardise(signal) if standardised else signal, encoding, task["extent"], localiser.encoding.learned_map
        )
        # Standardised in another order of sums; otherwise the very same operations.
        assert_same(localiser(signal), localiser.body(encoded), FLOAT32 if standardised else 0)

    def test_same_seed_same_network(self):
        starts = []
        for _ in range(2):
            torch.manual_seed(7)
            starts.append(build_localiser(**ECG, encoding="weighted", variant="full").state_dict())
        assert starts[0].keys() == starts[1].keys()
        assert all(torch.equal(starts[0][key], starts[1][key]) for key in starts[0])

    def test_encodings_of_as_many_channels_start_alike(self):
        starts = []
        for encoding in ("coord", "weighted"):
            torch.manual_seed(7)
            starts.append(build_localiser(**IMAGE, encoding=encoding, variant="reduced").state_dict())
        assert all(torch.equal(starts[0][key], starts[1][key]) for key in starts[0])

    @pytest.mark.parametrize("task", [ECG, IMAGE])
    def test_weights_go_through_a_file(self, task, tmp_path):
        first, second = (build_localiser(**task, encoding="weighted", variant="full").eval() for _ in range(2))
        torch.save(first.state_dict(), tmp_path / "weights.pt")
        second.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        signal = torch.randn(2, task["signal_channels"], *task["shape"])
        assert torch.equal(first(signal), second(signal))

    @pytest.mark.slow
    @pytest.mark.parametrize("task", [ECG, IMAGE])
    def test_exports_for_any_batch(self, task):
        localiser = build_localiser(**task, encoding="weighted", variant="full").eval()
        signal = torch.randn(3, task["signal_channels"], *task["shape"])
        batch = {0: torch.export.Dim("batch", min=1, max=64)}
        exported = torch.export.export(localiser, (signal,), dynamic_shapes=(batch,)).module()
        assert_same(exported(signal[:2]), localiser(signal[:2]), FLOAT32)

    @pytest.mark.slow
    def test_traces_to_one_graph(self):
        torch.compiler.reset()
        localiser = build_localiser(**ECG, encoding="weighted", variant="full").eval()
        signal = torch.randn(3, 2, 64)
        traced = torch.compile(localiser, fullgraph=True, backend="aot_eager")
        assert_same(traced(signal), localiser(signal), FLOAT32)

    def test_learns_where_a_peak_is(self):
        # One sample of 1 in a row of zeros: its index is the target.
        torch.manual_seed(0)
        localiser = build_localiser("nimesha", "full", "coord", 1, (32,), (31.0,), 31.0)
        peaks = torch.arange(32)
        signal = functional.one_hot(peaks, 32).float().unsqueeze(1)
        target = peaks.float().unsqueeze(1)
        optimiser = Adam(localiser.parameters(), lr=1e-3)
        for _ in range(150):
            optimiser.zero_grad()
            loss = functional.mse_loss(localiser(signal), target)
            loss.backward()
            optimiser.step()
        # A constant prediction leaves (32**2 - 1) / 12 = 85.25.
        assert loss.item() < 1.0
