"""Month-end settlement of hosting, leases and offtakes; payments that fall due later."""

from collections.abc import Callable, Container
from typing import Final, NamedTuple

import numpy as np

from sim.finance.calendar import Calendar, Month
from sim.finance.chart import Account
from sim.finance.ledger import Ledger
from sim.kernels import flows
from sim.kernels.arrays import AsicGroups
from sim.plant.inventory import ASIC, Inventory
from sim.scenario.deals import Lease, Offtake
from sim.scenario.rows import MovedGroup
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import J_PER_MWH, SECONDS_PER_DAY, SECONDS_PER_YEAR

NEVER: Final = float("inf")
MONTH_S: Final = SECONDS_PER_YEAR / 12


class Payment(NamedTuple):
    """A transaction to be posted on a later day."""

    due_s: int
    debit: str
    credit: str
    usd: Floats  # (1,) or (site,)
    memo: str


class Payments:
    """Transactions that fall due later; each is posted on its day."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.open: list[Payment] = []

    def later(self, due_s: float, debit: str, credit: str, usd: Floats, memo: str) -> None:
        """Schedule a transaction for `due_s`."""
        self.open.append(Payment(round(due_s), debit, credit, usd, memo))

    def cancel(self, memo: str) -> bool:
        """Drop scheduled transactions with this memo; return whether there were any."""
        before = len(self.open)
        self.open = [p for p in self.open if p.memo != memo]
        return len(self.open) < before

    def close_day(self, t_s: int) -> None:
        """Post the transactions due by `t_s`."""
        for p in [p for p in self.open if p.due_s <= t_s]:
            self.ledger.post(t_s, p.debit, p.credit, "USD", p.usd, p.memo)
        self.open = [p for p in self.open if p.due_s > t_s]


class Hosting:
    """Hosts' fees, profit shares and uptime credits; energy is billed with the sites."""

    def __init__(
        self, scenario: Scenario, ledger: Ledger, inventory: Inventory, asics: AsicGroups
    ) -> None:
        self.ledger = ledger
        self.inventory = inventory
        self.hosts = scenario.hosts
        names = [s.name for s in scenario.sites]
        self.sites = {n: [names.index(s) for s in h.sites] for n, h in scenario.hosts.items()}
        power_w = (asics.default_share * asics.mode_w).sum(axis=1)
        self.j_per_th = power_w / np.maximum(asics.nominal_ths, 1e-300)  # (group,)
        self.site_of = asics.site
        self.ended: set[str] = set()
        self.leaving: dict[str, tuple[int, Floats]] = {}  # this month: instant, machines (site,)

    @property
    def charged_usd(self) -> float:
        """Fees and profit shares so far, less credits, without energy [USD]."""
        return self.ledger.balance(Account.HOSTING_CHARGES, "USD")

    def machines(self, name: str) -> Floats:
        """Number of ASICs deployed at a host's sites (site,)."""
        found = np.zeros(len(self.ledger.sites))
        for g, site in enumerate(self.site_of):
            if site in self.sites[name]:
                found[site] += self.inventory.deployed(ASIC, g)
        return found

    def leave(self, t_s: int, name: str) -> None:
        """End a host's service now, before its machines leave; the month is billed pro rata."""
        self.leaving[name] = (t_s, self.machines(name))

    def close_month(self, t_s: int, month: Month, flow: Floats) -> None:
        """Post the charges of the month that ends; `flow` (row, site) is the month's."""
        count = len(self.ledger.sites)
        for name, host in self.hosts.items():
            left = self.leaving.pop(name, None)
            if left is None and name in self.ended:  # ended before this month
                continue
            end_s, machines = left or (month.end_s, self.machines(name))
            here = np.isin(np.arange(count), self.sites[name])
            fee = machines * host.usd_per_machine_month * month.overlap(month.start_s, end_s)
            post = self.ledger.post
            post(t_s, Account.HOSTING_CHARGES, Account.CASH, "USD", fee, f"{name}: machine fee")
            profit = (
                flow[flows.BTC_USD] - flow[flows.POOL_FEE_USD] - flow[flows.ENERGY_USD]
            ) * here
            share = max(float(profit.sum()), 0.0) * host.profit_share
            part = np.array(share)
            post(t_s, Account.HOSTING_CHARGES, Account.CASH, "USD", part, f"{name}: profit share")
            credit = np.array(self._credit(name, flow))
            post(
                t_s, Account.CASH, Account.HOSTING_CHARGES, "USD", credit, f"{name}: uptime credit"
            )

    def _credit(self, name: str, flow: Floats) -> float:
        """Credit owed by the host for uptime below its minimum [USD]."""
        host, at = self.hosts[name], self.sites[name]
        deployed_th = float(flow[flows.FATES + flows.DEPLOYED, at].sum())
        if not host.credit_usd_per_mwh or not deployed_th:
            return 0.0
        lost_th = float(
            flow[flows.FATES + flows.LOST_OUTAGE, at].sum()
            + flow[flows.FATES + flows.LOST_LIMIT, at].sum()
        )
        short = max(host.minimum_uptime - (1.0 - lost_th / deployed_th), 0.0)
        groups = np.flatnonzero(np.isin(self.site_of, at))
        j_per_th = float(self.j_per_th[groups].mean())
        return host.credit_usd_per_mwh * short * deployed_th * j_per_th / J_PER_MWH


