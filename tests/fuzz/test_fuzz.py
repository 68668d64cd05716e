"""A small fraction of the cases of `make fuzz`, in turn over all readers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzz_mutations import BYTES, STRUCTURE, TEXT
from fuzz_readers import READERS
from fuzz_run import RIGHT, cases, fuzz, table

pytestmark = pytest.mark.slow


def test_damaged_files_are_refused_in_a_line_or_change_nothing(tmp_path: Path) -> None:
    outcomes = fuzz(200, 1, tmp_path)
    findings = [outcome for outcome in outcomes if outcome["kind"] not in RIGHT]
    assert findings == [], "\n".join(map(json.dumps, findings))
    assert {outcome["reader"] for outcome in outcomes} == set(READERS)
    assert len(outcomes) == 200
    # A harness that damages nothing would be content with everything.
    refused = sum(outcome["kind"] == "refused" for outcome in outcomes)
    assert refused > 100, table(outcomes)


def test_cases_are_the_same_for_a_seed_and_go_through_the_readers_in_turn() -> None:
    first = list(cases(["a", "b"], 5, 3))
    assert first == list(cases(["a", "b"], 5, 3))
    assert [name for name, _ in first] == ["a", "b", "a", "b", "a"]
    assert not {seed for _, seed in first} & {seed for _, seed in cases(["a", "b"], 5, 4)}


@pytest.mark.parametrize("mutation", dict.fromkeys(BYTES + TEXT + STRUCTURE), ids=lambda mutation: mutation.__name__)
def test_a_mutation_is_seeded_and_takes_any_file(mutation) -> None:
    import random

    content = b'sample_id,fold\n"a",1\nb,2.5\n{"schema_version": 3}\n'
    others = [b"x", b"yz"]
    once, again = (mutation(random.Random(5), content, others) for _ in range(2))
    assert once == again
    assert any(mutation(random.Random(seed), content, others) != content for seed in range(20))
    assert isinstance(mutation(random.Random(1), b"", others), bytes)
