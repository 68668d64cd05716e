"""What vouches for files that carry no sum of their own: a JSON file beside them, itself sealed.

`manifest.json` in a folder lists what one job wrote there; where several jobs write into one folder, a
table `<name>.csv` has `<name>.manifest.json`. Whoever reads such a file compares it with its sum first, so
that a damaged file, or one of another run under this run's name, is recognised by its content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from siwcc.io.errors import InputError

SCHEMA_VERSION = 3
MANIFEST = "manifest.json"
MAX_TEXT_BYTES = 128 << 20
MAX_JSON_BYTES = 16 << 20

_REMEDY = "delete it and run again"


def sealed_json(values: Mapping[str, Any]) -> str:
    """An object as JSON text with two keys more: `schema_version`, and `digest` over all the others.

    Args:
        values: What JSON can hold; no value may be NaN or infinite.
    """
    content = {**values, "schema_version": SCHEMA_VERSION}
    return json.dumps({**content, "digest": _digest(content)}, indent=1, sort_keys=True, allow_nan=False) + "\n"


def unsealed_json(where: str | os.PathLike[str], text: str, remedy: str = _REMEDY) -> dict[str, Any]:
    """What `sealed_json` was given.

    Args:
        where: The file, for messages.
        text: Its content.
        remedy: How to get a right file of this kind.

    Raises:
        InputError: no JSON object, of another schema version, or its digest is not that of the content.
    """
    content = parse_json(where, text)
    digest = content.pop("digest", None)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        problem = f"is not of schema version {SCHEMA_VERSION} (it says {str(version)[:20]!r})"
        raise InputError(where, f"{problem}: an older version or a foreign file", remedy)
    if digest != _digest(content):
        raise InputError(where, "is damaged: its content does not match its digest", remedy)
    del content["schema_version"]
    return content


def parse_json(where: str | os.PathLike[str], text: str) -> dict[str, Any]:
    """A JSON object from text.

    Raises:
        InputError: no JSON, or another value than an object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"is damaged or no JSON ({error})", _REMEDY) from error
    if not isinstance(value, dict):
        raise InputError(where, "holds no JSON object", _REMEDY)
    return value


def _digest(content: Mapping[str, Any]) -> str:
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode("ascii")).hexdigest()


def manifest_text(place: str, outputs: Mapping[str, str], **more: Any) -> str:
    """The content of a manifest.

    Args:
        place: The end of the path of the folder that it belongs into, `ecg/coord/full/fold1/seed42`; empty where
            the folder's name says nothing about the content.
        outputs: Names of the files that it vouches for, with their SHA-256.
        more: What else is to be known of them.
    """
    return sealed_json({**more, "place": place, "outputs": dict(outputs)})


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest, with `place` and `outputs` checked.

    Raises:
        InputError: missing, damaged, of another version, or it belongs into another folder.
    """
    content = unsealed_json(path, read_text(path, MAX_JSON_BYTES))
    place, outputs = content.get("place"), content.get("outputs")
    if not isinstance(place, str) or not isinstance(outputs, dict):
        raise InputError(path, "lists no files", _REMEDY)
    folders = tuple(part for part in place.split("/") if part)
    here = Path(os.path.abspath(path)).parent.parts  # noqa: PTH100 - a link's own place counts, not its target's
    if folders and here[-len(folders) :] != folders:
        raise InputError(path, f"belongs into {place}, not into this folder", "put the right files back")
    return content


def manifest_beside(path: Path) -> Path | None:
    """The manifest that may list a file, if there is one."""
    for name in (f"{path.stem}.{MANIFEST}", MANIFEST):
        candidate = path.with_name(name)
        if candidate != path and candidate.is_file():
            return candidate
    return None


def read_bytes(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a file that is meant to be small.

    Raises:
        InputError: it cannot be read, is no regular file, or is larger.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(path, "is no regular file")
        with path.open("rb") as handle:
            content = handle.read(max_bytes + 1)
    except OSError as error:
        problem = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(path, problem) from error
    if len(content) > max_bytes:
        raise InputError(path, f"is larger than the {max_bytes} bytes that such a file may have")
    return content


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The content of a small file as UTF-8; a byte order mark is taken off.

    Raises:
        InputError: as `read_bytes`, or it is no text.
    """
    return _as_text(path, read_bytes(path, max_bytes))


def _as_text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, f"cannot be read as text in UTF-8 ({error.reason} at byte {error.start})") from error


def checked_bytes(path: Path, max_bytes: int = MAX_TEXT_BYTES, foreign: bool = False) -> bytes:
    """The content of a file, compared with the manifest beside it if there is one that lists it.

    Args:
        path: The file.
        max_bytes: A larger file is refused.
        foreign: It may lie beside a `manifest.json` of some other program, or away from its place: a manifest
            that is none of ours is passed over.

    Raises:
        InputError: as `read_bytes`; the manifest is damaged, belongs elsewhere or gives another sum.
    """
    content = read_bytes(path, max_bytes)
    manifest = manifest_beside(path)
    if manifest is not None:
        expected = _expected_sum(manifest, path.name, foreign)
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            problem = f"is not the file that {manifest.name} lists: changed, damaged, or of another run"
            raise InputError(path, problem, "put the right one back, or delete it and run again")
    return content


def checked_text(path: Path, foreign: bool = False) -> str:
    """The content of a text file, see `checked_bytes`; UTF-8, a byte order mark is taken off.

    Raises:
        InputError: as `checked_bytes`, or it is no text.
    """
    return _as_text(path, checked_bytes(path, foreign=foreign))


def _expected_sum(manifest: Path, name: str, foreign: bool) -> str | None:
    try:
        content = read_manifest(manifest)
    except InputError:
        if foreign:
            return None
        raise
    expected = content["outputs"].get(name)
    # A `manifest.json` lists every file next to it that is read so; another one is that of another folder.
    if expected is None and manifest.name == MANIFEST and not foreign:
        raise InputError(manifest, f"does not list {name}", "put the right one back, or delete both and run again")
    return None if expected is None else str(expected)
