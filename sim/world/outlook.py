"""Public information about the coming hours: published day-ahead prices."""

from datetime import timedelta
from typing import Final

import numpy as np

from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

PUBLISHED_S: Final = 48_600  # 13:30 local standard time: ERCOT Nodal Protocols 4.5.3, DAM results
LOOK_S: Final = 1_800  # publication falls on a half hour


class Outlook:
    """Built from the whole series, but reveals only what is published. Shapes: `hour`, `site`."""

    def __init__(self, scenario: Scenario, day_ahead_usd_per_mwh: Floats | None) -> None:
        horizon, sites = scenario.horizon, scenario.sites
        self.hourly: Floats | None = None
        if day_ahead_usd_per_mwh is not None:
            hours = -(-horizon.seconds // SECONDS_PER_HOUR)
            after = np.full((2 * 24, len(sites)), np.nan)
            of_hours = _by_hour(day_ahead_usd_per_mwh, hours, horizon.step_s)
            self.hourly = np.concatenate([of_hours, after])
        starts = [horizon.start_utc + timedelta(hours=s.offset_h) for s in sites]
        local = np.array([np.datetime64(s.replace(tzinfo=None), "s") for s in starts])
        midnight = local.astype("datetime64[D]").astype("datetime64[s]")
        self.since_midnight_s = (local - midnight).astype(np.int64)
        self._seen, self._next = -1, np.zeros((0, len(sites)))

    def day_ahead_next(self, t_s: int) -> Floats:
        """Day-ahead prices of the coming hours (hour, site) [USD/MWh]; NaN: not published yet."""
        if self.hourly is None or t_s // LOOK_S == self._seen:
            return self._next.copy()
        self._seen = t_s // LOOK_S
        clock_s = (self.since_midnight_s + t_s) % SECONDS_PER_DAY
        days = np.where(clock_s < PUBLISHED_S, 1, 2)
        hour_s = t_s % SECONDS_PER_HOUR
        left = (days * SECONDS_PER_DAY - clock_s + hour_s) // SECONDS_PER_HOUR - 1
        first, count = t_s // SECONDS_PER_HOUR + 1, int(left.max())
        out = np.arange(count)[:, None] < left
        self._next = np.where(out, self.hourly[first : first + count], np.nan)
        return self._next.copy()


def _by_hour(usd_per_mwh: Floats, hours: int, step_s: int) -> Floats:
    """Hourly means (hour, site) of prices by step (step, site); a constant hour stays exact."""
    if step_s >= SECONDS_PER_HOUR:
        return usd_per_mwh[np.arange(hours) * SECONDS_PER_HOUR // step_s]
    parts = SECONDS_PER_HOUR // step_s
    steps = np.minimum(np.arange(hours * parts), len(usd_per_mwh) - 1)
    each = usd_per_mwh[steps].reshape(hours, parts, -1)
    flat = (each == each[:, :1]).all(axis=1)
    return np.asarray(np.where(flat, each[:, 0], each.mean(axis=1)), dtype=np.float64)
