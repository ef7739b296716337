"""Synthetic weather: temperature as a season, a day and an AR(1) process; humidity as a season.

Calibrated by `experiments/calibrate_weather.py` on typical years. The dew point is that of its
season, or the temperature where that is lower: air masses (a standard deviation of 3 to 6 K of
dew point, hardly correlated with temperature) are left out, so wet bulbs spread less than real.
"""

from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.kernels.thermal import relative_humidities_pct, wet_bulbs_c
from sim.scenario import catalogue
from sim.streams import Streams
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_HOUR
from sim.world.prices import BLOCK_DAYS, BLOCK_HOURS, ar1


class Climate(NamedTuple):
    """A fitted climate; hours are local standard time."""

    mean_c: float
    seasonal_amplitude_c: float
    warmest_day: float
    diurnal_amplitude_c: float
    warmest_hour: float
    ar1_per_h: float
    noise_c: float  # stationary standard deviation of the AR(1) part
    dew_mean_c: float  # dew point
    dew_amplitude_c: float  # of its season
    dew_warmest_day: float


@cache
def load_climates() -> dict[str, Climate]:
    """The fitted climates of the catalogue, by name."""
    return {
        row["climate"]: Climate(*(float(row[key]) for key in Climate._fields))
        for row in catalogue.rows("climates.csv")
    }


class SeasonalTemperature:
    """A path of a climate, linear within the hour; places of one name share their luck."""

    def __init__(
        self,
        climate: Climate,
        *,
        start_utc: datetime,
        utc_offset_h: float,
        horizon_s: int,
        place: str,
        streams: Streams,
    ) -> None:
        hours = -(-horizon_s // SECONDS_PER_HOUR) + 1
        normal = np.concatenate(
            [
                streams.generator("weather", place, b * BLOCK_DAYS).standard_normal(BLOCK_HOURS)
                for b in range(-(-hours // BLOCK_HOURS))
            ]
        )[:hours]
        local = start_utc + timedelta(hours=utc_offset_h)
        first_day = local.timetuple().tm_yday - 1 + (local.hour + local.minute / 60.0) / 24.0
        days = first_day + np.arange(hours) / 24.0
        self.climate = climate
        self.first_day = first_day
        self.ambient_c = expected_c(climate, days) + ar1(normal, climate.ar1_per_h, climate.noise_c)

    def at(self, t_s: Ints) -> Floats:
        """Temperature (instant,) [C]."""
        hour = t_s // SECONDS_PER_HOUR
        part = (t_s % SECONDS_PER_HOUR) / SECONDS_PER_HOUR
        return self.ambient_c[hour] * (1.0 - part) + self.ambient_c[hour + 1] * part

    def dew_point_at(self, t_s: Ints) -> Floats:
        """Dew point (instant,) [C], never above the temperature."""
        days = self.first_day + t_s / SECONDS_PER_DAY
        return np.minimum(self.at(t_s), expected_dew_point_c(self.climate, days))

    def relative_humidity_at(self, t_s: Ints) -> Floats:
        """Relative humidity (instant,) [%]."""
        return relative_humidities_pct(self.at(t_s), self.dew_point_at(t_s))

    def wet_bulb_at(self, t_s: Ints) -> Floats:
        """Wet bulb (instant,) [C], between dew point and temperature."""
        return wet_bulbs_c(self.at(t_s), self.dew_point_at(t_s))


def expected_c(climate: Climate, days: Floats) -> Floats:
    """Expected temperature at local times in days since New Year [C]."""
    season = np.cos(2.0 * np.pi * (days - climate.warmest_day) / DAYS_PER_YEAR)
    day = np.cos(2.0 * np.pi * (days - climate.warmest_hour / 24.0))
    return np.asarray(
        climate.mean_c + climate.seasonal_amplitude_c * season + climate.diurnal_amplitude_c * day,
        dtype=np.float64,
    )


def expected_dew_point_c(climate: Climate, days: Floats) -> Floats:
    """Dew point of the season at local times in days since New Year [C]."""
    season = np.cos(2.0 * np.pi * (days - climate.dew_warmest_day) / DAYS_PER_YEAR)
    return np.asarray(climate.dew_mean_c + climate.dew_amplitude_c * season, dtype=np.float64)
