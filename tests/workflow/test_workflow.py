"""The real Snakefile on the smallest study: reruns, interruptions, bad input, and the same bytes.

One finished study is made once and copied for each scenario. It runs from a copy of the
repository that lies beside it, so that a scenario may edit the code. The fast tests plan, or make one run; what makes
a whole study again is slow.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml
from places import (
    HANGS_S,
    Place,
    change_of_training,
    changed_place,
    planned_jobs,
    rules_in,
    unlock,
    wait_until_nobody_works_in,
)

from siwcc.config import HEATMAP_KEYS
from siwcc.evaluation.baselines.registry import baselines_of
from siwcc.evaluation.calibration_file import load_calibration
from siwcc.io.run_key import STATE_NAME
from siwcc.report.build import describe_missing
from siwcc.report.study import open_study
from siwcc.training.checkpoint import read_model

REPOSITORY = Path(__file__).resolve().parents[2]
ARMS = ("coord", "weighted")
RUN_FILES = {"log.csv", "model.pt", "predictions.csv", "manifest.json"}
ONE_RUN = "results/tiny/ecg/coord/reduced/fold1/seed42"


def error_lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("error: ")]


@contextmanager
def edited(path: Path, text: str) -> Iterator[None]:
    """A file with a line more, as it was before afterwards."""
    before, status = path.read_bytes(), path.stat()
    path.write_bytes(before + text.encode())
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# ---------------------------------------------------------------- what it is


def test_every_file_of_the_study_is_there(finished: Place) -> None:
    assert {path.name for path in (finished.folder / "data" / "samples").iterdir()} == {
        "demo_ecg.h5",
        "demo_ecg.excluded.csv",
        "demo_ecg.protocol.json",
    }
    assert (finished.folder / "data" / "raw" / "demo_ecg.manifest.csv").is_file()
    study = finished.folder / "results" / "tiny"
    for name in ("folds.csv", "fold1.h5", "fold2.h5", "baselines/training_mean/predictions.csv"):
        assert (study / "ecg" / name).is_file()
    for encoding in ARMS:
        for fold in (1, 2):
            run = study / "ecg" / encoding / "reduced" / f"fold{fold}" / "seed42"
            assert {path.name for path in run.iterdir()} == RUN_FILES
            assert (finished.folder / "logs" / run.relative_to(study.parent)).with_suffix(".log").is_file()
    assert (study / "stats" / "comparisons.csv").is_file()
    leftovers = [path for path in finished.folder.rglob("*.part") if ".snakemake" not in path.parts]
    assert leftovers == []


def test_images_go_through_the_same_stages(empty: Place) -> None:
    run = "results/tiny/nuclei/coord/reduced/fold1/seed42"
    empty.run(f"{run}/log.csv", "--config", "run=[nuclei]")
    excluded = (empty.folder / "data" / "samples" / "demo_nuclei.excluded.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in excluded] == ["sample_id", "2_004_03", "3_001_04", "5_004_02"]
    log = (empty.folder / run / "log.csv").read_text().splitlines()
    assert log[0] == "epoch,train_r2_x,train_r2_y,test_r2_x,test_r2_y,test_mae_x,test_mae_y"
    assert len(log) == 1 + 5
    rows = (empty.folder / run / "predictions.csv").read_text().splitlines()
    assert rows[0] == "sample_id,copy,target_x,target_y,prediction_x,prediction_y"
    folds = (empty.folder / "results" / "tiny" / "nuclei" / "folds.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * sum(line.endswith(",1") for line in folds)


@pytest.mark.slow
def test_synthetic_images_are_shown_next_to_published_values_and_not_judged(empty: Place) -> None:
    empty.run("results/tiny/report.html", "--config", "run=[nuclei]")
    with (empty.folder / "results" / "tiny" / "stats" / "comparisons.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [row["metric"] for row in table] == ["instability", "test_r2", "train_r2"]
    for row in table:
        assert [row[name] for name in ("task", "variant", "control", "study")] == ["nuclei", "reduced", *ARMS]
        assert row["published_conclusion"] != ""
        assert [row[f"agrees_{what}"] for what in ("sign", "size", "conclusion")] == ["", "", ""]
        assert row["note"] != ""


def test_a_finished_study_has_nothing_to_do_also_after_a_checkout(copied: Place) -> None:
    assert "Nothing to be done" in copied.run("--dry-run")
    # A checkout gives every file of the repository a new time.
    sources = [path for path in copied.repository.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    times = {path: path.stat() for path in sources}
    try:
        for path in sources:
            path.touch()
        assert "Nothing to be done" in copied.run("--dry-run")
    finally:
        for path, status in times.items():
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.slow
def test_a_second_run_in_another_order_of_more_jobs_at_once_is_equal_to_the_byte(finished: Place, empty: Place) -> None:
    empty.run("--cores", "3", "--prioritize", f"{ONE_RUN}/log.csv")
    for below in ("results", "data"):
        assert empty.digests(below) == finished.digests(below)
    kinds = Counter(Path(name).suffix for name in finished.digests())
    assert kinds[".pt"] == 4
    assert kinds[".svg"] == kinds[".png"] >= 1
    assert kinds[".h5"] == 2


@pytest.mark.slow
def test_the_layout_for_the_catalogue_plans_the_same_study(copied: Place, empty: Place) -> None:
    assert "Nothing to be done" in copied.run("--dry-run", snakefile="workflow/Snakefile")
    jobs = rules_in(empty.planned(snakefile="workflow/Snakefile"))
    assert jobs - Counter(study=1) == rules_in(empty.planned())
    assert jobs["train_network"] == 4


def test_what_a_job_imports_is_among_its_inputs(finished: Place) -> None:
    """The import closure of `code_of` against what Python really loaded."""
    output = finished.run("--detailed-summary")
    inputs_of: dict[str, set[str]] = {}
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) > 6:
            script = [Path(name).stem for name in fields[4].split(",") if "/workflow/scripts/" in name]
            for name in script:
                inputs_of.setdefault(name, set()).update(fields[4].split(","))
    seen = 0
    for path in finished.folder.glob("imported-*.txt"):
        script = path.name.split("-")[1]
        modules = {name for name in path.read_text().split() if not name.startswith("siwcc.jobs")}
        for module in modules:
            base = f"../repository/{module.replace('.', '/')}"
            assert {f"{base}.py", f"{base}/__init__.py"} & inputs_of[script], f"{script} imports {module}"
        seen += 1
    assert seen >= 10


# -------------------------------------------------------------------- reruns


def test_a_lost_checkpoint_is_made_again_and_nothing_else(finished: Place, copied: Place) -> None:
    (copied.folder / ONE_RUN / "model.pt").unlink()
    jobs = copied.planned()
    trained = {name for name in jobs if name.startswith("train_network")}
    assert trained == {"train_network coord 1 42 ecg reduced"}
    assert not {"extract_samples", "assign_folds", "augment_fold", "predict_baseline"} & set(rules_in(jobs))
    assert rules_in(jobs)["compare_encodings"] == 1
    others = {
        path: path.stat().st_mtime_ns
        for path in (copied.folder / "results/tiny/ecg").rglob("*")
        if path.is_file() and ONE_RUN not in path.as_posix()
    }
    copied.run(f"{ONE_RUN}/model.pt", "results/tiny/stats/comparisons.csv")
    assert copied.digests() == finished.digests()
    assert {path: path.stat().st_mtime_ns for path in others} == others


@pytest.mark.parametrize(
    "name",
    [
        f"{ONE_RUN}/manifest.json",
        pytest.param("data/raw/demo_ecg.manifest.csv", marks=pytest.mark.slow),
        pytest.param("data/samples/demo_ecg.h5", marks=pytest.mark.slow),
        pytest.param("results/tiny/ecg/fold2.h5", marks=pytest.mark.slow),
        pytest.param("results/tiny/stats/comparisons.csv", marks=pytest.mark.slow),
    ],
)
def test_any_lost_file_is_brought_back(copied: Place, name: str) -> None:
    (copied.folder / name).unlink()
    assert "Nothing to be done" not in copied.run("--dry-run")


@pytest.mark.slow
def test_snakemake_packs_its_own_report_without_a_network(copied: Place) -> None:
    copied.run("--report", "report.zip")
    with zipfile.ZipFile(copied.folder / "report.zip") as packed:
        names = packed.namelist()
        shown = {Path(name).name for name in names}
        assert {"report.html", "forest_test_r2.svg", "predictions.csv"} <= shown
        (table,) = [name for name in names if Path(name).name == "table3.txt"]
        assert packed.read(table) == (copied.folder / "results/tiny/stats/table3.txt").read_bytes()


@pytest.mark.slow
def test_perturbed_samples_are_predicted_where_it_is_asked_for(finished: Place, copied: Place) -> None:
    asked = ("--config", "robustness=[noise, lead_missing]")
    added = Counter(measure_robustness=2, record_config=1, write_report=1)
    assert rules_in(copied.planned(*asked)) == added
    copied.run(*asked)
    study = copied.folder / "results" / "tiny"
    before = {name: digest for name, digest in finished.digests().items() if not name.endswith("config.json")}
    assert before.items() <= copied.digests().items()
    for encoding in ARMS:
        with (study / "ecg" / encoding / "reduced" / "robustness.csv").open(newline="") as handle:
            table = list(csv.DictReader(handle))
        found = [(row["perturbation"], row["level"]) for row in table if row["perturbation"] == "lead_missing"]
        assert found == [("lead_missing", level) for level in ("as recorded", "lead 1", "lead 2")]
        assert len(table) == 6 + 3
        assert {row["encoding"] for row in table} == {encoding}
    assert (study / "figures" / "robustness_ecg.svg").is_file()
    assert '<h2 id="robustness">' in (study / "report.html").read_text()
    assert "Nothing to be done" in copied.run("--dry-run", *asked)


@pytest.mark.slow
def test_a_network_with_a_map_gets_its_own_recipe_calibration_and_figures(copied: Place) -> None:
    asked = ("--config", "variants=[heatmap]", "encodings=[none]", "comparisons=[]")
    copied.run(*asked)
    study = copied.folder / "results" / "tiny"
    arm = study / "ecg" / "none" / "heatmap"
    recipe = yaml.safe_load((copied.repository / "config.yaml").read_text())["train"]["by_variant"]["heatmap"]
    # Recorded only where they are set: models of older versions do not have them.
    assert [recipe.pop(name) for name in HEATMAP_KEYS] == [None] * 3
    assert recipe["online_augmentation"].pop("mirror") == 0
    assert recipe["online_augmentation"].pop("mirrorings") == "all"
    copies = 0
    for fold in (1, 2):
        trained = json.loads((arm / f"fold{fold}/seed42/manifest.json").read_text())["train"]
        assert {name: trained[name] for name in recipe} == recipe
        assert len((arm / f"fold{fold}/seed42/log.csv").read_text().splitlines()) == 1 + recipe["epochs"]
        with (arm / f"fold{fold}/seed42/predictions.csv").open(newline="") as handle:
            copies += sum(row["copy"] != "0" for row in csv.DictReader(handle))
    calibration = load_calibration(arm / "calibration.json")
    assert (calibration.encoding, calibration.variant) == ("none", "heatmap")
    assert (calibration.folds, calibration.rows) == (2, copies)
    with (study / "stats" / "calibration_scores.csv").open(newline="") as handle:
        scores = {(row["inputs"], row["kind"]): int(row["rows"]) for row in csv.DictReader(handle)}
    assert scores["augmented", "raw"] == scores["augmented", "calibrated"] == copies
    with (study / "stats" / "calibration.csv").open(newline="") as handle:
        bins = [row for row in csv.DictReader(handle) if (row["inputs"], row["kind"]) == ("augmented", "raw")]
    assert sum(int(row["rows"]) for row in bins) == copies
    for name in ("reliability_ecg_none_heatmap", "worst_ecg_none_heatmap"):
        assert (study / "figures" / f"{name}.svg").is_file()
    assert '<h2 id="confidence">' in (study / "report.html").read_text()
    assert "Nothing to be done" in copied.run("--dry-run", *asked)


@pytest.mark.slow
def test_a_network_of_every_fold_is_made_where_it_is_asked_for(copied: Place) -> None:
    folder = "results/tiny/ecg/coord/reduced/all/seed42"
    assert rules_in(copied.planned(f"{folder}/model.pt")) == Counter(train_on_all=1)
    copied.run(f"{folder}/model.pt")
    assert {path.name for path in (copied.folder / folder).iterdir()} == RUN_FILES - {"predictions.csv"}
    folds = (copied.folder / "results/tiny/ecg/folds.csv").read_text().splitlines()[1:]
    seen = read_model(copied.folder / folder / "model.pt").metadata.training_groups
    assert seen == tuple(sorted({line.split(",")[1] for line in folds}))
    assert "Nothing to be done" in copied.run("--dry-run")


def test_an_edit_of_a_plotting_module_retrains_nothing(copied: Place) -> None:
    path = copied.repository / "siwcc" / "report" / "figures" / "curves.py"
    status = path.stat()
    path.touch()
    assert "Nothing to be done" in copied.run("--dry-run")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with edited(path, "\n# another remark\n"):
        assert rules_in(copied.planned()) == Counter(write_report=1)


def test_an_edit_concerns_what_imports_it_and_nothing_else(copied: Place) -> None:
    package = copied.repository / "siwcc"
    with edited(package / "data" / "augment" / "image.py", "\n# another remark\n"):
        assert "Nothing to be done" in copied.run("--dry-run")
    with edited(package / "io" / "errors.py", "\n# another remark\n"):
        everything = rules_in(copied.planned())
    assert everything["provide_raw"] == everything["extract_samples"] == everything["assign_folds"] == 1
    assert (everything["augment_fold"], everything["train_network"]) == (2, 4)
    with edited(package / "nn" / "paper_networks.py", "\n# another remark\n"):
        training = rules_in(copied.planned())
    assert training["train_network"] == 4
    assert not {"extract_samples", "assign_folds", "augment_fold", "predict_baseline"} & set(training)
    with edited(copied.repository / "workflow" / "scripts" / "predict_baseline.py", "\n# another remark\n"):
        baseline = rules_in(copied.planned())
    assert baseline["predict_baseline"] == len(baselines_of("signal"))
    assert not {"augment_fold", "train_network"} & set(baseline)


def test_other_epochs_retrain_all_and_augment_nothing(copied: Place) -> None:
    jobs = rules_in(copied.planned("--config", "train={epochs: 6}"))
    assert jobs["train_network"] == 4
    assert not {"provide_raw", "extract_samples", "assign_folds", "augment_fold", "predict_baseline"} & set(jobs)


def test_another_augmentation_augments_and_trains_anew(copied: Place) -> None:
    jobs = rules_in(copied.planned("--config", "tasks={ecg: {augmentation: {shift_s: 4.0}}}"))
    assert (jobs["augment_fold"], jobs["train_network"]) == (2, 4)
    assert jobs["predict_baseline"] == len(baselines_of("signal"))
    assert not {"provide_raw", "extract_samples", "assign_folds"} & set(jobs)


def test_more_encodings_and_seeds_keep_the_finished_runs(copied: Place) -> None:
    more = ["encodings=[none, coord, weighted]", "seeds=[42, 43]"]
    jobs = copied.planned("--config", *more)
    trained = {name for name in jobs if name.startswith("train_network")}
    assert len(trained) == 3 * 2 * 2 - 4
    assert not any(" 42 " in name and ("coord" in name or "weighted" in name) for name in trained)


# ------------------------------------------------------------- interruptions


def epochs_logged(log: Path) -> int:
    return len(re.findall(r": epoch \d+/", log.read_text())) if log.is_file() else 0


def wait_for_epochs(log: Path, count: int, process: subprocess.Popen[str]) -> None:
    give_up_at = time.monotonic() + HANGS_S
    while epochs_logged(log) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


# Kills all processes of a study once, after the third epoch of a run.
KILL = change_of_training(
    "_save_state",
    """
