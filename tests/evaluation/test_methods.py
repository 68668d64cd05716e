from __future__ import annotations

import math

import numpy as np
import pytest

from siwcc.evaluation import methods
from siwcc.evaluation.methods import FoldPredictions, Method, Predictions, View
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv

STRATA = [
    ("a1", "A", 1, "VT", math.inf),
    ("a2", "A", 1, "VF", 5.0),
    ("b1", "B", 2, "VT", 20.0),
    ("c1", "C", 2, "VT", 19.996),
]


def write_strata(folder, lines=STRATA):
    path = folder / "ecg" / "strata.csv"
    write_csv(path, ("sample_id", "group", "fold", "class", "gap_s"), lines)
    return path


def write_predictions(path, rows, outputs=("",)):
    columns = ["sample_id", "copy", *(f"{name}{suffix}" for name in ("target", "prediction") for suffix in outputs)]
    write_csv(path, columns, rows)
    return path


def run_path(folder, encoding="coord", variant="full", fold=1, seed=42):
    return folder / "ecg" / encoding / variant / f"fold{fold}" / f"seed{seed}" / "predictions.csv"


def baseline_path(folder, name="training_mean"):
    return folder / "ecg" / "baselines" / name / "predictions.csv"


def test_error_of_a_point_is_its_distance():
    predictions = Predictions(np.array(["a"]), np.array([1]), np.array([[1.0, 1.0]]), np.array([[4.0, 5.0]]))
    assert predictions.error().tolist() == [5.0]


def test_predictions_are_read_as_they_stand(tmp_path):
    rows = [("nan", 0, 1.5, 2.5, 0.25, "inf"), ("b", 7, -1.0, 2.0, "nan", 4.0)]
    found = methods.read_predictions(write_predictions(tmp_path / "p.csv", rows, ("_x", "_y")))
    assert found.sample_id.tolist() == ["nan", "b"]
    assert found.copy.tolist() == [0, 7]
    assert found.target.tolist() == [[1.5, 2.5], [-1.0, 2.0]]
    np.testing.assert_array_equal(found.prediction, [[0.25, math.inf], [math.nan, 4.0]])


@pytest.mark.parametrize(
    ("columns", "rows", "named"),
    [
        (("sample_id", "copy", "target"), [("a", 1, 1.0)], "column prediction"),
        (("sample_id", "copy", "target", "prediction"), [("a", 1, 1.0, "x")], "'x'"),
        (("sample_id", "copy", "target", "prediction"), [("a", 1.5, 1.0, 2.0)], "'1.5'"),
        (("sample_id", "copy", "target", "prediction"), [], "rows"),
        (("sample_id", "copy"), [("a", 1)], "column target"),
        (("sample_id", "copy", "target", "prediction"), [("a", 1, 1.0, 2.0), ("a", 1, 1.0, 3.0)], "two predictions"),
    ],
)
def test_damaged_predictions(tmp_path, columns, rows, named):
    write_csv(tmp_path / "p.csv", columns, rows)
    with pytest.raises(InputError) as caught:
        methods.read_predictions(tmp_path / "p.csv")
    assert caught.value.where == str(tmp_path / "p.csv")
    assert named in caught.value.problem


def test_strata_keep_what_is_known_of_each_sample(tmp_path):
    strata = methods.read_strata(write_strata(tmp_path))
    assert strata.place == {"a1": 0, "a2": 1, "b1": 2, "c1": 3}
    assert strata.fold.tolist() == [1, 1, 2, 2]
    assert strata.group.tolist() == ["A", "A", "B", "C"]
    assert strata.label.tolist() == ["VT", "VF", "VT", "VT"]
    assert strata.gap_s.tolist() == [math.inf, 5.0, 20.0, 19.996]


def test_images_have_no_gaps(tmp_path):
    strata = methods.read_strata(write_strata(tmp_path, [("a", "A", 1, "n", ""), ("b", "B", 2, "n", "")]))
    assert np.isnan(strata.gap_s).all()


