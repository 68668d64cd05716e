"""Synthetic two-lead recordings in the layout of VFDB: WFDB format 212 at 250 Hz, rhythm annotations.

A record is a plan of rhythms with one patient's heart in it. Heartbeats are sums of skewed Gaussian
waves, each with a frontal axis that the two leads see from their own angles; flutter and fibrillation
are frequency- and amplitude-modulated oscillations. Rates, morphologies and annotations follow what
VFDB shows, but nothing is copied from it. Every random number of a record comes from the seed and the
record's own number, so a record is the same in a small set and in a large one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import wfdb
from numpy.random import Generator
from scipy.interpolate import CubicSpline

from siwcc.config import VfdbSection
from siwcc.io.console import tracked
from siwcc.io.errors import InputError, unwritable
from siwcc.io.files import write_bytes, write_csv, write_text

RATE_HZ = 250
GAIN_PER_MV = 200
LEADS = 2
# Format 212 holds 12 bits, and its lowest value stands for "no sample".
_HIGHEST_DIGIT = 2047
_EXTENSIONS = ("dat", "atr", "hea")
_FIRST_NOTE = 20
_SHOCKED = ("VF", "VFIB", "VFL")

# Conduction of the patient, then rhythms with their lengths in seconds, which vary by a tenth.
# Later records start over from the first line with other patients.
_PLANS = (
    ("infarct", "N32 VFL6 N18 VFL7 N3 VFL4 N24 VFL8 N22 VFL3 N4 VFL6 N23 VFL14 N25 VFL5 N3 VFL3 N2 VFL6 N24 VFL9 N18"),
    ("normal", "N6 VT5 N23 VT4 N24 NOISE6 N18 VT7 N24 VT3 N4 VT5 N26 VT8 N24 VT6 N25 VT5"),
    ("normal", "AFIB50 NOISE8 AFIB42 SVTA12 AFIB35 NOISE6 AFIB30"),
    ("left_branch", "N26 HGEA18 N24 HGEA15 N26 HGEA20 N22 HGEA14 N26 VT4 HGEA16 N20"),
    ("hypertrophy", "N42 VFIB34 NOISE6 ASYS14 NOD22 NSR32 VFL22 NOISE5 ASYS18 NOD24 NSR20"),
    ("right_branch", "BI28 VT6 BI23 VFL9 BI24 VT5 BI3 VFL7 BI22 VT6 BI25 NOISE7 BI22 VF24"),
    ("normal", "B24 N30 B18 N24 SVTA10 N34 VT25 N30 B15"),
    ("infarct", "N38 VF30 NOISE7 SBR36 VT6 NOISE3 VT12 N24 VFIB26 NOISE6 SBR34"),
    ("paced", "PM40 VT5 PM34 VT4 PM5 VT4 PM42 VT24 ASYS24 PM28"),
    ("left_branch", "AFIB31 VT5 AFIB29 VT6 AFIB28 VT7 AFIB33 VT5 AFIB30 VT5 AFIB25"),
    ("right_branch", "N52 VFL36 VER12 N26 VT6 HGEA20 N25 HGEA22 N30"),
    ("hypertrophy", "N95 VT46 VF28 NOISE6 N48"),
)

# Waves of a sinus beat around its R wave: centre, rise and fall (s, standard deviations of the two
# halves), height (mV), axis (degrees in the frontal plane).
_P = (-0.165, 0.024, 0.020, 0.15, 60.0)
_CONDUCTIONS = {
    "normal": (
        _P,
        (-0.028, 0.008, 0.008, -0.12, 40.0),
        (0.0, 0.011, 0.012, 1.15, 50.0),
        (0.030, 0.010, 0.012, -0.32, 20.0),
        (0.270, 0.060, 0.038, 0.34, 45.0),
    ),
    "infarct": (
        _P,
        (-0.032, 0.012, 0.011, -0.40, 30.0),
        (0.0, 0.011, 0.013, 0.80, 55.0),
        (0.110, 0.040, 0.080, 0.17, 60.0),
        (0.290, 0.055, 0.040, -0.32, 50.0),
    ),
    "hypertrophy": (
        _P,
        (0.0, 0.013, 0.013, 2.10, 15.0),
        (0.034, 0.012, 0.014, -0.70, 60.0),
        (0.120, 0.040, 0.060, -0.16, 15.0),
        (0.275, 0.065, 0.035, -0.36, 10.0),
    ),
    "left_branch": (
        _P,
        (0.0, 0.018, 0.022, 0.85, 25.0),
        (0.056, 0.020, 0.024, 0.95, -15.0),
        (0.160, 0.050, 0.070, -0.18, 5.0),
        (0.310, 0.070, 0.045, -0.45, 0.0),
    ),
    "right_branch": (
        _P,
        (0.0, 0.011, 0.011, 0.85, 60.0),
        (0.036, 0.013, 0.015, -0.45, 40.0),
        (0.078, 0.019, 0.022, 0.75, 140.0),
        (0.300, 0.060, 0.040, 0.30, 30.0),
    ),
    "paced": (
        (-0.060, 0.0025, 0.0025, 0.90, 70.0),
        (0.0, 0.030, 0.034, 1.30, -70.0),
        (0.066, 0.022, 0.030, 0.60, -40.0),
        (0.330, 0.075, 0.050, 0.50, 100.0),
    ),
}
_ECTOPIC = (
    (0.020, 0.030, 0.036, 1.70, 0.0),
    (0.086, 0.026, 0.034, 0.75, 40.0),
    (0.160, 0.040, 0.080, -0.25, 10.0),
    (0.300, 0.075, 0.055, -0.80, 10.0),
)
# The beats of ventricular tachycardia: bundle-branch-like, saw-toothed, and with a deep first wave.
_TACHYCARDIAS = (
    ((0.020, 0.024, 0.030, 1.50, 0.0), (0.082, 0.020, 0.030, 0.70, 40.0), (0.220, 0.055, 0.055, -0.60, 10.0)),
    ((0.010, 0.011, 0.020, 1.00, 0.0), (0.050, 0.018, 0.060, 0.85, 30.0), (0.210, 0.060, 0.035, -0.70, 20.0)),
    ((0.005, 0.014, 0.016, -0.70, -10.0), (0.050, 0.018, 0.032, 1.60, 10.0), (0.200, 0.070, 0.050, -0.75, 30.0)),
)
_SINUS = -1
_P_WAVE_BEFORE_S = -0.1
_T_WAVE_AFTER_S = 0.1


@dataclass(frozen=True)
class Segment:
    """One rhythm of a record, from sample `start` up to, not including, sample `stop`."""

    label: str
    start: int
    stop: int
    previous: str = ""


@dataclass(frozen=True)
class Beat:
    """A heartbeat as a sum of skewed Gaussian waves.

    Attributes:
        centre_s: (waves,) seconds from the beat's own time.
        rise_s: (waves,) standard deviation before the centre, seconds.
        fall_s: (waves,) standard deviation after the centre, seconds.
        height_mv: (waves, 2), as the two leads see it.
    """

    centre_s: np.ndarray
    rise_s: np.ndarray
    fall_s: np.ndarray
    height_mv: np.ndarray

    def without_p(self) -> Beat:
        """The beat when no atrium leads it."""
        kept = self.centre_s > _P_WAVE_BEFORE_S
        return Beat(self.centre_s[kept], self.rise_s[kept], self.fall_s[kept], self.height_mv[kept])

    def with_late_conduction(self, delay_s: float) -> Beat:
        """The beat with its P wave `delay_s` seconds earlier."""
        return replace(self, centre_s=self.centre_s - delay_s * (self.centre_s < _P_WAVE_BEFORE_S))


@dataclass(frozen=True)
class Train:
    """Beats of one shape: times in seconds from the record's start, heights as factors, both (beats,)."""

    beat: Beat
    time_s: np.ndarray
    scale: np.ndarray
    recovery: float = 1.0
    """Factor on the time and width of the T wave, which comes sooner when the heart is fast."""


