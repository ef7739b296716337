"""Estimates with their uncertainty. Every interval says its method and level.

Random resampling uses documented seeds, so that the same data give the same interval.
"""

import math
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
RESAMPLES: Final = 9_999
BOOTSTRAP_SEED: Final = 20_260_101
CONSTANT: Final = 1e-12  # relative spread below which rounding is all that varies


class Interval(NamedTuple):
    """An interval estimate."""

    low: float
    high: float
    level: float
    method: str

    @property
    def half_width(self) -> float:
        """Half of the interval's length."""
        return (self.high - self.low) / 2

    def contains(self, value: float) -> bool:
        """Whether a value lies within, ends included."""
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
    seed: int = BOOTSTRAP_SEED,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean of a sample (n,), Student's t interval, BCa bootstrap interval, two-sided t test of 0.

    The difference of two policies under common random numbers is such a sample: a paired t test is
    a test of its mean. A sample of one has infinite intervals and p = 1; one whose values are all
    equal has intervals of no length.

    Raises:
        ValueError: if the sample is empty or has values that are not finite.
    """
    x = _sample(values)
    mean, sd = float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else math.nan
    return Estimate(
        n=len(x),
        mean=mean,
        sd=sd,
        t=t_interval(x, level),
        bootstrap=bootstrap_interval(x, level, seed, resamples),
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
    """Bias-corrected and accelerated (BCa) bootstrap interval of a mean.

    It needs no normal distribution, but covers less than it says for small samples (a 95 % interval
    of 8 normal values about 87 %): below some thirty values the t interval is the one to read.

    Source: B. Efron, Better Bootstrap Confidence Intervals, JASA 82 (1987) 171-185; scipy's
    implementation.
    """
    x = _sample(values)
    if len(x) < 2:
        return Interval(-math.inf, math.inf, level, "BCa bootstrap")
    if _standard_error(x) == 0.0 or not resamples:
        nothing = float(x.mean()) if resamples else math.nan
        return Interval(nothing, nothing, level, "BCa bootstrap")
    found = stats.bootstrap(
        (x,), np.mean, confidence_level=level, n_resamples=resamples, method="BCa",
        rng=np.random.default_rng(seed), vectorized=True, batch=max(1, 2_000_000 // len(x)),
    ).confidence_interval  # fmt: skip
    return Interval(float(found.low), float(found.high), level, "BCa bootstrap")


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Interval of a probability out of `successes` in `n` trials.

    Source: E. B. Wilson, Probable Inference, JASA 22 (1927) 209-212; scipy's implementation.
    """
    found = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(float(found.low), float(found.high), level, "Wilson")


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's step-down adjustment of a family of p-values (m,): adjusted p-values, in place.

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
    """Variance of a difference of independent runs / that of paired runs.

    By so many times fewer seeds a comparison under common random numbers gets on with; infinite
    where the pairs differ by a constant, NaN for fewer than two.
    """
    x, y = _sample(a), _sample(b)
    if len(x) < 2:
        return math.nan
    apart = float(x.var(ddof=1) + y.var(ddof=1))
    paired = float((x - y).var(ddof=1))
    return apart / paired if paired > CONSTANT**2 * apart else math.inf


def looks(first: int, most: int) -> tuple[int, ...]:
    """Numbers of seeds at which a sequential comparison looks: doubling, and the most."""
    counts = []
    n = min(first, most)
    while n < most:
        counts.append(n)
        n *= 2
    return (*counts, most)


def spent_level(level: float, looks_: int) -> float:
    """Level of the interval at each of several looks, so that all of them hold together.

    The error is spent in equal parts (Bonferroni): whichever look one stops at, the chance that its
    interval misses is at most 1 - `level`; less, as looks agree with each other.
    """
    return 1.0 - (1.0 - level) / looks_


def ratio_interval(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    level: float = 0.95,
    seed: int = BOOTSTRAP_SEED,
    resamples: int = RESAMPLES,
) -> Interval:
    """BCa bootstrap interval of a ratio of two means whose values come in pairs (n,)."""
    x, y = _sample(numerator), _sample(denominator)
    method = "BCa bootstrap of a ratio"
    if len(x) < 2:
        return Interval(-math.inf, math.inf, level, method)
    ratio = float(x.mean() / y.mean())
    if _standard_error(x - ratio * y) <= CONSTANT * float(np.abs(x).max()):
        return Interval(ratio, ratio, level, method)
    found = stats.bootstrap(
        (x, y), lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis), paired=True,
        vectorized=True, confidence_level=level, n_resamples=resamples, method="BCa",
        rng=np.random.default_rng(seed), batch=max(1, 2_000_000 // len(x)),
    ).confidence_interval  # fmt: skip
    return Interval(float(found.low), float(found.high), level, method)


