"""Coordinate channels against numbers worked out by hand."""

from __future__ import annotations

import copy
import itertools
import math
import os
import pickle
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, FLOAT64, assert_same
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from siwcc.nn.coordinate_channels import ENCODINGS, CoordinateChannels, Grid, coordinates, encode, shuffled_order

pytestmark = pytest.mark.numeric

TORCH = tuple(int(number) for number in torch.__version__.split(".")[:2])

LINE = torch.tensor([[[1.0, 2.0, 3.0], [5.0, 6.0, -1.0]]])
"""(1, 2 channels, 3 samples); the channels' mean is 3, 4, 1."""

IMAGE = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
"""(1, 1 channel, 2 rows, 3 columns)."""

# What `learned` is given in the tests of values.
LINE_MAP = torch.tensor([[7.0, -8.0, 9.0]])
IMAGE_MAP = torch.tensor([[[1.5, 2.0, 2.5], [3.0, 3.5, 4.0]], [[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]])

# shuffled_order(3) is 1, 2, 0 and shuffled_order(6) is 1, 3, 5, 2, 4, 0: see TestShuffledOrder.
# For fourier u is 0, 1/2, 1, so the angles are 0, pi/2, pi; 0, pi, 2 pi; then multiples of 2 pi.
LINE_CASES = {
    "none": [],
    "coord": [[0.0, 1.0, 2.0]],
    "weighted": [[0.0, 4.0, 2.0]],
    "coord_unit": [[0.0, 0.5, 1.0]],
    "weighted_unit": [[0.0, 2.0, 1.0]],
    "both": [[0.0, 0.5, 1.0], [0.0, 2.0, 1.0]],
    "duplicate": [[3.0, 4.0, 1.0]],
    "shuffled": [[4.0, 2.0, 0.0]],
    "inverted": [[0.0, 0.0, 6.0]],
    "fourier": [
        [0.0, 1.0, 0.0],
        [1.0, 0.0, -1.0],
        [0.0, 0.0, 0.0],
        [1.0, -1.0, 1.0],
        [0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0],
        [0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0],
    ],
    "learned": LINE_MAP.tolist(),
}
ZEROS, ONES = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
IMAGE_CASES = {
    "none": [],
    "coord": [[[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]],
    "weighted": [[[0.0, 2.0, 6.0], [0.0, 5.0, 12.0]], [[0.0, 0.0, 0.0], [4.0, 5.0, 6.0]]],
    "coord_unit": [[[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]],
    "weighted_unit": [[[0.0, 1.0, 3.0], [0.0, 2.5, 6.0]], [[0.0, 0.0, 0.0], [4.0, 5.0, 6.0]]],
    "both": [
        [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]],
        [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]],
        [[0.0, 1.0, 3.0], [0.0, 2.5, 6.0]],
        [[0.0, 0.0, 0.0], [4.0, 5.0, 6.0]],
    ],
    "duplicate": [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]],
    # Weighted, flattened: x 0 2 6 0 5 12, y 0 0 0 4 5 6.
    "shuffled": [[[2.0, 0.0, 12.0], [6.0, 5.0, 0.0]], [[0.0, 4.0, 6.0], [0.0, 5.0, 0.0]]],
    # The maximum is 6, so the weights are 5 4 3 / 2 1 0.
    "inverted": [[[0.0, 4.0, 6.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 0.0], [2.0, 1.0, 0.0]]],
    "fourier": [
        [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]],
        ZEROS,
        [[1.0, 0.0, -1.0], [1.0, 0.0, -1.0]],
        [[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]],
        ZEROS,
        ZEROS,
        [[1.0, -1.0, 1.0], [1.0, -1.0, 1.0]],
        ONES,
        *(ZEROS, ZEROS, ONES, ONES),
        *(ZEROS, ZEROS, ONES, ONES),
    ],
    "learned": IMAGE_MAP.tolist(),
}
# d(sum of all appended channels) / d(signal) for LINE (two channels share the mean) and IMAGE.
LINE_GRADIENTS = {
    "none": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "coord": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "weighted": [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]],
    "coord_unit": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "weighted_unit": [[0.0, 0.25, 0.5], [0.0, 0.25, 0.5]],
    "both": [[0.0, 0.25, 0.5], [0.0, 0.25, 0.5]],
    "duplicate": [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]],
    "shuffled": [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]],
    # -x(p) everywhere, and at the maximum, p = 1, the sum of all x, 3, besides; halved.
    "inverted": [[0.0, 1.0, -1.0], [0.0, 1.0, -1.0]],
    "fourier": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "learned": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
}
IMAGE_GRADIENTS = {
    "none": [ZEROS],
    "coord": [ZEROS],
    "weighted": [[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]],
    "coord_unit": [ZEROS],
    "weighted_unit": [[[0.0, 0.5, 1.0], [1.0, 1.5, 2.0]]],
    "both": [[[0.0, 0.5, 1.0], [1.0, 1.5, 2.0]]],
    "duplicate": [[[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]],
    "shuffled": [[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]],
    # -(x + y) everywhere, and at the maximum, the last pixel, the sum of all x + y, 9, besides.
    "inverted": [[[0.0, -1.0, -2.0], [-1.0, -2.0, 6.0]]],
    "fourier": [ZEROS],
    "learned": [ZEROS],
}


def order_by_loop(count):
    """The permutation in Python's integers, which do not overflow."""
    keys = []
    for number in range(1, count + 1):
        key = number ^ number >> 15
        key = key * 0x2C1B3C6D % 2**32
        key = key ^ key >> 12
        key = key * 0x297A2D39 % 2**32
        keys.append((key ^ key >> 15, number - 1))
    return [position for _, position in sorted(keys)]


# The appended values of an axis at one position, from its coordinates x and u (from 0 to 1), the mean intensity m,
# the largest m of the sample, the x and m of the position that the permutation puts here, and the learned value.
BY_LOOP = {
    "none": [],
    "coord": [lambda at: at.x],
    "weighted": [lambda at: at.x * at.m],
    "coord_unit": [lambda at: at.u],
    "weighted_unit": [lambda at: at.u * at.m],
    "both": [lambda at: at.u, lambda at: at.u * at.m],
    "duplicate": [lambda at: at.m],
    "shuffled": [lambda at: at.moved_x * at.moved_m],
    "inverted": [lambda at: at.x * (at.largest_m - at.m)],
    "fourier": [
        lambda at: math.sin(math.pi * at.u),
        lambda at: math.cos(math.pi * at.u),
        lambda at: math.sin(2 * math.pi * at.u),
        lambda at: math.cos(2 * math.pi * at.u),
        lambda at: math.sin(4 * math.pi * at.u),
        lambda at: math.cos(4 * math.pi * at.u),
        lambda at: math.sin(8 * math.pi * at.u),
        lambda at: math.cos(8 * math.pi * at.u),
    ],
    "learned": [lambda at: at.learned],
}


def appended_by_loop(name, signal, extent, learned):
    """What an encoding appends to one signal (C, *shape), as {(channel, *position): value}."""
    dims = signal.dim() - 1
    places = list(np.ndindex(tuple(signal.shape[1:])))
    m = {p: statistics.fmean(signal[(c, *p)].item() for c in range(len(signal))) for p in places}
    moved = {p: places[k] for p, k in zip(places, order_by_loop(len(places)), strict=True)}
    values = {}
    for (j, function), i in itertools.product(enumerate(BY_LOOP[name]), range(dims)):
        axis = dims - 1 - i
        u = {p: p[axis] / max(signal.shape[1 + axis] - 1, 1) for p in places}
        for p in places:
            at = SimpleNamespace(
                x=u[p] * extent[i],
                u=u[p],
                m=m[p],
                largest_m=max(m.values()),
                moved_x=u[moved[p]] * extent[i],
                moved_m=m[moved[p]],
                learned=learned[(i, *p)].item(),
            )
            values[(j * dims + i, *p)] = function(at)
    return values


FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
EVERY_ENCODING = pytest.mark.parametrize("name", list(ENCODINGS))
# sin(8 pi) in float64 is -1e-15: pi itself is rounded. Its largest value is 1. All other cases are exact.
ROUNDING = {"fourier": FLOAT64}


def map_for(name, shape):
    """Some map for an encoding that learns one, None for the others."""
    if ENCODINGS[name].learned_map is None:
        return None
    return torch.arange(1.0, 1 + len(shape) * math.prod(shape)).reshape(len(shape), *shape)


def layer_for(name, shape, extent=None):
    """A layer for signals of this shape; a learned map starts from other numbers than zeros."""
    layer = CoordinateChannels(name, extent, shape=shape)
    if layer.learned_map is not None:
        with torch.no_grad():
            layer.learned_map.copy_(map_for(name, shape))
    return layer


def appended(signal: torch.Tensor, expected: list) -> torch.Tensor:
    channels = torch.tensor(expected, dtype=signal.dtype).reshape(len(expected), *signal.shape[2:])
    return torch.cat((signal, channels.unsqueeze(0)), dim=1)


@pytest.mark.parametrize("cases", [LINE_CASES, IMAGE_CASES, LINE_GRADIENTS, IMAGE_GRADIENTS, BY_LOOP])
def test_every_encoding_has_its_cases(cases):
    assert set(cases) == set(ENCODINGS)


def test_the_page_lists_every_encoding_with_its_channels():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "encodings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\d*) ?(D?) \| [^|]+ \|$", page, flags=re.MULTILINE)
    listed = {name: [int(number or 1) * (dims if d else 1) for dims in (1, 2, 3)] for name, number, d in rows}
    assert listed == {name: [encoding.added(dims) for dims in (1, 2, 3)] for name, encoding in ENCODINGS.items()}


