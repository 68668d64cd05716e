"""The HDF5 files: one schema, written whole, read with checks.

A shard is a set of named arrays with one row a sample, and attributes. `digest` is a SHA-256
over every array and attribute, so a damaged or exchanged file is recognised by its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from siwcc.errors import InputError
from siwcc.files import atomic_path

SCHEMA_VERSION = 1
_ROWS_PER_READ = 256
# What h5py raises on files that are cut, damaged or not ours.
_HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
# Rows arrive a few at a time: a chunk is to be compressed once, when it is full.
_CHUNK_CACHE_BYTES = 16 << 20


@dataclass(frozen=True)
class Shard:
    """What was read: attributes (without schema bookkeeping), arrays and the content's digest."""

    path: Path
    attributes: dict[str, Any]
    arrays: dict[str, np.ndarray]
    digest: str


class ShardWriter:
    """Appends rows to a shard; every row has the same names and shapes."""

    def __init__(self, handle: h5py.File) -> None:
        self._handle = handle
        self.rows = 0

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one sample: `{name: array, number or string}`."""
        self.extend({name: _as_array(value)[np.newaxis] for name, value in row.items()})

    def extend(self, rows: Mapping[str, np.ndarray]) -> None:
        """Add several samples: `{name: array with the samples along axis 0}`."""
        count = len(next(iter(rows.values())))
        for name, values in rows.items():
            values = np.asarray(values)
            if self.rows == 0 and name not in self._handle:
                self._create(name, values)
            if len(values) != count:
                raise ValueError(f"{name} has {len(values)} rows, others {count}")
            stored = self._handle[name]
            stored.resize(self.rows + count, axis=0)
            stored[self.rows :] = values
        if set(rows) != set(self._handle):
            raise ValueError(f"a row must have {sorted(self._handle)}, not {sorted(rows)}")
        self.rows += count

    def _create(self, name: str, values: np.ndarray) -> None:
        text = values.dtype.kind in "UO"
        row_bytes = 64 if text else max(1, int(np.prod(values.shape[1:])) * values.itemsize)
        chunk_rows = max(1, min(256, (1 << 20) // row_bytes))
        self._handle.create_dataset(
            name,
            shape=(0, *values.shape[1:]),
            maxshape=(None, *values.shape[1:]),
            chunks=(chunk_rows, *values.shape[1:]),
            dtype=h5py.string_dtype() if text else values.dtype,
            compression="gzip",
            compression_opts=1,
            shuffle=not text and values.itemsize > 1,
        )


def _as_array(value: Any) -> np.ndarray:
    return np.asarray(value, dtype=object) if isinstance(value, str) else np.asarray(value)


@contextmanager
def shard_writer(path: Path, kind: str, attributes: Mapping[str, Any]) -> Iterator[ShardWriter]:
    """Open a shard for writing; it appears under `path`, with its digest, only if all went well.

    Args:
        path: Where the file will stand.
        kind: `samples` or `fold`; a reader asks for it again.
        attributes: Names to values; anything but a string or a number is stored as JSON.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w", rdcc_nbytes=_CHUNK_CACHE_BYTES) as handle:
        handle.attrs["schema_version"] = SCHEMA_VERSION
        handle.attrs["kind"] = kind
        for name, value in sorted(attributes.items()):
            handle.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)
        yield ShardWriter(handle)
        handle.attrs["digest"] = _content_digest(handle)


def read_shard(path: Path, kind: str, names: tuple[str, ...] | None = None) -> Shard:
    """Read a shard of ours after checking schema, kind and digest.

    Args:
        path: The file.
        kind: The kind it must be of.
        names: Arrays to return; all when None. Strings come back as `str` objects.

    Raises:
        InputError: missing, truncated, damaged, foreign, of another version or kind.
    """
    if not path.is_file():
        raise InputError(path, "does not exist")
    try:
        with h5py.File(path, "r") as handle:
            attributes = _checked_attributes(path, kind, handle)
            wanted = sorted(handle) if names is None else names
            missing = [name for name in wanted if name not in handle]
            if missing:
                raise InputError(path, f"lacks {', '.join(missing)}", "delete it and run again")
            arrays = {name: _read_array(handle[name]) for name in wanted}
    except _HDF5_ERRORS as error:
        raise InputError(path, f"is damaged or not an HDF5 file ({error})", "delete it and run again") from error
    return Shard(path, attributes, arrays, attributes["digest"])


