"""Every command and every piece of Python in README.md and docs/ is run, here or where `ELSEWHERE` says.

Commands of Snakemake, also those that make gives, are planned (`--dry-run`) with synthetic data in place of the
reader's; those of siwcc are parsed, and what is cheap is run.
"""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from doc_pages import Command, blocks, commands, name_of, pages, without_blocks
from places import REPOSITORY, Place

from siwcc.cli import main as cli

PAGES = pages()

# Pages whose commands and Python a test of their own runs, where the page is there.
OWN_TESTS = {
    "docs/how-to/find-onsets.md": "tests/cli/test_find_onsets_docs.py",
    "docs/how-to/layer.md": "tests/test_layer_page.py",
    "docs/how-to/own-data.md": "tests/workflow/test_own_data.py",
    "docs/how-to/predict.md": "tests/cli/test_predict_docs.py",
    "docs/tutorials/first-ten-minutes.md": "tests/test_tour.py",
    "docs/tutorials/own-recordings.md": "tests/workflow/test_own_recordings.py",
}

# The first words of a command, where it is run, and what there starts it.
ELSEWHERE = {
    "make demo": (".github/workflows/ci.yml", "run: make demo"),
    "make test": (".ci/run", "make test"),
    "make docs": (".ci/run", "make docs"),
    "make setup": ("Makefile", "demo: setup"),
    "source .venv/bin/activate": ("Makefile", "-m venv $(VENV)"),
    "siwcc show": ("Makefile", "siwcc.cli.main show results/demo"),
    "siwcc report": ("tests/report/test_build.py", 'cli.main(["report"'),
    "siwcc controls": ("tests/analyses/test_controls.py", 'cli.main(["controls"'),
    "siwcc inspect": ("tests/cli/test_inspect.py", 'main(["inspect"'),
    "siwcc train": ("tests/cli/test_train.py", '("train", "data", "--out", "model"'),
    "siwcc studies": ("tests/cli/test_studies.py", 'main(["studies"])'),
    "siwcc predict": ("tests/cli/test_predict_docs.py", "page_commands()"),
    "siwcc export": ("tests/test_layer_page.py", "layer.md"),
    "python examples/bright_pixel.py": ("tests/test_layer_page.py", "bright_pixel"),
    "siwcc plan": ("tests/cli/test_plan.py", "plan_study("),
    # There is no docker and no apptainer where the tests run: the recipes are compared with lock and files.
    "docker build": ("tests/test_lock.py", "def test_the_image_is_made_from_the_lock"),
    "apptainer build": ("tests/test_lock.py", "siwcc:latest"),
}
ON_PATH = {"siwcc", "snakemake", "python"}


class UntestedError(Exception):
    """No test runs a command."""


def every_command() -> list[Command]:
    return [command for page in PAGES if name_of(page) not in OWN_TESTS for command in commands(page)]


def expanded(command: Command) -> list[Command]:
    """What a command comes to: of make, the commands that it gives; of a container, that of its Snakemake."""
    words = list(command.words)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        del words[0]
    if words[0] == "make" and " ".join(words[:2]) not in ELSEWHERE:
        return [Command(command.where, given) for given in _given_by_make(tuple(words[1:]))]
    if words[:2] in (["docker", "run"], ["apptainer", "run"]):
        image = next(place for place, word in enumerate(words) if word in ("siwcc", "siwcc.sif"))
        inside = [word.replace("/opt/siwcc/", "") for word in words[image + 1 :]]
        return [Command(command.where, ("snakemake", *inside))]
    return [Command(command.where, tuple(words))]


