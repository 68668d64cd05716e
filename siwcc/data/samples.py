"""The samples stage: raw files in, `data/samples/<dataset>.h5` and its exclusion table out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from siwcc.config import AnyDataset, Kind
from siwcc.data.datasets.interface import UNITS, Excluded, Sample, reader_for, stored_size
from siwcc.data.datasets.manifest import check_manifest, raw_folder
from siwcc.io.errors import InputError
from siwcc.io.files import csv_text, read_csv, write_text
from siwcc.io.shards import Shard, shard_writer

EXCLUDED_COLUMNS = ("sample_id", "reason")
# What samples files call the kinds, from the time when each kind had one task: another name would change their bytes.
_STORED_KINDS: dict[Kind, str] = {"signal": "ecg", "image": "nuclei", "volume": "volume"}

logger = logging.getLogger(__name__)


def extract_samples(
    name: str,
    section: AnyDataset,
    raw_root: Path,
    manifest_path: Path,
    samples_path: Path,
    excluded_path: Path,
    protocol_path: Path,
) -> None:
    """Read a data set and write its samples file, exclusion table and protocol.

    Args:
        name: The data set's name in the config.
        section: Its entry there.
        raw_root: Folder of all downloads.
        manifest_path: The raw stage's list of files.
        samples_path: The HDF5 file to write.
        excluded_path: CSV `sample_id, reason`.
        protocol_path: The values that shaped the samples, as JSON, for a check without HDF5.

    Raises:
        InputError: damaged raw files, no sample at all, or too many exclusions.
    """
    folder = raw_folder(name, section, raw_root)
    check_manifest(name, section, folder, manifest_path)
    reader = reader_for(section.format)
    attributes = {
        "dataset": name,
        "format": section.format,
        "task": _STORED_KINDS[section.kind],
        "units": dict(UNITS[section.kind]),
        "protocol": section.protocol(),
        **_sampling(section),
    }
    items = reader.iter_samples(section, folder)
    points = section.points if section.kind != "signal" and len(section.points) > 1 else ()
    excluded = write_samples(
        items, attributes, samples_path, section.max_excluded, ("target", *points[1:]) * bool(points)
    )
    write_text(excluded_path, _excluded_text(excluded))
    write_text(protocol_path, json.dumps(section.protocol(), sort_keys=True, indent=1) + "\n")


def _sampling(section: AnyDataset) -> dict[str, float | int | str]:
    if section.kind == "signal":
        return {"rate_hz": section.rate_hz}
    if section.kind == "volume":
        return {"volume_shape": " x ".join(map(str, section.volume_shape))}
    return {"image_size": stored_size(section.image_shape)}


def write_samples(
    items: Iterable[Sample | Excluded],
    attributes: Mapping[str, Any],
    path: Path,
    max_excluded: float,
    may_be_missing: Collection[str] = (),
) -> list[Excluded]:
    """Stream samples into a samples file; one with a value that is not finite is excluded.

    The file carries the SHA-256 of its exclusion table as the attribute `excluded_sha256`.

    Args:
        items: Samples in the order of their ids as strings, exclusions anywhere among them.
        attributes: The file's attributes.
        path: The file to write.
        max_excluded: Fraction of exclusions above which nothing is written.
        may_be_missing: Columns of points that may be NaN, where one of several is not visible.

    Returns:
        The exclusions, sorted by id.

    Raises:
        InputError: no sample, or too many exclusions.
    """
    excluded: list[Excluded] = []
    previous = ""
    with shard_writer(path, "samples", attributes) as writer:
        for item in items:
            if isinstance(item, Excluded):
                excluded.append(item)
                continue
            if item.sample_id <= previous:
                raise ValueError(f"samples are not in order: {item.sample_id} after {previous}")
            previous = item.sample_id
            row = _row_of(item)
            defect = _defect_of({name: value for name, value in row.items() if name not in may_be_missing})
            if defect:
                excluded.append(Excluded(item.sample_id, defect))
            else:
                writer.append(row)
        _check_counts(str(attributes["dataset"]), writer.rows, excluded, max_excluded)
        logger.info("%s: %d samples, %d excluded", attributes["dataset"], writer.rows, len(excluded))
        excluded.sort(key=lambda item: (item.sample_id, item.reason))
        writer.annotate("excluded_sha256", hashlib.sha256(_excluded_text(excluded).encode()).hexdigest())
    return excluded


def _defect_of(row: Mapping[str, Any]) -> str:
    for name, value in row.items():
        values = np.asarray(value)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return f"{name} holds {np.count_nonzero(~np.isfinite(values))} value(s) that are not finite"
    return ""


def _excluded_text(excluded: Iterable[Excluded]) -> str:
    return csv_text(EXCLUDED_COLUMNS, [(item.sample_id, item.reason) for item in excluded])


def read_excluded(samples: Shard) -> list[Excluded]:
    """The exclusion table beside a samples file.

    Raises:
        InputError: missing, damaged, or of another samples file.
    """
    path = samples.path.with_suffix(".excluded.csv")
    excluded = [Excluded(row["sample_id"], row["reason"]) for row in read_csv(path, EXCLUDED_COLUMNS)]
    found = hashlib.sha256(_excluded_text(excluded).encode()).hexdigest()
    if found != samples.attributes.get("excluded_sha256"):
        problem = f"is not the table that {samples.path.name} was written with"
        raise InputError(path, problem, "delete both and run again")
    return excluded


def _row_of(sample: Sample) -> dict[str, Any]:
    return {
        "signal": sample.signal,
        "target": sample.target,
        "sample_id": sample.sample_id,
        "group": sample.group,
        "class": sample.label,
        **sample.extras,
    }


def _check_counts(name: str, kept: int, excluded: list[Excluded], max_excluded: float) -> None:
    first = f"; first: {excluded[0].sample_id}, {excluded[0].reason}" if excluded else ""
    if kept == 0:
        raise InputError(f"datasets.{name}", f"gives no sample ({len(excluded)} excluded{first})")
    found = kept + len(excluded)
    fraction = len(excluded) / found
    if fraction > max_excluded:
        limits = f"{fraction:.1%}, allowed {max_excluded:.1%}{first}"
        raise InputError(
            f"datasets.{name}",
            f"{len(excluded)} of {found} samples are defective ({limits})",
            f"repair them, or raise datasets.{name}.max_excluded",
        )
