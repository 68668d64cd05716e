"""Predictions without a network, from numbers worked out by hand or by a plain loop."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sklearn.metrics import r2_score
from tolerances import FLOAT32, FLOAT64, assert_same, largest

from siwcc.config import KIND_OF_TASK, parse_config
from siwcc.data.augment import interface as augment
from siwcc.data.augment.interface import Stored, augment_module
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.samples import extract_samples
from siwcc.data.tasks.interface import TaskSpec
from siwcc.evaluation.baselines.change_point import change_point, find_change, local_features
from siwcc.evaluation.baselines.constant import centre, training_mean
from siwcc.evaluation.baselines.intensity import find_dark_region, intensity_centroid, inverted_centroid, otsu_centroid
from siwcc.evaluation.baselines.leaks import gap_oracle, zero_padding
from siwcc.evaluation.baselines.registry import BASELINES, baselines_of, load_baseline, write_baseline
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv
from siwcc.io.shards import read_shard, shard_writer

pytestmark = pytest.mark.numeric

# Fold 1: samples a, b; fold 2: c. Rows: (sample, copy, target x, target y).
FOLDS = {
    "fold1.h5": [("a", 0, 10.0, 1.0), ("a", 1, 12.0, 1.0), ("b", 0, 20.0, 1.0), ("b", 1, 21.0, 2.0)],
    "fold2.h5": [("c", 0, 30.0, 5.0), ("c", 1, 33.0, 6.0), ("c", 2, 34.0, 7.0)],
}
NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass
class Rows:
    """As much of `siwcc.data.augment.interface.Inputs` as the baselines use."""

    spec: TaskSpec
    target: np.ndarray = field(default_factory=lambda: np.empty((0, 1), dtype=np.float32))
    signal: np.ndarray = field(default_factory=lambda: np.empty((0, 1, 1), dtype=np.float32))
    gap_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    edge_s: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))

    def source(self, encoding: str) -> Stored:
        assert encoding == "none"
        return Stored(self.signal.astype(np.float32))


def ecg_spec(samples=500, last_s=19.96, window_s=20.0) -> TaskSpec:
    return TaskSpec("ecg", "nimesha", ("",), "s", 2, (samples,), (last_s,), window_s)


def image_spec(height: int, width: int) -> TaskSpec:
    extent = (float(width - 1), float(height - 1))
    return TaskSpec("nuclei", "lakshya", ("_x", "_y"), "px", 3, (height, width), extent, float(width - 1))


def seconds(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, np.newaxis]


# ------------------------------------------------------------------ registry


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_can_be_loaded_and_has_a_case_here(name: str) -> None:
    assert load_baseline(name).__name__ == name
    assert [test for test in globals() if test.startswith(f"test_{name}_")]


def test_what_applies_to_a_kind_of_tasks() -> None:
    every = ["training_mean", "centre", "intensity_centroid", "inverted_centroid"]
    assert baselines_of("signal") == [*every, "zero_padding", "gap_oracle", "change_point"]
    assert baselines_of("image") == [*every, "otsu_centroid"]


# ------------------------------------------------------------------ writing


@pytest.fixture
def made_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    def open_inputs(paths: list[Path], samples_path: Path, augmented_only: bool) -> SimpleNamespace:
        assert samples_path == Path("samples.h5")
        assert not augmented_only
        rows = [row for path in paths for row in FOLDS[path.name]]
        return SimpleNamespace(
            sample_id=np.array([row[0] for row in rows], dtype=object),
            copy=np.array([row[1] for row in rows]),
            target=np.array([row[2:] for row in rows], dtype=np.float32),
            spec=image_spec(64, 64),
        )

    monkeypatch.setattr(augment, "module_of_fold", lambda path: SimpleNamespace(open_inputs=open_inputs))
    for name, rows in FOLDS.items():
        with shard_writer(tmp_path / name, "fold", {}) as writer:
            writer.extend({"copy": np.array([row[1] for row in rows])})
    return [tmp_path / name for name in FOLDS]


def test_training_mean_leaves_out_copy_0_and_the_test_fold(tmp_path: Path, made_folds: list[Path]) -> None:
    path = tmp_path / "baselines" / "predictions.csv"
    write_baseline("training_mean", "nuclei", made_folds, Path("samples.h5"), path)
    assert path.read_text().splitlines() == [
        "sample_id,copy,target_x,target_y,prediction_x,prediction_y",
        "a,0,10.000000,1.000000,33.500000,6.500000",
        "a,1,12.000000,1.000000,33.500000,6.500000",
        "b,0,20.000000,1.000000,33.500000,6.500000",
        "b,1,21.000000,2.000000,33.500000,6.500000",
        "c,0,30.000000,5.000000,16.500000,1.500000",
        "c,1,33.000000,6.000000,16.500000,1.500000",
        "c,2,34.000000,7.000000,16.500000,1.500000",
    ]


@pytest.mark.parametrize(("name", "task"), [("median", "ecg"), ("otsu_centroid", "ecg"), ("gap_oracle", "nuclei")])
def test_an_unknown_baseline_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, task: str) -> None:
    inputs = SimpleNamespace(spec=ecg_spec(100, 20.0) if task == "ecg" else image_spec(64, 64))
    module = SimpleNamespace(open_inputs=lambda *_, **__: inputs)
    monkeypatch.setattr(augment, "module_of_fold", lambda path: module)
    with pytest.raises(InputError) as caught:
        write_baseline(name, task, [Path("fold1.h5")], Path("samples.h5"), tmp_path / "p.csv")
    assert f"'{name}' for the task '{task}'" in str(caught.value)
    assert set(re.findall(r"\w+", str(caught.value))) >= set(baselines_of(KIND_OF_TASK[task]))
    assert list(tmp_path.iterdir()) == []


SYNTHETIC = {
    "ecg": {"format": "vfdb", "synthetic": {"samples": 3, "seed": 1}},
    "nuclei": {"format": "sipakmed", "synthetic": {"samples": 12, "seed": 1}, "image_size": 64, "max_excluded": 0.5},
}


def write_real_folds(folder: Path, task: str) -> tuple[Path, Path, Path]:
    """Two folds of synthetic data by the package's own modules, and the samples."""
    tasks = {task: {"dataset": "synthetic", "copies_per_sample": 2}}
    config = parse_config({"run": [task], "tasks": tasks, "datasets": {"synthetic": SYNTHETIC[task]}})
    section, samples_path = config.dataset_of(task), folder / "synthetic.h5"
    provide_raw("synthetic", section, folder / "raw", folder / "manifest.csv")
    beside = (samples_path.with_suffix(".csv"), samples_path.with_suffix(".json"))
    extract_samples("synthetic", section, folder / "raw", folder / "manifest.csv", samples_path, *beside)
    sample_ids = list(read_shard(samples_path, "samples", names=("sample_id",)).arrays["sample_id"])
    for fold in (1, 2):
        path = folder / f"fold{fold}.h5"
        augment_module(KIND_OF_TASK[task]).write_fold(
            samples_path, sample_ids[fold - 1 :: 2], config.task(task), section, 42, fold, path
        )
    return folder / "fold1.h5", folder / "fold2.h5", samples_path


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_real_folds_are_split_and_joined_by_row(tmp_path: Path, task: str) -> None:
    first, second, samples_path = write_real_folds(tmp_path, task)
    inputs = augment_module(KIND_OF_TASK[task]).open_inputs([second, first], samples_path, augmented_only=False)
    ids_of_first = set(
        augment_module(KIND_OF_TASK[task]).open_inputs([first], samples_path, augmented_only=False).sample_id
    )
    in_first = np.isin(inputs.sample_id, list(ids_of_first))
    test, train = np.flatnonzero(in_first), np.flatnonzero(~in_first & (inputs.copy > 0))
    for name in baselines_of(KIND_OF_TASK[task]):
        path = tmp_path / task / "baselines" / name / "predictions.csv"
        write_baseline(name, task, [first, second], samples_path, path)
        rows = read_csv(path, ("sample_id", "copy"))[: len(test)]
        names = [f"prediction{suffix}" for suffix in inputs.spec.outputs]
        found = np.array([[float(row[column]) for column in names] for row in rows])
        # The file has six decimals.
        np.testing.assert_allclose(found, load_baseline(name)(inputs, train, test), atol=1e-6, err_msg=name)
        assert [row["sample_id"] for row in rows] == list(inputs.sample_id[test])


