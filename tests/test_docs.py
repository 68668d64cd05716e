"""README.md and docs/: links, pictures, and what both GitHub and the site show."""

from __future__ import annotations

import importlib
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest
import yaml
from doc_pages import blocks, name_of, pages, without_blocks
from places import REPOSITORY, load_program

PAGES = pages()
DOCS = REPOSITORY / "docs"
_LINK = re.compile(r"(?P<picture>!?)\[(?P<words>[^\[\]]*)\]\((?P<target>[^)\s]+)\)")
_HTML = re.compile(r"<(?:img|a)\b[^>]*?(?:src|href)=\"(?P<target>[^\"]+)\"[^>]*>")


def each_page() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", PAGES, ids=name_of)


def prose(page: Path) -> str:
    return without_blocks(page.read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.*?) *$", prose(page), re.MULTILINE):
        name = slug(heading)
        again = sum(other == name or re.fullmatch(rf"{re.escape(name)}-\d+", other) is not None for other in found)
        found.append(f"{name}-{again}" if again else name)
    return frozenset(found)


def targets(page: Path) -> list[str]:
    # A link in `code` is none.
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return [match["target"] for match in (*_LINK.finditer(text), *_HTML.finditer(text))]


def test_anchors_are_those_of_github() -> None:
    assert slug("`paper-ecg`: the ECG half of the paper") == "paper-ecg-the-ecg-half-of-the-paper"
    assert slug("Sturdy: what was tried, and how it ended") == "sturdy-what-was-tried-and-how-it-ended"
    assert slug("A [link](x.md) - and_more") == "a-link---and_more"


@each_page()
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in targets(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        found = file.is_relative_to(REPOSITORY) and file.exists()
        if not found or (anchor and (file.suffix != ".md" or anchor not in anchors(file))):
            lost.append(target)
    assert lost == []


@each_page()
def test_every_picture_says_in_words_what_it_shows(page: Path) -> None:
    text = prose(page)
    alternatives = [match["words"] for match in _LINK.finditer(text) if match["picture"]]
    alternatives += [
        (re.search(r'alt="([^"]*)"', match[0]) or ["", ""])[1] for match in re.finditer(r"<img\b[^>]*>", text)
    ]
    assert [words for words in alternatives if len(words.split()) < 2] == []


@each_page()
def test_a_page_is_read_the_same_by_github_and_by_the_site(page: Path) -> None:
    text = prose(page)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1 or page.parent.name == "performance"
    # Of one of the two only: admonitions, tabs, attributes, formulas, diagrams.
    assert re.findall(r"^(?:!!!|\?\?\?|===|> \[!)|\{[:.#][^}\n]*\}|\$[^$\n ][^$\n]*\$", _without_code(text), re.M) == []
    assert {block.language for block in blocks(page)} <= {"", "console", "python", "yaml", "csv", "text"}
    # GitHub begins a list or a table below a paragraph; the site wants an empty line between.
    assert [line for before, line in pairwise(text.splitlines()) if _is_stuck(before, line)] == []


def _is_stuck(before: str, line: str) -> bool:
    item = r"\s*(?:[-*] |\d+\. )"
    if line.startswith("|"):
        return before.strip() != "" and not before.startswith("|")
    # What is indented goes on with an item.
    return re.match(item, line) is not None and before.strip() != "" and re.match(rf"{item}|  +\S", before) is None


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", text)


@pytest.mark.parametrize("page", [page for page in PAGES if page.is_relative_to(DOCS)], ids=name_of)
def test_every_page_has_its_place_in_the_navigation(page: Path) -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    assert re.search(rf"^ +- .*: {re.escape(page.relative_to(DOCS).as_posix())}$", text, re.MULTILINE)


def test_the_site_asks_nobody_else_for_anything() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    settings = yaml.load(re.sub(r"!!python\S+", "", text), Loader=yaml.SafeLoader)
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True
    assert not {"extra_javascript", "extra_css", "repo_url"} & set(settings)
    # Both load scripts from elsewhere.
    assert "offline" not in str(settings["plugins"])
    assert "mermaid" not in text


def loaded(name: str) -> ModuleType:
    return load_program(DOCS / "scripts" / f"{name}.py")


def test_links_out_of_docs_are_turned_for_the_site() -> None:
    pytest.importorskip("mkdocs", reason="the site's programs are not installed")
    rewritten = loaded("site_hooks").rewritten
    kept = "[a](strict.md#x) ![b](images/b.png) [c](https://example.org/x)"
    assert rewritten(kept, "index.md") == kept
    assert rewritten("[a](../SECURITY.md#x)", "sturdy.md") == "[a](project/SECURITY.md#x)"
    assert rewritten("[a](../../SECURITY.md)", "results/README.md") == "[a](../project/SECURITY.md)"
    assert rewritten("[a](docs/results/README.md)", "project/CONTRIBUTING.md") == "[a](../results/README.md)"
    assert rewritten("see [`a`](../siwcc/a.py) and [b](../README.md).", "api.md") == "see `a` and b."


def test_the_pictures_of_the_method_are_those_of_the_code(tmp_path: Path) -> None:
    loaded("draw_method").draw(tmp_path)
    names = {"nimesha.svg", "lakshya.svg", "instability.svg"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names - {"instability.svg"}:
        assert (tmp_path / name).read_bytes() == (DOCS / "images" / name).read_bytes(), (
            "run docs/scripts/draw_method.py"
        )
    # Shapes as in the paper's tables 1 and 2.
    for name, shapes in {
        "nimesha.svg": ["3 x 500", "16 x 250", "32 x 125", "64 x 62", "128 x 31", "128", "1"],
        "lakshya.svg": ["5 x 256 x 256", "16 x 128 x 128", "32 x 64 x 64", "64 x 32 x 32", "128 x 32 x 32", "128", "2"],
    }.items():
        assert re.findall(r'y="220"[^>]*>([^<]*)<', (DOCS / "images" / name).read_text()) == shapes


def test_names_in_the_api_page_are_there() -> None:
    """The site's build reads the source; this finds a lost name where the site's programs are not installed."""
    names = re.findall(r"^::: ([\w.]+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 20
    parts = [name.rpartition(".")[::2] for name in names]
    assert [name for module, name in parts if not hasattr(importlib.import_module(module), name)] == []
