"""The comparison with landmarker: the cells that it is given, and the table. One slow test needs landmarker itself."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_study import copied_study, made_config, write_study
from places import HANGS_S, REPOSITORY
from tolerances import FLOAT32, assert_same

from benchmarks.peers.__main__ import main
from benchmarks.peers.cells import Cells, moved, read_cells
from benchmarks.peers.study import export_cells, image_task, job_seconds, original_predictions, parameters_of
from benchmarks.peers.table import Side, compare
from siwcc.data.augment.image import Affine, affine_matrix
from siwcc.data.augment.interface import augment_module
from siwcc.data.tasks.interface import ErrorLimits
from siwcc.io.errors import InputError
from siwcc.io.files import write_text
from siwcc.io.run_key import RunKey
from siwcc.report.study import Study

KEYS = [RunKey("nuclei", "coord", "full", fold, 42) for fold in (1, 2)]
PEER_PYTHON = REPOSITORY / ".venv-peers/bin/python"

# In place of the peer's Python: off by (3, 4) px everywhere. Each start is a line in `starts.txt`.
FAKE_PEER = """#!{python}
import argparse, hashlib, json, pathlib, sys
sys.path.insert(0, {repository!r})
from benchmarks.peers.cells import read_cells
parser = argparse.ArgumentParser()
parser.add_argument("-m")
parser.add_argument("cells", type=pathlib.Path)
parser.add_argument("--fold", type=int)
parser.add_argument("--budget", type=float)
parser.add_argument("--out", type=pathlib.Path)
given = parser.parse_args()
with pathlib.Path(__file__).with_name("starts.txt").open("a") as stream:
    print(given.fold, given.budget, file=stream)
cells = read_cells(given.cells)
given.out.mkdir(parents=True, exist_ok=True)
lines = ["sample_id,copy,target_x,target_y,prediction_x,prediction_y"]
for row in range(len(cells.fold)):
    if cells.fold[row] == given.fold:
        x, y = cells.target[row]
        lines.insert(1, f"{{cells.sample_id[row]}},0,{{x}},{{y}},{{x + 3}},{{y + 4}}")
