"""Intervals cover what they say, on cases whose truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.studies.sensitivity import bins, blocked_share, first_order_share, regression
from sim.studies.sequential import (
    Target,
    doubt,
    first_look,
    looks,
    may_miss,
    spent_level,
    stop,
    unseen_share,
)
from sim.studies.statistics import (
    bootstrap_interval,
    bootstrap_t_bounds,
    discordant_p,
    estimate,
    holm,
    pareto_front,
    ratio_interval,
    t_interval,
    variance_reduction,
    wilson_interval,
)
from sim.studies.summary import share_text

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
    few = [bootstrap_interval(x[:8], seed=i, resamples=499) for i, x in enumerate(samples)]
    assert 0.93 <= np.mean([i.contains(5.0) for i in few]) <= 0.97
    single = bootstrap_interval(samples[0])
    low, high = bootstrap_t_bounds(samples[:1], 0.95)
    assert (single.low, single.high) == (low[0], high[0])


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


LUCK = {  # by kind: one in fifty loses ten; what is left is nothing, or a little
    "normal": (lambda r, shape: r.normal(1.0, 1.0, shape), 1.0, 0.18),
    "lognormal": (lambda r, shape: np.exp(1.5 * r.normal(size=shape)), math.exp(1.125), 1.0),
    "rare loss": (
        lambda r, shape: 0.1 * r.normal(size=shape) - 10.0 * (r.random(shape) < 0.02), -0.2, 0.25
    ),
    "rare loss alone": (lambda r, shape: -10.0 * (r.random(shape) < 0.02), -0.2, 0.25),
}  # fmt: skip


@pytest.mark.parametrize("kind", LUCK)
def test_stopping_by_itself_keeps_the_promised_coverage(kind: str) -> None:
    """Of 1,000 comparisons, 93 to 99 % end with an interval that holds the truth."""
    draw, truth, wished = LUCK[kind]
    plan = looks(first_look(0.02), 300)
    assert plan == (150, 300)
    level = spent_level(0.95, len(plan))
    x = draw(np.random.default_rng(6), (REPETITIONS, plan[-1]))
    bounds = {n: bootstrap_t_bounds(x[:, :n], level, resamples=999) for n in plan}
    covered, early = [], 0
    for i in range(len(x)):

        def narrow(n: int, i: int = i) -> bool:
            low, high = bounds[n]
            return bool((high[i] - low[i]) / 2 <= wished)

        n, _ = stop(plan, narrow)
        low, high = bounds[n]
        covered.append(low[i] <= truth <= high[i])
        early += n < plan[-1]
    assert 0.93 <= np.mean(covered) <= 0.99
    assert early > 20  # or stopping has not been tried


def test_a_plain_t_interval_at_eight_seeds_would_not_hold() -> None:
    """Why there is a first look, and a bootstrap: a loss in 2 % of seeds is not seen in eight."""
    draw, truth, _ = LUCK["rare loss"]
    x = draw(np.random.default_rng(6), (300, 8))
    assert np.mean([t_interval(row).contains(truth) for row in x]) < 0.3


def test_what_cannot_be_promised_is_said() -> None:
    assert (first_look(0.02), first_look(0.1), first_look(1.0)) == (150, 30, 16)
    assert unseen_share(150) == pytest.approx(0.02)
    assert 0.98**150 < 0.05  # the rule of three
    for share in (0.0, -1.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="must be > 0 and <= 1"):
            first_look(share)
    random = np.random.default_rng(4)
    normal = random.normal(size=150)
    assert doubt(normal, True, 0.02) == ""
    assert "32 seeds may not have seen an event that strikes up to 9.4 %" in doubt(
        normal[:32], True, 0.02
    )
    assert doubt(normal[:32], True, 0.1) == doubt(normal[:32], False, 0.02) == ""
    rare = np.where(np.arange(200) < 2, -50.0, normal[0]) + random.normal(size=200)
    for sequential in (True, False):
        assert "rests on about 2 of 200 seeds" in doubt(rare, sequential, 0.02)
    few = [doubt(random.normal(size=8), False, 0.02) for _ in range(200)]
    assert np.mean([bool(text) for text in few]) < 0.1  # no cry of wolf


@pytest.mark.parametrize(("first", "most"), [(16, 64), (30, 60)])
def test_early_looks_at_skewed_luck_say_what_they_cannot(first: int, most: int) -> None:
    """Of lognormal luck few seeds promise little: an interval that misses is nearly always told."""
    draw, truth, _ = LUCK["lognormal"]
    plan = looks(first, most)
    level = spent_level(0.95, len(plan))
    x = draw(np.random.default_rng(7), (400, most))
    bounds = {n: bootstrap_t_bounds(x[:, :n], level, resamples=499) for n in plan}
    missed, silent = 0, 0
    for i in range(len(x)):
        n, _ = stop(plan, lambda n, i=i: bool(bounds[n][1][i] - bounds[n][0][i] <= 4.0))
        if not bounds[n][0][i] <= truth <= bounds[n][1][i]:
            missed += 1
            silent += not doubt(x[i, :n], True, 3.0 / first)
    assert missed > 0.07 * len(x)  # or the words would not be needed
    assert silent <= 0.05 * len(x)
    normal = np.random.default_rng(8).normal(size=(300, first))
    assert np.mean([bool(doubt(row, True, 3.0 / first)) for row in normal]) < 0.05


def test_small_samples_say_what_they_may_miss() -> None:
    assert may_miss(8) == "which may miss skewness and what strikes under 38 % of seeds"
    assert may_miss(32, "point") == "which may miss what strikes under 9.4 % of points"
    assert may_miss(150) == ""


def test_it_stops_at_the_first_narrow_look() -> None:
    asked: list[int] = []

    def narrow(n: int) -> bool:
        asked.append(n)
        return n >= 60

    assert stop((30, 60, 100), narrow) == (60, True)
    assert asked == [30, 60]
    assert stop((30, 50), lambda n: n > 50) == (50, False)
    assert Target.of("half-width=1%") == Target(0.01, True)


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
    """Fieller's interval covers with an uncertain base; where that may be zero, it is infinite."""
    x = np.array([10.0, 20.0, 35.0, 41.0, 50.0])
    assert ratio_interval(0.5 * x, x).low == pytest.approx(0.5)
    assert ratio_interval(-0.5 * x, -x).high == pytest.approx(0.5)
    certain = ratio_interval(x, np.full(5, 2.0))  # a base that never varies only divides
    assert certain.low == pytest.approx(t_interval(x).low / 2.0)
    assert certain.high == pytest.approx(t_interval(x).high / 2.0)
    noisy = ratio_interval([6.0, 9.0, 18.0, 20.0, 26.0], x)
    assert noisy.low < 79.0 / 156.0 < noisy.high
    assert ratio_interval(x, [1.0, -1.0, 2.0, -2.0, 0.1]).high == math.inf
    random = np.random.default_rng(12)
    base = random.normal(10.0, 12.0, (REPETITIONS, 16))
    more = 3.0 + random.normal(0.0, 2.0, base.shape)
    found = [ratio_interval(a, b) for a, b in zip(more, base, strict=True)]
    assert 0.93 <= np.mean([i.contains(0.3) for i in found]) <= 0.97
    # As if the base were certain, an interval covers less.
    fixed = [t_interval(a / b.mean()) for a, b in zip(more, base, strict=True)]
    assert np.mean([i.contains(0.3) for i in fixed]) < 0.8
    again = [ratio_interval(a, b, resamples=499) for a, b in zip(more[:300], base, strict=False)]
    assert 0.90 <= np.mean([i.contains(0.3) for i in again]) <= 0.98


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
    nothing = first_order_share(np.ones(10), np.arange(10) % 2)
    assert np.isnan(nothing.value)
    assert "nan" not in share_text(nothing)
    assert "unknown" in share_text(nothing)