@cache
def _given_by_make(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    # Not the steps that set the environment up.
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--assume-old", ".venv/.ready", *words],
        cwd=REPOSITORY,
        env=Place(REPOSITORY, REPOSITORY).environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UntestedError(f"make refuses {' '.join(words)}: {done.stderr.strip()}")
    lines = re.sub(r"siwcc\.jobs\.run_study \S+", "snakemake", done.stdout.replace("\\\n", " ")).splitlines()
    # As modules: the scripts of an environment do not start where its path has both a space and a dollar.
    for module, program in (("snakemake", "snakemake"), ("siwcc.cli.main", "siwcc")):
        lines = [line.replace(f".venv/bin/python -m {module} ", f".venv/bin/{program} ") for line in lines]
    given = [tuple(shlex.split(line.removeprefix(".venv/bin/"))) for line in lines if line.startswith(".venv/bin/")]
    return [words for words in given if words[:3] != ("python", "-m", "pip")]


# ------------------------------------------------------------- one of a kind


def check_elsewhere(command: Command) -> bool:
    for first, (place, proof) in ELSEWHERE.items():
        count = len(first.split())
        if " ".join(command.words[:count]) == first:
            assert proof in (REPOSITORY / place).read_text(encoding="utf-8"), f"{place} no longer runs {first}"
            return True
    return False


def check_editor(command: Command) -> bool:
    """`$EDITOR FILE`: the file is there."""
    return command.words[0] == "$EDITOR" and (REPOSITORY / command.words[1]).is_file()


def check_siwcc(command: Command) -> bool:
    if command.words[0] != "siwcc":
        return False
    words = [word for word in command.words[1:] if word not in (">", "|")]
    if {"--help", "--version"} & set(words):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 0
        return True
    words = _before_redirection(command.words[1:])
    cli._parser().parse_args(words)
    assert all((REPOSITORY / word).is_file() for word in words if word.startswith("resources/"))
    return words[0] in CHEAP or check_elsewhere(command)


def check_program(command: Command) -> bool:
    """The project's other programs: their options are taken, and a test of theirs runs them."""
    for first, (module, parse, test) in PROGRAMS.items():
        if " ".join(command.words[: len(first.split())]) == first:
            parse(importlib.import_module(module), list(command.words[len(first.split()) :]))
            assert (REPOSITORY / test).is_file()
            return True
    return False


def _parse_soak(module: object, words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["soak_run.py", *words])
        options = module.parse()  # type: ignore[attr-defined]
    assert (REPOSITORY / "resources" / "studies" / f"{options.study}.yaml").is_file()


def _parse_benchmarks(module: object, words: list[str]) -> None:
    options = module._options(words)  # type: ignore[attr-defined]
    assert module.chosen_families(options.only)  # type: ignore[attr-defined]


def _parse_gpu(module: object, words: list[str]) -> None:
    module._options(words)  # type: ignore[attr-defined]


PROGRAMS: dict[str, tuple[str, Callable[[object, list[str]], None], str]] = {
    "python tests/soak/soak_run.py": ("soak.soak_run", _parse_soak, "tests/soak/test_soak.py"),
    "python -m benchmarks": ("benchmarks.__main__", _parse_benchmarks, "tests/test_benchmarks.py"),
    "python -m benchmarks.gpu": ("benchmarks.gpu", _parse_gpu, "tests/test_benchmarks.py"),
}


def check_release(command: Command) -> bool:
    """The first half of `make resume`: its arguments are those of the Snakemake that follows."""
    return command.words[:2] == ("python", "workflow/unlock.py")


def check_snakemake(command: Command) -> bool:
    """Taken by Snakemake's own parser, profile included; what it plans is looked at below."""
    if command.words[0] != "snakemake":
        return False
    # Not above: it takes a second, and every run of the tests reads this file.
    from snakemake.cli import parse_args

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        _, options = parse_args(list(command.words[1:]))
    assert all((REPOSITORY / path).is_file() for path in options.configfile or [])
    return True


CHECKS = (check_editor, check_siwcc, check_elsewhere, check_program, check_release, check_snakemake)


def check(command: Command) -> None:
    if not any(passes(command) for passes in CHECKS):
        raise UntestedError(f"{command.where}: no test runs this command: {command}")


def check_all(command: Command) -> None:
    given = expanded(command)
    if not given:
        raise UntestedError(f"{command.where}: make gives nothing for {command}")
    for each in given:
        check(each)


# --------------------------------------------------------------------- tests


@pytest.mark.parametrize("command", every_command(), ids=str)
def test_every_command_is_run_by_a_test(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    check_all(command)


@pytest.mark.parametrize(
    "words",
    [
        "frobnicate x",
        "python -c 1",
        "make nonsense",
    ],
)
def test_a_command_that_nothing_runs_is_found(words: str) -> None:
    with pytest.raises(UntestedError, match=words.split()[-1]):
        check_all(Command("here", tuple(words.split())))


@pytest.mark.parametrize(
    "words", ["siwcc report", "siwcc plan --chores 3", "snakemake --profil x", "python -m benchmarks --x"]
)
def test_an_option_that_is_not_there_is_found(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check(Command("here", tuple(words.split())))


def _before_redirection(words: tuple[str, ...]) -> list[str]:
    return list(words[: words.index(">")] if ">" in words else words)


CHEAP = ("compare", "completion", "demo-data")


@pytest.mark.parametrize(
    "command",
    [
        each
        for each in every_command()
        if each.words[0] == "siwcc" and each.words[1] in CHEAP and each.words[2] != "--help"
    ],
    ids=str,
)
def test_cheap_commands_of_siwcc_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = []
    for word in _before_redirection(command.words[1:]):
        words += [word] if "*" not in word else _logs(word)
    assert cli.main(words) == 0
    assert capsys.readouterr().out


def _logs(pattern: str) -> list[str]:
    """Synthetic logs of three folds for a pattern such as coord/fold*/log.csv."""
    paths = [Path(pattern.replace("*", str(fold))) for fold in (1, 2, 3)]
    for number, path in enumerate(paths, start=len(pattern)):
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{epoch},0.{epoch}{number % 10},0.{epoch}" for epoch in range(1, 7)]
        path.write_text("\n".join(["epoch,train_r2,test_r2", *rows, ""]))
    return [str(path) for path in paths]


# ------------------------------------------------------------------ planning


def plans() -> list[tuple[str, ...]]:
    """What Snakemake is asked to plan; of commands that differ in whose data they read, the one that says most."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for command in every_command():
        try:
            given = expanded(command)
        except UntestedError:
            # `test_every_command_is_run_by_a_test` says so.
            continue
        for each in given:
            if each.words[0] == "snakemake":
                words = _what_is_planned(each.words)
                kind = tuple(word for word in words if not word.startswith(("--config", "datasets=", "train=")))
                found[kind] = max(found.get(kind, ()), words, key=len)
    return list(found.values())


def _what_is_planned(words: tuple[str, ...]) -> tuple[str, ...]:
    """Snakefile, overlays, config and targets, with the reader's data replaced; not who works on it."""
    (snakefile,) = _values_after(words, "--snakefile") or ["Snakefile"]
    targets = [word for word in words if word.startswith("results/")]
    overlays = [str(REPOSITORY / path) for path in _values_after(words, "--configfile") if path not in targets]
    config = [re.sub(r"(?<=path: )[^,}]+", "DATA", value) for value in _values_after(words, "--config")]
    return (
        *("--snakefile", str(REPOSITORY / snakefile)),
        *(["--configfile", *overlays] if overlays else []),
        *(["--config", *config] if config else []),
        *("--cores", "1", *targets),
    )


def _values_after(words: tuple[str, ...], option: str) -> list[str]:
    if option not in words:
        return []
    rest = words[words.index(option) + 1 :]
    return list(rest[: next((place for place, word in enumerate(rest) if word.startswith("-")), len(rest))])


def _marked_plans() -> list[object]:
    """The first in every run of the tests; each takes seconds."""
    first, *rest = plans()
    return [first, *(pytest.param(words, marks=pytest.mark.slow) for words in rest)]


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("words", _marked_plans(), ids=lambda words: " ".join(words[1:]).replace(f"{REPOSITORY}/", ""))
def test_what_snakemake_would_do_can_be_planned(words: tuple[str, ...], tmp_path: Path) -> None:
    folder, data = tmp_path / "study", tmp_path / "raw"
    for each in (folder, data):
        each.mkdir()
    numbers = count()
    # No two sets are in one folder.
    asked = [re.sub("DATA", lambda _: str(made(data / str(next(numbers)))), word) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--workflow-profile", "none", *asked],
        cwd=folder,
        env=Place(REPOSITORY, folder).environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # What a page asks for takes a training, or is a baseline.
    assert re.search(r"^\w*(train_network|predict_baseline) +\d+$", done.stdout + done.stderr, re.MULTILINE)


# -------------------------------------------------------------------- Python


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if name_of(page) not in OWN_TESTS and any(b.language == "python" for b in blocks(page))],
    ids=name_of,
)
def test_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").symlink_to(REPOSITORY / "models")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.language == "python":
            # Empty lines in front: an error then tells the page's own line.
            exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), names)