@dataclass(frozen=True)
class Patient:
    """One heart and the two leads that see it.

    Attributes:
        sinus: The normal beat.
        ectopics: Ventricular beats from three places; the first one is the usual one.
        tachycardia: The beat of this patient's ventricular tachycardia.
        cycle_s: Sinus cycle length, seconds.
        variability: Relative depth of the heart-rate variability.
        ectopic_fraction: Fraction of beats that are ectopic outside of annotated rhythms.
        flutter_hz: Rate of ventricular flutter.
        wave_gain: (2,) amplitude of flutter and fibrillation in the leads, mV; the sign is the polarity.
        wander_mv: Standard deviation of the baseline.
        muscle_mv: Standard deviation of the muscle noise.
    """

    sinus: Beat
    ectopics: tuple[Beat, ...]
    tachycardia: Beat
    cycle_s: float
    variability: float
    ectopic_fraction: float
    flutter_hz: float
    wave_gain: np.ndarray
    wander_mv: float
    muscle_mv: float


Rhythm = Callable[[Patient, Segment, Generator], list[Train]]
Oscillation = Callable[[Patient, int, Generator], np.ndarray]


def write_ecg_records(folder: Path, records: int, seed: int) -> None:
    """Write `records` synthetic recordings `demo01`, `demo02`, ... of three to six minutes each.

    Each is a header, a signal file in format 212 (two leads, mV, 250 Hz, gain 200) and the rhythm
    annotations `.atr`, laid out as in VFDB: both leads are named `ECG`, aux notes end in NUL. The set holds
    events closer than 10 s, one near a record's start and one near an end, a record with no event, and
    rhythms that are not events. Each file appears whole; a record's header comes last.

    Args:
        folder: Made if absent; files of the same names are replaced, others stay.
        records: At least 1.
        seed: Not negative. The same seed gives the same bytes, whatever `records` is.

    Raises:
        InputError: a number out of range, or the folder cannot be written to.
    """
    _check_numbers(folder, records, seed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # wfdb writes nothing but files. They are written next to their final place, where there must be room for them.
        with tempfile.TemporaryDirectory(prefix=".making.", dir=folder) as temporary:
            for index in tracked(range(records), "records"):
                _write_whole(folder, Path(temporary), index, seed)
    except OSError as error:
        raise unwritable(folder, error) from error


def write_ecg_folder(folder: Path, records: int, seed: int) -> None:
    """Write the recordings of `write_ecg_records` as CSVs, with the table that a `format: folder` set has.

    `records/demo01.csv`, ... hold one column per lead in mV, 250 lines a second; `samples.csv` has one row per event:
    file, time_s, the patient as group, and the rhythm as class. The table comes last.

    Args:
        folder: Made if absent; files of the same names are replaced, others stay.
        records: At least 1.
        seed: Not negative. The same seed gives the same bytes.

    Raises:
        InputError: a number out of range, or the folder cannot be written to.
    """
    _check_numbers(folder, records, seed)
    labels = VfdbSection(format="vfdb").event_labels
    rows: list[tuple[str, float, str, str]] = []
    for index in range(records):
        file = f"records/demo{index + 1:02d}.csv"
        segments, signal_mv = make_record(index, seed)
        lines = [f"{first:.3f},{second:.3f}\n" for first, second in signal_mv.tolist()]
        write_text(folder / file, "".join(["lead_1,lead_2\n", *lines]))
        patient = f"patient{index + 1:02d}"
        rows += [(file, each.start / RATE_HZ, patient, each.label) for each in segments if each.label in labels]
    write_csv(folder / "samples.csv", ("file", "time_s", "group", "class"), rows)


def _check_numbers(folder: Path, records: int, seed: int) -> None:
    if records < 1:
        raise InputError(folder, f"{records} synthetic records cannot be written", "ask for at least 1")
    if seed < 0:
        raise InputError(folder, f"the seed {seed} is negative", "give 0 or more")


def _write_whole(folder: Path, temporary: Path, index: int, seed: int) -> None:
    name = f"demo{index + 1:02d}"
    segments, signal_mv = make_record(index, seed)
    _write_record(temporary, name, segments, signal_mv)
    for extension in _EXTENSIONS:
        made = temporary / f"{name}.{extension}"
        write_bytes(folder / made.name, made.read_bytes())
        made.unlink()


def make_record(index: int, seed: int) -> tuple[list[Segment], np.ndarray]:
    """The rhythms of a record and its signal.

    Args:
        index: 0 for the first record.
        seed: Of the set.

    Returns:
        The segments, without gaps, and float64 (samples, 2) in mV.
    """
    rng = np.random.default_rng([seed, index])
    conduction, plan = _PLANS[index % len(_PLANS)]
    patient = make_patient(conduction, rng)
    segments = plan_segments(plan, rng)
    count = segments[-1].stop
    signal_mv = baseline(patient, count, rng)
    for segment in segments:
        for train in _RHYTHMS.get(segment.label, _silence)(patient, segment, rng):
            add_train(signal_mv, train)
        _add_oscillation(signal_mv, patient, segment, rng)
        if segment.label == "NOISE":
            signal_mv[segment.start : segment.stop] += artefacts(segment, rng)
    return segments, signal_mv


def plan_segments(plan: str, rng: Generator) -> list[Segment]:
    """Rhythms with their samples, from words such as `VFL6`: a label and about how many seconds."""
    words = plan.split()
    labels = [word.rstrip("0123456789") for word in words]
    nominal_s = np.array([float(word[len(label) :]) for word, label in zip(words, labels, strict=True)])
    lengths = np.rint(nominal_s * rng.uniform(0.9, 1.1, len(words)) * RATE_HZ).astype(int)
    edges = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    return [Segment(*each) for each in zip(labels, edges[:-1], edges[1:], ["", *labels[:-1]], strict=True)]


def make_patient(conduction: str, rng: Generator) -> Patient:
    """A heart with this conduction, its own rates, amplitudes and electrical axis, under two leads."""
    lead_axis_deg = np.array([rng.uniform(0, 60), rng.uniform(95, 165)])
    lead_gain = rng.uniform(0.65, 1.25, LEADS)

    def seen(waves: Sequence[Sequence[float]], axis_deg: float) -> Beat:
        return _seen_beat(np.array(waves), axis_deg, lead_axis_deg, lead_gain, rng)

    ectopic_axis_deg = rng.uniform(150, 260) + np.array([0, rng.uniform(60, 120), rng.uniform(-120, -60)])
    return Patient(
        sinus=seen(_CONDUCTIONS[conduction], rng.normal(0, 12)),
        ectopics=tuple(seen(_ECTOPIC, axis) for axis in ectopic_axis_deg),
        tachycardia=seen(_TACHYCARDIAS[rng.integers(len(_TACHYCARDIAS))], ectopic_axis_deg[0] + rng.uniform(-60, 60)),
        cycle_s=rng.uniform(0.66, 0.98),
        variability=rng.uniform(0.02, 0.05),
        ectopic_fraction=rng.choice([0.0, 0.02, 0.05]),
        flutter_hz=rng.uniform(4.2, 4.8),
        wave_gain=rng.uniform(0.55, 1.1, LEADS) * np.array([1, rng.choice([-1, 1])]),
        wander_mv=np.exp(rng.uniform(np.log(0.05), np.log(0.4))),
        muscle_mv=np.exp(rng.uniform(np.log(0.008), np.log(0.045))),
    )


def _seen_beat(
    waves: np.ndarray, axis_deg: float, lead_axis_deg: np.ndarray, lead_gain: np.ndarray, rng: Generator
) -> Beat:
    """Waves (waves, 5) of this patient's size and axis, projected on the two leads."""
    count = len(waves)
    wave_axis_deg = waves[:, 4] + axis_deg + rng.normal(0, 8, count)
    height_mv = waves[:, 3] * rng.lognormal(0, 0.15, count)
    width = rng.lognormal(0, 0.06, count)
    seen_from = np.cos(np.deg2rad(wave_axis_deg[:, None] - lead_axis_deg)) * lead_gain
    return Beat(waves[:, 0], waves[:, 1] * width, waves[:, 2] * width, height_mv[:, None] * seen_from)


def add_train(signal_mv: np.ndarray, train: Train) -> None:
    """Add beats to a signal (samples, 2) in place; what lies beyond its ends is dropped."""
    beat = train.beat
    late = beat.centre_s > _T_WAVE_AFTER_S
    factor = np.where(late, train.recovery, 1.0)
    waves = zip(beat.centre_s * factor, beat.rise_s * factor, beat.fall_s * factor, beat.height_mv, strict=True)
    for centre_s, rise_s, fall_s, height_mv in waves:
        reach = int(np.ceil(4 * max(rise_s, fall_s) * RATE_HZ))
        peak_s = train.time_s + centre_s
        samples = np.rint(peak_s * RATE_HZ).astype(int)[:, None] + np.arange(-reach, reach + 1)
        distance_s = samples / RATE_HZ - peak_s[:, None]
        wave = train.scale[:, None] * np.exp(-0.5 * (distance_s / np.where(distance_s < 0, rise_s, fall_s)) ** 2)
        inside = (samples >= 0) & (samples < len(signal_mv))
        np.add.at(signal_mv, samples[inside], wave[inside][:, None] * height_mv)


def sinus_rhythm(
    patient: Patient,
    segment: Segment,
    rng: Generator,
    *,
    beat: Beat | None = None,
    cycle: float = 1.0,
    irregularity: float = 0.0,
    ectopic: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[Train]:
    """Supraventricular beats with respiratory and slow variability, and premature ventricular ones.

    Args:
        patient: Whose heart.
        segment: Where.
        rng: Random numbers.
        beat: Its shape; the patient's sinus beat by default.
        cycle: Factor on the patient's cycle length.
        irregularity: Relative spread of independent cycle lengths (atrial fibrillation: 0.2).
        ectopic: Beat numbers to mask of ectopic beats; by default the patient's own fraction, drawn.

    Returns:
        Sinus and ectopic beats as two trains.
    """
    cycle_s = patient.cycle_s * cycle
    number = np.arange(int((segment.stop - segment.start) / RATE_HZ / cycle_s * 1.8) + 4)
    breath = np.sin(2 * np.pi * (0.25 * number * cycle_s + rng.random()))
    slow = np.sin(2 * np.pi * (0.09 * number * cycle_s + rng.random()))
    spread = rng.normal(0, 1, number.size) * np.hypot(irregularity, 0.3 * patient.variability)
    factor = np.maximum(1 + patient.variability * (breath + 0.7 * slow) + spread, 0.45)
    # Counted back from the end, so that an arrhythmia breaks in at a coupling time, as hearts do it.
    time_s = segment.stop / RATE_HZ - rng.uniform(0.40, 0.52) - (np.cumsum(factor) - factor[0]) * cycle_s
    first_s = rng.uniform(0.5, 0.8) * cycle_s if segment.previous else 0.2
    inside = time_s > segment.start / RATE_HZ + first_s
    early = rng.random(number.size) < patient.ectopic_fraction if ectopic is None else ectopic(number)
    scale = 1 + 0.06 * breath + rng.normal(0, 0.02, number.size)
    kept, early = inside & ~early, inside & early
    recovery = float(np.sqrt(min(cycle_s, 1.1) / 0.85))
    return [
        Train(beat or patient.sinus, time_s[kept], scale[kept], recovery),
        Train(patient.ectopics[0], time_s[early] - 0.36 * cycle_s, scale[early]),
    ]


def tachycardia_rhythm(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    """Wide beats at 150 to 205 a minute from the first sample on, nearly regular, slowly changing."""
    length_s = (segment.stop - segment.start) / RATE_HZ
    cycle_s = rng.uniform(0.29, 0.40)
    number = np.arange(int(length_s / cycle_s * 1.2) + 2)
    # It warms up: the first cycles are the longest.
    factor = 1 + 0.12 * np.exp(-number / 2) + rng.normal(0, 0.015, number.size)
    time_s = 0.05 + (np.cumsum(factor) - factor[0]) * cycle_s
    time_s = time_s[time_s < length_s - 0.12]
    slow = np.sin(2 * np.pi * (time_s * rng.uniform(0.1, 0.3) + rng.random()))
    alternans = rng.uniform(0, 0.06) * (-1.0) ** np.arange(time_s.size)
    scale = 1 + 0.12 * slow + alternans + rng.normal(0, 0.05, time_s.size)
    twist = rng.uniform(0, 0.6) ** 2 * (1 + np.sin(2 * np.pi * (time_s * rng.uniform(0.1, 0.25) + rng.random())))
    time_s, recovery = time_s + segment.start / RATE_HZ, cycle_s / 0.38
    return [
        Train(patient.tachycardia, time_s, scale * (1 - twist), recovery),
        Train(patient.ectopics[1], time_s, scale * twist, 0.62 * recovery),
    ]


def ectopic_rhythm(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    """High-grade ectopic activity: salvos of one to four ventricular beats of several shapes among sinus beats."""
    length_s = (segment.stop - segment.start) / RATE_HZ
    time_s: list[float] = []
    place: list[int] = []
    now_s = 0.05
    while now_s < length_s - 0.3:
        salvo, sinus = 1 + int(rng.choice(4, p=[0.3, 0.3, 0.25, 0.15])), int(rng.integers(1, 3))
        time_s += [now_s + rng.uniform(0.38, 0.48) * number for number in range(salvo)]
        place += [rng.choice(len(patient.ectopics), p=[0.5, 0.3, 0.2])] * salvo
        pause_s = rng.uniform(0.75, 0.95)
        time_s += [time_s[-1] + pause_s + patient.cycle_s * number for number in range(sinus)]
        place += [_SINUS] * sinus
        now_s = time_s[-1] + rng.uniform(0.42, 0.52)
    inside = np.array(time_s) < length_s - 0.3
    times_s, places = np.array(time_s)[inside] + segment.start / RATE_HZ, np.array(place)[inside]
    scale = rng.normal(1, 0.04, len(times_s))
    beats = {_SINUS: patient.sinus, **dict(enumerate(patient.ectopics))}
    return [Train(beat, times_s[places == each], scale[places == each]) for each, beat in beats.items()]


def _nodal(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    return sinus_rhythm(patient, segment, rng, beat=patient.sinus.without_p(), cycle=1.35)


def _escape(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    return sinus_rhythm(patient, segment, rng, beat=patient.ectopics[1], cycle=1.5, ectopic=_none)


def _atrial_fibrillation(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    return sinus_rhythm(patient, segment, rng, beat=patient.sinus.without_p(), cycle=0.9, irregularity=0.2)


def _supraventricular_tachycardia(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    cycle = 0.37 / patient.cycle_s
    return sinus_rhythm(patient, segment, rng, beat=patient.sinus.without_p(), cycle=cycle, ectopic=_none)


def _heart_block(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    return sinus_rhythm(patient, segment, rng, beat=patient.sinus.with_late_conduction(0.12))


def _bigeminy(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    return sinus_rhythm(patient, segment, rng, ectopic=lambda number: number % 2 == 1)


def _slow_sinus(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    return sinus_rhythm(patient, segment, rng, cycle=1.4)


def _noisy_rhythm(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    return [] if segment.previous in _SHOCKED else sinus_rhythm(patient, segment, rng)


def _premature_beat(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    start_s = segment.start / RATE_HZ + 0.02
    return [Train(patient.ectopics[0], np.array([start_s]), np.array([rng.uniform(0.7, 1)]), 0.8)]


def _silence(patient: Patient, segment: Segment, rng: Generator) -> list[Train]:
    return []


def _none(number: np.ndarray) -> np.ndarray:
    return np.zeros(number.shape, dtype=bool)


_RHYTHMS: dict[str, Rhythm] = {
    "N": sinus_rhythm,
    "NSR": sinus_rhythm,
    "PM": sinus_rhythm,
    "SBR": _slow_sinus,
    "BI": _heart_block,
    "B": _bigeminy,
    "NOD": _nodal,
    "VER": _escape,
    "AFIB": _atrial_fibrillation,
    "SVTA": _supraventricular_tachycardia,
    "NOISE": _noisy_rhythm,
    "HGEA": ectopic_rhythm,
    "VT": tachycardia_rhythm,
    "VF": _premature_beat,
    "VFIB": _premature_beat,
}


def flutter(patient: Patient, count: int, rng: Generator) -> np.ndarray:
    """Ventricular flutter: nearly a sine at the patient's rate, waxing and waning; (count, 2), mV."""
    rate_hz = patient.flutter_hz * (1 + 0.025 * smooth_noise(count, 0.5, rng))
    phase = 2 * np.pi * (np.cumsum(rate_hz, axis=0) / RATE_HZ + rng.random())
    phase = phase + np.array([0, rng.uniform(-0.6, 0.6)])
    bend = rng.uniform(0, 2 * np.pi, 2)
    wave = np.sin(phase) + 0.16 * np.sin(2 * phase + bend[0]) + 0.05 * np.sin(3 * phase + bend[1])
    strength = 1 + 0.15 * smooth_noise(count, 0.4, rng) + 0.07 * smooth_noise(count, 2.5, rng)
    sway = 0.12 * smooth_noise(count, 0.7, rng, LEADS)
    return np.asarray((wave * strength + sway) * patient.wave_gain)


def fibrillation(patient: Patient, count: int, rng: Generator) -> np.ndarray:
    """Ventricular fibrillation: wandering sources of 4 to 7 Hz, mixed differently in each lead; (count, 2), mV."""
    centre_hz = rng.uniform(4.3, 5.0) + np.array([0.0, 0.6, 1.2, 1.7])
    sources = len(centre_hz)
    rate_hz = np.clip(centre_hz + 0.5 * smooth_noise(count, 1.5, rng, sources), 3.8, 7.2)
    phase = 2 * np.pi * (np.cumsum(rate_hz, axis=0) / RATE_HZ + rng.random(sources))
    strength = np.abs(0.5 + 0.6 * smooth_noise(count, 0.8, rng, sources)) * np.array([1.0, 0.9, 0.7, 0.5])
    mixing = rng.normal(0, 0.4, (sources, LEADS)) + patient.wave_gain
    # A phase that bends the sine makes the steep flanks that muscle has and a sum of sines has not.
    lagging = [phase + rng.uniform(-1, 1, sources) for _ in range(LEADS)]
    waves = [(strength * np.sin(lag + 0.5 * np.sin(lag))) @ mixing[:, lead] for lead, lag in enumerate(lagging)]
    coarse = np.exp(-np.arange(count) / RATE_HZ / 60)[:, None]
    return np.asarray(0.5 * coarse * np.stack(waves, axis=1))


def atrial_waves(patient: Patient, count: int, rng: Generator) -> np.ndarray:
    """The fine waves of atrial fibrillation; (count, 2), mV."""
    rate_hz = rng.uniform(5.5, 7.5) + 0.4 * smooth_noise(count, 1.0, rng)
    phase = 2 * np.pi * np.cumsum(rate_hz, axis=0) / RATE_HZ
    return np.asarray(np.sin(phase) * (1 + 0.4 * smooth_noise(count, 0.5, rng)) * rng.uniform(0.02, 0.06, LEADS))


_OSCILLATIONS: dict[str, Oscillation] = {
    "VFL": flutter,
    "VF": fibrillation,
    "VFIB": fibrillation,
    "AFIB": atrial_waves,
}


def _add_oscillation(signal_mv: np.ndarray, patient: Patient, segment: Segment, rng: Generator) -> None:
    if segment.label not in _OSCILLATIONS:
        return
    count = segment.stop - segment.start
    wave_mv = _OSCILLATIONS[segment.label](patient, count, rng)
    signal_mv[segment.start : segment.stop] += wave_mv * _fade(count, 0.2)


def _fade(count: int, ramp_s: float) -> np.ndarray:
    """(count, 1): 0 at both ends, 1 from `ramp_s` on."""
    from_end = np.minimum(np.arange(count), np.arange(count)[::-1])
    return np.asarray(np.sin(0.5 * np.pi * np.clip(from_end / (ramp_s * RATE_HZ), 0, 1))[:, None] ** 2)


def smooth_noise(count: int, highest_hz: float, rng: Generator, columns: int = 1) -> np.ndarray:
    """Noise of about unit deviation that holds little above `highest_hz`; (count, columns)."""
    step = RATE_HZ / (2 * highest_hz)
    knots = int(np.ceil(count / step)) + 3
    spline = CubicSpline(np.arange(knots), rng.normal(0, 1, (knots, columns)), axis=0)
    return np.asarray(spline(1 + np.arange(count) / step))


def baseline(patient: Patient, count: int, rng: Generator) -> np.ndarray:
    """Wander, breathing, mains hum and muscle noise of a whole record; (count, 2), mV."""
    time_s = np.arange(count)[:, None] / RATE_HZ
    breath = np.sin(2 * np.pi * (rng.uniform(0.2, 0.32) * time_s + 0.3 * smooth_noise(count, 0.05, rng)))
    wander = smooth_noise(count, 0.12, rng, LEADS) + 0.4 * breath * rng.uniform(0.3, 1, LEADS)
    hum = 0.004 * np.sin(2 * np.pi * 60 * time_s + rng.uniform(0, 6, LEADS))
    white = np.apply_along_axis(np.convolve, 0, rng.normal(0, 1, (count, LEADS)), [0.4, 0.7, 0.4], "same")
    muscle = white * np.exp(0.35 * smooth_noise(count, 0.2, rng))
    return np.asarray(patient.wander_mv * wander + hum + patient.muscle_mv * muscle)


def artefacts(segment: Segment, rng: Generator) -> np.ndarray:
    """What a moving electrode, a tense muscle and, after fibrillation or flutter, a shock add; (samples, 2), mV."""
    count = segment.stop - segment.start
    motion = smooth_noise(count, 1.2, rng, LEADS) * rng.uniform(0.25, 0.7, LEADS)
    muscle = rng.normal(0, 1, (count, LEADS)) * rng.uniform(0.03, 0.10, LEADS) * np.abs(smooth_noise(count, 1.0, rng))
    noise = (motion + muscle) * _fade(count, 0.4)
    if segment.previous in _SHOCKED:
        since_s = np.arange(count)[:, None] / RATE_HZ - 0.25
        shock = np.where(since_s < 0.06, 3.5, -2.2 * np.exp(-since_s / 0.7)) * (since_s >= 0)
        noise = noise + shock * rng.uniform(0.7, 1.1, LEADS) * _fade(count, 0.1)
    return np.asarray(noise)


def _write_record(folder: Path, name: str, segments: Sequence[Segment], signal_mv: np.ndarray) -> None:
    """The three WFDB files of a record."""
    digits = np.clip(np.rint(signal_mv * GAIN_PER_MV), -_HIGHEST_DIGIT, _HIGHEST_DIGIT).astype(np.int64)
    wfdb.wrsamp(
        name,
        fs=RATE_HZ,
        units=["mV"] * LEADS,
        sig_name=["ECG", "ECG2"],
        d_signal=digits,
        fmt=["212"] * LEADS,
        adc_gain=[float(GAIN_PER_MV)] * LEADS,
        baseline=[0] * LEADS,
        write_dir=str(folder),
    )
    # VFDB gives both leads one name, which wfdb reads but refuses to write.
    header = folder / f"{name}.hea"
    header.write_text(header.read_text().replace(" ECG2\n", " ECG\n"))
    wfdb.wrann(
        name,
        "atr",
        # VFDB's first rhythm is noted at the first beat, not at sample 0.
        sample=np.array([max(segment.start, _FIRST_NOTE) for segment in segments]),
        symbol=["+"] * len(segments),
        aux_note=[f"({segment.label}\0" for segment in segments],
        write_dir=str(folder),
    )