# ------------------------------------------------------------------ one prediction for all


def test_training_mean_is_taken_in_double_precision() -> None:
    inputs = Rows(ecg_spec(), target=np.full((100_001, 1), 0.1, dtype=np.float32))
    prediction = training_mean(inputs, np.arange(100_001), np.arange(2))
    assert_same(prediction, np.full((2, 1), np.float64(np.float32(0.1))), FLOAT64)


def test_centre_of_window_and_image() -> None:
    np.testing.assert_array_equal(centre(Rows(ecg_spec()), NO_ROWS, np.arange(2)), [[10.0], [10.0]])
    np.testing.assert_array_equal(centre(Rows(image_spec(128, 128)), NO_ROWS, np.arange(1)), [[63.5, 63.5]])


# ------------------------------------------------------------------ intensity


def test_intensity_centroid_of_a_signal_by_hand() -> None:
    # Mean of the leads 0 -2 0 0 1, so m = 0 2 0 0 1 at 0, 2, 4, 6, 8 s: (2 x 2 + 1 x 8) / 3 = 4 s.
    # With 1 added to every |mean| the smallest value, 1, is taken away again.
    leads = np.array([[[1, -5, 0, 2, 3], [-1, 1, 0, -2, -1]], [[1, 3, 1, 1, 2], [1, 3, 1, 1, 2]]])
    inputs = Rows(ecg_spec(5, 8.0, 10.0), signal=leads)
    assert_same(intensity_centroid(inputs, NO_ROWS, np.arange(2)), [[4.0], [4.0]], FLOAT64)


