"""Income tax: taxable income, tax owed and paid, deferred tax.

Taxable income = book income - change in (book value - tax basis) of assets; purchases enter both
alike. So bitcoin held is not taxed, a sale is taxed on the basis of the bitcoin sold, and machines
follow tax depreciation. That has no impairment (26 USC 165(a): closed transactions) and deducts
interest on purchased machines at once (263A(f): interest is capitalised on what a taxpayer
produces). Losses carried forward are used up to a cap (`Tax.loss_cap_fraction`).

Tax accrues month by month on the year so far and is paid after each quarter (`payment_days`).
Deferred tax is the rate on book values above tax bases, less losses that may offset these within
the cap; a net asset is not recognised (assumed: full allowance, ASC 740-10-30-5(e)).
"""

import heapq
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from sim.finance.agreements import Payments
from sim.finance.assets import ACCOUNTS, FixedAssets, Lot
from sim.finance.calendar import Calendar
from sim.finance.chart import EARNINGS, Account
from sim.finance.ledger import Ledger
from sim.plant.inventory import ASIC, GPU
from sim.scenario import catalogue
from sim.scenario.scenario import Scenario
from sim.scenario.tax import Tax
from sim.types import Floats
from sim.units import CENTS_PER_USD, SATOSHI_PER_BTC, SECONDS_PER_DAY

TAXES: Final = (Account.TAX, Account.DEFERRED_TAX)
BITCOIN: Final = (Account.BTC, Account.BTC_REVALUATION)
MEMO: Final = "tax of the quarter"
RECOVERY_YEARS: Final = {ASIC: 5, GPU: 5, "building": 15}  # IRS Publication 946, appendix B


class Year(NamedTuple):
    """A tax year, or the year to date."""

    taxable_usd: float  # before losses of earlier years
    used_usd: float  # losses of earlier years used
    tax_usd: float
    left_usd: float  # losses carried forward


def taxed(taxable_usd: float, losses_usd: float, rate: float, cap: float) -> Year:
    """Tax of a year, using losses carried forward up to the cap."""
    if taxable_usd <= 0.0:
        return Year(taxable_usd, 0.0, 0.0, losses_usd - taxable_usd)
    used = min(losses_usd, cap * taxable_usd)
    return Year(taxable_usd, used, rate * (taxable_usd - used), losses_usd - used)


