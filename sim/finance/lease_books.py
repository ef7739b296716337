"""Leases on the balance sheet: right of use and what is owed for it, or a financing (ASC 842)."""

from datetime import timedelta
from typing import Final

import numpy as np
from scipy.optimize import brentq

from sim.finance.agreements import NEVER, Leases
from sim.finance.calendar import Calendar
from sim.finance.chart import Account
from sim.finance.ledger import Ledger
from sim.scenario.deals import Lease
from sim.units import SECONDS_PER_YEAR

SHORT_S: Final = 366 * 86_400  # leases of a year at most stay off the sheet (ASC 842-20-25-2)
MAJOR_PART: Final = 0.75  # of the machine's life (ASC 842-10-55-2)
SUBSTANTIALLY_ALL: Final = 0.90  # of its price (ASC 842-10-55-2)
MOST_PER_YEAR: Final = 100.0  # the highest rate that is looked for


class LeaseBooks:
    """What leases with an end stand for.

    Rents to come, discounted at the firm's borrowing rate, are a liability and the right to use the
    machines an asset of the same size (level rents, ASC 842-20-35-3); a lease without an end may be
    given up at any month and stays off the sheet. A sale whose leaseback takes MAJOR_PART of the
    machines' life, or whose rents are worth SUBSTANTIALLY_ALL of the price, is no sale (ASC
    842-40-25-2): the machines stay in the books, what was received is owed, and rents are interest
    and repayment at the rate that makes them worth it. What is still owed when such a lease ends is
    written off against the machines' gain (assumed: they are handed over).
    """

    def __init__(
        self, leases: Leases, ledger: Ledger, calendar: Calendar, rate_per_year: float
    ) -> None:
        self.leases, self.ledger, self.calendar = leases, ledger, calendar
        self.rate_per_year = rate_per_year
        self.owed_usd: dict[str, float] = {}  # by financed lease
        self._rate: dict[str, float] = {}
        self._until_s: dict[str, int] = {}

    def rents(self, lease: Lease, from_s: float, to_s: float) -> tuple[list[float], list[float]]:
        """Years from `from_s` to each rent of a lease until `to_s`, and the rents [USD]."""
        years, usd = [], []
        month = self.calendar.at(from_s).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        monthly_usd = lease.machines * lease.usd_per_machine_month
        while (begin_s := self.calendar.t_s(month, 0.0)) < to_s:
            after = (month + timedelta(days=32)).replace(day=1)
            end_s = self.calendar.t_s(after, 0.0)
            share = (min(end_s, to_s) - max(begin_s, from_s)) / (end_s - begin_s)
            years.append((end_s - from_s) / SECONDS_PER_YEAR)
            usd.append(monthly_usd * share)
            month = after
        return years, usd

    def worth_usd(self, lease: Lease, from_s: float, to_s: float, rate_per_year: float) -> float:
        """Rents of a lease from an instant to its end, discounted to that instant [USD]."""
        years, usd = self.rents(lease, from_s, to_s)
        return float(np.dot(usd, (1.0 + rate_per_year) ** -np.array(years))) if usd else 0.0

    def is_financing(
        self, lease: Lease, start_s: float, end_s: float, machines: float, life_left_years: float
    ) -> bool:
        """Whether machines that are sold and rented back have not been sold."""
        if end_s >= NEVER or machines <= 0.0:
            return False
        years = (end_s - start_s) / SECONDS_PER_YEAR
        price_usd = machines * lease.sale_usd_per_machine
        rents_usd = self.worth_usd(lease, start_s, end_s, self.rate_per_year)
        return years >= MAJOR_PART * life_left_years or rents_usd >= SUBSTANTIALLY_ALL * price_usd

    def finance(self, t_s: int, lease: Lease, end_s: float, usd: float) -> None:
        """Take what the lessor pays as a loan."""
        self.owed_usd[lease.name] = usd
        self._until_s[lease.name] = t_s

        def excess(rate: float) -> float:
            return self.worth_usd(lease, t_s, end_s, rate) - usd

        within = excess(0.0) > 0.0 > excess(MOST_PER_YEAR)
        self._rate[lease.name] = float(brentq(excess, 0.0, MOST_PER_YEAR)) if within else 0.0
        memo = f"lease {lease.name}: financing, no sale"
        self.ledger.post(t_s, Account.CASH, Account.LEASE_FINANCING, "USD", np.array(usd), memo)

    def pay(self, t_s: int, lease: Lease, end_s: float, rent_usd: float) -> None:
        """The rent of a month on a financing: interest, and the rest repays."""
        name, post = lease.name, self.ledger.post
        owed_usd = self.owed_usd[name]
        years = (t_s - self._until_s[name]) / SECONDS_PER_YEAR
        interest_usd = owed_usd * ((1.0 + self._rate[name]) ** years - 1.0)
        self._until_s[name] = t_s
        accrued = np.array(interest_usd)
        post(
            t_s,
            Account.INTEREST,
            Account.LEASE_FINANCING,
            "USD",
            accrued,
            f"interest of lease {name}",
        )
        repaid_usd = min(rent_usd, owed_usd + interest_usd)
        self.owed_usd[name] = owed_usd + interest_usd - repaid_usd
        post(
            t_s,
            Account.LEASE_FINANCING,
            Account.CASH,
            "USD",
            np.array(repaid_usd),
            f"rent of lease {name}",
        )
        beyond = np.array(rent_usd - repaid_usd)
        post(t_s, Account.RENT, Account.CASH, "USD", beyond, f"rent of lease {name}")
        if t_s >= end_s and self.owed_usd[name]:
            left, self.owed_usd[name] = np.array(self.owed_usd[name]), 0.0
            memo = f"lease {name} ends: the machines are the lessor's"
            post(t_s, Account.LEASE_FINANCING, Account.MACHINE_SALES, "USD", left, memo)

    def recognise(self, t_s: int) -> None:
        """Bring rights of use and lease liabilities to the rents that are still to come."""
        wanted_usd = sum(
            self.worth_usd(lease, t_s, end_s, self.rate_per_year)
            for lease, _, _, start_s, end_s in self.leases.terms
            if start_s <= t_s < end_s < NEVER
            and end_s - max(start_s, 0.0) > SHORT_S
            and lease.name not in self.owed_usd
        )
        change = np.array(wanted_usd + self.ledger.balance(Account.LEASES, "USD"))
        self.ledger.post(
            t_s, Account.RIGHT_OF_USE, Account.LEASES, "USD", change, "rents to come, discounted"
        )
