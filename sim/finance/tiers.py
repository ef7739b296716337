"""Tiered tariffs: the energy price depends on the billing month's use so far."""

from typing import NamedTuple

import numpy as np

from sim.kernels import flows
from sim.kernels.arrays import MeterState, SiteState
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import J_PER_MWH, SECONDS_PER_HOUR
from sim.world.tariffs import TariffPath, length_s, month_of


class Tiered(NamedTuple):
    """A site whose tariff has tiers. Shapes: `step`, `tier`."""

    site: int
    above_mwh: Floats  # (tier,) lower bounds for a whole month; the first is 0
    usd_per_mwh: Floats  # (step, tier)
    months: tuple[tuple[int, int, float], ...]  # first step, the step after the last, share


class Tiers:
    """Tiered bills: each MWh of a billing month is priced by the tier it falls in.

    Months follow local standard time. If the run cuts off a month, the bounds are scaled by
    the share in the run, as in a part-month bill. Exported energy is sold separately and does not
    reduce the month's energy.
    """

    def __init__(self, scenario: Scenario, ends: dict[int, list[int]]) -> None:
        horizon = scenario.horizon
        self.step_s = horizon.step_s
        t_s = np.arange(horizon.steps, dtype=np.int64) * horizon.step_s
        self.sites: list[Tiered] = []
        for s, site in enumerate(scenario.sites):
            tariff = scenario.tariffs.get(site.tariff) if site.tariff is not None else None
            if tariff is None or len(tariff.above_mwh) < 2:
                continue
            path = TariffPath(tariff, horizon.start_utc)
            usd = [path.mean(t_s, horizon.step_s, above) for above in tariff.above_mwh]
            prices = np.stack(usd, axis=1) * scenario.what_if.energy_price_factor
            local_s = round(horizon.start_utc.timestamp() + site.offset_h * SECONDS_PER_HOUR)
            months, first = [], 0
            for last in sorted(step for step, at in ends.items() if s in at):
                month = month_of(np.array([local_s + first * horizon.step_s])).item()
                share = min((last - first) * horizon.step_s / length_s(month), 1.0)
                months.append((first, last, share))
                first = last
            self.sites.append(Tiered(s, np.array(tariff.above_mwh), prices, tuple(months)))
        self.used_mwh = np.zeros(len(self.sites))  # use in the month so far

    def prices(self, step: int) -> list[tuple[int, float]]:
        """Price of the next MWh: site index and price [USD/MWh]."""
        return [
            (tiered.site, float(tiered.usd_per_mwh[step, self._tier(k, step)]))
            for k, tiered in enumerate(self.sites)
        ]

    def close_step(self, step: int, site: SiteState, meters: MeterState) -> None:
        """After a control step was billed at its first price: correct it for higher tiers."""
        for k, tiered in enumerate(self.sites):
            bounds = self._bounds(tiered, step - 1)
            before = float(self.used_mwh[k])
            more = max(float(meters.last_w[tiered.site]), 0.0) * self.step_s / J_PER_MWH
            usd = tiered.usd_per_mwh[step - 1]
            within = np.clip(before + more, bounds, np.append(bounds[1:], np.inf))
            within -= np.clip(before, bounds, np.append(bounds[1:], np.inf))
            billed = more * float(usd[self._tier(k, step - 1)])
            site.flow[flows.ENERGY_USD, tiered.site] += float(within @ usd) - billed
            ends = any(last == step for _, last, _ in tiered.months)
            self.used_mwh[k] = 0.0 if ends else before + more

    def _bounds(self, tiered: Tiered, step: int) -> Floats:
        share = next(part for first, last, part in tiered.months if first <= step < last)
        return tiered.above_mwh * share

    def _tier(self, k: int, step: int) -> int:
        bounds = self._bounds(self.sites[k], step)
        return int(np.searchsorted(bounds, self.used_mwh[k], side="right")) - 1
