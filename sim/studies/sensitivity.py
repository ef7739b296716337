"""Sensitivity of a figure to factors, as shares of variance with significance."""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from sim.studies.statistics import (
    CONSTANT,
    Interval,
)
from sim.types import Floats, Ints

LEVEL: Final = 0.95  # confidence level of all intervals of shares
MOST_BINS: Final = 12
METHOD: Final = "noncentral F"
ESTIMATOR: Final = "epsilon squared"


class Share(NamedTuple):
    """Share of a figure's variance that one factor explains on its own."""

    value: float  # 0 to 1, within its interval
    interval: Interval
    estimator: str
    p: float  # p-value of a zero share
    heavy: bool = False  # heavy-tailed luck: the interval may cover less than its level

    @property
    def told(self) -> bool:
        """Whether it differs significantly from zero."""
        return self.interval.low > 0.0


def first_order_share(y: npt.ArrayLike, groups: npt.ArrayLike) -> Share:
    """First-order Sobol' index Var(E[Y | X]) / Var(Y) from given data.

    `y` (n,) are the figures, `groups` (n,) integers: the level of a factor, or the bin of its
    value. The estimator is epsilon squared: the correlation ratio, corrected for what groups
    explain by chance and clipped at zero. The interval is that of the non-centrality of the F test:
    for a factor without effect it begins above zero in (1 - LEVEL) / 2 of cases.

    Values are assumed evenly spread, as in designs and axes, and luck normal. With heavy-tailed
    luck, factors with and without effect are still told apart, but the interval may cover less than
    its level; `heavy` is then set.

    Sources: T. L. Kelley, An unbiased correlation ratio measure, PNAS 21 (1935) 554-559;
    E. Plischke et al., Global sensitivity measures from given data, EJOR 226 (2013) 536-550;
    J. H. Steiger, Beyond the F test, Psychological Methods 9 (2004) 164-182: the interval.
    """
    x = np.asarray(y, dtype=np.float64)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    n, count = len(x), int(codes.max()) + 1
    if n <= count or count < 2 or x.var() <= (CONSTANT * np.abs(x).max()) ** 2:
        nothing = Interval(math.nan, math.nan, LEVEL, METHOD)
        return Share(math.nan, nothing, ESTIMATOR, 1.0)
    explained = _explained(x, codes)
    if explained >= 1.0 - CONSTANT:
        return Share(1.0, Interval(1.0, 1.0, LEVEL, METHOD), ESTIMATOR, 0.0)
    top, bottom = count - 1, n - count
    f = explained / top / ((1.0 - explained) / bottom)
    value = min(max(1.0 - (1.0 - explained) * (n - 1) / bottom, 0.0), 1.0)
    ends = [_non_centrality(f, top, bottom, 0.5 + side * LEVEL / 2) for side in (1.0, -1.0)]
    low, high = (end / (end + n) for end in ends)
    interval = Interval(min(low, value), max(high, value), LEVEL, METHOD)
    heavy = _heavy(x - (np.bincount(codes, x) / np.bincount(codes))[codes])
    return Share(value, interval, ESTIMATOR, float(stats.f.sf(f, top, bottom)), heavy)


