"""An unsecured credit line, drawn when cash is short and repaid when it is available."""

from typing import Final

from sim.finance.calendar import Calendar
from sim.finance.chart import Account
from sim.finance.loan_accounts import DAYS_OF_INTEREST
from sim.finance.treasury import Treasury, cents
from sim.scenario.funding import Revolver as Spec
from sim.units import CENTS_PER_USD, SECONDS_PER_DAY

NAME: Final = "revolver"
NEVER: Final = float("inf")


class Revolver:
    """The loan `revolver` on the ledger; simple interest, paid at month ends."""

    def __init__(self, spec: Spec, factor: float, treasury: Treasury, calendar: Calendar) -> None:
        self.spec = spec
        self.rate_per_year = spec.rate_per_year * factor
        self.until_s = calendar.t_s(spec.until_utc, NEVER)
        self._treasury = treasury
        self._principal, self._interest = Account.LOAN.of(NAME), Account.INTEREST_OWED.of(NAME)
        self._accrued_s = 0
        self._carry = 0.0  # rounding remainder [cents]
        self.principal_days = 0.0  # cents times days so far
        self.accrued = 0.0  # cents of interest so far, without fees

    @property
    def principal(self) -> int:
        """Outstanding principal [cents]."""
        return -self._treasury.ledger.units(self._principal, "USD")

    @property
    def interest(self) -> int:
        """Interest and fees owed [cents]."""
        return -self._treasury.ledger.units(self._interest, "USD")

    @property
    def debt_usd(self) -> float:
        """Principal, interest and fees owed [USD]."""
        return (self.principal + self.interest) / CENTS_PER_USD

    def due(self, t_s: int) -> int:
        """Amount due now [cents]: the whole debt from the end of the line, else 0."""
        return self.principal + self.interest if t_s >= self.until_s else 0

    def draw(self, t_s: int, usd: float) -> float:
        """Draw into cash up to the limit; return the amount drawn [USD]."""
        if t_s >= self.until_s:
            return 0.0
        self.accrue(t_s)
        drawn = max(min(cents(usd), cents(self.spec.limit_usd) - self.principal), 0)
        self._treasury.move(t_s, Account.CASH, self._principal, "USD", drawn, "revolver drawn")
        return drawn / CENTS_PER_USD

    def accrue(self, t_s: int) -> None:
        """Accrue interest on the drawn and the fee on the undrawn part, up to the line's end."""
        until_s = t_s if t_s < self.until_s else max(round(self.until_s), self._accrued_s)
        days = (t_s - self._accrued_s) / SECONDS_PER_DAY
        open_days = (until_s - self._accrued_s) / SECONDS_PER_DAY
        self._accrued_s = t_s
        unused = max(cents(self.spec.limit_usd) - self.principal, 0)
        fee = unused * self.spec.commitment_per_year * open_days
        interest = self.principal * self.rate_per_year * days / DAYS_OF_INTEREST
        exact = interest + fee / DAYS_OF_INTEREST + self._carry
        self.principal_days += self.principal * days
        self.accrued += interest
        units = round(exact)
        self._carry = exact - units
        memo = "interest and fee of the revolver"
        self._treasury.move(t_s, Account.INTEREST, self._interest, "USD", units, memo)

    def close_month(self, t_s: int) -> None:
        """Pay interest and fees from cash, like any bill."""
        self.accrue(t_s)
        memo = "interest of the revolver"
        self._treasury.move(t_s, self._interest, Account.CASH, "USD", self.interest, memo)

    def pay(self, t_s: int, usd: float) -> float:
        """Repay from cash up to `usd`, interest first; return the amount paid [USD]."""
        self.accrue(t_s)
        left = max(cents(usd), 0)
        interest = min(left, self.interest)
        principal = min(left - interest, self.principal)
        for account, part in ((self._interest, interest), (self._principal, principal)):
            self._treasury.move(t_s, account, Account.CASH, "USD", part, "revolver paid back")
        return (interest + principal) / CENTS_PER_USD
