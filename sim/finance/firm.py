"""The firm: everything about its money, in the order of a day."""

from typing import NamedTuple

import numpy as np

from sim.finance.agreements import NEVER, Hosting, Leases, Offtakes, Payments
from sim.finance.assets import FixedAssets
from sim.finance.books import Books
from sim.finance.borrowing_costs import BorrowingCosts
from sim.finance.calendar import Calendar, Month
from sim.finance.chart import EARNINGS, OWNERS, Account
from sim.finance.funding import Funding
from sim.finance.impairment import Impairment
from sim.finance.insurance import Insurers
from sim.finance.lease_books import LeaseBooks
from sim.finance.ledger import Ledger
from sim.finance.loans import Lending
from sim.finance.meters import Meters
from sim.finance.months import MonthlyBills
from sim.finance.projects import Projects
from sim.finance.solvency import Claim, wind_up
from sim.finance.tax import TAXES, TaxBooks
from sim.finance.treasury import Treasury, cents
from sim.kernels import flows
from sim.plant import Plant
from sim.plant.inventory import Change
from sim.scenario.deals import Lease
from sim.scenario.scenario import Scenario
from sim.types import Floats, OnSiteEvent
from sim.units import CENTS_PER_USD
from sim.world.world import World

CENT = 0.005


class Position(NamedTuple):
    """Financial position at an instant: columns of the fleet table."""

    cash_usd: float
    btc_held: float
    btc_collateral: float
    debt_usd: float
    ltv: float  # highest of all loans, 0 without debt
    equity_usd: float  # bitcoin at market


