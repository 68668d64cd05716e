"""What raw files a data set consists of: `data/raw/<dataset>.manifest.csv`.

The files themselves are opened where they lie. A user's own folder is only ever read.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from siwcc.config import AnyDataset
from siwcc.data.datasets.interface import reader_for
from siwcc.data.datasets.synthetic.write import Layout
from siwcc.io.errors import InputError, unwritable
from siwcc.io.files import read_csv, sha256_of, write_csv
from siwcc.io.locks import locked_folder

logger = logging.getLogger(__name__)

COLUMNS = ("file", "bytes", "sha256")


def raw_folder(name: str, section: AnyDataset, raw_root: Path) -> Path:
    """Where the raw files of a data set lie: the user's folder, or `raw_root/<name>`."""
    return section.path.expanduser() if section.path is not None else raw_root / name


def provide_raw(name: str, section: AnyDataset, raw_root: Path, manifest_path: Path) -> None:
    """Make sure that the raw files are there, and write their manifest.

    Args:
        name: The data set's name in the config.
        section: Its entry there; `path` is taken as it is, `synthetic` is written, else downloaded.
        raw_root: Folder of all downloads.
        manifest_path: The CSV to write.

    Raises:
        InputError: no such folder, an incomplete set, a download that failed, a part of the folder that cannot be
            read, a name that is no text.
    """
    folder = raw_folder(name, section, raw_root)
    reader = reader_for(section.format)
    if section.path is not None:
        with _reading(name, folder):
            if not folder.is_dir():
                raise InputError(folder, "is not a folder", f"check datasets.{name}.path")
    else:
        # Two studies may share the folder; what is there once the other one is through is kept.
        with locked_folder(folder, "another process is making or fetching its files", wait_s=math.inf):
            if section.synthetic is not None:
                _make_up(section, folder)
            else:
                reader.download(section, folder)
    with _reading(name, folder):
        files = _raw_files(section, folder)
        rows = [(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path)) for path in files]
    write_csv(manifest_path, COLUMNS, rows)
    _warn_of_differences(name, {file: sha256 for file, _, sha256 in rows}, reader.published_sums(section))


def _raw_files(section: AnyDataset, folder: Path) -> Sequence[Path]:
    """The files of a set, each with a name that a CSV can hold."""
    # A glob finds nothing in a folder that it may not read, and says nothing.
    next(folder.iterdir(), None)
    try:
        files = reader_for(section.format).raw_files(section, folder)
    except InputError as error:
        # Of such a file a reader may say something else first, and name another way out.
        _check_name(error.where)
        raise
    for path in files:
        _check_name(str(path))
    return files


def _check_name(path: str) -> None:
    if _printable(path) != path:
        raise InputError(_printable(path), "has a name that is no text in UTF-8", "rename it")


@contextmanager
def _reading(name: str, folder: Path) -> Iterator[None]:
    """One line for whatever of a set cannot be read."""
    try:
        yield
    except OSError as error:
        where = str(folder) if error.filename is None else os.fsdecode(error.filename)
        remedy = f"make it readable, or give datasets.{name}.path a folder without it"
        raise InputError(_printable(where), f"cannot be read ({error.strerror or error})", remedy) from error


def _printable(path: str) -> str:
    r"""A path in which a byte that is not of UTF-8 stands as `\xe9`."""
    return path.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="backslashreplace")


def _warn_of_differences(name: str, found: Mapping[str, str], published: Mapping[str, str]) -> None:
    """Say so when a copy is not the published set: its own checksums do not cover annotations."""
    differing = sorted(file for file, sha256 in found.items() if published.get(file, sha256) != sha256)
    missing = sorted(set(published) - set(found)) if set(found) & set(published) else []
    if differing:
        logger.warning("%s: %d file(s) differ from the published set, %s first", name, len(differing), differing[0])
    if missing:
        logger.warning("%s: %d file(s) of the published set are missing, %s first", name, len(missing), missing[0])


def _make_up(section: AnyDataset, folder: Path) -> None:
    from siwcc.data.datasets.synthetic.write import write_synthetic

    assert section.synthetic is not None  # noqa: S101 - narrows the type
    made = folder.with_name(f".{folder.name}.part")
    # The folder is held: what lies there was left by a process that was killed.
    shutil.rmtree(made, ignore_errors=True)
    try:
        write_synthetic(section.kind, made, section.synthetic.samples, section.synthetic.seed, _layout_of(section))
        foreign = _files_below(folder) - _files_below(made)
        if foreign:
            # A set of fewer samples would take them in, and a download must not be deleted unasked.
            raise InputError(
                folder,
                f"holds {min(foreign)}, which is none of the synthetic files",
                f"delete the folder, or give datasets.{folder.name} another name",
            )
        _move_files(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _layout_of(section: AnyDataset) -> Layout:
    if section.format != "folder":
        return "published"
    return "radiographs" if section.points_from else "folder"


def _move_files(source: Path, target: Path) -> None:
    """Move files that stand on the same device, each in one step."""
    try:
        for file in sorted(_files_below(source)):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (source / file).replace(target / file)
    except OSError as error:
        raise unwritable(target, error) from error


def _files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def check_manifest(name: str, section: AnyDataset, folder: Path, manifest_path: Path) -> None:
    """Compare the raw files with their manifest before they are read.

    Args:
        name: The data set's name in the config.
        section: Its entry there.
        folder: Where the raw files lie.
        manifest_path: What `provide_raw` wrote.

    Raises:
        InputError: a file is missing, cannot be read, was changed or came in since the manifest was written.
    """
    remedy = f"restore it, or delete {manifest_path} to take the files as they are now"
    rows = read_csv(manifest_path, COLUMNS)
    with _reading(name, folder):
        for row in rows:
            _check_file(folder / row["file"], row, name, remedy)
        found = {path.relative_to(folder).as_posix() for path in _raw_files(section, folder)}
    added = found - {row["file"] for row in rows}
    if added:
        raise InputError(folder / min(added), "came in since the manifest was written", f"delete {manifest_path}")


def _check_file(path: Path, row: Mapping[str, str], name: str, remedy: str) -> None:
    if not path.is_file():
        raise InputError(path, f"is listed for {name} but does not exist", remedy)
    if str(path.stat().st_size) != row["bytes"]:
        raise InputError(path, f"has {path.stat().st_size} bytes, its manifest says {row['bytes']}", remedy)
    if sha256_of(path) != row["sha256"]:
        raise InputError(path, "changed since its manifest was written", remedy)
