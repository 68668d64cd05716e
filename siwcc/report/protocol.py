"""Which protocol a study follows, in words: the paper's, or one that closes its leaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from siwcc.config import Config, Kind
from siwcc.report.study import TaskData
from siwcc.report.wording import capital

_FOLDS = {
    "sample": "Folds are by sample: {samples} of one {group} are in training and test",
    "group": "Folds are by {group}: none is in two of them",
}
_EDGES = {
    "zero_fill": "a shifted window is filled up with zeros, whose length reveals part of the target",
    "rewindow": "each copy's window is cut out of the recording again, so that no padding reveals the target",
    "zero": "a warped image has an empty border, which reveals part of the target",
    "reflect": "a copy is mirrored at its edges, so that no empty border reveals the target",
}
_ZERO_EDGES: dict[Kind, str] = {"signal": "zero padding", "image": "the empty image border"}


def describe_protocol(config: Config, tasks: Sequence[str]) -> list[str]:
    """Sentences on the protocol of each task, and on the seeds.

    Args:
        config: The study's.
        tasks: Those to describe.
    """
    return [*(_task_sentence(config, task) for task in tasks), *_seed_sentences(config)]


def _task_sentence(config: Config, task: str) -> str:
    settings = config.task(task)
    closed = (config.folds_by == "group") + (not settings.has_zero_edges)
    whose = ("the paper's protocol", "one of the paper's two leaks is closed", "both of the paper's leaks are closed")
    folds = _FOLDS[config.folds_by].format(group=settings.group, samples=settings.samples[1])
    published = "" if closed == 0 else " Published figures come from another protocol, the paper's, and are not shown."
    return f"{settings.shown_title}: {whose[closed]}. {folds}; {_EDGES[settings.edges]}.{published}"


def main_limits(config: Config, data: Sequence[TaskData]) -> str:
    """One sentence on what limits the results of a study, whatever they are.

    Args:
        config: The study's.
        data: The data of its tasks.
    """
    tasks = [item.task for item in data]
    remarks = dict.fromkeys(item.remark for item in data if item.remark)
    parts = [*remarks, *_leaks(config, tasks)]
    if len(config.seeds) == 1:
        parts.append("one training seed")
    if not parts:
        seeds = f"each network was trained from {len(config.seeds)} seeds"
        return f"Both leaks of the paper's protocol are closed, and {seeds}."
    return f"{capital('; '.join(parts))}."


def _leaks(config: Config, tasks: Sequence[str]) -> Iterator[str]:
    """The leaks of the paper's protocol that are open."""
    if config.folds_by == "sample" and tasks:
        shared = " and ".join(dict.fromkeys(config.task(task).groups[1] for task in tasks))
        yield f"folds share {shared}"
    zero = [config.kind_of(task) for task in sorted(tasks) if config.task(task).has_zero_edges]
    edges = [_ZERO_EDGES[kind] for kind in dict.fromkeys(zero)]
    if edges:
        yield f"{' and '.join(edges)} {'reveal' if len(edges) > 1 else 'reveals'} part of the target"


def _seed_sentences(config: Config) -> Iterator[str]:
    if len(config.seeds) > 1:
        yield f"Every network was trained from {len(config.seeds)} seeds; the value of a fold is their mean."
