"""Recordings and images of any origin, for `siwcc predict`: what kind a file is, and its checked content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from siwcc.config import protocols_of
from siwcc.data.datasets.csv_signals import CSV_SUFFIXES, read_csv_signal
from siwcc.data.datasets.edf_header import EDF_SUFFIXES
from siwcc.io.errors import InputError
from siwcc.io.foreign import composed, find_file
from siwcc.io.joined_samples import SEPARATOR

if TYPE_CHECKING:
    from siwcc.data.datasets.wfdb_files import WfdbRecord

Kind = Literal["wfdb", "edf", "csv", "image"]

IMAGE_SUFFIXES = (".bmp", ".png", ".tif", ".tiff", ".jpg", ".jpeg")
# Two leads at 250 Hz for 37 hours; they take half a gigabyte.
MAX_VALUES = 1 << 26

_WFDB_SUFFIXES = (".hea", ".dat", ".atr")
_REPAIR = "fetch the record again, or give its signal as a CSV"
_LEADS = "choose leads with --leads, from 1"


@dataclass(frozen=True)
class SignalFile:
    """A recording as it was read.

    Attributes:
        path: As it was given.
        signal_mv: float64 (leads, samples), mV at its own rate; NaN where it is missing.
        rate_hz: Samples a second.
        leads: Indices of the leads in the file, from 0, in the order of `signal_mv`.
        available: How many leads the file has.
        lead_names: What the file calls them; two may have one name.
    """

    path: Path
    signal_mv: np.ndarray
    rate_hz: float
    leads: tuple[int, ...]
    available: int
    lead_names: tuple[str, ...]


def kind_of(path: Path) -> Kind:
    """What a file is by its name: an image, a CSV, an EDF, or else a WFDB record, with or without an extension."""
    suffix = path.suffix.lower()
    kinds: dict[Kind, tuple[str, ...]] = {"image": IMAGE_SUFFIXES, "csv": CSV_SUFFIXES, "edf": EDF_SUFFIXES}
    return next((kind for kind, suffixes in kinds.items() if suffix in suffixes), "wfdb")


def name_of(path: Path) -> str:
    """The record's or image's name: the file's without what only says its kind."""
    known = (*_WFDB_SUFFIXES, *IMAGE_SUFFIXES, *CSV_SUFFIXES, *EDF_SUFFIXES)
    return path.name[: -len(path.suffix)] if path.suffix.lower() in known else path.name


def groups_of(path: Path, dataset: Mapping[str, Any]) -> set[str]:
    """What a study may have called the file's record, subject or slide image.

    Args:
        path: The file. It is not read.
        dataset: The settings that the samples were made with. Of several data sets the file may be of any, and two may
            have had the same name for a group.
    """
    found = {name: group_of(path, part) for name, part in protocols_of(dataset).items()}
    return {*found.values(), *(f"{name}{SEPARATOR}{group}" for name, group in found.items() if name)}


def group_of(path: Path, dataset: Mapping[str, Any]) -> str:
    """What a study of a data set with these settings would have called the file's record, subject or slide image.

    Args:
        path: The file. It is not read.
        dataset: The settings that the samples were made with, of a single data set.
    """
    format_name = dataset.get("format")
    if format_name in ("herlev", "sipakmed") and kind_of(path) == "image":
        from siwcc.data.datasets.groups import herlev_group, sipakmed_group

        return herlev_group(path) if format_name == "herlev" else sipakmed_group(path)
    name = composed(name_of(path))
    return str(dataset.get("subjects", {}).get(name, name))


