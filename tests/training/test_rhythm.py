"""Training on whole recordings: prepared signals, targets, pasted stretches, and a training that learns and repeats."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, FLOAT64, assert_same

from siwcc.data.datasets.interface import Beats, RhythmRecord
from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises
from siwcc.inference.rhythm_curve import rhythm_curves
from siwcc.training import rhythm_windows
from siwcc.training.rhythm import new_network, rhythm_loss, train_rhythm_network
from siwcc.training.rhythm_windows import RhythmRecipe, WindowDrawer, Windows, prepare_signal

pytestmark = pytest.mark.numeric
RATE_HZ = 100.0
# Nothing is done to the windows; what the tests count with is given, whatever the defaults are.
PLAIN = RhythmRecipe(
    scale_floor_mv=0.03,
    clip=8.0,
    stem_kernels=(7, 5),
    stem_strides=(2, 2),
    window_s=40.0,
    batch_size=32,
    paste=0,
    burst=0,
    flat=0,
    sign=0,
    order=0,
    turn=0,
    silence=0,
    noise=0,
    wander=0,
    gain=1,
    speed=1,
    near_change=0,
)
SMALL = replace(PLAIN, width=8, dilations=(1, 2), window_s=20, batches=4, batch_size=4)


def made_record(
    changes_s: dict[float, str], duration_s: float = 120, leads: int = 2, seed: int = 0, rate_hz: float = RATE_HZ
) -> RhythmRecord:
    """Spikes every 0.8 s, in a malignant rhythm a sine of 4 Hz."""
    time = np.arange(round(duration_s * rate_hz)) / rate_hz
    label = np.array(list(changes_s.values()))[np.searchsorted(list(changes_s), time, side="right") - 1]
    beats = np.where(time % 0.8 < 0.05, 1.0, 0.0)
    signal = np.where(label == "VT", np.sin(2 * np.pi * 4 * time), beats)
    noise = np.random.default_rng(seed).standard_normal((leads, len(time)))
    changes = np.array([round(at * rate_hz) for at in changes_s])
    return RhythmRecord(
        name=f"r{seed}",
        group=f"r{seed}",
        rate_hz=rate_hz,
        signal_mv=(signal + 0.02 * noise).astype(np.float32),
        changes=changes,
        labels=tuple(changes_s.values()),
        event_labels=("VT",),
    )


class TestPreparedSignal:
    def test_a_sine_is_scaled_to_its_standard_deviation(self):
        time = np.arange(6000) / RATE_HZ
        sine = np.sin(2 * np.pi * 3 * time)
        prepared = prepare_signal(np.stack([sine + 5, 0.1 * sine]), RATE_HZ, PLAIN)
        expected = math.sqrt(2) * np.sin(2 * np.pi * 3 * np.arange(3000) / 50)
        assert prepared.shape == (2, 3000)
        assert prepared.dtype == np.float32
        # Away from the ends; the high-pass of 0.5 Hz passes 0.9985 of 3 Hz (Butterworth of order 2, applied twice).
        assert np.abs(prepared - expected)[:, 500:-500].max() < 0.01

    def test_a_weak_lead_is_scaled_to_the_floor_and_large_values_are_clipped(self):
        time = np.arange(6000) / RATE_HZ
        weak = 0.003 * np.sin(2 * np.pi * 3 * time)
        prepared = prepare_signal(np.stack([weak, np.where(time == 30, 1e4, weak)]), RATE_HZ, PLAIN)
        assert np.abs(prepared[0, 500:-500]).max() == pytest.approx(0.1, rel=0.01)
        assert prepared[1].max() == 8.0

    def test_what_is_invalid_is_zero_and_the_rest_finite(self):
        signal = np.random.default_rng(0).standard_normal((2, 4000))
        signal[0, 1000:2000] = np.nan
        signal[1] = np.nan
        prepared = prepare_signal(signal, RATE_HZ, PLAIN)
        assert np.isfinite(prepared).all()
        assert not prepared[0, 500:1000].any()
        assert np.abs(prepared[0, :499]).min() > 0
        assert not prepared[1].any()

    def test_a_part_between_whole_seconds_with_margins_is_as_in_the_whole(self):
        signal = np.random.default_rng(0).standard_normal((1, 30_037)) * np.linspace(1, 5, 30_037)
        whole = prepare_signal(signal, RATE_HZ, PLAIN)
        part = prepare_signal(signal[:, 5_000:25_000], RATE_HZ, PLAIN)
        assert_same(part[:, 2_000:-2_000], whole[:, 4_500:10_500], FLOAT32)

    @pytest.mark.parametrize("rate_hz", [100, 128, 250, 257, 360, 500])
    def test_no_rate_moves_the_signal_in_time(self, rate_hz):
        time = np.arange(60 * rate_hz) / rate_hz
        bump = np.exp(-0.5 * ((time - 30.013) / 0.05) ** 2)[np.newaxis]
        prepared = prepare_signal(bump, rate_hz, PLAIN)[0]
        near = slice(1495, 1507)
        centre = (prepared[near] * np.arange(60 * 50)[near]).sum() / prepared[near].sum() / 50
        assert centre == pytest.approx(30.013, abs=2e-3)


class TestTargets:
    def drawn(self, record: RhythmRecord, recipe: RhythmRecipe) -> np.ndarray:
        """(4, T) at 50 Hz: rhythm, its weight, onset, its weight."""
        return WindowDrawer([record], recipe, np.random.default_rng(0)).records[0].targets

    def test_episodes_and_what_has_no_loss(self):
        # The first rhythm is annotated at 2 s; 61 to 62 s is a gap that is no rhythm of its own.
        record = made_record({2: "N", 30: "VT", 40: "N", 50: "VT", 61: "N", 62: "VT", 70: "N"})
        rhythm, weight, onset, onset_weight = self.drawn(record, replace(PLAIN, ignored_s=0.2, onset_sigma_s=0.5))
        malignant = np.zeros(6000)
        for start, stop in ((1500, 2000), (2500, 3050), (3100, 3500)):
            malignant[start:stop] = 1
        assert np.array_equal(rhythm, malignant)
        lost = np.zeros(6000)
        for start, stop in ((0, 100), (1490, 1510), (1990, 2010), (2490, 2510), (3040, 3110), (3490, 3510)):
            lost[start:stop] = 1
        assert np.array_equal(weight, 1 - lost)
        lost[100:] = 0
        lost[3050:3100] = 1
        assert np.array_equal(onset_weight, 1 - lost)
        assert np.flatnonzero(onset == 1).tolist() == [1500, 2500]
        # One standard deviation is 25 samples.
        assert onset[[1475, 1525, 1550]] == pytest.approx([math.exp(-0.5), math.exp(-0.5), math.exp(-2)])

    def test_a_malignant_first_rhythm_is_no_onset(self):
        drawer = WindowDrawer([made_record({0: "VT", 40: "N"})], PLAIN, np.random.default_rng(0))
        assert not len(drawer.records[0].onsets)
        assert not drawer.records[0].targets[2].any()

    def test_a_record_without_a_change_has_no_loss(self):
        record = replace(made_record({0: "N"}), changes=np.array([], dtype=np.int64), labels=())
        windows = WindowDrawer([record], PLAIN, np.random.default_rng(0)).draw()
        assert np.count_nonzero(windows.signal)
        for target in windows[1:]:
            assert not target.any()

    def test_windows_are_cut_with_their_targets(self):
        record = made_record({0: "N", 50: "VT", 70: "N"})
        recipe = replace(PLAIN, near_onset=1.0, window_s=30)
        windows = WindowDrawer([record], recipe, np.random.default_rng(0)).draw()
        assert windows.signal.shape == (32, 2, 1500)
        assert windows.rhythm.shape == (32, 375)
        # An onset in every window; with 95 % of the window after it at most.
        peak = windows.onset.argmax(1)
        assert (windows.onset.max(1) > 0.97).all()
        assert peak.min() < 75
        assert peak.max() > 300
        for row, step in enumerate(peak):
            expected = np.abs(np.arange(375) - step - 125) <= 124
            certain = (windows.rhythm_weight[row] > 0) & (np.abs(np.arange(375) - step - 125) < 120)
            assert (windows.rhythm[row] == expected)[certain].all()

    def test_beyond_the_ends_there_is_no_signal_and_no_loss(self):
        drawer = WindowDrawer([made_record({0: "N"}, 10)], replace(PLAIN, window_s=30), np.random.default_rng(0))
        windows = drawer.draw()
        samples = (windows.signal != 0).any(1).sum(1)
        assert samples.max() <= 500
        assert (windows.rhythm_weight.sum(1) <= 126).all()


class TestBeats:
    recipe = replace(PLAIN, beat_sigma_s=0.1)
    beats = Beats(np.array([150, 251, 400]), np.array([False, True, False]))

    def test_each_kind_has_a_bump_at_its_beats_and_a_weight_between_them(self):
        record = replace(made_record({0: "N"}, 10), beats=self.beats)
        prepared = WindowDrawer([record], self.recipe, np.random.default_rng(0)).records[0]
        ventricular, other, weight = prepared.targets[4:]
        time = np.arange(500)
        # At 50 Hz a standard deviation is five samples.
        bumps = {at: np.exp(-0.5 * ((time - at) / 5) ** 2) for at in (75, 125.5, 200)}
        assert_same(ventricular, bumps[125.5], FLOAT32)
        assert_same(other, np.maximum(bumps[75], bumps[200]), FLOAT32)
        assert np.flatnonzero(weight).tolist() == list(range(75, 201))

    def test_a_long_time_without_beats_has_no_loss(self):
        beats = Beats(np.array([100, 200, 500, 801, 900]), np.zeros(5, dtype=bool))
        record = replace(made_record({0: "N"}, 10), beats=beats)
        weight = WindowDrawer([record], self.recipe, np.random.default_rng(0)).records[0].targets[6]
        # From 2 s to 5 s is just near enough, and from 5 s to 8.01 s is not.
        assert np.flatnonzero(weight).tolist() == [*range(50, 251), *range(400, 451)]

    def test_records_without_beats_and_recipes_without_outputs_for_them(self):
        with_beats = replace(made_record({0: "N"}, 10), beats=self.beats)
        for record, recipe, rows in (
            (made_record({0: "N"}, 10), self.recipe, 3),
            (with_beats, PLAIN, 0),
        ):
            drawer = WindowDrawer([record], recipe, np.random.default_rng(0))
            assert drawer.records[0].targets[4:].shape == (rows, 500)
            assert not drawer.records[0].targets[4:].any()
            assert drawer.draw().beats.shape == (32, rows, 500)
        assert (PLAIN.outputs, self.recipe.outputs) == (2, 4)

    def test_beats_are_pasted_with_their_stretch(self):
        record = made_record({0: "N", 50: "VT", 100: "N"})
        every = np.arange(0, 12_000, 40)
        record = replace(record, beats=Beats(every, (every >= 5_000) & (every < 10_000)))
        recipe = replace(self.recipe, paste=1.0, paste_s=(2.0, 4.0))
        drawer = WindowDrawer([record], recipe, np.random.default_rng(0))
        prepared = drawer.records[0]
        marked = 0
        for _ in range(50):
            signal, targets = prepared.signal[:, :1000].copy(), prepared.targets[:, :1000].copy()
            drawer._paste(prepared, signal, targets)
            inside = np.flatnonzero(targets[0])
            if len(inside):
                marked += 1
                # A beat every 0.4 s; at the seams, 0.2 s to either side, there is no loss.
                assert targets[4, inside].max() > 0.9
                seams = np.concatenate([np.arange(at - 10, at + 10) for at in (inside[0], inside[-1] + 1)])
                seams = seams[(seams >= 0) & (seams < 1000)]
                assert not targets[6, seams].any()
                assert targets[5, np.setdiff1d(inside, seams)].max() < 0.15
                outside = np.setdiff1d(np.flatnonzero(targets[0] == 0), seams)
                assert np.array_equal(targets[4:, outside], prepared.targets[4:, outside])
        assert marked > 10

    def test_their_loss_is_of_the_last_two_logits(self):
        windows = Windows(
            *(np.zeros((1, *shape), np.float32) for shape in ((1, 16), (2,), (2,), (2,), (2,))),
            beats=np.array([[[1, 0], [0, 0], [1, 1]]], np.float32),
        )
        logits = torch.tensor([[[9.0, 9.0], [9.0, 9.0], [1.0, 0.0], [0.0, 0.0]]])
        recipe = replace(self.recipe, beat_weight=0.5, beat_positive=3.0)
        ventricular = (3 * math.log(1 + math.exp(-1)) + math.log(2)) / 4
        assert float(rhythm_loss(logits, windows, recipe)) == pytest.approx(0.5 * (ventricular + math.log(2)))
        windows.beats[:, 2] = 0
        assert float(rhythm_loss(logits, windows, recipe)) == 0

    def test_a_network_learns_them(self):
        changes = {0: "N", 30: "VT", 45: "N", 70: "VT", 90: "N"}
        every = np.arange(0, 12_000, 80)
        record = replace(made_record(changes), beats=Beats(every, np.arange(len(every)) % 3 == 0))
        # A ventricular beat has a second spike.
        record.signal_mv[:, (every[record.beats.ventricular][:, None] + np.arange(20, 30)).ravel()] += 1.0
        recipe = replace(SMALL, beat_sigma_s=0.1, batches=150, batch_size=8, ema_decay=0.9)
        network = train_rhythm_network([record], recipe, 0)
        curves = rhythm_curves([network], prepare_signal(record.signal_mv, RATE_HZ, recipe))
        steps = np.round(every / RATE_HZ / recipe.step_s).astype(int)[5:30]
        found = curves[2, steps] > curves[3, steps]
        assert np.array_equal(found, record.beats.ventricular[5:30])


class TestPaste:
    def test_half_of_the_pasted_stretches_are_malignant_and_marked(self):
        record = made_record({0: "N", 50: "VT", 100: "N"})
        recipe = replace(PLAIN, paste=1.0, paste_s=(2.0, 4.0), near_onset=0.0, window_s=20)
        drawer = WindowDrawer([record], recipe, np.random.default_rng(0))
        prepared = drawer.records[0]
        durations = []
        for _ in range(200):
            signal, targets = prepared.signal[:, :1000].copy(), prepared.targets[:, :1000].copy()
            drawer._paste(prepared, signal, targets)
            if targets[0].any():
                inside = np.flatnonzero(targets[0])
                durations.append(len(inside) / 50)
                assert targets[2, inside[0]] == 1
                assert not targets[1, inside[0] - 5]
                outside = np.flatnonzero(targets[0] == 0)
                assert np.array_equal(signal[:, outside], prepared.signal[:, outside])
                # A sine of 4 Hz has no second half of a period like its first; spikes have hardly any power.
                assert signal[:, inside].std() > 0.5
        assert 70 < len(durations) < 130
        assert min(durations) >= 2.0
        assert max(durations) <= 4.0

    def test_nothing_is_pasted_into_or_near_a_malignant_rhythm(self):
        record = made_record({0: "N", 50: "VT", 100: "N"})
        drawer = WindowDrawer([record], replace(PLAIN, paste_s=(2.0, 4.0)), np.random.default_rng(0))
        prepared = drawer.records[0]
        for _ in range(50):
            signal, targets = prepared.signal[:, 2350:2650].copy(), prepared.targets[:, 2350:2650].copy()
            drawer._paste(prepared, signal, targets)
            assert np.array_equal(signal, prepared.signal[:, 2350:2650])
            assert np.array_equal(targets, prepared.targets[:, 2350:2650])


class TestAugmentation:
    signal = np.random.default_rng(0).standard_normal((64, 2, 500)).astype(np.float32)

    def test_none(self):
        found = rhythm_windows._augment(self.signal, PLAIN, np.random.default_rng(0))
        assert np.array_equal(found, self.signal)

    def test_a_turn_keeps_the_power(self):
        found = rhythm_windows._augment(self.signal, replace(PLAIN, turn=1.0), np.random.default_rng(0))
        assert_same(np.square(found).sum(1), np.square(self.signal).sum(1), FLOAT32)
        assert not np.allclose(found, self.signal, atol=0.1)

    def test_order_sign_and_silence_are_of_whole_leads(self):
        recipe = replace(PLAIN, sign=0.5, order=1.0, silence=0.5)
        found = rhythm_windows._augment(self.signal, recipe, np.random.default_rng(0))
        counts = {"removed": 0, "turned round": 0, "swapped": 0}
        for before, after in zip(self.signal, found, strict=True):
            for lead in range(2):
                if not after[lead].any():
                    counts["removed"] += 1
                    continue
                source = [number for number in range(2) if np.array_equal(np.abs(after[lead]), np.abs(before[number]))]
                assert len(source) == 1
                counts["swapped"] += source != [lead]
                counts["turned round"] += np.sign(after[lead, 0]) != np.sign(before[source[0], 0])
        # At most one of the two leads; four standard errors of 64 or 128 draws.
        assert 16 < counts["removed"] < 48
        assert 25 < counts["turned round"] < 75
        assert 25 < counts["swapped"] < 75

    def test_the_time_axis_is_stretched(self):
        record = made_record({0: "N", 50: "VT", 100: "N"})
        prepared = WindowDrawer([record], PLAIN, np.random.default_rng(0)).records[0]
        signal, targets = rhythm_windows._stretched(prepared, 2400 + 0.5 * np.arange(400))
        assert_same(signal[:, ::2], prepared.signal[:, 2400:2600], FLOAT64)
        assert_same(signal[:, 1:-1:2], (prepared.signal[:, 2400:2599] + prepared.signal[:, 2401:2600]) / 2, FLOAT32)
        assert targets[0].argmax() in (199, 200)


class TestTraining:
    def test_the_loss_is_the_weighted_mean_entropy(self):
        windows = Windows(
            signal=np.zeros((1, 1, 8), np.float32),
            rhythm=np.array([[1, 0]], np.float32),
            rhythm_weight=np.array([[1, 0]], np.float32),
            onset=np.array([[1, 0]], np.float32),
            onset_weight=np.array([[1, 1]], np.float32),
            beats=np.zeros((1, 0, 2), np.float32),
        )
        logits = torch.tensor([[[0.0, 9.0], [1.0, 0.0]]])
        recipe = RhythmRecipe(onset_weight=0.5, onset_positive=3.0)
        onset = (3 * math.log(1 + math.exp(-1)) + math.log(2)) / 4
        assert float(rhythm_loss(logits, windows, recipe)) == pytest.approx(math.log(2) + 0.5 * onset)
        alone = float(rhythm_loss(logits[:, :1], windows, replace(recipe, onset_sigma_s=0.0)))
        assert alone == pytest.approx(math.log(2))

    def test_it_repeats_and_leaves_the_global_generator(self):
        records = [made_record({0: "N", 50: "VT", 80: "N"}, seed=seed) for seed in (1, 2)]
        recipe = RhythmRecipe(width=8, dilations=(1, 2), window_s=20, batches=3, batch_size=4)
        seen: list[tuple[int, int, float]] = []
        torch.manual_seed(7)
        state = torch.get_rng_state()
        first = train_rhythm_network(records, recipe, 0, lambda *values: seen.append(values))
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        again, other = (train_rhythm_network(records, recipe, seed) for seed in (0, 1))
        assert [(number, of) for number, of, _ in seen] == [(1, 3), (2, 3), (3, 3)]
        assert all(math.isfinite(loss) for *_, loss in seen)
        assert not first.training
        for name, value in first.state_dict().items():
            assert torch.equal(value, again.state_dict()[name])
        assert not torch.equal(first.head.weight, other.head.weight)

    def test_records_of_other_rates_labels_and_one_lead(self):
        one = made_record({0: "N", 50: "VT", 80: "N"}, leads=1)
        two = replace(one, name="x", rate_hz=120.0, event_labels=("VF", "N"))
        network = train_rhythm_network([one, two], SMALL, 0)
        assert network.leads == 1
        with pytest.raises(ValueError, match="leads"):
            train_rhythm_network([one, made_record({0: "N"})], SMALL, 0)
        with pytest.raises(ValueError, match="no record"):
            train_rhythm_network([], SMALL, 0)

    def test_it_learns_what_is_plain_to_see(self):
        record = made_record({0: "N", 30: "VT", 45: "N", 70: "VT", 90: "N"})
        network = train_rhythm_network([record], replace(SMALL, batches=120, batch_size=8, ema_decay=0.9), 0)
        test = made_record({0: "N", 40: "VT", 60: "N"}, seed=5)
        with torch.no_grad():
            signal = torch.from_numpy(prepare_signal(test.signal_mv, RATE_HZ, SMALL))[None]
            probability = torch.sigmoid(network(signal))[0, 0].numpy()
        time = np.arange(len(probability)) * SMALL.step_s
        inside, outside = (time > 41) & (time < 59), (time < 39) | (time > 61)
        assert probability[inside].min() > 0.7
        assert probability[outside].max() < 0.4

    def test_an_onset_is_found_where_it_is_at_any_rate(self):
        changes = {0: "N", 30: "VT", 45: "N", 70.37: "VT", 90: "N"}
        recipe = replace(SMALL, width=12, dilations=(1, 2, 4, 8), batches=150, batch_size=12, ema_decay=0.95)
        network = train_rhythm_network([made_record(changes, seed=seed) for seed in (0, 1)], recipe, 0)
        truth = np.array([20.03 + 30.07 * number for number in range(20)])
        beats = {0.0: "N", **dict.fromkeys(truth, "VT"), **{time + 12: "N" for time in truth}}
        for rate_hz in (128.0, 250.0, 360.0):
            record = made_record(dict(sorted(beats.items())), 630, rate_hz=rate_hz)
            curves = rhythm_curves([network], prepare_signal(record.signal_mv, rate_hz, recipe))
            found = [one.onset_s for one in find_rises(curves, recipe.step_s, RiseSettings()) if one.score > 0.3]
            assert len(found) == len(truth)
            # A step is 0.08 s.
            assert abs(np.mean(found - truth)) < 0.08
            assert np.abs(found - truth).max() < 0.5

    def test_a_recipe_in_json(self):
        recipe = RhythmRecipe(dilations=(1, 2), paste_labels=("VT",), batches=7)
        assert RhythmRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
        with pytest.raises(TypeError, match="colour"):
            RhythmRecipe.from_json({"colour": 1})

    def test_the_seed_makes_the_network(self):
        first, again, other = (new_network(SMALL, 2, seed).head.weight for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
