"""What torch compiles of a training: the step up to its error and the prediction, for whole batches."""

from __future__ import annotations

import copy
import logging
import math
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from siwcc.config import Train
from siwcc.io.errors import InputError
from siwcc.io.files import digest_of
from siwcc.io.locks import locked_folder, make_own_folder
from siwcc.jobs.import_closure import code_sums
from siwcc.nn.fused_block import Block
from siwcc.nn.heatmap_networks import DenseNet
from siwcc.nn.paper_networks import Localiser

# Samples or pixels in all epochs of a training from which on it pays: compiling takes 10 to 25 s once, reading what
# another run has compiled 4 s, and of this many values an ECG training takes 20 s less, one of images 10 s.
_WORTH_COMPILING = 1e8
_COMPILING_AT_MOST_S = 300.0
# In /proc/cpuinfo, of x86 and of ARM.
_OF_THE_CPU = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part")

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
    if shutil.which(_cpp_compiler()) is None:
        logger.warning("train.compile: no C++ compiler found (set CXX, or install g++); training goes on without")
        return False
    return True


def compiled_steps(
    steps: Steps, network: Localiser, batch: tuple[Tensor, Tensor], folder: Path | None = None
) -> Steps | None:
    """The steps of a run in which torch has compiled what it does with whole batches; others are computed as before.

    Args:
        steps: Of this network.
        network: To be trained; its weights do not change.
        batch: Signals and targets of a whole batch, of any values, on the network's device.
        folder: Where what was compiled is kept for the other runs on such a machine; None: where torch keeps it.

    Returns:
        None where torch cannot compile; the log says why.
    """
    signal, target = batch
    problem, started_at = "", time.monotonic()
    logger.info("train.compile: torch compiles the training step, or reads what another run has compiled")
    # What was kept may be damaged: then it is compiled again.
    for _ in range(1 if folder is None else 2):
        try:
            # The compiler asks where to keep things as soon as it is imported.
            with _kept(folder, network, signal.shape):
                compiled = Steps(*(cast(Any, torch.compile(step, dynamic=False)) for step in steps))
                _set_up_compiler(on_cpu=signal.device.type == "cpu")
                _set_fused(network, signal.device.type == "cpu")
                _try_out(compiled, network, signal, target)
        except Exception as error:
            # A compiler that is there may still fail: missing headers, a full disk, another architecture.
            problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        else:
            logger.info("train.compile: done after %.0f s", time.monotonic() - started_at)
            return Steps(*(_for_batches_like(signal, *pair) for pair in zip(compiled, steps, strict=True)))
    logger.warning("train.compile: torch cannot compile here (%s)", problem)
    logger.warning("train.compile: training goes on without; train.compile=false ends these lines")
    _set_fused(network, False)
    return None


def _set_fused(network: Localiser, fused: bool) -> None:
    for module in network.modules():
        if isinstance(module, Block):
            module.fused = fused


def _set_up_compiler(on_cpu: bool) -> None:
    import torch._inductor.config as options

    # For the compiled code this is another setting than for the layers.
    torch.use_deterministic_algorithms(True)
    # No pool of compiler processes, which would outlive a kill.
    options.compile_threads = 1
    if on_cpu:
        # torch before 2.9 has no such setting: there a step takes a seventh longer.
        with suppress(ImportError, AttributeError):
            from siwcc.training.saved_tensors import KeepSavedTensors

            options.custom_partitioner_fn = KeepSavedTensors()
        with suppress(ImportError, AttributeError):
            _trust_processor()


def _trust_processor() -> None:
    """Take all vector instructions of an x86 processor for usable if the C++ compiler knows them.

    torch would compile and load a program for each set of 256 or 512 bits, in every run; for a few more it still does.
    """
    import torch._inductor.config as options
    from torch._inductor.cpu_vec_isa import supported_vec_isa_list, x86_isa_checker

    there = set(x86_isa_checker())
    sets = [known for known in supported_vec_isa_list if there.issuperset(str(known).split())]
    if options.cpp.vec_isa_ok is None and sets:
        flags = [flag for known in sets for flag in known.build_arch_flags().split()]
        check = [_cpp_compiler(), *flags, "-x", "c++", "-fsyntax-only", os.devnull]
        done = subprocess.run(check, capture_output=True, check=False)  # noqa: S603 - the compiler that torch runs, too
        # None: torch finds out.
        options.cpp.vec_isa_ok = done.returncode == 0 or None


