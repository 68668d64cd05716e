"""The controls' made data by hand and by scikit-learn, their verdicts by a shortened run."""

from __future__ import annotations

import hashlib
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from tolerances import FLOAT64, largest

from siwcc.analyses import controls
from siwcc.analyses.controls import CONTROLS, Finding, Outcome, Peaks, Size
from siwcc.cli import main as cli
from siwcc.config import SignalTask, VfdbSection
from siwcc.data.augment import signal as ecg
from siwcc.data.augment.interface import copy_rng
from siwcc.evaluation.comparisons import read_rows
from siwcc.io.shards import read_shard, shard_writer
from siwcc.nn.paper_networks import build_localiser
from siwcc.report.wording import Reading

POSITION, NO_POSITION = CONTROLS["position"], CONTROLS["no_position"]
EVERY_CONTROL = pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
# Half a signal of the default, one encoding: a network learns within 12 epochs of 8 steps.
SMALL = Size(records_per_fold=4, signals_per_record=15, studies=("coord_unit",), epochs=12)
TINY = Size(records_per_fold=2, signals_per_record=3)
UNTRAINED = Size(records_per_fold=2, signals_per_record=5, studies=("coord_unit",), epochs=1)


def many(control, count=4000):
    return [controls.draw_peaks(control, copy_rng(7, str(number), 0)) for number in range(count)]


# ------------------------------------------------------------------- signals


class TestPeaks:
    @EVERY_CONTROL
    def test_they_stand_apart_from_each_other_and_the_edges(self, control):
        places = np.array([peaks.places for peaks in many(control)])
        assert places.shape == (4000, 3)
        assert (places.min(), places.max()) == (35, 284)
        assert np.diff(places).min() == 54

    def test_all_sets_of_places_are_equally_likely(self):
        # Less what is always between them, three of 142 offsets that may be equal: 3 of 144 without repetition.
        # The k-th smallest of these is k 145 / 4 on average, so the k-th place 35 + 54 (k - 1) + 36.25 k - k.
        places = np.array([peaks.places for peaks in many(POSITION)])
        error = places.std(axis=0) / 4000**0.5
        assert (np.abs(places.mean(axis=0) - [70.25, 159.5, 248.75]) < 4 * error).all()

    def test_heights(self):
        assert {peaks.height_mv for peaks in many(POSITION, 50)} == {1.0}
        heights_mv = np.array([peaks.height_mv for peaks in many(NO_POSITION)])
        assert 0.5 <= heights_mv.min() < 0.502
        assert 1.498 < heights_mv.max() <= 1.5

    def test_targets_by_hand(self):
        peaks = Peaks(np.array([40, 100, 250]), 0.75)
        assert POSITION.target_s(peaks) == 10.0
        # 320 samples at 25 Hz are 12.8 s.
        assert NO_POSITION.target_s(peaks) == pytest.approx(0.75 * 6.4)

    def test_signal_by_hand(self):
        signal = controls.draw_signal(Peaks(np.array([40, 100, 250]), 2.0))
        # (1 + cos(k 36 degrees)) / 2 for k = 0 ... 4, times 2.
        half = np.array([2.0, 1.80901699, 1.30901699, 0.69098301, 0.19098301])
        for lead in signal:
            for place in (40, 100, 250):
                assert lead[place : place + 5] == pytest.approx(half)
                assert lead[place - 4 : place + 1][::-1] == pytest.approx(half)
            assert np.count_nonzero(lead) == 27
        assert signal.shape == (2, 320)


def out_of_fold_r2(features, target):
    prediction = cross_val_predict(RidgeCV(np.logspace(-2, 6, 20)), features, target, cv=5)
    return 1 - ((prediction - target) ** 2).sum() / ((target - target.mean()) ** 2).sum()


@pytest.fixture(scope="module")
def rows():
    """Copy 1 of 1,000 signals of each control."""
    made = {}
    for name, control in CONTROLS.items():
        arrays = controls.make_rows(control, 1, 3, Size(records_per_fold=10, signals_per_record=100))
        made[name] = {key: values[arrays["copy"] == 1] for key, values in arrays.items()}
    return made


