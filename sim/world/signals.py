"""Signals of the world over the horizon: `at` is the value at an instant, `mean` what is billed.

An energy price, a load or a temperature acts through the whole control step, so its mean counts.
The bitcoin price is one at which somebody trades: it holds at an instant.
"""

from typing import Protocol

import numpy as np

from sim.kernels.thermal import wet_bulbs_of
from sim.scenario import catalogue
from sim.scenario.model import (
    DcOpfPrice,
    FixedPrice,
    RegionalPrice,
    ReplayPrice,
    ReplayWeather,
)
from sim.scenario.rows import Site
from sim.scenario.scenario import Scenario
from sim.scenario.series import Series
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.world.prices import SeasonalJumpPrice, load_price_profiles
from sim.world.region import Regions
from sim.world.tariffs import TariffPath
from sim.world.weather import SeasonalTemperature, load_climates


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


def fixed_price(scenario: Scenario, price: FixedPrice) -> Flow:
    """A constant price, or that of a tariff [USD/MWh]."""
    if price.tariff is not None:
        return TariffPath(scenario.tariffs[price.tariff], scenario.horizon.start_utc)
    assert price.usd_per_mwh is not None  # one of the two: checked by the table
    return Constant(price.usd_per_mwh)


def price_signal(scenario: Scenario, zone: str, streams: Streams, regions: Regions) -> Flow:
    """The energy price of a zone [USD/MWh]."""
    price = scenario.prices.zones[zone]
    if isinstance(price, FixedPrice):
        return fixed_price(scenario, price)
    if isinstance(price, ReplayPrice):
        return Replay(scenario.recorded[price.series], price.column, _start(scenario))
    if isinstance(price, DcOpfPrice):
        return Constant(0.0)  # the power flow sets it during the run
    if isinstance(price, RegionalPrice):
        return regions.price(price.profile, "rt", price.mean_usd_per_mwh)
    return SeasonalJumpPrice(
        load_price_profiles()[price.profile],
        mean_usd_per_mwh=price.mean_usd_per_mwh,
        start_utc=scenario.horizon.start_utc,
        utc_offset_h=price.utc_offset_h,
        horizon_s=scenario.horizon.seconds,
        zone=zone,
        streams=streams,
    )


def region_of(scenario: Scenario, site: Site) -> str | None:
    """The calibrated region of a site's price zone; None: it lies in none."""
    price = scenario.prices.zones.get(site.price_zone)
    if isinstance(price, RegionalPrice):
        return catalogue.region_zones()[price.profile][0]
    return None


def weather(
    scenario: Scenario, site: Site, streams: Streams, t_s: Ints, regions: Regions
) -> tuple[Floats, Floats]:
    """Ambient temperature and wet bulb of a site (step,) [C]; sites of one climate share draws.

    Warm and cold days follow a driver or, where a region makes the price, the region.

    Recorded values are means over the step, synthetic ones those of its first instant.
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
    horizon = scenario.horizon
    region, warmth = region_of(scenario, site), None
    if climate is not None and climate.driver_series is not None:
        driver = scenario.recorded[climate.driver_series]
        warmth = regions.recorded(driver, str(climate.driver_column), site.offset_h)
    elif region is not None:
        warmth = regions.path(region).warmth
    path = SeasonalTemperature(
        load_climates()[climate.climate if climate else site.climate],
        start_utc=horizon.start_utc,
        utc_offset_h=site.offset_h,
        horizon_s=horizon.seconds,
        place=site.climate,
        streams=streams,
        warmth=warmth,
    )
    return path.at(t_s), path.wet_bulb_at(t_s)


def _start(scenario: Scenario) -> int:
    return round(scenario.horizon.start_utc.timestamp())
