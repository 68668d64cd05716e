"""Docstrings are plain text with a little Markdown; this makes reStructuredText of them before napoleon reads them.

Outside of code, stars and bars are characters. Tables and indented formulas are shown as they are.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_SECTION = re.compile(r"(?:Args|Attributes|Example|Examples|Note|Raises|Returns|Shape|Yields):$")


def converted(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    found: list[str] = []
    in_section = in_literal = False
    for line in lines:
        if line and not line[0].isspace():
            in_section = _SECTION.match(line) is not None or (in_section and found[-1:] != [""])
        as_is = line.startswith("|") or (line.startswith("    ") and not in_section)
        if as_is and not in_literal and (not found or found[-1] == ""):
            found += ["::", ""]
            in_literal = True
        elif in_literal and line and not as_is:
            if found[-1] != "":
                found.append("")
            in_literal = False
        if in_literal:
            found.append(f"    {line}" if line else "")
        elif line.lstrip().startswith(">>>"):
            found.append(line)
        else:
            found.append(_escaped(line))
    return found


def _escaped(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _on_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = converted(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    # Before napoleon, whose own stars are markup.
    app.connect("autodoc-process-docstring", _on_docstring, priority=400)
    return {"parallel_read_safe": True}
