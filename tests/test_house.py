"""What the design promises about the source itself."""

from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yte

from siwcc import config
from siwcc.data.tasks.interface import task_module
from siwcc.evaluation import comparisons, study_files
from siwcc.nn.coordinate_channels import ENCODINGS
from siwcc.nn.paper_networks import STANDARDISED, VARIANTS

REPOSITORY = Path(__file__).resolve().parent.parent
RULE_FILES = sorted((REPOSITORY / "rules").glob("*.smk"))
SCRIPTS = sorted((REPOSITORY / "workflow" / "scripts").glob("*.py"))
MODULES = sorted((REPOSITORY / "siwcc").rglob("*.py"))
RULES = {
    name: body
    for path in RULE_FILES
    for name, body in re.findall(r"^rule (\w+):\n((?:(?: .*)?\n)*)", path.read_text(), re.MULTILINE)
}


def tracked_files() -> list[Path]:
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [REPOSITORY / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


# ------------------------------------------------------------------ workflow


def test_the_snakefile_is_short_and_includes_the_stages_in_their_order() -> None:
    text = (REPOSITORY / "Snakefile").read_text()
    assert len(text.splitlines()) < 64
    stages = ["common", "raw", "samples", "folds", "train", "baselines", "external", "stats", "onsets", "report"]
    assert re.findall(r'include: "rules/(\w+)\.smk"', text) == stages
    # What four studies say together is no stage of one.
    assert {path.stem for path in RULE_FILES} == {*stages, "leakage_ablation"}
    assert 'include: "../rules/leakage_ablation.smk"' in (REPOSITORY / "workflow" / "leakage_ablation.smk").read_text()
    assert 'include: "../Snakefile"' in (REPOSITORY / "workflow" / "Snakefile").read_text().splitlines()


@pytest.mark.parametrize("failing", ["", "lint", "test", "test-slow", "test-cluster"])
def test_ci_fails_where_one_of_its_targets_does_and_only_there(failing: str, tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(REPOSITORY / ".ci" / "run", tmp_path / ".ci")
    targets = re.findall(r"^make ([\w-]+)", Path(script).read_text(), re.MULTILINE)
    assert targets == ["lint", "docs", "test", "test-cluster", "test-slow"]
    (tmp_path / "Makefile").write_text(
        "".join(f"{target}:\n\t@{'false' if target == failing else 'true'}\n" for target in targets)
    )
    (tmp_path / "chromium").write_text("#!/bin/sh\n")
    (tmp_path / "chromium").chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(["bash", script], capture_output=True, check=False, env=os.environ | {"PATH": path})
    assert (done.returncode != 0) == bool(failing)


def test_the_groups_of_the_cluster_are_of_rules_that_exist() -> None:
    text = (REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text()
    groups = yte.process_yaml(text)["groups"]
    assert {name for name in groups if not name.startswith(("sample_", "group_"))} <= RULES.keys()
    assert set(groups.values()) == {"folds", "baselines", "summary"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_thin(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 30
    assert "with job(snakemake.log[0]):" in text
    assert f"workflow/scripts/{path.name}" in "".join(RULES.values()), "no rule runs it"


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_rule_has_all_that_a_rule_must_have(name: str) -> None:
    body = RULES[name]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
    assert re.match(r'    """[A-Z][^"\n]*\."""\n', body), "no docstring of one line"
    for directive in ("log:", "benchmark:", "conda:", "output:", "script:"):
        assert f"\n    {directive}" in body, f"{name} lacks {directive}"
    assert "\n    threads:" in body or "\n    localrule: True" in body
    assert '"../envs/siwcc.yaml"' in body
    # Without inputs a rule depends on its parameters alone.
    script = re.search(r"workflow/scripts/(\w+\.py)", body)
    assert script is not None
    assert "\n    input:" not in body or f'"{script[1]}"' in re.sub(r"\s+", "", body)
    for directive in ("input", "output"):
        section = re.search(rf"\n    {directive}:\n((?:        .*\n)+)", body)
        for line in section[1].splitlines() if section else []:
            if re.match(r" {8}[^ )\]]", line):
                assert re.match(r" {8}\w+=", line), f"{name}: {directive} without a name: {line}"


def test_every_module_with_rules_says_what_goes_in_and_out() -> None:
    for path in RULE_FILES:
        if path.stem != "common":
            head = path.read_text().split('"""')[1]
            assert "REQUIRED INPUTS:" in head
            assert "OUTPUTS:" in head


# ------------------------------------------------------------------ registries


def test_names_in_the_config_are_those_of_the_registries() -> None:
    assert set(get_args(config.EncodingName)) == set(ENCODINGS)
    assert get_args(config.VariantName) == VARIANTS
    assert config.STANDARDISED == STANDARDISED
    assert set(config.TASK_OF_KIND) == set(get_args(config.Kind))
    for kind in get_args(config.Kind):
        assert callable(task_module(kind).make_spec)
        packages = ("data/augment", *(("inference/robustness",) if config.PERTURBATIONS[kind] else ()))
        for package in packages:
            assert (REPOSITORY / "siwcc" / package / f"{kind}.py").is_file()
    for name in get_args(config.AnyDataset):
        (format_name,) = get_args(name.model_fields["format"].annotation)
        assert (REPOSITORY / "siwcc" / "data" / "datasets" / f"{format_name}.py").is_file()


# ------------------------------------------------------------------ source


@functools.cache
def trees() -> dict[Path, ast.Module]:
    """Every module of the package, parsed once."""
    return {path: ast.parse(path.read_text()) for path in MODULES}


def functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    found = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}", node))
    return found


def test_functions_are_short() -> None:
    lengths = {name: (node.end_lineno or 0) - node.lineno + 1 for name, node in functions()}
    assert statistics.median(lengths.values()) < 18
    assert {name: length for name, length in lengths.items() if length > 90} == {}


def test_the_package_imports_no_snakemake_and_one_module_uses_its_internals() -> None:
    imported = {
        name
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert not [name for name in imported if name.split(".")[0] == "snakemake"]
    internals = re.compile(r"\bworkflow\.(?:dag|scheduler|local_exec|is_main_process)\b|needrun_jobs|job_rate_limiter")
    users = {path.name for path in (*MODULES, *RULE_FILES) if internals.search(path.read_text())}
    assert users == {"guard.py"}


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    # Taken apart, so that this file does not hold them.
    machine = [f"/{name}/" for name in ("work", "root", "home", "Users", "tmp")]
    registry = ["index" + "-url ", "pip" + ".conf", "artifact" + "ory", "nex" + "us/"]
    words = re.compile(rf"(?<![\w.<>~-])(?:{'|'.join(map(re.escape, (*machine, *registry)))})")
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for match in words.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(REPOSITORY)}:{line}: {match[0]}")
    assert found == []


def test_nothing_large_and_no_data_is_tracked() -> None:
    tracked = tracked_files()
    data = [path for path in tracked if path.suffix in (".h5", ".pt", ".dat", ".atr", ".hea", ".BMP", ".bmp")]
    # The networks that ship.
    names = ("all", *(f"fold{fold}" for fold in range(1, 6)))
    shipped = {Path("models") / task / f"{name}.pt" for task in ("ecg", "nuclei") for name in names}
    shipped |= {Path("models/ecg/onsets") / f"{name}.pt" for name in names[1:]}
    assert {path.relative_to(REPOSITORY) for path in data} == shipped
    assert [path.name for path in tracked if path.stat().st_size > 2_000_000] == []


def test_the_rules_know_every_metric() -> None:
    # The Snakefile is read in every job and must not import scipy for three names.
    assert tuple(comparisons.METRICS) == study_files.METRICS


def profile(name: str) -> dict[str, Any]:
    with (REPOSITORY / "profiles" / name / "config.yaml").open() as stream:
        return yte.process_yaml(stream, require_use_yte=True)


def test_every_profile_holds_what_the_default_one_says_of_every_machine() -> None:
    default = profile("default")
    caps = default.pop("resources")
    assert caps == {"gpu": 1}
    for name in ("slurm", "workstation"):
        values = profile(name)
        assert {key: values[key] for key in default} == default
    # A cap on GPUs would be one on the whole cluster.
    assert "gpu" not in profile("slurm")["resources"]
    assert profile("workstation")["resources"]["gpu"] > 1


def test_every_entry_of_a_profile_has_its_reason() -> None:
    for path in (REPOSITORY / "profiles").glob("*/config.yaml"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(r"[a-z]", line):
                before = lines[number - 1]
                follows = re.match(r"[a-z ]", before) is not None
                assert follows or before.startswith("# "), f"{path}:{number + 1}: {line}"


def test_what_a_user_edits_for_a_cluster_reaches_the_jobs_that_it_is_for() -> None:
    text = (REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text()
    edits = {"cpu_partition": "small", "gpu_partition": "gpu", "account": "p1234", "gpu_model": "a100"}
    for name, value in edits.items():
        text, count = re.subn(rf"(?m)^  {name}: null", f"  {name}: {value}", text)
        assert count == 1
    values = yte.process_yaml(text, require_use_yte=True)
    # Quoted, so that Snakemake does not take a name for an expression.
    assert values["default-resources"]["slurm_partition"] == "'small'"
    assert values["default-resources"]["slurm_account"] == "'p1234'"
    trainings = [values["set-resources"][name] for name in ("train_network", "train_on_all")]
    assert trainings == [{"gpu": 1, "gpu_model": "'a100'", "slurm_partition": "'gpu'"}] * 2
    asked = yte.process_yaml(text.replace("gpus_per_training: 1", "gpus_per_training: 0"), require_use_yte=True)
    assert asked["set-resources"]["train_network"] == {"gpu": 0, "slurm_partition": "'gpu'"}
    plain = profile("slurm")
    assert not {"slurm_partition", "slurm_account"} & set(plain["default-resources"])
    assert plain["set-resources"]["train_network"] == {"gpu": 1}