(given.out / "predictions.csv").write_text("\\n".join(lines) + "\\n")
facts = {{"cells": hashlib.sha256(given.cells.read_bytes()).hexdigest(), "fold": given.fold, "budget_s": given.budget}}
recipe = pathlib.Path({repository!r}) / "benchmarks/peers/landmarker_run.py"
facts["recipe"] = hashlib.sha256(recipe.read_bytes()).hexdigest()
facts |= {{"steps": 7, "training_cpu_s": 10.0 * given.fold, "cpu_s": 20.0 * given.fold, "parameters": 121568}}
(given.out / "run.json").write_text(json.dumps(facts | {{"landmarker": "0.4.1", "torch": "2.13.0"}}))
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two folds of synthetic cells with mirrored borders; predictions are off by 0.1 px in x and y times the row."""
    task = {"dataset": "synthetic", "copies_per_sample": 2, "border": "reflect"}
    return write_study(tmp_path_factory.mktemp("peers"), made_config("nuclei", tasks={"nuclei": task}))


@pytest.fixture(scope="module")
def cells(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    path = tmp_path_factory.mktemp("export") / "cells.npz"
    exported = export_cells(study, image_task(study), path)
    found = read_cells(path)
    for name, values in vars(exported).items():
        np.testing.assert_array_equal(getattr(found, name), values)
    return found


@pytest.fixture
def fake_peer(tmp_path: Path) -> Path:
    path = tmp_path / "python"
    path.write_text(FAKE_PEER.format(python=sys.executable, repository=str(REPOSITORY)))
    path.chmod(0o755)
    return path


# ------------------------------------------------------------------- the cells


@pytest.mark.numeric
def test_exported_cells_and_their_copies_are_those_of_our_folds(study: Study, cells: Cells) -> None:
    for fold, path in enumerate(study.fold_paths("nuclei"), 1):
        inputs = augment_module("image").open_inputs([path], study.samples_path("nuclei"), augmented_only=False)
        batch = inputs.batch(np.arange(len(inputs.copy)), "none").numpy()
        rows = np.flatnonzero(cells.fold == fold)
        original = inputs.copy == 0
        assert cells.sample_id[rows].tolist() == inputs.sample_id[original].tolist()
        assert cells.group[rows].tolist() == inputs.group[original].tolist()
        assert_same(cells.target[rows], inputs.target[original], FLOAT32)
        assert_same(cells.originals(rows), batch[original], FLOAT32)
        row_of = {sample_id: row for row, sample_id in enumerate(cells.sample_id)}
        for number in np.flatnonzero(~original):
            row = row_of[inputs.sample_id[number]]
            drawn = (inputs.rows[name][number] for name in ("translation", "rotation_deg", "scale"))
            matrix = affine_matrix(Affine(*drawn), cells.shape)
            assert_same(cells.warped(row, matrix).transpose(2, 0, 1), batch[number], FLOAT32)
            assert_same(moved(matrix, cells.target[row]), inputs.target[number], FLOAT32)


def test_copies_are_drawn_from_the_ranges_with_the_target_in_the_frame(cells: Cells) -> None:
    # At the edge of the image about half of all draws must be repeated.
    edge = replace(cells, target=np.full_like(cells.target, 0.5))
    rng = np.random.default_rng(0)
    matrices = np.stack([edge.draw_matrix(0, rng) for _ in range(400)])
    targets = np.stack([moved(matrix, edge.target[0]) for matrix in matrices])
    assert targets.min() >= 0
    assert targets.max() <= 63
    matrices = np.stack([cells.draw_matrix(0, rng) for _ in range(400)])
    scale = np.sqrt(np.linalg.det(matrices[:, :, :2]))
    rotation_deg = np.degrees(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    # The centre of the image moves by the translation alone, 20 px at 256 px.
    shift_px = matrices @ np.array([32.0, 32.0, 1.0]) - 32
    for values, low, high in ((scale, 0.75, 1.25), (rotation_deg, -20, 20), (shift_px, -5, 5)):
        margin = 0.05 * (high - low)
        assert low - 1e-9 <= values.min() < low + margin
        assert high - margin < values.max() <= high + 1e-9


def test_a_batch_of_copies_has_an_own_matrix_for_each_cell(cells: Cells) -> None:
    images, targets = cells.copies(np.array([0, 0, 1]), np.random.default_rng(5))
    assert (images.shape, images.dtype, targets.shape) == ((3, 3, 64, 64), np.float32, (3, 2))
    rng = np.random.default_rng(5)
    for image, target, row in zip(images, targets, (0, 0, 1), strict=True):
        matrix = cells.draw_matrix(row, rng)
        np.testing.assert_array_equal(image, cells.warped(row, matrix).transpose(2, 0, 1))
        np.testing.assert_array_equal(target, moved(matrix, cells.target[row]))
    assert not np.array_equal(targets[0], targets[1])


def test_a_study_without_mirrored_borders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        image_task(Study(tmp_path, tmp_path, made_config("nuclei")))
    assert caught.value.where == str(tmp_path / "config.json")


# ------------------------------------------------------------------- the table


def test_the_table_by_hand() -> None:
    ours = Side("siwcc", "none/unet", np.array([1.0, 2.0, 3.0, 4.0]), parameters=5)
    peer = Side("landmarker", "net", np.array([2.0, 2.0, 2.0, 10.0]), cpu_s=8.0)
    group = np.array(["a", "a", "b", "b"], dtype=object)
    own, other, difference = compare(ours, peer, group, ErrorLimits("px", 2.0, 4.0), 2, 130.0)
    # Linear percentiles: 90 % lies 2.7 steps after the first of four.
    assert (own.median, own.p90, own.mean) == pytest.approx((2.5, 3.7, 2.5))
    assert (other.median, other.p90, other.mean) == pytest.approx((2.0, 7.6, 4.0))
    assert (own.within_fine, own.within_coarse, other.within_fine, other.within_coarse) == (0.5, 1.0, 0.75, 0.75)
    assert (difference.median, difference.p90, difference.mean) == pytest.approx((0.5, -3.9, -1.5))
    assert (difference.within_fine, difference.within_coarse) == (-0.25, 0.25)
    # A quarter of the draws has group a twice, mean difference (-1 + 0) / 2, another b twice, (1 - 6) / 2.
    assert (difference.mean_low, difference.mean_high) == pytest.approx((-2.5, -0.5))
    assert (own.parameters, own.cpu_s, other.cpu_s, difference.cpu_s) == (5, None, 8.0, None)
    assert {(line.samples, line.groups, line.folds) for line in (own, other, difference)} == {(4, 2, 2)}


def test_predictions_of_other_cells_are_refused(study: Study, cells: Cells) -> None:
    paths = [study.layout.predictions(key) for key in KEYS]
    assert original_predictions(paths, cells, [1, 2]).sample_id.tolist() == cells.sample_id.tolist()
    with pytest.raises(InputError) as caught:
        original_predictions(paths, cells, [2, 1])
    assert caught.value.where == str(paths[0])


def test_costs_of_our_runs_are_read_where_they_were_recorded(study: Study, tmp_path: Path) -> None:
    changed = copied_study(study, tmp_path)
    paths = [changed.layout.benchmark(f"nuclei/coord/full/fold{fold}", "seed42") for fold in (1, 2)]
    write_text(paths[0], "s\th:m:s\tcpu_time\n9\t0:00:09\t7\n60\t0:01:00\t50\n")
    assert job_seconds(changed, KEYS) == (None, None)
    write_text(paths[1], "s\th:m:s\tcpu_time\n80\t0:01:20\tNA\n")
    assert job_seconds(changed, KEYS) == (None, 70.0)
    write_text(paths[1], "s\th:m:s\tcpu_time\n80\t0:01:20\t70\n")
    assert job_seconds(changed, KEYS) == (60.0, 70.0)
    assert parameters_of(changed, KEYS[0]) is None


# ------------------------------------------------------------------ the command


def test_the_command_trains_missing_folds_only_and_writes_the_table(
    study: Study, cells: Cells, fake_peer: Path, tmp_path: Path
) -> None:
    out, starts = tmp_path / "out", tmp_path / "starts.txt"
    command = ["--study", str(study.folder), "--encoding", "coord", "--variant", "full", "--python", str(fake_peer)]
    command += ["--budget", "130", "--out", str(out)]
    assert main([*command, "--folds", "2"]) == 0
    assert main(command) == 0
    assert starts.read_text().split("\n")[:-1] == ["2 130.0", "1 130.0"]
    with (out / "130s/coord_full.csv").open() as stream:
        own, other, difference = csv.DictReader(stream)
    # Every third row of a fold is an original; row n is off by 0.1 n in x and y.
    count = [int((cells.fold == fold).sum()) for fold in (1, 2)]
    errors = np.concatenate([0.1 * np.sqrt(2) * 3 * np.arange(number) for number in count])
    assert float(own["median"]) == pytest.approx(np.median(errors), rel=1e-4)
    assert float(other["median"]) == pytest.approx(5)
    assert float(difference["mean"]) == pytest.approx(errors.mean() - 5, rel=1e-4)
    assert (float(other["cpu_s"]), float(other["training_cpu_s"]), other["parameters"]) == (30, 15, "121568")
    assert (own["cpu_s"], int(own["samples"]), own["folds"]) == ("", sum(count), "2")
    table = (out / "130s/coord_full.md").read_text()
    assert len([line for line in table.splitlines() if line.startswith("|")]) == 10
    # A run of other cells or another recipe is not that of this study, nor is a damaged one.
    facts = out / "130s/fold1/run.json"
    good = facts.read_text()
    for changed in (*(json.dumps(json.loads(good) | {name: "0" * 64}) for name in ("cells", "recipe")), good[:9]):
        facts.write_text(changed)
        assert main(command) == 0
    assert starts.read_text().split("\n")[:-1] == ["2 130.0", *["1 130.0"] * 4]


def test_missing_predictions_are_named_before_anything_is_trained(
    study: Study, fake_peer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--study", str(study.folder), "--python", str(fake_peer), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    missing = study.layout.predictions(RunKey("nuclei", "none", "unet", 1, 42))
    assert capsys.readouterr().err.startswith(f"{missing}: ")
    assert not (tmp_path / "starts.txt").exists()
    assert main(["--study", str(tmp_path / "absent")]) == 1


def test_a_peer_that_cannot_be_started_is_one_line(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--study", str(study.folder), "--encoding", "coord", "--variant", "full", "--out", str(tmp_path)]
    assert main([*command, "--python", str(tmp_path / "absent")]) == 1
    assert capsys.readouterr().err.splitlines()[0].startswith(f"{tmp_path / 'absent'}: ")


@pytest.mark.slow
def test_landmarker_trains_within_its_budget(study: Study, cells: Cells, tmp_path: Path) -> None:
    if not PEER_PYTHON.is_file():
        pytest.skip("landmarker is not installed: `make bench-peers` sets its environment up")
    export_cells(study, image_task(study), tmp_path / "cells.npz")
    options = ["--fold", "2", "--budget", "5", "--out", str(tmp_path / "fold2")]
    command = [str(PEER_PYTHON), "-m", "benchmarks.peers.landmarker_run", str(tmp_path / "cells.npz"), *options]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=HANGS_S)
    facts = json.loads((tmp_path / "fold2/run.json").read_text())
    assert facts["parameters"] == 121_568
    assert facts["steps"] > 10
    # Other work on the machine makes a step longer than the timed ones were.
    assert facts["training_cpu_s"] == pytest.approx(5, rel=0.5)
    predictions = original_predictions([tmp_path / "fold2/predictions.csv"], cells, [2])
    assert np.isfinite(predictions.error()).all()
