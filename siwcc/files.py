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

_BLOCK_BYTES = 1 << 20


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


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV (UTF-8, LF, a header line) in one step."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV that must have at least `columns`.

    Raises:
        InputError: the file is missing, not text, lacks a column or has a row of another length.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read as a CSV ({error})") from error
    reader = csv.DictReader(io.StringIO(text), restkey="\0", restval=None)
    header = reader.fieldnames or []
    missing = [column for column in columns if column not in header]
    if missing:
        raise InputError(path, f"lacks the column(s) {', '.join(missing)}; found {', '.join(header) or 'none'}")
    rows = []
    try:
        for number, row in enumerate(reader, start=2):
            if "\0" in row or None in row.values():
                raise InputError(path, f"line {number} does not have {len(header)} fields")
            rows.append(dict(row))
    except csv.Error as error:
        raise InputError(path, f"cannot be read as a CSV ({error})") from error
    return rows


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain values; nothing in it is executed.

    Raises:
        InputError: the file is missing, not text or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
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
