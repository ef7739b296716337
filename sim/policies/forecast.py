"""Price forecast for the hours ahead, from observations only."""

from typing import Final

import numpy as np

from sim.policy import Observation
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_HOUR

DAYS: Final = 7
DAY_H: Final = 24


class PriceForecast:
    """The price at each meter over the next hours. Shapes: `hour`, `site`.

    Two forecasts are scored at each site by their mean absolute error so far (errors have a
    half-life of a week): the mean of this hour of day over the last week, and the published
    day-ahead price plus the mean excess that the meter paid over it. The better one is used. The
    present deviation from it is multiplied by `persistence` each hour.
    """

    def __init__(self, hours: int, persistence: float) -> None:
        self.fade = persistence ** np.arange(hours)[:, None]
        self.hours = hours
        self._hour = -1  # last hour learnt
        self._past: Floats = np.empty((DAYS * DAY_H, 0))  # prices of the last week, NaN: not seen
        self._beyond: Floats = np.empty((DAYS * DAY_H, 0))  # price less day-ahead price
        self._error: Floats = np.empty((2, 0))  # of the two forecasts
        self._daily: Floats = np.empty((DAY_H, 0))  # mean by hour of day
        self._premium: Floats = np.empty(0)

    def expect(self, observation: Observation, sites: Ints | None = None) -> Floats:
        """Prices (hour, site) [USD/MWh], of all sites or of some; row 0 is the present price.

        Pass the same sites at every call: the history is theirs.
        """
        at = slice(None) if sites is None else sites
        now = observation.price_usd_per_mwh[at]
        day_ahead = observation.energy.day_ahead_usd_per_mwh[at]
        hour = observation.t_s // SECONDS_PER_HOUR
        if self._past.shape[1] != len(now):
            self._begin(len(now))
        if hour != self._hour:
            self._learn(hour, now, day_ahead)
        known = observation.energy.day_ahead_next_usd_per_mwh[: self.hours - 1, at]
        daily = self._daily[(hour + np.arange(self.hours)) % DAY_H]
        market = np.full(daily.shape, np.nan)
        market[0] = day_ahead
        market[1 : len(known) + 1] = known
        market += self._premium
        better = (self._error[1] <= self._error[0]) & ~np.isnan(market)
        usual = np.where(better, market, daily)
        return np.asarray(usual + self.fade * (now - usual[0]))

    def _begin(self, sites: int) -> None:
        shape = (DAYS * DAY_H, sites)
        self._past, self._beyond = np.full(shape, np.nan), np.full(shape, np.nan)
        self._error, self._premium = np.zeros((2, sites)), np.zeros(sites)
        self._daily = np.full((DAY_H, sites), np.nan)

    def _learn(self, hour: int, now: Floats, day_ahead: Floats) -> None:
        """Score both forecasts against the present price, then store it."""
        self._hour, of_day = hour, hour % DAY_H
        forget = 0.5 ** (1.0 / (DAYS * DAY_H))
        errors = np.abs(np.stack([self._daily[of_day], day_ahead + self._premium]) - now)
        fresh = np.isfinite(errors).all(axis=0)  # score both or neither, so that they compare
        self._error = np.where(fresh, forget * self._error + (1.0 - forget) * errors, self._error)
        self._past[hour % len(self._past)] = now
        self._beyond[hour % len(self._past)] = now - day_ahead
        self._daily[of_day] = _mean(self._past[of_day::DAY_H])
        unseen = np.isnan(self._daily)
        if unseen.any():  # first day: the present price
            self._daily[unseen] = np.broadcast_to(now, self._daily.shape)[unseen]
        premium = _mean(self._beyond)
        self._premium = np.where(np.isnan(premium), 0.0, premium)


def _mean(values: Floats) -> Floats:
    """Mean of the known values of each column, NaN where there are none."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
