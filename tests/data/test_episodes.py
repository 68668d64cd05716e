from __future__ import annotations

import numpy as np
import pytest

from siwcc.data.episodes import Episode, LabelOnset, make_reference, true_episodes, true_label_onsets

EVENTS = ("VT", "VF")


def test_an_episode_lasts_until_a_label_that_is_no_event():
    # At 10 Hz: VT at 5 s becomes VF at 8 s and N at 12 s; VT from 20 s to the end at 30 s.
    changes, labels = [10, 50, 80, 120, 200], ["N", "VT", "VF", "N", "VT"]
    assert true_episodes(changes, labels, EVENTS, 10.0, 30.0) == [Episode(5.0, 12.0, "VT"), Episode(20.0, 30.0, "VT")]
    onsets = [LabelOnset(5.0, "VT"), LabelOnset(8.0, "VF"), LabelOnset(20.0, "VT")]
    assert true_label_onsets(changes, labels, EVENTS, 10.0, 30.0) == onsets


@pytest.mark.parametrize(("second", "episodes"), [(79, [(5.0, 9.0, "VT")]), (80, [(5.0, 6.0, "VT"), (8.0, 9.0, "VF")])])
def test_intervals_closer_than_the_gap_are_one_with_the_first_label(second, episodes):
    # The first ends at 5 s; 2.9 s later is one episode, 3 s later, at 8 s, is not.
    changes, labels = [0, 20, 50, second, 90], ["N", "VT", "N", "VF", "N"]
    found = true_episodes(changes, labels, EVENTS, 10.0, 30.0)
    expected = [(2.0, 9.0, "VT")] if len(episodes) == 1 else [(2.0, 5.0, "VT"), (8.0, 9.0, "VF")]
    assert [episode[:3] for episode in found] == expected


def test_the_gap_may_be_another():
    changes, labels = [20, 50, 75, 90], ["VT", "N", "VF", "N"]
    assert len(true_episodes(changes, labels, EVENTS, 10.0, 30.0, merge_gap_s=2.5)) == 2
    assert len(true_episodes(changes, labels, EVENTS, 10.0, 30.0, merge_gap_s=2.6)) == 1


@pytest.mark.parametrize(
    ("changes", "labels", "has_onset"),
    [
        ([0, 50], ["VT", "N"], False),
        ([10, 50], ["VT", "N"], False),
        ([11, 50], ["VT", "N"], True),
        ([0, 5, 50], ["N", "VT", "N"], True),
    ],
)
def test_a_recording_that_begins_with_an_episode_has_no_onset_there(changes, labels, has_onset):
    # Up to 1 s from the start, at 10 Hz, and nothing before.
    reference = make_reference("a", "A", changes, labels, EVENTS, 10.0, 30.0)
    assert [episode.has_onset for episode in reference.episodes] == [has_onset]
    assert len(reference.onsets("episodes")) == has_onset
    # It is malignant time all the same, and an onset of the paper's.
    begin = changes[labels.index("VT")] / 10
    assert reference.malignant_us == round((5.0 - begin) * 1e6)
    assert reference.nonmalignant_us == 30_000_000 - reference.malignant_us
    assert reference.onsets("labels") == (LabelOnset(begin, "VT"),)


def test_no_change_no_event_and_changes_past_the_end():
    assert true_episodes([], [], EVENTS, 10.0, 30.0) == []
    assert true_episodes([5, 9], ["N", "AFIB"], EVENTS, 10.0, 30.0) == []
    # At the very end and later there is no signal.
    assert true_episodes([5, 300, 310], ["N", "VT", "N"], EVENTS, 10.0, 30.0) == []
    assert true_label_onsets([5, 300, 310], ["N", "VT", "VF"], EVENTS, 10.0, 30.0) == []
    # Two changes at one sample: the second counts.
    assert true_episodes([5, 100, 100], ["N", "VT", "N"], EVENTS, 10.0, 30.0) == []


@pytest.mark.parametrize("seed", range(60))
def test_episodes_are_those_of_a_mask_with_short_gaps_filled(seed):
    rng = np.random.default_rng(seed)
    changes = np.sort(rng.integers(0, 400, rng.integers(0, 20)))
    labels = rng.choice(["N", "VT", "VF"], len(changes)).tolist()
    mask = np.zeros(400, dtype=bool)
    for place, label in enumerate(labels):
        mask[changes[place] :] = label in EVENTS
    for first in np.flatnonzero(mask[:-1] & ~mask[1:]) + 1:
        following = np.flatnonzero(mask[first:])
        # Nearer than 3 s at 5 Hz.
        if len(following) and following[0] < 15:
            mask[first : first + following[0]] = True
    edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0, append=0)).reshape(-1, 2)
    found = true_episodes(changes, labels, EVENTS, 5.0, 80.0)
    assert [episode[:2] for episode in found] == [(begin / 5, end / 5) for begin, end in edges.tolist()]
    # Of several changes at one sample the last one gives the label.
    assert [episode.label for episode in found] == [
        next(label for at, label in reversed(list(zip(changes.tolist(), labels, strict=True))) if at == begin)
        for begin in edges[:, 0].tolist()
    ]
