"""The comparisons of encodings in words, made from the rows of the tables alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from siwcc.evaluation.comparisons import METRICS, Row
from siwcc.evaluation.record_tests import PRIMARY, RecordTest
from siwcc.evaluation.statistics import (
    NOT_SIGNIFICANT,
    NOT_TESTABLE,
    SIGNIFICANCE,
    holm,
    smallest_bootstrap_p,
    smallest_sign_flip_p,
)
from siwcc.report.figures.style import PAPERS, Tasks, arm_style, model_name
from siwcc.report.record_verdict import RECORD_WORDS, read_tests, record_limits, record_sentence, record_summary
from siwcc.report.wording import BAD, GOOD, Reading, capital, count_readings, listed, p_words, three

_METRIC_WORDS = {"test_r2": "test R²", "train_r2": "training R²", "instability": "instability"}
_ORDER = ("test_r2", "instability", "train_r2")
_SUMMARY_WORDS = {
    Reading.GAIN: "a gain that survives correction",
    Reading.HINT: "a gain only by the paper's uncorrected test",
    Reading.NOTHING: "no significant difference",
    Reading.HINT_AGAINST: "a loss only by the paper's uncorrected test",
    Reading.LOSS: "a loss that survives correction",
    Reading.TOO_FEW: "too few folds to decide",
    Reading.UNTESTABLE: "no test possible",
}


@dataclass(frozen=True)
class Verdict:
    """Plain sentences.

    Attributes:
        headline: One sentence on all comparisons by the primary test.
        summary: A sentence or more on the whole study, by its primary test.
        second: The same by the other view: over folds where records are primary, over records otherwise.
        records: One sentence on each comparison over records.
        models: Heading and sentences of each model and comparison over folds.
        limits: What these numbers cannot say, whatever they are.
    """

    headline: str
    summary: tuple[str, ...]
    second: tuple[str, ...]
    records: tuple[str, ...]
    models: tuple[tuple[str, tuple[str, ...]], ...]
    limits: tuple[str, ...]

    def sentences(self) -> list[str]:
        """All of them but the headline, in the order to read."""
        over_folds = [text for _, texts in self.models for text in texts]
        return [*self.summary, *self.second, *self.records, *over_folds, *self.limits]


def judge(
    rows: Sequence[Row],
    papers_data: Collection[str] = (),
    tests: Sequence[RecordTest] = (),
    by_group: bool = False,
    tasks: Tasks = PAPERS,
) -> Verdict:
    """Put a study's comparisons into words.

    A difference over folds counts as a gain or loss when the paper's own test (bootstrap) and the
    corrected t-test after Holm both call it significant at 0.05; as a hint when only the paper's does.
    Over records the exact sign-flip test decides, after Holm and before it.

    Args:
        rows: The study's comparisons over folds.
        papers_data: Tasks whose data and protocol are the paper's, so that published values may be held
            against ours.
        tests: The study's comparisons over records; only primary ones are put into words.
        by_group: Whether folds keep records together, so that the test over records is the primary one.
        tasks: The study's, for their words.
    """
    readings = dict(zip(rows, read_rows(rows), strict=True))
    groups = list(_groups(rows))
    primary = [test for test in tests if test.family == PRIMARY]
    over_records = list(zip(primary, read_tests(primary), strict=True))
    views = (tuple(_summary(groups, readings)), record_summary(over_records, by_group, tasks))
    leading = over_records if by_group else []
    several = len({(test.task, test.variant) for test in primary}) > 1
    return Verdict(
        headline="; ".join(text.rstrip(".") for text in views[1]) + "." if leading else _headline(groups, readings),
        summary=views[by_group],
        second=views[not by_group],
        records=tuple(record_sentence(test, reading, len(primary), several, tasks) for test, reading in over_records),
        models=tuple(
            (_heading(group[0]), (*_model_sentences(group, readings), *_primary_sentences(group[0], leading, tasks)))
            for group in groups
        ),
        limits=(*_limits(rows), *record_limits(primary, by_group, tasks), *_published_sentences(rows, papers_data)),
    )


def read_rows(rows: Sequence[Row]) -> list[Reading]:
    """The reading of each row; losses are adjusted by Holm in their own direction."""
    against = holm([_p_against(row) for row in rows]).tolist()
    return [_reading(row, p) for row, p in zip(rows, against, strict=True)]


def _p_against(row: Row) -> float:
    """The corrected t-test's p in the other direction; equal arms have p = 1 in both."""
    return 1.0 - row.p_corrected_t if any(row.fold_differences) else 1.0


def _reading(row: Row, p_against: float) -> Reading:
    if row.conclusion == NOT_TESTABLE:
        return Reading.UNTESTABLE
    if smallest_bootstrap_p(row.folds) >= SIGNIFICANCE:
        return Reading.TOO_FEW
    if row.opposite:
        return Reading.LOSS if p_against < SIGNIFICANCE else Reading.HINT_AGAINST
    if row.conclusion == NOT_SIGNIFICANT:
        return Reading.NOTHING
    return Reading.GAIN if row.p_holm < SIGNIFICANCE else Reading.HINT


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    seen: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        seen.setdefault((row.task, row.variant, row.control, row.study), []).append(row)
    for group in seen.values():
        yield sorted(group, key=lambda row: _ORDER.index(row.metric) if row.metric in _ORDER else len(_ORDER))


