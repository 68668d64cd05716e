"""The HDF5 files: what goes in comes out, and damage of any kind is one line."""

from __future__ import annotations

import fcntl
import hashlib
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from refusals import refused

from siwcc.io.errors import InputError
from siwcc.io.shards import SCHEMA_VERSION, _write_seal, read_attributes, read_shard, shard_writer

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


def test_reading_asks_the_file_system_for_no_lock(path: Path) -> None:
    """A shard never changes, and a shared file system may have no locks: HDF5 by itself would refuse to read."""
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            h5py.File(path, "r", locking=True)
        assert read_shard(path, "samples", ("target",)).arrays["target"].shape == (5, 1)


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


def test_the_digest_is_over_attributes_and_arrays_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = tmp_path / "shard.h5"
    with shard_writer(path, "samples", {"rate_hz": 250.0}) as writer:
        for row in range(300):
            writer.append({"signal": np.array([row, -row], dtype="<i2"), "name": f"ä{row}"})
    expected = hashlib.sha256(b"@kind='samples'\0@rate_hz=250.0\0@schema_version=3\0name:text:(300,)\0")
    expected.update("".join(f"ä{row}\0" for row in range(300)).encode())
    expected.update(b"signal:<i2:(300, 2)\0")
    for row in range(300):
        expected.update(row.to_bytes(2, "little", signed=True) + (-row).to_bytes(2, "little", signed=True))
    assert read_shard(path, "samples").digest == expected.hexdigest()


def test_how_an_array_is_stored_changes_no_digest(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(size=(500, 40)).astype(np.float32)
    for name, uncompressed in (("packed", ()), ("plain", ("noise", "absent"))):
        with shard_writer(tmp_path / name, "fold", {}, uncompressed) as writer:
            for start in range(0, 500, 100):
                writer.extend({"noise": noise[start : start + 100], "row": np.arange(start, start + 100)})
    with h5py.File(tmp_path / "packed") as packed, h5py.File(tmp_path / "plain") as plain:
        assert [packed[name].compression for name in ("noise", "row")] == ["gzip", "gzip"]
        assert [plain[name].compression for name in ("noise", "row")] == [None, "gzip"]
        assert packed["noise"].id.get_storage_size() > 0.8 * noise.nbytes
    packed_shard, plain_shard = (read_shard(tmp_path / name, "fold") for name in ("packed", "plain"))
    assert packed_shard.digest == plain_shard.digest
    np.testing.assert_array_equal(plain_shard.arrays["noise"], noise)


def test_attributes_alone(path: Path, tmp_path: Path) -> None:
    assert read_attributes(path, "samples") == read_shard(path, "samples").attributes
    assert read_attributes(path, "samples")["digest"] == read_shard(path, "samples").digest
    with refused(path, "samples", "fold", remedy=None):
        read_attributes(path, "fold")
    with refused(tmp_path / "absent.h5", remedy=None):
        read_attributes(tmp_path / "absent.h5", "samples")
    path.write_bytes(path.read_bytes()[:1000])
    with refused(path, "damaged"):
        read_attributes(path, "samples")


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
        problem = "is empty (0 bytes)" if length == 0 else "is damaged"
        assert line_of(path).startswith(problem)


def test_foreign(path: Path) -> None:
    path.write_text("<html>404</html>")
    assert line_of(path) == "is damaged or not an HDF5 file of siwcc; delete it and run again"
    with h5py.File(path, "w") as handle:
        handle["signal"] = np.zeros(3)
    problem = f"is no shard of schema version {SCHEMA_VERSION}, but an older or a foreign HDF5 file"
    assert line_of(path) == f"{problem}; delete it and run again"


def test_the_seal_is_over_all_that_follows_it(path: Path) -> None:
    content = path.read_bytes()
    digest = hashlib.sha256(content[512:]).hexdigest()
    assert content[:512] == f"siwcc shard {SCHEMA_VERSION}\nsha256 {digest}\n".encode().ljust(512, b"\0")
    assert content[512:520] == b"\x89HDF\r\n\x1a\n"


def test_wrong_kind_and_missing_array(path: Path) -> None:
    assert line_of(path, "fold") == "is a samples file where a fold file is needed"
    assert line_of(path, "samples", ("signal", "group", "class")) == "lacks group, class; delete it and run again"


def test_another_schema_version(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"siwcc shard 3", b"siwcc shard 2"))
    assert line_of(path) == "is a shard of schema version 2, not 3; delete it and run again"
    path.write_bytes(content)
    with h5py.File(path, "r+") as handle:
        handle.attrs["schema_version"] = SCHEMA_VERSION + 1
    _write_seal(path)
    assert line_of(path) == "is no shard of schema version 3; delete it and run again"


