"""Which sample is in which fold, and the stage that augments one fold.

The paper's two tasks were split by two different rules (`FOLD_RULES`); a leak-free study splits
whole groups (records, slide images) instead. `strata.csv` says of every sample what results are
split by: its fold, group, class, and for events the time since the one before.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siwcc.config import AnyTask, Kind, TaskDataset
from siwcc.data.augment.interface import augment_module, gaps_s
from siwcc.io.checksums import MANIFEST, manifest_beside, read_manifest
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, write_csv, write_manifest
from siwcc.io.joined_samples import SamplesPath, joined_name, paths_of, read_samples, shown_path
from siwcc.io.lead_numbers import with_lead_numbers
from siwcc.io.shards import Shard

FOLD_COLUMNS = ("sample_id", "group", "fold")
STRATA_COLUMNS = (*FOLD_COLUMNS, "class", "gap_s")
# Only of several data sets.
_DATASET_COLUMN = "dataset"
_REMAKE = "delete it and run again"


def kfold(count: int, folds: int, seed: int) -> np.ndarray:
    """scikit-learn's `KFold(folds, shuffle=True, random_state=seed)`, as the ECG study's authors ran it.

    Args:
        count: Number of samples, at least `folds`.
        folds: Number of folds.
        seed: The study's seed.

    Returns:
        int64 (count,): the fold, 1 ... `folds`, of each sample in the order of the sorted ids.
    """
    # This module is imported by jobs that need no fold made; scikit-learn takes a second to import.
    from sklearn.model_selection import KFold

    numbers = np.zeros(count, dtype=np.int64)
    for fold, (_, test) in enumerate(KFold(folds, shuffle=True, random_state=seed).split(numbers), start=1):
        numbers[test] = fold
    return numbers


def every_kth(count: int, folds: int, seed: int) -> np.ndarray:
    """Shuffle with Python's `random`, then deal out in turn, as the image study's authors ran it.

    Args:
        count: Number of samples, at least `folds`.
        folds: Number of folds.
        seed: The study's seed.

    Returns:
        int64 (count,): the fold, 1 ... `folds`, of each sample in the order of the sorted ids.
    """
    order = list(range(count))
    random.Random(seed).shuffle(order)  # noqa: S311 - a seeded shuffle, not a secret
    numbers = np.zeros(count, dtype=np.int64)
    for fold in range(folds):
        numbers[order[fold::folds]] = fold + 1
    return numbers


FOLD_RULES: dict[str, Callable[[int, int, int], np.ndarray]] = {"kfold": kfold, "every_kth": every_kth}
"""How samples are dealt out when groups are not kept together, by a task's `folds_rule`."""


def whole_groups(sizes: Mapping[str, int], folds: int, seed: int) -> dict[str, int]:
    """Deal out groups, the largest first, each into the fold with the fewest samples so far.

    Groups of one size are dealt out in an order shuffled by the seed; among equally full folds the
    lowest number is taken.

    Args:
        sizes: Number of samples of each group; at least `folds` groups.
        folds: Number of folds.
        seed: The study's seed.

    Returns:
        The fold, 1 ... `folds`, of each group; none is empty.
    """
    names = sorted(sizes)
    random.Random(seed).shuffle(names)  # noqa: S311 - a seeded shuffle, not a secret
    filled = [0] * folds
    fold_of = {}
    for name in sorted(names, key=lambda name: -sizes[name]):
        smallest = filled.index(min(filled))
        filled[smallest] += sizes[name]
        fold_of[name] = smallest + 1
    return fold_of


def assign_folds(
    sample_ids: Sequence[str], groups: Sequence[str], folds: int, by: str, seed: int, rule: str
) -> np.ndarray:
    """The fold of every sample (paper, 2.4).

    Args:
        sample_ids: (samples,) ids; their order does not matter to the assignment.
        groups: (samples,) the record or slide image of each.
        folds: Number of folds.
        by: `sample` for the rule, `group` to keep groups whole.
        seed: The study's seed.
        rule: Of `FOLD_RULES`.

    Returns:
        int64 (samples,): numbers 1 ... `folds`, every one of them in use.

    Raises:
        InputError: fewer samples, or groups, than folds.
    """
    sizes = Counter(groups)
    units = len(sizes) if by == "group" else len(sample_ids)
    if units < folds:
        raise InputError(
            "config: folds", f"{folds} folds cannot be made of {units} {by}(s)", f"ask for at most {units}, or add data"
        )
    if by == "group":
        fold_of = whole_groups(sizes, folds, seed)
        return np.array([fold_of[group] for group in groups], dtype=np.int64)
    order = sorted(range(len(sample_ids)), key=lambda row: sample_ids[row])
    numbers = np.zeros(len(sample_ids), dtype=np.int64)
    numbers[order] = FOLD_RULES[rule](len(sample_ids), folds, seed)
    return numbers


