"""Fails a build whose pages load scripts, styles, typefaces or figures from elsewhere; links may lead there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\ssrc=[\"']?(?P<source>(?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|icon|preconnect))[^>]*?\shref=[\"']?(?P<link>(?:https?:)?//[^\"'\s>]+)"
    r"|url\([\"']?(?P<style>(?:https?:)?//[^\"')]+)"
    r"|@import [\"'](?P<imported>(?:https?:)?//[^\"']+)",
    re.IGNORECASE,
)


def external_sources(text: str) -> list[str]:
    """The addresses that HTML or CSS loads from other machines."""
    return [next(filter(None, match.groups())) for match in _LOADED.finditer(text)]


def _on_finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir).rglob("*")):
        if path.suffix in (".html", ".css"):
            found = external_sources(path.read_text(encoding="utf-8"))
            if found:
                raise ExtensionError(f"{path.relative_to(app.outdir)} loads {found[0]}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("build-finished", _on_finish)
    return {"parallel_read_safe": True}
