"""Folders of volumes: what is read, what is excluded and what is never executed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from siwcc.config import FolderSection, parse_dataset
from siwcc.data.datasets import folder
from siwcc.data.datasets.interface import Excluded, Sample
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.datasets.synthetic import spheres
from siwcc.data.datasets.synthetic.write import write_synthetic
from siwcc.data.samples import extract_samples
from siwcc.io.files import read_csv
from siwcc.io.shards import read_shard

SHAPE = (5, 6, 7)


def section(path: Path, **values: object) -> FolderSection:
    found = parse_dataset({"format": "folder", "kind": "volume", "path": path, "volume_shape": SHAPE, **values})
    assert isinstance(found, FolderSection)
    return found


def write_table(path: Path, *rows: str, header: str = "file,x,y,z,group") -> None:
    (path / "samples.csv").write_text("\n".join([header, *rows]) + "\n")


def save(path: Path, array: np.ndarray) -> None:
    np.save(path, array)


def ramp(dtype: str = "uint8") -> np.ndarray:
    return np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", ">f8"])
def test_an_array_of_numbers_is_a_sample(tmp_path, dtype):
    save(tmp_path / "one.npy", ramp(dtype))
    write_table(tmp_path, "one.npy,6,0.5,4,p1")
    (sample,) = folder.iter_samples(section(tmp_path), tmp_path)
    assert isinstance(sample, Sample)
    assert (sample.sample_id, sample.group, sample.label) == ("one", "p1", "all")
    assert sample.signal.dtype == np.float32
    assert np.array_equal(sample.signal, ramp("float32")[np.newaxis])
    # x is the column, y the row, z the slice.
    assert sample.target.tolist() == [6.0, 0.5, 4.0]


def test_what_cannot_be_used_is_excluded(tmp_path):
    save(tmp_path / "a.npy", ramp())
    save(tmp_path / "b.npy", np.zeros((5, 6, 8)))
    save(tmp_path / "c.npy", np.ones(SHAPE))
    save(tmp_path / "d.npy", ramp().astype(complex))
    (tmp_path / "e.npy").write_bytes(b"")
    np.save(tmp_path / "f.npy", np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "g.npy", "w") as archive:
        archive.writestr("inside.npy", "no array")
    whole = io.BytesIO()
    np.save(whole, ramp())
    # The header promises more than there is.
    (tmp_path / "h.npy").write_bytes(whole.getvalue()[:-1])
    save(tmp_path / "i.npy", ramp())
    write_table(tmp_path, *(f"{name}.npy,1,1,1,p" for name in "abcdefgh"), "i.npy,1,1,4.5,p")
    found = list(folder.iter_samples(section(tmp_path), tmp_path))
    assert [item.sample_id for item in found if isinstance(item, Sample)] == ["a"]
    reasons = {item.sample_id: item.reason for item in found if isinstance(item, Excluded)}
    assert list(reasons) == list("bcdefghi")
    assert "(5, 6, 8)" in reasons["b"]
    assert "4.5" in reasons["i"]


def test_several_points_have_columns_of_their_own(tmp_path):
    save(tmp_path / "one.npy", ramp())
    save(tmp_path / "two.npy", ramp())
    names = ",".join(f"{axis}{ending}" for ending in (1, 2, 3) for axis in "xyz")
    write_table(tmp_path, "one.npy,0,2,1,4,4,1,6,5,4", "two.npy,0,2,1,4,4,1,,,", header=f"file,{names}")
    points = section(tmp_path, points_from=[["left", 1, 2], ["right", 3]])
    one, two = folder.iter_samples(points, tmp_path)
    # The centroid of the first two places.
    assert one.target.tolist() == [2.0, 3.0, 1.0]
    assert one.extras["right"].tolist() == [6.0, 5.0, 4.0]
    assert np.isnan(two.extras["right"]).all()


def test_a_samples_file_of_synthetic_volumes(tmp_path):
    values = {"format": "folder", "kind": "volume", "volume_shape": spheres.SHAPE, "synthetic": {"samples": 3}}
    dataset = parse_dataset(values)
    provide_raw("toy", dataset, tmp_path / "raw", tmp_path / "toy.manifest.csv")
    paths = (tmp_path / "toy.manifest.csv", tmp_path / "toy.h5", tmp_path / "toy.excluded.csv", tmp_path / "toy.json")
    extract_samples("toy", dataset, tmp_path / "raw", *paths)
    shard = read_shard(tmp_path / "toy.h5", "samples")
    assert shard.arrays["signal"].shape == (3, 1, *spheres.SHAPE)
    table = read_csv(tmp_path / "raw" / "toy" / "samples.csv", ("file", "x", "y", "z"))
    expected = [[float(row[axis]) for axis in "xyz"] for row in table]
    assert shard.arrays["target"].tolist() == expected
    assert shard.attributes["volume_shape"] == "16 x 24 x 24"


class TestSpheres:
    def test_the_target_is_the_sphere_nearest_to_the_origin(self):
        for seed in range(20):
            centres = spheres.draw_centres(np.random.default_rng(seed))
            sums = centres.sum(axis=1)
            assert sums[0] <= sums[1:].min() - 4.0
            assert (centres >= 5).all()
            assert (centres <= np.array([23, 23, 15]) - 5).all()

    def test_intensity_by_hand(self, monkeypatch):
        monkeypatch.setattr(spheres, "NOISE", 0.0)
        volume = spheres.draw_volume(np.random.default_rng(0), np.array([[10.0, 12.0, 5.0]]))
        # Radius 2, an edge of one voxel: 1 up to 1.5 voxels from the centre, half at 2, 0 from 2.5.
        assert volume[5, 12, 8:14].tolist() == [0.5, 1.0, 1.0, 1.0, 0.5, 0.0]
        assert volume[3:8, 12, 10].tolist() == [0.5, 1.0, 1.0, 1.0, 0.5]
        assert volume[5, 10:15, 10].tolist() == [0.5, 1.0, 1.0, 1.0, 0.5]

    def test_a_larger_set_begins_with_the_smaller(self, tmp_path):
        for name, count in (("small", 2), ("large", 5)):
            write_synthetic("volume", tmp_path / name, count, 7, "folder")
        for number in range(2):
            file = f"volumes/{number:04d}.npy"
            assert (tmp_path / "small" / file).read_bytes() == (tmp_path / "large" / file).read_bytes()
        rows = read_csv(tmp_path / "large" / "samples.csv", ("file", "group"))
        assert [row["group"] for row in rows] == [f"subject_00{number}" for number in (0, 0, 1, 1, 2)]
