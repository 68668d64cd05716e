"""Samples files of several data sets, read as one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from siwcc.io.joined_samples import joined_name, read_sample_rows, read_samples
from siwcc.io.shards import read_shard, shard_writer


def write(path: Path, groups: Mapping[str, str], first: int, *, shape: tuple[int, ...] = (2,)) -> Path:
    """A sample an id, of the group `groups[id]`, with the values `first`, `first + 1`, ..."""
    attributes = {"dataset": path.stem, "rate_hz": 250.0, "format": path.stem, "protocol": {"of": path.stem}}
    with shard_writer(path, "samples", attributes) as writer:
        for number, (sample_id, group) in enumerate(groups.items(), start=first):
            names = {"sample_id": sample_id, "group": group, "record": group}
            writer.append({**names, "value": number, "signal": np.full(shape, number, dtype=np.float32)})
    return path


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Both have record 201; of its samples only one has an id that both have."""
    first = write(tmp_path / "mitdb.h5", {"201_1": "201", "201_2": "201", "202_1": "202"}, first=0)
    return [first, write(tmp_path / "vfdb.h5", {"201_1": "201", "418_1": "418"}, first=10)]


def test_a_single_file_is_read_as_it_is(paths: list[Path]) -> None:
    for one in (paths[0], paths[:1]):
        joined, alone = read_samples(one, ("value",)), read_shard(paths[0], "samples", ("value",))
        assert (joined.path, joined.attributes, joined.digest) == (alone.path, alone.attributes, alone.digest)
        assert joined.arrays.keys() == {"value"}
        rows = read_sample_rows(one, ("value",), ["202_1"], alone.digest)
        assert (rows.arrays["value"].tolist(), rows.arrays.keys()) == ([2], {"value"})


def test_what_both_have_gets_the_name_of_its_data_set(paths: list[Path]) -> None:
    arrays = read_samples(paths, ("sample_id", "record", "value", "signal")).arrays
    assert arrays["sample_id"].tolist() == ["mitdb.201_1", "mitdb.201_2", "202_1", "vfdb.201_1", "418_1"]
    assert arrays["group"].tolist() == ["mitdb.201", "mitdb.201", "202", "vfdb.201", "418"]
    assert arrays["record"].tolist() == arrays["group"].tolist()
    assert arrays["dataset"].tolist() == ["mitdb"] * 3 + ["vfdb"] * 2
    assert arrays["value"].tolist() == [0, 1, 2, 10, 11]
    assert arrays["signal"].tolist() == [[number] * 2 for number in (0, 1, 2, 10, 11)]


def test_names_that_differ_stay_as_they_are(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.h5", {"1_1": "1"}, 0), write(tmp_path / "b.h5", {"2_1": "2"}, 1)]
    arrays = read_samples(paths, ()).arrays
    assert (arrays["sample_id"].tolist(), arrays["group"].tolist()) == (["1_1", "2_1"], ["1", "2"])


def test_the_digest_is_over_the_digests(paths: list[Path]) -> None:
    joined = read_samples(paths, ())
    parts = [(path.stem, read_shard(path, "samples", ()).digest) for path in paths]
    assert (
        joined.digest == hashlib.sha256("".join(f"{name}\0{digest}\0" for name, digest in parts).encode()).hexdigest()
    )
    assert joined.attributes["digest"] == joined.digest
    write(paths[1], {"201_1": "201", "418_1": "418"}, first=11)
    assert read_samples(paths, ()).digest != joined.digest


def test_attributes_are_those_that_all_have(paths: list[Path]) -> None:
    attributes = read_samples(paths, ()).attributes
    assert (attributes["dataset"], attributes["rate_hz"]) == (joined_name(["mitdb", "vfdb"]), 250.0)
    assert "format" not in attributes
    protocols = {name: json.dumps({"of": name}, sort_keys=True) for name in ("mitdb", "vfdb")}
    assert json.loads(attributes["protocol"])["datasets"] == {name: json.loads(of) for name, of in protocols.items()}


def test_some_rows_come_in_the_order_of_all(paths: list[Path]) -> None:
    whole = read_samples(paths, ())
    wanted = ["418_1", "vfdb.201_1", "mitdb.201_2"]
    rows = read_sample_rows(paths, ("sample_id", "value", "signal"), wanted, whole.digest)
    assert rows.arrays["sample_id"].tolist() == ["mitdb.201_2", "vfdb.201_1", "418_1"]
    assert rows.arrays["value"].tolist() == [1, 10, 11]
    assert rows.arrays["signal"].tolist() == [[1, 1], [10, 10], [11, 11]]
    assert (rows.digest, rows.attributes) == (whole.digest, whole.attributes)
    only_one = read_sample_rows(paths, ("value",), ["202_1"], whole.digest)
    assert only_one.arrays["value"].tolist() == [2]


def test_rows_that_are_not_there_are_refused(paths: list[Path]) -> None:
    digest, both = read_samples(paths, ()).digest, f"{paths[0]}, {paths[1]}"
    with refused(both, "'201_1'"):
        read_sample_rows(paths, ("value",), ["201_1", "418_1"], digest)
    with refused(both, "changed"):
        read_sample_rows(paths, ("value",), ["418_1"], "0" * 64)


def test_files_that_do_not_fit_together_are_refused(paths: list[Path], tmp_path: Path) -> None:
    with refused(f"{paths[0]}, {paths[0]}", "'mitdb'"):
        read_samples([paths[0], paths[0]], ())
    other = write(tmp_path / "wide.h5", {"9_1": "9"}, 20, shape=(3,))
    with refused(f"{paths[0]}, {other}", "signal", "(2,)", "(3,)"):
        read_samples([paths[0], other], ("signal",))
    # Its own name is what another's becomes.
    taken = write(tmp_path / "zdb.h5", {"201_9": "201", "mitdb.201_2": "mitdb.201"}, 20)
    with refused(f"{paths[0]}, {taken}", "'mitdb.201"):
        read_samples([paths[0], taken], ())