def test_shapes_that_the_readme_tells() -> None:
    """A comment that ends a block with a shape tells the shape."""
    (block,) = [each for each in blocks(REPOSITORY / "README.md") if each.language == "python"]
    visibility = re.search(r"^(model\(.*\)\.shape)  # \((.*)\)$", block.text, re.MULTILINE)
    assert visibility is not None
    names: dict[str, object] = {}
    exec(block.text, names)
    assert tuple(eval(visibility[1], names)) == tuple(int(size) for size in visibility[2].split(","))


# ------------------------------------------------------------ pages and prose


@pytest.mark.parametrize("page", sorted(OWN_TESTS))
def test_a_page_with_tests_of_its_own_has_them(page: str) -> None:
    if not (REPOSITORY / page).is_file():
        pytest.skip(f"{page} is not written yet")
    test = REPOSITORY / OWN_TESTS[page]
    assert test.is_file(), f"{page} needs the test that runs its commands: name it in OWN_TESTS"
    assert Path(page).name in test.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_a_sentence_are_there(page: Path) -> None:
    """`siwcc x` and `make x` name a command and a target."""
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    subcommands = set(next(iter(cli._parser()._subparsers._group_actions)).choices)  # type: ignore[union-attr,arg-type]
    text = without_blocks(page.read_text(encoding="utf-8"))
    assert set(re.findall(r"`siwcc ([a-z][a-z-]*)", text)) <= subcommands
    assert set(re.findall(r"`make ([a-z][a-z-]*)", text)) <= targets