def blocked_share(table: Floats, total: float, cells: int = 1) -> Share:
    """Share of the variance of all cells that the levels of one factor explain.

    `table` (level, block) are means over `cells` cells each; a block (a seed, or a point of a
    design) keeps everything else equal. The effect of a level that is common to all blocks is the
    factor's; the interaction is the error (two-way analysis of variance), so luck common to all
    levels does not widen the interval. `total` is the sum of squares of all cells about their mean.
    If levels differ by the same amount in every block, the share is exact.

    Source: H. Scheffe, The Analysis of Variance (1959), section 8.1; interval as above.
    """
    levels, blocks = table.shape
    top, bottom = levels - 1, (levels - 1) * (blocks - 1)
    unknown = Interval(math.nan, math.nan, LEVEL, METHOD)
    if top < 1 or bottom < 1 or not total > (CONSTANT * np.abs(table).max()) ** 2:
        return Share(math.nan, unknown, ESTIMATOR, 1.0)
    mean, by_level, by_block = table.mean(), table.mean(axis=1), table.mean(axis=0)
    between = cells * blocks * float(((by_level - mean) ** 2).sum())
    left = table - by_level[:, None] - by_block + mean
    noise = cells * float((left**2).sum()) / bottom
    if noise <= CONSTANT * total:
        exact = min(between / total, 1.0) if between > CONSTANT * total else 0.0
        return Share(exact, Interval(exact, exact, LEVEL, METHOD), ESTIMATOR, float(exact == 0.0))
    f = between / top / noise
    value = min(max(between - top * noise, 0.0) / total, 1.0)
    ends = [_non_centrality(f, top, bottom, 0.5 + side * LEVEL / 2) for side in (1.0, -1.0)]
    low, high = (min(end * noise / total, 1.0) for end in ends)
    interval = Interval(min(low, value), max(high, value), LEVEL, METHOD)
    return Share(value, interval, ESTIMATOR, float(stats.f.sf(f, top, bottom)), _heavy(left))


def _heavy(residuals: Floats) -> bool:
    """Whether residuals are so heavy-tailed that F understates the uncertainty of their variance.

    An excess kurtosis of 1 widens the standard error of a variance by a fifth; values within three
    of its own standard errors, sqrt(24 / n), are not significant.

    Source: H. Scheffe, The Analysis of Variance (1959), section 10.2.
    """
    excess = float(stats.kurtosis(residuals, axis=None))
    return excess > max(1.0, 3.0 * math.sqrt(24.0 / residuals.size))


def _non_centrality(f: float, top: int, bottom: int, chance: float) -> float:
    """The non-centrality at which an F statistic is at most `f` with probability `chance`."""

    def missed(centre: float) -> float:
        return float(stats.ncf.cdf(f, top, bottom, centre)) - chance

    if float(stats.f.cdf(f, top, bottom)) <= chance:
        return 0.0
    most = 10.0 + 4.0 * f * top
    while missed(most) > 0.0:
        most *= 2.0
    return float(optimize.brentq(missed, 1e-12, most, xtol=1e-6))


def bins(x: npt.ArrayLike) -> Ints:
    """Equal-count bins for values (n,) of a design: about sqrt(n) bins, at least two."""
    values = np.asarray(x, dtype=np.float64)
    count = int(np.clip(round(math.sqrt(len(values))), 2, MOST_BINS))
    ranks = stats.rankdata(values, method="ordinal") - 1
    return np.asarray(ranks * count // len(values), dtype=np.int64)


class Regression(NamedTuple):
    """A linear model of standardised values: coefficients (factor,) and R squared."""

    coefficients: Floats
    r_squared: float


def regression(x: npt.ArrayLike, y: npt.ArrayLike) -> Regression:
    """Standardised regression coefficients of factors (n, factor) on a figure (n,).

    Their squares are shares of variance if factors are independent and the figure is linear in
    them; `r_squared` measures how nearly it is.

    Source: A. Saltelli et al., Global Sensitivity Analysis: The Primer (2008), section 1.2.5.
    """
    factors = np.asarray(x, dtype=np.float64)
    target = _standardised(np.asarray(y, dtype=np.float64)[:, None])[:, 0]
    scaled = _standardised(factors)
    coefficients: Floats = np.asarray(np.linalg.lstsq(scaled, target, rcond=None)[0], np.float64)
    total = float((target**2).sum())
    missed = float(((target - scaled @ coefficients) ** 2).sum())
    return Regression(coefficients, 1.0 - missed / total if total else math.nan)


def _explained(y: Floats, codes: Ints) -> float:
    """The correlation ratio: sum of squares between groups over the total."""
    counts = np.bincount(codes)
    centred = y - y.mean()
    means = np.bincount(codes, centred) / counts
    return float((counts * means**2).sum() / (centred**2).sum())


def _standardised(columns: Floats) -> Floats:
    spread = columns.std(axis=0)
    centred = columns - columns.mean(axis=0)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0), dtype=np.float64)
