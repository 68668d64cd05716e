"""Fold assignment against scikit-learn, the published rule by hand, and group disjointness."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from sklearn.model_selection import KFold

from siwcc.config import HerlevSection, SignalTask, SipakmedSection, VfdbSection
from siwcc.data.datasets import vfdb
from siwcc.data.folds import (
    FOLD_RULES,
    Stratum,
    assign_folds,
    check_protocol,
    make_fold,
    read_folds_csv,
    read_strata_csv,
    whole_groups,
    write_folds,
)
from siwcc.io.errors import InputError
from siwcc.io.shards import read_shard, shard_writer

DATASET = VfdbSection(format="vfdb")
# Windows of the 22 records with the six labels + SVTA, from the set's own annotations.
VFDB_SIZES = [60, 33, 3, 50, 5, 2, 5, 1, 10, 2, 3, 5, 23, 5, 1, 7, 6, 12, 2, 1, 1, 5]


def write_samples(path: Path, sizes: dict[str, int], section=DATASET) -> list[str]:
    """`sizes[group]` windows, an event every 7 s; returns the ids in the file's order."""
    rows = sorted((f"{group}_{number:03d}", group) for group, size in sizes.items() for number in range(size))
    attributes = {"dataset": "made", "task": "ecg", "rate_hz": 250.0, "protocol": section.protocol()}
    with shard_writer(path, "samples", attributes) as writer:
        for sample_id, group in rows:
            number = int(sample_id[-3:])
            writer.append(
                {
                    "signal": np.zeros((2, 5000), dtype=np.float32),
                    "target": np.array([10.0]),
                    "sample_id": sample_id,
                    "group": group,
                    "class": "VT" if number else "VFL",
                    "event_sample": 6000 + 1750 * number,
                    "previous_event": 6000 + 1750 * (number - 1) if number else -1,
                    "context_valid": np.ones(10_000, dtype=bool),
                }
            )
    return [sample_id for sample_id, _ in rows]


def write_tables(samples_path: Path, folds: int, *, dataset=DATASET, rule="kfold") -> None:
    """Both tables beside the samples file, by group."""
    paths = (samples_path.with_name("folds.csv"), samples_path.with_name("strata.csv"))
    write_folds(samples_path, dataset, folds, "group", 42, rule, *paths)


# ---------------------------------------------------------------- assignment


def test_ecg_folds_are_those_of_scikit_learn_over_sorted_ids():
    # As strings, "418_10" stands before "418_9".
    ids = [f"418_{number}" for number in range(23)]
    expected = {}
    for fold, (_, test) in enumerate(KFold(5, shuffle=True, random_state=42).split(np.arange(23)), start=1):
        expected |= {sorted(ids)[row]: fold for row in test}
    numbers = assign_folds(ids, ["418"] * 23, 5, "sample", 42, "kfold")
    assert dict(zip(ids, numbers.tolist(), strict=True)) == expected
    assert Counter(numbers.tolist()) == {1: 5, 2: 5, 3: 5, 4: 4, 5: 4}


def test_nuclei_folds_are_every_fifth_of_the_shuffled_names():
    ids = [f"{cls}_{number:03d}_01" for cls in (5, 1, 3) for number in range(7)]
    names = sorted(ids)
    random.seed(42)
    random.shuffle(names)
    numbers = assign_folds(ids, ids, 5, "sample", 42, "every_kth")
    for fold in range(1, 6):
        assert {ids[row] for row in np.flatnonzero(numbers == fold)} == set(names[fold - 1 :: 5])


def test_nuclei_rule_by_hand():
    """random.seed(42) shuffles a, b, c, d, e into d, b, c, e, a (CPython, any version since 3.2)."""
    assert assign_folds(list("abcde"), list("abcde"), 2, "sample", 42, "every_kth").tolist() == [1, 2, 1, 1, 2]


def test_nuclei_rule_leaves_the_global_generator_alone():
    random.seed(7)
    expected = random.random()
    random.seed(7)
    assign_folds(list("abcde"), list("abcde"), 2, "sample", 42, "every_kth")
    assert random.random() == expected


@pytest.mark.parametrize("rule", FOLD_RULES)
@pytest.mark.parametrize("by", ["sample", "group"])
def test_the_order_of_the_samples_does_not_matter(rule, by):
    ids = [f"s{number:02d}" for number in range(30)]
    groups = [f"g{number % 7}" for number in range(30)]
    numbers = assign_folds(ids, groups, 4, by, 42, rule)
    order = np.random.default_rng(0).permutation(30)
    shuffled = assign_folds([ids[i] for i in order], [groups[i] for i in order], 4, by, 42, rule)
    np.testing.assert_array_equal(shuffled, numbers[order])


