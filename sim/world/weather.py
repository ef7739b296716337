"""Synthetic weather: temperature by season and hour, and how far air masses depart from it.

A normal path (air masses of hours and of days: two AR(1) processes) is mapped through the quantiles
of the month, separately for night and day, so that summers are steadier than winters and cold
spells reach further than warm ones, as in reality. Calibrated by `experiments/calibrate_weather.py`
on typical years, which leave out the most extreme years. The dew point is that of its season, or
the temperature where that is lower. Its variation with air masses (a standard deviation of 3 to 6
K, hardly correlated with temperature) is left out, so wet bulbs spread less than in reality.

Where a region's warm and cold days are known, drawn (`sim.world.region`) or recorded
(`recorded_warmth`), a place follows them, except for `1 - REGIONAL` of the variance, which stays
its own.
"""

from datetime import datetime, timedelta
from functools import cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.kernels.thermal import relative_humidities_pct, wet_bulbs_c
from sim.scenario import catalogue
from sim.scenario.series import Series
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_HOUR
from sim.world.levels import between
from sim.world.prices import BLOCK_DAYS, BLOCK_HOURS, ar1

MONTHS: Final = 12
NIGHT_AND_DAY: Final = (3.0, 15.0)  # local hours of their middles
LEVELS_PCT: Final = np.array([0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9])
# The same as normal deviates: scipy.stats.norm.ppf, to nine digits.
DEVIATES: Final = np.array(
    [-3.090232306, -2.326347874, -1.644853627, -0.674489750, 0.0,
     0.674489750, 1.644853627, 2.326347874, 3.090232306]
)  # fmt: skip
REGIONAL: Final = 0.8  # share of a place's variance that is its region's; assumed
SHAPES: Final = {"harmonics_c": (5, 5), "quantiles_k": (MONTHS, 2, len(LEVELS_PCT))}


class Climate(NamedTuple):
    """A fitted climate; hours are local standard time. Shapes: season, day (1, cos, sin, cos 2, …).

    The first five fields are the plain season and day, for readers; the simulation uses
    `harmonics_c`.
    """

    mean_c: float
    seasonal_amplitude_c: float
    warmest_day: float
    diurnal_amplitude_c: float
    warmest_hour: float
    fast_ar1_per_h: float  # autocorrelation of air masses of hours
    slow_ar1_per_h: float  # and of days
    slow_share: float  # of the variance
    dew_mean_c: float  # dew point
    dew_amplitude_c: float  # of its season
    dew_warmest_day: float
    harmonics_c: Floats  # (5, 5) expected temperature: season x hour of the day
    quantiles_k: Floats  # (month, night or day, level) distance from it at LEVELS_PCT


@cache
def load_climates() -> dict[str, Climate]:
    """The fitted climates of the catalogue, by name."""
    shapes: dict[tuple[str, str], list[float]] = {}
    for row in catalogue.rows("climate_shapes.csv"):
        shapes.setdefault((row["climate"], row["key"]), []).append(float(row["value"]))
    return {
        row["climate"]: Climate._make(
            np.array(shapes[row["climate"], key]).reshape(SHAPES[key])
            if key in SHAPES
            else float(row[key])
            for key in Climate._fields
        )
        for row in catalogue.rows("climates.csv")
    }


