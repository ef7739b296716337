"""Statements tie out to the cent and the satoshi, whatever is posted; what does not is found."""

import ast
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.finance.chart import BTC_CHART, SUBTOTALS, USD_CHART, Account, place
from sim.finance.ledger import DECIMAL, Entries, Ledger
from sim.finance.statements import (
    CASH_LINES,
    balance_sheet,
    sheet_of,
    statements,
    statements_of,
    tie_out,
)

START = datetime(2026, 1, 15, tzinfo=UTC)
DAY = 86_400
DAYS = 80  # to 5 April: a month that begins late, two whole ones, one cut off
MIDNIGHT = 17  # days from the start to 1 February


def table(ledger: Ledger) -> pa.Table:
    return statements(ledger, START, DAYS * DAY)


def usd(ledger: Ledger, day: float, debit: str, credit: str, amount: float) -> None:
    ledger.post(round(day * DAY), debit, credit, "USD", np.array([amount]), "")


def btc(ledger: Ledger, day: float, debit: str, credit: str, amount: float) -> None:
    ledger.post(round(day * DAY), debit, credit, "BTC", np.array([amount]), "")


@pytest.fixture
def firm() -> Ledger:
    """Two months of a small firm: it mines, sells, borrows, builds and pays."""
    ledger = Ledger(["alpha"])
    usd(ledger, 0, "assets:cash", "equity:opening", 1000.0)
    usd(ledger, 0, "assets:asics", "equity:opening", 5000.0)
    usd(ledger, 0, "assets:btc", "equity:opening", 800.0)
    btc(ledger, 0, "assets:btc", "equity:opening", 0.02)
    btc(ledger, 1, "assets:btc-collateral:a", "assets:btc", 0.01)
    usd(ledger, 1, "assets:cash", "liabilities:loan:a", 400.0)
    usd(ledger, 5, "expenses:power", "assets:cash", 300.0)
    btc(ledger, 5, "assets:btc", "income:mining", 0.01)
    btc(ledger, 5, "expenses:pool-fees", "assets:btc", 0.001)
    usd(ledger, 5, "assets:btc", "income:mining", 900.0)
    usd(ledger, 5, "expenses:pool-fees", "assets:btc", 90.0)
    usd(ledger, MIDNIGHT, "expenses:depreciation", "assets:asics", 100.0)
    usd(ledger, 20, "assets:cash", "assets:btc", 400.0)  # half of what was bought, at cost
    usd(ledger, 20, "assets:cash", "income:btc-gains", 55.0)
    btc(ledger, 20, "equity:exchange", "assets:btc", 0.01)
    btc(ledger, 21, "equity:exchange", "assets:btc-collateral:a", 0.005)
    usd(ledger, 21, "liabilities:loan:a", "assets:cash", 150.0)
    usd(ledger, 22, "expenses:interest", "liabilities:interest:a", 3.0)
    usd(ledger, 22, "assets:projects", "assets:cash", 250.0)
    return ledger


