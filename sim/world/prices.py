"""Synthetic electricity prices: a seasonal mean-reverting jump process.

The price is `shift + scale · sinh(y)`: the inverse of the variance-stabilising transform that is
common in price forecasting (Uniejewski, Weron and Ziel, 2018). `y` is a seasonal level by month and
local hour, a step at weekends, a fast and a slow AR(1) process (hours and days), and jumps up and
down that arrive as Poisson processes and decay. Calibrated by `experiments/calibrate_prices.py`.
"""

from datetime import datetime, timedelta
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.scenario import catalogue
from sim.streams import Streams
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

BLOCK_DAYS: Final = 30
BLOCK_HOURS: Final = BLOCK_DAYS * 24
FLOOR_USD_PER_MWH: Final = -251.0  # ERCOT lowest offer -250 USD/MWh, Nodal Protocols 4.4.9.3
CAP_USD_PER_MWH: Final = 5000.0  # ERCOT high system-wide offer cap since 2022, 16 TAC 25.509


class Jumps(NamedTuple):
    """Jumps of one sign in `y`."""

    rate_per_h: Floats  # (24,) arrivals by local hour [1/h]
    size: float  # mean of the exponential size [-]
    decay_per_h: float  # share left after an hour [-]


class PriceProfile(NamedTuple):
    """A calibrated price process."""

    shift_usd_per_mwh: float
    scale_usd_per_mwh: float
    seasonal: Floats  # (12, 24) level of y by month and local hour
    weekend: float  # added to y on Saturday and Sunday
    fast_ar1_per_h: float  # autocorrelation at an hour
    fast_noise: float  # stationary standard deviation
    slow_ar1_per_h: float
    slow_noise: float
    up: Jumps
    down: Jumps
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
        name: PriceProfile(
            shift_usd_per_mwh=v["shift_usd_per_mwh"][0],
            scale_usd_per_mwh=v["scale_usd_per_mwh"][0],
            seasonal=array(v["seasonal"]).reshape(12, 24),
            weekend=v["weekend"][0],
            fast_ar1_per_h=v["fast_ar1_per_h"][0],
            fast_noise=v["fast_noise"][0],
            slow_ar1_per_h=v["slow_ar1_per_h"][0],
            slow_noise=v["slow_noise"][0],
            up=Jumps(array(v["up_rate_per_h"]), v["up_size"][0], v["up_decay_per_h"][0]),
            down=Jumps(array(v["down_rate_per_h"]), v["down_size"][0], v["down_decay_per_h"][0]),
            mean_usd_per_mwh=v["mean_usd_per_mwh"][0],
        )
        for name, v in values.items()
    }


class SeasonalJumpPrice:
    """A path of the process for one zone, constant within the hour.

    `mean_usd_per_mwh` multiplies the whole path by its ratio to the profile's long-run mean, before
    the market's floor and cap; None keeps the calibrated level.
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
        usd = profile.shift_usd_per_mwh + profile.scale_usd_per_mwh * np.sinh(y)
        level = (mean_usd_per_mwh or profile.mean_usd_per_mwh) / profile.mean_usd_per_mwh
        self.usd_per_mwh = np.clip(usd * level, FLOOR_USD_PER_MWH, CAP_USD_PER_MWH)

    def at(self, t_s: Ints) -> Floats:
        """Price (instant,) [USD/MWh]."""
        return np.asarray(self.usd_per_mwh[t_s // SECONDS_PER_HOUR], dtype=np.float64)


def path(
    profile: PriceProfile, hours: int, start_local: datetime, zone: str, streams: Streams
) -> Floats:
    """Transformed price y (hour,)."""
    month, weekday, hour = local_calendar(start_local, hours)
    blocks = -(-hours // BLOCK_HOURS)
    drawn = [_block(streams, zone, b * BLOCK_DAYS) for b in range(blocks)]
    fast, slow, up, up_size, down, down_size = (
        np.concatenate([d[k] for d in drawn])[:hours] for k in range(6)
    )
    y = profile.seasonal[month, hour] + profile.weekend * (weekday >= 5)
    y = y + ar1(fast, profile.fast_ar1_per_h, profile.fast_noise)
    y = y + ar1(slow, profile.slow_ar1_per_h, profile.slow_noise)
    jump_up = (up < profile.up.rate_per_h[hour]) * up_size * profile.up.size
    jump_down = (down < profile.down.rate_per_h[hour]) * down_size * profile.down.size
    y = y + decayed(jump_up, profile.up.decay_per_h) - decayed(jump_down, profile.down.decay_per_h)
    return np.asarray(y, dtype=np.float64)


def ar1(normal: Floats, autocorrelation: float, deviation: float) -> Floats:
    """Stationary AR(1) path out of standard normals."""
    shocks = normal * deviation * np.sqrt(1.0 - autocorrelation**2)
    shocks[:1] = normal[:1] * deviation
    return decayed(shocks, autocorrelation)


def decayed(impulses: Floats, decay: float) -> Floats:
    """x[t] = decay · x[t-1] + impulses[t]."""
    from scipy.signal import lfilter  # 0.2 s to import

    return np.asarray(lfilter([1.0], [1.0, -decay], impulses), dtype=np.float64)


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
        draw.random(BLOCK_HOURS),
        draw.standard_exponential(BLOCK_HOURS),
    )
