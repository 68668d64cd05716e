"""Records read a block at a time: the same values and the same refusals as read at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from made_edf import ECG, NOTES, SIGNALS, edf_bytes
from made_models import waves, write_record
from refusals import refused

from siwcc.data.datasets.wfdb_blocks import can_be_read_in_blocks, iter_blocks_mv, read_range_mv
from siwcc.data.datasets.wfdb_files import Needs, WfdbRecord, read_edf, read_header

# Two leads of 1,001 samples: no whole number of blocks of any format.
DIGITS = np.random.default_rng(0).integers(-120, 120, (1001, 2))


def opened(folder: Path, name: str, *leads: int) -> WfdbRecord:
    return read_header(folder, name, Needs(leads or (0, 1), "mend it", "choose others"))


def write(folder: Path, name: str, digits: np.ndarray, fmt: str = "16") -> None:
    leads = digits.shape[1]
    wfdb.Record(
        record_name=name,
        n_sig=leads,
        fs=50,
        sig_len=len(digits),
        d_signal=digits,
        fmt=[fmt] * leads,
        adc_gain=[100.0] * leads,
        baseline=[0] * leads,
        units=["mV"] * leads,
        adc_res=[12] * leads,
        adc_zero=[0] * leads,
        init_value=[int(value) for value in digits[0]],
        checksum=[int(value) % 65536 for value in digits.sum(axis=0)],
        block_size=[0] * leads,
        sig_name=[f"lead{number}" for number in range(leads)],
        file_name=[f"{name}.dat"] * leads,
    ).wrsamp(write_dir=str(folder))


def assert_same_as_whole(record: WfdbRecord, whole: np.ndarray, block_s: float) -> list[np.ndarray]:
    blocks = list(iter_blocks_mv(record, block_s))
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)
    for first, stop in ((0, 1), (7, 500), (499, 503), (333, whole.shape[1]), (990, whole.shape[1] + 5)):
        np.testing.assert_array_equal(read_range_mv(record, first, stop), whole[:, first:stop])
    return blocks


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212"])
@pytest.mark.parametrize("block_s", [0.01, 1.7, 100.0])
def test_blocks_are_the_record(tmp_path: Path, fmt: str, block_s: float) -> None:
    write(tmp_path, "r", DIGITS, fmt)
    blocks = assert_same_as_whole(opened(tmp_path, "r"), DIGITS.T / 100, block_s)
    # 50 Hz: whole sixes of samples next to 0.5, 85 and 5,000.
    assert blocks[0].shape[1] == {0.01: 6, 1.7: 84, 100.0: 1001}[block_s]


@pytest.mark.parametrize("fmt", ["310", "311"])
def test_three_samples_in_four_bytes(tmp_path: Path, fmt: str) -> None:
    # The description of the formats, signal(5): ten bits each, in two's complement.
    values = np.concatenate([DIGITS.ravel(), [0, 0]]).reshape(-1, 3) & 1023
    a, b, c = values.T.astype(np.uint32)
    words = a | b << 10 | c << 20
    if fmt == "310":
        low, high = a << 1 | (c & 31) << 11, b << 1 | (c >> 5) << 11
        words = low | high << 16
    (tmp_path / "r.dat").write_bytes(words.astype("<u4").tobytes())
    sums = DIGITS.sum(axis=0) % 65536
    lines = [f"r.dat {fmt} 100/mV 10 0 {DIGITS[0, lead]} {sums[lead]} 0 lead{lead}" for lead in range(2)]
    (tmp_path / "r.hea").write_text("\n".join(["r 2 50 1001", *lines]) + "\n")
    assert_same_as_whole(opened(tmp_path, "r"), DIGITS.T / 100, 1.7)


def test_invalid_samples_are_missing(tmp_path: Path) -> None:
    signal = waves(1200)
    signal[0, 100:700] = np.nan
    write_record(tmp_path, "r", signal)
    assert_same_as_whole(opened(tmp_path, "r", 1, 0), signal[::-1], 2.0)


def test_segments_and_gaps(tmp_path: Path) -> None:
    write(tmp_path, "s1", DIGITS[:400])
    write(tmp_path, "s2", DIGITS[500:])
    (tmp_path / "r.hea").write_text("r/3 2 50 1001\ns1 400\n~ 100\ns2 501\n")
    whole = DIGITS.T / 100
    whole[:, 400:500] = np.nan
    blocks = assert_same_as_whole(opened(tmp_path, "r"), whole, 5.0)
    # 252, 148 | 100 | 252, 249.
    assert [block.shape[1] for block in blocks] == [252, 148, 100, 252, 249]


def test_an_edf_with_leads_of_several_rates(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes([*SIGNALS, NOTES], kind="EDF+C"))
    record = read_edf(path, Needs((0,), "mend it", "choose others"))
    assert can_be_read_in_blocks(record)
    np.testing.assert_allclose(np.concatenate(list(iter_blocks_mv(record, 2.0)), axis=1), [ECG / 1000], atol=1e-12)
    np.testing.assert_allclose(read_range_mv(record, 700, 1203), [ECG[700:1203] / 1000], atol=1e-12)
    # The second lead has a quarter of the samples: read at once.
    both = read_edf(path, Needs((0, 1), "mend it", "choose others"))
    assert not can_be_read_in_blocks(both)
    (block,) = iter_blocks_mv(both, 2.0)
    assert block.shape == (2, 2000)
    np.testing.assert_array_equal(read_range_mv(both, 700, 1203), block[:, 700:1203])


@pytest.mark.parametrize("fmt", ["508", "516"])
def test_compressed_records_are_read_at_once(tmp_path: Path, fmt: str) -> None:
    write(tmp_path, "r", DIGITS, fmt)
    record = opened(tmp_path, "r")
    assert not can_be_read_in_blocks(record)
    (block,) = iter_blocks_mv(record, 1.0)
    np.testing.assert_array_equal(block, DIGITS.T / 100)


def test_a_late_lead_is_read_at_once(tmp_path: Path) -> None:
    write(tmp_path, "r", DIGITS)
    header = (tmp_path / "r.hea").read_text().splitlines()
    header[2] = header[2].replace("r.dat 16", "r.dat 16:3")
    (tmp_path / "r.hea").write_text("\n".join(header) + "\n")
    (block,) = iter_blocks_mv(opened(tmp_path, "r"), 1.0)
    np.testing.assert_array_equal(block[0], DIGITS[:, 0] / 100)
    np.testing.assert_array_equal(block[1, :-3], DIGITS[3:, 1] / 100)


def test_damage_is_found_after_the_last_block(tmp_path: Path) -> None:
    write(tmp_path, "r", DIGITS)
    content = bytearray((tmp_path / "r.dat").read_bytes())
    content[6] ^= 1  # of the fourth sample: lead 2
    (tmp_path / "r.dat").write_bytes(content)
    blocks, read = iter_blocks_mv(opened(tmp_path, "r"), 5.0), 0
    with refused(tmp_path / "r.dat", "lead 2", "checksum", remedy="mend it"):
        for block in blocks:
            read += block.shape[1]
    assert read == 1001
    # The other lead is not damaged.
    assert sum(block.shape[1] for block in iter_blocks_mv(opened(tmp_path, "r", 0), 5.0)) == 1001


def test_damage_to_a_segment_is_found_at_its_end(tmp_path: Path) -> None:
    write(tmp_path, "s1", DIGITS[:400])
    write(tmp_path, "s2", DIGITS[400:])
    (tmp_path / "r.hea").write_text("r/2 2 50 1001\ns1 400\ns2 601\n")
    content = bytearray((tmp_path / "s1.dat").read_bytes())
    content[100] ^= 8
    (tmp_path / "s1.dat").write_bytes(content)
    with refused(tmp_path / "s1.dat", "checksum", remedy="mend it"):
        list(iter_blocks_mv(opened(tmp_path, "r"), 5.0))


def test_a_lead_without_a_checksum_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "r.dat").write_bytes(np.arange(100, dtype="<i2").tobytes())
    (tmp_path / "r.hea").write_text("r 1 50 100\nr.dat 16 100/mV 16 0 0 0 0 I\n")
    assert sum(block.shape[1] for block in iter_blocks_mv(opened(tmp_path, "r", 0), 0.5)) == 100
    (message,) = [record.getMessage() for record in caplog.records]
    assert "checksum" in message