def test_two_months_by_hand(firm: Ledger) -> None:
    made = table(firm)
    assert tie_out(made) == []
    assert dict.fromkeys(made["month"].to_pylist()).keys() == {
        "2026-01", "2026-02", "2026-03", "2026-04",
    }  # fmt: skip
    income = {k: v[:2].tolist() for k, v in sheet_of(made, "income").items()}
    assert income == {
        "mining": [900, 0],
        "pool fees": [-90, 0],
        "power": [-300, 0],
        "gross margin": [510, 0],
        "depreciation": [-100, 0],  # booked at the midnight that ends January
        "bitcoin gains, realised": [0, 55],
        "interest": [0, -3],
        "income before tax": [410, 52],
        "net income": [410, 52],
    }
    balance = {k: v[:2].tolist() for k, v in sheet_of(made, "balance").items()}
    assert balance == {
        "cash": [1100, 1155],
        "bitcoin at cost": [1610, 1210],
        "ASICs": [4900, 4900],
        "projects": [0, 250],
        "total assets": [7610, 7515],
        "loans": [400, 250],
        "interest owed": [0, 3],
        "total liabilities": [400, 253],
        "opening equity": [6800, 6800],
        "retained income": [410, 462],
        "total equity": [7210, 7262],
        "total liabilities and equity": [7610, 7515],
    }
    cash = {k: v[:2].tolist() for k, v in sheet_of(made, "cash flow").items()}
    assert cash == {
        "opening cash": [1000, 1100],
        "operating: bitcoin sold": [0, 455],
        "operating: power": [-300, 0],
        "operating": [-300, 455],
        "investing: projects": [0, -250],
        "investing": [0, -250],
        "financing: loans drawn": [400, 0],
        "financing: loans repaid": [0, -150],
        "financing": [400, -150],
        "change in cash": [100, 55],
        "closing cash": [1100, 1155],
    }
    coins = {k: v[:2].round(8).tolist() for k, v in sheet_of(made, "bitcoin").items()}
    assert coins == {
        "opening": [0.02, 0.029],
        "mined": [0.01, 0],
        "pool fees": [-0.001, 0],
        "sold": [0, -0.01],
        "liquidated": [0, -0.005],
        "closing": [0.029, 0.014],
        "of which free": [0.019, 0.009],
        "of which collateral": [0.01, 0.005],
    }


def test_interest_that_was_capitalised_is_investing_when_it_is_paid(firm: Ledger) -> None:
    """2 of February's 3 USD are capitalised; 1 is paid in March, 2 in April: 1 is operating."""
    usd(firm, 45, "assets:project-interest", "expenses:interest", 2.0)
    usd(firm, 46, "expenses:depreciation", "assets:project-interest", 0.5)
    usd(firm, 60, "liabilities:interest:a", "assets:cash", 1.0)
    usd(firm, 78, "liabilities:interest:a", "assets:cash", 2.0)
    made = table(firm)
    assert tie_out(made) == []
    cash = sheet_of(made, "cash flow")
    assert cash["investing: interest capitalised"].tolist() == [0, 0, -1, -1]
    assert cash["operating: interest"].tolist() == [0, 0, 0, -1]


def test_the_current_position(firm: Ledger) -> None:
    now = balance_sheet(firm)
    assert now._asdict() == {
        "cash_usd": 1155.0,
        "btc_cost_usd": 1210.0,
        "btc_revaluation_usd": 0.0,
        "machines_usd": 4900.0,
        "other_assets_usd": 250.0,
        "debt_usd": 253.0,
        "other_liabilities_usd": 0.0,
        "equity_usd": 7262.0,
    }


def test_an_empty_ledger_has_statements() -> None:
    made = table(Ledger(["alpha"]))
    assert tie_out(made) == []
    assert set(sheet_of(made, "income")) == set(SUBTOTALS)


def test_unknown_accounts_and_times_are_named(firm: Ledger) -> None:
    usd(firm, 30, "expenses:bribes", "assets:cash", 10.0)
    with pytest.raises(ValueError, match="'expenses:bribes' in USD"):
        table(firm)
    with pytest.raises(ValueError, match="'expenses:bribes' in USD"):
        balance_sheet(firm)
    late = Ledger(["alpha"])
    usd(late, DAYS + 1, "expenses:power", "assets:cash", 10.0)
    with pytest.raises(ValueError, match="the run lasts from 0 to 6912000 s"):
        table(late)


def test_every_line_has_one_name() -> None:
    assert len(CASH_LINES) == len(set(CASH_LINES))
    lines = [p.line for p in USD_CHART.values()]
    assert len(lines) == len(set(lines))
    assert set(SUBTOTALS.values()) <= set(lines)


def test_every_account_stands_in_the_chart_of_its_commodity() -> None:
    placed = {*USD_CHART, *BTC_CHART}
    assert {place(a, "USD" if a in USD_CHART else "BTC") for a in placed} == placed
    assert {":".join(a.split(":")[:2]) for a in Account} == placed


