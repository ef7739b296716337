"""Signals of the world over the horizon: what holds at an instant, `at`; what is billed, `mean`.

An energy price, a load, a temperature act through the whole control step: their mean counts. A
price of bitcoin is one at which somebody trades: it holds at an instant.
"""

from typing import Final, Protocol

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.kernels.thermal import wet_bulbs_of
from sim.scenario.bitcoin import (
    BootstrapBtcPrice,
    BtcPrice,
    ConstantBtcPrice,
    GbmBtcPrice,
    JumpDiffusionBtcPrice,
    ReplayBtcPrice,
)
from sim.scenario.model import DcOpfPrice, FixedPrice, ReplayPrice, ReplayWeather
from sim.scenario.rows import Site
from sim.scenario.scenario import Scenario
from sim.scenario.series import Series
from sim.streams import Streams
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_HOUR
from sim.world.bootstrap import BootstrapPrice
from sim.world.luck import LUCK_BLOCK_DAYS
from sim.world.prices import SeasonalJumpPrice, load_price_profiles
from sim.world.weather import SeasonalTemperature, load_climates

HOURS_PER_DAY: Final = 24


class Signal(Protocol):
    """A value over time."""

    def at(self, t_s: Ints) -> Floats:
        """Values at the given run seconds (instant,)."""
        ...


class Flow(Protocol):
    """A value that is billed over an interval: what counts is its mean."""

    def mean(self, t_s: Ints, step_s: int) -> Floats:
        """Means over `step_s` seconds from the given run seconds on (instant,)."""
        ...


class Constant:
    """A value that never changes."""

    def __init__(self, value: float) -> None:
        self.value = value

    def at(self, t_s: Ints) -> Floats:
        """The value, at every instant."""
        return np.full(len(t_s), self.value)

    def mean(self, t_s: Ints, step_s: int) -> Floats:
        """The value, over every interval."""
        return self.at(t_s)


class Replay:
    """A column of a recorded series."""

    def __init__(self, series: Series, column: str, start_unix_s: int) -> None:
        self.series = series
        self.column = column
        self.start_unix_s = start_unix_s

    def at(self, t_s: Ints) -> Floats:
        """The recorded values in force."""
        return self.series.sample(self.column, t_s + self.start_unix_s)

    def mean(self, t_s: Ints, step_s: int) -> Floats:
        """Time-weighted means of the recorded values."""
        return self.series.mean(self.column, t_s + self.start_unix_s, step_s)


class DiffusionPrice:
    """A diffusion of the logarithm, with jumps or without, constant within the hour.

    Drift is that of the mean, jumps included. Jumps have luck of their own, so that the diffusion
    is the same with them and without.
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


def btc_signal(scenario: Scenario, streams: Streams) -> Signal:
    """The price of a bitcoin [USD/BTC]."""
    price: BtcPrice = scenario.btc_price
    if isinstance(price, ReplayBtcPrice):
        return Replay(scenario.recorded[price.series], price.column, _start(scenario))
    if isinstance(price, ConstantBtcPrice):
        return Constant(price.usd_per_btc)
    if isinstance(price, BootstrapBtcPrice):
        recorded = scenario.recorded[price.series]
        return BootstrapPrice(price, recorded, scenario.horizon.seconds, streams)
    return DiffusionPrice(price, scenario.horizon.seconds, streams)


def price_signal(scenario: Scenario, zone: str, streams: Streams) -> Flow:
    """The energy price of a zone [USD/MWh]."""
    price = scenario.prices.zones[zone]
    if isinstance(price, FixedPrice):
        return Constant(price.usd_per_mwh)
    if isinstance(price, ReplayPrice):
        return Replay(scenario.recorded[price.series], price.column, _start(scenario))
    if isinstance(price, DcOpfPrice):
        return Constant(0.0)  # the power flow tells when the run is there
    return SeasonalJumpPrice(
        load_price_profiles()[price.profile],
        mean_usd_per_mwh=price.mean_usd_per_mwh,
        start_utc=scenario.horizon.start_utc,
        utc_offset_h=price.utc_offset_h,
        horizon_s=scenario.horizon.seconds,
        zone=zone,
        streams=streams,
    )


def weather(scenario: Scenario, site: Site, streams: Streams, t_s: Ints) -> tuple[Floats, Floats]:
    """Ambient temperature and wet bulb of a site (step,) [C]; one climate shares its luck.

    Recorded ones are means over the step, synthetic ones those of its first instant.
    """
    climate = scenario.weather.climates.get(site.climate)
    if isinstance(climate, ReplayWeather):
        series, start = scenario.recorded[climate.series], _start(scenario)
        step_s = scenario.horizon.step_s
        ambient_c = Replay(series, climate.column, start).mean(t_s, step_s)
        humidity_pct = np.full(len(t_s), climate.relative_humidity_pct)
        if climate.humidity_column is not None:
            humidity_pct = Replay(series, climate.humidity_column, start).mean(t_s, step_s)
        return ambient_c, wet_bulbs_of(ambient_c, humidity_pct)
    path = SeasonalTemperature(
        load_climates()[climate.climate if climate else site.climate],
        start_utc=scenario.horizon.start_utc,
        utc_offset_h=site.offset_h,
        horizon_s=scenario.horizon.seconds,
        place=site.climate,
        streams=streams,
    )
    return path.at(t_s), path.wet_bulb_at(t_s)


def _start(scenario: Scenario) -> int:
    return round(scenario.horizon.start_utc.timestamp())
