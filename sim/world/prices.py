"""Synthetic electricity prices: a seasonal mean-reverting jump process.

The price is `exp(y) - offset`, where the offset lies just below the lowest price of the market. `y`
is a seasonal level by month and local hour, a step at weekends, a fast and a slow AR(1) process
(hours and days), and jumps that arrive as a Poisson process, more often at some hours, and decay.
Calibrated by `experiments/calibrate_prices.py`.
"""

from datetime import datetime, timedelta
from functools import cache
from math import gcd
from typing import Final, NamedTuple

import numpy as np

from sim.kernels.paths import decayed
from sim.scenario import catalogue
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

BLOCK_DAYS: Final = 30
BLOCK_HOURS: Final = BLOCK_DAYS * 24
FLOOR_USD_PER_MWH: Final = -250.0  # ERCOT lowest offer, Nodal Protocols 4.4.9.3
SHAPES: Final = {"seasonal": (12, 24), "jump_rate_per_h": (24,)}
CAP_USD_PER_MWH: Final = 5000.0  # ERCOT high system-wide offer cap since 2022, 16 TAC 25.509


class PriceProfile(NamedTuple):
    """A calibrated price process; deviations, sizes and levels refer to y."""

    offset_usd_per_mwh: float
    seasonal: Floats  # (12, 24) level by month and local hour
    weekend: float  # added on Saturday and Sunday
    fast_ar1_per_h: float  # autocorrelation at an hour
    fast_noise: float  # stationary standard deviation
    slow_ar1_per_h: float
    slow_noise: float
    jump_rate_per_h: Floats  # (24,) arrivals by local hour [1/h]
    jump_size: float  # mean of the exponential size
    jump_decay_per_h: float  # share left after an hour
    mean_usd_per_mwh: float  # long-run mean of the process


@cache
def load_price_profiles() -> dict[str, PriceProfile]:
    """The calibrated profiles of the catalogue, by name."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    for row in catalogue.rows("price_profiles.csv"):
        table = values.setdefault(row["profile"], {}).setdefault(row["key"], {})
        table[int(row["index"])] = float(row["value"])

    def array(table: dict[int, float]) -> Floats:
        return np.array([table[i] for i in range(len(table))])

    return {
        name: PriceProfile._make(
            array(v[key]).reshape(SHAPES[key]) if key in SHAPES else v[key][0]
            for key in PriceProfile._fields
        )
        for name, v in values.items()
    }


class HourlyPrice:
    """An hourly path (hour,) [USD/MWh], constant within each hour."""

    def __init__(self, usd_per_mwh: Floats) -> None:
        self.usd_per_mwh = usd_per_mwh

    def at(self, t_s: Ints) -> Floats:
        """Price (instant,) [USD/MWh]."""
        return np.asarray(self.usd_per_mwh[t_s // SECONDS_PER_HOUR], dtype=np.float64)

    def mean(self, t_s: Ints, step_s: int) -> Floats:
        """Mean price over steps that begin at multiples of their length (step,) [USD/MWh]."""
        piece_s = gcd(step_s, SECONDS_PER_HOUR)
        if piece_s == step_s:
            return self.at(t_s)
        within = np.arange(0, step_s, piece_s)
        return np.asarray(self.at(t_s[:, None] + within).mean(axis=1), dtype=np.float64)


class SeasonalJumpPrice(HourlyPrice):
    """A path of the process for one zone, constant within the hour.

    `mean_usd_per_mwh` multiplies the whole path by its ratio to the profile's long-run mean, before
    the market's floor and cap; None keeps the calibrated level. At high levels the cap lowers the
    mean: by about 1 % at 3 times the profile's mean, under 2 % at 5 times.
    """

    def __init__(
        self,
        profile: PriceProfile,
        *,
        mean_usd_per_mwh: float | None,
        start_utc: datetime,
        utc_offset_h: float,
        horizon_s: int,
        zone: str,
        streams: Streams,
    ) -> None:
        hours = -(-horizon_s // SECONDS_PER_HOUR)
        y = path(profile, hours, start_utc + timedelta(hours=utc_offset_h), zone, streams)
        usd = np.exp(y) - profile.offset_usd_per_mwh
        level = (mean_usd_per_mwh or profile.mean_usd_per_mwh) / profile.mean_usd_per_mwh
        super().__init__(np.clip(usd * level, FLOOR_USD_PER_MWH, CAP_USD_PER_MWH))


def path(
    profile: PriceProfile, hours: int, start_local: datetime, zone: str, streams: Streams
) -> Floats:
    """Transformed price y (hour,)."""
    month, weekday, hour = local_calendar(start_local, hours)
    blocks = -(-hours // BLOCK_HOURS)
    drawn = [_block(streams, zone, b * BLOCK_DAYS) for b in range(blocks)]
    fast, slow, arrival, size = (np.concatenate([d[k] for d in drawn])[:hours] for k in range(4))
    jumps = (arrival < profile.jump_rate_per_h[hour]) * size * profile.jump_size
    return np.asarray(
        profile.seasonal[month, hour]
        + profile.weekend * (weekday >= 5)
        + ar1(fast, profile.fast_ar1_per_h, profile.fast_noise)
        + ar1(slow, profile.slow_ar1_per_h, profile.slow_noise)
        + decayed(jumps, profile.jump_decay_per_h),
        dtype=np.float64,
    )


def ar1(normal: Floats, autocorrelation: float, deviation: float) -> Floats:
    """Stationary AR(1) path from standard normals."""
    shocks = normal * deviation * np.sqrt(1.0 - autocorrelation**2)
    shocks[:1] = normal[:1] * deviation
    return decayed(shocks, autocorrelation)


def local_calendar(start_local: datetime, hours: int) -> tuple[Ints, Ints, Ints]:
    """Month (0 to 11), weekday (0 Monday) and hour of each hour from the start on."""
    start = np.datetime64(start_local.replace(tzinfo=None), "s")
    seconds = start + np.arange(hours) * np.timedelta64(SECONDS_PER_HOUR, "s")
    since = seconds.astype(np.int64)
    month = seconds.astype("datetime64[M]").astype(np.int64) % 12
    weekday = (since // SECONDS_PER_DAY + 3) % 7  # 1970-01-01 was a Thursday
    return month, weekday, since // SECONDS_PER_HOUR % 24


def _block(streams: Streams, zone: str, day: int) -> tuple[Floats, ...]:
    draw = streams.generator("price", zone, day)
    return (
        draw.standard_normal(BLOCK_HOURS),
        draw.standard_normal(BLOCK_HOURS),
        draw.random(BLOCK_HOURS),
        draw.standard_exponential(BLOCK_HOURS),
    )
