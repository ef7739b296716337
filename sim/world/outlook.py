"""What is public of the hours to come: published day-ahead prices, and how long a month lasts."""

from datetime import timedelta
from typing import Final

import numpy as np

from sim.kernels.arrays import Floats
from sim.scenario.scenario import Scenario
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

PUBLISHED_S: Final = 48_600  # 13:30 local standard time: ERCOT Nodal Protocols 4.5.3, DAM results
LOOK_S: Final = 1_800  # publication falls on a half hour


class Outlook:
    """Built from the whole series; tells only what is out. Shapes: `hour`, `site`."""

    def __init__(self, scenario: Scenario, day_ahead_usd_per_mwh: Floats | None) -> None:
        horizon, sites = scenario.horizon, scenario.sites
        self.demand_usd_per_mw = np.array([s.demand_charge_usd_per_mw_month for s in sites])
        self.demand_usd_per_mw.flags.writeable = False  # policies see it
        self.hourly: Floats | None = None
        if day_ahead_usd_per_mwh is not None:
            hours = -(-horizon.seconds // SECONDS_PER_HOUR)
            after = np.full((2 * 24, len(sites)), np.nan)
            of_hours = _by_hour(day_ahead_usd_per_mwh, hours, horizon.step_s)
            self.hourly = np.concatenate([of_hours, after])
        starts = [horizon.start_utc + timedelta(hours=s.offset_h) for s in sites]
        self.local_start = np.array([np.datetime64(s.replace(tzinfo=None), "s") for s in starts])
        midnight = self.local_start.astype("datetime64[D]").astype("datetime64[s]")
        self.since_midnight_s = (self.local_start - midnight).astype(np.int64)
        self._seen, self._next = -1, np.zeros((0, len(sites)))

    def day_ahead_next(self, t_s: int) -> Floats:
        """Day-ahead prices (hour, site) of the hours after this one [USD/MWh], NaN: not out yet."""
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

    def month_left_s(self, t_s: int) -> Floats:
        """Seconds (site,) to the end of each site's billing month; 0 where it has no charge."""
        if not self.demand_usd_per_mw.any():
            return np.zeros(len(self.demand_usd_per_mw))
        now = self.local_start + np.timedelta64(t_s, "s")
        end = (now.astype("datetime64[M]") + 1).astype("datetime64[s]")
        left_s = (end - now).astype(np.int64).astype(np.float64)
        return np.asarray(np.where(self.demand_usd_per_mw > 0.0, left_s, 0.0))


def _by_hour(usd_per_mwh: Floats, hours: int, step_s: int) -> Floats:
    """Prices of steps (step, site) as means of hours (hour, site); one that holds stays exact."""
    if step_s >= SECONDS_PER_HOUR:
        return usd_per_mwh[np.arange(hours) * SECONDS_PER_HOUR // step_s]
    parts = SECONDS_PER_HOUR // step_s
    steps = np.minimum(np.arange(hours * parts), len(usd_per_mwh) - 1)
    each = usd_per_mwh[steps].reshape(hours, parts, -1)
    flat = (each == each[:, :1]).all(axis=1)
    return np.asarray(np.where(flat, each[:, 0], each.mean(axis=1)), dtype=np.float64)
