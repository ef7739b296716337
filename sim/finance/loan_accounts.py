"""The accounts of one loan: debt, collateral and the postings between them."""

import math
from datetime import datetime
from typing import Final

from sim.finance.chart import Account
from sim.finance.treasury import Treasury
from sim.scenario.money import Loan
from sim.types import OnEvent
from sim.units import CENTS_PER_USD, SATOSHI_PER_BTC, SECONDS_PER_DAY

DAYS_OF_INTEREST: Final = 365  # actual days over 365: the convention of the table
FLOAT_NOISE: Final = 1e-12  # relative: 10.000000000000002 BTC are 10


def pledge_for(debt: int, ltv: float, usd_per_btc: float) -> int:
    """Least collateral [satoshi] that keeps a debt [cents] within an LTV."""
    exact = debt / CENTS_PER_USD / (ltv * usd_per_btc) * SATOSHI_PER_BTC
    return math.ceil(exact * (1.0 - FLOAT_NOISE))


def debt_for(pledged: int, ltv: float, usd_per_btc: float) -> int:
    """Highest debt [cents] that collateral [satoshi] supports at an LTV."""
    exact = pledged / SATOSHI_PER_BTC * usd_per_btc * ltv * CENTS_PER_USD
    return math.floor(exact * (1.0 + FLOAT_NOISE))


class LoanAccount:
    """A loan on the ledger, in cents and satoshi, and its status with the lender.

    Instants are seconds since the start of the run; a loan from before the run starts below 0.
    """

    def __init__(
        self, name: str, spec: Loan, treasury: Treasury, start_utc: datetime, event: OnEvent
    ) -> None:
        def second(when: datetime) -> int:
            return round((when - start_utc).total_seconds())

        self.name = name
        self.spec = spec
        self.start_s = -1 if spec.start_utc is None else second(spec.start_utc)
        self.maturity_s = None if spec.maturity_utc is None else second(spec.maturity_utc)
        self.account = Account.BTC_COLLATERAL.of(name)
        self._principal = Account.LOAN.of(name)
        self._interest = Account.INTEREST_OWED.of(name)
        self.drawn = 0  # cents drawn in total
        self.open = False
        self.matured = False
        self.overdue = 0  # cents of interest missed at month ends
        self.warned = False
        self.called_s: int | None = None
        self.breached_s: int | None = None  # instant the LTV reached the liquidation level
        self._treasury = treasury
        self._event = event
        self._accrued_s = 0  # instant up to which interest is posted
        self._carry = 0.0  # rounding remainder of interest [cents]
        self.principal_days = 0.0  # cents times days so far
        self.accrued = 0  # cents of interest so far

    @property
    def principal(self) -> int:
        """Outstanding principal, capitalised interest included [cents]."""
        return -self._treasury.ledger.units(self._principal, "USD")

    @property
    def interest(self) -> int:
        """Accrued unpaid interest [cents]."""
        return -self._treasury.ledger.units(self._interest, "USD")

    @property
    def debt(self) -> int:
        """Principal and interest [cents]."""
        return self.principal + self.interest

    @property
    def pledged(self) -> int:
        """Collateral [satoshi]."""
        return self._treasury.ledger.units(self.account, "BTC")

    @property
    def due(self) -> int:
        """Amount overdue [cents]: matured debt or missed interest."""
        return self.debt if self.matured else min(self.overdue, self.interest)

    def ltv(self, usd_per_btc: float) -> float:
        """Debt / (collateral * price): 0 when nothing is owed, infinite when nothing is pledged."""
        debt, pledged = self.debt, self.pledged
        if debt == 0:
            return 0.0
        if pledged == 0:
            return math.inf
        return (debt / CENTS_PER_USD) / (pledged / SATOSHI_PER_BTC * usd_per_btc)

    def pledge(self, t_s: int, units: int) -> None:
        """Pledge free bitcoin [satoshi] as collateral."""
        self._treasury.move(
            t_s, self.account, Account.BTC, "BTC", units, f"collateral of {self.name}"
        )

    def release(self, t_s: int, units: int) -> None:
        """Release collateral [satoshi] to free bitcoin."""
        memo = f"collateral of {self.name} comes back"
        self._treasury.move(t_s, Account.BTC, self.account, "BTC", units, memo)

    def borrow(self, t_s: int, units: int, account: str = Account.CASH) -> None:
        """Draw principal [cents] into `account`."""
        self.accrue(t_s)
        self.drawn += units
        memo = f"principal of {self.name}"
        self._treasury.move(t_s, account, self._principal, "USD", units, memo)

    def accrue(self, t_s: int) -> None:
        """Post interest up to `t_s`; the rounding remainder carries over."""
        days = (t_s - self._accrued_s) / SECONDS_PER_DAY
        self._accrued_s = t_s
        rate = self.spec.rate_per_year / DAYS_OF_INTEREST
        exact = self.principal * rate * days + self._carry
        units = round(exact)
        self._carry = exact - units
        self.principal_days += self.principal * days
        self.accrued += units
        memo = f"interest of {self.name}"
        self._treasury.move(t_s, Account.INTEREST, self._interest, "USD", units, memo)

    def capitalise(self, t_s: int) -> None:
        """Add the accrued interest to the principal."""
        accounts = (self._interest, self._principal)
        memo = f"interest of {self.name} capitalised"
        self._treasury.move(t_s, *accounts, "USD", self.interest, memo)

    def pay(self, t_s: int, units: int) -> int:
        """Pay up to `units` [cents] from cash, interest first; return what was paid.

        Accrue interest first. Collateral is released once the debt is zero.
        """
        interest = min(units, self.interest)
        principal = min(units - interest, self.principal)
        for account, part in ((self._interest, interest), (self._principal, principal)):
            memo = f"payment on {self.name}"
            self._treasury.move(t_s, account, Account.CASH, "USD", part, memo)
        self.overdue = max(self.overdue - interest, 0)
        if interest + principal and self.debt == 0:
            self.end_call()
            self.release(t_s, self.pledged)
            self.tell(t_s, "loan repaid", "nothing is owed, the collateral is free")
        return interest + principal

    def end_call(self) -> None:
        """Clear the margin call and the time at the liquidation level."""
        self.called_s = self.breached_s = None

    def tell(self, t_s: int, kind: str, detail: str) -> None:
        """Report an event of this loan."""
        self._event(t_s, kind, self.name, detail)
