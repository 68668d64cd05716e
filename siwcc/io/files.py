"""Files that appear whole or not at all, and their digests."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from siwcc.io.checksums import MANIFEST, checked_text, manifest_text, read_text
from siwcc.io.errors import InputError, unwritable
from siwcc.io.locks import try_lock, wait_until

_BLOCK_BYTES = 1 << 20
_MOST_SHOWN = 200


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there on success, remove it on failure.

    It is always `.<name>.part`, so that what a hard kill leaves there is taken over by the next writer of
    `path`, and it is locked while it is written, so that there is one writer at a time.

    Raises:
        InputError: the disk is full, the folder cannot be written to, or another process goes on writing.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _open_locked(temporary, path)
        try:
            yield temporary
            os.fsync(handle)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            # Not after the renaming: the name may be the next writer's by then.
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
    except OSError as error:
        raise _blamed(path, error) from error


def _open_locked(temporary: Path, wanted: Path) -> int:
    """An open, empty, locked file under the name `temporary`."""
    while True:
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            wait_until(partial(try_lock, handle), wanted, "another process is writing it")
            if _is_at(handle, temporary):
                os.ftruncate(handle, 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        # Whoever held the lock has renamed or removed what was opened here.
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _blamed(path: Path, error: OSError) -> InputError:
    """The line for an error that came up while `path` was written, perhaps by reading another file."""
    named = path if error.filename is None else Path(os.fsdecode(error.filename))
    if named.parent != path.parent and not path.is_relative_to(named):
        return InputError(named, f"cannot be read ({error.strerror or error})")
    return unwritable(path, error)


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
    """Write what vouches for files that are there already, see `siwcc.io.checksums`.

    Args:
        path: `manifest.json`, or `<name>.manifest.json` beside `<name>.csv`.
        place: See `siwcc.io.checksums.manifest_text`.
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
    return parse_csv(path, checked_text(path), columns)


def parse_csv(path: Path, text: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV that must have at least `columns`.

    Args:
        path: For messages.
        text: Its content.
        columns: Names that the header must hold.

    Raises:
        InputError: a column is missing or is there twice, or a row has another length.
    """
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
        twice = Counter(header).most_common(1)[0][0]
        raise InputError(path, f"has the column {twice[:_MOST_SHOWN] or 'without a name'} twice")


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
