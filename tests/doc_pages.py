"""The pages that a reader sees: README.md, docs/ and the few beside them, and the code in their blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from places import REPOSITORY

BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "config/README.md")
# A block of code, or a directive of the site: ```{name} argument.
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*|\{[\w-]+\})(?: [^\n]*)?\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


def pages() -> list[Path]:
    found = [REPOSITORY / name for name in BESIDE] + sorted((REPOSITORY / "docs").rglob("*.md"))
    return [path for path in found if path.is_file()]


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its first line, its language and its text."""

    page: str
    line: int
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("body")) + 1
        body = re.sub(rf"^{fence['indent']}", "", fence["body"], flags=re.MULTILINE)
        yield Block(name_of(page), line, fence["language"], body)


def notebooks() -> list[Path]:
    return sorted((REPOSITORY / "docs").rglob("*.ipynb"))


def without_blocks(text: str) -> str:
    """The prose; blocks become empty lines, so that line numbers stay."""
    return _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)


@dataclass(frozen=True)
class Command:
    """What stands behind a `$`: its place, and its words without the comment."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page's console blocks; lines of output have no `$`."""
    for block in blocks(page):
        if block.language != "console":
            continue
        # A line that ends in a backslash goes on in the next.
        for line in re.finditer(r"^\$ ((?:.*\\\n)*.*)$", block.text, re.MULTILINE):
            words = shlex.split(line[1].replace("\\\n", " "), comments=True)
            number = block.line + block.text.count("\n", 0, line.start())
            for part in _split(words, "&&"):
                yield Command(f"{block.page}:{number}", tuple(part))


def _split(words: list[str], at: str) -> Iterator[list[str]]:
    start = 0
    for place, word in enumerate([*words, at]):
        if word == at:
            yield words[start:place]
            start = place + 1