class SeasonalTemperature:
    """A path of a climate, linear within the hour; places of one name share their random draws.

    `warmth` (hour,) is a region's warmth relative to the season, a standard normal path, with one
    value more than hours begin: a place follows it with `REGIONAL` of its variance.
    """

    def __init__(
        self,
        climate: Climate,
        *,
        start_utc: datetime,
        utc_offset_h: float,
        horizon_s: int,
        place: str,
        streams: Streams,
        warmth: Floats | None = None,
    ) -> None:
        hours = hours_of(horizon_s)
        blocks = [
            streams.generator("weather", place, b * BLOCK_DAYS).standard_normal((2, BLOCK_HOURS))
            for b in range(-(-hours // BLOCK_HOURS))
        ]
        fast, slow = np.concatenate(blocks, axis=1)[:, :hours]
        local = start_utc + timedelta(hours=utc_offset_h)
        first_day = local.timetuple().tm_yday - 1 + (local.hour + local.minute / 60.0) / 24.0
        days = first_day + np.arange(hours) / 24.0
        self.climate = climate
        self.first_day = first_day
        air = ar1(fast, climate.fast_ar1_per_h, np.sqrt(1.0 - climate.slow_share))
        air += ar1(slow, climate.slow_ar1_per_h, np.sqrt(climate.slow_share))
        if warmth is not None:
            air = np.sqrt(REGIONAL) * warmth + np.sqrt(1.0 - REGIONAL) * air
        self.ambient_c = expected_c(climate, days) + distance_k(climate, days, air)

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


def hours_of(horizon_s: int) -> int:
    """Length of a path: one more than the hours that begin within the horizon."""
    return -(-horizon_s // SECONDS_PER_HOUR) + 1


def recorded_warmth(
    series: Series, column: str, start_utc: datetime, utc_offset_h: float, hours: int
) -> Floats:
    """Warmth of a record's region relative to the season (hour,): deviates from `start_utc` on.

    The temperature less a fit of season x day (two harmonics each, least squares), ranked among the
    hours of the record that lie within a month and an hour of it. The hour after the record's last
    takes its value.

    Raises:
        SeriesError: where the record has no value.
    """
    first = -(int(series.start_s[0]) // -SECONDS_PER_HOUR) * SECONDS_PER_HOUR
    record_s = np.arange(first, series.end_s, SECONDS_PER_HOUR, dtype=np.int64)
    row = series.locate(record_s)
    values = np.where(row >= 0, series.column(column)[row], np.nan)
    record_s, values = record_s[np.isfinite(values)], values[np.isfinite(values)]
    run_s = round(start_utc.timestamp()) + np.arange(hours, dtype=np.int64) * SECONDS_PER_HOUR
    asked = series.sample(column, np.minimum(run_s, series.end_s - 1))
    year = YearHours(record_s, utc_offset_h), YearHours(run_s, utc_offset_h)
    season, day = waves(year[0].days)
    shape = (season[:, :, None] * day[:, None]).reshape(len(season), -1)
    normal = np.einsum("hi,hj->ij", shape, shape)  # no BLAS: the same bytes on any cores
    harmonics = np.linalg.solve(normal, np.einsum("hi,h->i", shape, values)).reshape(5, 5)

    def left(values_c: Floats, days: Floats) -> Floats:
        season, day = waves(days)
        return np.asarray(values_c - ((season @ harmonics) * day).sum(axis=1))

    known_k, asked_k = left(values, year[0].days), left(asked, year[1].days)
    found = np.empty(hours)
    for m, h in {*zip(year[1].month.tolist(), year[1].hour.tolist(), strict=True)}:
        near = np.sort(known_k[year[0].near(m, h)])
        here = (year[1].month == m) & (year[1].hour == h)
        rank = np.searchsorted(near, asked_k[here]) + np.searchsorted(near, asked_k[here], "right")
        found[here] = np.clip(rank / 2.0, 0.5, len(near) - 0.5) / len(near)
    deviate = NormalDist().inv_cdf
    return np.array([deviate(p) for p in found])


class YearHours:
    """Position of hours in the year, in local standard time (hour,)."""

    def __init__(self, unix_s: Ints, utc_offset_h: float) -> None:
        local = (unix_s + round(utc_offset_h * SECONDS_PER_HOUR)).astype("datetime64[s]")
        year = local.astype("datetime64[Y]").astype("datetime64[s]")
        self.days = (local - year).astype(np.int64) / SECONDS_PER_DAY  # since New Year
        self.month = local.astype("datetime64[M]").astype(np.int64) % MONTHS
        self.hour = local.astype(np.int64) // SECONDS_PER_HOUR % 24

    def near(self, month: int, hour: int) -> npt.NDArray[np.bool_]:
        """Which of the hours lie within one month and one hour of the day of these (hour,)."""
        months = np.minimum((self.month - month) % MONTHS, (month - self.month) % MONTHS)
        hours = np.minimum((self.hour - hour) % 24, (hour - self.hour) % 24)
        return np.asarray((months <= 1) & (hours <= 1))


def waves(days: Floats) -> tuple[Floats, Floats]:
    """Season and day, each (instant, 5): 1, cos and sin, and cos and sin of half the period."""
    turns = (days / DAYS_PER_YEAR, days)
    season, day = (
        np.stack([f(2.0 * np.pi * k * t) for k in (0, 1, 2) for f in (np.cos, np.sin)], axis=1)
        for t in turns
    )
    kept = [0, 2, 3, 4, 5]  # sin 0 is always 0
    return season[:, kept], day[:, kept]


def expected_c(climate: Climate, days: Floats) -> Floats:
    """Expected temperature at local times in days since New Year [C]."""
    season, day = waves(days)
    return np.asarray(((season @ climate.harmonics_c) * day).sum(axis=1), dtype=np.float64)


def quantiles_at(climate: Climate, days: Floats) -> Floats:
    """Distances from the expected temperature at LEVELS_PCT (instant, level) [K].

    Interpolated between the middles of two months, and of night and day.
    """
    month = days / DAYS_PER_YEAR * MONTHS - 0.5
    first = np.floor(month).astype(np.int64)
    part = (month - first)[:, None, None]
    both = climate.quantiles_k[first % MONTHS] * (1.0 - part)
    both += climate.quantiles_k[(first + 1) % MONTHS] * part
    night = np.abs((days * 24.0 - NIGHT_AND_DAY[0]) % 24.0 - 12.0)[:, None] / 12.0  # 1 at 3
    return np.asarray(both[:, 0] * night + both[:, 1] * (1.0 - night), dtype=np.float64)


def distance_k(climate: Climate, days: Floats, air: Floats) -> Floats:
    """Departure from the season [K] of an air mass (instant,), a standard normal value."""
    return between(quantiles_at(climate, days), DEVIATES, air)


def expected_dew_point_c(climate: Climate, days: Floats) -> Floats:
    """Dew point of the season at local times in days since New Year [C]."""
    season = np.cos(2.0 * np.pi * (days - climate.dew_warmest_day) / DAYS_PER_YEAR)
    return np.asarray(climate.dew_mean_c + climate.dew_amplitude_c * season, dtype=np.float64)
