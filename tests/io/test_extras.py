"""What comes with the package itself and what with its extras, and what a command says where an extra is absent."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from siwcc.io.extras import OF_EXTRA, absent_extra
from siwcc.jobs.import_closure import import_closure

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
# Where a package is imported by another name than it is installed by.
INSTALLED_AS = {"cv2": "opencv-python-headless", "yaml": "pyyaml", "sklearn": "scikit-learn", "PIL": "pillow"}
# Brought by a package that is named, and of one piece with it.
BROUGHT = {"pydantic_core": "pydantic", "markupsafe": "jinja2"}
LAYER = ("nn.coordinate_channels",)
# A trained model and its prediction, and what reads recordings and images.
PREDICT = (
    "training.checkpoint",
    "data.tasks.signal",
    "data.tasks.image",
    "data.augment.signal",
    "data.augment.image",
    "data.datasets.image_files",
    "io.shards",
    "inference.predictor",
    "cli.predict",
    "inference.figures",
)


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", item)[0].lower() for item in requirements}


def imported(modules: tuple[str, ...]) -> dict[str, set[str]]:
    """Packages that modules import, directly or through others, by the names they are installed by."""
    found: dict[str, set[str]] = {}
    for path in import_closure(REPOSITORY / "siwcc", modules):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"siwcc", "_typeshed"}:
                found.setdefault(INSTALLED_AS.get(name, BROUGHT.get(name, name)), set()).add(path.name)
    return found


def test_the_package_itself_names_all_that_its_parts_import() -> None:
    assert set(imported(LAYER)) <= names_of(PROJECT["dependencies"])
    with_predict = names_of(PROJECT["dependencies"]) | names_of(PROJECT["optional-dependencies"]["predict"])
    assert set(imported(PREDICT)) - with_predict == set()
    export = set(imported(("inference.export",))) - with_predict
    # onnxruntime only where it is installed.
    assert export == {"onnx", "onnxscript", "onnxruntime"}


def test_the_study_names_the_rest() -> None:
    modules = tuple(
        ".".join(path.relative_to(REPOSITORY / "siwcc").with_suffix("").parts)
        for path in (REPOSITORY / "siwcc").rglob("*.py")
        if path.stem not in ("main", "export", "__init__")
    )
    extras = PROJECT["optional-dependencies"]
    listed = names_of(PROJECT["dependencies"]) | names_of(extras["predict"]) | names_of(extras["study"])
    assert set(imported(modules)) - listed == set()


def test_every_package_of_an_extra_is_known_by_the_name_it_is_imported_by() -> None:
    for extra, modules in OF_EXTRA.items():
        known = {INSTALLED_AS.get(name, BROUGHT.get(name, name)) for name in modules}
        # torch only has a higher bound there, and siwcc means another extra.
        assert known == names_of(PROJECT["optional-dependencies"][extra]) - {"torch", "siwcc"}


def test_the_package_itself_admits_the_oldest_torch() -> None:
    assert "torch>=2.4" in PROJECT["dependencies"]


ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from siwcc.cli.main import main
sys.exit(main({arguments!r}))
"""


def run_without(absent: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = ABSENT.format(absent=absent, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def only_with(extra: str) -> set[str]:
    """What is not there without an extra; wfdb brings some of it for its own use."""
    brought = names_of(importlib.metadata.requires("wfdb") or [])
    return {name for name in OF_EXTRA[extra] if name not in brought}


def test_without_the_study_its_commands_are_one_line(tmp_path: Path) -> None:
    done = run_without(only_with("study"), "report", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    # The command, the extra, the package that is absent, and how to install it.
    match = re.fullmatch(r"siwcc report: .*siwcc\[study\] \((\w+) .*pip install '\.\[study\]'\n", done.stderr)
    assert match, done.stderr
    assert match[1] in only_with("study")


def test_without_the_study_synthetic_data_and_comparisons_are_there(tmp_path: Path) -> None:
    done = run_without(only_with("study"), "demo-data", "--folder", str(tmp_path / "made"), "--samples", "1")
    assert (done.returncode, done.stderr) == (0, "")
    logs = []
    for arm, gain in (("a", 0.0), ("b", 0.1)):
        logs.append(tmp_path / f"{arm}.csv")
        rows = [f"{epoch},{0.5 + gain},{0.4 + gain}" for epoch in (1, 2)]
        logs[-1].write_text("\n".join(["epoch,train_r2,test_r2", *rows]) + "\n")
    done = run_without(only_with("study"), "compare", "--control", str(logs[0]), "--study", str(logs[1]))
    assert done.returncode == 0


def test_a_module_that_belongs_to_no_extra_is_no_bad_input() -> None:
    assert absent_extra("siwcc x", ModuleNotFoundError("No module named 'os.path'", name="os.path")) is None
    assert absent_extra("siwcc x", ModuleNotFoundError("nothing")) is None
    error = absent_extra("siwcc export", ModuleNotFoundError("", name="onnx.helper"))
    assert error is not None
    assert error.where == "siwcc export"
    assert "siwcc[export] (onnx " in error.problem
    assert "pip install '.[export]'" in error.remedy


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    heavy = {"torch", "numpy", "scipy", "h5py", "pydantic", "yaml", "matplotlib", "rich", "cv2", "wfdb"}
    heavy |= {"pandas", "shtab", "PIL", "tifffile", "imagecodecs"}
    program = f"""
import atexit, sys
atexit.register(lambda: print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr))
from siwcc.cli.main import main
main([{argument!r}])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout
    assert done.stderr == "[]\n"
