"""Unpacking a .7z archive that nobody vouches for: into one folder, all of it or nothing."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from siwcc.io.errors import InputError, unwritable

MAGIC_7Z = b"7z\xbc\xaf\x27\x1c"
MAX_MEMBERS = 100_000

Place = Callable[[PurePosixPath], PurePosixPath | None]
"""From a member's path in the archive to its path below the target folder; None leaves it out."""

_DRIVE = re.compile(r"[A-Za-z]:")
_HTML = re.compile(rb"\s*(<!doctype|<html|<\?xml)", re.IGNORECASE)
_FOLDERS_FAULT = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTEMPTY}
)
_REMEDY = "delete it and run again; if it stays so, check the url, or unpack a copy by hand and set path"


def extract_archive(archive: Path, folder: Path, place: Place, max_bytes: int) -> int:
    """Unpack the members that `place` wants into a new folder, which appears whole or not at all.

    An archive with a link, a device, a path that is absolute or leads upwards (wanted or not), two
    wanted members for one place, or more than `max_bytes` declared over all members is refused before
    anything is written; a member never yields more than it declares. Times and permissions of the
    archive are not taken over.

    Args:
        archive: The .7z file; it is only read.
        folder: Must not exist yet. While it is filled it is called `.<name>.part`; what an interrupted
            run left under that name is removed, so two processes must not unpack to one folder at a time.
        place: Chooses the members and where they go.
        max_bytes: Limit of the unpacked size of the whole archive.

    Returns:
        Number of files unpacked, at least 1.

    Raises:
        InputError: not a .7z archive (an HTML error page, say), damaged, encrypted, refused, without any
            wanted member, or `folder` cannot be written.
    """
    staging = folder.with_name(f".{folder.name}.part")
    try:
        _check_magic(archive)
        _remove(staging)
        (staging / "kept").mkdir(parents=True)
        count = _extract_into(archive, staging, place, max_bytes)
        (staging / "kept").rename(folder)
    except InputError:
        raise
    except Exception as error:
        # On damaged input py7zr and the decoders below it raise whatever they stumble over: struct.error,
        # LZMAError, EOFError, IndexError, TypeError, OSError from a seek ...
        if isinstance(error, OSError) and error.errno in _FOLDERS_FAULT:
            raise unwritable(folder, error) from error
        raise InputError(archive, f"cannot be unpacked ({type(error).__name__}: {error})", _REMEDY) from error
    finally:
        _remove(staging)
    return count


def _remove(staging: Path) -> None:
    shutil.rmtree(staging, ignore_errors=True)


def _check_magic(archive: Path) -> None:
    with archive.open("rb") as handle:
        start = handle.read(64)
    if start.startswith(MAGIC_7Z):
        return
    if not start:
        raise InputError(archive, "is empty (0 bytes)", _REMEDY)
    kind = "is a web page, not a .7z archive" if _HTML.match(start) else "is not a .7z archive"
    raise InputError(archive, f"{kind} (it starts with {start[:16]!r})", _REMEDY)


def _extract_into(archive: Path, staging: Path, place: Place, max_bytes: int) -> int:
    import py7zr

    # Given an open file, py7zr unpacks block after block; given a path, in a thread a block.
    with archive.open("rb") as handle, py7zr.SevenZipFile(handle, "r") as opened:
        if opened.needs_password():
            raise InputError(archive, "is encrypted", _REMEDY)
        _check_members(archive, opened.files, max_bytes)
        targets = _choose(archive, [member.filename for member in opened.files if member.is_file], place)
        opened.extract(path=staging / "members", targets=list(targets))
    for name, target in targets.items():
        source = staging / "members" / name
        if source.is_symlink() or not source.is_file():
            raise InputError(archive, f"member {name!r} did not unpack to a regular file", _REMEDY)
        destination = staging / "kept" / target
        destination.parent.mkdir(parents=True, exist_ok=True)
        source.replace(destination)
        destination.chmod(0o644)
    return len(targets)


def _check_members(archive: Path, members: Iterable[Any], max_bytes: int) -> None:
    total_bytes = 0
    for number, member in enumerate(members, start=1):
        name = member.filename
        if number > MAX_MEMBERS:
            raise InputError(archive, f"has more than {MAX_MEMBERS} members", _REMEDY)
        if _leads_out(name):
            raise InputError(archive, f"member {name!r} would be written outside its folder", _REMEDY)
        if member.is_symlink or member.is_junction or not (member.is_file or member.is_directory):
            raise InputError(archive, f"member {name!r} is a link or a special file", _REMEDY)
        total_bytes += member.uncompressed or 0
    if total_bytes > max_bytes:
        raise InputError(archive, f"would unpack to {total_bytes} bytes; {max_bytes} are allowed", _REMEDY)


def _leads_out(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return not name or "\0" in name or parts[0] == "" or ".." in parts or _DRIVE.match(name) is not None


def _choose(archive: Path, names: Iterable[str], place: Place) -> dict[str, PurePosixPath]:
    targets: dict[str, PurePosixPath] = {}
    taken: set[str] = set()
    for name in names:
        target = place(PurePosixPath(name.replace("\\", "/")))
        if target is None:
            continue
        # Two names that differ in case only are one file on many systems.
        key = str(target).lower()
        if key in taken:
            raise InputError(archive, f"holds two members for {target}", _REMEDY)
        taken.add(key)
        targets[name] = target
    if not targets:
        raise InputError(archive, "holds none of the files that are needed", _REMEDY)
    return targets
