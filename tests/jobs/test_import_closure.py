"""The import closure of a module, compared with synthetic packages and with what Python loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from siwcc.jobs.import_closure import import_closure

PACKAGE = Path(__file__).resolve().parents[2] / "siwcc"


def write(package: Path, **sources: str) -> Path:
    """Modules from their sources; `__` in a name is a dot."""
    for name, source in sources.items():
        path = package / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return package


def names(package: Path, *modules: str) -> list[str]:
    return [path.relative_to(package).as_posix() for path in import_closure(package, modules)]


def test_every_way_to_import_is_followed_and_nothing_else(tmp_path: Path) -> None:
    package = write(
        tmp_path / "pack",
        first="import os\nimport pack.second as other, json\n",
        second="from pack import third\nfrom pack.third import name\n",
        third="def name() -> None:\n    if True:\n        from pack.deep import (\n            inner,\n        )\n",
        deep__inner="'''from pack.not_imported import x'''\nimport packs.first, numpy\n# import pack.not_imported\n",
        not_imported="",
        unrelated="import pack.first",
    )
    (package / "deep" / "__init__.py").write_text("import pack.first\n")
    (package / "__init__.py").write_text("import pack.unrelated\n")
    assert names(package, "first") == ["deep/__init__.py", "deep/inner.py", "first.py", "second.py", "third.py"]
    assert names(package, "not_imported") == ["not_imported.py"]
    # Python runs the `__init__.py` of a package before a module of it.
    assert names(package, "deep.inner") == names(package, "first")
    assert names(package, "deep") == names(package, "first")
    assert names(package, "absent") == names(package) == []


def test_imports_for_type_checkers_and_modules_of_jobs_are_left_out(tmp_path: Path) -> None:
    package = write(
        tmp_path / "pack",
        first="if TYPE_CHECKING:\n    import pack.types\nelse:\n    import pack.second\nimport pack.jobs.job\n",
        second="",
        types="",
        jobs__job="import pack.unrelated",
        unrelated="",
    )
    assert names(package, "first") == ["first.py", "second.py"]


def test_the_imports_of_a_script_are_followed(tmp_path: Path) -> None:
    package = write(tmp_path / "pack", first="import pack.second", second="", third="", fourth="")
    script = tmp_path / "script.py"
    script.write_text("def run():\n    from pack.first import name\n")
    found = import_closure(package, ("third",), script)
    assert [path.name for path in found] == ["first.py", "second.py", "third.py"]


def test_a_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = write(tmp_path / "pack", a="import pack.c", b="import pack.c", c="import pack.a")
    parsed: list[str] = []
    parse = ast.parse
    monkeypatch.setattr(ast, "parse", lambda source: parsed.append(source) or parse(source))
    for _ in range(3):
        assert names(package, "a") == ["a.py", "c.py"]
        assert names(package, "b") == ["a.py", "b.py", "c.py"]
    assert sorted(parsed) == ["import pack.a", "import pack.c", "import pack.c"]


def test_what_python_loads_is_in_the_closure() -> None:
    program = (
        "import sys, siwcc.training.run, siwcc.data.augment.signal; print(*(m.__file__ for m in sys.modules.values() "
    )
    program += "if m.__name__.startswith('siwcc.')), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {Path(line).resolve() for line in done.stdout.splitlines()}
    assert len(loaded) > 10
    loaded = {path for path in loaded if path.parent != PACKAGE / "jobs"}
    assert loaded <= set(import_closure(PACKAGE, ("training.run", "data.augment.signal")))
