"""EDF and BDF by the format's description: values to the digit, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_edf import ECG, NOTES, PULSE, SIGNALS, edf_bytes
from refusals import refused

from siwcc.config import FolderSection, parse_dataset
from siwcc.data.datasets import folder
from siwcc.data.datasets.wfdb_files import Needs, read_edf
from siwcc.inference.inputs import group_of, read_signal_file, rhythm_changes_of


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("records", [4, -1])
@pytest.mark.parametrize("kind", ["", "EDF+C"])
def test_leads_come_to_the_digit_each_at_its_rate(tmp_path: Path, binary: bool, records: int, kind: str) -> None:
    path = tmp_path / ("a.BDF" if binary else "a.edf")
    signals = [*SIGNALS, NOTES] if kind else SIGNALS
    path.write_bytes(edf_bytes(signals, records, kind=kind, binary=binary))
    read = read_signal_file(path, (0,), None, None)
    # 4,000 steps over 4 mV, and 3,000 over 3,000 µV, of which 500 come below the middle: in records of 2 s.
    np.testing.assert_allclose(read.signal_mv, [ECG / 1000], rtol=0, atol=1e-12)
    assert (read.rate_hz, read.available, read.lead_names) == (250, 3, ("ECG II",))
    pulse = read_signal_file(path, (0,), [1], None)
    np.testing.assert_allclose(pulse.signal_mv, [(PULSE - 500) / 1000], rtol=0, atol=1e-12)
    assert pulse.rate_hz == 62.5
    both = read_signal_file(path, (0, 1), None, None)
    np.testing.assert_allclose(both.signal_mv[0], ECG / 1000, rtol=0, atol=1e-12)
    assert (both.rate_hz, both.signal_mv.shape) == (250, (2, 2000))
    assert rhythm_changes_of(path) == []
    assert group_of(path, {"format": "folder"}) == "a"
    with refused(path, "lead 3", "'l/min'", remedy="--leads"):
        read_signal_file(path, (0,), [2], None)
    with refused(path, "3 lead", "4", remedy="--leads"):
        read_signal_file(path, (0,), [3], None)


def test_a_folder_of_edf(tmp_path: Path) -> None:
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "für.edf").write_bytes(edf_bytes(SIGNALS))
    (tmp_path / "samples.csv").write_text("file,time_s\nward/für.edf,4.5\n", encoding="utf-8")
    values = {"format": "folder", "kind": "signal", "path": tmp_path, "window_s": 2, "leads": (1,)}
    section = parse_dataset(values)
    assert isinstance(section, FolderSection)
    (sample,) = folder.iter_samples(section, tmp_path)
    assert sample.sample_id == "ward/für_0001125"
    np.testing.assert_array_equal(sample.signal, [(ECG[875:1375] / 1000).astype(np.float32)])
    names = [path.relative_to(tmp_path).as_posix() for path in folder.raw_files(section, tmp_path)]
    assert names == ["samples.csv", "ward/für.edf"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", []),
        (b"0       " + b" " * 300, ["number of signals"]),
        (edf_bytes(SIGNALS)[:700], []),
        (edf_bytes(SIGNALS)[:-1], ["bytes"]),
        (edf_bytes(SIGNALS) + b"\0", ["bytes"]),
        (edf_bytes(SIGNALS, 5), ["bytes"]),
        (edf_bytes(SIGNALS, kind="EDF+D"), ["continuous"]),
        (edf_bytes(SIGNALS, duration="0"), ["duration", "0 s"]),
        (edf_bytes(SIGNALS, duration="nan"), ["duration"]),
        (edf_bytes([("ECG", "mV", (1, 1), (-5, 5), ECG)]), ["ECG"]),
        (edf_bytes([("ECG", "mV", (-1, "x"), (-5, 5), ECG)]), ["ECG", "'x'"]),
        (b"1" + edf_bytes(SIGNALS)[1:], []),
    ],
)
def test_what_is_no_edf(tmp_path: Path, content: bytes, found: list[str]) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(content)
    with refused(path, *found, remedy="mend"):
        read_edf(path, Needs((0,), "mend", "leads"))


def test_an_edf_that_is_absent(tmp_path: Path) -> None:
    with refused(tmp_path / "a.edf"):
        read_signal_file(tmp_path / "a.edf", (0,), None, None)
