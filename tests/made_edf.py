"""EDF and BDF files, written by the format's description."""

from __future__ import annotations

import numpy as np

ECG = np.arange(-1000, 1000)
PULSE = np.arange(500) * 3 - 700
SIGNALS = [
    # label, unit, physical and digital range, samples of 4 records
    ("ECG II", "mV", (-2.0, 2.0), (-2000, 2000), ECG),
    ("PLETH", "µV", (-1500, 1500), (-1000, 2000), PULSE),
    ("resp", "l/min", (0, 1), (0, 100), PULSE[:40]),
]
NOTES = ("EDF Annotations", "", (-1, 1), (-32768, 32767), np.zeros(40, dtype=int))


def edf_bytes(signals: list, records: int = 4, duration: str = "2", kind: str = "", binary: bool = False) -> bytes:
    """A file with the samples in as many records."""

    def column(size: int, *cells: object) -> bytes:
        return b"".join(str(cell).encode("latin-1").ljust(size) for cell in cells)

    label, unit, physical, digital, samples = zip(*signals, strict=True)
    lengths = [len(each) // 4 for each in samples]
    version = b"\xffBIOSEMI" if binary else b"0       "
    head = version + column(80, "patient", "recording") + column(8, "01.02.23", "10.00.00", 256 * (1 + len(signals)))
    head += column(44, kind) + column(8, records, duration) + column(4, len(signals))
    head += column(16, *label) + column(80, *[""] * len(signals)) + column(8, *unit)
    for ends in (physical, digital):
        head += column(8, *(low for low, _ in ends)) + column(8, *(high for _, high in ends))
    head += column(80, *[""] * len(signals)) + column(8, *lengths) + column(32, *[""] * len(signals))
    blocks = [each[k * n : (k + 1) * n] for k in range(4) for each, n in zip(samples, lengths, strict=True)]
    values = np.concatenate(blocks)
    if binary:
        return head + values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return head + values.astype("<i2").tobytes()
