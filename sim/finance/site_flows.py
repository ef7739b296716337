"""Monthly cash flows of sites and the firm, before financing and treasury."""

from typing import Final, NamedTuple

import numpy as np

from sim.finance.chart import FINANCING, OPERATING, USD_CHART, Account
from sim.finance.ledger import UNITS, Ledger
from sim.finance.statements import MACHINES, Postings, months_of, start_of
from sim.scenario.scenario import Scenario
from sim.types import Bools, Floats, Ints
from sim.units import SECONDS_PER_DAY

MINING: Final = (Account.MINING, Account.POOL_FEES)
CUSTOMERS: Final = ("inference", "credits", "GPU operations")  # lines of the cash flow
TREASURY: Final = ("interest", "bitcoin sold", "tax")  # financing and treasury; tax is recomputed
SOLD: Final = (*MACHINES, Account.MACHINE_SALES, Account.INSURANCE_CLAIMS)


class Flows(NamedTuple):
    """Cash flows of a site, a project or the firm [USD]."""

    cash_usd: Floats  # (month,)
    opening_usd: float  # book value at the start, or payments before the run
    closing_usd: float  # book value at the end of the run
    outlay_usd: float  # opening value plus investment since


class SiteFlows:
    """Flows from the ledger. Shapes: `month`, `site` of the ledger including the firm's own."""

    def __init__(self, scenario: Scenario, ledger: Ledger) -> None:
        horizon = scenario.horizon
        months = months_of(horizon.start_utc, horizon.seconds)
        since = (months + 1).astype("datetime64[s]") - start_of(horizon.start_utc)
        run_s = np.minimum(since.astype(np.int64), horizon.seconds)
        self.months = months  # (month,) datetime64[M]
        self.days: Floats = run_s / SECONDS_PER_DAY  # (month,) from the start to its end
        entries = ledger.entries()
        self.sites = entries.sites
        self._usd = Postings(entries, "USD", horizon.start_utc, horizon.seconds, len(months))
        usd, account = self._usd, self._usd.account
        paid_in_cash = usd.beside(account == usd.codes[Account.CASH])
        mining = _in(account, MINING) & ~paid_in_cash
        treasury = [a for a, p in USD_CHART.items() if p.activity == FINANCING]
        treasury += [a for a, p in USD_CHART.items() if p.cash_line in TREASURY]
        counted = paid_in_cash & ~_in(account, treasury)
        operating = [a for a, p in USD_CHART.items() if p.activity == OPERATING]
        customers = [a for a in operating if USD_CHART[a].cash_line in CUSTOMERS]
        self.mined = -self._sums(counted & _in(account, MINING)) - self._sums(mining)
        self.customers = -self._sums(counted & _in(account, customers))
        known = (*MINING, *customers)
        self.other = -self._sums(counted & _in(account, operating) & ~_in(account, known))
        self.invested = -self._sums(counted & ~_in(account, operating))
        # Proceeds of machines sold or destroyed: book value plus gain.
        self.proceeds = -self._sums(counted & _in(account, SOLD) & (usd.amount < 0))
        under_way = account == usd.codes[Account.PROJECTS]
        self.projects = -self._sums(counted & under_way)
        self.arrived = self._sums(_in(account, MACHINES) & usd.beside(under_way))
        paid = counted & _in(account, (*MACHINES, Account.PROJECTS)) & (usd.amount > 0)
        self.paid_projects = self._sums(paid & under_way)
        self.bought = self._sums(paid & ~under_way)
        held = _in(account, (*MACHINES, Account.DEPOSITS))
        # Purchases at second 0 are flows; opening balances are posted against equity.
        began = usd.opens & usd.beside(account == usd.codes[Account.OPENING])
        self.opening, self.closing = (self._sums(held & w).sum(axis=0) for w in (began, held))
        self.opening_projects, self.closing_projects = (
            float(self._sums(under_way & w).sum()) for w in (began, under_way)
        )

    def _sums(self, which: Bools) -> Floats:
        """Sums of the selected postings (month, site) [USD]."""
        cents = self._usd.sums(self._usd.site, len(self.sites), which)
        return np.asarray(cents.T / UNITS["USD"], dtype=np.float64)

    def operating(self, site: str) -> tuple[Floats, Floats, Floats]:
        """Mined bitcoin, inference less credits and opex, other operating cash (month,) [USD]."""
        s = self.sites.index(site)
        return self.mined[:, s], self.customers[:, s], self.other[:, s]

    def proceeds_of(self, site: str) -> Floats:
        """Proceeds of a site's machines sold or destroyed (month,) [USD]."""
        return self.proceeds[:, self.sites.index(site)]

    def of_site(self, site: str) -> Flows:
        """Flows of a site; project machines are an outlay when they arrive on its books."""
        s = self.sites.index(site)
        invested = self.invested[:, s] - self.projects[:, s] - self.arrived[:, s]
        opening = float(self.opening[s])
        outlay = opening + float((self.bought[:, s] + self.arrived[:, s]).sum())
        return Flows(sum(self.operating(site)) + invested, opening, float(self.closing[s]), outlay)

    def of_firm(self) -> Flows:
        """Flows of the firm: all sites and fleet level; projects are an outlay when paid."""
        cash = (self.mined + self.customers + self.other + self.invested).sum(axis=1)
        opening = float(self.opening.sum()) + self.opening_projects
        outlay = opening + float((self.bought + self.paid_projects).sum())
        return Flows(cash, opening, float(self.closing.sum()) + self.closing_projects, outlay)


def _in(account: Ints, names: tuple[str, ...] | list[str]) -> Bools:
    codes = list(USD_CHART)
    return np.isin(account, [codes.index(n) for n in names])
