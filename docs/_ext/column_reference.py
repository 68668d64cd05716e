"""The directive `table-columns`: the columns of a table, from the attributes in the docstring of its row's class."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

from config_reference import escaped, parsed, table
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_ENTRY = re.compile(r"^    (?P<names>\w[\w, `]*?): (?P<meaning>.*)$")


def attributes(docstring: str) -> list[tuple[str, str]]:
    """The entries of a docstring's section `Attributes`."""
    found: list[tuple[str, str]] = []
    _, _, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    for line in section.splitlines():
        if line and not line.startswith("    "):
            break
        entry = _ENTRY.match(line)
        if entry:
            found.append((entry["names"], entry["meaning"]))
        elif found and line.strip():
            names, meaning = found[-1]
            found[-1] = (names, f"{meaning} {line.strip()}")
    return found


class TableColumns(SphinxDirective):
    """`{table-columns} module.Class`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        module, _, name = self.arguments[0].rpartition(".")
        row = getattr(import_module(module), name)
        self.env.note_dependency(inspect.getfile(row))
        found = attributes(row.__doc__ or "")
        if not found:
            raise self.error(f"{self.arguments[0]} documents no attributes")
        body = [(_as_code(names), escaped(meaning)) for names, meaning in found]
        return parsed(self, table(("column", "meaning"), body))


def _as_code(names: str) -> str:
    return ", ".join(f"`{name}`" for name in re.findall(r"\w+", names.replace(" and ", " ")) if name not in ("their",))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("table-columns", TableColumns)
    return {"parallel_read_safe": True}
