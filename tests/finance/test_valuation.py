"""NPV, IRR and payback by the book; what sites, projects and the firm are worth."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sim.finance.agreements import Payments
from sim.finance.assets import FixedAssets, Lot
from sim.finance.calendar import Calendar
from sim.finance.ledger import Ledger
from sim.finance.levels import Books, Levels, ProjectHistory
from sim.finance.meters import Meters
from sim.finance.tax import TaxBooks
from sim.finance.valuation import (
    breakevens,
    irr_per_year,
    npv_usd,
    payback_years,
    valuation,
    value,
)
from sim.kernels import flows as counted
from sim.plant.inventory import GPU
from sim.scenario import Scenario
from sim.types import Floats
from tests.conftest import build_scenario

DAY = 86_400
YEAR = np.array([0.0, 365.0, 730.0, 1095.0])


def test_dated_flows_of_the_manual_of_a_spreadsheet() -> None:
    """The example of XNPV and XIRR: five flows between January 2008 and April 2009."""
    cash = np.array([-10_000.0, 2750, 4250, 3250, 2750])
    days = np.array([0.0, 60, 303, 411, 456])
    assert npv_usd(cash, days, 0.09) == pytest.approx(2086.647602, abs=1e-6)
    assert irr_per_year(cash, days) == pytest.approx(0.373362535, abs=1e-8)


def test_textbook_flows_of_whole_years() -> None:
    """An annuity of 400 for 1,000: 1,000 = 400 * (1 - (1 + r)^-3) / r at 9.701 %."""
    cash = np.array([-1000.0, 400, 400, 400])
    assert npv_usd(cash, YEAR, 0.10) == pytest.approx(-5.259204, abs=1e-6)
    assert irr_per_year(cash, YEAR) == pytest.approx(0.0970103, abs=1e-7)
    assert payback_years(cash, YEAR) == pytest.approx(2.5)


flows = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=2, max_size=24)


@given(flows, st.floats(0, 0.5), st.floats(-5, 5))
def test_npv_is_linear(cash: list[float], rate: float, scale: float) -> None:
    one = np.array(cash)
    other = np.roll(one, 1)
    days = 30.0 * np.arange(len(cash))
    parts = npv_usd(one, days, rate) + scale * npv_usd(other, days, rate)
    assert npv_usd(one + scale * other, days, rate) == pytest.approx(parts, abs=1e-3)
    assert npv_usd(one, days, 0.0) == pytest.approx(one.sum(), abs=1e-6)


@given(st.floats(1, 1e6), st.lists(st.floats(0, 1e6), min_size=1, max_size=24))
def test_the_irr_is_where_the_npv_turns_from_gain_to_loss(outlay: float, back: list[float]) -> None:
    days = 30.0 * np.arange(len(back) + 1)
    cash = np.array([-outlay, *back])
    assume(cash[1:].sum() > 0.01 * outlay)
    rate = irr_per_year(cash, days)
    if rate is None:
        growth = abs(np.log(cash[1:].sum() / outlay)) * 365 / 30  # if all came in a month
        assert growth > 14.0
        return
    assert npv_usd(cash, days, rate) == pytest.approx(0.0, abs=1e-6 * np.abs(cash).sum())
    above, below = (npv_usd(cash, days, (1 + rate) * f - 1) for f in (1.01, 0.99))
    assert above < below
    assert (rate > 0) == (cash.sum() > 0) or abs(cash.sum()) < 1e-6 * outlay


def test_without_a_change_of_sign_there_is_no_rate() -> None:
    assert irr_per_year(np.array([5.0, 3.0]), np.array([0.0, 30.0])) is None
    assert irr_per_year(np.array([-5.0, -3.0]), np.array([0.0, 30.0])) is None
    assert irr_per_year(np.zeros(2), np.array([0.0, 30.0])) is None


def test_payback_is_for_good() -> None:
    assert payback_years(np.array([-10.0, 20, -15, 10]), YEAR) == pytest.approx(2.5)
    assert payback_years(np.array([-10.0, 4, 4, 1]), YEAR) is None
    assert payback_years(np.array([0.0, 4, 4, 1]), YEAR) is None


def test_a_terminal_value_counts_but_pays_nothing_back() -> None:
    months = np.array([365.0])
    kept = value(np.array([0.0]), months, 0.0, outlay_usd=100.0, terminal_usd=110.0)
    assert kept.npv_usd == pytest.approx(10.0)
    assert kept.irr_per_year == pytest.approx(0.10)
    assert kept.payback_years is None


def test_breakevens_by_hand() -> None:
    """Three quarters of a 400 USD bill are the ASICs', for 2 PH/s over a day at a fee of 2 %.

    Half of the nodes' quarter is for tokens; ten hours of a node of eight are let.
    """
    flow = np.zeros(counted.SITE_FLOWS)
    flow[counted.ENERGY_USD] = 400.0
    flow[counted.SITE_ASIC_J], flow[counted.SITE_GPU_J], flow[counted.TOKEN_J] = 3e9, 1e9, 0.5e9
    flow[counted.FATES + counted.HASHED] = 2e3 * DAY
    flow[counted.LET_S], flow[counted.GPU_OPEX_USD] = 10 * 3600.0, 16.0
    prices = breakevens(flow, 0.02, 8.0, 25.0)
    assert prices.hashprice_usd_per_ph_day == pytest.approx(300 / 2 / 0.98)
    assert prices.gpu_usd_per_h == pytest.approx((50 + 16) / 80)
    assert prices.token_usd_per_mtok == pytest.approx(50 / 25)
    assert breakevens(np.zeros(counted.SITE_FLOWS), 0.02, 8.0, 0.0) == (None, None, None)


def firm(**tables: Any) -> Scenario:
    """A year of two sites; the project delivers half of the GPUs of the second."""
    return build_scenario(
        {
            "horizon": {"days": 365, "start_utc": "2026-01-01T00:00:00Z"},
            "firm": {"discount_rate_per_year": 0.0, "gpu_life_years": 4.0},
            "projects": {
                "hall": {
                    "capex_usd": 1000.0,
                    "order_utc": "2026-02-10T00:00:00Z",
                    "lead_days": 50,
                    "commissioning_days": 89,
                }
            },
            **tables,
        },
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 100}],
        gpus=[
            {"site": "bravo", "gpu": "h100-sxm", "nodes": 4},
            {"site": "bravo", "gpu": "h100-sxm", "nodes": 4, "project": "hall"},
        ],
    )


def rows(made: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    return {(r["level"], r["name"]): r for r in made.to_pylist()}


def monthly(ledger: Ledger, debit: str, credit: str, alpha: float, bravo: float) -> None:
    for end in np.cumsum([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]).tolist():
        ledger.post(end * DAY, debit, credit, "USD", np.array([alpha, bravo]), "")


MONTH_ENDS = np.cumsum([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
CALENDAR = Calendar(datetime(2026, 1, 1, tzinfo=UTC), 365 * DAY)
NO_FLOW: Floats = np.zeros((counted.SITE_FLOWS, 2))
NO_TOKENS: Floats = np.zeros(2)
HALL = ProjectHistory(((40 * DAY, 300.0), (90 * DAY, 500.0), (179 * DAY, 200.0)), 179 * DAY)


def levels(
    scenario: Scenario, ledger: Ledger, plans: dict[str, ProjectHistory] | None = None
) -> Levels:
    """Of books without lots, whose machines stand in the accounts alone."""
    assets, calendar = FixedAssets(scenario, Ledger(["alpha", "bravo"])), CALENDAR
    tax = TaxBooks(scenario, ledger, assets, Payments(ledger), calendar)
    tax.history.append((0, tax.machines.by_lot_usd(0)))
    return Levels(scenario, Books(ledger, assets, tax, plans or {}), Meters(scenario, []))


def booked() -> Ledger:
    ledger = Ledger(["alpha", "bravo"])
    ledger.post(0, "assets:asics", "equity:opening", "USD", np.array([600.0, 0.0]), "")
    ledger.post(0, "assets:cash", "equity:opening", "USD", np.array([10_000.0]), "")
    monthly(ledger, "assets:btc", "income:mining", 100.0, 0.0)
    monthly(ledger, "expenses:pool-fees", "assets:btc", 2.0, 0.0)
    monthly(ledger, "expenses:power", "assets:cash", 40.0, 10.0)
    monthly(ledger, "assets:cash", "income:inference", 0.0, 60.0)
    monthly(ledger, "expenses:depreciation", "assets:asics", 10.0, 0.0)
    ledger.post(40 * DAY, "assets:projects", "assets:cash", "USD", np.array([1000.0]), "")
    live = np.array([0.0, 1000.0])
    ledger.post(180 * DAY, "assets:gpus", "assets:projects", "USD", live, "")
    ledger.post(200 * DAY, "assets:cash", "liabilities:loan:a", "USD", np.array([777.0]), "")
    ledger.post(201 * DAY, "expenses:interest", "assets:cash", "USD", np.array([7.0]), "")
    ledger.post(202 * DAY, "assets:cash", "assets:btc", "USD", np.array([300.0]), "")
    ledger.post(203 * DAY, "expenses:overhead", "assets:cash", "USD", np.array([24.0]), "")
    return ledger


def test_sites_and_the_firm_by_hand() -> None:
    """At a rate of zero the NPV is what comes back less what is laid out."""
    scenario = firm()
    found = rows(valuation(scenario, levels(scenario, booked()), NO_FLOW, NO_TOKENS))
    alpha, bravo, whole = found["site", "alpha"], found["site", "bravo"], found["firm", ""]
    assert alpha["outlay_usd"] == 600.0
    assert alpha["npv_usd"] == pytest.approx(12 * (98 - 40) - 600 + (600 - 120))
    assert bravo["outlay_usd"] == 1000.0
    assert bravo["npv_usd"] == pytest.approx(12 * (60 - 10) - 1000 + 1000)
    # Loans, interest and sales of bitcoin are financing and treasury; overhead is the firm's.
    assert whole["outlay_usd"] == 1600.0
    assert whole["npv_usd"] == pytest.approx(alpha["npv_usd"] + bravo["npv_usd"] - 24.0)


def hall(
    plan: ProjectHistory, earned_usd: float, **firm_keys: Any
) -> tuple[Levels, dict[str, Any]]:
    """The project's nodes earn so much in each of the months from July on, by their meters."""
    scenario = firm(**firm_keys)
    made = levels(scenario, booked(), {"hall": plan})
    if plan.live_s is not None:
        lot = made.books.assets.lots
        lot.append(Lot(GPU, 1, 1, 1000.0, int(plan.live_s), made.books.assets.life_s[GPU]))
        made.books.assets.depreciate(365 * DAY)
        tax = made.books.tax
        for end in MONTH_ENDS:
            tax.history.append((int(end) * DAY, tax.machines.by_lot_usd(int(end) * DAY)))
    meters = Meters(scenario, [])
    meters.sold_usd[:, 1] = 60.0  # the nodes that were there: row 1, after the ASICs
    meters.sold_usd[6:, 2] = earned_usd
    made = Levels(scenario, made.books, meters)
    table = valuation(scenario, made, NO_FLOW, NO_TOKENS)
    return made, rows(table)["project", "hall"]


