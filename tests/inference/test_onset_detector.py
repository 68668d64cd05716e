"""Onsets in whole recordings: read and predicted in blocks as at once, by hand, and as annotations that wfdb reads."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import wfdb
from made_edf import edf_bytes
from made_models import RECIPE, rhythm_network, settings_for, waves, write_detector, write_record
from refusals import refused
from tolerances import FLOAT32, assert_same

import siwcc
from siwcc.evaluation.onset_settings import ONSETS, write_onset_settings
from siwcc.evaluation.rhythm_rises import RiseSettings, find_rises
from siwcc.inference import onset_detector, signal_blocks
from siwcc.inference.onset_detector import OnsetDetector
from siwcc.inference.onsets import MALIGNANT, OTHER, Onset
from siwcc.inference.rhythm_curve import rhythm_curves
from siwcc.training.rhythm_windows import prepare_signal

pytestmark = pytest.mark.numeric

# The margins of RECIPE are 41 s of the scale, 15 s of the filter and less than a second of the network; a stretch is
# at least four times as long.
STRETCH_S = 230.0
# Steps of 0.08 s in a recording of 100 s: the rhythm is malignant with 0.9 from 40 to 48 s, and 0.6 from 72 to 76 s.
CURVES = np.zeros((2, 1250))
CURVES[0, 500:600], CURVES[0, 900:950] = 0.9, 0.6
# With as much for an onset at the first step, the score is the same: see RISES.
CURVES[1, 500], CURVES[1, 900] = 0.9, 0.6
FIRST, SECOND = (40.0, 48.0), (72.0, 76.0)
# a logit + b with a = 2, b = -1: 81 / e and 2.25 / e to 1.
P_FIRST, P_SECOND = 81 / (81 + math.e), 2.25 / (2.25 + math.e)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two detectors with their settings; the first was trained on s1 and r2."""
    paths = [write_detector(tmp_path / "onsets/fold1.pt", 1, training_groups=["made.s1", "r2"])]
    paths.append(write_detector(tmp_path / "onsets/fold2.pt", 2, fold=2, training_groups=["r2"]))
    write_onset_settings(tmp_path / "onsets" / ONSETS, settings_for(paths))
    return tmp_path


@pytest.fixture
def by_hand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> OnsetDetector:
    """A detector whose networks give `CURVES`."""
    monkeypatch.setattr(onset_detector, "rhythm_curves", lambda networks, signal: CURVES)
    return siwcc.load_detector(folder)


# -------------------------------------------------------------------- blocks


@pytest.mark.parametrize("rate_hz", [25.0, 36.0, 50.0, 128.5])
@pytest.mark.parametrize("extra", [0, 17])
def test_blocks_give_the_curve_of_the_whole_recording(
    folder: Path, rate_hz: float, extra: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onset_detector, "_STRETCH_S", STRETCH_S)
    monkeypatch.setattr(signal_blocks, "_BLOCK_S", 7.3)
    signal = waves(round(700 * rate_hz) + extra, seed=3)
    # Gaps, one of them around the end of a stretch.
    for first_s, stop_s in ((30.0, 33.0), (225.0, 236.0), (500.0, 500.5)):
        signal[:, round(first_s * rate_hz) : round(stop_s * rate_hz)] = np.nan
    signal[1, :40] = np.inf
    detector = siwcc.load_detector(folder)
    steps: list[tuple[int, int]] = []
    found = detector.find_onsets(signal, rate_hz, progress=lambda done, total: steps.append((done, total)))
    assert len(steps) == 3
    assert steps[-1] == (round(signal.shape[1] / rate_hz),) * 2
    networks = [rhythm_network(seed) for seed in (1, 2)]
    prepared = prepare_signal(np.where(np.isfinite(signal), signal, np.nan), rate_hz, RECIPE)
    at_once = rhythm_curves(networks, prepared)[0]
    assert np.ptp(at_once) > 0.1
    assert_same(found.curve, at_once, FLOAT32)
    assert found.step_s == pytest.approx(0.08, rel=1e-4)


