"""Book values of machines and buildings: depreciation, impairment, sale."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.finance.chart import Account
from sim.finance.ledger import Entry, Ledger
from sim.plant.inventory import ASIC, GPU, Change
from sim.plant.machines import awaited
from sim.scenario import catalogue
from sim.scenario.rows import MovedGroup
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import SECONDS_PER_YEAR

CENT: Final = 0.005
MOST_CENTS: Final = 4  # rounding residue per site: half a cent for each pair of accounts
ACCOUNTS: Final = {ASIC: Account.ASICS, GPU: Account.GPUS, "building": Account.BUILDINGS}


@dataclass
class Lot:
    """Assets bought together, depreciated straight-line over their life."""

    kind: str  # asic, gpu, building
    group: int  # row of asics.csv or gpus.csv; building: index of the site
    site: int
    cost_usd: float
    from_s: int
    life_s: float
    left: float = 1.0  # share not yet sold or destroyed
    done: float = 0.0  # share of its life already depreciated
    bought: bool = True  # False: held since before the run, at its opening book value
    kept: float = 1.0  # share of book value left after impairments
    interest_usd: float = 0.0  # capitalised during construction, on top of its cost

    @property
    def part(self) -> float:
        """Share of the cost still on the books."""
        return self.left * self.kept * (1.0 - self.done)

    @property
    def book_usd(self) -> float:
        """Book value without capitalised interest [USD]."""
        return self.cost_usd * self.part

    @property
    def interest_book_usd(self) -> float:
        """Book value of its capitalised interest [USD]."""
        return self.interest_usd * self.part

    def worn(self, t_s: int) -> float:
        """Share of its life elapsed at an instant, 0 to 1."""
        return min(max(t_s - self.from_s, 0) / self.life_s, 1.0)


class FixedAssets:
    """All lots of the firm, posted by site."""

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
        self.owned: list[float] = []  # ASICs of each group neither sold nor destroyed
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
        """Post opening book values against equity."""
        for kind, account in ACCOUNTS.items():
            usd = self.by_site([(x, x.book_usd) for x in self.lots if x.kind == kind])
            self.ledger.post(0, account, Account.OPENING, "USD", usd, "opening book value")

    def book_owned(self, kind: str, group: int, site: int, usd: float, from_s: int) -> None:
        """Add a lot bought for `usd` before the run; `open` posts its book value."""
        lot = Lot(kind, group, site, usd, from_s, self.life_s[kind])
        lot.done = lot.worn(0)
        self.lots.append(lot)

    def had_lost(self, t_s: int, change: Change) -> float:
        """Remove machines destroyed before the run from the opening balance; their value [USD]."""
        share = (change.before - change.now) / change.before if change.before else 0.0
        if change.kind == ASIC:
            self.owned[change.group] *= 1.0 - share
        lots = [x for x in self.lots if (x.kind, x.group) == (change.kind, change.group)]
        usd = sum(x.cost_usd * x.left * (1.0 - x.worn(t_s)) for x in lots) * share
        for lot in lots:
            lot.left *= 1.0 - share
        return usd

    def add(
        self, t_s: int, kind: str, group: int, site: int, usd: float, interest_usd: float = 0.0
    ) -> Lot:
        """A project goes live: its payments become the cost of machines or a building.

        `interest_usd` has already been posted, to its own account.
        """
        lot = Lot(kind, group, site, usd, t_s, self.life_s[kind], interest_usd=interest_usd)
        self.lots.append(lot)
        usd_at = self.by_site([(lot, usd)])
        self.ledger.post(t_s, ACCOUNTS[kind], Account.PROJECTS, "USD", usd_at, "project is live")
        return lot

    def depreciate(self, t_s: int) -> None:
        """Depreciate all lots up to `t_s`."""
        debit, interest = Account.DEPRECIATION, []
        for kind, account in ACCOUNTS.items():
            worn = []
            for lot in self.lots:
                if lot.kind == kind:
                    before, lot.done = lot.part, lot.worn(t_s)
                    worn.append((lot, lot.cost_usd * (before - lot.part)))
                    interest.append((lot, lot.interest_usd * (before - lot.part)))
            usd = self.by_site(worn)
            self.ledger.post(t_s, debit, account, "USD", usd, "straight line")
            self._clear(t_s, account, sum(x.book_usd for x in self.lots if x.kind == kind))
        self._post_interest(t_s, debit, interest, "straight line")

    def impair(self, t_s: int, kind: str, group: int, loss_usd: float, memo: str) -> None:
        """Write down a group's machines, capitalised interest included, by `loss_usd`.

        The loss is allocated to lots by book value (ASC 360-10-35-28). The remaining book value is
        their new cost, depreciated over their remaining lives; it is never reversed (35-20).
        """
        lots = self._of(kind, group)
        share = loss_usd / sum(x.book_usd + x.interest_book_usd for x in lots)
        usd = self.by_site([(x, x.book_usd * share) for x in lots])
        self.ledger.post(t_s, Account.UNRECOVERABLE, ACCOUNTS[kind], "USD", usd, memo)
        interest = [(x, x.interest_book_usd * share) for x in lots]
        self._post_interest(t_s, Account.UNRECOVERABLE, interest, memo)
        for lot in lots:
            lot.kept *= 1.0 - share

    def lose(self, t_s: int, change: Change, memo: str) -> float:
        """Write off machines of a group that are destroyed; return their book value [USD]."""
        share = (change.before - change.now) / change.before if change.before else 0.0
        if change.kind == ASIC:
            self.owned[change.group] *= 1.0 - share
        return self._write_off(t_s, change.kind, change.group, share, Account.IMPAIRMENT, memo)

    def sell(self, t_s: int, group: int, machines: float, usd: float, memo: str) -> None:
        """Sell ASICs of a group for `usd`; the difference to book value is a gain or loss."""
        share = min(machines / self.owned[group], 1.0) if self.owned[group] else 0.0
        self.owned[group] -= share * self.owned[group]
        book_usd = self._write_off(t_s, ASIC, group, share, Account.CASH, memo)
        gain = np.array(usd - book_usd)
        self.ledger.post(t_s, Account.CASH, Account.MACHINE_SALES, "USD", gain, memo)

    def write_down(self, t_s: int, share: float, debit: str, memo: str) -> None:
        """Write down all lots by the same share of book value."""
        self.depreciate(t_s)
        for kind, account in ACCOUNTS.items():
            lots = [x for x in self.lots if x.kind == kind]
            usd = self.by_site([(x, x.book_usd * share) for x in lots])
            for lot in lots:
                lot.cost_usd *= 1.0 - share
            self.ledger.post(t_s, debit, account, "USD", usd, memo)
        lost = [(x, x.interest_book_usd) for x in self.lots]  # no buyer pays for interest
        self._post_interest(t_s, debit, lost, memo)
        for lot in self.lots:
            lot.interest_usd = 0.0

    def move(self, group: int, to_group: int, to_site: int) -> None:
        """Move the ASICs of a group to another group and site."""
        self.owned[to_group] += self.owned[group]
        self.owned[group] = 0.0
        for lot in self.lots:
            if lot.kind == ASIC and lot.group == group:
                lot.group, lot.site = to_group, to_site

    def book_usd(self, kind: str | None = None, group: int | None = None) -> float:
        """Book value of a group, a kind or all lots, without capitalised interest [USD]."""
        return sum(
            x.book_usd for x in self.lots if kind in (None, x.kind) and group in (None, x.group)
        )

    def _write_off(
        self, t_s: int, kind: str, group: int, share: float, debit: str, memo: str
    ) -> float:
        """Remove a share of a group; return its book value without interest [USD]."""
        self.depreciate(t_s)
        lots = self._of(kind, group)
        usd = self.by_site([(x, x.book_usd * share) for x in lots])
        interest = [(x, x.interest_book_usd * share) for x in lots]
        for lot in lots:
            lot.left *= 1.0 - share
        self.ledger.post(t_s, debit, ACCOUNTS[kind], "USD", usd, memo)
        self._post_interest(t_s, Account.IMPAIRMENT, interest, memo)
        return float(usd.sum())

    def _clear(self, t_s: int, account: str, book_usd: float) -> None:
        """Clear rounding cents from an account once its book value is zero."""
        rest = self.ledger.units(account, "USD")
        if rest and abs(rest) <= MOST_CENTS * len(self.ledger.sites) and abs(book_usd) < CENT:
            sides = (Entry(Account.DEPRECIATION, "USD", rest), Entry(account, "USD", -rest))
            self.ledger.record(t_s, sides, "what rounding left")

    def _of(self, kind: str, group: int) -> list[Lot]:
        return [x for x in self.lots if (x.kind, x.group) == (kind, group)]

    def _post_interest(
        self, t_s: int, debit: str, parts: list[tuple[Lot, float]], memo: str
    ) -> None:
        if any(usd for _, usd in parts):
            usd = self.by_site(parts)
            self.ledger.post(t_s, debit, Account.PROJECT_INTEREST, "USD", usd, memo)

    def by_site(self, parts: list[tuple[Lot, float]]) -> Floats:
        """Sum of lot amounts by site (site,)."""
        at = np.array([lot.site for lot, _ in parts], dtype=np.int64)
        usd = np.array([value for _, value in parts], dtype=np.float64)
        return np.bincount(at, usd, len(self.ledger.sites)).astype(np.float64)


def _sold_before(scenario: Scenario) -> dict[tuple[str, str], float]:
    """Share of the leased ASICs of each site and model sold before the run."""
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
