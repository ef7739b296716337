"""Daily postings from site flows."""

from typing import Final, NamedTuple

import numpy as np

from sim.finance.chart import Account
from sim.finance.ledger import Ledger
from sim.kernels import flows
from sim.scenario.scenario import Scenario
from sim.types import Bools, Floats

EVERY, OWN, HOSTED, AT_ONCE, INVOICED = "every", "own", "hosted", "at once", "invoiced"


class Posting(NamedTuple):
    """How a row of site flows is posted; the commodity is the row's unit."""

    row: int  # of `SiteState.flow`
    debit: Account
    credit: Account
    memo: str
    sites: str = EVERY  # which sites' amounts are posted

    @property
    def commodity(self) -> str:
        """USD or BTC."""
        return flows.SITE[self.row].unit


OF_ENERGY: Final = (
    Posting(flows.ENERGY_USD, Account.POWER, Account.CASH, "energy", OWN),
    Posting(flows.ENERGY_USD, Account.HOSTING, Account.CASH, "hosting, energy included", HOSTED),
    Posting(
        flows.CONTRACT_USD, Account.POWER, Account.CASH, "blocks and positions against real time"
    ),
    Posting(flows.DEMAND_USD, Account.DEMAND, Account.CASH, "demand charges, take-or-pay"),
    Posting(flows.PEAK_USD, Account.TRANSMISSION, Account.TRANSMISSION_OWED, "coincident peak"),
    Posting(flows.FUEL_USD, Account.FUEL, Account.CASH, "on-site generation"),
    Posting(flows.WEAR_USD, Account.BATTERY_WEAR, Account.BATTERIES, "wear of batteries"),
    Posting(
        flows.PROGRAMME_USD, Account.CASH, Account.GRID_SERVICES, "reserves and demand response"
    ),
    Posting(
        flows.PENALTY_USD,
        Account.PENALTIES,
        Account.CASH,
        "owed in a call, or sold as reserve, and not there",
    ),
)
OF_MACHINES: Final = (
    Posting(flows.BTC, Account.BTC, Account.MINING, "pool payout, gross"),
    Posting(flows.BTC_USD, Account.BTC, Account.MINING, "pool payout, gross"),
    Posting(flows.POOL_FEE_BTC, Account.POOL_FEES, Account.BTC, "pool fee"),
    Posting(flows.POOL_FEE_USD, Account.POOL_FEES, Account.BTC, "pool fee"),
    Posting(flows.GPU_USD, Account.CASH, Account.INFERENCE, "reserved GPU nodes", AT_ONCE),
    Posting(
        flows.GPU_USD,
        Account.RECEIVABLES,
        Account.INFERENCE,
        "reserved GPU nodes, to be invoiced",
        INVOICED,
    ),
    Posting(flows.TOKEN_USD, Account.CASH, Account.INFERENCE, "tokens"),
    Posting(flows.CREDIT_USD, Account.CREDITS, Account.CASH, "promises not kept"),
    Posting(
        flows.GPU_OPEX_USD,
        Account.GPU_OPERATIONS,
        Account.CASH,
        "licences, support, network, staff of GPU nodes",
    ),
)
POSTED: Final = (*OF_ENERGY, *OF_MACHINES)
# Money rows already included in another row and so not posted: the row that includes them.
PART_OF: Final = {
    flows.EXPORT_USD: flows.ENERGY_USD,
    flows.RESOLD_USD: flows.CONTRACT_USD,
    flows.RESOLD_COST_USD: flows.CONTRACT_USD,
    flows.SHORTFALL_USD: flows.PENALTY_USD,
}


class Books:
    """Posts a day's flows: energy, contracts, mining, inference."""

    def __init__(self, scenario: Scenario, ledger: Ledger, invoiced: Bools) -> None:
        """`invoiced` (site,) marks sites whose reserved nodes are paid by invoice."""
        self.ledger = ledger
        self.hosted = np.array([s.contract == "hosted" for s in scenario.sites], dtype=np.float64)
        self._parts = {
            OWN: 1.0 - self.hosted,
            HOSTED: self.hosted,
            AT_ONCE: np.where(invoiced, 0.0, 1.0),
            INVOICED: np.where(invoiced, 1.0, 0.0),
        }

    def close_day(self, t_s: int, flow: Floats, transmission_usd: Floats | None = None) -> None:
        """Post the flows (row, site) since the last close.

        `transmission_usd` (site,) is the instalment due for last year's coincident peaks.
        """
        self._post(t_s, flow, OF_ENERGY)
        if transmission_usd is not None:
            memo = "transmission by last year's coincident peaks"
            accounts = (Account.TRANSMISSION_OWED, Account.CASH)
            self.ledger.post(t_s, *accounts, "USD", transmission_usd, memo)
        self._post(t_s, flow, OF_MACHINES)

    def _post(self, t_s: int, flow: Floats, postings: tuple[Posting, ...]) -> None:
        for p in postings:
            amount = flow[p.row]
            if amount.any():
                part = amount if p.sites == EVERY else amount * self._parts[p.sites]
                self.ledger.post(t_s, p.debit, p.credit, p.commodity, part, p.memo)