def check_protocol(samples_path: Path, attributes: Mapping[str, Any], dataset: TaskDataset) -> None:
    """Make sure that a samples file was made with the values that the config asks for.

    Args:
        samples_path: The file, for the message.
        attributes: Its attributes; `protocol` is the JSON of `dataset.protocol()` at that time.
        dataset: The data set's section of the config now.

    Raises:
        InputError: a value differs; names every such key with both values.
    """
    remedy = "give the changed data set another name under `datasets`, or delete the samples file"
    try:
        stored = with_lead_numbers(dict(json.loads(attributes["protocol"])))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(samples_path, f"has no readable attribute 'protocol' ({error!r})", remedy) from error
    asked = with_lead_numbers(dataset.protocol())
    differing = [key for key in sorted(stored.keys() | asked.keys()) if _shown(stored, key) != _shown(asked, key)]
    if differing:
        listed = ", ".join(f"{key} ({_shown(stored, key)} there, {_shown(asked, key)} here)" for key in differing)
        raise InputError(samples_path, f"was made with other values than the config's: {listed}", remedy)


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], sort_keys=True) if key in values else "absent"


@dataclass(frozen=True)
class Stratum:
    """A line of `strata.csv`: what a sample's results are split by.

    Attributes:
        sample_id: The sample.
        group: Its record or slide image.
        fold: From 1.
        label: Rhythm label or cell type, the column `class`.
        gap_s: Seconds since the counted event before it in its record, infinite if there is none;
            None where samples are no events.
        dataset: Its data set; empty where the task has a single one.
    """

    sample_id: str
    group: str
    fold: int
    label: str
    gap_s: float | None
    dataset: str = ""


def write_folds(
    samples_path: SamplesPath,
    dataset: TaskDataset,
    folds: int,
    by: str,
    seed: int,
    rule: str,
    folds_path: Path,
    strata_path: Path,
) -> None:
    """Write `folds.csv` (`sample_id, group, fold`) and `strata.csv` (also `class, gap_s`), sorted by id.

    Of several data sets `strata.csv` has a further column, `dataset`.

    Their sums go to `manifest.json` beside them.

    Args:
        samples_path: The samples file, or those of several data sets.
        dataset: The data set's section of the config, or several as one, which the samples must agree with.
        folds: Number of folds.
        by: `sample` or `group`.
        seed: The study's seed.
        rule: Of `FOLD_RULES`, the task's `folds_rule`.
        folds_path: The CSV of the assignment.
        strata_path: The CSV of what results are split by; `gap_s` is empty for images, `inf` for the
            first event of a record.

    Raises:
        InputError: the samples file is damaged, of another data set or protocol, or the folds cannot be made.
    """
    shard = read_samples(samples_path, ("sample_id", "group", "class", *_EVENT_ARRAYS[dataset.kind]))
    if shard.attributes.get("dataset") != joined_name([path.stem for path in paths_of(samples_path)]):
        problem = f"holds the data set {shard.attributes.get('dataset')!r}, which its name does not say"
        raise InputError(shard.path, problem, "give it its own name back, or delete it and run again")
    check_protocol(shard.path, shard.attributes, dataset)
    sample_ids, groups = shard.arrays["sample_id"].tolist(), shard.arrays["group"].tolist()
    numbers = assign_folds(sample_ids, groups, folds, by, seed, rule).tolist()
    columns = [sample_ids, groups, numbers, shard.arrays["class"].tolist(), _shown_gaps(shard, dataset.kind)]
    columns += [shard.arrays[_DATASET_COLUMN].tolist()] if _DATASET_COLUMN in shard.arrays else []
    lines = sorted(zip(*columns, strict=True))
    write_csv(folds_path, FOLD_COLUMNS, [line[: len(FOLD_COLUMNS)] for line in lines])
    write_csv(strata_path, (*STRATA_COLUMNS, _DATASET_COLUMN)[: len(columns)], lines)
    write_manifest(folds_path.with_name(MANIFEST), "", (folds_path, strata_path), samples_digest=shard.digest)


_EVENT_ARRAYS: dict[Kind, tuple[str, ...]] = {
    "signal": ("event_sample", "previous_event"),
    "image": (),
    "volume": (),
}


