"""Signals of the power side: day-ahead prices, reserves, carbon, generation, peaks.

Recorded values count by their mean over the control step; a peak by its highest interval.
"""

import math
from datetime import timedelta
from typing import Final

import numpy as np

from sim.scenario import catalogue
from sim.scenario.energy import (
    EconomicProgramme,
    FixedCarbon,
    RegionalCarbon,
    ReserveProgramme,
)
from sim.scenario.model import FixedPrice, RegionalPrice, ReplayPrice
from sim.scenario.rows import Site
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, W_PER_MW
from sim.world.peaks import Peaks, find_peaks
from sim.world.prices import HourlyPrice
from sim.world.region import CARBON, Regions
from sim.world.signals import fixed_price

TILT_DEG: Final = 23.45  # declination of the sun at the solstice


def day_ahead(scenario: Scenario, t_s: Ints, regions: Regions) -> Floats | None:
    """Day-ahead price in each site's zone (step, site) [USD/MWh], NaN where none is known."""
    known: dict[str, Floats] = {}
    step_s = scenario.horizon.step_s
    for zone, price in scenario.prices.zones.items():
        if isinstance(price, FixedPrice):
            known[zone] = fixed_price(scenario, price).mean(t_s, step_s)
        elif isinstance(price, ReplayPrice) and price.day_ahead_column is not None:
            series = scenario.recorded[price.day_ahead_series or price.series]
            known[zone] = series.mean(price.day_ahead_column, t_s + _start(scenario), step_s)
        elif isinstance(price, RegionalPrice):
            path = regions.price(price.profile, "da", price.mean_usd_per_mwh)
            known[zone] = path.mean(t_s, step_s)
    if not any(site.price_zone in known for site in scenario.sites):
        return None
    none = np.full(len(t_s), np.nan)
    return np.stack([known.get(site.price_zone, none) for site in scenario.sites], axis=1)


def reserve_prices(scenario: Scenario, t_s: Ints, regions: Regions) -> Floats | None:
    """Availability prices of the programmes that issue calls (step, programme) [USD/MW/h]."""
    columns = []
    for spec in scenario.programmes.values():
        if isinstance(spec, EconomicProgramme):
            continue
        if isinstance(spec, ReserveProgramme) and spec.series is not None:
            series = scenario.recorded[spec.series]
            unix_s, step_s = t_s + _start(scenario), scenario.horizon.step_s
            columns.append(series.mean(str(spec.column), unix_s, step_s))
        elif isinstance(spec, ReserveProgramme) and spec.product is not None:
            region, product = catalogue.region_products()[spec.product]
            path = HourlyPrice(np.maximum(regions.path(region).hourly(product), 0.0))
            columns.append(path.mean(t_s, scenario.horizon.step_s))
        else:
            columns.append(np.full(len(t_s), spec.usd_per_mw_h or 0.0))
    return np.stack(columns, axis=1) if columns else None


def carbon_intensity(scenario: Scenario, t_s: Ints, regions: Regions) -> Floats | None:
    """Carbon intensity at each site (step, site) [kgCO2/MWh], 0 where no zone is named."""
    if not any(site.carbon_zone for site in scenario.sites):
        return None
    zones: dict[str, Floats] = {}
    step_s = scenario.horizon.step_s
    for name, zone in scenario.carbon.zones.items():
        if isinstance(zone, FixedCarbon):
            zones[name] = np.full(len(t_s), zone.kg_per_mwh)
        elif isinstance(zone, RegionalCarbon):
            path = HourlyPrice(np.maximum(regions.path(zone.region).hourly(CARBON), 0.0))
            zones[name] = path.mean(t_s, step_s)
        else:
            series = scenario.recorded[zone.series]
            unix_s = t_s + _start(scenario)
            zones[name] = series.mean(zone.column, unix_s, step_s)
    none = np.zeros(len(t_s))
    return np.stack([zones.get(site.carbon_zone or "", none) for site in scenario.sites], axis=1)