def _checked_attributes(path: Path, kind: str, handle: h5py.File) -> dict[str, Any]:
    attributes = {name: _plain(value) for name, value in handle.attrs.items()}
    if attributes.get("schema_version") != SCHEMA_VERSION or "kind" not in attributes:
        raise InputError(path, f"is not a shard of schema version {SCHEMA_VERSION}", "delete it and run again")
    if attributes["kind"] != kind:
        raise InputError(path, f"is a {attributes['kind']} file where a {kind} file is needed")
    if attributes.get("digest") != _content_digest(handle):
        raise InputError(path, "content does not match its digest", "delete it and run again")
    return attributes


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _read_array(stored: h5py.Dataset) -> np.ndarray:
    return np.asarray(stored.asstr()[:] if h5py.check_string_dtype(stored.dtype) else stored[:])


def _content_digest(handle: h5py.File) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(handle.attrs) - {"digest"}):
        digest.update(f"@{name}={_plain(handle.attrs[name])!r}\0".encode())
    for name in sorted(handle):
        stored = handle[name]
        text = h5py.check_string_dtype(stored.dtype) is not None
        digest.update(f"{name}:{'text' if text else stored.dtype.str}:{stored.shape}\0".encode())
        for start in range(0, len(stored), _ROWS_PER_READ):
            block = _read_block(stored, start, text)
            digest.update(block)
    return digest.hexdigest()


def _read_block(stored: h5py.Dataset, start: int, text: bool) -> bytes:
    rows = stored[start : start + _ROWS_PER_READ]
    if text:
        return b"".join(row + b"\0" for row in rows)
    return np.ascontiguousarray(rows).tobytes()


def read_rows(path: Path, kind: str, names: tuple[str, ...], sample_ids: Sequence[str], digest: str) -> Shard:
    """Read the rows of some samples, holding no others in memory beyond one block.

    Args:
        path: The file.
        kind: The kind it must be of.
        names: Arrays to return.
        sample_ids: Samples wanted; the rows come in the file's order, whatever the order here.
        digest: The content's digest that the file must have.

    Raises:
        InputError: as `read_shard`; also a file of another digest, or without one of the samples.
    """
    if not path.is_file():
        raise InputError(path, "does not exist")
    try:
        with h5py.File(path, "r") as handle:
            attributes = _checked_attributes(path, kind, handle)
            if attributes["digest"] != digest:
                raise InputError(path, "changed since other files were made from it", "delete those and run again")
            missing = [name for name in ("sample_id", *names) if name not in handle]
            if missing:
                raise InputError(path, f"lacks {', '.join(missing)}", "delete it and run again")
            rows = _rows_of(path, _read_array(handle["sample_id"]), sample_ids)
            arrays = {name: _select_rows(handle[name], rows) for name in names}
    except _HDF5_ERRORS as error:
        raise InputError(path, f"is damaged or not an HDF5 file ({error})", "delete it and run again") from error
    return Shard(path, attributes, arrays, digest)


def _rows_of(path: Path, present: np.ndarray, sample_ids: Sequence[str]) -> np.ndarray:
    row_of = {sample_id: row for row, sample_id in enumerate(present)}
    absent = sorted(set(sample_ids) - row_of.keys())
    if absent:
        raise InputError(path, f"lacks {len(absent)} sample(s), first {absent[0]!r}", "delete it and run again")
    return np.sort(np.array([row_of[sample_id] for sample_id in set(sample_ids)], dtype=np.int64))


def _select_rows(stored: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    text = h5py.check_string_dtype(stored.dtype) is not None
    selected = np.empty((len(rows), *stored.shape[1:]), dtype=object if text else stored.dtype)
    source = stored.asstr() if text else stored
    for start in range(0, len(stored), _ROWS_PER_READ):
        first, last = np.searchsorted(rows, (start, start + _ROWS_PER_READ))
        if first < last:
            selected[first:last] = source[start : start + _ROWS_PER_READ][rows[first:last] - start]
    return selected
