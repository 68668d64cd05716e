"""The lock file, the supported versions of Python, and the line with which `make` refuses another one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).resolve().parent.parent
MAKEFILE = (REPOSITORY / "Makefile").read_text()
LOCK = (REPOSITORY / "requirements.lock").read_text()
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
PYTHONS = re.findall(r"^PYTHONS := (.*)$", MAKEFILE, re.MULTILINE)[0].split()
ENTRIES = [
    (Requirement(head.rstrip("\\ ")), rest)
    for head, rest in re.findall(r"^([a-z0-9].*)\n((?:    .*\n)*)", LOCK, re.MULTILINE)
]
VERSIONS = {requirement.name: str(requirement.specifier).removeprefix("==") for requirement, _ in ENTRIES}


def test_every_requirement_is_one_version_with_hashes() -> None:
    assert len(ENTRIES) > 100
    assert len(ENTRIES) == len(re.findall(r"^[^ #\n]", LOCK, re.MULTILINE))
    for requirement, rest in ENTRIES:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert "--hash=sha256:" in rest, requirement
        assert requirement.url is None


def test_the_lock_has_one_comment_and_no_option_of_one_machine() -> None:
    assert [line[:15] for line in LOCK.splitlines() if not line.startswith((" ", *"abcdefghijklmnopqrstuvwxyz"))] == [
        "# Every package"
    ]
    assert "://" not in LOCK
    assert re.findall(r"--(?!hash=sha256:)\S+", LOCK) == []


def test_torch_is_pinned_in_the_makefile_and_not_locked() -> None:
    assert re.search(r'^TORCH := "torch==\d+\.\d+\.\d+"$', MAKEFILE, re.MULTILINE)
    assert "pip install -qq --disable-pip-version-check $(TORCH)\n" in MAKEFILE
    assert "torch" not in {requirement.name for requirement, _ in ENTRIES}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("system", "machine"), [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")])
def test_a_package_has_one_version_on_each_platform(python: str, system: str, machine: str) -> None:
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    names = [entry.name for entry, _ in ENTRIES if entry.marker is None or entry.marker.evaluate(environment)]
    assert len(names) == len(set(names))
    assert {"numpy", "snakemake", "pytest", "setuptools"} <= set(names)


def test_the_supported_versions_are_the_same_everywhere() -> None:
    accepted = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(6, 30) if f"3.{minor}.5" in accepted] == PYTHONS
    prefix = "Programming Language :: Python :: 3."
    assert [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if name.startswith(prefix)] == PYTHONS
    sentence = re.search(r"Python (3\.\d+(?:, 3\.\d+)* or 3\.\d+)", (REPOSITORY / "README.md").read_text())
    assert sentence is not None
    assert re.findall(r"3\.\d+", sentence[1]) == PYTHONS


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("version", ["3.10", "3.99"])
def test_make_stops_with_one_line_before_anything_is_installed(tmp_path: Path, version: str) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    stub = tmp_path / "python"
    stub.write_text(f'#!/bin/sh\ntest "$1" = -c || touch called\necho {version}\n')
    stub.chmod(0o755)
    before = sorted(tmp_path.iterdir())
    # Without the variables of a `make test` around this one.
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    command = ["make", "setup", "PYTHON=./python"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(
        rf"Makefile:\d+: \*\*\* Python {re.escape(version)} \(\./python\) is not supported\. "
        rf"Supported: {' '.join(PYTHONS)}\. Choose one: make PYTHON=python3\.12\.  Stop\.\n",
        done.stderr,
    )
    assert sorted(tmp_path.iterdir()) == before


# ----------------------------------------------------- what is made from the lock


def names_of(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9._-]+", item)[0] for item in requirements}  # type: ignore[index]


def requirement_names(*extras: str) -> set[str]:
    """What the package itself needs, and what some of its extras need."""
    listed = PROJECT["optional-dependencies"]
    return names_of(PROJECT["dependencies"]).union(*(names_of(listed[extra]) for extra in extras)) - {"siwcc"}


def test_the_lock_covers_every_requirement() -> None:
    assert requirement_names("predict", "study", "export", "docs", "dev", "slurm") - {"torch"} <= set(VERSIONS)
    assert not [name for name in VERSIONS if name.startswith(("siwcc", "nvidia", "triton", "cuda"))]


def test_the_conda_environment_is_that_of_the_lock() -> None:
    text = (REPOSITORY / "envs" / "siwcc.yaml").read_text()
    listed = yaml.safe_load(text)["dependencies"]
    python = PROJECT["requires-python"]
    assert f"python {python}" in listed
    pip = dict(item.split("==") for item in next(item for item in listed if isinstance(item, dict))["pip"])
    assert set(pip) == requirement_names("predict", "study")
    assert {name: version for name, version in pip.items() if name != "torch"} == {
        name: VERSIONS[name] for name in pip if name != "torch"
    }
    assert f'"torch=={pip["torch"]}"' in MAKEFILE


def test_the_image_is_made_from_the_lock_and_from_files_that_exist() -> None:
    """It cannot be built where the tests run."""
    text = (REPOSITORY / "Dockerfile").read_text()
    lines = text.replace("\\\n", " ").splitlines()
    copied = [Path(name) for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert [path for path in copied if not (REPOSITORY / path).exists()] == []
    # What the Snakefile reads beside itself, and what the package needs to be installed.
    needed = {"requirements.lock", "pyproject.toml", "README.md", "LICENSE", "Snakefile", "config.yaml"}
    assert {path.name for path in copied} == needed | {"siwcc", "rules", "workflow", "profiles", "envs", "resources"}
    torch = re.search(r'pip install [^"]*("torch==[^"]+")', text)
    assert torch is not None
    assert torch[1] in MAKEFILE
    assert re.search(r"pip install \S+ --no-deps --require-hashes -r requirements\.lock", text)
    assert text.index('"torch==') < text.index("--require-hashes") < text.index("--no-build-isolation")
    # Without network access to packages: the build backend is that of the lock.
    assert "setuptools" in VERSIONS
    assert "From: siwcc:latest" in (REPOSITORY / "apptainer.def").read_text()
    assert "--tag siwcc ." in text


def test_the_lock_has_the_plugin_of_the_profile_for_clusters() -> None:
    extra = names_of(PROJECT["optional-dependencies"]["slurm"])
    assert extra == {"snakemake-executor-plugin-slurm"}
    assert extra <= set(VERSIONS)