def test_a_record_gives_what_its_array_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onset_detector, "_STRETCH_S", STRETCH_S)
    signal = waves(25_000)
    signal[0, 700:950] = np.nan
    record = write_record(folder, "new", signal, 50)
    detector = siwcc.load_detector(folder)
    in_file, in_array = detector.find_onsets_in_file(record), detector.find_onsets(signal, 50.0)
    np.testing.assert_array_equal(in_file.curve, in_array.curve)
    assert list(in_file) == list(in_array)
    np.testing.assert_array_equal(in_file.source.cut_mv(650, 800), signal[:, 650:800])
    assert in_file.duration_s == 500.0
    csv = folder / "one.csv"
    csv.write_text("".join(f"{a},{b}\n" for a, b in waves(2000).T))
    found = detector.find_onsets_in_file(csv, rate_hz=50.0)
    np.testing.assert_array_equal(found.curve, detector.find_onsets(waves(2000), 50.0).curve)


def test_a_damaged_record_gives_no_onsets(folder: Path) -> None:
    record = write_record(folder, "new", waves(5000), 50)
    content = bytearray((folder / "new.dat").read_bytes())
    content[0] ^= 1
    (folder / "new.dat").write_bytes(content)
    with refused(folder / "new.dat", "checksum"):
        siwcc.load_detector(folder).find_onsets_in_file(record)


def test_one_lead_where_two_are_taken(tmp_path: Path) -> None:
    signal = waves(3000)
    for silence, other in ((0.15, np.zeros(3000)), (0.0, signal[0])):
        recipe = RECIPE.from_json({**RECIPE.to_json(), "silence": silence})
        detector = siwcc.load_detector(write_detector(tmp_path / f"{silence}.pt", recipe=recipe))
        alone, both = detector.find_onsets(signal[0], 50.0), detector.find_onsets(np.stack([signal[0], other]), 50.0)
        np.testing.assert_array_equal(alone.curve, both.curve)


def test_a_lead_without_a_signal_is_reported(folder: Path) -> None:
    signal = waves(3000)
    signal[1] = 0.25
    assert siwcc.load_detector(folder).find_onsets(signal, 50.0).silent_leads == {1: "is constant"}
    signal[1] = np.nan
    assert siwcc.load_detector(folder).find_onsets(signal, 50.0).silent_leads == {1: "has no values"}


# ------------------------------------------------------------------- results


def test_onsets_of_a_curve_by_hand(by_hand: OnsetDetector) -> None:
    found = by_hand.find_onsets(waves(5000), 50.0)
    (onset,) = found
    assert (onset.onset_s, onset.end_s) == pytest.approx(FIRST, rel=1e-9)
    assert (onset.score, onset.probability) == pytest.approx((0.9, P_FIRST), rel=1e-9)
    (below,) = found.below
    assert (below.onset_s, below.end_s) == pytest.approx(SECOND, rel=1e-9)
    assert (below.score, below.probability) == pytest.approx((0.6, P_SECOND), rel=1e-9)
    np.testing.assert_allclose(found.curve, np.clip(CURVES[0], 1e-6, 1), rtol=1e-9)
    assert len(by_hand.find_onsets(waves(5000), 50.0, threshold=0.45)) == 2
    assert by_hand.find_onsets(waves(5000), 50.0, threshold=0.99) == []


def test_without_settings_the_score_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = np.zeros((2, 1250))
    # The default settings compare the 3 s before and after an onset, without 0.3 s next to it.
    curves[0, 500:600], curves[1, 500] = 0.8, 0.8
    monkeypatch.setattr(onset_detector, "rhythm_curves", lambda networks, signal: curves)
    detector = siwcc.load_detector(write_detector(tmp_path / "d.pt"))
    (onset,) = detector.find_onsets(waves(5000), 50.0)
    assert (onset.onset_s, onset.end_s) == pytest.approx((40.0, 48.0))
    assert onset.probability is None
    assert onset.score == pytest.approx(0.8)
    assert detector.find_onsets(waves(5000), 50.0, threshold=0.81) == []
    assert onset.to_dict()["p_onset"] is None


def test_networks_with_outputs_for_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = RECIPE.from_json({**RECIPE.to_json(), "beat_sigma_s": 0.1})
    detector = siwcc.load_detector(write_detector(tmp_path / "d.pt", seed=4, recipe=recipe))
    signal = waves(700 * 50, seed=3)
    curves = rhythm_curves([rhythm_network(4, recipe=recipe)], prepare_signal(signal, 50.0, recipe))
    expected, of_rhythm = (find_rises(given, recipe.step_s, RiseSettings()) for given in (curves, curves[:2]))
    assert [one.score for one in expected] != [one.score for one in of_rhythm]
    monkeypatch.setattr(onset_detector, "_STRETCH_S", STRETCH_S)
    found = detector.find_onsets(signal, 50.0, threshold=0.0)
    assert [one.onset_s for one in found] == pytest.approx([one.onset_s for one in expected])
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], rel=1e-4)


