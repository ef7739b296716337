"""The sites table as arrays over time and sites, for drawings."""

from typing import Any, Final

import numpy as np

from sim.results.result import RunResult
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

WEEK_S: Final = 7 * SECONDS_PER_DAY


class SiteHours:
    """The sites table as arrays (interval, site), with local time."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        self._table = result.table("sites")
        horizon = result.scenario.horizon
        self.record_s = horizon.record_s
        self.record_h = self.record_s / SECONDS_PER_HOUR
        self.count = len(result.recorder.sites)
        start = np.datetime64(horizon.start_utc.replace(tzinfo=None), "s")
        offset_s = round(result.scenario.sites[0].offset_h * SECONDS_PER_HOUR)
        self._first = start + np.timedelta64(offset_s, "s")
        begins_s = np.arange(self._table.num_rows // self.count) * self.record_s
        self.when: Any = self.at(begins_s)
        self.month: Any = self.when.astype("datetime64[M]")

    def __getitem__(self, name: str) -> Floats:
        """A column (interval, site)."""
        values = np.asarray(self._table[name].to_numpy(), dtype=np.float64)
        return values.reshape(-1, self.count)

    def at(self, t_s: Floats | Ints) -> Any:
        """Local time of seconds since the start of the run."""
        return self._first + np.asarray(t_s).astype("timedelta64[s]")

    def total(self, *names: str) -> Floats:
        """Sum of columns over the sites (interval,)."""
        return np.asarray(sum(self[name].sum(axis=1) for name in names), dtype=np.float64)

    def monthly(self, values: Floats) -> Floats:
        """Sums of `values` (interval,) by calendar month (month,)."""
        months, where = np.unique(self.month, return_inverse=True)
        return np.bincount(where, values, len(months)).astype(np.float64)

    def hottest_week(self) -> slice:
        """The consecutive whole days (at most seven) with the warmest mean over the sites."""
        week, day = WEEK_S // self.record_s, max(1, SECONDS_PER_DAY // self.record_s)
        mean_c = np.append(0.0, np.cumsum(self["ambient_c"].mean(axis=1)))
        if len(self.when) <= week:
            return slice(0, len(self.when))
        since_midnight = self.when[0] - self.when[0].astype("datetime64[D]")
        late = int(since_midnight / np.timedelta64(self.record_s, "s"))
        begins = np.arange(-late % day, len(self.when) - week + 1, day)
        if not len(begins):
            begins = np.zeros(1, dtype=np.int64)
        first = int(begins[np.argmax(mean_c[begins + week] - mean_c[begins])])
        return slice(first, first + week)

    def market(self) -> tuple[Floats, Floats]:
        """Real-time and day-ahead price (interval,) [USD/MWh], means over the exposed sites.

        Adders are subtracted, as day-ahead prices have none. NaN where no day-ahead price is known.
        """
        sites = self.result.scenario.sites
        feel = [s for s, site in enumerate(sites) if site.contract == "market"]
        if not feel:
            nothing = np.full(len(self.when), np.nan)
            return nothing, nothing
        adder = np.array([sites[s].adder_usd_per_mwh for s in feel])
        real = (self["price_usd_per_mwh"][:, feel] - adder).mean(axis=1)
        return real, self["day_ahead_usd_per_mwh"][:, feel].mean(axis=1)
