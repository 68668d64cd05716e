"""Reading some samples of a shard only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from siwcc.errors import InputError
from siwcc.shards import read_rows, read_shard, shard_writer


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


def test_bad_input(shard_path: Path, tmp_path: Path) -> None:
    digest = read_shard(shard_path, "samples", ()).digest
    with pytest.raises(InputError, match=r"lacks 1 sample\(s\), first 's700'"):
        read_rows(shard_path, "samples", ("value",), ["s001", "s700"], digest)
    with pytest.raises(InputError, match="changed since"):
        read_rows(shard_path, "samples", ("value",), ["s001"], "0" * 64)
    with pytest.raises(InputError, match="lacks signal"):
        read_rows(shard_path, "samples", ("signal",), ["s001"], digest)
    with pytest.raises(InputError, match="is a samples file where a fold file is needed"):
        read_rows(shard_path, "fold", ("value",), ["s001"], digest)
    with pytest.raises(InputError, match="does not exist"):
        read_rows(tmp_path / "absent.h5", "samples", ("value",), ["s001"], digest)
    shard_path.write_bytes(shard_path.read_bytes()[:1000])
    with pytest.raises(InputError, match="is damaged"):
        read_rows(shard_path, "samples", ("value",), ["s001"], digest)