def test_inverted_centroid_of_a_signal_by_hand() -> None:
    # m = 0 2 0 0 1, so w = 2 0 2 2 1 at 0, 2, 4, 6, 8 s: (8 + 12 + 8) / 7 = 4; then m = 3 1 3 1 0.
    leads = np.array([[[0, -2, 0, 0, 1]] * 2, [[3, 1, -3, 1, 0]] * 2])
    inputs = Rows(ecg_spec(5, 8.0, 10.0), signal=leads)
    prediction = inverted_centroid(inputs, NO_ROWS, np.arange(2))
    assert_same(prediction, [[28 / 7], [(2 * 2 + 2 * 6 + 3 * 8) / 7]], FLOAT64)


def test_intensity_centroid_of_an_image_by_hand() -> None:
    # On a background of -1: 1 above it at (3, 1), 3 above it at (1, 2), x first.
    images = np.full((1, 3, 4, 5), -1.0)
    images[0, :, 1, 3] = [0.0, 1.0, -1.0]
    images[0, :, 2, 1] = [2.0, 1.0, 3.0]
    inputs = Rows(image_spec(4, 5), signal=images)
    assert_same(intensity_centroid(inputs, NO_ROWS, np.arange(1)), [[6 / 4, 7 / 4]], FLOAT64)
    inverted = Rows(image_spec(4, 5), signal=-images)
    assert_same(inverted_centroid(inverted, NO_ROWS, np.arange(1)), [[6 / 4, 7 / 4]], FLOAT64)


