"""Reading fold files of either kind of task: the checks that both share, and what a copy is drawn from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from siwcc.data.augment.interface import copy_rng, gaps_s, read_folds
from siwcc.data.tasks.interface import TaskSpec
from siwcc.io.shards import shard_writer

SPECS = {
    "signal": TaskSpec("rhythm", "nimesha", ("",), "s", 2, (500,), (19.96,), 20.0).to_json(),
    "image": TaskSpec("cells", "lakshya", ("_x", "_y"), "px", 3, (64, 64), (63.0, 63.0), 63.0).to_json(),
}
WIDER = SPECS["image"].replace("63.0", "127.0")
ATTRIBUTES = {"task": "mine", "seed": 42, "dataset": "cells", "samples_digest": "ab", "protocol": {"scale": 2}}


def write(path: Path, fold: int, ids: list[str], kind: str = "image", **changed: object) -> Path:
    with shard_writer(path, "fold", ATTRIBUTES | {"spec": SPECS[kind], "fold": fold} | changed) as writer:
        writer.extend({"sample_id": np.array(ids, dtype=object), "target": np.arange(len(ids))})
    return path


@pytest.mark.parametrize("kind", ["signal", "image"])
def test_folds_come_in_the_order_asked_for(tmp_path, kind):
    paths = [write(tmp_path / f"fold{fold}.h5", fold, [f"s{fold}"] * 2, kind) for fold in (12, 3)]
    folds = list(read_folds(paths, kind, ("target",)))
    assert [fold.path for fold in folds] == paths
    assert [fold.arrays["sample_id"].tolist() for fold in folds] == [["s12", "s12"], ["s3", "s3"]]


@pytest.mark.parametrize("name", ["fold1.h5", "first.h5", "fold02.h5", "fold2.hdf5"])
def test_a_fold_must_be_the_one_its_name_says(tmp_path, name):
    path = write(tmp_path / name, 2, ["a"])
    with refused(path, "fold 2"):
        list(read_folds([path], "image", ()))


def test_a_fold_of_another_kind_is_refused(tmp_path):
    path = write(tmp_path / "fold1.h5", 1, ["a"], kind="signal")
    with refused(path, "'mine'", "signal", "image"):
        list(read_folds([path], "image", ()))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("spec", WIDER),
        ("seed", 43),
        ("dataset", "herlev"),
        ("samples_digest", "cd"),
        ("protocol", {"scale": 3}),
    ],
)
def test_folds_that_do_not_belong_together_are_refused(tmp_path, name, other):
    paths = [write(tmp_path / "fold1.h5", 1, ["a"]), write(tmp_path / "fold2.h5", 2, ["b"], **{name: other})]
    with refused(paths[1], name, "fold1.h5"):
        list(read_folds(paths, "image", ()))


def test_a_sample_in_two_folds_is_refused(tmp_path):
    paths = [write(tmp_path / f"fold{fold}.h5", fold, ids) for fold, ids in ((1, ["a", "b"]), (2, ["c"]), (3, ["b"]))]
    with refused(paths[2], "'b'", "fold1.h5"):
        list(read_folds(paths, "image", ()))


def test_a_fold_without_a_needed_array_is_refused(tmp_path):
    path = write(tmp_path / "fold1.h5", 1, ["a"])
    with refused(path, "gap_s, edge_s"):
        list(read_folds([path], "image", ("target", "gap_s", "edge_s")))


def test_gaps_by_hand():
    found = gaps_s(np.array([500, 7500, 38]), np.array([-1, 0, 37]), 250.0)
    assert found.tolist() == [math.inf, 30.0, 0.004]


def test_the_numbers_of_a_copy_depend_on_seed_sample_and_copy_only():
    drawn = [copy_rng(*key).random() for key in [(1, "a", 0), (1, "a", 1), (2, "a", 1), (1, "b", 1), (1, "a", 0)]]
    assert len(set(drawn)) == 4
    assert drawn[0] == drawn[4]
    # The key's parts do not run into each other.
    assert copy_rng(1, "1", 1).random() != copy_rng(11, "", 1).random()
