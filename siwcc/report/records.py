"""Tables of the tests over records, and of the variance between folds and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from siwcc.evaluation.comparisons import Row
from siwcc.evaluation.methods import ALL, AUGMENTED
from siwcc.evaluation.record_tests import BASELINE, NETWORK, PRIMARY, PRIMARY_VIEW, SECONDARY, RecordTest
from siwcc.evaluation.variance import ARM, VarianceRow
from siwcc.report.figures.style import arm_style, model_name

_FAMILIES = (PRIMARY, SECONDARY, BASELINE, NETWORK)


@dataclass(frozen=True)
class RecordGroup:
    """The tests of one network that belong together.

    Attributes:
        task, variant: The network.
        primary: The comparisons on the augmented copies of all samples.
        secondary: The comparisons on other rows.
        baselines: Every encoding against every baseline, on the augmented copies of all samples.
        networks: Every encoding against every encoding in the paper's networks, on the same rows.
    """

    task: str
    variant: str
    primary: Sequence[RecordTest]
    secondary: Sequence[RecordTest]
    baselines: Sequence[RecordTest]
    networks: Sequence[RecordTest]

    @property
    def title(self) -> str:
        """What the network is called."""
        return model_name(self.task, self.variant)

    @property
    def secondary_views(self) -> list[tuple[str, list[RecordTest]]]:
        """The secondary tests under the name of the samples that they use."""
        return _under(self.secondary, view_name)

    @property
    def by_baseline(self) -> list[tuple[str, list[RecordTest]]]:
        """The tests against baselines under the baseline."""
        return _under(self.baselines, lambda test: arm_style(test.control).label)

    @property
    def by_network(self) -> list[tuple[str, list[RecordTest]]]:
        """The tests against the paper's networks under the network and its encoding."""
        return _under(
            self.networks,
            lambda test: f"{model_name(test.task, test.control_variant)}, {arm_style(test.control).label}",
        )

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the primary rows, each remark once."""
        return list(dict.fromkeys(test.note for test in self.primary if test.note))


def record_groups(tests: Sequence[RecordTest]) -> list[RecordGroup]:
    """The tests by network."""
    groups = []
    for task, variant in dict.fromkeys((test.task, test.variant) for test in tests):
        own = [test for test in tests if (test.task, test.variant) == (task, variant)]
        families = {name: [test for test in own if test.family == name] for name in _FAMILIES}
        shown = {
            name: [test for test in families[name] if (test.inputs, test.subset) == PRIMARY_VIEW]
            for name in (BASELINE, NETWORK)
        }
        groups.append(
            RecordGroup(task, variant, families[PRIMARY], families[SECONDARY], shown[BASELINE], shown[NETWORK])
        )
    return groups


def comparison_name(test: RecordTest | VarianceRow | Row) -> str:
    """Study minus control, by their names; of an arm its name."""
    study = arm_style(test.study).label
    return f"{study} \N{MINUS SIGN} {arm_style(test.control).label}" if test.control else study


def view_name(test: RecordTest) -> str:
    """The samples that a test uses, in words."""
    inputs = "augmented copies" if test.inputs == AUGMENTED else "original samples"
    return f"{inputs}, {'all' if test.subset == ALL else 'isolated events'}"


def variance_groups(rows: Sequence[VarianceRow], metric: str) -> list[tuple[str, list[VarianceRow]]]:
    """Rows of one metric under a heading for each network, arms before differences; none for one seed."""
    groups: dict[str, list[VarianceRow]] = {}
    for row in rows:
        if row.metric == metric and row.seeds > 1:
            kind = "each encoding" if row.kind == ARM else "differences"
            groups.setdefault(f"{model_name(row.task, row.variant)}, {kind}", []).append(row)
    return list(groups.items())


def _under(tests: Sequence[RecordTest], name: Callable[[RecordTest], str]) -> list[tuple[str, list[RecordTest]]]:
    groups: dict[str, list[RecordTest]] = {}
    for test in tests:
        groups.setdefault(name(test), []).append(test)
    return list(groups.items())
