"""The samples files of one or several data sets, read as one.

Nothing is copied on disk. Of several files the rows follow each other in the order of the files. A sample id, group or
record that two data sets have, such as record 201, gets the data set's name in front: `mitdb.201`. So does every sample
of such a group.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from siwcc.io.errors import InputError
from siwcc.io.files import digest_of
from siwcc.io.shards import Shard, read_rows, read_shard

SamplesPath = Path | Sequence[Path]
"""The samples file of a data set, or those of several whose samples are used as one."""
SEPARATOR = "."
"""Between the name of a data set, which has none, and a name that several data sets have."""

_NAMES = ("sample_id", "group")
_NAMED = (*_NAMES, "record")
_JOINS = "+"


def paths_of(samples_path: SamplesPath) -> tuple[Path, ...]:
    """The files, at least one."""
    return (samples_path,) if isinstance(samples_path, Path) else tuple(samples_path)


def shown_path(samples_path: SamplesPath) -> Path:
    """The files as one, for messages."""
    return Path(", ".join(map(str, paths_of(samples_path))))


def joined_name(datasets: Sequence[str]) -> str:
    """The name of data sets as one, `mitdb+vfdb`; of a single one its own."""
    return _JOINS.join(datasets)


def read_samples(samples_path: SamplesPath, names: tuple[str, ...]) -> Shard:
    """Read samples as `siwcc.io.shards.read_shard` does.

    Args:
        samples_path: The file or files.
        names: Arrays to return. Of several files there is also `dataset`, the name of each sample's data set.

    Returns:
        Of several files the attributes are those that all have alike, with `dataset` from `joined_name`, the `protocol`
        of each by its name, and a digest over their digests.

    Raises:
        InputError: as `read_shard`; files of one data set, or whose arrays do not fit together.
    """
    paths = paths_of(samples_path)
    if len(paths) == 1:
        return read_shard(paths[0], "samples", names)
    needed = tuple(dict.fromkeys((*_NAMES, *names)))
    return _join([read_shard(path, "samples", needed) for path in paths], names)


def read_sample_rows(
    samples_path: SamplesPath, names: tuple[str, ...], sample_ids: Sequence[str], digest: str
) -> Shard:
    """Read the rows of some samples, as `siwcc.io.shards.read_rows` does.

    Args:
        samples_path: The file or files.
        names: Arrays to return.
        sample_ids: Samples wanted, by their names in `read_samples`; the rows come in its order.
        digest: That of `read_samples`, which the files must have.

    Raises:
        InputError: as `read_rows` and `read_samples`.
    """
    paths = paths_of(samples_path)
    if len(paths) == 1:
        return read_rows(paths[0], "samples", names, sample_ids, digest)
    parts = [read_shard(path, "samples", _NAMES) for path in paths]
    known = _join(parts, ("sample_id",))
    if known.digest != digest:
        raise InputError(known.path, "changed since other files were made from it", "delete those and run again")
    absent = sorted(set(sample_ids) - set(known.arrays["sample_id"]))
    if absent:
        raise InputError(known.path, f"lacks {len(absent)} sample(s), first {absent[0]!r}", "delete them and run again")
    wanted = np.isin(known.arrays["sample_id"].astype(str), list(sample_ids))
    ends = np.cumsum([len(part.arrays["sample_id"]) for part in parts])
    masks = np.split(wanted, ends[:-1])
    found = [
        read_rows(part.path, "samples", names, part.arrays["sample_id"][mask].tolist(), part.digest)
        for part, mask in zip(parts, masks, strict=True)
    ]
    arrays = {name: _concatenated(known.path, name, found) for name in names}
    own = {name: values[wanted] for name, values in known.arrays.items()}
    return Shard(known.path, known.attributes, arrays | own, digest)


def _join(parts: Sequence[Shard], names: Sequence[str]) -> Shard:
    """Several files as one; ids, groups and `dataset` are there whether or not they are among the names."""
    path = shown_path([part.path for part in parts])
    datasets = [str(part.attributes.get("dataset")) for part in parts]
    if len(set(datasets)) < len(datasets):
        raise InputError(path, f"are all of the data set {datasets[0]!r}", "give each data set a samples file")
    renamed = _renamed(parts, datasets)
    parts = [replace(part, arrays=part.arrays | new) for part, new in zip(parts, renamed, strict=True)]
    arrays = {name: _concatenated(path, name, parts) for name in dict.fromkeys((*_NAMES, *names))}
    arrays["dataset"] = np.repeat(np.array(datasets, dtype=object), [len(part.arrays["sample_id"]) for part in parts])
    _check_distinct(path, arrays)
    digest = digest_of({name: part.digest for name, part in zip(datasets, parts, strict=True)})
    return Shard(path, _joined_attributes(parts, datasets) | {"digest": digest}, arrays, digest)


def _joined_attributes(parts: Sequence[Shard], datasets: Sequence[str]) -> dict[str, Any]:
    alike = {
        name: value
        for name, value in parts[0].attributes.items()
        if all(part.attributes.get(name) == value for part in parts)
    }
    protocols = {
        name: json.loads(part.attributes.get("protocol", "{}")) for name, part in zip(datasets, parts, strict=True)
    }
    return alike | {"dataset": joined_name(datasets), "protocol": json.dumps({"datasets": protocols}, sort_keys=True)}


def _concatenated(path: Path, name: str, parts: Sequence[Shard]) -> np.ndarray:
    arrays = [part.arrays[name] for part in parts]
    shapes = {values.shape[1:] for values in arrays}
    if len(shapes) > 1:
        problem = f"{name} has rows of {' and '.join(map(str, sorted(shapes)))}"
        raise InputError(path, problem, "join data sets with the same preprocessing settings")
    return np.concatenate(arrays)


def _renamed(parts: Sequence[Shard], datasets: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """Names of samples, groups and records, those that several data sets have with the data set's name in front."""
    common = {name: _common([part.arrays[name] for part in parts]) for name in _NAMED if name in parts[0].arrays}
    renamed = []
    for part, dataset in zip(parts, datasets, strict=True):
        changed = {name: np.isin(part.arrays[name].astype(str), list(common[name])) for name in common}
        changed["sample_id"] |= changed["group"]
        renamed.append({name: _with_prefix(dataset, part.arrays[name], where) for name, where in changed.items()})
    return renamed


def _with_prefix(dataset: str, names: np.ndarray, where: np.ndarray) -> np.ndarray:
    pairs = zip(names, where, strict=True)
    return np.array([f"{dataset}{SEPARATOR}{name}" if prefixed else name for name, prefixed in pairs], dtype=object)


def _common(of_each: Sequence[np.ndarray]) -> set[str]:
    """The names that more than one data set has."""
    counts = Counter(name for names in of_each for name in set(names))
    return {name for name, count in counts.items() if count > 1}


def _check_distinct(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """A name with a data set in front may be another data set's own."""
    twice = [name for name, count in Counter(arrays["sample_id"]).items() if count > 1]
    pairs = set(zip(arrays["dataset"], arrays["group"], strict=True))
    twice += [name for name, count in Counter(group for _, group in pairs).items() if count > 1]
    if twice:
        raise InputError(path, f"have {twice[0]!r} twice", "rename it in one of the data sets")