def discordant_p(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """P-value of equal probabilities for pairs of yes (1) and no (0): exact, on those that differ.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions,
    Psychometrika 12 (1947) 153-157; exact by the binomial distribution.
    """
    x, y = _sample(a), _sample(b)
    more, less = int((x > y).sum()), int((x < y).sum())
    return float(stats.binomtest(more, more + less, 0.5).pvalue) if more + less else 1.0


class Share(NamedTuple):
    """Share of a figure's variance that one factor explains on its own."""

    value: float
    interval: Interval
    estimator: str


def first_order_share(
    y: npt.ArrayLike, groups: npt.ArrayLike, level: float = 0.95, resamples: int = 499
) -> Share:
    """First-order Sobol' index Var(E[Y | X]) / Var(Y) from given data.

    `y` (n,) are the figures, `groups` (n,) whole numbers: the level of a factor, or the bin that
    its value falls into. The estimator is epsilon squared: the correlation ratio, corrected for
    what groups explain by chance; it can be a little below zero. The interval is a percentile
    bootstrap.

    Sources: T. L. Kelley, An unbiased correlation ratio measure, PNAS 21 (1935) 554-559;
    E. Plischke et al., Global sensitivity measures from given data, EJOR 226 (2013) 536-550.
    """
    x = _sample(y)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    name = "epsilon squared"
    if len(x) <= codes.max() + 1 or x.var() <= (CONSTANT * np.abs(x).max()) ** 2:
        return Share(math.nan, Interval(math.nan, math.nan, level, "percentile bootstrap"), name)
    random = np.random.default_rng(BOOTSTRAP_SEED)
    draws = (random.integers(0, len(x), len(x)) for _ in range(resamples))
    again = np.array([_epsilon_squared(x[d], codes[d]) for d in draws])
    low, high = np.nanquantile(again, [0.5 - level / 2, 0.5 + level / 2])
    interval = Interval(float(low), float(high), level, "percentile bootstrap")
    return Share(_epsilon_squared(x, codes), interval, name)


def bins(x: npt.ArrayLike, most: int = 12) -> Ints:
    """Bins of equal count for values (n,) of a design: about the square root of n, at least two."""
    values = np.asarray(x, dtype=np.float64)
    count = int(np.clip(round(math.sqrt(len(values))), 2, most))
    ranks = stats.rankdata(values, method="ordinal") - 1
    return np.asarray(ranks * count // len(values), dtype=np.int64)


class Regression(NamedTuple):
    """A linear model of standardised values: coefficients (factor,) and what it explains."""

    coefficients: Floats
    r_squared: float


def regression(x: npt.ArrayLike, y: npt.ArrayLike) -> Regression:
    """Standardised regression coefficients of factors (n, factor) on a figure (n,).

    Their squares are shares of variance where factors are independent and the figure is linear in
    them: `r_squared` says how nearly it is.

    Source: A. Saltelli et al., Global Sensitivity Analysis: The Primer (2008), section 1.2.5.
    """
    factors = np.asarray(x, dtype=np.float64)
    target = _standardised(np.asarray(y, dtype=np.float64)[:, None])[:, 0]
    scaled = _standardised(factors)
    coefficients: Floats = np.asarray(np.linalg.lstsq(scaled, target, rcond=None)[0], np.float64)
    total = float((target**2).sum())
    missed = float(((target - scaled @ coefficients) ** 2).sum())
    return Regression(coefficients, 1.0 - missed / total if total else math.nan)


def pareto_front(values: npt.ArrayLike, senses: tuple[Literal["min", "max"], ...]) -> Any:
    """Which rows of `values` (n, criterion) no other row beats: at least as good, somewhere better.

    Returns a mask (n,). Rows with NaN are never part of the front.
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
    """Of the mean; 0 where only rounding varies."""
    sd = float(x.std(ddof=1))
    return sd / math.sqrt(len(x)) if sd > CONSTANT * float(np.abs(x).max()) else 0.0


def _p_of_zero(x: Floats) -> float:
    if len(x) < 2:
        return 1.0
    error, mean = _standard_error(x), float(x.mean())
    if error == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, len(x) - 1))


def _epsilon_squared(y: Floats, codes: Ints) -> float:
    counts = np.bincount(codes)
    there = counts > 0
    if len(y) <= there.sum():
        return math.nan
    centred = y - y.mean()
    means = np.bincount(codes, centred)[there] / counts[there]
    total = float((centred**2).sum())
    if total == 0.0:
        return math.nan
    between = float((counts[there] * means**2).sum())
    groups = int(there.sum())
    return 1.0 - (1.0 - between / total) * (len(y) - 1) / (len(y) - groups)


def _standardised(columns: Floats) -> Floats:
    spread = columns.std(axis=0)
    centred = columns - columns.mean(axis=0)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0), dtype=np.float64)
