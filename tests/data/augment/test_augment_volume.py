"""Copies of volumes: voxels and points that move together, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from siwcc.config import FolderSection, VolumeTask, parse_dataset
from siwcc.data.augment.interface import copy_rng, module_of_fold
from siwcc.data.augment.volume import (
    draw_shift,
    normalise,
    open_inputs,
    open_originals,
    open_source,
    shift_volume,
    write_fold,
)
from siwcc.io.shards import read_shard, shard_writer

SHAPE = (5, 6, 7)
IDS = ["a", "b", "c"]
SECOND = {"a": [3.0, 1.0, 1.0], "b": [np.nan] * 3, "c": [6.0, 5.0, 4.0]}


def section(**values: object) -> FolderSection:
    found = parse_dataset({"format": "folder", "kind": "volume", "path": ".", "volume_shape": SHAPE, **values})
    assert isinstance(found, FolderSection)
    return found


DATASET = section()
TWO_POINTS = section(points_from=[["first", "1", "2"], ["second", "3", "4"]])


def task(**values: object) -> VolumeTask:
    given = {"name": "ct", "dataset": "scans", "copies_per_sample": 6, "augmentation": {"translation_voxels": 1}}
    return VolumeTask(**given | values)  # type: ignore[arg-type]


def bright_voxel(x: int, y: int, z: int) -> np.ndarray:
    """One voxel of 1 in zeros, whose mirror image is in no copy that is moved by one voxel."""
    volume = np.zeros((1, *SHAPE), dtype=np.float32)
    volume[0, z, y, x] = 1.0
    return volume


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Three volumes with a bright voxel at the point."""
    path = tmp_path / "scans.h5"
    attributes = {"dataset": "scans", "protocol": DATASET.protocol()}
    with shard_writer(path, "samples", attributes) as writer:
        for sample_id, point in zip(IDS, [(2, 3, 2), (3, 2, 2), (4, 3, 2)], strict=True):
            columns = {"signal": bright_voxel(*point), "target": np.array(point, dtype=np.float64)}
            texts = {"sample_id": sample_id, "group": f"g{sample_id}", "class": "all"}
            writer.append({**columns, **texts, "second": np.array(SECOND[sample_id])})
    return path


class TestByHand:
    def test_a_shift_moves_voxels_and_mirrors_the_others(self):
        volume = np.arange(2 * 3 * 4).reshape(1, 2, 3, 4)
        moved = shift_volume(volume, np.array([1, -2, 0]))
        # To the right by one column, up by two rows: the last row, and the two above it in turn.
        assert moved[0, 0].tolist() == [[9, 8, 9, 10], [5, 4, 5, 6], [1, 0, 1, 2]]
        assert moved[0, 1].tolist() == [[21, 20, 21, 22], [17, 16, 17, 18], [13, 12, 13, 14]]

    def test_a_shift_along_z(self):
        volume = np.arange(3).reshape(1, 3, 1, 1)
        assert shift_volume(volume, np.array([0, 0, 1]))[0, :, 0, 0].tolist() == [1, 0, 1]

    def test_normalised_by_mean_and_deviation(self):
        # Mean 2, standard deviation 2.
        found = normalise(np.array([0, 4, 0, 4], dtype=np.float32).reshape(1, 1, 2, 2))
        assert found.dtype == np.float32
        assert found.ravel().tolist() == [-1.0, 1.0, -1.0, 1.0]

    def test_shifts_keep_every_point_inside(self):
        # x may go from 0.5 down by 0 and up by 2; y from 1 and 4 of 5 by -1 ... 1; z from 4 of 4 by -2 ... 0.
        points = np.array([[0.5, 1.0, 4.0], [2.0, 4.0, 4.0], [np.nan] * 3])
        drawn = {tuple(draw_shift(copy_rng(1, "a", copy), 2, points, SHAPE).tolist()) for copy in range(1, 400)}
        assert drawn == {(x, y, z) for x in (0, 1, 2) for y in (-1, 0, 1) for z in (-2, -1, 0)}