def _shown_gaps(shard: Shard, kind: Kind) -> list[str]:
    if not _EVENT_ARRAYS[kind]:
        return [""] * len(shard.arrays["sample_id"])
    event_sample, previous_event = (shard.arrays[name] for name in _EVENT_ARRAYS[kind])
    return [repr(gap_s) for gap_s in gaps_s(event_sample, previous_event, shard.attributes["rate_hz"]).tolist()]


def read_folds_csv(path: Path) -> dict[int, list[str]]:
    """Sample ids of each fold, sorted.

    Args:
        path: The `folds.csv` that `write_folds` wrote.

    Returns:
        Folds 1, 2, ... in order, none missing and none empty.

    Raises:
        InputError: no sample, a fold that is no number from 1, a sample twice, or a gap in the numbers.
    """
    ids_of: dict[int, list[str]] = {}
    seen: set[str] = set()
    for line, row in enumerate(read_csv(path, FOLD_COLUMNS), start=2):
        _check_line(path, line, row, seen)
        seen.add(row["sample_id"])
        ids_of.setdefault(int(row["fold"]), []).append(row["sample_id"])
    if not ids_of:
        raise InputError(path, "has no sample", _REMAKE)
    absent = sorted(set(range(1, max(ids_of) + 1)) - set(ids_of))
    if absent:
        raise InputError(path, f"fold {absent[0]} of {max(ids_of)} has no sample", _REMAKE)
    return {fold: sorted(ids_of[fold]) for fold in sorted(ids_of)}


def read_strata_csv(path: Path) -> list[Stratum]:
    """What every sample's results are split by, in the file's order.

    Args:
        path: The `strata.csv` that `write_folds` wrote.

    Raises:
        InputError: no sample, a sample twice, a fold that is no number from 1, or a gap that is
            neither empty nor a number above 0.
    """
    strata: dict[str, Stratum] = {}
    for line, row in enumerate(read_csv(path, STRATA_COLUMNS), start=2):
        _check_line(path, line, row, strata)
        gap_s = _gap_of(row["gap_s"])
        if gap_s is not None and not gap_s > 0:
            raise InputError(path, f"line {line}: gap_s must be empty or above 0, not {row['gap_s']!r}", _REMAKE)
        known = (row["sample_id"], row["group"], int(row["fold"]), row["class"], gap_s)
        strata[row["sample_id"]] = Stratum(*known, row.get(_DATASET_COLUMN, ""))
    if not strata:
        raise InputError(path, "has no sample", _REMAKE)
    return list(strata.values())


def _check_line(path: Path, line: int, row: Mapping[str, str], seen: Container[str]) -> None:
    """What lines of both files must be: of a fold from 1, and of a sample that no line above has."""
    if not row["fold"].isdecimal() or int(row["fold"]) == 0:
        raise InputError(path, f"line {line}: fold must be a whole number from 1, not {row['fold']!r}", _REMAKE)
    if row["sample_id"] in seen:
        raise InputError(path, f"line {line}: sample {row['sample_id']} is there twice", _REMAKE)


def _gap_of(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return math.nan


def make_fold(
    samples_path: SamplesPath,
    folds_csv: Path,
    fold: int,
    settings: AnyTask,
    dataset: TaskDataset,
    seed: int,
    path: Path,
) -> None:
    """Augment one fold with the module of the task's kind.

    Args:
        samples_path: The samples file.
        folds_csv: The assignment.
        fold: Which fold to make, from 1.
        settings: The task's section of the config.
        dataset: The data set's section of the config.
        seed: The study's seed.
        path: The fold file to write.

    Raises:
        InputError: the assignment or the samples file is wrong or not made from each other, or there is no
            such fold.
    """
    ids_of = read_folds_csv(folds_csv)
    check_origin(folds_csv, samples_path)
    if fold not in ids_of:
        raise InputError(folds_csv, f"has folds 1 to {max(ids_of)}, not {fold}", "delete it and run again")
    augment_module(settings.kind).write_fold(samples_path, ids_of[fold], settings, dataset, seed, fold, path)


def check_origin(path: Path, samples_path: SamplesPath) -> None:
    """Refuse samples that are not those which an assignment to folds was made from.

    Args:
        path: `folds.csv` or `strata.csv`; their manifest says what they were made from.
        samples_path: The samples file, or those of several data sets.

    Raises:
        InputError: they have changed since, or a file is damaged.
    """
    manifest = manifest_beside(path)
    digest = None if manifest is None else read_manifest(manifest).get("samples_digest")
    if digest is not None and digest != read_samples(samples_path, ()).digest:
        raise InputError(
            shown_path(samples_path), f"changed since {path} was made from it", "delete that and run again"
        )
