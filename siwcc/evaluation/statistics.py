"""The paper's statistics (section 2.5) as functions of arrays, and the tests a careful reader asks for.

A difference is study minus control of one fold. Every test of differences takes the direction that
was hoped for (`greater`: study above control) and is one-sided in it, as in the paper; the
two-sided p of a symmetric test is twice the smaller one-sided p, at most 1.

Seeds are averaged within a fold before folds are paired. Two trainings that differ in the seed alone
share their training and their test data: taken as two observations they would make the interval
narrower without a new recording having been seen. Averaged, they lower the noise of each fold's
difference, and the corrected t-test of Nadeau and Bengio allows for what the folds share. What such
a test cannot see is a shift that a seed brings to every fold; `split_variance` estimates it.

Differences come from decimal logs through floating point, so that 0.1 + 0.2 - 0.3 misses zero.
Means nearer to zero than 1e-9 of the largest difference therefore count as zero: far above
rounding, far below what two logs can truly differ by.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.interpolate import UnivariateSpline

Direction = Literal["greater", "less"]
Alternative = Literal["greater", "less", "two-sided"]

SIGNIFICANCE = 0.05
MIN_EPOCHS = 5
MAX_ENUMERATED_FOLDS = 6
MAX_ENUMERATED_FLIPS = 22
DRAWS = 20_000
FLIP_DRAWS = 100_000
SEED = 42
CONCLUSIONS = {"greater": "study > control", "less": "study < control"}
NOT_SIGNIFICANT = "not significant"
NOT_TESTABLE = "no test possible"

_ZERO_OF_LARGEST = 1e-9
_ROUNDING = 1e-12
_DRAWN_ROWS = 1000


class Value(NamedTuple):
    """A number of one curve; when it is NaN or doubtful, `reason` says why."""

    value: float
    reason: str = ""


class PValue(NamedTuple):
    """A p, the Monte Carlo standard error of it (0 when exact), and the reason of a NaN."""

    p: float
    p_error: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Bootstrap:
    """Result of `paired_bootstrap`.

    Attributes:
        mean: Mean difference.
        ci_low, ci_high: 2.5th and 97.5th percentile of the resampled means.
        p: Fraction of resampled means at zero or on the wrong side of it.
        p_opposite: The same for the direction that was not hoped for.
        resamples: How many means `p` is a fraction of: n^n enumerated, or the number drawn.
        p_error: Monte Carlo standard error of `p`; 0 when enumerated.
        reason: Why all but `mean` are NaN; empty otherwise.
    """

    mean: float
    ci_low: float
    ci_high: float
    p: float
    p_opposite: float
    resamples: int
    p_error: float = 0.0
    reason: str = ""


def instability(epochs: ArrayLike, test_r2: ArrayLike) -> Value:
    """Mean squared residual of a test curve around its smoothing spline (paper, section 2.5).

    The spline is `scipy.interpolate.UnivariateSpline` with its defaults (cubic, smoothing factor =
    number of epochs): for curves of R2's size a plain cubic. The paper says "summed"; its numbers
    are means. Residuals below 1e-12 of the curve's size are rounding and count as zero.

    Args:
        epochs: (epochs,) strictly increasing; only their spacing matters.
        test_r2: (epochs,) R2 on the test fold.

    Returns:
        NaN with the reason below 5 epochs or when the curve holds a NaN or an infinity; a value
        with a reason when scipy's smoothing did not converge (first values far below zero).

    Raises:
        ValueError: lengths differ or epochs do not increase.
    """
    x, y = _curve(epochs, test_r2)
    if len(x) < MIN_EPOCHS:
        return Value(math.nan, f"instability needs at least {MIN_EPOCHS} epochs, found {len(x)}")
    if not np.isfinite(y).all():
        is_last = np.isnan(y[:-1]).all() and np.isfinite(y[-1])
        reason = (
            "only the last epoch was scored (train.scored_epochs)" if is_last else "the curve holds NaN or infinity"
        )
        return Value(math.nan, reason)
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        residuals = y - UnivariateSpline(x, y)(x)
        too_large = not np.isfinite(residuals**2).all()
    if too_large:
        return Value(math.nan, "the curve is too large for a smoothing spline")
    residuals[np.abs(residuals) <= _ROUNDING * np.abs(y).max()] = 0.0
    return Value(float(np.mean(residuals**2)), "scipy's smoothing spline did not converge" if caught else "")


def final_value(epochs: ArrayLike, values: ArrayLike) -> Value:
    """The last epoch's value (paper, section 2.5: test and train R2).

    Args:
        epochs: (epochs,) strictly increasing.
        values: (epochs,) the curve.

    Returns:
        NaN with the reason for an empty curve or one that ends in NaN or an infinity.

    Raises:
        ValueError: lengths differ or epochs do not increase.
    """
    _, y = _curve(epochs, values)
    if len(y) == 0:
        return Value(math.nan, "the curve has no epochs")
    last = float(y[-1])
    return Value(last) if math.isfinite(last) else Value(math.nan, "the last epoch is NaN or infinity")


def _curve(epochs: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = _vector(epochs), _vector(values)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} epochs for {len(y)} values")
    if not (np.diff(x) > 0).all():
        raise ValueError("epochs do not increase strictly")
    return x, y


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"one number a fold or epoch is needed, not shape {vector.shape}")
    return vector


def paired_differences(control: ArrayLike, study: ArrayLike) -> NDArray[np.float64]:
    """Study minus control, fold by fold.

    Arms that are equal up to rounding (1e-12 of their size) differ by exactly zero.

    Args:
        control: (folds,) values.
        study: (folds,) values, in the same order of folds.

    Returns:
        (folds,) differences; NaN where either arm is not finite.

    Raises:
        ValueError: the arms have different numbers of folds.
    """
    a, b = _vector(control), _vector(study)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} control folds for {len(b)} study folds")
    finite = np.isfinite(a) & np.isfinite(b)
    difference = np.full(len(a), np.nan)
    difference[finite] = b[finite] - a[finite]
    size = np.maximum(np.abs(a), np.abs(b))
    difference[finite & (np.abs(difference) <= _ROUNDING * size)] = 0.0
    return difference


def paired_bootstrap(differences: ArrayLike, hoped: Direction, draws: int = DRAWS, seed: int = SEED) -> Bootstrap:
    """Percentile interval and one-sided p of the mean difference (paper, section 2.5).

    Up to 6 folds all n^n resamples are enumerated and nothing is random; above, `draws` are drawn.
    Percentiles are numpy's linear ones over all the means.

    Args:
        differences: (folds,) study minus control.
        hoped: The direction that would be a success; a mean at zero counts against it.
        draws: Resamples above 6 folds.
        seed: Of the drawn resamples.

    Returns:
        One fold, no fold or a NaN among them: NaN with the reason. Equal arms: p = 1, interval [0, 0].
    """
    d = _vector(differences)
    mean = float(np.mean(d)) if len(d) else math.nan
    reason = _untestable(d)
    if reason:
        return Bootstrap(mean, math.nan, math.nan, math.nan, math.nan, 0, math.nan, reason)
    exact = len(d) <= MAX_ENUMERATED_FOLDS
    means = _every_mean(d) if exact else _drawn_means(d, draws, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    hits = {side: _hits_against(means, side, _zero(d)) for side in CONCLUSIONS}
    other = "less" if hoped == "greater" else "greater"
    return Bootstrap(
        mean=mean,
        ci_low=float(low),
        ci_high=float(high),
        p=hits[hoped] / len(means),
        p_opposite=hits[other] / len(means),
        resamples=len(means),
        p_error=0.0 if exact else _monte_carlo_error(hits[hoped], draws),
    )


def smallest_bootstrap_p(folds: int) -> float:
    """The resolution of `paired_bootstrap`: one resample of all it looks at. A p of 0 means less than this."""
    return 1.0 / (folds**folds if folds <= MAX_ENUMERATED_FOLDS else DRAWS)


def smallest_sign_flip_p(pairs: int) -> float:
    """The least one-sided p of `sign_flip_p`, however large the effect."""
    return 1.0 / (2**pairs if pairs <= MAX_ENUMERATED_FLIPS else FLIP_DRAWS + 1)


def _untestable(differences: NDArray[np.float64]) -> str:
    if len(differences) == 0:
        return "no fold has both arms: nothing to compare"
    if not np.isfinite(differences).all():
        return "a fold has no value: no test possible"
    return "one fold: no test possible" if len(differences) == 1 else ""


def _zero(differences: NDArray[np.float64]) -> float:
    return _ZERO_OF_LARGEST * float(np.abs(differences).max())


def _hits_against(means: NDArray[np.float64], hoped: str, zero: float) -> int:
    return int(np.count_nonzero(means <= zero if hoped == "greater" else means >= -zero))


def _every_mean(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    counts, orders = _resamples(len(differences))
    return np.repeat((counts * differences).sum(axis=1) / len(differences), orders)


@cache
def _resamples(folds: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every multiset of `folds` folds as counts (multisets, folds), and in how many orders it is drawn."""
    drawn = combinations_with_replacement(range(folds), folds)
    counts = np.array([np.bincount(folds_drawn, minlength=folds) for folds_drawn in drawn])
    orders = [math.factorial(folds) // math.prod(math.factorial(n) for n in row) for row in counts.tolist()]
    return counts, np.array(orders)


def _drawn_means(differences: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    folds = len(differences)
    sizes = [min(_DRAWN_ROWS, draws - start) for start in range(0, draws, _DRAWN_ROWS)]
    return np.concatenate([differences[rng.integers(0, folds, (rows, folds))].mean(axis=1) for rows in sizes])


def _monte_carlo_error(hits: int, draws: int) -> float:
    # With no hit, or nothing but hits, the binomial error would be 0 and pretend certainty.
    fraction = min(max(hits, 1), draws - 1) / draws
    return math.sqrt(fraction * (1 - fraction) / draws)


def sign_flip_p(differences: ArrayLike, alternative: Alternative, draws: int = FLIP_DRAWS, seed: int = SEED) -> PValue:
    """The p of `sign_flip_tests` in one direction.

    Args:
        differences: (pairs,) study minus control.
        alternative: `greater`, `less`, or `two-sided`.
        draws: Patterns above 22 pairs.
        seed: Of the drawn patterns.
    """
    return sign_flip_tests(differences, draws, seed)[alternative]


def sign_flip_tests(differences: ArrayLike, draws: int = FLIP_DRAWS, seed: int = SEED) -> dict[Alternative, PValue]:
    """Sign-flip (paired permutation) test of the mean difference, both ways and two-sided.

    Under the null hypothesis each difference could as well have had the other sign. Up to 22 pairs
    all 2^n sign patterns count: p is the fraction whose mean is at least as far out as the observed
    one and cannot fall below 2^-n. Above, `draws` patterns are drawn and the observed one is counted
    among them, so that p is never 0.

    Args:
        differences: (pairs,) study minus control.
        draws: Patterns above 22 pairs.
        seed: Of the drawn patterns.

    Returns:
        One pair, none, or a NaN among them: NaN with the reason. Equal arms: p = 1.
    """
    d = _vector(differences)
    reason = _untestable(d)
    if reason:
        return {side: PValue(math.nan, math.nan, reason) for side in get_args(Alternative)}
    exact = len(d) <= MAX_ENUMERATED_FLIPS
    above, below = _every_flip(d) if exact else _drawn_flips(d, draws, seed)
    patterns = 2 ** len(d) if exact else draws + 1
    tests: dict[Alternative, PValue] = {}
    for side, hits, tails in (("greater", above, 1), ("less", below, 1), ("two-sided", min(above, below), 2)):
        error = 0.0 if exact else tails * _monte_carlo_error(hits, patterns)
        tests[cast(Alternative, side)] = PValue(min(1.0, tails * hits / patterns), error)
    return tests


def _every_flip(differences: NDArray[np.float64]) -> tuple[int, int]:
    """Sign patterns, of all, whose sum is at least, and at most, the observed one.

    Each half of the pairs has few patterns. For every sum of one half, a binary search in the sorted
    sums of the other counts its partners; no array is longer than 2^(n/2).
    """
    observed, zero = _observed(differences)
    half = len(differences) // 2
    first, second = np.sort(_signed_sums(differences[:half])), _signed_sums(differences[half:])
    short_of = np.searchsorted(first, observed - zero - second, side="left")
    at_most = np.searchsorted(first, observed + zero - second, side="right")
    return int((len(first) - short_of).sum()), int(at_most.sum())


def _signed_sums(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _drawn_flips(differences: NDArray[np.float64], draws: int, seed: int) -> tuple[int, int]:
    """The same counts among `draws` drawn patterns and the observed one."""
    rng = np.random.default_rng(seed)
    observed, zero = _observed(differences)
    above = below = 1
    for start in range(0, draws, _DRAWN_ROWS):
        kept = rng.integers(0, 2, (min(_DRAWN_ROWS, draws - start), len(differences)), dtype=bool)
        sums = 2.0 * (kept @ differences) - observed
        above += int(np.count_nonzero(sums >= observed - zero))
        below += int(np.count_nonzero(sums <= observed + zero))
    return above, below


def _observed(differences: NDArray[np.float64]) -> tuple[float, float]:
    return float(differences.sum()), len(differences) * _zero(differences)


def corrected_t_p(differences: ArrayLike, test_train_ratio: float, alternative: Alternative) -> PValue:
    """Corrected resampled t-test of Nadeau and Bengio (Machine Learning 52, 2003, section 5.2).

    The folds share training data, so the variance of the mean is taken as (1/n + n_test/n_train)
    times the folds' variance (ddof 1), with n - 1 degrees of freedom.

    Args:
        differences: (folds,) study minus control.
        test_train_ratio: n_test/n_train, see `fold_ratio`.
        alternative: `greater` or `less`, or `two-sided`.

    Returns:
        One fold, none, or a NaN among them: NaN with the reason. Equal arms: p = 1. The same
        non-zero difference in every fold: NaN with the reason, for a variance of zero says nothing.

    Raises:
        ValueError: the ratio is not a positive number.
    """
    d = _vector(differences)
    reason = _untestable(d)
    if reason:
        return PValue(math.nan, math.nan, reason)
    if not (math.isfinite(test_train_ratio) and test_train_ratio > 0):
        raise ValueError(f"n_test/n_train must be a positive number, not {test_train_ratio}")
    if not d.any():
        return PValue(1.0)
    spread = float(d.std(ddof=1))
    if spread <= _zero(d):
        return PValue(math.nan, math.nan, "every fold differs by the same amount: no t-test possible")
    t = float(d.mean()) / (spread * math.sqrt(1 / len(d) + test_train_ratio))
    tails = {"greater": stats.t.sf(t, len(d) - 1), "less": stats.t.cdf(t, len(d) - 1)}
    return PValue(float(2 * min(tails.values()) if alternative == "two-sided" else tails[alternative]))


def fold_ratio(fold_sizes: Sequence[int]) -> float:
    """n_test/n_train of a cross-validation, averaged over its folds; 1/(k - 1) for k equal folds.

    Args:
        fold_sizes: Samples of every fold of the study, whether or not it has been run.

    Raises:
        ValueError: fewer than two folds or an empty one.
    """
    if len(fold_sizes) < 2 or min(fold_sizes) < 1:
        raise ValueError(f"two or more folds with samples are needed, not {list(fold_sizes)}")
    total = sum(fold_sizes)
    return math.fsum(size / (total - size) for size in fold_sizes) / len(fold_sizes)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979).

    Args:
        p_values: (tests,) p of one family; NaN is a test that was not done and does not count.

    Returns:
        (tests,) adjusted p in the same order, at most 1; NaN where NaN was given.
    """
    p = _vector(p_values)
    done = np.flatnonzero(~np.isnan(p))
    rising = done[np.argsort(p[done], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[rising] = np.minimum(np.maximum.accumulate(p[rising] * np.arange(len(rising), 0, -1)), 1.0)
    return adjusted


def conclusion(p: float, resamples: int, direction: Direction) -> str:
    """What the paper's table concludes from a bootstrap p at 0.05.

    A p of 0 only says "below one in `resamples`", and is taken as that: two folds have four
    resamples and can never be significant.

    Args:
        p: Fraction of resampled means at zero or on the wrong side of `direction`.
        resamples: What it is a fraction of.
        direction: The direction that p speaks for.

    Returns:
        `study > control`, `study < control`, `not significant`; `no test possible` for NaN.
    """
    if math.isnan(p):
        return NOT_TESTABLE
    return CONCLUSIONS[direction] if max(p, 1 / resamples) < SIGNIFICANCE else NOT_SIGNIFICANT


def opposite_conclusion(bootstrap: Bootstrap, hoped: Direction) -> str:
    """A significant difference the other way, which the paper's table cannot show; else empty."""
    other: Direction = "less" if hoped == "greater" else "greater"
    found = conclusion(bootstrap.p_opposite, bootstrap.resamples, other)
    return found if found == CONCLUSIONS[other] else ""


@dataclass(frozen=True)
class VarianceSplit:
    """Result of `split_variance`; an estimate below zero stays as it came out.

    Attributes:
        mean: Over all cells.
        fold, seed, residual: Estimated variance components, in the square of the table's unit.
        reason: Why the components are NaN; empty otherwise.
    """

    mean: float
    fold: float
    seed: float
    residual: float
    reason: str = ""


def split_variance(table: ArrayLike) -> VarianceSplit:
    """Variance of one number between folds, between seeds, and what neither explains.

    Every seed is trained on every fold, so the cells are y = mean + fold + seed + residual, two
    crossed random effects with one observation a cell (Searle, Casella and McCulloch, Variance
    Components, 1992, chapter 4). The components are the unbiased ANOVA estimates

        residual = MS_residual,  fold = (MS_fold - MS_residual) / seeds,  seed = (MS_seed - MS_residual) / folds

    and those of fold and seed can come out negative where the truth is near zero. The residual
    holds what a seed does to one fold alone.

    Args:
        table: (folds, seeds).

    Returns:
        NaN with the reason for a single fold or seed, or a table with a hole in it.

    Raises:
        ValueError: not a table.
    """
    cells = np.asarray(table, dtype=np.float64)
    if cells.ndim != 2 or not cells.size:
        raise ValueError(f"a table of folds and seeds is needed, not shape {cells.shape}")
    folds, seeds = cells.shape
    mean = float(cells.mean())
    reason = _not_splittable(cells)
    if reason:
        return VarianceSplit(mean, math.nan, math.nan, math.nan, reason)
    of_fold, of_seed = cells.mean(axis=1), cells.mean(axis=0)
    rest = cells - of_fold[:, np.newaxis] - of_seed + mean
    residual = float((rest**2).sum()) / ((folds - 1) * (seeds - 1))
    between_folds, between_seeds = float(of_fold.var(ddof=1)), float(of_seed.var(ddof=1))
    return VarianceSplit(mean, between_folds - residual / seeds, between_seeds - residual / folds, residual)


def _not_splittable(cells: NDArray[np.float64]) -> str:
    for count, name in zip(cells.shape, ("fold", "seed"), strict=True):
        if count == 1:
            return f"one {name}: folds and seeds cannot be told apart"
    return "" if np.isfinite(cells).all() else "a run has no value: no split possible"