class TestCoordinates:
    def test_time_axis(self):
        assert coordinates((5,), (20.0,)).tolist() == [[0.0, 5.0, 10.0, 15.0, 20.0]]

    def test_index_is_the_default_and_exact(self):
        assert torch.equal(coordinates((3001,), dtype=torch.float64)[0], torch.arange(3001, dtype=torch.float64))

    def test_x_is_the_last_axis_and_comes_first(self):
        x, y = coordinates((2, 3), extent=(8.0, 5.0))
        assert x.tolist() == [[0.0, 4.0, 8.0], [0.0, 4.0, 8.0]]
        assert y.tolist() == [[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]

    def test_volume(self):
        coords = coordinates((2, 3, 4), extent=(6.0, 4.0, 7.0))
        assert coords.shape == (3, 2, 3, 4)
        assert coords[:, 0, 0, 0].tolist() == [0.0, 0.0, 0.0]
        assert coords[:, 0, 0, 1].tolist() == [2.0, 0.0, 0.0]
        assert coords[:, 0, 1, 0].tolist() == [0.0, 2.0, 0.0]
        assert coords[:, 1, 0, 0].tolist() == [0.0, 0.0, 7.0]
        assert coords[:, 1, 2, 3].tolist() == [6.0, 4.0, 7.0]

    def test_ecg_equals_numpys_linspace_to_the_bit(self):
        as_published = np.linspace(0, 20, 5000)[::10].astype(np.float32)
        ours = coordinates((500,), (4990 * 20 / 4999,))[0].numpy()
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, as_published)

    @pytest.mark.parametrize("extent", [None, (20.0, 30.0)])
    def test_axis_of_one_sample_is_zero(self, extent):
        assert coordinates((1, 1), extent).tolist() == [[[0.0]], [[0.0]]]

    def test_one_row(self):
        x, y = coordinates((1, 3), extent=(1.0, 9.0))
        assert (x.tolist(), y.tolist()) == ([[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]])

    def test_rounds_once_from_float64(self):
        # bfloat16 has 8 significant bits: 257 is halfway between 256 and 258 and goes to the even 256, 259 to 260.
        row = coordinates((300,), dtype=torch.bfloat16)[0]
        assert row[[255, 256, 257, 258, 259]].tolist() == [255.0, 256.0, 256.0, 258.0, 260.0]

    def test_extent_must_fit(self):
        with pytest.raises(ValueError, match=r"extent \(20.0,\).* 2 "):
            coordinates((2, 3), (20.0,))