original(first, *rest)
killed = pathlib.Path("killed")
if len(first.log) == 3 and not killed.exists():
    killed.touch()
    os.killpg(0, signal.SIGKILL)
""",
)


def test_a_killed_run_goes_on_after_its_last_epoch_and_ends_in_the_same_bytes(finished: Place, copied: Place) -> None:
    place = changed_place(copied, KILL)
    shutil.rmtree(place.folder / ONE_RUN)
    target = f"{ONE_RUN}/log.csv"
    assert place.run(target, ok=False) is not None
    wait_until_nobody_works_in(place.folder)
    assert {path.name for path in (place.folder / ONE_RUN).iterdir()} == {STATE_NAME}
    assert "Error: Directory cannot be locked." in place.run(target, ok=False)
    assert unlock(place).returncode == 0
    place.run(target)
    log = place.folder / "logs/tiny/ecg/coord/reduced/fold1/seed42.log"
    assert "going on after epoch 3" in log.read_text()
    assert epochs_logged(log) == 2
    assert place.digests() == finished.digests()


@pytest.mark.slow
def test_a_run_that_was_done_and_not_yet_recorded_is_not_trained_again(finished: Place, copied: Place) -> None:
    """Snakemake deletes the files of a job whose end it has not recorded, and asks for them once more."""
    (copied.folder / ONE_RUN / "log.csv").unlink()
    copied.run(f"{ONE_RUN}/log.csv")
    log = copied.folder / "logs/tiny/ecg/coord/reduced/fold1/seed42.log"
    assert epochs_logged(log) == 5
    assert (copied.folder / ONE_RUN / STATE_NAME).is_file()
    # Its record as a kill before that moment leaves it.
    marks = copied.folder / ".snakemake" / "incomplete"
    marks.mkdir(exist_ok=True)
    for name in RUN_FILES:
        mark = base64.b64encode(f"{ONE_RUN}/{name}".encode()).decode()
        (marks / mark).write_text('{"external_jobid": null}')
    copied.run()
    assert "going on after epoch 5" in log.read_text()
    assert epochs_logged(log) == 0
    assert copied.digests() == finished.digests()
    # With the report the study is done, and nothing is kept to go on from.
    assert list(copied.folder.glob(f"results/**/{STATE_NAME}")) == []


@pytest.mark.slow
def test_the_folder_of_a_study_with_samples_of_its_own_is_released_with_its_own_config(copied: Place) -> None:
    # As if the set had another name: that of the paper's, whose labels these are not.
    protocol = json.loads((copied.folder / "data/samples/demo_ecg.protocol.json").read_text())
    (copied.folder / "data/samples/vfdb.protocol.json").write_text(json.dumps(protocol | {"event_labels": ["VT"]}))
    lock = copied.folder / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("results/tiny/report.html\n")
    overlay = ["--configfile", str(copied.repository / "resources/studies/tiny.yaml")]
    assert unlock(copied).returncode == 1
    assert lock.is_file()
    assert unlock(copied, *overlay).returncode == 0
    assert not lock.exists()


@pytest.mark.slow
def test_what_releases_the_folder_can_be_killed_itself(copied: Place) -> None:
    """A Snakemake that outlived it would be taken for a study that is running."""
    command = [sys.executable, str(copied.repository / "workflow" / "unlock.py")]
    process = subprocess.Popen(command, cwd=copied.folder, env=copied.environment(), stderr=subprocess.DEVNULL)
    seen = set()
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            whole = psutil.Process(process.pid)
            below = [child for child in whole.children() if "snakemake" in child.cmdline()[:4]]
            seen.add("snakemake" in whole.cmdline()[:4])
            # Snakemake itself has children that are copies of it for a moment.
            assert not below or "snakemake" in whole.cmdline()[:4]
        time.sleep(0.02)
    assert process.returncode == 0
    assert seen == {False, True}


# -------------------------------------------------------------- a local copy


def made_records(folder: Path, samples: int, repository: Path) -> Path:
    command = [sys.executable, "-m", "siwcc.cli.main", "demo-data", "--folder", str(folder), "--samples", str(samples)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(repository)})
    return folder


def with_records(place: Place, **datasets: Path) -> list[str]:
    """Arguments for a study on these folders of records; the first is the one that is used."""
    overlay = {
        "study": "mine",
        "run": ["ecg"],
        "folds": 2,
        "variants": ["reduced"],
        "tasks": {"ecg": {"dataset": next(iter(datasets)), "copies_per_sample": 2}},
        "datasets": {name: {"format": "vfdb", "path": str(path)} for name, path in datasets.items()},
        "train": {"epochs": 5, "device": "cpu"},
    }
    path = place.folder / "mine.yaml"
    path.write_text(yaml.safe_dump(overlay))
    return ["--configfile", str(path)]


def state_of(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    return {
        str(path): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.stat().st_ino,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }


@pytest.mark.slow
def test_a_forced_rerun_leaves_the_originals_as_they_are(empty: Place) -> None:
    records = made_records(empty.folder / "there" / "records", 2, empty.repository)
    for path in records.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    before = state_of(records)
    samples = "data/samples/mine.h5"
    arguments = with_records(empty, mine=records)
    empty.run(samples, *arguments, study=None)
    first = empty.digests("data")
    empty.run(samples, "--forceall", *arguments, study=None)
    empty.run("--delete-all-output", *arguments, study=None)
    empty.run(samples, *arguments, study=None)
    assert empty.digests("data") == first
    assert state_of(records) == before
    assert {path.name for path in (empty.folder / "data" / "raw").iterdir()} == {"mine.manifest.csv"}
    # A copy that moved is the same data.
    records.rename(empty.folder / "elsewhere")
    arguments = with_records(empty, mine=empty.folder / "elsewhere")
    assert "Nothing to be done" in empty.run("--dry-run", samples, *arguments, study=None)


def may_unshare() -> bool:
    command = shutil.which("unshare")
    return command is not None and subprocess.run([command, "-n", "true"], check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="this machine does not let a process be cut off from the network")
def test_no_network_is_touched_by_a_dry_run_or_with_a_local_copy(empty: Place) -> None:
    def run_alone(*arguments: str) -> str:
        done = subprocess.run(
            ["unshare", "-n", *empty.command(*arguments, study=None)],
            cwd=empty.folder,
            env={name: value for name, value in empty.environment().items() if "proxy" not in name},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    jobs = rules_in(planned_jobs(run_alone("--dry-run")))
    assert (jobs["provide_raw"], jobs["train_network"]) == (2, 40)
    records = made_records(empty.folder / "records", 1, empty.repository)
    before = state_of(records)
    run_alone("data/samples/mine.h5", *with_records(empty, mine=records))
    assert (empty.folder / "data" / "samples" / "mine.h5").is_file()
    assert state_of(records) == before


# ----------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train={epoch: 3}", "config: unknown key 'train.epoch', did you mean 'epochs'?"),
        pytest.param(
            "tasks={ecg: {augmentation: {lowpass_hz: [30, 130]}}}",
            "config: tasks.ecg.augmentation.lowpass_hz: ",
            marks=pytest.mark.slow,
        ),
        pytest.param("train={epochs: many}", "config: train.epochs: ", marks=pytest.mark.slow),
    ],
)
def test_a_slip_in_the_config_stops_before_any_job(empty: Place, change: str, said: str) -> None:
    output = empty.run("--config", change, ok=False)
    assert len([line for line in output.splitlines() if said in line]) == 1
    assert "Traceback" not in output
    assert "rule " not in output.replace("Snakefile rule", "")
    assert not (empty.folder / "data").exists()
    assert not (empty.folder / "results").exists()


@pytest.mark.slow
def test_too_many_folds_for_the_records_stop_in_the_folds_job(copied: Place) -> None:
    output = copied.run("--config", "folds=13", "folds_by=group", "study=other", ok=False)
    lines = error_lines(output)
    assert len(lines) == 1
    assert re.search(r"13 folds cannot be made of \d+ group\(s\)", lines[0])
    assert "Traceback" not in output
    files = {path.name for path in (copied.folder / "results/other").rglob("*") if path.is_file()}
    assert not {"folds.csv", "fold1.h5", "log.csv"} & files


def test_other_events_do_not_overwrite_the_samples(copied: Place) -> None:
    before = copied.digests("data")
    change = "datasets={demo_ecg: {event_labels: [VT]}}"
    output = copied.run("--config", change, ok=False)
    lines = [line for line in output.splitlines() if "demo_ecg.h5" in line]
    assert len(lines) == 1
    assert "was made with event_labels = ['VF'," in lines[0]
    assert "the config says ['VT']" in lines[0]
    assert "Traceback" not in output
    assert copied.digests("data") == before


@pytest.mark.slow
def test_samples_that_no_task_reads_are_not_overwritten_either(copied: Place) -> None:
    before = copied.digests("data")
    change = ("run=[nuclei]", "datasets={demo_ecg: {event_labels: [VT]}}")
    output = copied.run("data/samples/demo_ecg.h5", "--config", *change, ok=False)
    assert "demo_ecg.h5: was made with event_labels = ['VF'," in output
    assert "Traceback" not in output
    assert copied.digests("data") == before


def test_too_few_cores_for_the_threads_are_one_line(copied: Place) -> None:
    output = copied.run(f"{ONE_RUN}/log.csv", "--config", "train={threads: 2}", ok=False)
    assert error_lines(output) == [
        "error: train.threads: asks for 2 threads, only 1 core(s) are given; "
        "run with --cores 2 or more, or lower train.threads"
    ]


def test_damaged_records_are_one_line_each_and_leave_nothing(empty: Place) -> None:
    sound = made_records(empty.folder / "sound", 2, empty.repository)
    folders = {name: empty.folder / name for name in ("cut", "silent", "single", "bare", "changed")}
    for name, folder in folders.items():
        if name == "bare":
            folder.mkdir()
        else:
            shutil.copytree(sound, folder)
    signal_file = folders["cut"] / "demo02.dat"
    signal_file.write_bytes(signal_file.read_bytes()[:-1000])
    (folders["silent"] / "demo01.atr").unlink()
    header = folders["single"] / "demo01.hea"
    lines = header.read_text().splitlines()
    name, _, rest = lines[0].split(" ", 2)
    header.write_text("\n".join([f"{name} 1 {rest}", lines[1]]) + "\n")
    header = folders["changed"] / "demo02.hea"
    header.write_text(re.sub(r"(?m)^(demo02 2 250) (\d+)", lambda m: f"{m[1]} {int(m[2]) + 7}", header.read_text()))

    arguments = with_records(empty, **folders)
    output = empty.run(*[f"data/samples/{name}.h5" for name in folders], *arguments, study=None, ok=False)
    lines = error_lines(output)
    assert len(lines) == len(folders), output
    for path in ("cut/demo02.dat", "silent/demo01.atr", "single/demo01.hea", "bare", "changed/demo02.dat"):
        assert len([line for line in lines if f"{empty.folder}/{path}: " in line]) == 1, lines
    assert "Traceback" not in output
    assert [path for path in (empty.folder / "data").rglob("*") if path.is_file() and path.suffix != ".tsv"] == []


def test_manifests_hold_the_sums_of_what_lies_there(finished: Place) -> None:
    study = finished.folder / "results" / "tiny"
    listed = {}
    for path in [*study.rglob("*.manifest.json"), *study.rglob("manifest.json")]:
        outputs = json.loads(path.read_text())["outputs"]
        assert outputs == {name: hashlib.sha256((path.parent / name).read_bytes()).hexdigest() for name in outputs}
        listed |= {(path.parent / name).relative_to(study).as_posix(): path.name for name in outputs}
    runs = [f"ecg/{arm}/reduced/fold{fold}/seed42" for arm in ARMS for fold in (1, 2)]
    expected = {f"{run}/{name}": "manifest.json" for run in runs for name in RUN_FILES - {"manifest.json"}}
    expected |= {f"ecg/baselines/{name}/predictions.csv": "manifest.json" for name in baselines_of("signal")}
    expected |= {f"ecg/{name}.csv": "manifest.json" for name in ("folds", "strata")}
    tables = [path.stem for path in (study / "stats").glob("*.csv")]
    assert {"comparisons", "errors", "records", "variance"} <= set(tables)
    assert listed == expected | {f"stats/{name}.csv": f"{name}.manifest.json" for name in tables}


# -------------------------------------------------------------------- distrust

# Puts a NaN into one signal of one run, after all that reads and checks files.
SPOIL = change_of_training(
    "_open_run",
    """
