"""Which files of a package a module runs, followed through the source.

The Snakefile asks for every job of a study, about the same files again and again: each is parsed
once a process.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import siwcc
from siwcc.io.files import sha256_of

# Fields of the syntax tree that hold statements, or what holds them.
_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")


@cache
def import_closure(package: Path, modules: tuple[str, ...], script: Path | None = None) -> tuple[Path, ...]:
    """Files that some modules of a package consist of and import, directly or through others.

    An import inside a function counts, because the function may be called; one for type checkers does not. The
    `__init__.py` of each package that is imported from counts, but not that of the whole package: it contains the
    version and names that are loaded lazily. The package `jobs` does not count: it decides how a job starts and
    ends, not what it writes. What is imported by a name that is made at run time is not seen: the caller adds it to
    `modules`.

    Args:
        package: Folder of the package; its name is the package's.
        modules: Names below the package, such as `data.augment.signal`. Names without a file are ignored.
        script: A program outside the package, whose imports are followed, too.

    Returns:
        Paths below `package`, sorted.
    """
    waiting = [module.replace(".", "/") for module in modules]
    waiting += _imported_by(script, package.name) if script is not None else ()
    found: set[Path] = set()
    while waiting:
        name = waiting.pop()
        if name.startswith("jobs/"):
            continue
        path, imported = _module(package, name)
        if path is not None and path not in found:
            found.add(path)
            waiting += imported
    return tuple(sorted(found))


def code_sums(*modules: str) -> dict[str, str]:
    """SHA-256 of each file of `import_closure` of these modules of siwcc, by `code <path>`."""
    package = Path(siwcc.__file__).parent
    return {f"code {path.relative_to(package)}": sha256_of(path) for path in import_closure(package, modules)}


@cache
def _module(package: Path, name: str) -> tuple[Path | None, tuple[str, ...]]:
    """A module's file, None if it has none, and the names of what Python loads with it."""
    path = package / name
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        return None, ()
    return path, (*_imported_by(path, package.name), *map(str, Path(name).parents[:-1]))


@cache
def _imported_by(path: Path, package: str) -> tuple[str, ...]:
    names: set[str] = set()
    # Statements alone: an expression has no import, and most nodes are of expressions.
    waiting: list[ast.AST] = [*ast.parse(path.read_text(encoding="utf-8")).body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += (inner for part in _BLOCKS for inner in getattr(node, part, ()))
    below = [name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}.")]
    return tuple(name.replace(".", "/") for name in below)
