"""Intervals cover what they say, on cases whose truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.studies.statistics import (
    bins,
    bootstrap_interval,
    discordant_p,
    estimate,
    first_order_share,
    holm,
    looks,
    pareto_front,
    ratio_interval,
    regression,
    spent_level,
    t_interval,
    variance_reduction,
    wilson_interval,
)

REPETITIONS = 1_000


def test_a_t_interval_covers_the_mean_in_93_to_97_percent() -> None:
    random = np.random.default_rng(1)
    samples = random.normal(5.0, 2.0, (REPETITIONS, 12))
    covered = np.mean([t_interval(x).contains(5.0) for x in samples])
    assert 0.93 <= covered <= 0.97
    narrower = np.mean([t_interval(x, 0.5).contains(5.0) for x in samples])
    assert 0.46 <= narrower <= 0.54


def test_a_bootstrap_interval_covers_the_mean_in_93_to_97_percent() -> None:
    random = np.random.default_rng(2)
    samples = random.normal(5.0, 2.0, (REPETITIONS, 100))
    found = [bootstrap_interval(x, seed=i, resamples=499) for i, x in enumerate(samples)]
    assert 0.93 <= np.mean([i.contains(5.0) for i in found]) <= 0.97
    few = [bootstrap_interval(x[:8], seed=i, resamples=499) for i, x in enumerate(samples[:300])]
    assert np.mean([i.contains(5.0) for i in few]) < 0.93  # as its docstring warns


def test_paired_intervals_cover_differences_under_common_luck() -> None:
    """What all policies share cancels; what is left is covered, and pairing shows its gain."""
    random = np.random.default_rng(3)
    luck = random.normal(0.0, 10.0, (REPETITIONS, 16))
    a = 3.0 + luck + random.normal(0.0, 1.0, luck.shape)
    b = 2.0 + luck + random.normal(0.0, 1.0, luck.shape)
    found = [t_interval(x) for x in a - b]
    assert 0.93 <= np.mean([i.contains(1.0) for i in found]) <= 0.97
    gains = [variance_reduction(x, y) for x, y in zip(a, b, strict=True)]
    assert np.median(gains) == pytest.approx((2 * 100 + 2) / 2, rel=0.1)
    assert variance_reduction([1.0, 2.0, 4.0], [2.0, 3.0, 5.0]) == math.inf


def test_wilson_covers_probabilities_where_the_plain_interval_fails() -> None:
    """Exact coverage with 20 trials, in the mean over all probabilities."""
    truth, k = np.linspace(0.005, 0.995, 199)[:, None], np.arange(21)
    found = [wilson_interval(int(i), 20) for i in k]
    inside = (np.array([i.low for i in found]) <= truth) & (
        truth <= np.array([i.high for i in found])
    )
    chance = stats.binom.pmf(k, 20, truth)
    half = 1.96 * np.sqrt(k / 20 * (1 - k / 20) / 20)
    plain = np.abs(k / 20 - truth) <= half
    assert 0.93 <= (chance * inside).sum(axis=1).mean() <= 0.97
    assert (chance * plain).sum(axis=1).mean() < 0.92
    assert wilson_interval(0, 10).low == 0.0
    assert wilson_interval(0, 10).high == pytest.approx(0.2775, abs=1e-4)  # Wilson (1927)


def test_looking_again_and_again_costs_coverage_unless_the_error_is_spent() -> None:
    """Stop at the first of six looks whose interval leaves zero out, with nothing to be found."""
    plan = looks(8, 256)
    assert plan == (8, 16, 32, 64, 128, 256)
    random = np.random.default_rng(5)
    x = random.normal(0.0, 1.0, (2_000, plan[-1]))

    def misses(level: float) -> float:
        missed = np.zeros(len(x), dtype=bool)
        for n in plan:
            half = stats.t.ppf(0.5 + level / 2, n - 1) * x[:, :n].std(axis=1, ddof=1) / n**0.5
            missed |= np.abs(x[:, :n].mean(axis=1)) > half
        return float(missed.mean())

    assert misses(0.95) > 0.10
    assert misses(spent_level(0.95, len(plan))) <= 0.05
    assert looks(8, 5) == (5,)
    assert looks(8, 8) == (8,)


def test_stopping_at_a_half_width_keeps_the_promised_coverage() -> None:
    plan = looks(8, 256)
    level = spent_level(0.95, len(plan))
    random = np.random.default_rng(6)
    x = random.normal(1.0, 1.0, (2_000, plan[-1]))
    covered, open_ = np.zeros(len(x), dtype=bool), np.ones(len(x), dtype=bool)
    for n in plan:
        half = stats.t.ppf(0.5 + level / 2, n - 1) * x[:, :n].std(axis=1, ddof=1) / n**0.5
        stop = open_ & ((half <= 0.4) | (n == plan[-1]))
        covered[stop] = np.abs(x[stop, :n].mean(axis=1) - 1.0) <= half[stop]
        open_ &= ~stop
    assert covered.mean() >= 0.95


def test_p_values_agree_with_scipy_and_the_interval() -> None:
    random = np.random.default_rng(7)
    a, b = random.normal(0.0, 1.0, (2, 15))
    found = estimate(a - b)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert (found.p < 0.05) is not found.t.contains(0.0)
    assert found.t.half_width > 0
    assert estimate(a - b) == found  # the bootstrap's seed is documented


def test_samples_without_spread_or_of_one() -> None:
    same = estimate([3.0, 3.0, 3.0])
    assert (same.t.low, same.t.high, same.p) == (3.0, 3.0, 0.0)
    assert (same.bootstrap.low, same.bootstrap.high) == (3.0, 3.0)
    assert estimate([0.0, 0.0]).p == 1.0
    one = estimate([3.0])
    assert (one.t.low, one.t.high, one.p) == (-math.inf, math.inf, 1.0)
    rounding = estimate(np.array([0.1 + 0.2, 0.3, 0.3]) * 1e6)
    assert rounding.t.half_width == 0.0
    with pytest.raises(ValueError, match="finite"):
        estimate([1.0, math.nan])


def test_holm_by_hand_and_its_family_error() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    random = np.random.default_rng(8)
    p = random.random((REPETITIONS, 5))
    wrong = np.mean([(holm(row) < 0.05).any() for row in p])
    assert wrong == pytest.approx(0.05, abs=0.02)


def test_pairs_of_yes_and_no() -> None:
    a, b = np.repeat([1.0, 0.0], 8), np.zeros(16)
    assert discordant_p(a, b) == pytest.approx(2 * 0.5**8)
    assert discordant_p(a, a) == 1.0


def test_a_ratio_of_means() -> None:
    x = np.array([10.0, 20.0, 35.0, 41.0, 50.0])
    assert ratio_interval(0.5 * x, x).low == pytest.approx(0.5)
    noisy = ratio_interval([6.0, 9.0, 18.0, 20.0, 26.0], x)
    assert noisy.low < 79.0 / 156.0 < noisy.high


def test_sensitivity_of_a_known_function() -> None:
    """Y = 3 A + 1 B + noise with unit variances: shares 9/11, 1/11; what is idle has none."""
    random = np.random.default_rng(9)
    a, b, idle, noise = random.normal(size=(4, 4_000))
    y = 3 * a + b + noise
    assert first_order_share(y, bins(a)).value == pytest.approx(9 / 11, abs=0.03)
    share = first_order_share(y, bins(b))
    assert share.value == pytest.approx(1 / 11, abs=0.02)
    assert share.interval.contains(1 / 11)
    assert abs(first_order_share(y, bins(idle)).value) < 0.01
    model = regression(np.column_stack([a, b, idle]), y)
    assert model.coefficients**2 == pytest.approx([9 / 11, 1 / 11, 0.0], abs=0.03)
    assert model.r_squared == pytest.approx(10 / 11, abs=0.02)
    assert np.isnan(first_order_share(np.ones(10), np.arange(10) % 2).value)


def test_few_cells_do_not_make_a_factor_matter() -> None:
    """The plain correlation ratio of 12 groups in 24 cells is about 1/2 by chance alone."""
    random = np.random.default_rng(10)
    values = [
        first_order_share(random.normal(size=24), np.arange(24) % 12, resamples=9).value
        for _ in range(300)
    ]
    assert abs(np.mean(values)) < 0.05


def test_bins_are_of_equal_count() -> None:
    counts = np.bincount(bins(np.random.default_rng(11).random(120)))
    assert len(counts) == 11
    assert set(counts) == {10, 11}
    assert bins([3.0, 1.0]).tolist() == [1, 0]


def test_pareto_front() -> None:
    points = [[1, 1], [2, 2], [3, 1], [2, 2], [0, 3], [math.nan, 0]]
    front = pareto_front(points, ("max", "min"))
    assert front.tolist() == [False, False, True, False, False, False]
    both = pareto_front(points, ("max", "max"))
    assert both.tolist() == [False, True, True, True, True, False]
