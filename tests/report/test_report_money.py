"""`money.png`: drawn for a firm with loans, the same bytes twice, without empty panels."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import sim
from sim.finance.ledger import Ledger
from sim.finance.statements import INCOME_LINES
from sim.report.money import draw, draw_money, panels
from sim.report.money_data import GROUPS, Event, Money, _recorded_ltv
from sim.scenario.money import Loan
from tests.conftest import build_scenario

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400
DAYS = 365
MONTH_ENDS = np.cumsum([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
LOAN = Loan(principal_usd=150e6, collateral_btc=3000.0, rate_per_year=0.09)


def price_usd(days: int) -> np.ndarray:
    """A market that falls by a third until autumn and recovers a little."""
    t = np.arange(1, days + 1)
    wobble = 3000.0 * np.sin(t / 5.0) + 1500.0 * np.sin(t / 1.7)
    return 90_000.0 - 26_000.0 * np.sin(np.pi * np.minimum(t, 300) / 330.0) + wobble


def a_year() -> Money:
    """A miner with a loan against bitcoin: a call, a forced sale, a project, a fire."""
    ledger = Ledger(["alpha", "bravo"])
    fleet: list[Event] = []
    price = price_usd(DAYS)

    def usd(day: int, debit: str, credit: str, amount: float) -> None:
        ledger.post(day * DAY, debit, credit, "USD", np.array([amount]), "")

    def btc(day: int, debit: str, credit: str, amount: float) -> None:
        ledger.post(day * DAY, debit, credit, "BTC", np.array([amount]), "")

    usd(0, "assets:cash", "equity:opening", 20e6)
    usd(0, "assets:btc", "equity:opening", 4000 * 88e3)
    btc(0, "assets:btc", "equity:opening", 1000.0)
    btc(0, "assets:btc-collateral:prime", "equity:opening", 3000.0)
    usd(0, "equity:opening", "liabilities:loan:prime", 150e6)
    usd(0, "assets:asics", "equity:opening", 300e6)
    held, pledged, cost = 4000.0, 3000.0, 4000 * 88e3
    called = sold = False
    marked = 0.0
    for day in range(1, DAYS + 1):
        value = float(price[day - 1])
        mined = 9.0
        usd(day, "assets:btc", "income:mining", mined * value)
        usd(day, "expenses:pool-fees", "assets:btc", 0.02 * mined * value)
        btc(day, "assets:btc", "income:mining", mined)
        btc(day, "expenses:pool-fees", "assets:btc", 0.02 * mined)
        usd(day, "expenses:power", "assets:cash", 330e3 + 90e3 * np.sin(day / 58.0))
        usd(day, "expenses:hosting", "assets:cash", 150e3)
        usd(day, "assets:cash", "income:inference", 20e3 * (day > 200))
        usd(day, "assets:cash", "income:grid-services", 9e3)
        usd(day, "expenses:interest", "liabilities:interest:prime", 150e6 * 0.09 / 365)
        held, cost = held + 0.98 * mined, cost + 0.98 * mined * value
        amount = 7.3
        mean = cost / held
        usd(day, "assets:cash", "assets:btc", amount * mean)
        usd(day, "assets:cash", "income:btc-gains", amount * (value - mean))
        btc(day, "equity:exchange", "assets:btc", amount)
        held, cost = held - amount, cost - amount * mean
        ltv = 150e6 / (pledged * value)
        if ltv > 0.70 and not called:
            called = True
            fleet.append(Event(day * DAY, "margin call", "prime", f"LTV {ltv:.0%}"))
            btc(day, "assets:btc-collateral:prime", "assets:btc", 150.0)
            pledged += 150.0
        if ltv > 0.72 and not sold:
            sold = True
            fleet.append(Event(day * DAY, "liquidation", "prime", "400 BTC"))
            btc(day, "equity:exchange", "assets:btc-collateral:prime", 400.0)
            usd(day, "liabilities:loan:prime", "assets:btc", 400 * mean)
            usd(day, "liabilities:loan:prime", "income:btc-gains", 400 * (value - mean))
            usd(day, "expenses:liquidation", "liabilities:loan:prime", 400 * value * 0.02)
            held, pledged, cost = held - 400, pledged - 400, cost - 400 * mean
        if day in MONTH_ENDS:
            owed = -ledger.balance("liabilities:interest:prime", "USD")
            usd(day, "liabilities:interest:prime", "assets:cash", owed)
            usd(day, "expenses:depreciation", "assets:asics", 8.3e6)
            usd(day, "expenses:overhead", "assets:cash", 1.5e6)
            usd(day, "expenses:insurance", "assets:cash", 0.1e6)
            market = held * value - cost
            usd(day, "assets:btc-revaluation", "income:btc-revaluation", market - marked)
            marked = market
    usd(100, "assets:projects", "assets:cash", 4e6)
    fleet += [
        Event(40 * DAY, "retarget", "network", ""),
        Event(100 * DAY, "project ordered", "containers", "4.0 M USD"),
        Event(200 * DAY, "project live", "containers", "32 nodes"),
        Event(230 * DAY, "fire", "bravo", "20 % of the machines destroyed"),
        *(Event(d * DAY, "outage", "alpha", "") for d in (33, 120, 181, 290, 340)),
    ]
    fleet.sort()
    end_s = np.arange(1, DAYS + 1, dtype=np.int64) * DAY
    return Money(
        "a year", START, DAYS * DAY, ledger.entries(), end_s, price, {"prime": LOAN}, fleet
    )


@pytest.fixture(scope="module")
def year() -> Money:
    return a_year()


def test_draws_the_same_bytes_twice(year: Money, tmp_path: Path) -> None:
    assert {"bitcoin", "ltv", "cash", "income", "bridge", "events"} <= {*panels(year)}
    for name in ("first.png", "second.png"):
        draw(year, tmp_path / name)
    first, second = ((tmp_path / n).read_bytes() for n in ("first.png", "second.png"))
    assert first[:4] == b"\x89PNG"
    assert first == second


def test_groups_hold_every_line_of_income_once(year: Money) -> None:
    lines = [line for group in GROUPS.values() for line in group]
    assert sorted(lines) == sorted(INCOME_LINES)
    summed = np.sum(list(year.groups().values()), axis=0)
    np.testing.assert_allclose(summed, year.income["net income"], atol=0.005)


def test_the_bridge_reaches_the_closing_equity(year: Money) -> None:
    balance = year.balance
    changed = sum(float(usd.sum()) for usd in year.groups().values())
    closing = balance["opening equity"][-1] + changed
    assert closing == pytest.approx(balance["total equity"][-1], abs=0.01)


def test_balances_over_time_and_loan_to_value() -> None:
    ledger = Ledger(["alpha"])
    for day, debit, credit, unit, amount in (
        (0, "assets:cash", "equity:opening", "USD", 10.0),
        (0, "assets:btc", "equity:opening", "BTC", 3.0),
        (2, "assets:btc-collateral:a", "assets:btc", "BTC", 2.0),
        (2, "assets:cash", "liabilities:loan:a", "USD", 90.0),
        (3, "expenses:interest", "liabilities:interest:a", "USD", 6.0),
    ):
        ledger.post(day * DAY, debit, credit, unit, np.array([amount]), "")
    ends = np.arange(1, 5, dtype=np.int64) * DAY
    price = np.array([100.0, 100.0, 80.0, 60.0])
    loan = Loan(principal_usd=90.0, collateral_btc=2.0)
    money = Money("m", START, 4 * DAY, ledger.entries(), ends, price, {"a": loan}, [])
    assert money.held("assets:cash", "USD").tolist() == [10, 100, 100, 100]
    assert money.held("assets:btc", "BTC").tolist() == [3, 1, 1, 1]
    assert money.debt_usd("a").tolist() == [0, 90, 96, 96]
    np.testing.assert_array_equal(money.ltv("a")[1], [np.nan, 0.45, 0.6, 0.8])
    assert {"bitcoin", "ltv", "cash", "income", "bridge"} <= {*panels(money)}
    assert "events" not in panels(money)
    assert money.whole.tolist() == [False]
    assert a_year().whole.all()
    told = {"a": (ends[:2], np.array([0.1, 0.2]))}
    other = Money("m", START, 4 * DAY, ledger.entries(), ends, price, {"a": loan}, [], told)
    assert other.ltv("a")[1].tolist() == [0.1, 0.2]  # what the run recorded goes first


def test_the_table_of_loans_may_be_absent() -> None:
    assert _recorded_ltv(None) == {}
    assert _recorded_ltv(pa.table({"t_s": [0], "loan": ["a"]})) == {}
    table = pa.table({"t_s": [0, 0, 9], "loan": ["a", "b", "a"], "ltv": [0.5, None, 0.6]})
    ltv = _recorded_ltv(table)["a"]
    assert ltv[0].tolist() == [0, 9]
    assert ltv[1].tolist() == [0.5, 0.6]


def test_a_run_draws_its_money_or_nothing(tmp_path: Path) -> None:
    plain = sim.run(build_scenario({"horizon": {"days": 1}}), "static", 1)
    draw_money(plain, tmp_path)
    assert list(tmp_path.iterdir()) == []
    rich = build_scenario({"horizon": {"days": 1}, "treasury": {"opening_usd": 1e6}})
    draw_money(sim.run(rich, "static", 1), tmp_path)
    assert (tmp_path / "money.png").read_bytes()[:4] == b"\x89PNG"
