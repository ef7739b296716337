"""Locational marginal prices of a grid around the fleet: a DC optimal power flow over time."""

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from sim.grid.matpower import Case
from sim.grid.opf import NO_BIDS, DcOpf
from sim.scenario.model import DcOpfPrice
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints
from sim.units import W_PER_MW
from sim.world.energy import case_load
from sim.world.topology import FORMS, Topology


class Cleared(NamedTuple):
    """A solved power flow of the grid around the fleet."""

    load_mw: Floats  # (bus,) without the fleet, shunts included
    generation_mw: Floats | None  # (gen,); None: not dispatched
    bought_w: Floats  # (bid,) of the fleet's bids [W]


class Offers(NamedTuple):
    """Power that the fleet would draw, and the price up to which it would. Shape: `bid`."""

    site: Ints
    power_w: Floats
    lmp_usd_per_mwh: Floats  # the highest price at its site's bus at which it is worth it


NO_OFFERS: Final = Offers(NO_BIDS, np.zeros(0), np.zeros(0))


class PowerMarket:
    """A case that is cleared repeatedly, with the fleet's own load, which moves the price.

    Without `dc-opf` prices, only the loads of the case follow their series.
    """

    def __init__(self, scenario: Scenario, case: Case, site_bus: Ints, spec: DcOpfPrice | None):
        horizon = scenario.horizon
        self.case = case
        self.site_bus = site_bus
        self.form = FORMS[scenario.grid.susceptance]
        self.voll = spec.voll_usd_per_mwh if spec is not None else 0.0
        self.update_s = spec.update_s if spec is not None else horizon.step_s
        self.share = case_load(scenario, np.arange(horizon.steps) * horizon.step_s)
        self.n_minus_1 = spec is not None and spec.n_minus_1
        self.bid_site = NO_BIDS
        self.opf = self._opf(case) if spec is not None else None
        self.lmp_usd_per_mwh = np.zeros(len(site_bus))

    def _opf(self, case: Case) -> DcOpf:
        return DcOpf(case, self.voll, self.form, self.site_bus[self.bid_site], self.n_minus_1)

    @property
    def makes_prices(self) -> bool:
        """Whether this market sets prices."""
        return self.opf is not None

    def due(self, t_s: int) -> bool:
        """Whether the market is cleared at `t_s`."""
        return t_s % self.update_s == 0

    def set_links(self, left: dict[int, float]) -> None:
        """Set the share left on branches that are out or derated, from now on."""
        if self.opf is None:
            return
        rate = self.case.rate_a_mw.copy()
        service = self.case.branch_in_service.copy()
        for branch, share in left.items():
            service[branch] &= share > 0.0
            rate[branch] *= share if share > 0.0 else 1.0
        self.opf = self._opf(replace(self.case, rate_a_mw=rate, branch_in_service=service))

    def clear(
        self, t_s: int, step: int, fleet_w: Floats, offers: Offers = NO_OFFERS
    ) -> Cleared | None:
        """Clear the market if it is due; None: it is not.

        Args:
            t_s: run seconds.
            step: control step.
            fleet_w: (site,) what the fleet draws at any price [W].
            offers: what it draws beyond that if the price is worth it.
        """
        if not self.due(t_s):
            return None
        load_mw = self.case.load_mw * self.share[step]
        if self.opf is None:
            return Cleared(load_mw + self.case.shunt_mw, None, np.zeros(0))
        if not np.array_equal(offers.site, self.bid_site) and len(offers.site):
            self.bid_site = offers.site.copy()
            self.opf = self._opf(self.opf.case)
        fleet_mw = np.bincount(self.site_bus, fleet_w / W_PER_MW, len(load_mw))
        bids = (offers.power_w / W_PER_MW, offers.lmp_usd_per_mwh) if len(offers.site) else None
        found = self.opf.solve(load_mw + fleet_mw, bids)
        self.lmp_usd_per_mwh = found.lmp_usd_per_mwh[self.site_bus]
        bought_w = found.bought_mw * W_PER_MW if bids else np.zeros(0)
        return Cleared(load_mw + self.case.shunt_mw, found.generation_mw, bought_w)


def build_market(scenario: Scenario, topology: Topology) -> PowerMarket | None:
    """The market of a scenario with a case; None where prices do not depend on the grid."""
    if scenario.case is None or topology.mesh is None:
        return None
    specs = [p for p in scenario.prices.zones.values() if isinstance(p, DcOpfPrice)]
    return PowerMarket(scenario, scenario.case, topology.mesh.site_bus, specs[0] if specs else None)
