"""README.md and docs/: links, pictures, and what both GitHub and the site show."""

from __future__ import annotations

import importlib
import json
import re
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest
from doc_pages import blocks, name_of, notebooks, pages, without_blocks
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


@pytest.mark.parametrize("path", notebooks(), ids=name_of)
def test_every_link_of_a_notebook_leads_somewhere(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    links = [match["target"].partition("#") for match in _LINK.finditer(text)]
    files = [((path.parent / target).resolve(), anchor) for target, _, anchor in links if "://" not in target]
    assert files
    assert [file for file, anchor in files if not file.is_file() or (anchor and anchor not in anchors(file))] == []


@each_page()
def test_every_picture_says_in_words_what_it_shows(page: Path) -> None:
    text = prose(page)
    alternatives = [match["words"] for match in _LINK.finditer(text) if match["picture"]]
    alternatives += [
        (re.search(r'alt="([^"]*)"', match[0]) or ["", ""])[1] for match in re.finditer(r"<img\b[^>]*>", text)
    ]
    assert [words for words in alternatives if len(words.split()) < 2] == []


# Directives of the site. On GitHub they are blocks of code.
DIRECTIVES = {"{cli-command}", "{config-keys}", "{eval-rst}", "{include}", "{table-columns}", "{toctree}"}


@each_page()
def test_a_page_is_read_the_same_by_github_and_by_the_site(page: Path) -> None:
    text = prose(page)
    included = "{include}" in {block.language for block in blocks(page)}
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1 or included or page.parent.name == "performance"
    if page != DOCS / "index.md":
        # Of one of the two only: admonitions, tabs, attributes, formulas, diagrams.
        forbidden = r"^(?:!!!|\?\?\?|===|:::|> \[!)|\{[:.#][^}\n]*\}|\$[^$\n ][^$\n]*\$"
        assert re.findall(forbidden, _without_code(text), re.M) == []
    assert {block.language for block in blocks(page)} <= {"", "console", "python", "yaml", "csv", "text", *DIRECTIVES}
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


def listed_pages() -> set[Path]:
    """The files in the tables of contents of all pages."""
    found = set()
    for page in PAGES:
        for block in blocks(page):
            for entry in block.text.splitlines() if block.language == "{toctree}" else []:
                if entry and not entry.startswith(":"):
                    found |= {path.resolve() for path in (page.parent).glob(f"{entry}.*")} - {page}
                    found |= {(page.parent / f"{entry}.md").resolve()}
    return found


def test_every_page_has_its_place_in_the_navigation() -> None:
    pages = {page for page in (*PAGES, *notebooks()) if page.is_relative_to(DOCS)}
    # The second is in lab-notebook/benchmark-table.md.
    assert pages - listed_pages() == {DOCS / "index.md", DOCS / "performance" / "bench.md"}


def site_module(name: str) -> ModuleType:
    """An extension of the site, where the site's programs are installed."""
    pytest.importorskip("sphinx", reason="the site's programs are not installed")
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS / "_ext"))


def test_the_site_loads_nothing_from_elsewhere() -> None:
    """`make docs` applies this check to every page that it builds."""
    external_sources = site_module("offline_check").external_sources
    html = (
        '<script async src="https://cdn.example/a.js"></script><link rel="stylesheet" href="//cdn.example/b.css">'
        '<script src="_static/c.js"></script><a href="https://example.org">x</a><link rel="canonical" href="https://d">'
        "<style>@font-face { src: url('https://e/f.woff') }</style>"
    )
    assert external_sources(html) == ["https://cdn.example/a.js", "//cdn.example/b.css", "https://e/f.woff"]
    settings = (DOCS / "conf.py").read_text(encoding="utf-8")
    assert '"offline_check"' in settings
    assert "nb_execution_raise_on_error = True" in settings
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert "sphinx-build -W --keep-going" in makefile


