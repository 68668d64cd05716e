"""The HDF5 files: what goes in comes out, and damage of any kind is one line."""

from __future__ import annotations

import random
from pathlib import Path

import h5py
import numpy as np
import pytest

from siwcc.errors import InputError
from siwcc.shards import SCHEMA_VERSION, read_shard, shard_writer

ATTRIBUTES = {"dataset": "made", "rate_hz": 250.0, "fold": 3, "protocol": {"b": [1, 2], "a": None}}


def write(path: Path, rows: int = 5, attributes: dict[str, object] = ATTRIBUTES) -> None:
    """Row i: signal i ... i + 5, id `s<i>`, an empty note and one with an accent in turn."""
    with shard_writer(path, "samples", attributes) as writer:
        for row in range(rows):
            writer.append(
                {
                    "signal": np.arange(row, row + 6, dtype=np.float32).reshape(2, 3),
                    "target": np.array([row / 3]),
                    "sample_id": f"s{row}",
                    "note": "naïve" if row % 2 else "",
                    "count": np.uint8(row),
                }
            )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shard.h5"
    write(path)
    return path


def test_round_trip(path: Path) -> None:
    shard = read_shard(path, "samples")
    assert sorted(shard.arrays) == ["count", "note", "sample_id", "signal", "target"]
    np.testing.assert_array_equal(shard.arrays["signal"][4], [[4, 5, 6], [7, 8, 9]])
    np.testing.assert_array_equal(shard.arrays["target"][:, 0], [0, 1 / 3, 2 / 3, 1, 4 / 3])
    assert shard.arrays["sample_id"].tolist() == ["s0", "s1", "s2", "s3", "s4"]
    assert shard.arrays["note"].tolist() == ["", "naïve", "", "naïve", ""]
    assert [shard.arrays[name].dtype for name in ("signal", "target", "count")] == [np.float32, np.float64, np.uint8]
    assert shard.attributes["rate_hz"] == 250.0
    assert shard.attributes["fold"] == 3
    assert shard.attributes["protocol"] == '{"a": null, "b": [1, 2]}'
    assert len(shard.digest) == 64


def test_only_the_arrays_asked_for_are_returned(path: Path) -> None:
    assert set(read_shard(path, "samples", ("target", "note")).arrays) == {"target", "note"}
    assert read_shard(path, "samples", ()).arrays == {}


def test_many_rows_at_once_are_the_same_as_one_by_one(tmp_path: Path) -> None:
    values = np.arange(3000, dtype=np.int64).reshape(1000, 3)
    names = np.array([f"n{i}" for i in range(1000)], dtype=object)
    with shard_writer(tmp_path / "whole.h5", "fold", {}) as writer:
        writer.extend({"values": values, "names": names})
    with shard_writer(tmp_path / "parts.h5", "fold", {}) as writer:
        for start in range(0, 1000, 7):
            writer.extend({"values": values[start : start + 7], "names": names[start : start + 7]})
        assert writer.rows == 1000
    whole, parts = (read_shard(tmp_path / name, "fold") for name in ("whole.h5", "parts.h5"))
    np.testing.assert_array_equal(parts.arrays["values"], values)
    assert parts.arrays["names"].tolist() == names.tolist()
    assert whole.digest == parts.digest


def test_the_same_content_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "again" / "other_name.h5")
    assert (tmp_path / "again" / "other_name.h5").read_bytes() == path.read_bytes()


def test_the_digest_covers_values_attributes_and_names(path: Path, tmp_path: Path) -> None:
    digests = {read_shard(path, "samples").digest}
    write(tmp_path / "attribute.h5", attributes=ATTRIBUTES | {"rate_hz": 251.0})
    write(tmp_path / "rows.h5", rows=4)
    for name in ("attribute.h5", "rows.h5"):
        digests.add(read_shard(tmp_path / name, "samples").digest)
    for number, (first, second) in enumerate([("ab", "c"), ("a", "bc")]):
        with shard_writer(tmp_path / f"text{number}.h5", "samples", {}) as writer:
            writer.append({"first": first})
            writer.append({"first": second})
        digests.add(read_shard(tmp_path / f"text{number}.h5", "samples").digest)
    assert len(digests) == 5