def leased(scenario: Scenario, lease: Lease) -> list[int]:
    """ASIC groups under a lease, as placed at the start of the run."""
    return [
        g
        for g, row in enumerate(scenario.asics)
        if (row.site, row.model, row.owner) == (lease.site, lease.model, "leased")
        and not isinstance(row, MovedGroup)
    ]


class Leases:
    """Rents of machines under sale-and-leaseback."""

    def __init__(
        self, scenario: Scenario, ledger: Ledger, inventory: Inventory, calendar: Calendar
    ) -> None:
        self.ledger = ledger
        self.inventory = inventory
        self.rows = scenario.asics
        names = [s.name for s in scenario.sites]
        self.terms = []
        for lease in scenario.leases:
            groups = leased(scenario, lease)
            start_s = calendar.t_s(lease.start_utc, -NEVER)
            end_s = calendar.t_s(lease.end_utc, NEVER)
            self.terms.append((lease, names.index(lease.site), groups, start_s, end_s))

    def standing(self, groups: list[int]) -> float:
        """Share of the groups' machines able to run, at their old or new site."""
        full = sum(self.inventory.full[ASIC][g] for g in groups)
        asic = self.inventory.states[ASIC]
        return sum(float(asic.running[g]) for g in self.now(groups)) / full if full else 0.0

    def now(self, groups: list[int]) -> list[int]:
        """The groups themselves and the groups their machines belong to after a move."""
        moved = (
            g
            for g, row in enumerate(self.rows)
            if isinstance(row, MovedGroup) and row.origin in groups
        )
        return [*groups, *moved]

    def outstanding_usd(self, t_s: int, financed: Container[str] = ()) -> float:
        """Rents from now to the end of all leases with an end date, financings excluded [USD]."""
        return sum(
            lease.machines * lease.usd_per_machine_month * max(end_s - t_s, 0.0) / MONTH_S
            for lease, _, _, start_s, end_s in self.terms
            if start_s <= t_s and end_s < NEVER and lease.name not in financed
        )

    def close_month(
        self,
        t_s: int,
        month: Month,
        financed: Container[str] = (),
        pay: Callable[[int, Lease, float, float], None] | None = None,
    ) -> None:
        """Post the rents of the month that ends; leases in `financed` are passed to `pay`."""
        usd = np.zeros(len(self.ledger.sites))
        for lease, site, groups, start_s, end_s in self.terms:
            rent = lease.machines * lease.usd_per_machine_month * month.overlap(start_s, end_s)
            rent *= 1.0 if lease.rent_when_lost else self.standing(groups)
            if pay is not None and lease.name in financed:
                pay(t_s, lease, end_s, rent)
            else:
                usd[site] += rent
        self.ledger.post(t_s, Account.RENT, Account.CASH, "USD", usd, "rents of leased machines")


class Offtakes:
    """Invoices for reserved GPU nodes: met from prepayments first, then paid after the month."""

    def __init__(self, scenario: Scenario, ledger: Ledger, payments: Payments) -> None:
        self.ledger = ledger
        self.payments = payments
        names = [s.name for s in scenario.sites]
        self.terms = [(name, o, np.isin(names, o.sites)) for name, o in scenario.offtakes.items()]
        self.sold = np.zeros(len(names), dtype=np.bool_)  # (site,) whether under an offtake
        for _, _, here in self.terms:
            self.sold |= here
        self.prepaid_usd: dict[str, float] = {}
        self.missed: list[tuple[str, float]] = []  # last closed month: name, uptime
        self.credited_usd = 0.0  # SLA credits so far

    def open(self) -> None:
        """Post buyers' prepayments at the start."""
        for name, offtake, _ in self.terms:
            self.prepaid_usd[name] = offtake.prepaid_usd
            usd = np.array(offtake.prepaid_usd)
            self.ledger.post(0, Account.CASH, Account.PREPAYMENTS, "USD", usd, f"{name}: prepaid")

    def close_month(self, t_s: int, flow: Floats) -> None:
        """Invoice the month that ends; its revenue has accrued daily in `assets:receivables`."""
        self.missed = []
        for name, offtake, here in self.terms:
            invoice = float(flow[flows.GPU_USD, here].sum())
            let_s, unmet_s = (
                float(flow[flows.LET_S, here].sum()),
                float(flow[flows.UNMET_S, here].sum()),
            )
            uptime = let_s / max(let_s + unmet_s, 1e-300)
            credit = round(self._credit(name, offtake, invoice, uptime), 2)
            self.credited_usd += credit
            usd = np.array(credit)
            post = self.ledger.post
            post(t_s, Account.CREDITS, Account.RECEIVABLES, "USD", usd, f"{name}: SLA credit")
            left = self.prepaid_usd[name]
            used = min(left, invoice - credit)
            self.prepaid_usd[name] = left - used
            usd = np.array(used)
            memo = f"{name}: from what was prepaid"
            post(t_s, Account.PREPAYMENTS, Account.RECEIVABLES, "USD", usd, memo)
            usd = np.array(invoice - credit - used)
            due_s = t_s + offtake.payment_days * SECONDS_PER_DAY
            self.payments.later(due_s, Account.CASH, Account.RECEIVABLES, usd, f"{name}: paid")

    def _credit(self, name: str, offtake: Offtake, invoice: float, uptime: float) -> float:
        if uptime >= offtake.uptime_sla or invoice <= 0.0:
            return 0.0
        self.missed.append((name, uptime))
        return offtake.credit_fraction * invoice
