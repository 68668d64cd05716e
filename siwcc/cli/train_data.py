"""What `siwcc train` is given: a folder with a table, or WFDB records with annotations, checked before any training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from siwcc.config import KIND_OF_TASK, AnyDataset, FolderSection, Kind, VfdbSection, parse_dataset
from siwcc.data.datasets.csv_signals import read_csv_signal
from siwcc.data.datasets.csv_times import TIME_COLUMN
from siwcc.data.datasets.folder_table import PLACE_COLUMNS, Row, Table
from siwcc.data.datasets.interface import reader_for
from siwcc.inference.inputs import IMAGE_SUFFIXES, kind_of, wfdb_record
from siwcc.io.errors import InputError
from siwcc.io.foreign_table import read_foreign_table
from siwcc.io.spelling import did_you_mean

TABLE = "samples.csv"

_GUIDE = "docs/how-to/own-data.md"
_COLUMNS: dict[Kind, str] = {"signal": "file, time_s and group", "image": "file, x, y and group"}
_TABLES: dict[Kind, str] = {"signal": "a table of recordings", "image": "a table of images"}
_MOST_SHOWN = 12


@dataclass(frozen=True)
class DataOptions:
    """What the user says of the data; None where the data are to say it.

    Attributes:
        task: `ecg` or `nuclei`.
        labels: WFDB rhythm labels that count as an event.
        rate_hz: Of recordings that are CSVs.
        leads: By number, from 1.
        image_size: Pixels of the square that an image is fitted into.
        usual_image_size: That where none is given.
    """

    task: str | None = None
    labels: Sequence[str] | None = None
    rate_hz: float | None = None
    leads: Sequence[int] | None = None
    image_size: int | None = None
    usual_image_size: int = 128


@dataclass(frozen=True)
class TrainingData:
    """A data set that can be trained on.

    Attributes:
        section: Its entry in a study's `datasets`.
        files: Recordings or images with a target.
        rows: Events, or points in images.
        groups: What is kept in one fold.
        example: One of its files, as `siwcc predict` takes it.
    """

    section: AnyDataset
    files: int
    rows: int
    groups: int
    example: Path

    @property
    def task(self) -> str:
        """The task of the project that is trained: that of the paper of the same kind."""
        return next(task for task, kind in KIND_OF_TASK.items() if kind == self.section.kind)


def open_data(path: Path, options: DataOptions) -> TrainingData:
    """Find out what a folder is, and check it.

    Args:
        path: A folder with `samples.csv`, another table in its folder, or a folder of WFDB records with annotations.
        options: What is not to be guessed.

    Raises:
        InputError: neither of these, or something that would stop the study: no event, an unknown label, a file that
            is missing, no sampling rate.
    """
    with _named_as_options():
        folder, table = _place(path)
        if table is None:
            return _open_annotated(folder, options)
        return _open_table(folder, table, options)


def check_folds(path: Path, data: TrainingData, folds: int) -> None:
    """Refuse more folds than groups.

    Raises:
        InputError: names the number of folds that is possible, if any.
    """
    if data.groups >= folds:
        return
    what = "record(s) with an event" if data.section.format == "vfdb" else "group(s) of files (patients, slides)"
    problem = f"has {data.groups} {what}, too few for {folds} folds"
    if data.groups < 2:
        other = "give more --labels" if data.section.format == "vfdb" else "correct the column group"
        raise InputError(path, problem, f"{other}, or add data")
    raise InputError(path, problem, f"give --folds {data.groups}, or add data")


def _place(path: Path) -> tuple[Path, str | None]:
    """The folder, and its table's name; None where there are WFDB annotations in place of a table."""
    if not path.exists():
        raise InputError(path, "does not exist", f"name a folder that holds {TABLE}, or WFDB records with annotations")
    if not path.is_dir():
        if path.suffix.lower() != ".csv":
            raise InputError(path, "is neither a folder nor a table (.csv)", f"name the folder that holds {TABLE}")
        return path.parent, path.name
    if (path / TABLE).is_file():
        return path, TABLE
    names = sorted(file.name for file in path.iterdir() if not file.name.startswith("."))
    headers = [name for name in names if name.endswith(".hea")]
    if any(f"{name.removesuffix('.hea')}.atr" in names for name in headers):
        return path, None
    raise InputError(path, *_why_no_data(path, names, bool(headers)))


