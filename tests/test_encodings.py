"""Coordinate channels against numbers worked out by hand."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from siwcc.config import EncodingName
from siwcc.encodings import ENCODINGS, CoordinateChannels, coordinates, encode

LINE = torch.tensor([[[1.0, 2.0, 3.0], [5.0, 6.0, -1.0]]])
"""(1, 2 channels, 3 samples); the channels' mean is 3, 4, 1."""

IMAGE = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
"""(1, 1 channel, 2 rows, 3 columns)."""

LINE_CASES = {
    "none": [],
    "coord": [[0.0, 1.0, 2.0]],
    "weighted": [[0.0, 4.0, 2.0]],
}
IMAGE_CASES = {
    "none": [],
    "coord": [[[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]],
    "weighted": [[[0.0, 2.0, 6.0], [0.0, 5.0, 12.0]], [[0.0, 0.0, 0.0], [4.0, 5.0, 6.0]]],
}
# d(sum of all appended channels) / d(signal) for LINE (two channels share the mean) and IMAGE.
LINE_GRADIENTS = {
    "none": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "coord": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "weighted": [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]],
}
IMAGE_GRADIENTS = {
    "none": [[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]],
    "coord": [[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]],
    "weighted": [[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]],
}
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
EVERY_ENCODING = pytest.mark.parametrize("name", list(ENCODINGS))


def appended(signal: torch.Tensor, expected: list) -> torch.Tensor:
    channels = torch.tensor(expected, dtype=signal.dtype).reshape(len(expected), *signal.shape[2:])
    return torch.cat((signal, channels.unsqueeze(0)), dim=1)


@pytest.mark.parametrize("cases", [LINE_CASES, IMAGE_CASES, LINE_GRADIENTS, IMAGE_GRADIENTS])
def test_every_encoding_has_its_cases(cases):
    assert set(cases) == set(ENCODINGS)


def test_the_config_knows_the_same_encodings():
    assert set(get_args(EncodingName)) == set(ENCODINGS)


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
        with pytest.raises(ValueError, match=r"extent \(20.0,\) has 1 entries, the signal has 2 spatial axes"):
            coordinates((2, 3), (20.0,))


class TestEncode:
    @EVERY_ENCODING
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_values(self, name, dtype):
        for signal, cases in ((LINE.to(dtype), LINE_CASES), (IMAGE.to(dtype), IMAGE_CASES)):
            encoded = encode(signal, name)
            assert encoded.dtype == dtype
            assert torch.equal(encoded, appended(signal, cases[name]))

    @EVERY_ENCODING
    @pytest.mark.parametrize(("signal", "cases"), [(LINE, LINE_GRADIENTS), (IMAGE, IMAGE_GRADIENTS)])
    def test_gradients(self, name, signal, cases):
        signal = signal.clone().requires_grad_()
        channels = signal.shape[1]
        encoded = encode(signal, name)
        # Weight 1 on what is appended and 100 on the signal itself, which passes straight through.
        (encoded[:, channels:].sum() + 100 * encoded[:, :channels].sum()).backward()
        assert torch.equal(signal.grad[0], 100 + torch.tensor(cases[name]))

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
        encoded = encode(signal.contiguous(memory_format=layout), name)
        assert encoded.is_contiguous(memory_format=layout)
        assert encode(signal, name).is_contiguous()
        torch.testing.assert_close(encoded, encode(signal, name), rtol=1e-6, atol=1e-6)

    @EVERY_ENCODING
    def test_follows_the_device(self, name):
        assert encode(torch.empty(2, 3, 4, device="meta"), name).device.type == "meta"

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    @EVERY_ENCODING
    def test_same_values_on_cuda(self, name):
        assert torch.equal(encode(IMAGE.cuda(), name).cpu(), encode(IMAGE, name))

    @EVERY_ENCODING
    def test_empty_batch(self, name):
        assert encode(torch.empty(0, 2, 7), name).shape == (0, 2 + ENCODINGS[name].added(1), 7)

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="unknown encoding 'polar': choose one of none, coord, weighted"):
            encode(LINE, "polar")

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.complex64])
    def test_integers_are_refused(self, dtype):
        with pytest.raises(TypeError, match="must be floating-point, not torch"):
            encode(LINE.to(dtype), "coord")

    @pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 1, 2, 2, 2, 2)])
    def test_wrong_rank(self, shape):
        with pytest.raises(ValueError, match=r"must be \(batch, channels, \[z, \[y,\]\] x\), not of shape"):
            encode(torch.zeros(shape), "none")


