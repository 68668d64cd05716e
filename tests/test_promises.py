"""The tables of tests/README.md name tests that exist, and two promises of the pages that no other test proves."""

from __future__ import annotations

import ast
import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from doc_pages import pages
from places import REPOSITORY
from snakemake.utils import update_config
from tolerances import assert_same, largest

from siwcc.config import parse_config
from siwcc.evaluation.comparisons import compare_study, read_rows
from siwcc.io.files import write_csv
from siwcc.io.run_key import run_key_of

TESTS = REPOSITORY / "tests"
PAGE = TESTS / "README.md"
HEADER = "| promise | made in | test | tier |"
WEEKLY = {"make test-isa", "make test-oldest", "make check-lock", "make fuzz", "make soak"}
RESULTS = REPOSITORY / "docs" / "results"
# Of the largest R2: the logs are kept with six digits, and a difference has the rounding of both sides.
SIX_DIGITS = 1e-5

A_SLOW_FILE = """
pytestmark = [pytest.mark.numeric, pytest.mark.slow]
def test_one(): ...
"""
A_CLASS = """
class TestB:
    @pytest.mark.cluster
    @pytest.mark.slow
    def test_two(self): ...
    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.slow)])
    def test_three(self, x): ...
"""


class Promise(NamedTuple):
    """One row of a table."""

    line: int
    text: str
    pages: list[str]
    tests: list[str]
    tiers: list[str]


def promises(page: str) -> Iterator[Promise]:
    in_table = False
    for number, line in enumerate(page.splitlines(), start=1):
        in_table = line == HEADER or (in_table and line.startswith("|"))
        if not in_table or line == HEADER or set(line) <= set("|-"):
            continue
        text, pages, tests, tiers = (cell.strip() for cell in line.strip("|").split(" | "))
        yield Promise(number, text, pages.split(", "), re.findall(r"`([^`]+)`", tests), tiers.split(", "))


@cache
def parsed(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8")).body


def marks_of(decorators: list[ast.expr]) -> set[str]:
    """The names of pytest's marks among decorators or in a `pytestmark`."""
    names = (ast.unparse(each.func if isinstance(each, ast.Call) else each) for each in decorators)
    return {name.removeprefix("pytest.mark.") for name in names if name.startswith("pytest.mark.")}


def tier_of(test: str, root: Path = TESTS) -> str | None:
    """`fast`, `slow` or `cluster`; None: there is no such test."""
    file, *names = test.split("::")
    if not names or not names[-1].startswith("test_") or not (root / file).is_file():
        return None
    body = parsed(root / file)
    marks: set[str] = set()
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            marks |= marks_of(node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value])
    for name in names:
        kind = ast.FunctionDef if name == names[-1] else ast.ClassDef
        found = [node for node in body if isinstance(node, kind) and node.name == name]
        if not found:
            return None
        marks |= marks_of(found[-1].decorator_list)
        body = found[-1].body
    return next((tier for tier in ("cluster", "slow") if tier in marks), "fast")


def problems_of(row: Promise, targets: set[str]) -> Iterator[str]:
    if not 1 <= len(row.tests) <= 2:
        yield f"names {len(row.tests)} tests; give one or two in backticks"
    tiers = row.tiers * len(row.tests) if len(row.tiers) == 1 else row.tiers
    if len(tiers) != len(row.tests):
        yield f"has {len(row.tests)} tests and the tiers {', '.join(row.tiers)}"
    for test, tier in zip(row.tests, tiers, strict=False):
        if test.startswith("make "):
            found = "weekly" if test in WEEKLY and test.removeprefix("make ") in targets else None
        else:
            found = tier_of(test)
        if found is None:
            yield f"{test} does not exist"
        elif found != tier:
            yield f"{test} is {found}, not {tier}"
    for page in row.pages:
        if not (REPOSITORY / page).is_file():
            yield f"the page {page} does not exist"