class TestShuffledOrder:
    def test_by_hand(self):
        # 1, 2 and 3 times 0x2c1b3c6d modulo 2^32 are 2c1b3c6d, 583678da, 8451b547; with themselves shifted by 12
        # 2c19fdde, 5833fbbd, 8459f05c; times 0x297a2d39 ed358c6e, 03e54615, 8f1eb07c; with themselves shifted by 15
        # ed345605, 03e541df, 8f1fae41. The second is the smallest, then the third, then the first.
        assert shuffled_order(3).tolist() == [1, 2, 0]

    @pytest.mark.parametrize(
        ("count", "first"),
        [
            (6, [1, 3, 5, 2, 4, 0]),
            (500, [408, 1, 251, 445, 31, 270, 437, 258]),
            (65536, [42742, 49112, 57321, 4535, 11256, 19820, 1614, 22513]),
        ],
    )
    def test_stays_as_it_is(self, count, first):
        order = shuffled_order(count).tolist()
        assert order[: len(first)] == first
        assert order == order_by_loop(count)

    def test_every_position_once_and_not_in_place(self):
        for count in range(2, 300):
            order = shuffled_order(count).tolist()
            assert sorted(order) == list(range(count))
            assert order != list(range(count))
        assert shuffled_order(1).tolist() == [0]

    @pytest.mark.parametrize("count", [500, 65536])
    def test_tells_nothing_of_the_position(self, count):
        order = shuffled_order(count).double()
        for here in (torch.arange(count), torch.arange(count) % math.isqrt(count)):
            correlation = torch.corrcoef(torch.stack((here.double(), order)))[0, 1]
            # Of a random permutation it has the standard deviation 1 / sqrt(count - 1).
            assert abs(correlation) < 3 / math.sqrt(count - 1)

    def test_leaves_the_random_numbers_alone(self):
        before = torch.get_rng_state()
        shuffled_order(100)
        assert torch.equal(torch.get_rng_state(), before)


