"""The measures of onsets computed another way: assignment by scipy, loops over thresholds, samples and draws."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.optimize import linear_sum_assignment

from siwcc.data.episodes import Candidate, make_reference
from siwcc.evaluation import bootstrap
from siwcc.evaluation.onsets import Detections

LABELS = ("N", "VT", "VF", "AFIB")
EVENT_LABELS = ("VT", "VF")


def us(time_s):
    return int(np.rint(time_s * 1e6))


def random_reference(rng, record, group, duration_s=120.0):
    """Rhythms of any order, also of length 0, changing at 4 Hz so that gaps and tolerances are met exactly."""
    number = int(rng.integers(0, 14))
    changes = np.sort(rng.integers(0, int(duration_s * 4), number))
    # In every other record the first rhythm begins within the first 2 s.
    if number and rng.integers(0, 2):
        changes[0] = min(changes[0], rng.integers(0, 8))
    return make_reference(record, group, changes, rng.choice(LABELS, number).tolist(), EVENT_LABELS, 4.0, duration_s)


def random_candidates(rng, reference, most=14, grid_s=None):
    """Anywhere and near onsets; scores of a few values, so that many are equal."""
    times = rng.uniform(0, reference.duration_s, int(rng.integers(0, most))).tolist()
    times += [time_s + rng.normal(0, 2) for time_s, _ in reference.changes for _ in range(int(rng.integers(0, 3)))]
    if grid_s:
        times = [round(time_s / grid_s) * grid_s for time_s in times]
    times = [float(np.clip(time_s, 0, reference.duration_s)) for time_s in times]
    scores = rng.integers(0, 6, len(times)) / 5
    lengths = rng.choice([0.0, 0.5, 4.0], len(times))
    found = [
        Candidate(time_s, time_s + length, float(score))
        for time_s, length, score in zip(times, lengths.tolist(), scores, strict=True)
    ]
    return [found[place] for place in rng.permutation(len(found))]


def random_detections(seed, method="network", records=5):
    rng = np.random.default_rng(seed)
    references = tuple(random_reference(rng, f"r{n}", f"s{n // 2 if n < 4 else n}") for n in range(records))
    rng = np.random.default_rng([seed, len(method)])
    candidates = {each.record: random_candidates(rng, each) for each in references}
    return Detections(method, "data", references, candidates)


def onsets_of(reference, definition):
    if definition == "labels":
        return [us(onset.onset_s) for onset in reference.changes]
    return [us(episode.onset_s) for episode in reference.episodes if episode.has_onset]


def assign(onsets, times, tolerance_us):
    """{onset: candidate} with the most pairs and the smallest sum of differences, in the order of time."""
    if not onsets or not times:
        return {}
    difference = np.abs(np.subtract.outer(np.array(onsets), np.array(times)))
    gain = np.where(difference <= tolerance_us, 10.0**12 - difference, 0.0)
    matched = [(i, j) for i, j in zip(*linear_sum_assignment(gain, maximize=True), strict=True) if gain[i, j]]
    # Which onsets and which candidates are matched is certain, not which with which: two onsets before two candidates
    # have the same sum either way.
    by_time = sorted((j for _, j in matched), key=lambda place: times[place])
    return {int(i): int(j) for i, j in zip(sorted(i for i, _ in matched), by_time, strict=True)}


def kind_of(reference, time_us):
    """What a candidate without an onset is."""
    for episode in reference.episodes:
        if not episode.has_onset and -2_500_000 <= time_us - us(episode.onset_s) <= 2_500_000:
            return "ignored"
    inside = [episode for episode in reference.episodes if us(episode.onset_s) <= time_us < us(episode.end_s)]
    return "late" if inside else "false_alarm"


def count(reference, candidates, definition, tolerance_s, threshold):
    """Onsets, found, candidates that count, false alarms, late ones, and the absolute errors in microseconds."""
    onsets = onsets_of(reference, definition)
    times = [us(candidate.onset_s) for candidate in candidates if candidate.score >= threshold]
    pairs = assign(onsets, times, us(tolerance_s))
    alarmed = set(assign(onsets, times, 2_500_000).values())
    kinds = [kind_of(reference, time) for time in times]
    unmatched = [kind for place, kind in enumerate(kinds) if place not in alarmed]
    ignored = sum(kind == "ignored" for place, kind in enumerate(kinds) if place not in set(pairs.values()))
    errors = [abs(onsets[i] - times[j]) for i, j in pairs.items()]
    counted = len(times) - ignored
    return len(onsets), len(pairs), counted, unmatched.count("false_alarm"), unmatched.count("late"), errors


def quiet_us(reference):
    """Microseconds outside episodes, quarter second by quarter second."""
    quarters = range(int(reference.duration_s * 4))
    outside = [q for q in quarters if not any(e.onset_s <= q / 4 < e.end_s for e in reference.episodes)]
    return len(outside) * 250_000


def drawn_records(detections):
    """The records of each draw, those of a subject as often as it was drawn."""
    subjects = sorted({each.group for each in detections.references})
    for times in bootstrap.times_drawn(len(subjects)):
        yield [
            each
            for subject, often in zip(subjects, times, strict=True)
            for _ in range(often)
            for each in detections.references
            if each.group == subject
        ]


def ratio(above, below):
    return float(Fraction(above, below)) if below else float("nan")


def interval(values):
    finite = [value for value in values if np.isfinite(value)]
    return tuple(np.percentile(finite, [2.5, 97.5]).tolist()) if finite else (float("nan"), float("nan"))