run = original(first, *rest)
if (first.encoding, first.fold) == ("weighted", 1):
    run.train.inputs.signal[5, 0, 7] = float("nan")
return run
""",
)


@pytest.mark.slow
def test_a_nan_stops_its_run_alone_and_the_report_says_so(finished: Place, copied: Place) -> None:
    spoilt = changed_place(copied, SPOIL)
    runs = copied.folder / "results" / "tiny" / "ecg"
    for arm in ARMS:
        shutil.rmtree(runs / arm / "reduced" / "fold1")
    output = spoilt.run(ok=False)
    lines = error_lines(output)
    assert len(lines) == 1, output
    assert lines[0].startswith(
        "error: ecg weighted reduced fold 1 seed 42: epoch 1, training set: the signal or target"
    )
    assert re.search(r"of demo\d\d_\d{7} \(copy [12]\) holds a value that is not finite; repair or", lines[0])
    assert "Traceback" not in output
    # The other run has been made, and there is nothing where the spoilt one would be.
    expected = finished.digests("results/tiny/ecg/coord")
    assert copied.digests("results/tiny/ecg/coord") == expected
    assert list((runs / "weighted" / "reduced").glob("fold1/seed42/*")) == []
    assert describe_missing(open_study(runs.parent)) == ["NimeshaNet, reduced pool, weighted coordinates: fold 1"]
    copied.run("results/tiny/ecg/weighted/reduced/fold1/seed42/log.csv")
    assert copied.digests("results/tiny/ecg") == finished.digests("results/tiny/ecg")


ODD_NAME = '-o\'dd "nämé" $HOME; `true` %s & #x'


@pytest.mark.slow
def test_names_of_folders_are_only_names(empty: Place) -> None:
    """The working directory, and a folder of records in it, with what a shell or an option parser would act on."""
    place = Place(empty.repository, empty.folder / ODD_NAME)
    place.folder.mkdir()
    records = made_records(place.folder / ODD_NAME, 2, empty.repository)
    # Relative, so that it starts with the dash.
    arguments = with_records(place, odd=Path(records.name))
    assert rules_in(place.planned("data/samples/odd.h5", *arguments, study=None)) == {
        "provide_raw": 1,
        "extract_samples": 1,
    }
    place.run("data/samples/odd.h5", *arguments, study=None)
    plain = Place(empty.repository, empty.folder / "plain")
    plain.folder.mkdir()
    plain.run("data/samples/odd.h5", *with_records(plain, odd=records), study=None)
    assert place.digests("data/samples") == plain.digests("data/samples")
    assert {path.name for path in place.folder.iterdir()} >= {ODD_NAME, "data", "logs"}


@pytest.mark.parametrize(
    "content",
    [b'{"rate_hz": ', *(pytest.param(each, marks=pytest.mark.slow) for each in (b"[]", b"\xff\xfe", b"", b"9"))],
)
def test_a_damaged_protocol_is_one_line(copied: Place, content: bytes) -> None:
    (copied.folder / "data" / "samples" / "demo_ecg.protocol.json").write_bytes(content)
    output = copied.run("--dry-run", ok=False)
    assert len([line for line in output.splitlines() if "demo_ecg.protocol.json: " in line]) == 1, output
    assert "delete data/samples/demo_ecg.*" in output
    assert "Traceback" not in output
