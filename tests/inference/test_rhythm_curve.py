"""The curves of networks are independent of their blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, assert_same

from siwcc.inference.rhythm_curve import rhythm_curves
from siwcc.training.rhythm import new_network
from siwcc.training.rhythm_windows import RhythmRecipe

pytestmark = pytest.mark.numeric
RECIPE = RhythmRecipe(width=8, stem_kernels=(7, 5), stem_strides=(2, 2), dilations=(1, 2, 4))


def signal_of(samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)


@pytest.mark.parametrize("samples", [4, 300, 1002, 1203])
@pytest.mark.parametrize("block_steps", [1, 7, 100, 10_000])
def test_the_block_size_changes_nothing(samples, block_steps):
    networks = [new_network(RECIPE, 2, seed) for seed in (0, 1)]
    signal = signal_of(samples)
    curves = rhythm_curves(networks, signal, block_steps)
    with torch.no_grad():
        whole = [torch.sigmoid(network.eval()(torch.from_numpy(signal)[None]))[0].numpy() for network in networks]
    assert curves.dtype == np.float64
    assert_same(curves, np.mean(whole, axis=0), FLOAT32)


def test_a_network_in_training_stays_so_and_predicts_as_in_evaluation():
    network = new_network(RECIPE, 2, 0)
    signal = signal_of(400)
    first = rhythm_curves([network.train()], signal)
    assert network.training
    assert np.array_equal(first, rhythm_curves([network.eval()], signal))


def test_networks_of_other_strides_are_refused():
    other = new_network(RhythmRecipe(stem_kernels=(7, 5), stem_strides=(2, 5)), 2, 0)
    for networks in ([], [new_network(RECIPE, 2, 0), other]):
        with pytest.raises(ValueError, match="stride"):
            rhythm_curves(networks, signal_of(100))


def test_what_a_network_sees_at_a_time_does_not_grow_with_the_recording():
    network = new_network(RECIPE, 2, 0)
    lengths: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[2]))
    rhythm_curves([network], signal_of(20_000), block_steps=500)
    # Of the stem 7 samples, of the blocks 2 * 7 steps of 4 samples: 16 steps to either side.
    assert len(lengths) == 10
    assert max(lengths) == (500 + 2 * 16) * 4