def test_the_seed_decides():
    ids = [f"s{number:02d}" for number in range(30)]
    for rule, by in (("kfold", "sample"), ("every_kth", "sample"), ("kfold", "group")):
        one, other, again = (assign_folds(ids, ids, 3, by, seed, rule).tolist() for seed in (1, 2, 1))
        assert one == again
        assert one != other


def test_groups_go_largest_first_into_the_emptiest_fold():
    # 7 -> 1, 6 -> 2, 5 -> 3, 4 -> 3 (5 is least), 3 -> 2 (6 is least), 2 -> 1 (7 is least), 1 -> 1 (all hold 9).
    sizes = {"g3": 3, "g7": 7, "g1": 1, "g5": 5, "g2": 2, "g6": 6, "g4": 4}
    assert whole_groups(sizes, 3, 42) == {"g7": 1, "g6": 2, "g5": 3, "g4": 3, "g3": 2, "g2": 1, "g1": 1}


def test_records_of_vfdb_are_kept_whole_and_balanced_as_far_as_they_allow():
    groups = [f"r{record:02d}" for record, size in enumerate(VFDB_SIZES) for _ in range(size)]
    ids = [f"{group}_{number}" for number, group in enumerate(groups)]
    numbers = assign_folds(ids, groups, 5, "group", 42, "kfold").tolist()
    assert len(set(zip(groups, numbers, strict=True))) == 22
    # 60, 50 and 33 samples are in one record each: the first two exceed a fifth of 242, the others share the rest.
    assert sorted(Counter(numbers).values()) == [44, 44, 44, 50, 60]


def _fewest_in_the_fullest(sizes: list[int], folds: int) -> int:
    """The smallest possible size of the largest fold, by trying all assignments."""
    fullest = sum(sizes)
    for places in itertools.product(range(folds), repeat=len(sizes)):
        filled = [0] * folds
        for size, place in zip(sizes, places, strict=True):
            filled[place] += size
        fullest = min(fullest, max(filled))
    return fullest


def test_balance_is_near_the_best_there_is():
    """Largest first is at most 4/3 of the best (Graham 1969)."""
    for seed in range(12):
        sizes = [random.Random(seed).randint(1, 20) for _ in range(7)]
        fold_of = whole_groups({f"g{i}": size for i, size in enumerate(sizes)}, 3, 42)
        filled = Counter()
        for i, size in enumerate(sizes):
            filled[fold_of[f"g{i}"]] += size
        assert max(filled.values()) <= (4 / 3 - 1 / 9) * _fewest_in_the_fullest(sizes, 3)


@pytest.mark.slow
def test_the_real_records_could_not_be_balanced_better(shared_data):
    """Two records exceed a fifth of the 236 events; the other folds are equally full."""
    groups = [item.group for item in vfdb.iter_samples(DATASET, shared_data / "vfdb")]
    ids = [f"{group}_{number}" for number, group in enumerate(groups)]
    numbers = assign_folds(ids, groups, 5, "group", 42, "kfold").tolist()
    events_of = Counter(numbers)
    assert sorted(events_of.values()) == [42, 42, 42, 50, 60]
    largest = {fold: {group for group, n in zip(groups, numbers, strict=True) if n == fold} for fold in events_of}
    assert {"418"} in largest.values()
    assert {"421"} in largest.values()


@pytest.mark.parametrize(("by", "groups"), [("sample", ["a", "b", "c", "d"]), ("group", ["a", "b", "c", "d"] * 5)])
def test_more_folds_than_the_data_allow(by, groups):
    ids = [f"s{number:02d}" for number in range(len(groups))]
    with refused("config: folds", 6, f"4 {by}", remedy="at most 4"):
        assign_folds(ids, groups, 6, by, 42, "kfold")


@pytest.mark.parametrize("by", ["sample", "group"])
@pytest.mark.parametrize("rule", FOLD_RULES)
def test_as_many_folds_as_samples_leaves_none_empty(by, rule):
    assert sorted(assign_folds(list("dbca"), list("dbca"), 4, by, 42, rule).tolist()) == [1, 2, 3, 4]


# -------------------------------------------------------------------- folds.csv


