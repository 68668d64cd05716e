"""The exception for bad input: where, what is wrong, and what to do."""

from __future__ import annotations

import os
from pathlib import Path

_LONGEST = 1000


class InputError(Exception):
    """Bad input: a damaged file, a wrong config key, a missing label.

    Printed as one line, `where: problem; remedy`, and never with a traceback.

    Args:
        where: The file, config key or sample that is at fault.
        problem: What is wrong there, with the value found.
        remedy: What the user can do about it.
    """

    def __init__(self, where: str | os.PathLike[str], problem: str, remedy: str = "") -> None:
        self.where = os.fspath(where)
        # Values found in files may be of any length.
        self.problem = problem if len(problem) <= _LONGEST else f"{problem[: _LONGEST // 2]} ... {problem[-100:]}"
        self.remedy = remedy
        line = f"{self.where}: {self.problem}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(line.split()))


def unwritable(path: Path, error: OSError) -> InputError:
    """The line for a file or folder that cannot be written, on a full or read-only device say."""
    remedy = "make room or choose another folder, then give the same command again"
    return InputError(path, f"cannot be written ({error.strerror or error})", remedy)
