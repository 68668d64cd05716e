"""SVG files made part of a page: ids of their own, the page's colours, a text alternative."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup, escape

from siwcc.report.figures.style import BLACK, BLUE, GREEN, GRID, INK, MUTED, PAPER, PURPLE, VERMILION

_ID = re.compile(r'\sid="([^"]+)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^")]+)')
_HEAD = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_UNSEEN = re.compile(r"\s*<(metadata|style)\b.*?</\1>|<!--.*?-->", re.DOTALL)
_VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_CSS_PX_PER_PT = 4 / 3

# What the page's two colour schemes give other values to.
_VARIABLES = {
    INK: "currentColor",
    BLACK: "currentColor",
    MUTED: "var(--muted)",
    GRID: "var(--rule)",
    PAPER: "var(--paper)",
    BLUE: "var(--blue)",
    VERMILION: "var(--vermilion)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
}


def inline_svg(path: Path, name: str, alternative: str) -> Markup:
    """An SVG file as an element of a page.

    Args:
        path: A file of `siwcc.report.figures.style.save_figure`.
        name: Unique on the page; put before every id.
        alternative: What the figure shows, in words.
    """
    text = _UNSEEN.sub("", _HEAD.sub("", path.read_text(encoding="utf-8")))
    text = _only_needed_ids(text, name)
    text = _REFERENCE.sub(rf"\g<1>{name}-\2", text)
    for colour, variable in _VARIABLES.items():
        text = re.sub(f"(?<=: ){colour}\\b", variable, text, flags=re.IGNORECASE)
    return Markup(_with_role(text, name, alternative))  # noqa: S704 - an SVG file that this study has written


def _only_needed_ids(text: str, name: str) -> str:
    """Ids that something refers to, with the prefix; matplotlib gives every element one, and some twice."""
    needed = {target for _, target in _REFERENCE.findall(text)}

    def renamed(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in needed else ""

    return _ID.sub(renamed, text)


def _with_role(text: str, name: str, alternative: str) -> str:
    start, end = text.index("<svg"), text.index(">")
    size = _VIEW_BOX.search(text[start:end])
    assert size is not None, "matplotlib writes a viewBox"  # noqa: S101 - narrows the type
    width_px = round(float(size[1]) * _CSS_PX_PER_PT)
    opening = (
        f'<svg viewBox="{size[0][9:-1]}" role="img" aria-labelledby="{name}-title" style="max-width:{width_px}px">'
        f'<title id="{name}-title">{escape(alternative)}</title>'
    )
    return opening + text[end + 1 :].strip()