@pytest.mark.parametrize("n", [24, 128])
def test_a_factor_that_does_nothing_is_not_said_to(n: int) -> None:
    """Neither by the mean of its share, nor by its interval: 2.5 % of intervals leave zero out."""
    random = np.random.default_rng(n)
    found = [first_order_share(random.normal(size=n), bins(random.random(n))) for _ in range(200)]
    assert np.mean([share.told for share in found]) <= 0.05
    assert np.mean([share.p < 0.05 for share in found]) == pytest.approx(0.05, abs=0.03)
    assert all(0.0 <= s.interval.low <= s.value <= s.interval.high <= 1.0 for s in found)
    assert np.mean([share.value for share in found]) < 0.1
    skewed = [
        first_order_share(np.exp(random.normal(size=n)), np.arange(n) % 6) for _ in range(300)
    ]
    assert np.mean([share.told for share in skewed]) <= 0.05


def test_intervals_of_shares_cover_them() -> None:
    """Levels and bins, weak and strong factors: 93 to 99 %, and never without the estimate."""
    random = np.random.default_rng(11)
    for truth in (0.05, 0.3, 0.7):
        found = []
        for _ in range(200):
            x = (random.permutation(128) + random.random(128)) / 128  # as a design does
            effect = math.sqrt(12 * truth) * (x - 0.5)
            noise = math.sqrt(1 - truth) * random.normal(size=128)
            found.append(first_order_share(effect + noise, bins(x)))
        assert 0.90 <= np.mean([s.interval.contains(truth) for s in found]) <= 0.99
        assert all(s.interval.contains(s.value) for s in found)
    exact = first_order_share(np.repeat([1.0, 2.0], 4), np.repeat([0, 1], 4))
    assert (exact.value, exact.interval.low) == (1.0, 1.0)


