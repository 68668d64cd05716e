"""Headers of EDF and BDF files (edfplus.info), as those of WFDB records: samples of 2 or 3 bytes, one frame a record.

wfdb's own conversion of EDF is not used: it moves the values by one digital step, and averages the faster leads.
"""

from __future__ import annotations

from pathlib import Path

from siwcc.data.datasets.wfdb_header import Header, Lead
from siwcc.io.errors import InputError

EDF_SUFFIXES = (".edf", ".bdf")

_FIXED_BYTES = 256
_MOST_LEADS = 4096
_FORMATS = {b"0       ": "16", b"\xffBIOSEMI": "24"}
# Bytes of the fields that the header has for each signal, in their order.
_FIELDS = {
    "label": 16,
    "transducer": 80,
    "unit": 8,
    "physical minimum": 8,
    "physical maximum": 8,
    "digital minimum": 8,
    "digital maximum": 8,
    "filters": 80,
    "samples": 8,
    "reserved": 32,
}
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")


def parse_edf(path: Path, remedy: str) -> Header:
    """Read the header of an EDF, EDF+ or BDF file.

    A channel of annotations behind the leads is not counted as one.

    Args:
        path: The file.
        remedy: The way out when it is damaged.

    Raises:
        InputError: no such file, a damaged header, or a recording with gaps.
    """
    try:
        with path.open("rb") as handle:
            fixed = handle.read(_FIXED_BYTES)
            count = _whole(fixed[252:256], "the number of signals", 1, _MOST_LEADS)
            described = handle.read(_FIXED_BYTES * count)
        return _header(path.name, fixed, described, count)
    except OSError as error:
        problem = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(path, problem, remedy) from error
    except ValueError as error:
        raise InputError(path, f"is no readable EDF file: {error}", remedy) from error


def _header(file: str, fixed: bytes, described: bytes, count: int) -> Header:
    code = _FORMATS.get(fixed[:8])
    if code is None or len(described) < _FIXED_BYTES * count:
        raise ValueError("it does not begin with a header of EDF")
    if fixed[192:197] in (b"EDF+D", b"BDF+D"):
        raise ValueError("its records are not continuous")
    size = _whole(fixed[184:192], "the size of the header", _FIXED_BYTES, 1 << 24)
    records = _whole(fixed[236:244], "the number of records", -1, 1 << 40)
    duration_s = _number(fixed[244:252], "the duration of a record")
    if not duration_s > 0:
        raise ValueError(f"the duration of a record is {duration_s:g} s")
    leads = [_lead(file, code, size, _described(described, number, count)) for number in range(count)]
    # Behind the leads there are most often annotations, which are none.
    available = max((number + 1 for number, lead in enumerate(leads) if lead.name not in _ANNOTATIONS), default=0)
    return Header(1 / duration_s, available, records if records > 0 else None, tuple(leads), ())


def _described(content: bytes, number: int, count: int) -> dict[str, bytes]:
    fields, start = {}, 0
    for name, size in _FIELDS.items():
        fields[name] = content[start + number * size : start + (number + 1) * size]
        start += count * size
    return fields


def _lead(file: str, code: str, offset_bytes: int, fields: dict[str, bytes]) -> Lead:
    name, unit = (fields[field].decode("latin-1").strip() for field in ("label", "unit"))
    samples = _whole(fields["samples"], f"the samples per record of {name}", 1, 1 << 31)
    if name in _ANNOTATIONS:
        return Lead(file, code, samples, 0, offset_bytes, 1.0, 0, "annotations", 0, None, name)
    low, high, digital_low, digital_high = (
        _number(fields[f"{kind} {end}"], f"the {kind} {end} of {name}")
        for kind in ("physical", "digital")
        for end in ("minimum", "maximum")
    )
    if low == high or digital_low >= digital_high:
        raise ValueError(f"the range of {name} is empty")
    gain = (digital_high - digital_low) / (high - low)
    return Lead(file, code, samples, 0, offset_bytes, gain, digital_low - low * gain, unit or "mV", 0, None, name)


def _number(content: bytes, what: str) -> float:
    try:
        return float(content.decode("ascii").strip().replace(",", "."))
    except ValueError as error:
        raise ValueError(f"{what} is {content.decode('latin-1').strip()!r}") from error


def _whole(content: bytes, what: str, least: int, most: int) -> int:
    value = _number(content, what)
    if not least <= value <= most or value != int(value):
        raise ValueError(f"{what} is {value:g}")
    return int(value)
