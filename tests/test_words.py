"""The words and the length of what a person reads: pages, help texts and report templates.

A term has one word. `WORDS` lists the words that are not used, with what is written in their place.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import name_of, notebooks, pages, without_blocks
from places import REPOSITORY

from siwcc.cli import main as cli

MOST_WORDS = {"README.md": 650}
MOST_WORDS_OF_A_PAGE = 1000
MOST_WORDS_OF_ALL = 20_000
# Written by `make bench`.
GENERATED = {"docs/performance/bench.md"}
# History keeps the words of its time; the second lists the words that are not used.
OTHER_WORDS = {"CHANGELOG.md", "CONTRIBUTING.md"}

# A pattern of what is not written, and what is written in its place.
WORDS = {
    r"answer(?:s|ed|ing|er|ers)?": "prediction, to predict; a method (a network or a baseline)",
    r"pictures?": "figure, plot or image",
    r"told": "is given; contains",
    r"(?:un)?sure(?:ness|ly)?": "confidence, confident; check",
    r"anew": "again",
    r"st(?:ands?|ood|anding) (?:in|there|beside|aside|apart|behind|for)": "is in, is there, is next to",
    r"(?:held|looked at|holds|hold) against": "compared with, checked against",
    r"vouch(?:es|ed|ing)?": "checksum",
    r"made[- ]up": "synthetic",
    r"shortcuts?": "leakage; the leakage ablation",
    r"shares? of|as a share": "fraction, percentage",
    r"nowhere": "absent",
    r"(?:score maps?|maps? of scores|scores? (?:for )?every place)": "heatmap",
    r"(?:quiet edges?|edges alone|edge silence)": "zero padding; padding-only baseline",
    r"opponents?": "reference implementation",
    r"(?:un)?disturb(?:s|ed|ance|ances|ing)?|shaken|jitter(?:s|ed|ing)?": "perturbation, noise, online augmentation",
    r"step sizes?": "learning rate",
    r"samples a second|lines a second": "sampling rate, Hz",
    r"(?:a|one) (?:line|row|column) an? (?:sample|answer|lead|event|prediction|point|image|epoch|record)": (
        "one row per sample"
    ),
    r"dangerous rhythms?": "malignant rhythm",
    r"one's own|of the user's own|of their own|of its own|of your own": "your, custom, separate",
    r"stud(?:y|ies) (?:is|are) held|goes on|went on": "resumes, continues",
    r"manners": "verbosity",
    r"comes? to nothing|nothing of it is left": "R2 is at most 0",
    r"shared seconds|very seconds": "window overlap between training and test",
    r"square of the leaks": "the 2 x 2 leakage ablation",
    r"flattening": "softmax temperature",
    r"variants? of a sample|variant 0|variants_per_sample": "augmented copy; original sample; copies_per_sample",
    r"(?:files?|columns?|pages?|tables?|reports?|headers?|manifests?|names?) (?:says?|knows?|wants?|tells?|told)": (
        "contains, gives"
    ),
    r"(?:networks?|models?) (?:says?|knows?|wants?|tells?|looks? at)": "predicts, returns, uses",
    r"looked at the outer folds": "evaluated on the test folds",
    r"lead 0|fold 0": "leads and folds are numbered from 1",
}
_UNUSED = {pattern: re.compile(rf"(?<![\w`./-])(?:{pattern})(?![\w`-])", re.IGNORECASE) for pattern in WORDS}
# Of the machine on which something was written.
_MACHINE = re.compile(r"(?<![\w.~-])/(?:home|root|work|Users|tmp)/\w+")


def prose_of_page(path: Path) -> str:
    """Code in backticks and addresses have the words of the code."""
    text = without_blocks(path.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`|\]\([^)]*\)|https?://\S+", " ", text)


def prose_of_notebook(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def prose_of_template(path: Path) -> str:
    text = re.sub(r"<(style|script)\b.*?</\1>|\{#.*?#\}", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", text, flags=re.DOTALL)


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    program = cli._parser()
    yield "siwcc", program
    for action in program._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ((f"siwcc {name}", parser) for name, parser in action.choices.items())


def texts() -> dict[str, str]:
    """Everything that is checked, by its name."""
    found = {name_of(page): prose_of_page(page) for page in pages() if name_of(page) not in GENERATED | OTHER_WORDS}
    found |= {name_of(path): prose_of_notebook(path) for path in notebooks()}
    found["models/README.md"] = prose_of_page(REPOSITORY / "models" / "README.md")
    found |= {f"{name} --help": " ".join(parser.format_help().split()) for name, parser in parsers()}
    templates = sorted((REPOSITORY / "siwcc" / "report" / "templates").glob("*.j2"))
    captions = sorted((REPOSITORY / "resources" / "captions").glob("*.rst"))
    return found | {name_of(path): prose_of_template(path) for path in (*templates, *captions)}


TEXTS = texts()


def unused_words(text: str) -> list[str]:
    """Each word that is not used, with its context and what is written in its place."""
    one_line = " ".join(text.split())
    return [
        f"...{one_line[max(0, match.start() - 30) : match.end() + 20]}...: write {WORDS[pattern]}"
        for pattern, compiled in _UNUSED.items()
        for match in compiled.finditer(one_line)
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_words_are_those_of_the_glossary(name: str) -> None:
    assert unused_words(TEXTS[name]) == []


@pytest.mark.parametrize("name", TEXTS)
def test_no_path_of_a_machine(name: str) -> None:
    assert _MACHINE.findall(TEXTS[name]) == []


def test_an_unused_word_is_found() -> None:
    assert unused_words("The network predicts the onset of a malignant rhythm.") == []
    for text in (
        "It answers in any\ncase.",
        "The Picture shows it.",
        "drawn anew",
        "a line a sample",
        "stands in a row",
    ):
        assert len(unused_words(text)) == 1, text
    # Within other words.
    assert unused_words("Pressure, measured; a shared key; gold.") == []


def words_of(text: str) -> int:
    return sum(1 for word in text.split() if re.search(r"\w", word))


def counted_pages() -> list[Path]:
    return [page for page in pages() if name_of(page).startswith("docs/") and name_of(page) not in GENERATED]


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", *counted_pages()], ids=name_of)
def test_a_page_is_short(page: Path) -> None:
    most = MOST_WORDS.get(name_of(page), MOST_WORDS_OF_A_PAGE)
    assert words_of(page.read_text(encoding="utf-8")) <= most


def test_all_pages_together_are_short() -> None:
    assert sum(words_of(page.read_text(encoding="utf-8")) for page in counted_pages()) <= MOST_WORDS_OF_ALL


@pytest.mark.parametrize("page", counted_pages(), ids=name_of)
def test_a_page_begins_with_what_it_is_for(page: Path) -> None:
    """A sentence below the title, before any figure, list, table or block."""
    text = page.read_text(encoding="utf-8")
    if "{include}" in text and not text.startswith("# "):
        return
    _, _, rest = text.partition("\n\n")
    assert re.match(r"[A-Z`\[*]", rest), rest[:80]
    assert not re.match(r"!\[|[-*] |```", rest)
