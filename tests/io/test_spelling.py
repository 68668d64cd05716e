"""What a misspelt name was meant to be."""

from __future__ import annotations

from siwcc.io.spelling import did_you_mean


def test_the_most_similar_name_is_asked_for() -> None:
    assert did_you_mean("vfbd", ["sipakmed", "vfdb", "vf"]) == "did you mean 'vfdb'?"
    assert did_you_mean("herlev", []) == ""


def test_a_name_like_none_has_no_hint() -> None:
    assert did_you_mean("patient", ["file", "time_s", "group"]) == ""
    # Of four letters three agree: a similarity of 0.75.
    assert did_you_mean("abcx", ["abcd"], alike=0.75) == "did you mean 'abcd'?"
    assert did_you_mean("abcx", ["abcd"], alike=0.76) == ""
