"""Python reads this as it starts, in every process of a study under `make soak`.

Jobs (not Snakemake itself) leave in the journal when they start, what files they begin and finish to write, and
every epoch that they begin to train. A line is one write to a file that is only appended to: a kill loses none.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

JOURNAL = os.environ.get("SIWCC_SOAK_JOURNAL")
PART = ".part"
WATCHED = ("data", "results", "logs")
WRITING = os.O_WRONLY | os.O_RDWR


def note(kind: str, *fields: object) -> None:
    line = "\t".join(map(str, (time.monotonic_ns(), os.getpid(), kind, *fields))) + "\n"
    os.write(JOURNAL_HANDLE, line.encode())


def watched(path: object) -> str | None:
    """A path below the folders of the study as it is seen from there."""
    if not isinstance(path, str | os.PathLike):
        return None
    relative = os.path.relpath(os.fspath(path), FOLDER)
    parts = Path(relative).parts
    return relative if parts[0] in WATCHED and "benchmarks" not in parts else None


def target(path: str) -> str:
    """What a part becomes: `.<name>.part`, or with something between."""
    name = Path(path).name
    hidden = name.startswith(".") and name.endswith(PART)
    return str(Path(path).with_name(name[1:].removesuffix(PART))) if hidden else path


def audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        path, mode, flags = arguments
        # A part that is opened by number only waits for its lock; once it has it, it is emptied.
        waiting = mode is None and isinstance(path, str | os.PathLike) and os.fspath(path).endswith(PART)
        if isinstance(flags, int) and flags & WRITING and not waiting and (written := watched(path)):
            note("write", target(written))
    elif event == "os.truncate" and isinstance(arguments[0], int):
        if written := watched(Path(f"/proc/self/fd/{arguments[0]}").readlink()):
            note("write", target(written))
    elif event == "os.rename" and (finished := watched(arguments[1])):
        note("done", finished)


class EpochsNoted:
    """Lets every epoch of `siwcc.training.run` leave a line before it begins."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "siwcc.training.run":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_wrap(module: ModuleType) -> None:
            load(module)
            train = module._train_one_epoch

            def train_noted(run, *rest):
                key = run.key
                place = f"{key.task}/{key.encoding}/{key.variant}/fold{key.fold}/seed{key.seed}"
                note("epoch", place, len(run.log) + 1)
                return train(run, *rest)

            module._train_one_epoch = train_noted

        spec.loader.exec_module = load_and_wrap  # type: ignore[method-assign]
        return spec


if JOURNAL and len(sys.orig_argv) > 1 and "/.snakemake/scripts/" in sys.orig_argv[1]:
    FOLDER = Path.cwd()
    JOURNAL_HANDLE = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    note("start", Path(sys.orig_argv[1]).name.split(".")[1])
    sys.addaudithook(audit)
    sys.meta_path.insert(0, EpochsNoted())  # type: ignore[arg-type]
