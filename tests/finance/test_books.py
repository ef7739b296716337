"""What a day's flows are posted to, by hand."""

import numpy as np
import pytest

from sim.finance.books import Books
from sim.finance.chart import Account
from sim.finance.ledger import Ledger
from sim.kernels import flows
from tests.conftest import build_scenario


@pytest.fixture
def ledger() -> Ledger:
    """One site: energy 100 USD, hours 30 USD, 2 BTC for 80 USD of which the pool keeps a tenth."""
    scenario = build_scenario()
    ledger = Ledger([s.name for s in scenario.sites])
    flow = np.zeros((flows.SITE_FLOWS, len(scenario.sites)))
    for row, amount in (
        (flows.ENERGY_USD, 100.0),
        (flows.EXPORT_USD, 7.0),
        (flows.GPU_USD, 30.0),
        (flows.BTC, 2.0),
        (flows.BTC_USD, 80.0),
        (flows.POOL_FEE_BTC, 0.2),
        (flows.POOL_FEE_USD, 8.0),
        (flows.PENALTY_USD, 5.0),
        (flows.SHORTFALL_USD, 5.0),
    ):
        flow[row, 0] = amount
    invoiced = np.zeros(len(scenario.sites), dtype=np.bool_)
    invoiced[0] = True
    Books(scenario, ledger, invoiced).close_day(86_400, flow)
    return ledger


def test_each_flow_is_posted_once_to_its_account(ledger: Ledger) -> None:
    usd = {a: u / 100 for (a, c), u in ledger.balances().items() if c == "USD" and u}
    assert usd == {
        Account.POWER: 100.0,
        Account.CASH: -105.0,
        Account.PENALTIES: 5.0,
        Account.RECEIVABLES: 30.0,
        Account.INFERENCE: -30.0,
        Account.BTC: 72.0,
        Account.MINING: -80.0,
        Account.POOL_FEES: 8.0,
    }


def test_bitcoin_is_posted_in_bitcoin(ledger: Ledger) -> None:
    assert ledger.balance(Account.BTC, "BTC") == pytest.approx(1.8)
    assert ledger.balance(Account.MINING, "BTC") == -2.0
    assert ledger.balance(Account.POOL_FEES, "BTC") == pytest.approx(0.2)