class TestFolds:
    @pytest.fixture
    def fold(self, samples: Path, tmp_path: Path) -> Path:
        path = tmp_path / "fold1.h5"
        write_fold(samples, IDS, task(), DATASET, 42, 1, path)
        return path

    def test_the_bright_voxel_is_the_target_of_every_copy(self, samples, fold):
        inputs = open_inputs([fold], samples, augmented_only=False)
        assert inputs.copy.tolist() == [0, 1, 2, 3, 4, 5, 6] * 3
        assert inputs.sample_id.tolist() == [name for name in IDS for _ in range(7)]
        assert inputs.batch(np.arange(21), "coord").shape == (21, 1, *SHAPE)
        for volume, target in zip(inputs.signal[:, 0], inputs.target, strict=True):
            assert np.argwhere(volume == volume.max())[:, ::-1].tolist() == [target.tolist()]
        # Copy 0 is the original, the others moved differently.
        assert inputs.target[::7].tolist() == [[2, 3, 2], [3, 2, 2], [4, 3, 2]]
        assert len({tuple(target) for target in inputs.target.tolist()}) > 12
        assert read_shard(fold, "fold").arrays["event_visible"].tolist() == [1] * 21

    def test_training_leaves_the_originals_out(self, samples, fold):
        assert set(open_inputs([fold], samples, augmented_only=True).copy.tolist()) == {1, 2, 3, 4, 5, 6}
        assert module_of_fold(fold).open_inputs is open_inputs

    def test_a_moved_copy_is_that_of_the_folds_with_their_seed(self, samples, fold):
        inputs = open_inputs([fold], samples, augmented_only=False)
        rows = np.array([16, 3, 8])
        source = open_source([fold], samples)
        moved = source.moved(inputs.sample_id[rows], inputs.copy[rows], 42)
        assert np.array_equal(moved.signal, inputs.signal[rows])
        assert np.array_equal(moved.target, inputs.target[rows])
        other = source.moved(inputs.sample_id[rows], np.array([100, 101, 102]), 42)
        assert not np.array_equal(other.target, inputs.target[rows])

    def test_originals_are_copy_0(self, samples, fold):
        inputs = open_inputs([fold], samples, augmented_only=False)
        originals = open_originals(samples, task(), DATASET, 42)
        assert np.array_equal(originals.signal, inputs.signal[::7])
        assert originals.group.tolist() == ["ga", "gb", "gc"]

    def test_a_row_does_not_depend_on_the_others(self, samples, fold, tmp_path):
        path = tmp_path / "fold2.h5"
        write_fold(samples, ["b"], task(), DATASET, 42, 2, path)
        alone, among = (open_inputs([one], samples, augmented_only=False) for one in (path, fold))
        assert np.array_equal(alone.signal, among.signal[7:14])

    def test_of_several_points_one_may_be_absent(self, samples, tmp_path):
        path = tmp_path / "fold1.h5"
        write_fold(samples, IDS, task(points=("first", "second")), TWO_POINTS, 42, 1, path)
        arrays = read_shard(path, "fold").arrays
        assert arrays["visible"].tolist() == [[1, 1]] * 7 + [[1, 0]] * 7 + [[1, 1]] * 7
        inputs = open_inputs([path], samples, augmented_only=False)
        assert inputs.spec.outputs == ("_first_x", "_first_y", "_first_z", "_second_x", "_second_y", "_second_z")
        assert np.isnan(inputs.target[7:14, 3:]).all()
        # Both points of a copy move by the same.
        moved = inputs.target[:7] - inputs.target[0]
        assert np.array_equal(moved[:, :3], moved[:, 3:])

    def test_what_does_not_fit_is_refused(self, samples, tmp_path):
        path = tmp_path / "fold1.h5"
        with refused(samples, "'x'"):
            write_fold(samples, ["a", "x"], task(), DATASET, 42, 1, path)
        with refused(samples, (1, *SHAPE), (1, 9, 9, 9)):
            write_fold(samples, IDS, task(), section(volume_shape=(9, 9, 9)), 42, 1, path)
        with refused(samples, "'scans'", "'others'"):
            write_fold(samples, IDS, task(dataset="others"), DATASET, 42, 1, path)
