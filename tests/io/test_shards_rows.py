"""Reading some samples of a shard only."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from refusals import refused

from siwcc.io.shards import read_rows, read_shard, shard_writer


@pytest.fixture
def shard_path(tmp_path: Path) -> Path:
    """700 rows, so that they lie in several blocks: row i has value 10 i and id `s<i>`."""
    path = tmp_path / "shard.h5"
    with shard_writer(path, "samples", {}) as writer:
        writer.extend(
            {
                "sample_id": np.array([f"s{i:03}" for i in range(700)], dtype=object),
                "value": 10 * np.arange(700, dtype=np.int32),
                "pair": np.arange(1400, dtype=np.uint16).reshape(700, 2),
            }
        )
    return path


def test_rows_come_in_the_order_of_the_file(shard_path: Path) -> None:
    digest = read_shard(shard_path, "samples", ()).digest
    wanted = ["s699", "s255", "s256", "s003", "s511"]
    found = read_rows(shard_path, "samples", ("sample_id", "value", "pair"), wanted, digest)
    assert found.arrays["sample_id"].tolist() == ["s003", "s255", "s256", "s511", "s699"]
    assert found.arrays["value"].tolist() == [30, 2550, 2560, 5110, 6990]
    assert found.arrays["pair"].tolist() == [[6, 7], [510, 511], [512, 513], [1022, 1023], [1398, 1399]]
    assert (found.arrays["value"].dtype, found.arrays["pair"].dtype) == (np.int32, np.uint16)


def test_every_row_is_read_once(shard_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = read_shard(shard_path, "samples", ()).digest
    rows_read: Counter[str] = Counter()
    read = h5py.Dataset.__getitem__

    def counted(stored: h5py.Dataset, selection: Any, **options: Any) -> Any:
        rows = read(stored, selection, **options)
        rows_read[stored.name] += len(rows)
        return rows

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    read_shard(shard_path, "samples")
    assert rows_read == {"/pair": 700, "/sample_id": 700, "/value": 700}
    rows_read.clear()
    read_rows(shard_path, "samples", ("value",), ["s001", "s600"], digest)
    # The ids say which rows are wanted.
    assert rows_read == {"/sample_id": 700, "/value": 700}


def test_memory_is_that_of_the_rows_and_a_block(tmp_path: Path) -> None:
    path = tmp_path / "large.h5"
    with shard_writer(path, "samples", {}) as writer:
        for start in range(0, 3000, 100):
            ids = np.array([f"s{i:04}" for i in range(start, start + 100)], dtype=object)
            writer.extend({"sample_id": ids, "image": np.full((100, 128, 128), start // 100, dtype=np.uint8)})
    digest = read_shard(path, "samples", ("sample_id",)).digest
    wanted = [f"s{i:04}" for i in range(5, 3000, 50)]
    tracemalloc.start()
    try:
        images = read_rows(path, "samples", ("image",), wanted, digest).arrays["image"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert images[:, 7, 7].tolist() == [i // 100 for i in range(5, 3000, 50)]
    # 49 MB lie in the file. The rows are 1 MB, a block another, and two of them may be there at once.
    assert peak < 6e6


def test_bad_input(shard_path: Path, tmp_path: Path) -> None:
    digest = read_shard(shard_path, "samples", ()).digest
    with refused(shard_path, "'s700'"):
        read_rows(shard_path, "samples", ("value",), ["s001", "s700"], digest)
    with refused(shard_path, "changed"):
        read_rows(shard_path, "samples", ("value",), ["s001"], "0" * 64)
    with refused(shard_path, "signal"):
        read_rows(shard_path, "samples", ("signal",), ["s001"], digest)
    with refused(shard_path, "samples", "fold", remedy=None):
        read_rows(shard_path, "fold", ("value",), ["s001"], digest)
    with refused(tmp_path / "absent.h5", remedy=None):
        read_rows(tmp_path / "absent.h5", "samples", ("value",), ["s001"], digest)
    with shard_writer(tmp_path / "bare.h5", "samples", {}) as writer:
        writer.append({"value": 1.0})
    bare = read_shard(tmp_path / "bare.h5", "samples").digest
    with refused(tmp_path / "bare.h5", "sample_id"):
        read_rows(tmp_path / "bare.h5", "samples", ("signal",), ["s001"], bare)
    with h5py.File(shard_path, "r+") as handle:
        handle["sample_id"][1] = "s700"
    with refused(shard_path, "digest"):
        read_rows(shard_path, "samples", ("value",), ["s001"], digest)
    shard_path.write_bytes(shard_path.read_bytes()[:1000])
    with refused(shard_path, "damaged"):
        read_rows(shard_path, "samples", ("value",), ["s001"], digest)
