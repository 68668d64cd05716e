"""What raw files a data set consists of: `data/raw/<dataset>.manifest.csv`.

The files themselves are opened where they lie. A user's own folder is only ever read.
"""

from __future__ import annotations

from pathlib import Path

from siwcc.config import AnyDataset, DatasetSection
from siwcc.datasets import reader_for
from siwcc.errors import InputError
from siwcc.files import read_csv, sha256_of, write_csv

COLUMNS = ("file", "bytes", "sha256")


def raw_folder(name: str, section: DatasetSection, raw_root: Path) -> Path:
    """Where the raw files of a data set lie: the user's folder, or `raw_root/<name>`."""
    return section.path.expanduser() if section.path is not None else raw_root / name


def provide_raw(name: str, section: AnyDataset, raw_root: Path, manifest_path: Path) -> None:
    """Make sure that the raw files are there, and write their manifest.

    Args:
        name: The data set's name in the config.
        section: Its entry there; `path` is taken as it is, `made_up` is written, else downloaded.
        raw_root: Folder of all downloads.
        manifest_path: The CSV to write.

    Raises:
        InputError: no such folder, an incomplete set, a download that failed.
    """
    folder = raw_folder(name, section, raw_root)
    reader = reader_for(section.format)
    if section.path is not None:
        if not folder.is_dir():
            raise InputError(folder, "is not a folder", f"check datasets.{name}.path")
    elif section.made_up is not None:
        _make_up(reader.TASK, section, folder)
    else:
        reader.download(section, folder)
    files = reader.raw_files(folder)
    rows = [(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path)) for path in files]
    write_csv(manifest_path, COLUMNS, rows)


def _make_up(task: str, section: DatasetSection, folder: Path) -> None:
    from siwcc.datasets.synthetic import write_made_up

    assert section.made_up is not None
    write_made_up(task, folder, section.made_up.samples, section.made_up.seed)


def check_manifest(name: str, folder: Path, manifest_path: Path) -> None:
    """Compare the raw files with their manifest before they are read.

    Raises:
        InputError: a file is missing or its size changed since the manifest was written.
    """
    remedy = f"restore it, or delete {manifest_path} to take the files as they are now"
    for row in read_csv(manifest_path, COLUMNS):
        path = folder / row["file"]
        if not path.is_file():
            raise InputError(path, f"is listed for {name} but does not exist", remedy)
        if str(path.stat().st_size) != row["bytes"]:
            raise InputError(path, f"has {path.stat().st_size} bytes, its manifest says {row['bytes']}", remedy)
        if sha256_of(path) != row["sha256"]:
            raise InputError(path, "changed since its manifest was written", remedy)
