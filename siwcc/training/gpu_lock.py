"""Which GPU a run takes on a machine with several: one that no other run has.

Snakemake counts GPUs (`resources: gpu`) and assigns none; a scheduler such as SLURM assigns them by itself.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from siwcc.config import HIDES_EVERY_GPU, VISIBLE_GPUS, resolve_device
from siwcc.io.errors import InputError
from siwcc.io.locks import make_own_folder, try_lock

_TRY_EVERY_S = 0.5

logger = logging.getLogger(__name__)


def visible_gpus(devices: Path = Path("/dev")) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: numbers, or UUIDs.

    Args:
        devices: Where the system keeps its devices, asked if the variable is not set.
    """
    allowed = os.environ.get(VISIBLE_GPUS)
    if allowed is None:
        numbers = [int(path.name[6:]) for path in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
        return [str(number) for number in sorted(numbers)]
    return [] if allowed in HIDES_EVERY_GPU else [name.strip() for name in allowed.split(",")]


@contextmanager
def one_gpu(device: str, asked: int = 0, devices: Path = Path("/dev")) -> Iterator[None]:
    """Show this process one GPU that no other process holds in this way; wait while there is none.

    Call it before CUDA is used. The hold is a lock of the kernel's and goes with the process, however it ends. Where
    there is one GPU, or none, there is nothing to choose: a scheduler shows each of its jobs its own as the only one.

    Args:
        device: `train.device` of the config.
        asked: GPUs that the job was promised.
        devices: See `visible_gpus`.

    Raises:
        InputError: the folder of the locks is another user's.
    """
    with ExitStack() as held:
        if resolve_device(device) == "cuda":
            names = visible_gpus(devices)
            if len(names) > 1:
                name = _hold_one(names, held)
                logger.info("takes GPU %s of %s", name, ", ".join(names))
                held.enter_context(_shown(name))
        elif asked and device == "auto":
            logger.warning("a GPU was asked for, but none is to be seen here: training on the CPU")
        yield


@contextmanager
def _shown(name: str) -> Iterator[None]:
    before = os.environ.get(VISIBLE_GPUS)
    os.environ[VISIBLE_GPUS] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE_GPUS]
        else:
            os.environ[VISIBLE_GPUS] = before


def _hold_one(names: list[str], held: ExitStack) -> str:
    """The first free GPU of some; `held` will release it."""
    folder = _lock_folder()
    waits = False
    while True:
        for name in names:
            handle = os.open(folder / re.sub(r"[^\w-]", "_", name), os.O_RDWR | os.O_CREAT, 0o600)
            if try_lock(handle):
                held.callback(os.close, handle)
                return name
            os.close(handle)
        if not waits:
            logger.info("waits for one of the GPUs %s; `resources: gpu` of the profile may be too high", names)
            waits = True
        time.sleep(_TRY_EVERY_S)


def _lock_folder() -> Path:
    # The GPUs of an allocation are its own, and are often numbered from 0 in each.
    allocation = os.environ.get("SLURM_JOB_ID", "machine")
    folder = Path(tempfile.gettempdir()) / f"siwcc-gpus-{os.getuid()}-{allocation}"
    if not make_own_folder(folder):
        raise InputError(folder, "belongs to another user", "set TMPDIR to a folder of your own")
    return folder
