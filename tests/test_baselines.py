"""Answers without a network, from numbers worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import r2_score

from siwcc import baselines
from siwcc.baselines import training_mean, write_baseline
from siwcc.errors import InputError
from siwcc.files import read_csv

# Fold 1: samples a, b; fold 2: c. Rows: (sample, variant, target x, target y).
FOLDS = {
    "fold1.h5": [("a", 0, 10.0, 1.0), ("a", 1, 12.0, 1.0), ("b", 0, 20.0, 1.0), ("b", 1, 21.0, 2.0)],
    "fold2.h5": [("c", 0, 30.0, 5.0), ("c", 1, 33.0, 6.0), ("c", 2, 34.0, 7.0)],
}


@dataclass
class Rows:
    sample_id: np.ndarray
    variant: np.ndarray
    target: np.ndarray
    spec: SimpleNamespace


def open_inputs(paths: list[Path], samples_path: Path, augmented_only: bool) -> Rows:
    assert samples_path == Path("samples.h5")
    rows = [row for path in paths for row in FOLDS[path.name] if row[1] > 0 or not augmented_only]
    return Rows(
        sample_id=np.array([row[0] for row in rows], dtype=object),
        variant=np.array([row[1] for row in rows]),
        target=np.array([row[2:] for row in rows], dtype=np.float32),
        spec=SimpleNamespace(outputs=("_x", "_y")),
    )


@pytest.fixture(autouse=True)
def _made_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "augment_module", lambda task: SimpleNamespace(open_inputs=open_inputs))


def test_the_mean_of_the_training_targets_without_variant_0(tmp_path: Path) -> None:
    path = tmp_path / "baselines" / "predictions.csv"
    write_baseline("training_mean", "nuclei", [Path("fold1.h5"), Path("fold2.h5")], Path("samples.h5"), path)
    assert path.read_text().splitlines() == [
        "sample_id,variant,target_x,target_y,prediction_x,prediction_y",
        "a,0,10.000000,1.000000,33.500000,6.500000",
        "a,1,12.000000,1.000000,33.500000,6.500000",
        "b,0,20.000000,1.000000,33.500000,6.500000",
        "b,1,21.000000,2.000000,33.500000,6.500000",
        "c,0,30.000000,5.000000,16.500000,1.500000",
        "c,1,33.000000,6.000000,16.500000,1.500000",
        "c,2,34.000000,7.000000,16.500000,1.500000",
    ]
    rows = [row for row in read_csv(path, ["prediction_x"]) if row["sample_id"] == "c" and row["variant"] != "0"]
    truth, answer = ([float(row[name]) for row in rows] for name in ("target_x", "prediction_x"))
    assert r2_score(truth, answer) < 0


def test_the_mean_is_taken_in_double_precision() -> None:
    target = np.full((100_001, 1), 0.1, dtype=np.float32)
    train = Rows(np.empty(0), np.empty(0), target, SimpleNamespace())
    test = Rows(np.empty(0), np.empty(0), np.zeros((2, 1), dtype=np.float32), SimpleNamespace())
    np.testing.assert_allclose(training_mean(train, test), np.full((2, 1), np.float64(np.float32(0.1))), rtol=1e-12)


def test_an_unknown_baseline_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no baseline 'median'; known: "):
        write_baseline("median", "ecg", [Path("fold1.h5")], Path("samples.h5"), tmp_path / "p.csv")
    assert list(tmp_path.iterdir()) == []