def test_a_project_earns_what_its_meters_say_not_a_share_by_nameplate() -> None:
    """Half of the site's nodes are its own; they sold 5 USD a month where the others sold 60.

    Live on day 179, half a year before the end: 30 USD, ten a month of which two are spent on
    energy that is not metered here. What it still earns, 30 in 186 days, is less than the market.
    """
    made, row = hall(HALL, 5.0)
    assert row["outlay_usd"] == pytest.approx(1000.0)
    yearly = 6 * 5.0 / (365 - 179) * 365.25
    left = 4.0 - (365 - 179) / 365.25
    assert row["earned_usd"] == pytest.approx(yearly * left)
    assert row["terminal_usd"] == row["earned_usd"] < row["market_usd"]
    assert row["npv_usd"] == pytest.approx(6 * 5.0 - 1000 + yearly * left)
    # The other nodes earn what theirs say.
    assert made.cash_usd[:, 1].sum() + made.cash_usd[:, 2].sum() == pytest.approx(
        12 * 60.0 + 6 * 5.0 + 12 * -10.0 + (12 * 10.0)  # bills go nowhere without joules
    )


def test_a_terminal_value_is_never_above_the_market() -> None:
    """500 USD a month would be worth far more than the nodes: then they count for their price."""
    _, row = hall(HALL, 500.0)
    market = 1000.0 * (1.0 - 0.22 * (365 - 179) / 365.25)  # 0.78 after a year
    assert row["market_usd"] == pytest.approx(market)
    assert row["terminal_usd"] == row["market_usd"]
    assert row["npv_usd"] == pytest.approx(6 * 500.0 - 1000 + market)
    assert row["book_usd"] == pytest.approx(1000.0 * (1 - (365 - 179) / 365.25 / 4))


