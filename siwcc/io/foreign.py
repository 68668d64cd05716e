"""Text files and file names of other programs: their encodings, and one name in two Unicode spellings."""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

from siwcc.io.checksums import MAX_TEXT_BYTES, read_bytes
from siwcc.io.errors import InputError

# The longer marks first: that of UTF-32 in little-endian order begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EXAMINED_BYTES = 4096
_REMEDY = "save it as text in UTF-8"


def read_foreign_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    r"""The content of a text file of any program, with every line end as `\n`.

    The encoding is that of the byte order mark; without one UTF-8, UTF-16 where every other byte of the start is 0,
    or else Windows-1252.

    Raises:
        InputError: the file cannot be read, is too large, or is no text.
    """
    content = read_bytes(path, max_bytes)
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "") or _unmarked(content)
    if b"\0" in content and encoding in ("utf-8", "cp1252"):
        raise InputError(path, "is no text: it contains zero bytes", _REMEDY)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        problem = f"cannot be read as text in {encoding.upper()} ({error.reason} at byte {error.start})"
        raise InputError(path, problem, _REMEDY) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unmarked(content: bytes) -> str:
    start = content[:_EXAMINED_BYTES]
    if start and len(content) % 2 == 0:
        # Letters, digits and separators have a zero as their high byte.
        if 0 not in start[::2] and not any(start[1::2]):
            return "utf-16-le"
        if 0 not in start[1::2] and not any(start[::2]):
            return "utf-16-be"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        # A file that is cut within a letter, and not text in another encoding.
        return "utf-8" if error.end == len(content) and error.reason == "unexpected end of data" else "cp1252"
    return "utf-8"


def composed(text: str) -> str:
    """A text in Unicode normal form C, so that an `ü` in one character and in two are equal."""
    return unicodedata.normalize("NFC", text)


def find_file(folder: Path, name: str) -> Path:
    """A file below a folder, also under a name that is in another Unicode normal form on the disk.

    Args:
        folder: The folder.
        name: Relative to it, parts separated by `/`.

    Returns:
        Its path as it is on the disk; where there is none, the path as it was asked for.
    """
    path = folder / name
    if name.isascii() or is_there(path):
        return path
    found = folder
    for part in Path(name).parts:
        found = found / part if is_there(found / part) else _respelt(found, part)
    return found if is_there(found) else path


def other_case(path: Path) -> str:
    """The name of a file in the same folder that differs in upper and lower case only; empty if there is none."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return ""
    wanted = composed(path.name).casefold()
    return next((name for name in names if name != path.name and composed(name).casefold() == wanted), "")


def is_there(path: Path) -> bool:
    """Whether a path exists; False for a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        # Too long for the file system, or with a zero byte.
        return False


def _respelt(folder: Path, name: str) -> Path:
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return folder / name
    return folder / next((other for other in names if composed(other) == composed(name)), name)