def read_signal_file(
    path: Path, wanted: Sequence[int], leads: Sequence[int] | None, rate_hz: float | None
) -> SignalFile:
    """Read a WFDB record, an EDF or a CSV.

    Args:
        path: A record with or without an extension, or a CSV: one row per sample, one column per lead, in mV.
        wanted: The leads that the networks were trained on.
        leads: The leads to read instead; None: `wanted`, or as many as there are of the file's first ones.
        rate_hz: Of a CSV without times; a record gives its own.

    Raises:
        InputError: no such file, a damaged one, leads that it does not have, a CSV without a rate, or more than
            `MAX_VALUES` values.
    """
    if kind_of(path) == "csv":
        return _read_csv(path, wanted, leads, rate_hz)
    from siwcc.data.datasets.wfdb_files import note_unchecked

    available = wfdb_record(path, ()).header.lead_count
    chosen = choose_leads(wanted, leads, available)
    record = wfdb_record(path, chosen)
    check_size(path, record)
    signal_mv = record.recording(record.rate_hz).read_mv()
    note_unchecked([record])
    names = tuple(lead.name for lead in record.chosen)
    return SignalFile(path, signal_mv, record.rate_hz, chosen, available, names)


def check_size(path: Path, record: WfdbRecord) -> None:
    """Refuse a record that is too large to be in memory as a whole.

    Raises:
        InputError: it has more than `MAX_VALUES` values.
    """
    if record.values > MAX_VALUES:
        problem = f"has {record.frames} samples, {record.values} values; {MAX_VALUES} values can be read at once"
        raise InputError(path, problem, "cut a part out of it, or leave --plot out")


def wfdb_record(path: Path, leads: Sequence[int]) -> WfdbRecord:
    """The checked header of an EDF, or of a WFDB record given with or without an extension.

    Raises:
        InputError: there is none, it is damaged, or it has fewer leads.
    """
    # wfdb brings pandas along.
    from siwcc.data.datasets.wfdb_files import Needs, read_edf, read_header

    if kind_of(path) == "edf":
        return read_edf(find_file(path.parent, path.name), Needs(tuple(leads), _REPAIR, _LEADS))
    name = name_of(path)
    header = find_file(path.parent, f"{name}.hea")
    if not header.is_file():
        known = ", ".join((*CSV_SUFFIXES, *EDF_SUFFIXES, *IMAGE_SUFFIXES))
        problem = f"is no WFDB record: there is no {name}.hea"
        raise InputError(path, problem, f"give a record's path without extension, or a file that ends in {known}")
    return read_header(path.parent, header.stem, Needs(tuple(leads), _REPAIR, _LEADS))


def rhythm_changes_of(path: Path) -> list[tuple[float, str]]:
    """(seconds, label) of the changes of rhythm that were annotated; none for a CSV or a record without .atr.

    Raises:
        InputError: a damaged annotation file.
    """
    if kind_of(path) != "wfdb" or not find_file(path.parent, f"{name_of(path)}.atr").is_file():
        return []
    from siwcc.data.datasets.wfdb_annotations import read_annotations

    return [(float(time_s), label) for time_s, label in read_annotations(wfdb_record(path, ())).changes]


def read_image(path: Path) -> np.ndarray:
    """An image as uint8 (height, width, 3), RGB; see `siwcc.data.datasets.image_files.read_image`.

    Raises:
        InputError: it cannot be read, is damaged, has more than 64 megapixels, or a tag that is not followed.
    """
    from siwcc.data.datasets.image_files import read_image
    from siwcc.data.datasets.images import SampleDefectError

    try:
        return read_image(find_file(path.parent, path.name))
    except SampleDefectError as defect:
        raise InputError(path, str(defect).removeprefix(f"{path.name} "), defect.remedy) from defect


def choose_leads(wanted: Sequence[int], leads: Sequence[int] | None, available: int) -> tuple[int, ...]:
    """The leads to read: those that are asked for, or `wanted`, or as many as there are of the file's first ones."""
    if leads is not None:
        return tuple(leads)
    return tuple(wanted) if max(wanted) < available else tuple(range(min(available, len(wanted))))


def _read_csv(path: Path, wanted: Sequence[int], leads: Sequence[int] | None, rate_hz: float | None) -> SignalFile:
    read = read_csv_signal(find_file(path.parent, path.name), rate_hz)
    if read.rate_hz is None:
        raise InputError(path, "gives no sampling rate", "give it in Hz as --rate, or add a column time_s")
    available = len(read.leads)
    chosen = choose_leads(wanted, leads, available)
    signal_mv = read.signal_mv(chosen, _LEADS)
    return SignalFile(path, signal_mv, read.rate_hz, chosen, available, tuple(map(read.name, chosen)))