def test_a_useful_life_can_be_challenged() -> None:
    """Of a node that earns little a shorter life leaves less."""
    keys = {"discount_rate_per_year": 0.0}
    _, long = hall(HALL, 5.0, firm={**keys, "gpu_life_years": 5.0})
    _, short = hall(HALL, 5.0, firm={**keys, "gpu_life_years": 3.0})
    yearly = 6 * 5.0 / (365 - 179) * 365.25
    assert long["npv_usd"] - short["npv_usd"] == pytest.approx(2.0 * yearly)


def test_what_fades_is_worth_less() -> None:
    _, row = hall(HALL, 5.0, residuals={"fade_per_year": 0.5})
    _, full = hall(HALL, 5.0)
    assert row["terminal_usd"] < 0.8 * full["terminal_usd"]


def test_tax_on_a_project_by_hand() -> None:
    """MACRS: 20 % of 1,000 USD in 2026; 3,000 less 200 is taxed, and the sale at the end.

    At the end the nodes fetch 888 and stand for 800: a quarter of 2,800 + 88 is paid.
    """
    made, row = hall(
        HALL, 500.0,
        firm={"discount_rate_per_year": 0.0, "gpu_life_years": 4.0, "tax_fraction": 0.25},
        tax={"depreciation": "macrs"},
    )  # fmt: skip
    tax = 0.25 * (3000.0 - 200.0 + row["market_usd"] - 800.0)
    assert row["npv_usd"] - row["npv_after_tax_usd"] == pytest.approx(tax)
    assert made.project("hall").tax_usd[[5, 8, 11]].sum() == pytest.approx(tax)
    assert row["irr_after_tax_per_year"] < row["irr_per_year"]