def test_folds_csv_round_trip(tmp_path):
    ids = write_samples(tmp_path / "made.h5", {"418": 4, "419": 3})
    path = tmp_path / "folds.csv"
    write_folds(tmp_path / "made.h5", DATASET, 2, "group", 42, "kfold", path, tmp_path / "strata.csv")
    expected = [f"{sample_id},{sample_id[:3]},{1 if sample_id < '419' else 2}" for sample_id in ids]
    assert path.read_text() == "\n".join(["sample_id,group,fold", *expected, ""])
    assert read_folds_csv(path) == {1: ids[:4], 2: ids[4:]}


def test_too_many_folds_write_nothing(tmp_path):
    write_samples(tmp_path / "made.h5", {"418": 4, "419": 3})
    with refused("config: folds", 3):
        write_tables(tmp_path / "made.h5", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["made.h5"]


def test_samples_of_another_protocol_are_refused(tmp_path):
    write_samples(tmp_path / "made.h5", {"418": 4})
    changed = VfdbSection(format="vfdb", event_labels=("VF", "SVTA"), rate_hz=360.0)
    with pytest.raises(InputError) as caught:
        write_tables(tmp_path / "made.h5", 2, dataset=changed)
    assert caught.value.where == str(tmp_path / "made.h5")
    assert 'event_labels (["VF", "VFIB", "VFL", "VT", "ASYS", "HGEA"] there, ["VF", "SVTA"] here)' in str(caught.value)
    assert "rate_hz (250.0 there, 360.0 here)" in str(caught.value)
    assert "window_s" not in str(caught.value)
    assert "give the changed data set another name under `datasets`, or delete the samples file" in str(caught.value)


def test_paths_and_downloads_do_not_belong_to_the_protocol(tmp_path):
    attributes = {"protocol": json.dumps(DATASET.protocol())}
    moved = VfdbSection(format="vfdb", path=tmp_path, url="http://localhost/", max_excluded=0.5)
    check_protocol(tmp_path, attributes, moved)


def test_another_format_names_the_keys_of_both(tmp_path):
    stored = {"protocol": json.dumps(HerlevSection(format="herlev").protocol())}
    with pytest.raises(InputError) as caught:
        check_protocol(tmp_path, stored, SipakmedSection(format="sipakmed"))
    assert 'centroid (absent there, "polygon" here)' in str(caught.value)
    assert 'format ("herlev" there, "sipakmed" here)' in str(caught.value)
    assert "image_size" not in str(caught.value)


@pytest.mark.parametrize("attributes", [{}, {"protocol": "{"}, {"protocol": 3}, {"protocol": "[1]"}])
def test_unreadable_protocol(tmp_path, attributes):
    with refused(tmp_path, "'protocol'"):
        check_protocol(tmp_path, attributes, DATASET)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a,g,1", "b,g,two"], ["line 3", "'two'"]),
        (["a,g,0"], ["line 2", "'0'"]),
        (["a,g,-1"], ["line 2", "'-1'"]),
        (["a,g,1", "b,g,2", "a,g,2"], ["line 4", "sample a"]),
        (["a,g,1", "b,g,3"], ["fold 2"]),
        ([], []),
        (["a,g"], ["line 2", "3 fields"]),
    ],
)
def test_wrong_folds_csv(tmp_path, lines, found):
    path = tmp_path / "folds.csv"
    path.write_text("\n".join(["sample_id,group,fold", *lines, ""]))
    with refused(path, *found, remedy=None):
        read_folds_csv(path)


# ------------------------------------------------------------------- strata.csv


def test_strata_of_events(tmp_path):
    write_samples(tmp_path / "made.h5", {"418": 3, "419": 2})
    write_tables(tmp_path / "made.h5", 2)
    path = tmp_path / "strata.csv"
    assert path.read_text() == (
        "sample_id,group,fold,class,gap_s\n"
        "418_000,418,1,VFL,inf\n418_001,418,1,VT,7.0\n418_002,418,1,VT,7.0\n"
        "419_000,419,2,VFL,inf\n419_001,419,2,VT,7.0\n"
    )
    strata = read_strata_csv(path)
    assert strata[0] == Stratum("418_000", "418", 1, "VFL", math.inf)
    assert strata[4] == Stratum("419_001", "419", 2, "VT", 7.0)
    assert {row.sample_id: row.fold for row in strata} == {
        sample_id: fold for fold, ids in read_folds_csv(tmp_path / "folds.csv").items() for sample_id in ids
    }