class TestEncode:
    @EVERY_ENCODING
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize(
        ("signal", "cases", "learned"), [(LINE, LINE_CASES, LINE_MAP), (IMAGE, IMAGE_CASES, IMAGE_MAP)]
    )
    def test_values(self, name, dtype, signal, cases, learned):
        signal = signal.to(dtype)
        encoded = encode(signal, name, learned_map=learned if name == "learned" else None)
        assert encoded.dtype == dtype
        torch.testing.assert_close(encoded, appended(signal, cases[name]), rtol=0, atol=ROUNDING.get(name, 0))

    @EVERY_ENCODING
    @pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (1, 4)])
    def test_is_a_plain_loop(self, name, shape):
        extent = (6.0, 4.5, 7.0)[: len(shape)]
        signal = torch.randn(2, 3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        learned = torch.randn(len(shape), *shape, generator=torch.Generator().manual_seed(4))
        encoded = encode(signal, name, extent, learned_map=learned if name == "learned" else None)
        assert torch.equal(encoded[:, :3], signal)
        for one, channels in zip(signal, encoded[:, 3:], strict=True):
            expected = appended_by_loop(name, one, extent, learned)
            assert set(expected) == set(np.ndindex(tuple(channels.shape)))
            assert_same([channels[place].item() for place in expected], list(expected.values()), FLOAT64)

    @EVERY_ENCODING
    @pytest.mark.parametrize(
        ("signal", "cases", "learned"), [(LINE, LINE_GRADIENTS, LINE_MAP), (IMAGE, IMAGE_GRADIENTS, IMAGE_MAP)]
    )
    def test_gradients(self, name, signal, cases, learned):
        signal = signal.clone().requires_grad_()
        channels = signal.shape[1]
        encoded = encode(signal, name, learned_map=learned if name == "learned" else None)
        # Weight 1 on what is appended and 100 on the signal itself, which passes straight through.
        (encoded[:, channels:].sum() + 100 * encoded[:, :channels].sum()).backward()
        assert torch.equal(signal.grad[0], 100 + torch.tensor(cases[name]))

    @EVERY_ENCODING
    @pytest.mark.parametrize("shape", [(5,), (2, 3)])
    def test_gradients_are_those_of_finite_differences(self, name, shape):
        generator = torch.Generator().manual_seed(5)
        signal = torch.randn(2, 2, *shape, dtype=torch.float64, generator=generator, requires_grad=True)
        learned = map_for(name, shape)
        inputs = (signal,) if learned is None else (signal, learned.double().requires_grad_())
        assert torch.autograd.gradcheck(lambda signal, learned=None: encode(signal, name, None, learned), inputs)

    def test_equal_maxima_share_the_gradient_of_inverted(self):
        # x is 0, 1, 2, their sum 3 goes to the two maxima by halves; -x(p) besides.
        signal = torch.tensor([[[4.0, 4.0, 1.0]]], requires_grad=True)
        encode(signal, "inverted")[:, 1:].sum().backward()
        assert signal.grad[0, 0].tolist() == [1.5, 0.5, -2.0]

    def test_inverted_takes_the_maximum_of_each_sample(self):
        batch = torch.tensor([[[1.0, 1.0]], [[-2.0, -3.0]]])
        assert encode(batch, "inverted", (10.0,))[:, 1].tolist() == [[0.0, 0.0], [0.0, 10.0]]

    @pytest.mark.parametrize("shape", [(500,), (12, 13), (4, 5, 6)])
    def test_shuffled_has_the_values_of_weighted_in_other_places(self, shape):
        signal = torch.randn(3, 2, *shape, generator=torch.Generator().manual_seed(6))
        plain, shuffled = (encode(signal, name)[:, 2:].flatten(2) for name in ("weighted", "shuffled"))
        assert torch.equal(plain.sort().values, shuffled.sort().values)
        assert not torch.equal(plain, shuffled)
        # One permutation for every sample and axis.
        assert torch.equal(plain[..., order_by_loop(math.prod(shape))], shuffled)

    @pytest.mark.parametrize("name", ["coord_unit", "weighted_unit", "both", "fourier"])
    def test_unit_encodings_do_not_see_the_extent(self, name):
        assert torch.equal(encode(IMAGE, name, (300.0, 0.5)), encode(IMAGE, name))

    def test_scaling_the_extent_scales_the_unit_channels(self):
        for plain, unit in (("coord", "coord_unit"), ("weighted", "weighted_unit")):
            assert torch.equal(encode(IMAGE, plain, (8.0, 8.0))[:, 1:], 8 * encode(IMAGE, unit)[:, 1:])

    def test_learned_map_must_be_there_and_fit(self):
        with pytest.raises(ValueError, match=r"'learned'.*learned_map"):
            encode(LINE, "learned")
        with pytest.raises(ValueError, match=r"'coord'.*learned_map"):
            encode(LINE, "coord", learned_map=LINE_MAP)
        with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
            encode(LINE, "learned", learned_map=torch.zeros(1, 4))

    def test_weighted_takes_each_sample_of_a_batch_by_itself(self):
        batch = torch.tensor([[[1.0, 1.0]], [[-2.0, 3.0]]])
        assert encode(batch, "weighted", (10.0,))[:, 1].tolist() == [[0.0, 10.0], [0.0, 30.0]]

    def test_weighted_volume(self):
        signal = torch.arange(24.0).reshape(1, 1, 2, 3, 4)
        encoded = encode(signal, "weighted")
        # At z = 1, y = 2, x = 3 the signal is 23.
        assert encoded[0, :, 1, 2, 3].tolist() == [23.0, 69.0, 46.0, 23.0]

    @EVERY_ENCODING
    @pytest.mark.parametrize(
        ("shape", "layout"), [((2, 3, 4, 5), torch.channels_last), ((2, 3, 2, 4, 5), torch.channels_last_3d)]
    )
    def test_keeps_channels_last(self, name, shape, layout):
        signal = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        learned = map_for(name, shape[2:])
        encoded = encode(signal.contiguous(memory_format=layout), name, learned_map=learned)
        plain = encode(signal, name, learned_map=learned)
        assert encoded.is_contiguous(memory_format=layout)
        assert plain.is_contiguous()
        assert_same(encoded, plain, FLOAT32)

    @EVERY_ENCODING
    def test_follows_the_device(self, name):
        layer = layer_for(name, (4,)).to("meta")
        assert layer(torch.empty(2, 3, 4, device="meta")).device.type == "meta"

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    @EVERY_ENCODING
    def test_same_values_on_cuda(self, name):
        layer = layer_for(name, (2, 3))
        on_cpu = layer(IMAGE)
        torch.testing.assert_close(layer.cuda()(IMAGE.cuda()).cpu(), on_cpu, rtol=0, atol=ROUNDING.get(name, 0))

    @EVERY_ENCODING
    def test_empty_batch(self, name):
        encoded = encode(torch.empty(0, 2, 7), name, learned_map=map_for(name, (7,)))
        assert encoded.shape == (0, 2 + ENCODINGS[name].added(1), 7)

    def test_unknown_name(self):
        with pytest.raises(ValueError, match=r"'polar'.*none, coord, weighted"):
            encode(LINE, "polar")

    @EVERY_ENCODING
    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int64])
    def test_whole_numbers_become_the_default_dtype(self, name, dtype):
        whole = torch.tensor([[[0, 1, 1], [1, 1, 0]]], dtype=dtype)
        learned = map_for(name, (3,))
        encoded = encode(whole, name, learned_map=learned)
        assert encoded.dtype == torch.float32
        assert torch.equal(encoded, encode(whole.float(), name, learned_map=learned))
        assert torch.equal(layer_for(name, (3,))(whole), encoded)

    def test_whole_numbers_by_hand(self):
        # In uint8 the sum of the channels, 300, would be 44, and the product with 2 no longer fit.
        image = torch.tensor([[[[200, 200, 200]], [[100, 100, 100]]]], dtype=torch.uint8)
        assert encode(image, "weighted")[0, 2].tolist() == [[0.0, 150.0, 300.0]]

    def test_complex_signals_are_refused(self):
        with pytest.raises(TypeError, match=r"torch.complex64"):
            encode(LINE.to(torch.complex64), "coord")

    @pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 1, 2, 2, 2, 2)])
    def test_wrong_rank(self, shape):
        with pytest.raises(ValueError, match=re.escape(str(tuple(shape)))):
            encode(torch.zeros(shape), "none")

    def test_a_missing_batch_axis_is_guessed(self):
        with pytest.raises(ValueError, match=r"\(2, 500\).*spatial_dims"):
            CoordinateChannels("weighted", 20.0)(torch.zeros(2, 500))


