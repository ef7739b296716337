"""Law 3 in whole runs: whatever befalls a firm, its books tie out to the cent and the satoshi."""

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.finance.ledger import UNITS
from sim.finance.statements import tie_out
from sim.finance.tax import TAXES
from sim.results.result import RunResult
from tests.builders.random_firms import firm_of, firms, scenario_of

NOT_TAXED = {*TAXES, "income:btc-gains", "income:btc-revaluation", "expenses:winding-up"}


def run_of(tables: dict[str, Any], seed: int) -> RunResult:
    return sim.run(scenario_of(tables), "merit-order", seed)


@settings(max_examples=12)
@given(firms(), st.integers(0, 1000))
def test_law_3_books_tie_out_whatever_befalls_a_firm(tables: dict[str, Any], seed: int) -> None:
    result = run_of(tables, seed)
    assert tie_out(result.table("statements")) == []

    rows = result.table("ledger").to_pylist()
    sums: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row["transaction"], row["commodity"]] += row["amount"]
    assert not any(sums.values())  # every transaction sums to zero per commodity

    ledger = result.ledger
    units = ledger.units
    held = units("assets:btc", "BTC") + units("assets:btc-collateral:bank", "BTC")
    came = -units("equity:opening", "BTC") - units("income:mining", "BTC")
    went = units("expenses:pool-fees", "BTC") + units("equity:exchange", "BTC")
    assert held == came - went  # no bitcoin is sold twice, none is lost
    assert min(units("assets:btc", "BTC"), units("assets:btc-collateral:bank", "BTC")) >= 0
    last = result.table("fleet").to_pylist()[-1]
    assert round(last["btc_held"] * UNITS["BTC"]) == held
    for account in (
        "assets:asics", "assets:gpus", "assets:projects", "assets:receivables",
        "assets:project-interest",
    ):  # fmt: skip
        assert units(account, "USD") >= -200, account  # rounding of some hundred postings
    sheets = [r for r in result.table("statements").to_pylist() if r["line"] == "total equity"]
    market = last["equity_usd"]
    assert abs(float(sheets[-1]["amount"]) - market) < 0.05  # revalued at the last month end
    impaired = units("expenses:impairment:unrecoverable", "USD")  # machines are apart from then on
    if tables["tax"]["depreciation"] == "straight-line" and not impaired:
        assert_taxed(rows, tables)
    assert np.isfinite([v for v in result.kpis.values() if v is not None]).all()


def assert_taxed(rows: list[dict[str, Any]], tables: dict[str, Any]) -> None:
    """Tax by the postings alone: a plain twin, sale by sale and year by year.

    Machines wear in tax as in the books, so that only bitcoin is apart.
    """
    begin = datetime.fromisoformat(tables["horizon"]["start_utc"])
    highest = tables["tax"]["basis"] == "highest-cost-first"
    income: dict[int, float] = defaultdict(float)
    lots: list[list[float]] = []  # BTC, USD per BTC
    mined: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    sold: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        amount, account, commodity = float(row["amount"]), row["account"], row["commodity"]
        year = (begin + timedelta(seconds=max(row["t_s"] - 1, 0))).year
        if account in ("income:mining", "expenses:pool-fees"):
            mined[row["t_s"]][commodity] -= amount
        if commodity == "USD" and account.startswith(("income:", "expenses:")):
            income[year] -= 0.0 if account in NOT_TAXED else amount
        if account == "assets:project-interest" and "winding-up" not in row["memo"]:
            income[year] -= amount  # deducted when it accrues, not with the machines
        if account == "assets:btc" and row["t_s"] == 0 and row["memo"] == "opening balance":
            mined[-1][commodity] += amount
        if account == "equity:exchange":
            sold[row["transaction"]] |= {"BTC": amount, "t_s": row["t_s"], "year": year}
    for row in rows:
        if row["transaction"] in sold and row["commodity"] == "USD":
            if row["account"] in ("assets:btc", "income:btc-gains"):
                sold[row["transaction"]]["USD"] -= float(row["amount"])
    waiting = sorted(mined.items())
    for _, sale in sorted(sold.items()):
        while waiting and waiting[0][0] <= sale["t_s"]:
            came = waiting.pop(0)[1]
            if came["BTC"] > 0:
                lots.append([came["BTC"], came["USD"] / came["BTC"]])
        left, basis = sale["BTC"], 0.0
        for lot in sorted(lots, key=lambda x: -x[1]) if highest else lots:
            part = min(left, lot[0])
            left, lot[0], basis = left - part, lot[0] - part, basis + part * lot[1]
        income[int(sale["year"])] += sale["USD"] - basis
    losses = tax = 0.0
    for year in sorted(income):
        used = min(losses, 0.8 * max(income[year], 0.0))
        tax += tables["firm"]["tax_fraction"] * (max(income[year], 0.0) - used)
        losses += max(-income[year], 0.0) - used
    booked = sum(float(r["amount"]) for r in rows if r["account"] == "expenses:tax")
    assert booked == pytest.approx(tax, rel=1e-6, abs=2.0)


def test_the_firms_of_the_law_meet_everything() -> None:
    """The histories that law 3 is tried on are not all quiet ones."""
    seen: set[str] = set()
    capitalised = 0
    for k in range(12):
        result = run_of(firm_of(k), k)
        seen |= set(result.table("events")["event"].to_pylist())
        capitalised += result.kpis["capitalised_interest_usd"] is not None
    assert capitalised > 3
    assert {
        "machines destroyed", "insurance claim", "host ended", "machines moved", "insolvency",
        "margin call", "liquidation", "project live", "sale and leaseback", "bitcoin sold",
        "deficiency", "revolver drawn", "shares issued", "machines sold", "payment deferred",
        "impairment",
    } <= seen  # fmt: skip
