"""`siwcc train`: what is checked before training, the study that it runs, and a small one from end to end."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from made_models import waves, write_record
from places import HANGS_S, REPOSITORY
from refusals import refused

import siwcc
from siwcc.cli import main as cli
from siwcc.cli import train
from siwcc.cli.train_data import DataOptions, open_data
from siwcc.config import OnlineAugmentation
from siwcc.data.datasets.synthetic.write import write_synthetic
from siwcc.evaluation.accuracy_summary import BaselineTest
from siwcc.evaluation.bootstrap import Interval


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Two patients with three events in two CSV recordings of 40 s, two leads, 50 Hz."""
    folder = tmp_path / "records"
    folder.mkdir()
    for name in ("a", "b"):
        np.savetxt(folder / f"{name}.csv", waves(2000).T, delimiter=",", fmt="%.3f")
    (folder / "samples.csv").write_text("file,time_s,group\na.csv,10,p1\na.csv,30,p1\nb.csv,20,p2\n")
    return folder


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Three WFDB records; the rhythm becomes VT in two of them, and AFIB in one."""
    folder = tmp_path / "wfdb"
    folder.mkdir()
    write_record(folder, "r1", waves(2000), changes=[(0, "N"), (500, "VT"), (900, "N"), (1500, "VT")])
    write_record(folder, "r2", waves(2000), changes=[(0, "N"), (700, "VT")])
    write_record(folder, "r3", waves(2000), changes=[(0, "N"), (700, "AFIB")])
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    lines = ["file,x,y,group"]
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((40, 60, 3), number, dtype=np.uint8))
        lines.append(f"{number}.png,20,10,slide{number // 2}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    return folder


def options(data: Path, *words: str) -> argparse.Namespace:
    return cli._parser().parse_args(["train", str(data), "--out", str(data.parent / "model"), *words])


# -------------------------------------------------------------------- data


def test_a_table_of_recordings_is_counted(records: Path) -> None:
    data = open_data(records, DataOptions(rate_hz=50))
    assert (data.section.kind, data.files, data.rows, data.groups) == ("signal", 2, 3, 2)
    assert (data.section.leads, data.section.csv_rate_hz, data.section.path) == ((1, 2), 50, records)
    assert data.example == records / "a.csv"
    assert open_data(records / "samples.csv", DataOptions(rate_hz=50)) == data


def test_the_leads_are_those_that_every_recording_has(records: Path) -> None:
    np.savetxt(records / "b.csv", waves(2000, leads=1).T, delimiter=",", fmt="%.3f")
    assert open_data(records, DataOptions(rate_hz=50)).section.leads == (1,)
    assert open_data(records, DataOptions(rate_hz=50, leads=[1])).section.leads == (1,)
    with refused(records / "b.csv", "1 lead(s)", "lead 2", remedy="--leads"):
        open_data(records, DataOptions(rate_hz=50, leads=[1, 2]))


def test_recordings_with_times_need_no_rate(records: Path) -> None:
    for name in ("a", "b"):
        lines = (records / f"{name}.csv").read_text().splitlines()
        timed = [f"{row / 50:.2f},{line}" for row, line in enumerate(lines)]
        (records / f"{name}.csv").write_text("\n".join(["time_s,I,II", *timed]) + "\n")
    data = open_data(records, DataOptions())
    assert (data.section.csv_rate_hz, data.section.leads) == (None, (1, 2))


def test_a_table_of_images_is_counted(images: Path) -> None:
    data = open_data(images, DataOptions())
    assert (data.section.kind, data.files, data.rows, data.groups) == ("image", 4, 4, 2)
    assert data.section.image_size == 128
    assert open_data(images, DataOptions(usual_image_size=64)).section.image_size == 64
    assert open_data(images, DataOptions(image_size=32, usual_image_size=64)).section.image_size == 32


def test_annotated_records_are_counted_with_their_labels(annotated: Path) -> None:
    data = open_data(annotated, DataOptions())
    assert (data.section.format, data.files, data.rows, data.groups) == ("vfdb", 2, 3, 2)
    data = open_data(annotated, DataOptions(labels=["AFIB", "VT"]))
    assert (data.section.event_labels, data.rows, data.groups) == (("AFIB", "VT"), 4, 3)


# ---------------------------------------------------------------- refusals


def rename_column(folder: Path) -> None:
    path = folder / "samples.csv"
    path.write_text(path.read_text().replace("time_s", "times"))


def test_an_unusable_table_is_one_line(records: Path, images: Path, tmp_path: Path) -> None:
    with refused(records / "a.csv", "sampling rate", remedy="--rate"):
        open_data(records, DataOptions())
    with refused("--labels", "table", remedy=None):
        open_data(records, DataOptions(labels=["VT"], rate_hz=50))
    with refused("--rate", "images", remedy=None):
        open_data(images, DataOptions(rate_hz=50))
    rename_column(records)
    with refused(records / "samples.csv", "'times'", "'time_s'", remedy=None):
        open_data(records, DataOptions(rate_hz=50))
    (records / "samples.csv").write_text("file,time_s\nc.csv,3\n")
    with refused(records / "samples.csv", "row 2", "c.csv", remedy=None):
        open_data(records, DataOptions(rate_hz=50))
    (records / "samples.csv").write_text("file,time_s,x,y\na.csv,3,1,1\n")
    with refused(records / "samples.csv", remedy="--task"):
        open_data(records, DataOptions(rate_hz=50))
    (records / "samples.csv").rename(records / "events.csv")
    with refused(records, "samples.csv", remedy="events.csv"):
        open_data(records, DataOptions(rate_hz=50))
    (records / "events.csv").unlink()
    with refused(records, "2 CSV(s)", remedy="file, time_s"):
        open_data(records, DataOptions(rate_hz=50))
    (images / "samples.csv").unlink()
    with refused(images, "4 image(s)", remedy="file, x, y"):
        open_data(images, DataOptions())
    with refused(tmp_path / "absent", "does not exist", remedy="samples.csv"):
        open_data(tmp_path / "absent", DataOptions())


def test_unusable_annotations_are_one_line(annotated: Path) -> None:
    with refused("--labels", "'AFIBB'", remedy="'AFIB'"):
        open_data(annotated, DataOptions(labels=["AFIBB"]))
    (annotated / "r1.atr").unlink()
    with refused(annotated / "r1.atr", remedy=None):
        open_data(annotated, DataOptions())
    for name in ("r1", "r2"):
        for path in annotated.glob(f"{name}.*"):
            path.unlink()
    with refused(annotated, "no event", remedy="AFIB (1)"):
        open_data(annotated, DataOptions())


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["--folds", "1"], "--folds"),
        (["--epochs", "0"], "--epochs"),
        (["--cores", "0"], "--cores"),
        (["--seed", "-1"], "--seed"),
        (["--rate", "0"], "--rate"),
        (["--leads", "1", "1"], "--leads"),
        (["--leads", "0"], "--leads"),
        (["--leads", "65"], "--leads"),
        (["--image-size", "50"], "--image-size"),
        (["--out", "model.pt"], "--out"),
        (["--out", "."], "--out"),
    ],
)
def test_an_impossible_option_is_named(records: Path, words: list[str], where: str) -> None:
    with refused(where, remedy=None):
        train.prepare(options(records, "--rate", "50", "--folds", "2", *words))
    assert sorted(path.name for path in records.parent.iterdir()) == ["records"]


def test_too_few_groups_are_refused_with_the_number_that_is_possible(records: Path, annotated: Path) -> None:
    with refused(records, "2 group(s)", "5 folds", remedy="--folds 2"):
        train.prepare(options(records, "--rate", "50"))
    with refused(annotated, "2 record(s)", remedy="--folds 2"):
        train.prepare(options(annotated))
    (records / "samples.csv").write_text("file,time_s,group\na.csv,10,p1\nb.csv,20,p1\n")
    with refused(records, "1 group(s)", remedy="group"):
        train.prepare(options(records, "--rate", "50"))
    with refused(annotated, "1 record(s)", remedy="--labels"):
        train.prepare(options(annotated, "--labels", "AFIB"))


def test_without_the_repository_or_the_extra_it_says_so(records: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(train, "find_spec", lambda name: None)
    assert cli.main(["train", str(records), "--out", str(records.parent / "m"), "--rate", "50"]) == 1
    assert "siwcc[study]" in capsys.readouterr().err
    monkeypatch.setattr(siwcc, "__file__", str(records / "siwcc" / "__init__.py"))
    with refused("siwcc train", remedy="git clone"):
        train.prepare(options(records, "--rate", "50"))


# -------------------------------------------------------------------- study


def test_the_study_is_the_preset_with_the_users_data(records: Path, images: Path) -> None:
    words = ["--rate", "50", "--folds", "2", "--seed", "7"]
    config = train.prepare(options(records, *words)).config
    assert (config.run, config.folds, config.folds_by, config.seed, config.seeds) == (("ecg",), 2, "group", 7, (7,))
    assert (config.encodings, config.variants, config.comparisons) == (("none",), ("heatmap",), ())
    assert (config.tasks["ecg"].shift, config.tasks["ecg"].copies_per_sample) == ("rewindow", 100)
    assert config.train.of("heatmap").epochs == 4
    chosen = train.prepare(options(images, "--folds", "2", "--epochs", "3", "--work", str(images.parent / "w"))).config
    assert (chosen.tasks["nuclei"].border, chosen.tasks["nuclei"].copies_per_sample) == ("reflect", 4)
    assert (chosen.variants, chosen.train.scored_epochs) == (("unet",), "last")
    recipe = chosen.train.of("unet")
    assert (recipe.epochs, recipe.new_copies, recipe.online_augmentation) == (3, True, OnlineAugmentation())
    assert chosen.dataset_of("nuclei").image_size == 128


def test_a_trial_has_fewer_copies_and_epochs(records: Path, images: Path) -> None:
    quick = train.prepare(options(records, "--rate", "50", "--folds", "2", "--quick")).config
    assert (quick.tasks["ecg"].copies_per_sample, quick.train.of("heatmap").epochs) == (20, 2)
    quick = train.prepare(options(images, "--folds", "2", "--quick", "--work", str(images.parent / "w"))).config
    assert (quick.dataset_of("nuclei").image_size, quick.train.of("unet").epochs) == (64, 3)


def test_the_same_command_resumes_and_another_is_refused(records: Path) -> None:
    words = ["--rate", "50", "--folds", "2"]
    train.prepare(options(records, *words, "--epochs", "9"))
    # Nothing is made yet.
    first = train.prepare(options(records, *words))
    assert first.work == records.parent / "model.work"
    samples = first.samples.samples("data")
    samples.parent.mkdir(parents=True)
    samples.touch()
    written = (first.work / "study.yaml").read_bytes()
    assert train.prepare(options(records, *words, "--cores", "1")) == first
    for more in (["--epochs", "2"], ["--seed", "1"], ["--quick"]):
        with refused(first.work, "other options", remedy="--out"):
            train.prepare(options(records, *words, *more))
    assert (first.work / "study.yaml").read_bytes() == written


def test_models_and_folders_of_others_are_not_touched(records: Path) -> None:
    out, words = records.parent / "model", ["--rate", "50", "--folds", "2"]
    out.mkdir()
    (out / "fold1.pt").write_bytes(b"other")
    with refused(out, "another training", remedy="--out"):
        train.prepare(options(records, *words))
    (out / "fold1.pt").rename(out / "fold3.pt")
    with refused(out / "fold3.pt", remedy=None):
        train.prepare(options(records, *words))
    (out / "fold3.pt").rename(out / "notes.txt")
    with refused(out, remedy="--out"):
        train.prepare(options(records, *words))
    (out / "notes.txt").unlink()
    work = out.with_name("model.work")
    work.mkdir()
    (work / "notes.txt").write_text("mine")
    with refused(work, "study.yaml", remedy="--out"):
        train.prepare(options(records, *words))


def test_nothing_is_written_into_the_folder_of_the_data(records: Path) -> None:
    words = ["--rate", "50", "--folds", "2"]
    before = sorted(records.rglob("*"))
    for more, where in (["--out", str(records / "m")], "--out"), (["--work", str(records)], "--work"):
        with refused(where, remedy="elsewhere"):
            train.prepare(options(records, *words, *more))
    assert sorted(records.rglob("*")) == before


def test_a_baseline_that_is_not_beaten_is_said(capsys) -> None:
    better = BaselineTest("centre", 1.0, 3.0, Interval(-2.0, -3.0, -1.0), "s")
    equal = BaselineTest("change_point", 1.0, 1.5, Interval(-0.5, -1.25, 0.25), "s")
    assert list(train._verdict_lines([better])) == []
    (line,) = train._verdict_lines([better, equal])
    assert "change point" in line
    assert "centre" not in line
    assert re.findall(r"-?\d+\.\d+", line) == ["1.00", "1.50", "-0.50", "-1.25", "0.25"]


# --------------------------------------------------------------- end to end


TRAIN = ("train", "data", "--out", "model", "--rate", "250", "--folds", "2", "--epochs", "1", "--quick")


def siwcc_train(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "siwcc.cli.main", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS_S,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Four synthetic recordings, two folds, one epoch; and what the command printed."""
    folder = tmp_path_factory.mktemp("train")
    write_synthetic("signal", folder / "data", 4, 42, "folder")
    done = siwcc_train(folder, *TRAIN)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.slow