class TestWhatTheTargetCanBeReadFrom:
    def test_values_without_their_order_say_nothing_of_the_last_peak(self, rows):
        # Of one lead: the other has the same peaks, and half the columns cost a quarter of the time.
        values = np.sort(rows["position"]["signal"][:, 0], axis=1)
        assert out_of_fold_r2(values, rows["position"]["target"][:, 0]) < 0.02

    def test_values_without_their_order_give_the_height(self, rows):
        values = np.sort(rows["no_position"]["signal"][:, 0], axis=1)
        assert out_of_fold_r2(values, rows["no_position"]["target"][:, 0]) > 0.95

    def test_places_say_nothing_of_the_height(self):
        made = many(NO_POSITION, 1000)
        places = np.array([peaks.places for peaks in made])
        assert out_of_fold_r2(places, np.array([peaks.height_mv for peaks in made])) < 0.02

    def test_the_mean_place_is_not_enough(self):
        # Of three independent uniform numbers, the correlation of the largest with the mean is 0.6 ** 0.5.
        places = np.array([peaks.places for peaks in many(POSITION)])
        assert np.corrcoef(places[:, -1], places.mean(axis=1))[0, 1] ** 2 == pytest.approx(0.6, abs=0.03)

    def test_other_arrays_are_alike_in_all_rows(self, rows):
        for arrays in rows.values():
            assert {name for name, values in arrays.items() if len(np.unique(values, axis=0)) > 1} == {
                "signal",
                "target",
                "sample_id",
                "group",
            }

    def test_noise(self, rows):
        # Between the edge and the first possible peak there is nothing else.
        noise = rows["position"]["signal"][:, :, :31].astype(np.float64)
        assert noise.std() == pytest.approx(0.1, abs=0.001)
        assert np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1] == pytest.approx(0, abs=0.02)


@pytest.mark.numeric
@pytest.mark.parametrize(("encoding", "sees"), [("none", False), ("coord_unit", True), ("weighted_unit", True)])
def test_without_a_coordinate_the_network_cannot_tell_places(encoding, sees):
    # All peaks move by other multiples of 16 samples, the distance of two features, as far as their room goes.
    places = np.array([[35, 99, 284], [51, 131, 188], [163, 227, 284]])
    signals = np.array([controls.draw_signal(Peaks(row, 1.0)) for row in places])
    torch.manual_seed(0)
    spec = controls.SPEC
    localiser = build_localiser("nimesha", "pooled", encoding, 2, spec.shape, spec.extent, spec.output_scale)
    with torch.no_grad():
        predictions = localiser.double().eval()(torch.from_numpy(signals)).flatten()
    # Rounding is far below 1e-11 of the predictions, a coordinate far above it.
    spread, rounding = (predictions.max() - predictions.min()).item(), FLOAT64 * largest(predictions)
    assert spread > 1000 * rounding if sees else spread < rounding


# --------------------------------------------------------------------- files


class TestFoldFiles:
    def test_they_are_what_the_study_writes(self, tmp_path):
        """Arrays, types, axes and attributes of a fold of recordings and of a made one."""
        control_path = controls.write_folds(POSITION, tmp_path, 1, TINY)[0]
        ours, theirs = (read_shard(path, "fold") for path in (control_path, recorded_fold(tmp_path / "recorded")))
        assert set(ours.attributes) == set(theirs.attributes)
        assert {name: (values.dtype, values.ndim) for name, values in ours.arrays.items()} == {
            name: (values.dtype, values.ndim) for name, values in theirs.arrays.items()
        }

    @EVERY_CONTROL
    def test_the_study_reads_them(self, control, tmp_path):
        paths = controls.write_folds(control, tmp_path, 1, TINY)
        train = ecg.open_inputs(paths[1:], paths[0], augmented_only=True)
        test = ecg.open_inputs(paths[:1], paths[0], augmented_only=False)
        assert (len(train.target), len(test.target)) == (4 * 6, 12)
        assert not set(train.group) & set(test.group)
        assert test.copy.tolist() == [0, 1] * 6
        assert train.spec == controls.SPEC
        # Copy 0 and 1 differ by the noise alone.
        noise = test.signal[1::2] - test.signal[::2]
        assert noise.std() == pytest.approx(0.1, rel=0.05)
        np.testing.assert_array_equal(test.target[1::2], test.target[::2])

    def test_a_table_of_folds_and_one_of_strata(self, tmp_path):
        controls.write_folds(POSITION, tmp_path, 1, TINY)
        lines = (tmp_path / "ecg" / "strata.csv").read_text().splitlines()
        assert lines[:2] == ["sample_id,group,fold,class,gap_s", "made000_0000,made000,1,position,inf"]
        assert lines[-1] == "made009_0002,made009,5,position,inf"
        assert [line.rsplit(",", 2)[0] for line in lines] == (tmp_path / "ecg" / "folds.csv").read_text().splitlines()

    def test_the_seed_alone_decides_the_bytes(self, tmp_path):
        digests = [
            hashlib.sha256(controls.write_folds(control, tmp_path / name, seed, size)[1].read_bytes()).hexdigest()
            for name, control, seed, size in (
                ("a", POSITION, 1, TINY),
                ("b", POSITION, 1, TINY),
                ("c", POSITION, 2, TINY),
                ("d", NO_POSITION, 1, TINY),
            )
        ]
        assert digests[0] == digests[1]
        assert len(set(digests)) == 3


