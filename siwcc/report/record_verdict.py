"""The tests over records in words: one sentence per comparison, one on all of them, and their limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from siwcc.evaluation.record_tests import RecordTest
from siwcc.evaluation.statistics import SIGNIFICANCE, holm
from siwcc.report.figures.style import PAPERS, Tasks, arm_style, model_name
from siwcc.report.wording import Reading, capital, count_readings, p_words, three

RECORD_WORDS = {
    Reading.GAIN: "a smaller error that survives correction",
    Reading.HINT: "a smaller error only before correction",
    Reading.NOTHING: "no significant difference",
    Reading.HINT_AGAINST: "a larger error only before correction",
    Reading.LOSS: "a larger error that survives correction",
    Reading.TOO_FEW: "too few records to decide",
    Reading.UNTESTABLE: "no test possible",
}


def read_tests(tests: Sequence[RecordTest]) -> list[Reading]:
    """The reading of each primary test; both directions are adjusted by Holm over all of them.

    Args:
        tests: The primary tests of a study.
    """
    against = holm([test.p_larger for test in tests]).tolist()
    return [_reading(test, p) for test, p in zip(tests, against, strict=True)]


def _reading(test: RecordTest, p_against: float) -> Reading:
    if not math.isfinite(test.p_smaller):
        return Reading.UNTESTABLE
    if test.least_p >= SIGNIFICANCE:
        return Reading.TOO_FEW
    if test.p_smaller < SIGNIFICANCE:
        return Reading.GAIN if test.p_holm is not None and test.p_holm < SIGNIFICANCE else Reading.HINT
    if test.p_larger < SIGNIFICANCE:
        return Reading.LOSS if p_against < SIGNIFICANCE else Reading.HINT_AGAINST
    return Reading.NOTHING


def record_summary(read: Sequence[tuple[RecordTest, Reading]], primary: bool, tasks: Tasks = PAPERS) -> tuple[str, ...]:
    """A sentence for each task on all its comparisons.

    Args:
        read: The primary tests with their readings.
        primary: Whether folds keep records together.
        tasks: The study's, for their words.
    """
    sentences = []
    for task in dict.fromkeys(test.task for test, _ in read):
        own = [(test, reading) for test, reading in read if test.task == task]
        counted = count_readings([reading for _, reading in own], RECORD_WORDS, "comparisons")
        kind = "Primary test, over" if primary else "Over"
        records = max(test.records for test, _ in own)
        named = tasks[task].groups[records != 1]
        sentences.append(f"{kind} {records} {named} (mean absolute error on augmented copies): {counted}.")
    return tuple(sentences)


def record_sentence(test: RecordTest, reading: Reading, family: int, several: bool, tasks: Tasks = PAPERS) -> str:
    """What one comparison found.

    Args:
        test: A primary test.
        reading: Its reading.
        family: How many tests Holm's correction covers.
        several: Whether there are several networks, so that this one must be named.
        tasks: The study's, for their words.
    """
    title = f"{arm_style(test.study).label} against {arm_style(test.control).label}"
    errors = f"{three(test.study_error)} {test.unit} against {three(test.control_error)} {test.unit}"
    size = f"{three(test.mean_difference, sign=True)} {test.unit}"
    ends = f"95 % interval {three(test.ci_low, sign=True)} to {three(test.ci_high, sign=True)}"
    named = tasks[test.task].groups[test.records != 1]
    counts = f"smaller in {test.records_better} and larger in {test.records_worse} of {test.records} {named}"
    model = f", {model_name(test.task, test.variant)}" * several
    return f"{capital(title)}{model}: {errors}, {size} ({ends}; {counts}): {_words(test, reading, family)}."


def _words(test: RecordTest, reading: Reading, family: int) -> str:
    if reading is Reading.UNTESTABLE:
        return f"no test possible ({test.note or 'an error has no value'})"
    if reading is Reading.TOO_FEW:
        return f"{test.records} are too few to test this"
    larger = reading in (Reading.HINT_AGAINST, Reading.LOSS)
    p = f"one-sided p {p_words(test.p_larger if larger else test.p_smaller)}"
    if reading is Reading.NOTHING:
        return f"not significant ({p})"
    what = "a larger error" if larger else "a smaller error"
    tests = f"all {family} tests" if family > 1 else "the one test"
    if reading in (Reading.GAIN, Reading.LOSS):
        return f"{what} that holds after correction for {tests} ({p})"
    return f"{what} before correction for {tests} ({p}), not after it"


def record_limits(tests: Sequence[RecordTest], primary: bool, tasks: Tasks = PAPERS) -> Iterator[str]:
    """What the tests over records cannot say.

    Args:
        tests: The primary tests.
        primary: Whether folds keep records together.
        tasks: The study's, for their words.
    """
    for task in dict.fromkeys(test.task for test in tests):
        sample, (one, several) = tasks[task].sample, tasks[task].groups
        if primary:
            yield (
                f"Over {several}, each {one} counts once, with one {sample} or with many: the p is about new "
                f"{several}, the interval (a bootstrap) is somewhat narrow, and where they disagree the p is right. "
                f"The {several} of a test fold share their trainings: a training that is good by chance counts for "
                "each, so that p is too small where trainings vary; the p of whole folds allows for it, and few folds "
                "give no small p."
            )
        else:
            yield (
                f"Over {several}: the folds split {several}, so networks were trained on other samples of each; "
                f"these tests are about new samples of known {several}, not about new {several}."
            )
