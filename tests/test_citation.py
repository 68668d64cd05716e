"""How the project is cited and published, checked against the rules of the Citation File Format 1.2.0."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
CITATION = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
PAPER = CITATION["preferred-citation"]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
# Of the format's schema: what a person may have, and the kinds of works and identifiers that occur here.
PERSON = {"affiliation", "alias", "email", "family-names", "given-names", "name-particle", "name-suffix", "orcid"}
WORKS = {"article", "conference-paper", "generic", "report", "software"}
IDENTIFIERS = {"doi", "other", "swh", "url"}


def test_what_the_format_requires_is_there() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    for work in (CITATION, PAPER):
        assert work["title"]
        assert work["authors"]
    assert PAPER["type"] in WORKS
    assert isinstance(PAPER["year"], int)


@pytest.mark.parametrize("work", [CITATION, PAPER], ids=["software", "paper"])
def test_authors_are_persons_or_entities(work: dict) -> None:
    for author in work["authors"]:
        assert set(author) <= PERSON or set(author) == {"name"}


def test_the_paper_has_its_author_and_identifier() -> None:
    assert [(author["given-names"], author["family-names"]) for author in PAPER["authors"]] == [("V. L.", "Rao")]
    (identifier,) = PAPER["identifiers"]
    assert identifier["type"] in IDENTIFIERS
    number = identifier["value"].removeprefix("arXiv:")
    assert re.fullmatch(r"\d{4}\.\d{5}", number)
    assert PAPER["url"] == f"https://arxiv.org/abs/{number}"
    readme = (REPOSITORY / "README.md").read_text()
    assert number in readme
    assert PAPER["title"] in " ".join(readme.split())


def test_one_version_everywhere() -> None:
    assert CITATION["version"] == PROJECT["version"]
    assert f"v{PROJECT['version']}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_package_index_gets_what_it_shows() -> None:
    assert CITATION["license"] == PROJECT["license"]
    assert {"Documentation", "Repository", "Changelog", "Issues"} <= PROJECT["urls"].keys()
    assert PROJECT["keywords"]
    assert any(name.startswith("Topic :: Scientific/Engineering") for name in PROJECT["classifiers"])
