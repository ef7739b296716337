"""Capitalisation of interest on projects under construction (ASC 835-20)."""

from sim.finance.ledger import Ledger
from sim.finance.loan_accounts import LoanAccount
from sim.finance.loans import Lending
from sim.finance.projects import Projects
from sim.finance.revolver import Revolver
from sim.units import CENTS_PER_USD, SECONDS_PER_DAY

CENT = 0.005


class BorrowingCosts:
    """Capitalised at month ends: average accumulated expenditures times the rate (ASC 835-20-30).

    Expenditures are payments, deposits included (835-20-15-5(b)), and interest capitalised earlier.
    They count from payment until the project is live (835-20-25-5). The rate is the mean over all
    loans and the revolver, weighted by principal, so that

        capitalised = interest incurred * min(average expenditures / average principal, 1),

    never more than the interest incurred (835-20-30-6). Not modelled: revolver fees, interest
    within leases, interest on what was built before the run, and suspension while a project's
    payments wait. Capitalised interest is depreciated with the machines but has its own account,
    because no buyer pays for it.
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
        self._principal_days = self._accrued = 0.0  # cumulative cents at the last close

    def close_month(self, t_s: int) -> None:
        """Capitalise interest since the last close; call after interest has accrued to `t_s`."""
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
        """Expenditures times days, from the last close until a project is live [USD days]."""
        history = self.projects.histories[name]
        if name in self.projects.called_off:
            return 0.0
        end_s = t_s if history.live_s is None else min(history.live_s, float(t_s))
        begin_s = self._since_s
        before_usd = self.projects.interest_usd.get(name, 0.0)
        paid = [(max(at_s, begin_s), usd) for at_s, usd in history.paid]
        costs = [*paid, (begin_s, before_usd)]
        return sum(usd * max(end_s - at_s, 0.0) for at_s, usd in costs) / SECONDS_PER_DAY