def test_links_out_of_docs_are_turned_for_the_site() -> None:
    rewritten = site_module("repository_links").rewritten

    def turned(markdown: str, source: str) -> str:
        return rewritten(markdown, source, REPOSITORY, "URL")

    kept = "[a](method.md#x) ![b](../images/lakshya.svg) [c](https://example.org/x) [lost](../../lost.md)"
    assert turned(kept, "docs/explanation/findings.md") == kept
    assert turned("[a](../../SECURITY.md#x)", "docs/how-to/predict.md") == "[a](/project/security.md#x)"
    assert turned("[a](docs/results/README.md)", "CONTRIBUTING.md") == "[a](/results/README.md)"
    assert turned("[a](siwcc/config.py) `[b](Makefile)`", "CONTRIBUTING.md") == (
        "[a](URL/blob/main/siwcc/config.py) `[b](Makefile)`"
    )
    assert turned("[a](../resources/studies)", "docs/index.md") == "[a](URL/tree/main/resources/studies)"
    block = "```text\n[a](../Makefile)\n```\n"
    assert turned(f"{block}[a](../Makefile)", "docs/index.md") == f"{block}[a](URL/blob/main/Makefile)"


def test_every_configuration_key_is_on_its_page_with_a_meaning() -> None:
    reference = site_module("config_reference")
    page = DOCS / "reference" / "configuration.md"
    text = page.read_text(encoding="utf-8")
    listed = re.findall(r"^```\{config-keys\} ?(\S*)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(reference.SECTIONS)
    meanings = reference.comments((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    found = {(section, key): row for section in listed for key, *row in reference.rows(section, meanings)}
    assert [place for place, (_, _, meaning) in found.items() if not meaning] == []
    kind, default, meaning = found["tasks.ecg.augmentation", "dropout_s"]
    assert (kind, default, meaning.split(",")[0]) == ("[from, to]", "`[1, 2]`", "s")
    assert found["", "folds"][:2] == ["integer, >= 2, <= 1,000", "`5`"]
    assert found["train", "schedule"][0] == "`constant` / `one_cycle`"
    assert found["datasets.folder", "csv_rate_hz"][:2] == ["number or null, > 0, <= 100,000", "`null`"]


def test_every_command_is_on_the_page_of_the_command_line() -> None:
    reference = site_module("cli_reference")
    text = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    listed = re.findall(r"^## siwcc (\S+)\n\n```\{cli-command\} (\S+)\n```$", text, re.MULTILINE)
    assert sorted(listed) == sorted((name, name) for name in reference.commands() if name)
    assert "```{cli-command}\n```" in text


def test_columns_come_from_the_docstring() -> None:
    attributes = site_module("column_reference").attributes
    text = """One row.

    Attributes:
        task, variant: What is
            compared.
        p: One-sided: smaller is better.

    Other text: none of it.
    """
    assert attributes(text) == [("task, variant", "What is compared."), ("p", "One-sided: smaller is better.")]


def test_docstrings_become_restructured_text() -> None:
    converted = site_module("markdown_docstrings").converted
    lines = ["Sum of (B, *shape) as `*x`.", "", "    a * b", "", "Args:", "    x: (*shape)", ""]
    assert converted(lines) == [
        *["Sum of (B, \\*shape) as `*x`.", "", "::", "", "        a * b", ""],
        *["Args:", "    x: (\\*shape)", ""],
    ]


@pytest.mark.parametrize("path", notebooks(), ids=name_of)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    """The site's build executes them and stops at an error."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert [cell["execution_count"] for cell in code] == [None] * len(code)
    assert cells[0]["cell_type"] == "markdown"
    for cell in code:
        compile("".join(cell["source"]), name_of(path), "exec")


def test_the_pictures_of_the_method_are_those_of_the_code(tmp_path: Path) -> None:
    load_program(DOCS / "scripts" / "draw_method.py").draw(tmp_path)
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
    """The site's build imports them; this finds a lost name where the site's programs are not installed."""
    text = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. auto\w+:: ([\w.]+)$", text, re.MULTILINE)
    assert len(names) > 20
    parts = [name.rpartition(".")[::2] for name in names]
    assert [name for module, name in parts if not hasattr(importlib.import_module(module), name)] == []