def recorded_fold(folder):
    """A fold file of two windows of noise, made by the study."""
    dataset, settings = VfdbSection(format="vfdb"), SignalTask(copies_per_sample=1)
    rng = np.random.default_rng(0)
    with shard_writer(folder / "samples.h5", "samples", {"task": "ecg", "dataset": "x", "rate_hz": 250.0}) as writer:
        for name in ("418_1", "418_2"):
            arrays = {"signal": rng.standard_normal((2, 5000)).astype(np.float32), "target": np.array([10.0])}
            texts = {"sample_id": name, "group": "418", "class": "VT"}
            context = {"event_sample": 9000, "previous_event": -1, "context_valid": np.ones(10000, dtype=bool)}
            writer.append({**arrays, **texts, **context})
    ecg.write_fold(folder / "samples.h5", ["418_1", "418_2"], settings, dataset, 1, 1, folder / "fold1.h5")
    return folder / "fold1.h5"


# ------------------------------------------------------------------- verdicts


def test_a_control_is_trained_and_compared(tmp_path, capsys):
    (finding,) = controls.run_control(POSITION, tmp_path, 42, UNTRAINED).findings
    assert_is_the_row_of_the_table(finding, tmp_path)


def assert_is_the_row_of_the_table(finding, folder):
    row = next(row for row in read_rows(folder / "stats" / "comparisons.csv") if row.metric == "test_r2")
    assert row == finding.row
    assert finding.study_r2 - finding.control_r2 == pytest.approx(row.mean_difference)
    assert (row.folds, row.variant, row.control, row.study) == (5, "pooled", "none", "coord_unit")


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_the_verdict_of_a_shortened_control_is_right(name, tmp_path, capsys):
    outcome = controls.run_control(CONTROLS[name], tmp_path, 42, SMALL)
    assert outcome.is_right
    (finding,) = outcome.findings
    assert_is_the_row_of_the_table(finding, tmp_path)
    row = finding.row
    if name == "position":
        # Nothing to be had without positions, and as small a p as five folds and twenty records allow.
        assert finding.control_r2 < 0.2
        assert finding.study_r2 > 0.8
        assert row.conclusion == "study > control"
        assert row.p_sign_flip == 1 / 32
        assert row.p_holm < 0.05
        assert finding.test.p_smaller == finding.test.least_p == 2**-20
    else:
        assert min(finding.control_r2, finding.study_r2) > 0.6
        assert row.p_holm > 0.05


def finding(reading, **ps):
    row = SimpleNamespace(**{"study": "coord_unit", "mean_difference": 0.5, "ci_low": 0.25, "ci_high": 0.75, **ps})
    return Finding(row, reading, SimpleNamespace(p_smaller=ps.get("p_bootstrap")), Reading.HINT, 0.125, 0.625)


def outcome(control, *readings, seed=42):
    ps = {"p_bootstrap": 0.0, "p_sign_flip": 0.03125, "p_corrected_t": 0.0625, "p_holm": 0.25}
    return Outcome(control, seed, tuple(finding(reading, **ps) for reading in readings))