def test_a_heavy_tail_that_breaks_intervals_of_shares_is_told() -> None:
    """F takes luck for normal: shares beside lognormal luck are covered badly, and that is said."""
    random = np.random.default_rng(14)
    spread = math.sqrt((math.exp(2.25) - 1.0) * math.exp(2.25))
    noises = {
        "normal": random.normal,
        "lognormal": lambda size: np.exp(1.5 * random.normal(size=size)),
    }
    for kind, draw in noises.items():
        found = []
        for _ in range(100):
            x = (random.permutation(128) + random.random(128)) / 128
            noise = draw(size=128) / (spread if kind == "lognormal" else 1.0)
            y = math.sqrt(12 * 0.3) * (x - 0.5) + math.sqrt(0.7) * noise
            found.append(first_order_share(y, bins(x)))
        covered = np.array([s.interval.contains(0.3) for s in found])
        heavy = np.array([s.heavy for s in found])
        if kind == "normal":
            assert heavy.mean() <= 0.05
            continue
        assert covered.mean() < 0.8
        assert (~covered & ~heavy).mean() <= 0.05
    assert "a heavy tail: cannot promise 95 %" in share_text(found[0]._replace(heavy=True))
    luck = np.exp(1.5 * random.normal(size=(3, 40)))
    assert blocked_share(luck, float(((luck - luck.mean()) ** 2).sum())).heavy


def test_shares_of_levels_under_the_same_luck() -> None:
    """A small effect beside great luck is told, an idle one is not, and luck has its share."""
    random = np.random.default_rng(13)
    covered, idle, single = [], [], []
    for _ in range(300):
        luck = random.normal(0.0, 100.0, 16)
        table = luck + np.array([[-1.0], [0.0], [1.0]]) + random.normal(0.0, 1.0, (3, 16))
        total = float(((table - table.mean()) ** 2).sum())
        share = blocked_share(table, total)
        covered.append(share.interval.contains(16 * 2.0 / total))
        assert share.interval.contains(share.value)
        idle.append(blocked_share(luck + random.normal(0.0, 1.0, (3, 16)), total).told)
        alone = first_order_share(table.ravel(), np.repeat([0, 1, 2], 16))
        single.append(alone.told)
        assert blocked_share(table.T, total).value > 0.98
    assert 0.92 <= np.mean(covered) <= 0.99
    assert np.mean(idle) <= 0.05
    assert np.mean(single) == 0.0  # which is why levels are paired
    exact = blocked_share(np.array([[1.0, 5.0], [2.0, 6.0]]), 17.0)
    assert (exact.value, exact.interval.low) == (1 / 17, 1 / 17)


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
