"""Estimates with their uncertainty. Every interval carries its method and level.

Resampling uses fixed, documented seeds, so the same data give the same interval.
"""

import math
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from sim.types import Floats

RESAMPLES: Final = 9_999
BOOTSTRAP_SEED: Final = 20_260_101
DRAWN_AT_ONCE: Final = 2_000_000  # numbers, to bound memory
BOOTSTRAP_T: Final = "bootstrap-t"
CONSTANT: Final = 1e-12  # relative spread below which all variation is rounding


class Interval(NamedTuple):
    """An interval estimate."""

    low: float
    high: float
    level: float
    method: str

    @property
    def half_width(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2

    def contains(self, value: float) -> bool:
        """Whether a value lies within the interval, ends included."""
        return self.low <= value <= self.high


class Estimate(NamedTuple):
    """A mean with two intervals, and the p-value of the hypothesis that it is zero."""

    n: int
    mean: float
    sd: float
    t: Interval
    bootstrap: Interval
    p: float


def estimate(
    values: npt.ArrayLike,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean of a sample (n,), Student's t and bootstrap-t intervals, two-sided t test of 0.

    Differences of two policies under common random numbers are such a sample; the t test of their
    mean is the paired t test. A sample of one has infinite intervals and p = 1; a constant sample
    has intervals of zero length.

    Raises:
        ValueError: if the sample is empty or has non-finite values.
    """
    x = _sample(values)
    mean, sd = float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else math.nan
    return Estimate(
        n=len(x),
        mean=mean,
        sd=sd,
        t=t_interval(x, level),
        bootstrap=bootstrap_interval(x, level, BOOTSTRAP_SEED, resamples),
        p=_p_of_zero(x),
    )


def t_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval of a mean."""
    x = _sample(values)
    if len(x) < 2:
        return Interval(-math.inf, math.inf, level, "t")
    half = float(stats.t.ppf(0.5 + level / 2, len(x) - 1)) * _standard_error(x)
    return Interval(float(x.mean()) - half, float(x.mean()) + half, level, "t")


def bootstrap_interval(
    values: npt.ArrayLike,
    level: float = 0.95,
    seed: int = BOOTSTRAP_SEED,
    resamples: int = RESAMPLES,
) -> Interval:
    """Bootstrap-t interval of a mean.

    Quantiles of (resampled mean - mean) / its standard error replace those of Student's t, which
    corrects for skewness to second order. If few seeds carry the spread, some resamples miss them,
    and the interval becomes wide or infinite on that side: the tail has not been seen. Below about
    ten values it is much wider than the t interval.

    Source: P. Hall, Theoretical comparison of bootstrap confidence intervals, Ann. Statist. 16
    (1988) 927-953; B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), section 12.5.
    """
    x = _sample(values)
    if len(x) < 2:
        return Interval(-math.inf, math.inf, level, BOOTSTRAP_T)
    if not resamples:
        return Interval(math.nan, math.nan, level, BOOTSTRAP_T)
    low, high = bootstrap_t_bounds(x[None, :], level, seed, resamples)
    return Interval(float(low[0]), float(high[0]), level, BOOTSTRAP_T)


def bootstrap_t_bounds(
    samples: Floats, level: float, seed: int = BOOTSTRAP_SEED, resamples: int = RESAMPLES
) -> tuple[Floats, Floats]:
    """Bootstrap-t bounds (sample,) of the means of many samples (sample, n), same resamples."""
    least, most = _bootstrap_t(samples, level, seed, resamples)
    mean = samples.mean(axis=1)
    error = np.array([_standard_error(x) for x in samples])
    with np.errstate(invalid="ignore"):  # a sample without spread has infinite quantiles
        low = np.where(error > 0.0, mean - most * error, mean)
        high = np.where(error > 0.0, mean - least * error, mean)
    return low, high


def _bootstrap_t(samples: Floats, level: float, seed: int, resamples: int) -> tuple[Floats, Floats]:
    """Lower and upper quantile (sample,) of resampled t statistics; infinite where unknown."""
    n = samples.shape[1]
    random = np.random.default_rng(seed)
    centred = samples - samples.mean(axis=1, keepdims=True)
    scale = np.maximum(np.abs(centred).max(axis=1), np.finfo(float).tiny)
    x = (centred / scale[:, None]).T
    pivots = []
    rows = max(1, DRAWN_AT_ONCE // n)
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        index = random.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        weight = np.bincount(index.ravel(), minlength=count * n).reshape(count, n) / n
        mean = weight @ x
        spread = np.maximum(weight @ x**2 - mean**2, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            pivot = mean / np.sqrt(spread / (n - 1))
        # A constant resample has no standard error: its t is infinite, unless it is at the mean.
        bare = spread <= CONSTANT
        pivot[bare] = np.where(np.abs(mean[bare]) > CONSTANT, np.copysign(np.inf, mean[bare]), 0.0)
        pivots.append(pivot)
    ordered = np.sort(np.concatenate(pivots), axis=0)
    k = max(int((resamples + 1) * (1.0 - level) / 2 + 1e-9), 1)
    return ordered[k - 1], ordered[resamples - k]


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson interval of a probability from `successes` in `n` trials.

    Source: E. B. Wilson, Probable Inference, JASA 22 (1927) 209-212; scipy's implementation.
    """
    found = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(float(found.low), float(found.high), level, "Wilson")


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's step-down adjustment of a family of p-values (m,), returned in the order given.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6
    (1979) 65-70.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def variance_reduction(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Variance of the difference of independent runs over that of paired runs.

    This is the factor by which common random numbers reduce the seeds needed. Infinite if the pairs
    differ by a constant, NaN for fewer than two.
    """
    x, y = _sample(a), _sample(b)
    if len(x) < 2:
        return math.nan
    apart = float(x.var(ddof=1) + y.var(ddof=1))
    paired = float((x - y).var(ddof=1))
    return apart / paired if paired > CONSTANT**2 * apart else math.inf


def ratio_interval(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    level: float = 0.95,
    resamples: int = 0,
) -> Interval:
    """Fieller's interval of a ratio of two means of paired values (n,).

    The denominator is uncertain too. If it is not significantly different from zero, the interval
    is infinite. With `resamples` the quantiles are those of the bootstrap-t of
    numerator - ratio * denominator instead of Student's.

    Source: E. C. Fieller, Some problems in interval estimation, JRSS B 16 (1954) 175-185.
    """
    x, y = _sample(numerator), _sample(denominator)
    method = "Fieller, bootstrap-t" if resamples else "Fieller"
    anything = Interval(-math.inf, math.inf, level, method)
    mean_x, mean_y = float(x.mean()), float(y.mean())
    if len(x) < 2 or mean_y == 0.0:
        return anything
    if mean_y < 0.0:  # flip both signs: the same ratio
        x, y, mean_x, mean_y = -x, -y, -mean_x, -mean_y
    ratio = mean_x / mean_y
    left = x - ratio * y
    if _standard_error(left) <= CONSTANT * float(np.abs(x).max()):
        return Interval(ratio, ratio, level, method)
    if resamples:
        found = _bootstrap_t(left[None, :], level, BOOTSTRAP_SEED, resamples)
        least, most = float(found[0][0]), float(found[1][0])
    else:
        most = float(stats.t.ppf(0.5 + level / 2, len(x) - 1))
        least = -most
    variance = np.cov(x, y) / len(x)
    ends = []
    for quantile, side in ((most, -1.0), (least, 1.0)):
        squared = quantile**2
        lead = mean_y**2 - squared * float(variance[1, 1])
        if not (math.isfinite(squared) and lead > 0.0):
            return anything
        middle = mean_x * mean_y - squared * float(variance[0, 1])
        inside = middle**2 - lead * (mean_x**2 - squared * float(variance[0, 0]))
        ends.append((middle + side * math.sqrt(max(inside, 0.0))) / lead)
    return Interval(ends[0], ends[1], level, method)


def tail_seeds(values: npt.ArrayLike) -> float:
    """Approximate number of values (n,) that make up the longer tail: n / skewness squared.

    A rare event in k of n values gives nearly n / g^2 = k. A normal distribution gives infinity, or
    at least about a dozen in a small sample.
    """
    x = _sample(values)
    if len(x) < 3 or _standard_error(x) == 0.0:
        return math.inf
    skewness = float(stats.skew(x))
    return len(x) / skewness**2 if skewness else math.inf


def discordant_p(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Exact p-value of equal probabilities for paired yes (1) and no (0), from discordant pairs.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions,
    Psychometrika 12 (1947) 153-157; exact by the binomial distribution.
    """
    x, y = _sample(a), _sample(b)
    more, less = int((x > y).sum()), int((x < y).sum())
    return float(stats.binomtest(more, more + less, 0.5).pvalue) if more + less else 1.0


def pareto_front(values: npt.ArrayLike, senses: tuple[Literal["min", "max"], ...]) -> Any:
    """Mask (n,) of the rows of `values` (n, criterion) that no other row dominates.

    A row dominates if it is at least as good in all criteria and better in one. Rows with NaN are
    never part of the front.
    """
    signs = np.array([1.0 if sense == "max" else -1.0 for sense in senses])
    gains = np.asarray(values, dtype=np.float64) * signs
    known = ~np.isnan(gains).any(axis=1)
    front = known.copy()
    for i in np.flatnonzero(known):
        others = gains[known]
        beaten = (others >= gains[i]).all(axis=1) & (others > gains[i]).any(axis=1)
        front[i] = not beaten.any()
    return front


def _sample(values: npt.ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"a sample of shape {x.shape}: allowed: one axis of finite numbers")
    return x


def _standard_error(x: Floats) -> float:
    """Standard error of the mean; 0 where only rounding varies."""
    sd = float(x.std(ddof=1))
    return sd / math.sqrt(len(x)) if sd > CONSTANT * float(np.abs(x).max()) else 0.0


def _p_of_zero(x: Floats) -> float:
    if len(x) < 2:
        return 1.0
    error, mean = _standard_error(x), float(x.mean())
    if error == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, len(x) - 1))
