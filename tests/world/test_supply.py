"""Owners who run while it pays: cells, hysteresis, storms, and the chain that answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.scenario.bitcoin import Storm, SupplyCurveNetwork
from sim.scenario.model import Horizon
from sim.scenario.problems import ScenarioError
from sim.streams import Streams
from sim.units import SECONDS_PER_DAY, TH_PER_EH
from sim.world.chain import Chain
from sim.world.difficulty import btc_per_th, difficulty, next_bits
from sim.world.supply import CELLS, Owners, spread, storm_left, supply_chain

START_USD = 87_292.0
USD_PER_TH = btc_per_th(difficulty(0x1701E605), 3.145) * START_USD  # at the start of a run


class Prices:
    """A signal with one price for each day (day,); the last holds on."""

    def __init__(self, usd_per_btc: np.ndarray) -> None:
        self.usd = usd_per_btc

    def at(self, t_s: np.ndarray) -> np.ndarray:
        return self.usd[np.minimum(t_s // SECONDS_PER_DAY, len(self.usd) - 1)]


def mined(usd_per_btc: np.ndarray, seed: int = 1, **keys: Any) -> Chain:
    """The chain for as many days as there are prices."""
    network = SupplyCurveNetwork.model_validate({"model": "supply-curve", **keys})
    horizon = Horizon(days=len(usd_per_btc))
    return supply_chain(network, horizon, Prices(usd_per_btc), Streams(seed))


def level(days: int, factor: float = 1.0) -> np.ndarray:
    return np.full(days, factor * START_USD)


def fallen(days: int, day: int, factor: float) -> np.ndarray:
    """A price that falls on one day and stays there."""
    return np.where(np.arange(days) < day, START_USD, factor * START_USD)


def owners(**keys: Any) -> Owners:
    return Owners(SupplyCurveNetwork(**{"lag_days": 0.0, **keys}), USD_PER_TH)


revenues = st.lists(st.floats(0.05, 5.0), min_size=1, max_size=60)


@given(revenues, st.floats(0, 0.5), st.floats(0.01, 1), st.floats(0, 30))
def test_machines_are_neither_lost_nor_made(
    path: list[float], hysteresis: float, switched: float, lag_days: float
) -> None:
    """Installed is what was and what arrived; what runs is between nothing and that."""
    o = owners(hysteresis=hysteresis, switch_per_day=switched, lag_days=lag_days)
    fleet, before = o.installed_ths[:-1].copy(), o.installed_ths.sum()
    for revenue in path:
        o.decide(revenue * USD_PER_TH)
        assert (o.on_ths >= 0.0).all()
        assert (o.on_ths <= o.installed_ths * (1 + 1e-12)).all()
    np.testing.assert_array_equal(o.installed_ths[:-1], fleet)
    arrived_ehs = (o.installed_ths.sum() - before) / TH_PER_EH
    most_ehs = o.network.arrivals_ehs_per_year * len(path) / 365.25
    assert -1e-9 <= arrived_ehs <= most_ehs * (1 + 1e-9)
    if min(path) >= 1.0:
        assert arrived_ehs == pytest.approx(most_ehs, rel=1e-9)


@given(st.lists(st.tuples(st.floats(0.05, 3.0), st.floats(0.0, 1.0)), min_size=1, max_size=40))
def test_more_revenue_never_gives_less_hashrate(path: list[tuple[float, float]]) -> None:
    poor, rich = owners(lag_days=5.0), owners(lag_days=5.0)
    for revenue, more in path:
        poor.decide(revenue * USD_PER_TH)
        rich.decide((revenue + more) * USD_PER_TH)
        assert rich.running_ths >= poor.running_ths * (1 - 1e-12)


def test_what_runs_at_the_start_is_the_networks_hashrate() -> None:
    o = owners(power_usd_per_mwh=80.0)
    assert o.running_ths == pytest.approx(1048 * TH_PER_EH)
    assert o.installed_ths.sum() > 1.05 * o.running_ths  # those beyond breakeven wait
    assert o.on_ths[o.cost_usd_per_th > USD_PER_TH].sum() == 0.0
    with pytest.raises(ScenarioError, match="no owner runs at the start"):
        owners(power_usd_per_mwh=900.0, power_spread=0.1)


def test_cells_are_the_quantiles_of_a_lognormal() -> None:
    logarithm = np.log(spread(0.4))
    assert len(logarithm) == CELLS
    assert logarithm.mean() == pytest.approx(0.0, abs=1e-12)
    assert logarithm.std() == pytest.approx(0.4, rel=0.03)
    assert (np.diff(logarithm) > 0).all()


def test_hysteresis_is_a_loop_that_lags() -> None:
    """On the way down more runs at the same revenue than on the way up again."""
    steady = {"arrivals_ehs_per_year": 0.0, "switch_per_day": 1.0, "power_spread": 0.3}
    o = owners(hysteresis=0.15, **steady)
    down = np.linspace(1.0, 0.3, 40)
    falling, rising = [], []
    for revenue in down:
        o.decide(revenue * USD_PER_TH)
        falling.append(o.running_ths)
    for revenue in down[::-1]:
        o.decide(revenue * USD_PER_TH)
        rising.append(o.running_ths)
    gap = np.array(falling) - np.array(rising)[::-1]
    assert (gap >= 0.0).all()
    assert gap.max() > 0.1 * falling[0]
    reversible = owners(hysteresis=0.0, **steady)
    for revenue in [*down, *down[::-1]]:
        reversible.decide(revenue * USD_PER_TH)
    assert reversible.running_ths == pytest.approx(falling[0])


def test_owners_answer_late_and_step_by_step() -> None:
    """All that loses leaves as (1 - share)^days; smoothing puts the beginning off."""
    quick = {"hysteresis": 0.0, "arrivals_ehs_per_year": 0.0, "fleet_spread": 0.0}
    o = owners(switch_per_day=0.25, power_spread=0.0, **quick)
    began = o.running_ths
    for day in range(1, 6):
        o.decide(0.01 * USD_PER_TH)
        assert o.running_ths == pytest.approx(began * 0.75**day)
    slow = owners(switch_per_day=1.0, power_spread=0.0, lag_days=10.0, **quick)
    ratio = float(slow.cost_usd_per_th[0, 0]) / USD_PER_TH
    days = 0
    while slow.running_ths > 0.0:
        slow.decide(0.0)
        days += 1
    assert days == int(np.floor(-10.0 * np.log(ratio))) + 1


def test_a_storm_takes_its_share_of_the_hours_it_lasts() -> None:
    day = datetime(2026, 1, 24, tzinfo=UTC)
    storm = Storm(start_utc=day + timedelta(hours=18), hours=30, fraction=0.4)
    left = [storm_left((storm,), day + timedelta(days=k)) for k in range(-1, 4)]
    assert left == pytest.approx([1.0, 0.9, 0.6, 1.0, 1.0])
    assert storm_left((storm, storm), day + timedelta(days=1)) == pytest.approx(0.36)
    stormy = mined(level(20), storms=[{**storm.model_dump(), "start_utc": "2026-01-05T00:00:00Z"}])
    calm = mined(level(20))
    ratio = stormy.network_ths[:20] / calm.network_ths[:20]
    assert ratio[:6] == pytest.approx([1, 1, 1, 1, 0.6, 0.9])
    n = int(np.searchsorted(calm.block_s, 4 * SECONDS_PER_DAY))
    np.testing.assert_array_equal(calm.block_s[:n], stormy.block_s[:n])
    assert stormy.epoch_s[1] > calm.epoch_s[1]


def test_retargets_follow_from_the_time_stamps() -> None:
    c = mined(fallen(70, 10, 0.5), seed=3)
    for k in range(1, len(c.epoch_bits) - 1):
        first = int(c.block_s[c.epoch_height[k] - c.first_height])
        last = int(c.block_s[c.epoch_height[k + 1] - 1 - c.first_height])
        assert c.epoch_s[k + 1] == last
        assert c.epoch_bits[k + 1] == next_bits(c.epoch_bits[k], first, last)
    assert (np.diff(c.block_s) >= 0).all()
    assert (c.network_ths > 0).all()


def test_a_higher_price_never_gives_less_hashrate_until_the_difficulty_answers() -> None:
    low, high = mined(fallen(40, 3, 0.6), seed=2), mined(fallen(40, 3, 0.8), seed=2)
    before = int(min(low.epoch_s[1], high.epoch_s[1]) // SECONDS_PER_DAY)
    assert (high.network_ths[:before] >= low.network_ths[:before]).all()
    assert high.network_ths[before - 1] > low.network_ths[before - 1]
    assert high.epoch_difficulty[1] > low.epoch_difficulty[1]


def test_a_fall_slows_the_chain_and_the_retarget_lifts_the_hashprice_again() -> None:
    """Price down a half: fewer owners, a lower difficulty, then part of them are back."""
    changes, back = [], []
    for seed in range(5):
        c = mined(fallen(120, 5, 0.5), seed, arrivals_ehs_per_year=0.0)
        changes.append(c.epoch_difficulty[2] / c.epoch_difficulty[1] - 1.0)
        back.append(c.network_ths[119] / c.network_ths[:60].min())
    calm = mined(level(120), 0, arrivals_ehs_per_year=0.0)
    assert np.mean(changes) < -0.04
    assert np.mean(back) >= 1.0
    assert c.epoch_difficulty[-1] < 0.97 * calm.epoch_difficulty[-1]


def test_nobody_sees_a_price_before_its_day() -> None:
    known, other = level(60), fallen(60, 30, 0.3)
    a, b = mined(known), mined(other)
    np.testing.assert_array_equal(a.network_ths[:30], b.network_ths[:30])
    n = int(np.searchsorted(a.block_s, 30 * SECONDS_PER_DAY))
    np.testing.assert_array_equal(a.block_s[:n], b.block_s[:n])
    assert b.network_ths[35] < a.network_ths[35]
    assert (a.block_s[n : n + 2000] != b.block_s[n : n + 2000]).any()


def test_same_seed_same_chain_and_a_longer_horizon_changes_nothing() -> None:
    short, long = mined(level(20)), mined(level(60))
    n = int(np.searchsorted(short.block_s, 20 * SECONDS_PER_DAY))
    np.testing.assert_array_equal(short.block_s[:n], long.block_s[:n])
    np.testing.assert_array_equal(short.luck[:n], long.luck[:n])
    np.testing.assert_array_equal(short.block_s, mined(level(20)).block_s)
    assert (short.block_s[:n] != mined(level(20), seed=2).block_s[:n]).any()


def test_a_chain_that_nobody_mines_stands_still() -> None:
    c = mined(fallen(60, 3, 0.001), switch_per_day=1.0)
    assert (c.network_ths[5:] == 1.0).all()
    assert len(c.network_ths) > 60
    assert c.block_s[-1] < 6 * SECONDS_PER_DAY
    assert len(c.epoch_s) == 1
