"""Which networks are applied to which record of a study."""

from __future__ import annotations

import numpy as np
from made_models import RECIPE, waves, write_detector
from refusals import refused

from siwcc.data.curves import read_curves
from siwcc.data.datasets.interface import RhythmRecord
from siwcc.data.episodes import reference_of
from siwcc.evaluation.onset_tables import read_candidates
from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises
from siwcc.inference.onset_candidates import FoldNetworks, write_network_candidates
from siwcc.inference.rhythm_curve import rhythm_curves
from siwcc.training.rhythm_checkpoint import read_rhythm_model
from siwcc.training.rhythm_windows import prepare_signal

SETTINGS = RiseSettings(rise_s=1.0)


def record(name: str, seed: int) -> RhythmRecord:
    signal = waves(60 * 50, seed=seed).astype(np.float32)
    return RhythmRecord(name, name, 50.0, signal, np.empty(0, dtype=np.int64), (), ("VT",))


def curves_of(paths, of) -> np.ndarray:
    networks = [read_rhythm_model(path).network for path in paths]
    return rhythm_curves(networks, prepare_signal(of.signal_mv, of.rate_hz, RECIPE))


def test_a_record_is_predicted_by_the_networks_that_have_not_seen_its_fold(tmp_path):
    records = [record("a", 1), record("b", 2)]
    paths = [
        write_detector(tmp_path / f"{fold}{seed}.pt", 2 * fold + seed, fold=fold) for fold in (1, 2) for seed in (0, 1)
    ]
    files = (tmp_path / "found.csv", tmp_path / "curves.h5")
    write_network_candidates(records, FoldNetworks.read(paths, {"a": 1, "b": 2}, SETTINGS), *files)
    step_s, curves = read_curves(files[1])
    assert step_s == RECIPE.step_s
    for of, chosen in zip(records, (paths[:2], paths[2:]), strict=True):
        assert np.array_equal(curves[of.name], curves_of(chosen, of)[0].astype(np.float32))
    found = read_candidates(files[0], [reference_of(of) for of in records])
    assert found["a"] == find_rises(curves_of(paths[:2], records[0]), step_s, SETTINGS)


def test_an_external_record_is_predicted_by_all_networks_and_one_without_a_fold_by_none(tmp_path):
    paths = [write_detector(tmp_path / f"{fold}.pt", fold, fold=fold) for fold in (1, 2)]
    external = FoldNetworks.read(paths, {}, SETTINGS)
    np.testing.assert_array_equal(external.curves(record("c", 3)), curves_of(paths, record("c", 3)))
    with refused("record c"):
        FoldNetworks.read(paths, {"a": 1, "b": 2}, SETTINGS).curves(record("c", 3))


def test_the_same_bytes_twice(tmp_path):
    paths = [write_detector(tmp_path / "1.pt", fold=1)]
    for name in ("x", "y"):
        files = (tmp_path / f"{name}.csv", tmp_path / f"{name}.h5")
        write_network_candidates([record("a", 1)], FoldNetworks.read(paths, {"a": 1}, SETTINGS), *files)
    for kind in ("csv", "h5"):
        assert (tmp_path / f"x.{kind}").read_bytes() == (tmp_path / f"y.{kind}").read_bytes()