class BitcoinBasis:
    """Tax basis of bitcoin held, lot by lot."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.usd = 0.0  # basis of all bitcoin held
        self._heap: list[list[float]] = []  # order, number, satoshi, USD
        self._count = 0

    def receive(self, units: int, usd: float) -> None:
        """Add bitcoin [satoshi] received at a value [USD]."""
        if units <= 0:
            return
        order = float(self._count) if self.rule == "fifo" else -usd / units
        heapq.heappush(self._heap, [order, float(self._count), float(units), usd])
        self._count += 1
        self.usd += usd

    def relieve(self, units: int) -> float:
        """Remove bitcoin [satoshi] sold; return its basis [USD]."""
        usd, left = 0.0, float(units)
        while left > 0.0 and self._heap:
            lot = self._heap[0]
            part = min(left, lot[2])
            share = lot[3] * part / lot[2]
            usd, left = usd + share, left - part
            lot[2], lot[3] = lot[2] - part, lot[3] - share
            if lot[2] <= 0.0:
                heapq.heappop(self._heap)
        self.usd -= usd
        if not self._heap:
            self.usd = 0.0  # clear rounding once nothing is held
        return usd


@cache
def macrs(years: int) -> tuple[float, ...]:
    """Share of the price deducted in each tax year of a recovery period [y]; first year half."""
    rows = [r for r in catalogue.rows("macrs.csv") if int(r["years"]) == years]
    return tuple(float(r["pct"]) / 100.0 for r in rows)


def basis_share(placed: datetime, now: datetime, years: int, bonus: float) -> float:
    """Share of an asset's price not yet deducted under MACRS; dates in UTC.

    A year's share accrues evenly over the part of the year the asset is held.
    """
    gone = 0.0
    shares = macrs(years)
    for k, share in enumerate(shares[: now.year - placed.year + 1]):
        begin = datetime(placed.year + k, 1, 1, tzinfo=UTC)
        end = datetime(placed.year + k + 1, 1, 1, tzinfo=UTC)
        begin = max(begin, placed)
        passed = min(max((now - begin) / (end - begin), 0.0), 1.0)
        of_year = (1.0 - bonus) * share + (bonus if k == 0 else 0.0)
        gone += of_year * passed
    return max(1.0 - gone, 0.0)


class MachineBasis:
    """Tax bases of machines and buildings."""

    def __init__(self, spec: Tax, assets: FixedAssets, calendar: Calendar) -> None:
        self.spec, self.assets, self.calendar = spec, assets, calendar

    def lot_usd(self, lot: Lot, t_s: int) -> float:
        """Tax basis of a lot at an instant [USD]; 0 before it was placed."""
        if t_s < lot.from_s:
            return 0.0
        if self.spec.depreciation == "straight-line" or not lot.bought:
            return lot.cost_usd * lot.left * (1.0 - lot.worn(t_s))
        placed, now = self.calendar.at(lot.from_s), self.calendar.at(t_s)
        years = RECOVERY_YEARS[lot.kind]
        return lot.cost_usd * lot.left * basis_share(placed, now, years, self.spec.bonus_fraction)

    def by_lot_usd(self, t_s: int) -> Floats:
        """Tax bases of all lots (lot,), in order [USD]."""
        return np.array([self.lot_usd(lot, t_s) for lot in self.assets.lots], dtype=np.float64)


class TaxBooks:
    """The firm's tax: accrued monthly, paid after quarters, deferred on the balance sheet."""

    def __init__(
        self,
        scenario: Scenario,
        ledger: Ledger,
        assets: FixedAssets,
        payments: Payments,
        calendar: Calendar,
    ) -> None:
        self.spec, self.rate = scenario.tax, scenario.firm.tax_fraction
        self.ledger, self.payments, self.calendar = ledger, payments, calendar
        self.treasury = scenario.treasury
        self.bitcoin = BitcoinBasis(scenario.tax.basis)
        self.machines = MachineBasis(scenario.tax, assets, calendar)
        self.losses_usd = scenario.tax.opening_loss_usd  # of earlier years
        self.years: list[Year] = []
        self.history: list[tuple[int, Floats]] = []  # instant, bases of lots at each month end
        self._read = 0  # ledger batches already in the bitcoin basis
        self._began_usd = 0.0  # at the start of the tax year: book income, then differences
        self._differences_usd = 0.0
        self._accrued_before_usd = 0.0  # in earlier years

    def open(self, usd_per_btc: float) -> None:
        """Set opening tax bases; post the deferred tax on them against equity."""
        given = self.treasury.opening_usd_per_btc
        cost = usd_per_btc if given is None else given
        held = round(self.treasury.opening_btc * SATOSHI_PER_BTC)
        self.bitcoin.receive(held, self.treasury.opening_btc * cost)
        self._read = self.ledger.batches
        self.history.append((0, self.machines.by_lot_usd(0)))
        self._differences_usd = self._differences(0)
        self._defer(0, Account.OPENING, self.losses_usd)

    def close_month(self, t_s: int) -> None:
        """Accrue tax on the year to date; call after all other postings of the month."""
        self._read_bitcoin()
        self.history.append((t_s, self.machines.by_lot_usd(t_s)))
        if self.rate == 0.0:
            return
        taxable = self._earned_usd() - self._began_usd
        taxable -= self._differences(t_s) - self._differences_usd
        year = taxed(taxable, self.losses_usd, self.rate, self.spec.loss_cap_fraction)
        accrued = self.ledger.balance(Account.TAX, "USD") - self._accrued_before_usd
        due = np.array(year.tax_usd - accrued)
        self.ledger.post(t_s, Account.TAX, Account.TAX_OWED, "USD", due, "tax on the year so far")
        self._defer(t_s, Account.DEFERRED_TAX, year.left_usd)
        year_ended = self.calendar.year_ended(t_s)
        if year_ended or self.calendar.quarter_ended(t_s):
            self._promise(t_s)
        if year_ended:
            self.years.append(year)
            self.losses_usd = year.left_usd
            self._began_usd, self._differences_usd = self._earned_usd(), self._differences(t_s)
            self._accrued_before_usd = self.ledger.balance(Account.TAX, "USD")

    def _promise(self, t_s: int) -> None:
        """Schedule payment of tax owed beyond payments already scheduled.

        Overpayments stay as a credit against later payments.
        """
        promised = sum(float(p.usd.sum()) for p in self.payments.open if p.memo == MEMO)
        owed = -self.ledger.balance(Account.TAX_OWED, "USD") - promised
        if owed > 0.0:
            due_s = t_s + self.spec.payment_days * SECONDS_PER_DAY
            self.payments.later(due_s, Account.TAX_OWED, Account.CASH, np.array(owed), MEMO)

    def _defer(self, t_s: int, against: str, losses_usd: float) -> None:
        """Adjust the deferred tax to current differences and losses."""
        if self.rate == 0.0:
            return
        differences = self._differences(t_s)
        usable = min(losses_usd, self.spec.loss_cap_fraction * max(differences, 0.0))
        wanted = self.rate * max(differences - usable, 0.0)
        change = np.array(wanted + self.ledger.balance(Account.DEFERRED_TAX_OWED, "USD"))
        self.ledger.post(t_s, against, Account.DEFERRED_TAX_OWED, "USD", change, "deferred tax")

    def _differences(self, t_s: int) -> float:
        """Book values less tax bases [USD]."""
        accounts = (*ACCOUNTS.values(), Account.PROJECT_INTEREST, *BITCOIN)
        books = sum(self.ledger.units(a, "USD") for a in accounts) / CENTS_PER_USD
        return books - float(self.machines.by_lot_usd(t_s).sum()) - self.bitcoin.usd

    def _earned_usd(self) -> float:
        """Book income before tax since the start [USD]."""
        return (
            -sum(
                units
                for (account, commodity), units in self.ledger.balances().items()
                if commodity == "USD" and account.startswith(EARNINGS) and account not in TAXES
            )
            / CENTS_PER_USD
        )

    def _read_bitcoin(self) -> None:
        """Add bitcoin mined (net of pool fee) and sold since the last call, in order."""
        came: dict[int, list[float]] = {}
        for t_s, account, commodity, units in self.ledger.since(self._read):
            if account in (Account.MINING, Account.POOL_FEES):
                net = came.setdefault(t_s, [0.0, 0.0])
                net[commodity == "USD"] -= units
            elif account == Account.EXCHANGE and commodity == "BTC":
                self._receive(came)
                self.bitcoin.relieve(units)
        self._receive(came)
        self._read = self.ledger.batches

    def _receive(self, came: dict[int, list[float]]) -> None:
        for satoshi, cents in came.values():
            self.bitcoin.receive(round(satoshi), cents / CENTS_PER_USD)
        came.clear()
