"""The paths of a study, written by hand here, and by the layout alone everywhere else."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from siwcc.io.data_layout import DataLayout
from siwcc.io.run_key import NO_FOLD, RUN_FILES, RunKey, run_key_of
from siwcc.io.study_layout import (
    FIGURE_KINDS,
    FIGURES,
    AblationLayout,
    StudyLayout,
    external_place,
    figure_stem,
    results_of,
    run_grid,
)

REPOSITORY = Path(__file__).resolve().parents[2]
LAYOUT = StudyLayout(Path("results/paper"))
RUN = RunKey("ecg", "coord", "full", 3, 42)
RUN_FOLDER = "results/paper/ecg/coord/full/fold3/seed42"


# ------------------------------------------------------------------ paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (results_of("paper"), "results/paper"),
        (LAYOUT.config, "results/paper/config.json"),
        (LAYOUT.report, "results/paper/report.html"),
        (LAYOUT.summary, "results/paper/summary.txt"),
        (LAYOUT.folds_csv("ecg"), "results/paper/ecg/folds.csv"),
        (LAYOUT.strata_csv("ecg"), "results/paper/ecg/strata.csv"),
        (LAYOUT.fold("ecg", 2), "results/paper/ecg/fold2.h5"),
        (LAYOUT.folds("ecg", 2)[1], "results/paper/ecg/fold2.h5"),
        (LAYOUT.baseline("ecg", "pelt"), "results/paper/ecg/baselines/pelt/predictions.csv"),
        (LAYOUT.run(RUN), RUN_FOLDER),
        (LAYOUT.log(RUN), f"{RUN_FOLDER}/log.csv"),
        (LAYOUT.model(RUN), f"{RUN_FOLDER}/model.pt"),
        (LAYOUT.predictions(RUN), f"{RUN_FOLDER}/predictions.csv"),
        (LAYOUT.manifest(RUN), f"{RUN_FOLDER}/manifest.json"),
        (LAYOUT.model(RUN._replace(fold=NO_FOLD)), "results/paper/ecg/coord/full/all/seed42/model.pt"),
        (LAYOUT.calibration("ecg", "none", "heatmap"), "results/paper/ecg/none/heatmap/calibration.json"),
        (LAYOUT.robustness("ecg", "none", "heatmap"), "results/paper/ecg/none/heatmap/robustness.csv"),
        (LAYOUT.external("ecg", "none", "full", "mitdb"), "results/paper/ecg/none/full/external/mitdb/predictions.csv"),
        (LAYOUT.external_baseline("ecg", "a", "b"), "results/paper/ecg/baselines/a/external/b/predictions.csv"),
        (LAYOUT.table("errors_by_stratum"), "results/paper/stats/errors_by_stratum.csv"),
        (LAYOUT.table("landmarks_by_point"), "results/paper/stats/landmarks_by_point.csv"),
        (LAYOUT.table3, "results/paper/stats/table3.txt"),
        (LAYOUT.figure("forest_test_r2", "svg"), "results/paper/figures/forest_test_r2.svg"),
        (LAYOUT.benchmark("stats", "errors"), "results/paper/benchmarks/stats/errors.tsv"),
        (AblationLayout(Path("results/leakage-ablation")).figure("csv"), "results/leakage-ablation/cells.csv"),
        (AblationLayout(Path("results/leakage-ablation")).differences, "results/leakage-ablation/differences.csv"),
        (AblationLayout(Path("results/x")).window_overlap, "results/x/window_overlap.csv"),
        (AblationLayout(Path("results/leakage-ablation")).report, "results/leakage-ablation/report.html"),
        (DataLayout().raw, "data/raw"),
        (DataLayout().manifest("vfdb"), "data/raw/vfdb.manifest.csv"),
        (DataLayout().samples("vfdb"), "data/samples/vfdb.h5"),
        (DataLayout().excluded("vfdb"), "data/samples/vfdb.excluded.csv"),
        (DataLayout().protocol("vfdb"), "data/samples/vfdb.protocol.json"),
        (DataLayout().benchmark("vfdb", "raw"), "data/benchmarks/vfdb.raw.tsv"),
    ],
)
def test_where_a_file_lies(path: Path, expected: str) -> None:
    assert path.as_posix() == expected


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        (figure_stem("forest", metric="test_r2"), "forest_test_r2"),
        (figure_stem("encodings", task="ecg"), "encodings_ecg"),
        (figure_stem("targets", task="ecg"), "targets_ecg"),
        (figure_stem("gaps", task="ecg"), "gaps_ecg"),
        (figure_stem("robustness", task="ecg"), "robustness_ecg"),
        (figure_stem("learning_curves", task="ecg", variant="full"), "learning_curves_ecg_full"),
        (figure_stem("predictions", task="ecg", encoding="coord", variant="full"), "predictions_ecg_coord_full"),
        (figure_stem("reliability", task="ecg", encoding="none", variant="dense"), "reliability_ecg_none_dense"),
        (figure_stem("landmarks", task="spine", variant="unet"), "landmarks_spine_unet"),
        (figure_stem("worst", task="ecg", encoding="none", variant="dense"), "worst_ecg_none_dense"),
        (
            figure_stem("records", task="ecg", variant="full", encoding="weighted", control="coord"),
            "records_ecg_full_weighted_vs_coord",
        ),
    ],
)
def test_what_a_figure_is_called(stem: str, expected: str) -> None:
    assert stem == expected


def test_the_method_of_an_external_file_is_in_its_path() -> None:
    arm, baseline = LAYOUT.external("ecg", "none", "full", "mitdb"), LAYOUT.external_baseline("ecg", "a", "mitdb")
    assert external_place(arm) == ("ecg", "mitdb", "none", "full")
    assert external_place(baseline) == ("ecg", "mitdb", "a", "")


def test_names_may_be_wildcards_of_the_rules() -> None:
    layout = StudyLayout(Path("<results>"))
    run = RunKey("{task}", "{encoding}", "{variant}", "{fold}", "{seed}")  # type: ignore[arg-type]
    assert layout.log(run).as_posix() == "<results>/{task}/{encoding}/{variant}/fold{fold}/seed{seed}/log.csv"
    assert layout.fold("{task}", "{fold}").as_posix() == "<results>/{task}/fold{fold}.h5"
    assert layout.figure(FIGURES["gaps"], "png").as_posix() == "<results>/figures/gaps_{task}.png"


def test_a_run_is_read_from_the_path_of_each_of_its_files() -> None:
    runs = run_grid(["ecg", "nuclei"], ["coord"], ["full", "pooled"], 2, [42, 7])
    assert len(runs) == len(set(runs)) == 16
    assert [(run.fold, run.seed) for run in runs[:3]] == [(1, 42), (1, 7), (2, 42)]
    for run in [*runs, runs[0]._replace(fold=NO_FOLD)]:
        assert [run_key_of(path) for path in LAYOUT.run_files(run)] == [run] * 4


def test_what_exists_is_found_and_given_to_its_stage(tmp_path: Path) -> None:
    layout = StudyLayout(tmp_path / "results" / "made")
    on_all = RUN._replace(fold=NO_FOLD)
    written = {
        "folds": [layout.folds_csv("ecg"), layout.fold("ecg", 1)],
        "train": layout.run_files(RUN),
        "baselines": [layout.baseline("ecg", name) for name in ("a", "b")],
        "external": [layout.external(*RUN[:3], "mitdb"), layout.external_baseline("ecg", "a", "mitdb")],
        "stats": [layout.table("errors")],
        "figures": [layout.figure("gaps_ecg", kind) for kind in FIGURE_KINDS],
    }
    others = [layout.model(on_all), layout.config, layout.calibration(*RUN[:3])]
    for path in chain(*written.values(), others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {stage: {path for path in paths if path.is_file()} for stage, paths in layout.files_of_stages()}
    assert found == {stage: set(paths) for stage, paths in written.items()}
    assert layout.found_baselines("ecg") == written["baselines"]
    assert layout.found_baselines("nuclei") == []
    assert layout.found_models("ecg", "coord", "full") == {
        "all": [layout.model(on_all)],
        "fold3": [layout.model(RUN)],
    }


@pytest.mark.parametrize(
    ("names", "stage"),
    [
        (("ecg/coord/full/fold1", "seed42"), "train"),
        (("ecg/coord/full/all", "seed42"), "train"),
        (("ecg", "fold1"), "folds"),
        (("ecg", "folds"), "folds"),
        (("ecg/baselines", "pelt"), "baselines"),
        (("ecg/coord/full/external", "seed1"), "external"),
        (("ecg/baselines/pelt/external", "fold1"), "external"),
        (("stats", "errors"), "stats"),
        (("figures", "report"), "figures"),
    ],
)
def test_the_stage_of_a_benchmark(names: tuple[str, ...], stage: str) -> None:
    assert LAYOUT.stage_of_benchmark(LAYOUT.benchmark(*names)) == stage


# ------------------------------------------------------- nowhere else

OWNERS = [f"siwcc/io/{name}.py" for name in ("study_layout", "run_key", "data_layout", "checksums")]
SOURCES = sorted(
    path
    for folder, pattern in (("siwcc", "*.py"), ("workflow", "*.py"), ("workflow", "*.smk"), ("rules", "*.smk"))
    for path in (REPOSITORY / folder).rglob(pattern)
)
# A literal of a file that is no path of a study, and why.
EXCEPTIONS = {
    ("siwcc/evaluation/reliability_table.py", "fold{part.fold}/seed{part.seed}"): "a key of a digest",
    ("siwcc/analyses/controls.py", "seed{seed}"): "a folder above those that are laid out like a study",
    ("rules/common.smk", "<results>"): "the path variable that the layout of the rules gets as its folder",
    ("siwcc/data/samples.py", ".excluded.csv"): "beside any samples file that is given, as `siwcc inspect` does",
}
NAMES = {
    *RUN_FILES,
    ".state.pt",
    *(path.name for path in (LAYOUT.config, LAYOUT.report, LAYOUT.folds_csv("ecg"), LAYOUT.strata_csv("ecg"))),
    *(path.name for path in (LAYOUT.table3, LAYOUT.calibration(*RUN[:3]), LAYOUT.robustness(*RUN[:3]))),
    *("comparisons.csv", "errors.csv", "errors_by_stratum.csv", "records.csv", "records_points.csv"),
    *("variance.csv", "calibration.csv", "calibration_scores.csv"),
}
FOLDERS = {"stats", "figures", "baselines", "benchmarks", "raw", "samples"}
PATTERNS = re.compile(
    r"^(<results>|results/(?!<study>$)|data/)|(^|/)(fold|seed)(\{[^}]*\}|\*)(?!\.pt$)|^(" + "|".join(FIGURES) + r")_\{|"
    r"\.(manifest\.csv|excluded\.csv|protocol\.json)$"
)


def literals(text: str) -> Iterator[tuple[str, bool]]:
    """Strings of a source, and whether they are joined to a path; no prose, logs, or names of benchmarks.

    Triple-quoted strings are documentation and messages, and so is what has a space in it.
    """
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (tokenize.COMMENT, tokenize.NL)
    ]
    depth_of_call = 0
    for place, token in enumerate(tokens):
        before = [item.string for item in tokens[max(place - 2, 0) : place]]
        if depth_of_call or before == ["benchmark", "("]:
            depth_of_call += {"(": 1, ")": -1}.get(token.string, 0) + (not depth_of_call)
            continue
        literal = re.fullmatch(r"[a-zA-Z]*(['\"])(?!\1\1)(\S*)\1", token.string)
        if token.type == tokenize.STRING and literal and not literal[2].startswith(("<logs>/", "logs/")):
            yield literal[2], before[-1:] == ["/"]


def paths_written(text: str) -> list[str]:
    """The strings of a source that are paths of a study, or parts of one."""
    return [
        literal
        for literal, joined in literals(text)
        if literal.rsplit("/", 1)[-1] in NAMES or PATTERNS.search(literal) or (joined and literal in FOLDERS)
    ]


def test_only_the_layout_writes_a_path_of_a_study() -> None:
    names = {path.relative_to(REPOSITORY).as_posix(): path for path in [REPOSITORY / "Snakefile", *SOURCES]}
    found = {
        (name, literal)
        for name, path in names.items()
        if name not in OWNERS
        for literal in paths_written(path.read_text())
    }
    # A path that is found here comes from siwcc.io.study_layout; an exception that is not needed goes.
    assert found == EXCEPTIONS.keys()


@pytest.mark.parametrize(
    "source",
    [
        'path = folder / "predictions.csv"',
        'path = arm.parent.with_name("strata.csv")',
        'path = f"{folder}/{task}/folds.csv"',
        'folder / f"fold{fold}.h5"',
        'folder / "stats" / name',
        'sorted(arm.glob("*/seed*/*"))',
        'FigureFiles.named(folder, f"forest_{metric}")',
        'rule one:\n    output:\n        table="<results>/stats/mine.csv",\n',
        'rule one:\n    output:\n        "<results>/mine.csv"\n',
        'raw_root = Path("data/raw")',
        'path = folder / f"{name}.excluded.csv"',
        'layout.benchmark("figures", FIGURES["gaps"]), folder / "model.pt"',
    ],
)
def test_a_path_that_is_written_elsewhere_is_found(source: str) -> None:
    assert len(paths_written(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        '"""Reads `predictions.csv`."""',
        'raise InputError(path, "is damaged", "delete folds.csv and run again")',
        'columns = {"stats": "statistics", "figures": "figures and report"}',
        'rule one:\n    log:\n        "<logs>/{task}/fold{fold}.log",\n',
        'rule one:\n    benchmark:\n        layout.benchmark("{task}", "fold{fold}")\n',
        "# results/<study>/report.html\n",
    ],
)
def test_words_about_a_file_are_no_path(source: str) -> None:
    assert paths_written(source) == []