def test_a_network_without_an_output_for_onsets_is_refused(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "d.pt", recipe=RECIPE.from_json({**RECIPE.to_json(), "onset_sigma_s": 0.0}))
    with refused(path, "onsets", remedy="onset_sigma_s"):
        siwcc.load_detector(path)


def test_onsets_as_text_and_tables(by_hand: OnsetDetector) -> None:
    found, none = (by_hand.find_onsets(waves(5000), 50.0, threshold) for threshold in (0.4, 0.99))
    assert "\n" not in repr(by_hand) + repr(found) + repr(none) + repr(found[0])
    row = {"onset_s": 40.0, "end_s": 48.0, "p_onset": round(P_FIRST, 6), "score": 0.9}
    assert found[0].to_dict() == row
    values = found.to_dict()
    assert (values["duration_s"], values["threshold"], len(values["models"])) == (100.0, 0.4, 2)
    assert values["onsets"] == [onset.to_dict() for onset in found]
    assert list(found.to_dataframe()["onset_s"]) == [40.0, 72.0]
    assert list(none.to_dataframe().columns) == list(row)
    assert len(none.to_dataframe()) == 0
    assert found._repr_html_().count("<tr>") == 3
    assert "<table>" not in none._repr_html_()


@pytest.mark.parametrize("threshold", [0.4, 0.99])
def test_a_figure_is_drawn(by_hand: OnsetDetector, tmp_path: Path, threshold: float) -> None:
    figure = by_hand.find_onsets(waves(5000), 50.0, threshold).plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    overview, *panels = figure.axes
    assert overview.get_xlim() == (0, 100)
    limits = [(30, 50), (62, 82)] if threshold < 0.5 else []
    assert [axis.get_xlim() for axis in panels] == [pytest.approx(ends) for ends in limits]