@pytest.mark.parametrize(
    ("readings", "position", "no_position"),
    [
        ((Reading.GAIN, Reading.GAIN), True, False),
        ((Reading.GAIN, Reading.HINT), False, False),
        ((Reading.HINT, Reading.NOTHING), False, True),
        ((Reading.LOSS, Reading.HINT_AGAINST), False, True),
        ((Reading.TOO_FEW, Reading.UNTESTABLE), False, True),
    ],
)
def test_which_verdict_is_right(readings, position, no_position):
    assert outcome(POSITION, *readings).is_right is position
    assert outcome(NO_POSITION, *readings).is_right is no_position


def printed(outcomes) -> list[str]:
    console = Console(width=100, file=io.StringIO())
    controls.print_outcomes(outcomes, console)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def cells(lines, name):
    return [part.strip() for part in next(line for line in lines if name in line).strip("│ ").split("│")]


def test_the_table_of_one_control():
    lines = printed([outcome(POSITION, Reading.HINT)])
    assert lines[0].startswith("position, seed 42")
    assert cells(lines, "test R²")[1:] == ["0.125 -> 0.625"]
    assert cells(lines, "95 % interval")[1:] == ["+0.250 to +0.750"]
    assert cells(lines, "bootstrap")[1:] == ["< 0.001"]
    assert cells(lines, "p folds, exact")[1:] == ["0.0312"]
    assert cells(lines, "after Holm")[1:] == ["0.250"]
    assert cells(lines, "over folds")[1:] == [Reading.HINT.value]
    assert any("0 of 1" in line and "WRONG" in line for line in lines)


def test_shares_of_several_seeds():
    outcomes = [outcome(POSITION, Reading.GAIN, Reading.GAIN, seed=seed) for seed in (1, 2)]
    outcomes += [outcome(NO_POSITION, Reading.HINT, Reading.GAIN, seed=seed) for seed in (1, 2, 3)]
    lines = printed(outcomes)
    lines = lines[next(i for i, line in enumerate(lines) if "3 seeds" in line) :]
    # p is 0, 1/32 and 1/16 in all of them; the reading is a gain in some.
    assert cells(lines, "bootstrap")[1:] == ["4 of 4", "6 of 6"]
    assert cells(lines, "folds, exact sign-flip")[1:] == ["4 of 4", "6 of 6"]
    assert cells(lines, "corrected t ")[1:] == ["0 of 4", "0 of 6"]
    assert cells(lines, "after Holm")[1:] == ["4 of 4", "3 of 6"]


class TestCommand:
    def test_exit_code_and_seeds(self, monkeypatch, tmp_path, capsys):
        asked = []

        def run_controls(folder, seeds):
            asked.append((folder, list(seeds)))
            return [outcome(POSITION, Reading.GAIN), outcome(NO_POSITION, [Reading.HINT, Reading.GAIN][len(asked) - 1])]

        monkeypatch.setattr(controls, "run_controls", run_controls)
        codes = [cli.main(["controls", "--out", str(tmp_path), "--seed", "5", "--repeats", "2"]) for _ in range(2)]
        assert codes == [0, 1]
        assert asked == [(tmp_path, [5, 6])] * 2
        assert re.search(r"no_position: .*1 of 1.*WRONG", capsys.readouterr().out)

    @pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--repeats", "0"]])
    def test_impossible_numbers(self, arguments, capsys):
        assert cli.main(["controls", *arguments]) == 1
        assert capsys.readouterr().err.startswith("siwcc: --seed, --repeats: ")

    @pytest.mark.parametrize("keeps", [True, False])
    def test_every_control_and_seed_has_its_folder(self, keeps, monkeypatch, tmp_path, capsys):
        folders = []

        def run_control(control, folder, seed, size):
            folders.append(folder)
            return outcome(control, Reading.GAIN, seed=seed)

        monkeypatch.setattr(controls, "run_control", run_control)
        done = controls.run_controls(tmp_path if keeps else None, [1, 2])
        assert [(one.control.name, one.seed) for one in done] == [
            ("position", 1),
            ("no_position", 1),
            ("position", 2),
            ("no_position", 2),
        ]
        assert [folder.parts[-2:] for folder in folders] == [(f"seed{one.seed}", one.control.name) for one in done]
        assert all(folder.is_relative_to(tmp_path) == keeps for folder in folders)
        assert re.search(r"control position, seed 2: .*\b15\b", capsys.readouterr().err)
