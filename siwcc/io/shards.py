"""The HDF5 files: one schema, written whole, read with checks.

A shard is a set of named arrays with one row a sample, and attributes. Two sums guard it:

- the seal, in front of the HDF5 part, is a SHA-256 over that part's bytes. It is checked before HDF5,
  which damaged files can crash, hang or make allocate without bounds, sees any of them;
- `digest`, an attribute, is a SHA-256 over every array and attribute, however they are stored. It names
  the content: other files say by it what they were made from.

HDF5 passes over the block in front (its "user block"), so any of its programs opens these files.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from siwcc.io.errors import InputError
from siwcc.io.files import atomic_path

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SCHEMA_VERSION = 3
_KINDS = ("samples", "fold", "recordings", "curves")
_SEAL_BYTES = 512
_SEAL = re.compile(rb"siwcc shard (\d+)\nsha256 ([0-9a-f]{64})\n\0*")
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_BLOCK_BYTES = 1 << 20
# Deflate cannot make less of anything.
_BEST_COMPRESSION = 1032
# What h5py raises on files whose structure is not ours.
_HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)
_REMAKE = "delete it and run again"
# Rows arrive a few at a time: a chunk is to be compressed once, when it is full.
_CHUNK_CACHE_BYTES = 16 << 20


@dataclass(frozen=True)
class Shard:
    """What was read: attributes (without schema bookkeeping), arrays and the content's digest."""

    path: Path
    attributes: dict[str, Any]
    arrays: dict[str, np.ndarray]
    digest: str