@pytest.mark.parametrize("name", ["target", "note"])
def test_an_exchanged_value_is_found_by_the_digest(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as handle:
        handle[name][1] = 7 if name == "target" else "native"
    assert line_of(path) == "is damaged: its content does not match its digest; delete it and run again"


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


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda handle: handle.update({"x": h5py.ExternalLink("/etc/hostname", "/x")}), "x is no array of its own"),
        (lambda handle: handle.update({"x": h5py.SoftLink("/signal")}), "x is no array of its own"),
        (lambda handle: handle.create_group("x"), "x is no array of its own"),
        (lambda handle: handle.update({"x": np.float64(3)}), "x is no array of its own"),
        (
            lambda handle: handle.create_dataset("x", (9,), "u1", external=[("/etc/hostname", 0, 9)]),
            "x is no array of its own",
        ),
        (lambda handle: handle.create_dataset("x", data=np.zeros(9), compression="lzf"), "x is stored in a way that"),
        (lambda handle: handle.create_dataset("x", (9,), h5py.ref_dtype), "x is stored in a way that"),
        (lambda handle: handle.create_dataset("x", (1 << 40,), "f8", chunks=(1,)), "x claims more values than"),
    ],
    ids=["external link", "soft link", "group", "number", "external storage", "filter", "references", "bomb"],
)
def test_what_is_none_of_our_arrays_is_not_read_even_under_a_right_seal(
    path: Path, make: Callable[[h5py.File], object], problem: str
) -> None:
    with h5py.File(path, "r+") as handle:
        make(handle)
    _write_seal(path)
    assert line_of(path).startswith(problem)
    assert set(read_shard(path, "samples", ("signal",)).arrays) == {"signal"}


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "noise.h5"
    with shard_writer(path, "samples", ATTRIBUTES) as writer:
        noise = np.random.default_rng(1).normal(size=(300, 20))
        writer.extend({"noise": noise, "sample_id": np.array([f"s{i:03}" for i in range(300)], dtype=object)})
    content = path.read_bytes()
    draw = random.Random(1)
    for place in [*range(0, 600, 17), *(draw.randrange(len(content)) for _ in range(60))]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        line_of(path)


# -------------------------------------------------------------------- writer


def test_a_failure_inside_the_writer_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with shard_writer(tmp_path / "x.h5", "samples", {}) as writer:
            writer.append({"value": 1.0})
            raise InputError("record 7", "is damaged")

    with refused("record 7", remedy=None):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_rows_must_have_the_same_names_and_lengths(tmp_path: Path) -> None:
    def write_rows(*rows: dict[str, np.ndarray]) -> None:
        with shard_writer(tmp_path / "x.h5", "samples", {}) as writer:
            for row in rows:
                writer.extend(row)

    with pytest.raises(ValueError, match=r"\['a', 'b'\].*\['a'\]"):
        write_rows({"a": np.zeros(2), "b": np.zeros(2)}, {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="b has 3 rows, others 2"):
        write_rows({"a": np.zeros(2), "b": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []


# HDF5 crashes the process, or fills the terminal, when a write of its own fails. The limit stands for the device.
FILL = """
import resource, sys
from pathlib import Path
import numpy as np
from siwcc.io.errors import InputError
from siwcc.io.shards import shard_writer
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
draw = np.random.default_rng(1)
try:
    with shard_writer(Path(sys.argv[2]), "samples", {"dataset": "made"}) as writer:
        for row in range(100):
            writer.append({"signal": draw.normal(size=(2, 500)).astype("f4"), "sample_id": f"s{row}"})
except InputError as error:
    print(error)
"""


# 100 rows take 380 kB: no room at all, for the first row, in the middle, and for what closing adds.
@pytest.mark.parametrize(
    "limit_bytes", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in (600, 5_000)), 200_000, 370_000]
)
def test_a_full_device_is_one_line_and_no_crash(tmp_path: Path, limit_bytes: int) -> None:
    path = tmp_path / "x.h5"
    command = [sys.executable, "-c", FILL, str(limit_bytes), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    remedy = "make room or choose another folder, then give the same command again"
    assert done.stdout == f"{path}: cannot be written (File too large); {remedy}\n"
    assert list(tmp_path.iterdir()) == []