class TestCoordinateChannels:
    @EVERY_ENCODING
    @pytest.mark.parametrize("shape", [(7,), (4, 5), (2, 3, 4)])
    def test_names_what_it_adds(self, name, shape):
        layer = layer_for(name, shape)
        encoded = layer(torch.zeros(2, 3, *shape))
        assert encoded.shape == (2, 3 + layer.added_channels(), *shape)

    def test_added_channels_by_hand(self):
        assert CoordinateChannels("weighted", spatial_dims=3).added_channels() == 3
        assert CoordinateChannels("coord", extent=(9.0, 9.0)).added_channels() == 2
        assert CoordinateChannels("coord").added_channels(1) == 1
        assert CoordinateChannels("none", spatial_dims=2).added_channels() == 0
        assert CoordinateChannels("both", spatial_dims=2).added_channels() == 4
        assert CoordinateChannels("fourier", shape=(4, 5)).added_channels() == 16
        assert CoordinateChannels("learned", shape=500).added_channels() == 1
        with pytest.raises(ValueError, match="spatial_dims"):
            CoordinateChannels("coord").added_channels()
        with pytest.raises(ValueError, match=r"spatial_dims.* 4"):
            CoordinateChannels("coord").added_channels(4)
        with pytest.raises(ValueError, match=r" 2 .* 3"):
            CoordinateChannels("coord", spatial_dims=2).added_channels(3)

    @pytest.mark.parametrize("number", [20, np.float32(20.0), np.float64(20.0), np.int64(20)])
    def test_takes_any_number_as_extent_and_shape(self, number):
        layer = CoordinateChannels("coord", extent=number, shape=np.int64(3))
        assert (layer.extent, layer.shape, layer.spatial_dims) == ((20.0,), (3,), 1)
        assert layer(LINE)[0, 2].tolist() == [0.0, 10.0, 20.0]
        assert CoordinateChannels("coord", extent=np.array([4.0, 5.0])).extent == (4.0, 5.0)

    def test_is_weighted_by_default_and_takes_a_plain_number(self):
        encoded = CoordinateChannels(extent=20.0)(LINE)
        assert encoded[0, 2].tolist() == [0.0, 40.0, 20.0]

    @EVERY_ENCODING
    def test_unbatched(self, name):
        layer = layer_for(name, (2, 3))
        assert torch.equal(layer(IMAGE[0]), layer(IMAGE)[0])
        assert torch.equal(layer(IMAGE), encode(IMAGE, name, learned_map=layer.learned_map))

    def test_follows_the_shape_of_each_input(self):
        layer = CoordinateChannels("coord")
        assert layer(torch.zeros(1, 1, 2))[0, 1].tolist() == [0.0, 1.0]
        assert layer(torch.zeros(1, 1, 1, 3)).shape == (1, 3, 1, 3)

    def test_has_nothing_to_store(self):
        layer = CoordinateChannels("weighted", extent=(3.0, 2.0), spatial_dims=2)
        assert not layer.state_dict()
        assert torch.equal(copy.deepcopy(layer)(IMAGE), layer(IMAGE))
        assert repr(layer) == "CoordinateChannels('weighted', extent=(3.0, 2.0), spatial_dims=2)"

    def test_in_a_sequential(self):
        layer = CoordinateChannels("weighted", spatial_dims=1)
        network = nn.Sequential(layer, nn.Conv1d(2 + layer.added_channels(), 1, 1, bias=False))
        nn.init.constant_(network[1].weight, 1.0)
        # Channels 1, 5, 0; 2, 6, 4; 3, -1, 2 summed.
        assert network(LINE)[0, 0].tolist() == [6.0, 12.0, 4.0]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"encoding": "polar"}, "encoding 'polar'"),
            ({"spatial_dims": 4}, "spatial_dims .* 4$"),
            ({"spatial_dims": 0}, "spatial_dims .* 0$"),
            ({"extent": (1.0, float("nan"))}, "extent"),
            ({"extent": (1.0,), "spatial_dims": 2}, r"extent \(1.0,\).* 2,"),
            ({"extent": ()}, r"extent \(\)"),
            ({"encoding": "learned"}, "'learned'.*shape"),
            ({"encoding": "learned", "spatial_dims": 1}, "'learned'.*shape"),
            ({"shape": (4, 5), "spatial_dims": 1}, r"shape \(4, 5\).*spatial_dims is 1"),
            ({"shape": (4, 5), "extent": 3.0}, r"extent \(3.0,\).* 2,"),
            ({"shape": ()}, r"shape.* \(\)"),
            ({"shape": (2, 3, 4, 5)}, r"shape.* \(2, 3, 4, 5\)"),
            ({"shape": 0}, r"shape.* \(0,\)"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            CoordinateChannels(**arguments)

    @pytest.mark.parametrize("shape", [(3,), (2, 1, 2, 3, 4)])
    def test_wrong_rank(self, shape):
        with pytest.raises(ValueError, match=re.escape(str(shape))):
            CoordinateChannels(spatial_dims=2)(torch.zeros(shape))

    def test_extent_of_another_rank_than_the_signal(self):
        with pytest.raises(ValueError, match=r"extent \(20.0,\).* 2 "):
            CoordinateChannels(extent=(20.0,))(IMAGE)

    @EVERY_ENCODING
    def test_another_shape_than_promised(self, name):
        layer = layer_for(name, (4,))
        with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
            layer(LINE)

    @pytest.mark.skipif(TORCH < (2, 6), reason="torch before 2.6 exports no axis of any length")
    @pytest.mark.parametrize("extent", [None, (20.0,)])
    @pytest.mark.parametrize("name", [name for name in ENCODINGS if ENCODINGS[name].learned_map is None])
    def test_exports_for_any_batch_and_length(self, name, extent):
        layer = CoordinateChannels(name, extent, spatial_dims=1)
        any_size = {0: torch.export.Dim("batch", min=1, max=64), 2: torch.export.Dim("length", min=2, max=512)}
        exported = torch.export.export(layer, (torch.ones(2, 2, 8),), dynamic_shapes=(any_size,)).module()
        assert_same(exported(LINE), layer(LINE), FLOAT32)

    # Each encoding of images; the paper's with the other numbers of axes.
    @pytest.mark.parametrize(
        ("name", "shape"), [*((name, (2, 3)) for name in ENCODINGS), ("weighted", (3,)), ("weighted", (2, 3, 4))]
    )
    def test_exports_for_any_batch(self, name, shape):
        layer = layer_for(name, shape)
        signal = torch.randn(3, 2, *shape, generator=torch.Generator().manual_seed(1))
        encoded = layer(signal)
        batch = {0: torch.export.Dim("batch", min=1, max=64)}
        exported = torch.export.export(layer, (signal[:2],), dynamic_shapes=(batch,))
        # Not even after a forward pass: what is kept is no part of the program.
        assert set(exported.state_dict) == ({"learned_map"} if name == "learned" else set())
        assert not exported.constants
        assert_same(exported.module()(signal), encoded, FLOAT32)

    @EVERY_ENCODING
    def test_traces_to_one_graph(self, name):
        torch.compiler.reset()
        layer = layer_for(name, (2, 3))
        batch = torch.cat((IMAGE, 2 - IMAGE)).requires_grad_()
        encoded = layer(batch)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")(batch)
        assert_same(compiled, encoded, FLOAT32)
        weight = torch.arange(float(encoded.numel())).reshape(encoded.shape)
        gradients = [torch.autograd.grad((made * weight).sum(), batch)[0] for made in (compiled, encoded)]
        assert_same(*gradients, FLOAT32)

    @pytest.mark.slow
    @pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
    @pytest.mark.parametrize(("signal", "cases"), [(LINE, LINE_GRADIENTS), (IMAGE, IMAGE_GRADIENTS)])
    def test_compiles_to_one_graph(self, signal, cases):
        torch.compiler.reset()
        layer = CoordinateChannels("weighted")
        signal = signal.clone().requires_grad_()
        encoded = torch.compile(layer, fullgraph=True)(signal)
        assert_same(encoded, layer(signal), FLOAT32)
        encoded[:, signal.shape[1] :].sum().backward()
        assert_same(signal.grad[0], cases["weighted"], FLOAT32)


class TestLearned:
    def test_starts_from_zeros_and_draws_no_random_numbers(self):
        before = torch.get_rng_state()
        layer = CoordinateChannels("learned", shape=(2, 3))
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(layer.learned_map, torch.zeros(2, 2, 3))
        assert layer(IMAGE)[:, 1:].abs().sum() == 0

    def test_is_the_only_one_with_parameters(self):
        assert [name for name in ENCODINGS if list(layer_for(name, (3,)).parameters())] == ["learned"]

    def test_gradient_is_the_sum_over_the_batch(self):
        layer = CoordinateChannels("learned", shape=(3,))
        encoded = layer(torch.cat((LINE, LINE)))
        (encoded[:, 2] * torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])).sum().backward()
        assert layer.learned_map.grad.tolist() == [[11.0, 22.0, 33.0]]

    def test_goes_through_a_file(self, tmp_path):
        layer, other = layer_for("learned", (2, 3)), CoordinateChannels("learned", shape=(2, 3))
        torch.save(layer.state_dict(), tmp_path / "weights.pt")
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(other(IMAGE)[0, 1:], map_for("learned", (2, 3)))

    @pytest.mark.parametrize("dtype", FLOATS)
    def test_follows_the_dtype_of_the_signal(self, dtype):
        layer = layer_for("learned", (3,))
        encoded = layer(LINE.to(dtype))
        assert encoded.dtype == dtype
        assert encoded[0, 2].tolist() == [1.0, 2.0, 3.0]
        encoded.sum().backward()
        assert layer.learned_map.grad.dtype == torch.float32

    def test_learns_a_position(self):
        # Only a channel of its own tells the third sample from the others.
        torch.manual_seed(0)
        network = nn.Sequential(CoordinateChannels("learned", shape=(5,)), nn.Conv1d(2, 1, 1))
        target = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]).expand(4, 1, 5)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
        for _ in range(200):
            optimiser.zero_grad()
            loss = (network(torch.zeros(4, 1, 5)) - target).square().mean()
            loss.backward()
            optimiser.step()
        # A network that cannot tell leaves the variance of the target, 0.16.
        assert loss.item() < 1e-4


