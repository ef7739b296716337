"""The market of a region as one process: correlated prices, load, heat, reserves and carbon.

Each variable (real-time and day-ahead price of each zone, load, temperature, prices of reserve
products, carbon intensity) is a normal deviate mapped through the quantiles of its month and hour.
The deviates form one Gaussian process: for each of four memories (hours to weeks), a vector AR(1)
with correlated innovations. So zones move together, day-ahead prices stay close to real-time ones,
and spikes come in heat and in frost: the deviate of temperature is the region's stress, warm in
summer and cold in winter. Calibrated by `experiments/calibrate_region.py`.

Left out: differences in level between years, tails beyond the highest recorded level of a month's
hour, and dependence of extremes beyond correlation.
"""

from datetime import datetime, timedelta
from functools import cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from sim.scenario import catalogue
from sim.scenario.series import Series
from sim.streams import Streams
from sim.types import Floats
from sim.units import DAYS_PER_YEAR
from sim.world.levels import between
from sim.world.prices import (
    BLOCK_DAYS,
    BLOCK_HOURS,
    CAP_USD_PER_MWH,
    FLOOR_USD_PER_MWH,
    HourlyPrice,
    ar1,
    local_calendar,
)
from sim.world.weather import hours_of, recorded_warmth

LEVELS_PCT: Final = np.array([0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9, 99.97])
# The same as normal deviates: scipy.stats.norm.ppf, to nine digits.
DEVIATES: Final = np.array(
    [-3.090232306, -2.326347874, -1.644853627, -0.674489750, 0.0,
     0.674489750, 1.644853627, 2.326347874, 3.090232306, 3.431614404]
)  # fmt: skip
MOST: Final = 4.0  # deviates are clipped to this size
SCALE: Final = 20.0  # USD/MWh: prices are interpolated as asinh(price / SCALE)
COLDEST_DAY: Final = 20.0  # of the year: cold is the stress, half a year later heat; assumed
OTHER_AR1_PER_H: Final = 0.98  # of warmth unrelated to stress, in spring and autumn; assumed
TEMPERATURE: Final = "temperature"
CARBON: Final = "carbon"
FINE: Final = 4000  # equal parts of a distribution, to take its mean
PHYSICAL: Final = ("load", TEMPERATURE, CARBON)  # interpolated without a transformation


class Region(NamedTuple):
    """A calibrated region. Shapes: `memory`, `variable`, `level`."""

    variables: tuple[str, ...]
    levels: Floats  # (variable, 12, 24, level) by month and local hour, in the variable's unit
    ar1_per_h: Floats  # (memory,)
    factor: Floats  # (memory, variable, variable) lower triangular
    utc_offset_h: float


@cache
def load_regions() -> dict[str, Region]:
    """The calibrated regions of the catalogue, by name."""
    levels: dict[str, dict[str, list[list[float]]]] = {}
    keys = [f"p{level:g}" for level in LEVELS_PCT]
    for row in catalogue.rows("region_levels.csv"):
        table = levels.setdefault(row["region"], {}).setdefault(row["variable"], [])
        table.append([float(row[key]) for key in keys])
    factors: dict[str, dict[float, list[list[float]]]] = {}
    offset: dict[str, float] = {}
    for row in catalogue.rows("region_memory.csv"):
        table = factors.setdefault(row["region"], {}).setdefault(float(row["ar1_per_h"]), [])
        table.append([float(row[name]) for name in levels[row["region"]]])
        offset[row["region"]] = float(row["utc_offset_h"])
    return {
        name: Region(
            tuple(tables),
            np.array(list(tables.values())).reshape(len(tables), 12, 24, len(LEVELS_PCT)),
            np.array(list(factors[name])),
            np.array(list(factors[name].values())),
            offset[name],
        )
        for name, tables in levels.items()
    }


