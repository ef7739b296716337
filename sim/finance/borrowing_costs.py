"""Interest on projects under construction becomes part of what they cost (ASC 835-20)."""

from sim.finance.ledger import Ledger
from sim.finance.loan_accounts import LoanAccount
from sim.finance.loans import Lending
from sim.finance.projects import Projects
from sim.finance.revolver import Revolver
from sim.units import CENTS_PER_USD, SECONDS_PER_DAY

CENT = 0.005


class BorrowingCosts:
    """Capitalised at month ends: average accumulated expenditures times the rate (ASC 835-20-30).

    Expenditures are what was paid and the interest that was capitalised before; they count from
    when they are paid, deposits too (835-20-15-5(b)), until the project is live (835-20-25-5). The
    rate is the mean of all loans and of the revolver by their principals, so that

        capitalised = interest incurred * min(average expenditures / average principal, 1),

    never more than was incurred (835-20-30-6). Fees of the revolver, interest within leases and on
    what was built before the run are left aside, as is the pause of a project whose payments wait.
    It is depreciated with the machines, at an account of its own, for no buyer pays for it.
    """

    def __init__(
        self, ledger: Ledger, lending: Lending, revolver: Revolver | None, projects: Projects
    ) -> None:
        self.ledger, self.projects = ledger, projects
        self.debts: list[LoanAccount | Revolver] = [*lending.accounts]
        if revolver is not None:
            self.debts.append(revolver)
        self.capitalised_usd = 0.0
        self._since_s = 0
        self._principal_days = self._accrued = 0.0  # cents so far, at the last close

    def close_month(self, t_s: int) -> None:
        """Capitalise the interest since the last close; it has been accrued up to now."""
        principal_days = sum(d.principal_days for d in self.debts)
        accrued = sum(d.accrued for d in self.debts)
        owed_days = (principal_days - self._principal_days) / CENTS_PER_USD
        incurred_usd = (accrued - self._accrued) / CENTS_PER_USD
        spent = {name: self._spent_usd_days(name, t_s) for name in self.projects.histories}
        total = sum(spent.values())
        self._principal_days, self._accrued, self._since_s = principal_days, accrued, t_s
        if total <= 0.0 or owed_days <= 0.0 or incurred_usd < CENT:
            return
        usd = incurred_usd * min(total / owed_days, 1.0)
        for name, usd_days in spent.items():
            if usd_days > 0.0:
                share = usd * usd_days / total
                self.capitalised_usd += self.projects.capitalise(name, t_s, share)

    def _spent_usd_days(self, name: str, t_s: int) -> float:
        """What a project had cost since the last close, times the days before it was live."""
        history = self.projects.histories[name]
        if name in self.projects.called_off:
            return 0.0
        end_s = t_s if history.live_s is None else min(history.live_s, float(t_s))
        begin_s = self._since_s
        before_usd = self.projects.interest_usd.get(name, 0.0)
        paid = [(max(at_s, begin_s), usd) for at_s, usd in history.paid]
        costs = [*paid, (begin_s, before_usd)]
        return sum(usd * max(end_s - at_s, 0.0) for at_s, usd in costs) / SECONDS_PER_DAY