class Firm:
    """Owns the ledger. Nothing is posted after insolvency."""

    def __init__(
        self, scenario: Scenario, world: World, plant: Plant, event: OnSiteEvent, meters: Meters
    ) -> None:
        self.scenario = scenario
        self.ledger = Ledger([s.name for s in scenario.sites])
        self.event = event
        horizon = scenario.horizon
        self.calendar = Calendar(horizon.start_utc, horizon.seconds)

        def fleet_event(t_s: int, kind: str, subject: str, detail: str) -> None:
            event(t_s, kind, "", subject, detail)

        self.fleet_event = fleet_event
        ledger, start_utc = self.ledger, horizon.start_utc
        self.treasury = Treasury(scenario.treasury, ledger, start_utc, fleet_event)
        factor = scenario.what_if.interest_factor
        loans = {
            name: loan.model_copy(update={"rate_per_year": loan.rate_per_year * factor})
            for name, loan in scenario.loans.items()
        }
        self.lending = Lending(loans, self.treasury, ledger, start_utc, fleet_event)
        self.payments = Payments(ledger)
        self.bills = MonthlyBills(scenario, world.peaks)
        self.assets = FixedAssets(scenario, ledger)
        self.hosting = Hosting(scenario, ledger, plant.inventory, plant.asics)
        self.leases = Leases(scenario, ledger, plant.inventory, self.calendar)
        rate_per_year = scenario.firm.borrowing_rate_per_year
        self.lease_books = LeaseBooks(self.leases, ledger, self.calendar, rate_per_year)
        self.offtakes = Offtakes(scenario, ledger, self.payments)
        self.books = Books(scenario, ledger, self.offtakes.sold)
        self.insurers = Insurers(scenario, ledger, self.assets, self.payments)
        machines = (plant.asics, plant.nodes)
        self.projects = Projects(
            scenario, ledger, self.treasury, self.lending, self.assets, machines, fleet_event
        )
        self.tax = TaxBooks(scenario, ledger, self.assets, self.payments, self.calendar)
        self.funding = Funding(
            scenario,
            self.calendar,
            self.treasury,
            self.lending,
            self.assets,
            self.projects,
            plant.inventory,
            lambda price: self.position(price).equity_usd,
            fleet_event,
        )
        if self.treasury.must_pay:
            self.lending.find = self.funding.find
        line = self.funding.revolver
        self.borrowing_costs = BorrowingCosts(ledger, self.lending, line, self.projects)
        self.impairment = Impairment(scenario, ledger, self.assets, meters)
        self.day_flow = np.zeros((flows.SITE_FLOWS, len(scenario.sites)))  # not posted yet
        self.month_flow = np.zeros_like(self.day_flow)
        self.insolvent_s: int | None = None
        self.claims: list[Claim] = []
        self.usd_per_btc = float(world.usd_per_btc[0])
        self._own = (-1, 0.0)  # cache: number of transactions, `_own_usd` after them

    def begin(self) -> None:
        """Post the opening balance; call after events before the run have been replayed."""
        self.treasury.open(self.usd_per_btc)
        self.lending.open(self.usd_per_btc)
        self.bills.open(self.ledger)
        self.assets.open()
        self.offtakes.open()
        self._place_deposits()
        self.tax.open(self.usd_per_btc)
        for lease, _, groups, start_s, _ in self.leases.terms:
            if lease.sale_usd_per_machine and start_s == 0.0:
                self._sell_and_rent(0, lease, groups)
        self.lease_books.recognise(0)

    def _place_deposits(self) -> None:
        """Book deposits: skip those returned before the run; those paid before it are opening."""
        for name, deposit in self.scenario.deposits.items():
            usd, memo = np.array(deposit.usd), f"deposit {name}"
            paid_s = self.calendar.t_s(deposit.paid_utc, -NEVER)
            back_s = self.calendar.t_s(deposit.returned_utc, 2.0 * self.calendar.seconds)
            if back_s < 0.0 or deposit.host in self.hosting.ended:  # returned or lost
                continue
            if paid_s < 0.0:
                self.ledger.post(0, Account.DEPOSITS, Account.OPENING, "USD", usd, memo)
            else:
                self.payments.later(paid_s, Account.DEPOSITS, Account.CASH, usd, memo)
            memo = f"deposit {name} returned"
            self.payments.later(back_s, Account.CASH, Account.DEPOSITS, usd, memo)

    # Hourly, daily and monthly steps.

    def check_loans(self, t_s: int, usd_per_btc: float) -> None:
        """Lenders check their collateral (hourly)."""
        if self.insolvent_s is None:
            self.lending.check(t_s, usd_per_btc)

    def interval(self, flow: Floats) -> None:
        """Add an interval's flows (SITE_FLOWS, site), posted at the end of the day."""
        self.day_flow += flow

    def close_day(self, t_s: int, usd_per_btc: float) -> bool:
        """Post the day's flows; False if the firm cannot pay what is due."""
        if self.insolvent_s is not None:
            return True
        self.usd_per_btc = usd_per_btc
        self.books.close_day(t_s, self.day_flow, self.bills.transmission(t_s))
        self.month_flow += self.day_flow
        self.day_flow[:] = 0.0
        self.payments.close_day(t_s)
        self._sell_machines(t_s)
        self.lending.close_day(t_s, usd_per_btc)
        months = self.calendar.months_ended(t_s)
        for month in months:
            self._close_month(t_s, month)
        self.treasury.close_day(t_s, usd_per_btc, self.lending.repay, lambda: self._settle(t_s))
        if months:
            self.treasury.revalue(t_s, usd_per_btc)
            self.tax.close_month(t_s)
        return not self._fails(t_s)

    def _settle(self, t_s: int) -> None:
        """Pay what is due, raising cash by the steps of [funding] if needed.

        All or nothing: if it cannot all be paid, the estate is distributed.
        """
        treasury, line = self.treasury, self.funding.revolver
        if not treasury.must_pay:
            return
        unpaid_usd = self._unpaid_usd(t_s) - max(-treasury.cash_usd, 0.0)
        if not self.funding.find(t_s, unpaid_usd, self.usd_per_btc, "bills and debts that are due"):
            return
        owed = min(-self.ledger.units(Account.PAYABLES, "USD"), max(cents(treasury.cash_usd), 0))
        treasury.move(t_s, Account.PAYABLES, Account.CASH, "USD", owed, "bills that were due")
        self.lending.pay_due(t_s)
        if line is not None:
            floor_usd = 0.0 if line.due(t_s) else treasury.spec.cash_floor_usd
            line.pay(t_s, treasury.cash_usd - floor_usd)

    def _close_month(self, t_s: int, month: Month) -> None:
        overhead = np.array(self.scenario.firm.overhead_usd_per_month * month.share)
        self.ledger.post(t_s, Account.OVERHEAD, Account.CASH, "USD", overhead, "overhead")
        self.hosting.close_month(t_s, month, self.month_flow)
        financed = self.lease_books
        self.leases.close_month(t_s, month, financed.owed_usd, financed.pay)
        self.lease_books.recognise(t_s)
        self.offtakes.close_month(t_s, self.month_flow)
        for name, uptime in self.offtakes.missed:
            self.fleet_event(t_s, "SLA missed", name, f"{uptime:.2%} of the node-hours")
        self.insurers.close_month(t_s, month)
        self.assets.depreciate(t_s)
        self.lending.close_month(t_s, self.usd_per_btc)
        if self.funding.revolver is not None:
            self.funding.revolver.close_month(t_s)
        if self.scenario.firm.capitalise_interest:
            self.borrowing_costs.close_month(t_s)
        if self.calendar.quarter_ended(t_s):
            self._impair(t_s)
        self.month_flow[:] = 0.0

    def _impair(self, t_s: int) -> None:
        losses = self.impairment.close_quarter(t_s)
        if not losses:
            return
        usd, book, coming, fair = (
            sum(x) for x in zip(*((y.usd, *y[2:]) for y in losses), strict=True)
        )
        rows = "1 row" if len(losses) == 1 else f"{len(losses)} rows"
        detail = (
            f"{usd:,.2f} USD on {rows} of machines: book value {book:,.2f}, cash flows to come "
            f"{coming:,.2f}, fair value {fair:,.2f} (ASC 360-10-35-17)"
        )
        self.fleet_event(t_s, "impairment", "firm", detail)

    def earned_usd(self, after_tax: bool = False) -> float:
        """Income less expenses since the start, before or after tax [USD]."""
        return (
            -sum(
                units
                for (account, commodity), units in self.ledger.balances().items()
                if commodity == "USD"
                and account.startswith(EARNINGS)
                and (after_tax or account not in TAXES)
            )
            / CENTS_PER_USD
        )

    def _fails(self, t_s: int) -> bool:
        """Whether an amount due remains unpaid after all [funding] steps; then wind up the firm."""
        treasury = self.treasury
        if not treasury.must_pay or self._unpaid_usd(t_s) <= CENT:
            return False
        self.insolvent_s = t_s
        self.assets.depreciate(t_s)
        treasury.revalue(t_s, self.usd_per_btc)
        if self.tax.history[-1][0] != t_s:
            self.tax.close_month(t_s)  # the tax office is a creditor too
        self.claims = wind_up(
            t_s,
            self.ledger,
            self.lending,
            self.assets,
            self.leases.outstanding_usd(t_s, self.lease_books.owed_usd),
            self.usd_per_btc,
            self.scenario.firm.distressed_fraction,
        )
        owed = sum(c.owed_usd for c in self.claims if c.rank == 1)
        owed += sum(
            c.owed_usd for c in self.claims if c.rank == 2 and "shortfall" not in c.creditor
        )
        paid = sum(c.paid_usd for c in self.claims if c.rank < 3)
        detail = f"{owed:,.0f} USD owed, of which creditors may get {paid:,.0f}"
        self.fleet_event(t_s, "insolvency", "firm", detail)
        return True

    def _unpaid_usd(self, t_s: int) -> float:
        """Amounts due and unpaid [USD]."""
        line = self.funding.revolver
        unpaid = max(-self.treasury.cash_usd, 0.0) - self.ledger.balance(Account.PAYABLES, "USD")
        unpaid += self.lending.due
        return unpaid + (line.due(t_s) / CENTS_PER_USD if line is not None else 0.0)

    # Effects of incidents, projects and contracts on the books.

    def destroyed(self, t_s: int, peril: str, site: str, changes: list[Change]) -> None:
        """Write off destroyed machines of a site and claim insurance."""
        if self.insolvent_s is not None:
            return
        lost = [(c, self.assets.lose(t_s, c, f"{peril} at {site}")) for c in changes]
        self.insurers.claim(t_s, peril, site, lost, self.fleet_event)

    def had_destroyed(self, t_s: int, peril: str, site: str, changes: list[Change]) -> None:
        """Account for machines destroyed before the run; a claim may still be open."""
        lost = [(c, self.assets.had_lost(t_s, c)) for c in changes]
        self.insurers.had_claimed(t_s, peril, site, lost)

    def pay(self, due_s: int, name: str, fraction: float, usd_per_btc: float, memo: str) -> bool:
        """Pay a fraction of a project's price; False if it must wait for lack of cash.

        Payments due before the run were made then.
        """
        if due_s < 0:
            self.projects.bring_in(name, fraction)
            return True
        may_wait = not self.scenario.projects[name].committed

        def there(usd: float) -> bool:
            if not self.treasury.must_pay:
                return True
            return self.funding.find(due_s, usd, usd_per_btc, f"{name}: {memo}", may_wait)

        may_wait = may_wait and "defer" in self.scenario.funding.steps
        return self.projects.pay(name, due_s, fraction, usd_per_btc, memo, there, may_wait)

    def host_ended(self, t_s: int, name: str, machines: int) -> None:
        """End a host's contract: post moving costs and write off deposits with the host."""
        if self.insolvent_s is not None:
            return
        self.hosting.ended.add(name)
        host = self.scenario.hosts[name]
        if host.move_to is not None:
            usd = np.array(machines * host.moving_usd_per_machine)
            self.ledger.post(t_s, Account.MOVING, Account.CASH, "USD", usd, f"from {name}")
        for key, deposit in self.scenario.deposits.items():
            if deposit.host != name:
                continue
            unpaid = self.payments.cancel(f"deposit {key}")
            if self.payments.cancel(f"deposit {key} returned") and not unpaid:
                usd, memo = np.array(deposit.usd), f"deposit {key} is lost"
                self.ledger.post(t_s, Account.IMPAIRMENT, Account.DEPOSITS, "USD", usd, memo)

    def _sell_machines(self, t_s: int) -> None:
        """Sell machines to the lessors of leases that began today."""
        for lease, _, groups, start_s, _ in self.leases.terms:
            today = max(self.calendar.last_close(t_s), 0) < start_s <= t_s
            if lease.sale_usd_per_machine and today:
                self._sell_and_rent(t_s, lease, groups)

    def _sell_and_rent(self, t_s: int, lease: Lease, groups: list[int]) -> None:
        """Sell the remaining machines of a lease, including those moved, and rent them back."""
        groups = self.leases.now(groups)
        owned = sum(self.assets.owned[g] for g in groups)
        sold = min(float(lease.machines), owned)
        start_s, end_s = next((a, b) for x, _, _, a, b in self.leases.terms if x is lease)
        firm, rows = self.scenario.firm, self.scenario.asics
        left_years = max(firm.asic_life_years - min(rows[g].age_years for g in groups), 0.0)
        if self.lease_books.is_financing(lease, start_s, end_s, sold, left_years):
            usd = sold * lease.sale_usd_per_machine
            self.lease_books.finance(t_s, lease, end_s, usd)
            detail = f"{sold:.0f} machines for {usd:,.0f} USD, a financing by ASC 842-40"
            self.fleet_event(t_s, "sale and leaseback", lease.name, detail)
            return
        for g in groups:
            machines = sold * self.assets.owned[g] / owned if owned else 0.0
            usd = machines * lease.sale_usd_per_machine
            self.assets.sell(t_s, g, machines, usd, f"lease {lease.name}: sold")
        usd = sold * lease.sale_usd_per_machine
        detail = f"{sold:.0f} machines for {usd:,.0f} USD"
        self.fleet_event(t_s, "sale and leaseback", lease.name, detail)

    # Financial position.

    def position(self, usd_per_btc: float) -> Position:
        """Cash, bitcoin, debt and equity now; after insolvency, as on that day."""
        price = usd_per_btc if self.insolvent_s is None else self.usd_per_btc
        ledger, lending = self.ledger, self.lending
        held = self.treasury.held_btc
        market = held * price - self.treasury.cost_usd
        market -= ledger.balance(Account.BTC_REVALUATION, "USD")
        return Position(
            self.treasury.cash_usd,
            held,
            held - self.treasury.free_btc,
            lending.debt_usd() + self.funding.debt_usd(),
            lending.highest_ltv(price),
            -self._own_usd() + market,
        )

    def _own_usd(self) -> float:
        """Balance of equity, income and expenses, bitcoin as last valued [USD]; credits negative.

        Cached until the next posting: positions are queried hourly, postings are daily.
        """
        if self._own[0] != self.ledger.transactions:
            cents = sum(
                units
                for (account, commodity), units in self.ledger.balances().items()
                if commodity == "USD" and account.startswith(OWNERS)
            )
            self._own = (self.ledger.transactions, cents / CENTS_PER_USD)
        return self._own[1]