class TestKeptMaps:
    """The layer makes its maps once a grid; nobody may notice."""

    @EVERY_ENCODING
    def test_made_once_a_grid(self, name, monkeypatch):
        layer = layer_for(name, (2, 3))
        entry = ENCODINGS[name]
        made = []
        counted = type(entry)(
            entry.append, lambda grid: made.append(grid) or entry.maps(grid), entry.added, entry.formula
        )
        monkeypatch.setitem(ENCODINGS, name, counted)
        first, second = layer(IMAGE), layer(IMAGE)
        assert len(made) == 1
        assert torch.equal(first, second)
        layer(IMAGE.double())
        assert [grid.dtype for grid in made] == [torch.float32, torch.float64]

    @pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "learned"])
    def test_follow_every_input(self, name):
        layer = CoordinateChannels(name)
        for signal in (LINE, IMAGE, LINE, LINE.half(), torch.ones(1, 2, 4), torch.ones(2, 1, 2, 3, 4)):
            assert torch.equal(layer(signal), encode(signal, name))

    @EVERY_ENCODING
    def test_after_inference_mode_the_layer_still_trains(self, name):
        layer = layer_for(name, (3,))
        with torch.inference_mode():
            layer(LINE)
        signal = LINE.clone().requires_grad_()
        layer(signal).sum().backward()
        assert torch.equal(signal.grad[0], 1 + torch.tensor(LINE_GRADIENTS[name]))

    @EVERY_ENCODING
    def test_are_no_part_of_copies(self, name):
        layer = layer_for(name, (3,))
        fresh = pickle.dumps(layer)
        encoded = layer(LINE)
        assert pickle.dumps(layer) == fresh
        for copied in (pickle.loads(fresh), copy.deepcopy(layer)):
            assert torch.equal(copied(LINE), encoded)
        assert set(layer.state_dict()) == ({"learned_map"} if name == "learned" else set())

    @EVERY_ENCODING
    def test_transforms_and_fake_tensors_leave_nothing_behind(self, name):
        layer = layer_for(name, (3,))
        expected = encode(LINE, name, learned_map=layer.learned_map)
        jacobian = torch.func.jacrev(layer)(LINE)
        assert jacobian.shape == (*expected.shape, *LINE.shape)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert layer(mode.from_tensor(LINE)).shape == expected.shape
        assert torch.equal(layer(LINE), expected)


