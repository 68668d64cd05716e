"""Leads are numbered from 1 where a person reads or writes them, and from 0 in the code and in stored files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from siwcc.io.errors import InputError


def lead_indices(numbers: Iterable[int]) -> tuple[int, ...]:
    """Places of leads, from 0, given their numbers, from 1."""
    return tuple(number - 1 for number in numbers)


def numbering_remedy(numbers: Sequence[int], shown: Callable[[list[int]], str] = str) -> str:
    """What to write in place of numbers that do not begin at 1; empty if they do.

    Args:
        numbers: As they are given.
        shown: How several numbers are written where they were given.
    """
    if min(numbers, default=1) >= 1:
        return ""
    from_1 = [number + 1 for number in numbers]
    return "leads are numbered from 1" + f": write {shown(from_1)}" * (min(from_1) == 1)


def check_lead_option(numbers: Sequence[int], most: int | None = None) -> None:
    """Refuse numbers after `--leads` that do not begin at 1, name a lead twice, or are above `most`.

    Raises:
        InputError: the numbers, and what to write.
    """
    given = f"is {_spaced(numbers)}"
    if remedy := numbering_remedy(numbers, _spaced):
        raise InputError("--leads", given, remedy)
    if len(set(numbers)) < len(numbers) or (most is not None and max(numbers, default=1) > most):
        raise InputError("--leads", given, f"give different numbers, {'from 1' if most is None else f'1 to {most}'}")


def _spaced(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


def with_lead_numbers(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The stored settings of a data set, or of several, with their leads as the config numbers them."""
    parts = protocol.get("datasets")
    if isinstance(parts, Mapping):
        return {**protocol, "datasets": {name: _numbered(part) for name, part in parts.items()}}
    return dict(_numbered(protocol))


def _numbered(settings: Any) -> Any:
    # They may be of a damaged file.
    indices = settings.get("leads") if isinstance(settings, Mapping) else None
    if not isinstance(indices, list | tuple):
        return settings
    return {**settings, "leads": [index + 1 if type(index) is int else index for index in indices]}