def _cpp_compiler() -> str:
    return os.environ.get("CXX", "g++")


def _try_out(steps: Steps, network: Localiser, signal: Tensor, target: Tensor) -> None:
    """Compile by computing one batch, and take back what that changes in the network."""
    before = copy.deepcopy(network.state_dict())
    zero = torch.zeros(target.shape[1], device=target.device)
    try:
        network.train()
        steps.train(signal, target, zero, zero + 1)[1].backward()  # type: ignore[no-untyped-call]
        network.eval()
        with torch.inference_mode():
            # Its tensors are of another kind, for which torch would compile again.
            steps.predict(signal.clone())
    finally:
        network.load_state_dict(before)
        network.zero_grad(set_to_none=True)


def _for_batches_like(example: Tensor, compiled: Any, plain: Any) -> Callable[..., Any]:
    """What was compiled for batches of this size, in this order in memory; the layers for a last short batch."""
    size, strides = len(example), example.stride()

    def computed(signal: Tensor, *others: Tensor) -> Any:
        if len(signal) != size:
            return plain(signal, *others)
        if signal.stride() != strides:
            # Mirrored images may have another order; for it torch would compile once more.
            signal = torch.empty_strided(signal.shape, strides, device=signal.device).copy_(signal)
        return compiled(signal, *others)

    return computed


# --------------------------------------------------------------------- kept


@contextmanager
def _kept(folder: Path | None, network: Localiser, batch_shape: torch.Size) -> Iterator[None]:
    """Let torch keep what it compiles in `folder`; of several runs that need the same, one compiles, the others wait.

    What is kept counts once `done` lies next to it: what a killed run has left is removed. As these are programs, they
    are not used where others can write, nor after the folder was copied.
    """
    if folder is None or "TORCHINDUCTOR_CACHE_DIR" in os.environ or not _is_own(folder):
        yield
        return
    place = folder / _name(folder, network, batch_shape)
    done = place / "done"
    with ExitStack() as stack:
        code = _compiled_into(place, done, stack)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(code.absolute())
        _keep_gradients(stack)
        try:
            yield
        except Exception:
            done.unlink(missing_ok=True)
            raise
        finally:
            del os.environ["TORCHINDUCTOR_CACHE_DIR"]
        if code.parent == place:
            with suppress(OSError):
                done.touch()


def _keep_gradients(stack: ExitStack) -> None:
    """Let torch's autograd cache keep the blocks' custom functions, too, until `stack` is closed.

    By default it does not, as it cannot tell what else such functions do. These do nothing else, and the place is
    another one when their code changes.
    """
    import torch._functorch.config as options

    # An older torch has no such setting: there every run derives it again.
    with suppress(AttributeError):
        stack.enter_context(options.patch("autograd_cache_allow_custom_autograd_functions", True))


def _compiled_into(place: Path, done: Path, stack: ExitStack) -> Path:
    """Where torch looks for compiled code; the lock for compiling, or a folder for a while, goes with `stack`."""
    code = place / "code"
    if done.exists():
        return code
    try:
        stack.enter_context(locked_folder(place, "another run is compiling", _COMPILING_AT_MOST_S))
    except InputError as error:
        logger.warning("train.compile: %s; compiling here too", error)
        return Path(stack.enter_context(TemporaryDirectory(prefix="siwcc-compiled-")))
    if done.exists():
        # Compiled in the meantime: nobody has to wait for this run.
        stack.close()
    else:
        shutil.rmtree(code, ignore_errors=True)
    return code


def _is_own(folder: Path) -> bool:
    """Whether only this user can write to the folder, which is made where there is none."""
    own = make_own_folder(folder) and not folder.stat().st_mode & 0o022
    if not own:
        logger.warning("train.compile: others can write to %s: what was compiled there is not used", folder)
    return own


def _name(folder: Path, network: Localiser, batch_shape: torch.Size) -> str:
    """Another one for all that compiled code depends on, and for another folder."""
    facts = {
        "folder": str(folder.stat().st_ino),
        "network": str(network),
        "batch": str(tuple(batch_shape)),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": f"{platform.python_version()} {platform.machine()} {platform.libc_ver()}",
    }
    facts |= code_sums("training.run")
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
        lines = {key.strip(): value for key, _, value in (line.partition(":") for line in first.splitlines())}
        facts |= {key: lines[key] for key in _OF_THE_CPU if key in lines}
    return digest_of(facts)[:32]
