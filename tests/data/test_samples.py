"""The samples stage: what is written, in which order, and when nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from siwcc.config import VfdbSection
from siwcc.data.datasets.interface import Excluded, Sample, reader_for
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.datasets.synthetic.write import write_synthetic
from siwcc.data.samples import EXCLUDED_COLUMNS, extract_samples, read_excluded, write_samples
from siwcc.io.files import read_csv, write_csv
from siwcc.io.shards import read_shard

SECTION = VfdbSection(format="vfdb")
ATTRIBUTES = {"dataset": "made", "task": "ecg"}


def sample(sample_id: str, value: float = 0.0) -> Sample:
    return Sample(
        sample_id=sample_id,
        group=sample_id[:3],
        label="VT",
        signal=np.full((2, 4), value, dtype=np.float32),
        target=np.array([value]),
        extras={"event_sample": np.int64(7), "record": sample_id[:3]},
    )


def test_samples_are_written_in_the_order_of_their_ids_as_strings(tmp_path: Path) -> None:
    items = [sample("418_10", 1.0), Excluded("418_11", "NaN"), sample("418_9", 2.0), Excluded("100_1", "past the end")]
    excluded = write_samples(items, ATTRIBUTES, tmp_path / "made.h5", 0.5)
    assert excluded == [Excluded("100_1", "past the end"), Excluded("418_11", "NaN")]
    shard = read_shard(tmp_path / "made.h5", "samples")
    assert shard.arrays["sample_id"].tolist() == ["418_10", "418_9"]
    assert shard.arrays["target"].tolist() == [[1.0], [2.0]]
    assert shard.arrays["signal"].tolist() == [[[1.0] * 4] * 2, [[2.0] * 4] * 2]
    assert shard.arrays["class"].tolist() == ["VT", "VT"]
    assert shard.arrays["group"].tolist() == shard.arrays["record"].tolist() == ["418", "418"]
    assert shard.arrays["event_sample"].tolist() == [7, 7]


def test_a_value_that_is_not_finite_excludes_its_sample(tmp_path: Path) -> None:
    bad, worse = sample("b", 1.0), sample("d", 1.0)
    bad.signal[1, 2] = np.nan
    worse.target[0] = np.inf
    items = [sample("a"), bad, sample("c"), worse]
    assert write_samples(items, ATTRIBUTES, tmp_path / "made.h5", 0.5) == [
        Excluded("b", "signal holds 1 value(s) that are not finite"),
        Excluded("d", "target holds 1 value(s) that are not finite"),
    ]
    assert read_shard(tmp_path / "made.h5", "samples").arrays["sample_id"].tolist() == ["a", "c"]


def test_the_exclusion_table_belongs_to_its_samples(tmp_path: Path) -> None:
    path, table = tmp_path / "made.h5", tmp_path / "made.excluded.csv"
    expected = [Excluded("b", 'a "reason", quoted')]
    excluded = write_samples([sample("a"), *expected], ATTRIBUTES, path, 0.5)
    write_csv(table, EXCLUDED_COLUMNS, [(item.sample_id, item.reason) for item in excluded])
    samples = read_shard(path, "samples", ())
    assert read_excluded(samples) == expected
    for rows in ([], [("b", "another reason")], [("b", 'a "reason", quoted')] * 2):
        write_csv(table, EXCLUDED_COLUMNS, rows)
        with refused(table, "made.h5"):
            read_excluded(samples)
    table.unlink()
    with refused(table, remedy=None):
        read_excluded(samples)


@pytest.mark.parametrize("ids", [["b", "a"], ["a", "a"]])
def test_a_reader_that_does_not_sort_is_found_out(tmp_path: Path, ids: list[str]) -> None:
    with pytest.raises(ValueError, match="order"):
        write_samples([sample(name) for name in ids], ATTRIBUTES, tmp_path / "made.h5", 0.5)
    assert list(tmp_path.iterdir()) == []


def test_no_sample_and_too_many_exclusions_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "made.h5"
    with refused("datasets.made", "0 excluded", remedy=None):
        write_samples([], ATTRIBUTES, path, 1.0)
    with refused("datasets.made", "1 excluded", "a, NaN", remedy=None):
        write_samples([Excluded("a", "NaN")], ATTRIBUTES, path, 1.0)
    items = [sample(f"s{i:02}") for i in range(19)]
    two = [Excluded("x", "NaN"), Excluded("y", "NaN")]
    # 2 of 21 is 9.5 %.
    with refused("datasets.made", "2 of 21", "9.5%", "5.0%", "x, NaN", remedy="datasets.made.max_excluded"):
        write_samples([*items, *two], ATTRIBUTES, path, 0.05)
    assert list(tmp_path.iterdir()) == []


def test_exactly_the_tolerated_share_passes(tmp_path: Path) -> None:
    items = [sample(f"s{i:02}") for i in range(19)]
    assert len(write_samples([*items, Excluded("x", "NaN")], ATTRIBUTES, tmp_path / "made.h5", 0.05)) == 1


# ---------------------------------------------------------------- extraction


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "records"
    write_synthetic("signal", folder, 2, 5)
    return folder


def extract(folder: Path, out: Path, section: VfdbSection = SECTION) -> None:
    section = section.model_copy(update={"path": folder})
    manifest = out / "made.manifest.csv"
    if not manifest.exists():
        provide_raw("made", section, out, manifest)
    extract_samples(
        name="made",
        section=section,
        raw_root=out,
        manifest_path=manifest,
        samples_path=out / "made.h5",
        excluded_path=out / "made.excluded.csv",
        protocol_path=out / "made.protocol.json",
    )


def test_the_three_files_agree_with_the_reader(records: Path, tmp_path: Path) -> None:
    extract(records, tmp_path)
    shard = read_shard(tmp_path / "made.h5", "samples")
    items = list(reader_for("vfdb").iter_samples(SECTION, records))
    kept = [item for item in items if isinstance(item, Sample)]
    assert len(kept) > 3
    assert shard.arrays["sample_id"].tolist() == [item.sample_id for item in kept]
    np.testing.assert_array_equal(shard.arrays["signal"], np.stack([item.signal for item in kept]))
    np.testing.assert_array_equal(shard.arrays["target"], np.stack([item.target for item in kept]))
    assert shard.arrays["signal"].shape[1:] == (2, 5000)
    assert shard.arrays["signal"].dtype == np.float32
    listed = [row["sample_id"] for row in read_csv(tmp_path / "made.excluded.csv", ["sample_id", "reason"])]
    assert listed == sorted(item.sample_id for item in items if isinstance(item, Excluded))
    assert json.loads((tmp_path / "made.protocol.json").read_text()) == SECTION.protocol()
    assert json.loads(shard.attributes["protocol"]) == SECTION.protocol()
    assert json.loads(shard.attributes["units"]) == {"signal": "mV", "target": "s"}
    assert (shard.attributes["dataset"], shard.attributes["rate_hz"]) == ("made", 250.0)


def test_the_same_records_elsewhere_give_the_same_bytes(records: Path, tmp_path: Path) -> None:
    extract(records, tmp_path / "one")
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in records.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    extract(moved, tmp_path / "two")
    for name in ("made.h5", "made.excluded.csv", "made.protocol.json", "made.manifest.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_records_that_changed_since_their_manifest_stop_before_anything_is_written(
    records: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "records", tmp_path / "out"
    folder.mkdir()
    for path in records.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    provide_raw("made", SECTION.model_copy(update={"path": folder}), out, out / "made.manifest.csv")
    victim = sorted(folder.glob("*.dat"))[0]
    content = bytearray(victim.read_bytes())
    content[1000] ^= 1
    victim.write_bytes(content)
    with refused(victim, remedy=str(out / "made.manifest.csv")):
        extract(folder, out)
    assert [path.name for path in out.iterdir()] == ["made.manifest.csv"]


def test_no_event_with_these_labels(records: Path, tmp_path: Path) -> None:
    section = VfdbSection(format="vfdb", event_labels=("NOEVENT",))
    with refused("datasets.made", remedy=None):
        extract(records, tmp_path, section)
    assert [path.name for path in tmp_path.iterdir()] == ["made.manifest.csv"]