def _why_no_data(path: Path, names: Sequence[str], has_headers: bool) -> tuple[str, str]:
    tables = [name for name in names if name.endswith(".csv") and _names_columns(path / name)]
    images = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in names)
    recordings = sum(name.lower().endswith(".csv") for name in names)
    if tables:
        return f"holds no {TABLE}", f"name the table: siwcc train {path / tables[0]}"
    kind: Kind = "signal"
    if has_headers:
        what = "WFDB records without annotations (.atr)"
    elif images or recordings:
        what, kind = (f"{images} image(s)", "image") if images else (f"{recordings} CSV(s)", "signal")
    else:
        return f"holds neither {TABLE} nor WFDB records with annotations", f"see {_GUIDE}"
    return f"holds {what} and no {TABLE}", f"write it with the columns {_COLUMNS[kind]}: {_GUIDE}"


# --------------------------------------------------------------------- table


def _open_table(folder: Path, name: str, options: DataOptions) -> TrainingData:
    path = folder / name
    kind = KIND_OF_TASK[options.task] if options.task else _kind_of_table(path)
    _refuse(options, ["labels"] + (["rate_hz", "leads"] if kind == "image" else ["image_size"]), _TABLES[kind])
    values: dict[str, Any] = {"format": "folder", "kind": kind, "path": str(folder.resolve()), "table": name}
    if kind == "image":
        values["image_size"] = options.image_size or options.usual_image_size
    table = Table(_folder_section(values), folder)
    first = {row.file: row for row in table.rows}
    if kind == "signal":
        values |= {"csv_rate_hz": options.rate_hz, "leads": _leads(table, first, options)}
    section = _folder_section(values)
    reader_for("folder").raw_files(section, folder)
    groups = len({row.group for row in table.rows})
    return TrainingData(section, len(first), len(table.rows), groups, folder / table.rows[0].file)


def _folder_section(values: dict[str, Any]) -> FolderSection:
    section = parse_dataset(values)
    assert isinstance(section, FolderSection)  # noqa: S101 - narrows the type
    return section


def _kind_of_table(path: Path) -> Kind:
    """From the columns of the table, or else from the first file that it lists."""
    table = read_foreign_table(path, ["file", *chain(*PLACE_COLUMNS.values())])
    has = {kind: set(PLACE_COLUMNS[kind]) <= set(table.names) for kind in KIND_OF_TASK.values()}
    if all(has.values()):
        raise InputError(
            path, "has times and points", "say what to predict: --task ecg (times) or --task nuclei (points)"
        )
    if any(has.values()):
        return next(kind for kind, complete in has.items() if complete)
    first = table.rows[0][1].get("file", "") if table.rows else ""
    return "image" if kind_of(Path(first)) == "image" else "signal"


def _names_columns(path: Path) -> bool:
    """Whether a CSV is a table with a column `file`, and not a recording."""
    try:
        return "file" in read_foreign_table(path, ["file"]).names
    except InputError:
        return False


def _leads(table: Table, first: dict[str, Row], options: DataOptions) -> list[int]:
    """Those that were asked for, else the first two, or one where a recording has no more."""
    available = {table.folder / file: _available_leads(table, row, options.rate_hz) for file, row in first.items()}
    path, fewest = min(available.items(), key=lambda item: item[1])
    leads = list(options.leads or range(1, 1 + min(2, max(1, fewest))))
    if max(leads) > fewest:
        problem = f"has {fewest} lead(s), and lead {max(leads)} is used"
        raise InputError(path, problem, "give others, from 1, as --leads")
    return leads


