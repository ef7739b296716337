"""Leases on the balance sheet: right of use and liability, or a financing (ASC 842)."""

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

SHORT_S: Final = 366 * 86_400  # leases up to a year stay off the balance sheet (ASC 842-20-25-2)
MAJOR_PART: Final = 0.75  # of the machine's life (ASC 842-10-55-2)
SUBSTANTIALLY_ALL: Final = 0.90  # of its price (ASC 842-10-55-2)
MOST_PER_YEAR: Final = 100.0  # upper bound of the rate search


class LeaseBooks:
    """Balance-sheet treatment of leases with an end date.

    Future rents, discounted at the firm's borrowing rate, are a liability, and the right of use is
    an asset of the same size (level rents, ASC 842-20-35-3). A lease without an end can be given up
    any month and stays off the balance sheet. A sale whose leaseback covers MAJOR_PART of the
    machines' life, or whose rents are worth SUBSTANTIALLY_ALL of the price, is not a sale (ASC
    842-40-25-2): the machines stay on the books, the proceeds are a debt, and rents are interest
    and repayment at the rate that equates the two. Debt left when such a lease ends is written off
    against the gain on the machines (assumed: they are handed over).
    """

    def __init__(
        self, leases: Leases, ledger: Ledger, calendar: Calendar, rate_per_year: float
    ) -> None:
        self.leases, self.ledger, self.calendar = leases, ledger, calendar
        self.rate_per_year = rate_per_year
        self.owed_usd: dict[str, float] = {}  # debt by financed lease
        self._rate: dict[str, float] = {}
        self._until_s: dict[str, int] = {}

    def rents(self, lease: Lease, from_s: float, to_s: float) -> tuple[list[float], list[float]]:
        """Years from `from_s` to each rent of a lease up to `to_s`, and the rents [USD]."""
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
        """Present value at `from_s` of a lease's rents up to `to_s` [USD]."""
        years, usd = self.rents(lease, from_s, to_s)
        return float(np.dot(usd, (1.0 + rate_per_year) ** -np.array(years))) if usd else 0.0

    def is_financing(
        self, lease: Lease, start_s: float, end_s: float, machines: float, life_left_years: float
    ) -> bool:
        """Whether a sale-and-leaseback counts as a financing rather than a sale."""
        if end_s >= NEVER or machines <= 0.0:
            return False
        years = (end_s - start_s) / SECONDS_PER_YEAR
        price_usd = machines * lease.sale_usd_per_machine
        rents_usd = self.worth_usd(lease, start_s, end_s, self.rate_per_year)
        return years >= MAJOR_PART * life_left_years or rents_usd >= SUBSTANTIALLY_ALL * price_usd

    def finance(self, t_s: int, lease: Lease, end_s: float, usd: float) -> None:
        """Book the lessor's payment `usd` as a loan and solve for its interest rate."""
        self.owed_usd[lease.name] = usd
        self._until_s[lease.name] = t_s

        def excess(rate: float) -> float:
            return self.worth_usd(lease, t_s, end_s, rate) - usd

        within = excess(0.0) > 0.0 > excess(MOST_PER_YEAR)
        self._rate[lease.name] = float(brentq(excess, 0.0, MOST_PER_YEAR)) if within else 0.0
        memo = f"lease {lease.name}: financing, no sale"
        self.ledger.post(t_s, Account.CASH, Account.LEASE_FINANCING, "USD", np.array(usd), memo)

    def pay(self, t_s: int, lease: Lease, end_s: float, rent_usd: float) -> None:
        """Pay a month's rent on a financing: interest first, the rest is repayment."""
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
        """Set rights of use and lease liabilities to the present value of future rents."""
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