def test_a_cancelled_project_cost_what_did_not_come_back() -> None:
    _, row = hall(ProjectHistory(((40 * DAY, 300.0), (50 * DAY, -150.0)), None), 0.0)
    assert row["npv_usd"] == pytest.approx(-150.0)
    assert row["irr_per_year"] is None or row["irr_per_year"] < 0


def test_what_is_not_delivered_at_the_end_counts_at_what_was_paid() -> None:
    _, row = hall(ProjectHistory(((40 * DAY, 300.0),), None), 0.0)
    assert row["npv_usd"] == pytest.approx(0.0)


def test_a_project_paid_at_the_first_instant_is_laid_out_once() -> None:
    ledger = Ledger(["alpha", "bravo"])
    ledger.post(0, "assets:projects", "assets:cash", "USD", np.array([0.0, 300.0]), "")
    scenario = firm()
    table = valuation(scenario, levels(scenario, ledger), NO_FLOW, NO_TOKENS)
    assert rows(table)["firm", ""]["outlay_usd"] == 300.0


def test_an_irr_where_the_npv_touches_zero() -> None:
    """-1000 + 2200 / 1.1 - 1210 / 1.1^2 = 0, and below zero on either side."""
    rate = irr_per_year(np.array([-1000.0, 2200.0, -1210.0]), np.array([0.0, 365.0, 730.0]))
    assert rate == pytest.approx(0.1, abs=1e-6)
    assert irr_per_year(np.array([-1000.0, 2199.0, -1210.0]), np.array([0.0, 365.0, 730.0])) is None


def test_an_irr_of_flows_that_come_late() -> None:
    cash = np.array([0.0] * 470 + [-5.0] + [3.0] * 10)
    days = np.arange(481) * 30.4375
    rate = irr_per_year(cash, days)
    assert rate is not None
    own = days[470:] - days[470]
    assert npv_usd(cash[470:], own, rate) == pytest.approx(0.0, abs=1e-6)