# -------------------------------------------------------------------- damage


def line_of(path: Path, kind: str = "samples", names: tuple[str, ...] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_shard(path, kind, names)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_missing(tmp_path: Path) -> None:
    assert line_of(tmp_path / "absent.h5") == "does not exist"


def test_truncated_anywhere(path: Path) -> None:
    content = path.read_bytes()
    for length in [0, 1, 100, 1000, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:length])
        assert line_of(path).startswith("is damaged or not an HDF5 file")


def test_foreign(path: Path) -> None:
    path.write_text("<html>404</html>")
    assert line_of(path).startswith("is damaged or not an HDF5 file")
    with h5py.File(path, "w") as handle:
        handle["signal"] = np.zeros(3)
    assert line_of(path) == f"is not a shard of schema version {SCHEMA_VERSION}; delete it and run again"


def test_wrong_kind_and_missing_array(path: Path) -> None:
    assert line_of(path, "fold") == "is a samples file where a fold file is needed"
    assert line_of(path, "samples", ("signal", "group", "class")) == "lacks group, class; delete it and run again"


def test_another_schema_version(path: Path) -> None:
    with h5py.File(path, "r+") as handle:
        handle.attrs["schema_version"] = SCHEMA_VERSION + 1
    assert line_of(path) == f"is not a shard of schema version {SCHEMA_VERSION}; delete it and run again"


@pytest.mark.parametrize("name", ["target", "note"])
def test_an_exchanged_value_is_found_by_the_digest(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as handle:
        handle[name][1] = 7 if name == "target" else "native"
    assert line_of(path) == "content does not match its digest; delete it and run again"


def test_an_added_array_an_attribute_and_a_group_are_found(path: Path) -> None:
    content = path.read_bytes()
    with h5py.File(path, "r+") as handle:
        handle.attrs["rate_hz"] = 360.0
    assert "digest" in line_of(path)
    path.write_bytes(content)
    with h5py.File(path, "r+") as handle:
        handle["more"] = np.zeros(5)
    assert "digest" in line_of(path)
    path.write_bytes(content)
    with h5py.File(path, "r+") as handle:
        handle.create_group("folder")
    line_of(path)


def test_a_flipped_bit_is_found_or_has_no_effect(tmp_path: Path) -> None:
    path = tmp_path / "noise.h5"
    with shard_writer(path, "samples", ATTRIBUTES) as writer:
        noise = np.random.default_rng(1).normal(size=(300, 20))
        writer.extend({"noise": noise, "sample_id": np.array([f"s{i:03}" for i in range(300)], dtype=object)})
    content = path.read_bytes()
    sound = read_shard(path, "samples")
    draw = random.Random(1)
    found = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            shard = read_shard(path, "samples")
        except InputError:
            found += 1
            continue
        assert shard.attributes == sound.attributes
        for name, values in sound.arrays.items():
            np.testing.assert_array_equal(shard.arrays[name], values)
    # 48,000 bytes of noise cannot be packed, and a flip in them cannot pass; the rest is mostly unused space.
    assert found >= 200


# -------------------------------------------------------------------- writer


def test_a_failure_inside_the_writer_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with shard_writer(tmp_path / "x.h5", "samples", {}) as writer:
            writer.append({"value": 1.0})
            raise InputError("record 7", "is damaged")

    with pytest.raises(InputError, match="record 7"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_rows_must_have_the_same_names_and_lengths(tmp_path: Path) -> None:
    def write_rows(*rows: dict[str, np.ndarray]) -> None:
        with shard_writer(tmp_path / "x.h5", "samples", {}) as writer:
            for row in rows:
                writer.extend(row)

    with pytest.raises(ValueError, match=r"a row must have \['a', 'b'\], not \['a'\]"):
        write_rows({"a": np.zeros(2), "b": np.zeros(2)}, {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="b has 3 rows, others 2"):
        write_rows({"a": np.zeros(2), "b": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []
