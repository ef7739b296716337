"""Paths of the bitcoin price against the moments of their processes."""

import numpy as np
import pytest

from sim.scenario.bitcoin import GbmBtcPrice, JumpDiffusionBtcPrice
from sim.streams import Streams
from sim.units import SECONDS_PER_DAY
from sim.world.btc_price import DiffusionPrice

Diffusion = GbmBtcPrice | JumpDiffusionBtcPrice


def daily_returns(price: Diffusion, seeds: int) -> np.ndarray:
    """Logarithms of daily returns over a year, for each seed (seed, day)."""
    t_s = np.arange(366, dtype=np.int64) * SECONDS_PER_DAY
    paths = [DiffusionPrice(price, 366 * SECONDS_PER_DAY, Streams(s)).at(t_s) for s in range(seeds)]
    return np.diff(np.log(np.array(paths)), axis=1)


def test_jumps_have_the_moments_of_their_process() -> None:
    """Merton: variance is diffusion plus jumps, days are less alike, the mean keeps its drift."""
    price = JumpDiffusionBtcPrice(drift_per_year=0.3)
    returns = daily_returns(price, 120)
    jumps = price.jumps_per_year * (price.jump_mean**2 + price.jump_deviation**2)
    wanted = (price.volatility_per_year**2 + jumps) / 365.25
    assert returns.var() == pytest.approx(wanted, rel=0.02)
    fourth = 3 * price.jumps_per_year / 365.25 * price.jump_deviation**4 / wanted**2
    spread = ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2 - 3.0
    assert spread == pytest.approx(fourth, rel=0.25)
    grown = np.exp(returns.sum(axis=1))
    error = grown.std() / np.sqrt(len(grown))
    assert abs(grown.mean() - np.exp(0.3 * 365 / 365.25)) < 3.5 * error
    beyond = (np.abs(returns) > 0.08).mean() * 365.25
    assert 5.0 < beyond < 10.0  # 9.8 a year were seen, a diffusion of the same variance has 2.5


def test_without_jumps_it_is_the_diffusion() -> None:
    plain = GbmBtcPrice(volatility_per_year=0.4)
    still = JumpDiffusionBtcPrice(volatility_per_year=0.4, jumps_per_year=0.0)
    np.testing.assert_array_equal(daily_returns(plain, 2), daily_returns(still, 2))
