"""Machines and buildings on the books: depreciation, impairment, sale."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.finance.ledger import Ledger
from sim.kernels.arrays import Floats
from sim.plant.machines import awaited
from sim.plant.presence import ASIC, GPU, Change
from sim.scenario import catalogue
from sim.scenario.rows import MovedGroup
from sim.scenario.scenario import Scenario
from sim.units import SECONDS_PER_YEAR

ACCOUNTS: Final = {ASIC: "assets:asics", GPU: "assets:gpus", "building": "assets:buildings"}


@dataclass
class Lot:
    """What was bought together: loses its value evenly over its life."""

    kind: str  # asic, gpu, building
    group: int  # row of asics.csv or gpus.csv; building: index of the site
    site: int
    cost_usd: float
    from_s: int
    life_s: float
    left: float = 1.0  # share that still stands
    done: float = 0.0  # share of its life that has been depreciated
    bought: bool = True  # False: there since before the run, at what the books said

    @property
    def book_usd(self) -> float:
        """What it stands in the books for."""
        return self.cost_usd * self.left * (1.0 - self.done)

    def worn(self, t_s: int) -> float:
        """Share of its life that lies behind it at an instant."""
        return min(max(t_s - self.from_s, 0) / self.life_s, 1.0)


class FixedAssets:
    """All lots of the firm, each at its site's account."""

    def __init__(self, scenario: Scenario, ledger: Ledger) -> None:
        self.ledger = ledger
        firm = scenario.firm
        self.life_s = {
            ASIC: firm.asic_life_years * SECONDS_PER_YEAR,
            GPU: firm.gpu_life_years * SECONDS_PER_YEAR,
            "building": firm.building_life_years * SECONDS_PER_YEAR,
        }
        names = [s.name for s in scenario.sites]
        sold = _sold_before(scenario)
        self.lots: list[Lot] = []
        self.owned: list[float] = []  # ASICs of each group that it has neither sold nor lost
        for g, row in enumerate(scenario.asics):
            ths = catalogue.asics(scenario.asic_models)[row.model].nominal.hashrate_ths
            own = row.count * (1.0 - sold.get((row.site, row.model), 0.0) * (row.owner == "leased"))
            self.owned.append(0.0 if isinstance(row, MovedGroup) else own)
            if not awaited(row):
                self._opening(ASIC, g, names.index(row.site), own * ths * firm.asic_usd_per_th)
        for g, node in enumerate(scenario.gpus):
            gpus = node.nodes * node.gpus_per_node
            if not awaited(node):
                self._opening(GPU, g, names.index(node.site), gpus * firm.gpu_usd_per_gpu)

    def _opening(self, kind: str, group: int, site: int, usd: float) -> None:
        if usd > 0.0:
            self.lots.append(Lot(kind, group, site, usd, 0, self.life_s[kind], bought=False))

    def open(self) -> None:
        """What stands there at the start, against equity."""
        for kind, account in ACCOUNTS.items():
            usd = self._by_site([(x, x.book_usd) for x in self.lots if x.kind == kind])
            self.ledger.post(0, account, "equity:opening", "USD", usd, "opening book value")

    def stood(self, kind: str, group: int, site: int, usd: float, from_s: int) -> None:
        """What was bought for `usd` stands there since before the run; `open` posts its value."""
        lot = Lot(kind, group, site, usd, from_s, self.life_s[kind])
        lot.done = lot.worn(0)
        self.lots.append(lot)

    def had_lost(self, t_s: int, change: Change) -> float:
        """Machines were destroyed before the run: not in its opening balance; their value [USD]."""
        share = (change.before - change.now) / change.before if change.before else 0.0
        if change.kind == ASIC:
            self.owned[change.group] *= 1.0 - share
        lots = [x for x in self.lots if (x.kind, x.group) == (change.kind, change.group)]
        usd = sum(x.cost_usd * x.left * (1.0 - x.worn(t_s)) for x in lots) * share
        for lot in lots:
            lot.left *= 1.0 - share
        return usd

    def add(self, t_s: int, kind: str, group: int, site: int, usd: float) -> None:
        """A project went live: what was paid for it becomes machines or a building."""
        lot = Lot(kind, group, site, usd, t_s, self.life_s[kind])
        self.lots.append(lot)
        usd_at = self._by_site([(lot, usd)])
        self.ledger.post(t_s, ACCOUNTS[kind], "assets:projects", "USD", usd_at, "project is live")

    def depreciate(self, t_s: int) -> None:
        """Bring all book values down to now."""
        for kind, account in ACCOUNTS.items():
            worn = []
            for lot in self.lots:
                if lot.kind == kind:
                    done = lot.worn(t_s)
                    worn.append((lot, lot.cost_usd * lot.left * (done - lot.done)))
                    lot.done = done
            usd = self._by_site(worn)
            self.ledger.post(t_s, "expenses:depreciation", account, "USD", usd, "straight line")

    def lose(self, t_s: int, change: Change, memo: str) -> float:
        """Machines of a group are destroyed: their book value is lost [USD]."""
        share = (change.before - change.now) / change.before if change.before else 0.0
        if change.kind == ASIC:
            self.owned[change.group] *= 1.0 - share
        return self._write_off(t_s, change.kind, change.group, share, "expenses:impairment", memo)

    def sell(self, t_s: int, group: int, machines: float, usd: float, memo: str) -> None:
        """ASICs of a group are sold for `usd`, more or less than their book value."""
        share = min(machines / self.owned[group], 1.0) if self.owned[group] else 0.0
        self.owned[group] -= share * self.owned[group]
        book_usd = self._write_off(t_s, ASIC, group, share, "assets:cash", memo)
        gain = np.array(usd - book_usd)
        self.ledger.post(t_s, "assets:cash", "income:machine-sales", "USD", gain, memo)

    def write_down(self, t_s: int, share: float, debit: str, memo: str) -> None:
        """Everything loses a share of its book value."""
        self.depreciate(t_s)
        for kind, account in ACCOUNTS.items():
            lots = [x for x in self.lots if x.kind == kind]
            usd = self._by_site([(x, x.book_usd * share) for x in lots])
            for lot in lots:
                lot.cost_usd *= 1.0 - share
            self.ledger.post(t_s, debit, account, "USD", usd, memo)

    def move(self, group: int, to_group: int, to_site: int) -> None:
        """ASICs stand at another site from now on."""
        self.owned[to_group] += self.owned[group]
        self.owned[group] = 0.0
        for lot in self.lots:
            if lot.kind == ASIC and lot.group == group:
                lot.group, lot.site = to_group, to_site

    def book_usd(self, kind: str | None = None, group: int | None = None) -> float:
        """Book value of a group, a kind or all."""
        return sum(
            x.book_usd for x in self.lots if kind in (None, x.kind) and group in (None, x.group)
        )

    def _write_off(
        self, t_s: int, kind: str, group: int, share: float, debit: str, memo: str
    ) -> float:
        self.depreciate(t_s)
        lots = [x for x in self.lots if x.kind == kind and x.group == group]
        usd = self._by_site([(x, x.book_usd * share) for x in lots])
        for lot in lots:
            lot.left *= 1.0 - share
        self.ledger.post(t_s, debit, ACCOUNTS[kind], "USD", usd, memo)
        return float(usd.sum())

    def _by_site(self, parts: list[tuple[Lot, float]]) -> Floats:
        at = np.array([lot.site for lot, _ in parts], dtype=np.int64)
        usd = np.array([value for _, value in parts], dtype=np.float64)
        return np.bincount(at, usd, len(self.ledger.sites)).astype(np.float64)


def _sold_before(scenario: Scenario) -> dict[tuple[str, str], float]:
    """Share of the leased ASICs of a site and model that had been sold when the run began."""
    machines: dict[tuple[str, str], int] = {}
    for row in scenario.asics:
        if row.owner == "leased" and not awaited(row):
            machines[row.site, row.model] = machines.get((row.site, row.model), 0) + row.count
    sold: dict[tuple[str, str], float] = {}
    start_utc = scenario.horizon.start_utc
    for lease in scenario.leases:
        before = lease.start_utc is not None and lease.start_utc < start_utc
        if before or not lease.sale_usd_per_machine:
            key = lease.site, lease.model
            sold[key] = sold.get(key, 0.0) + lease.machines / max(machines.get(key, 0), 1)
    return sold