def test_strata_of_images_have_no_gap(tmp_path):
    section = HerlevSection(format="herlev")
    with shard_writer(tmp_path / "made.h5", "samples", {"dataset": "made", "protocol": section.protocol()}) as writer:
        for sample_id in ("b", "a", "c"):
            writer.append({"sample_id": sample_id, "group": f"slide_{sample_id}", "class": "normal"})
    write_tables(tmp_path / "made.h5", 3, dataset=section, rule="every_kth")
    strata = read_strata_csv(tmp_path / "strata.csv")
    assert [(row.sample_id, row.group, row.label, row.gap_s) for row in strata] == [
        (sample_id, f"slide_{sample_id}", "normal", None) for sample_id in "abc"
    ]
    assert {row.fold for row in strata} == {1, 2, 3}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a,g,1,VT,3", "b,g,two,VT,3"], ["line 3", "fold", "'two'"]),
        (["a,g,0,VT,3"], ["line 2", "fold", "'0'"]),
        (["a,g,1,VT,3", "a,g,2,VT,3"], ["line 3", "sample a"]),
        (["a,g,1,VT,soon"], ["line 2", "gap_s", "'soon'"]),
        (["a,g,1,VT,nan"], ["line 2", "gap_s", "'nan'"]),
        (["a,g,1,VT,0"], ["line 2", "gap_s", "'0'"]),
        (["a,g,1,VT,-3"], ["line 2", "gap_s", "'-3'"]),
        ([], []),
    ],
)
def test_wrong_strata_csv(tmp_path, lines, found):
    path = tmp_path / "strata.csv"
    path.write_text("\n".join(["sample_id,group,fold,class,gap_s", *lines, ""]))
    with refused(path, *found, remedy=None):
        read_strata_csv(path)


# ---------------------------------------------------------------------- make_fold


def test_make_fold_hands_the_folds_samples_to_the_module_of_the_kind(tmp_path):
    samples, table = tmp_path / "made.h5", tmp_path / "folds.csv"
    ids = write_samples(samples, {"418": 3, "419": 2})
    write_tables(samples, 2)
    make_fold(samples, table, 2, SignalTask(copies_per_sample=1), DATASET, 42, tmp_path / "fold2.h5")
    fold = read_shard(tmp_path / "fold2.h5", "fold")
    assert fold.attributes["fold"] == 2
    assert fold.arrays["sample_id"].tolist() == [ids[3], ids[3], ids[4], ids[4]]


def test_an_edited_assignment_is_refused(tmp_path):
    samples, table = tmp_path / "made.h5", tmp_path / "folds.csv"
    write_samples(samples, {"418": 3, "419": 2})
    write_tables(samples, 2)
    text = table.read_text()
    # One sample in the other fold would be a study of its own, and nothing else would tell.
    for path, other in ((table, text.replace(",1\n", ",2\n", 1)), (tmp_path / "strata.csv", text)):
        path.write_text(other)
        with refused(path, "manifest.json"):
            (read_folds_csv if path is table else read_strata_csv)(path)
    with refused(table, "manifest.json"):
        make_fold(samples, table, 1, SignalTask(), DATASET, 42, tmp_path / "fold1.h5")


def test_samples_that_changed_since_the_assignment_are_refused(tmp_path):
    samples, table = tmp_path / "made.h5", tmp_path / "folds.csv"
    write_samples(samples, {"418": 3, "419": 2})
    write_tables(samples, 2)
    write_samples(samples, {"418": 3, "419": 3})
    with refused(samples, "folds.csv"):
        make_fold(samples, table, 1, SignalTask(), DATASET, 42, tmp_path / "fold1.h5")


def test_samples_under_another_sets_name_are_refused(tmp_path):
    write_samples(tmp_path / "vfdb.h5", {"418": 3, "419": 2})
    with refused(tmp_path / "vfdb.h5", "'made'"):
        write_tables(tmp_path / "vfdb.h5", 2)


def test_make_fold_of_a_fold_that_is_not_there(tmp_path):
    samples, table = tmp_path / "made.h5", tmp_path / "folds.csv"
    write_samples(samples, {"418": 3, "419": 2})
    write_tables(samples, 2)
    with refused(table, "1 to 2", 3, remedy=None):
        make_fold(samples, table, 3, SignalTask(), DATASET, 42, tmp_path / "fold3.h5")