def test_intensity_centroid_of_nothing_is_the_middle() -> None:
    flat = Rows(image_spec(4, 5), signal=np.full((1, 3, 4, 5), 0.3))
    np.testing.assert_array_equal(intensity_centroid(flat, NO_ROWS, np.arange(1)), [[2.0, 1.5]])
    silent = Rows(ecg_spec(), signal=np.zeros((1, 2, 500)))
    assert_same(inverted_centroid(silent, NO_ROWS, np.arange(1)), [[9.98]], FLOAT64)


def test_intensity_centroid_predictions_the_rows_asked_for_in_their_order() -> None:
    signal = np.zeros((150, 2, 500))
    signal[np.arange(150), :, 2 * np.arange(150)] = 1.0
    asked = np.random.default_rng(1).permutation(150)[:140]
    prediction = intensity_centroid(Rows(ecg_spec(), signal=signal), NO_ROWS, asked)
    assert_same(prediction[:, 0], 2 * asked * 19.96 / 499, FLOAT64)


# ------------------------------------------------------------------ dark region


def drawn_cell(height: int, width: int, blobs: list[tuple[tuple[int, int], int, float]]) -> np.ndarray:
    """A bright image with dark discs (centre, radius, grey), as batch returns it: zero in the outer 5 pixels."""
    grey = np.full((height, width), 0.8, dtype=np.float32)
    for position, radius, value in blobs:
        cv2.circle(grey, position, radius, value, thickness=-1)
    grey[:5] = grey[-5:] = 0
    grey[:, :5] = grey[:, -5:] = 0
    return np.stack([grey, grey, grey])


def test_otsu_centroid_of_the_larger_disc() -> None:
    image = drawn_cell(60, 80, [((30, 24), 9, -2.0), ((60, 40), 5, -2.5)])
    disc = np.zeros((60, 80), dtype=np.uint8)
    cv2.circle(disc, (30, 24), 9, 1, thickness=-1)
    moments = cv2.moments(disc, binaryImage=True)
    expected = [moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]]
    prediction = otsu_centroid(Rows(image_spec(60, 80), signal=image[np.newaxis]), NO_ROWS, np.arange(1))
    assert_same(prediction, [expected], FLOAT64)
    assert_same(expected, [30, 24], FLOAT64)


def test_otsu_centroid_threshold_is_that_of_a_plain_search() -> None:
    rng = np.random.default_rng(2)
    image = drawn_cell(64, 64, [((30, 35), 14, -1.2)])
    content = image[0] != 0
    image[:, content] += rng.normal(0, 1.2, (3, int(content.sum()))).astype(np.float32)
    grey = image.astype(np.float64).mean(axis=0)[content]
    levels = np.rint((grey - grey.min()) / (grey.max() - grey.min()) * 255)

    def between_class_variance(threshold: int) -> float:
        dark, bright = levels[levels <= threshold], levels[levels > threshold]
        return len(dark) * len(bright) * (dark.mean() - bright.mean()) ** 2

    dark = np.zeros((64, 64), dtype=np.uint8)
    dark[content] = levels <= max(range(255), key=between_class_variance)
    _, labels = cv2.connectedComponents(dark, connectivity=8)
    sizes = np.bincount(labels.ravel())[1:]
    assert len(sizes) > 1
    np.testing.assert_array_equal(find_dark_region(image), labels == 1 + sizes.argmax())


def test_otsu_centroid_without_contrast_or_content_is_the_centre() -> None:
    images = np.stack([drawn_cell(64, 64, []), np.zeros((3, 64, 64), dtype=np.float32)])
    prediction = otsu_centroid(Rows(image_spec(64, 64), signal=images), NO_ROWS, np.arange(2))
    np.testing.assert_array_equal(prediction, np.full((2, 2), 31.5))


# ------------------------------------------------------------------ what the protocol gives away