def test_every_row_names_tests_that_exist_with_their_tier() -> None:
    rows = list(promises(PAGE.read_text(encoding="utf-8")))
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    found = [
        f"tests/README.md:{row.line}: {row.text!r}: {problem}" for row in rows for problem in problems_of(row, targets)
    ]
    assert found == [], "\n".join(found)
    assert len(rows) > 100
    assert {page for row in rows for page in row.pages} >= {"README.md", "SECURITY.md", "CONTRIBUTING.md"}


def test_a_row_that_is_out_of_date_is_found(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(A_SLOW_FILE)
    (tmp_path / "test_b.py").write_text(A_CLASS)
    names = ("test_a.py::test_one", "test_b.py::TestB::test_two", "test_b.py::TestB::test_three")
    assert [tier_of(name, tmp_path) for name in names] == ["slow", "cluster", "fast"]
    absent = ("test_c.py::test_one", "test_a.py::test_two", "test_b.py::test_two", "test_b.py::TestB", "test_a.py")
    assert [tier_of(name, tmp_path) for name in absent] == [None] * 5
    lost = "| Lost | ABSENT.md | `test_promises.py::test_lost`, `make soak` | fast, slow |"
    page = f"{HEADER}\n|---|---|---|---|\n{lost}\n"
    (row,) = promises(page)
    assert (row.line, row.text) == (3, "Lost")
    assert list(problems_of(row, {"soak"})) == [
        "test_promises.py::test_lost does not exist",
        "make soak is weekly, not slow",
        "the page ABSENT.md does not exist",
    ]


def test_the_pages_give_the_number_of_networks_of_a_study() -> None:
    """Comments beside commands: `make study STUDY=strict  # ...: 90 networks`."""
    stated = [
        (name, int(count))
        for page in pages()
        for name, count in re.findall(
            r"(?:STUDY=|resources/studies/)([\w-]+)[^\n#]*#[^\n]*?(\d+) networks", page.read_text(encoding="utf-8")
        )
    ]
    assert stated
    for name, count in stated:
        values = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
        overlay = REPOSITORY / "resources" / "studies" / f"{name}.yaml"
        update_config(values, yaml.safe_load(overlay.read_text(encoding="utf-8")))
        config = parse_config(values)
        arms = len(config.encodings) * len(config.variants)
        assert count == len(config.run) * arms * config.folds * len(config.seeds), name


@pytest.mark.numeric
@pytest.mark.parametrize("study", ["paper-ecg", "herlev-small", "strict"])
def test_kept_results_are_those_of_their_logs(study: str, tmp_path: Path) -> None:
    """docs/results keeps the epochs of every training (`logs.csv`) and what was computed from them."""
    expected = read_rows(RESULTS / study / "comparisons.csv")
    (task,) = {row.task for row in expected}
    runs = defaultdict(list)
    with (RESULTS / study / "logs.csv").open(newline="") as handle:
        for line in csv.DictReader(handle):
            run = (line.pop("encoding"), line.pop("variant", "full"), line.pop("fold"), line.pop("seed", "42"))
            runs[run].append(line)
    logs = {}
    for (encoding, variant, fold, seed), lines in runs.items():
        path = tmp_path / task / encoding / variant / f"fold{fold}" / f"seed{seed}" / "log.csv"
        write_csv(path, list(lines[0]), [list(line.values()) for line in lines])
        logs[run_key_of(path)] = path
    largest_r2 = largest(
        *(float(line[name]) for lines in runs.values() for line in lines for name in line if "r2" in name)
    )
    pairs = list(dict.fromkeys((row.control, row.study) for row in expected))
    # The sizes of the folds are not kept, so the corrected t-test is left out.
    found = compare_study(logs, pairs, {task: 0.25}, None)
    assert len(found) == len(expected) >= 6
    for ours, kept in zip(found, expected, strict=True):
        names = ("task", "variant", "control", "study", "metric", "folds", "fold_ids")
        assert [getattr(ours, name) for name in names] == [getattr(kept, name) for name in names]
        measured = [(row.mean_difference, row.ci_low, row.ci_high, *row.fold_differences) for row in (ours, kept)]
        assert_same(*measured, SIX_DIGITS, scale=largest_r2)
        assert (ours.p_bootstrap, ours.p_sign_flip) == (kept.p_bootstrap, kept.p_sign_flip)