def test_of_many_onsets_the_most_probable_have_a_panel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = np.zeros((2, 12_500))
    for number in range(20):
        value, first = 0.7 + 0.01 * (number % 10) + 0.001 * (number // 10), 500 * number + 100
        curves[0, first : first + 100] = curves[1, first] = value
    monkeypatch.setattr(onset_detector, "rhythm_curves", lambda networks, signal: curves)
    found = siwcc.load_detector(folder).find_onsets(waves(50_000), 50.0)
    assert len(found) == 20
    panels = found.plot().figure.axes[1:]
    # The 12 largest: numbers 4 ... 9 and 14 ... 19, in the order of time, 40 s apart.
    middles = [sum(axis.get_xlim()) / 2 for axis in panels]
    expected = [8 + 40 * number for number in (*range(4, 10), *range(14, 20))]
    np.testing.assert_allclose(middles, expected, atol=0.08)


def test_candidates_near_0_are_not_in_the_overview(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = np.zeros((2, 2500))
    for first, value in ((500, 0.9), (1200, 0.1), (1900, 0.55)):
        curves[0, first : first + 100] = curves[1, first] = value
    monkeypatch.setattr(onset_detector, "rhythm_curves", lambda networks, signal: curves)
    found = siwcc.load_detector(folder).find_onsets(waves(10_000), 50.0, threshold=0.6)
    assert [onset.onset_s for onset in found.below] == pytest.approx([96.0, 152.0], abs=0.1)
    drawn = {line.get_label(): line.get_xdata() for line in found.plot().figure.axes[0].lines}
    assert len(drawn["onset"]) == 1
    assert len(drawn["candidate below the threshold"]) == 1


# --------------------------------------------------------------- annotations


def test_wfdb_reads_the_annotations(by_hand: OnsetDetector, tmp_path: Path) -> None:
    record = write_record(tmp_path, "a.b-1", waves(5000), 50)
    found = by_hand.find_onsets_in_file(record, threshold=0.4)
    assert found.annotate(tmp_path) == tmp_path / "a.b-1.siw"
    read = wfdb.rdann(str(tmp_path / "a.b-1"), "siw")
    assert read.sample.tolist() == [0, 2000, 2400, 3600, 3800]
    assert read.aux_note == [OTHER, MALIGNANT, OTHER, MALIGNANT, OTHER]
    assert read.num.tolist() == [0, 97, 0, 45, 0]
    assert set(read.symbol) == {"+"}
    assert read.fs == 50


def test_annotations_at_the_ends_of_a_recording(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2,000 samples at 128.5 Hz: 389.1 at 25 Hz, which is 50 / 257 of it.
    for first, changes in ((None, [(0, OTHER)]), (150, [(0, OTHER), (round(150 * 0.08 * 128.5), MALIGNANT)])):
        curves = np.zeros((2, 195))
        if first is not None:
            curves[0, first:] = curves[1, first] = 0.9
        monkeypatch.setattr(onset_detector, "rhythm_curves", lambda networks, signal, curves=curves: curves)
        siwcc.load_detector(folder).find_onsets(waves(2000), 128.5).annotate(tmp_path / "x.siw")
        read = wfdb.rdann(str(tmp_path / "x"), "siw")
        assert list(zip(read.sample.tolist(), read.aux_note, strict=True)) == changes
        assert read.fs == 128.5


def test_onsets_within_an_episode_are_annotated_in_the_order_of_time(by_hand: OnsetDetector, tmp_path: Path) -> None:
    found = by_hand.find_onsets(waves(5000), 50.0)
    # 10 ... 40 s has another onset at 20 s, which ends sooner; the next begins where that ends.
    times = ((10.0, 40.0, 0.9), (20.0, 30.0, 0.8), (40.0, 50.0, 0.7), (60.0, 100.0, 0.6))
    found[:] = [Onset(onset_s, end_s, probability, 0.5) for onset_s, end_s, probability in times]
    found.annotate(tmp_path / "x.siw")
    read = wfdb.rdann(str(tmp_path / "x"), "siw")
    assert read.sample.tolist() == [0, 500, 1000, 2000, 2500, 3000]
    assert read.num.tolist() == [0, 90, 80, 70, 0, 60]
    assert read.aux_note == [OTHER, MALIGNANT, MALIGNANT, MALIGNANT, OTHER, MALIGNANT]


def test_an_episode_without_a_length_is_annotated(by_hand: OnsetDetector, tmp_path: Path) -> None:
    found = by_hand.find_onsets(waves(5000), 50.0)
    found[:] = [Onset(10.0, 10.0, 0.9, 0.5)]
    found.annotate(tmp_path / "x.siw")
    read = wfdb.rdann(str(tmp_path / "x"), "siw")
    assert read.sample.tolist() == [0, 500, 501]
    assert read.aux_note == [OTHER, MALIGNANT, OTHER]


@pytest.mark.parametrize("threshold", ["0.5", math.nan, 1.1, [0.5, 0.6]])
def test_a_threshold_is_a_number_from_0_to_1(folder: Path, threshold: object) -> None:
    with refused("threshold", repr(threshold), remedy="1"):
        siwcc.load_detector(folder).find_onsets(waves(500), 50.0, threshold=threshold)


def test_an_edf_is_annotated_at_its_sampling_rate(by_hand: OnsetDetector, tmp_path: Path) -> None:
    # 50 records of 2 s with 100 samples; a frame is a record.
    samples = np.round(waves(5000, leads=1)[0] * 1000).astype(int)
    head = edf_bytes([("ECG", "mV", (-2.0, 2.0), (-2000, 2000), samples[:400])])[:512]
    path = tmp_path / "a.edf"
    path.write_bytes(head.replace(b"4       2 ", b"50      2 ") + samples.astype("<i2").tobytes())
    found = by_hand.find_onsets_in_file(path)
    np.testing.assert_allclose(found.source.cut_mv(0, 5000), [samples / 1000], atol=1e-9)
    found.annotate(tmp_path)
    read = wfdb.rdann(str(tmp_path / "a"), "siw")
    assert (read.fs, read.sample.tolist()) == (50, [0, 2000, 2400])


def test_another_file_is_not_overwritten(by_hand: OnsetDetector, tmp_path: Path) -> None:
    found = by_hand.find_onsets(waves(5000), 50.0)
    other = tmp_path / "r1.atr"
    other.write_bytes(b"kept")
    with refused(other, ".siw"):
        found.annotate(other)
    assert other.read_bytes() == b"kept"
    (tmp_path / "plain").write_bytes(b"kept")
    with refused(tmp_path / "plain", ".siw"):
        found.annotate(tmp_path / "plain")
    assert found.annotate(tmp_path / "new") == tmp_path / "new" / "array.siw"


# ------------------------------------------------------------------ networks


def test_networks_that_were_trained_on_a_record_are_left_out(folder: Path, capsys) -> None:
    detector = siwcc.load_detector(folder)
    for name, used in (("s2", ["fold2.pt"]), ("s1", ["fold2.pt"]), ("new", ["fold1.pt", "fold2.pt"])):
        # s2 is of the subject s1.
        record = write_record(folder, name, waves(500), 50)
        assert [path.name for path in detector.find_onsets_in_file(record).models] == used
    assert capsys.readouterr().err == ""
    assert len(detector.find_onsets_in_file(write_record(folder, "r2", waves(500), 50)).models) == 2
    assert str(folder / "r2") in capsys.readouterr().err


def test_a_folder_of_detectors_or_one_in_it(folder: Path, tmp_path: Path) -> None:
    paths = (folder / "onsets/fold1.pt", folder / "onsets/fold2.pt")
    for source in (folder, folder / "onsets", list(paths)):
        detector = siwcc.load_detector(source)
        assert detector.paths == paths
        assert detector.settings == settings_for(paths)
        assert (detector.threshold, detector.leads, detector.event_labels) == (0.5, (0, 1), ("VT", "VF"))


def test_the_detectors_of_a_study(folder: Path, tmp_path: Path) -> None:
    study = tmp_path / "results" / "ecg" / "onsets"
    for number in (1, 2):
        place = study / f"fold{number}" / "seed42"
        place.mkdir(parents=True)
        (folder / f"onsets/fold{number}.pt").rename(place / "model.pt")
    (folder / "onsets" / ONSETS).rename(study / ONSETS)
    paths = (study / "fold1/seed42/model.pt", study / "fold2/seed42/model.pt")
    for source in (study.parent, study, paths):
        detector = siwcc.load_detector(source)
        assert (detector.paths, detector.settings_path) == (paths, study / ONSETS)


def test_settings_of_other_networks_are_refused(folder: Path) -> None:
    write_detector(folder / "onsets/fold2.pt", 3)
    with refused(folder / "onsets" / ONSETS, "fold2.pt"):
        siwcc.load_detector(folder)


def test_networks_for_other_inputs_do_not_predict_together(tmp_path: Path) -> None:
    recipe = RECIPE.from_json({**RECIPE.to_json(), "highpass_hz": 0.7})
    paths = [write_detector(tmp_path / "fold1.pt"), write_detector(tmp_path / "fold2.pt", recipe=recipe)]
    with refused(paths[1], paths[0]):
        siwcc.load_detector(tmp_path)
    with refused("models", "none"):
        OnsetDetector([])


@pytest.mark.parametrize(
    ("array", "rate_hz", "where", "remedy"),
    [
        (waves(500).T, 50.0, "array", "array.T"),
        (np.zeros((3, 500)), 50.0, "array", "choose leads"),
        (np.zeros((2, 0)), 50.0, "array", ""),
        ("record", 50.0, "array", "find_onsets_in_file"),
        (waves(500), None, "rate_hz", "Hz"),
        (waves(500), -1.0, "rate_hz", "Hz"),
    ],
)
def test_mistakes_with_arrays(folder: Path, array: object, rate_hz: float, where: str, remedy: str) -> None:
    with refused(where, remedy=remedy):
        siwcc.load_detector(folder).find_onsets(array, rate_hz)


def test_mistakes_with_files(folder: Path) -> None:
    detector = siwcc.load_detector(folder)
    with refused("path", "array", remedy="find_onsets"):
        detector.find_onsets_in_file(waves(500))
    with refused("path", "list", remedy="find_onsets_in_file"):
        detector.find_onsets_in_file([folder])
    with refused(folder / "a.png", "image", remedy=None):
        detector.find_onsets_in_file(folder / "a.png")
    record = write_record(folder, "three", waves(500, leads=3), 50)
    assert detector.find_onsets_in_file(record, leads=[2, 0]).source.leads == (2, 0)
    with refused(record, "3 leads"):
        detector.find_onsets_in_file(record, leads=[0, 1, 2])
    with refused("threshold", "2"):
        detector.find_onsets_in_file(record, threshold=2.0)
    with refused(write_record(folder, "short", waves(2), 50), "2 samples", remedy=None):
        detector.find_onsets_in_file(folder / "short")