class TestCoordinateChannels:
    @EVERY_ENCODING
    @pytest.mark.parametrize("shape", [(7,), (4, 5), (2, 3, 4)])
    def test_names_what_it_adds(self, name, shape):
        layer = CoordinateChannels(name, spatial_dims=len(shape))
        encoded = layer(torch.zeros(2, 3, *shape))
        assert encoded.shape == (2, 3 + layer.added_channels(), *shape)

    def test_added_channels_by_hand(self):
        assert CoordinateChannels("weighted", spatial_dims=3).added_channels() == 3
        assert CoordinateChannels("coord", extent=(9.0, 9.0)).added_channels() == 2
        assert CoordinateChannels("coord").added_channels(1) == 1
        assert CoordinateChannels("none", spatial_dims=2).added_channels() == 0
        with pytest.raises(ValueError, match="give spatial_dims"):
            CoordinateChannels("coord").added_channels()

    def test_is_weighted_by_default_and_takes_a_plain_number(self):
        encoded = CoordinateChannels(extent=20.0)(LINE)
        assert encoded[0, 2].tolist() == [0.0, 40.0, 20.0]

    @EVERY_ENCODING
    def test_unbatched(self, name):
        layer = CoordinateChannels(name, spatial_dims=2)
        assert torch.equal(layer(IMAGE[0]), layer(IMAGE)[0])

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
            ({"encoding": "polar"}, "unknown encoding 'polar'"),
            ({"spatial_dims": 4}, "spatial_dims must be 1, 2 or 3, not 4"),
            ({"spatial_dims": 0}, "spatial_dims must be 1, 2 or 3, not 0"),
            ({"extent": (1.0, float("nan"))}, "extent must be finite"),
            ({"extent": (1.0,), "spatial_dims": 2}, r"extent \(1.0,\) has 1 entries, needs 2, x first"),
            ({"extent": ()}, r"extent \(\) has 0 entries, needs 1 or 2 or 3, x first"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            CoordinateChannels(**arguments)

    @pytest.mark.parametrize("shape", [(3,), (2, 1, 2, 3, 4)])
    def test_wrong_rank(self, shape):
        with pytest.raises(ValueError, match="with 2 spatial axes, got a tensor of shape"):
            CoordinateChannels(spatial_dims=2)(torch.zeros(shape))

    def test_extent_of_another_rank_than_the_signal(self):
        with pytest.raises(ValueError, match=r"extent \(20.0,\) has 1 entries, the signal has 2 spatial axes"):
            CoordinateChannels(extent=(20.0,))(IMAGE)

    @pytest.mark.parametrize("extent", [None, (20.0,)])
    @EVERY_ENCODING
    def test_exports_for_any_batch_and_length(self, name, extent):
        layer = CoordinateChannels(name, extent, spatial_dims=1)
        any_size = {0: torch.export.Dim("batch", min=1, max=64), 2: torch.export.Dim("length", min=2, max=512)}
        exported = torch.export.export(layer, (torch.ones(2, 2, 8),), dynamic_shapes=(any_size,)).module()
        assert torch.equal(exported(LINE), layer(LINE))

    @pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
    @pytest.mark.parametrize(("signal", "cases"), [(LINE, LINE_GRADIENTS), (IMAGE, IMAGE_GRADIENTS)])
    def test_compiles_to_one_graph(self, signal, cases):
        torch.compiler.reset()
        layer = CoordinateChannels("weighted")
        signal = signal.clone().requires_grad_()
        encoded = torch.compile(layer, fullgraph=True)(signal)
        assert torch.equal(encoded, layer(signal))
        encoded[:, signal.shape[1] :].sum().backward()
        assert torch.equal(signal.grad[0], torch.tensor(cases["weighted"]))


def test_the_layer_needs_no_part_of_the_study():
    heavy = ("h5py", "matplotlib", "pandas", "pydantic", "scipy", "snakemake", "wfdb", "cv2", "sklearn")
    code = f"import sys; from siwcc import CoordinateChannels; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
