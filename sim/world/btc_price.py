"""The bitcoin price over a run: constant, simulated, or recorded.

A recorded price is known from its instant on. A close is known from the end of its row: a day's
close has no effect within the day.
"""

from typing import Final

import numpy as np

from sim.scenario.bitcoin import (
    BootstrapBtcPrice,
    BtcPrice,
    ConstantBtcPrice,
    GbmBtcPrice,
    Intraday,
    JumpDiffusionBtcPrice,
    ReplayBtcPrice,
)
from sim.scenario.scenario import Scenario
from sim.scenario.series import Series
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_HOUR
from sim.world.bootstrap import drawn_days, growth_path
from sim.world.luck import LUCK_BLOCK_DAYS
from sim.world.signals import Constant, Replay, Signal

HOURS_PER_DAY: Final = 24
HOURS_PER_YEAR: Final = HOURS_PER_DAY * DAYS_PER_YEAR


def btc_signal(scenario: Scenario, streams: Streams) -> Signal:
    """The price of a bitcoin [USD/BTC]."""
    price: BtcPrice = scenario.btc_price
    horizon = scenario.horizon
    if isinstance(price, ReplayBtcPrice):
        series = scenario.recorded[price.series]
        start_s = round(horizon.start_utc.timestamp())
        if series.kind == "typical-year":  # no calendar: each holds from its hour on
            return Replay(series, price.column, start_s)
        return recorded_price(price, series, start_s, horizon.seconds, streams)
    if isinstance(price, ConstantBtcPrice):
        return Constant(price.usd_per_btc)
    if isinstance(price, BootstrapBtcPrice):
        recorded = scenario.recorded[price.series]
        return bootstrap_price(price, recorded, horizon.seconds, streams)
    return DiffusionPrice(price, horizon.seconds, streams)


class Quotes:
    """Prices at instants. Between two of them the earlier holds, or a bridge leads to the later.

    `at_s` (quote,) are run seconds, ascending. Before the first quote its price applies, since
    nothing else is known; the scenario warns of this. `whose_s` is added to `at_s` to key the
    random draws of a bridge, so that they belong to the hour of the calendar.
    """

    def __init__(
        self, at_s: Ints, usd: Floats, intraday: Intraday, streams: Streams, whose_s: int
    ) -> None:
        if intraday.intraday == "bridge":
            at_s, usd = _bridged(at_s, usd, intraday.bridge_volatility_per_year, streams, whose_s)
        self.at_s = at_s
        self.usd = usd

    def at(self, t_s: Ints) -> Floats:
        """Price [USD/BTC]."""
        row = np.searchsorted(self.at_s, t_s, side="right") - 1
        return np.asarray(self.usd[np.maximum(row, 0)], dtype=np.float64)


def _bridged(
    at_s: Ints, usd: Floats, volatility_per_year: float, streams: Streams, whose_s: int
) -> tuple[Ints, Floats]:
    """Quotes with hourly ones inserted between those that lie further apart."""
    times, prices = [], []
    log = np.log(usd)
    per_hour = volatility_per_year / np.sqrt(HOURS_PER_YEAR)
    for k in range(len(at_s) - 1):
        hours = max(int(at_s[k + 1] - at_s[k]) // SECONDS_PER_HOUR, 1)
        draw = streams.generator("btc-bridge", day=(int(at_s[k]) + whose_s) // SECONDS_PER_HOUR)
        walk = np.concatenate([[0.0], np.cumsum(per_hour * draw.standard_normal(hours))])
        share = np.arange(hours) / hours
        path = log[k] + share * (log[k + 1] - log[k]) + walk[:-1] - share * walk[-1]
        times.append(at_s[k] + np.arange(hours) * SECONDS_PER_HOUR)
        prices.append(np.concatenate([usd[k : k + 1], np.exp(path[1:])]))
    return np.concatenate([*times, at_s[-1:]]), np.concatenate([*prices, usd[-1:]])


def recorded_price(
    price: ReplayBtcPrice, series: Series, start_s: int, seconds: int, streams: Streams
) -> Quotes:
    """A recorded price from the last one known at the start (Unix s) to the first after the end."""
    usd = series.column(price.column)
    there = np.isfinite(usd)
    at_end = price.at_end and series.kind == "regular"
    at_s = (series.start_s + (series.length_s if at_end else 0) - start_s)[there]
    first = max(int(np.searchsorted(at_s, 0, side="right")) - 1, 0)
    last = int(np.searchsorted(at_s, seconds)) + 1
    return Quotes(at_s[first:last], usd[there][first:last], price, streams, start_s)


def bootstrap_price(
    price: BootstrapBtcPrice, series: Series, horizon_s: int, streams: Streams
) -> Quotes:
    """The starting price, moved by the returns of drawn days, each in force from its day's end."""
    first, last = price.rows(series.start_s)
    usd = series.column(price.column)[first - 1 : last]
    count = horizon_s // SECONDS_PER_DAY + 2
    days = drawn_days(price, series, count, streams)
    closes = growth_path(np.log(usd), days)
    grown = np.concatenate([[1.0], closes * usd[days[0]] / usd[days[0] - 1]])
    at_s = np.arange(count + 1, dtype=np.int64) * SECONDS_PER_DAY
    return Quotes(at_s, price.usd_per_btc * grown, price, streams, 0)


class DiffusionPrice:
    """A diffusion of the log price, with or without jumps, constant within the hour.

    The drift is that of the mean, jumps included. Jumps have a random stream of their own, so that
    the diffusion is the same with and without them.
    """

    def __init__(
        self, price: GbmBtcPrice | JumpDiffusionBtcPrice, horizon_s: int, streams: Streams
    ) -> None:
        blocks = horizon_s // (LUCK_BLOCK_DAYS * SECONDS_PER_DAY) + 1
        size = LUCK_BLOCK_DAYS * HOURS_PER_DAY
        days = [b * LUCK_BLOCK_DAYS for b in range(blocks)]
        hour_years = 1.0 / (HOURS_PER_DAY * DAYS_PER_YEAR)
        shocks = np.concatenate(
            [streams.generator("btc-price", day=day).standard_normal(size) for day in days]
        )
        drift = (price.drift_per_year - 0.5 * price.volatility_per_year**2) * hour_years
        steps = drift + price.volatility_per_year * np.sqrt(hour_years) * shocks
        if isinstance(price, JumpDiffusionBtcPrice):
            rate = price.jumps_per_year * hour_years
            grown = np.exp(price.jump_mean + 0.5 * price.jump_deviation**2) - 1.0
            steps += np.concatenate([self._jumps(price, rate, size, streams, d) for d in days])
            steps -= rate * grown
        self.usd = price.usd_per_btc * np.exp(np.concatenate([[0.0], np.cumsum(steps[:-1])]))

    @staticmethod
    def _jumps(
        price: JumpDiffusionBtcPrice, rate: float, size: int, streams: Streams, day: int
    ) -> Floats:
        draw = streams.generator("btc-jumps", day=day)
        count = draw.poisson(rate, size)
        spread = np.sqrt(count) * price.jump_deviation
        return np.asarray(count * price.jump_mean + spread * draw.standard_normal(size))

    def at(self, t_s: Ints) -> Floats:
        """Price [USD/BTC]."""
        return np.asarray(self.usd[t_s // SECONDS_PER_HOUR], dtype=np.float64)