def test_a_folder_becomes_models_that_predict(trained) -> None:
    folder, done = trained
    names = {path.name for path in (folder / "model").iterdir()}
    assert names >= {"fold1.pt", "fold2.pt", "calibration.json", "errors.csv", "errors_by_stratum.csv"}
    (command,) = [line.strip() for line in done.stdout.splitlines() if line.startswith("  siwcc predict")]
    predicted = siwcc_train(folder, *shlex.split(command)[1:], "--at", "30", "--format", "json")
    assert predicted.returncode == 0, predicted.stderr
    (row,) = json.loads(predicted.stdout)
    assert row["models"] == 2


@pytest.mark.slow
def test_the_counts_and_errors_are_those_of_the_files(trained) -> None:
    folder, done = trained
    with (folder / "data" / "samples.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    study = folder / "model.work" / "results" / "train"
    first = done.stdout.splitlines()[0]
    counts = [len(table), len({row["file"] for row in table}), len({row["group"] for row in table}), 2]
    assert list(map(int, re.findall(r"\d+", first))) == counts
    errors = []
    for path in sorted((study / "ecg/none/heatmap").glob("fold*/seed42/predictions.csv")):
        with path.open(newline="") as handle:
            rows = [row for row in csv.DictReader(handle) if row["copy"] != "0"]
        errors += [abs(float(row["target"]) - float(row["prediction"])) for row in rows]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  networks")]
    median, *_ = re.findall(r"(\d+\.\d+) \[", line)
    assert float(median) == pytest.approx(np.median(errors), abs=0.00501)
    assert "baseline training mean" in done.stdout
    assert "gap oracle" not in done.stdout


@pytest.mark.slow
def test_the_same_command_has_nothing_left_to_train(trained) -> None:
    folder, first = trained
    before = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    shutil.rmtree(folder / "model")
    again = siwcc_train(folder, *TRAIN)
    assert again.returncode == 0, again.stderr
    assert "train network" not in again.stderr
    assert {path.name: path.read_bytes() for path in (folder / "model").iterdir()} == before
    assert yaml.safe_load((folder / "model.work" / "study.yaml").read_text())["folds"] == 2
    # The last lines give sizes.
    assert again.stdout.splitlines()[:10] == first.stdout.splitlines()[:10]


@pytest.mark.slow
def test_a_folder_that_a_killed_process_has_locked_is_released(trained) -> None:
    folder, first = trained
    work = folder / "model.work"
    errors = work / "results" / "train" / "stats" / "errors.csv"
    before = errors.read_bytes()
    errors.unlink()
    lock = work / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("results/train/stats/errors.csv\n")
    again = siwcc_train(folder, *TRAIN)
    assert again.returncode == 0, again.stderr
    assert errors.read_bytes() == before
    assert not lock.exists()
    assert again.stdout.splitlines()[:10] == first.stdout.splitlines()[:10]
