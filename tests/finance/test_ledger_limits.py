"""Amounts that cannot be posted stop the run, and say which."""

from decimal import Decimal

import numpy as np
import pytest

import sim
from sim.arithmetic import RunError, strict
from sim.finance.ledger import MOST, Entry, Ledger, LedgerError
from sim.policy import Decision, Observation
from sim.scenario import Scenario


@pytest.mark.parametrize("amount", [np.inf, -np.inf, np.nan, 1e30, -1e14])
def test_an_amount_that_is_none_names_accounts_instant_and_site(amount: float) -> None:
    ledger = Ledger(["alpha", "bravo"])
    with pytest.raises(LedgerError, match=r"t = 86400 s: .* USD at bravo from assets:cash to exp"):
        ledger.post(
            86_400, "expenses:power", "assets:cash", "USD", np.array([1.0, amount]), "energy"
        )
    assert ledger.transactions == 0
    assert ledger.balances() == {}


@pytest.mark.parametrize("commodity", ["USD", "BTC"])
def test_balances_never_leave_what_is_exact(commodity: str) -> None:
    ledger = Ledger(["alpha"])
    per_unit = {"USD": 100, "BTC": 10**8}[commodity]
    half = np.array([MOST // 2 / per_unit])
    ledger.post(0, "a", "b", commodity, half, "")
    ledger.post(0, "a", "b", commodity, half, "")
    with pytest.raises(LedgerError, match="a balance of"):
        ledger.post(0, "a", "b", commodity, half, "")


def test_the_fleet_s_own_entries_have_the_same_limit() -> None:
    for units in (MOST + 1, 10**30):
        with pytest.raises(LedgerError, match="cannot be posted"):
            Ledger([]).record(0, [Entry("a", "USD", units), Entry("b", "USD", -units)], "x")
    ledger = Ledger([])
    ledger.record(0, [Entry("a", "USD", MOST), Entry("b", "USD", -MOST)], "the most that is exact")
    assert ledger.units("a", "USD") == MOST


@pytest.mark.parametrize("usd", [0.01, 1e9, 123_456_789_012.34, -92_233_720_368.55, 9e13])
def test_the_table_is_exact_for_every_amount_that_is_posted(usd: float) -> None:
    ledger = Ledger(["alpha"])
    ledger.post(0, "a", "b", "USD", np.array([usd]), "")
    found = ledger.table()["amount"].to_pylist()
    exact = Decimal(round(usd * 100)) / 100
    assert found == [exact, -exact]


def test_warnings_of_numpy_are_errors_of_a_run() -> None:
    where = r"t = 7 s \(test_ledger_limits.py, line \d+\): overflow"
    with pytest.raises(RunError, match=where), strict(lambda: 7):
        np.array([1e308]) * 10.0


class Divides:
    def decide(self, o: Observation) -> Decision:
        return Decision(o.asic.default_share / (0.0 * o.t_s), np.ones(len(o.gpu.site)))


def test_a_policy_that_divides_by_zero_is_named(tiny: Scenario) -> None:
    with pytest.raises(RunError, match=r"t = 0 s \(test_ledger_limits.py, line \d+\)"):
        sim.run(tiny, Divides())


def test_a_price_beyond_reason_never_becomes_cash(tiny: Scenario) -> None:
    """Neither through a file, which is refused, nor past it: the ledger stops the run."""
    for price in (1e30, np.inf, -np.inf, np.nan):
        with pytest.raises(sim.ScenarioError, match=r"btc_price\.usd_per_btc"):
            sim.load("configs/tiny", {"btc_price.usd_per_btc": price})
    past = tiny.btc_price.model_copy(update={"usd_per_btc": 1e30})
    with pytest.raises(RunError, match=r"t = 86400 s.*ledger.*income:mining.*cannot be posted"):
        sim.run(tiny.model_copy(update={"btc_price": past}))
