"""Reading a file executes nothing: what ruff's rules `S` do not check of it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from siwcc.io.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(REPOSITORY / "siwcc").rglob("*.py"), *(REPOSITORY / "workflow").rglob("*.py")])

# Ruff finds calls of pickle, dill, shelve, marshal, eval, exec, os.system, yaml.load, shell=True and the like.
FORBIDDEN_MODULES = {"pickle", "joblib", "cloudpickle", "pty"}
FORBIDDEN_CALLS = {
    *("compile", "__import__", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all"),
    *("pd.eval", "pandas.eval", "torch.jit.load", "torch.hub.load", "tarfile.open"),
    "shutil.unpack_archive",
}
SAFE_OPTIONS = {"allow_pickle": "False", "verify": "True", "weights_only": "True"}
# They give each program as a list: SLURM's commands, Snakemake in the place of the process, uv, and the C++ compiler,
# which torch starts, too.
MAY_START_PROGRAMS = (
    "cli/train.py",
    "jobs/run_study.py",
    "siwcc/jobs/guard.py",
    "siwcc/training/compiled.py",
    "workflow/unlock.py",
    "workflow/check_lock.py",
)
# Findings of ruff that may be suppressed in the package, each with its reason.
SUPPRESSED = {"S101", "S311", "S704"}

# Each line is found by ruff or by `findings`.
PLANTED = """\
pickle.loads(content)
pickle.Unpickler(stream)
import pickle
dill.loads(content)
import joblib
shelve.open(name)
marshal.loads(content)
import cloudpickle
import pty
import subprocess
eval(text)
exec(text)
compile(text, name, "exec")
__import__(name)
os.system(text)
os.popen(text)
os.execvp(text, [])
os.spawnl(0, text)
yaml.load(stream)
yaml.unsafe_load(stream)
yaml.full_load(stream)
yaml.load_all(stream)
np.load(name)
np.loadz(name, allow_pickle=True)
pd.read_pickle(name)
pd.eval(text)
torch.jit.load(name)
torch.hub.load(name)
torch.load(name)
torch.load(name, weights_only=False)
tarfile.open(name)
tarfile.open(name).extractall(folder)
shutil.unpack_archive(name)
urllib.request.urlopen(url)
tempfile.mktemp()
subprocess.run(text, shell=True)
session.run(text, shell=True)
requests.get(url, timeout=1, verify=False)
session.get(url, verify=False)
"""
IMPORTS = "import marshal, os, shelve, tarfile, tempfile, urllib.request; import dill, pandas as pd, requests, yaml\n"


def findings(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each forbidden import, call or option."""
    may_start_programs = str(path).endswith(MAY_START_PROGRAMS)
    modules = FORBIDDEN_MODULES | (set() if may_start_programs else {"subprocess"})
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.partition(".")[0] in modules)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in modules:
                yield node.lineno, f"from {node.module}"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            if name in FORBIDDEN_CALLS or (name == "torch.load" and "weights_only" not in options):
                yield node.lineno, name
            if name in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
                yield node.lineno, name
            for option, safe in SAFE_OPTIONS.items():
                if options.get(option, safe) != safe:
                    yield node.lineno, f"{option}={options[option]}"


def test_nothing_that_is_read_can_run() -> None:
    found = []
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        found += [f"{path}:{line}: {what}" for line, what in findings(path, source)]
        if not str(path).endswith(MAY_START_PROGRAMS):
            suppressed = set(re.findall(r"\bS\d{3}\b", " ".join(re.findall(r"noqa:(.*)", source))))
            found += [f"{path}: noqa: {rule}" for rule in suppressed - SUPPRESSED]
    assert len(SOURCES) > 50
    assert found == []


def test_ruff_and_this_check_find_every_planted_line() -> None:
    source = IMPORTS + "import subprocess, pickle\n" + PLANTED
    command = [sys.executable, "-m", "ruff", "check", "--select", "S", "--output-format", "concise", "--no-cache"]
    # Under the settings of the package: the rules are selected there, and nothing is ignored.
    settings = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'(?m)^select = .*"S"', settings)
    done = subprocess.run(
        [*command, "--stdin-filename", str(REPOSITORY / "siwcc" / "planted.py"), "-"],
        input=source, capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    by_ruff = {int(line.split(":")[1]) for line in done.stdout.splitlines() if re.search(r":\d+: S\d", line)}
    by_us = {line for line, _ in findings(REPOSITORY / "siwcc" / "planted.py", source)}
    lines = source.splitlines()
    missed = [lines[number - 1] for number in range(3, len(lines) + 1) if number not in by_ruff | by_us]
    assert missed == []
    assert by_ruff - by_us, "ruff adds nothing"


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
