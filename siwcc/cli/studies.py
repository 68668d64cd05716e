"""`siwcc studies`: the presets in resources/studies, one row each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from siwcc.config import load_study
from siwcc.io.checksums import read_text
from siwcc.io.errors import InputError
from siwcc.io.tables import aligned

_COMMENT = re.compile(r"^# (Tests|Cost): (.*)\.$", re.MULTILINE)


class Preset(NamedTuple):
    """A study that comes with the repository.

    Attributes:
        name: Of its file, for `make study STUDY=<name>`.
        tests: What it tests.
        networks: How many are trained.
        datasets: Names of its data sets.
        cost: Time; the first comments of the file contain it and `tests`.
    """

    name: str
    tests: str
    networks: int
    datasets: tuple[str, ...]
    cost: str


def read_presets(root: Path) -> list[Preset]:
    """The presets of a copy of the repository, by name.

    Raises:
        InputError: a file is no study, or lacks its first comments.
    """
    return [
        _read_preset(root / "config.yaml", path) for path in sorted((root / "resources" / "studies").glob("*.yaml"))
    ]


def _read_preset(default: Path, path: Path) -> Preset:
    config = load_study(default, [path])
    comments = dict(_COMMENT.findall(read_text(path)))
    if set(comments) != {"Tests", "Cost"}:
        raise InputError(path, "lacks the comments `# Tests: ...` and `# Cost: ...`", "add them as its first lines")
    arms = len(config.run) * len(config.encodings) * len(config.variants)
    ordered = dict.fromkeys(name for task in config.run for name in config.datasets_of(task))
    datasets = tuple(dict.fromkeys([*ordered, *config.datasets_in_use]))
    arms += config.onsets is not None
    networks = arms * config.folds * len(config.seeds) * (4 if path.stem == "leakage-ablation" else 1)
    return Preset(path.stem, comments["Tests"], networks, datasets, comments["Cost"])


def format_presets(presets: list[Preset]) -> str:
    """The presets as text in columns, with a head."""
    head = ("study", "networks", "data", "time", "tests")
    lines = [head, *((one.name, str(one.networks), ", ".join(one.datasets), one.cost, one.tests) for one in presets)]
    return "\n".join(aligned(lines)) + "\n"