def _heading(row: Row) -> str:
    return f"{model_name(row.task, row.variant)}: {arm_style(row.study).label} against {arm_style(row.control).label}"


# ------------------------------------------------------------------- a model


def _model_sentences(group: Sequence[Row], readings: dict[Row, Reading]) -> Iterator[str]:
    if all(readings[row] is Reading.UNTESTABLE for row in group):
        yield _untestable_sentence(group[0])
        return
    family = sum(math.isfinite(row.p_corrected_t) for row in readings)
    for row in group:
        yield _row_sentence(row, readings[row], family)
    yield _model_conclusion(group, readings)


def _untestable_sentence(row: Row) -> str:
    if row.folds == 0:
        return "No fold has both arms yet: nothing can be compared."
    if row.folds == 1:
        effect = (
            f"{three(row.mean_difference, sign=True)} in {_METRIC_WORDS[row.metric]}"
            if math.isfinite(row.mean_difference)
            else "not known"
        )
        return f"Only one fold has both arms (difference {effect}). With one fold no test is possible."
    return f"No test is possible: {row.note or 'a fold has no value'}."


def _row_sentence(row: Row, reading: Reading, family: int) -> str:
    name = _METRIC_WORDS.get(row.metric, row.metric)
    if reading is Reading.UNTESTABLE:
        return f"{capital(name)}: no test possible ({row.note or 'a fold has no value'})."
    return f"{capital(name)} {_effect_words(row)}: {_reading_words(row, reading, family)}."


def _effect_words(row: Row) -> str:
    direction = "higher" if row.mean_difference > 0 else "lower" if row.mean_difference < 0 else "equal"
    if direction == "equal":
        return "does not differ on average"
    alike = sum(value * row.mean_difference > 0 for value in row.fold_differences)
    size = f"is {direction} by {three(abs(row.mean_difference))}"
    interval = f"95 % interval {three(row.ci_low, sign=True)} to {three(row.ci_high, sign=True)}"
    return f"{size} ({interval}; {direction} in {alike} of {row.folds} folds)"


def _reading_words(row: Row, reading: Reading, family: int) -> str:
    tests = f"all {family} tests" if family > 1 else "the one test"
    if reading is Reading.GAIN:
        return f"a gain that holds after correction for shared training data and for {tests} (p {p_words(row.p_holm)})"
    if reading is Reading.LOSS:
        return f"a loss that holds after correction for shared training data and for {tests}"
    if reading in (Reading.HINT, Reading.HINT_AGAINST):
        what = "gain" if reading is Reading.HINT else "loss"
        corrected = f" (p {p_words(row.p_holm)})" if reading is Reading.HINT and math.isfinite(row.p_holm) else ""
        return (
            f"the paper's test calls this a significant {what}, the test corrected for shared training data "
            f"and for {tests} does not{corrected}"
        )
    if reading is Reading.TOO_FEW:
        return f"{row.folds} folds are too few to test this"
    return f"not significant (p {p_words(row.p_bootstrap)} by the paper's test)"


def _model_conclusion(group: Sequence[Row], readings: dict[Row, Reading]) -> str:
    good = [_METRIC_WORDS.get(row.metric, row.metric) for row in group if readings[row] in GOOD]
    bad = [_METRIC_WORDS.get(row.metric, row.metric) for row in group if readings[row] in BAD]
    if good and bad:
        return (
            f"The measures contradict each other: better in {listed(good)}, worse in {listed(bad)}. "
            "Neither encoding is better by all of them."
        )
    primary = next((readings[row] for row in group if row.metric == "test_r2"), Reading.UNTESTABLE)
    if primary is Reading.TOO_FEW:
        return f"With {group[0].folds} folds no difference can be significant, however large."
    if bad:
        return f"Together these results are against {arm_style(group[0].study).label}."
    if primary is Reading.GAIN:
        return f"Together these results support {arm_style(group[0].study).label} on unseen data."
    if primary is Reading.HINT:
        return "Together these results suggest a gain on unseen data and do not establish it."
    if good:
        return f"Better in {listed(good)}; the difference on unseen data is not significant."
    return "Together these results support neither encoding; this does not prove that the two are equal."


def _primary_sentences(row: Row, over_records: Sequence[tuple[RecordTest, Reading]], tasks: Tasks) -> Iterator[str]:
    """The result of the primary test for the same comparison, so that nobody mistakes the folds for it."""
    for test, reading in over_records:
        if (test.task, test.variant, test.control, test.study) == (row.task, row.variant, row.control, row.study):
            yield f"The primary test, over {tasks[row.task].groups[1]}: {RECORD_WORDS[reading]}."


# ------------------------------------------------------------- the whole study


