"""Windows of several recordings in the order of their ids, each recording read once where there is room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from siwcc.config import SignalDataset, parse_dataset
from siwcc.data.datasets import signals
from siwcc.data.datasets.interface import Excluded, Sample
from siwcc.data.datasets.signals import Event, Recording, Window, cut_windows, place_windows

SAMPLES = 1000


def section() -> SignalDataset:
    """Windows of 200 samples, 4 s."""
    values = {"format": "folder", "kind": "signal", "path": Path("x"), "window_s": 4, "rate_hz": 50, "csv_rate_hz": 50}
    return parse_dataset(values)  # type: ignore[return-value]


def made_windows(ids: Sequence[Sequence[str]], reads: Counter[str]) -> list[Window]:
    """Windows every 2 s of recordings whose first lead says which one it is; `ids` are theirs, by recording."""
    windows: list[Window] = []
    for number, names in enumerate(ids):

        def read(number: int = number) -> np.ndarray:
            reads[f"r{number}"] += 1
            lead = np.full(SAMPLES, number, dtype=np.float64)
            lead[600:] = np.nan
            return np.stack([lead, np.arange(SAMPLES) / 100])

        recording = Recording(f"r{number}", 50, Fraction(1), SAMPLES, read)
        events = [Event(100 * (place + 1), "VT", "g", name) for place, name in enumerate(names)]
        windows += place_windows(recording, events, section())
    return windows


def one_by_one(windows: Sequence[Window]) -> list[Sample | Excluded]:
    return [
        item for window in sorted(windows, key=lambda one: one.sample_id) for item in cut_windows([window], section())
    ]


@pytest.mark.parametrize(
    ("most_waiting", "read"),
    [
        (9, {"r0": 1, "r1": 1, "r2": 1}),
        # "c" and "e" wait, so "b" and "d" are read for alone; "g" waits beside "e", then "h" beside "g".
        (2, {"r0": 2, "r1": 3, "r2": 1}),
        (0, {"r0": 4, "r1": 4, "r2": 1}),
    ],
)
def test_samples_come_in_the_order_of_their_ids_and_what_was_read_waits(
    monkeypatch: pytest.MonkeyPatch, most_waiting: int, read: dict[str, int]
) -> None:
    # A sample of 200 has a window and its context in two leads.
    monkeypatch.setattr(signals, "_MAX_WAITING_BYTES", most_waiting * 200 * 26)
    reads: Counter[str] = Counter()
    # r2 stands by itself; of r0 and r1 one, two and three follow each other.
    windows = made_windows([["a", "c", "e", "f", "h"], ["b", "d", "g", "i", "j", "k"], ["l", "m"]], reads)
    found = list(cut_windows(windows, section()))
    assert reads == read
    expected = one_by_one(windows)
    assert [item.sample_id for item in found] == list("abcdefghijklm")
    # From sample 600 on nothing is valid, and the window around it reaches 100 further.
    assert [item.sample_id for item in found if isinstance(item, Excluded)] == ["k"]
    for item, other in zip(found, expected, strict=True):
        if isinstance(item, Excluded) or isinstance(other, Excluded):
            assert item == other
            continue
        assert (item.group, item.label, item.extras.keys()) == (other.group, other.label, other.extras.keys())
        for value, wanted in zip(
            (item.signal, item.target, *item.extras.values()),
            (other.signal, other.target, *other.extras.values()),
            strict=True,
        ):
            assert np.asarray(value).dtype == np.asarray(wanted).dtype
            np.testing.assert_array_equal(value, wanted)
    assert [item.extras["record"] for item in found if isinstance(item, Sample)] == [
        *("r0", "r1", "r0", "r1", "r0", "r0", "r1", "r0", "r1", "r1", "r2", "r2"),
    ]


def test_samples_that_follow_their_recordings_wait_for_nothing() -> None:
    reads: Counter[str] = Counter()
    windows = made_windows([["a", "b"], ["c", "d", "e"]], reads)
    found = cut_windows(windows, section())
    next(found)
    assert reads == {"r0": 1}
    assert [item.sample_id for item in found] == list("bcde")
    assert reads == {"r0": 1, "r1": 1}
