"""Synthetic ambient temperature: a season, a day and an AR(1) process.

Calibrated by `experiments/calibrate_weather.py` on typical years.
"""

from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.scenario import catalogue
from sim.streams import Streams
from sim.units import DAYS_PER_YEAR, SECONDS_PER_HOUR
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
        self.ambient_c = expected_c(climate, days) + ar1(normal, climate.ar1_per_h, climate.noise_c)

    def at(self, t_s: Ints) -> Floats:
        """Temperature (instant,) [C]."""
        hour = t_s // SECONDS_PER_HOUR
        part = (t_s % SECONDS_PER_HOUR) / SECONDS_PER_HOUR
        return self.ambient_c[hour] * (1.0 - part) + self.ambient_c[hour + 1] * part


def expected_c(climate: Climate, days: Floats) -> Floats:
    """Expected temperature at local times in days since New Year [C]."""
    season = np.cos(2.0 * np.pi * (days - climate.warmest_day) / DAYS_PER_YEAR)
    day = np.cos(2.0 * np.pi * (days - climate.warmest_hour / 24.0))
    return np.asarray(
        climate.mean_c + climate.seasonal_amplitude_c * season + climate.diurnal_amplitude_c * day,
        dtype=np.float64,
    )