def test_zero_padding_recovers_a_shift_that_the_padding_tells() -> None:
    rng = np.random.default_rng(3)
    shift_s = rng.uniform(-5, 5, 4000)
    edge_s = np.stack([np.maximum(shift_s, 0), np.maximum(-shift_s, 0)], axis=1)
    inputs = Rows(ecg_spec(), target=seconds(10 + shift_s + rng.normal(0, 0.1, 4000)), edge_s=edge_s)
    train, test = np.arange(3000), np.arange(3000, 4000)
    prediction = zero_padding(inputs, train, test)
    assert prediction.shape == (1000, 1)
    # The noise of 0.1 s leaves 1 - 0.01 / (100 / 12 + 0.01) = 0.999.
    assert r2_score(inputs.target[test], prediction) > 0.99
    np.testing.assert_array_equal(zero_padding(inputs, train, test), prediction)


def test_zero_padding_without_padding_is_the_training_mean() -> None:
    rng = np.random.default_rng(4)
    inputs = Rows(ecg_spec(), target=seconds(rng.uniform(0, 20, 300)), edge_s=np.zeros((300, 2)))
    prediction = zero_padding(inputs, np.arange(200), np.arange(200, 300))
    # Trees sum in single precision.
    assert_same(prediction, np.full((100, 1), inputs.target[:200].mean(dtype=np.float64)), FLOAT32)


def test_gap_oracle_by_hand() -> None:
    # Means by gap: 2 s -> 2, 4 s -> 1 (falling, so both become 5/3), 20 s and more -> 10.
    gap_s = np.array([2.0, 2.0, 4.0, 30.0, math.inf, 1.0, 4.0, 12.0, 25.0, math.inf])
    inputs = Rows(ecg_spec(), target=seconds([1, 3, 1, 9, 11, 0, 0, 0, 0, 0]), gap_s=gap_s)
    prediction = gap_oracle(inputs, np.arange(5), np.arange(5, 10))
    half_way = (5 / 3 + 10) / 2
    assert_same(prediction[:, 0], [5 / 3, 5 / 3, half_way, 10, 10], FLOAT64)


def test_gap_oracle_learns_half_the_gap() -> None:
    rng = np.random.default_rng(5)
    gap_s = np.concatenate([rng.uniform(0, 40, 20_000), np.linspace(0.5, 40, 80)])
    inputs = Rows(ecg_spec(), target=seconds(rng.uniform(0, np.minimum(gap_s, 20))), gap_s=gap_s)
    prediction = gap_oracle(inputs, np.arange(20_000), np.arange(20_000, 20_080))[:, 0]
    error_s = prediction - np.minimum(gap_s[20_000:], 20) / 2
    # Single targets are off by up to 20 / sqrt(12) = 5.8 s.
    assert np.sqrt(np.mean(error_s**2)) < 0.35
    assert abs(error_s[gap_s[20_000:] >= 20]).max() < 4 * 5.8 / math.sqrt(10_000)


# ------------------------------------------------------------------ change point


def noise_with_step(change: int, samples=500, factor=3.0, seed=6) -> np.ndarray:
    signal = np.random.default_rng(seed).standard_normal((2, samples))
    signal[:, change:] *= factor
    return signal


@pytest.mark.parametrize("change", [60, 137, 250, 410])
def test_change_point_of_a_step_in_variance(change: int) -> None:
    # A feature sees a change half of its window of 1 s ahead.
    inputs = Rows(ecg_spec(), signal=noise_with_step(change)[np.newaxis], edge_s=np.zeros((1, 2)))
    assert change_point(inputs, NO_ROWS, np.arange(1)).item() == pytest.approx(change * 0.04, abs=0.5)


def test_change_point_of_a_step_in_rate() -> None:
    time_s = np.arange(500) / 25
    signal = np.where(time_s < 12, np.sin(2 * np.pi * 1.5 * time_s), np.sin(2 * np.pi * 4 * time_s))
    inputs = Rows(ecg_spec(), signal=np.stack([signal, signal])[np.newaxis], edge_s=np.zeros((1, 2)))
    assert change_point(inputs, NO_ROWS, np.arange(1)).item() == pytest.approx(12, abs=0.5)


