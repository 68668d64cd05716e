"""Onsets in whole recordings: read and predicted in blocks as at once, by hand, and as annotations that wfdb reads."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import wfdb
from made_models import RECIPE, rhythm_network, settings_for, waves, write_detector, write_record
from refusals import refused
from tolerances import FLOAT32, assert_same

import siwcc
from siwcc.evaluation.onset_settings import ONSETS, write_onset_settings
from siwcc.inference import onset_detector, signal_blocks
from siwcc.inference.onset_detector import OnsetDetector
from siwcc.inference.onsets import MALIGNANT, OTHER
from siwcc.inference.rhythm_curve import model_signal, rhythm_curve

pytestmark = pytest.mark.numeric

# The margins of RECIPE are 41 s of the scale, 15 s of the filter and less than a second of the network; a stretch is
# at least four times as long.
STRETCH_S = 230.0
# Of a step of 0.08 s in a recording of 100 s: 0.9 from 40 s on, 0.6 from 72 s on.
CURVE = np.zeros(1250)
CURVE[500:600], CURVE[900:950] = 0.9, 0.6
# Interpolated between the steps where it crosses 0.3.
FIRST = (0.08 * (500 - 0.6 / 0.9), 0.08 * (599 + 0.6 / 0.9))
SECOND = (0.08 * 899.5, 0.08 * 949.5)
# a logit + b with a = 2, b = -1: 81 / e and 2.25 / e to 1.
P_FIRST, P_SECOND = 81 / (81 + math.e), 2.25 / (2.25 + math.e)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two detectors with their settings; the first was trained on s1 and r2."""
    paths = [write_detector(tmp_path / "onsets/fold1.pt", 1, training_groups=["made/s1", "r2"])]
    paths.append(write_detector(tmp_path / "onsets/fold2.pt", 2, fold=2, training_groups=["r2"]))
    write_onset_settings(tmp_path / "onsets" / ONSETS, settings_for(paths))
    return tmp_path


@pytest.fixture
def by_hand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> OnsetDetector:
    """A detector whose networks give `CURVE`."""
    monkeypatch.setattr(onset_detector, "rhythm_curve", lambda networks, signal: CURVE)
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
    at_once = rhythm_curve(networks, model_signal(np.where(np.isfinite(signal), signal, np.nan), rate_hz, RECIPE))
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
    np.testing.assert_allclose(found.curve, np.clip(CURVE, 1e-6, 1), rtol=1e-9)
    assert len(by_hand.find_onsets(waves(5000), 50.0, threshold=0.45)) == 2
    assert by_hand.find_onsets(waves(5000), 50.0, threshold=0.99) == []


def test_without_settings_the_score_counts(tmp_path: Path) -> None:
    detector = siwcc.load_detector(write_detector(tmp_path / "d.pt", probability=0.8))
    (onset,) = detector.find_onsets(waves(500), 50.0)
    # 125 steps of the same value: it begins and ends with the recording.
    assert (onset.onset_s, onset.end_s) == pytest.approx((0.0, 124 * 0.08))
    assert onset.probability is None
    assert onset.score == pytest.approx(0.8, abs=FLOAT32)
    assert detector.find_onsets(waves(500), 50.0, threshold=0.81) == []
    assert onset.to_dict()["p_onset"] is None


def test_onsets_as_text_and_tables(by_hand: OnsetDetector) -> None:
    found, none = (by_hand.find_onsets(waves(5000), 50.0, threshold) for threshold in (0.4, 0.99))
    assert "\n" not in repr(by_hand) + repr(found) + repr(none) + repr(found[0])
    row = {"onset_s": 39.946667, "end_s": 47.973333, "p_onset": round(P_FIRST, 6), "score": 0.9}
    assert found[0].to_dict() == row
    values = found.to_dict()
    assert (values["duration_s"], values["threshold"], len(values["models"])) == (100.0, 0.4, 2)
    assert values["onsets"] == [onset.to_dict() for onset in found]
    assert list(found.to_dataframe()["onset_s"]) == [39.946667, 71.96]
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
    limits = [(29.946667, 49.946667), (61.96, 81.96)] if threshold < 0.5 else []
    assert [axis.get_xlim() for axis in panels] == [pytest.approx(ends) for ends in limits]


def test_of_many_onsets_the_most_probable_have_a_panel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curve = np.zeros(12_500)
    for number in range(20):
        curve[500 * number + 100 : 500 * number + 200] = 0.7 + 0.01 * (number % 10) + 0.001 * (number // 10)
    monkeypatch.setattr(onset_detector, "rhythm_curve", lambda networks, signal: curve)
    found = siwcc.load_detector(folder).find_onsets(waves(50_000), 50.0)
    assert len(found) == 20
    panels = found.plot().figure.axes[1:]
    # The 12 largest: numbers 4 ... 9 and 14 ... 19, in the order of time, 40 s apart.
    middles = [sum(axis.get_xlim()) / 2 for axis in panels]
    expected = [8 + 40 * number for number in (*range(4, 10), *range(14, 20))]
    np.testing.assert_allclose(middles, expected, atol=0.08)


# --------------------------------------------------------------- annotations


def test_wfdb_reads_the_annotations(by_hand: OnsetDetector, tmp_path: Path) -> None:
    record = write_record(tmp_path, "a.b-1", waves(5000), 50)
    found = by_hand.find_onsets_in_file(record, threshold=0.4)
    assert found.annotate(tmp_path) == tmp_path / "a.b-1.siw"
    read = wfdb.rdann(str(tmp_path / "a.b-1"), "siw")
    assert read.sample.tolist() == [0, 1997, 2399, 3598, 3798]
    assert read.aux_note == [OTHER, MALIGNANT, OTHER, MALIGNANT, OTHER]
    assert read.num.tolist() == [0, 97, 0, 45, 0]
    assert set(read.symbol) == {"+"}
    assert read.fs == 50


def test_annotations_of_a_recording_without_onset_and_of_one_that_is_malignant(tmp_path: Path) -> None:
    for probability, labels in ((0.1, [OTHER]), (0.8, [MALIGNANT])):
        detector = siwcc.load_detector(write_detector(tmp_path / f"{probability}.pt", probability=probability))
        # 128.5 Hz is no whole number.
        detector.find_onsets(waves(2000), 128.5).annotate(tmp_path / "x.siw")
        read = wfdb.rdann(str(tmp_path / "x"), "siw")
        assert read.aux_note[:1] == labels
        assert read.fs == 128.5


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
