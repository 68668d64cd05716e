"""The best network of each task beside the best baseline and the oracles: who has the higher test R2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from siwcc.evaluation.baselines.registry import baseline_kind
from siwcc.evaluation.methods import ALL
from siwcc.evaluation.record_tests import BASELINE, PRIMARY_VIEW, RecordTest
from siwcc.evaluation.statistics import SIGNIFICANCE
from siwcc.report.errors import ErrorRow, ErrorTable, baseline_name
from siwcc.report.figures.style import PAPERS, Tasks
from siwcc.report.wording import capital, p_words, three


class Outcome(Enum):
    """Which of the two has the higher test R2."""

    NETWORK = "network"
    BASELINE = "baseline"
    EQUAL = "equal"
    NO_NETWORK = "no network"
    NO_BASELINE = "no baseline"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Best:
    """The best methods of one task by R2 on the augmented test copies.

    Attributes:
        task, point: The task, and which of several points; empty for a single one.
        network, baseline: The best of each kind; None where none has an R2.
        signal: The best baseline that does not use the zero padding; None where `baseline` is that already.
        oracles: Methods that are given what no method has when it is used.
        networks, networks_above: How many networks have an R2, and how many of them a higher one than `baseline`.
        smallest: The network or baseline with the smallest median error; None where there is none.
        test: `network` against `baseline` over records; None where there is no such test.
    """

    task: str
    point: str
    network: ErrorRow | None
    baseline: ErrorRow | None
    signal: ErrorRow | None
    oracles: Sequence[ErrorRow]
    networks: int
    networks_above: int
    smallest: ErrorRow | None
    test: RecordTest | None

    @property
    def outcome(self) -> Outcome:
        """Who has the higher R2."""
        if self.network is None:
            return Outcome.NOTHING if self.baseline is None else Outcome.NO_NETWORK
        if self.baseline is None:
            return Outcome.NO_BASELINE
        difference = self.network.r2 - self.baseline.r2
        return Outcome.EQUAL if difference == 0 else Outcome.NETWORK if difference > 0 else Outcome.BASELINE

    @property
    def rows(self) -> list[tuple[str, ErrorRow]]:
        """What each method is, and its errors, for a table."""
        named = [
            ("best network", self.network),
            ("best baseline", self.baseline),
            ("best without padding", self.signal),
            *(("oracle", row) for row in self.oracles),
        ]
        return [(role, row) for role, row in named if row is not None]

    @property
    def winner(self) -> ErrorRow | None:
        """The one with the higher R2; None where they are equal or one is absent."""
        return {Outcome.NETWORK: self.network, Outcome.BASELINE: self.baseline}.get(self.outcome)


def best_methods(tables: Sequence[ErrorTable], tests: Sequence[RecordTest]) -> list[Best]:
    """The best methods of each task and point.

    Args:
        tables: Of `siwcc.report.errors.error_tables`.
        tests: The study's tests over records.
    """
    everything = [table for table in tables if table.subset == ALL]
    # Of several points only the first is tested over records.
    first = {table.task: table for table in reversed(everything)}
    return [_best(table, tests if table is first[table.task] else ()) for table in everything]


def _best(table: ErrorTable, tests: Sequence[RecordTest]) -> Best:
    networks = [row for row in table.networks if math.isfinite(row.r2)]
    baselines = [row for row in table.baselines if math.isfinite(row.r2)]
    network = max(networks, key=_r2, default=None)
    baseline = max(baselines, key=_r2, default=None)
    signal = max((row for row in baselines if baseline_kind(row.either.method) == "input"), key=_r2, default=None)
    return Best(
        task=table.task,
        point=table.point,
        network=network,
        baseline=baseline,
        signal=None if signal is baseline else signal,
        oracles=[row for row in table.oracles if math.isfinite(row.r2)],
        networks=len(networks),
        networks_above=0 if baseline is None else sum(row.r2 > baseline.r2 for row in networks),
        smallest=min([*networks, *baselines], key=_median, default=None),
        test=_test_of(network, baseline, tests),
    )


def _r2(row: ErrorRow) -> float:
    return row.r2


def _median(row: ErrorRow) -> float:
    return row.augmented.median if row.augmented else math.inf


def _test_of(network: ErrorRow | None, baseline: ErrorRow | None, tests: Sequence[RecordTest]) -> RecordTest | None:
    if network is None or baseline is None:
        return None
    line = network.either
    wanted = (BASELINE, line.task, line.variant, line.method, baseline.either.method, *PRIMARY_VIEW)
    for test in tests:
        if (test.family, test.task, test.variant, test.study, test.control, test.inputs, test.subset) == wanted:
            return test
    return None


# ---------------------------------------------------------------------- in words


def methods_sentence(bests: Sequence[Best], tasks: Tasks = PAPERS) -> str:
    """One sentence: for each task whether the best network or a baseline has the higher R2."""
    if not bests:
        return "No network and no baseline has been evaluated yet."
    return f"{capital('; '.join(method_words(best, tasks) for best in bests))}."


def method_words(best: Best, tasks: Tasks = PAPERS) -> str:
    """Whether the best network or the best baseline of a task has the higher R2, in words."""
    place = f"{_lower(tasks[best.task].shown_title)}{f' ({best.point})' if best.point else ''}:"
    network, baseline = best.network, best.baseline
    if network is None:
        shown = "" if baseline is None else f"; the {baseline_name(baseline)} has R² {three(baseline.r2)}"
        return f"{place} no network has been evaluated{shown}"
    if baseline is None:
        return f"{place} {network.name} has R² {three(network.r2)}; no baseline has been evaluated"
    values = f"R² {three(baseline.r2)} against {three(network.r2)}{_test_words(best)}"
    if best.outcome is Outcome.BASELINE:
        ignores = ", which ignores the signal," if baseline_kind(baseline.either.method) == "padding" else ""
        return f"{place} the {baseline_name(baseline)}{ignores} {_verb(best)} the best network ({values})"
    values = f"R² {three(network.r2)} against {three(baseline.r2)}{_test_words(best)}"
    return f"{place} the best network {_verb(best)} the best baseline, {baseline.name} ({values})"


def _verb(best: Best) -> str:
    """`is better than` only where the test over records is significant in the same direction as R2."""
    if best.outcome is Outcome.EQUAL:
        return "has the same R² as"
    test = best.test
    agrees = test is not None and (test.mean_difference < 0) == (best.outcome is Outcome.NETWORK)
    return "is better than" if agrees and _significant(test) else "has a higher R² than"


def _significant(test: RecordTest | None) -> bool:
    return test is not None and test.p_two_sided < SIGNIFICANCE


def _lower(text: str) -> str:
    """Without the capital at its start, unless it begins with an abbreviation."""
    return text if text[:2].isupper() else text[0].lower() + text[1:]


def _test_words(best: Best) -> str:
    test = best.test
    if test is None or not math.isfinite(test.p_two_sided):
        return ""
    p = f"p {p_words(test.p_two_sided)}"
    if not _significant(test):
        return f"; not significant, {p}"
    network_smaller = test.mean_difference < 0
    if best.outcome in (Outcome.NETWORK, Outcome.BASELINE) and network_smaller != (best.outcome is Outcome.NETWORK):
        return f"; by mean absolute error the order is reversed, {p}"
    return f"; {p}"


def note(best: Best, tasks: Tasks = PAPERS) -> str:
    """The line below the table of one task.

    It has the number of networks above the best baseline, the test over records, and the method with the smallest
    median error where that is not the one with the highest R2.
    """
    parts = []
    if best.baseline is not None and best.networks:
        noun = "network" if best.networks == 1 else "networks"
        parts.append(f"{best.networks_above} of {best.networks} {noun} above the best baseline.")
    test = best.test
    if test is not None and math.isfinite(test.p_two_sided):
        ends = f"[{three(test.ci_low, sign=True)}, {three(test.ci_high, sign=True)}]"
        records = f"{test.records} {tasks[test.task].groups[test.records != 1]}"
        size = f"{three(test.mean_difference, sign=True)} {test.unit} {ends}"
        parts.append(f"Difference {size}, {records}, p {p_words(test.p_two_sided)}.")
    if best.smallest is not None and best.smallest is not best.winner:
        line = best.smallest.either
        parts.append(f"Smallest median error: {best.smallest.name}, {three(line.median)} {line.unit}.")
    return " ".join(parts)
