"""What MkDocs needs beside its settings, so that pages can be written for GitHub: links that leave docs/.

The files of `ROOT_PAGES` become pages of the site, and links to them are turned to those pages. Of other links out of
docs/ the words stay.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FOLDER = "project"
_LINK = re.compile(r"(?<!!)\[(?P<words>[^\]\[]*)\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand at the repository's root."""
    root = Path(config.docs_dir).parent
    for name in ROOT_PAGES:
        text = (root / name).read_text(encoding="utf-8")
        files.append(File.generated(config, f"{FOLDER}/{name}", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page from the repository to the site."""
    return rewritten(markdown, page.file.src_uri)


def rewritten(markdown: str, place: str) -> str:
    """The text of a page with its links turned.

    Args:
        markdown: The page as it stands in the repository.
        place: Its path in the site, such as `results/README.md`.
    """
    source = _in_repository(PurePosixPath(place))
    return _LINK.sub(lambda link: _turned(link, source, PurePosixPath(place).parent), markdown)


def _in_repository(place: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(place.name) if place.parent.name == FOLDER else PurePosixPath("docs") / place


def _turned(link: re.Match[str], source: PurePosixPath, folder: PurePosixPath) -> str:
    target = PurePosixPath(os.path.normpath(source.parent / link["path"]))
    if target.is_relative_to("docs"):
        place = target.relative_to("docs")
    elif str(target) in ROOT_PAGES:
        place = PurePosixPath(FOLDER) / target
    else:
        return link["words"]
    return f"[{link['words']}]({os.path.relpath(place, folder)}{link['anchor'] or ''})"
