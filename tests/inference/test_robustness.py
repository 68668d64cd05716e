"""Perturbations against hand-worked numbers and other implementations; unperturbed samples are those of the study."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from made_models import write_model
from made_study import copied_study, shared_study
from scipy.signal import welch
from tolerances import FLOAT32, FLOAT64, assert_same, largest

from siwcc.config import KIND_OF_TASK, PERTURBATIONS
from siwcc.data.augment.interface import augment_module
from siwcc.evaluation.bootstrap import DRAWS, Draws, interval_of
from siwcc.evaluation.methods import read_predictions
from siwcc.evaluation.predictions import prediction_columns, prediction_rows
from siwcc.evaluation.robustness_table import read_robustness, write_robustness
from siwcc.inference.robustness import image as images
from siwcc.inference.robustness import signal as signals
from siwcc.inference.robustness.interface import robustness_module, unchanged
from siwcc.inference.robustness.measure import measure_robustness
from siwcc.io.errors import InputError
from siwcc.io.files import write_csv
from siwcc.report import build as report
from siwcc.report.figures.robustness import plot_robustness
from siwcc.report.figures.style import FigureFiles
from siwcc.report.study import Study
from siwcc.training.batches import HostBatches
from siwcc.training.checkpoint import read_model
from siwcc.training.run import predict

RATE_HZ = 250.0
KINDS = {"ecg": "ecg", "strict": "ecg", "nuclei": "nuclei"}
ECG = signals.make_perturbations(2, RATE_HZ)
OF_TASK = {"ecg": ECG, "nuclei": images.PERTURBATIONS}


def rng():
    return np.random.default_rng(7)


def tone(frequency_hz, samples=10_000):
    """Two leads of one sine, 1 and 0.5 mV."""
    sine = np.sin(2 * np.pi * frequency_hz * np.arange(samples) / RATE_HZ)
    return np.stack([sine, 0.5 * sine])


def figure(height=40, width=30):
    coarse = np.random.default_rng(3).integers(60, 190, (6, 5, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def recorded(task):
    return tone(3.0) + 0.1 if task == "ecg" else figure()


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_names_are_those_of_the_config(task):
    assert tuple(perturbation.name for perturbation in OF_TASK[task]) == PERTURBATIONS[KIND_OF_TASK[task]]


@pytest.mark.parametrize(
    ("task", "perturbation"),
    [(task, one) for task, known in OF_TASK.items() for one in known],
    ids=lambda part: part if isinstance(part, str) else part.name,
)
def test_the_neutral_strength_changes_nothing_and_every_other_does(task, perturbation):
    source = recorded(task)
    kept = source.copy()
    np.testing.assert_array_equal(perturbation.change(perturbation.neutral, 42)("a", source), source)
    assert perturbation.neutral not in perturbation.strengths
    for strength in perturbation.strengths:
        made = perturbation.change(strength, 42)("a", source)
        assert (made.shape, made.dtype) == (source.shape, source.dtype)
        assert not np.array_equal(made, source), strength
        np.testing.assert_array_equal(perturbation.change(strength, 42)("a", source), made)
    np.testing.assert_array_equal(source, kept)


@pytest.mark.numeric
def test_chance_depends_on_the_sample_and_the_seed_and_not_on_the_strength():
    noise, source = ECG[0], tone(3.0)
    weak, strong = (noise.change(strength, 42)("a", source) - source for strength in (0.1, 0.2))
    # Both are small differences from the source, whose rounding they keep.
    assert_same(strong, 2 * weak, FLOAT64, scale=largest(source))
    assert not np.allclose(noise.change(0.1, 42)("b", source) - source, weak)
    assert not np.allclose(noise.change(0.1, 43)("a", source) - source, weak)
    # The frequency, too: twice the amplitude is the same sine.
    slow, slower = (ECG[1].change(strength, 42)("a", source) - source for strength in (0.5, 1.0))
    assert_same(slower, 2 * slow, FLOAT64, scale=largest(source))


# ------------------------------------------------------------------------- ECG


def test_noise_has_the_deviation_it_says_and_no_colour():
    source = 3 * tone(1.0)
    noise = signals.add_white_noise(source, 0.2, rng()) - source
    # The peak is 3 mV in lead 1; 20 % of it in both leads: SNR of a sine, 20 log10(3 / sqrt(2) / 0.6) = 10.97 dB.
    np.testing.assert_allclose(noise.std(axis=1), 0.6, rtol=0.03)
    snr_db = 20 * np.log10(source[0].std() / noise[0].std())
    assert snr_db == pytest.approx(10.97, abs=0.3)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.05
    _, power = welch(noise[0], RATE_HZ, nperseg=500)
    assert power[1:125].mean() == pytest.approx(power[125:-1].mean(), rel=0.1)


@pytest.mark.numeric
@pytest.mark.parametrize("seed", range(3))
def test_wander_is_one_slow_sine_on_all_leads(seed):
    source = np.zeros((2, 100_000))
    source[1, 0] = -4.0
    wander = signals.add_baseline_wander(source, 0.5, np.random.default_rng(seed), RATE_HZ) - source
    assert_same(wander[0], wander[1], FLOAT64, scale=largest(source))
    assert np.abs(wander).max() == pytest.approx(2.0, rel=1e-3)
    frequency_hz = np.fft.rfftfreq(100_000, 1 / RATE_HZ)[np.abs(np.fft.rfft(wander[0])).argmax()]
    assert 0.1 - 0.0025 <= frequency_hz <= 0.5 + 0.0025
    assert frequency_hz == pytest.approx(np.random.default_rng(seed).uniform(0.1, 0.5), abs=0.0025)


def test_leads_are_silenced_and_turned_round_one_by_one():
    source = np.array([[1.0, 2], [3, -4]])
    np.testing.assert_array_equal(signals.silence_lead(source, 1), [[0, 0], [3, -4]])
    np.testing.assert_array_equal(signals.silence_lead(source, 2), [[1, 2], [0, 0]])
    np.testing.assert_array_equal(signals.turn_round(source, 1), [[-1, -2], [3, -4]])
    np.testing.assert_array_equal(signals.turn_round(source, 2), [[1, 2], [-3, 4]])
    np.testing.assert_array_equal(signals.turn_round(source, 3), [[-1, -2], [-3, 4]])
    levels = {
        one.name: [one.level(strength) for strength in one.strengths] for one in signals.make_perturbations(3, 100.0)
    }
    assert levels["lead_missing"] == ["lead 1", "lead 2", "lead 3"]
    assert levels["polarity"] == ["lead 1", "lead 2", "lead 3", "every lead"]
    assert levels["rate"] == ["50", "200"]
    assert [one.strengths for one in signals.make_perturbations(1, 100.0) if one.name == "polarity"] == [(1.0,)]


@pytest.mark.parametrize("samples", [10_000, 9_999])
def test_half_the_rate_loses_what_lies_above_its_half_and_keeps_the_rest_in_its_place(samples):
    inside = slice(200, -200)
    for rate_hz, frequency_hz, kept in ((125, 20, 1), (125, 80, 0), (500, 80, 1)):
        source = tone(frequency_hz, samples)
        made = signals.record_at(source, rate_hz, RATE_HZ)
        assert made.shape == source.shape
        np.testing.assert_allclose(made[:, inside], kept * source[:, inside], atol=0.01)


# ---------------------------------------------------------------------- images


def test_images_by_hand():
    image = np.array([[[100, 110, 120], [90, 100, 80]]], dtype=np.uint8)
    np.testing.assert_array_equal(images.change_brightness(image, 150)[0, 0], [250, 255, 255])
    np.testing.assert_array_equal(images.change_brightness(image, -95), [[[5, 15, 25], [0, 5, 0]]])
    # Mean 100: every distance from it is halved, or nine times as large and cut off.
    np.testing.assert_array_equal(images.change_contrast(image, 0.5), [[[100, 105, 110], [95, 100, 90]]])
    np.testing.assert_array_equal(images.change_contrast(image, 9), [[[100, 190, 255], [10, 100, 0]]])
    np.testing.assert_array_equal(images.change_stain(image, 0.2), [[[120, 110, 96], [108, 100, 64]]])


def test_noise_of_an_image_has_the_deviation_it_says():
    grey = np.full((100, 100, 3), 128, dtype=np.uint8)
    noise = images.add_noise(grey, 10.0, rng()).astype(float) - 128
    np.testing.assert_allclose(noise.std(axis=(0, 1)), 10.0, rtol=0.05)
    assert abs(noise.mean()) < 0.5


def test_blur_has_the_width_it_says():
    image = np.zeros((61, 61, 3), dtype=np.uint8)
    image[30, :, 0] = 255
    line = images.blur(image, 2.0)[:, 30, 0].astype(float)
    offset = np.arange(61) - 30
    np.testing.assert_allclose(line, 255 * np.exp(-(offset**2) / 8) / (2 * math.sqrt(2 * math.pi)), atol=1.0)


def test_fewer_pixels_are_means_of_them_and_move_nothing():
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:, 4:] = 200
    assert images.change_size(image, 0.125).tolist() == np.full((8, 8, 3), 100).tolist()
    # The edge stays between columns 3 and 4: the figure is its own mirror image.
    half = images.change_size(image, 0.5).astype(int)
    np.testing.assert_array_equal(half + half[:, ::-1], np.full((8, 8, 3), 200))
    assert half[0, :, 0].tolist() == sorted(half[0, :, 0].tolist())


# ------------------------------------------------------------------- the chain


@pytest.mark.parametrize("kind", KINDS)
def test_unperturbed_samples_are_copy_0_to_the_bit(kind, tmp_path_factory):
    study = shared_study(tmp_path_factory, kind)
    task = KINDS[kind]
    for fold_path in study.fold_paths(task):
        stored = augment_module(KIND_OF_TASK[task]).open_inputs(
            [fold_path], study.samples_path(task), augmented_only=False
        )
        themselves = np.flatnonzero(stored.copy == 0)
        made = (
            robustness_module(KIND_OF_TASK[task]).open_originals(fold_path, study.samples_path(task)).inputs(unchanged)
        )
        for name in ("sample_id", "group", "label", "copy", "target"):
            np.testing.assert_array_equal(getattr(made, name), getattr(stored, name)[themselves])
        every = np.arange(len(themselves))
        assert torch.equal(made.batch(every, "none"), stored.batch(themselves, "none"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_perturbation_reaches_the_network(kind, tmp_path_factory):
    study, task = shared_study(tmp_path_factory, kind), KINDS[kind]
    originals = robustness_module(KIND_OF_TASK[task]).open_originals(
        study.fold_paths(task)[0], study.samples_path(task)
    )
    before = originals.inputs(unchanged)
    rows = np.arange(len(before.target))
    for perturbation in originals.perturbations():
        made = originals.inputs(perturbation.change(perturbation.strengths[-1], originals.seed))
        np.testing.assert_array_equal(made.target, before.target)
        assert (made.batch(rows, "none") - before.batch(rows, "none")).abs().max() > 1e-3, perturbation.name


def test_what_is_no_recording_stays_zero(tmp_path_factory):
    study = shared_study(tmp_path_factory, "strict")
    originals = signals.open_originals(study.fold_paths("ecg")[0], study.samples_path("ecg"))
    source = originals.source
    cut = source.samples.arrays["context_valid"].copy()
    cut[:, -6000:] = False
    samples = dataclasses.replace(source.samples, arrays=source.samples.arrays | {"context_valid": cut})
    shorter = dataclasses.replace(originals, source=dataclasses.replace(source, samples=samples))
    made = shorter.inputs(lambda sample_id, signal: signal + 1.0)
    whole = originals.inputs(lambda sample_id, signal: signal + 1.0)
    zeros = (made.signal == 0).all(axis=1)
    assert zeros.any()
    # Where the last 24 s are not recorded, the event, 20 s before the end of the context, is not either.
    assert all(zeros[row, int(target * 25) :].all() for row, target in enumerate(made.target[:, 0]))
    assert not (whole.signal == 0).all(axis=1).any()


def test_an_image_of_one_value_is_all_zero(tmp_path_factory):
    study = shared_study(tmp_path_factory, "nuclei")
    originals = images.open_originals(study.fold_paths("nuclei")[0], study.samples_path("nuclei"))
    made = originals.inputs(lambda sample_id, image: np.full_like(image, 9))
    assert not made.batch(np.arange(len(made.target)), "none").any()


def test_samples_that_the_fold_was_not_made_from_are_refused(tmp_path_factory):
    first, other = (shared_study(tmp_path_factory, kind) for kind in ("strict", "nuclei"))
    with pytest.raises(InputError):
        signals.open_originals(first.fold_paths("ecg")[0], other.samples_path("nuclei"))


# ------------------------------------------------------------------- intervals


@pytest.mark.numeric
def test_drawn_sums_are_those_of_the_rows_drawn():
    random = np.random.default_rng(0)
    error = random.exponential(size=40)
    group = np.array(list("abcde"))[random.integers(0, 5, 40)]
    draws = Draws(group, fine=0.3, coarse=1.0)
    found = draws.sums_of(error)
    names, of_row = np.unique(group, return_inverse=True)
    times = np.random.default_rng(42).multinomial(5, np.full(5, 0.2), size=DRAWS)
    assert len(names) == draws.records == 5
    for draw in (0, 1, 999, 1999):
        rows = np.repeat(error, times[draw][of_row])
        expected = [np.median(rows), np.percentile(rows, 90), rows.mean(), np.mean(rows <= 0.3), np.mean(rows <= 1.0)]
        assert_same([kind[draw] for kind in found], expected, FLOAT64)
    whole = [float(kind[0]) for kind in draws.sums_of_all(error)]
    expected = [np.median(error), np.percentile(error, 90), error.mean(), np.mean(error <= 0.3), np.mean(error <= 1.0)]
    assert_same(whole, expected, FLOAT64)
    low, high = interval_of(0.0, found.mean)[1:]
    assert low < error.mean() < high


def test_one_record_has_no_interval():
    draws = Draws(np.array(["a", "a"]), 1.0, 2.0)
    interval = interval_of(3.0, draws.sums_of(np.array([1.0, 5.0])).mean)
    assert interval.value == 3.0
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


# ------------------------------------------------------------------- measuring


def made_models(study, task, folder, seeds=(0, 1), fold=1):
    """Untrained heatmaps for a fold of a study."""
    settings, section = study.config.task(task), study.config.dataset_of(task)
    paths = [folder / task / "none" / "heatmap" / f"fold{fold}" / f"seed{seed}" / "model.pt" for seed in seeds]
    return [
        write_model(path, "heatmap", task, settings, section, seed=seed, fold=fold)
        for seed, path in zip(seeds, paths, strict=True)
    ]


@pytest.fixture(params=["strict", "nuclei"])
def asked(request, tmp_path_factory, tmp_path):
    study, task = shared_study(tmp_path_factory, request.param), KINDS[request.param]
    return study, task, made_models(study, task, tmp_path)


def measured(study, task, models, names):
    return measure_robustness(models, study.fold_paths(task), study.samples_path(task), names, study.limits(task))


@pytest.mark.numeric
def test_every_fold_is_predicted_by_its_own_networks(asked, tmp_path):
    study, task, models = asked
    models += made_models(study, task, tmp_path, fold=2)
    errors = []
    for path, fold_path in zip(models, np.repeat(study.fold_paths(task)[:2], 2), strict=True):
        inputs = augment_module(KIND_OF_TASK[task]).open_inputs(
            [fold_path], study.samples_path(task), augmented_only=False
        )
        rows = np.flatnonzero(inputs.copy == 0)
        batches = HostBatches(inputs, "none", torch.device("cpu"))
        prediction, _, _ = predict(read_model(path).network, batches, rows, 5)
        errors.append(np.sqrt(((prediction - inputs.target[rows]) ** 2).sum(axis=1)))
    # Shuffled: the folds are told by the paths.
    whole, *others = measured(study, task, models[::-1], ["noise"])
    assert whole.rows == sum(map(len, errors))
    # The network's prediction in other batches.
    assert_same(whole.mean, np.concatenate(errors).mean(), FLOAT32, scale=largest(*errors))
    assert len(others) > 1
    for line in others:
        assert line.change == pytest.approx(line.within_coarse - whole.within_coarse)


@pytest.mark.numeric
def test_unperturbed_errors_are_those_of_predictions_csv(asked, tmp_path):
    study, task, models = asked
    [line, *_] = measured(study, task, models, ["noise"])
    fold_path, samples_path = study.fold_paths(task)[0], study.samples_path(task)
    inputs = augment_module(KIND_OF_TASK[task]).open_inputs([fold_path], samples_path, augmented_only=False)
    errors = []
    for path in models:
        batches = HostBatches(inputs, "none", torch.device("cpu"))
        prediction, confidence, _ = predict(read_model(path).network, batches, np.arange(len(inputs.target)), 5)
        rows = prediction_rows(inputs, prediction, confidence)
        write_csv(tmp_path / "predictions.csv", prediction_columns(inputs.spec.outputs, 1), rows)
        stored = read_predictions(tmp_path / "predictions.csv")
        errors.append(stored.select(stored.copy == 0).error())
    error = np.concatenate(errors)
    assert (line.unperturbed, line.rows, line.seeds, line.change) == (1, len(error), 2, 0.0)
    found = (line.median, line.p90, line.mean)
    # The network's prediction in other batches; the file rounds it to six decimals.
    assert_same(found, [np.median(error), np.percentile(error, 90), error.mean()], FLOAT32, scale=largest(error))
    assert line.within_coarse == pytest.approx(np.mean(error <= line.limit_coarse))
    assert line.records == len(set(inputs.group))


def test_lines_do_not_depend_on_what_else_is_asked_or_in_what_order(asked, tmp_path):
    study, task, models = asked
    first, other = PERTURBATIONS[KIND_OF_TASK[task]][0], PERTURBATIONS[KIND_OF_TASK[task]][2]
    both = measured(study, task, models, [first, other])
    assert [line.perturbation for line in both] == sorted(
        [line.perturbation for line in both], key=[first, other].index
    )
    assert both[: len(both) - sum(line.perturbation == other for line in both)] == pytest.approx(
        [line for line in both if line.perturbation == first]
    )
    again = measured(study, task, models[::-1], [other, first])
    for name, lines in (("a.csv", both), ("b.csv", sorted(again, key=lambda line: line.perturbation != first))):
        write_robustness(tmp_path / name, lines)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert repr(read_robustness([tmp_path / "a.csv"])) == repr(both)
    means = {line.strength: line.mean for line in both if line.perturbation == first}
    assert len(set(means.values())) == len(means), "no strength is predicted like another"
    assert sum(line.unperturbed for line in both) == 2


def test_wrong_questions_end_in_one_line(asked, tmp_path):
    study, task, models = asked
    with pytest.raises(InputError) as caught:
        measured(study, task, models, ["tilt"])
    assert "'tilt'" in caught.value.problem
    assert ", ".join(PERTURBATIONS[KIND_OF_TASK[task]]) in caught.value.remedy
    with pytest.raises(InputError) as caught:
        measured(study, task, [], ["noise"])
    assert "model.pt" in caught.value.remedy
    elsewhere = tmp_path / task / "none" / "heatmap" / "fold2" / "seed0" / "model.pt"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(models[0].read_bytes())
    with pytest.raises(InputError) as caught:
        measured(study, task, [elsewhere], ["noise"])
    assert caught.value.where == str(elsewhere)


# ------------------------------------------------------------- figure and page


@pytest.mark.slow
def test_figures_are_the_same_bytes_and_hold_every_line(asked, tmp_path):
    study, task, models = asked
    lines = measured(study, task, models, PERTURBATIONS[KIND_OF_TASK[task]][:3])
    lines += [dataclasses.replace(line, variant="full", encoding="coord") for line in lines]
    first, second = (FigureFiles.named(tmp_path / name, "robustness") for name in "ab")
    for files in (first, second):
        plot_robustness(lines, files)
    for kind in ("svg", "png", "data"):
        assert getattr(first, kind).read_bytes() == getattr(second, kind).read_bytes()
    assert len(first.data.read_text().splitlines()) == 1 + len(lines)


def test_the_page_has_a_section_where_there_are_predictions(tmp_path, tmp_path_factory, repository):
    whole = copied_study(shared_study(tmp_path_factory, "strict"), tmp_path)
    config = whole.config.model_copy(update={"robustness": ("lead_missing",), "encodings": ("none",)})
    config = config.model_copy(update={"variants": ("heatmap",), "comparisons": ()})
    study = Study(whole.folder, whole.data, config)
    missing = report.describe_missing(study)
    resources = report.Resources(*(repository / "resources" / name for name in ("table3.csv", "deviations.yaml")))
    page = study.folder / "report.html"
    report.write_report(study, resources, page)
    assert 'id="robustness"' not in page.read_text(encoding="utf-8")
    lines = measured(study, "ecg", made_models(study, "ecg", tmp_path / "models"), ["lead_missing"])
    write_robustness(study.folder / "ecg" / "none" / "heatmap" / "robustness.csv", lines)
    # One thing less: the predictions for perturbed samples.
    assert len(set(missing) - set(report.describe_missing(study))) == 1
    report.draw_figures(study, report.measure(study, resources.published))
    report.write_report(study, resources, page)
    text = page.read_text(encoding="utf-8")
    assert '<h2 id="robustness">' in text
    assert 'href="#robustness"' in text
    assert f">{lines[1].median:.2f}<" in text
    data = study.folder / "figures" / "robustness_ecg.csv"
    assert len(data.read_text().splitlines()) == 1 + len(lines)
