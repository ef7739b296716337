"""Metered earnings and costs of each group of machines: hashes, hours, tokens, joules.

A site's mined bitcoin is allocated to its ASICs by the interval's hashes; GPU hours are metered
node by node; tokens are allocated to the nodes serving their model, by joules. Energy is charged by
the interval's joules, cooling included, so that a group that curtails in an expensive hour is not
charged for it. Monthly bills (demand, peaks, wear, contracts) and all other site costs are charged
by the month's joules. Idle machines earn nothing, whatever their nameplate.
"""

from typing import Final

import numpy as np

from sim.finance.statements import months_of, start_of
from sim.kernels import flows
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints

AT_ONCE: Final = [flows.ENERGY_USD, flows.FUEL_USD]  # charged interval by interval
BY_MONTH: Final = [
    flows.CONTRACT_USD,
    flows.DEMAND_USD,
    flows.PEAK_USD,
    flows.WEAR_USD,
    flows.PENALTY_USD,
]


class Meters:
    """Filled by the recorder at the end of each interval. Shapes: `month`, `row`, `site`.

    A row is a group of machines: rows of asics.csv, then rows of gpus.csv.
    """

    def __init__(self, scenario: Scenario, lanes: list[tuple[int, str]]) -> None:
        """`lanes` holds site and model of each request lane."""
        horizon = scenario.horizon
        names = [s.name for s in scenario.sites]
        self.asics, self.nodes = len(scenario.asics), len(scenario.gpus)
        at = [*(g.site for g in scenario.asics), *(g.site for g in scenario.gpus)]
        self.site: Ints = np.array([names.index(site) for site in at], dtype=np.int64)
        # Pool number of each lane: nodes that serve the same model at the same site.
        pools: dict[tuple[int, str], int] = {}
        self.lane_pool: Ints = np.array(
            [pools.setdefault(lane, len(pools)) for lane in lanes], dtype=np.int64
        )
        self.pool: Ints = np.array(
            [
                pools.get((names.index(g.site), g.model), -1) if g.state == "serving" else -1
                for g in scenario.gpus
            ],
            dtype=np.int64,
        )
        self.pools = len(pools)
        months = months_of(horizon.start_utc, horizon.seconds)
        since = months[1:].astype("datetime64[s]") - start_of(horizon.start_utc)
        self._month_ends_s: Ints = since.astype(np.int64)
        shape = (len(months), len(at))
        self.mined_usd = np.zeros(shape)  # less the pool's fee
        self.sold_usd = np.zeros(shape)  # hours and tokens, less credits and node operating cost
        self.energy_usd = np.zeros(shape)  # charged by interval
        self.joules = np.zeros(shape)  # machines and their cooling
        self.bills_usd = np.zeros((len(months), len(names)))  # charged by the month's joules
        self.spent_usd = np.zeros((len(months), len(names)))  # energy cost with no joules to charge
        self.hashed_th = np.zeros((len(months), self.asics))
        self.there_s = np.zeros((len(months), self.asics))  # machine-seconds deployed

    def interval(self, end_s: int, flow: Floats, used: tuple[Floats, Floats, Floats]) -> None:
        """Allocate an interval's flows (SITE_FLOWS, site) to groups by use."""
        month = int(np.searchsorted(self._month_ends_s, end_s))
        asic, node, lane = used
        sites = flow.shape[1]
        hashes = asic[flows.USED_TH].sum(axis=1)
        joules = np.concatenate(
            [
                (asic[flows.USED_J] + asic[flows.USED_COOLING_J]).sum(axis=1),
                (node[flows.NODE_USED_J] + node[flows.NODE_USED_COOLING_J]).sum(axis=1),
            ]
        )
        self.joules[month] += joules
        self.hashed_th[month] += hashes
        self.there_s[month] += asic[flows.USED_THERE_S].sum(axis=1)
        self.mined_usd[month, : self.asics] += _shared(
            flow[flows.BTC_USD] - flow[flows.POOL_FEE_USD], hashes, self.site[: self.asics], sites
        )
        spent = node[flows.NODE_USED_CREDIT_USD] + node[flows.NODE_USED_OPEX_USD]
        sold = (node[flows.NODE_USED_USD] - spent).sum(axis=1)
        if self.pools:
            net_usd = lane[0] - lane[1]
            of_pool = np.bincount(self.lane_pool, net_usd, self.pools).astype(np.float64)
            mine = self.pool >= 0
            sold[mine] += _shared(of_pool, joules[self.asics :][mine], self.pool[mine], self.pools)
        self.sold_usd[month, self.asics :] += sold
        energy = flow[AT_ONCE].sum(axis=0)
        charged = _shared(energy, joules, self.site, sites)
        self.energy_usd[month] += charged
        idle = energy - np.bincount(self.site, charged, sites)
        self.bills_usd[month] += flow[BY_MONTH].sum(axis=0) - flow[flows.PROGRAMME_USD] + idle
        self.spent_usd[month] += energy + flow[BY_MONTH].sum(axis=0) - flow[flows.PROGRAMME_USD]

    def operating(self, other_usd: Floats) -> Floats:
        """Operating cash of each group (month, row) [USD].

        `other_usd` (month, site) is the sites' other operating cash in the books: hosting fees,
        rents, moving (costs negative).
        """
        bills = self.bills_usd - other_usd
        share = np.zeros_like(self.joules)
        for month, (joules, due) in enumerate(zip(self.joules, bills, strict=True)):
            share[month] = _shared(due, joules, self.site, len(due))
        return self.mined_usd + self.sold_usd - self.energy_usd - share


def _shared(amount: Floats, units: Floats, of: Ints, count: int) -> Floats:
    """Allocate amounts (place,) to rows by their units (row,); `of` (row,) is each row's place."""
    total = np.bincount(of, units, count)[of]
    part = np.divide(units, total, out=np.zeros_like(units), where=total > 0.0)
    return np.asarray(amount[of] * part, dtype=np.float64)
