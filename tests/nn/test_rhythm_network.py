"""The network over the time of a recording: sizes, reach, and independence of where a recording is cut."""

from __future__ import annotations

import json

import pytest
import torch
from tolerances import FLOAT32, assert_same

from siwcc.nn.rhythm_network import RhythmNetwork

pytestmark = pytest.mark.numeric


def made_network(**settings: object) -> RhythmNetwork:
    torch.manual_seed(0)
    network = RhythmNetwork(2, **{"outputs": 2, "width": 8, "dilations": (1, 2, 4), **settings})
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("length", [4, 5, 7, 200, 203])
def test_every_whole_step_has_logits(length):
    assert made_network()(torch.zeros(3, 2, length)).shape == (3, 2, length // 4)


def test_reach():
    # Kernel 7 at the input: 3 samples; kernel 5 at every second: 4; two kernels of 3 at every fourth for each of the
    # dilations 1, 2 and 4: 2 * 7 * 4.
    network = made_network()
    assert network.stride == 4
    assert network.reach == 3 + 4 + 56
    assert RhythmNetwork(1).reach == 7 + 2 * 63 * 4
    signal = torch.randn(1, 2, 400, generator=torch.Generator().manual_seed(1), requires_grad=True)
    network(signal)[0, 0, 50].backward()
    # A gradient may be 0 behind a ReLU, but never beyond the reach.
    touched = torch.nonzero(signal.grad.abs().sum((0, 1)))
    assert touched.min() >= 200 - 63
    assert touched.max() <= 200 + 63
    assert touched.max() - touched.min() > 100


def test_a_shift_by_whole_steps_shifts_the_logits():
    network = made_network()
    signal = torch.randn(1, 2, 600, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, part = network(signal), network(signal[:, :, 80:])
    margin = 16  # the reach, in steps
    assert_same(part[:, :, margin:], whole[:, :, 20 + margin :], FLOAT32)


def test_settings_in_json_make_the_same_network():
    network = made_network(stem_kernels=(9,), stem_strides=(5,), kernel=5, dropout=0.5)
    again = RhythmNetwork(**json.loads(json.dumps(network.settings))).eval()
    again.load_state_dict(network.state_dict())
    signal = torch.randn(2, 2, 100, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again(signal), network(signal))
    assert network(signal).shape == (2, 2, 20)


@pytest.mark.parametrize("shape", [(1, 3, 100), (1, 2, 3), (2, 100)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="expected a signal"):
        made_network()(torch.zeros(shape))


@pytest.mark.parametrize("settings", [{"kernel": 4}, {"stem_kernels": (7, 4)}, {"stem_kernels": (7,)}])
def test_kernels_that_do_not_fit_are_refused(settings):
    with pytest.raises(ValueError, match="odd"):
        RhythmNetwork(2, **settings)