class _Disk(io.FileIO):
    """What HDF5 writes to. It never learns of a failed write: it would print hundreds of tracebacks, and crash."""

    failure: OSError | None = None

    def write(self, block: ReadableBuffer) -> int:
        """Write all of a block, or keep the reason why not."""
        waiting = memoryview(block).cast("B")
        total = len(waiting)
        try:
            while waiting and self.failure is None:
                waiting = waiting[super().write(waiting) :]
        except OSError as error:
            self.failure = error
        return total

    def truncate(self, size: int | None = None) -> int:
        """Change the file's size, or keep the reason why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.failure is not None:
            raise self.failure


class ShardWriter:
    """Appends rows to a shard; every row has the same names and shapes."""

    def __init__(self, handle: h5py.File, disk: _Disk, uncompressed: Collection[str]) -> None:
        self._handle = handle
        self._disk = disk
        self._uncompressed = uncompressed
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
        self._disk.check()
        self.rows += count

    def annotate(self, name: str, value: str | float) -> None:
        """Set an attribute that is known only once the rows are."""
        self._handle.attrs[name] = value

    def _create(self, name: str, values: np.ndarray) -> None:
        text = values.dtype.kind in "UO"
        row_bytes = 64 if text else max(1, int(np.prod(values.shape[1:])) * values.itemsize)
        chunk_rows = max(1, min(256, (1 << 20) // row_bytes))
        compression: dict[str, Any] = {"compression": "gzip", "compression_opts": 1}
        compression["shuffle"] = not text and values.itemsize > 1
        self._handle.create_dataset(
            name,
            shape=(0, *values.shape[1:]),
            maxshape=(None, *values.shape[1:]),
            chunks=(chunk_rows, *values.shape[1:]),
            dtype=h5py.string_dtype() if text else values.dtype,
            **({} if name in self._uncompressed else compression),
        )


def _as_array(value: Any) -> np.ndarray:
    return np.asarray(value, dtype=object) if isinstance(value, str) else np.asarray(value)


@contextmanager
def shard_writer(
    path: Path, kind: str, attributes: Mapping[str, Any], uncompressed: Collection[str] = ()
) -> Iterator[ShardWriter]:
    """Open a shard for writing; it appears under `path`, with its digest, only if all went well.

    Args:
        path: Where the file will stand.
        kind: `samples`, `fold`, `recordings` or `curves`; a reader asks for it again.
        attributes: Names to values; anything but a string or a number is stored as JSON.
        uncompressed: Arrays to store as they are. Float signals with noise shrink by a seventh, and
            reading them then takes eight times as long. The digest is the same either way.

    Raises:
        InputError: the disk is full or the folder cannot be written to.
    """
    layout: dict[str, Any] = {"userblock_size": _SEAL_BYTES, "rdcc_nbytes": _CHUNK_CACHE_BYTES, "locking": False}
    with atomic_path(path) as temporary:
        with _disk(temporary) as disk, h5py.File(disk, "w", **layout) as handle:
            handle.attrs["schema_version"] = SCHEMA_VERSION
            handle.attrs["kind"] = kind
            for name, value in sorted(attributes.items()):
                plain = isinstance(value, str | int | float)
                handle.attrs[name] = value if plain else json.dumps(value, sort_keys=True)
            yield ShardWriter(handle, disk, uncompressed)
            handle.attrs["digest"] = _content_digest(handle)
        _write_seal(temporary)


@contextmanager
def _disk(path: Path) -> Iterator[_Disk]:
    """A file for HDF5; a failure to write it goes before what HDF5 makes of the missing bytes."""
    with _Disk(path, "w+") as disk:
        try:
            yield disk
        except _HDF5_ERRORS:
            disk.check()
            raise
        disk.check()


def read_shard(path: Path, kind: str, names: tuple[str, ...] | None = None) -> Shard:
    """Read a shard of ours after checking schema, kind and digest.

    Args:
        path: The file.
        kind: The kind it must be of.
        names: Arrays to return; all when None. Strings come back as `str` objects.

    Raises:
        InputError: missing, truncated, damaged, foreign, of another version or kind.
    """
    _check_seal(path)
    with _opened(path) as handle:
        attributes = _own_attributes(path, kind, handle)
        wanted = tuple(handle) if names is None else names
        stored = _stored_arrays(path, handle, wanted)
        arrays = {name: _read_rows(stored[name], None) for name in wanted}
    return Shard(path, attributes, arrays, attributes["digest"])


def shard_kind(path: Path) -> str:
    """What a shard holds: `samples`, `fold`, `recordings` or `curves`.

    Raises:
        InputError: missing, truncated, damaged, foreign, of another version.
    """
    _check_seal(path)
    with _opened(path) as handle:
        kind = _plain(handle.attrs.get("kind"))
    if kind not in _KINDS:
        raise InputError(path, f"is no {', '.join(_KINDS[:-1])} or {_KINDS[-1]} file", _REMAKE)
    return str(kind)


def read_attributes(path: Path, kind: str) -> dict[str, Any]:
    """Attributes of a shard that this process has already read, `digest` among them.

    The seal is not checked again: that is for whoever reads the arrays.

    Args:
        path: The file.
        kind: The kind it must be of.

    Raises:
        InputError: missing, truncated, foreign, of another version or kind.
    """
    with _opened(path) as handle:
        return _own_attributes(path, kind, handle)


def _write_seal(path: Path) -> None:
    with path.open("r+b") as handle:
        handle.seek(_SEAL_BYTES)
        seal = f"siwcc shard {SCHEMA_VERSION}\nsha256 {hashlib.file_digest(handle, 'sha256').hexdigest()}\n"
        handle.seek(0)
        handle.write(seal.encode("ascii").ljust(_SEAL_BYTES, b"\0"))


def _check_seal(path: Path) -> None:
    """Compare the bytes of the HDF5 part with the seal, before HDF5 reads them."""
    try:
        with path.open("rb") as handle:
            seal = handle.read(_SEAL_BYTES)
            match = _SEAL.fullmatch(seal)
            found = hashlib.file_digest(handle, "sha256").hexdigest() if match else ""
    except OSError as error:
        problem = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(path, problem) from error
    if match is None:
        raise InputError(path, _foreign(seal), _REMAKE)
    if int(match[1]) != SCHEMA_VERSION:
        raise InputError(path, f"is a shard of schema version {int(match[1])}, not {SCHEMA_VERSION}", _REMAKE)
    if found != match[2].decode():
        raise InputError(path, "is damaged: its content does not match its digest", _REMAKE)


def _foreign(start: bytes) -> str:
    if not start:
        return "is empty (0 bytes)"
    if start.startswith(_HDF5_MAGIC):
        return f"is no shard of schema version {SCHEMA_VERSION}, but an older or a foreign HDF5 file"
    return "is damaged or not an HDF5 file of siwcc"


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise InputError(path, "does not exist")
    try:
        # A shard appears whole and never changes, and many a shared file system has no locks to give to HDF5.
        with h5py.File(path, "r", locking=False) as handle:
            yield handle
    except _HDF5_ERRORS as error:
        raise InputError(path, f"is damaged or not an HDF5 file ({error})", _REMAKE) from error


def _own_attributes(path: Path, kind: str, handle: h5py.File) -> dict[str, Any]:
    attributes = {name: _plain(value) for name, value in handle.attrs.items()}
    if attributes.get("schema_version") != SCHEMA_VERSION or not {"kind", "digest"} <= attributes.keys():
        raise InputError(path, f"is no shard of schema version {SCHEMA_VERSION}", _REMAKE)
    if attributes["kind"] != kind:
        raise InputError(path, f"is a {attributes['kind']} file where a {kind} file is needed")
    return attributes


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _stored_arrays(path: Path, handle: h5py.File, names: Sequence[str]) -> dict[str, h5py.Dataset]:
    """The named arrays, none of which leads to another file, another filter or more memory than it can fill."""
    missing = [name for name in names if name not in handle]
    if missing:
        raise InputError(path, f"lacks {', '.join(missing)}", _REMAKE)
    arrays = {}
    for name in names:
        stored = handle[name] if isinstance(handle.get(name, getlink=True), h5py.HardLink) else None
        if not isinstance(stored, h5py.Dataset) or stored.external or stored.is_virtual or stored.ndim == 0:
            raise InputError(path, f"{name} is no array of its own", _REMAKE)
        if stored.compression not in (None, "gzip") or not (_is_text(stored) or stored.dtype.kind in "biuf"):
            raise InputError(path, f"{name} is stored in a way that siwcc does not use", _REMAKE)
        if stored.size * stored.dtype.itemsize > _BEST_COMPRESSION * max(1, stored.id.get_storage_size()):
            raise InputError(path, f"{name} claims more values than it can hold", _REMAKE)
        arrays[name] = stored
    return arrays


def _content_digest(handle: h5py.File) -> str:
    """SHA-256 over all attributes and arrays."""
    digest = hashlib.sha256()
    for name in sorted(set(handle.attrs) - {"digest"}):
        digest.update(f"@{name}={_plain(handle.attrs[name])!r}\0".encode())
    for name in sorted(handle):
        stored = handle[name]
        text = _is_text(stored)
        digest.update(f"{name}:{'text' if text else stored.dtype.str}:{stored.shape}\0".encode())
        for _, block in _blocks(stored):
            digest.update(b"".join(row + b"\0" for row in block) if text else np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _is_text(stored: h5py.Dataset) -> bool:
    return h5py.check_string_dtype(stored.dtype) is not None


def _blocks(stored: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    """An array's rows in order, whole chunks at a time, each block with the number of its first row."""
    chunk_rows = stored.chunks[0] if stored.chunks else 1
    chunk_bytes = chunk_rows * int(np.prod(stored.shape[1:])) * stored.dtype.itemsize
    rows = chunk_rows * max(1, _BLOCK_BYTES // max(1, chunk_bytes))
    for start in range(0, len(stored), rows):
        yield start, stored[start : start + rows]


def _read_rows(stored: h5py.Dataset, rows: np.ndarray | None) -> np.ndarray:
    """Some rows of an array, ascending, or all; no others are in memory beyond one block."""
    count = len(stored) if rows is None else len(rows)
    kept = np.empty((count, *stored.shape[1:]), dtype=object if _is_text(stored) else stored.dtype)
    for start, block in _blocks(stored):
        _keep_rows(kept, rows, start, block)
    return kept


def _keep_rows(kept: np.ndarray, rows: np.ndarray | None, start: int, block: np.ndarray) -> None:
    """Copy a block's part of the rows to their places; text becomes `str`."""
    stop = start + len(block)
    if rows is None:
        first, last = start, stop
    else:
        first, last = np.searchsorted(rows, (start, stop))
        block = block[rows[first:last] - start]
    kept[first:last] = [row.decode() for row in block] if kept.dtype == object else block


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
    _check_seal(path)
    with _opened(path) as handle:
        attributes = _own_attributes(path, kind, handle)
        if attributes["digest"] != digest:
            raise InputError(path, "changed since other files were made from it", "delete those and run again")
        stored = _stored_arrays(path, handle, ("sample_id", *names))
        row_of = {sample_id: row for row, sample_id in enumerate(_read_rows(stored["sample_id"], None))}
        absent = sorted(set(sample_ids) - row_of.keys())
        if absent:
            raise InputError(path, f"lacks {len(absent)} sample(s), first {absent[0]!r}", _REMAKE)
        rows = np.sort(np.array([row_of[wanted] for wanted in set(sample_ids)], dtype=np.int64))
        arrays = {name: _read_rows(stored[name], rows) for name in names}
    return Shard(path, attributes, arrays, digest)
