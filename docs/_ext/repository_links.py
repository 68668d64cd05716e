"""Links that leave docs/: pages can be written for GitHub and work on the site as well.

Links to a page that the site includes (`INCLUDED`) lead to that page. Links to another file or folder of the repository
lead to the repository's address. Links inside an included file are relative to that file.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path, PurePosixPath
from typing import Any

from sphinx.application import Sphinx

INCLUDED = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
}
_LINK = re.compile(r"(?<=\])\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
_CODE = re.compile(r"^( *)(```+|:::+).*?^\1\2 *$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def rewritten(markdown: str, source: str, root: Path, url: str) -> str:
    """The text of a page with its links turned.

    Args:
        markdown: The page as it is in the repository.
        source: Its path in the repository, such as `docs/results/README.md`.
        root: The repository.
        url: Its address.
    """
    folder = PurePosixPath(source).parent

    def turned(link: re.Match[str]) -> str:
        target = os.path.normpath(folder / link["path"])
        anchor = link["anchor"] or ""
        if target in INCLUDED:
            return f"(/{INCLUDED[target]}{anchor})"
        if target.startswith("docs/") and not (root / target).is_dir():
            inside = target.removeprefix("docs/")
            return link[0] if folder.parts[:1] == ("docs",) else f"(/{inside}{anchor})"
        if target.startswith("..") or not (root / target).exists():
            # Sphinx reports the lost link.
            return link[0]
        kind = "tree" if (root / target).is_dir() else "blob"
        return f"({url}/{kind}/main/{target}{anchor})"

    parts, end = [], 0
    for code in _CODE.finditer(markdown):
        parts += [_LINK.sub(turned, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _LINK.sub(turned, markdown[end:])])


def _on_source(app: Sphinx, name: str, content: list[str]) -> None:
    path = app.env.doc2path(name)
    if str(path).endswith(".md"):
        content[0] = _of(app, Path(path), content[0])


def _on_include(app: Sphinx, path: Path, name: str, content: list[str]) -> None:
    content[0] = _of(app, Path(os.path.normpath(Path(app.srcdir) / path)), content[0])


def _of(app: Sphinx, path: Path, text: str) -> str:
    root = Path(app.srcdir).parent
    return rewritten(text, path.relative_to(root).as_posix(), root, app.config.repository_url)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("repository_url", "", "env", str)
    app.connect("source-read", _on_source)
    app.connect("include-read", _on_include)
    return {"parallel_read_safe": True}
