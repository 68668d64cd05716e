"""What the package must never do with what it is given: run it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from siwcc.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(REPOSITORY / "siwcc").rglob("*.py"), *(REPOSITORY / "workflow").rglob("*.py")])

# Modules that load code with data, or run commands; and calls that do.
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle", "pty", "commands"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execvp", "os.spawnl"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "np.load", "numpy.load"),
    *("pandas.read_pickle", "pd.read_pickle", "pd.eval", "pandas.eval", "torch.jit.load", "torch.hub.load"),
    *("tarfile.open", "shutil.unpack_archive", "urllib.request.urlopen", "tempfile.mktemp"),
}
# The one place that starts a program gives it as a list.
MAY_START_PROGRAMS = {"workflow/unlock.py"}


def called(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_that_is_read_can_run(path: Path) -> None:
    assert not imported(path) & FORBIDDEN_MODULES
    if str(path.relative_to(REPOSITORY)) not in MAY_START_PROGRAMS:
        assert "subprocess" not in imported(path)
    for name, call in called(path):
        assert name not in FORBIDDEN_CALLS, f"line {call.lineno}: {name}"
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        assert options.get("shell", "False") == "False", f"line {call.lineno}: shell"
        assert options.get("allow_pickle", "False") == "False", f"line {call.lineno}: allow_pickle"
        assert options.get("verify", "True") == "True", f"line {call.lineno}: certificates must be checked"
        if name == "torch.load":
            assert options.get("weights_only") == "True", f"line {call.lineno}: torch.load"


def test_the_check_sees_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "import pickle, os.path\nfrom yaml import load\ntorch.load(f, weights_only=False)\nos.system('x')\n"
    )
    assert imported(path) == {"pickle", "os", "yaml"}
    assert [name for name, _ in called(path)] == ["torch.load", "os.system"]


def test_rules_give_no_command_to_a_shell() -> None:
    for path in [REPOSITORY / "Snakefile", *REPOSITORY.glob("rules/*.smk"), *REPOSITORY.glob("workflow/*.smk")]:
        text = path.read_text(encoding="utf-8")
        assert "\n    shell:" not in text, path
        assert "\n    run:" not in text, path


def test_a_value_of_any_length_makes_one_line() -> None:
    error = InputError("x.hea", f"has the unit {'9' * 10_000_000!r}\nin its first line", "fetch it again")
    assert len(str(error)) < 700
    assert str(error).startswith("x.hea: has the unit '999")
    assert str(error).endswith("9' in its first line; fetch it again")
