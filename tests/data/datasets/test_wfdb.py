"""WFDB records whose labels, leads, subjects and rate come from the config, and the real Arrhythmia Database."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb as wfdb_library
import yaml
from places import REPOSITORY
from refusals import refused
from scipy.signal import resample_poly

from siwcc.config import WfdbSection, parse_dataset
from siwcc.data.datasets import vfdb, wfdb
from siwcc.data.datasets.download import read_checksums
from siwcc.data.datasets.interface import Excluded, Sample, reader_for
from siwcc.data.folds import assign_folds

GAIN = 200
RATE_HZ = 360
SECTION = WfdbSection(format="wfdb", event_labels=("VT", "IVR"), leads=(3, 1), window_s=4.0, rate_hz=180.0)


def digital_of(samples: int) -> np.ndarray:
    """Three leads, each a constant with a tone: resampled, the level stays."""
    time_s = np.arange(samples) / RATE_HZ
    tones = [level + 40 * np.sin(2 * np.pi * 3 * time_s) for level in (100, -300, 500)]
    return np.round(np.stack(tones, axis=1)).astype(int)


def write_record(folder: Path, name: str, events: list[tuple[int, str]], samples: int = 30 * RATE_HZ) -> None:
    wfdb_library.wrsamp(
        name,
        fs=RATE_HZ,
        units=["mV"] * 3,
        sig_name=["I", "II", "V1"],
        d_signal=digital_of(samples),
        fmt=["212"] * 3,
        adc_gain=[GAIN] * 3,
        baseline=[0] * 3,
        write_dir=str(folder),
    )
    at, notes = zip(*events, strict=True)
    wfdb_library.wrann(name, "atr", np.array(at), symbol=["+"] * len(at), aux_note=list(notes), write_dir=str(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    records = tmp_path / "records"
    records.mkdir()
    write_record(records, "201", [(10, "(N"), (3600, "(VT"), (5400, "(N")])
    write_record(records, "202", [(3600, "(VFL"), (7200, "(IVR"), (7920, "(VT")])
    write_record(records, "203", [(3600, "(IVR")])
    return records


def read(section: WfdbSection, folder: Path) -> list[Sample | Excluded]:
    return list(wfdb.iter_samples(section, folder))


def kept(section: WfdbSection, folder: Path) -> list[Sample]:
    return [item for item in read(section, folder) if isinstance(item, Sample)]


def test_the_labels_of_the_config_are_the_events(folder: Path) -> None:
    found = {sample.sample_id: sample.label for sample in kept(SECTION, folder)}
    # 3,600 samples at 360 Hz are 10 s: sample 1,800 at 180 Hz.
    assert found == {"201_0001800": "VT", "202_0003600": "IVR", "202_0003960": "VT", "203_0001800": "IVR"}
    flutter = SECTION.model_copy(update={"event_labels": ("VFL",)})
    assert [sample.sample_id for sample in kept(flutter, folder)] == ["202_0001800"]
    assert (wfdb.count_events(SECTION, folder), wfdb.count_events(flutter, folder)) == (4, 1)


def test_leads_and_rate_are_those_of_the_config(folder: Path) -> None:
    sample = kept(SECTION, folder)[0]
    assert sample.signal.shape == (2, 720)
    mv = digital_of(30 * RATE_HZ).T[[2, 0]] / GAIN
    expected = resample_poly(mv, 1, 2, axis=1, padtype="edge")[:, 1440:2160]
    np.testing.assert_array_equal(sample.signal, expected.astype(np.float32))
    assert sample.target.tolist() == [2.0]


def test_a_lead_that_a_record_lacks_is_refused(folder: Path) -> None:
    with refused(folder / "201.hea", "4 are needed"):
        read(SECTION.model_copy(update={"leads": (4,)}), folder)


def test_records_of_one_subject_are_one_group_in_one_fold(folder: Path) -> None:
    together = SECTION.model_copy(update={"subjects": {"201": "s201", "202": "s201"}})
    samples = kept(together, folder)
    assert [sample.group for sample in samples] == ["s201", "s201", "s201", "203"]
    assert [sample.extras["record"] for sample in samples] == ["201", "202", "202", "203"]
    assert [sample.group for sample in kept(SECTION, folder)] == ["201", "202", "202", "203"]
    # Only the group differs.
    for one, other in zip(samples, kept(SECTION, folder), strict=True):
        assert (one.sample_id, one.target.tolist()) == (other.sample_id, other.target.tolist())
        np.testing.assert_array_equal(one.signal, other.signal)
        assert one.extras["previous_event"] == other.extras["previous_event"]


def test_a_subject_of_an_absent_record_is_noted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="siwcc.data.datasets.wfdb"):
        read(SECTION.model_copy(update={"subjects": {"201": "s", "2O2": "s"}}), folder)
    (line,) = [record.getMessage() for record in caplog.records if record.name == wfdb.__name__]
    assert "2O2" in line
    assert "201" not in line.replace(str(folder), "")


def test_vfdb_is_read_by_the_same_reader(folder: Path) -> None:
    published = {"window_s": 4.0, "rate_hz": 180.0, "event_labels": ["VT", "IVR"]}
    ours = kept(WfdbSection.model_validate({"format": "wfdb", **published}), folder)
    theirs = [*reader_for("vfdb").iter_samples(parse_dataset({"format": "vfdb", **published}), folder)]
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(other, Sample)
        assert (one.sample_id, one.group, one.label) == (other.sample_id, other.group, other.label)
        np.testing.assert_array_equal(one.signal, other.signal)
    assert vfdb.raw_files(parse_dataset({"format": "vfdb"}), folder) == wfdb.raw_files(SECTION, folder)


# ----------------------------------------------------------------- checksums


def test_a_download_needs_an_address_and_a_list(tmp_path: Path) -> None:
    with refused("config: datasets.mine.url", remedy="datasets.mine.path"):
        wfdb.download(SECTION, tmp_path / "mine")
    with refused("config: datasets.mine.checksums", remedy="datasets.mine.path"):
        wfdb.download(SECTION.model_copy(update={"url": "https://example.org/"}), tmp_path / "mine")


def test_the_list_is_the_one_that_the_config_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wfdb, "CHECKSUMS", tmp_path)
    content = hashlib.sha256(b"a1").hexdigest()
    (tmp_path / "mine.sha256").write_text(f"{content}  a1.hea\n")
    assert wfdb.published_sums(SECTION.model_copy(update={"checksums": "mine"})) == {"a1.hea": content}
    assert wfdb.published_sums(SECTION.model_copy(update={"checksums": "absent"})) == {}
    assert wfdb.published_sums(SECTION) == {}


# ------------------------------------------------- MIT-BIH Arrhythmia Database


def mitdb_section() -> WfdbSection:
    section = parse_dataset(yaml.safe_load((REPOSITORY / "config.yaml").read_text())["datasets"]["mitdb"])
    assert isinstance(section, WfdbSection)
    return section


def test_the_list_of_mitdb_names_three_files_of_each_of_48_records() -> None:
    sums = wfdb.published_sums(mitdb_section())
    records = {name.partition(".")[0] for name in sums}
    assert len(records) == 48
    assert set(sums) == {f"{record}.{suffix}" for record in records for suffix in ("hea", "dat", "atr")}


def test_the_real_files_have_the_sums_of_the_list(shared_data: Path) -> None:
    sums = wfdb.published_sums(mitdb_section())
    assert sums == read_checksums(shared_data / "mitdb" / "SHA256SUMS.txt")
    assert sorted(sums) == [path.name for path in wfdb.raw_files(mitdb_section(), shared_data / "mitdb")]


@pytest.fixture(scope="module")
def real(shared_data: Path) -> list[Sample]:
    items = read(mitdb_section(), shared_data / "mitdb")
    assert all(isinstance(item, Sample) for item in items)
    return [item for item in items if isinstance(item, Sample)]


@pytest.mark.slow
def test_the_real_events_are_those_of_the_annotation_files(real: list[Sample], shared_data: Path) -> None:
    assert Counter(sample.label for sample in real) == {"VT": 61, "VFL": 6, "IVR": 4}
    counted = Counter[tuple[str, str]]()
    for path in sorted((shared_data / "mitdb").glob("*.atr")):
        notes = wfdb_library.rdann(str(path.with_suffix("")), "atr").aux_note
        counted.update((path.stem, note.strip("(\0")) for note in notes if note.strip("\0") in ("(VT", "(VFL", "(IVR"))
    assert Counter((sample.extras["record"], sample.label) for sample in real) == counted
    assert len({record for record, _ in counted}) == 14


@pytest.mark.slow
def test_real_windows_equal_those_of_a_resampled_record(real: list[Sample], shared_data: Path) -> None:
    for sample in (real[0], real[30], real[-1]):
        record = wfdb_library.rdrecord(str(shared_data / "mitdb" / sample.extras["record"]))
        mv = resample_poly(record.p_signal, 25, 36, axis=0, padtype="edge").T
        start = int(sample.extras["window_start"])
        expected = mv[:, start : start + 5000]
        atol = 1e-6 * np.abs(expected).max()
        np.testing.assert_allclose(sample.signal[:, : expected.shape[1]], expected, rtol=0, atol=atol)
        assert not sample.signal[:, expected.shape[1] :].any()


@pytest.mark.slow
def test_the_two_records_of_one_subject_share_a_fold(shared_data: Path) -> None:
    # In neither is a malignant rhythm: with atrial fibrillation both have events.
    section = mitdb_section().model_copy(update={"event_labels": ("AFIB",)})
    samples = kept(section, shared_data / "mitdb")
    of_both = [sample for sample in samples if sample.extras["record"] in ("201", "202")]
    assert {sample.extras["record"] for sample in of_both} == {"201", "202"}
    assert {sample.group for sample in of_both} == {"s201"}
    folds = assign_folds([s.sample_id for s in samples], [s.group for s in samples], 5, "group", 42, "kfold")
    assert len({int(fold) for fold, sample in zip(folds, samples, strict=True) if sample in of_both}) == 1
