"""Which protocol a study follows, in words: the paper's, or one that closes its leaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from siwcc.config import Config
from siwcc.report.figures.style import GROUPS, SAMPLES, TASKS

_FOLDS = {
    "sample": "Folds are by sample: {samples} of one {group} are in training and test",
    "group": "Folds are by {group}: none is in two of them",
}
_EDGES = {
    "zero_fill": "a shifted window is filled up with zeros, whose length reveals part of the target",
    "rewindow": "each copy's window is cut out of the recording again, so that no padding reveals the target",
    "zero": "a warped image has an empty border, which reveals part of the target",
    "reflect": "a warped image is mirrored at its edges, so that no empty border reveals the target",
}
_LEAKING_EDGES = ("zero_fill", "zero")


def describe_protocol(config: Config, tasks: Sequence[str]) -> list[str]:
    """Sentences on the protocol of each task, and on the seeds.

    Args:
        config: The study's.
        tasks: Those to describe.
    """
    return [*(_task_sentence(config, task) for task in tasks), *_seed_sentences(config)]


def _task_sentence(config: Config, task: str) -> str:
    edge = config.tasks.ecg.shift if task == "ecg" else config.tasks.nuclei.border
    closed = (config.folds_by == "group") + (edge not in _LEAKING_EDGES)
    whose = ("the paper's protocol", "one of the paper's two leaks is closed", "both of the paper's leaks are closed")
    folds = _FOLDS[config.folds_by].format(group=GROUPS[task][0], samples=SAMPLES[task][1])
    published = "" if closed == 0 else " Published figures come from another protocol, the paper's, and are not shown."
    return f"{TASKS[task]}: {whose[closed]}. {folds}; {_EDGES[edge]}.{published}"


def _seed_sentences(config: Config) -> Iterator[str]:
    if len(config.seeds) > 1:
        yield f"Every network was trained from {len(config.seeds)} seeds; the value of a fold is their mean."
