"""From the flows of sites to postings: once a day, as pools pay and hosts bill."""

import numpy as np

from sim.finance.ledger import Ledger
from sim.kernels.arrays import BTC, CREDIT_USD, ENERGY_USD, GPU_USD, POOL_FEE_BTC, TOKEN_USD, Floats
from sim.scenario.scenario import Scenario


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

    def close_day(self, t_s: int, flow: Floats, usd_per_btc: float) -> float:
        """Post the flows (row, site) since the last close; the bitcoin sold at the close [BTC]."""
        post = self.ledger.post
        energy_usd = flow[ENERGY_USD]
        own_usd = energy_usd * (1.0 - self.hosted)
        post(t_s, "expenses:power", "assets:cash", "USD", own_usd, "energy")
        hosting_usd = energy_usd * self.hosted
        post(t_s, "expenses:hosting", "assets:cash", "USD", hosting_usd, "hosting, energy included")
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
