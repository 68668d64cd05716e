"""Which files of a package a module runs, followed through the source.

The Snakefile asks for every job of a study, about the same files again and again: each is parsed
once a process.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def import_closure(package: Path, modules: tuple[str, ...]) -> tuple[Path, ...]:
    """Files that some modules of a package consist of and import, directly or through others.

    An import inside a function counts, because the function may be called. What is imported by a
    name that is made up at run time is not seen: the caller adds it to `modules`.

    Args:
        package: Folder of the package; its name is the package's.
        modules: Names below the package, such as `augment.ecg`. Names without a file are passed over.

    Returns:
        Paths below `package`, sorted.
    """
    waiting, found = [package / module.replace(".", "/") for module in modules], set()
    while waiting:
        path = waiting.pop()
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.is_file() and path not in found:
            found.add(path)
            waiting += [package / name for name in _imported_by(path, package.name)]
    return tuple(sorted(found))


@cache
def _imported_by(path: Path, package: str) -> tuple[str, ...]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    below = [name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}.")]
    return tuple(name.replace(".", "/") for name in below)
