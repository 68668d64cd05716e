"""How torch's compiler parts a training step: apart from `siwcc.training.compiled`, as importing it takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch._functorch.partitioners import default_partition
from torch._inductor.custom_graph_pass import CustomPartitionerFn
from torch.fx import GraphModule


class KeepSavedTensors(CustomPartitionerFn):
    """The backward pass is given what the forward pass has saved.

    By default the compiler lets it compute again what seems cheap: of a fused block the sums over windows, which are
    kept for that very purpose. That takes a seventh of an ECG step.
    """

    def __call__(
        self, gm: GraphModule, joint_inputs: Sequence[object], **kwargs: Any
    ) -> tuple[GraphModule, GraphModule]:
        """Forward and backward graph of a joint one."""
        return default_partition(gm, joint_inputs, num_fwd_outputs=kwargs["num_fwd_outputs"])

    def uuid(self) -> str:
        """What the compiler's kept results depend on."""
        return f"{__name__} 1"