class RegionPath:
    """One draw of a region over a horizon, hour by hour, shared by all that name the region."""

    def __init__(self, name: str, start_utc: datetime, hours: int, streams: Streams) -> None:
        region = self.region = load_regions()[name]
        count = len(region.variables)
        blocks = [
            streams.generator("region", name, b * BLOCK_DAYS).standard_normal(
                (len(region.ar1_per_h) * count + 1, BLOCK_HOURS)
            )
            for b in range(-(-hours // BLOCK_HOURS))
        ]
        normal = np.concatenate(blocks, axis=1)[:, :hours]
        start = start_utc + timedelta(hours=region.utc_offset_h)
        self.month, _, self.hour = local_calendar(start, hours)
        self.day = start.timetuple().tm_yday - 1 + (start.hour + np.arange(hours)) / 24.0
        self.deviates = np.zeros((count, hours))
        for memory, (per_h, factor) in enumerate(zip(region.ar1_per_h, region.factor, strict=True)):
            drawn = normal[memory * count : (memory + 1) * count]
            for i in range(count):
                shocks = np.zeros(hours)
                for j in range(i + 1):
                    shocks += factor[i, j] * drawn[j]
                self.deviates[i] += ar1(shocks, float(per_h), 1.0)
        if TEMPERATURE in region.variables:
            season = stress_season(self.day)
            other = ar1(normal[-1], OTHER_AR1_PER_H, 1.0)
            at = region.variables.index(TEMPERATURE)
            self.deviates[at] *= season
            self.deviates[at] += other * np.sqrt(1.0 - season**2)

    def hourly(self, variable: str) -> Floats:
        """Values of a variable (hour,) in its unit."""
        at = self.region.variables.index(variable)
        levels = self.region.levels[at, self.month, self.hour]
        if variable in PHYSICAL:
            return read(levels, self.deviates[at])
        usd = SCALE * np.sinh(read(np.arcsinh(levels / SCALE), self.deviates[at]))
        return np.asarray(usd, dtype=np.float64)

    @property
    def warmth(self) -> Floats:
        """Warmth relative to the season (hour,): a standard normal path."""
        return np.asarray(self.deviates[self.region.variables.index(TEMPERATURE)])


def stress_season(day: Floats) -> Floats:
    """1 where heat is the region's stress, -1 where cold is; `day` since New Year."""
    turn = 2.0 * np.pi * (day - COLDEST_DAY) / DAYS_PER_YEAR
    return np.asarray(-np.cos(turn), dtype=np.float64)


def read(levels: Floats, deviates: Floats) -> Floats:
    """Values of deviates (instant,), from quantiles (instant, level); clipped at `MOST`."""
    return between(levels, DEVIATES, np.clip(deviates, -MOST, MOST))


@cache
def long_run_mean(region: str, variable: str) -> float:
    """Mean of a variable over the year, from its quantiles alone."""
    made = load_regions()[region]
    deviates = np.array([NormalDist().inv_cdf((i + 0.5) / FINE) for i in range(FINE)])
    levels = made.levels[made.variables.index(variable)].reshape(-1, len(LEVELS_PCT))
    total = 0.0
    for row in levels:
        table = np.broadcast_to(row, (len(deviates), len(row)))
        if variable in PHYSICAL:
            total += float(read(table, deviates).mean())
        else:
            total += float((SCALE * np.sinh(read(np.arcsinh(table / SCALE), deviates))).mean())
    return total / len(levels)


class Regions:
    """The regions of a run, each drawn or read from its record only once."""

    def __init__(self, start_utc: datetime, horizon_s: int, streams: Streams) -> None:
        self.start_utc = start_utc
        self.hours = hours_of(horizon_s)
        self.streams = streams
        self._paths: dict[str, RegionPath] = {}
        self._recorded: dict[tuple[int, str, float], Floats] = {}

    def path(self, name: str) -> RegionPath:
        """The draw of a region (hour,), to one hour beyond the horizon."""
        if name not in self._paths:
            self._paths[name] = RegionPath(name, self.start_utc, self.hours, self.streams)
        return self._paths[name]

    def recorded(self, driver: Series, column: str, utc_offset_h: float) -> Floats:
        """Warmth of a recorded region relative to the season (hour,), as long as a path."""
        key = (id(driver), column, utc_offset_h)
        if key not in self._recorded:
            self._recorded[key] = recorded_warmth(
                driver, column, self.start_utc, utc_offset_h, self.hours
            )
        return self._recorded[key]

    def price(self, profile: str, kind: str, mean_usd_per_mwh: float | None) -> HourlyPrice:
        """Price of a zone, `kind` rt or da; both are scaled by the mean over the profile's."""
        region, zone = catalogue.region_zones()[profile]
        usd = self.path(region).hourly(f"{zone}-{kind}")
        if mean_usd_per_mwh is not None:
            usd = usd * (mean_usd_per_mwh / long_run_mean(region, f"{zone}-rt"))
        return HourlyPrice(np.clip(usd, FLOOR_USD_PER_MWH, CAP_USD_PER_MWH))