class Replaced(CoordinateChannels):
    """A layer whose kept maps another thread replaces after every look at them."""

    _others: ClassVar = {}

    @property
    def _kept(self):
        kept, self._others[id(self)] = self._others.get(id(self)), self._made_meanwhile
        return kept

    @_kept.setter
    def _kept(self, kept):
        self._others[id(self)] = kept

    _made_meanwhile = None


class TestThreads:
    @EVERY_ENCODING
    def test_maps_replaced_between_look_and_use(self, name):
        layer = Replaced(name, shape=(3,))
        expected = encode(LINE, name, learned_map=layer.learned_map)
        entry = ENCODINGS[name]
        grids = [Grid((count,), None, torch.float32, torch.device("cpu")) for count in (3, 7)]
        own, other = [(grid, entry.maps(grid)) for grid in grids]
        for at_first, meanwhile in ((own, other), (other, own), (None, other), (own, None)):
            layer._others[id(layer)], layer._made_meanwhile = at_first, meanwhile
            assert torch.equal(layer(LINE), expected)


def holds(dtype, count, last):
    """Whether so many coordinates stay finite and distinct, looked at one by one."""
    axis = coordinates((count,), (last,), dtype)[0].double()
    return bool(torch.isfinite(axis).all()) and len(set(axis.tolist())) == count


class TestSixteenBits:
    """Coordinates are finite and distinct, or refused."""

    # Whole numbers are exact up to 2^11 in float16 and 2^8 in bfloat16; the last one itself is a power of two.
    # From 0 to 1 the steps just below 1 are 2^-11 and 2^-8.
    @pytest.mark.parametrize(
        "name", ["coord", "weighted", "coord_unit", "weighted_unit", "both", "shuffled", "inverted"]
    )
    @pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 2049), (torch.bfloat16, 257)])
    def test_as_many_samples_as_are_told_apart(self, name, dtype, most):
        encoded = encode(torch.ones(1, 1, most, dtype=dtype), name)
        assert torch.isfinite(encoded).all()
        if name != "inverted":
            assert len(encoded[0, 1].unique()) == most
        with pytest.raises(ValueError, match=rf"{most + 1} .*{dtype}.*float32.*_unit"):
            encode(torch.ones(1, 1, most + 1, dtype=dtype), name)
        with pytest.raises(ValueError, match="_unit"):
            CoordinateChannels(name, spatial_dims=2)(torch.ones(1, 1, most + 1, 3, dtype=dtype))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_what_passes_is_finite_and_distinct(self, dtype):
        generator = np.random.default_rng(7)
        passed = 0
        for _ in range(300):
            count, last = int(generator.integers(2, 400)), float(10 ** generator.uniform(-8, 6))
            try:
                encode(torch.ones(1, 1, count, dtype=dtype), "coord", (last,))
            except ValueError:
                continue
            passed += 1
            assert holds(dtype, count, last), (count, last)
        assert passed > 20

    @pytest.mark.parametrize(
        ("dtype", "extent"), [(torch.float16, 65505.0), (torch.float16, 1e-9), (torch.bfloat16, 1e39)]
    )
    def test_an_extent_out_of_range_is_refused_and_unit_helps(self, dtype, extent):
        signal = torch.ones(1, 1, 5, dtype=dtype)
        with pytest.raises(ValueError, match=r"5 .*_unit"):
            encode(signal, "weighted", (extent,))
        assert encode(signal, "weighted_unit", (extent,))[0, 1].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]

    def test_every_axis_is_looked_at(self):
        for shape in ((300, 2, 2), (2, 300, 2), (2, 2, 300)):
            with pytest.raises(ValueError, match="300"):
                encode(torch.ones(1, 1, *shape, dtype=torch.bfloat16), "coord")

    @pytest.mark.parametrize("name", ["none", "duplicate", "fourier", "learned"])
    def test_encodings_without_coordinates_take_any_size(self, name):
        signal = torch.ones(1, 1, 3001, dtype=torch.bfloat16)
        encoded = encode(signal, name, learned_map=map_for(name, (3001,)))
        assert encoded.dtype == torch.bfloat16

    @pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 2**15), (torch.bfloat16, 2**12)])
    def test_waves_are_distinct_together(self, dtype, most):
        encoded = encode(torch.ones(1, 1, most, dtype=dtype), "fourier")
        assert len(encoded[0, 1:].float().unique(dim=1).T) == most
        with pytest.raises(ValueError, match=rf"{most + 1} .*{dtype}.*float32"):
            encode(torch.ones(1, 1, most + 1, dtype=dtype), "fourier")

    def test_equal_coordinates_that_were_asked_for(self):
        signal = torch.ones(1, 1, 500, dtype=torch.bfloat16)
        assert encode(signal, "coord", (0.0,))[0, 1].abs().max() == 0