def test_answerers_come_in_their_order_with_their_folds_and_seeds(tmp_path):
    strata = {"ecg": methods.read_strata(write_strata(tmp_path))}
    row = {1: ("a1", 1, 1.0, 2.0), 2: ("b1", 1, 3.0, 4.0)}
    runs = [
        write_predictions(run_path(tmp_path, encoding, variant, fold, seed), [row[fold]])
        for encoding, variant, fold, seed in [
            ("weighted", "full", 1, 42),
            ("coord", "reduced", 1, 42),
            ("coord", "full", 2, 42),
            ("coord", "full", 1, 100),
            ("coord", "full", 1, 42),
        ]
    ]
    baseline = write_predictions(baseline_path(tmp_path), [row[2], row[1]])
    found = dict(methods.read_methods(runs, [baseline], strata))
    assert list(found) == [
        Method("ecg", "", "training_mean"),
        Method("ecg", "full", "coord"),
        Method("ecg", "full", "weighted"),
        Method("ecg", "reduced", "coord"),
    ]
    coord = found[Method("ecg", "full", "coord")]
    assert [(part.fold, part.seed, part.path) for part in coord] == [
        (1, 42, run_path(tmp_path)),
        (1, 100, run_path(tmp_path, seed=100)),
        (2, 42, run_path(tmp_path, fold=2)),
    ]
    mean = found[Method("ecg", "", "training_mean")]
    assert [(part.fold, part.seed, part.sample.tolist()) for part in mean] == [(1, None, [0]), (2, None, [2])]
    assert [part.predictions.target.tolist() for part in mean] == [[[1.0]], [[3.0]]]


@pytest.mark.parametrize(
    ("fold", "sample", "named"),
    [(1, "b1", ("b1", "fold 2")), (1, "z9", ("z9", "no fold"))],
)
def test_a_run_predictions_for_its_own_fold(tmp_path, fold, sample, named):
    strata = {"ecg": methods.read_strata(write_strata(tmp_path))}
    rows = [("a1", 1, 1.0, 1.0), (sample, 1, 1.0, 1.0)]
    path = write_predictions(run_path(tmp_path, fold=fold), rows)
    with pytest.raises(InputError) as caught:
        list(methods.read_methods([path], [], strata))
    assert caught.value.where == str(path)
    assert [part for part in named if part not in caught.value.problem] == []


def test_a_baseline_predictions_for_known_samples(tmp_path):
    strata = {"ecg": methods.read_strata(write_strata(tmp_path))}
    path = write_predictions(baseline_path(tmp_path), [("z9", 1, 1.0, 1.0)])
    with pytest.raises(InputError) as caught:
        list(methods.read_methods([], [path], strata))
    assert caught.value.where == str(path)
    assert "z9" in caught.value.problem


def test_views_part_copies_from_samples_and_isolated_events_from_all(tmp_path):
    strata = methods.read_strata(write_strata(tmp_path))
    sample = np.array([0, 0, 1, 2, 3])
    copy = np.array([0, 1, 1, 2, 0])
    values = np.zeros((5, 1))
    part = FoldPredictions(tmp_path, 1, 42, Predictions(np.array(["-"] * 5), copy, values, values), sample)
    found = {tuple(view): mask.tolist() for view, mask in methods.views_of(part, strata, 20.0).items()}
    assert found == {
        ("augmented", "all"): [False, True, True, True, False],
        ("augmented", "isolated"): [False, True, False, True, False],
        ("unaugmented", "all"): [True, False, False, False, True],
        ("unaugmented", "isolated"): [True, False, False, False, False],
    }
    assert View("augmented", "isolated") not in methods.views_of(part, strata, None)
    first_of_record = methods.views_of(part, strata, math.inf)[View("augmented", "isolated")]
    assert first_of_record.tolist() == [False, True, False, False, False]
