"""Files that appear whole or not at all, and their digests."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from siwcc.errors import InputError
from siwcc.manifests import MANIFEST, checked_text, manifest_text, read_text

_BLOCK_BYTES = 1 << 20
_MOST_SHOWN = 200


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there on success, remove it on failure.

    Raises:
        InputError: the disk is full or the folder cannot be written to.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _blamed(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _blamed(path: Path, error: OSError) -> InputError:
    """The line for an error that came up while `path` was written, perhaps by reading another file."""
    reason = error.strerror or str(error)
    named = path if error.filename is None else Path(os.fsdecode(error.filename))
    if named.parent != path.parent and not path.is_relative_to(named):
        return InputError(named, f"cannot be read ({reason})")
    remedy = "make room or choose another folder, then give the same command again"
    return InputError(path, f"cannot be written ({reason})", remedy)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with LF line ends to `path` in one step."""
    write_bytes(path, text.encode("utf-8"))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV as text: a header line, LF line ends."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV (UTF-8, LF, a header line) in one step."""
    write_text(path, csv_text(columns, rows))


def write_manifest(path: Path, place: str, outputs: Iterable[Path], **more: Any) -> None:
    """Write what vouches for files that are there already, see `siwcc.manifests`.

    Args:
        path: `manifest.json`, or `<name>.manifest.json` beside `<name>.csv`.
        place: See `siwcc.manifests.manifest_text`.
        outputs: The files.
        more: What else is to be known of them.
    """
    write_text(path, manifest_text(place, {file.name: sha256_of(file) for file in outputs}, **more))


def write_table(path: Path, text: str) -> None:
    """Write a CSV that later stages read, and its manifest beside it."""
    write_text(path, text)
    write_manifest(path.with_name(f"{path.stem}.{MANIFEST}"), "", (path,))


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV of ours that must have at least `columns`, and be what its manifest says if it has one.

    Raises:
        InputError: the file is missing, not text, not what its manifest lists, lacks a column, has one
            twice, or has a row of another length.
    """
    text = checked_text(path)
    try:
        reader = csv.DictReader(io.StringIO(text), restkey="\0", restval=None)
        header = list(reader.fieldnames or [])
        _check_header(path, header, columns)
        rows = []
        for number, row in enumerate(reader, start=2):
            if "\0" in row or None in row.values():
                raise InputError(path, f"line {number} does not have {len(header)} fields")
            rows.append(dict(row))
    except csv.Error as error:
        raise InputError(path, f"cannot be read as a CSV ({error})") from error
    return rows


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        found = ", ".join(header)[:_MOST_SHOWN] or "none"
        raise InputError(path, f"lacks the column(s) {', '.join(missing)}; found {found}")
    if len(set(header)) < len(header):
        raise InputError(path, f"has the column {max(header, key=header.count)} twice")


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain values; nothing in it is executed.

    Raises:
        InputError: the file is missing, not text, not YAML, or holds a number or date that is none.
    """
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(path, f"cannot be read as YAML ({error})") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def digest_of(parts: Mapping[str, str]) -> str:
    """One SHA-256 over named strings, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        digest.update(f"{name}\0{parts[name]}\0".encode())
    return digest.hexdigest()