def _available_leads(table: Table, row: Row, rate_hz: float | None) -> int:
    """How many leads a recording has; a CSV without times needs a rate."""
    if kind_of(Path(row.file)) != "csv":
        name = row.file if kind_of(Path(row.file)) == "edf" else f"{row.file}.hea"
        return wfdb_record(table.find(row, name), ()).header.lead_count
    signal = read_csv_signal(table.find(row, row.file), rate_hz)
    if signal.rate_hz is None:
        problem, remedy = "has no sampling rate", f"give it in Hz as --rate, or add a column {TIME_COLUMN}"
        raise InputError(table.folder / row.file, problem, remedy)
    return len(signal.leads)


# --------------------------------------------------------------- annotations


def _open_annotated(folder: Path, options: DataOptions) -> TrainingData:
    _refuse(options, ["rate_hz", "leads", "image_size"], "WFDB records with annotations")
    if options.task == "nuclei":
        raise InputError("--task", "is nuclei, and the folder holds WFDB records", "leave it out")
    values: dict[str, Any] = {"format": "vfdb", "path": str(folder.resolve())}
    if options.labels:
        values["event_labels"] = list(dict.fromkeys(options.labels))
    section = parse_dataset(values)
    assert isinstance(section, VfdbSection)  # noqa: S101 - narrows the type
    reader_for("vfdb").raw_files(section, folder)
    labels = _labels_by_record(folder)
    _check_labels(folder, labels, section, options.labels or ())
    events = {name: sum(label in section.event_labels for label in found) for name, found in labels.items()}
    with_events = [name for name, count in events.items() if count]
    return TrainingData(section, len(with_events), sum(events.values()), len(with_events), folder / with_events[0])


def _labels_by_record(folder: Path) -> dict[str, list[str]]:
    # wfdb takes half a second to import.
    from siwcc.data.datasets.wfdb_annotations import read_annotations

    paths = sorted(path for path in folder.glob("*.hea") if not path.name.startswith("."))
    return {path.stem: [label for _, label in read_annotations(wfdb_record(path, (0,))).changes] for path in paths}


def _check_labels(folder: Path, labels: dict[str, list[str]], section: VfdbSection, wanted: Sequence[str]) -> None:
    found = Counter(label for of_record in labels.values() for label in of_record)
    if not found:
        problem = "has no annotated change of rhythm"
        raise InputError(
            folder, problem, f"list the events in {TABLE}, with the columns {_COLUMNS['signal']}: {_GUIDE}"
        )
    shown = ", ".join(f"{label} ({count})" for label, count in found.most_common(_MOST_SHOWN))
    for label in wanted:
        if label not in found:
            meant = did_you_mean(label, found)
            raise InputError("--labels", f"{label!r} is annotated in no record", f"{meant} annotated: {shown}".strip())
    if not any(label in found for label in section.event_labels):
        problem = f"has no event: none of {', '.join(section.event_labels)} is annotated"
        raise InputError(folder, problem, f"name the labels of your events as --labels, of: {shown}")


# ------------------------------------------------------------------- options


def _refuse(options: DataOptions, names: Sequence[str], data: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            option = {"rate_hz": "--rate"}.get(name, f"--{name.replace('_', '-')}")
            raise InputError(option, f"has no meaning for {data}", "leave it out")


@contextmanager
def _named_as_options() -> Iterator[None]:
    """Keys of a study's config in a message become the options of the command."""
    try:
        yield
    except InputError as error:
        line = {"problem": error.problem, "remedy": error.remedy}
        for key, option in (("csv_rate_hz", "--rate"), ("leads", "--leads"), ("image_size", "--image-size")):
            line = {part: text.replace(f"datasets.<name>.{key}", option) for part, text in line.items()}
        raise InputError(error.where, line["problem"], line["remedy"]) from error