def _headline(groups: Sequence[Sequence[Row]], readings: dict[Row, Reading]) -> str:
    rows = [row for group in groups for row in group if row.metric == "test_r2"]
    if not rows:
        return "No two encodings can be compared yet."
    found = [readings[row] for row in rows]
    if all(reading is Reading.UNTESTABLE for reading in found):
        return "No test is possible yet on unseen data: a test needs at least two folds that have both encodings."
    pairs = {(row.control, row.study) for row in rows}
    noun = "comparisons" if len(pairs) > 1 else "networks"
    named = [f"{arm_style(study).label} against {arm_style(control).label}" for control, study in pairs]
    subject = f"{len(pairs)} pairs of encodings" if len(pairs) > 1 else capital(named[0])
    return f"{subject}, test R² on unseen data: {count_readings(found, _SUMMARY_WORDS, noun)}{_span(rows)}."


def _span(rows: Sequence[Row]) -> str:
    """The smallest and the largest mean difference."""
    values = sorted(row.mean_difference for row in rows if math.isfinite(row.mean_difference))
    if len(values) == 1:
        row = next(row for row in rows if math.isfinite(row.mean_difference))
        ends = f" [{three(row.ci_low, sign=True)}, {three(row.ci_high, sign=True)}]" * math.isfinite(row.ci_low)
        return f" (mean difference {three(values[0], sign=True)}{ends})"
    return f" (mean differences {three(values[0], sign=True)} to {three(values[-1], sign=True)})" if values else ""


def _summary(groups: Sequence[Sequence[Row]], readings: dict[Row, Reading]) -> Iterator[str]:
    if not groups:
        yield "No two arms can be compared yet."
        return
    primary = [readings[row] for group in groups for row in group if row.metric == "test_r2"]
    if all(reading is Reading.UNTESTABLE for reading in primary):
        yield "No test is possible yet on unseen data: a test needs at least two folds that have both arms."
        return
    noun = "comparisons" if len({(group[0].control, group[0].study) for group in groups}) > 1 else "models"
    yield f"On unseen data (test R²): {count_readings(primary, _SUMMARY_WORDS, noun)}."
    for metric in _ORDER[1:]:
        found = [readings[row] for group in groups for row in group if row.metric == metric]
        if set(found) & (GOOD | BAD | {Reading.NOTHING}):
            yield f"{capital(_METRIC_WORDS[metric])}: {count_readings(found, _SUMMARY_WORDS, noun)}."
    contradictory = sum(_contradicts(group, readings) for group in groups)
    if contradictory:
        yield f"In {contradictory} of {len(groups)} the measures contradict each other."


def _contradicts(group: Sequence[Row], readings: dict[Row, Reading]) -> bool:
    found = {readings[row] for row in group}
    return bool(found & GOOD) and bool(found & BAD)


def _limits(rows: Sequence[Row]) -> Iterator[str]:
    for folds in sorted({row.folds for row in rows if row.folds > 1}):
        floor = f"1/{round(1 / smallest_sign_flip_p(folds))} ({three(smallest_sign_flip_p(folds))})"
        resolution = round(1 / smallest_bootstrap_p(folds))
        yield (
            f"With {folds} folds an exact sign-flip test cannot go below p = {floor}, however large the effect. "
            f"A bootstrap p of “< {three(1 / resolution)}” is the resolution of its {resolution:,} resamples, "
            "not strength of evidence."
        )
    if any(row.folds > 1 for row in rows):
        yield (
            "The folds share training data, so their differences are not independent: the bootstrap treats them "
            "as if they were, and its interval is too narrow; the corrected t-test (Nadeau and Bengio) allows for it."
        )
    family = sum(math.isfinite(row.p_corrected_t) for row in rows)
    if family > 1:
        yield f"{family} rows are tested, so that single small p-values come by chance: Holm's correction covers all."


def _published_sentences(rows: Sequence[Row], papers_data: Collection[str]) -> Iterator[str]:
    published = [row for row in rows if row.published_mean_difference is not None and row.agrees_sign is not None]
    ours = [row for row in published if row.task in papers_data]
    if ours:
        yield f"Compared with the paper: {_agreement(ours)}."
        reversed_rows = [
            f"{model_name(row.task, row.variant)}, {_METRIC_WORDS[row.metric]}" for row in ours if not row.agrees_sign
        ]
        if reversed_rows:
            yield f"The published direction was not found in: {'; '.join(reversed_rows)}."
    if len(ours) < len(published):
        yield (
            "Where the data are not the paper's own, published values are printed for orientation only and "
            "these results neither confirm nor refute them."
        )


def _agreement(rows: Sequence[Row]) -> str:
    tested = [row for row in rows if row.agrees_size is not None]
    parts = [f"{sum(bool(row.agrees_sign) for row in rows)} of {len(rows)} rows have the published sign"]
    if tested:
        parts.append(f"in {sum(bool(row.agrees_size) for row in tested)} each mean lies in the other's interval")
        parts.append(f"{sum(bool(row.agrees_conclusion) for row in tested)} reach the published conclusion")
    return ", ".join(parts)


def hoped_word(metric: str) -> str:
    """`higher` or `lower`: which direction would be a success."""
    return "higher" if METRICS[metric].hoped == "greater" else "lower"
