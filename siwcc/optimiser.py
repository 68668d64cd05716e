"""Adam, without torch's compiler.

`torch.optim` wraps its methods so that the compiler leaves them alone, and imports the compiler for
that when they are first called: a second of CPU time in every job, also where nothing is compiled.
"""

from __future__ import annotations

import inspect

import torch


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`: the same functions, state and results to the bit, less their wrappers.

    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    # The wrapper of this one also turns gradients off.
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
