"""Headers and signals of WFDB records, trusted only so far as header, file sizes and checksums agree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import wfdb

from siwcc.data.datasets.signals import Recording, resample, resampling_ratio
from siwcc.io.errors import InputError

_LONGEST_NAME_BYTES = 255
_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3}
# Signal formats of the WFDB manual, signal(5): samples and bytes of a block. Compressed formats are
# left out, as only their checksum, after all the work, would tell a cut file.
_BLOCKS = {
    "8": (1, 1),
    "16": (1, 2),
    "24": (1, 3),
    "32": (1, 4),
    "61": (1, 2),
    "80": (1, 1),
    "160": (1, 2),
    "212": (2, 3),
    "310": (3, 4),
    "311": (3, 4),
}


@dataclass(frozen=True)
class Needs:
    """What is asked of a record.

    Attributes:
        leads: Numbers of the leads, from 0, in the order wanted.
        remedy: The way out when it is damaged.
        lead_remedy: The way out when it has too few leads.
        companions: Extensions of further files that must be there.
    """

    leads: tuple[int, ...]
    remedy: str
    lead_remedy: str
    companions: tuple[str, ...] = ()


@dataclass(frozen=True)
class WfdbRecord:
    """A header that can be trusted so far as a header and file sizes go."""

    name: str
    folder: Path
    header: Any
    needs: Needs

    @property
    def stem(self) -> str:
        """The record's path without an extension, as wfdb takes it."""
        return str(self.folder / self.name)

    @property
    def signal_names(self) -> list[str]:
        """Names of the signal files that hold the leads."""
        return sorted({self.header.file_name[lead] for lead in self.needs.leads})

    def recording(self, rate_hz: float, name: str = "") -> Recording:
        """The record at a rate, under its own name or another one.

        Raises:
            InputError: its rate is too far from that.
        """
        ratio = resampling_ratio(Path(f"{self.stem}.hea"), self.header.fs, rate_hz)
        read_mv = partial(_read_signal, self, ratio)
        return Recording(name or self.name, self.header.fs, ratio, int(self.header.sig_len), read_mv)


def read_header(folder: Path, name: str, needs: Needs) -> WfdbRecord:
    """Read and check one header, and the size of the files that it describes.

    Args:
        folder: What directly holds the record's files.
        name: The record's.
        needs: What is asked of it.

    Raises:
        InputError: a damaged header, a missing file, or a size that is not what the header promises.
    """
    path = folder / f"{name}.hea"
    try:
        header = wfdb.rdheader(str(folder / name))
    except Exception as error:
        raise InputError(path, f"is no readable WFDB header ({first_line(error)})", needs.remedy) from error
    _check_header(path, header, name, needs)
    record = WfdbRecord(name, folder, header, needs)
    for file in (*record.signal_names, *(f"{name}.{extension}" for extension in needs.companions)):
        if not (folder / file).is_file():
            raise InputError(folder / file, f"does not exist, but {path.name} needs it", needs.remedy)
    for file in record.signal_names:
        _check_size(record, file)
    return record


def _check_header(path: Path, header: Any, name: str, needs: Needs) -> None:
    problem = _layout_problem(header, name)
    count = max(needs.leads) + 1
    if not problem and header.n_sig < count:
        raise InputError(path, f"has {header.n_sig} lead(s), and {count} are needed", needs.lead_remedy)
    problem = problem or _length_problem(header) or _lead_problem(header, needs.leads)
    if problem:
        raise InputError(path, problem, needs.remedy)


def _layout_problem(header: Any, name: str) -> str:
    if isinstance(header, wfdb.MultiRecord):
        return "describes a record of several segments, which is not supported"
    if header.record_name != name:
        return f"describes the record {header.record_name!r}"
    described = len(header.file_name or ())
    if header.n_sig != described:
        return f"promises {header.n_sig} leads and describes {described}"
    return ""


def _length_problem(header: Any) -> str:
    if not header.sig_len:
        return "does not say how many samples there are"
    if not (isfinite(header.fs) and header.fs > 0):
        return f"gives {header.fs} Hz as the sampling rate"
    return ""


def _lead_problem(header: Any, leads: tuple[int, ...]) -> str:
    for lead in leads:
        file = header.file_name[lead]
        if Path(file).name != file or file.startswith("~") or len(os.fsencode(file)) > _LONGEST_NAME_BYTES:
            return f"lead {lead}: its signal file {file!r} is not in this folder"
        if header.fmt[lead] not in _BLOCKS:
            return f"lead {lead}: the signal format {header.fmt[lead]!r} is not supported"
        if header.units[lead] not in _MILLIVOLTS:
            return f"lead {lead}: the unit {header.units[lead]!r} is neither mV nor uV"
        if not isfinite(header.adc_gain[lead]):
            return f"lead {lead}: the gain is {header.adc_gain[lead]}"
        if header.checksum[lead] is None:
            return f"lead {lead}: the checksum is missing, or the line is damaged before it"
    if any(frames not in (None, 1) for frames in header.samps_per_frame) or any(header.skew):
        return "has leads with several samples a frame or with a skew, which is not supported"
    return ""


def _check_size(record: WfdbRecord, file: str) -> None:
    """Compare a signal file's size with the header before anything is read from it."""
    header = record.header
    leads = [lead for lead in range(header.n_sig) if header.file_name[lead] == file]
    if len({(header.fmt[lead], header.byte_offset[lead]) for lead in leads}) > 1:
        problem = f"gives the leads in {file} different formats or offsets"
        raise InputError(f"{record.stem}.hea", problem, record.needs.remedy)
    block_samples, block_bytes = _BLOCKS[header.fmt[leads[0]]]
    samples = header.sig_len * len(leads)
    offset_bytes = header.byte_offset[leads[0]] or 0
    # The last block may be cut to what its samples need, or be filled up.
    least_bytes = offset_bytes + -(-samples * block_bytes // block_samples)
    most_bytes = offset_bytes + -(-samples // block_samples) * block_bytes
    found_bytes = (record.folder / file).stat().st_size
    if not least_bytes <= found_bytes <= most_bytes:
        raise InputError(
            record.folder / file,
            f"has {found_bytes} bytes where {record.name}.hea promises {least_bytes}, for {header.sig_len} samples"
            f" of {len(leads)} leads",
            record.needs.remedy,
        )


def _read_signal(record: WfdbRecord, ratio: Fraction) -> np.ndarray:
    """The leads, float64 (leads, samples), mV at the wanted rate; NaN where invalid."""
    path, needs = Path(f"{record.stem}.hea"), record.needs
    # wfdb reads a file's leads in their order there, whatever order is asked for.
    ascending = sorted(needs.leads)
    try:
        # Leads by index: VFDB has two of one name.
        read = wfdb.rdrecord(record.stem, channels=ascending, physical=False)
        sums = read.d_signal.astype(np.int64).sum(axis=0)
        signal = read.dac(return_res=64)
    except Exception as error:
        raise InputError(path, f"signals cannot be read ({first_line(error)})", needs.remedy) from error
    for place, lead in enumerate(ascending):
        if (int(sums[place]) - read.checksum[place]) % (1 << 16):
            file = record.folder / record.header.file_name[lead]
            raise InputError(file, f"lead {lead} does not match its checksum in {path.name}", needs.remedy)
    signal_mv = signal.T * np.array([[_MILLIVOLTS[unit]] for unit in read.units])
    return resample(signal_mv[[ascending.index(lead) for lead in needs.leads]], ratio)


def first_line(error: BaseException) -> str:
    """What a library's exception says, in one line."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
