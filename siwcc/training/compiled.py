"""What torch compiles of a training: the step up to its error and the prediction, for whole batches."""

from __future__ import annotations

import copy
import logging
import math
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from siwcc.config import Train
from siwcc.io.errors import InputError
from siwcc.io.files import digest_of
from siwcc.io.locks import locked_folder
from siwcc.nn.fused_block import Block
from siwcc.nn.heatmap_networks import DenseNet
from siwcc.nn.paper_networks import Localiser

# Samples or pixels in all epochs of a training from which on it pays: compiling takes 10 to 25 s once, reading what
# another run has compiled 4 s, and of this many values an ECG training takes 20 s less, one of images 10 s.
_WORTH_COMPILING = 1e8
_COMPILING_AT_MOST_S = 300.0
# In /proc/cpuinfo, of x86 and of ARM.
_OF_THE_CPU = ("machine", "vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part")

logger = logging.getLogger(__name__)

TrainStep = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
PredictStep = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


class Steps(NamedTuple):
    """How a run computes what it needs of a batch.

    Attributes:
        train: Signals, targets, means and deviations of the targets -> predictions in the target's unit, and the error.
        predict: Signals -> what `Localiser.predict_with_confidence` returns.
    """

    train: TrainStep
    predict: PredictStep


def uses_compiler(settings: Train, device: torch.device, rows: int, shape: Sequence[int], network: Localiser) -> bool:
    """Whether a run lets torch compile: never by chance, as it changes the rounding.

    Args:
        settings: Of the run.
        device: Where it computes.
        rows: Training rows that there are.
        shape: Axes of a signal after the channels.
        network: Those with a heatmap are not compiled.
    """
    has_blocks = any(isinstance(module, Block) for module in network.modules())
    if isinstance(network.body, DenseNet) or (device.type == "cpu" and not has_blocks):
        return False
    values = (settings.rows_per_epoch or rows) * math.prod(shape) * settings.epochs
    by_itself = device.type == "cpu" and values >= _WORTH_COMPILING
    if settings.compile is False or (settings.compile == "auto" and not by_itself):
        return False
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        logger.warning("train.compile: no C++ compiler found (set CXX, or install g++); training goes on without")
        return False
    return True


def compiled_steps(
    steps: Steps, network: Localiser, batch: tuple[Tensor, Tensor], folder: Path | None = None
) -> Steps | None:
    """The steps of a run in which torch has compiled what it does with whole batches; others are computed as before.

    Args:
        steps: Of this network.
        network: To be trained; it is left as it is.
        batch: Signals and targets of a whole batch, of any values, on the network's device.
        folder: Where what was compiled is kept for the other runs on such a machine; None: where torch keeps it.

    Returns:
        None where torch cannot compile; the log says why.
    """
    signal, target = batch
    try:
        # The compiler reads when it is imported where it is to keep things.
        with _compiled_once(folder, network, signal.shape):
            _set_up_compiler()
            _set_fused(network, signal.device.type == "cpu")
            compiled = Steps(*(cast(Any, torch.compile(step, dynamic=False)) for step in steps))
            _try_out(compiled, network, signal, target)
    except Exception as error:
        # A compiler that is there may still fail: missing headers, a full disk, another architecture.
        first_line = (str(error).splitlines() or [""])[0]
        logger.warning("train.compile: torch cannot compile here (%s: %s)", type(error).__name__, first_line)
        logger.warning("train.compile: training goes on without; train.compile=false ends these lines")
        _set_fused(network, False)
        return None
    size = len(signal)
    return Steps(*(_for_whole_batches(*pair, size) for pair in zip(compiled, steps, strict=True)))


def _set_fused(network: Localiser, fused: bool) -> None:
    for module in network.modules():
        if isinstance(module, Block):
            module.fused = fused


def _set_up_compiler() -> None:
    import torch._inductor.config as options

    # The compiler has a switch of its own.
    torch.use_deterministic_algorithms(True)
    # No pool of compiler processes, which would outlive a kill.
    options.compile_threads = 1
    # Before torch 2.9 it cannot be told how to part the step, which costs a seventh of it.
    with suppress(ImportError, AttributeError):
        from siwcc.training.saved_tensors import KeepSavedTensors

        options.custom_partitioner_fn = KeepSavedTensors()


def _try_out(steps: Steps, network: Localiser, signal: Tensor, target: Tensor) -> None:
    """Compile by computing one batch, and take back what that changes in the network."""
    before = copy.deepcopy(network.state_dict())
    zero = torch.zeros(target.shape[1], device=target.device)
    try:
        network.train()
        steps.train(signal, target, zero, zero + 1)[1].backward()  # type: ignore[no-untyped-call]
        network.eval()
        with torch.inference_mode():
            # Tensors that are made in this mode are of another kind.
            steps.predict(signal.clone())
    finally:
        network.load_state_dict(before)
        network.zero_grad(set_to_none=True)


def _for_whole_batches(compiled: Any, plain: Any, size: int) -> Callable[..., Any]:
    # torch compiles for one size: a last short batch is left to the layers.
    return lambda signal, *others: (compiled if len(signal) == size else plain)(signal, *others)


# --------------------------------------------------------------------- kept


@contextmanager
def _compiled_once(folder: Path | None, network: Localiser, batch_shape: torch.Size) -> Iterator[None]:
    """Keep what is compiled in `folder`; of several runs that need the same, one compiles while the others wait."""
    if folder is None:
        yield
        return
    kept = folder / _machine()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kept.absolute()))
    parts = {"network": str(network), "batch": str(tuple(batch_shape)), "threads": str(torch.get_num_threads())}
    done = kept / f"{digest_of(parts)[:16]}.done"
    with ExitStack() as stack:
        if not done.exists():
            try:
                stack.enter_context(locked_folder(kept, "another run is compiling", _COMPILING_AT_MOST_S))
            except InputError as error:
                logger.warning("train.compile: %s; compiling here too", error)
        yield
        done.touch()


def _machine() -> str:
    """A name for all machines that can run each other's compiled code: torch's version and the kind of CPU."""
    facts = {"machine": platform.machine(), "model": platform.processor()}
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
        facts |= {key.strip(): value for key, _, value in (line.partition(":") for line in first.splitlines())}
    kind = {key: facts[key] for key in _OF_THE_CPU if key in facts}
    return f"torch-{torch.__version__}-{digest_of(kind)[:16]}"