class OwnNetwork(nn.Module):
    """A network that calls `encode` itself."""

    def forward(self, signal):
        return encode(signal, "both", (2.0, 3.0)).relu()


class TestTracers:
    @EVERY_ENCODING
    @pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)])
    def test_fx_traces_the_layer_alone_and_in_a_network(self, name, shape):
        layer = layer_for(name, shape)
        signal = torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(8), requires_grad=True)
        for network in (layer, nn.Sequential(layer, nn.ReLU())):
            traced = torch.fx.symbolic_trace(network)
            assert torch.equal(traced(signal), network(signal))
            assert torch.equal(traced(signal[0]), network(signal[0]))
            assert set(traced.state_dict()) == set(network.state_dict())
        again = pickle.loads(pickle.dumps(traced))
        assert torch.equal(again(signal), network(signal))

    def test_fx_passes_gradients_to_the_learned_map(self):
        layer = layer_for("learned", (3,))
        torch.fx.symbolic_trace(layer)(LINE)[:, 2].sum().backward()
        assert layer.learned_map.grad.tolist() == [[1.0, 1.0, 1.0]]

    def test_fx_traces_the_function(self):
        network = OwnNetwork()
        traced = torch.fx.symbolic_trace(network)
        assert torch.equal(traced(IMAGE), network(IMAGE))
        again = torch.fx.symbolic_trace(traced)
        assert torch.equal(again(IMAGE), network(IMAGE))

    def test_fx_keeps_the_checks(self):
        traced = torch.fx.symbolic_trace(layer_for("coord", (4,)))
        with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
            traced(LINE)

    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @EVERY_ENCODING
    def test_jit_trace_works_and_script_is_refused(self, name):
        layer = layer_for(name, (2, 3))
        traced = torch.jit.trace(layer, IMAGE)
        assert torch.equal(traced(2 * IMAGE), layer(2 * IMAGE))
        # Documented as unsupported: an error, not another result.
        with pytest.raises((ValueError, RuntimeError)):
            torch.jit.script(layer)


def coordconv_channel(shape, axis):
    """A channel of CoordConv (Liu et al. 2018, section 3): the index along one axis, scaled to -1 ... 1."""
    channel = np.zeros(shape)
    for place in np.ndindex(*shape):
        channel[place] = -1.0 + 2.0 * place[axis] / (shape[axis] - 1)
    return channel


class TestCoordConv:
    @pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8])
    @pytest.mark.parametrize("shape", [(2,), (9,), (2, 2), (5, 8), (17, 3), (2, 5, 3)])
    def test_value_by_value(self, shape, dtype):
        signal = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(9)).to(dtype)
        encoded = CoordinateChannels("coord_unit")(signal)
        eps = torch.finfo(encoded.dtype).eps
        assert torch.equal(encoded[:, :3], signal.to(encoded.dtype))
        for number, axis in enumerate(reversed(range(len(shape)))):
            scaled = 2 * encoded[:, 3 + number].double().numpy() - 1
            expected = np.broadcast_to(coordconv_channel(shape, axis), scaled.shape)
            # u is at most 1 and rounded once: its error is at most eps / 2, that of 2 u - 1 at most eps.
            np.testing.assert_allclose(scaled, expected, rtol=0, atol=eps)

    def test_plain_indices(self):
        encoded = CoordinateChannels("coord")(torch.zeros(1, 1, 5, 8))
        rows, columns = np.indices((5, 8))
        assert torch.equal(encoded[0, 1:], torch.from_numpy(np.stack([columns, rows])).float())

    @pytest.mark.parametrize("shape", [(1,), (1, 4), (4, 1), (1, 1), (3, 1, 2)])
    @pytest.mark.parametrize("name", ["coord", "coord_unit", "weighted", "weighted_unit", "both", "fourier"])
    def test_a_side_of_one_sample_is_finite(self, name, shape):
        assert torch.isfinite(encode(torch.ones(1, 2, *shape), name)).all()

    def test_whole_numbers_do_not_wrap_around(self):
        # 299 does not fit uint8, and the weighted value 299 * 255 not even 16 bits.
        image = torch.full((1, 1, 1, 300), 255, dtype=torch.uint8)
        assert encode(image, "coord")[0, 1, 0, -1] == 299
        assert encode(image, "weighted")[0, 1, 0, -1] == 299 * 255


def test_the_layer_imports_torch_and_numpy_alone_and_takes_no_time_beside_them():
    program = """
import sys, time
start_s = time.process_time()
import numpy, torch
theirs_s = time.process_time() - start_s
before, start_s = set(sys.modules), time.process_time()
import siwcc
layer = siwcc.CoordinateChannels
taken_s = time.process_time() - start_s
others = {name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names}
print(sorted(others), taken_s < 0.2 * theirs_s)
"""
    prediction = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert prediction.stdout == "['siwcc', 'siwcc.nn', 'siwcc.nn.coordinate_channels'] True\n"