def generation(scenario: Scenario, t_s: Ints) -> Floats | None:
    """Power that each generator can supply (step, generator) [W]."""
    if not scenario.generators:
        return None
    sites = {site.name: site for site in scenario.sites}
    columns = []
    for unit in scenario.generators:
        if unit.series is not None:
            series = scenario.recorded[unit.series]
            unix_s, step_s = t_s + _start(scenario), scenario.horizon.step_s
            share = series.mean(str(unit.column), unix_s, step_s, low=0.0, high=1.0)
        elif unit.kind == "solar":
            share = clear_sky(sites[unit.site], scenario, t_s)
        else:
            share = np.ones(len(t_s))
        columns.append(share * unit.availability * unit.mw * W_PER_MW)
    return np.stack(columns, axis=1)


def clear_sky(site: Site, scenario: Scenario, t_s: Ints) -> Floats:
    """Sine of the sun's height (instant,), 0 at night: the output of a flat panel without clouds.

    Declination and hour angle of Cooper 1969 (Solar Energy 12), without the equation of time.
    Clouds and losses belong in the generator's availability.
    """
    start = scenario.horizon.start_utc
    midnight = timedelta(hours=start.hour, minutes=start.minute, seconds=start.second)
    seconds = t_s + midnight.total_seconds()
    day = start.timetuple().tm_yday + seconds // SECONDS_PER_DAY
    tilt = np.radians(TILT_DEG) * np.sin(2.0 * np.pi * (284.0 + day) / 365.0)
    hour = seconds / SECONDS_PER_HOUR + (site.longitude or 0.0) / 15.0  # local solar time
    angle = np.radians(15.0) * (hour - 12.0)
    latitude = math.radians(site.latitude or 0.0)
    height = np.sin(latitude) * np.sin(tilt) + np.cos(latitude) * np.cos(tilt) * np.cos(angle)
    return np.asarray(np.maximum(height, 0.0), dtype=np.float64)


def coincident_peaks(scenario: Scenario, t_s: Ints, step_s: int, regions: Regions) -> Peaks | None:
    """Peaks of the system's load, and the probability of each step to be one."""
    spec = scenario.coincident_peak
    if spec is None:
        return None
    unix_s = t_s + _start(scenario)
    if spec.region is not None:
        load_mw = highest_mw = HourlyPrice(regions.path(spec.region).hourly("load")).mean(
            t_s, step_s
        )
    else:
        load = scenario.recorded[str(spec.series)]
        load_mw = load.mean(str(spec.column), unix_s, step_s)
        highest_mw = load.most(str(spec.column), unix_s, step_s)
    if spec.forecast_series is not None:
        forecast = scenario.recorded[spec.forecast_series]
        forecast_mw = forecast.mean(str(spec.forecast_column), unix_s, step_s)
    else:  # yesterday's load at this time of day; on the first day today's level is not known
        lag = SECONDS_PER_DAY // step_s
        forecast_mw = np.concatenate([np.full(lag, load_mw[0]), load_mw])[: len(load_mw)]
    return find_peaks(spec, load_mw, forecast_mw, scenario.horizon.start_utc, step_s, highest_mw)


def case_load(scenario: Scenario, t_s: Ints) -> Floats:
    """Share of the case's loads in force (step,)."""
    grid = scenario.grid
    if grid.load_series is None:
        return np.full(len(t_s), grid.load_fraction)
    series = scenario.recorded[grid.load_series]
    values = series.mean(str(grid.load_column), t_s + _start(scenario), scenario.horizon.step_s)
    top = float(np.nanmax(series.column(str(grid.load_column))))
    return np.asarray(values / top * grid.load_fraction, dtype=np.float64)


def _start(scenario: Scenario) -> int:
    return round(scenario.horizon.start_utc.timestamp())
