"""From the flows of sites to postings: once a day, as pools pay and hosts bill."""

from typing import Final

import numpy as np

from sim.finance.ledger import Ledger
from sim.kernels.arrays import (
    BTC,
    CONTRACT_USD,
    CREDIT_USD,
    DEMAND_USD,
    ENERGY_USD,
    FUEL_USD,
    GPU_USD,
    PEAK_USD,
    PENALTY_USD,
    POOL_FEE_BTC,
    PROGRAMME_USD,
    TOKEN_USD,
    WEAR_USD,
    Floats,
)
from sim.scenario.scenario import Scenario

# Debit, credit, row of SiteState.flow, memo.
ENERGY_POSTINGS: Final = (
    ("expenses:power", "assets:cash", CONTRACT_USD, "blocks and positions against real time"),
    ("expenses:demand", "assets:cash", DEMAND_USD, "demand charges, take-or-pay"),
    ("expenses:transmission", "liabilities:transmission", PEAK_USD, "coincident peak"),
    ("expenses:fuel", "assets:cash", FUEL_USD, "on-site generation"),
    ("expenses:battery-wear", "assets:batteries", WEAR_USD, "wear of batteries"),
    ("assets:cash", "income:grid-services", PROGRAMME_USD, "reserves and demand response"),
    ("expenses:penalties", "assets:cash", PENALTY_USD, "owed in a call and not delivered"),
)


class Books:
    """Keeps the ledger of a run and the treasury's rule for what is mined."""

    def __init__(self, scenario: Scenario) -> None:
        self.ledger = Ledger([s.name for s in scenario.sites])
        self.sells = scenario.treasury.model == "sell-all"
        self.hosted = np.array([s.contract == "hosted" for s in scenario.sites], dtype=np.float64)
        for commodity, account, amount in (
            ("USD", "assets:cash", scenario.treasury.opening_usd),
            ("BTC", "assets:btc", scenario.treasury.opening_btc),
        ):
            opening = np.array([amount])
            self.ledger.post(0, account, "equity:opening", commodity, opening, "opening balance")

    def close_day(
        self, t_s: int, flow: Floats, usd_per_btc: float, transmission_usd: Floats | None = None
    ) -> float:
        """Post the flows (row, site) since the last close; the bitcoin sold at the close [BTC].

        `transmission_usd` (site,) is the bill for last year's coincident peaks that falls due.
        """
        post = self.ledger.post
        energy_usd = flow[ENERGY_USD]
        own_usd = energy_usd * (1.0 - self.hosted)
        post(t_s, "expenses:power", "assets:cash", "USD", own_usd, "energy")
        hosting_usd = energy_usd * self.hosted
        post(t_s, "expenses:hosting", "assets:cash", "USD", hosting_usd, "hosting, energy included")
        for debit, credit, row, memo in ENERGY_POSTINGS:
            if flow[row].any():
                post(t_s, debit, credit, "USD", flow[row], memo)
        if transmission_usd is not None:
            bill = (transmission_usd, "transmission by last year's coincident peaks")
            post(t_s, "liabilities:transmission", "assets:cash", "USD", *bill)
        post(t_s, "assets:btc", "income:mining", "BTC", flow[BTC], "pool payout, gross")
        post(t_s, "expenses:pool-fees", "assets:btc", "BTC", flow[POOL_FEE_BTC], "pool fee")
        post(t_s, "assets:cash", "income:inference", "USD", flow[GPU_USD], "reserved GPU nodes")
        post(t_s, "assets:cash", "income:inference", "USD", flow[TOKEN_USD], "tokens")
        post(t_s, "expenses:credits", "assets:cash", "USD", flow[CREDIT_USD], "promises not kept")
        if not self.sells:
            return 0.0
        mined = self.ledger.balance("income:mining", "BTC")
        fees = self.ledger.balance("expenses:pool-fees", "BTC")
        sold = self.ledger.balance("equity:exchange", "BTC")
        btc = -mined - fees - sold
        if btc > 0.0:
            self.ledger.exchange(t_s, btc, usd_per_btc, "sale of the day's payout")
        return max(btc, 0.0)
