"""Where a study departs from the paper: a list in `resources/deviations.yaml`, filtered by the config.

An entry has `id`, `title`, `text`, `kind` (`departs` when absent, or `keeps` for a weakness of the paper's
protocol that the study shares) and `when`: dotted config keys and what their values must be for the
entry to apply. `task: ecg` asks for a task among those run, and makes `dataset.*` that task's data set; where it has
several, an entry applies if it does to one of them.
A plain value must be equal; `{not: v}`, `{below: n}`, `{lacks: v}` say what they say. `{found}` in the
text is the value of the last condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siwcc.io.errors import InputError
from siwcc.io.files import read_yaml

_NEEDED = ("id", "title", "text")
_KINDS = ("departs", "keeps")
_OPERATORS = ("not", "below", "lacks")


@dataclass(frozen=True)
class Deviation:
    """One entry that applies."""

    id: str
    kind: str
    title: str
    text: str


def read_deviations(path: Path, config: Mapping[str, Any]) -> list[Deviation]:
    """The entries that apply to a study.

    Args:
        path: The YAML list.
        config: The study's resolved config as plain JSON types.

    Raises:
        InputError: no YAML list, an entry without its fields, an unknown condition.
    """
    entries = read_yaml(path)
    if not isinstance(entries, list):
        raise InputError(path, "is not a list of deviations")
    try:
        return [found for number, entry in enumerate(entries, 1) if (found := _applied(path, number, entry, config))]
    except (TypeError, AttributeError) as error:
        raise InputError(path, f"asks for something that cannot be compared ({error})") from error


def _applied(path: Path, number: int, entry: Any, config: Mapping[str, Any]) -> Deviation | None:
    absent = [name for name in _NEEDED if not isinstance(entry, dict) or name not in entry]
    if absent:
        raise InputError(path, f"entry {number} lacks {absent[0]}")
    if entry.get("kind", _KINDS[0]) not in _KINDS:
        raise InputError(path, f"entry {entry['id']} has kind {entry['kind']!r}", f"known: {', '.join(_KINDS)}")
    conditions = entry.get("when") or {}
    applied = (_applied_to(path, entry, conditions, config, name) for name in _datasets(config, conditions.get("task")))
    return next(filter(None, applied), None)


def _datasets(config: Mapping[str, Any], task: str | None) -> list[str | None]:
    names = config["tasks"][task]["dataset"] if task in config["run"] else None
    return names if isinstance(names, list) else [names]


def _applied_to(
    path: Path, entry: Any, conditions: Mapping[str, Any], config: Mapping[str, Any], dataset: str | None
) -> Deviation | None:
    found: Any = None
    for key, wanted in conditions.items():
        found = _look_up(config, key, conditions.get("task"), dataset)
        if isinstance(wanted, dict) and not set(wanted) <= set(_OPERATORS):
            raise InputError(path, f"entry {entry['id']}: {key} asks for {wanted}", f"known: {', '.join(_OPERATORS)}")
        if not _holds(found, wanted):
            return None
    text = str(entry["text"]).strip().replace("{found}", str(found))
    return Deviation(str(entry["id"]), entry.get("kind", _KINDS[0]), str(entry["title"]), text)


def _look_up(config: Mapping[str, Any], key: str, task: str | None, dataset: str | None) -> Any:
    if key == "task":
        return task if task in config["run"] else None
    if key.startswith("dataset.") and dataset is not None:
        key = f"datasets.{dataset}.{key.removeprefix('dataset.')}"
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _holds(found: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(found == wanted)
    checks: Sequence[bool] = [
        "not" not in wanted or found != wanted["not"],
        "below" not in wanted or (found is not None and found < wanted["below"]),
        "lacks" not in wanted or (found is not None and wanted["lacks"] not in found),
    ]
    return all(checks)
