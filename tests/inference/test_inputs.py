"""Files of any origin: what kind they are, what is read of them, and what is refused in one line."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_models import waves, write_record

from siwcc.inference import inputs as recordings
from siwcc.inference.inputs import (
    group_of,
    groups_of,
    kind_of,
    name_of,
    read_image,
    read_signal_file,
    rhythm_changes_of,
)
from siwcc.io.errors import InputError


def refusal(call, *arguments) -> InputError:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return caught.value


def test_a_name_says_what_a_file_is() -> None:
    kinds = {
        "418": "wfdb",
        "a/418.hea": "wfdb",
        "a.b": "wfdb",
        "x.CSV": "csv",
        "x.txt": "csv",
        "cell.BMP": "image",
        "c.jpeg": "image",
    }
    assert {name: kind_of(Path(name)) for name in kinds} == kinds
    names = ["418", "418.hea", "418.dat", "a.b", "x.CSV", "a.b.png"]
    assert [name_of(Path(name)) for name in names] == ["418", "418", "418", "a.b", "x", "a.b"]


@pytest.mark.parametrize(
    ("path", "format_name", "group"),
    [
        ("vfdb/418", "vfdb", "418"),
        ("vfdb/418.hea", "vfdb", "418"),
        ("own/holter.csv", "folder", "holter"),
        ("severe/149143370-149143378-001.BMP", "herlev", "149143370-149143378"),
        ("im_Superficial-Intermediate/CROPPED/012_03.bmp", "sipakmed", "5_012"),
        ("im_Dyskeratotic/im_Dyskeratotic/CROPPED/012_03.bmp", "sipakmed", "1_012"),
        ("elsewhere/012_03.bmp", "sipakmed", ""),
    ],
)
def test_the_group_is_what_a_study_would_call_it(path: str, format_name: str, group: str) -> None:
    assert group_of(Path(path), {"format": format_name}) == group


def test_the_group_of_a_record_is_its_subject() -> None:
    settings = {"format": "wfdb", "subjects": {"201": "s201", "202": "s201"}}
    groups = [group_of(Path(name), settings) for name in ("mitdb/201", "mitdb/202.hea", "mitdb/203")]
    assert groups == ["s201", "s201", "203"]


def test_a_file_may_be_of_any_of_several_data_sets() -> None:
    subjects = {"201": "s201", "202": "s201"}
    settings = {"datasets": {"mitdb": {"format": "wfdb", "subjects": subjects}, "vfdb": {"format": "vfdb"}}}
    assert groups_of(Path("any/201.hea"), settings) == {"s201", "mitdb.s201", "201", "vfdb.201"}
    assert groups_of(Path("any/201.hea"), settings["datasets"]["mitdb"]) == {"s201"}


def test_a_record_is_read_with_leads_by_number(tmp_path: Path) -> None:
    signal_mv = waves(500, leads=3)
    signal_mv[1, 40] = np.nan
    record = write_record(tmp_path, "r1", signal_mv, 128, [(64, "N"), (200, "VT")])
    for path in (record, tmp_path / "r1.hea", tmp_path / "r1.dat"):
        read = read_signal_file(path, (0, 1), None, None)
        # Whole thousandths of a millivolt, divided in float64.
        np.testing.assert_allclose(read.signal_mv, signal_mv[:2], rtol=0, atol=1e-9)
        assert (read.rate_hz, read.leads, read.available, read.lead_names) == (128.0, (0, 1), 3, ("lead0", "lead1"))
    turned = read_signal_file(record, (0, 1), [2, 0], None)
    np.testing.assert_allclose(turned.signal_mv, signal_mv[[2, 0]], rtol=0, atol=1e-9)
    assert rhythm_changes_of(record) == [(0.5, "N"), (1.5625, "VT")]
    missing = refusal(read_signal_file, record, (0, 1), [0, 3], None)
    assert missing.where == f"{record}.hea"
    assert "--leads" in missing.remedy


def test_a_record_of_one_lead_and_without_annotations_is_read(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r1", waves(500, leads=1))
    read = read_signal_file(record, (0, 1), None, None)
    assert (read.signal_mv.shape, read.leads) == ((1, 500), (0,))
    assert rhythm_changes_of(record) == []


def test_a_csv_is_read_with_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time_s,II,V1\n0,0.5,1\n0.01,nan,3\n0.02,-0.5,2\n")
    read = read_signal_file(path, (0, 1), None, 100.0)
    np.testing.assert_array_equal(read.signal_mv, [[0.5, np.nan, -0.5], [1, 3, 2]])
    assert (read.rate_hz, read.lead_names, read.available) == (100.0, ("II", "V1"), 2)
    path.write_text("1e-1\n2\n-1\n")
    plain = read_signal_file(path, (0, 1), None, 100.0)
    assert (plain.signal_mv.tolist(), plain.leads, plain.lead_names) == ([[0.1, 2, -1]], (0,), ("",))
    error = refusal(read_signal_file, path, (0, 1), None, None)
    assert error.where == str(path)
    assert "--rate" in error.remedy


def test_a_csv_with_times_needs_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("Zeit [ms]\tI [µV]\tII [µV]\n0\t500,5\t-1\n4\t250\t3\n8\t-125\t2\n", encoding="cp1252")
    read = read_signal_file(path, (0, 1), None, None)
    np.testing.assert_allclose(read.signal_mv, [[0.5005, 0.25, -0.125], [-0.001, 0.003, 0.002]], rtol=0, atol=1e-12)
    assert (read.rate_hz, read.lead_names, read.available) == (250.0, ("I [µV]", "II [µV]"), 2)
    error = refusal(read_signal_file, path, (0, 1), None, 500.0)
    assert error.where == str(path)
    assert "500 Hz" in error.problem


def test_time_stamps_of_packets_are_not_the_first_lead(tmp_path: Path) -> None:
    path, lead = tmp_path / "x.csv", waves(730, leads=1)[0]
    stamps = 1675000000000 + np.arange(730) // 73 * 561
    path.write_text("timestamp_ms,ecg_mV\n" + "".join(f"{t},{v:.3f}\n" for t, v in zip(stamps, lead, strict=True)))
    read = read_signal_file(path, (0, 1), None, 130.0)
    np.testing.assert_allclose(read.signal_mv, [lead], rtol=0, atol=1e-9)
    path.write_text("".join(f"{t},{v:.3f}\n" for t, v in zip(stamps, lead, strict=True)))
    assert "time" in refusal(read_signal_file, path, (0, 1), None, 130.0).problem


def test_another_lead_may_be_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    signal_mv = waves(500, leads=2)
    record = write_record(tmp_path, "r1", signal_mv)
    header = (tmp_path / "r1.hea").read_text().splitlines()
    absent = "gone.dat 999x7:3 1/bpm 0 0 0 0 0 HR"
    (tmp_path / "r1.hea").write_text("\n".join(["some/r1.dat 3 50 500 2006", absent, *header[1:3]]))
    read = read_signal_file(record, (0, 1), [2], None)
    np.testing.assert_allclose(read.signal_mv, signal_mv[1:], rtol=0, atol=1e-9)
    assert (read.available, read.lead_names) == (3, ("lead1",))
    assert caplog.records == []
    assert "bpm" not in refusal(read_signal_file, record, (0, 1), [0], None).remedy
    # The mean of the waves is 0, and so is their sum.
    (tmp_path / "r1.dat").write_bytes(b"\0\1" + (tmp_path / "r1.dat").read_bytes()[2:])
    (tmp_path / "r1.hea").write_text("\n".join(["r1 1 50 500", "r1.dat 16x2 1000/mV"]))
    assert read_signal_file(record, (0,), None, None).rate_hz == 100
    assert [str(record) in entry.getMessage() for entry in caplog.records] == [True]


def test_the_group_is_the_same_in_both_unicode_normal_forms() -> None:
    names = {group_of(Path(unicodedata.normalize(form, "Müller.csv")), {"format": "folder"}) for form in ("NFC", "NFD")}
    assert names == {"M\u00fcller"}


def test_a_file_is_found_under_its_name_in_either_normal_form(tmp_path: Path) -> None:
    on_disk, asked = (unicodedata.normalize(form, "für") for form in ("NFD", "NFC"))
    record = write_record(tmp_path, "r1", waves(500), changes=[(64, "VT")])
    for suffix in (".hea", ".dat", ".atr"):
        record.with_suffix(suffix).rename(tmp_path / f"{on_disk}{suffix}")
    header = tmp_path / f"{on_disk}.hea"
    header.write_text(header.read_text().replace("r1", asked), encoding="utf-8")
    (tmp_path / f"{on_disk}.csv").write_text("1\n3\n2\n")
    cv2.imwrite(str(tmp_path / f"{on_disk}.png"), np.zeros((3, 4, 3), dtype=np.uint8))
    assert read_signal_file(tmp_path / asked, (0, 1), None, None).signal_mv.shape == (2, 500)
    assert rhythm_changes_of(tmp_path / asked) == [(1.28, "VT")]
    assert read_signal_file(tmp_path / f"{asked}.csv", (0,), None, 100.0).signal_mv.tolist() == [[1, 3, 2]]
    assert read_image(tmp_path / f"{asked}.png").shape == (3, 4, 3)


def test_a_csv_of_times_alone_has_no_lead(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time_s\n0\n0.01\n0.02\n")
    for leads in (None, [0]):
        error = refusal(read_signal_file, path, (0, 1), leads, 100.0)
        assert error.where == str(path)
        assert "time_s" in error.problem


def test_what_is_no_recording_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tmp_path / "absent"
    error = refusal(read_signal_file, absent, (0, 1), None, None)
    assert error.where == str(absent)
    assert "absent.hea" in error.problem
    assert refusal(read_signal_file, tmp_path / "a.csv", (0,), None, 1.0).where == str(tmp_path / "a.csv")
    record = write_record(tmp_path, "r1", waves(500))
    monkeypatch.setattr(recordings, "MAX_VALUES", 999)
    error = refusal(read_signal_file, record, (0, 1), None, None)
    assert error.where == str(record)
    assert all(number in error.problem for number in ("500", "999"))
    content = bytearray((tmp_path / "r1.dat").read_bytes())
    content[100] ^= 1
    (tmp_path / "r1.dat").write_bytes(content)
    monkeypatch.undo()
    error = refusal(read_signal_file, record, (0, 1), None, None)
    assert error.where == str(tmp_path / "r1.dat")
    assert "checksum" in error.problem


@pytest.mark.parametrize("suffix", ["bmp", "png", "tiff"])
def test_an_image_comes_back_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), image[:, :, ::-1])
    np.testing.assert_array_equal(read_image(path), image)


def test_an_image_that_cannot_be_read_is_refused_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"text")
    assert refusal(read_image, path).where == str(path)
    assert refusal(read_image, tmp_path / "b.png").where == str(tmp_path / "b.png")
