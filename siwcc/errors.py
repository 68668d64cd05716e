"""The one exception that means: the input is bad, and here is the way out."""

from __future__ import annotations

import os


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
        self.problem = problem
        self.remedy = remedy
        line = f"{self.where}: {problem}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(line.split()))