def test_change_point_leaves_out_padding_and_outlives_a_silent_patch() -> None:
    signal = np.stack([noise_with_step(320), noise_with_step(180)])
    signal[0, :, :100] = 0
    signal[0, :, 200:240] = 0
    signal[1, :, 375:] = 0
    edge_s = np.array([[4.0, 0.0], [0.0, 5.0]])
    prediction = change_point(Rows(ecg_spec(), signal=signal, edge_s=edge_s), NO_ROWS, np.arange(2))
    np.testing.assert_allclose(prediction[:, 0], [12.8, 7.2], atol=0.5)


@pytest.mark.parametrize("step_s", [1.0, 2.0, 5.0])
def test_change_point_where_samples_stand_seconds_apart(step_s: float) -> None:
    spec = ecg_spec(last_s=499 * step_s, window_s=500 * step_s)
    inputs = Rows(spec, signal=noise_with_step(320, factor=20.0)[np.newaxis], edge_s=np.zeros((1, 2)))
    assert change_point(inputs, NO_ROWS, np.arange(1)).item() == pytest.approx(320 * step_s, abs=2 * step_s)


def test_change_point_of_silence_or_of_a_short_record_is_within_the_record() -> None:
    signal = np.zeros((3, 2, 500))
    signal[1, :, 200:240] = np.random.default_rng(7).standard_normal((2, 40))
    edge_s = np.array([[0.0, 0.0], [8.0, 10.4], [20.0, 20.0]])
    prediction = change_point(Rows(ecg_spec(), signal=signal, edge_s=edge_s), NO_ROWS, np.arange(3))[:, 0]
    assert 1 <= prediction[0] <= 18.96
    np.testing.assert_allclose(prediction[1:], [8.8, 19.96])


def test_change_point_search_is_that_of_a_plain_loop() -> None:
    signal = noise_with_step(45, samples=90, factor=1.5, seed=8)
    features = local_features(signal, 11)
    distance = ((features[:, np.newaxis] - features[np.newaxis]) ** 2).sum(axis=2)
    gram = np.exp(-distance / 12)

    def cost(first: int, last: int) -> float:
        return (last - first) - gram[first:last, first:last].sum() / (last - first)

    best = min(range(11, 90 - 11 + 1), key=lambda split: cost(0, split) + cost(split, 90))
    assert find_change(signal, 11) == best


def test_change_point_features_are_those_of_a_plain_loop() -> None:
    signal = noise_with_step(70, samples=120)
    signal[1] = 0
    features = local_features(signal, 9)
    assert features.shape == (120, 6)
    np.testing.assert_array_equal(features[:, [1, 3, 5]], 0)
    assert_same(features[:, ::2].mean(axis=0), np.zeros(3), FLOAT64, scale=largest(features))
    assert_same(features[:, ::2].std(axis=0), np.ones(3), FLOAT64)
    lead = {k: signal[0, k] - sum(signal[0, k - 4 : k + 5]) / 9 for k in range(4, 116)}
    rows = []
    for k in range(9, 111):
        window = range(k - 4, k + 5)
        energy = sum(lead[j] ** 2 for j in window) / 9
        slope = sum(abs(lead[j] - lead[j - 1]) for j in window) / 9
        crossings = sum((lead[j] > 0) != (lead[j - 1] > 0) for j in window) / 9
        rows.append((math.log(energy), math.log(slope), crossings))
    # Standardised over 120 samples, of which the loop has those away from the border: equal up to offset and scale.
    for column, expected in zip(features[9:111, ::2].T, np.array(rows).T, strict=True):
        assert_same(np.corrcoef(column, expected)[0, 1], 1.0, FLOAT64)
