"""The real workflow in a folder of its own: how it is started, planned, released and compared."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from types import ModuleType

import psutil

from siwcc.io.run_key import STATE_NAME
from siwcc.io.study_layout import StudyLayout

REPOSITORY = Path(__file__).resolve().parent.parent
# Only guards against a test that would wait for ever: no test fails because the machine is slow.
HANGS_S = 1800.0
# They contain times.
_REPORT, _BENCHMARKS = StudyLayout(Path()).report.name, StudyLayout(Path()).benchmarks.name
# Of a process that should have ended.
_TOLD = ["cwd", "pid", "ppid", "status", "cmdline", "create_time"]
PARTS = ("Snakefile", "config.yaml", "siwcc", "rules", "workflow", "profiles", "envs", "resources")


def load_program(path: Path) -> ModuleType:
    """A program that is in no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Place:
    """A repository and a folder beside it in which its study is run."""

    repository: Path
    folder: Path

    def command(self, *arguments: str, snakefile: str = "Snakefile", study: str | None = "tiny") -> list[str]:
        overlay = [] if study is None else ["--configfile", str(self.repository / f"resources/studies/{study}.yaml")]
        return [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(self.repository / snakefile),
            "--workflow-profile",
            str(self.repository / "profiles" / "default"),
            *overlay,
            # Not before it: --configfile takes all that follows up to the next option.
            "--cores",
            "1",
            *arguments,
        ]

    def environment(self) -> dict[str, str]:
        # A make that started the tests would have the one in a place name its folder on stdout.
        outer = ("SNAKEMAKE", "MAKE", "MFLAGS")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
        closed = "http://127.0.0.1:9"
        return kept | {
            "PYTHONPATH": os.pathsep.join([str(self.repository), str(self.folder.parent / "spy")]),
            "XDG_CACHE_HOME": str(self.folder.parent / "cache"),
            "http_proxy": closed,
            "https_proxy": closed,
            "no_proxy": "",
        }

    def start(self, *arguments: str, **options: str | None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments, **options),  # type: ignore[arg-type]
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, ok: bool = True, timeout_s: float = HANGS_S, **options: str | None) -> str:
        process = self.start(*arguments, **options)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        assert (process.returncode == 0) == ok, output
        return output

    def planned(self, *arguments: str, **options: str | None) -> Counter[str]:
        """What a dry run would do: `rule` or `rule wildcards` to how often."""
        return planned_jobs(self.run("--dry-run", *arguments, **options))

    def digests(self, below: str = "results") -> dict[str, str]:
        """Sums of all files that must be equal to the byte."""
        paths = [path for path in (self.folder / below).rglob("*") if path.is_file()]
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if _BENCHMARKS not in path.parts and path.name not in (_REPORT, STATE_NAME)
        }


def planned_jobs(output: str) -> Counter[str]:
    found: Counter[str] = Counter()
    # A dry run shows the jobs of a group indented.
    for rule, body in re.findall(r"^ *(?:local)?rule (\w+):\n((?: .*\n)*)", output, re.MULTILINE):
        wildcards = re.search(r"wildcards: (.*)", body)
        values = dict(re.findall(r"(\w+)=([^,\s]+)", wildcards[1])) if wildcards else {}
        found[" ".join([rule, *(values[name] for name in sorted(values))])] += 1
    return found


def rules_in(jobs: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, count in jobs.items():
        counts[name.split()[0]] += count
    return counts - Counter(all=1)


def wait_until_nobody_works_in(folder: Path) -> None:
    give_up_at = time.monotonic() + HANGS_S
    while orphans := [process for process in psutil.process_iter(_TOLD) if process.info["cwd"] == str(folder)]:
        assert time.monotonic() < give_up_at, f"orphans go on: {[process.info for process in orphans]}"
        time.sleep(0.1)


def unlock(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, place.repository / "workflow" / "unlock.py", *arguments],
        cwd=place.folder,
        env=place.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def change_of_training(name: str, body: str) -> str:
    """A `sitecustomize.py` that replaces a function of `siwcc.training.run`.

    Args:
        name: Of the function.
        body: Of its replacement, for its first argument `first` and the `rest`; `original` is the replaced function,
            `module` is `siwcc.training.run`.
    """
    return f"""
import importlib.util, os, pathlib, signal, sys
class Change:
    def find_spec(self, name, path=None, target=None):
        if name != "siwcc.training.run":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def load_and_change(module):
            load(module)
            original = module.{name}
            def changed(first, *rest):
{indent(body.strip(), " " * 16)}
            module.{name} = changed
        spec.loader.exec_module = load_and_change
        return spec
sys.meta_path.insert(0, Change())
"""


@dataclass(frozen=True)
class ChangedPlace(Place):
    """A place whose jobs import the `sitecustomize.py` in its folder `changed`."""

    def environment(self) -> dict[str, str]:
        values = super().environment()
        return values | {"PYTHONPATH": os.pathsep.join([str(self.folder / "changed"), values["PYTHONPATH"]])}


def changed_place(place: Place, sitecustomize: str) -> ChangedPlace:
    (place.folder / "changed").mkdir()
    (place.folder / "changed" / "sitecustomize.py").write_text(sitecustomize)
    return ChangedPlace(place.repository, place.folder)


def copy_repository(target: Path) -> None:
    """All of the repository that a study needs."""
    target.mkdir()
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / part)
