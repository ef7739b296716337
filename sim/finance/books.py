"""From the flows of sites to postings: once a day, as pools pay and hosts bill."""

from typing import Final

import numpy as np

from sim.finance.chart import Account
from sim.finance.ledger import Ledger
from sim.kernels import flows
from sim.scenario.scenario import Scenario
from sim.types import Bools, Floats

# Debit, credit, row of SiteState.flow, memo.
ENERGY_POSTINGS: Final = (
    (Account.POWER, Account.CASH, flows.CONTRACT_USD, "blocks and positions against real time"),
    (Account.DEMAND, Account.CASH, flows.DEMAND_USD, "demand charges, take-or-pay"),
    (Account.TRANSMISSION, Account.TRANSMISSION_OWED, flows.PEAK_USD, "coincident peak"),
    (Account.FUEL, Account.CASH, flows.FUEL_USD, "on-site generation"),
    (Account.BATTERY_WEAR, Account.BATTERIES, flows.WEAR_USD, "wear of batteries"),
    (Account.CASH, Account.GRID_SERVICES, flows.PROGRAMME_USD, "reserves and demand response"),
    (
        Account.PENALTIES,
        Account.CASH,
        flows.PENALTY_USD,
        "owed in a call, or sold as reserve, and not there",
    ),
)


class Books:
    """Posts what a day brought: energy, contracts, mining, inference."""

    def __init__(self, scenario: Scenario, ledger: Ledger, invoiced: Bools) -> None:
        self.ledger = ledger
        self.hosted = np.array([s.contract == "hosted" for s in scenario.sites], dtype=np.float64)
        self.invoiced = invoiced  # (site,) reserved nodes are paid by invoice

    def close_day(self, t_s: int, flow: Floats, transmission_usd: Floats | None = None) -> None:
        """Post the flows (row, site) since the last close.

        `transmission_usd` (site,) is the bill for last year's coincident peaks that falls due.
        """
        post = self.ledger.post
        energy_usd = flow[flows.ENERGY_USD]
        own_usd = energy_usd * (1.0 - self.hosted)
        post(t_s, Account.POWER, Account.CASH, "USD", own_usd, "energy")
        hosting_usd = energy_usd * self.hosted
        post(t_s, Account.HOSTING, Account.CASH, "USD", hosting_usd, "hosting, energy included")
        for debit, credit, row, memo in ENERGY_POSTINGS:
            if flow[row].any():
                post(t_s, debit, credit, "USD", flow[row], memo)
        if transmission_usd is not None:
            bill = (transmission_usd, "transmission by last year's coincident peaks")
            post(t_s, Account.TRANSMISSION_OWED, Account.CASH, "USD", *bill)
        post(t_s, Account.BTC, Account.MINING, "BTC", flow[flows.BTC], "pool payout, gross")
        post(t_s, Account.BTC, Account.MINING, "USD", flow[flows.BTC_USD], "pool payout, gross")
        post(t_s, Account.POOL_FEES, Account.BTC, "BTC", flow[flows.POOL_FEE_BTC], "pool fee")
        post(t_s, Account.POOL_FEES, Account.BTC, "USD", flow[flows.POOL_FEE_USD], "pool fee")
        paid_usd = np.where(self.invoiced, 0.0, flow[flows.GPU_USD])
        post(t_s, Account.CASH, Account.INFERENCE, "USD", paid_usd, "reserved GPU nodes")
        due_usd = flow[flows.GPU_USD] - paid_usd
        memo = "reserved GPU nodes, to be invoiced"
        post(t_s, Account.RECEIVABLES, Account.INFERENCE, "USD", due_usd, memo)
        post(t_s, Account.CASH, Account.INFERENCE, "USD", flow[flows.TOKEN_USD], "tokens")
        post(t_s, Account.CREDITS, Account.CASH, "USD", flow[flows.CREDIT_USD], "promises not kept")
        memo = "licences, support, network, staff of GPU nodes"
        post(t_s, Account.GPU_OPERATIONS, Account.CASH, "USD", flow[flows.GPU_OPEX_USD], memo)
