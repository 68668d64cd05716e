"""How long a training step takes at least on a device: by its operations, its bytes and its kernel launches.

    expected = max(operations / rate, bytes / bandwidth, launches x 5 us)

(Williams, Waterman and Patterson, Commun. ACM 52 (4), 2009, with launches added). Bytes are those of the activations
in float32. X: values of the network's input; A: of the outputs of all convolutions and poolings. Normalisation and ReLU
count nothing, as they can be computed while their input is read or their output written.

    forward   X is read, A written and read                                   4 (X + 2 A)
    backward  the gradients of A are written and read, X and A read again     4 (X + 3 A)

Launches are the operations of the reference implementation's step, each as one kernel, with Adam's over all weights at
once. An implementation that captures or fuses them needs fewer. Operations are those of direct convolutions; where the
device's library takes Winograd's algorithm, it needs fewer.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.data import paper_config
from benchmarks.measurements import forward_flops, step_flops
from benchmarks.reference import PlainRun, plain_network

LAUNCH_S = 5e-6

# Published float32 rate without tensor cores, TFLOP/s, and memory bandwidth, GB/s, by words of the device's name; the
# first that fits. NVIDIA's data sheets of H200, H100, A100, V100, L4 and T4; RTX 4090: its Ada white paper.
DEVICES = {
    "H200": (67.0, 4800.0),
    "H100 NVL": (60.0, 3900.0),
    "H100 PCIe": (51.0, 2000.0),
    "H100": (67.0, 3350.0),
    "A100 80GB PCIe": (19.5, 1935.0),
    "A100 80GB": (19.5, 2039.0),
    "A100": (19.5, 1555.0),
    "V100": (15.7, 900.0),
    "RTX 4090": (82.6, 1008.0),
    "L4": (30.3, 300.0),
    "T4": (8.1, 320.0),
}


class Work(NamedTuple):
    """What a computation cannot do without: floating-point operations, bytes moved, kernels launched."""

    flops: float
    bytes: float
    launches: int


class Bound(NamedTuple):
    """The least time of a computation, s, and which of `compute`, `memory` and `launches` it is due to."""

    seconds: float
    name: str


class Roofline(NamedTuple):
    """A device: operations and bytes per second."""

    flops_per_s: float
    bytes_per_s: float

    def bound(self, work: Work) -> Bound:
        """The least time of a computation on the device."""
        seconds = {
            "compute": work.flops / self.flops_per_s,
            "memory": work.bytes / self.bytes_per_s,
            "launches": work.launches * LAUNCH_S,
        }
        name = max(seconds, key=lambda each: seconds[each])
        return Bound(seconds[name], name)


def published(device_name: str) -> Roofline | None:
    """The published figures of a device, by its name; None if it is not in `DEVICES`."""
    words = set(re.split(r"[^A-Za-z0-9]+", device_name))
    for name, (tflops_per_s, gb_per_s) in DEVICES.items():
        if words.issuperset(name.split()):
            return Roofline(tflops_per_s * 1e12, gb_per_s * 1e9)
    return None


def _batch_size() -> int:
    return paper_config().train.batch_size


@functools.cache
def activations(task: str) -> tuple[int, int]:
    """X and A of one sample in the full network, see the module."""
    network, shape = plain_network(task)
    counts = []
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.AvgPool1d | nn.AvgPool2d):
            module.register_forward_hook(lambda _module, _inputs, output: counts.append(output.numel()))
    signal = torch.zeros((1, *shape))
    with torch.no_grad():
        network(signal)
    return signal.numel(), sum(counts)


def step_work(task: str) -> Work:
    """Of a training step of the full network."""
    given, made = activations(task)
    return Work(step_flops(task), 4 * _batch_size() * (2 * given + 5 * made), sum(_launches(task)))


def forward_work(task: str) -> Work:
    """Of the predictions for a batch."""
    given, made = activations(task)
    return Work(forward_flops(task), 4 * _batch_size() * (given + 2 * made), _launches(task)[0])


def step_memory(task: str) -> int:
    """Bytes that a step keeps at least: X and A for the backward pass; weights, gradients, two moments of each."""
    weights = sum(parameter.numel() for parameter in plain_network(task)[0].parameters())
    return 4 * (_batch_size() * sum(activations(task)) + 4 * weights)


@functools.cache
def _launches(task: str) -> tuple[int, int]:
    """Of a forward pass, and what a step has beyond it."""
    network, shape = plain_network(task)
    signal, target = torch.rand((2, *shape)), torch.rand(2, network.head.out_features)
    run = PlainRun(network, torch.rand(8, network.head.out_features))
    for group in run.optimiser.param_groups:
        # As it is on a GPU by default.
        group["foreach"] = True
    run.step(signal, target)
    forward = count_launches(lambda: network(signal))
    return forward, count_launches(lambda: run.step(signal, target)) - forward


def count_launches(call: Callable[[], Any]) -> int:
    """Operations of a call that compute or copy, as kernels are launched for them."""
    with _Operations() as operations:
        call()
    return int(operations.count)


class _Operations(TorchDispatchMode):
    """Counts what torch dispatches, but for views, allocations and numbers that are on the host anyway."""

    _FREE = ("empty", "empty_like", "empty_strided", "_local_scalar_dense")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        self.count += function.namespace == "aten" and not function.is_view and name not in self._FREE
        return function(*args, **(kwargs or {}))
