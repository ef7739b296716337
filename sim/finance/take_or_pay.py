"""Take-or-pay on PPA blocks: a share of each month's energy is paid whether used or not."""

import numpy as np

from sim.finance.contracts import in_force
from sim.kernels import flows
from sim.kernels.arrays import MeterState, SiteState
from sim.scenario.scenario import Scenario
from sim.units import J_PER_MWH


class TakeOrPay:
    """Bills each contract separately: energy offered and used in a month, at its own strike.

    Where a site has several blocks at once, use is split between them by size. Shapes:
    `contract` with take-or-pay.
    """

    def __init__(self, scenario: Scenario) -> None:
        names = [site.name for site in scenario.sites]
        blocks = [c for c in scenario.power_contracts if c.kind == "ppa" and not c.resell]
        size = np.array([c.mw * in_force(c, scenario, scenario.horizon.steps) for c in blocks])
        site = np.array([names.index(c.site) for c in blocks], dtype=np.int64)
        owing = [k for k, c in enumerate(blocks) if c.take_or_pay_fraction > 0.0]
        self.site = site[owing]
        self.fraction = np.array([blocks[k].take_or_pay_fraction for k in owing])
        self.strike = np.array([blocks[k].strike_usd_per_mwh for k in owing], dtype=np.float64)
        self.mw = size[owing] if owing else np.zeros((0, scenario.horizon.steps))
        every = [size[site == s].sum(axis=0) for s in self.site.tolist()]
        total = np.array(every).reshape(self.mw.shape)
        self.part = self.mw / np.maximum(total, 1e-300)  # (contract, step) share of its site's use
        self._seen = np.zeros((2, len(names)))
        self._month = np.zeros((2, len(owing)))  # used and offered [J]

    def close_step(self, step: int, meters: MeterState) -> None:
        """After billing a control step: add each contract's energy used and offered."""
        if not len(self.site):
            return
        seen = np.stack([meters.month_block_j, meters.month_offer_j])
        self._month += (seen - self._seen)[:, self.site] * self.part[:, step - 1]
        self._seen = seen

    def close_month(self, at: list[int], site: SiteState) -> None:
        """Bill the shortfall of the month that ends at these sites."""
        for k in np.flatnonzero(np.isin(self.site, at)).tolist():
            used_j, offered_j = self._month[:, k]
            short_j = max(float(self.fraction[k] * offered_j - used_j), 0.0)
            usd = short_j * float(self.strike[k]) / J_PER_MWH
            site.flow[flows.DEMAND_USD, self.site[k]] += usd
            self._month[:, k] = 0.0
        self._seen[:, at] = 0.0