def test_no_account_is_written_out_beside_the_chart() -> None:
    kinds = ("assets:", "liabilities:", "equity:", "income:", "expenses:")
    sources = [p for p in Path(sim.__file__).parent.rglob("*.py") if p.name != "chart.py"]
    assert len(sources) > 200
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(kinds), f"{path.name}: {node.value!r}"


def lent(account: str) -> str:
    """With the name of a loan, where the chart has one."""
    named = ("liabilities:loan", "liabilities:interest", "assets:btc-collateral")
    return f"{account}:x" if account in named else account


ACCOUNTS = {"USD": [lent(a) for a in USD_CHART], "BTC": [lent(a) for a in BTC_CHART]}


@st.composite
def postings(draw: st.DrawFn) -> list[tuple[int, str, str, str, list[float]]]:
    """Any two accounts of the chart, at any time, for the firm or for both sites."""
    made = []
    for _ in range(draw(st.integers(1, 25))):
        commodity = draw(st.sampled_from(["USD", "BTC"]))
        pair = draw(st.permutations(ACCOUNTS[commodity]).map(lambda p: p[:2]))
        days = st.one_of(st.just(0), st.just(MIDNIGHT), st.integers(0, DAYS))
        amounts = st.floats(-1e5, 1e5, allow_nan=False)
        some = draw(st.one_of(st.lists(amounts, min_size=n, max_size=n) for n in (1, 2)))
        made.append((draw(days) * DAY, *pair, commodity, some))
    return made


def posted(made: list[tuple[int, str, str, str, list[float]]]) -> Ledger:
    ledger = Ledger(["alpha", "bravo"])
    for t_s, debit, credit, commodity, amounts in made:
        ledger.post(t_s, debit, credit, commodity, np.array(amounts), "")
    return ledger


@given(postings())
def test_whatever_is_posted_ties_out(made: Any) -> None:
    ledger = posted(made)
    statement = table(ledger)
    assert tie_out(statement) == []
    last = {k: v[-1] for k, v in sheet_of(statement, "balance").items()}
    now = balance_sheet(ledger)
    assert last.get("cash", 0.0) == pytest.approx(now.cash_usd, abs=1e-6)
    assert last["total equity"] == pytest.approx(now.equity_usd, abs=1e-6)
    held = ("assets:btc", "assets:btc-collateral:x")
    coins = sum(ledger.balance(account, "BTC") for account in held)
    assert sheet_of(statement, "bitcoin")["closing"][-1] == pytest.approx(coins, abs=1e-9)


def without(entries: Entries, row: int) -> Entries:
    kept = np.arange(len(entries.t_s)) != row
    return entries._replace(
        **{name: getattr(entries, name)[kept] for name in ("t_s", "transaction", "account",
                                                           "amount", "site")}
    )  # fmt: skip


@given(postings(), st.data())
def test_a_dropped_leg_is_found(made: Any, data: st.DataObject) -> None:
    entries = posted(made).entries()
    if not len(entries.t_s):
        return
    row = data.draw(st.integers(0, len(entries.t_s) - 1))
    assert tie_out(statements_of(without(entries, row), START, DAYS * DAY)) != []


@given(postings(), st.data())
def test_a_leg_in_a_wrong_month_is_found(made: Any, data: st.DataObject) -> None:
    entries = posted(made).entries()
    if not len(entries.t_s):
        return
    row = data.draw(st.integers(0, len(entries.t_s) - 1))
    t_s = entries.t_s.copy()
    t_s[row] = 60 * DAY if t_s[row] <= MIDNIGHT * DAY else 5 * DAY
    if entries.t_s[row] > MIDNIGHT * DAY or t_s[row] == 60 * DAY:
        assert tie_out(statements_of(entries._replace(t_s=t_s), START, DAYS * DAY)) != []


def test_a_changed_figure_is_found_wherever_it_stands(firm: Ledger) -> None:
    made = table(firm)
    for row in range(made.num_rows):
        amounts = made["amount"].to_pylist()
        amounts[row] += Decimal("0.00000001")
        column = made.column_names.index("amount")
        changed = made.set_column(column, "amount", pa.array(amounts, DECIMAL))
        assert tie_out(changed) != [], made.slice(row, 1).to_pylist()
