"""Tariff prices at every instant, and their means over control steps."""

from datetime import datetime
from math import gcd
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from sim.scenario.tariffs import PIECE_S, Tariff, Window
from sim.types import Bools, Floats, Ints
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

MONDAY_SHIFT: Final = 3  # 1970-01-01 was a Thursday
WEEKEND: Final = 5  # Saturday, counted from Monday as 0


class TariffPath:
    """A tariff as a signal of run seconds [USD/MWh]."""

    def __init__(self, tariff: Tariff, start_utc: datetime) -> None:
        self.tariff = tariff
        self.start_unix_s = round(start_utc.timestamp())

    def at(self, t_s: Ints, above_mwh: float = 0.0) -> Floats:
        """Prices in force (instant,) [USD/MWh] once a month's use exceeds `above_mwh`."""
        unix_s = np.asarray(t_s, dtype=np.int64) + self.start_unix_s
        local_s = clock_s(unix_s, self.tariff.timezone, self.tariff.utc_offset_h)
        usd = np.empty(len(unix_s))
        for price in self.tariff.prices:
            if price.above_mwh_month > above_mwh:
                continue
            holds = in_hours(price, local_s)
            if price.start_utc is not None:
                holds &= unix_s >= price.start_utc.timestamp()
            usd[holds] = price.usd_per_mwh
        return usd

    def mean(self, t_s: Ints, step_s: int, above_mwh: float = 0.0) -> Floats:
        """Time-weighted means over steps of equal length (step,), exact."""
        piece_s = gcd(step_s, PIECE_S, self.start_unix_s % PIECE_S or PIECE_S)
        within = np.arange(0, step_s, piece_s)
        pieces = (np.asarray(t_s)[:, None] + within).ravel()
        return np.asarray(
            self.at(pieces, above_mwh).reshape(len(t_s), -1).mean(axis=1), dtype=np.float64
        )


def clock_s(unix_s: Ints, timezone: str | None, utc_offset_h: float | None) -> Ints:
    """Local time (instant,) as seconds since 1970; a zone's clock changes are included."""
    if timezone is None:
        return unix_s + round((utc_offset_h or 0.0) * SECONDS_PER_HOUR)
    zone = ZoneInfo(timezone)
    # Clocks change only at full quarters of an hour in UTC.
    quarter, of = np.unique(unix_s // PIECE_S, return_inverse=True)
    offsets = [
        (datetime.fromtimestamp(q * PIECE_S, zone).utcoffset() or _NONE).total_seconds()
        for q in quarter.tolist()
    ]
    return np.asarray(unix_s + np.array(offsets, dtype=np.int64)[of])


_NONE: Final = datetime.min - datetime.min


def in_hours(price: Window, local_s: Ints) -> Bools:
    """Whether a window applies (instant,); hours over midnight belong to the day they begin on."""
    hour = local_s % SECONDS_PER_DAY / SECONDS_PER_HOUR
    if price.to_hour > price.from_hour:
        holds = (hour >= price.from_hour) & (hour < price.to_hour)
        begun_s = local_s
    else:
        late = hour < price.to_hour  # the window began yesterday
        holds = (hour >= price.from_hour) | late
        begun_s = local_s - late * SECONDS_PER_DAY
    day = begun_s // SECONDS_PER_DAY
    if price.days != "all":
        weekend = (day + MONDAY_SHIFT) % 7 >= WEEKEND
        holds &= weekend if price.days == "weekend" else ~weekend
    if price.months:
        month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
        holds &= np.isin(month, price.months)
    return np.asarray(holds, dtype=np.bool_)


def month_of(local_s: Ints) -> Ints:
    """Months since January 1970 of instants of local time."""
    return np.asarray(local_s).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def length_s(month: int) -> int:
    """Length of a month, counted since January 1970 [s]."""
    begin, end = (np.datetime64(m, "M").astype("datetime64[s]") for m in (month, month + 1))
    return int((end - begin).astype(np.int64))
